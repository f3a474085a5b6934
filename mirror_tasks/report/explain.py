"""Explanations, from the plan and the pages: why is this here, why is this not, why this version, why so big."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.archives.requirements import project_of
from mirror_tasks.config.blocks import did_you_mean
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Config
from mirror_tasks.errors import ResolutionError
from mirror_tasks.index.file_names import SDIST_ENDINGS, sdist_ending
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import File, Project
from mirror_tasks.policy.permission import Finding, Subject, exception_for
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Gap, KeptFile, PassedOver, Plan, PlannedRelease, Required
from mirror_tasks.resolve.reasons import Refusals, decisive_reasons, versions_of
from mirror_tasks.resolve.selection import fitting
from mirror_tasks.text import counted, total

_FILES = re.compile(rf"\S+(?:{'|'.join(map(re.escape, ('.whl', *SDIST_ENDINGS)))})(?: and \d+ more)?: ")
"""The files that a reason names, which are others of each release: without them, reasons are alike."""

_MOST_CHAINS = 5
_BEGIN = ("root", "lock", "completion")  # the kinds of those with whom a chain begins
_MOST_FILES = 20


@dataclass(frozen=True)
class Explainer:
    """Answers questions on a plan.

    :param page: gives a project as its page was last seen upstream, or None.
    :param refusals: what keeps a file out, by the rules and by what is known of its metadata.
    :param metadata: gives what a file says of itself, if a run has read it.
    """

    config: Config
    refusals: Refusals
    plan: Plan
    page: Callable[[str], Project | None]
    metadata: Callable[[File], CoreMetadata | Unusable | None] = lambda _file: None

    def explain(self, name: str) -> Iterator[str]:
        """Answer for a project (``numpy``), a release (``numpy-2.1.0``, ``numpy==2.1.0``), a file or a requirement, in lines.

        :raises ResolutionError: the name can be none of these.
        """
        if name in self.plan.by_filename or name.endswith((".whl", *SDIST_ENDINGS)):
            yield from self._file(name)
            return
        project, version = self._parse(name)
        is_project = project in self.plan.published_by_project or bool(self._gaps(project))
        if not is_project and (roots := self._roots(name)):
            yield from (self._root(root) for root in roots)
            return
        self._check_name(name, project)
        if version is not None:
            yield from self._release(project, version)
        else:
            yield from self._project(project)

    def _parse(self, name: str) -> tuple[str, Version | None]:
        head, sign, tail = name.partition("==")
        if not sign and canonicalize_name(name) not in self.plan.published_by_project:
            head, sign, tail = name.rpartition("-")
        try:
            return (canonicalize_name(head), Version(tail)) if sign else (canonicalize_name(name), None)
        except ValueError:  # InvalidVersion, and numbers that Python does not read
            return canonicalize_name(name), None

    def _roots(self, name: str) -> list[str]:
        """Return the requirements of ``mirror.yaml`` of this name; of a project's file there may be one for each part."""
        return [one.name for one in self.config.roots if one.name == name or one.name.startswith(f"{name} [")]

    def _root(self, root: str) -> str:
        brought = sorted(self._reached(root))
        named = f": {', '.join(brought)}" if brought else ""
        return f"{root} is a requirement of mirror.yaml, which brings {counted(len(brought), 'release')}{named}"

    def _check_name(self, name: str, project: str) -> None:
        """Refuse what is no name of a project: to have it, a line would be told that is none."""
        try:
            canonicalize_name(project, validate=True)
        except InvalidName:
            raise ResolutionError(
                "explaining",
                name,
                "expected a project, a release, a file or a requirement of mirror.yaml, found none of them",
                "Try `doit explain numpy`, `doit explain numpy==2.1.0` or the name of a file.",
            ) from None

    def _project(self, name: str) -> Iterator[str]:
        releases = [one for one in self.plan.releases if one.project == name]
        if not releases:
            yield from self._absent_project(name)
            yield from self._kept(name)
            return
        for release in releases:
            yield from self._release_there(release)
        yield from self._passed_over(name)
        yield from self._kept(name)

    def _place(self, name: str) -> str:
        """Return what a project that is not planned is not in: what is kept of it may be in the mirror still."""
        return "the plan" if name in self.plan.kept_by_project else "the mirror"

    def _kept(self, name: str, version: Version | None = None) -> Iterator[str]:
        """Tell what is kept of a project, or of one of its releases; of equal times once."""
        kept = self.plan.kept_by_project.get(name, ())
        reasons = {
            one.planned.filename: one.how_long for one in kept if version in (None, Version(one.planned.version))
        }
        yield from _by_reason("kept", reasons)

    def _passed_over(self, name: str) -> Iterator[str]:
        """Tell of the releases that are newer than those taken; of equal reasons once, with the newest and the oldest."""
        alike: dict[tuple[tuple[str, ...], str], list[PassedOver]] = defaultdict(list)
        passed = (one for one in self.plan.passed_over if one.project == name)
        for one in sorted(passed, key=lambda one: Version(one.version), reverse=True):
            alike[one.environments, _FILES.sub("", one.reason)].append(one)
        for (environments, _), ones in alike.items():
            newest, oldest = ones[0].version, ones[-1].version
            releases = newest if len(ones) == 1 else f"{newest} to {oldest} ({len(ones)} releases)"
            yield f"  left out of {', '.join(environments)}: {name} {releases}: {ones[0].reason}"

    def _release_there(self, release: PlannedRelease) -> Iterator[str]:
        size = total(file.size for file in self.plan.by_release.get((release.project, release.version), ()))
        yield f"{release.name} is in the mirror ({size})."
        lines = {environment: tuple(self._why_there(release, environment)) for environment in release.installs}
        yield from _by_environment(lines)
        yield from _by_reason("warning", release.warnings)
        yield from _by_reason("left out", release.left_out)
        yield from _by_reason("let in", self._waived(release))

    def _waived(self, release: PlannedRelease) -> Mapping[str, str]:
        """Return which files of a release an exception lets in: what is refused, why it is let in, and until when."""
        found: dict[str, list[str]] = defaultdict(list)
        for one in self.plan.waived:
            if (one.project, one.version) == (release.project, release.version):
                found[one.filename].append(f"{one.refusal}; {one.where} until {one.until}: {one.reason}")
        return {filename: "; and ".join(told) for filename, told in found.items()}

    def _why_there(self, release: PlannedRelease, environment: str) -> Iterator[str]:
        yield f"an installer takes {release.installs[environment]}"
        chains = dict.fromkeys(self.chains(release, environment))
        yield from (f"  because {chain}" for _, chain in chains)
        if others := sorted(self._all_roots(release, environment) - {root for root, _ in chains}):
            named = ", ".join(others[:_MOST_CHAINS]) + (" and others" if others[_MOST_CHAINS:] else "")
            yield f"  and {counted(len(others), 'more requirement')} of mirror.yaml, by further chains: {named}"

    def _gaps(self, name: str) -> list[Gap]:
        return [gap for gap in self.plan.gaps if project_of(gap.requirement) == name]

    def _absent_project(self, name: str) -> Iterator[str]:
        known = self.page(name)
        gaps = self._gaps(name)
        for gap in gaps:
            yield f"{gap.requirement} was asked for on {gap.environment} by {', '.join(map(str, gap.by))}, but {gap.reason}."
        if gaps:
            yield f"{name} is not in {self._place(name)}."
        else:
            meant = did_you_mean(name, self.plan.published_by_project) if known is None else ""
            needless = f"nothing that mirror.yaml requires needs it on any environment{meant or '.'}"
            yield f"{name} is not in {self._place(name)}: {needless}"
        if known is not None:
            yield from self._on_the_index(known)
        if not gaps:
            yield f"  To have it, add under requirements:  - {name}"

    def _on_the_index(self, project: Project) -> Iterator[str]:
        if project.versions:
            yield f"  {_whose(project)} has it, newest {project.versions[0]}."
        for filename, reason in project.skipped[:_MOST_FILES]:
            yield f"  It lists {filename}, which can't be used: {reason}"
        if more := project.skipped[_MOST_FILES:]:
            yield f"  and {len(more)} more such files."

    def _release(self, name: str, version: Version) -> Iterator[str]:
        present = [one for one in self.plan.releases if one.project == name and Version(one.version) == version]
        if present:
            yield from self._release_there(present[0])
            return
        chosen = [one for one in self.plan.releases if one.project == name]
        project = self.page(name)
        if project is None or not chosen:
            yield from self._absent_project(name)
            yield from self._kept(name, version)
            if project is not None:
                ways = (self._ways_in(project, version, environment) for environment in self.config.environments)
                yield from dict.fromkeys(itertools.chain.from_iterable(ways))
            return
        yield f"{name}-{version} is not in {self._place(name)}; {', '.join(one.version for one in chosen)} is."
        yield from self._kept(name, version)
        if version not in versions_of(project):
            yield f"  {_whose(project)} has no file of it; nearest: {self._nearest(project, version)}."
            return
        lines = {one.name: tuple(self._why_not(project, version, one, chosen)) for one in self.config.environments}
        yield from _by_environment(lines)

    def _nearest(self, project: Project, version: Version) -> str:
        after = [one for one in project.versions if one > version][-1:]
        before = [one for one in project.versions if one < version][:1]
        return ", ".join(str(one) for one in (*before, *after)) or "none"

    def _why_not(
        self, project: Project, version: Version, environment: Environment, chosen: list[PlannedRelease]
    ) -> Iterator[str]:
        reasons = self.refusals.of_release(project, version, environment)
        if all(file.filename in reasons for file in project.files(version)):
            yield f"none of its files can be used: {decisive_reasons(project, reasons)}"
            yield f"  the newest that can: {self._newest_usable(project, environment)}"
            yield from self._ways_in(project, version, environment)
            return
        asked = [
            _met_by(required, one.version)
            for one in chosen
            for required in one.required
            if required.environment == environment.name and required.by.kind != "completion"
        ]
        yield from asked[:_MOST_CHAINS] or [f"nothing requires {project.name} there"]
        yield f"  to have it too, add under requirements:  - {project.name}=={version}"

    def _ways_in(self, project: Project, version: Version, environment: Environment) -> Iterator[str]:
        """Yield the exceptions that would let a release in which the policy refuses."""
        if (permission := self.refusals.rules.permission) is None:
            return
        name = canonicalize_name(project.name)
        found: list[Finding] = []
        for file in project.files(version):
            found += permission.findings(Subject(name, version, file, project.index_of(file.filename)), environment)
            if (metadata := self.metadata(file)) is not None:
                found += permission.findings_in(name, version, metadata)
        ways = {exception_for(name, version, one, permission.as_of): one.rule for one in found if one.waiver is None}
        for exception, rule in ways.items():
            if exception:
                yield f"  to let it in, add under {permission.policy.place_of_exceptions(rule)}:  {exception}"

    def _newest_usable(self, project: Project, environment: Environment) -> str:
        candidates = fitting(project, SpecifierSet(), environment, self.refusals.rules)
        usable = (
            str(one.version)
            for one in candidates
            if any(self.refusals.of_file(project, one.version, file, environment) is None for file in one.files)
        )
        return next(usable, "none")

    def _file(self, filename: str) -> Iterator[str]:
        planned = self.plan.by_filename.get(filename)
        if planned is not None:
            yield f"{filename} is in the mirror, for {', '.join(planned.environments)}."
            yield from self._release(planned.project, Version(planned.version))
            return
        if filename in self.plan.kept_by_filename:
            yield from self._kept_file(self.plan.kept_by_filename[filename])
            return
        for release in self.plan.releases:
            if filename in release.left_out:
                yield f"{filename} was left out of {release.name}: {release.left_out[filename]}"
                yield from self._hints(release.left_out[filename])
                return
        yield f"{filename} is not in the mirror, and no release that is has it among its files."
        yield from self._from_filename(filename)

    def _kept_file(self, one: KeptFile) -> Iterator[str]:
        yield f"{one.planned.filename} {one.how_long}."
        listed = next(file for file in self.plan.published if file.filename == one.planned.filename)
        if listed.file.yanked is not None:
            yield "  Its page lists it as yanked: installers take it where a lock names it or == does, and nowhere else."
        yield f"  To have it in the plan again, add under requirements:  - {one.planned.project}=={one.planned.version}"

    def _hints(self, reason: str) -> Iterator[str]:
        hints = {
            "no tag in common": "add an environment whose platform and Python it is for",
            "leaves out": "add an environment with such a Python",
            "yanked": "pin it with == to have it all the same",
            "sdists:": "set sdists: always",
            "wheels:": "set wheels: compatible",
        }
        for phrase, hint in hints.items():
            if phrase in reason:
                yield f"  To have it, {hint}."

    def _from_filename(self, filename: str) -> Iterator[str]:
        name, _, rest = filename.partition("-")
        version = rest.partition("-")[0].removesuffix(sdist_ending(rest) or "?")
        try:
            yield from self._release(canonicalize_name(name), Version(version))
        except ValueError:  # InvalidVersion, and numbers that Python does not read
            yield from self._absent_project(canonicalize_name(name))

    def chains(self, release: PlannedRelease, environment: str) -> Iterator[tuple[str, str]]:
        """Yield chains of requirements from a root to a release, shortest first, each with its root; the first few only.

        Each release is gone through as often as there may be chains, and no more: through twelve layers of eight releases
        that all require each other there are 69 billion ways.
        """
        todo: deque[tuple[PlannedRelease, tuple[str, ...], frozenset[str]]] = deque(
            [(release, (), frozenset({release.name}))]
        )
        count, passed = 0, Counter[str]()
        while todo and count < _MOST_CHAINS:
            current, links, seen = todo.popleft()
            passed[current.name] += 1
            if passed[current.name] > _MOST_CHAINS:
                continue
            for required in self._asked(current, environment):
                if required.by.kind in _BEGIN:
                    yield required.by.name, " → ".join((self._start(required.by, current, environment), *links))
                    count += 1
                    continue
                asking = self._by_name.get((required.by.name, required.by.version))
                if asking is not None and asking.name not in seen:
                    link = f"{required.by} requires {required.requirement}{_bound_by_the_user(required)}"
                    todo.append((asking, (link, *links), seen | {asking.name}))

    def _asked(self, release: PlannedRelease, environment: str) -> Iterator[Required]:
        """Yield what asks for a release in an environment, but for solutions that pinned what was there without them."""
        for one in release.required:
            if one.environment == environment and (one.by.kind != "completion" or self._added(release, environment)):
                yield one

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str], PlannedRelease]:
        return {(one.project, one.version): one for one in self.plan.releases}

    def _all_roots(self, release: PlannedRelease, environment: str) -> set[str]:
        """Return all requirements of ``mirror.yaml`` that bring a release, by chains of any length."""
        roots: set[str] = set()
        todo, seen = [release], {release.name}
        while todo:
            for by in {one.by for one in self._asked(todo.pop(), environment)}:
                asking = self._by_name.get((by.name, by.version))
                if by.kind in _BEGIN:
                    roots.add(by.name)
                elif asking is not None and asking.name not in seen:
                    seen.add(asking.name)
                    todo.append(asking)
        return roots

    def _added(self, release: PlannedRelease, environment: str) -> bool:
        return any(one.environment == environment and release.name in one.releases for one in self.plan.completed)

    def _start(self, by: Asker, release: PlannedRelease, environment: str) -> str:
        """Return the beginning of a chain: a root, or the completion of one that brought a release, with its reason."""
        ours = [one for one in self.plan.completed if one.root == by.name and one.environment == environment]
        if by.is_root or not ours:
            return f"mirror.yaml: {by.name}"
        bringing = next((one for one in ours if release.name in one.releases), ours[0])
        lacking = bringing.reason.removesuffix(", asked for in mirror.yaml")
        return f"mirror.yaml: {by.name}, to complete it (lacking: {lacking})"

    def sizes(self) -> list[tuple[str, int, int]]:
        """Return for each root what it costs alone, and what only it brings, in bytes; the largest first."""
        reached = {root.name: self._reached(root.name) for root in self.config.roots}
        count: dict[str, int] = defaultdict(int)
        for names in reached.values():
            for name in names:
                count[name] += 1
        size = {
            one.name: sum(file.size or 0 for file in self.plan.by_release.get((one.project, one.version), ()))
            for one in self.plan.releases
        }
        rows = [
            (root, sum(size[name] for name in names), sum(size[name] for name in names if count[name] == 1))
            for root, names in reached.items()
        ]
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    def _reached(self, root: str) -> set[str]:
        needs = self._needs()
        found: set[str] = set()
        todo = [release for kind in ("root", "lock", "completion") for release in needs.get(Asker(kind, root), ())]
        while todo:
            release = todo.pop()
            if release.name not in found:
                found.add(release.name)
                for kind in ("release", "build"):
                    todo += needs.get(Asker(kind, release.project, release.version), ())
        return found

    def _needs(self) -> Mapping[Asker, Sequence[PlannedRelease]]:
        needs: dict[Asker, list[PlannedRelease]] = defaultdict(list)
        for release in self.plan.releases:
            for required in release.required:
                needs[required.by].append(release)
        return needs


def _whose(project: Project) -> str:
    """Return who serves a project, at the beginning of a sentence."""
    return "Your own source" if project.index == OWN else "The index"


def _met_by(required: Required, version: str) -> str:
    """Say which release was taken for a requirement, and why that one."""
    if required.by.kind == "lock":
        return f"{required.requirement} is what {required.by} names, and a lock is carried to the letter"
    asked = f"{required.requirement} ({required.by}{_bound_by_the_user(required)})"
    return f"{asked} is met by {version}, the newest that fits"


def _bound_by_the_user(required: Required) -> str:
    """Say what is not the asker's own requirement, but a line or a constraint of the user's."""
    return f", held to {required.bound} by mirror.yaml" if required.bound else ""


def _by_reason(what: str, reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each reason, with the first of the files that have it and how many more there are."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for filename, reason in reasons.items():
        by_reason[reason].append(filename)
    for reason, filenames in sorted(by_reason.items()):
        more = f" and {len(filenames) - 1} more" if len(filenames) > 1 else ""
        yield f"  {what}: {filenames[0]}{more}: {reason}"


def _by_environment(lines_of: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield what is told of each environment, once for those of which the same is told."""
    environments: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for environment, lines in lines_of.items():
        environments[lines].append(environment)
    for lines, names in environments.items():
        yield f"  {', '.join(names)}: {lines[0]}"
        yield from (f"    {line}" for line in lines[1:])
