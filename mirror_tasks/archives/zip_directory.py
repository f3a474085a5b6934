"""The central directory of a zip, read in one loop: a wheel may have 30,000 members, of which one is looked for.

:mod:`zipfile` makes an object of each, which took a tenth of the processor time of a large plan.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from mirror_tasks.archives.untrusted import BrokenError

STORED, DEFLATED = 0, 8
IS_UTF8 = 0x800  # among the flags: the name is in UTF-8, not in code page 437
_UNIX = 3
_NEWEST_VERSION = 63  # of the format that is needed to read a member, in one byte of two; what zipfile reads
_LATER = 0xFFFFFFFF  # the number has no room here: it is in an extra field
_HEADER = struct.Struct("<4sxBBxHH4xLLLHHH4xLL")  # 46 bytes
_UNICODE_PATH = struct.pack("<H", 0x7075)


class Entry(NamedTuple):
    """What the directory says of a member; entries are ordered as their members lie in the zip.

    :param offset: where its own header begins.
    :param packed: bytes of its content as it lies there, and ``size`` when it is unpacked.
    :param system: on which it was put in; it says what ``attributes`` mean.
    """

    offset: int
    name: bytes
    packed: int
    size: int
    crc: int
    flags: int
    method: int
    system: int
    attributes: int

    @property
    def path(self) -> str:
        """Its name as text."""
        return self.name.decode("utf-8" if self.flags & IS_UTF8 or self.name.isascii() else "cp437")

    @property
    def is_file(self) -> bool:
        """It is a regular file; links, folders and devices are not."""
        kind = stat.S_IFMT(self.attributes >> 16) if self.system == _UNIX else 0
        return kind in {0, stat.S_IFREG} and not self.name.endswith(b"/")


_new_entry = partial(tuple.__new__, Entry)


def entries_of(directory: bytes) -> list[Entry]:
    """Return what a central directory says, in the order in which the members lie.

    :raises BrokenError: it is damaged.
    """
    entries, at, length, unpack = [], 0, len(directory), _HEADER.unpack_from
    while at < length:
        magic, system, needed, flags, method, crc, packed, size, named, more, said, kind, offset = unpack(directory, at)
        end = at + 46 + named
        if magic != b"PK\1\2" or needed > _NEWEST_VERSION:
            raise BrokenError("the archive is damaged: an entry of the zip's directory is none that is known")
        name = directory[at + 46 : end]
        if more:
            size, packed, offset = _with_extra(name, directory[end : end + more], size, packed, offset)
        entries.append(_new_entry((offset, name, packed, size, crc, flags, method, system, kind)))
        at = end + more + said
    if at != length:
        raise BrokenError("the archive is damaged: the last entry of the zip's directory is cut short")
    entries.sort()
    return entries


def _with_extra(name: bytes, extra: bytes, *numbers: int) -> list[int]:
    """Return the numbers; one that has no room in an entry as its extra field has it."""
    if has_other_name(extra):
        raise BrokenError(f"the member {name.decode('cp437')[:200]!r} has a second name in an extra field")
    later = [content for kind, content in extra_fields(extra) if kind == 1]
    if not later or _LATER not in numbers:
        return list(numbers)
    found = iter(struct.unpack(f"<{numbers.count(_LATER)}Q", later[0][: 8 * numbers.count(_LATER)]))
    return [next(found) if number == _LATER else number for number in numbers]


def has_other_name(extra: bytes) -> bool:
    """Say if there is a Unicode path among extra fields: some readers take it for the name, older ones do not."""
    return _UNICODE_PATH in extra and any(kind == 0x7075 for kind, _ in extra_fields(extra))


def extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of each extra field; what is too short to begin one is none.

    :raises BrokenError: a field is cut short.
    """
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4 + size
        if at > len(extra):
            raise BrokenError("the archive is damaged: an extra field is cut short")
        yield kind, extra[at - size : at]
