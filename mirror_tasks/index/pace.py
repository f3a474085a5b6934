"""How slow an answer may be: who sends a byte now and then would hold up a run for ever.

A timeout for silence does not see that, so what is received is counted too. Only the time that is spent in waiting for bytes
counts, and not what this project does between two reads.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3


class SlowError(Exception):
    """An answer came too slowly, or its head does not end; asked again it would be no better."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow an answer may be.

    :param head: seconds that its head may take, with all `100 Continue` before it.
    :param most_head: bytes of that.
    :param patience: seconds that a body may take beside its bytes.
    :param slowest: bytes a second at which it may come; 16 at a time through 0.5 Mbit/s get twice as much each.
    :param whole: seconds that a page or metadata may take, whatever their size.
    :param clock: gives seconds that never go back.
    """

    head: float = 120.0
    most_head: int = 1 << 20
    patience: float = 60.0
    slowest: float = 2048.0
    whole: float = 1800.0
    clock: Callable[[], float] = time.monotonic


class PacedReader(io.RawIOBase):
    """What comes through a socket, for one answer, as long as it comes fast enough.

    :param raw: what it is read from.
    :param sock: with the timeout of a single read, which is shortened where less time is left.
    """

    def __init__(self, raw: Any, sock: Any, pace: Pace) -> None:
        super().__init__()
        self._raw, self._sock, self._pace = raw, sock, pace
        self._silence: float | None = sock.gettimeout()
        self._set = self._silence
        self._is_head = True
        self._waited = 0.0
        self._came = 0

    def begin_body(self) -> None:
        """Count anew: the head is complete."""
        self._is_head, self._waited, self._came = False, 0.0, 0

    def readable(self) -> bool:
        """As the base class."""
        return True

    def close(self) -> None:
        """As the base class."""
        if not self.closed:
            self._raw.close()
        super().close()

    def readinto(self, buffer: Any) -> int | None:
        """As the base class.

        :raises SlowError: it takes too long.
        """
        left = self._left()
        self._limit_to(left)
        begun = self._pace.clock()
        try:
            count: int | None = self._raw.readinto(buffer)
        except TimeoutError:
            if self._silence is None or left < self._silence:
                raise self._slow() from None
            raise
        self._waited += self._pace.clock() - begun
        self._came += count or 0
        return count

    def _left(self) -> float:
        """Return the seconds that may be waited for the next bytes.

        :raises SlowError: none are left.
        """
        pace = self._pace
        if self._is_head and self._came > pace.most_head:
            raise SlowError(f"expected the head of an answer within {pace.most_head:,} bytes, found no end of it")
        left = (pace.head if self._is_head else pace.patience + self._came / pace.slowest) - self._waited
        if left <= 0:
            raise self._slow()
        return left

    def _limit_to(self, left: float) -> None:
        limit = left if self._silence is None else min(left, self._silence)
        if limit != self._set:
            self._sock.settimeout(limit)
            self._set = limit

    def _slow(self) -> SlowError:
        pace, came = self._pace, f"found {self._came:,} bytes by then"
        if self._is_head:
            return SlowError(f"expected the head of an answer within {pace.head:g} seconds, {came}")
        expected = f"at least {pace.slowest:,.0f} bytes a second after the first {pace.patience:g}"
        return SlowError(f"expected {expected}, {came}")


def keep_pace(manager: urllib3.PoolManager, pace: Pace) -> urllib3.PoolManager:
    """Let all answers of a manager be read at a pace; return it."""

    class PacedResponse(http.client.HTTPResponse):
        """One answer."""

        def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            self.fp.close()
            self._paced = PacedReader(sock.makefile("rb", buffering=0), sock, pace)
            self.fp = io.BufferedReader(self._paced)

        def begin(self) -> None:
            """As the base class."""
            super().begin()
            self._paced.begin_body()

    pools: Any = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _paced(pool, PacedResponse) for scheme, pool in pools.items()}
    return manager


def _paced(pool: Any, response: type[http.client.HTTPResponse]) -> Any:
    connection = type(pool.ConnectionCls.__name__, (pool.ConnectionCls,), {"response_class": response})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})
