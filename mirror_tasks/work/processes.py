"""Processes beside the one that doit runs in: they receive and read files, for which one interpreter's lock is too narrow.

Sixteen threads hide the time that an index takes to answer. But once bytes arrive they all want the interpreter's lock,
for every 16 KiB that TLS gives at a time, and one that reads an archive gives it away only every 5 ms: 482 files (705 MB)
fetched, inflated and read by 16 threads of one process took 20 s of processor time, by 4 threads 13.6 s, and the closure
waited among them. So some processes receive, and some do nothing but read, a file at a time each. Those that receive write
the pages as well: when these are due, next to nothing is left to be received.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, TypeVar

from mirror_tasks.errors import MirrorError
from mirror_tasks.work.memory import give_back_what_is_large

_T = TypeVar("_T")
Progress = Callable[[int], None]

_log = logging.getLogger("mirror_tasks")
_COUNT = min(os.cpu_count() or 1, 4)  # processes of each kind
_MOST_THREADS = 256
_REPORT_EVERY = 1 << 20  # bytes between two messages of how many have come


class ProcessError(MirrorError):
    """A process that fetched or read a file has ended, as by a lack of memory."""


class Processes:
    """Calls functions in other processes; until :meth:`start` was called, in the caller's own.

    A process that has ended is replaced. What it had under way is called again, one after another in a process of its
    own, so that what ends that one as well is known to be the cause; it is given up, and all the rest is done.

    :param count: how many processes.
    :param threads: how many calls each does at a time, at most.
    :param method: "fork", which costs a hundredth of what a new interpreter does, or "spawn" where that is not safe.
    """

    def __init__(self, count: int, threads: int, method: str = "fork" if sys.platform == "linux" else "spawn") -> None:
        self._method = method
        self._lock = threading.Lock()
        self._count = count
        self._threads = threads
        self._may_start = False
        self._workers: list[_Worker] = []
        self._worker_alone: _Worker | None = None
        self._one_at_a_time = threading.Lock()

    def start(self, *, at_once: bool = True) -> None:
        """Let there be processes; nothing if there are.

        They are forked if there are no threads yet, for a fork copies what these hold locked; else begun anew when needed.

        :param at_once: they are sure to be needed; else they are begun anew as well.
        """
        with self._lock:
            self._may_start = not self._workers
            if not at_once or threading.active_count() > 1:
                self._method = "spawn"
        if self._method == "fork":
            self._started_workers()

    def call(self, function: Callable[..., _T], *arguments: Any, progress: Progress | None = None) -> _T:
        """Return what ``function(*arguments)`` returns in one of the processes, or raise what it raises.

        :param function: of a module, as are the classes of its arguments, so that they can be sent.
        :param progress: the function gets one as its last argument, too, and calls it with numbers, the sums of which
            arrive here.
        :raises ProcessError: the call has ended two processes.
        """
        workers = self._started_workers()
        if not workers:
            return function(*arguments) if progress is None else function(*arguments, progress)
        # Nothing that is called here is the worse for being begun again elsewhere.
        with contextlib.suppress(ProcessError), self._least_busy() as worker:
            return worker.call(function, arguments, progress)
        with self._one_at_a_time:
            if self._worker_alone is None or self._worker_alone.ended:
                self._worker_alone = self._replacement()
            if self._worker_alone is None:
                raise _process_ended(function, arguments)
            return self._worker_alone.call(function, arguments, progress)

    @contextlib.contextmanager
    def _least_busy(self) -> Iterator[_Worker]:
        """Give the process that has the fewest calls, counted as soon as it is chosen: many may be made at once."""
        with self._lock:
            for position, one in enumerate(self._workers):
                if one.ended and (other := self._replacement()):
                    self._workers[position] = other
            may_be = [one for one in self._workers if not one.ended] or self._workers
            worker = min(may_be, key=attrgetter("calls"))
            worker.calls += 1
        try:
            yield worker
        finally:
            with self._lock:
                worker.calls -= 1

    def _replacement(self) -> _Worker | None:
        """Return a process in the place of one that has ended, or None where no more are allowed; now there are threads."""
        try:
            return _Worker("spawn", self._threads)
        except OSError:
            return None

    def _started_workers(self) -> Sequence[_Worker]:
        with self._lock:
            if self._may_start and not self._workers:
                self._may_start = False
                # Where no more processes are allowed, those that began do it all, or this one.
                with contextlib.suppress(OSError):
                    for _ in range(self._count):
                        self._workers.append(_Worker(self._method, self._threads))
            return self._workers


class _Worker:
    """One process, as the first one sees it.

    :ivar ended: it was found to have ended; it is asked no more while another one is there.
    :ivar calls: how many it was chosen for that have not ended; for who chooses.
    """

    def __init__(self, method: str, threads: int) -> None:
        self._connection, self._process = (_fork if method == "fork" else _spawn)(threads)
        self._calls: dict[int, tuple[Future[Any], Progress | None, ProcessError]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self.ended = False
        self.calls = 0

    def call(self, function: Callable[..., _T], arguments: Sequence[Any], progress: Progress | None) -> _T:
        """As :meth:`Processes.call`."""
        future: Future[_T] = Future()
        with self._lock:
            self._begin_to_listen()
            if self.ended:
                raise _process_ended(function, arguments)
            self._number += 1
            self._calls[self._number] = (future, progress, _process_ended(function, arguments))
            with contextlib.suppress(OSError):  # it has ended, which the listener sees as well
                self._connection.send((self._number, function, arguments, progress is not None))
        return future.result()

    def _handle(self, number: int, kind: str, content: bytes) -> None:
        if kind == "warning":
            _log.warning("%s", pickle.loads(content))  # noqa: S301
            return
        if kind == "progress":
            if progress := self._calls[number][1]:
                progress(pickle.loads(content))  # noqa: S301 - from a process of this run, as all that follows
            return
        future = self._calls.pop(number)[0]
        try:
            value = pickle.loads(content)  # noqa: S301
        except Exception as error:  # a bug, of this call only
            future.set_exception(RuntimeError(f"what came back can't be read: {error!r}"))
            return
        if kind == "done":
            future.set_result(value)
        else:
            future.set_exception(value)

    def _begin_to_listen(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        with contextlib.suppress(Exception):  # whatever ends this, nobody may wait for what does not come any more
            while True:
                number, kind, content = self._connection.recv()
                self._handle(number, kind, content)
        with contextlib.suppress(OSError):
            self._process.kill()  # if it went on, another would write the same files beside it
            (self._process.wait if isinstance(self._process, subprocess.Popen) else self._process.join)()
        with self._lock:
            self.ended = True
        for future, _, error in self._calls.values():
            future.set_exception(error)


def _fork(threads: int) -> tuple[_Connection, Any]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    # A daemon: it is ended when the first process ends well; when that is killed, it sees its connection end.
    process = context.Process(target=_work, args=(theirs, ours, threads), daemon=True)
    with _later_interrupted():
        process.start()
    theirs.close()
    return ours, process


@contextlib.contextmanager
def _later_interrupted() -> Iterator[None]:
    """Let Ctrl-C wait: Python swallows, with a traceback, what is raised in the functions that it calls at a fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Not by multiprocessing, which imports the script that was started once more: a dodo.py that is run as one would need a
# guard for it, and would run the mirror again in each process without one.
_SPAWNED = (
    "import sys; sys.path[:] = {path!r}; from mirror_tasks.work import processes; processes.work_over_pipes({threads})"
)


def _spawn(threads: int) -> tuple[_Connection, Any]:
    command = [sys.executable, "-c", _SPAWNED.format(path=sys.path, threads=threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    return _Pipes(process.stdout, process.stdin), process


class _Pipes:
    """What of a connection of :mod:`multiprocessing` is used here, over two pipes that any process can have."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading, self._writing = reading, writing

    def recv(self) -> Any:
        """Return the next message.

        :raises EOFError: the other end is closed.
        """
        return pickle.load(self._reading)  # noqa: S301 - from a process of this run

    def send(self, message: Any) -> None:
        """Send a message."""
        content = pickle.dumps(message)
        self._writing.write(content)
        self._writing.flush()

    def close(self) -> None:
        """Close both ends."""
        for stream in (self._reading, self._writing):
            with contextlib.suppress(OSError):
                stream.close()


_Connection = Connection | _Pipes


def work_over_pipes(threads: int) -> None:
    """What a process does that was begun anew: its messages go through what were its standard streams."""
    reading, writing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # whatever is printed here is no message
    give_back_what_is_large()
    _work(_Pipes(reading, writing), None, threads)


def _process_ended(function: Callable[..., object], arguments: Sequence[object]) -> ProcessError:
    doing = f"{function.__name__.replace('_', ' ')}, in a process beside the first, of"
    subject = " ".join(str(one) for one in arguments if isinstance(one, (str, Path)))
    problem = (
        "expected the process to be there to the end, found that it has ended, as did a second one that did only this"
    )
    advice = (
        "See if memory is short, then run again: nothing finished is lost. If it ends again, please report the file."
    )
    return ProcessError(doing, subject, problem, advice)


def _work(connection: _Connection, other_end: _Connection | None, threads: int) -> None:
    """Do calls until the process that makes them ends, whichever way; what is half done then is left for its next run."""
    if other_end is not None:
        other_end.close()  # a fork has both ends, and would never see its own end
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the first one decides
    if other_end is not None:
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, [signal.SIGINT]
        )  # no more than that: a build that it starts has its own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sending = threading.Lock()
    logging.getLogger().handlers = [_WarningsToFirst(connection, sending)]
    logging.captureWarnings(True)
    pool = _Threads(threads)
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, function, arguments, has_progress = connection.recv()
            call = _Call(connection, sending, number)
            pool.begin(call.do, function, (*arguments, call.progress) if has_progress else arguments)
    os._exit(0)


class _Threads:
    """Threads that do what is begun, no more of them than there was under way at a time.

    :class:`concurrent.futures.ThreadPoolExecutor` takes a thread for busy that waits, whenever another one that was busy
    comes first: it had 228 for sixteen calls at a time, with 100 KB each.

    :param most: how many, at most; what is begun beyond that waits.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._under_way = 0
        self._counting = threading.Lock()
        self._todo: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()

    def begin(self, do: Callable[..., None], *arguments: Any) -> None:
        """Do something as soon as there is a thread for it; called from one thread only."""
        with self._counting:
            self._under_way += 1
            is_one_more = self._count < min(self._under_way, self._most)
        self._todo.put((do, arguments))
        if is_one_more:
            self._count += 1
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self._do(*self._todo.get())

    def _do(self, do: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        do(*arguments)  # it lets no error out
        with self._counting:
            self._under_way -= 1


class _WarningsToFirst(logging.Handler):
    """Sends what is logged as a warning to the first process, which has the terminal."""

    def __init__(self, connection: _Connection, sending: threading.Lock) -> None:
        super().__init__(logging.WARNING)
        self._connection, self._sending = connection, sending

    def emit(self, record: logging.LogRecord) -> None:
        """Called by :mod:`logging`."""
        with self._sending, contextlib.suppress(OSError):  # nobody is left to be told
            self._connection.send((0, "warning", pickle.dumps(record.getMessage())))


class _Call:
    """One call, as the process that does it sees it."""

    def __init__(self, connection: _Connection, sending: threading.Lock, number: int) -> None:
        self._connection, self._sending, self._number = connection, sending, number
        self._unreported = 0

    def do(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Do it, and send what comes of it."""
        try:
            value = function(*arguments)
            if self._unreported:
                self._send("progress", self._unreported)
            self._send("done", value)
        except BaseException as error:  # a bug, or a result that can't be sent: both have to be seen, nobody may wait
            self._send("failed", _sendable(error))

    def progress(self, count: int) -> None:
        """Tell the first process, now and then."""
        self._unreported += count
        if abs(self._unreported) >= _REPORT_EVERY:
            unreported, self._unreported = self._unreported, 0
            self._send("progress", unreported)

    def _send(self, kind: str, value: Any) -> None:
        content = pickle.dumps(value)
        with self._sending, contextlib.suppress(OSError):  # nobody is left to be told
            self._connection.send((self._number, kind, content))


def _sendable(error: BaseException) -> Exception:
    """Return the error if it is none of a bug and can be sent, else one that shows what it was."""
    with contextlib.suppress(Exception):
        if isinstance(error, (MirrorError, OSError)) and isinstance(pickle.loads(pickle.dumps(error)), type(error)):  # noqa: S301
            return error
    return RuntimeError("".join(traceback.format_exception(error)))


RECEIVING = Processes(_COUNT, _MOST_THREADS)
# Not fewer: while one read a large sdist, all sixteen threads waited behind it with small ones, and nothing was received.
READING = Processes(_COUNT, 1)
