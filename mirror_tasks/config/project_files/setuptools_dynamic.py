"""``[tool.setuptools.dynamic]``: what setuptools reads from files, as it reads them; nothing is run.

``dependencies = {file = ["requirements.txt"]}``, and likewise each of ``optional-dependencies``: a requirement a line, with
comments. Options such as ``-r`` are none there (https://setuptools.pypa.io/en/latest/userguide/pyproject_config.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.project_files.lines import Lines, names
from mirror_tasks.config.project_files.model import Dependencies, Dependency
from mirror_tasks.config.requirement_files import logical_lines, read_text
from mirror_tasks.errors import Fault

_LARGEST = 1 << 20  # bytes


class DynamicFiles:
    """Reads the files that setuptools is told to read.

    :param table: ``tool.setuptools.dynamic``.
    """

    def __init__(self, lines: Lines, table: Block, faults: list[Fault]) -> None:
        self._faults = faults
        self._lines = lines
        self._table = table

    def has(self, key: str) -> bool:
        """Say if setuptools is told where to read ``dependencies`` or ``optional-dependencies``."""
        value = self._table.get(key)
        return isinstance(value, dict) and (key != "dependencies" or "file" in value)

    def dependencies(self, table: Block | None = None, key: str = "dependencies") -> Dependencies:
        """Return the requirements in the files of a key."""
        table = table or self._table
        value = table.get(key)
        file = value.get("file") if isinstance(value, dict) else None
        several = [file] if isinstance(file, str) else file
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            table.fault(key, f'expected {{file = ["requirements.txt"]}}, found {show(value)}')
            return ()
        return tuple(line for name in several for line in self._read(table, key, name))

    def by_extra(self) -> Iterator[tuple[str, Dependencies]]:
        """Yield the requirements of each extra, with its name as it is written."""
        key = "optional-dependencies"
        table = Block(self._table.get(key), self._table.path(key), self._faults)
        for name in names(table):
            yield name, self.dependencies(table, name)

    def _read(self, table: Block, key: str, name: str) -> Iterator[Dependency]:
        path = Path(os.path.normpath(self._lines.folder / name))
        if not path.is_relative_to(self._lines.folder):
            table.fault(key, f"expected a file of the project, as setuptools does, found {show(name)}")
            return
        try:
            text = read_text(path, _LARGEST)
        except ValueError as error:
            table.fault(key, str(error))
            return
        for number, line in logical_lines(text):
            requirement = self._lines.requirement(line, f"{table.path(key)}: {name}:{number}")
            if requirement is not None:
                yield self._lines.dependency(requirement, f"{table.path(key)}: {name}:{number}")
