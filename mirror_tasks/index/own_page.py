"""The page of a project that is served from files of the user's own: made on the spot, as an index would have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mirror_tasks.config.own_sources import OwnFile
from mirror_tasks.index.entries import Entry, project_of
from mirror_tasks.index.project import Project
from mirror_tasks.text import without_credentials

OWN = "mirror.yaml"
"""What stands for the index in the record of such a page: no index has this name, so a page of one is never taken for it."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file with what is known of it.

    :param sha256: in hexadecimal; None for one that is to be hashed when it was first fetched.
    :param size: bytes, or None.
    """

    file: OwnFile
    sha256: str | None = None
    size: int | None = None


def own_project(name: str, files: Iterable[KnownFile]) -> Project:
    """Return the project ``name`` (normalised) with its files; their credentials are left behind."""
    files = list(files)
    # Files of this machine are read only for a page that is one itself.
    urls = sorted((without_credentials(one.file.url) for one in files), key=lambda url: not url.startswith("file:"))
    project = project_of(name, urls[0].rpartition("/")[0] + "/", [_entry(one) for one in files], ("active", None))
    project.index = OWN
    return project


def _entry(one: KnownFile) -> Entry:
    hashes = {} if one.sha256 is None else {"sha256": one.sha256}
    return {
        "filename": one.file.filename,
        "url": without_credentials(one.file.url),
        "hashes": hashes,
        "size": one.size,
    }
