"""What an index said against releases, each kept as a record of its own."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.files import read_or_none, sealed, unsealed, write_whole
from mirror_tasks.index.served_page import Seen
from mirror_tasks.policy.advisories import Match
from mirror_tasks.policy.index_records import from_json, to_json
from mirror_tasks.state.records import Records

_FORMAT = 3  # of records: those of another are asked for anew


@dataclass(frozen=True, slots=True)
class ReleaseAdvisories:
    """What an index said against a release.

    :param matches: None where it does not know of the release.
    :param asked: the address at which it was asked; the one of another index knows other things.
    :param url: the same after redirects.
    :param age: seconds since it last said so; infinite if that was after now: when a clock was ahead, nobody knows.
    """

    matches: tuple[Match, ...] | None
    asked: str
    url: str
    etag: str | None
    last_modified: str | None
    age: float

    @property
    def seen(self) -> Seen | None:
        """What is needed to ask for it only if it changed; where the index knew of nothing, nothing is."""
        return None if self.matches is None else Seen(self.url, self.etag, self.last_modified, "", names_files=False)


def kept(records: Records, name: str, version: Version) -> ReleaseAdvisories | None:
    """Return what is kept of a release; None where nothing is, or nothing that can be read."""
    path = records.release_advisories_path(name, version)
    try:
        found = unsealed(read_or_none(path) or b"")
        if found["format"] != _FORMAT or found["release"] != _release(name, version):
            return None
        matches = None if found["matches"] is None else from_json(found["matches"])
        age = time.time() - path.stat().st_mtime
        age = age if age >= 0 else float("inf")
        return ReleaseAdvisories(matches, found["asked"], found["url"], found["etag"], found["last_modified"], age)
    except (ValueError, OSError):
        return None


def keep(records: Records, name: str, version: Version, one: ReleaseAdvisories) -> None:
    """Keep what an index said against a release now."""
    matches = None if one.matches is None else to_json(one.matches)
    content = {
        "format": _FORMAT,
        "release": _release(name, version),
        "asked": one.asked,
        "url": one.url,
        "etag": one.etag,
        "last_modified": one.last_modified,
        "matches": matches,
    }
    write_whole(records.release_advisories_path(name, version), sealed(content), durable=False)


def _release(name: str, version: Version) -> str:
    """Return what tells the record of a release from that of another, which somebody may put in its place."""
    return f"{name} {version}"


def confirm(records: Records, name: str, version: Version) -> None:
    """Mark what is kept of a release as said again now."""
    os.utime(records.release_advisories_path(name, version))


class IndexAdvisories:
    """What indexes said against the releases that they were asked for."""

    shown = "index"
    digest = newest = ""
    records = 0

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[tuple[str, Version], tuple[Match, ...]] = {}

    def of_release(self, name: NormalizedName, version: Version) -> tuple[Match, ...] | None:
        """Return what is kept; None where the index does not know of the release, or was not asked."""
        found = self._known.get((name, version))
        if found is None:
            record = kept(self._records, name, version)
            if record is None or record.matches is None:
                return None  # not remembered: it may be asked for in a moment
            found = self._known[name, version] = record.matches
        return found
