"""What holds for the whole of a test run."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# Hundreds of Pythons are started here, of which each would compile anew what it imports where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Machines are slow at times, so no example is held to a time. The same examples at every run: what no change has to do
# with fails nobody's change. `nox -s thorough` looks for others.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", untimed, max_examples=100, derandomize=True)
settings.register_profile("thorough", untimed, max_examples=3000)
settings.load_profile("same")


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start: who is run as ``command &`` by a script ignores it, with all its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are processors: many tests wait for programs that they started."""
    return (os.cpu_count() or 1) + 1
