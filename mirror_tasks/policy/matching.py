"""Whether an advisory is about a version: ranges and enumerated versions, as the OSV schema says that they are judged.

Versions are compared as PEP 440 says, those of ``SEMVER`` ranges too: of a project of this ecosystem nothing else has
versions. Things the schema leaves open:

- A version with a local label (``2.1+cu118``) is judged as the version that it was built from, where a bound has no
  label itself: as specifiers do.
- A range that is fixed and introduced at one version goes on there, if it was under way.
- A range with a bound that is no version is passed over where versions are enumerated beside it; where none are, what was
  introduced there counts as always there, and what was fixed there as never fixed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.policy import SeverityName
from mirror_tasks.policy.advisories import Match

Events = Sequence[tuple[str, str]]

_is_plain = re.compile(r"(?:0|[1-9][0-9]{0,9})(?:\.(?:0|[1-9][0-9]{0,9})){0,5}").fullmatch
_ZEROS = re.compile(r"(?:\.0)+$")
_BEGINNING = "0"  # sorts before every version, pre-releases of 0 among them
_ENDLESS = "*"  # of a limit: none


@lru_cache(maxsize=1 << 14)
def version_or_none(text: str) -> Version | None:
    """Return a version as PEP 440 reads it, None where it does not."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def listed_or_none(text: str) -> str | None:
    """Return a version as :func:`listed` does, None where it is none."""
    if _is_plain(text):
        return _ZEROS.sub("", text)  # as below, in a tenth of the time: a dump has hundred thousands
    version = version_or_none(text)
    return None if version is None else listed(version)


def listed(version: Version) -> str:
    """Return a version as it is compared with those that are enumerated: ``1.0`` is ``1``."""
    return canonicalize_version(version)


class _Judged(NamedTuple):
    """A version, and what it was built from: the same without its local label."""

    version: Version
    public: Version

    @classmethod
    def of(cls, version: Version) -> _Judged:
        return cls(version, version if version.local is None else Version(version.public))

    def against(self, bound: Version) -> Version:
        """Return what is compared with a bound."""
        return self.public if bound.local is None else self.version


class Reach:
    """What one record says of one project: which versions it is about.

    :param ranges: each the events of one, in any order.
    :param versions: those that are enumerated, as :func:`listed` writes them.
    """

    __slots__ = ("_fixed", "_ranges", "_versions")

    def __init__(self, ranges: Iterable[Events], versions: Iterable[str]) -> None:
        self._versions = frozenset(versions)
        read = [_Range.of(events) for events in ranges]
        self._ranges = [one for one in read if one.is_clear or not self._versions]
        self._fixed = [version for one in read for version in one.fixed]

    def meets(self, version: Version) -> bool:
        """Say if it is about a version."""
        judged = _Judged.of(version)
        if self._versions and not self._versions.isdisjoint(map(listed, judged)):
            return True
        return any(one.meets(judged) for one in self._ranges)

    def fixed_after(self, version: Version) -> Iterable[Version]:
        """Return the later versions that are said to fix it."""
        return (one for one in self._fixed if one > version)


class _Turn(NamedTuple):
    """What a range says at one version.

    :param bound: None stands for the beginning.
    """

    bound: Version | None
    kinds: frozenset[str]

    def after(self, found: bool, *, at: bool) -> bool:
        """Return whether a version is affected once this is taken into account; it is the bound, or a later one.

        The schema says nothing of a range that is fixed and introduced at one version. In real records one stretch ends
        there and the next begins: what was affected before stays so, and what was not is not.

        :param found: it was by what is said of earlier versions.
        :param at: it is the bound.
        """
        has_last = at and "fixed" not in self.kinds  # that which is affected last
        if "introduced" not in self.kinds:
            return found and has_last
        return found or has_last or len(self.kinds) == 1


class _Range(NamedTuple):
    """The events of one range, in the order of their versions.

    :param limits: only versions before one of them are looked at, where there are any.
    :param fixed: the versions that it says to be fixed.
    :param is_clear: all bounds are versions.
    """

    turns: list[_Turn]
    limits: list[Version]
    fixed: list[Version]
    is_clear: bool

    @classmethod
    def of(cls, events: Events) -> _Range:
        read = [(kind, text, None if text == _BEGINNING else version_or_none(text)) for kind, text in events]
        known = [(kind, version) for kind, text, version in read if version or (kind == "introduced" and text)]
        kinds: dict[Version | None, set[str]] = {}
        for kind, version in known:
            if kind != "limit":
                kinds.setdefault(version, set()).add(kind)
        return cls(
            [_Turn(bound, frozenset(kinds[bound])) for bound in sorted(kinds, key=_beginning_first)],
            _limits(version for kind, _, version in read if kind == "limit"),
            [version for kind, version in known if kind == "fixed" and version],
            all(version or text in (_BEGINNING, _ENDLESS) for _, text, version in read),
        )

    def meets(self, judged: _Judged) -> bool:
        if self.limits and all(judged.against(limit) >= limit for limit in self.limits):
            return False
        found = False
        for turn in self.turns:
            if turn.bound is None:
                found = turn.after(found, at=False)
            elif (version := judged.against(turn.bound)) >= turn.bound:
                found = turn.after(found, at=version == turn.bound)
        return found


def _limits(said: Iterable[Version | None]) -> list[Version]:
    """Return limits; none where one of them is none, as ``*`` is: a version has to be before one of them only."""
    known = list(said)
    return [] if None in known else [one for one in known if one]


def _beginning_first(bound: Version | None) -> tuple[bool, Version]:
    return bound is not None, bound or _ANY


_ANY = Version("0")


@dataclass(frozen=True)
class Hole:
    """One hole of one project, or malware: all that the records say which have it by one identifier or another.

    :param reaches: of each record. Where they differ, a version is met if one of them meets it.
    """

    id: str
    aliases: tuple[str, ...]
    severity: SeverityName
    severity_from: str
    is_malware: bool
    summary: str
    reaches: tuple[tuple[tuple[Events, ...], tuple[str, ...]], ...]

    @cached_property
    def _read(self) -> list[Reach]:
        return [Reach(ranges, versions) for ranges, versions in self.reaches]

    def meets(self, version: Version) -> bool:
        """Say if a version has it."""
        return any(reach.meets(version) for reach in self._read)

    def match(self, version: Version) -> Match | None:
        """Return it as a match of a version, None if that has it not."""
        if not self.meets(version):
            return None
        fixes = {fix for reach in self._read for fix in reach.fixed_after(version)}
        return Match(
            self.id,
            self.aliases,
            self.severity,
            self.severity_from,
            self.is_malware,
            self.summary,
            tuple(str(fix) for fix in sorted(fixes) if not self.meets(fix)),
        )
