"""The closure: which releases the requirements need, in each environment, and who asked for them.

The algorithm does no I/O. It is told what arrived, a project page or the core metadata of a file, and answers what it
wants next; when it wants nothing more, the closure is whole. Each requirement is decided by itself, so the result
does not depend on the order in which things arrive.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from sys import intern

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, as_taken_by
from mirror_tasks.archives.requirements import normalized, requirements_of
from mirror_tasks.config.bindings import reason_of_absence
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import INSTALLERS, PIP, Installer
from mirror_tasks.config.lock_files.model import Lock, LockedPackage
from mirror_tasks.config.locked_indexes import why_not_asked
from mirror_tasks.config.model import Index, Root
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Fingerprint, Project
from mirror_tasks.resolve.bounds import Bounds, bounds_of, bounds_of_builds
from mirror_tasks.resolve.by_url import as_release, shown_with_reason
from mirror_tasks.resolve.choice import Choice
from mirror_tasks.resolve.demands import Asked, Build, Chosen, Demand, Unsatisfied, specifier_of
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
    preferred,
)

_MOST_AHEAD = 32  # releases


class Closure:
    """The growing closure of all roots on all environments.

    :param environments: the targets.
    :param roots: the entries under ``requirements:``.
    :param rules: what kinds of files belong in the mirror.
    :param indexes: those of ``mirror.yaml``, which tell of a project that is nowhere which index it is bound to; None: what
        pip uses.
    :ivar weighed: the names of the files that some choice hangs on. Only their metadata counts in what is told of files:
        whether that of any other file is known depends on the order in which things arrived.
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
        self._choice = Choice(rules, self.projects, self.metadata, self.judgement, self._bounds)
        self.lock_faults: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)  # by root and environment
        self._locked: dict[Demand, LockedPackage] = {}
        self._build_scopes: dict[tuple[str, str], int] = {}  # by lock and environment
        self._expanded: set[tuple[object, ...]] = set()
        self._builds: set[Build] = set()
        self._todo: deque[Demand | Build] = deque()
        self._parked: dict[Demand | Build, int] = {}
        self._waiting: dict[str, list[Demand | Build]] = defaultdict(list)
        self._wanted: set[str] = set()
        self._newly_chosen: dict[str, tuple[NormalizedName, File]] = {}

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

    @property
    def contradicting(self) -> Mapping[Demand, Mapping[Version, str]]:
        """The releases that were passed over, and why no installation of the root can contain them."""
        return self._choice.contradicting

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
        """Take in metadata that an earlier run found to be of no use, or to be other than the page announces.

        What waits for the same metadata goes on only when it arrives.
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
            self._choice.mark_unhashed(file)
        return Wants((), tuple((project, file) for file in new))

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
                    self._choice.mark_unhashed(wish)
            if missing:
                self._parked[item] = len(missing)
        chosen, self._newly_chosen = tuple(self._newly_chosen.values()), {}
        likely = frozenset(file.filename for _, file in files.values())
        return Wants(tuple(projects), tuple(files.values()), likely, chosen)

    def _followed(self, item: Demand | Build) -> Mapping[str, File | None]:
        """Decide one thing. An error that nobody foresaw is kept to be told, and leaves only this one thing undecided."""
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
        walk = self._choice.walk(demand, project, self._environment_of(demand))
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
        read = [file for file in found.files if self._choice.has_to_be_read(file)]
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

    def _is_permitted(self, demand: Demand, file: File) -> bool:
        """Say if the policy permits a file that a lock names; a file that it refuses is a fault of the lock."""
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
        if contradicting := self._choice.contradicting.get(demand):
            return next(iter(contradicting.values()))
        environment = self._environment_of(demand)
        refusals = Refusals(self.rules, self._against_among(weighed))
        return refusals.why_unsatisfied(project, specifier_of(demand), environment, demand.hashes)

    def _against_among(self, weighed: Collection[str]) -> Against:
        """Return what tells what the core metadata of these files says against using one in an environment."""

        def against(file: File, environment: Environment) -> str | None:
            return self._against(file, environment) if file.filename in weighed else None

        return against

    def _against(self, file: File, environment: Environment) -> str | None:
        metadata = self.metadata.get(file.filename)
        if isinstance(metadata, CoreMetadata):
            return check_python(metadata.requires_python, environment)
        return metadata.reason if isinstance(metadata, Unusable) else None

    def _rule_against(self, file: File) -> str:
        return self.judgement.rules.get(file.filename, "") if file.filename in self.weighed else ""

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
            build = Build(demand.project, version, file, demand.environment, build_scope)
            if self._is_built(file) and build not in self._builds:
                self._builds.add(build)
                self._todo.append(build)

    def _is_usable(self, demand: Demand, file: File, of_release: Sequence[File]) -> bool:
        metadata = self.metadata.get(file.filename)
        if metadata is None and self.judgement.is_refused(file, of_release):
            return False
        if isinstance(metadata, Failed) and self._choice.has_to_be_read(file):
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

        Left out are those that nobody takes and that are of no use, by metadata that some choice hangs on.
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
        # Metadata of an sdist that had to be repaired does not say what building it takes.
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
            for name, requirement in requirements_of(metadata.requires_dist)
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
                for name, requirement in requirements_of(metadata.requires_dist)
                if name == demand.project and applies(requirement, environment, extras)
                for extra in requirement.extras
            }
            if more <= extras:
                return extras
            extras |= more

    def _follow_build(self, build: Build) -> dict[str, File | None]:
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
            for _, requirement in requirements_of(metadata.build_requires)
            if applies(requirement, environment)
        ]
        # An installer builds in isolation: neither the lines of a file nor its constraints bind there.
        asker = Asker("build", build.project, str(build.version))
        self._demand_all(required, build.environment, build.scope, asker)
        return {}
