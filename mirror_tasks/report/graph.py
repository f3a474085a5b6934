"""Which release requires which, on each environment, and on whose behalf each is in the mirror: read out of a plan.

A release requires another one where it asked for it when the plan was made. Of what a lock selects, and of the solution
that completes a root, the plan says who belongs together and not who requires whom: within each, the metadata tell.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.environments import Environment
from mirror_tasks.resolve.plan import Plan, PlannedRelease, Required
from mirror_tasks.resolve.selection import applies

Key = tuple[str, str]
"""A release: its project and its version."""

Edges = Mapping[str, Mapping[Key, tuple[Key, ...]]]
"""By environment, and by who requires: what is required, sorted."""

Known = Callable[[Key], "CoreMetadata | None"]
"""Gives what a release says of itself; None where nobody knows."""


def sort_key(key: Key) -> tuple[str, Version]:
    """Return by what releases are sorted: project, and the oldest first."""
    return key[0], Version(key[1])


def required_by(plan: Plan, environments: Iterable[Environment], known: Known) -> Edges:
    """Return what each release requires to be installed, on each environment."""
    found = _asked(plan, "release")
    by_name = {one.name: one for one in environments}
    for name, members in _together(plan).items():
        if name in by_name:
            for group in members.values():
                for asker, others in _Solution(by_name[name], group, known).edges().items():
                    found[name][asker] |= others
    return _sorted(found)


def built_with(plan: Plan) -> Edges:
    """Return what building the sdist of each release requires, on each environment."""
    return _sorted(_asked(plan, "build"))


def asked_by(plan: Plan) -> Mapping[Key, tuple[str, ...]]:
    """Return the names of the roots on whose behalf each release is in the mirror, directly or through others.

    As in ``doit explain --size``: what a release requires for an extra counts for all who ask for the release.
    """
    names = sorted({one.by.name for release in plan.releases for one in release.required if _is_of_root(one)})
    bits = {name: 1 << position for position, name in enumerate(names)}
    reached = _reached(plan, bits)
    return {key: tuple(name for name in names if bits[name] & mask) for key, mask in reached.items()}


def asked_directly(plan: Plan, *edges: Edges) -> Mapping[Key, tuple[str, ...]]:
    """Return for each release the environments on which a root itself asks for it.

    A lock, and a solution that completes a root, ask for all that is in them: of that it is what no other release requires.

    :param edges: what releases require.
    """
    required = {
        (environment, other)
        for some in edges
        for environment, by_release in some.items()
        for others in by_release.values()
        for other in others
    }
    found: dict[Key, set[str]] = defaultdict(set)
    for key, one in _every(plan):
        if one.by.kind == "root" or (_is_of_root(one) and (one.environment, key) not in required):
            found[key].add(one.environment)
    return {key: tuple(sorted(environments)) for key, environments in found.items()}


def _is_of_root(required: Required) -> bool:
    return required.by.is_root or required.by.kind == "completion"


def _reached(plan: Plan, bits: Mapping[str, int]) -> Mapping[Key, int]:
    """Return for each release the set of roots that lead to it."""
    needs: dict[tuple[str, Key], set[Key]] = defaultdict(set)
    reached: dict[tuple[str, Key], int] = defaultdict(int)
    for key, one in _every(plan):
        if _is_of_root(one):
            reached[one.environment, key] |= bits[one.by.name]
        else:
            needs[one.environment, (one.by.name, one.by.version)].add(key)
    todo = deque(reached)
    while todo:
        environment, key = node = todo.popleft()
        for other in needs.get(node, ()):
            if reached[node] & ~reached[environment, other]:
                reached[environment, other] |= reached[node]
                todo.append((environment, other))
    anywhere: dict[Key, int] = defaultdict(int)
    for (_, key), mask in reached.items():
        anywhere[key] |= mask
    return anywhere


def _every(plan: Plan) -> Iterator[tuple[Key, Required]]:
    return (((one.project, one.version), required) for one in plan.releases for required in one.required)


def _asked(plan: Plan, kind: str) -> dict[str, dict[Key, set[Key]]]:
    found: dict[str, dict[Key, set[Key]]] = defaultdict(lambda: defaultdict(set))
    for key, required in _every(plan):
        if required.by.kind == kind:
            found[required.environment][required.by.name, required.by.version].add(key)
    return found


def _sorted(found: Mapping[str, Mapping[Key, set[Key]]]) -> Edges:
    return {
        name: {asker: tuple(sorted(others, key=sort_key)) for asker, others in edges.items() if others}
        for name, edges in found.items()
    }


def _together(plan: Plan) -> Mapping[str, Mapping[str, list[PlannedRelease]]]:
    """Return the releases that install together, by environment and by the lock or the root that they are a solution of."""
    found: dict[str, dict[str, dict[Key, PlannedRelease]]] = defaultdict(lambda: defaultdict(dict))
    for release in plan.releases:
        for one in release.required:
            if one.by.kind in ("lock", "completion"):
                found[one.environment][one.by.name][release.project, release.version] = release
    return {
        environment: {name: list(members.values()) for name, members in groups.items()}
        for environment, groups in found.items()
    }


class _Solution:
    """Releases that install together in one environment.

    Of the extras with which they are asked for, those count that the plan names, and those that the members ask for.
    """

    def __init__(self, environment: Environment, members: Iterable[PlannedRelease], known: Known) -> None:
        self._environment = environment
        self._known = known
        self._members: dict[str, list[tuple[Key, Version]]] = defaultdict(list)
        self._extras: dict[str, set[str]] = defaultdict(set)
        for one in members:
            self._members[one.project].append(((one.project, one.version), Version(one.version)))
            for required in one.required:
                if required.environment == environment.name and (asked := parse_requirement(required.requirement)):
                    self._extras[one.project] |= _extras_of(asked)

    def edges(self) -> Mapping[Key, set[Key]]:
        """Return what each member requires of the others."""
        found: dict[Key, set[Key]] = defaultdict(set)
        todo = deque(self._members)
        while todo:
            name = todo.popleft()
            for key, _ in self._members[name]:
                for other, requirement in self._required(key):
                    fitting = [one for one, version in self._members[other] if _fits(requirement, version)]
                    found[key].update(fitting)
                    if fitting and not _extras_of(requirement) <= self._extras[other]:
                        self._extras[other] |= _extras_of(requirement)
                        todo.append(other)
        return found

    def _required(self, key: Key) -> Iterator[tuple[str, Requirement]]:
        """Yield what a member requires of other members."""
        lines = _requirements(self._known(key))
        extras = self._extras[key[0]]
        while more := _own_extras(lines, key[0], extras, self._environment) - extras:
            extras |= more
        for name, requirement in lines:
            if name != key[0] and name in self._members and applies(requirement, self._environment, extras):
                yield name, requirement


def _requirements(metadata: CoreMetadata | None) -> list[tuple[str, Requirement]]:
    parsed = (parse_requirement(line) for line in (metadata.requires_dist if metadata else ()))
    return [(canonicalize_name(one.name), one) for one in parsed if one is not None]


def _own_extras(
    lines: Iterable[tuple[str, Requirement]], project: str, extras: Iterable[str], environment: Environment
) -> set[str]:
    """Return the extras that those of a release name of the release itself (``pkg[all]`` is ``pkg[a,b]``)."""
    own = (one for name, one in lines if name == project and applies(one, environment, extras))
    return {extra for one in own for extra in _extras_of(one)}


def _extras_of(requirement: Requirement) -> set[str]:
    return {canonicalize_name(extra) for extra in requirement.extras}


def _fits(requirement: Requirement, version: Version) -> bool:
    return requirement.specifier.contains(version, prereleases=True)
