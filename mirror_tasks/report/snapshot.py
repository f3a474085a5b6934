"""What two reports compare: the files of a plan, what the user required, the licences and the advisories that were known then.

A snapshot is kept where a plan is not: of each report, and of each bundle, since what is inside is known by its number alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from packaging.utils import canonicalize_name

from mirror_tasks.files import sealed, unsealed
from mirror_tasks.index.file_names import parse_filename
from mirror_tasks.resolve.plan import Plan

FORMAT = 1

Release: TypeAlias = tuple[str, str]
"""A project and a version."""


class ListedFile(NamedTuple):
    """A file: whose it is, its bytes (None where they are not known) and its SHA-256."""

    project: str
    version: str
    filename: str
    size: int | None
    sha256: str


class Finding(NamedTuple):
    """An advisory on a release: its identifier and its severity."""

    id: str
    severity: str


class Line(NamedTuple):
    """A requirement of ``mirror.yaml``: the root, and what it asks for; empty for a lock, whose packages are its own matter."""

    root: str
    requirement: str


@dataclass(frozen=True)
class Snapshot:
    """What is known of a mirror at one time.

    :param plan: the SHA-256 of its plan; None where that is not known.
    :param as_of: the day by which it was judged (ISO 8601); empty where no policy was.
    :param files: sorted by project and name.
    :param lines: what the user required, sorted; None where that is not known.
    :param licences: of each release, in words; None where they were not looked at.
    :param advisories: of each release that was checked; None where none was.
    """

    plan: str | None
    as_of: str
    files: tuple[ListedFile, ...]
    lines: tuple[Line, ...] | None = None
    licences: Mapping[Release, str] | None = None
    advisories: Mapping[Release, tuple[Finding, ...]] | None = None

    @cached_property
    def files_of(self) -> Mapping[str, tuple[ListedFile, ...]]:
        """The files of each project."""
        grouped: dict[str, list[ListedFile]] = defaultdict(list)
        for file in self.files:
            grouped[file.project].append(file)
        return {name: tuple(files) for name, files in grouped.items()}

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        return sealed(
            {
                "format": FORMAT,
                "plan": self.plan,
                "as_of": self.as_of,
                "files": list(self.files),
                "lines": None if self.lines is None else list(self.lines),
                "licences": None if self.licences is None else [[*key, text] for key, text in self.licences.items()],
                "advisories": None
                if self.advisories is None
                else [[*key, list(found)] for key, found in self.advisories.items()],
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Snapshot:
        """Read one back.

        :raises ValueError: it is none of this format.
        """
        data = unsealed(content)
        if data.get("format") != FORMAT:
            raise ValueError(f"expected a snapshot of format {FORMAT}, found {data.get('format')!r}")
        lines, licences, advisories = data["lines"], data["licences"], data["advisories"]
        return cls(
            plan=data["plan"],
            as_of=data["as_of"],
            files=tuple(map(ListedFile._make, data["files"])),
            lines=None if lines is None else tuple(map(Line._make, lines)),
            licences=None if licences is None else {(name, version): text for name, version, text in licences},
            advisories=None
            if advisories is None
            else {(name, version): tuple(map(Finding._make, found)) for name, version, found in advisories},
        )


def snapshot(
    plan: Plan,
    licences: Mapping[Release, str] | None = None,
    advisories: Mapping[Release, tuple[Finding, ...]] | None = None,
) -> Snapshot:
    """Return what of a plan, and of what is known of its releases, another one is compared with."""
    files = sorted(plan.files, key=attrgetter("project", "filename"))
    return Snapshot(
        plan=plan.digest,
        as_of=plan.judged.as_of if plan.judged else "",
        files=tuple(ListedFile(one.project, one.version, one.filename, one.size, one.sha256) for one in files),
        lines=tuple(sorted(set(_lines(plan)))),
        licences=licences,
        advisories=advisories,
    )


def _lines(plan: Plan) -> Iterable[Line]:
    for release in plan.releases:
        for one in release.required:
            if one.by.is_root:
                yield Line(one.by.name, "" if one.by.kind == "lock" else one.requirement)
    for gap in plan.gaps:
        yield from (Line(by.name, gap.requirement) for by in gap.by if by.kind == "root")


def snapshot_of_files(files: Iterable[tuple[str, str, int]], without: frozenset[str] = frozenset()) -> Snapshot:
    """Return what is known of a mirror of which there are the paths of its files alone.

    :param files: path below the mirror, SHA-256, size.
    :param without: names of files that are passed over.
    """
    found = sorted(_listed(files, without), key=attrgetter("project", "filename"))
    return Snapshot(plan=None, as_of="", files=tuple(found))


def _listed(files: Iterable[tuple[str, str, int]], without: frozenset[str]) -> Iterable[ListedFile]:
    for path, sha256, size in files:
        folder, _, rest = path.partition("/")
        project, _, filename = rest.partition("/")
        if folder != "packages" or filename in without or filename.endswith(".metadata"):
            continue
        version, _ = parse_filename(filename, canonicalize_name(project))
        yield ListedFile(project, version, filename, size, sha256)
