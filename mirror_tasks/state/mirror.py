"""One mirror: what the user wants of it, what is known of it, and where its files stand.

What acquires and what publishes have this in common, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.model import Config, Index
from mirror_tasks.files import read_or_none
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.layout import manifest_paths, metadata_place, package_path, package_place
from mirror_tasks.state.ledger import Ledger
from mirror_tasks.state.permission import Judging
from mirror_tasks.state.places import Places, built_record_path, further_record
from mirror_tasks.state.plans import Plans

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import PlannedFile
    from mirror_tasks.resolve.selection import Rules
    from mirror_tasks.state.known_advisories import KnownAdvisories
    from mirror_tasks.state.records import Records


class Mirror:
    """A mirror and its state folder. What reads and judges is imported when it is first asked for: `doit list` asks for none.

    :param note: leaves a line for the user; called from many threads.
    :ivar config: what the user wants of it; once projects were asked what they require, with that.
    :ivar places: where it is kept what is known.
    :ivar ledger: the hashes of the files that were made or found right.
    """

    def __init__(self, config: Config, note: Callable[[str], None]) -> None:
        self.config = config
        self.output = config.output
        self.note = note
        self.places = Places(config.state)
        self.plans = Plans(self.places)
        self.ledger = Ledger(config.state / "hashes.jsonl", config.output)
        self.judging = Judging(lambda: self.config)
        self.judging.advisories = lambda: self.advisories.known

    @cached_property
    def records(self) -> Records:
        """What is kept in the state folder."""
        from mirror_tasks.state.records import Records

        return Records(self.config.state)

    @cached_property
    def advisories(self) -> KnownAdvisories:
        """The advisories that it is judged by."""
        from mirror_tasks.state.known_advisories import KnownAdvisories

        return KnownAdvisories(lambda: self.config, self.records)

    @property
    def rules(self) -> Rules:
        """The rules by which files are chosen, the policy among them."""
        from mirror_tasks.resolve.selection import Rules

        return Rules.of(self.config, self.judging.permission)

    @property
    def has_dump(self) -> bool:
        """The policy names a dump of advisories."""
        rule = self.config.policy.advisories if self.config.policy else None
        return rule is not None and rule.source is not None

    def learn(self, config: Config) -> None:
        """Take what projects require from another reading of the same file, now that their build backends were asked."""
        self.config = replace(
            self.config,
            roots=config.roots,
            indexes=config.indexes,
            dynamic=config.dynamic,
        )

    def further_indexes(self, project: str) -> tuple[Index, ...]:
        """Return the indexes that add files of a project which locks name."""
        return binding_of(project, self.config.indexes or ()).further

    def page_paths(self, project: str) -> list[Path]:
        """Where the page of a project is kept, those that further indexes have of it, and what says how it was built."""
        pages = [self.places.page_record_path(record) for record in self._page_records(project)]
        is_built = any(one.name == project and one.git for one in self.config.own)
        return [*pages, built_record_path(self.config.builds, project)] if is_built else pages

    def page_age(self, project: str) -> float:
        """Return the seconds since each page of a project was confirmed."""
        return max(map(self.places.page_age, self._page_records(project)))

    def page_seals(self, projects: Iterable[str]) -> Mapping[str, Sequence[str | None]]:
        """Return what tells the pages of projects, as they are kept now, from all others."""
        return {name: list(map(self.records.page_seal, self._page_records(name))) for name in sorted(projects)}

    def _page_records(self, project: str) -> list[str]:
        return [project, *(further_record(project, index.base) for index in self.further_indexes(project))]

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
