"""The packages of a uv lock as nodes and edges, and which of them are reached in one environment.

Extras, groups and whole projects can be declared to conflict: no `uv sync` installs two of a conflict. All of them are
followed here, each by itself, in one walk: a *configuration* says which of them may be there, and for each node the set
of the configurations is kept in which it is reached, as a number whose bit N stands for configuration N.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from packaging.utils import canonicalize_name

from mirror_tasks.config.markers import Comparison, Token, tokens

Holds = Callable[[str], bool]
"""Says if a marker that names no extra holds in the environment."""

Condition = int | Callable[[Mapping[str, int]], int]
"""In which configurations a marker holds: a set of them, or what says it, given those in which each item is active."""

MOST_CONFIGURATIONS = 4096
"""With more of them, each edge is followed that some could have: too many packages then, never too few."""


def project_item(package: str) -> str:
    """Return how uv writes in a marker that a package's own dependencies are asked for."""
    return f"project-{len(package)}-{package}"


def extra_item(package: str, extra: str) -> str:
    """Return how uv writes in a marker that an extra of a package is asked for (``extra-3-app-cpu``)."""
    return f"extra-{len(package)}-{package}-{extra}"


def group_item(package: str, group: str) -> str:
    """Return how uv writes in a marker that a dependency group of a package is asked for."""
    return f"group-{len(package)}-{package}-{group}"


@dataclass(frozen=True, slots=True)
class Edge:
    """What a package depends on.

    :param target: the place of a node among the nodes.
    :param extras: the items of the target's extras that are asked for.
    :param marker: as ``packaging`` writes it; empty for always.
    """

    target: int
    extras: tuple[str, ...] = ()
    marker: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A package.

    :param item: of the project itself.
    :param parts: the edges of the project itself, of each extra and of each group, by item.
    """

    item: str
    parts: Mapping[str, tuple[Edge, ...]]


class Start(NamedTuple):
    """A part of a node at which the walk begins."""

    node: int
    item: str


@dataclass(frozen=True, slots=True)
class Graph:
    """All that is walked.

    :param conflicts: sets of items; of each set one at most may be asked for.
    """

    nodes: Sequence[Node]
    conflicts: Sequence[frozenset[str]] = ()

    def reached(self, starts: Sequence[Start], edges: Sequence[Edge], holds: Holds) -> set[int]:
        """Return the places of the nodes that some configuration reaches, those of the starts among them.

        :param starts: the parts that are asked for.
        :param edges: that lead in from no node, as requirements of a script do.
        """
        permitted, everything = self._configurations(starts, edges)
        walk = _Walk(self, starts, edges, permitted, everything, holds)
        return walk.run() if everything else _Walk(self, starts, edges, {}, 1, holds, free=True).run()

    def _configurations(self, starts: Sequence[Start], edges: Sequence[Edge]) -> tuple[Mapping[str, int], int]:
        if not self.conflicts:
            return {}, 1
        return configurations(self.conflicts, self._askable(starts, edges))

    def _askable(self, starts: Sequence[Start], edges: Sequence[Edge]) -> set[str]:
        """Return the items that can be asked for: those of the starts, and extras that an edge asks for, whatever holds."""
        seen = {(start.node, start.item) for start in starts}
        rest = [edge for node, item in seen for edge in self.nodes[node].parts.get(item, ())] + list(edges)
        while rest:
            edge = rest.pop()
            for item in (self.nodes[edge.target].item, *edge.extras):
                if (edge.target, item) not in seen:
                    seen.add((edge.target, item))
                    rest += self.nodes[edge.target].parts.get(item, ())
        asked = {start.item for start in starts}
        return asked | {item for node, item in seen if item != self.nodes[node].item}


def configurations(conflicts: Iterable[Collection[str]], askable: Collection[str]) -> tuple[dict[str, int], int]:
    """Return in which configurations each item may be there that conflicts with another, and the set of all of them.

    An item without another that it conflicts with may always be there. Of those that conflict there is a configuration
    for every choice without a conflict, down to none of them: a plain ``uv sync`` asks for none. The set of all is 0
    where they are more than :data:`MOST_CONFIGURATIONS`.

    :param askable: the items that can be asked for at all; others do not count.
    """
    sets = [[item for item in one if item in askable] for one in conflicts]
    contested = sorted({item for one in sets if len(one) > 1 for item in one})
    place = {item: 1 << number for number, item in enumerate(contested)}
    enemies = dict.fromkeys(contested, 0)
    for one in (one for one in sets if len(one) > 1):
        together = sum({place[item] for item in one})
        for item in one:
            enemies[item] |= together
    chosen = [0]
    for item in contested:
        chosen += [choice | place[item] for choice in chosen if not choice & enemies[item]]
        if len(chosen) > MOST_CONFIGURATIONS:
            return {}, 0
    bits = {
        item: sum(1 << number for number, choice in enumerate(chosen) if choice & place[item]) for item in contested
    }
    return bits, (1 << len(chosen)) - 1


class _Walk:
    """One walk from the starts, in one environment, through all configurations at once.

    :param permitted: in which configurations an item may be there; in all if it is not named.
    :param everything: the set of all configurations.
    :param free: whatever a marker says of extras holds.
    """

    def __init__(
        self,
        graph: Graph,
        starts: Sequence[Start],
        edges: Sequence[Edge],
        permitted: Mapping[str, int],
        everything: int,
        holds: Holds,
        *,
        free: bool = False,
    ) -> None:
        self.graph = graph
        self.starts = starts
        self.edges = edges
        self.permitted = permitted
        self.everything = everything
        self.conditions = Conditions(holds, everything, free=free)
        self.active = {start.item: self._permitted(start.item) for start in starts}
        self.reached: dict[tuple[int, str], int] = {}
        self.rest: deque[tuple[int, str]] = deque()

    def run(self) -> set[int]:
        """Return the places of the nodes that are reached.

        What an extra activates can turn other edges off, so that it has to be known which are asked for before an edge is
        judged: as uv does, the edges are followed once to collect them, and again with all of them known.
        """
        before: dict[str, int] = {}
        while self.graph.conflicts and before != self.active:
            before = dict(self.active)
            self._once(collecting=True)
        return self._once(collecting=False)

    def _once(self, *, collecting: bool) -> set[int]:
        """Follow all edges once; return the places of the nodes that were reached."""
        self.reached.clear()
        for start in self.starts:
            self._reach(start.node, start.item, self._permitted(start.item))
        self._follow(self.edges, self.everything, collecting=collecting)
        while self.rest:
            node, item = self.rest.popleft()
            self._follow(self.graph.nodes[node].parts.get(item, ()), self.reached[node, item], collecting=collecting)
        return {node for node, _ in self.reached}

    def _reach(self, node: int, item: str, where: int) -> None:
        known = self.reached.get((node, item), 0)
        if where & ~known:
            self.reached[node, item] = known | where
            self.rest.append((node, item))

    def _follow(self, edges: Iterable[Edge], where: int, *, collecting: bool) -> None:
        for edge in edges:
            there = where & self._where(edge, collecting=collecting)
            if not there:
                continue
            self._reach(edge.target, self.graph.nodes[edge.target].item, there)
            for extra in edge.extras:
                asked = there & self._permitted(extra)
                if collecting:
                    self.active[extra] = self.active.get(extra, 0) | asked
                self._reach(edge.target, extra, asked)

    def _where(self, edge: Edge, *, collecting: bool) -> int:
        condition = self.conditions.of(edge.marker)
        if isinstance(condition, int):
            return condition
        if collecting and edge.extras:  # an edge that asks for an extra is judged as if the extra was there
            return condition({**self.active, **{extra: self._permitted(extra) for extra in edge.extras}})
        return condition(self.active)

    def _permitted(self, item: str) -> int:
        return self.permitted.get(item, self.everything)


class Conditions:
    """In which configurations markers hold, in one environment.

    :param everything: the set of all configurations; ``free``: whatever a marker says of extras holds.
    """

    def __init__(self, holds: Holds, everything: int, *, free: bool = False) -> None:
        self._holds = holds
        self._everything = everything
        self._free = free
        self._known: dict[str, Condition] = {"": everything}

    def of(self, marker: str) -> Condition:
        """Return in which configurations a marker holds."""
        if marker not in self._known:
            self._known[marker] = self._judged(marker)
        return self._known[marker]

    def _judged(self, marker: str) -> Condition:
        if not any(isinstance(token, Comparison) and token.variable == "extra" for token in tokens(marker)):
            return self._everything if self._holds(marker) else 0
        return self._any_of(list(reversed(tokens(marker))))

    def _any_of(self, rest: list[Token]) -> Condition:
        parts = [self._all_of(rest)]
        while rest and rest[-1] == "or":
            rest.pop()
            parts.append(self._all_of(rest))
        return _union(parts, self._everything)

    def _all_of(self, rest: list[Token]) -> Condition:
        parts = [self._one(rest)]
        while rest and rest[-1] == "and":
            rest.pop()
            parts.append(self._one(rest))
        return _intersection(parts, self._everything)

    def _one(self, rest: list[Token]) -> Condition:
        token = rest.pop()
        if isinstance(token, Comparison):
            return self._compared(token)
        condition = self._any_of(rest)
        rest.pop()  # the closing parenthesis
        return condition

    def _compared(self, one: Comparison) -> Condition:
        if one.variable != "extra":
            return self._everything if self._holds(as_marker(one)) else 0
        if self._free or one.operator not in ("==", "!="):
            return self._everything
        item, everything = canonicalize_name(one.text), self._everything
        if one.operator == "!=":
            return lambda active: everything & ~active.get(item, 0)
        return lambda active: active.get(item, 0)


def as_marker(one: Comparison) -> str:
    """Return one comparison as a marker of its own."""
    text = f"'{one.text}'" if '"' in one.text else f'"{one.text}"'
    sides = (text, one.operator, one.variable) if one.reversed else (one.variable, one.operator, text)
    return " ".join(sides)


def _union(parts: Sequence[Condition], everything: int) -> Condition:
    known = 0
    for part in parts:
        known |= part if isinstance(part, int) else 0
    asked = [part for part in parts if not isinstance(part, int)]
    if known == everything or not asked:
        return known

    def where(active: Mapping[str, int]) -> int:
        found = known
        for part in asked:
            found |= part(active)
        return found

    return where


def _intersection(parts: Sequence[Condition], everything: int) -> Condition:
    known = everything
    for part in parts:
        known &= part if isinstance(part, int) else everything
    asked = [part for part in parts if not isinstance(part, int)]
    if known == 0 or not asked:
        return known

    def where(active: Mapping[str, int]) -> int:
        found = known
        for part in asked:
            found &= part(active)
        return found

    return where
