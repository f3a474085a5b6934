"""The members of a zip, which must be exactly what it seems: nothing before it, behind it, or in it twice over."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from mirror_tasks.archives.members import (
    BOMB_RATIO,
    LARGEST_MEMBER,
    LONGEST_PATH,
    MEBIBYTE,
    MOST_MEMBERS,
    Member,
    fast_zlib,
    reading,
    safe_path,
)
from mirror_tasks.archives.untrusted import BrokenError
from mirror_tasks.archives.zip_directory import (
    DEFLATED,
    IS_UTF8,
    STORED,
    Entry,
    entries_of,
    extra_fields,
    has_other_name,
)

# The central directory is held in memory: about 100 bytes a member, of which parsing makes four times as many.
LARGEST_DIRECTORY = 16 * MEBIBYTE
# Below this much it doesn't matter how well something was compressed.
_HARMLESS_MEMBER = MEBIBYTE
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")


def zip_members(archive: BinaryIO, *, whole: bool = True, part: bytes = b"") -> Sequence[Member]:
    """Return the members of a zip, in the order in which they lie in it.

    Some readers go by the directory, others (uv among them) by the header before each member: both have to say the same.

    :param archive: the whole zip, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param whole: all headers are read, and not those of the members that are read only, for each is a request elsewhere.
    :param part: ASCII in small letters: of members without it in their paths, however it is spelled, none need be returned.
    :raises BrokenError: it is no zip, is damaged, or could be read as something else by another reader.
    """
    end = _check_end(archive)
    with reading():
        archive.seek(end.start)
        entries = entries_of(archive.read(end.length))
        _check_layout(entries, end)
        _check_paths(entries)
        ends = [*(entry.offset for entry in entries[1:]), end.start]
        if whole:
            for entry, after in zip(entries, ends, strict=True):
                _check_header(archive, entry, after)
        # Beyond ASCII there are letters that some systems take for others.
        return [
            _ZipMember(archive, entry, after)
            for entry, after in zip(entries, ends, strict=True)
            if entry.name.lower().find(part) >= 0 or not entry.name.isascii()  # "in" takes four times as long
        ]


def directory_mentions(archive: BinaryIO, part: bytes) -> bool:
    """Say if ``part`` stands in the central directory of a zip, as part of the path of a member for one.

    That is much faster than asking for its members, so that they need be asked for of few zips among many.

    :raises BrokenError: it is no zip, or is damaged.
    """
    end = _check_end(archive)
    with reading():
        archive.seek(end.start)
        return part in archive.read(end.length)


class _ZipMember:
    __slots__ = ("_after", "_archive", "_entry", "path")

    def __init__(self, archive: BinaryIO, entry: Entry, after: int) -> None:
        self.path = safe_path(entry.path)
        self._archive, self._entry, self._after = archive, entry, after

    @property
    def is_file(self) -> bool:
        return self._entry.is_file

    def read(self) -> bytes:
        entry = self._entry
        _check_readable(entry)
        with reading():
            self._archive.seek(_check_header(self._archive, entry, self._after))
            return _unpacked(entry, self._archive.read(entry.packed))


def _unpacked(entry: Entry, packed: bytes) -> bytes:
    """Return the content of a member, which has to be what the directory says of it."""
    content = packed
    if entry.method == DEFLATED:
        content = fast_zlib.decompressobj(-fast_zlib.MAX_WBITS).decompress(packed, entry.size + 1)
    if len(content) != entry.size:
        found = f"{len(content):,} bytes" if len(content) < entry.size else "more"
        raise BrokenError(f"the archive is damaged: expected {entry.size:,} bytes of {entry.path}, found {found}")
    if fast_zlib.crc32(content) != entry.crc:
        raise BrokenError(f"the archive is damaged: Bad CRC-32 for file {entry.path!r}")
    return content


class _End(NamedTuple):
    """What the end record says of the central directory: how many members it has, its size and where it starts."""

    members: int
    length: int
    start: int


def _check_end(archive: BinaryIO) -> _End:
    """Return what the end record says, having checked that it and the central directory are the last things there.

    zipfile looks for the end record in the last 64 KiB, and makes up for whatever stands before the zip: two readers
    could see two archives.
    """
    with reading():
        size = archive.seek(0, io.SEEK_END)
        tail_size = min(size, _END.size + _LOCATOR64.size + _END64.size)
        archive.seek(size - tail_size)
        tail = archive.read(tail_size)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\5\6") or not tail.endswith(b"\0\0"):
        raise BrokenError(
            "expected a zip that ends with its end record, found none there: cut short, or something was appended"
        )
    end, own_size = _directory(tail)
    if end.start + end.length != size - own_size:
        raise BrokenError(
            "expected the zip's directory to end where its end record begins; something was put in before or between"
        )
    if end.length > LARGEST_DIRECTORY:
        raise BrokenError(
            f"the zip's directory has {end.length:,} bytes, more than the {LARGEST_DIRECTORY:,} that are read"
        )
    return end


def _directory(tail: bytes) -> tuple[_End, int]:
    """Return what is said of the central directory, and the size of the records behind it that say so."""
    _, disk, first_disk, count_here, *said, _ = _END.unpack(tail[-_END.size :])
    if disk or first_disk or count_here != said[0]:
        raise BrokenError("expected a zip of one part")
    locator_at = len(tail) - _END.size - _LOCATOR64.size
    if locator_at < _END64.size or not tail[locator_at:].startswith(b"PK\6\7") or not tail.startswith(b"PK\6\6"):
        return _End(*said), _END.size
    *_, count, length, start = _END64.unpack(tail[: _END64.size])
    # A number that has no room in the older record has all its bits set there; readers of old look there first.
    if any(old not in {new, most} for old, new, most in zip(said, (count, length, start), _ALL_BITS, strict=True)):
        raise BrokenError("the two end records of the zip say different things")
    return _End(count, length, start), len(tail)


_ALL_BITS = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def _check_layout(entries: Sequence[Entry], end: _End) -> None:
    """Refuse members that do not lie one behind the other from the first byte on, or are not as many as the end record says."""
    if not entries:
        raise BrokenError("the zip has no members")
    if len(entries) > MOST_MEMBERS:
        raise BrokenError(f"more than {MOST_MEMBERS:,} members")
    if len(entries) != end.members:
        raise BrokenError(f"expected {end.members:,} members, as the zip's end record says, found {len(entries):,}")
    if entries[0].offset != 0:
        raise BrokenError("expected the zip to begin with its first member, found something before it")
    # A local header has 30 bytes and the name at least; a data descriptor may follow the content.
    overlapping = [one for one, other in pairwise(entries) if one.offset + _LOCAL.size + one.packed > other.offset]
    if entries[-1].offset + _LOCAL.size + entries[-1].packed > end.start:
        overlapping.append(entries[-1])
    if overlapping:
        raise BrokenError(f"the member {overlapping[0].path[:200]!r} overlaps another one")


def _check_paths(entries: Sequence[Entry]) -> None:
    """Refuse paths that lead out of the archive; where nothing in all of them can, they need not be looked at one by one."""
    names = [entry.name for entry in entries]
    together = b"\n" + b"\n".join(names)
    is_odd = not together.isascii() or any(odd in together for odd in (b"..", b"\0", b"\n/"))
    if is_odd or max(map(len, names)) > LONGEST_PATH:
        for entry in entries:
            safe_path(entry.path)


def _check_header(archive: BinaryIO, entry: Entry, after: int) -> int:
    """Refuse a member whose header says something else than the directory; return where its content begins.

    :param after: where what is behind it begins.
    """
    archive.seek(entry.offset)
    magic, _, flags, method, _, _, _, packed, size, name_size, extra_size = _LOCAL.unpack(archive.read(_LOCAL.size))
    name, extra = archive.read(name_size), archive.read(extra_size)
    begin: int = entry.offset + _LOCAL.size + name_size + extra_size
    problem = None
    if magic != b"PK\3\4" or name != entry.name or (flags ^ entry.flags) & IS_UTF8 or has_other_name(extra):
        problem = "it has another name in its header"
    elif method != entry.method or not _has_sizes(entry, flags, packed, size, extra):
        problem = "it is compressed otherwise, or has another size, in its header"
    elif after - begin - entry.packed not in ((12, 16, 20, 24) if flags & _HAS_DESCRIPTOR else (0,)):
        problem = "there is something between it and the next member"
    if problem:
        raise BrokenError(f"{entry.path[:200]!r}: {problem}; some readers go by its header")
    return begin


def _has_sizes(entry: Entry, flags: int, packed: int, size: int, extra: bytes) -> bool:
    """Say if the sizes in the header of a member are those of the directory, or none where they stand behind its content."""
    if packed == size == 0xFFFFFFFF:
        later = [content for kind, content in extra_fields(extra) if kind == 1]
        size, packed = struct.unpack_from("<QQ", later[0]) if later else (0, 0)
    return (packed, size) == (entry.packed, entry.size) or bool(flags & _HAS_DESCRIPTOR and packed == size == 0)


_LOCAL = struct.Struct("<4s5H3L2H")
_HAS_DESCRIPTOR, _ODD_FLAGS = 0x8, 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, a patch, or masked


def _check_readable(entry: Entry) -> None:
    """Refuse to read what is encrypted, compressed in a way that wheels are not, or a bomb."""
    if entry.flags & _ODD_FLAGS:
        raise BrokenError(f"{entry.path} is encrypted")
    if entry.method not in {STORED, DEFLATED}:
        raise BrokenError(f"{entry.path}: expected it stored or deflated, found compression {entry.method}")
    if entry.size > LARGEST_MEMBER:
        raise BrokenError(f"{entry.path} has {entry.size:,} bytes, more than the {LARGEST_MEMBER:,} that are read")
    if entry.size > max(_HARMLESS_MEMBER, BOMB_RATIO * entry.packed):
        raise BrokenError(f"{entry.path} unpacks to more than {BOMB_RATIO} times its size: a zip bomb")
