"""The packages of a uv lock as nodes and edges, and which of them are reached in one environment.

What conflicts is followed in one walk: for each node the set of the configurations is kept in which it is reached
(:mod:`.uv_conflicts`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mirror_tasks.config.lock_files.uv_conflicts import ALWAYS, Conditions, Configurations, Holds, configurations


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

    def reached(self, starts: Sequence[Start], edges: Sequence[Edge], asked: Collection[str], holds: Holds) -> set[int]:
        """Return the places of the nodes that some configuration reaches, those of the starts among them.

        :param starts: the parts that are asked for.
        :param edges: that lead in from no node, as requirements of a script do.
        :param asked: the items that are asked for, those without a part of their own too: they can conflict.
        """
        where: Configurations | None = ALWAYS
        if self.conflicts:
            empty = set(asked).difference(start.item for start in starts)
            where = configurations(self.conflicts, asked, self._named(starts, edges), empty)
        return _Walk(self, starts, edges, where or ALWAYS, Conditions(holds, where)).run()

    def _named(self, starts: Sequence[Start], edges: Sequence[Edge]) -> set[str]:
        """Return the extras that an edge asks for which could be reached, whatever holds."""
        seen = {(start.node, start.item) for start in starts}
        rest = [edge for node, item in seen for edge in self.nodes[node].parts.get(item, ())] + list(edges)
        named = set[str]()
        while rest:
            edge = rest.pop()
            named.update(edge.extras)
            for item in (self.nodes[edge.target].item, *edge.extras):
                if (edge.target, item) not in seen:
                    seen.add((edge.target, item))
                    rest += self.nodes[edge.target].parts.get(item, ())
        return named


class _Walk:
    """One walk from the starts, in one environment, through all configurations at once."""

    def __init__(
        self,
        graph: Graph,
        starts: Sequence[Start],
        edges: Sequence[Edge],
        configurations: Configurations,
        conditions: Conditions,
    ) -> None:
        self.graph = graph
        self.starts = starts
        self.edges = edges
        self.configurations = configurations
        self.conditions = conditions
        self.active = {start.item: configurations.of_start(start.item) for start in starts}
        self.entered: list[tuple[Edge, int]] = []
        self.reached: dict[tuple[int, str], int] = {}
        self.rest: deque[tuple[int, str]] = deque()

    def run(self) -> set[int]:
        """Return the places of the nodes that are reached.

        What an extra activates can turn other edges off, so that it has to be known which are asked for before an edge is
        judged: as uv does, the edges are followed once to collect them, and again with all of them known. Only the edges
        of groups are judged before, in their order.
        """
        for start in self.starts:
            if start.item.startswith("group-"):
                self._enter(self.graph.nodes[start.node].parts[start.item], self.configurations.of_start(start.item))
        self._enter(self.edges, self.configurations.all)
        before: dict[str, int] = {}
        while self.graph.conflicts and before != self.active:
            before = dict(self.active)
            self._once(collecting=True)
        return self._once(collecting=False)

    def _enter(self, edges: Iterable[Edge], where: int) -> None:
        for edge in edges:
            there = where & self._where(edge, collecting=True)
            self.entered.append((edge, there))
            self._activate(edge, there)

    def _once(self, *, collecting: bool) -> set[int]:
        """Follow all edges once; return the places of the nodes that were reached."""
        self.reached.clear()
        for start in self.starts:
            self._reach(start.node, start.item, self.configurations.of_start(start.item))
        for edge, there in self.entered:
            self._follow(edge, there)
        while self.rest:
            node, item = self.rest.popleft()
            where = self.reached[node, item]
            for edge in () if item.startswith("group-") else self.graph.nodes[node].parts.get(item, ()):
                there = where & self._where(edge, collecting=collecting)
                if collecting:
                    self._activate(edge, there)
                self._follow(edge, there)
        return {node for node, _ in self.reached}

    def _reach(self, node: int, item: str, where: int) -> None:
        known = self.reached.get((node, item), 0)
        if where & ~known:
            self.reached[node, item] = known | where
            self.rest.append((node, item))

    def _follow(self, edge: Edge, there: int) -> None:
        self._reach(edge.target, self.graph.nodes[edge.target].item, there)
        for extra in edge.extras:
            self._reach(edge.target, extra, there & self.configurations.of_extra(extra))

    def _activate(self, edge: Edge, there: int) -> None:
        for extra in edge.extras:
            self.active[extra] = self.active.get(extra, 0) | (there & self.configurations.of_extra(extra))

    def _where(self, edge: Edge, *, collecting: bool) -> int:
        condition = self.conditions.of(edge.marker)
        if isinstance(condition, int):
            return condition
        if collecting and edge.extras:  # an edge that asks for an extra is judged as if the extra was there
            return condition({**self.active, **{one: self.configurations.of_extra(one) for one in edge.extras}})
        return condition(self.active)
