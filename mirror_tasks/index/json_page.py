"""A project's page in JSON (PEP 691) becomes a :class:`Project`."""

from __future__ import annotations

import json
import re
from typing import Any

from packaging.utils import canonicalize_name

from mirror_tasks.index.entries import MOST_FILES, Entry, check_api, project_of, refused, status_of
from mirror_tasks.index.project import Project

_MOST_CONTAINERS = 500_000  # of a JSON page, objects and lists: a file has two to four
_MOST_VALUES = 2_000_000  # of a JSON page: a file has a dozen
# Half a character, escaped or as it is; two patterns, for each begins with bytes that are looked for fast.
_HALVES = (re.compile(rb"\\u[dD][89a-fA-F]").search, re.compile(rb"\xed[\xa0-\xbf]").search)


def read_json(body: bytes, url: str, name: str) -> Project:
    """Read the page of the project ``name`` (normalised), fetched from ``url``.

    :raises PageError: it is no such page, or a larger one than is read.
    """
    page = _load(body, url)
    files = page.get("files")
    if not isinstance(files, list):
        raise refused(url, "expected a list of files, found none")
    if len(files) > MOST_FILES:
        raise refused(url, f"expected at most {MOST_FILES:,} files, found {len(files):,}")
    meta = page.get("meta")
    check_api(meta.get("api-version") if isinstance(meta, dict) else None, url)
    stated = page.get("name", name)
    if not isinstance(stated, str) or canonicalize_name(stated) != name:
        raise refused(url, f"expected the page of {name}, found that of {stated!r:.100}")
    status = page.get("project-status")
    return project_of(name, url, files, status_of(status) if isinstance(status, dict) else ("active", None))


def _load(body: bytes, url: str) -> Entry:
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):  # RFC 8259, 8.1: it has to be UTF-8; pip takes UTF-16 and UTF-32 all the same
        body = body.decode(encoding, "replace").encode()
    _check_count(body, url)
    try:
        page = _loads(body)
        if any(half(body) for half in _HALVES):
            # It can't be written to any file: it becomes a question mark here, once.
            page = _loads(json.dumps(page, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise refused(url, f"expected JSON, found something else ({error})") from error
    if not isinstance(page, dict):
        raise refused(url, f"expected a JSON object, found {type(page).__name__}")
    return page


def _number(text: str) -> int | str:
    """A number that no machine has becomes text: some releases of Python take quadratic time to read it, others refuse."""
    return int(text) if len(text) < 20 else text


def _fraction(text: str) -> float | str:
    return float(text) if len(text) < 100 else text


def _loads(body: bytes) -> Any:
    return json.loads(body, parse_int=_number, parse_float=_fraction)


def _check_count(body: bytes, url: str) -> None:
    """Refuse a page of which few bytes grow to much memory: an empty object takes 25 times what is written of it."""
    containers, values = body.count(b"{") + body.count(b"["), body.count(b",")
    if containers > _MOST_CONTAINERS or values > _MOST_VALUES:
        expected = f"expected at most {_MOST_CONTAINERS:,} objects and lists and {_MOST_VALUES:,} values"
        raise refused(url, f"{expected}, found {containers:,} and {values:,}")
