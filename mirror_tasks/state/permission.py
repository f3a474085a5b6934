"""The judgement of one run: the day of judging, and what the policy of a mirror permits on it."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from mirror_tasks.config.model import Config
from mirror_tasks.config.own_sources import names_of
from mirror_tasks.config.policy import Policy
from mirror_tasks.policy.permission import Advisories, Permission


def today() -> datetime.date:
    """Return the day in UTC: it is the same wherever a run is made."""
    return datetime.datetime.now(datetime.timezone.utc).date()


class Judging:
    """Judges for one mirror; the clock is read once.

    :param config: gives what the user wants by now.
    :param advisories: gives those of the policy.
    :ivar today: the day of the run.
    :ivar as_of: the day that the user wants files to be judged on; None: today.
    """

    def __init__(self, config: Callable[[], Config], advisories: Callable[[], Advisories | None]) -> None:
        self._config = config
        self._advisories = advisories
        self.today = today()
        self.as_of: datetime.date | None = None
        self._made: tuple[Config, datetime.date | None, Permission | None] | None = None

    @property
    def permission(self) -> Permission | None:
        """What is permitted; None where everything is."""
        config = self._config()
        if self._made is None or self._made[0] is not config or self._made[1] != self.as_of:
            self._made = (config, self.as_of, self._permission(config))
        return self._made[2]

    def _permission(self, config: Config) -> Permission | None:
        if config.policy is None and self.as_of is None:
            return None
        is_another_day = self.as_of is not None
        return permission_of(config, self.as_of or self.today, self._advisories(), is_another_day=is_another_day)


def permission_of(
    config: Config, day: datetime.date, advisories: Advisories | None, *, is_another_day: bool = False
) -> Permission:
    """Return what the policy of a mirror permits on a day; without one, everything that was there by then.

    :param is_another_day: see :class:`~mirror_tasks.policy.permission.Permission`.
    """
    without_times = [index.base for index in config.indexes or () if not index.upload_times]
    policy = config.policy or Policy()
    return Permission(policy, day, advisories, names_of(config.own), without_times, is_another_day=is_another_day)
