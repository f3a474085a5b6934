"""A port that stays the test's own, also while nobody listens at it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a port of 127.0.0.1, for servers that have to be told a number: a foreign one, or two that follow each other.

    A socket that is bound, and does not listen, keeps the system from handing out its port to those who ask for any.
    Who asks for this one, with SO_REUSEADDR as servers do, gets it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
