"""`doit approve`: what was approved may leave, and nothing that changed since, where the policy asks for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import ResolutionError
from mirror_tasks.report.approval import approve, approved
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.verbs.report import report
from mirror_tasks.transfer.evidence import evidence
from tests.crossing import receive, served
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, mirror_folder, small_world

AT = "2026-11-26T12:00:00Z"
POLICY = {"approval": "required"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    folder = tmp_path_factory.mktemp("made") / "project"
    with FakeIndex(small_world()) as index:
        project = mirror_folder(folder, index, policy=POLICY, transfer={"sign": "none", "to": "stick"})
        project.mirrored()
    return project


@pytest.fixture
def project(made: MirrorFolder, tmp_path: Path) -> MirrorFolder:
    shutil.copytree(made.folder, tmp_path / "project", copy_function=shutil.copy2)
    return MirrorFolder(tmp_path / "project")


def mirror_of(project: MirrorFolder) -> Mirror:
    return Mirror(load(project.folder / "mirror.yaml"), print)


def reported(project: MirrorFolder) -> Mirror:
    mirror = mirror_of(project)
    report(mirror, {}, "", "text")
    return mirror


def set_policy(project: MirrorFolder, **policy: Any) -> None:
    path = project.folder / "mirror.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**config, "policy": policy}, sort_keys=False), encoding="utf-8")


def refusal(action: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(ResolutionError) as error:
        action(*arguments)
    return str(error.value)


def test_an_approval_names_who_when_and_what(project: MirrorFolder) -> None:
    mirror = reported(project)
    approve(mirror, "A. Person", "seen by two", AT)
    content = (project.folder / "report" / "approved.json").read_bytes()
    told = json.loads(content)
    assert (told["by"], told["at"], told["note"]) == ("A. Person", AT, "seen by two")
    assert told["mirror"] == hashlib.sha256((project.output / "SHA256SUMS").read_bytes()).hexdigest()
    assert told["report"] == hashlib.sha256((project.folder / "report" / "SHA256SUMS").read_bytes()).hexdigest()
    assert told["plan"] == hashlib.sha256((project.state / "published.json").read_bytes()).hexdigest()
    assert len(told["policy"]) == 64
    assert approved(mirror).approval == hashlib.sha256(content).hexdigest()
    assert approved(mirror).report == told["report"]


def test_what_nobody_approved_of_is_refused_where_that_is_required(project: MirrorFolder) -> None:
    told = refusal(approved, reported(project))
    assert "policy.approval is required, and nobody approved of it" in told
    assert "doit approve --by NAME" in told


def test_a_report_that_changed_is_not_the_one_that_was_approved(project: MirrorFolder) -> None:
    mirror = reported(project)
    approve(mirror, "A. Person", "", AT)
    with (project.folder / "report" / "index.html").open("ab") as page:
        page.write(b"<p>one more thing")
    told = refusal(approved, mirror)
    assert f"since A. Person approved of it on {AT}:" in told
    assert "the report was" in told
    assert "and is none that is whole" in told


def test_a_policy_that_changed_is_not_the_one_that_was_approved(project: MirrorFolder) -> None:
    approve(reported(project), "A. Person", "", AT)
    set_policy(project, approval="required", exclude=["left-pad"])
    told = refusal(approved, mirror_of(project))
    assert "the policy was" in told
    assert "Run `doit mirror report`" in told
    assert "the policy changed since it was made" in refusal(approve, mirror_of(project), "A. Person", "", AT)


def test_a_mirror_that_changed_is_not_the_one_that_was_approved(project: MirrorFolder) -> None:
    mirror = reported(project)
    approve(mirror, "A. Person", "", AT)
    with (project.output / "SHA256SUMS").open("ab") as sums:
        sums.write(b"\n")
    assert "the mirror was" in refusal(approved, mirror)


def test_a_mirror_that_was_made_by_another_policy_is_not_sent(project: MirrorFolder) -> None:
    set_policy(project, cooldown="1d")
    mirror = mirror_of(project)
    told = refusal(lambda: evidence(mirror, unproven=True))
    assert "expected a mirror that was made by the policy of mirror.yaml, found that this changed since" in told


def test_a_mirror_that_was_made_by_another_policy_is_not_reported_on(project: MirrorFolder) -> None:
    set_policy(project, cooldown="1d")
    told = refusal(report, mirror_of(project), {}, "", "text")
    assert "expected a mirror that was made by the policy of mirror.yaml, found that this changed since" in told
    assert "Run `doit mirror report`" in told
    assert not (project.folder / "report").exists()


def test_who_approves_has_to_have_a_report_of_what_there_is(project: MirrorFolder) -> None:
    mirror = mirror_of(project)
    assert "expected its report as it was written, found none" in refusal(approve, mirror, "A. Person", "", AT)
    report(mirror, {}, "", "text")
    shutil.rmtree(project.state / "report")
    assert "the report is of another state of it" in refusal(approve, mirror, "A. Person", "", AT)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 300])
def test_somebody_has_to_approve(project: MirrorFolder, name: str) -> None:
    assert "expected a name" in refusal(approve, reported(project), name, "", AT)


def test_an_approval_that_was_altered_is_none(project: MirrorFolder) -> None:
    mirror = reported(project)
    approve(mirror, "A. Person", "", AT)
    (project.state / "report" / "approved.json").write_bytes(b"[")
    assert "nobody approved of it" in refusal(approved, mirror)


def test_where_no_approval_is_required_one_is_noted_as_long_as_it_holds(project: MirrorFolder) -> None:
    mirror = reported(project)
    approve(mirror, "A. Person", "", AT)
    set_policy(project, only=["*"])
    found = approved(mirror_of(project))
    assert (found.report, found.approval) == (None, None)


def test_a_transfer_carries_what_was_approved_and_stops_when_it_changes(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path / "project", index, policy=POLICY, transfer={"sign": "none", "to": "stick"})
        (project.folder / "stick").mkdir()
        project.mirrored()
        assert project.doit("prove", "--own").returncode == 0
        refused = project.doit("bundle")
        assert refused.returncode != 0
        assert "nobody approved of it" in refused.stdout
        assert project.doit("report").returncode == 0
        done = project.doit("approve", "--by", "A. Person", "--note", "ticket 7")
        assert "approved by A. Person" in done.stdout, done.stdout
        assert project.doit("bundle").returncode == 0
        receive(project.folder / "stick", "--to", tmp_path / "srv", "--unsigned")
        assert "packages/alone/alone-3.0-py3-none-any.whl" in served(tmp_path / "srv")
        (manifest,) = (project.folder / "stick").rglob("manifest.json")
        approval = (project.folder / "report" / "approved.json").read_bytes()
        assert json.loads(manifest.read_bytes())["made"]["approval"] == hashlib.sha256(approval).hexdigest()
        assert project.doit("bundle", "--sent", "1").returncode == 0

        index.add("alone", *wheel("alone", "3.1"))
        project.mirrored()
        assert project.doit("prove", "--own").returncode == 0
        changed = project.doit("bundle")
        assert changed.returncode != 0
        assert "the mirror was" in changed.stdout
        kept = project.state / "transfer" / "main" / "1" / "snapshot.json"
        kept.rename(kept.with_name("aside"))
        by_files = project.doit("changes").stdout
        assert "Compared with bundle main-1, which was marked as sent: 1 project changed" in by_files
        assert "Not known of before: requirements, licences" in by_files
        kept.with_name("aside").rename(kept)
        again = project.doit("report")
        assert "Compared with bundle main-1, which was marked as sent: 1 project changed" in again.stdout
        assert "the report was" in project.doit("bundle").stdout
        assert project.doit("approve", "--by", "A. Person").returncode == 0
        assert project.doit("bundle").returncode == 0
