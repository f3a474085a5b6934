"""Measure this project against the reference mirrorer, morgan: ``python benchmarks/against_reference.py``.

Makes two virtual environments, installs morgan from the package index that pip uses here and this project from its
checkout, and mirrors the same requirements for the same environments from the same index with each: this project
first, so that what a cache on the way has kept is to the reference's good, and once more after it. Then each runs
again with nothing changed.
Last, uv is asked which requirements it can install from each mirror alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from measuring import DODO, PROJECT, Cost, machine, put_aside, run, scratch, size_of, table

REQUIREMENTS = (
    "requests>=2.24.0",
    "flask",
    "pandas",
    "fastapi[standard]",
    "django<5",
    "scikit-learn",
    "jupyterlab",
    "black",
    "xonsh[full]~=0.11.0",
)
CONFIGURATION = """\
environments:
  server: {python: "3.12.7", platform: linux-x86_64, glibc: "2.28"}
  laptop: {python: "3.11.7", platform: windows-amd64}
requirements:
"""
# As `morgan generate_env` prints them on such machines, but for platform_tag: that is matched against the whole platform
# tag of a wheel, and the "linux-x86_64" that it prints would match none. What matches is in the reference's favour.
REFERENCE_ENVIRONMENTS = """\
[env.server]
os_name = posix
platform_tag = manylinux.*x86_64
sys_platform = linux
platform_machine = x86_64
platform_python_implementation = CPython
platform_system = Linux
python_version = 3.12
python_full_version = 3.12.7
implementation_name = cpython

[env.laptop]
os_name = nt
platform_tag = win.amd64
sys_platform = win32
platform_machine = AMD64
platform_python_implementation = CPython
platform_system = Windows
python_version = 3.11
python_full_version = 3.11.7
implementation_name = cpython

[requirements]
"""
CLIENTS = {"server": ("3.12.7", "x86_64-manylinux_2_28"), "laptop": ("3.11.7", "x86_64-pc-windows-msvc")}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one mirrorer did.

    :param files: how many distribution files its mirror holds; ``size`` is their bytes.
    :param failing: by environment, the requirements that can't be installed from its mirror, each with a reason.
    """

    first: Cost
    again: Cost
    files: int
    size: int
    failing: dict[str, dict[str, str]]


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-reference", action="store_true", help="measure this project only")
    parser.add_argument(
        "--repeats", type=int, default=4, help="first mirrors of this project, of which the median counts"
    )
    parser.add_argument("--settings", default="", help="further lines of mirror.yaml, such as 'wheels: best'")
    parser.add_argument("--timeout", type=float, default=1200, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    with scratch(given.folder) as folder:
        python = install(folder / "venv", f"{PROJECT}[prove]", given.timeout)
        # The machine's speed drifts within minutes: half of this project's runs come before the reference's, half after.
        places = [folder / f"own-{number}" for number in range(given.repeats)]
        half = (given.repeats + 1) // 2
        firsts = [first_mirror(place, python, given) for place in places[:half]]
        reference = None if given.skip_reference else measure_reference(folder, python, given)
        firsts += [first_mirror(place, python, given) for place in places[half:]]
        own = measure_own(folder, python, given, places[-1], firsts)
        report("mirror-tasks", own)
        if reference:
            report("morgan", reference)
            print(comparison(own, reference))


def install(folder: Path, requirement: str, timeout: float) -> Path:
    """Make a virtual environment with ``requirement`` in it and return its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run([python, "-m", "pip", "install", "-q", requirement], folder, folder / "log", timeout=timeout)
    return python


def first_mirror(place: Path, python: Path, given: argparse.Namespace) -> Cost:
    """Mirror with this project, from nothing."""
    own_folder(place, given.settings)
    cost = run([python, "-m", "doit", "mirror"], place, place / "log", timeout=given.timeout)
    print(f"mirror-tasks, first mirror: {cost}", flush=True)
    return cost


def measure_own(folder: Path, python: Path, given: argparse.Namespace, place: Path, firsts: Sequence[Cost]) -> Measured:
    """Mirror again with nothing changed, and see what it takes of memory and what installs."""
    command: list[str | Path] = [python, "-m", "doit", "mirror"]
    again = median([run(command, place, place / "log", timeout=given.timeout) for _ in range(3)])
    watched = own_folder(folder / "own-watched", given.settings)
    peak = run(command, watched, watched / "log", timeout=given.timeout, whole_memory=True).peak
    with mirror_server([python, "server.py", "--host", "127.0.0.1", "--port"], place / "mirror") as root:
        failing = {name: unresolved(python, f"{root}simple/", name) for name in CLIENTS}
    first = replace(median(firsts), peak=peak)
    return Measured(first, again, *size_of(place / "mirror"), failing)


def own_folder(folder: Path, settings: str) -> Path:
    """Make a folder with a mirror.yaml and a dodo.py."""
    place = empty(folder)
    (place / "dodo.py").write_text(DODO, "utf-8")
    roots = "".join(f"  - {one}\n" for one in REQUIREMENTS)
    (place / "mirror.yaml").write_text(f"{settings}\n{CONFIGURATION}{roots}", "utf-8")
    return place


def measure_reference(folder: Path, own: Path, given: argparse.Namespace) -> Measured:
    """Mirror with the reference once, for minutes, then again with nothing changed."""
    python = install(folder / "venv-reference", "morgan", given.timeout)
    place = empty(folder / "reference")
    (place / "morgan.ini").write_text(REFERENCE_ENVIRONMENTS + "".join(map(reference_line, REQUIREMENTS)), "utf-8")
    asked = [str(own), "-c", "from mirror_tasks.index.pip_settings import default_index; print(default_index())"]
    index_url = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    base: list[str | Path] = [
        python,
        python.parent / "morgan",
        "--index-path",
        place,
        "--index-url",
        index_url.rstrip("/") + "/",
    ]
    costs = []
    for what in ("first mirror", "nothing changed"):
        command = [*base, "mirror"]
        costs.append(run(command, place, folder / "reference.log", timeout=given.timeout, variables=certificates()))
        print(f"morgan, {what}: {costs[-1]}", flush=True)
    first, again = costs
    with mirror_server([python, "server.py", "--host", "127.0.0.1", "--port"], place) as root:
        failing = {name: unresolved(own, root, name) for name in CLIENTS}
    return Measured(first, again, *size_of(place), failing)


def certificates() -> dict[str, str]:
    """Return what the standard library needs to trust the certificates that pip trusts."""
    return {"SSL_CERT_FILE": os.environ["PIP_CERT"]} if "PIP_CERT" in os.environ else {}


def reference_line(requirement: str) -> str:
    """Return a requirement as morgan.ini has it: name, then extras and specifier."""
    end = next((position for position, sign in enumerate(requirement) if sign in "[<>=~!"), len(requirement))
    return f"{requirement[:end]} = {requirement[end:]}\n"


def empty(folder: Path) -> Path:
    """Make the folder anew."""
    put_aside(folder)
    folder.mkdir(parents=True)
    return folder


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure; of memory the largest."""
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.processor for cost in costs),
        max(cost.peak for cost in costs),
    )


@contextmanager
def mirror_server(command: Sequence[str | Path], folder: Path) -> Iterator[str]:
    """Serve a mirror with the server that its mirrorer put into it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [*map(str, command), str(port)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for(url: str) -> None:
    """Wait until the server answers, for at most ten seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(100):
        try:
            opener.open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def unresolved(python: Path, index: str, environment: str) -> dict[str, str]:
    """Return the requirements that uv can't install from ``index`` alone, each by itself, with its reason."""
    failing = {}
    for requirement in REQUIREMENTS:
        # A build runs here and not on the target, so it is let in only where there is no wheel: then it is all there is.
        reason = compiled(python, index, environment, requirement, "--only-binary", ":all:")
        if reason:
            reason = compiled(python, index, environment, requirement)
        if reason:
            failing[requirement] = reason
    return failing


def compiled(python: Path, index: str, environment: str, requirement: str, *options: str) -> str:
    """Return why uv can't resolve the requirement; nothing if it can."""
    version, platform = CLIENTS[environment]
    command = [
        python.parent / "uv",
        "pip",
        "compile",
        "-",
        "--quiet",
        "--no-config",
        "--no-python-downloads",
        "--no-cache",
    ]
    command += ["--default-index", index, "--python", python, "--python-version", version]
    command += ["--python-platform", platform, *options]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    asked = subprocess.run(
        list(map(str, command)),
        input=requirement,
        capture_output=True,
        text=True,
        timeout=300,
        env={**plain, "NO_PROXY": "127.0.0.1"},
    )
    return "" if asked.returncode == 0 else " ".join(asked.stderr.split())[:400]


def report(name: str, measured: Measured) -> None:
    """Print what one mirrorer did."""
    print(f"{name}, first mirror: {measured.first}; {measured.files} files, {measured.size / 1e6:.0f} MB")
    print(f"{name}, nothing changed: {measured.again}")
    for environment, failing in measured.failing.items():
        print(f"{name}, {environment}: {len(REQUIREMENTS) - len(failing)} of {len(REQUIREMENTS)} can be installed")
        for requirement, reason in failing.items():
            print(f"  not {requirement}: {reason}")
    sys.stdout.flush()


def comparison(own: Measured, reference: Measured) -> str:
    """Return the table of both."""
    rows: list[tuple[object, ...]] = [("what", "morgan", "mirror-tasks", "ratio", "to reach")]
    for what, there, here, target in (
        ("first mirror", reference.first, own.first, "15"),
        ("nothing changed", reference.again, own.again, "30"),
    ):
        ratio = f"{there.seconds / here.seconds:.1f}"
        rows.append((what, f"{there.seconds:.1f} s", f"{here.seconds:.2f} s", ratio, target))
    rows.append(
        ("peak of the first", f"{reference.first.peak / 1e6:.0f} MB", f"{own.first.peak / 1e6:.0f} MB", "", "300 MB")
    )
    rows.append(("files", reference.files, own.files, "", ""))
    rows.append(("bytes", f"{reference.size / 1e6:.0f} MB", f"{own.size / 1e6:.0f} MB", "", ""))
    rows += [
        (
            f"installable on {name}",
            *(f"{len(REQUIREMENTS) - len(one.failing[name])} of {len(REQUIREMENTS)}" for one in (reference, own)),
            "",
            "all",
        )
        for name in CLIENTS
    ]
    return table(rows)


if __name__ == "__main__":
    main()
