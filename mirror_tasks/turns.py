"""Turns: few threads at a time where more would only be in each other's way.

Sixteen threads hide the time that an index takes to answer. But once bytes arrive they all want the interpreter's lock,
and handing it around costs more than the work: 467 files (584 MB) from a near index took 16 threads 7.6 s and 4 threads
3.3 s, on two processors. So requests are as many as there are workers, and only a few bodies are taken in at a time,
while the system buffers the others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets a number of threads at a time do something.

    :param count: how many.
    :param patience: seconds after which who waits goes on all the same, so that slow ones hold nobody up for long.
    """

    def __init__(self, count: int, patience: float = 1.0) -> None:
        self._free = threading.Semaphore(count)
        self._patience = patience

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and give it back at the end of the block."""
        mine = self._free.acquire(timeout=self._patience)
        try:
            yield
        finally:
            if mine:
                self._free.release()


_PROCESSORS = os.cpu_count() or 2
RECEIVING = Turns(2 * _PROCESSORS)
COMPUTING = Turns(_PROCESSORS)
