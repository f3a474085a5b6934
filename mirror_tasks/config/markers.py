"""Markers as the two installers judge them: pip by ``packaging``, uv by rules of its own that differ at the edges.

Where both sides of a comparison are plain versions or plain text the two agree. They don't where a version is compared
with what is no version (``python_version >= "3.8.*"``): pip then compares text, for which ``<`` and ``>`` are false,
while uv leaves the comparison out of the marker. Likewise uv compares kernel releases always as text, pip as versions
where both are ones. What is said of uv here was asked of uv 0.13.9; a test asks the installed one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.installers import Installer
from mirror_tasks.config.long_numbers import has_long_number

_VERSIONS = ("implementation_version", "python_full_version", "python_version")
_PYTHONS = ("python_full_version", "python_version")
_KERNEL = ("platform_release", "platform_version")
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDERS: Mapping[str, Callable[[str, str], bool]] = {
    "<": operator.lt, "<=": operator.le, "==": operator.eq, "===": operator.eq,
    "!=": operator.ne, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

_SIDE = r"""[a-z_.]+|"[^"]*"|'[^']*'"""
_TOKEN = re.compile(rf"\s*(?:([()])|(and|or)\b|({_SIDE})\s*(not\s+in|in\b|[<>=!~]+)\s*({_SIDE}))")


class Comparison(NamedTuple):
    """One comparison of a marker: a variable, an operator and a text; ``reversed`` where the text comes first."""

    variable: str
    operator: str
    text: str
    reversed: bool


Token = Comparison | str


def holds(marker: str, environment: Mapping[str, str], installer: Installer) -> bool:
    """Say if a marker holds in an environment, as an installer judges it.

    What pip fails on (``sys_platform ~= "linux"``) is taken to hold: better one file too many than one that is missing.

    :param environment: all the variables, ``extra`` among them: what is missing would be taken from this machine.
    """
    if not installer.compares_text:
        return _judged_by_uv(marker, environment)
    try:
        return parse_marker(marker).evaluate({**environment})
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError, KeyError):  # KeyError: so packaging 26.1 says it
        return True


@lru_cache(maxsize=16384)
def parse_marker(marker: str) -> Marker:
    """Return the marker that is written so, one object for all who have it."""
    return Marker(marker)


def _judged_by_uv(marker: str, environment: Mapping[str, str]) -> bool:
    answer = _any_of(list(reversed(tokens(marker))), environment)
    return True if answer is None else answer


def _any_of(rest: list[Token], environment: Mapping[str, str]) -> bool | None:
    answers = [_all_of(rest, environment)]
    while rest and rest[-1] == "or":
        rest.pop()
        answers.append(_all_of(rest, environment))
    return _joined(any, answers)


def _all_of(rest: list[Token], environment: Mapping[str, str]) -> bool | None:
    answers = [_operand(rest, environment)]
    while rest and rest[-1] == "and":
        rest.pop()
        answers.append(_operand(rest, environment))
    return _joined(all, answers)


def _operand(rest: list[Token], environment: Mapping[str, str]) -> bool | None:
    token = rest.pop()
    if isinstance(token, Comparison):
        return _compare(token, environment)
    answer = _any_of(rest, environment)
    rest.pop()  # the closing parenthesis
    return answer


def _joined(how: Callable[[Iterable[bool]], bool], answers: Iterable[bool | None]) -> bool | None:
    """Join answers; a comparison without one is as if it was not there."""
    known = [answer for answer in answers if answer is not None]
    return how(known) if known else None


@lru_cache(maxsize=16384)
def tokens(marker: str) -> tuple[Token, ...]:
    """Return the tokens of a marker as ``str(Marker(…))`` gives it: parentheses, ``and``, ``or`` and comparisons."""
    return tuple(_token(*match.groups()) for match in _TOKEN.finditer(marker))


def extras_of(marker: str) -> tuple[str, ...]:
    """Return the extras that a marker names, normalised, each once."""
    named = (token.text for token in tokens(marker) if isinstance(token, Comparison) and token.variable == "extra")
    return tuple(dict.fromkeys(canonicalize_name(name) for name in named))


@lru_cache(maxsize=16384)
def judged_alike(marker: str) -> bool:
    """Say if all installers judge a marker alike in every environment; False where that hangs on the environment."""
    return all(_judged_alike(token) for token in tokens(marker) if isinstance(token, Comparison))


def _judged_alike(comparison: Comparison) -> bool:
    if comparison.variable in _VERSIONS:
        wild = r"(\.\*)?" if comparison.operator in ("==", "!=") and not comparison.reversed else ""
        return comparison.operator in _ORDERS and re.fullmatch(rf"\d+(\.\d+)*{wild}", comparison.text) is not None
    return comparison.operator in ("==", "!=", "in", "not in") and comparison.variable not in _KERNEL


def _token(parenthesis: str | None, word: str | None, left: str, sign: str, right: str) -> Token:
    if parenthesis or word:
        return str(parenthesis or word)
    if left[0] in "\"'":
        return Comparison(right, " ".join(sign.split()), left[1:-1], reversed=True)
    return Comparison(left, " ".join(sign.split()), right[1:-1], reversed=False)


def _compare(comparison: Comparison, environment: Mapping[str, str]) -> bool | None:
    """Return uv's answer to one comparison; None where it leaves the comparison out of the marker."""
    value = environment.get(comparison.variable)
    if value is None:  # a variable of lock files only
        return None
    if comparison.variable in _VERSIONS:
        return _compare_versions(comparison, value)
    if comparison.operator in ("in", "not in"):
        within = comparison.text in value if comparison.reversed else value in comparison.text
        return within == (comparison.operator == "in")
    sign = _FLIPPED.get(comparison.operator, comparison.operator) if comparison.reversed else comparison.operator
    if sign not in _ORDERS:
        return None
    if comparison.variable in _KERNEL or value == comparison.text:
        return _ORDERS[sign](value, comparison.text)
    return sign == "!="


def _compare_versions(comparison: Comparison, value: str) -> bool | None:
    if has_long_number(comparison.text):
        return None
    if comparison.operator in ("in", "not in"):
        return None if comparison.reversed else _compare_with_list(comparison, value)
    sign = _FLIPPED.get(comparison.operator, comparison.operator) if comparison.reversed else comparison.operator
    try:
        text = str(Version(comparison.text)) if comparison.reversed else comparison.text
        specifier = Specifier(sign + text)
        if comparison.variable in _PYTHONS and not text.endswith(".*"):
            specifier = Specifier(sign + _release(text))
    except ValueError:
        return None
    return specifier.contains(value, prereleases=True)


def _compare_with_list(comparison: Comparison, value: str) -> bool | None:
    """uv takes the text of ``in`` for versions with spaces between them."""
    try:
        found = Version(value) in [Version(_release(text)) for text in comparison.text.split()]
    except ValueError:
        return None
    return found == (comparison.operator == "in")


def _release(text: str) -> str:
    """Return the numbers of a version: uv compares the Python that runs with nothing else of it."""
    return ".".join(map(str, Version(text).release))
