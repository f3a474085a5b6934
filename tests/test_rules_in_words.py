"""The page of a dossier says which rules held, as `mirror.yaml` has them."""

from __future__ import annotations

import datetime

from mirror_tasks.config.policy import AdvisoryRule, Age, Cooldown, LicenceRule, Policy, ProjectPattern
from mirror_tasks.report.rules import rules_in_words

FORTNIGHT = Age(14 * 86400, None, "14d")
OURS = ProjectPattern("ours-*", "", "ours-*")


def test_a_policy_without_rules_says_nothing() -> None:
    assert list(rules_in_words(Policy())) == []


def test_each_rule_says_what_it_refuses() -> None:
    policy = Policy(
        cooldown=Cooldown(FORTNIGHT, ((OURS, None),)),
        only=(OURS,),
        exclude=(ProjectPattern("lib", "<2", "Lib<2"),),
        licences=LicenceRule(frozenset(["MIT", "ISC"]), "report"),
        advisories=AdvisoryRule(None, "index", "high", "refuse", "report"),
        approval_required=True,
    )
    assert dict(rules_in_words(policy)) == {
        "cooldown": "14d, ours-*: none",
        "only": "ours-*",
        "exclude": "Lib<2",
        "licences": "allowed: ISC, MIT; unknown: reported",
        "advisories": "refused: high or worse; malware: refused; not checked: reported",
        "approval": "required",
    }


def test_what_the_shared_file_says_counts_too() -> None:
    day = Age(None, datetime.date(2026, 11, 1), "2026-11-01")
    policy = Policy(cooldown=Cooldown(day, (), Cooldown(FORTNIGHT)))
    assert dict(rules_in_words(policy)) == {"cooldown": "2026-11-01; of the shared file: 14d"}


def test_a_long_list_is_cut_and_says_so() -> None:
    many = tuple(ProjectPattern(f"p{number}", "", f"p{number}") for number in range(52))
    assert dict(rules_in_words(Policy(exclude=many)))["exclude"].endswith("p49, and 2 others")
