"""Measure resolving against uv: ``python benchmarks/against_uv.py``.

Nine requirements on two environments, from the index that pip uses here, in turn: ``doit plan`` from an empty state, wheels only;
and eighteen ``uv pip compile --no-build``, a requirement and an environment each, with one cache that begins empty.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from against_nab import index_of, told
from against_reference import CLIENTS, CONFIGURATION, REQUIREMENTS, empty, install
from measuring import DODO, PROJECT, Cost, machine, run, scratch, table

SETTINGS = "sdists: never\n"


def main() -> None:
    """Read the command line, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the median counts")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    ours: list[Cost] = []
    theirs: list[Cost] = []
    with scratch(given.folder) as folder:
        python = install(folder / "venv", f"{PROJECT}[prove]", given.timeout)
        index = index_of(python)
        for _ in range(given.repeats):
            theirs.append(told("eighteen uv pip compile", compile_all(folder, python, index, given.timeout)))
            ours.append(told("doit plan", plan(folder, python, given.timeout)))
    rows = [("", "s", "processor, s"), row("eighteen uv pip compile", theirs), row("doit plan", ours)]
    print(table(rows))
    slower, quicker = (statistics.median(cost.seconds for cost in costs) for costs in (theirs, ours))
    print(f"{slower / quicker:.1f} times faster; to reach: 12")


def row(name: str, costs: Sequence[Cost]) -> tuple[object, ...]:
    """Return a row of the table, of medians."""
    return (
        name,
        *(f"{statistics.median(getattr(cost, kind) for cost in costs):.2f}" for kind in ("seconds", "processor")),
    )


def plan(folder: Path, python: Path, timeout: float) -> Cost:
    """Plan with this project, from nothing."""
    place = empty(folder / "own")
    (place / "dodo.py").write_text(DODO, "utf-8")
    roots = "".join(f"  - {one}\n" for one in REQUIREMENTS)
    (place / "mirror.yaml").write_text(f"{SETTINGS}{CONFIGURATION}{roots}", "utf-8")
    # One requirement has no wheel on one environment, which is told by the exit status; uv tells it likewise.
    return run([python, "-m", "doit", "plan"], place, folder / "own.log", timeout=timeout, expected=(0, 1))


def compile_all(folder: Path, python: Path, index: str, timeout: float) -> Cost:
    """Let uv resolve each requirement on each environment, one after the other."""
    place = empty(folder / "uv")
    costs = []
    for version, platform in CLIENTS.values():
        for requirement in REQUIREMENTS:
            (place / "requirements.in").write_text(f"{requirement}\n", "utf-8")
            command: list[str | Path] = [
                python.with_name("uv"), "pip", "compile", "--quiet", "--no-config", "--no-python-downloads", "--no-build",
                "--cache-dir", place / "cache", "--python", python, "--python-version", version,
                "--python-platform", platform, "--default-index", index, "requirements.in",
            ]  # fmt: skip
            # One requirement needs a build on one environment, which uv then says.
            costs.append(run(command, place, folder / "uv.log", timeout=timeout, expected=(0, 1, 2)))
    return reduce(_both, costs)


def _both(one: Cost, other: Cost) -> Cost:
    return Cost(one.seconds + other.seconds, one.processor + other.processor, max(one.peak, other.peak))


if __name__ == "__main__":
    main()
