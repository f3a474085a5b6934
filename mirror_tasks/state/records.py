"""What was learned from upstream, kept as files in the state folder: pages, core metadata, files read ahead.

A record stands for what upstream said of one thing; it is rewritten only when that changed. A record that can't be
read back is as good as none: what it held is asked for again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.errors import PageError
from mirror_tasks.files import (
    have_folder,
    read_or_none,
    sealed,
    sha256_of_bytes,
    state_of,
    unsealed,
    write_if_changed,
    write_whole,
)
from mirror_tasks.index.project import Fingerprint, Project
from mirror_tasks.index.served_page import Seen
from mirror_tasks.state.places import Places

_SEAL = 65  # bytes at the beginning of the record of a page: the SHA-256 of all that follows, and the end of the line
FORMAT = 5  # of records: those of another format are asked for anew
PAGE_FORMAT = (
    6  # of pages, likewise: to be raised whenever index/entries.py reads something of a page that it did not before
)
_LARGE = 1 << 12  # bytes; a record of fewer is held in memory
PROVENANCE_FORMAT = 2  # of provenance objects: to be raised whenever index/attestations.py refuses what it took before


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """The core metadata of one file.

    :param file_sha256: of the file it was read for; another hash upstream makes the record void.
    :param metadata_sha256: of the METADATA of a wheel; None for an sdist.
    :param asked: what the build backend of an sdist asks for when it is run is in the metadata.
    :param is_found: it was found when a wheel that was planned from other metadata, or from none, came into the mirror.
    """

    file_sha256: str
    metadata: CoreMetadata | Unusable
    metadata_sha256: str | None
    asked: bool = False
    is_found: bool = False


class Records(Places):
    """What is kept in the state folder, read and written."""

    def manifests(self) -> frozenset[str]:
        """Return the SHA-256 of each ``mirror.json`` that was ever published from here."""
        return frozenset((read_or_none(self.folder / "manifests.txt") or b"").decode("ascii", "replace").split())

    def keep_manifest(self, sha256: str) -> None:
        """Remember that a ``mirror.json`` is published from here."""
        known = self.manifests()
        if sha256 not in known:
            content = "".join(f"{one}\n" for one in sorted({*known, sha256}))
            write_whole(self.folder / "manifests.txt", content.encode(), durable=False)

    def project(self, name: str) -> Project | None:
        """Return a project as its page was last seen, or None.

        Of a large page only what is asked for is held in memory: its lines are read again from the record.
        """
        _, content, begin = self._page(name)
        if content is None:
            return None
        path, size = self.page_record_path(name), len(content)
        try:
            return Project.from_bytes(content, begin, partial(_line_at, path, size) if size > _LARGE else None)
        except (ValueError, TypeError):
            return None

    def seen(self, name: str) -> Seen | None:
        """Return what is remembered of the page of a project, or None where none was ever kept.

        Of a record that can't be read back it is remembered that there was a project, and where: that it vanished, or
        lost its files, is an error still.
        """
        return self._page(name)[0]

    def known_fingerprints(self) -> dict[str, Fingerprint]:
        """Return what was found of files without announced hashes when they were first fetched, by file name."""
        found: dict[str, Fingerprint] = {}
        for line in (read_or_none(self.fingerprints) or b"").splitlines():
            try:
                name, sha256, size, announced = json.loads(line)
                if re.fullmatch("[0-9a-f]{64}", sha256):
                    found[str(name)] = Fingerprint(sha256, int(size), dict(announced))
            except (ValueError, TypeError, OverflowError, RecursionError):
                continue  # a line that a kill cut short, or worse
        return found

    def keep_fingerprint(self, filename: str, one: Fingerprint) -> None:
        """Add a line to what is known of files without announced hashes; the last line of a file counts."""
        have_folder(self.folder)
        with self.fingerprints.open("a+b") as journal:
            line = json.dumps([filename, one.sha256, one.size, dict(one.announced)]).encode() + b"\n"
            # What a kill cut short must not swallow this line.
            journal.write(line if _ends_line(journal) else b"\n" + line)
            journal.flush()
            os.fsync(journal.fileno())

    def _page(self, name: str) -> tuple[Seen | None, bytes | None, int]:
        """Return what is remembered of a page, its record, and where the project begins in it; None for what is of no use."""
        content = read_or_none(self.page_record_path(name))
        if content is None:
            return None, None, 0
        if sha256_of_bytes(memoryview(content)[_SEAL:]) != content[: _SEAL - 1].decode("ascii", "replace"):
            return _unreadable(_lost_url(content)), None, 0
        begin = content.index(b"\n", _SEAL) + 1
        page_format, *seen = json.loads(content[_SEAL:begin])
        if not content.startswith(f'["{name.partition("@")[0]}",'.encode(), begin):
            return _unreadable(""), None, 0  # whole, but of another project, and here by somebody's mistake
        return (Seen(*seen), content, begin) if page_format == PAGE_FORMAT else (_unreadable(seen[0]), None, 0)

    def page_seal(self, name: str) -> str | None:
        """Return the SHA-256 that the record of a page begins with; None where there is no record.

        It should be that of the rest of the record: :meth:`seen` checks that.
        """
        try:
            with self.page_record_path(name).open("rb") as record:
                return record.read(_SEAL - 1).decode("ascii", "replace")
        except OSError:
            return None

    def keep_project(self, project: Project, seen: Seen, name: str | None = None) -> None:
        """Keep a project, and what is to be remembered of its page.

        :param name: see :meth:`~mirror_tasks.state.places.Places.page_record_path`; that of the project, if not given.
        """
        body = project.to_bytes()
        rest = json.dumps([PAGE_FORMAT, *astuple(seen)]).encode() + b"\n" + body
        # What a loss of power or a fault of the disk makes of it is no record of a page any more.
        path = self.page_record_path(name or project.name)
        write_whole(path, sha256_of_bytes(rest).encode() + b"\n" + rest, durable=False)

    def confirm_page(self, name: str) -> None:
        """Mark a page that did not change as confirmed now: its file's time says when."""
        os.utime(self.page_record_path(name))

    def provenance(self, file_sha256: str) -> Mapping[str, Any] | None:
        """Return the provenance object of a file, checked when it was kept; None where there is none."""
        try:
            kept = unsealed(read_or_none(self.provenance_path(file_sha256)) or b"")
        except ValueError:
            return None
        found, of = kept.get("object"), (kept.get("format"), kept.get("file_sha256"))
        return found if of == (PROVENANCE_FORMAT, file_sha256) and isinstance(found, dict) else None

    def keep_provenance(self, file_sha256: str, found: Mapping[str, Any]) -> None:
        """Keep the provenance object of a file."""
        content = sealed({"format": PROVENANCE_FORMAT, "file_sha256": file_sha256, "object": found})
        write_if_changed(self.provenance_path(file_sha256), content, durable=False)

    def state_beside_pages(self) -> Sequence[Sequence[str | int]]:
        """Return what the system says of the records that plans are made from, pages apart: where it is the same, they are."""
        folder = self.metadata_record_path("any").parent
        try:
            found = sorted(os.scandir(folder), key=attrgetter("name"))
        except OSError:
            found = []
        return [*map(_state_of, found), _state_of(self.solutions), _state_of(self.fingerprints)]

    def known_solutions(self) -> dict[str, dict[str, dict[str, str]]]:
        """Return the solutions of the last run: versions by project, by root, by environment and point."""
        try:
            return unsealed(read_or_none(self.solutions) or b"")
        except ValueError:
            return {}

    def keep_solutions(self, solutions: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        """Keep the solutions of all roots, so that an environment where nothing changed is not solved again."""
        write_if_changed(self.solutions, sealed(solutions), durable=False)

    def metadata(self, filename: str, file_sha256: str) -> MetadataRecord | None:
        """Return what is known of a file's core metadata, if it is of the file with this hash."""
        content = read_or_none(self.metadata_record_path(filename))
        if content is None:
            return None
        try:
            record = _record(unsealed(content))
        except ValueError:
            return None
        return record if record and record.file_sha256 == file_sha256 else None

    def keep_metadata(self, filename: str, record: MetadataRecord) -> None:
        """Keep what was read of a file's core metadata."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "file_sha256": record.file_sha256,
            "metadata_sha256": record.metadata_sha256,
            "asked": record.asked,
            "found": record.is_found,
        }
        if isinstance(record.metadata, Unusable):
            content["unusable"] = record.metadata.reason
            content["repaired"] = record.metadata.repaired and record.metadata.repaired.to_json()
        else:
            content["metadata"] = record.metadata.to_json()
        write_if_changed(self.metadata_record_path(filename), sealed(content), durable=False)


def _state_of(file: Path | os.DirEntry[str]) -> Sequence[str | int]:
    try:
        return [file.name, *state_of(file)]
    except OSError:
        return [file.name]


def _line_at(path: Path, size: int, begin: int) -> bytes:
    """Read a line of a record once more.

    :param size: of the record when it was checked, in bytes.
    :raises PageError: another one stands there now.
    """
    with path.open("rb") as record:
        if os.fstat(record.fileno()).st_size == size:
            record.seek(begin)
            return record.readline()
    problem = "expected what was just read there, found something else"
    raise PageError("reading", str(path), problem, "Let one run at a time use it, then run again.")


def _ends_line(journal: IO[bytes]) -> bool:
    if not journal.seek(0, os.SEEK_END):
        return True
    journal.seek(-1, os.SEEK_END)
    return journal.read() == b"\n"


def _unreadable(url: str) -> Seen:
    """What is remembered of a page whose record is of no use: no validators, so that it comes whole."""
    return Seen(url, None, None, "", True)


def _lost_url(content: bytes) -> str:
    """Return the URL from a record that is damaged, or of an earlier format: in all of them a list of strings begins it."""
    for line in content.split(b"\n", 2)[:2]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list):
            return next((one for one in found if isinstance(one, str) and "://" in one), "")
    return ""


def _record(data: dict[str, Any]) -> MetadataRecord | None:
    if data.get("format") != FORMAT or ("unusable" in data and "repaired" not in data):
        return None
    is_found = data.get("found", True)  # which of them were, records of versions that did not note it do not say
    return MetadataRecord(data["file_sha256"], _metadata(data), data["metadata_sha256"], data["asked"], is_found)


def _metadata(data: Mapping[str, Any]) -> CoreMetadata | Unusable:
    if "unusable" not in data:
        return CoreMetadata.from_json(data["metadata"])
    repaired = data["repaired"]
    return Unusable(data["unusable"], repaired and CoreMetadata.from_json(repaired))
