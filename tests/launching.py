"""Processes that have imported already: starting Python and importing takes most of a small run.

A launcher is a process that has imported what its runs need, and forks for each of them. So each run is a process of its own,
with its own working directory, environment variables, output and exit status, as if it had been started by itself.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 120.0  # seconds after which a run that does not end fails its test

# After what prepares it, which defines `run`. What it holds is out of the garbage collector's sight, which would copy it into
# each run by touching it.
LOOP = """
import gc, json, os, sys
gc.collect()
gc.freeze()

def begin(order):
    os.chdir(order["folder"])
    if not order["adds"]:
        os.environ.clear()
    os.environ.update(order["environment"])
    for number, path in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    run(order["arguments"])
    sys.exit()

print(os.getpid(), flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        begin(json.loads(line))
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Launcher:
    """Starts runs, one at a time, each in a process of its own.

    :param preparation: Python that imports what a run needs, and defines ``run(arguments)``, which is one, and ends as a program
        does.
    :param arguments: what the preparation finds in ``sys.argv``.
    :param environment: the environment variables in which it prepares.
    """

    def __init__(self, preparation: str, *arguments: str, environment: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryDirectory()
        self._arguments: list[str] = []
        self._pid = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", preparation + LOOP, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        atexit.register(self.close)
        self._read()  # it is prepared

    def begin(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> int:
        """Begin a run; return its process id.

        :param folder: its working directory.
        :param environment: all its environment variables; None for those of the preparation.
        :param settings: environment variables besides.
        """
        assert self._process.stdin is not None
        self._arguments = list(arguments)
        order: dict[str, object] = {"folder": str(folder), "arguments": self._arguments, "adds": environment is None}
        order["environment"] = {**(environment or {}), **(settings or {})}
        order |= {name: str(Path(self._output.name, name)) for name in ("stdout", "stderr")}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._pid = self._read()
        return self._pid

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for the run's end; its return code is negative for a signal."""
        code = os.waitstatus_to_exitcode(self._read())
        output, errors = (Path(self._output.name, name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(self._arguments, code, output, errors)

    def _read(self) -> int:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            os.kill(self._pid, signal.SIGKILL)
            raise TimeoutError(f"{self._arguments} did not end")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._output.cleanup()
