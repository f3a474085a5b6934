"""What the user brings along: files of its own, each of a project that they serve alone, before every index.

Such a project is bound to its files by its exact name: no index is asked for it, so nobody else's project of that name
can take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.utils import NormalizedName


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A wheel or sdist that ``mirror.yaml`` names, by itself or by the folder that it lies in.

    :param filename: checked to be safe as the last part of a path.
    :param url: ``file:`` for one of a folder. Never shown: it may carry credentials.
    :param sha256: in hexadecimal, where the user gives it.
    """

    filename: str
    url: str = field(repr=False)
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class OwnProject:
    """A project that is served from files of the user's own, and from nowhere else.

    :param files: sorted by name, each name once.
    """

    name: NormalizedName
    files: tuple[OwnFile, ...]


class OwnSources:
    """Collects the files of the user's own, by project."""

    def __init__(self) -> None:
        self._files: dict[NormalizedName, dict[str, OwnFile]] = {}

    def add(self, project: NormalizedName, file: OwnFile) -> None:
        """Take in a file.

        :raises ValueError: another one has its name.
        """
        files = self._files.setdefault(project, {})
        if files.setdefault(file.filename, file) != file:
            raise ValueError(f"{file.filename} is there already, from another place; keep one of them")

    @property
    def projects(self) -> tuple[OwnProject, ...]:
        """All of them, sorted by name."""
        return tuple(_project(name, self._files[name]) for name in sorted(self._files))


def _project(name: NormalizedName, files: Mapping[str, OwnFile]) -> OwnProject:
    return OwnProject(name, tuple(files[filename] for filename in sorted(files)))


def names_of(projects: Iterable[OwnProject]) -> frozenset[NormalizedName]:
    """Return the names of the projects that have a source of their own: no index is asked for these."""
    return frozenset(one.name for one in projects)
