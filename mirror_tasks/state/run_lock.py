"""One run at a time in a state folder, and in an output: two would take each other's half-written files for their own.

The system holds the lock for a process and lets go of it when that ends, whichever way: a lock that is left is none. What
stands in its file is a note for people.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from mirror_tasks.errors import MirrorError, in_words
from mirror_tasks.files import clear_of_folders, have_folder, read_or_none

_PATIENCE, _MOMENT = 100, 0.05  # times, and seconds between them
_LOCKED_BYTE = 1 << 30  # where no note reaches: on Windows nobody else may read the bytes that are locked
_HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK)})
_UNKNOWN_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class BusyError(MirrorError):
    """Another run is at work in the same folder."""


class RunLock:
    """The locks of a run; held until :meth:`release`, or until the process and those that it has forked have ended.

    :param paths: of the lock files, by the folder that each is for.
    :param of: what is run, for who comes second: the path of ``mirror.yaml``.
    :param tell: called with a sentence where a file system knows no locks.
    """

    def __init__(self, paths: Iterable[tuple[Path, Path]], of: Path, tell: Callable[[str], None]) -> None:
        self._paths = list(paths)
        self._of = of
        self._tell = tell
        self._streams: list[IO[bytes]] = []

    def take(self) -> None:
        """Take all of them; nothing if they are held already.

        :raises BusyError: another run holds one; its message says which process, on which machine, since when.
        :raises StorageError: a lock file can't be had.
        """
        if self._streams:
            return
        try:
            for folder, path in self._paths:
                self._streams.append(self._taken(folder, path))
        except BaseException:
            self.release()
            raise

    def _taken(self, folder: Path, path: Path) -> IO[bytes]:
        try:
            stream = _opened(path)
        except OSError as error:
            raise in_words(error, "locking", path) from None
        try:
            _lock_in_time(stream, path)
        except OSError as error:
            if error.errno in _UNKNOWN_HERE:
                self._tell(f"{folder}: its file system knows no locks; see to it that one run at a time uses it")
                return stream
            stream.close()
            if error.errno not in _HELD:
                raise in_words(error, "locking", path) from None
            raise _busy(folder, path) from None
        self._note(stream)
        return stream

    def _note(self, stream: IO[bytes]) -> None:
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "of": str(self._of)}
        with contextlib.suppress(OSError):  # a full disk: the lock is held, only what it says is missing
            stream.seek(0)
            stream.truncate()
            stream.write(json.dumps(note).encode() + b"\n")

    def release(self) -> None:
        """Let go of all of them."""
        while self._streams:
            stream = self._streams.pop()
            with contextlib.suppress(OSError):
                stream.truncate(0)
            stream.close()


def _opened(path: Path) -> IO[bytes]:
    have_folder(path.parent)
    clear_of_folders(path)
    try:
        return path.open("r+b" if path.exists() else "w+b", buffering=0)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        path.unlink()  # a link that leads nowhere
        return path.open("w+b", buffering=0)


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: IO[bytes]) -> None:
        stream.seek(_LOCKED_BYTE)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(stream: IO[bytes]) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_in_time(stream: IO[bytes], path: Path) -> None:
    """Lock; the processes that a run has forked end with it, but a moment later, and are waited for."""
    for _ in range(_PATIENCE):
        try:
            _lock(stream)
        except OSError as error:
            if error.errno not in _HELD or not _has_ended(path):
                raise
            time.sleep(_MOMENT)
        else:
            return
    _lock(stream)


def _has_ended(path: Path) -> bool:
    """Say if the note names a process of this machine that is no more."""
    try:
        note = json.loads(read_or_none(path) or b"")
        if note["host"] == socket.gethostname() and sys.platform != "win32":
            os.kill(int(note["pid"]), 0)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, PermissionError):
        return False
    except ProcessLookupError:
        return True
    return False


def _busy(folder: Path, path: Path) -> BusyError:
    try:
        note = json.loads(read_or_none(path) or b"")
        who = f"process {note['pid']} on {note['host']}, since {note['since']}, of {note['of']}"
    except (ValueError, TypeError, KeyError, RecursionError):
        who = f"its note, {path}, does not say which"
    problem = f"expected to be the only run there, found another one at work: {who}"
    return BusyError(
        "beginning a run in", str(folder), problem, "Wait until that has ended, then run again; nothing was changed."
    )


def lock_of_output(output: Path) -> Path:
    """Where the lock file of an output is: beside it, for the output is carried away and holds only what is published."""
    return output.with_name(f".{output.name}.lock")
