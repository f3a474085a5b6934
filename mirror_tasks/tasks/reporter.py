"""How a run speaks to its user: progress, then what failed, why, and what that leaves incomplete.

It is a doit reporter: doit calls its methods by name, some of them from worker threads.
"""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, ClassVar, NamedTuple, TextIO

from mirror_tasks.interruption import INTERRUPTED
from mirror_tasks.tasks.progress import Display, Tally
from mirror_tasks.work.processes import READING, RECEIVING

_ERROR = 2  # doit's exit status for what is no failure of a task's own
_SHOWN = 5  # names of tasks that failed for one reason


class Reporter:
    """Reports the tasks of mirrors in one display, and those of other pipelines in a line each, as doit does.

    Tasks of a mirror carry ``meta={"mirror": kind}``.

    :cvar tally: what the display shows.
    :cvar beginnings: called with all tasks and the names of those that are selected, before anything is done.
    :cvar is_running: there is one, which tells at the end what is in ``problems``.
    """

    desc = "one live display; plain lines where there is no terminal"
    tally = Tally()
    is_running = False
    problems: ClassVar[list[str]] = []
    beginnings: ClassVar[list[Callable[[Mapping[str, Any], list[str]], None]]] = []

    def __init__(self, outstream: TextIO, options: Mapping[str, Any]) -> None:
        self._display = Display(outstream, self.tally)
        self._failures: list[_Failed] = []
        self._warnings = _Warnings(self.tally)
        self._unmet: list[str] = []
        self._errors: list[str] = []
        self._loud = True
        self._interrupted = False
        Reporter.is_running = True

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: list[str]) -> None:
        """Called before the first task and the first thread: from here on Ctrl-C and SIGTERM end the run, its state kept."""
        logging.getLogger().addHandler(self._warnings)
        logging.captureWarnings(True)
        for begin in self.beginnings:
            begin(tasks, selected_tasks)
        if any(_fetches(tasks.get(name)) for name in selected_tasks):
            for processes in (RECEIVING, READING):
                processes.start()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # SystemExit passes through doit, which writes its state on the way; its worker threads are daemons and end with it.
        self._interrupted = True
        raise SystemExit(INTERRUPTED)

    def get_status(self, task: Any) -> None:
        """Called when doit looks if a task is due."""

    def execute_task(self, task: Any) -> None:
        """Called, in a worker thread, when a task begins."""
        self._loud = task.verbosity != 0
        kind = _kind(task)
        if not self._loud:
            return
        if kind is None and task.actions and not task.name.startswith("_"):
            self._display.say(f".  {task.title()}")
        elif kind in ("project", "metadata", "download", "index"):
            self._display.update()
        elif kind == "verb":
            self._display.stop()

    def add_success(self, task: Any) -> None:
        """Called when a task ended well."""
        kind = _kind(task)
        if kind:
            self.tally.count(kind, task.name.partition(":")[2])

    def skip_uptodate(self, task: Any) -> None:
        """Called when a task is not due."""
        kind = _kind(task)
        if kind:
            self.tally.count(kind, task.name.partition(":")[2])
        elif not task.name.startswith("_") and self._loud:
            self._display.say(f"-- {task.title()}")

    def skip_ignore(self, task: Any) -> None:
        """Called when the user told doit to ignore a task."""
        self._display.say(f"!! {task.title()}")

    def add_failure(self, task: Any, fail: Any) -> None:
        """Called when a task failed, or was not run because one that it needs failed."""
        if fail.get_name() == "UnmetDependency":
            if not task.name.startswith("_"):
                self._unmet.append(task.name)
            return
        message = fail.get_msg().strip()
        self._failures.append(_Failed(task.name.lstrip("_"), message, getattr(fail, "reason", (message,))))

    def cleanup_error(self, exception: Any) -> None:
        """Called when a teardown failed."""
        self._errors.append(exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        """Called when doit itself can't go on."""
        self._errors.append(msg)

    def teardown_task(self, task: Any) -> None:
        """Called when a teardown begins."""

    def complete_run(self) -> None:
        """Called at the end, whatever happened: the last lines say what failed, why, and what it leaves incomplete."""
        if not self._loud:
            self.tally.take_notes()
        self._display.stop()
        for line in _grouped(self._failures):
            self._display.say(line)
        for line in self.tally.incomplete:
            self._display.say(line)
        for message in [*self._errors, *self.problems]:
            self._display.say(f"ERROR {message}")
        for line in self._outcome():
            self._display.say(line)
        self._leave()
        if self.problems:  # doit does not know of them
            raise SystemExit(_ERROR)

    def _outcome(self) -> list[str]:
        """Return the last lines, which say what came of it: nothing is called whole below something that failed."""
        if self._interrupted:
            return ["Interrupted. What was finished is kept; run the same command again to go on."]
        if self._failures:
            told = [
                line.replace("whole and checked", "checked, though something failed") for line in self.tally.outcomes
            ]
            return [*told, self._what_is_incomplete()]
        return list(self.tally.outcomes) if self._loud else []

    def _leave(self) -> None:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._warnings)
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) == self._interrupt:  # nothing is left to be ended well
                signal.signal(number, signal.SIG_DFL)
        gc.freeze()  # the interpreter looks for garbage once more when it ends, a quarter of a second for nothing

    def _what_is_incomplete(self) -> str:
        count = len(self._failures)
        what = "1 task failed" if count == 1 else f"{count} tasks failed"
        shown = ", ".join(sorted(self._unmet)[:10]) + (" …" if len(self._unmet) > 10 else "")
        left = f"; not done because of it: {shown}" if self._unmet else ""
        return f"{what}{left}. Everything else is done and kept; run again to retry only what is missing."


class _Failed(NamedTuple):
    """A task that failed.

    :param reason: what is the same in all that have one cause.
    """

    name: str
    message: str
    reason: tuple[str, ...]


def _grouped(failures: Iterable[_Failed]) -> Iterator[str]:
    """Return what is told of tasks that failed: those that have one cause, as an index that is down, together."""
    by_reason: dict[tuple[str, ...], list[_Failed]] = {}
    for one in sorted(failures):
        by_reason.setdefault(one.reason, []).append(one)
    for first, *others in by_reason.values():
        if others:
            names = ", ".join(one.name for one in (first, *others)[:_SHOWN]) + (" …" if len(others) >= _SHOWN else "")
            yield f"FAILED {len(others) + 1} tasks, for one reason: {names}\n  the first: {first.message}"
        else:
            yield f"FAILED {first.name}\n  {first.message}"


class _Warnings(logging.Handler):
    """Takes what is logged as a warning, by this project or a library, as lines for the user, each once.

    Written to the terminal as they come, they would share a line with the live display.
    """

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Called by :mod:`logging`, from any thread."""
        text = record.getMessage()
        if text not in self._told:
            self._told.add(text)
            self._tally.note(f"warning: {text}")


def _fetches(task: Any) -> bool:
    """Say if a task may fetch something: those of a mirror that stand alone, as `serve` does, don't."""
    return task is None or _kind(task) != "verb" or bool(task.task_dep)


def _kind(task: Any) -> str | None:
    meta = task.meta or {}
    kind = meta.get("mirror")
    return str(kind) if kind else None
