"""A uv lock that is older than its projects is told, and one that is not is never said to be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mirror_tasks.config.lock_files.uv_stale import stale
from tests.uv_workspace import FOLDER

SHARED = next((folder / "shared/locks/uv" for folder in Path(__file__).parents if (folder / "shared").is_dir()), None)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "space")) / "uv.lock"


def change(lock: Path, member: str, old: str, new: str) -> None:
    path = lock.parent / member / "pyproject.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_lock_of_today_is_not_stale(lock: Path) -> None:
    assert stale(lock) == ""


def test_a_real_lock_of_today_is_not_stale() -> None:
    if SHARED is None:
        pytest.skip("the folder of shared locks, ../shared/locks/uv, is not there")
    assert stale(SHARED / "uv.lock") == ""


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("", '"requests"]', '"requests>=2"]'),
        ("", '"requests"]', '"requests", "flask"]'),
        ("", 'dev = ["pytest"', 'dev = ["pytest<8"'),
        ("packages/app", "forked", "forged"),
    ],
)
def test_a_project_that_changed_since_is_named(lock: Path, member: str, old: str, new: str) -> None:
    change(lock, member, old, new)
    name = f"{member}/pyproject.toml" if member else "pyproject.toml"
    assert stale(lock) == f"{name} changed since the lock was made; `uv sync --frozen` goes by the lock: run `uv lock`"


@pytest.mark.parametrize(
    "text", ["", "[project]\nversion = 3\n", "[project", '[project]\nname = "x"\ndependencies = [3]\n']
)
def test_what_cant_be_judged_is_not_said_to_be_stale(lock: Path, text: str) -> None:
    (lock.parent / "pyproject.toml").write_text(text, "utf-8")
    assert stale(lock) == ""


def test_dependencies_that_only_a_backend_knows_are_not_judged(lock: Path) -> None:
    change(lock, "", 'dependencies = ["app", "requests"]', 'dynamic = ["dependencies"]')
    assert stale(lock) == ""
