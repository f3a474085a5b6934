"""How the plan of a run is made of what has grown, with what is kept of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mirror_tasks.publish import kept, permitted
from mirror_tasks.resolve.excused import excused
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.growth import Growth


def made_plan(mirror: Mirror, growth: Growth, note: Callable[[str], None]) -> tuple[Plan, Sequence[str]]:
    """Make the plan of what has grown, and write it.

    Return it, and the projects of which nothing is permitted any more, where what is published stays.

    :param note: tells of files that are not published any more.
    """
    closure = growth.closure
    plan = made = make_plan(closure, growth.completion, excused(mirror.config.roots, closure))
    mirror.records.keep_solutions(growth.completion.solutions)
    is_undecided = any(gap.undecided for gap in plan.gaps)
    # A plan of 50,000 files takes a second and 150 MB to read.
    published = mirror.plans.published() if is_undecided or mirror.config.transfer else None
    if is_undecided and (before := published or mirror.plans.last()):
        # Something could not be asked. What is published stays, for what is published may need it.
        plan = plan.with_what_was(permitted.of_old_plan(mirror, before, note))
    plan = kept.with_kept(mirror, plan, published, closure.projects)
    refused: Sequence[str] = ()
    if is_undecided and published and mirror.judging.permission:
        refused = sorted(published.published_by_project.keys() - plan.published_by_project.keys())
    plan = permitted.with_waived(mirror, plan, made)
    plan = replace(plan, judged=mirror.judging.judged)
    mirror.plans.keep(plan)
    return plan, refused
