"""What pdm reads in the ``pyproject.toml`` of a project that it locked.

=======================================  =============================================================================
table                                    how it is read
=======================================  =============================================================================
[project] dependencies                   group ``default``
[project] optional-dependencies          groups, the extras of the project
[dependency-groups]                      groups; what they include is followed
[tool.pdm.dev-dependencies]              groups, in addition to those of the same name
[tool.pdm.workspace] members             folders of projects that are locked together, parts of ``default``
=======================================  =============================================================================

A group that requires the project itself with extras (``ours[wide]``) includes the groups of these names.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.lock_files.pyproject_beside import with_included
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.walking import Edge, requirement_edge

DEFAULT = canonicalize_name("default")
_EGG = re.compile(r"(?:^|&)egg=([\w.-]+)(\[[\w.,-]*\])?")


@dataclass(frozen=True, slots=True)
class PdmProject:
    """A project.

    :param name: empty where it has none.
    :param extras: the groups that are its extras.
    :param development: the groups that are none, but for ``default``.
    :param members: patterns of the folders of its workspace.
    """

    name: str = ""
    extras: tuple[NormalizedName, ...] = ()
    development: tuple[NormalizedName, ...] = ()
    members: tuple[str, ...] = ()

    def is_part(self, path: str) -> bool:
        """Say if a path is that of the project itself or of a member of its workspace."""
        parts = tuple(part for part in posixpath.normpath(path).split("/") if part != ".")
        return not parts or any(_matches(parts, tuple(posixpath.normpath(one).split("/"))) for one in self.members)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Say if a path matches a pattern of paths; ``**`` stands for any number of folders."""
    starts = {0}  # where in the path what was matched so far may end
    for one in pattern:
        if one == "**":
            starts = set(range(min(starts, default=len(parts) + 1), len(parts) + 1))
        else:
            starts = {at + 1 for at in starts if at < len(parts) and fnmatch.fnmatchcase(parts[at], one)}
    return len(parts) in starts


def read_project(data: Mapping[str, object]) -> PdmProject:
    """Return the project that a ``pyproject.toml`` describes.

    :raises ValueError: a table is not as pdm reads it; the message names the key path.
    """
    try:
        pyproject = Table(data, "", "correct pyproject.toml")
        project = pyproject.table("project")
        extras = project.table("optional-dependencies")
        settings = pyproject.table("tool").table("pdm")
        groups = (pyproject.table("dependency-groups"), settings.table("dev-dependencies"))
        return PdmProject(
            name=canonicalize_name(project.text("name") or ""),
            extras=tuple(extras.as_name(key, key) for key in extras.keys),
            development=tuple(dict.fromkeys(table.as_name(key, key) for table in groups for key in table.keys)),
            members=settings.table("workspace").texts("members"),
        )
    except ValueError as error:
        raise ValueError(f"pyproject.toml: {error}") from None


def read_groups(data: Mapping[str, object], name: str) -> Mapping[NormalizedName, tuple[Edge, ...]]:
    """Return what each group of a project requires, with what it includes.

    :param name: of the project, normalised.
    :raises ValueError: a table is not as pdm reads it; the message names the key path.
    """
    try:
        groups = _Groups(name)
        groups.add_all(Table(data, "", "correct pyproject.toml"))
        return {group: tuple(groups.edges_of(group)) for group in groups.edges}
    except ValueError as error:
        raise ValueError(f"pyproject.toml: {error}") from None


class _Groups:
    """Collects the groups of a project, and which of them include which."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.edges: dict[NormalizedName, list[Edge]] = {}
        self.includes: dict[NormalizedName, list[NormalizedName]] = {}

    def add_all(self, pyproject: Table) -> None:
        project = pyproject.table("project")
        self._add(DEFAULT, project, "dependencies")
        development = pyproject.table("tool").table("pdm").table("dev-dependencies")
        for table in (project.table("optional-dependencies"), pyproject.table("dependency-groups"), development):
            for key in table.keys:
                self._add(table.as_name(key, key), table, key)

    def _add(self, group: NormalizedName, table: Table, key: str) -> None:
        edges, includes = self.edges.setdefault(group, []), self.includes.setdefault(group, [])
        for index, one in enumerate(table.list(key)):
            place = f"{key}[{index}]"
            if not isinstance(one, str):
                includes.append(table.inner(place, one).name("include-group"))
                continue
            edge = line_edge(table, place, one)
            if self.name and edge.name == self.name:
                includes.extend(sorted(edge.extras))
            else:
                edges.append(edge)

    def edges_of(self, group: NormalizedName) -> Iterator[Edge]:
        for one in with_included(group, self.includes):
            yield from self.edges[one]


def line_edge(table: Table, place: str, text: str) -> Edge:
    """Return a requirement as pdm writes it: that of PEP 508, or ``-e URL#egg=NAME``.

    :raises ValueError: it is none of these.
    """
    line = text.removeprefix("-e ").strip()
    url, _, rest = line.partition("#")
    fragment, _, marker = rest.partition(";")
    found = _EGG.search(fragment)
    if found:
        line = f"{found[1]}{found[2] or ''} @ {url}{f' ; {marker}' if marker else ''}"
    return requirement_edge(table, place, line)
