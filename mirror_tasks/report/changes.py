"""What changed between two snapshots of a mirror: projects, releases, files, requirements, licences, advisories; no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

from mirror_tasks.files import to_json
from mirror_tasks.report.markdown import escaped, table
from mirror_tasks.report.snapshot import Finding, Line, ListedFile, Release, Snapshot
from mirror_tasks.text import counted, readable, total

FORMAT = 1

Kind = Literal["new", "gone", "changed"]


@dataclass(frozen=True, slots=True)
class Base:
    """What a mirror is compared with.

    :param kind: an earlier plan that the user names, what is inside, the report before; ``nothing``: there was none.
    :param name: which one, in words.
    :param snapshot: what is known of it; None for nothing.
    """

    kind: Literal["plan", "inside", "report", "nothing"]
    name: str
    snapshot: Snapshot | None


NOTHING = Base("nothing", "nothing, since this is the first report", None)


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What changed of a project.

    :param before: its versions, oldest first; none where it is new.
    :param after: its versions now; none where it is gone.
    :param altered: files whose name stayed, and whose content did not, as they are now.
    """

    project: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    new: tuple[ListedFile, ...]
    gone: tuple[ListedFile, ...]
    altered: tuple[ListedFile, ...]

    @property
    def kind(self) -> Kind:
        """Whether it is new, gone, or there as before with other files."""
        return "new" if not self.before else "gone" if not self.after else "changed"


@dataclass(frozen=True, slots=True)
class RootChange:
    """What changed of a root of ``mirror.yaml``: what it asks for now and did not before, and the other way round."""

    root: str
    kind: Kind
    new: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LicenceChange:
    """The licences of a project that is there before and after, where they are not the same."""

    project: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdvisoryChange:
    """An advisory that is on a project now and was not before, or the other way round."""

    project: str
    versions: tuple[str, ...]
    id: str
    severity: str
    kind: Literal["came", "went"]


@dataclass(frozen=True, slots=True)
class Changes:
    """All that changed, sorted.

    :param lines_compared: false where it is known what the user requires now, and not what before; likewise licences and
        advisories.
    """

    base: Base
    projects: tuple[ProjectChange, ...]
    roots: tuple[RootChange, ...]
    licences: tuple[LicenceChange, ...]
    advisories: tuple[AdvisoryChange, ...]
    lines_compared: bool
    licences_compared: bool
    advisories_compared: bool

    @property
    def is_first(self) -> bool:
        """There was nothing to compare with."""
        return self.base.snapshot is None

    def __bool__(self) -> bool:
        """Say if anything changed."""
        return bool(self.projects or self.roots or self.licences or self.advisories)

    def of_kind(self, kind: Kind) -> tuple[ProjectChange, ...]:
        """Return the projects that are new, gone or changed."""
        return tuple(one for one in self.projects if one.kind == kind)

    @property
    def new_files(self) -> tuple[ListedFile, ...]:
        """The files that were not there before."""
        return tuple(file for one in self.projects for file in one.new)

    @property
    def gone_files(self) -> tuple[ListedFile, ...]:
        """The files that are not there any more."""
        return tuple(file for one in self.projects for file in one.gone)

    @property
    def altered_files(self) -> tuple[ListedFile, ...]:
        """The files that have other content under the name that they had."""
        return tuple(file for one in self.projects for file in one.altered)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What is not known of before, in words."""
        known = {
            "requirements": self.lines_compared,
            "licences": self.licences_compared,
            "advisories": self.advisories_compared,
        }
        return () if self.is_first else tuple(name for name, was in known.items() if not was)

    @property
    def sentence(self) -> str:
        """What changed, in one line."""
        if self.is_first:
            return f"everything is new: {_counts(self.new_files)}"
        if not self:
            return "nothing changed"
        kinds = (f"{counted(len(found), 'project')} {kind}" for kind in KINDS if (found := self.of_kind(kind)))
        altered = [f"{counted(len(self.altered_files), 'file')} of other content"] if self.altered_files else []
        return "; ".join([*kinds, *self._files_in_words(), *altered, *self._others_in_words()])

    def _files_in_words(self) -> Iterable[str]:
        for what, files in (("new", self.new_files), ("gone", self.gone_files)):
            if files:
                yield f"{counted(len(files), 'file')} {what}, {total(file.size for file in files)}"

    def _others_in_words(self) -> Iterable[str]:
        if self.roots:
            yield f"{counted(len(self.roots), 'requirement')} changed"
        if self.licences:
            yield f"licences of {counted(len(self.licences), 'project')} changed"
        for kind in ("came", "went"):
            if found := [one for one in self.advisories if one.kind == kind]:
                yield f"{len(found)} {'advisory' if len(found) == 1 else 'advisories'} {kind}"


KINDS: tuple[Kind, ...] = ("new", "gone", "changed")
"""In the order in which they are told."""


def _counts(files: Sequence[ListedFile]) -> str:
    releases = {(file.project, file.version) for file in files}
    projects = counted(len({file.project for file in files}), "project")
    size = total(file.size for file in files)
    return f"{projects}, {counted(len(releases), 'release')}, {counted(len(files), 'file')}, {size}"


def compare(base: Base, after: Snapshot) -> Changes:
    """Return what changed since the base."""
    before = base.snapshot or _EMPTY
    names = sorted(before.files_of.keys() | after.files_of.keys())
    changes = (_project(name, before.files_of.get(name, ()), after.files_of.get(name, ())) for name in names)
    return Changes(
        base=base,
        projects=tuple(one for one in changes if one.new or one.gone or one.altered),
        roots=_roots(before.lines, after.lines),
        licences=_licences(before.licences, after.licences),
        advisories=_advisories(before.advisories, after.advisories),
        lines_compared=before.lines is not None or after.lines is None,
        licences_compared=before.licences is not None or after.licences is None,
        advisories_compared=before.advisories is not None or after.advisories is None,
    )


_EMPTY = Snapshot(plan=None, as_of="", files=(), lines=(), licences={}, advisories={})


def _project(name: str, before: Sequence[ListedFile], after: Sequence[ListedFile]) -> ProjectChange:
    was, now = {one.filename: one for one in before}, {one.filename: one for one in after}
    return ProjectChange(
        project=name,
        before=_versions(before),
        after=_versions(after),
        new=tuple(one for one in after if one.filename not in was),
        gone=tuple(one for one in before if one.filename not in now),
        altered=tuple(one for one in after if was.get(one.filename, one).sha256 != one.sha256),
    )


def _versions(files: Iterable[ListedFile]) -> tuple[str, ...]:
    return tuple(sorted({file.version for file in files}, key=_age))


def _age(version: str) -> tuple[Version, str]:
    try:
        return Version(version), version
    except InvalidVersion:
        return Version("0"), version


def _roots(before: Sequence[Line] | None, after: Sequence[Line] | None) -> tuple[RootChange, ...]:
    if before is None or after is None:
        return ()
    was, now = _by_root(before), _by_root(after)
    changes = [_root(name, was.get(name), now.get(name)) for name in sorted(was.keys() | now.keys())]
    return tuple(one for one in changes if one.kind != "changed" or one.new or one.gone)


def _by_root(lines: Iterable[Line]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        found[line.root].add(line.requirement)
    return found


def _root(name: str, before: set[str] | None, after: set[str] | None) -> RootChange:
    kind: Kind = "new" if before is None else "gone" if after is None else "changed"
    was, now = before or set(), after or set()
    return RootChange(name, kind, tuple(sorted(now - was - {""})), tuple(sorted(was - now - {""})))


def _licences(before: Mapping[Release, str] | None, after: Mapping[Release, str] | None) -> tuple[LicenceChange, ...]:
    if before is None or after is None:
        return ()
    was, now = _texts(before), _texts(after)
    common = sorted(was.keys() & now.keys())
    return tuple(LicenceChange(name, was[name], now[name]) for name in common if was[name] != now[name])


def _texts(licences: Mapping[Release, str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for (name, _), text in licences.items():
        found[name].add(text)
    return {name: tuple(sorted(texts)) for name, texts in found.items()}


def _advisories(
    before: Mapping[Release, tuple[Finding, ...]] | None, after: Mapping[Release, tuple[Finding, ...]] | None
) -> tuple[AdvisoryChange, ...]:
    if before is None or after is None:
        return ()
    was, now = _by_advisory(before), _by_advisory(after)
    came = [AdvisoryChange(name, *now[name, id_], "came") for name, id_ in now.keys() - was.keys()]
    went = [AdvisoryChange(name, *was[name, id_], "went") for name, id_ in was.keys() - now.keys()]
    return tuple(sorted([*came, *went], key=lambda one: (one.kind, one.project, one.id)))


def _by_advisory(
    advisories: Mapping[Release, tuple[Finding, ...]],
) -> Mapping[tuple[str, str], tuple[tuple[str, ...], str, str]]:
    """Return the versions, the identifier and the severity of each advisory by project and identifier."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for (name, version), findings in advisories.items():
        for one in findings:
            found[name, one.id].append((version, one.severity))
    return {
        key: (tuple(sorted((version for version, _ in on), key=_age)), key[1], on[0][1]) for key, on in found.items()
    }


def changes_json(changes: Changes) -> bytes:
    """Return all of it for programs."""
    return to_json(as_document(changes))


def as_document(changes: Changes) -> dict[str, Any]:
    """Return what ``changes.json`` has; docs/dossier.md says what its keys mean."""
    base = changes.base
    return {
        "format": FORMAT,
        "since": {
            "kind": base.kind,
            "name": base.name,
            "plan": base.snapshot.plan if base.snapshot else None,
            "as_of": (base.snapshot.as_of or None) if base.snapshot else None,
        },
        "summary": changes.sentence,
        "projects": [_project_document(one) for one in changes.projects],
        "requirements": [
            {"requirement": one.root, "change": one.kind, "new": list(one.new), "gone": list(one.gone)}
            for one in changes.roots
        ],
        "licences": [
            {"project": one.project, "before": list(one.before), "after": list(one.after)} for one in changes.licences
        ],
        "advisories": [
            {
                "project": one.project,
                "versions": list(one.versions),
                "id": one.id,
                "severity": one.severity,
                "change": one.kind,
            }
            for one in changes.advisories
        ],
        "not_compared": list(changes.not_compared),
    }


def _project_document(one: ProjectChange) -> dict[str, Any]:
    return {
        "project": one.project,
        "change": one.kind,
        "before": list(one.before),
        "after": list(one.after),
        "new_files": [_file_document(file) for file in one.new],
        "gone_files": [_file_document(file) for file in one.gone],
        "altered_files": [_file_document(file) for file in one.altered],
    }


def _file_document(file: ListedFile) -> dict[str, Any]:
    return {"filename": file.filename, "version": file.version, "size": file.size, "sha256": file.sha256}


def changes_md(changes: Changes) -> bytes:
    """Return all of it for people, as Markdown."""
    parts = [f"# Changes\n\nCompared with {escaped(changes.base.name)}: {escaped(changes.sentence)}.\n"]
    if changes.not_compared:
        parts.append(f"Not known of before, and so not compared: {', '.join(changes.not_compared)}.\n")
    if not changes.is_first:
        parts += filter(None, (part(changes) for part in (_roots_md, _projects_md, _licences_md, _advisories_md)))
    return "\n".join(parts).encode()


def _roots_md(changes: Changes) -> str:
    rows = [[one.root, one.kind, ", ".join(one.gone), ", ".join(one.new)] for one in changes.roots]
    return table("Requirements", ["requirement", "change", "no more", "now"], rows)


def _projects_md(changes: Changes) -> str:
    rows = [list(project_row(one)) for kind in KINDS for one in changes.of_kind(kind)]
    return table("Projects", PROJECT_HEADS, rows)


PROJECT_HEADS = ("project", "change", "before", "now", "files", "size")


def project_row(one: ProjectChange) -> tuple[str, str, str, str, str, str]:
    """Return a row for people, with the columns of ``PROJECT_HEADS``."""
    counts = (("+", one.new), ("-", one.gone))
    size = " ".join(f"{sign}{readable(sum(file.size or 0 for file in found))}" for sign, found in counts if found)
    return one.project, one.kind, ", ".join(one.before), ", ".join(one.after), files_in_short(one), size


def files_in_short(one: ProjectChange) -> str:
    """Return how many of its files are new, gone, and of other content: ``+2 -1 !1``."""
    counts = (("+", one.new), ("-", one.gone), ("!", one.altered))
    return " ".join(f"{sign}{len(found)}" for sign, found in counts if found)


def _licences_md(changes: Changes) -> str:
    rows = [[one.project, ", ".join(one.before), ", ".join(one.after)] for one in changes.licences]
    return table("Licences", ["project", "before", "now"], rows)


def _advisories_md(changes: Changes) -> str:
    rows = [[one.id, one.kind, one.severity, one.project, ", ".join(one.versions)] for one in changes.advisories]
    return table("Advisories", ["advisory", "change", "severity", "project", "versions"], rows)
