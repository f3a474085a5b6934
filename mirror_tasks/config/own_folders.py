"""A folder of wheels and sdists, as pip's ``--find-links`` takes one: which projects it has, by the names of its files.

Only names are read here. A name is one that the specifications of wheels and sdists allow: what nobody else would
recognise in the folder is a fault, as it was meant to be mirrored and would not be.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import check_filename

MOST_FILES = 10_000  # of a folder; more is no folder of somebody's own wheels
_TAKEN = "only wheels (.whl) and sdists (.tar.gz, .zip) are taken from there: move or delete it"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What the name of a wheel or sdist says.

    :param tags: of a wheel; none of an sdist.
    :param build: the build tag of a wheel, as text; empty for none.
    """

    filename: str
    project: NormalizedName
    version: Version
    tags: frozenset[Tag] = frozenset()
    build: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What no two files may have in common: an installer takes one of them, and nobody knows which."""
        return self.project, self.version, self.tags, self.build

    def may_be_used_on(self, environment: Environment) -> bool:
        """Say if its name keeps no installer on an environment from using it."""
        return not self.tags or not self.tags.isdisjoint(environment.tags)


@dataclass(slots=True)
class Folder:
    """What was found in a folder, and what is wrong with it, as sentences."""

    found: list[Distribution] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def by_project(self) -> Mapping[NormalizedName, tuple[Distribution, ...]]:
        """The files of each project, sorted by name."""
        names = sorted({one.project for one in self.found})
        return {name: tuple(one for one in self.found if one.project == name) for name in names}


def distribution_of(filename: str) -> Distribution:
    """Return what the name of a file says.

    :raises ValueError: it is no wheel's or sdist's; the message is the end of a sentence that begins with the name.
    """
    try:
        check_filename(filename)
        if filename.endswith(".whl"):
            project, version, build, tags = parse_wheel_filename(filename)
            return Distribution(filename, project, version, tags, "".join(map(str, build)))
        project, version = parse_sdist_filename(filename)
        return Distribution(filename, project, version)
    except IntegrityError as error:
        raise ValueError(error.problem) from None
    except (InvalidWheelFilename, InvalidSdistFilename):
        if filename.endswith(".whl"):
            raise ValueError("is not a wheel's name: NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl") from None
        if filename.endswith((".tar.gz", ".zip")):
            raise ValueError("is not an sdist's name: NAME-VERSION.tar.gz") from None
        raise ValueError("is neither a wheel nor an sdist") from None


def read_folder(path: Path) -> Folder:
    """Return what is in a folder. Hidden files (``.gitignore``) are passed over, and nothing else is."""
    folder = Folder()
    try:
        entries = sorted((entry for entry in os.scandir(path) if not entry.name.startswith(".")), key=_name)
    except FileNotFoundError:
        folder.problems.append(f"no such folder: {path}")
        return folder
    except NotADirectoryError:
        folder.problems.append(f"expected a folder, found the file {path}; name the folder that it lies in")
        return folder
    except OSError as error:
        folder.problems.append(f"can't read {path}: {error.strerror}")
        return folder
    if len(entries) > MOST_FILES:
        folder.problems.append(f"expected at most {MOST_FILES:,} files in {path}, found {len(entries):,}")
    elif not entries:
        folder.problems.append(f"expected wheels and sdists in {path}, found none")
    else:
        _take(folder, os.path.realpath(path), entries)
    return folder


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _take(folder: Folder, real: str, entries: Iterable[os.DirEntry[str]]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for entry in entries:
        if problem := _problem_of(entry, real):
            folder.problems.append(f"{entry.name!a:.200} {problem}")
            continue
        try:
            one = distribution_of(entry.name)
        except ValueError as error:
            folder.problems.append(f"{entry.name!a:.200} {error}; {_TAKEN}")
            continue
        if (other := seen.setdefault(one.identity, entry.name)) != entry.name:
            what = f"{'wheels' if one.tags else 'sdists'} of {one.project} {one.version}"
            folder.problems.append(f"{other} and {entry.name} are the same: {what}; keep one of them")
            continue
        folder.found.append(one)


def _problem_of(entry: os.DirEntry[str], real: str) -> str | None:
    """Return why something in a folder is not to be read, as the end of a sentence that begins with its name; or None."""
    target = os.path.realpath(entry.path)
    if entry.is_symlink() and not Path(target).is_relative_to(real):
        return f"is a link to {target}, out of the folder: put the file itself there, or name its folder"
    if Path(target).is_dir():
        return "is a folder: what lies in it is not looked at; name it in an entry of its own"
    if not Path(target).is_file():
        return "is no file that can be read: remove it"
    return None
