"""What holds for the whole of a test run."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Hundreds of Pythons are started here, of which each would compile anew what it imports where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Machines are slow at times, so no example is held to a time. The same examples at every run: what no change has to do
# with fails nobody's change. `nox -s thorough` looks for others.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", untimed, max_examples=100, derandomize=True)
settings.register_profile("thorough", untimed, max_examples=3000)
settings.load_profile("same")

MEMORY = Path("/dev/shm")  # where Linux has a file system in memory
ROOM = 2 << 30  # bytes; the tests take a tenth of it at a time


def has_room(folder: Path) -> bool:
    """Tell whether tests can write below a folder, and run what they write."""
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC


def pytest_configure(config: pytest.Config) -> None:
    """Write what tests write to memory, unless they are told a place, and let Ctrl-C reach what they start.

    They write a hundred thousand small files that nobody keeps, and a disk takes a third of their time for those.
    Who is run as ``command &`` by a script ignores Ctrl-C, with all its children.
    """
    if "TMPDIR" not in os.environ and config.option.basetemp is None and has_room(MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors: many tests wait for programs that they started."""
    return (os.cpu_count() or 1) + 1
