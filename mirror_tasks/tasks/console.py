"""What verbs print with. rich is imported when something is printed: `doit list` prints nothing by it, and ends sooner."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def new_console(**settings: Any) -> Console:
    """Return a console of rich, in which numbers and names look like all else."""
    from rich.console import Console

    class PatientConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich calls it where it catches that, and would end the thread, and with it the process

    return PatientConsole(highlight=False, **settings)


def new_table(*columns: str, **settings: Any) -> Table:
    """Return a table of rich. What is too long for a column goes on below: a name that ends in "…" names nothing."""
    from rich.table import Column, Table

    return Table(*(Column(one, overflow="fold") for one in columns), **settings)


def print_table(table: Table, title: str) -> None:
    """Print a table below its title: a title of the table's own is broken where the table is narrower."""
    console = new_console()
    console.print(f"[italic]{escaped(title)}[/]", soft_wrap=True)
    console.print(table)


def escaped(text: str) -> str:
    """Return ``text`` as rich prints it as it is."""
    from rich.markup import escape

    return escape(text)


class Outlet:
    """A stream for a run, which goes on where that can't be written to: its lines go to standard error then.

    Where nobody reads any more (`| head -1`), they go nowhere.

    :ivar lost: what the system said when it could not be written to, unless nobody read any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._go_elsewhere(error)
            return self._stream.write(text)

    def flush(self) -> None:
        """Write what is held back."""
        try:
            self._stream.flush()
        except OSError as error:
            self._go_elsewhere(error)

    def _go_elsewhere(self, error: OSError) -> None:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the run
        with contextlib.suppress(OSError):
            os.dup2(nowhere.fileno(), self._stream.fileno())  # what is held back is written once more when Python ends
        nobody_reads = error.errno == errno.EPIPE
        if not nobody_reads:
            self.lost = error
        self._stream = nowhere if nobody_reads or self._stream is sys.stderr or sys.stderr is None else sys.stderr

    def __getattr__(self, name: str) -> Any:
        """Be in all else what the stream is."""
        return getattr(self._stream, name)
