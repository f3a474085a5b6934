"""The way to the indexes and their files: the only module that opens a socket.

Requests go through urllib3's pools with one TLS context. Measured: ``requests`` reads the certificate bundle again for
every new connection, 24 ms of processor time each where a run opens dozens, and takes 0.8 ms a request against 0.4 ms.
So only its reading of netrc, proxies and certificate settings is used.

Credentials and client certificates (:mod:`mirror_tasks.index.logins`) go to their index's own origin only; no message and
no page shows them.
"""

from __future__ import annotations

import email.utils
import hashlib
import re
import shutil
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    LocationValueError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from mirror_tasks.config.bindings import Binding, binding_of
from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.files import replacing
from mirror_tasks.index.certificates import ADVICE as CERTIFICATES
from mirror_tasks.index.certificates import tls_context
from mirror_tasks.index.local_index import unlisted
from mirror_tasks.index.logins import Keyring, Login, login_for, login_to, login_to_file
from mirror_tasks.index.pace import Pace, SlowError, keep_pace
from mirror_tasks.index.pages import HTML_TYPES, JSON_TYPE
from mirror_tasks.index.pip_settings import PipSettings, are_needed_for, default_index, is_near, pip_settings
from mirror_tasks.index.project import File
from mirror_tasks.index.transfers import (
    CHUNK,
    IDENTITY,
    Answer,
    BrokenBodyError,
    Digests,
    Download,
    RemoteFile,
    wrong_hash,
    wrong_size,
)
from mirror_tasks.text import redact, without_credentials

_T = TypeVar("_T")

PACE = Pace()
"""How slow the answers of all indexes may be, where nothing else is said."""
_Origin = tuple[str, str, int]  # scheme, host and port, as RFC 6454 has it

_PAGE_HEADERS = {
    "Accept": f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1",
    "Accept-Encoding": "gzip",
    "Cache-Control": "max-age=0",
}
_DOCUMENT_HEADERS = {**_PAGE_HEADERS, "Accept": "application/json"}
_COME_BACK = frozenset({429, 500, 502, 503, 504, 520, 527})
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
LONGEST_WAIT = 60.0  # seconds; who asks for more is asked again earlier, and given up after the last attempt
MOST_PAGE = 64 << 20  # bytes; the largest page known has about 20 MiB
_AGAIN = "Nothing finished is lost: run again when it is well."
_GONE = "It may have been removed upstream: run again to read its project's page anew."
_SLOW = "It was left, so that the rest goes on: run again; if it stays so, tell whoever runs the index or the proxy."
_ADVICE = {
    401: "Put the credentials into the index's URL, into netrc, or with a user in the URL into the keyring, as for pip.",
    403: "Check that the credentials in the index's URL or in netrc may read it.",
    404: _GONE,
    407: "Check the proxy's credentials.",
    410: _GONE,
    451: "It may not be had from here for legal reasons: leave it out, or name another index.",
}
_UNLISTED = (
    "As for pip, an index on this machine is a folder with a folder for each project, in which index.html links to its "
    "files: write one, or take the folder out of the index setting. No other index is asked for this name."
)
_STAYS = "What was mirrored stays. If it was meant to go, remove its page from the state folder."
_LED_AWAY = (
    "An index that hands on what it does not have lets whoever publishes there take the name over: have it answer 404 instead "
    "(pypiserver: --disable-fallback). If the index moved, write its new URL into mirror.yaml."
)
_REFUSED = "It will be refused again: check the index setting, or report it to whoever runs the index."
_NOT_HERE = frozenset({404, 410})  # of a page: RFC 9110, 15.5.11: 410 is a 404 that will stay


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of a page, to ask for it only if it changed.

    :param url: the page's own, after redirects, without credentials.
    :param etag: the validator to ask again with, or None; ``last_modified`` likewise.
    :param sha256: of its body, for an index without validators.
    :param names_files: it seemed to list a file.
    :param index: the base URL of the index that it is of, without credentials.
    """

    url: str
    etag: str | None
    last_modified: str | None
    sha256: str
    names_files: bool
    index: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page as the index served it.

    :param url: the page's own, after redirects, without credentials: what its relative links are based on.
    :param body: as it was before any coding for the transfer.
    :param index: the base URL of the index that was asked, without credentials.
    """

    url: str
    content_type: str
    etag: str | None
    last_modified: str | None
    body: bytes
    index: str = ""

    @property
    def seen(self) -> Seen:
        """What to remember of it."""
        file = rb'"filename"' if self.content_type.startswith(JSON_TYPE) else rb"<a"
        names_files = re.search(file, self.body, re.IGNORECASE) is not None
        digest = hashlib.sha256(self.content_type.encode() + b"\n")
        digest.update(self.body)
        return Seen(self.url, self.etag, self.last_modified, digest.hexdigest(), names_files, self.index)


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
        self._pools: _ConnectionPools | None = None
        self._pool_settings = (connections, timeout)
        self._unreachable: set[_Origin] = set()
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
        remembered = _if_still_of(binding, known)
        for index in binding.indexes:
            page = self._page_on(index, name, remembered, stays=binding.pattern is not None)
            if isinstance(page, Page):
                return _unless_unchanged(replace(page, index=index.base), remembered)
            if page is not None:
                return None
            if remembered is not None and _is_of(remembered, index):
                raise _vanished(name, index)
        raise _absent(name, binding, known)

    def _page_on(self, index: Index, name: str, known: Seen | None, *, stays: bool) -> Page | Seen | None:
        """Return the page that one index has; what is known of it, if it did not change; None where it has none.

        :param stays: the project is this index's alone, so that no redirect may lead to another server.
        """
        url = f"{index.base}{name}/"
        if not self._is_file(url):
            return self._page(url, known, index.missing, stays=stays)
        page = self._local_page(url)
        if page is None and not (known is not None and _is_of(known, index)):
            self._check_unlisted(index.base, name)
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
            return _local_open(file.url)
        return cast(BinaryIO, RemoteFile(self, file, self._without_ranges, keep))

    def download(self, file: File, target: Path, progress: Callable[[int], None]) -> str:
        """Bring ``file`` to ``target``, whole and checked or not at all, and return its SHA-256.

        :param progress: called with each number of bytes that came; negative when a transfer begins again.
        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what was announced.
        """
        if self._is_file(file.url):
            return _copy(file, target, progress)
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
                return None if answer.status in not_here else _read_page(answer)

        try:
            return self.retry(attempt, doing, url, most_silence=self._pace.head)
        except UpstreamError as error:
            raise _with_missing_named(error) from error

    @staticmethod
    def _local_page(url: str) -> Page | None:
        """As pip reads an index of this machine: a folder for each project, with an ``index.html``."""
        address = urljoin(url, "index.html")
        try:
            with _local_path(address).open("rb") as stream:
                return Page(address, "text/html", None, None, _read_at_most(stream, MOST_PAGE, address))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(address, error) from error

    @staticmethod
    def _check_unlisted(base: str, name: str) -> None:
        """Refuse to ask the next index for a project of which a folder has something and no page."""
        try:
            problem = unlisted(_local_path(base), name)
        except OSError as error:
            raise _unreadable(base, error) from error
        if problem is not None:
            raise UpstreamError("looking for the page of", f"{name} in {base}", problem, _UNLISTED)

    def _body(self, url: str, limit: int, *, decode: bool) -> tuple[bytes, bool]:
        if self._is_file(url):
            with _local_open(url) as stream:
                return _read_at_most(stream, limit, url), False

        def attempt() -> tuple[bytes, bool]:
            with self.ask(url, IDENTITY, "fetching") as answer:
                return answer.read(limit, decode=decode), answer.is_coded

        return self.retry(attempt, "fetching", url, most_silence=self._pace.head)

    def _is_file(self, url: str) -> bool:
        """Files of this machine are read for an index that is one, or if the user named them: no other page may name any."""
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

        Who could not be reached at all after all attempts is asked just once from then on, until it answers: a run
        against a dead index ends soon.

        :param most_silence: seconds of silence, over all attempts, after which it is not tried again.
        :raises UpstreamError: it does not pass.
        """
        origin = _origin(url)
        retries = 0 if origin in self._unreachable else self._retries
        silence = 0.0
        for count in range(retries + 1):
            began = self._pace.clock()
            try:
                result = attempt()
            except (_ComeBack, HTTPError, BrokenBodyError, SlowError, OSError) as error:
                silence += self._pace.clock() - began if isinstance(error, (ReadTimeoutError, TimeoutError)) else 0.0
                if not _may_pass(error) or count == retries or silence >= most_silence or self._closed.is_set():
                    if isinstance(error, (NewConnectionError, ConnectTimeoutError, ProxyError)):
                        self._unreachable.add(origin)
                    raise _told(error, doing, url, count + 1) from error
                self._sleep(_wait(count, error))
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
            answer = self._send(asked, {**headers, **(_conditions(known) if known and known.url == asked else {})})
            location = answer.headers.get("Location")
            if answer.status in passed:
                return answer
            answer.close()
            if answer.status not in _MOVED or not location:
                raise _refusal(answer, doing)
            asked = _redirected(asked, location, doing, stays=stays)
        problem = f"expected at most {_MOST_REDIRECTS} redirects, found more"
        raise UpstreamError(doing, url, problem, "Check the index setting.")

    def _send(self, url: str, headers: Mapping[str, str]) -> Answer:
        if self._closed.is_set():
            raise UpstreamError("fetching", url, "the run was ended before", "Run again: nothing finished is lost.")
        return Answer(url, self._open_pools().send(url, headers), self._pace)

    def _open_pools(self) -> _ConnectionPools:
        if self._pools is None:
            indexes = self._indexes()
            with self._lock:
                if self._pools is None:
                    self._pools = _ConnectionPools(indexes, self._own, self._settings, *self._pool_settings, self._pace)
        return self._pools


class _ConnectionPools:
    """The connections to each origin, and what has to be known of it: proxy, certificates, credentials.

    All of that is found out once for each origin; ``requests`` would do it for each request. It is slow to import, and
    only a run that needs the network does it.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        own: Sequence[str],
        settings: PipSettings | None,
        connections: int,
        timeout: tuple[float, float],
        pace: Pace,
    ) -> None:
        self._given = settings
        self._pace = pace
        self._indexes = indexes
        self._own = own
        self._connections = connections
        self._timeout = timeout
        self._keyring = Keyring()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._pools: dict[tuple[str | None, bool, bool, str | None], urllib3.PoolManager] = {}
        self._by_origin: dict[tuple[_Origin, str], urllib3.PoolManager] = {}
        self._logins_by_origin: dict[_Origin, Sequence[Login]] = {}

    @cached_property
    def settings(self) -> PipSettings:
        """How pip reaches what is not on this machine."""
        return self._given or pip_settings()

    def send(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for ``url``: one request, no redirect, no retry, but with what the keyring has for who is refused."""
        origin = _origin(url)
        login = login_for(url, self._logins(origin))
        sent = self._keyring.known(login) or (login.authorization if login else None)
        answer = self._request(url, origin, login, {**headers, **_authorization(sent)})
        if answer.status != 401 or login is None:
            return answer
        found = self._keyring.ask(login, lambda: self._settings_for(url).keyring_provider)
        if found in (None, sent):
            return answer
        answer.close()
        return self._request(url, origin, login, {**headers, **_authorization(found)})

    def _request(
        self, url: str, origin: _Origin, login: Login | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        # A redirect's or a page's URL may hold credentials: they are not sent, as they are not the user's.
        pool = self._pool(url, origin, login.client_cert if login else "")
        headers = {"User-Agent": "mirror-tasks", **headers}
        return pool.request("GET", url, headers=headers, preload_content=False, redirect=False, retries=False)

    def close(self) -> None:
        with self._lock:
            for pool in self._pools.values():
                pool.clear()

    def _logins(self, origin: _Origin) -> Sequence[Login]:
        """Return what each index and own file of this origin is logged in to with; no other origin gets any of it."""
        known = self._logins_by_origin.get(origin)
        if known is None:
            to_indexes = [login_to(index) for index in self._indexes if _origin(index.url) == origin]
            known = (*to_indexes, *(login_to_file(url) for url in self._own if _origin(url) == origin))
            self._logins_by_origin[origin] = known  # another thread's are equal
        return known

    def _settings_for(self, url: str) -> PipSettings:
        return PipSettings() if is_near(url) else self.settings

    def _pool(self, url: str, origin: _Origin, client_cert: str) -> urllib3.PoolManager:
        """Return the connections to an origin; those with a certificate of an index are apart from all others."""
        known = self._by_origin.get((origin, client_cert))
        if known is None:
            with self._lock:
                known = self._by_origin[origin, client_cert] = self._shared_pool(url, origin, client_cert)
        return known

    def _shared_pool(self, url: str, origin: _Origin, client_cert: str) -> urllib3.PoolManager:
        settings, near = self._settings_for(url), is_near(url)
        if client_cert:
            settings = replace(settings, client_cert=client_cert)
        proxy = self._proxy(url, settings)
        trusted = bool({origin[1], f"{origin[1]}:{origin[2]}"} & settings.trusted_hosts)
        key = (proxy, trusted, near, settings.client_cert)
        if key not in self._pools:
            self._pools[key] = self._new_pool(proxy, settings, trusted=trusted, near=near)
        return self._pools[key]

    @staticmethod
    def _proxy(url: str, settings: PipSettings) -> str | None:
        from requests.utils import get_environ_proxies, select_proxy

        named = select_proxy(url, get_environ_proxies(url)) if settings.uses_environment else None
        found = settings.proxy or named
        return None if not found else str(found) if "://" in found else f"http://{found}"

    def _new_pool(self, proxy: str | None, settings: PipSettings, *, trusted: bool, near: bool) -> urllib3.PoolManager:
        connect, read = self._timeout
        timeout = urllib3.Timeout(connect=connect, read=settings.timeout or read)
        options: dict[str, Any] = {"num_pools": 64, "maxsize": self._connections, "timeout": timeout}
        if trusted:  # as for pip, whose setting it is
            urllib3.disable_warnings(InsecureRequestWarning)
            # With the key named apart, urllib3 refuses one that would have OpenSSL ask the terminal for its passphrase.
            options.update(cert_reqs="CERT_NONE", cert_file=settings.client_cert, key_file=settings.client_cert)
        elif not near:
            options["ssl_context"] = self._tls(settings)
        pool = urllib3.PoolManager(**options) if proxy is None else self._proxied(proxy, options, near=near)
        # Who lets pip wait longer for a byte gives every answer as much time.
        least = settings.timeout or 0.0
        pace = replace(self._pace, head=max(self._pace.head, least), patience=max(self._pace.patience, least))
        return keep_pace(pool, pace)

    def _proxied(self, proxy: str, options: dict[str, Any], *, near: bool) -> urllib3.PoolManager:
        if proxy.lower().startswith("socks"):
            return _socks_pool(proxy, options)
        from requests.adapters import HTTPAdapter

        if not near and proxy.lower().startswith("https:"):
            options["proxy_ssl_context"] = self._tls(self.settings)  # an index's own certificate is not for proxies
        return urllib3.ProxyManager(proxy, proxy_headers=HTTPAdapter().proxy_headers(proxy), **options)

    def _tls(self, settings: PipSettings) -> ssl.SSLContext:
        """Return the one context for all that is reached with one certificate."""
        if settings.client_cert not in self._contexts:
            self._contexts[settings.client_cert] = tls_context(settings)
        return self._contexts[settings.client_cert]


def _authorization(header: str | None) -> dict[str, str]:
    return {"Authorization": header} if header else {}


def _socks_pool(proxy: str, options: dict[str, Any]) -> urllib3.PoolManager:
    doing = "reaching the proxy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is missing, which is told here
            from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError as error:
        problem = "expected PySocks, which SOCKS proxies need, found that it is not installed"
        advice = "Install it beside this project: pip install 'mirror-tasks[socks]', or pip install PySocks."
        raise UpstreamError(doing, redact(proxy), problem, advice) from error
    try:
        return SOCKSProxyManager(proxy, **options)
    except ValueError as error:
        known = "socks4, socks4a, socks5 and socks5h"
        raise UpstreamError(doing, redact(proxy), f"expected one of {known}", "Check the proxy's setting.") from error


def _checked_index(given: str | Index) -> Index:
    index = Index(given) if isinstance(given, str) else given
    scheme, host, _ = _origin(index.url)
    if scheme == "file" or (scheme in ("http", "https") and host):
        return replace(index, url=_with_slash(index.url))
    shown, problem = without_credentials(index.url), "expected a URL with http, https or file, found another"
    raise UpstreamError("looking at the index", shown, problem, "Check the index setting.")


def _with_slash(url: str) -> str:
    return url.rstrip("/") + "/"


def _origin(url: str) -> _Origin:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError as error:
        problem = f"expected a URL, found something else ({error})"
        raise UpstreamError("looking at the index", redact(url), problem, "Check the index setting.") from error
    return parts.scheme, (parts.hostname or "").lower(), port


# --- Pages


def _read_page(answer: Answer) -> Page:
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


def _unless_unchanged(page: Page, known: Seen | None) -> Page | None:
    """Return the page, None if it is the same; an index without validators sends what did not change, too."""
    if known is None:
        return page
    seen = page.seen
    if (seen.url, seen.sha256, seen.index) == (known.url, known.sha256, known.index):
        return None
    if known.names_files and not seen.names_files:
        problem = "expected files, as when it was last seen, found none"
        advice = "What was mirrored stays. If its files were meant to go, remove its page from the state folder."
        raise UpstreamError("fetching the project page", page.url, problem, advice)
    return page


def _is_of(known: Seen, index: Index) -> bool:
    """Say if what is remembered is of a page of this index; of a record that was lost only the URL is left."""
    return known.index == index.base if known.index else known.url.startswith(index.base)


def _if_still_of(binding: Binding, known: Seen | None) -> Seen | None:
    """Return what is remembered of a page, unless ``mirror.yaml`` was changed so that its index may not serve it any more.

    The project then did not vanish: the user moved it, and what another index said of it counts for nothing.
    """
    if known is None or not known.index or any(known.index == index.base for index in binding.indexes):
        return known
    return None


def _vanished(name: str, index: Index) -> UpstreamError:
    problem = f"expected it in {index.label}, as when it was last seen, found no such project"
    return UpstreamError("fetching the page of", name, problem, _STAYS, status=404)


def _absent(name: str, binding: Binding, known: Seen | None) -> UpstreamError:
    """Return the error of a project that no index has which may serve it."""
    problem = f"expected a project of this name, found that {binding.found}"
    before = (
        f" It was last seen in {known.index or known.url}, which may not serve it any more. {_STAYS}" if known else ""
    )
    bound = "" if binding.pattern is None else ", and projects under index in mirror.yaml"
    return UpstreamError("fetching the page of", name, problem, f"Check the spelling{bound}.{before}", status=404)


def _conditions(known: Seen) -> dict[str, str]:
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in conditions.items() if value}


# --- Files of this machine


def _local_path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _local_open(url: str) -> BinaryIO:
    try:
        return _local_path(url).open("rb")
    except OSError as error:
        raise _unreadable(url, error) from error


def _unreadable(url: str, error: OSError) -> UpstreamError:
    problem = error.strerror or str(error)
    status = 404 if isinstance(error, FileNotFoundError) else None
    return UpstreamError("reading", url, problem, "Check the index's folder.", status=status)


def _read_at_most(stream: BinaryIO, limit: int, url: str) -> bytes:
    """Return all that is in a file, or refuse it: what is cut off would be missed by nobody."""
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise UpstreamError(
            "reading", url, f"expected at most {limit:,} bytes, found more", "Check the index's folder."
        )
    return content


def _copy(file: File, target: Path, progress: Callable[[int], None]) -> str:
    with _local_open(file.url) as source:
        digests = Digests(file)
        while chunk := source.read(CHUNK):
            digests.update(chunk)
        size = source.tell()
        if wrong := digests.wrong():
            raise wrong
        if file.size not in (None, size):
            raise wrong_size(file.url, file.size or 0, size)
        source.seek(0)
        with replacing(target) as stream:
            shutil.copyfileobj(source, stream)
    progress(size)
    return digests.sha256


# --- Failures


class _ComeBack(Exception):  # noqa: N818 -- an answer, which becomes an error only if it stays so
    """The server says that it may answer otherwise later."""

    def __init__(self, error: UpstreamError, retry_after: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after = retry_after


def _refusal(answer: Answer, doing: str) -> Exception:
    problem = f"expected an answer, found status {answer.status}"
    advice = _ADVICE.get(answer.status, _REFUSED if 400 <= answer.status < 500 and answer.status != 429 else _AGAIN)
    error = UpstreamError(doing, answer.url, problem, advice, status=answer.status)
    return _ComeBack(error, answer.headers.get("Retry-After")) if answer.status in _COME_BACK else error


def _with_missing_named(error: UpstreamError) -> UpstreamError:
    """Some servers answer 403 or 401 for what they do not have, too; only the user knows if this one does."""
    if error.status not in (401, 403):
        return error
    advice = (
        f"{error.advice} If this index answers {error.status} for projects that it does not have, as object stores do, "
        f"write in mirror.yaml: index: [{{url: …, missing: [{error.status}]}}, …]."
    )
    return UpstreamError(error.doing, error.subject, error.problem, advice, status=error.status)


def _redirected(url: str, location: str, doing: str, *, stays: bool) -> str:
    """Return where to go on: nowhere but to http and https, and from https only to https."""
    allowed = ("https",) if url.startswith("https:") else ("http", "https")
    try:
        target = without_credentials(urljoin(url, location))
        is_allowed = _origin(target)[0] in allowed and bool(_origin(target)[1])
    except (ValueError, UpstreamError):
        target, is_allowed = redact(location), False
    if not is_allowed:
        problem = f"expected a redirect to {' or '.join(allowed)}, found one to {target!r:.200}"
        raise UpstreamError(doing, url, problem, "Report it to whoever runs the index.")
    if stays and not _is_same_server(_origin(url), _origin(target)):
        problem = f"expected it there, since projects binds it to this index, found a redirect to {target!r:.200}"
        raise UpstreamError(doing, url, problem, _LED_AWAY)
    return target


def _is_same_server(one: _Origin, other: _Origin) -> bool:
    """Say if two origins are of one server: the same, or its http and its https."""
    return one == other or (one[1] == other[1] and {one[::2], other[::2]} == {("http", 80), ("https", 443)})


def _may_pass(error: Exception) -> bool:
    """A certificate that was refused will be refused again, and a full disk stays full."""
    if isinstance(error, (SSLError, LocationValueError)):
        return False
    return isinstance(error, (_ComeBack, HTTPError, BrokenBodyError, ConnectionError, TimeoutError))


def _told(error: Exception, doing: str, url: str, attempts: int) -> Exception:
    """Return the error for the user, in words and without credentials."""
    if isinstance(error, _ComeBack):
        return error.error
    if isinstance(error, OSError) and not _may_pass(error):
        return error
    times = "" if attempts == 1 else f" ({attempts} attempts)"
    advice = CERTIFICATES if isinstance(error, SSLError) else _SLOW if isinstance(error, SlowError) else _AGAIN
    return UpstreamError(doing, without_credentials(url), f"{_in_words(error)}{times}", advice)


def _in_words(error: Exception) -> str:
    if isinstance(error, ProxyError):
        return f"the proxy can't be used: {_in_words(error.original_error)}"
    # urllib3 wraps what happened as the second of two arguments and shows both.
    text = str(error.args[0]) if len(error.args) == 2 and isinstance(error.args[0], str) else str(error)
    text = text or type(error).__name__
    plain = re.sub(r"^(<[^>]*>|HTTPS?Connection(Pool)?\([^)]*\)):\s*", "", text)
    return redact(plain)


def _wait(count: int, error: Exception) -> float:
    """Return the seconds to wait; RFC 9110, 10.2.3: Retry-After is seconds or a date."""
    growing = min(0.5 * 2.0**count, LONGEST_WAIT)
    asked = error.retry_after if isinstance(error, _ComeBack) else None
    if asked is None:
        return growing
    if asked.isascii() and asked.isdigit():
        return min(float(asked[:9]), LONGEST_WAIT)
    try:
        seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except (ValueError, OverflowError):
        return growing
    return min(max(seconds, 0.0), LONGEST_WAIT)
