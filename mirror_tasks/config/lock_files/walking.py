"""Locks that say what each package requires, but not where it is wanted: walked from what the project requires.

Both Poetry before lock-version 2.1 and pdm without ``inherit_metadata`` resolve again when they install, among the
packages of the lock alone. A lock has, for one environment, one version of each project at most that fits; so there is
nothing to search: the highest version that all demands allow is taken, and where a demand comes too late for a version
that was taken, the walk begins again with that demand known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP
from mirror_tasks.config.lock_files.asked_extras import holds_for_any
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.markers import extras_of
from mirror_tasks.config.poetry_constraints import Constraint

Origin = tuple[str, str]
"""Where a package is from, and which there: ``("git", "main")``, ``("index", "private")``, ``("", "")`` for no source."""


class Allows(Protocol):
    """What says which versions are allowed."""

    def allows(self, version: Version) -> bool:
        """Say if a version is allowed."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One thing that the project, or a package, requires.

    :param where: its key path.
    :param markers: all have to hold; extras named in them are not judged here.
    :param origin: an empty kind, or an empty detail, stands for any.
    """

    name: NormalizedName
    where: str
    constraint: Allows
    markers: tuple[str, ...] = ()
    extras: frozenset[NormalizedName] = frozenset()
    origin: Origin = ("", "")

    def holds(self, environment: Environment) -> bool:
        """Say if its markers hold in an environment, with every extra that they name."""
        return all(holds_for_any(marker, environment, extras_of(marker), PIP) for marker in self.markers)

    def accepts(self, node: Node) -> bool:
        """Say if a package is what is required."""
        return self._is_from(node.origin) and self.constraint.allows(node.package.version)

    def _is_from(self, origin: Origin) -> bool:
        kind, detail = self.origin
        if self.origin == ("index", "pypi") and not origin[0]:  # Poetry's name for the index without a source
            return True
        return not kind or (kind == origin[0] and detail in ("", origin[1]))


def requirement_edge(table: Table, place: str, text: str) -> Edge:
    """Return a requirement as PEP 508 writes it, which stands at ``place`` of a table.

    :raises ValueError: it is none.
    """
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError):
        raise table.fault(place, "a requirement such as foo>=1.2", text) from None
    url = requirement.url or ""
    kind = "git" if url.startswith("git+") else "path" if url.startswith(("file:", ".")) else "url"
    return Edge(
        name=canonicalize_name(requirement.name),
        where=table.path(place),
        constraint=Constraint((requirement.specifier,)),
        markers=(str(requirement.marker),) if requirement.marker else (),
        extras=frozenset(map(canonicalize_name, requirement.extras)),
        origin=(kind, "") if url else ("", ""),
    )


class Node(Protocol):
    """One package of a lock."""

    @property
    def package(self) -> LockedPackage:
        """Return what is selected where it is reached."""

    @property
    def origin(self) -> Origin:
        """Return where it is from."""

    @property
    def python(self) -> Allows:
        """Return which Pythons it is for."""

    def edges(self, extras: frozenset[NormalizedName]) -> Iterable[Edge]:
        """Return what it requires itself, and with these of its extras.

        :raises ValueError: the lock lacks what the extras require.
        """


_MOST_ROUNDS = 100
"""How often a walk begins again: honest locks need one round, few need two."""

Nodes = Mapping[NormalizedName, Sequence[Node]]


@dataclass(slots=True)
class Walk:
    """Walks a lock in one environment.

    :param nodes: the packages by name, the highest version first.
    :param without: names that are followed nowhere, such as that of the project itself.
    :param optional: names that a lock may lack.
    """

    nodes: Nodes
    environment: Environment
    remedy: str
    without: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    _taken: dict[NormalizedName, Node] = field(default_factory=dict)
    _demands: dict[NormalizedName, dict[Edge, None]] = field(default_factory=dict)
    _known: Mapping[NormalizedName, Iterable[Edge]] = field(default_factory=dict)

    def reached(self, roots: Iterable[Edge]) -> tuple[LockedPackage, ...]:
        """Return the packages that are reached from the roots, sorted by name.

        :raises ValueError: the lock has no package that something reached requires.
        """
        self.settle(roots)
        return self.packages(self._taken)

    def settle(self, roots: Iterable[Edge]) -> None:
        """Take the version of each project that all demands allow which the roots lead to.

        :raises ValueError: the lock has no package that something reached requires.
        """
        roots = tuple(roots)
        self._once(roots)
        for _ in range(_MOST_ROUNDS):
            if self._contradicted() is None:
                break
            self._known = self._demands
            self._once(roots)
        late = self._contradicted()
        if late is not None:
            raise ValueError(self._lacks(late))

    def packages(self, names: Iterable[NormalizedName]) -> tuple[LockedPackage, ...]:
        """Return the packages that were taken of these projects, which were reached; sorted by name."""
        return tuple(self._taken[name].package for name in sorted(names))

    def names_from(self, roots: Iterable[Edge]) -> set[NormalizedName]:
        """Return the projects that some of the roots lead to, in what was taken for all of them."""
        found: set[NormalizedName] = set()
        waiting, seen = deque(roots), set()
        while waiting:
            edge = waiting.popleft()
            if edge not in seen and edge.name in self._taken and edge.holds(self.environment):
                seen.add(edge)
                found.add(edge.name)
                waiting.extend(self._taken[edge.name].edges(edge.extras))
        return found

    def names_below(self, names: Iterable[NormalizedName]) -> set[NormalizedName]:
        """Return projects and those that they lead to, with the extras that anything demands of them."""
        return self.names_from(edge for name in names for edge in self._demands.get(name, ()))

    def _once(self, roots: Iterable[Edge]) -> None:
        self._taken, self._demands = {}, {}
        waiting, seen = deque(roots), set()
        while waiting:
            edge = waiting.popleft()
            if edge in seen or edge.name in self.without or not edge.holds(self.environment):
                continue
            seen.add(edge)
            self._demands.setdefault(edge.name, {})[edge] = None
            node = self._taken.get(edge.name) or self._take(edge)
            if node is not None:
                self._taken[edge.name] = node
                waiting.extend(node.edges(edge.extras))

    def _take(self, edge: Edge) -> Node | None:
        if edge.name not in self.nodes and edge.name in self.optional:
            return None
        fitting = [node for node in self.nodes.get(edge.name, ()) if self._fits(node) and edge.accepts(node)]
        if not fitting:
            raise ValueError(self._lacks(edge))
        demands = tuple(self._known.get(edge.name, ()))
        return next((node for node in fitting if all(one.accepts(node) for one in demands)), fitting[0])

    def _fits(self, node: Node) -> bool:
        return node.python.allows(self.environment.python)

    def _contradicted(self) -> Edge | None:
        """Return a demand that what was taken does not meet."""
        for name, node in self._taken.items():
            for edge in self._demands[name]:
                if not edge.accepts(node):
                    return edge
        return None

    def _lacks(self, edge: Edge) -> str:
        versions = ", ".join(str(node.package.version) for node in self.nodes.get(edge.name, ())) or "none"
        return f"{edge.where}: expected a {edge.name} in the lock that this allows, found {versions}; {self.remedy}"
