"""What the tasks of verbs are made of."""

from __future__ import annotations

import functools
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskError
from doit.task import Task

from mirror_tasks.tasks.console import escaped, new_console
from mirror_tasks.tasks.parts import LeanTask, reported

if TYPE_CHECKING:
    from rich.console import Console


def verb(
    name: str, action: Callable[..., object], doc: str, params: Any = (), bugs: Path | None = None, **settings: Any
) -> Task:
    """Return the task of a verb: nothing depends on it, and it is always due.

    :param bugs: the folder where an error that nobody foresaw is reported.
    """

    @functools.wraps(action)  # doit looks at what it takes
    def done(*arguments: Any, **options: Any) -> object:
        try:
            return action(*arguments, **options)
        except Exception as error:
            return TaskError(reported(error, bugs, name))

    return LeanTask(
        name,
        [done],
        params=list(params),
        doc=doc,
        verbosity=2,
        io={"capture": False},
        meta={"mirror": "verb"},
        **settings,
    )


def words_with_a_sign() -> list[str]:
    """Return the words of the command line such as ``numpy==2.1.0``: doit takes them for variables, and hands them to no task."""
    return [word for word in sys.argv[1:] if re.match(r"[A-Za-z0-9][A-Za-z0-9._\[\],-]*\s*[=<>~!]=", word)]


def named_before(name: str, others: Iterable[str]) -> list[str]:
    """Return those of some tasks that the command line names before a verb, which has to wait for them then.

    A verb looks at what is there, and depends on nothing; but `doit mirror prove bundle` means one after the other.
    """
    words = sys.argv[1:]
    return [other for other in others if name in words and other in words[: words.index(name)]]


def doit_command() -> str:
    """Return the command of doit that is under way, ``list`` or another; empty where nothing but tasks is named."""
    return next(iter(sys.argv[1:]), "")


def does_all_again() -> bool:
    """Say if all tasks of the run are to be done, also what is not due: ``doit -a``."""
    # What is taken for it and is not costs the time of making tasks, and nothing else.
    return any(re.fullmatch("-[A-Za-z0-9]*a|--al[a-z-]*", word) for word in sys.argv[1:])


@contextmanager
def patience(text: str) -> Iterator[Callable[[str], None]]:
    """Say what is done if it takes longer than people wait without being told: a line of standard error, alive on a terminal.

    :return: is called with what is done now; where there is no terminal it is told every few seconds at most.
    """
    console = new_console(stderr=True, soft_wrap=True)
    teller: _Alive | _Plain = _Alive(console, text) if console.is_terminal else _Plain(console, text)
    timer = threading.Timer(_PATIENCE, teller.begin)
    timer.daemon = True
    timer.start()
    try:
        yield teller.now
    finally:
        timer.cancel()
        timer.join()
        teller.end()


class _Alive:
    """Tells on a terminal."""

    def __init__(self, console: Console, text: str) -> None:
        self._status = console.status(escaped(text))
        self.begin, self.end = self._status.start, self._status.stop

    def now(self, text: str) -> None:
        self._status.update(escaped(text))


class _Plain:
    """Tells in lines."""

    def __init__(self, console: Console, text: str) -> None:
        self._console, self._text = console, text
        self._told: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._console.print(f"{self._text} …", markup=False)

    def now(self, text: str) -> None:
        with self._lock:
            self._text = text
            if self._told is not None and time.monotonic() - self._told >= _LINE_EVERY:
                self._tell()

    def end(self) -> None:
        """Leave what was told."""


_PATIENCE = 2.0  # seconds
_LINE_EVERY = 10.0  # seconds, between two lines
