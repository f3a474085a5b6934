"""Where the build backend of a folder of sources is run: in a virtual environment with what it says that it needs."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller, HookMissing, UnsupportedOperation

from mirror_tasks.archives.build_backend import backend_path, install, make_environment
from mirror_tasks.config.build_systems import LEGACY_BACKEND, LEGACY_REQUIRES

FAILURES = (
    OSError,
    subprocess.SubprocessError,
    tarfile.TarError,
    zipfile.BadZipFile,
    BackendUnavailable,
    HookMissing,
    UnsupportedOperation,
    TypeError,  # it answers with what is no list
    ValueError,
)
"""What a backend that can't be run, or fails, ends in."""


@dataclass(frozen=True, slots=True)
class From:
    """Where what a backend needs is installed from.

    :param index: its URL; None for what pip uses.
    :param client_cert: the path of the certificate that the index is shown; empty for what pip has.
    """

    index: str | None
    client_cert: str = ""


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """``[build-system]`` of a ``pyproject.toml``, or what counts where there is none."""

    requires: tuple[str, ...]
    backend: str


class BuildEnvironment:
    """A virtual environment for backends, in a folder that is to be made."""

    def __init__(self, folder: Path, index: From) -> None:
        self._index = index
        self._had: set[str] = set()
        self._python = make_environment(folder, (), index.index, index.client_cert)

    def have(self, requirements: Sequence[str]) -> None:
        """Install what is not there yet.

        :raises subprocess.SubprocessError: it can't be installed.
        """
        new = [one for one in requirements if one not in self._had]
        install(self._python, new, self._index.index, self._index.client_cert)
        self._had.update(new)

    def caller(self, source: Path, system: BuildSystem, runner: Callable[..., None]) -> BuildBackendHookCaller:
        """Return what calls the backend of a folder of sources.

        :param runner: runs a command, as :mod:`pyproject_hooks` wants it run.
        """
        python = str(self._python)
        return BuildBackendHookCaller(
            str(source), system.backend, backend_path(source), runner=runner, python_executable=python
        )


def build_system(source: Path) -> BuildSystem:
    """Return what a folder of sources says of its backend; where it says nothing, what PEP 517 and PEP 518 say.

    :raises ValueError: it can't be read.
    """
    try:
        found: Any = tomli.loads((source / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    except FileNotFoundError:
        found = {}
    if not (isinstance(found, dict) and isinstance(found.get("requires", []), list)):
        raise ValueError("its pyproject.toml has a [build-system] that is none")  # noqa: TRY004 - the file is wrong
    requires = tuple(map(str, found.get("requires", LEGACY_REQUIRES)))
    return BuildSystem(requires, str(found.get("build-backend", LEGACY_BACKEND)))
