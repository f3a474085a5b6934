"""The tasks that make the plan of a run, show it, and write a record of each release in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.errors import ResolutionError, StorageError
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.plans import release_record
from mirror_tasks.tasks.as_of import AsOf
from mirror_tasks.tasks.last_plan import LastPlan
from mirror_tasks.tasks.parts import TaskMaker, Unchanged
from mirror_tasks.tasks.plan_of_run import PlanOfRun
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.workshop import Workshop
from mirror_tasks.text import counted

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan, PlannedRelease


class Planning:
    """The tasks of one mirror that have to do with its plan.

    :ivar refused_now: the projects of which nothing is permitted any more, once the plan is made.
    """

    def __init__(
        self,
        mirror: Mirror,
        workshop: Workshop,
        make: TaskMaker,
        stages: Stages,
        tally: Tally,
        of_run: PlanOfRun,
        as_of: AsOf,
        last: LastPlan,
    ) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._stages = stages
        self._tally = tally
        self._of_run = of_run
        self._as_of = as_of
        self._last = last
        self.refused_now: Sequence[str] = ()

    def stage(self) -> Iterator[Task]:
        """Make ``_plan``, which makes the plan of what has grown."""
        # Without what backends say there is nothing to plan.
        known = [self._make.name("_asked")] if self._mirror.config.dynamic else []
        known += [self._make.name("advisories")] if self._mirror.has_dump else []
        work = self._make.task(self._make.name("_plan", "write"), self._write, kind="plan", task_dep=known)
        yield work
        yield self._last.remembered_by(self._make.group("_plan", [work.name]))

    def _write(self) -> None:
        if not self._stages.is_running:
            raise ResolutionError(
                "resolving", str(self._mirror.config.path), "the run could not begin", "See what failed before."
            )
        plan = self._last.plan or self._made()
        self._of_run.take(plan)
        teller = self._workshop.tools.teller
        for line in teller.notes(plan):
            self._tally.note(line)
        for line in teller.incomplete(plan):
            self._tally.lack(line)

    def _made(self) -> Plan:
        """Make the plan of what has grown, and write it."""
        from mirror_tasks.tasks.plan_making import made_plan  # only now: where nothing has changed, none is made

        growth = self._stages.growth
        plan, self.refused_now = made_plan(self._mirror, growth, self._tally.note)
        self._last.keep(plan, growth)
        growth.let_go()
        return plan

    # The verb

    def verb(self) -> Iterator[Task]:
        """Make `plan`, which shows the plan."""
        task = self._make.task(
            self._make.name("plan"),
            self._show,
            task_dep=[self._make.name("_plan")],
            params=self._as_of.params,
            targets=[self._mirror.places.plan],
            verbosity=2,
            kind="verb",
            clean=True,
            doc="resolves, and prints what would be mirrored",
        )
        yield self._as_of.on(task)

    def _show(self) -> None:
        plan, teller = self._of_run.made, self._workshop.tools.teller
        downloads = self._workshop.tools.acquire.downloads
        teller.show(plan)
        try:
            # Of all files, not of those that have tasks: only the first thread can ask doit's database which these are.
            downloads.check_room([file for file in plan.published if not downloads.is_done(file)])
        except StorageError as error:
            self._tally.note(f"! {error}")
        for line in teller.beside(plan):
            self._tally.note(line)
        teller.check_roots(plan)

    # The records of releases

    def releases(self) -> Iterator[Task]:
        """the records of the releases: their files, environments, and who requires them"""
        plan, group = self._of_run.plan, self._make.name("release")
        releases = {self._make.name("release", one.name): one for one in (plan.releases if plan else ())}
        unchanged = {name: self._as_recorded(plan, one) for name, one in releases.items() if plan}
        together = self._of_run.together(group, unchanged)
        tasks = [
            self._release(plan, one, name, unchanged[name])
            for name, one in releases.items()
            if plan and not together.holds_for(name, [self._mirror.places.release_place(one.name)])
        ]
        yield from tasks
        doc = f"records which files of {counted(len(releases), 'release')} are wanted, and why"
        yield together.remembered_by(self._make.group("release", [task.name for task in tasks], doc))

    def _as_recorded(self, plan: Plan, release: PlannedRelease) -> Unchanged:
        """Return what says if the record of a release is that of a plan, and nobody touched it since it was written."""
        stands = partial(self._mirror.plans.state_of_release, release.name)
        return Unchanged(partial(release_record, plan, release), stands)

    def _release(self, plan: Plan, release: PlannedRelease, name: str, unchanged: Unchanged) -> Task:
        required = sorted({str(one.by) for one in release.required})
        return self._make.task(
            name,
            self._mirror.plans.keep_release,
            plan,
            release,
            clean=True,
            targets=[self._mirror.places.release_path(release.name)],
            uptodate=[unchanged],
            subtask_of=self._make.name("release"),
            doc=f"{len(release.installs)} environments; for {', '.join(required[:3])}",
        )
