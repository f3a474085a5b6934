"""What is inside, as far as a report compares with it: what a bundle was made of is kept beside its manifest."""

from __future__ import annotations

from pathlib import Path

from mirror_tasks.config.transfer import Transfer
from mirror_tasks.errors import StorageError
from mirror_tasks.files import read_or_none, write_whole
from mirror_tasks.report.changes import Base
from mirror_tasks.report.comparing import Comparing, read_snapshot
from mirror_tasks.report.snapshot import Snapshot, snapshot, snapshot_of_files
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.transfer.bases import newest_inside
from mirror_tasks.transfer.sendings import Sendings


def inside(mirror: Mirror, transfer: Transfer | None) -> Base | None:
    """Return what is known to be inside; None where nothing is."""
    if transfer is None:
        return None
    sendings = Sendings(mirror.config.state, transfer.stream)
    sent = newest_inside(sendings, transfer.receipt, transfer.stream)
    if sent is None:
        return None
    how = "which a receipt says is inside" if sent.how == "receipt" else "which was marked as sent"
    name = f"bundle {transfer.stream}-{sent.sequence}, {how}"
    kept = read_snapshot(read_or_none(_path(sendings, sent.sequence)))
    if kept is not None:
        return Base("inside", name, kept)
    try:
        manifest = sendings.manifest(sent.sequence, sent.manifest)
    except StorageError:
        return None
    return Base("inside", name, snapshot_of_files(manifest.files, _kept_before(mirror, manifest.made.at[:10])))


def _kept_before(mirror: Mirror, day: str) -> frozenset[str]:
    """Return the files that were only kept for locks on a day already: they were in no plan that was bundled then."""
    plan = mirror.plans.published()
    return frozenset(one.planned.filename for one in plan.kept if one.left < day) if plan else frozenset()


def keep_what_goes(mirror: Mirror, sendings: Sendings, sequence: int) -> None:
    """Keep what a bundle is of, for the reports after it; what the last report knew of the same plan is known of it too."""
    plan = mirror.plans.published()
    if plan is not None:
        write_whole(_path(sendings, sequence), _known(mirror, plan).to_bytes())


def _known(mirror: Mirror, plan: Plan) -> Snapshot:
    last = Comparing(mirror.config.state).last()
    return last if last is not None and last.plan == plan.digest else snapshot(plan)


def _path(sendings: Sendings, sequence: int) -> Path:
    return sendings.place(sequence) / "snapshot.json"
