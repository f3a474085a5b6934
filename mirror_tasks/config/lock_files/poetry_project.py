"""What a project requires, by group and extra, as Poetry reads its ``pyproject.toml``.

=======================================  =============================================================================
table                                    how it is read
=======================================  =============================================================================
[project] dependencies                   group ``main``
[project] optional-dependencies          group ``main``; the lock says which extras bring what
[tool.poetry.dependencies]               group ``main``; where [project] has dependencies it only says more of these, but
                                         for what is left to it by ``dynamic``
[tool.poetry.group.NAME.dependencies]    group NAME, with those of its ``include-groups``
[tool.poetry.dev-dependencies]           group ``dev``
[dependency-groups]                      groups; what they include is followed
=======================================  =============================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP
from mirror_tasks.config.lock_files.asked_extras import holds_for_any
from mirror_tasks.config.lock_files.poetry_edges import Dependency, dependencies_of
from mirror_tasks.config.lock_files.pyproject_beside import with_included
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.walking import Edge, requirement_edge

MAIN = canonicalize_name("main")


@dataclass(frozen=True, slots=True)
class Root:
    """One thing that a project requires; ``optional`` where only extras bring it."""

    group: NormalizedName
    edge: Edge
    optional: bool = False

    def is_wanted(self, environment: Environment, groups: Collection[str], extras: Collection[str]) -> bool:
        """Say if its group is asked for and its markers hold for any choice among the extras."""
        return self.group in groups and all(holds_for_any(one, environment, extras, PIP) for one in self.edge.markers)


@dataclass(frozen=True, slots=True)
class PoetryProject:
    """A project: its name (empty where it has none), its groups, and what it requires."""

    name: str
    groups: tuple[NormalizedName, ...]
    roots: tuple[Root, ...]


def read_project(data: Mapping[str, object]) -> PoetryProject:
    """Return the project that a ``pyproject.toml`` describes.

    :raises ValueError: a table is not as Poetry reads it; the message names the key path.
    """
    try:
        pyproject = Table(data, "", "correct pyproject.toml")
        project, poetry = pyproject.table("project"), pyproject.table("tool").table("poetry")
        groups = _groups(pyproject)
        roots = (*_main_roots(project, poetry), *(root for roots in groups.values() for root in roots))
        name = canonicalize_name(project.text("name") or poetry.text("name") or "")
    except ValueError as error:
        raise ValueError(f"pyproject.toml: {error}") from None
    return PoetryProject(name, (MAIN, *(group for group in groups if group != MAIN)), roots)


def _main_roots(project: Table, poetry: Table) -> Iterator[Root]:
    standard = (*_project_dependencies(project), *_optional_dependencies(project))
    own = [Root(MAIN, edge, optional) for edge, optional in dependencies_of(poetry.table("dependencies"))]
    yield from standard or own
    dynamic = project.texts("dynamic")
    if standard and ("dependencies" in dynamic or "optional-dependencies" in dynamic):
        # Poetry fills in what is missing: all that is optional, or all that is not
        kinds = {root.optional for root in standard}
        yield from (root for root in own if kinds == {not root.optional})


def _project_dependencies(project: Table) -> Iterator[Root]:
    for index, text in enumerate(project.texts("dependencies")):
        yield Root(MAIN, requirement_edge(project, f"dependencies[{index}]", text))


def _optional_dependencies(project: Table) -> Iterator[Root]:
    table = project.table("optional-dependencies")
    for key in table.keys:
        for index, text in enumerate(table.texts(key)):
            yield Root(MAIN, requirement_edge(table, f"{key}[{index}]", text), optional=True)


def _groups(pyproject: Table) -> Mapping[NormalizedName, tuple[Root, ...]]:
    """Return what each group requires, what it includes among it."""
    own: dict[NormalizedName, list[Dependency]] = {}
    includes: dict[NormalizedName, list[NormalizedName]] = {}
    for group, dependencies, included in (*_standard_groups(pyproject), *_poetry_groups(pyproject)):
        own.setdefault(group, []).extend(dependencies)
        includes.setdefault(group, []).extend(included)
    return {
        group: tuple(Root(group, *dependency) for one in with_included(group, includes) for dependency in own[one])
        for group in own
    }


_Group = tuple[NormalizedName, list[Dependency], list[NormalizedName]]
"""A group, what it requires, and which groups it includes."""


def _standard_groups(pyproject: Table) -> Iterator[_Group]:
    table = pyproject.table("dependency-groups")
    for key in table.keys:
        dependencies, included = [], []
        for index, one in enumerate(table.list(key)):
            place = f"{key}[{index}]"
            if isinstance(one, str):
                dependencies.append(Dependency(requirement_edge(table, place, one), False))
            else:
                included.append(table.inner(place, one).name("include-group"))
        yield table.as_name(key, key), dependencies, included


def _poetry_groups(pyproject: Table) -> Iterator[_Group]:
    poetry = pyproject.table("tool").table("poetry")
    table = poetry.table("group")
    for key in table.keys:
        group = table.table(key)
        dependencies = list(dependencies_of(group.table("dependencies")))
        yield table.as_name(key, key), dependencies, list(group.names("include-groups"))
    if poetry.has("dev-dependencies"):
        yield canonicalize_name("dev"), list(dependencies_of(poetry.table("dev-dependencies"))), []
