"""A commit of a repository is built once and served as its project; git runs nothing of it, and only a URL reaches git."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.describe_environment import environment_block
from mirror_tasks.errors import UpstreamError
from mirror_tasks.work import git
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, assert_whole, mirror_folder, packages, times, tree
from tests.test_own_git import COMMIT, read, write_project
from tests.test_own_sources import installed, said

pytestmark = [pytest.mark.clients, pytest.mark.skipif(shutil.which("git") is None, reason="no git here")]


def run_git(folder: Path, *arguments: str) -> str:
    identity = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}
    environment = {**os.environ, **identity, **dates, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str = "one") -> str:
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-qm", message)
    return run_git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write_project(folder)
    run_git(folder, "init", "-q", "-b", "main")
    commit(folder)
    run_git(folder, "tag", "v1.0")
    return folder


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"lib": [wheel("lib", "1.0")], "tool": [wheel("tool", "99.0")]}) as index:
        yield index


def entry(repository: Path, at: str = "", fragment: str = "") -> dict[str, object]:
    return {"require": f"tool @ git+{repository.as_uri()}{at}{fragment}", "build": True}


def project_of(tmp_path: Path, index: FakeIndex, *requirements: object, **settings: object) -> MirrorFolder:
    more = {"environments": {"here": environment_block()}, **settings}
    return mirror_folder(tmp_path / "project", index, requirements=list(requirements), **more)  # type: ignore[arg-type]


def test_a_repository_is_mirrored_served_and_installed(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, index, entry(repository, "@v1.0"))
    done = project.mirrored()
    sha = run_git(repository, "rev-parse", "HEAD")
    assert f"tool: v1.0 is commit {sha}, which is taken from now on" in said(done)
    assert packages(project.output)["tool"] == ["tool-1.0-py3-none-any.whl", "tool-1.0.tar.gz"]
    assert "/simple/tool/" not in index.requests
    assert sha in (project.state / "plan.json").read_text()
    assert_whole(project.output)
    assert installed(project.output, tmp_path / "site", "tool") == {"tool": "1.0", "lib": "1.0"}
    assert project.doit("prove").returncode == 0
    assert str(repository) not in (project.output / "mirror.json").read_text()


def test_a_second_run_takes_the_same_commit_and_asks_nobody(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, index, entry(repository, "@main"))
    project.mirrored()
    before = times(project.output)
    write_project(repository, "2.0")
    commit(repository, "two")
    repository.rename(tmp_path / "gone")
    done = project.mirrored()
    assert "is commit" not in said(done)
    assert times(project.output) == before
    (tmp_path / "gone").rename(repository)
    shutil.rmtree(project.state / "git" / "tool" / run_git(repository, "rev-parse", "v1.0"))  # found again, likewise
    (project.state / "git" / "tool" / ".build-killed").mkdir()
    project.mirrored()
    assert times(project.output) == before


def test_clean_lets_the_next_run_take_what_the_branch_is_then(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    project = project_of(tmp_path, index, entry(repository, "@main"))
    assert "after `doit clean project:tool` the next run takes what it is then" in said(project.mirrored())
    write_project(repository, "2.0")
    sha = commit(repository, "two")
    assert project.doit("forget", "project:tool").returncode == 0  # that makes it due, which it always is
    assert "is commit" not in said(project.mirrored())
    done = project.doit("clean", "project:tool")
    assert done.returncode == 0, said(done)
    assert f"tool: main is commit {sha}" in said(project.mirrored())
    assert packages(project.output)["tool"][-2:] == ["tool-2.0-py3-none-any.whl", "tool-2.0.tar.gz"]
    assert sorted(path.name for path in (project.state / "git" / "tool").iterdir()) == sorted([sha, "built.json"])
    assert "is commit" not in said(project.mirrored())


def test_the_state_may_be_lost_and_the_same_bytes_are_built(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, index, entry(repository, f"@{run_git(repository, 'rev-parse', 'HEAD')}"))
    done = project.mirrored()
    assert "is commit" not in said(done)
    before = times(project.output / "packages")
    shutil.rmtree(project.state)
    project.mirrored()
    assert times(project.output / "packages") == before


LOCK = """\
version = 1
requires-python = ">=3.8"

[[package]]
name = "app"
version = "0.1"
source = {{ virtual = "." }}
dependencies = [{{ name = "tool" }}]

[[package]]
name = "tool"
version = "1.0"
source = {{ git = "{url}?rev=v1.0#{sha}" }}
"""


def test_a_lock_that_names_it_is_carried_and_the_proof_says_where_its_tool_asks(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    sha = run_git(repository, "rev-parse", "HEAD")
    project = project_of(tmp_path, index, {"lock": "uv.lock"})
    (project.folder / "uv.lock").write_text(LOCK.format(url=repository.as_uri(), sha=sha))
    line = f'add - {{require: "tool @ git+{repository.as_uri()}@{sha}", build: true}}'
    assert line in said(project.doit("mirror"))
    project.configure(
        index.url,
        requirements=[{"lock": "uv.lock"}, entry(repository, f"@{sha}")],
        environments={"here": environment_block()},
    )
    project.mirrored()
    assert "tool-1.0-py3-none-any.whl" in packages(project.output)["tool"]
    done = project.doit("prove")
    assert done.returncode == 0, said(done)
    assert f"tool 1.0 is git+{repository.as_uri()}@{sha} in the lock: the lock's own tool asks there" in said(done)


def test_what_was_built_and_is_damaged_is_built_anew_where_it_is_needed(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    project = project_of(tmp_path, index, entry(repository, "@v1.0"))
    project.mirrored()
    before = tree(project.output)
    built = next((project.state / "git" / "tool").rglob("*.whl"))
    content = built.read_bytes()
    built.write_bytes(content[:50] + b"!" + content[51:])
    repository.rename(tmp_path / "away")
    project.mirrored()  # what was made of it stands in the mirror
    shutil.rmtree(project.output / "packages" / "tool")
    (tmp_path / "away").rename(repository)
    project.mirrored()
    assert built.read_bytes() == content
    assert tree(project.output) == before


def test_prune_deletes_what_is_built_no_more(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    project = project_of(tmp_path, index, entry(repository), "lib")
    project.mirrored()
    project.configure(index.url, requirements=["lib"])
    project.mirrored()
    assert project.doit("prune").returncode == 0
    assert not (project.state / "git").exists()
    assert "tool" not in packages(project.output)
    project.mirrored()


def test_a_folder_of_it_is_built_and_a_missing_one_is_told(index: FakeIndex, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    write_project(repository / "libs" / "tool")
    run_git(repository, "init", "-q", "-b", "main")
    commit(repository)
    project = project_of(tmp_path, index, entry(repository, fragment="#subdirectory=libs/tool"))
    project.mirrored()
    assert "tool-1.0.tar.gz" in packages(project.output)["tool"]
    project.configure(index.url, requirements=[entry(repository, fragment="#subdirectory=libs/other")])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "expected a folder libs/other in it, found none" in said(done)


def test_where_no_wheel_can_be_built_only_the_sdist_is_mirrored_and_it_is_said(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    write_project(repository, tag="broken")
    commit(repository, "two")
    project = project_of(tmp_path, index, entry(repository))
    for _ in range(2):
        assert "no wheel can be built here: " in said(project.mirrored())
    assert packages(project.output)["tool"] == ["tool-1.0.tar.gz"]


def test_what_can_not_be_had_or_built_fails_by_name_and_the_rest_is_mirrored(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    def failing(*requirements: object) -> str:
        project = project_of(tmp_path, index, "lib", *requirements)
        done = project.doit("mirror")
        assert done.returncode != 0
        assert "lib" in packages(project.output)
        return said(done)

    assert "expected a commit, tag or branch v9, found none of this name" in failing(entry(repository, "@v9"))
    assert "expected `git fetch` to end well" in failing(entry(repository, f"@{COMMIT}"))
    assert "expected `git clone` to end well" in failing(entry(tmp_path / "nowhere"))
    write_project(repository, tag="newer")
    commit(repository, "another version in the wheel")
    assert "expected tool 1.0, found tool 9.9" in failing(entry(repository))
    (repository / "backend.py").write_text("raise SystemExit('it is broken')")
    commit(repository, "broken")
    assert "expected an sdist, found: " in failing(entry(repository))
    (repository / ".gitmodules").write_text("")
    commit(repository, "with a submodule")
    assert "has submodules, which are not fetched here" in failing(entry(repository))


def test_another_project_than_the_requirement_says_is_told(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    line = {"require": f"other @ git+{repository.as_uri()}", "build": True}
    done = project_of(tmp_path, index, line).doit("mirror")
    assert done.returncode != 0
    assert "expected other 1.0, found tool 1.0. Check the name" in said(done)


# --- How git is run


def test_hooks_templates_and_attributes_of_the_repository_run_nothing(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    template = tmp_path / "template" / "hooks"
    shutil.copytree(hook.parent, template)
    (tmp_path / "gitconfig").write_text(
        f"[init]\n\ttemplateDir = {template.parent}\n[core]\n\thooksPath = {template}\n"
    )
    source = read(tmp_path, f"tool @ git+{repository.as_uri()}").own[0].git
    assert source is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
        patch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        found = git.Clone(source, tmp_path / "clone").check_out(None)
    assert found.seconds == 1700000000
    assert (tmp_path / "clone" / "backend.py").exists()
    assert not trace.exists()


def test_credentials_are_sent_to_the_repository_and_stand_on_no_command_line(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    run = subprocess.run

    def recorded(command: list[str], **options: object) -> object:
        commands.append(command)
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(git.subprocess, "run", recorded)  # type: ignore[attr-defined]
    monkeypatch.setenv("OUR_TOKEN", "s3cret")
    url = index.origin.replace("://", "://me:${OUR_TOKEN}@")
    source = read(tmp_path, f"tool @ git+{url}/tool").own[0].git
    assert source is not None
    with pytest.raises(UpstreamError) as failed:
        git.Clone(source, tmp_path / "clone").check_out(None)
    assert "s3cret" not in str(failed.value) + repr(commands) + repr(source)
    assert "Basic bWU6czNjcmV0" in {request.headers.get("authorization") for request in index.log}


def test_git_asks_nothing_speaks_one_protocol_and_keeps_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_SSH", "GIT_SSH_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_WORK_TREE", "/elsewhere")
    monkeypatch.setenv("GIT_SSL_CAINFO", "/ca.pem")
    found = git._environment("ssh://git@git.example.com/a")
    assert found["GIT_ALLOW_PROTOCOL"] == "ssh"
    assert found["GIT_TERMINAL_PROMPT"] == "0"
    assert found["GIT_SSH_COMMAND"].endswith(" -oBatchMode=yes")
    assert found["GIT_SSL_CAINFO"] == "/ca.pem"
    assert "GIT_WORK_TREE" not in found
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    assert git._environment("ssh://git@git.example.com/a")["GIT_SSH_COMMAND"] == "ssh -i key -oBatchMode=yes"
    monkeypatch.delenv("GIT_SSH_COMMAND")
    monkeypatch.setenv("GIT_SSH", "/usr/bin/plink")
    assert "GIT_SSH_COMMAND" not in git._environment("ssh://git@git.example.com/a")


def test_a_tag_that_is_annotated_and_a_commit_cut_short_are_found(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "tag", "-a", "v2.0", "-m", "two")
    sha = run_git(repository, "rev-parse", "HEAD")
    for number, ref in enumerate(("v2.0", sha[:10], "main", "")):
        at = f"@{ref}" if ref else ""
        source = read(tmp_path, f"tool @ git+{repository.as_uri()}{at}").own[0].git
        assert source is not None
        assert git.Clone(source, tmp_path / str(number)).check_out(None).sha == sha


def test_a_commit_of_a_time_that_no_archive_can_say_is_built(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "GIT_COMMITTER_DATE": "@99999999999 +0000", "GIT_COMMITTER_NAME": "a"}
    command = ["git", "-c", "user.email=a@example.com", "commit", "-q", "--amend", "--no-edit"]
    subprocess.run(command, cwd=repository, env=environment, check=True)
    project = project_of(tmp_path, index, entry(repository))
    project.mirrored()
    assert packages(project.output)["tool"] == ["tool-1.0-py3-none-any.whl", "tool-1.0.tar.gz"]


class _Dumb(http.server.SimpleHTTPRequestHandler):
    """Serves a repository as files, to who has logged in."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Basic bWU6czNjcmV0":
            self.send_error(401)
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        """Say nothing."""


def test_a_repository_that_wants_a_login_is_fetched_with_it(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "update-server-info")
    serve = functools.partial(_Dumb, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}/repository/.git"
        clones = []
        for login in ("me:s3cret@", "me:wr0ng@"):
            source = read(tmp_path, f"tool @ git+http://{login}{place}@v1.0").own[0].git
            assert source is not None
            clones.append(git.Clone(source, tmp_path / login[3:6]))
        assert clones[0].check_out(None).sha == run_git(repository, "rev-parse", "HEAD")
        with pytest.raises(UpstreamError) as failed:
            clones[1].check_out(None)
        server.shutdown()
    assert "expected `git clone` to end well" in str(failed.value)
    assert "wr0ng" not in str(failed.value)
    assert "s3cret" not in (tmp_path / "s3c" / ".git" / "config").read_text()


def test_without_git_it_says_what_to_install(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = read(tmp_path, f"tool @ git+{repository.as_uri()}").own[0].git
    assert source is not None
    monkeypatch.setattr(git.shutil, "which", lambda program: None)  # type: ignore[attr-defined]
    with pytest.raises(UpstreamError, match="expected the program git, found none"):
        git.Clone(source, tmp_path / "clone").check_out(None)


def test_a_git_that_does_not_end_is_left(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = read(tmp_path, f"tool @ git+{repository.as_uri()}").own[0].git
    assert source is not None
    monkeypatch.setattr(git, "_PATIENCE", 0.0)
    with pytest.raises(UpstreamError, match="to end within"):
        git.Clone(source, tmp_path / "clone").check_out(None)
