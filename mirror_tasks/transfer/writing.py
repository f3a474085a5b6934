"""One volume is written: contents are hashed while they are copied, and it is finished only when all is on the disk.

A volume says first of which bundle it is (``volume.json``), and gets its manifest last: what a run left half-written is told
from what another one left there, is completed by the next run, and never taken for a volume.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mirror_tasks.errors import IntegrityError, StorageError
from mirror_tasks.files import holds, is_file, replacing, write_if_changed
from mirror_tasks.transfer.volumes import BLOCK, taken

_CHUNK = 1 << 20
_LARGE = 1 << 20  # bytes of a file that is brought to the disk by itself; smaller ones together, at the end


@dataclass(frozen=True, slots=True)
class Piece:
    """What is copied into a volume: a file, or a part of one.

    :param place: its path below ``files/``.
    :param sha256: what it has to have.
    """

    place: str
    source: Path
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that is to be written.

    :param number: 0 for one that has just what some other ones should have.
    :param digest: the SHA-256 of the manifest.
    :param beside: what stands in every volume beside the manifest, by file name: its signatures, ``receive.py``.
    """

    folder: Path
    number: int
    manifest: bytes
    digest: str
    beside: Mapping[str, bytes]
    pieces: Sequence[Piece]

    @property
    def about(self) -> bytes:
        """What ``volume.json`` says."""
        return json.dumps({"manifest": self.digest, "volume": self.number}).encode() + b"\n"

    @property
    def files(self) -> Mapping[str, int]:
        """Every file of the volume by its path in it, with its size."""
        own = {"manifest.json": self.manifest, "volume.json": self.about, **self.beside}
        return {**{name: len(content) for name, content in own.items()}, **_places(self.pieces)}

    def size(self, block: int = BLOCK) -> int:
        """Return the bytes that it takes, with the folders that it is in, on a file system of such blocks."""
        return taken(self.files, block) + 2 * block


def _places(pieces: Iterable[Piece]) -> dict[str, int]:
    return {f"files/{piece.place}": piece.size for piece in pieces}


def write_volume(volume: Volume, copied: Callable[[int], None]) -> None:
    """Write a volume, or complete what a killed run left of it; what is there of another one is deleted.

    :param copied: told of each number of bytes that was copied, or found right.
    :raises IntegrityError: a source is not what ``SHA256SUMS`` says.
    :raises OSError: the target can't be written.
    """
    begun = _prepare(volume)
    for piece in volume.pieces:
        target = volume.folder.joinpath("files", *piece.place.split("/"))
        if not (begun and _is_there(target, piece)):
            _copy(piece, target, copied)
        else:
            copied(piece.size)
    for name, content in sorted(volume.beside.items()):
        write_if_changed(volume.folder / name, content)
    _have_on_disk(volume)
    write_if_changed(volume.folder / "manifest.json", volume.manifest)
    _have_on_disk(volume)


def _prepare(volume: Volume) -> bool:
    """Have a folder that says of which volume it is; return whether it has something of that already."""
    folder = volume.folder
    if folder.is_symlink() or is_file(folder):
        problem = "expected a folder, or nothing, found something else"
        raise StorageError("writing a volume into", str(folder), problem, "Remove it, then run again.")
    begun = holds(folder / "volume.json", volume.about)
    if begun:
        _delete_strangers(volume)
    elif folder.exists():
        shutil.rmtree(folder)
    if not holds(folder / "manifest.json", volume.manifest):
        (folder / "manifest.json").unlink(missing_ok=True)
    write_if_changed(folder / "volume.json", volume.about)
    return begun


def _delete_strangers(volume: Volume) -> None:
    """Delete what is not of the volume: what was half-written, and what anybody else put there."""
    wanted = {volume.folder.joinpath(*path.split("/")) for path in volume.files}
    folders = {folder for path in wanted for folder in path.parents}
    for found, _, names in os.walk(volume.folder, topdown=False):
        for path in (Path(found, name) for name in names):
            if path not in wanted or not is_file(path):
                path.unlink()
        for path in [path for path in Path(found).iterdir() if path.is_symlink()]:
            path.unlink()
        if Path(found) not in folders:
            Path(found).rmdir()


def _is_there(target: Path, piece: Piece) -> bool:
    """Say if a piece was copied already; it is read again, for a loss of power keeps names before bytes."""
    if not is_file(target) or target.stat().st_size != piece.size:
        return False
    with target.open("rb") as stream:
        return _digest(_read(stream, piece.size)) == piece.sha256


def _copy(piece: Piece, target: Path, copied: Callable[[int], None]) -> None:
    """Copy a piece, and hash what is copied.

    :raises IntegrityError: it is not what it should be; nothing is left of it then.
    """
    with opened(piece.source) as stream, replacing(target, durable=piece.size >= _LARGE) as out:
        digest, size = hashlib.sha256(), 0
        stream.seek(piece.offset)
        for chunk in _read(stream, piece.size):
            digest.update(chunk)
            out.write(chunk)
            size += len(chunk)
            copied(len(chunk))
        if size != piece.size or digest.hexdigest() != piece.sha256:
            raise altered(piece.source, piece.sha256, f"{size} bytes with sha256 {digest.hexdigest()}")


def part_digests(source: Path, sha256: str, sizes: Sequence[int]) -> list[str]:
    """Return the SHA-256 of each part of a file that is cut into parts of these sizes.

    :raises IntegrityError: the file does not have this SHA-256 as a whole.
    """
    whole, found = hashlib.sha256(), []
    with opened(source) as stream:
        for size in sizes:
            part = hashlib.sha256()
            for chunk in _read(stream, size):
                whole.update(chunk)
                part.update(chunk)
            found.append(part.hexdigest())
        is_longer = bool(stream.read(1))
    if is_longer or whole.hexdigest() != sha256:
        raise altered(source, sha256, "something else")
    return found


@contextlib.contextmanager
def opened(source: Path) -> Iterator[IO[bytes]]:
    """Open a published file.

    :raises IntegrityError: there is none.
    """
    try:
        stream = source.open("rb", buffering=0) if is_file(source) else None
    except FileNotFoundError:
        stream = None
    if stream is None:
        raise altered(source, "", "none")
    with stream:
        yield stream


def altered(source: Path, sha256: str, found: str) -> IntegrityError:
    """Return the error of a published file that is not what it should be."""
    expected = f"the file that SHA256SUMS names (sha256 {sha256})" if sha256 else "the file that SHA256SUMS names"
    advice = "Nothing of it was kept. Run `doit mirror`, which makes the mirror whole again, then run again."
    return IntegrityError("bundling", str(source), f"expected {expected}, found {found}", advice)


def _read(stream: IO[bytes], size: int) -> Iterator[bytes]:
    left = size
    while left and (chunk := stream.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _digest(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _have_on_disk(volume: Volume) -> None:
    """Have all that was written on the disk, where a stick may be pulled out once this ended."""
    if hasattr(os, "sync"):
        os.sync()
        return
    for path in volume.files:  # pragma: no cover (Windows)
        with contextlib.suppress(FileNotFoundError), volume.folder.joinpath(*path.split("/")).open("r+b") as stream:
            os.fsync(stream.fileno())


def discard(folder: Path) -> bool:
    """Delete the folder of a bundle that was not finished and never will be; say if there was one."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    shutil.rmtree(folder)
    return True
