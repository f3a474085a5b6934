"""A bundle is begun, written volume by volume, and gone on with where a run ended or a stick was full."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from mirror_tasks.config.transfer import Transfer
from mirror_tasks.errors import ResolutionError, StorageError
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.text import counted, readable
from mirror_tasks.transfer import bases
from mirror_tasks.transfer.bases import Inside
from mirror_tasks.transfer.contents import lacking, sources, state_of
from mirror_tasks.transfer.evidence import Evidence, evidence
from mirror_tasks.transfer.manifest import Made, Manifest, StateFile, check_files, digest_of
from mirror_tasks.transfer.packing import Layout, Volumes, lay_out
from mirror_tasks.transfer.sendings import Sendings, Written
from mirror_tasks.transfer.signing import check_signers, sign_all
from mirror_tasks.transfer.volumes import BLOCK, TooSmallError
from mirror_tasks.transfer.writing import (
    Piece,
    Volume,
    already_there,
    discard,
    part_digests,
    room_in,
    write_volume,
)

_DOING = "bundling"


class Teller(Protocol):
    """Tells the user what is done."""

    def say(self, line: str) -> None:
        """Print a line."""

    def copying(self, what: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show how many of so many bytes are copied; what it gives is told of each number of bytes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for beside a bundle of what is not inside yet.

    :param since: the number of the bundle to build on.
    :param full: build on none.
    :param unproven: a mirror that is not proven will do.
    """

    since: int | None = None
    full: bool = False
    unproven: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A bundle of which all volumes are written."""

    manifest: Manifest
    volumes: Sequence[Volume]
    folder: Path


class Bundler:
    """Makes the bundles of one mirror.

    :param checks_room: look if a volume fits before it is written.
    """

    def __init__(
        self, mirror: Mirror, transfer: Transfer, program: bytes, teller: Teller, *, checks_room: bool
    ) -> None:
        self._mirror = mirror
        self._transfer = transfer
        self._sendings = Sendings(mirror.config.state)
        self._beside = {"receive.py": program} if program else {}
        self._teller = teller
        self._checks_room = checks_room

    def bundle(self, asked: Asked) -> Finished | None:
        """Write what is not inside yet, or go on with that; None where there is nothing to be done.

        :raises MirrorError: it can't be done, or not all of it.
        """
        check_signers(self._transfer.signers)
        state = state_of(self._mirror)
        check_files(state)
        known_of_it = evidence(self._mirror, unproven=asked.unproven)
        self._take_in_receipt(asked)
        before = self._unsent()
        inside = self._inside(asked, before)
        proposal = self._proposal(state, known_of_it, inside)
        if before is not None and self._is_same(before, proposal):
            return self._go_on(before)
        files = inside.files(self._sendings)
        if inside.base is not None and files == state:
            self._teller.say(f"Nothing is new since bundle {inside.base.sequence}: there is nothing to bundle.")
            return None
        self._tell_what_is_left(before)
        return self._begin(proposal, lacking(state, {file.sha256 for file in files}), inside)

    def _take_in_receipt(self, asked: Asked) -> None:
        if self._transfer.receipt is None or asked.full or asked.since is not None:
            return
        if taken := bases.take_in_receipt(self._sendings, self._transfer.receipt, self._transfer.stream):
            self._teller.say(f"{self._transfer.receipt.name}: bundle {taken.sequence} is inside.")

    def _unsent(self) -> Written | None:
        """Return the newest bundle, unless it was sent."""
        newest, sent = self._sendings.newest(), self._sendings.sent()
        return None if newest is None or (sent is not None and sent.sequence >= newest.sequence) else newest

    def _inside(self, asked: Asked, before: Written | None) -> Inside:
        if asked.full:
            return bases.FULL
        if asked.since is not None:
            return bases.named(self._sendings, asked.since)
        if before is not None and before.asked and not before.is_finished:
            # Run again for the next stick, it goes on with what was asked for, though that is not said again.
            base = self._sendings.manifest(before.sequence, before.manifest).base
            return Inside(base, "as asked before", before.asked)
        return bases.known(self._sendings)

    def _proposal(self, state: Sequence[StateFile], known_of_it: Evidence, inside: Inside) -> Manifest:
        keep = self._transfer.keep
        kept = {"days": keep.days} if keep.days is not None else {"plans": keep.plans or 0}
        made = Made(
            "", f"mirror-tasks {version('mirror-tasks')}", known_of_it.plan, known_of_it.proof, known_of_it.report,
            known_of_it.approval,
        )  # fmt: skip
        return Manifest(
            stream=self._transfer.stream, sequence=0, base=inside.base, made=made, keep=kept, volumes=1, files=state, contents=()
        )  # fmt: skip

    def _is_same(self, before: Written, proposal: Manifest) -> bool:
        """Say if a bundle that was begun is what would be begun now; when and by what plan does not matter."""
        begun = self._sendings.manifest(before.sequence, before.manifest)
        return before.volume == self._transfer.volume and _compared(begun) == _compared(proposal)

    def _go_on(self, written: Written) -> Finished | None:
        name = self._name(written.sequence)
        if written.is_finished:
            self._teller.say(
                f"Bundle {name} has it all: {counted(written.volumes, 'volume')}, written. `doit bundle --sent "
                f"{written.sequence}` says that it was carried; `doit bundle --volume K` writes one again."
            )
            return None
        done = ", ".join(map(str, written.finished)) or "none"
        self._teller.say(f"Going on with bundle {name}: of {counted(written.volumes, 'volume')}, {done} written.")
        return self._write(written)

    def _tell_what_is_left(self, before: Written | None) -> None:
        """Say what becomes of a bundle that was not sent, now that there is another to make; it is built on no more."""
        if before is None:
            return
        name = self._name(before.sequence)
        if before.is_finished:
            self._teller.say(
                f"Bundle {name} was not marked as sent: the new one has what it has, and builds on the same."
            )
            return
        gone = " What was written of it is deleted." if discard(self._transfer.to / name) else ""
        self._teller.say(f"Bundle {name} was not finished, and there is another to make now, on the same base.{gone}")

    def _name(self, sequence: int) -> str:
        return f"{self._transfer.stream}-{sequence}"

    def _begin(self, proposal: Manifest, carried: Sequence[StateFile], inside: Inside) -> Finished:
        numbers = [*self._sendings.sequences(), bases.highest_inside(self._transfer.receipt, self._transfer.stream)]
        proposal = replace(proposal, sequence=max(numbers) + 1, made=replace(proposal.made, at=now()))
        layout = self._layout(proposal, carried, self._transfer.volume)
        manifest = layout.manifest
        written = Written(
            sequence=manifest.sequence,
            manifest=digest_of(layout.content),
            volume=self._transfer.volume,
            volumes=manifest.volumes,
            asked=inside.asked,
        )
        volumes = self._volumes(manifest, layout.content)
        self._tell_size(manifest, volumes, inside.why)
        self._check_room(volumes[0], manifest, carried)
        self._sendings.begin(written, layout.content)
        return self._write(written)

    def _layout(self, proposal: Manifest, carried: Sequence[StateFile], most: int | None) -> Layout:
        def digests(file: StateFile, sizes: Sequence[int]) -> Sequence[str]:
            return part_digests(self._mirror.output / file.path, file.sha256, sizes)

        program = sum(map(len, self._beside.values()))
        volumes = Volumes(most=most, signatures=len(self._transfer.signers), program=program)
        try:
            return lay_out(proposal, carried, volumes, digests)
        except TooSmallError as error:
            problem = f"expected volumes of at least {readable(error.needed + BLOCK)}, found {readable(most or 0)}"
            raise ResolutionError(_DOING, "transfer.volume of mirror.yaml", problem, "Set a larger one.") from None
        except ValueError as error:
            raise ResolutionError(_DOING, "transfer.volume of mirror.yaml", str(error), "Set a larger one.") from None

    def _volumes(self, manifest: Manifest, content: bytes) -> list[Volume]:
        """Return the volumes of a bundle, without the signatures, which may not be made yet."""
        where = sources(self._mirror.output, self._current(), manifest.files)
        pieces: dict[int, list[Piece]] = {}
        for one in manifest.contents:
            offset = 0
            for part in one.parts:
                piece = Piece(part.place, where[one.sha256], offset, part.size, part.sha256)
                pieces.setdefault(part.volume, []).append(piece)
                offset += part.size
        folder = self._transfer.to / self._name(manifest.sequence)
        return [
            Volume(
                folder=folder / f"volume-{number}-of-{manifest.volumes}",
                number=number,
                manifest=content,
                beside=self._beside,
                pieces=sorted(pieces.get(number, []), key=lambda piece: piece.place),
            )
            for number in range(1, manifest.volumes + 1)
        ]

    def _current(self) -> Iterator[StateFile]:
        return (StateFile(path, sha256, 0) for path, sha256 in self._mirror.published_sums().items())

    def _tell_size(self, manifest: Manifest, volumes: Sequence[Volume], why: str) -> None:
        sizes = [readable(volume.size()) for volume in volumes]
        shown = ", ".join(sizes[:8]) + (", …" if len(sizes) > 8 else "")
        carried = f"{counted(len(manifest.contents), 'file')}, {readable(sum(one.size for one in manifest.contents))}"
        self._teller.say(f"Bundle {self._name(manifest.sequence)} builds {why}.")
        self._teller.say(f"It carries {carried}, and takes {counted(len(volumes), 'volume')} of {shown}.")

    def _check_room(self, volume: Volume, manifest: Manifest, carried: Sequence[StateFile]) -> None:
        """Look if the first volume fits, before anything is begun.

        :raises StorageError: it does not; says how many volumes it would take that do.
        """
        if (lack := self._lack(volume)) is None:
            return
        free, needed = lack
        advice = "Make room, or put a larger one there, then run again; nothing was begun."
        if self._transfer.volume is None:
            try:
                count = self._layout(manifest, carried, free).manifest.volumes
                advice = (
                    f"Nothing was begun. Give it a target with more room; or set `volume: {free // 10**6}M` under transfer, and "
                    f"it takes {counted(count, 'volume')} of that size, one after the other."
                )
            except ResolutionError:
                pass  # not even in parts
        problem = f"the first volume takes {readable(needed)}, {readable(free)} are free"
        raise StorageError("writing a bundle to", str(self._transfer.to), problem, advice)

    def _lack(self, volume: Volume) -> tuple[int, int] | None:
        """Return what is free and what a volume needs, where that is more."""
        found = room_in(self._transfer.to) if self._checks_room else None
        if found is None:
            return None
        free, block = found
        needed = volume.size(block) - already_there(volume)
        return (free, needed) if needed > free else None

    def _write(self, written: Written) -> Finished:
        """Sign a bundle and write its volumes, as far as there is room for them."""
        path = self._sendings.place(written.sequence) / "manifest.json"
        content = self._sendings.manifest_bytes(written.sequence, written.manifest)
        manifest = self._sendings.manifest(written.sequence, written.manifest)
        volumes = self._signed(path, self._volumes(manifest, content))
        for volume in volumes:
            if volume.number not in written.finished:
                self._check_next(volume, written)
                self._write_one(volume, len(volumes))
                written = self._sendings.finish(written, volume.number)
        return Finished(manifest, volumes, self._transfer.to / self._name(written.sequence))

    def _signed(self, path: Path, volumes: Sequence[Volume]) -> list[Volume]:
        signatures = {made.name: made.read_bytes() for made in sign_all(self._transfer.signers, path)}
        return [replace(volume, beside={**volume.beside, **signatures}) for volume in volumes]

    def _check_next(self, volume: Volume, written: Written) -> None:
        if (lack := self._lack(volume)) is None:
            return
        free, needed = lack
        done = f"Written so far: {', '.join(map(str, written.finished))}. " if written.finished else ""
        raise StorageError(
            f"writing volume {volume.number} of {written.volumes} of bundle {self._name(written.sequence)} to",
            str(self._transfer.to),
            f"it takes {readable(needed)}, {readable(free)} are free",
            f"{done}Put the next stick there, or make room, then run `doit bundle` again: it goes on with this volume.",
        )

    def _write_one(self, volume: Volume, count: int) -> None:
        size = sum(piece.size for piece in volume.pieces)
        with self._teller.copying(f"volume {volume.number} of {count}", size) as copied:
            write_volume(volume, copied)

    def rewrite(self, number: int) -> Finished:
        """Write one volume of the newest bundle again.

        :raises MirrorError: there is no such volume, or what it has is not in the mirror any more.
        """
        newest = self._sendings.newest()
        if newest is None or not 1 <= number <= newest.volumes:
            there = "there is no bundle yet" if newest is None else f"bundle {newest.sequence} has {newest.volumes}"
            problem = f"expected the number of a volume, {there}"
            raise ResolutionError(
                _DOING, f"volume {number}", problem, "Run `doit bundle` first." if newest is None else ""
            )
        path = self._sendings.place(newest.sequence) / "manifest.json"
        content = self._sendings.manifest_bytes(newest.sequence, newest.manifest)
        manifest = self._sendings.manifest(newest.sequence, newest.manifest)
        volumes = self._signed(path, self._volumes(manifest, content))
        volume = volumes[number - 1]
        self._check_next(volume, newest)
        self._write_one(volume, len(volumes))
        self._sendings.finish(newest, number)
        return Finished(manifest, [volume], self._transfer.to / self._name(newest.sequence))


def _compared(one: Manifest) -> tuple[object, ...]:
    return one.stream, one.base, one.keep, one.made.proof is None, one.made.approval is None, one.files


def now() -> str:
    """Return the time as a manifest has it; ``SOURCE_DATE_EPOCH`` is one that is given."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else time.time()
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
