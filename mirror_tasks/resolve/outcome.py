"""What the algorithms pass on, and what the plan keeps of it: who asked, what is wanted next, what had no solution.

It is apart from them, so that who reads a plan need not import what makes one.
"""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import NormalizedName

from mirror_tasks.index.project import File


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for a requirement: a root, a lock, a release that requires it or is built with it, or a root's completion.

    :param kind: ``root``, ``lock``, ``release``, ``build`` or ``completion``.
    :param name: of the root, or of the release's project.
    :param version: of the release; empty for a root, a lock and a completion.
    """

    kind: str
    name: str
    version: str = ""

    def __str__(self) -> str:
        """Return it as people are told; nothing is ever read out of this."""
        if self.is_root:
            return self.name
        release = f"{self.name}-{self.version}"
        return {"release": release, "build": f"building {release}"}.get(self.kind, f"completing {self.name}")

    @property
    def is_root(self) -> bool:
        """It stands in ``mirror.yaml``."""
        return self.kind in ("root", "lock")


@dataclass(frozen=True, slots=True)
class Failed:
    """A page or metadata that could not be had: the network, the index. What needs it stays undecided."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wants:
    """What the closure wants next: pages of projects, and core metadata of files of projects. Nothing is wanted twice.

    :param likely: the names of those of the files that belong in the mirror unless their metadata breaks a rule.
    :param chosen: files that belong in the mirror, whatever else will be wanted.
    """

    projects: tuple[NormalizedName, ...] = ()
    files: tuple[tuple[NormalizedName, File], ...] = ()
    likely: frozenset[str] = frozenset()
    chosen: tuple[tuple[NormalizedName, File], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.projects or self.files)

    def and_also(self, other: Wants) -> Wants:
        """Return both together."""
        return Wants(
            self.projects + other.projects,
            self.files + other.files,
            self.likely | other.likely,
            self.chosen + other.chosen,
        )


@dataclass(frozen=True, slots=True)
class Completed:
    """Releases that were added so that a root can be installed in an environment, and the conflict without them."""

    environment: str
    root: str
    reason: str
    releases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsolved:
    """A root that can't be installed in an environment, not from everything upstream either."""

    environment: str
    root: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OneSided:
    """A root that one installer can't install somewhere in an environment, not from upstream either, where another can."""

    environment: str
    root: str
    installer: str
    lines: tuple[str, ...]
