"""The solver: can a root be installed, all of it together, from a given set of releases? With resolvelib, as pip does.

It does no I/O: it reads from a :class:`Universe`, which raises :class:`Wanted` for what it does not know yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
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
from mirror_tasks.reasons import Refusals
from mirror_tasks.selection import (
    Candidate,
    Rules,
    applies,
    check_python,
    fitting,
    is_allowed,
    is_pin,
    parse_requirement,
)

MOST_ROUNDS = 20_000
AHEAD = 4


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
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", str(self.specifier))  # which takes long, and is asked for often

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


@dataclass(frozen=True, slots=True)
class Release:
    """A release as an installer would take it: the version and the file."""

    version: Version
    file: File


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


class Solver:
    """Solves roots in one environment; what it learns of releases for one root serves the next.

    :param environment: with one set of markers; :func:`ends_of` makes such ones of a range.
    """

    def __init__(self, environment: Environment, universe: Universe, rules: Rules) -> None:
        self.environment = environment
        self.universe = universe
        self.rules = rules
        self._matches: dict[tuple[NormalizedName, str, frozenset[str]], _Lazily] = {}
        self._dependencies: dict[tuple[str, frozenset[str]], tuple[Need, ...]] = {}
        self._firsts: dict[tuple[NormalizedName, str, frozenset[str]], Release | None] = {}
        self._allowed: dict[tuple[str, Version], bool] = {}

    def solve(self, root: Root, known: Mapping[str, str] | None = None) -> Solution | Conflict:
        """Look for releases with which a root can be installed.

        :param known: versions that solved the root before, by project; they are checked, which is faster than a search.
        :raises Wanted: the universe has to learn something first; call again then.
        """
        needs = [
            need
            for one in root.requirements
            if applies(one.requirement, self.environment) and (need := _need(one.requirement, one.hashes)) is not None
        ]
        needs = list(_together(needs))
        bounds = _bounds(root)
        return (
            self._agreeing(needs, bounds, {})
            or (known and self._agreeing(needs, bounds, known))
            or self._search(needs, bounds)
        )

    def _agreeing(
        self, needs: Sequence[Need], bounds: Mapping[NormalizedName, SpecifierSet], known: Mapping[str, str]
    ) -> Solution | None:
        """Take for each project what is first in line, or known; a solution if nothing else that is required contradicts it."""
        chosen: dict[NormalizedName, Release] = {}
        seen: set[tuple[NormalizedName, frozenset[str]]] = set()
        todo = list(needs)
        while todo:
            need = todo.pop()
            one = chosen.get(need.name)
            if one is None:
                one = self._first(need, bounds.get(need.name), known.get(need.name))
                if one is None:
                    return None
                chosen[need.name] = one
            elif not self._allows(need, one):
                return None
            if (need.name, need.extras) not in seen:
                seen.add((need.name, need.extras))
                todo += self.dependencies(need.name, one, frozenset())
                todo += self.dependencies(need.name, one, need.extras) if need.extras else ()
        return Solution({name: (str(one.version), one.file.filename) for name, one in chosen.items()})

    def _first(self, need: Need, bound: SpecifierSet | None, known: str | None) -> Release | None:
        """Return the release that is first in line for a need; the one of a known version, if a version is known."""
        if bound is not None or known is not None:
            specifier = need.specifier if bound is None else need.specifier & bound
            matches = self.matches(need.name, specifier, need.hashes)
            return next((one for one in matches if known is None or str(one.version) == known), None)
        key = (need.name, need.text, need.hashes)
        if key not in self._firsts:
            self._firsts[key] = next(iter(self.matches(need.name, need.specifier, need.hashes)), None)
        return self._firsts[key]

    def _allows(self, need: Need, release: Release) -> bool:
        """Say if a release that was chosen for the project will do."""
        key = (need.text, release.version)
        if key not in self._allowed:
            self._allowed[key] = need.specifier.contains(release.version, prereleases=True)
        return self._allowed[key] and is_allowed(release.file, need.hashes)

    def matches(self, name: NormalizedName, specifier: SpecifierSet, hashes: frozenset[str]) -> Iterable[Release]:
        """Return the releases of a project that satisfy a specifier, with the file an installer would take, the first first."""
        key = (name, str(specifier), hashes)
        if key not in self._matches:
            self._matches[key] = _Lazily(lambda: self._fitting(name, specifier, hashes))
        return self._matches[key]

    def _fitting(self, name: NormalizedName, specifier: SpecifierSet, hashes: frozenset[str]) -> Iterator[Release]:
        project = self.universe.project(name)
        if project is None:
            return
        candidates = fitting(project, specifier, self.environment, self.rules, hashes)
        for one in candidates:
            try:
                file = self._installs(name, one)
            except Wanted as wanted:
                # Stepping back by one release a round trip takes long; most who step back do so more than once.
                raise Wanted(name, (*wanted.files, *self._ahead(name, islice(candidates, AHEAD)))) from None
            if file is not None:
                yield Release(one.version, file)

    def _ahead(self, name: NormalizedName, candidates: Iterable[Candidate]) -> Iterator[File]:
        for one in candidates:
            try:
                self._installs(name, one)
            except Wanted as wanted:
                yield from wanted.files

    def _installs(self, name: NormalizedName, one: Candidate) -> File | None:
        for file in one.files:
            metadata = self.universe.metadata(name, file)
            if metadata is not None and check_python(metadata.requires_python, self.environment.python) is None:
                return file
        return None

    def dependencies(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> tuple[Need, ...]:
        """Return what a release requires; with extras, only what these add."""
        key = (release.file.filename, extras)
        if key not in self._dependencies:
            self._dependencies[key] = _together(self._required(name, release, extras))
        return self._dependencies[key]

    def _required(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> Iterator[Need]:
        metadata = self.universe.metadata(name, release.file)
        assert metadata is not None, "a release that can be taken has metadata"
        for line in metadata.requires_dist:
            requirement = parse_requirement(line)
            if requirement is None or not self._applies(requirement, extras):
                continue
            # A requirement by URL can't be met from an index: no version is "url".
            yield _need(requirement) or Need(canonicalize_name(requirement.name), frozenset(), SpecifierSet("===url"))

    def _applies(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        plain = applies(requirement, self.environment)
        return (not plain and applies(requirement, self.environment, extras)) if extras else plain

    def _search(self, needs: Sequence[Need], bounds: Mapping[NormalizedName, SpecifierSet]) -> Solution | Conflict:
        provider = _Provider(self, bounds)
        watcher = _Watcher()
        try:
            result = Resolver(provider, watcher).resolve(needs, max_rounds=MOST_ROUNDS)
        except ResolutionImpossible as error:
            return Conflict(tuple(_explain(error.causes, watcher.askers, self, bounds)))
        except ResolutionTooDeep:
            return Conflict((f"no solution was found in {MOST_ROUNDS} rounds of backtracking",))
        return Solution({pick.name: (str(pick.version), pick.file.filename) for pick in result.mapping.values()})


def _together(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Let what one asker says of a project in several lines hold together: one of them may be what pins a yanked release."""
    needs = tuple(needs)
    specifiers: dict[NormalizedName, SpecifierSet] = {}
    hashes: dict[NormalizedName, frozenset[str]] = {}
    for need in needs:
        specifiers[need.name] = specifiers.get(need.name, SpecifierSet()) & need.specifier
        hashes[need.name] = hashes.get(need.name, frozenset()) | need.hashes
    if len(specifiers) == len(needs):
        return needs
    merged = dict.fromkeys((need.name, need.extras) for need in needs)
    return tuple(Need(name, extras, specifiers[name], hashes[name]) for name, extras in merged)


def ends_of(environment: Environment) -> tuple[Environment, ...]:
    """Return an environment for each end of a range of Pythons: a root must install on both."""
    if len(environment.markers) == 1:
        return (environment,)
    return tuple(replace(environment, markers=(markers,)) for markers in environment.markers)


def _bounds(root: Root) -> Mapping[NormalizedName, SpecifierSet]:
    bounds: dict[NormalizedName, SpecifierSet] = {}
    for one in root.constraints:
        name = canonicalize_name(one.name)
        bounds[name] = bounds.get(name, SpecifierSet()) & one.specifier
    return bounds


class _Lazily:
    """An iterable that computes each item once, when it is first asked for; what it raises, it raises each time."""

    def __init__(self, make: Callable[[], Iterator[Release]]) -> None:
        self._make = make
        self._source: Iterator[Release] | None = None
        self._items: list[Release] = []

    def __iter__(self) -> Iterator[Release]:
        position = 0
        while True:
            if position == len(self._items) and not self._advance():
                return
            yield self._items[position]
            position += 1

    def _advance(self) -> bool:
        if self._source is None:
            self._source = self._make()
            for _ in self._items:
                next(self._source)
        try:
            self._items.append(next(self._source))
        except StopIteration:
            return False
        except BaseException:
            self._source = None  # a generator that raised is spent; the next call begins again behind what is known
            raise
        return True


def _need(requirement: Requirement, hashes: frozenset[str] = frozenset()) -> Need | None:
    if requirement.url:
        return None
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    return Need(canonicalize_name(requirement.name), extras, requirement.specifier, hashes)


Identifier = tuple[NormalizedName, frozenset[str]]


class _Provider(AbstractProvider[Need, Pick, Identifier]):
    """What resolvelib asks, answered in pip's shape."""

    def __init__(self, solver: Solver, bounds: Mapping[NormalizedName, SpecifierSet]) -> None:
        self._solver = solver
        self._bounds = bounds
        self._picks: dict[tuple[object, ...], Pick] = {}
        self._seen: dict[NormalizedName, int] = {}

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
        blamed = any(
            identifier[0] in (one.requirement.name, one.parent.name if one.parent else "") for one in backtrack_causes
        )
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
        found = self._solver.matches(name, specifier, hashes)
        return lambda: (self._pick(name, extras, one) for one in found if one.version not in bad)

    def _pick(self, name: NormalizedName, extras: frozenset[str], one: Release) -> Pick:
        """resolvelib tells candidates apart by identity: the same release is the same object."""
        return self._picks.setdefault((name, extras, one.version), Pick(name, extras, one.version, one.file))

    def is_satisfied_by(self, requirement: Need, candidate: Pick) -> bool:
        """Pre-releases were decided in find_matches; deciding them here as well would contradict it."""
        return requirement.specifier.contains(candidate.version, prereleases=True)

    def get_dependencies(self, candidate: Pick) -> Iterable[Need]:
        """Return what a release requires; what extras add is asked of the release with extras."""
        release = Release(candidate.version, candidate.file)
        if candidate.extras:
            yield Need(candidate.name, frozenset(), SpecifierSet(f"==={candidate.version}"))
        yield from self._solver.dependencies(candidate.name, release, candidate.extras)


class _Watcher(BaseReporter[Need, Pick, Identifier]):
    """Remembers who first asked for a project, so that a conflict can be told as chains from the root."""

    def __init__(self) -> None:
        self.askers: dict[NormalizedName, tuple[Need, Pick | None]] = {}

    def adding_requirement(self, requirement: Need, parent: Pick | None) -> None:
        if parent is None or parent.name != requirement.name:
            self.askers.setdefault(requirement.name, (requirement, parent))


def _explain(
    causes: Collection[RequirementInformation[Need, Pick]],
    askers: Mapping[NormalizedName, tuple[Need, Pick | None]],
    solver: Solver,
    bounds: Mapping[NormalizedName, SpecifierSet],
) -> Iterator[str]:
    """Tell a conflict: the chain of requirements on each side, then what there is of each project, and why it won't do."""
    yield from dict.fromkeys(_chain(one.requirement, one.parent, askers) for one in causes)
    for name in dict.fromkeys(one.requirement.name for one in causes):
        specifier = bounds.get(name, SpecifierSet())
        for one in causes:
            if one.requirement.name == name:
                specifier &= one.requirement.specifier
        hashes = frozenset[str]().union(*(one.requirement.hashes for one in causes if one.requirement.name == name))
        yield f"{name}{specifier}: {_why(name, specifier, hashes, solver)}"


def _chain(need: Need, parent: Pick | None, askers: Mapping[NormalizedName, tuple[Need, Pick | None]]) -> str:
    links = [str(need)]
    seen = {need.name}
    while parent is not None:
        links.append(str(parent))
        if parent.name in seen:
            break
        seen.add(parent.name)
        parent = askers[parent.name][1] if parent.name in askers else None
    return " required by ".join(links) + (", asked for in mirror.yaml" if parent is None else "")


def _why(name: NormalizedName, specifier: SpecifierSet, hashes: frozenset[str], solver: Solver) -> str:
    project = solver.universe.project(name)
    if project is None:
        return "there is no project of this name"
    tried = [str(one.version) for one in _some(solver.matches(name, specifier, hashes), 4)]
    if tried:
        return f"tried {', '.join(tried[:3])}{' and older ones' if len(tried) > 3 else ''}, each in conflict with something above"
    return Refusals(solver.rules).why_unsatisfied(project, specifier, solver.environment, hashes)


def _some(releases: Iterable[Release], count: int) -> Iterator[Release]:
    """Return the first few that are known; one whose metadata was never needed is no part of an explanation."""
    try:
        yield from islice(releases, count)
    except Wanted:
        return
