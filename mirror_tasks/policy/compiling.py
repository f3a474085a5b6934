"""Compiles a dump into the form that runs read. A module of its own, so that a run that finds it compiled does not load it."""

from __future__ import annotations

from pathlib import Path

from mirror_tasks.policy.compiled import About, DumpAdvisories, written
from mirror_tasks.policy.dumps import evidence_of, read_dump
from mirror_tasks.policy.folding import fold


def compiled(path: Path) -> bytes:
    """Return what a dump says, compiled.

    :raises AdvisoryError: it is broken, beyond bounds, or has nothing of this ecosystem.
    """
    evidence = evidence_of(path)  # before it is read: what changes meanwhile is read again by the next run
    dump = read_dump(path)
    return written(About(dump.digest, dump.newest, len(dump.advisories), evidence), fold(dump.advisories))


def read_advisories(path: Path, shown: str) -> DumpAdvisories:
    """Return what a dump says, read anew and kept nowhere; raises what :func:`compiled` does."""
    return DumpAdvisories(compiled(path), shown)
