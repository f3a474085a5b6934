"""The files of a locked package: those that the lock names, as they are found upstream, and nothing in their place.

A lock was tested with the files that it names. So each of them that an environment can use is there with the hash that the
lock gives, or the user is told which is not; a file that the lock does not name is never taken, whatever the index has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.reasons import decisive_reasons
from mirror_tasks.resolve.selection import Rules, check_policy, check_status, in_order, refusal


@dataclass(frozen=True, slots=True)
class LockedFiles:
    """What an environment takes of a locked package.

    :param files: the one that is preferred there first.
    :param faults: what is not there as the lock has it, a sentence each.
    """

    files: tuple[File, ...]
    faults: tuple[str, ...] = ()


def locked_files(package: LockedPackage, project: Project, environment: Environment, rules: Rules) -> LockedFiles:
    """Return the files of a locked package that an environment can use, and what is not there as the lock has it."""
    if fault := check_status(project):
        return LockedFiles((), (fault,))
    if (
        package.source and not package.files
    ):  # the project is bound to a source of the user's own, which makes its files
        return _usable(package, list(project.files(package.version)), project, environment, rules)
    found, faults = _found(package, project, environment, rules)
    usable = _usable(package, found, project, environment, rules)
    return LockedFiles(usable.files, (*faults, *(() if faults else usable.faults)))


def _found(
    package: LockedPackage, project: Project, environment: Environment, rules: Rules
) -> tuple[list[File], list[str]]:
    """Return the files upstream that the lock names, and a sentence for each of use here that is not as it was locked."""
    upstream = {file.filename: file for file in project.files(package.version)}
    found, faults = _by_hash_alone(package, upstream), []
    for locked in package.files:
        file = upstream.get(locked.filename)
        if file is None:
            if locked.filename and _would_be_used(locked.filename, environment, rules):
                faults.append(_vanished(locked, project))
        elif locked.sha256 not in (None, file.hashes.get("sha256", locked.sha256)):
            if _would_be_used(locked.filename, environment, rules):
                faults.append(_changed(locked, file, project))
        else:
            found.append(_as_locked(file, locked))
    return found, faults


def _by_hash_alone(package: LockedPackage, upstream: Mapping[str, File]) -> list[File]:
    """Return the files that have, or may have, one of the hashes that the lock gives without a file name."""
    hashes = {locked.sha256 for locked in package.files if not locked.filename}
    return [file for file in upstream.values() if hashes and file.hashes.get("sha256") in (None, *hashes)]


def _as_locked(file: File, locked: LockedFile) -> File:
    """Return a file with the hash that the lock gives, where its page gives none: it is checked when it is fetched."""
    if locked.sha256 is None or "sha256" in file.hashes:
        return file
    return replace(file, hashes={**file.hashes, "sha256": locked.sha256})


def _would_be_used(filename: str, environment: Environment, rules: Rules) -> bool:
    """Say if an environment would use a file, as far as its name tells."""
    named = File(filename, "", {}, None, None, None, None, None)
    return refusal(named, environment, rules, pinned=True) is None and not (
        rules.sdists == "fallback" and not is_wheel(filename)
    )


def _vanished(locked: LockedFile, project: Project) -> str:
    skipped = dict(project.skipped).get(locked.filename)
    why = f"a file that can't be used: {skipped}" if skipped else "no such file"
    return f"{locked.filename}: expected sha256 {locked.sha256 or '(any)'} on {project.pages}, found {why}"


def _changed(locked: LockedFile, file: File, project: Project) -> str:
    found = file.hashes["sha256"]
    further = dict(project.skipped).get(locked.filename)  # of a page that has another file of this name
    also = f"; {further}" if further else ""
    return f"{locked.filename}: expected sha256 {locked.sha256}, found sha256 {found} on {project.url}{also}"


def _usable(
    package: LockedPackage, found: Iterable[File], project: Project, environment: Environment, rules: Rules
) -> LockedFiles:
    """Sort out what the environment can use: every wheel, since a lock says nothing of the best, and the sdist."""
    refused: dict[str, str] = {}
    usable: list[File] = []
    for file in found:
        reason = refusal(file, environment, rules, pinned=True)
        if reason is None:
            usable.append(file)
        else:
            refused[file.filename] = reason
    wheels = in_order([file for file in usable if is_wheel(file.filename)], environment)
    sdists = [file for file in usable if not is_wheel(file.filename)]
    if rules.sdists == "fallback" and wheels:
        sdists = []
    files = (*wheels, *sorted(sdists, key=lambda file: file.filename))
    if not files:
        return LockedFiles((), tuple(_nothing_usable(package, refused, project)))
    return _permitted(package, files, project, environment, rules)


def _permitted(
    package: LockedPackage, files: Iterable[File], project: Project, environment: Environment, rules: Rules
) -> LockedFiles:
    """Leave out what the policy refuses: a lock is carried to the letter, so each such file is a fault of it."""
    judged = [(file, check_policy(project, package.version, file, environment, rules)) for file in files]
    faults = tuple(f"{file.filename}: {reason}" for file, reason in judged if reason)
    return LockedFiles(tuple(file for file, reason in judged if reason is None), faults)


def _nothing_usable(package: LockedPackage, refused: Mapping[str, str], project: Project) -> Iterator[str]:
    if not refused:
        has = "none of the hashes that the lock gives" if package.files else "no file that the lock names"
        yield f"expected a file of {package} on {project.pages}, found {has}"
        return
    yield f"expected a file of {package} that can be used there, found none: {decisive_reasons(project, refused)}"
