"""What a bundle would carry now, in a line: told by what is known, with nothing hashed or written."""

from __future__ import annotations

from mirror_tasks.config.transfer import Transfer
from mirror_tasks.errors import MirrorError
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.text import counted, readable
from mirror_tasks.transfer import bases
from mirror_tasks.transfer.bundle import unsent
from mirror_tasks.transfer.contents import lacking, state_of
from mirror_tasks.transfer.sendings import Sendings


def outlook(mirror: Mirror, transfer: Transfer) -> str | None:
    """Return what a bundle would carry; None where there is no whole mirror, or what is inside can't be read."""
    sendings = Sendings(mirror.config.state, transfer.stream)
    try:
        state, inside = state_of(mirror), bases.known(sendings)
        files = inside.files(sendings)
    except (MirrorError, OSError):
        return None
    if inside.base is not None and files == state:
        return f"nothing is new since bundle {inside.base.sequence}"
    carried = lacking(state, {file.sha256 for file in files})
    base = "everything" if inside.base is None else f"what is new since bundle {inside.base.sequence}"
    size = readable(sum(file.size for file in carried))
    before = unsent(sendings)
    begun = f"; bundle {before.sequence} was not sent yet" if before and before.is_finished else ""
    if before and not before.is_finished:
        begun = (
            f"; of bundle {before.sequence}, {len(before.finished)} of {counted(before.volumes, 'volume')} are written"
        )
    return f"carries {base}: {counted(len(carried), 'file')}, {size}{begun}"
