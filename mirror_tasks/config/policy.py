"""The key ``policy:`` of ``mirror.yaml``: what may come in, and what was waived, why and until when."""

from __future__ import annotations

import datetime
import fnmatch
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mirror_tasks.text import counted

RuleName = Literal["cooldown", "exclude", "only", "constraints", "licences", "advisories"]
RULES: tuple[RuleName, ...] = ("cooldown", "exclude", "only", "constraints", "licences", "advisories")
"""The rules of a policy that an exception can name; each is the key of that name."""

SeverityName = Literal["low", "moderate", "high", "critical"]
SEVERITIES = ("low", "moderate", "high", "critical")
"""The severities of an advisory, the least one first."""


@dataclass(frozen=True, slots=True)
class ProjectPattern:
    """Projects, and of these some versions: ``left-pad``, ``somelib<2``, ``ours-*``.

    :param name: a normalised name, in which ``*`` stands for any characters.
    :param specifier: which versions, as written; empty for all. Pre-releases are meant like any others.
    :param text: as the user wrote it.
    :param release: the one version that is meant, where it is one: ``==1.0`` would mean ``1.0+cu118`` as well.
    """

    name: str
    specifier: str
    text: str
    release: Version | None = None

    def meets(self, name: str, version: Version) -> bool:
        """Say if a release is meant; ``name`` is normalised."""
        if self.release is not None and version != self.release:
            return False
        return self.meets_name(name) and (
            not self.specifier or SpecifierSet(self.specifier).contains(version, prereleases=True)
        )

    def meets_name(self, name: str) -> bool:
        """Say if releases of a project may be meant."""
        return name == self.name or fnmatch.fnmatchcase(name, self.name)


@dataclass(frozen=True, slots=True)
class Age:
    """How old a file has to be: so many seconds before the instant of judging, or uploaded on a day (UTC) or before.

    One of the two is None, unless a shared file says the one and ``mirror.yaml`` the other: then both count.

    :param text: as the user wrote it: ``14d`` or ``2026-11-01``.
    """

    seconds: float | None
    day: datetime.date | None
    text: str

    def and_also(self, other: Age | None) -> Age:
        """Return what a file has to be to be old enough for both."""
        if other is None or other == self:
            return self
        seconds = [one for one in (self.seconds, other.seconds) if one is not None]
        days = [one for one in (self.day, other.day) if one is not None]
        both = Age(max(seconds, default=None), min(days, default=None), f"{other.text} and {self.text}")
        same = (one for one in (self, other) if (one.seconds, one.day) == (both.seconds, both.day))
        return next(same, both)


@dataclass(frozen=True, slots=True)
class Cooldown:
    """The key ``cooldown``.

    :param default: None: no cooldown for projects that no pattern meets.
    :param by_project: the first whose pattern meets counts.
    :param shared: that of the file that several share; what is wanted there is wanted as well.
    """

    default: Age | None
    by_project: tuple[tuple[ProjectPattern, Age | None], ...] = ()
    shared: Cooldown | None = None

    def of(self, name: str) -> Age | None:
        """Return how old the files of a project have to be; None: of any age."""
        own = next((age for pattern, age in self.by_project if pattern.meets_name(name)), self.default)
        shared = self.shared.of(name) if self.shared else None
        return shared if own is None else own.and_also(shared)


@dataclass(frozen=True, slots=True)
class LicenceRule:
    """The key ``licences``.

    :param allow: SPDX licence identifiers, and ``WITH`` expressions, as SPDX spells them; None: all are.
    """

    allow: frozenset[str] | None
    unknown: Literal["refuse", "report"]


@dataclass(frozen=True, slots=True)
class AdvisoryRule:
    """The key ``advisories``.

    :param source: the absolute path of a dump, a zip or a folder; None: the index's own JSON API.
    :param shown: the dump as the user wrote it; ``index`` for the API.
    :param refuse: the least severity that is refused; ``any``; None: none is refused, all are reported.
    """

    source: Path | None
    shown: str
    refuse: Literal["low", "moderate", "high", "critical", "any"] | None
    malware: Literal["refuse", "report"]
    not_checked: Literal["refuse", "report"]


@dataclass(frozen=True, slots=True)
class Waiver:
    """An entry under ``except``: what comes in although a rule refuses it.

    :param projects: whose releases it is for; None: those that the advisory is about.
    :param rule: which rule it waives; ``advisories`` where it names one.
    :param advisory: the identifier (or an alias) of the advisory that it waives; empty: all that the rule says.
    :param until: the last day (UTC) before it ends: on this day it is a fault.
    :param where: its place, such as ``mirror.yaml: policy.except[0]``.
    """

    projects: ProjectPattern | None
    rule: RuleName
    advisory: str
    reason: str
    until: datetime.date
    where: str

    def is_for(self, rule: RuleName, name: str, version: Version) -> bool:
        """Say if it waives a rule for a release; which advisory it names is not looked at."""
        return rule == self.rule and (self.projects is None or self.projects.meets(name, version))

    @property
    def shown(self) -> str:
        """What it is for, in a few words: ``requests==2.34.2``, ``GHSA-… in requests``."""
        projects = self.projects.text if self.projects else ""
        return " in ".join(filter(None, (self.advisory, projects)))


@dataclass(frozen=True, slots=True)
class Constraint:
    """A line of ``constraints``.

    :param where: its place, such as ``company.txt:3``.
    """

    requirement: Requirement = field(hash=False)
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What stands under ``policy:``, that of ``policy.file`` among it.

    :param only: where given, nothing else may come.
    :param exceptions: those that have ended are not among them: they are faults.
    :param approval_required: a transfer refuses what nobody approved.
    :param warnings: what the user is told each time, a sentence each: exceptions that end within a week.
    :param said: all that was read, keys, constraints and the shared file, in a form that is equal where nothing changed.
    :param shared_file: the file that several ``mirror.yaml`` share, as this one names it; empty: there is none.
    :param waived_there: the rules of which exceptions stand in that file alone.
    """

    cooldown: Cooldown | None = None
    exclude: tuple[ProjectPattern, ...] = ()
    only: tuple[ProjectPattern, ...] | None = None
    constraints: tuple[Constraint, ...] = ()
    licences: LicenceRule | None = None
    advisories: AdvisoryRule | None = None
    exceptions: tuple[Waiver, ...] = ()
    approval_required: bool = False
    warnings: tuple[str, ...] = ()
    said: Mapping[str, object] = field(default_factory=dict, hash=False)
    shared_file: str = ""
    waived_there: frozenset[RuleName] = frozenset()

    @property
    def own_exceptions(self) -> tuple[Waiver, ...]:
        """Those of ``mirror.yaml``, without what the shared file has."""
        shared = f"{self.shared_file}: "
        return tuple(one for one in self.exceptions if not (self.shared_file and one.where.startswith(shared)))

    def place_of_exceptions(self, rule: str) -> str:
        """Return where an exception of a rule has to stand, as messages name it."""
        return f"except in {self.shared_file}" if rule in self.waived_there else "policy.except"


def has_rule(policy: Policy, rule: RuleName) -> bool:
    """Say if a policy has a rule."""
    return getattr(policy, rule) not in (None, ())


DAYS_OF_WARNING = 7
"""So long before an exception ends it is told."""


def ending(exceptions: Iterable[Waiver], today: datetime.date) -> tuple[str, ...]:
    """Return a line for each exception that ends soon.

    :param today: the day in UTC.
    """
    return tuple(
        f"{one.where}: the exception of {one.rule} for {one.shown} ends on {one.until}, in "
        f"{counted((one.until - today).days, 'day')}; from that day on it is an error"
        for one in exceptions
        if (one.until - today).days <= DAYS_OF_WARNING
    )


def policy_digest(policy: Policy) -> str:
    """Return the sha256 of all that a policy says, in hexadecimal; it is the same where nothing changed, on every machine."""
    said = json.dumps(policy.said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(said.encode("ascii")).hexdigest()
