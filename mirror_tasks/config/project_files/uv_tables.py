"""``[tool.uv]`` of a project, and what of the root of its workspace counts for it.

=================================  ==================================================================================
key                                whose counts
=================================  ==================================================================================
``sources``, ``index``             the project's own, and before them those of the root: "any source definitions in the
                                   workspace root apply to all members"
``conflicts``                      both; an entry with a ``package`` is of that member
``constraint-dependencies``        those of the root alone, as of ``override-dependencies``, which are a fault
=================================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.project_files.lines import Lines
from mirror_tasks.config.project_files.model import Part, Source
from mirror_tasks.config.project_files.sources import UvSources, indexes_of
from mirror_tasks.config.project_files.workspaces import Workspace
from mirror_tasks.config.toml_file import below
from mirror_tasks.errors import Fault


class UvTables:
    """Reads them.

    :param path: of the project's file.
    :param own: its ``tool.uv``.
    :param workspace: the workspace that it is a member of, if any.
    :param faults: where faults are added.
    """

    def __init__(self, path: Path, own: Block, workspace: Workspace | None, faults: list[Fault]) -> None:
        self._path = path
        self._own = own
        self._workspace = workspace
        self._faults = faults
        self._root = own
        if workspace is not None and workspace.path != path:
            self._root = Block(below(workspace.root, "tool", "uv"), f"{workspace.path}: tool.uv", faults)

    def check(self) -> None:
        """Refuse what only a lock can carry."""
        if self._root.has("override-dependencies"):
            advice = "list the lock, `- {lock: uv.lock}`, or leave them out"
            self._root.fault("override-dependencies", f"uv alone obeys them, and no file of an index says so; {advice}")

    def sources(self) -> dict[NormalizedName, Source]:
        """Return the sources by name."""
        found: dict[NormalizedName, Source] = {}
        indexes: dict[str, str | None] = {}
        for block in dict.fromkeys((self._root, self._own)):
            indexes |= indexes_of(block.get("index"))
            folder = self._workspace.path.parent if self._workspace and block is self._root else self._path.parent
            value = block.get("sources") if block.has("sources") else {}
            table = Block(value, block.path("sources"), self._faults)
            found.update(UvSources(folder, self._workspace, indexes).by_name(table))
        return found

    def constraints(self, lines: Lines) -> tuple[Requirement, ...]:
        """Return what holds together with all that is installed."""
        return tuple(one.requirement for one in lines.dependencies(self._root, "constraint-dependencies"))

    def conflicts(self, name: str) -> Iterator[frozenset[Part]]:
        """Yield the sets of extras and groups of a project that uv is told to lock apart."""
        for block in dict.fromkeys((self._own, self._root)):
            sets = block.get("conflicts")
            if sets is not None and not isinstance(sets, list):
                block.fault("conflicts", f"expected a list of lists, found {show(sets)}")
                continue
            for position, entries in enumerate(sets or []):
                if isinstance(entries, list):
                    yield frozenset(_parts(entries, name, by_name=block is not self._own))
                else:
                    block.fault(f"conflicts[{position}]", f"expected a list of tables, found {show(entries)}")


def _parts(entries: list[object], name: str, *, by_name: bool) -> Iterator[Part]:
    """Yield the extras and groups in a set that are those of a project.

    :param by_name: what says no package is another's.
    """
    for one in entries:
        package = one.get("package") if isinstance(one, dict) else None
        is_own = canonicalize_name(package) == name if isinstance(package, str) else not by_name
        if isinstance(one, dict) and is_own:
            yield from ((kind, canonicalize_name(str(one[kind]))) for kind in ("extra", "group") if kind in one)
