"""Completion: what a closure of newest releases lacks for a root to be installable, found and added.

A closure is not sound: the newest release of a root may need what is not there any more, and a resolver then steps
back to an older one, which the closure never looked at. So each root is solved on each environment from the releases
chosen; where that fails, from everything upstream, and what that solution takes joins the closure. No I/O here either:
what is wanted is answered, and arrives as for the closure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from packaging.utils import NormalizedName

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import INSTALLERS, PIP, Installer
from mirror_tasks.config.model import Root
from mirror_tasks.index.project import File, Project
from mirror_tasks.policy.permission import Permission
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.needs import Missing, NotKnownYet, Undecided
from mirror_tasks.resolve.outcome import Completed, Failed, OneSided, Unsolved, Wants
from mirror_tasks.resolve.points import Met
from mirror_tasks.resolve.policy_conflicts import WaysIn
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Conflict, Solution, Solver

Solutions = Mapping[str, Mapping[str, str]]


class FromChosen:
    """The universe of what the closure chose: what will be in the mirror, as an installer will see it."""

    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self._projects: dict[NormalizedName, Project | None] = {}
        self._files: dict[NormalizedName, dict[Any, dict[str, File]]] = {}
        for (name, version, _), chosen in closure.chosen.items():
            self._files.setdefault(name, {}).setdefault(version, {}).update(closure.files_of(chosen))

    def project(self, name: NormalizedName) -> Project | None:
        """Return the project with the files that were chosen of it."""
        if name not in self._projects:
            upstream = self._closure.projects.get(name)
            files = self._files.get(name)
            known = files is not None and isinstance(upstream, Project)
            self._projects[name] = upstream.only(files) if known else None  # type: ignore[union-attr,arg-type]
        return self._projects[name]

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
        """Return what the file says, if that is known."""
        return _metadata(self._closure, name, file)


class FromUpstream:
    """The universe of everything upstream."""

    def __init__(self, closure: Closure) -> None:
        self._closure = closure

    def project(self, name: NormalizedName) -> Project | None:
        """Return the project as its page shows it."""
        if name not in self._closure.projects:
            raise NotKnownYet({name: ()})
        found = self._closure.projects[name]
        if isinstance(found, Failed):
            raise Undecided(found.reason)
        return found

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
        """Return what the file says."""
        return _metadata(self._closure, name, file)


def _metadata(closure: Closure, name: NormalizedName, file: File) -> CoreMetadata | Unusable:
    found = closure.metadata.get(file.filename)
    if found is None:
        raise NotKnownYet({name: (file,)})
    if isinstance(found, Failed):
        raise Undecided(found.reason)
    return found


def _by_python(
    environment: Environment, patches: Sequence[int], found: Mapping[int, Conflict]
) -> Iterator[tuple[str, ...]]:
    """Yield the lines of each conflict once, with the Pythons that have it unless all do."""
    pythons: dict[tuple[str, ...], list[str]] = {}
    for patch, conflict in sorted(found.items()):
        pythons.setdefault(conflict.lines, []).append(str(environment.at(patch).python))
    for lines, where in pythons.items():
        yield lines if len(where) == len(patches) else (f"on Python {', '.join(where)}:", *lines)


@dataclass(frozen=True, slots=True)
class _Case:
    """A root that is to be solved in an environment, on one patch release of its range, as one installer decides."""

    root: Root
    environment: Environment
    patch: int
    installer: Installer = PIP

    @property
    def point(self) -> Environment:
        """The environment on this patch release, as the installer judges it."""
        return self.environment.at(self.patch, self.installer)

    @property
    def anywhere(self) -> _Case:
        """What is the same for all patch releases of the range."""
        return replace(self, patch=0)

    @property
    def key(self) -> str:
        """The name under which its solver and its solution are kept."""
        name = f"{self.environment.name}/{self.patch}"
        return name if self.installer is PIP else f"{name}/{self.installer}"


class Completion:
    """Solves every root on every environment, and completes the closure where that fails.

    :param known: solutions of the last run, which are checked before anything is searched:
        versions by project, by root, by environment, patch release and installer.
    :ivar met_a_limit: a search met a limit before it found anything out. In another run it may not: one limit is of time.
    """

    def __init__(self, closure: Closure, roots: Sequence[Root], rules: Rules, known: Mapping[str, Solutions]) -> None:
        self.closure = closure
        self.met_a_limit = False
        self.completed: list[Completed] = []
        self.solutions: dict[str, dict[str, dict[str, str]]] = {}
        self._known = known
        self._rules = rules
        # An installer knows nothing of what mirror.yaml leaves out; it sees what is there.
        self._seen_inside = Rules(prereleases=rules.prereleases)
        self._roots = tuple(roots)
        self._met = Met(roots)
        self._patches: dict[str, list[int]] = {name: [] for name in closure.environments}
        self._given_up: dict[_Case, Conflict] = {}
        self._todo = self._new_cases()
        self._failing: dict[_Case, Conflict] = {}
        self._upstream: dict[str, Solver] = {}
        self._found: dict[_Case, Solution | Conflict | None] = {}  # upstream, of what fails
        self._ways: dict[_Case, WaysIn] = {}  # of what has no solution
        self._policy_lines: dict[_Case, tuple[str, ...]] = {}
        self._asked: set[_Case] = set()
        self._likely: dict[
            _Case, dict[str, str]
        ] = {}  # what is tried before anything is searched, by cases of all points
        self._hashed = closure.hashed

    def step(self) -> Wants:
        """Go as far as what is known allows; return what is wanted next, nothing when all is decided."""
        wants = self._from_chosen()
        if wants:
            return wants
        wants = self._from_upstream()
        if wants:
            return wants
        self._todo += self._new_cases()
        return self.step() if self._todo else self._from_what_the_policy_refuses()

    def _new_cases(self) -> list[_Case]:
        """Return the cases that are new: what was chosen since may tell more patch releases apart."""
        for chosen in self.closure.chosen.values():
            for file in self.closure.files_of(chosen).values():
                self._met.meet(file, self.closure.weighed_metadata(file.filename))
        cases: list[_Case] = []
        for environment in self.closure.environments.values():
            known = self._patches[environment.name]
            new = [patch for patch in self._met.patches(environment) if patch not in known]
            cases += [
                _Case(root, environment, patch)
                for patch in new
                for root in self._roots
                if root.is_resolved_on(environment)
            ]
            known += new
        return cases

    def _from_chosen(self) -> Wants:
        """Solve what is left to solve from the releases chosen."""
        if not self._todo:
            return Wants()
        universe = FromChosen(self.closure)
        todo, self._todo = self._todo, []
        by_solver: dict[str, list[_Case]] = {}
        for case in todo:
            by_solver.setdefault(case.key, []).append(case)
        waiting: set[_Case] = set()
        # One solver at a time: what each remembers of releases is 10 MB for 1,000 roots.
        return self._wants([one for cases in by_solver.values() for one in self._solved_from(universe, cases, waiting)])

    def _solved_from(self, universe: FromChosen, cases: Sequence[_Case], waiting: set[_Case]) -> Iterator[Missing]:
        """Solve cases of one solver; yield what has to arrive first.

        :param waiting: the cases of which one point has to wait. What solves one point is tried first at the others, so
            all of them wait: else the order in which things arrive would decide which point is solved first.
        """
        solver = Solver(cases[0].point, universe, self._seen_inside)
        for case in cases:
            if case.anywhere in waiting:
                self._todo.append(case)
                continue
            try:
                found = self._heeded(solver.solve(case.root, self._known_of(case)))
            except NotKnownYet as unknown:
                self._todo.append(case)
                waiting.add(case.anywhere)
                yield unknown.files
            except Undecided:
                continue
            except Exception as error:  # that nobody foresaw: this root is undecided, and no other
                self.closure.bugs.append((case.root.name, error))
            else:
                self._note(case, found)
                if isinstance(found, Solution) and solver.others_may_differ(case.root, found):
                    self._judge_for_others(case)

    def _heeded(self, found: Solution | Conflict) -> Solution | Conflict:
        self.met_a_limit |= isinstance(found, Conflict) and bool(found.limit)
        return found

    def _known_of(self, case: _Case) -> Mapping[str, str] | None:
        """Return what solved a case in the last run, or solves it from upstream, or at another point of its range."""
        return self._known.get(case.key, {}).get(case.root.name) or self._likely.get(case.anywhere)

    def _note(self, case: _Case, found: Solution | Conflict) -> None:
        if isinstance(found, Solution):
            self._keep(case, found)
        elif case in self._failing:  # completed before, and still none: there is no more to add
            self._give_up(case, found)
        else:
            self._failing[case] = found

    def _give_up(self, case: _Case, conflict: Conflict) -> None:
        self._given_up[case] = conflict
        del self._failing[case]
        self._judge_for_others(case)

    def _judge_for_others(self, case: _Case) -> None:
        """Have a root solved as the other installers decide, where pip has no solution or one that they may not take."""
        if case.installer is PIP:
            others = [replace(case, installer=one) for one in INSTALLERS if one is not PIP]
            self._todo += [other for other in others if other not in self._asked]
            self._asked.update(others)

    @property
    def unsolved(self) -> list[Unsolved]:
        """The roots that no installer can install somewhere in an environment."""
        return [
            Unsolved(environment.name, root.name, lines)
            for root, environment in self._pairs()
            for lines in _by_python(environment, self._patches[environment.name], self._nobody_can(root, environment))
        ]

    @property
    def one_sided(self) -> list[OneSided]:
        """The roots that one installer can install everywhere in an environment, and another can't somewhere."""
        return [
            OneSided(environment.name, root.name, one.name, lines)
            for root, environment in self._pairs()
            if not self._nobody_can(root, environment)
            for one in INSTALLERS
            for lines in _by_python(
                environment, self._patches[environment.name], self._conflicts(root, environment, one)
            )
        ]

    def _pairs(self) -> Iterable[tuple[Root, Environment]]:
        return dict.fromkeys((case.root, case.environment) for case in self._given_up)

    def _conflicts(self, root: Root, environment: Environment, installer: Installer) -> Mapping[int, Conflict]:
        cases = ((patch, _Case(root, environment, patch, installer)) for patch in self._patches[environment.name])
        return {patch: self._told(case) for patch, case in cases if case in self._given_up}

    def _nobody_can(self, root: Root, environment: Environment) -> Mapping[int, Conflict]:
        """Return the conflicts of the first installer on those patch releases on which no other has a solution either."""
        first, *others = (self._conflicts(root, environment, one) for one in INSTALLERS)
        return {patch: found for patch, found in first.items() if all(patch in other for other in others)}

    def _keep(self, case: _Case, found: Solution) -> None:
        versions = found.versions
        likely = self._likely.setdefault(case.anywhere, versions)
        # Mostly they are the same at all points of a range; held once then, they take a third of the memory.
        self.solutions.setdefault(case.key, {})[case.root.name] = likely if likely == versions else versions
        self._failing.pop(case, None)

    def _from_upstream(self) -> Wants:
        """Solve what failed from everything upstream; what that takes joins the closure, when all of it is found.

        What joins is found by every case that is solved after it. So nothing joins before the last search has ended: else
        the order in which things arrive would decide which cases find it.
        """
        self._forget_unhashed()
        by_range: dict[_Case, list[_Case]] = {}
        for case in self._failing:
            by_range.setdefault(case.anywhere, []).append(case)
        missing = [one for points in by_range.values() for one in self._search_points(points)]
        return self._wants(missing) or self._join()

    def _forget_unhashed(self) -> None:
        """Let the solvers go if hashes became known since: they remember the files without them."""
        if self._hashed != self.closure.hashed:
            self._upstream.clear()
            self._hashed = self.closure.hashed

    def _search_points(self, points: Sequence[_Case]) -> Iterator[Missing]:
        """Search upstream at the points of a range until one has a solution; yield what has to arrive first.

        Points of a range mostly fail alike: what completes the first one is tried at the others before these are searched.
        """
        for case in points:
            if case not in self._found:
                try:
                    self._found[case] = self._solved_upstream(case)
                except NotKnownYet as unknown:
                    yield unknown.files
                    return
            if isinstance(self._found[case], Solution):
                return

    def _solved_upstream(self, case: _Case) -> Solution | Conflict | None:
        """Return what is found of a case upstream; None where that can't be decided."""
        solver = self._upstream.get(case.key)
        if solver is None:
            solver = self._upstream[case.key] = Solver(case.point, FromUpstream(self.closure), self._rules)
        try:
            return self._heeded(solver.solve(case.root))
        except NotKnownYet:
            raise
        except Undecided:
            return None
        except Exception as error:  # as above
            self.closure.bugs.append((case.root.name, error))
            return None

    def _join(self) -> Wants:
        """Let what was found upstream join the closure, and give up what has no solution there either."""
        wants = Wants()
        found, self._found = self._found, {}
        for case in [one for one in self._failing if one in found]:
            one = found[case]
            if isinstance(one, Conflict):
                self._give_up(case, one)
            elif isinstance(one, Solution):
                wants = wants.and_also(self._complete(case, self._failing[case], one))
                self._todo += [case, *self._other_points(case)]
            else:
                del self._failing[case]
        return wants

    def _other_points(self, case: _Case) -> list[_Case]:
        """Return what fails at other points of the same range, and take it for not tried."""
        others = [one for one in self._failing if one.anywhere == case.anywhere and one != case]
        for other in others:
            del self._failing[other]
        return others

    def _from_what_the_policy_refuses(self) -> Wants:
        """Find out what of the policy stands in the way of each root that has no solution."""
        missing: list[Missing] = []
        if self._rules.permission is None:
            return Wants()
        for case in self._given_up:
            if case in self._policy_lines or case.installer is not PIP:  # whose conflict is the one that is told
                continue
            ways = self._ways.setdefault(case, self._ways_in(self._rules.permission))
            try:
                self._policy_lines[case] = ways.lines(case.root, case.point)
                self.met_a_limit |= ways.met_a_limit
            except NotKnownYet as unknown:
                missing.append(unknown.files)
            except Undecided:
                self._policy_lines[case] = ()
        return self._wants(missing)

    def _ways_in(self, permission: Permission) -> WaysIn:
        closure = self.closure
        return WaysIn(FromUpstream(closure), closure.judgement.refused, self._rules, permission, closure.weighed)

    def _told(self, case: _Case) -> Conflict:
        """Return the conflict of a case, and what of the policy stands in the way."""
        conflict = self._given_up[case]
        return replace(conflict, lines=(*conflict.lines, *self._policy_lines.get(case, ())))

    def _complete(self, case: _Case, conflict: Conflict, found: Solution) -> Wants:
        reason = conflict.lines[0] if conflict.lines else "no solution among the releases chosen"
        if case.installer is not PIP:
            reason = f"{case.installer} decides otherwise than pip: {reason}"
        new = tuple(sorted(self._new_releases(case, found)))
        if new:  # another point may have brought them already
            self.completed.append(Completed(case.environment.name, case.root.name, reason, new))
        self._likely[case.anywhere] = found.versions
        return self.closure.complete(case.root, case.point, found.versions)

    def _new_releases(self, case: _Case, found: Solution) -> Iterator[str]:
        chosen = {
            (name, str(version))
            for name, version, environment in self.closure.chosen
            if environment == case.environment.name
        }
        return (f"{name}-{version}" for name, (version, _) in found.pins.items() if (name, version) not in chosen)

    def _wants(self, missing: Sequence[Missing]) -> Wants:
        wants = Wants()
        for one in missing:
            for name, files in one.items():
                wants = wants.and_also(self.closure.want(name, files))
        return wants
