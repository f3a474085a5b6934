"""The live display of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mirror_tasks.tasks.tally import Tally, in_all


class Bars(Progress):
    """rich's progress display, fed from tallies each time it is drawn."""

    def __init__(self, tallies: Sequence[Tally], console: Console) -> None:
        self._tallies = tallies
        self._bar: TaskID | None = None
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar = self.add_task("resolving", total=None)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Read the tallies, then draw."""
        if self._bar is not None:
            tally = in_all(self._tallies)
            if tally.planned_files and len(self.columns) == 2:
                self.columns = (*self.columns, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            total, done = tally.planned_bytes or None, min(max(tally.received_bytes, 0), tally.planned_bytes)
            self.update(self._bar, description=tally.brief(), total=total, completed=done)
        yield from super().get_renderables()
