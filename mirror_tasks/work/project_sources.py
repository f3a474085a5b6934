"""The files of a project as its build backend is shown them: a copy, into which it may write what it likes.

In a repository these are the files that git knows, and new ones that it does not ignore; the history is there too, since
versions are made of it. Elsewhere they are all files but what tools leave there. What is not copied the backend does not see,
so the digest of the copy tells whether it could say anything else.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from mirror_tasks.errors import MetadataError
from mirror_tasks.files import sha256_of
from mirror_tasks.text import readable
from mirror_tasks.work.git import said_of

_MOST_FILES, _MOST_BYTES = 100_000, 1 << 30
_LEFT_BY_TOOLS = frozenset({"__pycache__", "node_modules"})
_OURS = (".doit", ".mirror")  # databases and states, which change in each run


class ProjectSources:
    """The files of one project.

    :param folder: that its ``pyproject.toml`` is in.
    :param shown: the name of that file for messages.
    :param without: folders that are none of it.
    """

    def __init__(self, folder: Path, shown: str, without: Collection[Path] = ()) -> None:
        self._folder = folder
        self._shown = shown
        self._without = without

    def digest(self) -> str:
        """Return the digest of all files, and of the Python that a backend would be run by.

        :raises MetadataError: there is more than any project has.
        :raises OSError: a file can't be read.
        """
        return _digest(self._folder, self._files())

    def copy(self, target: Path) -> tuple[Path, str]:
        """Copy the files into a folder that is to be made; return where in it the project is, and the digest of the copy.

        :raises MetadataError: there is more than any project has.
        :raises OSError: a file can't be copied.
        """
        files = self._files()
        copy = target / self._with_history(target)
        for name in files:
            path = copy / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._folder / name, path)
        return copy, _digest(copy, files)

    def _files(self) -> list[str]:
        """Return the names of the files, sorted."""
        known = self._known_to_git()
        files, size = [], 0
        for name in known if "pyproject.toml" in known else self._on_disk():
            path = self._folder / name
            if path.is_file() and not name.startswith(_OURS) and not self._is_left_out(path):
                files.append(name)
                size += path.stat().st_size
            if len(files) > _MOST_FILES or size > _MOST_BYTES:
                raise self._too_much()
        return sorted(files)

    def _is_left_out(self, path: Path) -> bool:
        return any(path.is_relative_to(one) for one in self._without)

    def _too_much(self) -> MetadataError:
        return MetadataError(
            "copying the files of",
            self._shown,
            f"expected at most {_MOST_FILES:,} files and {readable(_MOST_BYTES)} in its folder, found more",
            "Let git ignore what is not part of the project, or name a requirements file in its place.",
        )

    def _known_to_git(self) -> Collection[str]:
        said = said_of(self._folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return set((said or "").split("\0")) - {""}

    def _on_disk(self) -> Iterator[str]:
        for folder, folders, names in os.walk(self._folder):
            kept = [one for one in folders if not _is_left_by_tools(Path(folder, one))]
            folders[:] = [one for one in kept if not self._is_left_out(Path(folder, one))]
            yield from (
                Path(folder, name).relative_to(self._folder).as_posix() for name in names if not name.startswith(".")
            )

    def _with_history(self, target: Path) -> str:
        """Make the folder, with the history if there is one; return where in it the project belongs."""
        top = (said_of(self._folder, "rev-parse", "--show-toplevel") or "").rstrip("\n")
        if top and self._folder.resolve().is_relative_to(Path(top).resolve()):
            # The objects stay where they are; the copy has an index and a configuration of its own.
            cloned = said_of(
                self._folder, "clone", "--quiet", "--no-checkout", "--shared", "--template=", "--", top, str(target)
            )
            if cloned is not None:
                said_of(target, "reset", "--quiet")
                return self._folder.resolve().relative_to(Path(top).resolve()).as_posix()
            shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        return "."


def _is_left_by_tools(folder: Path) -> bool:
    name = folder.name
    is_hidden = name.startswith(".") or name in _LEFT_BY_TOOLS or name.endswith(".egg-info")
    return is_hidden or (folder / "pyvenv.cfg").exists()


def _digest(folder: Path, files: Iterable[str]) -> str:
    digest = sha256(f"Python {sys.version_info.major}.{sys.version_info.minor}".encode())
    for name in files:
        with (folder / name).open("rb") as stream:
            digest.update(os.fsencode(f"\0{name}\0") + sha256_of(stream).encode())
    return digest.hexdigest()
