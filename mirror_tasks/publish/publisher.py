"""What publishes: the pages of a project whose files all stand in the mirror, the pages that list them, the server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mirror_tasks.files import holds, sha256_of_bytes
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.layout import metadata_path, withdraw
from mirror_tasks.publish import pages as publishing
from mirror_tasks.publish.locks import InsideLock, inside_locks, led_lock
from mirror_tasks.publish.manifest import write_manifest
from mirror_tasks.publish.pages import Site, write_project_pages, write_published, write_root_pages
from mirror_tasks.publish.published import digest_as_made, hash_as_made, project_places, project_targets, root_targets
from mirror_tasks.publish.server import program_targets, programs
from mirror_tasks.publish.simple_index import PublishedFile
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.mirror import Mirror

_T = TypeVar("_T")


class Calls(Protocol):
    """Calls a function, here or in another process."""

    def __call__(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Return what ``function(*arguments)`` returns, or raise what it raises."""


class Publisher:
    """Publishes one mirror. Files come first and the manifest last: an index never names a file that is not there.

    :param call: calls what writes pages, which takes time.
    """

    def __init__(self, mirror: Mirror, call: Calls) -> None:
        self._mirror = mirror
        self._call = call
        self._site: tuple[Plan, Site] | None = None

    def made_by(self) -> str:
        """Return a digest of all that pages are made by."""
        return publishing.made_by()

    # Where things stand, and whether they do

    @property
    def root_targets(self) -> Sequence[Path]:
        """Where the pages stand that list the projects."""
        return root_targets(self._mirror.output)

    def project_places(self, name: str) -> Sequence[str]:
        """Return where the pages of a project stand, as text."""
        return project_places(self._mirror.output, name)

    def digest_as_made(self, paths: Iterable[Path | str]) -> str | None:
        """Return a digest of published files as they were made, or None if one of them is not as it was made any more."""
        return digest_as_made(self._mirror, paths)

    def locks_of(self, plan: Plan) -> Sequence[InsideLock]:
        """Return the locks that are led to the mirror."""
        return inside_locks(self._mirror.config, plan)

    # What is published

    def publish_project(self, plan: Plan, name: str) -> None:
        """Write the pages of a project whose files all stand in the mirror."""
        files = [self._published(file) for file in plan.published_by_project[name]]
        self._mirror.note_altered(project_targets(self._mirror.output, name))
        self._mirror.ledger.seal_all(self._call(write_project_pages, self._site_of(plan), name, files))

    def _published(self, file: PlannedFile) -> PublishedFile:
        path = self._mirror.package_path(file.project, file.filename)
        metadata = metadata_path(path)
        has_metadata = is_wheel(file.filename) and os.path.lexists(metadata)
        return PublishedFile(file, path.stat().st_size, hash_as_made(self._mirror, metadata) if has_metadata else None)

    def take_down(self, names: Iterable[str]) -> None:
        """Take away the pages of projects of which nothing is permitted any more; the mirror then does not say that it is whole.

        For a run that can't write the pages that list the projects, since not all could be asked for.
        """
        paths = [path for name in names for path in project_targets(self._mirror.output, name)]
        if there := [path for path in paths if os.path.lexists(path)]:
            withdraw(self._mirror.output)
            for path in there:
                path.unlink(missing_ok=True)

    def publish_root(self, plan: Plan) -> None:
        """Write the page that lists the projects, for clients and for people."""
        self._mirror.note_altered(root_targets(self._mirror.output))
        self._mirror.ledger.seal_all(self._call(write_root_pages, self._site_of(plan)))

    def _site_of(self, plan: Plan) -> Site:
        if self._site is None or self._site[0] is not plan:
            roots = tuple(root.name for root in self._mirror.config.roots)
            config = self._mirror.config
            site = Site(config.state, self._mirror.output, roots, plan.digest, has_report=config.report == "mirror")
            self._site = (plan, site)
        return self._site[1]

    def publish_programs(self) -> None:
        """Put what runs inside into the mirror: ``server.py`` and ``receive.py``."""
        output = self._mirror.output
        self._mirror.note_altered(program_targets(output))
        self._mirror.ledger.seal_all(write_published(output, output, programs()))

    def publish_lock(self, plan: Plan, lock: InsideLock) -> None:
        """Write a lock that leads to the mirror.

        :raises MirrorError: it can't be led there.
        """
        output = self._mirror.output
        self._mirror.note_altered([output / lock.path])
        content = led_lock(self._mirror.config, plan, lock)
        self._mirror.ledger.seal_all(write_published(output, output, {lock.path: content}))

    def publish_report(self, files: Mapping[str, bytes]) -> Sequence[Path]:
        """Put a report into the mirror; return where its files stand."""
        output = self._mirror.output
        contents = {f"report/{path}": content for path, content in files.items()}
        self._mirror.note_altered(output / path for path in contents)
        self._mirror.ledger.seal_all(write_published(output, output, contents))
        return [output / path for path in contents]

    def publish_manifest(self, plan: Plan, beside: Iterable[Path]) -> None:
        """Say that the mirror is whole.

        :param beside: other files that are published.
        """
        write_manifest(self._mirror, plan, beside)

    def programs_are_published(self) -> bool:
        """Say if the mirror has this version's programs, and it is known that they were put there."""
        return all(self._is_published(name, content) for name, content in programs().items())

    def _is_published(self, name: str, content: bytes) -> bool:
        path = self._mirror.output / name
        return self._mirror.ledger.known(path) == sha256_of_bytes(content) and holds(path, content)
