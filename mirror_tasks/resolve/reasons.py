"""Why a release, or a file of it, can't be used in an environment: the reason that counts, told wherever a choice is.

The rules are those of :mod:`mirror_tasks.resolve.selection`, one phrase each. A release has many files, nearly all of them for
other environments; the reason that counts is that of the files which came nearest to being usable.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.selection import (
    NO_TAG,
    Rules,
    check_policy,
    check_status,
    is_allowed,
    is_pin,
    policy_finding,
    refusal,
)
from mirror_tasks.text import and_more

Against = Callable[[File, Environment], "str | None"]
"""Returns what the core metadata of a file, if it is known, says against using it in an environment."""

WRONG_HASH = "its hash is not among those asked for"
_MOST_TOLD = 3  # releases, and reasons of one, that a phrase tells of; the others are counted


@lru_cache(maxsize=1 << 10)
def versions_of(project: Project) -> tuple[Version, ...]:
    """Return all versions that the page lists, newest first, those of which every file was skipped among them."""
    # It is asked for each requirement; of most pages nothing was skipped, and sorting took a tenth of a large plan.
    if skipped_of(project).keys() <= set(project.versions):
        return project.versions
    return tuple(sorted({*project.versions, *skipped_of(project)}, reverse=True))


@lru_cache(maxsize=1 << 10)
def skipped_of(project: Project) -> Mapping[Version, Mapping[str, str]]:
    """Return the files of a page that can't be used anywhere: the reason by file name, by the version in the name."""
    found: dict[Version, dict[str, str]] = defaultdict(dict)
    for filename, reason in project.skipped:
        version = _version_in(filename, project.name)
        if version is not None:
            found[version][filename] = reason
    return found


_ENDINGS = re.compile(r"\.(?:whl|egg|exe|msi|rpm|deb|dmg|zip|tgz|tar|tar\.[A-Za-z0-9]+)$", re.IGNORECASE)


def _version_in(filename: str, project: str) -> Version | None:
    """Return the version that a skipped file seems to be of; its name breaks a rule, so this is for people only."""
    stem = _ENDINGS.sub("", filename)
    name = "[-_.]+".join(map(re.escape, project.split("-")))
    rest = re.match(rf"{name}-(.+)", stem, re.IGNORECASE)
    for text in (rest[1], rest[1].partition("-")[0]) if rest else ():
        try:
            return Version(text)
        except (InvalidVersion, ValueError):
            continue
    return None


@dataclass(frozen=True, slots=True)
class Refusals:
    """Tells what the rules and the metadata refuse.

    :param against: by default nothing is known of any metadata.
    :param rule_against: gives the rule of the policy that refuses a file by its metadata; empty where none does.
    """

    rules: Rules
    against: Against = lambda _file, _environment: None
    rule_against: Callable[[File], str] = lambda _file: ""

    def of_release(
        self,
        project: Project,
        version: Version,
        environment: Environment,
        *,
        pinned: bool = False,
        hashes: frozenset[str] = frozenset(),
    ) -> Mapping[str, str]:
        """Return the rule that leaves out each file of a release which the environment can't use, by file name.

        :param pinned: a requirement names this very version.
        :param hashes: the sha256 sums that the requirement allows; empty allows all.
        """
        reasons = {
            file.filename: self.of_file(project, version, file, environment, pinned=pinned, hashes=hashes)
            for file in project.files(version)
        }
        told = {filename: reason for filename, reason in reasons.items() if reason is not None}
        return dict(sorted({**skipped_of(project).get(version, {}), **told}.items()))

    def of_file(
        self,
        project: Project,
        version: Version,
        file: File,
        environment: Environment,
        *,
        pinned: bool = False,
        hashes: frozenset[str] = frozenset(),
    ) -> str | None:
        """Return the first rule that keeps the environment from using a file, as for :meth:`of_release`."""
        return (
            refusal(file, environment, self.rules, pinned=pinned)
            or _wrong_hash(file, hashes)
            or check_policy(project, version, file, environment, self.rules)
            or self.against(file, environment)
        )

    def rule_of_release(
        self, project: Project, version: Version, environment: Environment, hashes: frozenset[str] = frozenset()
    ) -> str:
        """Return the rule of the policy that refuses the first file of a release that one does; empty: it is no such rule."""
        if self.rules.permission is None:
            return ""
        rules = (self._rule_of_file(project, version, file, environment, hashes) for file in project.files(version))
        return next(filter(None, rules), "")

    def _rule_of_file(
        self, project: Project, version: Version, file: File, environment: Environment, hashes: frozenset[str]
    ) -> str:
        if refusal(file, environment, self.rules) or _wrong_hash(file, hashes):
            return ""  # an installer would not take it without a policy either
        finding = policy_finding(project, version, file, environment, self.rules)
        return finding.rule if finding else self.rule_against(file)

    def why_unsatisfied(
        self,
        project: Project,
        specifier: SpecifierSet,
        environment: Environment,
        hashes: frozenset[str] = frozenset(),
    ) -> str:
        """Say in one phrase why no release of the project fits, of the newest few that satisfy the specifier one by one."""
        if reason := check_status(project):
            return reason
        versions = versions_of(project)
        if not versions:
            return _no_file(project)
        matching = [version for version in versions if specifier.contains(version, prereleases=True)]
        if not matching:
            return f"no release satisfies it; the newest is {versions[0]}"
        pinned = is_pin(specifier)
        refused = (
            (version, self.of_release(project, version, environment, pinned=pinned, hashes=hashes))
            for version in matching[:_MOST_TOLD]
        )
        told = [f"{version}: {_why_not(project, version, reasons)}" for version, reasons in refused]
        older = f"; and {len(matching) - _MOST_TOLD} older" if matching[_MOST_TOLD:] else ""
        satisfy = "1 release satisfies it, and" if len(matching) == 1 else f"{len(matching)} releases satisfy it,"
        return f"{satisfy} none has a file for {environment.name}: {'; '.join(told)}{older}"

    def passed_over(
        self,
        project: Project,
        specifier: SpecifierSet,
        taken: Collection[Version],
        environment: Environment,
        hashes: frozenset[str] = frozenset(),
    ) -> Iterator[tuple[Version, str, str]]:
        """Yield each release that satisfies the specifier and is newer than one that was taken, why it was not, and the rule.

        The rule is one of the policy, or empty.

        Pre-releases and yanked releases are no candidates to begin with, so nothing is said of them.
        """
        allowed = self.rules.prereleases or bool(specifier.prereleases)
        for version in versions_of(project):
            if version <= min(taken):
                return
            if (
                version in taken
                or (version.is_prerelease and not allowed)
                or not specifier.contains(version, prereleases=True)
            ):
                continue
            reasons = self.of_release(project, version, environment, hashes=hashes)
            if reasons and not any(reason.startswith("yanked") for reason in reasons.values()):
                rule = self.rule_of_release(project, version, environment, hashes)
                yield version, decisive_reasons(project, reasons), rule


def decisive_reasons(project: Project, reasons: Mapping[str, str]) -> str:
    """Return the reasons of the files of a project that came nearest to being usable, as one phrase.

    That a wheel is for another platform says something only where there is no other reason, or where the wheel is the
    user's own, who can build another one.
    """
    is_own = project.index == OWN
    near = {filename: reason for filename, reason in reasons.items() if reason != NO_TAG or is_own}
    filenames: dict[str, list[str]] = defaultdict(list)
    for filename, reason in (near or reasons).items():
        filenames[reason].append(filename)
    told = [
        reason if reason == NO_TAG and not is_own else f"{names[0]}{and_more(names)}: {reason}"
        for reason, names in filenames.items()
    ]
    return "; ".join(told[:_MOST_TOLD]) + (f"; and {len(told) - _MOST_TOLD} more reasons" if told[_MOST_TOLD:] else "")


def _why_not(project: Project, version: Version, reasons: Mapping[str, str]) -> str:
    """Say why a release is no candidate where these are the reasons of its files: one without may be left out all the same."""
    if version.is_prerelease and any(file.filename not in reasons for file in project.files(version)):
        return "a pre-release, and nothing asks for one"
    return decisive_reasons(project, reasons)


def _wrong_hash(file: File, hashes: frozenset[str]) -> str | None:
    return None if is_allowed(file, hashes) else WRONG_HASH


def _no_file(project: Project) -> str:
    """Say of a page without a release what it does have."""
    if not project.skipped:
        return f"the index lists no file of it on {project.url}, and no other is asked for what one has a page of"
    return f"the index lists no file of it that can be used: {decisive_reasons(project, dict(project.skipped))}"
