"""A bundle is begun, written volume by volume, and gone on with where a run ended or a stick was full."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
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
from mirror_tasks.transfer.assembly import Assembly
from mirror_tasks.transfer.bases import Inside
from mirror_tasks.transfer.contents import lacking, state_of
from mirror_tasks.transfer.evidence import Evidence, evidence
from mirror_tasks.transfer.insides import keep_what_goes
from mirror_tasks.transfer.manifest import Made, Manifest, StateFile, check_files, digest_of, from_bytes
from mirror_tasks.transfer.missing import Missing
from mirror_tasks.transfer.packing import SIGNATURE, Layout, Volumes, lay_out
from mirror_tasks.transfer.sendings import Sendings, Written
from mirror_tasks.transfer.signing import check_signers, sign_all
from mirror_tasks.transfer.target import Lack, check_target, lack_of
from mirror_tasks.transfer.volumes import BLOCK, TooSmallError
from mirror_tasks.transfer.writing import Volume, discard, part_digests, write_volume

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
    """A bundle of which all volumes are written.

    :param before: the numbers of those that an earlier run wrote, maybe onto other sticks.
    """

    manifest: Manifest
    volumes: Sequence[Volume]
    folder: Path
    before: tuple[int, ...] = ()


class Bundler:
    """Makes the bundles of one mirror.

    :param program: the bytes of ``receive.py``.
    :param checks_room: look if a volume fits before it is written.
    """

    def __init__(
        self, mirror: Mirror, transfer: Transfer, program: bytes, teller: Teller, *, checks_room: bool
    ) -> None:
        self._mirror = mirror
        self._transfer = transfer
        self._sendings = Sendings(mirror.config.state, transfer.stream)
        self._program = program
        self._teller = teller
        self._state: Sequence[StateFile] = ()
        self._checks_room = checks_room

    def bundle(self, asked: Asked) -> Finished | None:
        """Write what is not inside yet, or go on with that; None where there is nothing to be done.

        :raises MirrorError: it can't be done, or not all of it.
        """
        check_signers(self._transfer.signers)
        self._state = state = state_of(self._mirror)
        known_of_it = evidence(self._mirror, unproven=asked.unproven)
        self._take_in_receipt(asked)
        self._tell_own(state)
        before = unsent(self._sendings)
        inside = self._inside(asked, before)
        proposal = proposed(self._transfer, state, known_of_it, inside)
        if before is not None and self._is_same(before, proposal):
            return self._go_on(before)
        files = inside.files(self._sendings)
        if inside.base is not None and files == state:
            self._teller.say(f"Nothing is new since bundle {inside.base.sequence}: there is nothing to bundle.")
            return None
        check_files(state, files)
        check_target(self._transfer.to, self._mirror.config.path.parent)
        self._tell_what_is_left(before)
        return self._begin(proposal, lacking(state, {file.sha256 for file in files}), inside)

    def _take_in_receipt(self, asked: Asked) -> None:
        if self._transfer.receipt is None or asked.full or asked.since is not None:
            return
        if taken := bases.take_in_receipt(self._sendings, self._transfer.receipt, self._transfer.stream):
            self._teller.say(f"{self._transfer.receipt.name}: bundle {taken.sequence} is inside.")

    def _tell_own(self, state: Sequence[StateFile]) -> None:
        """Say which projects the inside has of its own that this mirror brings as well."""
        receipt = bases.read(self._transfer.receipt)
        own = {f"simple/{name}/index.html": name for name in (receipt.own if receipt else ())}
        names = [own[file.path] for file in state if file.path in own] if own else []
        if names:
            told = "for which receive.py was told whose the name is (--own), or refuses the bundle"
            self._teller.say(f"Inside has packages of its own of {', '.join(names)}, which are here as well; {told}.")

    def _inside(self, asked: Asked, before: Written | None) -> Inside:
        if asked.full:
            return bases.FULL
        if asked.since is not None:
            return bases.named(self._sendings, asked.since)
        if before is not None and before.asked and not before.is_finished:
            # Run again for the next stick, it goes on with what was asked for, though that is not said again.
            base = self._sendings.manifest(before.sequence, before.manifest).base
            return Inside(base, "as was asked for", before.asked)
        return bases.known(self._sendings)

    def _is_same(self, before: Written, proposal: Manifest) -> bool:
        """Say if a bundle that was begun is what would be begun now; when and by what plan does not matter."""
        try:
            begun = self._sendings.manifest(before.sequence, before.manifest)
        except StorageError:
            return False  # what can't be read any more can't be gone on with
        return before.volume == self._transfer.volume and _compared(begun) == _compared(proposal)

    def _go_on(self, written: Written) -> Finished | None:
        name = self._name(written.sequence)
        if written.is_finished:
            self._teller.say(
                f"Bundle {name} has it all, and is written: {counted(written.volumes, 'volume')}. `doit bundle --sent "
                f"{written.sequence}` says that it was carried; `doit bundle --volume K` writes a volume again."
            )
            return None
        done = ", ".join(map(str, written.finished)) or "none"
        self._teller.say(f"Going on with bundle {name}: of {counted(written.volumes, 'volume')}, {done} written.")
        return self._write(written, self._begun(written))

    def _tell_what_is_left(self, before: Written | None) -> None:
        """Say what becomes of a bundle that was not sent, now that there is another to make; nothing is built on it."""
        if before is None:
            return
        name = self._name(before.sequence)
        if before.is_finished:
            told = "was not marked as sent: what it has is in the new one too, so it need not be carried."
            self._teller.say(f"Bundle {name} {told}")
            return
        self._sendings.restart(before)
        gone = " What was written of it is deleted." if discard(self._transfer.to / name) else ""
        self._teller.say(
            f"Bundle {name} was not finished, and what is to be carried has changed: a new one is made.{gone}"
        )

    def _name(self, sequence: int) -> str:
        return f"{self._transfer.stream}-{sequence}"

    def _begin(self, proposal: Manifest, carried: Sequence[StateFile], inside: Inside) -> Finished:
        proposal = replace(proposal, sequence=self._next_number(), made=replace(proposal.made, at=now()))
        layout = self._layout(proposal, carried, self._transfer.volume)
        assembly = self._assembly(layout.manifest, layout.content)
        volumes = assembly.volumes()
        self._tell_size(layout.manifest, volumes, inside.why)
        self._check_room(volumes[0], layout.manifest, carried)
        written = Written(
            sequence=layout.manifest.sequence,
            manifest=assembly.digest,
            volume=self._transfer.volume,
            volumes=layout.manifest.volumes,
            asked=inside.asked,
        )
        self._sendings.begin(written, layout.content)
        keep_what_goes(self._mirror, self._sendings, written.sequence)
        return self._write(written, assembly)

    def _next_number(self) -> int:
        """Return a number that is higher than any that is known to have left this machine."""
        sent, known = self._sendings.sent(), self._sendings.sequences()
        known = [*known, sent.sequence] if sent else known
        inside = bases.highest_inside(self._transfer.receipt, self._transfer.stream, known)
        return max([inside, *known]) + 1

    def _layout(self, proposal: Manifest, carried: Sequence[StateFile], most: int | None) -> Layout:
        def digests(file: StateFile, sizes: Sequence[int]) -> Sequence[str]:
            return part_digests(self._mirror.output / file.path, file.sha256, sizes)

        try:
            return lay_out(proposal, carried, self._limits(most), digests)
        except TooSmallError as error:
            problem = f"expected volumes of at least {readable(error.needed + BLOCK)}, found {readable(most or 0)}"
            raise ResolutionError(_DOING, "transfer.volume of mirror.yaml", problem, "Set a larger one.") from None
        except ValueError as error:
            raise ResolutionError(_DOING, "transfer.volume of mirror.yaml", str(error), "Set a larger one.") from None

    def _limits(self, most: int | None) -> Volumes:
        return Volumes(most=most, signatures=len(self._transfer.signers), program=len(self._program))

    def _assembly(self, manifest: Manifest, content: bytes) -> Assembly:
        """Return a bundle that is not signed yet; what stands for its signatures has the room that they may take."""
        expected = {str(number): bytes(SIGNATURE) for number in range(len(self._transfer.signers))}
        return Assembly(
            manifest=manifest,
            content=content,
            digest=digest_of(content),
            folder=self._transfer.to / self._name(manifest.sequence),
            beside={"receive.py": self._program, **expected},
            output=self._mirror.output,
            sums={} if manifest.files == self._state else self._mirror.published_sums(),
        )

    def _tell_size(self, manifest: Manifest, volumes: Sequence[Volume], why: str) -> None:
        sizes = [readable(volume.size()) for volume in volumes]
        shown = ", ".join(sizes[:8]) + (", …" if len(sizes) > 8 else "")
        carried = f"{counted(len(manifest.contents), 'file')}, {readable(sum(one.size for one in manifest.contents))}"
        self._teller.say(f"Bundle {self._name(manifest.sequence)}: {why}.")
        self._teller.say(f"It carries {carried}, and takes {counted(len(volumes), 'volume')} of {shown}.")

    def _check_room(self, volume: Volume, manifest: Manifest, carried: Sequence[StateFile]) -> None:
        """Look if the first volume fits, before anything is begun.

        :raises StorageError: it does not; says how many volumes it would take that do.
        """
        if (lack := self._lack(volume)) is None:
            return
        advice = "Nothing was begun. Make room, put a larger one there, or set a smaller `volume`, then run again."
        if self._transfer.volume is None and (count := self._count_of(lack.free, manifest, carried)):
            advice = (
                f"Nothing was begun. Give it a target with more room; or set `volume: {_said(lack.free)}` under "
                f"transfer, and it takes {counted(count, 'volume')} of that size, one after the other."
            )
        problem = f"the first volume takes {readable(lack.needed)}, {readable(lack.free)} are free"
        raise StorageError("writing a bundle to", str(self._transfer.to), problem, advice)

    def _count_of(self, size: int, manifest: Manifest, carried: Sequence[StateFile]) -> int:
        """Return how many volumes of a size a bundle would take; 0 where it can't be had in such."""
        try:
            whole = [file for file in carried if file.size < size]  # to cut others, they would have to be read
            return self._layout(manifest, whole, size).manifest.volumes if whole == [*carried] else 0
        except ResolutionError:
            return 0

    def _lack(self, volume: Volume) -> Lack | None:
        return lack_of(volume, self._transfer.to) if self._checks_room else None

    def _write(self, written: Written, assembly: Assembly) -> Finished:
        """Sign a bundle and write its volumes, as far as there is room for them."""
        assembly, before = self._signed(written, assembly), written.finished
        volumes = assembly.volumes()
        for volume in volumes:
            if volume.number not in written.finished:
                self._check_next(volume, written)
                self._write_one(volume, f"volume {volume.number} of {len(volumes)}")
                written = self._sendings.finish(written, volume.number)
        self._sendings.forget_old_ones()
        return Finished(assembly.manifest, volumes, assembly.folder, before)

    def _begun(self, written: Written) -> Assembly:
        content = self._sendings.manifest_bytes(written.sequence, written.manifest)
        return self._assembly(from_bytes(content), content)

    def _signed(self, written: Written, assembly: Assembly) -> Assembly:
        """Return a bundle with its signatures; who signed it already is not asked again."""
        made = sign_all(self._transfer.signers, self._sendings.place(written.sequence) / "manifest.json")
        signatures = {path.name: path.read_bytes() for path in made}
        return replace(assembly, beside={"receive.py": self._program, **signatures})

    def _check_next(self, volume: Volume, written: Written) -> None:
        """Look if there is room for a volume.

        :raises StorageError: there is not; says which are written, and to put the next stick there.
        """
        check_target(self._transfer.to, self._mirror.config.path.parent)
        if (lack := self._lack(volume)) is None:
            return
        done = f"Written so far: {', '.join(map(str, written.finished))}. " if written.finished else ""
        raise StorageError(
            f"writing volume {volume.number} of {written.volumes} of bundle {self._name(written.sequence)} to",
            str(self._transfer.to),
            f"it takes {readable(lack.needed)}, {readable(lack.free)} are free",
            f"{done}Put the next stick there, or make room, then run `doit bundle` again: it goes on with this volume.",
        )

    def _write_one(self, volume: Volume, what: str) -> None:
        with self._teller.copying(what, sum(piece.size for piece in volume.pieces)) as copied:
            write_volume(volume, copied)

    def rewrite(self, number: int) -> Finished:
        """Write one volume of the newest bundle again.

        :raises MirrorError: there is no such volume, or what it has is not in the mirror any more.
        """
        newest = self._sendings.newest()
        if newest is None or not 1 <= number <= newest.volumes:
            there = "there is no bundle yet" if newest is None else f"bundle {newest.sequence} has {newest.volumes}"
            problem = f"expected the number of a volume; {there}"
            raise ResolutionError(
                "writing again", f"volume {number}", problem, "Say another, or run `doit bundle` first."
            )
        assembly = self._signed(newest, self._begun(newest))
        volume = assembly.volumes()[number - 1]
        self._check_next(volume, newest)
        self._write_one(volume, f"volume {number}")
        self._sendings.finish(newest, number)
        return Finished(assembly.manifest, [volume], assembly.folder)

    def again(self, missing: Missing) -> Finished:
        """Write once more what did not arrive of a bundle.

        :raises MirrorError: it was not made here, or what is missing is not in the mirror any more.
        """
        written = self._sendings.written(missing.sequence)
        is_of_here = missing.stream == self._transfer.stream and written and written.manifest == missing.manifest
        if written is None or not is_of_here:
            problem = f"it is of bundle {missing.sequence} of {missing.stream[:80]!r}, which was not made here"
            advice = "Run it where that was made; or bring all by `doit bundle --full`."
            raise ResolutionError("carrying again", "what is missing", problem, advice)
        assembly = self._signed(written, self._begun(written))
        volumes = assembly.again(missing.contents, self._limits(self._transfer.volume).room(len(assembly.content)))
        for number, volume in enumerate(volumes, 1):
            self._check_next(volume, written)
            self._write_one(volume, f"{number} of {len(volumes)}")
        return Finished(assembly.manifest, volumes, assembly.folder)


def unsent(sendings: Sendings) -> Written | None:
    """Return the newest bundle, unless it was sent."""
    newest, sent = sendings.newest(), sendings.sent()
    return None if newest is None or (sent is not None and sent.sequence >= newest.sequence) else newest


def proposed(transfer: Transfer, state: Sequence[StateFile], known_of_it: Evidence, inside: Inside) -> Manifest:
    """Return the manifest of a bundle, but for its number, its time and its contents."""
    keep = transfer.keep
    made = Made(
        at="",
        by=f"mirror-tasks {version('mirror-tasks')}",
        plan=known_of_it.plan,
        proof=known_of_it.proof,
        report=known_of_it.report,
        approval=known_of_it.approval,
    )
    return Manifest(
        stream=transfer.stream,
        sequence=0,
        base=inside.base,
        made=made,
        keep={"days": keep.days} if keep.days is not None else {"plans": keep.plans or 0},
        volumes=1,
        files=state,
        contents=(),
    )


def _said(size: int) -> str:
    """Return a size as mirror.yaml takes it, no larger than it is."""
    return f"{size // 10**6}M" if size >= 10**8 else f"{size // 1000}k"


def _compared(one: Manifest) -> tuple[object, ...]:
    return one.stream, one.base, one.keep, one.made.proof is None, one.made.approval is None, one.files


def now() -> str:
    """Return the time as a manifest has it; ``SOURCE_DATE_EPOCH`` is one that is given."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else time.time()
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
