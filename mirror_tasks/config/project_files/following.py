"""The lines of a project that are installed together: what names a project on this disk is followed into its file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import show
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lines_to_add import line_to_add
from mirror_tasks.config.model import NamedIndex, RequestedRequirement
from mirror_tasks.config.project_files.answers import Answers
from mirror_tasks.config.project_files.model import Dependencies, Dependency, Part, ProjectFile
from mirror_tasks.config.project_files.reading import read_project_file
from mirror_tasks.config.project_files.workspaces import Workspace
from mirror_tasks.config.requirement_files import relative
from mirror_tasks.errors import Fault
from mirror_tasks.text import printable, redact

_MOST_LINES = 20_000  # of one root; a hostile file could make them grow without end


@dataclass(slots=True)
class Files:
    """The files of the projects that an entry names, each read once.

    :param base: the folder that their names are shown relative to.
    :param targets: the environments that they are for.
    :param answers: those of build backends; None where none is asked.
    :ivar found: by path; None for one that can't be used. ``faults`` says why, with its key path.
    :ivar foreign: what no index serves, with its name; no fault where another entry brings it.
    """

    base: Path
    targets: tuple[Environment, ...] = ()
    answers: Answers | None = None
    found: dict[Path, ProjectFile | None] = field(default_factory=dict)
    workspaces: dict[Path, Workspace] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    foreign: dict[tuple[NormalizedName, Fault], None] = field(default_factory=dict)

    def read(self, path: Path, asked_at: str, shown: str = "") -> ProjectFile | None:
        """Return what a project's file says.

        :param asked_at: the place that names it.
        :param shown: its name for messages; that of its path unless it is given.
        """
        if path not in self.found:
            try:
                name = shown or relative(path, self.base)
                self.found[path] = read_project_file(path, name, self.faults, self.workspaces, self.answers)
            except ValueError as error:
                self.found[path] = None
                self.faults.append(Fault(asked_at, str(error)))
        return self.found[path]

    @property
    def projects(self) -> tuple[ProjectFile, ...]:
        """Those that can be used."""
        return tuple(one for one in self.found.values() if one is not None)


class Following:
    """Collects the lines of a root: what names a project that is read here is followed (``app[all]``, ``lib``)."""

    def __init__(self, files: Files, project: ProjectFile) -> None:
        self._files = files
        self._project = project
        self._todo: deque[tuple[ProjectFile, Dependencies, frozenset[str]]] = deque()
        self._seen: set[tuple[Path, Part | None, frozenset[str]]] = set()
        self._lines: dict[str, RequestedRequirement] = {}

    def lines(self, parts: Iterable[Part]) -> tuple[RequestedRequirement, ...]:
        """Return the lines of the dependencies and of some extras and groups, each once."""
        self._follow(self._project, None, self._project.dependencies, frozenset())
        for kind, name in parts:
            known = self._project.extras if kind == "extra" else self._project.groups
            self._follow(self._project, (kind, name), known[name], frozenset())
        while self._todo and len(self._lines) <= _MOST_LINES:
            project, lines, markers = self._todo.popleft()
            for line in lines:
                self._add(project, line, markers)
        if self._todo:
            self._files.faults.append(Fault(self._project.shown, f"more than {_MOST_LINES:,} lines hold together"))
        return tuple(self._lines.values())

    def _follow(self, project: ProjectFile, part: Part | None, lines: Dependencies, markers: frozenset[str]) -> None:
        if {(project.path, part, markers), (project.path, part, frozenset[str]())} & self._seen:
            return
        self._seen.add((project.path, part, markers))
        self._todo.append((project, lines, markers))

    def _add(self, project: ProjectFile, line: Dependency, markers: frozenset[str]) -> None:
        if line.requirement.marker is not None:
            markers |= {str(line.requirement.marker)}
        other = self._project_of(project, line)
        if other is not None:
            self._follow_project(other, line, markers)
            return
        requirement = narrowed(Requirement(_unmarked(line.requirement)), both(*sorted(markers)))
        requested = RequestedRequirement(
            requirement=requirement, indexes=tuple(self._indexes_of(line)), where=line.where
        )
        self._lines.setdefault(str(requirement), requested)

    def _indexes_of(self, line: Dependency) -> Iterator[NamedIndex]:
        """Yield the indexes that a line is to come from on some environment."""
        for index, text in line.source.indexes if line.source else ():
            marker = Marker(text) if text else None
            if any(environment.marker_applies(marker) for environment in self._files.targets):
                yield index

    def _follow_project(self, other: ProjectFile, line: Dependency, markers: frozenset[str]) -> None:
        self._follow(other, None, other.dependencies, markers)
        for extra in map(canonicalize_name, sorted(line.requirement.extras)):
            if extra in other.extras:
                self._follow(other, ("extra", extra), other.extras[extra], markers)
            elif other.is_known:
                self._files.faults.append(Fault(line.where, f"{other.shown} has no extra {show(str(extra))}"))

    def _project_of(self, project: ProjectFile, line: Dependency) -> ProjectFile | None:
        """Return the project that a line names, if it is read here; what no index serves is told otherwise."""
        for one in (project, self._project):
            if line.name == one.name:
                return one
        if line.source is None or line.source.indexes:
            return None
        if line.source.project is None:
            other = printable(redact(line.source.other))
            advice = line_to_add(line.name, other, project.path.parent, self._files.base)
            fault = Fault(line.where, f"{line.name} comes from {other}, which is on no index; {advice}")
            self._files.foreign[line.name, fault] = None
            return None
        return self._files.read(line.source.project, line.where)


def both(*markers: str) -> str:
    """Return what holds where all of some markers do."""
    return " and ".join(f"({one})" for one in markers)


def narrowed(requirement: Requirement, marker: str) -> Requirement:
    """Return a requirement that applies only where a marker holds as well."""
    if not marker:
        return requirement
    own = [str(requirement.marker)] if requirement.marker is not None else []
    result = Requirement(_unmarked(requirement))
    result.marker = Marker(both(*own, marker))
    return result


def _unmarked(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"
