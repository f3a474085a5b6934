"""The search: releases that go together, found with PubGrub, or the proof that there are none.

The only module that knows the library that searches (nab-resolver). The versions of a project are the bits of a number,
bit N for the Nth newest, so that a set of them is one integer: the library works with sets all the time.

A requirement admits pre-releases and yanked releases only by what else is required at the time, which sets of versions
can't say. So a set has all versions that the specifier contains, :meth:`_Provider.choose_version` looks at who asks, and
where nothing may be taken, the clause that it gives says for whom that holds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from nab_resolver.errors import ResolutionError, ResolutionLimitError, ResolutionTerminatedError
from nab_resolver.resolver import BaseProvider, Resolver, ResolverObserver
from nab_resolver.types import Incompatibility, IncompatibilityCause, RangeProtocol, RootRequirement, Term
from packaging.utils import NormalizedName

from mirror_tasks.index.project import File
from mirror_tasks.resolve.needs import Need, NotKnownYet, Release, positions

MOST_WISHES = 64  # files and pages that are looked past before the search waits for them
_LOOKED_PAST = object()
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a search may take. Steps and clauses are the same on every machine and come first.

    :param rounds: steps of the search: a decision or a conflict each.
    :param cells: the memory of what was learned, in 64-bit words of version sets.
    :param seconds: whatever else; it ends with an error only, never with another solution.
    """

    rounds: int = 20_000
    cells: int = 4_000_000
    seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One part of a proof: releases of a project require something. Without a project: mirror.yaml does."""

    parent: NormalizedName | None
    releases: tuple[int, ...]
    need: Need


@dataclass(frozen=True, slots=True)
class Refutation:
    """Why there is no solution: facts that contradict each other, and the projects of which nothing is left."""

    facts: tuple[Fact, ...]
    exhausted: tuple[NormalizedName, ...]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A search that met a limit: which, and what was found so far.

    :param conflicts: the projects whose releases contradicted others most often, with how often.
    """

    limit: str
    decided: int
    conflicts: tuple[tuple[NormalizedName, int], ...]


class Source(Protocol):
    """What a search looks for releases in; positions are those of :func:`needs.admitted`."""

    def range_of(self, need: Need) -> int:
        """Return the versions that may satisfy a need, as bits; 0 where there is no such project."""

    def candidates(self, name: NormalizedName, needs: Sequence[Need], among: int) -> Iterator[int]:
        """Yield the positions of what an installer may take with these needs, the first in line first."""

    def release(self, name: NormalizedName, position: int) -> Release | None:
        """Return a release with the file that an installer would take; None where no file's metadata is usable."""

    def dependencies(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> tuple[Need, ...]:
        """Return what a release requires; with extras, only what these add."""

    def exists(self, name: NormalizedName, among: int) -> bool:
        """Say if any of these versions could be taken, if only it were pinned or asked for."""


class Package(NamedTuple):
    """A project, or one extra of it, which depends on the project at the same version."""

    name: NormalizedName
    extra: str = ""


class Versions:
    """A set of versions of one project as the bits of an integer; a negative one has all but finitely many."""

    __slots__ = ("bits",)

    def __init__(self, bits: int) -> None:
        self.bits = bits

    @classmethod
    def empty(cls) -> Versions:
        """Return the set of no version."""
        return cls(0)

    @classmethod
    def full(cls) -> Versions:
        """Return the set of all versions."""
        return cls(-1)

    @classmethod
    def singleton(cls, version: int) -> Versions:
        """Return the set of one version."""
        return cls(1 << version)

    @property
    def is_empty(self) -> bool:
        """There is no version in it."""
        return self.bits == 0

    def __contains__(self, version: int) -> bool:
        return bool(self.bits >> version & 1)

    def __and__(self, other: object) -> Versions:
        return Versions(self.bits & _bits(other))

    def __or__(self, other: object) -> Versions:
        return Versions(self.bits | _bits(other))

    def __invert__(self) -> Versions:
        return Versions(~self.bits)

    def __sub__(self, other: object) -> Versions:
        return Versions(self.bits & ~_bits(other))

    def is_subset(self, other: Versions) -> bool:
        """Say if each version is also in the other set."""
        return not self.bits & ~other.bits

    def is_superset(self, other: Versions) -> bool:
        """Say if each version of the other set is in this one."""
        return not other.bits & ~self.bits

    def is_disjoint(self, other: Versions) -> bool:
        """Say if no version is in both sets."""
        return not self.bits & other.bits

    def relation(self, other: Versions) -> _Relation:
        """Return both answers at once."""
        return _Relation(not self.bits & ~other.bits, not self.bits & other.bits)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Versions) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash(self.bits)


class _Relation(NamedTuple):
    is_subset: bool
    is_disjoint: bool


def _bits(versions: object) -> int:
    assert isinstance(versions, Versions), "the library gives back the sets that it was given"
    return versions.bits


def search(
    source: Source, needs: Sequence[Need], limits: Limits
) -> Mapping[NormalizedName, Release] | Refutation | Unfinished:
    """Look for releases that satisfy all needs, and what these require in turn.

    :raises NotKnownYet: something has to arrive first; search again then.
    """
    provider = _Provider(source, needs)
    watcher = _Watcher(limits)
    resolver = Resolver(provider, watcher, max_iterations=limits.rounds, range_type=Versions)
    allowed = {need: provider.range_of(need) for need in needs}
    for need, versions in allowed.items():
        if versions is not None and versions.is_empty:
            return Refutation((Fact(None, (), need),), (need.name,))
    roots = [
        RootRequirement[Package, int](package, versions, origin=need)
        for need, versions in allowed.items()
        if versions is not None
        for package in _packages(need)
    ]
    try:
        pins = resolver.resolve(roots)
    except ResolutionLimitError:
        return provider.told(watcher.unfinished(f"{limits.rounds} rounds"))
    except _LimitMetError as error:
        return provider.told(watcher.unfinished(str(error)))
    except ResolutionTerminatedError as error:
        return provider.told(watcher.unfinished(f"what the library can do ({error})"))
    except ResolutionError as error:
        return _refutation(error.incompatibility, provider)
    provider.told(pins)
    return {package.name: provider.taken(package, at) for package, at in pins.items()}


def _packages(need: Need) -> Iterator[Package]:
    yield Package(need.name)
    yield from (Package(need.name, extra) for extra in sorted(need.extras))


class _LimitMetError(Exception):
    pass


class _Watcher(ResolverObserver[Package, int]):
    """Ends a search that takes more than it may, and remembers what it was about."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._cells = 0
        self._ends = time.monotonic() + limits.seconds
        self._decided = 0
        self._blamed: Counter[NormalizedName] = Counter()

    def on_decision(self, package: Package, version: int, level: int) -> None:
        self._decided = max(self._decided, level)
        if time.monotonic() > self._ends:
            raise _LimitMetError(f"{self._limits.seconds:g} seconds")

    def on_learned(self, incompatibility: Incompatibility[Package, int]) -> None:
        for term in incompatibility.terms:
            if isinstance(term.package, Package):  # not the root
                self._blamed[term.package.name] += 1
            self._cells += 1 + (_bits(term.constraint).bit_length() >> 6)
        if self._cells > self._limits.cells:
            raise _LimitMetError(f"{self._limits.cells} words of memory for what was learned")
        if time.monotonic() > self._ends:
            raise _LimitMetError(f"{self._limits.seconds:g} seconds")

    def unfinished(self, limit: str) -> Unfinished:
        return Unfinished(limit, self._decided, tuple(self._blamed.most_common(5)))


class _Provider(BaseProvider[Package, int]):
    """What the library asks, answered from a source.

    What is not known yet is wished for and looked past, as if it required nothing: more that will be wanted is found in
    the same search. Nothing that such a search finds is believed but that there is no solution, which more knowledge
    would not change.
    """

    def __init__(self, source: Source, roots: Sequence[Need]) -> None:
        self.needs: dict[tuple[Package, int], tuple[Need, ...]] = {}
        self.refused: dict[tuple[NormalizedName, int], Need] = {}
        self._source = source
        self._roots = tuple(roots)
        self._releases: dict[tuple[NormalizedName, int], Release | object | None] = {}
        self._wishes: dict[NormalizedName, dict[str, File]] = {}
        self._decisions: Mapping[Package, int] = {}
        self._ranges: Mapping[Package, RangeProtocol[int]] = {}
        self._askers: dict[NormalizedName, list[tuple[Package, Need]]] | None = None  # of what is decided now
        self._clauses: list[Incompatibility[Package, int]] = []
        self._seen: dict[NormalizedName, int] = {}
        for need in roots:
            self._seen.setdefault(need.name, len(self._seen))

    def told(self, found: _Found) -> _Found:
        """Return what was found, unless something was looked past.

        :raises NotKnownYet: something was.
        """
        if self._wishes:
            raise NotKnownYet({name: tuple(files.values()) for name, files in self._wishes.items()})
        return found

    def taken(self, package: Package, position: int) -> Release:
        """Return a release that was chosen."""
        release = self._releases[package.name, position]
        assert isinstance(release, Release), "nothing that was looked past is told"
        return release

    def range_of(self, need: Need) -> Versions | None:
        """Return the versions that may satisfy a need; None where that is not known yet."""
        try:
            return Versions(self._source.range_of(need))
        except NotKnownYet as unknown:
            self._wish(unknown)
            return None

    def _wish(self, unknown: NotKnownYet) -> None:
        for name, files in unknown.files.items():
            self._wishes.setdefault(name, {}).update((file.filename, file) for file in files)
        if sum(len(files) or 1 for files in self._wishes.values()) >= MOST_WISHES:
            self.told(None)

    # What the library calls

    def receive_partial_solution_hint(
        self, positive_ranges: Mapping[Package, RangeProtocol[int]], decisions: Mapping[Package, int]
    ) -> None:
        """Remember what is decided: who asks for a project decides what may be taken of it."""
        self._ranges, self._decisions, self._askers = positive_ranges, decisions, None

    receive_decision_scan_hint = receive_partial_solution_hint

    def is_ready(self, package: Package) -> bool:
        """Say if something may be taken by what is decided; else wait, for who pins it may not be decided yet."""
        needs = self._all_needs(package.name)
        among = self._ranges.get(package)
        if not needs or among is None:
            return False
        return next(self._source.candidates(package.name, needs, _bits(among)), None) is not None

    def prioritize(
        self,
        package: Package,
        version_range: RangeProtocol[int],
        conflict_counts: Mapping[Package, int],
        culprit_counts: Mapping[Package, int] | None = None,
    ) -> tuple[object, ...]:
        """What conflicts often comes first, then what is pinned, then what was asked for first; extras after their project."""
        bits = _bits(version_range)
        conflicts = conflict_counts.get(package, 0)
        first = self._seen.get(package.name, 0)
        return (-conflicts.bit_length(), bits & (bits - 1) != 0, first, package.extra)

    def choose_version(self, package: Package, version_range: RangeProtocol[int]) -> int | None:
        """Return the version that an installer would try next, or None; then say for whom there is none."""
        among = _bits(version_range)
        decided = self._decisions.get(Package(package.name)) if package.extra else None
        if decided is not None and among >> decided & 1:
            return decided if self._is_takeable(package, decided) else None
        for position in self._source.candidates(package.name, self._all_needs(package.name), among):
            if self._is_takeable(package, position):
                return position
        if self._source.exists(package.name, among):
            self._hold_back(package, version_range)
        return None

    def has_satisfying_version(self, package: Package, version_range: RangeProtocol[int]) -> bool:
        """Say if a version could be chosen; asked for constraints only, and none are given."""
        return False

    def get_dependencies(self, package: Package, version: int) -> Mapping[Package, Versions]:
        """Return what a release requires; an extra requires its project at the same version."""
        found = {Package(package.name): Versions.singleton(version)} if package.extra else {}
        for need in self._required(package, version):
            allowed = self.range_of(need)
            if allowed is None:
                continue
            self._seen.setdefault(need.name, len(self._seen))
            for one in _packages(need):
                found[one] = found[one] & allowed if one in found else allowed
        return found

    def widen_decision(self, package: Package, version: int) -> Versions | None:
        """Say nothing of releases that were not looked at."""
        return None

    def consume_pending_clauses(self) -> list[Incompatibility[Package, int]]:
        """Give the clauses that say for whom nothing may be taken."""
        clauses, self._clauses = self._clauses, []
        return clauses

    # How it is answered

    def _all_needs(self, name: NormalizedName) -> Sequence[Need]:
        roots = [need for need in self._roots if need.name == name]
        return roots + [need for _, need in self._asking(name)]

    def _asking(self, name: NormalizedName) -> Sequence[tuple[Package, Need]]:
        if self._askers is None:
            self._askers = {}
            for package, position in self._decisions.items():
                for need in self.needs.get((package, position), ()):  # the root has none
                    self._askers.setdefault(need.name, []).append((package, need))
        return self._askers.get(name, ())

    def _is_takeable(self, package: Package, position: int) -> bool:
        """Say if a release has usable metadata, and nothing that it requires is out of the question."""
        if self._release(package.name, position) is None:
            return False
        for need in self._required(package, position):
            allowed = self.range_of(need)
            if allowed is not None and allowed.is_empty:
                self.refused[package.name, position] = need
                return False
        return True

    def _required(self, package: Package, position: int) -> tuple[Need, ...]:
        key = (package, position)
        if key not in self.needs:
            release = self._release(package.name, position)
            extras = frozenset((package.extra,) if package.extra else ())
            known = isinstance(release, Release)
            self.needs[key] = self._source.dependencies(package.name, release, extras) if known else ()  # type: ignore[arg-type]
        return self.needs[key]

    def _release(self, name: NormalizedName, position: int) -> Release | object | None:
        key = (name, position)
        if key not in self._releases:
            try:
                self._releases[key] = self._source.release(name, position)
            except NotKnownYet as unknown:
                self._wish(unknown)
                self._releases[key] = _LOOKED_PAST
        return self._releases[key]

    def _hold_back(self, package: Package, version_range: RangeProtocol[int]) -> None:
        """Only yanked releases or pre-releases are left, and nobody who asks now makes them acceptable: learn just that."""
        askers = {asker: self._decisions[asker] for asker, _ in self._asking(package.name) if asker != package}
        terms = [Term(package, version_range, positive=True)]
        terms += [Term(asker, Versions.singleton(position), positive=True) for asker, position in askers.items()]
        self._clauses.append(Incompatibility(terms, cause=IncompatibilityCause.NO_VERSIONS))


def _refutation(proof: Incompatibility[Package, int] | None, provider: _Provider) -> Refutation:
    """Return the facts that a proof rests on, in its order."""
    facts: dict[tuple[NormalizedName | None, Need], dict[int, None]] = {}
    exhausted: dict[NormalizedName, None] = {}
    for clause in proof.walk() if proof else ():
        if clause.cause is IncompatibilityCause.ROOT:
            facts.setdefault((None, clause.origin), {})
        elif clause.cause is IncompatibilityCause.DEPENDENCY:
            for parent, position, need in _dependencies(clause, provider):
                facts.setdefault((parent, need), {})[position] = None
        elif clause.cause is IncompatibilityCause.NO_VERSIONS:
            name = clause.terms[0].package.name
            exhausted[name] = None
            for position in positions(_bits(clause.terms[0].constraint) & ((1 << 4096) - 1)):
                if (name, position) in provider.refused:
                    need = provider.refused[name, position]
                    facts.setdefault((name, need), {})[position] = None
                    exhausted[need.name] = None
    told = (Fact(parent, tuple(sorted(found)), need) for (parent, need), found in facts.items())
    return Refutation(tuple(told), tuple(exhausted))


def _dependencies(
    clause: Incompatibility[Package, int], provider: _Provider
) -> Iterator[tuple[NormalizedName, int, Need]]:
    parent, required = clause.terms[0], clause.terms[-1].package
    for (package, position), needs in provider.needs.items():
        if package == parent.package and position in parent.constraint:
            for need in needs:
                if need.name == required.name and need.name != package.name:
                    yield package.name, position, need
