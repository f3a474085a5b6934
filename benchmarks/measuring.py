"""What the benchmarks share: run a command and say what it cost, start and end a server, print a table."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DODO = "from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command cost, with the processes that it started and waited for.

    :param seconds: from start to end, by the wall clock.
    :param processor: seconds of processor time, user and system.
    :param peak: bytes of memory, of the largest process; of all together where :func:`run` was told so.
    """

    seconds: float
    processor: float
    peak: int

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.processor:.2f} s of processor), {self.peak / 1e6:.0f} MB"


def run(
    command: Sequence[str | Path],
    folder: Path,
    log: Path,
    *,
    timeout: float,
    variables: Mapping[str, str] | None = None,
    expected: Sequence[int] = (0,),
    whole_memory: bool = False,
) -> Cost:
    """Run ``command`` in ``folder`` and return its cost; what it prints is added to ``log``.

    :param timeout: seconds, after which it is killed.
    :param whole_memory: watch the memory of all its processes (on Linux). This takes a quarter of the time of a run, so
        such a run tells nothing of time.
    :raises SystemExit: its exit status is not an expected one; the end of the log is shown.
    """
    with log.open("ab") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            # A user's Python keeps what it compiled: without that, a second of each run would be spent on it.
            env={**os.environ, **(variables or {}), "PYTHONDONTWRITEBYTECODE": ""},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.start()
        try:
            with watching_memory(process.pid if whole_memory else None) as sums:
                _, status, usage = os.wait4(process.pid, 0)
        finally:
            watchdog.cancel()
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        tail = log.read_text("utf-8", "replace")[-3000:]
        raise SystemExit(f"{tail}\n{command[0]} ended with {process.returncode} after {seconds:.0f} s; see {log}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max([usage.ru_maxrss * unit, *sums]))


@contextlib.contextmanager
def watching_memory(root: int | None) -> Iterator[list[int]]:
    """Give a list that fills, four times a second, with the bytes that a process and its descendants have together.

    PSS: of pages that several share, each has its part. What goes before it is looked at is passed over.
    """
    sums: list[int] = []
    if root is None:
        yield sums
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            parents = {int(stat.parent.name): _parent(stat) for stat in Path("/proc").glob("[0-9]*/stat")}
            family = {root}
            while more := {child for child, parent in parents.items() if parent in family} - family:
                family |= more
            sums.append(sum(map(_pss, family)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield sums
    finally:
        ended.set()
        watcher.join()


def _parent(stat: Path) -> int:
    with contextlib.suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return 0


def _pss(process: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0


@contextlib.contextmanager
def serving(command: Sequence[str | Path], folder: Path, *, timeout: float = 300) -> Iterator[str]:
    """Start a server that prints a line with its address when it is ready; give that line, and end it at the end.

    :param timeout: seconds for it to be ready.
    """
    process = subprocess.Popen(
        [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(timeout, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        watchdog.cancel()
        if not line:
            raise SystemExit(f"{command[0]} ended before it was ready")
        yield line
    finally:
        watchdog.cancel()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def scratch(given: Path | None) -> Iterator[Path]:
    """Give a folder to work in: the one that was asked for, which stays, or a temporary one, which does not."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="mirror-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


def put_aside(path: Path) -> None:
    """Rename what stands at ``path``, if anything does, so that a run there begins from nothing.

    It is not removed: ext4 without a journal looks at each inode that was freed within five minutes whenever a file is
    created. The same mirror of 526 files took 12.5 s of processor time in a new folder, and 16.8 s after two were removed.
    """
    if path.exists():
        taken = sum(1 for _ in path.parent.glob(f"{path.name}-before-*"))
        path.rename(path.with_name(f"{path.name}-before-{taken}"))


def doit() -> list[str | Path]:
    """Return the command that runs doit with the interpreter of this process, which has to have the project."""
    return [sys.executable, "-m", "doit"]


def with_checkout() -> dict[str, str]:
    """Return the variables that let this checkout be imported, before one that is installed."""
    return {"PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def size_of(folder: Path) -> tuple[int, int]:
    """Return how many distribution files a folder holds, and their bytes."""
    files = [path for path in folder.rglob("*") if path.name.endswith((".whl", ".tar.gz", ".zip"))]
    return len(files), sum(path.stat().st_size for path in files)


def machine() -> str:
    """Return a line that says where and when this was measured."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}{load}"
    )


def table(rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table, its first row the head."""
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)
