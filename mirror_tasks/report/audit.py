"""What is in a mirror already, judged by advisories that came later: what would have to go, what is waived, what is told.

It goes by the files that stand in the directory, whoever put them there: the mirror's own, those that are kept, and those that
were added inside. Nothing else is needed: neither an index nor ``mirror.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.policy import AdvisoryRule, Waiver
from mirror_tasks.errors import AdvisoryError
from mirror_tasks.files import to_json
from mirror_tasks.index.file_names import parse_filename
from mirror_tasks.policy.advisories import VERDICTS, Advisories, Judgement, Verdict, fix_of, judged
from mirror_tasks.report.advisories import judgement_json, source_json
from mirror_tasks.text import counted, printable, readable

DEFAULT_RULE = AdvisoryRule(source=None, shown="", refuse="high", malware="refuse", not_checked="report")
"""What is refused where no policy says it."""


@dataclass(frozen=True, slots=True)
class InsideFile:
    """A file that stands in a mirror.

    :param path: relative to the directory that is served, with slashes.
    """

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class AuditedRelease:
    """A release against which something is known.

    :param judgements: the worst first, at least one.
    """

    project: NormalizedName
    version: Version
    files: tuple[InsideFile, ...]
    judgements: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        """What the policy says of it: the worst that it says of an advisory."""
        return self.judgements[0].verdict

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Audit:
    """What came of an audit.

    :param releases: those against which something is known: the refused first, then the waived.
    :param count: how many releases were judged; ``files`` likewise.
    :param not_checked: files whose names say no release, so that nobody can know of them.
    """

    advisories: Advisories
    releases: tuple[AuditedRelease, ...]
    count: int
    files: int
    not_checked: tuple[str, ...]

    def of(self, verdict: Verdict) -> tuple[AuditedRelease, ...]:
        """Return the releases of which a policy says this."""
        return tuple(one for one in self.releases if one.verdict == verdict)


def served(folder: Path) -> Path:
    """Return the directory that is served: a mirror itself, or inside that to which ``current`` leads.

    :raises AdvisoryError: there is none.
    """
    number = _pointed_to(folder / "current.txt")
    places = (folder, folder / "current", *([folder / "generations" / number] if number else []))
    for place in places:
        if (place / "packages").is_dir():
            return place
    problem = "expected a mirror, a directory with packages in it, found none"
    raise AdvisoryError("auditing", str(folder), problem, "Name the directory that server.py serves.")


def _pointed_to(path: Path) -> str:
    """Return the number of the generation that is served where a system has no links."""
    try:
        with path.open("rb") as stream:
            text = stream.read(20).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if text.isdigit() else ""


def audit(place: Path, advisories: Advisories, rule: AdvisoryRule, exceptions: Iterable[Waiver] = ()) -> Audit:
    """Judge what stands in a directory that is served."""
    waivers = tuple(exceptions)
    not_checked: list[str] = []
    releases = _releases(place, not_checked)
    found = []
    for (name, version), files in releases.items():
        if judgements := judged(advisories.of_release(name, version) or (), rule, waivers, name, version):
            found.append(AuditedRelease(name, version, tuple(files), judgements))
    found.sort(key=lambda one: (VERDICTS.index(one.verdict), one.project, one.version))
    return Audit(advisories, tuple(found), len(releases), sum(map(len, releases.values())), tuple(not_checked))


def _releases(place: Path, not_checked: list[str]) -> Mapping[tuple[NormalizedName, Version], list[InsideFile]]:
    """Return the files by release; those of which no name can be read are added to ``not_checked``."""
    found: dict[tuple[NormalizedName, Version], list[InsideFile]] = {}
    for project, filename, size in _files(place / "packages"):
        path = f"packages/{project}/{filename}"
        name = canonicalize_name(project)
        try:
            release = (name, Version(parse_filename(filename, name)[0]))
        except InvalidVersion:
            not_checked.append(path)
        else:
            found.setdefault(release, []).append(InsideFile(path, size))
    return dict(sorted(found.items()))


def _files(packages: Path) -> Iterator[tuple[str, str, int]]:
    """Yield project, name and size of each file that is no core metadata beside a wheel."""
    for folder in sorted(path for path in packages.iterdir() if path.is_dir()):
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_file() and not entry.name.startswith(".") and not entry.name.endswith(".metadata"):
                yield folder.name, entry.name, entry.stat().st_size


# What is told


def audit_lines(found: Audit) -> Iterator[str]:
    """Say what came of an audit, a line each; what is foreign in it is made printable."""
    for one in found.releases:
        for judgement in one.judgements:
            yield from (printable(line) for line in _lines(one, judgement))
        if one.verdict == "refused":
            yield from (f"    {printable(file.path)} ({readable(file.size)})" for file in one.files)
    for path in found.not_checked:
        yield f"not checked: {printable(path)}, whose name says no release"
    judged_files = f"{counted(found.files, 'file')} of {counted(found.count, 'release')}"
    yield f"{judged_files} judged by {_source(found.advisories)}: {_sum(found)}"


def _lines(one: AuditedRelease, judgement: Judgement) -> Iterator[str]:
    match, waiver = judgement.match, judgement.waiver
    yield f"{judgement.verdict}: {one.project} {one.version}: {match}: {fix_of(match)}; {match.severity_from}"
    if waiver:
        yield f"    waived until {waiver.until}: {waiver.reason} ({waiver.where})"
    if match.summary:
        yield f"    {match.summary}"


def _source(advisories: Advisories) -> str:
    newest = f", the newest of {advisories.newest[:10]}" if advisories.newest else ""
    return printable(f"{advisories.shown} ({counted(advisories.records, 'record')}{newest})")


def _sum(found: Audit) -> str:
    refused, waived, reported = (found.of(verdict) for verdict in VERDICTS)
    said = [f"{counted(len(refused), 'release')} would have to go"] if refused else ["nothing would have to go"]
    said += [f"{counted(len(waived), 'release')} waived"] if waived else []
    said += [f"{counted(len(reported), 'release')} with what is not refused"] if reported else []
    return ", ".join(said)


def check_audit(place: Path, found: Audit) -> None:
    """Fail where something is refused.

    :raises AdvisoryError: something is.
    """
    if refused := found.of("refused"):
        names = ", ".join(f"{one.project} {one.version}" for one in refused[:10])
        more = f" and {len(refused) - 10} more" if refused[10:] else ""
        raise AdvisoryError(
            "auditing",
            str(place),
            f"expected nothing that is refused, found {counted(len(refused), 'release')}: {names}{more}",
            "Outside, mirror anew by the same advisories (policy.advisories.from), which takes what is fixed where there is "
            "something, and bring that in; or add an exception with a reason under policy.except.",
        )


def audit_json(found: Audit) -> bytes:
    """Return what came of an audit for programs; the same audit gives the same bytes."""
    return to_json(
        {
            "format": 1,
            "from": source_json(found.advisories),
            "releases": found.count,
            "files": found.files,
            "refused": len(found.of("refused")),
            "findings": [
                {
                    "project": one.project,
                    "version": str(one.version),
                    "files": [{"path": file.path, "size": file.size} for file in one.files],
                    **judgement_json(judgement),
                }
                for one in found.releases
                for judgement in one.judgements
            ],
            "not_checked": list(found.not_checked),
        }
    )
