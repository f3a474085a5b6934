"""What a request that failed comes to: whether it is repeated, how long that waits, and what the user is told."""

from __future__ import annotations

import email.utils
import re
import time

from urllib3.exceptions import HTTPError, LocationValueError, ProxyError, SSLError

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.certificates import ADVICE as CERTIFICATES
from mirror_tasks.index.pace import SlowError
from mirror_tasks.index.transfers import Answer, BrokenBodyError
from mirror_tasks.text import redact, without_credentials

LONGEST_WAIT = 60.0  # seconds; who asks for more is asked again earlier, and given up after the last attempt

_COME_BACK = frozenset({429, 500, 502, 503, 504, 520, 527})
_AGAIN = "Nothing finished is lost: run again when it is well."
_GONE = "It may have been removed upstream: run again to read its project's page anew."
_SLOW = "It was left, so that the rest goes on: run again; if it stays so, tell whoever runs the index or the proxy."
_REFUSED = "It will be refused again: check the index setting, or report it to whoever runs the index."
_ADVICE = {
    401: "Put the credentials into the index's URL, into netrc, or with a user in the URL into the keyring, as for pip.",
    403: "Check that the credentials in the index's URL or in netrc may read it.",
    404: _GONE,
    407: "Check the proxy's credentials.",
    410: _GONE,
    451: "It may not be had from here for legal reasons: leave it out, or name another index.",
}


class ComeBack(Exception):  # noqa: N818 -- an answer, which becomes an error only if it stays so
    """The server says that it may answer otherwise later."""

    def __init__(self, error: UpstreamError, retry_after: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.retry_after = retry_after


def refusal(answer: Answer, doing: str) -> Exception:
    """Return the error for an answer that is not what was asked for."""
    problem = f"expected an answer, found status {answer.status}"
    advice = _ADVICE.get(answer.status, _REFUSED if 400 <= answer.status < 500 and answer.status != 429 else _AGAIN)
    error = UpstreamError(doing, answer.url, problem, advice, status=answer.status)
    return ComeBack(error, answer.headers.get("Retry-After")) if answer.status in _COME_BACK else error


def with_missing_named(error: UpstreamError) -> UpstreamError:
    """Return an error with the advice to say in ``mirror.yaml`` if it means that there is no such project.

    Some servers answer 403 or 401 for what they do not have; only the user knows if this one does.
    """
    if error.status not in (401, 403):
        return error
    advice = (
        f"{error.advice} If this index answers {error.status} for projects that it does not have, as object stores do, "
        f"write in mirror.yaml: index: [{{url: …, missing: [{error.status}]}}, …]."
    )
    return UpstreamError(error.doing, error.subject, error.problem, advice, status=error.status)


def may_pass(error: Exception) -> bool:
    """Say if it may go well when it is tried again. A certificate that was refused is refused again; a full disk stays full."""
    if isinstance(error, (SSLError, LocationValueError)):
        return False
    return isinstance(error, (ComeBack, HTTPError, BrokenBodyError, ConnectionError, TimeoutError))


def told(error: Exception, doing: str, url: str, attempts: int) -> Exception:
    """Return the error for the user, in words and without credentials.

    :param attempts: how many were made.
    """
    if isinstance(error, ComeBack):
        return error.error
    if isinstance(error, OSError) and not may_pass(error):
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


def wait_after(count: int, error: Exception) -> float:
    """Return the seconds to wait before the next attempt (RFC 9110, 10.2.3: Retry-After is seconds or a date).

    :param count: how many were made before the one that failed.
    """
    growing = min(0.5 * 2.0**count, LONGEST_WAIT)
    asked = error.retry_after if isinstance(error, ComeBack) else None
    if asked is None:
        return growing
    if asked.isascii() and asked.isdigit():
        return min(float(asked[:9]), LONGEST_WAIT)
    try:
        seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except (ValueError, OverflowError):
        return growing
    return min(max(seconds, 0.0), LONGEST_WAIT)
