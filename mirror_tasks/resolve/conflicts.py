"""A conflict in the user's terms: chains of requirements from mirror.yaml, then what there is of what they contradict on."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from mirror_tasks.config.environments import Environment
from mirror_tasks.index.project import File
from mirror_tasks.resolve.by_url import BY_URL, WHY
from mirror_tasks.resolve.needs import Need, Universe
from mirror_tasks.resolve.reasons import Refusals
from mirror_tasks.resolve.search import Fact, Refutation, Unfinished
from mirror_tasks.resolve.selection import Rules, fitting

_MOST_FACTS = 12


class Within(Protocol):
    """Where a search looked: the releases, the environment, and what bounds the root."""

    environment: Environment
    universe: Universe
    rules: Rules
    bounds: Mapping[NormalizedName, SpecifierSet]
    hashes: Mapping[NormalizedName, frozenset[str]]

    def may_be_pinned(self, name: NormalizedName) -> bool:
        """Say if a pin admits yanked releases of a project: for some installers the user's alone does."""

    def against(self, name: NormalizedName, file: File) -> str | None:
        """Return what the core metadata of a file, where it is known, says against using it."""


def explain(refutation: Refutation, within: Within) -> Iterator[str]:
    """Tell a conflict: the chain of requirements on each side, then what there is of each project, and why it won't do."""
    told = _contradicting(refutation)
    ways = _ways(refutation.facts)
    yield from dict.fromkeys(_chain(fact, ways, within) for fact in told[:_MOST_FACTS])
    if len(told) > _MOST_FACTS:
        yield f"and {len(told) - _MOST_FACTS} more requirements that contradict these"
    for name in list(dict.fromkeys(fact.need.name for fact in told))[:_MOST_FACTS]:
        weighed = frozenset(_weighed(name, refutation, within))
        yield from _why(name, [fact for fact in told if fact.need.name == name], within, weighed)


def _weighed(name: NormalizedName, refutation: Refutation, within: Within) -> Iterator[str]:
    """Yield the names of the files of a project that the search looked at: the metadata of others is known by chance."""
    if project := within.universe.project(name):
        for one, position in refutation.looked_at:
            if one == name:
                yield from (file.filename for file in project.files(project.versions[position]))


def explain_unfinished(unfinished: Unfinished) -> Iterator[str]:
    """Tell which limit a search met, and what it was about."""
    yield f"the search for a solution met its limit of {unfinished.limit}; there may be one or not"
    if unfinished.conflicts:
        yield "most often in conflict: " + ", ".join(f"{name} ({count} times)" for name, count in unfinished.conflicts)
    yield f"at best {unfinished.decided} projects and extras went together; a narrower requirement makes the search shorter"


def _contradicting(refutation: Refutation) -> Sequence[Fact]:
    """Return what contradicts itself: requirements of projects that require nothing in the proof, or have nothing left."""
    parents = {fact.parent for fact in refutation.facts}
    last = [f for f in refutation.facts if f.need.name in refutation.exhausted or f.need.name not in parents]
    ends = [fact for fact in last if fact.need.name not in parents] or last or list(refutation.facts)
    names = {fact.need.name for fact in ends}
    return sorted(
        (fact for fact in refutation.facts if fact.need.name in names), key=lambda f: (f.need.name, f.need.text)
    )


def _ways(facts: Iterable[Fact]) -> Mapping[NormalizedName | None, tuple[Fact, ...]]:
    """Return for each project that is asked for who asks, back to mirror.yaml, by the fewest steps."""
    asked_by: dict[NormalizedName | None, list[Fact]] = {}
    for fact in facts:
        asked_by.setdefault(fact.parent, []).append(fact)
    ways: dict[NormalizedName | None, tuple[Fact, ...]] = {None: ()}
    todo = deque(ways)
    while todo:
        parent = todo.popleft()
        for fact in asked_by.get(parent, ()):
            if fact.need.name not in ways:
                ways[fact.need.name] = (fact, *ways[parent])
                todo.append(fact.need.name)
    return ways


def _chain(fact: Fact, ways: Mapping[NormalizedName | None, tuple[Fact, ...]], within: Within) -> str:
    way = (fact, *ways.get(fact.parent, ()))
    links = [str(fact.need), *(_releases(one, within) for one in way if one.parent is not None)]
    return " required by ".join(links) + (", asked for in mirror.yaml" if way[-1].parent is None else "")


def _releases(fact: Fact, within: Within) -> str:
    assert fact.parent is not None, "what mirror.yaml asks for has no releases"
    project = within.universe.project(fact.parent)
    versions = [str(project.versions[at]) for at in fact.releases] if project else []
    if len(versions) <= 3:
        return ", ".join(f"{fact.parent}-{version}" for version in versions)
    return f"{fact.parent}-{versions[0]} and {len(versions) - 1} others down to {versions[-1]}"


def _why(name: NormalizedName, facts: Sequence[Fact], within: Within, weighed: Collection[str]) -> Iterator[str]:
    """Say what there is of a project, with the requirements together where they stand at the same time."""
    parents = [fact.parent for fact in facts]
    if len(set(parents)) < len(parents) and None not in parents:
        specifiers = list(dict.fromkeys(fact.need.specifier for fact in facts))[:3]
    else:
        specifiers = [_all_of(fact.need for fact in facts)]
    bound = within.bounds.get(name, SpecifierSet())
    for specifier in specifiers:
        yield f"{name}{specifier & bound}: {_what_there_is(name, specifier & bound, within, weighed)}"
    if bound:
        yield f"{name}{bound} is a line or a constraint of this requirement of mirror.yaml"


def _all_of(needs: Iterable[Need]) -> SpecifierSet:
    found = SpecifierSet()
    for need in needs:
        found &= need.specifier
    return found


def _what_there_is(name: NormalizedName, specifier: SpecifierSet, within: Within, weighed: Collection[str]) -> str:
    if str(BY_URL) in map(str, specifier):
        return WHY
    project = within.universe.project(name)
    if project is None:
        return "there is no project of this name"
    hashes = within.hashes.get(name, frozenset())

    def against(file: File, _environment: Environment) -> str | None:
        return within.against(name, file) if file.filename in weighed else None

    fitting_by_page = fitting(project, specifier, within.environment, within.rules, hashes)
    usable = (one for one in fitting_by_page if any(against(file, within.environment) is None for file in one.files))
    fit = list(islice(usable, 4))
    matching = [str(one.version) for one in fit]
    if not matching:
        return Refusals(within.rules, against).why_unsatisfied(project, specifier, within.environment, hashes)
    if not within.may_be_pinned(name) and all(file.yanked is not None for one in fit for file in one.files):
        return f"{', '.join(matching)} is yanked, and uv takes that only where you pin it"
    tried = f"tried {', '.join(matching[:3])}{' and older ones' if len(matching) > 3 else ''}"
    return f"{tried}, each in conflict with something above"
