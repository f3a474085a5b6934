"""``poetry.lock`` before lock-version 2.1, which does not say where its packages are wanted.

Poetry resolves again when it installs from it, among the packages of the lock, from what ``pyproject.toml`` beside it
requires in the groups that are asked for, all extras among it. Of what it finds it leaves out what only extras lead to,
unless an extra that is asked for leads there (``[extras]``, and then what each package requires). So it is done here
(Poetry 1.8.5 and 2.5.1 [ran]); ``poetry export`` goes by what the lock has as ``optional``, which may be more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.poetry_edges import PoetryNode, check_python, constraint_of
from mirror_tasks.config.lock_files.poetry_project import PoetryProject, read_project
from mirror_tasks.config.lock_files.pyproject_beside import pyproject_beside
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.walking import Walk
from mirror_tasks.config.poetry_constraints import Constraint

Extras = Mapping[NormalizedName, tuple[NormalizedName, ...]]
"""The names of the packages that each extra of the project brings."""

_ADVICE = "the lock may be older than pyproject.toml: make it anew with `poetry lock`"
_UNLOCKED = frozenset({"setuptools", "distribute", "pip", "wheel"})
"""What Poetry put into no lock before 1.6."""


@dataclass(slots=True)
class WalkedPoetryLock:
    """A lock that says what each package requires (before lock-version 2.1), and the project that it is of."""

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    python: Constraint
    nodes: Mapping[NormalizedName, tuple[PoetryNode, ...]]
    project: PoetryProject
    packages_of_extras: Extras
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that are reached from what the project requires: see :class:`.LockFile`."""
        check_python(self.python, environment)
        roots = [root for root in self.project.roots if root.is_wanted(environment, groups, extras)]
        walk = Walk(self.nodes, environment, _ADVICE, frozenset([self.project.name]), _UNLOCKED)
        walk.settle(root.edge for root in roots)
        needed = walk.names_from(root.edge for root in roots if not root.optional)
        asked = [name for extra, names in self.packages_of_extras.items() if extra in extras for name in names]
        return walk.packages(needed | walk.names_below(asked))


def walked_lock(lock: Table, nodes: Sequence[PoetryNode], extras: Extras, path: Path) -> WalkedPoetryLock:
    """Return a lock with the project that ``pyproject.toml`` beside it describes.

    :raises ValueError: that is not there, or is not as Poetry reads it.
    """
    metadata = lock.table("metadata")
    version = f"{metadata.path('lock-version')}: {metadata.get('lock-version')} does not say where packages are wanted"
    project = read_project(pyproject_beside(path, version))
    python = constraint_of(metadata, "python-versions")
    return WalkedPoetryLock(
        groups=project.groups,
        extras=tuple(extras),
        markers=tuple(dict.fromkeys(_markers(nodes, project))),
        requires_python=python.specifier,
        python=python,
        nodes=_by_name(nodes),
        project=project,
        packages_of_extras=extras,
    )


def _markers(nodes: Iterable[PoetryNode], project: PoetryProject) -> Iterable[str]:
    """Yield what may hold on one Python and not on another: markers, and for which Pythons the packages are."""
    for root in project.roots:
        yield from root.edge.markers
    for node in nodes:
        yield from (marker for edge, _ in node.dependencies for marker in edge.markers)
        if text := node.python.as_marker():
            yield str(Marker(text))


def _by_name(nodes: Iterable[PoetryNode]) -> Mapping[NormalizedName, tuple[PoetryNode, ...]]:
    by_name: dict[NormalizedName, list[PoetryNode]] = {}
    for node in sorted(nodes, key=lambda node: node.package.version, reverse=True):
        by_name.setdefault(node.package.name, []).append(node)
    return {name: tuple(many) for name, many in by_name.items()}
