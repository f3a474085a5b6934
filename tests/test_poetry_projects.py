"""A project of ``[tool.poetry]`` is read as Poetry reads it: compared with what its own library makes of the same file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mirror_tasks.config.poetry_constraints import parse_constraint
from mirror_tasks.config.project_files.model import Dependency, ProjectFile
from mirror_tasks.config.project_files.poetry_tables import as_one
from mirror_tasks.config.project_files.reading import read_project_file
from mirror_tasks.errors import Fault
from tests.test_projects import ENTRY, by_name, config, faults

OLD = """
[tool.poetry]
name = "Old.App"
version = "1"
description = ""
authors = []

[tool.poetry.dependencies]
python = "^3.8 || ~2.7"
caret = "^1.2.3"
caret-zero = "^0.2.3"
caret-zeros = "^0.0.3"
caret-one = "^1"
tilde = "~1.2.3"
tilde-two = "~1.2"
tilde-one = "~1"
wild = "1.2.*"
exact = "1.2.3"
equal = "==1.2.3"
any = "*"
compatible = "~=1.4.2"
bounds = ">=1.2,<1.5"
space = ">=1.2 <1.5"
but = ">=1.2,!=1.3.1"
early = "^1.0a1"
marked = {version = "^2", markers = "sys_platform == 'linux'", python = "^3.9"}
platform = {version = "^2", platform = "win32"}
extras = {version = "^2", extras = ["x", "y_z"]}
alone = {version = "^2", optional = true}
first = {version = "^2", optional = true}
second = {version = "^3", optional = true, python = ">=3.12"}
several = [{version = "^1", python = "<3.12"}, {version = "^2", python = ">=3.12"}]
sourced = {version = "^2", source = "private"}

[tool.poetry.extras]
Fast = ["first", "second"]
other = ["second", "any"]

[tool.poetry.group.test.dependencies]
pytest = "^8"

[tool.poetry.group.lint]
optional = true
include-groups = ["test"]

[tool.poetry.group.lint.dependencies]
ruff = "*"

[tool.poetry.dev-dependencies]
black = ">=22"
"""
BOTH = """
[project]
name = "app"
version = "1"
requires-python = ">=3.9"
dependencies = ["lib>=1; sys_platform == 'linux'", "other"]

[project.optional-dependencies]
fast = ["speed"]

[dependency-groups]
test = ["pytest>=8"]

[tool.poetry.dependencies]
lib = {source = "private"}

[tool.poetry.group.test.dependencies]
hypothesis = "^6"

[tool.poetry.group.all]
include-groups = ["test"]
"""
DYNAMIC = """
[project]
name = "app"
version = "1"
dynamic = ["dependencies"]

[project.optional-dependencies]
fast = ["speed"]

[tool.poetry.dependencies]
python = "~3.11"
lib = "^1"
"""
FILES = {"only tool.poetry": OLD, "project and tool.poetry": BOTH, "dynamic dependencies": DYNAMIC}

ASK = """
import json, sys
from pathlib import Path
from poetry.core.factory import Factory

package = Factory().create_poetry(Path(sys.argv[1])).package


def lines(dependencies):
    return [one.to_pep_508(with_extras=False) for one in dependencies]


groups = package.dependency_group_names(include_optional=True)
print(json.dumps({
    "main": lines(one for one in package.requires if not one.is_optional()),
    **{f"extra {name}": lines(found) for name, found in package.extras.items()},
    **{f"group {name}": lines(package.dependency_group(name).dependencies) for name in groups if name != "main"},
}))
"""
VERSIONS = [
    Version(text) for text in ("0.0.3", "0.0.4", "0.2.9", "1", "1.2.3", "1.2.9", "1.3.1", "1.4.5", "2", "3.1", "9")
]
MARKERS = {"python_version": "3.12", "python_full_version": "3.12.1", "implementation_name": "cpython"}
ENVIRONMENTS = [
    {**MARKERS, "sys_platform": "linux"},
    {**MARKERS, "sys_platform": "win32"},
    {**MARKERS, "python_version": "3.9", "python_full_version": "3.9.2", "sys_platform": "linux"},
]


def read(folder: Path, text: str) -> ProjectFile:
    path, problems = folder / "pyproject.toml", list[Fault]()
    path.write_text(text, encoding="utf-8")
    found = read_project_file(path, "pyproject.toml", problems)
    assert found is not None, problems
    return found


def meaning(lines: Iterable[str]) -> set[tuple[object, ...]]:
    """Return what requirements mean: which versions of which projects, with which extras, on three environments."""
    return {
        (
            number,
            one.name,
            frozenset(one.extras),
            tuple(version for version in VERSIONS if one.specifier.contains(version, prereleases=True)),
        )
        for one in map(Requirement, lines)
        for number, environment in enumerate(ENVIRONMENTS)
        if one.marker is None or one.marker.evaluate({**environment, "extra": ""})
    }


def of(found: Iterable[Dependency]) -> list[str]:
    return [str(one.requirement) for one in found]


def parts(found: ProjectFile) -> Mapping[str, list[str]]:
    return {
        "main": of(found.dependencies),
        **{f"extra {name}": of(lines) for name, lines in found.extras.items()},
        **{f"group {name}": of(lines) for name, lines in found.groups.items()},
    }


@pytest.mark.clients
@pytest.mark.parametrize("kind", FILES)
def test_each_part_of_a_project_means_what_poetry_makes_of_it(tmp_path: Path, kind: str) -> None:
    poetry = shutil.which("poetry")
    if poetry is None:
        pytest.skip("poetry is not installed")
    found = parts(read(tmp_path, FILES[kind]))
    python = Path(poetry).resolve().with_name("python")
    done = subprocess.run([python, "-c", ASK, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    theirs = {name.lower().replace("_", "-"): lines for name, lines in json.loads(done.stdout).items()}
    assert {name: meaning(lines) for name, lines in found.items()} == {
        name: meaning(lines) for name, lines in theirs.items()
    }


def test_the_tables_of_poetry_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, OLD)
    assert (found.name, found.requires_python) == ("old-app", ("<4,>=3.8", "<2.8,>=2.7"))
    lines = of(found.dependencies)
    for line in (
        "caret-zero<0.3,>=0.2.3",
        "tilde-two<1.3,>=1.2",
        "exact==1.2.3",
        "any",
        'platform<3,>=2; sys_platform == "win32"',
        "extras[x,y-z]<3,>=2",
        'several<2,>=1; python_version < "3.12"',
    ):
        assert line in lines
    assert not any(line.startswith(("alone", "first", "second")) for line in lines)
    assert of(found.extras["fast"]) == ["first<3,>=2", 'second<4,>=3; python_version >= "3.12"']  # type: ignore[index]
    assert of(found.groups["lint"]) == ["ruff", "pytest<9,>=8"]  # type: ignore[index]
    assert of(found.groups["dev"]) == ["black>=22"]  # type: ignore[index]


def test_main_is_poetrys_name_for_what_comes_along_anyway(tmp_path: Path) -> None:
    entry = {**ENTRY, "groups": ["main", "test"], "extras": [], "environments": ["server"]}
    text = OLD.replace(', source = "private"', "")
    found = by_name(config(tmp_path, entry, app__pyproject_toml=text))
    assert "pytest<9,>=8" in found["app/pyproject.toml [test]"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("^1.2 || ^2.0", ">=1.2,<3"),
        ("^2.0 | ^1.2", ">=1.2,<3"),
        ("1.* || 2.*", ">=1,<3"),
        ("<1 || >=0.5,<2", "<2"),
        ("^1 || >=2", ">=1"),
        ("^1 || ^3", None),
        ("1.2 || 1.3", None),
    ],
)
def test_alternatives_without_a_gap_are_one_specifier(text: str, expected: str | None) -> None:
    assert as_one(parse_constraint(text)) == (None if expected is None else SpecifierSet(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tool.poetry = 1", "tool.poetry: expected a table, found 1"),
        ("[tool.poetry.dependencies]\na = 1", "tool.poetry.dependencies.a: expected a table, found 1"),
        (
            '[tool.poetry.dependencies]\na = "one"',
            "tool.poetry.dependencies.a.version: expected a constraint such as ^1.2",
        ),
        (
            '[tool.poetry.dependencies]\na = ["^1 || ^3"]',
            "tool.poetry.dependencies.a[0]: expected versions without a gap",
        ),
        (
            '[tool.poetry.dependencies]\npython = "one"',
            "tool.poetry.dependencies.python: expected a constraint such as ^3.10",
        ),
        ('[tool.poetry.extras]\na = ["/"]', "tool.poetry.extras.a: expected names of dependencies"),
        (
            '[tool.poetry.group.a]\ninclude-groups = ["b"]',
            "tool.poetry.group.a.include-groups: expected groups that are",
        ),
        (
            '[tool.poetry.dependencies]\na = {git = "https://git.example.com/a", tag = "v1"}',
            "a @ git+https://git.example",
        ),
        (
            '[tool.poetry.dependencies]\na = {url = "https://files.example.com/a.whl"}',
            "a comes from https://files.example",
        ),
        ('[tool.poetry.dependencies]\na = {file = "../a-1.tar.gz"}', "add  - {wheels: .}"),
        ('[tool.poetry.dependencies]\na = {path = "../a"}', "no such file"),
    ],
)
def test_what_poetry_would_not_take_or_no_index_serves_is_a_fault(tmp_path: Path, text: str, expected: str) -> None:
    said = faults(tmp_path, ENTRY, app__pyproject_toml=text)
    assert any(expected in line for line in said), said


def test_folders_are_followed_and_a_project_that_is_no_package_is_not_built(tmp_path: Path) -> None:
    text = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nlib = {path = "../lib", develop = true}\n'
    lib = '[tool.poetry]\nname = "lib"\n[tool.poetry.dependencies]\nspeed = "^1"\n'
    assert by_name(config(tmp_path, ENTRY, app__pyproject_toml=text, lib__pyproject_toml=lib)) == {
        "app/pyproject.toml": ["speed<2,>=1"],
        "lib/pyproject.toml [build-system]": ["setuptools>=40.8.0", "wheel"],
    }
