"""Days as YAML gives them: as days where they stand without quotes, as text where they stand in them."""

from __future__ import annotations

import datetime
import re

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_date(value: object) -> datetime.date | None:
    """Return the day that a value says; None where it is no day, or has a time of day as well."""
    if type(value) is datetime.date:
        return value
    if isinstance(value, str) and _DAY.fullmatch(value.strip()):
        try:
            return datetime.date.fromisoformat(value.strip())
        except ValueError:
            return None
    return None
