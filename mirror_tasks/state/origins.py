"""From which index each file of a mirror is, as far as the records of its project's pages show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.version import Version

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.places import further_record


def indexes_of(mirror: Mirror, project: str, files: Iterable[PlannedFile]) -> Mapping[str, str]:
    """Return where each file of a project is from, by its name.

    That is the base URL of the index, without credentials; :data:`~mirror_tasks.index.own_page.OWN` for a file of the
    user's own; nothing for a file that no page that is kept lists with this hash.
    """
    pages = list(_pages(mirror, project))
    found = {one.filename: _first(pages, one) for one in files}
    return {filename: index for filename, index in found.items() if index}


def _pages(mirror: Mirror, project: str) -> Iterator[Project]:
    """Yield the pages that are kept of a project: that of the index that serves it, then those of further ones."""
    further = binding_of(project, mirror.config.indexes or ()).further
    for record in (project, *(further_record(project, index.base) for index in further)):
        page = mirror.records.project(record)
        if page is not None:
            yield page


def _first(pages: Iterable[Project], file: PlannedFile) -> str:
    return next((page.index for page in pages if _lists(page, file)), "")


def _lists(page: Project, file: PlannedFile) -> bool:
    listed = (one for one in page.files(Version(file.version)) if one.filename == file.filename)
    return any(one.hashes.get("sha256", file.sha256) == file.sha256 for one in listed)
