"""A mirror in memory for the tests of the dossier: a world, its plan, and the records that a run would have kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.index.project import Project
from mirror_tasks.index.served_page import Seen
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.planning import make_plan
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.records import MetadataRecord
from tests import worlds
from tests.test_completion import complete

INDEX = "https://index.example.com/simple/"
LINUX = {"linux": {"python": "3.12.1", "platform": "linux-x86_64"}}
BOTH = {**LINUX, "windows": {"python": "3.12.1", "platform": "windows-amd64"}}


def planned(described: Mapping[str, Any], folder: Path) -> tuple[Mirror, Plan]:
    """Return the mirror of a world, with its records, and its plan."""
    one = worlds.world({"environments": LINUX, **described}, folder)
    closure, completion = complete(one)
    mirror = Mirror(one.config, lambda _: None)
    keep_records(mirror, one, closure)
    return mirror, make_plan(closure, completion)


def keep_records(mirror: Mirror, one: worlds.World, closure: Closure) -> None:
    """Keep what a closure was told, as a run does."""
    hashes: dict[str, str] = {}
    for name in closure.projects:
        project = one.project(name)
        if isinstance(project, Project):
            keep_page(mirror, project, INDEX)
            hashes.update((file.filename, file.hashes["sha256"]) for file in project.all_files())
    for filename, metadata in closure.metadata.items():
        if isinstance(metadata, (CoreMetadata, Unusable)):
            mirror.records.keep_metadata(filename, MetadataRecord(hashes[filename], metadata, None))


def keep_page(mirror: Mirror, project: Project, index: str, record: str | None = None) -> None:
    """Keep a project as the page of an index, before its files are looked at."""
    project.index = index
    mirror.records.keep_project(project, Seen(project.url, None, None, "", True, index), record)
