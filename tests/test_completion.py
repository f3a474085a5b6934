"""What a resolver can install from the index, it can install from what the plan has; what it can't is told by name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.completion import Completion, FromChosen
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.resolve.search import Search
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Solution, Solver
from tests import worlds


def complete(one: worlds.World, known: Mapping[str, Any] | None = None) -> tuple[Closure, Completion]:
    closure = worlds.close(one)
    completion = Completion(closure, one.config.roots, one.rules, known or {})
    for _ in range(1000):
        wants = completion.step()
        if not wants:
            return closure, completion
        worlds.follow(one, closure, wants)
    raise AssertionError("the completion does not end")


@pytest.mark.parametrize("name", worlds.names("solver"))
def test_a_world_is_completed_as_described(name: str, tmp_path: Path) -> None:
    described = worlds.read("solver", name)
    closure, completion = complete(worlds.world(described, tmp_path))
    expected = {f"{environment}/0": roots for environment, roots in described["expect"].items() if roots}
    if "ends" in described:
        expected |= described["ends"]
    assert completion.solutions == expected
    found = [[one.environment, one.root, list(one.lines)] for one in completion.unsolved]
    assert found == described.get("unsolved", [])
    adds: dict[str, dict[str, list[str]]] = {}
    for one in completion.completed:
        adds.setdefault(one.environment, {})[one.root] = list(one.releases)
    expected_adds = described.get("adds", {})
    for environment, roots in adds.items():
        for root, releases in roots.items():
            assert set(releases) <= set(expected_adds[environment][root])
    assert {key: set(roots) for key, roots in adds.items()} == {key: set(roots) for key, roots in expected_adds.items()}
    plan = make_plan(closure, completion)
    assert Plan.from_bytes(plan.to_bytes()).to_bytes() == plan.to_bytes()


def test_a_solution_that_is_the_same_on_each_patch_release_is_held_once(tmp_path: Path) -> None:
    described = {
        "environments": {"here": {"python": "3.12", "platform": "linux-x86_64"}},
        "requirements": ["app", "plain"],
        "index": {
            "app": {"1": {"requires": ["early; python_full_version < '3.12.4'"]}},
            "plain": {"1": {}},
            "early": {"1": {}},
        },
    }
    _, completion = complete(worlds.world(described, tmp_path))
    early, late = (completion.solutions[f"here/{patch}"] for patch in (0, 4))
    assert early["plain"] == {"plain": "1"}
    assert early["plain"] is late["plain"]
    assert (early["app"], late["app"]) == ({"app": "1", "early": "1"}, {"app": "1"})


@pytest.mark.parametrize("name", worlds.names("solver"))
def test_a_solution_of_the_last_run_is_found_again(name: str, tmp_path: Path) -> None:
    one = worlds.world(worlds.read("solver", name), tmp_path)
    _, first = complete(one)
    _, second = complete(one, first.solutions)
    assert second.solutions == first.solutions
    assert second.unsolved == first.unsolved


def test_a_solution_that_no_longer_holds_is_not_believed(tmp_path: Path) -> None:
    one = worlds.world(worlds.read("solver", "steps_back"), tmp_path)
    wrong = {"one/0": {"litellm": {"litellm": "3", "certifi": "2026.1"}}}
    _, completion = complete(one, wrong)
    assert completion.solutions["one/0"]["litellm"]["litellm"] == "2"


@pytest.mark.parametrize("versions", [["1", "2"], ["1", "2", "3"]])
def test_what_solves_a_root_is_tried_at_the_other_points_of_its_range_before_a_search(
    versions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the closure has a solution, and where it has to be completed."""
    index: dict[str, dict[str, Any]] = {
        "a": {"1": {"requires": ["b", "c", "d"]}},
        "b": {"1": {}, "2": {"requires": ["c<2"]}, "3": {"requires": ["c<0"]}},
        "c": {"1": {}, "2": {}},
        "d": {"1": {}, "2": {"requires_python": ">=3.12.3"}},
    }
    index["b"] = {version: index["b"][version] for version in versions}
    searches: list[str] = []
    go_on = Search.go_on

    def counted(search: Search) -> Any:
        found = go_on(search)
        searches.append(type(found).__name__)
        return found

    monkeypatch.setattr(Search, "go_on", counted)
    environments = {"one": {"python": "3.12", "platform": "linux-x86_64"}}
    _, completion = complete(
        worlds.world({"environments": environments, "requirements": ["a"], "index": index}, tmp_path)
    )
    assert set(completion.solutions) == {"one/0", "one/3"}
    assert searches.count("dict") == 1


NAMES = ("a", "b", "c", "d")
SPECIFIERS = ("", "==1", "==2", ">=2", "<2", "!=1", ">=3", "<3,>1")


WINDOWS = '; sys_platform == "win32"'


@st.composite
def indexes(draw: st.DrawFn) -> dict[str, Any]:
    """Small indexes: some releases miss, some require others, some fit one environment only, some are yanked."""
    index: dict[str, Any] = {}
    for name in NAMES:
        releases = {}
        for version in draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True, max_size=3)):
            requires = draw(
                st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SPECIFIERS), st.booleans()), max_size=3)
            )
            releases[version] = {
                "requires": [
                    f"{other}{spec}{WINDOWS if marked else ''}" for other, spec, marked in requires if other != name
                ],
                "files": draw(
                    st.sampled_from([["py3-none-any"], ["sdist"], ["cp312-cp312-win_amd64"], ["py3-none-any", "sdist"]])
                ),
                "yanked": draw(st.sampled_from([False, False, False, True])),
                "requires_python": draw(st.sampled_from([None, None, ">=3.12"])),
            }
        if releases:
            index[name] = releases
    return index


ENVIRONMENTS = {
    "linux": {"python": "3.11.1", "platform": "linux-x86_64"},
    "windows": {"python": "3.12.1", "platform": "windows-amd64"},
}


@settings(max_examples=settings().max_examples // 3)  # each of them takes long
@given(index=indexes(), roots=st.lists(st.sampled_from(["a", "b>=2", "c<3", "d"]), min_size=1, unique=True))
def test_a_root_installs_from_the_mirror_exactly_when_it_does_from_the_index(
    index: dict[str, Any], roots: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        one = worlds.world({"environments": ENVIRONMENTS, "requirements": roots, "index": index}, Path(folder))
        closure, _ = complete(one)
    mirror = FromChosen(closure)
    for environment in one.config.environments:
        solver = Solver(environment.at(0), mirror, Rules())
        for root in one.config.roots:
            requirement = root.requirements[0].requirement
            solved = isinstance(solver.solve(root), Solution)
            surely = _by_exhaustion(index, requirement, environment, pins_from_afar=False)
            possibly = _by_exhaustion(index, requirement, environment, pins_from_afar=True)
            assert surely <= solved <= possibly, (root.name, environment.name)


def _by_exhaustion(index: dict[str, Any], root: Any, environment: Any, *, pins_from_afar: bool) -> bool:
    """Try every choice of versions; written for being plainly right, sharing nothing with the solver.

    :param pins_from_afar: whether what the root reaches may pin a yanked release; an installer may meet it too late.
    """
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    is_windows = environment.name == "windows"

    def usable(release: dict[str, Any]) -> bool:
        fits = any(kind in ("py3-none-any", "sdist") or is_windows for kind in release["files"])
        return fits and (release["requires_python"] is None or is_windows)

    options = [[None, *index.get(name, {})] for name in NAMES]
    for versions in itertools.product(*options):
        chosen = {name: version for name, version in zip(NAMES, versions, strict=True) if version is not None}
        needed = {
            name: [Requirement(line) for line in index[name][version]["requires"] if is_windows or "win32" not in line]
            for name, version in chosen.items()
        }
        needs = [root, *itertools.chain.from_iterable(needed.values())]
        if not all(usable(index[name][version]) for name, version in chosen.items()):
            continue
        if not all(need.name in chosen and need.specifier.contains(chosen[need.name]) for need in needs):
            continue
        if _reached(root.name, chosen, needed) != set(chosen):
            continue  # has releases that nothing below the root asks for: the choice without them is tried as well
        yanked = [name for name, version in chosen.items() if index[name][version]["yanked"]]
        pins = needs if pins_from_afar else [root]
        if all(_pinned(SpecifierSet(",".join(str(n.specifier) for n in pins if n.name == name))) for name in yanked):
            return True
    return False


def _reached(root: str, chosen: dict[str, str], needed: dict[str, list[Any]]) -> set[str]:
    """Return the projects that a root reaches: two that ask for each other alone are not among them."""
    found: set[str] = set()
    todo = [root]
    while todo:
        name = todo.pop()
        if name in chosen and name not in found:
            found.add(name)
            todo += [need.name for need in needed[name]]
    return found


def _pinned(specifier: Any) -> bool:
    return any(part.operator == "==" for part in specifier)


def test_what_two_roots_need_is_noted_of_the_first_one_however_long_its_search_waits(tmp_path: Path) -> None:
    steps_back = {str(version): {"requires": ["d>=2"]} for version in range(2, 20)}
    described = {
        "environments": {"one": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": ["slow", "quick"],
        "index": {
            "slow": {"1": {"requires": ["c", "d<2", "e"]}},
            "quick": {"1": {"requires": ["c", "d<2"]}},
            "c": {"1": {}, "2": {"requires": ["d>=2"]}},
            "d": {"1": {}, "2": {}},
            "e": {"1": {}, **steps_back},
        },
    }
    _, completion = complete(worlds.world(described, tmp_path))
    assert [(one.root, one.releases) for one in completion.completed] == [("slow", ("c-1", "e-1"))]
