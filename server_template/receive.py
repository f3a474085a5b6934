#!/usr/bin/env python3
"""Put a mirror's bundle in place, inside: verify all of it first, then switch from the old mirror to the new one at once.

Run ``python receive.py /media/stick --to /srv/mirror --trust allowed_signers``. Needs Python 3.7 or newer, and a program
that verifies signatures (``ssh-keygen``, ``openssl``, ``gpgv`` or ``minisign``); nothing else.

A bundle says in its manifest which files are to stand inside, each with its SHA-256, and carries in its volumes those that
were not there before. What is taken from a volume is hashed while it is copied aside; only when all of it is there and
right does a new tree, a generation, come to be, of hard links to what the last one has and to what has come. The switch is
one replacement of a link (or of a small file, where links can't be had). Until then nothing that is served is touched.

The file reads from top to bottom; each part begins with a comment of its name:

=====================  ==============================================================================================
Words and limits       the names of all that is read and written, and how much of it is taken
Errors                 ``Refused``, and what is told to people
The manifest           canonical JSON; bytes become a ``Manifest``, or are refused
Signatures             ``verify_signatures``: by whom the manifest is
Volumes                what stands on the stick
Places inside          folders, locks, files that are written whole or not at all
What is inside         the state, the generations that stand, and where in them a content is
Incoming               contents are hashed while they are copied, and noted, so that none is read twice
The tree               a generation is built, recorded and switched to; old ones go; ``--back``
Composition            several streams, or own packages, in one tree: which content goes where
The pages for clients  pages of one project that several streams have become one
Versions               which of two is the newer one
The pages for people   ``Markup``: text is escaped once, by its type
The whole              ``Composer``: all that is written anew for such a tree
Core metadata          what stands in METADATA and PKG-INFO
Own packages           what the inside adds itself: ``--add``, ``--remove``, ``--own``, ``--no-own``
Archives               METADATA out of a wheel, PKG-INFO out of an sdist, within bounds; nothing is unpacked
Status                 ``--status``, the receipt, what is missing, ``--check`` of a volume
The command line       options, and the order in which all this happens
=====================  ==============================================================================================

For a security reviewer:

- Trusted are whoever starts the program, its options and the files that ``--trust`` names, the Python that runs it, and the
  verifier. Not trusted is any byte on the stick. Of it, the manifest's bytes are taken first, up to ``MANIFEST_LIMIT``, and
  the verifier is asked; what they say is looked at when a key of ``--trust`` has signed them. A file is opened only if the
  manifest names it and it is a regular one that no link leads to, and taken only if it has the SHA-256 that the manifest says.
- No name is made up from what the stick says but the paths in the manifest, each of which has passed ``check_path``.
- Written: below the directory of ``--to`` only, and the files that ``--missing`` and ``--receipt`` name. Where a folder
  should be and a link is found, the program ends.
- Never run nor copied: anything on the stick. The ``receive.py`` that stands there is for the first time by hand. A later
  one is a file of the state like any other, verified by the one that was there before.
- Own packages (``--add``) are the operator's, and still not believed: nothing in them is run or unpacked, their names and
  what they say is looked at before it stands on a page. A name is either the inside's own or a bundle's, never both: what
  would mix the two is refused, or one of them is left out whole (``--own``), in ``arrange``, before anything is changed.
- The pages that streams have in common are read from verified bundles, and believed as far as pages go: each value is
  checked (``read_page``), and what becomes HTML passes through ``html.escape`` or ``markup``.
- Executed: the verifier alone, by its absolute path, without a shell and with next to no environment. It gets copies in a
  folder of its own among the system's temporary ones, which is removed (``Bench``); what it says counts by its exit status.
- Not let in again: a bundle that is older than one that was received. What was received highest is kept outside the trees,
  in ``received/state.json``, and written before the switch: a kill in between leaves it known, and the next run switches.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime
import email.errors
import email.parser
import email.policy
import errno
import fnmatch
import glob
import gzip
import hashlib
import html
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import unicodedata
import urllib.parse
import zipfile
import zlib
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Pattern,
    Sequence,
    Set,
    TextIO,
    Tuple,
    Union,
)

VERSION = "0.2.0"  # that of mirror-tasks, which put this file here

# Words and limits.

FORMAT = 1
MANIFEST_LIMIT = 256 * 1024 * 1024  # bytes
TOGETHER_LIMIT = MANIFEST_LIMIT  # of all manifests that are looked at in one run
FILES_LIMIT = 1_000_000
PARTS_LIMIT = 9_999
VOLUMES_LIMIT = 9_999
SEQUENCE_LIMIT = 10**9
SIZE_LIMIT = 2**53
PATH_LIMIT = 400  # characters
SEGMENT_LIMIT = 255  # bytes
BLOCK = 4096  # bytes that a small file takes on a disk
RECORD_LIMIT = 64 * 1024 * 1024  # of a file that this program wrote itself

FOLDERS = frozenset({"packages", "simple", "project", "site", "locks", "report"})
ROOT_FILES = frozenset({"index.html", "index.html.gz", "server.py", "receive.py", "mirror.json", "SHA256SUMS"})
INDISPENSABLE = ("SHA256SUMS", "mirror.json", "server.py", "receive.py", "simple/index.html")
PROGRAMS = ("server.py", "receive.py")  # these stand beside the generations too
KEPT_FOLDERS = ("packages/", "simple/", "project/")
SUMS, KEPT_SUMS = "SHA256SUMS", "SHA256SUMS.kept"
UNSIGNED = "nobody (--unsigned)"

# Errors of the system that another way of writing would meet too: no room, a failing disk, one that is read only.
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EIO, errno.EROFS})

APPLIED, FAILED, USAGE, WAITING, INTERRUPTED = 0, 1, 2, 3, 130  # exit statuses


# Errors.


class Refused(Exception):  # noqa: N818 - it is an answer
    """What was asked for is not done; the message says why, and what to do."""


class Broken(Refused):
    """Bytes of a volume are not what the manifest says."""


def must(condition: bool, problem: str) -> None:
    """Refuse unless a condition holds."""
    if not condition:
        raise Refused(problem)


def printable(text: str) -> str:
    """Escape all but printable characters, for what a stick says may hold what steers a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def report(message: str) -> None:
    """Tell the operator, on the standard error stream."""
    with contextlib.suppress(OSError, ValueError):  # nobody listens any more
        print(printable(f"receive.py: {message}"), file=sys.stderr, flush=True)


def say(message: str) -> None:
    """Tell what came out, on the standard output."""
    print(printable(message), flush=True)


def size_of(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count_of(number: int, noun: str) -> str:
    """Write a number of things for people."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """Return the verb for so many things."""
    return "is" if number == 1 else "are"


def few(names: Iterable[str], most: int = 5) -> str:
    """Write the first of some names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def numbers_of(numbers: Iterable[int]) -> str:
    """Write numbers for people, what follows upon each other as a span: ``1, 3-5``."""
    spans: List[List[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


class Progress:
    """Shows how far a run has come, after two seconds: a line that is rewritten on a terminal, every tenth elsewhere."""

    def __init__(self, total_bytes: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = max(1, total_bytes)
        self._stream = stream
        self._live = stream.isatty()
        self._done = 0
        self._shown = -1
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that were copied; called by every thread."""
        with self._lock:
            self._done += count
            percent = min(100, 100 * self._done // self._total)
            due = percent > self._shown and (self._live or percent // 10 > self._shown // 10)
            if due and self._clock() - self._started > 2:
                self._shown = percent
                self._show(percent)

    def _show(self, percent: int) -> None:
        rate = self._done / max(0.001, self._clock() - self._started)
        text = f"{percent:3d}% of {size_of(self._total)}, {size_of(rate)}/s"
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"\r{text}   " if self._live else f"{text}\n")
            if self._live and percent == 100:
                self._stream.write("\n")
            self._stream.flush()


# The manifest.


class Part(NamedTuple):
    """A piece of a content, or all of it: in which volume it is, and under which path below ``files/``."""

    volume: int
    place: str
    size: int
    sha256: str


class Base(NamedTuple):
    """The bundle that another one builds on."""

    manifest: str
    sequence: int


class Manifest(NamedTuple):
    """What a bundle is to bring about. ``sha256`` is that of the manifest's bytes."""

    stream: str
    sequence: int
    base: Optional[Base]
    files: Dict[str, Tuple[str, int]]
    contents: Dict[str, Tuple[int, Tuple[Part, ...]]]
    volumes: int
    made: Dict[str, Optional[str]]
    keep: Optional[Dict[str, int]]
    sha256: str

    @property
    def name(self) -> str:
        """The bundle, for people."""
        return f"bundle {self.sequence} of {self.stream}"


Content = Tuple[str, int]  # its SHA-256 and its size

_SHA256 = re.compile("[0-9a-f]{64}")
_STREAM = re.compile("[a-z0-9][a-z0-9-]{0,62}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_DEVICES = r"(?i:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\.[^/]*)?"
_SEGMENT = rf'(?!{_DEVICES}(?:/|\Z))(?!\.)[^\x00-\x1f\x7f/\\:*?"<>|]{{1,{SEGMENT_LIMIT}}}(?<![. ])'
_plain = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*").fullmatch
_KEYS = {"base", "contents", "files", "format", "keep", "made", "sequence", "stream", "volumes"}
_MADE = {"at", "by", "plan", "proof", "report", "approval"}


def is_plain(segment: str) -> bool:
    """Say whether a segment of a path can name a file, and nothing else, on every platform.

    Refused are separators and drive letters, control characters, dot files (so "." and ".." too), endings that Windows
    drops, names of its devices, and names that are too long or are no text.
    """
    return "/" not in segment and is_plain_path(segment)


def is_plain_path(path: str) -> bool:
    """Say whether each segment of a path is plain."""
    return _plain(path) is not None and (path.isascii() or _is_text(path))


def _is_text(path: str) -> bool:
    try:
        return path.isprintable() and all(len(part.encode("utf-8")) <= SEGMENT_LIMIT for part in path.split("/"))
    except UnicodeEncodeError:  # half of a character
        return False


def fold(path: str) -> str:
    """Return what two paths have in common that are one on a file system without case, or one that normalises names."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def canonical(document: Any) -> bytes:
    """Write JSON in the one form that a manifest may have."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"


def read_canonical(data: bytes) -> Any:
    """Read canonical JSON of whole numbers, texts, lists and tables.

    :raises Refused: it is anything else. Long numbers are refused unread: to read one takes time by its length squared.
    """
    try:
        document = json.loads(
            data.decode("ascii"),
            parse_int=_small_number,
            parse_float=_no_number,
            parse_constant=_no_number,
            object_pairs_hook=_table,
        )
        again = canonical(document)
    except RecursionError:
        raise Refused("it is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"it is not canonical JSON ({str(error)[:100]})") from None
    must(again == data, "it is JSON, but not in the canonical form")
    return document


def _small_number(text: str) -> int:
    must(len(text) <= 16, "it has a number of more than 16 digits")
    return int(text)


def _no_number(text: str) -> NoReturn:
    raise Refused(f"it has a number that is not whole ({text[:20]})")


def _table(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    table = dict(pairs)
    must(len(table) == len(pairs), "a key stands twice in it")
    return table


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    :raises Refused: it is none, or one that asks for what no mirror has.
    """
    must(len(data) <= MANIFEST_LIMIT, f"it is longer than {size_of(MANIFEST_LIMIT)}")
    # Before it is read: what has more of these than the largest manifest takes only memory.
    must(data.count(b"[") <= 5 * FILES_LIMIT and data.count(b",") <= 16 * FILES_LIMIT, "it has too many entries")
    document = read_canonical(data)
    must(isinstance(document, dict) and document.get("format") == FORMAT, f"it is not of format {FORMAT}")
    must(document.keys() == _KEYS, f"it has not the keys {', '.join(sorted(_KEYS))}")
    stream = document["stream"]
    must(isinstance(stream, str) and bool(_STREAM.fullmatch(stream)), "its stream has no plain name")
    volumes = whole(document["volumes"], 1, VOLUMES_LIMIT, "number of volumes")
    files = parse_files(document["files"])
    manifest = Manifest(
        stream=stream,
        sequence=whole(document["sequence"], 1, SEQUENCE_LIMIT, "sequence"),
        base=parse_base(document["base"]),
        files=files,
        contents=parse_contents(document["contents"], volumes, dict(files.values())),
        volumes=volumes,
        made=parse_made(document["made"]),
        keep=parse_keep(document["keep"]),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    check_consistent(manifest)
    return manifest


def check_consistent(manifest: Manifest) -> None:
    """Look if what a manifest says in one place fits to what it says in another."""
    if manifest.base is None:
        lacking = {sha256 for sha256, _ in manifest.files.values()} - manifest.contents.keys()
        must(not lacking, "it builds on no other bundle, and does not carry all that it names")
    else:
        must(manifest.base.sequence < manifest.sequence, "it builds on a bundle that is not older")


def whole(value: Any, low: int, high: int, what: str) -> int:
    """Read a whole number."""
    if type(value) is not int or not low <= value <= high:
        raise Refused(f"its {what} is not a whole number from {low} to {high}")
    return value


def digest(value: Any) -> str:
    """Read a SHA-256."""
    if type(value) is not str or not _SHA256.fullmatch(value):
        raise Refused("it has a SHA-256 that is not 64 hexadecimal digits")
    return value


def row(value: Any, length: int, what: str) -> List[Any]:
    """Read a list of so many things."""
    if type(value) is not list or len(value) != length:
        raise Refused(f"its {what} are not lists of {length}")
    return value


def parse_base(value: Any) -> Optional[Base]:
    """Read what a bundle builds on."""
    if value is None:
        return None
    must(isinstance(value, dict) and value.keys() == {"manifest", "sequence"}, "its base is none")
    return Base(digest(value["manifest"]), whole(value["sequence"], 1, SEQUENCE_LIMIT, "base's sequence"))


def parse_made(value: Any) -> Dict[str, Optional[str]]:
    """Read when, by what and from what a bundle was made."""
    must(isinstance(value, dict) and value.keys() == _MADE, f"what it was made from has not the keys {sorted(_MADE)}")
    by, at = value["by"], value["at"]
    must(isinstance(by, str) and len(by) <= 100, "what it was made by is no short text")
    must(isinstance(at, str) and bool(_TIME.fullmatch(at)), "when it was made is no time such as 2026-11-26T12:00:00Z")
    digest(value["plan"])
    for name in ("proof", "report", "approval"):
        if value[name] is not None:
            digest(value[name])
    return dict(value)


def parse_keep(value: Any) -> Optional[Dict[str, int]]:
    """Read how long releases that left the plan stay."""
    if value is None:
        return None
    must(isinstance(value, dict) and len(value) == 1 and value.keys() <= {"days", "plans"}, "its keep is none")
    return {name: whole(number, 0, SEQUENCE_LIMIT, "keep") for name, number in value.items()}


def parse_files(rows: Any) -> Dict[str, Tuple[str, int]]:
    """Read the state: SHA-256 and size by path."""
    must(type(rows) is list and len(rows) <= FILES_LIMIT, f"its files are not a list of up to {FILES_LIMIT}")
    files: Dict[str, Tuple[str, int]] = {}
    sizes: Dict[str, int] = {}
    last = ""
    for entry in rows:
        path, sha256, size = row(entry, 3, "files")
        check_path(path)
        if path <= last:
            raise Refused("its files are not in order")
        last = path
        files[path] = (digest(sha256), whole(size, 0, SIZE_LIMIT, "size of a file"))
        if sizes.setdefault(sha256, size) != size:
            raise Refused(f"{path} has the SHA-256 of a file of another size")
    check_distinct(files)
    lacking = [path for path in INDISPENSABLE if path not in files]
    must(not lacking, f"there is no {few(lacking)} in the state: it is no whole mirror")
    return files


def check_path(path: Any) -> None:
    """Look if a path of the state is one that a mirror can have.

    :raises Refused: it leads elsewhere, or can't be had on some platform.
    """
    if type(path) is not str or not 0 < len(path) <= PATH_LIMIT:
        raise Refused(f"it has a path that is no text of up to {PATH_LIMIT} characters")
    folder, slash, _ = path.partition("/")
    if not (folder in FOLDERS if slash else path in ROOT_FILES) or not is_plain_path(path):
        raise Refused(f"it has a path that no mirror has: {path[:200]!r}")


def check_distinct(paths: Iterable[str]) -> None:
    """Look if no two paths are one where case does not count, and none is a folder of another."""
    known: Dict[str, str] = {}
    folders: Set[str] = set()
    for path in paths:
        folded = fold(path)
        if known.setdefault(folded, path) is not path:
            raise Refused(f"on some systems these are one path: {path!r}, {known[folded]!r}")
        folder = folded.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    both = folders & known.keys()
    must(not both, f"a path is a folder of another: {few(known[path] for path in both)}")


def parse_contents(rows: Any, volumes: int, sizes: Mapping[str, int]) -> Dict[str, Tuple[int, Tuple[Part, ...]]]:
    """Read what is carried: size and parts by SHA-256."""
    must(type(rows) is list and len(rows) <= FILES_LIMIT, f"its contents are not a list of up to {FILES_LIMIT}")
    contents: Dict[str, Tuple[int, Tuple[Part, ...]]] = {}
    last = ""
    for entry in rows:
        sha256, size, parts = row(entry, 3, "contents")
        if digest(sha256) <= last:
            raise Refused("its contents are not in order")
        last = sha256
        if whole(size, 0, SIZE_LIMIT, "size of a content") != sizes.get(sha256):
            raise Refused(f"it carries what no file has: {sha256}")
        contents[sha256] = (size, parse_parts(parts, sha256, size, volumes))
    check_distinct(part.place for _, parts in contents.values() for part in parts)
    return contents


def parse_parts(rows: Any, sha256: str, size: int, volumes: int) -> Tuple[Part, ...]:
    """Read the parts of a content."""
    if type(rows) is not list or not 0 < len(rows) <= PARTS_LIMIT:
        raise Refused(f"it has a content in more than {PARTS_LIMIT} parts")
    parts = tuple([parse_part(entry, volumes) for entry in rows])
    if len(parts) == 1 and parts[0].sha256 != sha256:
        raise Refused(f"its part is not the whole: {sha256}")
    if sum([part.size for part in parts]) != size:
        raise Refused(f"its parts are not as long as the whole: {sha256}")
    return parts


def parse_part(entry: Any, volumes: int) -> Part:
    """Read a part of a content."""
    volume, place, size, sha256 = row(entry, 4, "parts")
    # A place has a little more than the path that it comes from: .part-1-of-2, .case-2.
    if type(place) is not str or len(place) > PATH_LIMIT + 50 or not is_plain_path(place):
        raise Refused("it has a place that no volume has")
    whole(volume, 1, volumes, "volume of a part")
    return Part(volume, place, whole(size, 0, SIZE_LIMIT, "size of a part"), digest(sha256))


# Signatures.
#
# A signature is judged by a program of this machine, never here. That program gets copies, in a folder that nobody else can
# enter: the manifest's bytes as they were read, the signature, the keys that are trusted. So what it judges is what is used,
# and no name from a stick reaches a command line. It says yes by its exit status alone. What it prints can only turn a yes
# into a no (gpgv says yes of keys that are revoked, too) or name whom it is asked about next (ssh-keygen: the principals);
# both come from the operator's own trust file.

NAMESPACE = "mirror-tasks-bundle"  # of ssh signatures; one that was made for anything else is refused
SIGNATURE_LIMIT = 64 * 1024
TRUST_LIMIT = 16 * 1024 * 1024
VERIFIER_SECONDS = 60.0
MOST_PRINCIPALS = 20

# By the end of a signature's name: its kind. Each of a kind after the first has a number: manifest.json.ssh-2.
SIGNATURE_KINDS = {"ssh": "ssh", "openssl": "openssl", "minisig": "minisign", "gpg": "gpg"}
_SIGNATURE_NAME = re.compile(r"manifest\.json\.(ssh|openssl|minisig|gpg)(?:-[2-9])?")

VERIFIERS = {"ssh": ("ssh-keygen",), "openssl": ("openssl",), "minisign": ("minisign",), "gpg": ("gpgv", "gpgv2")}


class Trusted(NamedTuple):
    """Keys of one kind that are trusted: a file that ``--trust`` named, or one key of it. ``name`` is the file's."""

    kind: str
    name: str
    content: bytes


class Untrusted(Exception):  # noqa: N818 - it is an answer
    """A signature was found not to be one that is trusted; the text says why."""


def verify_signatures(volume: Path, manifest: bytes, trusts: Sequence[Path]) -> str:
    """Return by whom a manifest is signed, as people read it. One signature by a trusted key is enough.

    :param volume: the folder that has the signatures.
    :param manifest: the bytes of its manifest, as they are used from here on.
    :param trusts: files of keys that are trusted.
    :raises Refused: no signature is one by a trusted key, or that can't be found out here, or a file of keys can't be used.
    """
    trusted = [keys for path in trusts for keys in read_trust(path)]
    reasons: List[str] = []
    with Bench(manifest) as bench:
        for name in find_signatures(volume):
            kind = SIGNATURE_KINDS[name[len("manifest.json.") :].partition("-")[0]]
            for keys in trusted:
                if keys.kind == kind:
                    try:
                        return printable(_VERIFY[kind](bench, keys, read_signature(volume / name)))
                    except Untrusted as reason:
                        reasons.append(f"{name}, by the keys of {keys.name}: {reason}")
            if not any(keys.kind == kind for keys in trusted):
                reasons.append(f"{name}: no file of --trust has keys for {VERIFIERS[kind][0]}")
    raise Refused(
        f"nobody who is trusted here has signed the bundle in {volume}. Nothing was changed. {'; '.join(reasons)}. "
        f"{what_is_here(trusted)}Ask who makes the bundle, by another way than it came, with which key that is: the public "
        "half of a new key goes to --trust; a bundle by a key that they do not know is not theirs; one that was altered on "
        "its way is to be carried again."
    )


def what_is_here(trusted: Sequence[Trusted]) -> str:
    """Say of which kinds the trusted keys are and which verifiers this machine has, where one of these is missing."""
    found = [names[0] for kind, names in VERIFIERS.items() if find_program(kind)]
    looked = [names[0] for names in VERIFIERS.values()]
    if found == looked:
        return ""
    kinds = sorted({VERIFIERS[keys.kind][0] for keys in trusted})
    here = f"of {', '.join(looked)} this machine has {', '.join(found) or 'none'}"
    return f"Trusted are keys for {', '.join(kinds)}; {here}. "


def find_signatures(volume: Path) -> List[str]:
    """Return the names of the signatures in a volume's folder.

    :raises Refused: it has none.
    """
    names = sorted(entry for entry in os.listdir(str(volume)) if _SIGNATURE_NAME.fullmatch(entry))
    if not names:
        raise Refused(
            f"the bundle in {volume} has no signature (manifest.json.ssh, .openssl, .minisig or .gpg). Have it signed where"
            " it is made (transfer.sign in mirror.yaml); or say --unsigned, this time, if you know by other means whose it is."
        )
    return names


def read_signature(path: Path) -> bytes:
    """Return a signature's bytes.

    :raises Untrusted: it can't be one.
    """
    try:
        return read_bounded(path, SIGNATURE_LIMIT)
    except (Refused, OSError) as error:
        raise Untrusted(str(error)) from None


# What --trust names is the operator's own; its kind is told by its content.

_SSH_KEY = r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+ +AAAA"
_SSH_SIGNER = re.compile(r"^[^\s#]\S*[ \t].*?\b" + _SSH_KEY, re.MULTILINE)
_PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----")
_PGP_KEYS = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:[^\n]+\n)*\s*\n([A-Za-z0-9+/=\n]+?)(?:\n=[A-Za-z0-9+/]{4})?\n-----END PGP"
)
# RFC 9580, 4.2: the first byte of a packet with a public key, in the old form or the new one, and of one with a secret key.
_PGP_PUBLIC = (b"\x98", b"\x99", b"\xc6")
_PGP_SECRET = (b"\x94", b"\x95", b"\xc5")
_TRUST_FORMS = (
    'lines of allowed_signers (NAME namespaces="mirror-tasks-bundle" ssh-ed25519 AAAA…), a public key in PEM'
    " (-----BEGIN PUBLIC KEY-----), a public key of minisign (untrusted comment: …), or an OpenPGP keyring (gpg --export)"
)


def read_trust(path: Path) -> List[Trusted]:
    """Return the keys of a file that ``--trust`` names.

    :raises Refused: it can't be read, or holds no key of a kind that is known here.
    """
    try:
        with open(str(path), "rb") as stream:
            content = stream.read(TRUST_LIMIT + 1)
    except OSError as error:
        raise Refused(f"can't read the trusted keys in {path}: {error.strerror}. Check the path of --trust.") from None
    if len(content) > TRUST_LIMIT:
        raise Refused(f"{path} is larger than {TRUST_LIMIT} bytes, which no file of trusted keys is. Check --trust.")
    if b"PRIVATE KEY" in content[:100] or b"secret key" in content[:60] or content[:1] in _PGP_SECRET:
        raise Refused(
            f"{path} is a secret key. Only the public one belongs here: keep this one where bundles are signed."
        )
    try:
        found = read_keys(path.name, content)
    except ValueError:
        raise Refused(
            f"{path} holds a key that was cut or altered: it is not base64. Have it brought once more."
        ) from None
    if not found:
        what = "an empty file" if not content.strip() else what_else(content)
        raise Refused(f"{path} holds no key that can be trusted: expected {_TRUST_FORMS}; found {what}.")
    return found


def read_keys(name: str, content: bytes) -> List[Trusted]:
    """Return the keys in the content of a file: all kinds but PEM and OpenPGP's armour are for the verifier to read.

    :raises ValueError: what should be base64 is not.
    """
    if content[8:12] == b"KBXf" or content[:1] in _PGP_PUBLIC:
        return [Trusted("gpg", name, content)]
    text = as_utf8(content)
    if text.startswith(b"untrusted comment:"):
        return [Trusted("minisign", name, text)]
    pem = [(key.group(0) + b"\n", base64.b64decode(key.group(1))) for key in _PUBLIC_KEY.finditer(text)]
    if pem:
        return [Trusted("openssl", name, key) for key, _ in pem]
    armoured = [base64.b64decode(keys.group(1)) for keys in _PGP_KEYS.finditer(text)]
    if armoured:
        return [Trusted("gpg", name, b"".join(armoured))]
    return [Trusted("ssh", name, text)] if _SSH_SIGNER.search(text.decode("utf-8", "replace")) else []


def as_utf8(content: bytes) -> bytes:
    """Return a text file as the programs read it, whatever an editor of Windows made of it."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", "replace").encode("utf-8")
    if content[:3] == b"\xef\xbb\xbf":
        content = content[3:]
    return content.replace(b"\r\n", b"\n")


def what_else(content: bytes) -> str:
    """Say what a file is that holds no trusted keys, where it is something that people take for it."""
    text = as_utf8(content).decode("utf-8", "replace")
    if re.match(_SSH_KEY, text):
        return "a public key of ssh alone: put a name and the namespace before it, as above"
    if "-----BEGIN " in text:
        kind = printable(text.partition("-----BEGIN ")[2][:40].partition("-----")[0])
        return f"{kind} (`openssl pkey -pubin`, of a certificate `openssl x509 -noout -pubkey`, gives the public key in PEM)"
    return "something else"


class Answer(NamedTuple):
    """What a verifier said: its exit status, its standard output, and the last lines of its standard error."""

    status: int
    output: str
    last: str


class Bench:
    """A folder that only this user can enter, for one verification; it is removed at the end, however that comes."""

    def __init__(self, manifest: bytes) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="receive-")
        self.put("manifest.json", manifest)

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def put(self, name: str, content: bytes) -> None:
        """Write a file that a verifier is to read; the name is of our choice."""
        with open(os.path.join(self._folder.name, name), "wb") as stream:
            stream.write(content)

    def ask(self, kind: str, *arguments: str, with_manifest: bool = False) -> Answer:
        """Run the verifier of a kind in this folder, without a shell and with no more of the environment than it needs.

        :param with_manifest: it reads the manifest from its standard input.
        :raises Untrusted: there is none, or it does not end.
        """
        program = find_program(kind)
        if program is None:
            raise Untrusted(f"this machine has no {' or '.join(VERIFIERS[kind])} to judge it with; install it")
        try:
            with open(os.path.join(self._folder.name, "manifest.json") if with_manifest else os.devnull, "rb") as stdin:
                done = subprocess.run(
                    [program, *arguments],
                    cwd=self._folder.name,
                    env=clean_environment(self._folder.name),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    timeout=VERIFIER_SECONDS,
                )
        except subprocess.TimeoutExpired:
            raise Untrusted(f"{program} did not end within {VERIFIER_SECONDS:.0f} seconds") from None
        except OSError as error:
            raise Untrusted(f"{program} can't be run: {error.strerror}") from None
        lines = [" ".join(line.split()) for line in done.stderr.decode("utf-8", "replace").split("\n") if line.strip()]
        last = " / ".join(lines[-2:])[-400:].rstrip(".") or f"exit status {done.returncode}"
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace"), last)


def find_program(kind: str) -> Optional[str]:
    """Return the absolute path of the verifier of a kind, None where there is none.

    Each folder of the PATH is looked into by its own absolute path: Windows would look into the current folder first, which
    may be a stick.
    """
    for name in VERIFIERS[kind]:
        for folder in os.get_exec_path():
            found = shutil.which(os.path.join(folder, name + ".exe" if os.name == "nt" else name))
            if found and os.path.isabs(folder):
                return found
    return None


def clean_environment(home: str) -> Dict[str, str]:
    """Return what a verifier is told of this machine: nothing that could lead it to other keys or settings of a user."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "WINDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "HOME": home, "USERPROFILE": home, "GNUPGHOME": home, "TMPDIR": home, "TEMP": home}


def verify_by_ssh(bench: Bench, keys: Trusted, signature: bytes) -> str:
    """Ask ssh-keygen whose key it is by allowed_signers, then whether it is their signature, here and now, for bundles.

    :raises Untrusted: it is not.
    """
    bench.put("allowed_signers", keys.content)
    bench.put("signature", signature)
    names = bench.ask("ssh", "-Y", "find-principals", "-s", "signature", "-f", "allowed_signers")
    answer = names
    if names.status == 0:
        for principal in names.output.splitlines()[:MOST_PRINCIPALS]:
            who = ["-f", "allowed_signers", "-I", principal]
            answer = bench.ask("ssh", "-Y", "verify", *who, "-n", NAMESPACE, "-s", "signature", with_manifest=True)
            if answer.status == 0:
                return f"{principal[:200]} (ssh)"
    raise Untrusted(why_not_by_ssh(bench, answer.last))


def why_not_by_ssh(bench: Bench, last: str) -> str:
    """Say why a signature was refused: whether it is whole, and who made it, is for people to know, not believed."""
    whole = bench.ask("ssh", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", "signature", with_manifest=True)
    if whole.status != 0:
        return f"it is not a signature of this manifest for {NAMESPACE} ({whole.last})"
    key = whole.output.strip()[-200:].rpartition(" with ")[2]
    return f"it was made with {printable(key)}, which is not trusted there ({last})"


# DER of a public key: SEQUENCE, SEQUENCE, OBJECT IDENTIFIER 1.3.101.112 (Ed25519) or .113 (Ed448).
_EDWARDS = re.compile(rb"\x30.\x30\x05\x06\x03\x2b\x65[\x70\x71]", re.DOTALL)


def verify_by_openssl(bench: Bench, keys: Trusted, signature: bytes) -> str:
    """Ask openssl; keys of RSA and elliptic curves sign a hash, those of Ed25519 the manifest itself.

    :raises Untrusted: it is not a signature by this key.
    """
    bench.put("key.pem", keys.content)
    bench.put("signature", signature)
    key = base64.b64decode(keys.content.split(b"-----")[2])
    if _EDWARDS.match(key):
        how = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in"]
    else:
        how = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "signature"]
    if bench.ask("openssl", *how, "manifest.json").status == 0:
        return f"{keys.name}, key {hashlib.sha256(key).hexdigest()[:16]} (openssl)"
    version = bench.ask("openssl", "version").output.partition(" (")[0].strip()[:60]
    if _EDWARDS.match(key) and not re.match(r"OpenSSL ([3-9]|\d\d)", version):
        raise Untrusted(f"a key of Ed25519 or Ed448 needs OpenSSL 3 or newer; here is {version}")
    raise Untrusted(f"it is not a signature of this manifest by this key ({version})")


def verify_by_minisign(bench: Bench, keys: Trusted, signature: bytes) -> str:
    """Ask minisign.

    :raises Untrusted: it is not a signature by this key.
    """
    bench.put("minisign.pub", keys.content)
    bench.put("signature", signature)
    answer = bench.ask("minisign", "-V", "-p", "minisign.pub", "-x", "signature", "-m", "manifest.json")
    if answer.status == 0:
        return f"{keys.name}, {minisign_key(keys.content)} (minisign)"
    raise Untrusted(f"it is not a signature of this manifest by {minisign_key(keys.content)} ({answer.last})")


def minisign_key(content: bytes) -> str:
    """Return a key's number as minisign writes it."""
    try:
        return f"key {int.from_bytes(base64.b64decode(content.splitlines()[1])[2:10], 'little'):X}"
    except (IndexError, ValueError):
        return "a key that can't be read"


_STRONG_DIGESTS = ("8", "9", "10", "11", "12", "14")  # RFC 9580, 9.5: the SHA-2 and SHA-3 families
_PGP_VERDICTS = ("GOODSIG", "BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG")


def verify_by_gpg(bench: Bench, keys: Trusted, signature: bytes) -> str:
    """Ask gpgv, which takes all keys of its keyring as trusted.

    It says yes by its exit status even of a key that was revoked or has expired, and of SHA-1; by its status lines it
    tells so.

    :raises Untrusted: it is not a good signature by one of these keys.
    """
    bench.put("keyring", keys.content)
    bench.put("signature", signature)
    answer = bench.ask("gpg", "--status-fd", "1", "--keyring", "./keyring", "signature", "manifest.json")
    lines = [line.split(" ") for line in answer.output.splitlines() if line.startswith("[GNUPG:] ")]
    verdicts = [words for words in lines if words[1] in _PGP_VERDICTS]
    valid = [words for words in lines if words[1] == "VALIDSIG" and len(words) > 10]
    if [words[1] for words in verdicts] == ["GOODSIG"] and len(valid) == 1 and answer.status == 0:
        digest, of_what = valid[0][9:11]
        if digest not in _STRONG_DIGESTS or of_what != "00":
            raise Untrusted(
                f"it is made with a hash that is forged today (number {digest}), or of a text, not of bytes"
            )
        return f"{' '.join(verdicts[0][3:])[:200]}, key {valid[0][-1]} (gpg)"
    raise Untrusted(why_not_by_gpg([words[1] for words in verdicts], answer))


def why_not_by_gpg(verdicts: Sequence[str], answer: Answer) -> str:
    """Say why a signature was refused."""
    if "REVKEYSIG" in verdicts:
        return "its key was revoked"
    if "EXPKEYSIG" in verdicts:
        return "its key has expired; a later export of the key may say that it lasts longer"
    if len(verdicts) > 1:
        return "it holds more than one signature; each belongs into a file of its own"
    return f"it is not a signature of this manifest by one of these keys ({answer.last})"


_VERIFY: Dict[str, Callable[[Bench, Trusted, bytes], str]] = {
    "ssh": verify_by_ssh,
    "openssl": verify_by_openssl,
    "minisign": verify_by_minisign,
    "gpg": verify_by_gpg,
}


# Volumes.


class Volume(NamedTuple):
    """A folder with a manifest: what its ``volume.json`` says that it is, 0 where that says nothing."""

    folder: Path
    number: int


class Bundle(NamedTuple):
    """A manifest, its bytes, the folders in which it was found, and by whom it is signed."""

    manifest: Manifest
    data: bytes
    volumes: List[Volume]
    by: str


_READING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)


def open_regular(path: str) -> int:
    """Open a regular file that no link leads to; a pipe or a device is not waited for.

    :raises Refused: it is something else.
    :raises OSError: it can't be opened.
    """
    descriptor = os.open(path, _READING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{path} is no regular file")
    return descriptor


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a regular file of up to so many bytes.

    :raises Refused: it is something else, or longer.
    :raises OSError: it can't be read.
    """
    with open(open_regular(str(path)), "rb") as file:
        data = file.read(limit + 1)
    must(len(data) <= limit, f"{path} is longer than {size_of(limit)}")
    return data


def find_volumes(folder: Path, depth: int = 2) -> Iterator[Path]:
    """Yield the folders that have a manifest: this one, or what is in it, or in those. Links are not entered."""
    names = [name for name in ("manifest.json", "volume.json", "files") if os.path.lexists(folder / name)]
    if "manifest.json" in names and len(names) > 1:  # alone, it is some other program's
        yield folder
    elif depth:
        for name in folders_in(folder):
            yield from find_volumes(folder / name, depth - 1)


def folders_in(folder: Path) -> List[str]:
    """Return the names of the folders in a folder, sorted; what can't be looked into has none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


Signer = Callable[[Sequence[Volume], bytes], str]
"""Returns by whom a manifest is, whose bytes and folders it is given; raises ``Refused`` where it is by nobody who is trusted."""


def gather(folders: Sequence[Path], signer: Signer) -> Tuple[List[Bundle], List[str]]:
    """Return the bundles that are in some folders, oldest first, and what is wrong with manifests that are none.

    :raises Refused: there is not even one that is none.
    """
    found: Dict[bytes, List[Volume]] = {}
    wrong: List[str] = []
    held = 0  # bytes of manifests in memory, which nobody's signature vouches for yet
    for folder in folders:
        must(folder.is_dir(), f"there is no folder {folder}; give a volume's, a bundle's, or the stick's")
        for place in find_volumes(folder):
            try:
                data = read_bounded(place / "manifest.json", MANIFEST_LIMIT)
                held += 0 if data in found else len(data)
                must(data in found or held <= TOGETHER_LIMIT, _too_many_manifests())
                found.setdefault(data, []).append(Volume(place, number_of(place, data)))
            except (Refused, OSError) as error:
                wrong.append(f"{place}: {error}")
    bundles = list(filter(None, (_bundle(data, volumes, signer, wrong) for data, volumes in found.items())))
    must(
        bool(bundles or wrong),
        f"there is no bundle in {few(map(str, folders))}: expected manifest.json there, or up to two folders below. "
        "Give the folder of a volume, that of a bundle, or the stick.",
    )
    return sorted(bundles, key=lambda bundle: (bundle.manifest.sequence, bundle.manifest.stream)), wrong


def _too_many_manifests() -> str:
    return (
        f"with those found before it there is more than {size_of(TOGETHER_LIMIT)} of manifests, which is not held in memory; "
        "give the folder of this bundle alone"
    )


def _bundle(data: bytes, volumes: List[Volume], signer: Signer, wrong: List[str]) -> Optional[Bundle]:
    try:
        by = signer(volumes, data)  # before it is read: a stranger's bytes reach no more of this program than that
    except Refused as error:
        wrong.append(str(error))
        return None
    try:
        return Bundle(parse_manifest(data), data, volumes, by)
    except Refused as error:
        where = few(str(volume.folder / "manifest.json") for volume in volumes)
        wrong.append(
            f"{where} is no manifest of a bundle: {error}. It was altered on its way, or not copied whole; bring what is in "
            "this folder once more. Nothing of it was used."
        )
        return None


def number_of(folder: Path, manifest: bytes) -> int:
    """Return which volume a folder says to be, 0 where it does not say it of this manifest."""
    if folder.name.startswith("again-"):  # what was sent once more, of any volume
        return 0
    try:
        about = json.loads(read_bounded(folder / "volume.json", 1000).decode("ascii"))
        if about["manifest"] == hashlib.sha256(manifest).hexdigest():
            return whole(about["volume"], 1, VOLUMES_LIMIT, "volume")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, Refused):
        pass
    return 0


def files_on(volume: Path) -> Dict[str, str]:
    """Return the regular files below ``files/``, by the folded path: a medium may write names in capitals.

    Links, pipes and devices are left out, and what is below a link.
    """
    found: Dict[str, str] = {}
    folders = [""] if is_folder(volume / "files") else []
    while folders and len(found) <= 2 * FILES_LIMIT:
        folder = folders.pop()
        with contextlib.suppress(OSError), os.scandir(volume / "files" / folder) as entries:
            for entry in entries:
                path = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if path.count("/") < PATH_LIMIT // 2:
                        folders.append(path + "/")
                elif entry.is_file(follow_symlinks=False):
                    found[fold(path)] = path
    return found


# Places inside.


def received(root: Path) -> Path:
    """Where what is never served stands."""
    return root / "received"


def tree_of(root: Path, number: int) -> Path:
    """Where the tree of a generation stands."""
    return root / "generations" / str(number)


def have_folder(path: Path) -> None:
    """Make a folder, unless it is there.

    :raises Refused: something else is there: a link could lead what is written out of the mirror.
    """
    if not os.path.lexists(path):
        os.mkdir(path, 0o755)
    check_folder(path)


def is_folder(path: Path) -> bool:
    """Say whether a folder is there, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def check_folder(path: Path) -> None:
    """Look if a folder is one, unless nothing is there.

    :raises Refused: something else is there.
    """
    must(
        not os.path.lexists(path) or is_folder(path),
        f"{path} should be a folder, and is a link or a file. Nothing was changed. Move it away, then run again.",
    )


PLACES = (
    "generations",
    "received",
    "received/generations",
    "received/manifests",
    "received/incoming",
    "received/contents",
)


def have_places(root: Path) -> None:
    """Make the folders that this program writes in."""
    have_folder(root)
    for name in PLACES:
        have_folder(root / name)


def check_places(root: Path) -> None:
    """Look if no link is where these folders should be, before anything is read there.

    :raises Refused: there is one.
    """
    for name in (*PLACES, "own"):
        check_folder(root / name)


def check_target(root: Path) -> None:
    """Look if a directory may hold generations.

    :raises Refused: it holds something else.
    """
    if not root.exists():
        must(root.parent.is_dir(), f"there is no directory {root.parent} to make {root.name} in; make it first")
        return
    must(root.is_dir(), f"{root} is no directory; give with --to the one that the mirror is to stand in")
    plain = [name for name in ("simple", "packages", SUMS) if os.path.lexists(root / name)]
    must(
        not plain,
        f"{root} holds a mirror that was copied there as it is ({few(plain)}). Give with --to another directory, and when "
        "the bundle is applied serve that one; or move what is there away first. Nothing was changed.",
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; it is on the disk when this returns."""
    temporary = path.with_name(path.name + ".new")
    remove(temporary)
    with open(os.open(str(temporary), _WRITING, 0o644), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    rename(temporary, path)
    sync_folder(path.parent)


HELD_SECONDS = 5.0 if os.name == "nt" else 0.0


def rename(source: Path, target: Path) -> None:
    """Give a file or a folder its name, in place of a file that has it.

    Windows refuses that while another program has one of them open, as a scanner of viruses has for a moment.

    :raises OSError: it can't be done, there for some seconds.
    """
    until = time.monotonic() + HELD_SECONDS
    while True:
        try:
            os.replace(source, target)
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)
        else:
            return


_PLAINLY = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAINLY
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _PLAINLY
_LOCKING = os.O_RDWR | os.O_CREAT | _PLAINLY


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk, where a system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(str(path), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a link, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


class Lock:
    """One run at a time in a mirror. The system lets go of it when the process ends, whichever way.

    :raises Refused: another run holds it.
    """

    def __init__(self, root: Path) -> None:
        self._path = received(root) / "lock"
        self._file = open(os.open(str(self._path), _LOCKING, 0o644), "r+b")

    def __enter__(self) -> "Lock":
        try:
            lock_file(self._file.fileno())
        except OSError:
            note = self._file.read(500).decode("utf-8", "replace").strip()
            self._file.close()
            raise Refused(
                f"another run is at work there ({note or 'it did not say which'}). Nothing was changed. "
                "Wait until it has ended, then run again."
            ) from None
        note = f"process {os.getpid()} on {socket.gethostname()}, since {now()}"
        with contextlib.suppress(OSError):  # a full disk: the lock is held, only what it says is missing
            self._file.truncate(0)
            self._file.write(note.encode("utf-8"))
            self._file.flush()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.truncate(0)
        self._file.close()


def lock_file(descriptor: int) -> None:
    """Lock a file for this process.

    :raises OSError: another one has locked it.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where nobody else may read what is locked: a byte beyond the note
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def now() -> str:
    """Return the time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_id() -> str:
    """Return what changes when the machine is started anew, "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


# What is inside.


class Seen(NamedTuple):
    """The highest bundle of a stream that was received, and all that were."""

    sequence: int
    manifest: str
    seen: Tuple[Tuple[int, str], ...]


class State(NamedTuple):
    """``received/state.json``: what stays when generations go. ``next`` is the number of the next generation."""

    streams: Dict[str, Seen]
    own: Any
    next: int


class Applied(NamedTuple):
    """The bundle of a stream in a generation."""

    manifest: str
    sequence: int
    by: str
    at: str


class Generation(NamedTuple):
    """``received/generations/<n>.json``: what a tree is made of, and which one was served before it."""

    number: int
    streams: Dict[str, Applied]
    own: Any
    made: str
    before: Optional[int]


def read_record(path: Path) -> Any:
    """Read JSON that this program wrote; None where there is none.

    :raises Refused: it is something else.
    """
    try:
        return json.loads(read_bounded(path, RECORD_LIMIT).decode("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Refused(
            f"can't read {path}: {error}. It says what was received; bring it back from a backup. Nothing was changed."
        ) from None


def read_state(root: Path) -> State:
    """Read what was received. The generations that stand count too: one may have come to be just before a kill.

    :raises Refused: it can't be read.
    """
    state = read_state_file(root)
    for generation in standing(root):
        state = state._replace(next=max(state.next, generation.number + 1))
        for stream, applied in generation.streams.items():
            state = with_seen(state, stream, applied.sequence, applied.manifest)
    return state


def read_state_file(root: Path) -> State:
    """Read ``received/state.json``.

    :raises Refused: it can't be read.
    """
    path = received(root) / "state.json"
    record = read_record(path)
    if record is None:
        return State({}, None, 1)
    try:
        must(record["format"] == FORMAT, "it is of another format")
        streams = {name: _seen(known) for name, known in record["streams"].items()}
        return State(streams, record.get("own"), int(record["next"]))
    except (KeyError, TypeError, ValueError, AttributeError, Refused) as error:
        raise Refused(
            f"{path} is not what this program wrote ({error}). It says what was received; bring it back from a backup. "
            "Nothing was changed."
        ) from None


def _seen(known: Any) -> Seen:
    seen = tuple((int(sequence), digest(sha256)) for sequence, sha256 in known["seen"])
    return Seen(int(known["sequence"]), digest(known["manifest"]), seen)


def with_seen(state: State, stream: str, sequence: int, manifest: str) -> State:
    """Return a state in which a bundle has been received."""
    known = state.streams.get(stream, Seen(0, "", ()))
    if (sequence, manifest) not in known.seen:
        known = known._replace(seen=(*known.seen, (sequence, manifest)))
    if sequence > known.sequence:
        known = known._replace(sequence=sequence, manifest=manifest)
    return state._replace(streams={**state.streams, stream: known})


def write_state(root: Path, state: State) -> None:
    """Write what was received."""
    record = {
        "format": FORMAT,
        "streams": {name: known._asdict() for name, known in state.streams.items()},
        "own": state.own,
        "next": state.next,
    }
    write_whole(received(root) / "state.json", canonical(record))


def standing(root: Path) -> List[Generation]:
    """Return the generations that stand, the newest first.

    :raises Refused: the record of one can't be read.
    """
    numbers = [int(name) for name in folders_in(root / "generations") if re.fullmatch("[1-9][0-9]{0,15}", name)]
    found = (read_generation(root, number) for number in sorted(numbers, reverse=True))
    return [generation for generation in found if generation]


def read_generation(root: Path, number: int) -> Optional[Generation]:
    """Read what a generation is made of; None where that was never recorded: it is not whole."""
    path = received(root) / "generations" / f"{number}.json"
    record = read_record(path)
    if record is None:
        return None
    try:
        streams = {
            name: Applied(digest(applied["manifest"]), int(applied["sequence"]), str(applied["by"]), str(applied["at"]))
            for name, applied in record["streams"].items()
        }
        before = record["before"]
        return Generation(
            number, streams, record.get("own"), str(record["made"]), None if before is None else int(before)
        )
    except (KeyError, TypeError, ValueError, AttributeError, Refused):
        raise Refused(
            f"{path} is not what this program wrote; bring it back from a backup. Nothing was changed."
        ) from None


def read_manifest(root: Path, sha256: str) -> Manifest:
    """Read the manifest of a generation that stands.

    :raises Refused: it is not there as it was.
    """
    path = received(root) / "manifests" / f"{sha256}.json"
    try:
        data = read_bounded(path, MANIFEST_LIMIT)
        must(hashlib.sha256(data).hexdigest() == sha256, "it was changed")
        return parse_manifest(data)
    except (Refused, OSError) as error:
        raise Refused(
            f"can't use {path}: {error}. It says what stands inside; bring it back from a backup. Nothing was changed."
        ) from None


def pointed(root: Path) -> Optional[int]:
    """Return the generation that is served, None where there is none yet. Where there are both, the link counts.

    :raises Refused: what points to it is something else.
    """
    link, text = root / "current", root / "current.txt"
    try:
        target = os.readlink(link).replace("\\", "/")
    except FileNotFoundError:
        try:
            target = "generations/" + read_bounded(text, 100).decode("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, Refused) as error:
            raise Refused(f"can't read {text}: {error}. It should hold the number of a generation.") from None
    except OSError:
        raise Refused(f"{link} should be a link to generations/<n>, and is something else. Move it away.") from None
    match = re.fullmatch("generations/([1-9][0-9]{0,15})/?", target)
    must(match is not None, f"{link} leads to {target}, which is no generation. Point it to one: generations/<n>.")
    assert match
    return int(match.group(1))


def point(root: Path, number: int) -> None:
    """Have a generation served, from one moment to the next.

    Both ways of pointing never contradict each other, for a link counts before the file: where links can be had, the file
    goes after the link has come; where they can't, the link goes after the file has come.
    """
    link, text, new = root / "current", root / "current.txt", root / "current.new"
    remove(new)
    if make_link(new, f"generations/{number}"):
        rename(new, link)
        remove(text)
    else:
        write_whole(text, f"{number}\n".encode("ascii"))
        remove(link)
    sync_folder(root)


def make_link(path: Path, target: str) -> bool:
    """Make a link to a folder, and say whether that can be done here. Windows replaces no such link: there it can't."""
    if os.name == "nt":
        return False
    try:
        os.symlink(target, path)
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) in _FULL:
            raise
        return False
    return True


def sums_in(path: Path) -> Dict[str, str]:
    """Read SHA256SUMS: hashes by path.

    :raises Refused: a line is something else.
    :raises OSError: it can't be read.
    """
    return parse_sums(read_bounded(path, MANIFEST_LIMIT), str(path))


def parse_sums(content: bytes, of: str) -> Dict[str, str]:
    """Read the bytes of SHA256SUMS.

    :raises Refused: a line is something else.
    """
    sums: Dict[str, str] = {}
    for path, sha256 in lines_of(content, of):
        must(path not in sums, f"{of} has two lines of one path")
        sums[path] = sha256
    return sums


def lines_of(content: bytes, of: str) -> Iterator[Tuple[str, str]]:
    """Yield the paths and hashes in the bytes of SHA256SUMS, one after the other: all at once take much memory.

    :raises Refused: a line is something else.
    """
    try:
        for line in io.BytesIO(content):
            text = line.decode("utf-8")
            if text[64:66] != "  " or text[-1] != "\n" or not _SHA256.fullmatch(text, 0, 64):
                raise Refused(f"{of} has a line that is none of SHA256SUMS")
            yield text[66:-1], text[:64]
    except ValueError:
        raise Refused(f"{of} is no text") from None


def find_inside(root: Path, wanted: Mapping[str, int]) -> Dict[str, str]:
    """Return where in the generations that stand the wanted contents are.

    What was written to since it came is hashed, where there is no other file with that content.

    :param wanted: sizes by SHA-256.
    :return: paths of files by SHA-256.
    """
    found: Dict[str, str] = {}
    touched: List[Tuple[str, str]] = []
    for generation in standing(root):
        tree = f"{tree_of(root, generation.number)}/"
        finished = changed_at(tree + SUMS)
        for path, sha256 in sums_listed(root, generation, (SUMS, KEPT_SUMS)):
            if sha256 in wanted and sha256 not in found and is_whole(tree + path, wanted[sha256]):
                if changed_at(tree + path) <= finished:
                    found[sha256] = tree + path
                else:
                    touched.append((tree + path, sha256))
    store = f"{received(root)}/contents/"
    for sha256 in os.listdir(store) if os.path.isdir(store) else ():
        if sha256 in wanted and sha256 not in found and is_whole(store + sha256, wanted[sha256]):
            found[sha256] = store + sha256
    hash_touched(touched, wanted, found)
    return found


def hash_touched(touched: Sequence[Tuple[str, str]], wanted: Mapping[str, int], found: Dict[str, str]) -> None:
    """Add to what was found the files that still have the content which they came with."""
    progress = Progress(sum(wanted[sha256] for _, sha256 in touched if sha256 not in found), sys.stderr)
    for path, sha256 in touched:
        with contextlib.suppress(OSError, Refused):
            if sha256 not in found and hash_file(path, progress) == sha256:
                found[sha256] = path


def sums_listed(root: Path, generation: Generation, names: Sequence[str]) -> Iterator[Tuple[str, str]]:
    """Yield the paths and hashes of what stands in a tree; what can't be read counts as not there.

    :param names: which lists are read; the one of the whole tree gives its own hash, too.
    """
    for name in names:
        path = tree_of(root, generation.number) / name
        try:
            content = read_bounded(path, MANIFEST_LIMIT)
            for place, sha256 in lines_of(content, str(path)):
                check_path(place)
                yield place, sha256
        except (OSError, Refused) as error:
            if name == SUMS or not isinstance(error, FileNotFoundError):
                report(f"can't use {path}: {error}. What it names counts as not there.")
            continue
        if name == SUMS:
            yield SUMS, hashlib.sha256(content).hexdigest()


def changed_at(path: str) -> int:
    """Return when a file was written, in nanoseconds; 0 where there is none."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0


def is_whole(path: str, size: int) -> bool:
    """Say whether a regular file of this size is there; no link is followed."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size


# Incoming.

CHUNK = 1 << 20
THREADS = 2


class Broke(NamedTuple):
    """A place on a stick whose bytes are not what they should be."""

    sha256: str  # of the content that it is a part of
    place: str
    problem: str


class Incoming:
    """``received/incoming/<manifest>``: what was verified, by SHA-256, and a journal that says so.

    What the journal notes of this boot is taken as it is, if size and time fit: a process that was killed loses nothing
    that it had written. After a loss of power it may have: what was noted before is hashed again. Where a system does
    not say when it was started, each file is on the disk before it is noted.
    """

    def __init__(self, root: Path, manifest: Manifest, data: bytes, boot: Optional[str] = None) -> None:
        self.folder = received(root) / "incoming" / manifest.sha256
        self._prefix = f"{self.folder}/"
        self._boot = boot_id() if boot is None else boot
        self._manifest = manifest
        have_folder(self.folder)
        if not is_whole(str(self.folder / "manifest.json"), len(data)):
            write_whole(self.folder / "manifest.json", data)
        self._lock = threading.Lock()
        self.verified: Set[str] = set()
        journal = os.open(f"{self.folder}/journal.jsonl", _APPENDING, 0o644)
        self._journal = open(journal, "ab", buffering=0)
        self._hash_again(self._believe_journal())

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def has_links(self) -> bool:
        """Say if the file system has hard links."""
        probe = self.folder / "probe"
        remove(probe)
        try:
            os.link(self.folder / "manifest.json", probe)
        except (OSError, NotImplementedError):
            return False
        remove(probe)
        return True

    def path(self, sha256: str) -> str:
        """Where a content stands, or will."""
        return self._prefix + sha256

    def _believe_journal(self) -> Dict[str, int]:
        """Take as verified what the journal says, as far as it can; return the sizes of what is to be hashed again."""
        doubtful: Dict[str, int] = {}
        for line in read_bounded(self.folder / "journal.jsonl", MANIFEST_LIMIT).split(b"\n"):
            try:
                entry = json.loads(line.decode("ascii"))
                sha256 = digest(entry["sha256"])
                status = os.lstat(self.path(sha256))
                same = stat.S_ISREG(status.st_mode) and status.st_size == entry["size"]
                if same and (entry["boot"], entry["mtime_ns"]) == (self._boot, status.st_mtime_ns):
                    self.verified.add(sha256)
                elif same:
                    doubtful[sha256] = status.st_size
            except (ValueError, KeyError, TypeError, OSError, RecursionError, Refused):
                continue  # the last line of a run that was killed, or a file that is gone: it is taken again
        return {sha256: size for sha256, size in doubtful.items() if sha256 not in self.verified}

    def _hash_again(self, doubtful: Mapping[str, int]) -> None:
        progress = Progress(sum(doubtful.values()), sys.stderr)
        for sha256 in doubtful:
            with contextlib.suppress(OSError, Refused):
                if hash_file(self.path(sha256), progress) == sha256:
                    self._note(sha256, os.lstat(self.path(sha256)))

    def take(self, source: str, sha256: str, size: int, counted: Callable[[int], None]) -> None:
        """Copy a file of a volume, and hash what is copied.

        :raises Broken: it can't be read, or is not what it should be.
        :raises OSError: it can't be written.
        """
        try:
            descriptor = open_regular(source)
        except (OSError, Refused) as error:
            raise Broken(f"it can't be read: {error}") from None
        with io.FileIO(descriptor, "rb") as file:
            self._put(pieces_of(file, size), sha256, counted)

    def _put(self, pieces: Iterable[memoryview], sha256: str, counted: Callable[[int], None]) -> None:
        path = self.path(sha256)
        target = create(path)
        try:
            found = copy_hashed(pieces, target, counted)
            if found != sha256:
                raise Broken("its bytes are not those that the manifest names")  # noqa: TRY301
            if not self._boot:
                os.fsync(target)
            status = os.fstat(target)
        except BaseException:
            os.close(target)
            os.unlink(path)
            raise
        os.close(target)
        self._note(sha256, status)

    def _note(self, sha256: str, status: os.stat_result) -> None:
        entry = (
            f'{{"boot":"{self._boot}","mtime_ns":{status.st_mtime_ns},"sha256":"{sha256}","size":{status.st_size}}}\n'
        )
        with self._lock:
            self._journal.write(entry.encode("ascii"))
            self.verified.add(sha256)

    def put_together(self, sha256: str, parts: Sequence[Part]) -> None:
        """Make a content of its parts, which are all there.

        :raises Broken: they don't make up the whole.
        """
        self._put(self._pieces(parts), sha256, lambda _: None)
        for part in parts:
            remove(Path(self.path(part.sha256)))
            self.verified.discard(part.sha256)

    def _pieces(self, parts: Sequence[Part]) -> Iterator[memoryview]:
        for part in parts:
            with io.FileIO(open_regular(self.path(part.sha256)), "rb") as file:
                yield from pieces_of(file, part.size)


def create(path: str) -> int:
    """Open a new file to write; what a run that was killed has left there goes."""
    try:
        return os.open(path, _WRITING, 0o644)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _WRITING, 0o644)


def copy_hashed(pieces: Iterable[memoryview], target: int, counted: Callable[[int], None]) -> str:
    """Write pieces of bytes, and return the SHA-256 of all of them."""
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)  # without the interpreter's lock, as the system reads and writes: another thread goes on
        counted(len(piece))
        while piece:
            piece = piece[os.write(target, piece) :]
    return hashed.hexdigest()


_buffers = threading.local()  # one for each thread, used for all its files


def pieces_of(file: io.FileIO, size: int) -> Iterator[memoryview]:
    """Yield the bytes of a file, which are to be so many; a piece is valid until the next one.

    :raises Broken: there are more or fewer of them, or they can't be read.
    """
    if not hasattr(_buffers, "own"):
        _buffers.own = memoryview(bytearray(CHUNK))
    left = size
    while True:
        try:
            count = file.readinto(_buffers.own) or 0
        except OSError as error:
            raise Broken(f"it can't be read: {error}") from None
        left -= count
        if left < 0 or (left and not count):
            raise Broken(f"it is not {size} bytes long")
        if not count:
            return
        yield _buffers.own[:count]


def hash_file(path: str, progress: Progress) -> str:
    """Return the SHA-256 of a file.

    :raises OSError: it can't be read; Refused: it is none.
    """
    hashed = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    with io.FileIO(open_regular(path), "rb") as file:
        for count in iter(lambda: file.readinto(buffer) or 0, 0):
            hashed.update(buffer[:count])
            progress.add(count)
    return hashed.hexdigest()


def parts_of(manifest: Manifest, sha256: str) -> Tuple[Part, ...]:
    """Return where a content is looked for; one that the bundle did not carry may come later, at the path of a file."""
    if sha256 in manifest.contents:
        return manifest.contents[sha256][1]
    path, size = next((path, size) for path, (found, size) in manifest.files.items() if found == sha256)
    return (Part(0, path, size, sha256),)


def parts_to_come(manifest: Manifest, contents: Iterable[str], verified: Set[str]) -> Dict[str, Tuple[str, Part]]:
    """Return what has still to be read of some contents, each by its folded place: the content, and the part."""
    return {
        fold(part.place): (sha256, part)
        for sha256 in contents
        if sha256 not in verified
        for part in parts_of(manifest, sha256)
        if part.sha256 not in verified
    }


def fill(incoming: Incoming, bundle: Bundle, contents: Set[str]) -> List[Broke]:
    """Take from the volumes that are there what they have of the contents that are to come; return what was broken.

    :raises OSError: what is read can't be written.
    """
    broken: Dict[str, Broke] = {}
    total = sum(part.size for _, part in parts_to_come(bundle.manifest, contents, incoming.verified).values())
    progress = Progress(total, sys.stderr)
    for volume in bundle.volumes:
        wanted = parts_to_come(bundle.manifest, contents, incoming.verified)
        if not wanted:
            break
        there, below = files_on(volume.folder), f"{volume.folder}/files/"
        jobs = [(below + there[place], sha256, part) for place, (sha256, part) in wanted.items() if place in there]
        for broke in Takers(incoming, sorted(jobs), progress).run():
            broken[broke.place] = broke
    for sha256 in contents - incoming.verified:
        parts = parts_of(bundle.manifest, sha256)
        if len(parts) > 1 and all(part.sha256 in incoming.verified for part in parts):
            incoming.put_together(sha256, parts)
    return [broke for broke in broken.values() if broke.sha256 not in incoming.verified]


class Takers:
    """Take files from a volume, several at once: the system hashes one while it reads and writes another.

    :param jobs: the path of each, the content that it is a part of, and the part.
    """

    def __init__(self, incoming: Incoming, jobs: Sequence[Tuple[str, str, Part]], progress: Progress) -> None:
        self._incoming = incoming
        self._jobs = iter(jobs)
        self._progress = progress
        self._threads = [threading.Thread(target=self._work) for _ in range(min(THREADS, len(jobs)))]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._broken: List[Broke] = []
        self._failure: Optional[BaseException] = None

    def run(self) -> List[Broke]:
        """Take all of them; return those that were broken.

        :raises OSError: what is read can't be written.
        """
        try:
            for thread in self._threads:
                thread.start()
            for thread in self._threads:
                while thread.is_alive():
                    thread.join(0.2)  # without a time, Windows would let nobody interrupt it
        except BaseException:  # Ctrl-C comes to the thread that waits
            self._stop.set()
            raise
        if self._failure:
            raise self._failure
        return self._broken

    def _work(self) -> None:
        for source, sha256, part in iter(self._next, None):
            try:
                self._incoming.take(source, part.sha256, part.size, self._count)
            except Broken as error:
                self._broken.append(Broke(sha256, part.place, str(error)))
            except BaseException as error:  # noqa: BLE001 - it is raised where it can be told
                self._failure = self._failure or error
                self._stop.set()

    def _next(self) -> Optional[Tuple[str, str, Part]]:
        with self._lock:
            return None if self._stop.is_set() else next(self._jobs, None)

    def _count(self, count: int) -> None:
        self._progress.add(count)
        if self._stop.is_set():
            raise InterruptedError("stopped")


# The tree.


class Builder:
    """Makes a tree, of hard links where the file system has them, of copies elsewhere.

    :param total_bytes: what all of it has, to show how far the copying has come.
    """

    def __init__(self, tree: Path, total_bytes: int = 0) -> None:
        self.tree = tree
        self._progress = Progress(total_bytes, sys.stderr)  # of copies; links take no time
        self._prefix = f"{tree}/"
        self._folders: Set[str] = {""}
        self._links = True
        have_folder(tree)

    def folder(self, path: str) -> None:
        """Make the folder of a path below the tree."""
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self.folder(folder)
            with contextlib.suppress(FileExistsError):  # under a name of other case
                os.mkdir(self._prefix + folder, 0o755)
            self._folders.add(folder)

    def add(self, source: str, path: str) -> None:
        """Have a file in the tree too.

        :raises FileExistsError: something is there already.
        """
        self.folder(path)
        if self._links and self._linked(source, self._prefix + path):
            return
        self.copy(source, path)

    def _linked(self, source: str, target: str) -> bool:
        try:
            os.link(source, target)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise
            # A file has as many links as it can have; or there are none here at all, which is not tried again.
            self._links = error.errno == errno.EMLINK
            return False
        except NotImplementedError:
            self._links = False
            return False
        return True

    def copy(self, source: str, path: str) -> None:
        """Have a copy of a file in the tree, with a time of its own.

        :raises FileExistsError: something is there already.
        """
        self.folder(path)
        with io.FileIO(open_regular(source), "rb") as file:
            target = os.open(self._prefix + path, _WRITING, 0o644)
            try:
                copy_hashed(pieces_of(file, os.fstat(file.fileno()).st_size), target, self._progress.add)
                if not syncs_all():
                    os.fsync(target)
            finally:
                os.close(target)

    def write(self, path: str, content: bytes) -> None:
        """Have new bytes in the tree, in place of a file that may be there; that one's other links keep theirs."""
        self.folder(path)
        target = self._prefix + path
        remove(Path(target))
        with open(os.open(target, _WRITING, 0o644), "wb") as file:
            file.write(content)
            file.flush()
            if not syncs_all():
                os.fsync(file.fileno())

    def sync(self) -> None:
        """Have the whole tree on the disk."""
        if syncs_all():
            os.sync()
            return
        for folder in sorted(self._folders):
            sync_folder(self.tree / folder)


def syncs_all() -> bool:
    """Say whether one call has all on the disk when it returns; elsewhere each file is waited for."""
    return sys.platform.startswith("linux")


def build(root: Path, builder: Builder, states: Sequence[Manifest], sources: Mapping[str, str], own: Own) -> None:
    """Build the tree of a generation, beside where it will stand.

    :param states: of each stream.
    :param sources: where each content is.
    :raises Refused: the streams and the own packages don't go together.
    """
    linked, written = dict(states[0].files), {}  # type: Dict[str, Content], Dict[str, bytes]
    if is_composed(states, own):
        own.check()
        arranged = arrange(states, own)
        linked, written = arranged.linked, Composer(states, own, arranged, sources).compose()
        sources = {**own.sources(), **sources}
    sums = linked.pop(SUMS, None)
    for path, (sha256, _) in linked.items():
        builder.add(sources[sha256], path)
    for path, content in written.items():
        builder.write(path, content)
    if sums:
        builder.copy(sources[sums[0]], SUMS)  # last, so that no file is newer than what names it
    else:
        keep_originals(root, builder, states, sources)


def is_composed(states: Sequence[Manifest], own: Own) -> bool:
    """Say whether a tree is more than what one stream has."""
    return len(states) > 1 or own.record() is not None


def put_in_place(
    root: Path,
    generation: Generation,
    before: Optional[Generation],
    states: Sequence[Manifest],
    sources: Mapping[str, str],
    own: Own,
    keep: int,
) -> int:
    """Build a generation and have it served; return how many files are kept of the one before.

    :param keep: how many generations stay in all.
    :raises Refused: the streams and the own packages don't go together.
    """
    total = sum(size for state in states for _, size in state.files.values())
    builder = Builder(root / "generations" / f"{generation.number}.part", total)
    try:
        build(root, builder, states, sources, own)
        kept = add_kept(root, builder, before, own)
        commit(root, builder, generation)
    except BaseException:  # what it took is free again
        if builder.tree.is_dir():
            remove_folder(builder.tree)
        raise
    retire(root, keep)
    return kept


def keep_originals(root: Path, builder: Builder, states: Sequence[Manifest], sources: Mapping[str, str]) -> None:
    """Keep what streams have at paths where the tree has something composed: a later bundle may not carry it again."""
    sums = sums_in(builder.tree / SUMS)
    have_folder(received(root) / "contents")
    store = Builder(received(root) / "contents")
    for state in states:
        for path, (sha256, size) in state.files.items():
            target = store.tree / sha256
            if sums.get(path, SUMS) != sha256 and not is_whole(str(target), size):
                remove(target)
                store.add(sources[sha256], sha256)
    store.sync()


def add_kept(root: Path, builder: Builder, before: Optional[Generation], own: Own) -> int:
    """Add what the generation before has at paths that this one has not, for clients that began before the switch.

    What streams had of a project that is bound to own packages from now on is not kept.
    """
    if before is None:
        return 0
    sums = sums_in(builder.tree / SUMS)
    old = {path: sha256 for path, sha256 in sums_listed(root, before, (SUMS,)) if path not in sums and path != SUMS}
    kept: Dict[str, str] = {}
    for path in sorted(old):
        if path.startswith(KEPT_FOLDERS) and not newly_bound(path.split("/")[1], own, before):
            # What can't stand beside the new files (a name of other case, a folder where a file is) is not kept.
            with contextlib.suppress(FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
                builder.add(f"{tree_of(root, before.number)}/{path}", path)
                kept[path] = old[path]
    if kept:
        builder.write(KEPT_SUMS, "".join(f"{sha256}  {path}\n" for path, sha256 in kept.items()).encode("utf-8"))
    return len(kept)


def commit(root: Path, builder: Builder, generation: Generation) -> None:
    """Have a tree that was built stand, and be served.

    The generation stands, and all that it is made of counts as received, from the moment when its tree has its name: the
    record is there before. Killed after that moment, the next run goes on from there (:func:`settle`); killed before it,
    all is as it was. So at no moment is a tree served whose bundles do not count as received.
    """
    builder.sync()
    record = {
        "streams": {name: applied._asdict() for name, applied in generation.streams.items()},
        "own": generation.own,
        "made": generation.made,
        "before": generation.before,
    }
    write_whole(received(root) / "generations" / f"{generation.number}.json", canonical(record))
    rename(builder.tree, tree_of(root, generation.number))
    sync_folder(root / "generations")
    settle(root)


def settle(root: Path) -> None:
    """End what a run began: serve the generation that has come to be, know its bundles, sweep what is half done."""
    state, known = read_state(root), read_state_file(root)
    generations = standing(root)
    if generations and generations[0].number >= known.next:
        point(root, generations[0].number)
    if state != known:
        write_state(root, state)
    sweep(root)
    if generations:
        put_programs(root, tree_of(root, generations[0].number))


def sweep(root: Path) -> None:
    """Remove what a run that was killed was building, or removing."""
    for name in folders_in(root / "generations"):
        if name.endswith((".part", ".old")):
            remove_folder(root / "generations" / name)
    for name in folders_in(received(root) / "incoming"):
        if not os.path.lexists(received(root) / "incoming" / name / "manifest.json"):
            remove_folder(received(root) / "incoming" / name)


def put_programs(root: Path, tree: Path) -> None:
    """Have the programs of the newest tree beside the trees, where the commands name them."""
    for name in PROGRAMS:
        try:
            content = read_bounded(tree / name, MANIFEST_LIMIT)
        except (OSError, Refused) as error:
            report(f"can't use {tree / name}: {error}; {root / name} stays as it is")
            continue
        if not _holds(root / name, content):
            write_whole(root / name, content)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_bounded(path, MANIFEST_LIMIT) == content
    except (OSError, Refused):
        return False


def current(root: Path) -> Optional[Generation]:
    """Return the generation that is served, None where there is none yet.

    :raises Refused: the one that is pointed to does not stand.
    """
    number = pointed(root)
    if number is None:
        return None
    generation = read_generation(root, number)
    must(
        generation is not None and tree_of(root, number).is_dir(),
        f"generation {number}, which {root / 'current'} leads to, is not there whole. Point it to one that is "
        f"({numbers_of(generation.number for generation in standing(root)) or 'there is none'}), or remove it.",
    )
    return generation


def retire(root: Path, keep: int) -> None:
    """Remove all generations but the one that is served and those before it, of which ``keep`` stay in all."""
    generations = {generation.number: generation for generation in standing(root)}
    staying: List[int] = []
    number = pointed(root)
    while number in generations and len(staying) < keep and number not in staying:
        staying.append(number)
        number = generations[number].before
    for number in generations.keys() - set(staying):
        try:  # first of all it ceases to stand
            os.rename(tree_of(root, number), root / "generations" / f"{number}.old")
        except OSError as error:  # Windows, where a program has a file of it open
            report(f"can't remove generation {number} yet: {error}. The next run tries again.")
            continue
        remove_folder(root / "generations" / f"{number}.old")
    sweep_records(root)


def sweep_records(root: Path) -> None:
    """Remove the records of generations that are gone, and what only these needed."""
    generations = standing(root)
    numbers = {f"{generation.number}.json" for generation in generations}
    manifests = {applied.manifest for generation in generations for applied in generation.streams.values()}
    folder = received(root)
    _sweep(folder / "generations", numbers)
    _sweep(folder / "manifests", {f"{sha256}.json" for sha256 in manifests})
    if os.listdir(folder / "contents"):
        states = [read_manifest(root, sha256) for sha256 in manifests]
        _sweep(folder / "contents", {sha256 for state in states for sha256, _ in state.files.values()})


def _sweep(folder: Path, staying: Set[str]) -> None:
    for name in set(os.listdir(folder)) - staying:
        remove(folder / name)


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it; links in it are removed, not followed. What can't be removed is told."""
    try:
        shutil.rmtree(path)
    except OSError as error:
        report(f"can't remove {path} yet: {error}. The next run tries again.")


def go_back(root: Path) -> int:
    """Serve the generation before the one that is served."""
    with Lock(root):
        settle(root)
        served = current(root)
        must(served is not None and served.before is not None, f"there is no generation before in {root}")
        assert served
        assert served.before
        must(
            read_generation(root, served.before) is not None and tree_of(root, served.before).is_dir(),
            f"generation {served.before}, which was served before generation {served.number}, is not there any more",
        )
        point(root, served.before)
    say(f"generation {served.before} is served again, instead of generation {served.number}, which stays beside it")
    say(f"To serve that one again: {forward(root)}")
    return APPLIED


def go_forward(root: Path) -> int:
    """Serve the generation again that ``--back`` took out of use."""
    with Lock(root):
        settle(root)
        served = current(root)
        later = [generation for generation in standing(root) if served and generation.before == served.number]
        must(bool(later), f"there is no generation in {root} that --back has taken out of use")
        point(root, later[0].number)
    say(f"generation {later[0].number} is served again")
    return APPLIED


# Composition.
#
# One stream alone is put in place byte for byte. Where there are several, or packages of the inside's own, one tree is made of
# them: ``arrange`` says which content goes where, or refuses, and ``Composer`` gives the bytes of all that is written anew.
# Both only read; the tree's part links and writes.

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # of a project, normalised
API_VERSION = "1.4"
PAGE_NAMES = ("index.html", "index.v1_html", "index.v1_json")
LARGEST_PAGE = 64 * 1024 * 1024  # bytes of a page, or of a mirror.json
MOST_PAGE_FILES = 200_000
LONGEST_TEXT = 4096  # characters of one value in a page
STRICTNESS = {"active": 0, "deprecated": 2, "archived": 3, "quarantined": 4}  # of PEP 792; what is not known is 1


def normalise(name: str) -> str:
    """Return the normalised name of a project, as the standard for names has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Arrangement(NamedTuple):
    """What a tree is made of.

    :param linked: the content at each path that is put there as it came.
    :param projects: by name, the states that bring a project.
    :param merged: those projects whose pages for clients are written anew.
    :param shown: those whose pages for people are written anew.
    """

    linked: Dict[str, Content]
    projects: Dict[str, List[Manifest]]
    merged: List[str]
    shown: List[str]


def arrange(states: Sequence[Manifest], own: Own) -> Arrangement:
    """Say which content of which stream goes where in one tree.

    - ``server.py``, ``receive.py`` and what the pages load are those of the newest version of mirror-tasks (``leading``).
    - A project that one stream has is put in place as it is; the files of one that several have stand together.
    - A project whose name is bound to own packages is left out of every stream, whether there are own files of it or not.
    - Two files of one path and other contents below ``locks/`` and ``report/`` stand in a folder of their stream's name.

    :raises Refused: two bundles have one file with two contents, or a bundle has a project of the inside's own.
    """
    states = sorted(states, key=lambda state: state.stream)
    builder = _Builder(own)
    for state in [leading(states), *states]:  # the first one to bring what the pages load is the leading one
        builder.add_site(state)
    for state in states:
        builder.add(state)
    return builder.finish()


def leading(states: Sequence[Manifest]) -> Manifest:
    """Return the state that was made by the newest version, of several the first by name."""

    def version(state: Manifest) -> Any:
        return version_key(str(state.made.get("by", "")).rpartition(" ")[2])

    newest = max(map(version, states))
    return min((state for state in states if version(state) == newest), key=lambda state: state.stream)


def projects_in(state: Manifest) -> Set[str]:
    """Return the names of the projects of which a state has anything."""
    named = {path.split("/", 2)[1] for path in state.files if path.startswith("packages/")}
    pages = (path.split("/", 2) for path in state.files if path.startswith(("simple/", "project/")))
    return named | {parts[1] for parts in pages if len(parts) > 2}


class _Builder:
    """Puts the files of one state after another into an arrangement."""

    def __init__(self, own: Own) -> None:
        self._own = own
        self._projects_of_own = {file.project for file in own.files.values()}
        self._linked: Dict[str, Content] = {}
        self._by: Dict[str, Manifest] = {}
        self._folded: Dict[str, str] = {}
        self._projects: Dict[str, List[Manifest]] = {}

    def add_site(self, state: Manifest) -> None:
        """Add what is the mirror's own, and not a project's."""
        for path, content in state.files.items():
            if path in ("server.py", "receive.py") or path.startswith("site/"):
                self._linked.setdefault(path, content)

    def add(self, state: Manifest) -> None:
        """Add what a state has of projects, locks and reports; its other pages are written anew.

        :raises Refused: it does not go together with what is there.
        """
        taken = self._projects_taken(state)
        for path, content in state.files.items():
            top, _, rest = path.partition("/")
            name, _, file = rest.partition("/")
            if top in ("locks", "report"):
                self._put_beside(state, path, content)
            elif top == "packages" and name in taken:
                self._put(state, path, content)
            elif top in ("simple", "project") and file and name in taken:
                self._linked.setdefault(path, content)

    def _projects_taken(self, state: Manifest) -> Set[str]:
        named = projects_in(state)
        for name in named:
            if not _NAME.fullmatch(name):
                raise Refused(f"{state.name} has a folder {name!r}, which is no normalised name of a project")
        left_out = {name for name in named if self._own.binds(name)}
        clash = sorted((named - left_out) & self._projects_of_own)
        if clash:
            raise Refused(explain_clash(state, clash))
        for name in sorted(named - left_out):
            if f"simple/{name}/index.html" in state.files:  # without it no client finds the others of its files
                self._projects.setdefault(name, []).append(state)
        return named - left_out

    def _put(self, state: Manifest, path: str, content: Content) -> None:
        """Put a file of a project in its place.

        :raises Refused: another bundle has something else there.
        """
        there = self._folded.setdefault(fold(path), path)
        if there != path:
            raise Refused(
                f"{self._by[there].name} has {there} and {state.name} has {path}: "
                "where a system takes both names for one, only one of them could stand"
            )
        if self._linked.setdefault(path, content) != content:
            raise Refused(explain_two_contents(path, (self._by[path], self._linked[path]), (state, content)))
        self._by.setdefault(path, state)

    def _put_beside(self, state: Manifest, path: str, content: Content) -> None:
        """Put a lock or a report in its place, or in a folder of its stream's name where another one stands there."""
        there = self._folded.setdefault(fold(path), path)
        if there != path or self._linked.setdefault(path, content) != content:
            top, _, rest = path.partition("/")
            path = f"{top}/{state.stream}/{rest}"
            must(
                len(path) <= PATH_LIMIT,
                f"{state.name} has {top}/{rest}, which another bundle has, too; {path} is too long",
            )
            self._put(state, path, content)
        self._by.setdefault(path, state)

    def finish(self) -> Arrangement:
        """Add the own files; return all of it."""
        for filename, file in self._own.files.items():
            path = f"packages/{file.project}/{filename}"
            self._linked[path] = (file.sha256, file.size)
            if file.is_wheel:
                self._linked[f"{path}.metadata"] = (file.metadata, file.metadata_size)
        check_distinct(self._linked)  # each bundle was looked at by itself
        several = {name: states for name, states in self._projects.items() if len(states) > 1}
        merged = [name for name, states in several.items() if _differ(states, f"simple/{name}/index.v1_json")]
        shown = [
            name for name, states in several.items() if name in merged or _differ(states, f"project/{name}/index.html")
        ]
        for name in merged:
            self._forget(f"simple/{name}/", several[name])
        for name in shown:
            self._forget(f"project/{name}/", several[name])
        return Arrangement(self._linked, self._projects, sorted(merged), sorted(shown))

    def _forget(self, folder: str, states: Sequence[Manifest]) -> None:
        for page in PAGE_NAMES:
            self._linked.pop(folder + page, None)
            self._linked.pop(f"{folder}{page}.gz", None)


def _differ(states: Sequence[Manifest], path: str) -> bool:
    return len({state.files.get(path) for state in states}) > 1


def explain_clash(state: Manifest, names: Sequence[str]) -> str:
    """Say that a bundle brings what the inside has of its own, and what to do."""
    return (
        f"{state.name} brings {few(names)}, which is among the own packages here: an installer could take either for the "
        f"other. Nothing was changed. Say --own {names[0]} to serve that name from the own packages alone, take the own "
        "files away with --remove, or have it left out of the bundle"
    )


def explain_two_contents(path: str, one: Tuple[Manifest, Content], other: Tuple[Manifest, Content]) -> str:
    """Say that two bundles have one file with two contents, and what to do."""
    (first, (sha256, _)), (second, (other_sha256, _)) = one, other
    return (
        f"{path} has two contents: sha256 {sha256} in {first.name}, {other_sha256} in {second.name}. One of the "
        "two was changed where it came from; nothing was changed here. Ask who makes these streams which one is right"
    )


# The pages for clients.


class Page(NamedTuple):
    """A project's page for clients. The files are as in JSON, with the keys of ``_entry`` in their order; sorted by name."""

    name: str
    versions: Tuple[str, ...]
    files: Tuple[Dict[str, Any], ...]
    status: Optional[Tuple[str, str]] = None


def read_page(content: bytes, name: str, whose: str) -> Page:
    """Read a project's page in JSON. A verified bundle has brought it; still it is believed only as far as pages go.

    What a page may have besides, by later versions of the API, is left out: installers do without it.

    :param whose: whose page it is, for messages.
    :raises Refused: it is no such page.
    """
    try:
        page = json.loads(content.decode("utf-8"))
        must(str(page["meta"]["api-version"]).startswith("1."), "it is of another version of the API")
        must(page["name"] == name, "it is of another project")
        must(len(page["files"]) <= MOST_PAGE_FILES, f"it names more than {MOST_PAGE_FILES} files")
        files = [_entry(name, entry) for entry in page["files"]]
        must(len({file["filename"] for file in files}) == len(files), "it names a file twice")
        versions = [_plain_text(version) for version in page["versions"]]
        status = page.get("project-status")
        said = (_plain_text(status["status"]), _plain_text(status.get("reason", ""))) if status else None
    except (Refused, ValueError) as error:
        raise Refused(
            f"simple/{name}/index.v1_json of {whose} can't be merged: {error}. Nothing was changed."
        ) from None
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(
            f"simple/{name}/index.v1_json of {whose} can't be merged: it has not the form of such a page. Nothing was changed."
        ) from None
    return Page(name, tuple(sorted(set(versions))), _by_name(files), said)


def _entry(name: str, entry: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a page says of a file, having looked at each value.

    :raises ValueError: a value is not what it has to be; KeyError and TypeError likewise.
    """
    filename, sha256, size = _plain_text(entry["filename"]), entry["hashes"]["sha256"], entry["size"]
    url = file_url(name, filename)
    whole(size, 0, SIZE_LIMIT, "size of a file")
    if not is_plain(filename) or entry["url"] != url or not _SHA256.fullmatch(sha256):
        raise ValueError(f"what it says of {filename[:200]!r} is not as mirrors say it")
    kept: Dict[str, Any] = {"filename": filename, "url": url, "hashes": {"sha256": sha256}, "size": size}
    if entry.get("requires-python"):
        kept["requires-python"] = _plain_text(entry["requires-python"])
    if entry.get("yanked"):
        kept["yanked"] = entry["yanked"] is True or _plain_text(entry["yanked"])
    if entry.get("upload-time"):
        kept["upload-time"] = _plain_text(entry["upload-time"])
    if entry.get("core-metadata"):
        metadata = entry["core-metadata"]["sha256"]
        if not _SHA256.fullmatch(metadata):
            raise ValueError(f"the hash of the metadata of {filename} is none")
        kept["core-metadata"] = {"sha256": metadata}
    return kept


def file_url(name: str, filename: str) -> str:
    """Return the URL of a file relative to its project's page."""
    return f"../../packages/{name}/{urllib.parse.quote(filename)}"


def _plain_text(value: Any) -> str:
    """Return a text of a page.

    :raises ValueError: it is none, is too long, or can't be written as UTF-8.
    """
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"expected a text of up to {LONGEST_TEXT} characters")
    value.encode("utf-8")
    return value


def _by_name(files: Iterable[Dict[str, Any]]) -> Tuple[Dict[str, Any], ...]:
    return tuple(sorted(files, key=lambda file: str(file["filename"])))


def merge_pages(pages: Sequence[Tuple[Manifest, Page]]) -> Page:
    """Return one page of a project that several streams have, in the order of the streams' names.

    Of what two streams say otherwise, the stricter holds: a file that one of them calls yanked is yanked (but not for having
    left that one's plan, where it is in the other's), and a project is quarantined rather than archived, archived rather than
    deprecated, deprecated rather than active. No file of a quarantined project is offered (PEP 792). For the rest the first
    one holds that says anything.

    :raises Refused: one file has two contents.
    """
    files: Dict[str, Dict[str, Any]] = {}
    by: Dict[str, Manifest] = {}
    for state, page in pages:
        for file in page.files:
            name = file["filename"]
            if name not in files:
                files[name], by[name] = file, state
                continue
            ours, theirs = (one["hashes"]["sha256"] for one in (files[name], file))
            if ours != theirs:
                path = f"packages/{page.name}/{name}"
                raise Refused(explain_two_contents(path, (by[name], (ours, 0)), (state, (theirs, 0))))
            files[name] = _stricter(files[name], file)
    versions = {version for _, page in pages for version in page.versions}
    status = max((page.status or ("active", "") for _, page in pages), key=lambda said: STRICTNESS.get(said[0], 1))
    if status[0] == "quarantined":
        files = {}
        versions.clear()
    said = None if status[0] == "active" else status
    return Page(pages[0][1].name, tuple(sorted(versions)), _by_name(files.values()), said)


_ENTRY_KEYS = ("filename", "url", "hashes", "size", "requires-python", "yanked", "upload-time", "core-metadata")


# What a stream lists as yanked only since its own plan has it no more: that says nothing of the file.
_KEPT_FOR_LOCKS = re.compile(r"left the plan on [0-9-]{10}; kept for locks .*")


def _stricter(one: Mapping[str, Any], other: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what two pages say of one file."""
    both = {**other, **one}
    both.pop("yanked", None)
    yanked = _yanked_by([one.get("yanked"), other.get("yanked")])
    if yanked:
        both["yanked"] = yanked
    return {key: both[key] for key in _ENTRY_KEYS if key in both}


def _yanked_by(said: Sequence[Any]) -> Any:
    """Return whether and why a file is yanked: a reason rather than none; what is kept for locks is so if all say so."""
    kept = [reason for reason in said if isinstance(reason, str) and _KEPT_FOR_LOCKS.fullmatch(reason)]
    reasons = [reason for reason in said if reason and reason not in kept]
    if not reasons:
        return kept[0] if len(kept) == len(said) else None
    return next((reason for reason in reasons if reason is not True), True)


def page_forms(page: Page) -> Dict[str, bytes]:
    """Return a project's page under each of its names, with the bytes that the pipeline outside writes for the same files."""
    document: Dict[str, Any] = {
        "meta": {"api-version": API_VERSION},
        "name": page.name,
        "versions": list(page.versions),
        "files": list(page.files),
    }
    metas = ""
    if page.status:
        status, reason = page.status
        document["project-status"] = {"status": status, **({"reason": reason} if reason else {})}
        metas = f'<meta name="pypi:project-status" content="{html.escape(status)}">\n'
        metas += f'<meta name="pypi:project-status-reason" content="{html.escape(reason)}">\n' if reason else ""
    anchors = "".join(map(_anchor, page.files))
    return _forms(_simple_html(f"Links for {page.name}", metas, anchors), document)


def root_forms(names: Iterable[str]) -> Dict[str, bytes]:
    """Return the page that lists the projects under each of its names."""
    ordered = sorted(names)
    anchors = "".join(f'<a href="{name}/">{name}</a><br>\n' for name in ordered)
    document = {"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in ordered]}
    return _forms(_simple_html("Simple index", "", anchors), document)


def _forms(page: bytes, document: Mapping[str, Any]) -> Dict[str, bytes]:
    contents = (page, page, (json.dumps(document, ensure_ascii=False) + "\n").encode())
    return with_packed(dict(zip(PAGE_NAMES, contents)))  # noqa: B905 - not in Python 3.7


def _simple_html(title: str, metas: str, body: str) -> bytes:
    title = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="{API_VERSION}">\n{metas}'
        f"<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    ).encode()


def _anchor(file: Mapping[str, Any]) -> str:
    attributes = [f'href="{file["url"]}#sha256={file["hashes"]["sha256"]}"']
    if "requires-python" in file:
        attributes.append(f'data-requires-python="{html.escape(file["requires-python"])}"')
    if "yanked" in file:
        reason = "" if file["yanked"] is True else html.escape(file["yanked"])
        attributes.append(f'data-yanked="{reason}"')
    if "core-metadata" in file:
        attributes.append(f'data-core-metadata="sha256={file["core-metadata"]["sha256"]}"')
    return f"<a {' '.join(attributes)}>{html.escape(file['filename'])}</a><br>\n"


def with_packed(pages: Mapping[str, bytes]) -> Dict[str, bytes]:
    """Return the pages, each with the gzipped copy that web servers send."""
    packed = {id(content): packed_copy(content) for content in pages.values()}
    return {**pages, **{f"{path}.gz": packed[id(content)] for path, content in pages.items()}}


def packed_copy(content: bytes) -> bytes:
    """Return content gzipped; the header is written here, for that of :mod:`gzip` differs from Python to Python."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + deflate.compress(content) + deflate.flush() + end


# Versions.

_VERSION = re.compile(
    r"\s*v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)(?:[-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?([0-9]*))?"
    r"(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?(?:[-_.]?(dev)[-_.]?([0-9]*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    re.IGNORECASE | re.ASCII,
)
_PHASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def version_key(text: str) -> Tuple[Any, ...]:
    """Return what orders versions as PEP 440 does; versions that are the same have the same. What is none comes first."""
    match = _VERSION.fullmatch(text) if len(text) <= 200 else None
    if not match:
        return ()
    epoch, release, phase, phase_number, dash, post, post_number, dev, dev_number, local = match.groups()
    numbers = [int(part) for part in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    phase = phase and phase.lower()
    if phase:
        before: Tuple[Any, ...] = (0, _PHASES.get(phase, phase), int(phase_number or 0))
    else:
        before = (-1,) if dev and not (dash or post) else (1,)
    after = int(dash or post_number or 0) if dash or post else -1
    unfinished = (0, int(dev_number or 0)) if dev else (1,)
    parts = re.split(r"[-_.]", (local or "").lower()) if local else []
    own = tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)
    return int(epoch or 0), tuple(numbers), before, after, unfinished, own


def version_of(filename: str, project: str) -> str:
    """Return the version in the name of a file of a project, "" where none can be told."""
    if filename.endswith(".whl"):
        return (filename.split("-", 2) + ["", ""])[1]
    stem = re.sub(r"(?i)(\.tar(\.[a-z0-9]+)?|\.zip|\.t[bgxl]z2?)$", "", filename)
    dashes = (match.start() for match in re.finditer("-", stem))
    return next((stem[at + 1 :] for at in dashes if normalise(stem[:at]) == project), "")


# The pages for people.
#
# Text that somebody wrote is escaped by ``markup`` and becomes neither markup nor a link. Of a stream's own pages only text is
# taken over: what has the form that the pipeline outside writes is cut out, unescaped, and escaped again.

LETTERS_FROM = 40  # projects from which on a list of letters leads to them
MANY = 12  # rows of a table that stand open
LONGEST_DESCRIPTION = 60_000  # characters
LONGEST_LINE = 500
# Control characters are no HTML, lone surrogates no UTF-8, and those that turn the direction of writing show a name as another.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(NamedTuple):
    """A piece of HTML, made by :func:`markup` and :func:`joined` alone."""

    html: str


def markup(template: str, *values: Union[str, Markup]) -> Markup:
    """Return a template of this file with its ``{}`` filled in: markup as it is, text escaped."""
    return Markup(template.format(*(one.html if isinstance(one, Markup) else escaped(one) for one in values)))


def joined(parts: Iterable[Markup], between: str = "") -> Markup:
    """Return pieces in a row."""
    return Markup(between.join(part.html for part in parts))


NOTHING = Markup("")


def escaped(text: str) -> str:
    """Return text as HTML, for elements and for attributes in double quotes."""
    return html.escape(_UNSHOWABLE.sub("\ufffd", text))


# What is cut out of the pages of streams. Each alternative begins with another character, no two texts stand side by side, and
# no match goes beyond where the next one may begin: so matching takes linear time.
_T = r"(?:[^<>&\"']|&(?:amp|lt|gt|quot|\#x27);)*"
_TAG = rf'<span class="tag">({_T})</span>'
_TAGS = rf'(?:<span class="tag">{_T}</span> ?)*'
_LEFT = '<strong class="mark">kept for locks</strong> '
_PROJECT_ROW = re.compile(
    rf'<tr><th scope="row"><a href="project/([a-z0-9-]+)/index\.html">{_T}</a></th><td class="version">({_T})</td>'
    rf'<td class="summary">({_LEFT})?({_T})</td><td class="where">({_TAGS})</td></tr>'
)
_GAP_ROW = re.compile(
    rf'<tr><th scope="row"><code>({_T})</code></th><td>({_T})</td><td>({_T})</td><td>({_TAGS})</td></tr>'
)
_FILE_ROW = re.compile(
    rf'<th scope="row"><a href="[^"<>]*" download>({_T})</a>(?:(?!</tr>|<th ).)*?'
    rf'<td data-label="Environments">({_TAGS})</td>'
)
_ASKER_ROW = re.compile(
    rf'<tr><th scope="row">({_T})(?:<a href="\.\./([a-z0-9-]+)/index\.html">({_T})</a>({_T}))?<code>({_T})</code>({_T})</th>'
    rf"<td>({_T})</td><td>({_TAGS})</td></tr>"
)


def tags_in(pattern: Pattern[str], page: str) -> List[Tuple[List[str], List[str]]]:
    """Return the groups of each match as text, but for the last one, which holds tags: these in a list."""
    found = []
    for match in pattern.finditer(page):
        *texts, tags = match.groups()
        names = [html.unescape(tag) for tag in re.findall(_TAG, tags)]
        found.append(([html.unescape(text or "") for text in texts], names))
    return found


class Row(NamedTuple):
    """A project on the front page."""

    version: str
    summary: str
    tags: Tuple[str, ...]
    kept: bool = False  # it is there for locks only


class Front(NamedTuple):
    """What the front page says. ``lists`` are the lists below the figures: title, key, class and the items of each."""

    figures: Sequence[Tuple[str, str]]
    lists: Sequence[Tuple[str, str, str, Sequence[Markup]]]
    rows: Mapping[str, Row]
    gaps: Sequence[Tuple[List[str], List[str]]]


def front_page(front: Front) -> bytes:
    """Return the page that says what the mirror holds and lists its projects."""
    title = "Python packages in this mirror"
    cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", *figure) for figure in front.figures)
    lists = joined(listed(*one) for one in front.lists)
    parts = [
        markup("<h1>{}</h1>\n", title),
        markup('<dl class="figures">{}</dl>\n', cells),
        markup('<div class="columns">\n{}</div>\n', lists),
        install_lines(None),
        list_of_projects(front.rows),
        gaps_table(front.gaps),
    ]
    return whole_page(title, joined(parts), up="")


def listed(title: str, key: str, kind: str, items: Sequence[Markup]) -> Markup:
    """Return a list below the figures; a long one is to be opened first."""
    content = markup('<ul class="{}">{}</ul>', kind, joined(markup("<li>{}</li>", item) for item in items))
    if len(items) > MANY:
        content = markup("<details><summary>{} of them</summary>\n{}\n</details>", str(len(items)), content)
    return section(key, title, content)


def list_of_projects(rows: Mapping[str, Row]) -> Markup:
    """Return the table of projects, with what search.js looks for."""
    letters: Dict[str, List[str]] = {}
    for name in sorted(rows):
        letters.setdefault(name[0] if name[0].isalpha() else "0-9", []).append(name)
    bodies = joined(
        markup('<tbody id="at-{}">\n{}</tbody>\n', letter, joined(project_row(name, rows[name]) for name in names))
        for letter, names in letters.items()
    )
    items = joined(markup('<li><a href="#at-{}">{}</a></li>', letter, letter.upper()) for letter in letters)
    leading_there = markup('<nav class="letters" aria-label="Projects by first letter"><ul>{}</ul></nav>\n', items)
    return markup(
        '<section aria-labelledby="projects"><h2 id="projects">Projects</h2>\n'
        '<div class="search" role="search" hidden><label for="search">Find a project by name or summary</label>\n'
        '<input id="search" type="search" autocomplete="off" autocapitalize="none" spellcheck="false">\n'
        '<p id="found" role="status"></p></div>\n{}'
        '<table class="projects"><caption class="unseen">Projects in this mirror</caption>\n<thead><tr>{}</tr></thead>\n'
        "{}</table></section>\n",
        leading_there if len(rows) >= LETTERS_FROM else NOTHING,
        heads("Project", "Newest", "Summary", "Environments"),
        bodies,
    )


def project_row(name: str, row: Row) -> Markup:
    """Return the row of a project on the front page."""
    return markup(
        '<tr><th scope="row"><a href="project/{}/index.html">{}</a></th><td class="version">{}</td>'
        '<td class="summary">{}{}</td><td class="where">{}</td></tr>\n',
        name, name, row.version, Markup(_LEFT) if row.kept else NOTHING, one_line(row.summary), tags(row.tags),
    )  # fmt: skip


def gaps_table(gaps: Sequence[Tuple[List[str], List[str]]]) -> Markup:
    """Return what the streams could not have, as their pages say it."""
    if not gaps:
        return NOTHING
    rows = joined(
        markup('<tr><th scope="row"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td></tr>\n', *texts, tags(where))
        for texts, where in gaps
    )
    table = markup(
        '<table class="gaps"><caption class="unseen">Requirements that are not met</caption>\n'
        "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table>\n",
        heads("Requirement", "Required by", "Why not", "Environments"),
        rows,
    )
    return section("gaps", "What could not be had", table)


class About(NamedTuple):
    """What a project's page for people says besides its page for clients.

    :param origin: who brings it.
    :param headers: of the core metadata of each file where it is known, by file name.
    :param description: of the newest release, and the name of the file that has it.
    :param environments: of each file, by its name.
    :param askers: rows of what requires it, as ``_ASKER_ROW`` has them.
    :param here: the names of all projects in the mirror.
    """

    origin: str
    headers: Mapping[str, Mapping[str, List[str]]]
    description: Tuple[str, str]
    environments: Mapping[str, Sequence[str]]
    askers: Sequence[Tuple[List[str], List[str]]]
    here: Set[str]


def releases_of(page: Page) -> List[Tuple[str, List[Dict[str, Any]]]]:
    """Return the releases of a project with their files, the newest first."""
    by_key = {version_key(version): version for version in page.versions}
    found: Dict[str, List[Dict[str, Any]]] = {}
    for file in page.files:
        version = version_of(file["filename"], page.name)
        found.setdefault(by_key.get(version_key(version), version), []).append(file)
    return sorted(found.items(), key=lambda release: (version_key(release[0]), release[0]), reverse=True)


def project_page(page: Page, about: About) -> bytes:
    """Return the page for people of a project."""
    releases = releases_of(page)
    sections = [
        ("install", "Install", install_lines(page.name)),
        ("releases", "Releases", section("releases", "Releases", files_table(page.name, releases, about))),
        ("requires", "Requires", section("requires", "Requires", requires_list(releases, about))),
        ("required-by", "Required by", askers_table(page.name, about.askers)),
        ("description", "Description", described(*about.description)),
    ]
    shown = [one for one in sections if one[2].html]
    links = joined(markup('<li><a href="#{}">{}</a></li>', key, title) for key, title, _ in shown)
    body = markup(
        '{}<nav class="here" aria-label="On this page"><ul>{}</ul></nav>\n{}',
        heading(page, releases, about),
        links,
        joined(content for _, _, content in shown),
    )
    return whole_page(f"{page.name} - Python package mirror", body, up="../../")


def heading(page: Page, releases: Sequence[Tuple[str, List[Dict[str, Any]]]], about: About) -> Markup:
    """Return the name of a project, what it is, and what there is to know first."""
    newest = newest_headers(releases, about)
    facts: List[Tuple[str, Union[str, Markup]]] = [("Newest release here", releases[0][0] if releases else "none")]
    if licence_in(newest):
        facts.append(("Licence", one_line(licence_in(newest))))
    if newest.get("requires-python"):
        facts.append(("Requires Python", markup("<code>{}</code>", one_line(newest["requires-python"][0]))))
    where = sorted({tag for file in page.files for tag in about.environments.get(file["filename"], ())})
    if where:
        facts.append(("Environments", tags(where)))
    facts.append(("Brought by", about.origin))
    cells = joined(markup("<div><dt>{}</dt><dd>{}</dd></div>", *fact) for fact in facts)
    summary = first_line(newest.get("summary", ()))
    status = NOTHING
    if page.status:
        reason = f": {one_line(page.status[1])}" if page.status[1] else ""
        status = markup('<p><strong class="mark">{}</strong>{}</p>\n', page.status[0], reason)
    lead = markup('<p class="lead">{}</p>\n', one_line(summary)) if summary else NOTHING
    return markup('<h1>{}</h1>\n{}{}<dl class="facts">{}</dl>\n', page.name, lead, status, cells)


def newest_headers(releases: Sequence[Tuple[str, List[Dict[str, Any]]]], about: About) -> Mapping[str, List[str]]:
    """Return the core metadata of the newest release of which it is known."""
    files = (file["filename"] for _, files in releases for file in files)
    return next((about.headers[name] for name in files if name in about.headers), {})


def licence_in(headers: Mapping[str, List[str]]) -> str:
    """Return the licence expression, or the first line of the older field."""
    return first_line([*headers.get("license-expression", ()), *headers.get("license", ())])


def first_line(values: Iterable[str]) -> str:
    """Return the first line that says something; distutils wrote UNKNOWN where nothing was given."""
    lines = (value.strip().partition("\n")[0].strip() for value in values)
    return next((line for line in lines if line and line != "UNKNOWN"), "")


def files_table(name: str, releases: Sequence[Tuple[str, List[Dict[str, Any]]]], about: About) -> Markup:
    """Return the files of a project, by release."""
    bodies = joined(
        markup(
            "<tbody>\n{}</tbody>\n",
            joined(
                markup(
                    "<tr>{}{}</tr>\n",
                    NOTHING
                    if index
                    else markup('<th class="release" rowspan="{}" scope="rowgroup">{}</th>', str(len(files)), version),
                    file_cells(file, about.environments.get(file["filename"], ())),
                )
                for index, file in enumerate(files)
            ),
        )
        for version, files in releases
    )
    return markup(
        '<table class="files"><caption class="unseen">Files of {}, by release</caption>\n'
        "<thead><tr>{}</tr></thead>\n{}</table>\n",
        name,
        heads("Release", "File", "Size", "Requires Python", "Environments", "Uploaded"),
        bodies,
    )


def file_cells(file: Mapping[str, Any], environments: Sequence[str]) -> Markup:
    """Return what the page for people says of a file."""
    yanked = NOTHING
    if "yanked" in file:
        reason = "" if file["yanked"] is True else one_line(file["yanked"])
        yanked = markup(' <strong class="mark">yanked</strong> {}', reason)
    python = file.get("requires-python")
    cells = (
        ("Size", size_of(file["size"])),
        ("Requires Python", markup("<code>{}</code>", one_line(python)) if python else "any"),
        ("Environments", tags(environments or [tags_of(file["filename"])])),
        ("Uploaded", day_of(file.get("upload-time", ""))),
    )
    # The label shows where the screen is too narrow for the head of the table.
    columns = joined(markup('<td data-label="{}">{}</td>', *cell) for cell in cells)
    link = markup('<a href="{}" download>{}</a>', file["url"], file["filename"])
    return markup('<th scope="row">{}{}</th>{}', link, yanked, columns)


def tags_of(filename: str) -> str:
    """Return what a wheel's name says of where it runs, for files of which no environment is known."""
    return "-".join(filename[: -len(".whl")].split("-")[-3:]) if filename.endswith(".whl") else "source"


def requires_list(releases: Sequence[Tuple[str, List[Dict[str, Any]]]], about: About) -> Markup:
    """Return what each release requires, as its first file says of which it is known."""
    parts: List[Markup] = []
    for version, files in releases:
        known = [about.headers[file["filename"]] for file in files if file["filename"] in about.headers]
        if known:
            parts += [markup("<h3>{}</h3>\n", version)] if len(releases) > 1 else []
            parts += requirements_of(known[0].get("requires-dist", ()), about.here)
    return joined(parts) if parts else markup("<p>Not known: these files have no metadata beside them.</p>\n")


def requirements_of(requirements: Sequence[str], here: Set[str]) -> List[Markup]:
    """Return the requirements of a release, those that only extras have apart."""
    optional, plain = [], []  # type: List[str], List[str]
    for one in requirements:
        (optional if re.search(r"\bextra\b", one.partition(";")[2]) else plain).append(one)
    parts = [markup("<p>Nothing.</p>\n")]
    if plain:
        parts = [markup('<ul class="requirements">{}</ul>\n', joined(requirement_item(one, here) for one in plain))]
    if optional:
        items = joined(requirement_item(one, here) for one in optional)
        template = '<details><summary>Only with extras: {}</summary><ul class="requirements">{}</ul></details>\n'
        parts.append(markup(template, str(len(optional)), items))
    return parts


_REQUIRED = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")


def requirement_item(requirement: str, here: Set[str]) -> Markup:
    """Return a requirement, its name a link where the mirror has the project."""
    match = _REQUIRED.match(requirement)
    name = normalise(match.group(1)) if match else ""
    if match is None or name not in here:
        return markup('<li><code>{}</code> <span class="note">not in this mirror</span></li>\n', one_line(requirement))
    rest = one_line(requirement[match.end() :])
    return markup('<li><code><a href="../{}/index.html">{}</a>{}</code></li>\n', name, match.group(1), rest)


def askers_table(name: str, askers: Sequence[Tuple[List[str], List[str]]]) -> Markup:
    """Return what required a project, as the pages of the streams say it."""
    rows = []
    for (before, project, linked, between, requirement, after, version), where in askers:
        link = markup('<a href="../{}/index.html">{}</a>', project, linked) if project else NOTHING
        asker = markup("{}{}{}<code>{}</code>{}", before, link, between, requirement, after)
        rows.append(markup('<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>\n', asker, version, tags(where)))
    if not rows:
        return NOTHING
    table = markup(
        '<table class="askers"><caption class="unseen">What required {}</caption>\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}</tbody></table>\n",
        name, heads("Required by", "Release taken", "Environments"), joined(rows),
    )  # fmt: skip
    if len(rows) > MANY:
        table = markup("<details><summary>{} requirements</summary>\n{}</details>\n", str(len(rows)), table)
    return section("required-by", "Required by", table)


def described(description: str, filename: str) -> Markup:
    """Return a description as text, whatever markup it is written in."""
    if not description:
        return NOTHING
    text = description.replace("\r\n", "\n").expandtabs(4)
    note = f"As written in {filename}."
    if len(text) > LONGEST_DESCRIPTION:
        text = text[:LONGEST_DESCRIPTION].rpartition("\n")[0] or text[:LONGEST_DESCRIPTION]
        note += " It is longer than what is shown here."
    shown = markup('<p class="note">{}</p>\n<pre class="description" dir="auto">\n{}</pre>\n', note, text)
    return section("description", "Description", shown)


# A page can't know where it is served. search.js fills in the place; these stand where there is no JavaScript.
_INDEX = Markup('<span data-fill="index">http://HOST:PORT/simple/</span>')
_TRUST = Markup('<span data-fill="trust">--trusted-host HOST </span>')
_TRUSTED = Markup('<span data-fill="trust">\ntrusted-host = HOST</span>')


def install_lines(name: Optional[str]) -> Markup:
    """Return the lines that make clients use this index, to install a project or any."""
    project = name or "NAME"
    ways = (
        ("pip", markup("pip install {}--index-url {} {}", _TRUST, _INDEX, project)),
        ("uv", markup("uv pip install --default-index {} {}", _INDEX, project)),
        ("poetry", markup("poetry source add --priority=primary mirror {}\npoetry add {}", _INDEX, project)),
        ("pip.conf", markup("[global]\nindex-url = {}{}", _INDEX, _TRUSTED)),
    )
    items = joined(markup('<div class="way"><h3>{}</h3><pre><code>{}</code></pre></div>\n', *way) for way in ways)
    lines = markup(
        '<div class="ways">{}</div>\n'
        '<p class="note" data-fill="hint">HOST and PORT are those in the address of this page. '
        "Over HTTPS, write https and leave out trusted-host.</p>\n",
        items,
    )
    if name:
        return section("install", "Install", lines)
    title = "How to use this index: lines for pip, uv, poetry and pip.conf"
    return markup("<details><summary>{}</summary>\n{}</details>\n", title, lines)


def heads(*names: str) -> Markup:
    """Return the head of a table."""
    return joined(markup('<th scope="col">{}</th>', name) for name in names)


def section(key: str, title: str, content: Markup) -> Markup:
    """Return a part of a page that a link can lead to."""
    template = '<section aria-labelledby="{}"><h2 id="{}">{}</h2>\n{}</section>\n'
    return markup(template, key, key, title, content)


def tags(names: Iterable[str]) -> Markup:
    """Return names as tags."""
    return joined((markup('<span class="tag">{}</span>', name) for name in names), between=" ")


def day_of(time_: str) -> Union[str, Markup]:
    """Return the day of an upload."""
    day = time_[:10]
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        return markup('<time datetime="{}">{}</time>', day, day)
    return day or "not known"


def one_line(text: str) -> str:
    """Return untrusted text as a single short line, which it ought to be."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"


def whole_page(title: str, body: Markup, up: str) -> bytes:
    """Return a whole page; ``up`` is the way from it to the mirror directory: "", or "../../" with a slash at the end."""
    page = markup(
        '<!DOCTYPE html>\n<html lang="en" data-root="{}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<title>{}</title>\n'
        '<link rel="icon" href="{}site/icon.svg" type="image/svg+xml">\n<link rel="stylesheet" href="{}site/style.css">\n'
        '<script src="{}site/search.js" defer></script>\n</head>\n<body>\n'
        '<a class="skip" href="#content">Skip to the content</a>\n'
        '<header><nav aria-label="Mirror"><a class="home" href="{}index.html">Package mirror</a>\n'
        '<ul><li><a href="{}index.html#projects">Projects</a></li>'
        '<li><a href="{}simple/index.html">Simple index</a></li></ul></nav></header>\n'
        '<main id="content" tabindex="-1">\n{}</main>\n'
        '<footer><p>Checksums: <a href="{}SHA256SUMS">SHA256SUMS</a>. '
        'Contents: <a href="{}mirror.json">mirror.json</a>.</p></footer>\n</body>\n</html>\n',
        up or "./", title, up, up, up, up, up, up, body, up, up,
    )  # fmt: skip
    return page.html.encode()


# The whole: what is written anew, of what stands in the streams and what is the inside's own.


class Composer:
    """Writes the pages of one tree.

    :param states: the streams' states; :func:`arrange` has made ``arrangement`` of them and of ``own``.
    :param sources: where each content of the states is, by SHA-256.
    """

    def __init__(
        self, states: Sequence[Manifest], own: Own, arrangement: Arrangement, sources: Mapping[str, str]
    ) -> None:
        self._states = sorted(states, key=lambda state: state.stream)
        self._own = own
        self._arrangement = arrangement
        self._sources = sources
        self._own_pages = {page.name: page for page in own.pages()}
        self._here = {*arrangement.projects, *self._own_pages}
        self._rows: Dict[str, Row] = {}
        self._releases = 0

    def compose(self) -> Dict[str, bytes]:
        """Return all that is written anew, by path; ``SHA256SUMS`` among it, which names all of the tree.

        :raises Refused: the pages of two streams can't be merged.
        """
        summaries = {state.stream: self._summary(state) for state in self._states}
        fronts = {state.stream: self._text(state, "index.html") for state in self._states}
        self._releases = sum(_number_in(summary, "releases") for summary in summaries.values())
        self._take_rows(fronts)
        written: Dict[str, bytes] = {}
        for name in self._arrangement.shown:
            written.update(self._several(name))
        for name, page in self._own_pages.items():
            written.update(self._own_project(name, page))
        written.update({f"simple/{form}": content for form, content in root_forms(self._here).items()})
        about = self._about(summaries)
        written.update(with_packed({"index.html": front_page(self._front(summaries, fronts, about))}))
        written["mirror.json"] = (json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        written["SHA256SUMS"] = self._sums(written)
        return written

    # What the streams say

    def _read(self, state: Manifest, path: str) -> bytes:
        sha256, size = state.files[path]
        try:
            content = read_bounded(Path(self._sources[sha256]), size)
        except OSError as error:
            raise Refused(f"can't read {path} of {state.name}: {error}. Nothing was changed.") from None
        must(
            hashlib.sha256(content).hexdigest() == sha256,
            f"{path} of {state.name} was changed since it was received. Bring a full bundle ('doit bundle --full').",
        )
        return content

    def _text(self, state: Manifest, path: str) -> str:
        if path not in state.files or state.files[path][1] > LARGEST_PAGE:
            return ""
        return self._read(state, path).decode("utf-8", "replace")

    def _summary(self, state: Manifest) -> Mapping[str, Any]:
        """Return what a stream's mirror.json says; it is for people and for the check of locks, so that less will do."""
        try:
            about = json.loads(self._text(state, "mirror.json"))
            json.dumps(about, indent=1, ensure_ascii=False).encode("utf-8")  # as it is written again
        except (ValueError, RecursionError):
            return {}
        return about if isinstance(about, dict) else {}

    def _take_rows(self, fronts: Mapping[str, str]) -> None:
        """Take the projects' rows from the front pages of the streams; a row that has another form says less."""
        for state in self._states:
            for (name, version, left, summary), where in tags_in(_PROJECT_ROW, fronts[state.stream]):
                if state in self._arrangement.projects.get(name, ()):
                    row = Row(version, summary, tuple(where), bool(left))
                    self._rows[name] = _together(self._rows.get(name), row)
        for name in self._arrangement.projects:
            self._rows.setdefault(name, Row("", "", ()))

    # Projects

    def _several(self, name: str) -> Dict[str, bytes]:
        """Return the pages of a project that several streams have."""
        states = self._arrangement.projects[name]
        path = f"simple/{name}/index.v1_json"
        pages = [(state, read_page(self._json(state, path), name, state.name)) for state in states]
        page = merge_pages(pages)
        self._releases += len(page.versions) - sum(len(one.versions) for _, one in pages)
        forms = {f"simple/{name}/{form}": content for form, content in page_forms(page).items()}
        shown = project_page(page, self._about_several(page, states))
        return {
            **(forms if name in self._arrangement.merged else {}),
            **with_packed({f"project/{name}/index.html": shown}),
        }

    def _json(self, state: Manifest, path: str) -> bytes:
        if path not in state.files or state.files[path][1] > LARGEST_PAGE:
            raise Refused(f"{state.name} has files of {path.split('/')[1]}, and no page {path} that could be merged")
        return self._read(state, path)

    def _about_several(self, page: Page, states: Sequence[Manifest]) -> About:
        environments: Dict[str, Dict[str, None]] = {}
        askers: Dict[str, Tuple[List[str], Dict[str, None]]] = {}
        for state in states:
            text = self._text(state, f"project/{page.name}/index.html")
            for (filename,), where in tags_in(_FILE_ROW, text):
                environments.setdefault(filename, {}).update(dict.fromkeys(where))
            for texts, where in tags_in(_ASKER_ROW, text):
                askers.setdefault("\0".join(texts), (texts, {}))[1].update(dict.fromkeys(where))
        headers = self._headers(page, states)
        return About(
            "; ".join(state.name for state in states),
            {filename: one for filename, (one, _) in headers.items()},
            _first_description(page, headers),
            {filename: list(where) for filename, where in environments.items()},
            [(texts, list(where)) for texts, where in askers.values()],
            self._here,
        )

    def _headers(self, page: Page, states: Sequence[Manifest]) -> Dict[str, Tuple[Dict[str, List[str]], str]]:
        """Return the metadata beside the first wheel of each release, which is what people are shown of it."""
        found = {}
        for _, files in releases_of(page):
            for file in files:
                path = f"packages/{page.name}/{file['filename']}.metadata"
                state = next((one for one in states if path in one.files), None)
                if state and state.files[path][1] <= LARGEST_METADATA:
                    found[file["filename"]] = headers_of(self._read(state, path))
                    break
        return found

    def _own_project(self, name: str, page: Page) -> Dict[str, bytes]:
        """Return the pages of a project of the inside's own."""
        headers = {
            file["filename"]: headers_of(self._own.metadata_of(file["filename"])) for file in page.files
        }  # fmt: skip
        description = _first_description(page, headers)
        about = About("own packages", {key: one for key, (one, _) in headers.items()}, description, {}, [], self._here)
        releases = releases_of(page)
        summary = first_line(newest_headers(releases, about).get("summary", ()))
        self._rows[name] = Row(releases[0][0], summary, ("own",))
        self._releases += len(page.versions)
        forms = {f"simple/{name}/{form}": content for form, content in page_forms(page).items()}
        return {**forms, **with_packed({f"project/{name}/index.html": project_page(page, about)})}

    # The top

    def _about(self, summaries: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
        """Return what the mirror holds, with the keys that the pipeline writes for one stream."""
        files = [
            (path, size)
            for path, (_, size) in self._arrangement.linked.items()
            if path.startswith("packages/") and not _is_sidecar(path, self._arrangement.linked)
        ]
        uploads = [str(summary["newest_upload"]) for summary in summaries.values() if summary.get("newest_upload")]
        uploads += [file.added for file in self._own.files.values()]
        return {
            "format": 1,
            "made_by": f"receive.py of mirror-tasks {VERSION}",
            "streams": {state.stream: {"manifest": state.sha256, "sequence": state.sequence} for state in self._states},
            "own": sorted(self._own_pages),
            "configuration": {
                f"{stream}/{path}": text
                for stream, summary in summaries.items()
                for path, text in _mapping_in(summary, "configuration").items()
            },
            "environments": _union(summaries, "environments"),
            "environments_in_full": _union(summaries, "environments_in_full"),
            "lacking": _union(summaries, "lacking"),
            "requirements": _union(summaries, "requirements"),
            "projects": len(self._here),
            "releases": self._releases,
            "files": len(files),
            "bytes": sum(size for _, size in files),
            "newest_upload": max(uploads, default=None),
        }

    def _front(self, summaries: Mapping[str, Any], fronts: Mapping[str, str], about: Mapping[str, Any]) -> Front:
        newest = about["newest_upload"]
        figures = [(key.capitalize(), f"{about[key]:,}") for key in ("projects", "releases", "files")]
        figures += [("Size", size_of(about["bytes"])), ("Newest upload", newest[:10] if newest else "not known")]
        streams = [markup("{}", state.name) for state in self._states]
        streams += [markup("own packages: {}", ", ".join(sorted(self._own_pages)))] if self._own_pages else []
        roots = [markup("<code>{}</code>", one_line(str(root))) for root in about["requirements"]]
        lists = [
            (
                "Environments",
                "environments",
                "environments",
                [_environment(one) for one in about["environments_in_full"]],
            ),
            ("Mirrored for", "roots", "roots", roots),
            ("Brought by", "streams", "environments", streams),
        ]
        gaps = [gap for text in fronts.values() for gap in tags_in(_GAP_ROW, text.partition('id="gaps"')[2])]
        return Front(figures, lists, self._rows, gaps)

    def _sums(self, written: Mapping[str, bytes]) -> bytes:
        sums = {path: sha256 for path, (sha256, _) in self._arrangement.linked.items()}
        sums.update({path: hashlib.sha256(content).hexdigest() for path, content in written.items()})
        return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(sums.items())).encode()


def _together(one: Optional[Row], other: Row) -> Row:
    """Return what two streams say of a project on their front pages: the newer version in a plan, and all environments."""
    if one is None:
        return other
    newer = max((one, other), key=lambda row: (not row.kept, version_key(row.version)))
    return newer._replace(tags=tuple(sorted({*one.tags, *other.tags})))


def _number_in(about: Mapping[str, Any], key: str) -> int:
    value = about.get(key)
    return value if type(value) is int and 0 <= value <= SIZE_LIMIT else 0


def _mapping_in(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def _union(summaries: Mapping[str, Mapping[str, Any]], key: str) -> List[Any]:
    """Return the items of a list that each stream has, each item once, in their order."""
    found: Dict[str, Any] = {}
    for summary in summaries.values():
        items = summary.get(key)
        for item in items if isinstance(items, list) else ():
            found.setdefault(json.dumps(item, sort_keys=True), item)
    return list(found.values())


def _is_sidecar(path: str, files: Mapping[str, Content]) -> bool:
    return path.endswith(".metadata") and path[: -len(".metadata")] in files


def _environment(said: Any) -> Markup:
    """Return an environment as the front page names it."""
    about = said if isinstance(said, dict) else {}
    markers = about.get("markers")
    first = markers[0] if isinstance(markers, list) and markers and isinstance(markers[0], dict) else {}
    python = about.get("python") or first.get("python_full_version", "")
    platform = f"{first.get('platform_system', '')} {first.get('platform_machine', '')}".strip()
    text = f"{first.get('platform_python_implementation', 'Python')} {python}, {platform}".rstrip(", ")
    return markup("{} {}", tags([one_line(str(about.get("name", "")))]), one_line(text))


def _first_description(page: Page, headers: Mapping[str, Tuple[Any, str]]) -> Tuple[str, str]:
    for _, files in releases_of(page):
        for file in files:
            if headers.get(file["filename"], ({}, ""))[1]:
                return headers[file["filename"]][1], file["filename"]
    return "", ""


# Core metadata.

LARGEST_METADATA = 4 * 1024 * 1024  # bytes of METADATA or PKG-INFO


def headers_of(content: bytes) -> Tuple[Dict[str, List[str]], str]:
    """Return the headers of core metadata by name in lower case, and the description; what is odd is left as it is."""
    # The headers alone: a body that says to be of many parts would be taken apart, one within the other.
    message = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(content.decode("utf-8", "replace"))
    headers: Dict[str, List[str]] = {}
    for name, value in message.raw_items():
        headers.setdefault(name.lower(), []).append(str(value).strip())
    body = message.get_payload()
    # Core metadata 2.1 has the description in the body; before, each line of the header but the first was indented.
    older = re.sub(r"\n(?: {7}\||[ \t]{1,8})", "\n", headers.get("description", [""])[0])
    text = body if isinstance(body, str) and body.strip() else older
    return headers, "" if text.strip() in ("", "UNKNOWN") else text.strip("\r\n")


# Own packages.
#
# The inside's own wheels and sdists stand below own/ as they were given, and in own.json what the pages say of them. Nothing
# is unpacked: of an archive its names are looked at, and its METADATA or PKG-INFO is read, within bounds.

MOST_MEMBERS = 200_000
LARGEST_DIRECTORY = 16 * 1024 * 1024  # bytes of a zip's list of members, which is held in memory
LARGEST_TAR = 4 * 1024 * 1024 * 1024  # bytes that an sdist may unpack to
LARGEST_TAR_HEADER = 4 * 1024  # bytes of a path, or of some numbers: tarfile takes time and memory by their square
MOST_LARGE_HEADERS = 512 * 1024  # bytes
BOMB_RATIO = 50
_HARMLESS_TAR = 64 * 1024 * 1024  # below this it doesn't matter how well something was compressed
_WHEEL = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?-[A-Za-z0-9._+!]+(?:-[0-9][A-Za-z0-9._]*)?(?:-[A-Za-z0-9._]+){3}\.whl"
)
_SDIST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-[A-Za-z0-9._+!-]+(?:\.tar\.gz|\.zip)")
_PATTERN = re.compile(r"[a-z0-9*?](?:[a-z0-9*?-]*[a-z0-9*?])?")


class OwnFile(NamedTuple):
    """An own file. ``metadata`` is the SHA-256 of its METADATA or PKG-INFO, which stands beside it; ``added`` is in UTC."""

    project: str
    version: str
    sha256: str
    size: int
    metadata: str
    metadata_size: int
    requires_python: str
    added: str
    is_wheel: bool


class Own(NamedTuple):
    """The inside's own packages.

    :param folder: where the files stand.
    :param files: by file name.
    :param bound: patterns of normalised names that no stream may bring.
    """

    folder: Path
    files: Dict[str, OwnFile]
    bound: Tuple[str, ...]

    def binds(self, name: str) -> bool:
        """Say whether a project is served from the own files alone."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.bound)

    def names(self) -> List[str]:
        """Return the names of the own projects, in order."""
        return sorted({file.project for file in self.files.values()})

    def pages(self) -> List[Page]:
        """Return the page of each own project."""
        return [self._page(name) for name in self.names()]

    def _page(self, name: str) -> Page:
        files = {filename: file for filename, file in sorted(self.files.items()) if file.project == name}
        entries = []
        for filename, file in files.items():
            entry: Dict[str, Any] = {"filename": filename, "url": file_url(name, filename)}
            entry.update({"hashes": {"sha256": file.sha256}, "size": file.size})
            if file.requires_python:
                entry["requires-python"] = file.requires_python
            entry["upload-time"] = file.added
            if file.is_wheel:
                entry["core-metadata"] = {"sha256": file.metadata}
            entries.append(entry)
        return Page(name, tuple(sorted({file.version for file in files.values()})), tuple(entries))

    def metadata_of(self, filename: str) -> bytes:
        """Return the core metadata of an own file.

        :raises Refused: it is not there as it was put there.
        """
        path = self.folder / f"{filename}.metadata"
        advice = f"Take the file away with --remove {filename}, and add it again."
        try:
            content = read_bounded(path, LARGEST_METADATA)
        except OSError as error:
            raise Refused(f"can't read {path}: {error}. {advice}") from None
        must(hashlib.sha256(content).hexdigest() == self.files[filename].metadata, f"{path} was changed. {advice}")
        return content

    def sources(self) -> Dict[str, str]:
        """Return where each own content stands, by SHA-256."""
        found = {file.sha256: f"{self.folder}/{filename}" for filename, file in self.files.items()}
        found.update({file.metadata: f"{self.folder}/{filename}.metadata" for filename, file in self.files.items()})
        return found

    def check(self) -> None:
        """Look if the own files are there, by their sizes; their hashes are looked at by ``server.py --check``.

        :raises Refused: one is not.
        """
        for filename, file in self.files.items():
            path = self.folder / filename
            must(
                is_whole(str(path), file.size),
                f"the own file {path} is not what was added: expected a file of {file.size} bytes. Nothing was changed. "
                f"Put it back, or take it away with --remove {filename}.",
            )

    def to_bytes(self) -> bytes:
        """Return what stands in own.json."""
        files = {name: file._asdict() for name, file in self.files.items()}
        return canonical({"bound": list(self.bound), "files": files, "format": FORMAT})

    def record(self) -> Any:
        """Return what the record of a generation says of them; None where there are none."""
        if not self.files and not self.bound:
            return None
        return {"bound": list(self.bound), "names": self.names(), "sha256": hashlib.sha256(self.to_bytes()).hexdigest()}


def read_own(root: Path) -> Own:
    """Read own.json; where there is none, there are no own packages.

    :raises Refused: it is not what this program writes.
    """
    folder = root / "own"
    must(
        not os.path.islink(folder),
        f"{folder} is a link, and should be a folder. Nothing was changed. Put the folder there.",
    )
    record = read_record(folder / "own.json")
    if record is None:
        return Own(folder, {}, ())
    try:
        must(record["format"] == FORMAT, "it is of another format: use a newer receive.py")
        files = {str(name): _own_file(name, said) for name, said in record["files"].items()}
        bound = tuple(check_pattern(pattern) for pattern in record["bound"])
    except (ValueError, KeyError, TypeError, AttributeError, Refused) as error:
        raise Refused(
            f"can't use {folder / 'own.json'}: {error}. Nothing was changed. Bring it back from a backup; or move the folder "
            "own away, and add the files anew with --add."
        ) from None
    return Own(folder, files, bound)


def _own_file(name: str, said: Mapping[str, Any]) -> OwnFile:
    """Return an entry of own.json, having looked at it.

    :raises ValueError: it can't be one; TypeError likewise.
    """
    file = OwnFile(**said)
    texts = (file.project, file.version, file.sha256, file.metadata, file.requires_python, file.added)
    if not all(isinstance(text, str) for text in texts) or not is_plain(name) or not kind_of(name):
        raise ValueError(f"what it says of {name!r} can't be")
    numbers = (file.size, file.metadata_size)
    hashes = (file.sha256, file.metadata)
    if not all(type(number) is int and number >= 0 for number in numbers) or not all(map(_SHA256.fullmatch, hashes)):
        raise ValueError(f"the sizes and hashes of {name!r} can't be")
    if (
        not _NAME.fullmatch(file.project)
        or not _TIME.fullmatch(file.added)
        or file.is_wheel is not (kind_of(name) == "wheel")
    ):
        raise ValueError(f"the project, the time or the kind of {name!r} can't be")
    return file


def kind_of(filename: str) -> str:
    """Return "wheel" or "sdist" by the name of a file, "" where it is neither's."""
    if not is_plain(filename) or len(filename) > 250:
        return ""
    return "wheel" if _WHEEL.fullmatch(filename) else "sdist" if _SDIST.fullmatch(filename) else ""


def check_pattern(pattern: str) -> str:
    """Return a pattern of --own, normalised.

    :raises Refused: it is none.
    """
    plain = re.sub(r"[-_.]+", "-", str(pattern)).lower()
    if not _PATTERN.fullmatch(plain) or not plain.strip("*?-"):
        raise Refused(f"{str(pattern)[:100]!r} is no pattern of names such as ours-*, and * alone would bind them all")
    return plain


# Changes of what is the inside's own.


def own_with(own: Own, paths: Sequence[str], added: str) -> Own:
    """Return the own packages with further files, which are copied to where they belong, under their names with .new.

    A file that is there already is left as it is.

    :param added: the time, as :func:`now` gives it.
    :raises Refused: a file is no wheel or sdist, or another one of its name is there.
    """
    files = dict(own.files)
    for path in _given(paths):
        filename = os.path.basename(path)
        check_name(filename, files)
        sha256, size = _copied(path, own.folder / f"{filename}.new")
        there = files.get(filename)
        if there is None:
            files[filename] = _described_file(own.folder / f"{filename}.new", filename, sha256, size, added)
            say(f"{filename}: {files[filename].project} {files[filename].version}, {size_of(size)}")
            continue
        must(
            (there.sha256, there.size) == (sha256, size),
            f"{filename} is here already with another content (sha256 {there.sha256}, that of the new one {sha256}). Nothing "
            "was changed: clients may have locked it by its hash. Give the new one another version or build number.",
        )
        say(f"{filename} is here already")
    return own._replace(files=files)


def check_name(filename: str, files: Iterable[str]) -> None:
    """Look if a file can be added under its name.

    :raises Refused: it is neither a wheel's nor an sdist's, or where case does not count another one has it.
    """
    must(
        bool(kind_of(filename)),
        f"{filename} is not named as a wheel (NAME-VERSION-PYTHON-ABI-PLATFORM.whl) or an sdist (NAME-VERSION.tar.gz or .zip) "
        "is. Nothing was changed. Build it with a tool that names it so, and add that file.",
    )
    alike = [other for other in files if fold(other) == fold(filename) and other != filename]
    must(not alike, f"{filename} can't stand beside {few(alike)}: on some systems these are one. Nothing was changed.")


def _given(paths: Sequence[str]) -> List[str]:
    """Return the files that are named; a pattern that no shell has filled in, as on Windows, is filled in here."""
    found: List[str] = []
    for path in paths:
        matches = [path] if os.path.exists(path) or not glob.has_magic(path) else sorted(glob.glob(path))
        must(bool(matches) and all(map(os.path.isfile, matches)), f"there is no file {path}. Nothing was changed.")
        found += matches
    return found


def _copied(path: str, to: Path) -> Content:
    """Copy a file, durably; return its hash and size.

    :raises Refused: it can't be read, or there is no room for it.
    """
    hashed, size = hashlib.sha256(), 0
    remove(to)
    try:
        with open(path, "rb") as source, open(os.open(str(to), _WRITING, 0o644), "wb") as target:
            for piece in iter(lambda: source.read(CHUNK), b""):
                hashed.update(piece)
                size += len(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise Refused(f"can't copy {path} to {to}: {error.strerror}. Nothing was changed.") from None
    return hashed.hexdigest(), size


def _described_file(path: Path, filename: str, sha256: str, size: int, added: str) -> OwnFile:
    """Return what the pages say of a file, having read it; its metadata is written beside it.

    :raises Refused: it is not what its name says.
    """
    is_wheel = kind_of(filename) == "wheel"
    try:
        metadata = wheel_metadata(path, filename) if is_wheel else sdist_metadata(path, filename)
        headers = check_headers(metadata)
        project, version = check_release(headers, filename)
        check_own_place(project, filename)
        python = single(headers, "requires-python")
    except (Refused, OSError) as error:
        raise Refused(f"{filename} can't be added: {error}. Nothing was changed.") from None
    write_whole(path.with_name(f"{filename}.metadata.new"), metadata)
    metadata_sha256 = hashlib.sha256(metadata).hexdigest()
    return OwnFile(project, version, sha256, size, metadata_sha256, len(metadata), python, added, is_wheel)


def check_headers(metadata: bytes) -> Mapping[str, List[str]]:
    """Return the headers of core metadata that is whole.

    :raises Refused: it is no UTF-8, or has a line that is no header: the parser drops all that follows, without a word.
    """
    try:
        text = metadata.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"its metadata is not UTF-8 ({error.reason} at byte {error.start})") from None
    message = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text)
    # Before Python 3.11.4 a message that says to be of many parts is said not to be, though only its headers were read.
    defects = [one for one in message.defects if not isinstance(one, email.errors.MultipartInvariantViolationDefect)]
    must(not defects, "its metadata has a line that is neither a header nor part of one")
    return headers_of(metadata)[0]


def check_release(headers: Mapping[str, List[str]], filename: str) -> Tuple[str, str]:
    """Return the project and the version that a file is of, by its metadata and by its name.

    :raises Refused: the two say different things.
    """
    name, version = single(headers, "name"), single(headers, "version")
    project = normalise(name)
    must(
        bool(_NAME.fullmatch(project)) and bool(version_key(version)),
        f"its metadata names no release of a project ({name!r}, {version!r})",
    )
    by_name = normalise(filename.partition("-")[0]) == project or not filename.endswith(".whl")
    must(
        by_name and version_key(version_of(filename, project)) == version_key(version),
        f"by its metadata it is {name} {version}, which its name does not say",
    )
    return project, version


def check_own_place(project: str, filename: str) -> None:
    """Look if a file and what stands beside it can stand in a mirror's tree.

    :raises Refused: they can't.
    """
    try:
        check_path(f"packages/{project}/{filename}.metadata")
    except Refused:
        raise Refused(
            f"packages/{project}/{filename}.metadata can't be on every system: it is longer than {PATH_LIMIT} characters, "
            "or Windows keeps a name in it for a device"
        ) from None


def single(headers: Mapping[str, List[str]], field: str) -> str:
    """Return the value of a field that may occur once, "" where it does not.

    :raises Refused: it occurs with several values, or is too long, or no text.
    """
    values = sorted(set(headers.get(field, ())))
    must(len(values) <= 1, f"its metadata has several values of {field.title()}: {few(map(repr, values))}")
    value = values[0] if values else ""
    must(
        len(value) <= 1000 and value.isprintable(),
        f"its metadata has no plain value of {field.title()}: {value[:100]!r}",
    )
    return value


def own_without(own: Own, filenames: Sequence[str]) -> Own:
    """Return the own packages without some files.

    :raises Refused: one of them is not there.
    """
    strange = [filename for filename in filenames if filename not in own.files]
    must(not strange, f"there is no own file {few(strange)}; there are: {few(sorted(own.files), 20) or 'none'}")
    return own._replace(files={name: file for name, file in own.files.items() if name not in filenames})


def own_bound(own: Own, more: Sequence[str], fewer: Sequence[str]) -> Own:
    """Return the own packages with patterns bound, and others bound no more.

    :raises Refused: one is no pattern, or was not bound.
    """
    gone = [check_pattern(pattern) for pattern in fewer]
    strange = [pattern for pattern in gone if pattern not in own.bound]
    must(not strange, f"{few(strange)} is not bound to own packages; these are: {', '.join(own.bound) or 'none'}")
    left = [pattern for pattern in own.bound if pattern not in gone]
    return own._replace(bound=tuple(sorted({*left, *map(check_pattern, more)})))


def write_own(own: Own) -> None:
    """Put new files in their places and write own.json, so that it never names what is not there.

    :raises OSError: a file can't be put there.
    """
    for filename in own.files:
        for name in (f"{filename}.metadata", filename):
            if not os.path.lexists(own.folder / name):
                rename(own.folder / f"{name}.new", own.folder / name)
    write_whole(own.folder / "own.json", own.to_bytes())


def sweep_own(own: Own) -> None:
    """Delete below own/ what own.json does not name: removed files, and what a run left that was ended before its time."""
    if not own.folder.is_dir():
        return
    wanted = {"own.json", *own.files, *(f"{filename}.metadata" for filename in own.files)}
    for path in own.folder.iterdir():
        if path.name not in wanted and (path.name.endswith((".new", ".metadata")) or kind_of(path.name)):
            remove(path)


def newly_bound(name: str, own: Own, before: Generation) -> bool:
    """Say whether a project is bound to own packages that in the generation before was not."""
    bound = before.own.get("bound", ()) if isinstance(before.own, dict) else ()
    return own.binds(name) and not own._replace(bound=tuple(map(str, bound))).binds(name)


def describe_own(own: Own, states: Sequence[Manifest]) -> List[str]:
    """Return what people are told of the own packages, and of what the states have and is left out for them."""
    lines = []
    for name in own.names():
        files = [filename for filename, file in own.files.items() if file.project == name]
        lines.append(f"own package {name}: {', '.join(sorted(files))}")
    if own.bound:
        lines.append(f"served from own packages alone: {', '.join(own.bound)}")
        for state in states:
            left_out = sorted(filter(own.binds, projects_in(state)))
            lines += [f"left out of {state.name} for that: {few(left_out)}"] if left_out else []
    return lines or ["own packages: none"]


def change_own(root: Path, options: argparse.Namespace) -> int:
    """Add own packages, take some away, bind names to them; put a generation with them in place.

    Nothing is changed before it is known that all of it goes together with what the streams brought. Then own.json is
    written; a run that is killed after that is ended by the next one, for a generation says what own.json it was made of.

    :raises Refused: it can't be done.
    """
    have_folder(root / "own")
    with Lock(root):
        settle(root)
        own = read_own(root)
        sweep_own(own)
        try:
            changed = own_with(own, options.add, now())
            changed = own_bound(own_without(changed, options.remove), options.own, options.no_own)
            return put_own(root, own, changed, options.generations)
        except BaseException:
            sweep_own(read_own(root))
            raise


def put_own(root: Path, own: Own, changed: Own, keep: int) -> int:
    """Write down changed own packages, and have a generation with them served."""
    before = current(root)
    must(before is not None, f"no bundle is in place in {root} yet: apply one first, then add own packages to it")
    assert before
    if changed == own and before.own == own.record():
        sweep_own(own)
        say(f"nothing to do: generation {before.number}, which is served, has it")
        return APPLIED
    states = [read_manifest(root, applied.manifest) for applied in before.streams.values()]
    sources = find_inside(root, {sha256: size for state in states for sha256, size in state.files.values()})
    check_others(states, sources)
    arrange(states, changed)
    write_own(changed)
    generation = Generation(read_state(root).next, before.streams, changed.record(), now(), before.number)
    put_in_place(root, generation, before, states, sources, changed, keep)
    sweep_own(changed)
    for line in describe_own(changed, states):
        say(line)
    say(f"generation {generation.number} is served")
    return APPLIED


# Archives.

_ZIP_END = struct.Struct("<4s4H2LH")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, ValueError, NotImplementedError,
    OverflowError, RuntimeError, LookupError, OSError,
)  # fmt: skip


def wheel_metadata(path: Path, filename: str) -> bytes:
    """Return the METADATA of a wheel.

    :raises Refused: it is no zip, or has not one METADATA of its own project.
    """
    with open(path, "rb") as file:
        check_zip_end(file)
        try:
            with zipfile.ZipFile(file) as archive:
                entry = _the_one(archive.infolist(), _is_dist_info, "DIST-INFO/METADATA")
                folder = entry.filename.partition("/")[0]
                if not normalise(folder).startswith(normalise(filename.partition("-")[0])):
                    raise Refused(f"its folder {folder} is of another project")
                return _zip_member(archive, entry)
        except _ARCHIVE_ERRORS as error:
            raise Refused(f"it is no wheel that can be read ({error})") from None


def _is_dist_info(path: str) -> bool:
    folder, _, rest = path.partition("/")
    return folder.casefold().endswith(".dist-info") and rest.casefold() == "metadata"


def check_zip_end(file: BinaryIO) -> None:
    """Refuse a zip that does not end with its end record, or whose list of members would fill the memory.

    :raises Refused: as said.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _ZIP_END.size - 20 - _ZIP64_END.size))
    tail = file.read()
    if len(tail) < _ZIP_END.size or not tail[-_ZIP_END.size :].startswith(b"PK\5\6") or tail[-2:] != b"\0\0":
        raise Refused(
            "expected a zip that ends with its end record, found none there: cut short, or something was appended"
        )
    lengths = [_ZIP_END.unpack(tail[-_ZIP_END.size :])[5]]
    if tail[-_ZIP_END.size - 20 :].startswith(b"PK\6\7") and tail.startswith(b"PK\6\6"):
        lengths.append(_ZIP64_END.unpack(tail[: _ZIP64_END.size])[8])
    if max(lengths) > LARGEST_DIRECTORY or (len(lengths) == 2 and lengths[0] not in (lengths[1], 0xFFFFFFFF)):
        raise Refused(f"its list of members has more than {LARGEST_DIRECTORY} bytes, or two sizes")


def _the_one(entries: Sequence[zipfile.ZipInfo], wanted: Callable[[str], bool], what: str) -> zipfile.ZipInfo:
    """Return the one member of a zip that is wanted.

    :raises Refused: there is none, or several, or it is a link, or a path leads out of the archive.
    """
    if len(entries) > MOST_MEMBERS:
        raise Refused(f"it has more than {MOST_MEMBERS} members")
    for entry in entries:
        check_member(entry.orig_filename)
    found = [entry for entry in entries if wanted(entry.filename)]
    if len(found) != 1:
        raise Refused(f"expected one {what} in it, found {len(found)}")
    kind = stat.S_IFMT(found[0].external_attr >> 16) if found[0].create_system == 3 else 0
    if kind not in (0, stat.S_IFREG):
        raise Refused(f"{found[0].filename} in it is not a regular file")
    return found[0]


def check_member(path: str) -> None:
    """Refuse an archive with a path that leads out of it.

    :raises Refused: this one does.
    """
    parts = re.split(r"[/\\]", path)
    if ".." in parts or parts[0] == "" or "\0" in path or re.match(r"[A-Za-z]:", path) or len(path) > 4096:
        raise Refused(f"a path in it leads out of it, or nowhere: {path[:200]!r}")


def _zip_member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"{entry.filename} in it is encrypted, or compressed as those of wheels are not")
    with archive.open(entry) as member:
        return _not_too_large(member.read(LARGEST_METADATA + 1))


def _not_too_large(content: bytes) -> bytes:
    if len(content) > LARGEST_METADATA:
        raise Refused(f"its metadata has more than {LARGEST_METADATA} bytes")
    return content


def sdist_metadata(path: Path, filename: str) -> bytes:
    """Return the PKG-INFO at the top of an sdist.

    :raises Refused: it is no such archive, or has not one PKG-INFO in its top folder.
    """
    with open(path, "rb") as file:
        try:
            if not filename.endswith(".zip"):
                return _from_tar(file)
            check_zip_end(file)
            with zipfile.ZipFile(file) as archive:
                return _zip_member(archive, _the_one(archive.infolist(), _is_pkg_info, "FOLDER/PKG-INFO"))
        except _ARCHIVE_ERRORS as error:
            raise Refused(f"it is no sdist that can be read ({error})") from None


def _is_pkg_info(path: str) -> bool:
    parts = [part for part in path.split("/") if part != "."]
    return len(parts) == 2 and parts[1].casefold() == "pkg-info"


class Unpacked(io.RawIOBase):
    """What a tar.gz unpacks to, for :mod:`tarfile`: forwards only, in small pieces, and no more of it than a bound."""

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self._most = min(LARGEST_TAR, max(_HARMLESS_TAR, BOMB_RATIO * size))
        self._stream = gzip.GzipFile(fileobj=file)
        self._at = 0
        self.is_header = True
        self._large_headers = 0

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        :raises Refused: too many are asked for, at once or altogether.
        """
        if not 0 <= size <= (LARGEST_TAR_HEADER if self.is_header else LARGEST_METADATA + 1):
            raise Refused(f"a header or a file in it has {size} bytes, more than are read")
        if self.is_header and size > 1024:
            self._large_headers += size
            if self._large_headers > MOST_LARGE_HEADERS:
                raise Refused(f"its headers of more than 1024 bytes have more than {MOST_LARGE_HEADERS} together")
        return self._next(size)

    def _next(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._at += len(content)
        if self._at > self._most:
            raise Refused(f"it unpacks to more than {size_of(self._most)}: a bomb")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on to a place further on.

        :raises Refused: it is not further on, which no honest tar asks for.
        """
        if whence or offset < self._at:
            raise Refused("a size in it leads backwards")
        while self._at < offset and self._next(min(offset - self._at, 1 << 20)):
            pass
        return self._at

    def tell(self) -> int:
        """Say how far it was read."""
        return self._at


def _from_tar(file: BinaryIO) -> bytes:
    found: List[bytes] = []
    unpacked = Unpacked(file)
    with tarfile.open(fileobj=unpacked, mode="r:") as archive:
        for count, member in enumerate(iter(archive.next, None)):
            archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
            check_member(member.name)
            if count >= MOST_MEMBERS:
                raise Refused(f"it has more than {MOST_MEMBERS} members")
            if _is_pkg_info(member.name):
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or member.size > LARGEST_METADATA:
                    raise Refused(f"{member.name} in it is not a regular file, or too large a one")
                unpacked.is_header = False
                found.append(stream.read())
                unpacked.is_header = True
    if len(found) != 1:
        raise Refused(f"expected one FOLDER/PKG-INFO in it, found {len(found)}")
    return found[0]


def own_names(root: Path) -> List[str]:
    """Return the names of the projects that the inside has added itself."""
    return read_own(root).names()


# Status.


class Waiting(NamedTuple):
    """A bundle of which something has come."""

    folder: Path
    manifest: Manifest


def waiting(root: Path) -> List[Waiting]:
    """Return the bundles that wait in incoming; what can't be read is told."""
    found = []
    for name in folders_in(received(root) / "incoming"):
        folder = received(root) / "incoming" / name
        try:
            found.append(Waiting(folder, parse_manifest(read_bounded(folder / "manifest.json", MANIFEST_LIMIT))))
        except (OSError, Refused) as error:
            report(f"can't use {folder}: {error}. 'receive.py --discard {root}' drops all that waits.")
    return found


def what_has_come(root: Path, bundle: Waiting) -> str:
    """Tell how many of the files that are not inside yet have come, and which volumes have the others.

    Of a content that was cut, each part is a file.
    """
    manifest = bundle.manifest
    inside = find_inside(root, {sha256: size for sha256, (size, _) in manifest.contents.items()})
    needed = manifest.contents.keys() - inside.keys()
    come = {name for name in os.listdir(bundle.folder) if _SHA256.fullmatch(name)}
    lacking = parts_to_come(manifest, needed, come)
    total = len(parts_to_come(manifest, needed, set()))
    said = f"{total - len(lacking)} of {count_of(total, 'file')} have come"
    volumes = {part.volume for _, part in lacking.values()}
    return f"{said}; the others are in {volumes_of(volumes, manifest)}" if volumes else said


def show_status(root: Path, options: argparse.Namespace) -> int:
    """Tell what is inside, and write the receipt if that is asked for."""
    if options.receipt:
        return write_receipt(root, options)
    served, state = current(root), read_state(root)
    for name, known in sorted(state.streams.items()):
        tell_stream(root, name, known, served)
    tell_generations(root, served)
    for bundle in waiting(root):
        say(f"waits for more: {bundle.manifest.name}, of which {what_has_come(root, bundle)}")
    tell_own(root, served)
    say(f"free: {size_of(shutil.disk_usage(root).free)}")
    return APPLIED


def tell_stream(root: Path, name: str, known: Seen, served: Optional[Generation]) -> None:
    """Tell which bundle of a stream is served."""
    applied = served.streams.get(name) if served else None
    if applied:
        say(f"stream {name}: bundle {applied.sequence} ({applied.manifest}), {applied.at}, signed by {applied.by}")
        say(f"stream {name}: {age_of(read_manifest(root, applied.manifest))}")
    if not applied or applied.manifest != known.manifest:
        say(
            f"stream {name}: bundle {known.sequence} ({known.manifest}) was received, and is not served (see --forward)"
        )


def age_of(manifest: Manifest) -> str:
    """Write when and by what a bundle was made, and how long what leaves its stream's plan stays."""
    stays = ", ".join(
        f"{number} {unit if number != 1 else unit[:-1]}" for unit, number in (manifest.keep or {}).items()
    )
    kept = f"; what leaves its plan stays for {stays}" if stays else ""
    return f"made {manifest.made['at']} by {manifest.made['by']}{kept}"


def tell_generations(root: Path, served: Optional[Generation]) -> None:
    """Tell which generations stand, and what the one that is served has of the one before."""
    if served is None:
        say(f"nothing is served from {root} yet")
        return
    others = numbers_of(generation.number for generation in standing(root) if generation.number != served.number)
    say(f"generation {served.number} is served, made {served.made}; others that stand: {others or 'none'}")
    kept = dict(sums_listed(root, served, (KEPT_SUMS,)))
    say(f"kept of the generation before: {count_of(len(kept), 'file')}" + (f" ({few(sorted(kept))})" if kept else ""))


def tell_own(root: Path, served: Optional[Generation]) -> None:
    """Tell which own packages there are, what is bound to them, and what of the streams that leaves out."""
    own = read_own(root)
    streams = served.streams.values() if served and own.bound else ()
    states = [read_manifest(root, applied.manifest) for applied in streams]
    for line in describe_own(own, states):
        say(line)
    if served and served.own != own.record():
        say(
            f"the own packages are not as generation {served.number} has them; the next bundle or --add puts them in place"
        )


def write_receipt(root: Path, options: argparse.Namespace) -> int:
    """Write what is inside for the outside: a file, or eight lines that can be typed where nothing may leave."""
    streams: Dict[str, Applied] = {}
    for generation in standing(root):
        for name, applied in generation.streams.items():
            if name not in streams or streams[name].sequence < applied.sequence:
                streams[name] = applied
    wanted = read_wanted(options.wanted) if options.wanted else []
    if options.receipt == "-":
        for line in typed_receipt(streams, own_names(root), wanted, options.stream).split("\n"):
            say(line)
        return APPLIED
    document = {
        "format": FORMAT,
        "made": now(),
        "own": own_names(root),
        "streams": {name: {"manifest": a.manifest, "sequence": a.sequence} for name, a in streams.items()},
        "wanted": wanted,
    }
    write_whole(Path(options.receipt), canonical(document))
    say(f"wrote {options.receipt}; outside, 'transfer: {{receipt: FILE}}' in mirror.yaml reads it")
    return APPLIED


def typed_receipt(streams: Mapping[str, Applied], own: List[str], wanted: List[str], asked: Optional[str]) -> str:
    """Return the receipt of one stream as lines, with a check sum that finds what was mistyped.

    :raises Refused: there is no such stream, or several.
    """
    names = sorted(streams) if asked is None else [asked]
    must(
        len(names) == 1 and names[0] in streams,
        f"say with --stream which one: {', '.join(sorted(streams)) or 'none is there'}",
    )
    applied = streams[names[0]]
    grouped = "-".join(re.findall("....", applied.manifest))
    lines = [
        f"mirror-receipt {FORMAT}",
        f"stream {names[0]}",
        f"sequence {applied.sequence}",
        f"manifest {grouped}",
        f"own {' '.join(own) or '-'}",
        f"wanted {' '.join(wanted[:20]) or '-'}",
        f"made {now()}",
    ]
    plain = "".join(" ".join(line.lower().split()) + "\n" for line in lines)
    return "\n".join([*lines, f"check {hashlib.sha256(plain.encode('utf-8')).hexdigest()[:8]}"])


def read_wanted(path: Path) -> List[str]:
    """Read what clients asked for in vain, from the list that ``server.py --wanted`` writes."""
    try:
        lines = read_bounded(path, RECORD_LIMIT).decode("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise Refused(f"can't read {path}: {error}. Give the file that 'server.py --wanted' writes.") from None
    wanted = (line.partition("#")[0].strip() for line in lines)
    return ["".join(requirement.split()) for requirement in wanted if requirement]


def discard(root: Path) -> int:
    """Drop what waits in incoming."""
    with Lock(root):
        settle(root)
        names = folders_in(received(root) / "incoming")
        for name in names:
            remove_folder(received(root) / "incoming" / name)
    say(f"dropped what had come of {count_of(len(names), 'bundle')}")
    return APPLIED


def check_volumes(options: argparse.Namespace) -> int:
    """Look at volumes by themselves: what of them is broken or absent. Nothing is written but what is missing."""
    bundles, wrong = gather(options.check, signer_among(options))
    for problem in wrong:
        report(problem)
    faults = len(wrong)
    for bundle in bundles:
        by = f"signed by {bundle.by}" if bundle.by else "signature not looked at: no --trust"
        say(f"{bundle.manifest.name}, {count_of(bundle.manifest.volumes, 'volume')}, {by}")
        broken: Set[str] = set()
        for volume in bundle.volumes:
            broken |= check_volume(bundle.manifest, volume)
        if broken:
            report(write_missing(options.missing, bundle.manifest, broken))
        faults += len(broken)
    return FAILED if faults else APPLIED


def check_volume(manifest: Manifest, volume: Volume) -> Set[str]:
    """Tell what of a volume is altered, missing or strange; return which contents are not all there as they should be."""
    there = files_on(volume.folder)
    named = {fold(part.place): (sha256, part) for sha256, (_, parts) in manifest.contents.items() for part in parts}
    expected = {place: named[place] for place in named if named[place][1].volume == volume.number or place in there}
    progress = Progress(sum(part.size for place, (_, part) in expected.items() if place in there), sys.stderr)
    faults: Dict[str, str] = {}
    for place, (_, part) in sorted(expected.items()):
        fault = fault_of(f"{volume.folder}/files/{there[place]}", part, progress) if place in there else "missing"
        if fault:
            faults[place] = fault
            say(f"{fault}: {volume.folder}/files/{part.place}")
    for place in sorted(there.keys() - expected.keys()):
        say(f"extra: {volume.folder}/files/{there[place]}")
    number = f"volume {volume.number} of {manifest.volumes}" if volume.number else "no volume by its number"
    say(f"{volume.folder}: {number}; {count_of(len(expected), 'file')}, {len(faults)} altered or missing")
    return {expected[place][0] for place in faults}


def fault_of(path: str, part: Part, progress: Progress) -> str:
    """Say what is wrong with a file of a volume, nothing if it is as it should be."""
    hashed = hashlib.sha256()
    try:
        with io.FileIO(open_regular(path), "rb") as file:
            for piece in pieces_of(file, part.size):
                hashed.update(piece)
                progress.add(len(piece))
    except (OSError, Refused):
        return "altered"
    return "" if hashed.hexdigest() == part.sha256 else "altered"


def write_missing(path: Optional[Path], manifest: Manifest, contents: Iterable[str]) -> str:
    """Write down which contents are to be sent again, for ``doit bundle --again``; return what to do, in words."""
    if path is None:
        return "Say --missing FILE to write down what is to be sent again, for 'doit bundle --again FILE' outside."
    document = {
        "contents": sorted(contents),
        "format": FORMAT,
        "manifest": manifest.sha256,
        "sequence": manifest.sequence,
        "stream": manifest.stream,
    }
    try:
        write_whole(path, canonical(document))
    except OSError as error:
        return (
            f"Can't write down to {path} what is to be sent again: {error.strerror}. Say another place with --missing."
        )
    return f"Carry {path} out, for 'doit bundle --again {path.name}' there."


# The command line.


def apply_all(options: argparse.Namespace) -> int:
    """Apply the bundles that are in the folders given, the oldest first; return the exit status."""
    root = Path(os.path.abspath(options.to))
    root = root.resolve() if root.exists() else root
    check_target(root)
    check_places(root)
    must(
        bool(options.trust) or options.unsigned,
        "say with --trust FILE whose signature is trusted, or --unsigned to do without. Nothing was changed.",
    )
    bundles, wrong = gather(options.folders, signer_among(options))
    for problem in wrong:
        report(problem)
    statuses = [FAILED] * bool(wrong)
    stopped: Set[str] = set()  # streams of which a bundle could not be applied
    for bundle in due(root, bundles):
        manifest = bundle.manifest
        if manifest.stream in stopped:
            where = few(str(volume.folder) for volume in bundle.volumes)
            say(f"{manifest.name}, in {where}, was not looked at: one before it is not in place")
            continue
        try:
            statuses.append(apply(root, bundle, options))
        except Refused as error:
            report(f"{manifest.name}: {error}")
            statuses.append(FAILED)
        if statuses[-1] != APPLIED:
            stopped.add(manifest.stream)
    return next(status for status in (FAILED, WAITING, APPLIED) if status in statuses)


def due(root: Path, bundles: Sequence[Bundle]) -> List[Bundle]:
    """Return the bundles to apply: those that are older than what is inside only where there is none that is newer."""
    highest = {name: known.sequence for name, known in read_state(root).streams.items()}
    newest = {bundle.manifest.stream: bundle.manifest.sequence for bundle in bundles}
    kept = []
    for bundle in bundles:
        stream, sequence = bundle.manifest.stream, bundle.manifest.sequence
        if sequence < highest.get(stream, 0) <= newest[stream]:
            say(f"{bundle.manifest.name} is passed over: bundle {highest[stream]} is inside")
        else:
            kept.append(bundle)
    return kept


def apply(root: Path, bundle: Bundle, options: argparse.Namespace) -> int:
    """Apply a bundle, if it may be; return the exit status.

    :raises Refused: it may not be, or it can't be.
    """
    check_sequence(read_state(root), bundle.manifest)  # before anything is written
    try:
        have_places(root)
        with Lock(root):
            return apply_alone(root, bundle, options)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise
        raise Refused(f"no room is left in {root}. {no_room(root, still_needed(root, bundle))}") from None


def apply_alone(root: Path, bundle: Bundle, options: argparse.Namespace) -> int:
    """Apply a bundle while no other run is at work; return the exit status.

    :raises Refused: it may not be applied, or it can't be.
    """
    settle(root)
    generation = with_bundle(root, bundle.manifest)
    if generation:
        tell_inside(root, bundle.manifest, generation, options.generations)
        return bind(root, options) if options.own else APPLIED
    check_sequence(read_state(root), bundle.manifest)
    return receive(root, bundle, options)


def bind(root: Path, options: argparse.Namespace) -> int:
    """Bind names to the own packages without a bundle to apply; return the exit status."""
    own = read_own(root)
    have_folder(own.folder)
    return put_own(root, own, own_bound(own, options.own, ()), options.generations)


def signer_among(options: argparse.Namespace) -> Signer:
    """Return what tells by whom a manifest is, as the options have it."""
    if options.unsigned:
        return lambda _volumes, _data: UNSIGNED
    if not options.trust:  # --check alone
        return lambda _volumes, _data: ""
    return lambda volumes, data: signer_of(volumes, data, options.trust)


def signer_of(volumes: Sequence[Volume], manifest: bytes, trusts: Sequence[Path]) -> str:
    """Return by whom a manifest is signed; one volume with a right signature is enough.

    :raises Refused: by nobody who is trusted, as is told of the first volume.
    """
    problems: List[Refused] = []
    for volume in volumes:
        try:
            return verify_signatures(volume.folder, manifest, trusts)
        except Refused as error:
            problems.append(error)
    raise problems[0]


def check_sequence(state: State, manifest: Manifest) -> None:
    """Look if a bundle may follow upon what was received.

    :raises Refused: it is an older one, another one of the same number, or builds on one that is not inside.
    """
    known = state.streams.get(manifest.stream, Seen(0, "", ()))
    must(
        manifest.sequence >= known.sequence,
        f"bundle {known.sequence} was received already, and {manifest.sequence} is older: what is inside does not go back. "
        "Nothing was changed. (The generation before is served again by --back.)",
    )
    must(
        manifest.sequence > known.sequence or manifest.sha256 == known.manifest,
        f"another bundle {known.sequence} was received already ({known.manifest[:16]}…; this one is {manifest.sha256[:16]}…). "
        "Nothing was changed. Find out who else makes bundles of this stream; each needs a stream of its own.",
    )
    base = manifest.base
    if base and (base.sequence, base.manifest) not in known.seen:
        inside = dict(known.seen).get(base.sequence)
        must(
            inside is None,
            f"it builds on another bundle {base.sequence} than the one that was received ({base.manifest[:16]}…, and here is "
            f"{str(inside)[:16]}…). Nothing was changed. Ask for 'doit bundle --full' outside, and find out who else makes "
            "bundles of this stream.",
        )
        raise Refused(
            f"it builds on bundle {base.sequence}, which is not inside; {highest_of(known)}. Missing: "
            f"{missing_between(known.sequence, base.sequence)}. Nothing was changed. Bring what is missing, or ask outside for "
            f"{f'{chr(39)}doit bundle --since {known.sequence}{chr(39)} or ' if known.sequence else ''}'doit bundle --full'."
        )


def highest_of(known: Seen) -> str:
    """Write which bundle of a stream is the highest inside."""
    return f"the highest inside is bundle {known.sequence}" if known.sequence else "no bundle of this stream is inside"


def missing_between(inside: int, wanted: int) -> str:
    """Write which bundles are missing up to one that is wanted."""
    if inside >= wanted:
        return f"this bundle {wanted} (another one of that number was received)"
    return str(wanted) if wanted == inside + 1 else f"{inside + 1}-{wanted}"


def with_bundle(root: Path, manifest: Manifest) -> Optional[Generation]:
    """Return a generation that stands and has a bundle: the one that is served, if it has it; None where none has."""
    served = current(root)
    for generation in [*([served] if served else []), *standing(root)]:
        applied = generation.streams.get(manifest.stream)
        if applied and applied.manifest == manifest.sha256:
            return generation
    return None


def forward(root: Path) -> str:
    """Write the command that serves the newer generation again, with the name that Python has here."""
    program, place = (f'"{path}"' if " " in str(path) else str(path) for path in (root / "receive.py", root))
    return f"{Path(sys.executable or 'python3').name} {program} --forward {place}"


def tell_inside(root: Path, manifest: Manifest, generation: Generation, keep: int) -> None:
    """Tell that a bundle is inside; where it is served, do what a run that was killed after the switch has not come to."""
    told = f"{manifest.name} is inside already, in generation {generation.number}"
    if generation.number == pointed(root):
        say(f"{told}, which is served")
        retire(root, keep)
        drop_incoming(root, manifest)
    else:
        say(f"{told}, which --back took out of use")
        say(f"To serve that one again: {forward(root)}")


def receive(root: Path, bundle: Bundle, options: argparse.Namespace) -> int:
    """Take what a bundle carries, and put a generation with it in place; return the exit status.

    :raises Refused: it can't be done.
    """
    manifest, before = bundle.manifest, current(root)
    own = own_bound(read_own(root), options.own, ())
    streams = dict(before.streams) if before else {}
    streams.pop(manifest.stream, None)
    others = sorted(streams.values(), key=lambda applied: (applied.at, applied.manifest))
    states = [*(read_manifest(root, applied.manifest) for applied in others), manifest]
    if is_composed(states, own):
        arrange(states, own)  # what doesn't go together is refused before anything is taken
    sources = find_inside(root, {sha256: size for state in states for sha256, size in state.files.values()})
    check_others(states[:-1], sources)
    incoming = Incoming(root, manifest, bundle.data)
    try:
        missing = take(root, bundle, states, incoming, sources, options.missing)
    finally:
        incoming.close()
    if missing:
        them = "them" if missing.startswith("volumes") else "it"
        say(f"{manifest.name} waits for {missing}; what was verified is kept. Bring {them}, and run again.")
        return WAITING
    check_sums(manifest, sources)
    write_whole(received(root) / "manifests" / f"{manifest.sha256}.json", bundle.data)
    streams[manifest.stream] = Applied(manifest.sha256, manifest.sequence, bundle.by, now())
    number = read_state(root).next
    generation = Generation(number, streams, own.record(), now(), before.number if before else None)
    if options.own:
        have_folder(own.folder)
        write_own(own)
    kept = put_in_place(root, generation, before, states, sources, own, options.generations)
    drop_incoming(root, manifest)
    say(
        f"{manifest.name} is in place: generation {generation.number}, {count_of(len(manifest.files), 'file')}, "
        f"{kept} kept of the one before; signed by {bundle.by}"
    )
    return APPLIED


def drop_incoming(root: Path, manifest: Manifest) -> None:
    """Remove what has come of a bundle that is in place, and of older ones of its stream."""
    folder = received(root) / "incoming"
    if (folder / manifest.sha256).is_dir():
        remove_folder(folder / manifest.sha256)
    for bundle in waiting(root):
        if bundle.manifest.stream == manifest.stream and bundle.manifest.sequence <= manifest.sequence:
            remove_folder(bundle.folder)


def check_others(states: Sequence[Manifest], sources: Mapping[str, str]) -> None:
    """Look if what other streams have is still there."""
    for state in states:
        lacking = [path for path, (sha256, _) in state.files.items() if sha256 not in sources]
        must(
            not lacking,
            f"{state.name}, which stands beside it, has lost {few(lacking)}. Nothing was changed. "
            "Bring a full bundle of that stream first ('doit bundle --full').",
        )


def take(
    root: Path,
    bundle: Bundle,
    states: Sequence[Manifest],
    incoming: Incoming,
    sources: Dict[str, str],
    missing: Optional[Path],
) -> str:
    """Take what is not inside yet from the volumes; return what is waited for, in words.

    :param states: of all streams; the last is the bundle's.
    :param sources: where contents are; what has come is added.
    :raises Refused: something is neither inside nor carried, or broken, or there is no room.
    """
    manifest = bundle.manifest
    to_come = {sha256 for sha256, _ in manifest.files.values()} - sources.keys()
    check_room(root, states, to_come, incoming)
    broken = fill(incoming, bundle, to_come)
    lacking = to_come - incoming.verified
    sources.update((sha256, incoming.path(sha256)) for sha256 in to_come - lacking)
    check_carried(manifest, lacking, missing)
    check_whole(bundle, incoming, lacking, broken, missing)
    volumes = {part.volume for _, part in parts_to_come(manifest, lacking, incoming.verified).values()}
    return volumes_of(volumes, manifest) if volumes else ""


def volumes_of(volumes: Set[int], manifest: Manifest) -> str:
    """Write which volumes of a bundle are meant."""
    return f"{'volume' if len(volumes) == 1 else 'volumes'} {numbers_of(volumes)} of {manifest.volumes}"


def check_carried(manifest: Manifest, lacking: Set[str], missing: Optional[Path]) -> None:
    """Look if all that a bundle does not carry is inside.

    :raises Refused: it is not.
    """
    strange = lacking - manifest.contents.keys()
    if strange:
        names = few(path for path, (sha256, _) in manifest.files.items() if sha256 in strange)
        raise Refused(
            f"{count_of(len(strange), 'file')} that it does not carry should be inside and {are(len(strange))} not there: "
            f"{names}. The old mirror stands as it was. {write_missing(missing, manifest, strange)}"
        )


def check_whole(
    bundle: Bundle, incoming: Incoming, lacking: Set[str], broken: Sequence[Broke], missing: Optional[Path]
) -> None:
    """Look if the volumes that are there have what they should have.

    :raises Refused: they have not.
    """
    manifest = bundle.manifest
    bad = {broke.place: broke.problem for broke in broken}
    here = {volume.number for volume in bundle.volumes}
    for _, part in parts_to_come(manifest, lacking, incoming.verified).values():
        if part.volume in here:
            bad.setdefault(part.place, "there is no such file")
    if bad:
        contents = {sha256 for sha256 in lacking if any(part.place in bad for part in manifest.contents[sha256][1])}
        told = few(f"files/{place} ({problem})" for place, problem in sorted(bad.items()))
        raise Refused(
            f"{count_of(len(bad), 'file')} of its volumes {are(len(bad))} not as sent: {told}. The old mirror stands as it "
            f"was; what was right is kept. {write_missing(missing, manifest, contents)}"
        )


def check_room(root: Path, states: Sequence[Manifest], contents: Set[str], incoming: Incoming) -> None:
    """Look if there is room for what is to come, and for copies of all that stands where there are no hard links.

    :param states: of all streams; the last is the one whose contents are to come.
    :raises Refused: there is not.
    """
    manifest = states[-1]
    parts = [part for _, part in parts_to_come(manifest, contents, incoming.verified).values()]
    cut = [size for sha256, (size, pieces) in manifest.contents.items() if len(pieces) > 1 and sha256 in contents]
    needed = sum(part.size + BLOCK for part in parts) + max(cut, default=0)
    if not incoming.has_links():
        needed += sum(size + BLOCK for state in states for _, size in state.files.values())
    free = shutil.disk_usage(root).free
    must(needed <= free, f"it needs {size_of(needed)} in {root}. {no_room(root, needed - free)}")
    folders = {path.rpartition("/")[0] for state in states for path in state.files}
    check_inodes(root, len(parts) + len(folders) + 20)


def check_inodes(root: Path, needed: int) -> None:
    """Look if the file system takes so many more files.

    :raises Refused: it does not.
    """
    if hasattr(os, "statvfs"):
        status = os.statvfs(root)
        must(
            not status.f_files or needed <= status.f_favail,
            f"it needs {needed} more files and folders than there are in {root}, and its file system takes "
            f"{status.f_favail} more. Remove some elsewhere on it, and run again. The old mirror stands as it was.",
        )


def still_needed(root: Path, bundle: Bundle) -> int:
    """Return how many bytes of what a bundle carries have not come yet; those of a tree's folders are few beside."""
    folder = received(root) / "incoming" / bundle.manifest.sha256
    left = (size for sha256, (size, _) in bundle.manifest.contents.items() if not is_whole(f"{folder}/{sha256}", size))
    return sum(size + BLOCK for size in left)


def no_room(root: Path, lacking: int) -> str:
    """Write what to do where there is too little room."""
    return (
        f"{size_of(shutil.disk_usage(root).free)} are free there: make {size_of(max(lacking, BLOCK))} more free, and run again. "
        "The old mirror stands as it was; what was verified is kept."
    )


def check_sums(manifest: Manifest, sources: Mapping[str, str]) -> None:
    """Look if the state's SHA256SUMS says the same as the manifest.

    :raises Refused: it does not.
    """
    expected = {path: sha256 for path, (sha256, _) in manifest.files.items() if path != SUMS}
    hashed = hashlib.sha256()
    for path, sha256 in expected.items():
        hashed.update(f"{sha256}  {path}\n".encode("utf-8"))
    if hashed.hexdigest() == manifest.files[SUMS][0]:
        return
    sums = sums_in(Path(sources[manifest.files[SUMS][0]]))
    differing = sorted(path for path in sums.keys() | expected.keys() if sums.get(path) != expected.get(path))
    must(
        not differing,
        f"its SHA256SUMS and its manifest differ on {few(differing)}. The old mirror stands as it was. "
        "Make the bundle anew outside.",
    )


def parse_arguments(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Verify a mirror's bundle, and put it in place at once.",
        usage="%(prog)s FOLDER... --to DIR --trust FILE [--own PATTERN]\n"
        "       %(prog)s --add FILE... --to DIR\n"
        "       %(prog)s --remove FILENAME... | --own PATTERN | --no-own PATTERN --to DIR\n"
        "       %(prog)s --check VOLUME [--trust FILE]\n"
        "       %(prog)s --status DIR [--receipt FILE] | --back DIR | --forward DIR | --discard DIR",
        epilog="Exit statuses: 0 applied, or inside already; 1 refused or failed; 2 usage; 3 waiting for further volumes.",
    )
    add = parser.add_argument
    about = f"receive.py of mirror-tasks {VERSION}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    add("--version", action="version", version=about, help="print the version and end")
    add("folders", nargs="*", type=Path, metavar="FOLDER", help="a volume, the folder of a bundle, or the stick")
    add("--to", type=Path, metavar="DIR", help="the mirror's directory")
    trust = (
        "keys whose signature is trusted: allowed_signers of ssh, a public key (PEM, minisign) or an OpenPGP keyring"
    )
    add("--trust", type=Path, action="append", default=[], metavar="FILE", help=trust + "; may be given several times")
    add("--unsigned", action="store_true", help="verify no signature")
    add("--missing", type=Path, metavar="FILE", help="write down what arrived broken, or not at all")
    number = "how many generations stay (default: %(default)s, the one that is served and the one before; 1: none to go back to)"
    add("--generations", type=generations, default=2, metavar="N", help=number)
    add("--check", type=Path, action="append", metavar="VOLUME", help="look at a volume by itself, and end")
    add("--status", type=Path, metavar="DIR", help="tell what is inside, and end")
    receipt = "with --status: write what is inside for the outside, to a file, or as lines to type (-)"
    add("--receipt", metavar="FILE", help=receipt)
    wanted = "with --receipt: the list of 'server.py --wanted FILE' goes into it"
    add("--wanted", type=Path, metavar="FILE", help=wanted)
    add("--stream", metavar="NAME", help="with --receipt -: of which stream, where there are several")
    add("--discard", type=Path, metavar="DIR", help="drop what waits there for further volumes, and end")
    add("--add", nargs="+", default=[], metavar="FILE", help="put wheels and sdists of your own onto the pages")
    add("--remove", nargs="+", default=[], metavar="FILENAME", help="take own files away again")
    bound = (
        "serve projects of such a name, as ours-*, from the own files alone, whatever bundles bring; it is remembered"
    )
    add("--own", action="append", default=[], metavar="PATTERN", help=bound)
    add("--no-own", action="append", default=[], metavar="PATTERN", help="bind such names no more")
    add("--back", type=Path, metavar="DIR", help="serve the generation before, at once")
    add("--forward", type=Path, metavar="DIR", help="serve the generation again that --back took out of use")
    options = parser.parse_args(arguments)
    check_modes(parser, options)
    return options


def check_modes(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a word on usage where options don't go together."""
    changes = options.add or options.remove or options.own or options.no_own
    verbs = ("check", "status", "discard", "back", "forward")
    modes = [options.to, *(getattr(options, verb) for verb in verbs)]
    if sum(map(bool, modes)) != 1 or bool(options.folders or changes) != bool(options.to):
        one_of = ", ".join(f"--{verb}" for verb in verbs)
        parser.error(f"say FOLDER and --to DIR, or --add FILE and --to DIR, or one of {one_of}")
    if options.folders and (options.add or options.remove or options.no_own):
        parser.error("apply the bundle and change the own packages one after the other; --own alone goes with FOLDER")
    if options.trust and options.unsigned:
        parser.error("say --trust FILE or --unsigned, not both")
    if options.receipt and not options.status:
        parser.error("--receipt goes with --status DIR")


def generations(text: str) -> int:
    """Read how many generations are to stay."""
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit status."""
    if options.check:
        return check_volumes(options)
    if options.status:
        return show_status(mirror_at(options.status), options)
    if options.discard:
        return discard(mirror_at(options.discard))
    if options.back:
        return go_back(mirror_at(options.back))
    if options.forward:
        return go_forward(mirror_at(options.forward))
    if not options.folders:
        return change_own(mirror_at(options.to), options)
    return apply_all(options)


def mirror_at(path: Path) -> Path:
    """Return a directory in which bundles were received.

    :raises Refused: there is none.
    """
    must(os.path.lexists(received(path)), f"no bundle was received in {path} yet (there is no folder 'received')")
    check_places(path)
    return path.resolve()


def told(error: OSError) -> str:
    """Write what the system refused, on what, and what to do then."""
    what = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{what}. This account may not do that: run again as one that may, the owner of that directory for one."
    if error.errno == errno.EROFS:
        return f"{what}. Mount it so that it can be written to, and run again."
    return f"{what}. Run again to go on."


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the program; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding has not is told all the same
            stream.reconfigure(errors="backslashreplace")
    options = parse_arguments(arguments)
    try:
        return run(options)
    except Refused as error:
        report(str(error))
    except KeyboardInterrupt:
        report("stopped. The old mirror or the new one stands, whole; what was verified is kept: run again to go on.")
        return INTERRUPTED
    except OSError as error:
        report(f"{told(error)} The old mirror or the new one stands, whole; what was verified is kept.")
    except Exception as error:  # noqa: BLE001 - nobody inside can do anything with a traceback
        report(
            f"a fault of this program: {describe(error)}. Nothing that is served was changed by halves. Please report it."
        )
    return FAILED


def describe(error: BaseException) -> str:
    """Return an exception with the place it came from, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (line {frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def exit_with(status: int) -> NoReturn:
    """Leave with this status, whether or not anybody still reads the output."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")
    sys.exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is temporary is removed then, as by Ctrl-C
    exit_with(main())
