"""``Pipfile.lock``, the lock of Pipenv: JSON, ``pipfile-spec`` 6.

=====================================  ===================================================================================
``_meta.pipfile-spec``                 6; a newer one is refused
``_meta.requires``                     ``python_version`` or ``python_full_version``: three numbers are one Python, two all
                                       that begin so; a specifier is taken too
``_meta.sources``                      ``name`` and ``url`` of each index; what names none is from the first
``_meta.hash``                         of the Pipfile; not compared
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
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.blocks import show
from mirror_tasks.config.environments import MARKER_KEYS, Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.checks import checked_sha256, checked_url, is_project_itself, version_in
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage

_SPEC = 6
_VCS = ("git", "hg", "svn", "bzr")
# Pipenv makes markers of these, of os_name it does not.
_MARKERS = tuple(key for key in MARKER_KEYS if key != "os_name")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One package of one group; ``problem`` says why it can't be carried, for where it is selected."""

    package: LockedPackage
    marker: Marker | None
    problem: str = ""


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
        if problems := [entry.problem for entry in chosen if entry.problem]:
            raise ValueError("; ".join(dict.fromkeys(problems)))
        packages = dict.fromkeys(entry.package for entry in chosen)
        return tuple(sorted(packages, key=lambda one: (one.name, one.version)))


def read(data: Mapping[str, object], _path: Path) -> PipfileLock:
    """Return what a Pipfile.lock says.

    :raises ValueError: it is none, or of a newer specification; the message names the key.
    """
    meta = _mapping(data.get("_meta"), "_meta")
    _check_spec(meta.get("pipfile-spec"))
    sources = dict(_sources(meta.get("sources")))
    sections = {name: _mapping(section, name) for name, section in data.items() if name != "_meta"}
    entries: dict[str, tuple[_Entry, ...]] = {}
    for name, section in sections.items():
        group = canonicalize_name(name)
        entries[group] = (*entries.get(group, ()), *_entries(section, name, sources))
    markers = (str(entry.marker) for group in entries.values() for entry in group if entry.marker)
    return PipfileLock(tuple(entries), tuple(dict.fromkeys(markers)), _requires(meta.get("requires", {})), entries)


def _check_spec(found: object) -> None:
    if found == _SPEC:
        return
    if isinstance(found, int) and found > _SPEC:
        raise ValueError(
            f"_meta.pipfile-spec: {found} is newer than {_SPEC}, which is what is read here: update this project, or lock"
            " with a Pipenv that writes it"
        )
    raise ValueError(f"_meta.pipfile-spec: expected {_SPEC}, found {show(found)}; lock again with Pipenv")


def _mapping(value: object, key_path: str) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    found = "nothing" if value is None else show(value)
    raise ValueError(f"{key_path}: expected keys and values, found {found}; lock again with Pipenv")


def _text(value: object, key_path: str) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{key_path}: expected one line of text, found {show(value)}")
    return value.strip()


def _list(value: object, key_path: str) -> list[object]:
    if isinstance(value, list):
        return value
    raise ValueError(f"{key_path}: expected a list, found {show(value)}; lock again with Pipenv")


def _sources(value: object) -> Iterator[tuple[str, str]]:
    for position, one in enumerate(_list(value, "_meta.sources")):
        key_path = f"_meta.sources[{position}]"
        source = _mapping(one, key_path)
        url = _text(source.get("url"), f"{key_path}.url")
        yield _text(source.get("name"), f"{key_path}.name"), checked_url(url, f"{key_path}.url")


def _requires(value: object) -> str:
    """Return the specifier of the Pythons that a lock is for, as Pipenv compares: the more numbers, the closer."""
    requires = _mapping(value, "_meta.requires")
    key = "python_full_version" if requires.get("python_full_version") else "python_version"
    if not requires.get(key) or requires[key] == "*":
        return ""
    text = _text(requires[key], f"_meta.requires.{key}")
    try:
        release = Version(text).release
    except InvalidVersion:
        return _specifier(text, f"_meta.requires.{key}")
    return f"=={'.'.join(map(str, release))}{'' if len(release) > 2 else '.*'}"


def _specifier(text: str, key_path: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValueError(f"{key_path}: expected a version of Python such as 3.12, found {show(text)}") from None


def _entries(section: Mapping[str, object], group: str, sources: Mapping[str, str]) -> Iterator[_Entry]:
    for name, value in section.items():
        key_path = f"{group}.{name:.80}"
        entry = _mapping(value, key_path)
        if not is_project_itself(str(entry.get("path") or entry.get("file") or "elsewhere")):
            yield _entry(name, entry, key_path, sources)


def _entry(name: str, entry: Mapping[str, object], key_path: str, sources: Mapping[str, str]) -> _Entry:
    try:
        normal = canonicalize_name(name, validate=True)
    except InvalidName:
        raise ValueError(f"{key_path}: expected the name of a project, found {show(name)}") from None
    marker = _marker(entry, key_path)
    files = _files(entry, key_path)
    if source := _source(entry, files, key_path):
        return _Entry(LockedPackage(normal, version_in(source), source=source), marker)
    version = _version(entry.get("version"), key_path)
    package = LockedPackage(normal, version or Version("0"), files, _index(entry, sources, key_path))
    return _Entry(package, marker, _problem(version, files, key_path))


def _problem(version: Version | None, files: tuple[LockedFile, ...], key_path: str) -> str:
    if version and files:
        return ""
    lacks = "hash" if version else "version"
    return (
        f"{key_path}: there is no {lacks} for it in the lock, as Pipenv leaves it where a marker does not hold on the machine"
        " that locks; give it an exact version in the Pipfile and lock again"
    )


def _version(value: object, key_path: str) -> Version | None:
    """Return the version that an entry pins; None where it pins none."""
    if value is None:
        return None
    text = _text(value, f"{key_path}.version")
    if text == "*":
        return None
    try:
        return Version(text.lstrip("=").strip())
    except ValueError:
        raise ValueError(f"{key_path}.version: expected one such as ==1.0, found {show(text)}") from None


def _files(entry: Mapping[str, object], key_path: str) -> tuple[LockedFile, ...]:
    found = []
    for position, value in enumerate(_list(entry.get("hashes", []), f"{key_path}.hashes")):
        place = f"{key_path}.hashes[{position}]"
        kind, _, digest = _text(value, place).partition(":")
        if kind != "sha256":
            raise ValueError(f"{place}: expected sha256:…, found {show(value)}")
        found.append(LockedFile("", checked_sha256(digest, place)))
    return tuple(dict.fromkeys(found))


def _index(entry: Mapping[str, object], sources: Mapping[str, str], key_path: str) -> str | None:
    """Return the URL of the index that an entry is from: the first one where it names none, as Pipenv does."""
    if entry.get("index") is None:
        return next(iter(sources.values()), None)
    name = _text(entry["index"], f"{key_path}.index")
    if name not in sources:
        known = ", ".join(sources) or "none"
        raise ValueError(f"{key_path}.index: {show(name)} is no name in _meta.sources ({known:.200}); lock again")
    return sources[name]


def _source(entry: Mapping[str, object], files: tuple[LockedFile, ...], key_path: str) -> str:
    """Return the source of its own that an entry has, as a requirement has it behind the @; empty for none."""
    for kind in _VCS:
        if entry.get(kind) is not None:
            return _vcs_source(kind, entry, key_path)
    for kind in ("file", "path"):
        if entry.get(kind) is not None:
            place = f"{key_path}.{kind}"
            source = checked_url(_text(entry[kind], place), place)
            return f"{source}#sha256={files[0].sha256}" if len(files) == 1 else source
    return ""


def _vcs_source(kind: str, entry: Mapping[str, object], key_path: str) -> str:
    url = _text(entry[kind], f"{key_path}.{kind}").partition("#egg=")[0].removeprefix(f"{kind}+")
    source = f"{kind}+{checked_url(url, f'{key_path}.{kind}')}"
    if entry.get("ref") is not None:
        source += f"@{_text(entry['ref'], f'{key_path}.ref')}"
    if entry.get("subdirectory") is not None:
        source += f"#subdirectory={_text(entry['subdirectory'], f'{key_path}.subdirectory')}"
    return source


def _marker(entry: Mapping[str, object], key_path: str) -> Marker | None:
    parts = [
        _parsed(f"{key} {_text(entry[key], f'{key_path}.{key}')}", f"{key_path}.{key}")
        for key in _MARKERS
        if entry.get(key) is not None
    ]
    if entry.get("markers"):
        marker = _parsed(_text(entry["markers"], f"{key_path}.markers"), f"{key_path}.markers")
        if "extra" not in marker:  # so Pipenv does: what has to do with an extra is installed, its marker is left out
            parts.append(marker)
    return Marker(" and ".join(f"({part})" for part in parts)) if parts else None


def _parsed(text: str, key_path: str) -> str:
    try:
        return str(Marker(text))
    except InvalidMarker as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{key_path}: expected a marker such as sys_platform == 'win32', found {show(text)}: {reason}"
        ) from None
