"""What a plan, and the core metadata of its files, say of each project: the pages for people look it up here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.resolve.plan import Plan, PlannedFile, PlannedRelease


class Contents:
    """What is in the mirror.

    :ivar metadata: gives a file's core metadata, or None where it is not known.
    """

    def __init__(self, plan: Plan, metadata: Callable[[PlannedFile], CoreMetadata | None]) -> None:
        self.plan = plan
        self.metadata = metadata

    @cached_property
    def releases(self) -> Mapping[str, Sequence[PlannedRelease]]:
        """The releases of each project, newest first."""
        grouped: dict[str, list[PlannedRelease]] = defaultdict(list)
        for release in self.plan.releases:
            grouped[release.project].append(release)
        return {
            name: sorted(releases, key=lambda release: Version(release.version), reverse=True)
            for name, releases in grouped.items()
        }

    def files(self, name: str) -> Sequence[PlannedFile]:
        """Return the files of a project that are in the plan; of one that left it wholly, those that are kept.

        :raises KeyError: the mirror has no file of a project of this name.
        """
        return self.plan.by_project.get(name) or self.plan.published_by_project[name]

    def versions(self, name: str) -> Sequence[str]:
        """Return the versions of these files, newest first."""
        return sorted({file.version for file in self.files(name)}, key=Version, reverse=True)

    def described_files(self, name: str, version: str) -> Sequence[PlannedFile]:
        """Return a release's files, first those that installers take: what they say is what counts."""
        installs = {
            filename
            for release in self.releases.get(name, ())
            if release.version == version
            for filename in release.installs.values()
        }
        files = [file for file in self.files(name) if file.version == version]
        return sorted(files, key=lambda file: (file.filename not in installs, file.filename))

    def newest(self, name: str) -> CoreMetadata | None:
        """Return the core metadata of a project's newest release, or None."""
        files = self.described_files(name, self.versions(name)[0])
        return next((metadata for file in files if (metadata := self.metadata(file))), None)

    def environments_of(self, name: str) -> Sequence[str]:
        """Return the environments that these files are for."""
        return sorted({environment for file in self.files(name) for environment in file.environments})
