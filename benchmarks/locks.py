"""Measure `doit plan` of a lock of some 300 packages on 4 environments: ``python benchmarks/locks.py``.

The first time uv makes the lock, of popular projects from the real index (the one that pip uses here), and what a run asks of
that index is recorded, both into ``--cache``. Then runs are answered from the record on loopback, 10 ms after they asked: of
the lock from an empty state and again with nothing changed, and in turn with them the same packages as pinned requirements.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import tomli
import uv
from measuring import DODO, Cost, doit, machine, put_aside, run, scratch, serving, with_checkout
from plan_of_300 import ENVIRONMENTS, names

HERE = Path(__file__).resolve().parent
PROJECT = """\
[project]
name = "team"
version = "1"
requires-python = ">=3.10"
dependencies = [{}]
[tool.uv]
package = false
"""


def main() -> None:
    """Read the command line, record if need be, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=175, help="how many of popular.txt are locked (default: 175)")
    parser.add_argument("--sdists", choices=("always", "fallback", "never"), default="fallback")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mirror-benchmark-locks")
    parser.add_argument("--latency", type=float, default=10, help="milliseconds before each answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=1500, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    lock = locked(given)
    record = given.cache / given.sdists
    with scratch(given.folder) as folder:
        ways = {"lock": with_lock(folder / "lock", lock), "requirements": with_pins(folder / "requirements", lock)}
        if not record.exists():
            for way in ways.values():
                plan(way, given, record=True)
        first: dict[str, list[Cost]] = {name: [] for name in ways}
        again: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(given.repeats):
            for name, way in ways.items():
                put_aside(way / ".mirror")
                first[name].append(plan(way, given, record=False))
                again[name].append(plan(way, given, record=False))
    for name in ways:
        print(f"{name}, from an empty state: {middle(first[name])}; again: {middle(again[name])}")
    ratio = statistics.median(
        one.processor / other.processor for one, other in zip(again["lock"], again["requirements"], strict=True)
    )
    print(f"again, the lock against requirements, processor time, median of pairs: {ratio:.2f}; to reach: 1 or less")
    print(
        f"the lock from an empty state: {statistics.median(one.seconds for one in first['lock']):.1f} s; to reach: 10 s"
    )


def locked(given: argparse.Namespace) -> Path:
    """Return the lock, made the first time."""
    folder = given.cache / f"lock-{given.roots}"
    if not (folder / "uv.lock").exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = PROJECT.format(", ".join(f'"{name}"' for name in names()[: given.roots]))
        (folder / "pyproject.toml").write_text(text, "utf-8")
        command = [uv.find_uv_bin(), "lock", "--no-python-downloads", "--python", sys.executable]
        run(command, folder, folder / "log", timeout=given.timeout)
    return Path(folder / "uv.lock")


def with_lock(folder: Path, lock: Path) -> Path:
    """Make a folder whose mirror.yaml names the lock."""
    folder.mkdir()
    shutil.copy(lock, folder / "uv.lock")
    (folder / "requirements.yaml").write_text("requirements:\n  - {lock: uv.lock}\n", "utf-8")
    return folder


def with_pins(folder: Path, lock: Path) -> Path:
    """Make a folder whose mirror.yaml has the packages of the lock, one by one."""
    folder.mkdir()
    packages = tomli.loads(lock.read_text("utf-8"))["package"]
    pins = [f"  - {one['name']}=={one['version']}\n" for one in packages if "registry" in one["source"]]
    print(f"{len(pins)} packages are locked")
    (folder / "requirements.yaml").write_text(f"requirements:\n{''.join(pins)}", "utf-8")
    return folder


def plan(folder: Path, given: argparse.Namespace, *, record: bool) -> Cost:
    """Run `doit plan` and return its cost."""
    (folder / "dodo.py").write_text(DODO, "utf-8")
    server = [sys.executable, HERE / "loopback.py", "--replay", given.cache / given.sdists]
    server += ["--latency", "0", "--record"] if record else ["--latency", str(given.latency)]
    with serving(server, folder) as index:
        settings = f"index: {index}\nsdists: {given.sdists}\n{ENVIRONMENTS}"
        (folder / "mirror.yaml").write_text(settings + (folder / "requirements.yaml").read_text("utf-8"), "utf-8")
        log = folder / "log"
        return run([*doit(), "plan"], folder, log, timeout=given.timeout, variables=with_checkout(), expected=(0, 1))


def middle(costs: list[Cost]) -> Cost:
    """Return the cost whose time is the median."""
    return sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]


if __name__ == "__main__":
    main()
