"""devpi as a reference for bench.py: its server with one index, which has no bases and holds the same wheels.

devpi has a database that has to be filled, so the wheels are uploaded with its own client once, before anything is
measured; then every file is one of its own, as in the other references, and nothing is fetched from anywhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import venv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

INDEX = "bench/mirror"


def install(folder: Path) -> Path | None:
    """Install devpi into an environment of its own; return the folder of its commands, or None where it won't."""
    commands = folder / "devpi-venv" / "bin"
    if not commands.exists():
        venv.create(folder / "devpi-venv", with_pip=True)
    command = [str(commands / "python"), "-m", "pip", "install", "-q", "devpi-server", "devpi-client"]
    if subprocess.run(command, check=False).returncode:
        print("devpi does not install here, so it is left out")
        return None
    return commands


def serve_command(commands: Path, folder: Path, port: int) -> list[str]:
    return [str(commands / "devpi-server"), "--serverdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]


def fill(
    commands: Path, folder: Path, wheels: Path, running: Callable[[], AbstractContextManager[tuple[int, int]]]
) -> None:
    """Make the index, and upload all wheels below a folder to it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run(commands, folder, "devpi-init", "--serverdir", str(folder), "--no-root-pypi")
    with running() as (port, _):
        for arguments in steps(f"http://127.0.0.1:{port}", wheels):
            run(commands, folder, "devpi", *arguments)


def steps(url: str, wheels: Path) -> Iterator[list[str]]:
    yield ["use", url]
    yield ["user", "-c", "bench", "password=bench"]
    yield ["login", "bench", "--password=bench"]
    yield ["index", "-c", "mirror", "bases=", "volatile=False"]
    yield ["use", INDEX]
    yield ["upload", *map(str, sorted(wheels.glob("*/*.whl")))]


def run(commands: Path, folder: Path, name: str, *arguments: str) -> None:
    environment = {**os.environ, "HOME": str(folder), "DEVPI_CLIENTDIR": str(folder / "client")}
    done = subprocess.run(
        [str(commands / name), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} {' '.join(arguments)[:200]}: {done.stdout}{done.stderr}")


def page(project: str) -> str:
    return f"/{INDEX}/+simple/{project}/"


def file(path: Path) -> str:
    """Return where devpi has a file, which is by its hash."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"/{INDEX}/+f/{digest[:3]}/{digest[3:16]}/{path.name}"
