"""What a lock names that no index has: the line under ``requirements:`` that brings it in."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from packaging.utils import NormalizedName

from mirror_tasks.config.lock_files.model import Lock, LockedPackage

_ARCHIVES = (".whl", ".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")


def lacking_sources(lock: Lock, own: Collection[NormalizedName], folder: Path) -> Iterator[str]:
    """Yield a sentence for each package whose source is none of the user's own, and which no index has.

    :param own: the projects that have a source of their own in ``mirror.yaml``.
    :param folder: that of ``mirror.yaml``, which paths in it are relative to.
    """
    packages = (package for several in lock.selected.values() for one in several for package in one.packages)
    for package in dict.fromkeys(one for one in packages if one.source and one.name not in own):
        yield f"{package} comes from {package.source}, which is on no index; {_advice(package, lock.path.parent, folder)}"


def _advice(package: LockedPackage, beside: Path, folder: Path) -> str:
    """Say what to add.

    :param beside: the folder of the lock, which paths in it are relative to.
    """
    source = package.source
    if source.startswith("git+"):
        return f'add  - {{require: "{package.name} @ {source}", build: true}}'
    if "://" in source and not source.startswith("file:"):
        sha256 = next((f"#sha256={file.sha256}" for file in package.files if file.sha256 and "#" not in source), "")
        return f'add  - "{package.name} @ {source}{sha256}"'
    there = source.partition("#")[0].removeprefix("file://")
    path = Path(os.path.relpath(os.path.normpath(beside / there), folder))
    if there.lower().endswith(_ARCHIVES):
        return f"add  - {{wheels: {path.parent.as_posix()}}}"
    dist = (path / "dist").as_posix()
    return f"build a wheel of it (`python -m build {path.as_posix()}`), and add  - {{wheels: {dist}}}"
