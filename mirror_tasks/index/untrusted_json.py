"""JSON that nobody vouches for, read in time and memory that grow with its size and not faster."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or importlib.util.find_spec("orjson") is None:

    def _fast_loads(_body: bytes) -> Any:
        raise ValueError("there is no faster reader")

else:  # the same in half the time; it takes fewer things for JSON
    from orjson import loads as _fast_loads

# Half a character, escaped or as it is; two patterns, for each begins with bytes that are looked for fast.
_HALVES = (re.compile(rb"\\u[dD][89a-fA-F]").search, re.compile(rb"\xed[\xa0-\xbf]").search)


def read_untrusted(body: bytes, *, most_containers: int, most_values: int) -> Any:
    """Return the value that ``body`` is written of.

    :param most_containers: objects and lists; an empty object takes 25 times what is written of it.
    :param most_values: of all objects and lists.
    :raises ValueError: it is not JSON, or more of it; says what was expected and found.
    """
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):  # RFC 8259, 8.1: it has to be UTF-8; pip takes UTF-16 and UTF-32 all the same
        body = body.decode(encoding, "replace").encode()
    containers, values = body.count(b"{") + body.count(b"["), body.count(b",")
    if containers > most_containers or values > most_values:
        expected = f"expected at most {most_containers:,} objects and lists and {most_values:,} values"
        raise ValueError(f"{expected}, found {containers:,} and {values:,}")
    try:
        return _fast_loads(body)
    except ValueError:
        return _lenient(body)


def _lenient(body: bytes) -> Any:
    """Return the value of what is JSON, or what the standard library, and so pip, takes for it."""
    try:
        value = _loads(body)
        if any(half(body) for half in _HALVES):
            # It can't be written to any file: it becomes a question mark here, once.
            value = _loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON, found something else ({error})") from error
    return value


def _number(text: str) -> int | str:
    """A number that no machine has becomes text: some releases of Python take quadratic time to read it, others refuse."""
    return int(text) if len(text) < 20 else text


def _fraction(text: str) -> float | str:
    return float(text) if len(text) < 100 else text


def _loads(body: bytes) -> Any:
    return json.loads(body, parse_int=_number, parse_float=_fraction)
