"""What the user sees while it runs: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from mirror_tasks.tasks.console import new_console
from mirror_tasks.text import counted, readable

if TYPE_CHECKING:
    from mirror_tasks.tasks.bars import Bars

_LINE_EVERY = 5.0  # seconds between two plain lines of progress


@dataclass(slots=True)
class Tally:
    """What was done so far for one mirror. Counted from many threads.

    :ivar received_bytes: bytes that came over the network for files.
    :ivar incomplete: what failures leave undecided, a line each; told last of all.
    :ivar outcomes: what became of each mirror, a line each; told when all else is told.
    :ivar planned_bytes: bytes of all files that the plan names and that are not in the mirror yet.
    """

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
            self.notes.append(text)

    def take_notes(self) -> list[str]:
        """Return the lines that were left since the last call."""
        with self._lock:
            notes, self.notes = self.notes, []
            return notes

    def count(self, kind: str, name: str) -> None:
        """Count a finished task of a kind."""
        with self._lock:
            if kind == "project":
                self.pages += 1
                self.newest = name
            elif kind == "metadata":
                self.metadata += 1
                self.newest = name
            elif kind == "download":
                self.done_files += 1

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
        return f"resolving {self.pages} projects, {self.metadata} files {self.newest[:30]}"

    def sentence(self) -> str:
        """Return the state in one line."""
        if self.planned_files:
            of_bytes = f", {readable(max(self.received_bytes, 0))} of {readable(self.planned_bytes)}"
            files = f"downloading: {min(self.done_files, self.planned_files)} of {counted(self.planned_files, 'file')}"
            return f"{files}{of_bytes if self.planned_bytes else ''}"  # what was held already has nothing to receive
        return f"resolving: {self.pages} project pages, {self.metadata} core metadata; {self.newest}"


def in_all(tallies: Iterable[Tally]) -> Tally:
    """Return what was done so far for all mirrors together, without notes and outcomes."""
    found = Tally()
    for tally in tallies:
        for name in _NUMBERS:
            setattr(found, name, getattr(found, name) + getattr(tally, name))
        found.newest = tally.newest or found.newest
    return found


_NUMBERS = ("pages", "metadata", "planned_files", "planned_bytes", "done_files", "received_bytes")


class Display:
    """Shows tallies while they grow; knows nothing else.

    :param stream: where to; a terminal gets a live display, anything else a line every few seconds.
    """

    def __init__(self, stream: TextIO, tallies: Sequence[Tally]) -> None:
        self.console = new_console(file=stream, emoji=False, soft_wrap=not stream.isatty())
        self._tallies = tallies
        self._is_terminal = self.console.is_terminal
        self._live: Bars | None = None
        self._spoken = time.monotonic()
        self._lock = threading.Lock()

    def update(self) -> None:
        """Show the tally as it is now; cheap enough to be called for every task."""
        with self._lock:
            self._print_notes()
            if self._is_terminal:
                self._draw()
            elif time.monotonic() - self._spoken >= _LINE_EVERY:
                self._spoken = time.monotonic()
                self.console.print(in_all(self._tallies).sentence(), markup=False)

    def _print_notes(self) -> None:
        for tally in self._tallies:
            for note in tally.take_notes():
                self.console.print(note, markup=False)

    def _draw(self) -> None:
        if self._live is None:
            from mirror_tasks.tasks.bars import Bars

            self._live = Bars(self._tallies, console=self.console)
            self._live.start()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self.console.print(text, markup=False)

    def stop(self) -> None:
        """Take the live display away."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None
            self._print_notes()
