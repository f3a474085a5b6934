"""What only the build backend of a project says that it requires is asked of it, where the user wants that, and else not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.archives.build_environment import From
from mirror_tasks.archives.prepared_metadata import ask_project
from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from mirror_tasks.config.project_files.answers import Answer, keep_answer
from mirror_tasks.config.project_files.extra_markers import by_extra
from mirror_tasks.describe_environment import environment_block
from mirror_tasks.errors import ConfigError, MetadataError
from mirror_tasks.publish.prune import leftovers
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import project_sources
from mirror_tasks.work.project_backends import is_current
from mirror_tasks.work.project_sources import ProjectSources
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, mirror_folder, packages, times, tree
from tests.test_git_builds import commit, run_git
from tests.test_own_sources import said
from tests.test_projects import NAMED

ENTRY = {"project": "app/pyproject.toml"}
PYPROJECT = """
[build-system]
requires = []
build-backend = "saying"
backend-path = ["."]
[project]
name = "app"
version = "1.0"
dynamic = ["dependencies", "optional-dependencies"]
"""
# Says what stands in said.txt, and writes where it is run.
BACKEND = """
import pathlib


def get_requires_for_build_wheel(config_settings=None):
    return pathlib.Path("asked.txt").read_text().splitlines() if pathlib.Path("asked.txt").exists() else []


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    pathlib.Path("litter.txt").write_text("ran")
    info = pathlib.Path(folder, "app-1.0.dist-info")
    info.mkdir()
    lines = pathlib.Path("said.txt").read_text()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: app\\nVersion: 1.0\\n" + lines)
    return info.name


def build_wheel(*arguments):
    raise NotImplementedError
"""
SAID = """\
Requires-Python: >=3.8
Requires-Dist: lib-core>=1
Requires-Dist: colour; sys_platform == "win32"
Provides-Extra: fast
Requires-Dist: speed; extra == "fast"
"""


def write_project(folder: Path, said: str = SAID, pyproject: str = PYPROJECT, backend: str = BACKEND) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"pyproject.toml": pyproject, "saying.py": backend, "said.txt": said}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def answer(folder: Path, name: str = "app", **settings: Any) -> None:
    """Keep what a backend could have said, as a run would."""
    [project] = [one for one in load(folder / "mirror.yaml").dynamic if one.path.parent.name == name]
    plain: dict[str, Any] = {"requires_python": "", "requires_dist": (), "provides_extra": (), "build_requires": ()}
    keep_answer(project.record, Answer(**{"sources": "0", "name": name, **plain, **settings}))


def by_name(config: Config) -> dict[str, list[str]]:
    return {root.name: [str(one.requirement) for one in root.requirements] for root in config.roots}


WORLD = {name: [wheel(name, "9.0")] for name in ("lib-core", "colour", "speed", "tool", "alone")}


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(WORLD) as index:
        yield index


def project_of(tmp_path: Path, index: FakeIndex | None, *entries: object, **settings: Any) -> MirrorFolder:
    """Return the folder of a mirror that may ask backends."""
    more: dict[str, Any] = {"build-requirements": "ask", **settings}
    environments = {"here": environment_block()}
    return mirror_folder(tmp_path, index, environments=environments, requirements=list(entries) or [ENTRY], **more)


# --- Before it was asked, and without the user's leave


@pytest.mark.parametrize(
    ("pyproject", "where"),
    [
        (PYPROJECT, "project.dependencies: the build backend makes it (dynamic); "),
        ('[build-system]\nrequires = ["setuptools"]', "project: expected a table [project], found none"),
    ],
)
def test_without_the_users_leave_it_is_a_fault_that_says_how_to_give_it(
    tmp_path: Path, index: FakeIndex, pyproject: str, where: str
) -> None:
    write_project(tmp_path / "app", pyproject=pyproject)
    project = project_of(tmp_path, index, **{"build-requirements": True})
    with pytest.raises(ConfigError) as caught:
        load(project.folder / "mirror.yaml")
    first = str(caught.value.faults[0])
    assert where in first
    assert "say `build-requirements: ask` to have it asked, or name a requirements file" in first


def test_before_it_was_asked_it_is_not_known_and_nothing_that_looks_fails(tmp_path: Path, index: FakeIndex) -> None:
    write_project(tmp_path / "app")
    project = project_of(tmp_path, index, ENTRY, "alone")
    config = load(tmp_path / "mirror.yaml")
    assert [one.shown for one in config.unknown] == ["app/pyproject.toml"]
    assert config.unknown[0].says == ("dependencies", "optional-dependencies")
    assert by_name(config) == {"alone": ["alone"]}
    done = project.doit("list")
    assert done.returncode == 0
    assert "of 1 project what is required; not known yet: app/pyproject.toml" in said(done)
    assert "R ask:app/pyproject.toml says dependencies, optional-dependencies" in said(
        project.doit("list", "--all", "-s", "ask")
    )
    assert not index.requests
    project.configure(index.url, requirements=["alone"], environments={"here": environment_block()})
    project.mirrored()
    project = project_of(tmp_path, index, ENTRY, "alone")
    assert "app/pyproject.toml: not known yet what it requires" in said(project.doit("explain", "alone"))
    assert "proving app/pyproject.toml: expected what it requires" in said(project.doit("prove"))


def test_before_it_was_asked_nothing_is_taken_for_all_that_holds_together(tmp_path: Path, index: FakeIndex) -> None:
    text = PYPROJECT.replace("requires = []", 'requires = ["tool"]') + '[dependency-groups]\nlint = ["alone"]\n'
    write_project(tmp_path / "app", pyproject=text)
    project_of(tmp_path, index)
    assert by_name(load(tmp_path / "mirror.yaml")) == {"app/pyproject.toml [build-system]": ["tool"]}


@pytest.mark.parametrize(
    ("pyproject", "files", "says"),
    [
        ('[build-system]\nrequires = ["setuptools"]', (), ("dependencies", "optional-dependencies", "requires-python")),
        ("", ("setup.cfg",), ("dependencies", "optional-dependencies", "requires-python")),
        ("[tool.x]", ("setup.py",), ("dependencies", "optional-dependencies", "requires-python")),
        ('[project]\nname = "app"\ndynamic = ["requires-python"]', (), ("requires-python",)),
        (PYPROJECT.replace('"optional-dependencies"', '"version"'), (), ("dependencies",)),
        ('[project]\nname = "app"\ndynamic = ["version"]', (), ()),
        ('[dependency-groups]\ntest = ["alone"]', ("setup.py",), ()),
    ],
)
def test_a_backend_is_asked_only_for_what_no_file_says(
    tmp_path: Path, index: FakeIndex, pyproject: str, files: tuple[str, ...], says: tuple[str, ...]
) -> None:
    write_project(tmp_path / "app", pyproject=pyproject)
    for name in files:
        (tmp_path / "app" / name).touch()
    project_of(tmp_path, index)
    assert [one.says for one in load(tmp_path / "mirror.yaml").dynamic] == ([says] if says else [])


def test_a_project_of_which_nothing_tells_what_it_requires_is_refused(tmp_path: Path, index: FakeIndex) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "pyproject.toml").write_text("[tool.x]")
    project_of(tmp_path, index)
    with pytest.raises(ConfigError, match=r"expected a table \[project\], found none"):
        load(tmp_path / "mirror.yaml")


# --- What it said


def test_what_it_said_becomes_the_requirements_with_what_the_file_says_itself(tmp_path: Path, index: FakeIndex) -> None:
    text = PYPROJECT.replace(', "optional-dependencies"', "") + '[project.optional-dependencies]\nfast = ["ours"]\n'
    write_project(tmp_path / "app", pyproject=text)
    project_of(tmp_path, index)
    lines = ("lib>=1; python_version < '4'", "theirs; extra == 'fast'")
    answer(tmp_path, requires_dist=lines, provides_extra=("fast",), build_requires=("tool",))
    assert by_name(load(tmp_path / "mirror.yaml")) == {
        "app/pyproject.toml": ['lib>=1; python_version < "4"', "ours"],
        "app/pyproject.toml [build-system]": ["tool"],
    }


def test_the_name_and_the_python_are_taken_from_it_where_the_file_has_none(tmp_path: Path, index: FakeIndex) -> None:
    write_project(tmp_path / "app", pyproject='[build-system]\nrequires = ["setuptools"]')
    environments = {"old": {"python": "3.9.1", "platform": "linux-x86_64", "glibc": "2.28"}}
    project_of(tmp_path, index).configure(
        index.url, requirements=[ENTRY], environments=environments, **{"build-requirements": "ask"}
    )
    lines = ("app[fast]; extra == 'all'", "speed; extra == 'fast'")
    answer(tmp_path, name="app", requires_dist=lines, provides_extra=("all", "fast"))
    assert by_name(load(tmp_path / "mirror.yaml"))["app/pyproject.toml"] == ["speed"]
    answer(tmp_path, requires_python=">=3.10")
    with pytest.raises(ConfigError, match=r"requires-python: >=3.10 leaves out old"):
        load(tmp_path / "mirror.yaml", were_asked=True)


def test_what_is_wrong_with_an_old_answer_keeps_nobody_from_asking_again(tmp_path: Path, index: FakeIndex) -> None:
    write_project(tmp_path / "app")
    project_of(tmp_path, index, {**ENTRY, "extras": ["fast"]})
    answer(tmp_path)
    assert [one.shown for one in load(tmp_path / "mirror.yaml").unknown] == ["app/pyproject.toml"]
    with pytest.raises(ConfigError, match="it has no extras, found 'fast'"):
        load(tmp_path / "mirror.yaml", were_asked=True)
    project_of(tmp_path, index, {**ENTRY, "extras": ["fast"]}, {"require": 1})
    with pytest.raises(ConfigError, match="expected one line of text"):
        load(tmp_path / "mirror.yaml")


def test_what_it_requires_comes_from_the_index_that_the_file_names_for_it(tmp_path: Path, index: FakeIndex) -> None:
    tables = NAMED.partition("[tool.uv.sources]")
    write_project(tmp_path / "app", pyproject=PYPROJECT + tables[1] + tables[2])
    indexes = ["https://index.example.com/simple/", "https://wheels.example.com/cu128/"]
    project_of(tmp_path, index).configure(indexes, requirements=[ENTRY], **{"build-requirements": "ask"})
    answer(tmp_path, requires_dist=("torch", "lib"))
    config = load(tmp_path / "mirror.yaml")
    assert [one.url for one in binding_of("torch", config.indexes or ()).indexes] == [indexes[1]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a>=1", {"": "a>=1"}),
        ('a; extra == "Fast_One"', {"fast-one": "a"}),
        ('a; python_version < "3.9" and extra == "x"', {"x": 'a; python_version < "3.9"'}),
        (
            'a; (os_name == "nt" or sys_platform == "win32") and extra == "x"',
            {"x": 'a; os_name == "nt" or sys_platform == "win32"'},
        ),
        ('a; extra == "x" or extra == "y"', {"x": "a", "y": "a"}),
        ('a; extra == "x" and extra == "y"', {}),
        ('a; os_name == "nt" or extra == "x"', {"": 'a; os_name == "nt"', "x": "a"}),
        ('a; extra != "x"', {"": "a"}),
        ('a; extra != "x" and "l" in os_name', {"": 'a; "l" in os_name'}),
        ('a; extra == "unknown"', {}),
        ("a; 'x' == extra and os_name == '\"'", {"x": "a; os_name == '\"'"}),
    ],
)
def test_a_requirement_is_that_of_the_extras_that_bring_it(line: str, expected: dict[str, str]) -> None:
    found = by_extra([Requirement(line)], ["Fast.One", "x", "y"])
    assert {name: str(lines[0]) for name, lines in found.items() if lines} == {
        canonicalize_name(name): str(Requirement(text)) for name, text in expected.items()
    }
    assert set(found) == {"", "fast-one", "x", "y"}


# --- Asking


def prepared(folder: Path, backend: str = BACKEND, said: str = SAID) -> tuple[str, ...]:
    return ask_project(
        write_project(folder, said, backend=backend), From(None), "app/pyproject.toml"
    ).metadata.requires_dist


PREPARE = "def prepare_metadata_for_build_wheel(folder, config_settings=None):\n"


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("raise ValueError('no compiler at https://me:s3cret@index.example.com/')", "ValueError: no compiler"),
        (BACKEND.replace("return info.name", "return '../../app-1.0.dist-info'"), "expected a plain name"),
        (BACKEND.replace("return info.name", "return 1"), "No such file or directory"),
        (BACKEND.replace("Name: app", "Name: other"), "METADATA is of another release: other 1.0"),
        (BACKEND.replace("+ lines", "+ lines + 'X' * (5 << 20)"), "more than the 4,194,304 bytes"),
        (BACKEND.replace("+ lines", "+ 'Requires-Dist: ???\\n'"), "not a valid requirement"),
        (BACKEND.replace("return pathlib", "return None and pathlib").replace("else []", "else None"), "not iterable"),
        (BACKEND.replace(".splitlines()", "").replace("else []", "else ['--nothing']"), "no such option: --nothing"),
    ],
)
def test_a_backend_that_fails_or_says_what_is_no_metadata_is_told_with_what_to_do(
    tmp_path: Path, backend: str, expected: str
) -> None:
    with pytest.raises(MetadataError) as caught:
        prepared(tmp_path, backend)
    told = str(caught.value)
    assert told.startswith(
        "asking the build backend of app/pyproject.toml: expected the metadata of the project, found: "
    )
    assert expected in told
    assert "- {file: requirements.txt}" in told
    assert "s3cret" not in told


def test_a_backend_without_metadata_of_its_own_builds_a_wheel_for_it(tmp_path: Path) -> None:
    backend = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(os.path.join(folder, "app-1.0-py3-none-any.whl"), "w") as archive:
        archive.writestr("app-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: app\\nVersion: 1.0\\nRequires-Dist: a\\n")
    return "app-1.0-py3-none-any.whl"
"""
    assert prepared(tmp_path, backend) == ("a",)


def test_a_project_is_mirrored_with_what_its_backend_says_and_stays_as_it_is(tmp_path: Path) -> None:
    app = write_project(tmp_path / "app")
    (app / "asked.txt").write_text("tool\n")  # installed before it is asked on, with the login of all else
    before = tree(app)
    project = project_of(tmp_path, None)
    with FakeIndex(WORLD, auth=("me", "s3cret")) as index:
        url = index.url_with("me", "s3cret")
        here = {"here": environment_block()}
        project.configure(url, requirements=[ENTRY], environments=here, build_requirements="ask")
        told = said(project.mirrored())
    assert "s3cret" not in told
    assert not [name for name, written in tree(project.state).items() if b"s3cret" in written]
    asking = "app/pyproject.toml: asking its build backend, which alone says dependencies and optional-dependencies; "
    assert f"{asking}it was not asked yet" in told
    assert "app/pyproject.toml: its build backend says 3 requirements and 1 extra" in told
    assert list(packages(project.output)) == ["lib-core", "speed", "tool"]
    assert tree(app) == before
    assert "because mirror.yaml: app/pyproject.toml" in said(project.doit("explain", "speed"))
    assert "app/pyproject.toml [build-system]" in said(project.doit("explain", "tool"))


def test_a_backend_is_asked_again_only_when_a_file_changed_or_its_answer_is_gone(
    tmp_path: Path, index: FakeIndex
) -> None:
    app = write_project(tmp_path / "app")
    project = project_of(tmp_path, index)
    project.mirrored()
    mirrored = times(project.output)
    assert "asking" not in said(project.mirrored())
    assert times(project.output) == mirrored
    (app / "said.txt").write_text(SAID + "Requires-Dist: alone\n")
    assert "app/pyproject.toml changed since its build backend was asked" in said(project.doit("prove", "--own"))
    assert "its files changed since it was asked" in said(project.mirrored())
    assert "alone" in packages(project.output)
    project.doit("clean", "ask")
    assert "not known yet" in said(project.doit("list"))
    shutil.rmtree(project.state)  # a mirror without its state is known by what it requires, which is asked first then
    told = said(project.mirrored())
    assert "it was not asked yet" in told
    assert "whole and checked" in told
    (app / "said.txt").write_text(SAID)
    shutil.rmtree(project.state)
    mirrored = times(project.output)
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "found one that another configuration made" in said(done)
    assert times(project.output) == mirrored


def test_an_answer_on_a_project_that_is_wanted_no_more_is_pruned(tmp_path: Path, index: FakeIndex) -> None:
    write_project(tmp_path / "app")
    project_of(tmp_path, index)
    answer(tmp_path)
    [record] = (tmp_path / ".mirror" / "answers").iterdir()
    assert record not in leftovers(Mirror(load(tmp_path / "mirror.yaml"), print), (), ())
    project_of(tmp_path, index, "alone")
    assert record in leftovers(Mirror(load(tmp_path / "mirror.yaml"), print), (), ())


def test_where_a_backend_fails_what_is_published_stays_and_nothing_is_begun(tmp_path: Path, index: FakeIndex) -> None:
    app = write_project(tmp_path / "app")
    project = project_of(tmp_path, index, ENTRY, "alone")
    project.mirrored()
    before = times(project.output)
    index.requests.clear()
    (app / "saying.py").write_text("raise ValueError('no compiler here')\n")
    for verb in ("mirror", "plan"):
        done = project.doit(verb)
        assert done.returncode != 0
        told = said(done)
        assert "FAILED ask:app/pyproject.toml asking the build backend of app/pyproject.toml: expected" in told
        assert "no compiler here" in told
        assert "1 task failed; not done because of it: " in told
    assert times(project.output) == before
    assert not index.requests


def test_who_is_named_only_by_what_a_backend_says_is_asked_too(tmp_path: Path, index: FakeIndex) -> None:
    """As members of a workspace are: app is static, lib and deep are dynamic, and lib names deep."""
    app = '[build-system]\nrequires = []\n[project]\nname = "top"\ndependencies = ["lib[more]"]\n'
    app += '[tool.uv.sources]\nlib = {path = "../lib"}\n'
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "pyproject.toml").write_text(app)
    lib = PYPROJECT.replace('"app"', '"lib"') + '[tool.uv.sources]\ndeep = {path = "../deep"}\n'
    named = 'Requires-Dist: deep\nProvides-Extra: more\nRequires-Dist: speed; extra == "more"\n'
    write_project(tmp_path / "lib", named, lib, BACKEND.replace("app", "lib"))
    deep = BACKEND.replace("app", "deep")
    write_project(tmp_path / "deep", "Requires-Dist: lib-core\n", PYPROJECT.replace('"app"', '"deep"'), deep)
    project = project_of(tmp_path, index)
    told = said(project.mirrored())
    assert told.count("asking its build backend") == 2
    assert list(packages(project.output)) == ["lib-core", "speed"]
    assert "asking" not in said(project.mirrored())
    (tmp_path / "deep" / "said.txt").write_text("Requires-Dist: alone\n")
    assert said(project.mirrored()).count("asking its build backend") == 1
    assert "alone" in packages(project.output)
    (tmp_path / "deep" / "said.txt").write_text("Nothing of a header\n")
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "FAILED ask:deep/pyproject.toml" in said(done)


def test_what_only_a_backend_names_comes_from_the_index_that_the_file_says(tmp_path: Path, index: FakeIndex) -> None:
    with FakeIndex({"alone": [wheel("alone", "1.0+cu128")]}) as other:
        table = (
            f'[[tool.uv.index]]\nname = "cuda"\nurl = "{other.url}"\n[tool.uv.sources]\nalone = {{index = "cuda"}}\n'
        )
        write_project(tmp_path / "app", "Requires-Dist: alone\nRequires-Dist: speed\n", PYPROJECT + table)
        project = project_of(tmp_path, None)
        here = {"here": environment_block()}
        project.configure([index.url, other.url], requirements=[ENTRY], environments=here, build_requirements="ask")
        project.mirrored()
    assert packages(project.output)["alone"] == ["alone-1.0+cu128-py3-none-any.whl"]
    assert "/simple/alone/" not in index.requests


def test_an_extra_that_the_backend_does_not_know_is_told_when_it_was_asked(tmp_path: Path, index: FakeIndex) -> None:
    app = write_project(tmp_path / "app")
    project = project_of(tmp_path, index, {**ENTRY, "extras": ["fats"]})
    for _ in range(2):
        done = project.doit("mirror")
        assert done.returncode != 0
        assert "requirements[0].extras: app/pyproject.toml: unknown extra 'fats'; did you mean 'fast'?" in said(done)
    assert project.doit("list").returncode == 0
    (app / "said.txt").write_text("Provides-Extra: fats\nRequires-Dist: speed; extra == 'fats'\n")
    project.mirrored()
    assert list(packages(project.output)) == ["speed"]


def test_what_a_backend_says_of_a_folder_beside_it_is_meant_of_the_project(tmp_path: Path, index: FakeIndex) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\n[project]\nname = "beside"\ndependencies = ["alone"]\n'
    )
    backend = BACKEND.replace(
        "+ lines", "+ lines + f'Requires-Dist: beside @ {pathlib.Path.cwd().as_uri()}/../beside\\n'"
    )
    write_project(tmp_path / "app", backend=backend)
    project = project_of(tmp_path, index, build_requirements="ask")
    project.mirrored()
    assert "alone" in packages(project.output)


# --- What a backend is shown


def shown_files(folder: Path, *without: Path) -> list[str]:
    copy, digest = ProjectSources(folder, "app/pyproject.toml", without).copy(folder.parent / "copy")
    assert digest == ProjectSources(folder, "app/pyproject.toml", without).digest()
    found = [name for name in tree(copy) if not name.startswith(".git/")]
    shutil.rmtree(folder.parent / "copy")
    return found


def test_outside_of_a_repository_all_files_are_shown_but_what_tools_leave(tmp_path: Path) -> None:
    app = tmp_path / "app"
    kept = ["pyproject.toml", "src/app.py", "build/own.txt"]
    left = [
        ".venv/a",
        "env/pyvenv.cfg",
        "env/lib/b",
        "src/__pycache__/c",
        "app.egg-info/d",
        ".doit.db",
        "mirror/e",
        "node_modules/f",
    ]
    for name in [*kept, *left]:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(name)
    (app / "src" / "linked.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "outside.py").write_text("what a link leads to is shown in its place")
    (app / "broken").symlink_to("nowhere")
    assert shown_files(app, app / "mirror") == sorted([*kept, "src/linked.py"])
    before = ProjectSources(app, "", [app / "mirror"]).digest()
    (tmp_path / "outside.py").write_text("other")
    assert ProjectSources(app, "", [app / "mirror"]).digest() != before


def test_another_python_may_be_told_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = ProjectSources(write_project(tmp_path / "app"), "app/pyproject.toml")
    before = sources.digest()
    monkeypatch.setattr(project_sources, "sys", SimpleNamespace(version_info=SimpleNamespace(major=3, minor=99)))
    assert sources.digest() != before


def test_what_a_run_writes_beside_a_project_is_none_of_it(tmp_path: Path, index: FakeIndex) -> None:
    write_project(tmp_path)
    project_of(tmp_path, index, {"project": "pyproject.toml"}, transfer={"sign": "none"})
    config = load(tmp_path / "mirror.yaml")
    assert config.transfer is not None
    made = (config.output, config.state, config.transfer.to)
    [project] = config.dynamic
    answer(tmp_path, tmp_path.name, sources=ProjectSources(tmp_path, "", made).digest())
    for folder in made:
        folder.mkdir(exist_ok=True)
        (folder / "made.txt").touch()
    assert is_current(project, config)
    (tmp_path / "made.txt").touch()
    assert not is_current(project, config)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_of_a_repository_what_git_knows_or_does_not_ignore_is_shown_with_the_history(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    app = write_project(repository / "app")
    (repository / "other.txt").write_text("not of this project")
    (repository / ".gitignore").write_text("*.log\n")
    run_git(repository, "init", "-q", "-b", "main")
    commit(repository)
    run_git(repository, "tag", "v1.5")
    (app / "new.txt").write_text("new")
    (app / "a.log").write_text("ignored")
    (app / ".doit-mirrors.db").write_text("changes in each run")
    before = tree(repository / ".git")
    copy, _ = ProjectSources(app, "app/pyproject.toml").copy(tmp_path / "copy")
    assert copy == tmp_path / "copy" / "app"
    assert list(tree(copy)) == ["new.txt", "pyproject.toml", "said.txt", "saying.py"]
    assert run_git(copy, "describe", "--tags") == "v1.5"
    (copy / "said.txt").write_text("written by a backend")
    run_git(copy, "config", "user.name", "somebody")
    commit(copy, "two")
    assert tree(repository / ".git") == before
    assert (app / "said.txt").read_text() == SAID


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_a_project_that_its_repository_ignores_is_shown_all_the_same(tmp_path: Path) -> None:
    app = write_project(tmp_path / "repository" / "app")
    (tmp_path / "repository" / ".gitignore").write_text("app\n")
    run_git(tmp_path / "repository", "init", "-q", "-b", "main")
    assert "said.txt" in [Path(name).name for name in shown_files(app)]


def test_without_git_it_is_shown_without_a_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write_project(tmp_path / "app")
    monkeypatch.setenv("PATH", "")
    assert shown_files(app) == ["pyproject.toml", "said.txt", "saying.py"]


def test_a_folder_with_more_than_any_project_has_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write_project(tmp_path / "app")
    monkeypatch.setattr(project_sources, "_MOST_FILES", 2)
    with pytest.raises(MetadataError, match=r"copying the files of app/pyproject.toml: expected at most 2 files"):
        ProjectSources(app, "app/pyproject.toml").copy(tmp_path / "copy")


def test_a_git_that_fails_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object, **options: object) -> object:
        raise subprocess.TimeoutExpired("git", 1)

    app = write_project(tmp_path / "app")
    monkeypatch.setattr(subprocess, "run", failing)
    assert shown_files(app) == ["pyproject.toml", "said.txt", "saying.py"]
