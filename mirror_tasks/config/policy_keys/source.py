"""Where a policy stands: in ``mirror.yaml``, or in a file that several of them share."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.config.blocks import Block
from mirror_tasks.config.policy import RULES, Policy, RuleName, has_rule
from mirror_tasks.errors import Fault


@dataclass(frozen=True, slots=True)
class Shared:
    """The policy of a shared file, to which ``mirror.yaml`` may add what is stricter.

    :param name: the file, as the user wrote it.
    :param waivable: the rules that it leaves to ``mirror.yaml`` to make exceptions of.
    """

    policy: Policy
    name: str
    waivable: frozenset[str] = frozenset()

    @property
    def kept(self) -> frozenset[RuleName]:
        """The rules of which it alone has exceptions."""
        return frozenset(rule for rule in RULES if has_rule(self.policy, rule) and rule not in self.waivable)

    def looser(self, key: str, own: str, shared: str) -> str:
        """Return the problem of a key that lets in what the shared file keeps out."""
        return f"{own} is looser than {shared}, which {self.name} says under {key}; keys here can only be stricter"


@dataclass(frozen=True, slots=True)
class Source:
    """What is read.

    :param block: the mapping that has the keys of the policy.
    :param faults: what is wrong is added to them.
    :param line_faults: what is wrong with lines of files of constraints, which have places of their own, is added to these.
    :param folder: what paths in it are relative to.
    :param file: the file that it stands in, for messages: a name, or how ``mirror.yaml`` writes its path.
    :param today: the day (UTC) by which exceptions end.
    :param shared: what its keys may not be looser than.
    """

    block: Block
    faults: list[Fault]
    line_faults: list[Fault]
    folder: Path
    file: str
    today: datetime.date
    shared: Shared | None = None

    def below(self, key: str) -> Block | None:
        """Return the block behind a key; None where there is none, and where it is none, with a fault."""
        block = Block(self.block.get(key), self.block.path(key), self.faults) if self.block.has(key) else None
        return block if isinstance(self.block.get(key), dict) else None

    def where(self, key: str) -> str:
        """Return the place of a key, file and all."""
        return f"{self.file}: {self.block.path(key)}"

    def looser(self, block: Block, key: str, own: str, shared: str) -> None:
        """Add the fault of a key that is looser than the shared file."""
        if self.shared:
            path = block.path(key)
            block.fault(key, self.shared.looser(path.removeprefix("policy."), own, shared))
