"""The packages that a ``poetry.lock`` of any version names: their files, and where they are from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from packaging.utils import NormalizedName, canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage
from mirror_tasks.config.lock_files.named_files import (
    git_source,
    locked_files,
    optional_text,
    plain_text,
    sha256_of,
    url_source,
)
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.text import without_credentials


def packages_of(lock: Table, entries: Sequence[Table]) -> tuple[LockedPackage, ...]:
    """Return the package of each entry of a lock.

    :raises ValueError: an entry is not as Poetry writes it.
    """
    versions, elsewhere = _versions(entries), _Elsewhere(lock)
    return tuple(_package(entry, versions[entry.name("name")], elsewhere) for entry in entries)


def _versions(entries: Iterable[Table]) -> Mapping[NormalizedName, set[Version]]:
    versions: dict[NormalizedName, set[Version]] = {}
    for entry in entries:
        versions.setdefault(entry.name("name"), set()).add(entry.needed_version("version"))
    return versions


class _Elsewhere:
    """The files that do not stand with their packages: in ``metadata.files``, and of old in ``metadata.hashes``."""

    def __init__(self, lock: Table) -> None:
        metadata = lock.table("metadata")
        self._hashes_alone = metadata.has("hashes")
        self._table = metadata.table("hashes" if self._hashes_alone else "files")
        self._keys = {canonicalize_name(key): key for key in self._table.keys}

    def files(self, name: NormalizedName) -> tuple[LockedFile, ...] | None:
        """Return the files of all versions of a project, or None without any."""
        key = self._keys.get(name)
        if key is None:
            return None
        if not self._hashes_alone:
            return locked_files(self._table.tables(key))
        entries = (self._table.inner(key, {"hash": text}) for text in self._table.texts(key))
        return tuple(LockedFile("", sha256_of(entry, "hash")) for entry in entries)


def _package(entry: Table, versions: Collection[Version], elsewhere: _Elsewhere) -> LockedPackage:
    name, version = entry.name("name"), entry.needed_version("version")
    source = entry.table("source")
    kind = source.needed_text("type") if entry.has("source") else ""
    own = kind not in ("", "legacy")
    files = locked_files(entry.tables("files")) if entry.has("files") else elsewhere.files(name)
    if files is None and not own:
        raise entry.fault("files", f"the files of {name}, here or in metadata.files", None)
    files = tuple(file for file in files or () if _may_be_of(file, version, versions))
    if own:
        return LockedPackage(name, version, source=_own_source(source, files))
    return LockedPackage(name, version, files, index=without_credentials(plain_text(source, "url")) if kind else None)


def _own_source(source: Table, files: Iterable[LockedFile]) -> str:
    kind, url, subdirectory = (
        source.needed_text("type"),
        plain_text(source, "url"),
        optional_text(source, "subdirectory"),
    )
    if kind == "git":
        return git_source(url, optional_text(source, "resolved_reference"), subdirectory)
    if kind == "url":
        return url_source(url, files, subdirectory)
    if kind in ("file", "directory"):
        return url
    raise source.fault("type", "one of legacy, git, url, file and directory", source.get("type"))


def _may_be_of(file: LockedFile, version: Version, versions: Collection[Version]) -> bool:
    """Say if a file may be one of a version: its name says another one only where the lock has that, too."""
    named = _version_in(file.filename) if len(versions) > 1 else None
    return named is None or named == version or named not in versions


def _version_in(filename: str) -> Version | None:
    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[1]
        return parse_sdist_filename(filename)[1]
    except ValueError:  # InvalidWheelFilename, InvalidSdistFilename and InvalidVersion; an egg, or a name of old
        return None
