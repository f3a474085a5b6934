"""How the graph grows while it runs: a page or metadata that arrives says what is wanted next.

A closure is not known before it is walked. So each task that brings something is followed by a task ``_grow:<task>``.
doit calls the creator of that one when the first has ended, whichever way; it tells the closure what arrived, and makes
the tasks for what the closure wants next, each with a task ``_grow`` of its own. For ``mirror.yaml`` with the one
requirement ``flask``, where flask 3.0 requires jinja2 and click, and jinja2 3.1 requires markupsafe, this is the tree::

    _begin                                  from here on something runs; `doit list` stops before it
    _look, _pages                           something has changed since the last plan (else: :mod:`.last_plan`)
    _closure                                wants: the page of flask
     ├─ project:flask                       fetches the page
     └─ _grow:project:flask                 wants: the metadata of flask 3.0, which is the release chosen
         ├─ metadata:flask-3.0.whl          reads it
         └─ _grow:metadata:flask-3.0.whl    wants: the pages of jinja2 and click
             ├─ project:jinja2
             ├─ _grow:project:jinja2
             │   ├─ metadata:jinja2-3.1.whl
             │   └─ _grow:metadata:jinja2-3.1.whl
             │       ├─ project:markupsafe
             │       └─ _grow:project:markupsafe  …
             ├─ project:click
             └─ _grow:project:click  …
    _complete                               every root has a solution in that: nothing is wanted
    _plan:write                             writes plan.json

A task is made by the first who wants it. If click required flask, the page of flask would have its task already, and
nothing would grow there: it is a tree, so cycles among packages make no cycle among tasks. Each ``_grow`` waits for those
below it, so ``_closure`` ends when the whole tree has. Where a root has no solution, ``_complete`` wants more: that grows
likewise, and ``_completed:2`` asks once more when it is there, until nothing is wanted.

doit fails what depends on a task that failed. Nothing here depends on a task that brings something: a page that can't be
had fails, and what it would have wanted is told as missing. What an earlier run read of metadata needs no task: the closure
is told it when it wants it, and what it wants then takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from doit.task import Task
from packaging.utils import NormalizedName

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.index.file_names import is_wheel, version_of
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.completion import Completion
from mirror_tasks.resolve.outcome import Failed, Wants
from mirror_tasks.resolve.selection import candidate
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.bringing import Bringing, NotBrought
from mirror_tasks.tasks.parts import LeanTask, TaskMaker, made_after
from mirror_tasks.work.acquire import Acquirer


class Growth:
    """The growth of one run: what it has brought says which tasks it needs next."""

    def __init__(self, mirror: Mirror, acquire: Acquirer, make: TaskMaker, bringing: Bringing) -> None:
        self._mirror = mirror
        self._acquire = acquire
        self._make = make
        self._bringing = bringing
        self._bugs = 0

    @cached_property
    def closure(self) -> Closure:
        """What the roots need; begun when the roots are known."""
        config = self._mirror.config
        return Closure(config.environments, config.roots, self._mirror.rules, config.indexes)

    @cached_property
    def completion(self) -> Completion:
        """What solves every root, and completes the closure where one has no solution; begun when that is whole."""
        known = self._mirror.records.known_solutions()
        return Completion(self.closure, self._mirror.config.roots, self._mirror.rules, known)

    @property
    def is_certain(self) -> bool:
        """Whether all that was wanted arrived, each search ended, and no error was met that nobody foresaw."""
        arrived = (*self.closure.projects.values(), *self.closure.metadata.values())
        ended = not self._bugs and not self.completion.met_a_limit
        return ended and not any(isinstance(one, Failed) for one in arrived)

    def let_go(self) -> None:
        """Let go of all that was needed to make the plan: pages, metadata and solutions of thousands of projects."""
        del self.closure, self.completion
        candidate.cache_clear()  # each holds the project that it is of

    # What the stages are made of

    def from_roots(self) -> Iterator[Task]:
        """Make ``_closure``, and all that it waits for."""
        children = self._children(self.closure.start)
        yield from children
        yield self._make.group("_closure", _hidden(children))

    def complete(self, name: str, number: int) -> Iterator[Task]:
        """Make one round of the completion: what it wants grows, and when that is there the next round is made."""
        wants = self._wanted(lambda: self.completion.step())
        bugs = self._tasks_of_bugs()
        yield from bugs
        if not wants:
            self._fetch_ahead(wants)
            yield LeanTask(name, None, task_dep=_hidden(bugs), has_subtask=True)
            return
        children = list(self._grow(wants))
        arrived, after = self._make.name("_arrived", str(number)), self._make.name("_completed", str(number + 1))
        yield from children
        yield LeanTask(arrived, None, task_dep=_hidden(children), has_subtask=True)
        yield made_after(arrived, after, lambda: self.complete(after, number + 1))
        yield LeanTask(name, None, task_dep=[after, *_hidden(bugs)], has_subtask=True)

    # One step of the growth

    def _children(self, follow: Callable[[], Wants]) -> list[Task]:
        """Return the tasks for what is wanted next, and those for errors on the way."""
        children = list(self._grow(self._wanted(follow)))
        return [*children, *self._tasks_of_bugs()]

    def _grow(self, wants: Wants) -> Iterator[Task]:
        """Make the tasks that bring what the closure wants, each with the growth that follows it."""
        wants = self._beyond_known(wants)
        self._fetch_ahead(wants)
        for name in wants.projects:
            yield from self._with_growth(self._bringing.project(name), partial(self._project_arrived, name))
        for project, file in wants.files:
            is_likely = self._bringing.is_mirroring and file.filename in wants.likely
            task = self._bringing.metadata(project, file, is_likely=is_likely)
            yield from self._with_growth(task, partial(self._metadata_arrived, project, file))

    def _beyond_known(self, wants: Wants) -> Wants:
        """Tell the closure the metadata that it wants and that is known; return what has to be brought, also of what follows.

        With nothing changed all is known, and a task for each, with its growth, took a third of a run.
        """
        todo, to_bring = deque(wants.files), []
        wants = replace(wants, files=())
        while todo:
            project, file = todo.popleft()
            known = None if self._acquire.advisories.are_asked_for else self._acquire.metadata.known(file)
            if known is None:
                to_bring.append((project, file))
                continue
            self._bringing.arrived[file.filename] = known
            more = self._wanted(partial(self._metadata_arrived, project, file))
            todo += more.files
            wants = wants.and_also(replace(more, files=()))
        return replace(wants, files=tuple(to_bring))

    def _fetch_ahead(self, wants: Wants) -> None:
        if self._bringing.is_mirroring:
            for project, file in wants.chosen:
                self._acquire.downloads.fetch_ahead(project, file)

    def _with_growth(self, task: Task, follow: Callable[[], Wants]) -> Iterator[Task]:
        """Make a task, unless there is one of its name, and after it the tasks for what it brings to be wanted."""
        yield from self._make.only_new([task])

        def creator() -> Iterator[Task]:
            children = self._children(follow)
            yield from children
            yield self._make.group("_grow:" + task.name, _hidden(children))

        yield made_after(task.name, self._make.name("_grow", task.name), creator, task_dep=[task.name])

    # An error that nobody foresaw

    def _wanted(self, follow: Callable[[], Wants]) -> Wants:
        """Return what is wanted next; doit ends the run at an error of a creator, so it becomes a task that fails."""
        try:
            return follow()
        except Exception as error:
            self.closure.bugs.append(("what is wanted next", error))
            return Wants()

    def _tasks_of_bugs(self) -> list[Task]:
        """Make a task that fails of each such error: it is told, and the exit status says that not all is done."""
        bugs, self.closure.bugs = self.closure.bugs, []
        tasks = []
        for subject, error in bugs:
            self._bugs += 1
            name = self._make.name("_bug", f"{self._bugs} {subject}".replace("=", ":"))
            tasks.append(self._make.task(name, partial(_raise, error), kind="group"))
        return tasks

    # What arrived

    def _project_arrived(self, name: NormalizedName) -> Wants:
        return self.closure.project_arrived(name, self._arrived(name, "its page was not fetched"))

    def _metadata_arrived(self, project: NormalizedName, file: File) -> Wants:
        if "sha256" not in file.hashes:
            self.closure.hashes_arrived(project, self._acquire.fingerprints.known)
        self._recall_surprises(project, file)
        arrived = self._arrived(file.filename, "its metadata was not read")
        return self.closure.metadata_arrived(project, file.filename, arrived)

    def _arrived(self, of: str, otherwise: str) -> Any:
        """Return what a task has brought, or why there is nothing.

        :param otherwise: why, where no task said.
        """
        arrived = self._bringing.arrived.pop(of, Failed(otherwise))
        return Failed(str(arrived)) if isinstance(arrived, NotBrought) else arrived

    def _recall_surprises(self, name: NormalizedName, file: File) -> None:
        """Tell the closure, before it takes a release, what other wheels of it say that an earlier run did not expect."""
        project = self.closure.projects[name]
        assert isinstance(project, Project), "only a project with a page has files whose metadata is wanted"
        others = [
            one
            for one in project.files(version_of(file.filename, name))
            if is_wheel(one.filename)
            and one.filename != file.filename
            and not isinstance(self.closure.metadata.get(one.filename), CoreMetadata)
        ]
        for filename, found in self._acquire.metadata.known_surprises(others):
            self.closure.told(name, filename, found)


def _hidden(tasks: Iterable[Task]) -> list[str]:
    """Return the names of the growth among tasks; what fetches or reads may fail, and nothing depends on it."""
    return [task.name for task in tasks if task.name.startswith("_")]


def _raise(error: Exception) -> None:
    raise error
