"""What a plan costs, as `doit plan` prints it, and what it left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from mirror_tasks.resolve.plan import Gap, Plan, PlannedFile
from mirror_tasks.tasks.console import new_console, new_table, print_table
from mirror_tasks.text import counted, total
from mirror_tasks.work.downloads import Downloads


def print_bill(plan: Plan, downloads: Downloads) -> None:
    """Print the bill of a plan: releases, files and bytes, for each environment and in all, and what has no release."""
    console = new_console()
    due = {one.filename for one in plan.files if not downloads.is_done(one) and not downloads.is_in_place(one)}
    table = new_table("environment")
    for column in ("projects", "releases", "files", "size", "still to fetch"):
        table.add_column(column, justify="right")
    for environment in plan.environments:
        name = str(environment["name"])
        table.add_row(name, *_counts([file for file in plan.files if name in file.environments], due))
    table.add_row("all", *_counts(plan.files, due), style="bold")
    print_table(table, "What will be in the mirror")
    for lock, packages in _locks(plan).items():
        counts = ", ".join(f"{count} for {environment}" for environment, count in sorted(packages.items()))
        console.print(f"= {lock}: packages as locked: {counts}", markup=False, soft_wrap=True)
    for one in plan.completed:
        added = f"adds {', '.join(one.releases)}" if one.releases else "adds nothing new"
        console.print(
            f"+ completes {one.root} on {one.environment}, {added}: {one.reason}", markup=False, soft_wrap=True
        )
    print_one_sided(plan)
    for line in gap_lines(plan.gaps):
        console.print(line, markup=False, soft_wrap=True)
    for extra in plan.unknown_extras:
        console.print(f"! {extra}: the release has no such extra", markup=False)


def gap_lines(gaps: Iterable[Gap]) -> Iterator[str]:
    """Yield what nothing satisfies, once where it is the same on several environments."""
    where: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for gap in gaps:
        asked_by = ", ".join(map(str, gap.by[:3]))
        where[gap.requirement, asked_by, gap.reason.replace(f" for {gap.environment}: ", ": ", 1)].append(
            gap.environment
        )
    for (requirement, asked_by, reason), environments in where.items():
        yield f"! {', '.join(environments)}: {requirement}, asked by {asked_by}: {reason}"


def kept_beside(plan: Plan) -> str | None:
    """Return the line that says what is kept though it left the plan; None where nothing is."""
    if not plan.kept:
        return None
    size = total(one.planned.size for one in plan.kept)
    return f"kept for locks: {counted(len(plan.kept), 'file')} that left the plan, {size}"


def _locks(plan: Plan) -> dict[str, Counter[str]]:
    """Return how many packages each lock brings, by environment."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for release in plan.releases:
        for name, environment in {(one.by.name, one.environment) for one in release.required if one.by.kind == "lock"}:
            found[name][environment] += 1
    return dict(sorted(found.items()))


def print_one_sided(plan: Plan) -> None:
    """Print what one installer can't install, and another can: of no installer more than it can do from the index."""
    for one in plan.one_sided:
        new_console().print(
            f"! {one.root} on {one.environment}: {one.installer} can't install it, from the index neither: "
            f"{'; '.join(one.lines)}",
            markup=False,
            soft_wrap=True,
        )


def newer_left_out(plan: Plan) -> str | None:
    """Return the line that tells of releases that are newer than those taken; None if there are none."""
    releases = {(one.project, one.version) for one in plan.passed_over}
    if not releases:
        return None
    projects = sorted({project for project, _ in releases})
    count = counted(len(releases), "release")
    shown = ", ".join(projects[:5]) + (f" and {len(projects) - 5} more projects" if projects[5:] else "")
    return f"left out: {count} newer than those taken, of {shown}; `doit explain {projects[0]}` says why"


def _counts(files: Iterable[PlannedFile], due: Collection[str]) -> tuple[str, ...]:
    listed = list(files)
    missing = [file for file in listed if file.filename in due]
    projects, releases = {file.project for file in listed}, {(file.project, file.version) for file in listed}
    return (f"{len(projects)}", f"{len(releases)}", f"{len(listed)}", _size(listed), _size(missing) if missing else "-")


def _size(files: Iterable[PlannedFile]) -> str:
    return total(file.size for file in files)
