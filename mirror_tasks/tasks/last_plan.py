"""Whether the last plan is the plan of this run as well, since nothing that it was made from has changed.

This is what a plan is made from, and how it is told that it is the same:

- what ``mirror.yaml`` says, with the files that it names, variables in it, the answers of build backends and the folders of
  own files: by the digest of the configuration, which is read in each run
- the pages of all projects that were looked at, the user's own among them: each is asked for as in any run, all at once, and
  the hash that its record begins with is compared
- the core metadata that was read, the solutions of the last run and what is known of files without hashes: by size, times
  and inode of their records
- the policy with the dump of advisories, the day on which it judges, and ``--as-of``
- this program, the Python that runs it, and the libraries that decide with it

The plan itself has to stand as it was written, and what is kept beside it in the mirror. Then nothing grows: the closure,
its completion and all that they would read of pages are left out, which was half of a run with nothing changed. All of it is
kept with what doit remembers of the plan, so that it ends with that: `doit forget plan`, another database.

Where the policy judges by what indexes say of each release, these are asked in each run, and the plan is made anew; likewise
where `accept-changed` names a project whose page gives no hashes, so that only its files tell if they are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from doit.task import Task

from mirror_tasks.config.digest import digest_of
from mirror_tasks.files import sha256_of_bytes, sha256_or_none, to_json
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks import database
from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.workshop import Workshop

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan
    from mirror_tasks.tasks.growth import Growth

_DECIDING = ("nab-resolver", "license-expression", "cvss")  # packaging is among what pages are made by
_AT_A_TIME = 8  # pages that one task asks for: with 16, two hundred were waited for by the slowest of thirteen


class LastPlan:
    """The last plan of one mirror.

    :param made_by: gives a digest of this program.
    :param does_all_again: the user wants all to be made anew.
    :ivar plan: the last plan, where it is that of this run as well.
    """

    def __init__(
        self,
        mirror: Mirror,
        workshop: Workshop,
        make: TaskMaker,
        stages: Stages,
        tally: Tally,
        made_by: Callable[[], str],
        *,
        does_all_again: bool,
    ) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._stages = stages
        self._tally = tally
        self._made_by = made_by
        self._does_all_again = does_all_again
        self.plan: Plan | None = None
        self._kept: Mapping[str, Any] = {}
        self._projects: list[str] | None = None  # None: the plan is made anew, whatever their pages are
        self._lacks = False  # a page that could not be had

    def look_stage(self) -> Iterator[Task]:
        """Make ``_look``, which finds out if all but the pages is what it was."""
        if self._stages.is_running:
            self._kept = database.kept_of(self._make.name("_plan"))
        yield self._make.task(self._make.name("_look"), self._look, kind="group")

    def _look(self) -> None:
        kept, projects = self._kept, self._kept.get("projects")
        if isinstance(projects, list) and self._may_stand() and kept.get("made_from") == self._made_from():
            self._projects = projects

    def _may_stand(self) -> bool:
        if not self._stages.is_running or self._does_all_again or self._workshop.tools.acquire.advisories.are_asked_for:
            return False
        return sha256_or_none(self._mirror.places.plan) == self._kept.get("plan") and self._is_kept_beside()

    def _is_kept_beside(self) -> bool:
        """Say if the published plan, by which it is known what is kept, is this one, and all that it keeps is there."""
        if self._mirror.config.transfer is None:
            return True
        plan = self._mirror.plans.published()
        if plan is None or plan.digest != self._kept.get("plan"):
            return False
        return all(self._workshop.tools.acquire.downloads.is_done(one.planned) for one in plan.kept)

    def _made_from(self) -> str:
        """Return a digest of all that a plan is made from, pages apart."""
        mirror = self._mirror
        judging, has_end = mirror.judging, mirror.config.transfer is not None
        found = [
            digest_of(mirror.config),
            self._made_by(),
            [metadata.version(name) for name in _DECIDING],
            judging.judged,
            [str(judging.as_of), str(judging.today) if has_end else ""],
            mirror.records.state_beside_pages(),
        ]
        return sha256_of_bytes(to_json(found))

    # The pages

    def pages_stage(self) -> Iterator[Task]:
        """Make ``_pages``, which asks for the pages that the last plan was made from, and says if that stands."""
        projects = self._projects or []
        shares = [projects[begin : begin + _AT_A_TIME] for begin in range(0, len(projects), _AT_A_TIME)]
        tasks = [
            self._make.task(self._make.name("_pages", str(number)), self._ask, share, kind="pages")
            for number, share in enumerate(shares)
        ]
        self._tally.start_pages(len(projects))
        yield from tasks
        before = [task.name for task in tasks]
        yield self._make.task(self._make.name("_pages"), self._decide, kind="group", task_dep=before)

    def _ask(self, names: Sequence[str]) -> None:
        pages = self._workshop.tools.acquire.pages
        # Where one can't be had the plan does not stand, and the closure asks for what it needs: of an index that is not there
        # the others would be waited for in vain.
        if not self._lacks:
            pages.ask(names)
            if not pages.have_answered(names):
                self._lacks = True
        for name in names:
            self._tally.count("pages", name)

    def _decide(self) -> None:
        pages, projects = self._workshop.tools.acquire.pages, self._projects
        if projects is not None and pages.have_answered(projects) and self._pages(projects) == self._kept.get("pages"):
            self.plan = self._still_there()
            if self.plan is not None:
                self._stages.rest()

    def _still_there(self) -> Plan | None:
        """Return the last plan; None where somebody took it away, or put another in its place, while the pages were asked for."""
        plan = self._mirror.plans.last()
        return plan if plan is not None and plan.digest == self._kept.get("plan") else None

    def _pages(self, projects: Iterable[str]) -> str:
        return sha256_of_bytes(to_json(self._mirror.page_seals(projects)))

    # What is remembered

    def keep(self, plan: Plan, growth: Growth) -> None:
        """Take note of what a plan was made from that was just written; of one that lacks something there is nothing to keep."""
        self._kept = {}
        if not growth.is_certain:
            return
        projects = sorted(growth.closure.projects)
        self._kept = {
            "made_from": self._made_from(),
            "projects": projects,
            "pages": self._pages(projects),
            "plan": plan.digest,
        }

    def remembered_by(self, task: Task) -> Task:
        """Let doit remember with a task that waits for the plan what that was made from; `doit forget plan` forgets it, too."""
        task.subtask_of = self._make.name("plan")
        task.value_savers.append(lambda: self._kept)
        return task
