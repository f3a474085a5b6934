"""Whole runs under a policy: what it refuses is not published, not again, and not kept; the same day gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.making import core_metadata, sdist, wheel
from tests.mirroring import DODO, IMPATIENT, MirrorFolder, mirror_folder, packages, tree
from tests.test_kept import HELD_CLOCK, folder_of, listed, old_world, sums
from tests.test_kept import run as run_on

TODAY = "2026-11-26"
HOLE: dict[str, Any] = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "modified": "2026-11-01T00:00:00Z",
    "database_specific": {"severity": "HIGH"},
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "lib"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2"}, {"fixed": "3"}]}],
        }
    ],
}


def licensed(name: str, version: str, licence: str, **more: Any) -> tuple[str, bytes]:
    metadata = core_metadata(name, version, metadata_version="2.4", lines=[f"License-Expression: {licence}"], **more)
    return wheel(name, version, metadata=metadata)


def world() -> dict[str, list[tuple[str, bytes]]]:
    return {
        "app": [licensed("app", "1", "MIT", requires=["lib"]), licensed("app", "2", "GPL-3.0-only")],
        "lib": [licensed("lib", "1", "MIT"), licensed("lib", "2", "MIT")],
    }


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(world()) as index:
        yield index


def folder(path: Path, index: FakeIndex, policy: Any, roots: list[str]) -> MirrorFolder:
    here = {"here": environment_block()}
    return mirror_folder(
        path, index, IMPATIENT + HELD_CLOCK + DODO, environments=here, requirements=roots, policy=policy
    )


def dump(folder: Path, *records: Any) -> None:
    (folder / "osv").mkdir(exist_ok=True)
    for record in records:
        (folder / "osv" / f"{record['id']}.json").write_text(json.dumps(record))


def run(project: MirrorFolder, *arguments: str, day: str = TODAY) -> str:
    return run_on(project, day, *(arguments or ("mirror",)))


def plan(project: MirrorFolder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.folder / ".mirror" / "plan.json").read_text())
    return content


POLICY = {
    "licences": {"allow": ["MIT"], "unknown": "refuse"},
    "advisories": {"from": "osv", "refuse": "high"},
}


def test_a_policy_is_obeyed_and_told_and_the_same_day_gives_the_same_bytes(tmp_path: Path, index: FakeIndex) -> None:
    dump(tmp_path, HOLE)
    project = folder(tmp_path, index, POLICY, ["app"])
    said = run(project)
    assert packages(project.output) == {"app": ["app-1-py3-none-any.whl"], "lib": ["lib-1-py3-none-any.whl"]}
    assert "left out: 2 releases newer than those taken, of app, lib" in said
    judged = plan(project)["judged"]
    assert (judged["as_of"], judged["advisories"]["from"], judged["advisories"]["records"]) == (TODAY, "osv", 1)
    published, plan_file = tree(project.output), (project.folder / ".mirror" / "plan.json").read_bytes()
    run(project)
    assert (tree(project.output), (project.folder / ".mirror" / "plan.json").read_bytes()) == (published, plan_file)
    told = run(project, "explain", "lib==2")
    assert "advisory GHSA-aaaa-bbbb-cccc (high): fixed in 3" in told
    assert '- {project: lib, version: "2", advisory: GHSA-aaaa-bbbb-cccc, reason: "…", until: 2027-02-24}' in told
    assert '- {project: app, version: "2", rule: licences, reason: "…", until: 2027-02-24}' in run(
        project, "explain", "app==2"
    )
    run(project, "prove")


def test_the_line_that_is_told_lets_a_release_in_and_is_named_once_nothing_needs_it(
    tmp_path: Path, index: FakeIndex
) -> None:
    dump(tmp_path, HOLE)
    project = folder(tmp_path, index, POLICY, ["lib==2"])
    failed = project.doit("mirror", TODAY=TODAY)
    assert failed.returncode != 0
    lines = (failed.stdout + failed.stderr).splitlines()
    line = next(line.partition("policy.except:  - ")[2] for line in lines if "to let it in" in line)
    assert f"add under policy.except:  - {line}" in run(project, "explain", "lib==2")
    text = (tmp_path / "mirror.yaml").read_text() + f"  except:\n    - {line}\n"
    (tmp_path / "mirror.yaml").write_text(text)
    run(project)
    assert packages(project.output) == {"lib": ["lib-2-py3-none-any.whl"]}
    assert [one["until"] for one in plan(project)["waived"]] == ["2027-02-24"]
    assert "let in: lib-2-py3-none-any.whl: advisory GHSA-aaaa-bbbb-cccc" in run(project, "explain", "lib")
    (tmp_path / "mirror.yaml").write_text(text.replace("lib==2", "lib<2"))
    assert "nothing needs this exception any more: advisories for GHSA-aaaa-bbbb-cccc" in run(project)


def test_advisories_that_can_not_be_read_end_the_run_before_anything_is_chosen(
    tmp_path: Path, index: FakeIndex
) -> None:
    dump(tmp_path, HOLE)
    project = folder(tmp_path, index, POLICY, ["app"])
    (tmp_path / "osv" / "broken.json").write_text(json.dumps(HOLE)[:-5])
    failed = project.doit("mirror", TODAY=TODAY)
    assert failed.returncode != 0
    assert "broken.json" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert not project.output.exists() or not packages(project.output)


def test_as_of_a_day_that_is_past_the_plan_is_that_of_the_day(tmp_path: Path, index: FakeIndex) -> None:
    index.add("lib", *wheel("lib", "2"), upload_time="2026-11-01T00:00:00Z")
    project = folder(tmp_path, index, None, ["lib"])
    run(project, "plan", "--as-of", "2026-10-31")
    assert [(one["project"], one["version"]) for one in plan(project)["releases"]] == [("lib", "1")]
    assert plan(project)["judged"]["as_of"] == "2026-10-31"
    assert "as-of: 2026-10-31, and it was uploaded on 2026-11-01" in run(project, "explain", "lib==2")
    run(project, "plan")
    assert [(one["project"], one["version"]) for one in plan(project)["releases"]] == [("lib", "2")]
    refused = project.doit("plan", "--as-of", "2026-11-27", TODAY=TODAY)
    assert "still to come" in refused.stdout + refused.stderr


def test_what_could_not_be_asked_for_does_not_bring_back_what_is_refused_now(tmp_path: Path, index: FakeIndex) -> None:
    project = folder(tmp_path, index, None, ["app", "lib"])
    run(project)
    assert packages(project.output) == {"app": ["app-2-py3-none-any.whl"], "lib": ["lib-2-py3-none-any.whl"]}
    index.fault("/simple/app/", "status", status=500)
    project = folder(tmp_path, index, {"exclude": ["lib==2"]}, ["app", "lib"])
    failed = project.doit("mirror", TODAY=TODAY)
    assert "not published any more: lib-2-py3-none-any.whl: exclude: the policy excludes lib==2" in failed.stderr + (
        failed.stdout
    )
    assert set(listed(project.output, "lib")) == {"lib-1-py3-none-any.whl"}
    assert set(listed(project.output, "app")) == {"app-2-py3-none-any.whl"}


def test_what_is_kept_for_locks_goes_when_the_policy_refuses_it(tmp_path: Path) -> None:
    with FakeIndex(old_world()) as index:
        project = folder_of(tmp_path, index)
        run(project)
        project = folder_of(tmp_path, index, roots=("app", "gone"))
        run(project)
        assert "simple/both/index.html" in sums(project)
        project = folder_of(tmp_path, index, roots=("app", "gone"), policy={"exclude": ["both"]})
        assert "not kept for locks: both-1.0-py3-none-any.whl and 1 more: exclude: the policy excludes both" in run(
            project
        )
        assert not any("/both" in path for path in sums(project))


def test_an_exception_of_a_shared_policy_lets_in_warns_for_a_week_and_ends_with_an_error(
    tmp_path: Path, index: FakeIndex
) -> None:
    index.add("lib", *wheel("lib", "2"), upload_time="2026-11-20T00:00:00Z")
    waiver = '{project: lib, version: "2", rule: cooldown, reason: "closes a hole", until: 2026-12-01}'
    shared = tmp_path / "company.yaml"
    shared.write_text(f"cooldown: 14d\nexcept:\n  - {waiver}\n")
    project = folder(tmp_path / "team", index, {"file": "../company.yaml"}, ["lib"])
    assert "ends on" not in run(project, day="2026-11-23")
    told = run(project)
    assert (
        told.count("../company.yaml: except[0]: the exception of cooldown for lib==2 ends on 2026-12-01, in 5 days")
        == 1
    )
    assert packages(project.output) == {"lib": ["lib-2-py3-none-any.whl"]}
    published = tree(project.output)
    ended = project.doit("mirror", TODAY="2026-12-01")
    assert ended.returncode != 0
    assert "../company.yaml: except[0].until: the exception ended today" in ended.stdout + ended.stderr
    assert tree(project.output) == published
    shared.write_text("cooldown: 14d\n")
    run(project, day="2026-12-01")
    assert packages(project.output)["lib"] == ["lib-1-py3-none-any.whl", "lib-2-py3-none-any.whl"]
    assert list(listed(project.output, "lib")) == ["lib-1-py3-none-any.whl"]
    run(project, day="2026-12-05")
    assert list(listed(project.output, "lib")) == ["lib-2-py3-none-any.whl"]


def test_a_constraint_of_the_policy_holds_for_builds_and_lets_in_what_it_pins(tmp_path: Path, index: FakeIndex) -> None:
    index.add("tool", *wheel("tool", "1"))
    index.add("tool", *wheel("tool", "2"))
    index.add("made", *sdist("made", "1", build_requires=["tool"]))
    index.add("lib", *wheel("lib", "3"), yanked="broken")
    project = folder(tmp_path, index, {"constraints": "company.txt"}, ["made", "lib"])
    (tmp_path / "company.txt").write_text("tool<2\nlib==3\n")
    run(project)
    assert {name: versions for name, versions in packages(project.output).items() if name != "setuptools"} == {
        "lib": ["lib-3-py3-none-any.whl"],
        "made": ["made-1.tar.gz"],
        "tool": ["tool-1-py3-none-any.whl"],
    }
    run(project, "prove")
