"""What `doit environment` and `doit requirements` print: an interpreter, and what is installed for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mirror_tasks import describe_environment
from mirror_tasks.errors import MirrorError


def print_environment(python: str) -> None:
    """Print the block of ``mirror.yaml`` for an interpreter."""
    _describe(python)


def print_requirements(pin: str, python: str) -> None:
    """Print the installed distributions of an interpreter's environment as requirement lines."""
    _describe(python, "--requirements", "names" if pin == "none" else pin)


def _describe(python: str, *arguments: str) -> None:
    script = Path(describe_environment.__file__)
    advice = "Give the path of a Python, 3.7 or newer, with --python."
    try:
        status = subprocess.run([python, str(script), *arguments], check=False).returncode
    except OSError as error:
        raise MirrorError("describing", python, f"it can't be run: {error.strerror or error}", advice) from None
    if status:
        raise MirrorError("describing", python, f"it ended with status {status}, and says why above", advice)
