"""What binds all that is required below a root in an environment: its constraints, and the lines of its own file.

An installer that is given a requirements file lets each line bind whoever else requires the project, hashes too. Builds
are isolated: neither lines nor constraints bind what building an sdist requires (pip wants ``--build-constraint`` for
that, and uv ``--build-constraints``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import RequestedRequirement, Root
from mirror_tasks.resolve.selection import applies


@dataclass(frozen=True, slots=True)
class Bounds:
    """Specifiers and sha256 sums by project; a project that is not named is not bound."""

    specifiers: Mapping[NormalizedName, SpecifierSet] = field(default_factory=dict)
    hashes: Mapping[NormalizedName, frozenset[str]] = field(default_factory=dict)


def bounds_of(root: Root, environment: Environment) -> Bounds:
    """Return what binds below a root in an environment with one set of markers; a line that does not apply binds nothing.

    What asks for one thing only binds nothing else: the roots of a mirror share what they require. That is so of a
    requirement by itself under the constraints of a policy, too: they are the same for all.
    """
    if len(root.requirements) < 2 and not root.is_file:
        return _bounds_by(root.constraints, environment) if root.constraints else Bounds()
    lines = [one for one in root.requirements if applies(one.requirement, environment)]
    if len(root.requirements) < 2 and not root.constraints:
        return Bounds()
    specifiers = dict(_bounds_by(root.constraints, environment).specifiers)
    for requirement in (one.requirement for one in lines):
        if requirement.specifier:
            name = canonicalize_name(requirement.name)
            specifiers[name] = specifiers.get(name, SpecifierSet()) & requirement.specifier
    return Bounds(specifiers, _hashes_of(root, environment))


def _hashes_of(root: Root, environment: Environment) -> Mapping[NormalizedName, frozenset[str]]:
    """Return which hashes the lines and constraints of a root allow: where both name some, those that both name, as in pip."""
    lines, constraints = (
        _hashes_by_project(one for one in some if applies(one.requirement, environment))
        for some in (root.requirements, root.hashed_constraints)
    )
    both = {name: lines[name] & constraints[name] for name in lines.keys() & constraints.keys()}
    return {**constraints, **lines, **{name: hashes for name, hashes in both.items() if hashes}}


def _hashes_by_project(lines: Iterable[RequestedRequirement]) -> dict[NormalizedName, frozenset[str]]:
    """Return the hashes that all lines on a project name, as in pip; of lines that share none, what any of them names."""
    found: dict[NormalizedName, frozenset[str]] = {}
    for one in lines:
        if one.hashes:
            name = canonicalize_name(one.requirement.name)
            before = found.get(name, one.hashes)
            found[name] = before & one.hashes or before | one.hashes
    return found


_MOST_KNOWN = 256
_known: dict[tuple[int, Environment], tuple[tuple[Requirement, ...], Bounds]] = {}


def _bounds_by(constraints: tuple[Requirement, ...], environment: Environment) -> Bounds:
    """Return what constraints bind.

    A policy gives all roots the same tuple, of maybe a thousand constraints. So the tuple is recognised by its identity: to
    compare or to hash it would take as long as to read it.
    """
    key = (id(constraints), environment)
    known = _known.get(key)
    if known is None or known[0] is not constraints:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = bounds_of_builds((one for one in constraints if one.specifier), environment)
        # Mostly the bounds of all environments are equal. One object then stands for them, so that comparing takes no time.
        same = (bounds for one, bounds in list(_known.values()) if one is constraints and bounds == found)
        known = _known[key] = (constraints, next(same, found))
    return known[1]


def marked_lines(root: Root) -> tuple[str, ...]:
    """Return the lines and constraints of a root that may apply in one environment and not in another, as text."""
    marked = (one for one in root.constraints if one.marker is not None)
    return tuple(map(str, (*marked, *(line.requirement for line in root.requirements))))


def bounds_of_builds(constraints: Iterable[Requirement], environment: Environment) -> Bounds:
    """Return what binds the building of sdists, as ``--build-constraint`` of an installer does."""
    specifiers: dict[NormalizedName, SpecifierSet] = {}
    for requirement in (one for one in constraints if applies(one, environment)):
        name = canonicalize_name(requirement.name)
        specifiers[name] = specifiers.get(name, SpecifierSet()) & requirement.specifier
    return Bounds(specifiers)
