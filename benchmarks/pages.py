"""What it takes to read project pages: the processor time for pages of 100,000 files in all, as one index serves them.

Half of it is reading JSON. What is left is this project's own: each entry is checked, and becomes what is kept of
a file. The share of a first mirror (8 s of processor time, 203 pages with 102,000 files) is what a change for
speed is judged by: below 3 % it is not worth a line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from statistics import median

from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import Project
from mirror_tasks.index.untrusted_json import read_untrusted

RUN = 8.0  # seconds of processor time, a first mirror of nine requirements on two environments
PYTHONS = ("cp39", "cp310", "cp311", "cp312", "cp313")
PLATFORMS = (
    "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "musllinux_1_2_x86_64",
    "macosx_11_0_arm64",
    "win_amd64",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--files", type=int, default=500, help="of each page")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    bodies = {name: page(name, options.files) for name in map("project-{}".format, range(options.pages))}

    reading = measured(lambda: [read(body) for body in bodies.values()], options.rounds)
    parsing = measured(lambda: [parsed(body, name) for name, body in bodies.items()], options.rounds)
    files = options.pages * options.files
    own = parsing - reading
    print(f"{options.pages:,} pages with {files:,} files, {sum(map(len, bodies.values())) / 1e6:.0f} MB of JSON")
    print(f"read as JSON alone   {reading:6.3f} s of processor time")
    print(f"read by parse_page   {parsing:6.3f} s")
    print(f"this project's part  {own:6.3f} s, {own / files * 1e6:.1f} µs a file, {own / RUN:.1%} of a first mirror")


def measured(work: Callable[[], object], rounds: int) -> float:
    """Return the median of the processor time that ``work`` takes, in seconds."""
    took = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return median(took)


def read(body: bytes) -> object:
    return read_untrusted(body, most_containers=500_000, most_values=2_000_000)


def parsed(body: bytes, name: str) -> Project:
    project = parse_page(body, JSON_TYPE, f"https://index.example.com/simple/{name}/", name)
    if project.skipped:
        raise SystemExit(f"a file was skipped: {project.skipped[0]}")
    return project


def page(name: str, count: int) -> bytes:
    """Return a page of ``count`` files: releases with a wheel for each Python and platform, and an sdist."""
    files = [entry(filename, number) for number, filename in enumerate(filenames(name, count))]
    head = {"meta": {"api-version": "1.4", "_last-serial": 1}, "name": name, "versions": []}
    return json.dumps({**head, "files": files}).encode()


def filenames(name: str, count: int) -> list[str]:
    stem = name.replace("-", "_")
    kinds = [f"-{python}-{python}-{platform}.whl" for python in PYTHONS for platform in PLATFORMS] + [".tar.gz"]
    return [
        f"{stem}-{release // 10}.{release % 10}.0{kinds[kind]}"
        for release, kind in (divmod(number, len(kinds)) for number in range(count))
    ]


def entry(filename: str, number: int) -> dict[str, object]:
    sha256, own = (hashlib.sha256(f"{text}{filename}".encode()).hexdigest() for text in ("", "metadata"))
    metadata = {"sha256": own} if filename.endswith(".whl") else False
    return {
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
        "filename": filename,
        "hashes": {"sha256": sha256},
        "provenance": None,
        "requires-python": f">=3.{number // 100 % 6 + 7}",
        "size": 10_000 + number,
        "upload-time": f"2024-11-{number % 28 + 1:02}T10:11:12.123456Z",
        "url": f"https://files.example.com/packages/{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}/{filename}",
        "yanked": number % 97 == 0,
    }


if __name__ == "__main__":
    main()
