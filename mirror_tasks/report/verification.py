"""Attestations verified with ``pypi-attestations``, where that is installed: offline, by the trust root that is at hand.

That is the one which ``sigstore`` keeps in the user's cache, else the one that it came with. Nothing here renews it: a report
asks nobody. https://github.com/pypi/pypi-attestations
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, Protocol

from mirror_tasks.index.attestations import Attestation, Bundle
from mirror_tasks.text import printable

Word = Literal["verified", "failed", "not verified"]

_NOT_INSTALLED = "pypi-attestations is not installed: pip install 'mirror-tasks[attestations]'"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of verifying.

    :param reason: why it is not verified; empty where it is.
    """

    word: Word
    reason: str = ""


class Verifier(Protocol):
    """Verifies attestations.

    :ivar tools: what it verifies with: versions by name; nothing where it can't.
    :ivar reason: why it can't; empty where it can.
    """

    @property
    def tools(self) -> Mapping[str, str]:
        """See above."""

    @property
    def reason(self) -> str:
        """See above."""

    def verdict(self, filename: str, sha256: str, bundle: Bundle) -> Verdict:
        """Say if the publisher that a bundle names attested a file."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Verifies nothing, and says why."""

    reason: str
    tools: Mapping[str, str]

    def verdict(self, filename: str, sha256: str, bundle: Bundle) -> Verdict:
        """See :class:`Verifier`."""
        return Verdict("not verified", self.reason)


@dataclass(frozen=True, slots=True)
class Sigstore:
    """Verifies with ``pypi-attestations``.

    :param library: the module.
    """

    library: Any
    tools: Mapping[str, str]
    reason: str = ""

    def verdict(self, filename: str, sha256: str, bundle: Bundle) -> Verdict:
        """See :class:`Verifier`."""
        try:
            publisher = self.library.AttestationBundle.model_validate(
                {"publisher": bundle.named, "attestations": []}
            ).publisher
        except ValueError:
            return self._not_known(f"a publisher of kind {bundle.publisher.kind} that says this of itself")
        verdicts = (self._verdict(filename, sha256, publisher, one) for one in bundle.attestations)
        return worst(verdicts)

    def _verdict(self, filename: str, sha256: str, publisher: object, attestation: Attestation) -> Verdict:
        if attestation.predicate not in {kind.value for kind in self.library.AttestationType}:
            return self._not_known(f"attestations of the type {attestation.predicate}")
        try:
            signed = self.library.Attestation.model_validate(attestation.content)
        except ValueError as error:
            return Verdict("failed", f"it is no attestation: {_in_a_line(error)}")
        try:
            distribution = self.library.Distribution(name=filename, digest=sha256)
            signed.verify(publisher, distribution, offline=True)
        except self.library.AttestationError as error:
            return Verdict("failed", _in_a_line(error))
        except Exception as error:  # of what the library is made of: it could not say
            return Verdict("not verified", f"pypi-attestations could not tell: {_in_a_line(error)}")
        return Verdict("verified")

    def _not_known(self, what: str) -> Verdict:
        return Verdict(
            "not verified", printable(f"pypi-attestations {self.tools['pypi-attestations']} does not know {what}")
        )


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of several verdicts: failed before not verified, and that before verified."""
    order: tuple[Word, ...] = ("failed", "not verified", "verified")
    return min(verdicts, key=lambda one: order.index(one.word))


def verifier() -> Verifier:
    """Return what verifies on this machine, or what says why nothing does."""
    try:
        import pypi_attestations
        from sigstore.verify import Verifier as TrustRoot
    except ModuleNotFoundError as error:
        return Nobody(_NOT_INSTALLED if error.name == "pypi_attestations" else _in_a_line(error), {})
    except Exception as error:  # of an installation that does not fit together
        return Nobody(f"pypi-attestations can't be used: {_in_a_line(error)}", {})
    logging.getLogger("sigstore").setLevel(logging.ERROR)  # it warns that it is offline, which it is told to be
    try:
        TrustRoot.production(offline=True)
    except Exception as error:  # such as a home folder that can't be written, where sigstore puts its cache
        return Nobody(f"the trust root of sigstore is not at hand: {_in_a_line(error)}", {})
    return Sigstore(pypi_attestations, {name: version(name) for name in ("pypi-attestations", "sigstore")})


def _in_a_line(error: Exception) -> str:
    return printable(" ".join(str(error).split()))[:300] or type(error).__name__
