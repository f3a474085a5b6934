"""What is told of the plan of a run: when it was made, when all of it is in its place, and when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks import plan_notes
from mirror_tasks.tasks.verbs import bill
from mirror_tasks.text import counted
from mirror_tasks.work.acquire import Acquirer


class PlanTeller:
    """Tells of the plans of one mirror."""

    def __init__(self, mirror: Mirror, acquire: Acquirer) -> None:
        self._mirror = mirror
        self._acquire = acquire

    def notes(self, plan: Plan) -> Iterator[str]:
        """Yield what is to be known of a plan that was just made, and how much it is."""
        yield from plan_notes.before(self._mirror.config, plan, self._acquire.pages.known)
        yield from plan_notes.unchecked(self._mirror.config, plan, self._mirror.advisories.known)
        yield from plan_notes.unmet(self._mirror.config, plan)
        yield plan_notes.summary(plan)

    def incomplete(self, plan: Plan) -> Sequence[str]:
        """Return what the end of a run repeats."""
        return plan_notes.incomplete(plan)

    def show(self, plan: Plan) -> None:
        """Print the bill."""
        bill.print_bill(plan, self._acquire.downloads)

    def beside(self, plan: Plan) -> Iterator[str]:
        """Yield what is mirrored though it left the plan, and what was left out though it is newer."""
        yield from filter(None, (bill.kept_beside(plan), bill.newer_left_out(plan)))

    def outcome(self, plan: Plan) -> str:
        """Return what there is when all of a plan is in its place."""
        config = self._mirror.config
        size = f"{counted(len(plan.by_project), 'project')}, {counted(len(plan.files), 'file')}"
        what = f"{config.output.name}: {size}"
        if not plan.is_complete:
            return f"{what}, checked, BUT NOT ALL that {config.path.name} requires: {'; '.join(plan.lacking)}"
        if not plan.files:
            return f"{what}: EMPTY, since no requirement applies to any environment"
        return f"{what}, whole and checked"

    def check_roots(self, plan: Plan) -> None:
        """Fail where a requirement of mirror.yaml can't be installed; everything else is mirrored all the same.

        :raises ResolutionError: as said.
        """
        plan_notes.check_roots(self._mirror.config, plan)
