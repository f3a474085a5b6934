"""What a project page says of its files, checked: the entries of the page become a :class:`Project`.

Entries have the form of JSON's, whichever form the page has. A page is input that nobody vouches for: a file that breaks
a rule of the simple repository API (packaging.python.org/specifications/simple-repository-api) is skipped with its
reason, a page that does is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from packaging.version import Version

from mirror_tasks.config.long_numbers import TOO_LONG, has_long_number
from mirror_tasks.errors import IntegrityError, PageError
from mirror_tasks.files import check_filename
from mirror_tasks.index.file_names import parse_filename, version_or_none
from mirror_tasks.index.project import Project, Row, absolute, digests

Entry = dict[str, Any]  # of a page in JSON, nothing of it checked
LONGEST_VALUE = 4096  # characters; the longest requirement on the largest index has a fourth
MOST_FILES = 100_000  # of a page; the largest known has some 30,000
_TOO_LARGE = 1 << 63  # bytes; RFC 8259, 6: what fits into no machine's number is not read alike everywhere
_INT, _TEXT, _TEXT_OR_BOOL = ({*kinds, type(None)} for kinds in ((int,), (str,), (str, bool)))
# How many hexadecimal digits the digests have of the algorithms that installers know.
DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_IS_DIGEST = {name: re.compile(f"[0-9a-fA-F]{{{digits}}}").fullmatch for name, digits in DIGITS.items()}


@lru_cache(maxsize=1 << 12)  # a page says the same few specifiers of all its files
def value_fault(text: str) -> str | None:
    """Return why a specifier, requirement or version is not to be parsed, here or wherever it is used, or None.

    Parsers take long over long ones, and Python fails on numbers of thousands of digits.
    """
    if has_long_number(text):
        return TOO_LONG
    if len(text) > LONGEST_VALUE:
        return f"has {len(text):,} characters, more than the {LONGEST_VALUE:,} that are read"
    return None


def refused(url: str, problem: str) -> PageError:
    """Return the error that says why the page at ``url`` can't be read."""
    return PageError(
        "reading the project page",
        url,
        problem,
        "Check that the index setting names a simple index; else report it there.",
    )


def check_api(version: object, url: str) -> None:
    """Refuse another major version, as the standard demands of clients."""
    if not isinstance(version, str) or not re.fullmatch(r"1\.[0-9]+", version):
        raise refused(url, f"expected api-version 1.x, found {version!r:.40}")


def status_of(announced: Mapping[str, object]) -> tuple[str, str | None]:
    """Return the status of a project (PEP 792) and the reason for it; one that says nothing is active."""
    status, reason = announced.get("status"), announced.get("reason")
    return (status if isinstance(status, str) else "active", reason if isinstance(reason, str) else None)


def project_of(name: str, url: str, entries: list[Entry], status: tuple[str, str | None]) -> Project:
    """Return the project ``name`` (normalised) with what its page says of its files.

    :param url: on which the links of the page are based.
    """
    skipped: list[tuple[str, str]] = []
    by_text: dict[str, list[Row]] = {}
    unhashed: list[str] = []
    for filename, entry in _each_once(entries, skipped).items():
        try:
            row = _row(filename, entry, url)
        except _EntryError as error:
            skipped.append((filename, str(error)))
            continue
        text, reason = parse_filename(filename, name)
        if reason:
            skipped.append((filename, reason))
            continue
        by_text.setdefault(text, []).append(row)
        if isinstance(row[2], dict) and "sha256" not in digests(row[2]):
            unhashed.append(filename)
    _keep_apart(by_text, skipped)
    return Project(name, url, _by_version(by_text, skipped), skipped, status, unhashed=unhashed)


def _each_once(entries: list[Entry], skipped: list[tuple[str, str]]) -> dict[str, Entry]:
    """Return the entries by file name, which is safe; of those that share one, the first if all have the same hashes."""
    named: dict[str, Entry] = {}
    again: list[Entry] = []
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
    return named


def _name_fault(filename: str) -> str | None:
    try:
        check_filename(filename)
    except IntegrityError as error:
        return error.problem
    return None


class _EntryError(Exception):
    """An entry can't be used; says why, for a sentence that begins with the file's name."""


def _row(filename: str, entry: Entry, base: str) -> Row:
    """Return what counts of an entry, in the order of File's fields: its types are the standard's, its hashes can be checked.

    :raises _EntryError: it breaks a rule.
    """
    get = entry.get
    hashes, link, size = _checked_hashes(get("hashes")), get("url"), get("size")
    requires_python, yanked, upload_time = get("requires-python"), get("yanked"), get("upload-time")
    provenance = get("provenance")
    if not isinstance(link, str) or not absolute(base, link):
        raise _EntryError("its URL is not one of http or https")
    if type(size) not in _INT or not 0 <= (size or 0) < _TOO_LARGE:
        raise _EntryError(f"its size is {size!r:.40}, not a number of bytes")
    if type(requires_python) not in _TEXT or type(upload_time) not in _TEXT:
        raise _EntryError("its requires-python or upload-time is not text")
    if requires_python and (reason := value_fault(requires_python)):
        raise _EntryError(f"its requires-python {reason}")
    if type(yanked) not in _TEXT_OR_BOOL:
        raise _EntryError("its yanked is neither a boolean nor a reason")
    metadata = _compact_metadata(get("core-metadata"), get("dist-info-metadata"))
    if provenance is not None:
        provenance = _provenance(provenance)
    return (filename, link, hashes, size, requires_python, yanked, metadata, upload_time, provenance)


def _checked_hashes(hashes: object) -> str | dict[str, str]:
    """Return the hashes of the algorithms that are known, a sole sha256 as such.

    A page need not give any hash, but what it gives has to be one: who announces nonsense means something by it.

    :raises _EntryError: one is not.
    """
    if hashes is None:
        return {}
    if not isinstance(hashes, dict):
        raise _EntryError(f"its hashes are {hashes!r:.40}, not digests by algorithm")
    if "sha256" in hashes:  # It is enough; nothing else is looked at then.
        _check_digest("sha256", hashes["sha256"])
        return hashes["sha256"] if len(hashes) == 1 else _compact(_known_algorithms(hashes))
    known = _known_algorithms(hashes)
    for algorithm, digest in known.items():
        _check_digest(algorithm, digest)
    return _compact(known)


def _known_algorithms(hashes: dict[str, object]) -> dict[str, object]:
    return {algorithm: digest for algorithm, digest in hashes.items() if algorithm.lower() in DIGITS}


def _check_digest(algorithm: str, digest: object) -> None:
    if not isinstance(digest, str) or not _IS_DIGEST[algorithm.lower()](digest):
        digits = DIGITS[algorithm.lower()]
        raise _EntryError(f"its {algorithm} is {digest!r:.40}, not {digits} hexadecimal digits")


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


def _provenance(announced: object) -> str | None:
    """PEP 740: a URL. What is none is no reason to do without the file: nothing of what installs depends on it."""
    return announced if type(announced) is str and 0 < len(announced) <= LONGEST_VALUE else None


def _keep_apart(by_text: dict[str, list[Row]], skipped: list[tuple[str, str]]) -> None:
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


def _by_version(by_text: Mapping[str, list[Row]], skipped: list[tuple[str, str]]) -> dict[Version, list[Row]]:
    """Bring together what PEP 440 takes for one version, as it does 1.0 and 1.0.0."""
    by_version: dict[Version, list[Row]] = {}
    for text, rows in by_text.items():
        version = version_or_none(text)
        if version is None:
            skipped += [(row[0], f"its version {text!r} breaks PEP 440") for row in rows]
        elif version in by_version:
            by_version[version] += rows
        else:
            by_version[version] = rows
    return by_version
