"""Advisories: what is known against a release, and what the policy says of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.version import Version

from mirror_tasks.config.policy import AdvisoryRule
from mirror_tasks.policy.advisories import Match, check_advisories
from mirror_tasks.policy.folding import fold
from mirror_tasks.policy.matching import Hole, Reach, listed
from mirror_tasks.policy.osv import RecordError, Said, advisory_of
from mirror_tasks.policy.severity import severity_of
from tests.advisory_dumps import fixed_in, record

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


def holes(*records: Mapping[str, Any]) -> list[Hole]:
    """Return the holes of somelib that records say."""
    found = fold([one for one in map(advisory_of, records) if one is not None])
    return [hole for project, rows in found.items() if project == "somelib" for hole in rows]


def events(text: str) -> list[dict[str, str]]:
    """Return events from ``introduced 1.0, fixed 1.2``."""
    words = [one.split() for one in text.split(",")]
    return [{kind: version} for kind, version in words]


ROWS = [
    ("introduced 0", "0.dev1 0 1 99!1", ""),
    ("introduced 0, fixed 1.2", "0.1a1 1.1.9 1.2rc1 1.2.dev0", "1.2 1.2.post1 1.2.0 2"),
    ("introduced 1.0, fixed 1.2", "1.0 1.1", "1.0rc1 0.9 1.2"),
    ("introduced 0, last_affected 1.2", "1.2 1.2.0 1.1", "1.2.post1 1.2.1 1.3"),
    ("introduced 1.0, fixed 1.2, introduced 2.0, fixed 2.2", "1.1 2.0 2.1", "0.9 1.2 1.9 2.2 3"),
    ("introduced 2.0, introduced 1.0, fixed 2.2, fixed 1.2", "1.1 2.0 2.1", "0.9 1.2 1.9 2.2 3"),
    ("fixed 1.2, introduced 0", "1.1", "1.2"),
    ("introduced 1.0, introduced 1.1, fixed 1.2", "1.0 1.1", "0.9 1.2"),
    # One stretch ends where the next begins; what begins and ends at once is nothing.
    ("introduced 0.13, fixed 0.14rc1, introduced 0.12.2, fixed 0.13.0", "0.12.2 0.13 0.13.5", "0.12 0.14"),
    ("introduced 0, last_affected 1.0, introduced 1.0, fixed 2.0", "0.9 1.0 1.5", "2.0"),
    ("introduced 1.0, fixed 1.0", "", "0.9 1.0 1.1"),
    ("introduced 1.0, last_affected 1.0", "1.0", "0.9 1.1"),
    ("introduced 0, fixed 1.2, limit 1.1", "1.0", "1.1 1.2"),
    ("introduced 0, limit 1.1, limit 2", "1.0 1.1 1.9", "2 3"),
    ("introduced 0, fixed 1.2, limit *", "1.1", "1.2"),
    ("introduced 0, limit *, limit 1.1", "1.0 1.1 2", ""),
    ("introduced 1.10, fixed 1.20", "1.10 1.11", "1.9 1.2 1.20"),
    ("introduced 1!1.0", "1!1.0 2!0", "99"),
    # What is built from 1.2 is judged as 1.2, where the bound has no label itself.
    ("introduced 0, last_affected 1.2", "1.2+cu118", "1.2.1+cu118"),
    ("introduced 0, fixed 1.2+safe1", "1.2 1.1+cu118", "1.2+safe1 1.2+safe2 1.3"),
    ("introduced 1.2, fixed 1.3", "1.2+cu118", "1.3+cu118"),
    # Bounds that are no versions, and nothing enumerated beside them.
    ("introduced 0, fixed 2019-09-12x", "0.1 5000", ""),
    ("introduced not-a-version, fixed 1.2", "0.1 1.1", "1.2"),
    ("introduced 0, last_affected ?", "1", ""),
    ("fixed 1.2", "", "1.1 1.2"),
]


@pytest.mark.parametrize("kind", ["ECOSYSTEM", "SEMVER"])
@pytest.mark.parametrize(("said", "affected", "others"), ROWS)
def test_a_range_is_judged_as_the_schema_says(kind: str, said: str, affected: str, others: str) -> None:
    (hole,) = holes(record("PYSEC-1", events=events(said), kind=kind))
    assert {one: hole.meets(Version(one)) for one in f"{affected} {others}".split()} == {
        **dict.fromkeys(affected.split(), True),
        **dict.fromkeys(others.split(), False),
    }


def test_what_is_enumerated_is_affected_beside_what_ranges_say() -> None:
    (hole,) = holes(record("PYSEC-1", events=fixed_in("1.0"), versions=["1.5.0", "2.0-beta1", "no version", "1.7+x"]))
    for version in ("0.9", "1.5", "1.5.0.0", "2.0b1", "1.5+local", "1.7+x"):
        assert hole.meets(Version(version)), version
    for version in ("1.0", "1.5.1", "2.0", "1.7"):
        assert not hole.meets(Version(version)), version


def test_a_range_with_a_bound_that_is_no_version_leaves_the_judgement_to_what_is_enumerated() -> None:
    (hole,) = holes(record("PYSEC-1", events=fixed_in("0.2.0-n653"), versions=["0.1.0", "0.1.1"]))
    assert hole.meets(Version("0.1.1"))
    assert not hole.meets(Version("0.3"))


def test_ranges_of_commits_say_nothing_of_versions() -> None:
    assert holes(record("PYSEC-1", events=fixed_in("deadbeef"), kind="GIT"))[0].meets(Version("1")) is False


def test_what_is_withdrawn_counts_for_nothing_its_aliases_neither() -> None:
    first = record("PYSEC-1", aliases=["CVE-1"])
    bridge = record("GHSA-2", aliases=["CVE-1", "CVE-3"], withdrawn="2026-01-01T00:00:00Z")
    assert [one.id for one in holes(first, bridge, record("PYSEC-3", aliases=["CVE-3"]))] == ["PYSEC-1", "PYSEC-3"]


def test_one_hole_is_one_row_whoever_wrote_of_it() -> None:
    vector = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"}]
    (hole,) = holes(
        record("PYSEC-2024-1", events=fixed_in("1.0"), aliases=["CVE-2024-1"], details="Long words.\nMore."),
        record("GHSA-a", events=fixed_in("1.1"), aliases=["cve-2024-1"], summary="Short words", severity=vector),
        record("SNYK-1", events=fixed_in("0.9"), aliases=["PYSEC-2024-1"]),
        record("SNYK-2", project="other", aliases=["GHSA-a"]),
    )
    match = hole.match(Version("0.5"))
    assert match == Match(
        "GHSA-a", ("CVE-2024-1", "PYSEC-2024-1", "SNYK-1", "cve-2024-1"), "moderate", "CVSS 3.1: 5.3", False,
        "Short words", ("1.1",),
    )  # fmt: skip
    assert hole.match(Version("1.0"))
    assert not hole.match(Version("1.1"))


def test_what_fixes_it_is_later_and_has_it_not() -> None:
    (hole,) = holes(record("PYSEC-1", events=events("introduced 0, fixed 1.26.17, introduced 2.0, fixed 2.0.6")))
    assert [match and match.fixed for match in map(hole.match, map(Version, ("1.26.1", "2.0.1", "2.0.6")))] == [
        ("1.26.17", "2.0.6"),
        ("2.0.6",),
        None,
    ]


def test_malware_is_that_whatever_its_severity_and_under_whichever_of_its_names() -> None:
    low = {"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L"}]}
    (hole,) = holes({**record("MAL-2024-1"), **low}, record("GHSA-1", aliases=["MAL-2024-1"], events=fixed_in("1")))
    assert (hole.id, hole.is_malware, hole.severity) == ("MAL-2024-1", True, "low")
    assert holes(record("GHSA-1", aliases=["MAL-2024-1"]))[0].is_malware
    assert not holes(record("GHSA-1", aliases=["MALT-1"]))[0].is_malware


def test_malware_of_which_no_version_is_named_is_so_in_every_version() -> None:
    nothing_named = record("MAL-1", events=[])
    nothing_named["affected"][0].pop("ranges")
    assert holes(nothing_named)[0].meets(Version("3"))
    assert not holes({**nothing_named, "id": "PYSEC-1"})[0].meets(Version("3"))
    assert not holes(record("MAL-1", versions=["2"]))[0].meets(Version("3"))


@pytest.mark.parametrize(
    ("vectors", "word", "expected"),
    [
        (["CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N"], "", ("high", "CVSS 4.0: 8.7")),
        (["CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"], "LOW", ("critical", "CVSS 3.1: 9.8")),
        (["CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"], "", ("low", "CVSS 3.0: 0.0")),
        (["AV:N/AC:L/Au:N/C:N/I:N/A:P"], "", ("moderate", "CVSS 2.0: 5.0")),
        (["nonsense", "CVSS:9/A:B", "CVSS:3.1/AV:N"], "MODERATE", ("moderate", "the database's word: MODERATE")),
        (["7.5"], "Medium", ("moderate", "the database's word: Medium")),
        ([], "grave", None),
        ([], "", None),
    ],
)
def test_severity_is_that_of_the_vectors_else_the_databases_own_word(
    vectors: Sequence[str], word: str, expected: tuple[str, str] | None
) -> None:
    assert severity_of(Said(tuple(vectors), word)) == expected


def test_of_several_vectors_the_worst_counts_and_what_is_said_of_the_project_alone_goes_before() -> None:
    low = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L"}
    four = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}
    assert holes(record("GHSA-1", severity=[low, four]))[0].severity == "critical"
    one = record("GHSA-1", severity=[four], database_specific={"severity": "CRITICAL"})
    one["affected"][0]["ecosystem_specific"] = {"severity": "low"}
    assert holes(one)[0].severity == "low"


def test_without_a_severity_a_record_counts_as_high_and_says_so() -> None:
    (hole,) = holes(record("PYSEC-1", database_specific={"severity": 7}))
    assert (hole.severity, hole.severity_from) == ("high", "no severity is given: counts as high")


def naive(version: Version, ranges: Sequence[Sequence[tuple[str, str]]], versions: Sequence[str]) -> bool:
    """The evaluation algorithm of the OSV schema, word for word."""
    return any(in_range(version, one) for one in ranges) or any(version == Version(text) for text in versions)


def in_range(version: Version, one: Sequence[tuple[str, str]]) -> bool:
    def before_limits(one: Sequence[tuple[str, str]]) -> bool:
        limits = [text for kind, text in one if kind == "limit"]
        return not limits or any(text == "*" or version < Version(text) for text in limits)

    if not before_limits(one):
        return False
    vulnerable = False
    turns = sorted(
        (event for event in one if event[0] != "limit"), key=lambda event: (event[1] != "0", Version(event[1]))
    )
    for kind, text in turns:
        if kind == "introduced" and (text == "0" or version >= Version(text)):
            vulnerable = True
        elif (kind == "fixed" and version >= Version(text)) or (kind == "last_affected" and version > Version(text)):
            vulnerable = False
    return vulnerable


VERSIONS = st.sampled_from(
    ["0.dev1", "0.1", "1.0a1", "1.0rc1", "1.0", "1.0.post1", "1.1", "1.10", "1.2.0", "2", "2.0.1", "1!0.1"]
)
RANGES = st.lists(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["introduced", "fixed", "last_affected", "limit"]), VERSIONS),
            st.sampled_from([("introduced", "0"), ("limit", "*")]),
        ),
        max_size=6,
    ),
    max_size=3,
)


@given(VERSIONS, RANGES, st.lists(VERSIONS, max_size=3))
def test_ranges_are_judged_as_the_schemas_algorithm_does_word_for_word(
    version: str, ranges: list[list[tuple[str, str]]], versions: list[str]
) -> None:
    judged = Version(version)
    reach = Reach(ranges, [listed(Version(one)) for one in versions])
    for one in ranges:  # of what is said twice of one version the schema says nothing
        bounds = [None if text == "0" else Version(text) for kind, text in one if kind != "limit"]
        assume(len(bounds) == len(set(bounds)))
    assert reach.meets(judged) == naive(judged, ranges, versions)


WORDS = st.sampled_from([
    "", "0", "1.0", "*", "?", "PyPI", "pypi:x", "npm", "somelib", "ECOSYSTEM", "SEMVER", "GIT", "GHSA-1", "CVSS:3.1/A:B",
    "CVSS:4", "\n",
])  # fmt: skip
KEYS = st.sampled_from([
    "id", "aliases", "modified", "withdrawn", "summary", "details", "severity", "affected", "package", "ecosystem", "name",
    "ranges", "versions", "type", "events", "introduced", "fixed", "last_affected", "limit", "score", "database_specific",
])  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(WORDS, st.none(), st.integers(), st.booleans(), st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=30,
)


@given(ANYTHING, st.lists(st.tuples(KEYS, ANYTHING), max_size=4), st.lists(st.tuples(KEYS, ANYTHING), max_size=3))
def test_whatever_a_record_holds_it_is_judged_or_refused_with_a_reason(
    alone: object, above: list[tuple[str, object]], below: list[tuple[str, object]]
) -> None:
    said = record("GHSA-1", events=fixed_in("2"), versions=["1.0"])
    said["affected"][0].update(below)
    for one in (alone, said | dict(above)):
        with contextlib.suppress(RecordError):  # nothing else comes out
            found = advisory_of(one)
            for rows in fold([found] if found else []).values():
                for hole in rows:
                    hole.match(Version("1.0"))
