"""The members of wheels and sdists, read without trust: every read is bounded, and nothing is ever extracted.

A zip must be exactly what it seems: nothing before it, nothing behind it, nothing in it twice over. Of a tar, headers
are read one after the other and no link is followed. PyPI refuses archives that unpack to more than 64 MiB at a ratio
above 50; the bounds here are of that kind, so that what an index of good repute lets in is let in here.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from mirror_tasks.errors import MetadataError

if TYPE_CHECKING:
    from typing_extensions import Self

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
_CHUNK = 1 << 18

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")

# What the standard library's readers raise, at one place or another, when an archive is broken.
_READING_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error,
    EOFError, ValueError, NotImplementedError, OverflowError, RuntimeError, LookupError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive.

    :param path: its name, checked to lead nowhere out of the archive, without ``./`` before it.
    :param is_file: it is a regular file; links, folders and devices are not.
    :param read: returns its bytes; for a member of a tar only until the next member is asked for.
    """

    path: str
    is_file: bool
    read: Callable[[], bytes]


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
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise broken(filename, f"expected paths inside the archive, found the member {name[:200]!r}")
    return "/".join(part for part in parts if part not in {"", "."})


# Zip


def zip_members(archive: BinaryIO, filename: str) -> list[Member]:
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
    return [
        Member(_safe_path(entry.orig_filename, filename), _is_regular(entry), _zip_reader(opened, entry, filename))
        for entry in entries
    ]


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
    *_, length, start, _ = _END.unpack(tail[-_END.size :])
    position = size - _END.size
    if len(tail) > _END.size and tail[: -_END.size][-_LOCATOR64.size :].startswith(b"PK\6\7"):
        *_, length, start = _END64.unpack(tail[: _END64.size]) if len(tail) > _END64.size else (0, 0)
        position -= _LOCATOR64.size + _END64.size
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


def _is_regular(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    return kind in {0, stat.S_IFREG} and not entry.is_dir()


def _zip_reader(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, filename: str) -> Callable[[], bytes]:
    def read() -> bytes:
        _check_entry(entry, filename)
        with _reading(filename), opened.open(entry) as stream:
            return stream.read()

    return read


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


def tar_members(archive: BinaryIO, filename: str) -> Iterator[Member]:
    """Yield the members of a gzipped tar, in their order; all of them have to be passed to know that none comes twice.

    :param archive: the whole file, or a reader of it that can seek.
    :param filename: what errors name.
    :raises MetadataError: it is no gzipped tar, is damaged, or would not end within the bounds.
    """
    with _reading(filename), _Inflated(archive, filename) as stream, _open_tar(stream) as opened:
        count = 0
        while (entry := opened.next()) is not None:
            count += 1
            if count > MOST_MEMBERS:
                raise broken(filename, f"more than {MOST_MEMBERS:,} members")
            yield Member(_safe_path(entry.name, filename), entry.isreg(), _tar_reader(opened, entry, filename))
            # A thousand bytes a member, which tarfile keeps for looking up what is never looked up here.
            opened.members.clear()  # type: ignore[attr-defined]


def _open_tar(stream: _Inflated) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK, tarinfo=_BoundedTarInfo)


def _tar_reader(opened: tarfile.TarFile, entry: tarfile.TarInfo, filename: str) -> Callable[[], bytes]:
    def read() -> bytes:
        if entry.size > LARGEST_MEMBER:
            raise broken(
                filename, f"{entry.name} has {entry.size:,} bytes, more than the {LARGEST_MEMBER:,} that are read"
            )
        with _reading(filename):
            stream = opened.extractfile(entry)
            return stream.read() if stream else b""

    return read


class _BoundedTarInfo(tarfile.TarInfo):
    """A header that describes another header, such as a long name, is read into memory: not if it claims to be huge."""

    _DESCRIBES = frozenset((*tarfile.GNU_TYPES, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)) - {
        tarfile.GNUTYPE_SPARSE
    }

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in cls._DESCRIBES and header.size > LARGEST_HEADER):
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


class _Inflated(io.RawIOBase):
    """What is inside a gzipped file, as a stream that stops at a bomb."""

    def __init__(self, archive: BinaryIO, filename: str) -> None:
        self._filename = filename
        size = archive.seek(0, io.SEEK_END)
        archive.seek(0)
        self._most = min(LARGEST_TAR, max(_HARMLESS_TAR, BOMB_RATIO * size))
        self._total = 0
        self._inflated = gzip.GzipFile(fileobj=archive)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._inflated.read(_CHUNK if size < 0 else size)
        self._total += len(content)
        if self._total > self._most:
            raise broken(
                self._filename,
                f"unpacks to more than {self._most:,} bytes, {BOMB_RATIO} times its size or 4 GiB: a bomb",
            )
        return content

    def close(self) -> None:
        self._inflated.close()
        super().close()
