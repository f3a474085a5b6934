"""The packages of a uv lock, and the edges between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.uv_conflicts import extra_item, group_item, project_item
from mirror_tasks.config.lock_files.uv_graph import Edge, Node
from mirror_tasks.config.lock_files.uv_sources import Source, source_of


@dataclass(frozen=True, slots=True)
class Package:
    """One ``[[package]]``, without its edges.

    :param version: None for a source tree that says it only when it is built.
    :param forks: markers, of which one holds where it is the one of its name; none where it is the only one.
    :param extras: those with edges, by name the key that they have in the lock; ``groups`` likewise.
    """

    table: Table
    name: NormalizedName
    version: Version | None
    source: Source
    forks: tuple[str, ...]
    extras: Mapping[NormalizedName, str]
    groups: Mapping[NormalizedName, str]

    @property
    def declared_extras(self) -> Iterator[str]:
        """The names of all its extras; ``declared_groups`` likewise."""
        yield from self.table.table("metadata").names("provides-extras")
        yield from self.extras

    @property
    def declared_groups(self) -> Iterator[str]:
        """The names of all its dependency groups, those without dependencies too."""
        yield from named(self.table.table("metadata").table("requires-dev"))
        yield from self.groups

    def extra_items(self, extras: Iterable[NormalizedName]) -> tuple[str, ...]:
        """Return those of the extras that it has, as items; uv passes over the others."""
        return tuple(extra_item(self.name, extra) for extra in extras if extra in self.extras)


@dataclass(frozen=True)
class Packages:
    """All packages of a lock; a package is known by its place among them."""

    all: tuple[Package, ...]

    @cached_property
    def _places(self) -> Mapping[tuple[str, Version | None], Sequence[int]]:
        places: dict[tuple[str, Version | None], list[int]] = {}
        for place, package in enumerate(self.all):
            for key in {(package.name, None), (package.name, package.version)}:
                places.setdefault(key, []).append(place)
        return places

    def called(self, name: str) -> Sequence[int]:
        """Return the places of the packages of a name."""
        return self._places.get((name, None), ())

    def nodes(self) -> tuple[Node, ...]:
        """Return the packages with all their edges.

        :raises ValueError: an edge leads to no package, or to several.
        """
        return tuple(map(self._node, self.all))

    def _node(self, package: Package) -> Node:
        table, name = package.table, package.name
        extras, groups = table.table("optional-dependencies"), table.table("dev-dependencies")
        parts = {project_item(name): self._edges(table, "dependencies")}
        parts |= {extra_item(name, extra): self._edges(extras, key) for extra, key in package.extras.items()}
        parts |= {group_item(name, group): self._edges(groups, key) for group, key in package.groups.items()}
        return Node(project_item(name), parts)

    def _edges(self, table: Table, key: str) -> tuple[Edge, ...]:
        return tuple(map(self._edge, table.tables(key)))

    def _edge(self, table: Table) -> Edge:
        place = self._target(table)
        return Edge(place, self.all[place].extra_items(table.names("extra")), table.marker("marker"))

    def _target(self, table: Table) -> int:
        """Return the one package that an edge leads to: version and source may be left out where one has the name."""
        name, version = table.name("name"), table.version("version")
        found = self._places.get((name, version), ())
        if table.has("source"):
            source = source_of(table)
            found = [place for place in found if self.all[place].source == source]
        if len(found) == 1:
            return found[0]
        wanted = f"{name} {version}" if version else name
        if found:
            found_count = f"{len(found)} packages are {wanted}"
            raise table.problem("", f"{found_count}; expected `version` and `source` of one of them")
        raise table.problem(
            "", f"expected a package {wanted}{' of this source' if self.called(name) else ''}, found none"
        )


def packages_of(lock: Table) -> Packages:
    """Return the packages of a lock.

    :raises ValueError: one breaks the format, or is there twice.
    """
    packages = tuple(map(_package, lock.tables("package")))
    seen: dict[tuple[str, Version | None, Source], Table] = {}
    for one in packages:
        first = seen.setdefault((one.name, one.version, one.source), one.table)
        if first is not one.table:
            raise one.table.problem("", f"expected each package once, found {one.name} here and in {first.place}")
    return Packages(packages)


def _package(table: Table) -> Package:
    package = Package(
        table=table,
        name=table.name("name"),
        version=table.version("version"),
        source=source_of(table),
        forks=table.markers("resolution-markers"),
        extras=named(table.table("optional-dependencies")),
        groups=named(table.table("dev-dependencies")),
    )
    if package.version is None and not package.source.is_tree:
        raise table.fault("version", "a version, as its source is no folder with sources", None)
    return package


def named(table: Table) -> Mapping[NormalizedName, str]:
    """Return the keys of a table by the names that they are.

    :raises ValueError: a key is no name, or two are the same.
    """
    names: dict[NormalizedName, str] = {}
    for key in table.keys:
        first = names.setdefault(table.as_name("", key), key)
        if first != key:
            raise table.problem("", f"expected each name once, found {first} and {key}")
    return names
