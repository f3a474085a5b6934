"""Measure a first mirror against a raw transfer of the very same bytes: ``python benchmarks/first_mirror.py``.

The nine requirements of ``against_reference.py`` on its two environments, from the index that pip uses here. One mirror, which is
not timed, says what is fetched; then the same pages, parts and files are fetched straight to the disk and mirrored in turn. The
raw transfer has as many connections as a mirror has tasks at once, in as many processes as receive; it hashes nothing, reads
nothing again, and waits for no answer to know what to ask for next.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import ssl
import statistics
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import urllib3
from against_reference import certificates, own_folder
from measuring import Cost, doit, machine, run, scratch, size_of, table, with_checkout

CONNECTIONS = 16  # as `workers` is by default
CHUNK = 1 << 18
PAGE = {"Accept": "application/vnd.pypi.simple.v1+json", "Accept-Encoding": "gzip"}
FILE = {"Accept-Encoding": "identity"}
LARGE = 32 << 20  # bytes; of a wheel of so many the end is fetched first, as work/metadata.py has it
TAIL = {**FILE, "Range": "bytes=-65536"}

Wanted = tuple[str, dict[str, str]]


def main() -> None:
    """Read the command line, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, of which the median counts")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument(
        "--folder", type=Path, help="work here, and leave it (default: a temporary folder, of some 8 GB)"
    )
    parser.add_argument("--raw", type=Path, nargs=2, metavar=("LIST", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.raw:
        transfer(*given.raw)
        return
    print(machine())
    costs: dict[str, list[Cost]] = {"raw transfer": [], "doit mirror": []}
    with scratch(given.folder) as folder:
        mirror(folder / "untimed", given.timeout)
        listed = folder / "list.json"
        listed.write_text(json.dumps(fetched(folder / "untimed" / ".mirror")), "utf-8")
        for number in range(given.repeats):  # nothing is removed between: to create files soon after that takes longer
            costs["raw transfer"].append(raw(folder / f"raw-{number}", listed, given.timeout))
            costs["doit mirror"].append(mirror(folder / f"own-{number}", given.timeout))
        files, size = size_of(folder / "untimed" / "mirror")
    print(f"{files} files, {size / 1e6:.0f} MB")
    print(table([("", "s", "processor, s"), *(row(name, some) for name, some in costs.items())]))
    raw_seconds, own_seconds = (statistics.median(cost.seconds for cost in some) for some in costs.values())
    print(f"{own_seconds / raw_seconds:.2f} times the raw transfer; to reach: 1.25, and 5 s of processor")


def row(name: str, costs: Sequence[Cost]) -> tuple[object, ...]:
    """Return a row of the table: medians, with the least and the most seconds."""
    seconds = sorted(cost.seconds for cost in costs)
    processor = statistics.median(cost.processor for cost in costs)
    return (name, f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})", f"{processor:.2f}")


def mirror(place: Path, timeout: float) -> Cost:
    """Mirror with this project, from nothing."""
    own_folder(place, "")
    cost = run([*doit(), "mirror"], place, place / "log", timeout=timeout, variables=with_checkout())
    print(f"doit mirror: {cost}", file=sys.stderr, flush=True)
    return cost


def raw(place: Path, listed: Path, timeout: float) -> Cost:
    """Fetch what is listed, straight to files."""
    place.mkdir()
    command: list[str | Path] = [sys.executable, Path(__file__).resolve(), "--raw", listed, place]
    cost = run(command, place, place.with_suffix(".log"), timeout=timeout, variables=certificates())
    print(f"raw transfer: {cost}", file=sys.stderr, flush=True)
    return cost


# --- What a mirror fetched


def fetched(state: Path) -> list[Wanted]:
    """Return what a mirror asked for, as its state tells it: pages, sidecars or the ends of large wheels, files."""
    plan = json.loads((state / "plan.json").read_bytes())
    files = [one["file"] for one in plan["files"]]
    read = {path.name.removesuffix(".json") for path in (state / "metadata").iterdir()}
    return [
        *pages(state),
        *parts(file for file in files if file["filename"] in read),
        *((file["url"], FILE) for file in files),
    ]


def pages(state: Path) -> list[Wanted]:
    """Return the pages: the second line of each record begins with what is remembered of the page."""
    records = sorted((state / "projects").glob("*.page"))
    return [(json.loads(record.read_bytes().split(b"\n", 2)[1])[1], PAGE) for record in records]


def parts(files: Iterable[dict[str, object]]) -> list[Wanted]:
    """Return what was fetched beside whole wheels to read their metadata."""
    found = []
    for file in files:
        if file["core_metadata"] is not None:
            found.append((f"{file['url']}.metadata", FILE))
        elif str(file["filename"]).endswith(".whl") and (file["size"] or LARGE) >= LARGE:  # type: ignore[operator]
            found.append((str(file["url"]), TAIL))
    return found


# --- The raw transfer


def transfer(listed: Path, folder: Path) -> None:
    """Fetch all that is listed, in several processes."""
    wanted = list(enumerate(json.loads(listed.read_text("utf-8"))))
    look_up_once({url for _, (url, _) in wanted})
    count = min(multiprocessing.cpu_count(), 4)
    processes = [
        multiprocessing.Process(target=fetch_all, args=(wanted[first::count], folder, CONNECTIONS // count))
        for first in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(1)


def look_up_once(urls: Iterable[str]) -> None:
    """Look each host up before all else, and never again: of sixteen lookups at a time one may wait 5 s for a lost answer."""
    look_up = lru_cache(maxsize=None)(socket.getaddrinfo)
    family = urllib3.util.connection.allowed_gai_family()
    for scheme, host, port in {(one.scheme, one.host, one.port) for one in map(urllib3.util.parse_url, urls)}:
        look_up(host, port or {"http": 80, "https": 443}[str(scheme)], family, socket.SOCK_STREAM)
    socket.getaddrinfo = look_up


def fetch_all(wanted: Sequence[tuple[int, Wanted]], folder: Path, connections: int) -> None:
    """Fetch some, several at a time."""
    pool = urllib3.PoolManager(maxsize=connections, ssl_context=ssl.create_default_context())

    def fetch(one: tuple[int, Wanted]) -> None:
        number, (url, headers) = one
        answer = pool.request("GET", url, headers=headers, preload_content=False)
        if answer.status not in (200, 206):
            raise SystemExit(f"{url}: status {answer.status}")
        with (folder / str(number)).open("wb", buffering=0) as stream:
            while chunk := answer.read(CHUNK, decode_content=False):
                stream.write(chunk)
        answer.release_conn()

    with ThreadPoolExecutor(connections) as threads:
        list(threads.map(fetch, wanted))


if __name__ == "__main__":
    main()
