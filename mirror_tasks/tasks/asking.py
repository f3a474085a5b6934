"""The tasks that ask build backends what projects require, before anything grows from that.

What a backend says may name a further project on this disk, of which again only the backend says what it requires. So
``mirror.yaml`` is read once more when all were asked, and who is new is asked then, until nobody is::

    _begin
    ask                                     those that mirror.yaml leads to
     ├─ ask:app/pyproject.toml
     └─ ask:tool/pyproject.toml             requires lib, which is a folder beside it
    _asked                                  mirror.yaml is read again
     ├─ ask:lib/pyproject.toml
     └─ _asked:2                            and again: nobody is new
    _closure                                begins with what is required now

Where one can't be asked, nothing grows: a mirror of the rest would lack what nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from doit.task import Task

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import DynamicProject
from mirror_tasks.errors import MirrorError
from mirror_tasks.index.client import Upstream
from mirror_tasks.publish.manifest import check_may_publish
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import TaskMaker, made_after
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.text import counted
from mirror_tasks.work.project_backends import ProjectBackends, is_current


class Asking:
    """The tasks of one mirror that ask build backends."""

    def __init__(self, mirror: Mirror, upstream: Upstream, make: TaskMaker, stages: Stages) -> None:
        self._mirror = mirror
        self._upstream = upstream
        self._backends = ProjectBackends(mirror, upstream)
        self._make = make
        self._stages = stages
        self._failed: list[str] = []
        self._heard = bool(mirror.config.unknown)  # there is something that mirror.yaml was read without

    def stage(self) -> Iterator[Task]:
        """what build backends say that projects require"""
        tasks = self._tasks()
        yield from tasks
        unknown = ", ".join(one.shown for one in self._mirror.config.unknown)
        doc = f"asks the build backends of {counted(len(tasks), 'project')} what is required"
        doc = f"{doc}; not known yet: {unknown}" if unknown else doc
        yield self._make.group("ask", [task.name for task in tasks], doc)

    def asked_stage(self) -> Iterator[Task]:
        """Make ``_asked``, after which it is known what all projects require, or nothing grows."""
        yield from self._round(self._make.name("_asked"), 1)

    def _round(self, name: str, number: int) -> Iterator[Task]:
        problem = self._read_again() if self._stages.is_running and not self._failed else None
        if problem or self._failed:
            self._stages.stop()
        if problem:
            yield self._make.task(name, partial(_raise, problem), kind="group")
            return
        further = self._tasks() if self._stages.is_running else []
        if not further:
            yield Task(name, None, task_dep=list(self._failed), has_subtask=True)
            return
        arrived, after = self._make.name("_answered", str(number)), self._make.name("_asked", str(number + 1))
        yield from further
        yield Task(arrived, None, task_dep=[task.name for task in further], has_subtask=True)
        yield made_after(arrived, after, lambda: self._round(after, number + 1))
        yield Task(name, None, task_dep=[after], has_subtask=True)

    def _read_again(self) -> MirrorError | None:
        """Take what the answers change; return what is wrong with it."""
        if not self._heard:
            return None
        before, self._heard = self._mirror.config, False
        try:
            self._mirror.learn(load(before.path, were_asked=True))
            self._upstream.bind(self._mirror.config.indexes)
            if before.unknown and not self._mirror.config.unknown:
                check_may_publish(self._mirror)
        except MirrorError as error:
            return error
        return None

    def _tasks(self) -> list[Task]:
        """Return the tasks of the projects that have none yet."""
        return list(self._make.only_new(map(self._task, self._mirror.config.dynamic)))

    def _task(self, project: DynamicProject) -> Task:
        name = self._make.name("ask", project.shown.replace("=", ":"))
        return self._make.task(
            name,
            self._ask,
            name,
            project,
            targets=[project.record],
            uptodate=[partial(self._is_current, project)],
            clean=True,
            subtask_of=self._make.name("ask"),
            doc=f"says {', '.join(project.says)}",
        )

    def _is_current(self, project: DynamicProject, task: Task, values: Mapping[str, Any]) -> bool:
        current = is_current(project, self._mirror.config)
        if not current and self._stages.is_running:
            self._backends.announce(project)  # now: what is told in its action is shown only when that has ended
        return current

    def _ask(self, name: str, project: DynamicProject) -> None:
        try:
            self._backends.ask(project)
        except BaseException:
            self._failed.append(name)
            raise
        self._heard = True


def _raise(error: Exception) -> None:
    raise error
