"""The core metadata of a file: from its record, from a sidecar, from the end of a wheel, or from the whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from mirror_tasks.archives.build_backend import ask_backend, is_known
from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.config.bindings import general_index
from mirror_tasks.errors import IntegrityError, MetadataError, UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.records import MetadataRecord
from mirror_tasks.work import jobs
from mirror_tasks.work.files import Files
from mirror_tasks.work.jobs import Wheel
from mirror_tasks.work.processes import READING, RECEIVING

_LARGE = 32 << 20  # bytes; a wheel of so many has its metadata read by ranges before it is fetched


class MetadataReader:
    """Reads the core metadata of the files of one mirror, and keeps it."""

    def __init__(self, mirror: Mirror, upstream: Upstream, files: Files) -> None:
        self._records = mirror.records
        self._note = mirror.note
        self._asks_backends = mirror.config.ask_backends
        self._upstream = upstream
        self._files = files
        self._without_sidecars: set[str] = set()

    def read(self, project: str, file: File, *, is_likely: bool = False) -> CoreMetadata | Unusable:
        """Return the core metadata of a file, from its record or from upstream; what breaks a rule is unusable, with the reason.

        :param file: with its SHA-256.
        :param is_likely: unless its metadata breaks a rule, the file will be mirrored in this run, and is then
            fetched whole at once, if it is not large.
        :raises UpstreamError: it can't be had.
        :raises IntegrityError: what arrived is not what the index announced.
        """
        if (known := self.known(file)) is not None:
            return known
        record = self._record(project, file, is_likely=is_likely)
        self._records.keep_metadata(file.filename, record)
        return record.metadata

    def known(self, file: File) -> CoreMetadata | Unusable | None:
        """Return the core metadata of a file from its record; None where it has to be read."""
        sha256 = file.hashes.get("sha256")
        record = self._records.metadata(file.filename, sha256) if sha256 else None
        return None if record is None or self._has_to_ask(file, record) else record.metadata

    def known_surprises(self, files: Iterable[File]) -> Iterator[tuple[str, CoreMetadata | Unusable]]:
        """Yield what an earlier run found that files say, where it is of no use, or not what the page announces; asks nobody.

        Of a release the closure reads only what an installer prefers; what is wrong with the others shows when they come.
        What an earlier run read by chance does not count: its own plan did not hang on it, nor does that of this run.
        """
        for file in files:
            sha256 = file.hashes.get("sha256")
            if sha256 is None or f"{file.filename}.json" not in self._kept_before:
                continue
            record = self._records.metadata(file.filename, sha256)
            announced = (file.core_metadata or {}).get("sha256")
            if (
                record
                and record.is_found
                and (isinstance(record.metadata, Unusable) or announced not in (None, record.metadata_sha256))
            ):
                yield file.filename, record.metadata

    @cached_property
    def _kept_before(self) -> frozenset[str]:
        """The names of the records that earlier runs kept."""
        try:
            return frozenset(path.name for path in self._records.metadata_record_path("any").parent.iterdir())
        except OSError:
            return frozenset()

    def _has_to_ask(self, file: File, record: MetadataRecord) -> bool:
        return self._asks_backends and not record.asked and not is_wheel(file.filename)

    def _record(self, project: str, file: File, *, is_likely: bool) -> MetadataRecord:
        if not is_wheel(file.filename):
            return self._sdist(project, file)
        # With a sidecar nobody has to wait for the wheel.
        wheel = self._sidecar(file) or self._wheel(project, file, is_likely=is_likely)
        return wheel.record(file.hashes["sha256"])

    def _sidecar(self, file: File) -> Wheel | None:
        """Return what an announced sidecar says; None where it is not what was announced: the wheel itself decides then."""
        if file.core_metadata is None:
            return None
        try:
            wheel = RECEIVING.call(jobs.read_sidecar, self._upstream.route, file)
        except (UpstreamError, IntegrityError) as error:
            self._note_missing_sidecar(file, error.problem)
            return None
        if isinstance(wheel.metadata, Unusable):
            self._note_missing_sidecar(file, wheel.metadata.reason)
            return None
        return wheel

    def _note_missing_sidecar(self, file: File, problem: str) -> None:
        """Where one sidecar is missing many are: one line tells of all that a host has."""
        host = urlsplit(file.url).netloc
        if host not in self._without_sidecars:
            self._without_sidecars.add(host)
            self._note(
                f"core metadata that the index announces at {host} is not there as announced, so it is read from the "
                f"wheels themselves; the first: {file.filename}.metadata: {problem}"
            )

    def _wheel(self, project: str, file: File, *, is_likely: bool) -> Wheel:
        """Read a wheel itself: as much of it as has to be fetched for that, or all of it if all of it is wanted anyway."""
        held = self._files.held_path(file.filename)
        with self._files.writing(file.filename):
            if path := self._files.find(project, file):
                return self._files.read_wheel(path)
            if is_likely and (file.size or _LARGE) < _LARGE:
                return self._files.fetch_wheel(file, held)
            return RECEIVING.call(jobs.read_remote_wheel, self._upstream.route, file, held)

    def _sdist(self, project: str, file: File) -> MetadataRecord:
        """Only the whole of an sdist tells; it is held, so that its download does not fetch it again."""
        with self._files.writing(file.filename):
            path = self._files.find(project, file) or self._files.hold(project, file)
            metadata = READING.call(jobs.read_sdist, path)
            if isinstance(metadata, CoreMetadata):
                metadata = self._with_what_it_asks(path, metadata)
        return MetadataRecord(file.hashes["sha256"], metadata, None, self._asks_backends)

    def _with_what_it_asks(self, path: Path, metadata: CoreMetadata) -> CoreMetadata:
        """Add what the backend asks for when it is run, where the user wants it run; where that fails, say so."""
        if not self._asks_backends or is_known(metadata):
            return metadata
        try:
            index = general_index(self._upstream.route.indexes)
            asked = ask_backend(path, metadata, index.url, index.client_cert)
        except MetadataError as error:
            self._note(str(error))
            return replace(metadata, problems=(*metadata.problems, error.problem))
        return replace(metadata, build_requires=tuple(dict.fromkeys((*metadata.build_requires, *asked))))
