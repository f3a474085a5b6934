"""What ``mirror.yaml`` says, read and checked: the roots, the indexes, and all that is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from packaging.requirements import Requirement

from mirror_tasks.config.environments import Environment
from mirror_tasks.text import without_credentials

if TYPE_CHECKING:  # most mirrors have no lock, no policy and no bundles
    from mirror_tasks.config.lock_files.model import Lock
    from mirror_tasks.config.own_sources import OwnProject
    from mirror_tasks.config.policy import Policy
    from mirror_tasks.config.transfer import Transfer


@dataclass(frozen=True, slots=True)
class Index:
    """One entry under ``index:``.

    :param url: as the user wrote it. Never shown: it may carry credentials.
    :param hashes_required: files for which its pages give no sha256 are left out.
    :param upload_times: its pages say when files were uploaded; where not, a cooldown does not ask that of its files.
    :param missing: statuses, besides 404 and 410, with which it says that it does not have a project.
    :param projects: patterns of the projects that it serves, and nobody else does; it then serves nothing else. None: it
        serves what no other index has patterns for. See :mod:`mirror_tasks.config.bindings`.
    :param name: what it is called in messages; empty: its URL.
    :param client_cert: the path of a certificate with its key, which it is shown; empty: what pip has.
    :param locked: names (normalised) that it serves alone, as locks take them from it; it serves others as well.
    :param adds: names (normalised) that another index serves, and of which it adds the files that locks take from it.
    """

    url: str = field(repr=False)
    hashes_required: bool = False
    upload_times: bool = True
    missing: frozenset[int] = frozenset()
    projects: tuple[str, ...] | None = None
    name: str = ""
    client_cert: str = ""
    locked: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()

    @property
    def base(self) -> str:
        """Its base URL as it may be shown and stored: without credentials, with a slash at its end."""
        return without_credentials(self.url).rstrip("/") + "/"

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.name or self.base


@dataclass(frozen=True, slots=True)
class NamedIndex:
    """An index, as the file of a project names it for one of its dependencies.

    :param url: empty where the file does not say. Never shown as it is: it may carry credentials.
    """

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedRequirement:
    """A requirement as the user wrote it.

    :param hashes: SHA-256 digests in hexadecimal that its files may have; empty: any.
    :param indexes: those that its project is to come from, as the file of a project says; none: it does not say.
    :param where: its place, such as ``mirror.yaml: requirements[2]`` or ``requirements.txt:14``.
    """

    requirement: Requirement
    hashes: frozenset[str] = frozenset()
    indexes: tuple[NamedIndex, ...] = ()
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One entry under ``requirements:``, to be installable by itself; a file is one root of all its lines, and so is a lock.

    :param name: as the user wrote it: ``requests>=2.24.0``, or ``requirements.txt``.
    :param key_path: its place in ``mirror.yaml``, such as ``requirements[0]``.
    :param versions: how many releases of each of its projects: ``latest``, ``all`` or a number of newest ones.
    :param wished: it is what clients asked for; that no index has it is told, and no fault of the mirror.
    :param hashed_constraints: those of its constraints that have hashes; they are among ``constraints``, too.
    :param is_file: its lines stand in a file: a requirements file, or that of a project.
    :param own: the name of the folder that its files are in, which the user brings along; empty for an index.
    :param environments: the names of the environments that it is limited to; None: all.
    :param lock: what the lock says that it is; it then has no requirements.
    """

    name: str
    key_path: str
    requirements: tuple[RequestedRequirement, ...]
    constraints: tuple[Requirement, ...] = ()
    hashed_constraints: tuple[RequestedRequirement, ...] = ()
    versions: str | int = "latest"
    wished: bool = False
    is_file: bool = False
    environments: tuple[str, ...] | None = None
    lock: Lock | None = None
    own: str = ""

    def is_for(self, environment: Environment) -> bool:
        """Say if it is to be installable on an environment."""
        return self.environments is None or environment.name in self.environments

    def is_resolved_on(self, environment: Environment) -> bool:
        """Say if a resolver has to find a solution for it on an environment; a lock is one already."""
        return self.lock is None and self.is_for(environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicProject:
    """A project on this disk of which only its build backend says what it requires.

    :param path: of its ``pyproject.toml``.
    :param shown: the name of that for messages.
    :param says: what the backend alone says, such as ``dependencies``.
    :param record: where its answer is kept.
    :param is_known: it was asked once: what it said then is among the roots.
    """

    path: Path
    shown: str
    says: tuple[str, ...]
    record: Path
    is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``mirror.yaml`` says; paths are absolute.

    :param state: the folder of pages, records and doit's database.
    :param indexes: the first that may serve a project and has it serves it; None: what pip uses here.
    :param environments: in the order of the file.
    :param environment_blocks: the same as the file has them.
    :param prefer_binary: a release with a usable wheel is preferred to a newer one with only an sdist.
    :param accept_changed: projects (normalised) of which the index may serve other content under a name it had before.
    :param workers: tasks at once, 1 to 64.
    :param refresh: seconds that a project page is trusted without asking again.
    :param wanted: the lists of what clients asked for in vain, as the server wrote them.
    :param own: the projects that are served from the user's own files alone; no index is asked for them.
    :param dynamic: the projects whose build backends are asked what they require. Of one that was not asked yet, and of what
        requires it, there are no roots.
    :param url: how the mirror is reached where it is used, without a slash at its end; None: it is not said.
    :param transfer: how bundles are made; None: it is not said, and none are.
    :param policy: what may come in; None: everything.
    :param report: where the report is written: beside the output, or into the mirror as well.
    """

    path: Path
    output: Path
    state: Path
    indexes: tuple[Index, ...] | None
    environments: tuple[Environment, ...]
    environment_blocks: Mapping[str, object]
    roots: tuple[Root, ...]
    versions: str | int
    wheels: Literal["compatible", "best", "none"]
    sdists: Literal["always", "fallback", "never"]
    build_requirements: bool
    ask_backends: bool
    prereleases: bool
    prefer_binary: bool
    accept_changed: frozenset[str]
    workers: int
    refresh: float
    wanted: tuple[Path, ...]
    own: tuple[OwnProject, ...] = ()
    dynamic: tuple[DynamicProject, ...] = ()
    url: str | None = None
    transfer: Transfer | None = None
    policy: Policy | None = None
    report: Literal["beside", "mirror"] = "beside"

    @property
    def builds(self) -> Path:
        """The folder of what is built from the user's own repositories, a folder for each project."""
        return self.state / "git"

    @property
    def own_urls(self) -> tuple[str, ...]:
        """The URLs of the user's own files, their credentials among them; of those on this machine that of their folder."""
        urls = (file.url for one in self.own for file in one.files)
        found = [f"{url.rpartition('/')[0]}/" if url.startswith("file:") else url for url in urls]
        if any(one.git for one in self.own):
            found.append(f"{self.builds.as_uri()}/")
        return tuple(dict.fromkeys(found))

    @property
    def unknown(self) -> tuple[DynamicProject, ...]:
        """Those of ``dynamic`` whose backends were not asked yet."""
        return tuple(one for one in self.dynamic if not one.is_known)

    def resolved_on(self, environment: Environment) -> tuple[Root, ...]:
        """Return the roots for which a resolver has to find a solution on an environment."""
        return tuple(root for root in self.roots if root.is_resolved_on(environment))
