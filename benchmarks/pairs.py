"""Every root on every environment, resolved by uv from the index and from the plan's releases alone.

Nothing is downloaded but metadata: the plan's releases are served on loopback as pages that name the upstream files.
No pair that works upstream may fail from the mirror.

    python benchmarks/pairs.py --roots 300 --keep /tmp/pairs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from mirror_tasks.config.mirror_yaml import load  # noqa: E402
from mirror_tasks.config.model import Config  # noqa: E402
from mirror_tasks.index.pip_settings import default_index  # noqa: E402
from mirror_tasks.prove.clients import run_client  # noqa: E402
from mirror_tasks.prove.uv import find_client, macos_target, uv_platform  # noqa: E402
from mirror_tasks.resolve.plan import Plan  # noqa: E402

ENVIRONMENTS = """\
environments:
  linux312: {python: "3.12.7", platform: linux-x86_64}
  linux310: {python: "3.10.12", platform: linux-x86_64}
  windows311: {python: "3.11.7", platform: windows-amd64}
  mac313: {python: "3.13.1", platform: macos-arm64}
sdists: fallback
build-requirements: false
"""


def make_plan(folder: Path, roots: list[str]) -> tuple[Config, Plan, float]:
    """Plan the roots; return the configuration, the plan, and the seconds it took."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dodo.py").write_text("from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n", "utf-8")
    listed = "".join(f'  - "{root}"\n' for root in roots)
    (folder / "mirror.yaml").write_text(f"{ENVIRONMENTS}requirements:\n{listed}", "utf-8")
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    subprocess.run([sys.executable, "-m", "doit", "plan"], cwd=folder, env=environment, check=False)
    elapsed = time.monotonic() - started
    return load(folder / "mirror.yaml"), Plan.from_bytes((folder / ".mirror" / "plan.json").read_bytes()), elapsed


def serve(plan: Plan) -> tuple[ThreadingHTTPServer, str]:
    """Serve pages with the plan's files only, which lead upstream; return the server and the index's URL."""
    pages = {f"/simple/{name}/": page(name, plan) for name in plan.by_project}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = pages.get(self.path, b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/simple/"


def page(name: str, plan: Plan) -> bytes:
    """Return the JSON page of a project with the files of the plan."""
    files = []
    for file in (planned.file for planned in plan.by_project[name]):
        entry: dict[str, Any] = {
            "filename": file.filename,
            "url": file.url,
            "hashes": {"sha256": file.hashes["sha256"]},
        }
        if file.requires_python:
            entry["requires-python"] = file.requires_python
        if file.yanked is not None:
            entry["yanked"] = file.yanked or True
        files.append(entry)
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()


def resolve(client: str, index: str, root: str, environment: Any, cache: Path) -> str:
    """Resolve one root on one environment; return what uv says if it fails."""
    command = [
        client, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config", "--no-python-downloads", "--no-build",
        "--cache-dir", str(cache), "--python", sys.executable, "--python-version", str(environment.python),
        "--python-platform", str(uv_platform(environment)), "--default-index", index, "-",
    ]  # fmt: skip
    return run_client(command, root, macos_target(environment))


def pairs(config: Config) -> Iterator[tuple[str, Any]]:
    """Return each root with each environment."""
    for root in config.roots:
        for environment in config.environments:
            yield root.name, environment


def compare(config: Config, plan: Plan, keep: Path) -> Mapping[str, Any]:
    """Resolve every pair from the plan's releases, and those that fail there from the index."""
    client = find_client()
    assert client, "uv is needed: install the extra prove"
    server, mirror = serve(plan)
    todo, cache = list(pairs(config)), keep / "uv-cache"
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        ours = list(pool.map(lambda pair: resolve(client, mirror, pair[0], pair[1], cache), todo))
        failing = [(pair, said) for pair, said in zip(todo, ours, strict=True) if said]
        theirs = list(pool.map(lambda one: resolve(client, default_index(), one[0][0], one[0][1], cache), failing))
    server.shutdown()
    lost = [(pair, said) for (pair, said), upstream in zip(failing, theirs, strict=True) if not upstream]
    return {
        "pairs": len(todo),
        "resolved from the mirror": len(todo) - len(failing),
        "resolved neither from the mirror nor from the index": len(failing) - len(lost),
        "resolved from the index and not from the mirror": len(lost),
        "lost": [
            {"root": root, "environment": environment.name, "said": said[:2000]} for (root, environment), said in lost
        ],
    }


def main() -> None:
    """Plan, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=Path, default=HERE / "popular.txt", help="a file with a name a line")
    parser.add_argument("--roots", type=int, default=300, help="how many of the names")
    parser.add_argument(
        "--keep", type=Path, default=None, help="where to keep the plan and uv's cache (a temporary folder)"
    )
    chosen = parser.parse_args()
    keep = chosen.keep or Path(tempfile.mkdtemp(prefix="pairs-"))
    lines = chosen.names.read_text("utf-8").splitlines()
    roots = [line for line in lines if line and not line.startswith("#")][: chosen.roots]
    config, plan, elapsed = make_plan(keep, roots)
    beyond = {release for one in plan.completed for release in one.releases}
    print(
        f"planned {len(roots)} roots on {len(config.environments)} environments in {elapsed:.1f} s: {len(plan.releases)} releases"
    )
    print(f"releases beyond the plain closure: {len(beyond)}")
    for one in plan.completed:
        print(f"  {one.root} on {one.environment}: {', '.join(one.releases)}: {one.reason}")
    found = compare(config, plan, keep)
    print(json.dumps(found, indent=1))
    (keep / "pairs.json").write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
