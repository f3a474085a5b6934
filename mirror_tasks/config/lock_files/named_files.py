"""What locks name: files with their hashes, and sources that are no index; all of it checked.

Poetry and pdm write them alike: ``{file = "name", hash = "algorithm:digest"}``, pdm also ``{url = …, hash = …}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import check_filename
from mirror_tasks.text import without_credentials

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})").fullmatch
_OTHER_HASH = re.compile(r"(?!sha256:)[a-z0-9_]+:[0-9a-zA-Z+/=_-]+").fullmatch


def locked_files(entries: Iterable[Table]) -> tuple[LockedFile, ...]:
    """Return the files that a package names, each once.

    A file may stand there with hashes of several algorithms: then what counts is its SHA-256.

    :raises ValueError: a name is not safe as a part of a path, or a hash is none.
    """
    files = dict.fromkeys(_locked_file(entry) for entry in entries)
    hashed = {file.filename for file in files if file.sha256}
    return tuple(file for file in files if file.sha256 or file.filename not in hashed)


def _locked_file(entry: Table) -> LockedFile:
    sha256 = sha256_of(entry, "hash")
    if not entry.has("url"):
        return LockedFile(_filename(entry, "file", entry.needed_text("file")), sha256)
    url = without_credentials(plain_text(entry, "url"))
    try:
        path = urlsplit(url).path
    except ValueError:
        raise entry.fault("url", "a URL", entry.get("url")) from None
    return LockedFile(_filename(entry, "url", path.rpartition("/")[2]), sha256, url.partition("#")[0])


def sha256_of(entry: Table, key: str) -> str | None:
    """Return the SHA-256 at a key, in hexadecimal, lower case; None for a hash of another algorithm.

    :raises ValueError: it is no hash.
    """
    found = _SHA256(entry.needed_text(key))
    if found:
        return found[1].lower()
    if _OTHER_HASH(entry.needed_text(key)):
        return None
    raise entry.fault(key, "a hash such as sha256: and 64 hexadecimal digits", entry.get(key))


def _filename(entry: Table, key: str, name: str) -> str:
    try:
        return check_filename(unquote(name))
    except IntegrityError:
        raise entry.fault(key, "the plain name of a file", entry.get(key)) from None


def plain_text(entry: Table, key: str) -> str:
    """Return a URL, a path or a name of Git: text that a message and a line of ``mirror.yaml`` can show as it is.

    :raises ValueError: it is missing, or has characters that steer a terminal.
    """
    text = entry.needed_text(key)
    if not text.isprintable():
        raise entry.fault(key, "a URL or path of characters that can be printed", text)
    return text


def optional_text(entry: Table, key: str) -> str:
    """Return what :func:`plain_text` does; empty where the key is missing or empty."""
    return plain_text(entry, key) if entry.get(key) else ""


def git_source(repository: str, commit: str, subdirectory: str) -> str:
    """Return a Git repository at a commit as a requirement has it behind the ``@``.

    :param repository: a URL, also in the short form of ssh: ``git@git.example.com:team/tool.git``.
    """
    short = re.fullmatch(r"([\w.-]+@)?([\w.-]+):(?!//)(.+)", repository)
    url = f"ssh://{short[1] or ''}{short[2]}/{short[3].lstrip('/')}" if short else repository
    return f"git+{_without_secrets(url)}{'@' if commit else ''}{commit}{_fragment(subdirectory=subdirectory)}"


def url_source(url: str, files: Iterable[LockedFile], subdirectory: str) -> str:
    """Return the URL of an archive as a requirement has it behind the ``@``, with its hash where the lock has one."""
    sha256 = next((file.sha256 for file in files if file.sha256), None)
    return _without_secrets(url.partition("#")[0]) + _fragment(sha256=sha256 or "", subdirectory=subdirectory)


def _without_secrets(url: str) -> str:
    """Leave the user out, but for ssh, where it says as whom to ask and not who asks."""
    user = re.fullmatch(r"(ssh://[\w.-]+)(?::[^@/]*)?(@[^/]+.*)", url)
    return user[1] + user[2] if user else without_credentials(url)


def _fragment(**parts: str) -> str:
    given = [f"{key}={quote(value)}" for key, value in parts.items() if value]
    return f"#{'&'.join(given)}" if given else ""
