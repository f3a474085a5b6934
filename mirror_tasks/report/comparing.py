"""With what a report is compared, as the state folder keeps it: the last report, and what that was compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirror_tasks.files import read_or_none, sealed, sha256_of_bytes, unsealed, write_if_changed
from mirror_tasks.report.changes import NOTHING, Base
from mirror_tasks.report.snapshot import Snapshot


class Comparing:
    """The snapshots that are kept of reports.

    :param state: the state folder of a configuration.
    """

    def __init__(self, state: Path) -> None:
        folder = state / "report"
        self._last = folder / "last.json"
        self._base = folder / "base.json"
        self._compared = folder / "compared.json"

    def last(self) -> Snapshot | None:
        """Return what the last report was of."""
        return _snapshot(self._last)

    def base(self, after: Snapshot, inside: Callable[[], Base | None]) -> Base:
        """Return what a report is to be compared with, where the user names nothing.

        A report on the same mirror is compared with the same base again, and so has the same bytes, whatever was sent
        meanwhile. Else a report that stands in the mirror would change, and have to be sent anew, whenever it had arrived.

        :param inside: gives what is known to be inside.
        """
        last = self.last()
        if last == after and (kept := self._kept(after)) is not None:
            return kept
        if (found := inside()) is not None:
            return found
        if last is None:
            return NOTHING
        return Base("report", f"the report before{f', of {last.as_of}' if last.as_of else ''}", last)

    def _kept(self, after: Snapshot) -> Base | None:
        """Return what the last report was compared with; None where that is not known."""
        data = _unsealed(self._compared)
        if data is None or data["of"] != sha256_of_bytes(after.to_bytes()):
            return None
        if data["base"] is None:
            return Base(data["kind"], data["name"], None)
        base = _snapshot(self._base)
        is_the_one = base is not None and sha256_of_bytes(base.to_bytes()) == data["base"]
        return Base(data["kind"], data["name"], base) if is_the_one else None

    def keep(self, after: Snapshot, base: Base) -> None:
        """Remember what a report is of, and what it was compared with."""
        before = None if base.snapshot is None else base.snapshot.to_bytes()
        content = after.to_bytes()
        if before is not None:
            write_if_changed(self._base, before)
        of, digest = sha256_of_bytes(content), None if before is None else sha256_of_bytes(before)
        write_if_changed(self._compared, sealed({"of": of, "kind": base.kind, "name": base.name, "base": digest}))
        write_if_changed(self._last, content)


def read_snapshot(content: bytes | None) -> Snapshot | None:
    """Return a snapshot that was kept; None where there is none, or none that can be read."""
    try:
        return None if content is None else Snapshot.from_bytes(content)
    except (ValueError, KeyError, TypeError):
        return None


def _snapshot(path: Path) -> Snapshot | None:
    return read_snapshot(read_or_none(path))


def _unsealed(path: Path) -> dict[str, Any] | None:
    try:
        return unsealed(read_or_none(path) or b"")
    except ValueError:
        return None
