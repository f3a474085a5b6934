"""What the everyday verbs print and do: plan, prune, serve, environment, requirements."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from packaging.utils import canonicalize_name
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mirror_tasks import describe_environment
from mirror_tasks.archives.core_metadata import Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.mirror_yaml import Config, Root
from mirror_tasks.errors import MirrorError, ResolutionError
from mirror_tasks.files import to_json, write_if_changed
from mirror_tasks.index.project import File
from mirror_tasks.prove.proof import Proof
from mirror_tasks.prove.uv import find_client
from mirror_tasks.prove.verdicts import Verdict, as_json, check
from mirror_tasks.publish.prune import check_may_prune, delete, leftovers, read_manifest
from mirror_tasks.report.explain import Explainer
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.resolve.reasons import Refusals
from mirror_tasks.resolve.selection import Rules, check_python
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.records import Records
from mirror_tasks.text import readable, total
from mirror_tasks.work.downloads import Downloads
from mirror_tasks.work.project_pages import ProjectPages


def projects_of(root: Root) -> set[str]:
    """Return the names of the projects that a root names."""
    return {canonicalize_name(one.requirement.name) for one in root.requirements}


def print_bill(plan: Plan, downloads: Downloads) -> None:
    """Print the bill of a plan: releases, files and bytes, for each environment and in all, and what has no release."""
    console = Console(highlight=False)
    due = {file.filename for file in plan.files if not downloads.is_done(file)}
    table = Table("environment", title="What will be in the mirror", title_justify="left")
    for column in ("projects", "releases", "files", "size", "still to fetch"):
        table.add_column(column, justify="right")
    for environment in plan.environments:
        name = str(environment["name"])
        table.add_row(name, *_counts([file for file in plan.files if name in file.environments], due))
    table.add_row("all", *_counts(plan.files, due), style="bold")
    console.print(table)
    for one in plan.completed:
        added = f"adds {', '.join(one.releases)}" if one.releases else "adds nothing new"
        console.print(
            f"+ completes {one.root} on {one.environment}, {added}: {one.reason}", markup=False, soft_wrap=True
        )
    print_one_sided(plan)
    for gap in plan.gaps:
        console.print(
            f"! {gap.environment}: {gap.requirement}, asked by {', '.join(map(str, gap.by[:3]))}: {gap.reason}",
            markup=False,
            soft_wrap=True,
        )
    for extra in plan.unknown_extras:
        console.print(f"! {extra}: the release has no such extra", markup=False)


def print_one_sided(plan: Plan) -> None:
    """Print what one installer can't install, and another can: of no installer more than it can do from the index."""
    for one in plan.one_sided:
        Console(highlight=False).print(
            f"! {one.root} on {one.environment}: {one.installer} can't install it, from the index neither: "
            f"{'; '.join(one.lines)}",
            markup=False,
            soft_wrap=True,
        )


def newer_left_out(plan: Plan) -> str | None:
    """Return the line that says what was passed over and is newer than what was taken; None where nothing was."""
    releases = {(one.project, one.version) for one in plan.passed_over}
    if not releases:
        return None
    projects = sorted({project for project, _ in releases})
    count = "1 release" if len(releases) == 1 else f"{len(releases)} releases"
    shown = ", ".join(projects[:5]) + (f" and {len(projects) - 5} more projects" if projects[5:] else "")
    return f"left out: {count} newer than those taken, of {shown}; `doit explain {projects[0]}` says why"


def _counts(files: Iterable[PlannedFile], due: Collection[str]) -> tuple[str, ...]:
    listed = list(files)
    missing = [file for file in listed if file.filename in due]
    projects, releases = {file.project for file in listed}, {(file.project, file.version) for file in listed}
    return (f"{len(projects)}", f"{len(releases)}", f"{len(listed)}", _size(listed), _size(missing) if missing else "-")


def _size(files: Iterable[PlannedFile]) -> str:
    return total(file.size for file in files)


def prune(mirror: Mirror, *, dry_run: bool) -> None:
    """Delete what is not published; say before what that is, and how much of the mirror.

    :raises ResolutionError: the mirror is not whole, or a plan is incomplete: what it lacks may still be needed.
    """
    console = Console(highlight=False)
    manifest = read_manifest(mirror)
    plans = [plan for plan in (mirror.plans.published(), mirror.plans.last()) if plan]
    paths = leftovers(mirror, manifest, plans)
    for path in paths:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    how_much = _how_much(paths, _published_size(mirror.config, manifest))
    check_may_prune(mirror.output, plans, how_much)
    if not paths:
        console.print("Nothing to delete: all that is there is published.")
        return
    console.print(f"{'Would delete' if dry_run else 'Deleting'} {how_much}.", soft_wrap=True)
    if not dry_run:
        delete(mirror, paths)


def _how_much(paths: Sequence[Path], published: int) -> str:
    size = sum(path.lstat().st_size for path in paths)
    count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    share = f"{100 * size / max(1, size + published):.0f} % of what is there"
    return f"{count} ({readable(size)}), {share}, beside {readable(published)} that are published"


def _published_size(config: Config, manifest: Iterable[str]) -> int:
    return sum((config.output / path).stat().st_size for path in manifest)


def serve(output: Path, host: str, port: int) -> None:
    """Run the mirror's own server until it is interrupted.

    :raises MirrorError: there is none, or it ended by itself.
    """
    server = output / "server.py"
    if not server.exists():
        raise MirrorError(
            "serving", str(output), "expected a mirror, found no server.py there", "Run `doit mirror` first."
        )
    arguments = ["--host", host, "--port", str(port)]
    status = subprocess.run([sys.executable, str(server), *arguments], check=False).returncode
    if status not in (0, 130, -2):
        problem = f"server.py ended with status {status}"
        raise MirrorError("serving", str(output), problem, "It says why above; `python server.py --help` tells more.")


def print_environment(python: str) -> None:
    """Print the block of ``mirror.yaml`` for an interpreter."""
    _describe(python)


def print_requirements(pin: str, python: str) -> None:
    """Print the installed distributions of an interpreter's environment as requirement lines."""
    _describe(python, "--requirements", "names" if pin == "none" else pin)


def _describe(python: str, *arguments: str) -> None:
    script = Path(describe_environment.__file__)
    advice = "Give the path of a Python, 3.7 or newer, with --python."
    try:
        status = subprocess.run([python, str(script), *arguments], check=False).returncode
    except OSError as error:
        raise MirrorError("describing", python, f"it can't be run: {error.strerror or error}", advice) from None
    if status:
        raise MirrorError("describing", python, f"it ended with status {status}, and says why above", advice)


def proof_path(config: Config) -> Path:
    """Where ``prove`` writes what it found."""
    return config.state / "prove.json"


def prove(mirror: Mirror, install: bool, build: bool, own: bool) -> None:
    """Prove every root on every environment, print the table, write ``prove.json``.

    :raises ResolutionError: something was not proven.
    """
    config = mirror.config
    if not (config.output / "mirror.json").exists():
        raise ResolutionError(
            "proving", str(config.output), "expected a finished mirror, found none", "Run `doit mirror` first."
        )
    client = None if own else find_client()
    if client is None and not own:
        Console().print("uv was not found, so this project's own solver judges alone; the extra `prove` installs it.")
    proof = Proof(config, client)
    judges = [proof.by_solver(), proof.by_client()]
    judges += [proof.by_installation()] if install else []
    judges += [proof.by_building(all_of_them=build)]
    plan = mirror.plans.published()
    unmet = {(one.root, one.environment) for one in plan.unmet_wishes} if plan else set()
    found = (verdict for judge in judges for verdict in judge)
    verdicts = [verdict for verdict in found if (verdict.root, verdict.environment) not in unmet]
    write_if_changed(proof_path(config), to_json(as_json(verdicts)))
    _print_verdicts(config, verdicts)
    if plan:
        print_one_sided(plan)
    one_sided = {(one.root, one.environment, one.installer) for one in plan.one_sided} if plan else ()
    check(verdicts, config.output, one_sided)


def _print_verdicts(config: Config, verdicts: Sequence[Verdict]) -> None:
    """Print the table: roots down, environments across; in a cell who proved it, or who could not."""
    console = Console(highlight=False)
    cells: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        cells[(verdict.root, verdict.environment)].append(verdict)
    table = Table(
        "requirement",
        *(environment.name for environment in config.environments),
        title="Proof, from the mirror alone",
        title_justify="left",
    )
    for root in config.roots:
        table.add_row(
            escape(root.name), *(_cell(cells[(root.name, environment.name)]) for environment in config.environments)
        )
    console.print(table)
    for environment in filter(attrgetter("is_range"), config.environments):
        judged = {python: None for one in verdicts if one.environment == environment.name for python in one.pythons}
        python = f"{environment.python.major}.{environment.python.minor}"
        console.print(f"{environment.name} stands for every {python}: judged on {', '.join(judged)}", markup=False)
    proven = sum(all(verdict.proven for verdict in found) for found in cells.values())
    console.print(f"{proven} of {len(cells)} pairs proven")


def _cell(verdicts: Sequence[Verdict]) -> str:
    return " ".join(f"[green]{one.judge}[/]" if one.proven else f"[red]NOT {one.judge}[/]" for one in verdicts) or "-"


def _against(records: Records, file: File, environment: Environment) -> str | None:
    """Return what the metadata of a file, if a run has read it, says against using it in an environment."""
    record = records.metadata(file.filename, file.hashes.get("sha256", ""))
    if record is None:
        return None
    if isinstance(record.metadata, Unusable):
        return record.metadata.reason
    return check_python(record.metadata.requires_python, environment)


def explain(mirror: Mirror, pages: ProjectPages, plan: Plan, rules: Rules, names: Sequence[str], *, size: bool) -> None:
    """Print why each name is in the mirror or not; with ``size``, what each root costs.

    :raises ResolutionError: nothing was asked.
    """
    console = Console(highlight=False)
    refusals = Refusals(rules, lambda file, environment: _against(mirror.records, file, environment))
    explainer = Explainer(mirror.config, refusals, plan, pages.known)
    if not names and not size:
        raise ResolutionError(
            "explaining", "nothing", "expected a project, a release or a file", "Try `doit explain numpy`."
        )
    for name in names:
        for line in explainer.explain(name):
            console.print(line, markup=False, soft_wrap=True)
    if size:
        table = Table("requirement", title="What each requirement costs", title_justify="left")
        for column in ("all that it needs", "only for it"):
            table.add_column(column, justify="right")
        for root, total, alone in explainer.sizes():
            table.add_row(escape(root), readable(total), readable(alone))
        console.print(table)
