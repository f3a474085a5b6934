"""The judgement of one run: the day of judging, and what the policy of a mirror permits on it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import TYPE_CHECKING

from mirror_tasks.config import clock
from mirror_tasks.config.model import Config
from mirror_tasks.config.own_sources import names_of
from mirror_tasks.errors import ResolutionError

if TYPE_CHECKING:
    from mirror_tasks.policy.advisories import Advisories
    from mirror_tasks.policy.permission import Permission
    from mirror_tasks.resolve.plan import Judged


class Judging:
    """Judges for one mirror; the clock is read once.

    :param config: gives what the user wants by now.
    :ivar advisories: gives those of the policy, once they are known.
    :ivar today: the day of the run.
    :ivar as_of: the day that the user wants files to be judged on; None: today.
    """

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self.advisories: Callable[[], Advisories | None] = lambda: None
        self.today = clock.today()
        self.as_of: datetime.date | None = None
        self._made: tuple[tuple[object, ...], Permission] | None = None

    @property
    def permission(self) -> Permission | None:
        """What is permitted; None where everything is.

        :raises ResolutionError: the policy judges by advisories, and they were not read.
        """
        return self._permission(self.as_of)

    @property
    def judged(self) -> Judged | None:
        """By what files are judged in this run; None where everything is permitted."""
        permission = self.permission
        if permission is None:
            return None
        from mirror_tasks.config.policy import policy_digest
        from mirror_tasks.resolve.plan import Judged

        known = permission.advisories
        about = known and {
            "from": known.shown,
            "sha256": known.digest,
            "newest": known.newest,
            "records": known.records,
        }
        return Judged(permission.as_of.isoformat(), policy_digest(permission.policy), about or None)

    def as_judged(self, judged: Judged | None) -> Permission | None:
        """Return what was permitted on the day of an earlier plan, so that what is told of that plan is judged as it was then.

        :raises ResolutionError: the policy judges by advisories, and they were not read.
        """
        day = datetime.date.fromisoformat(judged.as_of) if judged else None
        return self._permission(None if day == self.today else day)

    def _permission(self, as_of: datetime.date | None) -> Permission | None:
        config, advisories = self._config(), self.advisories()
        if config.policy is None and as_of is None:
            return None
        if config.policy and (rule := config.policy.advisories) and advisories is None:
            problem = "expected the advisories that the policy names, found that they were not read yet"
            advice = "Run `doit advisories`, or `doit plan`, which begins with that."
            raise ResolutionError("judging by", rule.shown, problem, advice)
        made_from = (id(config), id(advisories), as_of)
        if self._made is None or self._made[0] != made_from:
            is_another_day = as_of is not None
            made = permission_of(config, as_of or self.today, advisories, is_another_day=is_another_day)
            self._made = (made_from, made)
        return self._made[1]


def permission_of(
    config: Config, day: datetime.date, advisories: Advisories | None, *, is_another_day: bool = False
) -> Permission:
    """Return what the policy of a mirror permits on a day; without one, everything that was there by then.

    :param is_another_day: see :class:`~mirror_tasks.policy.permission.Permission`.
    """
    # Only now: most mirrors permit everything.
    from mirror_tasks.config.policy import Policy
    from mirror_tasks.policy.permission import Permission

    without_times = [index.base for index in config.indexes or () if not index.upload_times]
    policy = config.policy or Policy()
    return Permission(policy, day, advisories, names_of(config.own), without_times, is_another_day=is_another_day)
