"""What reading a zip and reading a tar have in common: the bounds of every read, paths, and what a member is.

Nothing is ever extracted. PyPI refuses archives that unpack to more than 64 MiB at a ratio above 50; the bounds here are
of that kind, so that what an index of good repute lets in is let in here.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mirror_tasks.archives.untrusted import BrokenError

if TYPE_CHECKING or importlib.util.find_spec("zlib_ng") is None:
    fast_zlib = zlib
else:  # the same functions, in a third of the time
    from zlib_ng import zlib_ng as fast_zlib

MEBIBYTE = 1 << 20
MOST_MEMBERS = 200_000
LARGEST_MEMBER = 64 * MEBIBYTE
LONGEST_PATH = 4096  # characters; no system takes more
BOMB_RATIO = 50
# What the standard library's readers raise, at one place or another, when an archive is broken.
_READING_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, fast_zlib.error, struct.error,
    EOFError, ValueError, NotImplementedError, OverflowError, RuntimeError, LookupError,
)  # fmt: skip


class Member(Protocol):
    """One member of an archive."""

    @property
    def path(self) -> str:
        """Its name, checked to lead nowhere out of the archive, without ``./`` before it."""

    @property
    def is_file(self) -> bool:
        """It is a regular file; links, folders and devices are not."""

    def read(self) -> bytes:
        """Return its bytes; for a member of a tar once, and before the next member is asked for.

        :raises BrokenError: it has too many, or is damaged.
        """


class OddTarError(Exception):
    """A tar has what some readers see otherwise than others; says what, for a sentence."""


@contextmanager
def reading() -> Iterator[None]:
    """Make what the standard library raises on a broken archive a BrokenError."""
    try:
        yield
    except OddTarError as error:
        raise BrokenError(f"its tar has {error}, which those that make sdists do not write") from error
    except _READING_ERRORS as error:
        raise BrokenError(f"the archive is damaged: {error or type(error).__name__}") from error


def safe_path(name: str) -> str:
    """Return the path of a member as it is compared here; installers refuse archives with paths that lead out."""
    if name.startswith("/") or (".." in name and ".." in name.split("/")) or "\0" in name:
        raise BrokenError(f"expected paths inside the archive, found the member {name[:200]!r}")
    if len(name) > LONGEST_PATH:
        raise BrokenError(f"a path of {len(name):,} characters")
    if "./" not in name and "//" not in name and not name.endswith(("/", ".")):
        return name  # nearly every one
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def folded(path: str) -> str:
    """Return what a path is on a system that ignores case, takes a backslash for a slash and drops dots at the end."""
    parts = path.replace("\\", "/").casefold().split("/")
    return "/".join(part.partition(":")[0].rstrip(" .") for part in parts)
