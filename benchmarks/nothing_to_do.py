"""Measure what a run with nothing to do costs for each file: ``python benchmarks/nothing_to_do.py``.

A made-up index on loopback, 2 releases a project, 10 tiny files a release, one project in ten asked for by name. It is
mirrored once at each size; then `doit mirror` runs again, several times, with nothing changed. A mirror of 200
files shows what the start costs, which is no cost of files.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from loopback import Made
from measuring import DODO, Cost, doit, machine, run, scratch, serving, size_of, table, with_checkout

HERE = Path(__file__).resolve().parent
SIZES = (1_000, 5_000, 20_000, 50_000)
SMALLEST = 200  # files, of ten projects that require each other: next to nothing but the start


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="FILES")
    parser.add_argument("--repeats", type=int, default=3, help="runs with nothing to do, of which the median counts")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    heads = ("files", "first run", "nothing to do", "processor", "µs of it a file", "beyond the start's", "peak")
    rows: list[tuple[object, ...]] = [heads]
    beyond: list[float] = []
    with scratch(given.folder) as folder:
        start: float | None = None
        for size in (SMALLEST, *given.sizes):
            first, again = measure(size, folder / str(size), given.repeats, given.timeout)
            processor = statistics.median(cost.processor for cost in again)
            start = processor if start is None else start
            beyond.append((processor - start) / max(1, size - SMALLEST) * 1e6)
            rows.append(
                (
                    size,
                    f"{first.seconds:.1f} s",
                    f"{statistics.median(cost.seconds for cost in again):.2f} s",
                    f"{processor:.2f} s",
                    f"{processor / size * 1e6:.0f}",
                    f"{beyond[-1]:.0f}" if size > SMALLEST else "",
                    f"{max(cost.peak for cost in again) / 1e6:.0f} MB",
                )
            )
            print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    print(f"a file beyond the start, dearest against cheapest: {max(beyond[1:]) / min(beyond[1:]):.2f}; to reach: 1.5")


def measure(files: int, folder: Path, repeats: int, timeout: float) -> tuple[Cost, list[Cost]]:
    """Mirror so many files, then run again with nothing to do; return the costs."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with serving([sys.executable, HERE / "loopback.py", "--made", str(files)], folder) as index:
        (folder / "mirror.yaml").write_text(configuration(index, files), "utf-8")
        (folder / "dodo.py").write_text(DODO, "utf-8")
        command = [*doit(), "mirror"]
        first = run(command, folder, log, timeout=timeout, variables=with_checkout())
        found, _ = size_of(folder / "mirror")
        if found != files:
            raise SystemExit(f"expected {files} files in the mirror, found {found}; see {log}")
        again = [run(command, folder, log, timeout=timeout, variables=with_checkout()) for _ in range(repeats)]
    return first, again


def configuration(index: str, files: int) -> str:
    """Return the mirror.yaml."""
    roots = "".join(f"  - {name}\n" for name in Made.roots(files))
    return (
        f"index: {index}\nversions: 2\nenvironments:\n"
        f'  server: {{python: "3.12.7", platform: linux-x86_64, glibc: "2.28"}}\nrequirements:\n{roots}'
    )


if __name__ == "__main__":
    main()
