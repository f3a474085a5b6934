"""The advisories of a mirror as a dossier shows them: a row a hole, with the releases that have it and what becomes of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from packaging.version import Version

from mirror_tasks.config.policy import SEVERITIES, Policy, Waiver
from mirror_tasks.policy.advisories import Match, is_refused
from mirror_tasks.report.components import Component

Judgement = Literal["refused", "waived", "reported"]


@dataclass(frozen=True, slots=True)
class Hole:
    """An advisory, as one judgement was passed on it.

    :param releases: those that have it, by name.
    :param judgement: ``refused`` is what came to be known since the plan was made: the next plan leaves it out. ``reported``
        is less than what the policy refuses.
    :param waiver: the exception that lets it in; None where none does.
    """

    match: Match
    releases: tuple[str, ...]
    judgement: Judgement
    waiver: Waiver | None


def holes(components: Iterable[Component], policy: Policy | None) -> tuple[Hole, ...]:
    """Return all holes, the worst first."""
    found: dict[tuple[Match, Judgement, Waiver | None], list[str]] = defaultdict(list)
    for one in components:
        for match in one.matches or ():
            waiver = _waiver(match, one, policy)
            found[match, _judgement(match, policy, waiver), waiver].append(one.name)
    rows = (Hole(match, tuple(names), judgement, waiver) for (match, judgement, waiver), names in found.items())
    return tuple(sorted(rows, key=_worst_first))


def _waiver(match: Match, component: Component, policy: Policy | None) -> Waiver | None:
    """Return the exception that lets an advisory in; malware has to be named by it."""
    version = Version(component.version)
    for one in policy.exceptions if policy else ():
        is_meant = match.is_named(one.advisory) if one.advisory else not match.is_malware
        if is_meant and one.is_for("advisories", component.project, version):
            return one
    return None


def _judgement(match: Match, policy: Policy | None, waiver: Waiver | None) -> Judgement:
    if policy is None or policy.advisories is None or not is_refused(match, policy.advisories):
        return "reported"
    return "refused" if waiver is None else "waived"


def _worst_first(hole: Hole) -> tuple[bool, bool, int, str, tuple[str, ...]]:
    match = hole.match
    return (
        hole.judgement != "refused",
        not match.is_malware,
        -SEVERITIES.index(match.severity),
        match.id,
        hole.releases,
    )
