"""What names, hashes and places in a lock are checked for, whichever tool wrote it: nobody vouches for a lock."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote, urlsplit

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from mirror_tasks.config.blocks import show
from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import check_filename
from mirror_tasks.text import without_credentials

UNKNOWN_VERSION = Version("0")
"""The version of a package with a source of its own where neither its lock nor the name of its file says one."""


def checked_filename(name: str, key_path: str) -> str:
    """Return the name of a file if it is safe as the last part of a path.

    :raises ValueError: it is not.
    """
    try:
        return check_filename(name)
    except IntegrityError:
        raise ValueError(f"{key_path}: expected the plain name of a file, found {show(name)}") from None


def checked_sha256(digest: object, key_path: str) -> str:
    """Return a SHA-256 digest in lower case.

    :raises ValueError: it is none.
    """
    if isinstance(digest, str) and re.fullmatch(r"[0-9A-Fa-f]{64}", digest):
        return digest.lower()
    raise ValueError(f"{key_path}: expected a SHA-256 hash of 64 hexadecimal digits, found {show(digest)}")


def checked_url(url: str, key_path: str) -> str:
    """Return a URL or path as it may be kept: without credentials.

    A user without a password stays in front of a host that is reached by ssh, for it says no secret there (``git@``).

    :raises ValueError: it is not one line of text, or no URL.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = None
    if scheme is None or not url.isprintable() or not url.strip():
        raise ValueError(f"{key_path}: expected a URL or path, found {show(url)}")
    if scheme.endswith("ssh") and re.match(r"[a-z+]+://\w+@", url):
        return url
    return without_credentials(url)


def checked_index(url: str, key_path: str) -> str | None:
    """Return the URL of an index without credentials; None for a folder: that of the machine which locked is not here.

    :raises ValueError: it is no URL.
    """
    checked = checked_url(url, key_path)
    return None if checked.startswith("file:") or "://" not in checked else checked


def is_project_itself(path: str) -> bool:
    """Say if a path in a lock leads to the folder of the lock: to the project that was locked."""
    return posixpath.normpath(path.replace("\\", "/")) == "."


def last_part(url: str) -> str:
    """Return the name of the file at a URL or path: its last part, decoded where it is a URL's; empty for what is no URL."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return unquote(path.rpartition("/")[2]) if "://" in url else re.split(r"[/\\]", path)[-1]


def version_in(url: str) -> Version:
    """Return the version that the name of a wheel or sdist at a URL or path says; :data:`UNKNOWN_VERSION` for others."""
    name = last_part(url)
    try:
        return parse_wheel_filename(name)[1] if name.endswith(".whl") else parse_sdist_filename(name)[1]
    except ValueError:
        return UNKNOWN_VERSION
