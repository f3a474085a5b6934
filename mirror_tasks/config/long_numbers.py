"""Numbers of more digits than any version has: Python reads none of more than 4,300, and is slow before that.

Who writes ``packaging`` such a version gets an error that is none of its own, and often only where the version is compared.
So texts are looked at before anything in them is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

LONGEST_NUMBER = 100
"""Digits; uv reads no more than 20."""

_has_more = re.compile(rf"[0-9]{{{LONGEST_NUMBER + 1}}}").search
_TOO_LARGE = 10**LONGEST_NUMBER

TOO_LONG = f"has a number of more than {LONGEST_NUMBER} digits"
"""What is said of a text that has one."""

EXPECTED = f"expected numbers of at most {LONGEST_NUMBER} digits, found a longer one"
"""What is said of a place where one stands."""

_Place = tuple["_Place | None", object]  # where a value stands: its parent's place, and its key there


def has_long_number(text: str) -> bool:
    """Say if a text has a number that is not to be read."""
    return _has_more(text) is not None


def said_of(error: ValueError) -> str:
    """Return what an error of a parser says; Python's own of a number tells how to change Python."""
    return EXPECTED if "integer string conversion" in str(error) else str(error)


def places_of_long_numbers(data: object) -> Iterator[str]:
    """Yield the key path of each value, or key, that is or has such a number; empty for all of it.

    :param data: what YAML, TOML or JSON gave.
    """
    waiting: list[tuple[_Place | None, object]] = [(None, data)]
    while waiting:
        place, value = waiting.pop()
        parts = list(_parts(value))
        if _is_too_long(value) or any(_is_too_long(key) for key, _ in parts):
            yield _key_path(place)
        waiting.extend(((place, key), below) for key, below in reversed(parts))


def check_numbers(data: object) -> None:
    """Look if all numbers in what TOML or JSON gave can be read.

    :raises ValueError: one can't; the message says where it stands.
    """
    for place in places_of_long_numbers(data):
        raise ValueError(f"{place}: {EXPECTED}" if place else EXPECTED)


def _is_too_long(value: object) -> bool:
    if isinstance(value, str):
        return has_long_number(value)
    return isinstance(value, int) and abs(value) >= _TOO_LARGE


def _parts(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple, set)) else ()


def _key_path(place: _Place | None) -> str:
    if place is None:
        return ""
    parent, key = place
    path = _key_path(parent)
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)
