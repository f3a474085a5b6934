"""The pages for people: what the mirror holds, and a page for each project. Plain HTML, complete without JavaScript.

What upstream wrote (names, summaries, licences, descriptions, reasons) is untrusted: it is shown as text and becomes
neither markup nor a link. Nothing is loaded from another host and nothing stands inline, so that the strict
Content-Security-Policy that ``server.py`` sends holds. All links are relative and name files, so that the pages work
behind any web server, below any prefix, and as ``file://``.
"""

from __future__ import annotations

import email.parser
import gzip
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.files import check_filename
from mirror_tasks.publish.simple_index import file_url
from mirror_tasks.resolve.plan import Gap, Plan, PlannedFile, PlannedRelease, Required
from mirror_tasks.text import readable

LONGEST_DESCRIPTION = 60_000  # characters; a changelog of years would make a page that no phone shows
_LONGEST_LINE = 500  # characters of a summary or a licence, which are one line each in honest metadata
_LONGEST_METADATA = 4 << 20  # bytes read for a description
_MANY = 12  # rows of a table that stand open
_LETTERS_FROM = 40  # projects from which on a list of letters leads to them

_ASSETS = Path(__file__).resolve().parent
_ASSET_NAMES = ("icon.svg", "search.js", "style.css")

# Control characters are no HTML, lone surrogates no UTF-8, and those that turn the direction of writing let a name
# show as another one. Tab and newline stay.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_OPTIONAL = re.compile(r"\bextra\b")


def people_pages(
    plan: Plan,
    metadata: Callable[[PlannedFile], CoreMetadata | None],
    descriptions: Callable[[PlannedFile], str | None],
    roots: Sequence[str],
) -> Mapping[str, bytes]:
    """Return every page for people and what the pages load, by path relative to the mirror directory.

    :param metadata: gives a file's core metadata, or None where it is not known.
    :param descriptions: gives a file's description as :func:`description_of` reads it, or None.
    :param roots: the requirements of ``mirror.yaml``, as written.
    :raises IntegrityError: a project's name is not safe as a path.
    """
    pages = PeoplePages(plan, metadata, descriptions, roots)
    found = {"index.html": pages.front_page(), **assets()}
    found.update((project_path(name), pages.project_page(name)) for name in sorted(plan.by_project))
    return found


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
    packed = {f"{path}.gz": gzip.compress(content, mtime=0) for path, content in pages.items()}
    return {**pages, **packed}


def description_of(metadata: bytes) -> str | None:
    """Return the description in a METADATA or PKG-INFO, or None where there is none.

    Core metadata 2.1: the description "may be specified in the message body instead"; in the older header, each line
    but the first is indented, by eight spaces or by seven and a bar.
    """
    message = email.parser.Parser().parsestr(metadata[:_LONGEST_METADATA].decode("utf-8", "replace"))
    body = message.get_payload()
    header = re.sub(r"\n(?: {7}\||[ \t]{1,8})", "\n", str(message.get("Description", "")))
    text = body if isinstance(body, str) and body.strip() else header
    return None if text.strip() in ("", "UNKNOWN") else text.strip("\r\n")


class PeoplePages:
    """The pages of one plan, each made when it is asked for. The parameters are those of :func:`people_pages`."""

    def __init__(
        self,
        plan: Plan,
        metadata: Callable[[PlannedFile], CoreMetadata | None],
        descriptions: Callable[[PlannedFile], str | None],
        roots: Sequence[str],
    ) -> None:
        self._plan = plan
        self._metadata = metadata
        self._descriptions = descriptions
        self._roots = roots

    def front_page(self) -> bytes:
        """Return the page that says what the mirror holds and lists its projects."""
        body = (
            "<h1>Python packages in this mirror</h1>\n"
            f"{self._figures()}{self._about()}{_install(None)}{self._projects()}{_gaps(self._plan.gaps)}"
        )
        return _page("Python packages in this mirror", body, up="")

    def project_page(self, name: str) -> bytes:
        """Return the page of a project.

        :raises KeyError: the plan has no file of a project of this name.
        """
        versions = self._versions(name)
        sections = {
            "install": ("Install", _install(name)),
            "releases": ("Releases", self._files(name, versions)),
            "requires": ("Requires", self._requires(name)),
            "required-by": ("Required by", self._required_by(name)),
            "description": ("Description", self._description(name)),
        }
        shown = {key: (title, content) for key, (title, content) in sections.items() if content}
        links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in shown.items())
        body = (
            f"{self._heading(name, versions)}"
            f'<nav class="here" aria-label="On this page"><ul>{links}</ul></nav>\n'
            f"{''.join(content for _, content in shown.values())}"
        )
        return _page(f"{name} - Python package mirror", body, up="../../")

    @cached_property
    def _releases(self) -> Mapping[str, Sequence[PlannedRelease]]:
        """The releases of each project, newest first."""
        grouped: dict[str, list[PlannedRelease]] = defaultdict(list)
        for release in self._plan.releases:
            grouped[release.project].append(release)
        return {
            name: sorted(found, key=lambda one: Version(one.version), reverse=True) for name, found in grouped.items()
        }

    @cached_property
    def _project_of(self) -> Mapping[str, str]:
        """The project of each release by the release's name."""
        return {release.name: release.project for release in self._plan.releases}

    def _versions(self, name: str) -> Sequence[str]:
        """Return the versions of which the mirror has files, newest first."""
        return sorted({file.version for file in self._plan.by_project[name]}, key=Version, reverse=True)

    def _described_files(self, name: str, version: str) -> Sequence[PlannedFile]:
        """Return a release's files, first those that installers take: what they say is what counts."""
        installs = {
            filename
            for release in self._releases.get(name, ())
            if release.version == version
            for filename in release.installs.values()
        }
        return sorted(
            self._plan.by_release[(name, version)], key=lambda one: (one.filename not in installs, one.filename)
        )

    def _newest(self, name: str) -> CoreMetadata | None:
        """Return the core metadata of a project's newest release, or None."""
        files = self._described_files(name, self._versions(name)[0])
        return next((found for file in files if (found := self._metadata(file))), None)

    # The front page

    def _figures(self) -> str:
        plan = self._plan
        uploads = [time for file in plan.files if (time := file.file.upload_time)]
        bytes_ = readable(plan.size) + (" and more" if any(file.size is None for file in plan.files) else "")
        figures = (
            ("Projects", f"{len(plan.by_project):,}"),
            ("Releases", f"{len(plan.by_release):,}"),
            ("Files", f"{len(plan.files):,}"),
            ("Size", bytes_),
            ("Newest upload", _day(max(uploads)) if uploads else "not known"),
        )
        cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
        return f'<dl class="figures">{cells}</dl>\n'

    def _about(self) -> str:
        rows = "".join(_environment(one) for one in self._plan.environments)
        roots = "".join(f"<li><code>{_text(root)}</code></li>" for root in self._roots)
        listed = f'<ul class="roots">{roots}</ul>\n'
        if len(self._roots) > _MANY:
            listed = f"<details><summary>{_count(len(self._roots), 'requirement')}</summary>\n{listed}</details>\n"
        return (
            '<div class="columns">\n<section aria-labelledby="environments"><h2 id="environments">Environments</h2>\n'
            f'<ul class="environments">{rows}</ul></section>\n'
            f'<section aria-labelledby="roots"><h2 id="roots">Mirrored for</h2>\n{listed}</section></div>\n'
        )

    def _projects(self) -> str:
        names = sorted(self._plan.by_project)
        letters: dict[str, list[str]] = defaultdict(list)
        for name in names:
            letters[name[0] if name[0].isalpha() else "0-9"].append(name)
        bodies = "".join(
            f'<tbody id="at-{_text(letter)}">\n{"".join(self._project_row(name) for name in found)}</tbody>\n'
            for letter, found in letters.items()
        )
        return (
            '<section aria-labelledby="projects"><h2 id="projects">Projects</h2>\n'
            '<div class="search" role="search" hidden><label for="search">Find a project by name or summary</label>\n'
            '<input id="search" type="search" autocomplete="off" autocapitalize="none" spellcheck="false">\n'
            '<p id="found" role="status"></p></div>\n'
            f"{_letters(letters) if len(names) >= _LETTERS_FROM else ''}"
            '<table class="projects"><caption class="unseen">Projects in this mirror</caption>\n<thead><tr>'
            '<th scope="col">Project</th><th scope="col">Newest</th><th scope="col">Summary</th>'
            f'<th scope="col">Environments</th></tr></thead>\n{bodies}</table></section>\n'
        )

    def _project_row(self, name: str) -> str:
        newest = self._newest(name)
        summary = _line(newest.summary) if newest and newest.summary else ""
        return (
            f'<tr><th scope="row">{_project_link(name, "project/")}</th><td class="version">{_text(self._versions(name)[0])}'
            f'</td><td class="summary">{summary}</td><td class="where">{_tags(self._environments_of(name))}</td></tr>\n'
        )

    def _environments_of(self, name: str) -> Sequence[str]:
        return sorted({one for file in self._plan.by_project[name] for one in file.environments})

    # A project's page

    def _heading(self, name: str, versions: Sequence[str]) -> str:
        newest = self._newest(name)
        facts = [("Newest release here", _text(versions[0]))]
        if newest and newest.license:
            facts.append(("Licence", _line(newest.license)))
        if newest and newest.requires_python:
            facts.append(("Requires Python", f"<code>{_line(newest.requires_python)}</code>"))
        facts.append(("Environments", _tags(self._environments_of(name))))
        cells = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts)
        summary = f'<p class="lead">{_line(newest.summary)}</p>\n' if newest and newest.summary else ""
        return f'<h1>{_text(name)}</h1>\n{summary}{self._status(name)}<dl class="facts">{cells}</dl>\n'

    def _status(self, name: str) -> str:
        """Return what the index says of the whole project (PEP 792): archived, deprecated, quarantined."""
        status, reason = (self._plan.statuses or {}).get(name, ("", ""))
        because = f": {_line(reason)}" if reason else ""
        return f'<p><strong class="mark">{_text(status)}</strong>{because}</p>\n' if status else ""

    def _files(self, name: str, versions: Sequence[str]) -> str:
        bodies = "".join(_release_rows(version, self._plan.by_release[(name, version)]) for version in versions)
        heads = "".join(
            f'<th scope="col">{one}</th>'
            for one in ("Release", "File", "Size", "Requires Python", "Environments", "Uploaded")
        )
        return _section(
            "releases",
            "Releases",
            f'<table class="files"><caption class="unseen">Files of {_text(name)}, by release</caption>\n'
            f"<thead><tr>{heads}</tr></thead>\n{bodies}</table>\n{self._left_out(name)}",
        )

    def _left_out(self, name: str) -> str:
        reasons: dict[str, list[str]] = defaultdict(list)
        for release in self._releases.get(name, ()):
            for filename, reason in release.left_out.items():
                reasons[reason].append(f"<dd>{_text(filename)}</dd>")
        if not reasons:
            return ""
        items = "".join(f"<dt>{_text(reason)}</dt>{''.join(files)}" for reason, files in reasons.items())
        title = f"{_count(sum(map(len, reasons.values())), 'file')} of these releases left out, and why"
        return f'<details><summary>{title}</summary><dl class="reasons">{items}</dl></details>\n'

    def _requires(self, name: str) -> str:
        versions = self._versions(name)
        known = any(self._metadata(file) for file in self._plan.by_project[name])
        if not known:
            return _section("requires", "Requires", "<p>Not known: the metadata could not be read.</p>\n")
        parts = [
            (f"<h3>{_text(version)}</h3>\n" if len(versions) > 1 else "") + self._required_of(name, version)
            for version in versions
        ]
        return _section("requires", "Requires", "".join(parts))

    def _required_of(self, name: str, version: str) -> str:
        """Return what a release requires; its wheels may differ, and then each set is shown with its files."""
        sources: dict[tuple[str, ...], list[str]] = defaultdict(list)
        building: dict[str, None] = {}
        for file in self._described_files(name, version):
            if found := self._metadata(file):
                sources[found.requires_dist].append(file.filename)
                building.update(dict.fromkeys(found.build_requires))
        several = len(sources) > 1
        parts = [self._source(requires, files if several else ()) for requires, files in sources.items()]
        return "".join(parts) + self._details("Only to build it from source", tuple(building))

    def _source(self, requires: Sequence[str], files: Sequence[str]) -> str:
        optional = [one for one in requires if _is_optional(one)]
        plain = [one for one in requires if not _is_optional(one)]
        names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        of = f'<p class="note">{_text(names)}:</p>\n' if files else ""
        listed = f'<ul class="requirements">{self._requirements(plain)}</ul>\n' if plain else "<p>Nothing.</p>\n"
        return of + listed + self._details("Only with extras", optional)

    def _details(self, title: str, requirements: Sequence[str]) -> str:
        if not requirements:
            return ""
        items = self._requirements(requirements)
        return (
            f'<details><summary>{title}: {len(requirements)}</summary><ul class="requirements">{items}</ul></details>\n'
        )

    def _requirements(self, requirements: Iterable[str]) -> str:
        return "".join(f"<li>{self._requirement(one)}</li>\n" for one in requirements)

    def _requirement(self, requirement: str) -> str:
        """Return a requirement, its name a link where the mirror has the project."""
        match = _NAME.match(requirement)
        name = canonicalize_name(match[1]) if match else ""
        if match is None or name not in self._plan.by_project:
            return f'<code>{_text(requirement)}</code> <span class="note">not in this mirror</span>'
        return f"<code>{_project_link(name, '../', match[1])}{_text(requirement[match.end() :])}</code>"

    def _required_by(self, name: str) -> str:
        grouped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for release in self._releases.get(name, ()):
            for one in release.required:
                kind, asked = self._kind(one)
                grouped[(kind, asked, release.version)].append(one.environment)
        rows = [
            f'<tr><th scope="row">{self._asker(by)}</th><td>{_text(version)}</td><td>{_tags(sorted(set(where)))}</td></tr>\n'
            for (_, by, version), where in sorted(grouped.items())
        ]
        if not rows:
            return ""
        table = (
            f'<table class="askers"><caption class="unseen">What required {_text(name)}</caption>\n<thead><tr>'
            '<th scope="col">Required by</th><th scope="col">Release taken</th><th scope="col">Environments</th></tr></thead>\n'
            f"<tbody>\n{''.join(rows)}</tbody></table>\n"
        )
        many = f"<details><summary>{_count(len(rows), 'requirement')}</summary>\n{table}</details>\n"
        return _section("required-by", "Required by", many if len(rows) > _MANY else table)

    def _kind(self, one: Required) -> tuple[str, str]:
        """Return what sorts the requirements of ``mirror.yaml`` before those of releases, and builds last."""
        kind = "1" if one.by in self._project_of else "2" if one.by.startswith("building ") else "0"
        return kind, f"{one.by}\n{one.requirement}"

    def _asker(self, asked: str) -> str:
        by, _, requirement = asked.partition("\n")
        doing, _, release = by.rpartition(" ")
        project = self._project_of.get(release)
        if project is None and by.startswith("completing "):
            return f"{_text(by)} <code>{_text(requirement)}</code>"
        if project is None:
            return f"<code>{_text(by)}</code> in mirror.yaml"
        return f"{_text(doing)} {_project_link(project, '../', release)} <code>{_text(requirement)}</code>"

    def _description(self, name: str) -> str:
        for version in self._versions(name):
            for file in self._described_files(name, version):
                if found := self._descriptions(file):
                    return _section("description", "Description", _described(file, found))
        return ""


def _described(file: PlannedFile, description: str) -> str:
    text = description.replace("\r\n", "\n").expandtabs(4)
    note = f"As written in {_text(file.filename)}."
    if len(text) > LONGEST_DESCRIPTION:
        text = text[:LONGEST_DESCRIPTION].rpartition("\n")[0] or text[:LONGEST_DESCRIPTION]
        note += " It is longer than what is shown here."
    return f'<p class="note">{note}</p>\n<pre class="description" dir="auto">\n{_text(text)}</pre>\n'


def _release_rows(version: str, files: Sequence[PlannedFile]) -> str:
    first = f'<th class="release" rowspan="{len(files)}" scope="rowgroup">{_text(version)}</th>'
    rows = "".join(f"<tr>{'' if index else first}{_file_cells(file)}</tr>\n" for index, file in enumerate(files))
    return f"<tbody>\n{rows}</tbody>\n"


def _file_cells(planned: PlannedFile) -> str:
    file = planned.file
    yanked = ""
    if file.yanked is not None:
        yanked = f' <strong class="mark">yanked</strong> {_line(file.yanked)}'
    cells = (
        ("Size", _text(readable(file.size)) if file.size is not None else "not known"),
        ("Requires Python", f"<code>{_line(file.requires_python)}</code>" if file.requires_python else "any"),
        ("Environments", _tags(planned.environments)),
        ("Uploaded", _day(file.upload_time) if file.upload_time else "not known"),
    )
    # The label shows where the screen is too narrow for the head of the table.
    columns = "".join(f'<td data-label="{name}">{value}</td>' for name, value in cells)
    link = f'<a href="{escape(file_url(planned))}" download>{_text(file.filename)}</a>'
    return f'<th scope="row">{link}{yanked}</th>{columns}'


def _environment(one: Mapping[str, Any]) -> str:
    markers = (one.get("markers") or [{}])[0]
    python = one.get("python") or markers.get("python_full_version", "")
    implementation = markers.get("platform_python_implementation", "Python")
    platform = f"{markers.get('platform_system', '')} {markers.get('platform_machine', '')}".strip()
    return (
        f"<li>{_tags([str(one.get('name', ''))])} {_text(f'{implementation} {python}, {platform}'.rstrip(', '))}</li>"
    )


def _letters(letters: Iterable[str]) -> str:
    items = "".join(f'<li><a href="#at-{_text(one)}">{_text(one.upper())}</a></li>' for one in letters)
    return f'<nav class="letters" aria-label="Projects by first letter"><ul>{items}</ul></nav>\n'


def _gaps(gaps: Sequence[Gap]) -> str:
    if not gaps:
        return ""
    grouped: dict[tuple[str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for gap in gaps:
        grouped[(gap.requirement, gap.reason, gap.by)].append(gap.environment)
    rows = "".join(
        f'<tr><th scope="row"><code>{_text(requirement)}</code></th><td>{_text(", ".join(by[:5]))}</td>'
        f"<td>{_text(reason)}</td><td>{_tags(where)}</td></tr>\n"
        for (requirement, reason, by), where in grouped.items()
    )
    heads = "".join(f'<th scope="col">{one}</th>' for one in ("Requirement", "Required by", "Why not", "Environments"))
    table = (
        '<table class="gaps"><caption class="unseen">Requirements that are not met</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n"
    )
    return _section("gaps", "What could not be had", table)


_WAYS = (
    ("pip", "pip install {trust}--index-url {index} {name}"),
    ("uv", "uv pip install --default-index {index} {name}"),
    ("poetry", "poetry source add --priority=primary mirror {index}\npoetry add {name}"),
    ("pip.conf", "[global]\nindex-url = {index}{trusted}"),
)
# A page can't know where it is served. search.js fills in the place; these stand where there is no JavaScript.
_PLACES = {
    "index": '<span data-fill="index">http://HOST:PORT/simple/</span>',
    # pip refuses plain HTTP from another host unless told to trust it.
    "trust": '<span data-fill="trust">--trusted-host HOST </span>',
    "trusted": '<span data-fill="trust">\ntrusted-host = HOST</span>',
}


def _install(name: str | None) -> str:
    """Return the lines that make clients use this index, to install a project or any."""
    shown = _text(name or "NAME")
    items = "".join(
        f'<div class="way"><h3>{way}</h3><pre><code>{line.format(name=shown, **_PLACES)}</code></pre></div>\n'
        for way, line in _WAYS
    )
    note = (
        '<p class="note" data-fill="hint">HOST and PORT are those in the address of this page. '
        "Over HTTPS, write https and leave out trusted-host.</p>\n"
    )
    lines = f'<div class="ways">{items}</div>\n{note}'
    if name:
        return _section("install", "Install", lines)
    title = "How to use this index: lines for pip, uv, poetry and pip.conf"
    return f"<details><summary>{title}</summary>\n{lines}</details>\n"


def _section(key: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>\n{content}</section>\n'


def _page(title: str, body: str, up: str) -> bytes:
    """Return a whole page.

    :param up: the way from the page to the mirror directory: "", or "../../" with a slash at the end.
    """
    return (
        f'<!DOCTYPE html>\n<html lang="en" data-root="{up or "./"}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n"
        f'<link rel="icon" href="{up}site/icon.svg" type="image/svg+xml">\n'
        f'<link rel="stylesheet" href="{up}site/style.css">\n'
        f'<script src="{up}site/search.js" defer></script>\n</head>\n<body>\n'
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<header><nav aria-label="Mirror"><a class="home" href="{up}index.html">Package mirror</a>\n'
        f'<ul><li><a href="{up}index.html#projects">Projects</a></li>'
        f'<li><a href="{up}simple/index.html">Simple index</a></li></ul></nav></header>\n'
        f'<main id="content" tabindex="-1">\n{body}</main>\n'
        f'<footer><p>Checksums: <a href="{up}SHA256SUMS">SHA256SUMS</a>. '
        f'Contents: <a href="{up}mirror.json">mirror.json</a>.</p></footer>\n'
        "</body>\n</html>\n"
    ).encode()


def _project_link(name: str, folder: str, shown: str | None = None) -> str:
    return f'<a href="{folder}{quote(name, safe="")}/index.html">{_text(shown or name)}</a>'


def _tags(names: Iterable[str]) -> str:
    return " ".join(f'<span class="tag">{_text(name)}</span>' for name in names)


def _is_optional(requirement: str) -> bool:
    if "extra" not in requirement:
        return False
    parsed = parse_requirement(requirement)
    return bool(parsed and _OPTIONAL.search(str(parsed.marker or "")))


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _day(time: str) -> str:
    day = _text(time[:10])
    return f'<time datetime="{day}">{day}</time>' if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day) else day


def _line(text: str) -> str:
    """Return untrusted text that ought to be one short line."""
    line = " ".join(text.split())
    return _text(line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…")


def _text(text: str) -> str:
    """Return untrusted text as HTML, for elements and for attributes in double quotes."""
    return escape(_UNSHOWABLE.sub("\ufffd", text))
