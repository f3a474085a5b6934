"""An sdist, and of that a wheel, built from a folder of sources (PEP 517) in an environment of its own.

This runs code of the sources, so it is done only where ``mirror.yaml`` says ``build: true``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.archives.build_backend import last_words, run_hook, unpack
from mirror_tasks.archives.build_environment import FAILURES, BuildEnvironment, From, build_system
from mirror_tasks.archives.platform_tags import name_with_needs
from mirror_tasks.archives.repacking import repack_sdist, repack_wheel
from mirror_tasks.errors import MetadataError
from mirror_tasks.files import check_filename, have_folder


@dataclass(frozen=True, slots=True)
class Built:
    """What was built.

    :param wheel: its tags say on what it runs; None where there is none of which that is known.
    :param without_wheel: why there is none, as a sentence; empty where there is one.
    """

    sdist: Path
    wheel: Path | None
    without_wheel: str = ""


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
            environment = BuildEnvironment(place / "venv", index)
            sdist = _built(source, place / "sdist", "sdist", seconds, environment)
            repack_sdist(sdist, target / check_filename(sdist.name), seconds)
        except FAILURES as error:
            advice = "Build it where that works, and name the folder of what that made (wheels:)."
            problem = f"expected an sdist, found: {last_words(error)}"
            raise MetadataError("building", subject, problem, advice) from error
        return _with_wheel(target / sdist.name, target, place, seconds, environment)


def _with_wheel(sdist: Path, target: Path, place: Path, seconds: int, environment: BuildEnvironment) -> Built:
    """Build a wheel of an sdist that was built, if there can be one."""
    try:
        unpacked = unpack(sdist, place / "unpacked")
        wheel = _built(unpacked, place / "wheel", "wheel", seconds, environment)
        name = name_with_needs(wheel.name)
        if name is None:
            reason = f"{wheel.name} does not say which C library it needs, and is not for this machine"
            return Built(sdist, None, reason)
        repack_wheel(wheel, target / check_filename(name), seconds)
    except FAILURES as error:
        return Built(sdist, None, f"no wheel can be built here: {last_words(error)}")
    return Built(sdist, target / name)


@contextmanager
def _new_folder(place: Path) -> Iterator[None]:
    place.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _built(source: Path, folder: Path, kind: str, seconds: int, environment: BuildEnvironment) -> Path:
    """Build one archive into a new folder, and return its path."""
    folder.mkdir()
    system = build_system(source)
    environment.have(system.requires)
    caller = environment.caller(source, system, _runner(seconds))
    ask: Callable[[], Sequence[str]] = getattr(caller, f"get_requires_for_build_{kind}")
    environment.have(list(map(str, ask())))
    make: Callable[[str], str] = getattr(caller, f"build_{kind}")
    return folder / check_filename(str(make(str(folder))))


def _runner(seconds: int) -> Callable[..., None]:
    """Return what runs a backend: with the time of the sources, and without what differs from one run to the next."""
    same = {"SOURCE_DATE_EPOCH": str(seconds), "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def run(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
        run_hook(cmd, cwd, {**(extra_environ or {}), **same})

    return run
