"""What is known from the last run, as tasks: for `doit list`, `info`, `forget` and `clean`, which run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from doit.task import Task
from packaging.utils import canonicalize_name

from mirror_tasks.config.model import Root
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.bringing import Bringing
from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.text import counted

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan, PlannedFile


class Known:
    """The pages and metadata of the last plan. What the growth has made already is left out: a task exists once."""

    def __init__(self, mirror: Mirror, make: TaskMaker, bringing: Bringing) -> None:
        self._mirror = mirror
        self._make = make
        self._bringing = bringing

    def projects(self, plan: Plan | None) -> Iterator[Task]:
        """Make the tasks of the pages of all projects that were planned or are required."""
        required = {name for root in self._mirror.config.roots for name in _projects_of(root)}
        tasks = [self._project(name) for name in sorted(required | set(plan.by_project if plan else ()))]
        yield from self._make.only_new(tasks)
        doc = f"asks for the pages of {counted(len(tasks), 'project')}"
        yield self._make.group("project", [task.name for task in tasks], doc)

    def _project(self, name: str) -> Task:
        is_fresh = self._mirror.page_age(name) < self._mirror.config.refresh
        return self._bringing.project(name, uptodate=[is_fresh], subtask_of=self._make.name("project"))

    def metadata(self, plan: Plan | None) -> Iterator[Task]:
        """Make the tasks of the metadata that the plan was made from."""
        tasks = [self._metadata(file) for file in self._files(plan)] if plan else []
        yield from self._make.only_new(tasks)
        doc = f"reads the core metadata of {counted(len(tasks), 'file')}"
        yield self._make.group("metadata", [task.name for task in tasks], doc)

    def _files(self, plan: Plan) -> list[PlannedFile]:
        # What only a lock has is not read: what it requires stands in the lock.
        read = [one for one in plan.releases if any(required.by.kind != "lock" for required in one.required)]
        names = {filename for release in read for filename in release.installs.values()}
        if self._mirror.config.build_requirements:
            names |= {file.filename for file in plan.files if not is_wheel(file.filename)}
        return [plan.by_filename[filename] for filename in sorted(names) if filename in plan.by_filename]

    def _metadata(self, file: PlannedFile) -> Task:
        is_known = self._mirror.records.metadata(file.filename, file.sha256) is not None
        group = self._make.name("metadata")
        return self._bringing.metadata(file.project, file.file, uptodate=[is_known], subtask_of=group)


def _projects_of(root: Root) -> set[str]:
    """Return the names of the projects that a root names."""
    return {canonicalize_name(one.requirement.name) for one in root.requirements}
