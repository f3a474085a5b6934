"""The formats of locks: by its name, what reads a lock, and what tells if it is older than what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mirror_tasks.config.lock_files import (
    pdm_lock,
    pipfile_hash,
    pipfile_lock,
    poetry_lock,
    pylock_toml,
    uv_lock,
    uv_stale,
)
from mirror_tasks.config.lock_files.model import LockFile

READERS: Mapping[str, Callable[[Mapping[str, object], Path], LockFile]] = {
    "uv.lock": uv_lock.read,
    "poetry.lock": poetry_lock.read,
    "pdm.lock": pdm_lock.read,
    "Pipfile.lock": pipfile_lock.read,
    "pylock.toml": pylock_toml.read,
}
STALE: Mapping[str, Callable[[Path], str]] = {
    "uv.lock": uv_stale.stale,
    "poetry.lock": poetry_lock.stale,
    "pdm.lock": pdm_lock.stale,
    "Pipfile.lock": pipfile_hash.stale,
}
