"""Plans for tests of what is made of them, put together by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mirror_tasks.index.project import File
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Plan, PlannedFile, PlannedRelease, Required


def planned(
    project: str, version: str, filename: str = "", *, size: int | None = 1000, content: str = ""
) -> PlannedFile:
    """Return a file of a release, a wheel by default; another ``content`` gives it another hash."""
    filename = filename or f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    sha256 = hashlib.sha256(f"{filename}{content}".encode()).hexdigest()
    url = f"https://index.example.com/files/{filename}"
    file = File(filename, url, {"sha256": sha256}, size, None, None, None, "2026-01-02T03:04:05Z")
    return PlannedFile(file, project, version, ("server",))


def plan_of(*files: PlannedFile, roots: Iterable[str] = (), lines: Sequence[tuple[str, str, str]] = ()) -> Plan:
    """Return a plan of files.

    :param roots: requirements that are each a root, of the projects that they begin with.
    :param lines: root, requirement, project.
    """
    asked = [*((root, root, root.partition(">")[0].partition("=")[0]) for root in roots), *lines]
    releases = []
    for project, version in sorted({(file.project, file.version) for file in files}):
        of_it = [file for file in files if (file.project, file.version) == (project, version)]
        required = tuple(Required("server", line, Asker("root", root)) for root, line, name in asked if name == project)
        releases.append(PlannedRelease(project, version, {"server": of_it[0].filename}, required, {}))
    ordered = sorted(files, key=lambda file: (file.project, file.filename))
    return Plan(({"name": "server"},), tuple(releases), tuple(ordered), ())


def without(plan: Plan, project: str) -> Plan:
    """Return a plan without one of its projects."""
    return replace(
        plan,
        files=tuple(one for one in plan.files if one.project != project),
        releases=tuple(one for one in plan.releases if one.project != project),
    )
