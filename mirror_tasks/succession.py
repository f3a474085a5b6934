"""Who may write to an output, and what a successor needs to go on: what ``mirror.json`` says of how a mirror was made.

An output belongs to one configuration. Two that write to it in turns would each undo what the other published. Which
one an output belongs to is told by its ``mirror.json``, so that a mirror can be copied and moved like any directory.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name

from mirror_tasks.config.file_kinds import kind_by_name
from mirror_tasks.config.lock_files.model import Lock
from mirror_tasks.config.model import Config, RequestedRequirement, Root
from mirror_tasks.config.own_sources import names_of
from mirror_tasks.errors import MirrorError
from mirror_tasks.files import read_or_none, sha256_of_bytes
from mirror_tasks.layout import manifest_paths
from mirror_tasks.text import redact

_MAIN = "mirror.yaml"
_HOST = re.compile(r"(://)[^/\"'\\\s]+")
_FOLDER = re.compile(r"(://)/[^\"'\\\s]*/")  # of a file: URL, which pip writes of what it finds on this machine


class OutputError(MirrorError):
    """A mirror can't be made where it is to be made."""


def description(config: Config) -> Mapping[str, Any]:
    """Return what makes it possible to go on with a mirror where only the mirror itself is left.

    ``configuration`` has the text of a ``mirror.yaml`` and of the files that it names, by file name. There are no
    credentials, names of indexes, or paths of this machine in it: an index may be secret, and its URL may carry
    credentials. Nor are the other keys of ``mirror.yaml`` that say something of the machine or of the moment, not of the
    mirror (``workers``, ``refresh``, ``accept-changed``, ``transfer``, ``report``), nor the ``policy``: it has to be had from who
    answers for it, and the reasons of its exceptions are not for everybody inside.
    """
    included = _Included()
    configuration = {
        **({"url": f"{config.url}/"} if config.url else {}),
        "environments": dict(config.environment_blocks),
        "requirements": [*included.entries(config.roots, config.versions), *_own_files(config)],
        "versions": config.versions,
        "wheels": config.wheels,
        "sdists": config.sdists,
        "build-requirements": "ask" if config.ask_backends else config.build_requirements,
        "prereleases": config.prereleases,
        "prefer-binary": config.prefer_binary,
    }
    return {
        "made_by": f"mirror-tasks {version('mirror-tasks')}",
        "configuration": {**included.files, _MAIN: yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)},
        "environments_in_full": [
            {**one.to_json(), "tags": " ".join(map(str, one.tags))} for one in config.environments
        ],
    }


@dataclass
class _Included:
    """The files that a ``mirror.yaml`` names, written anew from what was read of them: no comment, no option, no path."""

    files: dict[str, str] = field(default_factory=lambda: {_MAIN: ""})

    def entries(self, roots: Iterable[Root], versions: str | int) -> list[str | dict[str, Any]]:
        """Return what stands under ``requirements:``; the wishes of one list stand in one file again."""
        found: list[str | dict[str, Any]] = []
        for (kind, _), group in groupby(roots, key=_entry_of):
            one, *others = group
            if kind == "own":
                found.append(self._own([one, *others]))
            elif kind == "wished":
                lines = [str(each.requirements[0].requirement) for each in (one, *others)]
                wanted = self._keep(self._name_for("wanted.txt"), lines)
                found.append({"wanted": wanted, **_said_of(one, versions)})
            else:
                found += [self._entry(each, versions) for each in (one, *others)]
        return found

    @staticmethod
    def _own(roots: Sequence[Root]) -> dict[str, Any]:
        """Return the entry of a folder of the user's own, by its name alone: a successor fills one from ``packages/``.

        As a requirement without it, it would be asked of an index, where it may be somebody else's project.
        """
        limits = [root.environments for root in roots]
        names = dict.fromkeys(name for limit in limits for name in limit or ())
        said = {} if None in limits else {"environments": sorted(names)}
        return {"wheels": _plain(roots[0].own) or "wheels", **said}

    def _entry(self, root: Root, versions: str | int) -> str | dict[str, Any]:
        said = _said_of(root, versions)
        if root.is_file:
            return {"file": self._file(root), **said}
        if root.lock is not None:
            asked = {"groups": list(root.lock.groups), "extras": list(root.lock.extras)}
            return {"lock": self._lock(root.lock), **asked, **said}
        text = str(root.requirements[0].requirement)
        return {"require": text, **said} if said else text

    def _file(self, root: Root) -> str:
        lines = list(map(_with_hashes, root.requirements))
        name = self._name_for(root.name.replace(" [", "-").replace(", ", "-").rstrip("]"))
        if root.constraints:
            hashed = {str(one.requirement): _with_hashes(one) for one in root.hashed_constraints}
            constraints = [hashed.get(str(one), str(one)) for one in root.constraints]
            lines.insert(0, f"-c {self._keep(self._name_for(f'constraints-of-{name}'), constraints)}")
        return self._keep(name, lines)

    def _lock(self, lock: Lock) -> str:
        """Keep a lock, and the project beside it that some tools read with it, in a folder of their own.

        The name of a lock tells its format, so two of them have the same. A URL in a lock is a hint:
        its host goes, and the folder of a file.
        """
        number = 1 + sum(name.endswith(f"/{lock.path.name}") for name in self.files)
        for path in (lock.path, lock.path.with_name("pyproject.toml")):
            content = read_or_none(path)
            if content is not None:
                text = _HOST.sub(r"\1replaced.example.com", redact(content.decode("utf-8", "replace")))
                self.files[f"lock-{number}/{path.name}"] = _FOLDER.sub(r"\1/replaced/", text)
        return f"lock-{number}/{lock.path.name}"

    def _name_for(self, path: str) -> str:
        plain = _plain(path) or "requirements.txt"
        if kind_by_name(plain):  # the lines of a project, which as a file of requirements would be refused by its name
            plain = f"{plain}.txt"
        names = (f"{number}-{plain}" if number else plain for number in range(len(self.files) + 1))
        return next(name for name in names if name not in self.files)

    def _keep(self, name: str, lines: Iterable[str]) -> str:
        self.files[name] = "".join(f"{redact(line)}\n" for line in lines)
        return name


def _with_hashes(line: RequestedRequirement) -> str:
    return " ".join([str(line.requirement), *(f"--hash=sha256:{sha256}" for sha256 in sorted(line.hashes))])


def _own_files(config: Config) -> Iterator[dict[str, Any]]:
    """Yield the entry of a folder for the files that were named by URL, which says nothing of where they came from."""
    in_folders = {canonicalize_name(root.requirements[0].requirement.name) for root in config.roots if root.own}
    if names_of(config.own) - in_folders:
        yield {"wheels": "own"}


def _entry_of(root: Root) -> tuple[str, str]:
    """Return what kind of entry a root is of, and which, where that gives several roots."""
    if root.own:
        return "own", root.key_path
    return ("wished", root.key_path) if root.wished else ("", "")


def _plain(path: str) -> str:
    """Return the last part of a path, in characters that every file system takes."""
    return re.sub("[^A-Za-z0-9._-]", "_", re.split(r"[/\\]", path.rstrip("/\\"))[-1]).lstrip(".")


def _said_of(root: Root, versions: str | int) -> dict[str, Any]:
    """Return the keys of an entry that differ from what holds for all."""
    said: dict[str, Any] = {} if root.versions == versions or root.lock is not None else {"versions": root.versions}
    return said if root.environments is None else {**said, "environments": list(root.environments)}


def check_output(config: Config, published_here: Callable[[str], bool]) -> None:
    """Look if a mirror can be made at the output, and if it is this configuration's to write to.

    :param published_here: says of the SHA-256 of a ``mirror.json`` if it was published with this state.
    :raises OutputError: it can't be written to, or another configuration publishes there.
    """
    _check_writable(config.output)
    content = read_or_none(config.output / "mirror.json")
    if content is None or published_here(sha256_of_bytes(content)):
        return
    theirs = _described(config.output, content)
    if theirs is None or theirs["configuration"] == description(config)["configuration"]:
        return  # a mirror of this configuration whose state was deleted, or left elsewhere when it was moved
    required = ", ".join(map(str, theirs.get("requirements", ())))
    raise OutputError(
        "looking at the output",
        str(config.output),
        f"expected a mirror made by {config.path.name}, found one that another configuration made (it requires: {required})",
        f"Give each an output of its own. If the other is gone, or was this one in another place, delete "
        f"{config.output / 'mirror.json'} and run again: the mirror is this one's then, and no file is fetched twice.",
    )


def _described(output: Path, content: bytes) -> Mapping[str, Any] | None:
    """Return what a ``mirror.json`` says of its configuration, or None; one that was altered says nothing."""
    sums = read_or_none(manifest_paths(output)[1]) or b""
    if f"{sha256_of_bytes(content)}  mirror.json".encode() not in sums.splitlines():
        return None
    try:
        about = json.loads(content)
    except ValueError:
        return None
    return about if isinstance(about, dict) and "configuration" in about else None


def _check_writable(output: Path) -> None:
    folder = next(path for path in (output, *output.parents) if path.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            "looking at the output",
            str(output),
            f"expected that files can be written there, found that {folder} does not permit it",
            "Change its permissions, or give another output in mirror.yaml.",
        )
