"""The exceptions of a policy as a dossier shows them: what each lets in, when it ends, and which nothing needs any more."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mirror_tasks.config.policy import DAYS_OF_WARNING, Waiver
from mirror_tasks.resolve.plan import Waived


@dataclass(frozen=True, slots=True)
class UsedException:
    """An exception, and what it lets in.

    :param releases: which it lets in; none: nothing needs it any more.
    :param state: ``ends soon`` within a week of the day of judging; ``not needed``.
    """

    waiver: Waiver
    releases: tuple[str, ...]
    state: Literal["in use", "ends soon", "not needed"]

    @property
    def what(self) -> str:
        """What it waives, in words."""
        return f"{self.waiver.rule} for {self.waiver.shown}"


def used_exceptions(
    waivers: Iterable[Waiver], waived: Iterable[Waived], as_of: datetime.date | None
) -> tuple[UsedException, ...]:
    """Return the exceptions of a policy, in its order.

    :param waived: what came in by one.
    :param as_of: the day of judging; None where nothing was judged.
    """
    used: dict[str, dict[str, None]] = defaultdict(dict)
    for one in waived:
        used[one.where][f"{one.project}-{one.version}"] = None
    return tuple(UsedException(one, tuple(used[one.where]), _state(one, used, as_of)) for one in waivers)


def _state(
    waiver: Waiver, used: Mapping[str, Mapping[str, None]], as_of: datetime.date | None
) -> Literal["in use", "ends soon", "not needed"]:
    if not used[waiver.where]:
        return "not needed"
    return "ends soon" if as_of is not None and (waiver.until - as_of).days <= DAYS_OF_WARNING else "in use"
