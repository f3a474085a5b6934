"""The key ``requirements:`` of ``mirror.yaml``: each entry becomes a root."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.own_builds import unbuilt
from mirror_tasks.config.lock_files.own_sources import lacking_sources
from mirror_tasks.config.model import DynamicProject, RequestedRequirement, Root
from mirror_tasks.config.own_folders import Distribution, read_folder
from mirror_tasks.config.own_git import BUILD, GitRequirement
from mirror_tasks.config.own_sources import OwnFile, OwnSources, names_of
from mirror_tasks.config.own_urls import UrlRequirement
from mirror_tasks.config.requirement_files import (
    parse_requirement,
    read_requirement,
    read_requirements,
    read_text,
    relative,
)
from mirror_tasks.config.wishes import MOST_BYTES, read_review, review_path
from mirror_tasks.errors import Fault
from mirror_tasks.text import redact

if TYPE_CHECKING:
    from mirror_tasks.config.project_files.answers import Answers

REQUIREMENT_KEYS = (
    "require",
    "file",
    "project",
    "wheels",
    "wanted",
    "lock",
    "versions",
    "environments",
    "groups",
    "extras",
    "build",
)
"""The keys of an entry under ``requirements:`` that is not just text."""

# What an entry is, by the key that says so, and which keys it may have beside that.
_KINDS: Mapping[str, frozenset[str]] = {
    "require": frozenset({"versions", "environments", "build"}),
    "file": frozenset({"versions", "environments"}),
    "project": frozenset({"groups", "extras", "versions", "environments"}),
    "wheels": frozenset({"environments"}),
    "wanted": frozenset({"versions", "environments"}),
    "lock": frozenset({"groups", "extras", "environments"}),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, whatever its kind.

    :param text: what stands at the key that says its kind: a requirement, or the name of a file.
    :param block: all its keys.
    :param key_path: its place, such as ``requirements[0]``.
    :param environments: the names of those that it is limited to; None: all.
    """

    text: str
    block: Block
    key_path: str
    versions: str | int
    environments: tuple[str, ...] | None


class RootReader:
    """Reads what stands under ``requirements:``.

    :param path: of the file.
    :param block: the whole file.
    :param environments: those of the file; entries may be limited to some.
    :param faults: what is wrong is added to them.
    :param answers: those of the build backends of projects; None where none is asked.
    :ivar wanted: the lists of what clients asked for in vain.
    :ivar own: the files that the user brings along.
    :ivar dynamic: the projects whose build backends are asked, by their files.
    """

    def __init__(
        self,
        path: Path,
        block: Block,
        environments: Sequence[Environment],
        faults: list[Fault],
        answers: Answers | None = None,
    ) -> None:
        self.wanted: list[Path] = []
        self.own = OwnSources()
        self.dynamic: dict[Path, DynamicProject] = {}
        self._answers = answers
        self._file_name = path.name
        self._folder = path.parent
        self._block = block
        self._environments = tuple(environments)
        self._faults = faults
        self._roots: dict[tuple[object, tuple[str, ...] | None], Root] = {}
        self._builds: dict[Path, Root] = {}
        self._foreign: list[tuple[NormalizedName, Fault]] = []
        self._read_by_kind = {
            "require": self._required,
            "file": self._file,
            "project": self._project,
            "wheels": self._wheels,
            "wanted": self._wanted,
            "lock": self._lock,
        }

    def roots(self, versions: str | int) -> tuple[Root, ...]:
        """Return the roots.

        :param versions: what ``versions:`` says for all that do not say it themselves.
        """
        entries = self._block.get("requirements")
        if not isinstance(entries, list) or not entries:
            found = "" if entries is None or entries == [] else f", found {show(entries)}"
            self._block.fault("requirements", f"expected a list of requirements such as requests>=2.24{found}")
            return ()
        for position, entry in enumerate(entries):
            self._read(entry, f"requirements[{position}]", versions)
        self._check_sources_of_locks()
        self._warn_of_builds()
        brought = names_of(self.own.projects)
        self._faults.extend(fault for name, fault in self._foreign if name not in brought)
        return (*self._roots.values(), *self._builds.values())

    def _check_sources_of_locks(self) -> None:
        """Only when all entries are read is it known what has a source of its own."""
        own = names_of(self.own.projects)
        for root in self._roots.values():
            for problem in lacking_sources(root.lock, own, self._folder) if root.lock else ():
                self._fault(f"{root.key_path}.lock", f"{root.name}: {problem}")

    def _warn_of_builds(self) -> None:
        """Only when all entries are read is it known which projects can be built."""
        if self._block.get("build-requirements") is False:
            return
        for identity, root in self._roots.items():
            if root.lock and (lacking := unbuilt(root.lock, self._builds, self._folder)):
                told = "; ".join(filter(None, (root.lock.warning, lacking)))
                self._roots[identity] = replace(root, lock=replace(root.lock, warning=told))

    def path(self, text: str) -> Path:
        """Return a path of the file, absolute: it is relative to the file's folder."""
        return Path(os.path.normpath(self._folder / os.path.expanduser(text)))  # noqa: PTH111 (Path raises without a home)

    def _fault(self, key_path: str, problem: str) -> None:
        self._faults.append(Fault(key_path, problem))

    def _read(self, entry: object, key_path: str, versions: str | int) -> None:
        if isinstance(entry, str):
            self._required(Entry(entry, Block({}, key_path, self._faults), key_path, versions, None))
            return
        if not isinstance(entry, dict):
            self._fault(key_path, f"expected a requirement such as requests>=2.24, found {show(entry)}")
            return
        block = Block(entry, key_path, self._faults)
        kind = self._kind(block)
        if kind is None:
            return
        if not block.has(kind):
            block.fault(kind, "expected text, found nothing")
        text = block.string(kind, None)
        versions, environments = versions_of(block, versions), self._limited_to(block)
        if text is not None:
            self._read_by_kind[kind](Entry(text, block, key_path, versions, environments))

    def _environments_of(self, entry: Entry) -> list[Environment]:
        return [one for one in self._environments if entry.environments is None or one.name in entry.environments]

    def _kind(self, block: Block) -> str | None:
        """Return what kind of entry it is; None, with a fault, where that can't be told."""
        said = [key for key, _ in block.items()]
        kinds = [kind for kind in _KINDS if kind in said]
        block.only([key for key in REQUIREMENT_KEYS if len(kinds) != 1 or key in {kinds[0], *_KINDS[kinds[0]]}])
        if len(kinds) == 1:
            return kinds[0]
        expected = f"{', '.join(list(_KINDS)[:-1])} and {list(_KINDS)[-1]}"
        block.fault("", f"expected one of {expected}, found {' and '.join(kinds) or 'none'}")
        return None

    def _limited_to(self, block: Block) -> tuple[str, ...] | None:
        value = block.get("environments")
        if value is None:
            return None
        known = [one.name for one in self._environments]
        if not isinstance(value, list) or not value:
            block.fault(
                "environments", f"expected a list of environments such as [{', '.join(known[:2])}], found {show(value)}"
            )
            return None
        for one in value:
            if one not in known:
                block.fault("environments", unknown("environment", one, known))
        return tuple(name for name in known if name in value)

    def _keep(self, identity: object, root: Root) -> None:
        """Keep a root unless it is there already, whatever its spelling: it would be the same work twice."""
        for (other, environments), kept in self._roots.items():
            if other == identity and _overlap(environments, root.environments):
                self._fault(root.key_path, f"{show(root.name)} is listed already, in {kept.key_path}")
                return
        self._roots[identity, root.environments] = root

    def _required(self, entry: Entry) -> None:
        try:
            found = read_requirement(entry.text)
        except ValueError as error:
            self._fault(entry.key_path, str(error))
            return
        where, by_url = f"{self._file_name}: {entry.key_path}", found.by_url
        requested = RequestedRequirement(requirement=found.requirement, where=where)
        root = Root(
            name=told.name if (told := found.git or by_url) else entry.text,
            key_path=entry.key_path,
            requirements=(requested,),
            versions=entry.versions,
            environments=entry.environments,
        )
        self._keep(_identity(found.requirement, by_url.file.filename if by_url else None), root)
        if by_url:
            self._bring(by_url, entry.key_path)
        self._build(found.git, entry)

    def _build(self, git: GitRequirement | None, entry: Entry) -> None:
        """Let a project be built from its repository, if that is what the user wants."""
        build = entry.block.boolean("build", False)
        if git is None:
            if build:
                entry.block.fault("build", "only a requirement such as NAME @ git+https://… is built; leave this out")
        elif not build:
            self._fault(entry.key_path, BUILD.format(redact(entry.text)))
        else:
            try:
                self.own.build(git.project, git.source)
            except ValueError as error:
                self._fault(entry.key_path, str(error))

    def _bring(self, by_url: UrlRequirement, key_path: str) -> None:
        """Serve the project of a requirement by URL from there."""
        try:
            self.own.add(canonicalize_name(by_url.requirement.name), by_url.file)
        except ValueError as error:
            self._fault(key_path, str(error))

    def _file(self, entry: Entry) -> None:
        path = self.path(entry.text)
        lines = read_requirements(path, entry.text, self._folder)
        self._faults.extend(lines.faults)
        for where, by_url in lines.own:
            self._bring(by_url, where)
        if not lines.requirements and not lines.faults:
            self._fault(f"{entry.key_path}.file", f"expected requirements in {entry.text}, found none")
        root = Root(
            name=entry.text,
            key_path=entry.key_path,
            requirements=tuple(lines.requirements),
            constraints=tuple(lines.constraints),
            hashed_constraints=tuple(lines.hashed),
            versions=entry.versions,
            is_file=True,
            environments=entry.environments,
        )
        self._keep(path, root)

    def _project(self, entry: Entry) -> None:
        # Only now, as for locks below: what reads them takes a twentieth of what `doit list` does, and most mirrors have none.
        from mirror_tasks.config.projects import ProjectEntry, read_project

        known = [one for one in self._environments if entry.environments is None or one.name in entry.environments]
        asked = ProjectEntry(
            path=self.path(entry.text),
            shown=entry.text,
            base=self._folder,
            block=entry.block,
            key_path=entry.key_path,
            versions=entry.versions,
            environments=entry.environments,
            targets=tuple(known),
            answers=self._answers,
        )
        found = read_project(asked)
        # Two entries may have one file.
        self._faults.extend(fault for fault in found.faults if fault not in self._faults)
        self._foreign.extend(found.foreign)
        self.dynamic.update((one.path, one) for one in found.dynamic)
        for identity, root in found.roots:
            self._keep(identity, root)
        if self._block.get("build-requirements") is not False:
            for path, root in found.builds.items():
                self._builds[path] = _for_both(self._builds[path], root) if path in self._builds else root

    def _wheels(self, entry: Entry) -> None:
        """Take in a folder: a root for each of its projects, with all its releases."""
        path = self.path(entry.text)
        folder = read_folder(path)
        for problem in folder.problems:
            self._fault(f"{entry.key_path}.wheels", problem)
        for name, found in folder.by_project.items():
            try:
                for one in found:
                    self.own.add(name, OwnFile(one.filename, (path / one.filename).as_uri()))
            except ValueError as error:
                self._fault(f"{entry.key_path}.wheels", str(error))
            # all of its releases are wanted: an installer takes a pre-release where the specifier has one
            text = f"{name}>=0.dev0" if any(one.version.is_prerelease for one in found) else name
            where = f"{self._file_name}: {entry.key_path}"
            root = Root(
                name=f"{name} from {path.name or path}",
                key_path=entry.key_path,
                requirements=(RequestedRequirement(requirement=parse_requirement(text), where=where),),
                versions="all",
                environments=self._usable_on(found, entry),
                own=path.name or "wheels",
            )
            self._keep((path, name), root)

    def _usable_on(self, found: Sequence[Distribution], entry: Entry) -> tuple[str, ...] | None:
        """Return the environments of an entry on which one of a project's files may be used; where it is none, all.

        Nobody expects a wheel for Linux on Windows; one that fits nowhere is told by the plan, with the rule.
        """
        asked = self._environments_of(entry)
        usable = tuple(one.name for one in asked if any(file.may_be_used_on(one) for file in found))
        return entry.environments if len(usable) in (0, len(asked)) else usable

    def _lock(self, entry: Entry) -> None:
        from mirror_tasks.config.lock_files.reading import read_lock

        path = self.path(entry.text)
        groups, extras = _names(entry.block, "groups"), _names(entry.block, "extras")
        try:
            lock = read_lock(path, entry.text, self._environments_of(entry), groups, extras)
        except ValueError as error:
            self._fault(f"{entry.key_path}.lock", str(error))
            return
        root = Root(
            name=_with_asked(entry.text, groups, extras),
            key_path=entry.key_path,
            requirements=(),
            environments=entry.environments,
            lock=lock,
        )
        self._keep((path, lock.groups, lock.extras), root)

    def _wanted(self, entry: Entry) -> None:
        """Take what was accepted of a list; the list itself is read by ``doit wanted`` alone."""
        path = self.path(entry.text)
        self.wanted.append(path)
        reviewed = review_path(path)
        if not reviewed.exists():
            if not path.exists():
                self._fault(f"{entry.key_path}.wanted", f"no such file: {path}")
            return
        where = relative(reviewed, self._folder)
        try:
            accepted = sorted(read_review(read_text(reviewed, MOST_BYTES)).accepted)
        except ValueError as error:
            self._fault(f"{entry.key_path}.wanted", f"{where}: {error}")
            return
        for name in accepted:
            requested = RequestedRequirement(requirement=parse_requirement(name), where=where)
            root = Root(
                name=name,
                key_path=entry.key_path,
                requirements=(requested,),
                versions=entry.versions,
                wished=True,
                environments=entry.environments,
            )
            # clients ask for what is listed, too: no fault
            self._roots.setdefault((_identity(requested.requirement), entry.environments), root)


def _identity(requirement: Requirement, filename: str | None = None) -> object:
    """Return what tells a requirement from others, whatever its spelling; ``filename`` is that of one by URL.

    The name is compared first: to compare requirements takes ten times as long, and each is compared with all.
    """
    return canonicalize_name(requirement.name), requirement, filename


def versions_of(block: Block, default: str | int) -> str | int:
    """Return what ``versions:`` says in a block, which may be the whole file or one entry."""
    value = block.get("versions")
    if value is None:
        return default
    if value in ("latest", "all") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    block.fault("versions", f"expected latest, all or a number of newest releases, found {show(value)}")
    return default


def _names(block: Block, key: str) -> tuple[str, ...] | None:
    """Return a list of groups or extras; None where it is not said, which means all."""
    value = block.get(key)
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
        return tuple(value)
    block.fault(key, f"expected a list of {key} such as [dev], or [] for none, found {show(value)}")
    return None


def _with_asked(name: str, groups: Sequence[str] | None, extras: Sequence[str] | None) -> str:
    """Return the name of a lock with what is asked of it, so that two entries of one lock differ."""
    asked = [
        f"{key} {', '.join(names)}" if names else f"no {key}"
        for key, names in (("groups", groups), ("extras", extras))
        if names is not None
    ]
    return f"{name} [{'; '.join(asked)}]" if asked else name


def _for_both(one: Root, other: Root) -> Root:
    """Return a root for the environments of two that are otherwise the same."""
    if one.environments is None or other.environments is None:
        return replace(one, environments=None)
    return replace(one, environments=tuple(dict.fromkeys((*one.environments, *other.environments))))


def _overlap(some: Sequence[str] | None, others: Sequence[str] | None) -> bool:
    return some is None or others is None or not set(some).isdisjoint(others)
