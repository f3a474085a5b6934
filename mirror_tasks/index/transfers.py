"""Files on their way: a download that is checked and resumed, a remote wheel that is read by ranges.

Nothing here opens a socket: answers come from whoever :class:`Asks`. Rules obeyed: bytes are asked for with
``Accept-Encoding: identity`` and hashed as they come; a transfer is resumed only under a strong ETag (RFC 9110,
13.1.5), and begins again where the server answers with anything but the missing part.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from urllib3.response import BaseHTTPResponse

from mirror_tasks.errors import IntegrityError, UpstreamError
from mirror_tasks.files import clear_of_folders, have_folder, naming
from mirror_tasks.index.pace import Pace, SlowError
from mirror_tasks.index.project import File

_T = TypeVar("_T")

CHUNK = 1 << 18
IDENTITY = {"Accept-Encoding": "identity"}

_MOST_FILE = 64 << 30  # bytes; far more than any index takes
_TAIL = 64 << 10  # bytes of a wheel's end that the first read gets: nearly always its directory and METADATA
_AHEAD = 32 << 10  # bytes that each further read gets at least
_REPORT = "Nothing of it was kept. Run again; if it stays so, report it to whoever runs the index."
_WRITTEN = f"{_REPORT[:-1]}, or correct the hash if you wrote it."


class BrokenBodyError(Exception):
    """What came is not what was asked for, and may be if it is asked for again."""


class Answer:
    """An answer whose body is still to be read; a context manager that gives its connection back.

    :ivar url: the one that answered, after redirects.
    """

    def __init__(self, url: str, raw: BaseHTTPResponse, pace: Pace | None = None) -> None:
        self.url = url
        self._pace = pace or Pace()
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self._raw = raw

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Keep the connection if what is left to read is known to be short, else drop it."""
        if (self.length or CHUNK) < CHUNK or self.status == 304:
            with contextlib.suppress(SlowError):
                self._raw.drain_conn()
        else:
            self._raw.close()
        self._raw.release_conn()

    @property
    def length(self) -> int | None:
        """The length of the body as the answer announces it, in bytes."""
        text = self.headers.get("Content-Length", "")
        return int(text[:30]) if text.isascii() and text.isdigit() else None  # 30 digits are more than there can be

    @property
    def tells_its_end(self) -> bool:
        """The body is announced with its length or comes in chunks: one that is cut short is known to be."""
        return self.length is not None or "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    @property
    def strong_etag(self) -> str | None:
        """The ETag, if it says something of bytes, which a weak one does not (RFC 9110, 8.8.1)."""
        etag = self.headers.get("ETag")
        return etag if etag and etag.startswith('"') else None

    @property
    def is_coded(self) -> bool:
        """The body is said to be compressed."""
        return self.headers.get("Content-Encoding", "identity").lower() != "identity"

    @property
    def part(self) -> tuple[int, int, int] | None:
        """First byte, last byte and whole length of a 206 with a single range; None for any other answer."""
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", self.headers.get("Content-Range", ""))
        return (int(found[1]), int(found[2]), int(found[3])) if self.status == 206 and found else None

    def chunks(self, *, decode: bool = False) -> Iterator[bytes]:
        """Return the body piece by piece; one that is shorter than announced raises urllib3's ProtocolError."""
        while chunk := self._raw.read(CHUNK, decode_content=decode):
            yield chunk

    def read(self, limit: int, *, decode: bool = False) -> bytes:
        """Return the body.

        :raises UpstreamError: it is longer than ``limit`` bytes.
        :raises SlowError: it takes too long.
        """
        body = io.BytesIO()
        begun = self._pace.clock()
        for chunk in self.chunks(decode=decode):
            if self._pace.clock() - begun > self._pace.whole:
                raise SlowError(f"expected all of it within {self._pace.whole:g} seconds, found {body.tell():,} bytes")
            if body.tell() + len(chunk) > limit:
                problem = f"expected at most {limit:,} bytes, found more"
                raise UpstreamError("fetching", self.url, problem, "Report it to whoever runs the index.")
            body.write(chunk)
        return body.getvalue()


class Asks(Protocol):
    """Asks for URLs; upstream."""

    def ask(self, url: str, headers: Mapping[str, str], doing: str, passed: Sequence[int] = (200,)) -> Answer:
        """Return the answer, after redirects, if its status is one of ``passed``."""

    def retry(self, attempt: Callable[[], _T], doing: str, url: str) -> _T:
        """Return what ``attempt`` returns, trying again after failures that may pass."""


def wrong_hash(url: str, expected: str, found: str, algorithm: str = "sha256") -> IntegrityError:
    """Return the error for bytes that are others than announced."""
    return IntegrityError("checking the hash of", url, f"expected {algorithm} {expected}, found {found}", _WRITTEN)


class Digests:
    """What arrives of a file, hashed: with SHA-256, and where none is announced with what is announced instead."""

    def __init__(self, file: File) -> None:
        others = {} if "sha256" in file.hashes else file.hashes
        self._url = file.url
        self._expected = {"sha256": file.hashes["sha256"]} if "sha256" in file.hashes else dict(others)
        self._digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", *others)}

    @property
    def sha256(self) -> str:
        """The SHA-256 of what arrived so far."""
        return self._digests["sha256"].hexdigest()

    @property
    def can_tell(self) -> bool:
        """Something was announced that tells if all of it arrived."""
        return bool(self._expected)

    def update(self, chunk: bytes) -> None:
        """Add what arrived."""
        for digest in self._digests.values():
            digest.update(chunk)

    def wrong(self) -> IntegrityError | None:
        """Return the error if what arrived is not what was announced."""
        for name, expected in self._expected.items():
            if (found := self._digests[name].hexdigest()) != expected:
                return wrong_hash(self._url, expected, found, name)
        return None


def wrong_size(url: str, expected: int, found: int) -> IntegrityError:
    """Return the error for a file that is longer or shorter than announced."""
    return IntegrityError("checking the size of", url, f"expected {expected:,} bytes, found {found:,} or more", _REPORT)


def _too_large(url: str, found: int) -> UpstreamError:
    problem = f"expected at most {_MOST_FILE:,} bytes, found {found:,} announced"
    return UpstreamError("downloading", url, problem, "Report it to whoever runs the index.")


def part_of(target: Path, sha256: str) -> Path:
    """Where a file stands until it is whole, beside its place."""
    return target.with_name(f".{target.name[:150]}.{sha256[:16]}.part")


def _key_of(file: File) -> str:
    """Return what tells a file from another in the name of what has arrived of it; without hashes, where it is."""
    return (
        file.hashes.get("sha256") or hashlib.sha256(repr((file.url, sorted(file.hashes.items()))).encode()).hexdigest()
    )


class Download:
    """One file on its way to its place.

    Until it is whole and checked it stands beside its place under a hidden name that ends in ``.part``, made of its
    name and hash; its strong ETag, if there is one, stands beside that: so a killed run's bytes are found again.

    :param target: its place.
    :param progress: called with each number of bytes that came; negative when a transfer begins again.
    """

    def __init__(self, asks: Asks, file: File, target: Path, progress: Callable[[int], None]) -> None:
        self._asks = asks
        self._file = file
        self._target = target
        self._progress = progress
        self._part = part_of(target, _key_of(file))
        self._etag_path = self._part.with_name(f"{self._part.name}.etag")
        self._etag: str | None = None
        self._digests = Digests(file)
        self._done = 0
        self._decode = False

    def run(self) -> str:
        """Fetch it, and return its SHA-256.

        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what was announced.
        """
        have_folder(self._target.parent)
        try:
            clear_of_folders(self._part)
            with naming(self._target), self._part.open("r+b" if self._part.exists() else "w+b") as stream:
                self._take_up(stream)
                if not (self._digests.can_tell and self._is_right()):
                    self._asks.retry(lambda: self._attempt(stream), "downloading", self._file.url)
                stream.flush()
                os.fsync(stream.fileno())
            self._part.replace(self._target)
        except BaseException:
            if self._etag is None:  # nothing that could be resumed
                self._part.unlink(missing_ok=True)
                self._etag_path.unlink(missing_ok=True)
            raise
        self._etag_path.unlink(missing_ok=True)
        return self._digests.sha256

    def _take_up(self, stream: IO[bytes]) -> None:
        """Count what a killed run left, if it left the ETag that the server can compare."""
        try:
            etag = self._etag_path.read_text("utf-8")
        except (OSError, ValueError):
            etag = ""
        if not etag.startswith('"') or not etag.isprintable():
            self._begin(stream, None)
            return
        self._etag = etag
        while chunk := stream.read(CHUNK):
            self._count(chunk)

    def _attempt(self, stream: IO[bytes]) -> None:
        begun_at = self._done
        with self._rest() as answer:
            if answer.part is None:
                begun_at = 0
                self._begin(stream, None if answer.is_coded else answer.strong_etag)
            self._receive(answer, stream)
        if not self._is_right():
            raise self._judge(answer, stream, resumed=begun_at > 0)

    def _rest(self) -> Answer:
        """Ask for what is missing, or for everything if there is nothing to resume or the server does not resume it."""
        url = self._file.url
        if self._done and self._etag:
            headers = {**IDENTITY, "Range": f"bytes={self._done}-", "If-Range": self._etag}
            answer = self._asks.ask(url, headers, "downloading", (200, 206, 416))
            if answer.status == 200 or (
                answer.part is not None and answer.part[0] == self._done and not answer.is_coded
            ):
                return answer
            answer.close()
        return self._asks.ask(url, IDENTITY, "downloading")

    def _receive(self, answer: Answer, stream: IO[bytes]) -> None:
        """Add the body, as long as it can still be the file's."""
        size, exact = self._file.size, not (answer.is_coded or self._decode)
        if max(size or 0, answer.length or 0) > _MOST_FILE:
            raise self._forget(stream, _too_large(self._file.url, max(size or 0, answer.length or 0)))
        if size is not None and exact and answer.length not in (None, size - self._done):
            raise self._forget(stream, wrong_size(self._file.url, size, self._done + (answer.length or 0)))
        if size is None and not self._digests.can_tell and not answer.tells_its_end:
            problem = (
                "expected a length, since no hash or size is announced that would tell if all of it came; found none"
            )
            raise UpstreamError("downloading", self._file.url, problem, "Report it to whoever runs the index.")
        limit = _MOST_FILE if size is None else size if exact else 2 * size + CHUNK
        for chunk in answer.chunks(decode=self._decode):
            if self._done + len(chunk) > limit:
                raise self._forget(stream, wrong_size(self._file.url, limit, self._done + len(chunk)))
            stream.write(chunk)
            self._count(chunk)

    def _is_right(self) -> bool:
        return self._digests.wrong() is None and self._file.size in (None, self._done)

    def _judge(self, answer: Answer, stream: IO[bytes], *, resumed: bool) -> Exception:
        """Forget the wrong bytes and return what to make of them."""
        error = self._digests.wrong() if self._file.size in (None, self._done) or answer.is_coded else None
        error = error or wrong_size(self._file.url, self._file.size or 0, self._done)
        self._forget(stream, error)
        if answer.is_coded and not self._decode:
            # The server compresses what was asked for as it is: the coding is undone, and the hash decides.
            self._decode = True
            return BrokenBodyError("compressed, though it was asked for as it is")
        return BrokenBodyError("what was resumed does not fit") if resumed else error

    def _begin(self, stream: IO[bytes], etag: str | None) -> None:
        """Start from the first byte, under the ETag of the answer that brings it."""
        stream.seek(0)
        stream.truncate()
        if self._done:
            self._progress(-self._done)
        self._done, self._digests, self._etag = 0, Digests(self._file), etag
        if etag is None:
            self._etag_path.unlink(missing_ok=True)
        else:
            self._etag_path.write_text(etag, "utf-8")

    def _forget(self, stream: IO[bytes], error: Exception) -> Exception:
        self._begin(stream, None)
        return error

    def _count(self, chunk: bytes) -> None:
        self._digests.update(chunk)
        self._done += len(chunk)
        self._progress(len(chunk))


class RemoteFile(io.RawIOBase):
    """A remote file that is read by ranges, from its end; the whole of it where the server knows no ranges.

    What was fetched is kept, so that reading again costs nothing.

    :param without_ranges: the hosts known to serve no ranges; added to when one is found.
    """

    def __init__(self, asks: Asks, file: File, without_ranges: set[str], keep: Path | None = None) -> None:
        super().__init__()
        self._without_ranges = without_ranges
        self._keep_at = keep
        self._host = urlsplit(file.url).netloc
        self._asks = asks
        self._file = file
        self._size = file.size
        self._etag: str | None = None
        self._position = 0
        self._pieces: dict[int, bytes] = {}  # by first byte; they do not overlap
        self._whole: IO[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def readable(self) -> bool:
        """As the base class."""
        return True

    def seekable(self) -> bool:
        """As the base class."""
        return True

    def close(self) -> None:
        """As the base class."""
        if self._whole is not None:
            self._whole.close()
        if self._folder is not None:
            self._folder.cleanup()
        super().close()

    def tell(self) -> int:
        """As the base class."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As the base class."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        position = offset + (self._length() if start is None else start)
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """As the base class; fills the buffer unless the file ends.

        :raises UpstreamError: it can't be had, or changes while it is read.
        :raises IntegrityError: it is not of the size that was announced.
        """
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._length() - self._position)]
        done = 0
        while done < len(view):
            found = self._at(self._position + done, len(view) - done)
            view[done : done + len(found)] = found
            done += len(found)
        self._position += done
        return done

    def _length(self) -> int:
        """Return the size; nearly always the first question, so the end of the file is fetched with it."""
        if self._size is None or not (self._pieces or self._whole):
            first = None if self._size is None else max(0, self._size - _TAIL)
            self._fetch(first, (self._size or 0) - 1)
        return self._size or 0

    def _at(self, position: int, most: int) -> memoryview:
        """Return up to ``most`` bytes from ``position`` on, at least one."""
        if self._whole is None and not self._holds(position):
            following = min((start for start in self._pieces if start > position), default=self._length())
            self._fetch(position, min(position + max(most, _AHEAD), following) - 1)
        if self._whole is not None:
            self._whole.seek(position)
            return memoryview(self._whole.read(most))
        start = max(start for start in self._pieces if start <= position)
        return memoryview(self._pieces[start])[position - start :][:most]

    def _holds(self, position: int) -> bool:
        return any(start <= position < start + len(piece) for start, piece in self._pieces.items())

    def _fetch(self, first: int | None, last: int) -> None:
        """Get the bytes ``first`` to ``last``; where the size is not known, the end of the file (``first`` is None)."""
        if self._host not in self._without_ranges:
            self._asks.retry(lambda: self._attempt(first, last), "reading a part of", self._file.url)
        if not self._pieces:
            self._fetch_whole()

    def _attempt(self, first: int | None, last: int) -> None:
        wanted = f"bytes=-{_TAIL}" if first is None else f"bytes={first}-{last}"
        headers = {**IDENTITY, "Range": wanted}
        with self._asks.ask(self._file.url, headers, "reading a part of", (200, 206, 416, 501)) as answer:
            part = answer.part
            asked_for = part is not None and (part[1] == part[2] - 1 if first is None else part[:2] == (first, last))
            if part is not None and asked_for and not answer.is_coded:
                self._keep(answer, *part)
            elif self._pieces:
                raise BrokenBodyError(f"expected {wanted}, found status {answer.status}")
            elif answer.status == 501 or (answer.status == 200 and (answer.length or 0) > _TAIL):
                # Of a short file some servers send the whole, though they know ranges.
                self._without_ranges.add(self._host)

    def _keep(self, answer: Answer, first: int, last: int, length: int) -> None:
        if self._size is not None and length != self._size:
            raise wrong_size(self._file.url, self._size, length)
        if self._pieces and answer.strong_etag != self._etag:
            raise UpstreamError("reading a part of", self._file.url, "it changed while it was read", "Run again.")
        body = answer.read(max(last - first + 1, 0))
        if not body or len(body) != last - first + 1:
            raise BrokenBodyError(f"expected {last - first + 1} bytes of it, found {len(body)}")
        self._size, self._etag = length, answer.strong_etag
        self._pieces[first] = body

    def _fetch_whole(self) -> None:
        """Fetch all of it, checked, to where it is to be kept, else to a file that goes when this one is closed."""
        path = self._keep_at
        if path is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mirror-tasks-")
            path = Path(self._folder.name, "wheel")
        Download(self._asks, self._file, path, lambda _: None).run()
        self._size, self._whole = path.stat().st_size, path.open("rb")
