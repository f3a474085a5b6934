"""What doit remembers of tasks: what can't be read of it is as good as gone, and what can't be kept is said in a sentence.

doit opens its database before a task is made, and writes it after the last one; an error there is a traceback, and the
report of the run is lost with it. So the file is looked at before doit opens it, and a guard stands before it then.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from doit.dependency import JSONCodec, SqliteDB
from doit.exceptions import InvalidDodoFile
from doit.globals import Globals

from mirror_tasks.errors import MirrorError, in_words
from mirror_tasks.files import clear_of_folders
from mirror_tasks.tasks.run import RUN

_DOING = "having the database for what doit remembers,"
_COLUMNS = ["task_id", "task_data"]


def have_database(path: Path) -> None:
    """Delete the database at ``path`` if it can't be read, so that doit begins a new one.

    :raises doit.exceptions.InvalidDodoFile: its folder can't be had.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for one in _files(path):
            clear_of_folders(one)
        if not _is_sound(path):
            for one in _files(path):
                one.unlink(missing_ok=True)
        _make(path)
    except FileExistsError:
        found = "a link to nowhere" if path.parent.is_symlink() else "something else"
        problem = f"expected a folder, found {found}"
        advice = "Make that folder, or remove what is there, then run again."
        raise InvalidDodoFile(str(MirrorError("having the state folder", str(path.parent), problem, advice))) from None
    except OSError as error:
        raise InvalidDodoFile(str(in_words(error, _DOING, path))) from None
    except sqlite3.Error as error:
        raise InvalidDodoFile(str(MirrorError(_DOING, str(path), str(error), "Make room, then run again."))) from None


def _make(path: Path) -> None:
    """Make the table here: doit makes it first of all, and an error there is a traceback."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table if not exists doit (task_id text not null primary key, task_data json)")


def _files(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", "-journal", "-wal", "-shm")]


def _is_sound(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            columns = [row[1] for row in database.execute("pragma table_info(doit)")]
            (found,) = database.execute("pragma quick_check(1)").fetchone()
            return found == "ok" and columns in ([], _COLUMNS)
    except sqlite3.OperationalError as error:
        return "locked" in str(error)  # another process writes to it just now
    except sqlite3.Error:
        return False


class Codec(JSONCodec):  # type: ignore[misc]
    """doit's own codec; what is read back has the shapes that doit expects, or is left out."""

    def decode(self, data: str) -> dict[str, Any]:
        """Called by doit, with what it kept of one task, or (in its backend ``json``) of all of them."""
        try:
            found = super().decode(data)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        if any(isinstance(value, dict) and not name.endswith(":") for name, value in found.items()):
            return {name: value for name, value in found.items() if isinstance(value, dict) and _is_of_a_task(value)}
        return found if _is_of_a_task(found) else {}


def _is_of_a_task(kept: Mapping[str, Any]) -> bool:
    """Say if this is what doit keeps of a task: its values, what it came to, its checker, and the state of each file."""
    shapes = {"_values_:": dict, "result:": (str, dict), "checker:": str, "ignore:": str}
    for name, value in kept.items():
        if name == "deps:":
            is_right = isinstance(value, list) and all(isinstance(one, str) for one in value)
        elif name in shapes:
            is_right = isinstance(value, shapes[name])  # type: ignore[arg-type]
        else:
            is_right = _is_state_of_a_file(value)
        if not is_right:
            return False
    return True


def _is_state_of_a_file(value: object) -> bool:
    """doit's checkers keep the time of a file, or its time, size and MD5."""
    if isinstance(value, list):
        return len(value) == 3 and isinstance(value[2], str) and all(isinstance(one, (int, float)) for one in value[:2])
    return isinstance(value, (int, float))


def kept_of(task_id: str) -> Mapping[str, Any]:
    """Return what a task kept when it last ran; nothing where it never did."""
    manager = Globals.dep_manager
    if manager is None:
        return {}
    return manager.backend.kept_of(task_id) if isinstance(manager.backend, _Guard) else manager.get_values(task_id)


def guard() -> None:
    """Put a guard before the database that doit has opened, whichever it is; called when tasks are made."""
    manager = Globals.dep_manager
    if manager is None or isinstance(manager.backend, _Guard):
        return
    manager.backend = guarded = _Guard(manager.backend)
    # doit asks for what it keeps through these, which it took from its backend; it has no other place to come between.
    manager._set, manager._get, manager._in = guarded.set, guarded.get, guarded.in_  # noqa: SLF001
    manager.remove, manager.remove_all = guarded.remove, guarded.remove_all


class _Guard:
    """A backend of doit before another one."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._rows = _Rows(backend) if isinstance(backend, SqliteDB) else None
        self.name = backend.name
        self.set = backend.set  # this goes to memory, and is written by `dump`

    def get(self, task_id: str, dependency: str) -> Any:
        """Return what was kept; None also where that can't be read."""
        try:
            return self._backend.get(task_id, dependency)
        except Exception:
            self.remove(task_id)  # a value of it that is kept in memory is no better
            return None

    def kept_of(self, task_id: str) -> Mapping[str, Any]:
        """Return what a task kept; of one that has no part in the run, nothing is held in memory."""
        found = self._rows.of(task_id).get("_values_:") if self._rows else self.get(task_id, "_values_:")
        return found or {}

    def in_(self, task_id: str) -> bool:
        """Say if something was kept."""
        try:
            return bool(self._backend.in_(task_id))
        except Exception:
            return False

    def remove(self, task_id: str) -> None:
        """Forget what was kept of a task; where that fails, `dump` does as well, and tells."""
        with contextlib.suppress(Exception):
            self._backend.remove(task_id)

    def remove_all(self) -> None:
        """Forget all."""
        with _told(self.name):
            self._backend.remove_all()

    def dump(self) -> None:
        """Write all that changed."""
        with _told(self.name):
            self._backend.dump()


class _Rows:
    """What doit's database has of all tasks, read at once: a query for each took a tenth of a run with nothing to do."""

    def __init__(self, backend: SqliteDB) -> None:
        self._backend = backend
        self._one_by_one = backend._get_task_data  # noqa: SLF001 - as below: doit has no other place to come between
        backend._get_task_data = self.of  # noqa: SLF001

    def of(self, task_id: str) -> dict[str, Any]:
        """Return what is kept of a task; called by doit, which holds it in memory from then on.

        Hardly anything is asked for twice, so that it is let go here; what is not here is looked for in the database.
        """
        row = self._left.pop(task_id, None)
        found: dict[str, Any] = (
            self._one_by_one(task_id) if row is None else self._backend.codec.decode(row.decode("utf-8", "replace"))
        )
        return found

    @cached_property
    def _left(self) -> dict[str, bytes]:
        """The records as they are kept, by task; none where one can't be read, which must not cost the others."""
        query = "select task_id, cast(task_data as blob) as row from doit where task_data is not null"
        try:
            return {one["task_id"]: one["row"] for one in self._backend._conn.execute(query)}  # noqa: SLF001
        except sqlite3.Error:
            return {}


@contextlib.contextmanager
def _told(name: str) -> Any:
    """Let an error be told at the end of the run with all others; where no run is under way, by doit."""
    try:
        yield
    except Exception as error:
        advice = (
            "Every task looks at its files first, so nothing is fetched twice for it. Make room, then run again; "
            "if there is room, delete that file."
        )
        found = MirrorError("keeping what doit remembers of this run, in", name, str(error), advice)
        if not RUN.has_reporter:
            raise InvalidDodoFile(str(found)) from None
        RUN.problems.append(str(found))
