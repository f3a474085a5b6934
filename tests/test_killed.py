"""Killed at any moment, and run again: the same bytes, and nothing that was finished is fetched again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from tests.fake_index import FakeIndex, Request
from tests.interpreters import share
from tests.making import wheel
from tests.mirroring import (
    LINUX,
    MIRRORED,
    MirrorFolder,
    asked,
    assert_whole,
    launcher,
    mirror_folder,
    packages,
    small_world,
    tree,
)
from tests.ports import reserved_port

# Moments that are made up; those below that are chosen come every time. `nox -s thorough` tries more.
KILLS = 8 if settings().derandomize else 40

# Counts the files that are put into place, those by the first process and those by the others beside it apart; kills the
# run before the given one of them is.
KILLING_ITSELF = """
import os, signal
_replace, _run = os.replace, os.getpid()
def _killing(*arguments, **options):
    putter = "first" if os.getpid() == _run else "beside"
    counted = os.open(os.path.join(os.environ["COUNTED"], putter), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(counted, b".")
    number = os.fstat(counted).st_size
    os.close(counted)
    if os.environ.get("KILLER") == putter and number >= int(os.environ["KILL_AT"]):
        os.kill(_run, signal.SIGKILL)
        os._exit(1)
    return _replace(*arguments, **options)
os.replace = _killing
"""

Counts = Mapping[str, int]


def run_and_count(project: MirrorFolder, counted: Path, **settings: str) -> tuple[int, Counts]:
    """Run; return the exit status, and how many files the first process put into place and how many the others did."""
    dodo = project.folder / "dodo.py"
    plain = dodo.read_text()
    dodo.write_text(KILLING_ITSELF + plain)
    counted.mkdir()
    launcher().start(project.folder, "mirror", COUNTED=str(counted), **settings)
    status = launcher().wait().returncode
    dodo.write_text(plain)
    return status, {path.name: path.stat().st_size for path in counted.iterdir()}


def kill_before(project: MirrorFolder, counted: Path, counts: Counts, killer: str, progress: float) -> None:
    """Run, and kill it before the given process puts the file into place that comes after this part of its files."""
    moment = 1 + int(progress * counts[killer])
    status, _ = run_and_count(project, counted, KILL_AT=str(moment), KILLER=killer)
    assert status == -signal.SIGKILL


class KillingIndex(FakeIndex):
    """Kills its client at the given event: the arrival of a request, or a piece of a body about to be sent."""

    moment = 0
    events = 0
    victim: int | None = None

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.known = threading.Event()
        self._counting = threading.Lock()
        super().__init__(*arguments, **settings)
        self.stall.open()
        self.fault("/files/*", "slow")  # in two pieces, without waiting between: a kill may come after the first

    def __enter__(self) -> KillingIndex:
        super().__enter__()
        return self

    def record(self, request: Request) -> None:
        super().record(request)
        self._event()

    def count(self, sent: int) -> None:
        super().count(sent)
        self._event()

    def _event(self) -> None:
        with self._counting:
            self.events += 1
            due = self.events == self.moment
        if due:
            assert self.known.wait(60)
            assert self.victim is not None
            os.kill(self.victim, signal.SIGKILL)


def world() -> dict[str, list[tuple[str, bytes]]]:
    """The small world, with one file large enough to arrive in many pieces."""
    return {**small_world(), "alone": [wheel("alone", "3.0", files={"alone_data.bin": bytes(range(256)) * 8000})]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """What an uninterrupted run makes, and how many events it takes."""
    with KillingIndex(world()) as index:
        project = mirror_folder(tmp_path_factory.mktemp("whole"), index)
        launcher().start(project.folder, "mirror")
        done = launcher().wait()
        assert done.returncode == 0, done.stdout
        assert_whole(project.output)
        return tree(project.output), index.events


def finished(project: MirrorFolder) -> set[str]:
    """Return the paths on the index of the files that stand under their final names."""
    projects = {filename: name for name, filenames in MIRRORED.items() for filename in filenames}
    held = {path.name for path in (project.state / "held").glob("[!.]*")}
    there = {filename for filenames in packages(project.output).values() for filename in filenames} | held
    return {f"/files/{projects[filename]}/{filename}" for filename in there if filename in projects}


def assert_not_whole_in_vain(project: MirrorFolder) -> None:
    """Assert that a directory which says that it is whole is so: what SHA256SUMS names is there, unaltered."""
    sums = project.output / "SHA256SUMS"
    if sums.exists():
        done = subprocess.run(
            ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"],
            cwd=project.output,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def run_again(project: MirrorFolder, port: int, whole: dict[str, bytes]) -> None:
    """Run to the end, and assert what is promised of it."""
    assert_not_whole_in_vain(project)
    kept = finished(project)
    for path in kept:
        name, filename = path.split("/")[2:]
        there = project.output / "packages" / name / filename
        content = there.read_bytes() if there.exists() else (project.state / "held" / filename).read_bytes()
        assert content == dict(world()[name])[filename], "nothing half-written stands under a final name"
    with FakeIndex(world(), port=port) as index:  # the first one's stragglers are not counted
        launcher().start(project.folder, "mirror")
        done = launcher().wait()
        assert done.returncode == 0, done.stdout
        assert not kept & set(asked(index))
    assert tree(project.output) == whole


@pytest.fixture
def port() -> Iterator[int]:
    """The port of the index before and after the kill, which is the test's in between, too."""
    with reserved_port() as port:
        yield port


@pytest.mark.parametrize("number", share(range(KILLS)))
def test_killed_at_a_random_moment_a_run_goes_on_where_it_was(
    tmp_path: Path, whole: tuple[dict[str, bytes], int], port: int, number: int
) -> None:
    content, events = whole
    moments = random.Random(2).sample(range(1, events + 1), KILLS)
    with KillingIndex(world(), port=port) as index:
        index.moment = moments[number]
        project = mirror_folder(tmp_path, index)
        index.victim = launcher().start(tmp_path, "mirror")
        index.known.set()
        assert launcher().wait().returncode == -signal.SIGKILL
    run_again(project, port, content)


@pytest.fixture(scope="module")
def put(tmp_path_factory: pytest.TempPathFactory) -> Counts:
    """How many files a run puts into place that nothing interrupts."""
    with FakeIndex(world()) as index:
        project = mirror_folder(tmp_path_factory.mktemp("put") / "project", index)
        status, counts = run_and_count(project, project.folder.parent / "counted")
        assert status == 0
        assert min(counts["first"], counts["beside"]) > 10, "else the moments below are the same ones"
        return counts


MOMENTS = [("first", number / 10) for number in range(10)] + [("beside", number / 5) for number in range(5)]


@pytest.mark.parametrize(("killer", "progress"), share(MOMENTS))
def test_killed_before_it_puts_a_file_into_place_a_run_goes_on_where_it_was(
    tmp_path: Path, whole: tuple[dict[str, bytes], int], port: int, put: Counts, killer: str, progress: float
) -> None:
    with FakeIndex(world(), port=port) as index:
        project = mirror_folder(tmp_path / "project", index)
        kill_before(project, tmp_path / "counted", put, killer, progress)
    run_again(project, port, whole[0])


def newer_world() -> dict[str, list[tuple[str, bytes]]]:
    """The world a month later: a new release, and a file with other bytes."""
    changed = wheel("speed", "2.0", LINUX, files={"speed_data.bin": b"other bytes under the same name"})
    newer = {**world(), "speed": [changed, *world()["speed"][1:]]}
    return {**newer, "lib-core": [*newer["lib-core"], wheel("lib.core", "1.2")]}


class Update(NamedTuple):
    """A mirror that is due for an update, what the update makes of it, the port of the index, and what is put into place."""

    before: Path
    after: dict[str, bytes]
    port: int
    put: Counts


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Update]:
    """A whole mirror that is due for an update."""
    folder = tmp_path_factory.mktemp("update")
    with reserved_port() as port:
        with FakeIndex(world(), port=port) as index:
            mirror_folder(folder / "before", index, accept_changed=["speed"]).mirrored()
        shutil.copytree(folder / "before", folder / "after")
        with FakeIndex(newer_world(), port=port):
            after = MirrorFolder(folder / "after")
            status, counts = run_and_count(after, folder / "counted")
            assert status == 0
            assert_whole_but_for(after, "lib_core-1.1")
        yield Update(folder / "before", tree(after.output), port, counts)


def assert_whole_but_for(project: MirrorFolder, old: str) -> None:
    """Assert that it is whole, but for the files of an old release, which stay until they are pruned."""
    lines = (project.output / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {path for path in tree(project.output) if old not in path} == {line[66:] for line in lines} | {"SHA256SUMS"}
    assert_not_whole_in_vain(project)


UPDATING = [("first", number / 7) for number in range(7)] + [("beside", number / 4) for number in range(4)]


@pytest.mark.parametrize(("killer", "progress"), share(UPDATING))
def test_killed_while_it_brings_a_mirror_up_to_date_nothing_says_that_it_is_whole_that_is_not(
    tmp_path: Path, update: Update, killer: str, progress: float
) -> None:
    shutil.copytree(update.before, tmp_path / "project")
    project = MirrorFolder(tmp_path / "project")
    with FakeIndex(newer_world(), port=update.port):
        kill_before(project, tmp_path / "counted", update.put, killer, progress)
        assert_not_whole_in_vain(project)
        project.mirrored()
    assert tree(project.output) == update.after
