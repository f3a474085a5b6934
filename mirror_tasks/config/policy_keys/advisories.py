"""The key ``advisories``: which known holes keep a release out, and who knows of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, cast

from mirror_tasks.config.blocks import Block, unknown
from mirror_tasks.config.policy import SEVERITIES, AdvisoryRule
from mirror_tasks.config.policy_keys.source import Source

ADVISORY_KEYS = ("from", "refuse", "malware", "not-checked")
"""The keys under ``advisories``."""

_REFUSED = (*SEVERITIES, "any")
_STRICTNESS = ("any", *SEVERITIES, None)
_WORDS = ("refuse", "report")


def read_advisories(source: Source) -> AdvisoryRule | None:
    """Return the rule on advisories: what is said here, else what the shared file says; None where neither says anything.

    A shared file may leave ``from`` to those who share it; its source is then None, and ``shown`` empty.
    """
    shared = source.shared.policy.advisories if source.shared else None
    block = source.below("advisories")
    if block is None:
        return shared
    block.only(ADVISORY_KEYS)
    dump, shown = _from(source, block, shared)
    rule = AdvisoryRule(
        source=dump,
        shown=shown,
        refuse=_refuse(block, shared.refuse if shared else None),
        malware=_word(block, "malware", shared.malware if shared else "refuse"),
        not_checked=_word(block, "not-checked", shared.not_checked if shared else "report"),
    )
    if shared:
        _check(source, block, rule, shared)
    return rule


def _word(block: Block, key: str, default: str) -> Literal["refuse", "report"]:
    return cast(Literal["refuse", "report"], block.choice(key, default, _WORDS))


def _refuse(block: Block, default: str | None) -> Literal["low", "moderate", "high", "critical", "any"] | None:
    value = block.get("refuse")
    if value is not None and value not in _REFUSED:
        word = "moderate" if str(value).strip().lower() == "medium" else value
        hint = "; did you mean 'moderate'?" if word != value else ""
        block.fault("refuse", f"unknown severity {value!r}{hint}" if hint else unknown("severity", value, _REFUSED))
        value = None
    return cast("Literal['low', 'moderate', 'high', 'critical', 'any'] | None", default if value is None else value)


def _from(source: Source, block: Block, shared: AdvisoryRule | None) -> tuple[Path | None, str]:
    """Return the dump, None for an index, and how it was written."""
    text = block.string("from", None)
    if text is None:
        return (shared.source, shared.shown) if shared else (None, "")
    if text == "index":
        found: Path | None = None
    else:
        found = Path(os.path.normpath(source.folder / os.path.expanduser(text)))  # noqa: PTH111 (Path raises without a home)
        if not found.exists():
            block.fault(
                "from", f"expected a dump in the OSV layout (a zip or a folder), or index; found nothing at {found}"
            )
    if shared and shared.shown and shared.source != found and source.shared:
        says = f"{source.shared.name} says {shared.shown} under advisories.from"
        block.fault("from", f"{text} is another source; {says}, and which one is its to say")
    return found, text


def _check(source: Source, block: Block, own: AdvisoryRule, shared: AdvisoryRule) -> None:
    if _STRICTNESS.index(own.refuse) > _STRICTNESS.index(shared.refuse):
        source.looser(block, "refuse", str(own.refuse), str(shared.refuse))
    if own.malware == "report" and shared.malware == "refuse":
        source.looser(block, "malware", "report", "refuse")
    if own.not_checked == "report" and shared.not_checked == "refuse":
        source.looser(block, "not-checked", "report", "refuse")
