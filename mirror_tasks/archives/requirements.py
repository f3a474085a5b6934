"""Requirements as core metadata states them (PEP 508), parsed once each."""

from __future__ import annotations

from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement


@lru_cache(maxsize=65536)
def parse_requirement(text: str) -> Requirement | None:
    """Return the parsed requirement, or None where PEP 508 does not allow it."""
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None
