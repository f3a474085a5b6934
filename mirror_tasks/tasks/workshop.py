"""The door to all that works for tasks: what fetches, reads and publishes is imported when the first of them works.

A command that shows tasks, such as `doit list`, opens it for none: to import what is behind it takes a third of such a command.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.tally import Tally

if TYPE_CHECKING:
    from mirror_tasks.tasks.tools import Tools


class Workshop:
    """The tools of one mirror, made once, whichever thread asks first."""

    def __init__(self, mirror: Mirror, tally: Tally) -> None:
        self._mirror = mirror
        self._tally = tally
        self._lock = threading.Lock()
        self._tools: Tools | None = None

    @property
    def tools(self) -> Tools:
        """What works for the mirror."""
        with self._lock:
            if self._tools is None:
                from mirror_tasks.tasks.tools import Tools

                self._tools = Tools(self._mirror, self._tally)
            return self._tools
