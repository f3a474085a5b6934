"""One file: where it is already, fetched and checked where it is nowhere, and a wheel's METADATA read with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mirror_tasks.errors import IntegrityError
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Fingerprint
from mirror_tasks.index.transfers import part_of
from mirror_tasks.layout import metadata_path
from mirror_tasks.room import check_room
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import jobs
from mirror_tasks.work.fingerprints import Fingerprints, not_as_first_fetched
from mirror_tasks.work.jobs import Wheel
from mirror_tasks.work.processes import READING, RECEIVING


class Files:
    """The files of one mirror, by what their pages say of them.

    :param received: counts the bytes that arrive; called from many threads.
    :ivar checks_room: look if there is room on the disk before a file is fetched.
    """

    def __init__(
        self,
        mirror: Mirror,
        upstream: Upstream,
        fingerprints: Fingerprints,
        received: Callable[[int], None],
        *,
        checks_room: bool,
    ) -> None:
        self.checks_room = checks_room
        self._mirror = mirror
        self._upstream = upstream
        self._fingerprints = fingerprints
        self._received = received
        self._lock = threading.Lock()
        self._writers: dict[str, threading.Lock] = {}
        self._metadata_read: dict[Path, str] = {}

    @contextmanager
    def writing(self, filename: str) -> Iterator[None]:
        """A file has one writer at a time: it may be fetched ahead, to be read, and for its place in the mirror."""
        with self._lock:
            writer = self._writers.setdefault(filename, threading.Lock())
        with writer:
            yield

    def find(self, project: str, file: File) -> Path | None:
        """Return where a file is already, whole and right: in the mirror, or held for it."""
        places = (self._mirror.package_path(project, file.filename), self.held_path(file.filename))
        return next((path for path in places if self._is_right(path, file)), None)

    def _is_right(self, path: Path, file: File) -> bool:
        """Say if the file at ``path`` is the right one; it is hashed only if nobody did since it was written."""
        try:
            has_size = file.size is None or path.stat().st_size == file.size
            return has_size and self._mirror.ledger.is_right(path, file.hashes["sha256"])
        except OSError:
            return False

    def held_path(self, filename: str) -> Path:
        """Where a file waits in the state folder, until it takes its place in the mirror."""
        return self._mirror.records.held_path(filename)

    def identify(self, project: str, file: File) -> File:
        """Return a file with its SHA-256: where the page gives none, it is fetched, and what is found is remembered.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the page announces, or not what was found when it was first fetched.
        """
        if "sha256" in file.hashes:
            return file
        path = self.held_path(file.filename)
        with self.writing(file.filename):
            sha256 = self._receive(file, path)
            try:
                self._fingerprints.check(project, file, sha256)
            except IntegrityError:
                path.unlink()
                raise
            self._mirror.ledger.seal(path, sha256)
            fingerprint = Fingerprint(sha256, path.stat().st_size, file.hashes)
            self._fingerprints.keep(file.filename, fingerprint)
        # It is there, so that its own METADATA is read and no sidecar.
        return replace(fingerprint.put_to(file), core_metadata=None)

    def hold(self, project: str, file: File) -> Path:
        """Fetch a file before it has its place in the mirror, and return where it waits; errors are those of :meth:`fetch`.

        :raises StorageError: there is no room for it.
        """
        path = self.held_path(file.filename)
        if self.checks_room:
            check_room([(path.parent, bytes_to_come(path, file))], "fetching a file into")
        self.fetch(project, file, path)
        return path

    def fetch(self, project: str, file: File, path: Path) -> None:
        """Fetch a file to ``path``.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the index announced, or not what it was when it was first fetched.
        """
        if not self._fingerprints.gave_hash_of(file):
            self._fetch(file, path)
            return
        try:
            self._fetch(replace(file, size=None), path)  # the hash tells, and both hashes are to be said
        except IntegrityError as error:
            raise not_as_first_fetched(project, error) from error

    def _fetch(self, file: File, path: Path) -> None:
        if is_wheel(file.filename):
            self.fetch_wheel(file, path)
        else:
            self._receive(file, path)
            self._mirror.ledger.seal(path, file.hashes["sha256"])

    def _receive(self, file: File, path: Path) -> str:
        return RECEIVING.call(jobs.fetch_file, self._upstream.route, file, path, progress=self._received)

    def fetch_wheel(self, file: File, path: Path) -> Wheel:
        """Fetch a wheel to ``path``, and return what it says; its METADATA stands beside it then.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what the index announced.
        """
        route, output = self._upstream.route, self._mirror.output
        wheel = RECEIVING.call(jobs.fetch_wheel, route, file, path, output, progress=self._received)
        self._mirror.ledger.seal(path, file.hashes["sha256"])
        self._keep_metadata_read(path, wheel)
        return wheel

    def read_wheel(self, path: Path) -> Wheel:
        """Return what the wheel at ``path`` says; its METADATA stands beside it then."""
        wheel = READING.call(jobs.read_wheel, path, self._mirror.output)
        self._keep_metadata_read(path, wheel)
        return wheel

    def _keep_metadata_read(self, path: Path, wheel: Wheel) -> None:
        """Remember that what stands beside a wheel was read from it."""
        if wheel.metadata_sha256 is not None:
            self._mirror.ledger.seal(metadata_path(path), wheel.metadata_sha256)
            self._metadata_read[path] = wheel.metadata_sha256

    def metadata_read_from(self, path: Path) -> str | None:
        """Return the SHA-256 of the METADATA of the wheel at ``path``, if it was read from the wheel in this run."""
        return self._metadata_read.get(path)


def bytes_to_come(path: Path, file: File) -> int:
    """Return how many bytes of a file that is to stand at ``path`` are not there yet; none where its size is not known."""
    try:
        begun = part_of(path, file.hashes.get("sha256", "")).stat().st_size
    except OSError:
        begun = 0
    return max(0, (file.size or 0) - begun)
