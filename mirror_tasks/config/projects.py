"""``{project: app/pyproject.toml}``: which lines of a project have to hold together, as roots.

Teams install the dependencies with most extras and groups at once (``pip install -e .[all] --group dev --group test``,
``uv sync --all-groups``), and a solution for all of it is one for each part of it. So all that is asked for is one root. Where
two extras or groups contradict each other, there are several, each of them as large as it can be: ``[tool.uv] conflicts``
says which do, and so do lines of which no version satisfies both.

What a project beside it requires (``{path = "../lib"}``, a member of the workspace) is required here, since it is installed
along with it. What building a project takes is a root of its own: a build is isolated, and not bound by the lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.reading import is_lock
from mirror_tasks.config.model import DynamicProject, RequestedRequirement, Root
from mirror_tasks.config.project_files.answers import Answers
from mirror_tasks.config.project_files.conflicts import Conflicts, going_together
from mirror_tasks.config.project_files.following import Files, Following, both, narrowed
from mirror_tasks.config.project_files.model import Dependencies, Dependency, Part, ProjectFile
from mirror_tasks.config.project_files.workspaces import NAME
from mirror_tasks.errors import Fault

_MAIN = "main"
"""Poetry's name for the dependencies, which come along whatever is asked for."""


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """One entry under ``requirements:`` that names a project.

    :param path: of the file, absolute.
    :param shown: the file's name as the user wrote it.
    :param base: the folder that names of further files are shown relative to.
    :param block: all its keys.
    :param environments: the names of those that it is limited to; None: all. ``targets`` are these environments.
    :param answers: those of build backends; None where none is asked.
    """

    path: Path
    shown: str
    base: Path
    block: Block
    key_path: str
    versions: str | int
    environments: tuple[str, ...] | None
    targets: tuple[Environment, ...]
    answers: Answers | None = None


@dataclass(slots=True)
class ProjectRoots:
    """What an entry brings.

    :ivar roots: with what tells each from any other, whatever its spelling.
    :ivar builds: what building takes, by the path of the project's file.
    :ivar foreign: what no index serves, by name; no fault where another entry brings it.
    :ivar dynamic: the projects whose build backends are asked. Where one was not asked yet, only ``builds`` are there.
    """

    roots: list[tuple[object, Root]] = field(default_factory=list)
    builds: dict[Path, Root] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    foreign: tuple[tuple[NormalizedName, Fault], ...] = ()
    dynamic: tuple[DynamicProject, ...] = ()


def read_project(entry: ProjectEntry) -> ProjectRoots:
    """Read a project as roots; what is wrong is told in the result."""
    found = ProjectRoots()
    _Entry(entry, found).read()
    return found


class _Entry:
    """Reads one entry."""

    def __init__(self, entry: ProjectEntry, found: ProjectRoots) -> None:
        self._entry = entry
        self._found = found
        self._files = Files(entry.base, entry.targets, entry.answers, faults=found.faults)

    def read(self) -> None:
        asked_at = f"{self._entry.key_path}.project"
        if problem := _why_no_project(self._entry.path, self._entry.shown):
            self._found.faults.append(Fault(asked_at, f"{self._entry.shown} {problem}"))
            return
        project = self._files.read(self._entry.path, asked_at, self._entry.shown)
        if project is not None:
            self._read(project, asked_at)
        self._found.dynamic = tuple(one.dynamic for one in self._files.projects if one.dynamic)
        self._found.faults[:] = dict.fromkeys(self._found.faults)
        self._found.foreign = tuple(self._files.foreign)

    def _read(self, project: ProjectFile, asked_at: str) -> None:
        asked = [
            *(("extra", name) for name in self._asked("extras", project.extras, is_known=project.is_known)),
            *(("group", name) for name in self._asked("groups", project.groups)),
        ]
        for parts in self._together(project, asked):
            self._add_root(project, parts)
        for one in self._files.projects:
            self._check_python(one)
        self._add_builds()
        if not all(one.is_known for one in self._files.projects):
            self._found.roots.clear()  # a part of what holds together is none of it
        elif not (self._found.roots or self._found.builds or self._found.faults):
            self._found.faults.append(Fault(asked_at, f"{project.shown} requires nothing; leave the entry out"))

    def _together(self, project: ProjectFile, asked: Sequence[Part]) -> list[tuple[Part, ...]]:
        """Return the sets of extras and groups that are each installed at once."""
        lines = {part: self._lines(project, [part]) for part in asked}
        conflicts = Conflicts(project.conflicts, lines, self._entry.targets)
        return going_together(asked, conflicts.between)

    def _asked(
        self, key: str, known: Mapping[NormalizedName, Dependencies], *, is_known: bool = True
    ) -> tuple[NormalizedName, ...]:
        """Return the extras or groups that are asked for, in the order of the file; all unless the entry says which."""
        block, value = self._entry.block, self._entry.block.get(key)
        if value is None:
            return tuple(known)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            block.fault(key, f"expected a list of names such as [{', '.join(known) or 'test'}], found {show(value)}")
            return ()
        for one in value:
            if is_known and canonicalize_name(one) not in known and one != _MAIN:
                hint = unknown(key.removesuffix("s"), one, known) if known else f"it has no {key}, found {show(one)}"
                block.fault(key, f"{self._entry.shown}: {hint}")
        asked = set(map(canonicalize_name, value))
        return tuple(name for name in known if name in asked)

    def _lines(self, project: ProjectFile, parts: Sequence[Part]) -> tuple[RequestedRequirement, ...]:
        return Following(self._files, project).lines(parts)

    # What Python it is for

    def _check_python(self, project: ProjectFile) -> None:
        out = [one for one in self._entry.targets if not _patches(project, one)]
        if not out:
            return
        kept = [one.name for one in self._entry.targets if one not in out]
        text = " || ".join(project.requires_python)
        excluded = ", ".join(f"{one.name} (Python {_python(one)})" for one in out)
        advice = f"say `environments: [{', '.join(kept)}]` in the entry" if kept else "no environment is left"
        problem = f"{text} leaves out {excluded}; {advice}"
        self._found.faults.append(Fault(f"{project.shown}: requires-python", problem))

    def _python_marker(self) -> str:
        """Return the marker of the Pythons that all projects allow; empty where all patch releases are allowed anyway."""
        markers = [
            marker
            for project in self._files.projects
            if any(_patches(project, one) != one.all_patches for one in self._entry.targets)
            and (marker := _as_marker(project.requires_python))
        ]
        return both(*markers)

    # Roots

    def _add_root(self, project: ProjectFile, parts: Sequence[Part]) -> None:
        lines = self._lines(project, parts)
        if not lines:
            return
        python = self._python_marker()
        root = self._root(
            f"{project.shown}{self._said(project, parts)}",
            tuple(replace(one, requirement=narrowed(one.requirement, python)) for one in lines),
            self._entry.versions,
            project.constraints,
        )
        self._found.roots.append(((project.path, frozenset(parts)), root))

    def _root(
        self,
        name: str,
        lines: tuple[RequestedRequirement, ...],
        versions: str | int,
        constraints: tuple[Requirement, ...] = (),
    ) -> Root:
        return Root(
            name=name,
            key_path=self._entry.key_path,
            requirements=lines,
            constraints=constraints,
            versions=versions,
            is_file=True,
            environments=self._entry.environments,
        )

    def _add_builds(self) -> None:
        for project in self._files.projects:
            if project.build_requires:
                lines = tuple(_requested(one) for one in project.build_requires)
                self._found.builds[project.path] = self._root(f"{project.shown} [build-system]", lines, "latest")

    @staticmethod
    def _said(project: ProjectFile, parts: Sequence[Part]) -> str:
        """Return what follows the file's name in the name of a root; nothing for a root that has all extras and groups."""
        everything = [*(("extra", name) for name in project.extras), *(("group", name) for name in project.groups)]
        left_out = [part for part in everything if part not in parts]
        if not left_out:
            return ""
        doubtful = project.extras.keys() & project.groups.keys()
        few, word = (left_out, "without ") if len(left_out) < len(parts) else (parts, "")
        names = [f"{kind} {name}" if name in doubtful else name for kind, name in few]
        return f" [{word}{', '.join(names)}]" if names else " [dependencies]"


def _why_no_project(path: Path, shown: str) -> str:
    """Say what a path is instead of a ``pyproject.toml``, and what to name; empty if it is one."""
    if path.is_dir():
        return "is a folder; name the pyproject.toml in it"
    if path.name == NAME:
        other = next((name for name in ("setup.py", "setup.cfg") if path.with_name(name).is_file()), "")
        if path.exists() or not other:
            return ""
        only = f"is not there, and {other} beside it says only to setuptools what is required"
        return f"{only}; write an empty {NAME}, and `build-requirements: ask` into mirror.yaml"
    if path.name in ("setup.py", "setup.cfg"):
        advice = (
            f"name a file that `uv pip compile {shown}` writes, or with `build-requirements: ask` a {NAME} beside it"
        )
        return f"says only to setuptools what is required; {advice}"
    if is_lock(path.name):
        return f"is a lock; name it as one: `- {{lock: {shown}}}`"
    return f"is no {NAME}; expected the file of a project, or `- {{file: {shown}}}` for requirements"


def _patches(project: ProjectFile, environment: Environment) -> int:
    """Return the set of patch releases on which a project can be installed."""
    allowed = 0
    for text in project.requires_python:
        allowed |= environment.allows(text)
    return allowed if project.requires_python else environment.all_patches


def _python(environment: Environment) -> str:
    """Return the Python of an environment as its block says it."""
    python = environment.python
    return f"{python.major}.{python.minor}" if environment.is_range else str(python)


def _as_marker(alternatives: Iterable[str]) -> str:
    """Return a Requires-Python as a marker."""
    return " or ".join(
        f"({' and '.join(_comparison(one.operator, one.version) for one in sorted(SpecifierSet(text), key=str))})"
        for text in alternatives
    )


def _comparison(operator: str, version: str) -> str:
    return f'python_full_version {operator} "{version}"'


def _requested(one: Dependency) -> RequestedRequirement:
    return RequestedRequirement(requirement=one.requirement, where=one.where)
