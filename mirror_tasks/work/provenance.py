"""The provenance objects (PEP 740) of the files of a plan, fetched for the report and for nothing else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from mirror_tasks.errors import IntegrityError, MirrorError, PageError, UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import jobs
from mirror_tasks.work.processes import RECEIVING

_INSECURE = (
    "expected https, as for the file itself, found http: PEP 740 wants a secure origin, since nothing else protects it"
)


class Provenance:
    """The provenance objects of one mirror: of a file they never change, so that each is fetched once.

    :ivar problems: why that of a file could not be had in this run, by the SHA-256 of the file.
    """

    def __init__(self, mirror: Mirror, upstream: Upstream) -> None:
        self._records = mirror.records
        self._note = mirror.note
        self._upstream = upstream
        self._told: set[str] = set()
        self.problems: dict[str, str] = {}

    def path(self, file: PlannedFile) -> Path:
        """Where the object of a file is kept."""
        return self._records.provenance_path(file.sha256)

    def is_known(self, file: PlannedFile) -> bool:
        """Say if the object of a file was fetched already."""
        return self._records.provenance(file.sha256) is not None

    def fetch(self, file: PlannedFile) -> None:
        """Fetch the object of a file that offers one; where it can't be had, the report says so, and goes on."""
        if self.is_known(file):
            return
        try:
            self._fetch(file)
        except (UpstreamError, IntegrityError, PageError) as error:
            self._keep_problem(file, error)

    def _fetch(self, file: PlannedFile) -> None:
        url = file.file.provenance
        assert url is not None, "there are tasks for files that offer one only"
        if urlsplit(url).scheme == "http" and urlsplit(file.file.url).scheme == "https":
            raise UpstreamError("fetching", url, _INSECURE, "Report it to whoever runs the index.")
        found = RECEIVING.call(jobs.fetch_provenance, self._upstream.route, url)
        self._records.keep_provenance(file.sha256, found)

    def _keep_problem(self, file: PlannedFile, error: MirrorError) -> None:
        """Where one can't be had many can't: one line tells of all that a host has."""
        self.problems[file.sha256] = error.problem
        host = urlsplit(file.file.provenance or "").netloc
        if host not in self._told:
            self._told.add(host)
            self._note(f"who published could not be asked of {host}, the first: {file.filename}: {error.problem}")
