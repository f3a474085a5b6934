"""What `doit environment` and `doit requirements` print: an interpreter, and what is installed for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from doit.task import Task

from mirror_tasks import describe_environment
from mirror_tasks.errors import MirrorError
from mirror_tasks.tasks.parts import attempt, option
from mirror_tasks.tasks.verbs.making import verb

_PYTHON = option("python", sys.executable, "the interpreter to describe")


def environment(name: str) -> Task:
    """Describe an interpreter; needs no ``mirror.yaml``."""
    doc = "print the mirror.yaml block of an interpreter (by default of this one)"
    return verb(name, lambda python: attempt(print_environment, python), doc, [_PYTHON])


def requirements(name: str) -> Task:
    """Describe what is installed; needs no ``mirror.yaml``."""
    pin = option("pin", "==", "==, >= or none (names only)")
    doc = "print what is installed in an environment, as requirement lines"
    return verb(name, lambda pin, python: attempt(print_requirements, pin, python), doc, [pin, _PYTHON])


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
