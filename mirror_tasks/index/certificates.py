"""Whom to trust over TLS: what the pip of this machine trusts, so that what it reaches behind TLS inspection is reached here.

Since 24.2 pip trusts the system's authorities, by way of truststore, beside those of its own bundle and of a bundle that is
named to it; with ``use-deprecated = legacy-certs`` the bundle alone, as before.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version
from urllib3.util.ssl_ import create_urllib3_context

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.pip_settings import PipSettings

_log = logging.getLogger("mirror_tasks")

ADVICE = (
    "Check the certificate settings (PIP_CERT, PIP_CLIENT_CERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, and "
    "client-cert in mirror.yaml)."
)
_ALWAYS, _WHEN_ASKED = Version("24.2"), Version("22.2")  # of pip: since when it trusts the system's authorities


def tls_context(settings: PipSettings) -> ssl.SSLContext:
    """Return a context that trusts whom pip trusts here.

    :raises UpstreamError: a file with certificates can't be read.
    """
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    own = str(DEFAULT_CA_BUNDLE_PATH)
    bundle = _bundle(settings) or own
    by_system = trusts_system(settings)
    paths = list(dict.fromkeys([own, bundle] if by_system else [bundle]))
    context = system_context(paths) if by_system else create_urllib3_context()
    for path in paths:
        try:
            _load(context, path)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(path, error) from error
    if settings.client_cert:
        try:
            context.load_cert_chain(settings.client_cert, password=_no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(settings.client_cert, error) from error
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask the terminal for it."""
    raise ssl.SSLError("expected a key without a passphrase, found one that has one")


def _load(context: ssl.SSLContext, bundle: str) -> None:
    if Path(bundle).is_dir():
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)


def _unreadable(path: str, error: Exception) -> UpstreamError:
    return UpstreamError("reading the certificates", path, str(error), ADVICE)


def _bundle(settings: PipSettings) -> str | None:
    """As in pip a variable wins over its own setting, and is not looked at where pip leaves the environment alone."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return (named if settings.uses_environment else None) or settings.cert


def trusts_system(settings: PipSettings) -> bool:
    """Say if the pip of this machine trusts the system's authorities; where there is none, as the newest does."""
    if "legacy-certs" in settings.deprecated:
        return False
    try:
        version = Version(importlib.metadata.version("pip"))
    except (importlib.metadata.PackageNotFoundError, InvalidVersion):
        return True
    return version >= _ALWAYS or (version >= _WHEN_ASKED and "truststore" in settings.features)


def system_context(read_besides: Iterable[str] = ()) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities.

    :param read_besides: bundles that the caller reads into it: where the system's is one of them, it is not read here.

    truststore knows where each system has them. On Linux it reads them again for each connection (23 ms of processor time
    for 140 of them) and lets one handshake happen at a time; so where OpenSSL finds the same ones, they are read once.
    """
    if sys.platform not in ("win32", "darwin") and _openssl_finds_them():
        context = create_urllib3_context()
        _load_system(context, read_besides)
        return context
    try:
        import truststore
    except ImportError as error:
        _log.warning("the system's certificates can't be used on this platform, as pip can't: %s", error)
        return create_urllib3_context()
    chosen: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return chosen


def _load_system(context: ssl.SSLContext, read_besides: Iterable[str]) -> None:
    """Load what OpenSSL finds by itself, but for its bundle where that is read besides, which tells if it can't be read."""
    places = ssl.get_default_verify_paths()
    if any(_is_same(places.cafile, path) for path in read_besides):
        # As OpenSSL reads it: it may name several folders, of which Python's own answer tells none.
        folders = os.environ.get(places.openssl_capath_env, places.openssl_capath)
        if folders:
            context.load_verify_locations(capath=folders)
    else:
        context.set_default_verify_paths()


def _is_same(one: str | None, other: str) -> bool:
    try:
        return one is not None and Path(one).samefile(other)
    except OSError:
        return False


def _openssl_finds_them() -> bool:
    """Say if OpenSSL's own places, or those that SSL_CERT_FILE and SSL_CERT_DIR name, have certificates."""
    places = ssl.get_default_verify_paths()
    if places.cafile:
        return True
    try:
        paths = list(Path(places.capath).iterdir()) if places.capath else []
    except OSError:
        return False
    return any(
        re.fullmatch(r"[0-9a-fA-F]{8}\.[0-9]", path.name) for path in paths
    )  # its names for certificates: c_rehash
