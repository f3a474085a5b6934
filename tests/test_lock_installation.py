"""`doit prove --install` has the team's own tool install its lock, from the mirror's server and without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import uv
from packaging.version import Version

from mirror_tasks.config.lock_files.model import Lock
from mirror_tasks.describe_environment import environment_block
from mirror_tasks.prove import lock_installation
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import MirrorFolder, clean_environment, mirror_folder

PYPROJECT = """\
[project]
name = "team"
version = "1"
requires-python = ">=3.10"
dependencies = ["app"]
[project.optional-dependencies]
fast = ["speed"]
[dependency-groups]
dev = ["checker"]
"""


WORLD = {
    "app": [wheel("app", "1.0", requires=["lib"])],
    "lib": [wheel("lib", "1.0"), sdist("lib", "1.0")],
    "checker": [sdist("checker", "3.0")],
    "speed": [wheel("speed", "2.0")],
}
POETRY_SOURCE = """
[[tool.poetry.source]]
name = "index"
url = "{url}"
priority = "primary"
"""
PIPFILE = """\
[[source]]
name = "index"
url = "{url}"
verify_ssl = false
[packages]
app = "*"
[dev-packages]
checker = "*"
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(WORLD) as served:
        yield served


def team(folder: Path, index: FakeIndex, lock: str, **asked: list[str]) -> MirrorFolder:
    made = mirror_folder(
        folder, index, requirements=[{"lock": f"app/{lock}", **asked}], environments={"here": environment_block()}
    )
    (folder / "app").mkdir()
    (folder / "app/pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    return made


def run(folder: Path, *command: str, **settings: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(UV_PYTHON_DOWNLOADS="never", **settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def judged(project: MirrorFolder) -> dict[str, Any]:
    return {one["judge"]: one["reason"] for one in json.loads((project.state / "prove.json").read_bytes())}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a team with a lock of uv, mirrored; the index is gone."""
    folder = tmp_path_factory.mktemp("team")
    with FakeIndex(WORLD) as served:
        project = team(folder, served, "uv.lock")
        run(folder / "app", uv.find_uv_bin(), "lock", "--default-index", served.url, "--no-cache")
        project.mirrored()
    return folder


def test_uv_installs_its_lock_with_all_groups_and_extras_from_the_mirror_alone(mirrored: Path) -> None:
    project = MirrorFolder(mirrored)
    done = project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert judged(project) == {"lock": "", "installation-by-uv": ""}


def test_a_lock_of_which_the_mirror_lost_a_file_is_not_proven_by_anyone(mirrored: Path, tmp_path: Path) -> None:
    project = MirrorFolder(Path(shutil.copytree(mirrored, tmp_path / "copy")))
    (project.output / "packages/speed/speed-2.0-py3-none-any.whl").unlink()
    done = project.doit("prove", "--own", "--install")
    assert done.returncode not in (0, 130)
    assert set(judged(project)) == {"lock", "installation-by-uv"}
    assert all("speed" in reason for reason in judged(project).values())


def test_a_pip_that_reads_no_pylock_is_told_and_no_fault_of_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(path=Path("pylock.toml"), kind="pylock.toml", groups=(), extras=(), selected={})
    monkeypatch.setattr(metadata, "version", lambda name: "23.2.1")
    assert lock_installation._obstacle(lock) == "pip 23.2.1 reads no pylock.toml; 26.1 and newer do"
    monkeypatch.setattr(metadata, "version", lambda name: "26.1")
    assert lock_installation._obstacle(lock) == ""


def test_pip_installs_a_pylock_that_uv_exported(tmp_path: Path, index: FakeIndex) -> None:
    if Version(metadata.version("pip")) < Version("26.1"):
        pytest.skip(f"pip {metadata.version('pip')} reads no pylock.toml")
    project = team(tmp_path, index, "pylock.toml")
    run(tmp_path / "app", uv.find_uv_bin(), "lock", "--default-index", f"{index.url}", "--no-cache")
    export = ("export", "--format", "pylock.toml", "--no-emit-project", "-o", "pylock.toml", "--no-cache")
    run(tmp_path / "app", uv.find_uv_bin(), *export, "--default-index", f"{index.url}")
    project.mirrored()
    done = project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert judged(project) == {"lock": "", "installation-by-pip": ""}


@pytest.mark.clients
@pytest.mark.parametrize(
    ("tool", "lock", "commands"),
    [
        ("pdm", "pdm.lock", ["pdm lock -G :all"]),
        ("poetry", "poetry.lock", ["poetry lock --no-interaction"]),
        ("pipenv", "Pipfile.lock", ["pipenv lock --categories=packages", "pipenv lock --categories=dev-packages"]),
    ],
)
def test_a_team_installs_its_lock_by_its_own_command(
    tmp_path: Path, index: FakeIndex, tool: str, lock: str, commands: list[str]
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    project = team(tmp_path, index, lock)
    if tool == "pipenv":
        (tmp_path / "app/pyproject.toml").unlink()
        (tmp_path / "app/Pipfile").write_text(PIPFILE.format(url=index.url), encoding="utf-8")
    if tool == "poetry":
        (tmp_path / "app/pyproject.toml").write_text(PYPROJECT + POETRY_SOURCE.format(url=index.url), encoding="utf-8")
    for command in commands:
        run(tmp_path / "app", *command.split(), PDM_PYPI_URL=index.url, PIPENV_NOSPIN="1", PIPENV_VENV_IN_PROJECT="1")
    project.mirrored()
    done = project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert judged(project) == {"lock": "", f"installation-by-{tool}": ""}


@pytest.mark.clients
@pytest.mark.parametrize(
    ("tool", "lock", "asked"),
    [
        ("pdm", "pdm.lock", {"groups": ["default"]}),
        ("poetry", "poetry.lock", {"groups": ["main"], "extras": ["fast"]}),
    ],
)
def test_of_a_lock_only_the_groups_and_extras_that_are_mirrored_are_installed(
    tmp_path: Path, index: FakeIndex, tool: str, lock: str, asked: dict[str, list[str]]
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    project = team(tmp_path, index, lock, **asked)
    if tool == "poetry":
        (tmp_path / "app/pyproject.toml").write_text(PYPROJECT + POETRY_SOURCE.format(url=index.url), encoding="utf-8")
    options = ["-G", ":all"] if tool == "pdm" else []
    run(tmp_path / "app", tool, "lock", *options, PDM_PYPI_URL=index.url)
    project.mirrored()
    done = project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert judged(project) == {"lock": "", f"installation-by-{tool}": ""}
    assert len(list((project.output / "packages").iterdir())) == 3
