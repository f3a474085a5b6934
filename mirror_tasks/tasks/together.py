"""All mirrors of one ``dodo.py``: what doit is told of them together, since a later ``DOIT_CONFIG`` replaces an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.exceptions import InvalidDodoFile

from mirror_tasks.config.model import Config
from mirror_tasks.tasks.database import Codec, have_database
from mirror_tasks.tasks.graph import MirrorTasks
from mirror_tasks.tasks.reporter import Reporter
from mirror_tasks.tasks.run import RUN

DATABASE = ".doit-mirrors.db"  # where all mirrors have a prefix, and none has a folder that is the file's own


class Together:
    """The mirrors of one ``dodo.py``, in the order in which it asks for them."""

    def __init__(self) -> None:
        self._file = ""
        self._mirrors: dict[str, MirrorTasks] = {}
        self._lacking: list[str] = []  # the tasks of mirrors that have no configuration, which say so

    def add(self, file: str, config: Config, dash: str) -> MirrorTasks:
        """Return the tasks of another mirror.

        :param file: the ``dodo.py`` that asks; another one begins anew.
        :raises doit.exceptions.InvalidDodoFile: another mirror has the same prefix, or none as well.
        """
        self._begin(file)
        other = self._mirrors.get(dash)
        if other is not None and other.config.path != config.path:
            raise InvalidDodoFile(
                f"making the tasks of {config.path}: expected a prefix of its own, found that of {other.config.path}. "
                'Give one of them another, as in pipeline("lab/mirror.yaml", prefix="lab").'
            )
        self._mirrors[dash] = made = MirrorTasks(config, dash)
        if len(self._mirrors) > 1:
            for mirror in self._mirrors.values():
                mirror.tell_apart()
        RUN.mirrors = list(self._mirrors.values())
        return made

    def _begin(self, file: str) -> None:
        if file != self._file:
            self._file = file
            self._mirrors.clear()
            self._lacking.clear()

    def doit_config_without(self, file: str, name: str) -> dict[str, Any]:
        """Return the settings where a mirror has no configuration; ``name`` is that of the task that says so."""
        self._begin(file)
        self._lacking.append(name)
        if self._mirrors:
            return self.doit_config()
        # Nothing that could be remembered happens here, and nothing is left in a folder that may not be ours.
        in_memory = {"backend": "sqlite3", "dep_file": ":memory:"}
        return {"default_tasks": list(self._lacking), "reporter": Reporter, **in_memory}

    def doit_config(self) -> dict[str, Any]:
        """Return the settings that doit runs all of them with: a plain ``doit`` makes every mirror."""
        mirrors = list(self._mirrors.values())
        first = next((mirror for mirror in mirrors if not mirror.dash), None)
        # A database that a kill can't leave half-written. Its folder has to exist before doit opens it.
        database = first.config.state / "doit.db" if first else Path(DATABASE).resolve()
        have_database(database)
        return {
            "default_tasks": [*(mirror.name("mirror") for mirror in mirrors), *self._lacking],
            "reporter": Reporter,
            "num_process": max(mirror.config.workers for mirror in mirrors),
            "par_type": "thread",
            "continue": True,
            "verbosity": 2,
            "backend": "sqlite3",
            "dep_file": str(database),
            "codec_cls": Codec,
        }


TOGETHER = Together()
