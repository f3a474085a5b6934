"""What the policy says of what an earlier plan had: nothing that is refused now is published again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from mirror_tasks.archives.core_metadata import read_metadata
from mirror_tasks.files import read_or_none
from mirror_tasks.layout import metadata_path
from mirror_tasks.policy.permission import Permission, Said
from mirror_tasks.resolve.plan import KeptFile, Plan, PlannedFile
from mirror_tasks.resolve.waived import IN_ORDER, refusal_of, waived_in
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.origins import indexes_of
from mirror_tasks.text import and_more


def of_old_plan(mirror: Mirror, plan: Plan, note: Callable[[str], None]) -> Plan:
    """Return a plan without what the policy refuses now, and tell of that; a release stays as long as a file of it does."""
    permission = mirror.judging.permission
    if permission is None:
        return plan
    refused = dict(_refused(mirror, permission, plan.files))
    for filename, reason in sorted(refused.items()):
        note(f"not published any more: {filename}: {reason}")
    files = tuple(file for file in plan.files if file.filename not in refused)
    left = {(file.project, file.version) for file in files}
    releases = tuple(
        replace(one, installs={where: name for where, name in one.installs.items() if name not in refused})
        for one in plan.releases
        if (one.project, one.version) in left
    )
    return replace(plan, files=files, releases=releases)


def kept_and_permitted(mirror: Mirror, kept: Iterable[KeptFile]) -> Iterator[KeptFile]:
    """Yield what is kept and the policy does not refuse; tell of what it refuses, of each release once for each reason."""
    permission = mirror.judging.permission
    refused: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in kept:
        if reason := permission and _reason(mirror, permission, one.planned):
            refused[one.planned.project, one.planned.version, reason].append(one.planned.filename)
        else:
            yield one
    for (_, _, reason), names in refused.items():
        mirror.note(f"not kept for locks: {names[0]}{and_more(names)}: {reason}")


def with_waived(mirror: Mirror, plan: Plan, made: Plan) -> Plan:
    """Return a plan that says, too, which exceptions let in what it has of earlier plans, and what is kept.

    :param made: what was planned in this run, of which it says so already.
    """
    permission = mirror.judging.permission
    if plan is made or permission is None or not permission.policy.exceptions:
        return plan
    earlier = [file for file in plan.published if file.filename not in made.by_filename]
    metadata = {file.filename: _metadata(mirror, file) for file in earlier} if permission.reads_metadata else {}
    environments = {one.name: one for one in mirror.config.environments}
    found = {*plan.waived, *waived_in(earlier, permission, metadata, environments, partial(_index_of, mirror))}
    return replace(plan, waived=tuple(sorted(found, key=IN_ORDER)))


def _refused(mirror: Mirror, permission: Permission, files: Iterable[PlannedFile]) -> Iterator[tuple[str, str]]:
    for file in files:
        if reason := _reason(mirror, permission, file):
            yield file.filename, reason


def _reason(mirror: Mirror, permission: Permission, file: PlannedFile) -> str | None:
    metadata = _metadata(mirror, file) if permission.reads_metadata else None
    environments = {one.name: one for one in mirror.config.environments}
    return refusal_of(file, permission, metadata, environments, partial(_index_of, mirror))


def _index_of(mirror: Mirror, file: PlannedFile) -> str:
    """Return the index that a file is from; if no page lists it any more, the index that serves its project."""
    if index := indexes_of(mirror, file.project, [file]).get(file.filename):
        return index
    page = mirror.records.project(file.project)
    return page.index if page else ""


def _metadata(mirror: Mirror, file: PlannedFile) -> Said:
    """Return what a file says of itself: of a release mostly one wheel was read, and beside the others stands what they say."""
    if record := mirror.records.metadata(file.filename, file.sha256):
        return record.metadata
    path = metadata_path(mirror.package_path(file.project, file.filename))
    made = mirror.ledger.made(path)
    content = read_or_none(path) if made and mirror.ledger.is_right(path, made) else None
    return None if content is None else read_metadata(content, file.filename)
