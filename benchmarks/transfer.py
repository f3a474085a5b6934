"""Measure the crossing: ``python benchmarks/transfer.py``. What it prints is in the README beside it.

- ``delta``: a made-up mirror of so many files, of which one family of ten projects, 200 files, comes with the second
  bundle. How long `doit bundle` and `receive.py` take for it, beyond copying and beyond hashing those 200.
- ``full``: verifying and applying a full bundle of files of real sizes, against ``sha256sum`` and ``cp`` of the same.
- ``month``: nine real requirements as they were a month ago and as they are now: the bytes of the second bundle, against
  copying the mirror, and against a compressed archive of the files that changed. Needs the package index.

``transfer_installs.py`` counts installs that fail meanwhile. Nothing is signed, which would measure another program.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from loopback import Made
from measuring import DODO, PROJECT, Cost, doit, machine, run, scratch, serving, table, with_checkout

HERE = Path(__file__).resolve().parent
RECEIVER = PROJECT / "server_template" / "receive.py"
FAMILY = Made.FAMILY * Made.FILES_OF_RELEASE * len(Made.RELEASES)  # files that come with the delta
NINE = ("requests", "flask", "pandas", "scikit-learn", "fastapi", "sqlalchemy", "pytest", "httpx", "matplotlib")
PARTS = ("delta", "full", "month")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--files", type=int, default=50_000, help="of the made-up mirror (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=1_500_000_000, help="of the full bundle (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of what is compared; medians count")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    measures: Mapping[str, Callable[[argparse.Namespace, Path], list[tuple[object, ...]]]] = {
        "delta": delta,
        "full": full,
        "month": month,
    }
    with scratch(given.folder) as folder:
        for part in given.parts:
            (folder / part).mkdir(parents=True, exist_ok=True)
            print(f"\n{table([('what', 'measured', 'to reach'), *measures[part](given, folder / part)])}", flush=True)


class Outside:
    """A project that is mirrored and bundled, as a user does it."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self.folder = folder
        self.stick = folder.parent / "stick"
        self._log = folder.parent / "log"
        self._timeout = timeout
        for one in (folder, self.stick):
            one.mkdir(parents=True, exist_ok=True)
        (folder / "dodo.py").write_text(DODO, "utf-8")

    def configure(self, **settings: object) -> None:
        """Write ``mirror.yaml``, which may be JSON."""
        transfer = {"to": str(self.stick), "sign": "none", **(settings.pop("transfer", None) or {})}  # type: ignore[dict-item]
        (self.folder / "mirror.yaml").write_text(json.dumps({"transfer": transfer, **settings}), "utf-8")

    def doit(self, *arguments: str, whole_memory: bool = False) -> Cost:
        """Run doit."""
        command: list[str | Path] = [*doit(), *arguments]
        return run(
            command,
            self.folder,
            self._log,
            timeout=self._timeout,
            variables=with_checkout(),
            whole_memory=whole_memory,
        )

    def receive(self, stick: Path, inside: Path, *, whole_memory: bool = False) -> Cost:
        """Run receive.py."""
        command: list[str | Path] = [sys.executable, "-I", RECEIVER, stick, "--to", inside, "--unsigned"]
        return run(command, self.folder, self._log, timeout=self._timeout, whole_memory=whole_memory)


def delta(given: argparse.Namespace, folder: Path) -> list[tuple[object, ...]]:
    """Measure a delta of one family in a large mirror."""
    outside, inside = Outside(folder / "outside", given.timeout), folder / "srv"
    with serving([sys.executable, HERE / "loopback.py", "--made", str(given.files)], folder) as index:
        roots = Made.roots(given.files)
        for number, wanted in enumerate((roots[:-1], roots), 1):
            outside.configure(**made_settings(index, wanted))
            outside.doit("mirror")
            if number == 1:
                outside.doit("bundle", "--unproven")
                outside.receive(outside.stick, inside)
                outside.doit("bundle", "--sent", "1")
                shutil.move(outside.stick / "main-1", folder / "main-1")
    bundled, applied = [], []
    for _ in range(given.repeats):
        shutil.rmtree(outside.stick / "main-2", ignore_errors=True)
        forget(outside.folder / ".mirror")
        bundled.append(outside.doit("bundle", "--unproven"))
        with standing_still(inside):
            applied.append(outside.receive(outside.stick, inside))
    with standing_still(inside):
        memory = outside.receive(outside.stick, inside, whole_memory=True).peak
    manifest = json.loads(next(outside.stick.glob("main-2/volume-1-*/manifest.json")).read_bytes())
    carried = list((outside.stick / "main-2").glob("volume-*/files/packages/*/*"))
    copying = seconds(lambda: shutil.copytree(outside.stick / "main-2", folder / "copy"))
    hashing = seconds(lambda: [hashlib.sha256(path.read_bytes()).digest() for path in carried])
    state = f"{len(carried)} of {len(manifest['files'])} files of the state"
    bundle = statistics.median(cost.seconds for cost in bundled) - copying
    apply = statistics.median(cost.seconds for cost in applied) - hashing
    return [
        (f"`doit bundle` of {state}, beyond copying them ({copying:.2f} s)", f"{bundle:.2f} s", "2 s"),
        (f"`receive.py` of the same, beyond hashing them ({hashing:.2f} s)", f"{apply:.2f} s", "2 s"),
        ("memory of the latter", f"{memory / 1e6:.0f} MB", "100 MB"),
    ]


def made_settings(index: str, roots: list[str]) -> dict[str, object]:
    """Return what mirror.yaml says of a made-up index."""
    server = {"python": "3.12.7", "platform": "linux-x86_64", "glibc": "2.28"}
    return {"index": index, "versions": 2, "environments": {"server": server}, "requirements": roots}


def forget(state: Path) -> None:
    """Forget the second bundle, so that it is made anew."""
    for path in state.glob("transfer/**/2"):
        shutil.rmtree(path)


class standing_still:  # noqa: N801 - it is used like a function
    """Put a mirror inside back to what it was, when the block ends; hard links make that cheap."""

    def __init__(self, inside: Path) -> None:
        self._inside, self._copy = inside, inside.with_name("before")

    def __enter__(self) -> None:
        subprocess.run(["cp", "-al", self._inside, self._copy], check=True)
        for path in (self._inside / "received" / "state.json", self._inside / "server.py", self._inside / "receive.py"):
            path.write_bytes(content := path.read_bytes())
            kept = self._copy / path.relative_to(self._inside)
            kept.unlink()
            kept.write_bytes(content)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._inside)
        self._copy.rename(self._inside)


def seconds(action: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def full(given: argparse.Namespace, folder: Path) -> list[tuple[object, ...]]:
    """Measure a full bundle of files of real sizes, in turn with sha256sum and cp of the same."""
    bundle = handmade(folder / "stick" / "main-1", given.bytes)
    outside = Outside(folder / "outside", given.timeout)
    ours, theirs, synced = [], [], []
    for number in range(given.repeats + 1):
        inside, copy = folder / f"srv-{number}", folder / f"copy-{number}"
        pair = outside.receive(bundle, inside).seconds, seconds(partial(hash_and_copy, bundle, copy))
        wait = seconds(os.sync)
        shutil.rmtree(inside)
        shutil.rmtree(copy)
        os.sync()
        if number:  # the first reads what the system has not in its memory yet
            ours.append(pair[0])
            theirs.append(pair[1])
            synced.append(pair[1] + wait)
    ratio = statistics.median(ours) / statistics.median(theirs)
    durable = statistics.median(ours) / statistics.median(synced)
    times = f"{statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s"
    return [
        (
            f"verify and apply {given.bytes / 1e6:.0f} MB, against `sha256sum` and `cp` ({times})",
            f"{ratio:.2f}",
            "1.3",
        ),
        ("the same, where these have it on the disk too (`sync`), as `receive.py` has", f"{durable:.2f}", ""),
    ]


def hash_and_copy(bundle: Path, copy: Path) -> None:
    """Do what an operator does without this project."""
    script = 'cd "$1" && find . -type f -print0 | xargs -0 sha256sum > "$2.sums" && cp -r . "$2"'
    subprocess.run(["sh", "-c", script, "sh", str(bundle), str(copy)], check=True)


def handmade(bundle: Path, total: int) -> Path:
    """Write a full bundle of one volume with wheels of sizes as they are met: many small ones, few large ones."""
    volume = bundle / "volume-1-of-1"
    files = dict(small_files())
    random = hashlib.shake_256(b"transfer").digest(1 << 20)
    number = left = 0
    left = total
    while left > 0:
        size = min(left, (20_000, 60_000, 200_000, 1_000_000, 8_000_000, 40_000_000)[number % 6])
        content = (number.to_bytes(8, "big") + random * (size // len(random) + 1))[:size]
        files[f"packages/made-{number}/made_{number}-1.0-py3-none-any.whl"] = content
        number, left = number + 1, left - size
        for path in list(files):
            put(volume / "files" / path, files[path])
            files[path] = b""
    sums = "".join(f"{hash_of(volume / 'files' / path)}  {path}\n" for path in sorted(files)).encode()
    put(volume / "files" / "SHA256SUMS", sums)
    write_manifest(volume, sorted([*files, "SHA256SUMS"]))
    return bundle


def small_files() -> Iterator[tuple[str, bytes]]:
    """Yield what every mirror has."""
    for path in ("mirror.json", "server.py", "receive.py", "simple/index.html", "simple/index.v1_json", "index.html"):
        yield path, f"{path}\n".encode()


def put(path: Path, content: bytes) -> None:
    """Write a file, unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return digest(path.read_bytes())


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def write_manifest(volume: Path, paths: list[str]) -> None:
    """Write the manifest of a full bundle of one volume, as docs/bundle-format.md has it."""
    known = {path: (hash_of(volume / "files" / path), (volume / "files" / path).stat().st_size) for path in paths}
    contents = {sha256: (path, size) for path, (sha256, size) in known.items()}
    made = {"at": "2026-11-26T12:00:00Z", "by": "benchmark", "plan": "0" * 64}
    document = {
        "base": None,
        "contents": [[one, size, [[1, path, size, one]]] for one, (path, size) in sorted(contents.items())],
        "files": [[path, *known[path]] for path in paths],
        "format": 1,
        "keep": None,
        "made": {**made, "proof": None, "report": None, "approval": None},
        "sequence": 1,
        "stream": "main",
        "volumes": 1,
    }
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    (volume / "manifest.json").write_bytes(content)
    (volume / "volume.json").write_text(json.dumps({"manifest": digest(content), "volume": 1}))


def month(given: argparse.Namespace, folder: Path) -> list[tuple[object, ...]]:
    """Measure what a month's update of real requirements carries."""
    outside = Outside(folder / "outside", given.timeout)
    day = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=30)).date().isoformat()
    record: list[str | Path] = [sys.executable, HERE / "loopback.py", "--record", "--replay", folder / "recorded"]
    sums: list[dict[str, str]] = []
    times: tuple[list[str | Path], ...] = (["--until", day], [])
    for options in times:
        with serving([*record, *options], folder) as index:
            outside.configure(index=index, environments=two_environments(), requirements=NINE)
            outside.doit("mirror")
        lines = (outside.folder / "mirror" / "SHA256SUMS").read_text().splitlines()
        sums.append({line[66:]: line[:64] for line in lines})
        outside.doit("bundle", "--unproven")
        outside.doit("bundle", "--sent", str(len(sums)))
    changed = [path for path, sha256 in sums[1].items() if sums[0].get(path) != sha256]
    mirror = outside.folder / "mirror"
    whole = sum((mirror / path).stat().st_size for path in sums[1])
    with tarfile.open(folder / "changed.tar.gz", "w:gz") as archive:
        for path in changed:
            archive.add(mirror / path, path)
    packed = (folder / "changed.tar.gz").stat().st_size
    carried = sum(path.stat().st_size for path in (outside.stick / "main-2").rglob("*") if path.is_file())
    return [
        (f"the mirror of nine requirements, {len(sums[1])} files", f"{whole / 1e6:.1f} MB", ""),
        (f"what changed since {day}: {len(changed)} files, as an archive (tar.gz)", f"{packed / 1e6:.1f} MB", ""),
        ("the bundle", f"{carried / 1e6:.1f} MB", ""),
    ]


def two_environments() -> dict[str, object]:
    """Return two environments."""
    return {
        "server": {"python": "3.11", "platform": "linux-x86_64", "glibc": "2.28"},
        "laptop": {"python": "3.12", "platform": "windows-amd64"},
    }


if __name__ == "__main__":
    main()
