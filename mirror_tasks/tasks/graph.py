"""The tasks that make a mirror: their names, and what follows from a plan. How they grow is told in :mod:`.growth`.

A task that fails takes those down that depend on it. What shall go on in spite of that is therefore created by a
delayed creator, which doit calls when the task it waits for ended, whichever way. Names that begin with an underscore are
stages of the run; doit hides them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from doit.task import Task

from mirror_tasks.config.model import Config
from mirror_tasks.errors import ResolutionError, StorageError
from mirror_tasks.files import read_or_none, sha256_of_bytes, to_json
from mirror_tasks.layout import manifest_paths, withdraw
from mirror_tasks.publish.server import program_targets, server_template
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.plans import release_record
from mirror_tasks.state.run_lock import RunLock, lock_of_output
from mirror_tasks.tasks import advisories
from mirror_tasks.tasks.as_of import AsOf
from mirror_tasks.tasks.attesting import provenance_tasks
from mirror_tasks.tasks.bringing import Bringing
from mirror_tasks.tasks.known import Known
from mirror_tasks.tasks.last_plan import LastPlan
from mirror_tasks.tasks.parts import Creator, OfOneThing, TaskMaker, Unchanged, cleaning, creator
from mirror_tasks.tasks.run import look_for_garbage_rarely, start_processes
from mirror_tasks.tasks.stages import Stages
from mirror_tasks.tasks.tally import Tally
from mirror_tasks.tasks.verbs import offered
from mirror_tasks.tasks.verbs.making import does_all_again, named_before
from mirror_tasks.tasks.workshop import Workshop
from mirror_tasks.text import counted, readable, total

if TYPE_CHECKING:
    from mirror_tasks.publish.locks import InsideLock
    from mirror_tasks.publish.publisher import Publisher
    from mirror_tasks.resolve.plan import Plan, PlannedFile, PlannedRelease
    from mirror_tasks.tasks.asking import Asking
    from mirror_tasks.tasks.plan_teller import PlanTeller
    from mirror_tasks.work.acquire import Acquirer

_LOOK_ONLY = {"serve", "prove", "explain", "changes", "audit"}
_CHANGE_ALONE = {"approve", "bundle", "prune", "report", "wanted"}


class MirrorTasks:
    """The tasks of one mirror.

    :param dash: the prefix of all names, with its dash; empty for none.
    """

    def __init__(self, config: Config, dash: str = "") -> None:
        self.dash = dash
        self.tally = Tally()
        self.mirror = Mirror(config, self.tally.note)
        self._workshop = Workshop(self.mirror, self.tally)
        self.make = TaskMaker(dash, config.state / "bugs")
        bringing = Bringing(self.mirror, self._workshop, self.make)
        self.stages = Stages(self.mirror, self._workshop, self.make, bringing, self._begin)
        self._known = Known(self.mirror, self.make, bringing)
        self._plan: Plan | None = None
        self._does_all_again = does_all_again()
        self._last = LastPlan(
            self.mirror,
            self._workshop,
            self.make,
            self.stages,
            self.tally,
            lambda: self._made_by,
            does_all_again=self._does_all_again,
        )
        locks = [(config.state, config.state / "run.lock"), (config.output, lock_of_output(config.output.resolve()))]
        self._as_of = AsOf(self.mirror.judging)
        self._lock = RunLock(locks, config.path, self._note)
        self.is_one_of_several = False
        self._said = False
        self._refused_now: Sequence[str] = ()  # projects of which nothing is permitted any more
        names = set(self.creators())
        self.changing = frozenset(names - {self.name(kind) for kind in _LOOK_ONLY})
        self.fetching = frozenset(self.changing - {self.name(kind) for kind in _CHANGE_ALONE})

    @property
    def config(self) -> Config:
        """What ``mirror.yaml`` says, and what projects require as far as it is known by now."""
        return self.mirror.config

    @property
    def reads_sdists(self) -> bool:
        """Sdists may be mirrored: the whole of each is read."""
        return self.config.sdists != "never"

    def take_folders(self) -> None:
        """Keep other runs out of the folders of the mirror.

        :raises MirrorError: another one uses them, or the output is not for this mirror.
        """
        from mirror_tasks.publish.manifest import check_may_publish

        if not self.config.unknown:  # else it is known only later what mirror it is
            check_may_publish(self.mirror)
        self._lock.take()

    def open_workshop(self) -> None:
        """Import what works, before processes are forked, so that they have it from the first one."""
        _ = self._workshop.tools

    @property
    def acquire(self) -> Acquirer:
        """What fetches and reads."""
        return self._workshop.tools.acquire

    @property
    def publisher(self) -> Publisher:
        """What publishes."""
        return self._workshop.tools.publisher

    @property
    def _teller(self) -> PlanTeller:
        return self._workshop.tools.teller

    def _begin(self) -> None:
        """Begin what the run began already, but where the reporter is somebody else's."""
        self.take_folders()
        self.open_workshop()
        self._as_of.take()
        start_processes(reads_sdists=self.reads_sdists)
        look_for_garbage_rarely()

    def _note(self, text: str) -> None:
        self.tally.note(self._of_which(text))

    def _of_which(self, text: str) -> str:
        """Return a line for the user; of which mirror it is, where there are several, or may be."""
        label = self.dash.removesuffix("-") or (self.config.path.name if self.is_one_of_several else "")
        return f"{label}: {text}" if label else text

    def name(self, kind: str, of: str | None = None) -> str:
        """Return the name of a task."""
        return self.make.name(kind, of)

    def creators(self) -> dict[str, Creator]:
        """Return the task creators by the name of the task they make."""
        plain = {
            "_begin": self.stages.begin_stage,
            "_ahead": self.stages.ahead_stage,
            "plan": self._plan_verb,
            "server": self._server,
            "mirror": self._mirror,
            **({"_report": self._report_inside} if self.config.report == "mirror" else {}),
        }
        alone = {
            "serve": lambda name: offered.serve(name, self.config.output),
            "prune": lambda name: offered.prune(name, self.mirror),
            "prove": lambda name: offered.prove(name, self.mirror, self._named_before(name)),
            "report": self._report,
            "approve": lambda name: offered.approve(name, self.mirror, self._named_before(name)),
            "bundle": lambda name: offered.bundle(name, self.mirror, self._named_before(name)),
            "wanted": lambda name: offered.wanted(name, self.mirror, self._workshop),
            "audit": lambda name: offered.audit(name, self.mirror),
            "changes": lambda name: offered.changes(name, self.mirror),
            "explain": lambda name: offered.explain(name, self.mirror, self._workshop),
        }
        asks, reads = bool(self.config.dynamic), self._has_dump
        begun = "advisories" if reads else "_begin"
        delayed = {
            **({"advisories": (self._advisories, "_begin")} if reads else {}),
            **({"ask": (self._asking.stage, begun), "_asked": (self._asking.asked_stage, "ask")} if asks else {}),
            "_look": (self._last.look_stage, "_asked" if asks else begun),
            "_pages": (self._last.pages_stage, "_look"),
            "_closure": (self.stages.closure_stage, "_pages"),
            "_complete": (self.stages.completion_stage, "_closure"),
            "_plan": (self._planning, "_complete"),
            "project": (self._known_projects, None),
            "metadata": (self._known_metadata, None),
            "release": (self._releases, "_plan"),
            "download": (self._downloads, "_plan"),
            # Who published is asked of what the report is of: the mirror as it is, or as it is made before in the same run.
            "provenance": (
                self._provenance,
                "mirror" if self.name("mirror") in self._named_before(self.name("report")) else None,
            ),
            "index": (self._index, "_plan"),
            **({"lock": (self._locks, "_plan")} if self.config.url else {}),
        }
        found = {self.name(kind): creator(make) for kind, make in plain.items()}
        for kind, verb in alone.items():
            name = self.name(kind)
            found[name] = creator(lambda verb=verb, name=name: iter([verb(name)]))  # type: ignore[misc]
        for kind, (make, executed) in delayed.items():
            waits_for = self.name(executed) if executed else None
            found[self.name(kind)] = creator(make, make.__doc__ or "", waits_for, delayed=True)
        return found

    @property
    def _has_dump(self) -> bool:
        """Say if the policy names a dump of advisories."""
        rule = self.config.policy.advisories if self.config.policy else None
        return rule is not None and rule.source is not None

    @cached_property
    def _asking(self) -> Asking:
        from mirror_tasks.tasks.asking import Asking  # only now: most mirrors ask nobody

        return Asking(self.mirror, self._workshop.tools.upstream, self.make, self.stages)

    def _named_before(self, name: str) -> list[str]:
        """Return those of what is usually done before a verb that the command line names before it."""
        in_order = [self.name(kind) for kind in ("mirror", "prove", "report", "approve", "bundle")]
        return named_before(name, in_order[: in_order.index(name)])

    @property
    def plan(self) -> Plan | None:
        """The plan of this run; before it is made, that of the last one."""
        if self._plan is None:
            self._plan = self._last_plan
        return self._plan

    @cached_property
    def _last_plan(self) -> Plan | None:
        return self.mirror.plans.last()

    def _known_projects(self) -> Iterator[Task]:
        """the project pages"""
        yield from self._known.projects(self._last_plan)

    def _known_metadata(self) -> Iterator[Task]:
        """the core metadata of files"""
        yield from self._known.metadata(self._last_plan)

    def _advisories(self) -> Iterator[Task]:
        """the advisories of the dump that the policy names"""
        yield advisories.task(self.make, self.stages, self.mirror.advisories)

    # The plan and what follows from it

    def _planning(self) -> Iterator[Task]:
        known = [self.name("_asked")] if self.config.dynamic else []  # without that there is nothing to plan
        known += [self.name("advisories")] if self._has_dump else []
        work = self.make.task(self._last.writing, self._write_plan, kind="plan", task_dep=known)
        yield self._last.remembered_by(work)
        yield self.make.group("_plan", [work.name])

    def _write_plan(self) -> None:
        if not self.stages.is_running:
            raise ResolutionError(
                "resolving", str(self.config.path), "the run could not begin", "See what failed before."
            )
        self._plan = plan = self._last.plan or self._made_plan()
        for line in self._teller.notes(plan):
            self._note(line)
        self.tally.incomplete += map(self._of_which, self._teller.incomplete(plan))

    def _made_plan(self) -> Plan:
        """Make the plan of what has grown, and write it."""
        from mirror_tasks.tasks.plan_making import made_plan  # only now: where nothing has changed, none is made

        growth = self.stages.growth
        plan, self._refused_now = made_plan(self.mirror, growth, self._note)
        self._last.keep(plan, growth)
        growth.let_go()
        return plan

    def _plan_verb(self) -> Iterator[Task]:
        task = self.make.task(
            self.name("plan"),
            self._show_plan,
            task_dep=[self.name("_plan")],
            params=self._as_of.params,
            targets=[self.mirror.places.plan],
            verbosity=2,
            kind="verb",
            clean=True,
            doc="resolves, and prints what would be mirrored",
        )
        yield self._as_of.on(task)

    def _show_plan(self) -> None:
        assert self.plan is not None, "_plan went before"
        self._teller.show(self.plan)
        try:
            # Of all files, not of those that have tasks: only the first thread can ask doit's database which these are.
            self.acquire.downloads.check_room(self._lacking(self.plan.published))
        except StorageError as error:
            self._note(f"! {error}")
        self._say_what_else(self.plan)
        self._teller.check_roots(self.plan)

    def _releases(self) -> Iterator[Task]:
        """the records of the releases: their files, environments, and who requires them"""
        plan = self.plan
        releases = {self.name("release", one.name): one for one in (plan.releases if plan else ())}
        unchanged = {name: Unchanged(partial(release_record, plan, one)) for name, one in releases.items()}  # type: ignore[arg-type]
        together = self._of_plan(self.name("release"), unchanged)
        tasks = [
            self._release(plan, one, name, unchanged[name])
            for name, one in releases.items()
            if plan and not together.holds_for(name, [self.mirror.places.release_path(one.name)])
        ]
        yield from tasks
        doc = f"records which files of {counted(len(releases), 'release')} are wanted, and why"
        yield together.remembered_by(self.make.group("release", [task.name for task in tasks], doc))

    def _release(self, plan: Plan, release: PlannedRelease, name: str, unchanged: Unchanged) -> Task:
        return self.make.task(
            name,
            self.mirror.plans.keep_release,
            plan,
            release,
            clean=True,
            targets=[self.mirror.places.release_path(release.name)],
            uptodate=[unchanged],
            subtask_of=self.name("release"),
            doc=f"{len(release.installs)} environments; for {', '.join(sorted({str(one.by) for one in release.required})[:3])}",
        )

    def _of_plan(self, last: str, members: Mapping[str, Unchanged]) -> OfOneThing:
        """Return what is remembered of tasks that are all made from the plan."""
        return OfOneThing(last, members, self._plan_and_program, leaves_out=self._leaves_out)

    def _plan_and_program(self) -> bytes:
        return self._written_by + (self.plan.digest.encode() if self.plan else b"")

    @property
    def _leaves_out(self) -> bool:
        return self.stages.is_running and not self._does_all_again

    def _can_be_left_out(self, name: str, targets: Iterable[Path | str], unchanged: Unchanged) -> bool:
        """Say if a run can do without a task: what it makes stands, and is remembered. `doit list` shows all, `doit -a` does all.

        In a run with nothing to do a task for each file, page and release, with its part of doit's graph, took most of the
        time and memory.
        """
        return self._leaves_out and unchanged.holds_for(name, targets)

    def _downloads(self) -> Iterator[Task]:
        """the files"""
        files = self.plan.published if self.plan else ()
        yield from self._download_tasks()
        due = self._due
        size, whole = total(file.size for file in due), total(file.size for file in files)
        yield self.make.group(
            "download",
            list(self._brought),
            f"fetches files: {len(due)} of {len(files)} pending, {whole if 'unknown' in whole else f'{size} of {whole}'}",
        )

    def _provenance(self) -> Iterator[Task]:
        """who published the files"""
        yield from provenance_tasks(self.mirror.plans.published(), self.mirror.places, self._workshop, self.make)

    def _report(self, name: str) -> Task:
        after = [self.name("provenance"), *self._named_before(name)]
        return offered.report(name, self.mirror, self._workshop, after)

    @cached_property
    def _due(self) -> Sequence[PlannedFile]:
        """The files that are not in the mirror yet."""
        return self._lacking(self._brought.values())

    def _lacking(self, files: Iterable[PlannedFile]) -> Sequence[PlannedFile]:
        return [file for file in files if not self.acquire.downloads.is_done(file)]

    def _say_what_is_due(self) -> None:
        """Print the bill before the first file takes its place, once; downloads and pages are made by two creators."""
        if self._due and self.stages.is_running and not self._said:
            downloads = self.acquire.downloads
            in_place = [file for file in self._due if downloads.is_in_place(file)]
            lacking = [file for file in self._due if not downloads.is_in_place(file)]
            missing = [file for file in lacking if not downloads.is_held(file)]
            self.tally.start_downloads(len(self._due), sum(file.size or 0 for file in missing))
            for what, files in (("to check again", in_place), ("to download", lacking)):
                if files:
                    self._note(f"{what}: {counted(len(files), 'file')}, {total(file.size for file in files)}")
            self._said = True

    def _room(self) -> Iterator[Task]:
        """Only when there is room for all that is to come does anything published change."""
        yield from self.make.only_new([self.make.task(self.name("_room"), self._begin_to_change, kind="group")])

    def _begin_to_change(self) -> None:
        self.acquire.downloads.check_room(self._due)
        self.publisher.take_down(self._refused_now)

    def _download_tasks(self) -> Iterator[Task]:
        self._say_what_is_due()
        yield from self._room()
        for name, file in self._brought.items():
            if self.make.is_new(name):
                yield self._download(name, file)

    @cached_property
    def _brought(self) -> Mapping[str, PlannedFile]:
        """The files that have tasks, by the names of these: in a run, those that have something to do or to remember."""
        # What is kept stands there; its task is due where somebody touched what stands beside it.
        files = self.plan.published if self.plan else ()
        named = ((self.name("download", file.filename), file) for file in files)
        return {name: file for name, file in named if not self._stands(name, file)}

    def _stands(self, name: str, file: PlannedFile) -> bool:
        return self._can_be_left_out(name, self.mirror.package_places(file), self._as_downloaded(file))

    def _as_downloaded(self, file: PlannedFile) -> Unchanged:
        return Unchanged(file.sha256.encode, lambda: file.sha256 if self.acquire.downloads.is_done(file) else None)

    def _bringing(self, files: Iterable[PlannedFile]) -> list[str]:
        """Return the names of the tasks that bring files."""
        names = (self.name("download", file.filename) for file in files)
        return [name for name in names if name in self._brought]

    def _download(self, name: str, file: PlannedFile) -> Task:
        size = readable(file.size) if file.size is not None else "size unknown"
        return self.make.task(
            name,
            self.acquire.downloads.download,
            file,
            clean=cleaning(self._withdraw),
            targets=self.mirror.package_places(file),
            uptodate=[self._as_downloaded(file)],
            subtask_of=self.name("download"),
            task_dep=[self.name("_room")],
            doc=f"{size}  {file.project} {file.version}  {', '.join(file.environments)}",
        )

    def _index(self) -> Iterator[Task]:
        """the pages of the simple index"""
        plan = self.plan
        # A project's pages are written as soon as its files are there: doit has to know the tasks that bring them.
        yield from self._download_tasks()
        names = list(plan.published_by_project) if plan else []
        # A page links to what else is mirrored.
        shared = cache(lambda: hashlib.sha256(self._written_by + repr(names).encode()).digest())
        unchanged = {self.name("index", name): self._as_published(plan, name, shared) for name in names if plan}
        together = self._of_plan(self.name("index"), unchanged)
        tasks = [task for name in names if plan and (task := self._project_pages(plan, name, unchanged, together))]
        targets = self.publisher.root_targets if plan else []
        yield from tasks
        root = Task(
            self.name("index"),
            [self.make.attempt(self.publisher.publish_root, plan)] if plan else None,
            targets=targets,
            task_dep=[task.name for task in tasks],
            has_subtask=True,
            uptodate=[Unchanged(self._plan_and_program, lambda: self.publisher.digest_as_made(targets))],
            io={"capture": False},
            meta={"mirror": "group"},
            clean=cleaning(self._withdraw),
            doc=f"writes the pages of {counted(len(names), 'project')}, for clients and for people",
        )
        yield together.remembered_by(root)

    def _locks(self) -> Iterator[Task]:
        """the locks, led to the mirror"""
        plan = self.plan
        locks = self.publisher.locks_of(plan) if plan else ()
        if plan and locks:
            yield from self._download_tasks()
        tasks = [self._lock_inside(plan, lock) for lock in locks] if plan else []
        yield from tasks
        yield self.make.group("lock", [task.name for task in tasks], f"leads locks to the mirror: {len(tasks)}")

    def _lock_inside(self, plan: Plan, lock: InsideLock) -> Task:
        target = self.config.output / lock.path

        def made_from() -> bytes:
            files = [sha256_of_bytes(read_or_none(path) or b"") for path in (lock.source, server_template())]
            return to_json([self._written_by.decode(), self.config.url, *files, plan.digest])

        return self.make.task(
            self.name("lock", lock.path.removeprefix("locks/")),
            self.publisher.publish_lock,
            plan,
            lock,
            clean=cleaning(self._withdraw),
            subtask_of=self.name("lock"),
            targets=[target],
            task_dep=[self.name("_room"), *self._bringing(plan.files)],
            uptodate=[Unchanged(made_from, lambda: self.publisher.digest_as_made([target]))],
            doc=f"leads it to {self.config.url}/",
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

        return Unchanged(made_from, lambda: self.publisher.digest_as_made(self.publisher.project_places(name)))

    def _project_pages(
        self, plan: Plan, name: str, unchanged: Mapping[str, Unchanged], together: OfOneThing
    ) -> Task | None:
        files = plan.published_by_project[name]
        task_name, targets = self.name("index", name), self.publisher.project_places(name)
        bringing = self._bringing(files)  # these are in the run for the page that waits for them
        if not bringing and together.holds_for(task_name, targets):
            return None
        return self.make.task(
            task_name,
            self.publisher.publish_project,
            plan,
            name,
            clean=cleaning(self._withdraw),
            subtask_of=self.name("index"),
            targets=targets,
            task_dep=[self.name("_room"), *bringing],
            uptodate=[unchanged[task_name]],
            doc=counted(len(files), "file"),
        )

    @cached_property
    def _written_by(self) -> bytes:
        """What pages were made by, beside the plan: another program makes other pages, and other requirements too."""
        settings = [self.config.ask_backends, [root.name for root in self.config.roots], self.config.report]
        return self._made_by.encode() + to_json(settings)

    @cached_property
    def _made_by(self) -> str:
        return self.publisher.made_by()

    def _server(self) -> Iterator[Task]:
        yield self.make.task(
            self.name("server"),
            self._publish_programs,
            targets=program_targets(self.config.output),
            clean=cleaning(self._withdraw),
            uptodate=[self._programs_are_published],
            doc="puts what runs inside into the mirror: server.py, receive.py",
        )

    def _withdraw(self) -> None:
        withdraw(self.config.output)

    def _publish_programs(self) -> None:
        self.publisher.publish_programs()

    def _programs_are_published(self) -> bool:
        return self.publisher.programs_are_published()

    def _report_inside(self) -> Iterator[Task]:
        """the report in the mirror"""
        yield self.make.task(
            self.name("_report"),
            self._publish_report,
            kind="group",
            task_dep=[self.name(kind) for kind in ("index", "release")],
            clean=cleaning(self._withdraw_report),
        )

    def _withdraw_report(self) -> None:
        self._withdraw()
        shutil.rmtree(self.config.output / "report", ignore_errors=True)

    def _publish_report(self) -> None:
        assert self.plan is not None, "_plan went before"
        self._workshop.tools.inside.publish(self.plan)

    def _mirror(self) -> Iterator[Task]:
        reports = ["_report"] if self.config.report == "mirror" else []
        before = ("_ahead", "index", *(["lock"] if self.config.url else []), "server", "release", *reports)
        task = self.make.task(
            self.name("mirror"),
            self._finish,
            targets=_both_spellings(manifest_paths(self.config.output)),
            clean=cleaning(self._withdraw),
            params=self._as_of.params,
            task_dep=[self.name(kind) for kind in before],
            doc="makes the mirror, whole and checked",
        )
        yield self._as_of.on(task)

    def _finish(self) -> None:
        assert self.plan is not None, "_plan went before"
        self.publisher.publish_manifest(self.plan, self._workshop.tools.inside.paths)
        self.tally.outcomes.append(self._of_which(self._teller.outcome(self.plan)))
        self._say_what_else(self.plan)
        self._teller.check_roots(self.plan)

    def _say_what_else(self, plan: Plan) -> None:
        for line in self._teller.beside(plan):
            self._note(line)


def _both_spellings(paths: Iterable[Path]) -> list[str]:
    """Return paths as they are and relative to ``dodo.py``: doit knows a ``file_dep`` as a target by its text alone."""
    absolute = [str(path) for path in paths]
    try:
        return [*absolute, *map(os.path.relpath, absolute)]
    except ValueError:  # another drive of Windows
        return absolute
