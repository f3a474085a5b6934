"""Whether a ``Pipfile.lock`` is older than the ``Pipfile`` beside it: by the hash of the Pipfile that Pipenv writes into it.

The hash is the SHA-256 of JSON with sorted keys and without spaces: ``_meta`` with the sources and what is required of
Python, and the packages of each section, under the section's name in the lock. Pipenv normalises their names since a while;
before it took them as they stood. A Pipfile without sources is not judged: Pipenv puts in what pip is set to where it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import tomli
from packaging.utils import canonicalize_name

from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.requirement_files import read_text

_LARGEST = 16 << 20  # bytes
_NO_PACKAGES = ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv", "default", "develop")


def stale(path: Path) -> str:
    """Say in a sentence that a lock is older than the Pipfile beside it; empty where it is not, or can't be judged.

    :param path: of a lock that :func:`.pipfile_lock.read` reads.
    """
    try:
        lock = Table(json.loads(read_text(path, _LARGEST)), "", "")
        pipfile = Table(tomli.loads(read_text(path.with_name("Pipfile"), _LARGEST)), "", "")
        locked = lock.table("_meta").table("hash").text("sha256")
        hashes = {content_hash(pipfile, written) for written in (canonicalize_name, str)}
    except (ValueError, TypeError, RecursionError):  # TypeError: of json, on a date
        return ""  # what is wrong with the lock is said where it is read, and a Pipfile is not needed
    if locked is None or locked in hashes or not pipfile.has("source"):
        return ""
    return (
        "the Pipfile has changed since the lock was made; `pipenv install --deploy` refuses such a lock and `pipenv sync`"
        " installs from it: run `pipenv lock`"
    )


def content_hash(pipfile: Table, written: Callable[[str], str]) -> str:
    """Return the hash of a Pipfile.

    :param written: what is made of the name of a package.
    """

    def packages(key: str) -> Mapping[str, object]:
        section = pipfile.table(key)
        return {written(name): section.get(name) for name in section.keys}

    content = {
        "_meta": {
            "sources": pipfile.get("source"),
            "requires": pipfile.get("requires") if pipfile.has("requires") else {},
        },
        "default": packages("packages"),
        "develop": packages("dev-packages"),
        **{key: packages(key) for key in pipfile.keys if key not in _NO_PACKAGES},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
