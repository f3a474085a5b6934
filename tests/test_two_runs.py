"""Two runs at once never harm each other: the second ends at once and says who is at work; who only looks is let through."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from mirror_tasks.state import run_lock
from mirror_tasks.state.run_lock import BusyError, RunLock
from tests.fake_index import FakeIndex
from tests.launching import PATIENCE
from tests.mirroring import (
    DoitLauncher,
    MirrorFolder,
    assert_whole,
    launcher,
    mirror_folder,
    small_world,
    tree,
)
from tests.stepping import every_interruption

HOLDING = """
import signal, sys
from pathlib import Path
from mirror_tasks.state.run_lock import RunLock
lock = RunLock([(Path(name).parent, Path(name)) for name in sys.argv[3:]], Path(sys.argv[2]), print)
lock.take()
with open(sys.argv[1], "w") as told:
    told.write("held")
signal.pause()
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


@functools.cache
def another_launcher() -> DoitLauncher:
    """Return one beside that of the runs, since each does one thing at a time."""
    return DoitLauncher()


class Holder:
    """Another process that holds the locks of a folder, as a run does."""

    def __init__(self, of: Path, *paths: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            pipe = Path(folder, "told")
            os.mkfifo(pipe)
            told = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            self.pid = another_launcher().start_code(HOLDING, str(pipe), str(of), *map(str, paths))
            assert select.select([told], [], [], PATIENCE)[0], "it holds nothing"
            os.close(told)

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        another_launcher().wait()


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    launcher().start(folder, *arguments, **settings)
    return launcher().wait()


@pytest.mark.parametrize("verb", ["mirror", "plan", "prune", "release", "project:app"])
def test_the_second_run_in_a_folder_ends_at_once_and_says_who_is_at_work(
    tmp_path: Path, index: FakeIndex, verb: str
) -> None:
    project = mirror_folder(tmp_path, index)
    project.mirrored()
    before = tree(project.folder)
    index.requests.clear()
    with Holder(tmp_path / "mirror.yaml", project.state / "run.lock") as holder:
        done = run(tmp_path, verb)
        assert done.returncode not in (0, None)
        assert f"process {holder.pid} on " in done.stdout
        assert "since 2" in done.stdout
        assert "nothing was changed" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        assert not index.requests
    changed = {path for path, content in tree(project.folder).items() if before.get(path) != content}
    assert changed <= {".mirror/run.lock"}
    assert run(tmp_path, verb).returncode == 0, "a lock whose process has ended is none"


@pytest.mark.parametrize("verbs", [("list",), ("explain", "app"), ("info", "server"), ("help", "mirror")])
def test_who_only_looks_needs_no_lock(tmp_path: Path, index: FakeIndex, verbs: tuple[str, ...]) -> None:
    project = mirror_folder(tmp_path, index)
    project.mirrored()
    with Holder(tmp_path / "mirror.yaml", project.state / "run.lock", tmp_path / ".mirror.lock"):
        done = run(tmp_path, *verbs)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "process" not in done.stdout


def test_two_configurations_with_one_output_wait_for_each_other_too(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    (tmp_path / "link").symlink_to("mirror")
    settings = yaml.safe_load((tmp_path / "mirror.yaml").read_text())
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**settings, "output": "link"}))
    project.output.mkdir()
    with Holder(tmp_path / "mirror.yaml", project.state / "run.lock", tmp_path / ".mirror.lock") as holder:
        done = run(tmp_path, "mirror", MIRROR_CONFIG="other.yaml")
        assert done.returncode not in (0, None)
        assert f"process {holder.pid} on " in done.stdout
        assert "mirror.yaml" in done.stdout


def test_of_two_real_runs_at_once_one_ends_well_and_one_says_why_not(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    index.fault("/simple/app/", "slow")
    first = project.start("mirror")
    try:
        index.stall.wait_for_arrival()
        second = project.doit("mirror")
    finally:
        index.stall.open()
        output, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, output
    assert_whole(project.output)
    assert second.returncode not in (0, None)
    assert f"process {first.pid} on " in second.stdout


def test_after_a_kill_the_next_run_is_let_in(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    index.fault("/simple/app/", "slow")
    first = project.start("mirror", start_new_session=True)
    index.stall.wait_for_arrival()
    os.kill(first.pid, signal.SIGKILL)
    index.stall.open()
    first.communicate(timeout=PATIENCE)  # its pipe ends with the last of its processes
    assert json.loads((project.state / "run.lock").read_bytes())["pid"] == first.pid, (
        "the note of the dead is still there"
    )
    project.mirrored()
    assert_whole(project.output)
    assert (project.state / "run.lock").read_bytes() == b"" or json.loads((project.state / "run.lock").read_bytes())


@pytest.mark.parametrize("note", [b"", b"null", b"[]", b"\xff\xfe", b'{"pid": 3}', b"[" * 100_000])
def test_a_note_that_can_not_be_read_does_not_hide_that_the_lock_is_held(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "run.lock"
    with Holder(tmp_path / "mirror.yaml", path):
        path.write_bytes(note)
        with pytest.raises(BusyError, match="does not say which"):
            RunLock([(tmp_path, path)], tmp_path, print).take()


def test_a_folder_or_a_link_in_the_place_of_the_lock_file_is_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.mkdir()
    lock = RunLock([(tmp_path, path)], tmp_path, print)
    lock.take()
    lock.take()
    lock.release()
    path.unlink()
    path.symlink_to(path.name)
    RunLock([(tmp_path, path)], tmp_path, print).take()


def test_a_lock_that_was_refused_holds_none_of_the_others(tmp_path: Path) -> None:
    with Holder(tmp_path, tmp_path / "b"):
        with pytest.raises(BusyError):
            RunLock([(tmp_path, tmp_path / "a"), (tmp_path, tmp_path / "b")], tmp_path, print).take()
        RunLock([(tmp_path, tmp_path / "a")], tmp_path, print).take()


def note_of(path: Path) -> str:
    return str(json.loads(path.read_bytes())["of"])


def test_of_two_runs_that_begin_at_once_one_has_all_locks_wherever_the_other_comes_in_between(tmp_path: Path) -> None:
    state, output = tmp_path / "state" / "run.lock", tmp_path / ".mirror.lock"
    locks: list[RunLock] = []

    def beginning(name: str, *paths: Path) -> Callable[[], str]:
        lock = RunLock([(path.parent, path) for path in paths], Path(name), print)
        locks.append(lock)

        def begin() -> str:
            try:
                lock.take()
            except BusyError:
                return ""
            return name

        return begin

    def scene() -> tuple[Callable[[], str], Callable[[], str]]:
        while locks:
            locks.pop().release()
        return beginning("first", state, output), beginning("second", output, state)

    winners = []
    for run in every_interruption(scene, run_lock):
        winners += [name for name in (run.first, run.second) if name]
        assert sorted([run.first, run.second]) in (["", "first"], ["", "second"]), run
        assert [note_of(state), note_of(output)] == winners[-1:] * 2, run
    scene()
    assert set(winners) == {"first", "second"}, "the moments before and after the lock was taken were tried"


def test_a_run_that_begins_while_another_ends_has_the_lock_and_the_note_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    second = RunLock([(tmp_path, path)], Path("second"), print)

    def begin() -> bool:
        try:
            second.take()
        except BusyError:
            return False
        return True

    def scene() -> tuple[Callable[[], None], Callable[[], bool]]:
        second.release()
        first = RunLock([(tmp_path, path)], Path("first"), print)
        first.take()
        return first.release, begin

    came_in = [(run.second, bool(run.second) == bool(path.read_bytes())) for run in every_interruption(scene, run_lock)]
    second.release()
    assert {has_lock for has_lock, _ in came_in} == {False, True}
    assert all(notes_agree for _, notes_agree in came_in)


TWO = """
from mirror_tasks import pipeline

globals().update(pipeline("lab/mirror.yaml"{first}))
globals().update(pipeline("office/mirror.yaml"{second}))
"""


def two(folder: Path, index: FakeIndex, first: str, second: str) -> tuple[MirrorFolder, MirrorFolder]:
    lab = mirror_folder(folder / "lab", index)
    office = mirror_folder(folder / "office", index, requirements=["alone"])
    (folder / "dodo.py").write_text(TWO.format(first=first, second=second))
    return lab, office


@pytest.mark.parametrize("first", ['"", ', ', prefix="lab"'], ids=["one without prefix", "both with"])
def test_a_plain_doit_makes_both_mirrors_of_a_file_and_each_line_says_which(
    tmp_path: Path, index: FakeIndex, first: str
) -> None:
    lab, office = two(tmp_path, index, "" if first == '"", ' else first, ', prefix="office"')
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_whole(lab.output)
    assert_whole(office.output)
    lines = done.stdout.splitlines()
    name = "lab" if "lab" in first else "mirror.yaml"
    assert sum(line.startswith(f"{name}: ") for line in lines) == 3
    assert sum(line.startswith("office: ") for line in lines) == 3
    again = run(tmp_path)
    assert "whole and checked" in again.stdout
    assert "download" not in again.stdout


def test_a_mirror_that_is_busy_is_named_and_the_other_is_left_for_the_next_run(
    tmp_path: Path, index: FakeIndex
) -> None:
    lab, office = two(tmp_path, index, ', prefix="lab"', ', prefix="office"')
    with Holder(lab.folder / "mirror.yaml", lab.state / "run.lock"):
        done = run(tmp_path)
        assert str(lab.state) in done.stdout
        assert done.returncode not in (0, None)
        assert run(tmp_path, "office-mirror").returncode == 0, "its folders are its own"
    assert_whole(office.output)


def test_two_mirrors_can_not_have_one_prefix(tmp_path: Path, index: FakeIndex) -> None:
    two(tmp_path, index, "", "")
    done = run(tmp_path)
    assert done.returncode == 3
    assert "expected a prefix of its own" in done.stderr
    assert "Traceback" not in done.stderr
