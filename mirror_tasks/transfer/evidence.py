"""What is known of a mirror when it is bundled: its plan, that it is proven, its report, and who approved of it."""

from __future__ import annotations

from dataclasses import dataclass

from mirror_tasks.errors import ResolutionError
from mirror_tasks.files import read_or_none, sha256_of_bytes
from mirror_tasks.prove.proven import proof_of, proof_path, sums_digest
from mirror_tasks.report.approval import approved, check_policy
from mirror_tasks.state.mirror import Mirror


@dataclass(frozen=True, slots=True)
class Evidence:
    """The SHA-256 of each document that speaks for a mirror; None where there is none."""

    plan: str | None
    proof: str | None
    report: str | None = None
    approval: str | None = None


def evidence(mirror: Mirror, *, unproven: bool) -> Evidence:
    """Return what speaks for the mirror as it stands.

    :param unproven: the user said that it may be sent without a proof.
    :raises ResolutionError: it is not proven, and that was not said; or the policy wants an approval, and there is none of it;
        or it was made by another policy.
    """
    plan = read_or_none(mirror.records.published)
    state, sums = mirror.config.state, sums_digest(mirror.output)
    proof = None if sums is None else proof_of(state, sums)
    if proof is None and not unproven:
        of_another = " of this state of it" if proof_path(state).exists() else ""
        problem = f"expected a mirror that is proven, found no proof{of_another} in which all is proven"
        advice = "Run `doit prove` first; or say `doit bundle --unproven`, and the bundle says it too."
        raise ResolutionError("bundling", str(mirror.output), problem, advice)
    found = approved(mirror)
    check_policy(mirror, "bundling", "Run `doit mirror prove` first: what the policy refuses now may be in it.")
    return Evidence(None if plan is None else sha256_of_bytes(plan), proof, found.report, found.approval)
