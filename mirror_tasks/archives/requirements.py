"""Requirements as core metadata states them (PEP 508), parsed once each."""

from __future__ import annotations

from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name


@lru_cache(maxsize=65536)
def parse_requirement(text: str) -> Requirement | None:
    """Return the parsed requirement, or None where PEP 508 does not allow it."""
    return _parsed(text)


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
