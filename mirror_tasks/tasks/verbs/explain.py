"""What `doit explain` prints."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.utils import canonicalize_name

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.errors import ResolutionError
from mirror_tasks.index.file_names import version_of
from mirror_tasks.index.project import File
from mirror_tasks.report.explain import Explainer
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.reasons import Refusals
from mirror_tasks.resolve.selection import Rules, check_python
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.records import Records
from mirror_tasks.tasks.console import escaped, new_console, new_table, print_table
from mirror_tasks.text import readable
from mirror_tasks.work.project_pages import ProjectPages


def explain(mirror: Mirror, pages: ProjectPages, names: Sequence[str], size: bool) -> None:
    """Print why each name is in the mirror or not; with ``size``, what each root costs.

    :raises ResolutionError: nothing was asked, or there is no plan.
    """
    plan = _last_plan(mirror)
    console = new_console()
    rules = Rules.of(mirror.config, mirror.judging.as_judged(plan.judged))
    refusals = Refusals(rules, lambda file, environment: _against(mirror.records, rules, file, environment))
    explainer = Explainer(mirror.config, refusals, plan, pages.known, lambda file: _metadata(mirror.records, file))
    if not names and not size:
        raise ResolutionError(
            "explaining", "nothing", "expected a project, a release or a file", "Try `doit explain numpy`."
        )
    for one in mirror.config.unknown:
        text = f"! {one.shown}: not known yet what it requires; `doit plan` asks its build backend"
        console.print(text, markup=False, soft_wrap=True)
    for name in names:
        for line in explainer.explain(name):
            console.print(line, markup=False, soft_wrap=True)
    if size:
        table = new_table("requirement")
        for column in ("all that it needs", "only for it"):
            table.add_column(column, justify="right")
        for root, total, alone in explainer.sizes():
            table.add_row(escaped(root), readable(total), readable(alone))
        print_table(table, "What each requirement costs")


def _last_plan(mirror: Mirror) -> Plan:
    plan = mirror.plans.last()
    if plan is None:
        problem = "expected a plan, found none"
        raise ResolutionError("explaining", str(mirror.config.path), problem, "Run `doit plan` first.")
    return plan


def _against(records: Records, rules: Rules, file: File, environment: Environment) -> str | None:
    """Return what the metadata of a file, if a run has read it, says against using it in an environment."""
    metadata = _metadata(records, file)
    if metadata is None:
        return None
    if isinstance(metadata, Unusable):
        return metadata.reason
    return check_python(metadata.requires_python, environment) or _policy_against(rules, file, metadata)


def _metadata(records: Records, file: File) -> CoreMetadata | Unusable | None:
    record = records.metadata(file.filename, file.hashes.get("sha256", ""))
    return None if record is None else record.metadata


def _policy_against(rules: Rules, file: File, metadata: CoreMetadata) -> str | None:
    if rules.permission is None:
        return None
    name = canonicalize_name(metadata.name)
    return rules.permission.of_metadata(name, version_of(file.filename, name), metadata)
