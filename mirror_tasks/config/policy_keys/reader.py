"""The key ``policy:`` of ``mirror.yaml``, with the file that it may share with others: what may come in.

A shared file says what holds for all who share it. Beside it ``mirror.yaml`` can say what is stricter, and each reader of a
key here is given the shared policy: it fills in what is not said, and adds a fault for what is looser.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.config.policy import RULES, Age, Cooldown, Policy, ProjectPattern, Waiver, ending
from mirror_tasks.config.policy_keys.advisories import read_advisories
from mirror_tasks.config.policy_keys.constraints import read_constraint_files
from mirror_tasks.config.policy_keys.cooldown import read_cooldown
from mirror_tasks.config.policy_keys.licences import read_licences
from mirror_tasks.config.policy_keys.patterns import covers, intersection, read_patterns
from mirror_tasks.config.policy_keys.source import Shared, Source
from mirror_tasks.config.policy_keys.waivers import check_waivers, read_waivers
from mirror_tasks.config.yaml_file import read_yaml
from mirror_tasks.errors import ConfigError, Fault

RULE_KEYS = ("cooldown", "exclude", "only", "constraints", "licences", "advisories", "except", "approval")
POLICY_KEYS = ("file", *RULE_KEYS)
"""The keys under ``policy:``."""

SHARED_KEYS = (*RULE_KEYS, "may-waive")
"""The keys of a file that several share."""


class PolicyReader:
    """Reads what stands under ``policy:``.

    :param path: of ``mirror.yaml``.
    :param block: the whole file.
    :param faults: what is wrong is added to them.
    :param today: the day (UTC) by which exceptions end.
    """

    def __init__(self, path: Path, block: Block, faults: list[Fault], today: datetime.date) -> None:
        self._path = path
        self._value = block.get("policy")
        self._faults = faults
        self._today = today

    def policy(self) -> Policy | None:
        """Return what is said; None where there is no such key."""
        if self._value is None:
            return None
        block = Block(self._value, "policy", self._faults)
        block.only(POLICY_KEYS)
        folder = self._path.parent
        shared = self._shared(block) if block.has("file") else None
        source = Source(block, self._faults, self._faults, folder, self._path.name, self._today, shared)
        policy = _read(source)
        if policy.advisories and not policy.advisories.shown:
            block.fault("advisories.from", "expected a dump such as osv/all.zip, or index; found none")
        check_waivers(source, policy.exceptions[len(shared.policy.exceptions) if shared else 0 :], policy)
        return replace(
            policy,
            warnings=ending(policy.exceptions, self._today),
            said=_said(policy),
            shared_file=shared.name if shared else "",
            waived_there=shared.kept if shared else frozenset(),
        )

    def _shared(self, block: Block) -> Shared | None:
        """Return what the file says that is shared with others; None where it can't be used."""
        name = block.string("file", None)
        if name is None:
            return None
        path = Path(os.path.normpath(self._path.parent / os.path.expanduser(name)))  # noqa: PTH111 (Path raises without a home)
        if not path.is_file():
            block.fault("file", f"expected a file with the keys of a policy, found none at {path}")
            return None
        faults: list[Fault] = []
        try:
            found = Block(read_yaml(path), "", faults)
        except ConfigError as error:
            self._faults.extend(Fault(f"{name}: {one.key_path}", one.problem) for one in error.faults)
            return None
        source = Source(found, faults, self._faults, path.parent, name, self._today)
        shared = _shared_of(source)
        self._faults.extend(Fault(f"{name}: {one.key_path}", one.problem) for one in faults)
        return shared


def _shared_of(source: Source) -> Shared:
    block = source.block
    if block.get("policy") is not None:
        block.fault(
            "policy",
            "the keys of a shared file stand at its top level; take this line out, and indent what is below it less",
        )
    elif block.get("file") is not None:
        block.fault("file", "a shared file can't name a further one; put what that says here")
    else:
        block.only(SHARED_KEYS)
    return Shared(_read(source), source.file, _waivable(block))


def _waivable(block: Block) -> frozenset[str]:
    value = block.get("may-waive")
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        block.fault("may-waive", f"expected a list of rules such as [cooldown], found {show(value)}")
        return frozenset()
    for position, one in enumerate(value):
        if one not in RULES:
            block.fault(f"may-waive[{position}]", unknown("rule", one, RULES))
    return frozenset(map(str, value))


def _read(source: Source) -> Policy:
    shared = source.shared.policy if source.shared else Policy()
    cooldown = read_cooldown(source)
    exclude, only = _excluded(source, shared.exclude), _only(source, shared.only)
    constraints = (*shared.constraints, *read_constraint_files(source))
    return Policy(
        cooldown=cooldown,
        exclude=exclude,
        only=only,
        constraints=constraints,
        licences=read_licences(source),
        advisories=read_advisories(source),
        exceptions=(*shared.exceptions, *read_waivers(source)),
        approval_required=source.block.choice("approval", None, ("required",)) is not None or shared.approval_required,
    )


def _excluded(source: Source, shared: tuple[ProjectPattern, ...]) -> tuple[ProjectPattern, ...]:
    found = {(one.name, one.specifier): one for one in (*shared, *(read_patterns(source.block, "exclude") or ()))}
    return tuple(found.values())


def _only(source: Source, shared: tuple[ProjectPattern, ...] | None) -> tuple[ProjectPattern, ...] | None:
    """Return what alone may come in. Where the shared file says something too, it is what both of them let in."""
    own = read_patterns(source.block, "only")
    if own is None or shared is None:
        return shared if own is None else own
    found: list[ProjectPattern] = []
    for one in own:
        if not any(covers(other.name, one.name) for other in shared):
            source.looser(source.block, "only", one.text, f"[{', '.join(other.text for other in shared)}]")
        found.extend(filter(None, (intersection(one, other) for other in shared)))
    return tuple(dict.fromkeys(found))


def _said(policy: Policy) -> Mapping[str, object]:
    """Return all that a policy says as JSON can hold it; places are left out, and so is how it was written."""
    licences, advisories = policy.licences, policy.advisories
    return {
        "cooldown": _said_of_cooldown(policy.cooldown),
        "exclude": sorted(map(_said_of_pattern, policy.exclude)),
        "only": None if policy.only is None else sorted(map(_said_of_pattern, policy.only)),
        "constraints": sorted({str(one.requirement) for one in policy.constraints}),
        "licences": licences
        and {"allow": None if licences.allow is None else sorted(licences.allow), "unknown": licences.unknown},
        "advisories": advisories
        and {
            "from": advisories.shown,
            "refuse": advisories.refuse,
            "malware": advisories.malware,
            "not-checked": advisories.not_checked,
        },
        "except": sorted(map(_said_of_waiver, policy.exceptions)),
        "approval": "required" if policy.approval_required else None,
    }


def _said_of_pattern(pattern: ProjectPattern) -> str:
    return f"{pattern.name}{pattern.specifier}"


def _said_of_cooldown(cooldown: Cooldown | None) -> object:
    if cooldown is None:
        return None
    by_project = [[pattern.name, _said_of_age(age)] for pattern, age in cooldown.by_project]
    return [_said_of_age(cooldown.default), by_project, _said_of_cooldown(cooldown.shared)]


def _said_of_age(age: Age | None) -> object:
    return age and (age.seconds if age.day is None else age.day.isoformat())


def _said_of_waiver(waiver: Waiver) -> list[str]:
    projects = _said_of_pattern(waiver.projects) if waiver.projects else ""
    return [projects, waiver.rule, waiver.advisory, waiver.reason, waiver.until.isoformat()]
