"""``pdm.lock`` without the strategy ``inherit_metadata``: it does not say where its packages are wanted.

pdm resolves again when it installs from it, among the packages of the lock, from what ``pyproject.toml`` beside it
requires in the groups that are asked for. A package stands there once more for each set of extras that something requires
of it, with what these bring.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.pdm_targets import Target, check_covered
from mirror_tasks.config.lock_files.walking import Edge, Origin, Walk
from mirror_tasks.config.poetry_constraints import Constraint

ADVICE = "the lock may be older than pyproject.toml: make it anew with `pdm lock`"


@dataclass(frozen=True, slots=True)
class PdmNode:
    """One package of a lock.

    :param where: its key path.
    :param requires: what it requires, by the extras that it has in that entry of the lock.
    :param is_part: it is the project itself or a member of its workspace.
    """

    package: LockedPackage
    where: str
    origin: Origin
    python: Constraint
    requires: Mapping[frozenset[NormalizedName], tuple[Edge, ...]]
    is_part: bool = False

    def edges(self, extras: frozenset[NormalizedName]) -> Iterator[Edge]:
        """Return what it requires itself, and with these of its extras.

        :raises ValueError: the lock lacks an entry with these extras.
        """
        yield from self.requires.get(frozenset(), ())
        if not extras:
            return
        if extras in self.requires:
            yield from self.requires[extras]
            return
        for extra in sorted(extras):
            if frozenset([extra]) not in self.requires:
                asked = ", ".join(sorted(extras))
                raise ValueError(f"{self.where}: expected an entry with extras [{asked}], found none; {ADVICE}")
            yield from self.requires[frozenset([extra])]


@dataclass(slots=True)
class WalkedPdmLock:
    """A lock that says what each package requires, and what the project requires in each group."""

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    targets: tuple[Target, ...]
    nodes: Mapping[NormalizedName, tuple[PdmNode, ...]]
    roots: Mapping[NormalizedName, tuple[Edge, ...]]
    project: str
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that are reached from what the project requires: see :class:`.LockFile`."""
        check_covered(self.targets, environment)
        asked = asked_groups(groups, extras, self.groups, self.extras)
        roots = [edge for group, edges in self.roots.items() if group in asked for edge in edges]
        parts = {node.package for nodes in self.nodes.values() for node in nodes if node.is_part}
        reached = Walk(self.nodes, environment, ADVICE, frozenset([self.project])).reached(roots)
        return tuple(package for package in reached if package not in parts)


def asked_groups(
    groups: Collection[str], extras: Collection[str], all_groups: Collection[str], all_extras: Collection[str]
) -> set[str]:
    """Return the groups that are asked for, by their own names or as extras; pdm calls both groups.

    Where all groups are asked for, nothing was said of them: then ``extras`` says which of these are.
    """
    if set(groups) >= set(all_groups):
        return {group for group in groups if group not in all_extras} | set(extras)
    return {*groups, *extras}


def by_name(nodes: Iterable[PdmNode]) -> Mapping[NormalizedName, tuple[PdmNode, ...]]:
    """Return packages by their name, the highest version first."""
    found: dict[NormalizedName, list[PdmNode]] = {}
    for node in sorted(nodes, key=lambda node: node.package.version, reverse=True):
        found.setdefault(node.package.name, []).append(node)
    return {name: tuple(many) for name, many in found.items()}


def markers_of(nodes: Iterable[PdmNode], roots: Mapping[NormalizedName, tuple[Edge, ...]]) -> Iterator[str]:
    """Yield what may hold on one Python and not on another: markers, and for which Pythons the packages are."""
    for edges in roots.values():
        yield from (marker for edge in edges for marker in edge.markers)
    for node in nodes:
        yield from (marker for edges in node.requires.values() for edge in edges for marker in edge.markers)
        if text := node.python.as_marker():
            yield str(Marker(text))
