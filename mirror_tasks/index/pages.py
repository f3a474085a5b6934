"""A project's page of a package index, in JSON or HTML, becomes a :class:`Project`: its releases and their files.

The rules are those of the simple repository API (packaging.python.org/specifications/simple-repository-api). A page is
input that nobody vouches for: a file that breaks a rule is skipped with its reason, a page that does is refused.

A page may list ten thousand files of which a run looks at twenty, so a file's name is split once, cheaply, and the rest
of its entry becomes a :class:`File` only when its version is asked for. As it is kept, a project has a line for each
version, and only those that are asked for are read.
"""

from __future__ import annotations

import codecs
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.errors import IntegrityError, PageError
from mirror_tasks.files import check_filename
from mirror_tasks.index.html_tags import Attributes, start_tags, unescaped

if TYPE_CHECKING or importlib.util.find_spec("orjson") is None:
    _encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

    def _dumps(value: object) -> bytes:
        return _encode(value).encode()

else:  # The same bytes, in a fifth of the time. Its reader is faster too, but takes 20 MB more for a large page.
    from orjson import dumps as _dumps

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPES = frozenset({"text/html", "application/vnd.pypi.simple.v1+html"})

_Entry = dict[str, Any]
_Row = tuple[str, str, Any, "int | None", "str | None", Any, Any, "str | None"]

# Kinds of files that an index may offer and no installer takes from it any more.
_OTHER_KINDS = {
    ".egg": "an egg; installers take wheels and sdists",
    ".exe": "a Windows installer; installers take wheels and sdists",
    ".msi": "a Windows installer; installers take wheels and sdists",
    ".rpm": "an rpm; installers take wheels and sdists",
    ".deb": "a deb; installers take wheels and sdists",
    ".dmg": "a disk image; installers take wheels and sdists",
    ".tar.Z": "an sdist compressed as no installer reads it",
    ".tar.zst": "an sdist compressed as no installer reads it",
    ".7z": "neither a wheel nor an sdist",
}
# What an sdist's name may end in, what is preferred first: PEP 625 has .tar.gz, .zip is what it was on Windows before.
# The others are on indexes since long ago: pip takes them, uv does not.
SDIST_ENDINGS = (
    ".tar.gz",
    ".zip",
    ".tgz",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.lzma",
    ".tlz",
    ".tar.lz",
    ".tar",
)
LONGEST_VALUE = 4096  # characters; the longest requirement on the largest index has a fourth
LONGEST_NUMBER = 100  # digits; Python refuses to read more than 4,300, uv more than 20
_LONG_NUMBER = re.compile(rf"[0-9]{{{LONGEST_NUMBER + 1}}}").search
_MOST_TAGS = 2000
_MOST_FILES = 100_000  # of a page; the largest known has some 30,000
_MOST_CONTAINERS = 500_000  # of a JSON page, objects and lists: a file has two to four
_MOST_VALUES = 2_000_000  # of a JSON page: a file has a dozen
_SCHEMES = ("https", "http", "file")
_release = attrgetter("release")
_FILENAME = itemgetter(0)


@dataclass(frozen=True, slots=True)
class File:
    """One file as its index announces it.

    :param filename: the last part of a path, checked to be safe as one.
    :param url: absolute, without fragment and without credentials.
    :param hashes: hexadecimal digests by algorithm, in lower case. Where ``sha256`` is not among them, the file has to be
        fetched before it can be told from another; what is chosen for a mirror has it.
    :param size: bytes, or None where the index does not say.
    :param requires_python: the specifier as announced, or None.
    :param yanked: None if it is not yanked, else the reason, which may be empty.
    :param core_metadata: None if no sidecar is announced, else its hashes by algorithm, which may be none.
    :param upload_time: ISO 8601, as announced, or None.
    """

    filename: str
    url: str
    hashes: Mapping[str, str] = field(hash=False)
    size: int | None
    requires_python: str | None
    yanked: str | None
    core_metadata: Mapping[str, str] | None = field(hash=False)
    upload_time: str | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What was found of a file when it was first fetched, for which its page gives no sha256.

    :param announced: the hashes that its page gave then.
    """

    sha256: str
    size: int
    announced: Mapping[str, str] = field(hash=False)

    def fits(self, file: File) -> bool:
        """Say if what the page says now is still what it said."""
        agrees = all(self.announced.get(algorithm, digest) == digest for algorithm, digest in file.hashes.items())
        return agrees and file.size in (None, self.size)

    def put_to(self, file: File) -> File:
        """Return the file as if its page gave this."""
        return replace(file, hashes={**file.hashes, "sha256": self.sha256}, size=self.size)


class Project:
    """A project as its page shows it.

    :ivar name: normalised.
    :ivar status: ``active``, ``archived``, ``quarantined`` or ``deprecated`` (PEP 792), or what the page says instead.
    :ivar status_reason: why, as the index says it, or None.
    :ivar versions: newest first, each with at least one file.
    :ivar skipped: (file name, reason) of each file that can't be used anywhere; a hostile name is shown as its repr.
    :ivar url: its page's own.
    :ivar index: the base URL of the index that served it, without credentials.
    :ivar unhashed: the names of the files for which the page gives no sha256.
    """

    __slots__ = (
        "_files",
        "_fingerprints",
        "index",
        "name",
        "skipped",
        "status",
        "status_reason",
        "unhashed",
        "url",
        "versions",
    )

    def __init__(
        self,
        name: str,
        url: str,
        files: Mapping[Version, list[_Row] | bytes],
        skipped: Iterable[tuple[str, str]],
        status: tuple[str, str | None] = ("active", None),
        *,
        index: str = "",
        unhashed: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.status, self.status_reason = status
        # Versions compare slowly, their release numbers fast: sorted by those first, few comparisons are left.
        self.versions = tuple(sorted(sorted(files, key=_release, reverse=True), reverse=True))
        self.skipped = tuple(skipped)
        self.url = url
        self.index = index
        self.unhashed = frozenset(unhashed)
        self._fingerprints: Mapping[str, Fingerprint] = {}
        self._files: dict[Version, list[_Row] | bytes | tuple[File, ...]] = {**files}

    def files(self, version: Version) -> tuple[File, ...]:
        """Return the files of ``version``, sorted by name, each once; none where the project has no such version."""
        found = self._files.get(version, ())
        if not isinstance(found, tuple):
            # Two threads may both come here: they build equal tuples, and either may stay.
            rows = json.loads(found) if isinstance(found, bytes) else found
            found = tuple(self._recognised(_file(row, self.url)) for row in sorted(rows, key=_FILENAME))
            self._files[version] = found
        return found

    def all_files(self) -> Iterator[File]:
        """Yield every file, the newest version's first."""
        for version in self.versions:
            yield from self.files(version)

    def to_bytes(self) -> bytes:
        """Return the project as it is kept, as it was read: a line for all of it, then a line for each version."""
        head = [
            self.name,
            self.url,
            self.status,
            self.status_reason,
            self.skipped,
            self.index,
            sorted(self.unhashed),
        ]
        lines = (b"%b\t%b" % (str(version).encode(), _dumps(self._files[version])) for version in self.versions)
        return b"\n".join([_dumps(head), *lines])

    @classmethod
    def from_bytes(cls, content: bytes) -> Project:
        """Return the project that :meth:`to_bytes` was called on.

        :raises ValueError: it did not make these bytes.
        """
        head, *lines = content.split(b"\n")
        name, url, status, reason, skipped, index, unhashed = json.loads(head)
        versions = (line.partition(b"\t") for line in lines)
        files = {Version(version.decode()): rows for version, _, rows in versions}
        return cls(name, url, files, map(tuple, skipped), (status, reason), index=index, unhashed=unhashed)

    def only(self, files: Mapping[Version, Mapping[str, File]]) -> Project:
        """Return the project as if its page showed only these files, by version and name."""
        project = Project(self.name, self.url, {}, (), (self.status, self.status_reason), index=self.index)
        project.versions = tuple(sorted(files, reverse=True))
        project._files = {version: tuple(named[name] for name in sorted(named)) for version, named in files.items()}
        return project

    def with_fingerprints(self, known: Mapping[str, Fingerprint]) -> Project:
        """Return the project as if its page gave what is known, by file name, of the files for which it gives no sha256.

        What is known of a file of which the page says something else now is not put to it.
        """
        status = (self.status, self.status_reason)
        project = Project(self.name, self.url, {}, self.skipped, status, index=self.index, unhashed=self.unhashed)
        project.versions = self.versions
        project._fingerprints = known
        project._files = {
            version: tuple(map(project._recognised, files)) if isinstance(files, tuple) else files
            for version, files in self._files.items()
        }
        return project

    def _recognised(self, file: File) -> File:
        known = None if "sha256" in file.hashes else self._fingerprints.get(file.filename)
        return known.put_to(file) if known and known.fits(file) else file

    def without_unhashed(self, reason: str) -> Project:
        """Return the project with the files skipped for which its page gives no sha256."""
        files = {
            version: [file for file in self.files(version) if file.filename not in self.unhashed]
            for version in self.versions
        }
        project = self.only(
            {version: {file.filename: file for file in left} for version, left in files.items() if left}
        )
        project.skipped = (*self.skipped, *((name, reason) for name in sorted(self.unhashed)))
        return project


def parse_page(body: bytes, content_type: str, url: str, name: str, index: str = "") -> Project:
    """Read the page of the project ``name``, fetched from ``url``, on which its relative links are based.

    :param content_type: as the answer's header says it, parameters included.
    :param index: the base URL of the index that served it.
    :raises PageError: the page is not what it claims to be, of another project, or of a version not known here.
    """
    name = canonicalize_name(name)
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind != JSON_TYPE and kind not in HTML_TYPES:
        raise _refused(url, f"expected a project page in JSON or HTML, found {kind or 'no content type'!r:.100}")
    try:
        project = _from_json(body, url, name) if kind == JSON_TYPE else _from_html(body, parameters, url, name)
    except PageError:
        raise
    except Exception as error:  # A page is hostile until it is read: whatever its parsers raise costs this page alone.
        told = f"{type(error).__name__}: {error}"
        raise _refused(url, f"expected a page that can be read, found one that can't ({told!s:.200})") from error
    project.index = index
    return project


def is_wheel(filename: str) -> bool:
    """Say if ``filename`` is a wheel's."""
    return filename.endswith(".whl")


def is_sdist(filename: str) -> bool:
    """Say if ``filename`` is a source distribution's."""
    return filename.endswith(SDIST_ENDINGS)


def sdist_ending(filename: str) -> str:
    """Return what the name of an sdist ends in; empty for other names."""
    return next((ending for ending in SDIST_ENDINGS if filename.endswith(ending)), "")


def value_fault(text: str) -> str | None:
    """Return why a specifier, requirement or version is not to be parsed, here or wherever it is used, or None.

    Parsers take long over long ones, and Python fails on numbers of thousands of digits.
    """
    if _LONG_NUMBER(text):
        return f"has a number of more than {LONGEST_NUMBER} digits"
    if len(text) > LONGEST_VALUE:
        return f"has {len(text):,} characters, more than the {LONGEST_VALUE:,} that are read"
    return None


def version_of(filename: str, project: str) -> Version:
    """Return the version of ``project`` that the wheel or sdist ``filename`` is of.

    :raises PageError: no standard allows the name, or it is another project's.
    :raises IntegrityError: the name is not safe.
    """
    text, reason = _parse_filename(check_filename(filename), canonicalize_name(project))
    version = None if reason else _version(text)
    if version is None:
        reason = reason or f"its version {text!r} breaks PEP 440"
        raise PageError(
            "reading the file name",
            repr(filename),
            reason,
            "The file is left out; report it to whoever runs the index.",
        )
    return version


def _refused(url: str, problem: str) -> PageError:
    return PageError(
        "reading the project page",
        url,
        problem,
        "Check that the index setting names a simple index; else report it there.",
    )


# --- File names


def _parse_filename(filename: str, project: str) -> tuple[str, str | None]:
    """Return the text of the version, or the reason why ``filename`` can't be used; ``project`` is normalised."""
    if filename.endswith(".whl"):
        fields = filename.split("-", 2)
        if len(fields) != 3:
            return "", _NOT_A_WHEEL
        if _normal(fields[0]) != project:
            return "", f"named for another project than {project}"
        return fields[1], _tags_fault(fields[2])
    if is_sdist(filename):
        found = _sdist_pattern(project)(filename)
        return (found[1], None) if found else ("", f"not named {project}-VERSION")
    kinds = (reason for ending, reason in _OTHER_KINDS.items() if filename.endswith(ending))
    return "", next(kinds, "neither a wheel nor an sdist")


_NOT_A_WHEEL = "not a wheel's name: NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl"


@lru_cache(maxsize=1 << 14)
def _tags_fault(rest: str) -> str | None:
    """Return why ``rest``, what follows the version in a wheel's name, is not ``[BUILD-]PYTHON-ABI-PLATFORM.whl``.

    The same few hundred endings occur in every release. A compressed tag set can be a bomb, so it is only counted.
    """
    build, *fields = ["", *rest[:-4].split("-")] if rest.count("-") == 2 else rest[:-4].split("-")
    sets = [field.split(".") for field in fields[:3]]
    if len(fields) == 3 and (not build or build[0].isdigit()):
        if not all(map(all, sets)) or not all(python.isidentifier() for python in sets[0]):
            return f"its tag {'-'.join(fields)!r} is not one that a wheel may have"
        return f"its tag stands for more than {_MOST_TAGS} tags" if prod(map(len, sets)) > _MOST_TAGS else None
    return "a wheel variant, which is a draft that installers do not know" if len(fields) in (3, 4) else _NOT_A_WHEEL


@lru_cache(maxsize=1 << 16)
def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=1 << 14)
def _normal(name: str) -> str:
    return canonicalize_name(name)


_ENDING = "|".join(map(re.escape, SDIST_ENDINGS))


@lru_cache(maxsize=1 << 10)
def _sdist_pattern(project: str) -> Callable[[str], re.Match[str] | None]:
    """The name is known, so what follows it is the version: old names and old versions have dashes (foo-1.0-1)."""
    name = "[-_.]+".join(re.escape(part) for part in project.split("-"))
    return re.compile(rf"{name}-([^/\\]+)(?:{_ENDING})", re.IGNORECASE | re.ASCII).fullmatch


# --- Entries


def _project(name: str, url: str, entries: list[_Entry], status: tuple[str, str | None]) -> Project:
    skipped: list[tuple[str, str]] = []
    by_text: dict[str, list[_Row]] = {}
    unhashed: list[str] = []
    rows = _plain_rows(entries)
    for row in map(_row, _sound(entries, url, skipped)) if rows is None else rows:
        text, reason = _parse_filename(row[0], name)
        if reason:
            skipped.append((row[0], reason))
        elif text in by_text:
            by_text[text].append(row)
        else:
            by_text[text] = [row]
        if rows is None and "sha256" not in _digests(row[2]):
            unhashed.append(row[0])
    _keep_apart(by_text, skipped)
    return Project(name, url, _by_version(by_text, skipped), skipped, status, unhashed=unhashed)


def _keep_apart(by_text: dict[str, list[_Row]], skipped: list[tuple[str, str]]) -> None:
    """Skip files whose names differ in upper and lower case only, but for one: a disk may hold no more than that.

    The one with small letters stays, as the specifications of names have it, whatever the order of the page.
    """
    names = [row[0] for rows in by_text.values() for row in rows]
    if len(set(map(str.lower, names))) == len(names):
        return
    kept = {name.lower(): name for name in sorted(names)}  # small letters are sorted last, and the last stays
    for text, rows in list(by_text.items()):
        by_text[text] = [row for row in rows if kept[row[0].lower()] == row[0]]
        skipped += [
            (row[0], f"its name differs from {kept[row[0].lower()]} in upper and lower case only")
            for row in rows
            if kept[row[0].lower()] != row[0]
        ]
        if not by_text[text]:
            del by_text[text]


def _row(entry: _Entry) -> _Row:
    """Return the values of the entry that count, in the order of File's: half the memory of the entry."""
    get = entry.get
    return (
        entry["filename"],
        entry["url"],
        _compact(_known_algorithms(get("hashes"))),
        get("size"),
        get("requires-python"),
        get("yanked"),
        _compact_metadata(get("core-metadata"), get("dist-info-metadata")),
        get("upload-time"),
    )


def _known_algorithms(hashes: dict[str, object] | None) -> dict[str, object]:
    return {algorithm: digest for algorithm, digest in (hashes or {}).items() if algorithm.lower() in _DIGITS}


def _compact(hashes: dict[str, object]) -> str | dict[str, str]:
    """Return a sole sha256 as such; a digest that is no text is none."""
    sha256 = hashes.get("sha256")
    if type(sha256) is str and len(hashes) == 1:
        return sha256
    return {algorithm: digest for algorithm, digest in hashes.items() if type(digest) is str}


def _compact_metadata(announced: object, by_old_name: object) -> bool | str | dict[str, str]:
    """PEP 714: the old name counts only where the new one is not there."""
    found = by_old_name if announced is None else announced
    return _compact(found) if type(found) is dict else found is True


def _by_version(by_text: Mapping[str, list[_Row]], skipped: list[tuple[str, str]]) -> dict[Version, list[_Row]]:
    """Bring together what PEP 440 takes for one version, as it does 1.0 and 1.0.0."""
    by_version: dict[Version, list[_Row]] = {}
    for text, rows in by_text.items():
        version = _version(text)
        if version is None:
            skipped += [(row[0], f"its version {text!r} breaks PEP 440") for row in rows]
        elif version in by_version:
            by_version[version] += rows
        else:
            by_version[version] = rows
    return by_version


_PLAIN_NAMES = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+!-]{0,249}\n)*").fullmatch
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[1-5]?[0-9]{1,4})?/").fullmatch
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]+(?::[1-5]?[0-9]{1,4})?/[!-\"$-?A-~]*").fullmatch  # no "#" and no "@"
_TOO_LARGE = 1 << 63  # bytes; RFC 8259, 6: what fits into no machine's number is not read alike everywhere
_INT, _TEXT, _TEXT_OR_BOOL = ({*kinds, type(None)} for kinds in ((int,), (str,), (str, bool)))


def _plain_rows(entries: list[_Entry]) -> list[_Row] | None:
    """Return the row of each entry, None if one has a fault that :func:`_sound` would find.

    Nearly every page passes, so it is looked at a column at a time: that takes a third of what entry by entry does.
    """
    try:
        names, urls, hashes = (list(map(itemgetter(key), entries)) for key in ("filename", "url", "hashes"))
        sizes, requires, yanked, times = (
            _column(entries, key) for key in ("size", "requires-python", "yanked", "upload-time")
        )
        sha256 = list(map(itemgetter("sha256"), hashes))
        is_sound = (
            len(set(names)) == len(names)
            and _PLAIN_NAMES("\n".join([*names, ""]))
            and _plain_urls(urls)
            and _plain_digests(sha256)
            and set(map(type, sizes)) <= _INT
            and min(filter(None, sizes), default=0) >= 0
            and max(filter(None, sizes), default=0) < _TOO_LARGE
            and set(map(type, requires)) <= _TEXT
            and not any(map(value_fault, filter(None, set(requires))))
            and set(map(type, times)) <= _TEXT
            and set(map(type, yanked)) <= _TEXT_OR_BOOL
        )
    except (KeyError, TypeError, AttributeError):
        return None
    if not is_sound:
        return None
    digests = sha256 if set(map(len, hashes)) <= {1} else map(_compact, hashes)
    metadata = map(_compact_metadata, _column(entries, "core-metadata"), _column(entries, "dist-info-metadata"))
    return list(zip(names, urls, digests, sizes, requires, yanked, metadata, times, strict=True))


def _column(entries: list[_Entry], key: str) -> list[Any]:
    try:
        return list(map(itemgetter(key), entries))
    except KeyError:
        return [entry.get(key) for entry in entries]


def _plain_urls(urls: list[str]) -> bool:
    """Say if all are absolute and without fragment, credentials, or anything that needs quoting."""
    text = "".join(urls)
    # What goes up to the first slash behind "https://" is the same for nearly all of a page.
    origins = {url[: url.find("/", 8) + 1] for url in urls}
    return (
        text.isascii() and text.isprintable() and not any(odd in text for odd in "#@ ") and all(map(_ORIGIN, origins))
    )


def _plain_digests(digests: list[str]) -> bool:
    text = "".join(digests)
    return (
        text.isascii()
        and not text.encode().translate(None, b"0123456789abcdefABCDEF")
        and set(map(len, digests)) <= {64}
    )


def _sound(entries: list[_Entry], base: str, skipped: list[tuple[str, str]]) -> Iterator[_Entry]:
    for entry in _each_once(entries, skipped):
        if reason := _entry_fault(entry, base):
            skipped.append((entry["filename"], reason))
        else:
            yield entry


def _each_once(entries: list[_Entry], skipped: list[tuple[str, str]]) -> Iterable[_Entry]:
    """Return the entries with a safe file name; of those that share one, the first if all have the same hashes."""
    named: dict[str, _Entry] = {}
    again: list[_Entry] = []
    nameless = 0
    for entry in entries:
        filename = entry.get("filename") if type(entry) is dict else None
        if type(filename) is not str:
            nameless += 1
        elif reason := _name_fault(filename):
            skipped.append((repr(filename[:300]), reason))
        elif named.setdefault(filename, entry) is not entry:
            again.append(entry)
    if nameless:
        skipped.append(
            ("", "an entry without a file name" if nameless == 1 else f"{nameless:,} entries without a file name")
        )
    for entry in again:
        filename = entry["filename"]
        if filename in named and named[filename].get("hashes") != entry.get("hashes"):
            del named[filename]
            skipped.append((filename, "listed twice, with different hashes"))
    return named.values()


def _name_fault(filename: str) -> str | None:
    try:
        check_filename(filename)
    except IntegrityError as error:
        return error.problem
    return None


def _entry_fault(entry: _Entry, base: str) -> str | None:
    """Return why the entry can't be used, or None: its types are those of the standard, and its hashes can be checked."""
    size, link = entry.get("size"), entry.get("url")
    if reason := _hashes_fault(entry.get("hashes")):
        return reason
    if not isinstance(link, str) or not _absolute(base, link):
        return "its URL is not one of http or https"
    if type(size) not in _INT or not 0 <= (size or 0) < _TOO_LARGE:
        return f"its size is {size!r:.40}, not a number of bytes"
    if type(entry.get("requires-python")) not in _TEXT or type(entry.get("upload-time")) not in _TEXT:
        return "its requires-python or upload-time is not text"
    if reason := value_fault(entry.get("requires-python") or ""):
        return f"its requires-python {reason}"
    if type(entry.get("yanked")) not in _TEXT_OR_BOOL:
        return "its yanked is neither a boolean nor a reason"
    return None


def _hashes_fault(hashes: object) -> str | None:
    """A page need not give any hash, but what it gives has to be one: who announces nonsense means something by it."""
    if hashes is None:
        return None
    if not isinstance(hashes, dict):
        return f"its hashes are {hashes!r:.40}, not digests by algorithm"
    known = _known_algorithms(hashes)
    # A sha256 is enough; nothing else is looked at then.
    for algorithm, digest in ({"sha256": known["sha256"]} if "sha256" in known else known).items():
        digits = _DIGITS[algorithm.lower()]
        if not isinstance(digest, str) or not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", digest):
            return f"its {algorithm} is {digest!r:.40}, not {digits} hexadecimal digits"
    return None


def _file(row: _Row, base: str) -> File:
    filename, url, hashes, size, requires_python, yanked, metadata, upload_time = row
    return File(
        filename,
        _absolute(base, url),
        _digests(hashes),
        size,
        requires_python or None,
        # PEP 592: a reason may be missing. An empty text is no boolean false: uv takes it as yanked, and so does this.
        None if yanked is None or yanked is False else "" if yanked is True else yanked,
        {} if metadata is True else None if metadata is False else _digests(metadata),
        upload_time or None,
    )


def _digests(announced: str | Mapping[str, str]) -> dict[str, str]:
    if isinstance(announced, str):
        return {"sha256": announced.lower()}
    return {algorithm.lower(): digest.lower() for algorithm, digest in announced.items()}


def _absolute(base: str, link: str) -> str:
    """Return ``link`` as an absolute URL without fragment and credentials; empty where no scheme known here is left.

    A page fetched over the network may not name files of this machine.
    """
    if _PLAIN_URL(link):
        return link
    try:
        parts = urlsplit(urldefrag(urljoin(base, link)).url)
        if parts.scheme not in _SCHEMES or (parts.scheme == "file" and not base.startswith("file:")):
            return ""
        if parts.scheme != "file" and (not parts.hostname or parts.port == 0):  # a port that is none raises
            return ""
    except ValueError:
        return ""
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --- JSON


# Half a character, escaped or as it is; two patterns, for each begins with bytes that are looked for fast.
_HALVES = (re.compile(rb"\\u[dD][89a-fA-F]").search, re.compile(rb"\xed[\xa0-\xbf]").search)


def _from_json(body: bytes, url: str, name: str) -> Project:
    page = _load(body, url)
    files = page.get("files")
    if not isinstance(files, list):
        raise _refused(url, "expected a list of files, found none")
    if len(files) > _MOST_FILES:
        raise _refused(url, f"expected at most {_MOST_FILES:,} files, found {len(files):,}")
    meta = page.get("meta")
    _check_api(meta.get("api-version") if isinstance(meta, dict) else None, url)
    stated = page.get("name", name)
    if not isinstance(stated, str) or canonicalize_name(stated) != name:
        raise _refused(url, f"expected the page of {name}, found that of {stated!r:.100}")
    status = page.get("project-status")
    return _project(name, url, files, _status(status) if isinstance(status, dict) else ("active", None))


def _load(body: bytes, url: str) -> _Entry:
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):  # RFC 8259, 8.1: it has to be UTF-8; pip takes UTF-16 and UTF-32 all the same
        body = body.decode(encoding, "replace").encode()
    _check_count(body, url)
    try:
        page = _loads(body)
        if any(half(body) for half in _HALVES):
            # It can't be written to any file: it becomes a question mark here, once.
            page = _loads(json.dumps(page, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise _refused(url, f"expected JSON, found something else ({error})") from error
    if not isinstance(page, dict):
        raise _refused(url, f"expected a JSON object, found {type(page).__name__}")
    return page


def _number(text: str) -> int | str:
    """A number that no machine has becomes text: some releases of Python take quadratic time to read it, others refuse."""
    return int(text) if len(text) < 20 else text


def _fraction(text: str) -> float | str:
    return float(text) if len(text) < 100 else text


def _loads(body: bytes) -> Any:
    return json.loads(body, parse_int=_number, parse_float=_fraction)


def _check_count(body: bytes, url: str) -> None:
    """Refuse a page of which few bytes grow to much memory: an empty object takes 25 times what is written of it."""
    containers, values = body.count(b"{") + body.count(b"["), body.count(b",")
    if containers > _MOST_CONTAINERS or values > _MOST_VALUES:
        expected = f"expected at most {_MOST_CONTAINERS:,} objects and lists and {_MOST_VALUES:,} values"
        raise _refused(url, f"{expected}, found {containers:,} and {values:,}")


def _check_api(version: object, url: str) -> None:
    """Refuse another major version, as the standard demands of clients."""
    if not isinstance(version, str) or not re.fullmatch(r"1\.[0-9]+", version):
        raise _refused(url, f"expected api-version 1.x, found {version!r:.40}")


def _status(announced: Mapping[str, object]) -> tuple[str, str | None]:
    status, reason = announced.get("status"), announced.get("reason")
    return (status if isinstance(status, str) else "active", reason if isinstance(reason, str) else None)


# --- HTML


# Names of codecs that are charsets of pages; Python has others, such as idna, that decode no page.
_CHARSET = re.compile(
    r"utf-(8|8-sig|16|16-le|16-be)|ascii|iso8859-[0-9]+|cp[0-9]+|koi8-[rut]|mac-[a-z-]+|gb[0-9k]+|big5\w*|shift_jis\w*|euc_\w+"
)


def _from_html(body: bytes, parameters: str, url: str, name: str) -> Project:
    page = _Page(url)
    for tag, attributes in start_tags(_decoded(body, parameters, url)):
        page.take(tag, attributes)
    if page.api_version is not None:
        _check_api(page.api_version, url)
    elif not page.looks_like_an_index():
        raise _refused(url, "expected a page of links to files, found some other HTML")
    return _project(name, page.base, page.entries, _status(page.status))


def _decoded(body: bytes, parameters: str, url: str) -> str:
    """Return the text of a page; one in a charset that nobody knows is most probably UTF-8."""
    announced = re.search(r"charset=[\"']?([\w-]+)", parameters)
    try:
        charset = codecs.lookup(announced[1] if announced else "utf-8").name
    except LookupError:
        charset = "utf-8"
    if not _CHARSET.fullmatch(charset):
        raise _refused(url, f"expected a charset that pages are written in, such as utf-8, found {charset}")
    return body.decode(charset, "replace")


class _Page:
    """Collects the anchors of a page as entries of the JSON form."""

    def __init__(self, url: str) -> None:
        self.base = url
        self.entries: list[_Entry] = []
        self.api_version: str | None = None
        self.status: dict[str, object] = {}
        self._tags: Counter[str] = Counter()

    def take(self, tag: str, attributes: Attributes) -> None:
        """Take in a start tag.

        :raises ValueError: it has no meaning, or there are more links than a page may have.
        """
        self._tags[tag] += 1
        if tag == "a":
            self._anchor({name: unescaped(value or "") for name, value in attributes.items()})
            if len(self.entries) > _MOST_FILES:
                raise ValueError(f"more than {_MOST_FILES:,} files")
        elif tag == "base" and self._tags[tag] == 1:
            self._rebase(unescaped(attributes.get("href") or ""))
        elif tag == "meta":
            self._meta({name: unescaped(value or "") for name, value in attributes.items()})

    def _rebase(self, link: str) -> None:
        base = urljoin(self.base, link)
        if urlsplit(base).scheme != urlsplit(self.base).scheme and urlsplit(base).scheme not in ("http", "https"):
            # Else a page fetched over the network could name files of this machine.
            raise ValueError("its base is of another scheme than http and https")
        self.base = base

    def looks_like_an_index(self) -> bool:
        """Tell a page without files from a login form or an error page that came with status 200."""
        if any(is_wheel(entry["filename"]) or is_sdist(entry["filename"]) for entry in self.entries):
            return True
        return not any(self._tags[tag] for tag in ("form", "input", "script", "iframe", "a"))

    def _meta(self, attrs: Mapping[str, str]) -> None:
        name, content = attrs.get("name"), attrs.get("content")
        if name == "pypi:repository-version":
            self.api_version = content or ""
        elif name == "pypi:project-status":
            self.status["status"] = content
        elif name == "pypi:project-status-reason":
            self.status["reason"] = content

    def _anchor(self, attrs: Mapping[str, str]) -> None:
        link, _, fragment = attrs.get("href", "").strip().partition("#")
        # pip and uv take the URL's last part for the name: a directory lister may cut the anchor's text short.
        filename = unquote(link.partition("?")[0].rpartition("/")[2])
        if not filename:
            return
        entry: _Entry = {"filename": filename, "url": link, "hashes": _announced(fragment)}
        entry["requires-python"] = attrs.get("data-requires-python")
        if "data-yanked" in attrs:
            entry["yanked"] = attrs["data-yanked"] or True
        for key in ("core-metadata", "dist-info-metadata"):
            value = attrs.get(f"data-{key}")
            if value is not None:
                entry[key] = _announced(value) or value == "true"
        self.entries.append(entry)


def _announced(text: str) -> dict[str, str]:
    """Return the hashes in ``sha256=…``, the form of a link's fragment and of ``data-core-metadata``."""
    pairs = (part.partition("=") for part in text.split("&"))
    return {algorithm: digest for algorithm, _, digest in pairs if algorithm in _DIGITS and digest}


# How many hexadecimal digits the digests have of the algorithms that installers know.
_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
