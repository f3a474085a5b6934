"""What a proof is a proof of: one state of a mirror, told by the digest of its ``SHA256SUMS``."""

from __future__ import annotations

from pathlib import Path

from mirror_tasks.files import read_or_none, sealed, sha256_of_bytes, unsealed, write_if_changed
from mirror_tasks.layout import manifest_paths


def proof_path(state: Path) -> Path:
    """Where ``prove`` writes what it found."""
    return state / "prove.json"


def proven_path(state: Path) -> Path:
    """Where it is kept of which mirror everything was proven."""
    return state / "proven.json"


def sums_digest(output: Path) -> str | None:
    """Return what a state of a mirror is told by; None where the mirror is not whole."""
    content = read_or_none(manifest_paths(output)[1])
    return None if content is None else sha256_of_bytes(content)


def keep_proven(state: Path, sums: str | None) -> None:
    """Remember that what ``prove.json`` says is the proof of a mirror, and that nothing failed in it.

    :param sums: the digest of the mirror's ``SHA256SUMS`` when the proof began; None, and nothing is proven.
    """
    proof = read_or_none(proof_path(state))
    if sums is not None and proof is not None:
        write_if_changed(proven_path(state), sealed({"sums": sums, "proof": sha256_of_bytes(proof)}))


def proof_of(state: Path, sums: str) -> str | None:
    """Return the SHA-256 of the ``prove.json`` by which a mirror is proven; None where it is not.

    A proof of another state of the mirror does not count, nor a ``prove.json`` that was written since.
    """
    proof = read_or_none(proof_path(state))
    try:
        kept = unsealed(read_or_none(proven_path(state)) or b"")
    except ValueError:
        return None
    digest = None if proof is None else sha256_of_bytes(proof)
    return digest if kept == {"sums": sums, "proof": digest} else None
