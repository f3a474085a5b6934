"""Environment: one kind of machine that packages are mirrored for, as PEP 508 markers and PEP 425 tags."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from packaging.markers import Marker
from packaging.tags import Tag
from packaging.version import Version

from mirror_tasks.config.installers import INSTALLERS, Installer
from mirror_tasks.config.markers import extras_of, judged_alike
from mirror_tasks.config.patch_releases import (
    ALL_PATCHES,
    markers_at,
    patches_allowed,
    patches_where_it_holds,
    sees_the_patch,
    turns,
)
from mirror_tasks.files import to_json

MARKER_KEYS = (
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
)
"""The environment markers of PEP 508, all but ``extra``."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that packages are mirrored for.

    A minor version alone stands for all its patch releases, those to come too. Sets of these are numbers
    (:mod:`mirror_tasks.config.patch_releases`).

    :param name: its key in ``mirror.yaml``.
    :param python: the lowest full version it stands for (3.12 stands from 3.12.0 on). Requires-Python is judged on
        it, and installers compare without the pre-release part (pip: ``sys.version_info[:3]``), so it has none.
    :param markers: all keys of :data:`MARKER_KEYS`: once for an exact Python version, else at both ends of the range.
    :param tags: the tags of the wheels it can install, best first, as its own installer orders them.
    :param installers: who judges. A marker holds if it does for one of them; Requires-Python counts as the first takes it.
    """

    name: str
    python: Version
    markers: tuple[Mapping[str, str], ...]
    tags: tuple[Tag, ...]
    installers: tuple[Installer, ...] = INSTALLERS
    _rank: Callable[[str], int | None] = field(init=False, repr=False, compare=False)
    _answers: Callable[[str, str, Installer], int] = field(init=False, repr=False, compare=False)
    _allowed: Callable[[str], int] = field(init=False, repr=False, compare=False)
    _points: dict[tuple[int | None, Installer | None], Environment] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ranks = {str(tag): rank for rank, tag in reversed(list(enumerate(self.tags)))}
        # lru_cache locks by itself and is bounded: a hostile page can't fill the memory with tags of its own making
        for name, function in (
            ("_rank", functools.partial(_best_rank, ranks)),
            ("_answers", functools.partial(patches_where_it_holds, self.markers)),
            ("_allowed", functools.partial(patches_allowed, self.python, self.is_range, self.installer)),
        ):
            object.__setattr__(self, name, functools.lru_cache(maxsize=1 << 16)(function))
        object.__setattr__(self, "_points", {})

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def installer(self) -> Installer:
        """Who takes files: the first of those who judge."""
        return self.installers[0]

    @property
    def is_range(self) -> bool:
        """It stands for every patch release of a minor version."""
        return len(self.markers) > 1

    @property
    def all_patches(self) -> int:
        """The set of all patch releases that it stands for; an exact version is a set of one."""
        return ALL_PATCHES if self.is_range else 1

    def at(self, patch: int, installer: Installer | None = None) -> Environment:
        """Return it for one patch release of its range, as one installer judges it; an exact version stays as it is."""
        key = (patch, installer)
        if key not in self._points:
            self._points[key] = self._at(patch, (installer,) if installer else self.installers)
        return self._points[key]

    def _at(self, patch: int, installers: tuple[Installer, ...]) -> Environment:
        if not self.is_range:
            return self._sharing(replace(self, installers=installers), self._answers)
        python = Version(f"{self.python.major}.{self.python.minor}.{patch}")
        point = replace(self, python=python, markers=(markers_at(self.markers, patch),), installers=installers)
        return self._sharing(point, functools.partial(_answer_at, self._answers, patch))

    def for_installer(self, installer: Installer) -> Environment:
        """Return it, all of its range, as one installer judges it."""
        key = (None, installer)
        if key not in self._points:
            self._points[key] = self._sharing(replace(self, installers=(installer,)), self._answers)
        return self._points[key]

    def _sharing(self, other: Environment, answers: Callable[[str, str, Installer], int]) -> Environment:
        """Let another one with the same tags share what is remembered here: at all points of a range most markers hold alike."""
        object.__setattr__(other, "_rank", self._rank)
        object.__setattr__(other, "_answers", answers)
        return other

    def tag_rank(self, compressed: str) -> int | None:
        """Return the index of the best tag in common with a wheel's, 0 being the best of all, or None without one.

        :param compressed: the tags as they stand in a wheel's name, such as
            ``cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64``.
        """
        return self._rank(compressed)

    def allows(self, requires_python: str | None) -> int:
        """Return the set of patch releases that a Requires-Python allows, as the installer takes it."""
        return self._allowed(requires_python) if requires_python else self.all_patches

    def marker_applies(self, marker: Marker | None, extras: Iterable[str] = ()) -> bool:
        """Say if a requirement with this marker applies anywhere in the range, with no extra or any of ``extras``."""
        if marker is None:
            return True
        text = str(marker)
        return any(self._answers(text, extra, one) for extra in ("", *extras) for one in self.installers)

    def marker_always_applies(self, marker: Marker | None) -> bool:
        """Say if a requirement with this marker applies everywhere in the range, without an extra, whoever judges it."""
        text = "" if marker is None else str(marker)
        return not text or all(self._answers(text, "", one) == self.all_patches for one in self.installers)

    def turns(self, requires_python: str | None, marker: str = "") -> set[int]:
        """Return the patch releases at which a Requires-Python, or a marker, changes its answer for some installer."""
        found: set[int] = set()
        if not self.is_range:
            return found
        for one in INSTALLERS:
            if requires_python:
                found |= turns(patches_allowed(self.python, self.is_range, one, requires_python))
            if sees_the_patch(marker):
                for extra in ("", *extras_of(marker)):
                    found |= turns(self._answers(marker, extra, one))
        return found

    def divides(self, marker: str) -> bool:
        """Say if the installers judge a marker differently somewhere in the range."""
        if judged_alike(marker):
            return False
        extras = ("", *extras_of(marker))
        return any(len({self._answers(marker, extra, one) for one in INSTALLERS}) > 1 for extra in extras)

    def to_json(self) -> dict[str, object]:
        """Return what a plan keeps of it; the long list of tags as its number and hash."""
        tags = "\n".join(map(str, self.tags))
        return {
            "name": self.name,
            "python": str(self.python),
            "markers": [dict(markers) for markers in self.markers],
            "tags": len(self.tags),
            "tags-sha256": hashlib.sha256(tags.encode()).hexdigest(),
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of :meth:`to_json`, in hexadecimal: changes when what can be chosen for it can."""
        return hashlib.sha256(to_json(self.to_json())).hexdigest()


def _best_rank(ranks: Mapping[str, int], compressed: str) -> int | None:
    parts = compressed.lower().split("-")
    if len(parts) != 3:
        return None
    interpreters, abis, platforms = (part.split(".") for part in parts)
    if len(interpreters) * len(abis) * len(platforms) > 1000:  # no honest wheel has that many, a hostile one could
        return None
    found = (
        ranks.get(f"{interpreter}-{abi}-{platform}")
        for interpreter in interpreters
        for abi in abis
        for platform in platforms
    )
    return min((rank for rank in found if rank is not None), default=None)


def _answer_at(answers: Callable[[str, str, Installer], int], patch: int, *asked: Any) -> int:
    return answers(*asked) >> patch & 1
