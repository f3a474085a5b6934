"""The pages of a mirror, written where they stand. It needs the plan and the files, so that any process can do it.

Pages are compared with what is there and written only where they differ. The manifest is withdrawn before the first
one changes: a directory that has it is whole.
"""

from __future__ import annotations

import os
import sys
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from mirror_tasks.errors import MirrorError
from mirror_tasks.files import holds, read_or_none, sha256_of_bytes, to_json, write_whole
from mirror_tasks.layout import metadata_path, package_path, withdraw
from mirror_tasks.publish.metadata_of_plan import MetadataOfPlan
from mirror_tasks.publish.people.pages import PeoplePages, assets, description_of, project_path, with_packed
from mirror_tasks.publish.simple_index import PublishedFile, project_pages, root_pages
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.records import Records

# The plan is read by the first that needs it, and not by all threads that come meanwhile.
_READING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Site:
    """What has to be known to write the pages of a mirror.

    :param state: the folder of the records, the plan among them.
    :param output: the mirror.
    :param roots: the requirements of ``mirror.yaml``, as written.
    :param plan_sha256: of ``plan.json``, so that pages are written from no other plan.
    :param has_report: the report stands in the mirror, too.
    """

    state: Path
    output: Path
    roots: tuple[str, ...]
    plan_sha256: str
    has_report: bool = False

    def package_path(self, file: PlannedFile) -> Path:
        """Where a file stands in the mirror."""
        return package_path(self.output, file.project, file.filename)


def made_by() -> str:
    """Return a digest of all that pages are made by: code, templates, what they load, and the versions of it all."""
    whole = str(Path(__file__).resolve().parent.parent)
    # By text: with a path for each file it takes twice as long, in each run that asks if pages are due.
    content = {
        f"{folder.removeprefix(whole)}/{name}": sha256_of_bytes(Path(folder, name).read_bytes())
        for folder, _, names in os.walk(whole)
        if not folder.endswith("__pycache__")
        for name in names
        if Path(folder, name).is_file()  # an editor may have a link to nowhere beside what is open in it
    }
    versions = [sys.version, zlib.ZLIB_RUNTIME_VERSION, *map(metadata.version, ("mirror-tasks", "packaging"))]
    return sha256_of_bytes(to_json({"files": content, "versions": versions}))


def write_project_pages(site: Site, name: str, files: Sequence[PublishedFile]) -> Mapping[Path, str]:
    """Write the pages of a project, for clients and for people; return their SHA-256 by path.

    :raises MirrorError: the plan is not the one that the pages are to be written from.
    """
    plan, people = _plan_and_people(site)
    pages = project_pages(name, files, (plan.statuses or {}).get(name))
    for_people = with_packed({project_path(name): people.project_page(name)})
    return {
        **write_published(site.output, site.output / "simple" / name, pages),
        **write_published(site.output, site.output, for_people),
    }


def write_root_pages(site: Site) -> Mapping[Path, str]:
    """Write the page that lists the projects, for clients and for people; return the SHA-256 by path.

    :raises MirrorError: the plan is not the one that the pages are to be written from.
    """
    plan, people = _plan_and_people(site)
    for_people = with_packed({"index.html": people.front_page(), **assets()})
    return {
        **write_published(site.output, site.output / "simple", root_pages(plan.published_by_project)),
        **write_published(site.output, site.output, for_people),
    }


def write_published(output: Path, folder: Path, contents: Mapping[str, bytes]) -> Mapping[Path, str]:
    """Write files below a folder of the mirror, where they are not there as they should be; return their SHA-256."""
    for name, content in contents.items():
        path = folder / name
        if not holds(path, content):
            withdraw(output)
            # The manifest, written last and durably, tells if a loss of power took one of these.
            write_whole(path, content, durable=False)
    return {folder / name: sha256_of_bytes(content) for name, content in contents.items()}


def _plan_and_people(site: Site) -> tuple[Plan, PeoplePages]:
    with _READING:
        return _read_plan(site)


@lru_cache(maxsize=1)
def _read_plan(site: Site) -> tuple[Plan, PeoplePages]:
    records = Records(site.state)
    content = read_or_none(records.plan) or b""
    if sha256_of_bytes(content) != site.plan_sha256:
        problem = "expected the plan of this run, found another one"
        raise MirrorError("publishing", str(records.plan), problem, "Let one run at a time use it, then run again.")
    plan = Plan.from_bytes(content)

    def description(file: PlannedFile) -> str | None:
        content = read_or_none(metadata_path(site.package_path(file)))
        return None if content is None else description_of(content)

    return plan, PeoplePages(
        plan, MetadataOfPlan(plan, records, site.output), description, site.roots, has_report=site.has_report
    )
