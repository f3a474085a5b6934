"""What indexes know against releases, asked where the policy judges by that."""

from __future__ import annotations

import threading

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.index.client import Upstream
from mirror_tasks.index.own_page import OWN
from mirror_tasks.policy.index_records import address
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.release_advisories import kept
from mirror_tasks.work import jobs
from mirror_tasks.work.processes import RECEIVING


class IndexAsker:
    """Asks the indexes of one mirror, for each release once a run."""

    def __init__(self, mirror: Mirror, upstream: Upstream) -> None:
        self._mirror = mirror
        self._upstream = upstream
        self._lock = threading.Lock()
        self._asking: dict[tuple[str, Version], threading.Lock] = {}
        self._asked: set[tuple[str, Version]] = set()

    @property
    def are_asked_for(self) -> bool:
        """Whether the policy judges by what indexes know."""
        rule = self._mirror.advisories.rule
        return rule is not None and rule.source is None

    def fetch(self, base: str, name: NormalizedName, version: Version) -> None:
        """Ask the index that serves a release what it knows against it, once a run, where the policy says ``index``.

        :param base: the base URL of that index; of own files there is none.
        :raises UpstreamError: it can't be had.
        :raises AdvisoryError: the index has no such API.
        """
        if not self.are_asked_for or base in ("", OWN):
            return
        release = (name, version)
        with self._lock:
            asking = self._asking.setdefault(release, threading.Lock())
        with asking:
            if release not in self._asked and not self._is_fresh(base, name, version):
                route, folder = self._upstream.route, self._mirror.records.folder
                RECEIVING.call(jobs.update_advisories, route, base, name, version, folder)
            self._asked.add(release)

    def _is_fresh(self, base: str, name: NormalizedName, version: Version) -> bool:
        record = kept(self._mirror.records, name, version)
        if record is None or record.asked != address(base, name, version):
            return False
        return record.age < self._mirror.config.refresh
