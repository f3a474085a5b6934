"""Races, stepped: what two do at once happens in an order that the test chooses. Nothing sleeps, and nothing is left to luck.

There are two ways to step. A :class:`Gate` stands at one place, for threads or (through the fake index) processes: who
comes there waits until the test lets him through. :func:`every_interruption` needs no place: it interrupts one function
before each of its lines by another one, that runs meanwhile from its beginning to its end.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType, TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

PATIENCE = 60.0  # seconds after which a test fails that waits for what does not come

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")


class Gate:
    """A place where all who come wait until the test lets them through.

    :ivar arrivals: how many came so far.
    :ivar is_open: whether they were let through.
    """

    def __init__(self) -> None:
        self.arrivals = 0
        self.is_open = False
        self._news = threading.Condition()

    def pass_through(self) -> None:
        """Come to the gate, and wait until it is open.

        :raises TimeoutError: nobody opened it.
        """
        with self._news:
            self.arrivals += 1
            self._news.notify_all()
            if not self._news.wait_for(lambda: self.is_open, PATIENCE):
                raise TimeoutError("nobody opened the gate")

    def wait_for_arrival(self, number: int = 1) -> None:
        """Wait until somebody has come, or so many have.

        :raises TimeoutError: they did not come.
        """
        with self._news:
            if not self._news.wait_for(lambda: self.arrivals >= number, PATIENCE):
                raise TimeoutError(f"{self.arrivals} came to the gate, {number} were expected")

    def open(self) -> None:
        """Let all through who wait, and all who come later."""
        with self._news:
            self.is_open = True
            self._news.notify_all()

    def before(self, function: Callable[P, A]) -> Callable[P, A]:
        """Return the function with this gate before it."""

        @functools.wraps(function)
        def gated(*arguments: P.args, **settings: P.kwargs) -> A:
            self.pass_through()
            return function(*arguments, **settings)

        return gated


class Lock:
    """Takes the place of a :class:`threading.Lock` in code that :func:`every_interruption` steps.

    Who interrupts and finds it held waits until the one who was interrupted has come to his end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.busy: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.busy()
            assert self._lock.acquire(timeout=PATIENCE), "the lock is never released"

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lock.release()


@dataclass(frozen=True)
class Run(Generic[A, B]):
    """What the two returned, and the line before which the first was interrupted by the second; 0: it had ended."""

    first: A
    second: B
    line: int


def every_interruption(
    scene: Callable[[], tuple[Callable[[], A], Callable[[], B]]], code: ModuleType, lock: Lock | None = None
) -> Iterator[Run[A, B]]:
    """Run two functions, the first interrupted by the second before each line in turn, at last one after the other.

    :param scene: sets everything up anew, and returns the two.
    :param code: the module whose lines count.
    :param lock: what stands in the place of the module's lock.
    :raises BaseException: what the first or the second raised.
    """
    for step in itertools.count(1):
        first, second = scene()
        run = _Stepped(first, second, str(code.__file__), step, lock).run()
        yield run
        if not run.line:
            return


class _Worker(threading.Thread, Generic[A]):
    """A thread that keeps what its function returned or raised."""

    def __init__(self, function: Callable[[], A]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.error: BaseException | None = None
        self.result: A

    def run(self) -> None:
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error

    def outcome(self) -> A:
        self.join(PATIENCE)
        assert not self.is_alive(), "it never ends"
        if self.error:
            raise self.error
        return self.result


class _Stepped(Generic[A, B]):
    """One run: the first is interrupted before its ``step``-th line."""

    def __init__(
        self, first: Callable[[], A], second: Callable[[], B], filename: str, step: int, lock: Lock | None
    ) -> None:
        self._function = first
        self._filename = filename
        self._left = step
        self._line = 0
        self._first = _Worker(self._traced)
        self._second = _Worker(self._telling(second))
        self._may_go_on = threading.Event()
        if lock:
            lock.busy = self._wait_for_the_first

    def run(self) -> Run[A, B]:
        self._first.start()
        first = self._first.outcome()
        if not self._line:
            self._second.start()
        return Run(first, self._second.outcome(), self._line)

    def _traced(self) -> A:
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            return self._function()
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._on_line if frame.f_code.co_filename == self._filename else None

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._left:
            self._left -= 1
            if not self._left:
                self._line = frame.f_lineno
                self._second.start()
                assert self._may_go_on.wait(PATIENCE), "the second neither ends nor waits for the lock"
        return self._on_line

    def _telling(self, function: Callable[[], B]) -> Callable[[], B]:
        def told() -> B:
            try:
                return function()
            finally:
                self._may_go_on.set()

        return told

    def _wait_for_the_first(self) -> None:
        assert threading.current_thread() is self._second, "the first waits for a lock that the second has left held"
        self._may_go_on.set()
        self._first.join(PATIENCE)
