"""What a release requires of a project that the root binds as well: where no version meets both, no installation can have it.

Only what it requires in every case counts, whatever the extras and the patch release: anything else may never be asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.resolve.bounds import Bounds


@dataclass(frozen=True, slots=True)
class BoundRequirement:
    """A requirement of a release, and what a line or a constraint of the root says of the same project."""

    name: NormalizedName
    requirement: Requirement
    bound: SpecifierSet

    def contradiction(self, versions: Iterable[Version]) -> str | None:
        """Return why no installation of the root can meet both, as a phrase; None where one of the versions does.

        :param versions: all that there are of the project.
        """
        both = self.requirement.specifier & self.bound
        if any(both.contains(version, prereleases=True) for version in versions):
            return None
        return f"it requires {self.requirement}, and mirror.yaml holds {self.name} to {self.bound}"


def bound_requirements(
    requirements: Iterable[tuple[NormalizedName, Requirement]], bounds: Bounds, environment: Environment
) -> Iterator[BoundRequirement]:
    """Yield those of a release's requirements that hold in every case and are bound by the root."""
    for name, requirement in requirements:
        if name in bounds.specifiers and environment.marker_always_applies(requirement.marker):
            yield BoundRequirement(name, requirement, bounds.specifiers[name])
