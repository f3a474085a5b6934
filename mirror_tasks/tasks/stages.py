"""The stages of a run in which the graph grows, as doit knows them before anything runs; :mod:`.growth` tells how it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.bringing import Bringing
from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.tasks.workshop import Workshop

if TYPE_CHECKING:
    from mirror_tasks.tasks.growth import Growth


class Stages:
    """The stages of the tasks of one mirror.

    :param begin: called when the first task of the mirror runs.
    :ivar is_running: a task of the mirror runs. doit calls creators also for `list`, `info` and `clean`: nothing grows then.
    :ivar rests: the last plan is that of this run as well (:mod:`.last_plan`): nothing grows, and there is no closure.
    """

    def __init__(
        self, mirror: Mirror, workshop: Workshop, make: TaskMaker, bringing: Bringing, begin: Callable[[], None]
    ) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._bringing = bringing
        self._begin = begin
        self.is_running = False
        self.rests = False

    @cached_property
    def growth(self) -> Growth:
        """What grows, where something does."""
        # Only now: what makes plans is not needed where none is made.
        from mirror_tasks.tasks.growth import Growth

        return Growth(self._mirror, self._workshop.tools.acquire, self._make, self._bringing)

    @property
    def _grows(self) -> bool:
        return self.is_running and not self.rests

    def begin_stage(self) -> Iterator[Task]:
        """Make ``_begin``, the first task of a run."""
        yield self._make.task(self._make.name("_begin"), self._set_running, kind="group")

    def _set_running(self) -> None:
        self._begin()
        self.is_running = True

    def stop(self) -> None:
        """Let nothing grow: it is not known what is wanted."""
        self.is_running = False

    def rest(self) -> None:
        """Let nothing grow: it is known what is wanted."""
        self.rests = True

    def ahead_stage(self) -> Iterator[Task]:
        """Make ``_ahead``, which `mirror` needs and `plan` does not: files may be fetched before the plan is made."""
        yield self._make.task(self._make.name("_ahead"), self._set_mirroring, kind="group")

    def _set_mirroring(self) -> None:
        self._bringing.is_mirroring = True

    def closure_stage(self) -> Iterator[Task]:
        """Make ``_closure``, which waits for all that grows from the roots."""
        yield from self.growth.from_roots() if self._grows else [self._make.group("_closure", [])]

    def completion_stage(self) -> Iterator[Task]:
        """Make ``_complete``, which waits for what the roots need beyond the closure."""
        name = self._make.name("_complete")
        yield from self.growth.complete(name, 1) if self._grows else [self._make.group("_complete", [])]
