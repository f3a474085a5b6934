"""The key ``licences``: under which licences what comes in may stand."""

from __future__ import annotations

from typing import Literal, cast

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.policy import LicenceRule
from mirror_tasks.config.policy_keys.source import Source
from mirror_tasks.config.spdx import spdx_fault, spdx_licence

LICENCE_KEYS = ("allow", "unknown")
"""The keys under ``licences``."""


def read_licences(source: Source) -> LicenceRule | None:
    """Return the rule on licences: what is said here, else what the shared file says; None where neither says anything."""
    shared = source.shared.policy.licences if source.shared else None
    block = source.below("licences")
    if block is None:
        return shared
    block.only(LICENCE_KEYS)
    if not any(map(block.has, LICENCE_KEYS)):
        block.fault("", "expected a list of licences such as {allow: [MIT, Apache-2.0]}, found none")
    unknown = block.choice("unknown", shared.unknown if shared else "refuse", ("refuse", "report"))
    rule = LicenceRule(
        _allowed(block) if block.has("allow") else shared.allow if shared else None,
        cast(Literal["refuse", "report"], unknown),
    )
    if shared:
        _check(source, block, rule, shared)
    return rule


def _allowed(block: Block) -> frozenset[str]:
    value = block.get("allow")
    if not isinstance(value, list) or not value:
        block.fault(
            "allow", f"expected a list of SPDX licence identifiers such as [MIT, Apache-2.0], found {show(value)}"
        )
        return frozenset()
    found: set[str] = set()
    for position, one in enumerate(value):
        if not isinstance(one, str):
            block.fault(f"allow[{position}]", f"expected an SPDX licence identifier such as MIT, found {show(one)}")
        elif problem := spdx_fault(one):
            block.fault(f"allow[{position}]", problem)
        else:
            found.add(cast(str, spdx_licence(one)))
    return frozenset(found)


def _check(source: Source, block: Block, own: LicenceRule, shared: LicenceRule) -> None:
    if own.unknown == "report" and shared.unknown == "refuse":
        source.looser(block, "unknown", "report", "refuse")
    if own.allow is not None and shared.allow is not None and (more := sorted(own.allow - shared.allow)):
        source.looser(block, "allow", f"[{', '.join(more)}]", f"[{', '.join(sorted(shared.allow))}]")
