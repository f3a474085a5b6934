"""Where what is known of a mirror is kept, below its state folder: names alone, for who makes tasks and reads nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

from packaging.version import Version

from mirror_tasks.files import sha256_of_bytes


class Places:
    """The state folder.

    :param folder: ``.mirror`` beside ``mirror.yaml``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.published = folder / "published.json"
        self.solutions = folder / "solutions.json"
        self.fingerprints = folder / "fingerprints.jsonl"
        self.advisories = folder / "advisories" / "dump.jsonl"

    def page_record_path(self, name: str) -> Path:
        """Where the page of a project is kept, as last seen upstream.

        :param name: of the project; of a page that a further index has of it, what :func:`further_record` makes of the two.
            It is the same for all that is kept of pages.
        """
        return self.folder / "projects" / f"{name}.page"

    def page_age(self, name: str) -> float:
        """Return the seconds since upstream last confirmed the page; infinite if it never did, or after now."""
        try:
            age = time.time() - self.page_record_path(name).stat().st_mtime
        except OSError:
            return float("inf")
        return age if age >= 0 else float("inf")  # a clock that was ahead: when that was, nobody knows

    def metadata_record_path(self, filename: str) -> Path:
        """Where the core metadata of a file is kept."""
        return self.folder / "metadata" / f"{filename}.json"

    def provenance_path(self, file_sha256: str) -> Path:
        """Where the provenance object of a file is kept; it is of these bytes, whatever they are called."""
        return self.folder / "provenance" / f"{file_sha256}.json"

    def release_path(self, name: str) -> Path:
        """Where it is kept which files of a release are wanted, for which environments, required by whom."""
        return Path(self.release_place(name))

    def release_place(self, name: str) -> str:
        """Return the same as text: to make a path for each of thousands takes longer than to look if it is there."""
        return f"{self.folder}{os.sep}releases{os.sep}{name}.json"

    def release_advisories_path(self, name: str, version: Version) -> Path:
        """Where it is kept what an index says against a release."""
        return self.folder / "advisories" / "index" / f"{name}-{version}.json"

    def held_path(self, filename: str) -> Path:
        """Where a file waits that had to be fetched whole to be read, until it takes its place in the mirror."""
        return self.folder / "held" / filename


def built_record_path(builds: Path, project: str) -> Path:
    """Where the record of a build is: which commit of a repository was taken, and the files that were built of it."""
    return builds / project / "built.json"


def further_record(name: str, index: str) -> str:
    """Return the name by which the page is kept that a further index has of a project; no project has such a name.

    :param index: the base URL of the index.
    """
    return f"{name}@{sha256_of_bytes(index.encode())[:16]}" if index else name
