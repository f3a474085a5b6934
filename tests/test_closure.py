"""The closure chooses for each environment what its own installer would, whatever the order in which things arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.resolve.selection import Rules
from tests import worlds


@pytest.mark.parametrize("name", worlds.names("closure"))
def test_a_world_closes_as_described(name: str, tmp_path: Path) -> None:
    described = worlds.read("closure", name)
    closure = worlds.close(worlds.world(described, tmp_path))
    assert worlds.chosen(closure) == described["expect"]
    assert sorted(f"{project}[{extra}]" for project, extra in closure.unknown_extras) == described.get(
        "unknown_extras", []
    )
    gaps = make_plan(closure).gaps
    assert [[gap.environment, gap.requirement] for gap in gaps] == [gap[:2] for gap in described.get("gaps", [])]
    for gap, (_, _, reason) in zip(gaps, described.get("gaps", []), strict=True):
        assert reason in gap.reason


@pytest.mark.parametrize("name", worlds.names("closure"))
def test_the_plan_names_the_files_and_what_was_left_out(name: str, tmp_path: Path) -> None:
    described = worlds.read("closure", name)
    plan = make_plan(worlds.close(worlds.world(described, tmp_path)))
    if "files" in described:
        assert {file.filename: list(file.environments) for file in plan.files} == described["files"]
    left_out = {filename: reason for release in plan.releases for filename, reason in release.left_out.items()}
    for filename, reason in described.get("left_out", {}).items():
        assert reason in left_out[filename]
    warnings = {filename: text for release in plan.releases for filename, text in release.warnings.items()}
    assert set(described.get("warnings", {})) <= set(warnings)
    for filename, text in warnings.items():
        assert described["warnings"][filename] in text


@pytest.mark.parametrize("name", worlds.names("closure"))
def test_the_order_of_arrival_changes_nothing(name: str, tmp_path: Path) -> None:
    described = worlds.read("closure", name)
    expected = make_plan(worlds.close(worlds.world(described, tmp_path))).to_bytes()
    for seed in range(5):
        assert make_plan(worlds.close(worlds.world(described, tmp_path), seed)).to_bytes() == expected


@pytest.mark.parametrize("name", worlds.names("closure"))
def test_a_plan_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    plan = make_plan(worlds.close(worlds.world(worlds.read("closure", name), tmp_path)))
    assert Plan.from_bytes(plan.to_bytes()).to_bytes() == plan.to_bytes()


@pytest.mark.parametrize("name", worlds.names("closure"))
def test_every_release_of_a_plan_leads_back_to_a_root(name: str, tmp_path: Path) -> None:
    one = worlds.world(worlds.read("closure", name), tmp_path)
    plan = make_plan(worlds.close(one))
    rooted = {Asker("root", root.name) for root in one.config.roots}
    grown = True
    while grown:
        more = {
            said
            for release in plan.releases
            if any(required.by in rooted for required in release.required)
            for said in (Asker(kind, release.project, release.version) for kind in ("release", "build"))
        }
        grown = not more <= rooted
        rooted |= more
    assert {Asker("release", release.project, release.version) for release in plan.releases} <= rooted


def test_nothing_is_wanted_twice(tmp_path: Path) -> None:
    one = worlds.world(worlds.read("closure", "cycles"), tmp_path)
    closure = worlds.Closure(one.config.environments, one.config.roots, Rules.of(one.config))
    wanted: list[str] = []
    todo = [closure.start()]
    while todo:
        wants = todo.pop()
        wanted += [*wants.projects, *(file.filename for _, file in wants.files)]
        todo += [closure.project_arrived(name, one.project(name)) for name in wants.projects]
        todo += [
            closure.metadata_arrived(name, file.filename, one.metadata(file.filename, name))
            for name, file in wants.files
        ]
    assert len(wanted) == len(set(wanted))


def test_a_gap_names_all_who_have_it_whatever_binds_each_of_them(tmp_path: Path) -> None:
    described = {
        "environments": {"one": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": [{"file": "first.txt"}, {"file": "second.txt"}],
        "texts": {"first.txt": "gone\napp<2\n", "second.txt": "gone\napp<3\n"},
        "index": {"app": {"1": {}}},
    }
    (gap,) = make_plan(worlds.close(worlds.world(described, tmp_path))).gaps
    assert [asker.name for asker in gap.by] == ["first.txt", "second.txt"]


def test_whoever_waits_for_metadata_goes_on_when_it_arrives_though_it_was_told_before(tmp_path: Path) -> None:
    described = {
        "environments": {"one": {"python": "3.12.1", "platform": "linux-x86_64"}},
        "requirements": ["app"],
        "index": {"app": {"1": {"files": ["py3-none-any"], "requires": ["dep"]}}, "dep": {"1": {}}},
    }
    one = worlds.world(described, tmp_path)
    closure = worlds.Closure(one.config.environments, one.config.roots, one.rules)
    closure.start()
    ((name, file),) = closure.project_arrived(canonicalize_name("app"), one.project("app")).files
    said = one.metadata(file.filename, "app")
    assert isinstance(said, CoreMetadata)
    closure.told(name, file.filename, said)
    assert closure.metadata_arrived(name, file.filename, said).projects == ("dep",)


def test_what_was_read_though_no_choice_hangs_on_it_leaves_no_file_out(tmp_path: Path) -> None:
    """A solver may read it or not: that hangs on what arrived when."""
    described = {
        "environments": {"one": {"python": "3.12.1", "platform": "windows-amd64"}},
        "requirements": ["app"],
        "index": {
            "app": {
                "1": {
                    "files": ["cp312-cp312-win_amd64", "py3-none-any"],
                    "py3-none-any": {"unusable": "its METADATA is odd"},
                }
            }
        },
    }
    one = worlds.world(described, tmp_path)
    closure = worlds.close(one)
    expected = make_plan(closure).to_bytes()
    project = closure.projects["app"]
    assert isinstance(project, Project)
    worlds.follow(one, closure, closure.want(canonicalize_name("app"), project.all_files()))
    assert len(closure.metadata) == 2
    assert make_plan(closure).to_bytes() == expected
