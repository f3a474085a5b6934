"""How real clients are run: with what is to be installed, from the mirror alone, and with no settings of the user's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Root

_CLIENT_TIMEOUT = 600  # seconds; one resolution, or one installation


def index_of(output: Path) -> str:
    """Return the URL by which clients read the simple index of a mirror directory."""
    return (output / "simple").resolve().as_uri() + "/"


def requirement_lines(root: Root, environment: Environment) -> list[str]:
    """Return the lines of a root that apply in an environment, as a requirements file has them."""
    return [str(one.requirement) for one in root.requirements if environment.marker_applies(one.requirement.marker, ())]


def constraint_arguments(root: Root, folder: Path) -> list[str]:
    """Return the options that give a client the constraints of a root, which are written into a folder."""
    if not root.constraints:
        return []
    path = folder / "constraints.txt"
    path.write_text("\n".join(map(str, root.constraints)), encoding="utf-8")
    return ["--constraint", str(path)]


def run_client(command: Sequence[str], text: str = "", settings: Mapping[str, str] | None = None) -> str:
    """Run a client with no settings of the user's; return what it says if it fails, else nothing."""
    plain = {
        key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "PYTHON", "VIRTUAL_ENV"))
    }
    plain |= {"PIP_CONFIG_FILE": os.devnull, **(settings or {})}
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=plain, timeout=_CLIENT_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_CLIENT_TIMEOUT} seconds"
    return (
        "" if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")
    )
