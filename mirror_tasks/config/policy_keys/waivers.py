"""The key ``except``: what comes in although a rule refuses it, for a reason and until a day."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.config.policy import RULES, Policy, ProjectPattern, RuleName, Waiver, has_rule
from mirror_tasks.config.policy_keys.dates import read_date
from mirror_tasks.config.policy_keys.patterns import read_pattern
from mirror_tasks.config.policy_keys.source import Shared, Source
from mirror_tasks.errors import Fault

WAIVER_KEYS = ("project", "version", "rule", "advisory", "reason", "until")
"""The keys of an entry under ``except``."""

_EXAMPLE = '{project: requests, version: "2.34.2", rule: cooldown, reason: "closes CVE-…", until: 2027-01-31}'
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,127}")


def read_waivers(source: Source) -> tuple[Waiver, ...]:
    """Return the exceptions of one file."""
    value = source.block.get("except")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        source.block.fault("except", f"expected a list of exceptions such as [{_EXAMPLE}], found {show(value)}")
        return ()
    found: dict[tuple[object, ...], Waiver] = {}
    for position, entry in enumerate(value):
        waiver = _waiver(source, entry, f"except[{position}]")
        if waiver is None:
            continue
        meant = waiver.projects and (waiver.projects.name, waiver.projects.specifier)
        first = found.setdefault((meant, waiver.rule, waiver.advisory.casefold()), waiver)
        if first is not waiver:
            source.block.fault(f"except[{position}]", f"it is there already, as {first.where}; keep one")
    return tuple(found.values())


def _waiver(source: Source, entry: object, key: str) -> Waiver | None:
    block = Block(entry, source.block.path(key), source.faults)
    if not isinstance(entry, dict):
        return None
    block.only(WAIVER_KEYS)
    advisory = _advisory(block)
    projects, rule = _projects(block), _rule(block, advisory)
    if projects is None and not advisory and not block.has("project") and not block.has("advisory"):
        block.fault("", f"expected a project and a rule, or an advisory, such as {_EXAMPLE}")
    reason, until = _reason(block), _until(block, source.today)
    if rule is None or reason is None or until is None or (projects is None and not advisory):
        return None
    return Waiver(projects, rule, advisory, reason, until, source.where(key))


def _projects(block: Block) -> ProjectPattern | None:
    """Return the projects and versions that an exception is for."""
    version = _version(block)
    value = block.get("project")
    if value is None:
        if block.has("version"):
            block.fault("version", "expected a project beside it, found none")
        return None
    try:
        pattern = read_pattern(value)
    except ValueError as error:
        block.fault("project", str(error))
        return None
    if pattern.specifier and block.has("version"):
        block.fault("version", f"{show(pattern.text)} says which versions already; keep one of the two")
    if version is None:
        return pattern
    release = None if version.endswith(".*") else Version(version)
    return ProjectPattern(pattern.name, f"=={version}", f"{pattern.text}=={version}", release)


def _version(block: Block) -> str | None:
    version = block.version("version", "2.34.2")
    try:
        return version if version is None else str(SpecifierSet(f"=={version}")).removeprefix("==")
    except InvalidSpecifier:
        more = '; several are said with the project, as in project: "requests>=2.34,<3"'
        block.fault("version", f'expected a version such as "2.34.2" or "2.34.*", found {show(version)}{more}')
        return None


def _rule(block: Block, advisory: str) -> RuleName | None:
    """Return which rule is waived; an advisory says it by itself."""
    rule = block.get("rule")
    if rule is None:
        if advisory or block.has("advisory"):
            return "advisories"
        if block.has("project"):
            block.fault("rule", f"expected the rule that it is an exception of, one of {', '.join(RULES)}; found none")
        return None
    if rule not in RULES:
        block.fault("rule", unknown("rule", rule, RULES))
        return None
    if advisory and rule != "advisories":
        block.fault("rule", f"an advisory is refused by advisories, not by {rule}; leave the rule out")
        return None
    return rule


def _advisory(block: Block) -> str:
    advisory = block.string("advisory", "")
    if advisory and not _IDENTIFIER.fullmatch(advisory):
        block.fault(
            "advisory", f"expected the identifier of an advisory, such as CVE-2026-1234, found {show(advisory)}"
        )
        return ""
    return advisory


def _reason(block: Block) -> str | None:
    if not block.has("reason"):
        block.fault("reason", "expected why it may come in all the same, found none")
    return block.string("reason", None)


def _until(block: Block, today: datetime.date) -> datetime.date | None:
    """Return the day on which an exception ends."""
    value = block.get("until")
    until = read_date(value)
    if until is None:
        found = "none" if value is None else value if isinstance(value, datetime.date) else show(value)
        block.fault("until", f"expected the day on which it ends, such as 2027-01-31, found {found}")
    elif until <= today:
        ended = "today" if until == today else f"on {until}"
        block.fault("until", f"the exception ended {ended}; take it out, or renew it with a day to come")
        return None
    return until


def check_waivers(source: Source, waivers: Collection[Waiver], policy: Policy) -> None:
    """Add a fault for each exception of ``mirror.yaml`` that waives nothing, or what is not its own to waive.

    :param policy: all of it, the shared file counted in.
    """
    for waiver in waivers:
        problem = _no_rule(source, waiver, policy) or _not_its_own(waiver, source.shared)
        if problem:
            source.faults.append(Fault(waiver.where.removeprefix(f"{source.file}: "), problem))


def _no_rule(source: Source, waiver: Waiver, policy: Policy) -> str | None:
    path = source.block.path(waiver.rule)
    if has_rule(policy, waiver.rule) or any(one.key_path.startswith(path) for one in source.faults):
        return None
    return f"the policy has no {waiver.rule} that it could be an exception of; take it out"


def _not_its_own(waiver: Waiver, shared: Shared | None) -> str | None:
    if shared is None or waiver.rule not in shared.kept:
        return None
    where = f"have it put under except in {shared.name}, or have `may-waive: [{waiver.rule}]` put there"
    return f"{shared.name} has {waiver.rule}, and its exceptions stand in that file; {where}"
