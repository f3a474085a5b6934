"""What build backends said that projects require, as it is kept in the state folder: a record for each project.

A task asks, and writes them; whoever reads ``mirror.yaml`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_tasks.config.requirement_files import relative
from mirror_tasks.files import fields_of, read_or_none, sealed, sha256_of_bytes, unsealed, write_if_changed

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a backend said of a project.

    :param sources: the digest of the files that it was shown.
    :param requires_python: the specifier; empty for any Python.
    :param requires_dist: requirements as core metadata has them: what an extra brings has it in its marker.
    :param build_requires: what it asks for to build a wheel, beyond what ``pyproject.toml`` declares.
    """

    sources: str
    name: str
    requires_python: str
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]
    build_requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """The records of one mirror.

    :param folder: that they are in.
    :param base: the folder of ``mirror.yaml``; with the projects below it, it may be moved.
    :param are_forgotten: it is as if none had been given.
    """

    folder: Path
    base: Path
    are_forgotten: bool = False

    def path(self, pyproject: Path) -> Path:
        """Where the answer on a project is kept."""
        told = sha256_of_bytes(relative(pyproject, self.base).encode("utf-8", "surrogateescape"))[:16]
        return self.folder / f"{told}.json"

    def of(self, pyproject: Path) -> Answer | None:
        """Return what was said of a project when its backend was last asked; None where that never was."""
        return None if self.are_forgotten else read_answer(self.path(pyproject))


def read_answer(path: Path) -> Answer | None:
    """Return the answer that is kept in a file; None where there is none that can be read."""
    try:
        data: dict[str, Any] = unsealed(read_or_none(path) or b"")
    except ValueError:
        return None
    if data.pop("format", None) != _FORMAT:
        return None
    whole: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Answer(**whole)


def keep_answer(path: Path, answer: Answer) -> None:
    """Write an answer to a file, unless it stands there.

    :raises OSError: it can't be written.
    """
    write_if_changed(path, sealed({"format": _FORMAT, **fields_of(answer)}))
