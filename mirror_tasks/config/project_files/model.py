"""What the ``pyproject.toml`` of a project says, whichever tool's tables it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.model import DynamicProject, NamedIndex

Part = tuple[str, NormalizedName]
"""An extra (``extra``, name) or a group (``group``, name)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a dependency comes from if not just from any index.

    :param project: the file of a project on this disk, absolute; None for none.
    :param other: a file, URL or repository, as a requirement has it behind the ``@``; empty for none.
    :param indexes: those that are named for it, each with the marker of the environments that it is for; empty for all.
    """

    project: Path | None = None
    other: str = ""
    indexes: tuple[tuple[NamedIndex, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dependency:
    """One requirement of a project.

    :param where: its place, such as ``app/pyproject.toml: project.dependencies[2]``.
    :param source: None where any index serves it.
    """

    requirement: Requirement
    where: str
    source: Source | None = None

    @property
    def name(self) -> NormalizedName:
        """The normalised name of the project that is required."""
        return canonicalize_name(self.requirement.name)


Dependencies = tuple[Dependency, ...]


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """What a ``pyproject.toml`` says.

    :param shown: its name for messages.
    :param name: of the project; empty where there is none.
    :param requires_python: specifiers, of which one has to allow the Python; none for any Python.
    :param build_requires: what building it takes, also with ``-e``; none where it is not to be built.
    :param constraints: what else holds together with all of it.
    :param conflicts: sets of extras and groups of which no two go together.
    :param dynamic: its build backend alone says some of it; None where the file says it all.
    """

    path: Path
    shown: str
    name: str
    requires_python: tuple[str, ...]
    dependencies: Dependencies
    extras: Mapping[NormalizedName, Dependencies]
    groups: Mapping[NormalizedName, Dependencies]
    build_requires: Dependencies
    constraints: tuple[Requirement, ...] = ()
    conflicts: tuple[frozenset[Part], ...] = ()
    dynamic: DynamicProject | None = None

    @property
    def is_known(self) -> bool:
        """Say if it is known what it requires: its backend need not be asked, or was."""
        return self.dynamic is None or self.dynamic.is_known
