"""What the policy refuses is as if it were not there: everything else is chosen, solved and told as before."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_tasks.config.policy import Age
from mirror_tasks.policy.permission import check_as_of, check_cooldown, instant_of
from mirror_tasks.resolve.completion import Completion, FromChosen
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.resolve.search import Limits
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Conflict, Solution, Solver
from tests import worlds
from tests.test_completion import complete


def planned(one: worlds.World) -> tuple[Plan, Completion]:
    closure, completion = complete(one)
    return make_plan(closure, completion), completion


@pytest.mark.parametrize("name", worlds.names("policy"))
def test_a_world_is_chosen_under_its_policy_as_described(name: str, tmp_path: Path) -> None:
    described = worlds.read("policy", name)
    closure, _ = complete(worlds.world(described, tmp_path))
    assert worlds.chosen(closure) == described["expect"]
    gaps = make_plan(closure).gaps
    assert [[gap.environment, gap.requirement] for gap in gaps] == [gap[:2] for gap in described.get("gaps", [])]
    for gap, (_, _, reason) in zip(gaps, described.get("gaps", []), strict=True):
        assert reason in gap.reason
    assert not closure.metadata.keys() & set(described.get("never_read", []))


@pytest.mark.parametrize("name", worlds.names("policy"))
def test_the_plan_says_what_the_policy_left_out_and_what_was_waived(name: str, tmp_path: Path) -> None:
    described = worlds.read("policy", name)
    plan, _ = planned(worlds.world(described, tmp_path))
    if "files" in described:
        assert {file.filename: list(file.environments) for file in plan.files} == described["files"]
    left_out = {filename: reason for release in plan.releases for filename, reason in release.left_out.items()}
    for filename, reason in described.get("left_out", {}).items():
        assert reason in left_out[filename]
    passed = [f"{one.project} {one.version}: {one.reason}" for one in plan.passed_over]
    assert set(described.get("passed_over", [])) <= set(passed)
    by_rule = {f"{one.project} {one.version}": one.rule for one in plan.passed_over}
    assert by_rule.items() >= described.get("passed_over_by", {}).items()
    waived = [" ".join(filter(None, (w.filename, w.rule, w.advisory, w.reason))) for w in plan.waived]
    assert waived == described.get("waived", [])
    assert Plan.from_bytes(plan.to_bytes()).to_bytes() == plan.to_bytes()


@pytest.mark.parametrize("name", worlds.names("policy"))
def test_a_root_without_a_solution_says_what_of_the_policy_stands_in_the_way(name: str, tmp_path: Path) -> None:
    described = worlds.read("policy", name)
    plan, completion = planned(worlds.world(described, tmp_path))
    expected: Mapping[str, list[str]] = described.get("unsolved", {})
    assert sorted({one.root for one in plan.unsolved}) == sorted(expected)
    for one in plan.unsolved:
        for line in expected[one.root]:
            assert any(line in told for told in one.lines), (line, one.lines)
        assert not any(word in told for told in one.lines for word in described.get("never_told", []))
    for root, versions in described.get("solutions", {}).items():
        assert completion.solutions["one/0"][root] == versions


IN_THE_WAY = "what_stands_in_the_way"


def test_a_slow_machine_is_told_the_same_of_what_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Solver, "_agreeing", lambda *_: None)  # what needs no search is searched for
    at_once, _ = planned(worlds.world(worlds.read("policy", IN_THE_WAY), tmp_path / "one"))
    ticks = itertools.count(step=20)
    monkeypatch.setattr("mirror_tasks.resolve.search.time.monotonic", lambda: next(ticks))
    slowly, completion = planned(worlds.world(worlds.read("policy", IN_THE_WAY), tmp_path / "other"))
    assert slowly.unsolved == at_once.unsolved
    assert not completion.met_a_limit


@pytest.mark.parametrize("limits", [Limits(rounds=1), Limits(seconds=-1)])
def test_what_a_search_for_what_stands_in_the_way_did_not_find_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits
) -> None:
    monkeypatch.setattr("mirror_tasks.resolve.policy_conflicts._LIMITS", limits)
    monkeypatch.setattr(Solver, "_agreeing", lambda *_: None)  # what needs no search is searched for
    plan, completion = planned(worlds.world(worlds.read("policy", IN_THE_WAY), tmp_path))
    (unsolved,) = plan.unsolved
    assert "nobody knows if it is the policy: the search without it met its limit of" in unsolved.lines[-1]
    assert completion.met_a_limit  # the next run looks again


def test_where_a_search_for_less_met_its_limit_it_is_told_that_less_may_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = Solver.solve

    def met(solver: Solver, *given: Any) -> Solution | Conflict:
        permission = solver.rules.permission
        return Conflict((), limit="2000 rounds") if permission and permission._let_in else solve(solver, *given)

    monkeypatch.setattr(Solver, "solve", met)
    plan, completion = planned(worlds.world(worlds.read("policy", IN_THE_WAY), tmp_path))
    (unsolved,) = plan.unsolved
    assert unsolved.lines[-1] == "not all of them may be needed: a search met its limit of 2000 rounds"
    assert any("app-2" in line for line in unsolved.lines)
    assert completion.met_a_limit


@pytest.mark.parametrize("name", worlds.names("policy"))
def test_the_order_of_arrival_changes_nothing_under_a_policy(name: str, tmp_path: Path) -> None:
    described = worlds.read("policy", name)
    expected = make_plan(worlds.close(worlds.world(described, tmp_path))).to_bytes()
    for seed in range(5):
        assert make_plan(worlds.close(worlds.world(described, tmp_path), seed)).to_bytes() == expected


@pytest.mark.parametrize(
    ("uploaded", "age", "refused"),
    [
        ("2026-11-11T23:59:59Z", "14d", None),
        ("2026-11-12T00:00:00Z", "14d", "cooldown: 14d, and it was uploaded on 2026-11-12"),
        ("2026-11-12T01:30:00.123456789+02:00", "14d", None),  # in UTC it was the day before
        ("2026-11-24T12:00:01Z", "36h", "cooldown: 36h, and it was uploaded on 2026-11-24"),
        ("2026-11-01T23:59:59.999Z", "2026-11-01", None),
        ("2026-11-02T00:00:00Z", "2026-11-01", "cooldown: 2026-11-01, and it was uploaded on 2026-11-02"),
        (None, "14d", "cooldown: 14d, and its index does not say when it was uploaded"),
        ("yesterday", "14d", "cooldown: 14d, and its index gives an upload time that can't be read, 'yesterday'"),
        ("2026-13-01T00:00:00Z", "14d", "cooldown: 14d, and its index gives an upload time that can't be read"),
        ("9999-12-31T23:59:59-23:59", "14d", "cooldown: 14d, and its index gives an upload time that can't be read"),
    ],
)
def test_a_cooldown_goes_by_the_instant_of_the_upload(uploaded: str | None, age: str, refused: str | None) -> None:
    days = {"14d": 14 * 86400, "36h": 36 * 3600}
    meant = Age(days[age], None, age) if age in days else Age(None, datetime.date.fromisoformat(age), age)
    found = check_cooldown(uploaded, meant, worlds.DAY)
    assert found is None if refused is None else found is not None and found.startswith(refused)


def test_as_of_a_day_leaves_out_what_came_later_and_what_is_not_dated_stays() -> None:
    assert check_as_of("2026-11-26T23:00:00Z", worlds.DAY) is None
    assert check_as_of("2026-11-27T00:00:00Z", worlds.DAY) == "as-of: 2026-11-26, and it was uploaded on 2026-11-27"
    assert check_as_of(None, worlds.DAY) is None


@given(st.text(max_size=40))
def test_no_upload_time_ends_the_run(text: str) -> None:
    assert instant_of(text) is None or instant_of(text).tzinfo is not None  # type: ignore[union-attr]


NAMES = ("a", "b", "c")
LICENCES = ("MIT", "GPL-3.0-only", None)
DAYS = ("2020-01-01", "2026-11-20", None)


@st.composite
def indexes(draw: st.DrawFn) -> dict[str, Any]:
    """Small indexes of which some releases are young, some under other licences, some have holes."""
    index: dict[str, Any] = {}
    for name in NAMES:
        for version in draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True, min_size=1, max_size=3)):
            others = [other for other in NAMES if other != name]
            requires = draw(
                st.lists(st.tuples(st.sampled_from(others), st.sampled_from(["", "<3", ">=2"])), max_size=2)
            )
            index.setdefault(name, {})[version] = {
                "requires": [f"{other}{specifier}" for other, specifier in requires],
                "uploaded": draw(st.sampled_from(DAYS)),
                "licence": draw(st.sampled_from(LICENCES)),
                "yanked": draw(st.sampled_from([False, False, False, True])),
                "files": draw(st.sampled_from([["py3-none-any"], ["sdist"], ["py3-none-any", "sdist"]])),
            }
    return index


def policies() -> st.SearchStrategy[dict[str, Any]]:
    """Policies of some of the rules."""
    return st.fixed_dictionaries(
        {},
        optional={
            "cooldown": st.just("14d"),
            "exclude": st.lists(st.sampled_from(["a<2", "b", "c==3"]), min_size=1, unique=True),
            "licences": st.just({"allow": ["MIT"], "unknown": "refuse"}),
            "only": st.just(["a", "b>1", "c"]),
        },
    )


def refused(policy: Mapping[str, Any], name: str, version: str, release: Mapping[str, Any]) -> bool:
    """Judge a release anew, as simply as it can be said."""
    excluded = {"a<2": ("a", "1"), "c==3": ("c", "3")}
    uploaded = release["uploaded"]
    return (
        ("cooldown" in policy and uploaded != "2020-01-01")
        or any(one == name or excluded.get(one) == (name, version) for one in policy.get("exclude", ()))
        or ("licences" in policy and release["licence"] != "MIT")
        or ("only" in policy and (name, version) == ("b", "1"))
    )


@settings(max_examples=settings().max_examples // 3)  # each of them takes long
@given(
    index=indexes(), policy=policies(), roots=st.lists(st.sampled_from(["a", "b>=2", "c<3"]), min_size=1, unique=True)
)
def test_nothing_refused_is_planned_and_what_installs_from_the_rest_installs_from_the_mirror(
    index: dict[str, Any], policy: dict[str, Any], roots: list[str]
) -> None:
    described = {"environments": {"one": {"python": "3.12.1", "platform": "linux-x86_64"}}, "requirements": roots}
    rest = {
        name: {v: one for v, one in releases.items() if not refused(policy, name, v, one)}
        for name, releases in index.items()
    }
    with TemporaryDirectory() as folder:
        settings_ = {"policy": policy} if policy else {}
        one = worlds.world({**described, "index": index, "settings": settings_}, Path(folder))
        closure, completion = complete(one)
        filtered = worlds.world({**described, "index": rest}, Path(folder))
        without, _ = complete(filtered)
    plan = make_plan(closure, completion)
    assert all(release.version in rest[release.project] for release in plan.releases)
    environment = one.config.environments[0]
    for root in one.config.roots:
        found = [
            isinstance(Solver(environment.at(0), FromChosen(each), Rules()).solve(root), Solution)
            for each in (closure, without)
        ]
        assert found[0] == found[1], root.name
