"""What pip trusts and reaches, behind TLS inspection and proxies, is trusted and reached here, and nothing else."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index import certificates, pip_settings
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pip_settings import PipSettings
from tests.fake_index import HTML, FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder, packages
from tests.pip import forget_settings, run_pip
from tests.server_fixtures import write_certificate
from tests.test_pip_settings import needs_pip

CA = "{ca}"  # in a setting: the authority that inspects
OTHERS = str(DEFAULT_CA_BUNDLE_PATH)  # in a setting: a bundle without it


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        is_proxy = name.lower().endswith("_proxy")
        if is_proxy or name.startswith(("PIP_", "SSL_CERT_")) or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    forget_settings()
    yield
    forget_settings()


@pytest.fixture
def inspected(tmp_path: Path) -> Iterator[str]:
    """An index behind an authority that only this machine knows of: its URL."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    index = FakeIndex({"foo": [wheel("foo", "1.0")]}, formats=(HTML,), tls=context)
    with index:
        yield index.url


def pip_reaches(url: str, folder: Path) -> bool:
    options = ["--no-deps", "--no-cache-dir", "--retries", "0", "--dest", str(folder / "downloads")]
    return run_pip(["download", *options, "--index-url", url, "foo"], folder, os.environ).returncode == 0


def we_reach(url: str) -> bool:
    with Upstream([url], retries=0) as upstream:
        try:
            return upstream.page("foo", None) is not None
        except UpstreamError as error:
            assert "certificate" in str(error).lower()  # noqa: PT017 - the only reason not to be reached
            assert error.advice == certificates.ADVICE  # noqa: PT017
            return False


# Seen with pip 26.3: it reaches the index in the same cases.
@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({}, False),
        ({"SSL_CERT_FILE": CA}, True),  # the system's authorities
        ({"SSL_CERT_FILE": CA, "PIP_CERT": OTHERS}, True),  # beside those that are named
        ({"SSL_CERT_FILE": CA, "PIP_USE_DEPRECATED": "legacy-certs"}, False),
        ({"PIP_CERT": CA, "PIP_USE_DEPRECATED": "legacy-certs"}, True),
        ({"PIP_CERT": CA}, True),
        ({"REQUESTS_CA_BUNDLE": CA}, True),
        ({"CURL_CA_BUNDLE": CA}, True),
        ({"REQUESTS_CA_BUNDLE": OTHERS, "CURL_CA_BUNDLE": CA}, False),
        ({"REQUESTS_CA_BUNDLE": OTHERS, "PIP_CERT": CA}, False),  # the variable wins in pip
        ({"REQUESTS_CA_BUNDLE": CA, "PIP_NO_PROXY_ENV": "1"}, False),
        ({"PIP_TRUSTED_HOST": "127.0.0.1"}, True),
    ],
)
def test_who_is_trusted_by_pip_is_trusted_and_nobody_else(
    inspected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], reached: bool
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value.format(ca=tmp_path / "cert.pem"))
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)  # its variables are read; asking it takes long
    monkeypatch.setattr("importlib.metadata.version", lambda _: "26.3")
    assert we_reach(inspected) is reached


# What an older one does is tested below, by its version.
needs_new_pip = pytest.mark.skipif(not certificates.trusts_system(PipSettings()), reason="the pip here is before 24.2")


@needs_pip
@needs_new_pip
@pytest.mark.parametrize("deprecated", ["", "legacy-certs"])
def test_pip_itself_reaches_what_is_reached(
    inspected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deprecated: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    monkeypatch.setenv("PIP_USE_DEPRECATED", deprecated)
    assert we_reach(inspected) is pip_reaches(inspected, tmp_path)


def test_where_openssl_finds_no_certificates_truststore_does(
    inspected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import truststore

    monkeypatch.setattr("importlib.metadata.version", lambda _: "26.3")
    monkeypatch.setattr(certificates, "_openssl_finds_them", lambda: False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert isinstance(certificates.system_context(), truststore.SSLContext)
    assert we_reach(inspected)


class Watched(ssl.SSLContext):
    """A context that knows what was read into it, or is to be looked at."""

    read: list[str]

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        self.read += [str(one) for one in (cafile, capath) if one]
        super().load_verify_locations(cafile, capath, cadata)

    def set_default_verify_paths(self) -> None:
        self.read += [os.environ["SSL_CERT_FILE"], os.environ["SSL_CERT_DIR"]]
        super().set_default_verify_paths()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The context that is made, on a machine whose pip trusts the system's authorities."""
    context = Watched(ssl.PROTOCOL_TLS_CLIENT)
    context.read = []
    monkeypatch.setattr(certificates, "create_urllib3_context", lambda: context)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "26.3")
    return context


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system itself is asked")
def test_a_bundle_that_is_the_system_s_as_well_is_read_once(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, folder = write_certificate(tmp_path)[0], tmp_path / "system"
    folder.mkdir()
    (folder / "bundle.pem").symlink_to(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    certificates.tls_context(PipSettings())
    assert sorted(watched.read) == sorted([OTHERS, str(bundle), str(folder)])


def test_a_system_s_bundle_that_is_named_as_well_and_can_t_be_read_is_told(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "broken.pem"))
    with pytest.raises(UpstreamError, match=r"broken\.pem"):
        certificates.tls_context(PipSettings())


@pytest.mark.parametrize(
    ("version", "features", "trusts"),
    [("24.1.2", (), False), ("24.1.2", ("truststore",), True), ("22.1", ("truststore",), False), ("24.2", (), True)],
)
def test_an_older_pip_trusts_the_system_only_where_it_was_told_to(
    monkeypatch: pytest.MonkeyPatch, version: str, features: tuple[str, ...], trusts: bool
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    assert certificates.trusts_system(PipSettings(features=frozenset(features))) is trusts


@needs_new_pip
def test_a_mirror_is_made_behind_tls_inspection(inspected: str, tmp_path: Path) -> None:
    folder = mirror_folder(tmp_path / "run", None)
    folder.configure(inspected, requirements=["foo"])
    done = folder.doit("mirror", SSL_CERT_FILE=str(tmp_path / "cert.pem"), REQUESTS_CA_BUNDLE="", CURL_CA_BUNDLE="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert packages(folder.output) == {"foo": ["foo-1.0-py3-none-any.whl"]}


# --- SOCKS


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read its variables, which takes no time."""
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)


class SocksProxy:
    """A SOCKS 5 proxy on 127.0.0.1 (RFC 1928) that leads everywhere to one place.

    :ivar asked: the names that it was asked for.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.asked: list[str] = []
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> SocksProxy:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            _, count = stream.read(2)
            stream.read(count)
            client.sendall(b"\x05\x00")
            kind = stream.read(4)[3]
            name = stream.read(stream.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(stream.read(4))
            (port,) = struct.unpack(">H", stream.read(2))
            self.asked.append(f"{name}:{port}")
            with socket.create_connection(self._target) as server:
                client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join(10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.usefixtures("without_pip")
@pytest.mark.parametrize("where", ["pip", "environment"])
def test_an_index_is_reached_through_a_socks_proxy(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    with FakeIndex({"foo": [wheel("foo", "1.0")]}) as index:
        host, port = index.origin.removeprefix("http://").split(":")
        with SocksProxy((host, int(port))) as proxy:
            monkeypatch.setenv("PIP_PROXY" if where == "pip" else "all_proxy", f"socks5h://{proxy.address}")
            with Upstream(["http://index.example.com/simple/"], retries=0) as upstream:
                page = upstream.page("foo", None)
        assert page is not None
        assert page.url == "http://index.example.com/simple/foo/"
        assert proxy.asked == ["index.example.com:80"]


def proxied(proxy: str, monkeypatch: pytest.MonkeyPatch) -> UpstreamError:
    monkeypatch.setenv("PIP_PROXY", proxy)
    with (
        Upstream(["http://index.example.com/simple/"], retries=0) as upstream,
        pytest.raises(UpstreamError) as failed,
    ):
        upstream.page("foo", None)
    assert "s3cret" not in str(failed.value)
    return failed.value


@pytest.mark.usefixtures("without_pip")
def test_without_pysocks_a_socks_proxy_is_an_error_that_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "socks" or name.startswith("urllib3.contrib.socks")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "socks", None)
    error = proxied("socks5://me:s3cret@127.0.0.1:9", monkeypatch)
    assert "mirror-tasks[socks]" in error.advice
    assert "PySocks" in error.problem


@pytest.mark.usefixtures("without_pip")
@pytest.mark.parametrize("proxy", ["socks9://me:s3cret@127.0.0.1:9", "gopher://me:s3cret@127.0.0.1:9", "socks5://["])
def test_a_proxy_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    assert "Traceback" not in str(proxied(proxy, monkeypatch))


@pytest.mark.usefixtures("without_pip")
def test_a_socks_proxy_that_can_not_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error: Any = proxied(f"socks5://me:s3cret@127.0.0.1:{closed.getsockname()[1]}", monkeypatch)
    assert error.status is None
