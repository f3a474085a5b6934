"""The members of a compressed tar, read by a strict grammar: what some readers see otherwise than others is refused."""

from __future__ import annotations

import importlib
import io
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

from mirror_tasks.archives.members import (
    BOMB_RATIO,
    LARGEST_MEMBER,
    MEBIBYTE,
    MOST_MEMBERS,
    Member,
    OddTarError,
    fast_zlib,
    folded,
    reading,
    safe_path,
)
from mirror_tasks.archives.untrusted import BrokenError

# What a pax or a GNU header holds is a path or a few numbers; tarfile reads the whole of it into memory.
LARGEST_HEADER = MEBIBYTE
# Source code shrinks to a fifth or a tenth, and uploads above 100 MB need leave: no sdist is near it, and to inflate
# so much takes half a minute, which is what a hostile one can cost.
LARGEST_TAR = 4096 * MEBIBYTE
# Below this much it doesn't matter how well something was compressed.
_HARMLESS_TAR = 64 * MEBIBYTE
# Pieces that the allocator keeps and gives again: of four times the size, each cost a page fault for every 4 KiB.
_CHUNK = 1 << 15
_MOST_AT_ONCE = 1 << 18


def tar_members(archive: BinaryIO, filename: str, endings: tuple[str, ...] = ("",)) -> Iterator[Member]:
    """Yield the members of a compressed tar, in their order; all of them have to be passed to know that none comes twice.

    Of the files in a folder of which one was yielded, only those whose path has one of the endings are sure to be.

    The headers are read here and not by :mod:`tarfile`, which takes 130 µs for a member, of which sdists have up to
    tens of thousands and this project wants three: reading 200 sdists took it 11 s, and takes this 1 s. What is taken
    is what every reader sees in the same way: a strict form of POSIX's and GNU's headers, as those write that make
    sdists. tarfile ends at a header that it can't read, without a word, and what it can't read changes with Python.

    :param archive: the whole file, or a reader of it that can seek.
    :param filename: its ending says how it is compressed.
    :param endings: in lower case; paths are compared without regard to case.
    :raises BrokenError: it is no such tar, is damaged, could be read as something else by another reader, or would
        not end within the bounds.
    """
    asked_for = (*map(str.encode, endings), b"/", b".", b" ")  # the last ones are dropped by some systems
    links: set[str] = set()
    with reading():
        stream = _Unpacked(archive, filename)
        for header, name in _described(stream):
            path = safe_path(name)
            if links and not links.isdisjoint(_and_above(folded(path))):
                raise BrokenError(f"the member {path[:200]!r} would be written through a link")
            member = _TarMember(path, header.kind in _FILES, stream, header.size)
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


def _described(stream: _Unpacked) -> Iterator[tuple[_Header, str]]:
    """Yield the header of each member with its name, which headers before it may say in the place of its own."""
    before: dict[bytes, _Said] = {}  # what headers say of the next member, by their kind
    while block := stream.header():
        header = _header(block, stream.usual)
        if header.kind not in _DESCRIBE:
            yield header, _member_name(header, before).decode("utf-8", "surrogateescape")
            before.clear()
            continue
        # Where two could speak, readers differ on who is right. One for all members may come first, as git writes it.
        others = before.keys() - {tarfile.XGLTYPE}
        if header.kind in before or (others and not _LONG.issuperset({header.kind, *others})):
            raise OddTarError("two headers that describe one member")
        if header.size > LARGEST_HEADER:
            raise BrokenError(f"a header of {header.size:,} bytes")
        before[header.kind] = _said_by(header.kind, stream.take(header.size, nothing_behind=True))
    if before:
        raise OddTarError("a header that describes a member, and no member behind it")
    if not stream.headers:
        raise BrokenError("the tar has no members")


class _Said(NamedTuple):
    """What a header says of the member behind it: its name, empty if it says none, and its size."""

    name: bytes
    size: int | None = None


def _said_by(kind: bytes, content: bytes) -> _Said:
    """Return what a header says of the member behind it."""
    if kind not in _LONG:
        return _said_by_pax(content, "" if kind == tarfile.XHDTYPE else "for all members ")
    name = content[:-1]
    if not name or content[-1] or b"\0" in name:
        raise OddTarError("a long name that does not end where its header does")
    return _Said(name if kind == tarfile.GNUTYPE_LONGNAME else b"")


def _member_name(header: _Header, before: Mapping[bytes, _Said]) -> bytes:
    said = b"".join(one.name for one in before.values())  # one of them at most says one
    name = said or header.name
    # uv says the size of each file once more. Another one would be right to some readers, and the header's to others.
    if any(one.size not in (None, header.size) for one in before.values()):
        raise OddTarError("a pax header that says another size than the header behind it")
    if header.kind not in _MEMBERS:
        raise OddTarError(f"a member of the kind {header.kind.decode('latin-1')!r}")
    # Before POSIX, a folder was a file whose name ends in a slash, in its own header.
    own = header.name if header.kind == tarfile.AREGTYPE else name
    if header.kind in _FILES and (name.endswith(_LIKE_A_FOLDER) or name == b"." or own.endswith(b"/")):
        raise OddTarError("a file that is named like a folder")
    if not name:
        raise OddTarError("a member without a name")
    if header.size and header.kind not in _FILES:
        raise OddTarError("a folder or a link with content")
    return name


_LIKE_A_FOLDER = (b"/", b"/.")

# Name; mode, owner and group; size, time, sum, kind; what POSIX and GNU have behind the name of a link's target.
_FIELDS = struct.Struct("100s24s12s12s8sc100x255s").unpack_from


def _header(block: bytes, usual: _Usual) -> _Header:
    """Return what a header says; it has to be one that every reader takes, and takes in the same way."""
    name, owner, size, time, checksum, kind, rest = _FIELDS(block)
    if _number(checksum) != _sum(block, checksum):
        raise OddTarError("a header whose sum is wrong")
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
        raise OddTarError("a header that is neither POSIX's nor GNU's")
    _number(devices[:8])
    _number(devices[8:])
    # GNU has other things in the place of POSIX's prefix, which tarfile takes for one.
    is_odd = (
        prefix.rstrip(b"\0").count(b"\0")
        or (prefix[0] and magic[6:] != b"00")
        or (not prefix[0] and prefix.strip(b"\0"))
    )
    if is_odd or end.strip(b"\0"):
        raise OddTarError("something behind the fields of a header")


def _number(field: bytes) -> int:
    """Return a number in octal digits; readers differ on what else they take for one."""
    found = _OCTAL(field)
    if not found:
        raise OddTarError(f"a number that is not in octal digits, {field!r}")
    return int(found[1] or b"0", 8)


_OCTAL = re.compile(rb" *([0-7]*)[ \0]*").fullmatch


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
_SIZE = re.compile(rb"0|[1-9][0-9]{0,17}").fullmatch
_HARMLESS = re.compile(
    rb"(?:atime|ctime|mtime|uid|gid|uname|gname|linkpath|comment|(?:SCHILY|LIBARCHIVE|RHT|MSWINDOWS|SUN)\..*)"
).fullmatch


def _said_by_pax(content: bytes, whose: str = "") -> _Said:
    """Return the path and the size that a pax header says.

    POSIX: each record is ``<length> <key>=<value>`` and a line end, the length being that of all of it. What sparse files
    are said to be, and how names are encoded no sdist's header says.
    """
    path, size = b"", None
    for key, value in _pax_records(content):
        if key == b"path" and not whose and value and not path and b"\0" not in value:
            path = value
        elif key == b"size" and not whose and size is None and _SIZE(value):
            size = int(value)
        elif not _HARMLESS(key):
            raise OddTarError(f"a pax header {whose}that says {key[:50].decode('ascii')}")
    return _Said(path, size)


def _pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(content):
        found = _RECORD.match(content, start)
        end = start + int(found[1]) if found else 0
        if not found or not found.end() < end <= len(content) or content[end - 1] != 0x0A:
            raise OddTarError("a pax header with a record that is none")
        yield found[2], content[found.end() : end - 1]
        start = end


def _says_nothing(pax: bytes) -> bool:
    """Say if a pax header says nothing of the member's path and size."""
    if found := _TIME(pax):  # nearly every one
        return int(found[1]) == len(pax)
    return _said_by_pax(pax) == _Said(b"")


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
    if not buffer.startswith(tarfile.XHDTYPE, at + 156):
        return None
    block = buffer[at : at + tarfile.BLOCKSIZE]
    size = usual.before.get(block)  # tarfile writes the same before each file
    if size is None:
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
    if not name.isascii():  # some systems take the sign of Kelvin for a K, and the long s for an s
        return True
    text = name.decode("ascii")  # to look for something in bytes takes ten times as long
    if ".." in text or "./" in text or "//" in text or " /" in text or "\\" in text or ":" in text:
        return True
    return name.lower().endswith(endings)


_ENOUGH = 4 * tarfile.BLOCKSIZE  # for a pax header with a few records, and the header behind it


class _TarMember:
    """A member whose content stands next in the stream."""

    __slots__ = ("_left", "_size", "_stream", "is_file", "path")

    def __init__(self, path: str, is_file: bool, stream: _Unpacked, size: int) -> None:
        self.path, self.is_file = path, is_file
        self._stream = stream
        self._left = self._size = size

    def read(self) -> bytes:
        if self._size > LARGEST_MEMBER:
            raise BrokenError(
                f"{self.path[:200]} has {self._size:,} bytes, more than the {LARGEST_MEMBER:,} that are read"
            )
        with reading():
            content, self._left = self._stream.take(self._left), 0
        return content

    def skip(self) -> None:
        if self._left:
            self._stream.skip(self._left)


class _Unpacked:
    """What is inside a compressed tar, block by block, as a stream that stops at a bomb."""

    def __init__(self, archive: BinaryIO, filename: str) -> None:
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
            raise BrokenError(f"more than {MOST_MEMBERS:,} members")

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
            raise OddTarError("something behind a header")
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
            raise BrokenError(found)
        return content


def _decompressed(archive: BinaryIO, filename: str) -> Iterator[bytes]:
    """Return what is compressed in pieces of bounded size; the ending says how, as it does for pip."""
    if filename.endswith(".tar"):
        return iter(lambda: archive.read(_CHUNK), b"")
    if filename.endswith((".bz2", ".tbz")):
        return _in_pieces(archive, _decompressor("bz2", "BZ2Decompressor")())
    if filename.endswith((".xz", ".txz", ".lzma", ".tlz", ".lz")):
        return _in_pieces(archive, _decompressor("lzma", "LZMADecompressor")(memlimit=_MOST_MEMORY))
    return _gunzipped(archive)


_MOST_MEMORY = 128 * MEBIBYTE  # what xz takes at its highest level is half of it


def _decompressor(module: str, name: str) -> Callable[..., Any]:
    """Return what decompresses; not every Python was built with all of it."""
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise BrokenError(f"this Python can't read it: it was built without {module}") from error
    return found


def _gunzipped(archive: BinaryIO) -> Iterator[bytes]:
    inflater = fast_zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and checksum
    while not inflater.eof:
        compressed = inflater.unconsumed_tail or archive.read(_CHUNK)
        if content := inflater.decompress(compressed, _MOST_AT_ONCE):
            yield content
        elif not compressed and not inflater.eof:
            raise EOFError("it ends in the middle")
    _check_behind(inflater.unused_data, archive)


def _in_pieces(archive: BinaryIO, decompressor: Any) -> Iterator[bytes]:
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
    _check_behind(decompressor.unused_data, archive)


def _check_behind(behind: bytes, archive: BinaryIO) -> None:
    """Refuse what is several streams, one behind the other: some readers see the first, others all."""
    while behind:
        if behind.strip(b"\0"):
            raise BrokenError("expected one compressed stream, found something behind it")
        behind = archive.read(_CHUNK)
