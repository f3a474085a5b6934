"""How a run speaks to its user: progress, then what failed, why, and what that leaves incomplete.

It is a doit reporter: doit calls its methods by name, some of them from worker threads.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, ClassVar, TextIO

from mirror_tasks.processes import READING, RECEIVING
from mirror_tasks.progress import Display, Tally

_INTERRUPTED = 130  # what a shell expects of a command that Ctrl-C ended


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
        self._failures: list[tuple[str, str]] = []
        self._unmet: list[str] = []
        self._errors: list[str] = []
        self._loud = True
        self._interrupted = False
        Reporter.is_running = True

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: list[str]) -> None:
        """Called before the first task and the first thread: from here on Ctrl-C and SIGTERM end the run, its state kept."""
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
        raise SystemExit(_INTERRUPTED)

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
        self._failures.append((task.name, fail.get_msg().strip()))

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
        for name, message in sorted(self._failures):
            self._display.say(f"FAILED {name}\n  {message}")
        for line in self.tally.incomplete:
            self._display.say(line)
        for message in [*self._errors, *self.problems]:
            self._display.say(f"ERROR {message}")
        if self._interrupted:
            self._display.say("Interrupted. What was finished is kept; run the same command again to go on.")
        elif self._failures:
            self._display.say(self._what_is_incomplete())
        self._leave()

    def _leave(self) -> None:
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


def _fetches(task: Any) -> bool:
    """Say if a task may fetch something: those of a mirror that stand alone, as `serve` does, don't."""
    return task is None or _kind(task) != "verb" or bool(task.task_dep)


def _kind(task: Any) -> str | None:
    meta = task.meta or {}
    kind = meta.get("mirror")
    return str(kind) if kind else None
