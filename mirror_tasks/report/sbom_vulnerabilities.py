"""The advisories that meet what is in a mirror, in the model of ``cyclonedx-python-lib``.

An advisory that is waived has the state "exploitable", which CycloneDX has for what may be exploitable: that somebody
answers for having it until a day says nothing of whether it is. What was not waived has no state: nobody looked at it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from cyclonedx.model import Property
from cyclonedx.model.impact_analysis import ImpactAnalysisAffectedStatus, ImpactAnalysisState
from cyclonedx.model.vulnerability import (
    BomTarget,
    BomTargetVersionRange,
    Vulnerability,
    VulnerabilityAnalysis,
    VulnerabilityRating,
    VulnerabilityReference,
    VulnerabilitySeverity,
    VulnerabilitySource,
)

from mirror_tasks.policy.advisories import Match, fix_of
from mirror_tasks.report.components import Component
from mirror_tasks.report.purls import ref_of
from mirror_tasks.resolve.plan import Waived

_SEVERITIES = {
    "low": VulnerabilitySeverity.LOW,
    "moderate": VulnerabilitySeverity.MEDIUM,
    "high": VulnerabilitySeverity.HIGH,
    "critical": VulnerabilitySeverity.CRITICAL,
}
# As readers of such documents name them; OSV has the records of the others too.
_SOURCES = {"CVE-": "NVD", "GHSA-": "GITHUB"}


def vulnerabilities(components: Sequence[Component], waived: Iterable[Waived]) -> Iterator[Vulnerability]:
    """Yield each advisory with what it affects; once for what it is waived for, and once for the rest."""
    reasons = _reasons(waived)
    affected: dict[tuple[Match, tuple[str, ...]], list[Component]] = defaultdict(list)
    for one in components:
        for match in one.matches or ():
            affected[match, tuple(sorted(reasons.get((*one.key, match.id), ())))].append(one)
    taken: dict[str, int] = defaultdict(int)
    for (match, why), some in sorted(affected.items(), key=lambda pair: (pair[0][0].id, pair[0][1], pair[1][0].key)):
        taken[match.id] += 1
        number = f"#{taken[match.id]}" if taken[match.id] > 1 else ""
        yield _vulnerability(match, why, some, f"vulnerability:{match.id}{number}")


def _reasons(waived: Iterable[Waived]) -> Mapping[tuple[str, str, str], set[str]]:
    """Return why each advisory is let in for a release."""
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in waived:
        if one.advisory:
            found[one.project, one.version, one.advisory].add(f"let in until {one.until}, {one.where}: {one.reason}")
    return found


def _vulnerability(match: Match, why: Sequence[str], affected: Sequence[Component], ref: str) -> Vulnerability:
    return Vulnerability(
        bom_ref=ref,
        id=match.id,
        source=_source(match.id),
        references=[VulnerabilityReference(id=alias, source=_source(alias)) for alias in match.aliases],
        ratings=[VulnerabilityRating(severity=_SEVERITIES[match.severity], justification=match.severity_from)],
        description=match.summary[:500] or None,
        recommendation=fix_of(match),
        affects=[_target(one) for one in affected],
        analysis=_analysis(why),
        properties=[Property(name="mirror-tasks:malware", value="true")] if match.is_malware else (),
    )


def _source(identifier: str) -> VulnerabilitySource:
    found = (name for prefix, name in _SOURCES.items() if identifier.upper().startswith(prefix))
    return VulnerabilitySource(name=next(found, "OSV"))


def _target(one: Component) -> BomTarget:
    affected = BomTargetVersionRange(version=one.version, status=ImpactAnalysisAffectedStatus.AFFECTED)
    return BomTarget(ref=ref_of(one.key), versions=[affected])


def _analysis(why: Sequence[str]) -> VulnerabilityAnalysis | None:
    if not why:
        return None
    return VulnerabilityAnalysis(state=ImpactAnalysisState.EXPLOITABLE, detail="; ".join(why))
