"""What an index's own JSON API says against a release: its field ``vulnerabilities``.

It says neither how severe a hole is nor that something is malware by more than an identifier.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.errors import AdvisoryError
from mirror_tasks.policy.advisories import Match
from mirror_tasks.policy.folding import fold
from mirror_tasks.policy.osv import RecordError, advisory_of
from mirror_tasks.text import printable

_BASE = "/simple/"


def address(base: str, name: str, version: Version | None) -> str:
    """Return where an index says what it knows of a release, or of a project.

    :param base: the index's base URL, ending in a slash.
    :raises AdvisoryError: no index with such a URL has such an API.
    """
    if not base.endswith(_BASE) or base.startswith("file:"):
        problem = "expected an index with a JSON API beside its simple pages, whose URL ends in /simple/, found another"
        raise no_api(base, problem)
    release = "" if version is None else f"{version}/"
    return f"{base.removesuffix(_BASE)}/pypi/{name}/{release}json"


def no_api(base: str, problem: str) -> AdvisoryError:
    """Return the error of an index that can't be asked."""
    advice = (
        "Bring a dump in the OSV layout, and name it under policy.advisories.from: this index says nothing of the kind."
    )
    return AdvisoryError("asking for advisories at", base, problem, advice)


def matches_in(body: bytes, url: str, name: NormalizedName, version: Version) -> tuple[Match, ...] | None:
    """Return what an answer says against the release that was asked for.

    None where it has no field for that: an index that keeps no advisories has looked at nothing.

    :raises AdvisoryError: it is no such answer.
    """
    try:
        answer = json.loads(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("info"), dict):
            raise RecordError("expected what the JSON API says of a release, found something else")
        listed = answer.get("vulnerabilities")
        if listed is None:
            return None
        if not isinstance(listed, list):
            raise RecordError("vulnerabilities: expected a list, found something else")
        found = [advisory_of(_as_record(one, name, version)) for one in listed]
    except (ValueError, RecursionError) as error:
        said = printable(" ".join(str(error).split()))[:300]
        raise no_api(url, said) from error
    holes = fold([one for one in found if one is not None]).get(name, ())
    return tuple(match for hole in holes if (match := hole.match(version)))


def _as_record(entry: object, name: str, version: Version) -> Mapping[str, Any]:
    """Return an entry in the layout of OSV: about this release, and fixed in those which it names."""
    if not isinstance(entry, dict):
        raise RecordError("vulnerabilities[]: expected fields, found something else")
    fixed = entry.get("fixed_in")
    if fixed is not None and not isinstance(fixed, list):
        raise RecordError("vulnerabilities[].fixed_in: expected a list, found something else")
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "versions": [str(version)],
        "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": one} for one in fixed or ()]}],
    }
    return {**entry, "affected": [affected]}


def to_json(matches: Sequence[Match]) -> list[dict[str, Any]]:
    """Return matches as they are kept."""
    return [{field: getattr(one, field) for field in Match.__dataclass_fields__} for one in matches]


def from_json(found: Sequence[Mapping[str, Any]]) -> tuple[Match, ...]:
    """Return what :func:`to_json` was given."""
    return tuple(Match(**{**one, "aliases": tuple(one["aliases"]), "fixed": tuple(one["fixed"])}) for one in found)
