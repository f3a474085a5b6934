"""What the processes beside the first are given to do: one page or file, fetched, checked, read.

Each job takes all that it needs as arguments and returns what it found; nothing is remembered but open connections.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, read_metadata, reason_of
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.archives.wheel import wheel_metadata
from mirror_tasks.errors import MetadataError, MirrorError, PageError, UpstreamError
from mirror_tasks.files import holds, sha256_of_bytes, write_whole
from mirror_tasks.index import attestations
from mirror_tasks.index.client import Route, Upstream
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.project import File
from mirror_tasks.layout import metadata_path, withdraw
from mirror_tasks.policy.index_records import address, matches_in, no_api
from mirror_tasks.state.places import further_record
from mirror_tasks.state.records import MetadataRecord, Records
from mirror_tasks.state.release_advisories import ReleaseAdvisories, confirm, keep, kept

Progress = Callable[[int], None]

_PARSING = threading.Lock()  # a page of 7 MB takes 46 MB to parse: one at a time in a process

_ASKING = "asking for the advisories at"
_NOT_KNOWN = (404, 410)
_MOST_METADATA = 64 << 20  # bytes; the limit that the largest index has for the METADATA it serves


@dataclass(frozen=True, slots=True)
class Wheel:
    """What a wheel says of itself.

    :param metadata_sha256: of its METADATA; None where it has none that can be told from others.
    """

    metadata: CoreMetadata | Unusable
    metadata_sha256: str | None

    def record(self, file_sha256: str) -> MetadataRecord:
        """Return what is kept of it; the hash of METADATA that can't be used is of no use.

        :param file_sha256: of the wheel.
        """
        sha256 = None if isinstance(self.metadata, Unusable) else self.metadata_sha256
        return MetadataRecord(file_sha256, self.metadata, sha256)


@lru_cache(maxsize=8)
def _upstream(route: Route) -> Upstream:
    return Upstream.by_route(route)


def update_page(route: Route, name: str, folder: Path, further: str = "") -> bool:
    """Bring the record of a project's page up to date; say if the index has such a project.

    :param folder: of the records.
    :param further: the base URL of the further index whose page it is; empty for the one that serves the project.
    :raises UpstreamError: the page can't be had, or the project vanished since it was last seen.
    :raises PageError: the page can't be read.
    """
    records, record = Records(folder), further_record(name, further)
    known = records.seen(record)
    if known is not None and known.index == OWN:
        known = None  # it was served from the user's own files until now, so this index never had it
    try:
        page = _upstream(route).page(name, known, further)
    except UpstreamError as error:
        if error.status == 404 and known is None:
            return False
        raise
    if page is None:
        records.confirm_page(record)
    else:
        with _PARSING:
            project = parse_page(page.body, page.content_type, page.url, name, page.index)
            records.keep_project(project, page.seen, record)
    return True


def update_pages(
    route: Route, projects: Sequence[Sequence[tuple[str, str]]], folder: Path
) -> Sequence[bool | MirrorError]:
    """Bring the records of the pages of several projects up to date; return for each what :func:`update_page` did, or raised.

    It ends with the first that can't be had: an index that is not there would be waited for as often as there are pages.

    :param projects: of each the pages to ask for, the next only where there was the one before: name, and further index.
    """
    found: list[bool | MirrorError] = []
    for pages in projects:
        found.append(_updated(route, pages, folder))
        if isinstance(found[-1], MirrorError):
            break
    return found


def _updated(route: Route, pages: Iterable[tuple[str, str]], folder: Path) -> bool | MirrorError:
    try:
        return all(update_page(route, name, folder, further) or further for name, further in pages)
    except MirrorError as error:
        return error


def update_advisories(route: Route, base: str, name: NormalizedName, version: Version, folder: Path) -> None:
    """Bring the record up to date of what an index says against a release.

    :param base: the base URL of the index that serves the project.
    :param folder: of the records.
    :raises UpstreamError: it can't be had.
    :raises AdvisoryError: the index has no such API.
    """
    records, url = Records(folder), address(base, name, version)
    known = kept(records, name, version)
    seen = known.seen if known and known.asked == url else None
    try:
        page = _upstream(route).document(url, seen, _ASKING)
    except UpstreamError as error:
        if error.status not in _NOT_KNOWN:
            raise
        _check_api(route, base, name, error)
        keep(records, name, version, ReleaseAdvisories(None, url, url, None, None, 0))
        return
    if page is None:
        confirm(records, name, version)
        return
    matches = matches_in(page.body, url, name, version)
    keep(records, name, version, ReleaseAdvisories(matches, url, page.url, page.etag, page.last_modified, 0))


def _check_api(route: Route, base: str, name: str, reason: UpstreamError) -> None:
    """Look if an index that does not know a release knows its project: it serves its page, so else it has no such API."""
    url = address(base, name, None)
    try:
        _upstream(route).document(url, None, _ASKING)
    except UpstreamError as error:
        if error.status in _NOT_KNOWN:
            problem = f"expected its JSON API at {url}, found status {error.status}"
            raise no_api(base, problem) from reason
        raise


def fetch_file(route: Route, file: File, path: Path, progress: Progress) -> str:
    """Bring a file to its place, and return its SHA-256.

    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    return _upstream(route).download(file, path, progress)


def fetch_wheel(route: Route, file: File, path: Path, output: Path, progress: Progress) -> Wheel:
    """Bring a wheel to its place, have its METADATA beside it, and return what it says.

    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    fetch_file(route, file, path, progress)
    return read_wheel(path, output)


def read_sidecar(route: Route, file: File) -> Wheel:
    """Return what the core metadata says that the index announces beside a wheel.

    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    upstream, sha256 = _upstream(route), (file.core_metadata or {}).get("sha256")
    return _parse_metadata_of(
        lambda: upstream.read(f"{file.url}.metadata", limit=_MOST_METADATA, sha256=sha256), file.filename
    )


def fetch_provenance(route: Route, url: str) -> Mapping[str, Any]:
    """Return the provenance object at ``url``.

    :raises UpstreamError: it can't be had.
    :raises PageError: what is there is none.
    """
    content = _upstream(route).read(url, limit=attestations.MOST_BYTES)
    try:
        return attestations.read_object(content)
    except ValueError as error:
        advice = "Report it to whoever runs the index."
        raise PageError("reading the provenance object", url, str(error), advice) from error


def read_remote_wheel(route: Route, file: File, keep: Path) -> Wheel:
    """Return what a wheel says, having fetched little more than its end, by ranges.

    :param keep: where the wheel is kept if the server gives no ranges, so that all of it had to be fetched.
    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    with _upstream(route).wheel(file, keep) as archive:
        return _parse_metadata_of(lambda: wheel_metadata(archive, file.filename, whole=False), file.filename)


def read_wheel(path: Path, output: Path) -> Wheel:
    """Return what the wheel at ``path`` says, and have its METADATA beside it, where publishing finds it.

    :param output: the mirror, which ceases to say that it is whole before a file of it is changed.
    """

    def read() -> bytes:
        with path.open("rb") as archive:
            content = wheel_metadata(archive, path.name)
        _put_beside(path, content, output)
        return content

    return _parse_metadata_of(read, path.name)


def _put_beside(wheel: Path, metadata: bytes, output: Path) -> None:
    place = metadata_path(wheel)
    if not holds(place, metadata):
        if wheel.is_relative_to(output) and os.path.lexists(place):
            withdraw(output)
        write_whole(place, metadata, durable=False)


def _parse_metadata_of(read: Callable[[], bytes], filename: str) -> Wheel:
    try:
        content = read()
    except MetadataError as error:
        return Wheel(Unusable(reason_of(error)), None)
    return Wheel(read_metadata(content, filename), sha256_of_bytes(content))


def read_sdist(path: Path) -> CoreMetadata | Unusable:
    """Return what the sdist at ``path`` says; only the whole of it tells."""
    try:
        with path.open("rb") as archive:
            return sdist_metadata(archive, path.name)
    except MetadataError as error:
        return Unusable(reason_of(error))
