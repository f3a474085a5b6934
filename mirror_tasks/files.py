"""Files: written whole or not at all, hashed once, named safely."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from mirror_tasks.errors import IntegrityError

_CHUNK = 1 << 20
# What this process lacks says nothing of the file that it could not read.
_LACKS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def have_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Looking first is cheaper: the system locks the folder above to find that it can't make one.
    """
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its place only if the block ends well.

    :param durable: the bytes reach the disk before the name does, so that not even a loss of power leaves a
        half-written file under it; records that are read back with care can do without.
    :raises OSError: the file can't be written; ``path`` is then as it was.
    """
    have_folder(path.parent)
    # The same name each time: what a kill leaves behind, the next run writes over. A path has one writer only.
    temporary = path.with_name(f".{path.name[:150]}.part")
    clear_of_folders(temporary)
    try:
        with naming(path), temporary.open("wb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        clear_of_folders(path)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system that does not: of a write to a full disk it tells no name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def clear_of_folders(path: Path) -> None:
    """Move a folder out of the way that stands where a file belongs: what is no file is as good as none.

    It stays beside, as ``.<name>.folder``, for it may hold what somebody wants.
    """
    if path.is_dir() and not path.is_symlink():
        number, aside = 0, path.with_name(f".{path.name[:150]}.folder")
        while aside.exists():
            number += 1
            aside = path.with_name(f".{path.name[:150]}.folder{number}")
        path.rename(aside)


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``content`` to ``path``, whole or not at all; ``durable`` as for :func:`replacing`."""
    with replacing(path, durable=durable) as stream:
        stream.write(content)


def read_or_none(path: Path) -> bytes | None:
    """Return the bytes of ``path``, or None where there is no file, or none that can be read: that is as good as gone."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in _LACKS:
            raise
        return None


def is_file(path: Path) -> bool:
    """Say if ``path`` is a regular file itself; a link is none, wherever it leads."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def holds(path: Path, content: bytes) -> bool:
    """Say if ``path`` is a regular file with this content; it is not read into memory as a whole."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != len(content):
            return False
        with path.open("rb") as stream:
            parts = (content[begin : begin + _CHUNK] for begin in range(0, len(content), _CHUNK))
            return all(stream.read(len(part)) == part for part in parts)
    except OSError as error:
        if error.errno in _LACKS:
            raise
        return False


def write_if_changed(path: Path, content: bytes, *, durable: bool = True) -> bool:
    """Write ``content`` unless the file already holds it, so that an unchanged file keeps its time; say if it was written.

    A link is replaced by a file.
    """
    if holds(path, content):
        return False
    write_whole(path, content, durable=durable)
    return True


def state_of(file: str | Path | os.DirEntry[str]) -> Sequence[int]:
    """Return what the system says of a file without reading it: size, times and inode; where it is the same, the content is.

    The time of change is the system's own: who writes other content of the same size and sets the time back changes that one.

    :raises OSError: it is not there.
    """
    found = os.stat(file) if isinstance(file, str) else file.stat()  # noqa: PTH116 - a path of it takes longer
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def sha256_of(stream: BinaryIO | IO[bytes]) -> str:
    """Return the SHA-256 of what is left to read of ``stream``, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_or_none(path: Path) -> str | None:
    """Return the SHA-256 of a regular file, in hexadecimal, or None where there is none that can be read."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as stream:
            return sha256_of(stream)
    except OSError as error:
        if error.errno in _LACKS:
            raise
        return None


def sha256_of_bytes(content: bytes | memoryview) -> str:
    """Return the SHA-256 of ``content``, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def to_json(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Return a value as JSON: the same value gives the same bytes, an item a line so that a change can be read in a diff.

    Only the outermost levels have lines of their own: what is inside is left to the encoder that is written in C.
    """
    if isinstance(value, Mapping):
        return "".join(("{\n", *_members(value))).encode()
    return "".join((*_lines(value), "\n")).encode()


def _members(value: Mapping[str, Any]) -> Iterator[str]:
    """Yield what follows the first line, a piece at a time: of a large plan the whole takes 30 MB."""
    between = " "
    for key in sorted(value):
        yield f"{between}{_compact(key)}: "
        yield from _lines(value[key])
        between = ",\n "
    yield "\n}\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)) and value:
        yield "[\n  "
        yield _compact(value[0])
        yield from (f",\n  {_compact(one)}" for one in value[1:])
        yield "\n ]"
    elif isinstance(value, Mapping) and value:
        between = "{\n  "
        for key in sorted(value):
            yield f"{between}{_compact(key)}: {_compact(value[key])}"
            between = ",\n  "
        yield "\n }"
    else:
        yield _compact(value)


_SEAL = re.compile(rb'\{\n "\.sha256": "([0-9a-f]{64})",?\n')


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return a mapping as :func:`to_json` does, with the hash of all the rest in its second line.

    What a fault of the disk or a foreign hand made of it is then told from what was written, whatever it is.
    """
    content = io.BytesIO()
    content.write(b'{\n ".sha256": "')
    place = content.tell()
    content.write(b'%s"%s\n' % (b"0" * 64, b"," if value else b""))
    begin = content.tell()
    for piece in _members(value):
        content.write(piece.encode())
    with content.getbuffer() as written:
        sha256 = sha256_of_bytes(written[begin:])
    content.seek(place)
    content.write(sha256.encode())
    return content.getvalue()  # which is no copy


def unsealed(content: bytes) -> dict[str, Any]:
    """Return the mapping that :func:`sealed` was called on.

    :raises ValueError: it did not make these bytes.
    """
    seal = _SEAL.match(content)
    if seal is None or sha256_of_bytes(content[seal.end() :]) != seal[1].decode():
        raise ValueError("expected what was written there once, found something else")
    value: dict[str, Any] = json.loads(content)
    del value[".sha256"]
    return value


def fields_of(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON can hold it; ``dataclasses.asdict`` copies deeply first, which takes five times as long."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


_compact = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=fields_of).encode


# Windows has these in every folder, whatever ending follows: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = r"(?i:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\..*)?"
# What is not in a safe name leads elsewhere or means something to a shell on some platform; doit allows no "=" in a
# task's name. One pattern, for it is matched with each name on a page.
_is_safe = re.compile(rf"(?!{_DEVICE}\Z)(?![.\-\s])[^/\\:*?\"<>|=\x00-\x1f\x7f]{{1,250}}(?<![.\s])").fullmatch


def is_device(name: str) -> bool:
    """Say if Windows takes a name for that of a device, so that no file or folder there can have it."""
    return re.fullmatch(_DEVICE, name) is not None


def check_filename(filename: str) -> str:
    """Return ``filename`` if it is safe to use as the last part of a path on every platform.

    An upstream's file names are input: library parsers of names accept some that lead out of their folder.

    :raises IntegrityError: it is empty, names another folder, or has characters that no distribution's name has.
    """
    if not _is_safe(filename):
        raise IntegrityError(
            "checking the file name",
            repr(filename[:300]),
            "expected a plain name, found one that is not safe as a path",
            "The file is left out; report it to whoever runs the index.",
        )
    return filename
