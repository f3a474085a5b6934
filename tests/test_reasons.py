"""Wherever a choice is explained, the reason that counts is told: in the plan, where a run fails, and by `doit explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.reasons import decisive_reasons, skipped_of, versions_of
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import LINUX, WINDOWS, MirrorFolder, mirror_folder

BROKEN = "Metadata-Version: 2.1\nName: broken\nVersion: 2.0\nno colon here\n"
OTHER = "cp39-cp39-macosx_11_0_arm64"


def world() -> dict[str, list[tuple[str, bytes]]]:
    return {
        "good": [wheel("good", "1.0")],
        "broken": [wheel("broken", "1.0"), wheel("broken", "2.0", metadata=BROKEN), wheel("broken", "2.0", OTHER)],
        "hashed": [wheel("hashed", "1.0"), wheel("hashed", "1.0", OTHER)],
        "eggs": [("eggs-1.0-py2.7.egg", b""), ("eggs-1.1.exe", b"")],
        "mistagged": [wheel("mistagged", "1.0"), ("mistagged-2.0-py3.whl", b"")],
        "native": [wheel("native", "2.0", tag) for tag in (OTHER, LINUX.replace("cp312", "cp313"))],
    }


@dataclass(frozen=True)
class Run:
    project: MirrorFolder
    status: int
    output: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A mirror of projects that each have something which can't be taken."""
    folder = tmp_path_factory.mktemp("reasons")
    folder.joinpath("hashes.txt").write_text(f"hashed==1.0 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    roots = ["good", "broken", "mistagged", "eggs", "native", {"file": "hashes.txt"}]
    with FakeIndex(world()) as index:
        project = mirror_folder(folder, index, requirements=roots)
        done = project.doit("mirror")
        yield Run(project, done.returncode, done.stdout + done.stderr)


def answer(run: Run, *names: str) -> str:
    done = run.project.doit("explain", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_can_be_had_is_mirrored_and_the_run_says_that_not_all_is(run: Run) -> None:
    assert run.status != 0
    assert (run.project.output / "packages" / "good" / "good-1.0-py3-none-any.whl").exists()
    assert (run.project.output / "packages" / "broken" / "broken-1.0-py3-none-any.whl").exists()


@pytest.mark.parametrize(
    "reason",
    [
        "1.1: eggs-1.1.exe: a Windows installer; installers take wheels and sdists; 1.0: eggs-1.0-py2.7.egg: an egg",
        "1.0: hashed-1.0-py3-none-any.whl: its hash is not among those asked for",
        "2.0: no tag in common",
    ],
)
def test_a_run_that_fails_tells_the_reason_that_counts(run: Run, reason: str) -> None:
    assert reason in run.output


def test_a_run_ends_with_how_many_newer_releases_were_left_out(run: Run) -> None:
    line = "left out: 2 releases newer than those taken, of broken, mistagged; `doit explain broken` says why"
    assert line in run.output


def test_a_release_that_was_passed_over_for_its_metadata_is_told_with_that_reason(run: Run) -> None:
    told = answer(run, "broken")
    assert "left out of laptop, server: broken 2.0: broken-2.0-py3-none-any.whl: " in told
    assert "no colon here" in told
    assert "no tag in common" not in told.partition("broken 2.0")[2]


def test_a_release_that_was_passed_over_for_its_file_name_is_told_with_that_reason(run: Run) -> None:
    assert "left out of laptop, server: mistagged 2.0: mistagged-2.0-py3.whl: not a wheel's name" in answer(
        run, "mistagged"
    )


def test_a_release_can_be_named_with_two_equal_signs(run: Run) -> None:
    told = answer(run, "broken==2.0")
    assert "broken-2.0 is not in the mirror; 1.0 is." in told
    assert "none of its files can be used: broken-2.0-py3-none-any.whl: " in told


def test_a_project_of_which_all_files_were_skipped_is_explained_by_each_of_them(run: Run) -> None:
    told = answer(run, "eggs")
    assert "It lists eggs-1.0-py2.7.egg, which can't be used: an egg" in told
    assert "It lists eggs-1.1.exe, which can't be used: a Windows installer" in told
    assert "nothing that mirror.yaml requires" not in told


def test_the_plan_has_the_releases_that_were_passed_over(run: Run) -> None:
    plan = json.loads((run.project.state / "plan.json").read_text(encoding="utf-8"))
    told = {(one["project"], one["version"]): one["environments"] for one in plan["passed_over"]}
    assert told == {("broken", "2.0"): ["laptop", "server"], ("mistagged", "2.0"): ["laptop", "server"]}


def project(*filenames: str) -> Project:
    files = [{"filename": name, "url": name, "hashes": {"sha256": "0" * 64}} for name in filenames]
    body = json.dumps({"meta": {"api-version": "1.1"}, "name": "flit", "files": files}).encode()
    return parse_page(body, JSON_TYPE, "https://index.example.com/simple/flit/", "flit")


def test_a_skipped_file_is_told_of_its_own_release_only() -> None:
    """flit-3.1 is no prefix to find the files of 3.12 by, and flit_core is another project."""
    one = project("flit-3.1-py3-none-any.whl", "flit-3.12.egg", "flit_core-3.1.egg", "flit-3.1.exe")
    assert {str(version): list(files) for version, files in skipped_of(one).items()} == {
        "3.12": ["flit-3.12.egg"],
        "3.1": ["flit-3.1.exe"],
    }
    assert list(map(str, versions_of(one))) == ["3.12", "3.1"]


def test_a_file_for_another_platform_hides_no_other_reason() -> None:
    many = {f"a-1-cp{number}-none-any.whl": "no tag in common" for number in range(60)}
    project = Project("a", "", {}, ())
    assert decisive_reasons(project, many) == "no tag in common"
    assert decisive_reasons(project, {**many, "b": "yanked", "c": "yanked"}) == "b and 1 more: yanked"


def test_a_file_of_the_users_own_for_another_platform_is_named() -> None:
    project = Project("a", "", {}, (), index=OWN)
    reasons = {"a-1-cp312-cp312-win_amd64.whl": "no tag in common", "a-1.tar.gz": "sdists: never"}
    assert decisive_reasons(project, reasons) == "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def test_windows_and_linux_are_told_apart(tmp_path: Path) -> None:
    with FakeIndex(
        {"native": [wheel("native", "1.0", WINDOWS), wheel("native", "1.0", LINUX), wheel("native", "2.0", LINUX)]}
    ) as index:
        made = mirror_folder(tmp_path, index, requirements=["native"])
        assert "left out: 1 release newer than those taken, of native" in made.mirrored().stdout
        assert "left out of laptop: native 2.0: no tag in common" in made.doit("explain", "native").stdout
