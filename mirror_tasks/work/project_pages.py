"""The pages of projects: asked for where they may have changed, and as they were last seen."""

from __future__ import annotations

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.errors import PageError
from mirror_tasks.files import is_device
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import Project
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import jobs
from mirror_tasks.work.fingerprints import Fingerprints
from mirror_tasks.work.git_builds import GitBuilds
from mirror_tasks.work.own_pages import OwnPages
from mirror_tasks.work.processes import RECEIVING


class ProjectPages:
    """The pages of the projects of one mirror."""

    def __init__(self, mirror: Mirror, upstream: Upstream, fingerprints: Fingerprints) -> None:
        self._records = mirror.records
        self._note = mirror.note
        self._refresh = mirror.config.refresh
        self._own = OwnPages(mirror.config.own, mirror.records, GitBuilds(mirror, upstream).files_of)
        self._upstream = upstream
        self._fingerprints = fingerprints
        self._indexes = mirror.config.indexes
        self._demanding = {index.base for index in self._indexes or () if index.hashes_required}

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
            self._note_bound(name)
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
        known = self._records.project(name)
        return known is not None and known.index != OWN and self._may_be_of(known)

    def _may_be_of(self, known: Project) -> bool:
        """Say if the index that a page is of may serve the project still: ``mirror.yaml`` may have been changed."""
        if self._indexes is None:
            return True
        return any(known.index == index.base for index in binding_of(known.name, self._indexes).indexes)

    def _note_bound(self, name: str) -> None:
        """Tell of a project that is not there if other indexes, which may have it, were not asked."""
        binding = binding_of(name, self._indexes or ())
        if self._indexes is not None and not binding.is_free:
            self._note(f"{name}: {binding.found}")

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
