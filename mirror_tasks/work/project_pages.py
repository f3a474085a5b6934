"""The pages of projects: asked for where they may have changed, and as they were last seen."""

from __future__ import annotations

from mirror_tasks.errors import PageError
from mirror_tasks.files import is_device
from mirror_tasks.index.client import Upstream, base_of
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import Project
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import jobs
from mirror_tasks.work.fingerprints import Fingerprints
from mirror_tasks.work.own_pages import OwnPages
from mirror_tasks.work.processes import RECEIVING


class ProjectPages:
    """The pages of the projects of one mirror."""

    def __init__(self, mirror: Mirror, upstream: Upstream, fingerprints: Fingerprints) -> None:
        self._records = mirror.records
        self._refresh = mirror.config.refresh
        self._own = OwnPages(mirror.config.own, mirror.records)
        self._upstream = upstream
        self._fingerprints = fingerprints
        self._demanding = {base_of(index.url) for index in mirror.config.indexes or () if index.hashes_required}

    def fetch(self, name: str) -> Project | None:
        """Return the project, asking upstream if its page changed; None says that the index has no such project.

        :raises UpstreamError: the page can't be had, or the project vanished since the last run.
        :raises PageError: the page can't be read.
        """
        if is_device(name):
            reason = "Windows can have no folder of this name, so no mirror has the project"
            return Project(name, "", {}, [(name, reason)])
        if self._is_fresh(name):
            return self.known(name)
        if name in self._own:
            self._own.update(name)
        elif not RECEIVING.call(jobs.update_page, self._upstream.route, name, self._records.folder):
            return None
        project = self.known(name)
        if project is None:
            path = self._records.page_record_path(name)
            problem = "expected what was just written there, found something else"
            raise PageError("reading", str(path), problem, "Check the disk, then run again.")
        return project

    def _is_fresh(self, name: str) -> bool:
        """Say if the page of an index is young enough; a file of the user's own may have changed at any time."""
        if name in self._own or self._records.page_age(name) >= self._refresh:
            return False
        seen = self._records.seen(name)
        return seen is not None and seen.index != OWN and self._records.project(name) is not None

    def known(self, name: str) -> Project | None:
        """Return a project as its page was last seen, with what is known of files without hashes; None if it never was."""
        project = self._records.project(name)
        if project is None or not project.unhashed:
            return project
        if project.index in self._demanding:
            return project.without_unhashed(
                f"{project.url} gives no sha256 for it, and this index has hashes: required"
            )
        return project if self._fingerprints.may_change(name) else project.with_fingerprints(self._fingerprints.known)
