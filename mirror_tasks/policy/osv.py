"""One record in the OSV layout, as databases of advisories publish it: checked, and read as far as it is judged by.

Only what is said of projects of this ecosystem is kept. A record is foreign: what has the wrong shape, or is longer than
any real one, is refused with the place where it is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name, is_normalized_name

ECOSYSTEM = "PyPI"
EVENTS = ("introduced", "fixed", "last_affected", "limit")
_JUDGED = frozenset({"ECOSYSTEM", "SEMVER"})
_LONGEST_WORD = 300  # characters of an identifier, a version, a vector
_LONGEST_SUMMARY = 200
_MOST_ITEMS = 100_000  # in any list; projects with ten thousand releases exist


class RecordError(ValueError):
    """A record has not the shape that the schema says; says where and what was expected."""


@dataclass(frozen=True, slots=True)
class Affected:
    """What a record says of one project.

    :param ranges: each the events of one range, in the order of the record: (``introduced``, ``1.0``).
    :param versions: those that are named one by one.
    :param severity: as for :class:`Advisory`, where it is said for this project alone.
    """

    project: NormalizedName
    ranges: tuple[tuple[tuple[str, str], ...], ...]
    versions: tuple[str, ...]
    severity: Said


@dataclass(frozen=True, slots=True)
class Said:
    """What a record says of severity.

    :param vectors: of CVSS, of whichever version.
    :param word: the database's own word, as it writes it; empty if it has none.
    """

    vectors: tuple[str, ...] = ()
    word: str = ""


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record.

    :param withdrawn: it does not count any more.
    :param summary: a line, shortened; of a record without one the beginning of its details.
    """

    id: str
    aliases: tuple[str, ...]
    modified: str
    withdrawn: bool
    summary: str
    severity: Said
    affected: tuple[Affected, ...]


def advisory_of(record: object) -> Advisory | None:
    """Return what a record says of this ecosystem; None where it says nothing of it.

    :param record: as parsed from JSON or YAML.
    :raises RecordError: it is no record.
    """
    fields = _mapping(record, "the record")
    entries = [_mapping(one, "affected[]") for one in _list(fields, "affected", "affected")]
    affected = tuple(one for one in map(_affected, entries) if one is not None)
    identifier = _word(fields, "id", "id")
    if not identifier:
        raise RecordError("id: expected the identifier of the advisory, found none")
    if not affected:
        return None
    return Advisory(
        identifier,
        tuple(dict.fromkeys(one for one in _words(fields, "aliases", "aliases") if one != identifier)),
        _word(fields, "modified", "modified"),
        bool(_word(fields, "withdrawn", "withdrawn")),
        _summary(fields),
        _said(fields, "severity"),
        affected,
    )


def _affected(entry: Mapping[str, Any]) -> Affected | None:
    if entry.get("package") is None:
        return None  # of commits alone
    package = _mapping(entry["package"], "affected[].package")
    ecosystem = _word(package, "ecosystem", "affected[].package.ecosystem").partition(":")[0]
    if ecosystem.casefold() != ECOSYSTEM.casefold():
        return None
    name = canonicalize_name(_word(package, "name", "affected[].package.name"))
    if not is_normalized_name(name):
        raise RecordError(f"affected[].package.name: expected the name of a project, found {name[:100]!r}")
    ranges = [_mapping(one, "affected[].ranges[]") for one in _list(entry, "ranges", "affected[].ranges")]
    judged = (one for one in ranges if _word(one, "type", "affected[].ranges[].type") in _JUDGED)
    return Affected(
        name,
        tuple(map(_events, judged)),
        _words(entry, "versions", "affected[].versions"),
        _said(entry, "affected[].severity"),
    )


def _events(one: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    place = "affected[].ranges[].events"
    found = []
    for event in _list(one, "events", place):
        fields = _mapping(event, f"{place}[]")
        found += [(kind, _word(fields, kind, f"{place}[].{kind}")) for kind in EVENTS if kind in fields]
    return tuple(found)


def _said(fields: Mapping[str, Any], place: str) -> Said:
    """Read what is said of severity. The type of a vector is not looked at: it stands in the vector itself."""
    entries = [_mapping(one, f"{place}[]") for one in _list(fields, "severity", place)]
    vectors = tuple(_word(one, "score", f"{place}[].score") for one in entries)
    words = (_own_word(fields.get(key)) for key in ("database_specific", "ecosystem_specific"))
    return Said(vectors, next(filter(None, words), ""))


def _own_word(specific: object) -> str:
    """Return the word under ``severity``; what is specific to a database may be anything."""
    word = specific.get("severity") if isinstance(specific, Mapping) else None
    return word if isinstance(word, str) and len(word) <= _LONGEST_WORD else ""


def _summary(fields: Mapping[str, Any]) -> str:
    for key in ("summary", "details"):
        said = fields.get(key)
        if isinstance(said, str) and (words := said[: 10 * _LONGEST_SUMMARY].strip()):
            line = " ".join(words.splitlines()[0].split())
            return line if len(line) <= _LONGEST_SUMMARY else f"{line[: _LONGEST_SUMMARY - 1]}…"
    return ""


def _mapping(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecordError(f"{place}: expected fields, found {_kind(value)}")
    return value


def _list(fields: Mapping[str, Any], key: str, place: str) -> Sequence[Any]:
    """Return the list under a key; none where there is no such key, or nothing under it."""
    value = fields.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RecordError(f"{place}: expected a list, found {_kind(value)}")
    if len(value) > _MOST_ITEMS:
        raise RecordError(f"{place}: expected at most {_MOST_ITEMS:,} items, found {len(value):,}")
    return value


def _words(fields: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    return tuple(_checked_word(one, f"{place}[]") for one in _list(fields, key, place))


def _word(fields: Mapping[str, Any], key: str, place: str) -> str:
    """Return the text under a key; empty where there is none."""
    value = fields.get(key)
    return "" if value is None else _checked_word(value, place)


def _checked_word(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise RecordError(f"{place}: expected text, found {_kind(value)}")
    if len(value) > _LONGEST_WORD or not value.isprintable():
        raise RecordError(f"{place}: expected at most {_LONGEST_WORD} characters of a line, found {value[:60]!r}…")
    return value


def _kind(value: object) -> str:
    names = {dict: "fields", list: "a list", str: "text", bool: "a truth value", type(None): "nothing"}
    return names.get(type(value), "a number")
