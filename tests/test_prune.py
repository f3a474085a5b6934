"""What `doit prune` deletes, and what it never does: it goes by what is published."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, assert_valid, assert_whole, mirror_folder, packages, small_world, tree


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path, index: FakeIndex) -> MirrorFolder:
    made = mirror_folder(tmp_path / "project", index)
    made.mirrored()
    index.requests.clear()
    return made


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


STRAYS = ("packages/alone/alone-0.1.tar.gz", "packages/old/old-1.0-py3-none-any.whl", "simple/old/index.html")


def strew(output: Path) -> None:
    for stray in STRAYS:
        path = output / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_prune_deletes_what_is_not_published_and_says_it(project: MirrorFolder, index: FakeIndex) -> None:
    before = tree(project.output)
    strew(project.output)
    own = project.output / "notes.txt"
    own.write_text("not the mirror's")
    done = project.doit("prune")
    assert done.returncode == 0
    assert all(stray in done.stdout for stray in STRAYS)
    assert "Deleting 3 files (3 bytes), 0 % of what is there" in done.stdout
    own.unlink()
    assert tree(project.output) == before
    assert not (project.output / "packages" / "old").exists()
    assert dict(index.requests) == {}


def test_a_dry_run_deletes_nothing_and_says_the_same(project: MirrorFolder) -> None:
    strew(project.output)
    before = tree(project.output)
    done = project.doit("prune", "--dry-run")
    assert done.returncode == 0
    assert all(stray in done.stdout for stray in STRAYS)
    assert "Would delete 3 files (3 bytes), 0 % of what is there" in done.stdout
    assert tree(project.output) == before


def test_prune_without_a_mirror_deletes_nothing(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    stray = project.output / "packages" / "x" / "x-1.0.tar.gz"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    done = project.doit("prune")
    assert done.returncode not in (0, 130)
    assert "doit mirror" in said(done)
    assert stray.exists()


@pytest.mark.parametrize("change", ["upstream", "mirror.yaml"])
def test_a_newer_plan_takes_nothing_from_what_is_published(
    project: MirrorFolder, index: FakeIndex, change: str
) -> None:
    """`doit plan && doit prune` leaves a whole mirror whole."""
    before = tree(project.output)
    if change == "upstream":
        index.add("alone", *wheel("alone", "9.0"))
    else:
        project.configure(index.url, requirements=["alone"])
    assert project.doit("plan").returncode == 0
    done = project.doit("prune")
    assert done.returncode == 0, said(done)
    assert "Nothing to delete" in done.stdout
    assert tree(project.output) == before
    assert_whole(project.output)
    project.mirrored()
    assert project.doit("prune").returncode == 0
    assert packages(project.output)["alone"] == [f"alone-{'9.0' if change == 'upstream' else '3.0'}-py3-none-any.whl"]
    assert_whole(project.output)
    assert_valid(project.output)


def test_a_mirror_that_is_not_whole_is_not_pruned(project: MirrorFolder) -> None:
    strew(project.output)
    sums = project.output / "SHA256SUMS"
    lines = sums.read_text(encoding="utf-8").splitlines(keepends=True)
    for content in (None, "".join(lines[:-3])):
        sums.unlink() if content is None else sums.write_text(content, encoding="utf-8")
        before = tree(project.output)
        done = project.doit("prune")
        assert done.returncode not in (0, 130)
        assert "Run `doit mirror` first" in said(done)
        assert tree(project.output) == before


def test_a_typo_is_told_first_and_last_and_costs_no_file(project: MirrorFolder, index: FakeIndex) -> None:
    before = packages(project.output)
    project.configure(index.url, requirements=["flaskk-zzz"])
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    lines = said(done).splitlines()
    assert lines[0].startswith("NO SOLUTION: flaskk-zzz on ")
    assert "BUT NOT ALL that mirror.yaml requires: flaskk-zzz on " in lines[-2]
    assert "whole and checked" not in said(done)
    assert "0 projects, 0 files, checked, BUT NOT ALL that mirror.yaml requires: flaskk-zzz on " in said(done)
    for arguments in (["prune"], ["prune", "--dry-run"]):
        pruned = project.doit(*arguments)
        assert pruned.returncode not in (0, 130)
        assert "flaskk-zzz" in said(pruned)
        assert re.search(r"Nothing was deleted of 5\d files \([0-9.]+ kB\), \d\d % of what is there", said(pruned))
        assert packages(project.output) == before
    project.configure(index.url)
    project.mirrored()
    assert packages(project.output) == before


def test_requirements_for_no_environment_make_an_empty_mirror_that_says_so(
    project: MirrorFolder, index: FakeIndex
) -> None:
    before = packages(project.output)
    project.configure(index.url, requirements=['alone; sys_platform == "darwin"'])
    done = project.mirrored()
    assert "EMPTY" in said(done)
    assert "whole and checked" not in said(done)
    pruned = project.doit("prune")
    assert pruned.returncode not in (0, 130)
    assert packages(project.output) == before, "all that was mirrored is never taken for what is left over"
