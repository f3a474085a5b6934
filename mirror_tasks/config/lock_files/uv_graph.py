"""The packages of a uv lock as nodes and edges, and which of them are reached in one environment.

Extras, groups and whole projects can be declared to conflict: no `uv sync` installs two of a conflict. All of them are
followed here, each by itself, in one walk: a *configuration* says which of them may be there, and for each node the set
of the configurations is kept in which it is reached, as a number whose bit N stands for configuration N.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
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


@dataclass(frozen=True, slots=True)
class Configurations:
    """In which configurations items may be there; in all of them if they are not named here.

    :param all: the set of all configurations.
    :param asked: where an item is asked for; ``named``: where an edge may ask for an extra.
    """

    all: int
    asked: Mapping[str, int]
    named: Mapping[str, int]

    def of_start(self, item: str) -> int:
        """Return where an item that is asked for is there."""
        return self.asked.get(item, self.all)

    def of_extra(self, item: str) -> int:
        """Return where an extra may be there that an edge asks for."""
        return self.named.get(item, self.all) | self.asked.get(item, 0)


ALWAYS = Configurations(1, {}, {})
"""The one configuration of a lock without conflicts."""


class _Way(NamedTuple):
    """A way in which an item can be there: because it is asked for, or because an edge asks for it."""

    item: str
    asked: bool


def configurations(
    conflicts: Sequence[Collection[str]],
    asked: Collection[str],
    named: Collection[str],
    empty: Collection[str] = (),
) -> Configurations | None:
    """Return the choices among items that conflict; None where they are more than :data:`MOST_CONFIGURATIONS`.

    As uv has it, two items of a conflict can't both be asked for, and no two extras of one can be there, whoever asks for
    them. What is at odds with nothing is always there. Of the rest there is a configuration for every choice without two
    that are at odds, down to none of them: a plain ``uv sync`` asks for none.

    :param asked: the items that are asked for; ``named``: the extras that edges ask for.
    :param empty: those that are asked for without a dependency of their own: uv forgets them once it has let them pass.
    """
    ways = sorted({*(_Way(item, True) for item in asked), *(_Way(item, False) for item in named)})
    bit = {way: 1 << number for number, way in enumerate(ways)}
    odds = _at_odds(conflicts, bit, empty)
    chosen = [0]
    for way in odds:
        chosen += [choice | bit[way] for choice in chosen if not choice & odds[way]]
        if len(chosen) > MOST_CONFIGURATIONS:
            return None
    bits = {way: sum(1 << number for number, choice in enumerate(chosen) if choice & bit[way]) for way in odds}
    return Configurations(
        all=(1 << len(chosen)) - 1,
        asked={way.item: where for way, where in bits.items() if way.asked},
        named={way.item: where for way, where in bits.items() if not way.asked},
    )


def _at_odds(
    conflicts: Iterable[Collection[str]], bit: Mapping[_Way, int], empty: Collection[str]
) -> Mapping[_Way, int]:
    """Return the ways that are at odds with others, with these as a set of bits; the two ways of one item are then, too."""
    own: dict[str, int] = {}
    for way in bit:
        own[way.item] = own.get(way.item, 0) | bit[way]
    odds = dict.fromkeys(bit, 0)
    for conflict in conflicts:
        within = [way for item in conflict for way in (_Way(item, True), _Way(item, False)) if way in bit]
        asked = _set_of(bit[way] for way in within if way.asked)
        found = {way for way in within if way.item.startswith("extra-") and way.item not in empty}
        extras = _set_of(bit[way] for way in found)
        for way in within:
            odds[way] |= (asked if way.asked else 0) | (extras if way in found else 0)
    contested = {way.item for way in bit if odds[way] & ~own[way.item]}
    return {way: (odds[way] | own[way.item]) & ~bit[way] for way in bit if way.item in contested}


def _set_of(bits: Iterable[int]) -> int:
    return reduce(or_, bits, 0)


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


class Conditions:
    """In which configurations markers hold, in one environment.

    :param configurations: None if there are too many: what a marker says of extras then holds.
    """

    def __init__(self, holds: Holds, configurations: Configurations | None) -> None:
        self._holds = holds
        self._everything = (configurations or ALWAYS).all
        self._free = configurations is None
        self._known: dict[str, Condition] = {"": self._everything}

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
