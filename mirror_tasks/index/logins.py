"""What each index is logged in to with: credentials and a client certificate, for its own origin and no other.

Credentials are those of the index's URL, else those that netrc has; after an index answered 401, those of the keyring.
"""

from __future__ import annotations

import base64
import posixpath
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from urllib.parse import unquote, urlsplit

from mirror_tasks.config.model import Index
from mirror_tasks.index.keyrings import credentials
from mirror_tasks.text import without_credentials


@dataclass(frozen=True, slots=True)
class Login:
    """What the requests below an index, or for a file that the user named, are sent with.

    :param path: the segments of the path of its URL.
    :param authorization: the header, or None where there are no credentials; never shown.
    :param client_cert: the path of a certificate with its key; empty for what pip has.
    :param services: what a keyring may keep its credentials under; none where the URL has a password.
    :param user: of the URL; may be empty.
    :param is_file: it is for this one file and nothing else.
    """

    path: tuple[str, ...]
    authorization: str | None = field(repr=False)
    client_cert: str = ""
    services: tuple[str, ...] = ()
    user: str = field(default="", repr=False)
    is_file: bool = False


def login_to(index: Index) -> Login:
    """Return what an index is logged in to with, before a keyring was asked."""
    return replace(_login(index.url), client_cert=index.client_cert)


def login_to_file(url: str) -> Login:
    """Return what a file that the user named is logged in to with, likewise."""
    return replace(_login(url), is_file=True)


def _login(url: str) -> Login:
    """As in pip a user without a password in the URL is a token, unless netrc or the keyring knows more."""
    from requests.utils import get_netrc_auth

    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    found = (user, password) if password else get_netrc_auth(url) or (user, "")
    services = () if password else (without_credentials(url), parts.netloc.rpartition("@")[2])
    return Login(_segments(url), _basic(*found) if any(found) else None, services=services, user=user)


def login_for(url: str, logins: Sequence[Login]) -> Login | None:
    """Return the login of the file that ``url`` is of, else that of the index with the longest path above it.

    What lies below no index (``/packages/`` beside ``/simple/``) belongs to the index that it has the longest way in
    common with, as for pip. If two are alike in that and log in otherwise, it gets none: it may be either's.

    :param logins: to indexes and files of the origin of ``url``.
    """
    asked = _segments(url)
    for login in logins:
        if login.is_file and login.path == asked:
            return login
    return _login_for_index(asked, [login for login in logins if not login.is_file])


def _login_for_index(asked: tuple[str, ...], logins: Sequence[Login]) -> Login | None:
    if not logins:
        return None
    above = [login for login in logins if login.path == asked[: len(login.path)]]
    shared = {login: _common(login.path, asked) for login in above or logins}
    longest = max(shared.values(), default=0)
    found = [login for login, count in shared.items() if count == longest]
    if above or len(found) == 1:
        return found[0]  # the same URL twice: the first counts, as it serves every project of both
    if len({(login.authorization, login.client_cert) for login in found}) > 1:
        return None
    return replace(found[0], services=())  # what a keyring has may be for the other


def _segments(url: str) -> tuple[str, ...]:
    """Return the segments of a URL's path as a server understands them: decoded, without ``.`` and ``..``."""
    return tuple(filter(None, posixpath.normpath(unquote(urlsplit(url).path)).split("/")))


def _common(one: Iterable[str], other: Iterable[str]) -> int:
    """Return how many segments two paths begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _basic(user: str, password: str) -> str:
    """RFC 7617, 2.1: servers that say which charset they want want UTF-8; urllib3 and requests send Latin-1."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Keyring:
    """Asks the keyring, once for each login, however many threads were refused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[Login, str | None] = {}

    def known(self, login: Login | None) -> str | None:
        """Return the header that it gave for a login before; None if it gave none, or was not asked."""
        return None if login is None else self._found.get(login)

    def ask(self, login: Login, provider: Callable[[], str]) -> str | None:
        """Return the header for a login; None where it has none.

        :param provider: gives the way to ask it (:mod:`mirror_tasks.index.keyrings`).
        """
        with self._lock:
            if login.services and login not in self._found:
                found = credentials(provider(), login.services, login.user)
                self._found[login] = found and _basic(*found)
            return self._found.get(login)
