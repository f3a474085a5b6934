"""What a wheel or an sdist says of its licence, in the four fields that core metadata has for it; nothing is judged here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

LONGEST_NAME = 300  # characters of License: what is longer is a text, and no name or expression
_LONGEST_EXPRESSION = 4000  # characters that are kept; longer than any that is judged
_LONGEST_LINE = 200
_MOST_CLASSIFIERS = 50
_MOST_FILES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenceFields:
    """What stands in the fields, as written; long ones are cut short.

    :param expression: License-Expression; None where there is none.
    :param name: License where it is one line, else its first line.
    :param is_text: ``name`` is only how License begins: it is a text of several lines, or a very long one.
    :param classifiers: those that begin with ``License ::``.
    :param files: each License-File, a path in the archive's folder for them.
    """

    expression: str | None = None
    name: str | None = None
    is_text: bool = False
    classifiers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said; which files there are says nothing."""
        return not (self.expression or self.name or self.classifiers)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold; :meth:`from_json` reads it back."""
        return {
            "expression": self.expression,
            "name": self.name,
            "is_text": self.is_text,
            "classifiers": self.classifiers,
            "files": self.files,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> LicenceFields:
        """Return what :meth:`to_json` was called on.

        :raises KeyError: a field is missing.
        :raises TypeError: ``content`` is no mapping, or has no lists where they are expected.
        """
        return _shared(
            cls(
                expression=content["expression"],
                name=content["name"],
                is_text=content["is_text"],
                classifiers=tuple(content["classifiers"]),
                files=tuple(content["files"]),
            )
        )


NOTHING_SAID = LicenceFields()


@lru_cache(maxsize=1024)
def _shared(fields: LicenceFields) -> LicenceFields:
    """Return the one object of its value: the files and releases of a project say the same, thousands of times."""
    return fields


def of_headers(headers: Mapping[str, Sequence[str]]) -> LicenceFields:
    """Return what METADATA or PKG-INFO says; ``headers`` are by name in lower case."""
    return _of(
        headers.get("license-expression", ()),
        headers.get("license", ()),
        headers.get("classifier", ()),
        headers.get("license-file", ()),
    )


def of_project(project: Mapping[str, Any] | None) -> LicenceFields:
    """Return what ``[project]`` says: its ``license`` is an expression (PEP 639), or a table that has a text (PEP 621)."""
    table = project or {}
    licence = table.get("license")
    text = licence.get("text") if isinstance(licence, dict) else None
    classifiers = table.get("classifiers")
    return _of(
        _strings([licence]), _strings([text]), _strings(classifiers if isinstance(classifiers, list) else []), ()
    )


def _strings(values: Iterable[object]) -> list[str]:
    return [value.strip() for value in values if isinstance(value, str)]


def _of(
    expressions: Iterable[str], names: Iterable[str], classifiers: Iterable[str], files: Iterable[str]
) -> LicenceFields:
    name, is_text = _name(_once(names))
    return _shared(
        LicenceFields(
            expression=" ".join(_once(expressions).split())[:_LONGEST_EXPRESSION] or None,
            name=name,
            is_text=is_text,
            classifiers=_lines((one for one in classifiers if one.startswith("License ::")), _MOST_CLASSIFIERS),
            files=_lines(files, _MOST_FILES),
        )
    )


def _once(values: Iterable[str]) -> str:
    """Return the value of a field that may occur once.

    Of several, no reader knows which one counts: they are kept together, and are no expression then.
    """
    return "; ".join(dict.fromkeys(filter(None, values)))


def _name(licence: str) -> tuple[str | None, bool]:
    """Return License or its first line, and if it is a text; distutils wrote UNKNOWN where nothing was given."""
    first = licence.split("\n", 1)[0].strip()
    if first in {"", "UNKNOWN"}:
        return None, False
    return first[:LONGEST_NAME], first != licence or len(first) > LONGEST_NAME


def _lines(values: Iterable[str], most: int) -> tuple[str, ...]:
    return tuple(value[:_LONGEST_LINE] for value in list(dict.fromkeys(values))[:most])
