"""The key ``index:`` of ``mirror.yaml``: where projects come from."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from mirror_tasks.config.bindings import normalised_pattern
from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.model import Index
from mirror_tasks.config.variables import expand
from mirror_tasks.errors import Fault

INDEX_KEYS = ("url", "projects", "name", "hashes", "upload-times", "missing", "client-cert")
"""The keys of an entry under ``index:`` that is not just a URL."""

# Statuses that say what has to change before the same request is answered: none of them can mean "not here".
_NEVER_MISSING = frozenset({407, 408, 421, 425, 426, 429, 431})


class IndexReader:
    """Reads what stands under ``index:``.

    :param block: the whole file.
    :param faults: what is wrong is added to them.
    :param folder: what paths are relative to.
    """

    def __init__(self, block: Block, faults: list[Fault], folder: Path) -> None:
        self._folder = folder
        self._block = block
        self._faults = faults

    def indexes(self) -> tuple[Index, ...] | None:
        """Return the entries; None where there is no such key."""
        value = self._block.get("index")
        if value is None:
            return None
        entries = value if isinstance(value, list) else [value]
        if not entries:
            self._block.fault("index", "expected a URL, or a list of URLs, found an empty list")
        found: dict[str, Index] = {}
        for position, entry in enumerate(entries):
            key_path = f"index[{position}]" if isinstance(value, list) else "index"
            index = self._index(entry, key_path)
            if index:
                self._keep(found, index, key_path)
        return tuple(found.values())

    def _keep(self, found: dict[str, Index], index: Index, key_path: str) -> None:
        """Keep an index, unless the same is there; ``found`` has them by their base URLs, by which credentials are told."""
        other = found.setdefault(index.base, index)
        if replace(index, url=index.url.rstrip("/")) != replace(other, url=other.url.rstrip("/")):
            self._faults.append(Fault(key_path, "this URL is listed already, with other keys; keep one of them"))
        elif index.name and other is index and index.name in [one.name for one in found.values() if one is not index]:
            self._faults.append(Fault(f"{key_path}.name", f"another index has the name {show(index.name)} already"))

    def _index(self, entry: object, key_path: str) -> Index | None:
        """Return one entry; None for one without a URL."""
        if not isinstance(entry, dict):
            return self._index_at(entry, key_path, Index(""))
        block = Block(entry, key_path, self._faults)
        block.only(INDEX_KEYS)
        index = Index(
            "",
            hashes_required=block.choice("hashes", None, ("required",)) == "required",
            upload_times=block.choice("upload-times", None, ("none",)) != "none",
            missing=self._missing(block),
            projects=self._projects(block),
            name=self._name(block),
            client_cert=self._client_cert(block),
        )
        return self._index_at(entry.get("url"), block.path("url"), index)

    def _index_at(self, url: object, key_path: str, index: Index) -> Index | None:
        try:
            url = expand(url) if isinstance(url, str) else url
        except ValueError as error:
            self._faults.append(Fault(key_path, str(error)))
            return None
        if _is_index_url(url):
            return replace(index, url=str(url).strip())
        # What it is is not shown: a misspelt URL may carry a password all the same.
        self._faults.append(Fault(key_path, "expected a URL such as https://index.example.com/simple/"))
        return None

    def _projects(self, block: Block) -> tuple[str, ...] | None:
        """Return the patterns; an empty list would be an index that serves nothing."""
        value = block.get("projects")
        if value is None:
            return None
        try:
            if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
                return tuple(dict.fromkeys(map(normalised_pattern, value)))
        except ValueError:
            pass  # told below, with all that was found
        expected = (
            "expected a list of names of projects, in which * stands for any characters, such as [ours-*, internal-lib]"
        )
        block.fault("projects", f"{expected}, found {show(value)}")
        return None

    @staticmethod
    def _name(block: Block) -> str:
        name = block.string("name", "")
        if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            expected = "a name of letters, digits and . _ - that begins with a letter or digit"
            block.fault("name", f"expected {expected}, found {show(name)}")
        return name

    def _client_cert(self, block: Block) -> str:
        text = block.string("client-cert", "")
        path = os.path.normpath(self._folder / os.path.expanduser(text))  # noqa: PTH111 (Path raises without a home)
        if text and not os.path.isfile(path):  # noqa: PTH113
            block.fault("client-cert", f"expected a file with a certificate and its key, found none: {path}")
        return path if text else ""

    def _missing(self, block: Block) -> frozenset[int]:
        value = block.get("missing")
        statuses = [] if value is None else value
        if not isinstance(statuses, list) or not all(map(_may_mean_missing, statuses)):
            problem = "expected a list of statuses from 400 to 499 that mean that a project is not there, such as [403]"
            block.fault("missing", f"{problem}, found {show(value)}")
            return frozenset()
        return frozenset(statuses)


def _may_mean_missing(status: object) -> bool:
    return type(status) is int and 400 <= status < 500 and status not in _NEVER_MISSING


def _is_index_url(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value.strip())
        port = parts.port  # raises for one that is no number, as where a password has a slash that is not encoded
        return (parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0) or parts.scheme == "file"
    except ValueError:
        return False
