"""The advisories of a dump in the form in which a run reads them: a line a project, sorted, of which it reads what it asks for.

A dump has tens of thousands of records, of which a run asks for those of a few hundred projects. The first line says what
the rest is, and its hash: what a fault of the disk made of it is as good as none, never a project without advisories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.policy.advisories import Match
from mirror_tasks.policy.matching import Hole

FORMAT = 1  # to be raised whenever other things are read of a record, or written of it
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class About:
    """What a compiled dump is.

    :param digest: see :class:`~mirror_tasks.policy.dumps.Dump`; ``newest`` likewise.
    :param records: how many there are of this ecosystem.
    :param evidence: what the dump was when it was read (:func:`~mirror_tasks.policy.dumps.evidence_of`).
    """

    digest: str
    newest: str
    records: int
    evidence: str


def written(about: About, holes: Mapping[NormalizedName, Sequence[Hole]]) -> bytes:
    """Return advisories in that form: the same ones give the same lines."""
    lines = [f"{project}\t{_encode([_row(hole) for hole in rows])}\n" for project, rows in holes.items()]
    body = "".join(sorted(lines)).encode("utf-8", "replace")
    return f"{_encode([FORMAT, sha256_of_bytes(body), *astuple(about)])}\n".encode() + body


def confirmed(content: bytes, evidence: str) -> bytes:
    """Return compiled advisories with other evidence of the dump that they were made from."""
    head, _, body = content.partition(b"\n")
    return _encode([*json.loads(head)[:-1], evidence]).encode() + b"\n" + body


class DumpAdvisories:
    """The advisories of a compiled dump; may be shared by threads.

    :param content: what :func:`written` returned.
    :param shown: the dump as the user wrote it.
    :raises ValueError: it is something else.
    """

    def __init__(self, content: bytes, shown: str) -> None:
        self._content = content
        end = content.find(b"\n", 0, 4096)
        try:
            found, sha256, *about = json.loads(content[: max(0, end)])
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError("expected compiled advisories, found something else") from error
        if found != FORMAT or len(about) != 4 or sha256_of_bytes(memoryview(content)[end + 1 :]) != sha256:
            raise ValueError("expected compiled advisories of this format, found others")
        self._start = end + 1
        self.about = About(*about)
        self.shown = shown
        self._holes: dict[str, Sequence[Hole]] = {}
        self._matches: dict[tuple[str, Version], tuple[Match, ...]] = {}

    @classmethod
    def opened(cls, path: Path, shown: str) -> DumpAdvisories | None:
        """Return those that were compiled to a file; None where it is not there, or is something else."""
        try:
            return cls(path.read_bytes(), shown)  # not mapped: Windows would not let it be replaced then
        except (OSError, ValueError):
            return None

    @property
    def digest(self) -> str:
        """Identifies the dump: see :class:`~mirror_tasks.policy.dumps.Dump`."""
        return self.about.digest

    @property
    def newest(self) -> str:
        """When the record was modified that was modified last."""
        return self.about.newest

    @property
    def records(self) -> int:
        """How many records there are of this ecosystem."""
        return self.about.records

    def of_release(self, name: NormalizedName, version: Version) -> tuple[Match, ...]:
        """Return what is known against a release, sorted; a dump knows of all releases."""
        found = self._matches.get((name, version))
        if found is None:
            matches = (hole.match(version) for hole in self._of_project(name))
            found = self._matches[name, version] = tuple(one for one in matches if one is not None)
        return found

    def _of_project(self, name: str) -> Sequence[Hole]:
        if name not in self._holes:
            rows = json.loads(self._line(f"{name}\t".encode()) or b"[]")
            self._holes[name] = [_hole(row) for row in rows]
        return self._holes[name]

    def _line(self, start: bytes) -> bytes | None:
        """Return what stands behind the beginning of a line, by bisection."""
        low, high = self._start, len(self._content)
        while low < high:
            middle = self._content.rfind(b"\n", 0, (low + high) // 2) + 1
            middle = max(middle, low)
            end = self._content.find(b"\n", middle) + 1
            name = self._content[middle : self._content.find(b"\t", middle) + 1]
            if name == start:
                return self._content[middle + len(start) : end]
            low, high = (end, high) if name < start else (low, middle)
        return None


def _row(hole: Hole) -> list[Any]:
    return [getattr(hole, name) for name in hole.__dataclass_fields__]


def _hole(row: Sequence[Any]) -> Hole:
    fields: Mapping[str, Any] = dict(zip(Hole.__dataclass_fields__, row, strict=True))
    return Hole(**{**fields, "aliases": tuple(fields["aliases"])})
