"""One mirror: what the user wants of it, what is known of it, and where its files stand.

What acquires and what publishes have this in common, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.files import read_or_none
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.layout import manifest_paths, metadata_place, package_path, package_place
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.state.known_advisories import KnownAdvisories
from mirror_tasks.state.ledger import Ledger
from mirror_tasks.state.permission import Judging
from mirror_tasks.state.plans import Plans
from mirror_tasks.state.records import Records


class Mirror:
    """A mirror and its state folder.

    :param note: leaves a line for the user; called from many threads.
    :ivar config: what the user wants of it; once projects were asked what they require, with that.
    :ivar ledger: the hashes of the files that were made or found right.
    """

    def __init__(self, config: Config, note: Callable[[str], None]) -> None:
        self.config = config
        self.output = config.output
        self.note = note
        self.records = Records(config.state)
        self.plans = Plans(self.records)
        self.ledger = Ledger(config.state / "hashes.jsonl", config.output)
        self.advisories = KnownAdvisories(lambda: self.config, self.records)
        self.judging = Judging(lambda: self.config)
        self.judging.advisories = lambda: self.advisories.known

    @property
    def rules(self) -> Rules:
        """The rules by which files are chosen, the policy among them."""
        return Rules.of(self.config, self.judging.permission)

    def learn(self, config: Config) -> None:
        """Take what projects require from another reading of the same file, now that their build backends were asked."""
        self.config = replace(
            self.config,
            roots=config.roots,
            indexes=config.indexes,
            dynamic=config.dynamic,
        )

    def package_path(self, project: str, filename: str) -> Path:
        """Where a file stands in the mirror."""
        return package_path(self.output, project, filename)

    def package_places(self, file: PlannedFile) -> list[str]:
        """Where a planned file stands in the mirror, and a wheel's core metadata beside it, as text."""
        place = package_place(self.output, file.project, file.filename)
        return [place, metadata_place(place)] if is_wheel(file.filename) else [place]

    def package_paths(self, file: PlannedFile) -> list[Path]:
        """Return the same as paths."""
        return list(map(Path, self.package_places(file)))

    def relative(self, path: Path | str) -> str:
        """Return a path as the manifest has it: relative to the mirror, with slashes."""
        return str(path)[len(str(self.output)) + 1 :].replace(os.sep, "/")

    def place(self, relative: str) -> str:
        """Return where a file stands that the manifest has by this path, as text."""
        return f"{self.output}{os.sep}{relative.replace('/', os.sep)}"

    def published_sums(self) -> Mapping[str, str]:
        """Return the SHA-256 of each published file by its relative path, as ``SHA256SUMS`` has it; where it is not, none."""
        content = read_or_none(manifest_paths(self.output)[1]) or b""
        lines = re.findall("^([0-9a-f]{64})  (.+)$", content.decode("utf-8", "replace"), re.MULTILINE)
        return {path: sha256 for sha256, path in lines}

    def note_altered(self, paths: Iterable[Path]) -> None:
        """Tell of published files that were altered since they were made, or replaced by links; they are made anew."""
        altered = [self.relative(path) for path in paths if os.path.lexists(path) and self.ledger.is_altered(path)]
        if altered:
            self.note(f"repaired, since it was altered after it was made: {', '.join(altered)}")
