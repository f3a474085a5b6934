"""What a dossier says, before it is written as a page or for programs; no I/O."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mirror_tasks.config.model import Config, Root
from mirror_tasks.config.policy import Policy
from mirror_tasks.report.changes import Changes
from mirror_tasks.report.components import Component
from mirror_tasks.report.exceptions import UsedException, used_exceptions
from mirror_tasks.report.holes import Hole, holes
from mirror_tasks.report.judged_licences import LicenceCount, OddLicence, licence_counts, odd_licences, shown
from mirror_tasks.report.refused import Refused, refused
from mirror_tasks.report.snapshot import Finding, Snapshot, snapshot
from mirror_tasks.resolve.plan import Plan, Waived


@dataclass(frozen=True, slots=True)
class RootCost:
    """A root of ``mirror.yaml``, and what it brings.

    :param size: the bytes of all that it needs; ``alone``: of what nothing else needs.
    """

    root: Root
    releases: int
    size: int
    alone: int


@dataclass(frozen=True)
class Dossier:
    """All that is shown of a mirror.

    :param advisories_from: what the advisories are that releases were judged by, in words; empty: none were looked at.
    :param advisories_newest: when the newest record of the dump was modified, as it says; empty: there is no dump.
    :param origins: what is to be said of where files come from, the worst first; a line each. ``origins_unchecked``: what
        of that is not known.
    """

    config: Config
    plan: Plan
    components: tuple[Component, ...]
    changes: Changes
    advisories_from: str
    origins: tuple[str, ...] = ()
    origins_unchecked: tuple[str, ...] = ()
    advisories_newest: str = ""

    @property
    def policy(self) -> Policy | None:
        """The policy that the mirror was made by; None: there is none."""
        return self.config.policy

    @cached_property
    def plan_digest(self) -> str:
        """The SHA-256 of the plan, as it is kept."""
        return self.plan.digest

    @cached_property
    def as_of(self) -> datetime.date | None:
        """The day by which was judged; None where nothing was."""
        return None if self.plan.judged is None else datetime.date.fromisoformat(self.plan.judged.as_of)

    @cached_property
    def age_of_advisories(self) -> int | None:
        """How many days before the day of judging the dump ends; None where there is none, or its record has no day."""
        try:
            newest = datetime.date.fromisoformat(self.advisories_newest[:10])
        except ValueError:
            return None
        return None if self.as_of is None else (self.as_of - newest).days

    @cached_property
    def planned(self) -> tuple[Component, ...]:
        """The releases of the plan: without what is only kept for locks."""
        return tuple(one for one in self.components if one.environments)

    @cached_property
    def roots(self) -> Sequence[RootCost]:
        """What each root brings, the largest first."""
        found: dict[str, list[Component]] = defaultdict(list)
        for one in self.planned:
            for name in one.asked_by:
                found[name].append(one)
        costs = (_cost(root, found[root.name]) for root in self.config.roots)
        return sorted(costs, key=lambda one: (-one.size, one.root.name))

    @cached_property
    def odd_licences(self) -> tuple[OddLicence, ...]:
        """The releases whose licence is to be looked at."""
        rule = self.policy.licences if self.policy else None
        return odd_licences(self.components, rule, self._waived)

    @cached_property
    def licences(self) -> Sequence[LicenceCount]:
        """All licences, by count."""
        return licence_counts(self.components)

    @cached_property
    def holes(self) -> tuple[Hole, ...]:
        """The advisories on what is there, the worst first."""
        return holes(self.components, self.policy)

    @cached_property
    def exceptions(self) -> tuple[UsedException, ...]:
        """The exceptions of the policy."""
        waivers = self.policy.exceptions if self.policy else ()
        return used_exceptions(waivers, self.plan.waived, self.as_of)

    @cached_property
    def refused(self) -> tuple[Refused, ...]:
        """What the policy kept out."""
        return refused(self.plan.passed_over)

    @cached_property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be checked, a line each."""
        return tuple(self._unchecked())

    def _unchecked(self) -> Iterator[str]:
        yield from (f"no solution was found for {line}" for line in self.plan.lacking)
        if not self.advisories_from:
            yield "advisories: mirror.yaml names none (policy.advisories), so that no release was looked up"
        else:
            unknown = [one.name for one in self.components if one.matches is None]
            yield from _told("advisories: nobody knows of", unknown)
        yield from _told(
            "nobody could read what they say of themselves:", [c.name for c in self.components if c.unread]
        )
        yield from self.origins_unchecked
        sizes = [file.filename for file in self.plan.files if file.size is None]
        yield from _told("the index does not say the size of", sizes)
        times = [file.filename for file in self.plan.files if not file.file.upload_time]
        yield from _told("the index does not say when they were uploaded:", times)

    def _waived(self, component: Component, rule: str) -> Waived | None:
        return next(iter(self._waivers.get((component.project, component.version, rule), ())), None)

    @cached_property
    def _waivers(self) -> Mapping[tuple[str, str, str], Sequence[Waived]]:
        found: dict[tuple[str, str, str], list[Waived]] = defaultdict(list)
        for one in self.plan.waived:
            found[one.project, one.version, one.rule].append(one)
        return found


_MOST_NAMED = 12


def _told(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else ""
        yield f"{what} {', '.join(names[:_MOST_NAMED])}{more}"


def _cost(root: Root, components: Sequence[Component]) -> RootCost:
    alone = sum(one.size for one in components if len(one.asked_by) == 1)
    return RootCost(root, len(components), sum(one.size for one in components), alone)


def known(plan: Plan, components: Iterable[Component]) -> Snapshot:
    """Return what later reports are compared with."""
    ones = [one for one in components if one.environments]
    checked = [one for one in ones if one.matches is not None]
    findings = {one.key: tuple(Finding(match.id, match.severity) for match in one.matches or ()) for one in checked}
    licences = {one.key: shown(one.licence) for one in ones if not one.unread}
    return snapshot(plan, licences, findings if checked else None)
