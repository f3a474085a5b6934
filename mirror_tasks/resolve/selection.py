"""One file and one environment: usable or not, and why not. One requirement and one project: the releases that fit.

The rules are those of the simple repository API and of the installers that read it. Each is one small function that
gives the reason phrase of its refusal, or None; the phrase travels into the plan. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import BuildTag, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import parse_specifier
from mirror_tasks.config.model import Config
from mirror_tasks.index.file_names import SDIST_ENDINGS, is_wheel, sdist_ending
from mirror_tasks.index.project import File, Project
from mirror_tasks.policy.permission import Finding, Permission, Subject

NO_TAG = "no tag in common"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The choices of ``mirror.yaml`` that decide which files belong in the mirror; each field is the key of that name.

    :param permission: what the policy permits; None: there is none.
    """

    wheels: str = "compatible"
    sdists: str = "always"
    prereleases: bool = False
    prefer_binary: bool = False
    build_requirements: bool = True
    permission: Permission | None = None

    @classmethod
    def of(cls, config: Config, permission: Permission | None = None) -> Rules:
        """Return those that a ``mirror.yaml`` sets."""
        return cls(
            wheels=config.wheels,
            sdists=config.sdists,
            prereleases=config.prereleases,
            prefer_binary=config.prefer_binary,
            build_requirements=config.build_requirements,
            permission=permission,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release as one environment sees it: the files an installer there could take, the one it prefers first."""

    version: Version
    wheels: tuple[File, ...]
    sdist: File | None

    @property
    def files(self) -> tuple[File, ...]:
        """The usable files, the preferred one first: an sdist is taken only where no wheel fits."""
        return self.wheels if self.sdist is None else (*self.wheels, self.sdist)


def applies(requirement: Requirement, environment: Environment, extras: Iterable[str] = ()) -> bool:
    """Say if a requirement applies in an environment, with no extra or any of those given.

    Where the environment is a range, it applies if it does anywhere in it; where the installers judge the marker
    differently, if it does for one of them: better one file too many in the mirror than one that is missing.
    """
    return environment.marker_applies(requirement.marker, extras)


def check_python(requires_python: str | None, environment: Environment) -> str | None:
    """Refuse a file whose Requires-Python leaves out every Python that the environment stands for."""
    if environment.allows(requires_python):
        return None
    if parse_specifier(requires_python or "") is None:
        return f"uv passes over Requires-Python {requires_python!r}, which is no valid specifier"
    python = environment.python
    found = f"every {python.major}.{python.minor}" if environment.is_range else python
    return f"Requires-Python {requires_python} leaves out {found}"


def python_warning(*requires_python: str | None) -> str | None:
    """Return what is to be said of a file whose Requires-Python, by its page or by its metadata, keeps no Python out."""
    for text in requires_python:
        if text and parse_specifier(text) is None:
            return f"Requires-Python {text!r} is no valid specifier: taken as pip takes it, with a warning; uv may refuse it"
    return None


def check_tags(file: File, environment: Environment) -> str | None:
    """Refuse a wheel that has no tag in common with the environment."""
    if environment.tag_rank(tags_of(file.filename)) is None:
        return NO_TAG
    return None


def check_kind(file: File, rules: Rules) -> str | None:
    """Refuse the kinds of files that ``mirror.yaml`` leaves out."""
    if is_wheel(file.filename):
        return "wheels: none" if rules.wheels == "none" else None
    return "sdists: never" if rules.sdists == "never" else None


def check_yanked(file: File, pinned: bool) -> str | None:
    """Refuse a yanked file, unless it is pinned.

    PEP 592: an installer must ignore yanked releases if the selection constraints can be satisfied with a
    non-yanked version; only ``==`` and ``===`` pins may take one.
    """
    if file.yanked is None or pinned:
        return None
    return f"yanked: {file.yanked}" if file.yanked else "yanked"


def check_status(project: Project) -> str | None:
    """Refuse a quarantined project: PEP 792 wants installers to refuse it."""
    return (
        f"the project is quarantined: {project.status_reason or 'no reason given'}"
        if project.status == "quarantined"
        else None
    )


def check_policy(project: Project, version: Version, file: File, environment: Environment, rules: Rules) -> str | None:
    """Refuse what the policy refuses by what the page says; what it refuses by core metadata is refused when that arrives."""
    finding = policy_finding(project, version, file, environment, rules)
    return finding.reason if finding else None


def policy_finding(
    project: Project, version: Version, file: File, environment: Environment, rules: Rules
) -> Finding | None:
    """Return what refuses a file, as for :func:`check_policy`."""
    if rules.permission is None:
        return None
    subject = Subject(canonicalize_name(project.name), version, file, project.index_of(file.filename))
    return rules.permission.refusal(subject, environment)


def refusal(file: File, environment: Environment, rules: Rules, *, pinned: bool = False) -> str | None:
    """Return the first rule that keeps the environment from using the file, as a phrase; None if it is usable.

    The policy is looked at by :func:`check_policy`, for it goes by the release as well.
    """
    reason = check_kind(file, rules) or check_yanked(file, pinned) or check_python(file.requires_python, environment)
    if reason or not is_wheel(file.filename):
        return reason
    return check_tags(file, environment)


def is_allowed(file: File, hashes: frozenset[str]) -> bool:
    """Say if a file has one of the hashes, where there are any; one whose hash is not known yet may have."""
    return not hashes or file.hashes.get("sha256") in (None, *hashes)


def tags_of(filename: str) -> str:
    """Return the compressed tag set of a wheel's name: its last three fields."""
    return "-".join(filename[: -len(".whl")].rsplit("-", 3)[1:])


def build_tag_of(filename: str) -> BuildTag:
    """Return the build tag of a wheel's name; a name without one sorts first, as PEP 427 says."""
    fields = filename[: -len(".whl")].split("-")
    if len(fields) != 6:
        return ()
    digits = len(fields[2]) - len(fields[2].lstrip("0123456789"))
    return (int(fields[2][:digits] or "0"), fields[2][digits:])


@lru_cache(maxsize=1 << 14)
def candidate(
    project: Project,
    version: Version,
    environment: Environment,
    rules: Rules,
    *,
    pinned: bool = False,
    hashes: frozenset[str] = frozenset(),
) -> Candidate:
    """Return the release as the environment sees it.

    :param pinned: the requirement names this very version, so that its yanked files may be used.
    :param hashes: the sha256 sums that the requirement allows; empty allows all.
    """
    usable = [
        file
        for file in project.files(version)
        if refusal(file, environment, rules, pinned=pinned) is None
        and is_allowed(file, hashes)
        and check_policy(project, version, file, environment, rules) is None
    ]
    wheels = in_order([file for file in usable if is_wheel(file.filename)], environment)
    # .tar.gz is what PEP 625 wants an sdist to be; others serve where they are all there is.
    sdists = [file for file in usable if not is_wheel(file.filename)]
    sdists.sort(key=_ending)
    if rules.sdists == "fallback" and patches_of(wheels, environment) == environment.all_patches:
        sdists = []
    return Candidate(version, tuple(wheels), sdists[0] if sdists else None)


def patches_of(files: Iterable[File], environment: Environment) -> int:
    """Return the set of patch releases for which one of the files can be used, as their page says it."""
    found = 0
    for file in files:
        found |= environment.allows(file.requires_python)
    return found


def in_order(wheels: Iterable[File], environment: Environment) -> list[File]:
    """Return wheels in the order in which an installer in the environment prefers them."""
    return sorted(wheels, key=lambda file: _preference(file, environment))


def preferred(files: Iterable[File], environment: Environment) -> File:
    """Return the one of some files of a release that an installer in the environment takes first: a wheel, if there is one."""
    files = list(files)
    wheels = in_order([file for file in files if is_wheel(file.filename)], environment)
    return wheels[0] if wheels else min(files, key=lambda file: (_ending(file), file.filename))


def _ending(file: File) -> int:
    return SDIST_ENDINGS.index(sdist_ending(file.filename))


def _preference(file: File, environment: Environment) -> tuple[int, int, tuple[int, ...], str]:
    """Order wheels as installers do: the best tag, then the highest build tag, then the name, so that it is always the same."""
    rank = environment.tag_rank(tags_of(file.filename))
    build = build_tag_of(file.filename)
    number, suffix = (int(build[0]), build[1]) if build else (-1, "")
    return (rank or 0, -number, tuple(-ord(letter) for letter in suffix), file.filename)


def is_pin(specifier: SpecifierSet) -> bool:
    """Say if a specifier pins a version: ``===``, or ``==`` without a wildcard."""
    return any(one.operator == "===" or (one.operator == "==" and not one.version.endswith(".*")) for one in specifier)


def fitting(
    project: Project,
    specifier: SpecifierSet,
    environment: Environment,
    rules: Rules,
    hashes: frozenset[str] = frozenset(),
) -> Iterator[Candidate]:
    """Yield the releases that satisfy the specifier and that the environment can use, the one an installer tries first, first.

    PEP 440: pre-releases are left out unless the specifier names one, or they are all that satisfies it. Where
    ``prefer-binary`` is set, releases with a usable wheel come before newer ones that have only an sdist.
    """
    if check_status(project):
        return
    if not rules.prefer_binary:
        yield from _by_version(project, specifier, environment, rules, hashes)
        return
    found = list(_by_version(project, specifier, environment, rules, hashes))
    yield from (one for one in found if one.wheels)
    yield from (one for one in found if not one.wheels)


def _by_version(
    project: Project, specifier: SpecifierSet, environment: Environment, rules: Rules, hashes: frozenset[str]
) -> Iterator[Candidate]:
    allowed = rules.prereleases or bool(specifier.prereleases)
    pinned = is_pin(specifier)
    found = 0
    held_back: list[Version] = []
    for version in project.versions:
        if not specifier.contains(version, prereleases=True):
            continue
        if version.is_prerelease and not allowed:
            held_back.append(version)
            continue
        one = candidate(project, version, environment, rules, pinned=pinned, hashes=hashes)
        if one.files:
            found |= patches_of(one.files, environment)
            yield one
    if found == environment.all_patches:
        return
    for version in held_back:
        one = candidate(project, version, environment, rules, pinned=pinned, hashes=hashes)
        if one.files:
            yield one


def files_to_mirror(one: Candidate, rules: Rules) -> tuple[File, ...]:
    """Return the files of a chosen release that belong in the mirror for this environment.

    All wheels that fit, so that any client's preference is met, or the best only (``wheels: best``); and the sdist,
    where ``sdists`` lets it be a candidate.
    """
    wheels = one.wheels[:1] if rules.wheels == "best" else one.wheels
    return wheels if one.sdist is None else (*wheels, one.sdist)
