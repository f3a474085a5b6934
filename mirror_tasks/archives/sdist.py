"""Core metadata of an sdist, and what building it takes.

An sdist says it in up to four places, some of which are only what the uploader's machine happened to compute; they are
asked in the order in which they may be trusted (PEP 643 and PEP 621). Nothing here builds anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import tomli
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.archives import licence_fields
from mirror_tasks.archives.core_metadata import (
    MOST_REQUIREMENTS,
    CoreMetadata,
    Headers,
    check_release,
    check_version_of_format,
    checked,
    first_line,
    headers_of,
    is_release,
    single,
    small,
    stem_of,
    summary_of,
    utf8,
    valid_requirements,
)
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.archives.members import LARGEST_MEMBER, Member, folded
from mirror_tasks.archives.requirements import is_requirement
from mirror_tasks.archives.tar import tar_members
from mirror_tasks.archives.untrusted import BrokenError, untrusted
from mirror_tasks.archives.zip import zip_members
from mirror_tasks.config.build_systems import LEGACY_BACKEND, LEGACY_REQUIRES, asked_for, with_wheel
from mirror_tasks.index.file_names import version_or_none

_MOST_FOLDERS_ABOVE_EGG_INFO = 2
MOST_DOTS = 2000  # in a line of TOML; the time to read a key grows with the square of its parts


@dataclass(frozen=True, slots=True)
class _Dependencies:
    """What one source says of what is required."""

    source: str
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]


@untrusted
def sdist_metadata(archive: BinaryIO, filename: str) -> CoreMetadata:
    """Return the core metadata of an sdist, and what building it requires.

    Where it is read, the first that knows: PKG-INFO of version 2.2 or later whose Requires-Dist is not dynamic;
    ``[project]`` of pyproject.toml where dependencies are not dynamic; ``*.egg-info/requires.txt``; any other
    PKG-INFO. The last two are what the uploader's machine computed, and may differ on another one.

    :param archive: the whole sdist, a zip or a tar as its name says.
    :raises MetadataError: the archive is hostile or damaged, its files are of another release, or it requires what is
        no requirement.
    """
    problems: list[str] = []
    files = _sdist_files(archive, filename, problems)
    headers = _pkg_info(files, stem_of(filename), problems)
    pyproject = _pyproject(files)
    project = _table(pyproject, "project")
    name, version = headers["name"][0], headers["version"][0]
    egg_info = _egg_info(files, name)
    known = (
        _from_static_pkg_info(headers)
        or _from_project(project)
        or _from_requires_txt(egg_info)
        or _from_other_pkg_info(headers, problems)
        or _from_nothing(egg_info, problems)
    )
    backend, build_requires = _build(pyproject, egg_info, problems)
    return CoreMetadata(
        name=name,
        version=version,
        requires_python=single(headers, "requires-python") or _requires_python(project),
        requires_dist=known.requires_dist,
        provides_extra=known.provides_extra,
        build_requires=build_requires,
        build_backend=backend,
        source=known.source,
        problems=tuple(problems),
        summary=summary_of(headers) or _text(project, "description"),
        licensing=_licensing(headers, project),
    )


def _sdist_files(archive: BinaryIO, filename: str, problems: list[str]) -> dict[str, bytes]:
    """Return the files that say something, by path below the sdist's own folder."""
    tops: list[str] = []
    files: dict[str, bytes] = {}
    total, stem = 0, stem_of(filename)
    members = zip_members(archive) if filename.endswith(".zip") else tar_members(archive, filename, _ENDINGS)
    for member in members:
        top, _, path = member.path.partition("/")
        if top and top not in tops:  # the archive's own folder has no name
            tops.append(top)
            _check_tops(tops, stem)
        if not _is_wanted(path, member):  # nearly every one
            continue
        content = member.read()
        if files.setdefault(path, content) != content:
            raise BrokenError(f"{member.path} is there twice, and differs")
        total += len(content)
        if total > LARGEST_MEMBER:
            raise BrokenError(f"its metadata has more than {LARGEST_MEMBER:,} bytes")
    _check_tops(tops, stem)
    if not _is_same(tops[0], stem):
        problems.append(f"its folder is named {tops[0]}; taken, as it is the only one")
    if len(set(map(folded, files))) < len(files):
        raise BrokenError(f"files that differ only in how they are spelled: {', '.join(sorted(files)[:10])}")
    return files


_NAMES = ("PKG-INFO", "pyproject.toml", "requires.txt", "setup_requires.txt")
_ENDINGS = tuple(map(folded, _NAMES[:3]))


def _is_wanted(path: str, member: Member) -> bool:
    """Say if a file says something; some systems take other spellings for the same file."""
    spelled = folded(path)
    if not spelled.endswith(_ENDINGS) or not _says_something(spelled):
        return False
    if spelled != path.casefold() or path.rpartition("/")[2] not in _NAMES:
        raise BrokenError(f"{member.path[:200]!r} is taken for {spelled[:200]!r} by some systems, not by others")
    if not member.is_file:
        raise BrokenError(f"{member.path} is not a regular file")
    return True


def _says_something(path: str) -> bool:
    """Say if a file, whose path is folded, is one of those that are read."""
    *folders, folder, name = ["", *path.split("/")]
    if not folder:
        return name in {"pkg-info", "pyproject.toml"}
    return (
        folder.endswith(".egg-info")
        and name in {"pkg-info", "requires.txt", "setup_requires.txt"}
        and len(folders) - 1 <= _MOST_FOLDERS_ABOVE_EGG_INFO
    )


def _check_tops(tops: Sequence[str], stem: str) -> None:
    """Refuse an sdist that has not one folder with all in it: pip would build it from what stands beside the folder."""
    if len(tops) != 1 or "\\" in tops[0]:
        raise BrokenError(f"expected one folder {stem}/, found {', '.join(tops) or 'none'}")


def _is_same(top: str, stem: str) -> bool:
    if top == stem:
        return True
    name, _, version = stem.rpartition("-")
    expected = version_or_none(version)
    return expected is not None and is_release(top, name, version)


def _pkg_info(files: Mapping[str, bytes], stem: str, problems: list[str]) -> Headers:
    """Return the headers of PKG-INFO, with name and version always there; no installer reads it, so it may be odd."""
    name, _, version = stem.rpartition("-")
    content = files.get("PKG-INFO")
    if content is None:
        problems.append("no PKG-INFO; name and version are those of the file name")
        return {"name": [name], "version": [version]}
    headers, defects = headers_of(_lenient(content, problems), "PKG-INFO")
    if defects:
        problems.append(f"PKG-INFO: {defects[0]}; not trusted for what is required")
        headers.pop("metadata-version", None)
    check_version_of_format(headers)
    headers.setdefault("name", [name])
    headers.setdefault("version", [version])
    check_release(headers, stem, "PKG-INFO")
    return headers


def _lenient(content: bytes, problems: list[str]) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        problems.append("PKG-INFO is not UTF-8; read as Latin-1")
        return content.decode("latin-1")


def _from_static_pkg_info(headers: Headers) -> _Dependencies | None:
    """PEP 643: from 2.2 on, a field of an sdist that is not Dynamic is what any wheel built from it has."""
    version = version_or_none(single(headers, "metadata-version") or "")
    dynamic = {value.lower() for value in headers.get("dynamic", ())}
    if version is None or version < Version("2.2") or dynamic & {"requires-dist", "provides-extra"}:
        return None
    return _of_headers(headers)


def _of_headers(headers: Headers) -> _Dependencies:
    requires = valid_requirements(headers.get("requires-dist", ()), "PKG-INFO: Requires-Dist")
    return _Dependencies("PKG-INFO", requires, tuple(dict.fromkeys(headers.get("provides-extra", ()))))


def _from_other_pkg_info(headers: Headers, problems: list[str]) -> _Dependencies | None:
    if "requires-dist" not in headers:
        return None
    problems.append(
        "PKG-INFO does not vouch for its Requires-Dist (Metadata-Version below 2.2, or Dynamic); taken as a hint"
    )
    return _of_headers(headers)


def _from_project(project: Mapping[str, Any] | None) -> _Dependencies | None:
    """PEP 621: what is not listed in ``dynamic`` is static; a backend may not change it."""
    if project is None or set(_strings(project, "dynamic")) & {"dependencies", "optional-dependencies"}:
        return None
    where = "pyproject.toml: project.dependencies"
    requires = list(valid_requirements(_strings(project, "dependencies"), where))
    where = "pyproject.toml: project.optional-dependencies"
    optional = _table(project, "optional-dependencies") or {}
    for extra in optional:
        condition = f'extra == "{_extra(checked(extra, where))}"'
        lines = valid_requirements(_strings(optional, extra), where)
        requires += [_conditional(line, condition) for line in lines]
    return _Dependencies("pyproject.toml", tuple(requires), tuple(optional))


def _conditional(line: str, condition: str) -> str:
    """Return the requirement with a further condition on it."""
    try:
        requirement = Requirement(line)
        requirement.marker = Marker(f"({requirement.marker}) and {condition}" if requirement.marker else condition)
    except (InvalidRequirement, InvalidMarker) as error:
        raise BrokenError(f"not a valid requirement (PEP 508): {line[:200]!r} where {condition}") from error
    return str(requirement)


def _extra(text: str) -> str:
    """Return an extra's name as markers can hold it; setuptools replaces what they can't in the same way."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text.strip()).strip("._-").lower()


# requires.txt of setuptools: requirements, then sections [extra], [:marker], [extra:marker]


def _egg_info(files: Mapping[str, bytes], name: str) -> dict[str, bytes] | None:
    """Return the files of the project's own ``.egg-info``, the one nearest to the top; others may be test data."""
    folders = {path.rpartition("/")[0] for path in files if "/" in path}
    own = [
        folder
        for folder in folders
        if canonicalize_name(folder.rpartition("/")[2].removesuffix(".egg-info")) == canonicalize_name(name)
    ]
    if not own:
        return None
    nearest = min(own, key=lambda folder: (folder.count("/"), folder))
    return {path.rpartition("/")[2]: files[path] for path in files if path.rpartition("/")[0] == nearest}


def _from_requires_txt(egg_info: Mapping[str, bytes] | None) -> _Dependencies | None:
    if egg_info is None or "requires.txt" not in egg_info:
        return None
    requires: list[str] = []
    extras: dict[str, None] = {}
    sections = _sections(utf8(small(egg_info["requires.txt"], "requires.txt"), "requires.txt"))
    for section, lines in sections:
        extra, _, marker = checked(section, "requires.txt").partition(":")
        conditions = [f"({marker})"] if marker.strip() else []
        if name := _extra(extra):
            extras[name] = None
            conditions.append(f'extra == "{name}"')
        condition = " and ".join(conditions)
        valid = valid_requirements(lines, "requires.txt")
        requires += [_conditional(line, condition) for line in valid] if condition else valid
    return _Dependencies("egg-info/requires.txt", valid_requirements(requires, "requires.txt"), tuple(extras))


def _sections(text: str) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            sections.append((line[1:-1], []))
        elif line and not line.startswith("#"):
            sections[-1][1].append(line)
    return sections


def _from_nothing(egg_info: Mapping[str, bytes] | None, problems: list[str]) -> _Dependencies:
    """setuptools writes no requires.txt where nothing is required; without an ``.egg-info``, nothing is known."""
    if egg_info is not None:
        return _Dependencies("egg-info", (), ())
    problems.append("nothing in it says what it requires; taken as requiring nothing")
    return _Dependencies("none", (), ())


# pyproject.toml


def _pyproject(files: Mapping[str, bytes]) -> dict[str, Any]:
    content = small(files.get("pyproject.toml", b""), "pyproject.toml")
    if any(line.count(b".") > MOST_DOTS for line in content.split(b"\n")):
        raise BrokenError(f"pyproject.toml: a line with more than {MOST_DOTS:,} dots")
    try:
        parsed: dict[str, Any] = tomli.loads(utf8(content, "pyproject.toml"))
    except (ValueError, RecursionError) as error:
        raise BrokenError(f"pyproject.toml is not valid TOML: {str(error)[:200]}") from error
    return parsed


def _shown(value: object) -> str:
    """Show a value of TOML; a number may be too long to be."""
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else str(value)[:100]


def _table(container: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    value = container.get(key)
    if value is not None and not isinstance(value, dict):
        raise BrokenError(f"pyproject.toml: expected {key} to be a table, found {_shown(value)}")
    return value


def _strings(container: Mapping[str, Any], key: str) -> list[str]:
    value = container.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BrokenError(f"pyproject.toml: expected {key} to be a list of strings, found {_shown(value)}")
    return value


def _text(project: Mapping[str, Any] | None, key: str) -> str | None:
    value = (project or {}).get(key)
    return first_line([value]) if isinstance(value, str) else None


def _licensing(headers: Headers, project: Mapping[str, Any] | None) -> LicenceFields:
    """Return what PKG-INFO says of the licence, or where it says nothing, pyproject.toml."""
    found = licence_fields.of_headers(headers)
    return replace(licence_fields.of_project(project), files=found.files) if found.is_empty else found


def _requires_python(project: Mapping[str, Any] | None) -> str | None:
    text = _text(project, "requires-python")
    return text and checked(text, "pyproject.toml: requires-python")


def _build(
    pyproject: Mapping[str, Any], egg_info: Mapping[str, bytes] | None, problems: list[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the backend and what must be there to build: what is declared, and what backends ask for beyond that."""
    system = _table(pyproject, "build-system")
    backend = _text(system, "build-backend") or LEGACY_BACKEND
    declared: Sequence[str] = LEGACY_REQUIRES
    if system is not None:
        declared = _strings(system, "requires")
        if "requires" not in system:
            problems.append("pyproject.toml: build-system has no requires; installers refuse to build it")
    setup_requires = small((egg_info or {}).get("setup_requires.txt", b""), "setup_requires.txt").decode(
        "utf-8", "replace"
    )
    lines = [*declared, *(line for _, lines in _sections(setup_requires) for line in lines)]
    lines += asked_for(backend, pyproject)
    if len(lines) > MOST_REQUIREMENTS:
        raise BrokenError(f"{len(lines):,} build requirements, more than the {MOST_REQUIREMENTS:,} that are read")
    valid = [line for line in lines if is_requirement(checked(line, "a build requirement"))]
    invalid = [line for line in lines if not is_requirement(line)]
    problems += [f"the build requirement {line[:200]!r} is not valid (PEP 508); left out" for line in invalid]
    return backend, with_wheel(valid)
