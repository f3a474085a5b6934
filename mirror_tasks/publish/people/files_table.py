"""The table of files on the page of a project, release by release."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.people.parts import column_heads, day_of, one_line, tags
from mirror_tasks.publish.simple_index import file_url
from mirror_tasks.resolve.plan import KeptFile, PlannedFile
from mirror_tasks.text import readable


def files_table(caption: Markup, bodies: Iterable[Markup]) -> Markup:
    """Return a table of files.

    :param caption: what it is for who does not see it.
    :param bodies: the rows of each release.
    """
    return markup(
        '<table class="files"><caption class="unseen">{}</caption>\n<thead><tr>{}</tr></thead>\n{}</table>\n',
        caption,
        column_heads(("Release", "File", "Size", "Requires Python", "Environments", "Uploaded")),
        joined(bodies),
    )


def release_rows(version: str, files: Sequence[PlannedFile]) -> Markup:
    """Return the rows of the files of a release."""
    return rows_of(version, [_file_cells(file) for file in files])


def kept_cells(file: PlannedFile, kept: KeptFile) -> Markup:
    """Return the cells of a file that is kept, as it is listed; its reason to be yanked may be how long it is kept."""
    return _file_cells(file, NOTHING if file.file.yanked == kept.how_long else markup(" {}", kept.how_long))


def rows_of(version: str, cells: Sequence[Markup]) -> Markup:
    """Return the rows of a release, given the cells of each of its files."""
    first = markup('<th class="release" rowspan="{}" scope="rowgroup">{}</th>', str(len(cells)), version)
    rows = joined(markup("<tr>{}{}</tr>\n", NOTHING if index else first, row) for index, row in enumerate(cells))
    return markup("<tbody>\n{}</tbody>\n", rows)


def _file_cells(planned: PlannedFile, note: Markup = NOTHING) -> Markup:
    """Return the cells of a file.

    :param note: stands behind its name.
    """
    file = planned.file
    yanked = NOTHING
    if file.yanked is not None:
        yanked = markup(' <strong class="mark">yanked</strong> {}', one_line(file.yanked))
    python = markup("<code>{}</code>", one_line(file.requires_python)) if file.requires_python else "any"
    cells = (
        ("Size", readable(file.size) if file.size is not None else "not known"),
        ("Requires Python", python),
        ("Environments", tags(planned.environments)),
        ("Uploaded", day_of(file.upload_time) if file.upload_time else "not known"),
    )
    # The label shows where the screen is too narrow for the head of the table.
    columns = joined(markup('<td data-label="{}">{}</td>', name, value) for name, value in cells)
    link = markup('<a href="{}" download>{}</a>', file_url(planned), file.filename)
    return markup('<th scope="row">{}{}{}</th>{}', link, note, yanked, columns)
