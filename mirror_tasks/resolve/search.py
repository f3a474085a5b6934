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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nab_resolver.decide import choose_package_to_decide
from nab_resolver.errors import ResolutionError, ResolutionTerminatedError
from nab_resolver.propagate import unit_propagation
from nab_resolver.resolver import BaseProvider, Resolver, ResolverObserver
from nab_resolver.root import ROOT
from nab_resolver.types import Incompatibility, IncompatibilityCause, RangeProtocol, RootRequirement, Term
from packaging.utils import NormalizedName

from mirror_tasks.index.project import File
from mirror_tasks.resolve.needs import NOTHING, Missing, Need, NotKnownYet, Release, Undecided, positions

MOST_WISHES = 64  # files and pages that are wanted ahead with one that a search waits for


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
    """Why there is no solution: facts that contradict each other, and the projects of which nothing is left.

    :param looked_at: the releases that the search tried to take. Whether it can is known of these, of others by chance.
    """

    facts: tuple[Fact, ...]
    exhausted: tuple[NormalizedName, ...]
    looked_at: frozenset[tuple[NormalizedName, int]] = frozenset()


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


class Search:
    """A search for releases that satisfy all needs, and what these require in turn."""

    def __init__(self, source: Source, needs: Sequence[Need], limits: Limits) -> None:
        self._limits = limits
        self._provider = _Provider(source, needs)
        self._watcher = _Watcher(limits)
        self._steps: _Steps | None = None

    def go_on(self) -> Mapping[NormalizedName, Release] | Refutation | Unfinished:
        """Search from where it had to wait, or from the beginning.

        :raises NotKnownYet: something has to arrive first; go on then.
        """
        self._watcher.begin()
        try:
            if self._steps is None:
                allowed = self._provider.allowed_by_roots()
                if refused := next((need for need, versions in allowed.items() if versions.is_empty), None):
                    return Refutation((Fact(None, (), refused),), (refused.name,))
                self._steps = _Steps(self._provider, self._watcher, self._limits.rounds, _root_requirements(allowed))
            pins = self._steps.go_on()
        except _LimitMetError as error:
            return self._watcher.unfinished(str(error))
        except ResolutionTerminatedError as error:
            return self._watcher.unfinished(f"what the library can do ({error})")
        except ResolutionError as error:
            return _refutation(error.incompatibility, self._provider)
        return {package.name: self._provider.taken(package, at) for package, at in pins.items()}


def _root_requirements(allowed: Mapping[Need, Versions]) -> Sequence[RootRequirement[Package, int]]:
    return [
        RootRequirement[Package, int](package, versions, origin=need)
        for need, versions in allowed.items()
        for package in _packages(need)
    ]


class _Steps(Resolver[Package, int]):
    """The steps of a search, those of the library's ``solve`` one by one: an error of the provider leaves all as it was.

    ``solve`` itself begins anew each time; for a root that steps back through hundreds of releases, whose metadata arrives
    in a dozen rounds, that is nine tenths of its steps.
    """

    def __init__(
        self,
        provider: _Provider,
        watcher: _Watcher,
        most_rounds: int,
        roots: Sequence[RootRequirement[Package, int]],
    ) -> None:
        super().__init__(provider, watcher, max_iterations=most_rounds, range_type=Versions)
        self._add_root_requirements(roots)
        self._changed: Any = ROOT
        self._next: Any = None  # the package that is to be decided
        self._is_whole = False
        self._threshold, self._restarts = self._RESTART_THRESHOLD, self._MAX_RESTARTS

    def go_on(self) -> Mapping[Package, int]:
        """Return the versions of a solution.

        :raises NotKnownYet: of the provider; to be called again then.
        """
        while not self._is_whole:
            if self._next is None:
                self._follow()
            else:
                self._changed, self._next = self._decide_next(self._next), None
        return self._build_result().pins

    def _follow(self) -> None:
        """See what follows from what was decided: what is to be decided next, or that it contradicts itself."""
        if self.stats.rounds == self.max_iterations:
            raise _LimitMetError(f"{self.max_iterations} rounds")
        self.stats.rounds += 1
        conflict = unit_propagation(self, self._changed)
        if conflict is None:
            self._next = choose_package_to_decide(self)
            self._is_whole = self._next is None
            return
        self._changed, self._threshold, self._restarts = self._handle_conflict(
            conflict, self._threshold, self._restarts
        )


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
        self._ends = 0.0
        self._decided = 0
        self._blamed: Counter[NormalizedName] = Counter()

    def begin(self) -> None:
        """Count the seconds from now on."""
        self._ends = time.monotonic() + self._limits.seconds

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

    A version is chosen only when all is known that its choice hangs on, so that what a search finds does not hang on what
    was known when. What has to arrive for that is wanted together with what will be looked at next.
    """

    def __init__(self, source: Source, roots: Sequence[Need]) -> None:
        self.needs: dict[tuple[Package, int], tuple[Need, ...]] = {}
        self.refused: dict[tuple[NormalizedName, int], Need] = {}
        self._takeable: dict[tuple[Package, int], bool] = {}
        self._dependencies: dict[tuple[Package, int], Mapping[Package, Versions]] = {}
        self._source = source
        self._roots = tuple(roots)
        self._of_roots: dict[NormalizedName, list[Need]] = {}
        self._releases: dict[tuple[NormalizedName, int], Release | None] = {}
        self._decisions: Mapping[Package, int] = {}
        self._ranges: Mapping[Package, RangeProtocol[int]] = {}
        self._decided: list[tuple[Package, int]] = []
        self._askers: dict[NormalizedName, list[tuple[Package, Need]]] = {}  # of what is decided, in its order
        self._clauses: list[Incompatibility[Package, int]] = []
        self._seen: dict[NormalizedName, int] = {}
        for need in roots:
            self._of_roots.setdefault(need.name, []).append(need)
            self._seen.setdefault(need.name, len(self._seen))

    def allowed_by_roots(self) -> Mapping[Need, Versions]:
        """Return the versions that may satisfy each need of the root.

        :raises NotKnownYet: a page has to arrive first.
        """
        _know_all(self._missing_pages(self._roots))
        return {need: self._range_of(need) for need in self._roots}

    def taken(self, package: Package, position: int) -> Release:
        """Return a release that was chosen."""
        release = self._releases[package.name, position]
        assert release is not None, "what has no usable file is not chosen"
        return release

    @property
    def looked_at(self) -> frozenset[tuple[NormalizedName, int]]:
        """The releases that the search tried to take, which are the same in whichever order things arrive."""
        return frozenset((package.name, position) for package, position in self._takeable)

    # What the library calls

    def receive_partial_solution_hint(
        self, positive_ranges: Mapping[Package, RangeProtocol[int]], decisions: Mapping[Package, int]
    ) -> None:
        """Remember what is decided: who asks for a project decides what may be taken of it."""
        self._ranges, self._decisions = positive_ranges, decisions
        # What was decided last is given up first.
        while self._decided and decisions.get(self._decided[-1][0]) != self._decided[-1][1]:
            for need in self.needs[self._decided.pop()]:
                self._askers[need.name].pop()

    receive_decision_scan_hint = receive_partial_solution_hint

    def is_ready(self, package: Package) -> bool:
        """Say if something may be taken by what is decided; else wait, for who pins it may not be decided yet."""
        return self._first(package) is not None

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
        """Return the version that an installer would try next, or None; then say for whom there is none.

        :raises NotKnownYet: what it hangs on has to arrive first. Nothing was done then, and it may be called again.
        """
        try:
            return self._chosen(package, version_range)
        except NotKnownYet as unknown:
            raise self._with_likely(unknown.files) from None

    def _chosen(self, package: Package, version_range: RangeProtocol[int]) -> int | None:
        among = _bits(version_range)
        decided = self._decisions.get(Package(package.name)) if package.extra else None
        if decided is not None and among >> decided & 1:
            if self._is_takeable(package, decided):
                return decided
            self._rule_out(package, decided)
            return None
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
        """Return what a release requires; an extra requires its project at the same version.

        The library asks when it has decided on the release; when all is found, it asks once more.
        """
        key = (package, version)
        self._decided.append(key)
        for need in self.needs[key]:
            self._askers.setdefault(need.name, []).append((package, need))
        if key not in self._dependencies:
            self._dependencies[key] = self._allowed_by(package, version)
        return self._dependencies[key]

    def widen_decision(self, package: Package, version: int) -> Versions | None:
        """Say nothing of releases that were not looked at."""
        return None

    def consume_pending_clauses(self) -> list[Incompatibility[Package, int]]:
        """Give the clauses that say for whom nothing may be taken."""
        clauses, self._clauses = self._clauses, []
        return clauses

    # How it is answered

    def _all_needs(self, name: NormalizedName) -> Sequence[Need]:
        return [*self._of_roots.get(name, ()), *(need for _, need in self._askers.get(name, ()))]

    def _first(self, package: Package) -> int | None:
        """Return the version that is first in line by what is decided."""
        needs = self._all_needs(package.name)
        among = self._ranges.get(package)
        if not needs or among is None:
            return None
        return next(self._source.candidates(package.name, needs, _bits(among)), None)

    def _is_takeable(self, package: Package, position: int) -> bool:
        """Say if a release has usable metadata, and nothing that it requires is out of the question.

        :raises NotKnownYet: that is not known yet.
        """
        key = (package, position)
        if key not in self._takeable:
            self._takeable[key] = self._has_all(package, position)
        return self._takeable[key]

    def _has_all(self, package: Package, position: int) -> bool:
        if self._release(package.name, position) is None:
            return False
        needs = self.needs[package, position] = self._required(package, position)
        _know_all(self._missing_pages(needs))
        for need in needs:
            if self._range_of(need).is_empty:
                self.refused[package.name, position] = need
                return False
        return True

    def _allowed_by(self, package: Package, version: int) -> Mapping[Package, Versions]:
        found = {Package(package.name): Versions.singleton(version)} if package.extra else {}
        for need in self.needs[package, version]:
            allowed = self._range_of(need)
            self._seen.setdefault(need.name, len(self._seen))
            for one in _packages(need):
                found[one] = found[one] & allowed if one in found else allowed
        return found

    def _range_of(self, need: Need) -> Versions:
        return Versions(self._source.range_of(need))

    def _required(self, package: Package, position: int) -> tuple[Need, ...]:
        release = self._release(package.name, position)
        extras = frozenset((package.extra,)) if package.extra else NOTHING
        return self._source.dependencies(package.name, release, extras) if release else ()

    def _release(self, name: NormalizedName, position: int) -> Release | None:
        key = (name, position)
        if key not in self._releases:
            self._releases[key] = self._source.release(name, position)
        return self._releases[key]

    # What has to arrive first

    def _missing_pages(self, needs: Iterable[Need]) -> Iterator[Missing]:
        for need in needs:
            try:
                self._source.range_of(need)
            except NotKnownYet as unknown:
                yield unknown.files

    def _with_likely(self, wanted: Missing) -> NotKnownYet:
        """Add what the search will look at next, if nothing else contradicts it: one round trip then brings both."""
        missing = [wanted]
        for package in self._ranges:
            if package not in self._decisions and (position := self._first(package)) is not None:
                missing += self._missing(package, position)
        return _together(missing)

    def _missing(self, package: Package, position: int) -> Iterator[Missing]:
        try:
            yield from self._missing_pages(self._required(package, position))
        except NotKnownYet as unknown:
            yield unknown.files
        except Undecided:  # nobody asked yet, and perhaps nobody will
            return

    def _hold_back(self, package: Package, version_range: RangeProtocol[int]) -> None:
        """Only yanked releases or pre-releases are left, and nobody who asks now makes them acceptable: learn just that."""
        askers = {asker: self._decisions[asker] for asker, _ in self._askers.get(package.name, ()) if asker != package}
        terms = [Term(package, version_range, positive=True)]
        terms += [Term(asker, Versions.singleton(position), positive=True) for asker, position in askers.items()]
        self._clauses.append(Incompatibility(terms, cause=IncompatibilityCause.NO_VERSIONS))

    def _rule_out(self, package: Package, position: int) -> None:
        """Learn that one version can't be taken, and nothing of others: they were not looked at."""
        term = Term(package, Versions.singleton(position), positive=True)
        self._clauses.append(Incompatibility([term], cause=IncompatibilityCause.NO_VERSIONS))


def _know_all(missing: Iterable[Missing]) -> None:
    if found := list(missing):
        raise _together(found)


def _together(missing: Iterable[Missing]) -> NotKnownYet:
    files: dict[NormalizedName, dict[str, File]] = {}
    for wanted in missing:
        if sum(len(some) or 1 for some in files.values()) >= MOST_WISHES:
            break
        for name, some in wanted.items():
            files.setdefault(name, {}).update((file.filename, file) for file in some)
    return NotKnownYet({name: tuple(some.values()) for name, some in files.items()})


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
    return Refutation(tuple(told), tuple(exhausted), provider.looked_at)


def _dependencies(
    clause: Incompatibility[Package, int], provider: _Provider
) -> Iterator[tuple[NormalizedName, int, Need]]:
    parent, required = clause.terms[0], clause.terms[-1].package
    for (package, position), needs in provider.needs.items():
        if package == parent.package and position in parent.constraint:
            for need in needs:
                if need.name == required.name and need.name != package.name:
                    yield package.name, position, need
