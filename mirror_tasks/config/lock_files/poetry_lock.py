"""``poetry.lock``, as Poetry writes it from lock-version 1.0 to 2.1; as Poetry, what is below 3 is read.

===================  =========================================  =================================================
key                  what is there                              what it means here
===================  =========================================  =================================================
metadata             lock-version, python-versions,             read from 1.0 on, refused from 3.0 on;
                     content-hash                               ``requires_python``; see :func:`stale`
metadata.files       by name, before 2.0                        the files of all versions of that name
metadata.hashes      by name, the oldest                        hashes without the names of files
package              name, version, optional, python-versions   :class:`.LockedPackage`
package.files        file, hash, from 2.0 on                    :class:`.LockedFile`
package.groups       the groups it is in, from 2.1 on           it is selected where one of them is asked for
package.markers      a text, or one by group, from 2.1 on       it is selected where that of such a group holds; a
                                                                group without one: everywhere
package.dependencies what it requires                           walked before 2.1, see :mod:`.poetry_walked`
package.extras       its own extras, as requirements            likewise
package.source       none                                       the default index: ``index`` is None
                     type legacy: url, reference                ``index`` is the URL
                     type git, url, file, directory             ``source``
extras               the extras of the project                  ``extras``; a package of one has ``extra == "…"`` in
                                                                its marker from 2.1 on
===================  =========================================  =================================================

``main`` is a group. Before 2.1 a lock does not say where a package is wanted: Poetry resolves again then, among the
packages of the lock, from what ``pyproject.toml`` beside it requires, which has to be there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.asked_extras import holds_for_any
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.poetry_edges import check_python, constraint_of, marker_of, node_of
from mirror_tasks.config.lock_files.poetry_packages import packages_of
from mirror_tasks.config.lock_files.poetry_walked import WalkedPoetryLock, walked_lock
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.poetry_constraints import Constraint
from mirror_tasks.config.requirement_files import read_text

_ADVICE = "make the lock anew with `poetry lock`"
_TOO_NEW = Version("3")
_GROUPS_AND_MARKERS = Version("2.1")
_LARGEST = 16 << 20  # bytes
_LATE_GROUPS = Version("2.3.0")  # Poetry's; before, [dependency-groups] were no part of the content hash


@dataclass(frozen=True, slots=True)
class _Selected:
    """A package and where it is wanted: the marker by group."""

    package: LockedPackage
    markers: Mapping[NormalizedName, str]

    def is_wanted(self, environment: Environment, groups: Collection[str], extras: Collection[str]) -> bool:
        asked = [marker for group, marker in self.markers.items() if group in groups]
        return any(holds_for_any(marker, environment, extras, PIP) for marker in asked)


@dataclass(slots=True)
class PoetryLock:
    """A lock that says of each package in which groups and where it is wanted (lock-version 2.1)."""

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    python: Constraint
    packages: tuple[_Selected, ...]
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that the lock selects: see :class:`.LockFile`."""
        check_python(self.python, environment)
        wanted = (one.package for one in self.packages if one.is_wanted(environment, groups, extras))
        return tuple(sorted(dict.fromkeys(wanted), key=lambda package: (package.name, package.version, package.source)))


def read(data: Mapping[str, object], path: Path) -> PoetryLock | WalkedPoetryLock:
    """Return the lock that ``data`` is.

    :param data: what TOML gave.
    :param path: of the lock. ``pyproject.toml`` beside it is read too where the lock is older than lock-version 2.1.
    :raises ValueError: it is no lock that Poetry reads, or breaks a rule; the message names the key path.
    """
    lock = Table(data, "", _ADVICE)
    version = _lock_version(lock)
    entries = lock.tables("package")
    packages = packages_of(lock, entries)
    if version < _GROUPS_AND_MARKERS:
        nodes = [node_of(*one) for one in zip(entries, packages, strict=True)]
        return walked_lock(lock, nodes, _extras(lock), path)
    selected = tuple(_Selected(package, _markers(entry)) for entry, package in zip(entries, packages, strict=True))
    texts = (marker for one in selected for marker in one.markers.values() if marker)
    python = constraint_of(lock.table("metadata"), "python-versions")
    return PoetryLock(
        groups=tuple(dict.fromkeys(["main", *(group for one in selected for group in one.markers)])),
        extras=tuple(_extras(lock)),
        markers=tuple(dict.fromkeys(texts)),
        requires_python=python.specifier,
        python=python,
        packages=selected,
    )


def _lock_version(lock: Table) -> Version:
    metadata = lock.table("metadata")
    if not metadata.has("lock-version"):
        raise metadata.fault(
            "lock-version", "the version of the lock's format, from 1.0 on", metadata.get("lock-version")
        )
    version = metadata.needed_version("lock-version")
    if not Version("1") <= version < _TOO_NEW:
        problem = f"expected a poetry.lock of a version from 1.0 on and below 3, found {version}"
        remedy = "lock with a Poetry that writes 2.1" if version >= _TOO_NEW else _ADVICE
        raise ValueError(f"{metadata.path('lock-version')}: {problem}; {remedy}")
    return version


def _extras(lock: Table) -> Mapping[NormalizedName, tuple[NormalizedName, ...]]:
    extras = lock.table("extras")
    return {extras.as_name(name, name): extras.names(name) for name in extras.keys}


def _markers(entry: Table) -> Mapping[NormalizedName, str]:
    """Return the marker of each group that a package is in; where it holds nowhere, the group is left out."""
    if not entry.has("groups"):
        raise entry.fault("groups", "a list of groups", entry.get("groups"))
    by_group = {}
    for group in entry.texts("groups"):
        marker = _marker_of_group(entry, group)
        if marker is not None:
            by_group[entry.as_name("groups", group)] = marker
    return by_group


def _marker_of_group(entry: Table, group: str) -> str | None:
    if isinstance(entry.get("markers"), Mapping):
        return marker_of(entry.table("markers"), group)
    return marker_of(entry, "markers")


_KEYS_OF_POETRY = ("dependencies", "source", "extras", "dev-dependencies")
_KEYS_OF_PROJECT = ("requires-python", "dependencies", "optional-dependencies")


def stale(path: Path) -> str:
    """Say in a sentence that a lock is older than ``pyproject.toml`` beside it; empty where it is not, or can't be judged.

    Poetry refuses to install from such a lock. It writes the SHA-256 of what ``pyproject.toml`` requires, as JSON with
    sorted keys, into ``metadata.content-hash``; before 2.3.0 without ``[dependency-groups]``.

    :param path: of a lock that :func:`read` reads.
    """
    try:
        text = read_text(path, _LARGEST)
        locked = _mapping(tomli.loads(text).get("metadata")).get("content-hash")
        pyproject = tomli.loads(read_text(path.with_name("pyproject.toml"), _LARGEST))
        hashes = _content_hashes(pyproject, written_by=text.partition("\n")[0])
    except (ValueError, TypeError, RecursionError):  # TypeError: of json, on a date
        return ""  # what is wrong with the files is said where they are read
    if locked in hashes:
        return ""
    return "pyproject.toml has changed since the lock was made; Poetry refuses such a lock: run `poetry lock`"


def _content_hashes(pyproject: Mapping[str, object], written_by: str) -> set[str]:
    hashes = {content_hash(pyproject)}
    found = re.search(r"Poetry (\d+(?:\.\d+)*)", written_by)
    if found is None or Version(found[1]) < _LATE_GROUPS:
        hashes.add(_content_hash(pyproject, {}))
    return hashes


def content_hash(pyproject: Mapping[str, object]) -> str:
    """Return the hash of a project that Poetry writes into its lock, from 2.3.0 on."""
    return _content_hash(pyproject, _mapping(pyproject.get("dependency-groups")))


def _content_hash(pyproject: Mapping[str, object], groups: Mapping[str, object]) -> str:
    project = _mapping(pyproject.get("project"))
    poetry = _mapping(_mapping(pyproject.get("tool")).get("poetry"))
    standard = {key: project[key] for key in _KEYS_OF_PROJECT if key in project}
    new = bool(standard or groups)
    own = {key: poetry.get(key) for key in _KEYS_OF_POETRY if key in poetry or not new}
    if "group" in poetry:
        own["group"] = poetry["group"]
    content: dict[str, object] = {"tool": {"poetry": own}} if new else own
    content.update({key: value for key, value in (("project", standard), ("dependency-groups", groups)) if value})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
