"""Measure the solver on seeded worlds that make it search: ``python benchmarks/hard_worlds.py``.

Each world has PROJECTS projects of RELEASES releases, and each release requires three others, within random ranges. All
is known beforehand, so that only the search is measured; each world is solved in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from packaging.requirements import Requirement

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.model import RequestedRequirement, Root
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Solution, Solver

SIZES = ((10, 40), (15, 60), (20, 80), (30, 100))
URL = "https://index.example.com/simple/"


def world(projects: int, releases: int, seed: int) -> dict[str, dict[int, list[str]]]:
    """Return what each release of each project requires."""
    chance = random.Random(seed)
    names = [f"p{number}" for number in range(projects)]
    return {
        name: {version: _requires(chance, name, names, releases) for version in range(1, releases + 1)}
        for name in names
    }


def _requires(chance: random.Random, name: str, names: list[str], releases: int) -> list[str]:
    required = []
    for other in chance.sample([one for one in names if one != name], 3):
        low = chance.randint(1, releases)
        high = chance.randint(low, releases)
        required.append(f"{other}>={low},<={high}")
    return required


class Known:
    """A universe in which everything is known."""

    def __init__(self, index: Mapping[str, Mapping[int, list[str]]]) -> None:
        self._index = index
        self._projects: dict[str, Project] = {}

    def project(self, name: str) -> Project | None:
        """Return a project; its releases are wheels."""
        if name not in self._projects and name in self._index:
            files = [
                {
                    "filename": f"{name}-{version}-py3-none-any.whl",
                    "url": f"{name}-{version}-py3-none-any.whl",
                    "hashes": {"sha256": hashlib.sha256(f"{name}-{version}".encode()).hexdigest()},
                }
                for version in self._index[name]
            ]
            body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
            self._projects[name] = parse_page(body, JSON_TYPE, f"{URL}{name}/", name)
        return self._projects.get(name)

    def metadata(self, name: str, file: File) -> CoreMetadata:
        """Return what a release requires."""
        version = file.filename.split("-")[1]
        return CoreMetadata(
            name=name,
            version=version,
            requires_python=None,
            requires_dist=tuple(self._index[name][int(version)]),
            provides_extra=(),
            build_requires=(),
            build_backend=None,
            source="METADATA",
            problems=(),
            summary=None,
        )


def solve(projects: int, releases: int, seed: int) -> dict[str, Any]:
    """Solve one world for ``p0``; return what was found, in how many seconds, in how many MB."""
    universe = Known(world(projects, releases, seed))
    here = environment("one", {"python": "3.12.1", "platform": "linux-x86_64"}, "environments.one")
    asked = RequestedRequirement(requirement=Requirement("p0"), where="here")
    begun = time.perf_counter()
    found = Solver(here, universe, Rules()).solve(Root(name="p0", key_path="", requirements=(asked,)))
    return {
        "solved": isinstance(found, Solution),
        "seconds": round(time.perf_counter() - begun, 2),
        "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "found": dict(found.pins) if isinstance(found, Solution) else str(found)[:300],
    }


def main() -> None:
    """Read the command line, solve, print a line for each world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="worlds of each size (default: 2)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one world (default: 300)")
    parser.add_argument("--one", help="solve just this one: PROJECTS,RELEASES,SEED; prints JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(solve(*map(int, given.one.split(",")))))
        return
    for projects, releases in SIZES:
        for seed in range(given.seeds):
            command = [sys.executable, __file__, "--one", f"{projects},{releases},{seed}"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=given.timeout, check=False)
                told = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr.strip()[-200:]}
            except subprocess.TimeoutExpired:
                told = {"failed": f"no end within {given.timeout:g} s"}
            print(f"{projects} x {releases}, seed {seed}:", {k: v for k, v in told.items() if k != "found"}, flush=True)


if __name__ == "__main__":
    main()
