"""What an SBOM is of, and what its documents are called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

ALL = "sbom.cdx.json"
"""The name of the document that has all of the mirror."""

CARRIED = "sboms"
"""The folder beside it, of the SBOMs that wheels carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an SBOM is of.

    :param mirror: the name of the mirror.
    :param environments: the names of all its environments.
    :param environment: the one that the document is of; None: all of the mirror.
    :param day: on which it was judged (ISO 8601); empty where no policy was: the document then has no time.
    :param source: of the advisories, in words; empty: none were looked at.
    """

    mirror: str
    environments: tuple[str, ...]
    environment: str | None = None
    day: str = ""
    source: str = ""

    @property
    def document(self) -> str:
        """The name of the document."""
        return ALL if self.environment is None else name_of(self.environment)

    def has(self, environments: Iterable[str]) -> bool:
        """Say if what is of these environments belongs in the document."""
        return any(self.environment in (None, name) for name in environments)


def name_of(environment: str) -> str:
    """Return the name of the document of an environment."""
    return f"sbom-{environment}.cdx.json"
