"""The single-file server, which is put into a mirror: where it stands here and there, and its functions."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


def server_target(output: Path) -> Path:
    """Where the server stands in a mirror."""
    return output / "server.py"


def server_template() -> Path:
    """Return the path of the single-file server: inside the package if it was installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "server_template" / "server.py"
    return inside if inside.exists() else package.parent / "server_template" / "server.py"


@cache
def server_module() -> Any:
    """Return the server as a module: what it does to a lock is done by the very same code here."""
    spec = importlib.util.spec_from_file_location("mirror_tasks_server", server_template())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
