"""The way to the indexes and their files: pages, metadata and files are asked for, redirects followed, failures repeated.

Sockets are opened in :mod:`mirror_tasks.index.connections` alone. No message and no page shows credentials.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TypeVar, cast
from urllib.parse import urlsplit

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, ReadTimeoutError

from mirror_tasks.config.bindings import binding_of
from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.connections import Connections
from mirror_tasks.index.failures import ComeBack, may_pass, refusal, told, wait_after, with_missing_named
from mirror_tasks.index.local_files import copy_checked, opened, read_at_most
from mirror_tasks.index.local_index import check_unlisted, local_page
from mirror_tasks.index.origins import Origin, origin_of, redirected
from mirror_tasks.index.pace import Pace, SlowError
from mirror_tasks.index.pages import HTML_TYPES, JSON_TYPE
from mirror_tasks.index.pip_settings import PipSettings, are_needed_for, default_index
from mirror_tasks.index.project import File
from mirror_tasks.index.served_page import (
    Page,
    Seen,
    absent,
    if_still_of,
    unless_unchanged,
    vanished,
)
from mirror_tasks.index.transfers import IDENTITY, Answer, BrokenBodyError, Download, RemoteFile, wrong_hash
from mirror_tasks.text import without_credentials

_T = TypeVar("_T")

PACE = Pace()
"""How slow the answers of all indexes may be, where nothing else is said."""

_PAGE_HEADERS = {
    "Accept": f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1",
    "Accept-Encoding": "gzip",
    "Cache-Control": "max-age=0",
}
_DOCUMENT_HEADERS = {**_PAGE_HEADERS, "Accept": "application/json"}
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
MOST_PAGE = 64 << 20  # bytes; the largest page known has about 20 MiB
_NOT_HERE = frozenset({404, 410})  # of a page: RFC 9110, 15.5.11: 410 is a 404 that will stay


@dataclass(frozen=True, slots=True)
class Route:
    """What another process has to know to take the same route to the same indexes, their credentials among it.

    :param indexes: as given.
    :param settings: pip's, found out once; None where all indexes are on this machine and need none.
    """

    indexes: tuple[Index, ...]
    settings: PipSettings | None
    connections: int
    timeout: tuple[float, float]
    retries: int
    own: tuple[str, ...] = field(default=(), repr=False)


class Upstream:
    """The indexes to mirror from, and the hosts of their files; may be shared by threads.

    Nothing is opened or asked before the first request.

    :param indexes: in order, each a base URL or that with what is said of it: of those that may serve a project
        (:mod:`mirror_tasks.config.bindings`) the first that has it serves it, never a merge. None stands for
        :func:`mirror_tasks.index.pip_settings.default_index`. ``file:`` URLs are read as pip reads them.
    :param connections: how many to keep open to one host: the number of threads.
    :param timeout: seconds to connect, and seconds without a byte.
    :param retries: how often a request is repeated after a failure that may pass.
    :param sleep: waits the given seconds; by default a wait that :meth:`close` ends.
    :param settings: how pip reaches an index from here; asked of pip if not given.
    :param pace: how slow answers may be.
    :param own: the URLs of files that the user named itself, and which no index lists: their credentials go to them alone.
        Of files of this machine the URL of their folder, with a slash at its end.
    """

    def __init__(
        self,
        indexes: Sequence[str | Index] | None,
        *,
        own: Iterable[str] = (),
        connections: int = 32,
        timeout: tuple[float, float] = (10, 60),
        retries: int = 5,
        sleep: Callable[[float], object] | None = None,
        settings: PipSettings | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._given = indexes
        self._own = tuple(own)
        self._pace = pace or PACE
        self._retries = retries
        self._settings = settings
        self._closed = threading.Event()
        self._sleep = self._closed.wait if sleep is None else sleep
        self._lock = threading.Lock()
        self._known_indexes: tuple[Index, ...] = ()
        self._pools: Connections | None = None
        self._pool_settings = (connections, timeout)
        self._unreachable: set[Origin] = set()
        self._without_ranges: set[str] = set()

    @classmethod
    def by_route(cls, route: Route) -> Upstream:
        """Return one that takes the route of another."""
        return cls(
            route.indexes,
            own=route.own,
            connections=route.connections,
            timeout=route.timeout,
            retries=route.retries,
            settings=route.settings,
        )

    @cached_property
    def route(self) -> Route:
        """What another process needs to take the same route.

        :raises UpstreamError: there is no index, or it is none.
        """
        connections, timeout = self._pool_settings
        indexes = self._indexes()
        settings = self._open_pools().settings if are_needed_for((*self.indexes, *self._own)) else self._settings
        return Route(indexes, settings, connections, timeout, self._retries, self._own)

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def bind(self, indexes: Sequence[Index] | None) -> None:
        """Take the same indexes with what else is bound to each, before the first page is asked for."""
        with self._lock:
            self._given, self._known_indexes = indexes, ()
        self.__dict__.pop("route", None)

    def close(self) -> None:
        """Close the connections; what other threads still ask for is an UpstreamError."""
        self._closed.set()
        with self._lock:
            if self._pools is not None:
                self._pools.close()

    @property
    def indexes(self) -> tuple[str, ...]:
        """The base URLs, each ending in a slash, without their credentials."""
        return tuple(index.base for index in self._indexes())

    def _indexes(self) -> tuple[Index, ...]:
        with self._lock:
            if not self._known_indexes:
                given = [default_index()] if self._given is None else self._given
                self._known_indexes = tuple(map(_checked_index, given))
            return self._known_indexes

    def page(self, name: str, known: Seen | None, further: str = "") -> Page | None:
        """Return the page of the project ``name`` (normalised); None if it is the known one still.

        :param further: the base URL of the index to ask which adds files to the project; empty: the one that serves it.
        :raises UpstreamError: it can't be had; its status is 404 if no index that may serve the project has it, or if the
            index that had it has not: the next one's may be somebody else's project.
        """
        binding = binding_of(name, self._indexes())
        if further:
            adding = tuple(index for index in binding.further if index.base == further)
            binding = replace(binding, indexes=adding, by_lock=True)
        remembered = if_still_of(binding, known)
        for index in binding.indexes:
            page = self._page_on(index, name, remembered, stays=binding.pattern is not None)
            if isinstance(page, Page):
                return unless_unchanged(replace(page, index=index.base), remembered)
            if page is not None:
                return None
            if remembered is not None and remembered.is_of(index):
                raise vanished(name, index)
        raise absent(name, binding, known)

    def _page_on(self, index: Index, name: str, known: Seen | None, *, stays: bool) -> Page | Seen | None:
        """Return the page that one index has; what is known of it, if it did not change; None where it has none.

        :param stays: the project is this index's alone, so that no redirect may lead to another server.
        """
        url = f"{index.base}{name}/"
        if not self._is_file(url):
            return self._page(url, known, index.missing, stays=stays)
        page = local_page(url, MOST_PAGE)
        if page is None and not (known is not None and known.is_of(index)):
            check_unlisted(index.base, name)
        return page

    def document(self, url: str, known: Seen | None, doing: str) -> Page | None:
        """Return a document in JSON beside an index; None if it is the known one still.

        :param known: what is remembered of it; only its URL and its validators count.
        :raises UpstreamError: it can't be had; its status is 404 if there is none.
        """

        def attempt() -> Page | None:
            with self.ask(url, _DOCUMENT_HEADERS, doing, (200, 304) if known else (200,), known) as answer:
                if answer.status == 304:
                    return None
                return _page_of(answer)

        return self.retry(attempt, doing, url, most_silence=self._pace.head)

    def read(self, url: str, *, limit: int, sha256: str | None = None) -> bytes:
        """Return what is at ``url``, such as a core metadata sidecar.

        :param limit: bytes.
        :raises UpstreamError: it can't be had, or is larger than ``limit``.
        :raises IntegrityError: its hash is not ``sha256``.
        """
        found = ""
        for decode in (False, True):
            body, is_coded = self._body(url, limit, decode=decode)
            found = hashlib.sha256(body).hexdigest()
            if found == sha256 or (sha256 is None and is_coded <= decode):
                return body
            if not is_coded:
                break  # else: compressed, though it was asked for as it is; undone, the hash decides again
        raise wrong_hash(url, sha256 or "", found)

    def wheel(self, file: File, keep: Path | None = None) -> BinaryIO:
        """Return a seekable reader of a wheel, to be closed, that fetches little more than what is read.

        :param keep: where the wheel is kept if the server gives no ranges, so that all of it had to be fetched.

        Its reads raise UpstreamError and IntegrityError as :meth:`download` does.
        """
        if self._is_file(file.url):
            return opened(file.url)
        return cast(BinaryIO, RemoteFile(self, file, self._without_ranges, keep))

    def download(self, file: File, target: Path, progress: Callable[[int], None]) -> str:
        """Bring ``file`` to ``target``, whole and checked or not at all, and return its SHA-256.

        :param progress: called with each number of bytes that came; negative when a transfer begins again.
        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what was announced.
        """
        if self._is_file(file.url):
            return copy_checked(file, target, progress)
        return Download(self, file, target, progress).run()

    # --- Pages and small files

    def _page(self, url: str, known: Seen | None, missing: frozenset[int], *, stays: bool) -> Page | Seen | None:
        """Return the page, what is known of it if it did not change, or None where there is none.

        :param missing: statuses that say so, besides those which always do.
        """
        doing = "fetching the project page"
        not_here = _NOT_HERE | missing

        def attempt() -> Page | Seen | None:
            with self.ask(url, _PAGE_HEADERS, doing, (200, 304, *not_here), known, stays=stays) as answer:
                if answer.status == 304 and known is not None:
                    return known
                return None if answer.status in not_here else _page_in(answer)

        try:
            return self.retry(attempt, doing, url, most_silence=self._pace.head)
        except UpstreamError as error:
            raise with_missing_named(error) from error

    def _body(self, url: str, limit: int, *, decode: bool) -> tuple[bytes, bool]:
        if self._is_file(url):
            with opened(url) as stream:
                return read_at_most(stream, limit, url), False

        def attempt() -> tuple[bytes, bool]:
            with self.ask(url, IDENTITY, "fetching") as answer:
                return answer.read(limit, decode=decode), answer.is_coded

        return self.retry(attempt, "fetching", url, most_silence=self._pace.head)

    def _is_file(self, url: str) -> bool:
        """Say if a URL is of a file of this machine. Only an index of this machine may name one, and the user.

        :raises UpstreamError: a page of another index names one.
        """
        if urlsplit(url).scheme != "file":
            return False
        if any(own.endswith("/") and url.startswith(own) for own in self._own):
            return True
        if not any(index.startswith("file:") for index in self.indexes):
            problem = "expected http or https, found a file of this machine"
            raise UpstreamError("fetching", url, problem, "Report it to whoever runs the index.")
        return True

    # --- Requests

    def retry(self, attempt: Callable[[], _T], doing: str, url: str, *, most_silence: float = float("inf")) -> _T:
        """Return what ``attempt`` returns, trying again after failures that may pass, with growing waits between.

        A server that no attempt could reach is asked just once from then on, until it answers: a run against a dead
        index ends soon.

        :param most_silence: seconds of silence, over all attempts, after which it is not tried again.
        :raises UpstreamError: it does not pass.
        """
        origin = origin_of(url)
        retries = 0 if origin in self._unreachable else self._retries
        silence = 0.0
        for count in range(retries + 1):
            began = self._pace.clock()
            try:
                result = attempt()
            except (ComeBack, HTTPError, BrokenBodyError, SlowError, OSError) as error:
                silence += self._pace.clock() - began if isinstance(error, (ReadTimeoutError, TimeoutError)) else 0.0
                if not may_pass(error) or count == retries or silence >= most_silence or self._closed.is_set():
                    if isinstance(error, (NewConnectionError, ConnectTimeoutError, ProxyError)):
                        self._unreachable.add(origin)
                    raise told(error, doing, url, count + 1) from error
                self._sleep(wait_after(count, error))
            else:
                self._unreachable.discard(origin)
                return result
        raise AssertionError("the last attempt returns or raises")

    def ask(
        self,
        url: str,
        headers: Mapping[str, str],
        doing: str,
        passed: Sequence[int] = (200,),
        known: Seen | None = None,
        *,
        stays: bool = False,
    ) -> Answer:
        """Ask once for ``url`` and follow its redirects; the body is still to be read.

        :param passed: the statuses that the caller knows what to do with.
        :param known: if it is the page that answers, it is asked for only if it changed.
        :param stays: a redirect to another server is refused.
        :raises UpstreamError: the status is another one.
        """
        asked = url
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._send(asked, {**headers, **(known.conditions if known and known.url == asked else {})})
            location = answer.headers.get("Location")
            if answer.status in passed:
                return answer
            answer.close()
            if answer.status not in _MOVED or not location:
                raise refusal(answer, doing)
            asked = redirected(asked, location, doing, stays=stays)
        problem = f"expected at most {_MOST_REDIRECTS} redirects, found more"
        raise UpstreamError(doing, url, problem, "Check the index setting.")

    def _send(self, url: str, headers: Mapping[str, str]) -> Answer:
        if self._closed.is_set():
            raise UpstreamError("fetching", url, "the run was ended before", "Run again: nothing finished is lost.")
        return Answer(url, self._open_pools().send(url, headers), self._pace)

    def _open_pools(self) -> Connections:
        if self._pools is None:
            indexes = self._indexes()
            with self._lock:
                if self._pools is None:
                    self._pools = Connections(indexes, self._own, self._settings, *self._pool_settings, self._pace)
        return self._pools


def _checked_index(given: str | Index) -> Index:
    index = Index(given) if isinstance(given, str) else given
    scheme, host, _ = origin_of(index.url)
    if scheme == "file" or (scheme in ("http", "https") and host):
        return replace(index, url=_with_slash(index.url))
    shown, problem = without_credentials(index.url), "expected a URL with http, https or file, found another"
    raise UpstreamError("looking at the index", shown, problem, "Check the index setting.")


def _with_slash(url: str) -> str:
    return url.rstrip("/") + "/"


def _page_in(answer: Answer) -> Page:
    """Return the project page that an answer is.

    :raises UpstreamError: it is something else.
    """
    content_type = answer.headers.get("Content-Type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != JSON_TYPE and kind not in HTML_TYPES:
        problem = f"expected a page in JSON or HTML, found {kind or 'no content type'!r:.100}"
        advice = "Check that the index setting names a simple index."
        raise UpstreamError("fetching the project page", answer.url, problem, advice)
    return _page_of(answer)


def _page_of(answer: Answer) -> Page:
    content_type, body = answer.headers.get("Content-Type", ""), answer.read(MOST_PAGE, decode=True)
    return Page(answer.url, content_type, answer.headers.get("ETag"), answer.headers.get("Last-Modified"), body)
