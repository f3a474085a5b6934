"""The pages of the projects that the user brings along: made anew where one of their files changed.

A file of a folder is hashed when the page is made. What its system says of it (size, times, inode) is kept as the page's
validator, as an index keeps an ETag: as long as that is the same, nothing is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mirror_tasks.config.own_sources import OwnFile, OwnProject
from mirror_tasks.errors import UpstreamError
from mirror_tasks.files import sha256_of, sha256_of_bytes
from mirror_tasks.index.client import Seen
from mirror_tasks.index.own_page import OWN, KnownFile, own_project
from mirror_tasks.state.records import Records
from mirror_tasks.text import without_credentials


class OwnPages:
    """Keeps the pages of own projects up to date.

    :param projects: as ``mirror.yaml`` has them.
    """

    def __init__(self, projects: Iterable[OwnProject], records: Records) -> None:
        self._projects: dict[str, OwnProject] = {one.name: one for one in projects}
        self._records = records

    def __contains__(self, name: str) -> bool:
        """Say if a project is served from the user's own files."""
        return name in self._projects

    def update(self, name: str) -> None:
        """Bring the record of a project's page up to date.

        :raises UpstreamError: a file can't be read.
        """
        files = self._projects[name].files
        validator = sha256_of_bytes(json.dumps([_state_of(file) for file in files]).encode())
        known = self._records.seen(name)
        if known is not None and (known.index, known.etag) == (OWN, validator):
            self._records.confirm_page(name)
            return
        project = own_project(name, map(_known, files))
        self._records.keep_project(project, Seen(project.url, validator, None, "", False, OWN))


def _path(file: OwnFile) -> Path | None:
    """Where a file is on this machine; None for one that has to be fetched."""
    parts = urlsplit(file.url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _state_of(file: OwnFile) -> list[str | int | None]:
    path = _path(file)
    if path is None:
        return [file.filename, without_credentials(file.url), file.sha256]
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return [file.filename, str(path), file.sha256, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _known(file: OwnFile) -> KnownFile:
    path = _path(file)
    if path is None:
        return KnownFile(file, file.sha256)
    try:
        with path.open("rb") as stream:
            return KnownFile(file, sha256_of(stream), os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UpstreamError:
    return UpstreamError("reading", str(path), error.strerror or str(error), "Put it back, or run again without it.")
