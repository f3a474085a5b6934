"""Measure this project against nab, a resolver with a downloader: ``python benchmarks/against_nab.py``.

Eight requirements on CPython 3.11 and 3.12 on linux x86_64 and windows amd64, from the index that pip uses here, caches cold:
``nab download`` and ``doit mirror`` in turn, and ``doit mirror`` without what building the sdists requires, which nab does not
look for: that has the files that nab has. With ``--busy`` something else keeps half of each processor busy meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

from against_reference import REQUIREMENTS, certificates, empty, install
from measuring import DODO, PROJECT, Cost, machine, run, scratch, size_of, table

ROOTS = [
    one for one in REQUIREMENTS if not one.startswith("xonsh")
]  # that has no wheel which fits, and nab builds nothing
WITHOUT_BUILDS = "doit mirror, build-requirements: false"
SLICE = 0.005  # seconds of work, then as many of rest
CONFIGURATION = """\
environments:
  linux311: {python: "3.11", platform: linux-x86_64}
  linux312: {python: "3.12", platform: linux-x86_64}
  windows311: {python: "3.11", platform: windows-amd64}
  windows312: {python: "3.12", platform: windows-amd64}
requirements:
"""


def main() -> None:
    """Read the command line, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the median counts")
    parser.add_argument("--busy", action="store_true", help="keep half of each processor busy meanwhile")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    with scratch(given.folder) as folder:
        own = install(folder / "venv", str(PROJECT), given.timeout)
        nab = install(folder / "venv-nab", "nab", given.timeout).with_name("nab")
        index = index_of(own)
        costs: dict[str, list[Cost]] = {"nab download": [], "doit mirror": [], WITHOUT_BUILDS: []}
        with busy() if given.busy else contextlib.nullcontext():
            for _ in range(given.repeats):
                costs["nab download"].append(download(folder, nab, index, given.timeout))
                costs["doit mirror"].append(mirror(folder / "own", own, "", given.timeout))
                costs[WITHOUT_BUILDS].append(mirror(folder / "few", own, "build-requirements: false\n", given.timeout))
        sizes = {
            "nab download": size_of(folder / "nab" / "out"),
            "doit mirror": size_of(folder / "own" / "mirror"),
            WITHOUT_BUILDS: size_of(folder / "few" / "mirror"),
        }
    print(table([("", "s", "processor, s", "files", "MB"), *(row(name, costs[name], *sizes[name]) for name in costs)]))
    theirs, ours, few = (statistics.median(cost.seconds for cost in some) for some in costs.values())
    print(f"{theirs / ours:.2f} times faster as a whole; to reach: 1.5. Without build requirements: {theirs / few:.2f}")


def row(name: str, costs: list[Cost], files: int, size: int) -> tuple[object, ...]:
    """Return a row of the table: medians, with the least and the most seconds."""
    seconds = sorted(cost.seconds for cost in costs)
    median = f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})"
    processor = statistics.median(cost.processor for cost in costs)
    return (name, median, f"{processor:.2f}", files, f"{size / 1e6:.0f}")


def index_of(python: Path) -> str:
    """Return the URL of the index that pip uses here."""
    asked = [str(python), "-c", "from mirror_tasks.index.pip_settings import default_index; print(default_index())"]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def download(folder: Path, nab: Path, index: str, timeout: float) -> Cost:
    """Let nab resolve and download everything, with a cache of its own that is empty."""
    place = empty(folder / "nab")
    (place / "pyproject.toml").write_text(
        f"""\
[project]
name = "wanted"
version = "0"
requires-python = ">=3.11,<3.13"
dependencies = {json.dumps(ROOTS)}

[tool.nab]
mode = "universal"
indexes = [{{name = "here", url = {json.dumps(index)}}}]

[tool.nab.matrix]
python = ">=3.11,<3.13"
platforms = ["linux_x86_64", "windows_amd64"]
""",
        "utf-8",
    )
    command: list[str | Path] = [nab, "download", "--cache-dir", place / "cache", "--output", place / "out"]
    return told("nab download", run(command, place, folder / "nab.log", timeout=timeout, variables=certificates()))


def mirror(folder: Path, python: Path, settings: str, timeout: float) -> Cost:
    """Mirror with this project, from nothing."""
    place = empty(folder)
    (place / "dodo.py").write_text(DODO, "utf-8")
    roots = "".join(f"  - {one}\n" for one in ROOTS)
    (place / "mirror.yaml").write_text(f"{settings}{CONFIGURATION}{roots}", "utf-8")
    log = folder.with_suffix(".log")
    return told(f"doit mirror {settings}".strip(), run([python, "-m", "doit", "mirror"], place, log, timeout=timeout))


def told(name: str, cost: Cost) -> Cost:
    """Print a cost as soon as it is known."""
    print(f"{name}: {cost}", flush=True)
    return cost


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keep half of each processor busy, with a process for each that works and rests in turn."""
    ended = multiprocessing.Event()
    workers = [multiprocessing.Process(target=work, args=(ended,), daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def work(ended: Event) -> None:
    """Work and rest in turn, until told to end."""
    while not ended.wait(SLICE):
        until = time.monotonic() + SLICE
        while time.monotonic() < until:
            pass


if __name__ == "__main__":
    main()
