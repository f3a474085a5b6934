"""Requirements as core metadata states them (PEP 508), parsed once each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.installers import parse_specifier
from mirror_tasks.config.markers import parse_marker

_NO_EXTRAS: set[str] = set()  # of all requirements without any: each set has 216 bytes, and nobody adds to it


@lru_cache(maxsize=65536)
def parse_requirement(text: str) -> Requirement | None:
    """Return the parsed requirement, or None where PEP 508 does not allow it."""
    requirement = _parsed(text)
    if requirement is not None:
        _share(requirement)
    return requirement


def _share(requirement: Requirement) -> None:
    """Let a requirement have what others have that say the same: 13,000 of a large plan have 2,200 markers."""
    specifier = parse_specifier(str(requirement.specifier))
    if specifier is not None:
        requirement.specifier = specifier
    if requirement.marker is not None:
        requirement.marker = parse_marker(str(requirement.marker))
    requirement.extras = requirement.extras or _NO_EXTRAS


@lru_cache(maxsize=1 << 14)
def normalized(name: str) -> NormalizedName:
    """Return the normalised name of a project or an extra, one text for all requirements that name it."""
    return canonicalize_name(name)


@lru_cache(maxsize=1 << 14)
def is_requirement(text: str) -> bool:
    """Say if PEP 508 allows a requirement: where no more is asked of one, it need not stay in memory, where it takes 2 kB."""
    return _parsed(text) is not None


def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def project_of(text: str) -> NormalizedName | None:
    """Return the normalised name of the project that a requirement is of; None where PEP 508 does not allow it."""
    requirement = parse_requirement(text)
    return canonicalize_name(requirement.name) if requirement else None


@lru_cache(maxsize=4096)
def requirements_of(lines: tuple[str, ...]) -> Sequence[tuple[NormalizedName, Requirement]]:
    """Return the requirements that PEP 508 allows, each with the name of its project.

    What a file requires is asked for in each environment.
    """
    parsed = (requirement for line in lines if (requirement := parse_requirement(line)) is not None)
    return tuple((normalized(requirement.name), requirement) for requirement in parsed)
