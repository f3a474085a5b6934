"""Whether a ``uv.lock`` is older than the projects that it was made of.

uv keeps no hash of a project: it writes what each member of the workspace requires into the lock (``package.metadata``), and
``uv sync --locked`` compares that. Here names and specifiers are compared, since uv writes markers in a form of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, cast

import tomli
from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mirror_tasks.config.requirement_files import read_text
from mirror_tasks.config.toml_file import below, read_toml

_LARGEST = 16 << 20  # bytes
# Of what has a source of its own uv writes no specifier.
_OWN_SOURCES = frozenset({"git", "url", "path", "directory", "editable", "virtual"})


def stale(path: Path) -> str:
    """Say in a sentence which project has changed since the lock was made; empty where none has, or it can't be judged.

    :param path: of a lock that :func:`.uv_lock.read` reads.
    """
    try:
        packages = tomli.loads(read_text(path, _LARGEST)).get("package", [])
        changed = [folder for folder, entries in _members(packages) if _has_changed(path.parent / folder, entries)]
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return ""  # what is wrong with the files is said where they are read
    if not changed:
        return ""
    projects = ", ".join(str(PurePosixPath(folder) / "pyproject.toml") for folder in changed)
    return f"{projects} changed since the lock was made; `uv sync --frozen` goes by the lock: run `uv lock`"


def _members(packages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Yield the folder of each member of the workspace, with what the lock says that it requires."""
    for package in packages:
        folder = package["source"].get("editable") or package["source"].get("virtual")
        if folder and not PurePosixPath(folder).is_absolute() and ".." not in PurePosixPath(folder).parts:
            metadata = package.get("metadata", {})
            lists = [metadata.get("requires-dist", []), *metadata.get("requires-dev", {}).values()]
            yield folder, [entry for one in lists for entry in one]


def _has_changed(folder: Path, entries: Sequence[Mapping[str, Any]]) -> bool:
    project = read_toml(folder / "pyproject.toml")
    table = below(project, "project")
    if not {"dependencies", "optional-dependencies"}.isdisjoint(cast(Iterable[str], table.get("dynamic", ()))):
        return False  # only its backend knows
    own = {str(table["name"]), *(entry["name"] for entry in entries if _OWN_SOURCES & entry.keys())}
    free = {canonicalize_name(name) for name in own}
    required = ((one.name, one.specifier) for one in map(Requirement, _lines(project, table)))
    locked = ((entry["name"], SpecifierSet(entry.get("specifier", ""))) for entry in entries)
    return _compared(required, free) != _compared(locked, free)


def _compared(said: Iterable[tuple[str, SpecifierSet]], free: Collection[str]) -> frozenset[tuple[str, SpecifierSet]]:
    """Return names and specifiers; no specifier of the projects of which they say nothing."""
    named = ((canonicalize_name(name), specifier) for name, specifier in said)
    return frozenset((name, SpecifierSet() if name in free else specifier) for name, specifier in named)


def _lines(project: Mapping[str, object], table: Mapping[str, Any]) -> Iterator[str]:
    yield from table.get("dependencies", ())
    for lines in table.get("optional-dependencies", {}).values():
        yield from lines
    groups = below(project, "dependency-groups")
    for name in groups:
        yield from resolve_dependency_groups(cast(Any, groups), name)
    yield from cast(Iterable[str], below(project, "tool", "uv").get("dev-dependencies", ()))
