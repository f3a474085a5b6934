"""The pieces of which the sections of the page of a dossier are made: tables that become cards on a phone, bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.people.parts import column_heads

Cell = str | Markup


def paragraph(text: Cell, kind: str = "") -> Markup:
    """Return a paragraph.

    :param kind: its class; empty for none.
    """
    return markup('<p class="{}">{}</p>\n', kind, text) if kind else markup("<p>{}</p>\n", text)


def heading(text: str) -> Markup:
    """Return a heading within a section."""
    return markup("<h3>{}</h3>\n", text)


def table(kind: str, caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Markup:
    """Return a table; nothing where it has no rows. The first cell of a row is its head.

    :param kind: its class.
    :param caption: what it is for who does not see it.
    """
    lines = [_row(heads, cells) for cells in rows]
    if not lines:
        return NOTHING
    return markup(
        '<table class="{}"><caption class="unseen">{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>\n',
        kind,
        caption,
        column_heads(heads),
        joined(lines),
    )


def _row(heads: Sequence[str], cells: Sequence[Cell]) -> Markup:
    rest = joined(
        markup('<td data-label="{}">{}</td>', head, cell) for head, cell in zip(heads[1:], cells[1:], strict=True)
    )
    return markup('<tr><th scope="row">{}</th>{}</tr>\n', cells[0], rest)


def items(lines: Iterable[Cell]) -> Markup:
    """Return a list; nothing where there is nothing in it."""
    found = joined(markup("<li>{}</li>\n", line) for line in lines)
    return markup("<ul>\n{}</ul>\n", found) if found else NOTHING


def mark(text: str, kind: str = "") -> Markup:
    """Return words that catch the eye; of ``kind`` ``bad`` more so."""
    return markup('<strong class="mark {}">{}</strong>', kind, text)


def code(text: str) -> Markup:
    """Return what is to be read letter by letter."""
    return markup("<code>{}</code>", text)


def bar(whole: int, part: int, most: int) -> Markup:
    """Return a bar as long as ``whole`` is of ``most``, of which ``part`` is dark. What it shows stands beside it in words."""
    long, dark = (1000 * value // most if most else 0 for value in (whole, part))
    return markup(
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="all" width="{}" height="10"/><rect class="alone" width="{}" height="10"/></svg>',
        str(long),
        str(dark),
    )
