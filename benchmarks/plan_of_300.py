"""Measure `doit plan` of 300 popular projects on 4 environments: ``python benchmarks/plan_of_300.py``.

The real index (the one that pip uses here) is recorded the first time, into ``--cache``: pages, metadata, the ranges
of wheels that are read, the sdists. Then each run, from an empty state, is answered from the record on loopback, 10 ms
after it asked.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import DODO, Cost, doit, machine, put_aside, run, scratch, serving, with_checkout

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = """\
environments:
  server: {python: "3.12", platform: linux-x86_64}
  older: {python: "3.10", platform: linux-x86_64}
  laptop: {python: "3.11", platform: windows-amd64}
  mac: {python: "3.13", platform: macos-arm64}
"""


def main() -> None:
    """Read the command line, record if need be, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=300, help="how many of popular.txt (default: 300)")
    parser.add_argument("--sdists", choices=("always", "fallback", "never"), default="always")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mirror-benchmark-index")
    parser.add_argument(
        "--record", action="store_true", help="record what is missing first (default: if there is no cache)"
    )
    parser.add_argument("--latency", type=float, default=10, help="milliseconds before each answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1500, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    with scratch(given.folder) as folder:
        if given.record or not given.cache.exists():
            plan(folder, given, record=True)
        costs = [plan(folder, given, record=False) for _ in range(given.repeats)]
        lines = (folder / "log").read_text("utf-8").splitlines()
        print(*[line for line in lines if line.startswith("resolved:")][-1:], sep="\n")
    for cost in costs:
        print(cost)
    print(f"median: {statistics.median(cost.seconds for cost in costs):.1f} s; to reach: 30 s")


def plan(
    folder: Path, given: argparse.Namespace, *, record: bool, settings: str = "", whole_memory: bool = False
) -> Cost:
    """Run `doit plan` from an empty state and return its cost.

    :param settings: further keys of ``mirror.yaml``.
    :param whole_memory: see :func:`measuring.run`.
    """
    put_aside(folder / ".mirror")
    (folder / "dodo.py").write_text(DODO, "utf-8")
    server = [
        sys.executable,
        HERE / "loopback.py",
        "--replay",
        given.cache,
        "--latency",
        "0" if record else str(given.latency),
    ]
    with serving([*server, *(["--record"] if record else [])], folder) as index:
        roots = "".join(f"  - {name}\n" for name in names()[: given.roots])
        text = f"index: {index}\nsdists: {given.sdists}\n{settings}{ENVIRONMENTS}requirements:\n{roots}"
        (folder / "mirror.yaml").write_text(text, "utf-8")
        # A root that no environment can have is told by the exit status; the plan is made all the same.
        return run(
            [*doit(), "plan"],
            folder,
            folder / "log",
            timeout=given.timeout,
            variables=with_checkout(),
            expected=(0, 1),
            whole_memory=whole_memory,
        )


def names() -> list[str]:
    """Return the names in popular.txt."""
    lines = (HERE / "popular.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


if __name__ == "__main__":
    main()
