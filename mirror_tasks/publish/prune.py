"""What is in a mirror and its state and not published: found by the manifest and the plans, and deleted when asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mirror_tasks.errors import ResolutionError
from mirror_tasks.layout import manifest_paths
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.mirror import Mirror


def read_manifest(mirror: Mirror, doing: str = "pruning") -> Mapping[str, str]:
    """Return the SHA-256 of each published file by its path with slashes, as ``SHA256SUMS`` was written.

    :param doing: what it is read for, in the words of an error.
    :raises ResolutionError: the mirror is not whole, or ``SHA256SUMS`` is not what this configuration wrote.
    """
    for path in manifest_paths(mirror.output):
        if not os.path.lexists(path):
            raise _refusal(doing, mirror.output, f"expected a whole mirror, found no {path.name}")
        if mirror.ledger.known(path) is None:
            problem = "expected what the last run of this configuration wrote there, found something else"
            raise _refusal(doing, path, problem)
    return mirror.published_sums()


def _refusal(doing: str, path: Path, problem: str) -> ResolutionError:
    return ResolutionError(doing, str(path), problem, "Run `doit mirror` first.")


def leftovers(mirror: Mirror, manifest: Iterable[str], plans: Sequence[Plan]) -> list[Path]:
    """Return what ``prune`` deletes, sorted: files in the output that are not published, and records of no use.

    :param manifest: the paths that are published.
    :param plans: the one that was published and the newest: what these name is kept, for it may be published next.
    """
    wanted = {*manifest, *(path.name for path in manifest_paths(mirror.output))}
    planned = (path for plan in plans for file in plan.files for path in mirror.package_paths(file))
    wanted |= set(map(mirror.relative, planned))
    unpublished = (path for path in _files_in(mirror.output) if mirror.relative(path) not in wanted)
    return sorted([*unpublished, *_old_records(mirror, plans)])


def _files_in(output: Path) -> Iterator[Path]:
    for folder in ("locks", "packages", "project", "report", "simple", "site"):
        yield from (path for path in (output / folder).rglob("*") if path.is_symlink() or not path.is_dir())


def _old_records(mirror: Mirror, plans: Sequence[Plan]) -> Iterator[Path]:
    """Yield the records and held files that no plan needs, and answers and builds of what ``mirror.yaml`` no longer has."""
    state, records = mirror.config.state, mirror.records
    releases = {records.release_path(release.name) for plan in plans for release in plan.releases}
    yield from (path for path in (state / "releases").glob("*.json") if path not in releases)
    filenames = {filename for plan in plans for filename in plan.by_filename}
    for path in (state / "held").glob("*"):
        if path.name.removesuffix(".metadata") not in filenames:
            yield path
    attested = {records.provenance_path(file.sha256) for plan in plans for file in plan.published}
    yield from (path for path in (state / "provenance").glob("*.json") if path not in attested)
    answers = {one.record for one in mirror.config.dynamic}
    yield from (path for path in (state / "answers").glob("*.json") if path not in answers)
    built = {one.name for one in mirror.config.own if one.git}
    for folder in mirror.config.builds.glob("*"):
        yield from (path for path in folder.rglob("*") if folder.name not in built and not path.is_dir())


def check_may_prune(output: Path, plans: Iterable[Plan], how_much: str) -> None:
    """Look if all plans are complete and name files: what an incomplete one lacks may still be needed.

    :param how_much: would be deleted, in words.
    :raises ResolutionError: one is not.
    """
    for plan in plans:
        if not plan.is_complete:
            lines = "".join(f"\n  {requirement}" for requirement in plan.lacking)
            raise ResolutionError(
                "pruning",
                str(output),
                f"expected a complete plan, found one that lacks:{lines}",
                f"Nothing was deleted of {how_much}: it may still be needed. Change the requirement or run `doit mirror` again.",
            )
        if not plan.files:
            problem = "expected a plan with files, found an empty one: all that was mirrored would go"
            advice = f"Nothing was deleted of {how_much}. If nothing is wanted, delete the folder itself."
            raise ResolutionError("pruning", str(output), problem, advice)


def delete(mirror: Mirror, paths: Iterable[Path]) -> None:
    """Delete files, and folders that are empty then."""
    for path in paths:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder in (mirror.output, mirror.config.state) or any(folder.iterdir()):
                break
            folder.rmdir()
