"""What `doit serve` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from doit.task import Task

from mirror_tasks.errors import MirrorError
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.tasks.verbs.making import verb


def task(name: str, output: Path) -> Task:
    """Serve the mirror, for this machine to try it."""
    params = [
        option("host", "127.0.0.1", "the address to listen on"),
        option("port", 8080, "the port to listen on"),
    ]
    doc = "serves the mirror as it is, with its own server.py"
    return verb(name, lambda host, port: attempt(serve, output, host, port), doc, params)


def serve(output: Path, host: str, port: int) -> None:
    """Run the mirror's own server until it is interrupted.

    :raises MirrorError: there is none, or it ended by itself.
    """
    server = output / "server.py"
    if not server.exists():
        raise MirrorError(
            "serving", str(output), "expected a mirror, found no server.py there", "Run `doit mirror` first."
        )
    arguments = ["--host", host, "--port", str(port)]
    status = subprocess.run([sys.executable, str(server), *arguments], check=False).returncode
    if status not in (0, 130, -2):
        problem = f"server.py ended with status {status}"
        raise MirrorError("serving", str(output), problem, "It says why above; `python server.py --help` tells more.")
