"""What a provenance object says (PEP 740): who published a file, and what was attested of it. Nothing of it is verified here.

https://packaging.python.org/en/latest/specifications/index-hosted-attestations/
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirror_tasks.index.untrusted_json import read_untrusted
from mirror_tasks.text import printable

MOST_BYTES = 1 << 20  # of a provenance object; one attestation has some 10 kB, and a file has one or two
_MOST_CONTAINERS, _MOST_VALUES = 20_000, 20_000
_MOST_BUNDLES, _MOST_ATTESTATIONS, _MOST_FIELDS = 20, 20, 20
_LONGEST = 500  # characters of what a publisher says of itself, of a file name and of a type
# What a publisher says of one run and not of itself: a tag is another with each release.
_OF_ONE_RUN = frozenset({"claims", "vcs_ref"})


@dataclass(frozen=True, slots=True, order=True)
class Publisher:
    """Who published, as the provenance object names it.

    :param kind: such as ``GitHub``.
    :param fields: what else it says that tells it from another, sorted by name: the repository, the workflow, …
    """

    kind: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> str:
        """It in words, in which nothing moves the cursor."""
        fields = ", ".join(f"{name} {value}" for name, value in self.fields)
        return printable(f"{self.kind} ({fields})" if fields else self.kind)

    def to_json(self) -> dict[str, str]:
        """Return it as a provenance object has it."""
        return {"kind": self.kind, **dict(self.fields)}

    @classmethod
    def from_json(cls, value: object) -> Publisher:
        """Read it from a provenance object.

        :raises ValueError: it is none.
        """
        fields = _mapping(value, "a publisher")
        if len(fields) > _MOST_FIELDS:
            raise ValueError(f"expected a publisher of at most {_MOST_FIELDS} fields, found {len(fields):,}")
        said = {name: _text(text, "what a publisher says") for name, text in fields.items() if isinstance(text, str)}
        kind = _text(fields.get("kind"), "the kind of a publisher")
        return cls(
            kind, tuple(sorted((name, said[name]) for name in said.keys() - {"kind", *_OF_ONE_RUN} if said[name]))
        )


@dataclass(frozen=True, slots=True)
class Attestation:
    """One attestation: a statement of in-toto and what signs it.

    :param predicate: the type of what it states.
    :param sha256: of the file that it states that of; empty where it names none by SHA-256.
    :param content: the attestation as it came, for who verifies it.
    """

    predicate: str
    sha256: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The attestations that one publisher made of a file.

    :param named: the publisher as it came.
    """

    publisher: Publisher
    attestations: tuple[Attestation, ...]
    named: Mapping[str, Any]


def read_object(content: bytes) -> Mapping[str, Any]:
    """Read a provenance object, and look if it is one.

    :raises ValueError: it is none; says what was expected and found.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES:,} bytes, found more")
    value = _mapping(
        read_untrusted(content, most_containers=_MOST_CONTAINERS, most_values=_MOST_VALUES), "a provenance object"
    )
    bundles_of(value)
    return value


def bundles_of(provenance: Mapping[str, Any]) -> tuple[Bundle, ...]:
    """Return what a provenance object says, in its order.

    :raises ValueError: it is none.
    """
    if provenance.get("version") != 1:
        raise ValueError(f"expected a provenance object of version 1, found {provenance.get('version')!r:.40}")
    return tuple(map(_bundle, _some(provenance.get("attestation_bundles"), "bundles of attestations", _MOST_BUNDLES)))


def _bundle(value: object) -> Bundle:
    fields = _mapping(value, "a bundle of attestations")
    attestations = _some(fields.get("attestations"), "attestations", _MOST_ATTESTATIONS)
    publisher = Publisher.from_json(fields.get("publisher"))
    return Bundle(publisher, tuple(map(_attestation, attestations)), fields["publisher"])


def _attestation(value: object) -> Attestation:
    """Read an attestation as far as its statement says something of a file.

    PEP 740: the statement is one of in-toto, version 1, with one subject: the file, by its name and its SHA-256.
    """
    fields = _mapping(value, "an attestation")
    statement = _statement(_mapping(fields.get("envelope"), "the envelope of an attestation").get("statement"))
    subjects = _some(statement.get("subject"), "subjects of an attestation", 1)
    digest = _mapping(_mapping(subjects[0], "a subject").get("digest"), "the digests of a subject").get("sha256")
    predicate = _text(statement.get("predicateType"), "the type of an attestation")
    return Attestation(predicate, digest.lower() if isinstance(digest, str) else "", fields)


def _statement(encoded: object) -> Mapping[str, Any]:
    if not isinstance(encoded, str):
        raise _not_expected("a statement in base64", encoded)
    content = base64.b64decode(encoded, validate=True)  # binascii.Error, which it raises, is a ValueError
    statement = read_untrusted(content, most_containers=_MOST_CONTAINERS, most_values=_MOST_VALUES)
    return _mapping(statement, "a statement")


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _not_expected(what, value)
    return value


def _not_expected(what: str, found: object) -> ValueError:
    return ValueError(f"expected {what}, found {type(found).__name__}")


def _some(value: object, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        found = f"{len(value):,}" if isinstance(value, list) else type(value).__name__
        raise ValueError(f"expected {'1' if most == 1 else f'1 to {most}'} {what}, found {found}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        found = f"{len(value):,}" if isinstance(value, str) else type(value).__name__
        raise ValueError(f"expected {what} in 1 to {_LONGEST} characters, found {found}")
    return value
