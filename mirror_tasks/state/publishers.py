"""Who published the projects of a mirror, as earlier reports saw it: trust on first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_tasks.errors import StorageError
from mirror_tasks.files import read_or_none, sealed, unsealed, write_if_changed
from mirror_tasks.index.attestations import Publisher

_FORMAT = 1
_LOST = (
    "Bring it back from a backup. Where there is none, delete it: whoever publishes now is then trusted as on first use, and "
    "what changed since the last report is not told."
)


@dataclass(frozen=True, slots=True)
class Trust:
    """What is taken as right of one project.

    :param publishers: who publishes it, sorted.
    :param without: the versions of which files came without a provenance object, and may.
    """

    publishers: tuple[Publisher, ...]
    without: tuple[str, ...]


Trusted = Mapping[str, Trust]
"""What is taken as right, by project; who is not in it was never published by anybody that is known."""


@dataclass(frozen=True, slots=True)
class _State:
    """What the file holds.

    :param seen: what becomes ``trusted`` by an approval.
    :param files: a digest of the files that it was seen of.
    :param approved: the report of them was.
    """

    trusted: Trusted
    seen: Trusted
    files: str
    approved: bool


class Publishers:
    """``publishers.json`` in a state folder.

    What a report marks stays marked until the report is approved, and in the report of the same files even then: who
    makes it again has the paper that was signed. From the first report of other files on what was approved is trusted.

    :param folder: of the state.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "publishers.json"

    def trusted(self, files: str) -> Trusted:
        """Return what is taken as right in a report.

        :param files: a digest of the files that are reported.
        :raises StorageError: what is kept can't be read.
        """
        state = self._state()
        return state.seen if state.approved and state.files != files else state.trusted

    def keep(self, files: str, trusted: Trusted, seen: Trusted) -> None:
        """Keep what a report took as right, those among it that were seen for the first time, and what it saw.

        :param files: a digest of the files that are reported.
        """
        before = self._state()
        self._write(_State(trusted, seen, files, before.approved and before.files == files))

    def approve(self) -> None:
        """Take what the last report saw as right: its reader signed for it.

        :raises StorageError: what is kept can't be read.
        """
        state = self._state()
        self._write(_State(state.trusted, state.seen, state.files, approved=True))

    def _state(self) -> _State:
        content = read_or_none(self._path)
        if content is None:
            return _State({}, {}, "", approved=False)
        try:
            return _read(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"expected who published what in earlier reports, found something else ({error})"
            raise StorageError("reading", str(self._path), problem, _LOST) from error

    def _write(self, state: _State) -> None:
        content = {
            "format": _FORMAT,
            "trusted": _to_json(state.trusted),
            "seen": _to_json(state.seen),
            "files": state.files,
            "approved": state.approved,
        }
        write_if_changed(self._path, sealed(content))


def _read(content: bytes) -> _State:
    kept = unsealed(content)
    if kept["format"] != _FORMAT:
        raise ValueError(f"format {kept['format']!r:.40}")
    trusted, seen = (_from_json(kept[key]) for key in ("trusted", "seen"))
    return _State(trusted, seen, str(kept["files"]), approved=kept["approved"] is True)


def _to_json(trusted: Trusted) -> dict[str, Any]:
    return {
        project: {"publishers": [one.to_json() for one in trust.publishers], "without": list(trust.without)}
        for project, trust in trusted.items()
    }


def _from_json(value: Mapping[str, Any]) -> Trusted:
    return {
        project: Trust(tuple(map(Publisher.from_json, one["publishers"])), tuple(map(str, one["without"])))
        for project, one in value.items()
    }
