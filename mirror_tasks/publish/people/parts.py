"""The pieces of which the pages for people are made: the frame of a page, sections, links, words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from mirror_tasks.publish.people.markup import Markup, joined, markup

_LONGEST_LINE = 500  # characters of a summary or a licence, which are one line each in honest metadata

KEPT_ALONE = markup('<strong class="mark">kept for locks</strong> ')
"""What marks a project of which nothing is in the plan any more."""


def whole_page(title: str, body: Markup, up: str) -> bytes:
    """Return a whole page.

    :param up: the way from the page to the mirror directory: "", or "../../" with a slash at the end.
    """
    page = markup(
        '<!DOCTYPE html>\n<html lang="en" data-root="{root}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>{title}</title>\n"
        '<link rel="icon" href="{up}site/icon.svg" type="image/svg+xml">\n'
        '<link rel="stylesheet" href="{up}site/style.css">\n'
        '<script src="{up}site/search.js" defer></script>\n</head>\n<body>\n'
        '<a class="skip" href="#content">Skip to the content</a>\n'
        '<header><nav aria-label="Mirror"><a class="home" href="{up}index.html">Package mirror</a>\n'
        '<ul><li><a href="{up}index.html#projects">Projects</a></li>'
        '<li><a href="{up}simple/index.html">Simple index</a></li></ul></nav></header>\n'
        '<main id="content" tabindex="-1">\n{body}</main>\n'
        '<footer><p>Checksums: <a href="{up}SHA256SUMS">SHA256SUMS</a>. '
        'Contents: <a href="{up}mirror.json">mirror.json</a>.</p></footer>\n'
        "</body>\n</html>\n",
        root=up or "./",
        title=title,
        up=up,
        body=body,
    )
    return page.html.encode()


def section(key: str, title: str, *content: Markup) -> Markup:
    """Return a part of a page with a heading, to which ``#key`` leads."""
    return markup(
        '<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>\n{content}</section>\n',
        key=key,
        title=title,
        content=joined(content),
    )


def column_heads(names: Iterable[str]) -> Markup:
    """Return the heads of the columns of a table."""
    return joined(markup('<th scope="col">{}</th>', name) for name in names)


def project_link(name: str, folder: str, shown: str | None = None) -> Markup:
    """Return a link to the page of a project.

    :param folder: the way from this page to the folder of the projects' pages.
    :param shown: the text, where it is not the name.
    """
    return markup('<a href="{}{}/index.html">{}</a>', folder, quote(name, safe=""), shown or name)


def tags(names: Iterable[str]) -> Markup:
    """Return the names of environments."""
    return joined((markup('<span class="tag">{}</span>', name) for name in names), between=" ")


def counted(count: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def day_of(time: str) -> Markup | str:
    """Return the day of an ISO 8601 time; what is none as it is, cut short."""
    day = time[:10]
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        return markup('<time datetime="{day}">{day}</time>', day=day)
    return day


def one_line(text: str) -> str:
    """Return untrusted text as a single short line, which it ought to be."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
