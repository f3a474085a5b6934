"""The target that volumes are written to: is there room for the next one, or has the next stick to be put there?"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import holds, is_file
from mirror_tasks.transfer.volumes import BLOCK, blocks
from mirror_tasks.transfer.writing import Volume


@dataclass(frozen=True, slots=True)
class Lack:
    """What is free, and what is needed, in bytes."""

    free: int
    needed: int


def check_target(folder: Path, home: Path) -> None:
    """Look if a folder can be written to.

    :param home: below it folders are made. Elsewhere that would be where a stick belongs which is not there, and
        what is to be carried would stand on this machine's disk.
    :raises ResolutionError: it can't, or is not there.
    """
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if there != folder and not folder.is_relative_to(home):
        advice = "Put the stick there, or make the folder, then run again."
        raise ResolutionError("writing a bundle to", str(folder), "expected a folder, found none", advice)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    found = "a file" if is_file(there) else "a link to nowhere" if not there.exists() else "one that does not permit it"
    problem = f"expected a folder that can be written to, found {found}: {there}"
    raise ResolutionError(
        "writing a bundle to", str(folder), problem, "Put the stick there, or set `to` under transfer."
    )


def lack_of(volume: Volume, to: Path) -> Lack | None:
    """Return what is free and what a volume needs, where that is more; None also where a file system does not say."""
    found = _room_in(to)
    if found is None:
        return None
    free, block = found
    needed = volume.size(block) - _already_there(volume, block)
    return Lack(free, needed) if needed > free else None


def _room_in(folder: Path) -> tuple[int, int] | None:
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    try:
        free = shutil.disk_usage(there).free
        block = os.statvfs(there).f_frsize if hasattr(os, "statvfs") else BLOCK
    except OSError:
        return None
    return free, max(512, block)


def _already_there(volume: Volume, block: int) -> int:
    """Return the bytes that need no room any more, since a killed run wrote them; or that go, since another one did."""
    is_begun = holds(volume.folder / "volume.json", volume.about)
    files = volume.files
    size = 0
    for path in volume.folder.rglob("*"):
        name = path.relative_to(volume.folder).as_posix()
        if is_file(path) and (not is_begun or files.get(name) == path.stat().st_size):
            size += blocks(path.stat().st_size, block)
    return size
