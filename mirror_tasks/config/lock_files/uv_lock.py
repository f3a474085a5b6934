"""``uv.lock``, as uv reads it: version 1, whatever the revision (0 to 5 were seen; each added keys that may be missing).

==========================================  ==========================================================================
``version``                                 1; what is newer is refused
``revision``                                whatever it is: what a newer one adds can be passed over
``requires-python``                         bounds all of the lock; its markers are written as if it held
``resolution-markers``                      the forks of the resolution; not asked here, for edges say where they lead
``supported-markers``                       ``tool.uv.environments``; uv installs nowhere else
``conflicts``                               lists of ``{package, extra}``, ``{package, group}`` or ``{package}``: of each
                                            list one may be asked for; they stand in markers as extras of their own
``options``, ``[manifest]`` ``constraints``,
``overrides``, ``excludes``,
``dependency-metadata``                     how it was resolved; the edges are what came of it
``[manifest]`` ``members``                  the members of the workspace; none: the package whose source is ``.``
``[manifest]`` ``requirements``             of a script (PEP 723), whose lock has another name
``[manifest]`` ``dependency-groups``        of a ``pyproject.toml`` without ``[project]``
``[manifest]`` ``build-constraints``        what binds the building of sdists
``[[package]]`` ``name``, ``version``       no version: that of a source tree which says it only when it is built
``source``                                  ``registry``: the URL of an index, or the path of a folder; ``url``, ``git``,
                                            ``path``, ``directory``, ``editable``, ``virtual`` (never installed)
``resolution-markers``                      the forks that have this one of several versions
``dependencies``                            edges: ``name``, ``extra``, ``marker``; ``version`` and ``source`` where several
                                            packages have the name
``optional-dependencies``                   edges by extra; ``dev-dependencies``: edges by group (PEP 735)
``metadata``                                what was declared: ``provides-extras``, ``requires-dev``, also of what is empty
``sdist``, ``wheels``                       ``url`` or ``path`` or (a wheel's) ``filename``; ``hash``; ``size``
==========================================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import UV, Installer
from mirror_tasks.config.lock_files.checks import UNKNOWN_VERSION
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.uv_conflicts import extra_item, group_item, project_item
from mirror_tasks.config.lock_files.uv_graph import Edge, Graph, Node, Start
from mirror_tasks.config.lock_files.uv_packages import Package, Packages, named, packages_of
from mirror_tasks.config.lock_files.uv_sources import files_of, own_source, required_source
from mirror_tasks.config.markers import holds

VERSION = 1

_LONGEST = 1000
"""Characters of a specifier; Python reads no number of more than 4,300 digits."""


class _Wanted(NamedTuple):
    """A requirement of the lock itself: it leads to the package of the name whose fork the environment is in."""

    table: Table
    name: NormalizedName
    extras: tuple[NormalizedName, ...]
    marker: str


@dataclass(slots=True)
class UvLock:
    """A ``uv.lock``: a :class:`~mirror_tasks.config.lock_files.model.LockFile`."""

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    build_constraints: tuple[Requirement, ...]
    _supported: tuple[str, ...] = field(repr=False)
    _packages: Packages = field(repr=False)
    _locked: tuple[LockedPackage | None, ...] = field(repr=False)
    _members: tuple[int, ...] = field(repr=False)
    _graph: Graph = field(repr=False)
    _required: tuple[_Wanted, ...] = field(repr=False)
    _grouped: Mapping[str, tuple[_Wanted, ...]] = field(repr=False)
    installer: Installer = UV

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return what ``uv sync --all-packages`` installs with these groups and extras; each side of a conflict in turn.

        Whether ``requires-python`` allows the environment is not asked here.

        :raises ValueError: it is not for this environment, or what it requires itself leads to no package, or to several.
        """
        markers = {**environment.markers[0], "extra": ""}

        def here(marker: str) -> bool:
            return holds(marker, markers, UV)

        self._check_supported(markers)
        wanted = [*self._required, *(one for group in self._grouped if group in groups for one in self._grouped[group])]
        edges = [self._edge(one, markers) for one in wanted if not one.marker or here(one.marker)]
        starts = list(self._starts(groups, extras))
        reached = self._graph.reached(starts, edges, set(self._asked(groups, extras)), here)
        return tuple(sorted(filter(None, (self._locked[place] for place in reached)), key=_order))

    def _check_supported(self, markers: Mapping[str, str]) -> None:
        if self._supported and not any(holds(marker, markers, UV) for marker in self._supported):
            raise ValueError(
                f"supported-markers: expected an environment where {' or where '.join(self._supported)}, found another, and "
                "uv refuses to install there; add it to `environments` of `[tool.uv]` in pyproject.toml and run `uv lock`, "
                "or name the environments that the lock is for in `environments`"
            )

    def _starts(self, groups: Collection[str], extras: Collection[str]) -> Iterator[Start]:
        """Yield the parts that are asked for, of those that have edges: uv knows no others then."""
        for place in self._members:
            package = self._packages.all[place]
            yield Start(place, project_item(package.name))
            yield from (Start(place, extra_item(package.name, one)) for one in package.extras if one in extras)
            yield from (Start(place, group_item(package.name, one)) for one in package.groups if one in groups)

    def _asked(self, groups: Collection[str], extras: Collection[str]) -> Iterator[str]:
        """Yield all items that are asked for: uv asks for each extra and group of every member."""
        for place in self._members:
            name = self._packages.all[place].name
            yield project_item(name)
            yield from (extra_item(name, extra) for extra in extras)
            yield from (group_item(name, group) for group in groups)

    def _edge(self, wanted: _Wanted, markers: Mapping[str, str]) -> Edge:
        """Return where a requirement of the lock itself leads in one environment."""
        called = [(place, self._packages.all[place].forks) for place in self._packages.called(wanted.name)]
        found = [place for place, forks in called if not forks or any(holds(one, markers, UV) for one in forks)]
        if len(found) == 1:
            return Edge(found[0], self._packages.all[found[0]].extra_items(wanted.extras))
        count = f"{len(found)} of them" if found else "none"
        raise wanted.table.fault("name", f"one package {wanted.name} whose `resolution-markers` hold", count)


def read(data: Mapping[str, object], _path: Path) -> UvLock:
    """Return the lock that parsed TOML is.

    :raises ValueError: it is of a newer version, or breaks its format; the message says the key path, what was expected
        and found, and what to do.
    """
    table = Table(data, "", "make the lock anew with `uv lock`")
    _check_version(table)
    manifest = table.table("manifest")
    packages = packages_of(table)
    members = _members(manifest, packages)
    required, grouped = _wanted(manifest, "requirements"), _grouped(manifest)
    if packages.all and not (members or required or grouped):
        raise manifest.problem("members", 'expected members, or a package whose source is ".", found none')
    nodes = packages.nodes()
    supported = table.markers("supported-markers")
    projects = {packages.all[place].name: packages.all[place] for place in members}
    conflicts = [tuple(map(_conflicting, tables)) for tables in table.lists_of_tables("conflicts")]
    # One without dependencies may be declared there alone.
    ours = [one for conflict in conflicts for one in conflict if one.package in projects]
    return UvLock(
        groups=_each_once(*(one.declared_groups for one in projects.values()), grouped, (one.group for one in ours)),
        extras=_each_once(*(one.declared_extras for one in projects.values()), (one.extra for one in ours)),
        markers=_each_once(supported, _markers(packages, nodes), _wanted_markers(required, grouped)),
        requires_python=_requires_python(table),
        build_constraints=tuple(map(_constraint, manifest.tables("build-constraints"))),
        _supported=supported,
        _packages=packages,
        _locked=tuple(_locked(package, place in members) for place, package in enumerate(packages.all)),
        _members=members,
        _graph=Graph(nodes, tuple(frozenset(one.item for one in conflict) for conflict in conflicts)),
        _required=required,
        _grouped=grouped,
    )


def _check_version(table: Table) -> None:
    """Only a newer version means that an older reader can't read it; revisions add what can be passed over."""
    version = table.number("version")
    if version is None or version < VERSION:
        raise table.fault("version", str(VERSION), table.get("version"))
    if version > VERSION:
        raise ValueError(
            f"version: this project reads version {VERSION} of uv.lock, found version {version}; lock with a uv that writes "
            f"version {VERSION}, or update this project"
        )
    table.number("revision")


def _requires_python(table: Table) -> str:
    text = table.needed_text("requires-python")
    try:
        return str(SpecifierSet(_short(text)))
    except ValueError:
        raise table.fault("requires-python", "versions of Python (PEP 440)", text) from None


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(text)
    return text


def _members(manifest: Table, packages: Packages) -> tuple[int, ...]:
    """Return the places of the workspace's members; a project without a workspace is the package in the lock's folder."""
    names = manifest.names("members")
    if not names:
        return tuple(place for place, package in enumerate(packages.all) if package.source.is_root)[:1]
    members: list[int] = []
    for number, name in enumerate(names):
        found = packages.called(name)
        if len(found) != 1:
            raise manifest.fault(f"members[{number}]", f"one package {name}", f"{len(found)} of them")
        members += found
    return tuple(members)


def _wanted(table: Table, key: str) -> tuple[_Wanted, ...]:
    return tuple(_Wanted(one, one.name("name"), one.names("extras"), one.marker("marker")) for one in table.tables(key))


def _grouped(manifest: Table) -> Mapping[str, tuple[_Wanted, ...]]:
    table = manifest.table("dependency-groups")
    return {name: _wanted(table, key) for name, key in named(table).items()}


class _Conflicting(NamedTuple):
    """An extra, a group, or neither for the project itself, of a package."""

    package: NormalizedName
    extra: NormalizedName | None
    group: NormalizedName | None

    @property
    def item(self) -> str:
        """It as uv names it in markers."""
        if self.extra:
            return extra_item(self.package, self.extra)
        return group_item(self.package, self.group) if self.group else project_item(self.package)


def _conflicting(table: Table) -> _Conflicting:
    if table.has("extra") and table.has("group"):
        raise table.fault("", "an extra or a group", "both")
    extra, group = (table.name(key) if table.has(key) else None for key in ("extra", "group"))
    return _Conflicting(table.name("package"), extra, group)


def _markers(packages: Packages, nodes: Iterable[Node]) -> Iterator[str]:
    for package in packages.all:
        yield from package.forks
    for node in nodes:
        for edges in node.parts.values():
            yield from (edge.marker for edge in edges)


def _wanted_markers(required: Iterable[_Wanted], grouped: Mapping[str, Iterable[_Wanted]]) -> Iterator[str]:
    for ones in (required, *grouped.values()):
        yield from (one.marker for one in ones)


def _each_once(*lists: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for each in lists for one in each if one))


def _locked(package: Package, is_member: bool) -> LockedPackage | None:
    """Return a package as it is mirrored; None for one that is passed over: a member, or what is never installed."""
    table, source = package.table, package.source
    if source.kind == "virtual" or (is_member and source.is_tree):
        return None
    own = own_source(table, source)
    return LockedPackage(
        name=package.name,
        version=UNKNOWN_VERSION if package.version is None else package.version,
        files=() if own else files_of(table),
        index=source.index_url,
        source=own,
    )


def _order(package: LockedPackage) -> tuple[str, Version, str, str]:
    return package.name, package.version, package.index or "", package.source


def _constraint(table: Table) -> Requirement:
    """Return a build constraint; one with a source of its own has it behind the ``@``."""
    extras, marker, source = table.names("extras"), table.marker("marker"), required_source(table)
    text = table.name("name") + (f"[{','.join(extras)}]" if extras else "")
    text += f" @ {source}" if source else table.text("specifier") or ""
    try:
        return Requirement(f"{_short(text)} ; {marker}" if marker else _short(text))
    except ValueError:
        raise table.fault("", "a requirement (PEP 508)", text) from None
