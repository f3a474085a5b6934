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

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.blocks import show
from mirror_tasks.config.lock_files.model import Lock, LockedPackage
from mirror_tasks.config.model import Index, Root
from mirror_tasks.errors import Fault
from mirror_tasks.text import redact

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a lock says of a project: the index, and the root that says it."""

    index: Index
    root: Root


def bind_locked(
    indexes: Sequence[Index], roots: Sequence[Root], faults: list[Fault], own: Collection[str] = ()
) -> tuple[Index, ...]:
    """Return the indexes, each with the names that locks take from it.

    What ``projects`` binds stays bound, and an index with ``projects`` gets no more of them. An index that is not
    configured changes nothing: a lock may come from a proxy that can't be reached here.

    :param own: the names of projects for which no index is asked.
    :param faults: gets one where locks take a project from different indexes: a mirror has each project from one.
    """
    claims: dict[str, _Claim] = {}
    for name, claim in _claims(indexes, roots):
        if name in own:
            continue
        other = claims.setdefault(name, claim)
        if other.index != claim.index:
            kind = "project" if claim.root.lock is None else "lock"
            faults.append(Fault(f"{claim.root.key_path}.{kind}", _disagreement(name, other, claim)))
    names: dict[Index, set[str]] = defaultdict(set)
    for name, claim in claims.items():
        names[claim.index].add(name)
    return tuple(replace(index, locked=frozenset(names[index])) for index in indexes)


def _claims(indexes: Sequence[Index], roots: Sequence[Root]) -> Iterator[tuple[str, _Claim]]:
    """Yield what each lock says of each project, once, where there is a choice."""
    if len(indexes) < 2:
        return
    for root in roots:
        said = dict.fromkeys(
            _named(root) if root.lock is None else ((one.name, one.index) for one in _packages(root.lock))
        )
        known = {url: configured(url, indexes) for _, url in said if url}
        for name, url in said:
            index = known[url] if url else None
            if index is not None and index.projects is None and binding_of(name, indexes).pattern is None:
                yield name, _Claim(index, root)


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
            url = redact(index.url) or "…"
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
    return (
        f"{other.root.name} takes {name} from {other.index.label}, and {first} takes it from {one.index.label}; a mirror has "
        f"a project from one index: bind it to that with projects, or make a mirror for each"
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
