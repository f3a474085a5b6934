"""What a mirror is made of is told as it is: files, who requires whom, who asked; what nobody knows is told as such."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.config.model import Index, Root
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import File, Project, Row
from mirror_tasks.policy.advisories import Match
from mirror_tasks.report.components import Component, components
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import KeptFile, Plan, PlannedFile, PlannedRelease, Required
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.places import further_record
from tests import worlds
from tests.components_world import BOTH, INDEX, LINUX, keep_page, keep_records, planned
from tests.making import sdist, wheel
from tests.test_locked import lock_root, locked

HOLE = Match("GHSA-xxxx", ("CVE-2026-1",), "high", "CVSS 3.1: 7.5", False, "a hole", ("2",))


class Known:
    """Advisories of two projects; nobody knows of the others."""

    shown = digest = newest = ""
    records = 2

    def of_release(self, name: NormalizedName, version: Version) -> tuple[Match, ...] | None:
        found: dict[str, tuple[Match, ...]] = {"app": (HOLE,), "lib": ()}
        return found.get(name)


def of(described: Mapping[str, Any], folder: Path) -> dict[str, Component]:
    mirror, plan = planned(described, folder)
    return by_name(components(mirror, plan, None))


def by_name(found: Sequence[Component]) -> dict[str, Component]:
    return {one.name: one for one in found}


def linux(edges: Mapping[str, tuple[tuple[str, str], ...]]) -> list[str]:
    return ["-".join(key) for key in edges.get("linux", ())]


# What there is


def test_each_release_is_there_with_its_files_once_and_sorted_the_oldest_version_first(tmp_path: Path) -> None:
    world = {"requirements": ["lib==10", "lib==9", "app"], "index": {"lib": {"9": {}, "10": {}}, "app": {"1": {}}}}
    mirror, plan = planned({**world, "environments": BOTH}, tmp_path)
    found = components(mirror, plan, None)
    assert [one.name for one in found] == ["app-1", "lib-9", "lib-10"]
    assert [one.filename for one in found[0].files] == ["app-1-py3-none-any.whl", "app-1.tar.gz"]
    assert (found[0].environments, found[0].size) == (("linux", "windows"), 2000)
    assert found == components(mirror, plan, None)


def test_a_file_that_is_kept_is_there_and_said_to_be_kept(tmp_path: Path) -> None:
    mirror, plan = planned({"requirements": ["app"], "index": {"app": {"2": {}}}}, tmp_path)
    old = PlannedFile(_file("app-1-py3-none-any.whl", "0" * 64), "app", "1", ("linux",))
    plan = replace(plan, kept=(KeptFile(old, "2026-11-01", until="2027-01-30"),))
    kept, app = components(mirror, plan, None)
    assert kept.kept == {"app-1-py3-none-any.whl": "left the plan on 2026-11-01; kept for locks until 2027-01-30"}
    assert (kept.environments, kept.asked_by, kept.files, app.kept) == ((), (), (old,), {})


def test_advisories_that_meet_a_release_are_with_it_and_what_nobody_knows_is_not_called_clean(tmp_path: Path) -> None:
    index: Mapping[str, Any] = {"app": {"1": {}}, "lib": {"1": {}}, "other": {"1": {}}}
    mirror, plan = planned({"requirements": ["app", "lib", "other"], "index": index}, tmp_path)
    assert [one.matches for one in components(mirror, plan, Known())] == [(HOLE,), (), None]
    assert [one.matches for one in components(mirror, plan, None)] == [None, None, None]


# From where


def test_the_index_is_that_of_the_page_which_lists_the_file_with_this_hash(tmp_path: Path) -> None:
    mirror, plan = planned({"requirements": ["app"], "index": {"app": {"1": {}}}}, tmp_path)
    assert set(components(mirror, plan, None)[0].indexes.values()) == {INDEX}
    other = replace(plan, files=tuple(replace(one, file=_file(one.filename, "0" * 64)) for one in plan.files))
    assert components(mirror, other, None)[0].indexes == {}


def test_the_users_own_files_are_said_to_be_so(tmp_path: Path) -> None:
    mirror, plan = planned({"requirements": ["app"], "index": {"app": {"1": {}}}}, tmp_path)
    keep_page(mirror, _page(*(one.file for one in plan.files)), OWN)
    assert set(components(mirror, plan, None)[0].indexes.values()) == {OWN}


def test_a_file_that_a_lock_takes_from_a_further_index_is_of_that_one(tmp_path: Path) -> None:
    mirror, plan = planned({"requirements": ["app"], "index": {"app": {"1": {}}}}, tmp_path)
    further = Index("https://other.example.com/simple/", adds=frozenset({"app"}))
    mirror.config = replace(mirror.config, indexes=(Index(INDEX, locked=frozenset({"app"})), further))
    wheel_, tar = (one.file for one in plan.files)
    for record, index, file in (("app", INDEX, wheel_), (further_record("app", further.base), further.base, tar)):
        keep_page(mirror, _page(file), index, record)
    assert components(mirror, plan, None)[0].indexes == {wheel_.filename: INDEX, tar.filename: further.base}


# Who requires whom


def test_each_environment_has_its_own_graph(tmp_path: Path) -> None:
    requires = ["lib; sys_platform == 'linux'", "winlib; sys_platform == 'win32'"]
    index = {"app": {"1": {"requires": requires}}, "lib": {"1": {}}, "winlib": {"1": {}}}
    found = of({"requirements": ["app"], "index": index, "environments": BOTH}, tmp_path)
    assert found["app-1"].requires == {"linux": (("lib", "1"),), "windows": (("winlib", "1"),)}
    assert found["lib-1"].requires == {}


def test_what_building_an_sdist_requires_is_told_apart(tmp_path: Path) -> None:
    index = {"app": {"1": {"requires": ["lib"], "build_requires": ["tool"]}}, "lib": {"1": {}}, "tool": {"1": {}}}
    found = of({"requirements": ["app"], "index": index}, tmp_path)
    assert (linux(found["app-1"].requires), linux(found["app-1"].built_with)) == (["lib-1"], ["tool-1"])


def test_a_release_that_completes_a_root_is_required_by_those_that_it_is_installed_with(tmp_path: Path) -> None:
    # Alone, each takes the newest lib; both together take lib 1.
    index = {
        "app": {"1": {"requires": ["lib", "old"]}},
        "old": {"1": {"requires": ["lib[x]<2"]}},
        "lib": {"2": {}, "1": {"extras": ["x", "y"], "requires": ["lib[y]; extra == 'x'", "more; extra == 'y'"]}},
        "more": {"2": {"requires": ["lib>=2"]}, "1": {}},
    }
    found = of({"requirements": ["app"], "index": index}, tmp_path)
    assert linux(found["app-1"].requires) == ["lib-1", "lib-2", "old-1"]
    assert linux(found["lib-1"].requires) == ["more-1", "more-2"]
    assert found["more-1"].asked_by == ("app",)
    assert [name for name, one in found.items() if one.direct] == ["app-1"]


def test_within_a_lock_the_metadata_tell_who_requires_whom(tmp_path: Path) -> None:
    index = {
        "app": {"1": {"requires": ["lib[x]>=1", "gone"], "extras": ["test"]}},
        "lib": {"1": {"extras": ["x"], "requires": ["deep; extra == 'x'", "tested; extra == 'y'"]}, "2": {}},
        "deep": {"1": {}},
        "tested": {"1": {}},
    }
    names = ("app", "lib", "deep", "tested")
    mirror, plan = _locked(
        tmp_path, [lock_root([locked(name, "1", "py3-none-any") for name in names], only="linux")], index
    )
    found = by_name(components(mirror, plan, None))
    assert {name: linux(one.requires) for name, one in found.items()} == {
        "app-1": ["lib-1"],
        "deep-1": [],
        "lib-1": ["deep-1"],
        "tested-1": [],
    }
    assert {one.asked_by for one in found.values()} == {("app/uv.lock",)}
    assert [name for name, one in found.items() if one.direct] == ["app-1", "tested-1"]


# Who asked


def test_who_asked_are_the_roots_that_lead_to_it_also_through_builds(tmp_path: Path) -> None:
    index = {
        "app": {"1": {"requires": ["lib"]}},
        "other": {"1": {"requires": ["lib"], "build_requires": ["tool"]}},
        "lib": {"1": {"requires": ["app"]}},
        "tool": {"1": {}},
    }
    found = of({"requirements": ["other", "app"], "index": index}, tmp_path)
    asked = {name: one.asked_by for name, one in found.items()}
    assert asked == {"app-1": ("app", "other"), "lib-1": ("app", "other"), "other-1": ("other",), "tool-1": ("other",)}


# What nobody knows


def test_what_a_locked_wheel_says_is_read_from_the_wheel_in_the_mirror(tmp_path: Path) -> None:
    mirror, plan = _by_hand(tmp_path, wheel("app", "1", requires=["lib; python_version < '4'"]), wheel("lib", "1"))
    app, lib = components(mirror, plan, None)
    assert (linux(app.requires), app.unread, lib.unread) == (["lib-1"], "", "")
    assert app.asked_by == ("app/uv.lock",)


def test_what_a_locked_sdist_says_is_read_from_the_sdist_in_the_mirror(tmp_path: Path) -> None:
    mirror, plan = _by_hand(tmp_path, sdist("app", "1", requires=["lib"]), wheel("lib", "1"))
    assert linux(components(mirror, plan, None)[0].requires) == ["lib-1"]


@pytest.mark.parametrize("damage", ["removed", "altered", "no wheel"])
def test_what_nobody_could_read_is_told_and_nothing_is_said_of_its_licence(tmp_path: Path, damage: str) -> None:
    made = ("app-1-py3-none-any.whl", b"no zip") if damage == "no wheel" else wheel("app", "1", requires=["lib"])
    mirror, plan = _by_hand(tmp_path, made, wheel("lib", "1"))
    path = mirror.package_path("app", made[0])
    if damage == "removed":
        path.unlink()
    elif damage == "altered":
        path.write_bytes(b"another one")
    app, lib = components(mirror, plan, None)
    assert "app-1-py3-none-any.whl" in app.unread
    assert (app.licence.expression, app.licence.problem, app.requires) == (None, app.unread, {})
    assert lib.unread == ""


def _file(filename: str, sha256: str) -> File:
    return File(filename, f"{INDEX}{filename}", {"sha256": sha256}, 1000, None, None, None, None)


def _page(*files: File) -> Project:
    rows: list[Row] = [
        (one.filename, one.url, one.hashes["sha256"], 1000, None, None, False, None, None) for one in files
    ]
    return Project("app", f"{INDEX}app/", {Version("1"): rows}, ())


def _locked(folder: Path, roots: Sequence[Root], index: Mapping[str, Any]) -> tuple[Mirror, Plan]:
    """Return the mirror of a world with locks, and records of all wheels."""
    one = worlds.world({"environments": LINUX, "requirements": ["app"], "index": index}, folder)
    one = replace(one, config=replace(one.config, roots=tuple(roots)))
    closure = worlds.close(one)
    for name, version in ((name, version) for name, version, _ in closure.chosen):
        filename = worlds.filename_of(name, str(version), "py3-none-any")
        closure.metadata[filename] = one.metadata(filename, name)
    mirror = Mirror(one.config, lambda _: None)
    keep_records(mirror, one, closure)
    return mirror, make_plan(closure)


def _by_hand(folder: Path, *files: tuple[str, bytes]) -> tuple[Mirror, Plan]:
    """Return a mirror with files that a lock names and no record of any, and its plan."""
    one = worlds.world({"environments": LINUX, "requirements": ["app"], "index": {}}, folder)
    mirror = Mirror(one.config, lambda _: None)
    planned_files, releases = [], []
    for filename, content in files:
        project = filename.partition("-")[0]
        path = mirror.package_path(project, filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        file = _file(filename, hashlib.sha256(content).hexdigest())
        planned_files.append(PlannedFile(file, project, "1", ("linux",)))
        required = Required("linux", f"{project}==1", Asker("lock", "app/uv.lock"))
        releases.append(PlannedRelease(project, "1", {"linux": filename}, (required,), {}))
    plan = Plan(
        environments=tuple(environment.to_json() for environment in one.config.environments),
        releases=tuple(releases),
        files=tuple(planned_files),
        gaps=(),
    )
    return mirror, plan


def test_a_release_of_which_two_files_say_different_licences_has_none_that_is_told_as_that_of_both(
    tmp_path: Path,
) -> None:
    mirror, plan = planned({"requirements": ["app"], "index": {"app": {"1": {}}}}, tmp_path)
    assert len(plan.files) == 2
    for file, licence in zip(plan.files, ("MIT", "GPL-3.0-only"), strict=True):
        record = mirror.records.metadata(file.filename, file.sha256)
        assert record is not None
        assert isinstance(record.metadata, CoreMetadata)
        metadata = replace(record.metadata, licensing=LicenceFields(expression=licence))
        mirror.records.keep_metadata(file.filename, replace(record, metadata=metadata))
    found = by_name(components(mirror, plan, None))["app-1"].licence
    assert found.expression is None
    assert found.problem == "its files say different ones: app-1.tar.gz says GPL-3.0-only, another MIT"
