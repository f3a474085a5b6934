"""The three environments for which what is read in a lock is compared with what its tool says, and a door to ask it by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import Lock, LockedPackage
from mirror_tasks.config.lock_files.reading import read_lock

LOCKS = Path(__file__).parent / "locks"


def made(name: str, **block: object) -> Environment:
    return environment(name, block, f"environments.{name}")


LINUX = made("linux", python="3.12", platform="linux-x86_64")
WINDOWS = made("windows", python="3.11", platform="windows-amd64")
MACOS = made("macos", python="3.13", platform="macos-arm64")
THREE = (LINUX, WINDOWS, MACOS)
NAMES = [one.name for one in THREE]


def door(
    path: Path,
    environments: Sequence[Environment] = THREE,
    groups: Sequence[str] | None = None,
    extras: Sequence[str] | None = None,
) -> Lock:
    return read_lock(path, path.name, environments, groups, extras)


def selected(lock: Lock, where: Environment) -> tuple[LockedPackage, ...]:
    """Return what is selected at the lowest patch release."""
    return lock.selected[where.name][0].packages


def pins(lock: Lock, where: Environment) -> set[str]:
    """Return name==version of what is selected at the lowest patch release."""
    return {f"{one.name}=={one.version}" for one in selected(lock, where)}
