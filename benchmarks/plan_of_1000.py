"""Measure `doit plan` of 1,000 popular projects on 4 environments, wheels only: ``python benchmarks/plan_of_1000.py``.

As ``plan_of_300.py``, with a record of its own: it prints the processor time of each run, and of one run more, which is not
timed, the peak of memory of all processes together.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import machine, scratch
from plan_of_300 import plan


def main() -> None:
    """Read the command line, record if need be, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=1000, help="how many of popular.txt (default: 1000)")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mirror-benchmark-index-1000")
    parser.add_argument(
        "--record", action="store_true", help="record what is missing first (default: if there is no cache)"
    )
    parser.add_argument("--latency", type=float, default=10, help="milliseconds before each answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1500, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    given.sdists = "never"
    print(machine())
    with scratch(given.folder) as folder:
        if given.record or not given.cache.exists():
            plan(folder, given, record=True)
        costs = []
        for _ in range(given.repeats):
            costs.append(plan(folder, given, record=False))
            print(costs[-1], file=sys.stderr, flush=True)
        peak = plan(folder, given, record=False, whole_memory=True).peak
        lines = (folder / "log").read_text("utf-8").splitlines()
        print(*[line for line in lines if line.startswith("resolved:")][-1:], sep="\n")
    seconds, processor = (statistics.median(getattr(cost, kind) for cost in costs) for kind in ("seconds", "processor"))
    print(
        f"{seconds:.1f} s; {processor:.1f} s of processor, to reach: 30 s; {peak / 1e6:.0f} MB together, to reach: 300 MB"
    )


if __name__ == "__main__":
    main()
