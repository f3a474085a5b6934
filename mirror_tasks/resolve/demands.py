"""What the closure is asked for, and what that comes to: a demand, the release chosen for it, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.config.installers import Installer, parse_specifier
from mirror_tasks.index.project import File
from mirror_tasks.text import with_extras


@dataclass(frozen=True, slots=True)
class Asked:
    """What an asker itself said of a project, and what else binds it there: a demand is both together.

    :param bound: of the lines and constraints of the root; empty where they add nothing.
    """

    specifier: str
    bound: str


@dataclass(frozen=True, slots=True)
class Demand:
    """One requirement in one environment; equal ones are decided once, whoever asks.

    :param installer: who decides, where it is not all of them together.
    :param lock: the name of the root whose lock has it, where it is a locked package.
    """

    project: NormalizedName
    specifier: str
    extras: frozenset[str]
    environment: str
    scope: int = 0
    versions: str | int = "latest"
    hashes: frozenset[str] = frozenset()
    installer: Installer | None = None
    lock: str = ""

    def __str__(self) -> str:
        return self.with_specifier(self.specifier)

    def with_specifier(self, specifier: str) -> str:
        """Return the requirement as text, with what one of those who ask said of the version."""
        return f"{with_extras(self.project, self.extras)}{specifier}"


@dataclass(frozen=True, slots=True)
class Build:
    """The build requirements of one release's sdist, to be followed in one environment, within the bounds of a scope."""

    project: NormalizedName
    version: Version
    sdist: File
    environment: str
    scope: int = 0


@dataclass(slots=True)
class Chosen:
    """A release chosen in an environment: what an installer there would take, and what belongs in the mirror.

    :ivar files: by name, those among them that may turn out to be of no use: see :meth:`Closure.files_of`.
    :ivar taken: the names of all files that some demand would have installed; ``installs`` is the preferred one of them.
    :ivar is_repaired: an installer asked for it that repairs what others refuse.
    :ivar by_locks_alone: only locks asked for it, so that it has the files that they name.
    """

    installs: File
    files: dict[str, File] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    is_repaired: bool = False
    by_locks_alone: bool = False


@dataclass(frozen=True, slots=True)
class Unsatisfied:
    """A requirement that no release on the index satisfies in an environment."""

    environment: str
    requirement: str
    reason: str
    undecided: bool = False


def specifier_of(demand: Demand) -> SpecifierSet:
    """Return what the version of a demand has to satisfy."""
    specifier = parse_specifier(demand.specifier)
    assert specifier is not None, "a demand is made of a parsed specifier"
    return specifier
