"""``packages.csv``: every file of a mirror in a row, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from mirror_tasks.index.own_page import OWN
from mirror_tasks.policy.licences import Licence
from mirror_tasks.report.components import Component
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.text import printable

HEAD = (
    "name",
    "version",
    "file",
    "size",
    "sha256",
    "licence",
    "licence_source",
    "index",
    "uploaded",
    "environments",
    "asked_by",
)
"""The columns: a file's bytes are in ``size``; several environments, and several roots, are parted by a semicolon."""

_LONGEST = 1000  # characters of a cell; a spreadsheet takes 32,767
# What makes a cell a formula, where a cell begins: for a reader that parts cells by another sign than the comma, it may
# begin behind one of those too. Some programs take the wide forms for the same.
_FORMULA = re.compile(r"(^|[;,\t\r\n])([\s\"']*)(?=[=+\-@|%\uff1d\uff0b\uff0d\uff20])")


def packages_csv(components: Sequence[Component]) -> bytes:
    """Return the table: UTF-8, as RFC 4180 has it, sorted by project, version and file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEAD)
    for one in components:
        for file in one.files:
            writer.writerow(map(harmless, _row(one, file)))
    return text.getvalue().encode()


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: where one would begin, an apostrophe stands before it.

    Control characters become replacement characters.
    """
    brief = cell if len(cell) <= _LONGEST else f"{cell[:_LONGEST]}…"
    return _FORMULA.sub(r"\1\2'", printable(brief))


def _row(one: Component, file: PlannedFile) -> tuple[str, ...]:
    return (
        one.project,
        one.version,
        file.filename,
        "" if file.size is None else str(file.size),
        file.sha256,
        licence_in_words(one.licence),
        one.licence.source,
        _index(one.indexes.get(file.filename)),
        file.file.upload_time or "",
        "; ".join(file.environments),
        one.kept.get(file.filename) or "; ".join(one.asked_by),
    )


def licence_in_words(licence: Licence) -> str:
    """Return the expression, or why it is unknown."""
    return licence.expression or f"unknown: {licence.problem}"


def _index(base: str | None) -> str:
    """Return from where a file is, in words where that is no index."""
    if base is None:
        return "not recorded"
    return "own file" if base == OWN else base
