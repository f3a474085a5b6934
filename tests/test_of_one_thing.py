"""What is made from the plan is looked at one by one only where the plan, or one of them alone, may have changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from doit.task import Task

from mirror_tasks.tasks import database
from mirror_tasks.tasks.parts import OfOneThing, Unchanged
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import assert_valid, assert_whole, mirror_folder, small_world, tree


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mapping[str, Any]]:
    """What doit remembers of tasks."""
    found: dict[str, Mapping[str, Any]] = {}
    monkeypatch.setattr(database, "kept_of", lambda name: found.get(name, {}))
    return found


def of(thing: str, kept: dict[str, Mapping[str, Any]], asked: list[str] | None = None) -> OfOneThing:
    """Return two tasks that are made from a thing; which of them is asked what it is made from is added to ``asked``."""

    def made_from(name: str) -> bytes:
        if asked is not None:
            asked.append(name)
        return f"{name} of {thing}".encode()

    members = {name: Unchanged(lambda name=name: made_from(name)) for name in ("one", "other")}  # type: ignore[misc]
    return OfOneThing("last", members, thing.encode, leaves_out=True)


def remember(made: OfOneThing, kept: dict[str, Mapping[str, Any]]) -> None:
    """Let all tasks be done, and be remembered."""
    last = made.remembered_by(Task("last", None))
    for name, unchanged in made._members.items():
        kept[name] = {"made_from": unchanged.digest, "stands": ""}
    last.save_extra_values()
    kept["last"] = last.values


def test_where_the_thing_is_what_it_was_none_is_asked_what_it_is_made_from(kept: dict[str, Mapping[str, Any]]) -> None:
    remember(of("plan", kept), kept)
    asked: list[str] = []
    again = of("plan", kept, asked)
    assert [again.holds_for(name, []) for name in ("one", "other")] == [True, True]
    last = again.remembered_by(Task("last", None))
    last.save_extra_values()
    assert last.values == kept["last"]
    assert not asked


def test_where_the_thing_is_another_each_is_asked(kept: dict[str, Mapping[str, Any]]) -> None:
    remember(of("plan", kept), kept)
    assert [of("another", kept).holds_for(name, []) for name in ("one", "other")] == [False, False]


def test_one_that_was_done_from_another_thing_since_is_not_taken_for_the_same(
    kept: dict[str, Mapping[str, Any]],
) -> None:
    remember(of("plan", kept), kept)
    kept["other"] = {"made_from": of("another", kept)._members["other"].digest, "stands": ""}
    assert [of("plan", kept).holds_for(name, []) for name in ("one", "other")] == [True, False]


def test_one_that_was_forgotten_is_not_taken_for_the_same(kept: dict[str, Mapping[str, Any]]) -> None:
    remember(of("plan", kept), kept)
    del kept["one"]
    assert [of("plan", kept).holds_for(name, []) for name in ("one", "other")] == [False, True]


def test_what_does_not_stand_is_due_though_the_thing_is_the_same(
    kept: dict[str, Mapping[str, Any]], tmp_path: Path
) -> None:
    remember(of("plan", kept), kept)
    assert not of("plan", kept).holds_for("one", [tmp_path / "gone"])
    kept["one"] = {**kept["one"], "stands": "as something else"}
    assert not of("plan", kept).holds_for("one", [])


def test_a_page_that_was_made_alone_from_another_plan_is_made_anew_when_the_plan_is_what_it_was(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path, index)
        project.mirrored()
        before = tree(project.output)
        name, content = wheel("alone", "4.0")
        index.add("alone", name, content)
        assert project.doit("index:alone").returncode == 0
        assert name in (project.output / "simple" / "alone" / "index.html").read_text()
        index.remove("alone", name)
        project.mirrored()
    (project.output / "packages" / "alone" / name).unlink()
    (project.output / "packages" / "alone" / f"{name}.metadata").unlink()
    assert tree(project.output) == before
    assert_valid(project.output)
    assert_whole(project.output)
