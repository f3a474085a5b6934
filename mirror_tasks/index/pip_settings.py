"""What pip uses here: the index and the ways to it, from where users already keep them.

pip itself is asked (``pip config list``), so that its files, their order and its environment variables count as they
count for pip.
"""

from __future__ import annotations

import ast
import importlib.util
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.abc import InspectLoader
from urllib.parse import urlsplit

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.keyrings import PROVIDERS
from mirror_tasks.text import redact

_log = logging.getLogger("mirror_tasks")

_PATIENCE = 60.0  # seconds for pip to say its settings, which takes it half a second
_ON = frozenset({"y", "yes", "t", "true", "on", "1"})  # as pip reads switches


@dataclass(frozen=True, slots=True)
class PipSettings:
    """How pip reaches an index.

    :param cert: a bundle or folder of certificates to trust, or None for the usual ones.
    :param client_cert: a file with a key and its certificate, or None.
    :param proxy: for every request, or None for what the environment says.
    :param timeout: seconds, or None.
    :param trusted_hosts: ``host`` or ``host:port`` whose certificates are not checked.
    :param no_proxy_env: variables that name proxies do not count.
    :param keyring_provider: how a keyring is asked (:data:`mirror_tasks.index.keyrings.PROVIDERS`).
    :param deprecated: what of old is used still (``use-deprecated``); ``features`` what of new (``use-feature``).
    """

    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    trusted_hosts: frozenset[str] = frozenset()
    no_proxy_env: bool = False
    keyring_provider: str = PROVIDERS[0]
    deprecated: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()

    @property
    def uses_environment(self) -> bool:
        """As in pip: a proxy of its own, or no-proxy-env, ends that variables name proxies and certificates."""
        return self.proxy is None and not self.no_proxy_env


def are_needed_for(indexes: Sequence[str]) -> bool:
    """Say if pip's settings matter to reach the indexes; those on this machine need none."""
    return not all(map(is_near, indexes))


def is_near(url: str) -> bool:
    """Say if ``url`` is a file of this machine, or plain HTTP to it: certificates and proxies have no part in that."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "file" or (parts.scheme == "http" and parts.hostname in _LOCAL)


_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def begin_to_ask(indexes: Sequence[str] | None) -> bool:
    """Let pip begin to tell its settings, which takes it half a second, if they will be needed; say if they will be.

    :param indexes: None stands for pip's own.
    """
    are_needed = indexes is None or are_needed_for(indexes)
    if are_needed:
        with _ASKING:
            _pip()
    return are_needed


def default_index() -> str:
    """Return the index that pip uses here: what is configured for it (``PIP_INDEX_URL`` first), else its own default.

    ``extra-index-url`` is not used, and a warning says so: which of several indexes serves a project decides who may
    replace it (dependency confusion), so further indexes are named in ``mirror.yaml``, in order.

    :raises UpstreamError: pip's settings can't be read, or forbid to use any index.
    """
    if _is_on("no-index"):
        raise _unreadable("they say no-index, so that pip uses no index here")
    if extra := _setting("extra-index-url"):
        shown = ", ".join(map(redact, extra.split()))
        _log.warning("pip's extra-index-url is not used; to use it, list it under index in mirror.yaml: %s", shown)
    named = _setting("index-url") or _setting("pypi-url")
    if named is None and not _has_pip():
        _log.warning("no pip beside %s whose settings could be read: pip's own default index is used", sys.executable)
    return named or _endpoint()


def pip_settings() -> PipSettings:
    """Return how pip would reach an index from here.

    :raises UpstreamError: pip's settings can't be read.
    """
    return PipSettings(
        cert=_setting("cert"),
        client_cert=_setting("client-cert"),
        proxy=_setting("proxy"),
        timeout=_timeout(),
        trusted_hosts=_words("trusted-host"),
        no_proxy_env=_is_on("no-proxy-env"),
        keyring_provider=_keyring_provider(),
        deprecated=_words("use-deprecated"),
        features=_words("use-feature"),
    )


def _words(name: str) -> frozenset[str]:
    return frozenset((_setting(name) or "").split())


def _is_on(name: str) -> bool:
    return (_setting(name) or "").lower() in _ON


def _timeout() -> float | None:
    text = _setting("timeout") or _setting("default-timeout")
    try:
        seconds = float(text) if text else None
    except ValueError:
        seconds = 0.0
    if seconds is not None and not 0 < seconds < float("inf"):
        raise _unreadable(f"expected seconds as timeout, found {text!r:.80}")
    return seconds


def _keyring_provider() -> str:
    named = _setting("keyring-provider") or PROVIDERS[0]
    if named not in PROVIDERS:
        raise _unreadable(f"expected one of {', '.join(PROVIDERS)} as keyring-provider, found {named!r:.80}")
    return named


def _endpoint() -> str:
    """Return pip's own default, which pypi-simple has as a constant.

    It is read from that library's source: to import it takes half a second, a fifth of a small plan.
    """
    name = "PYPI_SIMPLE_ENDPOINT"
    library = importlib.util.find_spec("pypi_simple")
    source = library.loader.get_source("pypi_simple") if library and isinstance(library.loader, InspectLoader) else None
    for line in ast.parse(source or "").body:
        match line:
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.Constant(value=str(url))) if found == name:
                return url
    import pypi_simple  # its source has another form

    return str(getattr(pypi_simple, name))


# One at a time: pip is asked once, and its one answer can be received once.
_ASKING = threading.Lock()


def _has_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def _pip_command(*arguments: str) -> subprocess.Popen[str]:
    """Begin to ask pip; what is set for how much it says would change what it answers."""
    settings = {"PIP_QUIET": "0", "PIP_VERBOSE": "0", "PIP_NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.Popen(
        [sys.executable, "-m", "pip", "config", *arguments],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )


@lru_cache(maxsize=1)
def _pip() -> subprocess.Popen[str] | OSError | None:
    """Ask pip once; None where there is none."""
    try:
        return _pip_command("list") if _has_pip() else None
    except OSError as error:
        return error


def _configuration() -> Mapping[str, str]:
    """Return what pip is configured to, by key ("global.index-url").

    :raises UpstreamError: pip did not say it.
    """
    with _ASKING:
        found = _answer()
    if isinstance(found, UpstreamError):
        raise _unreadable(found.problem)
    return found


@lru_cache(maxsize=1)
def _answer() -> Mapping[str, str] | UpstreamError:
    """Return what pip said, or the error where it did not; whoever asks again gets the same."""
    pip = _pip()
    if pip is None:
        variables = ((name, value) for name, value in os.environ.items() if name.startswith("PIP_"))
        return {f":env:.{name[4:].lower().replace('_', '-')}": value for name, value in variables}
    try:
        if isinstance(pip, OSError):
            return _unreadable(f"pip can't be run ({pip.strerror})")
        return _read_list(_said_by(pip))
    except UpstreamError as error:
        return error


def _said_by(pip: subprocess.Popen[str]) -> str:
    """Return what pip said.

    :raises UpstreamError: it said nothing in time, or that it failed.
    """
    try:
        said, complaint = pip.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        pip.kill()
        pip.communicate()
        raise _unreadable(f"expected `pip config` to answer within {_PATIENCE:g} seconds, found no answer") from None
    if pip.returncode != 0 or re.search(r"^ERROR:", complaint, re.MULTILINE):
        last = "; ".join(line.strip() for line in (complaint or said).splitlines() if line.strip())
        shown = redact(last)[-500:].rstrip(".") or "it said nothing"
        raise _unreadable(f"`pip config` ended with {pip.returncode}: {shown}")
    return said


def _read_list(listed: str) -> Mapping[str, str]:
    """Return the settings by key.

    :raises UpstreamError: a line is none.
    """
    found: dict[str, set[str]] = {}
    for line in filter(None, listed.splitlines()):
        key, _, value = line.partition("=")
        try:
            found.setdefault(key.strip(), set()).add(str(ast.literal_eval(value)))
        except (ValueError, SyntaxError):
            raise _unreadable(
                f"expected lines like global.timeout='60' of `pip config list`, found {redact(line)!r:.200}"
            ) from None
    # The list is in the order of the files' names, which says nothing of which counts; `get` knows that.
    return {key: next(iter(values)) if len(values) == 1 else _got(key) for key, values in found.items()}


def _got(key: str) -> str:
    return _said_by(_pip_command("get", key)).rstrip("\r\n")


def _unreadable(problem: str) -> UpstreamError:
    advice = (
        "No other index is used in its place. Correct what `pip config debug` shows; to do without pip's files, "
        f"set PIP_CONFIG_FILE={os.devnull} and name the index in mirror.yaml, under index."
    )
    return UpstreamError("reading the settings of", "pip", problem, advice)


def _setting(name: str) -> str | None:
    """As pip does: the environment counts before the section of its command, and that before the global one."""
    keys = (f"{section}.{name}" for section in (":env:", "install", "global"))
    return next((_configuration()[key] for key in keys if _configuration().get(key)), None)
