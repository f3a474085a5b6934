"""Constraints as Poetry writes them allow the versions that Poetry allows (asked of Poetry 2.5.1)."""

from __future__ import annotations

import pytest
from packaging.version import Version

from mirror_tasks.config.poetry_constraints import parse_constraint


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        ("^1.2.3", ["1.2.3", "1.99"], ["1.2.2", "2.0", "2.0a1"]),
        ("^1", ["1.0", "1.9"], ["0.9", "2"]),
        ("^0.1", ["0.1", "0.1.9"], ["0.2"]),
        ("^0.0.3", ["0.0.3", "0.0.3.1"], ["0.0.4"]),
        ("^0.0", ["0.0.1"], ["0.1"]),
        ("^0", ["0.9"], ["1"]),
        ("^0.0.0", ["0.0.0.9"], ["0.0.1"]),
        ("^0.0.0.4", ["0.0.0.5"], ["0.0.0.3", "0.0.1"]),
        ("^1.0b1", ["1.0b1", "1.5"], ["1.0a1", "2"]),
        ("^1!1.0", ["1!1.5"], ["1.5", "1!2"]),
        ("~1", ["1.9"], ["2"]),
        ("~1.2", ["1.2.9"], ["1.3"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3"]),
        ("~=1.2", ["1.9"], ["1.1", "2"]),
        ("1.2", ["1.2", "1.2.0"], ["1.2.1"]),
        ("=1.2", ["1.2"], ["1.3"]),
        ("1.2.*", ["1.2.9"], ["1.3"]),
        ("!=1.2.*", ["1.3"], ["1.2.9"]),
        (">=1.2.*", ["1.2", "3"], ["1.1"]),
        ("*", ["0", "1a1", "9!9"], []),
        ("x", ["0"], []),
        (">=1 <2", ["1.5"], ["0.9", "2"]),
        (">= 1 , < 2,", ["1.5"], ["0.9", "2"]),
        (">=1,<2 || >=3", ["1.5", "3"], ["2.5"]),
        (">=3 | <1", ["0.5", "3"], ["2"]),
    ],
)
def test_a_constraint_allows_what_poetry_allows(text: str, allowed: list[str], refused: list[str]) -> None:
    constraint = parse_constraint(text)
    assert [one for one in allowed if not constraint.allows(Version(one))] == []
    assert [one for one in refused if constraint.allows(Version(one))] == []


@pytest.mark.parametrize(
    "text", ["", "||", ">=1 ||", ">", "^", "^x", "^1.2.*", "foo", ">=1;<2", "1.2 - 2.0", "(>=1)", "^" + "9" * 5000]
)
def test_what_poetry_does_not_know_is_no_constraint(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a constraint such as \^1\.2 or >=1\.2,<2\.0, found '"):
        parse_constraint(text)


@pytest.mark.parametrize(
    ("text", "marker", "specifier"),
    [
        ("^3.8", 'python_version < "4" and python_version >= "3.8"', "<4,>=3.8"),
        (">=3.8.1", 'python_full_version >= "3.8.1"', ">=3.8.1"),
        ("~3.8 || >=3.10", 'python_version < "3.9" and python_version >= "3.8" or python_version >= "3.10"', ""),
        ("*", "", ""),
        ("* || >=3.8", "", ""),
    ],
)
def test_a_constraint_on_the_python_is_a_marker_and_if_it_can_a_specifier(
    text: str, marker: str, specifier: str
) -> None:
    constraint = parse_constraint(text)
    assert (constraint.as_marker(), constraint.specifier) == (marker, specifier)
