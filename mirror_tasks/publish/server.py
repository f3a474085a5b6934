"""What is put into a mirror to run inside, the server and what applies a bundle: where they stand here and there."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PROGRAMS = ("server.py", "receive.py")
"""What runs inside, by its name in a mirror."""


def program_targets(output: Path) -> list[Path]:
    """Return where the programs stand in a mirror."""
    return [output / name for name in PROGRAMS]


def programs() -> Mapping[str, bytes]:
    """Return the programs by their names in a mirror."""
    return {name: _template(name).read_bytes() for name in PROGRAMS}


def server_template() -> Path:
    """Return the path of the single-file server."""
    return _template("server.py")


def receiver_template() -> Path:
    """Return the path of the single file that applies a bundle."""
    return _template("receive.py")


def _template(name: str) -> Path:
    """Return where a program stands: inside the package if it was installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "server_template" / name
    return inside if inside.exists() else package.parent / "server_template" / name


@cache
def server_module() -> Any:
    """Return the server as a module: what it does to a lock is done by the very same code here."""
    spec = importlib.util.spec_from_file_location("mirror_tasks_server", server_template())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
