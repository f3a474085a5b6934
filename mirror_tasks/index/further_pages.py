"""A project of which locks take files from more than one index: its page, and what locks name of further ones.

A mirror is one index. Whatever a further index has under the name of the project, no file gets in by that name: only one of
which a lock has the sha256 is added (dependency confusion), and none takes the place of another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from packaging.version import Version

from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.index.project import File, Project


@dataclass(frozen=True, slots=True)
class FurtherPage:
    """The page that a further index has of a project.

    :param url: where it is, or would be.
    :param project: None where the index has no such project.
    :param locked: the files that locks take from there, each with a sha256, by version.
    """

    url: str
    project: Project | None
    locked: Mapping[Version, Collection[LockedFile]]


@dataclass(frozen=True, slots=True)
class _Refused:
    """A file that locks name and that is not taken, with the reason."""

    filename: str
    reason: str


def with_locked_files(project: Project, pages: Iterable[FurtherPage]) -> Project:
    """Return a project with the files of further pages that locks name; of those that can't be taken it has the reason."""
    for page in pages:
        found = {version: list(_found(page, version, project)) for version in page.locked}
        added = {version: [one for one in files if isinstance(one, File)] for version, files in found.items()}
        refused = [one for files in found.values() for one in files if isinstance(one, _Refused)]
        reasons = [*_skipped(page), *((one.filename, one.reason) for one in refused)]
        project = project.with_further(
            {version: files for version, files in added.items() if files},
            reasons,
            [page.url],
            page.project.index if page.project else "",
        )
    return project


def _skipped(page: FurtherPage) -> Iterator[tuple[str, str]]:
    """Yield the files that locks name and of which the page itself makes no use."""
    names = {file.filename for locked in page.locked.values() for file in locked}
    yield from (one for one in (page.project.skipped if page.project else ()) if one[0] in names)


def _found(page: FurtherPage, version: Version, project: Project) -> Iterator[File | _Refused]:
    """Yield the files that locks take from a further page, apart from those that the project has itself."""
    here = {file.filename.lower(): file for file in project.files(version)}
    for file in page.project.files(version) if page.project else ():
        one, other = _as_locked(file, page, version), here.get(file.filename.lower())
        if one is None or (other and _is_same(file, other, page.locked[version])):
            continue
        yield _clash(one, other, page) if isinstance(one, File) and other else one


def _is_same(file: File, here: File, locked: Collection[LockedFile]) -> bool:
    """Say if a file that the project has is as locks name it; one without a known hash is checked when it is fetched."""
    return here.filename == file.filename and here.hashes.get("sha256") in (None, *_hashes(here, locked))


def _clash(file: File, here: File, page: FurtherPage) -> _Refused:
    if here.filename != file.filename:  # a disk may hold no more than one of them
        problem = f"on {page.url} its name differs from {here.filename} in upper and lower case only"
    else:
        problem = f"{page.url} has it with sha256 {file.hashes['sha256']}, and a mirror has one file of a name"
    return _Refused(file.filename, problem)


def _hashes(file: File, locked: Iterable[LockedFile]) -> set[str]:
    """Return the hashes by which locks name a file: those with its name, and those without a file name."""
    return {one.sha256 for one in locked if one.sha256 and one.filename in (file.filename, "")}


def _as_locked(file: File, page: FurtherPage, version: Version) -> File | _Refused | None:
    """Return a file of a further page with the hash that a lock gives, or why it is refused; None: no lock names it."""
    locked = page.locked[version]
    hashes, found = _hashes(file, locked), file.hashes.get("sha256")
    is_named = any(one.filename == file.filename for one in locked)
    if found not in hashes and not is_named:
        return None
    if page.project and page.project.status == "quarantined":
        reason = page.project.status_reason or "no reason given"
        return _Refused(file.filename, f"the project is quarantined on {page.url}: {reason}")
    if found is None and len(hashes) == 1:  # it is checked when it is fetched
        return replace(file, hashes={**file.hashes, "sha256": hashes.pop()})
    if found in hashes:
        return file
    return _Refused(file.filename, f"it has sha256 {found or '(none)'} on {page.url}")
