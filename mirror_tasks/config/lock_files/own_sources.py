"""What a lock names that no index has: the line under ``requirements:`` that brings it in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from packaging.utils import NormalizedName

from mirror_tasks.config.lines_to_add import line_to_add
from mirror_tasks.config.lock_files.model import Lock, LockedPackage


def lacking_sources(lock: Lock, own: Collection[NormalizedName], folder: Path) -> Iterator[str]:
    """Yield a sentence for each package whose source is none of the user's own, and which no index has.

    :param own: the projects that have a source of their own in ``mirror.yaml``.
    :param folder: that of ``mirror.yaml``, which paths in it are relative to.
    """
    packages = (package for several in lock.selected.values() for one in several for package in one.packages)
    for package in dict.fromkeys(one for one in packages if one.source and one.name not in own):
        yield f"{package} comes from {package.source}, which is on no index; {_advice(package, lock.path.parent, folder)}"


def _advice(package: LockedPackage, beside: Path, folder: Path) -> str:
    """Say what to add; ``beside`` is the folder of the lock."""
    sha256 = next((file.sha256 for file in package.files if file.sha256), None)
    return line_to_add(package.name, package.source, beside, folder, sha256)
