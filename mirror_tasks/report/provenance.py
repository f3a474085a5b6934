"""``provenance.json``: of each file whether its index offers a provenance object (PEP 740), whom it names, and what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mirror_tasks.files import sha256_of_bytes, to_json
from mirror_tasks.index.attestations import bundles_of
from mirror_tasks.report.publishers import Alarm, FileProvenance, after_approval, after_first_use, alarms
from mirror_tasks.report.verification import Nobody, Verdict, Verifier, verifier, worst
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.publishers import Publishers, Trusted

_FORMAT = 1
_MOST_NAMED = 12
_NOT_ASKED = "it was not asked for"
_NOTHING_OFFERED = Nobody("no file offers a provenance object", {})


@dataclass(frozen=True, slots=True)
class Provenances:
    """Who published the files of a plan.

    :param files: all that stand in the mirror, in the order of the plan.
    :param alarms: what is to be looked at before anything is signed.
    :param verified_with: versions by name; nothing where nothing could be verified, for the reason ``not_verified``.
    :param digest: of the files.
    :param trusted: who is taken as right from now on; ``seen``: once the report is approved.
    """

    files: tuple[FileProvenance, ...]
    alarms: tuple[Alarm, ...]
    verified_with: Mapping[str, str]
    not_verified: str
    digest: str
    trusted: Trusted
    seen: Trusted

    @property
    def to_look_at(self) -> tuple[str, ...]:
        """What is to be looked at first, a line each."""
        return tuple(alarm.says for alarm in self.alarms)

    @property
    def open_questions(self) -> tuple[str, ...]:
        """What could not be checked, a line each."""
        unverified = [one for one in self.files if one.bundles and one.verdict.word == "not verified"]
        unasked = _by_reason((one.problem, one) for one in self.unchecked)
        unproven = _by_reason((one.verdict.reason, one) for one in unverified)
        silent = sum(not one.is_offered for one in self.files)
        return (
            *(
                [f"the index does not say who published {silent:,} of {len(self.files):,} files (PEP 740)"]
                if silent
                else []
            ),
            *(f"it could not be asked who published {named}: {reason}" for reason, named in unasked),
            *(f"who published {named} was not verified: {reason}" for reason, named in unproven),
        )

    @property
    def unchecked(self) -> tuple[FileProvenance, ...]:
        """The files of which what is offered could not be had."""
        return tuple(one for one in self.files if one.problem)

    @property
    def totals(self) -> Mapping[str, int]:
        """How many files there are, and what of them is known."""
        words = [one.verdict.word for one in self.files if one.bundles]
        return {
            "files": len(self.files),
            "offered": sum(one.is_offered for one in self.files),
            "unchecked": len(self.unchecked),
            **{word.replace(" ", "_"): words.count(word) for word in ("verified", "failed", "not verified")},
        }


def _by_reason(files: Iterable[tuple[str, FileProvenance]]) -> Iterator[tuple[str, str]]:
    """Yield each reason, and in words the releases that it is given for."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for reason, one in files:
        found[reason][f"{one.planned.project} {one.planned.version}"] = None
    for reason, names in sorted(found.items()):
        more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        yield reason, f"{', '.join(list(names)[:_MOST_NAMED])}{more}"


def provenances(mirror: Mirror, plan: Plan, problems: Mapping[str, str], verify: Verifier | None = None) -> Provenances:
    """Return who published the files of a plan.

    :param problems: why what a file offers could not be had, by its SHA-256.
    :param verify: what verifies; found out if not given.
    :raises StorageError: what earlier reports saw can't be read.
    """
    if verify is None:
        verify = verifier() if any(file.file.provenance for file in plan.published) else _NOTHING_OFFERED
    files = tuple(_of_file(mirror, file, problems, verify) for file in plan.published)
    digest = sha256_of_bytes("".join(sorted(one.planned.sha256 for one in files)).encode())
    trusted = Publishers(mirror.records.folder).trusted(digest)
    return Provenances(
        files=files,
        alarms=alarms(files, trusted),
        verified_with=verify.tools,
        not_verified=verify.reason,
        digest=digest,
        trusted=after_first_use(files, trusted),
        seen=after_approval(files, trusted),
    )


def keep_publishers(mirror: Mirror, found: Provenances) -> None:
    """Remember who published, once the report is written: later ones are compared with it."""
    Publishers(mirror.records.folder).keep(found.digest, found.trusted, found.seen)


def _of_file(mirror: Mirror, file: PlannedFile, problems: Mapping[str, str], verify: Verifier) -> FileProvenance:
    if file.file.provenance is None:
        return FileProvenance(file, (), "", Verdict("not verified", "nothing is offered"))
    found = mirror.records.provenance(file.sha256)
    if found is None:
        problem = problems.get(file.sha256, _NOT_ASKED)
        return FileProvenance(file, (), problem, Verdict("not verified", problem))
    bundles = bundles_of(found)
    verdicts = (verify.verdict(file.filename, file.sha256, bundle) for bundle in bundles)
    return FileProvenance(file, bundles, "", worst(verdicts))


def provenance_json(found: Provenances) -> bytes:
    """Return ``provenance.json``; what it says is told in ``docs/dossier.md``."""
    return to_json(
        {
            "format": _FORMAT,
            "totals": found.totals,
            "verified_with": found.verified_with,
            "not_verified_because": found.not_verified,
            "alarms": list(map(_alarm, found.alarms)),
            "files": list(map(_file, found.files)),
        }
    )


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "project": alarm.project,
        "kind": alarm.kind,
        "versions": alarm.versions,
        "files": alarm.files,
        "expected": [one.to_json() for one in alarm.expected],
        "found": [one.to_json() for one in alarm.found],
        "says": alarm.says,
    }


def _file(one: FileProvenance) -> dict[str, Any]:
    planned = one.planned
    return {
        "project": planned.project,
        "version": planned.version,
        "filename": planned.filename,
        "sha256": planned.sha256,
        "offered": one.is_offered,
        "url": planned.file.provenance,
        "publishers": [publisher.to_json() for publisher in one.publishers],
        "attestations": sorted({each.predicate for bundle in one.bundles for each in bundle.attestations}),
        "of_this_file": one.is_of_this_file if one.bundles else None,
        "verdict": one.verdict.word,
        "reason": one.verdict.reason,
        "unchecked": one.problem,
    }
