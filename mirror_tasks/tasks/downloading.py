"""The tasks that bring the files of a plan, and the bill of what they will bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.layout import withdraw
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.parts import TaskMaker, Unchanged, cleaning
from mirror_tasks.tasks.plan_of_run import PlanOfRun
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.workshop import Workshop
from mirror_tasks.text import counted, readable, total

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import PlannedFile
    from mirror_tasks.work.downloads import Downloads


class Downloading:
    """The tasks of one mirror that bring files.

    :param refused_now: gives the projects of which nothing is permitted any more.
    """

    def __init__(
        self,
        mirror: Mirror,
        workshop: Workshop,
        make: TaskMaker,
        stages: Stages,
        tally: Tally,
        of_run: PlanOfRun,
        refused_now: Callable[[], Sequence[str]],
    ) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._stages = stages
        self._tally = tally
        self._of_run = of_run
        self._refused_now = refused_now
        self._said = False

    @property
    def _downloads(self) -> Downloads:
        return self._workshop.tools.acquire.downloads

    def stage(self) -> Iterator[Task]:
        """the files"""
        files = self._of_run.plan.published if self._of_run.plan else ()
        yield from self.tasks()
        due = self._due
        size, whole = total(file.size for file in due), total(file.size for file in files)
        yield self._make.group(
            "download",
            list(self._brought),
            f"fetches files: {len(due)} of {len(files)} pending, {whole if 'unknown' in whole else f'{size} of {whole}'}",
        )

    def tasks(self) -> Iterator[Task]:
        """Make those that are not made yet: who waits for a file has doit know the task that brings it."""
        self._say_what_is_due()
        yield from self._room()
        for name, file in self._brought.items():
            if self._make.is_new(name):
                yield self._download(name, file)

    def names_of(self, files: Iterable[PlannedFile]) -> list[str]:
        """Return the names of the tasks that bring files."""
        names = (self._make.name("download", file.filename) for file in files)
        return [name for name in names if name in self._brought]

    # What is brought

    @cached_property
    def _brought(self) -> Mapping[str, PlannedFile]:
        """The files that have tasks, by the names of these: in a run, those that have something to do or to remember."""
        # What is kept stands there; its task is due where somebody touched what stands beside it.
        files = self._of_run.plan.published if self._of_run.plan else ()
        named = ((self._make.name("download", file.filename), file) for file in files)
        return {name: file for name, file in named if not self._stands(name, file)}

    def _stands(self, name: str, file: PlannedFile) -> bool:
        return self._of_run.can_be_left_out(name, self._mirror.package_places(file), self._as_downloaded(file))

    def _as_downloaded(self, file: PlannedFile) -> Unchanged:
        return Unchanged(file.sha256.encode, lambda: file.sha256 if self._downloads.is_done(file) else None)

    def _download(self, name: str, file: PlannedFile) -> Task:
        size = readable(file.size) if file.size is not None else "size unknown"
        return self._make.task(
            name,
            self._downloads.download,
            file,
            clean=cleaning(lambda: withdraw(self._mirror.config.output)),
            targets=self._mirror.package_places(file),
            uptodate=[self._as_downloaded(file)],
            subtask_of=self._make.name("download"),
            task_dep=[self._make.name("_room")],
            doc=f"{size}  {file.project} {file.version}  {', '.join(file.environments)}",
        )

    # What is due

    @cached_property
    def _due(self) -> Sequence[PlannedFile]:
        """The files that are not in the mirror yet."""
        return [file for file in self._brought.values() if not self._downloads.is_done(file)]

    def _say_what_is_due(self) -> None:
        """Print the bill before the first file takes its place, once; downloads and pages are made by two creators."""
        if self._due and self._stages.is_running and not self._said:
            in_place = [file for file in self._due if self._downloads.is_in_place(file)]
            lacking = [file for file in self._due if not self._downloads.is_in_place(file)]
            missing = [file for file in lacking if not self._downloads.is_held(file)]
            self._tally.start_downloads(len(self._due), sum(file.size or 0 for file in missing))
            for what, files in (("to check again", in_place), ("to download", lacking)):
                if files:
                    self._tally.note(f"{what}: {counted(len(files), 'file')}, {total(file.size for file in files)}")
            self._said = True

    def _room(self) -> Iterator[Task]:
        """Only when there is room for all that is to come does anything published change."""
        yield from self._make.only_new([self._make.task(self._make.name("_room"), self._begin_to_change, kind="group")])

    def _begin_to_change(self) -> None:
        self._downloads.check_room(self._due)
        self._workshop.tools.publisher.take_down(self._refused_now())
