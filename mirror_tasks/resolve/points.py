"""The points of an environment: the patch releases of its Python, and the installers, for which a root is judged.

``3.11`` stands for every 3.11.x. Between two of them nothing differs unless a Requires-Python or a marker changes its
answer there, so it is enough to judge the first of each stretch. And the installers need to be told apart only where
they judge some marker differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.environments import Environment, sees_the_patch
from mirror_tasks.config.markers import INSTALLERS, judged_alike
from mirror_tasks.config.mirror_yaml import Root
from mirror_tasks.index.project import File


class Point(NamedTuple):
    """A patch release of a range (0 for an exact Python), and the installer that judges."""

    patch: int
    installer: str

    def of(self, environment: Environment) -> Environment:
        """Return the environment at this point."""
        return environment.at(self.patch, self.installer)

    def __str__(self) -> str:
        return f"{self.patch}" if self.installer == INSTALLERS[0] else f"{self.patch}/{self.installer}"


class Met:
    """The specifiers and markers that were met, of those that can differ between points."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._pythons: set[str] = set()
        self._markers: set[str] = set()
        self._files: set[tuple[str, bool]] = set()
        for root in roots:
            self._meet_markers(
                str(one) for one in (*root.constraints, *(line.requirement for line in root.requirements))
            )

    def meet(self, file: File, metadata: CoreMetadata | None) -> None:
        """Take in what a file's page says, and its metadata where that is known."""
        key = (file.filename, metadata is not None)
        if key in self._files:
            return
        self._files.add(key)
        told = (file.requires_python, metadata.requires_python if metadata else None)
        self._pythons.update(text for text in told if text)
        self._meet_markers(metadata.requires_dist if metadata else ())

    def _meet_markers(self, lines: Iterable[str]) -> None:
        for line in lines:
            requirement = parse_requirement(line) if ";" in line else None
            marker = str(requirement.marker) if requirement is not None and requirement.marker else ""
            if marker and (sees_the_patch(marker) or not judged_alike(marker)):
                self._markers.add(marker)

    def points(self, environment: Environment) -> Iterator[Point]:
        """Yield the points at which an environment has to be judged, the lowest Python first."""
        patches = {0}
        for text in self._pythons:
            patches |= environment.turns(text)
        for marker in self._markers:
            patches |= environment.turns(None, marker)
        divided = any(map(environment.divides, self._markers)) or any(map(environment.divides_by_python, self._pythons))
        for patch in sorted(patches):
            yield from (Point(patch, one) for one in (INSTALLERS if divided else INSTALLERS[:1]))
