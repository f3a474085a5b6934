"""The advisories that a mirror is judged by: those of the dump that the policy names, or what the indexes themselves said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.config.policy import AdvisoryRule
from mirror_tasks.files import read_or_none, write_whole
from mirror_tasks.policy.advisories import Advisories
from mirror_tasks.policy.compiled import DumpAdvisories, confirmed
from mirror_tasks.policy.dumps import digest_of_zip, evidence_of
from mirror_tasks.state.records import Records
from mirror_tasks.state.release_advisories import IndexAdvisories


class KnownAdvisories:
    """The advisories of one mirror, as its policy wants them.

    :param config: gives what the user wants by now.
    """

    def __init__(self, config: Callable[[], Config], records: Records) -> None:
        self._config = config
        self._records = records
        self._opened: DumpAdvisories | None = None

    @property
    def rule(self) -> AdvisoryRule | None:
        """What the policy says of advisories."""
        policy = self._config().policy
        return policy.advisories if policy else None

    @property
    def dump(self) -> Path | None:
        """The dump that the policy names; None where it names none."""
        return self.rule.source if self.rule else None

    @property
    def known(self) -> Advisories | None:
        """What is known now; None where the policy asks for nothing, or its dump was not read yet."""
        if self.rule is None:
            return None
        return self._of_indexes if self.rule.source is None else self._of_dump()

    @cached_property
    def _of_indexes(self) -> IndexAdvisories:
        return IndexAdvisories(self._records)

    # A dump

    @property
    def compiled(self) -> Path:
        """Where it is kept what the dump says."""
        return self._records.advisories

    def is_current(self) -> bool:
        """Say if what is kept was made from the dump as it is now, by its size and time."""
        opened = self._of_dump()
        return opened is not None and self.dump is not None and opened.about.evidence == evidence_of(self.dump)

    def update(self) -> None:
        """Read the dump, unless it is what it was.

        :raises AdvisoryError: it can't be read.
        """
        assert self.dump is not None, "without a dump nobody asks for this"
        if self.is_current():
            return
        from mirror_tasks.policy.compiling import compiled  # only a new dump needs what it takes

        opened, content = self._of_dump(), read_or_none(self._records.advisories)
        if opened and content and opened.digest == digest_of_zip(self.dump):  # touched, and nothing else
            write_whole(self._records.advisories, confirmed(content, evidence_of(self.dump)), durable=False)
        else:
            write_whole(self._records.advisories, compiled(self.dump), durable=False)
        self._opened = None

    def _of_dump(self) -> DumpAdvisories | None:
        if self._opened is None and self.rule is not None:
            self._opened = DumpAdvisories.opened(self._records.advisories, self.rule.shown)
        return self._opened
