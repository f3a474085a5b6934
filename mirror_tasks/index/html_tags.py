"""The start tags of an HTML page, in time that grows with its size and not faster, whatever the page is.

This is the part of the HTML standard's tokeniser (html.spec.whatwg.org, 13.2.5) that a page of links needs. The standard
library's parser goes over the rest of a page again for each tag that does not end (60 kB of ``<a`` take it 18 s), and its
releases differ in what they make of odd pages.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

MOST_PARTS = 1_000_000  # tags, comments and attributes of a page; a page of 100,000 files has some 700,000
MOST_ATTRIBUTES = 1000  # of one tag

_SPACE = r" \t\n\r\f"
_MARKUP = re.compile("<[a-zA-Z/!?]").search
_NAME = re.compile(rf"[^{_SPACE}/>]+").match
_BETWEEN = re.compile(rf"[{_SPACE}/]*").match
_ATTRIBUTE = re.compile(rf"[^{_SPACE}/>][^{_SPACE}/>=]*").match
_EQUALS = re.compile(rf"[{_SPACE}]*=[{_SPACE}]*").match
_UNQUOTED = re.compile(rf"[^{_SPACE}>]*").match
_COMMENT_END = re.compile("--!?>").search
_TOO_MANY_DIGITS = re.compile("&#(?:[0-9]{9}|[xX][0-9a-fA-F]{9})").search

# What stands in these elements is text, whatever it looks like.
_ENDS = {
    name: re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE).search
    for name in ("script", "style", "textarea", "title")
}

Attributes = Mapping[str, "str | None"]


def start_tags(text: str) -> Iterator[tuple[str, Attributes]]:
    """Yield the name of each start tag, in lower case, and its attributes; of two with one name the last counts.

    A tag that the page ends in is none.

    :raises ValueError: there are more than :data:`MOST_PARTS`, or :data:`MOST_ATTRIBUTES` of one tag.
    """
    position = count = 0
    without_end: set[str] = set()
    while found := _MARKUP(text, position):
        start = found.start() + 1
        is_end = text[start] == "/"
        attributes: Attributes = {}
        if (name := _tag_name(text, start + is_end)) is None:
            position = _after_comment(text, start)
        else:
            attributes, position = _attributes(text, start + is_end + len(name))
            if position and not is_end:
                yield name.lower(), attributes
                position = _after_text(text, name.lower(), position, without_end)
        count += 1 + len(attributes)
        if count > MOST_PARTS:
            raise ValueError(f"more than {MOST_PARTS:,} tags and attributes")
        if not position:
            return


def unescaped(value: str) -> str:
    """Return the value of an attribute with its character references replaced.

    :raises ValueError: one has more digits than any character: for some releases these take quadratic time.
    """
    if "&" not in value:
        return value
    if _TOO_MANY_DIGITS(value):
        raise ValueError("a character reference with more digits than any character")
    return html.unescape(value)


def _tag_name(text: str, start: int) -> str | None:
    first = text[start : start + 1]
    found = _NAME(text, start) if first.isascii() and first.isalpha() else None
    return found[0] if found else None


def _after_comment(text: str, start: int) -> int:
    """Return where a comment, or what the standard takes for one, is over; 0 where it never is."""
    if not text.startswith("!--", start):
        return text.find(">", start) + 1
    if text.startswith((">", "->"), start + 3):
        return text.index(">", start + 3) + 1
    found = _COMMENT_END(text, start + 3)
    return found.end() if found else 0


def _after_text(text: str, name: str, position: int, without_end: set[str]) -> int:
    """Return where the text of an element ends that has no tags in it; ``position`` where it never does, as for others."""
    if name not in _ENDS or name in without_end:
        return position
    found = _ENDS[name](text, position)
    if found:
        return found.start()
    without_end.add(name)  # so that nobody looks again
    return position


def _attributes(text: str, position: int) -> tuple[Attributes, int]:
    """Return the attributes of a tag, and where it is over; 0 where it never is.

    :raises ValueError: there are too many.
    """
    attributes: dict[str, str | None] = {}
    for _ in range(MOST_ATTRIBUTES + 1):
        between = _BETWEEN(text, position)
        start = between.end() if between else position
        name = _ATTRIBUTE(text, start)
        if name is None:  # What follows is the end of the tag or of the page.
            return attributes, start + 1 if start < len(text) else 0
        attributes[name[0].lower()], position = _value(text, name.end())
        if not position:
            return attributes, 0
    raise ValueError(f"a tag with more than {MOST_ATTRIBUTES:,} attributes")


def _value(text: str, position: int) -> tuple[str | None, int]:
    """Return the value of an attribute, and where it is over; 0 where it never is."""
    equals = _EQUALS(text, position)
    if equals is None:
        return None, position
    start = equals.end()
    quote = text[start : start + 1]
    if quote in ('"', "'"):
        end = text.find(quote, start + 1)
        return text[start + 1 : end], end + 1
    found = _UNQUOTED(text, start)
    return (found[0], found.end()) if found else ("", start)
