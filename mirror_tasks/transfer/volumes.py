"""How contents are packed into volumes: whole where they fit, cut where they don't; no I/O.

What a volume takes is reckoned in blocks, as a file system does: each file up to whole blocks, and a block for each folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BLOCK = 4096
LARGEST_FILE = (1 << 32) - BLOCK
"""The largest file, in bytes, that every file system of sticks can have; FAT has none of 4 GiB."""

_LOOKED_AT = 32  # volumes with room, of the first and of the last ones, that are tried for a file before one is begun


class Placed(NamedTuple):
    """Where a content, or a part of it, is packed: ``place`` is its path below ``files/``, ``size`` in bytes."""

    volume: int
    place: str
    size: int


class TooSmallError(ValueError):
    """No file fits into a volume beside what stands in every one.

    :ivar needed: the bytes that there has to be room for.
    """

    def __init__(self, needed: int) -> None:
        super().__init__(f"expected room for {needed} bytes at least")
        self.needed = needed


def blocks(size: int, block: int = BLOCK) -> int:
    """Return the bytes that a file of this size takes; an empty one takes a block as well."""
    return max(block, -(-size // block) * block)


def taken(places: Mapping[str, int], block: int = BLOCK) -> int:
    """Return the bytes that files take, and the folders that they are in.

    :param places: their sizes by their paths.
    """
    folders = {folder for place in places for folder in _folders(place)}
    return sum(blocks(size, block) for size in places.values()) + block * len(folders)


def pack(files: Sequence[tuple[str, int]], room: int | None) -> list[tuple[Placed, ...]]:
    """Pack files into as few volumes as is easily done; the same files always give the same volumes.

    :param files: place and size of each.
    :param room: bytes of a volume for files and their folders; None: there is one volume, of any size.
    :returns: the parts of each file, in the order of the files.
    :raises TooSmallError: a volume would take no block of a file.
    """
    cut = [_cut(place, size, room) for place, size in files]
    pieces = sorted((piece for parts in cut for piece in parts), key=lambda one: (-blocks(one[1]), one[0]))
    packer = _Packer(room)
    volume_of = {place: packer.put(place, size) for place, size in pieces}
    return [tuple(Placed(volume_of[place], place, size) for place, size in parts) for parts in cut]


def _cut(place: str, size: int, room: int | None) -> list[tuple[str, int]]:
    """Return the parts of a file: itself if it can be whole."""
    most = LARGEST_FILE if room is None else min(LARGEST_FILE, _longest(place, room))
    if size <= most:
        return [(place, size)]
    count = -(-size // most)
    sizes = [most] * (count - 1) + [size - most * (count - 1)]
    return [(f"{place}.part-{number}-of-{count}", part) for number, part in enumerate(sizes, 1)]


def _longest(place: str, room: int) -> int:
    """Return the bytes of a file that an empty volume can take, in whole blocks."""
    needed = BLOCK * (len(_folders(place)) + 1)
    if room < needed:
        raise TooSmallError(needed)
    return (room - needed) // BLOCK * BLOCK + BLOCK


def _folders(place: str) -> list[str]:
    parts = place.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


@dataclass(slots=True)
class _Volume:
    number: int
    room: int
    folders: set[str] = field(default_factory=set)


class _Packer:
    """Puts files, which come largest first, each into the first volume that has room for it and its folders."""

    def __init__(self, room: int | None) -> None:
        self._room = room
        self._count = 0
        self._open: list[_Volume] = []

    def put(self, place: str, size: int) -> int:
        """Return the number of the volume that a file goes into."""
        if self._room is None:
            return 1
        folders = _folders(place)
        for volume in [*self._open[:_LOOKED_AT], *self._open[_LOOKED_AT:][-_LOOKED_AT:]]:
            if (cost := _cost(volume, folders, size)) <= volume.room:
                break
        else:
            volume = self._begin(self._room)
            cost = _cost(volume, folders, size)
        volume.room -= cost
        volume.folders.update(folders)
        if volume.room < BLOCK:
            self._open.remove(volume)
        return volume.number

    def _begin(self, room: int) -> _Volume:
        self._count += 1
        self._open.append(_Volume(self._count, room))
        return self._open[-1]


def _cost(volume: _Volume, folders: Sequence[str], size: int) -> int:
    return blocks(size) + BLOCK * sum(folder not in volume.folders for folder in folders)
