"""What left the plan and stays in the mirror for a while, so that the locks of last month install.

No state is needed but the plan that is published: it has the files that the new one may lack, and what it keeps itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from packaging.version import Version

from mirror_tasks.config.transfer import Keep
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.plan import KeptFile, Plan


def kept_files(plan: Plan, published: Plan, keep: Keep, today: datetime.date) -> tuple[KeptFile, ...]:
    """Return what is kept beside a plan: the files that left with it, and those that left before and are not due yet.

    A plan with the same files as the one before is not counted as a change, on whichever day it is made.

    :param published: the plan that the mirror was last made whole by.
    :param today: in UTC.
    """
    has_changed = _contents(plan) != _contents(published)
    before = (replace(one, changes=one.changes + has_changed) for one in published.kept)
    left_now = (KeptFile(file, today.isoformat()) for file in published.files)
    # A name that the plan has stands for the plan's file, be it with other bytes: two can't have one place.
    gone = [one for one in (*before, *left_now) if one.planned.filename not in plan.by_filename]
    ending = (_with_end(one, keep) for one in gone)
    kept = [one for one in ending if not _is_due(one, today)]
    return tuple(sorted(kept, key=attrgetter("planned.project", "planned.filename")))


def _contents(plan: Plan) -> set[tuple[str, str]]:
    return {(file.filename, file.sha256) for file in plan.files}


def _with_end(one: KeptFile, keep: Keep) -> KeptFile:
    """Return a kept file with its end by the rule of today: what mirror.yaml says now holds for what left before, too."""
    until = None
    if keep.days is not None:
        until = (datetime.date.fromisoformat(one.left) + datetime.timedelta(keep.days)).isoformat()
    return replace(one, until=until, plans=None if until else keep.plans or 0)


def _is_due(one: KeptFile, today: datetime.date) -> bool:
    if one.until is not None:
        return today > datetime.date.fromisoformat(one.until)
    return one.changes >= (one.plans or 0)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A file that is not kept, since the index withdrew it."""

    filename: str
    reason: str


def as_offered(kept: Iterable[KeptFile], projects: Mapping[str, object]) -> Iterator[KeptFile | Withdrawn]:
    """Give what is kept as the pages of this run have it: a page says if it was yanked since, or withdrawn.

    :param projects: the pages that were asked for in this run, by project; of what was not asked nothing new is known.
    """
    for one in kept:
        name, page = one.planned.project, projects.get(one.planned.project)
        if name in projects and page is None:
            yield Withdrawn(one.planned.filename, "the index has no such project any more")
        elif isinstance(page, Project) and page.index != OWN:
            yield _by_page(one, page)
        else:
            yield one


def _by_page(one: KeptFile, page: Project) -> KeptFile | Withdrawn:
    name, version = one.planned.filename, Version(one.planned.version)
    if page.status == "quarantined":
        return Withdrawn(name, f"the project is quarantined: {page.status_reason or 'no reason given'}")
    offered = next((file for file in page.files(version) if file.filename == name), None)
    if offered is None:
        skipped = next((reason for skipped, reason in page.skipped if skipped == name), None)
        # Of a further index only what locks name is on the page: of the rest nothing is known.
        return one if page.further and not skipped else Withdrawn(name, skipped or f"{page.url} lists it no more")
    if offered.hashes.get("sha256", one.planned.sha256) != one.planned.sha256:
        return Withdrawn(name, f"{page.url} lists other bytes under its name")
    return replace(one, planned=replace(one.planned, file=replace(one.planned.file, yanked=offered.yanked)))
