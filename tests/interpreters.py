"""The Python interpreters of this machine, for tests that ask each of them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

T = TypeVar("T")

VERSIONS = tuple(f"3.{minor}" for minor in range(7, 16))
# Each, for a parametrised test. What the oldest and the newest can do, those between can too; `nox -s clients` asks them all.
BETWEEN = VERSIONS[1:6]
EACH = [pytest.param(version, marks=pytest.mark.clients if version in BETWEEN else ()) for version in VERSIONS]


@functools.cache
def interpreters() -> dict[str, str]:
    """Return the command of an interpreter for each version found: this one, pyenv's and those on the path."""
    candidates = [sys.executable]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(map(str, pyenv.glob("versions/*/bin/python")))
    candidates += filter(None, (shutil.which(f"python{version}") for version in VERSIONS))
    found: dict[str, str] = {}
    for command in candidates:
        version = _version(command)
        if version in VERSIONS:
            found.setdefault(version, command)
    return found


def _version(command: str) -> str | None:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([command, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def python_of(folder: Path) -> str:
    """Return the interpreter of a virtual environment; sysconfig knows where it is only from Python 3.11 on."""
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def interpreter(version: str) -> str:
    """Return the command of an interpreter, or skip the test by name where this machine has none."""
    if version not in interpreters():
        pytest.skip(f"no Python {version} on this machine")
    return interpreters()[version]


def share(examples: Sequence[T]) -> Sequence[T]:
    """Return every other example of one promise, and on the next Python the others: `.ci/run` tries all, on several.

    `nox -s thorough` has all of them, as has who asks for its profile.
    """
    return examples[sys.version_info.minor % 2 :: 2] if settings().derandomize else examples
