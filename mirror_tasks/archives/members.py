"""The members of wheels and sdists, read without trust: every read is bounded, and nothing is ever extracted.

A zip must be exactly what it seems: nothing before it, nothing behind it, nothing in it twice over. Of a tar, headers
are read one after the other and no link is followed. PyPI refuses archives that unpack to more than 64 MiB at a ratio
above 50; the bounds here are of that kind, so that what an index of good repute lets in is let in here.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from mirror_tasks.errors import MetadataError

if TYPE_CHECKING or importlib.util.find_spec("zlib_ng") is None:
    fast_zlib = zlib
else:  # the same functions, in a third of the time
    from zlib_ng import zlib_ng as fast_zlib

MEBIBYTE = 1 << 20
MOST_MEMBERS = 200_000
LARGEST_MEMBER = 64 * MEBIBYTE
# The central directory is held in memory: about 100 bytes a member, of which parsing makes a thousand.
LARGEST_DIRECTORY = 16 * MEBIBYTE
# What a pax or a GNU header holds is a path or a few numbers; tarfile reads the whole of it into memory.
LARGEST_HEADER = MEBIBYTE
LONGEST_PATH = 4096  # characters; no system takes more
# Source code shrinks to a fifth or a tenth, and uploads above 100 MB need leave: no sdist is near it, and to inflate
# so much takes half a minute, which is what a hostile one can cost.
LARGEST_TAR = 4096 * MEBIBYTE
BOMB_RATIO = 50
# Below this much it doesn't matter how well something was compressed.
_HARMLESS_MEMBER = MEBIBYTE
_HARMLESS_TAR = 64 * MEBIBYTE
# Pieces that the allocator keeps and gives again: of four times the size, each cost a page fault for every 4 KiB.
_CHUNK = 1 << 15
_MOST_AT_ONCE = 1 << 18

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")

# What the standard library's readers raise, at one place or another, when an archive is broken.
_READING_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, fast_zlib.error, struct.error,
    EOFError, ValueError, NotImplementedError, OverflowError, RuntimeError, LookupError,
)  # fmt: skip


class Member(Protocol):
    """One member of an archive."""

    @property
    def path(self) -> str:
        """Its name, checked to lead nowhere out of the archive, without ``./`` before it."""

    @property
    def is_file(self) -> bool:
        """It is a regular file; links, folders and devices are not."""

    def read(self) -> bytes:
        """Return its bytes; for a member of a tar once, and before the next member is asked for.

        :raises MetadataError: it has too many, or is damaged.
        """


def broken(filename: str, problem: str) -> MetadataError:
    """Return the error that says what is wrong with the archive, or with the metadata in it."""
    return MetadataError("reading", filename, problem, "The file is left out; whoever publishes it can mend it")


class _OddTarError(Exception):
    """A tar has what some readers see otherwise than others; says what, for a sentence."""


@contextmanager
def _reading(filename: str) -> Iterator[None]:
    try:
        yield
    except _OddTarError as error:
        raise broken(filename, f"its tar has {error}, which those that make sdists do not write") from error
    except _READING_ERRORS as error:
        raise broken(filename, f"the archive is damaged: {error or type(error).__name__}") from error


def _safe_path(name: str, filename: str) -> str:
    """Return the path of a member as it is compared here; installers refuse archives with paths that lead out."""
    if name.startswith("/") or (".." in name and ".." in name.split("/")) or "\0" in name:
        raise broken(filename, f"expected paths inside the archive, found the member {name[:200]!r}")
    if len(name) > LONGEST_PATH:
        raise broken(filename, f"a path of {len(name):,} characters")
    if "./" not in name and "//" not in name and not name.endswith(("/", ".")):
        return name  # nearly every one
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def folded(path: str) -> str:
    """Return what a path is on a system that ignores case, takes a backslash for a slash and drops dots at the end."""
    parts = path.replace("\\", "/").casefold().split("/")
    return "/".join(part.partition(":")[0].rstrip(" .") for part in parts)


# Zip


def zip_members(archive: BinaryIO, filename: str, *, whole: bool = True) -> Sequence[Member]:
    """Return the members of a zip, in the order in which they lie in it.

    Some readers go by the directory, others (uv among them) by the header before each member: both have to say the same.

    :param archive: the whole zip, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param filename: what errors name.
    :param whole: all headers are read, and not those of the members that are read only, for each is a request elsewhere.
    :raises MetadataError: it is no zip, is damaged, or could be read as something else by another reader.
    """
    end = _check_end(archive, filename)
    with _reading(filename):
        opened = zipfile.ZipFile(archive)
        members = [
            _ZipMember(_safe_path(entry.orig_filename, filename), opened, entry, after, filename)
            for entry, after in _check_layout(opened.infolist(), end, filename)
        ]
        for member in members if whole else ():
            member.check()
    return members


class _ZipMember:
    __slots__ = ("_after", "_entry", "_filename", "_opened", "path")

    def __init__(self, path: str, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, after: int, filename: str) -> None:
        self.path = path
        self._opened, self._entry, self._after, self._filename = opened, entry, after, filename

    @property
    def is_file(self) -> bool:
        entry = self._entry
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
        return kind in {0, stat.S_IFREG} and not entry.is_dir()

    def check(self) -> None:
        """Refuse a member whose header says something else than the directory."""
        if problem := _local_problem(cast(BinaryIO, self._opened.fp), self._entry, self._after):
            raise broken(self._filename, f"{self.path[:200]!r}: {problem}; some readers go by its header")

    def read(self) -> bytes:
        _check_entry(self._entry, self._filename)
        with _reading(self._filename):
            self.check()
            with self._opened.open(self._entry) as stream:
                return stream.read()


class _End(NamedTuple):
    """What the end record says of the central directory: how many members it has, its size and where it starts."""

    members: int
    length: int
    start: int


def _check_end(archive: BinaryIO, filename: str) -> _End:
    """Return what the end record says, having checked that it and the central directory are the last things there.

    zipfile looks for the end record in the last 64 KiB, and makes up for whatever stands before the zip: two readers
    could see two archives.
    """
    with _reading(filename):
        size = archive.seek(0, io.SEEK_END)
        tail_size = min(size, _END.size + _LOCATOR64.size + _END64.size)
        archive.seek(size - tail_size)
        tail = archive.read(tail_size)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\5\6") or not tail.endswith(b"\0\0"):
        raise broken(
            filename,
            "expected a zip that ends with its end record, found none there: cut short, or something was appended",
        )
    end, own_size = _directory(tail, filename)
    if end.start + end.length != size - own_size:
        raise broken(
            filename,
            "expected the zip's directory to end where its end record begins; something was put in before or between",
        )
    if end.length > LARGEST_DIRECTORY:
        raise broken(
            filename, f"the zip's directory has {end.length:,} bytes, more than the {LARGEST_DIRECTORY:,} that are read"
        )
    return end


def _directory(tail: bytes, filename: str) -> tuple[_End, int]:
    """Return what is said of the central directory, and the size of the records behind it that say so."""
    _, disk, first_disk, count_here, *said, _ = _END.unpack(tail[-_END.size :])
    if disk or first_disk or count_here != said[0]:
        raise broken(filename, "expected a zip of one part")
    locator_at = len(tail) - _END.size - _LOCATOR64.size
    if locator_at < _END64.size or not tail[locator_at:].startswith(b"PK\6\7") or not tail.startswith(b"PK\6\6"):
        return _End(*said), _END.size
    *_, count, length, start = _END64.unpack(tail[: _END64.size])
    # A number that has no room in the older record has all its bits set there; readers of old look there first.
    if any(old not in {new, most} for old, new, most in zip(said, (count, length, start), _ALL_BITS, strict=True)):
        raise broken(filename, "the two end records of the zip say different things")
    return _End(count, length, start), len(tail)


_ALL_BITS = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def _check_layout(entries: list[zipfile.ZipInfo], end: _End, filename: str) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Yield the members, each with where what is behind it begins; they lie one behind the other from the first byte on."""
    if not entries:
        raise broken(filename, "the zip has no members")
    if len(entries) > MOST_MEMBERS:
        raise broken(filename, f"more than {MOST_MEMBERS:,} members")
    if len(entries) != end.members:
        raise broken(
            filename, f"expected {end.members:,} members, as the zip's end record says, found {len(entries):,}"
        )
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    if in_order[0].header_offset != 0:
        raise broken(filename, "expected the zip to begin with its first member, found something before it")
    ends = [entry.header_offset for entry in in_order[1:]] + [end.start]
    for entry, after in zip(in_order, ends, strict=True):
        # A local header has 30 bytes and the name at least; a data descriptor may follow the content.
        if entry.header_offset + 30 + entry.compress_size > after:
            raise broken(filename, f"the member {entry.filename[:200]!r} overlaps another one")
        if _has_other_name(entry.extra):
            raise broken(filename, f"the member {entry.filename[:200]!r} has a second name in an extra field")
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


def _check_entry(entry: zipfile.ZipInfo, filename: str) -> None:
    """Refuse to read what is encrypted, compressed in a way that wheels are not, or a bomb."""
    if entry.flag_bits & _ODD_FLAGS:
        raise broken(filename, f"{entry.filename} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise broken(
            filename, f"{entry.filename}: expected it stored or deflated, found compression {entry.compress_type}"
        )
    if entry.file_size > LARGEST_MEMBER:
        raise broken(
            filename, f"{entry.filename} has {entry.file_size:,} bytes, more than the {LARGEST_MEMBER:,} that are read"
        )
    if entry.file_size > max(_HARMLESS_MEMBER, BOMB_RATIO * entry.compress_size):
        raise broken(filename, f"{entry.filename} unpacks to more than {BOMB_RATIO} times its size: a zip bomb")


# Tar


def tar_members(archive: BinaryIO, filename: str, endings: tuple[str, ...] = ("",)) -> Iterator[Member]:
    """Yield the members of a compressed tar, in their order; all of them have to be passed to know that none comes twice.

    Of the files in a folder of which one was yielded, only those whose path has one of the endings are sure to be.

    The headers are read here and not by :mod:`tarfile`, which takes 130 µs for a member, of which sdists have up to
    tens of thousands and this project wants three: reading 200 sdists took it 11 s, and takes this 1 s. What is taken
    is what every reader sees in the same way: a strict form of POSIX's and GNU's headers, as those write that make
    sdists. tarfile ends at a header that it can't read, without a word, and what it can't read changes with Python.

    :param archive: the whole file, or a reader of it that can seek.
    :param filename: what errors name; its ending says how it is compressed.
    :param endings: in lower case; paths are compared without regard to case.
    :raises MetadataError: it is no such tar, is damaged, could be read as something else by another reader, or would
        not end within the bounds.
    """
    asked_for = (*map(str.encode, endings), b"/", b".", b" ")  # the last ones are dropped by some systems
    links: set[str] = set()
    with _reading(filename):
        stream = _Unpacked(archive, filename)
        for header, name in _described(stream, filename):
            path = _safe_path(name, filename)
            if links and not links.isdisjoint(_and_above(folded(path))):
                raise broken(filename, f"the member {path[:200]!r} would be written through a link")
            member = _TarMember(path, header.kind in _FILES, stream, header.size, filename)
            yield member
            member.skip()
            if header.kind in _LINKS:
                links.add(folded(path))
            elif not links:
                stream.pass_plain(f"{name.partition('/')[0]}/".encode("utf-8", "surrogateescape"), asked_for)


_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_LINKS = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE})
_MEMBERS = _FILES | _LINKS | {tarfile.DIRTYPE}
_LONG = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_DESCRIBE = _LONG | {tarfile.XHDTYPE, tarfile.XGLTYPE}


def _and_above(path: str) -> Iterator[str]:
    """Yield the path and the folders it is in."""
    while path:
        yield path
        path = path.rpartition("/")[0]


class _Header(NamedTuple):
    name: bytes
    kind: bytes
    size: int


def _described(stream: _Unpacked, filename: str) -> Iterator[tuple[_Header, str]]:
    """Yield the header of each member with its name, which headers before it may say in the place of its own."""
    before: dict[bytes, bytes] = {}  # the names that headers say of the next member, by their kind
    while block := stream.header():
        header = _header(block, stream.usual)
        if header.kind not in _DESCRIBE:
            yield header, _member_name(header, before).decode("utf-8", "surrogateescape")
            before.clear()
            continue
        # Where two could speak, readers differ on who is right. One for all members may come first, as git writes it.
        others = before.keys() - {tarfile.XGLTYPE}
        if header.kind in before or (others and not _LONG.issuperset({header.kind, *others})):
            raise _OddTarError("two headers that describe one member")
        if header.size > LARGEST_HEADER:
            raise broken(filename, f"a header of {header.size:,} bytes")
        before[header.kind] = _said_by(header.kind, stream.take(header.size, nothing_behind=True))
    if before:
        raise _OddTarError("a header that describes a member, and no member behind it")
    if not stream.headers:
        raise broken(filename, "the tar has no members")


def _said_by(kind: bytes, content: bytes) -> bytes:
    """Return the name that a header says the member behind it has; empty if it says none."""
    if kind not in _LONG:
        return _pax_path(content, "" if kind == tarfile.XHDTYPE else "for all members ")
    name = content[:-1]
    if not name or content[-1] or b"\0" in name:
        raise _OddTarError("a long name that does not end where its header does")
    return name if kind == tarfile.GNUTYPE_LONGNAME else b""


def _member_name(header: _Header, before: Mapping[bytes, bytes]) -> bytes:
    said = b"".join(before.values())  # one of them at most says one
    name = said or header.name
    if header.kind not in _MEMBERS:
        raise _OddTarError(f"a member of the kind {header.kind.decode('latin-1')!r}")
    # Before POSIX, a folder was a file whose name ends in a slash, in its own header.
    own = header.name if header.kind == tarfile.AREGTYPE else name
    if header.kind in _FILES and (name.endswith(_LIKE_A_FOLDER) or name == b"." or own.endswith(b"/")):
        raise _OddTarError("a file that is named like a folder")
    if not name:
        raise _OddTarError("a member without a name")
    if header.size and header.kind not in _FILES:
        raise _OddTarError("a folder or a link with content")
    return name


_LIKE_A_FOLDER = (b"/", b"/.")

# Name; mode, owner and group; size, time, sum, kind; what POSIX and GNU have behind the name of a link's target.
_FIELDS = struct.Struct("100s24s12s12s8sc100x255s").unpack_from
_BLANKS = b" \0"


def _header(block: bytes, usual: _Usual) -> _Header:
    """Return what a header says; it has to be one that every reader takes, and takes in the same way."""
    name, owner, size, time, checksum, kind, rest = _FIELDS(block)
    if _number(checksum) != _sum(block, checksum):
        raise _OddTarError("a header whose sum is wrong")
    if owner not in usual.owners or rest not in usual.rests:
        _check_owner(owner)
        _check_rest(rest)
        usual.keep(owner, rest)
    if time[0] not in _BINARY:
        _number(time)
    name = name.partition(b"\0")[0]
    if rest[88]:  # POSIX has a second field for the first part of a long path
        name = rest[88:243].partition(b"\0")[0] + b"/" + name
    return _Header(name, kind, _number(size))


_BINARY = b"\x80\xff"  # GNU's way to write numbers for which octal digits have no room; of these fields, large owners


def _check_owner(owner: bytes) -> None:
    _number(owner[:8])
    for field in (owner[8:16], owner[16:]):
        if field[0] not in _BINARY:
            _number(field)


def _check_rest(rest: bytes) -> None:
    """Refuse what is neither POSIX's nor GNU's."""
    magic, devices, prefix, end = rest[:8], rest[72:88], rest[88:243], rest[243:]
    if magic not in {b"ustar\x0000", b"ustar  \0"}:
        raise _OddTarError("a header that is neither POSIX's nor GNU's")
    _number(devices[:8])
    _number(devices[8:])
    # GNU has other things in the place of POSIX's prefix, which tarfile takes for one.
    is_odd = (
        prefix.rstrip(b"\0").count(b"\0")
        or (prefix[0] and magic[6:] != b"00")
        or (not prefix[0] and prefix.strip(b"\0"))
    )
    if is_odd or end.strip(b"\0"):
        raise _OddTarError("something behind the fields of a header")


def _number(field: bytes) -> int:
    """Return a number in octal digits; readers differ on what else they take for one."""
    digits = field.rstrip(_BLANKS).lstrip(b" ")
    if digits and (not digits.isdigit() or b"8" in digits or b"9" in digits):
        raise _OddTarError(f"a number that is not in octal digits, {field!r}")
    return int(digits or b"0", 8)


def _sum(block: bytes, field: bytes) -> int:
    """Return the sum of a header's bytes, its own field taken as eight blanks."""
    # Adler's sum has it, in a twentieth of the time, as long as it is below 65,521: no byte above 127 and it is.
    total = (fast_zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    return total - sum(field) + 256


class _Usual:
    """The owners and the last fields of headers that were found right; nearly all headers of a tar have the same."""

    def __init__(self) -> None:
        self.owners: tuple[bytes, ...] = ()
        self.rests: tuple[bytes, ...] = ()
        self.before: dict[bytes, int] = {}  # pax headers that were found right, and the sizes that they say

    def keep(self, owner: bytes, rest: bytes) -> None:
        """Remember them, unless there are many, or part of the name is among them."""
        if not rest[88] and len(self.owners) < 16 and len(self.rests) < 16:
            self.owners = tuple({*self.owners, owner})
            self.rests = tuple({*self.rests, rest})


# pax


# One record of a few that say nothing of where content goes or ends, as tarfile writes it before each file.
_TIME = re.compile(rb"([1-9][0-9]?) [amc]time=[0-9.]+\n").fullmatch
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([A-Za-z0-9._-]+)=")
_HARMLESS = re.compile(
    rb"(?:atime|ctime|mtime|uid|gid|uname|gname|linkpath|comment|(?:SCHILY|LIBARCHIVE|RHT|MSWINDOWS|SUN)\..*)"
).fullmatch


def _pax_path(content: bytes, whose: str = "") -> bytes:
    """Return the path that a pax header says, empty if it says none.

    POSIX: each record is ``<length> <key>=<value>`` and a line end, the length being that of all of it. A size, what
    sparse files are said to be, and how names are encoded no sdist's header says.
    """
    path = b""
    for key, value in _pax_records(content):
        if key == b"path" and not whose and value and not path and b"\0" not in value:
            path = value
        elif not _HARMLESS(key):
            raise _OddTarError(f"a pax header {whose}that says {key[:50].decode('ascii')}")
    return path


def _pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(content):
        found = _RECORD.match(content, start)
        end = start + int(found[1]) if found else 0
        if not found or not found.end() < end <= len(content) or content[end - 1] != 0x0A:
            raise _OddTarError("a pax header with a record that is none")
        yield found[2], content[found.end() : end - 1]
        start = end


def _says_nothing(pax: bytes) -> bool:
    """Say if a pax header says nothing of the member's path."""
    if found := _TIME(pax):  # nearly every one
        return int(found[1]) == len(pax)
    return not _pax_path(pax)


# Plain members


def _plain_member(
    buffer: bytes, at: int, folder: bytes, endings: tuple[bytes, ...], usual: _Usual
) -> tuple[int, int, int] | None:
    """Return where the content of the member at ``at`` begins, its size and how many headers it has, or None.

    It is None unless the headers are whole and plain, as :meth:`_Unpacked.pass_plain` has it.
    """
    before = _size_before(buffer, at, usual)
    headers = 1
    if before is not None:
        end = at + tarfile.BLOCKSIZE + before
        found, at, headers = buffer[end - before : end], end + -before % tarfile.BLOCKSIZE, 2
        if not buffer.startswith(_ZEROS[: at - end], end) or not _says_nothing(found):
            return None
    name, kind, size = _plain_header(buffer, at, usual)
    if kind == tarfile.DIRTYPE and size == 0:
        name = name.removesuffix(b"/")
    elif kind != tarfile.REGTYPE:
        return None
    if not name.startswith(folder) or _is_odd(name, endings):
        return None
    return at + tarfile.BLOCKSIZE, size, headers


def _size_before(buffer: bytes, at: int, usual: _Usual) -> int | None:
    """Return the size of the pax header at ``at``, or None if there is none, or not a plain one."""
    block = buffer[at : at + tarfile.BLOCKSIZE]
    size = usual.before.get(block)  # tarfile writes the same before each file
    if size is None and block[156:157] == tarfile.XHDTYPE:
        _, kind, found = _plain_header(buffer, at, usual)
        if kind == tarfile.XHDTYPE:
            size = found
            if len(usual.before) < 64:
                usual.before[block] = size
    return size


_ZEROS = bytes(tarfile.BLOCKSIZE)
# Size, time, sum and kind, of files, folders and pax headers, as nearly all write them.
_PLAIN = re.compile(rb"([0-7]{11})[\0 ][0-7]{11}[\0 ](?:([0-7]{6})(?:\0 | \0)|0([0-7]{6})\0)([05x])").match


def _plain_header(buffer: bytes, at: int, usual: _Usual) -> tuple[bytes, bytes, int]:
    """Return name, kind and size of a header like others before it, without a prefix; else no kind."""
    found = _PLAIN(buffer, at + 124)
    if not found or not buffer.startswith(usual.owners, at + 100) or not buffer.startswith(usual.rests, at + 257):
        return b"", b"", 0
    block = buffer[at : at + tarfile.BLOCKSIZE]
    size, six, seven, kind = found.groups()
    # As _sum has it, which called from here would take a tenth of all that is done here.
    total = (fast_zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    if int(six or seven, 8) != total - sum(block[148:156]) + 256:
        return b"", b"", 0
    end = block.find(b"\0", 0, 100)
    return block[: 100 if end < 0 else end], kind, int(size, 8)


def _is_odd(name: bytes, endings: tuple[bytes, ...]) -> bool:
    """Say if a file's name may be asked for, or may lead elsewhere than it seems on any system."""
    if b".." in name or b"./" in name or b"//" in name or b" /" in name or b"\\" in name or b":" in name:
        return True
    return name.lower().endswith(endings)


_ENOUGH = 4 * tarfile.BLOCKSIZE  # for a pax header with a few records, and the header behind it


class _TarMember:
    """A member whose content stands next in the stream."""

    __slots__ = ("_filename", "_left", "_size", "_stream", "is_file", "path")

    def __init__(self, path: str, is_file: bool, stream: _Unpacked, size: int, filename: str) -> None:
        self.path, self.is_file = path, is_file
        self._stream, self._filename = stream, filename
        self._left = self._size = size

    def read(self) -> bytes:
        if self._size > LARGEST_MEMBER:
            raise broken(
                self._filename,
                f"{self.path[:200]} has {self._size:,} bytes, more than the {LARGEST_MEMBER:,} that are read",
            )
        with _reading(self._filename):
            content, self._left = self._stream.take(self._left), 0
        return content

    def skip(self) -> None:
        if self._left:
            self._stream.skip(self._left)


class _Unpacked:
    """What is inside a compressed tar, block by block, as a stream that stops at a bomb."""

    def __init__(self, archive: BinaryIO, filename: str) -> None:
        self._filename = filename
        size = archive.seek(0, io.SEEK_END)
        archive.seek(0)
        self._most = min(LARGEST_TAR, max(_HARMLESS_TAR, BOMB_RATIO * size))
        self._total = 0
        self._pieces = _decompressed(archive, filename)
        self._buffer, self._at = b"", 0
        self.headers = 0
        self.usual = _Usual()

    def header(self) -> bytes:
        """Return the next header; none at the end, which is a block of zeros or where there is nothing more."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._piece(), 0
            if not self._buffer:
                return b""
        block = self.take(tarfile.BLOCKSIZE)
        if block[0] == 0 and not block.strip(b"\0"):
            return b""
        self._count_headers(1)
        return block

    def _count_headers(self, count: int) -> None:
        self.headers += count
        if self.headers > 2 * MOST_MEMBERS:  # each may have one that describes it
            raise broken(self._filename, f"more than {MOST_MEMBERS:,} members")

    def pass_plain(self, folder: bytes, endings: tuple[bytes, ...]) -> None:
        """Pass over the members that nobody asks for, as far as they are plain, and count them.

        Nearly all members of sdists are: a file or a folder with a short name below the one at the top, before it at
        most a header that says times and owners. What is not plain in each of these ways, or has no room in the buffer,
        is left to be read header by header, which takes four times as long; a large sdist has ten thousand members.
        """
        while True:
            if len(self._buffer) - self._at < _ENOUGH:
                self._buffer, self._at = self._buffer[self._at :] + self._piece(), 0
            found = _plain_member(self._buffer, self._at, folder, endings, self.usual)
            if found is None:
                return
            self._at, size, headers = found
            self._count_headers(headers)
            self.skip(size)

    def take(self, count: int, *, nothing_behind: bool = False) -> bytes:
        """Return the next ``count`` bytes and pass over what fills up their last block.

        :param nothing_behind: what fills up the last block is zeros; tarfile takes it for part of some headers.
        """
        whole = count + -count % tarfile.BLOCKSIZE
        if self._at + whole > len(self._buffer):
            self._fill(whole)
        at, end = self._at, self._at + count
        self._at += whole
        if nothing_behind and self._buffer[end : self._at].strip(b"\0"):
            raise _OddTarError("something behind a header")
        return self._buffer[at:end]

    def skip(self, count: int) -> None:
        """Pass over the next ``count`` bytes and what fills up their last block."""
        self._at += count + -count % tarfile.BLOCKSIZE
        while self._at > len(self._buffer):
            self._at -= len(self._buffer)
            self._buffer = self._piece()
            if not self._buffer:
                raise EOFError("it ends in the middle")

    def _fill(self, count: int) -> None:
        """Have at least ``count`` bytes ready."""
        pieces = [self._buffer[self._at :]]
        ready = len(pieces[0])
        while ready < count:
            piece = self._piece()
            if not piece:
                raise EOFError("it ends in the middle")
            pieces.append(piece)
            ready += len(piece)
        self._buffer, self._at = b"".join(pieces), 0

    def _piece(self) -> bytes:
        """Return some more of it; none at the end."""
        content = next(self._pieces, b"")
        self._total += len(content)
        if self._total > self._most:
            found = f"unpacks to more than {self._most:,} bytes, {BOMB_RATIO} times its size or 4 GiB: a bomb"
            raise broken(self._filename, found)
        return content


def _decompressed(archive: BinaryIO, filename: str) -> Iterator[bytes]:
    """Return what is compressed in pieces of bounded size; the ending says how, as it does for pip."""
    if filename.endswith(".tar"):
        return iter(lambda: archive.read(_CHUNK), b"")
    if filename.endswith((".bz2", ".tbz")):
        return _in_pieces(archive, filename, _decompressor("bz2", "BZ2Decompressor", filename)())
    if filename.endswith((".xz", ".txz", ".lzma", ".tlz", ".lz")):
        return _in_pieces(archive, filename, _decompressor("lzma", "LZMADecompressor", filename)(memlimit=_MOST_MEMORY))
    return _gunzipped(archive, filename)


_MOST_MEMORY = 128 * MEBIBYTE  # what xz takes at its highest level is half of it


def _decompressor(module: str, name: str, filename: str) -> Callable[..., Any]:
    """Return what decompresses; not every Python was built with all of it."""
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise broken(filename, f"this Python can't read it: it was built without {module}") from error
    return found


def _gunzipped(archive: BinaryIO, filename: str) -> Iterator[bytes]:
    inflater = fast_zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and checksum
    while not inflater.eof:
        compressed = inflater.unconsumed_tail or archive.read(_CHUNK)
        if content := inflater.decompress(compressed, _MOST_AT_ONCE):
            yield content
        elif not compressed and not inflater.eof:
            raise EOFError("it ends in the middle")
    _check_behind(inflater.unused_data, archive, filename)


def _in_pieces(archive: BinaryIO, filename: str, decompressor: Any) -> Iterator[bytes]:
    while not decompressor.eof:
        compressed = archive.read(_CHUNK) if decompressor.needs_input else b""
        if decompressor.needs_input and not compressed:
            raise EOFError("it ends in the middle")
        try:
            content = decompressor.decompress(compressed, _MOST_AT_ONCE)
        except Exception as error:  # bz2 raises OSError, and lzma an error of its own
            raise ValueError(str(error)) from error
        if content:
            yield content
    _check_behind(decompressor.unused_data, archive, filename)


def _check_behind(behind: bytes, archive: BinaryIO, filename: str) -> None:
    """Refuse what is several streams, one behind the other: some readers see the first, others all."""
    while behind:
        if behind.strip(b"\0"):
            raise broken(filename, "expected one compressed stream, found something behind it")
        behind = archive.read(_CHUNK)
