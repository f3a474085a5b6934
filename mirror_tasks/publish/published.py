"""The files that are published, which the manifest names: where they stand, and what they were made as."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.layout import metadata_place, package_place, withdraw
from mirror_tasks.publish.locks import inside_locks
from mirror_tasks.publish.people.pages import assets, names_with_packed, project_path
from mirror_tasks.publish.server import program_targets
from mirror_tasks.publish.simple_index import FORMS
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror


def root_targets(output: Path) -> list[Path]:
    """Return where the pages stand that list the projects, for clients and for people, and what these load."""
    names = names_with_packed(("index.html", *assets()))
    return [*(output / "simple" / form for form in FORMS), *(output / name for name in names)]


def project_targets(output: Path, name: str) -> list[Path]:
    """Return where the pages of a project stand, for clients and for people."""
    return list(map(Path, project_places(output, name)))


def project_places(output: Path, name: str) -> list[str]:
    """Return the same as text: paths of thousands of pages take longer to be made than to be looked for."""
    for_people = names_with_packed([project_path(name)])
    relative = (*(f"simple/{name}/{form}" for form in FORMS), *for_people)
    return [f"{output}{os.sep}{place.replace('/', os.sep)}" for place in relative]


def published_places(config: Config, plan: Plan) -> Iterator[str]:
    """Give where every file stands that is published by a plan, as text, but for the manifest itself."""
    output = config.output
    yield from map(str, (*program_targets(output), *root_targets(output)))
    yield from (str(output / lock.path) for lock in inside_locks(config, plan))
    for name in plan.published_by_project:
        yield from project_places(output, name)
    for file in plan.published:
        place = package_place(output, file.project, file.filename)
        yield place
        if is_wheel(file.filename) and os.path.lexists(metadata_place(place)):
            yield metadata_place(place)


def hash_as_made(mirror: Mirror, path: Path | str) -> str:
    """Return the SHA-256 that a published file was made with.

    What is found is never taken for what was made: it would be published as right from then on.

    :raises IntegrityError: something else stands there.
    """
    if known := mirror.ledger.known(path):
        return known
    made = mirror.ledger.made(path)
    if made and mirror.ledger.is_right(Path(path), made):
        return made
    withdraw(mirror.output)
    problem = f"expected what was made there in this run (sha256 {made}), found something else"
    raise IntegrityError("finishing", str(path), problem, "Run again: it is made anew. Let nothing else write there.")


def digest_as_made(mirror: Mirror, paths: Iterable[Path | str]) -> str | None:
    """Return a digest of published files as they were made, or None if one of them is not as it was made any more.

    No content is read, so that it costs next to nothing.
    """
    known = [mirror.ledger.known(path) for path in paths]
    return None if None in known else sha256_of_bytes(" ".join(map(str, known)).encode())
