"""Each index is logged in to with what is its own: from the keyring where pip would ask it, with its own certificate."""

from __future__ import annotations

import base64
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirror_tasks.config.model import Index
from mirror_tasks.errors import UpstreamError
from mirror_tasks.index import keyrings, pip_settings
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pip_settings import PipSettings
from mirror_tasks.index.project import File
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.pip import forget_settings
from tests.server_fixtures import write_certificate
from tests.test_config import WHOLE, config, faults

SECRET = "hunter2"
WHEEL = wheel("foo", "1.0")

# Tells what it was asked for, and answers from a list.
KEYRING = """
import json, os, sys
class Found:
    def __init__(self, username, password):
        self.username, self.password = username, password
def get_credential(service, username):
    with open({asked!r}, "a") as log:
        print(json.dumps([service, username]), file=log)
    {body}
    found = {known!r}.get(service)
    return Found(*found) if found and username in (None, found[0]) else None
"""
# As keyring's own command does it.
COMMAND = """#!{python}
import sys
sys.path.insert(0, {folder!r})
import json, keyring
assert sys.argv[1:4] == ["--mode=creds", "--output=json", "get"], sys.argv
assert sys.stdin.read() == ""
found = keyring.get_credential(*(sys.argv[4:] + [None])[:2])
if found is None:
    sys.exit(1)
print(json.dumps({{"username": found.username, "password": found.password}}))
"""


class FakeKeyring:
    """A keyring of this test: as the module, or as the command."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch
        self._log = folder / "asked.jsonl"

    def install(self, known: dict[str, tuple[str, str]], body: str = "", *, command: bool = False) -> None:
        module = self._folder / "keyring.py"
        module.write_text(KEYRING.format(asked=str(self._log), known=known, body=body))
        if command:
            program = self._folder / "keyring"
            program.write_text(COMMAND.format(python=sys.executable, folder=str(self._folder)))
            program.chmod(0o755)
            self._patch.setenv("PATH", str(self._folder), prepend=os.pathsep)
        else:
            self._patch.syspath_prepend(self._folder)
            self._patch.setenv("PYTHONPATH", str(self._folder))

    @property
    def asked(self) -> list[list[str | None]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    (tmp_path / "keys").mkdir()
    return FakeKeyring(tmp_path / "keys", monkeypatch)


@pytest.fixture
def private() -> Iterator[FakeIndex]:
    with FakeIndex({"foo": [WHEEL], "bar": [wheel("bar", "1.0")]}, auth=("me", SECRET)) as index:
        yield index


def as_user(index: FakeIndex) -> str:
    return index.url.replace("//", "//me@")


def host_of(index: FakeIndex) -> str:
    return index.origin.removeprefix("http://")


def passwords(index: FakeIndex) -> list[tuple[str, str]]:
    """Return what was asked for, with the password that came along."""
    sent = [(one.path, one.headers.get("authorization", "Basic ").removeprefix("Basic ")) for one in index.log]
    return [(path, base64.b64decode(header).decode().partition(":")[2]) for path, header in sent]


# --- The keyring


@pytest.mark.parametrize("command", [False, pytest.param(True, marks=pytest.mark.skipif(os.name == "nt", reason="#!"))])
@pytest.mark.parametrize("service", ["url", "host"])
def test_a_keyring_is_asked_once_for_an_index_that_wants_a_password(
    private: FakeIndex, keyring: FakeKeyring, service: str, command: bool
) -> None:
    services = {"url": private.url, "host": host_of(private)}
    keyring.install({services[service]: ("me", SECRET)}, command=command)
    with Upstream([as_user(private)], retries=0) as upstream:
        with ThreadPoolExecutor(6) as threads:
            assert all(threads.map(lambda name: upstream.page(name, None), ("foo", "bar") * 3))
        assert upstream.page("foo", None) is not None
    expected = [[private.url, "me"], [host_of(private), "me"]]
    assert keyring.asked == (expected[:1] if service == "url" else expected)
    assert passwords(private)[-1] == ("/simple/foo/", SECRET)  # at once, from then on


def test_the_module_is_told_the_user_and_the_service_on_no_command_line(keyring: FakeKeyring) -> None:
    keyring.install(
        {"service": ("t0ken", SECRET)}, "assert not {'t0ken', 'service'} & set(sys.orig_argv), sys.orig_argv"
    )
    assert keyrings.credentials("import", ["service"], "t0ken") == ("t0ken", SECRET)


def test_no_keyring_is_asked_for_an_index_that_answers(keyring: FakeKeyring) -> None:
    keyring.install({})
    with FakeIndex({"foo": []}) as index, Upstream([as_user(index)]) as upstream:
        upstream.page("foo", None)
    assert keyring.asked == []


@pytest.mark.parametrize("login", ["", "me:wrong"])
def test_without_a_user_or_with_a_password_in_the_url_no_keyring_is_asked(
    private: FakeIndex, keyring: FakeKeyring, login: str
) -> None:
    keyring.install({private.url: ("me", SECRET)})
    url = private.url.replace("//", f"//{login}@") if login else private.url
    with Upstream([url]) as upstream, pytest.raises(UpstreamError, match="keyring") as refused:
        upstream.page("foo", None)
    assert refused.value.status == 401
    assert keyring.asked == []


def test_what_the_keyring_has_is_tried_once_and_then_the_user_is_told(private: FakeIndex, keyring: FakeKeyring) -> None:
    keyring.install({private.url: ("me", "old")})
    with Upstream([as_user(private)]) as upstream, pytest.raises(UpstreamError) as refused:
        upstream.page("foo", None)
    assert refused.value.status == 401
    assert private.requests["/simple/foo/"] == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise RuntimeError('no backend')", "RuntimeError: no backend"),
        (f"print('{SECRET}')", "expected JSON, found something else"),
        ("import os; os._exit(3)", "it ended with 3: it said nothing"),
        ("import getpass; getpass.getpass('unlock: ')", "EOFError"),  # nobody is asked for anything
        ("import threading; threading.Event().wait()", "it did not answer within 0.01 seconds"),
        ("return Found(1, 2)", "expected a user and a password"),
    ],
)
def test_a_keyring_that_fails_is_told_in_one_line_and_is_as_good_as_none(
    private: FakeIndex,
    keyring: FakeKeyring,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    body: str,
    told: str,
) -> None:
    keyring.install({private.url: ("me", SECRET)}, body)
    if "wait" in body:
        monkeypatch.setattr(keyrings, "PATIENCE", 0.01)
    with Upstream([as_user(private)]) as upstream:
        for _ in range(2):
            with pytest.raises(UpstreamError) as refused:
                upstream.page("foo", None)
            assert refused.value.status == 401
    (line,) = [record.getMessage() for record in caplog.records]
    assert told in line
    assert SECRET not in line + str(refused.value)


def test_the_keyrings_password_goes_to_no_other_origin(
    private: FakeIndex, keyring: FakeKeyring, tmp_path: Path
) -> None:
    keyring.install({private.url: ("me", SECRET)})
    with FakeIndex({"foo": [WHEEL]}, auth=("me", SECRET)) as files, Upstream([as_user(private)]) as upstream:
        upstream.page("foo", None)
        file = File(WHEEL[0], files.file_url("foo", WHEEL[0]), {}, None, None, None, None, None)
        with pytest.raises(UpstreamError):
            upstream.download(file, tmp_path / WHEEL[0], lambda _: None)
        assert ["authorization" in request.headers for request in files.log] == [False]
    assert keyring.asked == [[private.url, "me"]]


def test_of_two_indexes_on_one_host_each_has_its_own_password_in_the_keyring(keyring: FakeKeyring) -> None:
    with FakeIndex({}, auth=("me", SECRET)) as index:
        one, two = (f"{index.origin}/{name}/" for name in ("one", "two"))
        keyring.install({one: ("me", SECRET), two: ("me", "other")})
        with Upstream([one.replace("//", "//me@", 1), two.replace("//", "//me@", 1)]) as upstream:
            with pytest.raises(UpstreamError):
                upstream.page("foo", None)  # the first lacks it, the second refuses
            with pytest.raises(UpstreamError):
                upstream.read(f"{index.origin}/files/foo", limit=10)  # below neither of them
    assert keyring.asked == [[one, "me"], [two, "me"]]
    assert passwords(index) == [
        ("/one/foo/", ""),
        ("/one/foo/", SECRET),
        ("/two/foo/", ""),
        ("/two/foo/", "other"),
        ("/files/foo", ""),
    ]


@pytest.mark.parametrize(
    ("provider", "user", "found"),
    [
        ("auto", "me", True),
        ("auto", "", False),  # as pip without a terminal
        ("import", "", True),
        ("import", "me", True),
        ("disabled", "me", False),
        ("subprocess", "me", False),  # there is only the module
    ],
)
def test_pips_keyring_provider_says_who_is_asked(
    keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch, provider: str, user: str, found: bool
) -> None:
    monkeypatch.setenv("PATH", "")
    keyring.install({"service": ("me", SECRET)})
    asked = keyrings.credentials(provider, ["other", "service"], user)
    assert asked == (("me", SECRET) if found else None)


@pytest.mark.skipif(os.name == "nt", reason="the command of this test begins with #!")
def test_the_command_finds_a_user_too(keyring: FakeKeyring) -> None:
    keyring.install({"service": ("me", SECRET)}, command=True)
    assert keyrings.credentials("subprocess", ["service"], "") == ("me", SECRET)


@pytest.fixture
def set_pip(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    monkeypatch.setattr(pip_settings, "_has_pip", lambda: False)  # its variables are read; asking it takes long

    def write(provider: str) -> None:
        monkeypatch.setenv("PIP_KEYRING_PROVIDER", provider)
        forget_settings()

    yield write
    forget_settings()


def test_the_provider_is_that_of_pip_or_an_error(set_pip: Callable[[str], None]) -> None:
    set_pip("import")
    assert pip_settings.pip_settings().keyring_provider == "import"
    set_pip("vault")
    with pytest.raises(UpstreamError, match="expected one of auto, disabled, import, subprocess"):
        pip_settings.pip_settings()


def test_a_user_without_a_password_is_a_token_as_for_pip(keyring: FakeKeyring) -> None:
    index = FakeIndex({"foo": [WHEEL]}, auth=("t0ken", ""))
    with index, Upstream([index.url.replace("//", "//t0ken@")]) as upstream:
        assert upstream.page("foo", None) is not None
    assert keyring.asked == []


def test_netrc_counts_before_the_keyring(
    private: FakeIndex, keyring: FakeKeyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.install({private.url: ("me", "old")})
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Upstream([as_user(private)]) as upstream:
        assert upstream.page("foo", None) is not None
    assert keyring.asked == []


# --- Client certificates


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate that everybody trusts here, and the same with its key in one file."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    certificate, key = write_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return certificate, both


def strict_index(certificates: tuple[Path, Path]) -> FakeIndex:
    """An index that lets nobody in without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates[1])
    context.load_verify_locations(certificates[0])
    context.verify_mode = ssl.CERT_REQUIRED
    return FakeIndex({"foo": [WHEEL]}, tls=context)


def test_an_index_is_shown_its_own_client_certificate_and_no_other_origin_is(
    certificates: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = PipSettings(cert=str(certificates[0]))
    with strict_index(certificates) as one, strict_index(certificates) as other:
        index = Index(one.url, client_cert=str(certificates[1]))
        with Upstream([index, other.url], retries=0, settings=settings) as upstream:
            assert upstream.page("foo", None) is not None
            file = File(WHEEL[0], other.file_url("foo", WHEEL[0]), {}, None, None, None, None, None)
            with pytest.raises(UpstreamError):
                upstream.download(file, tmp_path / WHEEL[0], lambda _: None)
        assert other.log == []


def test_an_index_without_a_client_certificate_of_its_own_is_shown_that_of_pip(certificates: tuple[Path, Path]) -> None:
    settings = PipSettings(cert=str(certificates[0]), client_cert=str(certificates[1]))
    with strict_index(certificates) as index, Upstream([index.url], retries=0, settings=settings) as upstream:
        assert upstream.page("foo", None) is not None


@pytest.mark.parametrize("trusted", [False, True])
def test_a_client_certificate_that_can_not_be_used_is_told_and_no_passphrase_is_asked_for(
    certificates: tuple[Path, Path], tmp_path: Path, trusted: bool
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    hosts = frozenset({"127.0.0.1"} if trusted else ())
    settings = PipSettings(cert=str(certificates[0]), trusted_hosts=hosts)
    with strict_index(certificates) as index:
        one = Index(index.url, client_cert=str(wrong))
        with Upstream([one], retries=0, settings=settings) as upstream, pytest.raises(UpstreamError) as told:
            upstream.page("foo", None)
    assert "client-cert" in str(told.value)


def test_the_path_of_a_client_certificate_is_relative_to_mirror_yaml(tmp_path: Path) -> None:
    (tmp_path / "me.pem").write_text("")
    text = f"{WHOLE}\nindex: [{{url: 'https://a.example.com/', client-cert: me.pem}}]"
    assert config(tmp_path, text).indexes == (Index("https://a.example.com/", client_cert=str(tmp_path / "me.pem")),)
    (said,) = faults(tmp_path, text.replace("me.pem", "you.pem"))
    assert said.startswith("index[0].client-cert: expected a file with a certificate and its key, found none: ")
