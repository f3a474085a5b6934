"""The plan: what belongs in the mirror, for which environments, who asked for it, and what was left out by which rule.

It is made of a whole closure, and it is the only thing that the steps after it read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from packaging.version import Version

from mirror_tasks.files import sealed, sha256_of_bytes, unsealed
from mirror_tasks.index.project import File
from mirror_tasks.resolve.outcome import Asker, Completed, OneSided, Unsolved

FORMAT = 4


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that belongs in the mirror.

    :param file: as its index announces it; its ``sha256`` is known.
    :param environments: the names of the environments that it is for, sorted.
    """

    file: File
    project: str
    version: str
    environments: tuple[str, ...]

    @property
    def filename(self) -> str:
        """The name of the file."""
        return self.file.filename

    @property
    def sha256(self) -> str:
        """Its SHA-256, in hexadecimal."""
        return self.file.hashes["sha256"]

    @property
    def size(self) -> int | None:
        """Its size in bytes; None where the index does not say."""
        return self.file.size


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that left the plan and stays in the mirror for a while, so that locks that name it install.

    :param planned: as the last plan that had it said, or as its index announces it now.
    :param left: the day (UTC, ISO 8601) on which the first plan without it was made.
    :param changes: how often the files of the mirror have changed since.
    :param until: the last day on which it is kept; None where ``plans`` says how long.
    :param plans: how often the files of the mirror change until it is kept no more; None where ``until`` says how long.
    """

    planned: PlannedFile
    left: str
    changes: int = 0
    until: str | None = None
    plans: int | None = None

    @property
    def how_long(self) -> str:
        """When it left and how long it is kept, in words that stay the same as long as it is kept.

        ``receive.py`` knows such a reason by its words, where it merges the pages of two streams.
        """
        end = f"until {self.until}"
        if self.plans is not None:
            times = "once" if self.plans == 1 else "twice" if self.plans == 2 else f"{self.plans} times"
            end = f"until the mirror has changed {times} since"
        return f"left the plan on {self.left}; kept for locks {end}"

    def listed(self, planned: Mapping[str, Collection[Version]]) -> PlannedFile:
        """Return the file as pages list it.

        It is listed as it was, so that a client that began before the mirror changed can finish. But where installers would
        prefer it to what the plan has, on an environment that it was for, it is listed as yanked: then only a lock or a pin
        takes it. If the index gave a reason itself, that one is shown.

        :param planned: the versions that the plan has of the project, by environment.
        """
        version = Version(self.planned.version)
        rivals = (planned.get(environment, ()) for environment in self.planned.environments)
        if self.planned.file.yanked is not None or not any(_is_preferred(version, versions) for versions in rivals):
            return self.planned
        return replace(self.planned, file=replace(self.planned.file, yanked=self.how_long))


def _is_preferred(version: Version, others: Collection[Version]) -> bool:
    """Say if an installer prefers a version to all others: a newer one, and a final release to pre-releases."""
    if not others:
        return False
    is_final = not version.is_prerelease and all(other.is_prerelease for other in others)
    return is_final or version > max(others)


@dataclass(frozen=True, slots=True)
class Required:
    """One reason why a release is in the mirror: an environment, a requirement, and who asked (a root or a release).

    :param bound: what the lines and constraints of the root add to the requirement; empty where they add nothing.
    """

    environment: str
    requirement: str
    by: Asker
    bound: str = ""


@dataclass(frozen=True, slots=True)
class PlannedRelease:
    """A release in the mirror.

    :param installs: the file that an installer would take, by environment.
    :param left_out: the rule that left a file of the release out, by file name.
    :param warnings: what is wrong with a file that is taken all the same, by file name.
    """

    project: str
    version: str
    installs: Mapping[str, str]
    required: tuple[Required, ...]
    left_out: Mapping[str, str]
    warnings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The release's name as tasks and people write it."""
        return f"{self.project}-{self.version}"


@dataclass(frozen=True, slots=True)
class Gap:
    """A requirement that nothing on the index satisfies, or that could not be decided because something failed."""

    environment: str
    requirement: str
    by: tuple[Asker, ...]
    reason: str
    undecided: bool


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A release that satisfies a requirement and is newer than one that was taken, and why it was not.

    :param rule: the rule of the policy that refuses the first of its files that one does; empty where none does.
    """

    project: str
    version: str
    environments: tuple[str, ...]
    reason: str
    rule: str = ""  # plans of versions that did not note it have no such key


@dataclass(frozen=True, slots=True)
class Judged:
    """By what a plan was judged: the same of all makes the same plan.

    :param as_of: the day of judging (UTC, ISO 8601).
    :param policy: the SHA-256 of what the policy says.
    :param advisories: what they are called, ``sha256``, ``newest`` (when a record last changed) and ``records``; None: there
        are none.
    """

    as_of: str
    policy: str
    advisories: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Waived:
    """A file that is in the plan though a rule refuses it, since an exception lets it in.

    :param refusal: what the rule says.
    :param advisory: the identifier of the advisory that is waived; empty for other rules.
    :param reason: why it is let in, as the exception says.
    :param until: the day (UTC, ISO 8601) on which the exception ends.
    :param where: the place of the exception.
    """

    project: str
    version: str
    filename: str
    rule: str
    refusal: str
    advisory: str
    reason: str
    until: str
    where: str


@dataclass(frozen=True)
class Plan:
    """All of it, sorted; the same input gives the same plan.

    :param judged: None where there is no policy.
    """

    environments: tuple[Mapping[str, Any], ...]
    releases: tuple[PlannedRelease, ...]
    files: tuple[PlannedFile, ...]
    gaps: tuple[Gap, ...]
    unknown_extras: tuple[str, ...] = ()
    completed: tuple[Completed, ...] = ()
    unsolved: tuple[Unsolved, ...] = ()
    statuses: Mapping[str, tuple[str, str]] | None = None
    passed_over: tuple[PassedOver, ...] = ()
    unmet_wishes: tuple[Unsolved, ...] = ()
    one_sided: tuple[OneSided, ...] = ()
    kept: tuple[KeptFile, ...] = ()
    judged: Judged | None = None
    waived: tuple[Waived, ...] = ()

    @cached_property
    def by_project(self) -> Mapping[str, tuple[PlannedFile, ...]]:
        """The files of each project, in the order of their names."""
        return _by_project(self.files)

    @cached_property
    def published(self) -> tuple[PlannedFile, ...]:
        """All files that stand in the mirror: its own, and those that are kept, as pages list them."""
        if not self.kept:
            return self.files
        kept = (one.listed(self._versions_of(name)) for name, files in self.kept_by_project.items() for one in files)
        return tuple(sorted((*self.files, *kept), key=attrgetter("project", "filename")))

    def _versions_of(self, project: str) -> Mapping[str, set[Version]]:
        found: dict[str, set[Version]] = defaultdict(set)
        for file in self.by_project.get(project, ()):
            for environment in file.environments:
                found[environment].add(Version(file.version))
        return found

    @cached_property
    def published_by_project(self) -> Mapping[str, tuple[PlannedFile, ...]]:
        """The files of each project that has a page, in the order of their names."""
        return _by_project(self.published)

    @cached_property
    def kept_by_project(self) -> Mapping[str, tuple[KeptFile, ...]]:
        """What is kept of each project, in the order of the names of files."""
        grouped: dict[str, list[KeptFile]] = defaultdict(list)
        for one in self.kept:
            grouped[one.planned.project].append(one)
        return {name: tuple(kept) for name, kept in grouped.items()}

    @cached_property
    def kept_by_filename(self) -> Mapping[str, KeptFile]:
        """Each file that is kept, by its name."""
        return {one.planned.filename: one for one in self.kept}

    @cached_property
    def by_filename(self) -> Mapping[str, PlannedFile]:
        """Each file by its name."""
        return {file.filename: file for file in self.files}

    @cached_property
    def by_release(self) -> Mapping[tuple[str, str], tuple[PlannedFile, ...]]:
        """The files of each release, by project and version."""
        grouped: dict[tuple[str, str], list[PlannedFile]] = defaultdict(list)
        for file in self.files:
            grouped[(file.project, file.version)].append(file)
        return {key: tuple(files) for key, files in grouped.items()}

    @cached_property
    def _releases_by_project(self) -> Mapping[str, tuple[PlannedRelease, ...]]:
        grouped: dict[str, list[PlannedRelease]] = defaultdict(list)
        for release in self.releases:
            grouped[release.project].append(release)
        return {name: tuple(releases) for name, releases in grouped.items()}

    @property
    def is_complete(self) -> bool:
        """Whether everything could be asked, and every requirement of ``mirror.yaml`` has a solution."""
        return not self.unsolved and not any(gap.undecided for gap in self.gaps)

    @property
    def lacking(self) -> tuple[str, ...]:
        """What keeps the plan from being complete: requirements without a solution, and what could not be decided."""
        unsolved = {f"{one.root} on {one.environment}" for one in self.unsolved}
        undecided = {f"{gap.requirement} on {gap.environment}, undecided" for gap in self.gaps if gap.undecided}
        return tuple(sorted(unsolved | undecided))

    def releases_of(self, name: str) -> tuple[PlannedRelease, ...]:
        """Return the releases of a project, oldest first."""
        return self._releases_by_project.get(name, ())

    @property
    def size(self) -> int:
        """The bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    def with_what_was(self, old: Plan) -> Plan:
        """Return this plan with the releases and files of an older one that it does not name.

        A plan that could not ask for everything must not take away what was published before and may still be needed.
        """
        releases = {(one.project, Version(one.version)): one for one in (*old.releases, *self.releases)}
        files = {file.filename: file for file in (*old.files, *self.files)}
        return replace(
            self,
            releases=tuple(releases[key] for key in sorted(releases)),
            files=tuple(sorted(files.values(), key=attrgetter("project", "filename"))),
        )

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the plan as it is kept, which is 30 MB of 50,000 files, and is not held in memory for it."""
        return sha256_of_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the plan as JSON, an item a line, so that two plans can be compared with diff."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "environments": list(self.environments),
            "releases": list(self.releases),
            "files": list(self.files),
            "gaps": list(self.gaps),
            "unknown_extras": list(self.unknown_extras),
            "completed": list(self.completed),
            "unsolved": list(self.unsolved),
            "statuses": dict(self.statuses or {}),
            "passed_over": list(self.passed_over),
            "unmet_wishes": list(self.unmet_wishes),
            "one_sided": list(self.one_sided),
            "kept": list(self.kept),
            "judged": self.judged,
            "waived": list(self.waived),
        }
        made = sealed(content)
        self.__dict__.setdefault("digest", sha256_of_bytes(made))  # so that it is not made once more to be hashed
        return made

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """Read a plan back.

        :raises ValueError: it is not a plan of this format.
        """
        data = unsealed(content)
        if data.get("format") != FORMAT:
            raise ValueError(f"expected a plan of format {FORMAT}, found {data.get('format')!r}")
        plan = cls(
            environments=tuple(data["environments"]),
            releases=tuple(_release(one) for one in data["releases"]),
            files=tuple(_file(one) for one in data["files"]),
            gaps=tuple(Gap(**{**one, "by": tuple(Asker(**asker) for asker in one["by"])}) for one in data["gaps"]),
            unknown_extras=tuple(data["unknown_extras"]),
            completed=tuple(Completed(**{**one, "releases": tuple(one["releases"])}) for one in data["completed"]),
            unsolved=_unsolved(data["unsolved"]),
            unmet_wishes=_unsolved(data["unmet_wishes"]),
            one_sided=tuple(OneSided(**{**one, "lines": tuple(one["lines"])}) for one in data["one_sided"]),
            statuses={name: (status, reason) for name, (status, reason) in data["statuses"].items()},
            passed_over=tuple(
                PassedOver(**{**one, "environments": tuple(one["environments"])}) for one in data["passed_over"]
            ),
            # Plans of versions that kept nothing have no such key.
            kept=tuple(KeptFile(**{**one, "planned": _file(one["planned"])}) for one in data.get("kept", ())),
            judged=Judged(**data["judged"]) if data.get("judged") else None,
            waived=tuple(Waived(**one) for one in data.get("waived", ())),
        )
        plan.__dict__["digest"] = sha256_of_bytes(content)  # it is what is kept, and is not made once more to be hashed
        return plan


def _by_project(files: Iterable[PlannedFile]) -> Mapping[str, tuple[PlannedFile, ...]]:
    grouped: dict[str, list[PlannedFile]] = defaultdict(list)
    for file in files:
        grouped[file.project].append(file)
    return {name: tuple(files) for name, files in grouped.items()}


def _unsolved(data: Iterable[Mapping[str, Any]]) -> tuple[Unsolved, ...]:
    return tuple(Unsolved(**{**one, "lines": tuple(one["lines"])}) for one in data)


def _file(data: Mapping[str, Any]) -> PlannedFile:
    return PlannedFile(File(**data["file"]), data["project"], data["version"], tuple(data["environments"]))


def _required_of(data: Mapping[str, Any]) -> Required:
    return Required(**{**data, "by": Asker(**data["by"])})


def _release(data: Mapping[str, Any]) -> PlannedRelease:
    return PlannedRelease(**{**data, "required": tuple(_required_of(one) for one in data["required"])})
