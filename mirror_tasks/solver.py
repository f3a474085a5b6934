"""The solver: can a root be installed, all of it together, from a given set of releases? With resolvelib, as pip does.

It does no I/O: it reads from a :class:`Universe`, which raises :class:`Wanted` for what it does not know yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation

from mirror_tasks.config import Root
from mirror_tasks.environments import Environment
from mirror_tasks.metadata import CoreMetadata
from mirror_tasks.pages import File, Project
from mirror_tasks.selection import Candidate, Rules, check_python, fitting, is_pin, parse_requirement, why_unsatisfied

MOST_ROUNDS = 20_000


class Wanted(Exception):  # noqa: N818 - not an error: it says what has to arrive first
    """The universe does not know this yet: the page of a project, or the core metadata of files of it."""

    def __init__(self, project: NormalizedName, files: Sequence[File] = ()) -> None:
        super().__init__(project)
        self.project = project
        self.files = tuple(files)


class Universe(Protocol):
    """What a solver may choose from."""

    def project(self, name: NormalizedName) -> Project | None:
        """Return a project with the releases there are, or None; raise :class:`Wanted`."""

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | None:
        """Return the core metadata of a file, or None where it can't be used; raise :class:`Wanted`."""


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement as the solver handles it: of a project, or of a project with extras."""

    name: NormalizedName
    extras: frozenset[str]
    specifier: SpecifierSet
    hashes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


@dataclass(frozen=True, slots=True, eq=False)
class Pick:
    """A release the solver may pick, with the file that an installer would take; one object for each."""

    name: NormalizedName
    extras: frozenset[str]
    version: Version
    file: File

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.name}{extras}-{self.version}"


@dataclass(frozen=True, slots=True)
class Solution:
    """Releases that can be installed together: for each project its version and the file to take."""

    pins: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why there is no solution, in the user's terms, a line each."""

    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.lines)


def solve(root: Root, environment: Environment, universe: Universe, rules: Rules) -> Solution | Conflict:
    """Look for releases with which a root can be installed in an environment.

    :raises Wanted: the universe has to learn something first; call again then.
    """
    provider = _Provider(root, environment, universe, rules)
    watcher = _Watcher()
    needs = [
        need
        for one in root.requirements
        if environment.wants(one.requirement.marker, ()) and (need := _need(one.requirement, one.hashes)) is not None
    ]
    try:
        result = Resolver(provider, watcher).resolve(needs, max_rounds=MOST_ROUNDS)
    except ResolutionImpossible as error:
        return Conflict(tuple(_explain(error.causes, watcher.askers, provider)))
    except ResolutionTooDeep:
        return Conflict((f"no solution was found in {MOST_ROUNDS} rounds of backtracking",))
    return Solution({pick.name: (str(pick.version), pick.file.filename) for pick in result.mapping.values()})


def _need(requirement: Requirement, hashes: frozenset[str] = frozenset()) -> Need | None:
    if requirement.url:
        return None
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    return Need(canonicalize_name(requirement.name), extras, requirement.specifier, hashes)


Identifier = tuple[NormalizedName, frozenset[str]]


@dataclass(eq=False)
class _Provider(AbstractProvider[Need, Pick, Identifier]):
    root: Root
    environment: Environment
    universe: Universe
    rules: Rules
    _bounds: dict[NormalizedName, SpecifierSet] = field(default_factory=dict)
    _picks: dict[tuple[object, ...], Pick] = field(default_factory=dict)
    _seen: dict[NormalizedName, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.root.constraints:
            name = canonicalize_name(one.name)
            self._bounds[name] = self._bounds.get(name, SpecifierSet()) & one.specifier

    def identify(self, requirement_or_candidate: Need | Pick) -> Identifier:
        """A project with extras is a thing of its own, which depends on the plain project at the same version."""
        return (requirement_or_candidate.name, requirement_or_candidate.extras)

    def get_preference(
        self,
        identifier: Identifier,
        resolutions: Mapping[Identifier, Pick],
        candidates: Mapping[Identifier, Iterator[Pick]],
        information: Mapping[Identifier, Iterator[RequirementInformation[Need, Pick]]],
        backtrack_causes: Sequence[RequirementInformation[Need, Pick]],
    ) -> tuple[Any, ...]:
        """What is pinned comes first, then what the last conflict was about, then what was asked for first."""
        pinned = any(is_pin(one.requirement.specifier) for one in information[identifier])
        blamed = any(identifier[0] in (one.requirement.name, one.parent.name if one.parent else "") for one in backtrack_causes)
        first = self._seen.setdefault(identifier[0], len(self._seen))
        return (not pinned, not blamed, first, sorted(identifier[1]))

    def find_matches(
        self,
        identifier: Identifier,
        requirements: Mapping[Identifier, Iterator[Need]],
        incompatibilities: Mapping[Identifier, Iterator[Pick]],
    ) -> Callable[[], Iterator[Pick]]:
        """Return the releases that satisfy all that is required of a project; with extras, also what is required of it plain."""
        name, extras = identifier
        needs = list(requirements[identifier])
        if extras:
            needs += list(requirements.get((name, frozenset()), ()))
        bad = {pick.version for pick in incompatibilities[identifier]}
        specifier = self._bounds.get(name, SpecifierSet())
        hashes: frozenset[str] = frozenset()
        for need in needs:
            specifier &= need.specifier
            hashes |= need.hashes
        return lambda: self._matches(name, extras, specifier, hashes, bad)

    def _matches(
        self, name: NormalizedName, extras: frozenset[str], specifier: SpecifierSet, hashes: frozenset[str], bad: set[Version]
    ) -> Iterator[Pick]:
        project = self.universe.project(name)
        if project is None:
            return
        for one in fitting(project, specifier, self.environment, self.rules, hashes):
            if one.version not in bad and (file := self._installs(name, one)) is not None:
                key = (name, extras, one.version, file.filename)
                yield self._picks.setdefault(key, Pick(name, extras, one.version, file))

    def _installs(self, name: NormalizedName, one: Candidate) -> File | None:
        for file in one.files:
            metadata = self.universe.metadata(name, file)
            if metadata is not None and check_python(metadata.requires_python, self.environment.python) is None:
                return file
        return None

    def is_satisfied_by(self, requirement: Need, candidate: Pick) -> bool:
        """Pre-releases were decided in find_matches; deciding them here as well would contradict it."""
        return requirement.specifier.contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: Pick) -> Iterable[Need]:
        """Return what a release requires in the environment; what extras add is asked of the release with extras."""
        metadata = self.universe.metadata(candidate.name, candidate.file)
        assert metadata is not None, "a pick has metadata"
        if candidate.extras:
            yield Need(candidate.name, frozenset(), SpecifierSet(f"==={candidate.version}"))
        for line in metadata.requires_dist:
            requirement = parse_requirement(line)
            if requirement is None or not self._applies(requirement, candidate.extras):
                continue
            need = _need(requirement)
            # A requirement by URL can't be met from an index: no release of a project satisfies "===url".
            yield need or Need(canonicalize_name(requirement.name), frozenset(), SpecifierSet("===url"))

    def _applies(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        plain = self.environment.wants(requirement.marker, ())
        return not plain and self.environment.wants(requirement.marker, extras) if extras else plain


class _Watcher(BaseReporter[Need, Pick, Identifier]):
    """Remembers who first asked for a project, so that a conflict can be told as chains from the root."""

    def __init__(self) -> None:
        self.askers: dict[NormalizedName, tuple[Need, Pick | None]] = {}

    def adding_requirement(self, requirement: Need, parent: Pick | None) -> None:
        if parent is None or parent.name != requirement.name:
            self.askers.setdefault(requirement.name, (requirement, parent))


def _explain(
    causes: Sequence[RequirementInformation[Need, Pick]],
    askers: Mapping[NormalizedName, tuple[Need, Pick | None]],
    provider: _Provider,
) -> Iterator[str]:
    told: set[str] = set()
    for one in causes:
        line = _chain(one.requirement, one.parent, askers)
        if line not in told:
            told.add(line)
            yield line
    for name in dict.fromkeys(one.requirement.name for one in causes):
        specifier = provider._bounds.get(name, SpecifierSet())  # noqa: SLF001 - the same module
        for one in causes:
            if one.requirement.name == name:
                specifier &= one.requirement.specifier
        yield f"{name}{specifier}: {_why(name, specifier, provider)}"


def _chain(need: Need, parent: Pick | None, askers: Mapping[NormalizedName, tuple[Need, Pick | None]]) -> str:
    links = [str(need)]
    seen = {need.name}
    while parent is not None:
        links.append(str(parent))
        if parent.name in seen:
            break
        seen.add(parent.name)
        parent = askers[parent.name][1] if parent.name in askers else None
    return " <- ".join(links) + (" <- mirror.yaml" if parent is None else "")


def _why(name: NormalizedName, specifier: SpecifierSet, provider: _Provider) -> str:
    project = provider.universe.project(name)
    if project is None:
        return "the index has no project of this name"
    return why_unsatisfied(project, specifier, provider.environment, provider.rules)


__all__ = ["Conflict", "Need", "Pick", "Solution", "Universe", "Wanted", "solve"]
