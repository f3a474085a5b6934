"""What a release in the mirror says of itself: from the records, else read from its file where that stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, parse_metadata
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.archives.wheel import wheel_metadata
from mirror_tasks.errors import MetadataError
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror


@dataclass(frozen=True, slots=True)
class Unread:
    """Why nobody knows what a release says of itself, as a phrase."""

    reason: str


def in_order(files: Sequence[PlannedFile], installs: Mapping[str, str]) -> Sequence[PlannedFile]:
    """Return the files of a release, first those whose metadata most surely is what an installer gets.

    :param installs: the name of the file that an installer takes, by environment; none for a release that is only kept.
    """
    taken = {filename: rank for rank, filename in enumerate(dict.fromkeys(installs.values()))}
    return sorted(
        files, key=lambda one: (taken.get(one.filename, len(taken)), not is_wheel(one.filename), one.filename)
    )


def said_by(mirror: Mirror, files: Sequence[PlannedFile]) -> CoreMetadata | Unread:
    """Return the core metadata of a release: that of the first of its files of which it is known.

    What the records do not have is read from the file in the mirror, once its hash was found right; nothing is fetched.
    """
    problems: list[str] = []
    for found in chain(_recorded(mirror, files), _standing(mirror, files)):
        if isinstance(found, CoreMetadata):
            return found
        problems.append(found.reason)
    if problems:
        return Unread(problems[0])
    return Unread(f"nobody read the metadata of {files[0].filename}, and it does not stand in the mirror")


def _recorded(mirror: Mirror, files: Sequence[PlannedFile]) -> Iterator[CoreMetadata | Unread]:
    for file in files:
        record = mirror.records.metadata(file.filename, file.sha256)
        if record is None:
            continue
        metadata = record.metadata
        if isinstance(metadata, Unusable):
            yield metadata.repaired or Unread(f"it can't be used: {metadata.reason}")
        else:
            yield metadata


def _standing(mirror: Mirror, files: Sequence[PlannedFile]) -> Iterator[CoreMetadata | Unread]:
    for file in files:
        path = mirror.package_path(file.project, file.filename)
        if mirror.ledger.is_right(path, file.sha256):
            yield _read(path)


def _read(path: Path) -> CoreMetadata | Unread:
    try:
        with path.open("rb") as archive:
            if is_wheel(path.name):
                return parse_metadata(wheel_metadata(archive, path.name, whole=False), path.name, repair=True)
            return sdist_metadata(archive, path.name)
    except MetadataError as error:
        return Unread(f"{error.subject}: {error.problem}")
