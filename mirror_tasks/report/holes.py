"""The advisories of a mirror as a dossier shows them: a row a hole, with the releases that have it and what becomes of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.policy import SEVERITIES, AdvisoryRule, Policy
from mirror_tasks.policy.advisories import Judgement, judged
from mirror_tasks.report.components import Component

NOTHING_REFUSED = AdvisoryRule(source=None, shown="", refuse=None, malware="report", not_checked="report")


@dataclass(frozen=True, slots=True)
class Hole:
    """An advisory, as one judgement was passed on it.

    :param judgement: what the policy says. ``refused`` is what came to be known since the plan was made: the next plan leaves
        it out.
    :param releases: those that have it, by name.
    """

    judgement: Judgement
    releases: tuple[str, ...]


def holes(components: Iterable[Component], policy: Policy | None) -> tuple[Hole, ...]:
    """Return all holes, the worst first."""
    rule = (policy.advisories if policy else None) or NOTHING_REFUSED
    exceptions = policy.exceptions if policy else ()
    found: dict[Judgement, list[str]] = defaultdict(list)
    for one in components:
        release = canonicalize_name(one.project), Version(one.version)
        for judgement in judged(one.matches or (), rule, exceptions, *release):
            found[judgement].append(one.name)
    return tuple(sorted((Hole(one, tuple(names)) for one, names in found.items()), key=_worst_first))


def _worst_first(hole: Hole) -> tuple[bool, bool, int, str, tuple[str, ...]]:
    verdict, match = hole.judgement.verdict, hole.judgement.match
    return verdict != "refused", not match.is_malware, -SEVERITIES.index(match.severity), match.id, hole.releases
