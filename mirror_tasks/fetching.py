"""One file: fetched, checked, read. What takes time and no knowledge of anything else, so that any process can do it.

Functions take all they need as arguments and return what was found; nothing is remembered but open connections.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from mirror_tasks.closure import Unusable
from mirror_tasks.errors import MetadataError, UpstreamError
from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.metadata import CoreMetadata, parse_metadata, sdist_metadata, wheel_metadata
from mirror_tasks.pages import File, is_wheel, parse_page
from mirror_tasks.records import Records
from mirror_tasks.upstream import Upstream, Way

Progress = Callable[[int], None]

_MOST_METADATA = 64 << 20  # bytes; the limit that the largest index has for the METADATA it serves


@lru_cache(maxsize=8)
def _upstream(way: Way) -> Upstream:
    return Upstream.along(way)


def fetch_page(way: Way, name: str, folder: Path, _: Progress) -> bool:
    """Bring the record of a project's page up to date; say if the index has such a project.

    :param folder: of the records.
    :raises UpstreamError: the page can't be had, or the project vanished since it was last seen.
    :raises PageError: the page can't be read.
    """
    records = Records(folder)
    known = records.seen(name)
    try:
        page = _upstream(way).page(name, known)
    except UpstreamError as error:
        if error.status == 404 and known is None:
            return False
        raise
    if page is None:
        records.confirm_page(name)
    else:
        records.keep_project(parse_page(page.body, page.content_type, page.url, name), page.seen)
    return True


def read_wheel(
    way: Way, file: File, path: Path, is_there: bool, _: Progress
) -> tuple[CoreMetadata | Unusable, str | None]:
    """Return a wheel's core metadata and the SHA-256 of its METADATA, having fetched little more than that.

    It is read from the wheel if that is there, else from an announced sidecar, else from the end of the wheel, by ranges.

    :param path: where the wheel is, or is kept if the server gives no ranges, so that all of it had to be fetched.
    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    try:
        content = _metadata_at(path, file) if is_there else _read_metadata(_upstream(way), file, path)
        return parse_metadata(content, file.filename), sha256_of_bytes(content)
    except MetadataError as error:
        return _unusable(error), None


def _metadata_at(path: Path, file: File) -> bytes:
    with path.open("rb") as archive:
        return wheel_metadata(archive, file.filename)


def _read_metadata(upstream: Upstream, file: File, keep: Path) -> bytes:
    if file.core_metadata is not None:
        return upstream.read(f"{file.url}.metadata", limit=_MOST_METADATA, sha256=file.core_metadata.get("sha256"))
    with upstream.wheel(file, keep) as archive:
        return wheel_metadata(archive, file.filename)


def read_sdist(way: Way, file: File, path: Path, is_there: bool, progress: Progress) -> CoreMetadata | Unusable:
    """Return an sdist's core metadata, which only the whole of it tells.

    :param path: where it is, or where it is brought first.
    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    if not is_there:
        _upstream(way).download(file, path, progress)
    try:
        with path.open("rb") as archive:
            return sdist_metadata(archive, file.filename)
    except MetadataError as error:
        return _unusable(error)


def fetch(way: Way, file: File, path: Path, progress: Progress) -> None:
    """Bring a file to its place.

    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    _upstream(way).download(file, path, progress)


def download(way: Way, file: File, path: Path, is_there: bool, progress: Progress) -> bytes | Unusable | None:
    """Bring a file to its place; return the METADATA of a wheel.

    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what the index announced.
    """
    if not is_there:
        _upstream(way).download(file, path, progress)
    if not is_wheel(file.filename):
        return None
    try:
        return _metadata_at(path, file)
    except MetadataError as error:
        return _unusable(error)


def _unusable(error: MetadataError) -> Unusable:
    return Unusable(f"{error.subject}: {error.problem}")
