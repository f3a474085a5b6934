"""What is known against a release: the advisories that meet it, and which of them the policy refuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.policy import SEVERITIES, AdvisoryRule, SeverityName, Waiver

NOT_CHECKED = "advisories: nobody was found who knows of this release: not checked"


Verdict = Literal["refused", "waived", "reported"]
VERDICTS: tuple[Verdict, ...] = ("refused", "waived", "reported")


@dataclass(frozen=True, slots=True)
class Match:
    """A hole that a release has, or malware that it is; what several databases say of one hole is one match.

    :param id: that by which it is shown: of malware the ``MAL-`` identifier, else the one that most people know.
    :param aliases: its other identifiers, sorted.
    :param severity_from: whence the severity is, such as ``CVSS 3.1: 7.5``.
    :param summary: a line of foreign text: to be escaped where it is shown.
    :param fixed: the versions in which it is fixed, the lowest first.
    """

    id: str
    aliases: tuple[str, ...]
    severity: SeverityName
    severity_from: str
    is_malware: bool
    summary: str
    fixed: tuple[str, ...]

    def is_named(self, identifier: str) -> bool:
        """Say if an identifier is this one's or an alias of it, in whichever case."""
        return identifier.casefold() in (one.casefold() for one in (self.id, *self.aliases))

    def __str__(self) -> str:
        cves = [one for one in self.aliases if one.startswith("CVE-")]
        if self.is_malware:
            return f"malware {self.id}"
        return f"advisory {self.id} ({', '.join([self.severity, *cves[:2]])})"


class Advisories(Protocol):
    """What a source of advisories says of releases; may be shared by threads.

    A dump (:class:`~mirror_tasks.policy.compiled.DumpAdvisories`) knows of all releases at once, an index
    (:class:`~mirror_tasks.state.release_advisories.IndexAdvisories`) of those that it was asked for in this run.
    """

    @property
    def shown(self) -> str:
        """The dump as the user wrote it, or ``index``."""

    @property
    def digest(self) -> str:
        """Identifies a dump; empty for an index."""

    @property
    def newest(self) -> str:
        """When the record of a dump was modified that was modified last, in ISO 8601; empty for an index."""

    @property
    def records(self) -> int:
        """How many records a dump has; 0 for an index."""

    def of_release(self, name: NormalizedName, version: Version) -> tuple[Match, ...] | None:
        """Return what is known against a release; None where nobody knows of it: it was not checked."""


def is_refused(match: Match, rule: AdvisoryRule) -> bool:
    """Say if a rule refuses what a match is about, waivers apart. Of malware the key ``malware`` alone decides."""
    if match.is_malware:
        return rule.malware == "refuse"
    if rule.refuse is None:
        return False
    return rule.refuse == "any" or SEVERITIES.index(match.severity) >= SEVERITIES.index(rule.refuse)


def check_advisories(matches: Iterable[Match] | None, rule: AdvisoryRule) -> str | None:
    """Refuse a release that has an advisory of a severity that is refused, or that is malware.

    :param matches: None where nobody knows of the release; waivers of that are the caller's.
    """
    if matches is None:
        return NOT_CHECKED if rule.not_checked == "refuse" else None
    refused = sorted((one for one in matches if is_refused(one, rule)), key=_worst_first)
    if not refused:
        return None
    more = f"; and {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"{refused[0]}: {fix_of(refused[0])}{more}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a policy says of one match.

    :param waiver: the exception that lets it in; None unless it is waived.
    """

    match: Match
    verdict: Verdict
    waiver: Waiver | None = None


def judged(
    matches: Iterable[Match],
    rule: AdvisoryRule,
    exceptions: Iterable[Waiver],
    name: NormalizedName,
    version: Version,
) -> tuple[Judgement, ...]:
    """Return what a policy says of each match of a release, the worst first."""
    waivers = [one for one in exceptions if one.is_for("advisories", name, version)]
    found = [_judgement(match, rule, waivers) for match in matches]
    return tuple(sorted(found, key=lambda one: (VERDICTS.index(one.verdict), *_worst_first(one.match))))


def _judgement(match: Match, rule: AdvisoryRule, waivers: Iterable[Waiver]) -> Judgement:
    if not is_refused(match, rule):
        return Judgement(match, "reported")
    waiver = waiver_of(match, waivers)
    return Judgement(match, "waived" if waiver else "refused", waiver)


def waiver_of(match: Match, waivers: Iterable[Waiver]) -> Waiver | None:
    """Return the first of some exceptions, all for the release, that lets a match in; malware has to be named by it."""
    meant = (one for one in waivers if (match.is_named(one.advisory) if one.advisory else not match.is_malware))
    return next(meant, None)


def fix_of(match: Match) -> str:
    """Say what fixes a hole, as a phrase."""
    if match.is_malware:
        return "remove it" if not match.fixed else f"removed in {', '.join(match.fixed)}"
    return f"fixed in {', '.join(match.fixed)}" if match.fixed else "no fixed release is known"


def _worst_first(match: Match) -> tuple[bool, int, str]:
    return not match.is_malware, -SEVERITIES.index(match.severity), match.id
