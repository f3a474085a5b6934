"""What was learned from upstream, kept as files in the state folder: pages, core metadata, files read ahead.

A record stands for what upstream said of one thing; it is rewritten only when that changed. A record that can't be
read back is as good as none: what it held is asked for again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_tasks.closure import Unusable
from mirror_tasks.files import read_or_none, to_json, write_if_changed, write_whole
from mirror_tasks.metadata import CoreMetadata
from mirror_tasks.upstream import Page

FORMAT = 2  # of records: those of another format are asked for anew


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """The core metadata of one file.

    :param file_sha256: of the file it was read for; another hash upstream makes the record void.
    :param metadata_sha256: of the METADATA of a wheel; None for an sdist.
    :param asked: what the build backend of an sdist asks for when it is run is in the metadata.
    """

    file_sha256: str
    metadata: CoreMetadata | Unusable
    metadata_sha256: str | None
    asked: bool = False


class Records:
    """The state folder.

    :param folder: ``.mirror`` beside ``mirror.yaml``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan = folder / "plan.json"
        self.solutions = folder / "solutions.json"

    def page_path(self, name: str) -> Path:
        """Where the page of a project is kept, as last seen upstream."""
        return self.folder / "projects" / f"{name}.page"

    def metadata_path(self, filename: str) -> Path:
        """Where the core metadata of a file is kept."""
        return self.folder / "metadata" / f"{filename}.json"

    def release_path(self, name: str) -> Path:
        """Where it is kept which files of a release are wanted, for which environments, required by whom."""
        return self.folder / "releases" / f"{name}.json"

    def held_path(self, filename: str) -> Path:
        """Where a file waits that had to be fetched whole to be read, until it takes its place in the mirror."""
        return self.folder / "held" / filename

    def page(self, name: str) -> Page | None:
        """Return the page of a project as last seen, or None."""
        content = read_or_none(self.page_path(name))
        if content is None:
            return None
        try:
            return Page.from_bytes(content)
        except ValueError:
            return None

    def page_age(self, name: str) -> float:
        """Return the seconds since upstream last confirmed the page; infinite if it never did."""
        try:
            return time.time() - self.page_path(name).stat().st_mtime
        except OSError:
            return float("inf")

    def keep_page(self, name: str, page: Page, *, changed: bool) -> None:
        """Keep a page; one that did not change is only marked as confirmed now (its file's time says when)."""
        path = self.page_path(name)
        if changed:
            write_whole(path, page.to_bytes(), durable=False)
        else:
            os.utime(path)

    def known_solutions(self) -> dict[str, dict[str, dict[str, str]]]:
        """Return the solutions of the last run: versions by project, by root, by environment and end."""
        try:
            found = json.loads(read_or_none(self.solutions) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def keep_solutions(self, solutions: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        """Keep the solutions of all roots, so that an environment where nothing changed is not solved again."""
        write_if_changed(self.solutions, to_json(solutions), durable=False)

    def metadata(self, filename: str, file_sha256: str) -> MetadataRecord | None:
        """Return what is known of a file's core metadata, if it is of the file with this hash."""
        content = read_or_none(self.metadata_path(filename))
        if content is None:
            return None
        try:
            record = _record(json.loads(content))
        except (ValueError, TypeError, KeyError):
            return None
        return record if record and record.file_sha256 == file_sha256 else None

    def keep_metadata(self, filename: str, record: MetadataRecord) -> None:
        """Keep what was read of a file's core metadata."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "file_sha256": record.file_sha256,
            "metadata_sha256": record.metadata_sha256,
            "asked": record.asked,
        }
        if isinstance(record.metadata, Unusable):
            content["unusable"] = record.metadata.reason
        else:
            content["metadata"] = record.metadata.to_json()
        write_if_changed(self.metadata_path(filename), to_json(content), durable=False)


def _record(data: dict[str, Any]) -> MetadataRecord | None:
    if data.get("format") != FORMAT:
        return None
    metadata = Unusable(data["unusable"]) if "unusable" in data else CoreMetadata.from_json(data["metadata"])
    return MetadataRecord(data["file_sha256"], metadata, data["metadata_sha256"], data["asked"])
