"""What a lock says, whichever tool wrote it: packages with the files that they may be installed from.

This is one step beyond ``packaging.pylock``, which reads ``pylock.toml`` here and whose model could not hold all of them:
Pipfile.lock has hashes without file names, and what a uv lock selects with conflicting extras has two versions of a name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import Installer


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file that a lock names.

    :param filename: the last part of a path, checked to be safe as one; empty where the lock gives a hash alone.
    :param sha256: in hexadecimal, lower case; None where the lock gives none, as for an index without hashes.
    :param url: where it was when the lock was made; a hint, without credentials.
    """

    filename: str
    sha256: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package that a lock names.

    :param files: all that the lock names; none where it has a source of its own.
    :param index: the URL of the index that it is from, as the lock has it, without credentials; None: it does not say.
    :param source: where it comes from if that is no index, as a requirement has it behind the ``@``
        (``git+https://git.example.com/tool@4f1c…``, ``../lib``); empty for what an index serves.
    """

    name: NormalizedName
    version: Version
    files: tuple[LockedFile, ...] = ()
    index: str | None = None
    source: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class LockFile(Protocol):
    """A lock as its tool's module reads it, before environments are asked for.

    :ivar groups: the names of all groups that can be asked for; ``extras`` likewise. Normalised, in the lock's order.
    :ivar markers: every marker in it, as text: where their answers change within ``python: "3.12"``, it is asked again.
    :ivar requires_python: the specifier that bounds all of it; empty for none.
    :ivar installer: whose way of judging markers is that of the tool.
    :ivar build_constraints: what binds the building of sdists.
    """

    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    installer: Installer
    build_constraints: tuple[Requirement, ...]

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that the lock selects, sorted by name and version.

        The project itself and the members of its workspace are not among them.

        :param environment: one patch release of one Python (:meth:`Environment.at`).
        :raises ValueError: the lock does not hold together there; the message says what was expected and found.
        """


@dataclass(frozen=True, slots=True)
class Selection:
    """What a lock selects from one patch release of an environment's Python on, up to that of the next selection."""

    patch: int
    packages: tuple[LockedPackage, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock, and what it selects for the environments of a mirror.

    :param path: of the file, absolute.
    :param kind: the name by which its format is known: ``uv.lock``, ``poetry.lock``, ``pdm.lock``, ``Pipfile.lock`` or
        ``pylock.toml``.
    :param groups: those that were asked for; ``extras`` likewise.
    :param selected: by the name of the environment, the selection of its lowest patch release first; an environment
        that is not for this lock is not in it.
    :param warning: what is to be told of it though it can be used, in a sentence: that it is older than its project, or
        that its tool builds what nothing in the mirror can build.
    """

    path: Path
    kind: str
    groups: tuple[str, ...]
    extras: tuple[str, ...]
    selected: Mapping[str, tuple[Selection, ...]] = field(hash=False)
    build_constraints: tuple[Requirement, ...] = ()
    warning: str = ""
