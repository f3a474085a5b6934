"""The key ``cooldown``: how long ago a file has to have been uploaded."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.policy import Age, Cooldown, ProjectPattern
from mirror_tasks.config.policy_keys.dates import read_date
from mirror_tasks.config.policy_keys.patterns import covers, overlaps, read_name_pattern
from mirror_tasks.config.policy_keys.source import Source

_EXPECTED = "expected a time such as 14d or 36h, a day such as 2026-11-01, or 0 for none"
_TIME = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)\s*([hd])")
_SECONDS = {"h": 3600.0, "d": 86400.0}

_Ages = tuple[tuple[ProjectPattern, Age | None], ...]


def read_cooldown(source: Source) -> Cooldown | None:
    """Return what is said of the age of files, that of the shared file counted in; None where any age will do."""
    shared = source.shared.policy.cooldown if source.shared else None
    value = source.block.get("cooldown")
    if value is None:
        return shared
    found = _by_project(source) if isinstance(value, dict) else Cooldown(_age(source.block, "cooldown", value))
    if shared:
        _check(source, found, shared)
        return Cooldown(found.default, found.by_project, shared)
    return found if any((found.default, *(age for _, age in found.by_project))) else None


def _by_project(source: Source) -> Cooldown:
    block = Block(source.block.get("cooldown"), source.block.path("cooldown"), source.faults)
    ages = tuple(_each(block))
    if not source.block.get("cooldown"):
        block.fault("", "expected projects with a time each, such as {default: 14d, ours-*: 0}, found none")
    return Cooldown(_age(block, "default", block.get("default")) if block.has("default") else None, ages)


def _each(block: Block) -> Iterator[tuple[ProjectPattern, Age | None]]:
    before: list[ProjectPattern] = []
    for key, value in block.items():
        if key == "default":
            continue
        name = str(key)[:80]
        try:
            pattern = read_name_pattern(key)
        except ValueError as error:
            block.fault(name, str(error))
            continue
        if hides := [one.text for one in before if covers(one.name, pattern.name)]:
            block.fault(name, f"it never counts: {show(hides[0])} stands before it, and the first that matches counts")
        before.append(pattern)
        yield pattern, _age(block, name, value)


def _age(block: Block, key: str, value: object) -> Age | None:
    if value in (0, "0") and not isinstance(value, bool):
        return None
    if (day := read_date(value)) is not None:
        return Age(None, day, day.isoformat())
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        unit = "; a number needs its unit" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
        block.fault(key, f"{_EXPECTED}; found {_shown(value)}{unit}")
        return None
    seconds = float(match[1]) * _SECONDS[match[2]]
    return Age(seconds, None, f"{match[1]}{match[2]}") if seconds else None


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime.date) else show(value)


def _check(source: Source, own: Cooldown, shared: Cooldown) -> None:
    """Add a fault for each age that is less than what the shared file wants of the same projects."""
    value = source.block.get("cooldown")
    if not isinstance(value, dict):
        _compare(source, "cooldown", own.default, shared.default)
    elif "default" in value:
        _compare(source, "cooldown.default", own.default, shared.default)
    for pattern, age in own.by_project:
        for wanted in dict.fromkeys(_wanted_of(pattern, shared)):
            if _compare(source, f"cooldown.{pattern.text}", age, wanted):
                break


def _wanted_of(pattern: ProjectPattern, shared: Cooldown) -> Iterator[Age | None]:
    """Yield what the shared file wants of projects that a pattern means."""
    for other, age in shared.by_project:
        if overlaps(pattern.name, other.name):
            yield age
        if covers(other.name, pattern.name):
            return
    yield shared.default


def _compare(source: Source, key: str, own: Age | None, wanted: Age | None) -> bool:
    """Add a fault, and say so, if files may be younger than is wanted. Times and days are not compared: both count."""
    if wanted is None or (own is not None and not _is_less(own, wanted)):
        return False
    source.looser(source.block, key, own.text if own else "0", wanted.text)
    return True


def _is_less(own: Age, wanted: Age) -> bool:
    if own.seconds is not None and wanted.seconds is not None:
        return own.seconds < wanted.seconds
    return own.day is not None and wanted.day is not None and own.day > wanted.day
