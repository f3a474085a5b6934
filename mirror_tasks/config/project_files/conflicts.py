"""Which extras and groups of a project can't be installed together, and which sets of them can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import lowest_allowed
from mirror_tasks.config.model import RequestedRequirement
from mirror_tasks.config.project_files.model import Part


class Conflicts:
    """Which extras and groups can't be installed together.

    :param declared: sets of which no two go together, as uv is told.
    :param lines: of each, with the dependencies.
    :param environments: those that they are for.
    """

    def __init__(
        self,
        declared: Sequence[frozenset[tuple[str, str]]],
        lines: Mapping[Part, Sequence[RequestedRequirement]],
        environments: Sequence[Environment],
    ) -> None:
        self._declared = declared
        self._lines = lines
        self._environments = environments

    def between(self, one: Part, other: Part) -> bool:
        """Say if two contradict each other: uv is told so, or no version of a project satisfies both."""
        return any({one, other} <= each for each in self._declared) or self._disjoint(one, other)

    def _disjoint(self, one: Part, other: Part) -> bool:
        both = (*self._lines[one], *self._lines[other])
        return any(
            _is_contradiction(both, environment)
            and not _is_contradiction(self._lines[one], environment)
            and not _is_contradiction(self._lines[other], environment)
            for environment in self._environments
        )


def going_together(parts: Sequence[Part], conflict: Callable[[Part, Part], bool]) -> list[tuple[Part, ...]]:
    """Return sets of parts without a conflict, each as large as it can be, so that each part is in one; without parts one set."""
    sets: list[tuple[Part, ...]] = []
    for part in parts:
        if any(part in one for one in sets):
            continue
        chosen = [part]
        for other in parts:
            if other != part and not any(conflict(other, one) for one in chosen):
                chosen.append(other)
        sets.append(tuple(one for one in parts if one in chosen))
    return sets or [()]


def _is_contradiction(lines: Iterable[RequestedRequirement], environment: Environment) -> bool:
    """Say if no version of some project satisfies all lines on it that apply in an environment."""
    specifiers: dict[NormalizedName, SpecifierSet] = {}
    for requirement in (one.requirement for one in lines):
        if requirement.specifier and environment.marker_applies(requirement.marker):
            name = canonicalize_name(requirement.name)
            specifiers[name] = specifiers.get(name, SpecifierSet()) & requirement.specifier
    return any(len(one) > 1 and not _allows_any(one) for one in specifiers.values())


def _allows_any(specifier: SpecifierSet) -> bool:
    return bool(lowest_allowed(specifier)) or any(
        specifier.contains(version, prereleases=True) for one in specifier if (version := _version(one.version))
    )


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
