"""The task that reads the dump of advisories which the policy names, before anything is judged by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.text import counted

if TYPE_CHECKING:
    from mirror_tasks.state.known_advisories import KnownAdvisories


def task(make: TaskMaker, stages: Stages, known: KnownAdvisories) -> Task:
    """Return the task; where it fails nothing grows: a mirror that is judged by nothing is not what was asked for."""

    def update() -> None:
        try:
            known.update()
        except BaseException:
            stages.stop()
            raise

    return make.task(
        make.name("advisories"),
        update,
        targets=[known.compiled],
        uptodate=[lambda: known.is_current()],
        clean=True,
        doc=_doc(known),
    )


def _doc(known: KnownAdvisories) -> str:
    shown, found = known.rule.shown if known.rule else "", known.known
    if found is None:
        return f"reads {shown}, which was not read yet"
    newest = f", the newest of {found.newest[:10]}" if found.newest else ""
    return f"reads {shown}: {counted(found.records, 'record')} of this ecosystem{newest}"
