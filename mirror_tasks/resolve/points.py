"""The points of an environment: the patch releases of its Python for which a root is judged.

``3.11`` stands for every 3.11.x. Between two of them nothing differs unless a Requires-Python or a marker changes its
answer there, for one of the installers, so it is enough to judge the first of each stretch.
"""

from __future__ import annotations

from collections.abc import Iterable

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Root
from mirror_tasks.config.patch_releases import sees_the_patch
from mirror_tasks.index.project import File
from mirror_tasks.resolve.bounds import marked_lines


class Met:
    """The specifiers and markers that were met, of those that can differ between patch releases."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._pythons: set[str] = set()
        self._markers: set[str] = set()
        self._files: set[tuple[str, bool]] = set()
        for root in roots:
            self._meet_markers(marked_lines(root))

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
            if sees_the_patch(marker):
                self._markers.add(marker)

    def patches(self, environment: Environment) -> list[int]:
        """Return the patch releases on which an environment has to be judged, sorted; 0 for an exact Python."""
        found = {0}
        for text in self._pythons:
            found |= environment.turns(text)
        for marker in self._markers:
            found |= environment.turns(None, marker)
        return sorted(found)
