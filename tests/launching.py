"""Processes that have imported already: starting Python and importing takes most of a small run.

A launcher is a process that has imported what its runs need, and forks for each of them. So each run is a process of its own,
with its own working directory, environment variables, output and exit status, as if it had been started by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

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
    os.dup2(os.open(order["stdin"], os.O_RDONLY), 0)
    for number, path in ((1, order["stdout"]), (2, order["stderr"])):
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
        self._process = subprocess.Popen(
            [sys.executable, "-c", preparation + LOOP, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        atexit.register(self.close)
        self._pid = self._process.pid  # who is ended where no answer comes
        self._read()  # it is prepared

    def begin(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> int:
        """Begin a run; return its process id.

        :param folder: its working directory.
        :param environment: all its environment variables; None for those of the preparation.
        :param settings: environment variables besides.
        :param stdin: what it can read from its standard input.
        """
        assert self._process.stdin is not None
        self._arguments = list(arguments)
        order: dict[str, object] = {"folder": str(folder), "arguments": self._arguments, "adds": environment is None}
        order["environment"] = {**(environment or {}), **(settings or {})}
        order |= {name: str(Path(self._output.name, name)) for name in ("stdin", "stdout", "stderr")}
        Path(self._output.name, "stdin").write_text(stdin, encoding="utf-8")
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


# It compiles the script and imports what that imports once. A run begins with what is asked for, then is the script.
SCRIPT = """
import sys

def run(arguments):
    prelude, *sys.argv = arguments
    exec(prelude, {"__name__": "__prelude__"})
    vars(sys.modules["__main__"])["__file__"] = sys.argv[0]
    exec(program, vars(sys.modules["__main__"]))

with open(sys.argv[1], "rb") as file:
    program = compile(file.read(), sys.argv[1], "exec", dont_inherit=True)
exec(program, {"__name__": "prepared"})
"""


class ScriptLauncher(Launcher):
    """Runs a script of one file, which needs the standard library alone."""

    def __init__(self, script: Path) -> None:
        self._script = str(script)
        super().__init__(SCRIPT, self._script, environment=without_python(os.environ))

    def run(self, *arguments: str, prelude: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end.

        :param prelude: Python that runs in its process before.
        """
        self.begin(Path.cwd(), [prelude, self._script, *arguments], without_python(os.environ), stdin=stdin)
        return self.wait()


# Each run has a process that waits for it, and says its id and how it ended. It ends when nobody gives orders any more.
KEEPING = """
import contextlib, gc, json, os, socket, sys

def begin(arguments, output, errors):
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, errors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    run(arguments)
    sys.exit()

def keep(arguments, output, errors, news):
    pid = os.fork()
    if pid == 0:
        os.close(news)
        begin(arguments, output, errors)
    os.close(output)
    os.close(errors)
    os.write(news, b"%d\\n" % pid)
    os.write(news, b"%d\\n" % os.waitpid(pid, 0)[1])
    os._exit(0)

orders = socket.socket(fileno=int(sys.argv[-1]))
gc.collect()
gc.freeze()
while True:
    order, descriptors, *_ = socket.recv_fds(orders, 1 << 16, 3)
    if not order:
        break
    if os.fork() == 0:
        orders.close()
        keep(json.loads(order), *descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
with contextlib.suppress(ChildProcessError):
    while os.wait():
        pass
"""


class Forked:
    """A process of a :class:`ScriptForker`: what there is of a :class:`subprocess.Popen`, as far as tests need it."""

    def __init__(self, news: IO[bytes], stdout: IO[str], stderr: IO[str]) -> None:
        self._news = news
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self.pid = self._next(PATIENCE)

    def _next(self, seconds: float) -> int:
        if not select.select([self._news], [], [], seconds)[0]:
            raise subprocess.TimeoutExpired("a script", seconds)
        return int(self._news.readline())

    def poll(self) -> int | None:
        """Return how it ended; None as long as it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; a negative code is that of a signal."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._next(timeout))
            self._news.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class ScriptForker:
    """Starts a script of one file, which needs the standard library alone, any number of times at once."""

    def __init__(self, script: Path) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", SCRIPT + KEEPING, str(script), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def start(self, *arguments: str) -> Forked:
        """Start the script, of which the first argument is the path."""
        pipes = [os.pipe() for _ in range(3)]
        socket.send_fds(self._orders, [json.dumps(["", *arguments]).encode()], [writing for _, writing in pipes])
        for _, writing in pipes:
            os.close(writing)
        (output, _), (errors, _), (news, _) = pipes
        return Forked(open(news, "rb", 0), open(output, encoding="utf-8"), open(errors, encoding="utf-8"))

    def close(self) -> None:
        """End what starts it."""
        self._orders.close()
        self._process.wait(30)


def without_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables without those that Python reads."""
    return {name: value for name, value in environment.items() if not name.startswith("PYTHON")}
