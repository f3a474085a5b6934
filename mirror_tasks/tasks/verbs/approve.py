"""What `doit approve` prints and does."""

from __future__ import annotations

from mirror_tasks.report import approval
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.publishers import Publishers
from mirror_tasks.transfer.bundle import now


def approve(mirror: Mirror, by: str, note: str) -> None:
    """Note that somebody approves of the mirror as it stands.

    :raises MirrorError: there is no report of it.
    """
    found = approval.approve(mirror, by, note, now())
    Publishers(mirror.records.folder).approve()
    for path in approval.places(mirror.config):
        print(f"written: {path}")
    print(f"approved by {found.by} on {found.at}: mirror {found.subject.mirror}, report {found.subject.report}")
