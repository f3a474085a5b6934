"""The licences of a mirror as a dossier shows them: the odd ones by release, all of them by count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mirror_tasks.config.policy import LicenceRule
from mirror_tasks.policy.licences import Licence, check_licence
from mirror_tasks.report.components import Component
from mirror_tasks.resolve.plan import Waived

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OddLicence:
    """A release whose licence is to be looked at: unknown, said in contradictory ways, or not allowed.

    :param why: as a phrase.
    :param said: what its metadata says, and where.
    :param waived: the exception that lets it in; None: none does, or none has to.
    """

    release: str
    why: str
    said: tuple[tuple[str, str], ...]
    waived: Waived | None


@dataclass(frozen=True, slots=True)
class LicenceCount:
    """How many releases have a licence, and which projects; what is said is an SPDX expression, or ``unknown``."""

    text: str
    releases: int
    projects: tuple[str, ...]


def shown(licence: Licence) -> str:
    """Return a licence in words."""
    return licence.expression or UNKNOWN


def odd_licences(
    components: Iterable[Component], rule: LicenceRule | None, waived: Callable[[Component, str], Waived | None]
) -> tuple[OddLicence, ...]:
    """Return what is to be looked at, in the order of the releases.

    :param waived: gives the exception that lets a release in against a rule.
    """
    found = ((one, _why(one.licence, rule)) for one in components)
    return tuple(
        OddLicence(one.name, why, one.licence.said, waived(one, "licences")) for one, why in found if why is not None
    )


def _why(licence: Licence, rule: LicenceRule | None) -> str | None:
    refused = None if rule is None else check_licence(licence, rule)
    if refused or licence.expression is not None:
        return refused
    return licence.problem or "it does not say under which licence it is"


def licence_counts(components: Iterable[Component]) -> Sequence[LicenceCount]:
    """Return all licences, what is unknown first, then the one that most releases have."""
    found: dict[str, list[Component]] = defaultdict(list)
    for one in components:
        found[shown(one.licence)].append(one)
    counts = (LicenceCount(text, len(ones), _projects(ones)) for text, ones in found.items())
    return sorted(counts, key=lambda one: (one.text != UNKNOWN, -one.releases, one.text))


def _projects(components: Iterable[Component]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.project for one in components))
