"""What is kept beside a plan: the files that the rule says, if they stand in the mirror and no index has withdrawn them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mirror_tasks.publish.permitted import kept_and_permitted
from mirror_tasks.resolve.kept import Withdrawn, as_offered, kept_files
from mirror_tasks.resolve.plan import KeptFile, Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.text import and_more


def with_kept(mirror: Mirror, plan: Plan, published: Plan | None, projects: Mapping[str, object]) -> Plan:
    """Return a plan with what is kept beside it; tell of what the rule would keep, and is not.

    :param published: the plan that the mirror was last made whole by.
    :param projects: the pages that were asked for in this run, by project.
    """
    if mirror.config.transfer is None:
        return plan
    if published is None and (published := _instead(mirror, plan)) is None:
        return plan
    kept = kept_files(plan, published, mirror.config.transfer.keep, mirror.judging.today)
    stands = _that_stand(mirror, as_offered(kept, projects))
    return replace(plan, kept=tuple(kept_and_permitted(mirror, stands)))


def _instead(mirror: Mirror, plan: Plan) -> Plan | None:
    """Return the last plan where something is published and its plan can't be read; tell if there is none, and of what is lost.

    It is mostly the published one, and if not, it says what that kept.
    """
    published = mirror.published_sums()
    if not published:
        return None
    if last := mirror.plans.last():
        return last
    names = (path.rpartition("/")[2] for path in published if path.startswith("packages/"))
    lost = sorted(name for name in names if not name.endswith(".metadata") and name not in plan.by_filename)
    if lost:
        reason = f"by which plan it was published is not known any more: {mirror.places.published} can't be read"
        mirror.note(f"not kept for locks: {lost[0]}{and_more(lost)}: {reason}")
    return None


def _that_stand(mirror: Mirror, kept: Iterator[KeptFile | Withdrawn]) -> Iterator[KeptFile]:
    for one in kept:
        if isinstance(one, Withdrawn):
            mirror.note(f"not kept for locks: {one.filename}: {one.reason}")
        elif not mirror.ledger.is_right(
            mirror.package_path(one.planned.project, one.planned.filename), one.planned.sha256
        ):
            mirror.note(f"not kept for locks: {one.planned.filename}: it does not stand in the mirror as it was made")
        else:
            yield one
