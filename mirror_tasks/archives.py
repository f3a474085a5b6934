"""The members of wheels and sdists, read without trust: every read is bounded, and nothing is ever extracted.

A zip must be exactly what it seems: nothing before it, nothing behind it, nothing in it twice over. Of a tar, headers
are read one after the other and no link is followed. PyPI refuses archives that unpack to more than 64 MiB at a ratio
above 50; the bounds here are of that kind, so that what an index of good repute lets in is let in here.
"""

from __future__ import annotations

import importlib.util
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Protocol

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
# Of a tar's header: name, size in octal digits and what ends it, kind, magic, the first byte of a second part of the name.
_PLAIN = struct.Struct("100s24x11sc20xc100x5s83xc").unpack_from

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


@contextmanager
def _reading(filename: str) -> Iterator[None]:
    try:
        yield
    except _READING_ERRORS as error:
        raise broken(filename, f"the archive is damaged: {error or type(error).__name__}") from error


def _safe_path(name: str, filename: str) -> str:
    """Return the path of a member as it is compared here; installers refuse archives with paths that lead out."""
    if name.startswith("/") or (".." in name and ".." in name.split("/")) or "\0" in name:
        raise broken(filename, f"expected paths inside the archive, found the member {name[:200]!r}")
    if "./" not in name and "//" not in name and not name.endswith("/"):
        return name  # nearly every one
    return "/".join(part for part in name.split("/") if part not in {"", "."})


# Zip


def zip_members(archive: BinaryIO, filename: str) -> Sequence[Member]:
    """Return the members of a zip, as its central directory lists them.

    :param archive: the whole zip, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param filename: what errors name.
    :raises MetadataError: it is no zip, is damaged, or could be read as something else by another reader.
    """
    directory_start = _check_end(archive, filename)
    with _reading(filename):
        opened = zipfile.ZipFile(archive)
    entries = opened.infolist()
    _check_layout(entries, directory_start, filename)
    return [_ZipMember(_safe_path(entry.orig_filename, filename), opened, entry, filename) for entry in entries]


class _ZipMember:
    __slots__ = ("_entry", "_filename", "_opened", "path")

    def __init__(self, path: str, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, filename: str) -> None:
        self.path = path
        self._opened, self._entry, self._filename = opened, entry, filename

    @property
    def is_file(self) -> bool:
        entry = self._entry
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
        return kind in {0, stat.S_IFREG} and not entry.is_dir()

    def read(self) -> bytes:
        _check_entry(self._entry, self._filename)
        with _reading(self._filename), self._opened.open(self._entry) as stream:
            return stream.read()


def _check_end(archive: BinaryIO, filename: str) -> int:
    """Return where the central directory starts, having checked that it and the end record are the last things there.

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
    length, start, own_size = _directory(tail)
    position = size - own_size
    if start + length != position:
        raise broken(
            filename,
            "expected the zip's directory to end where its end record begins; something was put in before or between",
        )
    if length > LARGEST_DIRECTORY:
        raise broken(
            filename, f"the zip's directory has {length:,} bytes, more than the {LARGEST_DIRECTORY:,} that are read"
        )
    return int(start)


def _directory(tail: bytes) -> tuple[int, int, int]:
    """Return length and start of the central directory, and the size of the records behind it that say so."""
    locator_at = len(tail) - _END.size - _LOCATOR64.size
    if locator_at >= _END64.size and tail[locator_at:].startswith(b"PK\6\7") and tail.startswith(b"PK\6\6"):
        *_, length, start = _END64.unpack(tail[: _END64.size])
        return length, start, len(tail)
    *_, length, start, _ = _END.unpack(tail[-_END.size :])
    return length, start, _END.size


def _check_layout(entries: list[zipfile.ZipInfo], end: int, filename: str) -> None:
    """Refuse a zip whose members don't lie one behind the other from its first byte on."""
    if not entries:
        raise broken(filename, "the zip has no members")
    if len(entries) > MOST_MEMBERS:
        raise broken(filename, f"more than {MOST_MEMBERS:,} members")
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    if in_order[0].header_offset != 0:
        raise broken(filename, "expected the zip to begin with its first member, found something before it")
    ends = [entry.header_offset for entry in in_order[1:]] + [end]
    for entry, after in zip(in_order, ends, strict=True):
        # A local header has 30 bytes and the name at least; a data descriptor may follow the content.
        if entry.header_offset + 30 + entry.compress_size > after:
            raise broken(filename, f"the member {entry.filename[:200]!r} overlaps another one")


def _check_entry(entry: zipfile.ZipInfo, filename: str) -> None:
    """Refuse to read what is encrypted, compressed in a way that wheels are not, or a bomb."""
    if entry.flag_bits & 0x1:
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
    """Yield the members of a gzipped tar, in their order; all of them have to be passed to know that none comes twice.

    Of the files in a folder of which one was yielded, only those whose path has one of the endings are sure to be.

    The headers are read here and not by :mod:`tarfile`, which takes 130 µs for a member, of which sdists have up to
    tens of thousands and this project wants three: reading 200 sdists took it 11 s, and takes this 1 s.

    :param archive: the whole file, or a reader of it that can seek.
    :param filename: what errors name.
    :raises MetadataError: it is no gzipped tar, is damaged, or would not end within the bounds.
    """
    asked_for = (*map(str.encode, endings), b"/")  # a file may be named like a folder, and is read as the file
    with _reading(filename):
        stream = _Inflated(archive, filename)
        described: dict[str, bytes] = {}  # what headers before the member say in the place of its own
        for header in _headers(stream, filename):
            stream.headers += 1
            if stream.headers > 2 * MOST_MEMBERS:  # each may have one that describes it
                raise broken(filename, f"more than {MOST_MEMBERS:,} members")
            kind, size = header[156:157], _size(header, described, filename)
            if kind in _DESCRIBE:
                _describe(kind, stream.take(size), described, filename)
                continue
            name = _decoded(described["path"]) if "path" in described else _name(header)
            # Before POSIX, a folder was a file whose name, that in its own header, ends in a slash.
            is_file = kind in tarfile.REGULAR_TYPES and not (kind == tarfile.AREGTYPE and _name(header).endswith("/"))
            # What is no file has no content, whatever its header says; tarfile skips that of kinds it does not know.
            has_content = is_file or kind not in tarfile.SUPPORTED_TYPES
            member = _TarMember(_safe_path(name, filename), is_file, stream, size if has_content else 0, filename)
            yield member
            member.skip()
            if described:
                described.clear()
            if folder := name.partition("/")[0]:
                stream.pass_plain(f"{folder}/".encode("utf-8", "surrogateescape"), asked_for)


_DESCRIBE = frozenset(
    {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)


def _headers(stream: _Inflated, filename: str) -> Iterator[bytes]:
    while header := stream.take(tarfile.BLOCKSIZE):
        if header[0] == 0 and not header.strip(b"\0"):
            return  # the end of a tar is a block of zeros
        # The sum, which takes longer than all else, has to tell only for tars from before POSIX and GNU.
        if header[257:262] != b"ustar" and not _sums_up(header):
            raise broken(filename, "expected the header of a tar's member, found something else")
        yield header


def _sums_up(header: bytes) -> bool:
    """The sum of the header's bytes, its own field taken as eight blanks, is in that field."""
    return sum(header) - sum(header[148:156]) + 256 == _number(header[148:156])


def _number(digits: bytes) -> int:
    if digits[0] & 0x80:  # GNU's way to write what has no room in octal
        return int(tarfile.nti(digits))  # type: ignore[attr-defined]
    return int(digits.partition(b"\0")[0].strip() or b"0", 8)


def _size(header: bytes, described: Mapping[str, bytes], filename: str) -> int:
    kind = header[156:157]
    size = int(described["size"]) if "size" in described and kind not in _DESCRIBE else _number(header[124:136])
    if size < 0 or kind == tarfile.GNUTYPE_SPARSE:
        raise broken(filename, "a member with a negative size, or a sparse one, which no sdist has")
    if size > LARGEST_HEADER and kind in _DESCRIBE:
        raise broken(filename, f"a header of {size:,} bytes")
    return size


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    if header[345]:  # POSIX has a second field for the first part of a long path
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    return _decoded(name)


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _describe(kind: bytes, content: bytes, described: dict[str, bytes], filename: str) -> None:
    """Add what a header says of the member behind it; where two could speak, readers differ on who is right."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        said = {"path": content.partition(b"\0")[0]}
    elif kind == tarfile.GNUTYPE_LONGLINK or not _says_of_content(content):
        return
    else:
        records = _pax_records(content)
        said = {_PAX_KEYS[key]: value for key, value in records if key in _PAX_KEYS}
    if "sparse" in said or (kind == tarfile.XGLTYPE and said):
        raise broken(filename, "a sparse member, or a path or a size for all members, which no sdist has")
    if said.keys() & described.keys():
        raise broken(filename, f"two headers that describe one member: {' and '.join(said)}")
    described |= said


def _plain_member(buffer: bytes, at: int, folder: bytes, endings: tuple[bytes, ...]) -> tuple[int, int, int] | None:
    """Return where the content of the member at ``at`` begins, its size and how many headers it has, or None.

    It is None unless the headers are whole and plain, as :meth:`_Inflated.pass_plain` has it.
    """
    last, headers = len(buffer) - tarfile.BLOCKSIZE, 1
    if at > last:
        return None
    name, size, blank, kind, magic, prefix = _PLAIN(buffer, at)
    if kind == tarfile.XHDTYPE and magic == b"ustar" and size.isdigit():
        start, length = at + tarfile.BLOCKSIZE, int(size, 8)
        at, headers = start + length + -length % tarfile.BLOCKSIZE, 2
        if at > last or _says_of_content(buffer[start : start + length]):
            return None
        name, size, blank, kind, magic, prefix = _PLAIN(buffer, at)
    name = name.partition(b"\0")[0]
    is_plain = kind == tarfile.REGTYPE and magic == b"ustar" and prefix == b"\0" and size.isdigit() and blank in b"\0 "
    is_odd = name.endswith(endings) or b".." in name or b"./" in name or b"//" in name
    if not is_plain or is_odd or not name.startswith(folder):
        return None
    return at + tarfile.BLOCKSIZE, int(size, 8), headers


def _says_of_content(pax: bytes) -> bool:
    """Say if a pax header may say where a member's content goes or ends; nearly every one has times and owners only."""
    return b"path=" in pax or b"size=" in pax or b"sparse" in pax


_PAX_KEYS = {b"path": "path", b"size": "size", b"GNU.sparse.name": "sparse"}


def _pax_records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """POSIX: each record is ``<length> <key>=<value>`` and a line end, the length being that of all of it."""
    start = 0
    while start < len(content) and content[start]:
        blank = content.find(b" ", start, start + 10)
        length = content[start:blank]
        end = start + int(length) if length.isdigit() else 0
        key, _, value = content[blank + 1 : end - 1].partition(b"=")
        # A record of no length would keep a careless reader for ever.
        if blank < 0 or end <= blank or not key:
            raise ValueError("a pax header that is not one")
        yield key, value
        start = end


class _TarMember:
    """A member whose content stands next in the stream."""

    __slots__ = ("_filename", "_left", "_size", "_stream", "is_file", "path")

    def __init__(self, path: str, is_file: bool, stream: _Inflated, size: int, filename: str) -> None:
        self.path, self.is_file = path, is_file
        self._stream, self._filename = stream, filename
        self._left = self._size = size

    def read(self) -> bytes:
        if self._size > LARGEST_MEMBER:
            raise broken(
                self._filename, f"{self.path} has {self._size:,} bytes, more than the {LARGEST_MEMBER:,} that are read"
            )
        with _reading(self._filename):
            content, self._left = self._stream.take(self._left), 0
        return content

    def skip(self) -> None:
        if self._left:
            self._stream.skip(self._left)


class _Inflated:
    """What is inside a gzipped tar, block by block, as a stream that stops at a bomb."""

    def __init__(self, archive: BinaryIO, filename: str) -> None:
        self._filename = filename
        size = archive.seek(0, io.SEEK_END)
        archive.seek(0)
        self._most = min(LARGEST_TAR, max(_HARMLESS_TAR, BOMB_RATIO * size))
        self._total = 0
        self._archive = archive
        self._inflater = _inflater()
        self._buffer, self._at = b"", 0
        self.headers = 0

    def pass_plain(self, folder: bytes, endings: tuple[bytes, ...]) -> None:
        """Pass over the members that nobody asks for, as far as they are plain, and count them.

        Nearly all members of sdists are: a file of POSIX with a short name below the folder, before it at most a header
        that says times and owners. What is not plain in each of these ways, or goes over the end of the buffer, is left
        to be read header by header, which takes four times as long; a large sdist has ten thousand members.
        """
        while self.headers <= 2 * MOST_MEMBERS and (found := _plain_member(self._buffer, self._at, folder, endings)):
            self._at, size, headers = found
            self.headers += headers
            self.skip(size)

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes and pass over what fills up their last block; none at the end."""
        at = self._at
        end = at + count
        if end > len(self._buffer) and not self._fill(count):
            return b""
        at, end = self._at, self._at + count
        content = self._buffer[at:end]
        self._at = end
        if count % tarfile.BLOCKSIZE:
            self._pass(-count % tarfile.BLOCKSIZE)
        return content

    def skip(self, count: int) -> None:
        """Pass over the next ``count`` bytes and what fills up their last block."""
        self._pass(count + -count % tarfile.BLOCKSIZE)

    def _pass(self, count: int) -> None:
        self._at += count
        while self._at > len(self._buffer):
            self._at -= len(self._buffer)
            self._buffer = self._inflate()
            if not self._buffer:
                raise EOFError("it ends in the middle")

    def _fill(self, count: int) -> bool:
        """Have at least ``count`` bytes ready; say if there are: at the end there may be none."""
        pieces = [self._buffer[self._at :]]
        ready = len(pieces[0])
        while ready < count:
            piece = self._inflate()
            if not piece:
                if ready:
                    raise EOFError("it ends in the middle")
                return False
            pieces.append(piece)
            ready += len(piece)
        self._buffer, self._at = b"".join(pieces), 0
        return True

    def _inflate(self) -> bytes:
        """Return some more of it; none at the end."""
        content = b""
        while not content:
            if self._inflater.eof:
                # A gzipped file may be several, one behind the other.
                compressed = self._inflater.unused_data + self._archive.read(_CHUNK)
                if not compressed.startswith(b"\x1f\x8b"):
                    return b""
                self._inflater = _inflater()
            else:
                compressed = self._inflater.unconsumed_tail or self._archive.read(_CHUNK)
            content = self._inflater.decompress(compressed, _MOST_AT_ONCE)
            if not (content or compressed or self._inflater.eof):
                raise EOFError("it ends in the middle")
        self._count(len(content))
        return content

    def _count(self, count: int) -> None:
        self._total += count
        if self._total > self._most:
            found = f"unpacks to more than {self._most:,} bytes, {BOMB_RATIO} times its size or 4 GiB: a bomb"
            raise broken(self._filename, found)


def _inflater() -> zlib._Decompress:
    return fast_zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with gzip's header and checksum
