"""The tasks that bring pages and metadata, and what they have brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doit.task import Task
from packaging.utils import canonicalize_name

from mirror_tasks.errors import MirrorError
from mirror_tasks.index.file_names import version_of
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import TaskMaker
from mirror_tasks.tasks.workshop import Workshop

if TYPE_CHECKING:
    from mirror_tasks.index.project import File


class NotBrought(str):
    """Why something was not brought: the text of an error, without all that its traceback holds."""

    __slots__ = ()


class Bringing:
    """The tasks of one mirror that bring something.

    :ivar arrived: what a task brought, by project or file name, until the closure is told; :class:`NotBrought` where it failed.
    :ivar is_mirroring: the run makes the mirror, and not only a plan: files may be fetched before the plan is made.
    """

    def __init__(self, mirror: Mirror, workshop: Workshop, make: TaskMaker) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._indexes: dict[str, str] = {}  # that a page is of, by project
        self.arrived: dict[str, Any] = {}
        self.is_mirroring = False

    # Pages

    def project(self, name: str, **settings: Any) -> Task:
        """Return the task that fetches the page of a project."""
        task_name = self._make.name("project", name)
        targets = self._mirror.page_paths(name)
        return self._make.task(task_name, self._fetch_page, name, targets=targets, clean=True, **settings)

    def _fetch_page(self, name: str) -> None:
        try:
            page = self.arrived[name] = self._workshop.tools.acquire.pages.fetch(name)
        except MirrorError as error:
            self.arrived[name] = NotBrought(error)
            raise
        if page:
            self._indexes[name] = page.index

    # Metadata

    def metadata(self, project: str, file: File, *, is_likely: bool = False, **settings: Any) -> Task:
        """Return the task that reads the core metadata of a file.

        :param is_likely: the file itself is sure to be wanted as well.
        """
        target = self._mirror.places.metadata_record_path(file.filename)
        name = self._make.name("metadata", file.filename)
        return self._make.task(
            name, self._read_metadata, project, file, is_likely, targets=[target], clean=True, **settings
        )

    def _read_metadata(self, project: str, file: File, is_likely: bool) -> None:
        acquire = self._workshop.tools.acquire
        try:
            self._fetch_advisories(project, file)
            file = acquire.files.identify(project, file)
            self.arrived[file.filename] = acquire.metadata.read(project, file, is_likely=is_likely)
        except MirrorError as error:
            self.arrived[file.filename] = NotBrought(error)
            raise

    def _fetch_advisories(self, project: str, file: File) -> None:
        """Ask the index of a project what it knows against a release, where the policy judges by that."""
        name = canonicalize_name(project)
        if index := self._indexes.get(name):
            self._workshop.tools.acquire.advisories.fetch(index, name, version_of(file.filename, name))
