"""What `doit audit` prints."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import doit.loader

from mirror_tasks.config.policy import AdvisoryRule
from mirror_tasks.errors import AdvisoryError
from mirror_tasks.policy.compiling import read_advisories
from mirror_tasks.report.audit import DEFAULT_RULE, audit_json, audit_lines, check_audit, served
from mirror_tasks.report.audit import audit as judge
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.verbs.making import patience


def audit(mirror: Mirror, named: str, form: str) -> None:
    """Print what is known against what is in the mirror.

    :raises AdvisoryError: something is refused, there is no dump, or it is broken.
    """
    place = served(mirror.config.output)
    rule = _rule(mirror, named)
    assert rule.source is not None, "a rule for an audit has a dump"
    policy = mirror.config.policy
    known = mirror.advisories
    current = known.known if not named and known.is_current() else None
    exceptions = policy.exceptions if policy else ()
    with patience(f"judging by {rule.shown}"):
        found = judge(place, current or read_advisories(rule.source, rule.shown), rule, exceptions)
    if form == "json":
        sys.stdout.write(audit_json(found).decode())
    else:
        sys.stdout.writelines(f"{line}\n" for line in audit_lines(found))
    sys.stdout.flush()
    check_audit(place, found)


def _rule(mirror: Mirror, named: str) -> AdvisoryRule:
    """Return what the policy refuses, with the dump to go by."""
    rule = mirror.advisories.rule or DEFAULT_RULE
    if named:  # as the user typed it, wherever that was
        return replace(rule, source=Path(doit.loader.initial_workdir or ".") / named, shown=Path(named).name)
    if rule.source is None:
        problem = "expected a dump of advisories to judge by, found none"
        advice = "Name one: `doit audit --from all.zip`, or under policy.advisories.from in mirror.yaml."
        raise AdvisoryError("auditing", str(mirror.config.output), problem, advice)
    return rule
