"""An sdist, and of that a wheel, built from a folder of sources (PEP 517) in an environment of its own.

This runs code of the sources, so it is done only where ``mirror.yaml`` says ``build: true``.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli
from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller, HookMissing, UnsupportedOperation

from mirror_tasks.archives.build_backend import (
    backend_path,
    install,
    last_words,
    make_environment,
    run_hook,
    unpack,
)
from mirror_tasks.archives.platform_tags import name_with_needs
from mirror_tasks.archives.repacking import repack_sdist, repack_wheel
from mirror_tasks.errors import MetadataError
from mirror_tasks.files import check_filename, have_folder

# PEP 518 and PEP 517: what counts where pyproject.toml is not there, or says nothing of it.
_REQUIRES, _BACKEND = ("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__"
_FAILURES = (
    OSError,
    subprocess.SubprocessError,
    tarfile.TarError,
    zipfile.BadZipFile,
    BackendUnavailable,
    HookMissing,
    UnsupportedOperation,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Built:
    """What was built.

    :param wheel: its tags say on what it runs; None where there is none of which that is known.
    :param without_wheel: why there is none, as a sentence; empty where there is one.
    """

    sdist: Path
    wheel: Path | None
    without_wheel: str = ""


@dataclass(frozen=True, slots=True)
class From:
    """Where what a backend needs is installed from.

    :param index: its URL; None for what pip uses.
    :param client_cert: the path of the certificate that the index is shown; empty for what pip has.
    """

    index: str | None
    client_cert: str = ""


class _Environment:
    """A virtual environment for backends, with what they say that they need."""

    def __init__(self, folder: Path, index: From) -> None:
        self._index = index
        self._had: set[str] = set()
        self.python = make_environment(folder, (), index.index, index.client_cert)

    def have(self, requirements: Sequence[str]) -> None:
        """Install what is not there yet.

        :raises subprocess.SubprocessError: it can't be installed.
        """
        new = [one for one in requirements if one not in self._had]
        install(self.python, new, self._index.index, self._index.client_cert)
        self._had.update(new)


def build(source: Path, target: Path, place: Path, seconds: int, index: From, subject: str) -> Built:
    """Build an sdist of ``source`` into the folder ``target``, and of the sdist a wheel.

    :param place: a folder to build in, which is made and deleted. Compilers write it into what they make: what is built
        in the same one is the same.
    :param seconds: since 1970: the time that the archives bear (``SOURCE_DATE_EPOCH``).
    :param subject: what is built, for messages.
    :raises MetadataError: no sdist can be built on this machine; the message has the last words of the backend.
    """
    have_folder(target)
    with _new_folder(place):
        try:
            environment = _Environment(place / "venv", index)
            sdist = _built(source, place / "sdist", "sdist", seconds, environment)
            repack_sdist(sdist, target / check_filename(sdist.name), seconds)
        except _FAILURES as error:
            advice = "Build it where that works, and name the folder of what that made (wheels:)."
            problem = f"expected an sdist, found: {last_words(error)}"
            raise MetadataError("building", subject, problem, advice) from error
        return _with_wheel(target / sdist.name, target, place, seconds, environment)


def _with_wheel(sdist: Path, target: Path, place: Path, seconds: int, environment: _Environment) -> Built:
    """Build a wheel of an sdist that was built, if there can be one."""
    try:
        unpacked = unpack(sdist, place / "unpacked")
        wheel = _built(unpacked, place / "wheel", "wheel", seconds, environment)
        name = name_with_needs(wheel.name)
        if name is None:
            reason = f"{wheel.name} does not say which C library it needs, and is not for this machine"
            return Built(sdist, None, reason)
        repack_wheel(wheel, target / check_filename(name), seconds)
    except _FAILURES as error:
        return Built(sdist, None, f"no wheel can be built here: {last_words(error)}")
    return Built(sdist, target / name)


@contextmanager
def _new_folder(place: Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _built(source: Path, folder: Path, kind: str, seconds: int, environment: _Environment) -> Path:
    """Build one archive into a new folder, and return its path."""
    folder.mkdir()
    system = _build_system(source)
    environment.have(list(map(str, system["requires"])))
    caller = BuildBackendHookCaller(
        str(source),
        str(system["build-backend"]),
        backend_path(source),
        runner=_runner(seconds),
        python_executable=str(environment.python),
    )
    ask: Callable[[], Sequence[str]] = getattr(caller, f"get_requires_for_build_{kind}")
    environment.have(list(map(str, ask())))
    make: Callable[[str], str] = getattr(caller, f"build_{kind}")
    return folder / check_filename(str(make(str(folder))))


def _build_system(source: Path) -> Mapping[str, Any]:
    try:
        found: Any = tomli.loads((source / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    except FileNotFoundError:
        found = {}
    if not (isinstance(found, dict) and isinstance(found.get("requires", []), list)):
        raise ValueError("its pyproject.toml has a [build-system] that is none")  # noqa: TRY004 - the file is wrong
    return {"requires": _REQUIRES, "build-backend": _BACKEND, **found}


def _runner(seconds: int) -> Callable[..., None]:
    """Return what runs a backend: with the time of the sources, and without what differs from one run to the next."""
    same = {"SOURCE_DATE_EPOCH": str(seconds), "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        run_hook(cmd, cwd, {**(extra_environ or {}), **same})

    return run
