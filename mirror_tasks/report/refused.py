"""What the policy kept out: releases that satisfy a requirement and are newer than those taken, by project and reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from mirror_tasks.config.policy import RULES
from mirror_tasks.resolve.plan import PassedOver

# How the phrases of a policy's rules begin (policy/permission.py); in front of them may stand which files are meant.
_OF_POLICY = re.compile(rf"(?:^|[:;] )(?:(?:{'|'.join(RULES)}|as-of): |advisory |malware )")


@dataclass(frozen=True, slots=True)
class Refused:
    """Releases of a project that the policy refuses for one reason, in some environments; the oldest first."""

    project: str
    versions: tuple[str, ...]
    environments: tuple[str, ...]
    reason: str


def refused(passed_over: Iterable[PassedOver]) -> tuple[Refused, ...]:
    """Return what was passed over by a rule of the policy, in the order of the plan."""
    alike: dict[tuple[str, tuple[str, ...], str], list[str]] = defaultdict(list)
    for one in passed_over:
        if is_of_policy(one.reason):
            alike[one.project, one.environments, one.reason].append(one.version)
    return tuple(Refused(name, tuple(versions), where, why) for (name, where, why), versions in alike.items())


def is_of_policy(reason: str) -> bool:
    """Say if a reason is that of a policy, and not that an installer can't use a file."""
    return _OF_POLICY.search(reason) is not None
