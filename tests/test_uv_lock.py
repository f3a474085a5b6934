"""A uv lock selects for each environment what uv itself would install from it, or is refused with a sentence."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import tomli
import uv
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import UV
from mirror_tasks.config.lock_files import uv_lock
from mirror_tasks.config.lock_files.checks import UNKNOWN_VERSION
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage, LockFile
from mirror_tasks.config.lock_files.reading import read_lock
from mirror_tasks.config.lock_files.uv_conflicts import configurations
from tests.uv_workspace import FOLDER

SHARED = next((folder / "shared/locks/uv" for folder in Path(__file__).parents if (folder / "shared").is_dir()), None)
ENVIRONMENTS = {
    "linux": environment("linux", {"python": "3.12.1", "platform": "linux-x86_64"}, "environments.linux"),
    "windows": environment("windows", {"python": "3.11.2", "platform": "windows-amd64"}, "environments.windows"),
    "macos": environment("macos", {"python": "3.13.0", "platform": "macos-arm64"}, "environments.macos"),
}
LINUX, WINDOWS, MACOS = ENVIRONMENTS.values()
A, B = "a" * 64, "b" * 64

HEAD = 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n'
PROJECT = '[[package]]\nname = "app"\nversion = "1.0"\nsource = { virtual = "." }\n'


def package(name: str, version: str = "1.0", rest: str = "", *, index: str = "https://index.example.com/simple") -> str:
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "{index}" }}\n{rest}\n'


def edges(*lines: str) -> str:
    return "[" + ", ".join(f"{{ {line} }}" for line in lines) + "]"


def depends(*lines: str) -> str:
    return f"dependencies = {edges(*lines)}\n"


def read(text: str) -> uv_lock.UvLock:
    return uv_lock.read(tomli.loads(HEAD + text if "requires-python" not in text else text), Path("uv.lock"))


def select(
    lock: LockFile,
    where: Environment = LINUX,
    groups: Collection[str] | None = None,
    extras: Collection[str] | None = None,
) -> tuple[LockedPackage, ...]:
    asked = lock.groups if groups is None else groups
    return lock.select(where, asked, lock.extras if extras is None else extras)


def names(text: str, where: Environment = LINUX, **asked: Collection[str]) -> list[str]:
    """Return what a lock selects, as "name version"."""
    return list(map(str, select(read(text), where, asked.get("groups"), asked.get("extras"))))


def refusal(text: str, where: Environment = LINUX, **asked: Collection[str]) -> str:
    with pytest.raises(ValueError, match=r"^[\w.\[\]-]+: ") as caught:
        names(text, where, **asked)
    return str(caught.value)


# What uv itself says of the same lock.


def exported(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Return the packages of what uv exports of the lock in a folder, as pylock.toml, for whatever environment."""
    own = ("--offline", "--no-config", "--no-cache", "--no-python-downloads", "--python", sys.executable)
    command = (
        uv.find_uv_bin(),
        "export",
        "--quiet",
        "--frozen",
        "--format",
        "pylock.toml",
        "--no-emit-workspace",
        *own,
    )
    done = subprocess.run((*command, *options), cwd=folder, capture_output=True, check=False, env={})
    assert done.returncode == 0, done.stderr.decode()
    return list(tomli.loads(done.stdout.decode())["packages"])


def installed(packages: Collection[dict[str, Any]], where: Environment) -> set[tuple[object, ...]]:
    """Return name, version, index and files of the exported packages whose marker holds."""
    here = {**where.markers[0], "extra": ""}
    held = [one for one in packages if "marker" not in one or Marker(one["marker"]).evaluate(here)]
    return {(one["name"], Version(one["version"]), one["index"], frozenset(files_exported(one))) for one in held}


def files_exported(package: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for file in (*([package["sdist"]] if "sdist" in package else []), *package.get("wheels", [])):
        yield unquote(file["url"].rpartition("/")[2]), file["hashes"]["sha256"], file["url"]


def as_exported(packages: Collection[LockedPackage]) -> set[tuple[object, ...]]:
    return {
        (one.name, one.version, one.index, frozenset((file.filename, file.sha256, file.url) for file in one.files))
        for one in packages
    }


@pytest.fixture(scope="module")
def workspace() -> uv_lock.UvLock:
    path = FOLDER / "uv.lock"
    return uv_lock.read(tomli.loads(path.read_text("utf-8")), path)


SIDES = [("--extra", "cpu"), ("--extra", "cuda")], [("--group", "old"), ("--group", "new"), ("--extra", "tools")]


@pytest.fixture(scope="module")
def every_choice() -> list[dict[str, Any]]:
    """All that uv exports of the workspace, over each choice of one or none of each of its conflicts."""
    found: list[dict[str, Any]] = []
    for choice in product(*([*sides, None] for sides in SIDES)):
        left_out = [side for sides in SIDES for side in sides if side not in choice]
        options = [word for kind, name in left_out for word in (kind.replace("--", "--no-"), name)]
        found += exported(FOLDER, "--all-packages", "--all-groups", "--all-extras", *options)
    return found


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_workspace_selects_what_uv_exports_with_each_side_of_each_conflict(
    workspace: uv_lock.UvLock, every_choice: list[dict[str, Any]], name: str
) -> None:
    where = ENVIRONMENTS[name]
    assert as_exported(select(workspace, where)) == installed(every_choice, where)
    assert len({one.version for one in select(workspace, where) if one.name == "torch"}) == 3


@pytest.mark.parametrize(
    ("groups", "extras"),
    [([], []), (["dev"], ["cpu"]), (["old", "typing"], ["cuda", "docs"]), (["test"], ["tools", "cuda"]), (["new"], [])],
)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_groups_and_extras_that_go_together_select_what_uv_exports_with_them(
    workspace: uv_lock.UvLock, groups: list[str], extras: list[str], name: str
) -> None:
    asked = [f"--group={group}" for group in groups] + [f"--extra={extra}" for extra in extras]
    packages = exported(FOLDER, "--all-packages", "--no-default-groups", *asked)
    where = ENVIRONMENTS[name]
    assert as_exported(select(workspace, where, groups, extras)) == installed(packages, where)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_real_lock_selects_what_uv_exports_of_it(name: str) -> None:
    if SHARED is None:
        pytest.skip("the folder of shared locks, ../shared/locks/uv, is not there")
    lock = uv_lock.read(tomli.loads((SHARED / "uv.lock").read_text("utf-8")), SHARED / "uv.lock")
    packages, where = exported(SHARED, "--all-groups", "--all-extras"), ENVIRONMENTS[name]
    assert as_exported(select(lock, where)) == installed(packages, where)
    assert len(select(lock, where)) > 60


def test_the_door_knows_a_uv_lock_and_asks_it_where_its_markers_change_their_answer() -> None:
    minor = environment("minor", {"python": "3.11", "platform": "windows-amd64"}, "environments.minor")
    lock = read_lock(FOLDER / "uv.lock", "uv.lock", [minor, LINUX], None, None)
    assert lock.kind == "uv.lock"
    with_tomli = {one.patch: "tomli 2.0" in map(str, one.packages) for one in lock.selected["minor"]}
    assert with_tomli == {0: True, 4: False}
    assert [one.patch for one in lock.selected["linux"]] == [0]


def test_a_lock_says_what_can_be_asked_of_it(workspace: uv_lock.UvLock) -> None:
    assert sorted(workspace.groups) == ["dev", "lint", "new", "nothing", "old", "test", "typing"]
    assert sorted(workspace.extras) == ["all", "cpu", "cuda", "docs", "fmt", "plot", "tools"]
    assert workspace.requires_python == ">=3.11"
    assert workspace.installer is UV
    constraints = ["hatchling<2", 'setuptools>=60; python_full_version < "3.12"']
    assert list(map(str, workspace.build_constraints)) == constraints


# Edges.


def test_edges_are_followed_and_what_none_leads_to_is_left() -> None:
    text = (
        PROJECT
        + depends('name = "one"')
        + package("one", rest=depends('name = "two"'))
        + package("two")
        + package("far")
    )
    assert names(text) == ["one 1.0", "two 1.0"]


def test_edges_are_followed_where_their_marker_holds() -> None:
    marker = "sys_platform == 'win32' and python_full_version < '3.12'"
    text = PROJECT + depends(f'name = "one", marker = "{marker}"') + package("one")
    assert names(text) == []
    assert names(text, WINDOWS) == ["one 1.0"]


def test_a_cycle_is_walked_once() -> None:
    text = PROJECT + depends('name = "one"') + package("one", rest=depends('name = "two"'))
    assert names(text + package("two", rest=depends('name = "one"', 'name = "two"'))) == ["one 1.0", "two 1.0"]


def test_an_edge_takes_the_extras_that_it_asks_for_and_passes_over_those_that_are_not_there() -> None:
    extras = '[package.optional-dependencies]\nfast = [{ name = "two" }]\nslow = [{ name = "three" }]'
    text = PROJECT + depends('name = "one", extra = ["Fast", "gone"]') + package("one", rest=extras)
    assert names(text + package("two") + package("three")) == ["one 1.0", "two 1.0"]


ASKED = (
    PROJECT
    + """
[package.optional-dependencies]
x = [{ name = "one" }]
y = [{ name = "two" }]
[package.dev-dependencies]
test = [{ name = "three" }]
[package.metadata]
provides-extras = ["y", "x", "none"]
[package.metadata.requires-dev]
lint = []
"""
    + package("one")
    + package("two")
    + package("three")
)


def test_only_what_is_asked_for_of_extras_and_groups_is_selected() -> None:
    lock = read(ASKED)
    assert (lock.groups, lock.extras) == (("lint", "test"), ("y", "x", "none"))
    assert names(ASKED, groups=[], extras=["x"]) == ["one 1.0"]
    assert names(ASKED, groups=["test", "lint"], extras=["none"]) == ["three 1.0"]
    assert names(ASKED) == ["one 1.0", "three 1.0", "two 1.0"]


def test_of_several_versions_an_edge_says_which() -> None:
    one = 'name = "one", version = "1.0", marker = "sys_platform == \'linux\'"'
    two = (
        'name = "one", version = "2.0", source = { registry = "https://b.example.com/" }, marker = "os_name == \'nt\'"'
    )
    text = PROJECT + depends(one, two) + package("one") + package("one", "2.0", index="https://b.example.com/")
    assert names(text) == ["one 1.0"]
    assert [(str(one), one.index) for one in select(read(text), WINDOWS)] == [("one 2.0", "https://b.example.com/")]


def test_one_version_from_two_indexes_is_told_apart_by_its_source() -> None:
    line = 'name = "one", version = "1.0", source = {{ registry = "https://{}.example.com/" }}, marker = "os_name == \'{}\'"'
    text = PROJECT + depends(line.format("a", "posix"), line.format("b", "nt"))
    text += package("one", index="https://a.example.com/") + package("one", index="https://b.example.com/")
    for where, index in ((LINUX, "https://a.example.com/"), (WINDOWS, "https://b.example.com/")):
        assert [one.index for one in select(read(text), where)] == [index]
    both = text.replace("os_name == 'nt'", "os_name != 'nt'").replace("https://a.", "https://c.")
    assert [one.index for one in select(read(both))] == ["https://b.example.com/", "https://c.example.com/"]


# Conflicts.

LIBS = "".join(package("lib", f"{number}.0") for number in range(4))


def lib(number: int, marker: str = "") -> str:
    return f'name = "lib", version = "{number}.0"' + (f', marker = "{marker}"' if marker else "")


TWO_SIDES = (
    'conflicts = [[{ package = "app", extra = "cpu" }, { package = "app", extra = "gpu" }]]\n'
    + PROJECT
    + depends(
        lib(1, "extra == 'extra-3-app-cpu'"),
        lib(2, "extra == 'extra-3-app-gpu'"),
        lib(0, "extra == 'extra-3-app-cpu' and extra == 'extra-3-app-gpu'"),
        lib(3, "extra != 'extra-3-app-cpu' and extra != 'extra-3-app-gpu' and sys_platform != 'win32'"),
    )
    + f"""[package.optional-dependencies]
cpu = {edges(lib(1))}
gpu = {edges(lib(2))}
[package.dev-dependencies]
test = [{{ name = "app", extra = ["cpu"] }}]
"""
    + LIBS
)


def test_each_side_of_a_conflict_is_followed_and_none_of_them_but_never_two_at_once() -> None:
    assert names(TWO_SIDES) == ["lib 1.0", "lib 2.0", "lib 3.0"]
    assert names(TWO_SIDES, WINDOWS) == ["lib 1.0", "lib 2.0"]


def test_one_side_that_is_asked_for_alone_is_all_that_is_followed() -> None:
    assert names(TWO_SIDES, groups=[], extras=["gpu"]) == ["lib 2.0"]
    assert names(TWO_SIDES, groups=[], extras=["cpu"]) == ["lib 1.0"]
    assert names(TWO_SIDES, groups=[], extras=[]) == ["lib 3.0"]


def test_an_extra_that_a_group_asks_for_is_active_everywhere() -> None:
    assert names(TWO_SIDES, groups=["test"], extras=[]) == ["lib 1.0"]


def test_an_extra_that_an_edge_far_away_asks_for_is_known_before_any_edge_is_judged() -> None:
    far = package("one", rest=depends('name = "two"')) + package("two", rest=depends('name = "app", extra = ["cpu"]'))
    text = TWO_SIDES.replace("test = [", 'far = [{ name = "one" }]\ntest = [') + far
    assert names(text, groups=["far"], extras=[]) == ["lib 1.0", "one 1.0", "two 1.0"]


def test_an_extra_that_an_edge_asks_for_may_be_there_beside_a_group_that_it_conflicts_with() -> None:
    """uv refuses the two only where both are asked for by name."""
    group = '{ package = "app", group = "old" }'
    text = TWO_SIDES.replace('{ package = "app", extra = "gpu" }', group).replace("extra-3-app-gpu", "group-3-app-old")
    text = text.replace("test = [", f"old = {edges(lib(2))}\ntest = [")
    assert names(text, groups=["old", "test"], extras=[]) == ["lib 0.0", "lib 1.0", "lib 2.0"]
    assert names(text, groups=["old"], extras=[]) == ["lib 2.0"]


def test_an_extra_without_dependencies_conflicts_by_its_name_and_is_not_active() -> None:
    text = TWO_SIDES.replace(f"cpu = {edges(lib(1))}\n", "").replace('test = [{ name = "app", extra = ["cpu"] }]', "")
    assert set(read(text).extras) == {"cpu", "gpu"}
    assert names(text) == ["lib 2.0", "lib 3.0"]
    assert names(text, extras=["gpu"]) == ["lib 2.0"]


def test_the_edges_of_a_group_are_judged_before_those_behind_them() -> None:
    """As uv does: an extra that only an edge further on asks for is not active yet."""
    group = "test = [" + "{ " + lib(0, "extra == 'extra-3-app-cpu'") + " }, " + '{ name = "one" }]'
    far = package("one", rest=depends('name = "app", extra = ["cpu"]'))
    text = TWO_SIDES.replace('test = [{ name = "app", extra = ["cpu"] }]', group) + far
    assert names(text, groups=["test"], extras=[]) == ["lib 1.0", "one 1.0"]
    assert names(text, groups=["test"], extras=["cpu"]) == ["lib 0.0", "lib 1.0", "one 1.0"]


def test_an_edge_that_asks_for_an_extra_is_judged_as_if_the_extra_was_there() -> None:
    asking = 'test = [{ name = "app", extra = ["cpu"], marker = "extra == \'extra-3-app-cpu\'" }]'
    text = TWO_SIDES.replace('test = [{ name = "app", extra = ["cpu"] }]', asking)
    assert names(text, groups=["test"], extras=[]) == ["lib 1.0"]


def test_of_extras_that_groups_ask_for_two_of_a_conflict_never_meet() -> None:
    never = lib(0, "extra == 'extra-3-app-gpu'")
    text = TWO_SIDES.replace("test = [", 'other = [{ name = "app", extra = ["gpu"] }]\ntest = [')
    text = text.replace(f"cpu = {edges(lib(1))}", f"cpu = {edges(lib(1), never)}")
    assert names(text, groups=["test", "other"], extras=[]) == ["lib 1.0", "lib 2.0", "lib 3.0"]


def test_an_extra_without_dependencies_is_there_beside_an_extra_that_an_edge_asks_for() -> None:
    text = TWO_SIDES.replace(f"gpu = {edges(lib(2))}\n", "")
    assert names(text, groups=["test"], extras=["gpu"]) == ["lib 1.0"]


def test_an_extra_without_dependencies_that_an_edge_asks_for_is_passed_over() -> None:
    assert names(TWO_SIDES.replace(f"cpu = {edges(lib(1))}\n", ""), groups=["test"], extras=[]) == ["lib 3.0"]


def test_a_conflict_of_a_package_that_is_no_member_has_nothing_to_ask_for() -> None:
    text = 'conflicts = [[{ package = "other", extra = "x" }, { package = "other", group = "y" }]]\n' + PROJECT
    assert (read(text).extras, read(text).groups) == ((), ())


def test_sides_of_different_conflicts_meet() -> None:
    text = (
        """conflicts = [
    [{ package = "app", extra = "cpu" }, { package = "app", extra = "gpu" }],
    [{ package = "app", group = "old" }, { package = "app", group = "new" }],
]
"""
        + PROJECT
        + depends(
            lib(1, "extra == 'extra-3-app-cpu' and extra == 'group-3-app-new'"),
            lib(2, "extra == 'group-3-app-old' and extra == 'group-3-app-new'"),
            lib(3, "extra != 'extra-3-app-cpu' and extra != 'extra-3-app-gpu' and extra == 'group-3-app-old'"),
        )
        + f"""[package.optional-dependencies]
cpu = {edges(lib(1))}
gpu = {edges(lib(1))}
[package.dev-dependencies]
old = {edges(lib(1))}
new = {edges(lib(1))}
"""
        + LIBS
    )
    assert names(text) == ["lib 1.0", "lib 3.0"]


def test_projects_that_conflict_are_each_followed() -> None:
    member = '[[package]]\nname = "{}"\nversion = "1"\nsource = {{ editable = "{}" }}\n'
    text = 'conflicts = [[{ package = "one" }, { package = "two" }]]\n[manifest]\nmembers = ["one", "two"]\n'
    for name, number in (("one", 1), ("two", 2)):
        both = "extra == 'project-3-one' and extra == 'project-3-two'"
        text += member.format(name, name) + depends(lib(number, f"extra == 'project-3-{name}'"), lib(3, both))
    assert names(text + LIBS) == ["lib 1.0", "lib 2.0"]


def test_with_too_many_conflicts_every_edge_is_followed_that_some_choice_could_have() -> None:
    extras = [f"x{number}" for number in range(14)]
    sets = ", ".join(
        f'[{{ package = "app", extra = "{one}" }}, {{ package = "app", extra = "{one}-b" }}]' for one in extras
    )
    table = "\n".join(f"{one} = {edges(lib(1))}\n{one}-b = {edges(lib(2))}" for one in extras)
    marker = "extra != 'extra-3-app-x1' and extra == 'extra-3-app-x2' and sys_platform == '{}'"
    text = f"conflicts = [{sets}]\n" + PROJECT + depends(lib(3, marker.format("linux")), lib(0, marker.format("win32")))
    text += f"[package.optional-dependencies]\n{table}\n" + LIBS
    assert names(text) == ["lib 1.0", "lib 2.0", "lib 3.0"]
    assert names(text, groups=[], extras=["x1", "x2"]) == ["lib 1.0"]


@settings(max_examples=50, deadline=None, database=None)
@given(
    st.lists(st.frozensets(st.sampled_from("abcdefgh"), max_size=4), max_size=5),
    st.frozensets(st.sampled_from("abcdefg")),
)
def test_configurations_are_the_choices_without_a_conflict(
    conflicts: list[frozenset[str]], asked: frozenset[str]
) -> None:
    found = configurations(conflicts, asked, ())
    assert found is not None
    contested = {one for group in conflicts for one in group & asked if len(group & asked) > 1}
    assert set(found.asked) == contested
    choices = [{one for one in contested if found.asked[one] >> number & 1} for number in range(found.all.bit_length())]
    subsets = [set(chosen) for size in range(len(contested) + 1) for chosen in combinations(contested, size)]
    whole = [one for one in subsets if all(len(one & group) < 2 for group in conflicts)]
    assert sorted(map(sorted, choices)) == sorted(map(sorted, whole))


def test_the_choices_are_bounded() -> None:
    pairs = [frozenset({f"a{number}", f"b{number}"}) for number in range(200)]
    assert configurations(pairs, {item for pair in pairs for item in pair}, ()) is None


# What is passed over, and what the lock itself requires.


def test_members_and_what_is_never_installed_are_passed_over_and_their_edges_followed() -> None:
    text = """[manifest]
members = ["app", "tool"]
[[package]]
name = "app"
source = { editable = "app" }
dependencies = [{ name = "tool" }, { name = "bare" }]
[[package]]
name = "tool"
version = "1.0"
source = { directory = "tool" }
dependencies = [{ name = "one" }]
[[package]]
name = "bare"
version = "1.0"
source = { virtual = "../bare" }
dependencies = [{ name = "two" }]
"""
    assert names(text + package("one") + package("two")) == ["one 1.0", "two 1.0"]


def test_groups_and_extras_of_what_is_no_member_are_not_asked_for() -> None:
    other = """[[package]]
name = "other"
version = "1.0"
source = { editable = "../other" }
[package.optional-dependencies]
x = [{ name = "one" }]
[package.dev-dependencies]
test = [{ name = "one" }]
"""
    text = PROJECT + depends('name = "other"') + other + package("one")
    assert (read(text).groups, read(text).extras) == ((), ())
    assert names(text) == ["other 1.0"]


SCRIPT = (
    """[manifest]
requirements = [{ name = "one", extras = ["x"] }, { name = "two", marker = "sys_platform == 'win32'", specifier = ">1" }]
"""
    + package(
        "one",
        rest="resolution-markers = [\"sys_platform == 'linux'\"]\n[package.optional-dependencies]\nx = [{ name = 'far' }]",
    )
    + package("one", "2.0", rest="resolution-markers = [\"sys_platform == 'win32'\"]")
    + package("two")
    + package("far")
)


def test_what_a_script_requires_is_followed_in_the_fork_of_the_environment() -> None:
    assert names(SCRIPT) == ["far 1.0", "one 1.0"]
    assert names(SCRIPT, WINDOWS) == ["one 2.0", "two 1.0"]
    assert 'sys_platform == "win32"' in read(SCRIPT).markers
    assert "manifest.requirements[0].name: expected one package one whose" in refusal(SCRIPT, MACOS)


def test_groups_without_a_project_are_followed() -> None:
    text = '[manifest.dependency-groups]\nDev = [{ name = "one" }]\nlint = [{ name = "two" }]\n'
    text += package("one") + package("two")
    assert read(text).groups == ("dev", "lint")
    assert names(text, groups=["dev"]) == ["one 1.0"]
    assert names(text) == ["one 1.0", "two 1.0"]


# Where packages come from.

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("source", "rest", "expected"),
    [
        (
            'registry = "../wheels"',
            'wheels = [{ path = "one-1.0.whl" }, { path = "two.whl" }]',
            "../wheels/one-1.0.whl",
        ),
        ('registry = "file:///wheels"', "", "file:///wheels"),
        ('path = "../one-1.0.tar.gz"', f'sdist = {{ hash = "sha256:{A}" }}', "../one-1.0.tar.gz"),
        ('directory = "../one"', "", "../one"),
        ('editable = "../one"', "", "../one"),
        ('url = "https://files.example.com/one-1.0.zip"', "", "https://files.example.com/one-1.0.zip"),
        (
            'url = "https://me:secret@files.example.com/one-1.0.zip", subdirectory = "src/one"',
            f'sdist = {{ hash = "sha256:{A.upper()}" }}',
            f"https://files.example.com/one-1.0.zip#sha256={A}&subdirectory=src/one",
        ),
        (
            'url = "https://files.example.com/one-1.0-py3-none-any.whl"',
            f'wheels = [{{ url = "https://files.example.com/one-1.0-py3-none-any.whl", hash = "sha256:{B}" }}]',
            f"https://files.example.com/one-1.0-py3-none-any.whl#sha256={B}",
        ),
        (
            f'git = "https://token@git.example.com/one?tag=v1&subdirectory=a%2Fb&lfs=true#{COMMIT}"',
            "",
            f"git+https://git.example.com/one@{COMMIT}#subdirectory=a/b&lfs=true",
        ),
        (f'git = "ssh://git:secret@git.example.com/one#{COMMIT}"', "", f"git+ssh://git@git.example.com/one@{COMMIT}"),
        (f'git = "file:///srv/one?rev=main#{COMMIT}"', "", f"git+file:///srv/one@{COMMIT}"),
    ],
)
def test_a_source_that_is_no_index_stands_as_a_requirement_has_it(source: str, rest: str, expected: str) -> None:
    text = PROJECT + depends('name = "one"')
    text += f'[[package]]\nname = "one"\nversion = "1.0"\nsource = {{ {source} }}\n{rest}'
    (found,) = select(read(text))
    assert (found.source, found.index, found.files) == (expected, None, ())


def test_a_source_tree_without_a_version_has_the_version_that_stands_for_none() -> None:
    text = PROJECT + depends('name = "one"') + '[[package]]\nname = "one"\nsource = { directory = "../one" }\n'
    assert names(text) == [f"one {UNKNOWN_VERSION}"]


def test_files_are_named_by_the_last_part_of_where_they_were() -> None:
    rest = f"""sdist = {{ url = "https://me:secret@files.example.com/a%20b/one-1.0.tar.gz?x=/y#z", hash = "sha256:{A}" }}
wheels = [
    {{ url = "https://files.example.com/one-1.0%2Bcpu-py3-none-any.whl", hash = "sha256:{B.upper()}", size = 3 }},
    {{ url = "https://files.example.com/one-1.0-py2-none-any.whl", hash = "md5:{"c" * 32}" }},
    {{ path = "deep/one-1.0-cp312-none-any.whl" }},
    {{ filename = "one-1.0-cp313-none-any.whl", hash = "sha512:{"d" * 128}" }},
]
"""
    (found,) = select(read(PROJECT + depends('name = "one"') + package("one", rest=rest)))
    assert found.files == (
        LockedFile("one-1.0.tar.gz", A, "https://files.example.com/a%20b/one-1.0.tar.gz?x=/y"),
        LockedFile("one-1.0+cpu-py3-none-any.whl", B, "https://files.example.com/one-1.0%2Bcpu-py3-none-any.whl"),
        LockedFile("one-1.0-py2-none-any.whl", None, "https://files.example.com/one-1.0-py2-none-any.whl"),
        LockedFile("one-1.0-cp312-none-any.whl"),
        LockedFile("one-1.0-cp313-none-any.whl"),
    )


def test_an_index_has_no_credentials() -> None:
    text = PROJECT + depends('name = "one"') + package("one", index="https://me:secret@index.example.com/simple")
    assert [one.index for one in select(read(text))] == ["https://index.example.com/simple"]


def test_build_constraints_are_requirements() -> None:
    lines = [
        'name = "a", specifier = "<2,>=1", marker = "os_name == \'nt\'"',
        'name = "B", extras = ["x", "y"]',
        'name = "c", url = "https://me:secret@files.example.com/c.zip"',
        'name = "d", git = "https://git.example.com/d?rev=v1&subdirectory=s"',
        'name = "e", directory = "../e"',
    ]
    text = f"[manifest]\nbuild-constraints = {edges(*lines)}\n" + PROJECT
    expected = [
        'a<2,>=1; os_name == "nt"',
        "b[x,y]",
        "c @ https://files.example.com/c.zip",
        "d @ git+https://git.example.com/d@v1#subdirectory=s",
        "e @ ../e",
    ]
    assert read(text).build_constraints == tuple(map(Requirement, expected))


# Markers and environments.


def test_every_marker_is_handed_on() -> None:
    marker = "extra == 'extra-3-app-x' or python_full_version < '3.12.4'"
    text = PROJECT + depends(f'name = "one", marker = "{marker}"', "name = 'two', marker = 'os_name == \"nt\"'")
    text += package("one", rest="resolution-markers = [\"python_full_version < '3.13'\"]") + package("two")
    text = "supported-markers = [\"python_full_version > '3'\"]\n" + text
    assert set(read(text).markers) == {
        'python_full_version > "3"',
        'extra == "extra-3-app-x" or python_full_version < "3.12.4"',
        'os_name == "nt"',
        'python_full_version < "3.13"',
    }


def test_an_environment_that_the_lock_is_not_for_is_refused_as_uv_does() -> None:
    supported = "supported-markers = [\"sys_platform == 'linux'\", \"sys_platform == 'darwin'\"]\n"
    text = supported + PROJECT + depends('name = "one"') + package("one")
    assert names(text, MACOS) == ["one 1.0"]
    expected = 'expected an environment where sys_platform == "linux" or where sys_platform == "darwin", found another'
    assert expected in refusal(text, WINDOWS)


# Versions of the format, and locks that are broken.


def test_a_newer_version_is_refused_by_name_and_a_newer_revision_is_read() -> None:
    text = 'version = 1\nrevision = 99\nrequires-python = ">=3.11"\nnew-key = 1\n' + PROJECT
    assert names(text) == []
    assert names(text.replace("revision = 99\n", "")) == []
    said = refusal(text.replace("version = 1\n", "version = 2\n"))
    assert said.startswith("version: this project reads version 1 of uv.lock, found version 2; ")


BROKEN = (
    PROJECT
    + depends('name = "one"')
    + package(
        "one", rest=f'wheels = [{{ url = "https://files.example.com/one-1.0-py3-none-any.whl", hash = "sha256:{A}" }}]'
    )
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version = 1\n", "", "version: expected 1, found None"),
        ("version = 1\n", "version = true\n", "version: expected a whole number, found True"),
        ("version = 1\n", "version = 0\n", "version: expected 1, found 0"),
        ("revision = 3\n", 'revision = "3"\n', "revision: expected a whole number, found '3'"),
        ('requires-python = ">=3.11"\n', "", "requires-python: expected a string, found None"),
        ('requires-python = ">=3.11"\n', 'requires-python = "3"\n', "requires-python: expected versions of Python"),
        ('name = "app"', "", "package[0].name: expected a string, found None"),
        ('name = "app"', 'name = "../app"', "package[0].name: expected a name of letters"),
        ('virtual = "."', 'virtual = ".."', "manifest.members: expected members, or a package whose source is"),
        ('virtual = "."', "virtual = 1", "package[0].source.virtual: expected a string, found 1"),
        ('source = { virtual = "." }', "", "package[0].source: expected one of registry, git, url"),
        ('source = { virtual = "." }', 'source = "."', "package[0].source: expected a table, found '.'"),
        ('{ name = "one" }', "1", "package[0].dependencies[0]: expected a table, found 1"),
        ('{ name = "one" }', '{ name = "two" }', "package[0].dependencies[0]: expected a package two, found none"),
        ('{ name = "one" }', '{ name = "one", version = "2" }', "package[0].dependencies[0]: expected a package one 2"),
        ('{ name = "one" }', '{ name = "one", version = "?" }', "package[0].dependencies[0].version: expected a version"),
        ('{ name = "one" }', '{ name = "one", extra = "x" }', "package[0].dependencies[0].extra: expected a list"),
        ('{ name = "one" }', '{ name = "one", extra = [1] }', "package[0].dependencies[0].extra[0]: expected a string"),
        ('{ name = "one" }', '{ name = "one", marker = "x" }', "package[0].dependencies[0].marker: expected a marker"),
        ('{ name = "one" }', '{ name = "one", source = { registry = "x" } }', "a package one of this source, found none"),
        ('name = "one"\nversion = "1.0"', 'name = "one"', "package[1].version: expected a version, as its source"),
        ("https://index.example.com", "https://[", "package[1].source.registry: expected a URL"),
        ("https://index.example.com", "https://me:x@index.example.com:y", "found 'https://me:***@index.example.com:y/simple'"),
        ("https://files.example.com", "files", "package[1].wheels[0].url: expected a URL"),
        ("one-1.0-py3-none-any.whl", "..%5cone.whl", "package[1].wheels[0].url: expected a plain file name as its last"),
        ("one-1.0-py3-none-any.whl", "%2e%2e", "package[1].wheels[0].url: expected a plain file name as its last part"),
        ("url = ", "uri = ", "package[1].wheels[0]: expected a url, a path, or a filename, found 'none of them'"),
        ("sha256:a", "sha256:", "package[1].wheels[0].hash: expected sha256: and 64 hexadecimal digits"),
        ("sha256:", "crc:", "package[1].wheels[0].hash: expected sha256: and 64 hexadecimal digits"),
    ],
)  # fmt: skip
def test_a_broken_lock_is_refused_with_its_place_and_what_was_expected(old: str, new: str, expected: str) -> None:
    broken = (HEAD + BROKEN).replace(old, new, 1)
    assert broken != HEAD + BROKEN
    with pytest.raises(ValueError, match=re.escape(expected)) as caught:
        read_whole(broken)
    assert str(caught.value).endswith("; make the lock anew with `uv lock`")


def read_whole(text: str) -> uv_lock.UvLock:
    return uv_lock.read(tomli.loads(text), Path("uv.lock"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[manifest]\nmembers = ["app", "gone"]\n' + PROJECT, "manifest.members[1]: expected one package gone, found '0 of"),
        ("package = 1\n", "package: expected a list, found 1"),
        ("package = [1]\n", "package[0]: expected a table, found 1"),
        ("conflicts = [1]\n" + PROJECT, "conflicts[0]: expected a list, found 1"),
        ("conflicts = [[1]]\n" + PROJECT, "conflicts[0][0]: expected a table, found 1"),
        ('conflicts = [[{ extra = "x" }]]\n' + PROJECT, "conflicts[0][0].package: expected a string"),
        ('conflicts = [[{ package = "x", extra = "x", group = "y" }]]\n' + PROJECT, "conflicts[0][0]: expected an extra or"),
        ('supported-markers = ["x"]\n' + PROJECT, "supported-markers[0]: expected a marker"),
        (f'supported-markers = ["{"(" * 999}os_name == \'nt\'{")" * 999}"]\n' + PROJECT, "supported-markers[0]: expected a"),
        ('[manifest]\nbuild-constraints = [{ name = "x", specifier = "?" }]\n' + PROJECT, "manifest.build-constraints[0]: "),
        (f'version = 1\nrequires-python = ">={"3" * 5000}"\n', "requires-python: expected versions of Python"),
        ('supported-markers = ["os_name == \'a\\nb\'"]\n', "supported-markers[0]: expected a marker"),
        (PROJECT + '[[package]]\nname = "x"\nsource = { editable = "a\\nb" }\n', "source.editable: expected a URL or a path"),
        (PROJECT + "[package.optional-dependencies]\nX = []\nx = []\n", "expected each name once, found X and x"),
        (PROJECT + package("one") + package("one"), "package[2]: expected each package once, found one here and in package[1]"),
        (
            PROJECT + depends('name = "one"') + package("one") + package("one", "2.0"),
            "package[0].dependencies[0]: 2 packages are one; expected `version` and `source` of one of them",
        ),
        (
            PROJECT + '[[package]]\nname = "one"\nversion = "1"\nsource = { git = "https://git.example.com/one#main" }\n',
            "package[1].source.git: expected a commit behind the #",
        ),
    ],
)  # fmt: skip
def test_a_lock_that_does_not_hold_together_is_refused(text: str, expected: str) -> None:
    assert expected in refusal(text)


# Whatever stands in a lock, it is read or refused with a sentence.

WHOLE: dict[str, Any] = tomli.loads((FOLDER / "uv.lock").read_text("utf-8"))
SCRAPS: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        -1,
        3,
        1.5,
        "",
        "x",
        "1.0",
        ">=1",
        "os_name == 'nt'",
        "extra == 'extra-3-app-cpu'",
        "../x",
        "https://[",
        [],
        {},
    ]
) | st.builds(
    lambda key, value: {key: value}, st.sampled_from(["name", "registry", "git", "marker", "a\nb"]), st.text(max_size=5)
)


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*at, key))


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from(list(places(WHOLE))[1:]), SCRAPS), min_size=1, max_size=4))
def test_a_lock_that_was_tampered_with_is_read_or_refused_with_a_sentence(
    changes: list[tuple[tuple[Any, ...], object]],
) -> None:
    data = copy.deepcopy(WHOLE)
    for (*path, last), scrap in changes:
        inner: Any = data
        for key in path:
            if not isinstance(inner, (dict, list)) or (isinstance(inner, list) and key >= len(inner)):
                break
            inner = inner.get(key) if isinstance(inner, dict) else inner[key]
        if isinstance(inner, dict) and scrap is None:
            inner.pop(last, None)
        elif isinstance(inner, dict) or (isinstance(inner, list) and isinstance(last, int) and last < len(inner)):
            inner[last] = scrap
    said = None
    try:
        lock = uv_lock.read(data, Path("uv.lock"))
        for where in ENVIRONMENTS.values():
            select(lock, where)
    except ValueError as error:
        said = str(error)
    assert said is None or re.match(r"[^\n:]+: [^\n]+$", said)
