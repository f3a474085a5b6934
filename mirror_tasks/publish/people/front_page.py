"""The front page for people: what the mirror holds, and a list of its projects that can be searched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mirror_tasks.publish.people.contents import Contents
from mirror_tasks.publish.people.installing import install
from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.people.parts import (
    KEPT_ALONE,
    column_heads,
    counted,
    day_of,
    one_line,
    project_link,
    section,
    tags,
    whole_page,
)
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Gap
from mirror_tasks.text import readable

_MOST_ROOTS = 12  # requirements that stand open
_LETTERS_FROM = 40  # projects from which on a list of letters leads to them

_REPORT = markup(
    '<p><a href="report/index.html">The report</a> says what is signed for: licences, advisories, exceptions, changes.</p>\n'
)


class FrontPage:
    """The front page of one plan.

    :param roots: the requirements of ``mirror.yaml``, as written.
    :param has_report: the report stands in the mirror, so that the page leads to it.
    """

    def __init__(self, contents: Contents, roots: Sequence[str], *, has_report: bool) -> None:
        self._contents = contents
        self._plan = contents.plan
        self._roots = roots
        self._has_report = has_report

    def page(self) -> bytes:
        """Return it."""
        title = "Python packages in this mirror"
        body = joined(
            [
                markup("<h1>{}</h1>\n", title),
                self._figures(),
                _REPORT if self._has_report else NOTHING,
                self._about(),
                install(None),
                self._projects(),
                _gaps(self._plan.gaps),
            ]
        )
        return whole_page(title, body, up="")

    def _figures(self) -> Markup:
        plan = self._plan
        uploads = [time for file in plan.files if (time := file.file.upload_time)]
        bytes_ = readable(plan.size) + (" and more" if any(file.size is None for file in plan.files) else "")
        figures: tuple[tuple[str, str | Markup], ...] = (
            ("Projects", f"{len(plan.by_project):,}"),
            ("Releases", f"{len(plan.by_release):,}"),
            ("Files", f"{len(plan.files):,}"),
            ("Size", bytes_),
            ("Newest upload", day_of(max(uploads)) if uploads else "not known"),
            *((("Kept for locks", counted(len(plan.kept), "file")),) if plan.kept else ()),
        )
        cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in figures)
        return markup('<dl class="figures">{}</dl>\n', cells)

    def _about(self) -> Markup:
        rows = joined(map(_environment, self._plan.environments))
        roots = joined(markup("<li><code>{}</code></li>", root) for root in self._roots)
        listed = markup('<ul class="roots">{}</ul>\n', roots)
        if len(self._roots) > _MOST_ROOTS:
            title = counted(len(self._roots), "requirement")
            listed = markup("<details><summary>{}</summary>\n{}</details>\n", title, listed)
        return markup(
            '<div class="columns">\n<section aria-labelledby="environments"><h2 id="environments">Environments</h2>\n'
            '<ul class="environments">{}</ul></section>\n'
            '<section aria-labelledby="roots"><h2 id="roots">Mirrored for</h2>\n{}</section></div>\n',
            rows,
            listed,
        )

    def _projects(self) -> Markup:
        names = sorted(self._plan.published_by_project)
        letters: dict[str, list[str]] = defaultdict(list)
        for name in names:
            letters[name[0] if name[0].isalpha() else "0-9"].append(name)
        bodies = joined(
            markup('<tbody id="at-{}">\n{}</tbody>\n', letter, joined(map(self._project_row, starting)))
            for letter, starting in letters.items()
        )
        return markup(
            '<section aria-labelledby="projects"><h2 id="projects">Projects</h2>\n'
            '<div class="search" role="search" hidden><label for="search">Find a project by name or summary</label>\n'
            '<input id="search" type="search" autocomplete="off" autocapitalize="none" spellcheck="false">\n'
            '<p id="found" role="status"></p></div>\n{}'
            '<table class="projects"><caption class="unseen">Projects in this mirror</caption>\n<thead><tr>'
            '<th scope="col">Project</th><th scope="col">Newest</th><th scope="col">Summary</th>'
            '<th scope="col">Environments</th></tr></thead>\n{}</table></section>\n',
            _letters(letters) if len(names) >= _LETTERS_FROM else NOTHING,
            bodies,
        )

    def _project_row(self, name: str) -> Markup:
        newest = self._contents.newest(name)
        left = NOTHING if name in self._plan.by_project else KEPT_ALONE
        return markup(
            '<tr><th scope="row">{}</th><td class="version">{}'
            '</td><td class="summary">{}</td><td class="where">{}</td></tr>\n',
            project_link(name, "project/"),
            self._contents.versions(name)[0],
            markup("{}{}", left, one_line(newest.summary) if newest and newest.summary else ""),
            tags(self._contents.environments_of(name)),
        )


def _environment(described: Mapping[str, Any]) -> Markup:
    markers = (described.get("markers") or [{}])[0]
    python = described.get("python") or markers.get("python_full_version", "")
    implementation = markers.get("platform_python_implementation", "Python")
    platform = f"{markers.get('platform_system', '')} {markers.get('platform_machine', '')}".strip()
    text = f"{implementation} {python}, {platform}".rstrip(", ")
    return markup("<li>{} {}</li>", tags([str(described.get("name", ""))]), text)


def _letters(letters: Iterable[str]) -> Markup:
    items = joined(markup('<li><a href="#at-{}">{}</a></li>', letter, letter.upper()) for letter in letters)
    return markup('<nav class="letters" aria-label="Projects by first letter"><ul>{}</ul></nav>\n', items)


def _gaps(gaps: Sequence[Gap]) -> Markup:
    if not gaps:
        return NOTHING
    grouped: dict[tuple[str, str, tuple[Asker, ...]], list[str]] = defaultdict(list)
    for gap in gaps:
        grouped[(gap.requirement, gap.reason, gap.by)].append(gap.environment)
    rows = joined(
        markup(
            '<tr><th scope="row"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td></tr>\n',
            requirement,
            ", ".join(map(str, by[:5])),
            reason,
            tags(where),
        )
        for (requirement, reason, by), where in grouped.items()
    )
    table = markup(
        '<table class="gaps"><caption class="unseen">Requirements that are not met</caption>\n'
        "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>\n",
        column_heads(("Requirement", "Required by", "Why not", "Environments")),
        rows,
    )
    return section("gaps", "What could not be had", table)
