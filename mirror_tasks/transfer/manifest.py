"""The manifest of a bundle: what is to stand inside, and what is carried for it, in one canonical form; no I/O.

What inside reads it is ``server_template/receive.py``, which refuses all that is not as it is written here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from mirror_tasks.errors import IntegrityError
from mirror_tasks.files import is_device, sha256_of_bytes

FORMAT = 1
LARGEST = 256_000_000  # bytes of a manifest that are read inside
MOST_FILES = 1_000_000
MOST_VOLUMES = 9_999
_LONGEST_PATH = 400  # characters
_LONGEST_SEGMENT = 255  # bytes

_SEGMENT = r'(?!\.)[^\x00-\x1f\x7f/\\:*?"<>|]+(?<![. ])'
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_BEGINS_LIKE_A_DEVICE = re.compile("(?:^|/)(?:c[lo]|prn|aux|nul|lpt)", re.IGNORECASE)
_FOLDERS = frozenset({"packages", "simple", "project", "site", "locks", "report"})
_ALONE = frozenset({"index.html", "index.html.gz", "server.py", "receive.py", "mirror.json", "SHA256SUMS"})


class StateFile(NamedTuple):
    """A file that is to stand inside; ``path`` with slashes. A tuple, for there may be a million of them."""

    path: str
    sha256: str
    size: int


class Part(NamedTuple):
    """What one volume has of a content: the whole of it, or a part; ``place`` is its path below ``files/``."""

    volume: int
    place: str
    size: int
    sha256: str


class Content(NamedTuple):
    """A content that is carried, once, however many files have it."""

    sha256: str
    size: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """The bundle that another one builds on: its number, and the SHA-256 of its manifest."""

    sequence: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Made:
    """When a bundle was begun and by what; what was known of the mirror then, each as a SHA-256, or None.

    :param at: UTC, as ``2026-11-26T12:00:00Z``.
    """

    at: str
    by: str
    plan: str | None
    proof: str | None = None
    report: str | None = None
    approval: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says of itself.

    :param files: sorted by path.
    :param contents: sorted by SHA-256.
    :param keep: for information: ``{"days": 90}`` or ``{"plans": 3}``.
    """

    stream: str
    sequence: int
    base: Base | None
    made: Made
    keep: Mapping[str, int] | None
    volumes: int
    files: Sequence[StateFile]
    contents: Sequence[Content]


def canonical(value: object) -> bytes:
    """Return a value as JSON in the one form that is signed, without the end of the line."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def to_bytes(one: Manifest, files: bytes | None = None) -> bytes:
    """Return a manifest as it is signed and carried.

    :param files: what :func:`canonical` gives for its files, where that is known: it is most of the work.
    :raises IntegrityError: it is longer than what is read inside.
    """
    made = {name: getattr(one.made, name) for name in ("at", "by", "plan", "proof", "report", "approval")}
    base = None if one.base is None else {"manifest": one.base.manifest, "sequence": one.base.sequence}
    fields = {
        b"base": canonical(base),
        b"contents": canonical(one.contents),
        b"files": canonical(one.files) if files is None else files,
        b"format": canonical(FORMAT),
        b"keep": canonical(one.keep),
        b"made": canonical(made),
        b"sequence": canonical(one.sequence),
        b"stream": canonical(one.stream),
        b"volumes": canonical(one.volumes),
    }
    content = b"{" + b",".join(b'"%s":%s' % field for field in sorted(fields.items())) + b"}\n"
    if len(content) > LARGEST:
        raise _refusal("the mirror", f"expected a manifest of at most {LARGEST} bytes, found {len(content)}")
    return content


def files_in(content: bytes) -> list[StateFile]:
    """Return the files of the manifest that :func:`to_bytes` was called on, which of most is all that is asked.

    :raises ValueError: it is of another format.
    """
    document = json.loads(content)
    _check_format(document)
    return list(map(StateFile._make, document["files"]))


def from_bytes(content: bytes) -> Manifest:
    """Return the manifest that :func:`to_bytes` was called on; who calls this knows by a digest that it was.

    :raises ValueError: it is of another format.
    """
    return _read(json.loads(content))


def _read(document: Mapping[str, Any]) -> Manifest:
    base, made = document["base"], document["made"]
    _check_format(document)
    return Manifest(
        stream=document["stream"],
        sequence=document["sequence"],
        base=None if base is None else Base(base["sequence"], base["manifest"]),
        made=Made(**made),
        keep=document["keep"],
        volumes=document["volumes"],
        files=list(map(StateFile._make, document["files"])),
        contents=[
            Content(sha256, size, tuple(Part(*part) for part in parts)) for sha256, size, parts in document["contents"]
        ],
    )


def _check_format(document: Mapping[str, Any]) -> None:
    if document["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, found {document['format']!r}")


def check_files(files: Iterable[StateFile], inside: Iterable[StateFile] = ()) -> None:
    """Look if inside takes all paths of a state: what is found there, at the end of the way, can't be mended there.

    :param inside: what it took before.
    :raises IntegrityError: it would not; names the path.
    """
    paths = [path for path, _, _ in files]
    for path in sorted(set(paths) - {path for path, _, _ in inside}):
        if (fault := _fault_of(path)) is not None:
            raise _refusal(repr(path[:500]), fault)
    folded = list(map(_folded, paths)) if not "".join(paths).isascii() else list(map(str.lower, paths))
    if len(set(folded)) < len(paths):
        _refuse_one_of(paths, folded)
    if len(paths) > MOST_FILES:
        raise _refusal("the mirror", f"expected at most {MOST_FILES} files, found {len(paths)}")


def _refuse_one_of(paths: Sequence[str], folded: Sequence[str]) -> NoReturn:
    known: dict[str, str] = {}
    for path, one in zip(paths, folded, strict=True):
        if (other := known.setdefault(one, path)) is not path:
            raise _refusal(repr(path), f"expected paths that differ on every system, found {other!r} as well")
    raise AssertionError("two of them are the same")


def _fault_of(path: str) -> str | None:
    segments = path.split("/")
    if len(path) > _LONGEST_PATH or any(len(one.encode()) > _LONGEST_SEGMENT for one in segments):
        return f"expected a path of at most {_LONGEST_PATH} characters, each name of at most {_LONGEST_SEGMENT} bytes"
    if not _PATH.fullmatch(path) or not path.isprintable():
        return "expected a path of the mirror that every system can have, found another"
    if segments[0] not in (_FOLDERS if len(segments) > 1 else _ALONE):
        return "expected a path that a mirror has, found another"
    if _BEGINS_LIKE_A_DEVICE.search(path) and any(map(is_device, segments)):
        return "expected a path that every system can have, found the name of a device of Windows in it"
    return None


def _folded(path: str) -> str:
    """Return what two paths have in common that are one where case does not count, or where names are normalised."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _refusal(subject: str, problem: str) -> IntegrityError:
    advice = "Inside it could not be put in place. Leave out what brings it (`doit explain` says what that is), then run again."
    return IntegrityError("bundling", subject, problem, advice)


def digest_of(manifest: bytes) -> str:
    """Return what a bundle is told by: the SHA-256 of its manifest."""
    return sha256_of_bytes(manifest)
