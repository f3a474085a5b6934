"""Files of this machine, read as if an index served them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mirror_tasks.errors import UpstreamError
from mirror_tasks.files import replacing
from mirror_tasks.index.project import File
from mirror_tasks.index.transfers import CHUNK, Digests, wrong_size


def local_path(url: str) -> Path:
    """Return where a ``file:`` URL leads."""
    return Path(url2pathname(urlsplit(url).path))


def opened(url: str) -> BinaryIO:
    """Open the file at a ``file:`` URL.

    :raises UpstreamError: it can't be opened; its status is 404 if there is none.
    """
    try:
        return local_path(url).open("rb")
    except OSError as error:
        raise unreadable(url, error) from error


def unreadable(url: str, error: OSError) -> UpstreamError:
    """Return the error for a file that can't be read; its status is 404 if there is none."""
    problem = error.strerror or str(error)
    status = 404 if isinstance(error, FileNotFoundError) else None
    return UpstreamError("reading", url, problem, "Check the index's folder.", status=status)


def read_at_most(stream: BinaryIO, limit: int, url: str) -> bytes:
    """Return all that is in a file.

    :raises UpstreamError: that is more than ``limit`` bytes. To cut it off there would lose what nobody would miss.
    """
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise UpstreamError(
            "reading", url, f"expected at most {limit:,} bytes, found more", "Check the index's folder."
        )
    return content


def copy_checked(file: File, target: Path, progress: Callable[[int], None]) -> str:
    """Bring ``file`` to ``target``, whole and checked or not at all, and return its SHA-256.

    :param progress: called with its size when it is there.
    :raises UpstreamError: it can't be had.
    :raises IntegrityError: it is not what was announced.
    """
    with opened(file.url) as source:
        digests = Digests(file)
        while chunk := source.read(CHUNK):
            digests.update(chunk)
        size = source.tell()
        if wrong := digests.wrong():
            raise wrong
        if file.size not in (None, size):
            raise wrong_size(file.url, file.size or 0, size)
        source.seek(0)
        with replacing(target) as stream:
            shutil.copyfileobj(source, stream)
    progress(size)
    return digests.sha256
