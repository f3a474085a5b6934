"""Extras, groups and projects of a uv lock that conflict: no ``uv sync`` installs two of a conflict, and all are followed.

An *item* is an extra, a group or a project as uv names it in markers. A *configuration* says which of the items that
conflict may be there at once. A set of configurations is a number, whose bit N stands for configuration N.
"""

from __future__ import annotations

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
