"""Sizes, counts, names and URLs in words: what messages show."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path


def let_output_have_any_text() -> None:
    """Have characters written as escapes for which output has no place: what is told may be in any script.

    Where there is no output (`>&-`), what is told goes nowhere.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def readable(size: int) -> str:
    """Return a number of bytes as people write it (decimal units)."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def with_extras(name: str, extras: Collection[str]) -> str:
    """Return a project with extras as requirements write it: ``app[fast,tls]``."""
    return f"{name}[{','.join(sorted(extras))}]" if extras else name


def counted(count: int, noun: str) -> str:
    """Return a number of things as people write it: ``1 file``, ``2 files``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


# A URL's part before the @ of its host ends with the first of / ? # (RFC 3986, 3.2): a later @ belongs to its path, as in
# git+file:///repository@v1.0.
_CREDENTIALS = re.compile(r"://([^/?#\s]*)@")


# A password in which these are not encoded makes no URL: what seems to be a port then is no number.
_MISSPELT = re.compile(r"://([^/?#\s@:\[]+):(?![^/?#\s]*@|\d*(?:[/?#\s'\",;)\]>]|$))\S*@")


def and_more(names: Sequence[str]) -> str:
    """Return what is said behind the first of some names: how many others there are."""
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def redact(text: str) -> str:
    """Return ``text`` with the passwords of URLs in it hidden; a name without a password may be a token, and is, too."""
    return _CREDENTIALS.sub(_without_password, _MISSPELT.sub(r"://\1:***@", text))


def printable(text: str) -> str:
    """Return ``text`` as it can stand in a message: what moves the cursor, or is no character, as a replacement character."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _without_password(match: re.Match[str]) -> str:
    user, colon, _ = match[1].partition(":")
    return f"://{user}:***@" if colon and user else "://***@"


def without_credentials(url: str) -> str:
    """Return ``url`` as it may be stored and asked for; what may be no URL is shown by :func:`redact`."""
    return re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#]*@", r"\1//", url)


def total(sizes: Iterable[int | None]) -> str:
    """Return the sum of sizes in bytes as people write it; of what an index does not give it is said that it is unknown."""
    known, unknown = 0, 0
    for size in sizes:
        known, unknown = known + (size or 0), unknown + (size is None)
    if not unknown:
        return readable(known)
    more = f"{unknown} {'file' if unknown == 1 else 'files'} of unknown size"
    return f"{readable(known)} and {more}" if known else "size unknown"
