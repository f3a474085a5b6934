"""What a lock does not have: building the project itself, and the members of its workspace."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

import tomli

from mirror_tasks.config.lock_files.model import Lock
from mirror_tasks.config.requirement_files import read_text

_LARGEST = 16 << 20  # bytes


def unbuilt(lock: Lock, brought: Collection[Path], folder: Path) -> str:
    """Say in a sentence which projects ``uv sync`` builds beside a lock with nothing in the mirror to build them; or "".

    uv writes ``editable`` for a project that it builds, ``virtual`` for one that it does not.

    :param brought: the files of the projects whose build requirements are mirrored.
    :param folder: that of ``mirror.yaml``, which paths in it are relative to.
    """
    if lock.kind != "uv.lock":
        return ""
    try:
        packages = tomli.loads(read_text(lock.path, _LARGEST)).get("package", [])
        files = [file for file in _built(packages, lock.path.parent) if file not in brought]
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return ""  # what is wrong with the lock is said where it is read
    names = [PurePath(os.path.relpath(file, folder)).as_posix() for file in files]
    if not names:
        return ""
    add = f"- {{project: {names[0]}}}{' and the others likewise' if names[1:] else ''}"
    takes = f"what building takes is in no lock: add {add}, or use `--no-install-workspace`"
    return f"`uv sync` builds {', '.join(names)}, and {takes}"


def _built(packages: Collection[Any], beside: Path) -> Iterator[Path]:
    """Yield the project file of each package that is built in its folder."""
    for package in packages:
        if "editable" in package["source"]:
            yield Path(os.path.normpath(beside / package["source"]["editable"] / "pyproject.toml"))
