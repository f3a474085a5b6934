"""The tasks of one mirror, by name: who makes each, and what it waits for.

A task that fails takes those down that depend on it. What shall go on in spite of that is therefore created by a
delayed creator, which doit calls when the task it waits for ended, whichever way. Names that begin with an underscore are
stages of the run; doit hides them. The graph grows from :mod:`.stages`; what follows from a plan is in :mod:`.planning`,
:mod:`.downloading` and :mod:`.publishing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.config.model import Config
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.run_lock import RunLock, lock_of_output
from mirror_tasks.tasks import advisories
from mirror_tasks.tasks.as_of import AsOf
from mirror_tasks.tasks.attesting import provenance_tasks
from mirror_tasks.tasks.bringing import Bringing
from mirror_tasks.tasks.downloading import Downloading
from mirror_tasks.tasks.known import Known
from mirror_tasks.tasks.last_plan import LastPlan
from mirror_tasks.tasks.parts import Creator, TaskMaker, creator
from mirror_tasks.tasks.plan_of_run import PlanOfRun
from mirror_tasks.tasks.planning import Planning
from mirror_tasks.tasks.publishing import Publishing
from mirror_tasks.tasks.run import look_for_garbage_rarely, start_processes
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.verbs import offered
from mirror_tasks.tasks.verbs.making import does_all_again, named_before
from mirror_tasks.tasks.workshop import Workshop

if TYPE_CHECKING:
    from mirror_tasks.tasks.asking import Asking

_LOOK_ONLY = {"serve", "prove", "explain", "changes", "audit"}
_CHANGE_ALONE = {"approve", "bundle", "prune", "report", "wanted"}


class MirrorTasks:
    """The tasks of one mirror.

    :param dash: the prefix of all names, with its dash; empty for none.
    :ivar changing: the names of its tasks, without what follows their colon, that change something or need such a task.
    :ivar fetching: those of them that fetch or read files, or need a task that does.
    """

    def __init__(self, config: Config, dash: str = "") -> None:
        self.dash = dash
        self.tally = Tally(dash.removesuffix("-"))
        self.mirror = Mirror(config, self.tally.note)
        self._workshop = Workshop(self.mirror, self.tally)
        self._make = TaskMaker(dash, config.state / "bugs")
        self._as_of = AsOf(self.mirror.judging)
        locks = [(config.state, config.state / "run.lock"), (config.output, lock_of_output(config.output.resolve()))]
        self._lock = RunLock(locks, config.path, self.tally.note)
        self._set_stages()
        names = set(self.creators())
        self.changing = frozenset(names - {self.name(kind) for kind in _LOOK_ONLY})
        self.fetching = frozenset(self.changing - {self.name(kind) for kind in _CHANGE_ALONE})

    def _set_stages(self) -> None:
        mirror, workshop, make, tally, as_of = self.mirror, self._workshop, self._make, self.tally, self._as_of
        again = does_all_again()
        bringing = Bringing(mirror, workshop, make)
        self._known = Known(mirror, make, bringing)
        self._stages = stages = Stages(mirror, workshop, make, bringing, self._begin)
        self._of_run = of_run = PlanOfRun(mirror, workshop, stages, does_all_again=again)
        self._last = LastPlan(mirror, workshop, make, stages, tally, lambda: of_run.made_by, does_all_again=again)
        self._planning = planning = Planning(mirror, workshop, make, stages, tally, of_run, as_of, self._last)
        self._downloading = Downloading(mirror, workshop, make, stages, tally, of_run, lambda: planning.refused_now)
        self._publishing = Publishing(mirror, workshop, make, tally, of_run, as_of, self._downloading)

    def tell_apart(self) -> None:
        """Say of each line which mirror it is of: there are several in one ``dodo.py``, or may be."""
        self.tally.label = self.dash.removesuffix("-") or self.config.path.name

    @property
    def config(self) -> Config:
        """What ``mirror.yaml`` says, and what projects require as far as it is known by now."""
        return self.mirror.config

    def name(self, kind: str) -> str:
        """Return the name of a task."""
        return self._make.name(kind)

    # What a run asks

    @property
    def reads_sdists(self) -> bool:
        """Sdists may be mirrored: the whole of each is read."""
        return self.config.sdists != "never"

    def has(self, name: str) -> bool:
        """Say if there is a task of this name, be it one that the run could do without."""
        return self._make.was_made(name) or self._of_run.has(name.removeprefix(self.dash))

    def take_folders(self) -> None:
        """Keep other runs out of the folders of the mirror.

        :raises MirrorError: another one uses them, or the output is not for this mirror.
        """
        from mirror_tasks.publish.manifest import check_may_publish

        if not self.config.unknown:  # else it is known only later what mirror it is
            check_may_publish(self.mirror)
        self._lock.take()

    def open_workshop(self) -> None:
        """Import what works, before processes are forked, so that they have it from the first one."""
        _ = self._workshop.tools

    def _begin(self) -> None:
        """Begin what the run began already, but where the reporter is somebody else's."""
        self.take_folders()
        self.open_workshop()
        self._as_of.take()
        start_processes(reads_sdists=self.reads_sdists)
        look_for_garbage_rarely()

    # The creators

    def creators(self) -> dict[str, Creator]:
        """Return the task creators by the name of the task they make."""
        plain = {
            "_begin": self._stages.begin_stage,
            "_ahead": self._stages.ahead_stage,
            "plan": self._planning.verb,
            "server": self._publishing.server,
            "mirror": self._publishing.mirror,
            **({"_report": self._publishing.report} if self.config.report == "mirror" else {}),
        }
        found = {self.name(kind): creator(make) for kind, make in plain.items()}
        for kind, verb in self._verbs().items():
            name = self.name(kind)
            found[name] = creator(lambda verb=verb, name=name: iter([verb(name)]))  # type: ignore[misc]
        for kind, (make, executed) in self._delayed().items():
            waits_for = self.name(executed) if executed else None
            found[self.name(kind)] = creator(make, make.__doc__ or "", waits_for, delayed=True)
        return found

    def _verbs(self) -> dict[str, Callable[[str], Task]]:
        """Return what makes the task of each verb that is one task, by its kind."""
        mirror, workshop, before = self.mirror, self._workshop, self._named_before
        return {
            "serve": lambda name: offered.serve(name, self.config.output),
            "prune": lambda name: offered.prune(name, mirror),
            "prove": lambda name: offered.prove(name, mirror, before(name)),
            "report": lambda name: offered.report(name, mirror, workshop, [self.name("provenance"), *before(name)]),
            "approve": lambda name: offered.approve(name, mirror, before(name)),
            "bundle": lambda name: offered.bundle(name, mirror, before(name)),
            "wanted": lambda name: offered.wanted(name, mirror, workshop),
            "audit": lambda name: offered.audit(name, mirror),
            "changes": lambda name: offered.changes(name, mirror),
            "explain": lambda name: offered.explain(name, mirror, workshop),
        }

    def _delayed(self) -> dict[str, tuple[Callable[[], Iterator[Task]], str | None]]:
        """Return what makes tasks only when another one has ended, and which, by kind; in the order of a run."""
        asks, reads = bool(self.config.dynamic), self.mirror.has_dump
        begun = "advisories" if reads else "_begin"
        # Who published is asked of what the report is of: the mirror as it is, or as it is made before in the same run.
        is_made_before = self.name("mirror") in self._named_before(self.name("report"))
        return {
            **({"advisories": (self._advisories, "_begin")} if reads else {}),
            **({"ask": (self._asking.stage, begun), "_asked": (self._asking.asked_stage, "ask")} if asks else {}),
            "_look": (self._last.look_stage, "_asked" if asks else begun),
            "_pages": (self._last.pages_stage, "_look"),
            "_closure": (self._stages.closure_stage, "_pages"),
            "_complete": (self._stages.completion_stage, "_closure"),
            "_plan": (self._planning.stage, "_complete"),
            "project": (self._known_projects, None),
            "metadata": (self._known_metadata, None),
            "release": (self._planning.releases, "_plan"),
            "download": (self._downloading.stage, "_plan"),
            "provenance": (self._provenance, "mirror" if is_made_before else None),
            "index": (self._publishing.index, "_plan"),
            **({"lock": (self._publishing.locks, "_plan")} if self.config.url else {}),
        }

    def _named_before(self, name: str) -> list[str]:
        """Return those of what is usually done before a verb that the command line names before it."""
        in_order = [self.name(kind) for kind in ("mirror", "prove", "report", "approve", "bundle")]
        return named_before(name, in_order[: in_order.index(name)])

    @cached_property
    def _asking(self) -> Asking:
        from mirror_tasks.tasks.asking import Asking  # only now: most mirrors ask nobody

        return Asking(self.mirror, self._workshop.tools.upstream, self._make, self._stages)

    def _known_projects(self) -> Iterator[Task]:
        """the project pages"""
        yield from self._known.projects(self._of_run.last)

    def _known_metadata(self) -> Iterator[Task]:
        """the core metadata of files"""
        yield from self._known.metadata(self._of_run.last)

    def _advisories(self) -> Iterator[Task]:
        """the advisories of the dump that the policy names"""
        yield advisories.task(self._make, self._stages, self.mirror.advisories)

    def _provenance(self) -> Iterator[Task]:
        """who published the files"""
        yield from provenance_tasks(self.mirror.plans.published(), self.mirror.places, self._workshop, self._make)
