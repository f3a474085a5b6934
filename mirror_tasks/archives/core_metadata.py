"""Core metadata: what a wheel or an sdist says of itself, and how METADATA says it (packaging.python.org, "Core metadata").

A wheel says it in METADATA, which its index may also serve beside it; PKG-INFO of an sdist has the same form.
"""

from __future__ import annotations

import email.parser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from email.errors import MessageDefect
from email.message import Message
from sys import intern
from typing import Any

from packaging.utils import canonicalize_name

from mirror_tasks.archives import licence_fields
from mirror_tasks.archives.licence_fields import NOTHING_SAID, LicenceFields
from mirror_tasks.archives.members import MEBIBYTE
from mirror_tasks.archives.requirements import is_requirement
from mirror_tasks.archives.untrusted import BrokenError, untrusted
from mirror_tasks.config.installers import Installer, repaired_requirement
from mirror_tasks.errors import MetadataError
from mirror_tasks.index.entries import value_fault
from mirror_tasks.index.file_names import is_wheel, sdist_ending, version_or_none


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
    :param licensing: what it says of its licence.
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
    licensing: LicenceFields = NOTHING_SAID

    @property
    def license(self) -> str | None:
        """One line to show: the licence expression, or what the older field begins with, or None."""
        return self.licensing.expression or self.licensing.name

    def with_shared_lines(self) -> CoreMetadata:
        """Return it with the lines that others have too: the releases of a project require nearly the same, again and again."""
        requires, extras = (tuple(map(intern, lines)) for lines in (self.requires_dist, self.provides_extra))
        return replace(self, requires_dist=requires, provides_extra=extras)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold; :meth:`from_json` reads it back."""
        return {field.name: _thawed(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CoreMetadata:
        """Return what :meth:`to_json` was called on.

        :raises KeyError: a field is missing.
        :raises TypeError: ``content`` is no mapping.
        """
        values = {field.name: _frozen(content[field.name]) for field in fields(cls)}
        return cls(**{**values, "licensing": LicenceFields.from_json(content["licensing"])})


def _thawed(value: Any) -> Any:
    if isinstance(value, LicenceFields):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


LARGEST_TEXT = 4 * MEBIBYTE
DEEPEST = 50
MOST_REQUIREMENTS = 20_000


def checked(value: str, where: str) -> str:
    """Return a value that will be parsed, here and wherever it is used: parsers take long over long ones, or fail."""
    if fault := value_fault(value):
        raise BrokenError(f"{where} {fault}: {value[:50]}…")
    if value.count("(") > DEEPEST:
        raise BrokenError(f"{where} has more than {DEEPEST} parentheses")
    return value


def small(content: bytes, where: str) -> bytes:
    """Return text that will be parsed if it is not too long."""
    if len(content) > LARGEST_TEXT:
        raise BrokenError(f"{where} has {len(content):,} bytes, more than the {LARGEST_TEXT:,} that are read")
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


@untrusted
def parse_metadata(content: bytes, filename: str, *, repair: bool = False) -> CoreMetadata:
    """Return the core metadata in ``content``, the METADATA of the wheel ``filename`` or the sidecar of any file.

    :param repair: a requirement that breaks PEP 508 is replaced by what uv makes of it.
    :raises MetadataError: it can't be parsed, is of another release than the file name says, or requires what is no
        requirement; installers refuse such a file (pip from 24.1 on).
    """
    headers, defects = headers_of(utf8(content, "METADATA"), "METADATA")
    if defects:
        raise BrokenError(f"METADATA: {defects[0]}; what follows it would be dropped silently")
    check_version_of_format(headers)
    check_release(headers, stem_of(filename), "METADATA")
    required = headers.get("requires-dist", [])
    return CoreMetadata(
        name=headers["name"][0],
        version=headers["version"][0],
        requires_python=single(headers, "requires-python"),
        requires_dist=valid_requirements(_repaired(required) if repair else required, "Requires-Dist"),
        provides_extra=tuple(dict.fromkeys(headers.get("provides-extra", ()))),
        build_requires=(),
        build_backend=None,
        source="METADATA",
        problems=(),
        summary=summary_of(headers),
        licensing=licence_fields.of_headers(headers),
    )


Headers = dict[str, list[str]]
_BLANK_LINE = re.compile(r"(?:\r\n|\r(?!\n)|\n)(\r\n|\r(?!\n)|\n)").search
_PARSER = email.parser.HeaderParser()


def headers_of(text: str, where: str) -> tuple[Headers, list[str]]:
    """Return the headers by name in lower case, and what the parser found wrong.

    The standard library's parser is the one installers use, and takes a METADATA the way they do. The description is
    most of the text: it is cut off first.
    """
    end = _BLANK_LINE(text)
    text = text if end is None else text[: end.start(1)]
    if len(text) > LARGEST_TEXT:
        raise BrokenError(f"{where}: {len(text):,} characters of headers, more than the {LARGEST_TEXT:,} that are read")
    message = _PARSER.parsestr(text)
    headers: Headers = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), []).append(str(value).strip())
    return headers, [_defect(defect, message) for defect in message.defects]


def _defect(defect: MessageDefect, message: Message) -> str:
    # The parser takes a line that is no header as the description's first one, and with it all that follows.
    line = str(message.get_payload()).split("\n", 1)[0].strip()
    return f"expected 'Field: value', found {line[:200]!r}" if line else f"malformed headers ({type(defect).__name__})"


def utf8(content: bytes, where: str) -> str:
    """Return the text, which has to be UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BrokenError(f"{where} is not UTF-8: {error.reason} at byte {error.start:,}") from error


def single(headers: Headers, field: str) -> str | None:
    """Return the value of a field that occurs once; parsers differ on which one counts if there are two."""
    values = list(dict.fromkeys(headers.get(field, ())))
    if len(values) > 1:
        raise BrokenError(f"expected one {field.title()}, found {', '.join(map(repr, values[:3]))}")
    return (checked(values[0], field.title()) or None) if values else None


def check_version_of_format(headers: Headers) -> None:
    """Core metadata: tools "MUST fail if metadata_version has a greater major version" than they support."""
    text = single(headers, "metadata-version")
    if text is not None and re.fullmatch(r"\d+(\.\d+)*", text) and int(text.split(".")[0]) > 2:
        raise BrokenError(f"its Metadata-Version is {text}, and what 3.0 and later mean is not known")


def check_release(headers: Headers, stem: str, where: str) -> None:
    """Refuse headers that have no name or version, or those of another release than ``stem``, what the file's name says.

    :raises BrokenError: as said.
    """
    name, version = single(headers, "name"), single(headers, "version")
    if name is None or version is None:
        raise BrokenError(f"{where} has no {'Version' if name else 'Name'}")
    if not is_release(stem, name, version):
        raise BrokenError(f"{where} is of another release: {name} {version}")


def stem_of(filename: str) -> str:
    """Return the ``<name>-<version>`` that a file name begins with."""
    if is_wheel(filename):
        return "-".join(filename.split("-", 2)[:2])
    return filename.removesuffix(sdist_ending(filename))


def is_release(stem: str, name: str, version: str) -> bool:
    """Say if ``stem`` is ``<name>-<version>`` when both are normalised; old ones have dashes of their own."""
    project, expected = canonicalize_name(name), version_or_none(version)
    if expected is None:
        raise BrokenError(f"the version {version!r} is not a valid version (PEP 440)")
    return any(
        canonicalize_name(stem[: dash.start()]) == project and version_or_none(stem[dash.end() :]) == expected
        for dash in re.finditer("-", stem)
    )


def valid_requirements(lines: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the requirements as they are; pip refuses a distribution for a single one that PEP 508 does not allow."""
    lines = tuple(lines)
    if len(lines) > MOST_REQUIREMENTS:
        raise BrokenError(f"{where}: {len(lines):,} requirements, more than the {MOST_REQUIREMENTS:,} that are read")
    for line in lines:
        checked(line, where)
    invalid = [line for line in lines if not is_requirement(line)]
    if invalid:
        raise BrokenError(
            f"{where}: not a valid requirement (PEP 508): {', '.join(repr(line[:200]) for line in invalid[:3])}"
        )
    return lines


def _repaired(lines: Iterable[str]) -> list[str]:
    lines = (checked(line, "Requires-Dist") for line in lines)
    return [line if is_requirement(line) else repaired_requirement(line) or line for line in lines]


def summary_of(headers: Headers) -> str | None:
    """Return the one line on what it is, or None."""
    return first_line(headers.get("summary", ()))


def first_line(values: Iterable[str]) -> str | None:
    """Return the first line that says something; distutils wrote UNKNOWN where nothing was given."""
    lines = (value.split("\n", 1)[0].strip() for value in values)
    return next((line for line in lines if line and line != "UNKNOWN"), None)


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
