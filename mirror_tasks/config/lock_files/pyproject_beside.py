"""``pyproject.toml`` beside a lock, which older locks can't be read without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.utils import NormalizedName

from mirror_tasks.config.toml_file import read_toml


def pyproject_beside(path: Path, why: str) -> Mapping[str, object]:
    """Return what stands in the ``pyproject.toml`` in the folder of a lock.

    :param path: of the lock.
    :param why: what in the lock makes it needed, with its key path.
    :raises ValueError: it can't be read, or is no TOML.
    """
    beside = path.with_name("pyproject.toml")
    try:
        return read_toml(beside)
    except ValueError as error:
        expected = "expected the pyproject.toml that was locked beside the lock"
        raise ValueError(f"{why}: {expected}, found: {error}; put it there, or lock with a newer version") from None


def with_included(
    group: NormalizedName, includes: Mapping[NormalizedName, Iterable[NormalizedName]]
) -> Iterator[NormalizedName]:
    """Yield a group and all that it includes, each once.

    :param includes: of every group of the project, which groups it includes itself.
    :raises ValueError: one of them is no group of the project.
    """
    waiting, seen = [group], set()
    while waiting:
        one = waiting.pop(0)
        if one in seen:
            continue
        seen.add(one)
        if one not in includes:
            raise ValueError(f"group {group}: expected that what it includes are groups, found {one}, which is none")
        yield one
        waiting += includes[one]
