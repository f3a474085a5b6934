"""The tools of locks as judges: each installs its lock for real, on the environments that this interpreter is of.

The team's own command runs on a copy of the lock that is led to the mirror (``server.py rewrite-lock``), beside the mirror's own
server. Where the system permits it, that is in a namespace that has no network but loopback, so that nothing else can help.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

import tomli
from packaging.version import Version

from mirror_tasks.archives.virtual_environment import python_of
from mirror_tasks.config.lock_files import pdm_lock, poetry_lock
from mirror_tasks.config.lock_files.model import Lock
from mirror_tasks.config.lock_files.pdm_project import DEFAULT, read_project
from mirror_tasks.config.lock_files.pdm_walked import asked_groups
from mirror_tasks.config.model import Config, Root
from mirror_tasks.files import read_or_none
from mirror_tasks.prove import alone
from mirror_tasks.prove.clients import run_client
from mirror_tasks.prove.installation import is_here
from mirror_tasks.prove.uv import find_client
from mirror_tasks.prove.verdicts import Verdict

_UNSHARE = ("unshare", "--map-root-user", "--net")
_SOURCE_URL = re.compile(r"""(?m)^(\s*url\s*=\s*)(?:"[^"]*"|'[^']*')""")
_TOOLS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv", "pylock.toml": "pip"}
_READS_PYLOCK = Version("26.1")
_PORT = 8080  # in a namespace of its own every port is free
_WITH_NETWORK = "this system gives no namespace without a network, so the tool had the network of this machine"


@dataclass(frozen=True)
class LockInstallation:
    """Installs the locks of a configuration by their own tools."""

    config: Config

    def verdicts(self) -> Iterator[Verdict]:
        """Install each lock into a fresh virtual environment, on the environments that this interpreter is one of."""
        for environment in filter(is_here, self.config.environments):
            for root in self.config.roots:
                if root.lock is None or environment.name not in root.lock.selected or _obstacle(root.lock):
                    continue
                if tool := _tool(root.lock):
                    yield self._verdict(root, root.lock, environment.name, tool)

    def not_installed(self) -> Iterator[str]:
        """Yield a sentence for each lock whose tool is not found."""
        for root in self.config.roots:
            if root.lock is not None and (obstacle := _obstacle(root.lock)):
                yield f"{root.name} is not installed, since {obstacle}"

    def _verdict(self, root: Root, lock: Lock, environment: str, tool: str) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            copy = _Copy(lock, Path(folder) / "project", tool)
            copy.make()
            reason = self._install(copy)
        warnings = () if _namespace() else (_WITH_NETWORK,)
        judge = f"installation-by-{_TOOLS[lock.kind]}"
        return Verdict(root.name, environment, judge, reason, warnings=warnings)

    def _install(self, copy: _Copy) -> str:
        server = str(self.config.output / "server.py")
        rewrite = [sys.executable, server, "rewrite-lock", str(copy.original), "--url", "{url}", "--partial"]
        rewrite += ["--output", str(copy.path)]
        asked = {
            "server": [sys.executable, "-u", server, "--port", str(_PORT if _namespace() else 0)],
            "commands": [rewrite, *copy.commands()],
            "folder": str(copy.folder),
            "settings": copy.settings,
        }
        command = [*_namespace(), sys.executable, "-I", str(alone.__file__), json.dumps(asked)]
        return run_client(command)


@dataclass(frozen=True)
class _Copy:
    """A copy of what a tool reads of a project: its lock, and what stands beside that.

    :param folder: where it is made.
    :param tool: the path of the program.
    """

    lock: Lock
    folder: Path
    tool: str

    @property
    def path(self) -> Path:
        """That of the copy of the lock."""
        return self.folder / self.lock.path.name

    @property
    def original(self) -> Path:
        """The lock that is led to the mirror."""
        return self.folder.parent / self.lock.path.name if self.lock.kind == "poetry.lock" else self.lock.path

    @property
    def _environment(self) -> Path:
        """The virtual environment, where all these tools look for it."""
        return self.folder / ".venv"

    @cached_property
    def _data(self) -> Mapping[str, object]:
        return tomli.loads(self.lock.path.read_text("utf-8"))

    def make(self) -> None:
        """Copy what stands beside the lock, and make the environment that the tool finds there."""
        for name in ("pyproject.toml", "Pipfile", *self._members()):
            source, target = self.lock.path.parent / name, self.folder / name
            if (content := read_or_none(source)) is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        self.folder.mkdir(exist_ok=True)
        if self.lock.kind == "poetry.lock":
            self._lead_poetry()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self._environment)], check=True)

    def _lead_poetry(self) -> None:
        """Lead the sources of a project of Poetry to the mirror: it goes by them, and by the hash of the project in the lock."""
        path, url = self.folder / "pyproject.toml", f"http://127.0.0.1:{_PORT}/simple/"
        text = path.read_text("utf-8")
        tables = re.split(r"(?m)^(?=\[)", text)
        led = [
            _SOURCE_URL.sub(rf'\1"{url}"', one) if one.startswith("[[tool.poetry.source]]") else one for one in tables
        ]
        if led == tables:
            led.append(f'\n[[tool.poetry.source]]\nname = "mirror"\nurl = "{url}"\npriority = "primary"\n')
        path.write_text("".join(led), "utf-8")
        found = poetry_lock.content_hash(tomli.loads("".join(led)))
        lock = re.sub(r'(?m)^(content-hash = )"[^"]*"', rf'\1"{found}"', self.lock.path.read_text("utf-8"))
        self.original.write_text(lock, "utf-8")

    def _members(self) -> Iterator[str]:
        """Yield the projects of the workspace of a uv.lock, which uv reads, and does not install here."""
        packages = self._data.get("package", ()) if self.lock.kind == "uv.lock" else ()
        for package in packages if isinstance(packages, list) else ():
            source = package.get("source", {})
            member = source.get("editable") or source.get("virtual") or source.get("directory")
            if member and not Path(member).is_absolute() and ".." not in Path(member).parts:
                yield f"{member}/pyproject.toml"

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment variables by which nothing of the user's is read, and nothing kept."""
        folder = str(self.folder.parent)
        return {
            "HOME": folder,
            "XDG_CACHE_HOME": f"{folder}/cache",
            "XDG_CONFIG_HOME": f"{folder}/config",
            "UV_CACHE_DIR": f"{folder}/cache/uv",
            "UV_PYTHON_DOWNLOADS": "never",
            "PIPENV_VENV_IN_PROJECT": "1",
            "PIPENV_NOSPIN": "1",
            "POETRY_VIRTUALENVS_IN_PROJECT": "1",
            "PDM_CHECK_UPDATE": "0",
            "PDM_PYPI_URL": "{url}simple/",
        }

    def commands(self) -> Sequence[Sequence[str]]:
        """Return the team's own command."""
        return {
            "uv.lock": self._by_uv,
            "poetry.lock": self._by_poetry,
            "pdm.lock": self._by_pdm,
            "Pipfile.lock": self._by_pipenv,
            "pylock.toml": self._by_pip,
        }[self.lock.kind]()

    def _by_uv(self) -> Sequence[Sequence[str]]:
        left_out = self._left_out_of_conflicts()
        asked = [
            word
            for option, names in (("--group", self.lock.groups), ("--extra", self.lock.extras))
            for name in names
            if (option, name) not in left_out
            for word in (option, name)
        ]
        sync = [self.tool, "sync", "--frozen", "--no-install-workspace", "--no-default-groups", "--all-packages"]
        return [[*sync, "--python", sys.executable, *asked]]

    def _left_out_of_conflicts(self) -> frozenset[tuple[str, str]]:
        """Return the groups and extras that can't be installed with the first of those with which they conflict."""
        conflicts = self._data.get("conflicts", ())
        return frozenset(
            (f"--{kind}", item[kind])
            for items in (conflicts if isinstance(conflicts, list) else ())
            for item in items[1:]
            for kind in ("group", "extra")
            if kind in item
        )

    def _by_pip(self) -> Sequence[Sequence[str]]:
        python = str(python_of(self._environment))
        pip = [self.tool, "-m", "pip", "--python", python, "--isolated", "--disable-pip-version-check"]
        return [[*pip, "install", "--quiet", "--no-cache-dir", "--index-url", "{url}simple/", "-r", str(self.path)]]

    def _by_pipenv(self) -> Sequence[Sequence[str]]:
        categories = [{"default": "packages", "develop": "dev-packages"}.get(one, one) for one in self.lock.groups]
        return [[self.tool, "sync", "--categories", " ".join(categories)]]

    def _by_pdm(self) -> Sequence[Sequence[str]]:
        file = pdm_lock.read(self._data, self.lock.path)
        asked = asked_groups(self.lock.groups, self.lock.extras, file.groups, file.extras)
        options = [] if DEFAULT in asked else ["--no-default"]
        if asked.isdisjoint(self._development_groups()):
            options.append("--prod")  # without one of these pdm takes them all
        groups = [word for name in sorted(asked - {DEFAULT}) for word in ("-G", name)]
        return [[self.tool, "sync", "--no-self", *options, *groups]]

    def _development_groups(self) -> Collection[str]:
        content = read_or_none(self.folder / "pyproject.toml")
        return read_project(tomli.loads(content.decode())).development if content is not None else ()

    def _by_poetry(self) -> Sequence[Sequence[str]]:
        groups = ["--only", ",".join(self.lock.groups)] if self.lock.groups else []
        extras = [word for name in self.lock.extras for word in ("--extras", name)]
        return [[self.tool, "install", "--no-root", "--no-interaction", *groups, *extras]]


def _obstacle(lock: Lock) -> str:
    """Return why a lock can't be installed here; empty where it can."""
    if _tool(lock) is None:
        return f"{_TOOLS[lock.kind]} was not found"
    if lock.kind == "pylock.toml" and (problem := _pip_problem()):
        return problem
    if lock.kind == "poetry.lock" and not _namespace():
        return "poetry goes by the sources of its project, and this system gives no namespace where they could lead to the mirror"
    return ""


def _pip_problem() -> str:
    """Return why the pip of this environment can't install from a pylock.toml; empty where it can."""
    try:
        version = metadata.version("pip")
    except metadata.PackageNotFoundError:
        return "pip was not found"
    return (
        "" if Version(version) >= _READS_PYLOCK else f"pip {version} reads no pylock.toml; {_READS_PYLOCK} and newer do"
    )


def _tool(lock: Lock) -> str | None:
    """Return the path of the program that installs a lock; None where it is not found."""
    name = _TOOLS[lock.kind]
    return find_client() if name == "uv" else sys.executable if name == "pip" else shutil.which(name)


@cache
def _namespace() -> Sequence[str]:
    """Return the beginning of a command that runs without a network; nothing where the system does not permit that."""
    loopback = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        done = subprocess.run([*_UNSHARE, *loopback, "true"], capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return () if done.returncode else (*_UNSHARE, *loopback)
