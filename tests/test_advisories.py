"""Advisories: what is known against a release, and what the policy says of it."""

from dataclasses import replace

import pytest

from mirror_tasks.config.policy import AdvisoryRule
from mirror_tasks.policy.advisories import Match, check_advisories

HOLE = Match("GHSA-1", ("CVE-2024-1", "PYSEC-2024-1"), "high", "CVSS 3.1: 7.5", False, "a hole", ("2.32.4",))
MALWARE = replace(HOLE, id="MAL-2024-1", aliases=(), severity="low", is_malware=True, fixed=())
RULE = AdvisoryRule(None, "index", "high", "refuse", "report")


@pytest.mark.parametrize(
    ("matches", "rule", "expected"),
    [
        ((), RULE, None),
        ((HOLE,), RULE, "advisory GHSA-1 (high, CVE-2024-1): fixed in 2.32.4"),
        ((replace(HOLE, fixed=()),), RULE, "advisory GHSA-1 (high, CVE-2024-1): no fixed release is known"),
        ((HOLE,), replace(RULE, refuse="critical"), None),
        ((HOLE,), replace(RULE, refuse=None), None),
        (
            (replace(HOLE, severity="low"),),
            replace(RULE, refuse="any"),
            "advisory GHSA-1 (low, CVE-2024-1): fixed in 2.32.4",
        ),
        ((replace(HOLE, severity="moderate"),), RULE, None),
        ((MALWARE,), replace(RULE, refuse=None), "malware MAL-2024-1: remove it"),
        ((MALWARE,), replace(RULE, malware="report"), None),
        ((HOLE, MALWARE), RULE, "malware MAL-2024-1: remove it; and 1 more"),
        (None, RULE, None),
        (
            None,
            replace(RULE, not_checked="refuse"),
            "advisories: nobody was found who knows of this release: not checked",
        ),
    ],
)
def test_a_release_is_refused_by_the_worst_that_is_known_against_it_or_comes_in(
    matches: tuple[Match, ...] | None, rule: AdvisoryRule, expected: str | None
) -> None:
    assert check_advisories(matches, rule) == expected


def test_what_is_waived_refuses_nothing_and_any_of_its_identifiers_names_it() -> None:
    assert check_advisories((HOLE,), RULE, lambda match: match.is_named("cve-2024-1")) is None
    assert check_advisories((HOLE, MALWARE), RULE, lambda match: match.is_named("CVE-2024-1")) is not None
