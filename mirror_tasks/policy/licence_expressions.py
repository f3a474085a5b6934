"""Expressions of several licences, taken apart: which licences they have, and which of these would have to be allowed.

``packaging`` says what an SPDX expression is (:mod:`mirror_tasks.config.spdx`), but not what ``AND`` and ``OR`` join:
``license-expression`` does, and is imported for the first expression that has more than one licence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, TypeAlias


def not_allowed(expression: str, allow: Collection[str]) -> tuple[str, ...]:
    """Return the fewest licences that would have to be allowed too, sorted; empty where an expression is allowed."""
    return tuple(sorted(_lacking(_tree(expression), allow)))


def licences_in(expression: str) -> tuple[str, ...]:
    """Return the licences of an expression, each once, sorted; those that have an exception with it."""
    return tuple(sorted(_leaves(_tree(expression))))


@dataclass(frozen=True, slots=True)
class _Joined:
    """Expressions that ``AND`` or ``OR`` joins; their order says nothing."""

    operator: Literal["AND", "OR"]
    parts: frozenset[_Tree]


_Tree: TypeAlias = "str | _Joined"


def are_equal(one: str, other: str) -> bool:
    """Say if two expressions join the same licences in the same way, in whatever order."""
    return _tree(one) == _tree(other)


def _lacking(tree: _Tree, allow: Collection[str]) -> frozenset[str]:
    if isinstance(tree, str):
        return frozenset() if tree in allow else frozenset({tree})
    found = [_lacking(part, allow) for part in tree.parts]
    if tree.operator == "AND":
        return frozenset().union(*found)
    return min(found, key=lambda lacking: (len(lacking), sorted(lacking)))


def _leaves(tree: _Tree) -> frozenset[str]:
    if isinstance(tree, str):
        return frozenset({tree})
    return frozenset().union(*map(_leaves, tree.parts))


@lru_cache(maxsize=4096)
def _tree(expression: str) -> _Tree:
    """Take an expression apart; :func:`~mirror_tasks.config.spdx.spdx_expression` has read it before."""
    is_one = " AND " not in expression and " OR " not in expression and "(" not in expression
    return expression if is_one else _of_library(_licensing().parse(expression))


@cache
def _licensing() -> Any:
    from license_expression import Licensing

    return Licensing()  # without its list of licences, which takes longer to load: packaging has one


def _of_library(expression: Any) -> _Tree:
    if not expression.args:
        return str(expression)
    operator: Literal["AND", "OR"] = "AND" if isinstance(expression, _licensing().AND) else "OR"
    return _Joined(operator, frozenset(map(_of_library, expression.args)))
