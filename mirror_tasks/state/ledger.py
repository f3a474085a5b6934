"""The ledger: what each file was when its hash was last checked, so that no file is hashed twice."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import stat
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from mirror_tasks.files import have_folder, is_file, naming, read_or_none, sha256_of, write_whole

_SHA256 = re.compile("[0-9a-f]{64}")
_AT_A_TIME = 4096  # lines; of a journal of 100,000 the whole takes 60 MB while it is read


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file was when its hash was checked: size in bytes, time of change in nanoseconds, SHA-256 in hexadecimal."""

    size: int
    mtime_ns: int
    sha256: str


class Ledger:
    """Remembers which files were made or found right, and what they were then, so that no file is hashed twice.

    It is a journal: one line a file, added when the hash was checked; the last line of a path counts. A kill can
    cost the last line, after which one file is hashed once more; nothing is fetched again for it.

    :param path: the journal's file; made when the first line is written.
    :param root: paths below it are remembered relative to it, so that the folder can be moved.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = f"{root}{os.sep}"
        self._lock = threading.Lock()
        self._journal: IO[bytes] | None = None
        self._read: dict[str, bytes] | None = None
        self._reading = threading.Lock()

    @property
    def _packed(self) -> dict[str, bytes]:
        """The seals by path, 100,000 in a mirror of 50,000 files.

        They are read when they are first asked for: a process that was forked before has no copy of them.
        """
        if self._read is None:
            with self._reading:
                self._read = self._load() if self._read is None else self._read
        return self._read

    def _load(self) -> dict[str, bytes]:
        content = read_or_none(self._path)
        journal, packed, count = io.BytesIO(content or b""), dict[str, bytes](), 0
        with _no_garbage():
            while lines := list(islice(journal, _AT_A_TIME)):
                packed.update(filter(None, map(_packed_in, _entries(lines))))
                count += len(lines)
        is_torn = bool(content) and not (content or b"").endswith(b"\n")
        is_no_file = content is None and os.path.lexists(self._path)
        self._is_worn = is_torn or is_no_file or count > 2 * len(packed) + 100
        return packed

    @staticmethod
    def _line(name: str, seal: Seal) -> bytes:
        return (json.dumps([name, seal.size, seal.mtime_ns, seal.sha256]) + "\n").encode()

    def seal(self, path: Path, sha256: str) -> None:
        """Remember that ``path``, as it is now, was seen to have this hash."""
        self.seal_all({path: sha256})

    def seal_all(self, seen: Mapping[Path, str]) -> None:
        """Remember that these files, as they are now, were seen to have these hashes."""
        seals = {}
        for path, sha256 in seen.items():
            status = path.lstat()
            seals[str(path).removeprefix(self._root)] = Seal(status.st_size, status.st_mtime_ns, sha256)
        with self._lock:
            new = {name: seal for name, seal in seals.items() if self._seal(name) != seal}
            if not new:
                return
            if self._journal is None:
                self._journal = self._opened()
            self._write(self._journal, b"".join(self._line(name, seal) for name, seal in new.items()))
            self._packed.update((name, _packed(seal)) for name, seal in new.items())

    def _write(self, journal: IO[bytes], lines: bytes) -> None:
        """Write to the end, or have the journal written anew next time: half a line would take the next one with it."""
        try:
            with naming(self._path):
                while lines:
                    lines = lines[journal.write(lines) :]
        except OSError:
            journal.close()
            self._journal, self._is_worn = None, True
            raise

    def _opened(self) -> IO[bytes]:
        """Open the journal to write: only now, since who just looks must not replace what a run writes to.

        A torn last line must not swallow the next one, and a journal of many runs is shortened now and then.
        """
        if self._is_worn:
            sealed = ((name, _unpacked(packed)) for name, packed in sorted(self._packed.items()))
            write_whole(self._path, b"".join(self._line(name, seal) for name, seal in sealed))
        have_folder(self._path.parent)
        return self._path.open("ab", buffering=0)

    def made(self, path: Path | str) -> str | None:
        """Return the hash that ``path`` had when it was made or last found right, whatever stands there now."""
        seal = self._seal(str(path).removeprefix(self._root))
        return seal.sha256 if seal else None

    def _seal(self, name: str) -> Seal | None:
        packed = self._packed.get(name)
        return None if packed is None else _unpacked(packed)

    def seal_of(self, name: str) -> Seal | None:
        """Return what a file was when its hash was last checked; ``name`` is its path below the root, with slashes."""
        return self._seal(name if os.sep == "/" else name.replace("/", os.sep))

    def known(self, path: Path | str) -> str | None:
        """Return the hash of ``path`` if it was found right and has not been touched since, else None; reads no content.

        The path may be given as text: to make a path for each of thousands of files takes longer than all of this.

        A link is not what was made, wherever it leads.
        """
        seal = self._seal(str(path).removeprefix(self._root))
        if seal is None:
            return None
        try:
            status = os.lstat(path)
        except OSError:
            return None
        is_same = (status.st_size, status.st_mtime_ns) == (seal.size, seal.mtime_ns) and stat.S_ISREG(status.st_mode)
        return seal.sha256 if is_same else None

    def is_right(self, path: Path, sha256: str) -> bool:
        """Say if ``path`` is a file with this hash; it is read only if it was touched since it was last found right.

        What is found wrong is not remembered: a seal says what a file was made as, never what became of it.
        """
        if (known := self.known(path)) is not None:
            return known == sha256
        if not is_file(path):
            return False
        try:
            with path.open("rb") as stream:
                found = sha256_of(stream)
        except OSError:
            return False
        if found == sha256:
            self.seal(path, sha256)
        return found == sha256

    def is_altered(self, path: Path) -> bool:
        """Say if ``path`` was made, and is not any more what it was made as."""
        made = self.made(path)
        return made is not None and not self.is_right(path, made)


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Look for no garbage meanwhile: there is none, and among so many new objects looking takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _entries(lines: Sequence[bytes]) -> Iterable[object]:
    """Return what the lines of the journal say: read at once, or, which takes longer, line by line where one is torn."""
    try:
        found = json.loads(b"[%s]" % b",".join(lines))
    except (ValueError, RecursionError):
        found = []
    return found if len(found) == len(lines) else map(_entry, lines)


def _entry(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


# As bytes a seal takes a third of the memory that its three fields take.
_PACKED = struct.Struct("<q12s32s")  # the time in more than 8 bytes: some file systems have years beyond 2262


def _packed(seal: Seal) -> bytes:
    return _PACKED.pack(seal.size, seal.mtime_ns.to_bytes(12, "little", signed=True), bytes.fromhex(seal.sha256))


def _unpacked(packed: bytes) -> Seal:
    size, mtime, digest = _PACKED.unpack(packed)
    return Seal(size, int.from_bytes(mtime, "little", signed=True), digest.hex())


def _packed_in(entry: object) -> tuple[str, bytes] | None:
    """Return what a line of the journal says. None: it is no such line, or was cut short by a kill; its file is hashed again."""
    if not isinstance(entry, list) or len(entry) != 4:
        return None
    name, size, mtime_ns, sha256 = entry
    if type(size) is not int or type(mtime_ns) is not int or not isinstance(name, str) or not isinstance(sha256, str):
        return None
    try:
        return (name, _packed(Seal(size, mtime_ns, sha256))) if _SHA256.fullmatch(sha256) else None
    except (struct.error, OverflowError):  # numbers that no file has
        return None
