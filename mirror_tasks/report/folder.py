"""The folder of a report: written whole or not at all, and never over what is no report."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from mirror_tasks.config.model import Config
from mirror_tasks.errors import StorageError
from mirror_tasks.files import is_file, read_or_none, sha256_of_bytes, write_whole
from mirror_tasks.report.documents import APPROVED, SUMS

_LINE = re.compile(rb"^([0-9a-f]{64})  (.+)$", re.MULTILINE)


def folder_of(config: Config) -> Path:
    """Return where the report of a mirror is: beside it, under a name that tells those of several mirrors apart."""
    output = config.output
    return output.with_name("report" if output.name == "mirror" else f"report-{output.name}")


def write_report(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Make a folder hold these files and no others; say if it did not before.

    :raises StorageError: something else than a report stands there.
    """
    _go_on(folder)
    _check_free(folder)
    if _holds(folder, files):
        return False
    fresh, old = _beside(folder)
    for path, content in files.items():
        write_whole(fresh / path, content)
    if os.path.lexists(folder):
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return True


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")


def _go_on(folder: Path) -> None:
    """Clear away what a run left that was ended: the report before stands again, if the new one does not yet."""
    fresh, old = _beside(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    if old.is_dir() and not os.path.lexists(folder):
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _check_free(folder: Path) -> None:
    """Look if all that stands there is a report's.

    :raises StorageError: it is not; nothing is touched then.
    """
    if not os.path.lexists(folder):
        return
    found = "something else than a folder" if folder.is_symlink() or not folder.is_dir() else _foreign(folder)
    if found:
        advice = "Move it to another place, then run again: the whole folder is written anew."
        raise StorageError("writing the report to", str(folder), f"expected a report or nothing, found {found}", advice)


def _foreign(folder: Path) -> str:
    known = {*sums_in(folder), SUMS, APPROVED}
    there = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir())
    return next((path for path in there if path not in known), "")


def sums_in(folder: Path) -> Mapping[str, str]:
    """Return the SHA-256 of each file by its path, as the ``SHA256SUMS`` of a report has them; nothing where there is none."""
    content = read_or_none(folder / SUMS) or b""
    return {path.decode("utf-8", "replace"): sha256.decode() for sha256, path in _LINE.findall(content)}


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    return set(files) == {*sums_in(folder), SUMS} and all(
        is_file(folder / path) and read_or_none(folder / path) == content for path, content in files.items()
    )


def digest_in(folder: Path) -> str | None:
    """Return what a report is told by; None where there is none, or one that was altered."""
    content = read_or_none(folder / SUMS)
    if content is None:
        return None
    right = all(sha256_of_bytes(read_or_none(folder / path) or b"") == sha for path, sha in sums_in(folder).items())
    return sha256_of_bytes(content) if right else None
