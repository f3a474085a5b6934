"""docs/locks.md, done: a tool locks from one index, which is gone then, and installs by the lock that was led to the mirror."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from tests.interpreters import python_of
from tests.server_fixtures import make_mirror, run_here, running
from tests.test_server_clients import installed, make_environment, run
from tests.test_server_foreign import run_tool, tool

UV = uv.find_uv_bin()
LOCKED = {"alpha": "1.0", "beta.two": "2.1", "sourced": "0.5"}
PROJECT = """\
[project]
name = "mine"
version = "1"
requires-python = ">=3.8"
dependencies = ["alpha", "sourced"]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("led") / "mirror")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def lead(root: Path, lock: Path, url: str) -> None:
    """Lead a lock to the mirror; what the tool wrote stays beside it."""
    done = run_here("--root", str(root), "rewrite-lock", str(lock), "--url", url, "--output", str(lock))
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=["server.py", "file"])
def inside(root: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the mirror as it is reached inside."""
    if request.param == "file":
        yield f"{root.as_uri()}/"
    else:
        with running(root) as served:
            yield served.url


def uv_in(folder: Path, *command: str, index: str = "") -> None:
    indexes = ("--default-index", index) if index else ()
    run(folder, UV, *command, "--no-config", "--no-python-downloads", "--no-cache", "-q", *indexes)


def test_uv_syncs_by_a_lock_that_was_led_to_the_mirror(root: Path, project: Path, inside: str) -> None:
    with running(root) as outside:
        uv_in(project, "lock", "--python", sys.executable, index=f"{outside.url}simple/")
    lead(root, project / "uv.lock", inside)
    uv_in(project, "sync", "--frozen", "--python", sys.executable)
    assert installed(project, python_of(project / ".venv")) == LOCKED
    if inside.startswith("http"):
        uv_in(project, "sync", "--locked", index=f"{inside}simple/")
        uv_in(project, "sync", "--locked")


def test_uv_lets_an_index_of_the_project_stay_as_it_is(root: Path, project: Path) -> None:
    with running(root) as outside:
        own = f'[tool.uv.sources]\nsourced = {{index = "ours"}}\n[[tool.uv.index]]\nname = "ours"\nurl = "{outside.url}simple"'
        (project / "pyproject.toml").write_text(f"{PROJECT}{own}\nexplicit = true\n")
        uv_in(project, "lock", "--python", sys.executable, index=f"{outside.url}simple/")
    with running(root) as served:
        lead(root, project / "uv.lock", served.url)
        for command in ("--frozen", "--locked"):
            uv_in(project, "sync", command, "--python", sys.executable, index=f"{served.url}simple/")
    assert installed(project, python_of(project / ".venv")) == LOCKED


def pylock(root: Path, project: Path, inside: str) -> str:
    """Write a pylock.toml that is led to the mirror; return its name."""
    with running(root) as outside:
        export = ("export", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml")
        uv_in(project, *export, "--python", sys.executable, index=f"{outside.url}simple/")
    lead(root, project / "pylock.toml", inside)
    return "pylock.toml"


def test_uv_installs_a_pylock_that_was_led_to_the_mirror(root: Path, project: Path) -> None:
    python = make_environment(project)
    uv_in(project, "pip", "sync", "--python", python, pylock(root, project, f"{root.as_uri()}/"))
    assert installed(project, python) == LOCKED


@pytest.mark.clients
def test_pip_installs_a_pylock_that_was_led_to_the_mirror(root: Path, project: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--isolated")
    major, minor = run(project, *pip, "--version").stdout.split()[1].split(".")[:2]
    if (int(major), int(minor)) < (26, 3):
        pytest.skip("pip 26.3 is not installed")
    python = make_environment(project)
    with running(root) as served:
        lock = pylock(root, project, served.url)
        run(project, *pip, "--python", python, "install", "--no-cache-dir", "-r", lock)
    assert installed(project, python) == LOCKED


def venv_of(folder: Path) -> str:
    return str(folder / ".venv" / "bin" / "python")


@pytest.mark.clients
def test_pdm_syncs_by_a_lock_that_was_led_to_the_mirror(
    root: Path, project: Path, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pdm = tool("pdm")
    (project / "pyproject.toml").write_text(f"{PROJECT}[tool.pdm]\ndistribution = false\n")
    run(project, sys.executable, "-m", "venv", "--without-pip", ".venv")
    with running(root) as outside:
        monkeypatch.setenv("PDM_PYPI_URL", f"{outside.url}simple/")
        run_tool(project, pdm, "use", "-f", venv_of(project))
        run_tool(project, pdm, "lock", *(["-S", "static_urls"] if inside.startswith("http") else []))
    lead(root, project / "pdm.lock", inside)
    monkeypatch.setenv("PDM_PYPI_URL", f"{inside}simple/")
    run_tool(project, pdm, "lock", "--check")
    run_tool(project, pdm, "sync")
    assert installed(project, venv_of(project)).items() >= LOCKED.items()


@pytest.mark.clients
def test_pipenv_syncs_by_a_lock_that_was_led_to_the_mirror(root: Path, tmp_path: Path) -> None:
    pipenv = tool("pipenv")
    with running(root) as outside:
        source = f'[[source]]\nname = "mirror"\nurl = "{outside.url}simple/"\nverify_ssl = false\n'
        (tmp_path / "Pipfile").write_text(f'{source}[packages]\nalpha = "*"\nsourced = "*"\n')
        run_tool(tmp_path, pipenv, "lock", "--python", sys.executable)
    with running(root) as served:
        lead(root, tmp_path / "Pipfile.lock", served.url)
        run_tool(tmp_path, pipenv, "verify")
        run_tool(tmp_path, pipenv, "sync")
    assert installed(tmp_path, venv_of(tmp_path)).items() >= LOCKED.items()


@pytest.mark.clients
def test_poetry_installs_when_the_source_was_led_to_the_mirror_as_well(root: Path, project: Path) -> None:
    poetry = (tool("poetry"), "--no-interaction")
    source = '[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "ours"\npriority = "primary"\nurl = '
    with running(root) as outside:
        (project / "pyproject.toml").write_text(f'{PROJECT}{source}"{outside.url}simple/"\n')
        run_tool(project, *poetry, "lock")
    with running(root) as served:
        lead(root, project / "poetry.lock", served.url)
        led = (project / "poetry.lock").read_text().splitlines()
        (project / "pyproject.toml").write_text(f'{PROJECT}{source}"{served.url}simple/"\n')
        with pytest.raises(AssertionError, match="changed significantly"):
            run_tool(project, *poetry, "install")
        run_tool(project, *poetry, "lock")
        changed = set((project / "poetry.lock").read_text().splitlines()).difference(led)
        assert [line.partition(" = ")[0] for line in changed] == ["content-hash"]
        run_tool(project, *poetry, "install")
    assert installed(project, venv_of(project)).items() >= LOCKED.items()


@pytest.mark.clients
def test_poetry_installs_unchanged_with_the_plugin_that_leads_the_default_index_elsewhere(
    root: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poetry = (tool("poetry"), "--no-interaction")
    if not list(Path(poetry[0]).resolve().parent.parent.glob("lib/*/site-packages/poetry_plugin_pypi_mirror")):
        pytest.skip("poetry-plugin-pypi-mirror is not installed")
    (project / "pyproject.toml").write_text(f"{PROJECT}[tool.poetry]\npackage-mode = false\n")
    with running(root) as outside:
        monkeypatch.setenv("POETRY_PYPI_MIRROR_URL", f"{outside.url}simple/")
        run_tool(project, *poetry, "lock")
    with running(root) as served:
        monkeypatch.setenv("POETRY_PYPI_MIRROR_URL", f"{served.url}simple/")
        run_tool(project, *poetry, "install")
    assert installed(project, venv_of(project)).items() >= LOCKED.items()
