"""``pdm.lock``, as pdm writes it from lock_version 4.0 to 4.5; as pdm, what is newer is refused.

===================  =========================================  =================================================
key                  what is there                              what it means here
===================  =========================================  =================================================
metadata             lock_version, groups, content_hash         ``groups``; see :func:`stale`
metadata.strategy    inherit_metadata                           packages have groups and markers; without it the lock
                                                                is walked from ``pyproject.toml`` beside it, which has
                                                                to be there: :mod:`.pdm_walked`
                     static_urls                                files have a ``url`` and no name
                     cross_platform, direct_minimal_versions    nothing: they say how it was made
metadata.targets     requires_python, platform, implementation  an environment that none covers is refused:
                                                                :mod:`.pdm_targets`; in old locks there are none
metadata.files       by ``name version``, before 4.3            the files of that package
package              name, version                              :class:`.LockedPackage`
package.extras       extras of that package                     the same package once more, with what they bring
package.groups       the groups it is in                        it is selected where one of them is asked for
package.marker       a marker                                   it is selected where that holds
package.dependencies what it requires                           walked without ``inherit_metadata``
package.files        file or url, hash                          :class:`.LockedFile`
package.git, hg, …   with ref, revision, subdirectory           ``source``
package.path, url    a path, or a URL                           ``source``; the project itself and members of its
                                                                workspace are passed over
===================  =========================================  =================================================

To pdm the extras of a project are groups. They can be asked for as both: what are extras says ``pyproject.toml`` beside
the lock, if it is there. A lock names no index.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.asked_extras import holds_for_any
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage
from mirror_tasks.config.lock_files.named_files import git_source, locked_files, optional_text, plain_text, url_source
from mirror_tasks.config.lock_files.pdm_project import DEFAULT, PdmProject, line_edge, read_groups, read_project
from mirror_tasks.config.lock_files.pdm_targets import Target, check_covered, targets_of
from mirror_tasks.config.lock_files.pdm_walked import PdmNode, WalkedPdmLock, asked_groups, by_name, markers_of
from mirror_tasks.config.lock_files.pyproject_beside import pyproject_beside
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.walking import Edge, Origin
from mirror_tasks.config.poetry_constraints import Constraint, parse_constraint
from mirror_tasks.config.requirement_files import read_text
from mirror_tasks.text import without_credentials

_ADVICE = "make the lock anew with `pdm lock`"
_NEWEST = (4, 5)
_OTHER_SYSTEMS = ("hg", "svn", "bzr")
_IN_PROJECT = re.compile(r"file:///+(?:\$\{PROJECT_ROOT\}|\{root:uri\})/?")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a lock, and where it is wanted; in all groups where it names none."""

    package: LockedPackage
    groups: tuple[NormalizedName, ...]
    marker: str

    def is_wanted(self, environment: Environment, groups: Collection[str]) -> bool:
        in_groups = not self.groups or any(group in groups for group in self.groups)
        return in_groups and holds_for_any(self.marker, environment, (), PIP)


@dataclass(slots=True)
class PdmLock:
    """A lock that says of each package in which groups and where it is wanted (``inherit_metadata``)."""

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    targets: tuple[Target, ...]
    entries: tuple[_Entry, ...]
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that the lock selects: see :class:`.LockFile`."""
        check_covered(self.targets, environment)
        asked = asked_groups(groups, extras, self.groups, self.extras)
        wanted = {entry.package for entry in self.entries if entry.is_wanted(environment, asked)}
        return tuple(sorted(wanted, key=lambda package: (package.name, package.version, package.source)))


def read(data: Mapping[str, object], path: Path) -> PdmLock | WalkedPdmLock:
    """Return the lock that ``data`` is.

    :param data: what TOML gave.
    :param path: of the lock. ``pyproject.toml`` beside it is read too: it has to be there where the lock does not say
        itself where its packages are wanted.
    :raises ValueError: it is no lock that pdm reads, or breaks a rule; the message names the key path.
    """
    lock = Table(data, "", _ADVICE)
    metadata = lock.table("metadata")
    version = _lock_version(metadata)
    inherits = "inherit_metadata" in metadata.texts("strategy")
    if inherits and not path.with_name("pyproject.toml").exists():
        pyproject: Mapping[str, object] = {}
    else:
        pyproject = pyproject_beside(path, f"metadata.strategy: {version} does not say where packages are wanted")
    project = read_project(pyproject)
    entries = lock.tables("package")
    packages = _packages(entries, metadata.table("files"))
    if not inherits:
        return _walked(metadata, _nodes(entries, packages, project), pyproject, project)
    return _with_markers(metadata, entries, packages, project)


def _lock_version(metadata: Table) -> Version:
    if not metadata.has("lock_version"):
        raise metadata.fault("lock_version", "the version of the lock's format, from 4.0 on", None)
    version = metadata.needed_version("lock_version")
    if version.major != _NEWEST[0] or version.release[:2] > _NEWEST:
        expected = f"expected a pdm.lock of version 4.0 to {'.'.join(map(str, _NEWEST))}"
        advice = "lock with a pdm that writes that" if version.release[:2] > _NEWEST else _ADVICE
        raise ValueError(f"{metadata.path('lock_version')}: {expected}, found {version}; {advice}")
    return version


def _with_markers(
    metadata: Table, entries: Sequence[Table], packages: Sequence[LockedPackage], project: PdmProject
) -> PdmLock:
    targets = targets_of(metadata)
    wanted = [
        _Entry(package, entry.names("groups"), entry.marker("marker"))
        for entry, package in zip(entries, packages, strict=True)
    ]
    groups = dict.fromkeys([*metadata.names("groups"), *(group for one in wanted for group in one.groups)] or [DEFAULT])
    return PdmLock(
        groups=tuple(groups),
        extras=tuple(extra for extra in project.extras if extra in groups),
        markers=tuple(dict.fromkeys(one.marker for one in wanted if one.marker)),
        requires_python=_requires_python(targets),
        targets=targets,
        entries=tuple(
            one for one, entry in zip(wanted, entries, strict=True) if not project.is_part(_path(entry) or "elsewhere")
        ),
    )


def _requires_python(targets: Sequence[Target]) -> str:
    """Return what bounds all of a lock; empty where its targets are for different Pythons."""
    found = {target.python.specifier for target in targets}
    return found.pop() if len(found) == 1 else ""


def _walked(
    metadata: Table, nodes: Sequence[PdmNode], pyproject: Mapping[str, object], project: PdmProject
) -> WalkedPdmLock:
    locked = metadata.names("groups")
    roots = {
        group: edges for group, edges in read_groups(pyproject, project.name).items() if not locked or group in locked
    }
    parts = [Edge(node.package.name, node.where, Constraint.any()) for node in nodes if node.is_part]
    if DEFAULT in roots:
        roots[DEFAULT] = (*roots[DEFAULT], *parts)
    targets = targets_of(metadata)
    return WalkedPdmLock(
        groups=tuple(roots),
        extras=tuple(extra for extra in project.extras if extra in roots),
        markers=tuple(dict.fromkeys(markers_of(nodes, roots))),
        requires_python=_requires_python(targets),
        targets=targets,
        nodes=by_name(nodes),
        roots=roots,
        project=project.name,
    )


def _nodes(entries: Sequence[Table], packages: Sequence[LockedPackage], project: PdmProject) -> list[PdmNode]:
    """Return the packages, each with all that its entries say that it requires."""
    requires: dict[LockedPackage, dict[frozenset[NormalizedName], tuple[Edge, ...]]] = {}
    first: dict[LockedPackage, Table] = {}
    for entry, package in zip(entries, packages, strict=True):
        lines = enumerate(entry.texts("dependencies"))
        edges = tuple(line_edge(entry, f"dependencies[{index}]", line) for index, line in lines)
        requires.setdefault(package, {})[frozenset(entry.names("extras"))] = edges
        first.setdefault(package, entry)
    return [
        PdmNode(
            package=package,
            where=entry.place,
            origin=_origin(entry),
            python=_python(entry),
            requires=requires[package],
            is_part=project.is_part(_path(entry) or "elsewhere"),
        )
        for package, entry in first.items()
    ]


def _python(entry: Table) -> Constraint:
    try:
        return parse_constraint(entry.text("requires_python") or "*")
    except ValueError:  # what breaks PEP 440 stands there as its metadata has it; installers take such a file
        return Constraint.any()


def _origin(entry: Table) -> Origin:
    if any(entry.has(system) for system in ("git", *_OTHER_SYSTEMS)):
        return "git", ""
    if entry.has("path") or _path(entry):
        return "path", ""
    return ("url", "") if entry.has("url") else ("", "")


def _path(entry: Table) -> str | None:
    """Return the path of what lies in a folder beside the lock, relative to it."""
    if entry.has("path"):
        return plain_text(entry, "path")
    url = optional_text(entry, "url")
    return _IN_PROJECT.sub("./", url) if _IN_PROJECT.match(url) else None


def _packages(entries: Sequence[Table], elsewhere: Table) -> list[LockedPackage]:
    """Return the package of each entry; those of one version have all files that any of its entries has."""
    old_files = _old_files(elsewhere)
    files: dict[tuple[NormalizedName, Version, str], dict[LockedFile, None]] = {}
    keys = []
    for entry in entries:
        name, version = entry.name("name"), entry.needed_version("version")
        own = locked_files(entry.tables("files")) if entry.has("files") else old_files.get((name, version), ())
        key = (name, version, _source(entry, own))
        files.setdefault(key, {}).update(dict.fromkeys(own))
        keys.append(key)
    return [LockedPackage(*key[:2], () if key[2] else tuple(files[key]), source=key[2]) for key in keys]


def _old_files(table: Table) -> Mapping[tuple[NormalizedName, Version], tuple[LockedFile, ...]]:
    """Return files by name and version: ``"foo 1.0"``."""
    found = {}
    for key in table.keys:
        name, _, version = key.partition(" ")
        try:
            found[canonicalize_name(name), Version(version)] = locked_files(table.tables(key))
        except InvalidVersion:
            raise table.fault(key, "a name and a version as its key", key) from None
    return found


def _source(entry: Table, files: Iterable[LockedFile]) -> str:
    subdirectory = optional_text(entry, "subdirectory")
    commit = optional_text(entry, "revision") or optional_text(entry, "ref")
    if entry.has("git"):
        return git_source(plain_text(entry, "git"), commit, subdirectory)
    for system in _OTHER_SYSTEMS:
        if entry.has(system):
            url = without_credentials(plain_text(entry, system))
            return f"{system}+{url}{'@' if commit else ''}{commit}"
    if path := _path(entry):
        return path
    return url_source(plain_text(entry, "url"), files, subdirectory) if entry.has("url") else ""


_LARGEST = 16 << 20  # bytes


def stale(path: Path) -> str:
    """Say in a sentence that a lock is older than ``pyproject.toml`` beside it; empty where it is not, or can't be judged.

    pdm warns of such a lock, and installs. It writes the SHA-256 of what ``pyproject.toml`` requires, as JSON with sorted keys,
    into ``metadata.content_hash``. Not judged are a lock with ``lock_inputs`` in its place, which pdm compares by resolving,
    a workspace, whose members count too, and a project that pdm first converts since it has no ``[project]``.

    :param path: of a lock that :func:`read` reads.
    """
    try:
        metadata = _mapping(tomli.loads(read_text(path, _LARGEST)).get("metadata"))
        pyproject = tomli.loads(read_text(path.with_name("pyproject.toml"), _LARGEST))
        hashes = _content_hashes(pyproject)
    except (ValueError, TypeError, RecursionError):  # TypeError: of json, on a date
        return ""  # what is wrong with the files is said where they are read
    locked = metadata.get("content_hash")
    settings = _mapping(_mapping(pyproject.get("tool")).get("pdm"))
    judged = isinstance(locked, str) and locked.startswith("sha256:") and "project" in pyproject
    if not judged or locked in hashes or "workspace" in settings:
        return ""
    return "pyproject.toml has changed since the lock was made; pdm warns of such a lock: run `pdm lock`"


def _content_hashes(pyproject: Mapping[str, object]) -> set[str]:
    """Return the hashes that versions of pdm have made: what overrides versions was alone there before lock_version 4.4."""
    project, settings = _mapping(pyproject.get("project")), _mapping(_mapping(pyproject.get("tool")).get("pdm"))
    resolution = _mapping(settings.get("resolution"))
    groups = _mapping(settings.get("dev-dependencies"))
    content = {
        "sources": settings.get("source", []),
        "dependencies": project.get("dependencies", []),
        "optional-dependencies": project.get("optional-dependencies", {}),
        "requires-python": project.get("requires-python", ""),
    }
    new = {**content, "dev-dependencies": _development(pyproject, groups), "resolution": resolution}
    old = {**content, "dev-dependencies": groups, "overrides": resolution.get("overrides", {})}
    return {f"sha256:{hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest()}" for one in (new, old)}


def _development(pyproject: Mapping[str, object], groups: Mapping[str, object]) -> Mapping[str, list[object]]:
    merged: dict[str, list[object]] = {}
    for group, lines in (*_mapping(pyproject.get("dependency-groups")).items(), *groups.items()):
        merged.setdefault(_normalised(group), []).extend(lines if isinstance(lines, list) else [])
    return merged


def _normalised(group: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", group).lower()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
