"""The plans of a mirror as they are kept: the last one that was made, and the one that is published; the releases of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mirror_tasks.files import (
    fields_of,
    read_or_none,
    sha256_of_bytes,
    sha256_or_none,
    state_of,
    to_json,
    write_if_changed,
    write_whole,
)
from mirror_tasks.state.places import Places

if TYPE_CHECKING:
    from mirror_tasks.resolve.plan import Plan, PlannedRelease


class Plans:
    """The plans in a state folder."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._read_last: tuple[str, Plan] | None = None

    def last(self) -> Plan | None:
        """Return the plan of the last run, or None."""
        return self._read(self._places.plan)

    def published(self) -> Plan | None:
        """Return the plan that the mirror was last made whole by, or None."""
        return self._read(self._places.published)

    def _read(self, path: Path) -> Plan | None:
        """Read a plan; the last one and the published one are mostly the same, which is parsed once."""
        content = read_or_none(path)
        if content is None:
            return None
        from mirror_tasks.resolve.plan import Plan  # only now: where there is none, nothing of it is needed

        digest = sha256_of_bytes(content)
        if self._read_last is None or self._read_last[0] != digest:
            try:
                self._read_last = (digest, Plan.from_bytes(content))
            except (ValueError, KeyError, TypeError):
                return None
        return self._read_last[1]

    def keep(self, plan: Plan) -> None:
        """Write ``plan.json``."""
        write_if_changed(self._places.plan, plan.to_bytes())

    def keep_published(self, plan: Plan) -> None:
        """Remember by which plan the mirror is made whole."""
        path = self._places.published
        if sha256_or_none(path) != plan.digest:
            write_whole(path, plan.to_bytes())

    def keep_release(self, plan: Plan, release: PlannedRelease) -> None:
        """Write the record of a release: which of its files are wanted, for which environments, required by whom."""
        write_if_changed(self._places.release_path(release.name), release_record(plan, release), durable=False)

    def state_of_release(self, name: str) -> str | None:
        """Return what the system says of the record of a release; None where there is none.

        Nobody reads these records but the user, so that none of them is read to find that it is as it was written.
        """
        try:
            return " ".join(map(str, state_of(self._places.release_place(name))))
        except OSError:
            return None


def release_record(plan: Plan, release: PlannedRelease) -> bytes:
    """Return the record of a release as it is kept on disk."""
    files = plan.by_release.get((release.project, release.version), ())
    return to_json({**fields_of(release), "files": files})
