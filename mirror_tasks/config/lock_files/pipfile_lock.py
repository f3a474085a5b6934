"""``Pipfile.lock``, the lock of Pipenv: JSON, ``pipfile-spec`` 6.

=====================================  ===================================================================================
``_meta.pipfile-spec``                 6; a newer one is refused
``_meta.requires``                     ``python_version`` or ``python_full_version``: three numbers are one Python, two all
                                       that begin so; a specifier is taken too
``_meta.sources``                      ``name`` and ``url`` of each index; what names none is from the first
``_meta.hash``                         of the Pipfile (:mod:`.pipfile_hash`)
``default``, ``develop``, any other    one group each: a name with an entry for each package
entry: ``version``                     ``==1.0``; without one, or with ``*``, Pipenv did not lock it
entry: ``hashes``                      ``sha256:…`` of every file of the release, without names
entry: ``index``                       the name of a source
entry: ``markers``                     one text; ``sys_platform`` and its like are such, too: ``== 'win32'``
entry: ``git``, ``hg``, ``svn``,       a source of its own, with ``ref`` and ``subdirectory``
``bzr``
entry: ``path``, ``file``              likewise; ``.`` is the project itself
entry: ``extras``, ``editable``,       change nothing of what is selected: what an extra needs has an entry of its own
``no_binary``, ``pip_args``
=====================================  ===================================================================================

What Pipenv does was read in, and tests ask, Pipenv 2026.10.3. It locks a package whose marker does not hold on the machine
that it runs on without a version: ``pipenv sync`` then takes whatever is newest where the marker holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.environments import MARKER_KEYS, Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.checks import (
    UNKNOWN_VERSION,
    checked_index,
    checked_sha256,
    checked_url,
    is_project_itself,
    version_in,
)
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage
from mirror_tasks.config.lock_files.tables import Table

_SPEC = 6
_SHOWN = 10  # packages in one message
_VCS = ("git", "hg", "svn", "bzr")
# Pipenv makes markers of these, of os_name it does not.
_MARKERS = tuple(key for key in MARKER_KEYS if key != "os_name")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One package of one group.

    :param key_path: its place; ``lacks`` is what Pipenv left open: its version, or its hashes. Nothing for most.
    """

    package: LockedPackage
    marker: Marker | None
    key_path: str
    lacks: str = ""


@dataclass(slots=True)
class PipfileLock:
    """A Pipfile.lock as it was read."""

    groups: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    entries: Mapping[str, tuple[_Entry, ...]]
    extras: tuple[str, ...] = ()
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages of the groups whose markers hold (:meth:`.model.LockFile.select`)."""
        chosen = [
            entry
            for group in self.groups
            if group in groups
            for entry in self.entries[group]
            if environment.marker_applies(entry.marker)
        ]
        if left := [entry for entry in chosen if entry.lacks]:
            raise ValueError(_left_open(left))
        packages = dict.fromkeys(entry.package for entry in chosen)
        return tuple(sorted(packages, key=lambda one: (one.name, one.version)))


def read(data: Mapping[str, object], _path: Path) -> PipfileLock:
    """Return what a Pipfile.lock says.

    :raises ValueError: it is none, or of a newer specification; the message names the key.
    """
    table = Table(data, "", "lock again with Pipenv")
    meta = table.table("_meta")
    _check_spec(meta)
    sources = _sources(meta)
    entries: dict[str, tuple[_Entry, ...]] = {}
    for key in table.keys:
        if key != "_meta":
            group = table.as_name(key, key)
            entries[group] = (*entries.get(group, ()), *_entries(table.table(key), sources))
    markers = (str(entry.marker) for group in entries.values() for entry in group if entry.marker)
    return PipfileLock(tuple(entries), tuple(dict.fromkeys(markers)), _requires(meta.table("requires")), entries)


def _check_spec(meta: Table) -> None:
    found = meta.number("pipfile-spec")
    if found is not None and found > _SPEC:
        raise ValueError(
            f"{meta.path('pipfile-spec')}: {found} is newer than {_SPEC}, which is what is read here: update this project, or"
            " lock with a Pipenv that writes it"
        )
    if found != _SPEC:
        raise meta.fault("pipfile-spec", str(_SPEC), found)


def _sources(meta: Table) -> Mapping[str, str | None]:
    """Return the URLs of indexes by their names, of which the first counts."""
    sources: dict[str, str | None] = {}
    for source in meta.tables("sources"):
        url = checked_index(source.needed_text("url"), source.path("url"))
        sources.setdefault(_line(source, "name"), url)
    return sources


def _requires(requires: Table) -> str:
    """Return the specifier of the Pythons that a lock is for, as Pipenv compares: the more numbers, the closer."""
    key = "python_full_version" if requires.text("python_full_version") else "python_version"
    text = requires.text(key)
    if not text or text == "*":
        return ""
    try:
        release = Version(text).release
    except InvalidVersion:
        return _specifier(requires, key, text)
    return f"=={'.'.join(map(str, release))}{'' if len(release) > 2 else '.*'}"


def _specifier(requires: Table, key: str, text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise requires.fault(key, "a version of Python such as 3.12", text) from None


def _entries(section: Table, sources: Mapping[str, str | None]) -> Iterator[_Entry]:
    for key in section.keys:
        entry = section.table(key)
        if not is_project_itself(entry.text("path") or entry.text("file") or "elsewhere"):
            yield _entry(LockedPackage(section.as_name(key, key), UNKNOWN_VERSION), entry, sources)


def _entry(named: LockedPackage, entry: Table, sources: Mapping[str, str | None]) -> _Entry:
    marker, files = _marker(entry), _files(entry)
    if source := _source(entry, files):
        return _Entry(replace(named, version=version_in(source), source=source), marker, entry.place)
    version = _version(entry)
    package = replace(named, version=version or UNKNOWN_VERSION, files=files, index=_index(entry, sources))
    lacks = "version" if version is None else "" if files else "hashes"
    return _Entry(package, marker, entry.place, lacks)


def _left_open(entries: Collection[_Entry]) -> str:
    names = [f"{entry.key_path} (no {entry.lacks})" for entry in entries]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"{', '.join(names[:_SHOWN])}{more}: expected an exact version with hashes; Pipenv leaves that out where a marker does"
        " not hold on the machine that locks: give an exact version in the Pipfile and lock again"
    )


def _version(entry: Table) -> Version | None:
    """Return the version that an entry pins; None where it pins none."""
    text = entry.text("version")
    if text is None or text == "*":
        return None
    try:
        return Version(text.lstrip("=").strip())
    except ValueError:
        raise entry.fault("version", "one such as ==1.0", text) from None


def _files(entry: Table) -> tuple[LockedFile, ...]:
    found = []
    for position, text in enumerate(entry.texts("hashes")):
        kind, _, digest = text.partition(":")
        if kind != "sha256":
            raise entry.fault(f"hashes[{position}]", "sha256:…", text)
        found.append(LockedFile("", checked_sha256(digest, entry.path(f"hashes[{position}]"))))
    return tuple(dict.fromkeys(found))


def _index(entry: Table, sources: Mapping[str, str | None]) -> str | None:
    """Return the URL of the index that an entry is from: the first one where it names none, as Pipenv does."""
    name = entry.text("index")
    if name is None:
        return next(iter(sources.values()), None)
    if name not in sources:
        raise entry.fault("index", f"a name in _meta.sources ({', '.join(sources) or 'none'})", name)
    return sources[name]


def _source(entry: Table, files: tuple[LockedFile, ...]) -> str:
    """Return the source of its own that an entry has, as a requirement has it behind the @; empty for none."""
    for kind in _VCS:
        if entry.has(kind):
            return _vcs_source(kind, entry)
    for kind in ("file", "path"):
        if entry.has(kind):
            source = checked_url(_line(entry, kind), entry.path(kind))
            return f"{source}#sha256={files[0].sha256}" if len(files) == 1 else source
    return ""


def _vcs_source(kind: str, entry: Table) -> str:
    url = _line(entry, kind).partition("#egg=")[0].removeprefix(f"{kind}+")
    ref = f"@{_line(entry, 'ref')}" if entry.text("ref") else ""
    subdirectory = f"#subdirectory={_line(entry, 'subdirectory')}" if entry.text("subdirectory") else ""
    return f"{kind}+{checked_url(url, entry.path(kind))}{ref}{subdirectory}"


def _line(entry: Table, key: str) -> str:
    text = entry.needed_text(key)
    if not text.isprintable():
        raise entry.fault(key, "one line of text", text)
    return text


def _marker(entry: Table) -> Marker | None:
    parts = [f"{key} {entry.text(key)}" for key in _MARKERS if entry.text(key)]
    marker = entry.marker("markers")
    if marker and "extra" not in marker:  # so Pipenv does: what has to do with an extra is installed wherever it is
        parts.append(marker)
    try:
        return Marker(" and ".join(f"({part})" for part in parts)) if parts else None
    except InvalidMarker:
        raise entry.fault("", "markers such as sys_platform with == 'win32'", "; ".join(parts)) from None
