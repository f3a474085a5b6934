"""What of a dossier is to be looked at before all else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mirror_tasks.report.dossier import Dossier
from mirror_tasks.text import counted

_MOST_NAMED = 8
_OLD_DUMP = 30  # days; of an ecosystem of this size something becomes known every day


@dataclass(frozen=True, slots=True)
class Alarm:
    """A line: of something that may be wrong (``is_bad``), or of something that is to be done in time."""

    text: str
    is_bad: bool


def alarms(dossier: Dossier) -> Iterator[Alarm]:
    """Yield them, the worst first."""
    yield from (Alarm(line, is_bad=True) for line in _bad(dossier))
    for one in dossier.exceptions:
        if one.state == "ends soon":
            yield Alarm(f"the exception of {one.what} ends on {one.waiver.until}", is_bad=False)
        if one.state == "not needed":
            yield Alarm(f"the exception of {one.what} is needed by nothing any more", is_bad=False)


def _bad(dossier: Dossier) -> Iterator[str]:
    yield from dossier.origins
    for hole in dossier.holes:
        if hole.judgement.verdict == "refused":
            named = ", ".join(hole.releases[:_MOST_NAMED])
            yield f"{hole.judgement.match} on {named}: known since the plan was made, and refused by the policy"
    days = dossier.age_of_advisories
    if days is not None and days > _OLD_DUMP:
        yield f"the dump of advisories ends {days:,} days before the day of judging: bring a newer one"
    if dossier.plan.lacking:
        yield f"no solution was found for {counted(len(dossier.plan.lacking), 'requirement')}"
    if altered := dossier.changes.altered_files:
        yield f"{counted(len(altered), 'file')} of other content under the name of before: {altered[0].filename}"
