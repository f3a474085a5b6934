"""What `doit prove` prints and does."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from mirror_tasks.config.model import Config
from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import to_json, write_if_changed
from mirror_tasks.prove.installation import is_here
from mirror_tasks.prove.lock_installation import LockInstallation
from mirror_tasks.prove.proof import Proof
from mirror_tasks.prove.proven import keep_proven, proof_path, sums_digest
from mirror_tasks.prove.uv import find_client
from mirror_tasks.prove.verdicts import Verdict, as_json, check
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.console import escaped, new_console, new_table, print_table
from mirror_tasks.tasks.verbs.bill import print_one_sided
from mirror_tasks.tasks.verbs.making import patience
from mirror_tasks.work.project_backends import changed_projects


def prove(mirror: Mirror, install: bool, build: bool, own: bool) -> None:
    """Prove every root on every environment, print the table, write ``prove.json``.

    :raises ResolutionError: something was not proven.
    """
    config = mirror.config
    if not (config.output / "mirror.json").exists():
        raise ResolutionError(
            "proving", str(config.output), "expected a finished mirror, found none", "Run `doit mirror` first."
        )
    if config.unknown:
        raise ResolutionError(
            "proving",
            ", ".join(one.shown for one in config.unknown),
            "expected what it requires, found that it is not known yet",
            "Run `doit mirror` first, which asks its build backend.",
        )
    _tell_of_changed(mirror)
    sums = sums_digest(config.output)
    client = None if own else find_client()
    if client is None and not own:
        new_console().print(
            "uv was not found, so this project's own solver judges alone; pip install 'mirror-tasks[prove]' brings it.",
            markup=False,
            soft_wrap=True,
        )
    proof = Proof(config, client)
    for line in LockInstallation(config).not_installed() if install else ():
        new_console().print(line, markup=False, soft_wrap=True)
    if install or build:
        _tell_of_others(config)
    judges = {"by this project's own solver": proof.by_solver(), "locks": proof.by_lock(), "by uv": proof.by_client()}
    judges |= {"by installing": proof.by_installation()} if install else {}
    judges |= {"by building": proof.by_building(all_of_them=build)}
    plan = mirror.plans.published()
    unmet = {(one.root, one.environment) for one in plan.unmet_wishes} if plan else set()
    verdicts = [one for one in _judged(judges) if (one.root, one.environment) not in unmet]
    write_if_changed(proof_path(config.state), to_json(as_json(verdicts)))
    _print_verdicts(config, verdicts)
    if plan:
        print_one_sided(plan)
    one_sided = {(one.root, one.environment, one.installer) for one in plan.one_sided} if plan else ()
    check(verdicts, config.output, one_sided)
    # What changed meanwhile was not proven.
    keep_proven(config.state, sums if sums == sums_digest(config.output) else None)


def _judged(judges: Mapping[str, Iterator[Verdict]]) -> list[Verdict]:
    """Return what all judges say, and tell meanwhile which of them is at work, and what it has judged."""
    verdicts = []
    with patience("proving") as now:
        for how, judge in judges.items():
            now(f"proving {how}")
            for count, verdict in enumerate(judge, 1):
                verdicts.append(verdict)
                now(f"proving {how}: {count} done, {verdict.root} on {verdict.environment} the last")
    return verdicts


def _tell_of_changed(mirror: Mirror) -> None:
    """Say of which projects only what their backends said before some file changed is proven."""
    for one in changed_projects(mirror.config):
        text = f"! {one.shown} changed since its build backend was asked; what that said then is judged. `doit mirror` asks again"
        new_console().print(text, markup=False, soft_wrap=True)


def _tell_of_others(config: Config) -> None:
    """Say for which environments nothing is installed or built for real, though it was asked for."""
    others = ", ".join(one.name for one in config.environments if not is_here(one))
    if others:
        here = ".".join(map(str, sys.version_info[:3]))
        text = (
            f"not installed or built for real on {others}: that takes a Python of the environment, and this is {here}"
        )
        new_console().print(text, markup=False, soft_wrap=True)


def _print_verdicts(config: Config, verdicts: Sequence[Verdict]) -> None:
    """Print the table: roots down, environments across; in a cell who proved it, or who could not."""
    console = new_console()
    cells: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        cells[(verdict.root, verdict.environment)].append(verdict)
    table = new_table(
        "requirement",
        *(environment.name for environment in config.environments),
    )
    for root in config.roots:
        table.add_row(
            escaped(root.name),
            *(_cell(cells.get((root.name, environment.name), ())) for environment in config.environments),
        )
    print_table(table, "Proof, from the mirror alone")
    for environment in filter(attrgetter("is_range"), config.environments):
        judged = {python: None for one in verdicts if one.environment == environment.name for python in one.pythons}
        python = f"{environment.python.major}.{environment.python.minor}"
        if judged:
            console.print(f"{environment.name} stands for every {python}: judged on {', '.join(judged)}", markup=False)
    for warning in dict.fromkeys(f"! {one.root}: {warning}" for one in verdicts for warning in one.warnings):
        console.print(warning, markup=False, soft_wrap=True)
    proven = sum(all(verdict.proven for verdict in found) for found in cells.values())
    console.print(f"{proven} of {len(cells)} pairs proven")


def _cell(verdicts: Sequence[Verdict]) -> str:
    return " ".join(f"[green]{one.judge}[/]" if one.proven else f"[red]NOT {one.judge}[/]" for one in verdicts) or "-"
