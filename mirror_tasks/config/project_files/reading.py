"""Reads a ``pyproject.toml``.

==============================  ===================================================================================
table                           what is read
==============================  ===================================================================================
``[project]``                   ``name``, ``requires-python``, ``dependencies``, ``optional-dependencies``,
                                ``dynamic`` (PEP 621)
``[dependency-groups]``         lists of requirements and ``{include-group = "…"}`` (PEP 735)
``[build-system]``              ``requires``, ``build-backend`` (PEP 518, PEP 517)
``[tool.uv]``                   :mod:`~mirror_tasks.config.project_files.uv_tables`, and ``dev-dependencies``
``[tool.pdm]``                  ``dev-dependencies``
``[tool.setuptools.dynamic]``   :mod:`~mirror_tasks.config.project_files.setuptools_dynamic`
``[tool.poetry]``               :mod:`~mirror_tasks.config.project_files.poetry_tables`
==============================  ===================================================================================

What stands in none of them, but is ``dynamic``, or is left to a ``setup.py``, is what the build backend answered when it was
asked (:mod:`~mirror_tasks.config.project_files.answers`).

Which of it is asked for, and which of it has to hold together, is not decided here but in
:mod:`~mirror_tasks.config.projects`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.build_systems import LEGACY_BACKEND, LEGACY_REQUIRES, asked_for, asked_for_editable, with_wheel
from mirror_tasks.config.installers import parse_specifier
from mirror_tasks.config.model import DynamicProject
from mirror_tasks.config.project_files.answers import Answer, Answers
from mirror_tasks.config.project_files.extra_markers import by_extra
from mirror_tasks.config.project_files.groups import read_groups
from mirror_tasks.config.project_files.lines import Lines, texts
from mirror_tasks.config.project_files.model import Dependencies, Dependency, ProjectFile
from mirror_tasks.config.project_files.poetry_tables import read_poetry
from mirror_tasks.config.project_files.setuptools_dynamic import DynamicFiles
from mirror_tasks.config.project_files.uv_tables import UvTables
from mirror_tasks.config.project_files.workspaces import Workspace, workspace_of
from mirror_tasks.config.toml_file import read_toml
from mirror_tasks.errors import Fault
from mirror_tasks.text import printable

_LONGEST = 1000  # letters of a message: what it quotes may be as long as the file


def read_project_file(
    path: Path,
    shown: str,
    faults: list[Fault],
    workspaces: dict[Path, Workspace] | None = None,
    answers: Answers | None = None,
) -> ProjectFile | None:
    """Read a ``pyproject.toml``; what is wrong is added to the faults, with its key path.

    :param workspaces: those that are known already.
    :param answers: those of build backends; None where none is asked.
    :raises ValueError: it can't be read at all.
    """
    own: list[Fault] = []
    try:
        whole = Block(read_toml(path), "", own)
        found = _Reader(path, shown, whole, own, workspace_of(path, workspaces), answers).read()
    except RecursionError:
        raise ValueError(f"{path} is nested deeper than anybody nests it; correct it") from None
    faults.extend(
        Fault(f"{shown}: {printable(one.key_path[:_LONGEST])}", printable(one.problem[:_LONGEST])) for one in own
    )
    return None if own else found


class _Reader:
    """Reads one file, table by table."""

    def __init__(
        self,
        path: Path,
        shown: str,
        whole: Block,
        faults: list[Fault],
        workspace: Workspace | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._path = path
        self._shown = shown
        self._whole = whole
        self._faults = faults
        self._project = self._table(whole, "project")
        self._tool = self._table(whole, "tool")
        self._workspace = workspace
        self._answers = answers
        self._uv = UvTables(path, self._table(self._tool, "uv"), self._workspace, faults)
        sources = self._uv.sources()
        self._lines = Lines(path, shown, sources, faults)
        standard = read_groups(self._lines, self._table(whole, "dependency-groups"))
        self._poetry = read_poetry(self._tool.get("poetry"), standard, path, shown, faults)
        sources.update(self._poetry.sources)
        setuptools = self._table(self._table(self._tool, "setuptools"), "dynamic")
        self._dynamic_files = DynamicFiles(self._lines, setuptools, faults)

    def _table(self, block: Block, key: str) -> Block:
        """Return the table of a key; an empty one where it is missing."""
        return Block(block.get(key) if block.has(key) else {}, block.path(key), self._faults)

    def read(self) -> ProjectFile:
        self._check_static()
        self._uv.check()
        name = canonicalize_name(self._project.string("name", "")) or self._poetry.name
        name = name or canonicalize_name(self._answer.name if self._answer else "")
        return ProjectFile(
            path=self._path,
            shown=self._shown,
            name=name,
            requires_python=self._requires_python() or self._poetry.requires_python,
            dependencies=self._dependencies(),
            extras=self._extras(),
            groups=self._groups(),
            build_requires=self._build_requires(),
            constraints=self._uv.constraints(self._lines),
            conflicts=tuple(self._uv.conflicts(name)),
            dynamic=self._dynamic_project(),
        )

    def _check_static(self) -> None:
        """Refuse what only a build backend can say, where none is to be asked."""
        if self._answers is not None and (self._is_project or self._is_left_to_setup):
            return
        if not self._is_project and (self._whole.has("build-system") or not self._whole.has("dependency-groups")):
            self._whole.fault("project", f"{_NO_PROJECT}; {_ASK if self._is_left_to_setup else ''}{_INSTEAD}")
        for key in self._left_to_backend if self._is_project else ():
            self._project.fault(key, f"the build backend makes it (dynamic); {_ASK}{_INSTEAD}")

    @property
    def _is_project(self) -> bool:
        return self._whole.has("project") or self._tool.has("poetry")

    @property
    def _is_left_to_setup(self) -> bool:
        """Say if a backend is to say all of it: there is one, and no table that says what is required."""
        if self._is_project:
            return False
        setup = any((self._path.parent / name).is_file() for name in ("setup.py", "setup.cfg"))
        return self._whole.has("build-system") or (setup and not self._whole.has("dependency-groups"))

    @cached_property
    def _left_to_backend(self) -> tuple[str, ...]:
        """What the build backend alone says."""
        if self._is_left_to_setup:
            return _REQUIRING
        if self._tool.has("poetry"):
            return ()
        return tuple(key for key in _REQUIRING if key in self._dynamic and not self._dynamic_files.has(key))

    @cached_property
    def _answer(self) -> Answer | None:
        asked = self._answers if self._left_to_backend else None
        return asked.of(self._path) if asked else None

    @cached_property
    def _answered(self) -> Mapping[NormalizedName, Dependencies]:
        """What the backend said: the dependencies by the empty name, the others by their extras."""
        if self._answer is None:
            return {}
        texts = enumerate(self._answer.requires_dist)
        lines = [self._lines.requirement(text, f"{_ANSWERED}[{position}]") for position, text in texts]
        found = by_extra([one for one in lines if one is not None], self._answer.provides_extra)
        return {name: tuple(map(self._as_answered, each)) for name, each in found.items()}

    def _as_answered(self, requirement: Requirement) -> Dependency:
        return self._lines.dependency(requirement, _ANSWERED)

    def _dynamic_project(self) -> DynamicProject | None:
        if self._answers is None or not self._left_to_backend:
            return None
        return DynamicProject(
            path=self._path,
            shown=self._shown,
            says=self._left_to_backend,
            record=self._answers.path(self._path),
            is_known=self._answer is not None,
        )

    @property
    def _dynamic(self) -> list[str]:
        return texts(self._project, "dynamic")

    def _reads_from_files(self, key: str) -> bool:
        return key in self._dynamic and self._dynamic_files.has(key)

    def _dependencies(self) -> Dependencies:
        """Return the dependencies; Poetry's own where ``[project]`` has none, or leaves them open."""
        if "dependencies" in self._left_to_backend:
            return self._answered.get(canonicalize_name(""), ())
        if self._reads_from_files("dependencies"):
            return self._dynamic_files.dependencies()
        found = self._lines.dependencies(self._project, "dependencies")
        if found or (self._project.has("optional-dependencies") and "dependencies" not in self._dynamic):
            return found
        return self._poetry.dependencies

    def _extras(self) -> dict[NormalizedName, Dependencies]:
        if "optional-dependencies" in self._left_to_backend:
            return {name: lines for name, lines in self._answered.items() if name}
        if self._reads_from_files("optional-dependencies"):
            return {canonicalize_name(name): lines for name, lines in self._dynamic_files.by_extra()}
        found = self._lines.by_name(self._table(self._project, "optional-dependencies"))
        if found or (self._project.has("dependencies") and "optional-dependencies" not in self._dynamic):
            return found
        return dict(self._poetry.extras)

    def _requires_python(self) -> tuple[str, ...]:
        text = self._project.string("requires-python", "")
        if self._answer and "requires-python" in self._left_to_backend:
            text = self._answer.requires_python
        if text and (len(text) > _LONGEST or parse_specifier(text) is None):
            self._project.fault("requires-python", f"expected a specifier such as >=3.10, found {show(text)}")
            return ()
        return (text,) if text else ()

    def _groups(self) -> dict[NormalizedName, Dependencies]:
        groups = dict(self._poetry.groups)
        older = dict(self._lines.by_name(self._table(self._table(self._tool, "pdm"), "dev-dependencies")))
        dev = canonicalize_name("dev")
        older[dev] = (*older.get(dev, ()), *self._lines.dependencies(self._table(self._tool, "uv"), "dev-dependencies"))
        for name, lines in older.items():
            if lines:
                groups[name] = (*groups.get(name, ()), *lines)
        return groups

    def _build_requires(self) -> Dependencies:
        """Return what must be there to build it; without ``[build-system]`` pip builds with setuptools."""
        is_built = self._is_project or self._is_left_to_setup or self._whole.has("build-system")
        if not self._poetry.is_package or not is_built:
            return ()
        system = self._table(self._whole, "build-system")
        backend = system.string("build-backend", LEGACY_BACKEND)
        declared = texts(system, "requires") if self._whole.has("build-system") else LEGACY_REQUIRES
        pyproject = {str(key): value for key, value in self._whole.items()}
        also = (*asked_for(backend, pyproject), *asked_for_editable(backend, pyproject))
        asked = self._answer.build_requires if self._answer else ()
        return self._lines.parsed(with_wheel([*declared, *also, *asked]), system.path("requires"))


_REQUIRING = ("dependencies", "optional-dependencies", "requires-python")
_ANSWERED = "Requires-Dist, as its build backend says"
_NO_PROJECT = (
    "expected a table [project], found none: setup.cfg or setup.py may say what is required, to setuptools alone"
)
_ASK = "say `build-requirements: ask` to have it asked, or "
_INSTEAD = "name a requirements file that `uv pip compile` makes of it, `- {file: requirements.txt}`, or list the lock"
