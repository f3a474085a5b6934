"""What the tasks of verbs are made of."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from doit.task import Task


def verb(name: str, action: Callable[..., object], doc: str, params: Any = (), **settings: Any) -> Task:
    """Return the task of a verb: nothing depends on it, and it is always due."""
    return Task(
        name,
        [action],
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
def patience(text: str) -> Iterator[None]:
    """Say what is done if it takes longer than people wait without being told: a line of standard error, alive on a terminal."""
    import threading

    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    status = console.status(text) if console.is_terminal else None
    timer = threading.Timer(_PATIENCE, status.start if status else lambda: console.print(f"{text} …", markup=False))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if status:
            status.stop()


_PATIENCE = 2.0  # seconds
