"""The tasks that ask who published the files of a plan. Only the report needs them: nothing else pays for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.state.places import Places
from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.tasks.workshop import Workshop
from mirror_tasks.text import counted

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan, PlannedFile
    from mirror_tasks.work.provenance import Provenance


def provenance_tasks(plan: Plan | None, places: Places, workshop: Workshop, make: TaskMaker) -> Iterator[Task]:
    """Make a task for each file that offers a provenance object, and their group.

    None of them fails because an object can't be had: the report says so then, and is made all the same.
    """
    files = plan.published if plan else ()
    offering = [file for file in files if file.file.provenance]
    due = sum(not places.provenance_path(file.sha256).exists() for file in offering)
    tasks = [_task(file, workshop.tools.acquire.provenance, make) for file in offering]
    yield from tasks
    silent = len(files) - len(offering)
    doc = f"asks who published: {due} of {counted(len(offering), 'file')} pending; of {silent} more it is not said"
    yield make.group("provenance", [task.name for task in tasks], doc)


def _task(file: PlannedFile, provenance: Provenance, make: TaskMaker) -> Task:
    return make.task(
        make.name("provenance", file.filename),
        provenance.fetch,
        file,
        clean=True,
        targets=[provenance.path(file)],
        uptodate=[lambda: provenance.is_known(file)],
        subtask_of=make.name("provenance"),
        doc=f"{file.project} {file.version}",
    )
