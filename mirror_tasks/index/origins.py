"""The origin of a URL, and where an index may lead on to."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from mirror_tasks.errors import UpstreamError
from mirror_tasks.text import redact, without_credentials

Origin = tuple[str, str, int]
"""Scheme, host and port, as RFC 6454 has it."""

_LED_AWAY = (
    "An index that hands on what it does not have lets whoever publishes there take the name over: have it answer 404 instead "
    "(pypiserver: --disable-fallback). If the index moved, write its new URL into mirror.yaml."
)


def origin_of(url: str) -> Origin:
    """Return the origin of a URL.

    :raises UpstreamError: it is no URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError as error:
        problem = f"expected a URL, found something else ({error})"
        raise UpstreamError("looking at the index", redact(url), problem, "Check the index setting.") from error
    return parts.scheme, (parts.hostname or "").lower(), port


def redirected(url: str, location: str, doing: str, *, stays: bool) -> str:
    """Return where to go on: nowhere but to http and https, and from https only to https.

    :param location: the header of the redirect.
    :param stays: it may lead to no other server.
    :raises UpstreamError: it leads where nothing may be asked for.
    """
    allowed = ("https",) if url.startswith("https:") else ("http", "https")
    try:
        target = without_credentials(urljoin(url, location))
        is_allowed = origin_of(target)[0] in allowed and bool(origin_of(target)[1])
    except (ValueError, UpstreamError):
        target, is_allowed = redact(location), False
    if not is_allowed:
        problem = f"expected a redirect to {' or '.join(allowed)}, found one to {target!r:.200}"
        raise UpstreamError(doing, url, problem, "Report it to whoever runs the index.")
    if stays and not is_same_server(origin_of(url), origin_of(target)):
        problem = f"expected it there, since projects binds it to this index, found a redirect to {target!r:.200}"
        raise UpstreamError(doing, url, problem, _LED_AWAY)
    return target


def is_same_server(one: Origin, other: Origin) -> bool:
    """Say if two origins are of one server: the same, or its http and its https."""
    return one == other or (one[1] == other[1] and {one[::2], other[::2]} == {("http", 80), ("https", 443)})
