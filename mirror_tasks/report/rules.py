"""The rules of a policy in words, for who signs for what they let in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mirror_tasks.config.policy import AdvisoryRule, Age, Cooldown, LicenceRule, Policy
from mirror_tasks.text import counted

_MOST_NAMED = 50
_DONE = {"refuse": "refused", "report": "reported"}


def rules_in_words(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield each rule that the policy has, by its key in ``mirror.yaml``, and what it says, that of a shared file counted in."""
    if policy.cooldown:
        yield "cooldown", _cooldown(policy.cooldown)
    if policy.only is not None:
        yield "only", _listed([one.text for one in policy.only])
    if policy.exclude:
        yield "exclude", _listed([one.text for one in policy.exclude])
    if policy.constraints:
        yield "constraints", _listed(sorted({str(one.requirement) for one in policy.constraints}))
    if policy.licences:
        yield "licences", _licences(policy.licences)
    if policy.advisories:
        yield "advisories", _advisories(policy.advisories)
    if policy.approval_required:
        yield "approval", "required"


def _cooldown(cooldown: Cooldown) -> str:
    by_project = [f"{pattern.text}: {_age(age)}" for pattern, age in cooldown.by_project]
    own = ", ".join([_age(cooldown.default), *by_project])
    return f"{own}; of the shared file: {_cooldown(cooldown.shared)}" if cooldown.shared else own


def _age(age: Age | None) -> str:
    return "none" if age is None else age.text


def _licences(rule: LicenceRule) -> str:
    allowed = "all that are known" if rule.allow is None else ", ".join(sorted(rule.allow))
    return f"allowed: {allowed}; unknown: {_DONE[rule.unknown]}"


def _advisories(rule: AdvisoryRule) -> str:
    worse = "" if rule.refuse in ("any", "critical") else " or worse"
    refused = "none is refused" if rule.refuse is None else f"refused: {rule.refuse}{worse}"
    return f"{refused}; malware: {_DONE[rule.malware]}; not checked: {_DONE[rule.not_checked]}"


def _listed(names: Sequence[str]) -> str:
    more: Iterable[str] = [f"and {counted(len(names) - _MOST_NAMED, 'other')}"] if names[_MOST_NAMED:] else []
    return ", ".join([*names[:_MOST_NAMED], *more])
