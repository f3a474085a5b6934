"""The line under ``requirements:`` that brings in what no index has."""

from __future__ import annotations

import os
from pathlib import Path

ARCHIVES = (".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
"""How the names of wheels and sdists end."""


def line_to_add(name: str, source: str, beside: Path, folder: Path, sha256: str | None = None) -> str:
    """Say what to add.

    :param source: as a requirement has it behind the ``@``.
    :param beside: the folder that paths in it are relative to.
    :param folder: that of ``mirror.yaml``, which paths there are relative to.
    :param sha256: of the file at the source, where it is known.
    """
    if source.startswith("git+"):
        return f'add  - {{require: "{name} @ {source}", build: true}}'
    if "://" in source and not source.startswith("file:"):
        fragment = f"#sha256={sha256}" if sha256 and "#" not in source else ""
        return f'add  - "{name} @ {source}{fragment}"'
    there = source.partition("#")[0].removeprefix("file://")
    path = Path(os.path.relpath(os.path.normpath(beside / there), folder))
    if there.lower().endswith(ARCHIVES):
        return f"add  - {{wheels: {path.parent.as_posix()}}}"
    dist = (path / "dist").as_posix()
    return f"build a wheel of it (`python -m build {path.as_posix()}`), and add  - {{wheels: {dist}}}"
