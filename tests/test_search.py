"""A search ends, with a solution, a proof, or the limit that it met; the rest of the mirror does not wait for it."""

from __future__ import annotations

import itertools
import random
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.config.model import RequestedRequirement, Root
from mirror_tasks.resolve import search
from mirror_tasks.resolve.completion import FromChosen
from mirror_tasks.resolve.needs import NotKnownYet
from mirror_tasks.resolve.search import Limits
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Conflict, Solution, Solver
from tests import worlds
from tests.fake_index import FakeIndex
from tests.interpreters import share
from tests.making import wheel
from tests.mirroring import DODO, IMPATIENT, mirror_folder, packages
from tests.test_completion import complete

HERE = {"one": {"python": "3.12.1", "platform": "linux-x86_64"}}


def seeded(projects: int, releases: int, seed: int) -> dict[str, Any]:
    """An index of projects whose releases each require three others, within random ranges."""
    chance = random.Random(seed)
    names = [f"p{number}" for number in range(projects)]

    def requires(name: str) -> list[str]:
        others = chance.sample([one for one in names if one != name], 3)
        lows = [chance.randint(1, releases) for _ in others]
        return [f"{other}>={low},<={chance.randint(low, releases)}" for other, low in zip(others, lows, strict=True)]

    return {name: {str(v): {"requires": requires(name)} for v in range(1, releases + 1)} for name in names}


def solver(index: dict[str, Any], folder: Path, limits: Limits) -> Solver:
    one = worlds.world({"environments": HERE, "requirements": ["p0"], "index": index}, folder)
    return Solver(one.config.environments[0], Known(one), Rules(), limits)


class Known:
    """The universe of a world in which everything is known."""

    def __init__(self, one: worlds.World) -> None:
        self.one = one
        self._projects: dict[str, Any] = {}

    def project(self, name: str) -> Any:
        if name not in self._projects:
            self._projects[name] = self.one.project(name)
        return self._projects[name]

    def metadata(self, name: str, file: Any) -> Any:
        return self.one.metadata(file.filename, name)


class Arriving(Known):
    """The same, where a page and core metadata have to be asked for first."""

    def __init__(self, one: worlds.World) -> None:
        super().__init__(one)
        self.arrived: set[str] = set()

    def project(self, name: str) -> Any:
        if name not in self.arrived:
            raise NotKnownYet({canonicalize_name(name): ()})
        return super().project(name)

    def metadata(self, name: str, file: Any) -> Any:
        if file.filename not in self.arrived:
            raise NotKnownYet({canonicalize_name(name): (file,)})
        return super().metadata(name, file)

    def solve(self, limits: Limits) -> tuple[Solution | Conflict, int]:
        """Return what is found, bringing what is wanted, and how often something was."""
        solver = Solver(self.one.config.environments[0], self, Rules(), limits)
        self.solver = weakref.ref(solver)
        for rounds in itertools.count():
            try:
                return solver.solve(ROOT), rounds
            except NotKnownYet as unknown:
                self.arrived.update(unknown.files)
                self.arrived.update(file.filename for files in unknown.files.values() for file in files)
        raise AssertionError


ROOT = Root(
    name="p0", key_path="", requirements=(RequestedRequirement(requirement=Requirement("p0"), where="mirror.yaml"),)
)


def with_extras(seed: int) -> dict[str, Any]:
    """A small index whose releases require others, with extras and in extras."""
    chance = random.Random(seed)
    names = "abcde"

    def requirement(name: str) -> str:
        other = chance.choice([one for one in names if one != name])
        extras = chance.choice(["", "", "[x]", "[y]", "[x,y]"])
        specifier = chance.choice(["", "", ">=2", "<2", "==3", "<3", "!=2"])
        return f"{other}{extras}{specifier}" + chance.choice(["", "", '; extra == "x"', '; extra == "y"'])

    def release(name: str) -> dict[str, Any]:
        own = [f'{name}[y]; extra == "x"'] if chance.random() < 0.2 else []
        return {"requires": own + [requirement(name) for _ in range(chance.randrange(4))], "extras": ["x", "y"]}

    index = {name: {v: release(name) for v in chance.sample("123", chance.randrange(4))} for name in names}
    return {name: releases for name, releases in index.items() if releases}


def installs(index: dict[str, Any], root: str, versions: dict[str, str]) -> bool:
    """Say if a root and all that it requires can be had with these versions."""
    todo, seen = [Requirement(root)], set()
    while todo:
        need = todo.pop()
        if need.name not in versions or not need.specifier.contains(versions[need.name]):
            return False
        for extra in ("", *need.extras):
            if (need.name, extra) not in seen:
                seen.add((need.name, extra))
                required = map(Requirement, index[need.name][versions[need.name]]["requires"])
                todo += [one for one in required if one.marker is None or one.marker.evaluate({"extra": extra})]
    return True


@pytest.mark.parametrize("seed", range(80))
def test_a_root_with_extras_has_a_solution_exactly_when_there_is_one(seed: int, tmp_path: Path) -> None:
    index = with_extras(seed)
    roots = ["a[x]", "b[x,y]<3", "c[y]"]
    one = worlds.world({"environments": HERE, "requirements": roots, "index": index}, tmp_path)
    closure, _ = complete(one)
    mirror = Solver(one.config.environments[0].at(0), FromChosen(closure), Rules())
    for root in one.config.roots:
        among = (dict(zip(index, versions, strict=True)) for versions in itertools.product(*index.values()))
        assert isinstance(mirror.solve(root), Solution) == any(installs(index, root.name, one) for one in among), (
            root.name
        )


@pytest.mark.parametrize("seed", share([4, 1, 5]))
def test_what_a_long_search_finds_holds_together(seed: int, tmp_path: Path) -> None:
    index = seeded(10, 40, seed)
    found = solver(index, tmp_path, Limits()).solve(ROOT)
    assert isinstance(found, Solution)
    for name, (version, _) in found.pins.items():
        for line in index[name][version]["requires"]:
            required = Requirement(line)
            assert required.specifier.contains(found.pins[required.name][0])


@pytest.mark.parametrize("limits", [Limits(), Limits(rounds=200), Limits(rounds=201)])
@pytest.mark.parametrize(("size", "seed"), [((8, 20), 3), ((10, 30), 7)])
def test_a_search_ends_alike_whether_all_is_known_or_arrives_bit_by_bit(
    size: tuple[int, int], seed: int, limits: Limits, tmp_path: Path
) -> None:
    index = seeded(*size, seed)
    expected = solver(index, tmp_path, limits).solve(ROOT)
    one = worlds.world({"environments": HERE, "requirements": ["p0"], "index": index}, tmp_path)
    assert Arriving(one).solve(limits)[0] == expected


def test_a_search_that_waited_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    step = vars(search)["unit_propagation"]

    def counted(*given: object) -> object:
        steps.append(given)
        return step(*given)

    monkeypatch.setitem(vars(search), "unit_propagation", counted)
    index = seeded(8, 20, 3)
    solver(index, tmp_path, Limits()).solve(ROOT)
    known = len(steps)
    steps.clear()
    one = worlds.world({"environments": HERE, "requirements": ["p0"], "index": index}, tmp_path)
    _, rounds = Arriving(one).solve(Limits())
    assert rounds > 10
    assert len(steps) == known


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(rounds=30), "30 rounds"),
        (Limits(cells=30), "30 words of memory"),
        (Limits(seconds=0), "0 seconds"),
    ],
)
def test_a_search_that_takes_more_than_it_may_says_which_limit_it_met(
    limits: Limits, said: str, tmp_path: Path
) -> None:
    found = solver(seeded(10, 40, 1), tmp_path, limits).solve(ROOT)
    assert isinstance(found, Conflict)
    assert said in found.limit
    assert said in found.lines[0]
    assert re.search(r"at best \d+ projects", found.lines[-1])


def test_the_same_world_has_the_same_solution_whatever_was_solved_before(tmp_path: Path) -> None:
    index = seeded(10, 30, 7)
    first = solver(index, tmp_path, Limits())
    expected = first.solve(ROOT)
    assert isinstance(expected, Solution)
    other = solver(index, tmp_path, Limits())
    for name in ("p5", "p3"):
        other.solve(
            Root(name=name, key_path="", requirements=(RequestedRequirement(requirement=Requirement(name), where=""),))
        )
    assert other.solve(ROOT) == expected
    _, completion = complete(worlds.world({"environments": HERE, "requirements": ["p0"], "index": index}, tmp_path))
    assert not completion.unsolved


def test_what_a_solver_remembers_is_let_go_with_it(tmp_path: Path) -> None:
    """Garbage is looked for rarely: what refers to itself stays to the end of a run."""
    one = solver(seeded(6, 12, 3), tmp_path, Limits())
    one.solve(ROOT)
    kept = weakref.ref(one)
    del one
    assert kept() is None
    world = worlds.world({"environments": HERE, "requirements": ["p0"], "index": seeded(6, 12, 3)}, tmp_path)
    waiting = Arriving(world)
    waiting.solve(Limits())
    assert waiting.solver() is None


def world_of(index: dict[str, Any]) -> dict[str, list[tuple[str, bytes]]]:
    return {
        name: [wheel(name, version, requires=release.get("requires", ())) for version, release in releases.items()]
        for name, releases in index.items()
    }


def test_a_circle_of_ranges_is_solved_and_what_is_beside_it_is_mirrored(tmp_path: Path) -> None:
    described = worlds.read("solver", "ranges_in_a_circle")
    with FakeIndex(world_of(described["index"])) as index:
        project = mirror_folder(tmp_path, index, environments=HERE, requirements=["good", "p1"])
        project.mirrored()
    there = packages(project.output)
    assert there["good"] == ["good-1-py3-none-any.whl"]
    assert "p1-1-py3-none-any.whl" in there["p1"]


def test_a_search_without_end_keeps_nothing_else_out_of_the_mirror(tmp_path: Path) -> None:
    dodo = (
        "from mirror_tasks.resolve import search, solver\n\nsolver.LIMITS = search.Limits(rounds=20)\n"
        + IMPATIENT
        + DODO
    )
    with FakeIndex(world_of({"good": {"1": {}}, **seeded(6, 12, 3)})) as index:
        project = mirror_folder(tmp_path, index, dodo, environments=HERE, requirements=["good", "p0"])
        done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert packages(project.output)["good"] == ["good-1-py3-none-any.whl"]
    assert "limit of 20 rounds" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_pinned_file_brings_nothing_that_no_installation_of_it_can_have(tmp_path: Path) -> None:
    world = {
        "pandas": [wheel("pandas", "2.2.3", requires=["numpy>=1.26"])],
        "numpy": [wheel("numpy", version) for version in ("2.2.6", "2.4.6")],
    }
    with FakeIndex(world) as index:
        project = mirror_folder(tmp_path, index, environments=HERE, requirements=[{"file": "pinned.txt"}])
        (tmp_path / "pinned.txt").write_text("pandas==2.2.3\nnumpy==2.2.6\n", "utf-8")
        project.mirrored()
    assert packages(project.output)["numpy"] == ["numpy-2.2.6-py3-none-any.whl"]
    done = project.doit("prove")
    assert done.returncode == 0, done.stdout + done.stderr
