"""What the pages for people know of the metadata of files: the records of it, and what stands in the mirror itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path

from mirror_tasks.archives.core_metadata import CoreMetadata, read_metadata
from mirror_tasks.files import read_or_none
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.layout import metadata_path, package_path
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.records import Records


class MetadataOfPlan:
    """The core metadata of the files of a plan.

    Of a release mostly one file was read, and has a record. Nothing makes sure of that in a run for what is only kept for
    locks, named by one, or could not be asked for: where no file of a release has a record, its first wheel says it itself.
    """

    def __init__(self, plan: Plan, records: Records, output: Path) -> None:
        self._plan = plan
        self._records = records
        self._output = output
        self._unread = lru_cache(maxsize=1024)(self._find_unread)

    def __call__(self, file: PlannedFile) -> CoreMetadata | None:
        """Return what is known of a file; None where nothing is."""
        if record := self._records.metadata(file.filename, file.sha256):
            return record.metadata if isinstance(record.metadata, CoreMetadata) else None
        if self._unread(file.project, file.version) != file.filename:
            return None
        content = read_or_none(metadata_path(package_path(self._output, file.project, file.filename)))
        found = None if content is None else read_metadata(content, file.filename)
        return found if isinstance(found, CoreMetadata) else None

    def _find_unread(self, project: str, version: str) -> str | None:
        """Return the name of the first wheel of a release; None where a file of it has a record."""
        files = self._by_release.get((project, version), ())
        if any(self._records.metadata(one.filename, one.sha256) for one in files):
            return None
        return next((one.filename for one in files if is_wheel(one.filename)), None)

    @cached_property
    def _by_release(self) -> Mapping[tuple[str, str], list[PlannedFile]]:
        grouped: dict[tuple[str, str], list[PlannedFile]] = defaultdict(list)
        for file in self._plan.published:
            grouped[file.project, file.version].append(file)
        return grouped
