"""Where a package of a uv lock comes from, and the files that the lock names of it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit, urlunsplit

from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import check_filename

# In the order in which uv tries them.
_KINDS = ("registry", "git", "url", "path", "directory", "editable", "virtual")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_HASH = re.compile(r"(md5|sha256|sha384|sha512|blake2b):([0-9a-fA-F]+)")
_COMMIT = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")


class Source(NamedTuple):
    """The ``source`` of a package: its kind, and where that is, as the lock has it."""

    kind: str
    where: str
    subdirectory: str = ""

    @property
    def index_url(self) -> str | None:
        """The URL of the index without credentials; None where it is from none, or from a folder."""
        if self.kind != "registry" or not _URL.match(self.where) or self.where.lower().startswith("file:"):
            return None
        return _without_credentials(urlsplit(self.where))

    @property
    def is_tree(self) -> bool:
        """Whether it is a folder with sources."""
        return self.kind in ("directory", "editable", "virtual")

    @property
    def is_root(self) -> bool:
        """Whether it is the folder that the lock is in."""
        return self.kind in ("editable", "virtual") and self.where in ("", ".")


def source_of(package: Table) -> Source:
    """Return the source that a package, or an edge, names.

    :raises ValueError: it is none of those that uv knows, or breaks its form.
    """
    table = package.table("source")
    kind = next((kind for kind in _KINDS if table.has(kind)), None)
    if kind is None:
        raise package.fault("source", f"one of {', '.join(_KINDS)}", package.get("source"))
    where = table.text(kind) or ""
    if not where.isprintable() or (not where and kind not in ("editable", "virtual", "directory")):
        raise table.fault(kind, "a URL or a path", where)
    if kind in ("git", "url") or _URL.match(where):
        split(table, kind, where)
    return Source(kind, where, (table.text("subdirectory") or "") if kind == "url" else "")


def split(table: Table, key: str, url: str) -> SplitResult:
    """Return the parts of a URL that stands at a key.

    :raises ValueError: it is none.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise table.fault(key, "a URL", url) from None
    if (
        not url.isprintable()
        or not parts.scheme
        or not (parts.hostname or parts.scheme == "file" or "+file" in parts.scheme)
    ):
        raise table.fault(key, "a URL", url)
    return parts


def own_source(package: Table, source: Source) -> str:
    """Return a source that is no index as a requirement has it behind the ``@``; empty for an index.

    :raises ValueError: git without a commit.
    """
    if source.index_url is not None:
        return ""
    if source.kind == "git":
        return _git(package.table("source"), source.where)
    if source.kind == "url":
        parts = urlsplit(source.where)._replace(fragment="")
        pieces = [f"sha256={sha256}" for table in _file_tables(package)[:1] if (sha256 := _sha256(table))]
        pieces += [f"subdirectory={quote(source.subdirectory)}"] if source.subdirectory else []
        return _without_credentials(parts) + ("#" + "&".join(pieces) if pieces else "")
    if source.kind == "registry":  # a folder of files; a requirement names one of them
        paths = [path for table in _file_tables(package) if (path := table.text("path"))]
        return "/".join([source.where.rstrip("/"), *paths[:1]])
    return source.where


def required_source(requirement: Table) -> str:
    """Return the source of a requirement of the lock itself, as a requirement has it behind the ``@``; empty for an index.

    Unlike that of a package, git need not be at a commit there.
    """
    kind = next((kind for kind in _KINDS if kind != "registry" and requirement.has(kind)), None)
    if kind is None:
        return ""
    where = requirement.needed_text(kind)
    if not where.isprintable():
        raise requirement.fault(kind, "a URL or a path", where)
    if kind == "git":
        return _as_pip_has_it(split(requirement, kind, where))
    return _without_credentials(split(requirement, kind, where)) if kind == "url" else where


def _git(table: Table, where: str) -> str:
    parts = split(table, "git", where)
    if not _COMMIT.fullmatch(parts.fragment):
        raise table.fault("git", "a commit behind the #", where)
    return _as_pip_has_it(parts)


def _as_pip_has_it(git: SplitResult) -> str:
    """Return a git URL of a lock (``https://…?tag=v1&subdirectory=x#COMMIT``) as pip has it (``git+https://…@COMMIT#…``)."""
    asked = parse_qs(git.query)
    named = [asked[key][0] for key in ("rev", "tag", "branch") if key in asked]
    at = next((f"@{quote(one)}" for one in (git.fragment, *named) if one), "")
    pieces = [f"{key}={quote(asked[key][0])}" for key in ("subdirectory", "path", "lfs") if key in asked]
    url = _without_credentials(git._replace(query="", fragment=""))
    return (url if url.startswith("git+") else f"git+{url}") + at + ("#" + "&".join(pieces) if pieces else "")


def _without_credentials(parts: SplitResult) -> str:
    """Return a URL without a name and password; the name is no secret where it says who logs in by a key (ssh)."""
    name, at, host = parts.netloc.rpartition("@")
    name = name.partition(":")[0] if parts.scheme.lower() in ("ssh", "git+ssh") else ""
    return urlunsplit(parts._replace(netloc=f"{name}@{host}" if name and at else host))


def files_of(package: Table) -> tuple[LockedFile, ...]:
    """Return all files that the lock names of a package, the sdist first, then wheels in the lock's order.

    :raises ValueError: one has no name, an unsafe one, or a hash that is none.
    """
    return tuple(map(_file, _file_tables(package)))


def _file_tables(package: Table) -> list[Table]:
    return [*([package.table("sdist")] if package.has("sdist") else []), *package.tables("wheels")]


def _file(table: Table) -> LockedFile:
    key = next((key for key in ("url", "path", "filename") if table.has(key)), None)
    if key is None:
        raise table.fault("", "a url, a path, or a filename", "none of them")
    text = table.needed_text(key)
    url = None
    if key == "url":
        parts = split(table, key, text)
        text, url = unquote(parts.path), _without_credentials(parts._replace(fragment=""))
    name = text if key == "filename" else text.rpartition("/")[2]
    try:
        return LockedFile(check_filename(name), _sha256(table), url)
    except IntegrityError:
        raise table.fault(key, "a plain file name as its last part", name) from None


def _sha256(table: Table) -> str | None:
    """Return the hash if it is a SHA-256; None where there is none, or that of another algorithm."""
    text = table.text("hash")
    if text is None:
        return None
    found = _HASH.fullmatch(text)
    if not found or (found[1] == "sha256" and len(found[2]) != 64):
        raise table.fault("hash", "sha256: and 64 hexadecimal digits", text)
    return found[2].lower() if found[1] == "sha256" else None
