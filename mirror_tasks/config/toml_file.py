"""A file of TOML, read within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomli

from mirror_tasks.config.long_numbers import said_of
from mirror_tasks.config.requirement_files import read_text

_LARGEST = 1 << 20  # bytes; what people write by hand has a few thousand
_MOST_DOTS = 2000  # in a line; the time to read a key grows with the square of its parts


def read_toml(path: Path) -> dict[str, object]:
    """Return what a file of TOML holds.

    :raises ValueError: it can't be read; the message says why.
    """
    text = read_text(path, _LARGEST)
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise ValueError(f"{path} has a line with more than {_MOST_DOTS:,} dots")
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        said = said_of(error)[:200] if isinstance(error, ValueError) else "it is nested too deep"
        raise ValueError(f"{path} is not valid TOML: {said}") from None


def below(table: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    """Return a table below a table, empty where there is none."""
    found: object = table
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
