"""The option ``--as-of`` of `doit plan` and `doit mirror`: the day on which the policy judges files, where it is not today."""

from __future__ import annotations

import datetime
import re
from typing import Any

from doit.task import Task

from mirror_tasks.errors import ResolutionError
from mirror_tasks.state.permission import Judging
from mirror_tasks.tasks.parts import option


class AsOf:
    """Hands the day on from the tasks that have the option to what judges, before anything is judged."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging
        self._tasks: list[Task] = []

    def on(self, task: Task) -> Task:
        """Take note of a task that has the option."""
        self._tasks.append(task)
        return task

    @property
    def params(self) -> list[dict[str, Any]]:
        """The option as doit wants it described."""
        text = "judge as on this day (UTC), such as 2026-11-01: of what was uploaded later nothing is taken"
        return [option("as-of", "", text)]

    def take(self) -> None:
        """Take the day that the command line gives, if it gives one: doit has put it into the options of its task.

        :raises ResolutionError: it is none, is still to come, or two are given.
        """
        given = {str(task.options.get("as-of", "")) for task in self._tasks if task.options} - {""}
        if len(given) > 1:
            raise _refusal(" and ".join(sorted(given)), "expected one day for all, found two")
        for text in given:
            self._judging.as_of = _day(text, self._judging.today)


def _day(text: str, today: datetime.date) -> datetime.date:
    try:
        day = datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) else None
    except ValueError:
        day = None
    if day is None:
        raise _refusal(text, "expected a day such as 2026-11-01")
    if day > today:
        raise _refusal(text, f"expected a day that is not still to come; today is {today} (UTC)")
    return day


def _refusal(text: str, problem: str) -> ResolutionError:
    return ResolutionError("judging as of", text, problem, "Say --as-of with one day, or leave it out for today.")
