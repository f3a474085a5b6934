"""The plan of a run, and which of the tasks that follow from it the run can do without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mirror_tasks.files import to_json
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import OfOneThing, Unchanged
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.workshop import Workshop

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan


class PlanOfRun:
    """The plan of one mirror's run.

    :param does_all_again: the user wants all to be made anew.
    """

    def __init__(self, mirror: Mirror, workshop: Workshop, stages: Stages, *, does_all_again: bool) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._stages = stages
        self._does_all_again = does_all_again
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan | None:
        """The plan of this run; before it is made, that of the last one."""
        if self._plan is None:
            self._plan = self.last
        return self._plan

    @property
    def made(self) -> Plan:
        """The plan, for tasks that run after it was made."""
        assert self.plan is not None, "_plan went before"
        return self.plan

    @cached_property
    def last(self) -> Plan | None:
        """The plan of the last run."""
        return self._mirror.plans.last()

    def take(self, plan: Plan) -> None:
        """Take the plan that this run has made."""
        self._plan = plan

    @cached_property
    def made_by(self) -> str:
        """A digest of this program."""
        return self._workshop.tools.publisher.made_by()

    @cached_property
    def written_by(self) -> bytes:
        """What pages were made by, beside the plan: another program makes other pages, and other requirements too."""
        config = self._mirror.config
        settings = [config.ask_backends, [root.name for root in config.roots], config.report]
        return self.made_by.encode() + to_json(settings)

    def made_from(self) -> bytes:
        """Return what all that follows from the plan is made from."""
        return self.written_by + (self.plan.digest.encode() if self.plan else b"")

    # What a run can do without

    def has(self, name: str) -> bool:
        """Say if what a task is of belongs to the plan, so that there is such a task; ``name`` has no prefix."""
        kind, _, of = name.partition(":")
        if self.plan is None:
            return False
        if kind == "release":
            return any(one.name == of for one in self.plan.releases)
        if kind == "download":
            return any(one.filename == of for one in self.plan.published)
        return kind == "index" and of in self.plan.published_by_project

    @property
    def _leaves_out(self) -> bool:
        return self._stages.is_running and not self._does_all_again

    def can_be_left_out(self, name: str, targets: Iterable[Path | str], unchanged: Unchanged) -> bool:
        """Say if a run can do without a task: what it makes stands, and is remembered. `doit list` shows all, `doit -a` does all.

        In a run with nothing to do a task for each file, page and release, with its part of doit's graph, took most of the
        time and memory.
        """
        return self._leaves_out and unchanged.holds_for(name, targets)

    def together(self, last: str, members: Mapping[str, Unchanged]) -> OfOneThing:
        """Return what is remembered of tasks that are all made from the plan.

        :param last: the name of the task that is done when all of them are.
        """
        return OfOneThing(last, members, self.made_from, leaves_out=self._leaves_out)
