#!/usr/bin/env python3
"""Serve the mirror that this file stands in, to installers and to people.

Run ``python server.py`` in a copied mirror directory. Needs Python 3.7 or newer and nothing else.

The server computes nothing that a static web server could not give: it chooses a file, by the URL and the ``Accept``
headers, and sends it. So a tree that is changed underneath it is served at once. One thread runs an event loop
(:mod:`asyncio`) and no request waits for another client: what is not finished at once is sent piece by piece.

The file reads from top to bottom; each part begins with a comment of its name:

=====================  ==============================================================================================
Requests               the bytes of a head become a ``Request``, or a ``Refusal``; no bytes are repaired
Negotiation            which form of a page a client takes
The tree               the only part that opens the mirror's files for a request: ``is_plain`` and ``Tree``
Responses              conditions and ranges; a ``Response`` is made of a request and a file
The routes             ``Site``: what is at which URL
Passwords              the password file, and the logins that wait to be checked
The operator           messages, the access log, metrics, and the list of what was asked for in vain
Health                 whether the files are there that the pages name
Connections            from bytes to requests, from responses to bytes, and all deadlines
The server             ``Server``: what the connections share; start and end
The check              ``--check``: the tree against SHA256SUMS
Reading locks          TOML and JSON, in which each string knows where it stands
Locks                  ``rewrite-lock``: what a lock names, and the same lock led to this mirror
The command line       options, TLS, sockets
=====================  ==============================================================================================

For a security reviewer:

- Trusted are whoever starts the program, its options and the files these name, and the Python that runs it. Not trusted
  is any byte of a client. The mirror's files are published, not believed: what upstream wrote is never run, and is sent
  as a type that no browser runs; the pages for people forbid inline scripts.
- Opened for a client: regular files below the mirror's directory, whose path consists of plain segments and, all links
  followed, does not leave it (``Tree``); of its top folder only ``ROOT_FILES``. Nothing is opened by a name that a client
  sent before it has passed ``is_plain``. Where ``receive.py`` puts bundles in place, that directory is the one that
  ``current`` or ``current.txt`` leads to, which is looked at before each request (``served_of``). Opened besides:
  ``SHA256SUMS``, ``SHA256SUMS.kept``, ``mirror.json`` and the JSON pages of projects with a plain name, where they
  stand, for what they say (``Checksums``, ``Inspection``, ``--check``); the files to hash, for
  ``--check`` and ``rewrite-lock``; the password file, the certificate and its key, a wish list of an earlier run, and the
  lock that ``rewrite-lock`` is given.
- A lock is not trusted either. ``LockReader`` reads up to ``LOCK_LIMIT`` bytes and ``LOCK_DEPTH`` levels of it, and finds its
  strings. No URL in it is opened, and a file that it names only if SHA256SUMS names it too, and it is inside (``Holdings``).
- Written: the wish list (``--wanted``, and FILE.new beside it), the password file (``add-user``, likewise), a rewritten lock
  and a copy of the one that it takes the place of (``rewrite-lock``, likewise), standard output and standard error. Nothing
  below the mirror's directory, unless the operator names a file there.
- Executed: nothing. There is no subprocess, no shell, no ``eval``, no ``pickle``, no import by a name that is data. No
  connection is ever opened; only listening sockets are.
- Threads: the event loop, which has all of the connections, ``Tree``, ``Passwords``, ``WishList``, the log and the metrics.
  ``password-N`` (two) run ``Passwords.check`` on a ``Login``, which never changes. ``wish-list`` (one) writes a copy of the
  list, and only looks at the tree. ``inspection`` (one) reads pages and looks at files, and sets ``Inspection.fault``. With
  TLS, asyncio reads the next piece of a file in a thread of its own. All of them may ``report``. ``--check`` hashes in a
  thread for each core; these share ``Progress``, under its lock.

Rules quoted are those of RFC 9110 (HTTP semantics), RFC 9112 (HTTP/1.1) and the simple repository API.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import concurrent.futures
import email.utils
import enum
import errno
import functools
import getpass
import hashlib
import hmac
import http
import io
import itertools
import json
import logging
import os
import re
import secrets
import signal
import socket
import ssl
import stat
import struct
import sys
import threading
import time
import traceback
import urllib.parse
import zlib
from bisect import bisect_left
from collections import Counter, OrderedDict
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Set,
    TextIO,
    Tuple,
    Union,
)

VERSION = "0.2.0"  # that of mirror-tasks, which put this file here


class Limits(NamedTuple):
    """What one client may use. Sizes are in bytes, times in seconds."""

    request_line: int = 8 * 1024
    head: int = 16 * 1024
    fields: int = 100
    connections: int = 10_000  # 200 installers at once: each opens up to 50
    head_seconds: float = 10.0
    idle_seconds: float = 60.0
    stall_seconds: float = 30.0
    slowest_rate: int = 16 * 1024
    linger_seconds: float = 2.0
    grace_seconds: float = 30.0


DEFAULTS = Limits()


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is answered with an error.

    :param status: the HTTP status.
    :param detail: one line for whoever reads the answer.
    :param fields: further header fields of the answer.
    """

    def __init__(self, status: int, detail: str, fields: Sequence[Tuple[str, str]] = ()) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.fields = fields


class SetupError(Exception):
    """The server can't run as it was asked to; the message says what to do."""


# Requests.

_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class Request(NamedTuple):
    """A request's head. ``line`` is its first line as it came, ``path`` the decoded segments of its target."""

    line: str
    method: str
    path: Tuple[str, ...]
    fields: Mapping[str, str]
    keep_alive: bool


def parse_head(head: bytes, limits: Limits = DEFAULTS) -> Request:
    """Parse a request's head, without the empty line that ends it.

    :raises Refusal: 400, 405, 413, 414, 431 or 505.
    """
    line, _, rest = head.partition(b"\r\n")
    if len(line) > limits.request_line:
        raise Refusal(414, f"the request line is longer than {limits.request_line} bytes")
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        raise Refusal(400, "the request line is not of the form: METHOD TARGET HTTP/1.1")
    method, target, major, minor = (part.decode("ascii") for part in match.groups())
    if major != "1":
        raise Refusal(505, "this server speaks HTTP/1.1")
    fields = parse_fields(rest, limits.fields)
    check_framing(method, fields, is_1_1=minor != "0")
    return Request(
        line.decode("ascii"), method, split_target(target), fields, wants_to_stay(fields, is_1_1=minor != "0")
    )


@functools.lru_cache(maxsize=256)  # a client sends the same header fields with all its requests
def parse_fields(lines: bytes, limit: int) -> Mapping[str, str]:
    """Parse header lines into values by lower-case name; fields that come several times are joined by commas."""
    fields: Dict[str, str] = {}
    if not lines:
        return fields
    split = lines.split(b"\r\n")
    if len(split) > limit:
        raise Refusal(431, f"there are more than {limit} header fields")
    for line in split:
        name, colon, value = line.partition(b":")
        # RFC 9112, 5.1: "No whitespace is allowed between the field name and colon"; 2.2: a bare CR is invalid.
        if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise Refusal(400, "a header field is not of the form: Name: value")
        key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        # RFC 9112, 3.2: 400 "to any request message that contains more than one Host header field line".
        if key in fields and key in ("host", "content-length"):
            raise Refusal(400, f"there is more than one {key} field")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields


def check_framing(method: str, fields: Mapping[str, str], is_1_1: bool) -> None:
    """Refuse what would let two parties disagree on where a request ends, and every method but GET and HEAD."""
    if method not in ("GET", "HEAD"):
        raise Refusal(405, "this server knows GET and HEAD", [("Allow", "GET, HEAD")])
    # RFC 9112, 3.2: 400 "to any HTTP/1.1 request message that lacks a Host header field".
    if is_1_1 and "host" not in fields:
        raise Refusal(400, "the Host field is missing")
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        raise Refusal(413, "this server takes no content with a request")


def wants_to_stay(fields: Mapping[str, str], is_1_1: bool) -> bool:
    """Say whether the connection goes on after this request (RFC 9112, 9.3)."""
    options = [option.strip() for option in fields.get("connection", "").lower().split(",")]
    return "close" not in options if is_1_1 else "keep-alive" in options


def split_target(target: str) -> Tuple[str, ...]:
    """Return the segments of the path of a request's target, each decoded once; the last is "" after a slash.

    A segment is cut out before it is decoded, so an encoded separator never separates; :func:`is_plain` then refuses
    it. What is encoded twice stays encoded once, and is the name of no file.

    :raises Refusal: 400 where the path is not one, or its encoding is broken.
    """
    if target[0] != "/":
        # RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests". The host it names is not used.
        match = re.match(r"(?i)https?://[^/?#]*", target)
        if not match:
            raise Refusal(400, "the request's target is not a path")
        target = target[match.end() :] or "/"
    path = target.partition("?")[0].partition("#")[0]
    return tuple(decode_segment(segment) for segment in path[1:].split("/"))


def decode_segment(segment: str) -> str:
    """Undo the percent-encoding of one segment of a path."""
    if "%" not in segment:
        return segment
    if re.search("%(?![0-9A-Fa-f]{2})", segment):
        raise Refusal(400, "the path has a % that is not followed by two hexadecimal digits")
    try:
        return urllib.parse.unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "the path is not UTF-8") from None


# Negotiation.

HTML = "text/html"
V1_JSON = "application/vnd.pypi.simple.v1+json"
V1_HTML = "application/vnd.pypi.simple.v1+html"

# In the order of this server's preference, for a client that has none: one that says nothing may be older than JSON.
PAGE_FILES = {HTML: "index.html", V1_JSON: "index.v1_json", V1_HTML: "index.v1_html"}

_LATEST = {
    "application/vnd.pypi.simple.latest+json": V1_JSON,
    "application/vnd.pypi.simple.latest+html": V1_HTML,
}
_WEIGHT = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}")


def parse_weighted(value: str) -> Iterator[Tuple[str, float]]:
    """Yield the elements of an ``Accept`` or ``Accept-Encoding`` field with their weights.

    RFC 9110, 12.4.2: "If no "q" parameter is present, the default weight is 1." A weight that is no number counts as
    1 too, since the client did name the element. Other parameters are passed over: no page here has variants by them.
    """
    for element in value.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, text = parameter.partition("=")
            if key.strip() == "q" and _WEIGHT.fullmatch(text.strip()):
                weight = min(1.0, float(text))
        if name:
            yield name, weight


@functools.lru_cache(maxsize=256)
def preferred_types(accept: Optional[str]) -> Tuple[str, ...]:
    """Return the page types that a client accepts, the most preferred first.

    RFC 9110, 12.5.1: a request without Accept accepts everything, and "the most specific reference has precedence".
    """
    ranges = list(parse_weighted("*/*" if accept is None else accept))
    ranked = []
    for order, offered in enumerate(PAGE_FILES):
        matches = [
            (precision, weight)
            for named, weight in ranges
            for precision, pattern in enumerate(("*/*", offered.partition("/")[0] + "/*", offered))
            if pattern == _LATEST.get(named, named)
        ]
        precision, weight = max(matches, default=(0, 0.0))
        if weight > 0:
            ranked.append((-weight, -precision, order, offered))
    return tuple(entry[-1] for entry in sorted(ranked))


@functools.lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether a client takes gzip. RFC 9110, 12.5.3: an asterisk stands for every coding not listed."""
    weights = dict(parse_weighted(accept_encoding))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


# The tree.

PAGE_LIMIT = 4 * 1024 * 1024  # pages up to this size are sent from memory, larger ones from their file
METADATA_LIMIT = 64 * 1024  # likewise what lies under packages/
CACHE_BYTES = 32 * 1024 * 1024

# At the top only these are served: a user may well keep a key or a password file beside server.py.
ROOT_FILES = frozenset({"index.html", "mirror.json", "SHA256SUMS", "favicon.ico", "robots.txt"})
OPEN_FOLDERS = frozenset({"simple", "packages", "project", "site", "locks", "report"})

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".v1_html": V1_HTML,
    ".v1_json": V1_JSON,
    ".json": "application/json",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".lock": "text/plain; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
    ".xml": "application/xml",
}

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_DEVICE = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(\..*)?", re.I)


def is_plain(segment: str) -> bool:
    """Say whether a segment can name a file in the tree, and nothing else, on the platform at hand.

    Refused are separators and drive letters of any platform, control characters, dot files (so "." and ".." too),
    and endings that Windows drops; on Windows also the names of devices.
    """
    if not segment or segment[0] == "." or segment[-1] in ". " or _FORBIDDEN.search(segment):
        return False
    return os.name != "nt" or not is_device(segment)


def is_device(segment: str) -> bool:
    """Say whether Windows takes a name for that of a device, which it does with any extension."""
    return _DEVICE.fullmatch(segment) is not None


Signature = Tuple[int, int, int, int, int]


def signature_of(status: os.stat_result) -> Signature:
    """Return what changes when a file is replaced, moved or rewritten.

    The time of the inode's change is part of it, since a new file can have the number of a deleted one, and a tool that
    copies sets its time of modification.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


_GENERATION = re.compile(r"[0-9]{1,9}\n?")


def pointer_of(home: Path) -> Path:
    """Return what tells which directory is served of a mirror directory.

    Where ``receive.py`` puts bundles in place it is ``current``, a link to the generation, or ``current.txt``, with its
    number, where there can be no links. Elsewhere it is the directory itself, which may be a link as well.
    """
    return next((path for path in (home / "current", home / "current.txt") if os.path.lexists(str(path))), home)


def served_of(home: Path) -> Path:
    """Return the directory that is served of a mirror directory, all links followed.

    :raises OSError: there is no such directory.
    :raises ValueError: ``current.txt`` names none.
    """
    pointer = pointer_of(home)
    if pointer != home / "current.txt":
        return pointer.resolve(strict=True)
    with open(str(pointer), encoding="ascii") as file:
        text = file.read(12)
    if not _GENERATION.fullmatch(text):
        raise ValueError(f"expected the number of a generation in {pointer}, found {text!r}")
    return (home / "generations" / text.strip()).resolve(strict=True)


class Representation(NamedTuple):
    """What is sent for a URL: the content from memory (``data``), or from an open file, which the receiver closes."""

    media_type: str
    etag: str
    length: int
    crc32: int = 0
    data: bytes = b""
    file: Optional[BinaryIO] = None
    encoding: str = ""


class Tree:
    """The files of the mirror; nothing outside its root is ever opened.

    A small file is kept in memory as long as ``stat`` shows that it is still the same file, unchanged.

    :param home: the mirror directory, as :func:`served_of` takes it.
    :ivar root: the directory that is served, all links followed. :meth:`follow` changes it, and nothing else.
    :raises OSError: there is no such directory.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pointer = str(pointer_of(home))
        self._cache: "OrderedDict[str, Tuple[Signature, Representation]]" = OrderedDict()
        self._cached_bytes = 0
        self._seen = signature_of(os.stat(self._pointer))
        self._enter(served_of(home))

    def follow(self) -> None:
        """Go over to what is to be served now, if that was switched; files that are being sent stay open.

        Where it can't be told for a moment, or for good, what was served is served on.
        """
        try:
            seen = signature_of(os.stat(self._pointer))
            if seen != self._seen:
                root = served_of(self._home)
                if root != self.root:
                    self._enter(root)
                self._seen = seen
        except (OSError, ValueError, RuntimeError) as error:
            report_now_and_then(
                "switching", f"can't tell what to serve by {self._pointer}: {error}; serving {self.root}"
            )

    def _enter(self, root: Path) -> None:
        self.root = root
        self._root_text = str(root)
        self._checksums = Checksums(root / "SHA256SUMS")

    def get(self, segments: Sequence[str]) -> Optional[Representation]:
        """Return the file that these segments name, or None where there is none that may be served.

        :raises Refusal: 503 where the server is out of descriptors, 500 where the file can't be read.
        """
        if not all(is_plain(segment) for segment in segments):
            return None
        relative = "/".join(segments)
        try:
            status = os.stat(os.path.join(self._root_text, relative))
            cached = self._cache.get(relative)
            if cached and cached[0] == signature_of(status):
                self._cache.move_to_end(relative)
                return cached[1]
            return self._read(relative) if stat.S_ISREG(status.st_mode) else None
        except (OSError, ValueError) as error:  # ValueError: a name that this file system can't write
            self._refuse_unreadable(relative, error)
            return None

    def fault(self) -> str:
        """Say what keeps this from being a whole mirror, as far as a look at its top tells; "" where nothing does."""
        for path in ("simple/index.html", "SHA256SUMS", "mirror.json"):
            if not self.is_file(path.split("/")):
                return f"no whole mirror: {path} is missing"
        return "" if self.is_folder(("packages",)) else "no whole mirror: the folder packages is missing"

    def is_folder(self, segments: Sequence[str]) -> bool:
        """Say whether these segments name a folder in the tree."""
        if not all(is_plain(segment) for segment in segments):
            return False
        try:
            return self._inside("/".join(segments)).is_dir()
        except (OSError, ValueError, RuntimeError):
            return False

    def is_file(self, segments: Sequence[str]) -> bool:
        """Say whether these segments name a file in the tree."""
        if not all(is_plain(segment) for segment in segments):
            return False
        try:
            return self._inside("/".join(segments)).is_file()
        except (OSError, ValueError, RuntimeError):
            return False

    def _inside(self, relative: str) -> Path:
        """Follow all links.

        :raises FileNotFoundError: the path leads nowhere, or out of the root.
        """
        root = self.root  # of one moment: another request may enter another one meanwhile
        path = Path(root, relative).resolve(strict=True)  # os.path.realpath follows no links on Windows' 3.7
        if root not in path.parents:
            raise FileNotFoundError(relative)
        return path

    def _read(self, relative: str) -> Optional[Representation]:
        file = open(self._inside(relative), "rb", buffering=0)  # noqa: SIM115 - the response closes it
        try:
            status = os.fstat(file.fileno())
            if status.st_size > (METADATA_LIMIT if relative.startswith("packages/") else PAGE_LIMIT):
                return self._large(relative, file, status)
            with file:
                return self._small(relative, file.read(status.st_size + 1), signature_of(status))
        except BaseException:
            file.close()
            raise

    def _small(self, relative: str, data: bytes, signature: Signature) -> Representation:
        """Keep a small file in memory. Its entity tag is a hash of the very bytes sent, so as strong as one can be."""
        etag = '"' + hashlib.sha256(data).hexdigest() + '"'
        small = Representation(media_type_of(relative), etag, len(data), zlib.crc32(data), data)
        old = self._cache.pop(relative, None)
        self._cache[relative] = (signature, small)
        self._cached_bytes += small.length - (old[1].length if old else 0)
        while self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= self._cache.popitem(last=False)[1][1].length
        return small

    def _large(self, relative: str, file: BinaryIO, status: os.stat_result) -> Representation:
        """Describe a file too large to hash for a request.

        Its entity tag is its sha256 from SHA256SUMS, which is the same wherever the mirror is copied. A file that was
        changed after SHA256SUMS was written has a tag of inode, size and times of change in nanoseconds: the pipeline
        replaces files whole, by a new inode, so two contents never share that tag. So has a file that was replaced since
        it was opened, for then SHA256SUMS may tell of its successor. The tag is strong in all cases.
        """
        listed = self._checksums.sha256_of(relative, status.st_mtime_ns)
        if not self._is_still(relative, signature_of(status)):
            listed = None
        etag = listed or hashlib.sha256(repr(signature_of(status)[1:]).encode()).hexdigest()[:32]
        return Representation(media_type_of(relative), f'"{etag}"', status.st_size, file=file)

    def _is_still(self, relative: str, signature: Signature) -> bool:
        try:
            return signature_of(os.stat(os.path.join(self._root_text, relative))) == signature
        except OSError:
            return False

    def _refuse_unreadable(self, relative: str, error: Exception) -> None:
        """Tell a file that is not there from one that can't be read.

        :raises Refusal: it can't be read, for now (503) or at all (500).
        """
        code = getattr(error, "errno", None)
        if code in (errno.EMFILE, errno.ENFILE):
            raise Refusal(503, "the server has too many files open", [("Retry-After", "1")]) from None
        if code in (errno.EACCES, errno.EPERM, errno.EIO):
            detail = f"can't read {relative}: {error}; check the permissions of the mirror's files"
            report_now_and_then("reading", detail)
            raise Refusal(500, "the server can't read this file") from None


class Checksums:
    """SHA256SUMS, for the entity tags of files under packages/; read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._signature: Optional[Signature] = None
        self._sums: Dict[str, str] = {}

    def sha256_of(self, relative: str, mtime_ns: int) -> Optional[str]:
        """Return the hash of a file that was not changed after SHA256SUMS was written, else None."""
        try:
            status = os.stat(self._path)
            if signature_of(status) != self._signature:
                lines = self._path.read_text("utf-8").splitlines()
                self._sums = {
                    path: digest for digest, path in map(parse_checksum, lines) if path.startswith("packages/")
                }
                self._signature = signature_of(status)
        except (OSError, ValueError):
            return None
        return self._sums.get(relative) if mtime_ns <= status.st_mtime_ns else None


_CHECKSUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def parse_checksum(line: str) -> Tuple[str, str]:
    """Split a line of SHA256SUMS into digest and path.

    :raises ValueError: it is no such line.
    """
    match = _CHECKSUM.fullmatch(line)
    if not match:
        raise ValueError(f"not a line of SHA256SUMS: {line[:100]!r}")
    return match.group(1), match.group(2)


def media_type_of(relative: str) -> str:
    """Return the media type of a file.

    What upstream wrote, everything under packages/, is sent as bytes or plain text, so that no browser runs it.
    """
    if relative.startswith("packages/"):
        return MEDIA_TYPES[".txt"] if relative.endswith(".metadata") else "application/octet-stream"
    if relative == "SHA256SUMS":
        return MEDIA_TYPES[".txt"]
    return MEDIA_TYPES.get(os.path.splitext(relative)[1], "application/octet-stream")


# Responses.

Span = Tuple[int, int]  # the first byte, and the one after the last


class Missing(NamedTuple):
    """A requirement that this mirror could not meet, and the file that was asked for, "" where it was a project."""

    requirement: str
    file: str = ""


class Response(NamedTuple):
    """An answer. ``length`` is that of its content, which is ``data``, or else ``parts`` of ``file``.

    A part is either bytes or a span of the file. ``missing`` is what the client asked for in vain.
    """

    status: int
    fields: Sequence[Tuple[str, str]]
    length: Optional[int]
    data: bytes = b""
    parts: Sequence[Union[bytes, Span]] = ()
    file: Optional[BinaryIO] = None
    missing: Optional[Missing] = None


def text_response(
    status: int,
    text: str,
    fields: Sequence[Tuple[str, str]] = (),
    media_type: str = "text/plain; charset=utf-8",
    missing: Optional[Missing] = None,
) -> Response:
    """Answer with a short text of the server's own."""
    data = text.encode("utf-8")
    head = [("Content-Type", media_type), ("Cache-Control", "no-cache"), *fields]
    return Response(status, head, len(data), data, missing=missing)


def refused(refusal: Refusal, missing: Optional[Missing] = None) -> Response:
    """Answer with an error."""
    text = f"{refusal.status} {reason_of(refusal.status)}: {refusal.detail}\n"
    return text_response(refusal.status, text, refusal.fields, missing=missing)


def reason_of(status: int) -> str:
    """Return the phrase that goes with a status."""
    return http.HTTPStatus(status).phrase


def represent(request: Request, content: Representation, fields: Sequence[Tuple[str, str]]) -> Response:
    """Answer a request for a representation, as its conditions and ranges ask."""
    head = [("Content-Type", content.media_type), ("ETag", content.etag), ("Accept-Ranges", "bytes"), *fields]
    if content.encoding:
        head.append(("Content-Encoding", content.encoding))
    status = evaluate_conditions(request.fields, content.etag)
    if status:
        close_file(content)
        # RFC 9110, 15.4.5: a 304 has the fields of the 200 that guide caches.
        return Response(status, [field for field in head if field[0] != "Content-Type"], None if status == 304 else 0)
    spans = requested_spans(request, content)
    if spans is None:
        return full_response(head, content)
    if not spans:
        close_file(content)
        unsatisfied = [("Content-Range", f"bytes */{content.length}")]
        return refused(Refusal(416, "the file ends before the range begins", unsatisfied))
    return partial_response(head, content, spans)


def close_file(content: Representation) -> None:
    """Close the file of a representation that is not sent."""
    if content.file:
        content.file.close()


def evaluate_conditions(fields: Mapping[str, str], etag: str) -> int:
    """Return 412 or 304 where the conditions of a request ask for it, else 0 (RFC 9110, 13.2.2)."""
    if "if-match" in fields and not matches(fields["if-match"], etag, weak=False):
        return 412
    if "if-none-match" in fields and matches(fields["if-none-match"], etag, weak=True):
        return 304
    return 0


def matches(value: str, etag: str, weak: bool) -> bool:
    """Compare an entity tag with a list of them.

    RFC 9110, 13.1.2: If-None-Match uses the weak comparison; 13.1.1: If-Match uses the strong one.
    """
    if value.strip() == "*":
        return True
    tags = (tag.strip() for tag in value.split(","))
    return etag in ([tag[2:] if tag.startswith("W/") else tag for tag in tags] if weak else list(tags))


def requested_spans(request: Request, content: Representation) -> Optional[List[Span]]:
    """Return the spans a request asks for: None for the whole, none at all where the content is too short.

    RFC 9110, 14.2: Range is ignored where the method is not GET; 13.1.5: and where If-Range does not match strongly.
    """
    if request.method != "GET" or "range" not in request.fields:
        return None
    if request.fields.get("if-range", content.etag) != content.etag:
        return None
    return parse_ranges(request.fields["range"], content.length)


RANGES = 32  # that one request may ask for
_RANGE = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


def parse_ranges(value: str, length: int) -> Optional[List[Span]]:
    """Parse a Range field; None where it is to be ignored, an empty list where no range can be satisfied.

    RFC 9110, 14.2: "A server that supports range requests MAY ignore or reject a Range header field that contains
    ... more than two overlapping ranges or many small ranges": more than ``RANGES`` are ignored, overlapping ones
    merged.
    """
    unit, _, text = value.partition("=")
    items = [item.strip(" \t") for item in text.split(",") if item.strip(" \t")]
    if unit.strip().lower() != "bytes" or not items or len(items) > RANGES:
        return None
    spans = []
    for item in items:
        match = _RANGE.fullmatch(item)
        if not match or item == "-":
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(0, length - int(last))
        stop = min(length, int(last) + 1) if first and last else length
        if start < stop:
            spans.append((start, stop))
    return merge(spans)


def merge(spans: List[Span]) -> List[Span]:
    """Join spans that touch; spans that do not stay in the order asked for (RFC 9110, 15.3.7.2)."""
    merged: List[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged if len(merged) < len(spans) else spans


def full_response(head: List[Tuple[str, str]], content: Representation) -> Response:
    """Answer with all of a representation."""
    if content.file is None:
        return Response(200, head, content.length, content.data)
    return Response(200, head, content.length, parts=[(0, content.length)], file=content.file)


def partial_response(head: List[Tuple[str, str]], content: Representation, spans: List[Span]) -> Response:
    """Answer with one span of a representation, or with several as multipart/byteranges (RFC 9110, 15.3.7)."""
    parts: List[Union[bytes, Span]] = list(spans)
    if len(spans) == 1:
        head = [*head, ("Content-Range", content_range(spans[0], content.length))]
    else:
        boundary = secrets.token_hex(16)
        head = [field for field in head if field[0] != "Content-Type"]
        head.append(("Content-Type", f"multipart/byteranges; boundary={boundary}"))
        parts = multipart(content, spans, boundary)
    length = sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
    if content.file:
        return Response(206, head, length, parts=parts, file=content.file)
    data = b"".join(part if isinstance(part, bytes) else content.data[part[0] : part[1]] for part in parts)
    return Response(206, head, length, data)


def content_range(span: Span, length: int) -> str:
    """Return the value of Content-Range for a span."""
    return f"bytes {span[0]}-{span[1] - 1}/{length}"


def multipart(content: Representation, spans: List[Span], boundary: str) -> List[Union[bytes, Span]]:
    """Put the spans between their part headers."""
    parts: List[Union[bytes, Span]] = []
    for span in spans:
        title = (
            f"\r\n--{boundary}\r\nContent-Type: {content.media_type}\r\n"
            f"Content-Range: {content_range(span, content.length)}\r\n\r\n"
        )
        parts += [title.encode("ascii"), span]
    return [*parts, f"\r\n--{boundary}--\r\n".encode("ascii")]


# The routes.

_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")

# Pages link to this host only and run no inline script: what upstream wrote into a summary can't do harm in them.
PAGE_SECURITY = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
# Last-Modified is never sent: some clients take a page with it as fresh for minutes without asking.
PAGE_FIELDS = (("Cache-Control", "no-cache"), ("Vary", "Accept, Accept-Encoding"))


def normalise(name: str) -> str:
    """Return the normalised name of a project, as the standard for names has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Site:
    """What is at which URL. It knows neither sockets nor clocks.

    :param tree: the files.
    :param private: whether clients have passwords, so that shared caches may not keep what they got.
    """

    def __init__(self, tree: Tree, private: bool = False) -> None:
        self._tree = tree
        scope = "private" if private else "public"
        self._file_fields = (("Cache-Control", f"{scope}, max-age=31536000, immutable"),)

    def respond(self, request: Request) -> Response:
        """Answer a request; its refusals are answers too."""
        try:
            response = self._route(request)
            return self._by_filename(request, response) if response.status == 404 else response
        except Refusal as refusal:
            return refused(refusal)

    def _route(self, request: Request) -> Response:
        first, rest = request.path[0], request.path[1:]
        if first == "simple":
            return self._simple(request, rest)
        if first == "packages":
            return self._package(request)
        if first in OPEN_FOLDERS and rest:
            answer = self._static(request)
            if answer or len(rest) > 1 or rest[0]:
                return answer or self._not_found()
        if request.path == ("",):
            return self._front(request)
        if not rest and first in ROOT_FILES:
            return self._file(request, request.path) or self._not_found()
        return self._at_root(request, first, rest)

    def _simple(self, request: Request, rest: Tuple[str, ...]) -> Response:
        """/simple/, /simple/PROJECT/ and the files in them."""
        if not rest:
            return redirect("simple/")
        if rest == ("",):
            return self._page(request, ("simple",)) or self._not_found()
        if rest[-1]:
            answer = self._file(request, request.path)
            if answer:
                return answer
        if len(rest) == 1 or (len(rest) == 2 and not rest[1]):
            return self._project(request, rest[0], slash=len(rest) == 2)
        return self._not_found()

    def _project(self, request: Request, name: str, slash: bool) -> Response:
        """Answer with a project's page.

        The API: project URLs "MUST end with a /, and the repository SHOULD redirect the URLs without a / to add a /
        to the end", and "the repository SHOULD redirect" other spellings "to the normalized name". The redirect is
        relative, so it stays on the host, and below whatever prefix a proxy in front has put.
        """
        if not _PROJECT.fullmatch(name):
            return self._not_found()
        normalised = normalise(name)
        if not slash:
            return redirect(normalised + "/")
        if normalised != name:
            return redirect(f"../{normalised}/")
        answer = self._page(request, ("simple", name))
        return answer or refused(Refusal(404, f"this mirror has no project {name}"), missing=Missing(name))

    def _at_root(self, request: Request, first: str, rest: Tuple[str, ...]) -> Response:
        """/PROJECT/, for clients whose index URL is the root of the host."""
        if rest not in ((), ("",)) or not _PROJECT.fullmatch(first):
            return self._not_found()
        if self._tree.is_folder(("simple", normalise(first))):
            return self._project(request, first, slash=bool(rest))
        asked_by_installer = "application/vnd.pypi.simple" in request.fields.get("accept", "")
        return self._project(request, first, slash=bool(rest)) if asked_by_installer else self._not_found()

    def _front(self, request: Request) -> Response:
        """/: the page for people, or the list of projects, whichever is rather accepted."""
        if preferred_types(request.fields.get("accept"))[:1] == (HTML,):
            answer = self._file(request, ("index.html",))
            if answer:
                return answer
        return self._page(request, ("simple",)) or self._not_found()

    def _page(self, request: Request, folder: Tuple[str, ...]) -> Optional[Response]:
        """Answer with the page of a folder in the type that the client likes best; None where it has no page.

        :raises Refusal: 406 where it has none of a type that the client accepts.
        """
        for media_type in preferred_types(request.fields.get("accept")):
            path = (*folder, PAGE_FILES[media_type])
            content = self._tree.get(path)
            if content:
                return self._represent_page(request, path, content)
        for name in PAGE_FILES.values():
            content = self._tree.get((*folder, name))
            if content:
                close_file(content)
                raise Refusal(406, "this page comes as " + ", ".join(PAGE_FILES), [("Vary", "Accept")])
        return None

    def _encoded(self, request: Request, path: Tuple[str, ...], content: Representation) -> Representation:
        """Return the ready gzipped copy of a page where the client takes it, else the page.

        A copy that was made of another page than the one that stands beside it is not used: its last eight bytes are
        the CRC-32 and the size of what was compressed.
        """
        if not accepts_gzip(request.fields.get("accept-encoding", "")) or content.file:
            return content
        copy = self._tree.get((*path[:-1], path[-1] + ".gz"))
        if copy is None or copy.file:
            return content
        if copy.data[-8:] != struct.pack("<II", content.crc32, content.length & 0xFFFFFFFF):
            return content
        return copy._replace(media_type=content.media_type, encoding="gzip")

    def _package(self, request: Request) -> Response:
        """/packages/PROJECT/FILE, which never changes: its hash is in the page that links to it."""
        content = self._tree.get(request.path)
        if content:
            return represent(request, content, self._file_fields)
        return refused(Refusal(404, "this mirror has no such file"))

    def _by_filename(self, request: Request, response: Response) -> Response:
        """Answer with a file that was asked for under a path of another host's, as locks hold them.

        It is served where exactly one project here has a file of that name; a lock has its hash, so it gets what it
        names or nothing. Else it is missed, if it was asked for as installers do.
        """
        releases = releases_of(request.path[-1])
        if not releases or not all(is_plain(segment) for segment in request.path):
            return response
        places = [("packages", missing.requirement.partition("==")[0], request.path[-1]) for missing in releases]
        places = [place for place in dict.fromkeys(places) if self._tree.is_file(place)]
        content = self._tree.get(places[0]) if len(places) == 1 else None
        if content:
            return represent(request, content, self._file_fields)
        if "packages" in request.path or ".whl" in request.path[-1]:
            return response._replace(missing=releases[0])
        return response

    def _static(self, request: Request) -> Optional[Response]:
        """Pages for people and what they load; a folder stands for its index.html."""
        if not request.path[-1]:
            return self._file(request, (*request.path[:-1], "index.html"))
        answer = self._file(request, request.path)
        if answer is None and self._tree.is_folder(request.path):
            return redirect(urllib.parse.quote(request.path[-1], safe="") + "/")
        return answer

    def _file(self, request: Request, path: Tuple[str, ...]) -> Optional[Response]:
        content = self._tree.get(path)
        return content and self._represent_page(request, path, content)

    def _represent_page(self, request: Request, path: Tuple[str, ...], content: Representation) -> Response:
        security = PAGE_SECURITY if "html" in content.media_type else ()
        return represent(request, self._encoded(request, path, content), (*PAGE_FIELDS, *security))

    def _not_found(self) -> Response:
        return refused(Refusal(404, "there is nothing here; projects are under /simple/"))


def redirect(location: str) -> Response:
    """Send the client to a place relative to where it is."""
    return text_response(301, f"301: see {location}\n", [("Location", location)])


_WHEEL = re.compile(r"([^-]+)-([0-9][^-]*)(?:-[^-]+){3,4}\.whl")
_SDIST = re.compile(r"(.+)\.(?:tar\.gz|zip|tgz|tar\.bz2|tar\.xz)")


def releases_of(filename: str) -> List[Missing]:
    """Return which releases a file may belong to by its name, the likeliest first; none where its name says none.

    A wheel's name is plain. In an old sdist's name each hyphen before a digit may be that before the version.
    """
    file = filename[: -len(".metadata")] if filename.endswith(".metadata") else filename
    if not re.fullmatch(r"[A-Za-z0-9._+!-]{1,250}", file):
        return []
    wheel, sdist = _WHEEL.fullmatch(file), _SDIST.fullmatch(file)
    pairs = [(wheel.group(1), wheel.group(2))] if wheel else []
    if sdist:
        text = sdist.group(1)
        hyphens = [match.start() for match in re.finditer("-(?=[0-9])", text)][::-1]
        pairs = [(text[:hyphen], text[hyphen + 1 :]) for hyphen in hyphens]
    return [
        Missing(f"{normalise(name)}=={version.replace('_', '+', 1)}", file)
        for name, version in pairs
        if _PROJECT.fullmatch(name) and re.fullmatch(r"[0-9A-Za-z.!+_]+|[0-9.]+-[0-9]+", version)
    ]


# Passwords.


class Login(NamedTuple):
    """What a request says who sent it, and ``line``, that user's line of the password file at that moment.

    ``seal`` is a keyed hash that stands for the three, so that no password has to be kept.
    """

    user: str
    password: str
    line: str
    seal: bytes


class Passwords:
    """Users and hashed passwords: a file with one line a user, ``name:method$cost$salt$hash``.

    All but :meth:`check` is called in the thread of the event loop, and :meth:`check` touches nothing that changes: so
    what is remembered was always checked against the line that stands in the file now.

    :raises SetupError: the file can't be read or used.
    """

    WRONG = 4096  # wrong logins that are remembered

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = secrets.token_bytes(32)
        self._signature: Optional[Signature] = None
        self._lines: Dict[str, str] = {}
        self._right: Dict[str, bytes] = {}
        self._wrong: "OrderedDict[bytes, None]" = OrderedDict()
        self._line_of_unknown_user = PasswordHash.make(secrets.token_hex()).write()
        self._load()

    def login(self, authorization: str) -> Login:
        """Return what an Authorization field says, with the line to compare it with."""
        self._load()
        user, password = parse_basic(authorization)
        line = self._lines.get(user, "")
        message = "\0".join((user, password, line)).encode("utf-8")
        return Login(user, password, line, hmac.new(self._key, message, "sha256").digest())

    def remembered(self, login: Login) -> Optional[bool]:
        """Say whether a login turned out right or wrong before; None where it was not checked. Takes microseconds."""
        right = self._right.get(login.user)
        if right and hmac.compare_digest(right, login.seal):
            return True
        return False if login.seal in self._wrong else None

    def check(self, login: Login) -> bool:
        """Say whether a login is right.

        Takes a good part of a second, an unknown user as long as a known one, so it is called in another thread.
        """
        return PasswordHash.read(login.line or self._line_of_unknown_user).fits(login.password) and bool(login.line)

    def conclude(self, login: Login, right: bool) -> bool:
        """Remember what :meth:`check` found; say whether the user may come in.

        He may not where his line was changed or deleted meanwhile, and then nothing is remembered.
        """
        self._load()
        if self._lines.get(login.user, "") != login.line:
            return False
        if right:
            self._right[login.user] = login.seal
        else:
            self._wrong[login.seal] = None
            if len(self._wrong) > self.WRONG:
                self._wrong.popitem(last=False)
        return right

    def _load(self) -> None:
        """Read the file again if it changed. Where a user's line did, what was remembered fits it no more."""
        try:
            status = os.stat(self._path)
            if signature_of(status) == self._signature:
                return
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SetupError(f"can't read the password file {self._path}: {error}") from None
        pairs = (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
        users = {name: rest for name, _, rest in pairs}
        for name, line in users.items():
            check_password_line(self._path, name, line)
        self._lines = users
        self._right = {user: seal for user, seal in self._right.items() if user in users}
        self._signature = signature_of(status)


class LoginQueue:
    """The logins that wait to be checked.

    Addresses take turns, and of one address the newest login comes first: whoever guesses passwords by the thousand, also
    behind the same proxy, holds up nobody who knows his. Equal logins, as one installer sends them over all its
    connections, are checked once. Where too many wait, the address that has the most loses its oldest.

    :param check: says in a thread whether a login is right.
    """

    LIMIT = 64
    THREADS = 2

    def __init__(self, check: Callable[[Login], bool]) -> None:
        self._check = check
        self._threads = concurrent.futures.ThreadPoolExecutor(self.THREADS, thread_name_prefix="password")
        self._under_way: "Set[asyncio.Future[bool]]" = set()
        self._waiting: "OrderedDict[str, OrderedDict[bytes, Login]]" = OrderedDict()
        self._answers: "Dict[bytes, asyncio.Future[Union[bool, BaseException]]]" = {}

    async def verdict(self, login: Login, address: str) -> bool:
        """Have a login checked when its turn comes.

        :raises Refusal: 503, too many wait.
        """
        if login.seal not in self._answers:
            self._answers[login.seal] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(address, OrderedDict())[login.seal] = login
            self._make_room()
            self._begin()
        answer = await asyncio.shield(self._answers[login.seal])  # which others may wait for, too
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Begin no further check; what those under way find is of no use any more."""
        self._waiting.clear()
        for job in self._under_way:
            job.cancel()
        self._threads.shutdown(wait=False)

    def _make_room(self) -> None:
        if sum(map(len, self._waiting.values())) > self.LIMIT:
            address = max(self._waiting, key=lambda address: len(self._waiting[address]))
            login = self._take(address, last=False)
            self._answer(login, Refusal(503, "too many passwords to check; try again", [("Retry-After", "1")]))

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._under_way) < self.THREADS:
            login = self._take(next(iter(self._waiting)), last=True)
            job = loop.run_in_executor(self._threads, self._check, login)
            self._under_way.add(job)
            job.add_done_callback(functools.partial(self._end, login))

    def _take(self, address: str, last: bool) -> Login:
        """Take the newest (``last``) or oldest login of an address out, and let the other addresses have their turn."""
        logins = self._waiting.pop(address)
        login = logins.popitem(last=last)[1]
        if logins:
            self._waiting[address] = logins
        return login

    def _end(self, login: Login, job: "asyncio.Future[bool]") -> None:
        self._under_way.discard(job)
        if not job.cancelled():  # else the server ends
            self._answer(login, job.exception() or job.result())
            self._begin()

    def _answer(self, login: Login, answer: Union[bool, BaseException]) -> None:
        """Tell all that wait for it. An error is told as a result, since perhaps nobody waits any more."""
        self._answers.pop(login.seal).set_result(answer)


def check_password_line(path: Path, name: str, line: str) -> None:
    """Refuse a line that no password can ever fit on this interpreter."""
    try:
        usable = PasswordHash.read(line).method in METHODS
    except ValueError:
        usable = False
    if not usable:
        raise SetupError(
            f"the line of {name!r} in {path} can't be used by this Python; write it again with: "
            f"python {Path(sys.argv[0]).name} add-user {path} {name}"
        )


def parse_basic(authorization: str) -> Tuple[str, str]:
    """Return user and password of an Authorization field (RFC 7617); two empty strings where there are none."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return (user, password) if scheme.lower() == "basic" and colon else ("", "")


def scrypt(secret: bytes, salt: bytes, cost: Sequence[int]) -> bytes:
    """Derive a hash by scrypt (RFC 7914); ``cost`` is n, r and p."""
    n, r, p = cost
    return hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def pbkdf2(secret: bytes, salt: bytes, cost: Sequence[int]) -> bytes:
    """Derive a hash by PBKDF2 (RFC 8018); ``cost`` is the number of rounds."""
    return hashlib.pbkdf2_hmac("sha256", secret, salt, cost[0], 32)


Derivation = Callable[[bytes, bytes, Sequence[int]], bytes]
# The first one is used for new passwords. Not every Python is built with scrypt.
METHODS: Dict[str, Tuple[Derivation, Tuple[int, ...]]] = {"pbkdf2": (pbkdf2, (600_000,))}
if hasattr(hashlib, "scrypt"):
    METHODS = {"scrypt": (scrypt, (16384, 8, 1)), **METHODS}


class PasswordHash(NamedTuple):
    """A hashed password, as it stands in the file."""

    method: str
    cost: Tuple[int, ...]
    salt: bytes
    digest: bytes

    @classmethod
    def make(cls, password: str) -> "PasswordHash":
        """Hash a password with a new salt."""
        method, (derive, cost) = next(iter(METHODS.items()))
        salt = secrets.token_bytes(16)
        return cls(method, cost, salt, derive(password.encode("utf-8"), salt, cost))

    @classmethod
    def read(cls, line: str) -> "PasswordHash":
        """Read what :meth:`write` wrote.

        :raises ValueError: it is something else.
        """
        method, cost, salt, digest = line.split("$")
        numbers = tuple(int(number) for number in cost.split(","))
        return cls(method, numbers, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True))

    def write(self) -> str:
        """Return the form for the file."""
        salt, digest = (base64.b64encode(part).decode("ascii") for part in (self.salt, self.digest))
        return "$".join((self.method, ",".join(map(str, self.cost)), salt, digest))

    def fits(self, password: str) -> bool:
        """Say, in constant time, whether this is the hash of a password."""
        derived = METHODS[self.method][0](password.encode("utf-8"), self.salt, self.cost)
        return hmac.compare_digest(derived, self.digest)


def add_user(path: Path, name: str, password: str) -> None:
    """Write a user and the hash of a password to the file, in place of what was there for that user.

    :raises SetupError: the name or the password can't be used.
    :raises OSError: the file can't be written; it is then as it was.
    """
    if not name or ":" in name or not name.isprintable() or name.startswith("#"):
        raise SetupError("a user's name must be printable, and have no colon (basic authentication ends it there)")
    if not password:
        raise SetupError("the password is empty")
    kept = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in kept if line.partition(":")[0] != name]
    temporary = path.with_name(path.name + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in [*kept, f"{name}:{PasswordHash.make(password).write()}"]))
    os.replace(temporary, path)


# The operator.


def printable(text: str) -> str:
    """Escape all but printable characters, as Unicode has it.

    What comes from a request or a file name may hold what steers a terminal (C0 and C1 controls), ends a line, or
    turns the order of what is read (bidirectional controls). So whatever is printed passes through here,
    :func:`escape` or JSON.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def report(message: str) -> None:
    """Tell the operator, on the standard error stream."""
    try:
        print(printable(f"server.py: {message}"), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass  # nobody listens any more; the mirror is served all the same


REPORT_EVERY = 10.0  # seconds
_reported: Dict[str, Tuple[float, int]] = {}  # by kind: when it was told last, and how often it was not told since


def report_now_and_then(kind: str, message: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Tell the operator what any request can bring about, but not at every request; ``kind`` is one of a few."""
    now = clock()
    last, untold = _reported.get(kind, (-REPORT_EVERY, 0))
    if now - last < REPORT_EVERY:
        _reported[kind] = (last, untold + 1)
        return
    _reported[kind] = (now, 0)
    report(f"{message} (and {untold} more like this before)" if untold else message)


class Exchange(NamedTuple):
    """A request that was answered: what the log and the metrics are made of. ``sent`` is in bytes of content."""

    client: str
    user: str
    line: str
    method: str
    status: int
    sent: int
    seconds: float
    agent: str


class AccessLog:
    """One line a request, in the common log format or as JSON.

    :param style: ``common``, ``json`` or ``none``.
    """

    def __init__(self, style: str, stream: TextIO) -> None:
        self._format = {"common": common_line, "json": json_line}.get(style)
        self._stream = stream
        self._lines: List[str] = []

    def note(self, exchange: Exchange) -> bool:
        """Keep a line for the next :meth:`flush`; say whether it is the first since the last one."""
        if self._format is None:
            return False
        self._lines.append(self._format(exchange))
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write what was kept; stop logging where nobody reads it."""
        lines, self._lines = self._lines, []
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._format = None
            report(f"can't write the log any more, goes on without: {error}")


def common_line(exchange: Exchange) -> str:
    """Format a line as web servers commonly do; what a client sent can't end the line or the quotes."""
    line, user = (escape(text) for text in (exchange.line, exchange.user or "-"))
    moment = log_time(int(time.time()))
    return f'{exchange.client} - {user} [{moment}] "{line}" {exchange.status} {exchange.sent}\n'


def escape(text: str) -> str:
    """Escape what is not printable ASCII, the quote and the backslash."""
    if text.isprintable() and text.isascii() and '"' not in text and "\\" not in text:
        return text
    return re.sub(
        r"[^ !#-\[\]-~]",
        lambda match: "".join(f"\\x{b:02x}" for b in match.group().encode("utf-8", "surrogatepass")),
        text,
    )


@functools.lru_cache(maxsize=2)
def log_time(second: int) -> str:
    """Format a time for the log."""
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))


@functools.lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """Format a time as the Date field wants it (RFC 9110, 5.6.7)."""
    return email.utils.formatdate(second, usegmt=True)


def json_line(exchange: Exchange) -> str:
    """Format a line as JSON; ``seconds`` go from the request's last byte to the answer's."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime())
    record = {"time": moment, **exchange._asdict(), "seconds": round(exchange.seconds, 6)}
    return json.dumps(record).replace("\x7f", "\\u007f") + "\n"  # the one control that JSON may leave as it is


@functools.lru_cache(maxsize=256)
def client_of(agent: str) -> str:
    """Return the Python and the platform of a client, in the words of ``mirror.yaml``; "" where it says none.

    pip and uv say them as a JSON object in their User-Agent. What is not of the expected form is not believed.
    """
    try:
        about = json.loads(agent[agent.index("{") :])
        python = re.match(r"([0-9]{1,2}\.[0-9]{1,3})(?![0-9])", about["python"])
        system = {"Darwin": "macos"}.get(about["system"]["name"], about["system"]["name"])
        platform = re.fullmatch("[a-z0-9_-]{1,40}", f"{system}-{about['cpu']}".lower())
        implementation = re.fullmatch("[A-Za-z]{1,20}", about["implementation"]["name"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    if not python or not platform or not implementation:
        return ""
    name = implementation.group().replace("CPython", "Python")
    return f"{name} {python.group(1)} on {platform.group()}{libc_of(about)}"


def libc_of(about: Any) -> str:
    """Return the C library that a client says, if it says one."""
    try:
        name, version = about["distro"]["libc"]["lib"], about["distro"]["libc"]["version"]
        if re.fullmatch("[a-z]{1,10}", name) and re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", version):
            return f" ({name} {version})"
    except (KeyError, TypeError):
        pass
    return ""


class Metrics:
    """Counts for Prometheus, in its text format."""

    BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)

    def __init__(self) -> None:
        self.started = time.time()
        self.refused = 0
        self.missing = 0
        self.faults = 0
        self._requests: "Counter[Tuple[str, int]]" = Counter()
        self._buckets = [0] * (len(self.BUCKETS) + 1)
        self._seconds = 0.0
        self._bytes = 0

    def note(self, exchange: Exchange) -> None:
        """Count a request."""
        method = exchange.method if exchange.method in ("GET", "HEAD") else "other"
        self._requests[(method, exchange.status)] += 1
        self._buckets[bisect_left(self.BUCKETS, exchange.seconds)] += 1
        self._seconds += exchange.seconds
        self._bytes += exchange.sent

    def render(self, connections: int) -> str:
        """Return all figures."""
        requests = [
            f'mirror_requests_total{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(self._requests.items())
        ]
        totals = list(itertools.accumulate(self._buckets))
        latency = [
            f'mirror_request_seconds_bucket{{le="{bound}"}} {total}'
            for bound, total in zip([*self.BUCKETS, "+Inf"], totals)  # noqa: B905 - strict came with 3.10
        ]
        latency += [f"mirror_request_seconds_sum {self._seconds:.6f}", f"mirror_request_seconds_count {totals[-1]}"]
        families = [
            ("mirror_requests_total", "counter", "Requests answered.", requests),
            ("mirror_request_seconds", "histogram", "From a request's last byte to its answer's last.", latency),
            ("mirror_sent_bytes_total", "counter", "Bytes of content sent.", self._bytes),
            ("mirror_missing_total", "counter", "Requests for projects and files not in the mirror.", self.missing),
            ("mirror_refused_connections_total", "counter", "Connections answered with 503.", self.refused),
            ("mirror_faults_total", "counter", "Faults of the server itself.", self.faults),
            ("mirror_connections", "gauge", "Open connections.", connections),
            ("mirror_start_time_seconds", "gauge", "When the server started.", f"{self.started:.3f}"),
        ]
        return "".join(render_family(*family) for family in families)


def render_family(name: str, kind: str, text: str, samples: Any) -> str:
    """Render one metric with its comment lines."""
    lines = samples if isinstance(samples, list) else [f"{name} {samples}"]
    return "\n".join([f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines]) + "\n"


NAMES_KEPT = 5  # files and clients that are told of a wish
OTHERS = "others"


class Wish(NamedTuple):
    """What was asked for in vain: how often, which files of it, and by which clients; of both the first few."""

    times: int
    files: Tuple[str, ...]
    clients: Tuple[str, ...]

    def asked(self, file: str, client: str) -> "Wish":
        """Return the wish as it is after another request."""
        return Wish(self.times + 1, add_to_few(self.files, file), add_to_few(self.clients, client))

    def write(self, requirement: str) -> str:
        """Return the line of the list."""
        notes = [f"asked for {self.times} {'time' if self.times == 1 else 'times'}"]
        notes += [f"files: {', '.join(self.files)}"] if self.files else []
        notes += [f"by: {', '.join(self.clients)}"] if self.clients else []
        return f"{requirement}  # {'; '.join(notes)}\n"


def add_to_few(known: Tuple[str, ...], new: str) -> Tuple[str, ...]:
    """Add a name to the first few, once; after them all are others."""
    if not new or new in known or len(known) > NAMES_KEPT:
        return known
    return (*known, new if len(known) < NAMES_KEPT else OTHERS)


_WISH = re.compile(
    r"([A-Za-z0-9._+!=-]{1,450})\s+# asked for ([0-9]{1,9}) times?"
    r"(?:; files: ([A-Za-z0-9._+!, -]{1,1600}))?(?:; by: ([A-Za-z0-9 ._,()-]{1,700}))?"
)


def read_wish(line: str) -> Optional[Tuple[str, Wish]]:
    """Read what :meth:`Wish.write` wrote; None where it is something else."""
    match = _WISH.fullmatch(line)
    if not match:
        return None
    files, clients = (tuple(text.split(", ")) if text else () for text in match.groups()[2:])
    return match.group(1), Wish(int(match.group(2)), files, clients)


class WishList:
    """The wish list: what clients asked for and the mirror does not have, as requirement lines.

    A list written by an earlier run is gone on with; what the mirror has got since is taken out. It is written by a
    thread of its own, from a copy, so that no request waits for it.

    :param path: the file to write.
    :param tree: the mirror.
    """

    LIMIT = 10_000  # names, so that no client can fill memory or disk with inventions
    EVERY = 5.0  # seconds between two writes

    def __init__(self, path: Path, tree: Tree) -> None:
        self._path = path
        self._tree = tree
        self._wishes: Dict[str, Wish] = {}
        self._due = 0.0
        self._dirty = False
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="wish-list")
        self._job: "Optional[concurrent.futures.Future[List[str]]]" = None
        self._compared_with: object = None  # the mirror as it was when the wishes were last compared with it
        if path.exists():
            earlier = map(read_wish, path.read_text("utf-8").splitlines())
            self._wishes.update(itertools.islice(filter(None, earlier), self.LIMIT))

    def note(self, missing: Missing, client: str) -> None:
        """Count a request in vain; ``client`` is what :func:`client_of` says."""
        wish = self._wishes.get(missing.requirement)
        if wish or len(self._wishes) < self.LIMIT:
            self._wishes[missing.requirement] = (wish or Wish(0, (), ())).asked(missing.file, client)
            self._dirty = True

    def flush(self, now: float) -> None:
        """Have the list written if something was added, but not at every request; ``now`` is in seconds."""
        if self._job and self._job.done():
            self._conclude()
        if self._dirty and not self._job and now >= self._due:
            self._due, self._dirty = now + self.EVERY, False
            self._job = self._thread.submit(self._write, dict(self._wishes))

    def close(self) -> None:
        """Write what is to be written, and end."""
        if self._job:
            self._conclude()
        self.flush(float("inf"))
        if self._job:
            self._conclude()
        self._thread.shutdown()

    def _conclude(self) -> None:
        """Wait for the thread; forget what the mirror has got; try again where the list could not be written."""
        assert self._job  # noqa: S101 - for the type checker
        try:
            for requirement in self._job.result():
                self._wishes.pop(requirement, None)
        except (OSError, ValueError) as error:
            report_now_and_then("wanted", f"can't write {self._path}: {error}")
            self._dirty = True
        self._job = None

    def _write(self, wishes: Dict[str, Wish]) -> List[str]:
        """Write the list; return what was left out, since the mirror has it."""
        mirror = [self._signature(name) for name in ("SHA256SUMS", "simple", "simple/index.html")]
        # Only a change of the mirror can have brought something.
        available = set() if mirror == self._compared_with else set(self._available(wishes))
        left = sorted(wishes.keys() - available)
        lines = [wishes[requirement].write(requirement) for requirement in left]
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.write_text("# What clients asked for and this mirror did not have.\n" + "".join(lines), "utf-8")
        os.replace(temporary, self._path)
        self._compared_with = mirror
        return sorted(available)

    def _available(self, wishes: Dict[str, Wish]) -> Iterator[str]:
        """Yield the wishes that the mirror meets by now."""
        by_project: Dict[str, List[str]] = {}
        for requirement in wishes:
            by_project.setdefault(requirement.partition("==")[0], []).append(requirement)
        for name, requirements in by_project.items():
            if self._tree.is_folder(("simple", name)):
                yield from self._available_of(name, requirements, wishes)

    def _available_of(self, name: str, requirements: List[str], wishes: Dict[str, Wish]) -> Iterator[str]:
        """Yield what a project of this mirror meets. Its folder is read once, however much of it was asked for."""
        try:
            files = set(os.listdir(str(self._tree.root / "packages" / name)))
        except OSError:
            files = set()
        releases = {missing.requirement for file in files for missing in releases_of(file)}
        for requirement in requirements:
            asked = set(wishes[requirement].files) - {OTHERS}
            if requirement == name or (asked <= files if asked else requirement in releases):
                yield requirement

    def _signature(self, name: str) -> Optional[Signature]:
        try:
            return signature_of(os.stat(str(self._tree.root / name)))
        except OSError:
            return None


# Health.


class Inspection:
    """Looks whether the files that the pages name are there, so that the answer to /health costs nothing.

    It looks in a thread, when asked to and no more than a small part of the time; at once where another directory is
    served than at the last look.

    :param tree: the mirror's files.
    """

    EVERY = 5.0  # seconds between two looks at least
    SHARE = 20  # and this many times as long as a look takes

    def __init__(self, tree: Tree) -> None:
        self.fault = ""
        self._tree = tree
        self._root = tree.root
        self._due = 0.0
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="inspection")
        self._job: "Optional[concurrent.futures.Future[None]]" = None
        self._ended = False

    def begin(self, now: float) -> None:
        """Have a look taken, if it is time; ``now`` is that of :func:`time.monotonic`."""
        switched = self._tree.root != self._root
        if (now >= self._due or switched) and (self._job is None or self._job.done()) and not self._ended:
            self._root = self._tree.root
            self._job = self._thread.submit(self._inspect)

    def close(self) -> None:
        """End, also in the middle of a look."""
        self._ended = True
        self._thread.shutdown()

    def _inspect(self) -> None:
        started = time.monotonic()
        missing = list(self._missing())
        if not self._ended:
            # What was served until a moment ago may be gone, which is no fault.
            self.fault = self._fault_of(missing) if self._tree.root == self._root else ""
            ended = time.monotonic()
            self._due = ended + max(self.EVERY, self.SHARE * (ended - started))

    def _fault_of(self, missing: List[str]) -> str:
        """Say what is amiss, by number: /health asks for no password, so no name is said there."""
        if not missing:
            return ""
        report_now_and_then("inspection", f"{missing[0]} is missing, or not what the pages say it is")
        count = "1 file is" if len(missing) == 1 else f"{len(missing)} files are"
        return f"{count} missing or not what the pages say; server.py --check tells more"

    def _missing(self) -> Iterator[str]:
        """Yield the path of each page that can't be read, and of each file that a page names and is not there."""
        listed = self._read("simple", lambda page: [str(project["name"]) for project in page["projects"]])
        if listed is None:
            yield f"simple/{PAGE_FILES[V1_JSON]}"
        for name in listed or ():
            if self._ended:
                return
            named = self._read(f"simple/{name}", lambda page: list(files_named(name, page)))  # noqa: B023 - called at once
            if named is None:
                yield f"simple/{name}/{PAGE_FILES[V1_JSON]}"
            for path, size in named or ():
                if not self._is_there(path, size):
                    yield path

    def _read(self, folder: str, what: Callable[[Any], List[Any]]) -> Optional[List[Any]]:
        """Return what a folder's JSON page says, None where it can't be read."""
        if not all(map(is_plain, folder.split("/"))):
            return None  # the list of projects says so; nothing is read outside of the mirror
        try:
            return what(json.loads((self._root / folder / PAGE_FILES[V1_JSON]).read_bytes().decode("utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def _is_there(self, path: str, size: Optional[int]) -> bool:
        try:
            status = os.stat(str(self._root / path))
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(status.st_mode) and size in (None, status.st_size)


def files_named(project: str, page: Any) -> Iterator[Tuple[str, Optional[int]]]:
    """Yield the path and the size, where it is said, of each file that a project's JSON page names in this mirror."""
    for entry in page["files"]:
        url = urllib.parse.urljoin(f"http:///simple/{project}/", entry["url"])
        path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)[1:]
        yield path, entry.get("size")
        if entry.get("core-metadata"):
            yield path + ".metadata", None


# Connections.

BACKLOG = 4096  # clients that the system lets wait until they are taken in; past them it loses their first packets
PIECE = 4 * 1024 * 1024  # a file is sent in pieces of this many bytes, each with its own deadline
TURN = 16  # pipelined requests answered before other clients have their turn


class State(enum.Enum):
    """What a connection is at, which is always one of these::

        HANDSHAKE ──> WAITING <──────────────────────────────┐
         TLS only       │  ^ the client has read enough      │ nothing is left to send
                        │  └──────────── BLOCKED <───────────┤
           a whole head │                                    │ the client has not read enough yet
                        ├──> ANSWERING ──────────────────────┤
                        │     a password is checked,         │ that was the last answer
                        │     or a file is sent              v
                        └──────── a short answer ────────> ENDING ──> closed

    A short answer is written at once, so it has no state of its own. Each state has a deadline, after which
    :meth:`Connection.expire` leads to ENDING, as do a client that is gone and a server that has to make room.
    """

    HANDSHAKE = "TLS is negotiated"
    WAITING = "a request is awaited, and may have arrived in part"
    ANSWERING = "a task checks a password or sends a file"
    BLOCKED = "an answer was written, which the client reads slower than it was written"
    ENDING = "no further request is taken, and what arrives is dropped"


class Connection(asyncio.Protocol):
    """One client's connection: takes requests out of the bytes that arrive, and sends the answers in turn.

    Whatever it waits for, it has a deadline, which the server looks at several times a second. It reads on only when no
    answer is under way, so its memory is bounded by the limits on a request's head.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._limits = server.limits
        self._buffer = bytearray()
        self._task: "Optional[asyncio.Task[None]]" = None
        self._handshake = False  # under way
        self._blocked = False  # the client reads slower than we write
        self._ending = False
        self._last_request = False  # the client has said all it wants to say
        self.admitted = True  # else: over the limit, to be told so
        self.deadline = 0.0
        self.waiting_since = 0.0

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the first wait for a request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if peer else "-"
        self._await_request()
        self._server.admit(self)
        if self._server.tls and not self._ending:
            self._handshake = True
            self.deadline = min(self.deadline, self._server.now() + self._limits.head_seconds)
            self._task = self._server.loop.create_task(self._secure(self._server.tls))

    def data_received(self, data: bytes) -> None:
        """Take bytes that arrived."""
        if self._ending:
            return  # read and dropped, so that the last answer is not lost to a reset
        if not self._buffer:
            self.deadline = min(self.deadline, self._server.now() + self._limits.head_seconds)
        self._buffer += data
        self._advance()

    def eof_received(self) -> bool:
        """Take note that the client has sent its last byte; answer what is still to be answered."""
        self._last_request = True
        return self._task is not None and self.transport.can_write_eof()

    def connection_lost(self, exc: Optional[Exception]) -> None:  # noqa: ARG002
        """Let go of what was held for the client."""
        self._ending = True
        if self._task:
            self._task.cancel()
        self._server.release(self)

    def pause_writing(self) -> None:
        """Answer nothing further before the client has read what was sent."""
        self._blocked = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on with what arrived in the meantime."""
        self._blocked = False
        if self.state is not State.WAITING:
            return
        if self._last_request:
            self.transport.close()
        else:
            self._await_request()
            self._advance()

    # What the server tells.

    @property
    def state(self) -> State:
        """What the connection is at."""
        if self._ending:
            return State.ENDING
        if self._task:
            return State.HANDSHAKE if self._handshake else State.ANSWERING
        return State.BLOCKED if self._blocked else State.WAITING

    @property
    def may_be_dropped(self) -> bool:
        """Whether it can make room for another one: the client has been promised no answer."""
        return self.state in (State.WAITING, State.HANDSHAKE)

    def expire(self) -> None:
        """Give up on a client that is too slow, whatever it is slow at."""
        if self._task:
            self._task.cancel()
        elif self._buffer and self.state is State.WAITING:
            self._refuse(Refusal(408, "the request did not arrive in time"))
        else:
            self.drop()

    def drop(self) -> None:
        """Close at once; where something is still to be sent, or closing takes its time, by a reset."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.abandon()
        else:
            self._ending = True
            self.deadline = self._server.now() + self._limits.linger_seconds
            self.transport.close()

    def abandon(self) -> None:
        """Reset the connection, and forget it."""
        self._ending = self._last_request = True
        self.transport.abort()
        self._server.release(self)

    def finish(self) -> None:
        """Close when the answer under way is sent, at once where there is none."""
        self._last_request = True
        if self.state is State.WAITING and not self.transport.get_write_buffer_size():
            self.transport.close()

    # From bytes to requests.

    async def _secure(self, tls: ssl.SSLContext) -> None:
        """Shake hands. The connection counts from its first packet on, and what arrives meanwhile waits."""
        assert isinstance(self.transport, asyncio.Transport)  # noqa: S101 - for the type checker
        plain, secured = self.transport, None
        try:
            secured = await self._server.loop.start_tls(plain, self, tls, server_side=True)
        except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
            pass  # what the client does wrong, or too slowly, is not worth a line
        self._task, self._handshake = None, False
        if secured is None:  # as some versions of asyncio have it where the client went away
            plain.abort()
            self.abandon()
            return
        self.transport = secured
        if self._last_request:  # the server was told to end
            self.drop()
        elif self.admitted:
            self._await_request()
        self._advance()

    def _await_request(self) -> None:
        self.waiting_since = self._server.now()
        self.deadline = self.waiting_since + self._limits.idle_seconds

    def _advance(self) -> None:
        """Answer the requests that have arrived whole, in their order."""
        for _ in range(TURN):
            if self.state is not State.WAITING:
                return
            try:
                head = self._take_head()
            except Refusal as refusal:
                self._refuse(refusal)
                return
            if head is None:
                self.transport.resume_reading()
                return
            self._serve(head)
        self.transport.pause_reading()
        self._server.loop.call_soon(self._advance)

    def _take_head(self) -> Optional[bytes]:
        """Take the next request's head out of the buffer, if it is there.

        RFC 9112, 2.2: "a server ... SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
        """
        if self._buffer.startswith((b"\r", b"\n")):
            self._buffer = self._buffer.lstrip(b"\r\n")
        end = self._buffer.find(b"\r\n\r\n", 0, self._limits.head)
        if end < 0:
            self._check_unfinished()
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    def _check_unfinished(self) -> None:
        size = len(self._buffer)
        if size > self._limits.request_line and b"\r\n" not in self._buffer[: self._limits.request_line]:
            raise Refusal(414, f"the request line is longer than {self._limits.request_line} bytes")
        if size >= self._limits.head:
            raise Refusal(431, f"the header is longer than {self._limits.head} bytes")
        if b"\n\n" in self._buffer:
            raise Refusal(400, "lines must end in CR LF")

    def _serve(self, head: bytes) -> None:
        self._started = self._server.now()
        try:
            request = parse_head(head, self._limits)
        except Refusal as refusal:
            self._refuse(refusal, head.partition(b"\r\n")[0].decode("latin-1"))
            return
        try:
            user = self._server.recognise(request, self.admitted)
        except Refusal as refusal:
            self._reply(request, "", refused(refusal))
            return
        if isinstance(user, Login):
            self._run(self._authenticate(request, user))
        else:
            self._reply(request, user, self._server.respond(request))

    def _refuse(self, refusal: Refusal, line: str = "-") -> None:
        """Answer what is no request. Where the next one would begin is not known, so this was the last."""
        self._started = self._server.now()
        request = Request(line, line.partition(" ")[0], (), {}, keep_alive=False)
        self._reply(request, "", refused(refusal))

    def _run(self, job: Any) -> None:
        self.transport.pause_reading()
        self._task = self._server.loop.create_task(job)

    async def _authenticate(self, request: Request, login: Login) -> None:
        """Have a password checked by a thread, since that takes long by design."""
        self._allow_time(0)
        try:
            user = await self._server.authenticate(login, self._client)
            response = self._server.respond(request)
        except Refusal as refusal:
            user, response = "", refused(refusal)
        except asyncio.CancelledError:
            self.abandon()
            raise
        self._task = None
        self._reply(request, user, response)
        self._advance()

    # From responses to bytes.

    def _reply(self, request: Request, user: str, response: Response) -> None:
        stays = request.keep_alive and self.admitted and not self._server.stopping
        self._last_request = self._last_request or not stays
        head = response_head(response, request.line.endswith("1.0"), self._last_request)
        if request.method == "HEAD" and response.file:
            response.file.close()
        if request.method == "HEAD" or response.file is None:
            content = b"" if request.method == "HEAD" else response.data
            self.transport.write(head + content)
            self._note(request, user, response, len(content))
            self._end_of_reply()
        else:
            self.transport.write(head)
            self._allow_time(0)
            self._run(self._send_file(request, user, response, response.file))

    async def _send_file(self, request: Request, user: str, response: Response, file: BinaryIO) -> None:
        sent = 0
        try:
            with file:
                async for count in self._send_parts(response.parts, file):
                    sent += count
            self._task = None
        except (OSError, RuntimeError, asyncio.CancelledError):
            # The client is gone or too slow, or the file was cut short under us: only closing can tell now.
            self._task = None
            self.abandon()
        finally:
            self._note(request, user, response, sent)
        if self.state is not State.ENDING:
            self._end_of_reply()
            self._advance()

    async def _send_parts(self, parts: Sequence[Union[bytes, Span]], file: BinaryIO) -> Any:
        for part in parts:
            if isinstance(part, bytes):
                self.transport.write(part)
                yield len(part)
                continue
            for start in range(part[0], part[1], PIECE):
                count = min(PIECE, part[1] - start)
                self._allow_time(count)
                sent = await self._server.loop.sendfile(self.transport, file, start, count)
                if sent != count:
                    raise ConnectionAbortedError("the file was cut short while it was sent")
                yield count

    def _allow_time(self, size: int) -> None:
        self.deadline = self._server.now() + self._limits.stall_seconds + size / self._limits.slowest_rate

    def _end_of_reply(self) -> None:
        """Wait for the next request, or hang up.

        RFC 9112, 9.6: a server that closes with unread bytes in its buffer may reset the connection before the client
        has read the answer, so it first closes its half only, and reads on until the client closes, or for a while.
        """
        left = self.transport.get_write_buffer_size()
        if not self._last_request:
            self._await_request()
        else:
            self._ending = True
            self._buffer.clear()
            self.deadline = self._server.now() + self._limits.linger_seconds
            self._close_half()
        if left:
            self._allow_time(left)

    def _close_half(self) -> None:
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        try:
            self.transport.write_eof()
            self.transport.resume_reading()
        except OSError:  # the client was quicker, and has reset the connection
            self.abandon()

    def _note(self, request: Request, user: str, response: Response, sent: int) -> None:
        seconds = self._server.now() - self._started
        agent = request.fields.get("user-agent", "")
        self._server.note(
            Exchange(self._client, user, request.line, request.method, response.status, sent, seconds, agent),
            response.missing,
        )


@functools.lru_cache(maxsize=64)
def status_line(status: int) -> str:
    """Return the first line of a response."""
    return f"HTTP/1.1 {status} {reason_of(status)}\r\n"


def response_head(response: Response, is_1_0: bool, last: bool) -> bytes:
    """Return the head of a response, with the empty line that ends it."""
    lines = [f"{name}: {value}\r\n" for name, value in response.fields]
    if response.length is not None:
        lines.append(f"Content-Length: {response.length}\r\n")
    if last:
        lines.append("Connection: close\r\n")
    elif is_1_0:
        lines.append("Connection: keep-alive\r\n")
    date = http_date(int(time.time()))
    head = f"{status_line(response.status)}Date: {date}\r\nX-Content-Type-Options: nosniff\r\n{''.join(lines)}\r\n"
    return head.encode("latin-1")


# The server.


class Server:
    """Holds the connections and what they share.

    :param tree: the mirror's files.
    :param limits: what one client may use.
    :param passwords: who may read the mirror; None for everybody.
    :param log: where requests are noted.
    :param wishes: the wish list, if one is kept.
    """

    def __init__(
        self,
        tree: Tree,
        limits: Limits = DEFAULTS,
        passwords: Optional[Passwords] = None,
        log: Optional[AccessLog] = None,
        wishes: Optional[WishList] = None,
    ) -> None:
        self.limits = limits
        self.stopping = False
        self._tree = tree
        self._site = Site(tree, private=passwords is not None)
        self._passwords = passwords
        self._log = log or AccessLog("none", sys.stdout)
        self._wishes = wishes
        self._inspection = Inspection(tree)
        self._metrics = Metrics()
        self._connections: "Dict[Connection, None]" = {}
        self._logins = LoginQueue(passwords.check) if passwords else None

    # Running.

    async def run(
        self, sockets: Sequence[socket.socket], tls: Optional[ssl.SSLContext], announce: Callable[[], None]
    ) -> None:
        """Serve until :meth:`stop` is called, then let answers under way finish."""
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.tls = tls
        self.loop.set_exception_handler(self._on_fault)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what clients do wrong; faults come to _on_fault
        listeners = [
            await self.loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG) for sock in sockets
        ]
        self._inspection.begin(time.monotonic())
        announce()
        while not self.stopping:
            await self._sweep()
        for listener in listeners:
            listener.close()
        while self._connections and self.now() < self._stop_by:
            await self._sweep()
        self._close_all()

    def stop(self) -> None:
        """Take no new connections and end when the answers under way are sent; called again, end at once."""
        self._stop_by = self.now() + (0.0 if self.stopping else self.limits.grace_seconds)
        self.stopping = True
        for connection in list(self._connections):
            connection.finish()

    async def _sweep(self) -> None:
        """Wait a moment, then give up on connections whose deadline has passed.

        The moment is short, since on Windows a signal is seen only when the loop wakes up.
        """
        await asyncio.sleep(0.1)
        now = self.now()
        for connection in [connection for connection in self._connections if connection.deadline < now]:
            try:
                connection.expire()
            except Exception as error:  # a fault of this program costs one connection, not the server
                self._fault("giving up on a client", error)
                connection.abandon()
        if self._wishes:
            self._wishes.flush(now)

    def _close_all(self) -> None:
        for connection in list(self._connections):
            connection.expire()
            connection.abandon()
        if self._logins:
            self._logins.close()
        self._log.flush()
        self._inspection.close()
        if self._wishes:
            self._wishes.close()

    def _on_fault(self, loop: asyncio.AbstractEventLoop, context: Dict[str, Any]) -> None:  # noqa: ARG002
        """Report what went wrong in one line; what clients do wrong is not worth one."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            detail = "connections wait; raise the limit (ulimit -n) or lower --max-connections"
            report_now_and_then("descriptors", f"out of file descriptors: {detail}")
        elif not isinstance(error, (OSError, asyncio.TimeoutError)):
            self._fault(str(context.get("message")), error)

    def _fault(self, doing: str, error: Optional[BaseException]) -> None:
        self._metrics.faults += 1
        report_now_and_then(type(error).__name__, f"internal fault: {doing}: {describe(error)}")

    # Connections.

    def admit(self, connection: Connection) -> None:
        """Take in a new connection; at the limit an idle one makes room, or the new one will be answered 503."""
        if len(self._connections) >= self.limits.connections:
            connection.admitted = self._make_room()
        self._connections[connection] = None
        if self.stopping:
            connection.finish()
        if not connection.admitted:
            self._metrics.refused += 1
            connection.deadline = self.now() + self.limits.linger_seconds
            if len(self._connections) > self.limits.connections + spare_connections(self.limits.connections):
                connection.abandon()

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for its client; none that has just come."""
        waiting = [connection for connection in self._connections if connection.may_be_dropped]
        idle = min(waiting, key=lambda connection: connection.waiting_since, default=None)
        if idle is None or self.now() - idle.waiting_since < 1.0:
            return False
        idle.drop()
        self.release(idle)
        return True

    def release(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self._connections.pop(connection, None)

    # Requests.

    def recognise(self, request: Request, admitted: bool) -> Union[str, Login]:
        """Return the user of a request, "" where none is needed; a login where it has to be checked first.

        :raises Refusal: 401 where there is none or a wrong one, 503 where the connection is one too many.
        """
        if not admitted:
            raise Refusal(503, "too many connections; try again", [("Retry-After", "1")])
        if self._passwords is None or request.path == ("health",):
            return ""
        authorization = request.fields.get("authorization")
        if not authorization:
            raise unauthorised()
        try:
            login = self._passwords.login(authorization)
        except SetupError as error:
            raise self._without_passwords(error) from None
        right = self._passwords.remembered(login)
        if right is False:
            raise unauthorised()
        return login.user if right else login

    async def authenticate(self, login: Login, address: str) -> str:
        """Have a login checked in another thread; return the user.

        :raises Refusal: 401 where it is wrong, 503 where too many wait for this already.
        """
        assert self._passwords is not None and self._logins is not None  # noqa: S101, PT018 - for the type checker
        try:
            right = self._passwords.conclude(login, await self._logins.verdict(login, address))
        except (Refusal, asyncio.CancelledError):  # on Python 3.7 the latter is an Exception
            raise
        except SetupError as error:
            raise self._without_passwords(error) from None
        except Exception as error:  # a line of the file that can't be computed with
            self._fault("checking a password", error)
            raise Refusal(500, "the server can't check passwords") from None
        if not right:
            raise unauthorised()
        return login.user

    def _without_passwords(self, error: SetupError) -> Refusal:
        report_now_and_then("passwords", str(error))
        return Refusal(500, "the server can't check passwords")

    def respond(self, request: Request) -> Response:
        """Answer a request. A fault of this program costs one answer, not the server."""
        try:
            self._tree.follow()
            if request.path == ("health",):
                return self._health()
            if request.path == ("metrics",):
                text = self._metrics.render(len(self._connections))
                return text_response(200, text, media_type="text/plain; version=0.0.4; charset=utf-8")
            return self._site.respond(request)
        except Exception as error:  # the last line of defence: the client gets an answer, the operator a line
            self._fault(repr(request.line), error)
            return refused(Refusal(500, "a fault of the server; its operator has been told"))

    def _health(self) -> Response:
        """Tell a supervisor whether requests can be answered."""
        self._inspection.begin(time.monotonic())
        state = "stopping" if self.stopping else self._tree.fault() or self._inspection.fault or "ok"
        text = json.dumps({"status": state, "connections": len(self._connections)}) + "\n"
        return text_response(200 if state == "ok" else 503, text, media_type="application/json")

    def note(self, exchange: Exchange, missing: Optional[Missing]) -> None:
        """Count and log a request that was answered. The log is written once for all of a turn of the loop."""
        self._metrics.note(exchange)
        if missing:
            self._metrics.missing += 1
            if self._wishes:
                self._wishes.note(missing, client_of(exchange.agent))
        if self._log.note(exchange):
            self.loop.call_soon(self._log.flush)


def spare_connections(limit: int) -> int:
    """Return how many connections above the limit are told 503; further ones are just closed."""
    return 16 + limit // 8


def unauthorised() -> Refusal:
    """Ask for a password (RFC 7617)."""
    return Refusal(
        401, "a user and a password are needed", [("WWW-Authenticate", 'Basic realm="mirror", charset="UTF-8"')]
    )


def describe(error: Optional[BaseException]) -> str:
    """Return an exception with the place it came from, in one line."""
    if error is None:
        return "unknown"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (line {frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


# The check.

ALTERED, MISSING, EXTRA = 4, 8, 16  # exit statuses of --check, added up


class Progress:
    """Shows how far a check has come: a line that is rewritten on a terminal, a line every tenth elsewhere."""

    def __init__(self, total_bytes: int, stream: TextIO) -> None:
        self._total = max(1, total_bytes)
        self._stream = stream
        self._live = stream.isatty()
        self._done = 0
        self._shown = -1
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes that were hashed; called by every thread."""
        with self._lock:
            self._done += count
            percent = min(100, 100 * self._done // self._total)
            if percent > self._shown and (self._live or percent // 10 > self._shown // 10):
                self._shown = percent
                self._show(percent)

    def _show(self, percent: int) -> None:
        rate = self._done / max(0.001, time.monotonic() - self._started)
        text = f"{percent:3d}% of {size_of(self._total)}, {size_of(rate)}/s"
        self._stream.write(f"\r{text}   " if self._live else f"{text}\n")
        if self._live and percent == 100:
            self._stream.write("\n")
        self._stream.flush()


def size_of(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def check(root: Path, out: TextIO, progress_to: TextIO) -> int:
    """Compare the tree with SHA256SUMS; print what differs, and return the exit status.

    :raises SetupError: SHA256SUMS is missing or is not one.
    """
    kept = read_checksums(root, KEPT) if os.path.lexists(str(root / KEPT)) else {}
    expected = {**kept, **read_checksums(root)}
    present = dict(walk(root))
    # What is not met by walking may stand in a folder that is a link to another one in the tree.
    known = ((path, present[path] if path in present else size_inside(root, path)) for path in expected)
    sizes = {path: size for path, size in known if size is not None}
    progress = Progress(sum(sizes.values()), progress_to)

    def is_altered(path: str) -> bool:
        try:
            return hash_file(root / path, progress) != expected[path]
        except OSError:  # what can't be read is not what it should be
            return True

    # The largest first, so that at the end no core waits for another one's last big file.
    queue = sorted(sizes, key=lambda path: (-sizes[path], path))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        altered = {path for path, differs in zip(queue, pool.map(is_altered, queue)) if differs}  # noqa: B905
    missing = expected.keys() - sizes.keys()
    extra = present.keys() - expected.keys() - {"SHA256SUMS", KEPT}
    for kind, paths in (("altered", altered), ("missing", missing), ("extra", extra)):
        out.writelines(printable(f"{kind}: {path}") + "\n" for path in sorted(paths))
    count = f"{len(kept)} {'is' if len(kept) == 1 else 'are'}"
    end = f"; {count} kept from before the last switch" if kept else ""
    out.write(f"{len(expected)} files: {len(altered)} altered, {len(missing)} missing, {len(extra)} extra{end}\n")
    return ALTERED * bool(altered) + MISSING * bool(missing) + EXTRA * bool(extra)


KEPT = "SHA256SUMS.kept"  # of what receive.py lets stand, so that clients that began before a switch can finish


def read_checksums(root: Path, name: str = "SHA256SUMS") -> Dict[str, str]:
    """Read SHA256SUMS, or another file of its form.

    :raises SetupError: it is missing, or has a line that it should not have.
    """
    path = root / name
    try:
        lines = path.read_text("utf-8").splitlines()
        expected = {name: digest for digest, name in map(parse_checksum, lines)}
    except FileNotFoundError:
        raise SetupError(
            f"there is no SHA256SUMS in {root}: the mirror was not finished, or not copied whole. "
            "Finish it with 'doit mirror' where it is made, and copy it again."
        ) from None
    except (OSError, ValueError) as error:
        raise SetupError(f"can't use {path}: {error}. Copy the mirror again.") from None
    strange = [name for name in expected if not all(is_plain(part) for part in name.split("/"))]
    if strange:
        raise SetupError(f"{path} names what can't be a file of a mirror: {strange[0]!r}. Copy the mirror again.")
    return expected


def size_inside(root: Path, relative: str) -> Optional[int]:
    """Return the size of a regular file in the tree, None where there is none. A link out of the tree is none."""
    try:
        path = (root / relative).resolve(strict=True)
        status = path.stat()
    except (OSError, RuntimeError):
        return None
    return status.st_size if root in path.parents and stat.S_ISREG(status.st_mode) else None


_buffers = threading.local()  # one for each thread, used for all its files


def hash_file(path: Path, progress: Progress) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits; count its bytes as they are read.

    :raises OSError: it can't be read.
    """
    if not hasattr(_buffers, "own"):
        _buffers.own = memoryview(bytearray(1 << 20))
    buffer = _buffers.own
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        for count in iter(lambda: file.readinto(buffer), 0):
            digest.update(buffer[:count])  # without the interpreter's lock, so the cores work side by side
            progress.add(count or 0)
    return digest.hexdigest()


def walk(root: Path, folder: str = "") -> Iterator[Tuple[str, Optional[int]]]:
    """Yield the path, with slashes, and the size of all that is below a directory; links to folders are not entered.

    What is no regular file in the tree, by itself or through a link, has no size.
    """
    with os.scandir(root / folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from walk(root, path + "/")
            elif entry.is_file(follow_symlinks=False):
                yield path, entry.stat(follow_symlinks=False).st_size
            else:
                yield path, size_inside(root, path)


# Reading locks.

LOCK_LIMIT = 16 * 1024 * 1024  # bytes; a lock of a thousand packages with all their wheels has five million
LOCK_DEPTH = 32  # lists and tables in each other

_SPACES = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")  # between values; JSON has no comments, and is looked at by `json` too
_END_OF_LINE = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_NEW_LINE = re.compile(r"\r?\n")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]+|[^\s,\[\]{}#=:\"'][^\s,\]}#]*")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|[ \t]*(\r?\n)[ \t\r\n]*|(.))", re.S)
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\", "/": "/"}
# What is between quotes, by the quotes. TOML: a string in three quotes may end with up to two quotes of its own.
_STRINGS = {
    '"""': re.compile(r'[^"\\]*(?:(?:\\.|""?(?!"))[^"\\]*)*(?:""?(?="""))?', re.S),
    "'''": re.compile(r"[^']*(?:''?(?!')[^']*)*(?:''?(?='''))?"),
    '"': re.compile(r'[^"\\\n]*(?:\\[^\n][^"\\\n]*)*'),
    "'": re.compile(r"[^'\n]*"),
}


class Quoted(str):
    """A string of a lock, and where it stands there: from ``start`` to ``end``, without its quotes."""

    start = end = 0


class LockReader:
    """Reads TOML or JSON into dictionaries and lists, with a :class:`Quoted` for each string.

    What need not be understood (numbers, dates) is taken as the text that it is. It is more lenient than the standards,
    but takes no string for another one: what it can't read is an error.

    :param text: the lock.
    :param separator: stands between a key and its value: ``=`` in TOML, ``:`` in JSON.
    """

    def __init__(self, text: str, separator: str) -> None:
        self._text = text
        self._separator = separator
        self._at = 0

    def toml(self) -> Dict[str, Any]:
        """Return what a TOML document holds.

        :raises SetupError: it is not one.
        """
        document: Dict[str, Any] = {}
        table = document
        self._pass(_GAP)
        while self._at < len(self._text):
            if self._takes("["):
                table = self._header(document)
            else:
                self._pair(table, 0)
            ending = _END_OF_LINE.match(self._text, self._at)
            if not ending:
                raise self._fault("the end of the line")
            self._at = ending.end()
            self._pass(_GAP)
        return document

    def json(self) -> Dict[str, Any]:
        """Return what a JSON document holds.

        :raises SetupError: it is not one, or no object.
        """
        try:
            json.loads(self._text, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as error:
            raise SetupError(f"not JSON: {error}") from None
        self._pass(_GAP)
        document = self._value(0)
        if not isinstance(document, dict):
            raise SetupError("expected a JSON object, found something else")
        return document

    def _header(self, document: Dict[str, Any]) -> Dict[str, Any]:
        """Read ``[a.b]`` or ``[[a.b]]`` behind its first bracket; return the table that the next lines belong to."""
        is_list = self._takes("[")
        *above, last = self._key()
        if not self._takes("]]" if is_list else "]"):
            raise self._fault("the end of a table's name")
        parent = self._descend(document, above)
        if not is_list:
            return self._descend(parent, [last])
        tables = parent.setdefault(last, [])
        if not isinstance(tables, list):
            raise self._fault(f"no second meaning of {last!r}")
        added: Dict[str, Any] = {}
        tables.append(added)
        return added

    def _descend(self, table: Dict[str, Any], keys: Sequence[str]) -> Dict[str, Any]:
        """Return the table at these keys, which is made where there is none; of a list of tables the last is meant."""
        for key in keys:
            below = table.setdefault(key, {})
            below = below[-1] if isinstance(below, list) and below else below
            if not isinstance(below, dict):
                raise self._fault(f"no second meaning of {key!r}")
            table = below
        return table

    def _pair(self, table: Dict[str, Any], depth: int) -> None:
        """Read a key and its value into a table."""
        *above, last = self._key()
        if not self._takes(self._separator):
            raise self._fault(f"{self._separator} behind a key")
        self._pass_within()
        parent = self._descend(table, above)
        if last in parent:
            raise self._fault(f"no second {last!r}")
        parent[last] = self._value(depth)

    def _key(self) -> List[str]:
        """Read a key, of which TOML allows several with dots between them."""
        keys = []
        while True:
            self._pass_within()
            quoted = self._string()
            keys.append(self._pass(_BARE_KEY) if quoted is None else str(quoted))
            if quoted is None and not keys[-1]:
                raise self._fault("a key")
            self._pass_within()
            if not self._takes("."):
                return keys

    def _value(self, depth: int) -> Any:
        if depth > LOCK_DEPTH:
            raise self._fault(f"no more than {LOCK_DEPTH} lists and tables in each other")
        if self._takes("["):
            return self._list(depth + 1)
        if self._takes("{"):
            return self._table(depth + 1)
        string = self._string()
        if string is not None:
            return string
        scalar = self._pass(_SCALAR)
        if not scalar:
            raise self._fault("a value")
        return scalar

    def _list(self, depth: int) -> List[Any]:
        values: List[Any] = []
        while not self._ends("]", first=not values):
            values.append(self._value(depth))
        return values

    def _table(self, depth: int) -> Dict[str, Any]:
        table: Dict[str, Any] = {}
        while not self._ends("}", first=not table):
            self._pair(table, depth)
        return table

    def _ends(self, bracket: str, first: bool) -> bool:
        """Say whether a list or table ends here; else what stands here next is its next value."""
        self._pass(_GAP)
        has_comma = not first and self._takes(",")
        self._pass(_GAP)
        if self._takes(bracket):
            return True
        if not first and not has_comma:
            raise self._fault(f"a comma or {bracket}")
        return False

    def _string(self) -> Optional[Quoted]:
        """Read a string; None where there is none."""
        quotes = next((quotes for quotes in _STRINGS if self._takes(quotes)), None)
        if quotes is None:
            return None
        if len(quotes) == 3:  # TOML: "A newline immediately following the opening delimiter will be trimmed."
            self._pass(_NEW_LINE)
        start = self._at
        content = self._pass(_STRINGS[quotes])
        end = self._at
        if not self._takes(quotes):
            raise self._fault(f"a string to end with {quotes}")
        if quotes[0] == '"' and "\\" in content:
            content = _ESCAPE.sub(self._unescape, content)
            if self._separator == ":":  # JSON writes one character as two surrogates, and allows one surrogate alone
                content = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        quoted = Quoted(content)
        quoted.start, quoted.end = start, end
        return quoted

    def _unescape(self, match: "re.Match[str]") -> str:
        digits = match.group(1) or match.group(2) or match.group(3)
        if match.group(4):  # TOML: a backslash at the end of a line takes with it all white space that follows
            return ""
        code = int(digits, 16) if digits else -1
        # TOML: escapes stand for Unicode scalar values, which surrogates are not
        if 0 <= code < 0xD800 or 0xE000 <= code < 0x110000 or (self._separator == ":" and 0 <= code):
            return chr(code)
        if match.group(5) in _ESCAPED:
            return _ESCAPED[match.group(5)]
        raise self._fault(f"no escape sequence {match.group()}")

    def _pass_within(self) -> None:
        """Pass over what may stand around a key: JSON allows new lines there, TOML does not."""
        self._pass(_GAP if self._separator == ":" else _SPACES)

    def _takes(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) * found
        return found

    def _pass(self, pattern: "re.Pattern[str]") -> str:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match.group() if match else ""

    def _fault(self, expected: str) -> SetupError:
        line = self._text.count("\n", 0, self._at) + 1
        return SetupError(f"line {line}: expected {expected}, found {self._text[self._at : self._at + 40]!r}")


# Locks.


class LockedFile(NamedTuple):
    """A file that a lock names: its name, "" where the lock has hashes alone; its hash as ``sha256:…``, "" for none."""

    name: str
    hash: str
    url: Optional[Quoted] = None


class LockedPackage(NamedTuple):
    """A package that a lock names. ``source`` is where it comes from if that is no index, ``url`` that if it is a URL."""

    name: str
    version: str
    files: Tuple[LockedFile, ...] = ()
    source: str = ""
    url: str = ""


class Lock(NamedTuple):
    """What of a lock has to do with a mirror: the strings that name an index, and those that name a URL of a package."""

    packages: Sequence[LockedPackage]
    indexes: Sequence[Quoted]
    urls: Sequence[Quoted] = ()


class Lacking(NamedTuple):
    """A file that a lock names and the mirror has not, or has with another hash (``found``)."""

    package: LockedPackage
    file: LockedFile
    found: str = ""

    def __str__(self) -> str:
        package = f"{self.package.name} {self.package.version}".strip()
        expected = f"expected {self.file.hash or 'any hash'}, found {self.found or 'no such file'}"
        return f"{package}: {self.file.name or 'a file'}: {expected}"


class Holdings:
    """The files that a mirror has.

    :param root: the mirror, all links followed.
    :param sums: the SHA-256 of its files by path, as SHA256SUMS has it.
    :param environments: the tags of each environment that it is for, the best first; none where they are not known.
    """

    def __init__(self, root: Path, sums: Mapping[str, str], environments: Sequence[Sequence[str]] = ()) -> None:
        self._root = root
        self._ranks = [{tag: rank for rank, tag in enumerate(tags)} for tags in environments]
        self._sums: Dict[str, Dict[str, str]] = {}
        for path, digest in sums.items():
            folder, _, rest = path.partition("/")
            project, _, name = rest.partition("/")
            if folder == "packages":
                self._sums.setdefault(project, {})[name] = digest

    def hash_of(self, project: str, file: LockedFile) -> str:
        """Return the hash that the mirror has for a file that a lock names, by the lock's algorithm; "" for no file.

        :raises SetupError: this Python does not know the algorithm.
        """
        there = self._sums.get(project, {})
        if not file.name:  # a hash alone: any file of the project may have it
            return file.hash if file.hash.partition(":")[2] in there.values() else ""
        path = f"packages/{project}/{file.name}"
        if file.name not in there or size_inside(self._root, path) is None:
            return ""
        algorithm = file.hash.partition(":")[0] or "sha256"
        digest = there[file.name] if algorithm == "sha256" else digest_of(self._root / path, algorithm)
        return f"{algorithm}:{digest}"

    def lacking(self, files: Sequence[LockedFile], there: Set[LockedFile]) -> Sequence[LockedFile]:
        """Return the files of a package that an installer may take and that are not ``there``.

        A lock names the files for all platforms, a mirror has those for its own. So it is asked what an installer takes
        on each environment of the mirror: the wheel that fits it best, else the sdist. An sdist is not asked for where
        something of the package is there: the package may well be for other environments only.
        """
        if not self._ranks or not all(file.name for file in files):
            return [] if there else files
        wheels = [file for file in files if file.name.endswith(".whl")]
        taken = {best_wheel(wheels, ranks) for ranks in self._ranks}
        if None in taken and not there:
            taken.update(file for file in files if file not in wheels)
        return [file for file in files if file in taken and file not in there]


def best_wheel(wheels: Sequence[LockedFile], ranks: Mapping[str, int]) -> Optional[LockedFile]:
    """Return the wheel that fits an environment best, None where none does."""
    ranked = [(rank_of(wheel.name, ranks), number) for number, wheel in enumerate(wheels)]
    rank, number = min(ranked, default=(UNFIT, 0))
    return wheels[number] if rank < UNFIT else None


UNFIT = 1 << 30  # more than there are tags of any environment


def rank_of(filename: str, ranks: Mapping[str, int]) -> int:
    """Return the rank of the best tag of a wheel; each of the last three fields of its name may have several."""
    fields = [field.split(".")[:20] for field in filename[: -len(".whl")].lower().split("-")[-3:]]
    return min((ranks.get("-".join(tag), UNFIT) for tag in itertools.product(*fields)), default=UNFIT)


def digest_of(path: Path, algorithm: str) -> str:
    """Return the digest of a file by an algorithm that a lock names.

    :raises SetupError: this Python does not know it.
    """
    try:
        digest = hashlib.new("" if algorithm.startswith("shake") else algorithm)  # shake has digests of any length
    except ValueError:
        raise SetupError(f"can't compare the hash of {path.name}: this Python has no algorithm {algorithm!r}") from None
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def urls_inside(lock: Lock, url: str, holdings: Holdings) -> Dict[str, str]:
    """Return where the mirror has the packages that a lock has from a URL, by that URL; only what has the lock's hash.

    :raises SetupError: the lock names what can't be in a mirror.
    """
    inside = {}
    for package in (package for package in lock.packages if package.url):
        for file in package.files:
            if file.name == last_part(package.url) and file.hash == holdings.hash_of(project_of(package), file) != "":
                inside[package.url] = url_inside(url, project_of(package), file.name)
    return inside


def lead_lock(name: str, text: str, lock: Lock, url: str, inside: Mapping[str, str]) -> bytes:
    """Return a lock with its files and indexes led to a mirror: the strings that name them are replaced, no other byte.

    All files of a package are led there, those of platforms that the mirror is not for too: their hashes stand in the
    lock, so that an installer gets what was locked or nothing.

    :param name: of the lock's file.
    :param url: of the mirror, as :func:`mirror_url` returns it.
    :param inside: what :func:`urls_inside` returned.
    :raises SetupError: the lock names what can't be in a mirror.
    """
    simple = f"{url}/simple" if name == "poetry.lock" else f"{url}/simple/"  # poetry writes an index without the slash
    edits = [(index, simple) for index in lock.indexes]
    edits += [(quoted, inside[quoted]) for quoted in lock.urls if quoted in inside]
    for package in lock.packages:
        if not package.source:
            project = project_of(package)
            edits += [(file.url, url_inside(url, project, file.name)) for file in package.files if file.url is not None]
    parts: List[str] = []
    at = 0
    for quoted, new in sorted(edits, key=lambda edit: edit[0].start):
        parts += [text[at : quoted.start], new]  # no character of these URLs has to be escaped
        at = quoted.end
    return "".join([*parts, text[at:]]).encode("utf-8")


def compare_lock(lock: Lock, holdings: Holdings) -> Tuple[List[Lacking], List[Lacking]]:
    """Return the files of a lock that a mirror has with another hash, and those that it lacks and an installer may take.

    :raises SetupError: the lock names what can't be in a mirror, or a hash can't be compared.
    """
    altered: List[Lacking] = []
    lacking: List[Lacking] = []
    for package in lock.packages:
        if package.source:
            continue
        project = project_of(package)
        found = {file: holdings.hash_of(project, file) for file in package.files}
        there = {file for file in found if found[file]}
        altered += [
            Lacking(package, file, found[file]) for file in found if file.hash and found[file] not in ("", file.hash)
        ]
        lacking += [Lacking(package, file) for file in holdings.lacking(package.files, there)]
    return altered, lacking


def project_of(package: LockedPackage) -> str:
    """Return the normalised name of a package's project.

    :raises SetupError: the lock names what can't be a project.
    """
    if not _PROJECT.fullmatch(package.name):
        raise SetupError(f"it names {package.name[:100]!r}, which can't be a project")
    return normalise(package.name)


def url_inside(url: str, project: str, name: str) -> str:
    """Return where a file is in the mirror at ``url``, spelt as in the mirror's pages.

    :raises SetupError: the lock names what can't be a file of a mirror.
    """
    if not is_plain(name):
        raise SetupError(f"it names a file {name[:100]!r} of {project}, which can't be one of a mirror")
    return f"{url}/packages/{project}/{urllib.parse.quote(name)}"


def read_lock(name: str, content: bytes) -> Tuple[str, Lock]:
    """Return the text of a lock, and what it names.

    :raises SetupError: it is of no known format, or can't be read.
    """
    kind = "pylock.toml" if re.fullmatch(r"pylock(\.[^.]+)?\.toml", name) else name
    if kind not in LOCK_FORMATS:
        known = ", ".join(LOCK_FORMATS)
        raise SetupError(f"expected a lock by its usual name ({known}, pylock.NAME.toml), found {name!r}")
    if len(content) > LOCK_LIMIT:
        raise SetupError(f"it is larger than a lock may be ({size_of(LOCK_LIMIT)})")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SetupError(f"it is not UTF-8: {error}") from None
    is_json = kind == "Pipfile.lock"
    reader = LockReader(text, ":" if is_json else "=")
    return text, LOCK_FORMATS[kind](reader.json() if is_json else reader.toml())


def read_uv_lock(document: Dict[str, Any]) -> Lock:
    """Read uv.lock. Each package has a ``source``, which dependencies repeat where they could mean another package."""
    check_lock_version("version", document, ("1",))
    own = texts_at(table_at(document, "manifest"), "members")
    packages: List[LockedPackage] = []
    indexes: List[Quoted] = []
    urls: List[Quoted] = []
    places: Dict[Tuple[str, str], str] = {}
    for entry in tables_at(document, "package"):
        name, version, source = text_at(entry, "name"), text_at(entry, "version"), table_at(entry, "source")
        indexes += uv_indexes([source, *uv_sources(entry)])
        urls += [text_at(one, "url") for one in (source, *uv_sources(entry)) if "url" in one]
        kind = next(iter(source), "")
        place = text_at(source, kind)
        if uv_indexes([source]):
            # A mirror is one index; uv takes two packages that differ in nothing else for one.
            if places.setdefault((name, version), place) != place:
                raise SetupError(
                    f"it has {name} {version} from two indexes, which would be one and the same in a mirror"
                )
            packages.append(LockedPackage(name, version, uv_files(entry)))
        elif kind == "url":
            packages.append(LockedPackage(name, version, uv_files(entry), f"{kind} {place}", place))
            urls += [file.url for file in packages[-1].files if file.url is not None]
        elif place != "." and name not in own:
            packages.append(LockedPackage(name, version, source=f"{kind} {place}"))
    return Lock(packages, indexes, urls)


def uv_files(entry: Dict[str, Any]) -> Tuple[LockedFile, ...]:
    """Return the files of a package of uv.lock."""
    files = [*tables_at(entry, "sdist"), *tables_at(entry, "wheels")]
    return tuple(named_file(text_at(file, "filename"), text_at(file, "hash"), text_at(file, "url")) for file in files)


def uv_sources(entry: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """Yield the sources that the dependencies of a package of uv.lock have."""
    lists = [tables_at(entry, "dependencies")]
    for groups in (table_at(entry, "optional-dependencies"), table_at(entry, "dev-dependencies")):
        lists += [tables_at(groups, group) for group in groups]
    for dependency in itertools.chain.from_iterable(lists):
        yield table_at(dependency, "source")


def uv_indexes(sources: Sequence[Dict[str, Any]]) -> List[Quoted]:
    """Return the indexes among sources of uv.lock. A registry may also be a folder, which is no index of a mirror."""
    registries = [text_at(source, "registry") for source in sources]
    return [registry for registry in registries if "://" in registry]


def read_poetry_lock(document: Dict[str, Any]) -> Lock:
    """Read poetry.lock. It has no URLs of files; in version 1 the files may stand apart, by package."""
    metadata = table_at(document, "metadata")
    check_lock_version("lock-version", metadata, ("1", "2"))
    packages: List[LockedPackage] = []
    indexes: List[Quoted] = []
    urls: List[Quoted] = []
    for entry in tables_at(document, "package"):
        name, source = text_at(entry, "name"), table_at(entry, "source")
        kind, url = text_at(source, "type"), text_at(source, "url")
        files = tables_at(entry, "files") or tables_at(table_at(metadata, "files"), name)
        indexes += [url] if kind == "legacy" else []
        urls += [url] if kind == "url" else []
        named = tuple(named_file(text_at(file, "file"), text_at(file, "hash")) for file in files)
        foreign = f"{kind} {url}" if kind not in ("", "legacy") else ""
        packages.append(LockedPackage(name, text_at(entry, "version"), named, foreign, url if kind == "url" else ""))
    return Lock(packages, indexes, urls)


def read_pdm_lock(document: Dict[str, Any]) -> Lock:
    """Read pdm.lock. It names no index; a file has a URL where it was made with the strategy ``static_urls``."""
    check_lock_version("lock_version", table_at(document, "metadata"), ("4",))
    packages = []
    urls: List[Quoted] = []
    for entry in tables_at(document, "package"):
        files = [
            named_file(text_at(file, "file"), text_at(file, "hash"), text_at(file, "url"))
            for file in tables_at(entry, "files")
        ]
        foreign = source_among(entry, ("git", "hg", "svn", "bzr", "path", "url"))
        url = text_at(entry, "url")
        urls += [url, *(file.url for file in files if file.url is not None)] if url else []
        packages.append(LockedPackage(text_at(entry, "name"), text_at(entry, "version"), tuple(files), foreign, url))
    return Lock(packages, (), urls)


def read_pipfile_lock(document: Dict[str, Any]) -> Lock:
    """Read Pipfile.lock: categories of packages, which have hashes without files, and the indexes under ``_meta``."""
    meta = table_at(document, "_meta")
    check_lock_version("pipfile-spec", meta, ("6",))
    packages = []
    for category in sorted(document.keys() - {"_meta"}):
        for name in table_at(document, category):
            entry = table_at(table_at(document, category), name)
            files = tuple(LockedFile("", found) for found in texts_at(entry, "hashes"))
            foreign = source_among(entry, ("git", "hg", "svn", "bzr", "path", "file"))
            packages.append(LockedPackage(name, text_at(entry, "version").replace("==", ""), files, foreign))
    urls = [text_at(source, "url") for source in tables_at(meta, "sources")]
    return Lock(packages, [url for url in urls if url])


def read_pylock(document: Dict[str, Any]) -> Lock:
    """Read pylock.toml. A file may have a path beside the lock instead of a URL, which is no matter of a mirror."""
    check_lock_version("lock-version", document, ("1",))
    packages: List[LockedPackage] = []
    indexes: List[Quoted] = []
    urls: List[Quoted] = []
    for entry in tables_at(document, "packages"):
        indexes += [text_at(one, "index") for one in [entry, *tables_at(entry, "dependencies")] if "index" in one]
        name, version = text_at(entry, "name"), text_at(entry, "version")
        own = pylock_source(entry)
        url = text_at(own, "url") if own is entry.get("archive") and own else Quoted()
        files = [own] if url else [*tables_at(entry, "sdist"), *tables_at(entry, "wheels")]
        foreign = source_among(own, ("url", "path"))
        if foreign != "path .":
            named = tuple(pylock_file(file) for file in files if "url" in file)
            packages.append(LockedPackage(name, version, named, foreign, url))
            urls += [url] if url else []
    return Lock(packages, indexes, urls)


def pylock_source(entry: Dict[str, Any]) -> Dict[str, Any]:
    """Return where a package of pylock.toml is from if that is no index: a table with a URL or a path; an empty one else."""
    tables = [table_at(entry, key) for key in ("vcs", "directory", "archive")]
    files = [*tables_at(entry, "sdist"), *tables_at(entry, "wheels")]
    return next((one for one in [*tables, *(file for file in files if "url" not in file)] if one), {})


def pylock_file(file: Dict[str, Any]) -> LockedFile:
    """Return a file of pylock.toml, with the hash that a mirror knows if it has that."""
    hashes = table_at(file, "hashes")
    algorithm = "sha256" if "sha256" in hashes else min(hashes, default="")
    found = f"{algorithm}:{text_at(hashes, algorithm)}" if algorithm else ""
    return named_file(text_at(file, "name"), found, text_at(file, "url"))


LOCK_FORMATS: Mapping[str, Callable[[Dict[str, Any]], Lock]] = {
    "uv.lock": read_uv_lock,
    "poetry.lock": read_poetry_lock,
    "pdm.lock": read_pdm_lock,
    "Pipfile.lock": read_pipfile_lock,
    "pylock.toml": read_pylock,
}


def named_file(name: str, found: str, url: Optional[Quoted] = None) -> LockedFile:
    """Return a file by its name, or by the last part of its URL.

    :raises SetupError: it has neither.
    """
    name = name or last_part(url or "")
    if not name:
        raise SetupError(f"it has a file without a name, with the hash {found[:100]!r}")
    return LockedFile(name, found, url or None)


def last_part(url: str) -> str:
    """Return the last part of the path of a URL, which is the name of the file there."""
    return urllib.parse.unquote(re.split("[?#]", url)[0].rpartition("/")[2])


def source_among(entry: Dict[str, Any], keys: Sequence[str]) -> str:
    """Return the key and the value that say where a package comes from if that is no index; "" for an index."""
    return next((f"{key} {text_at(entry, key)}" for key in keys if key in entry), "")


def check_lock_version(key: str, table: Dict[str, Any], majors: Sequence[str]) -> None:
    """Look if this is a version of a lock's format that is known here.

    :raises SetupError: it is another one.
    """
    found = table.get(key)
    if str(found).partition(".")[0] not in majors:
        expected = " or ".join(majors)
        raise SetupError(
            f"{key}: expected version {expected} of this format, found {found!r}; use a newer server.py for it"
        )


def table_at(table: Dict[str, Any], key: str) -> Dict[str, Any]:
    """Return the table at a key, an empty one where there is none.

    :raises SetupError: something else is there.
    """
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise SetupError(f"{key}: expected a table, found {str(found)[:40]!r}")
    return found


def tables_at(table: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    """Return the tables in the list at a key, or the one that is there without a list.

    :raises SetupError: something else is there.
    """
    found = table.get(key, [])
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise SetupError(f"{key}: expected a list of tables, found {str(found)[:40]!r}")
    return found


def text_at(table: Dict[str, Any], key: str) -> Quoted:
    """Return the string at a key, an empty one where there is none.

    :raises SetupError: something else is there.
    """
    found = table.get(key, Quoted())
    if not isinstance(found, Quoted):
        raise SetupError(f"{key}: expected a string, found {str(found)[:40]!r}")
    return found


def texts_at(table: Dict[str, Any], key: str) -> List[Quoted]:
    """Return the strings in the list at a key.

    :raises SetupError: something else is there.
    """
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, Quoted) for entry in found):
        raise SetupError(f"{key}: expected a list of strings, found {str(found)[:40]!r}")
    return found


def rewrite(root: Path, options: argparse.Namespace) -> int:
    """Rewrite the lock that the command line names; tell what was done, and return the exit status."""
    path: Path = options.lock
    holdings = Holdings(root, read_checksums(root), tags_of(root))
    try:
        with open(path, "rb") as file:
            content = file.read(LOCK_LIMIT + 1)
    except OSError as error:
        raise SetupError(f"can't read the lock {path}: {error.strerror}. Nothing was written.") from None
    try:
        text, lock = read_lock(path.name, content)
        inside = urls_inside(lock, options.url, holdings)
        led = lead_lock(path.name, text, lock, options.url, inside)
        altered, lacking = compare_lock(lock, holdings)
    except SetupError as error:
        raise SetupError(f"can't rewrite {path}: {error}. Nothing was written.") from None
    for package in lock.packages:
        if package.source and package.url not in inside:
            report(f"stays as it is, since no index has it: {package.name} {package.version} ({package.source})")
    if lacking and not altered and made_from(root, path.name, text):
        files, them = ("file of it is", "it") if len(lacking) == 1 else ("files of it are", "them")
        report(f"{len(lacking)} {files} not here, as mirror.yaml asks for {them} on no environment of this mirror")
        lacking = []
    for one in [*altered, *lacking]:
        report(f"not in this mirror: {one}")
    if altered or (lacking and not options.partial):
        raise SetupError(explain_lacking(path, bool(altered)))
    count = sum(file.url is not None for package in lock.packages if not package.source for file in package.files)
    count += len(inside)
    where = put_lock(root, path, options.output, content, led)
    counted = f"{count} URLs of files and {len(lock.indexes)} of indexes"
    report(f"{where}: {counted} lead to {options.url}/{explain_poetry(path.name, options.url, lock)}")
    return 0


def explain_poetry(name: str, url: str, lock: Lock) -> str:
    """Say what has to change beside a poetry.lock, whose hash covers the sources of its project; nothing of other locks."""
    if name != "poetry.lock":
        return ""
    if not lock.indexes:
        return (
            "; it names no index, and Poetry asks that of the project: poetry-plugin-pypi-mirror leads it here with "
            f"POETRY_PYPI_MIRROR_URL={url}/simple/, and the lock's content-hash stays valid"
        )
    return (
        "; Poetry asks the sources in pyproject.toml, which the lock's content-hash covers: lead them to "
        f"{url}/simple/ too, then run `poetry lock`, without which `poetry install` refuses the lock"
    )


def explain_lacking(path: Path, altered: bool) -> str:
    """Say that a lock was not rewritten, and what to do."""
    advice = (
        "Other files than these were locked: lock anew from this mirror, or mirror the index that the lock is from."
        if altered
        else "Mirror what is missing, for instance with the lock itself in mirror.yaml. If the environments here don't "
        "need it, as where a marker keeps it for another platform, give --partial."
    )
    return f"can't rewrite {path}: the mirror lacks what is listed above. {advice} Nothing was written."


_PLACE = re.compile(r"(?<=://)(?:[^/\"'\\\s]+|/[^\"'\\\s]*/)")  # of a URL: its host, or the folder of a file


def made_from(root: Path, name: str, text: str) -> bool:
    """Say whether a mirror was made, whole, from this very lock, so that it lacks nothing that was asked for.

    mirror.json has the text of each lock that was mirrored; what is replaced there is the hosts of its URLs,
    and the folders of those of files.
    """
    try:
        about = json.loads((root / "mirror.json").read_text("utf-8"))
        carried = [kept for path, kept in about["configuration"].items() if path.rpartition("/")[2] == name]
        bare = _PLACE.sub("", text)
        return not about["lacking"] and any(_PLACE.sub("", kept) == bare for kept in carried)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def tags_of(root: Path) -> List[List[str]]:
    """Return the tags of each environment that a mirror is for, by its mirror.json; none where that does not say."""
    try:
        about = json.loads((root / "mirror.json").read_text("utf-8"))
        return [environment["tags"].split() for environment in about["environments_in_full"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def put_lock(root: Path, path: Path, output: Optional[Path], before: bytes, content: bytes) -> str:
    """Write a rewritten lock as :func:`write_lock` does.

    :raises SetupError: as there, or it can't be written.
    """
    try:
        return write_lock(root, path, output, before, content)
    except OSError as error:
        place = output or path.parent
        raise SetupError(
            f"can't write the lock to {place}: {error.strerror}. Say another place with --output."
        ) from None


def write_lock(root: Path, path: Path, output: Optional[Path], before: bytes, content: bytes) -> str:
    """Write a rewritten lock, whole or not at all; return what was written, in words.

    Without an output it is put beside the lock. An output that is the lock itself is replaced, and the lock kept beside.

    :raises SetupError: a lock is kept there already, or it would be put into the mirror unasked.
    """
    if str(output) == "-":
        sys.stdout.buffer.write(content)
        return f"wrote {path.name} to the standard output"
    if output is None and root in path.resolve().parents:
        raise SetupError(f"{path} is in the mirror itself; say with --output where it is to go. Nothing was written.")
    target = output or path.with_name(path.name + ".inside")
    words = f"wrote {target}"
    if target.exists() and os.path.samefile(str(target), str(path)):
        kept = path.with_name(path.name + ".outside")
        if content == before:
            return f"nothing to change in {path}"
        if kept.exists():
            raise SetupError(
                f"{kept}, where the lock would be kept, is there already. Move it away. Nothing was written."
            )
        kept.write_bytes(before)
        words = f"wrote {target}, and kept what it was as {kept.name}"
    temporary = target.with_name(target.name + ".new")
    temporary.write_bytes(content)
    os.replace(temporary, target)
    return words


_MIRROR_URL = re.compile(r"(https?://[A-Za-z0-9._~:\[\]-]+|file://)(/[A-Za-z0-9._~:/@!$&()*+,;=%-]*)?")


def mirror_url(text: str) -> str:
    """Read the URL of a mirror, as clients reach it, without credentials; return it without a slash at its end.

    None of its characters has to be escaped in TOML or JSON, whatever the quotes.
    """
    example = "a URL of the mirror such as https://packages.inside.example/ or file:///srv/mirror"
    if not _MIRROR_URL.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected {example}, found {text!r}")
    url = text.rstrip("/")
    if url.endswith("/simple"):
        raise argparse.ArgumentTypeError(f"expected {example}, found that of its index; leave /simple/ away")
    return url


# The command line.


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the program; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding has not is told all the same
            stream.reconfigure(errors="backslashreplace")
    options = parse_arguments(arguments)
    try:
        if options.command == "add-user":
            add_user(options.file, options.name, ask_password())
            return 0
        root = find_served(options.root, check_only=options.check)
        if options.command == "rewrite-lock":
            return rewrite(root, options)
        if options.check:
            return check(root, sys.stdout, sys.stderr)
        return serve(root, options)
    except (SetupError, OSError, UnicodeError) as error:
        report(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Serve this mirror to pip, uv, other installers and browsers.",
        epilog="Exit statuses of --check: 0 all is well; 1 it could not be checked; 4 altered, 8 missing and 16 extra "
        "files, added up.",
    )
    add = parser.add_argument
    about = f"server.py of mirror-tasks {VERSION}, Python {'.'.join(map(str, sys.version_info[:3]))}"
    add("--version", action="version", version=about, help="print the version and end")
    add("--root", type=Path, default=own_folder(), help="the mirror (default: where this file is)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=port_number, default=8080, help="port to listen on (default: %(default)s; 0: any free one)")
    add("--check", action="store_true", help="verify SHA256SUMS and end")
    add("--wanted", type=Path, metavar="FILE", help="write down what clients asked for and the mirror does not have")
    add("--certfile", type=Path, metavar="FILE", help="serve HTTPS with this certificate chain (PEM)")
    add("--keyfile", type=Path, metavar="FILE", help="its private key, if not in the same file")
    add("--passwords", type=Path, metavar="FILE", help="ask for a user and password of this file (see add-user)")
    add("--passwords-over-plain-http", action="store_true", help="do so without TLS, readable on the way")
    add("--log", choices=("common", "json", "none"), default="common", help="one line a request on standard output")
    add("--max-connections", type=positive_number, metavar="N", help="default: what the system allows, up to 10000")
    add("--grace", type=seconds, default=30.0, metavar="SECONDS", help="for downloads under way when told to end")
    commands = parser.add_subparsers(dest="command", title="subcommands", metavar="")
    adding = commands.add_parser("add-user", help="write a user and a hashed password to a file, and end")
    adding.add_argument("file", type=Path)
    adding.add_argument("name")
    about = (
        "write a lock (uv.lock, poetry.lock, pdm.lock, Pipfile.lock, pylock.toml) that leads to this mirror, and end"
    )
    rewriting = commands.add_parser("rewrite-lock", help=about, description=about[0].upper() + about[1:])
    rewriting.add_argument("lock", type=Path)
    rewriting.add_argument("--url", type=mirror_url, required=True, help="the mirror, as the tool reaches it")
    output = "where to (default: LOCK.inside beside the lock; -: standard output; the lock itself: it is kept as LOCK.outside)"
    rewriting.add_argument("--output", type=Path, metavar="FILE", help=output)
    partial = "write it although the mirror lacks packages, such as those for other platforms"
    rewriting.add_argument("--partial", action="store_true", help=partial)
    return parser.parse_args(arguments)


def port_number(text: str) -> int:
    """Read a port."""
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, found {text!r}")
    return int(text)


def positive_number(text: str) -> int:
    """Read a number from 1."""
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 999999, found {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """Read a time."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, found {text!r}")
    return float(text)


def ask_password() -> str:
    """Ask for a new password, twice on a terminal; elsewhere it is the first line of the standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise SetupError("the two passwords differ; nothing was written")
    return password


def find_served(root: Path, check_only: bool) -> Path:
    """Return the mirror's directory that is served now, all links followed.

    :raises SetupError: it holds no mirror.
    """
    if not root.is_dir():
        raise SetupError(f"there is no directory {root}; give the mirror's with --root")
    try:
        served = served_of(root)
    except (OSError, ValueError, RuntimeError) as error:
        raise SetupError(f"can't tell what is served of {root}: {error}. Run receive.py --status {root}.") from None
    if not check_only and not (served / "simple").is_dir():
        raise SetupError(f"there is no mirror in {root} (no folder 'simple'); give the mirror's directory with --root")
    return served


def own_folder() -> Path:
    """Return the folder that this file is in. A link to the file is followed, one to its folder is not: it may be switched."""
    path = os.path.abspath(__file__)
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return Path(os.path.dirname(os.path.abspath(path)))


def serve(root: Path, options: argparse.Namespace) -> int:
    """Serve until told to end."""
    tls = tls_context(options)
    tree = Tree(options.root)
    limits = Limits(connections=allowed_connections(options.max_connections), grace_seconds=options.grace)
    wishes = WishList(options.wanted, tree) if options.wanted else None
    log = AccessLog(options.log, sys.stdout)
    server = Server(tree, limits, open_passwords(options), log, wishes)
    sockets = listen(options.host, options.port)

    def announce() -> None:
        for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: server.loop.call_soon_threadsafe(server.stop))
        print(welcome(root, options, sockets[0].getsockname()[1], tls is not None), flush=True)

    if sys.platform == "win32" and sys.version_info < (3, 8):
        # The selector loop, still the default there, can't hold more than 512 connections.
        asyncio.set_event_loop_policy(asyncio.WindowsProactorEventLoopPolicy())
    asyncio.run(server.run(sockets, tls, announce))
    return 0


def tls_context(options: argparse.Namespace) -> Optional[ssl.SSLContext]:
    """Load the certificate, if there is one.

    :raises SetupError: it can't be loaded.
    """
    if options.certfile is None:
        if options.keyfile:
            raise SetupError("--keyfile needs --certfile")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(options.certfile, options.keyfile)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"can't load the certificate {options.certfile} and its key: {error}") from None
    return context


def open_passwords(options: argparse.Namespace) -> Optional[Passwords]:
    """Load the password file, if there is one.

    :raises SetupError: it can't be used, or passwords would go over the network in plain.
    """
    if options.passwords is None:
        return None
    if options.certfile is None and not options.passwords_over_plain_http:
        raise SetupError(
            "passwords over plain HTTP can be read on the way: give --certfile and --keyfile, or, behind a proxy that "
            "does TLS, --passwords-over-plain-http"
        )
    return Passwords(options.passwords)


FEW_CONNECTIONS = 1000  # fewer than these are worth a word to the operator, who has asked for no number


def allowed_connections(asked: Optional[int]) -> int:
    """Return how many connections the system lets this process have, at most those asked for, or the default.

    A connection may need two descriptors: its own and that of the file it is sent.
    """
    number = asked or DEFAULTS.connections
    needed = 2 * (number + spare_connections(number)) + 64
    open_files = raise_open_files(needed)
    if open_files is None or open_files >= needed:
        return number
    allowed = max(1, (open_files - 64) * 4 // 9 - 16)
    if asked or allowed < FEW_CONNECTIONS:
        report(f"the system allows {open_files} open files, so at most {allowed} connections are taken (see ulimit -n)")
    return allowed


def raise_open_files(needed: int) -> Optional[int]:
    """Raise this process's own limit of open files towards what is needed; return it, None where there is none."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    while soft != resource.RLIM_INFINITY and soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            soft = target
        except (ValueError, OSError):  # macOS has a further limit, below the one that it tells
            target //= 2
    return None if soft == resource.RLIM_INFINITY else soft


def listen(host: str, port: int) -> List[socket.socket]:
    """Open the listening sockets, one for each address of the host.

    :raises SetupError: it can't be done.
    """
    try:
        answers = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise SetupError(f"can't listen on {host}: {error}; give an address of this machine with --host") from None
    sockets: List[socket.socket] = []
    for family, address in dict.fromkeys((entry[0], entry[4]) for entry in answers):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(listening_socket(family, (address[0], chosen, *address[2:])))
        except OSError as error:
            for opened in sockets:
                opened.close()
            raise SetupError(explain_listening(host, port, error)) from None
    return sockets


def listening_socket(family: int, address: Tuple[Any, ...]) -> socket.socket:
    """Open one listening socket."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "nt":  # there, SO_REUSEADDR would let another process take the port over
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" alone stands for both families; a host that has an address in each gets a socket for each.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def explain_listening(host: str, port: int, error: OSError) -> str:
    """Say why a port can't be had, and what to do."""
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", -1)):
        return f"port {port} is in use by another program; choose one with --port (0: any free one)"
    if error.errno in (errno.EACCES, getattr(errno, "WSAEACCES", -1)):
        return f"port {port} needs special rights; choose one above 1023 with --port"
    if error.errno in (errno.EADDRNOTAVAIL, getattr(errno, "WSAEADDRNOTAVAIL", -1)):
        return f"{host} is not an address of this machine; choose one with --host (0.0.0.0: all)"
    return f"can't listen on {host} port {port}: {error}"


def welcome(root: Path, options: argparse.Namespace, port: int, tls: bool) -> str:
    """Say what is served, where, and how to use it."""
    everywhere = options.host in ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    local = options.host in ("127.0.0.1", "::1", "localhost")
    host = socket.gethostname() if everywhere else f"[{options.host}]" if ":" in options.host else options.host
    url = f"{'https' if tls else 'http'}://{host}:{port}"
    login = url.replace("://", "://USER:PASSWORD@") if options.passwords else url
    trust = "" if tls or local else f" --trusted-host {host}"
    reach = " (this machine only; --host 0.0.0.0 for all)" if local else ""
    lines = (
        f"Serving {describe_mirror(root)} at {url}/{reach}",
        f"  pip install --index-url {login}/simple/{trust} NAME",
        f"  uv pip install --default-index {login}/simple/ NAME",
        "Ctrl-C ends.",
    )
    return "\n".join(map(printable, lines))


def describe_mirror(root: Path) -> str:
    """Describe the mirror by its mirror.json."""
    try:
        about = json.loads((root / "mirror.json").read_text("utf-8"))
        return f"{about['projects']} projects, {about['files']} files, {size_of(int(about['bytes']))} from {root}"
    except (OSError, ValueError, KeyError, TypeError):
        return str(root)


def exit_with(status: int) -> NoReturn:
    """Leave with this status, whether or not anybody still reads the output."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w")
    sys.exit(status)


if __name__ == "__main__":
    exit_with(main())
