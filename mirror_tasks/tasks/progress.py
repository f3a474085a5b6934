"""What the user sees while it runs: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from mirror_tasks.tasks.console import Outlet, new_console
from mirror_tasks.tasks.tally import Tally, in_all

if TYPE_CHECKING:
    from mirror_tasks.tasks.bars import Bars

_LINE_EVERY = 5.0  # seconds between two plain lines of progress


class Display:
    """Shows tallies while they grow; knows nothing else.

    :param stream: where to; a terminal gets a live display, anything else a line every few seconds.
    """

    def __init__(self, stream: TextIO, tallies: Sequence[Tally]) -> None:
        self.outlet = Outlet(stream)
        self.console = new_console(file=self.outlet, emoji=False, soft_wrap=not stream.isatty())
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
