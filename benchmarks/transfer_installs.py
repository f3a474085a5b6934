"""Count installs that fail while bundles are applied: ``python benchmarks/transfer_installs.py``.

A made-up index in which each release is replaced by the next one and requires the very same release of two others, so that
whoever saw half of a switch could install nothing. Each of ten states is bundled; then clients (one pip, three uv) install in a
loop from what stands inside, by server.py and, where it is there, by nginx, while the bundles are applied one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import uv
from measuring import PROJECT, machine, scratch, table
from transfer import Outside

sys.path.insert(0, str(PROJECT))

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.server_fixtures import running
from tests.web_servers import WEB_SERVERS, web_server

SWITCHES = 10
PROJECTS = ("app", "lib", "leaf")
BY_UV = (uv.find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable)
BY_PIP = (sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--quiet")
CLIENTS = (BY_PIP, BY_UV, BY_UV, BY_UV)


def main() -> None:
    """Read the command line, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--installs", type=int, default=1000, help="by each server (default: %(default)s)")
    parser.add_argument("--keep", type=int, default=1, help="plans, in mirror.yaml (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument("--folder", type=Path, help="work here, and leave it (default: a temporary folder)")
    given = parser.parse_args()
    print(machine())
    rows: list[tuple[object, ...]] = [("served by", "installs", "switches", "failed", "to reach")]
    with scratch(given.folder) as folder:
        folder.chmod(0o755)  # nginx is nobody
        outside = Outside(folder / "outside", given.timeout)
        bundles = moving_bundles(outside, given.keep)
        for name, served in (("server.py", by_server), ("nginx", by_nginx)):
            inside = folder / f"inside-{name}"
            outside.receive(bundles[0], inside)
            with served(inside, folder) as index:
                if index:
                    failed = Installs(index, folder, given.installs).meanwhile(
                        [partial(outside.receive, bundle, inside) for bundle in bundles[1:]]
                    )
                    print(*failed[:3], sep="\n", file=sys.stderr)
                rows.append((name, *((given.installs, SWITCHES, len(failed)) if index else ("not here", "", "")), 0))
    print(table(rows))


def moving_bundles(outside: Outside, keep: int) -> list[Path]:
    """Bundle eleven states of an index, each on the one before."""
    with FakeIndex({}) as index:
        for number in range(1, SWITCHES + 2):
            for name, needed in zip(PROJECTS, (*PROJECTS[1:], ""), strict=True):
                index.add(name, *wheel(name, f"{number}.0", requires=[f"{needed}=={number}.0"] if needed else []))
            here = {"here": environment_block()}
            outside.configure(index=index.url, environments=here, requirements=["app"], transfer={"keep": keep})
            for arguments in (("mirror",), ("bundle", "--unproven"), ("bundle", "--sent", str(number))):
                outside.doit(*arguments)
    return [outside.stick / f"main-{number}" for number in range(1, SWITCHES + 2)]


@contextlib.contextmanager
def by_server(inside: Path, _: Path) -> Iterator[str]:
    """Serve by server.py; give the URL of the index."""
    with running(inside, "--log", "none") as served:
        yield f"{served.url}simple/"


@contextlib.contextmanager
def by_nginx(inside: Path, folder: Path) -> Iterator[str]:
    """Serve by nginx, as docs/serving.md has it; give the URL of the index, nothing where there is no nginx."""
    kind = next(kind for kind in WEB_SERVERS if kind.name == "nginx")
    if kind.program is None:
        yield ""
        return
    own = folder / "nginx"
    own.mkdir()
    with web_server(kind, own, kind.recipe(0).replace("/srv/mirror", f"{inside}/current")) as port:
        yield f"http://127.0.0.1:{port}/simple/"


class Installs:
    """Clients that install until they have installed so many times together."""

    def __init__(self, index: str, folder: Path, count: int) -> None:
        self._index = index
        self._folder = folder
        self._count = count
        self._begun = 0
        self._lock = threading.Lock()
        self._failed: list[str] = []

    def meanwhile(self, steps: Sequence[Callable[[], object]]) -> list[str]:
        """Take steps, evenly, while clients install; return what those that failed said."""
        threads = [
            threading.Thread(target=self._work, args=(number, *CLIENTS[number])) for number in range(len(CLIENTS))
        ]
        for thread in threads:
            thread.start()
        for number, step in enumerate(steps, 1):
            while self._begun < self._count * number // (len(steps) + 1):
                time.sleep(0.01)
            step()
        for thread in threads:
            thread.join()
        return self._failed

    def _next(self) -> bool:
        with self._lock:
            self._begun += 1
            return self._begun <= self._count

    def _work(self, number: int, *command: str) -> None:
        target = self._folder / f"target-{number}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
        while self._next():
            shutil.rmtree(target, ignore_errors=True)
            ended = subprocess.run(
                [*command, "--target", str(target), "--index-url", self._index, "app"],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if ended.returncode or not all((target / f"{name}.py").exists() for name in PROJECTS):
                self._failed.append(ended.stdout + ended.stderr)


if __name__ == "__main__":
    main()
