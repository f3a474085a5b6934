"""Where things stand in a mirror, and how it ceases to say that it is whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def package_path(output: Path, project: str, filename: str) -> Path:
    """Where a file stands in a mirror."""
    return Path(package_place(output, project, filename))


def package_place(output: Path, project: str, filename: str) -> str:
    """Where a file stands in a mirror, as text: to make a path of it takes longer than to look if it is there."""
    return f"{output}{os.sep}packages{os.sep}{project}{os.sep}{filename}"


def metadata_path(path: Path) -> Path:
    """Where the core metadata of the file at ``path`` stands."""
    return Path(metadata_place(path))


def metadata_place(path: Path | str) -> str:
    """Where the core metadata of the file at ``path`` stands, as text."""
    return f"{path}.metadata"


def manifest_paths(output: Path) -> tuple[Path, Path]:
    """Where ``mirror.json`` and ``SHA256SUMS`` stand."""
    return output / "mirror.json", output / "SHA256SUMS"


def withdraw(output: Path) -> None:
    """Take ``SHA256SUMS`` and ``mirror.json`` away, before any published file is changed: a directory that has them is whole.

    The sums go first, for they name ``mirror.json`` too.
    """
    summary, sums = manifest_paths(output)
    there = [path for path in (sums, summary) if os.path.lexists(path)]
    for path in there:
        path.unlink(missing_ok=True)
    if there:
        _have_on_disk(output)


def _have_on_disk(folder: Path) -> None:
    """Have what was removed from a folder gone after a loss of power, too, where a system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
