"""Patterns of projects, as ``left-pad``, ``somelib<2`` and ``*-nightly``: which there are, and which of two is the wider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mirror_tasks.config.bindings import normalised_pattern
from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.policy import ProjectPattern

_EXPECTED = (
    'expected a project, or a pattern with *, and versions of it if not all are meant, such as "somelib<2" or "ours-*"'
)
_PARTS = re.compile(r"([^\s<>=!~;@()]+)\s*(.*)", re.DOTALL)


def read_pattern(value: object) -> ProjectPattern:
    """Return the pattern that a value is.

    :raises ValueError: it is none; the message says what was expected and found.
    """
    match = _PARTS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise ValueError(f"{_EXPECTED}; found {show(value)}")
    return ProjectPattern(_name_of(match[1], value), _specifier_of(match[2], value), value.strip())


def _name_of(text: str, value: str) -> str:
    if re.search(r"[\[\]?{}]", text):
        raise ValueError(
            f"{_EXPECTED}; found {show(value)}: no character but * stands for others, and extras do not count"
        )
    try:
        return normalised_pattern(text)
    except ValueError:
        raise ValueError(f"{_EXPECTED}; found {show(value)}") from None


def _specifier_of(text: str, value: str) -> str:
    if ";" in text:
        raise ValueError(
            f"{_EXPECTED}; found {show(value)}: a policy holds on every environment, so leave the marker out"
        )
    try:
        return str(SpecifierSet(text.strip().removeprefix("(").removesuffix(")")))
    except InvalidSpecifier:
        raise ValueError(f"{_EXPECTED}; found {show(value)}: {show(text.strip())} is no version specifier") from None


def read_name_pattern(value: object) -> ProjectPattern:
    """Return a pattern that is for all versions of its projects.

    :raises ValueError: it is none.
    """
    pattern = read_pattern(value)
    if pattern.specifier:
        raise ValueError(f"expected a project, or a pattern with *, without versions; found {show(value)}")
    return pattern


def read_patterns(block: Block, key: str) -> tuple[ProjectPattern, ...] | None:
    """Return a list of patterns; None where there is no such key, or nothing that can be used."""
    value = block.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not value:
        block.fault(
            key, f'expected a list of projects such as [left-pad, "somelib<2", "*-nightly"], found {show(value)}'
        )
        return None
    return tuple(pattern for pattern, _ in _each(block, key, value))


def _each(block: Block, key: str, values: list[object]) -> Iterator[tuple[ProjectPattern, int]]:
    seen: dict[tuple[str, str], int] = {}
    for position, value in enumerate(values):
        try:
            pattern = read_pattern(value)
        except ValueError as error:
            block.fault(f"{key}[{position}]", str(error))
            continue
        first = seen.setdefault((pattern.name, pattern.specifier), position)
        if first != position:
            block.fault(f"{key}[{position}]", f"{show(pattern.text)} is listed already, as {key}[{first}]")
        else:
            yield pattern, position


def covers(wide: str, narrow: str) -> bool:
    """Say if each name that the second pattern means is meant by the first.

    What stands for any characters is met by nothing but what does so too: a ``*`` of the second is as good as a character
    that no name has.
    """
    return fnmatchcase(narrow, wide)


def overlaps(one: str, other: str) -> bool:
    """Say if there may be a name that both patterns mean."""
    waiting, seen = [(0, 0)], {(0, 0)}
    while waiting:
        place = waiting.pop()
        if place == (len(one), len(other)):
            return True
        for further in _further(one, other, *place):
            if further not in seen:
                seen.add(further)
                waiting.append(further)
    return False


def _further(one: str, other: str, i: int, j: int) -> Iterator[tuple[int, int]]:
    """Yield how far two patterns have come after one more character of a name, or after a ``*`` that stands for nothing more."""
    left, right = one[i : i + 1], other[j : j + 1]
    if left == "*":
        yield i + 1, j
        if right:
            yield i, j + 1
    if right == "*":
        yield i, j + 1
        if left:
            yield i + 1, j
    if left and left == right:
        yield i + 1, j + 1


def intersection(own: ProjectPattern, shared: ProjectPattern) -> ProjectPattern | None:
    """Return what two patterns both mean, of which one means all projects of the other; None where neither does."""
    if covers(shared.name, own.name):
        narrow = own
    elif covers(own.name, shared.name):
        narrow = shared
    else:
        return None
    specifiers = ",".join(filter(None, dict.fromkeys((own.specifier, shared.specifier))))
    return ProjectPattern(narrow.name, str(SpecifierSet(specifiers)), own.text)
