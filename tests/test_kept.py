"""`transfer: {keep: …}`: what left the plan stays a while, so that last month's locks install, and nothing else takes it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uv

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import DODO, IMPATIENT, MirrorFolder, assert_valid, assert_whole, clean_environment, mirror_folder
from tests.server_fixtures import run_server

HELD_CLOCK = (
    "import datetime, os\n\nfrom mirror_tasks.publish import kept\n\n"
    "kept.today = lambda: datetime.date.fromisoformat(os.environ['TODAY'])\n"
)
FIRST, SECOND, END, AFTER = "2026-10-26", "2026-11-26", "2027-02-24", "2027-02-25"
OLD = [wheel("app", "1.0", requires=["lib"]), wheel("lib", "1.0"), sdist("gone", "1.0")]
OLD_NAMES = [name for name, _ in OLD]
REASON = f"left the plan on {SECOND}; kept for locks until {END}"
KEEP = {"keep": "90d"}


def old_world() -> dict[str, list[tuple[str, bytes]]]:
    return {"app": [OLD[0]], "lib": [OLD[1]], "gone": [OLD[2]]}


def folder_of(
    path: Path, index: FakeIndex, transfer: Any = KEEP, roots: Sequence[str] = ("app", "gone")
) -> MirrorFolder:
    settings = {"transfer": transfer} if transfer is not None else {}
    here = {"here": environment_block()}
    dodo = IMPATIENT + HELD_CLOCK + DODO
    return mirror_folder(path, index, dodo, environments=here, requirements=list(roots), **settings)


def run(project: MirrorFolder, today: str, *arguments: str) -> str:
    done = project.doit(*(arguments or ("mirror",)), TODAY=today)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def a_month_later(project: MirrorFolder, index: FakeIndex, transfer: Any = KEEP) -> None:
    """Let upstream have newer releases, and the user want one requirement less."""
    index.add("app", *wheel("app", "2.0", requires=["lib>=2"]))
    index.add("lib", *wheel("lib", "2.0"))
    folder_of(project.folder, index, transfer, ["app"])


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    """A mirror of which two releases were replaced and a project left; its upstream is no more."""
    with FakeIndex(old_world()) as index:
        project = folder_of(tmp_path_factory.mktemp("kept"), index)
        run(project, FIRST)
        a_month_later(project, index)
        run(project, SECOND)
    return project


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(old_world()) as index:
        yield index


def listed(output: Path, project: str) -> dict[str, Any]:
    """Return by file name what a project's page says of yanking, in both forms alike."""
    page = output / "simple" / project
    entries = json.loads((page / "index.v1_json").read_bytes())["files"]
    html = (page / "index.html").read_text()
    assert all(f'data-yanked="{entry["yanked"]}"' in html for entry in entries if "yanked" in entry)
    return {entry["filename"]: entry.get("yanked") for entry in entries}


# Clients

UNREACHABLE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def client(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **UNREACHABLE)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def installed(target: Path) -> set[str]:
    return {"==".join(path.name.removesuffix(".dist-info").split("-")) for path in target.glob("*.dist-info")}


def by(tool: str, mirror: MirrorFolder, tmp_path: Path, *what: str) -> set[str] | None:
    """Return what an installer puts into an empty folder; None where it finds nothing to satisfy it."""
    url = (mirror.output / "simple").as_uri()
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--no-build-isolation"]
    uv_pip = [uv.find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable]
    command = pip if tool == "pip" else uv_pip
    done = client([*command, "--target", "site", "--index-url", url, *what], tmp_path)
    if done.returncode:
        assert "No matching" in done.stderr or "no versions" in done.stderr or "yanked" in done.stderr, done.stderr
        return None
    return installed(tmp_path / "site")


TOOLS = pytest.mark.parametrize("tool", ["pip", "uv"])


def pinned(files: Sequence[tuple[str, bytes]]) -> str:
    pins = (("==".join(name.removesuffix(".tar.gz").split("-")[:2]), content) for name, content in files)
    return "".join(f"{pin} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n" for pin, content in pins)


@TOOLS
def test_last_months_hashed_requirements_install(tool: str, mirror: MirrorFolder, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(pinned(OLD))
    found = by(tool, mirror, tmp_path, "--require-hashes", "-r", "requirements.txt")
    assert found == {"app==1.0", "lib==1.0", "gone==1.0"}


@TOOLS
def test_last_months_pylock_toml_installs(tool: str, mirror: MirrorFolder, tmp_path: Path) -> None:
    if tool == "pip" and "lock" not in client([sys.executable, "-m", "pip", "help"], tmp_path).stdout:
        pytest.skip("this pip reads no pylock.toml")
    entries = ""
    for filename, content in OLD[:2]:
        name, sha256 = filename.split("-")[0], hashlib.sha256(content).hexdigest()
        url = (mirror.output / "packages" / name / filename).as_uri()
        entries += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n[[packages.wheels]]\n'
        entries += f'name = "{filename}"\nurl = "{url}"\nhashes = {{sha256 = "{sha256}"}}\n'
    (tmp_path / "pylock.toml").write_text(f'lock-version = "1.0"\ncreated-by = "tests"\n{entries}')
    assert by(tool, mirror, tmp_path, "-r", "pylock.toml") == {"app==1.0", "lib==1.0"}


@TOOLS
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("app", "app==2.0 lib==2.0"),
        ("lib>=1", "lib==2.0"),
        ("lib<2", None),
        ("gone", None),
        ("gone>=1,<2", None),
        ("lib==1.0", "lib==1.0"),
        ("gone===1.0", "gone==1.0"),
    ],
)
def test_a_new_resolution_takes_what_was_proven_and_only_a_pin_takes_what_is_kept(
    tool: str, mirror: MirrorFolder, tmp_path: Path, wanted: str, expected: str | None
) -> None:
    assert by(tool, mirror, tmp_path, wanted) == (set(expected.split()) if expected else None)


def test_a_lock_of_uv_syncs_that_was_made_before_the_releases_left(tmp_path: Path, index: FakeIndex) -> None:
    """`uv sync --frozen` takes the URLs of its lock, `uv sync --locked` asks the index: both find all."""
    project = folder_of(tmp_path / "project", index)
    run(project, FIRST)
    url = (project.output / "simple").as_uri()
    app = tmp_path / "user"
    app.mkdir()
    (app / "pyproject.toml").write_text(
        '[project]\nname = "user"\nversion = "0"\nrequires-python = ">=3.8"\ndependencies = ["app", "gone"]\n'
        f'[[tool.uv.index]]\nurl = "{url}"\ndefault = true\n'
    )
    command = [uv.find_uv_bin(), "--no-cache", "--no-python-downloads"]
    assert client([*command, "lock", "--python", sys.executable], app).returncode == 0
    a_month_later(project, index)
    run(project, SECOND)
    for flag in ("--frozen", "--locked"):
        done = client([*command, "sync", flag, "--reinstall", "--python", sys.executable], app)
        assert done.returncode == 0, done.stderr
        assert installed(next((app / ".venv").glob("lib/*/site-packages"))) == {"app==1.0", "lib==1.0", "gone==1.0"}


# What is published, told and deleted


def test_pages_list_what_is_kept_as_yanked_with_when_it_left_and_until_when(mirror: MirrorFolder) -> None:
    assert listed(mirror.output, "app") == {OLD_NAMES[0]: REASON, "app-2.0-py3-none-any.whl": None}
    assert listed(mirror.output, "gone") == {OLD_NAMES[2]: REASON}
    assert ">gone<" in (mirror.output / "simple" / "index.html").read_text()
    assert_valid(mirror.output)
    assert_whole(mirror.output)
    about = json.loads((mirror.output / "mirror.json").read_bytes())
    counts = {key: about[key] for key in ("projects", "files", "kept_files", "kept_bytes")}
    assert counts == {"projects": 2, "files": 2, "kept_files": 3, "kept_bytes": sum(len(content) for _, content in OLD)}


def page_of(mirror: MirrorFolder, name: str) -> str:
    return (mirror.output / "project" / name / "index.html").read_text()


def heading_of(mirror: MirrorFolder, name: str) -> str:
    return page_of(mirror, name).partition("<h1>")[2].partition("<nav")[0]


def test_people_read_until_when_it_is_kept(mirror: MirrorFolder) -> None:
    assert REASON in page_of(mirror, "app")
    assert REASON in page_of(mirror, "gone")
    front = (mirror.output / "index.html").read_text()
    assert "project/gone/index.html" in front
    assert "3 files" in front
    heading = heading_of(mirror, "lib")
    assert ("kept" in heading, "2.0" in heading, "1.0" in heading) == (False, True, False)
    assert "kept for locks" in heading_of(mirror, "gone")


def test_the_server_finds_nothing_extra_and_nothing_missing(mirror: MirrorFolder) -> None:
    done = run_server("--root", str(mirror.output), "--check")
    assert done.returncode == 0
    assert done.stdout.endswith(" 0 altered, 0 missing, 0 extra\n")


@pytest.mark.parametrize("name", [OLD_NAMES[2], "gone", "gone-1.0", "lib", "lib==1.0"])
def test_explain_says_when_it_left_and_until_when_it_is_kept(mirror: MirrorFolder, name: str) -> None:
    assert REASON in run(mirror, SECOND, "explain", name)
