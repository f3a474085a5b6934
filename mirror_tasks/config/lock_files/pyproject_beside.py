"""``pyproject.toml`` beside a lock, which older locks can't be read without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tomli

from mirror_tasks.config.requirement_files import read_text

_LARGEST = 1 << 20  # bytes


def pyproject_beside(path: Path, why: str) -> Mapping[str, object]:
    """Return what stands in the ``pyproject.toml`` in the folder of a lock.

    :param path: of the lock.
    :param why: what in the lock makes it needed, with its key path.
    :raises ValueError: it can't be read, or is no TOML.
    """
    beside = path.with_name("pyproject.toml")
    try:
        return tomli.loads(read_text(beside, _LARGEST))
    except RecursionError:
        raise ValueError(f"{why}: {beside} is nested deeper than any tool nests it; correct it") from None
    except ValueError as error:
        expected = "expected the pyproject.toml that was locked beside the lock"
        raise ValueError(f"{why}: {expected}, found: {error}; put it there, or lock with a newer version") from None
