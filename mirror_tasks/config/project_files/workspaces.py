"""Projects that stand beside a project: members of its uv workspace, and folders that it names as sources.

https://docs.astral.sh/uv/concepts/projects/workspaces/: ``[tool.uv.workspace]`` of the root names its ``members`` and what of
them to ``exclude`` by patterns; the root is a member too. "Any source definitions in the workspace root apply to all members".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.toml_file import below, read_toml

NAME = "pyproject.toml"


@dataclass(frozen=True)
class Workspace:
    """A uv workspace.

    :param path: of its root's file.
    :param root: what that holds.
    """

    path: Path
    root: Mapping[str, object]

    @cached_property
    def members(self) -> Mapping[NormalizedName, Path]:
        """The file of each member, by the member's name."""
        found: dict[NormalizedName, Path] = {}
        for path in self.files:
            try:
                name = below(read_toml(path), "project").get("name")
            except ValueError:
                continue  # it is told where it is read as a project
            if isinstance(name, str):
                found.setdefault(canonicalize_name(name), path)
        return found

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files of all members, sorted, the root's first."""
        excluded = set(self._matching("exclude"))
        members = (folder / NAME for folder in self._matching("members") if folder not in excluded)
        return tuple(dict.fromkeys([self.path, *sorted(path for path in members if path.is_file())]))

    def _matching(self, key: str) -> Iterator[Path]:
        patterns = below(self.root, "tool", "uv", "workspace").get(key)
        for pattern in patterns if isinstance(patterns, list) else []:
            try:
                yield from self.path.parent.glob(str(pattern))
            except (NotImplementedError, ValueError, IndexError, OSError):  # no pattern, or not below the root
                continue


def workspace_of(path: Path, known: dict[Path, Workspace] | None = None) -> Workspace | None:
    """Return the workspace that the project with this file is a member of, if any.

    :param known: those that were found already, by the files of their roots; what is found is added.
    """
    known = {} if known is None else known
    for folder in path.parents:
        found = known.get(folder / NAME) or _read(folder / NAME)
        if found is not None:
            known[found.path] = found
            return found if path in found.files else None
    return None


def _read(path: Path) -> Workspace | None:
    try:
        root = read_toml(path)
    except ValueError:  # there is none, most often
        return None
    return Workspace(path, root) if "workspace" in below(root, "tool", "uv") else None
