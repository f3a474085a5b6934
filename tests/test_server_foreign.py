"""Installers that the test extra does not bring install from the mirror: old pips, poetry, pdm, pipenv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.interpreters import interpreter
from tests.server_fixtures import make_mirror, running
from tests.test_server_clients import clean_environment, installed, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.clients

# The newest Python that each pip came with, or near it.
OLD_PIPS = (("20.3", "3.7"), ("21.3", "3.8"), ("22.3", "3.9"), ("23.0.1", "3.9"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


def old_pip(folder: Path, pip: str, python: str) -> str:
    """Return an interpreter with this pip, which comes from the index that pip uses here; or skip by name."""
    subprocess.run([interpreter(python), "-m", "venv", str(folder / "env")], check=True, capture_output=True)
    own = str(folder / "env" / "bin" / "python")
    command = [own, "-m", "pip", "install", "-q", f"pip=={pip}", "setuptools", "wheel"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"pip {pip} is not to be had from the index of this machine")
    return own


@pytest.mark.real_index
@pytest.mark.parametrize(("pip", "python"), OLD_PIPS)
def test_an_old_pip_installs_from_the_mirror(root: Path, tmp_path: Path, pip: str, python: str) -> None:
    own = old_pip(tmp_path, pip, python)
    with running(root) as served:
        for index in (f"{served.url}simple/", served.url, (root / "simple").as_uri() + "/"):
            command = (own, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--force-reinstall")
            run(tmp_path, *command, "--index-url", index, "alpha", "sourced")
            done = run(tmp_path, own, "-m", "pip", "list", "--format=freeze", "--isolated")
            assert {"alpha==1.0", "beta-two==2.1", "sourced==0.5"} <= set(done.stdout.replace("beta.", "beta-").split())
    lines = [line for line in served.output if "GET /simple/alpha/" in line]
    assert lines


def tool(name: str) -> str:
    """Return the command of a tool, or skip the test by its name."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run_tool(folder: Path, *command: str) -> None:
    """Run a tool that keeps its environment in the project, and caches nothing outside it."""
    settings = {
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "POETRY_CACHE_DIR": str(folder / "cache"),
        "PDM_CHECK_UPDATE": "false",
        "PDM_CACHE_DIR": str(folder / "cache"),
        "PIPENV_VENV_IN_PROJECT": "1",
        "PIPENV_IGNORE_VIRTUALENVS": "1",
        "PIPENV_NOSPIN": "1",
        "PIP_CACHE_DIR": str(folder / "cache"),
    }
    environment = {**clean_environment(folder), **settings}
    environment.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment, cwd=folder
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


PROJECT = """\
[project]
name = "mine"
version = "1"
requires-python = ">=3.8"
dependencies = ["alpha"]
"""


def test_poetry_locks_and_installs_from_the_mirror(root: Path, tmp_path: Path) -> None:
    poetry = tool("poetry")
    with running(root) as served:
        source = f'[[tool.poetry.source]]\nname = "mirror"\nurl = "{served.url}simple/"\npriority = "primary"\n'
        (tmp_path / "pyproject.toml").write_text(PROJECT + source)
        run_tool(tmp_path, poetry, "lock", "--no-interaction")
        run_tool(tmp_path, poetry, "install", "--no-root", "--no-interaction")
    assert installed(tmp_path, str(tmp_path / ".venv" / "bin" / "python"))["beta.two"] == "2.1"


def test_pdm_locks_and_installs_from_the_mirror(root: Path, tmp_path: Path) -> None:
    pdm = tool("pdm")
    with running(root) as served:
        source = f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{served.url}simple/"\nverify_ssl = false\n'
        (tmp_path / "pyproject.toml").write_text(PROJECT + source)
        run_tool(tmp_path, pdm, "venv", "create", "--with", "venv", sys.executable)
        run_tool(tmp_path, pdm, "use", "-f", str(tmp_path / ".venv" / "bin" / "python"))
        run_tool(tmp_path, pdm, "install", "--no-self")
    assert installed(tmp_path, str(tmp_path / ".venv" / "bin" / "python"))["beta.two"] == "2.1"


def test_pipenv_locks_and_installs_from_the_mirror(root: Path, tmp_path: Path) -> None:
    pipenv = tool("pipenv")
    with running(root) as served:
        source = f'[[source]]\nname = "mirror"\nurl = "{served.url}simple/"\nverify_ssl = false\n'
        (tmp_path / "Pipfile").write_text(f'{source}[packages]\nalpha = "*"\n')
        run_tool(tmp_path, pipenv, "install", "--python", os.path.realpath(sys.executable))
    assert installed(tmp_path, str(tmp_path / ".venv" / "bin" / "python"))["beta.two"] == "2.1"
