"""HTML that is known to be HTML: a type of its own, so that mypy tells it from text, and text becomes it by being escaped.

A :class:`Markup` is no string. It is made by :func:`markup`, from a template that stands in the source, which escapes every
text that it is given; and by :func:`joined`, from other markup. So text that somebody upstream wrote can't become part of
a page without being escaped, and nothing is escaped twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

# Control characters are no HTML, lone surrogates no UTF-8, and those that turn the direction of writing let a name
# show as another one. Tab and newline stay.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of HTML. It is false if there is nothing of it."""

    html: str

    def __bool__(self) -> bool:
        return bool(self.html)

    def __format__(self, specification: str) -> str:
        """Refuse to become part of plain text, where its type would be lost.

        :raises TypeError: always.
        """
        raise TypeError("markup is put into markup by markup() and joined(), not by an f-string or str.format")


NOTHING = Markup("")


def markup(template: str, *values: str | Markup, **named: str | Markup) -> Markup:
    """Return a template with its ``{}`` and ``{name}`` filled in: markup as it is, text escaped.

    :param template: written in the source, never made of what was read; a test looks.
    """
    return Markup(template.format(*map(_filled, values), **{name: _filled(value) for name, value in named.items()}))


def joined(parts: Iterable[Markup], between: str = "") -> Markup:
    """Return pieces in a row.

    :param between: text between them.
    """
    return Markup(_escaped(between).join(part.html for part in parts))


def _filled(value: str | Markup) -> str:
    return value.html if isinstance(value, Markup) else _escaped(value)


def _escaped(text: str) -> str:
    """Return text as HTML, for elements and for attributes in double quotes."""
    return escape(_UNSHOWABLE.sub("\ufffd", text))
