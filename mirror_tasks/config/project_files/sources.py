"""Where a dependency of a project comes from if no index serves it, and what then has to stand in ``mirror.yaml``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.lines_to_add import ARCHIVES
from mirror_tasks.config.project_files.model import Source
from mirror_tasks.config.project_files.workspaces import NAME, Workspace


def source_of_path(folder: Path, text: str) -> Source:
    """Return the source that is a path, relative to a folder: of an archive, or of a folder with a project."""
    if text.lower().endswith(ARCHIVES):
        return Source(other=text)
    return Source(project=Path(os.path.normpath(folder / text)) / NAME)


def source_of_url(folder: Path, url: str) -> Source:
    """Return the source that a requirement names behind its ``@``."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not unquote(parts.path).lower().endswith(ARCHIVES):
        return source_of_path(folder, url2pathname(parts.path))
    return Source(other=url)


def uv_sources(table: Block, folder: Path, workspace: Workspace | None) -> Iterator[tuple[NormalizedName, Source]]:
    """Yield the sources of ``[tool.uv.sources]`` that are no index; an index is bound by ``index:`` in ``mirror.yaml``.

    :param folder: that paths are relative to.
    """
    for key, value in table.items():
        name, key = canonicalize_name(str(key)), str(key)
        entries = value if isinstance(value, list) else [value]
        blocks = [Block(one, table.path(key), []) for one in entries]
        if not all(isinstance(one, dict) for one in entries):
            table.fault(key, f'expected a table such as {{index = "…"}}, found {show(value)}')
        elif not all(block.has("index") for block in blocks):
            if len(entries) > 1:
                table.fault(key, "of several sources, one is no index; that is not followed: list the lock")
            else:
                yield name, _uv_source(name, blocks[0], table, key, folder, workspace)


def _uv_source(
    name: NormalizedName, block: Block, table: Block, key: str, folder: Path, workspace: Workspace | None
) -> Source:
    if block.get("workspace") is True:
        member = workspace.members.get(name) if workspace else None
        if member is None:
            table.fault(key, f"no workspace above {folder} has a member named {name}")
        return Source(project=member)
    if block.has("path"):
        return source_of_path(folder, str(block.get("path")))
    if block.has("git"):
        pin = next((f"@{block.get(key)}" for key in ("rev", "tag", "branch") if block.has(key)), "")
        return Source(other=f"git+{block.get('git')}{pin}")
    if not block.has("url"):
        table.fault(key, "expected one of index, workspace, path, git and url")
    return Source(other=str(block.get("url")))
