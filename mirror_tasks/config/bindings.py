"""Which indexes may serve a project, decided from what ``mirror.yaml`` says of them and nothing else.

Whoever can publish under a private name on a public index could take that name over (dependency confusion). So a project
is asked for where this says, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mirror_tasks.config.model import Index


@dataclass(frozen=True, slots=True)
class Binding:
    """The indexes that may serve one project.

    :param indexes: in order: the first that has the project serves it. None, if each is kept for other projects.
    :param pattern: the one under ``projects`` that binds it to its one index; None where none does.
    :param by_lock: a lock, or a project, binds it to its one index.
    :param further: those that add files which locks name, and nothing else; each is asked, whoever serves the project.
    """

    indexes: tuple[Index, ...]
    pattern: str | None = None
    by_lock: bool = False
    further: tuple[Index, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether any index without ``projects`` may serve it."""
        return bool(self.indexes) and self.pattern is None and not self.by_lock

    @property
    def found(self) -> str:
        """Say of a project that none of them has what was found; it names indexes, so it is for messages alone."""
        if not self.indexes:
            return "no index may serve it, as each has projects, and no pattern there matches it"
        labels = " and ".join(index.label for index in self.indexes)
        if self.pattern is not None:
            return f"{labels} has no such project, and {self.pattern} under its projects binds it to that index alone"
        if self.by_lock:
            return f"{labels} has no such project, and a lock or project takes it from that index alone"
        return f"{labels} {'has' if len(self.indexes) == 1 else 'have'} no such project"


def binding_of(name: str, indexes: Iterable[Index]) -> Binding:
    """Return which indexes may serve a project.

    The first index of which a pattern matches it serves it alone, wherever it stands; else that from which locks take it;
    else those without ``projects``.

    :param name: normalised.
    """
    known = tuple(indexes)
    further = tuple(index for index in known if name in index.adds)
    for index in known:
        pattern = _pattern_of(index, name)
        if pattern is not None:
            return Binding((index,), pattern, further=further)
    for index in known:
        if name in index.locked:
            return Binding((index,), by_lock=True, further=further)
    return Binding(tuple(index for index in known if index.projects is None))


def permitted(name: str, indexes: Iterable[Index]) -> tuple[Index, ...]:
    """Return the indexes from which locks may take files of a project, by what is said under ``projects``.

    Those with a pattern that matches it; where none has one, those without ``projects``.
    """
    known = tuple(indexes)
    matching = tuple(index for index in known if _pattern_of(index, name) is not None)
    return matching or tuple(index for index in known if index.projects is None)


def general_index(indexes: Sequence[Index]) -> Index:
    """Return the index to name where only one can be named: the first that serves projects which are bound to none."""
    return next((index for index in indexes if index.projects is None), indexes[0])


def reason_of_absence(name: str, indexes: Iterable[Index] | None) -> str:
    """Say of a project why it can't be had. No index is named: the pages for people have this, and an index may be secret.

    :param indexes: None for what pip uses.
    """
    binding = None if indexes is None else binding_of(name, indexes)
    if binding is None or binding.is_free:
        return "the index has no project of this name"
    if not binding.indexes:
        return binding.found
    return f"the index that {binding.pattern or 'a lock or project'} binds it to has no project of this name"


def _pattern_of(index: Index, name: str) -> str | None:
    """Return the first pattern under ``projects`` that matches a project."""
    return next((pattern for pattern in index.projects or () if _matches(name, pattern)), None)


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or ("*" in pattern and fnmatchcase(name, pattern))


def normalised_pattern(text: str) -> str:
    """Return a pattern as it is compared with normalised names; ``*`` stands for any characters, or none.

    The name normalization of the standard: "lowercase with all runs of the characters ``.``, ``-``, or ``_`` replaced
    with a single ``-``", since nothing else could ever match.

    :raises ValueError: no name can match it; the message says what was expected.
    """
    pattern = re.sub(r"\*+", "*", re.sub(r"[-_.]+", "-", text.strip())).lower()
    if re.fullmatch(r"[a-z0-9*](?:[a-z0-9*-]*[a-z0-9*])?", pattern):
        return pattern
    raise ValueError("expected names of projects, in which * stands for any characters, such as [ours-*, internal-lib]")
