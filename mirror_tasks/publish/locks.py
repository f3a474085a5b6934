"""Locks that lead to the mirror, where ``url:`` says how it is reached: what ``python server.py rewrite-lock`` makes of them.

That is done by the server's own code (:mod:`mirror_tasks.publish.server`), so that both make the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Config, Root
from mirror_tasks.errors import MirrorError
from mirror_tasks.files import is_device
from mirror_tasks.publish.server import server_module
from mirror_tasks.resolve.plan import Plan

_PASSWORD = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^/\s@:\"']*:[^/\s@\"']+@")


@dataclass(frozen=True, slots=True)
class InsideLock:
    """A lock that the mirror holds, led to it.

    :param path: in the mirror, with slashes: ``locks/app/uv.lock``.
    :param source: the file that it is made of.
    :param roots: those that this file is the lock of; they differ in groups, extras or environments.
    """

    path: str
    source: Path
    roots: tuple[Root, ...]


def inside_locks(config: Config, plan: Plan) -> tuple[InsideLock, ...]:
    """Return the locks that are published: those whose roots are all in the plan, to the letter."""
    if config.url is None:
        return ()
    by_source: dict[Path, list[Root]] = {}
    for root in config.roots:
        if root.lock is not None:
            by_source.setdefault(root.lock.path, []).append(root)
    unsolved = {one.root for one in plan.unsolved}
    names = _names(config.path, list(by_source))
    return tuple(
        InsideLock(f"locks/{names[source]}/{source.name}", source, tuple(roots))
        for source, roots in by_source.items()
        if unsolved.isdisjoint(root.name for root in roots)
    )


def _names(config: Path, sources: list[Path]) -> dict[Path, str]:
    """Return a name for the folder of each lock, which is that of its path: ``app/uv.lock`` is in ``app``.

    :param config: the path of ``mirror.yaml``; locks beside it are in a folder of its name.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for source in sources:
        plain = _plain(source.parent, config.parent) or config.stem
        candidates = (f"{plain}-{number}" if number > 1 else plain for number in range(1, len(sources) + 2))
        names[source] = next(name for name in candidates if f"{name}/{source.name}".lower() not in taken)
        taken.add(f"{names[source]}/{source.name}".lower())
    return names


def _plain(folder: Path, start: Path) -> str:
    """Return a path as one name that every file system takes; "" for none, as for the folder that it starts from."""
    try:
        parts = Path(os.path.relpath(folder, start)).parts
    except ValueError:  # another drive of Windows
        parts = folder.parts[1:]
    joined = "-".join(part for part in parts if part not in (".", ".."))
    plain = re.sub("[^A-Za-z0-9._-]", "_", joined).strip("._-")[:100].rstrip("._-")
    return f"lock-{plain}" if is_device(plain) else plain


def led_lock(config: Config, plan: Plan, lock: InsideLock) -> bytes:
    """Return a lock led to the mirror.

    :raises MirrorError: it can't be read, the mirror lacks one of its files, or there is a password in it.
    """
    server = server_module()
    sums = {f"packages/{file.project}/{file.filename}": file.sha256 for file in plan.files}
    holdings = server.Holdings(config.output.resolve(), sums)
    try:
        text, read = server.read_lock(lock.source.name, lock.source.read_bytes())
        inside = server.urls_inside(read, config.url, holdings)
        led: bytes = server.lead_lock(lock.source.name, text, read, config.url, inside)
        missing = [str(one) for one in _missing(server, config, sums, lock, read)]
    except server.SetupError as error:
        raise _fault(lock, str(error), "Lock again with the lock's tool, then run again.") from None
    if missing:
        lines = "".join(f"\n  {line}" for line in dict.fromkeys(missing))
        advice = "Let `wheels` and `sdists` bring what the lock names, or leave `url` out; then run again."
        raise _fault(lock, f"expected all that it selects in the mirror, found that it lacks:{lines}", advice)
    if found := _PASSWORD.search(led):
        line = led.count(b"\n", 0, found.start()) + 1
        problem = f"expected no credentials in what is published, found a URL with a password in line {line}"
        raise _fault(lock, problem, "Have the tool read them from elsewhere and lock again, or leave `url` out.")
    return led


def _fault(lock: InsideLock, problem: str, advice: str) -> MirrorError:
    return MirrorError("leading to the mirror the lock", str(lock.source), problem, advice)


def _missing(server: Any, config: Config, sums: Mapping[str, str], lock: InsideLock, read: Any) -> Iterator[Any]:
    """Yield what the mirror has with another hash, or lacks on an environment on which the lock selects it."""
    root = config.output.resolve()
    yield from server.compare_lock(read, server.Holdings(root, sums))[0]
    for environment in config.environments:
        selected = _selected(lock, environment)
        packages = [
            one for one in read.packages if _versions(one.version) & selected.get(canonicalize_name(one.name), _NONE)
        ]
        holdings = server.Holdings(root, sums, [[str(tag) for tag in environment.tags]])
        yield from server.compare_lock(server.Lock(packages, ()), holdings)[1]


def _selected(lock: InsideLock, environment: Environment) -> Mapping[str, frozenset[Version | None]]:
    """Return the versions that a lock selects on an environment by name, and None with them for one that it does not say."""
    locks = [root.lock for root in lock.roots if root.lock is not None]
    selections = [selection for one in locks for selection in one.selected.get(environment.name, ())]
    found: dict[str, set[Version | None]] = {}
    for package in (package for selection in selections for package in selection.packages):
        found.setdefault(package.name, {None}).add(package.version)
    return {name: frozenset(versions) for name, versions in found.items()}


_NONE: frozenset[Version | None] = frozenset()


def _versions(text: str) -> frozenset[Version | None]:
    try:
        return frozenset({Version(text) if text else None})
    except InvalidVersion:
        return frozenset({None})
