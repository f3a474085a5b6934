"""The members of a zip, which must be exactly what it seems: nothing before it, behind it, or in it twice over."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

from mirror_tasks.archives.members import BOMB_RATIO, LARGEST_MEMBER, MEBIBYTE, MOST_MEMBERS, Member, reading, safe_path
from mirror_tasks.archives.untrusted import BrokenError

# The central directory is held in memory: about 100 bytes a member, of which parsing makes a thousand.
LARGEST_DIRECTORY = 16 * MEBIBYTE
# Below this much it doesn't matter how well something was compressed.
_HARMLESS_MEMBER = MEBIBYTE
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")


def zip_members(archive: BinaryIO, *, whole: bool = True) -> Sequence[Member]:
    """Return the members of a zip, in the order in which they lie in it.

    Some readers go by the directory, others (uv among them) by the header before each member: both have to say the same.

    :param archive: the whole zip, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param whole: all headers are read, and not those of the members that are read only, for each is a request elsewhere.
    :raises BrokenError: it is no zip, is damaged, or could be read as something else by another reader.
    """
    end = _check_end(archive)
    with reading():
        opened = zipfile.ZipFile(archive)
        members = [
            _ZipMember(safe_path(entry.orig_filename), opened, entry, after)
            for entry, after in _check_layout(opened.infolist(), end)
        ]
        for member in members if whole else ():
            member.check()
    return members


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
    __slots__ = ("_after", "_entry", "_opened", "path")

    def __init__(self, path: str, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, after: int) -> None:
        self.path = path
        self._opened, self._entry, self._after = opened, entry, after

    @property
    def is_file(self) -> bool:
        entry = self._entry
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
        return kind in {0, stat.S_IFREG} and not entry.is_dir()

    def check(self) -> None:
        """Refuse a member whose header says something else than the directory."""
        if problem := _local_problem(cast(BinaryIO, self._opened.fp), self._entry, self._after):
            raise BrokenError(f"{self.path[:200]!r}: {problem}; some readers go by its header")

    def read(self) -> bytes:
        _check_entry(self._entry)
        with reading():
            self.check()
            with self._opened.open(self._entry) as stream:
                return stream.read()


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


def _check_layout(entries: list[zipfile.ZipInfo], end: _End) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Yield the members, each with where what is behind it begins; they lie one behind the other from the first byte on."""
    if not entries:
        raise BrokenError("the zip has no members")
    if len(entries) > MOST_MEMBERS:
        raise BrokenError(f"more than {MOST_MEMBERS:,} members")
    if len(entries) != end.members:
        raise BrokenError(f"expected {end.members:,} members, as the zip's end record says, found {len(entries):,}")
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    if in_order[0].header_offset != 0:
        raise BrokenError("expected the zip to begin with its first member, found something before it")
    ends = [entry.header_offset for entry in in_order[1:]] + [end.start]
    for entry, after in zip(in_order, ends, strict=True):
        # A local header has 30 bytes and the name at least; a data descriptor may follow the content.
        if entry.header_offset + 30 + entry.compress_size > after:
            raise BrokenError(f"the member {entry.filename[:200]!r} overlaps another one")
        if _has_other_name(entry.extra):
            raise BrokenError(f"the member {entry.filename[:200]!r} has a second name in an extra field")
        yield entry, after


def _has_other_name(extra: bytes) -> bool:
    """Say if there is a Unicode path among extra fields: some readers take it for the name, older ones do not."""
    return _UNICODE_PATH in extra and any(kind == 0x7075 for kind, _ in _extra_fields(extra))


_UNICODE_PATH = struct.pack("<H", 0x7075)


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _local_problem(archive: BinaryIO, entry: zipfile.ZipInfo, after: int) -> str | None:
    """Return what the header before a member says otherwise than the directory; None where they agree."""
    archive.seek(entry.header_offset)
    magic, _, flags, method, _, _, _, packed, size, name_size, extra_size = _LOCAL.unpack(archive.read(_LOCAL.size))
    name, extra = archive.read(name_size), archive.read(extra_size)
    is_plain = entry.orig_filename.isascii()
    expected = entry.orig_filename.encode("utf-8" if is_plain or entry.flag_bits & _IS_UTF8 else "cp437")
    if magic != b"PK\3\4" or name != expected or (flags ^ entry.flag_bits) & _IS_UTF8 or _has_other_name(extra):
        return "it has another name in its header"
    if packed == size == 0xFFFFFFFF:
        size, packed = next(
            (struct.unpack_from("<QQ", value) for kind, value in _extra_fields(extra) if kind == 1), (0, 0)
        )
    sizes = {(entry.compress_size, entry.file_size), *([(0, 0)] if flags & _HAS_DESCRIPTOR else [])}
    behind = after - entry.header_offset - _LOCAL.size - name_size - extra_size - entry.compress_size
    if method != entry.compress_type or (packed, size) not in sizes:
        return "it is compressed otherwise, or has another size, in its header"
    if behind not in ((12, 16, 20, 24) if flags & _HAS_DESCRIPTOR else (0,)):
        return "there is something between it and the next member"
    return None


_LOCAL = struct.Struct("<4s5H3L2H")
_HAS_DESCRIPTOR, _IS_UTF8, _ODD_FLAGS = 0x8, 0x800, 0x1 | 0x20 | 0x40 | 0x2000  # encrypted, a patch, or masked


def _check_entry(entry: zipfile.ZipInfo) -> None:
    """Refuse to read what is encrypted, compressed in a way that wheels are not, or a bomb."""
    if entry.flag_bits & _ODD_FLAGS:
        raise BrokenError(f"{entry.filename} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BrokenError(f"{entry.filename}: expected it stored or deflated, found compression {entry.compress_type}")
    if entry.file_size > LARGEST_MEMBER:
        raise BrokenError(
            f"{entry.filename} has {entry.file_size:,} bytes, more than the {LARGEST_MEMBER:,} that are read"
        )
    if entry.file_size > max(_HARMLESS_MEMBER, BOMB_RATIO * entry.compress_size):
        raise BrokenError(f"{entry.filename} unpacks to more than {BOMB_RATIO} times its size: a zip bomb")
