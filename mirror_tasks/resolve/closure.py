"""The closure: which releases the requirements need, in each environment, and who asked for them.

The algorithm does no I/O. It is told what arrived, a project page or the core metadata of a file, and answers what it
wants next; when it wants nothing more, the closure is whole. Each requirement is decided by itself, so the result
does not depend on the order in which things arrive.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from sys import intern

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, as_taken_by
from mirror_tasks.archives.requirements import normalized, parse_requirement
from mirror_tasks.config.bindings import reason_of_absence
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import INSTALLERS, PIP, Installer, parse_specifier
from mirror_tasks.config.lock_files.model import Lock, LockedPackage
from mirror_tasks.config.locked_indexes import why_not_asked
from mirror_tasks.config.model import Index, Root
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Fingerprint, Project
from mirror_tasks.resolve.bounds import Bounds, bounds_of, bounds_of_builds
from mirror_tasks.resolve.by_url import as_release, shown_with_reason
from mirror_tasks.resolve.contradictions import BoundRequirement, bound_requirements
from mirror_tasks.resolve.judged_metadata import JudgedMetadata
from mirror_tasks.resolve.locked import locked_files
from mirror_tasks.resolve.needs import NOTHING
from mirror_tasks.resolve.outcome import Asker, Failed, Wants
from mirror_tasks.resolve.points import Met
from mirror_tasks.resolve.reasons import Against, Refusals
from mirror_tasks.resolve.selection import (
    Candidate,
    Rules,
    applies,
    check_python,
    files_to_mirror,
    fitting,
    preferred,
)
from mirror_tasks.text import with_extras

_MOST_AHEAD = 32  # releases


@dataclass(frozen=True, slots=True)
class Asked:
    """What an asker itself said of a project, and what else binds it there: a demand is both together.

    :param bound: of the lines and constraints of the root; empty where they add nothing.
    """

    specifier: str
    bound: str


@dataclass(frozen=True, slots=True)
class Demand:
    """One requirement in one environment; equal ones are decided once, whoever asks.

    :param installer: who decides, where it is not all of them together.
    :param lock: the name of the root whose lock has it, where it is a locked package.
    """

    project: NormalizedName
    specifier: str
    extras: frozenset[str]
    environment: str
    scope: int = 0
    versions: str | int = "latest"
    hashes: frozenset[str] = frozenset()
    installer: Installer | None = None
    lock: str = ""

    def __str__(self) -> str:
        return self.with_specifier(self.specifier)

    def with_specifier(self, specifier: str) -> str:
        """Return the requirement as text, with what one of those who ask said of the version."""
        return f"{with_extras(self.project, self.extras)}{specifier}"


@dataclass(frozen=True, slots=True)
class _Build:
    """The build requirements of one release's sdist, to be followed in one environment, within the bounds of a scope."""

    project: NormalizedName
    version: Version
    sdist: File
    environment: str
    scope: int = 0


@dataclass(slots=True)
class Chosen:
    """A release chosen in an environment: what an installer there would take, and what belongs in the mirror.

    :ivar files: by name, those among them that may turn out to be of no use: see :meth:`Closure.files_of`.
    :ivar taken: the names of all files that some demand would have installed; ``installs`` is the preferred one of them.
    :ivar is_repaired: an installer asked for it that repairs what others refuse.
    :ivar by_locks_alone: only locks asked for it, so that it has the files that they name.
    """

    installs: File
    files: dict[str, File] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    is_repaired: bool = False
    by_locks_alone: bool = False


@dataclass(slots=True)
class _Walk:
    """What a walk through the releases that fit a demand came to.

    :ivar chosen: the releases that were found, each with the file that an installer would take.
    :ivar missing: what has to arrive before that is certain, by the name of the task that brings it.
    :ivar weighed: the names of the files that it hangs on. They are the same in whichever order things arrive, whereas of
        others it is chance if their metadata is known.
    :ivar failed: metadata that could not be had.
    """

    chosen: list[tuple[Candidate, File]] = field(default_factory=list)
    missing: dict[str, File | None] = field(default_factory=dict)
    weighed: set[str] = field(default_factory=set)
    failed: Failed | None = None


class _Enough:
    """Counts how many releases each patch release of a range has got, until each has as many as were asked for."""

    def __init__(self, versions: str | int, all_patches: int) -> None:
        self._all = all_patches
        number = 1 if versions == "latest" else 0 if versions == "all" else int(versions)
        self._had = [0] * number  # the patch releases that have at least one, at least two, …

    def __bool__(self) -> bool:
        return bool(self._had) and self._had[-1] == self._all

    def lacks(self, patches: int) -> bool:
        """Say if some of these patch releases has not got enough."""
        return bool(patches and (not self._had or patches & ~self._had[-1]))

    def add(self, patches: int) -> None:
        """Give one release to patch releases."""
        for position, had in enumerate(self._had):
            self._had[position], patches = had | patches, had & patches


@dataclass(frozen=True, slots=True)
class Unsatisfied:
    """A requirement that no release on the index satisfies in an environment."""

    environment: str
    requirement: str
    reason: str
    undecided: bool = False


class Closure:
    """The growing closure of all roots on all environments.

    :param environments: the targets.
    :param roots: the entries under ``requirements:``.
    :param rules: what kinds of files belong in the mirror.
    :param indexes: those of ``mirror.yaml``, of which a project that is not there may be bound to one; None: what pip uses.
    :ivar weighed: the names of the files that some choice hangs on. What is told of files rests on the metadata of these:
        what is known of others hangs on what arrived when.
    """

    def __init__(
        self,
        environments: Sequence[Environment],
        roots: Sequence[Root],
        rules: Rules,
        indexes: Sequence[Index] | None = None,
    ) -> None:
        self.environments = {one.name: one for one in environments}
        self.rules = rules
        self.weighed: set[str] = set()
        self.refusals = Refusals(rules, self._against_among(self.weighed), self._rule_against)
        self.projects: dict[str, Project | Failed | None] = {}
        self.metadata: dict[str, CoreMetadata | Unusable | Failed] = {}
        self.judgement = JudgedMetadata(rules.permission, self.metadata)
        self.chosen: dict[tuple[NormalizedName, Version, str], Chosen] = {}
        self.asked: dict[Demand, dict[Asker, Asked]] = {}
        self.releases: dict[Demand, tuple[Version, ...]] = {}
        self.unsatisfied: dict[Unsatisfied, list[Mapping[Asker, object]]] = defaultdict(
            list
        )  # who asked, of each demand
        self.unknown_extras: dict[tuple[str, str], None] = {}
        self.bugs: list[tuple[str, Exception]] = []  # by project, or root
        self.hashed = 0  # how often a project was replaced by itself with more hashes
        self._roots = tuple(roots)
        self._indexes = indexes
        self._bounds: list[Bounds] = [Bounds()]
        self.lock_faults: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)  # by root and environment
        self._locked: dict[Demand, LockedPackage] = {}
        self._build_scopes: dict[tuple[str, str], int] = {}  # by lock and environment
        self.contradicting: dict[Demand, dict[Version, str]] = {}
        self._expanded: set[tuple[object, ...]] = set()
        self._builds: set[_Build] = set()
        self._todo: deque[Demand | _Build] = deque()
        self._parked: dict[Demand | _Build, int] = {}
        self._waiting: dict[str, list[Demand | _Build]] = defaultdict(list)
        self._wanted: set[str] = set()
        self._newly_chosen: dict[str, tuple[NormalizedName, File]] = {}
        self._had_no_hash: set[str] = set()  # files that were wanted when nothing told their hash
        self._twins: dict[str, str] = {}  # files that nobody reads, by those that say the same

    def start(self) -> Wants:
        """Take the roots in; return what is wanted first."""
        for root in self._roots:
            for environment in filter(root.is_resolved_on, self.environments.values()):
                # a line that applies at one point of a range only binds nothing at the others
                for patch in Met([root]).patches(environment):
                    for installer in INSTALLERS:
                        self._ask_for(root, environment.at(patch, installer))
            if root.lock is not None:
                self._ask_for_locked(root.name, root.lock)
        return self._work()

    def _ask_for_locked(self, name: str, lock: Lock) -> None:
        """Ask for what a lock selects: to the letter, so that nothing binds it, and what it requires is not followed."""
        for environment, selections in lock.selected.items():
            bounds = bounds_of_builds(lock.build_constraints, self.environments[environment])
            self._build_scopes[name, environment] = self._scope(bounds)
            for package in dict.fromkeys(package for one in selections for package in one.packages):
                specifier = f"=={package.version}"
                demand = Demand(package.name, specifier, frozenset(), environment, lock=name)
                self._locked[demand] = package
                self._demand(demand, Asker("lock", name), Asked(specifier, ""))

    def _ask_for(self, root: Root, environment: Environment) -> None:
        hashes: dict[NormalizedName, frozenset[str]] = defaultdict(frozenset)
        lines = [one for one in root.requirements if applies(one.requirement, environment)]
        for one in lines:
            hashes[canonicalize_name(one.requirement.name)] |= one.hashes
        scope = self._scope(bounds_of(root, environment))
        required = [one.requirement for one in lines]
        self._demand_all(required, environment.name, scope, Asker("root", root.name), root.versions, hashes)

    def project_arrived(self, name: NormalizedName, project: Project | Failed | None) -> Wants:
        """Take in a project's page; None says that the index has no such project. Return what is wanted next."""
        self.projects[name] = project
        return self._arrived(f"project:{name}")

    def hashes_arrived(self, name: NormalizedName, known: Mapping[str, Fingerprint]) -> None:
        """Take in what was found of files of a project for which its page gives no hash, before their metadata."""
        project = self.projects[name]
        if isinstance(project, Project):
            self.projects[name] = project.with_fingerprints(known)
            self.hashed += 1

    def metadata_arrived(
        self, project: NormalizedName, filename: str, metadata: CoreMetadata | Unusable | Failed
    ) -> Wants:
        """Take in the core metadata of a file of a project. Return what is wanted next."""
        if isinstance(metadata, CoreMetadata):
            metadata = metadata.with_shared_lines()
        self.metadata[filename] = (
            metadata if isinstance(metadata, Failed) else self.judgement.judged(project, filename, metadata)
        )
        return self._arrived(f"metadata:{filename}")

    def told(self, project: NormalizedName, filename: str, metadata: CoreMetadata | Unusable) -> None:
        """Take in what an earlier run found that a file says, which is of no use or not what its page announces.

        Who waits for it, if it is wanted as well, goes on when it arrives.
        """
        self.weighed.add(filename)  # every run from now on knows it
        if filename not in self.metadata:
            self.metadata[filename] = self.judgement.judged(project, filename, metadata)

    def want(self, project: NormalizedName, files: Iterable[File]) -> Wants:
        """Want a page, or the core metadata of files of a project, for the solver; nothing that was wanted before."""
        if project not in self.projects and f"project:{project}" not in self._wanted:
            self._wanted.add(f"project:{project}")
            return Wants((project,))
        new = [file for file in files if f"metadata:{file.filename}" not in self._wanted]
        for file in new:
            self._wanted.add(f"metadata:{file.filename}")
            self._mark_unhashed(file)
        return Wants((), tuple((project, file) for file in new))

    def _mark_unhashed(self, file: File) -> None:
        if "sha256" not in file.hashes:
            self._had_no_hash.add(file.filename)

    def complete(self, root: Root, environment: Environment, versions: Mapping[str, str]) -> Wants:
        """Take in the releases of a solution, so that a root can be installed; return what is wanted next.

        :param environment: with one set of markers, as the installer judges it that found the solution.
        """
        installer = None if environment.installer is PIP else environment.installer
        pins = [Requirement(f"{name}=={version}") for name, version in sorted(versions.items())]
        scope = self._scope(bounds_of(root, environment))
        self._demand_all(pins, environment.name, scope, Asker("completion", root.name), installer=installer)
        return self._work()

    def _environment_of(self, demand: Demand) -> Environment:
        """Return the environment of a demand, as whoever decides it judges it."""
        if demand.installer is None:
            return self.environments[demand.environment]
        return self.environments[demand.environment].for_installer(demand.installer)

    def _scope(self, bounds: Bounds) -> int:
        """Return the number of a set of bounds; they bind all that is required below the root that brought them."""
        if bounds not in self._bounds:
            self._bounds.append(bounds)
        return self._bounds.index(bounds)

    def _arrived(self, what: str) -> Wants:
        for item in self._waiting.pop(what, ()):
            self._parked[item] -= 1
            if not self._parked[item]:
                del self._parked[item]
                self._todo.append(item)
        return self._work()

    def _work(self) -> Wants:
        projects: dict[NormalizedName, None] = {}
        files: dict[str, tuple[NormalizedName, File]] = {}
        while self._todo:
            item = self._todo.popleft()
            missing = self._followed(item)
            for what, wish in missing.items():
                self._waiting[what].append(item)
                if what in self._wanted:
                    continue
                self._wanted.add(what)
                if wish is None:
                    projects[NormalizedName(what.removeprefix("project:"))] = None
                else:
                    files[what] = (item.project, wish)
                    self._mark_unhashed(wish)
            if missing:
                self._parked[item] = len(missing)
        chosen, self._newly_chosen = tuple(self._newly_chosen.values()), {}
        likely = frozenset(file.filename for _, file in files.values())
        return Wants(tuple(projects), tuple(files.values()), likely, chosen)

    def _followed(self, item: Demand | _Build) -> Mapping[str, File | None]:
        """Decide one thing. An error that nobody foresaw is kept for who runs this: it is a fault of this one alone."""
        try:
            return self._settle(item) if isinstance(item, Demand) else self._follow_build(item)
        except Exception as error:
            self.bugs.append((item.project, error))
            if isinstance(item, Demand):
                self._not_satisfied(item, f"a bug of mirror-tasks: {error!r:.200}", undecided=True)
            return {}

    def _demand_all(
        self,
        requirements: Iterable[Requirement],
        environment: str,
        scope: int,
        asker: Asker,
        versions: str | int = "latest",
        hashes: Mapping[NormalizedName, frozenset[str]] | None = None,
        installer: Installer | None = None,
    ) -> None:
        """Ask for what one asker requires; what it says of one project in several lines holds together."""
        bounds = self._bounds[scope]
        asked: dict[NormalizedName, tuple[SpecifierSet, frozenset[str]]] = {}
        for requirement in requirements:
            name = normalized(requirement.name)
            if requirement.url:
                self.unsatisfied[Unsatisfied(environment, *shown_with_reason(requirement))].append({asker: None})
                if (exact := as_release(requirement)) is None:
                    continue
                requirement = exact
            specifier, extras = asked.get(name, (SpecifierSet(), NOTHING))
            asked[name] = (
                specifier & requirement.specifier,
                extras | {normalized(extra) for extra in requirement.extras},
            )
        for name, (specifier, extras) in asked.items():
            allowed = bounds.hashes.get(name) or (hashes or {}).get(name, NOTHING)
            bound = bounds.specifiers.get(name, SpecifierSet())
            demand = Demand(
                name,
                intern(str(specifier & bound)),
                extras or NOTHING,
                environment,
                scope,
                versions,
                allowed,
                installer,
            )
            self._demand(demand, asker, Asked(intern(str(specifier)), intern(str(bound)) if bound != specifier else ""))

    def _demand(self, demand: Demand, asker: Asker, asked: Asked) -> None:
        askers = self.asked.get(demand)
        if askers is None:
            self.asked[demand] = {asker: asked}
            self._todo.append(demand)
        else:
            askers[asker] = asked

    def _settle(self, demand: Demand) -> dict[str, File | None]:
        """Choose releases for a demand; return what has to arrive first, by the name of the task that brings it."""
        if demand.project not in self.projects:
            return {f"project:{demand.project}": None}
        project = self.projects[demand.project]
        if isinstance(project, Failed):
            return self._not_satisfied(demand, project.reason, undecided=True)
        if demand in self._locked:
            return self._settle_locked(demand, project)
        if project is None:
            return self._not_satisfied(demand, reason_of_absence(demand.project, self._indexes))
        return self._settle_among(project, demand)

    def _settle_among(self, project: Project, demand: Demand) -> dict[str, File | None]:
        """Choose among the releases of a project."""
        walk = self._choose(demand, project)
        if walk.missing:
            return walk.missing
        if walk.failed:  # choosing an older release for it would be wrong
            return self._not_satisfied(demand, walk.failed.reason, undecided=True)
        self.weighed |= walk.weighed
        for one, installs in walk.chosen:
            self._take(demand, one, installs)
        self.releases[demand] = tuple(dict.fromkeys(one.version for one, _ in walk.chosen))
        if not walk.chosen:
            self._not_satisfied(demand, self._why_unsatisfied(demand, project, walk.weighed))
        return {}

    def _settle_locked(self, demand: Demand, project: Project | None) -> dict[str, File | None]:
        """Take the files that a lock names; return the metadata that has to arrive first, which brings hashes."""
        package = self._locked[demand]
        if project is None:
            self._lock_fault(demand, reason_of_absence(demand.project, self._indexes))
            return {}
        found = locked_files(package, project, self.environments[demand.environment], self.rules)
        read = [file for file in found.files if self._has_to_be_read(file)]
        if missing := {f"metadata:{one.filename}": one for one in read if one.filename not in self.metadata}:
            return {**missing}
        arrived = (self.metadata[one.filename] for one in read)
        if failed := next((one for one in arrived if isinstance(one, Failed)), None):
            return self._not_satisfied(demand, failed.reason, undecided=True)
        self.weighed.update(one.filename for one in read)
        if any("sha256" not in file.hashes for file in read):
            return self._not_satisfied(demand, "its hash is not known", undecided=True)
        unasked = why_not_asked(package, self._indexes)
        for fault in found.faults:
            self._lock_fault(demand, f"{fault}; {unasked}" if unasked else fault)
        if files := [file for file in found.files if self._is_permitted(demand, file)]:
            self._take_locked(demand, package.version, files)
        return {}

    def _has_to_be_read(self, file: File) -> bool:
        """Say if nothing is known of a file that a lock names unless it is read: it has no hash, or the policy judges by that."""
        return "sha256" not in file.hashes or self.judgement.is_needed

    def _is_permitted(self, demand: Demand, file: File) -> bool:
        """Say if the policy lets a file in that a lock names; what it refuses is a fault of the lock."""
        found = self.metadata.get(file.filename)
        if self.rules.permission is None or not isinstance(found, Unusable):
            return True
        reason: str | None = found.reason
        if file.filename not in self.judgement.refused:  # no installer can use it, and it would come in all the same
            version = self._locked[demand].version
            reason = self.rules.permission.of_metadata(demand.project, version, found)
        if reason:
            self._lock_fault(demand, f"{file.filename}: {reason}")
        return reason is None

    def _lock_fault(self, demand: Demand, problem: str) -> None:
        self.lock_faults[demand.lock, demand.environment][f"{self._locked[demand]}: {problem}"] = None

    def _take_locked(self, demand: Demand, version: Version, files: Sequence[File]) -> None:
        key = (demand.project, version, demand.environment)
        chosen = self.chosen.setdefault(key, Chosen(files[0], by_locks_alone=True))
        chosen.taken.update(file.filename for file in files)
        if chosen.by_locks_alone:
            chosen.installs = preferred((chosen.installs, files[0]), self.environments[demand.environment])
        self._put_in(chosen, demand, version, files, self._build_scopes[demand.lock, demand.environment])
        self.releases[demand] = (version,)

    def _why_unsatisfied(self, demand: Demand, project: Project, weighed: Collection[str]) -> str:
        if contradicting := self.contradicting.get(demand):
            return next(iter(contradicting.values()))
        environment = self._environment_of(demand)
        refusals = Refusals(self.rules, self._against_among(weighed))
        return refusals.why_unsatisfied(project, specifier_of(demand), environment, demand.hashes)

    def _choose(self, demand: Demand, project: Project) -> _Walk:
        """Walk the fitting releases until as many as are asked for were found; whose metadata is unknown is taken to be good.

        Where the environment is a range, as many for each of its patch releases.
        """
        walk = _Walk()
        environment = self._environment_of(demand)
        enough = _Enough(demand.versions, environment.all_patches)
        candidates = fitting(project, specifier_of(demand), environment, self.rules, demand.hashes)
        refused = 0
        for one in candidates:
            refused += any(file.filename in self.judgement.refused for file in one.files)
            self._look_at(one, demand, enough, walk)
            if walk.failed or enough:
                break
        if walk.missing and refused:
            walk.missing.update(self._ahead(candidates, refused))
        return walk

    def _look_at(self, one: Candidate, demand: Demand, enough: _Enough, walk: _Walk) -> None:
        """Take a release, or what has to arrive before it can be taken, for the patch releases that have not got enough."""
        for file, by_page, patches in self._judged(one, self._environment_of(demand)):
            if not enough.lacks(by_page):
                continue
            walk.weighed.add(file.filename)
            if not patches or self._contradicts(demand, one, file):
                continue
            found = self.metadata.get(file.filename)
            if isinstance(found, Failed):
                walk.failed = found
                return
            walk.weighed |= self._read_beside(one)
            if lacking := self._lacking(demand, one, file):
                walk.missing.update(lacking)
            else:
                walk.chosen.append((one, file))
            enough.add(patches)

    def _read_beside(self, one: Candidate) -> set[str]:
        """Return the names of the files of a release that are read, whichever of them is installed, before it is taken."""
        files = files_to_mirror(one, self.rules)
        return {file.filename for file in files if self._has_to_be_read(file) or file.filename in self._had_no_hash}

    def _ahead(self, candidates: Iterator[Candidate], refused: int) -> Mapping[str, File]:
        """Return whose metadata is to be read ahead: a project of which the policy refuses releases by that has mostly more.

        Stepping back by one release a round trip takes long.

        :param candidates: those that follow.
        :param refused: how many were.
        """
        following = islice(candidates, min(2 * refused, _MOST_AHEAD))
        # Where the wheel is refused, the sdist is looked at.
        files = (file for one in following for file in (one.files[0], one.files[-1]))
        return {f"metadata:{file.filename}": file for file in files if file.filename not in self.metadata}

    def _lacking(self, demand: Demand, one: Candidate, installs: File) -> dict[str, File | None]:
        """Return what has to arrive before a release can be taken.

        That is metadata, with it the hash of what has none yet, and the pages that tell if it contradicts a bound.
        """
        files = files_to_mirror(one, self.rules)
        unhashed = (file for file in files if "sha256" not in file.hashes)
        # The others of a release are read when that which is installed was: mostly its metadata is theirs.
        unjudged = self.judgement.to_read(files) if installs.filename in self.metadata else []
        bound = self._bound_requirements(demand, installs)
        pages = (one.name for one in bound if one.name not in self.projects)
        return {
            **{f"project:{name}": None for name in pages},
            **{
                f"metadata:{file.filename}": file
                for file in (installs, *unhashed, *unjudged)
                if file.filename not in self.metadata
            },
        }

    def _contradicts(self, demand: Demand, one: Candidate, installs: File) -> bool:
        """Say if no installation of the root can contain a file; it is kept why, for the plan."""
        for bound in self._bound_requirements(demand, installs):
            project = self.projects.get(bound.name)
            if isinstance(project, Project) and (reason := bound.contradiction(project.versions)):
                self.contradicting.setdefault(demand, {})[one.version] = f"{installs.filename}: {reason}"
                return True
        return False

    def _bound_requirements(self, demand: Demand, installs: File) -> Iterator[BoundRequirement]:
        """Yield what a file requires in every case of other projects that a line or a constraint of the root binds."""
        bounds, metadata = self._bounds[demand.scope], self.metadata.get(installs.filename)
        if bounds.specifiers and isinstance(metadata, CoreMetadata):
            others = (pair for pair in _requirements(metadata.requires_dist) if pair[0] != demand.project)
            yield from bound_requirements(others, bounds, self._environment_of(demand))

    def _judged(self, one: Candidate, environment: Environment) -> Iterator[tuple[File, int, int]]:
        """Yield the files that installers look at, each with the patch releases on which they do, and on which they take it.

        That is the preferred one whose metadata is not known to be bad; on an exact Python at most one is taken.
        """
        left = environment.all_patches
        for file in one.files:
            by_page = patches = left & environment.allows(file.requires_python)
            metadata = self.metadata.get(file.filename)
            if isinstance(metadata, Unusable):
                metadata = as_taken_by(environment.installer, metadata)
                patches = 0 if metadata is None else patches
            # An index need not give data-requires-python; the metadata then tells.
            if isinstance(metadata, CoreMetadata):
                patches &= environment.allows(metadata.requires_python)
            yield file, by_page, patches
            left &= ~patches

    def _against_among(self, weighed: Collection[str]) -> Against:
        """Return what tells what the core metadata of these files says against using one in an environment."""

        def against(file: File, environment: Environment) -> str | None:
            return self._against(file, environment) if file.filename in weighed else None

        return against

    def _against(self, file: File, environment: Environment) -> str | None:
        metadata = self.metadata.get(self._twins.get(file.filename, file.filename))
        if isinstance(metadata, CoreMetadata):
            return check_python(metadata.requires_python, environment)
        return metadata.reason if isinstance(metadata, Unusable) else None

    def _rule_against(self, file: File) -> str:
        known = self._twins.get(file.filename, file.filename)
        return self.judgement.rules.get(known, "") if file.filename in self.weighed else ""

    def _not_satisfied(self, demand: Demand, reason: str, *, undecided: bool = False) -> dict[str, File | None]:
        self.unsatisfied[Unsatisfied(demand.environment, str(demand), reason, undecided)].append(self.asked[demand])
        return {}

    def _take(self, demand: Demand, one: Candidate, installs: File) -> None:
        key = (demand.project, one.version, demand.environment)
        chosen = self.chosen.setdefault(key, Chosen(installs))
        if chosen.by_locks_alone:
            chosen.installs, chosen.by_locks_alone = installs, False
        chosen.installs = preferred((chosen.installs, installs), self.environments[demand.environment])
        chosen.taken.add(installs.filename)
        chosen.is_repaired |= self._environment_of(demand).installer.repairs_specifiers
        files = files_to_mirror(one, self.rules)
        usable = [file for file in files if self._is_usable(demand, file, files)]
        self._put_in(chosen, demand, one.version, (installs, *usable))
        arrived = self.metadata[installs.filename]
        assert not isinstance(arrived, Failed), "what failed is not taken"
        metadata = as_taken_by(self._environment_of(demand).installer, arrived)
        assert metadata is not None, "what is refused is not taken"
        self._expand(demand, one.version, metadata, installs.filename)

    def _put_in(
        self, chosen: Chosen, demand: Demand, version: Version, files: Iterable[File], build_scope: int = 0
    ) -> None:
        """Put files of a release in, and ask for what building them requires."""
        for file in files:
            if file.filename not in chosen.files:
                chosen.files[file.filename] = file
                self._newly_chosen[file.filename] = (demand.project, file)
            build = _Build(demand.project, version, file, demand.environment, build_scope)
            if self._is_built(file) and build not in self._builds:
                self._builds.add(build)
                self._todo.append(build)

    def _is_usable(self, demand: Demand, file: File, of_release: Sequence[File]) -> bool:
        metadata = self.metadata.get(file.filename)
        if metadata is None and self.judgement.is_refused(file, of_release):
            return False
        if isinstance(metadata, Failed) and self._has_to_be_read(file):
            # It could not be fetched, so nobody knows what it is. The others are taken; what was mirrored of it stays.
            self._not_satisfied(demand, metadata.reason, undecided=True)
            return False
        return True

    def weighed_metadata(self, filename: str) -> CoreMetadata | None:
        """Return the core metadata of a file, if some choice hangs on it."""
        metadata = self.metadata.get(filename) if filename in self.weighed else None
        return metadata if isinstance(metadata, CoreMetadata) else None

    def files_of(self, chosen: Chosen) -> Mapping[str, File]:
        """Return the files of a release that belong in the mirror, by name, when nothing more is wanted.

        That is all but those which are of no use by what is certain to be known of them, whoever asked for that.
        """
        return {
            name: file
            for name, file in chosen.files.items()
            if name in chosen.taken or not self._is_of_no_use(file, chosen)
        }

    def _is_of_no_use(self, file: File, chosen: Chosen) -> bool:
        metadata = self.metadata.get(file.filename)
        if not isinstance(metadata, Unusable) or file.filename not in self.weighed:
            return False
        # Nobody knows what building an sdist takes that is read so.
        return metadata.repaired is None or not chosen.is_repaired or self._is_built(file)

    def _is_built(self, file: File) -> bool:
        """Say if a file is an sdist of which is read what building it requires."""
        return self.rules.build_requirements and not is_wheel(file.filename)

    def _expand(self, demand: Demand, version: Version, metadata: CoreMetadata, filename: str) -> None:
        """Ask for what a release requires, with the extras asked for and those they bring in turn."""
        extras = self._all_extras(demand, metadata)
        key = (filename, demand.environment, demand.scope, extras, demand.installer)
        if key in self._expanded:
            return
        self._expanded.add(key)
        environment = self._environment_of(demand)
        required = [
            requirement
            for name, requirement in _requirements(metadata.requires_dist)
            # An extra that names its own project is followed by _all_extras, on this very release.
            if (name != demand.project or requirement.url) and applies(requirement, environment, extras)
        ]
        asker = Asker("release", demand.project, str(version))
        self._demand_all(required, demand.environment, demand.scope, asker, installer=demand.installer)

    def _all_extras(self, demand: Demand, metadata: CoreMetadata) -> frozenset[str]:
        """Return the extras of a demand and those which they name of their own project (``pkg[all]`` = ``pkg[a,b]``)."""
        provided = {canonicalize_name(extra) for extra in metadata.provides_extra}
        for extra in sorted(demand.extras - provided):
            self.unknown_extras[(demand.project, extra)] = None
        environment = self._environment_of(demand)
        extras = demand.extras
        while True:
            more = {
                canonicalize_name(extra)
                for name, requirement in _requirements(metadata.requires_dist)
                if name == demand.project and applies(requirement, environment, extras)
                for extra in requirement.extras
            }
            if more <= extras:
                return extras
            extras |= more

    def _follow_build(self, build: _Build) -> dict[str, File | None]:
        """Ask for what building a mirrored sdist requires, as for roots of the same closure."""
        metadata = self.metadata.get(build.sdist.filename)
        if metadata is None:
            return {f"metadata:{build.sdist.filename}": build.sdist}
        self.weighed.add(build.sdist.filename)
        if not isinstance(metadata, CoreMetadata):
            return {}
        environment = self.environments[build.environment]
        required = [
            requirement
            for _, requirement in _requirements(metadata.build_requires)
            if applies(requirement, environment)
        ]
        # An installer builds in isolation: neither the lines of a file nor its constraints bind there.
        asker = Asker("build", build.project, str(build.version))
        self._demand_all(required, build.environment, build.scope, asker)
        return {}


@lru_cache(maxsize=4096)
def _requirements(lines: tuple[str, ...]) -> Sequence[tuple[NormalizedName, Requirement]]:
    """Return the requirements that PEP 508 allows, each with the name of its project; asked for in each environment."""
    parsed = (requirement for line in lines if (requirement := parse_requirement(line)) is not None)
    return tuple((normalized(requirement.name), requirement) for requirement in parsed)


def specifier_of(demand: Demand) -> SpecifierSet:
    """Return what the version of a demand has to satisfy."""
    specifier = parse_specifier(demand.specifier)
    assert specifier is not None, "a demand is made of a parsed specifier"
    return specifier
