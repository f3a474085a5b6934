"""How a run speaks to its user: progress, then what failed, why, and what that leaves incomplete.

It is a doit reporter: doit calls its methods by name, some of them from worker threads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from doit.globals import Globals

from mirror_tasks.errors import MirrorError, in_words
from mirror_tasks.tasks.progress import Display
from mirror_tasks.tasks.run import RUN
from mirror_tasks.tasks.tally import Tally

_FAILURE, _ERROR = 1, 2  # doit's exit statuses for tasks that failed, and for what is no failure of a task's own
_SHOWN = 5  # names of tasks that failed for one reason


class Reporter:
    """Reports the tasks of mirrors in one display, and those of other pipelines in a line each, as doit does.

    Tasks of a mirror carry ``meta={"mirror": kind}``.
    """

    desc = "one live display; plain lines where there is no terminal"

    def __init__(self, outstream: TextIO | None, options: Mapping[str, Any]) -> None:
        self._run = RUN
        self._run.has_reporter = True
        beside = Tally()  # what is told that is of no mirror
        self._tallies = [beside, *(mirror.tally for mirror in self._run.mirrors)]
        self._display = Display(outstream or sys.stdout, self._tallies)
        self._warnings = _Warnings(beside)
        self._failures: list[_Failed] = []
        self._unmet: list[str] = []
        self._ignored: list[str] = []
        self._tasks: Mapping[str, Any] = {}
        self._selected: Sequence[str] = ()
        self._errors: list[str] = []
        self._loud = True

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: list[str]) -> None:
        """Called before the first task and the first thread."""
        self._tasks, self._selected = tasks, selected_tasks
        logging.getLogger().addHandler(self._warnings)
        logging.captureWarnings(True)
        self._run.begin(tasks, selected_tasks)

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
        elif kind in ("ask", "pages", "project", "metadata", "download", "index"):
            self._display.update()
        elif kind == "verb":
            if (task.options or {}).get("format") == "json":  # for programs: standard output has nothing else
                self._display.console.file = sys.stderr
            self._display.stop()

    def add_success(self, task: Any) -> None:
        """Called when a task ended well."""
        self._count(task)

    def skip_uptodate(self, task: Any) -> None:
        """Called when a task is not due."""
        if _kind(task):
            self._count(task)
        elif not task.name.startswith("_") and self._loud:
            self._display.say(f"-- {task.title()}")

    def _count(self, task: Any) -> None:
        name, _, of = task.name.partition(":")
        for mirror in self._run.mirrors:
            if name in mirror.fetching:
                mirror.tally.count(_kind(task) or "", of)

    def skip_ignore(self, task: Any) -> None:
        """Called when the user told doit to ignore a task, or one that it needs."""
        if _kind(task) is None:
            if not task.name.startswith("_"):
                self._display.say(f"!! {task.title()}")
        elif Globals.dep_manager.status_is_ignore(task):
            self._ignored.append(task.name)
        elif not task.name.startswith("_"):
            self._unmet.append(task.name)

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
            for tally in self._tallies:
                tally.take_notes()
        self._display.stop()
        self._run.problems += self._unknown()
        for line in [*_grouped(self._failures), *self._what_is_ignored()]:
            self._display.say(line)
        self._flush()
        incomplete = [line for tally in self._tallies for line in tally.incomplete]
        errors = [f"ERROR {message}" for message in (*self._errors, *self._run.problems)]
        for line in (*incomplete, *errors, *self._outcome()):
            self._display.say(line)
        self._leave()
        if self._run.problems:  # doit does not know of them
            raise SystemExit(_ERROR)
        if self._ignored and not self._failures and not self._run.was_interrupted:
            raise SystemExit(_FAILURE)

    def _flush(self) -> None:
        """Have written what tasks printed, while it can be told that it could not be."""
        self._display.outlet.flush()
        if self._display.outlet.lost is not None:
            self._run.problems.append(str(in_words(self._display.outlet.lost, "writing", "the output")))

    def _unknown(self) -> Iterator[str]:
        """Yield what is told of names on the command line that turned out to be those of no task: doit takes them for done."""
        if self._failures or self._ignored or self._run.was_interrupted:  # then it may be that they are not known yet
            return
        for name in self._selected:
            kind = name.partition(":")[0]
            of = [mirror for mirror in self._run.mirrors if kind in mirror.changing]
            task = self._tasks.get(name)
            if of and task and _is_placeholder(task) and not any(mirror.has(name) for mirror in of):
                problem = f"expected a task that `doit list --all {kind}` shows, found none of this name"
                yield str(MirrorError("doing", name, problem, "Nothing was done for it."))

    def _outcome(self) -> list[str]:
        """Return the last lines, which say how the run ended. Where something failed, they call nothing whole."""
        outcomes = [line for tally in self._tallies for line in tally.outcomes]
        if self._run.was_interrupted:
            return ["Interrupted. What was finished is kept; run the same command again to go on."]
        if self._failures:
            told = [line.replace("whole and checked", "checked, though something failed") for line in outcomes]
            return [*told, self._what_is_incomplete()]
        return outcomes if self._loud else []

    def _leave(self) -> None:
        logging.captureWarnings(False)
        logging.getLogger().removeHandler(self._warnings)
        self._run.end()

    def _what_is_ignored(self) -> Iterator[str]:
        if not self._ignored:
            return
        names = sorted(self._ignored)
        them, shown = "it" if len(names) == 1 else "them", ", ".join(names[:_SHOWN]) + (" …" if names[_SHOWN:] else "")
        unmet = ", ".join(sorted(set(self._unmet))[:10])
        left = f"; not done because of it: {unmet}" if unmet else ""
        forget = f"doit forget {' '.join(names[:_SHOWN])}"
        yield f"IGNORED {shown}{left}\n  `doit ignore` said so. To have {them} done again: {forget}"

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
    """Yield what is told of tasks that failed: once for all that have one cause, such as an index that is down."""
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


def _is_placeholder(task: Any) -> bool:
    """Say if doit made a task for a name on the command line, and nobody put one in its place."""
    return ":" in task.name and task.subtask_of is None and not task.actions and not task.has_subtask


def _kind(task: Any) -> str | None:
    meta = task.meta or {}
    kind = meta.get("mirror")
    return str(kind) if kind else None
