"""A wheel that was built from git and is not pure serves the environments that it runs on; the others are told by name."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.archives import platform_tags
from mirror_tasks.archives.build_environment import From
from mirror_tasks.archives.platform_tags import name_with_needs
from mirror_tasks.archives.repacking import repack_wheel
from mirror_tasks.archives.source_build import build
from mirror_tasks.describe_environment import environment_block
from mirror_tasks.files import sealed, unsealed
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, assert_whole, packages, times
from tests.test_git_builds import LOCK, commit, entry, project_of, run_git
from tests.test_own_git import write_project
from tests.test_own_sources import installed, said

HERE = environment_block()
MACHINE = sysconfig.get_platform().replace("-", "_")  # such as linux_x86_64
BUILT = f"cp39-abi3-{MACHINE}"
OTHERS = {
    "old": {**HERE, "glibc": "2.17"},
    "musl": {**{key: value for key, value in HERE.items() if key != "glibc"}, "musl": "1.2"},
    "win": {"python": "3.12", "platform": "windows-amd64"},
}

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
needs_glibc = pytest.mark.skipif(HERE.get("glibc", "2.17") == "2.17", reason="no Linux with a newer glibc than 2.17")
pytestmark = pytest.mark.clients


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"lib": [wheel("lib", "1.0")]}) as index:
        yield index


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    write_project(folder, tag=BUILT)
    run_git(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


def with_others(tmp_path: Path, index: FakeIndex, *requirements: object, **settings: object) -> MirrorFolder:
    return project_of(tmp_path, index, *requirements, environments={"here": HERE, **OTHERS}, **settings)


def wheel_of_glibc() -> str:
    return f"tool-1.0-{BUILT}.whl".replace("-linux_", f"-manylinux_{str(HERE['glibc']).replace('.', '_')}_")


def environments_of(project: MirrorFolder, filename: str) -> list[str]:
    files = json.loads((project.state / "plan.json").read_text())["files"]
    return next(list(one["environments"]) for one in files if one["file"]["filename"] == filename)


@needs_git
@needs_glibc
def test_it_is_mirrored_for_those_that_it_runs_on_and_the_others_have_the_sdist_and_are_named(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    project = with_others(tmp_path, index, entry(repository))
    for _ in range(2):
        told = said(project.mirrored())
        assert f"tool: {wheel_of_glibc()}, built on this machine, does not fit old, musl, win: the sdist is" in told
        assert "list the folder of all of them ({wheels: FOLDER})" in told
    assert packages(project.output)["tool"] == [wheel_of_glibc(), "tool-1.0.tar.gz"]
    assert environments_of(project, wheel_of_glibc()) == ["here"]
    assert environments_of(project, "tool-1.0.tar.gz") == ["here", "musl", "old", "win"]
    assert_whole(project.output)
    assert installed(project.output, tmp_path / "site", "--only-binary=:all:", "tool") == {"tool": "1.0", "lib": "1.0"}


@needs_git
@needs_glibc
def test_an_environment_that_it_does_not_fit_and_that_may_have_no_sdist_has_no_solution_which_names_both(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    project = with_others(tmp_path, index, entry(repository), sdists="never")
    done = project.doit("mirror")
    assert done.returncode != 0
    told = said(done)
    reason = f"1.0: {wheel_of_glibc()}: no tag in common; tool-1.0.tar.gz: sdists: never"
    for name in OTHERS:
        assert f"NO SOLUTION: tool from git on {name}" in told
        assert f"none has a file for {name}: {reason}" in told
    assert "does not fit old, musl, win, and sdists: never keeps the sdist out. Set sdists: fallback, or build" in told
    assert packages(project.output)["tool"] == [wheel_of_glibc()]


@needs_git
@needs_glibc
def test_a_lock_that_names_it_names_both_as_well(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    sha = run_git(repository, "rev-parse", "HEAD")
    project = with_others(tmp_path, index, {"lock": "uv.lock"}, entry(repository, f"@{sha}"), sdists="never")
    (project.folder / "uv.lock").write_text(LOCK.format(url=repository.as_uri(), sha=sha))
    told = said(project.doit("mirror"))
    reason = f"{wheel_of_glibc()}: no tag in common; tool-1.0.tar.gz: sdists: never"
    assert f"uv.lock on old: tool 1.0: expected a file of tool 1.0 that can be used there, found none: {reason}" in told
    assert packages(project.output)["tool"] == [wheel_of_glibc()]


@needs_git
@needs_glibc
def test_nobody_is_told_of_environments_that_do_not_want_it(index: FakeIndex, repository: Path, tmp_path: Path) -> None:
    project = with_others(tmp_path, index, {**entry(repository), "environments": ["here"]})
    assert "does not fit" not in said(project.mirrored())
    assert packages(project.output)["tool"] == [wheel_of_glibc(), "tool-1.0.tar.gz"]
    project = with_others(tmp_path, index, entry(repository), wheels="none")
    assert "does not fit" not in said(project.doit("plan"))


@needs_git
@needs_glibc
def test_what_an_older_version_built_without_it_is_built_once_more_of_the_same_commit(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    project = with_others(tmp_path, index, entry(repository, "@main"))
    project.mirrored()
    record = project.state / "git" / "tool" / "built.json"
    data = unsealed(record.read_bytes())
    sdist = {name: known for name, known in data["files"].items() if name.endswith(".tar.gz")}
    record.write_bytes(sealed({**data, "format": 1, "files": sdist, "without_wheel": "it fits only machines such as"}))
    write_project(repository, "2.0")
    commit(repository, "two")
    before = times(project.output)
    done = project.mirrored()
    assert "is commit" not in said(done)
    assert times(project.output) == before
    assert unsealed(record.read_bytes()) == data


@needs_git
def test_of_another_kind_of_machine_nobody_knows_what_it_needs(
    index: FakeIndex, repository: Path, tmp_path: Path
) -> None:
    write_project(repository, tag="py3-none-linux_z80")
    commit(repository, "two")
    project = project_of(tmp_path, index, entry(repository))
    reason = "tool-1.0-py3-none-linux_z80.whl does not say which C library it needs, and is not for this machine"
    assert reason in said(project.mirrored())
    assert packages(project.output)["tool"] == ["tool-1.0.tar.gz"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_what_a_compiler_makes_is_the_same_each_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_project(source, tag=BUILT)
    compiled = (
        "def compiled():\n    import subprocess\n"
        "    subprocess.run(['cc', '-g', '-shared', '-fPIC', '-o', 'native.so', 'native.c'], check=True, cwd=HERE)\n"
        "    return (HERE / 'native.so').read_bytes()\n"
    )
    backend = (source / "backend.py").read_text()
    member = '("tool.py", "X = 1"),'
    (source / "backend.py").write_text(backend.replace(member, f'{member} ("native.so", compiled()),') + compiled)
    (source / "native.c").write_text("int answer(void) { return 42; }\n")
    made = []
    for name in ("one", "two"):
        built = build(source, tmp_path / name, tmp_path / "place", 1700000000, From(None), "tool")
        assert built.wheel is not None, built.without_wheel
        made.append(built.wheel.read_bytes())
    assert made[0] == made[1]
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize(
    ("machine", "built", "named"),
    [
        (["linux_x86_64", "manylinux_2_36_x86_64", "manylinux_2_35_x86_64"], "linux_x86_64", "manylinux_2_36_x86_64"),
        (["manylinux_2_17_i686", "manylinux2014_i686", "linux_i686"], "linux_i686", "manylinux_2_17_i686"),
        (["musllinux_1_2_aarch64", "musllinux_1_1_aarch64", "linux_aarch64"], "linux_aarch64", "musllinux_1_2_aarch64"),
        (["manylinux_2_36_x86_64", "linux_x86_64"], "linux_aarch64", None),
        (["linux_x86_64"], "linux_x86_64", None),
        (["manylinux_2_36_x86_64"], "manylinux_2_17_x86_64", "manylinux_2_17_x86_64"),
        (["manylinux_2_36_x86_64"], "linux_x86_64.macosx_11_0_arm64", "manylinux_2_36_x86_64.macosx_11_0_arm64"),
        (["macosx_14_0_arm64"], "macosx_11_0_universal2", "macosx_11_0_universal2"),
        (["win_amd64"], "win_amd64", "win_amd64"),
        (["win_amd64"], "any", "any"),
    ],
)
def test_its_tags_say_which_c_library_it_needs(
    monkeypatch: pytest.MonkeyPatch, machine: list[str], built: str, named: str | None
) -> None:
    monkeypatch.setattr(platform_tags, "platform_tags", lambda: iter(machine))
    assert name_with_needs(f"tool-1.0-cp312-cp312-{built}.whl") == (named and f"tool-1.0-cp312-cp312-{named}.whl")


def test_its_own_record_holds_when_its_tags_say_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform_tags, "platform_tags", lambda: iter(["manylinux_2_36_x86_64"]))
    said_of_itself = "Wheel-Version: 1.0\r\nTag: cp39-abi3-linux_x86_64\r\nTag: py3-none-linux_x86_64\r\nBuild: 1\r\n"
    record = "tool.py,sha256=abc,3\r\ntool-1.0.dist-info/WHEEL,sha256=old,1\r\ntool-1.0.dist-info/RECORD,,\r\n"
    built = tmp_path / "tool-1.0-1-cp39.py3-abi3.none-linux_x86_64.whl"
    with zipfile.ZipFile(built, "w") as archive:
        archive.writestr("tool.py", "abc")
        archive.writestr("tool-1.0.dist-info/WHEEL", said_of_itself)
        archive.writestr("tool-1.0.dist-info/RECORD", record)
    target = tmp_path / str(name_with_needs(built.name))
    repack_wheel(built, target, 1700000000)
    with zipfile.ZipFile(target) as packed:
        found = packed.read("tool-1.0.dist-info/WHEEL")
        assert found.decode() == said_of_itself.replace("-linux_x86_64", "-manylinux_2_36_x86_64")
        digest = base64.urlsafe_b64encode(hashlib.sha256(found).digest()).decode().rstrip("=")
        line = f"WHEEL,sha256={digest},{len(found)}"
        assert packed.read("tool-1.0.dist-info/RECORD").decode() == record.replace("WHEEL,sha256=old,1", line)
