"""What doit's tasks are made of here: creators, actions, and what says that a task is not due."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from doit.action import BaseAction, PythonAction
from doit.exceptions import InvalidCommand, InvalidTask, TaskError, TaskFailed
from doit.task import DelayedLoader, Task, clean_targets

from mirror_tasks.errors import MirrorError, in_words
from mirror_tasks.files import write_whole
from mirror_tasks.tasks import database

Creator = Callable[[], Iterator[Task]]


def creator(
    make: Callable[[], Iterator[Task]], doc: str = "", executed: str | None = None, delayed: bool = False
) -> Creator:
    """Return a task creator as doit looks for them: a function, delayed or not.

    :param executed: the task that has to have ended, whichever way, before doit calls a delayed one.
    """

    def create() -> Iterator[Task]:
        database.guard()
        try:
            yield from make()
        except MirrorError as error:
            raise InvalidTask(str(error)) from None
        except OSError as error:
            raise InvalidTask(str(in_words(error))) from None

    create.__doc__ = doc
    if delayed or executed:
        create.doit_create_after = DelayedLoader(create, executed=executed)  # type: ignore[attr-defined]
    return create


class _Nothing(frozenset[str]):
    """No tasks that others are calculated from; doit goes on with a copy, to which it adds."""

    def copy(self) -> Any:
        """Called by doit."""
        return set[str]()


# What doit only looks at where it is empty: it gives each task one of its own, which take 800 bytes together.
_EMPTY: Mapping[str, object] = {
    **dict.fromkeys(("_actions", "clean_actions", "targets", "teardown", "uptodate", "wild_dep"), ()),
    "calc_dep": _Nothing(),
    "file_dep": frozenset(),
    "getargs": MappingProxyType({}),
}


class LeanTask(Task):  # type: ignore[misc]
    """A task of doit that takes a third as much memory; a large mirror has ten thousand.

    Python shares the names of up to 30 attributes among all objects of a class, and doit gives a task four more. Those
    named here, which no task of a mirror has a use for, are kept apart from the others. What is empty is one for all.
    """

    __slots__ = ("cfg_values", "creator_params", "pos_arg", "pos_arg_val", "watch")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for name, empty in _EMPTY.items():
            if not getattr(self, name):
                setattr(self, name, empty)

    def _extend_uptodate(self, uptodate: Iterable[object]) -> None:
        """Called by `doit strace`: what is one for all is not added to."""
        self.__dict__["uptodate"] = [*self.__dict__["uptodate"], *self._init_uptodate(uptodate)]

    def clean(self, outstream: TextIO, dryrun: bool) -> None:
        """Called by `doit clean`."""
        try:
            super().clean(outstream, dryrun)
        except OSError as error:
            if error.filename is None:  # of the output
                raise
            raise InvalidCommand(str(in_words(error, "deleting", self.name))) from None


class TaskMaker:
    """Makes the tasks of one mirror, and knows which it has made: a task exists once.

    :param dash: the prefix of all names, with its dash; empty for none.
    :param bugs: the folder where an error that nobody foresaw is reported.
    """

    def __init__(self, dash: str, bugs: Path) -> None:
        self.dash = dash
        self._bugs = bugs
        self._made: set[str] = set()

    def name(self, kind: str, of: str | None = None) -> str:
        """Return the name of a task."""
        prefixed = f"_{self.dash}{kind[1:]}" if kind.startswith("_") else f"{self.dash}{kind}"
        return prefixed if of is None else f"{prefixed}:{of}"

    def task(
        self, name: str, action: Callable[..., None], *arguments: Any, kind: str | None = None, **settings: Any
    ) -> Task:
        """Return a task that calls ``action(*arguments)``.

        :param kind: what the reporter takes it for; by default what its name says.
        """
        meta = _meta(kind or name.removeprefix(self.dash).partition(":")[0])
        return LeanTask(name, [self.attempt(action, *arguments)], meta=meta, io={"capture": False}, **settings)

    def attempt(self, action: Callable[..., None], *arguments: Any) -> Attempt:
        """Return an action of doit that calls ``action(*arguments)``."""
        return Attempt(action, *arguments, bugs=self._bugs)

    def group(self, kind: str, members: Iterable[str], doc: str = "") -> Task:
        """Return a task that does nothing, and waits for its members."""
        return LeanTask(self.name(kind), None, task_dep=list(members), has_subtask=True, doc=doc, meta=_meta("group"))

    def only_new(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Leave out those that were made before."""
        for task in tasks:
            if self.is_new(task.name):
                yield task

    def was_made(self, name: str) -> bool:
        """Say if a task of this name was made."""
        return name in self._made

    def is_new(self, name: str) -> bool:
        """Say if no task has this name yet; from now on, one has."""
        is_new = name not in self._made
        self._made.add(name)
        return is_new


def made_after(first: str, name: str, creator: Callable[[], Iterator[Task]], task_dep: Iterable[str] = ()) -> Task:
    """Return a task in the place of which doit puts what ``creator`` makes, when the task ``first`` has ended."""
    return LeanTask(name, None, task_dep=list(task_dep), loader=DelayedLoader(creator, executed=first))


@cache
def _meta(kind: str) -> dict[str, str]:
    """Return what a task has for the reporter, one for all of its kind."""
    return {"mirror": kind}


def option(name: str, default: object, text: str) -> dict[str, Any]:
    """Return the option ``--name`` of a verb, as doit wants it described."""
    return {"name": name, "long": name, "short": "", "type": type(default), "default": default, "help": text}


def attempt(action: Callable[..., None], *arguments: Any) -> TaskFailed | None:
    """Run an action; an error that is not a bug becomes doit's failure, in the words of the error."""
    try:
        action(*arguments)
    except MirrorError as error:
        return Failure(error)
    except OSError as error:
        return Failure(in_words(error))
    return None


class Failure(TaskFailed):  # type: ignore[misc]
    """A failure of doit that knows the error it comes from, so that equal ones can be told as one.

    :ivar reason: what is the same in errors that have one cause.
    """

    def __init__(self, error: MirrorError) -> None:
        super().__init__(str(error))
        self.reason = (type(error).__name__, re.sub(r" \(\d+ attempts\)", "", error.problem), error.advice)


def reported(error: Exception, folder: Path | None, what: str) -> str:
    """Write a report of an error that nobody foresaw, with the traceback; return what to tell the user instead of that.

    :param folder: where to; None where there is none.
    """
    about = f"mirror-tasks {_version()}, {platform.python_implementation()} {platform.python_version()}"
    text = f"{about}, {platform.platform()}\n{what}\n\n{''.join(traceback.format_exception(error))}"
    text = re.sub(r"//[^/@\s]+@", "//***@", text)  # a URL in the message of an error may have a password in it
    if folder is None:
        return f"a bug of mirror-tasks; please report it:\n{text}"
    path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', what).strip('-.')[:150]}.txt"
    try:
        write_whole(path, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return f"a bug of mirror-tasks; please report it:\n{text}"
    last = traceback.format_exception_only(error)[-1].strip().splitlines()[-1:] or [type(error).__name__]
    said = re.sub(r"//[^/@\s]+@", "//***@", last[0])[:300]
    return f"a bug of mirror-tasks, {said}. Please report it with {path}; all that does not need this goes on."


def _version() -> str:
    try:
        return metadata.version("mirror-tasks")
    except metadata.PackageNotFoundError:
        return "from a folder"


class Attempt(BaseAction):  # type: ignore[misc]
    """An action of doit: it calls a function with what it was given.

    An error that nobody foresaw fails this task and no other.

    :param bugs: the folder where such an error is reported.

    doit's own for functions looks at their signature at each call, which takes longer than most that is done here.
    """

    def __init__(self, action: Callable[..., None], *arguments: Any, bugs: Path) -> None:
        self._action = action
        self._bugs = bugs
        self._arguments = arguments
        self.task: Task | None = None
        self.result: object = None
        self.values: dict[str, Any] = {}
        self.out = self.err = None  # what doit shows of a failed action's output: there is none

    def execute(self, out: object = None, err: object = None) -> TaskFailed | TaskError | None:
        """Called by doit, in a worker thread."""
        try:
            return attempt(self._action, *self._arguments)
        except Exception as error:
            return TaskError(reported(error, self._bugs, self.task.name if self.task else "a task"))


class Unchanged:
    """An ``uptodate`` of doit: what a task was made from is what it was when it last ran, and what it made still stands.

    :param made_from: gives what the task is made from, when doit asks: `doit list` does not ask, and there may be thousands.
    :param stands: gives a digest of what stands where the task wrote, or None where that is not what the task made. It
        has to be the one that was kept with what the task was made from: another run, of which doit remembers nothing
        since it was killed, may have made other things there.
    """

    def __init__(self, made_from: Callable[[], bytes], stands: Callable[[], str | None] = lambda: "") -> None:
        self._made_from = made_from
        self._stands = stands

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of what the task is made from."""
        return hashlib.sha256(self._made_from()).hexdigest()

    def __call__(self, task: Task, values: Mapping[str, Any]) -> bool:
        """Called by doit, with what the task kept when it last ran."""
        task.value_savers.append(lambda: {"made_from": self.digest, "stands": self._stands()})
        return values.get("made_from") == self.digest and self.stands_as(values)

    def holds_for(self, name: str, targets: Iterable[str | Path]) -> bool:
        """Say if a task of this name with these targets is not due, so that a run can do without it."""
        if not all(map(os.path.exists, targets)):
            return False
        kept = database.kept_of(name)
        return kept.get("made_from") == self.digest and self.stands_as(kept)

    def stands_as(self, values: Mapping[str, Any]) -> bool:
        """Say if what the task made stands as it was kept."""
        stands = self._stands()
        return stands is not None and stands == values.get("stands")


class OfOneThing:
    """Tasks that are all made from one thing, such as a plan: as long as that stays the same, none is looked at by itself.

    One task is done when all the others are. It remembers of what they all were made then, and what each remembered: one of
    them may have been done by itself since, from another plan.

    :param last: the name of that task.
    :param members: the others, by name.
    :param thing: gives a digest of the one thing.
    :param leaves_out: the run can do without tasks that are not due.
    """

    def __init__(
        self, last: str, members: Mapping[str, Unchanged], thing: Callable[[], bytes], *, leaves_out: bool
    ) -> None:
        self._members = members
        self._thing = thing
        self._leaves_out = leaves_out
        self._kept = {name: database.kept_of(name) for name in members} if leaves_out else {}
        self._last = database.kept_of(last) if leaves_out else {}

    @cached_property
    def _is_same(self) -> bool:
        each = [kept.get("made_from") for kept in self._kept.values()]
        return (self._last.get("thing"), self._last.get("each")) == (self._digest, _digest_of(each))

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self._thing()).hexdigest()

    def holds_for(self, name: str, targets: Iterable[str | Path]) -> bool:
        """Say if a task of this name with these targets is not due, so that a run can do without it."""
        if not self._leaves_out or not all(map(os.path.exists, targets)):
            return False
        one, kept = self._members[name], self._kept[name]
        return (self._is_same or kept.get("made_from") == one.digest) and one.stands_as(kept)

    def remembered_by(self, task: Task) -> Task:
        """Let doit remember with the last task what is to be remembered of all."""
        task.value_savers.append(self._remembered)
        return task

    def _remembered(self) -> Mapping[str, str]:
        if self._leaves_out and self._is_same:
            return {name: self._last[name] for name in ("thing", "each")}
        return {"thing": self._digest, "each": _digest_of([one.digest for one in self._members.values()])}


def _digest_of(each: Iterable[str | None]) -> str:
    return hashlib.sha256(" ".join(map(str, each)).encode()).hexdigest()


class Cleaning(PythonAction):  # type: ignore[misc]
    """An action of `doit clean`: one that fails ends it. doit's own shows a traceback, is followed by the next, and ends well."""

    def execute(self, out: object = None, err: object = None) -> None:
        """Called by doit."""
        failure = super().execute(out, err)
        if failure is not None:
            raise failure.error if isinstance(failure, _Undeleted) else InvalidCommand(failure.get_msg().strip())


class _Undeleted(TaskFailed):  # type: ignore[misc]
    """What the system said against deleting something; told by the task, as where it deletes by itself."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def cleaning(before: Callable[[], None]) -> list[Cleaning]:
    """Return the ``clean`` of a task that deletes its targets, with something to be done before the first is deleted."""

    def clean(task: Task, dryrun: bool) -> TaskFailed | None:
        try:
            if not dryrun:
                before()
            clean_targets(task, dryrun)
        except OSError as error:
            return _Undeleted(error)
        return None

    return [Cleaning(clean)]
