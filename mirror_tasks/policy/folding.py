"""One row a hole: what several databases say of one hole is put together, by the identifiers that they give each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from packaging.utils import NormalizedName

from mirror_tasks.policy.matching import Hole, listed_or_none
from mirror_tasks.policy.osv import Advisory, Affected
from mirror_tasks.policy.severity import UNKNOWN, Severity, severity_of, worst

_MALWARE = "MAL-"
_SHOWN_FIRST = (_MALWARE, "GHSA-", "PYSEC-", "CVE-")
_EVERY_VERSION = (("introduced", "0"),)

Reaches = tuple[tuple[tuple[tuple[str, str], ...], ...], tuple[str, ...]]
Said = tuple[Advisory, Affected]


def fold(advisories: Iterable[Advisory]) -> Mapping[NormalizedName, list[Hole]]:
    """Return the holes of each project, sorted. Withdrawn records count for nothing, their aliases neither."""
    standing = sorted((one for one in advisories if not one.withdrawn), key=lambda one: one.id)
    same = _Same()
    for one in standing:
        same.join([one.id, *one.aliases])
    found: dict[tuple[NormalizedName, str], list[Said]] = defaultdict(list)
    for one in standing:
        for affected in one.affected:
            found[affected.project, same.of(one.id)].append((one, affected))
    holes: dict[NormalizedName, list[Hole]] = defaultdict(list)
    for (project, _), said in found.items():
        holes[project].append(_hole(said))
    return {project: sorted(holes[project], key=lambda one: one.id) for project in sorted(holes)}


class _Same:
    """Which identifiers are of one hole: ``a`` and ``b``, ``b`` and ``c``, so ``a`` and ``c``."""

    def __init__(self) -> None:
        self._leads_to: dict[str, str] = {}

    def of(self, identifier: str) -> str:
        """Return the identifier that stands for all that are of one hole with this one."""
        at = identifier.upper()
        while (further := self._leads_to.setdefault(at, at)) != at:
            self._leads_to[at] = self._leads_to[further]
            at = further
        return at

    def join(self, identifiers: list[str]) -> None:
        first = self.of(identifiers[0])
        for one in identifiers[1:]:
            self._leads_to[self.of(one)] = first


def _hole(said: list[Said]) -> Hole:
    records = {one.id: one for one, _ in said}
    names = dict.fromkeys((*records, *(alias for one in records.values() for alias in one.aliases)))
    shown = min(records, key=_shown_first)
    severity = _severity(said)
    return Hole(
        shown,
        tuple(sorted(name for name in names if name != shown)),
        severity.name,
        severity.whence,
        any(name.upper().startswith(_MALWARE) for name in names),
        next((records[one].summary for one in sorted(records, key=_shown_first) if records[one].summary), ""),
        tuple(dict.fromkeys(_reach(one, affected) for one, affected in said)),
    )


def _shown_first(identifier: str) -> tuple[int, str]:
    places = (place for place, start in enumerate(_SHOWN_FIRST) if identifier.upper().startswith(start))
    return next(places, len(_SHOWN_FIRST)), identifier


def _severity(said: list[Said]) -> Severity:
    """Return the worst severity of the records. In each record, that of this project goes before the general one."""
    found = [severity_of(affected.severity) or severity_of(one.severity) for one, affected in said]
    return worst([one for one in found if one] or [UNKNOWN])


def _reach(one: Advisory, affected: Affected) -> Reaches:
    """Return what is compared; malware of which no version is named is so in every version."""
    versions = sorted({found for version in affected.versions if (found := listed_or_none(version))})
    ranges = affected.ranges
    if one.id.upper().startswith(_MALWARE) and not ranges and not affected.versions:
        ranges = (_EVERY_VERSION,)
    return ranges, tuple(versions)
