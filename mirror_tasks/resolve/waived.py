"""What the policy says of files that are planned: which an exception lets in, and which of an earlier plan are refused now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from operator import attrgetter

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.policy import Waiver
from mirror_tasks.policy.permission import Finding, Permission, Said, Subject
from mirror_tasks.resolve.plan import PlannedFile, Waived

IN_ORDER = attrgetter("project", "filename", "rule", "refusal")
"""By which a plan sorts what exceptions let in."""


def waived_in(
    files: Collection[PlannedFile],
    permission: Permission | None,
    metadata: Mapping[str, object],
    environments: Mapping[str, Environment],
    index_of: Callable[[PlannedFile], str],
) -> tuple[Waived, ...]:
    """Return what of planned files the policy refuses and an exception lets in, sorted.

    :param metadata: of files, by name, as far as it is known.
    :param index_of: gives the base URL of the index that a file is from; empty where that is not known.
    """
    if permission is None or not permission.policy.exceptions:
        return ()
    found: set[Waived] = set()
    by_hash = {_announced(file): metadata[file.filename] for file in files if file.filename in metadata}
    for file in files:
        # Of several wheels with the same METADATA one was read.
        said = metadata.get(file.filename) or by_hash.get(_announced(file) or "")
        known = said if isinstance(said, CoreMetadata | Unusable) else None
        for one in _findings(file, permission, known, environments, index_of):
            if one.waiver is not None:
                found.add(_waived(file, one, one.waiver))
    return tuple(sorted(found, key=IN_ORDER))


def _announced(file: PlannedFile) -> str | None:
    return (file.file.core_metadata or {}).get("sha256")


def _findings(
    file: PlannedFile,
    permission: Permission,
    metadata: Said,
    environments: Mapping[str, Environment],
    index_of: Callable[[PlannedFile], str],
) -> Iterator[Finding]:
    index = index_of(file) if permission.asks_index_of(file.file) else ""
    subject = Subject(canonicalize_name(file.project), Version(file.version), file.file, index)
    for name in file.environments:
        yield from permission.findings(subject, environments.get(name))
    if permission.reads_metadata:
        yield from permission.findings_in(subject.project, subject.version, metadata)


def _waived(file: PlannedFile, finding: Finding, waiver: Waiver) -> Waived:
    return Waived(
        project=file.project,
        version=file.version,
        filename=file.filename,
        rule=finding.rule,
        refusal=finding.reason,
        advisory=finding.advisory,
        reason=waiver.reason,
        until=waiver.until.isoformat(),
        where=waiver.where,
    )


def refusal_of(
    file: PlannedFile,
    permission: Permission,
    metadata: Said,
    environments: Mapping[str, Environment],
    index_of: Callable[[PlannedFile], str],
) -> str | None:
    """Return why the policy refuses a file that an earlier plan had, as a phrase; None if it is permitted.

    :param metadata: of the file; None where nobody knows it, so that its licence is unknown.
    """
    refused = (one for one in _findings(file, permission, metadata, environments, index_of) if one.waiver is None)
    return next((one.reason for one in refused), None)
