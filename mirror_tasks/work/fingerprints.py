"""Files for which their pages give no SHA-256: what each was when it was first fetched, and that it is the same still."""

from __future__ import annotations

import threading
from functools import cached_property

from packaging.utils import canonicalize_name

from mirror_tasks.errors import IntegrityError
from mirror_tasks.index.project import File, Fingerprint
from mirror_tasks.state.mirror import Mirror

_ACCEPT = (
    "If that is right, write accept-changed: [{}] in mirror.yaml for one run; else report it to whoever runs the index."
)


class Fingerprints:
    """The fingerprints of the files of one mirror."""

    def __init__(self, mirror: Mirror) -> None:
        self._records = mirror.records
        self._changing = mirror.config.accept_changed
        self._lock = threading.Lock()

    @cached_property
    def known(self) -> dict[str, Fingerprint]:
        """What was found of files without an announced hash, by file name; files fetched in this run join it."""
        return self._records.known_fingerprints()

    def may_change(self, project: str) -> bool:
        """Say if the user accepts that files of a project are others than they were."""
        return canonicalize_name(project) in self._changing

    def keep(self, filename: str, fingerprint: Fingerprint) -> None:
        """Remember what a file was found to be."""
        with self._lock:  # the records have one journal for all
            self._records.keep_fingerprint(filename, fingerprint)
            self.known[filename] = fingerprint

    def check(self, project: str, file: File, sha256: str) -> None:
        """Look if a file that was fetched is the one that was fetched first.

        :raises IntegrityError: it is not, and ``accept-changed`` does not name the project.
        """
        known = self.known.get(file.filename)
        if known and known.sha256 != sha256 and not self.may_change(project):
            problem = f"expected sha256 {known.sha256}, as when it was first fetched, found {sha256}"
            raise IntegrityError("checking the hash of", file.url, problem, _ACCEPT.format(project))

    def gave_hash_of(self, file: File) -> bool:
        """Say if the hash of a file is what was found when it was first fetched, and not announced by its page."""
        known = self.known.get(file.filename)
        return known is not None and known.sha256 == file.hashes["sha256"]


def not_as_first_fetched(project: str, error: IntegrityError) -> IntegrityError:
    """Return the error of a wrong hash, where what was expected is a fingerprint and nothing that the index announced."""
    problem = f"{error.problem}; what was expected is what it was when it was first fetched"
    return IntegrityError(error.doing, error.subject, problem, _ACCEPT.format(project))
