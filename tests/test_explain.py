"""Every question on a plan has an answer that names the environment, the requirement and the rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mirror_tasks.errors import ResolutionError
from mirror_tasks.report.explain import Explainer
from mirror_tasks.resolve.outcome import Asker, Completed
from mirror_tasks.resolve.planning import make_plan
from tests import worlds
from tests.test_completion import complete

WORLD = {
    "environments": {
        "linux": {"python": "3.12.1", "platform": "linux-x86_64"},
        "windows": {"python": "3.10.1", "platform": "windows-amd64"},
    },
    "requirements": ["app", "litellm", "tool[x]", "old", "missing", {"file": "held.txt"}],
    "texts": {"held.txt": "client\nserver<2\nmodern\n"},
    "index": {
        "app": {"2": {"requires": ["lib>=1"], "files": ["py3-none-any", "cp39-cp39-win32", "sdist"]}, "1": {}},
        "lib": {"3": {"requires_python": ">=3.11"}, "2": {}, "1": {"yanked": "broken"}},
        "litellm": {"2": {"requires": ["lib>9"]}, "1": {}},
        "tool": {"1": {"extras": ["x"], "requires": ["app; extra == 'x'"]}},
        "unneeded": {"1": {}},
        "client": {"1": {"requires": ["server>=0.5"]}},
        "server": {"2": {}, "1": {}},
        "modern": {"2": {"requires": ["server>=2"]}, "1": {}},
        "old": {"1": {"requires_python": ">=3.6.*"}},
    },
}


@pytest.fixture
def explainer(tmp_path: Path) -> Explainer:
    one = worlds.world(WORLD, tmp_path)
    closure, completion = complete(one)

    def page(name: str) -> worlds.Project | None:
        found = one.project(name)
        return found if isinstance(found, worlds.Project) else None

    return Explainer(one.config, closure.refusals, make_plan(closure, completion), page)


QUESTIONS = {
    "lib": [
        "lib-2 is in the mirror",
        "windows: an installer takes lib-2-py3-none-any.whl",
        "mirror.yaml: app → app-2 requires lib>=1",
    ],
    "lib-1": [
        "lib-1 is not in the mirror; 2, 3 is.",
        "yanked: broken",
        "the newest that can: 3",
        "the newest that can: 2",
    ],
    "lib==3": ["lib-3 is in the mirror", "linux: an installer takes"],
    "app-1": ["app (app) is met by 2, the newest that fits", "- app==1"],
    "lib-7": ["The index has no file of it; nearest: 3."],
    "litellm-1": ["to complete it (lacking: lib>9 required by litellm-2)"],
    "server": ["held.txt → client-1 requires server>=0.5, held to <2 by mirror.yaml"],
    "modern": [
        "modern-1 is in",
        "modern 2: modern-2-py3-none-any.whl: it requires server>=2, and mirror.yaml holds server to <2",
    ],
    "server-2": ["server>=0.5 (client-1, held to <2 by mirror.yaml) is met by 1"],
    "unneeded": ["nothing that mirror.yaml requires needs it", "The index has it, newest 1", "- unneeded"],
    "old": ["warning: old-1-py3-none-any.whl and 1 more: Requires-Python '>=3.6.*' is no valid specifier"],
    "nowhere": ["nowhere is not in the mirror"],
    "litelm": ["nothing that mirror.yaml requires needs it on any environment; did you mean 'litellm'?"],
    "missing": ["missing was asked for on linux by missing, but the index has no project of this name"],
    "held.txt": ["held.txt is a requirement of mirror.yaml, which brings 3 releases: client-1, modern-1, server-1"],
    "tool[x]": ["tool[x] is a requirement of mirror.yaml, which brings 4 releases: app-2, lib-2, lib-3, tool-1"],
    "app-2-cp39-cp39-win32.whl": ["was left out of app-2: no tag in common", "add an environment"],
    "app-2-py3-none-any.whl": ["is in the mirror, for linux, windows"],
    "lib-1-py3-none-any.whl": ["is not in the mirror", "lib-1 is not in the mirror"],
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered(explainer: Explainer, question: str) -> None:
    answer = "\n".join(explainer.explain(question))
    for phrase in QUESTIONS[question]:
        assert phrase in answer


def test_of_several_completions_of_a_requirement_that_is_told_which_brought_the_release(explainer: Explainer) -> None:
    completed = explainer.plan.completed
    other = Completed("linux", "litellm", "something else", ("lib-3",))
    told = replace(explainer, plan=replace(explainer.plan, completed=(other, *completed)))
    assert list(told.explain("litellm-1")) == list(explainer.explain("litellm-1"))


def test_who_needs_a_release_by_chains_that_are_not_told_is_named(tmp_path: Path) -> None:
    many = [f"near{number}" for number in range(6)]
    described = {
        "environments": {"linux": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": ["wide", "far", {"file": "twice.txt"}],
        "texts": {"twice.txt": "twice\ntwice[x]\n"},
        "index": {
            "wide": {"1": {"requires": many}},
            **{name: {"1": {"requires": ["lib"]}} for name in many},
            "far": {"1": {"requires": ["farther"]}},
            "farther": {"1": {"requires": ["wide"]}},
            "twice": {"1": {"extras": ["x"]}},
            "lib": {"1": {}},
        },
    }
    one = worlds.world(described, tmp_path)
    closure, completion = complete(one)
    explainer = Explainer(one.config, closure.refusals, make_plan(closure, completion), lambda _name: None)
    *chains, more = [line.strip() for line in explainer.explain("lib")][2:]
    assert [chain.split(" → ")[0] for chain in chains] == ["because mirror.yaml: wide"] * 5
    assert more == "and 1 more requirement of mirror.yaml, by further chains: far"
    assert [line.strip() for line in explainer.explain("twice")][2:] == ["because mirror.yaml: twice.txt"]


def test_what_a_lock_names_is_not_told_as_the_newest_that_fits(explainer: Explainer) -> None:
    lock = Asker("lock", "app/uv.lock")
    releases = [
        replace(one, required=tuple(replace(each, requirement="app==2", by=lock) for each in one.required))
        for one in explainer.plan.releases
        if one.project == "app"
    ]
    told = "\n".join(replace(explainer, plan=replace(explainer.plan, releases=tuple(releases))).explain("app-1"))
    assert "app==2 is what app/uv.lock names, and a lock is carried to the letter" in told
    assert "newest" not in told


def test_a_release_to_which_billions_of_chains_lead_is_explained_by_the_shortest(tmp_path: Path) -> None:
    """Through twelve layers of eight releases, each of which requires all of the next one."""
    layers = [[f"p{layer}-{number}" for number in range(8)] for layer in range(12)]
    index = {
        name: {"1": {"requires": following}}
        for layer, following in zip(layers, [*layers[1:], ["end"]], strict=True)
        for name in layer
    }
    described = {
        "environments": {"linux": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": ["p0-0", "far"],
        "index": {**index, "far": {"1": {"requires": ["p3-0"]}}, "end": {"1": {}}},
    }
    one = worlds.world(described, tmp_path)
    closure, completion = complete(one)
    explainer = Explainer(one.config, closure.refusals, make_plan(closure, completion), lambda _name: None)
    first, *others = [line for line in explainer.explain("end") if "because" in line]
    assert first.startswith("      because mirror.yaml: far → far-1 requires p3-0 → p3-0-1 requires p4-")
    assert len(others) == 4


@pytest.mark.parametrize("name", ["app/uv.lock", "app<2", "a b", "-app", ""])
def test_what_is_no_name_is_refused_and_no_line_is_told_for_it(explainer: Explainer, name: str) -> None:
    with pytest.raises(ResolutionError, match="expected a project, a release, a file or a requirement of"):
        list(explainer.explain(name))


def test_the_cost_of_a_root_counts_what_only_it_brings(explainer: Explainer) -> None:
    costs = {root: (total, alone) for root, total, alone in explainer.sizes()}
    assert costs["tool[x]"][0] > costs["tool[x]"][1] == 2000  # its own wheel and sdist; app and lib are app's too
    assert costs["litellm"] == (4000, 4000)


def test_releases_that_were_passed_over_for_the_same_are_told_in_one_line(tmp_path: Path) -> None:
    """Each had a line of its own, 22 of numpy, since the names of their files are not the same."""
    newer = {"files": ["cp39-abi3-manylinux_2_17_x86_64", "cp39-abi3-win_amd64"], "requires_python": ">=3.13"}
    described = {
        "environments": WORLD["environments"],
        "requirements": ["many"],
        "index": {"many": {"1": {}, "2.9": {"requires_python": ">=3.11"}, "2.10": newer, "2.11": newer, "10": newer}},
    }
    one = worlds.world(described, tmp_path)
    closure, completion = complete(one)
    explainer = Explainer(one.config, closure.refusals, make_plan(closure, completion), lambda _name: None)
    passed = [line for line in explainer.explain("many") if line.startswith("  left out of")]
    first = "many-10-cp39-abi3-manylinux_2_17_x86_64.whl and 1 more: Requires-Python >=3.13 leaves out"
    assert passed == [
        f"  left out of windows: many 10 to 2.10 (3 releases): {first} 3.10.1",
        f"  left out of linux: many 10 to 2.10 (3 releases): {first} 3.12.1",
        "  left out of windows: many 2.9: many-2.9-py3-none-any.whl and 1 more: Requires-Python >=3.11 leaves out 3.10.1",
    ]


def test_every_release_of_every_world_can_be_explained(tmp_path: Path) -> None:
    for name in worlds.names("closure"):
        one = worlds.world(worlds.read("closure", name), tmp_path)
        closure, completion = complete(one)
        plan = make_plan(closure, completion)
        asked = Explainer(one.config, closure.refusals, plan, lambda _: None)
        for release in plan.releases:
            assert f"{release.name} is in the mirror" in "\n".join(
                asked.explain(f"{release.project}=={release.version}")
            )


def test_a_file_that_is_called_like_a_release_is_not_taken_for_it(tmp_path: Path) -> None:
    described = {
        "environments": {"linux": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": ["flask", {"file": "flask-3.0"}],
        "texts": {"flask-3.0": "alone\n"},
        "index": {"flask": {"3.0": {"requires": ["lib"]}}, "lib": {"1": {}}, "alone": {"1": {}}},
    }
    one = worlds.world(described, tmp_path)
    closure, completion = complete(one)
    explainer = Explainer(one.config, closure.refusals, make_plan(closure, completion), lambda _name: None)
    assert [line.strip() for line in explainer.explain("lib")][2:] == [
        "because mirror.yaml: flask → flask-3.0 requires lib"
    ]
    assert [line.strip() for line in explainer.explain("alone")][2:] == ["because mirror.yaml: flask-3.0"]
    assert explainer.sizes() == [("flask", 4000, 4000), ("flask-3.0", 2000, 2000)]
