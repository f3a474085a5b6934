"""The pages of projects: asked for where they may have changed, and as they were last seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from packaging.version import Version

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.config.locked_indexes import further_files
from mirror_tasks.config.model import Index
from mirror_tasks.errors import PageError
from mirror_tasks.files import is_device
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.further_pages import FurtherPage, with_locked_files
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import Project
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.places import further_record
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
        self._builds = GitBuilds(mirror, upstream)
        self._own = OwnPages(mirror.config.own, mirror.records, self._builds.files_of)
        self._upstream = upstream
        self._fingerprints = fingerprints
        self._mirror = mirror
        self._demanding = {index.base for index in mirror.config.indexes or () if index.hashes_required}

    @property
    def _indexes(self) -> tuple[Index, ...] | None:
        return self._mirror.config.indexes

    def fetch(self, name: str) -> Project | None:
        """Return the project, asking upstream if its page changed; None says that the index has no such project.

        :raises UpstreamError: the page can't be had, or the project vanished since the last run.
        :raises PageError: the page can't be read.
        """
        if is_device(name):
            reason = "Windows can have no folder of this name, so no mirror has the project"
            return Project(name, "", {}, [(name, reason)])
        if name in self._own:
            self._own.update(name)
        elif not self._update(name, ""):
            self._note_bound(name)
            return None
        for index in self._mirror.further_indexes(name):
            self._update(name, index.base)
        project = self.known(name)
        if project is None:
            path = self._records.page_record_path(name)
            problem = "expected what was just written there, found something else"
            raise PageError("reading", str(path), problem, "Check the disk, then run again.")
        return project

    def _update(self, name: str, further: str) -> bool:
        """Bring a page of an index up to date, unless it is young enough; say if there is one.

        :param further: the base URL of a further index; empty for the one that serves the project.
        """
        return self._is_fresh(name, further) or RECEIVING.call(
            jobs.update_page, self._upstream.route, name, self._records.folder, further
        )

    def _is_fresh(self, name: str, further: str) -> bool:
        record = further_record(name, further)
        if self._records.page_age(record) >= self._refresh:
            return False
        known = self._records.project(record)
        return known is not None and known.index != OWN and (bool(further) or self._may_be_of(known))

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
        """Return a project as its page was last seen, with what is known of files without hashes; None if it never was.

        Where locks take it from further indexes too, it has the files that they name of these.
        """
        project = self._page(name, name)
        return project and with_locked_files(
            project, map(partial(self._further_page, name), self._mirror.further_indexes(name))
        )

    def _further_page(self, name: str, index: Index) -> FurtherPage:
        project = self._page(name, further_record(name, index.base))
        url = project.url if project else f"{index.base}{name}/"
        return FurtherPage(url, project, self._further_files[name, index])

    @cached_property
    def _further_files(self) -> Mapping[tuple[str, Index], Mapping[Version, Sequence[LockedFile]]]:
        return further_files(self._indexes or (), self._mirror.config.roots)

    def _page(self, name: str, record: str) -> Project | None:
        project = self._records.project(record)
        if project is None or not project.unhashed:
            return project
        if project.index in self._demanding:
            return project.without_unhashed(
                f"{project.url} gives no sha256 for it, and this index has hashes: required"
            )
        return project if self._fingerprints.may_change(name) else project.with_fingerprints(self._fingerprints.known)
