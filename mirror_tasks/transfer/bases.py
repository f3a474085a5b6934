"""What is known to be inside: what a receipt says, else what was marked as sent; or what the user names."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.transfer.manifest import Base, StateFile, files_in
from mirror_tasks.transfer.receipt import MOST_BYTES, Receipt, read_receipt
from mirror_tasks.transfer.sendings import Sendings, Sent, Written


@dataclass(frozen=True, slots=True)
class Inside:
    """What a bundle builds on.

    :param base: None: on nothing, so it carries everything.
    :param why: in words.
    :param asked: how the user asked for it; empty: it is what is known.
    """

    base: Base | None
    why: str
    asked: Literal["", "since", "full"] = ""

    def files(self, sendings: Sendings) -> list[StateFile]:
        """Return the files that are inside.

        :raises StorageError: the manifest of the base is not there any more.
        """
        return [] if self.base is None else files_in(sendings.manifest_bytes(self.base.sequence, self.base.manifest))


def known(sendings: Sendings) -> Inside:
    """Return what is known to be inside."""
    sent = sendings.sent()
    if sent is None:
        return Inside(None, "nothing is known to be inside, so it carries everything")
    how = "which a receipt says is inside" if sent.how == "receipt" else "which was marked as sent"
    return Inside(sent.base, f"it builds on bundle {sent.sequence}, {how}")


def named(sendings: Sendings, sequence: int) -> Inside:
    """Return the bundle that the user names.

    :raises ResolutionError: there is none of that number that was written to its end.
    """
    written = _finished(sendings, sequence, "building on")
    return Inside(Base(sequence, written.manifest), f"it builds on bundle {sequence}, as asked", "since")


FULL = Inside(None, "it builds on nothing, as asked, so it carries everything", "full")


def mark_sent(sendings: Sendings, sequence: int) -> None:
    """Remember that a bundle was sent: later ones build on it.

    :raises ResolutionError: there is none of that number that was written to its end.
    """
    written = _finished(sendings, sequence, "marking as sent")
    before = sendings.sent()
    sendings.keep_sent(
        Sent(sequence=sequence, manifest=written.manifest, how="sent", receipt=before.receipt if before else None)
    )


def _finished(sendings: Sendings, sequence: int, doing: str) -> Written:
    written = sendings.written(sequence)
    if written is not None and written.is_finished:
        return written
    kept = ", ".join(str(one) for one in sendings.sequences() if (sendings.written(one) or _NONE).is_finished)
    there = f"there are {kept}" if kept else "there is none yet"
    found = "none of that number" if written is None else "one of which not all volumes were written"
    raise ResolutionError(
        doing, f"bundle {sequence}", f"expected a bundle that was written to its end, found {found}; {there}",
        "Name one of these." if kept else "Run `doit bundle` first.",
    )  # fmt: skip


_NONE = Written(sequence=0, manifest="", volume=None, volumes=1)


_HIGHEST_BELIEVED = 1_000_000


def take_in_receipt(sendings: Sendings, path: Path, stream: str) -> Sent | None:
    """Take in a receipt that is new; what it says is inside counts until something else is said.

    :returns: what it says; None where it was taken in before, or there is none.
    :raises ResolutionError: it can't be read, or does not fit to what was bundled here.
    """
    content = _content(path)
    before, digest = sendings.sent(), sha256_of_bytes(content or b"")
    if content is None or (before is not None and before.receipt == digest):
        return None
    try:
        base = read_receipt(content).streams.get(stream)
    except ValueError as error:
        advice = "Carry it out again, or type it anew; or take it away, and what was marked as sent counts."
        raise ResolutionError("reading the receipt", str(path), str(error), advice) from None
    if base is None:
        return None
    _check_known(sendings, path, stream, base)
    sent = Sent(sequence=base.sequence, manifest=base.manifest, how="receipt", receipt=digest)
    sendings.keep_sent(sent)
    return sent


def newest_inside(sendings: Sendings, path: Path | None, stream: str) -> Sent | None:
    """Return what is known to be inside, a receipt that was not taken in yet counted; nothing is kept or refused for it.

    :param path: of the receipt; None where the user has none.
    """
    before, content = sendings.sent(), _content(path) if path else None
    digest = sha256_of_bytes(content or b"")
    if content is None or (before is not None and before.receipt == digest):
        return before
    try:
        base = read_receipt(content).streams.get(stream)
    except ValueError:
        return before
    written = sendings.written(base.sequence) if base else None
    if base is None or written is None or written.manifest != base.manifest:
        return before
    return Sent(sequence=base.sequence, manifest=base.manifest, how="receipt", receipt=digest)


def _content(path: Path) -> bytes | None:
    """Return the bytes of a receipt; None where there is none.

    :raises ResolutionError: something else is there, such as a pipe, which would be waited for.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            advice = "Put the receipt there; or take away what is there, and what was marked as sent counts."
            raise ResolutionError("reading the receipt", str(path), "expected a file, found something else", advice)
        with path.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None


def _check_known(sendings: Sendings, path: Path, stream: str, base: Base) -> None:
    """Look if a bundle that is inside was made here.

    :raises ResolutionError: it was not.
    """
    written = sendings.written(base.sequence)
    if written is not None and written.manifest == base.manifest:
        return
    found = "is not known here" if written is None else "is not the one that was made here"
    raise ResolutionError(
        "reading the receipt",
        str(path),
        f"it says that bundle {base.sequence} of {stream} is inside, which {found}",
        f"If this state is a new one, or not the one that sent it: `doit bundle --full` makes number {base.sequence + 1}, "
        "which carries everything. Else put the right receipt there, or take it away.",
    )


def read(path: Path | None) -> Receipt | None:
    """Return a receipt; None where there is none that can be read."""
    try:
        content = _content(path) if path else None
        return None if content is None else read_receipt(content)
    except (OSError, ValueError):
        return None


def highest_inside(path: Path | None, stream: str, known: Sequence[int]) -> int:
    """Return the highest number of a bundle that a receipt knows of a stream; 0 where there is none that can be read.

    :param known: the numbers of the bundles that are known here.
    :raises ResolutionError: no stream ever came to such a number. Nobody signs a receipt, and after a bundle of the last
        number there is could come no other one.
    """
    receipt = read(path)
    base = receipt.streams.get(stream) if receipt else None
    if base is not None and base.sequence > max([_HIGHEST_BELIEVED, *known]):
        raise ResolutionError(
            "reading the receipt",
            str(path),
            f"expected a number of a bundle up to {_HIGHEST_BELIEVED}, found {base.sequence}",
            "Look inside by `receive.py --status` which one it is. If it is this one, give the stream another name.",
        )
    return 0 if base is None else base.sequence
