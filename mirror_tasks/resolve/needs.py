"""What a solver asks and is told: needs, the releases that there are, and what has to arrive before it can go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Protocol

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.archives.requirements import normalized, parse_requirement
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.by_url import BY_URL
from mirror_tasks.text import with_extras

NOTHING: frozenset[str] = frozenset()
"""No extras, no hashes: each empty set that is made has 216 bytes of its own, and a large plan has 60,000 places for one."""


Missing = Mapping[NormalizedName, tuple[File, ...]]
"""What has to arrive, as :class:`NotKnownYet` says it. That error itself is not kept: it holds all that a search made."""


class NotKnownYet(Exception):  # noqa: N818 - not an error: it says what has to arrive first
    """The universe does not know this yet: pages of projects, and the core metadata of files of them.

    :param files: the files whose core metadata is wanted, by project; a project without files: its page.
    """

    def __init__(self, files: Mapping[NormalizedName, Iterable[File]]) -> None:
        super().__init__(*files)
        self.files: Missing = {name: tuple(some) for name, some in files.items()}


class Undecided(Exception):  # noqa: N818 - as above: the task that asked has failed and says why
    """Something that the universe would have to know could not be had."""


class Universe(Protocol):
    """What a solver may choose from."""

    def project(self, name: NormalizedName) -> Project | None:
        """Return a project with the releases there are, or None; raise :class:`NotKnownYet`."""

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
        """Return the core metadata of a file, or why it can't be used; raise :class:`NotKnownYet`."""


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement as a solver handles it: of a project, or of a project with extras."""

    name: NormalizedName
    extras: frozenset[str]
    specifier: SpecifierSet = field(compare=False)
    hashes: frozenset[str] = NOTHING
    text: str = field(init=False, repr=False)  # of the specifier, which hashes and compares slowly

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", intern(str(self.specifier)))

    def __str__(self) -> str:
        return f"{with_extras(self.name, self.extras)}{self.text}"


@dataclass(frozen=True, slots=True)
class Release:
    """A release as an installer would take it: the version and the file."""

    version: Version
    file: File


def need_of(requirement: Requirement, hashes: frozenset[str] = NOTHING) -> Need | None:
    """Return the need of a requirement; None for one by URL, which an index can't meet."""
    if requirement.url:
        return None
    extras = frozenset(map(normalized, requirement.extras)) or NOTHING
    return Need(normalized(requirement.name), extras, requirement.specifier, hashes)


@lru_cache(maxsize=1 << 15)
def need_in(line: str) -> tuple[Requirement, Need] | None:
    """Return a line of core metadata as a requirement and as a need; None where PEP 508 does not allow it.

    Solvers of all environments share the result.
    """
    requirement = parse_requirement(line)
    if requirement is None:
        return None
    return requirement, need_of(requirement) or Need(normalized(requirement.name), NOTHING, BY_URL)


def together(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Return the needs of one asker, with what it says of one project in several lines as one: any of these may be a pin."""
    needs = tuple(needs)
    if len({need.name for need in needs}) == len(needs):  # nearly always
        return needs
    specifiers: dict[NormalizedName, SpecifierSet] = {}
    hashes: dict[NormalizedName, frozenset[str]] = {}
    for need in needs:
        specifiers[need.name] = specifiers.get(need.name, SpecifierSet()) & need.specifier
        hashes[need.name] = hashes.get(need.name, NOTHING) | need.hashes
    merged = dict.fromkeys((need.name, need.extras) for need in needs)
    return tuple(Need(name, extras, specifiers[name], hashes[name]) for name, extras in merged)


@lru_cache(maxsize=1 << 15)
def admitted(project: Project, specifier: SpecifierSet) -> int:
    """Return the versions of a project that satisfy a specifier, pre-releases too: bit N stands for ``versions[N]``."""
    if not specifier:
        return (1 << len(project.versions)) - 1
    return sum(
        1 << position
        for position, version in enumerate(project.versions)
        if specifier.contains(version, prereleases=True)
    )


@lru_cache(maxsize=1 << 13)
def prereleases(project: Project) -> int:
    """Return the versions of a project that are pre-releases: bit N stands for ``versions[N]``."""
    return sum(1 << position for position, version in enumerate(project.versions) if version.is_prerelease)


def positions(bits: int) -> Iterator[int]:
    """Yield the positions of the bits that are set, the lowest first: that of the newest version."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
