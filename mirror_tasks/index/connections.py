"""The connections to the indexes and to the hosts of their files: the only module that opens a socket.

Requests go through urllib3's pools with one TLS context. Measured: ``requests`` reads the certificate bundle again for
every new connection, 24 ms of processor time each where a run opens dozens, and takes 0.8 ms a request against 0.4 ms.
So only its reading of netrc, proxies and certificate settings is used.

Credentials and client certificates (:mod:`mirror_tasks.index.logins`) go to their index's own origin only.
"""

from __future__ import annotations

import ssl
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import urllib3
from urllib3.exceptions import InsecureRequestWarning

from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.certificates import tls_context
from mirror_tasks.index.logins import Keyring, Login, login_for, login_to, login_to_file
from mirror_tasks.index.origins import Origin, origin_of
from mirror_tasks.index.pace import Pace, keep_pace
from mirror_tasks.index.pip_settings import PipSettings, is_near, pip_settings
from mirror_tasks.text import redact


class Connections:
    """The connections to each origin, and what has to be known of it: proxy, certificates, credentials.

    All of that is found out once for each origin, where ``requests`` would do it for each request. ``requests`` is
    imported with the first of them, as that is slow: a run that needs no network does without.

    :param indexes: with their credentials, as are the URLs of the user's ``own`` files.
    :param settings: pip's; None to ask pip for them when they are needed.
    :param connections: how many to keep open to one host.
    :param timeout: seconds to connect, and seconds without a byte.
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
        self._by_origin: dict[tuple[Origin, str], urllib3.PoolManager] = {}
        self._logins_by_origin: dict[Origin, Sequence[Login]] = {}

    @cached_property
    def settings(self) -> PipSettings:
        """How pip reaches what is not on this machine."""
        return self._given or pip_settings()

    def send(self, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for ``url``: one request, no redirect, no retry, but with what the keyring has for who is refused."""
        origin = origin_of(url)
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
        self, url: str, origin: Origin, login: Login | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        # A redirect's or a page's URL may hold credentials: they are not sent, as they are not the user's.
        pool = self._pool(url, origin, login.client_cert if login else "")
        headers = {"User-Agent": "mirror-tasks", **headers}
        return pool.request("GET", url, headers=headers, preload_content=False, redirect=False, retries=False)

    def close(self) -> None:
        """Close those that are idle."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()

    def _logins(self, origin: Origin) -> Sequence[Login]:
        """Return what each index and own file of this origin is logged in to with; no other origin gets any of it."""
        known = self._logins_by_origin.get(origin)
        if known is None:
            to_indexes = [login_to(index) for index in self._indexes if origin_of(index.url) == origin]
            known = (*to_indexes, *(login_to_file(url) for url in self._own if origin_of(url) == origin))
            self._logins_by_origin[origin] = known  # another thread's are equal
        return known

    def _settings_for(self, url: str) -> PipSettings:
        return PipSettings() if is_near(url) else self.settings

    def _pool(self, url: str, origin: Origin, client_cert: str) -> urllib3.PoolManager:
        """Return the connections to an origin; those with a certificate of an index are apart from all others."""
        known = self._by_origin.get((origin, client_cert))
        if known is None:
            with self._lock:
                known = self._by_origin[origin, client_cert] = self._shared_pool(url, origin, client_cert)
        return known

    def _shared_pool(self, url: str, origin: Origin, client_cert: str) -> urllib3.PoolManager:
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
