"""What `doit changes` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import doit.loader

from mirror_tasks.report.changes import KINDS, Changes, ProjectChange, changes_json, files_in_short
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.console import new_console
from mirror_tasks.tasks.dossiers import Gatherer
from mirror_tasks.tasks.verbs.making import patience
from mirror_tasks.text import printable, total


def changes(mirror: Mirror, since: str, form: str) -> None:
    """Print what the newest plan changes.

    :raises MirrorError: there is no plan, or none that could be compared with.
    """
    gatherer = Gatherer(mirror)
    plan = gatherer.newest_plan("comparing")
    with patience("comparing"):
        found = gatherer.changes(plan, typed(since))
    if form == "json":
        sys.stdout.write(changes_json(found).decode())
        return
    print_changes(found)


def typed(path: str) -> Path | None:
    """Return a path as the user typed it, wherever that was; None for none."""
    return Path(doit.loader.initial_workdir or ".") / path if path else None


def print_changes(found: Changes) -> None:
    """Print what changed, as wide as the terminal."""
    from rich.markup import escape
    from rich.table import Table

    console = new_console()
    for line in first_lines(found):
        console.print(printable(line), markup=False, soft_wrap=True)
    if found.projects and not found.is_first:
        table = Table("", "project", "before", "now")
        table.columns[1].overflow = "fold"
        for head in ("files", "new bytes"):
            table.add_column(head, justify="right", no_wrap=True)
        for one in (one for kind in KINDS for one in found.of_kind(kind)):
            table.add_row(*(escape(printable(cell)) for cell in _row(one)))
        console.print(table)
    for line in other_lines(found):
        console.print(printable(line), markup=False, soft_wrap=True)


def _row(one: ProjectChange) -> tuple[str, ...]:
    size = total(file.size for file in (*one.new, *one.altered))
    return _SIGNS[one.kind], one.project, ", ".join(one.before), ", ".join(one.after), files_in_short(one), size


def first_lines(found: Changes) -> Iterator[str]:
    """Yield what changed in one line, and what was not compared."""
    yield f"Compared with {found.base.name}: {found.sentence}."
    if found.not_compared:
        yield f"Not known of before: {', '.join(found.not_compared)}."


_SIGNS = {"new": "+", "gone": "-", "changed": "~", "came": "+", "went": "-"}


def other_lines(found: Changes) -> Iterator[str]:
    """Yield what changed beside projects, a line each; of a first report nothing, for it is all new."""
    if found.is_first:
        return
    for root in found.roots:
        told = [*(f"no more {one}" for one in root.gone), *(f"now {one}" for one in root.new if one != root.root)]
        yield f"{_SIGNS[root.kind]} requirement {root.root}{': ' if told else ''}{', '.join(told)}"
    for one in found.licences:
        yield f"~ licence of {one.project}: {', '.join(one.before)} → {', '.join(one.after)}"
    for advisory in found.advisories:
        what = f"{advisory.severity}, {advisory.project} {', '.join(advisory.versions)}"
        yield f"{_SIGNS[advisory.kind]} advisory {advisory.id}: {what}"
