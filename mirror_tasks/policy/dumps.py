"""A dump of advisories that the user brings: a zip or a folder, of JSON or YAML, read within bounds.

A dump may hold records of every ecosystem, one file each, in folders however it likes. Files that are no records (a
repository of advisories has a few) are passed over; a record that is broken is an error that names it, for what it would
have said nobody knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from mirror_tasks.errors import AdvisoryError
from mirror_tasks.files import sha256_of, sha256_of_bytes, state_of
from mirror_tasks.policy.osv import ECOSYSTEM, Advisory, RecordError, advisory_of
from mirror_tasks.text import printable

_DOING = "reading the advisories in"
LARGEST_RECORD = 16 << 20  # bytes; the largest known have a few hundred thousand
_MOST_BYTES = 4 << 30  # of all records together
_MOST_FILES = 1 << 20
_MOST_MEMBERS = 200_000  # of a zip: its directory is held in memory
_LARGEST_DIRECTORY = 64 << 20
_MOST_NODES = 1 << 20  # of YAML, with every alias written out
_ENDINGS = (".json", ".yaml", ".yml")
_MENTIONS = ECOSYSTEM.encode().lower()
_MODIFIED = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z").fullmatch
_UNPACKED = (
    "Fetch the dump anew; if it stays so, unpack it, take that file out, tell whoever keeps it, and name the folder"
)


@dataclass(frozen=True, slots=True)
class Dump:
    """What a dump says.

    :param digest: SHA-256 of the zip; of a folder that of the sorted lines that ``sha256sum`` writes of its files.
    :param newest: the latest instant at which a record was modified, as it writes it; empty if none says.
    :param advisories: those of this ecosystem, sorted, withdrawn ones among them.
    """

    digest: str
    newest: str
    advisories: tuple[Advisory, ...]


def read_dump(path: Path) -> Dump:
    """Return what a dump says of this ecosystem.

    :raises AdvisoryError: there is none, it is broken, beyond bounds, or has nothing of this ecosystem.
    """
    try:
        if path.is_dir():
            lines: list[str] = []
            found = _advisories(path, _noted(_folder_files(path), lines))
            return _dump(path, found, lambda: sha256_of_bytes("".join(sorted(lines)).encode()))
        with path.open("rb") as stream:
            digest = sha256_of(stream)
            return _dump(path, _advisories(path, _zip_files(path, stream)), lambda: digest)
    except OSError as error:
        problem = f"expected a zip or a folder of records, found that it can't be read: {error.strerror or error}"
        advice = "Bring a dump in the OSV layout, and name it under policy.advisories.from, or with --from."
        raise AdvisoryError(_DOING, str(path), problem, advice) from error


def evidence_of(path: Path) -> str:
    """Return what changes whenever a dump does, without reading it: sizes, times and inodes. Empty where there is none.

    What unpacks or copies files may give them the times that they had elsewhere, and a record often keeps its size.
    """
    digest = hashlib.sha256()
    try:
        if not path.is_dir():
            return " ".join(map(str, state_of(path)))
        for name, entry in _entries(path):
            state = "\0".join(map(str, state_of(entry)))
            digest.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        return ""
    return digest.hexdigest()


def digest_of_zip(path: Path) -> str | None:
    """Return the digest of a dump, None where it is a folder, or not there: that takes as long as to read it."""
    try:
        with path.open("rb") as stream:
            return sha256_of(stream)
    except OSError:
        return None


def _dump(path: Path, found: Iterator[Advisory], digest: Callable[[], str]) -> Dump:
    advisories = tuple(sorted(found, key=lambda one: one.id))
    if not advisories:
        problem = f"expected records of the ecosystem {ECOSYSTEM} in the OSV layout, found none"
        raise AdvisoryError(_DOING, str(path), problem, "Check that it is the dump that was meant.")
    newest = max((one.modified for one in advisories if _MODIFIED(one.modified)), default="")
    return Dump(digest(), newest, advisories)


def _advisories(path: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[Advisory]:
    total = 0
    for name, content in files:
        total += len(content)
        if total > _MOST_BYTES:
            raise _broken(path, name, f"expected at most {_MOST_BYTES:,} bytes in all, found more")
        if _MENTIONS not in content.lower():
            continue  # of another ecosystem: most of a dump of all of them
        try:
            record = (_from_json if name.lower().endswith(".json") else _from_yaml)(content)
            found = advisory_of(record) if _is_record(record) else None
        except RecordError as error:
            raise _broken(path, name, str(error)) from error
        if found is not None:
            yield found


def _is_record(value: object) -> bool:
    return isinstance(value, dict) and "id" in value and ("affected" in value or "modified" in value)


def _broken(path: Path, name: str, problem: str) -> AdvisoryError:
    return AdvisoryError(_DOING, f"{path}, file {printable(name)[:300]}", problem, f"{_UNPACKED}.")


# --- Formats


def _from_json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"expected JSON, found something else ({_said(error)})") from error


# What looks like a number or a date stays the text that it is: 1.10 is a version.
_NULL = "tag:yaml.org,2002:null"
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]
    yaml_implicit_resolvers = {  # noqa: RUF012 -- of PyYAML's own class
        first: [(tag, pattern) for tag, pattern in resolvers if tag == _NULL]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }


def _from_yaml(content: bytes) -> object:
    try:
        loader = _Loader(content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordError(f"expected YAML, found something else ({_said(error)})") from error


def _check_size(root: yaml.Node) -> None:
    """Refuse what its aliases make larger than any record is, or endless."""
    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > _MOST_NODES:
            raise ValueError("its aliases grow to more than a record can be")
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [one for pair in node.value for one in pair]


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested deeper than a record can be"
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__


# --- Folders


def _noted(files: Iterator[tuple[str, bytes]], lines: list[str]) -> Iterator[tuple[str, bytes]]:
    for name, content in files:
        lines.append(f"{sha256_of_bytes(content)}  {name}\n")
        yield name, content


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for name, entry in _entries(path):
        size = entry.stat().st_size
        if size > LARGEST_RECORD:
            raise _broken(path, name, f"expected at most {LARGEST_RECORD:,} bytes, found {size:,}")
        yield name.encode("utf-8", "replace").decode(), _read(Path(entry.path))


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(LARGEST_RECORD)


def _entries(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files that may be records, sorted by path in each folder; no link is followed, hidden ones are passed over."""
    waiting, seen = [""], 0
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        seen += len(entries)
        if seen > _MOST_FILES:
            problem = f"expected at most {_MOST_FILES:,} files, found more"
            raise AdvisoryError(_DOING, str(root), problem, "Check that it is the folder that was meant.")
        for entry in entries:
            name = f"{folder}{entry.name}"
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir():
                waiting.append(f"{name}/")
            elif entry.name.lower().endswith(_ENDINGS):
                yield name, entry


# --- Zips

_END = struct.Struct("<4s4H2LH")
_BEFORE_END = 76  # bytes: the longer record of a zip with many members, and what leads to it
_READING_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


def _zip_files(path: Path, stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    try:
        _check_directory(stream)
        opened = zipfile.ZipFile(stream)
        entries = sorted(opened.infolist(), key=lambda entry: entry.filename)
    except _READING_ERRORS as error:
        problem = f"expected a zip of records, found something else ({_said(error)})"
        raise AdvisoryError(_DOING, str(path), problem, "Fetch the dump anew, or name the folder of it.") from error
    for entry in entries:
        hidden = any(part.startswith(".") for part in entry.filename.split("/"))
        if not hidden and entry.filename.lower().endswith(_ENDINGS):
            yield entry.filename, _reading(path, entry, lambda entry=entry: _member(opened, entry))  # type: ignore[misc]


def _reading(path: Path, entry: zipfile.ZipInfo, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except _READING_ERRORS as error:
        raise _broken(path, entry.filename, f"expected a file that can be unpacked, found: {_said(error)}") from error


def _member(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is packed in a way that few tools can read; expected it stored or deflated")
    if entry.file_size > LARGEST_RECORD:
        raise ValueError(f"expected at most {LARGEST_RECORD:,} bytes, found {entry.file_size:,}")
    with opened.open(entry) as stream:
        return stream.read(LARGEST_RECORD)


def _check_directory(stream: BinaryIO) -> None:
    """Look at what the end of a zip says of its directory, which is read into memory as a whole."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - _END.size - _BEFORE_END))
    tail = stream.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("its end is missing")
    _, _, _, _, *said, _, _ = _END.unpack_from(tail, at)
    members, length = map(max, zip(said, _longer_end(tail[:at]), strict=True))
    if members > _MOST_MEMBERS or length > _LARGEST_DIRECTORY:
        most = f"more than the {_MOST_MEMBERS:,} that are read; take the dump of {ECOSYSTEM} alone, or name a folder"
        raise ValueError(f"it has {members:,} files, {most}")
    stream.seek(0)


def _longer_end(before: bytes) -> tuple[int, int]:
    """Return how many members there are, and how long the directory is, from the longer record before the end, if any."""
    at = before.rfind(b"PK\6\6")
    if at < 0 or len(before) - at < _BEFORE_END - 20:
        return 0, 0
    _, members, length = struct.unpack_from("<3Q", before, at + 24)
    return members, length
