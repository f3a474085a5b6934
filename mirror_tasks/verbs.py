"""What the everyday verbs print and do: plan, prune, serve, environment, requirements."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

from mirror_tasks import describe_environment
from mirror_tasks.actions import Actions, upstream_file
from mirror_tasks.config import Root
from mirror_tasks.plan import Plan, PlannedFile
from mirror_tasks.progress import readable
from mirror_tasks.simple_index import root_pages

FORMS = tuple(root_pages(()))


def projects_of(root: Root) -> set[str]:
    """Return the names of the projects that a root names."""
    return {canonicalize_name(one.requirement.name) for one in root.requirements}


def print_bill(plan: Plan, actions: Actions) -> None:
    """Print the bill of a plan: releases, files and bytes, for each environment and in all, and what has no release."""
    console = Console(highlight=False)
    table = Table("environment", title="What will be in the mirror", title_justify="left")
    for column in ("projects", "releases", "files", "size", "still to fetch"):
        table.add_column(column, justify="right")
    for environment in plan.environments:
        name = str(environment["name"])
        table.add_row(name, *_counts([file for file in plan.files if name in file.environments], actions))
    table.add_row("all", *_counts(plan.files, actions), style="bold")
    console.print(table)
    for one in plan.completed:
        added = f"adds {', '.join(one.releases)}" if one.releases else "adds nothing new"
        console.print(
            f"+ completes {one.root} on {one.environment}, {added}: {one.reason}", markup=False, soft_wrap=True
        )
    for gap in plan.gaps:
        console.print(
            f"! {gap.environment}: {gap.requirement}, asked by {', '.join(gap.by[:3])}: {gap.reason}",
            markup=False,
            soft_wrap=True,
        )
    for extra in plan.unknown_extras:
        console.print(f"! {extra}: the release has no such extra", markup=False)


def _counts(files: Iterable[PlannedFile], actions: Actions) -> tuple[str, ...]:
    listed = list(files)
    due = [file for file in listed if not actions.is_downloaded(file)]
    projects, releases = {file.project for file in listed}, {(file.project, file.version) for file in listed}
    return (f"{len(projects)}", f"{len(releases)}", f"{len(listed)}", _size(listed), _size(due) if due else "-")


def _size(files: Iterable[PlannedFile]) -> str:
    sizes = [file.size for file in files]
    return readable(sum(size or 0 for size in sizes)) + (" and more" if None in sizes else "")


def prune(actions: Actions, plan: Plan) -> None:
    """Delete what the plan does not name; say what before."""
    console = Console(highlight=False)
    paths = actions.leftovers(plan)
    if not paths:
        console.print("Nothing to delete: all that is there is in the plan.")
        return
    size = sum(path.stat().st_size for path in paths)
    console.print(f"Deleting {len(paths)} files ({readable(size)}) that the plan does not name:")
    for path in paths:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    actions.delete(paths)


def serve(output: Path, host: str, port: int) -> bool:
    """Run the mirror's own server until it is interrupted."""
    server = output / "server.py"
    if not server.exists():
        Console(stderr=True).print(
            f"serving {output}: there is no server.py there. Run `doit mirror` first.", markup=False
        )
        return False
    return subprocess.run(
        [sys.executable, str(server), "--host", host, "--port", str(port)], check=False
    ).returncode in (0, 130, -2)


def print_environment(python: str) -> bool:
    """Print the block of ``mirror.yaml`` for an interpreter."""
    return _describe(python)


def print_requirements(pin: str, python: str) -> bool:
    """Print the installed distributions of an interpreter's environment as requirement lines."""
    return _describe(python, "--requirements", "names" if pin == "none" else pin)


def _describe(python: str, *arguments: str) -> bool:
    script = Path(describe_environment.__file__)
    return subprocess.run([python, str(script), *arguments], check=False).returncode == 0


def summary(plan: Plan, output: Path) -> Mapping[str, object]:
    """Return the numbers of the closing line."""
    return {"projects": len(plan.by_project), "files": len(plan.files), "output": str(output)}


__all__ = [
    "FORMS",
    "print_bill",
    "print_environment",
    "print_requirements",
    "projects_of",
    "prune",
    "serve",
    "upstream_file",
]
