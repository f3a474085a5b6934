"""What the user brings along, its own wheels, is mirrored with all that it requires, and nobody else's takes its place."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror_tasks.describe_environment import environment_block
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.client import Upstream
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import (
    LINUX,
    WINDOWS,
    MirrorFolder,
    asked,
    assert_valid,
    assert_whole,
    clean_environment,
    mirror_folder,
    packages,
    times,
)
from tests.pip import run_pip

OURS = wheel("ours", "1.0", requires=["lib>=1"])
LIB = wheel("lib", "1.0")


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """An index on which somebody has taken the name of our own project, with a higher version."""
    with FakeIndex({"lib": [LIB], "ours": [wheel("ours", "99.0")]}) as index:
        yield index


def put(folder: Path, *files: tuple[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files:
        (folder / name).write_bytes(content)


def project_with(folder: Path, index: FakeIndex, *files: tuple[str, bytes], **settings: Any) -> MirrorFolder:
    put(folder / "dist", *files)
    return mirror_folder(folder, index, **{"requirements": [{"wheels": "dist/"}], **settings})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def installed(output: Path, folder: Path, *requirements: str) -> dict[str, str]:
    """Install with pip from the mirror alone, into a folder; return the versions by project."""
    index = (output / "simple").as_uri() + "/"
    command = ["--isolated", "install", "-q", "--no-cache-dir", "--target", str(folder)]
    environment = clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", http_proxy="http://127.0.0.1:9")
    done = run_pip([*command, "--index-url", index, *requirements], output, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = (path.name.removesuffix(".dist-info").rpartition("-") for path in folder.glob("*.dist-info"))
    return {name: version for name, _, version in found}


def test_a_folder_is_mirrored_with_what_it_requires_and_no_index_is_asked_for_its_projects(
    index: FakeIndex, tmp_path: Path
) -> None:
    older, source = wheel("ours", "0.9"), sdist("ours", "1.0", requires=["lib>=1"])
    project = project_with(tmp_path, index, OURS, older, source)
    project.mirrored()
    assert packages(project.output) == {"lib": [LIB[0]], "ours": sorted([OURS[0], older[0], source[0]])}
    assert_valid(project.output)
    assert_whole(project.output)
    assert asked(index, "/simple/") == {"/simple/lib/": 1}
    done = project.doit("prove")
    assert done.returncode == 0, said(done)
    assert "because mirror.yaml: ours from dist" in said(project.doit("explain", "ours"))
    assert "ours-1.0 requires lib>=1" in said(project.doit("explain", "lib"))
    assert "Your own source has no file of it; nearest: 1.0" in said(project.doit("explain", "ours-1.2"))
    assert project.doit("list", "--all").returncode == 0


def test_pip_installs_it_from_the_mirror(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS, environments={"here": environment_block()})
    project.mirrored()
    assert installed(project.output, tmp_path / "site", "ours") == {"ours": "1.0", "lib": "1.0"}


def test_a_second_run_fetches_and_writes_nothing(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS)
    project.mirrored()
    before = times(project.output)
    index.requests.clear()
    project.mirrored()
    assert times(project.output) == before
    assert asked(index) == {}


def test_other_requirements_of_its_projects_get_what_is_served_there(index: FakeIndex, tmp_path: Path) -> None:
    index.add("theirs", *wheel("theirs", "1.0", requires=["ours"]))
    project = project_with(tmp_path, index, OURS, requirements=["theirs", {"wheels": "dist"}, "ours<1"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "NO SOLUTION: ours<1 on server" in said(done)
    assert packages(project.output)["ours"] == [OURS[0]]
    assert "/simple/ours/" not in asked(index, "/simple/")


def test_a_release_goes_to_the_environments_that_can_use_it(index: FakeIndex, tmp_path: Path) -> None:
    files = wheel("fast", "1.0", LINUX), wheel("fast", "1.0", WINDOWS), wheel("lin", "1.0", LINUX)
    old = wheel("fast", "1.0", "cp27-cp27m-win32")
    project = project_with(tmp_path, index, *files, old)
    project.mirrored()
    assert packages(project.output) == {"fast": sorted([files[0][0], files[1][0]]), "lin": [files[2][0]]}
    assert "no tag in common" in said(project.doit("explain", old[0]))


def test_one_that_fits_nowhere_is_told_with_the_rule(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS, wheel("old", "1.0", "cp27-cp27m-win32"))
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "old from dist on server" in said(done)
    assert "no tag in common" in said(done)
    assert packages(project.output)["ours"] == [OURS[0]]


def test_one_that_requires_another_python_is_left_out_where_it_does_and_that_is_said(
    index: FakeIndex, tmp_path: Path
) -> None:
    newer = wheel("newer", "1.0", requires_python=">=3.12")
    project = project_with(tmp_path, index, OURS, newer)
    done = project.mirrored()
    assert "left out on laptop: newer from dist, by Requires-Python" in said(done)
    assert "laptop: newer, asked by newer from dist:" in said(project.doit("plan"))
    assert packages(project.output)["newer"] == [newer[0]]
    done = project.doit("prove")
    assert done.returncode == 0, said(done)
    assert "whole and checked" in said(project.mirrored())


def test_one_that_no_environment_has_the_python_for_is_no_silent_loss(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS, wheel("newer", "1.0", requires_python=">=3.99"))
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "NO SOLUTION: newer from dist on server" in said(done)


def test_a_broken_one_is_no_silent_loss(index: FakeIndex, tmp_path: Path) -> None:
    good = wheel("both", "1.0", LINUX)
    project = project_with(tmp_path, index, OURS, good, wheel("both", "1.0", WINDOWS, metadata="no colon"))
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "NO SOLUTION: both from dist on laptop" in said(done)


def test_a_file_built_anew_is_a_fault_until_it_is_accepted(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS)
    project.mirrored()
    anew = wheel("ours", "1.0", requires=["lib>=1"], files={"ours_data.txt": "anew"})
    put(tmp_path / "dist", anew)
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "your own file has others" in said(done)
    assert "give it a new version" in said(done)
    assert (project.output / "packages" / "ours" / OURS[0]).read_bytes() == OURS[1]
    project.configure(index.url, requirements=[{"wheels": "dist/"}], accept_changed=["ours"])
    project.mirrored()
    assert (project.output / "packages" / "ours" / OURS[0]).read_bytes() == anew[1]
    project.configure(index.url, requirements=[{"wheels": "dist/"}])
    project.mirrored()
    assert_whole(project.output)


def test_a_new_release_in_the_folder_is_taken_at_once_whatever_refresh_says(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS, refresh="7d")
    project.mirrored()
    newer = wheel("ours", "1.1")
    put(tmp_path / "dist", newer)
    project.mirrored()
    assert packages(project.output)["ours"] == [OURS[0], newer[0]]


def test_a_project_that_leaves_the_folder_is_the_indexs_from_then_on_and_the_other_way_round(
    index: FakeIndex, tmp_path: Path
) -> None:
    project = project_with(tmp_path, index, OURS, refresh="7d", requirements=["ours"])
    project.mirrored()
    assert packages(project.output)["ours"] == ["ours-99.0-py3-none-any.whl"]
    project.configure(index.url, requirements=[{"wheels": "dist/"}], refresh="7d")
    project.mirrored()
    assert [file["filename"] for file in page_of(project, "ours")] == [OURS[0]]
    project.configure(index.url, requirements=["ours"], refresh="7d")
    project.mirrored()
    assert [file["filename"] for file in page_of(project, "ours")] == ["ours-99.0-py3-none-any.whl"]


def page_of(project: MirrorFolder, name: str) -> list[dict[str, str]]:
    files: list[dict[str, str]] = json.loads((project.output / "simple" / name / "index.v1_json").read_bytes())["files"]
    return files


def test_a_name_that_only_the_folder_had_is_on_no_index_when_it_left(index: FakeIndex, tmp_path: Path) -> None:
    put(tmp_path / "dist", wheel("secret", "1.0"))
    project = mirror_folder(tmp_path, index, requirements=[{"wheels": "dist/"}])
    project.mirrored()
    project.configure(index.url, requirements=["secret"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "found none for: secret on laptop" in said(done)
    assert "no such project" not in said(done)  # as of one that vanished from an index


def test_the_mirror_tells_a_successor_of_the_folder_and_of_no_path(index: FakeIndex, tmp_path: Path) -> None:
    project = project_with(tmp_path, index, OURS, wheel("lin", "1.0", LINUX), wheel("more", "1.0"))
    project.mirrored()
    about = json.loads((project.output / "mirror.json").read_bytes())
    assert yaml.safe_load(about["configuration"]["mirror.yaml"])["requirements"] == [{"wheels": "dist"}]
    assert str(tmp_path) not in json.dumps(about)


def test_pages_of_an_index_may_name_no_file_of_the_folder(index: FakeIndex, tmp_path: Path) -> None:
    index.add("evil", *wheel("evil", "1.0"), url=(tmp_path / "dist" / OURS[0]).as_uri())
    project = project_with(tmp_path, index, OURS, requirements=[{"wheels": "dist/"}, "evil"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "evil" not in packages(project.output)


# --- By URL


def test_a_file_by_url_is_mirrored_and_the_project_served_from_there_alone(index: FakeIndex, tmp_path: Path) -> None:
    with FakeIndex({"files": [OURS]}) as host:
        url = host.file_url("files", OURS[0])
        project = mirror_folder(tmp_path, index, requirements=[f"ours @ {url}#sha256={sha256(OURS[1])}", "ours"])
        project.mirrored()
        assert packages(project.output) == {"lib": [LIB[0]], "ours": [OURS[0]]}
        assert_valid(project.output)
        assert "/simple/ours/" not in asked(index, "/simple/")
        assert project.doit("prove").returncode == 0
        host.requests.clear()
        before = times(project.output)
        project.mirrored()
        assert dict(host.requests) == {}
        assert times(project.output) == before
        about = json.loads((project.output / "mirror.json").read_bytes())
        said_of_it = yaml.safe_load(about["configuration"]["mirror.yaml"])["requirements"]
        assert said_of_it == ["ours==1.0", "ours", {"wheels": "own"}]
        assert host.origin not in json.dumps(about)


def test_one_without_a_hash_is_hashed_on_first_use_and_other_content_is_a_fault(
    index: FakeIndex, tmp_path: Path
) -> None:
    with FakeIndex({"files": [OURS]}) as host:
        url = host.file_url("files", OURS[0])
        project = mirror_folder(tmp_path, index, requirements=[{"require": f"ours @ {url}"}])
        project.mirrored()
        assert_whole(project.output)
        host.requests.clear()
        project.mirrored()
        assert dict(host.requests) == {}
        host.add("files", *wheel("ours", "1.0", files={"x.txt": "other"}))
        (project.output / "packages" / "ours" / OURS[0]).unlink()
        done = project.doit("mirror")
        assert done.returncode != 0
        assert sha256(OURS[1]) in said(done)
        assert "accept-changed: [ours]" in said(done)


def test_one_with_another_hash_is_a_fault_with_both(index: FakeIndex, tmp_path: Path) -> None:
    with FakeIndex({"files": [OURS]}) as host:
        url = host.file_url("files", OURS[0])
        project = mirror_folder(tmp_path, index, requirements=[f"ours @ {url}#sha256={'0' * 64}"])
        done = project.doit("mirror")
        assert done.returncode != 0
        assert f"expected sha256 {'0' * 64}, found {sha256(OURS[1])}" in said(done)
        assert "or correct the hash if you wrote it" in said(done)
        assert "ours" not in packages(project.output)


def test_its_credentials_go_to_this_file_alone_and_are_shown_nowhere(index: FakeIndex, tmp_path: Path) -> None:
    with FakeIndex({"files": [OURS], "lib": [LIB]}, auth=("me", "s3cret")) as host:
        plain = host.file_url("files", OURS[0])
        url = plain.replace("://", "://me:${OUR_TOKEN}@")
        project = mirror_folder(tmp_path, index, requirements=[f"ours @ {url}"])
        done = project.doit("mirror", OUR_TOKEN="s3cret")
        assert done.returncode == 0, said(done)
        assert packages(project.output)["ours"] == [OURS[0]]
        wrong = project.doit("mirror", OUR_TOKEN="0ther")
        assert wrong.returncode == 0  # nothing has to be fetched
        (project.output / "packages" / "ours" / OURS[0]).unlink()
        wrong = project.doit("mirror", OUR_TOKEN="0ther")
        assert wrong.returncode != 0
        assert plain in said(wrong)
        for path in [*tmp_path.rglob("*")]:
            if path.is_file():
                assert b"s3cret" not in path.read_bytes(), path
                assert b"0ther" not in path.read_bytes(), path
        assert "0ther" not in said(wrong)


def test_no_other_file_of_its_host_is_asked_for_with_its_credentials(index: FakeIndex) -> None:
    with FakeIndex({"files": [OURS], "lib": [LIB]}, auth=("me", "s3cret")) as host:
        ours, other = host.file_url("files", OURS[0]), host.file_url("files", f"{OURS[0]}.metadata")
        with Upstream([index.url], own=[ours.replace("://", "://me:s3cret@")]) as upstream:
            assert upstream.read(ours, limit=1 << 20) == OURS[1]
            for url in (other, host.file_url("lib", LIB[0])):
                with pytest.raises(UpstreamError) as failed:
                    upstream.read(url, limit=1 << 20)
                assert failed.value.status == 401


def test_two_urls_of_one_project_are_both_served_each_where_its_marker_holds(index: FakeIndex, tmp_path: Path) -> None:
    files = wheel("fast", "1.0", LINUX), wheel("fast", "1.0", WINDOWS)
    with FakeIndex({"fast": files}) as host:
        lines = [
            f'fast @ {host.file_url("fast", name)} ; sys_platform == "{platform}"'
            for (name, _), platform in zip(files, ("linux", "win32"), strict=True)
        ]
        project = mirror_folder(tmp_path, index, requirements=[{"file": "r.txt"}])
        (tmp_path / "r.txt").write_text("\n".join(lines))
        project.mirrored()
        assert packages(project.output) == {"fast": sorted(name for name, _ in files)}
        assert project.doit("prove").returncode == 0


def test_a_file_of_this_machine_is_taken_by_its_url(index: FakeIndex, tmp_path: Path) -> None:
    put(tmp_path / "here", OURS)
    project = mirror_folder(tmp_path, index, requirements=[f"ours @ {(tmp_path / 'here' / OURS[0]).as_uri()}"])
    project.mirrored()
    assert packages(project.output)["ours"] == [OURS[0]]


def test_a_file_of_this_machine_has_to_have_the_hash_that_its_url_says(index: FakeIndex, tmp_path: Path) -> None:
    put(tmp_path / "here", OURS)
    url = f"{(tmp_path / 'here' / OURS[0]).as_uri()}#sha256={'0' * 64}"
    project = mirror_folder(tmp_path, index, requirements=[f"ours @ {url}"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert f"expected sha256 {'0' * 64}, found {sha256(OURS[1])}" in said(done)
    assert "ours" not in packages(project.output)
