"""The pages of projects: asked for where they may have changed, and as they were last seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial

from packaging.version import Version

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.config.locked_indexes import further_files
from mirror_tasks.config.model import Index
from mirror_tasks.errors import MirrorError, PageError
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
        self._asked: dict[str, bool | MirrorError] = {}
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
        was_asked = self._asked.pop(name, None)
        outcome = self._outcomes([name])[name] if was_asked is None else was_asked
        if isinstance(outcome, MirrorError):
            raise outcome
        if not outcome:
            return None
        project = self.known(name)
        if project is None:
            path = self._records.page_record_path(name)
            problem = "expected what was just written there, found something else"
            raise PageError("reading", str(path), problem, "Check the disk, then run again.")
        return project

    def ask(self, names: Iterable[str]) -> None:
        """Ask for the pages of projects before their turn, if they changed; what came of it is what :meth:`fetch` finds then."""
        # Where nothing came of it they are asked for in their turn.
        with contextlib.suppress(MirrorError, OSError):
            self._asked.update(self._outcomes([name for name in names if not is_device(name)]))

    def have_answered(self, names: Iterable[str]) -> bool:
        """Say if it is known of all these projects, whose pages were asked for before their turn, what they are now."""
        return all(isinstance(self._asked.get(name), bool) and not self._hides_changes(name) for name in names)

    def _hides_changes(self, name: str) -> bool:
        """Say if files of a project may be others though its page is the same: it gives no hashes, and the user accepts that."""
        project = self.known(name) if self._fingerprints.may_change(name) else None
        return project is not None and bool(project.unhashed)

    def _outcomes(self, names: Sequence[str]) -> Mapping[str, bool | MirrorError]:
        """Bring the pages of projects up to date, unless they are young enough; say of each project if there is one.

        Where one can't be had, the others need not have been asked for.

        :raises MirrorError: no index can be asked.
        """
        found = {name: self._own_outcome(name) for name in names}
        stale = {name: pages for name in names if found[name] is True and (pages := self._stale(name))}
        if stale:
            route, folder = self._upstream.route, self._records.folder
            asked = dict(zip(stale, RECEIVING.call(jobs.update_pages, route, [*stale.values()], folder), strict=False))
            found = {
                name: asked.get(name, known) for name, known in found.items() if name in asked or name not in stale
            }
        for name, outcome in found.items():
            if outcome is False:
                self._note_bound(name)
        return found

    def _own_outcome(self, name: str) -> bool | MirrorError:
        """Bring the page of an own project up to date; of others nothing is known here that speaks against them."""
        try:
            if name in self._own:
                self._own.update(name)
        except MirrorError as error:
            return error
        return True

    def _stale(self, name: str) -> Sequence[tuple[str, str]]:
        """Return which pages of a project have to be asked for: its name, and the base URL of a further index."""
        served = [] if name in self._own else [""]
        pages = [*served, *(index.base for index in self._mirror.further_indexes(name))]
        return [(name, further) for further in pages if not self._is_fresh(name, further)]

    def _is_fresh(self, name: str, further: str) -> bool:
        record = further_record(name, further)
        if self._records.page_age(record) >= self._refresh:
            return False
        known = self._records.project(record)
        return known is not None and known.index != OWN and (bool(further) or self._may_be_of(known))

    def _may_be_of(self, known: Project) -> bool:
        """Say if the index that a page is of may serve the project still: ``mirror.yaml`` or pip may be set otherwise now."""
        if self._indexes is None:
            return known.index in self._upstream.indexes
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
