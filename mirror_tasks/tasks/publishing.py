"""The tasks that write what a mirror shows: its pages, locks, programs and report, and last of all its manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.files import read_or_none, sha256_of_bytes, to_json
from mirror_tasks.layout import manifest_paths, withdraw
from mirror_tasks.publish.server import program_targets, server_template
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.as_of import AsOf
from mirror_tasks.tasks.downloading import Downloading
from mirror_tasks.tasks.parts import LeanTask, OfOneThing, TaskMaker, Unchanged, cleaning
from mirror_tasks.tasks.plan_of_run import PlanOfRun
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.workshop import Workshop
from mirror_tasks.text import counted

if TYPE_CHECKING:
    from mirror_tasks.publish.locks import InsideLock
    from mirror_tasks.publish.publisher import Publisher
    from mirror_tasks.resolve.plan import Plan


class Publishing:
    """The tasks of one mirror that publish it."""

    def __init__(
        self,
        mirror: Mirror,
        workshop: Workshop,
        make: TaskMaker,
        tally: Tally,
        of_run: PlanOfRun,
        as_of: AsOf,
        downloading: Downloading,
    ) -> None:
        self._mirror = mirror
        self._workshop = workshop
        self._make = make
        self._tally = tally
        self._of_run = of_run
        self._as_of = as_of
        self._downloading = downloading

    @property
    def _publisher(self) -> Publisher:
        return self._workshop.tools.publisher

    @property
    def _output(self) -> Path:
        return self._mirror.config.output

    def _withdraw(self) -> None:
        withdraw(self._output)

    # Pages

    def index(self) -> Iterator[Task]:
        """the pages of the simple index"""
        plan = self._of_run.plan
        # A project's pages are written as soon as its files are there: doit has to know the tasks that bring them.
        yield from self._downloading.tasks()
        names = list(plan.published_by_project) if plan else []
        # A page links to what else is mirrored.
        shared = cache(lambda: hashlib.sha256(self._of_run.written_by + repr(names).encode()).digest())
        unchanged = {self._make.name("index", name): self._as_published(plan, name, shared) for name in names if plan}
        together = self._of_run.together(self._make.name("index"), unchanged)
        tasks = [task for name in names if plan and (task := self._project_pages(plan, name, unchanged, together))]
        yield from tasks
        yield together.remembered_by(self._root(plan, len(names), [task.name for task in tasks]))

    def _root(self, plan: Plan | None, projects: int, task_dep: list[str]) -> Task:
        targets = self._publisher.root_targets if plan else []
        return LeanTask(
            self._make.name("index"),
            [self._make.attempt(self._publisher.publish_root, plan)] if plan else None,
            targets=targets,
            task_dep=task_dep,
            has_subtask=True,
            uptodate=[Unchanged(self._of_run.made_from, lambda: self._publisher.digest_as_made(targets))],
            io={"capture": False},
            meta={"mirror": "group"},
            clean=cleaning(self._withdraw),
            doc=f"writes the pages of {counted(projects, 'project')}, for clients and for people",
        )

    def _as_published(self, plan: Plan, name: str, shared: Callable[[], bytes]) -> Unchanged:
        """Return what says if the pages of a project are those of a plan.

        :param shared: gives what all pages are made from.
        """

        def made_from() -> bytes:
            of_it = {
                "files": plan.published_by_project[name],
                "kept": [one.how_long for one in plan.kept_by_project.get(name, ())],
                "releases": plan.releases_of(name),
                "status": (plan.statuses or {}).get(name),
            }
            return shared() + to_json(of_it)

        return Unchanged(made_from, lambda: self._publisher.digest_as_made(self._publisher.project_places(name)))

    def _project_pages(
        self, plan: Plan, name: str, unchanged: Mapping[str, Unchanged], together: OfOneThing
    ) -> Task | None:
        files = plan.published_by_project[name]
        task_name, targets = self._make.name("index", name), self._publisher.project_places(name)
        bringing = self._downloading.names_of(files)  # these are in the run for the page that waits for them
        if not bringing and together.holds_for(task_name, targets):
            return None
        return self._make.task(
            task_name,
            self._publisher.publish_project,
            plan,
            name,
            clean=cleaning(self._withdraw),
            subtask_of=self._make.name("index"),
            targets=targets,
            task_dep=[self._make.name("_room"), *bringing],
            uptodate=[unchanged[task_name]],
            doc=counted(len(files), "file"),
        )

    # Locks

    def locks(self) -> Iterator[Task]:
        """the locks, led to the mirror"""
        plan = self._of_run.plan
        locks = self._publisher.locks_of(plan) if plan else ()
        if plan and locks:
            yield from self._downloading.tasks()
        tasks = [self._lock(plan, lock) for lock in locks] if plan else []
        yield from tasks
        yield self._make.group("lock", [task.name for task in tasks], f"leads locks to the mirror: {len(tasks)}")

    def _lock(self, plan: Plan, lock: InsideLock) -> Task:
        target, url = self._output / lock.path, self._mirror.config.url

        def made_from() -> bytes:
            files = [sha256_of_bytes(read_or_none(path) or b"") for path in (lock.source, server_template())]
            return to_json([self._of_run.written_by.decode(), url, *files, plan.digest])

        return self._make.task(
            self._make.name("lock", lock.path.removeprefix("locks/")),
            self._publisher.publish_lock,
            plan,
            lock,
            clean=cleaning(self._withdraw),
            subtask_of=self._make.name("lock"),
            targets=[target],
            task_dep=[self._make.name("_room"), *self._downloading.names_of(plan.files)],
            uptodate=[Unchanged(made_from, lambda: self._publisher.digest_as_made([target]))],
            doc=f"leads it to {url}/",
        )

    # Programs

    def server(self) -> Iterator[Task]:
        """Make `server`, which puts what runs inside into the mirror."""
        # What publishes is asked for when the task is due: `doit list` does not need it.
        yield self._make.task(
            self._make.name("server"),
            lambda: self._publisher.publish_programs(),
            targets=program_targets(self._output),
            clean=cleaning(self._withdraw),
            uptodate=[lambda: self._publisher.programs_are_published()],
            doc="puts what runs inside into the mirror: server.py, receive.py",
        )

    # The report

    def report(self) -> Iterator[Task]:
        """the report in the mirror"""
        yield self._make.task(
            self._make.name("_report"),
            lambda: self._workshop.tools.inside.publish(self._of_run.made),
            kind="group",
            task_dep=[self._make.name(kind) for kind in ("index", "release")],
            clean=cleaning(self._withdraw_report),
        )

    def _withdraw_report(self) -> None:
        self._withdraw()
        shutil.rmtree(self._output / "report", ignore_errors=True)

    # The whole

    def mirror(self) -> Iterator[Task]:
        """Make `mirror`, which needs all others, and writes the manifest."""
        config = self._mirror.config
        reports = ["_report"] if config.report == "mirror" else []
        before = ("_ahead", "index", *(["lock"] if config.url else []), "server", "release", *reports)
        task = self._make.task(
            self._make.name("mirror"),
            self._finish,
            targets=_both_spellings(manifest_paths(self._output)),
            clean=cleaning(self._withdraw),
            params=self._as_of.params,
            task_dep=[self._make.name(kind) for kind in before],
            doc="makes the mirror, whole and checked",
        )
        yield self._as_of.on(task)

    def _finish(self) -> None:
        plan, teller = self._of_run.made, self._workshop.tools.teller
        self._publisher.publish_manifest(plan, self._workshop.tools.inside.paths)
        self._tally.end_with(teller.outcome(plan))
        for line in teller.beside(plan):
            self._tally.note(line)
        teller.check_roots(plan)


def _both_spellings(paths: Iterable[Path]) -> list[str]:
    """Return paths as they are and relative to ``dodo.py``: doit knows a ``file_dep`` as a target by its text alone."""
    absolute = [str(path) for path in paths]
    try:
        return [*absolute, *map(os.path.relpath, absolute)]
    except ValueError:  # another drive of Windows
        return absolute
