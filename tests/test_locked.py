"""A lock is carried to the letter: the files that it names, or a fault that names them, and never a substitute."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.lock_files.model import Lock, LockedFile, LockedPackage, Selection
from mirror_tasks.config.model import Root
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.completion import Completion
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.resolve.selection import Rules
from tests import worlds
from tests.worlds import filename_of

LINUX, WINDOWS = "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-win_amd64"
INDEX = {
    "app": {"2": {}, "1": {"requires": ["lib>=2"], "build_requires": ["tool"]}},
    "lib": {"2": {"files": [LINUX, WINDOWS, "py3-none-any", "sdist"]}, "1": {"yanked": True}},
    "tool": {"2": {}, "1": {}},
}


def sha256(filename: str) -> str:
    return hashlib.sha256(filename.encode()).hexdigest()


def locked(name: str, version: str, *kinds: str) -> LockedPackage:
    files = [filename_of(name, version, kind) for kind in kinds]
    found = tuple(LockedFile(filename, sha256(filename)) for filename in files)
    return LockedPackage(canonicalize_name(name), Version(version), found)


def with_file(package: LockedPackage, file: LockedFile) -> LockedPackage:
    return replace(package, files=(file, *package.files[1:]))


def lock_root(packages: Sequence[LockedPackage], *, constraints: Sequence[str] = (), only: str = "") -> Root:
    names = [only] if only else ["linux", "windows"]
    lock = Lock(
        path=Path("app/uv.lock"),
        kind="uv.lock",
        groups=(),
        extras=(),
        selected={name: (Selection(0, tuple(packages)),) for name in names},
        build_constraints=tuple(map(Requirement, constraints)),
    )
    return Root(name="app/uv.lock", key_path="requirements[0]", requirements=(), lock=lock)


def closed(tmp_path: Path, roots: Sequence[Root], index: Any = INDEX, **settings: Any) -> tuple[Closure, Plan]:
    world = worlds.world(
        {
            "environments": {
                "linux": {"python": "3.12.1", "platform": "linux-x86_64"},
                "windows": {"python": "3.12.1", "platform": "windows-amd64"},
            },
            "requirements": ["unused"],
            "index": index,
            "settings": settings,
        },
        tmp_path,
    )
    rules = Rules.of(world.config)
    closure = Closure(world.config.environments, roots, rules)
    worlds.follow(world, closure, closure.start())
    completion = Completion(closure, roots, rules, {})
    while wants := completion.step():
        worlds.follow(world, closure, wants)
    return closure, make_plan(closure, completion)


def planned(plan: Plan, environment: str) -> list[str]:
    return [one.filename for one in plan.files if environment in one.environments]


def test_every_file_that_a_lock_names_and_an_environment_can_use_is_there_and_no_other(tmp_path: Path) -> None:
    packages = [locked("app", "1", "py3-none-any"), locked("lib", "2", LINUX, WINDOWS, "py3-none-any")]
    _, plan = closed(tmp_path, [lock_root(packages)], wheels="best")
    app = "app-1-py3-none-any.whl"
    assert planned(plan, "linux") == [app, f"lib-2-{LINUX}.whl", "lib-2-py3-none-any.whl"]
    assert planned(plan, "windows") == [app, f"lib-2-{WINDOWS}.whl", "lib-2-py3-none-any.whl"]
    assert plan.is_complete


def test_what_a_lock_leaves_out_is_not_followed_and_not_substituted(tmp_path: Path) -> None:
    closure, plan = closed(tmp_path, [lock_root([locked("app", "1", "py3-none-any")])])
    assert planned(plan, "linux") == ["app-1-py3-none-any.whl"]  # neither lib, which it requires, nor app 2
    assert closure.metadata == {}
    (release,) = plan.releases
    assert release.left_out == {"app-1.tar.gz": "the lock does not name it"}
    assert {one.by for one in release.required} == {Asker("lock", "app/uv.lock")}


def test_a_yanked_release_that_a_lock_names_is_there(tmp_path: Path) -> None:
    _, plan = closed(tmp_path, [lock_root([locked("lib", "1", "py3-none-any")])])
    assert planned(plan, "linux") == ["lib-1-py3-none-any.whl"]


def test_build_requirements_of_a_locked_sdist_are_there_within_the_locks_build_constraints(tmp_path: Path) -> None:
    packages = [locked("app", "1", "py3-none-any", "sdist")]
    _, plan = closed(tmp_path, [lock_root(packages, constraints=["tool<2", 'tool<1; sys_platform == "win32"'])])
    assert "tool-1-py3-none-any.whl" in planned(plan, "linux")
    assert "tool-2-py3-none-any.whl" not in planned(plan, "linux")
    assert [(gap.environment, gap.requirement) for gap in plan.gaps] == [("windows", "tool<1,<2")]


@pytest.mark.parametrize(("sdists", "there"), [("always", ["gz", "whl"]), ("fallback", ["whl"]), ("never", ["whl"])])
def test_sdists_of_a_lock_are_there_as_sdists_says(tmp_path: Path, sdists: str, there: list[str]) -> None:
    _, plan = closed(tmp_path, [lock_root([locked("lib", "2", "py3-none-any", "sdist")])], sdists=sdists)
    assert sorted(name.rpartition(".")[2] for name in planned(plan, "linux")) == there
    assert plan.is_complete


def test_a_file_with_another_hash_upstream_is_a_fault_that_names_lock_package_file_and_both_hashes(
    tmp_path: Path,
) -> None:
    name = "app-1-py3-none-any.whl"
    changed = with_file(locked("app", "1", "py3-none-any", "sdist"), LockedFile(name, "0" * 64))
    _, plan = closed(tmp_path, [lock_root([changed], only="linux")])
    assert name not in planned(plan, "linux")
    (fault,) = plan.unsolved
    assert (fault.root, fault.environment) == ("app/uv.lock", "linux")
    url = f"{worlds.URL}app/"
    assert fault.lines == (f"app 1: {name}: expected sha256 {'0' * 64}, found sha256 {sha256(name)} on {url}",)
    assert plan.lacking == ("app/uv.lock on linux",)


def test_a_file_that_vanished_is_a_fault_where_it_would_be_used_and_nowhere_else(tmp_path: Path) -> None:
    package = locked("lib", "2", LINUX, "cp312-cp312-macosx_11_0_arm64", "py3-none-any")
    index = {"lib": {"2": {"files": ["py3-none-any"]}}}
    _, plan = closed(tmp_path, [lock_root([package])], index)
    (fault,) = plan.unsolved
    assert fault.environment == "linux"
    assert fault.lines == (
        f"lib 2: lib-2-{LINUX}.whl: expected sha256 {sha256(f'lib-2-{LINUX}.whl')} on {worlds.URL}lib/, found no such file",
    )


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (locked("gone", "1", "py3-none-any"), "gone 1: the index has no project of this name"),
        (locked("lib", "3", "py3-none-any"), "found no such file"),
        (
            locked("lib", "2", "cp39-cp39-win32"),
            "expected a file of lib 2 that can be used there, found none: no tag in common",
        ),
        (locked("lib", "2"), f"expected a file of lib 2 on {worlds.URL}lib/, found no file that the lock names"),
    ],
)
def test_a_package_without_a_file_is_a_fault_that_says_why(tmp_path: Path, package: LockedPackage, said: str) -> None:
    index = {"lib": {"2": {"files": ["py3-none-any", "cp39-cp39-win32"]}}}
    _, plan = closed(tmp_path, [lock_root([package], only="linux")], index)
    assert [one.root for one in plan.unsolved] == ["app/uv.lock"]
    assert said in plan.unsolved[0].lines[0]
    assert not plan.files


def test_a_page_that_could_not_be_had_leaves_a_lock_undecided(tmp_path: Path) -> None:
    _, plan = closed(tmp_path, [lock_root([locked("app", "1", "py3-none-any")], only="linux")], {"app": "fails"})
    assert not plan.is_complete
    assert plan.unsolved == ()


def test_hashes_without_file_names_choose_the_files_that_have_them(tmp_path: Path) -> None:
    hashes = (sha256("lib-2.tar.gz"), sha256(f"lib-2-{LINUX}.whl"))
    package = LockedPackage(canonicalize_name("lib"), Version("2"), tuple(LockedFile("", one) for one in hashes))
    _, plan = closed(tmp_path, [lock_root([package])])
    assert planned(plan, "linux") == [f"lib-2-{LINUX}.whl", "lib-2.tar.gz"]
    assert planned(plan, "windows") == ["lib-2.tar.gz"]


def test_a_requirement_beside_a_lock_is_followed_and_brings_all_files(tmp_path: Path) -> None:
    requirement = worlds.world(
        {
            "environments": {"linux": {"python": "3.12.1", "platform": "linux-x86_64"}},
            "requirements": ["app==1"],
            "index": {},
        },
        tmp_path,
    ).config.roots[0]
    lock = lock_root([locked("app", "1", "sdist")])
    for roots in ([lock, requirement], [requirement, lock]):
        _, plan = closed(tmp_path, roots)
        assert {"app-1-py3-none-any.whl", "lib-2-py3-none-any.whl"} <= set(planned(plan, "linux"))
        app = next(one for one in plan.releases if one.project == "app")
        assert app.installs["linux"] == "app-1-py3-none-any.whl"
        assert app.left_out == {}
