"""Where a dependency of a project comes from if no index serves it, and what then has to stand in ``mirror.yaml``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.markers import InvalidMarker, Marker
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.lines_to_add import ARCHIVES
from mirror_tasks.config.model import NamedIndex
from mirror_tasks.config.project_files.model import Source
from mirror_tasks.config.project_files.workspaces import NAME, Workspace


def source_of_path(folder: Path, text: str) -> Source:
    """Return the source that is a path, relative to a folder: of an archive, or of a folder with a project."""
    if text.lower().endswith(ARCHIVES):
        return Source(other=text)
    return Source(project=Path(os.path.normpath(folder / text)) / NAME)


def source_of_url(folder: Path, url: str) -> Source:
    """Return the source that a requirement names behind its ``@``."""
    try:
        parts = urlsplit(url)
    except ValueError:  # as http://[
        return Source(other=url)
    if parts.scheme == "file" and not unquote(parts.path).lower().endswith(ARCHIVES):
        return source_of_path(folder, url2pathname(parts.path))
    return Source(other=url)


class UvSources:
    """Reads ``[tool.uv.sources]``.

    :param folder: that paths are relative to.
    :param workspace: that of the project, if any.
    :param indexes: the URLs of ``[[tool.uv.index]]`` by name, None for the default.
    """

    def __init__(self, folder: Path, workspace: Workspace | None, indexes: Mapping[str, str | None]) -> None:
        self._folder = folder
        self._workspace = workspace
        self._indexes = indexes

    def by_name(self, table: Block) -> Iterator[tuple[NormalizedName, Source]]:
        """Yield what is said of each name; nothing where the default index serves it."""
        for key, value in table.items():
            name, key = canonicalize_name(str(key)), str(key)
            entries = value if isinstance(value, list) else [value]
            blocks = [Block(one, table.path(key), []) for one in entries]
            if not all(isinstance(one, dict) for one in entries):
                table.fault(key, f'expected a table such as {{index = "…"}}, found {show(value)}')
            elif all(block.has("index") for block in blocks):
                if named := tuple(self._named(blocks)):
                    yield name, Source(indexes=named)
            elif len(entries) > 1:
                table.fault(key, "of several sources, one is no index; that is not followed: list the lock")
            else:
                yield name, self._elsewhere(name, blocks[0], table, key)

    def _named(self, blocks: Sequence[Block]) -> Iterator[tuple[NamedIndex, str]]:
        for block in blocks:
            label = str(block.get("index"))
            url = self._indexes.get(label, "")
            if url is not None:
                yield NamedIndex(label, url), valid_marker(block.get("marker"))

    def _elsewhere(self, name: NormalizedName, block: Block, table: Block, key: str) -> Source:
        if block.get("workspace") is True:
            member = self._workspace.members.get(name) if self._workspace else None
            if member is None:
                table.fault(key, f"no workspace above {self._folder} has a member named {name}")
            return Source(project=member)
        if block.has("path"):
            return source_of_path(self._folder, str(block.get("path")))
        if block.has("git"):
            pin = next((f"@{block.get(key)}" for key in ("rev", "tag", "branch") if block.has(key)), "")
            return Source(other=f"git+{block.get('git')}{pin}")
        if not block.has("url"):
            table.fault(key, "expected one of index, workspace, path, git and url")
        return Source(other=str(block.get("url")))


def indexes_of(tables: object) -> dict[str, str | None]:
    """Return the URLs of ``[[tool.uv.index]]`` by name; None for the default one, which serves whatever is not bound."""
    found: dict[str, str | None] = {}
    for one in tables if isinstance(tables, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            found[one["name"]] = None if one.get("default") is True else str(one.get("url", ""))
    return found


def valid_marker(text: object) -> str:
    """Return a marker as text; empty, which holds everywhere, where it is none."""
    try:
        return str(Marker(text)) if isinstance(text, str) else ""
    except (InvalidMarker, RecursionError):
        return ""
