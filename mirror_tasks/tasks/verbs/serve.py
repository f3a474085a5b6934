"""What `doit serve` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mirror_tasks.errors import MirrorError


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
        raise MirrorError("serving", str(output), problem, "It says why above; `python3 server.py --help` tells more.")
