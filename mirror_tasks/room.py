"""Room on the disk: whether what is to come fits, said before it comes."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mirror_tasks.errors import StorageError
from mirror_tasks.text import readable


def _there(path: Path) -> Path:
    """Return a folder, or the nearest one above it that is there."""
    return next((folder for folder in (path, *path.parents) if folder.exists()), path)


def same_device(one: Path, other: Path) -> bool:
    """Say if two paths are on one file system, where moving a file takes no room."""
    return _there(one).stat().st_dev == _there(other).stat().st_dev


def check_room(wanted: Iterable[tuple[Path, int]], doing: str) -> None:
    """Look if there is room for so many bytes in each of some folders; on one file system they are added up.

    A folder whose file system does not say how much is free is passed over.

    :raises StorageError: there is less; its message says how much, and how to go on in spite of it.
    """
    by_device: dict[int, dict[Path, int]] = defaultdict(dict)
    for folder, size in wanted:
        there = _there(folder)
        by_device[there.stat().st_dev][folder] = size
    for sizes in by_device.values():
        (first, *_), needed = sizes, sum(sizes.values())
        try:
            free = shutil.disk_usage(_there(first)).free
        except OSError:
            continue
        if free < needed:
            subject = " and ".join(str(folder) for folder, size in sizes.items() if size) or str(first)
            problem = f"at least {readable(needed)} are to come, {readable(free)} are free"
            advice = (
                "Nothing of it was begun. Make room, then run again; or go on as far as there is room, "
                "with MIRROR_SPACE=any in the environment."
            )
            raise StorageError(doing, subject, problem, advice)
