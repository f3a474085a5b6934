"""The way to the index and its files: the only module that opens a socket.

Requests go through urllib3's pools with one TLS context. ``requests`` reads the certificate bundle again for every new
connection (24 ms of processor time each, measured; a run opens dozens) and costs twice as much a request (0.8 ms
against 0.4 ms), so that only its reading of netrc, proxies and certificate settings is used.

Rules obeyed here: files are asked for with ``Accept-Encoding: identity`` and hashed undecoded; a transfer is resumed
only under a strong ETag (RFC 9110, 13.1.5); credentials go to the index's own origin and appear in no message.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeVar, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

import urllib3
from urllib3.exceptions import HTTPError, SSLError
from urllib3.response import BaseHTTPResponse
from urllib3.util.ssl_ import create_urllib3_context

from mirror_tasks.errors import IntegrityError, UpstreamError
from mirror_tasks.pages import HTML_TYPES, JSON_TYPE, File

_log = logging.getLogger("mirror_tasks")
_T = TypeVar("_T")

_ACCEPT_PAGE = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_RETRIED = frozenset({429, 500, 502, 503, 504, 520, 527})
_MOVED = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_LONGEST_WAIT = 60.0  # seconds; a server that asks for more is asked again earlier, and given up after the last retry
_MOST_PAGE = 256 << 20  # bytes; the largest page known is about 20 MiB
_MOST_FILE = 64 << 30  # bytes, for a file whose size is not announced
_CHUNK = 1 << 18
_TAIL = 64 << 10  # bytes of a wheel's end that the first read gets: nearly always its directory and METADATA
_AHEAD = 32 << 10  # bytes that each further read gets at least
_AGAIN = "Nothing finished is lost: run again when the index is well."


@dataclass(frozen=True, slots=True)
class Page:
    """A project's page as the index served it.

    :param url: the page's own, after redirects, without credentials: what its relative links are based on.
    :param etag: the validator to ask again with, or None; likewise ``last_modified``.
    :param body: decoded from the transfer's encoding, otherwise as it came.
    """

    url: str
    content_type: str
    etag: str | None
    last_modified: str | None
    body: bytes

    def to_bytes(self) -> bytes:
        """Return the page as one file: a line of JSON, then the body."""
        head = {
            "url": self.url,
            "content_type": self.content_type,
            "etag": self.etag,
            "last_modified": self.last_modified,
        }
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, content: bytes) -> Page:
        """Return the page that :meth:`to_bytes` made.

        :raises ValueError: it did not make these bytes.
        """
        head, newline, body = content.partition(b"\n")
        try:
            fields = json.loads(head)
            page = cls(fields["url"], fields["content_type"], fields["etag"], fields["last_modified"], body)
        except (TypeError, KeyError) as error:
            raise ValueError("not a page") from error
        if not newline or not isinstance(page.url, str) or not isinstance(page.content_type, str):
            raise ValueError("not a page")
        return page


# --- Settings, from where users keep them


@dataclass(frozen=True, slots=True)
class Settings:
    """What pip would use here, apart from the index.

    :param cert: a bundle or folder of certificates, or None for the one that requests uses.
    :param client_cert: a file with key and certificate, or None.
    :param proxy: for every request, or None for what the environment says.
    :param timeout: seconds that a read may take, or None.
    :param trusted_hosts: ``host`` or ``host:port``, whose certificates are not checked.
    """

    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    trusted_hosts: frozenset[str] = frozenset()


def default_index() -> str:
    """Return the index that pip uses here: ``PIP_INDEX_URL``, else pip's configuration, else pip's own default.

    ``extra-index-url`` is not used: which of several indexes serves a project decides who may replace it (dependency
    confusion), so further indexes are named in ``mirror.yaml``, in order.
    """
    configured = os.environ.get("PIP_INDEX_URL") or _pip_setting("index-url")
    extra = os.environ.get("PIP_EXTRA_INDEX_URL") or _pip_setting("extra-index-url")
    if extra:
        shown = ", ".join(map(without_credentials, extra.split()))
        _log.warning("pip's extra-index-url is not used (%s); to use it, list it under index in mirror.yaml.", shown)
    if configured:
        return configured
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 -- slow to import, seldom needed

    return str(PYPI_SIMPLE_ENDPOINT)


@lru_cache(maxsize=1)
def _pip_configuration() -> Mapping[str, str]:
    """Return what ``pip config list`` says, by key ("global.index-url"); nothing where there is no pip."""
    pip = [sys.executable, "-m", "pip"]
    try:
        answer = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, str] = {}
    for line in answer.stdout.splitlines():
        key, _, value = line.partition("=")
        try:
            found[key.strip()] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    return found


def _pip_setting(name: str) -> str | None:
    """As pip does: the environment before the command's own section, and that before the global one."""
    configuration = _pip_configuration()
    keys = (f"{section}.{name}" for section in (":env:", "install", "global"))
    return next((configuration[key] for key in keys if configuration.get(key)), None)


def _settings() -> Settings:
    timeout = _pip_setting("timeout") or _pip_setting("default-timeout")
    try:
        seconds = float(timeout) if timeout else None
    except ValueError:
        seconds = None
    return Settings(
        _pip_setting("cert"),
        _pip_setting("client-cert"),
        _pip_setting("proxy"),
        seconds,
        frozenset((_pip_setting("trusted-host") or "").split()),
    )


# --- URLs


def without_credentials(url: str) -> str:
    """Return ``url`` as it may be shown and stored."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port (RFC 6454)."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").lower(), port


def _is_local(url: str) -> bool:
    return urlsplit(url).scheme == "file" or _origin(url)[1] in ("localhost", "127.0.0.1", "::1")


def _local_path(url: str) -> Path:
    return Path(url2pathname(unquote(urlsplit(url).path)) if os.name != "nt" else url2pathname(urlsplit(url).path))


# --- Waiting


class _BrokenBodyError(Exception):
    """What came is not the whole answer; asking again may help."""


def _wait_before(attempt: int, retry_after: str | None) -> float:
    """Return the seconds to wait before the next attempt; RFC 9110, 10.2.3: Retry-After is seconds or a date."""
    backoff = min(0.5 * 2.0**attempt, _LONGEST_WAIT)
    if not retry_after:
        return backoff
    try:
        asked = float(retry_after)
    except ValueError:
        try:
            asked = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return backoff
    return min(max(asked, 0.0), _LONGEST_WAIT) if asked == asked else backoff


class Upstream:
    """The indexes to mirror from, and the hosts of their files; may be shared by threads.

    Nothing is opened or asked before the first request.

    :param indexes: base URLs, in order: the first that has a project serves it, never a merge. None stands for
        :func:`default_index`. Credentials may stand in a URL, or in netrc.
    :param connections: how many to keep open to one host: the number of threads.
    :param timeout: seconds to connect, and seconds without a byte.
    :param retries: how often a request is repeated after a failure that may pass.
    :param sleep: waits the given seconds; by default a wait that :meth:`close` ends.
    """

    def __init__(
        self,
        indexes: Sequence[str] | None,
        *,
        connections: int = 32,
        timeout: tuple[float, float] = (10, 60),
        retries: int = 5,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._given = indexes
        self._connections = connections
        self._timeout = timeout
        self._retries = retries
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._lock = threading.RLock()
        self._pools: dict[object, urllib3.PoolManager] = {}
        self._routes: dict[tuple[str, str, int], tuple[urllib3.PoolManager, Mapping[str, str]]] = {}

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; what is under way in other threads ends with an UpstreamError."""
        self._closed.set()
        with self._lock:
            for pool in self._pools.values():
                pool.clear()

    # --- What is asked for

    def page(self, name: str, known: Page | None) -> Page:
        """Return the page of the project ``name`` (normalised); ``known`` itself if it has not changed.

        :raises UpstreamError: it can't be had; status 404 if no index has the project.
        """
        for index in self.indexes:
            page = self._page_of(index, name, known)
            if page is not None:
                return self._compared(name, page, known)
        shown = ", ".join(map(without_credentials, self.indexes))
        raise UpstreamError(
            "fetching the page of", name, f"no such project in {shown}", "Check the spelling of the name.", status=404
        )

    def read(self, url: str, *, limit: int, sha256: str | None = None) -> bytes:
        """Return what is at ``url``, such as a core metadata sidecar.

        :param limit: bytes; more is an error.
        :raises UpstreamError: it can't be had, or is larger.
        :raises IntegrityError: its hash is not ``sha256``.
        """
        doing = "fetching"

        def attempt() -> bytes:
            with self._open(url, {"Accept-Encoding": "identity"}, doing) as answer:
                return _read_all(answer, limit, url, decode=False)

        body = _local_path(url).read_bytes() if self._is_file(url) else self._persist(attempt, doing, url)
        found = hashlib.sha256(body).hexdigest()
        if sha256 is not None and found != sha256:
            raise _wrong_hash(url, sha256, found)
        return body

    def wheel(self, file: File) -> BinaryIO:
        """Return a seekable reader of a remote wheel that fetches little more than what is read; a context manager.

        Its reads raise UpstreamError and IntegrityError.
        """
        if self._is_file(file.url):
            return _local_path(file.url).open("rb")
        return cast(BinaryIO, _RemoteFile(self, file))

    def download(self, file: File, target: Path, progress: Callable[[int], None]) -> str:
        """Bring ``file`` to ``target``, whole and checked, and return its SHA-256.

        :param progress: called with each number of bytes that came; negative when a transfer begins again.
        :raises UpstreamError: it can't be had.
        :raises IntegrityError: it is not what was announced.
        """
        return _Download(self, file, target, progress).run()

    # --- Pages

    @cached_property
    def indexes(self) -> tuple[str, ...]:
        """The base URLs, each ending in a slash, with their credentials."""
        given = [default_index()] if self._given is None else self._given
        return tuple(index.rstrip("/") + "/" for index in given)

    def _page_of(self, index: str, name: str, known: Page | None) -> Page | None:
        doing, url = "fetching the project page", without_credentials(f"{index}{name}/")
        if self._is_file(url):
            return _local_page(url)

        def attempt() -> Page | None:
            headers = {"Accept": _ACCEPT_PAGE, "Accept-Encoding": "gzip", "Cache-Control": "max-age=0"}
            with self._open(url, headers, doing, known=known, passed=(200, 304, 404)) as answer:
                if answer.status == 304:
                    return known
                return None if answer.status == 404 else _page(answer)

        return self._persist(attempt, doing, url)

    def _compared(self, name: str, page: Page, known: Page | None) -> Page:
        if known is None or page is known:
            return page
        if (page.url, page.content_type, page.body) == (known.url, known.content_type, known.body):
            return known
        if _shows_files(known) and not _shows_files(page):
            raise UpstreamError(
                "fetching the page of",
                name,
                f"{page.url} had files when last seen and now has none",
                "What was mirrored stays; if the project was really emptied, forget its page: doit forget, then remove its record.",
            )
        return page

    # --- One request

    def _is_file(self, url: str) -> bool:
        """Files of this machine are read only for an index that is one: a page from elsewhere may not name them."""
        if urlsplit(url).scheme != "file":
            return False
        if not any(index.startswith("file:") for index in self.indexes):
            raise UpstreamError(
                "reading", url, "expected http or https, found a file of this machine", "Report it to the index."
            )
        return True

    def _persist(self, attempt: Callable[[], _T], doing: str, url: str) -> _T:
        """Return what ``attempt`` returns, trying again after what may pass."""
        for count in range(self._retries + 1):
            try:
                return attempt()
            except _Passing as error:
                failure: Exception = error.error
                wait = _wait_before(count, error.retry_after)
            except SSLError as error:
                raise _unreachable(
                    doing, url, error, "Check the certificate settings (PIP_CERT, REQUESTS_CA_BUNDLE)."
                ) from error
            except (HTTPError, _BrokenBodyError, OSError) as error:
                failure = _unreachable(doing, url, error, _AGAIN)
                failure.__cause__ = error
                wait = _wait_before(count, None)
            if self._closed.is_set() or count == self._retries:
                break
            self._sleep(wait)
        raise failure

    def _open(
        self,
        url: str,
        headers: Mapping[str, str],
        doing: str,
        *,
        known: Page | None = None,
        passed: Sequence[int] = (200,),
    ) -> _Answer:
        """Ask for ``url`` and follow its redirects; the body is still to be read.

        :raises UpstreamError: the status is none of ``passed``.
        """
        asked = url
        for _ in range(_MOST_REDIRECTS + 1):
            raw = self._send(asked, {**headers, **_conditions(known, asked)})
            answer = _Answer(asked, raw)
            location = raw.headers.get("Location")
            if raw.status not in _MOVED or not location:
                if raw.status in passed:
                    return answer
                answer.close()
                raise _refusal(doing, asked, raw)
            answer.close()
            asked = self._redirected(doing, asked, location)
        raise UpstreamError(doing, url, f"more than {_MOST_REDIRECTS} redirects", "Check the index setting.")

    def _redirected(self, doing: str, url: str, location: str) -> str:
        target = without_credentials(urljoin(url, location))
        allowed = {"https": ("https",), "http": ("http", "https")}[urlsplit(url).scheme]
        if urlsplit(target).scheme not in allowed:
            problem = f"redirected to {target:.300}, which is not one of {' or '.join(allowed)}"
            raise UpstreamError(doing, url, problem, "Report it to whoever runs the index.")
        return target

    def _send(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        if self._closed.is_set():
            raise UpstreamError("fetching", url, "the run was ended", "Run again: nothing finished is lost.")
        pool, own = self._route(url)
        return pool.request(
            "GET",
            url,
            headers={"User-Agent": "mirror-tasks", **own, **headers},
            preload_content=False,
            redirect=False,
            retries=False,
        )

    # --- Ways to a host

    def _route(self, url: str) -> tuple[urllib3.PoolManager, Mapping[str, str]]:
        """Return the pool for ``url`` and the headers that only its origin gets, found once for each origin."""
        origin = _origin(url)
        route = self._routes.get(origin)
        if route is None:
            with self._lock:
                route = self._routes[origin] = (self._pool(url), self._authorization(origin))
        return route

    @cached_property
    def _settings(self) -> Settings:
        return Settings() if all(map(_is_local, self.indexes)) else _settings()

    def _authorization(self, origin: tuple[str, str, int]) -> Mapping[str, str]:
        from requests.utils import get_auth_from_url, get_netrc_auth  # noqa: PLC0415 -- slow to import

        for index in self.indexes:
            if _origin(index) == origin:
                user, password = get_auth_from_url(index)
                if not user and not password:
                    user, password = get_netrc_auth(index) or ("", "")
                if user or password:
                    return urllib3.make_headers(basic_auth=f"{user}:{password}")
        return {}

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxy(url)
        _, host, port = _origin(url)
        trusted = bool({host, f"{host}:{port}"} & self._settings.trusted_hosts)
        pool = self._pools.get((proxy, trusted))
        if pool is None:
            pool = self._pools[proxy, trusted] = self._new_pool(proxy, trusted)
        return pool

    def _proxy(self, url: str) -> str | None:
        from requests.utils import get_environ_proxies, select_proxy  # noqa: PLC0415 -- slow to import

        if self._settings.proxy:
            return self._settings.proxy
        found = select_proxy(url, get_environ_proxies(url))
        return str(found) if found else None

    def _new_pool(self, proxy: str | None, trusted: bool) -> urllib3.PoolManager:
        connect, read = self._timeout
        options: dict[str, Any] = {
            "num_pools": 50,
            "maxsize": self._connections,
            "timeout": urllib3.Timeout(connect=connect, read=max(read, self._settings.timeout or 0)),
        }
        if trusted:
            options["cert_reqs"] = "CERT_NONE"
        else:
            options["ssl_context"] = self._tls
        if proxy is None:
            return urllib3.PoolManager(**options)
        if proxy.startswith("socks"):
            from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 -- needs an extra of urllib3

            return SOCKSProxyManager(proxy, **options)
        from requests.adapters import HTTPAdapter  # noqa: PLC0415 -- slow to import

        proxy = proxy if "://" in proxy else f"http://{proxy}"
        return urllib3.ProxyManager(proxy, proxy_headers=HTTPAdapter().proxy_headers(proxy), **options)

    @cached_property
    def _tls(self) -> Any:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH  # noqa: PLC0415 -- slow to import

        environment = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        bundle = self._settings.cert or environment or DEFAULT_CA_BUNDLE_PATH
        context = create_urllib3_context()
        try:
            context.load_verify_locations(**{"capath" if Path(bundle).is_dir() else "cafile": bundle})
            if self._settings.client_cert:
                context.load_cert_chain(self._settings.client_cert)
        except OSError as error:
            advice = "Check the certificate settings (PIP_CERT, REQUESTS_CA_BUNDLE, PIP_CLIENT_CERT)."
            raise UpstreamError("reading the certificates", str(bundle), str(error), advice) from error
        return context


# --- Answers


class _Passing(Exception):  # noqa: N818 -- carries an error, is none
    """An answer that asks to come back later."""

    def __init__(self, error: UpstreamError, retry_after: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after = retry_after


class _Answer:
    """An answer whose body is still to be read.

    :ivar url: the one that answered, after redirects.
    """

    def __init__(self, url: str, raw: BaseHTTPResponse) -> None:
        self.url = url
        self.raw = raw
        self.status = raw.status
        self.headers = raw.headers

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back if the body was read or is short, else drop it."""
        if self.raw.closed:
            return
        if int(self.headers.get("Content-Length") or _CHUNK) < _CHUNK or self.status in (304, 204):
            self.raw.drain_conn()
            self.raw.release_conn()
        else:
            self.raw.close()

    @property
    def strong_etag(self) -> str | None:
        """RFC 9110, 8.8.1: a weak validator says nothing of bytes."""
        etag = self.headers.get("ETag")
        return etag if etag and etag.startswith('"') else None

    @property
    def length(self) -> int | None:
        """The length of the body as the answer announces it, in bytes."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    def chunks(self, *, decode: bool) -> Iterator[bytes]:
        """The body; a body shorter than announced raises."""
        while chunk := self.raw.read(_CHUNK, decode_content=decode):
            yield chunk

    def part(self) -> tuple[int, int, int] | None:
        """Return first byte, last byte and whole length of a 206 answer, or None if it is not one of a single range."""
        found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", self.headers.get("Content-Range", ""))
        return (int(found[1]), int(found[2]), int(found[3])) if self.status == 206 and found else None


def _conditions(known: Page | None, url: str) -> dict[str, str]:
    if known is None or known.url != url:
        return {}
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {key: value for key, value in conditions.items() if value}


def _page(answer: _Answer) -> Page:
    content_type = answer.headers.get("Content-Type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind != JSON_TYPE and kind not in HTML_TYPES:
        raise UpstreamError(
            "fetching the project page",
            answer.url,
            f"expected a page in JSON or HTML, found {kind or 'no content type'!r}",
            "Check that the index setting names a simple index.",
        )
    body = _read_all(answer, _MOST_PAGE, answer.url, decode=True)
    return Page(answer.url, content_type, answer.headers.get("ETag"), answer.headers.get("Last-Modified"), body)


def _local_page(url: str) -> Page | None:
    """As pip reads an index of this machine: a folder for each project, with an ``index.html``."""
    address = urljoin(url, "index.html")
    try:
        return Page(address, "text/html", None, None, _local_path(address).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _shows_files(page: Page) -> bool:
    return (b'"filename"' if page.content_type.startswith(JSON_TYPE) else b"<a") in page.body.lower()


def _read_all(answer: _Answer, limit: int, url: str, *, decode: bool) -> bytes:
    body = io.BytesIO()
    for chunk in answer.chunks(decode=decode):
        if body.tell() + len(chunk) > limit:
            raise UpstreamError(
                "fetching", url, f"it is larger than {limit:,} bytes", "Report it to whoever runs the index."
            )
        body.write(chunk)
    return body.getvalue()


def _unreachable(doing: str, url: str, error: BaseException, advice: str) -> UpstreamError:
    return UpstreamError(doing, without_credentials(url), _in_words(error), advice)


def _in_words(error: BaseException) -> str:
    """Return what went wrong without what the library wraps around it, and without any credentials."""
    text = str(error) or type(error).__name__
    return re.sub(
        r"//[^/\s@]*@",
        "//",
        re.sub(r"^<?[^>]*object at 0x[0-9a-f]+>?:\s*|^HTTPS?ConnectionPool\([^)]*\):\s*", "", text),
    )


def _refusal(doing: str, url: str, raw: BaseHTTPResponse) -> Exception:
    status = raw.status
    advice = {
        401: "Put the credentials into the index's URL or into netrc, as for pip.",
        403: "Check that the credentials in the index's URL or in netrc may read this.",
        404: "It may have been removed upstream: run again to read its project's page anew.",
        407: "Check the proxy's credentials.",
    }.get(status, _AGAIN)
    error = UpstreamError(
        doing, url, f"the server answered {status} {raw.reason or ''}".rstrip(), advice, status=status
    )
    return _Passing(error, raw.headers.get("Retry-After")) if status in _RETRIED else error


def _wrong_hash(url: str, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        "checking the hash of",
        url,
        f"expected sha256 {expected}, found {found}",
        "Nothing of it was kept. Run again; if it stays so, report it to whoever runs the index.",
    )


def _wrong_size(url: str, expected: int, found: int) -> IntegrityError:
    return IntegrityError(
        "checking the size of",
        url,
        f"expected {expected:,} bytes, found {found:,}",
        "Nothing of it was kept. Run again; if it stays so, report it to whoever runs the index.",
    )


# --- Ranges of a remote file


class _RemoteFile(io.RawIOBase):
    """A remote file that is read by ranges, from its end; all of it where the server knows no ranges.

    What was fetched is kept as non-overlapping pieces, by their first byte.
    """

    def __init__(self, upstream: Upstream, file: File) -> None:
        super().__init__()
        self._upstream = upstream
        self._file = file
        self._size = file.size
        self._etag: str | None = None
        self._position = 0
        self._pieces: dict[int, bytes] = {}
        self._whole: IO[bytes] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if self._whole is not None:
            self._whole.close()
        super().close()

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = max(0, offset + (self._length() if start is None else start))
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._length() - self._position))
        if self._whole is not None:
            self._whole.seek(self._position)
            view[:count] = self._whole.read(count)
        else:
            self._fill(view[:count])
        self._position += count
        return count

    def _length(self) -> int:
        """The first question for it fetches the end."""
        if not self._pieces and self._whole is None:
            self._fetch(None if self._size is None else max(0, self._size - _TAIL), (self._size or 0) - 1)
        if self._size is None:
            raise _wrong_size(self._file.url, 0, 0)
        return self._size

    def _fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            at = self._position + done
            piece = self._piece(at, len(view) - done)
            taken = piece[: len(view) - done]
            view[done : done + len(taken)] = taken
            done += len(taken)

    def _piece(self, at: int, count: int) -> memoryview:
        """Return bytes from ``at`` on, fetching them, with a little more, if they are not here."""
        for start, piece in self._pieces.items():
            if start <= at < start + len(piece):
                return memoryview(piece)[at - start :]
        following = min((start for start in self._pieces if start > at), default=self._length())
        self._fetch(at, min(at + max(count, _AHEAD), following) - 1)
        if self._whole is not None:
            self._whole.seek(at)
            return memoryview(self._whole.read(count))
        return memoryview(self._pieces[at])

    def _fetch(self, first: int | None, last: int) -> None:
        wanted = f"bytes=-{_TAIL}" if first is None else f"bytes={first}-{last}"
        self._upstream._persist(lambda: self._ask(wanted, first, last), "reading a part of", self._file.url)  # noqa: SLF001

    def _ask(self, wanted: str, first: int | None, last: int) -> None:
        headers = {"Accept-Encoding": "identity", "Range": wanted}
        passed = (200, 206, 416, 501)
        with self._upstream._open(self._file.url, headers, "reading a part of", passed=passed) as answer:  # noqa: SLF001
            part = answer.part()
            if answer.status == 200:
                self._take_whole(answer)
            elif part is not None and (first is None or part[:2] == (first, last)):
                self._take_part(answer, *part)
            else:
                answer = self._upstream._open(self._file.url, {"Accept-Encoding": "identity"}, "reading")  # noqa: SLF001, PLW2901
                with answer:
                    self._take_whole(answer)

    def _take_part(self, answer: _Answer, first: int, last: int, length: int) -> None:
        if self._size is not None and length != self._size:
            raise _wrong_size(self._file.url, self._size, length)
        if self._pieces and answer.strong_etag != self._etag:
            raise UpstreamError("reading a part of", self._file.url, "it changed while it was read", "Run again.")
        body = _read_all(answer, last - first + 1, self._file.url, decode=False)
        if len(body) != last - first + 1:
            raise _BrokenBodyError(f"expected {last - first + 1} bytes of a part, found {len(body)}")
        self._size, self._etag = length, answer.strong_etag
        self._pieces[first] = body

    def _take_whole(self, answer: _Answer) -> None:
        limit = _MOST_FILE if self._file.size is None else self._file.size
        whole = tempfile.SpooledTemporaryFile(max_size=4 << 20)  # noqa: SIM115 -- closed with this reader
        try:
            for chunk in answer.chunks(decode=False):
                if whole.tell() + len(chunk) > limit:
                    raise _wrong_size(self._file.url, limit, whole.tell() + len(chunk))
                whole.write(chunk)
            if self._file.size is not None and whole.tell() != self._file.size:
                raise _BrokenBodyError(f"expected {self._file.size} bytes, found {whole.tell()}")
        except BaseException:
            whole.close()
            raise
        self._size, self._whole = whole.tell(), cast("IO[bytes]", whole)


# --- Downloads


class _Download:
    """One file on its way to its place."""

    def __init__(self, upstream: Upstream, file: File, target: Path, progress: Callable[[int], None]) -> None:
        self._upstream = upstream
        self._file = file
        self._target = target
        self._progress = progress
        self._part = target.with_name(f".{target.name[:150]}.{file.hashes.get('sha256', 'unknown')[:16]}.part")
        self._etag_path = self._part.with_name(self._part.name + ".etag")
        self._digest = hashlib.sha256()
        self._done = 0
        self._etag: str | None = None
        self._decode = False

    def run(self) -> str:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._part.open("r+b" if self._part.exists() else "w+b") as stream:
                self._resume(stream)
                self._transfer(stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(self._part, self._target)
        except BaseException:
            if self._etag is None:
                self._part.unlink(missing_ok=True)
            raise
        self._etag_path.unlink(missing_ok=True)
        return self._digest.hexdigest()

    def _resume(self, stream: IO[bytes]) -> None:
        """Take up what a killed run left, if it also left the strong ETag that a server can compare."""
        try:
            self._etag = self._etag_path.read_text("utf-8")
        except OSError:
            self._begin(stream)
            return
        while chunk := stream.read(_CHUNK):
            self._count(chunk)

    def _transfer(self, stream: IO[bytes]) -> None:
        url = self._file.url
        if self._upstream._is_file(url):  # noqa: SLF001
            self._begin(stream)
            with _local_path(url).open("rb") as source:
                shutil.copyfileobj(source, cast("IO[bytes]", _Counted(self, stream)), _CHUNK)
            self._check()
            return
        self._upstream._persist(lambda: self._attempt(stream), "downloading", url)  # noqa: SLF001

    def _attempt(self, stream: IO[bytes]) -> None:
        if self._done and self._done == self._file.size and self._digest.hexdigest() == self._file.hashes.get("sha256"):
            return
        headers = {"Accept-Encoding": "identity"}
        if self._done and self._etag:
            headers |= {"Range": f"bytes={self._done}-", "If-Range": self._etag}
        passed = (200, 206, 416)
        with self._upstream._open(self._file.url, headers, "downloading", passed=passed) as answer:  # noqa: SLF001
            part = answer.part()
            if answer.status != 200 and not (part and part[0] == self._done and "Range" in headers):
                self._begin(stream)
                raise _BrokenBodyError(f"expected the rest of it, found status {answer.status}")
            if answer.status == 200:
                self._begin(stream)
                self._remember(answer)
            self._take(answer, stream)
        self._check(compressed=bool(answer.headers.get("Content-Encoding")), stream=stream)

    def _take(self, answer: _Answer, stream: IO[bytes]) -> None:
        size = self._file.size
        announced = (
            None
            if answer.length is None or self._decode or answer.headers.get("Content-Encoding")
            else answer.length + self._done
        )
        if size is not None and announced is not None and announced != size:
            raise _wrong_size(self._file.url, size, announced)
        limit = _MOST_FILE if size is None else size
        for chunk in answer.chunks(decode=self._decode):
            if self._done + len(chunk) > limit and not answer.headers.get("Content-Encoding"):
                raise _wrong_size(self._file.url, limit, self._done + len(chunk))
            stream.write(chunk)
            self._count(chunk)

    def _check(self, *, compressed: bool = False, stream: IO[bytes] | None = None) -> None:
        expected, found = self._file.hashes.get("sha256"), self._digest.hexdigest()
        size = self._file.size
        if expected is None:
            raise IntegrityError(
                "checking the hash of", self._file.url, "none is announced", "The file can't be mirrored."
            )
        if found == expected and size in (None, self._done):
            return
        if stream is not None:
            wrong = _wrong_hash(self._file.url, expected, found) if size in (None, self._done) else None
            done = self._done
            self._begin(stream)
            if compressed and not self._decode:
                # A server that compresses what was asked for as it is: its coding is undone, and the hash decides.
                self._decode = True
                raise _BrokenBodyError("compressed though identity was asked for")
            raise wrong or _wrong_size(self._file.url, size or 0, done)
        raise _wrong_hash(self._file.url, expected, found)

    def _begin(self, stream: IO[bytes]) -> None:
        stream.seek(0)
        stream.truncate()
        if self._done:
            self._progress(-self._done)
        self._done = 0
        self._etag = None
        self._digest = hashlib.sha256()
        self._etag_path.unlink(missing_ok=True)

    def _remember(self, answer: _Answer) -> None:
        self._etag = None if answer.headers.get("Content-Encoding") else answer.strong_etag
        if self._etag is not None:
            self._etag_path.write_text(self._etag, "utf-8")

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._done += len(chunk)
        self._progress(len(chunk))


class _Counted(io.RawIOBase):
    def __init__(self, download: _Download, stream: IO[bytes]) -> None:
        super().__init__()
        self._download = download
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self._download._count(bytes(chunk))  # noqa: SLF001
        return self._stream.write(chunk)
