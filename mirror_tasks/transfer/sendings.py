"""What was begun, written and sent, as it is kept in the state folder: every bundle's manifest, and which are inside."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mirror_tasks.errors import StorageError
from mirror_tasks.files import read_or_none, sealed, sha256_of_bytes, unsealed, write_whole
from mirror_tasks.transfer.manifest import Base, Manifest, from_bytes

_KEPT = 12  # bundles, to be built on by --since, or as a receipt says


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How far a bundle is.

    :param manifest: the SHA-256 of its manifest.
    :param volume: the most that a volume takes, in bytes, as it was packed; None: it is one volume.
    :param volumes: how many it has; those in ``finished`` stand whole where they were written.
    :param asked: what its base was asked for by; empty: what is known to be inside.
    """

    sequence: int
    manifest: str
    volume: int | None
    volumes: int
    finished: tuple[int, ...] = ()
    asked: Literal["", "since", "full"] = ""

    @property
    def is_finished(self) -> bool:
        """All volumes were written."""
        return len(self.finished) == self.volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The bundle that is known to be inside.

    :param how: it was marked as sent, or a receipt says so.
    :param receipt: the SHA-256 of the newest receipt that was taken in: what was said after it counts.
    """

    sequence: int
    manifest: str
    how: Literal["sent", "receipt"]
    receipt: str | None = None

    @property
    def base(self) -> Base:
        """The same as a manifest has it."""
        return Base(self.sequence, self.manifest)


class Sendings:
    """The folder of a stream in the state.

    :param state: the state folder of a configuration.
    :param stream: each has numbers of its own.
    """

    def __init__(self, state: Path, stream: str) -> None:
        self.folder = state / "transfer" / stream

    def place(self, sequence: int) -> Path:
        """Where the manifest of a bundle and its signatures are kept."""
        return self.folder / str(sequence)

    def sequences(self) -> list[int]:
        """Return the numbers of the bundles that were begun, the newest last.

        Where a run ended before it wrote how far one is, nothing left this machine, and the number is free.
        """
        try:
            names = [path.name for path in self.folder.iterdir() if os.path.lexists(path / "written.json")]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) <= 10)

    def written(self, sequence: int) -> Written | None:
        """Return how far a bundle is; None for one that is not known, or of which that can't be read any more."""
        found = self._unsealed(self.place(sequence) / "written.json")
        if found is None:
            return None
        return Written(**{**found, "finished": tuple(found["finished"])})

    def newest(self) -> Written | None:
        """Return how far the newest bundle is."""
        return next(filter(None, map(self.written, reversed(self.sequences()))), None)

    def manifest(self, sequence: int, digest: str) -> Manifest:
        """Return the manifest of a bundle.

        :raises StorageError: it is not there as it was written.
        """
        return from_bytes(self.manifest_bytes(sequence, digest))

    def manifest_bytes(self, sequence: int, digest: str) -> bytes:
        """Return the manifest of a bundle as it was signed.

        :raises StorageError: it is not there as it was written.
        """
        path = self.place(sequence) / "manifest.json"
        content = read_or_none(path)
        if content is None or sha256_of_bytes(content) != digest:
            found = "nothing" if content is None else "something else"
            raise StorageError(
                "reading the manifest of a bundle",
                str(path),
                f"expected what was written there (sha256 {digest}), found {found}",
                f"Bundle {sequence} can't be built on any more: `doit bundle --since N` names another, `--full` none.",
            )
        return content

    def begin(self, written: Written, manifest: bytes) -> Path:
        """Keep the manifest of a new bundle; return where, so that it can be signed there."""
        path = self.place(written.sequence) / "manifest.json"
        write_whole(path, manifest)
        self._keep(written)
        return path

    def finish(self, written: Written, volume: int) -> Written:
        """Remember that a volume stands whole where it was written."""
        done = replace(written, finished=tuple(sorted({*written.finished, volume})))
        self._keep(done)
        return done

    def restart(self, written: Written) -> None:
        """Remember that no volume of a bundle is to be relied on any more."""
        self._keep(replace(written, finished=()))

    def _keep(self, written: Written) -> None:
        write_whole(self.place(written.sequence) / "written.json", sealed(asdict(written)))

    def forget_old_ones(self) -> None:
        """Delete the manifests of old bundles, which are large: of a mirror of 50,000 files one has 15 MB.

        The newest ones stay, and what is known to be inside.
        """
        sent = self.sent()
        for sequence in self.sequences()[:-_KEPT]:
            if sent is None or sequence < sent.sequence:
                shutil.rmtree(self.place(sequence))

    def sent(self) -> Sent | None:
        """Return what is known to be inside; None where nothing is."""
        found = self._unsealed(self.folder / "sent.json")
        return None if found is None else Sent(**found)

    def keep_sent(self, sent: Sent) -> None:
        """Remember what is inside."""
        write_whole(self.folder / "sent.json", sealed(asdict(sent)))

    @staticmethod
    def _unsealed(path: Path) -> dict[str, Any] | None:
        content = read_or_none(path)
        try:
            return None if content is None else unsealed(content)
        except ValueError:
            return None
