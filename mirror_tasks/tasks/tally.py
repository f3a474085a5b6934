"""What a run has done so far, counted while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from mirror_tasks.text import counted, readable


@dataclass(slots=True)
class Tally:
    """What was done so far for one mirror. Counted from many threads.

    :ivar label: which mirror it is, before each line; empty where there is but one.
    :ivar received_bytes: bytes that came over the network for files.
    :ivar incomplete: what failures leave undecided, a line each; told last of all.
    :ivar outcomes: what became of each mirror, a line each; told when all else is told.
    :ivar planned_bytes: bytes of all files that the plan names and that are not in the mirror yet.
    """

    label: str = ""
    pages_to_ask: int = 0
    pages_asked: int = 0
    pages: int = 0
    metadata: int = 0
    planned_files: int = 0
    planned_bytes: int = 0
    done_files: int = 0
    received_bytes: int = 0
    newest: str = ""
    notes: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def received(self, count: int) -> None:
        """Count bytes that arrived; a transfer that begins again takes its bytes back with a negative count."""
        with self._lock:
            self.received_bytes += count

    def note(self, text: str) -> None:
        """Leave a line for the user, which the display prints as soon as it can."""
        with self._lock:
            self.notes.append(self._labelled(text))

    def lack(self, text: str) -> None:
        """Leave a line that says what failures leave undecided."""
        with self._lock:
            self.incomplete.append(self._labelled(text))

    def end_with(self, text: str) -> None:
        """Leave the line that says what became of the mirror."""
        with self._lock:
            self.outcomes.append(self._labelled(text))

    def _labelled(self, text: str) -> str:
        return f"{self.label}: {text}" if self.label else text

    def take_notes(self) -> list[str]:
        """Return the lines that were left since the last call."""
        with self._lock:
            notes, self.notes = self.notes, []
            return notes

    def count(self, kind: str, name: str) -> None:
        """Count a finished task of a kind."""
        with self._lock:
            if kind == "pages":
                self.pages_asked += 1
                self.newest = name
            elif kind == "project":
                self.pages += 1
                self.newest = name
            elif kind == "metadata":
                self.metadata += 1
                self.newest = name
            elif kind == "download":
                self.done_files += 1

    def start_pages(self, count: int) -> None:
        """Set how many pages are asked for before anything is resolved."""
        with self._lock:
            self.pages_to_ask += count

    @property
    def _asks(self) -> bool:
        return self.pages_asked < self.pages_to_ask

    def start_downloads(self, files: int, size: int) -> None:
        """Set what is to be downloaded; what was received while resolving does not count."""
        with self._lock:
            self.planned_files += files
            self.planned_bytes += size
            self.received_bytes = 0

    def brief(self) -> str:
        """Return the state in few words, the numbers of bytes being shown beside it."""
        if self.planned_files:
            return f"downloading {min(self.done_files, self.planned_files)}/{self.planned_files} files"
        if self._asks:
            return f"asking what changed: {self.pages_asked}/{self.pages_to_ask} projects {self.newest[:30]}"
        files = f", {self.metadata} files" if self.metadata else ""  # what was read in an earlier run is not read again
        return f"resolving {self.pages} projects{files} {self.newest[:30]}"

    def sentence(self) -> str:
        """Return the state in one line."""
        newest = f"; {self.newest}" if self.newest else ""  # nothing has come of an index that does not answer
        if self.planned_files:
            of_bytes = f", {readable(max(self.received_bytes, 0))} of {readable(self.planned_bytes)}"
            files = f"downloading: {min(self.done_files, self.planned_files)} of {counted(self.planned_files, 'file')}"
            return f"{files}{of_bytes if self.planned_bytes else ''}"  # what was held already has nothing to receive
        if self._asks:
            return f"asking what changed: {self.pages_asked} of {self.pages_to_ask} project pages{newest}"
        metadata = f", {self.metadata} core metadata" if self.metadata else ""
        return f"resolving: {self.pages} project pages{metadata}{newest}"


def in_all(tallies: Iterable[Tally]) -> Tally:
    """Return what was done so far for all mirrors together, without notes and outcomes."""
    found = Tally()
    for tally in tallies:
        for name in _NUMBERS:
            setattr(found, name, getattr(found, name) + getattr(tally, name))
        found.newest = tally.newest or found.newest
    return found


_NUMBERS = (
    "pages_to_ask",
    "pages_asked",
    "pages",
    "metadata",
    "planned_files",
    "planned_bytes",
    "done_files",
    "received_bytes",
)
