"""The page of a project for people: its releases and files, what it requires, what required it, what it says of itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.publish.people.contents import Contents
from mirror_tasks.publish.people.files_table import files_table, kept_cells, release_rows, rows_of
from mirror_tasks.publish.people.installing import install
from mirror_tasks.publish.people.markup import NOTHING, Markup, joined, markup
from mirror_tasks.publish.people.parts import (
    KEPT_ALONE,
    column_heads,
    counted,
    one_line,
    project_link,
    section,
    tags,
    whole_page,
)
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import PlannedFile

LONGEST_DESCRIPTION = 60_000  # characters; a changelog of years would make a page that no phone shows
_MOST_ASKERS = 12  # rows of what required a project that stand open

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_OPTIONAL = re.compile(r"\bextra\b")


class ProjectPage:
    """The page of one project.

    :param descriptions: gives the description of a file, or None.
    :param name: of the project, normalised.
    :raises KeyError: the mirror has no file of a project of this name.
    """

    def __init__(self, contents: Contents, descriptions: Callable[[PlannedFile], str | None], name: str) -> None:
        self._contents = contents
        self._plan = contents.plan
        self._descriptions = descriptions
        self._name = name
        self._versions = contents.versions(name)

    def page(self) -> bytes:
        """Return it."""
        sections = {
            "install": ("Install", install(self._name)),
            "releases": ("Releases", self._files()),
            "kept": ("Kept for locks", self._kept()),
            "requires": ("Requires", self._requires()),
            "required-by": ("Required by", self._required_by()),
            "description": ("Description", self._description()),
        }
        shown = {key: (title, content) for key, (title, content) in sections.items() if content}
        links = joined(markup('<li><a href="#{}">{}</a></li>', key, title) for key, (title, _) in shown.items())
        body = markup(
            '{}<nav class="here" aria-label="On this page"><ul>{}</ul></nav>\n{}',
            self._heading(),
            links,
            joined(content for _, content in shown.values()),
        )
        return whole_page(f"{self._name} - Python package mirror", body, up="../../")

    @property
    def _is_planned(self) -> bool:
        """Something of the project is in the plan; else what is here of it is kept for locks."""
        return self._name in self._plan.by_project

    def _heading(self) -> Markup:
        newest = self._contents.newest(self._name)
        facts: list[tuple[str, str | Markup]] = [("Newest release here", self._versions[0])]
        if newest and newest.license:
            facts.append(("Licence", one_line(newest.license)))
        if newest and newest.requires_python:
            facts.append(("Requires Python", markup("<code>{}</code>", one_line(newest.requires_python))))
        facts.append(("Environments", tags(self._contents.environments_of(self._name))))
        cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", key, value) for key, value in facts)
        summary = NOTHING
        if newest and newest.summary:
            summary = markup('<p class="lead">{}</p>\n', one_line(newest.summary))
        return markup(
            '<h1>{}</h1>\n{}{}{}<dl class="facts">{}</dl>\n',
            self._name,
            NOTHING if self._is_planned else markup("<p>{}</p>\n", KEPT_ALONE),
            summary,
            self._status(),
            cells,
        )

    def _status(self) -> Markup:
        """Return what the index says of the whole project (PEP 792): archived, deprecated, quarantined."""
        status, reason = (self._plan.statuses or {}).get(self._name, ("", ""))
        because = f": {one_line(reason)}" if reason else ""
        return markup('<p><strong class="mark">{}</strong>{}</p>\n', status, because) if status else NOTHING

    def _files(self) -> Markup:
        if not self._is_planned:
            return NOTHING
        bodies = (release_rows(version, self._plan.by_release[(self._name, version)]) for version in self._versions)
        table = files_table(markup("Files of {}, by release", self._name), bodies)
        return section("releases", "Releases", table, self._left_out())

    def _kept(self) -> Markup:
        """Return what left the plan and until when it is kept, so that locks that name it install."""
        by_version: dict[str, list[Markup]] = defaultdict(list)
        for file in self._plan.published_by_project[self._name]:
            if kept := self._plan.kept_by_filename.get(file.filename):
                by_version[file.version].append(kept_cells(file, kept))
        if not by_version:
            return NOTHING
        note = (
            "These files are not in the plan any more, and stay for locks that name them. What is marked as yanked is newer "
            "than what is in the plan: installers take it only where a lock names it, or == does."
        )
        bodies = (rows_of(version, by_version[version]) for version in sorted(by_version, key=Version, reverse=True))
        table = files_table(markup("Files of {} that are kept for locks, by release", self._name), bodies)
        return section("kept", "Kept for locks", markup('<p class="note">{}</p>\n', note), table)

    def _left_out(self) -> Markup:
        reasons: dict[str, list[str]] = defaultdict(list)
        for release in self._contents.releases.get(self._name, ()):
            for filename, reason in release.left_out.items():
                reasons[reason].append(filename)
        if not reasons:
            return NOTHING
        items = joined(
            markup("<dt>{}</dt>{}", reason, joined(markup("<dd>{}</dd>", filename) for filename in filenames))
            for reason, filenames in reasons.items()
        )
        title = f"{counted(sum(map(len, reasons.values())), 'file')} of these releases left out, and why"
        return markup('<details><summary>{}</summary><dl class="reasons">{}</dl></details>\n', title, items)

    def _requires(self) -> Markup:
        known = any(self._contents.metadata(file) for file in self._contents.files(self._name))
        if not known:
            return section("requires", "Requires", markup("<p>Not known: the metadata could not be read.</p>\n"))
        parts = [
            part
            for version in self._versions
            for part in (
                markup("<h3>{}</h3>\n", version) if len(self._versions) > 1 else NOTHING,
                self._required_of(version),
            )
        ]
        return section("requires", "Requires", *parts)

    def _required_of(self, version: str) -> Markup:
        """Return what a release requires; its wheels may differ, and then each set is shown with its files."""
        sources: dict[tuple[str, ...], list[str]] = defaultdict(list)
        building: dict[str, None] = {}
        for file in self._contents.described_files(self._name, version):
            if metadata := self._contents.metadata(file):
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
        return markup("<code>{}{}</code>", project_link(name, "../", match[1]), requirement[match.end() :])

    def _required_by(self) -> Markup:
        grouped: dict[tuple[Asker, str, str], list[str]] = defaultdict(list)
        for release in self._contents.releases.get(self._name, ()):
            for required in release.required:
                grouped[(required.by, required.requirement, release.version)].append(required.environment)
        rows = [
            markup(
                '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>\n',
                self._asker(by, requirement),
                version,
                tags(sorted(set(where))),
            )
            for (by, requirement, version), where in sorted(grouped.items(), key=_roots_first)
        ]
        if not rows:
            return NOTHING
        table = markup(
            '<table class="askers"><caption class="unseen">What required {}</caption>\n<thead><tr>{}</tr></thead>\n'
            "<tbody>\n{}</tbody></table>\n",
            self._name,
            column_heads(("Required by", "Release taken", "Environments")),
            joined(rows),
        )
        if len(rows) > _MOST_ASKERS:
            title = counted(len(rows), "requirement")
            table = markup("<details><summary>{}</summary>\n{}</details>\n", title, table)
        return section("required-by", "Required by", table)

    def _asker(self, by: Asker, requirement: str) -> Markup:
        if by.is_root:
            return markup("<code>{}</code> in mirror.yaml", by.name)
        if by.kind == "completion":
            return markup("{} <code>{}</code>", str(by), requirement)
        doing = "building" if by.kind == "build" else ""
        link = project_link(by.name, "../", f"{by.name}-{by.version}")
        return markup("{} {} <code>{}</code>", doing, link, requirement)

    def _description(self) -> Markup:
        for version in self._versions:
            for file in self._contents.described_files(self._name, version):
                if description := self._descriptions(file):
                    return section("description", "Description", _described(file, description))
        return NOTHING


def _described(file: PlannedFile, description: str) -> Markup:
    text = description.replace("\r\n", "\n").expandtabs(4)
    note = f"As written in {file.filename}."
    if len(text) > LONGEST_DESCRIPTION:
        text = text[:LONGEST_DESCRIPTION].rpartition("\n")[0] or text[:LONGEST_DESCRIPTION]
        note += " It is longer than what is shown here."
    return markup('<p class="note">{}</p>\n<pre class="description" dir="auto">\n{}</pre>\n', note, text)


def _roots_first(row: tuple[tuple[Asker, str, str], object]) -> tuple[int, str, str, str]:
    """Order what asked: the requirements of ``mirror.yaml``, then those of releases, builds last."""
    by, requirement, version = row[0]
    return ({"release": 1, "build": 2}.get(by.kind, 0), str(by), requirement, version)


def _is_optional(requirement: str) -> bool:
    if "extra" not in requirement:
        return False
    parsed = parse_requirement(requirement)
    return bool(parsed and _OPTIONAL.search(str(parsed.marker or "")))
