"""The errors of this project: each says what was being done, on what, what is wrong, and what to do next.

Only :mod:`mirror_tasks.tasks` turns them into what the user sees.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class MirrorError(Exception):
    """The base of all errors that are not bugs of this project.

    :param doing: what was being done, as in "fetching the project page".
    :param subject: what it was being done on: a URL, a file, a key path.
    :param problem: what was expected and what was found.
    :param advice: what the user can do next.
    """

    def __init__(self, doing: str, subject: str, problem: str, advice: str) -> None:
        super().__init__(doing, subject, problem, advice)
        self.doing = doing
        self.subject = subject
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        ending = "\n" if "\n" in self.problem else ". "
        return f"{self.doing} {self.subject}: {self.problem}{ending}{self.advice}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process whole: an exception's own way calls ``__init__`` with what that of a base was given."""
        return _remade, (type(self), self.args, self.__dict__)


def _remade(kind: type[MirrorError], arguments: tuple[object, ...], attributes: Mapping[str, object]) -> MirrorError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


class UpstreamError(MirrorError):
    """The index or its file host did not give what was asked for.

    :param status: the HTTP status of the answer, or None where there was no answer.
    """

    def __init__(self, doing: str, subject: str, problem: str, advice: str, *, status: int | None = None) -> None:
        super().__init__(doing, subject, problem, advice)
        self.status = status


class IntegrityError(MirrorError):
    """Bytes arrived that are not those which were announced."""


class PageError(MirrorError):
    """A project page can't be read: not the format it claims, or beyond what the standard allows."""


class MetadataError(MirrorError):
    """An archive, or the metadata in it, breaks a rule; its file can't be used."""


class StorageError(MirrorError):
    """A file or folder of this machine can't be read or written, or there is no room for it."""


class AdvisoryError(MirrorError):
    """What is known against releases can't be had: a dump is broken, or an index has nothing of the kind."""


class ResolutionError(MirrorError):
    """A requirement has no solution."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of ``mirror.yaml``: where it is (``environments.laptop.platform``) and what was expected there."""

    key_path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.key_path}: {self.problem}"


class ConfigError(MirrorError):
    """``mirror.yaml`` can't be used; carries all its faults at once."""

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        self.path = path
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        advice = "Nothing was fetched; correct the file and run again."
        super().__init__("reading", str(path), f"{count} found:{lines}", advice)


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})


def in_words(error: OSError, doing: str = "using", subject: object = "the disk") -> StorageError:
    """Return what the system said of a file or folder as an error of this project.

    :param doing: what was being done, and ``subject`` on what, where the system does not say.
    """
    if error.errno in _NO_ROOM:
        advice = "Make room, then run again: what is finished is kept, and nothing of it is fetched again."
    elif error.errno in _TOO_MANY:
        advice = "Allow more open files (`ulimit -n`), or set fewer `workers`, then run again."
    elif error.errno == errno.EPIPE:
        doing, subject = "writing", "the output"
        advice = "What reads it ended before all was written; let it read to the end."
    else:
        advice = "Check the path and its permissions, then run again."
    return StorageError(doing, str(error.filename or subject), error.strerror or str(error), advice)
