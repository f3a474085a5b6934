"""What branches on the platform is listed in CONTRIBUTING with how it was checked; what can be simulated is."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirror_tasks.archives import build_backend, virtual_environment
from mirror_tasks.prove import installation, lock_installation
from mirror_tasks.state import run_lock
from tests.mirroring import REPOSITORY

# The platform that a program runs on; those of environments are data.
_ASKS = re.compile(
    r'\bos\.name\b(?! *[,:"\'}])|\bsys\.platform\b(?! *[,:}])|^ *import (?:msvcrt|fcntl|resource|winreg)', re.MULTILINE
)


def branching() -> set[str]:
    """Return the files that ask on which platform they run."""
    sources = [*(REPOSITORY / "mirror_tasks").rglob("*.py"), *(REPOSITORY / "server_template").glob("*.py")]
    found = {path for path in sources if _ASKS.search(path.read_text("utf-8"))}
    return {path.relative_to(REPOSITORY).as_posix() for path in found}


def test_everything_that_branches_on_the_platform_is_listed_with_how_it_was_checked() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("## What depends on the platform")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([^`]+\.py)` \|", section, re.MULTILINE))
    assert listed == branching()
    for line in section.splitlines():
        if line.startswith("| `"):
            assert line.count("|") == 5, "file, what, how it was checked, what of it was not"


class _LockingByBytes:
    """What the standard library of Windows has: a byte is locked by who came first, as long as he has the file open."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.locked: dict[tuple[int, int], int] = {}

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        assert (mode, count) == (self.LK_NBLCK, 1)
        if self.locked.get(place, descriptor) != descriptor and self._is_open(self.locked[place]):
            raise OSError(errno.EACCES, "Permission denied")
        self.locked[place] = descriptor

    @staticmethod
    def _is_open(descriptor: int) -> bool:
        """Say if a file is open still; closing it lets go of what was locked in it."""
        try:
            os.fstat(descriptor)
        except OSError:
            return False
        return True


@pytest.fixture
def fake() -> _LockingByBytes:
    return _LockingByBytes()


@pytest.fixture
def windows_lock(monkeypatch: pytest.MonkeyPatch, fake: _LockingByBytes) -> Iterator[Any]:
    """The module as Windows has it: a second one, since the errors of the first are known to other tests by their class."""
    spec = importlib.util.spec_from_file_location("run_lock_on_windows", str(run_lock.__file__))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=fake.locking, LK_NBLCK=fake.LK_NBLCK))
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        spec.loader.exec_module(module)
        yield module


def test_on_windows_a_byte_beyond_the_note_is_locked_so_that_the_note_can_be_read(
    tmp_path: Path, windows_lock: Any, fake: _LockingByBytes
) -> None:
    path = tmp_path / "run.lock"
    lock = windows_lock.RunLock([(tmp_path, path)], tmp_path / "mirror.yaml", print)
    lock.take()
    assert {place for _, place in fake.locked} == {1 << 30}
    with pytest.raises(windows_lock.BusyError, match=r"mirror\.yaml"):
        windows_lock.RunLock([(tmp_path, path)], tmp_path, print).take()
    lock.release()
    successor = windows_lock.RunLock([(tmp_path, path)], tmp_path, print)
    successor.take()
    successor.release()


def test_on_windows_whoever_uses_a_virtual_environment_finds_its_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_environment, "os", SimpleNamespace(name="nt"))
    ran: list[Any] = []

    def record(command: Any, *_: object, **__: object) -> str:
        ran.append(command)
        return ""

    monkeypatch.setattr(build_backend, "run", record)
    monkeypatch.setattr(installation, "run_client", record)
    lock = SimpleNamespace(kind="pylock.toml", path=tmp_path / "pylock.toml")
    ran += lock_installation._Copy(lock, tmp_path, "python").commands()  # type: ignore[arg-type]
    build_backend.make_environment(tmp_path, ("flit",), None, "")
    installation.Installation(None)._in_fresh_venv(record)  # type: ignore[arg-type]
    used = [command[command.index("--python") + 1] for command in ran if "--python" in command]
    assert len(used) == 3
    assert all(python.endswith("Scripts/python.exe") for python in used), used
