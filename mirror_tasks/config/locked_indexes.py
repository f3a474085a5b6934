"""The indexes that locks and projects name: what is to come from one of the configured indexes is taken from that one.

Tools write the URL of an index as they were told it, so two spellings of one index have to be known as one, and two
indexes never.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.bindings import binding_of, permitted
from mirror_tasks.config.blocks import show
from mirror_tasks.config.lock_files.model import Lock, LockedFile, LockedPackage
from mirror_tasks.config.model import Index, Root
from mirror_tasks.errors import Fault
from mirror_tasks.text import printable, redact

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a lock, or the file of a project, says of a project: the index, and the root that says it.

    :param package: what a lock takes from there; None for a dependency of a project, which is any release.
    """

    index: Index
    root: Root
    package: LockedPackage | None

    @property
    def version(self) -> Version | None:
        """The release that comes from the index; None: each."""
        return None if self.package is None else self.package.version

    @property
    def is_named(self) -> bool:
        """Whether the root says so itself; else the index is one of those that may have what it names no index for."""
        return self.package is None or self.package.index is not None


def bind_locked(
    indexes: Sequence[Index], roots: Sequence[Root], faults: list[Fault], own: Collection[str] = ()
) -> tuple[Index, ...]:
    """Return the indexes, each with the names that locks take from it.

    Where locks take releases of a project from several indexes, one serves it: that which ``projects`` or the file of a
    project binds it to, else the first. The others add what the locks name and nothing else. What ``projects`` binds stays
    bound, and an index with ``projects`` gets no more of them. An index that is not configured changes nothing: a lock may
    come from a proxy that can't be reached here.

    :param own: the names of projects for which no index is asked.
    :param faults: gets one where a release is taken from different indexes: a mirror has each from one.
    """
    claims: dict[NormalizedName, list[_Claim]] = defaultdict(list)
    for name, claim in _claims(indexes, roots):
        if name not in own:
            claims[name].append(claim)
    locked: dict[Index, set[str]] = defaultdict(set)
    adds: dict[Index, set[str]] = defaultdict(set)
    for name, found in claims.items():
        named = [claim for claim in found if claim.is_named]
        if named:
            first = _first(name, named, indexes)
            locked[first].add(name)
            further = [claim for claim in found if claim.package is not None and claim.index != first]
            for claim in further:
                adds[claim.index].add(name)
            faults.extend(_disagreements(name, named))
            faults.extend(_unhashed(further, first))
    return tuple(replace(index, locked=frozenset(locked[index]), adds=frozenset(adds[index])) for index in indexes)


def _claims(indexes: Sequence[Index], roots: Sequence[Root]) -> Iterator[tuple[NormalizedName, _Claim]]:
    """Yield what each root says of each project, once, where there is a choice."""
    if len(indexes) < 2:
        return
    for root in roots:
        for name, url in dict.fromkeys(_named(root)):
            index = configured(url, indexes) if url else None
            if index is not None and index in permitted(name, indexes):
                yield name, _Claim(index, root, None)
        for package, origins in _origins(root.lock, indexes):
            yield from ((package.name, _Claim(index, root, package)) for index in origins)


def _origins(lock: Lock | None, indexes: Sequence[Index]) -> Iterator[tuple[LockedPackage, tuple[Index, ...]]]:
    """Yield the packages of a lock, each once, with the configured indexes that its files may be taken from.

    That is the index that it names. Some tools do not name the one that they ask by default: where the lock names an index for
    another release of the project, what it names none for may be on each of the others.
    """
    packages = dict.fromkeys(_packages(lock)) if lock else {}
    known = {url: configured(url, indexes) for url in dict.fromkeys(one.index for one in packages) if url}
    named: dict[str, set[Index]] = defaultdict(set)
    for package in packages:
        if package.index and (index := known[package.index]):
            named[package.name].add(index)
    for package in packages:
        of_this = {known[package.index]} if package.index else set(indexes) - named[package.name]
        if named[package.name]:
            yield package, tuple(index for index in permitted(package.name, indexes) if index in of_this)


def _first(name: str, claims: Sequence[_Claim], indexes: Sequence[Index]) -> Index:
    """Return the index that serves a project."""
    binding = binding_of(name, indexes)
    if binding.pattern is not None:
        return binding.indexes[0]
    by_project = [claim.index for claim in claims if claim.package is None]
    return by_project[0] if by_project else min((claim.index for claim in claims), key=indexes.index)


def _disagreements(name: str, claims: Sequence[_Claim]) -> Iterator[Fault]:
    """Yield a fault for each release that is taken from an index, and that another root, or the same, takes from another."""
    first: dict[Version | None, _Claim] = {}
    for claim in claims:
        other = first.setdefault(claim.version, claim)
        if other.index != claim.index:
            yield Fault(_key_path(claim.root), _disagreement(name, other, claim))


def _unhashed(further: Sequence[_Claim], first: Index) -> Iterator[Fault]:
    """Yield a fault for each package of which files could only be told by their names from those of another index."""
    for claim in further:
        names = [file.filename for file in claim.package.files if not file.sha256] if claim.package else []
        if names:
            problem = (
                f"{claim.root.name} takes {claim.package} from {claim.index.label} and gives no sha256 of {names[0]}, without "
                f"which nothing is added to what {first.label} has of the project; lock it with hashes, or bind it with projects"
            )
            yield Fault(_key_path(claim.root), problem)


def _key_path(root: Root) -> str:
    return f"{root.key_path}.{'project' if root.lock is None else 'lock'}"


def further_files(
    indexes: Sequence[Index], roots: Sequence[Root]
) -> dict[tuple[str, Index], dict[Version, list[LockedFile]]]:
    """Return the files that locks take from further indexes, by project and index, and by version.

    :param indexes: as :func:`bind_locked` returned them.
    """
    found: dict[tuple[str, Index], dict[Version, list[LockedFile]]] = defaultdict(lambda: defaultdict(list))
    for root in roots:
        for package, origins in _origins(root.lock, indexes):
            for index in origins:
                if package.name in index.adds:
                    found[package.name, index][package.version] += package.files
    return found


def why_not_asked(package: LockedPackage, indexes: Sequence[Index] | None) -> str:
    """Say why the index that a lock takes a package from is not asked for it; empty where it is, or is not configured."""
    index = configured(package.index, indexes) if package.index and indexes else None
    if index is None or index in permitted(package.name, indexes or ()):
        return ""
    pattern = binding_of(package.name, indexes or ()).pattern
    why = "no pattern there matches it" if pattern is None else f"{pattern} there binds it to another"
    return f"the lock takes it from {index.base}, which is not asked for it by what is under projects: {why}"


def _named(root: Root) -> Iterator[tuple[NormalizedName, str | None]]:
    """Yield the dependencies of a project of which its file names the index, with that."""
    for line in root.requirements:
        yield from ((canonicalize_name(line.requirement.name), index.url) for index in line.indexes)


def check_named(indexes: Sequence[Index] | None, roots: Sequence[Root], own: Collection[str] = ()) -> Iterator[Fault]:
    """Yield a fault for each dependency of which a project's file names an index that ``mirror.yaml`` has not.

    Whatever another index has under that name is something else (dependency confusion, or a build for other hardware).
    """
    known = indexes or ()
    lines = dict.fromkeys(line for root in roots for line in root.requirements)
    for line, index in [(one, each) for one in lines for each in one.indexes]:
        name = canonicalize_name(line.requirement.name)
        is_bound = name in own or binding_of(name, known).pattern is not None
        if not is_bound and (not index.url or configured(index.url, known) is None):
            url = printable(redact(index.url)) or "…"
            advice = f"add under index  - {{url: {url}, projects: [{name}]}}, and the index of all else"
            yield Fault(
                line.where, f"{name} comes from the index {show(index.name)}, which mirror.yaml has not; {advice}"
            )


def _packages(lock: Lock) -> Iterator[LockedPackage]:
    for selections in lock.selected.values():
        for selection in selections:
            yield from (package for package in selection.packages if not package.source)


def _disagreement(name: str, one: _Claim, other: _Claim) -> str:
    first = "it" if one.root == other.root else f"{one.root.name} ({one.root.key_path})"
    what, kind = (other.package or name), ("project" if other.package is None else "release")
    return (
        f"{other.root.name} takes {what} from {other.index.label}, and {first} takes it from {one.index.label}; a mirror has "
        f"a {kind} from one index: bind {name} to that with projects, or make a mirror for each"
    )


def configured(url: str, indexes: Sequence[Index]) -> Index | None:
    """Return the configured index that a lock's URL is of; None where there is none, or more than one may be meant.

    Scheme, host, port and path have to be the same; credentials and a slash at the end do not count. Where no URL is the
    same, ``/simple`` at the end does not either: some tools leave out what others write.
    """
    for spelling in (_spelling, _without_simple):
        found = [index for index in indexes if spelling(index.url) == spelling(url)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _spelling(url: str) -> tuple[str, str, int, str]:
    """Return what tells one index from another; a URL that is none is only like itself."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0, url
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")


def _without_simple(url: str) -> tuple[str, str, int, str]:
    scheme, host, port, path = _spelling(url)
    return scheme, host, port, re.sub(r"/\+?simple$", "", path)
