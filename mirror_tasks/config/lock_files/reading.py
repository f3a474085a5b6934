"""The door to locks: a file is recognised by its name, read by its format's module, and asked what it selects where.

``python: "3.12"`` stands for all patch releases. Between two of them a lock selects the same unless one of its markers, or
its requires-python, changes its answer there: it is asked at the first of each stretch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import tomli
from packaging.pylock import is_valid_pylock_path
from packaging.utils import canonicalize_name

from mirror_tasks.config.blocks import did_you_mean, show, unknown
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, parse_specifier
from mirror_tasks.config.lock_files.model import Lock, LockedPackage, LockFile, Selection
from mirror_tasks.config.long_numbers import check_numbers, said_of
from mirror_tasks.config.markers import Comparison, tokens
from mirror_tasks.config.patch_releases import sees_the_patch
from mirror_tasks.config.requirement_files import read_text

_LARGEST = 16 << 20  # bytes; a lock of ten thousand releases with all their hashes stays below
_LONGEST = 4000  # letters of a message: what it quotes may be as long as the file
_NAMES = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml")
KINDS = (*_NAMES, "pylock.NAME.toml")
"""The names of files that are read here."""


def is_lock(name: str) -> bool:
    """Say if a file of this name is read here."""
    return _kind(name) is not None


def _kind(name: str) -> str | None:
    if is_valid_pylock_path(Path(name)):
        return "pylock.toml"
    return name if name in _NAMES else None


def read_lock(
    path: Path,
    shown: str,
    environments: Sequence[Environment],
    groups: Sequence[str] | None,
    extras: Sequence[str] | None,
) -> Lock:
    """Return a lock and what it selects for each of the environments.

    :param path: of the file, absolute.
    :param shown: its name as the user wrote it, for messages.
    :param groups: those that are asked for; None for all that it has. ``extras`` likewise.
    :raises ValueError: it can't be read, or does not hold in one of the environments; the message begins with the name.
    """
    kind = _kind(path.name)
    if kind is None:
        known = ", ".join(KINDS)
        hint = did_you_mean(path.name, KINDS)
        if path.name == "pyproject.toml":
            hint = f"; name the lock that its tool made of it, or the project: `- {{project: {shown}}}`"
        raise ValueError(f"{shown}: expected a lock, known by its name ({known}), found {show(path.name)}{hint}")
    # Only now: who asks if a file is a lock needs none of the five formats.
    from mirror_tasks.config.lock_files.formats import READERS, STALE

    try:
        file = READERS[kind](_parsed(read_text(path, _LARGEST), kind), path)
        _check_known([*_unknown("group", groups, file.groups), *_unknown("extra", extras, file.extras)])
        asked = _Asked(_asked(groups, file.groups), _asked(extras, file.extras))
        selected = _selected(file, environments, asked)
    except ValueError as error:
        raise ValueError(f"{shown}: {error!s:.{_LONGEST}}") from None
    except RecursionError:
        raise ValueError(f"{shown}: it is nested deeper than any tool nests a lock; lock again") from None
    warning = STALE[kind](path) if kind in STALE else ""
    return Lock(path, kind, asked.groups, asked.extras, selected, file.build_constraints, warning)


@dataclass(frozen=True, slots=True)
class _Asked:
    groups: tuple[str, ...]
    extras: tuple[str, ...]


def _unknown(what: str, names: Sequence[str] | None, known: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each group or extra that is asked for and that the lock does not have."""
    for name in {
        canonicalize_name(name): name for name in names or () if canonicalize_name(name) not in known
    }.values():
        hint = f"unknown {what} {show(name)}; the lock has no {what}s, leave `{what}s` out"
        yield unknown(what, name, known) if known else hint


def _check_known(problems: Sequence[str]) -> None:
    """Tell of all that is not known at once.

    :raises ValueError: there is something.
    """
    if problems:
        ended = [one if one.endswith("?") else f"{one}." for one in problems[:-1]]
        raise ValueError(" ".join([*ended, problems[-1]]))


def _asked(names: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the groups or extras that are asked for, in the lock's order; all of them where nothing was said."""
    asked = None if names is None else set(map(canonicalize_name, names))
    return tuple(name for name in known if asked is None or name in asked)


def _parsed(text: str, kind: str) -> Mapping[str, object]:
    data: object
    try:
        data = json.loads(text) if kind == "Pipfile.lock" else tomli.loads(text)
    except ValueError as error:
        language = "JSON" if kind == "Pipfile.lock" else "TOML"
        raise ValueError(
            f"expected {language}, found: {said_of(error)}; if it was cut short or edited, lock again"
        ) from None
    check_numbers(data)
    if isinstance(data, dict):
        return cast(Mapping[str, object], data)
    raise ValueError(f"expected keys and values, found {show(data)}; lock again")


def _selected(
    file: LockFile, environments: Sequence[Environment], asked: _Asked
) -> Mapping[str, tuple[Selection, ...]]:
    """Return the selections by environment, none of them faulty.

    :raises ValueError: the lock does not hold in one or more, or nothing is selected in any.
    """
    selected, problems = {}, dict[str, list[str]]()
    for environment in environments:
        try:
            selected[environment.name] = tuple(_selections(file, environment, asked))
        except ValueError as error:
            problems.setdefault(str(error), []).append(_with_python(environment))
    if problems:
        raise ValueError("; ".join(f"on {', '.join(names)}: {problem}" for problem, names in problems.items()))
    if environments and not any(one.packages for several in selected.values() for one in several):
        raise ValueError(f"it selects nothing on {', '.join(selected)}, {_but(file, asked)}")
    return selected


def _with_python(environment: Environment) -> str:
    key = "python_version" if environment.is_range else "python_full_version"
    return f"{environment.name} (Python {environment.markers[0][key]})"


def _but(file: LockFile, asked: _Asked) -> str:
    if not file.groups:
        return "but the project itself, if that; leave the entry out"
    groups = ", ".join(asked.groups) or "none"
    return f"of its groups {', '.join(file.groups)} with {groups}; ask for others, or leave the entry out"


def _selections(file: LockFile, environment: Environment, asked: _Asked) -> Iterator[Selection]:
    """Yield what is selected, for each patch release at which that changes, the lowest first."""
    last: tuple[LockedPackage, ...] | None = None
    for patch in _points(file, environment):
        packages = file.select(environment.at(patch, file.installer), asked.groups, asked.extras)
        if packages != last:
            yield Selection(patch, packages)
        last = packages


def _points(file: LockFile, environment: Environment) -> list[int]:
    """Return the patch releases at which the lock is asked, those that it allows; 0 for an exact Python."""
    requires_python = file.requires_python
    if parse_specifier(requires_python) is None:
        raise ValueError(f"expected a specifier of Python versions such as >=3.10, found {show(requires_python)}")
    allowed = environment.for_installer(PIP).allows(requires_python)  # all of it counts, as for every locker
    turns = environment.turns(requires_python).union(
        *(environment.turns(None, one) for one in _comparisons(file.markers))
    )
    points = [patch for patch in sorted({0, *turns}) if allowed >> patch & 1]
    if not points:
        raise ValueError(
            f"it is for Python {requires_python}; lock for others too, or name the environments that it is for in"
            " `environments`"
        )
    return points


def _comparisons(markers: Collection[str]) -> set[str]:
    """Return each comparison of the markers that may differ between patch releases, by itself.

    What stands beside it may hang on the groups and extras that are asked for, and hide that its answer changes.
    """
    return {
        _text(token)
        for marker in markers
        if sees_the_patch(marker)
        for token in tokens(marker)
        if isinstance(token, Comparison) and sees_the_patch(token.variable)
    }


def _text(one: Comparison) -> str:
    return (
        f'"{one.text}" {one.operator} {one.variable}' if one.reversed else f'{one.variable} {one.operator} "{one.text}"'
    )
