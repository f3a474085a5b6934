"""Commands of doit that say in words what doit's own show as a traceback, or pass over: what was typed wrong.

doit takes a command from what is installed (`doit.COMMAND` in ``pyproject.toml``) before one of its own. These are its own in
all else, for every ``dodo.py``. They import nothing of this project but its errors: most commands need no more.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from doit import cmd_clean, cmd_dumpdb, cmd_forget, cmd_help, cmd_ignore, cmd_info, cmd_list, cmd_resetdep, cmd_run
from doit.cmdparse import CmdParseError
from doit.exceptions import InvalidCommand

from mirror_tasks.errors import MirrorError, in_words

_OF_DATABASES = frozenset(
    {"dbm", "dbm.dumb", "dbm.sqlite3", "_dbm", "_gdbm", "doit.dependency", "json.decoder", "sqlite3"}
)  # where their errors are from
_OF_OUTPUT = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class _InWords:
    """What the commands here have in common; before a command of doit."""

    outstream: Any
    name: str
    bin_name: str
    dep_manager: Any

    def parse_execute(self, in_args: list[str]) -> Any:
        """Called by doit."""
        try:
            return super().parse_execute(in_args)  # type: ignore[misc]
        except CmdParseError as error:
            # doit shows its options there as Python does.
            said, _, rest = str(error).strip().partition(" (parsing options: ")
            of = "TASK" if said.startswith("Error parsing Task") else self.name
            hint = f". `{self.bin_name} help {of}` shows those that there are." if rest else ""
            raise CmdParseError(f"{said}{hint}") from None

    def execute(self, params: Mapping[str, Any], args: list[str]) -> Any:
        """Called by doit."""
        if self.outstream is None:  # >&-
            self.outstream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        try:
            with _output():
                return super().execute(params, args)  # type: ignore[misc]
        except BrokenPipeError:  # who reads has enough
            return 1
        except InvalidCommand as error:
            if not str(error).endswith(" is not a task."):
                raise
            raise InvalidCommand(f"{error} `{self.bin_name} list --all` shows all of them.") from None
        except Exception as error:
            if (words := self._words(error, params)) is None:
                raise
            raise InvalidCommand(words) from None

    def _words(self, error: Exception, params: Mapping[str, Any]) -> str | None:
        """Return what is told of an error; None where it is not of what was typed."""
        database, output = str(params.get("dep_file", "")), params.get("outfile")
        path = str(getattr(error, "filename", None) or "")
        is_of_database = type(error).__module__ in _OF_DATABASES or (path and path.startswith(database))
        if self.dep_manager is None and database and is_of_database:
            problem = f"expected what the backend {params.get('backend')} can open, found none ({type(error).__name__}: {error})"
            advice = (
                "Leave out --db-file and --backend, or name both as when it was written, in a folder that there is."
            )
            return str(MirrorError("opening the database", database, " ".join(problem.split()), advice))
        if isinstance(error, OSError) and isinstance(output, str) and path == output:
            return str(in_words(error, "writing the output into", output))
        dodo = os.path.basename(str(params.get("dodoFile", "")))  # noqa: PTH119 - a name alone
        if self.dep_manager is None and isinstance(error, PermissionError) and dodo and path.endswith(os.sep + dodo):
            return str(in_words(error, "reading", path))
        return None


@contextmanager
def _output() -> Iterator[None]:
    """Have all output written; say in words where that can't be.

    :raises BrokenPipeError: nobody reads it any more.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_OUTPUT:
            raise
        with suppress(OSError, ValueError):  # Python writes once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            raise
        raise InvalidCommand(str(in_words(error, "writing", "the output"))) from None


def _are_of_mirrors(tasks: Iterable[Any]) -> bool:
    return any("mirror" in (task.meta or ()) for task in tasks)


class Run(_InWords, cmd_run.Run):  # type: ignore[misc]
    """`doit run`, and `doit TASK`."""

    task_list: list[Any]

    @functools.wraps(cmd_run.Run._execute)  # noqa: SLF001 - doit looks at what it takes
    def _execute(self, **given: Any) -> Any:
        workers = given["num_process"]
        if workers < 0:
            problem = "expected a number of workers, found less than none"
            raise InvalidCommand(str(MirrorError("running with", f"-n {workers}", problem, "Say 0 for none besides.")))
        if workers and given["par_type"] == "process" and _are_of_mirrors(self.task_list):
            problem = "expected threads, for the tasks of a mirror share what they know"
            advice = "Leave it out: what takes long is done by processes of its own."
            raise InvalidCommand(str(MirrorError("running with", "-P process", problem, advice)))
        return super()._execute(**given)


class Info(_InWords, cmd_info.Info):  # type: ignore[misc]
    """`doit info`."""

    task_list: list[Any]

    @functools.wraps(cmd_info.Info._execute)  # noqa: SLF001 - doit looks at what it takes
    def _execute(self, **given: Any) -> Any:
        names = given["pos_args"]
        if len(names) == 1 and all(task.name != names[0] for task in self.task_list):
            raise InvalidCommand(f"'{names[0]}' is not a task.")
        return super()._execute(**given)


class List(_InWords, cmd_list.List):  # type: ignore[misc]
    """`doit list`."""

    def execute(self, params: Mapping[str, Any], args: list[str]) -> Any:
        """Called by doit."""
        template = params.get("template")
        if template is not None:
            _check_template(template, ("name", "doc", *(["status"] if params.get("status") else [])))
        return super().execute(params, args)


def _check_template(template: str, names: Iterable[str]) -> None:
    try:
        template.format(**dict.fromkeys(names, ""))
    except (LookupError, ValueError, AttributeError) as error:
        known = ", ".join(f"{{{name}}}" for name in names)
        problem = f"expected a text with {known}, found what is none ({type(error).__name__}: {error})"
        advice = "{status} is there with -s; a brace that is meant as one is written twice."
        raise InvalidCommand(str(MirrorError("listing with --template", template, problem, advice))) from None


class Ignore(_InWords, cmd_ignore.Ignore):  # type: ignore[misc]
    """`doit ignore`."""

    task_list: list[Any]

    def execute(self, params: Mapping[str, Any], args: list[str]) -> Any:
        """Called by doit."""
        if not args:
            raise InvalidCommand(
                f"ignoring: expected a task, found none. `{self.bin_name} list --all` shows all of them."
            )
        done = super().execute(params, args)
        if done is None and _are_of_mirrors(task for task in self.task_list if task.name in args):
            forget = f"{self.bin_name} forget {' '.join(args)}"
            self.outstream.write(f"What needs it is not done either, until it is taken back: {forget}\n")
        return done


class Forget(_InWords, cmd_forget.Forget):  # type: ignore[misc]
    """`doit forget`."""


class Clean(_InWords, cmd_clean.Clean):  # type: ignore[misc]
    """`doit clean`."""


class ResetDep(_InWords, cmd_resetdep.ResetDep):  # type: ignore[misc]
    """`doit reset-dep`."""


class Help(_InWords, cmd_help.Help):  # type: ignore[misc]
    """`doit help`."""


class DumpDB(cmd_dumpdb.DumpDB):  # type: ignore[misc]
    """`doit dumpdb`."""

    def execute(self, opt_values: Mapping[str, Any], pos_args: list[str]) -> Any:
        """Called by doit."""
        try:
            return super().execute(opt_values, pos_args)
        except Exception as error:
            if type(error).__module__ not in _OF_DATABASES:
                raise
            problem = f"expected one that doit's backend dbm wrote, found none ({error})"
            advice = "That of a mirror is SQLite: sqlite3 .mirror/doit.db 'select * from doit'"
            raise InvalidCommand(str(MirrorError("dumping", str(opt_values["dep_file"]), problem, advice))) from None
