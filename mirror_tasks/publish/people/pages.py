"""The pages for people: what the mirror holds, and a page for each project. Plain HTML, complete without JavaScript.

What upstream wrote (names, summaries, licences, descriptions, reasons) is untrusted: it is shown as text and becomes
neither markup nor a link (:mod:`~mirror_tasks.publish.people.markup` and mypy see to it). Nothing is loaded from
another host and nothing stands inline, so that the strict Content-Security-Policy that ``server.py`` sends holds. All
links are relative and name files, so that the pages work behind any web server, below any prefix, and as ``file://``.
"""

from __future__ import annotations

import email.parser
import gzip
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.files import check_filename
from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.simple_index import file_url
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Gap, KeptFile, Plan, PlannedFile, PlannedRelease
from mirror_tasks.text import readable

LONGEST_DESCRIPTION = 60_000  # characters; a changelog of years would make a page that no phone shows
_LONGEST_LINE = 500  # characters of a summary or a licence, which are one line each in honest metadata
_LONGEST_METADATA = 4 << 20  # bytes read for a description
_MANY = 12  # rows of a table that stand open
_LETTERS_FROM = 40  # projects from which on a list of letters leads to them

_ASSETS = Path(__file__).resolve().parent
_ASSET_NAMES = ("icon.svg", "search.js", "style.css")

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_OPTIONAL = re.compile(r"\bextra\b")

_REPORT = markup(
    '<p><a href="report/index.html">The report</a> says what is signed for: licences, advisories, exceptions, changes.</p>\n'
)


def project_path(name: str) -> str:
    """Return where a project's page stands, relative to the mirror directory.

    :raises IntegrityError: the name is not safe as a path.
    """
    return f"project/{check_filename(name)}/index.html"


def assets() -> Mapping[str, bytes]:
    """Return what the pages load, by path relative to the mirror directory."""
    return {f"site/{name}": (_ASSETS / name).read_bytes() for name in _ASSET_NAMES}


def with_packed(pages: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the pages, each with the gzipped copy that web servers send; no time inside, so always the same bytes."""
    packed = (gzip.compress(content, mtime=0) for content in pages.values())
    return dict(zip(names_with_packed(pages), (*pages.values(), *packed), strict=True))


def names_with_packed(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of pages, and those of their gzipped copies."""
    names = tuple(names)
    return (*names, *(f"{name}.gz" for name in names))


def description_of(metadata: bytes) -> str | None:
    """Return the description in a METADATA or PKG-INFO, or None where there is none.

    Core metadata 2.1: the description "may be specified in the message body instead"; in the older header, each line
    but the first is indented, by eight spaces or by seven and a bar.
    """
    # The headers alone: a body that says to be of many parts would be taken apart, one within the other.
    message = email.parser.HeaderParser().parsestr(metadata[:_LONGEST_METADATA].decode("utf-8", "replace"))
    body = message.get_payload()
    header = re.sub(r"\n(?: {7}\||[ \t]{1,8})", "\n", str(message.get("Description", "")))
    text = body if isinstance(body, str) and body.strip() else header
    return None if text.strip() in ("", "UNKNOWN") else text.strip("\r\n")


class PeoplePages:
    """The pages of one plan, each made when it is asked for.

    :param metadata: gives a file's core metadata, or None where it is not known.
    :param descriptions: gives a file's description as :func:`description_of` reads it, or None.
    :param roots: the requirements of ``mirror.yaml``, as written.
    :param has_report: the report stands in the mirror, so that the front page leads to it.
    """

    def __init__(
        self,
        plan: Plan,
        metadata: Callable[[PlannedFile], CoreMetadata | None],
        descriptions: Callable[[PlannedFile], str | None],
        roots: Sequence[str],
        *,
        has_report: bool = False,
    ) -> None:
        self._plan = plan
        self._metadata = metadata
        self._descriptions = descriptions
        self._roots = roots
        self._has_report = has_report

    def front_page(self) -> bytes:
        """Return the page that says what the mirror holds and lists its projects."""
        title = "Python packages in this mirror"
        body = joined(
            [
                markup("<h1>{}</h1>\n", title),
                self._figures(),
                _REPORT if self._has_report else NOTHING,
                self._about(),
                _install(None),
                self._projects(),
                _gaps(self._plan.gaps),
            ]
        )
        return _page(title, body, up="")

    def project_page(self, name: str) -> bytes:
        """Return the page of a project.

        :raises KeyError: the mirror has no file of a project of this name.
        """
        versions = self._versions(name)
        sections = {
            "install": ("Install", _install(name)),
            "releases": ("Releases", self._files(name, versions)),
            "kept": ("Kept for locks", self._kept(name)),
            "requires": ("Requires", self._requires(name)),
            "required-by": ("Required by", self._required_by(name)),
            "description": ("Description", self._description(name)),
        }
        shown = {key: (title, content) for key, (title, content) in sections.items() if content}
        links = joined(markup('<li><a href="#{}">{}</a></li>', key, title) for key, (title, _) in shown.items())
        body = markup(
            '{}<nav class="here" aria-label="On this page"><ul>{}</ul></nav>\n{}',
            self._heading(name, versions),
            links,
            joined(content for _, content in shown.values()),
        )
        return _page(f"{name} - Python package mirror", body, up="../../")

    @cached_property
    def _releases(self) -> Mapping[str, Sequence[PlannedRelease]]:
        """The releases of each project, newest first."""
        grouped: dict[str, list[PlannedRelease]] = defaultdict(list)
        for release in self._plan.releases:
            grouped[release.project].append(release)
        return {
            name: sorted(releases, key=lambda release: Version(release.version), reverse=True)
            for name, releases in grouped.items()
        }

    def _versions(self, name: str) -> Sequence[str]:
        """Return the versions of which the mirror has files, newest first; of a project that left wholly what is kept."""
        return sorted({file.version for file in self._files_here(name)}, key=Version, reverse=True)

    def _files_here(self, name: str) -> Sequence[PlannedFile]:
        return self._plan.by_project.get(name) or self._plan.published_by_project[name]

    def _left_mark(self, name: str) -> Markup:
        """Return what marks a project of which nothing is in the plan any more."""
        return NOTHING if name in self._plan.by_project else markup('<strong class="mark">kept for locks</strong> ')

    def _described_files(self, name: str, version: str) -> Sequence[PlannedFile]:
        """Return a release's files, first those that installers take: what they say is what counts."""
        installs = {
            filename
            for release in self._releases.get(name, ())
            if release.version == version
            for filename in release.installs.values()
        }
        files = [file for file in self._files_here(name) if file.version == version]
        return sorted(files, key=lambda file: (file.filename not in installs, file.filename))

    def _newest(self, name: str) -> CoreMetadata | None:
        """Return the core metadata of a project's newest release, or None."""
        files = self._described_files(name, self._versions(name)[0])
        return next((metadata for file in files if (metadata := self._metadata(file))), None)

    # The front page

    def _figures(self) -> Markup:
        plan = self._plan
        uploads = [time for file in plan.files if (time := file.file.upload_time)]
        bytes_ = readable(plan.size) + (" and more" if any(file.size is None for file in plan.files) else "")
        figures: tuple[tuple[str, str | Markup], ...] = (
            ("Projects", f"{len(plan.by_project):,}"),
            ("Releases", f"{len(plan.by_release):,}"),
            ("Files", f"{len(plan.files):,}"),
            ("Size", bytes_),
            ("Newest upload", _day(max(uploads)) if uploads else "not known"),
            *((("Kept for locks", _count(len(plan.kept), "file")),) if plan.kept else ()),
        )
        cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", name, value) for name, value in figures)
        return markup('<dl class="figures">{}</dl>\n', cells)

    def _about(self) -> Markup:
        rows = joined(map(_environment, self._plan.environments))
        roots = joined(markup("<li><code>{}</code></li>", root) for root in self._roots)
        listed = markup('<ul class="roots">{}</ul>\n', roots)
        if len(self._roots) > _MANY:
            title = _count(len(self._roots), "requirement")
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
        newest = self._newest(name)
        return markup(
            '<tr><th scope="row">{}</th><td class="version">{}'
            '</td><td class="summary">{}</td><td class="where">{}</td></tr>\n',
            _project_link(name, "project/"),
            self._versions(name)[0],
            joined([self._left_mark(name), markup("{}", _line(newest.summary) if newest and newest.summary else "")]),
            _tags(self._environments_of(name)),
        )

    def _environments_of(self, name: str) -> Sequence[str]:
        return sorted({environment for file in self._files_here(name) for environment in file.environments})

    # A project's page

    def _heading(self, name: str, versions: Sequence[str]) -> Markup:
        newest = self._newest(name)
        facts: list[tuple[str, str | Markup]] = [("Newest release here", versions[0])]
        if newest and newest.license:
            facts.append(("Licence", _line(newest.license)))
        if newest and newest.requires_python:
            facts.append(("Requires Python", markup("<code>{}</code>", _line(newest.requires_python))))
        facts.append(("Environments", _tags(self._environments_of(name))))
        cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", key, value) for key, value in facts)
        summary = NOTHING
        if newest and newest.summary:
            summary = markup('<p class="lead">{}</p>\n', _line(newest.summary))
        return markup(
            '<h1>{}</h1>\n{}{}{}<dl class="facts">{}</dl>\n',
            name,
            markup("<p>{}</p>\n", mark) if (mark := self._left_mark(name)) else NOTHING,
            summary,
            self._status(name),
            cells,
        )

    def _status(self, name: str) -> Markup:
        """Return what the index says of the whole project (PEP 792): archived, deprecated, quarantined."""
        status, reason = (self._plan.statuses or {}).get(name, ("", ""))
        because = f": {_line(reason)}" if reason else ""
        return markup('<p><strong class="mark">{}</strong>{}</p>\n', status, because) if status else NOTHING

    def _files(self, name: str, versions: Sequence[str]) -> Markup:
        if name not in self._plan.by_project:
            return NOTHING
        bodies = joined(_release_rows(version, self._plan.by_release[(name, version)]) for version in versions)
        table = _files_table(markup("Files of {}, by release", name), bodies)
        return _section("releases", "Releases", joined([table, self._left_out(name)]))

    def _kept(self, name: str) -> Markup:
        """Return what left the plan and until when it is kept, so that locks that name it install."""
        by_version: dict[str, list[Markup]] = defaultdict(list)
        for file in self._plan.published_by_project[name]:
            if kept := self._plan.kept_by_filename.get(file.filename):
                by_version[file.version].append(_kept_cells(file, kept))
        if not by_version:
            return NOTHING
        note = (
            "These files are not in the plan any more, and stay for locks that name them. What is marked as yanked is newer "
            "than what is in the plan: installers take it only where a lock names it, or == does."
        )
        bodies = joined(
            _rows(version, by_version[version]) for version in sorted(by_version, key=Version, reverse=True)
        )
        table = _files_table(markup("Files of {} that are kept for locks, by release", name), bodies)
        return _section("kept", "Kept for locks", joined([markup('<p class="note">{}</p>\n', note), table]))

    def _left_out(self, name: str) -> Markup:
        reasons: dict[str, list[str]] = defaultdict(list)
        for release in self._releases.get(name, ()):
            for filename, reason in release.left_out.items():
                reasons[reason].append(filename)
        if not reasons:
            return NOTHING
        items = joined(
            markup("<dt>{}</dt>{}", reason, joined(markup("<dd>{}</dd>", filename) for filename in filenames))
            for reason, filenames in reasons.items()
        )
        title = f"{_count(sum(map(len, reasons.values())), 'file')} of these releases left out, and why"
        return markup('<details><summary>{}</summary><dl class="reasons">{}</dl></details>\n', title, items)

    def _requires(self, name: str) -> Markup:
        versions = self._versions(name)
        known = any(self._metadata(file) for file in self._files_here(name))
        if not known:
            return _section("requires", "Requires", markup("<p>Not known: the metadata could not be read.</p>\n"))
        parts = [
            part
            for version in versions
            for part in (
                markup("<h3>{}</h3>\n", version) if len(versions) > 1 else NOTHING,
                self._required_of(name, version),
            )
        ]
        return _section("requires", "Requires", joined(parts))

    def _required_of(self, name: str, version: str) -> Markup:
        """Return what a release requires; its wheels may differ, and then each set is shown with its files."""
        sources: dict[tuple[str, ...], list[str]] = defaultdict(list)
        building: dict[str, None] = {}
        for file in self._described_files(name, version):
            if metadata := self._metadata(file):
                sources[metadata.requires_dist].append(file.filename)
                building.update(dict.fromkeys(metadata.build_requires))
        several = len(sources) > 1
        parts = [self._source(requires, files if several else ()) for requires, files in sources.items()]
        return joined([*parts, self._details("Only to build it from source", tuple(building))])

    def _source(self, requires: Sequence[str], files: Sequence[str]) -> Markup:
        optional = [requirement for requirement in requires if _is_optional(requirement)]
        plain = [requirement for requirement in requires if not _is_optional(requirement)]
        names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        of = markup('<p class="note">{}:</p>\n', names) if files else NOTHING
        listed = markup("<p>Nothing.</p>\n")
        if plain:
            listed = markup('<ul class="requirements">{}</ul>\n', self._requirements(plain))
        return joined([of, listed, self._details("Only with extras", optional)])

    def _details(self, title: str, requirements: Sequence[str]) -> Markup:
        if not requirements:
            return NOTHING
        return markup(
            '<details><summary>{}: {}</summary><ul class="requirements">{}</ul></details>\n',
            title,
            str(len(requirements)),
            self._requirements(requirements),
        )

    def _requirements(self, requirements: Iterable[str]) -> Markup:
        return joined(markup("<li>{}</li>\n", self._requirement(requirement)) for requirement in requirements)

    def _requirement(self, requirement: str) -> Markup:
        """Return a requirement, its name a link where the mirror has the project."""
        match = _NAME.match(requirement)
        name = canonicalize_name(match[1]) if match else ""
        if match is None or name not in self._plan.published_by_project:
            return markup('<code>{}</code> <span class="note">not in this mirror</span>', requirement)
        return markup("<code>{}{}</code>", _project_link(name, "../", match[1]), requirement[match.end() :])

    def _required_by(self, name: str) -> Markup:
        grouped: dict[tuple[Asker, str, str], list[str]] = defaultdict(list)
        for release in self._releases.get(name, ()):
            for required in release.required:
                grouped[(required.by, required.requirement, release.version)].append(required.environment)
        rows = [
            markup(
                '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>\n',
                self._asker(by, requirement),
                version,
                _tags(sorted(set(where))),
            )
            for (by, requirement, version), where in sorted(grouped.items(), key=_roots_first)
        ]
        if not rows:
            return NOTHING
        table = markup(
            '<table class="askers"><caption class="unseen">What required {}</caption>\n<thead><tr>{}</tr></thead>\n'
            "<tbody>\n{}</tbody></table>\n",
            name,
            _heads("Required by", "Release taken", "Environments"),
            joined(rows),
        )
        if len(rows) > _MANY:
            title = _count(len(rows), "requirement")
            table = markup("<details><summary>{}</summary>\n{}</details>\n", title, table)
        return _section("required-by", "Required by", table)

    def _asker(self, by: Asker, requirement: str) -> Markup:
        if by.is_root:
            return markup("<code>{}</code> in mirror.yaml", by.name)
        if by.kind == "completion":
            return markup("{} <code>{}</code>", str(by), requirement)
        doing = "building" if by.kind == "build" else ""
        link = _project_link(by.name, "../", f"{by.name}-{by.version}")
        return markup("{} {} <code>{}</code>", doing, link, requirement)

    def _description(self, name: str) -> Markup:
        for version in self._versions(name):
            for file in self._described_files(name, version):
                if description := self._descriptions(file):
                    return _section("description", "Description", _described(file, description))
        return NOTHING


def _described(file: PlannedFile, description: str) -> Markup:
    text = description.replace("\r\n", "\n").expandtabs(4)
    note = f"As written in {file.filename}."
    if len(text) > LONGEST_DESCRIPTION:
        text = text[:LONGEST_DESCRIPTION].rpartition("\n")[0] or text[:LONGEST_DESCRIPTION]
        note += " It is longer than what is shown here."
    return markup('<p class="note">{}</p>\n<pre class="description" dir="auto">\n{}</pre>\n', note, text)


def _files_table(caption: Markup, bodies: Markup) -> Markup:
    heads = _heads("Release", "File", "Size", "Requires Python", "Environments", "Uploaded")
    return markup(
        '<table class="files"><caption class="unseen">{}</caption>\n<thead><tr>{}</tr></thead>\n{}</table>\n',
        caption,
        heads,
        bodies,
    )


def _release_rows(version: str, files: Sequence[PlannedFile]) -> Markup:
    return _rows(version, [_file_cells(file) for file in files])


def _kept_cells(file: PlannedFile, kept: KeptFile) -> Markup:
    """Return the cells of a file that is kept, as it is listed; its reason to be yanked may be how long it is kept."""
    return _file_cells(file, NOTHING if file.file.yanked == kept.how_long else markup(" {}", kept.how_long))


def _rows(version: str, cells: Sequence[Markup]) -> Markup:
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
        yanked = markup(' <strong class="mark">yanked</strong> {}', _line(file.yanked))
    python = markup("<code>{}</code>", _line(file.requires_python)) if file.requires_python else "any"
    cells = (
        ("Size", readable(file.size) if file.size is not None else "not known"),
        ("Requires Python", python),
        ("Environments", _tags(planned.environments)),
        ("Uploaded", _day(file.upload_time) if file.upload_time else "not known"),
    )
    # The label shows where the screen is too narrow for the head of the table.
    columns = joined(markup('<td data-label="{}">{}</td>', name, value) for name, value in cells)
    link = markup('<a href="{}" download>{}</a>', file_url(planned), file.filename)
    return markup('<th scope="row">{}{}{}</th>{}', link, note, yanked, columns)


def _environment(described: Mapping[str, Any]) -> Markup:
    markers = (described.get("markers") or [{}])[0]
    python = described.get("python") or markers.get("python_full_version", "")
    implementation = markers.get("platform_python_implementation", "Python")
    platform = f"{markers.get('platform_system', '')} {markers.get('platform_machine', '')}".strip()
    text = f"{implementation} {python}, {platform}".rstrip(", ")
    return markup("<li>{} {}</li>", _tags([str(described.get("name", ""))]), text)


def _letters(letters: Iterable[str]) -> Markup:
    items = joined(markup('<li><a href="#at-{}">{}</a></li>', letter, letter.upper()) for letter in letters)
    return markup('<nav class="letters" aria-label="Projects by first letter"><ul>{}</ul></nav>\n', items)


def _roots_first(row: tuple[tuple[Asker, str, str], object]) -> tuple[int, str, str, str]:
    """Order what asked: the requirements of ``mirror.yaml``, then those of releases, builds last."""
    by, requirement, version = row[0]
    return ({"release": 1, "build": 2}.get(by.kind, 0), str(by), requirement, version)


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
            _tags(where),
        )
        for (requirement, reason, by), where in grouped.items()
    )
    table = markup(
        '<table class="gaps"><caption class="unseen">Requirements that are not met</caption>\n'
        "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>\n",
        _heads("Requirement", "Required by", "Why not", "Environments"),
        rows,
    )
    return _section("gaps", "What could not be had", table)


# A page can't know where it is served. search.js fills in the place; these stand where there is no JavaScript.
_PLACES = {
    "index": markup('<span data-fill="index">http://HOST:PORT/simple/</span>'),
    # pip refuses plain HTTP from another host unless told to trust it.
    "trust": markup('<span data-fill="trust">--trusted-host HOST </span>'),
    "trusted": markup('<span data-fill="trust">\ntrusted-host = HOST</span>'),
}


def _ways(name: str) -> Mapping[str, Markup]:
    """Return what to type or to write to install a project from this index, by the tool that reads it."""
    return {
        "pip": markup("pip install {trust}--index-url {index} {name}", name=name, **_PLACES),
        "uv": markup("uv pip install --default-index {index} {name}", name=name, **_PLACES),
        "poetry": markup(
            "poetry source add --priority=primary mirror {index}\npoetry add {name}", name=name, **_PLACES
        ),
        "pip.conf": markup("[global]\nindex-url = {index}{trusted}", **_PLACES),
    }


def _install(name: str | None) -> Markup:
    """Return the lines that make clients use this index, to install a project or any."""
    items = joined(
        markup('<div class="way"><h3>{}</h3><pre><code>{}</code></pre></div>\n', tool, lines)
        for tool, lines in _ways(name or "NAME").items()
    )
    lines = markup(
        '<div class="ways">{}</div>\n'
        '<p class="note" data-fill="hint">HOST and PORT are those in the address of this page. '
        "Over HTTPS, write https and leave out trusted-host.</p>\n",
        items,
    )
    if name:
        return _section("install", "Install", lines)
    title = "How to use this index: lines for pip, uv, poetry and pip.conf"
    return markup("<details><summary>{}</summary>\n{}</details>\n", title, lines)


def _heads(*names: str) -> Markup:
    return joined(markup('<th scope="col">{}</th>', name) for name in names)


def _section(key: str, title: str, content: Markup) -> Markup:
    return markup(
        '<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>\n{content}</section>\n',
        key=key,
        title=title,
        content=content,
    )


def _page(title: str, body: Markup, up: str) -> bytes:
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


def _project_link(name: str, folder: str, shown: str | None = None) -> Markup:
    return markup('<a href="{}{}/index.html">{}</a>', folder, quote(name, safe=""), shown or name)


def _tags(names: Iterable[str]) -> Markup:
    return joined((markup('<span class="tag">{}</span>', name) for name in names), between=" ")


def _is_optional(requirement: str) -> bool:
    if "extra" not in requirement:
        return False
    parsed = parse_requirement(requirement)
    return bool(parsed and _OPTIONAL.search(str(parsed.marker or "")))


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _day(time: str) -> Markup | str:
    day = time[:10]
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        return markup('<time datetime="{day}">{day}</time>', day=day)
    return day


def _line(text: str) -> str:
    """Return untrusted text as a single short line, which it ought to be."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
