"""Work that is begun before its turn, because it is sure to be wanted: a few things at a time, beside everything else."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Ahead:
    """Does what it was given, in that order.

    :param do: what is called with what :meth:`begin` was given.
    :param threads: how many at a time. They are daemons: a run that is interrupted does not wait for them.
    """

    def __init__(self, do: Callable[..., object], threads: int) -> None:
        self._do = do
        self._idle = threads
        self._queue: queue.SimpleQueue[tuple[Future[None], tuple[Any, ...]]] = queue.SimpleQueue()
        self._begun: dict[str, Future[None]] = {}

    def begin(self, key: str, *arguments: Any) -> None:
        """Do something as soon as there is a thread for it, once for each key; called from one thread only."""
        if key in self._begun:
            return
        future = self._begun[key] = Future()
        self._queue.put((future, arguments))
        if self._idle:
            self._idle -= 1
            threading.Thread(target=self._work, daemon=True).start()

    def cancel(self, key: str) -> None:
        """Let what was not begun yet be."""
        if future := self._begun.get(key):
            future.cancel()

    def _work(self) -> None:
        while True:
            future, arguments = self._queue.get()
            if not future.set_running_or_notify_cancel():
                continue
            with contextlib.suppress(Exception):  # whoever needs it tries again, and tells of it
                self._do(*arguments)
            future.set_result(None)
