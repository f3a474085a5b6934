"""What the user brings along: files of its own, each of a project that they serve alone, before every index.

Such a project is bound to its files by its exact name: no index is asked for it, so nobody else's project of that name
can take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.utils import NormalizedName

from mirror_tasks.config.own_git import GitSource


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
    :param git: what they are built from; there are no others then.
    """

    name: NormalizedName
    files: tuple[OwnFile, ...] = ()
    git: GitSource | None = None


class OwnSources:
    """Collects the files of the user's own, by project."""

    def __init__(self) -> None:
        self._files: dict[NormalizedName, dict[str, OwnFile]] = {}
        self._git: dict[NormalizedName, GitSource] = {}

    def add(self, project: NormalizedName, file: OwnFile) -> None:
        """Take in a file.

        :raises ValueError: another one has its name.
        """
        files = self._files.setdefault(project, {})
        if files.setdefault(file.filename, file) != file:
            raise ValueError(f"{file.filename} is there already, from another place; keep one of them")

        if project in self._git:
            raise ValueError(f"{project} is built from git already, which is all that it can be; keep one of them")

    def build(self, project: NormalizedName, source: GitSource) -> None:
        """Take in a repository.

        :raises ValueError: the project has another source already: who knows which of two builds is the right one?
        """
        if self._git.setdefault(project, source) != source:
            raise ValueError(f"{project} is built from {self._git[project].shown} already; keep one of them")
        if project in self._files:
            raise ValueError(f"{project} has files of its own already, so it is not built from git; keep one of them")

    @property
    def projects(self) -> tuple[OwnProject, ...]:
        """All of them, sorted by name."""
        files = [OwnProject(name, _sorted(found)) for name, found in self._files.items()]
        built = [OwnProject(name, git=source) for name, source in self._git.items()]
        return tuple(sorted([*files, *built], key=lambda one: one.name))


def _sorted(files: Mapping[str, OwnFile]) -> tuple[OwnFile, ...]:
    return tuple(files[filename] for filename in sorted(files))


def names_of(projects: Iterable[OwnProject]) -> frozenset[NormalizedName]:
    """Return the names of the projects that have a source of their own: no index is asked for these."""
    return frozenset(one.name for one in projects)
