"""What `doit report` prints and does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mirror_tasks.report.alarms import alarms
from mirror_tasks.report.approval import check_policy, keep_written
from mirror_tasks.report.documents import digest_of
from mirror_tasks.report.folder import folder_of, write_report
from mirror_tasks.report.summary import summary
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.dossiers import Gatherer, Report
from mirror_tasks.tasks.verbs.changes import first_lines, typed
from mirror_tasks.tasks.verbs.making import patience
from mirror_tasks.text import counted, printable


def report(mirror: Mirror, problems: Mapping[str, str], since: str, form: str) -> None:
    """Write the report of the mirror beside it, and say what is in it.

    :param problems: why it could not be asked who published a file, by its SHA-256, as far as it was asked before.
    :raises MirrorError: there is no mirror, the policy changed since it was made, or the report can't be written.
    """
    gatherer = Gatherer(mirror, problems)
    plan = gatherer.published_plan("reporting on")
    check_policy(mirror, "reporting on", "Run `doit mirror report`: what is in it was judged by another one.")
    with patience(f"looking at {counted(len(plan.releases), 'release')}"):
        made = gatherer.report(plan, typed(since))
    folder = folder_of(mirror.config)
    is_new = write_report(folder, made.files)
    gatherer.keep(made)
    _keep_what_it_is_of(mirror, made)
    if form == "json":
        _print_json(made, folder.name)
        return
    for line in _told(made, folder, is_new=is_new):
        print(printable(line), flush=True)


def _keep_what_it_is_of(mirror: Mirror, made: Report) -> None:
    """Remember it for who approves; an approval of another report goes with that."""
    judged = made.dossier.plan.judged
    policy = judged.policy if judged and mirror.config.policy else None
    keep_written(mirror.config.state, digest_of(made.files), made.dossier.plan_digest, policy)


def _print_json(made: Report, folder: str) -> None:
    json.dump(summary(made.dossier, made.files, folder), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def _told(made: Report, folder: Path, *, is_new: bool) -> Iterator[str]:
    dossier = made.dossier
    yield from first_lines(dossier.changes)
    yield from (f"! {one.text}" for one in alarms(dossier))
    yield from (f"! {line}" for line in made.lacks)
    yield f"to look at: {', '.join(_to_look_at(made))}"
    yield f"{'written' if is_new else 'as before'}: {counted(len(made.files), 'file')} in {folder}; begin with index.html"


def _to_look_at(made: Report) -> Iterator[str]:
    dossier = made.dossier
    yield counted(len(dossier.odd_licences), "licence")
    holes = {hole.judgement.match.id for hole in dossier.holes}
    yield (
        f"{len(holes)} {'advisory' if len(holes) == 1 else 'advisories'}"
        if dossier.advisories_from
        else "advisories not checked"
    )
    yield counted(len(dossier.exceptions), "exception")
