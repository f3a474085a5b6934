"""The page of a dossier: one HTML file to read, print and sign. No script, nothing from elsewhere.

All that others wrote (names, licences, summaries, reasons) is text (:mod:`~mirror_tasks.publish.people.markup` sees to it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.people.parts import section
from mirror_tasks.report import page_parts as parts
from mirror_tasks.report.alarms import alarms
from mirror_tasks.report.dossier import Dossier
from mirror_tasks.report.html import Cell, items, mark
from mirror_tasks.text import counted, total

STYLE = "style.css"


def style() -> bytes:
    """Return the style sheet."""
    return Path(__file__).with_name("page.css").read_bytes()


def page(dossier: Dossier, documents: Sequence[tuple[str, str]], *, style_beside: bool) -> bytes:
    """Return the page.

    :param documents: the other files of the report, each with what it is.
    :param style_beside: the style sheet is a file beside the page: servers of a mirror forbid all that stands inline.
    """
    title = f"Dossier: {dossier.config.output.name}"
    shown = {
        "changes": ("What changed", parts.changes(dossier.changes)),
        "requirements": ("Requirements", parts.requirements(dossier)),
        "licences": ("Licences", parts.licences(dossier)),
        "advisories": ("Advisories", parts.advisories(dossier)),
        "exceptions": ("Exceptions", parts.exceptions(dossier)),
        "refused": ("Kept out by the policy", parts.refused(dossier)),
        "unchecked": ("Not checked", parts.unchecked(dossier)),
        "documents": ("Documents", parts.documents(dossier, documents)),
        "signatures": ("Signatures", parts.signatures()),
        "releases": ("All releases", parts.releases(dossier)),
    }
    content = joined(section(key, name, body) for key, (name, body) in shown.items())
    links = joined(markup('<li><a href="#{}">{}</a></li>', key, name) for key, (name, _) in shown.items())
    head = joined([_heading(title, dossier), _first(dossier), _figures(dossier)])
    nav = markup('<nav class="here" aria-label="On this page"><ul>{}</ul></nav>\n', links)
    return _whole(title, joined([head, nav, content]), style_beside=style_beside)


def _whole(title: str, body: Markup, *, style_beside: bool) -> bytes:
    styled = markup('<link rel="stylesheet" href="{}">', STYLE) if style_beside else _inline()
    whole = markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        "<title>{}</title>\n{}\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n<main id="content" tabindex="-1">\n{}</main>\n'
        "</body>\n</html>\n",
        title,
        styled,
        body,
    )
    return whole.html.encode()


def _inline() -> Markup:
    text = style().decode()
    assert "<" not in text, "a style sheet with markup in it could end itself"
    return Markup(f"<style>\n{text}</style>")


# The top


def _heading(title: str, dossier: Dossier) -> Markup:
    judged = dossier.plan.judged
    by = f"judged by the policy as of {judged.as_of}" if judged else "judged by no policy: everything may come in"
    environments = ", ".join(str(one["name"]) for one in dossier.plan.environments)
    lead = f"For {environments or 'no environment'}; {by}."
    return markup('<h1>{}</h1>\n<p class="lead">{}</p>\n', title, lead)


def _first(dossier: Dossier) -> Markup:
    """Return what is to be looked at before all else; nothing where there is nothing."""
    lines = items(_alarms(dossier))
    if not lines:
        return NOTHING
    return markup(
        '<section class="first" aria-labelledby="first"><h2 id="first">Look at this first</h2>\n{}</section>\n', lines
    )


def _alarms(dossier: Dossier) -> Iterator[Cell]:
    for one in alarms(dossier):
        yield markup("{} {}", mark("!", "bad"), one.text) if one.is_bad else one.text


def _figures(dossier: Dossier) -> Markup:
    plan, odd = dossier.plan, dossier.odd_licences
    kept = total(one.planned.size for one in plan.kept)
    figures: tuple[tuple[str, str], ...] = (
        ("Projects", f"{len(plan.by_project):,}"),
        ("Releases", f"{len(plan.by_release):,}"),
        ("Files", f"{len(plan.files):,}"),
        ("Size", total(file.size for file in plan.files)),
        *((("Kept for locks", f"{counted(len(plan.kept), 'file')}, {kept}"),) if plan.kept else ()),
        ("Licences to look at", f"{len(odd):,}"),
        (
            "Advisories",
            f"{len({hole.judgement.match.id for hole in dossier.holes}):,}"
            if dossier.advisories_from
            else "not checked",
        ),
        ("Exceptions", f"{len(dossier.exceptions):,}"),
    )
    cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in figures)
    return markup('<dl class="figures">{}</dl>\n', cells)
