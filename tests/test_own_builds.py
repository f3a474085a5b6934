"""What `uv sync` builds beside a lock is told where the mirror has nothing to build it."""

from __future__ import annotations

from pathlib import Path

from tests.test_config import ENVIRONMENTS, config

ENTRY = "  - {lock: app/uv.lock}\n"
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.10"

[manifest]
members = ["app", "plain", "tool"]

[[package]]
name = "app"
version = "1.0"
source = { editable = "." }
dependencies = [{ name = "lib" }]

[[package]]
name = "lib"
version = "1.0"
source = { registry = "https://index.example.com/simple" }
wheels = [{ url = "https://files.example.com/lib-1.0-py3-none-any.whl", hash = "sha256:%s" }]

[[package]]
name = "plain"
version = "1.0"
source = { virtual = "plain" }

[[package]]
name = "tool"
version = "1.0"
source = { editable = "tool" }
""" % ("0" * 64)
PYPROJECT = '[project]\nname = "{}"\nversion = "1.0"\n[build-system]\nrequires = ["hatchling"]\n'


def warning(folder: Path, more: str = "", settings: str = "") -> str:
    for name, place in (("app", folder / "app"), ("tool", folder / "app" / "tool")):
        place.mkdir(parents=True, exist_ok=True)
        (place / "pyproject.toml").write_text(PYPROJECT.format(name))
    (folder / "app" / "uv.lock").write_text(LOCK)
    read = config(folder, f"{settings}{ENVIRONMENTS}\nrequirements:\n{ENTRY}{more}")
    (lock,) = (root.lock for root in read.roots if root.lock)
    return lock.warning


def test_each_project_that_can_not_be_built_inside_is_named(tmp_path: Path) -> None:
    told = warning(tmp_path)
    assert "`uv sync` builds app/pyproject.toml, app/tool/pyproject.toml, and what building takes is in no lock" in told
    assert "add - {project: app/pyproject.toml} and the others likewise, or use" in told
    assert "plain" not in told


def test_a_project_that_is_listed_is_not_named(tmp_path: Path) -> None:
    told = warning(tmp_path, "  - {project: app/tool/pyproject.toml}\n")
    assert "add - {project: app/pyproject.toml}, or use" in told
    assert "`uv sync` builds app/pyproject.toml, and" in told
    both = "  - {project: app/tool/pyproject.toml}\n  - {project: app/pyproject.toml}\n"
    assert "uv sync` builds" not in warning(tmp_path, both)


def test_nobody_is_told_who_wants_no_build_requirements(tmp_path: Path) -> None:
    assert "uv sync` builds" not in warning(tmp_path, settings="build-requirements: false\n")
