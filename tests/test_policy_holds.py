"""What tries to come in past the policy: metadata that few read, what an earlier run left, exceptions that let in more."""

from __future__ import annotations

import datetime
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable, read_metadata
from mirror_tasks.config.policy import Age, Cooldown, LicenceRule, Policy, ProjectPattern, Waiver
from mirror_tasks.index.project import File
from mirror_tasks.policy.permission import Permission, check_cooldown
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.waived import waived_in
from tests.fake_index import FakeIndex
from tests.making import core_metadata, wheel
from tests.mirroring import MirrorFolder
from tests.test_kept import sums
from tests.test_policy_config import policy_of
from tests.test_policy_mirror import TODAY, folder, licensed, plan

DAY = datetime.date(2026, 11, 26)
OF_THIS_PYTHON = f"py3{sys.version_info.minor}-none-any"  # of two pure wheels an installer prefers this one
ONLY_MIT = LicenceRule(frozenset({"MIT"}), "refuse")
LICENCES: dict[str, Any] = {"licences": {"allow": ["MIT"], "unknown": "refuse"}}


def gpl(version: str, *requires: str, licence: str = "GPL-3.0-only") -> bytes:
    lines = [f"License-Expression: {licence}"]
    return core_metadata("app", version, metadata_version="2.4", lines=lines, requires=list(requires))


def end(project: MirrorFolder) -> str:
    done = project.doit("mirror", TODAY=TODAY)
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_licence_counts_where_only_one_installer_can_read_the_requirements() -> None:
    name = "app-1-py3-none-any.whl"
    arrived = read_metadata(gpl("1", "lib>=1.0.*"), name)
    assert isinstance(arrived, Unusable)
    assert arrived.repaired
    closure = Closure([], [], Rules(permission=Permission(Policy(licences=ONLY_MIT), DAY)))
    closure.metadata_arrived(canonicalize_name("app"), name, arrived)
    assert closure.metadata[name] == Unusable("licence GPL-3.0-only is not allowed")


def test_an_exception_lets_in_no_file_of_another_project_by_what_that_says_of_itself() -> None:
    content = core_metadata("a-1", "2", metadata_version="2.4", lines=["License-Expression: GPL-3.0-only"])
    waiver = Waiver(ProjectPattern("a-1", "", "a-1"), "licences", "", "why", datetime.date(2027, 1, 1), "here")
    permission = Permission(Policy(licences=ONLY_MIT, exceptions=(waiver,)), DAY)
    for project, is_let_in in (("a-1", True), ("a", False)):
        closure = Closure([], [], Rules(permission=permission))
        closure.metadata_arrived(canonicalize_name(project), "a-1-2.tar.gz", read_metadata(content, "a-1-2.tar.gz"))
        assert isinstance(closure.metadata["a-1-2.tar.gz"], CoreMetadata) is is_let_in


def test_a_lock_brings_in_no_file_of_which_the_licence_can_not_be_read(tmp_path: Path) -> None:
    name, content = wheel("app", "1", metadata=gpl("1", "lib !!! no requirement"))
    with FakeIndex({"app": [(name, content)]}) as index:
        project = folder(tmp_path, index, LICENCES, [{"lock": "pylock.toml"}])  # type: ignore[list-item]
        (tmp_path / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "app"\nversion = "1"\n'
            f'wheels = [{{name = "{name}", url = "{index.file_url("app", name)}", '
            f'hashes = {{sha256 = "{hashlib.sha256(content).hexdigest()}"}}}}]\n'
        )
        said = end(project)
        assert f"{name}: licence unknown: what it says of itself can't be read" in said
        assert not any("/app" in path for path in sums(project))


def test_what_was_never_read_is_judged_before_it_is_published_again(tmp_path: Path) -> None:
    """Of a release one wheel is read, and without the page of its project no other one would be."""
    tags = ("py3-none-any", OF_THIS_PYTHON)
    files = [wheel("app", "2", tag, metadata=gpl("2")) for tag in tags]
    with FakeIndex({"app": files, "lib": [licensed("lib", "1", "MIT")]}) as index:
        project = folder(tmp_path, index, None, ["app", "lib"])
        end(project)
        assert any("/app" in path for path in sums(project))
        index.fault("/simple/app/", "status", status=500)
        project = folder(tmp_path, index, LICENCES, ["app", "lib"])
        said = end(project)
    for name, _ in files:
        assert f"not published any more: {name}: licence GPL-3.0-only is not allowed" in said
    assert not (project.output / "SHA256SUMS").exists()
    assert not (project.output / "simple" / "app" / "index.html").exists()


def test_an_exception_for_a_version_is_for_no_local_build_of_it(tmp_path: Path) -> None:
    entry = 'project: Lib, version: "{}", rule: cooldown, reason: "x", until: 2027-01-31'
    for version, meant in (("2.0", True), ("2", True), ("2.0+cu118", False), ("2.0.post1", False), ("1!2.0", False)):
        policy = policy_of(tmp_path, f"cooldown: 14d\nexcept: [{{{entry.format('2.0')}}}]")
        assert policy.exceptions[0].is_for("cooldown", "lib", Version(version)) is meant, version
    policy = policy_of(tmp_path, f"cooldown: 14d\nexcept: [{{{entry.format('2.0+cu118')}}}]")
    assert policy.exceptions[0].is_for("cooldown", "lib", Version("2.0+cu118"))
    assert not policy.exceptions[0].is_for("cooldown", "lib", Version("2.0"))


@pytest.mark.parametrize(
    ("age", "day"),
    [
        (Age(None, datetime.date.max, "9999-12-31"), DAY),
        (Age(14 * 86400.0, None, "14d"), datetime.date.min),
    ],
)
def test_a_cooldown_reaches_from_the_first_day_to_the_last(age: Age, day: datetime.date) -> None:
    refused = check_cooldown("2026-11-01T00:00:00Z", age, day)
    assert (refused is None) is (age.day is not None)


def test_each_wheel_that_an_exception_lets_in_is_told_of_and_not_only_the_one_that_was_read() -> None:
    read = read_metadata(gpl("1"), "app-1-py3-none-any.whl")
    names = ("app-1-py3-none-any.whl", "app-1-py312-none-any.whl")
    made = [
        File(one, f"https://index.example.com/{one}", {"sha256": "0" * 64}, 1, None, None, {"sha256": "1" * 64}, None)
        for one in names
    ]
    files = [PlannedFile(one, "app", "1", ("here",)) for one in made]
    waiver = Waiver(ProjectPattern("app", "", "app"), "licences", "", "why", datetime.date(2027, 1, 1), "here")
    permission = Permission(Policy(licences=ONLY_MIT, exceptions=(waiver,)), DAY)
    found = waived_in(files, permission, {names[0]: read}, {}, lambda _: "")
    assert [one.filename for one in found] == list(names)


def test_a_wheel_is_judged_by_what_it_says_where_its_page_says_that_it_says_what_another_does(tmp_path: Path) -> None:
    read, name = f"app-2-{OF_THIS_PYTHON}.whl", "app-2-py3-none-any.whl"
    permitted = wheel("app", "2", OF_THIS_PYTHON, metadata=gpl("2", licence="MIT"))
    files = [permitted, wheel("app", "2", metadata=gpl("2"))]
    with FakeIndex({"app": files}) as index:
        served = index.projects["app"]
        served[name].sidecar = served[read].sidecar
        index.changed()
        project = folder(tmp_path, index, None, ["app"])
        end(project)
        project = folder(tmp_path, index, LICENCES, ["app"])  # both stand in the mirror already
        assert "found other metadata in the wheel" in end(project)
        end(project)
    assert {Path(path).name for path in sums(project) if path.endswith(".whl")} == {read}


def test_what_an_exception_lets_in_and_is_kept_for_locks_is_told_with_it(tmp_path: Path) -> None:
    waiver = {"project": "app", "version": "2", "rule": "licences", "reason": "known", "until": "2027-01-31"}
    policy = {**LICENCES, "except": [waiver]}
    with FakeIndex({"app": [licensed("app", "1", "MIT"), wheel("app", "2", metadata=gpl("2"))]}) as index:
        end(folder(tmp_path, index, policy, ["app"]))
        project = folder(tmp_path, index, policy, ["app<2"])
        with (tmp_path / "mirror.yaml").open("a") as config:
            config.write("transfer: {keep: 30d}\n")
        said = end(project)
    assert any("/app-2-" in path for path in sums(project))
    assert "nothing needs this exception" not in said
    assert [(one["filename"], one["reason"]) for one in plan(project)["waived"]] == [
        ("app-2-py3-none-any.whl", "known")
    ]


@pytest.mark.parametrize("index", ["a", "b"])
def test_that_one_index_gives_no_upload_times_hides_no_exception_that_a_file_of_another_needs(index: str) -> None:
    waiver = Waiver(ProjectPattern("app", "", "app"), "cooldown", "", "why", datetime.date(2027, 1, 1), "here")
    policy = Policy(cooldown=Cooldown(Age(14 * 86400.0, None, "14d")), exceptions=(waiver,))
    permission = Permission(policy, DAY, without_times=["b"])
    name = "app-1-py3-none-any.whl"
    file = File(name, f"https://index.example.com/{name}", {"sha256": "0" * 64}, 1, None, None, None, None)
    found = waived_in([PlannedFile(file, "app", "1", ("here",))], permission, {}, {}, lambda _: index)
    assert len(found) == (index == "a")
