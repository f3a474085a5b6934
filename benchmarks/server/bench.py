"""Measure server.py against the servers that people use for the same: ``python benchmarks/server/bench.py``.

Installs the references into a folder of its own (morgan, pypiserver and devpi from the package index that pip uses
here; nginx, wrk and curl by apt-get where they are missing and this runs as root), serves one made-up mirror by each of
them in turn, on loopback, and prints the figures and ratios. Then many clients install a real set at once
(``installs.py``). ``--help`` says what can be made smaller.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
sys.path.insert(0, str(PROJECT))

import devpi  # noqa: E402
import installs  # noqa: E402

from tests.making import wheel  # noqa: E402
from tests.server_fixtures import JSON, project_page, seal_mirror, write, write_pages  # noqa: E402

ACCEPT = f"Accept: {JSON}, application/vnd.pypi.simple.v1+html; q=0.2, text/html; q=0.01"
FILE_SIZE = 100_000_000
LARGE = "large-1.0-py3-none-any.whl"
PROJECTS = 100


@dataclass(frozen=True)
class Reference:
    """A server to measure: how it is started on a port, and where its pages and its large file are."""

    name: str
    command: Callable[[int], list[str]]
    page: str
    file: str
    folder: Path


def main() -> None:
    options = parse_arguments()
    folder = Path(options.work)
    folder.mkdir(parents=True, exist_ok=True)
    install_tools({"nginx": "nginx", "wrk": "wrk", "curl": "curl", "ip": "iproute2", "unshare": "util-linux"})
    python = install_references(folder / "venv")
    make_trees(folder)
    servers = references(folder, python)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}\n")
    measure_pages(servers, options.seconds)
    measure_files(servers)
    measure_memory(servers[0])
    measure_growth(servers[0], options.seconds)
    measure_bad_requests(servers[0], options.bad)
    measure_installs(folder, options.clients)
    measure_check(servers[0])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of load for each figure (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=200, help="that install at once (default: %(default)s)")
    parser.add_argument("--bad", type=int, default=100_000, help="requests that are none (default: %(default)s)")
    parser.add_argument("--work", default=Path(tempfile.gettempdir()) / "server-benchmark", help="a folder to use")
    return parser.parse_args()


# What is measured with, and against.


def install_tools(packages: dict[str, str]) -> None:
    """Install Debian's packages by the commands that they bring."""
    missing = [package for name, package in packages.items() if not tool(name)]
    if missing:
        print(f"installing {', '.join(missing)} by apt-get")
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


def tool(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin") or ""


def install_references(folder: Path) -> str:
    python = str(folder / "bin" / "python")
    if not Path(python).exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "morgan", "pypiserver", "uv"], check=True)
    return python


def make_trees(folder: Path) -> None:
    """Write the mirror, and the same files as morgan and pypiserver want them."""
    shutil.rmtree(folder / "mirror", ignore_errors=True)
    shutil.rmtree(folder / "morgan", ignore_errors=True)
    for number in range(PROJECTS):
        name = f"project-{number}"
        requires = [f"project-{other}" for other in range(number + 1, min(number + 4, 12))]
        ballast = {"ballast.bin": os.urandom(300_000) if number < 12 else b""}
        files = dict(wheel(name, f"{version}.0", requires=requires, files=ballast) for version in range(1, 11))
        write_pages(folder / "mirror" / "simple" / name, *project_page(name, files))
        for filename, content in files.items():
            write(folder / "mirror" / "packages" / name / filename, content)
            write(folder / "morgan" / name / filename, content)
            write(folder / "morgan" / name / f"{filename}.hash", b"sha256=" + b"0" * 64)
            metadata = read_metadata(content)
            for place in (folder / "mirror" / "packages" / name, folder / "morgan" / name):
                write(place / f"{filename}.metadata", metadata)
    filename, large = wheel("large", "1.0", files={"ballast.bin": os.urandom(1_000_000) * (FILE_SIZE // 1_000_000)})
    for tree in ("mirror/packages", "morgan"):
        write(folder / tree / "large" / filename, large)
    write_pages(folder / "mirror" / "simple", b"<!DOCTYPE html><title>list</title>", b"{}")
    shutil.copy(PROJECT / "server_template" / "server.py", folder / "mirror" / "server.py")
    seal_mirror(folder / "mirror")


def read_metadata(content: bytes) -> bytes:
    from tests.server_fixtures import files_metadata

    return files_metadata("a.whl", content)


def references(folder: Path, python: str) -> list[Reference]:
    mirror, morgan = folder / "mirror", folder / "morgan"
    page, file = "/simple/project-50/", f"/packages/large/{LARGE}"
    log = ["--log", "common"]
    return [
        Reference("server.py", lambda port: [python, "server.py", "--port", str(port), *log], page, file, mirror),
        Reference("morgan", lambda port: morgan_command(python, port), "/project-50/", f"/large/{LARGE}", morgan),
        Reference("pypiserver", lambda port: pypiserver_command(python, port), page, file, morgan),
        *devpi_reference(folder),
        Reference("nginx", lambda port: nginx_command(folder, port), page, file, mirror),
    ]


def devpi_reference(folder: Path) -> list[Reference]:
    """Install devpi and fill it; none where it won't install."""
    commands = devpi.install(folder)
    if commands is None:
        return []
    data, packages = folder / "devpi", folder / "mirror" / "packages"
    large = devpi.file(packages / "large" / LARGE)
    reference = Reference(
        "devpi", lambda port: devpi.serve_command(commands, data, port), devpi.page("project-50"), large, data
    )
    devpi.fill(commands, data, packages, lambda: running(reference))
    return [reference]


def morgan_command(python: str, port: int) -> list[str]:
    return [python, "-m", "morgan.server", "--port", str(port), "--host", "127.0.0.1"]


def pypiserver_command(python: str, port: int) -> list[str]:
    return [python, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", str(port), "--disable-fallback", "."]


def nginx_command(folder: Path, port: int) -> list[str]:
    """Configure nginx as docs/serving.md says, with a process for every core."""
    document = (PROJECT / "docs" / "serving.md").read_text("utf-8")
    recipe = re.findall(r"```nginx\n(.*?)```", document, re.DOTALL)[0]
    recipe = recipe.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/srv/mirror", str(folder / "mirror"))
    places = " ".join(
        f"{kind}_temp_path {folder}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; worker_processes auto; events {{}} error_log {folder}/nginx.error;\n"
        f"http {{ keepalive_requests 10000000; access_log {folder}/nginx.log; {places}\n{recipe}}}\n"
    )
    return [tool("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "user root;"]


@contextlib.contextmanager
def running(server: Reference) -> Iterator[tuple[int, int]]:
    """Run a server; yield its port and the id of its process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (server.folder.parent / f"{server.name}.log").open("w") as log:
        process = subprocess.Popen(server.command(port), cwd=server.folder, stdout=log, stderr=log)
    try:
        wait_for(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int) -> None:
    for _ in range(400):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}; see the logs in the work folder")


# The figures.


def measure_pages(servers: list[Reference], seconds: int) -> None:
    print("project pages a second, 8 clients that keep their connections")
    rates = {}
    for server in servers:
        with running(server) as (port, _):
            rates[server.name] = load(f"http://127.0.0.1:{port}{server.page}", seconds)
    print_ratios(rates, "{:,.0f}/s", more_is_better=True)


def load(url: str, seconds: int, clients: int = 8) -> float:
    command = [tool("wrk"), "-t1", f"-c{clients}", f"-d{seconds}s", "-H", ACCEPT, "-H", "Accept-Encoding: gzip", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Requests/sec:\s*([0-9.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise SystemExit(f"{url} was not served:\n{done.stdout}")
    return float(found.group(1))


def measure_files(servers: list[Reference]) -> None:
    print("one file of 100 MB to 4 clients, best of five")
    times = {}
    for server in servers:
        with running(server) as (port, _):
            url = f"http://127.0.0.1:{port}{server.file}"
            times[server.name] = min(download(url, clients=4) for _ in range(5))
    print_ratios({name: 4 * FILE_SIZE / 1e6 / duration for name, duration in times.items()}, "{:,.0f} MB/s", True)


def download(url: str, clients: int) -> float:
    started = time.perf_counter()
    command = [tool("curl"), "-sS", "-o", os.devnull, "-w", "%{size_download}", url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(clients)]
    sizes = [process.communicate()[0] for process in processes]
    if len(set(sizes)) > 1 or int(sizes[0]) < FILE_SIZE:
        raise SystemExit(f"{url} was not downloaded whole: {sizes}")
    return time.perf_counter() - started


def print_ratios(figures: dict[str, float], form: str, more_is_better: bool) -> None:
    ours = figures["server.py"]
    for name, figure in figures.items():
        ratio = ours / figure if more_is_better else figure / ours
        print(f"  {name:12} {form.format(figure):>14}   server.py is {ratio:.2f} of it")
    print()


def measure_memory(server: Reference) -> None:
    print("memory with 500 open connections, each of which got a page and the start of a file")
    request = f"GET {server.page} HTTP/1.1\r\nHost: a\r\n{ACCEPT}\r\n\r\n".encode()
    ranged = f"GET {server.file} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-99\r\n\r\n".encode()
    with running(server) as (port, pid), contextlib.ExitStack() as stack:
        before = resident(pid)
        for _ in range(500):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            for message in (request, ranged):
                client.sendall(message)
                client.recv(1 << 16)
        print(f"  {before:.0f} MB before, {resident(pid):.0f} MB with them\n")


def resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1000


def measure_growth(server: Reference, seconds: int) -> None:
    """Replay a day's worth of requests, good and bad, and see whether memory or descriptors grow."""
    print("a day's worth of requests: 2 a second, 172,800 in all, a third of them for what is not there")
    with running(server) as (port, pid):
        pages = [server.page, "/simple/none-{}/", server.file.replace("large-1", "none-1")]
        load(f"http://127.0.0.1:{port}{server.page}", seconds)
        figures = []
        for _ in range(3):
            replay(port, pages, 57_600)
            figures.append(footprint(pid))
    print("".join(f"  after {part} of 3: {figure}\n" for part, figure in enumerate(figures, 1)))


def measure_bad_requests(server: Reference, count: int) -> None:
    """Send what is no request, a connection for each since the server hangs up; some are reset, some cut short."""
    print(f"{count:,} bad requests")
    random = Random(0)
    parts = [
        b"GET ",
        b"/",
        b"..",
        b"%2e",
        b"%00",
        b" HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: a",
        b":",
        b"\xff",
        b"A" * 9000,
    ]
    with running(server) as (port, pid):
        load(f"http://127.0.0.1:{port}{server.page}", 1)
        before = footprint(pid)
        for number in range(count):
            with socket.create_connection(("127.0.0.1", port), 30) as client, contextlib.suppress(ConnectionError):
                client.sendall(b"".join(random.choices(parts, k=random.randrange(1, 12))) + b"\r\n\r\n")
                if number % 4:
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1 << 16)
        time.sleep(12)  # the longest that an unfinished request is waited for, and a bit
        print(f"  before {before}, after {footprint(pid)}")
        log = (server.folder.parent / f"{server.name}.log").read_text("utf-8", "replace")
        print(f"  {log.count('Traceback')} tracebacks, {log.count('internal fault')} faults\n")


def footprint(pid: int) -> str:
    return f"{resident(pid):.1f} MB and {len(list(Path(f'/proc/{pid}/fd').iterdir()))} descriptors"


def replay(port: int, pages: list[str], count: int) -> None:
    batch = 50
    with socket.create_connection(("127.0.0.1", port), 30) as client, client.makefile("rb") as stream:
        for start in range(0, count, batch):
            targets = [pages[number % 3].format(number) for number in range(start, start + batch)]
            client.sendall("".join(f"HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n" for target in targets).encode())
            for _ in targets:
                while stream.readline() not in (b"\r\n", b""):
                    pass


def measure_installs(folder: Path, clients: int) -> None:
    print(f"{clients} clients that install {', '.join(installs.REQUIREMENTS)} at once by uv, caches cold")
    mirror = installs.make_real_mirror(folder / "real")
    installs.install_in_isolation(mirror, folder / "installs", str(folder / "venv" / "bin" / "uv"), clients)


def measure_check(server: Reference) -> None:
    print("--check, against sha256sum -c on one core")
    started = time.perf_counter()
    subprocess.run([sys.executable, "server.py", "--check"], cwd=server.folder, check=True, capture_output=True)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=server.folder, check=True)
    print_ratios({"server.py": ours, "sha256sum": time.perf_counter() - started}, "{:.2f} s", more_is_better=False)
    sizes = [path.stat().st_size for path in server.folder.rglob("*") if path.is_file()]
    print(json.dumps({"files": len(sizes), "bytes": sum(sizes)}))


if __name__ == "__main__":
    main()
