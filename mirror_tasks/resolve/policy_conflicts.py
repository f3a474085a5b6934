"""Why a root has no solution under the policy: which releases would have to be let in, and how.

It is found by solving the root as if there were no policy, and then with as few of the refused releases let in as will do.
So what is told stands in the way indeed, and letting it in helps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Root
from mirror_tasks.index.file_names import version_of
from mirror_tasks.index.project import File, Project
from mirror_tasks.policy.permission import Finding, Permission, Subject, exception_for
from mirror_tasks.resolve.needs import Undecided, Universe
from mirror_tasks.resolve.search import Limits
from mirror_tasks.resolve.selection import Candidate, Rules, fitting
from mirror_tasks.resolve.solver import Conflict, Solution, Solver

_MOST_SPARED = 12  # releases of which is tried whether the root can do without them
_MOST_TOLD = 8
# A tenth of those of a solver: what is looked for is a help, and there may be many roots without a solution. Its seconds are
# a solver's: they are for what hangs, not for a slow machine, which is to be told the same.
_LIMITS = Limits(rounds=2_000, cells=400_000)

_Releases = Mapping[tuple[NormalizedName, Version], tuple[Finding, ...]]
_LetIn = frozenset[tuple[NormalizedName, Version]] | None  # None: all


@dataclass(frozen=True, slots=True)
class _Opened:
    """The universe, in which metadata that the policy refuses is as it was for some releases."""

    universe: Universe
    refused: Mapping[str, CoreMetadata | Unusable]
    permission: Permission | None

    def project(self, name: NormalizedName) -> Project | None:
        return self.universe.project(name)

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
        found = self.universe.metadata(name, file)
        as_it_is = self.refused.get(file.filename)
        if as_it_is is None:
            return found
        is_let_in = self.permission is None or self.permission.lets_in(name, version_of(file.filename, name))
        return as_it_is if is_let_in else found


@dataclass(frozen=True, slots=True)
class WaysIn:
    """Finds the releases that a root needs and the policy refuses; one for each root, which goes on where it had to wait.

    :param universe: everything upstream.
    :param refused: what files say that the policy refuses by that, by file name; they are unusable in the universe.
    :param rules: with the policy.
    :param weighed: the names of the files of whose metadata something is said: of others it is chance if it is known.
    """

    universe: Universe
    refused: Mapping[str, CoreMetadata | Unusable]
    rules: Rules
    permission: Permission
    weighed: Collection[str]
    _solvers: dict[_LetIn, Solver] = field(default_factory=dict, init=False)
    _found: dict[_LetIn, Solution | None] = field(default_factory=dict, init=False)
    _limits: dict[_LetIn, str] = field(default_factory=dict, init=False)

    def lines(self, root: Root, environment: Environment) -> tuple[str, ...]:
        """Tell which releases stand in the way, by which rule, and how each is let in; nothing where it is not the policy.

        :param environment: with one set of markers, as one installer judges it.
        :raises NotKnownYet: the universe has to learn something first.
        :raises Undecided: it can't.
        """
        found = self._solution(root, environment, None)
        if found is None:
            return tuple(
                f"nobody knows if it is the policy: the search without it met its limit of {one}" for one in self._met
            )
        needed = self._fewest(root, environment, self._refused_in(found, environment))
        if not needed:
            return ()
        more = len(needed) - _MOST_TOLD
        told = [line for key in sorted(needed)[:_MOST_TOLD] for line in self._told(*key, needed[key], environment)]
        beyond = [f"and {more} more releases that the policy refuses"] if more > 0 else []
        unsure = [f"not all of them may be needed: a search met its limit of {one}" for one in self._met]
        return ("without the policy there is a solution; of what it needs the policy refuses:", *told, *beyond, *unsure)

    @property
    def met_a_limit(self) -> bool:
        """Whether a search ended before it found anything out."""
        return bool(self._limits)

    @property
    def _met(self) -> Iterable[str]:
        return dict.fromkeys(self._limits.values())

    def _solution(self, root: Root, environment: Environment, needed: _Releases | None) -> Solution | None:
        """Return a solution with these releases let in, or with all of them."""
        key = None if needed is None else frozenset(needed)
        if key not in self._found:
            if key not in self._solvers:
                permission = None if needed is None else self.permission.letting_in(needed)
                universe = _Opened(self.universe, self.refused, permission)
                rules = replace(self.rules, permission=permission)
                self._solvers[key] = Solver(environment, universe, rules, _LIMITS)
            found = self._solvers[key].solve(root)
            self._found[key] = None if isinstance(found, Conflict) else found
            if isinstance(found, Conflict) and found.limit:
                self._limits[key] = found.limit
            del self._solvers[key]
        return self._found[key]

    def _fewest(self, root: Root, environment: Environment, needed: _Releases) -> _Releases:
        """Leave out what the root can do without, one by one; what is not found out in time counts as needed."""
        for key in sorted(needed)[:_MOST_SPARED] if len(needed) > 1 else ():
            fewer = {other: findings for other, findings in needed.items() if other != key}
            if self._solution(root, environment, fewer):
                needed = fewer
        return needed

    def _refused_in(self, found: Solution, environment: Environment) -> _Releases:
        refused: dict[tuple[NormalizedName, Version], tuple[Finding, ...]] = {}
        for name, (text, filename) in found.pins.items():
            project, version = self.universe.project(canonicalize_name(name)), Version(text)
            files = project.files(version) if project else ()
            file = next(one for one in files if one.filename == filename)
            assert project is not None, "what was chosen has a page"
            key = (canonicalize_name(name), version)
            if findings := tuple(self._findings(key[0], version, file, project, environment)):
                refused[key] = findings
        return refused

    def _findings(
        self, name: NormalizedName, version: Version, file: File, project: Project, environment: Environment
    ) -> Iterator[Finding]:
        subject = Subject(name, version, file, project.index_of(file.filename))
        yield from (one for one in self.permission.findings(subject, environment) if one.waiver is None)
        if metadata := self.refused.get(file.filename):
            yield from (one for one in self.permission.findings_in(name, version, metadata) if one.waiver is None)

    def _told(
        self, name: NormalizedName, version: Version, findings: tuple[Finding, ...], environment: Environment
    ) -> Iterator[str]:
        permitted = self._nearest(name, version, environment)
        for finding in findings:
            yield f"{name}-{version}: {finding.reason}; {permitted}"
            if exception := exception_for(name, version, finding, self.permission.as_of):
                place = self.permission.policy.place_of_exceptions(finding.rule)
                yield f"  to let it in, add under {place}:  {exception}"

    def _nearest(self, name: NormalizedName, version: Version, environment: Environment) -> str:
        """Name the newest permitted release below one that is refused, else the oldest above it, as far as metadata is known."""
        project = self.universe.project(name)
        candidates = fitting(project, SpecifierSet(), environment, self.rules) if project else ()
        usable = {one.version: self._is_usable(name, one) for one in candidates}
        permitted = [one for one, is_usable in usable.items() if is_usable is not False and one != version]
        nearest = max((one for one in permitted if one < version), default=None) or min(permitted, default=None)
        if nearest is None:
            return "none of its releases is permitted"
        if usable[nearest]:
            return f"the nearest that is permitted is {nearest}"
        return f"the nearest that may be permitted is {nearest}, of which was not read what it says of itself"

    def _is_usable(self, name: NormalizedName, one: Candidate) -> bool | None:
        """Say if one of the files of a release is of use; None where that hangs on metadata that nobody has read."""
        is_unread = False
        for file in one.files:
            if file.filename not in self.weighed:
                is_unread = True
                continue
            try:
                if not isinstance(self.universe.metadata(name, file), Unusable):
                    return True
            except Undecided:
                is_unread = True
        return None if is_unread and self.permission.reads_metadata else is_unread
