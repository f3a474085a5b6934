"""What `doit changes` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import doit.loader
from doit.task import Task

from mirror_tasks.errors import ResolutionError, StorageError, in_words
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.tasks.verbs.making import verb

if TYPE_CHECKING:
    from mirror_tasks.report.changes import Base, Changes

_MOST_BYTES = 512 << 20  # of a plan; one of 50,000 files has 30 MB
SINCE = option("since", "", "compare with this plan.json, not with what is inside or the last report")
FORMAT = {
    **option("format", "text", "json: for programs"),
    "choices": (("text", "for people"), ("json", "for programs")),
}


def task(name: str, mirror: Mirror) -> Task:
    """Print what changed."""
    doc = "says what changed since the last report, or what is inside: projects, files, requirements, licences, advisories"
    return verb(name, lambda since, format: attempt(changes, mirror, since, format), doc, [SINCE, FORMAT])  # noqa: A006


def changes(mirror: Mirror, since: str, form: str) -> None:
    """Print what the newest plan changes.

    :raises MirrorError: there is no plan, or none that could be compared with.
    """
    # Only now: no other task needs any of it.
    from mirror_tasks.report.changes import changes_json, compare
    from mirror_tasks.report.snapshot import snapshot

    plan = newest_plan(mirror)
    after = snapshot(plan)
    found = compare(base(mirror, after, since), after)
    if form == "json":
        sys.stdout.write(changes_json(found).decode())
        return
    print_changes(found)


def newest_plan(mirror: Mirror) -> Plan:
    """Return the plan that was made last.

    :raises ResolutionError: there is none.
    """
    plan = mirror.plans.last()
    if plan is None:
        problem = "expected a plan, found none"
        raise ResolutionError("comparing", str(mirror.config.path), problem, "Run `doit plan` first.")
    return plan


def base(mirror: Mirror, after: object, since: str) -> Base:
    """Return what is compared with: what the user names, else what is inside, else the last report.

    :raises MirrorError: the user names what is no plan.
    """
    from mirror_tasks.report.comparing import Comparing
    from mirror_tasks.report.snapshot import Snapshot
    from mirror_tasks.transfer.insides import inside

    if since:
        return _named(since)
    assert isinstance(after, Snapshot)
    return Comparing(mirror.config.state).base(after, lambda: inside(mirror, mirror.config.transfer))


def _named(since: str) -> Base:
    from mirror_tasks.report.changes import Base
    from mirror_tasks.report.snapshot import snapshot

    # As the user typed it, wherever that was.
    plan = _read_plan(Path(doit.loader.initial_workdir or ".") / since)
    return Base("plan", Path(since).name, snapshot(plan))


def _read_plan(path: Path) -> Plan:
    """Read an earlier plan.

    :raises MirrorError: there is none.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
        return Plan.from_bytes(
            content[:_MOST_BYTES]
        )  # of a longer one, the hash in its second line is not that of the rest
    except OSError as error:
        raise in_words(error, "comparing with", path) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"expected a plan that this version of mirror-tasks wrote, found something else ({error})"
        advice = "Name a copy of .mirror/plan.json or .mirror/published.json, or leave --since out."
        raise StorageError("comparing with", str(path), problem, advice) from None


def print_changes(found: Changes) -> None:
    """Print what changed, as wide as the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mirror_tasks.report.changes import PROJECT_HEADS, project_row
    from mirror_tasks.text import printable

    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(printable(line), markup=False, soft_wrap=True)

    say(f"Compared with {found.base.name}: {found.sentence}.")
    if found.not_compared:
        say(f"Not known of before: {', '.join(found.not_compared)}.")
    if found.is_first:
        return
    if found.projects:
        table = Table(*PROJECT_HEADS[:-2])
        table.add_column("files", justify="right")
        table.add_column("size", justify="right")
        for kind in ("new", "gone", "changed"):
            for one in found.of_kind(kind):
                table.add_row(*(escape(printable(cell)) for cell in project_row(one)))
        console.print(table)
    for line in other_lines(found):
        say(line)


_SIGNS = {"new": "+", "gone": "-", "changed": "~", "came": "+", "went": "-"}


def other_lines(found: Changes) -> Iterator[str]:
    """Give what changed beside projects, a line each."""
    for root in found.roots:
        told = [*(f"no more {one}" for one in root.gone), *(f"now {one}" for one in root.new if one != root.root)]
        yield f"{_SIGNS[root.kind]} requirement {root.root}{': ' if told else ''}{', '.join(told)}"
    for one in found.licences:
        yield f"~ licence of {one.project}: {', '.join(one.before)} → {', '.join(one.after)}"
    for advisory in found.advisories:
        what = f"{advisory.severity}, {advisory.project} {', '.join(advisory.versions)}"
        yield f"{_SIGNS[advisory.kind]} advisory {advisory.id}: {what}"
