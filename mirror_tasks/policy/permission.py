"""What the organisation's policy says of a file at one instant: permitted, or refused by a rule that nothing waives.

Each rule is one ``check_*`` that gives the reason phrase of its refusal, or None. A file that is refused is as if it were
not there: selection, closure and solver pass it over like one that has no tag in common.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.policy import Age, Constraint, Policy, ProjectPattern, RuleName, Waiver
from mirror_tasks.index.project import File

if TYPE_CHECKING:
    from mirror_tasks.policy.advisories import Advisories

UTC = datetime.timezone.utc
Said = CoreMetadata | Unusable | None
"""What is known of the core metadata of a file."""

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?", re.IGNORECASE | re.ASCII)

_A_QUARTER = datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Subject:
    """A file that is judged.

    :param project: normalised.
    :param index: the base URL of the index that served it; empty where that is not known.
    """

    project: NormalizedName
    version: Version
    file: File
    index: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says against a file.

    :param waiver: the exception that lets it in all the same; None: it is refused.
    :param advisory: the identifier of the advisory that is meant; empty for other rules.
    """

    rule: RuleName | Literal["as-of"]
    reason: str
    waiver: Waiver | None = None
    advisory: str = ""


def exception_for(project: str, version: Version, finding: Finding, as_of: datetime.date) -> str | None:
    """Return the entry under ``except`` that lets a release in, for a quarter; None where none can."""
    if finding.rule == "as-of":
        return None
    what = f"advisory: {finding.advisory}" if finding.advisory else f"rule: {finding.rule}"
    until = min(as_of, datetime.date.max - _A_QUARTER) + _A_QUARTER
    return f'- {{project: {project}, version: "{version}", {what}, reason: "…", until: {until}}}'


# The rules


def check_only(project: NormalizedName, version: Version, only: Iterable[ProjectPattern] | None) -> str | None:
    """Refuse what is not named, where the policy names all that may come."""
    if only is None or any(pattern.meets(project, version) for pattern in only):
        return None
    return "only: the policy does not name it"


def check_excluded(project: NormalizedName, version: Version, exclude: Iterable[ProjectPattern]) -> str | None:
    """Refuse what the policy names as excluded."""
    met = next((pattern for pattern in exclude if pattern.meets(project, version)), None)
    return f"exclude: the policy excludes {met.text}" if met else None


def check_constraints(
    project: NormalizedName, version: Version, constraints: Iterable[Constraint], environment: Environment
) -> str | None:
    """Refuse what a constraint leaves out wherever in an environment it would be installed."""
    for one in constraints:
        requirement = one.requirement
        if requirement.specifier.contains(version, prereleases=True):
            continue
        if environment.marker_always_applies(requirement.marker):
            return f"constraints: {one.where} holds {project} to {requirement.specifier}"
    return None


def check_cooldown(uploaded: str | None, age: Age, as_of: datetime.date) -> str | None:
    """Refuse a file that was uploaded later than the cooldown permits, or of which it is not known when.

    :param uploaded: when, as the index says it (PEP 700: ``upload-time``, ISO 8601 with Z), or None.
    :param as_of: the day of judging; a cooldown in days counts back from its beginning in UTC, so that all of a day's runs
        judge alike.
    """
    instant = instant_of(uploaded or "")
    if instant is None:
        said = f"its index gives an upload time that can't be read, {uploaded[:40]!r}" if uploaded else ""
        return f"cooldown: {age.text}, and {said or 'its index does not say when it was uploaded'}"
    last = last_instant(age, as_of)
    if instant < last:
        return None
    return f"cooldown: {age.text}, and it was uploaded on {instant:%Y-%m-%d}"


def check_as_of(uploaded: str | None, as_of: datetime.date) -> str | None:
    """Refuse a file that was uploaded after the day of judging. If it is not known when, it may have been there."""
    instant = instant_of(uploaded or "")
    if instant is None or instant.date() <= as_of:
        return None
    return f"as-of: {as_of}, and it was uploaded on {instant:%Y-%m-%d}"


def last_instant(age: Age, as_of: datetime.date) -> datetime.datetime:
    """Return the instant before which a file has to have been uploaded."""
    instants = []
    if age.day is not None:
        instants.append(_moved(_midnight(age.day), datetime.timedelta(days=1)))
    if age.seconds is not None:
        instants.append(_moved(_midnight(as_of), -datetime.timedelta(seconds=age.seconds)))
    return min(instants)


def _moved(instant: datetime.datetime, by: datetime.timedelta) -> datetime.datetime:
    """Return an instant so much later; the last that there is, or the first, where it would be beyond."""
    try:
        return instant + by
    except OverflowError:
        return (datetime.datetime.max if by > datetime.timedelta(0) else datetime.datetime.min).replace(tzinfo=UTC)


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=UTC)


@lru_cache(maxsize=1 << 14)
def instant_of(text: str) -> datetime.datetime | None:
    """Return the instant that an index gives; None where that is none. Fractions of a second are left away."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    try:
        zone = "+00:00" if (match[2] or "Z").upper() == "Z" else match[2]
        return datetime.datetime.fromisoformat(match[1].upper() + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class Permission:
    """Judges files by a policy; made once a run.

    :param as_of: the day of judging, in UTC.
    :param advisories: those of the policy; None where it names none.
    :param own: the projects whose files are the user's own: a cooldown does not mean them.
    :param without_times: the base URLs of indexes that give no upload times, of whose files a cooldown asks none.
    :param is_another_day: the user wants files to be judged as on a day that is past: what came after it is not there.
    :param let_in: releases that no rule refuses: see :meth:`letting_in`.
    """

    def __init__(
        self,
        policy: Policy,
        as_of: datetime.date,
        advisories: Advisories | None = None,
        own: Collection[str] = (),
        without_times: Collection[str] = (),
        *,
        is_another_day: bool = False,
        let_in: frozenset[tuple[str, Version]] = frozenset(),
    ) -> None:
        self.policy = policy
        self.as_of = as_of
        self.advisories = advisories
        self._own = frozenset(own)
        self._without_times = frozenset(without_times)
        self._constraints: dict[str, list[Constraint]] = {}
        for one in policy.constraints:
            self._constraints.setdefault(canonicalize_name(one.requirement.name), []).append(one)
        self._of_release: dict[tuple[str, Version], tuple[Finding, ...]] = {}
        self._is_another_day = is_another_day
        self._let_in = let_in

    def letting_in(self, releases: Collection[tuple[str, Version]]) -> Permission:
        """Return the same, but that no rule refuses these releases: to find out what stands in the way."""
        return Permission(
            self.policy,
            self.as_of,
            self.advisories,
            self._own,
            self._without_times,
            is_another_day=self._is_another_day,
            let_in=frozenset(releases),
        )

    def lets_in(self, project: str, version: Version) -> bool:
        """Say if a release is one of those that :meth:`letting_in` was called with."""
        return (project, version) in self._let_in

    def asks_index_of(self, file: File) -> bool:
        """Say if it matters which index serves a file: one that gives no upload times may be trusted without."""
        return file.upload_time is None and bool(self._without_times)

    @property
    def reads_metadata(self) -> bool:
        """Whether it judges a file by its core metadata, so that each has to be read."""
        return self.policy.licences is not None or self._asks_index

    @property
    def _asks_index(self) -> bool:
        return self.policy.advisories is not None and self.policy.advisories.source is None

    def of_file(self, subject: Subject, environment: Environment | None = None) -> str | None:
        """Return why a file is refused by what its page says, as a phrase; None if it is permitted.

        :param environment: None: constraints are not looked at.
        """
        return _reason(self.refusal(subject, environment))

    def refusal(self, subject: Subject, environment: Environment | None = None) -> Finding | None:
        """Return what refuses a file by what its page says, as :meth:`of_file`."""
        return _refused(self.findings(subject, environment))

    def of_metadata(self, project: NormalizedName, version: Version, metadata: Said) -> str | None:
        """Return why a file is refused by what its core metadata says, as a phrase; None if it is permitted.

        :param metadata: what can't be read, and what nobody knows (None), says nothing of a licence.
        """
        return _reason(self.refusal_in(project, version, metadata))

    def refusal_in(self, project: NormalizedName, version: Version, metadata: Said) -> Finding | None:
        """Return what refuses a file by what its core metadata says, as :meth:`of_metadata`."""
        return _refused(self.findings_in(project, version, metadata))

    def findings(self, subject: Subject, environment: Environment | None = None) -> Iterator[Finding]:
        """Yield what the rules say against a file by its page, waived or not."""
        if self._let_in and self.lets_in(subject.project, subject.version):
            return
        yield from self._findings_of_release(subject.project, subject.version)
        if environment is not None and (constraints := self._constraints.get(subject.project)):
            reason = check_constraints(subject.project, subject.version, constraints, environment)
            yield from self._found("constraints", subject.project, subject.version, reason)
        if age := self._age(subject):
            reason = check_cooldown(subject.file.upload_time, age, self.as_of)
            yield from self._found("cooldown", subject.project, subject.version, reason)
        if self._is_another_day and (reason := check_as_of(subject.file.upload_time, self.as_of)):
            yield Finding("as-of", reason)

    def findings_in(self, project: NormalizedName, version: Version, metadata: Said) -> Iterator[Finding]:
        """Yield what the rules say against a file by its core metadata, waived or not; see :meth:`of_metadata`."""
        if self.policy.licences is not None:
            # Only here, for the library of SPDX expressions takes longer to load than all others together.
            from mirror_tasks.policy.licences import check_licence, licence_of, unread_licence

            unread = metadata.reason if isinstance(metadata, Unusable) else ""
            read = metadata.repaired if isinstance(metadata, Unusable) else metadata
            licence = licence_of(read) if read else unread_licence(unread)
            reason = check_licence(licence, self.policy.licences)
            yield from self._found("licences", project, version, reason)
        if self._asks_index and project not in self._own:  # of the user's own files no index knows
            yield from self._advisories(project, version)

    def _age(self, subject: Subject) -> Age | None:
        """Return how old a file has to be; None: it may be of any age."""
        if self.policy.cooldown is None or subject.project in self._own:
            return None
        is_without = subject.file.upload_time is None and self._without_times
        if is_without and (not subject.index or subject.index in self._without_times):
            return None
        return self.policy.cooldown.of(subject.project)

    def _findings_of_release(self, project: NormalizedName, version: Version) -> tuple[Finding, ...]:
        key = (project, version)
        if key not in self._of_release:
            self._of_release[key] = tuple(self._judged_release(project, version))
        return self._of_release[key]

    def _judged_release(self, project: NormalizedName, version: Version) -> Iterator[Finding]:
        yield from self._found("only", project, version, check_only(project, version, self.policy.only))
        yield from self._found("exclude", project, version, check_excluded(project, version, self.policy.exclude))
        if not self._asks_index:
            yield from self._advisories(project, version)

    def _found(
        self, rule: RuleName, project: NormalizedName, version: Version, reason: str | None
    ) -> Iterator[Finding]:
        if reason:
            waivers = (one for one in self.policy.exceptions if one.is_for(rule, project, version))
            yield Finding(rule, reason, next(waivers, None))

    def _advisories(self, project: NormalizedName, version: Version) -> Iterator[Finding]:
        """Yield each advisory that is refused by itself: an exception may be for one of them only."""
        rule = self.policy.advisories
        if rule is None or self.advisories is None:
            return
        from mirror_tasks.policy.advisories import check_advisories, waiver_of

        waivers = [one for one in self.policy.exceptions if one.is_for("advisories", project, version)]
        matches = self.advisories.of_release(project, version)
        if matches is None and (reason := check_advisories(None, rule)):
            # An exception for one advisory says nothing of a release of which nobody knows.
            yield Finding("advisories", reason, next((one for one in waivers if not one.advisory), None))
        for match in matches or ():
            if reason := check_advisories((match,), rule):
                yield Finding("advisories", reason, waiver_of(match, waivers), match.id)


def _refused(findings: Iterable[Finding]) -> Finding | None:
    return next((one for one in findings if one.waiver is None), None)


def _reason(finding: Finding | None) -> str | None:
    return finding.reason if finding else None
