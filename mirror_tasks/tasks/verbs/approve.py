"""What `doit approve` prints and does."""

from __future__ import annotations

from collections.abc import Sequence

from doit.task import Task

from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.tasks.verbs.making import verb


def task(name: str, mirror: Mirror, after: Sequence[str] = ()) -> Task:
    """Note who approves.

    :param after: tasks that it waits for.
    """
    params = [
        option("by", "", "who approves"),
        option("note", "", "what is to be said with it"),
    ]
    doc = "notes who approves of the mirror, by its report: bundle refuses what is not approved, where policy.approval says so"
    return verb(name, lambda by, note: attempt(approve, mirror, by, note), doc, params, task_dep=list(after))


def approve(mirror: Mirror, by: str, note: str) -> None:
    """Note that somebody approves of the mirror as it stands.

    :raises MirrorError: there is no report of it.
    """
    # Only now: no other task needs any of it.
    from mirror_tasks.report import approval
    from mirror_tasks.state.publishers import Publishers
    from mirror_tasks.transfer.bundle import now

    found = approval.approve(mirror, by, note, now())
    Publishers(mirror.records.folder).approve()
    for path in approval.places(mirror.config):
        print(f"written: {path}")
    print(f"approved by {found.by} on {found.at}: mirror {found.subject.mirror}, report {found.subject.report}")
