"""A project as its index shows it: its releases and their files.

A page may list ten thousand files of which a run looks at twenty, so what a page says of a file is kept as a
:data:`Row`, and becomes a :class:`File` only when its version is asked for. As it is kept on disk, a project has a line
for each version, and only those that are asked for are read.
"""

from __future__ import annotations

import importlib.util
import json
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter, itemgetter
from sys import intern
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from packaging.version import Version

if TYPE_CHECKING or importlib.util.find_spec("orjson") is None:
    _encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

    def _dumps(value: object) -> bytes:
        return _encode(value).encode()

else:  # the same bytes, in a fifth of the time
    from orjson import dumps as _dumps

# What a page says of a file, checked, in the order of File's fields and half the size of an entry: a link, and where
# hashes are a sha256 alone, that. A page of JSON is written as the same.
Row = tuple[str, str, Any, "int | None", "str | None", Any, Any, "str | None", "str | None"]

LineAt = Callable[[int], bytes]
"""Reads a line once more of what a project was read from; given the position where it begins."""

_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[1-5]?[0-9]{1,4})?/[!-\"$-?A-~]*").fullmatch  # no "#" and no "@"
_SCHEMES = ("https", "http", "file")
_release = attrgetter("release")
_FILENAME = itemgetter(0)


@dataclass(frozen=True, slots=True)
class File:
    """One file as its index announces it.

    :param filename: the last part of a path, checked to be safe as one.
    :param url: absolute, without fragment and without credentials.
    :param hashes: hexadecimal digests by algorithm, in lower case. Where ``sha256`` is not among them, the file has to be
        fetched before it can be told from another; what is chosen for a mirror has it.
    :param size: bytes, or None where the index does not say.
    :param requires_python: the specifier as announced, or None.
    :param yanked: None if it is not yanked, else the reason, which may be empty.
    :param core_metadata: None if no sidecar is announced, else its hashes by algorithm, which may be none.
    :param upload_time: ISO 8601, as announced, or None.
    :param provenance: the URL of its provenance object (PEP 740), absolute, or None where the index offers none.
    """

    filename: str
    url: str
    hashes: Mapping[str, str] = field(hash=False)
    size: int | None
    requires_python: str | None
    yanked: str | None
    core_metadata: Mapping[str, str] | None = field(hash=False)
    upload_time: str | None
    provenance: str | None = None  # plans of versions that did not read it have no such key


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was found of a file when it was first fetched, for which its page gives no sha256.

    :param announced: the hashes that its page gave then.
    """

    sha256: str
    size: int
    announced: Mapping[str, str] = field(hash=False)

    def fits(self, file: File) -> bool:
        """Say if what the page says now is still what it said."""
        agrees = all(self.announced.get(algorithm, digest) == digest for algorithm, digest in file.hashes.items())
        return agrees and file.size in (None, self.size)

    def put_to(self, file: File) -> File:
        """Return the file as if its page gave this."""
        return replace(file, hashes={**file.hashes, "sha256": self.sha256}, size=self.size)


class Project:
    """A project as its page shows it.

    :ivar name: normalised.
    :ivar status: ``active``, ``archived``, ``quarantined`` or ``deprecated`` (PEP 792), or what the page says instead.
    :ivar status_reason: why, as the index says it, or None.
    :ivar versions: newest first, each with at least one file.
    :ivar skipped: (file name, reason) of each file that can't be used anywhere; a hostile name is shown as its repr.
    :ivar url: its page's own.
    :ivar index: the base URL of the index that served it, without credentials.
    :ivar unhashed: the names of the files for which the page gives no sha256.
    :ivar further: the URLs of the pages of which files were added to it (:mod:`mirror_tasks.index.further_pages`).
    :ivar added: of these files, by name, the base URL of the index that each is from.
    """

    __slots__ = (
        "_files",
        "_fingerprints",
        "_lines",
        "added",
        "further",
        "index",
        "name",
        "skipped",
        "status",
        "status_reason",
        "unhashed",
        "url",
        "versions",
    )

    def __init__(
        self,
        name: str,
        url: str,
        files: Mapping[Version, list[Row] | bytes],
        skipped: Iterable[tuple[str, str]],
        status: tuple[str, str | None] = ("active", None),
        *,
        index: str = "",
        unhashed: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.status, self.status_reason = status
        # Versions compare slowly, their release numbers fast: sorted by those first, few comparisons are left.
        self.versions = tuple(sorted(sorted(files, key=_release, reverse=True), reverse=True))
        self.skipped = tuple(skipped)
        self.url = url
        self.index = index
        self.unhashed = frozenset(unhashed)
        self.further: tuple[str, ...] = ()
        self.added: Mapping[str, str] = {}
        self._fingerprints: Mapping[str, Fingerprint] = {}
        self._files: dict[Version, list[Row] | bytes | tuple[File, ...]] = {**files}
        self._lines: _Lines | None = None  # of versions that were not asked for yet

    @property
    def pages(self) -> str:
        """The URLs of all pages that it was read from, as they are told."""
        *others, last = (self.url, *self.further)
        return f"{', '.join(others)} and {last}" if others else last

    def files(self, version: Version) -> tuple[File, ...]:
        """Return the files of ``version``, sorted by name, each once; none where the project has no such version."""
        found = self._files.get(version)
        if found is None:
            found = self._lines.of(version) if self._lines else ()
        if not isinstance(found, tuple):
            # Two threads may both come here: they build equal tuples, and either may stay.
            rows = found if isinstance(found, list) else json.loads(found)
            found = tuple(self._recognised(file_of(row, self.url)) for row in sorted(rows, key=_FILENAME))
            self._files[version] = found
        return found

    def index_of(self, filename: str) -> str:
        """Return the base URL of the index that one of the files is from, without credentials."""
        return self.added.get(filename, self.index)

    def all_files(self) -> Iterator[File]:
        """Yield every file, the newest version's first."""
        for version in self.versions:
            yield from self.files(version)

    def to_bytes(self) -> bytes:
        """Return the project as it is kept, as it was read: a line for all of it, then a line for each version."""
        head = [
            self.name,
            self.url,
            self.status,
            self.status_reason,
            self.skipped,
            self.index,
            sorted(self.unhashed),
        ]
        lines = (b"%b\t%b" % (str(version).encode(), _dumps(self._files[version])) for version in self.versions)
        return b"\n".join([_dumps(head), *lines])

    @classmethod
    def from_bytes(cls, content: bytes, begin: int = 0, line_at: LineAt | None = None) -> Project:
        """Return the project that :meth:`to_bytes` was called on.

        :param begin: where what that gave begins in ``content``.
        :param line_at: reads a line of ``content`` once more; the lines of versions are then read when these are asked for.
        :raises ValueError: it did not make these bytes.
        """
        end = _end_of_line(content, begin)
        name, url, status, reason, skipped, index, unhashed = json.loads(content[begin:end])
        project = cls(name, url, {}, map(tuple, skipped), (status, reason), index=index, unhashed=unhashed)
        versions: list[Version] = []  # they were written in order
        begins = array("Q")
        while end < len(content):
            begins.append(content.index(b"\t", end) + 1)
            versions.append(_version(content[end + 1 : begins[-1] - 1]))
            end = _end_of_line(content, begins[-1])
        project.versions = tuple(versions)
        if line_at is None:
            ends = (_end_of_line(content, begin) for begin in begins)
            lines = (content[begin:end] for begin, end in zip(begins, ends, strict=True))
            project._files = dict(zip(versions, lines, strict=True))
        else:
            project._lines = _Lines(project.versions, begins, line_at)
        return project

    def only(self, files: Mapping[Version, Mapping[str, File]]) -> Project:
        """Return the project as if its page showed only these files, by version and name."""
        project = Project(self.name, self.url, {}, (), (self.status, self.status_reason), index=self.index)
        project.versions = tuple(sorted(files, reverse=True))
        project.further, project.added = self.further, self.added
        project._files = {version: tuple(named[name] for name in sorted(named)) for version, named in files.items()}
        return project

    def with_further(
        self,
        files: Mapping[Version, Sequence[File]],
        skipped: Iterable[tuple[str, str]],
        urls: Iterable[str],
        index: str = "",
    ) -> Project:
        """Return the project as if its page showed more files, and more of those that can't be used.

        :param files: of names that it does not have, by version.
        :param urls: of the pages that were looked at for them.
        :param index: the base URL of the index that these are of.
        """
        status = (self.status, self.status_reason)
        every = (*self.skipped, *skipped)
        project = Project(self.name, self.url, {}, every, status, index=self.index, unhashed=self.unhashed)
        project.versions = tuple(sorted({*self.versions, *files}, reverse=True))
        project.further = (*self.further, *urls)
        project.added = {**self.added, **{file.filename: index for added in files.values() for file in added}}
        project._fingerprints = self._fingerprints
        project._lines = self._lines
        more = {
            version: tuple(sorted((*self.files(version), *added), key=attrgetter("filename")))
            for version, added in files.items()
        }
        project._files = {**self._files, **more}
        return project

    def with_fingerprints(self, known: Mapping[str, Fingerprint]) -> Project:
        """Return the project as if its page gave what is known, by file name, of the files for which it gives no sha256.

        What is known of a file of which the page says something else now is not put to it.
        """
        status = (self.status, self.status_reason)
        project = Project(self.name, self.url, {}, self.skipped, status, index=self.index, unhashed=self.unhashed)
        project.versions = self.versions
        project.further, project.added = self.further, self.added
        project._fingerprints = known
        project._lines = self._lines
        project._files = {
            version: tuple(map(project._recognised, files)) if isinstance(files, tuple) else files
            for version, files in self._files.items()
        }
        return project

    def _recognised(self, file: File) -> File:
        known = None if "sha256" in file.hashes else self._fingerprints.get(file.filename)
        return known.put_to(file) if known and known.fits(file) else file

    def without_unhashed(self, reason: str) -> Project:
        """Return the project with the files skipped for which its page gives no sha256."""
        files = {
            version: [file for file in self.files(version) if file.filename not in self.unhashed]
            for version in self.versions
        }
        project = self.only(
            {version: {file.filename: file for file in left} for version, left in files.items() if left}
        )
        project.skipped = (*self.skipped, *((name, reason) for name in sorted(self.unhashed)))
        return project


class _Lines:
    """The lines of a record, of which each is read when its version is asked for.

    A large plan has 100,000 versions, of which 4,000 are asked for: a dictionary of all takes 80 bytes for each.

    :param versions: newest first.
    :param begins: where the line of each begins.
    """

    __slots__ = ("_begins", "_line_at", "_versions")

    def __init__(self, versions: tuple[Version, ...], begins: array[int], line_at: LineAt) -> None:
        self._versions = versions
        self._begins = begins
        self._line_at = line_at

    def of(self, version: Version) -> bytes | tuple[()]:
        """Return the line of a version; nothing where there is none."""
        at = bisect_left(range(len(self._versions)), True, key=lambda at: self._versions[at] <= version)
        if at == len(self._versions) or self._versions[at] != version:
            return ()
        return self._line_at(self._begins[at])


@lru_cache(maxsize=1 << 15)
def _version(text: bytes) -> Version:
    """Return a version as it is kept, one object for all projects: 100,000 of 1,160 projects are 27,000 texts."""
    return Version(text.decode())


def _end_of_line(content: bytes, begin: int) -> int:
    found = content.find(b"\n", begin)
    return len(content) if found < 0 else found


def file_of(row: Row, base: str) -> File:
    """Return the file that a row is of; ``base`` is the URL on which its link is based."""
    filename, url, hashes, size, requires_python, yanked, metadata, upload_time, provenance = row
    return File(
        filename,
        absolute(base, url),
        digests(hashes),
        size,
        intern(requires_python) if requires_python else None,  # all files of a project say the same few
        # PEP 592: a reason may be missing. An empty text is no boolean false: uv takes it as yanked, and so does this.
        None if yanked is None or yanked is False else "" if yanked is True else yanked,
        {} if metadata is True else None if metadata is False else digests(metadata),
        upload_time or None,
        (absolute(base, provenance) or None) if provenance else None,
    )


def digests(announced: str | Mapping[str, str]) -> dict[str, str]:
    """Return the hashes in a row by algorithm, all in lower case."""
    if isinstance(announced, str):
        return {"sha256": announced.lower()}
    return {algorithm.lower(): digest.lower() for algorithm, digest in announced.items()}


def absolute(base: str, link: str) -> str:
    """Return ``link`` as an absolute URL without fragment and credentials; empty where no scheme known here is left.

    A page fetched over the network may not name files of this machine.
    """
    if _PLAIN_URL(link):  # nearly every one; what follows would return it too
        return link
    try:
        parts = urlsplit(urldefrag(urljoin(base, link)).url)
        if parts.scheme not in _SCHEMES or (parts.scheme == "file" and not base.startswith("file:")):
            return ""
        if parts.scheme != "file" and (not parts.hostname or parts.port == 0):  # a port that is none raises
            return ""
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
