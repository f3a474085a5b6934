"""What the policy kept out: releases that satisfy a requirement and are newer than those taken, by project and rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.version import Version

from mirror_tasks.resolve.plan import PassedOver


@dataclass(frozen=True, slots=True)
class Refused:
    """Releases of a project that one rule of the policy refuses.

    :param versions: the oldest first.
    :param environments: those in which any of them would have been taken, sorted.
    :param reason: that of the newest.
    """

    project: str
    rule: str
    versions: tuple[str, ...]
    environments: tuple[str, ...]
    reason: str


def refused(passed_over: Iterable[PassedOver]) -> tuple[Refused, ...]:
    """Return what was passed over by a rule of the policy, sorted by project."""
    by_rule: dict[tuple[str, str], list[PassedOver]] = defaultdict(list)
    for one in passed_over:
        if one.rule:
            by_rule[one.project, one.rule].append(one)
    return tuple(_together(project, rule, found) for (project, rule), found in sorted(by_rule.items()))


def _together(project: str, rule: str, found: Sequence[PassedOver]) -> Refused:
    ordered = sorted(found, key=lambda one: Version(one.version))
    environments = sorted({name for one in found for name in one.environments})
    versions = tuple(dict.fromkeys(one.version for one in ordered))
    return Refused(project, rule, versions, tuple(environments), ordered[-1].reason)
