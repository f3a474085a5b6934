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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

_log = logging.getLogger("mirror_tasks")


@dataclass(frozen=True, slots=True)
class PipSettings:
    """How pip reaches an index.

    :param cert: a bundle or folder of certificates to trust, or None for the usual ones.
    :param client_cert: a file with a key and its certificate, or None.
    :param proxy: for every request, or None for what the environment says.
    :param timeout: seconds, or None.
    :param trusted_hosts: ``host`` or ``host:port`` whose certificates are not checked.
    """

    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    trusted_hosts: frozenset[str] = frozenset()


def without_credentials(url: str) -> str:
    """Return ``url`` as it may be shown and stored."""
    return re.sub(r"^([a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#]*@", r"\1//", url)


def are_needed_for(indexes: Sequence[str]) -> bool:
    """Say if pip's settings matter to reach the indexes; those on this machine need none."""
    return not all(urlsplit(index).hostname in _LOCAL for index in indexes)


_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", None})


def begin_to_ask(indexes: Sequence[str] | None) -> bool:
    """Let pip begin to tell its settings, which takes it half a second, if they will be needed; say if they will be.

    :param indexes: None stands for pip's own.
    """
    are_needed = indexes is None or are_needed_for(indexes)
    if are_needed:
        _pip()
    return are_needed


def default_index() -> str:
    """Return the index that pip uses here: ``PIP_INDEX_URL``, else pip's configuration, else pip's own default.

    ``extra-index-url`` is not used, and a warning says so: which of several indexes serves a project decides who may
    replace it (dependency confusion), so further indexes are named in ``mirror.yaml``, in order.
    """
    if named := os.environ.get("PIP_INDEX_URL"):
        return named
    if extra := _setting("extra-index-url"):
        shown = ", ".join(map(without_credentials, extra.split()))
        _log.warning("pip's extra-index-url is not used; to use it, list it under index in mirror.yaml: %s", shown)
    return _setting("index-url") or _endpoint()


def pip_settings() -> PipSettings:
    """Return how pip would reach an index from here."""
    timeout = _setting("timeout") or _setting("default-timeout")
    try:
        seconds = float(timeout) if timeout else None
    except ValueError:
        seconds = None
    trusted = frozenset((_setting("trusted-host") or "").split())
    return PipSettings(_setting("cert"), _setting("client-cert"), _setting("proxy"), seconds, trusted)


def _endpoint() -> str:
    """Return pip's own default, which pypi-simple has as a constant.

    The library's source is read for it, since importing the library takes half a second; it is imported only where the
    source does not say it in one line.
    """
    spec = importlib.util.find_spec("pypi_simple")
    for path in sorted(Path(str(spec.origin)).parent.glob("*.py")) if spec else ():
        if found := re.search(r'^PYPI_SIMPLE_ENDPOINT\b[^=\n]*= *"([^"\\\n]+)"', path.read_text("utf-8"), re.MULTILINE):
            return found[1]
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    return PYPI_SIMPLE_ENDPOINT


@lru_cache(maxsize=1)
def _pip() -> subprocess.Popen[str] | None:
    """Ask pip once; None where there is none."""
    asked = [sys.executable, "-m", "pip", "config", "list"]
    none = subprocess.DEVNULL
    try:
        return subprocess.Popen(asked, stdin=none, stdout=subprocess.PIPE, stderr=none, text=True)
    except OSError:
        return None


@lru_cache(maxsize=1)
def _configuration() -> Mapping[str, str]:
    """Return what ``pip config list`` says, by key ("global.index-url"); nothing where there is no pip."""
    pip = _pip()
    if pip is None:
        return {}
    try:
        listed, _ = pip.communicate(timeout=60)
    except (OSError, subprocess.SubprocessError, ValueError):
        pip.kill()
        return {}
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        try:
            found[key.strip()] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue  # a warning of pip's, not a setting
    return found


def _setting(name: str) -> str | None:
    """As pip does: the environment counts before the section of its command, and that before the global one."""
    spelled = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    keys = (f"{section}.{name}" for section in (":env:", "install", "global"))
    return spelled or next((_configuration()[key] for key in keys if _configuration().get(key)), None)
