"""Processes beside the one that doit runs in: they receive and read files, for which one interpreter's lock is too narrow.

Sixteen threads hide the time that an index takes to answer. But once bytes arrive they all want the interpreter's lock,
for every 16 KiB that TLS gives at a time, and one that reads an archive gives it away only every 5 ms: 482 files (705 MB)
fetched, inflated and read by 16 threads of one process took 20 s of processor time, by 4 threads 13.6 s, and the closure
waited among them. So some processes receive, and some do nothing but read, a file at a time each. Those that receive write
the pages as well: when these are due, next to nothing is left to be received.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from mirror_tasks.errors import MirrorError

_T = TypeVar("_T")
Progress = Callable[[int], None]

_COUNT = min(os.cpu_count() or 1, 4)  # processes of each kind
_MOST_THREADS = 256
_TOLD_EVERY = 1 << 20  # bytes between two messages of how many have come


class ProcessError(MirrorError):
    """A process that fetched files has ended, as by a lack of memory."""


class Processes:
    """Calls functions in other processes; until :meth:`start` was called, in the caller's own.

    :param count: how many processes.
    :param threads: how many calls each does at a time, at most.
    :param method: of :mod:`multiprocessing`. A fork costs a hundredth of what a new interpreter does; where it is not
        safe, a new one is begun.
    """

    def __init__(self, count: int, threads: int, method: str = "fork" if sys.platform == "linux" else "spawn") -> None:
        self._method = method
        self._context = multiprocessing.get_context(method)
        self._lock = threading.Lock()
        self._count = count
        self._threads = threads
        self._may_start = False
        self._hands: list[_Hand] = []

    def start(self) -> None:
        """Let there be processes; called before there are threads, for a fork copies what they hold locked."""
        self._may_start = True
        if self._method == "fork":
            self._started()

    def call(self, function: Callable[..., _T], *arguments: Any, progress: Progress | None = None) -> _T:
        """Return what ``function(*arguments)`` returns in one of the processes, or raise what it raises.

        :param function: of a module, as are the classes of its arguments, so that they can be sent.
        :param progress: the function gets one as its last argument, too, and calls it with numbers, the sums of which
            arrive here.
        :raises ProcessError: the process ended before the call did.
        """
        hands = self._started()
        if not hands:
            return function(*arguments) if progress is None else function(*arguments, progress)
        for _ in hands[1:]:
            # Nothing that is called here is the worse for being begun again elsewhere.
            with contextlib.suppress(ProcessError):
                return self._least_busy(hands).call(function, arguments, progress)
        return self._least_busy(hands).call(function, arguments, progress)

    @staticmethod
    def _least_busy(hands: Sequence[_Hand]) -> _Hand:
        return min([hand for hand in hands if not hand.ended] or hands, key=_Hand.busy)

    def _started(self) -> Sequence[_Hand]:
        with self._lock:
            if self._may_start and not self._hands:
                self._may_start = False
                # Where no more processes are allowed, those that began do it all, or this one.
                with contextlib.suppress(OSError):
                    for _ in range(self._count):
                        self._hands.append(_Hand(self._context, self._method, self._threads))
            return self._hands


class _Hand:
    """One process, as the first one sees it.

    :ivar ended: it was found to have ended; it is asked no more while another one is there.
    """

    def __init__(self, context: Any, method: str, threads: int) -> None:
        self._connection, theirs = context.Pipe()
        ours = self._connection if method == "fork" else None
        # A daemon: it is ended when the first process ends well; when that is killed, it sees its connection end.
        self._process = context.Process(target=_serve, args=(theirs, ours, threads), daemon=True)
        self._process.start()
        theirs.close()
        self._calls: dict[int, tuple[Future[Any], Progress | None, ProcessError]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self.ended = False

    def busy(self) -> int:
        """Return how many calls are under way."""
        return len(self._calls)

    def call(self, function: Callable[..., _T], arguments: Sequence[Any], progress: Progress | None) -> _T:
        """As :meth:`Processes.call`."""
        future: Future[_T] = Future()
        with self._lock:
            self._listening()
            if self.ended:
                raise _ended(function, arguments)
            self._number += 1
            self._calls[self._number] = (future, progress, _ended(function, arguments))
            with contextlib.suppress(OSError):  # it has ended, which the listener sees as well
                self._connection.send((self._number, function, arguments, progress is not None))
        return future.result()

    def _listening(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # whatever ends this, nobody may wait for what does not come any more
            while True:
                number, kind, value = self._connection.recv()
                if kind == "progress":
                    if progress := self._calls[number][1]:
                        progress(value)
                elif kind == "done":
                    self._calls.pop(number)[0].set_result(value)
                else:
                    self._calls.pop(number)[0].set_exception(value)
        with contextlib.suppress(OSError):
            self._process.kill()  # if it went on, another would write the same files beside it
            self._process.join()
        with self._lock:
            self.ended = True
        for future, _, error in self._calls.values():
            future.set_exception(error)


def _ended(function: Callable[..., object], arguments: Sequence[object]) -> ProcessError:
    doing = f"{function.__name__.replace('_', ' ')}, in a process beside the first, of"
    subject = " ".join(str(one) for one in arguments if isinstance(one, (str, Path)))
    problem = "expected the process to be there to the end, found that it has ended"
    return ProcessError(doing, subject, problem, "See if memory is short, then run again: nothing finished is lost.")


def _serve(connection: Connection, other_end: Connection | None, threads: int) -> None:
    """Do calls until the process that makes them ends, whichever way; what is half done then is left for its next run."""
    if other_end is not None:
        other_end.close()  # a fork has both ends, and would never see its own end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.set_threshold(100_000, 20, 20)
    gc.freeze()  # what was inherited is no garbage, and stays shared as long as nobody looks at it
    sending = threading.Lock()
    pool = ThreadPoolExecutor(threads)
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, function, arguments, tells = connection.recv()
            call = _Call(connection, sending, number)
            pool.submit(call.do, function, (*arguments, call.progress) if tells else arguments)
    os._exit(0)


def look_for_garbage_rarely() -> None:
    """Nearly all that a run makes it keeps to its end: looking for garbage as often as by default took 8 % of its time."""
    gc.freeze()
    gc.set_threshold(200_000, 1000, 1000)


class _Call:
    """One call, as the process that does it sees it."""

    def __init__(self, connection: Connection, sending: threading.Lock, number: int) -> None:
        self._connection, self._sending, self._number = connection, sending, number
        self._untold = 0

    def do(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Do it, and send what comes of it."""
        try:
            value = function(*arguments)
            if self._untold:
                self._tell("progress", self._untold)
            self._tell("done", value)
        except MirrorError as error:
            self._tell("failed", error)
        except BaseException as error:  # a bug, or a result that can't be sent: both have to be seen, nobody may wait
            self._tell("failed", _sendable(error))

    def progress(self, count: int) -> None:
        """Tell the first process, now and then."""
        self._untold += count
        if abs(self._untold) >= _TOLD_EVERY:
            told, self._untold = self._untold, 0
            self._tell("progress", told)

    def _tell(self, kind: str, value: Any) -> None:
        with self._sending, contextlib.suppress(OSError):  # nobody is left to be told
            self._connection.send((self._number, kind, value))


def _sendable(error: BaseException) -> Exception:
    """Return the error if it can be sent, as an OSError can, else one that shows what it was."""
    with contextlib.suppress(Exception):
        if isinstance(error, OSError) and isinstance(pickle.loads(pickle.dumps(error)), type(error)):  # noqa: S301
            return error
    return RuntimeError("".join(traceback.format_exception(error)))


RECEIVING = Processes(_COUNT, _MOST_THREADS)
# Not fewer: while one read a large sdist, all sixteen threads waited behind it with small ones, and nothing was received.
READING = Processes(_COUNT, 1)
