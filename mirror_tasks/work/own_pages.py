"""The pages of the projects that the user brings along: made anew where one of their files changed.

A file of a folder is hashed when the page is made. What its system says of it (size, times, inode) is kept as the page's
validator, as an index keeps an ETag: as long as that is the same, nothing is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mirror_tasks.config.own_git import GitSource
from mirror_tasks.config.own_sources import OwnFile, OwnProject
from mirror_tasks.errors import UpstreamError
from mirror_tasks.files import sha256_of, sha256_of_bytes, state_of
from mirror_tasks.index.own_page import OWN, KnownFile, own_project
from mirror_tasks.index.served_page import Seen
from mirror_tasks.state.records import Records
from mirror_tasks.text import without_credentials

_State = Sequence[Sequence[str | int | None]]  # of the files of a project: where it is the same, they are


class OwnPages:
    """Keeps the pages of own projects up to date.

    :param projects: as ``mirror.yaml`` has them.
    :param build: returns what is built from a repository for the project of a name.
    """

    def __init__(
        self,
        projects: Iterable[OwnProject],
        records: Records,
        build: Callable[[str, GitSource], Iterable[KnownFile]] | None = None,
    ) -> None:
        self._build = build
        self._projects: dict[str, OwnProject] = {one.name: one for one in projects}
        self._records = records

    def __contains__(self, name: str) -> bool:
        """Say if a project is served from the user's own files."""
        return name in self._projects

    def update(self, name: str) -> None:
        """Bring the record of a project's page up to date.

        :raises UpstreamError: a file can't be read, or a repository can't be had.
        :raises MetadataError: a repository can't be built.
        """
        one = self._projects[name]
        if one.git is None:
            state = [_state_of(file) for file in one.files]
            self._keep(name, state, lambda: map(_known, one.files))
        else:
            assert self._build is not None, "who has repositories can build them"
            built = list(self._build(name, one.git))
            self._keep(name, [[file.file.url, file.sha256] for file in built], lambda: built)

    def _keep(self, name: str, state: _State, files: Callable[[], Iterable[KnownFile]]) -> None:
        """Keep the page of a project, unless it was made when everything was in the state that it is in now."""
        validator = sha256_of_bytes(json.dumps(state).encode())
        known = self._records.seen(name)
        if known is not None and (known.index, known.etag) == (OWN, validator):
            self._records.confirm_page(name)
            return
        project = own_project(name, files())
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
        return [file.filename, str(path), file.sha256, *state_of(path)]
    except OSError as error:
        raise _unreadable(path, error) from error


def _known(file: OwnFile) -> KnownFile:
    path = _path(file)
    if path is None:
        return KnownFile(file, file.sha256)
    try:
        with path.open("rb") as stream:
            # where the user says the hash, whoever copies the file compares, and says both
            return KnownFile(file, file.sha256 or sha256_of(stream), os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UpstreamError:
    return UpstreamError("reading", str(path), error.strerror or str(error), "Put it back, or run again without it.")
