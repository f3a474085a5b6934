"""The solver: can a root be installed, all of it together, from a given set of releases?

Mostly the first in line for each requirement agree, which is seen at once; else they are searched for.
It does no I/O: it reads from a :class:`Universe`, which raises :class:`NotKnownYet` for what it does not know yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from sys import intern

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import Unusable, as_taken_by
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import INSTALLERS
from mirror_tasks.config.markers import judged_alike
from mirror_tasks.config.model import Root
from mirror_tasks.index.project import File
from mirror_tasks.resolve.bounds import Bounds, bounds_of, marked_lines
from mirror_tasks.resolve.by_url import BY_URL, WHY
from mirror_tasks.resolve.conflicts import explain, explain_unfinished
from mirror_tasks.resolve.needs import (
    NOTHING,
    Need,
    NotKnownYet,
    Release,
    Undecided,
    Universe,
    admitted,
    need_in,
    need_of,
    positions,
    prereleases,
    together,
)
from mirror_tasks.resolve.search import Limits, Refutation, Search, Unfinished
from mirror_tasks.resolve.selection import (
    Candidate,
    Rules,
    applies,
    candidate,
    check_python,
    check_status,
    fitting,
    is_allowed,
    is_pin,
)

AHEAD = 4  # releases whose metadata is wanted with that of one to which a search steps back, doubled each time
MOST_AHEAD = 64
LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Solution:
    """Releases that can be installed together: for each project its version and the file to take."""

    pins: Mapping[str, tuple[str, str]]

    @property
    def versions(self) -> dict[str, str]:
        """The versions by project, sorted by its name."""
        return {name: version for name, (version, _) in sorted(self.pins.items())}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why there is no solution, in the user's terms, a line each.

    :param limit: the limit that ended the search before it found anything out; empty where there is no solution.
    """

    lines: tuple[str, ...]
    limit: str = ""

    def __str__(self) -> str:
        return "; ".join(self.lines)


class Solver:
    """Solves roots in one environment; what it learns of releases for one root serves the next.

    :param environment: with one set of markers, as one installer judges it; :meth:`Environment.at` makes such ones.
    """

    def __init__(
        self,
        environment: Environment,
        universe: Universe,
        rules: Rules,
        limits: Limits | None = None,
    ) -> None:
        self.installer = environment.installer
        self.environment = environment
        self._limits = limits or LIMITS
        self._releases: dict[tuple[NormalizedName, int, frozenset[str]], Release | None] = {}
        self._stepped: dict[NormalizedName, int] = {}
        self.universe = universe
        self.rules = rules
        self._dependencies: dict[tuple[str, frozenset[str]], tuple[Need, ...]] = {}
        self._firsts: dict[tuple[NormalizedName, str, frozenset[str]], Release | None] = {}
        self._allowed: dict[tuple[str, Version], bool] = {}
        self._divided: dict[str, bool] = {}
        self._yanked: dict[str, bool] = {}
        self._met_a_url = False
        self._waiting: dict[Root, tuple[_Bounded, Search]] = {}  # the searches that have to wait

    def solve(self, root: Root, known: Mapping[str, str] | None = None) -> Solution | Conflict:
        """Look for releases with which a root can be installed.

        :param known: versions that solved the root before, by project; they are checked, which is faster than a search.
        :raises NotKnownYet: the universe has to learn something first; call again then.
        """
        needs = together(_applying(root, self.environment))
        bounds = bounds_of(root, self.environment)
        found = self._solve(root, needs, bounds, known)
        if isinstance(found, Solution) and self._met_a_url:
            return self._stopped_by_url(found, needs, bounds) or found
        return found

    def _solve(
        self, root: Root, needs: Sequence[Need], bounds: Bounds, known: Mapping[str, str] | None
    ) -> Solution | Conflict:
        if root in self._waiting:
            return self._search(root, *self._waiting.pop(root))
        agreed = self._agreeing(needs, bounds, {}) or (known and self._agreeing(needs, bounds, known))
        # Who pins is looked at by the search only.
        if agreed and (self.installer.any_pin_admits_yanked or not self._is_yanked_below(root, agreed)):
            return agreed
        source = _Bounded(self, needs, bounds)
        return self._search(root, source, Search(source, needs, self._limits))

    def others_may_differ(self, root: Root, found: Solution | Conflict) -> bool:
        """Say if another installer has to be asked: this one has no solution, or one that others may judge differently."""
        if isinstance(found, Conflict) or self._is_yanked_below(root, found):
            return True
        return self._divides(None, marked_lines(root)) or any(
            self._is_judged_differently(canonicalize_name(name), filename) for name, (_, filename) in found.pins.items()
        )

    def _is_judged_differently(self, name: NormalizedName, filename: str) -> bool:
        """Say if another installer may pass a file over that this one takes, or let it require something else."""
        if filename not in self._divided:
            project = self.universe.project(name)
            files = project.all_files() if project else ()
            file = next(one for one in files if one.filename == filename)
            metadata = as_taken_by(self.installer, self.universe.metadata(name, file))
            assert metadata is not None, "a file that is taken has metadata"
            self._divided[filename] = any(
                self._divides(text, metadata.requires_dist) for text in (file.requires_python, metadata.requires_python)
            )
        return self._divided[filename]

    def _divides(self, requires_python: str | None, requires_dist: tuple[str, ...]) -> bool:
        others = [self.environment.for_installer(one) for one in INSTALLERS if one is not self.installer]
        return any(not one.allows(requires_python) for one in others) or any(
            self.environment.divides(marker) for marker in doubtful_markers(requires_dist)
        )

    def _is_yanked_below(self, root: Root, found: Solution) -> bool:
        """Say if a solution has a yanked release that the user does not pin: not every installer would take it."""
        pinned = _pinned(_applying(root, self.environment), bounds_of(root, self.environment))
        return any(
            self._is_yanked(canonicalize_name(name), version, filename)
            for name, (version, filename) in found.pins.items()
            if name not in pinned
        )

    def _is_yanked(self, name: NormalizedName, version: str, filename: str) -> bool:
        if filename not in self._yanked:
            project = self.universe.project(name)
            files = project.files(Version(version)) if project else ()
            self._yanked[filename] = any(one.filename == filename and one.yanked is not None for one in files)
        return self._yanked[filename]

    def _agreeing(self, needs: Sequence[Need], bounds: Bounds, known: Mapping[str, str]) -> Solution | None:
        """Take for each project what is first in line, or known; a solution if nothing else that is required contradicts it."""
        chosen: dict[NormalizedName, Release] = {}
        seen: set[tuple[NormalizedName, frozenset[str]]] = set()
        todo = list(needs)
        while todo:
            need = todo.pop()
            one = chosen.get(need.name)
            if one is None:
                one = self._first(need, bounds, known.get(need.name))
                if one is None:
                    return None
                chosen[need.name] = one
            elif not self._allows(need, one):
                return None
            if (need.name, need.extras) not in seen:
                seen.add((need.name, need.extras))
                todo += self.dependencies(need.name, one, NOTHING)
                todo += self.dependencies(need.name, one, need.extras) if need.extras else ()
        return Solution({name: _pin(one) for name, one in chosen.items()})

    def _first(self, need: Need, bounds: Bounds, known: str | None) -> Release | None:
        """Return the release that is first in line for a need; the one of a known version, if a version is known."""
        bound = bounds.specifiers.get(need.name)
        hashes = bounds.hashes.get(need.name) or need.hashes
        if bound is not None or known is not None:
            specifier = need.specifier if bound is None else need.specifier & bound
            matches = self.matches(need.name, specifier, hashes)
            return next((one for one in matches if known is None or str(one.version) == known), None)
        key = (need.name, need.text, hashes)
        if key not in self._firsts:
            self._firsts[key] = next(self.matches(need.name, need.specifier, hashes), None)
        return self._firsts[key]

    def _allows(self, need: Need, release: Release) -> bool:
        """Say if a release that was chosen for the project will do."""
        key = (need.text, release.version)
        if key not in self._allowed:
            self._allowed[key] = need.specifier.contains(release.version, prereleases=True)
        return self._allowed[key] and is_allowed(release.file, need.hashes)

    def matches(self, name: NormalizedName, specifier: SpecifierSet, hashes: frozenset[str]) -> Iterator[Release]:
        """Yield the releases of a project that satisfy a specifier, with the file an installer would take, the first first."""
        project = self.universe.project(name)
        if project is None:
            return
        candidates = fitting(project, specifier, self.environment, self.rules, hashes)
        for one in candidates:
            try:
                file = self._installs(name, one)
            except NotKnownYet as unknown:
                # Stepping back by one release a round trip takes long; most who step back do so more than once.
                ahead = self._ahead(name, islice(candidates, AHEAD))
                raise NotKnownYet({name: (*unknown.files[name], *ahead)}) from None
            if file is not None:
                yield Release(one.version, file)

    def _ahead(self, name: NormalizedName, candidates: Iterable[Candidate]) -> Iterator[File]:
        for one in candidates:
            try:
                self._installs(name, one)
            except NotKnownYet as unknown:
                yield from unknown.files[name]
            except Undecided:  # it is looked at ahead only, and perhaps never wanted
                continue

    def _installs(self, name: NormalizedName, one: Candidate) -> File | None:
        for file in one.files:
            metadata = as_taken_by(self.installer, self.universe.metadata(name, file))
            if metadata is not None and check_python(metadata.requires_python, self.environment) is None:
                return file
        return None

    def dependencies(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> tuple[Need, ...]:
        """Return what a release requires; with extras, only what these add."""
        key = (release.file.filename, extras)
        if key not in self._dependencies:
            self._dependencies[key] = together(self._required(name, release, extras))
        return self._dependencies[key]

    def _required(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> Iterator[Need]:
        metadata = as_taken_by(self.installer, self.universe.metadata(name, release.file))
        assert metadata is not None, "a release that can be taken has metadata"
        for line in metadata.requires_dist:
            found = need_in(line)
            if found is not None and self._applies(found[0], extras):
                self._met_a_url |= found[0].url is not None
                yield found[1]

    def _stopped_by_url(self, found: Solution, needs: Sequence[Need], bounds: Bounds) -> Conflict | None:
        """Return why no installer gets to a solution: it tries a newer release first, and ends at the URL that this requires."""
        for name, wanted in self._wanted_in(found, needs).items():
            specifier = bounds.specifiers.get(name, SpecifierSet())
            for need in wanted:
                specifier &= need.specifier
            first = next(self.matches(name, specifier, bounds.hashes.get(name, NOTHING)), None)
            version = found.pins[name][0]
            if first is None or str(first.version) == version:
                continue
            extras = frozenset().union(*(need.extras for need in wanted))
            required = [*self.dependencies(name, first, NOTHING), *self.dependencies(name, first, extras)]
            if url := next((one for one in required if one.specifier == BY_URL), None):
                tried = f"{name}-{first.version} is tried before {name}-{version}, and requires {url.name}{BY_URL}"
                return Conflict((tried, f"{url.name}{BY_URL}: {WHY}", f"{name}<{first.version} would do without"))
        return None

    def _wanted_in(self, found: Solution, needs: Sequence[Need]) -> Mapping[NormalizedName, list[Need]]:
        """Return all that is asked of each project in a solution."""
        wanted: dict[NormalizedName, list[Need]] = {}
        todo = list(needs)
        while todo:
            need = todo.pop()
            if need in wanted.setdefault(need.name, []):
                continue
            wanted[need.name].append(need)
            version, filename = found.pins[need.name]
            project = self.universe.project(need.name)
            files = project.files(Version(version)) if project else ()
            one = Release(Version(version), next(file for file in files if file.filename == filename))
            todo += self.dependencies(need.name, one, NOTHING)
            todo += self.dependencies(need.name, one, need.extras) if need.extras else ()
        return wanted

    def _applies(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        plain = applies(requirement, self.environment)
        return (not plain and applies(requirement, self.environment, extras)) if extras else plain

    def _search(self, root: Root, source: _Bounded, search: Search) -> Solution | Conflict:
        try:
            found = search.go_on()
        except NotKnownYet:
            self._waiting[root] = (source, search)
            raise
        if isinstance(found, Refutation):
            return Conflict(tuple(explain(found, source)))
        if isinstance(found, Unfinished):
            return Conflict(tuple(explain_unfinished(found)), limit=found.limit)
        return Solution({name: _pin(one) for name, one in found.items()})

    def release(self, name: NormalizedName, position: int, hashes: frozenset[str]) -> Release | None:
        """Return a release of a project with the file that an installer would take; None where none is usable.

        A file that is yanked is taken only where the release has no other, as pip does.
        """
        key = (name, position, hashes)
        if key not in self._releases:
            self._releases[key] = self._release(name, position, hashes)
        return self._releases[key]

    def _release(self, name: NormalizedName, position: int, hashes: frozenset[str]) -> Release | None:
        one = self.candidate(name, position, hashes, pinned=False)
        one = one if one.files else self.candidate(name, position, hashes, pinned=True)
        try:
            file = self._installs(name, one)
        except NotKnownYet as unknown:
            ahead = self._ahead_of(name, position, hashes)
            raise NotKnownYet({name: (*unknown.files[name], *ahead)}) from None
        return None if file is None else Release(one.version, file)

    def candidate(self, name: NormalizedName, position: int, hashes: frozenset[str], *, pinned: bool) -> Candidate:
        """Return a release as the environment sees it."""
        project = self.universe.project(name)
        assert project is not None, "a position is one of a project's page"
        version = project.versions[position]
        return candidate(project, version, self.environment, self.rules, pinned=pinned, hashes=hashes)

    def _ahead_of(self, name: NormalizedName, position: int, hashes: frozenset[str]) -> Iterator[File]:
        """Yield files whose metadata is likely to be wanted next: who steps back once does so more often, ever farther."""
        count = self._stepped.get(name, 0)
        self._stepped[name] = min(MOST_AHEAD, count * 2 or AHEAD)
        project = self.universe.project(name)
        assert project is not None, "a release is of a project that is there"
        later = range(position + 1, min(len(project.versions), position + 1 + count))
        yield from self._ahead(name, (self.candidate(name, at, hashes, pinned=False) for at in later))


class _Bounded:
    """What a search for one root chooses from: the solver's releases, within the bounds of that root."""

    def __init__(self, solver: Solver, needs: Sequence[Need], bounds: Bounds) -> None:
        self._pinned = None if solver.installer.any_pin_admits_yanked else _pinned(needs, bounds)
        self.bounds = bounds.specifiers
        self.hashes: Mapping[NormalizedName, frozenset[str]] = {
            need.name: need.hashes for need in needs if need.hashes
        } | dict(bounds.hashes)
        self.environment = solver.environment
        self.universe = solver.universe
        self.rules = solver.rules
        self._solver = solver
        # Asked for at each step of a search, and the same all through it.
        self._ranges: dict[tuple[NormalizedName, str], int] = {}
        self._admitted: dict[tuple[str, ...], tuple[bool, int]] = {}
        self._has_files: dict[tuple[NormalizedName, int, bool], bool] = {}

    def range_of(self, need: Need) -> int:
        """Return the versions that may satisfy a need, as bits; 0 where there is no such project."""
        key = (need.name, need.text)
        if key not in self._ranges:
            self._ranges[key] = self._range_of(need.name, need.specifier)
        return self._ranges[key]

    def _range_of(self, name: NormalizedName, specifier: SpecifierSet) -> int:
        project = self.universe.project(name)
        if project is None or check_status(project):
            return 0
        bound = self.bounds.get(name)
        found = admitted(project, specifier)
        return found if bound is None else found & admitted(project, bound)

    def _whole(self, name: NormalizedName) -> int:
        """Return the versions that what binds the root allows."""
        key = (name, "")  # as of a need that says nothing of the version
        if key not in self._ranges:
            self._ranges[key] = self._range_of(name, SpecifierSet())
        return self._ranges[key]

    def candidates(self, name: NormalizedName, needs: Sequence[Need], among: int) -> Iterator[int]:
        """Yield the positions of what an installer may take with these needs, the first in line first."""
        key = (name, *(need.text for need in needs))
        if key not in self._admitted:
            self._admitted[key] = self._admitting(name, needs)
        pinned, allowed = self._admitted[key]
        found = (at for at in positions(allowed & among) if self._files(name, at, pinned))
        if not self.rules.prefer_binary:
            yield from found
            return
        listed = list(found)
        yield from (at for at in listed if self._candidate(name, at, pinned).wheels)
        yield from (at for at in listed if not self._candidate(name, at, pinned).wheels)

    def _admitting(self, name: NormalizedName, needs: Sequence[Need]) -> tuple[bool, int]:
        """Return whether these needs pin a project, and the versions that they allow, as bits.

        PEP 440: pre-releases are left out unless a specifier names one, or they are all that satisfies them.
        """
        project = self.universe.project(name)
        assert project is not None, "nothing is asked of a project that is not there"
        specifiers = [need.specifier for need in needs] + [self.bounds.get(name, SpecifierSet())]
        pinned = self.may_be_pinned(name) and any(is_pin(one) for one in specifiers)
        satisfying = self._whole(name)
        for need in needs:
            satisfying &= self.range_of(need)
        finals = satisfying & ~prereleases(project)
        if self.rules.prereleases or any(one.prereleases for one in specifiers):
            return pinned, satisfying
        return pinned, finals if self._any(name, finals, pinned) else satisfying

    def may_be_pinned(self, name: NormalizedName) -> bool:
        """Say if a pin admits yanked releases of a project: for some installers the user's alone does."""
        return self._pinned is None or name in self._pinned

    def against(self, name: NormalizedName, file: File) -> str | None:
        """Return what the core metadata of a file, where it is known, says against using it."""
        try:
            found = self.universe.metadata(name, file)
        except (NotKnownYet, Undecided):
            return None
        metadata = as_taken_by(self.environment.installer, found)
        if metadata is None:
            assert isinstance(found, Unusable), "whatever is not unusable is taken"
            return found.reason
        return check_python(metadata.requires_python, self.environment)

    def _any(self, name: NormalizedName, among: int, pinned: bool) -> bool:
        return any(self._files(name, at, pinned) for at in positions(among))

    def _files(self, name: NormalizedName, position: int, pinned: bool) -> bool:
        key = (name, position, pinned)
        if key not in self._has_files:
            self._has_files[key] = bool(self._candidate(name, position, pinned).files)
        return self._has_files[key]

    def _candidate(self, name: NormalizedName, position: int, pinned: bool) -> Candidate:
        return self._solver.candidate(name, position, self.hashes.get(name, NOTHING), pinned=pinned)

    def exists(self, name: NormalizedName, among: int) -> bool:
        """Say if any of these versions could be taken, if only it were pinned or asked for."""
        project = self.universe.project(name)
        return project is not None and self._any(
            name, among & admitted(project, SpecifierSet()), pinned=self.may_be_pinned(name)
        )

    def release(self, name: NormalizedName, position: int) -> Release | None:
        """Return a release with the file that an installer would take; None where no file's metadata is usable."""
        return self._solver.release(name, position, self.hashes.get(name, NOTHING))

    def dependencies(self, name: NormalizedName, release: Release, extras: frozenset[str]) -> tuple[Need, ...]:
        """Return what a release requires; with extras, only what these add."""
        return self._solver.dependencies(name, release, extras)


@lru_cache(maxsize=1 << 14)
def doubtful_markers(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return the markers of requirements that the installers may judge differently."""
    parsed = (parse_requirement(line) for line in lines if ";" in line)
    markers = (str(one.marker) for one in parsed if one is not None and one.marker)
    return tuple(dict.fromkeys(marker for marker in markers if not judged_alike(marker)))


def _applying(root: Root, environment: Environment) -> Sequence[Need]:
    lines = (one for one in root.requirements if applies(one.requirement, environment))
    return [need for one in lines if (need := need_of(one.requirement, one.hashes)) is not None]


def _pin(one: Release) -> tuple[str, str]:
    """Return what a solution says of a release: thousands of them name the same one, so its version is one text in all."""
    return intern(str(one.version)), one.file.filename


def _pinned(needs: Iterable[Need], bounds: Bounds) -> Collection[NormalizedName]:
    """Return the names of the projects that the user pins."""
    return {need.name for need in needs if is_pin(need.specifier)} | {
        name for name, specifier in bounds.specifiers.items() if is_pin(specifier)
    }
