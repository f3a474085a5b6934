"""What a tool itself exports from its lock, to compare what is read from the same lock: requirements with markers."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedPackage
from tests.lock_environments import THREE
from tests.test_server_clients import clean_environment

SHARED = Path(__file__).parents[2] / "shared" / "locks"

ENVIRONMENTS = {one.name: one.at(0) for one in THREE}

Pinned = Mapping[str, frozenset[str]]
"""``name==version``, or ``name @ source``, with the hashes that its files may have."""


def shared(name: str) -> Path:
    """Return a folder of real locks, or skip the test by its name."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"shared/locks/{name} is not beside this repository")
    return SHARED / name


def exported(tool: str, folder: Path, files: Path, *arguments: str) -> str:
    """Return what a tool exports from a copy of the lock in ``files``; skip by name where it can't."""
    command = shutil.which(tool)
    if command is None:
        pytest.skip(f"{tool} is not installed")
    for file in files.iterdir():
        shutil.copy(file, folder)
    settings = {"POETRY_VIRTUALENVS_CREATE": "false", "PDM_CHECK_UPDATE": "false", "PDM_IGNORE_SAVED_PYTHON": "1"}
    done = subprocess.run(
        [command, *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder, env={**clean_environment(folder), **settings},
    )  # fmt: skip
    if "command export does not exist" in done.stderr:
        pytest.skip(f"{tool} has no plugin to export with")
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def pinned_in(export: str, where: Environment) -> Pinned:
    """Return what an export pins in an environment."""
    found: dict[str, frozenset[str]] = {}
    for line in re.sub(r"\s*\\\n", " ", export).splitlines():
        text, *hashes = re.split(r"\s+--hash=", line.strip())
        if not text or text.startswith(("#", "--")):
            continue
        requirement = Requirement(re.sub(r"^-e (\S+)#egg=([\w-]+)", r"\2 @ \1 ", text))
        if requirement.marker is None or requirement.marker.evaluate({**where.markers[0], "extra": ""}):
            source = f" @ {requirement.url}" if requirement.url else str(requirement.specifier)
            key = canonicalize_name(requirement.name) + source
            found[key] = found.get(key, frozenset()) | {one.removeprefix("sha256:") for one in hashes}
    return found


def pinned_by(packages: Sequence[LockedPackage]) -> Pinned:
    """Return what the packages that were read from a lock pin."""
    return {
        f"{one.name} @ {one.source}" if one.source else f"{one.name}=={one.version}": frozenset(
            file.sha256 for file in one.files if file.sha256
        )
        for one in packages
    }


WRONG: tuple[object, ...] = (1, True, "", "\x00 ../ü", [], [1], {}, {"a": 1}, {"version": 1})


def mutations(data: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield a lock again and again, each time with something else that stands in it wrong or left out.

    One value in each place of the same shape (``package.*.files.*.hash``) is enough.
    """
    seen: set[tuple[str, ...]] = set()
    for place in _places(data, ()):
        shape = tuple("*" if isinstance(key, int) else key for key in place)
        if shape in seen:
            continue
        seen.add(shape)
        yield from (_changed(data, place, wrong) for wrong in (*WRONG, None))


def _places(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from _places(one, (*path, key))


def _changed(data: Any, place: tuple[str | int, ...], value: object) -> Any:
    """Return a copy with a value in one place, or without it where that is None; what lies beside is shared."""
    copied = copy.copy(data)
    if len(place) > 1:
        copied[place[0]] = _changed(data[place[0]], place[1:], value)
    elif value is None:
        del copied[place[0]]
    else:
        copied[place[0]] = value
    return copied
