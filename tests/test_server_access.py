"""TLS and passwords: who may read the mirror, and that nobody reads the passwords."""

from __future__ import annotations

import contextlib
import re
import ssl
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server_fixtures import (
    HOST,
    Client,
    ask,
    basic,
    load_server,
    make_mirror,
    run_here,
    running,
    wait_until,
    write_certificate,
)
from tests.stepping import every_interruption

LARGE = "/packages/large/large-1.0.tar.gz"
LARGE_SIZE = 10_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"), large=LARGE_SIZE)


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("passwords") / "users.txt"
    for user, password in (("alice", "wonder land"), ("b\u00f6b", "p\u00e4ss:wort")):
        assert run_here("add-user", str(path), user, stdin=f"{password}\n").returncode == 0
    return path


@pytest.fixture
def secure(root: Path, tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    with running(root, "--certfile", str(certificate), "--keyfile", str(key)) as served:
        assert "https://" in served.welcome[0]
        yield served.port, context


def test_pages_files_and_ranges_over_tls(secure: tuple[int, ssl.SSLContext], root: Path) -> None:
    content = (root / LARGE[1:]).read_bytes()
    with Client(*secure) as client:
        assert client.ask("/simple/alpha/").status == 200
        assert client.ask(LARGE).body == content
        assert client.ask(LARGE, "Range: bytes=5-9,20-29").status == 206
        assert client.ask(LARGE, "Range: bytes=-1000000").body == content[-1_000_000:]
        assert client.ask(LARGE, method="HEAD").status == 200
        assert client.ask("/simple/alpha/", "Connection: close").status == 200
        assert client.is_closed()


def test_clients_that_break_off_over_tls_leave_the_server_well(secure: tuple[int, ssl.SSLContext]) -> None:
    port, context = secure
    for _ in range(5):
        with Client(port, context) as client:
            client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
            client.stream.readline()
        with Client(port) as plain, contextlib.suppress(ConnectionError):
            plain.send(f"GET / HTTP/1.1\r\n{HOST}\r\n")
            plain.stream.read()
    with Client(port, context) as client:
        assert wait_until(lambda: b"mirror_connections 1\n" in client.ask("/metrics").body)


def test_no_tls_older_than_1_2(secure: tuple[int, ssl.SSLContext]) -> None:
    port, context = secure
    with Client(port, context) as client:
        version = client.socket.version()  # type: ignore[attr-defined]
        assert version in ("TLSv1.2", "TLSv1.3")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(port, context)


def test_a_password_is_asked_for_everything_but_health(root: Path, passwords: Path) -> None:
    with running(root, "--passwords", str(passwords), "--passwords-over-plain-http") as served:
        with Client(served.port) as client:
            for target in ("/", "/simple/", "/simple/none/", LARGE, "/metrics", "/none"):
                answer = client.ask(target)
                assert (answer.status, answer["WWW-Authenticate"]) == (401, 'Basic realm="mirror", charset="UTF-8"')
            assert client.ask("/health").status == 200
            for wrong in (
                basic("alice", "wonder"),
                basic("nobody", "wonder land"),
                basic("", ""),
                "Authorization: Basic !!",
                "Authorization: Bearer abc",
                "Authorization: Basic",
            ):
                assert client.ask("/simple/", wrong).status == 401
            for user, password in (("alice", "wonder land"), ("b\u00f6b", "p\u00e4ss:wort")):
                for _ in range(3):
                    assert client.ask("/simple/alpha/", basic(user, password)).status == 200
            files = client.ask(LARGE, basic("alice", "wonder land"))
            assert files["Cache-Control"].startswith("private")
            assert len(files.body) == LARGE_SIZE
            client.send(f"GET /simple/ HTTP/1.1\r\n{HOST}{basic('nobody', 'x')}\r\n\r\n" * 3)
            assert [client.read_answer().status for _ in range(3)] == [401, 401, 401]
        served.wait_for_line(r" alice \[.*GET /packages/large/")
    assert "wonder" not in "".join([*served.output, *served.errors])


def test_a_user_who_is_taken_out_of_the_file_is_out(root: Path, passwords: Path, tmp_path: Path) -> None:
    copy = tmp_path / "users.txt"
    copy.write_bytes(passwords.read_bytes())
    with running(root, "--passwords", str(copy), "--passwords-over-plain-http") as served:
        assert ask(served.port, "/simple/", basic("alice", "wonder land")).status == 200
        copy.write_text("".join(line for line in copy.read_text("utf-8").splitlines(True) if "alice" not in line))
        assert ask(served.port, "/simple/", basic("alice", "wonder land")).status == 401


def test_passwords_are_never_asked_over_plain_http_unless_insisted(root: Path, passwords: Path) -> None:
    done = run_here("--root", str(root), "--port", "0", "--passwords", str(passwords))
    assert done.returncode == 1
    assert "--passwords-over-plain-http" in done.stderr


def test_the_password_file_holds_no_password_and_is_for_its_owner(passwords: Path) -> None:
    text = passwords.read_text("utf-8")
    assert "wonder" not in text
    assert re.match(r"alice:(scrypt\$16384,8,1|pbkdf2\$600000)\$", text)
    assert passwords.stat().st_mode & 0o077 == 0


def test_a_user_who_is_added_again_has_the_new_password_only(tmp_path: Path) -> None:
    server = load_server()
    path = tmp_path / "users.txt"
    for password in ("old", "new"):
        server.add_user(path, "alice", password)
    known = server.Passwords(path)
    logins = {password: login_of(known, password) for password in ("old", "new")}
    assert not known.conclude(logins["old"], known.check(logins["old"]))
    assert known.remembered(logins["new"]) is None
    assert known.conclude(logins["new"], known.check(logins["new"]))
    assert (known.remembered(logins["new"]), known.remembered(logins["old"])) == (True, False)


def login_of(passwords: Any, password: str) -> Any:
    return passwords.login(basic("alice", password).partition(": ")[2])


@pytest.mark.parametrize("change", ["deleted", "another password", "a file that can't be read"])
def test_a_user_who_is_taken_out_while_his_password_is_checked_is_out(tmp_path: Path, change: str) -> None:
    server = load_server()
    path = tmp_path / "users.txt"
    for user in ("alice", "bob"):
        server.add_user(path, user, "secret")
    known = server.Passwords(path)
    login = login_of(known, "secret")
    right = known.check(login)  # in the thread, while this happens:
    text = path.read_text("utf-8")
    if change == "another password":
        server.add_user(path, "alice", "other")
    else:
        path.write_text("".join(line for line in text.splitlines(True) if not line.startswith("alice")))
    if change == "a file that can't be read":
        path.unlink()
        with pytest.raises(server.SetupError):
            known.conclude(login, right)
        return
    assert right
    assert not known.conclude(login, right)
    assert known.remembered(login_of(known, "secret")) is None
    path.write_text(text)  # back again, as it was: what he says now has to be checked
    assert known.remembered(login_of(known, "secret")) is None


def test_a_user_who_is_taken_out_is_out_at_whatever_moment_of_his_login_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = load_server()
    monkeypatch.delitem(server.METHODS, "scrypt", raising=False)
    monkeypatch.setitem(server.METHODS, "pbkdf2", (server.pbkdf2, (1,)))  # quick: what it computes is not looked at
    path = tmp_path / "users.txt"
    for user in ("alice", "bob"):
        server.add_user(path, user, "secret")
    both = path.read_text("utf-8")
    passwords: list[Any] = []

    def log_in() -> bool:
        login = login_of(passwords[-1], "secret")
        return bool(passwords[-1].conclude(login, passwords[-1].check(login)))

    def take_out() -> int:
        return path.write_text(both[both.index("bob") :], "utf-8")

    def scene() -> tuple[Callable[[], bool], Callable[[], int]]:
        path.write_text(both, "utf-8")
        passwords.append(server.Passwords(path))
        return log_in, take_out

    let_in = []
    for run in every_interruption(scene, server):
        let_in.append(run.first)
        assert not passwords[-1].remembered(login_of(passwords[-1], "secret")), run
        assert not log_in(), run
    assert set(let_in) == {False, True}, "the moments before and after the last look at the file were tried"


def test_one_users_change_does_not_have_all_others_checked_again(tmp_path: Path) -> None:
    server = load_server()
    path = tmp_path / "users.txt"
    server.add_user(path, "alice", "secret")
    known = server.Passwords(path)
    login = login_of(known, "secret")
    assert known.conclude(login, known.check(login))
    server.add_user(path, "bob", "other")
    assert known.remembered(login_of(known, "secret")) is True


def test_a_python_without_scrypt_uses_pbkdf2_and_reads_no_scrypt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = load_server()
    path = tmp_path / "users.txt"
    server.add_user(path, "alice", "by scrypt")
    monkeypatch.delitem(server.METHODS, "scrypt")
    with pytest.raises(server.SetupError, match="add-user"):
        server.Passwords(path)
    server.add_user(path, "alice", "by pbkdf2")
    assert path.read_text("utf-8").startswith("alice:pbkdf2$600000$")
    known = server.Passwords(path)
    assert known.check(login_of(known, "by pbkdf2"))


@pytest.mark.parametrize("user", ["a:b", "", "#x", "a\nb"])
def test_a_user_that_can_not_be_written_is_refused(tmp_path: Path, user: str) -> None:
    done = run_here("add-user", str(tmp_path / "users.txt"), user, stdin="x\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "users.txt").exists()


@pytest.mark.parametrize("line", ["alice:plain", "alice:scrypt$1,2$x$y", "alice:md5$1$eA==$eA==", "alice"])
def test_a_password_file_with_a_line_that_is_none_is_refused(root: Path, tmp_path: Path, line: str) -> None:
    path = tmp_path / "users.txt"
    path.write_text(line + "\n")
    done = run_here("--root", str(root), "--passwords", str(path), "--passwords-over-plain-http", "--port", "0")
    assert done.returncode == 1
    assert "'alice'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_file_that_vanishes_lets_nobody_in(root: Path, passwords: Path, tmp_path: Path) -> None:
    copy = tmp_path / "users.txt"
    copy.write_bytes(passwords.read_bytes())
    with running(root, "--passwords", str(copy), "--passwords-over-plain-http") as served:
        copy.unlink()
        assert ask(served.port, "/simple/", basic("alice", "wonder land")).status == 500
        assert wait_until(lambda: any("password file" in line for line in served.errors))
