"""What was learned from upstream, kept as files in the state folder: pages, core metadata, files read ahead.

A record stands for what upstream said of one thing; it is rewritten only when that changed. A record that can't be
read back is as good as none: what it held is asked for again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from mirror_tasks.closure import Unusable
from mirror_tasks.files import read_or_none, sha256_of_bytes, to_json, write_if_changed, write_whole
from mirror_tasks.metadata import CoreMetadata
from mirror_tasks.pages import Project
from mirror_tasks.upstream import Seen

FORMAT = 2  # of records: those of another format are asked for anew
PAGE_FORMAT = 3  # of pages, likewise: to be raised whenever pages.py reads something of a page that it did not before


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

    def project(self, name: str) -> Project | None:
        """Return a project as its page was last seen, or None."""
        _, body = self._page(name)
        try:
            return None if body is None else Project.from_bytes(body)
        except (ValueError, TypeError):
            return None

    def seen(self, name: str) -> Seen | None:
        """Return what is remembered of the page of a project, or None where none was ever kept.

        Of a record that can't be read back it is remembered that there was a project, and where: that it vanished, or
        lost its files, is an error still.
        """
        return self._page(name)[0]

    def _page(self, name: str) -> tuple[Seen | None, bytes | None]:
        """Return what is remembered of a page, and the project as bytes; None for what is not there or of no use."""
        content = read_or_none(self.page_path(name))
        if content is None:
            return None, None
        head, _, body = content.partition(b"\n")
        try:
            seen, sha256 = _page_head(head)
        except (ValueError, TypeError):
            return _unreadable(_old_url(head)), None
        return (seen, body) if sha256_of_bytes(body) == sha256 else (_unreadable(seen.url), None)

    def page_age(self, name: str) -> float:
        """Return the seconds since upstream last confirmed the page; infinite if it never did."""
        try:
            return time.time() - self.page_path(name).stat().st_mtime
        except OSError:
            return float("inf")

    def keep_project(self, project: Project, seen: Seen) -> None:
        """Keep a project, and what is to be remembered of its page."""
        body = project.to_bytes()
        head = json.dumps([PAGE_FORMAT, sha256_of_bytes(body), *astuple(seen)])
        write_whole(self.page_path(project.name), head.encode() + b"\n" + body, durable=False)

    def confirm_page(self, name: str) -> None:
        """Mark a page that did not change as confirmed now: its file's time says when."""
        os.utime(self.page_path(name))

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


def _unreadable(url: str) -> Seen:
    """What is remembered of a page whose record is of no use: no validators, so that it comes whole."""
    return Seen(url, None, None, "", True)


def _old_url(head: bytes) -> str:
    """Return the URL from a record of the first format: a line with URL, type and validators, then the page itself."""
    try:
        url = json.loads(head)[0]
    except (ValueError, LookupError, TypeError):
        return ""
    return url if isinstance(url, str) else ""


def _page_head(line: bytes) -> tuple[Seen, str]:
    """Return what is remembered of a page, and the SHA-256 of what follows, which a loss of power may have taken.

    :raises ValueError: it is no such line, or of another format.
    """
    page_format, sha256, *seen = json.loads(line)
    if page_format != PAGE_FORMAT:
        raise ValueError(f"expected a page of format {PAGE_FORMAT}, found {page_format!r}")
    return Seen(*seen), sha256


def _record(data: dict[str, Any]) -> MetadataRecord | None:
    if data.get("format") != FORMAT:
        return None
    metadata = Unusable(data["unusable"]) if "unusable" in data else CoreMetadata.from_json(data["metadata"])
    return MetadataRecord(data["file_sha256"], metadata, data["metadata_sha256"], data["asked"])
