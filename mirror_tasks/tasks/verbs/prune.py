"""What `doit prune` prints and does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.publish.prune import check_may_prune, delete, leftovers, read_manifest
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.console import new_console
from mirror_tasks.text import counted, readable


def prune(mirror: Mirror, dry_run: bool) -> None:
    """Delete what is not published; say before what that is, and how much of the mirror.

    :raises ResolutionError: the mirror is not whole, or a plan is incomplete: what it lacks may still be needed.
    """
    console = new_console()
    manifest = read_manifest(mirror)
    plans = [plan for plan in (mirror.plans.published(), mirror.plans.last()) if plan]
    paths = leftovers(mirror, manifest, plans)
    for path in paths:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    how_much = _how_much(paths, _published_size(mirror.config, manifest))
    check_may_prune(mirror.output, plans, how_much)
    if not paths:
        console.print("Nothing to delete: all that is there is published.")
        return
    console.print(f"{'Would delete' if dry_run else 'Deleting'} {how_much}.", soft_wrap=True)
    if not dry_run:
        delete(mirror, paths)


def _how_much(paths: Sequence[Path], published: int) -> str:
    size = sum(path.lstat().st_size for path in paths)
    count = counted(len(paths), "file")
    share = f"{100 * size / max(1, size + published):.0f} % of what is there"
    return f"{count} ({readable(size)}), {share}, beside {readable(published)} that are published"


def _published_size(config: Config, manifest: Iterable[str]) -> int:
    return sum((config.output / path).stat().st_size for path in manifest)
