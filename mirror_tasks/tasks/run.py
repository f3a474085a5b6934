"""A run of doit over the mirrors of one ``dodo.py``: what begins before its first task, and ends after its last.

The reporter calls :meth:`Run.begin` before there are threads, for doit tells nobody else that a run begins. With a reporter
of somebody else's, the first task of each mirror does, in a thread: no signal can be set then, and what doit and Python do
at Ctrl-C is done.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, Protocol

from doit.exceptions import InvalidTask

from mirror_tasks.errors import MirrorError
from mirror_tasks.interruption import INTERRUPTED
from mirror_tasks.tasks.tally import Tally

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class MirrorOfRun(Protocol):
    """What a run knows of the tasks of a mirror.

    :ivar changing: the names of its tasks, without what follows their colon, that change something or need such a task.
    :ivar fetching: those of them that fetch or read files, or need a task that does.
    """

    tally: Tally
    changing: frozenset[str]
    fetching: frozenset[str]

    @property
    def reads_sdists(self) -> bool:
        """Sdists may be mirrored: the whole of each is read."""

    def has(self, name: str) -> bool:
        """Say if there is a task of this name, be it one that the run could do without."""

    def take_folders(self) -> None:
        """Keep other runs out of the folders of the mirror.

        :raises MirrorError: another one uses them, or the output is not for this mirror.
        """

    def open_workshop(self) -> None:
        """Import what works, before processes are forked, so that they have it from the first one."""


class Run:
    """The run that this process does, if it does one.

    :ivar mirrors: those of the ``dodo.py``.
    :ivar has_reporter: the reporter of this project tells at the end what is in ``problems``.
    """

    def __init__(self) -> None:
        self.mirrors: list[MirrorOfRun] = []
        self.has_reporter = False
        self.problems: list[str] = []
        self.was_interrupted = False

    def begin(self, tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
        """Begin what the selected tasks need: folders, processes, signals. Tasks of others need nothing of it.

        :raises doit.exceptions.InvalidTask: the folders of a mirror can't be had; its message says why.
        """
        reached = set(_reached(tasks, selected))
        try:
            for mirror in self.mirrors:
                if reached & mirror.changing:
                    mirror.take_folders()
        except MirrorError as error:
            raise InvalidTask(str(error)) from None
        # Now only: a process that is forked before has no part in the locks of the folders, and may outlive the first one.
        fetching = [mirror for mirror in self.mirrors if reached & mirror.fetching]
        for mirror in fetching:
            mirror.open_workshop()
        if fetching:
            start_processes(reads_sdists=any(mirror.reads_sdists for mirror in fetching))
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING_SIGNALS:
                signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # SystemExit passes through doit, which writes its state on the way; its worker threads are daemons and end with it.
        self.was_interrupted = True
        raise SystemExit(INTERRUPTED)

    def end(self) -> None:
        """Let signals end the process at once: nothing is left to be ended well."""
        for number in _ENDING_SIGNALS:
            if signal.getsignal(number) == self._interrupt:
                signal.signal(number, signal.SIG_DFL)
        # The interpreter looks for garbage once more when it ends: 7 % of the processor time of a run with nothing to do.
        gc.freeze()


def look_for_garbage_rarely() -> None:
    """Nearly all that a run makes it keeps to its end: looking for garbage as often as by default takes 10 % of a run."""
    gc.freeze()
    gc.set_threshold(200_000, 1000, 1000)


def start_processes(*, reads_sdists: bool) -> None:
    """Start the processes that receive and read, unless they are started.

    :param reads_sdists: else those that read have next to nothing to do, and would only hold memory.
    """
    # Only now: commands that run nothing have none.
    from mirror_tasks.work.memory import give_back_what_is_large
    from mirror_tasks.work.processes import READING, RECEIVING

    give_back_what_is_large()
    # What is imported by now is no garbage, in none of them: to look at it copies it into each, and takes 3 % of a first mirror.
    gc.freeze()
    RECEIVING.start()
    READING.start(at_once=reads_sdists)


def _reached(tasks: Mapping[str, Any], selected: Iterable[str]) -> Iterator[str]:
    """Return what stands before the colon in the names of all tasks that will run, as far as doit knows them by now."""
    todo, seen = list(selected), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name.partition(":")[0]
        task = tasks.get(name)
        todo += [*task.task_dep, *task.setup_tasks] if task else []


RUN = Run()
