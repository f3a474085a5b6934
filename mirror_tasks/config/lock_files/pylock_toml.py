"""``pylock.toml`` and ``pylock.NAME.toml`` (PEP 751), read by ``packaging.pylock``: ``lock-version`` 1.x.

===============================  =========================================================================================
``lock-version``                 1.x; a newer major is refused
``requires-python``              bounds all of it
``environments``                 markers, of which one has to hold
``extras``                       what can be asked for
``dependency-groups``            likewise; what is in ``default-groups`` is asked for by its name, as any other
``packages.marker``              whether a package is selected; may ask for extras and groups
``packages.requires-python``     has to hold where it is
``packages.version``             may be missing: then the names of the files say it
``packages.index``               the index that it is from
``packages.wheels``, ``.sdist``  the files: ``name``, else the last part of ``path`` or ``url``; ``hashes`` with ``sha256``
``packages.vcs``                 a source of its own; ``directory`` and ``archive`` likewise; the directory ``.`` is the
                                 project itself
``tool``                         of whoever wrote it; left alone, as are ``dependencies`` and ``attestation-identities``
===============================  =========================================================================================

All files of a package are handed on, while :meth:`packaging.pylock.Pylock.select` gives the best one. It raises an error for
the whole lock where none fits: a lock that pip or Pipenv made for one platform is good for that one alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from packaging import markers
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockSelectError, PylockValidationError
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.blocks import show
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, Installer
from mirror_tasks.config.lock_files.checks import (
    checked_filename,
    checked_index,
    checked_sha256,
    checked_url,
    is_project_itself,
    last_part,
    version_in,
)
from mirror_tasks.config.lock_files.model import LockedFile, LockedPackage
from mirror_tasks.text import redact

_SHOWN = 10  # packages in one message


@dataclass(slots=True)
class PylockToml:
    """A pylock.toml as it was read; ``packages`` has what becomes of each that is not the project itself, by its id."""

    lock: Pylock
    packages: Mapping[int, LockedPackage]
    groups: tuple[str, ...]
    extras: tuple[str, ...]
    markers: tuple[str, ...]
    requires_python: str
    installer: Installer = PIP
    build_constraints: tuple[Requirement, ...] = ()

    def select(
        self, environment: Environment, groups: Collection[str], extras: Collection[str]
    ) -> tuple[LockedPackage, ...]:
        """Return the packages that the lock selects (:meth:`.model.LockFile.select`)."""
        try:
            chosen = self._chosen(environment, environment.tags, groups, extras)
        except PylockSelectError as error:
            problem = self._unfit(environment, groups, extras) or str(error)
            advice = "lock again for this environment too, or name those that it is for in `environments`"
            raise ValueError(f"{problem}; {advice}") from None
        except (UndefinedComparison, UndefinedEnvironmentName, KeyError) as error:
            raise ValueError(f"a marker can't be judged ({error}); lock again") from None
        packages = (self.packages[id(package)] for package in chosen if id(package) in self.packages)
        return tuple(sorted(packages, key=lambda one: (one.name, one.version)))

    def _chosen(
        self, environment: Environment, tags: Sequence[Tag], groups: Collection[str], extras: Collection[str]
    ) -> list[Package]:
        """Return the packages that are selected, where each has a wheel with one of the tags, or an sdist.

        :raises PylockSelectError: one has not, or the lock does not hold together; for the first such package.
        """
        variables = cast(markers.Environment, dict(environment.markers[0]))
        chosen = self.lock.select(environment=variables, tags=tags, extras=extras, dependency_groups=groups)
        return [package for package, _ in chosen]

    def _unfit(self, environment: Environment, groups: Collection[str], extras: Collection[str]) -> str:
        """Return what to say of all packages that have no file for an environment; empty where it is something else."""
        every_tag = {tag for package in self.lock.packages for tag in _tags(package)}
        try:
            chosen = self._chosen(environment, list(every_tag), groups, extras)
        except PylockSelectError:
            return ""
        here = set(environment.tags)
        unfit = [package for package in chosen if package.wheels and not package.sdist and not here & _tags(package)]
        names = [f"{one.name} (of {len(one.wheels or ())}, as {(one.wheels or ())[0].filename:.120})" for one in unfit]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return (
            f"expected a wheel that fits or an sdist, found none of {', '.join(names[:_SHOWN])}{more}" if names else ""
        )


def _tags(package: Package) -> set[Tag]:
    """Return the tags of all wheels of a package."""
    return {tag for wheel in package.wheels or () for tag in parse_wheel_filename(wheel.filename)[3]}


def read(data: Mapping[str, object], _path: Path) -> PylockToml:
    """Return what a pylock.toml says.

    :raises ValueError: it is none, or of a newer version; the message names the key.
    """
    _check_version(data.get("lock-version"))
    try:
        lock = Pylock.from_dict(_with_names(data))
    except PylockValidationError as error:
        place = f"{redact(error.context)}: " if error.context else ""
        said = "".join(letter if letter.isprintable() else " " for letter in redact(error.message))
        said = " ".join(said.split())
        raise ValueError(f"{place}{said:.300}; lock again with what wrote it") from None
    packages = {id(one): _package(one, f"packages[{position}]") for position, one in enumerate(lock.packages)}
    return PylockToml(
        lock=lock,
        packages={key: package for key, package in packages.items() if package is not None},
        groups=_normal((*(lock.default_groups or ()), *(lock.dependency_groups or ()))),
        extras=_normal(lock.extras or ()),
        markers=tuple(dict.fromkeys(_markers(lock))),
        requires_python=str(lock.requires_python or ""),
    )


def _check_version(found: object) -> None:
    try:
        version = Version(found) if isinstance(found, str) else None
    except InvalidVersion:
        version = None
    if version is None or version.major < 1:
        raise ValueError(f'lock-version: expected "1.0", found {show(found)}; lock again')
    if version.major > 1:
        raise ValueError(
            f"lock-version: {version} is newer than 1.x, which is what is read here: update this project, or lock with a"
            " tool that writes 1.0"
        )


def _with_names(data: Mapping[str, object]) -> Mapping[str, object]:
    """Return a lock in which files that have only a URL have a name.

    The name is the last part of the URL, decoded, which ``packaging`` before 26.3 leaves out: a local version has a ``%2B``
    there. Where there is a name, a selection takes half the time, since it parses no URL again.
    """
    packages = data.get("packages")
    if not isinstance(packages, list):
        return data
    return {**data, "packages": [_with_named_files(one) for one in packages]}


def _with_named_files(package: object) -> object:
    if not isinstance(package, Mapping):
        return package
    wheels = package.get("wheels")
    named = {"wheels": [_named(one) for one in wheels]} if isinstance(wheels, list) else {}
    return {**package, **named, **({"sdist": _named(package["sdist"])} if "sdist" in package else {})}


def _named(file: object) -> object:
    """Return a file with its name, where it has neither name nor path and its URL can be read."""
    if not isinstance(file, Mapping) or file.get("name") or file.get("path") or not isinstance(file.get("url"), str):
        return file
    return {**file, "name": last_part(file["url"])}


def _normal(names: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(canonicalize_name, names)))


def _markers(lock: Pylock) -> Iterator[str]:
    yield from map(str, lock.environments or ())
    for package in lock.packages:
        if package.marker is not None:
            yield str(package.marker)
        for one in package.requires_python or ():
            yield f'python_full_version {one.operator} "{one.version}"'


def _package(package: Package, key_path: str) -> LockedPackage | None:
    """Return what becomes of a package; None for the project itself."""
    if (
        package.directory is not None
        and is_project_itself(package.directory.path)
        and not package.directory.subdirectory
    ):
        return None
    index = checked_index(package.index, f"{key_path}.index") if package.index else None
    if source := _source(package, key_path):
        return LockedPackage(package.name, package.version or version_in(source), source=source)
    named = [(one, f"{key_path}.wheels[{position}]") for position, one in enumerate(package.wheels or ())]
    files = [_file(one, place) for one, place in named]
    if package.sdist is not None:
        files.append(_file(package.sdist, f"{key_path}.sdist"))
    return LockedPackage(package.name, package.version or _version(files, key_path), tuple(files), index)


def _version(files: Collection[LockedFile], key_path: str) -> Version:
    """Return the version that the names of files say, all the same; ``packaging`` has parsed each of them."""
    said = {
        parse_wheel_filename(one.filename)[1]
        if one.filename.endswith(".whl")
        else parse_sdist_filename(one.filename)[1]
        for one in files
    }
    if len(said) != 1:
        found = ", ".join(map(str, sorted(said)))
        raise ValueError(f"{key_path}: expected `version`, or files of one; found files of {found:.200}; lock again")
    return said.pop()


def _file(file: PackageWheel | PackageSdist, key_path: str) -> LockedFile:
    url = checked_url(file.url, f"{key_path}.url") if file.url else None
    return LockedFile(checked_filename(file.filename, f"{key_path}.name"), _sha256(file.hashes, key_path), url)


def _sha256(hashes: Mapping[str, str], key_path: str) -> str:
    """PEP 751 wants one of the algorithms that :mod:`hashlib` guarantees; every tool writes this one, which indexes have."""
    if "sha256" not in hashes:
        raise ValueError(f"{key_path}.hashes: expected sha256, found {show(sorted(hashes))}; lock again")
    return checked_sha256(hashes["sha256"], f"{key_path}.hashes.sha256")


def _source(package: Package, key_path: str) -> str:
    """Return the source of its own that a package has, as a requirement has it behind the @; empty for none."""
    if (vcs := package.vcs) is not None:
        place = checked_url(vcs.url or vcs.path or "", f"{key_path}.vcs")
        return f"{vcs.type}+{place}@{vcs.commit_id}{_fragment(vcs.subdirectory)}"
    if (directory := package.directory) is not None:
        return checked_url(directory.path, f"{key_path}.directory.path") + _fragment(directory.subdirectory)
    if (archive := package.archive) is not None:
        place = checked_url(archive.url or archive.path or "", f"{key_path}.archive")
        sha256 = _sha256(archive.hashes, f"{key_path}.archive")
        return place + _fragment(archive.subdirectory, f"sha256={sha256}")
    return ""


def _fragment(subdirectory: str | None, *others: str) -> str:
    parts = [*others, *([f"subdirectory={subdirectory}"] if subdirectory else ())]
    return f"#{'&'.join(parts)}" if parts else ""
