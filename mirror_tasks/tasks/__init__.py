"""Every doit task: the only part that knows doit.

:func:`pipeline` is what a ``dodo.py`` calls, :mod:`~mirror_tasks.tasks.graph` has the tasks that make a mirror.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import doit.loader
from doit.doit_cmd import DoitMain
from doit.exceptions import InvalidDodoFile, TaskFailed
from doit.task import Task

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from mirror_tasks.errors import ConfigError, in_words
from mirror_tasks.index import pip_settings
from mirror_tasks.tasks.parts import creator
from mirror_tasks.text import let_output_have_any_text


def pipeline(config: str | os.PathLike[str] | None = None, prefix: str = "") -> dict[str, Any]:
    """Return what a ``dodo.py`` needs to have all tasks of a mirror: ``globals().update(pipeline())``.

    :param config: the path of ``mirror.yaml``; by default what ``MIRROR_CONFIG`` names, else ``mirror.yaml``.
    :param prefix: put before the name of each task (``science`` gives ``science-mirror``), so that several mirrors and
        other tasks can live in one file. Without one, the mirror is what a plain ``doit`` makes.
    :raises doit.exceptions.InvalidDodoFile: the file can't be used; the message has all its faults.
    """
    let_output_have_any_text()
    path = _config_path(config)
    _check_prefix(prefix, path)
    dash = f"{prefix}-" if prefix else ""
    loaded = _loaded(path)
    asked = loaded is not None and _runs_tasks(sys.argv[1:]) and pip_settings.begin_to_ask(_urls(loaded))
    # Only now: pip takes as long to answer as all of this takes to be imported.
    from mirror_tasks.tasks.together import TOGETHER
    from mirror_tasks.tasks.verbs import offered

    if asked:
        # Imported once, and not by each process that begins to receive: 0.04 s in all but one, 4 % of a run with nothing to
        # do on two processors.
        import requests.utils  # noqa: F401

    found: dict[str, Any] = {
        f"task_{dash}{verb.__name__}": creator(lambda verb=verb: iter([verb(f"{dash}{verb.__name__}")]))  # type: ignore[misc]
        for verb in (offered.environment, offered.requirements)
    }
    file = sys._getframe(1).f_code.co_filename  # noqa: SLF001 - no other way to know who asks
    if loaded is None:
        if any(word.partition(":")[0] in {f"{dash}{name}" for name in _NEEDS_CONFIG} for word in sys.argv[1:]):
            raise InvalidDodoFile(_no_config(path))
        found[f"task_{dash}mirror"] = creator(lambda: iter([_missing_config(f"{dash}mirror", path)]))
        found["DOIT_CONFIG"] = TOGETHER.doit_config_without(file, f"{dash}mirror")
        return found
    mirror = TOGETHER.add(file, loaded, dash)
    found.update({f"task_{name}": made for name, made in mirror.creators().items()})
    found["DOIT_CONFIG"] = TOGETHER.doit_config()
    return found


def _check_prefix(prefix: str, path: Path) -> None:
    if not isinstance(prefix, str) or (prefix and not re.fullmatch(r"[^\W_][\w.-]*", prefix)):
        problem = f"expected a prefix of letters, digits, -, _ and ., with a letter or digit first, found {prefix!r}"
        raise InvalidDodoFile(
            f'making the tasks of {path}: {problem}. Say another, as in pipeline("lab/mirror.yaml", prefix="lab").'
        )


def _loaded(path: Path) -> Config | None:
    """Return what ``mirror.yaml`` says; None where there is none.

    :raises doit.exceptions.InvalidDodoFile: it can't be used.
    """
    try:
        path.stat()
        return load(path)
    except ConfigError as error:
        raise InvalidDodoFile(str(error)) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise InvalidDodoFile(str(in_words(error, "reading", path))) from None


def _urls(config: Config) -> tuple[str, ...] | None:
    return None if config.indexes is None else tuple(index.url for index in config.indexes)


def _config_path(config: str | os.PathLike[str] | None) -> Path:
    if config is None:
        # doit changes to the folder of dodo.py before it reads it; a path that a user typed is relative to where that was.
        config = (
            Path(doit.loader.initial_workdir or ".") / os.environ["MIRROR_CONFIG"]
            if "MIRROR_CONFIG" in os.environ
            else "mirror.yaml"
        )
    return Path(os.path.realpath(config))  # before Python 3.13, `Path.resolve` fails where a link leads to itself


def _runs_tasks(arguments: Iterable[str]) -> bool:
    """Say if this is `doit`, `doit run` or `doit TASK`, and not a command like `doit list`, which asks nobody."""
    others = {command.get_name() for command in DoitMain.DOIT_CMDS} - {"run"}
    return next(iter(arguments), "run") not in others


# What can be named on a command line and, but for `mirror`, is not there without a ``mirror.yaml``: doit would say that it
# knows no such task.
_NEEDS_CONFIG = (
    *("advisories", "approve", "ask", "audit", "bundle", "changes", "download", "explain", "index", "lock", "metadata"),
    *("plan", "project", "prove", "provenance", "prune", "release", "report", "serve", "server", "wanted"),
)


def _no_config(path: Path) -> str:
    found = "it is a link that leads to itself" if path.is_symlink() else "there is no such file"
    return f"reading {path}: {found}. Write one; `doit environment` prints a block for it."


def _missing_config(name: str, path: Path) -> Task:
    def fail() -> TaskFailed:
        return TaskFailed(_no_config(path))

    return Task(name, [fail], doc="no mirror.yaml here yet", meta={"mirror": "verb"}, io={"capture": False})
