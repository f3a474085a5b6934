"""The manifest, ``mirror.json`` and ``SHA256SUMS``: written last of all, so that a directory that has it is whole."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import holds, sha256_of_bytes, to_json, write_whole
from mirror_tasks.layout import manifest_paths, withdraw
from mirror_tasks.publish.published import hash_as_made, published_places
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.succession import check_output, description


def write_manifest(mirror: Mirror, plan: Plan, report: Iterable[Path] = ()) -> None:
    """Write the manifest of a mirror whose files and pages all are there.

    :param report: where the files of the report stand, if it is in the mirror.
    :raises IntegrityError: a published file is not what it was made as, or lies outside the output.
    """
    summary, sums = manifest_paths(mirror.output)
    places = {*map(mirror.relative, published_places(mirror.config, plan)), *map(mirror.relative, report)}
    _check_folders(mirror, places)
    about = to_json(_summary(mirror, plan))
    about_sha256 = sha256_of_bytes(about)
    content = _sums(mirror, places, {summary.name: about_sha256})
    # Before it is there: after a kill in between, the mirror must not pass for another configuration's.
    mirror.records.keep_manifest(about_sha256)
    mirror.plans.keep_published(plan)
    if not (holds(sums, content) and holds(summary, about)):
        withdraw(mirror.output)
        _sweep(mirror.output)
        write_whole(summary, about)
        write_whole(sums, content)
    mirror.ledger.seal_all({summary: about_sha256, sums: sha256_of_bytes(content)})


def _sums(mirror: Mirror, places: Iterable[str], known: Mapping[str, str]) -> bytes:
    """Return the lines of ``SHA256SUMS``, of which 100,000 take 15 MB, so that they are not held in any other form.

    :param places: of the files that are there, relative to the mirror; ``known`` has the SHA-256 of those that are to come.
    :raises IntegrityError: a file is not what it was made as.
    """
    content = io.BytesIO()
    for place in sorted({*places, *known}):
        sha256 = known.get(place) or hash_as_made(mirror, mirror.place(place))
        content.write(f"{sha256}  {place}\n".encode())
    return content.getvalue()


def _check_folders(mirror: Mirror, places: Iterable[str]) -> None:
    """Look if all that is published lies in the output itself: ``server.py`` follows no link that leads out of it.

    :raises IntegrityError: a folder is a link.
    """
    folders = {place.rpartition("/")[0] for place in places}
    folders |= {folder.rpartition("/")[0] for folder in folders}
    for folder in map(Path, map(mirror.place, sorted(folders - {""}))):
        if folder.is_symlink():
            withdraw(mirror.output)
            raise IntegrityError(
                "finishing",
                str(folder),
                f"expected a folder, found a link to {folder.readlink()}, which the mirror's server does not follow",
                "Put the folder itself in its place (a bind mount may be one), then run again.",
            )


def _summary(mirror: Mirror, plan: Plan) -> Mapping[str, object]:
    """What the mirror holds; no clock: the newest upload says how old it is."""
    return {
        "format": 1,
        **description(mirror.config),
        "lacking": plan.lacking,
        "environments": [environment["name"] for environment in plan.environments],
        "requirements": [root.name for root in mirror.config.roots],
        "projects": len(plan.by_project),
        "releases": len(plan.releases),
        "files": len(plan.files),
        "bytes": _size_of(mirror, plan.files),
        "kept_files": len(plan.kept),
        "kept_bytes": _size_of(mirror, (one.planned for one in plan.kept)),
        "newest_upload": max((time for file in plan.files if (time := file.file.upload_time)), default=None),
    }


def _size_of(mirror: Mirror, files: Iterable[PlannedFile]) -> int:
    """Return the bytes of files, of which each has to be as it was made."""
    seals = (mirror.ledger.seal_of(f"packages/{file.project}/{file.filename}") for file in files)
    return sum(seal.size for seal in seals if seal)


def _sweep(output: Path) -> None:
    """Delete what a killed run left half-written; all that is wanted is there when this is called."""
    for folder, _, names in os.walk(output):
        for name in names:
            if name.startswith(".") and name.endswith((".part", ".part.etag")):
                Path(folder, name).unlink(missing_ok=True)


def check_may_publish(mirror: Mirror) -> None:
    """Look if the mirror can be made where it is to be made, and by this configuration.

    :raises OutputError: it can't.
    """
    summary, _ = manifest_paths(mirror.output)
    # The ledger is the larger one: it is asked last, so that it is mostly not read yet when processes are forked.
    check_output(
        mirror.config, lambda sha256: sha256 in mirror.records.manifests() or sha256 == mirror.ledger.made(summary)
    )
