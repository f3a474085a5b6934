"""The bill of a plan: what it says of what nothing satisfies."""

from __future__ import annotations

from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Gap
from mirror_tasks.tasks.verbs.bill import gap_lines


def gap(environment: str, reason: str) -> Gap:
    return Gap(environment, "lib>=2", (Asker("release", "app", "1"),), reason, undecided=False)


def test_what_is_missing_for_the_same_reason_everywhere_is_said_once() -> None:
    reason = "1 release satisfies it, and none has a file for {}: 2: licence GPL-3.0-only is not allowed"
    told = [gap(name, reason.format(name)) for name in ("laptop", "server")]
    assert list(gap_lines([*told, gap("server", "the index has no project of this name")])) == [
        "! laptop, server: lib>=2, asked by app-1: 1 release satisfies it, and none has a file: "
        "2: licence GPL-3.0-only is not allowed",
        "! server: lib>=2, asked by app-1: the index has no project of this name",
    ]
