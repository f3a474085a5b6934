"""Measure a run with nothing changed on real pages: ``python benchmarks/unchanged.py``.

The nine requirements of ``against_reference.py`` on its two environments, from the index that pip uses here: mirrored once, then
`doit mirror` several times more, in turn with what such a run can't do without as it is: Python with doit, and pip that says its
settings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from against_reference import own_folder
from first_mirror import row
from measuring import Cost, doit, machine, run, scratch, size_of, table, with_checkout

COMMANDS: dict[str, list[str | Path]] = {
    "doit mirror": [*doit(), "mirror"],
    "doit help": [*doit(), "help"],
    "pip config list": [sys.executable, "-m", "pip", "config", "list"],
}


def main() -> None:
    """Read the command line, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="runs of each, of which the median counts")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument(
        "--folder", type=Path, help="mirror here, or go on with the mirror that is there (default: temporary)"
    )
    given = parser.parse_args()
    print(machine())
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    with scratch(given.folder) as folder:
        place = folder / "own"
        if not (place / "mirror" / "SHA256SUMS").exists():
            own_folder(place, "")
        for _ in range(2):  # the second brings what the first had no time to remember, such as compiled code
            run(COMMANDS["doit mirror"], place, folder / "log", timeout=given.timeout, variables=with_checkout())
        for _ in range(given.repeats):
            for name, command in COMMANDS.items():
                cost = run(command, place, folder / "log", timeout=given.timeout, variables=with_checkout())
                costs[name].append(cost)
        peak = run(
            COMMANDS["doit mirror"],
            place,
            folder / "log",
            timeout=given.timeout,
            variables=with_checkout(),
            whole_memory=True,
        ).peak
        files, size = size_of(place / "mirror")
    print(table([("", "s", "processor, s"), *(row(name, some) for name, some in costs.items())]))
    print(f"{files} files, {size / 1e6:.0f} MB; memory of all processes {peak / 1e6:.0f} MB; to reach: 0.8 s")


if __name__ == "__main__":
    main()
