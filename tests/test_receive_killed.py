"""Killed at any moment, without power, or without room: the old mirror or the new one stands, and the next run ends well."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.crossing import (
    Sent,
    load_receiver,
    mirror_state,
    receive,
    served,
    write_bundle,
)
from tests.interpreters import share

OLD = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0"}, "gone": {"gone-1.0.tar.gz": b"gone"}})
NEW = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0", "alpha-2.0.tar.gz": b"alpha 2.0" * 200}})

# Counts the calls that change what is on the disk, and kills the process before the given one.
KILLING = """
import os, signal
_count = 0
def _before(name):
    call = getattr(os, name)
    def counted(*arguments, **options):
        global _count
        _count += 1
        if _count == {moment}:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    setattr(os, name, counted)
for _name in ("replace", "rename", "link", "symlink", "mkdir", "rmdir", "unlink", "write", "fsync", "sync"):
    _before(_name)
import atexit
atexit.register(lambda: print("calls:", _count))
"""
MOMENTS = 20


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Sent, Sent]:
    first = write_bundle(tmp_path / "one", OLD)
    return first, write_bundle(tmp_path / "two", NEW, 2, base=first, volume=1000)


def is_new(root: Path) -> bool:
    """Say whether the new mirror is served, or the old one; it is one of them, whole."""
    tree = served(root)
    if tree["mirror.json"] == NEW["mirror.json"] and tree["SHA256SUMS"] == NEW["SHA256SUMS"]:
        assert {path: tree[path] for path in NEW} == NEW
        return True
    assert tree == OLD
    return False


@pytest.fixture
def receiver() -> ModuleType:
    return load_receiver()


def apply(receiver: ModuleType, sent: Sent, root: Path) -> int:
    status: int = receiver.main([str(sent.folder), "--to", str(root), "--unsigned"])
    return status


def test_killed_at_any_moment_old_or_new_stands_and_the_next_run_ends_well(
    tmp_path: Path, bundles: tuple[Sent, Sent], receiver: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = bundles
    begun, calls = tmp_path / "begun", tmp_path / "calls"
    assert apply(receiver, first, begun) == 0
    shutil.copytree(begun, calls, symlinks=True)
    done = receive(second.folder, "--to", calls, "--unsigned", prelude=KILLING.format(moment=0))
    total = int(done.stdout.rpartition("calls: ")[2])
    came_out = set()
    for number in share(range(MOMENTS)):
        root = tmp_path / f"srv{number}"
        shutil.copytree(begun, root, symlinks=True)
        moment = 1 + number * (total - 1) // (MOMENTS - 1)
        done = receive(second.folder, "--to", root, "--unsigned", prelude=KILLING.format(moment=moment))
        assert done.returncode == -signal.SIGKILL
        came_out.add(is_new(root))
        capsys.readouterr()
        assert apply(receiver, second, root) == 0, moment
        assert capsys.readouterr().err == "", moment
        assert is_new(root)
        assert (root / "server.py").read_bytes() == NEW["server.py"]
        assert not list((root / "received/incoming").iterdir())
        assert sorted(path.name for path in (root / "generations").iterdir()) == ["1", "2"]
        assert apply(receiver, first, root) == 1, "an older one is not let in, whatever has happened before"
    assert came_out == {False, True}


def half_taken(receiver: ModuleType, sent: Sent, root: Path) -> Path:
    """Take the first volume of a bundle; return the folder where what has come waits."""
    assert receiver.main([str(sent.volumes[0]), "--to", str(root), "--unsigned"]) == 3
    (waiting,) = (root / "received/incoming").iterdir()
    return waiting


def test_what_was_verified_is_not_read_again(tmp_path: Path, receiver: ModuleType) -> None:
    sent = write_bundle(tmp_path / "stick", NEW, volume=1500)
    half_taken(receiver, sent, tmp_path / "srv")
    shutil.rmtree(sent.volumes[0] / "files")
    assert apply(receiver, sent, tmp_path / "srv") == 0
    assert served(tmp_path / "srv") == NEW


def test_what_was_taken_before_a_loss_of_power_is_hashed_again(
    tmp_path: Path, receiver: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = write_bundle(tmp_path / "stick", NEW, volume=1500)
    root = tmp_path / "srv"
    waiting = half_taken(receiver, sent, root)
    entries = [json.loads(line) for line in (waiting / "journal.jsonl").read_text().splitlines()]
    lost = waiting / entries[0]["sha256"]
    lost.write_bytes(b"\0" * lost.stat().st_size)  # what the disk had when the power went
    os.utime(lost, ns=(entries[0]["mtime_ns"],) * 2)
    monkeypatch.setattr(receiver, "boot_id", lambda: "another start of the machine")
    assert half_taken(receiver, sent, root) == waiting
    monkeypatch.setattr(
        receiver, "hash_file", lambda *_: pytest.fail("what was hashed in this start is not hashed again")
    )
    assert apply(receiver, sent, root) == 0
    assert served(root) == NEW


def test_a_journal_that_says_nothing_of_use_costs_time_only(tmp_path: Path, receiver: ModuleType) -> None:
    sent = write_bundle(tmp_path / "stick", NEW, volume=1500)
    waiting = half_taken(receiver, sent, tmp_path / "srv")
    (waiting / "journal.jsonl").write_bytes(b'{"sha256":"../../x"}\n[1]\n\xff\n{"boot":1')
    assert apply(receiver, sent, tmp_path / "srv") == 0
    assert served(tmp_path / "srv") == NEW


def test_where_the_system_does_not_say_when_it_began_each_file_is_on_the_disk_before_it_is_noted(
    tmp_path: Path, receiver: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = write_bundle(tmp_path / "stick", NEW)
    synced: list[object] = []
    fsync: Any = os.fsync
    monkeypatch.setattr(receiver, "boot_id", lambda: "")
    monkeypatch.setattr(receiver, "syncs_all", lambda: False)
    monkeypatch.setattr(receiver.os, "fsync", lambda descriptor: synced.append(fsync(descriptor)))
    monkeypatch.setattr(receiver.os, "sync", lambda: pytest.fail("one call does not do it here"))
    assert apply(receiver, sent, tmp_path / "srv") == 0
    assert len(synced) > len(sent.document["contents"])
    assert served(tmp_path / "srv") == NEW


@pytest.mark.parametrize("call", ["link", "write", "mkdir", "symlink", "rename", "replace", "fsync"])
def test_a_disk_that_is_full_leaves_the_old_mirror_and_says_how_much_is_needed(
    tmp_path: Path,
    bundles: tuple[Sent, Sent],
    receiver: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: str,
) -> None:
    """At the first, the third and the last such call of a run."""
    root = tmp_path / "srv"
    assert apply(receiver, bundles[0], root) == 0
    counted: list[str] = []
    original = getattr(os, call)
    for full_at in (1, 3):
        counted.clear()

        def full(*arguments: object, _at: int = full_at, **options: object) -> object:
            counted.append(call)
            if len(counted) >= _at:
                raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))
            return original(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(receiver.os, call, full)
            status = apply(receiver, bundles[1], root)
        said = capsys.readouterr()
        if len(counted) >= full_at:
            assert status == 1
            assert "make " in said.err
            assert " more free" in said.err
            assert "Traceback" not in said.err
        is_new(root)
    assert apply(receiver, bundles[1], root) == 0
    assert is_new(root)


def test_too_little_room_is_told_before_anything_is_taken(
    tmp_path: Path, bundles: tuple[Sent, Sent], receiver: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(receiver.shutil, "disk_usage", lambda path: usage)
    assert apply(receiver, bundles[0], tmp_path / "srv") == 1
    assert "more free" in capsys.readouterr().err
    (waiting,) = (tmp_path / "srv/received/incoming").iterdir()
    assert sorted(path.name for path in waiting.iterdir()) == ["journal.jsonl", "manifest.json"]


def test_ctrl_c_ends_with_one_line_and_the_next_run_goes_on(tmp_path: Path, bundles: tuple[Sent, Sent]) -> None:
    root = tmp_path / "srv"
    assert receive(bundles[0].folder, "--to", root, "--unsigned").returncode == 0
    interrupt = "import os, signal\nos.link = lambda *a: os.kill(os.getpid(), signal.SIGINT)\n"
    done = receive(bundles[1].folder, "--to", root, "--unsigned", prelude=interrupt)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)
    assert "run again" in done.stderr
    assert not is_new(root)
    assert receive(bundles[1].folder, "--to", root, "--unsigned").returncode == 0
    assert is_new(root)


def test_ctrl_c_while_files_are_taken_ends_with_one_line(tmp_path: Path, bundles: tuple[Sent, Sent]) -> None:
    root = tmp_path / "srv"
    interrupt = (
        "import os, signal, hashlib, threading\n_sha256, _once = hashlib.sha256, []\n"
        "def _interrupting(*a):\n"
        "    if threading.current_thread() is not threading.main_thread() and not _once:\n"
        "        _once.append(os.kill(os.getpid(), signal.SIGINT))\n"
        "    return _sha256(*a)\n"
        "hashlib.sha256 = _interrupting\n"
    )
    done = receive(bundles[0].folder, "--to", root, "--unsigned", prelude=interrupt)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1), done.stderr
    assert not (root / "current").exists()
    assert receive(bundles[0].folder, "--to", root, "--unsigned").returncode == 0
    assert not is_new(root)


def test_a_fault_of_the_program_is_told_in_a_sentence(
    tmp_path: Path, bundles: tuple[Sent, Sent], receiver: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(receiver, "check_sums", lambda *_: 1 // 0)
    assert apply(receiver, bundles[0], tmp_path / "srv") == 1
    said = capsys.readouterr().err
    assert "a fault of this program: ZeroDivisionError" in said
    assert "Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_of_two_runs_at_once_the_second_says_who_is_at_work(
    tmp_path: Path, bundles: tuple[Sent, Sent], receiver: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "srv"
    assert apply(receiver, bundles[0], root) == 0
    with receiver.Lock(root):
        done = receive(bundles[1].folder, "--to", root, "--unsigned")
    assert done.returncode == 1
    assert f"another run is at work there (process {os.getpid()} on " in done.stderr
    assert not is_new(root)
    assert apply(receiver, bundles[1], root) == 0
