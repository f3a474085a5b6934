"""A disk that is full, or will be: one clear error, what is finished stays, and a run with space ends well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.errors import StorageError
from mirror_tasks.room import check_room
from mirror_tasks.text import readable
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import (
    DODO,
    IMPATIENT,
    MirrorFolder,
    asked,
    assert_valid,
    assert_whole,
    launcher,
    mirror_folder,
    packages,
    small_world,
    tree,
)

# No file of any process may be longer, as if there were no room for more; the databases of doit are files, too.
LIMITED = """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ.get("LONGEST", 1 << 30)),) * 2)
"""
# The system says of the disk what a test wants it to.
SMALL_DISK = """
import os, shutil
from mirror_tasks import room
told = shutil.disk_usage("/")._replace(free=int(os.environ.get("FREE", 1 << 40)))
room.shutil.disk_usage = lambda path: told
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    world = {**small_world(), "alone": [wheel("alone", "3.0", files={"alone_data.bin": os.urandom(60_000)})]}
    with FakeIndex(world) as index:
        yield index


def finished(project: MirrorFolder) -> set[str]:
    """Return the names of the files that stand under their final names, in the mirror or held for it."""
    held = {path.name for path in (project.state / "held").glob("[!.]*")}
    return held | {name for names in packages(project.output).values() for name in names}


def assert_goes_on(project: MirrorFolder, index: FakeIndex) -> None:
    """Assert that a run with room ends well, and fetches nothing that was finished."""
    kept = finished(project)
    index.requests.clear()
    project.mirrored()
    assert_whole(project.output)
    assert_valid(project.output)
    assert not {path.rpartition("/")[2] for path in asked(index)} & kept


def assert_told_once(done: subprocess.CompletedProcess[str], reason: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode not in (0, None), output
    assert "Traceback" not in output
    assert output.count(reason) <= 1, "what has one cause is told once"
    assert reason in output or "doit.db: " in output
    assert "Make room, then run again" in output


@pytest.mark.skipif(sys.platform == "win32", reason="the system knows no such limit")
@pytest.mark.parametrize("longest", [500, 1500, 5000, 13_000, 50_000])
def test_a_file_that_can_not_be_written_to_its_end_is_one_clear_error(
    tmp_path: Path, index: FakeIndex, longest: int
) -> None:
    project = mirror_folder(tmp_path, index, dodo=IMPATIENT + LIMITED + DODO)
    launcher().start(tmp_path, "mirror", LONGEST=str(longest))
    done = launcher().wait()
    assert_told_once(done, "File too large")
    assert_goes_on(project, index)


def can_mount(folder: Path) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB of its own."""
    folder = tmp_path / "small"
    if not can_mount(folder):
        pytest.skip("needs leave to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, free: int) -> Path:
    """Fill a file system but for so many bytes."""
    status = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - free)))
    return filler


def test_a_disk_that_is_full_at_any_moment_costs_nothing_that_is_finished(small: Path, index: FakeIndex) -> None:
    for free in (0, 4096, 20_000, 60_000, 120_000, 200_000, 400_000, 500_000):
        folder = small / f"p{free}"
        project = mirror_folder(folder, index)
        filler = fill(small, free)
        launcher().start(folder, "mirror", MIRROR_SPACE="any")
        done = launcher().wait()
        filler.unlink()
        assert_told_once(done, "No space left on device")
        if (project.output / "SHA256SUMS").exists():
            assert_whole(project.output)
        assert_goes_on(project, index)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_run_says_at_once_that_there_is_no_room_for_what_is_to_come(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(
        tmp_path, index, dodo=IMPATIENT + SMALL_DISK + DODO, sdists="never", requirements=["app", "alone"]
    )
    project.mirrored()
    before = tree(project.output)
    index.add("alone", *wheel("alone", "4.0", files={"data.bin": os.urandom(90_000)}))
    for verb in ("mirror", "plan"):
        launcher().start(tmp_path, verb, FREE="50000")
        done = launcher().wait()
        assert "at least 9" in done.stdout, done.stdout
        assert "50.0 kB are free" in done.stdout
        assert "MIRROR_SPACE=any" in done.stdout
        assert (done.returncode == 0) is (verb == "plan")
        assert tree(project.output) == before, "a mirror that was whole stays whole"
        assert not [path for path in asked(index) if "4.0" in path and path.endswith(".whl")]
    launcher().start(tmp_path, "mirror", FREE="50000", MIRROR_SPACE="any")
    assert launcher().wait().returncode == 0
    assert "alone-4.0-py3-none-any.whl" in packages(project.output)["alone"]
    assert (project.output / "SHA256SUMS").exists()


def test_what_has_to_be_fetched_to_be_read_is_not_begun_without_room(tmp_path: Path, index: FakeIndex) -> None:
    mirror_folder(tmp_path, index, dodo=IMPATIENT + SMALL_DISK + DODO, requirements=["sourced"])
    launcher().start(tmp_path, "mirror", FREE="100")
    done = launcher().wait()
    assert done.returncode not in (0, None)
    assert "100 bytes are free" in done.stdout
    assert not [path for path in asked(index) if path.endswith(".zip")]


def test_a_file_of_the_right_size_and_wrong_bytes_is_asked_room_for_before_anything_changes(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index, dodo=IMPATIENT + SMALL_DISK + DODO)
    project.mirrored()
    places = [next((project.output / "packages" / name).glob("*.whl")) for name in ("alone", "app")]
    for path in places:
        os.utime(path, (1, 1))
    launcher().start(tmp_path, "mirror", FREE="10")
    assert launcher().wait().returncode == 0, "what was only touched takes no room"
    broken = places[0]
    broken.write_bytes(bytes(broken.stat().st_size))
    before = tree(project.output)
    for verb in ("plan", "mirror"):
        launcher().start(tmp_path, verb, FREE="50000")
        done = launcher().wait()
        assert f"at least {readable(broken.stat().st_size)} are to come" in done.stdout, done.stdout
        assert (done.returncode == 0) is (verb == "plan")
    assert tree(project.output) == before
    launcher().start(tmp_path, "mirror", FREE="70000")
    assert launcher().wait().returncode == 0
    assert_whole(project.output)


def test_other_bytes_of_the_same_size_that_are_known_to_be_others_are_a_download(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index, requirements=["alone"], accept_changed=["alone"])
    project.mirrored()
    path = project.output / "packages" / "alone" / "alone-3.0-py3-none-any.whl"
    size = path.stat().st_size
    index.add("alone", *wheel("alone", "3.0", files={"alone_data.bin": os.urandom(60_000)}))
    assert "to download: 1 file" in project.mirrored().stdout
    assert path.stat().st_size == size


def test_folders_on_one_file_system_share_its_room(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    check_room([(tmp_path / "a", free // 3), (tmp_path / "b" / "c", free // 3)], "filling")
    with pytest.raises(StorageError, match="are free"):
        check_room([(tmp_path / "a", free), (tmp_path / "b", free)], "filling")


def test_what_is_begun_or_held_already_needs_no_room(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, dodo=IMPATIENT + SMALL_DISK + DODO)
    launcher().start(tmp_path, "plan")
    assert launcher().wait().returncode == 0
    files = json.loads((project.state / "plan.json").read_bytes())["files"]
    held = {path.name for path in (project.state / "held").iterdir()}
    assert any(name.endswith((".zip", ".tar.gz")) for name in held)
    needed = sum(one["file"]["size"] for one in files if one["file"]["filename"] not in held)
    launcher().start(tmp_path, "mirror", FREE="10")
    assert f"at least {readable(needed)} are to come" in launcher().wait().stdout
    launcher().start(tmp_path, "mirror", FREE=str(needed))
    assert launcher().wait().returncode == 0
