"""Measure what a policy costs a plan of 300 popular projects on 4 environments: ``python benchmarks/policy.py``.

As ``plan_of_300.py``, from the same record, to which what a policy asks for more is added the first time. Plans are made in
turn: without a policy; with one of all rules but advisories; with advisories as well, of which there are as many as
``--records`` says, made up from real ones. One kind of policy refuses nothing, and costs what judging costs; the other has a
cooldown of two weeks and refuses what is high, so that other releases are chosen. Which licences are allowed is left out: by
which projects that refuses it is decided how far a resolver steps back, and not by what judging costs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from made_advisories import made_advisories
from measuring import Cost, machine, scratch
from plan_of_300 import plan

LENIENT = """\
policy:
  cooldown: 0d
  exclude: ["*-nightly"]
  only: ["*"]
  licences: {unknown: report}
"""
STRICT = """\
policy:
  cooldown: 14d
  exclude: ["*-nightly"]
  only: ["*"]
  licences: {unknown: report}
"""
ADVISORIES = "  advisories: {{from: {dump}, {refuse}malware: report}}\n"


def main() -> None:
    """Read the command line, record if need be, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=300, help="how many of popular.txt (default: 300)")
    parser.add_argument("--sdists", choices=("always", "fallback", "never"), default="never")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mirror-benchmark-index")
    parser.add_argument("--records", type=int, default=25_000, help="advisories (default: 25000)")
    parser.add_argument("--record", action="store_true", help="record what is missing first")
    parser.add_argument("--latency", type=float, default=10, help="milliseconds before each answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1500, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    with scratch(given.folder) as folder:
        kinds = kinds_of(made_advisories(given.records, folder / "all.zip"))
        if given.record or not given.cache.exists():
            for settings in kinds.values():
                plan(folder, given, record=True, settings=settings)
        costs: dict[str, list[Cost]] = {kind: [] for kind in kinds}
        for _ in range(given.repeats):
            for kind, settings in kinds.items():
                costs[kind].append(plan(folder, given, record=False, settings=settings))
        show(costs)


def kinds_of(dump: Path) -> Mapping[str, str]:
    """Return the settings of each kind of plan."""
    return {
        "no policy": "",
        "refuses nothing": LENIENT,
        "refuses nothing, advisories": LENIENT + ADVISORIES.format(dump=dump, refuse=""),
        "two weeks": STRICT,
        "two weeks, advisories": STRICT + ADVISORIES.format(dump=dump, refuse="refuse: high, "),
    }


def show(costs: Mapping[str, list[Cost]]) -> None:
    """Print the medians, and each against that without a policy."""
    base = {
        kind: statistics.median(getattr(one, kind) for one in costs["no policy"]) for kind in ("seconds", "processor")
    }
    for kind, found in costs.items():
        seconds, processor = (
            statistics.median(getattr(one, what) for one in found) for what in ("seconds", "processor")
        )
        more = f"{seconds / base['seconds'] - 1:+.0%} of time, {processor / base['processor'] - 1:+.0%} of processor"
        print(f"{kind:28} {seconds:6.1f} s, {processor:6.1f} s of processor: {more}")
    print("to reach: less than +10% without advisories, less than +25% with them")


if __name__ == "__main__":
    main()
