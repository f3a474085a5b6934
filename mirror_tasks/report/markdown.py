"""Markdown of text that others wrote: nothing in it becomes a heading, a link, a row of a table or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mirror_tasks.text import printable

_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]<>()#|~!&])")


def escaped(text: str) -> str:
    """Return text as Markdown that shows it as it is, in one line."""
    return _MEANS_SOMETHING.sub(r"\\\1", printable(" ".join(text.split())))


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a section with a table of text; empty where there are no rows."""
    lines = ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"## {title}\n", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *lines, ""])
