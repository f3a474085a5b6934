"""HTML for people is known to be HTML: text is escaped wherever it is put in, and nothing else becomes markup."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.publish.people import markup as module
from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup

FOLDER = Path(module.__file__).parent


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Yield every call of a function by its name, in all that makes pages for people."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield path, node


def test_text_is_escaped_and_markup_is_not() -> None:
    link = markup('<a href="{}">{name}</a>', 'x" onclick="alert(1)', name="<script>")
    assert link.html == '<a href="x&quot; onclick=&quot;alert(1)">&lt;script&gt;</a>'
    assert markup("<p>{}</p>", link).html == f"<p>{link.html}</p>"


def test_text_with_braces_is_no_template() -> None:
    assert markup("<p>{}</p>", "{0.__class__} {name}").html == "<p>{0.__class__} {name}</p>"


def test_what_turns_the_direction_of_writing_or_is_no_character_is_shown_as_replaced() -> None:
    assert markup("{}", "\u202egnp.exe\x00\ud800\tend").html == "\ufffdgnp.exe\ufffd\ufffd\tend"


def test_pieces_are_joined_with_text_between_them() -> None:
    pieces = [markup("<b>{}</b>", letter) for letter in "ab"]
    assert joined(pieces, between=" & ").html == "<b>a</b> &amp; <b>b</b>"
    assert not joined([])
    assert not NOTHING


def test_markup_does_not_become_text_by_an_f_string() -> None:
    with pytest.raises(TypeError, match="markup"):
        f"{markup('<p>')}"


def test_every_template_stands_in_the_source() -> None:
    templates = [(path.name, call.lineno, call.args[0]) for path, call in calls("markup")]
    assert templates
    computed = [(name, line) for name, line, first in templates if not isinstance(first, ast.Constant)]
    assert not computed, "a template that is made of what was read would not be escaped"


def test_nothing_but_markup_makes_markup() -> None:
    makers = {path.name for path, _ in calls(Markup.__name__)}
    assert makers == {Path(module.__file__).name}
