"""The day by which exceptions end and files are judged."""

from __future__ import annotations

import datetime


def today() -> datetime.date:
    """Return the day in UTC: it is the same wherever a run is made. Call it as ``clock.today()``: tests hold it there."""
    return datetime.datetime.now(datetime.timezone.utc).date()
