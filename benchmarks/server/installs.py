"""Many clients that install a real set at once, in a network that has nothing but them and the server.

``bench.py`` uses this. The set is mirrored by this project from the package index that pip uses here. Then
``unshare --net`` runs this file in a network namespace with a loopback interface only; it makes sure that nothing else
is reached from there, starts server.py and the clients, all at the same moment, and prints what they took.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(PROJECT))

from mirror_tasks.describe_environment import environment_block  # noqa: E402
from tests.server_fixtures import running  # noqa: E402

REQUIREMENTS = ("requests", "flask", "rich")
DODO = "from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n"
# Addresses set aside for documentation: without a route there is "no route", with one there is silence.
OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1"))


def make_real_mirror(folder: Path) -> Path:
    """Mirror the set for this interpreter as a user would, by ``doit mirror``; return the mirror."""
    folder.mkdir(exist_ok=True)
    # JSON is YAML.
    settings = {"environments": {"here": environment_block()}, "requirements": REQUIREMENTS, "sdists": "fallback"}
    (folder / "mirror.yaml").write_text(json.dumps(settings))
    (folder / "dodo.py").write_text(DODO)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-m", "doit", "mirror"], cwd=folder, env=environment, check=True)
    return folder / "mirror"


def install_in_isolation(mirror: Path, folder: Path, uv: str, clients: int) -> None:
    """Run this file in a network namespace of its own, whose loopback interface is then brought up."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    bring_up = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    own = [sys.executable, __file__, str(mirror), str(folder), "--uv", uv, "--clients", str(clients)]
    subprocess.run([*unshare, *bring_up, *own], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mirror", type=Path)
    parser.add_argument("folder", type=Path, help="where to install; it is emptied")
    parser.add_argument("--uv", required=True)
    parser.add_argument("--clients", type=int, default=200)
    options = parser.parse_args()
    assert_isolated()
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir()
    with running(options.mirror) as served:
        times, failed = install_all(options.uv, f"{served.url}simple/", options.folder, options.clients)
    refused = sum('" 503 ' in line for line in served.output)
    print(f"  {len(served.output):,} requests, {refused} of them answered with 503")
    found = {installed(place / "target") for place in options.folder.iterdir()}
    print(f"  every client got the same {len(next(iter(found)))} projects: {len(found) == 1}")
    shutil.rmtree(options.folder)
    median = statistics.median(times)
    print(f"  {failed} failed; median {median:.1f} s, slowest {max(times):.1f} s ({max(times) / median:.2f} times)\n")


def assert_isolated() -> None:
    """End unless there is no way out of here: no interface but loopback, and no route to any address outside."""
    interfaces = [name for _, name in socket.if_nameindex()]
    if interfaces != ["lo"]:
        raise SystemExit(f"this is no network of its own: it has {', '.join(interfaces)}")
    for family, address in OUTSIDE:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(5)
            code = client.connect_ex((address, 443))
        if code != errno.ENETUNREACH:
            raise SystemExit(f"connecting to {address} should find no route, but: {os.strerror(code)}")
    print(f"  in a network with {interfaces[0]} only; no route to {', '.join(address for _, address in OUTSIDE)}")


def install_all(uv: str, index: str, folder: Path, clients: int) -> tuple[list[float], int]:
    """Install in as many processes, which wait for each other to be there; return their times and how many failed."""
    gate, opener = os.pipe()
    wait_at_the_gate = ["sh", "-c", 'read -r _; exec "$@"', "sh"]
    processes = set()
    for number in range(clients):
        place = folder / str(number)
        place.mkdir()
        command = [uv, "pip", "install", "-q", "--no-config", "--no-python-downloads", "--only-binary", ":all:"]
        command += ["--default-index", index, "--python", sys.executable]
        command += ["--cache-dir", str(place / "cache"), "--target", str(place / "target"), *REQUIREMENTS]
        process = subprocess.Popen([*wait_at_the_gate, *command], stdin=gate, env=own_environment(place))
        processes.add(process.pid)
    os.close(gate)
    started = time.perf_counter()
    os.close(opener)
    return wait_for_all(processes, started)


def own_environment(place: Path) -> dict[str, str]:
    foreign = ("UV_", "PIP_")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    proxies = [name for name in kept if name.lower().endswith("_proxy")]
    return {**{name: value for name, value in kept.items() if name not in proxies}, "HOME": str(place)}


def wait_for_all(processes: set[int], started: float) -> tuple[list[float], int]:
    """Wait without polling, which would take the clients' processor time."""
    times, failed = [], 0
    while processes:
        pid, status = os.wait()
        if pid not in processes:
            raise SystemExit("the server ended")
        processes.remove(pid)
        times.append(time.perf_counter() - started)
        failed += status != 0
    return times, failed


def installed(target: Path) -> frozenset[str]:
    """Return the names and versions of what was installed."""
    return frozenset(path.name for path in target.glob("*.dist-info"))


if __name__ == "__main__":
    main()
