"""What verbs print with. rich is imported when something is printed: `doit list` prints nothing by it, and ends sooner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def new_console(**settings: Any) -> Console:
    """Return a console of rich, in which numbers and names look like all else."""
    from rich.console import Console

    return Console(highlight=False, **settings)


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
