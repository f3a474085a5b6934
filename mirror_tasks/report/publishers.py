"""Who publishes each project, compared with what earlier reports saw: trust on first use, and what is to be looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mirror_tasks.index.attestations import Bundle, Publisher
from mirror_tasks.report.verification import Verdict
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.publishers import Trust, Trusted
from mirror_tasks.text import counted

Kind = Literal["none", "publisher", "subject", "failed"]


@dataclass(frozen=True, slots=True)
class FileProvenance:
    """What is known of who published a file.

    :param bundles: what its provenance object says; nothing where there is none, or none that could be had.
    :param problem: why what is offered could not be had; else empty.
    :param verdict: what came of verifying it.
    """

    planned: PlannedFile
    bundles: tuple[Bundle, ...]
    problem: str
    verdict: Verdict

    @property
    def is_offered(self) -> bool:
        """The index offers a provenance object of it."""
        return self.planned.file.provenance is not None

    @property
    def publishers(self) -> tuple[Publisher, ...]:
        """Who published it, as the object says, sorted."""
        return tuple(sorted({bundle.publisher for bundle in self.bundles}))

    @property
    def is_of_this_file(self) -> bool:
        """All that is attested is attested of these bytes."""
        return all(one.sha256 == self.planned.sha256 for bundle in self.bundles for one in bundle.attestations)

    @property
    def is_sound(self) -> bool:
        """It says who published, and nothing speaks against it."""
        return bool(self.bundles) and self.is_of_this_file and self.verdict.word != "failed"


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is to be looked at before anything is signed.

    :param kind: ``none``: there is no provenance where there was one; ``publisher``: it names another publisher;
        ``subject``: it is of another file; ``failed``: it does not verify.
    :param files: their names, sorted; ``versions`` are theirs.
    :param expected: who published the project in earlier reports.
    :param found: who published these files, as their provenance says.
    :param says: all of it in words.
    """

    project: str
    kind: Kind
    versions: tuple[str, ...]
    files: tuple[str, ...]
    expected: tuple[Publisher, ...]
    found: tuple[Publisher, ...]
    says: str


def alarms(files: Iterable[FileProvenance], trusted: Trusted) -> tuple[Alarm, ...]:
    """Return what is to be looked at, by project."""
    return tuple(
        alarm
        for project, of_it in _by_project(files).items()
        for alarm in _alarms_of(project, of_it, trusted.get(project, _NOBODY))
    )


_NOBODY = Trust((), ())


def _alarms_of(project: str, files: Sequence[FileProvenance], trust: Trust) -> Iterator[Alarm]:
    known = ", ".join(one.shown for one in trust.publishers)
    if trust.publishers:
        bare = [one for one in files if not one.is_offered and one.planned.version not in trust.without]
        says = f"offers no provenance; earlier reports had {project} published by {known}"
        yield from _alarm(project, "none", bare, trust, says)
        others = [one for one in files if one.is_sound and not set(one.publishers) <= set(trust.publishers)]
        found = ", ".join(one.shown for one in _publishers_of(others))
        yield from _alarm(
            project, "publisher", others, trust, f"is published by {found}; earlier reports had it by {known}"
        )
    of_others = [one for one in files if not one.is_of_this_file]
    yield from _alarm(project, "subject", of_others, trust, "has a provenance that is of another file")
    failed = [one for one in files if one.is_of_this_file and one.verdict.word == "failed"]
    reason = failed[0].verdict.reason if failed else ""
    yield from _alarm(project, "failed", failed, trust, f"has a provenance that does not verify: {reason}")


def _alarm(project: str, kind: Kind, files: Sequence[FileProvenance], trust: Trust, says: str) -> Iterator[Alarm]:
    if files:
        versions = tuple(dict.fromkeys(one.planned.version for one in files))
        names = tuple(sorted(one.planned.filename for one in files))
        who = f"{project} {', '.join(versions)} ({counted(len(names), 'file')})"
        yield Alarm(project, kind, versions, names, trust.publishers, _publishers_of(files), f"{who} {says}")


def after_first_use(files: Iterable[FileProvenance], trusted: Trusted) -> Trusted:
    """Return whom to trust from now on: those trusted before, and for a project seen for the first time its publishers."""
    new = {name: trust for name, trust in _seen(files, trusted).items() if name not in trusted}
    return {**trusted, **new}


def after_approval(files: Iterable[FileProvenance], trusted: Trusted) -> Trusted:
    """Return what is taken as right once the report of these files is approved: what it shows, whatever was before."""
    files = list(files)
    reported = _by_project(files)
    others = {name: trust for name, trust in trusted.items() if name not in reported}
    return {**others, **_seen(files, trusted)}


def _seen(files: Iterable[FileProvenance], trusted: Trusted) -> Mapping[str, Trust]:
    """Return who publishes each project now.

    Where something could not be had, or is not sound, it takes nothing away: who published before may have again.
    """
    found = {}
    for project, of_it in _by_project(files).items():
        before = trusted.get(project, _NOBODY)
        is_all = all(one.is_sound or not one.is_offered for one in of_it)
        publishers = {*_publishers_of(one for one in of_it if one.is_sound), *(() if is_all else before.publishers)}
        without = {*before.without, *(one.planned.version for one in of_it if not one.is_offered)}
        if publishers:
            found[project] = Trust(tuple(sorted(publishers)), tuple(sorted(without)))
    return found


def _publishers_of(files: Iterable[FileProvenance]) -> tuple[Publisher, ...]:
    return tuple(sorted({publisher for one in files for publisher in one.publishers}))


def _by_project(files: Iterable[FileProvenance]) -> Mapping[str, Sequence[FileProvenance]]:
    grouped: dict[str, list[FileProvenance]] = defaultdict(list)
    for one in files:
        grouped[one.planned.project].append(one)
    return grouped
