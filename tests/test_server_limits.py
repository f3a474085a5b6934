"""No client holds up another one: limits on time, size and number, and an end that lets downloads finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest

from tests.server_fixtures import (
    HOST,
    PATIENCE,
    Client,
    ask,
    basic,
    load_server,
    make_mirror,
    running,
    wait_until,
    write_certificate,
)
from tests.stepping import Gate

LARGE = "/packages/large/large-1.0.tar.gz"
LARGE_SIZE = 30_000_000  # more than the buffers between two sockets hold

T = TypeVar("T")


@pytest.fixture(scope="module")
def server() -> ModuleType:
    return load_server()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"), large=LARGE_SIZE)


class Clock:
    """The server's clock, in the hand of a test: it stands still until the test lets time pass."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@contextlib.contextmanager
def running_with(
    server: ModuleType, root: Path, passwords: object = None, tls: ssl.SSLContext | None = None, **limits: int
) -> Iterator[tuple[int, Any]]:
    """Run a server in a thread of this process, by a clock of its own (``now``); yield its port and the server.

    Whoever is too slow is so by that clock, and never because this machine is busy.
    """
    sockets = server.listen("127.0.0.1", 0)
    started = threading.Event()
    running_server = server.Server(server.Tree(root), server.DEFAULTS._replace(**limits), passwords)

    def start() -> None:
        running_server.now = Clock()
        started.set()

    job = running_server.run(sockets, tls, start)
    thread = threading.Thread(target=asyncio.run, args=(job,))
    thread.start()

    def stop_at_once() -> None:
        # In one call: after the first, the loop may be closed before a second one reaches it.
        running_server.stop()
        running_server.stop()

    try:
        assert started.wait(PATIENCE)
        yield sockets[0].getsockname()[1], running_server
    finally:
        running_server.loop.call_soon_threadsafe(stop_at_once)
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert running_server._metrics.faults == 0


def in_its_thread(running_server: Any, function: Callable[[], T]) -> T:
    """Return what a function returns between two turns of the server: nothing is half done then, or changes meanwhile."""

    async def call() -> T:
        return function()

    return asyncio.run_coroutine_threadsafe(call(), running_server.loop).result(PATIENCE)


def pass_time(running_server: Any, seconds: float) -> None:
    in_its_thread(running_server, lambda: running_server.now.pass_by(seconds))


def count_connections(running_server: Any) -> int:
    return in_its_thread(running_server, lambda: len(running_server._connections))


def wait_for_bytes(running_server: Any, count: int) -> None:
    """Wait until so many bytes of a request that is not complete have come to the server."""

    def come() -> int:
        return sum(len(connection._buffer) for connection in running_server._connections)

    assert wait_until(lambda: in_its_thread(running_server, come) == count)


def wait_for_state(running_server: Any, name: str, count: int = 1) -> None:
    """Wait until so many connections are in a state."""

    def states() -> list[str]:
        return [connection.state.name for connection in running_server._connections]

    assert wait_until(lambda: in_its_thread(running_server, states).count(name) == count)


def test_a_request_that_takes_too_long_to_arrive_is_given_up(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server), Client(port) as client:
        client.send("GET / HTTP/1.1\r\n")
        wait_for_bytes(running_server, 16)
        pass_time(running_server, server.DEFAULTS.head_seconds + 0.1)
        assert client.read_answer().status == 408
        assert client.is_closed()


def test_one_byte_at_a_time_does_not_extend_the_time_for_a_request(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server), Client(port) as client:
        for count in range(1, 12):
            client.send("x")
            wait_for_bytes(running_server, count)
            pass_time(running_server, server.DEFAULTS.head_seconds / 11 + 0.01)
        assert client.read_answer().status == 408


def test_a_fault_of_the_program_costs_one_connection_and_not_the_server(
    server: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("made up")

    with running_with(server, root) as (port, running_server), Client(port) as client:
        with monkeypatch.context() as patch:
            patch.setattr(server.Connection, "expire", fail)
            client.send("GET / HTTP/1.1\r\n")
            wait_for_bytes(running_server, 16)
            pass_time(running_server, server.DEFAULTS.head_seconds + 0.1)
            assert client.is_closed()
            patch.setattr(server.Site, "respond", fail)
            assert ask(port, "/simple/alpha/").status == 500
        assert ask(port, "/simple/alpha/").status == 200
        assert running_server._metrics.faults == 2
        running_server._metrics.faults = 0
    assert "ZeroDivisionError: made up" in capfd.readouterr().err


def test_a_client_that_resets_its_connection_disturbs_nobody(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server):
        for request in (f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n", "GET / HT", "NONSENSE\r\n\r\n", "") * 5:
            with Client(port) as client:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.send(request)
        assert wait_until(lambda: not count_connections(running_server))
        assert ask(port, "/simple/alpha/").status == 200


def test_an_idle_connection_is_closed(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server), Client(port) as client, Client(port) as silent:
        assert client.ask("/health").status == 200
        wait_for_state(running_server, "WAITING", 2)
        pass_time(running_server, server.DEFAULTS.idle_seconds + 0.1)
        assert client.is_closed()
        assert silent.is_closed()


def given_up_in_the_end(running_server: Any) -> bool:
    """Let time pass again and again: what the system's buffers take at first counts as progress."""

    def has_no_connection() -> bool:
        pass_time(running_server, 1000)
        return not count_connections(running_server)

    return wait_until(has_no_connection)


def test_a_client_that_does_not_read_its_file_is_given_up(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server), Client(port) as client:
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
        wait_for_state(running_server, "ANSWERING")
        assert given_up_in_the_end(running_server)


def test_a_client_that_does_not_read_its_pages_is_given_up(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, running_server), Client(port) as client:
        client.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(100_000):
                client.socket.send(f"GET /simple/alpha/ HTTP/1.1\r\n{HOST}\r\n".encode())
        wait_for_state(running_server, "BLOCKED")
        assert given_up_in_the_end(running_server)


def test_clients_that_dawdle_hold_nobody_up(server: ModuleType, root: Path) -> None:
    with running_with(server, root) as (port, _), contextlib.ExitStack() as stack:
        for number in range(40):
            client = stack.enter_context(Client(port))
            client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n" if number % 2 else "GET /simp")
        for _ in range(20):
            assert ask(port, "/simple/alpha/").status == 200
        assert len(ask(port, LARGE).body) == LARGE_SIZE


@contextlib.contextmanager
def slow_passwords(server: ModuleType, folder: Path) -> Iterator[tuple[Any, Gate, list[str]]]:
    """Yield passwords that know alice, what lets a check of them end, and the passwords checked, in their order."""
    server.add_user(folder / "users.txt", "alice", "known")
    passwords, gate, checked = server.Passwords(folder / "users.txt"), Gate(), list[str]()
    check = passwords.check

    def wait_and_check(login: Any) -> bool:
        checked.append(login.password)
        gate.pass_through()
        return login.password == "known" and bool(check(login))

    passwords.check = wait_and_check
    try:
        yield passwords, gate, checked
    finally:
        gate.open()


def log_in(stack: contextlib.ExitStack, port: int, password: str) -> Client:
    client = stack.enter_context(Client(port))
    client.send(f"GET /simple/ HTTP/1.1\r\n{HOST}{basic('alice', password)}\r\n\r\n")
    return client


def test_who_guesses_passwords_holds_up_nobody_who_has_one(server: ModuleType, root: Path, tmp_path: Path) -> None:
    with (
        slow_passwords(server, tmp_path) as (passwords, gate, _),
        running_with(server, root, passwords) as (port, _),
        contextlib.ExitStack() as stack,
    ):
        login = passwords.login(basic("alice", "known").partition(": ")[2])
        assert passwords.conclude(login, True)
        guessers = [log_in(stack, port, f"guess {number}") for number in range(70)]
        assert ask(port, "/simple/", basic("alice", "known")).status == 200
        assert wait_until(lambda: b'status="503"} 4' in ask(port, "/metrics", basic("alice", "known")).body)
        gate.open()  # so many wait at most, and two are checked: the oldest lost their places
        answers = [guesser.read_answer() for guesser in guessers]
        assert [answer.status for answer in answers].count(503) == 4
        assert {answer["Retry-After"] for answer in answers if answer.status == 503} == {"1"}
        assert {answer.status for answer in answers} == {401, 503}


def test_a_user_whose_line_is_deleted_while_his_password_is_checked_is_out_at_once(
    server: ModuleType, root: Path, tmp_path: Path
) -> None:
    with (
        slow_passwords(server, tmp_path) as (passwords, gate, _),
        running_with(server, root, passwords) as (port, _),
        contextlib.ExitStack() as stack,
    ):
        client = log_in(stack, port, "known")
        gate.wait_for_arrival()
        (tmp_path / "users.txt").write_text("")
        gate.open()
        assert client.read_answer().status == 401
        assert log_in(stack, port, "known").read_answer().status == 401


def test_the_first_login_of_one_who_knows_his_password_is_not_lost_among_guesses(
    server: ModuleType, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.LoginQueue, "THREADS", 1)  # so that the order can be seen
    with (
        slow_passwords(server, tmp_path) as (passwords, gate, checked),
        running_with(server, root, passwords) as (port, running_server),
        contextlib.ExitStack() as stack,
    ):
        guessers = [log_in(stack, port, f"guess {number}") for number in range(80)]
        assert wait_until(lambda: running_server._metrics._requests["GET", 503] == 15)
        known = log_in(stack, port, "known")
        assert wait_until(lambda: running_server._metrics._requests["GET", 503] == 16)
        gate.open()
        assert known.read_answer().status == 200
        assert {guesser.read_answer().status for guesser in guessers} == {401, 503}
    assert checked.index("known") == 1  # next after the one that was under way


def test_addresses_take_turns_in_having_their_passwords_checked(server: ModuleType) -> None:
    checked, gate = list[str](), Gate()

    def check(login: Any) -> bool:
        checked.append(login.user)
        gate.pass_through()
        return True

    async def ask_all() -> list[bool]:
        checks = server.LoginQueue(check)
        checks.THREADS = 1  # so that the order can be seen
        asked = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("a4", "a")]
        jobs = [
            asyncio.ensure_future(checks.verdict(server.Login(user, "", "", user.encode()), address))
            for user, address in asked
        ]
        await asyncio.sleep(0)
        gate.open()
        answers = await asyncio.gather(*jobs)
        checks.close()
        return answers

    assert all(asyncio.run(ask_all()))
    assert checked == ["a1", "a4", "b1", "c1", "a3", "a2"]


def test_equal_logins_are_checked_once_and_wrong_ones_not_again(server: ModuleType, root: Path, tmp_path: Path) -> None:
    # As uv sends them, over fifty connections at once.
    with (
        slow_passwords(server, tmp_path) as (passwords, gate, checked),
        running_with(server, root, passwords) as (port, running_server),
        contextlib.ExitStack() as stack,
    ):
        right = [log_in(stack, port, "known") for _ in range(50)]
        wrong = [log_in(stack, port, "wrong") for _ in range(50)]
        wait_for_state(running_server, "ANSWERING", 100)
        gate.open()
        assert {client.read_answer().status for client in right} == {200}
        assert {client.read_answer().status for client in wrong} == {401}
        assert log_in(stack, port, "wrong").read_answer().status == 401
    assert sorted(checked) == ["known", "wrong"]


def test_a_line_that_can_not_be_computed_with_costs_one_answer(
    server: ModuleType, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users.txt").write_text("alice:scrypt$3,8,1$eA==$eA==\n")  # n is no power of two
    with running_with(server, root, server.Passwords(tmp_path / "users.txt")) as (port, running_server):
        for _ in range(3):
            assert ask(port, "/simple/", basic("alice", "known")).status == 500
        running_server._metrics.faults = 0


def test_beyond_the_number_of_connections_the_answer_is_503(server: ModuleType, root: Path) -> None:
    with running_with(server, root, connections=4) as (port, _), contextlib.ExitStack() as stack:
        busy = [stack.enter_context(Client(port)) for _ in range(4)]
        for client in busy:
            client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
            assert client.socket.recv(9) == b"HTTP/1.1 "
        refused = ask(port, "/simple/alpha/")
        assert (refused.status, refused["Retry-After"], refused["Connection"]) == (503, "1", "close")
        busy[0].socket.close()
        busy[0].stream.close()
        assert wait_until(lambda: ask(port, "/simple/alpha/").status == 200)


def test_an_idle_connection_makes_room_for_a_new_one(server: ModuleType, root: Path) -> None:
    with running_with(server, root, connections=3) as (port, running_server), contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Client(port)) for _ in range(3)]
        for client in idle:
            assert client.ask("/health").status == 200
            pass_time(running_server, 0.1)
        assert ask(port, "/simple/alpha/").status == 503, "none that has just come has to go"
        pass_time(running_server, 1.0)
        assert ask(port, "/simple/alpha/").status == 200
        assert idle[0].is_closed()


def test_many_connections_beyond_the_limit_do_not_harm(server: ModuleType, root: Path) -> None:
    with running_with(server, root, connections=2) as (port, running_server), contextlib.ExitStack() as stack:
        most = 2 + server.spare_connections(2)
        many = [stack.enter_context(Client(port)) for _ in range(100)]
        assert all(client.is_closed() for client in many[most:])
        assert count_connections(running_server) == most
        pass_time(running_server, 1.0)
        assert ask(port, "/simple/alpha/").status == 200


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server and its clients need for TLS."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, ssl.create_default_context(cafile=certificate)


def test_handshakes_that_are_not_finished_count_as_connections_and_make_room(
    server: ModuleType, root: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with running_with(server, root, tls=contexts[0], connections=50) as (port, running_server):
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(Client(port)) for _ in range(600)]
            for client in silent[::2]:
                with contextlib.suppress(ConnectionError):
                    client.send(b"\x16\x03\x01\x02\x00\x01")  # a handshake begins so
            most = 50 + server.spare_connections(50)
            assert all(client.is_closed() for client in silent[most:])
            assert count_connections(running_server) == most
            pass_time(running_server, 1.0)
            with Client(port, contexts[1]) as client:
                assert client.ask("/simple/alpha/").status == 200
                assert count_connections(running_server) == most
        assert wait_until(lambda: not count_connections(running_server))


def test_a_handshake_that_takes_too_long_is_given_up(
    server: ModuleType, root: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with (
        running_with(server, root, tls=contexts[0]) as (port, running_server),
        Client(port) as client,
    ):
        client.send(b"\x16\x03\x01\x02\x00\x01")
        wait_for_state(running_server, "HANDSHAKE")
        pass_time(running_server, server.DEFAULTS.head_seconds + 0.1)
        assert client.is_closed()
        assert wait_until(lambda: not count_connections(running_server))
        with Client(port, contexts[1]) as other:
            other.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n" * 3)
            assert [len(other.read_answer().body) for _ in range(3)] == [LARGE_SIZE] * 3


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open some thousands of files, and those that it starts by their interpreter."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 8000:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 4000), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_than_a_thousand_clients_are_served_at_once(root: Path, many_descriptors: None) -> None:
    # Where all the machines of an office install at the same moment: uv opens up to fifty connections for each.
    with running(root, "--log", "none", python=sys.executable) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(served.port)) for _ in range(1500)]
        for _ in range(2):
            for client in clients:
                client.send(f"GET /simple/alpha/ HTTP/1.1\r\n{HOST}\r\n")
            assert {client.read_answer().status for client in clients} == {200}
    assert served.errors == []


def test_clients_that_come_all_at_once_wait_their_turn_and_are_not_lost(root: Path, many_descriptors: None) -> None:
    somaxconn = Path("/proc/sys/net/core/somaxconn")
    if not somaxconn.exists() or int(somaxconn.read_text()) < 1500:
        pytest.skip("the system lets fewer connections wait")
    with running(root, "--log", "none", python=sys.executable) as served, contextlib.ExitStack() as stack:
        served.process.send_signal(signal.SIGSTOP)  # as one that gets no processor time among hundreds of clients
        try:
            clients = [stack.enter_context(Client(served.port)) for _ in range(1400)]
        finally:
            served.process.send_signal(signal.SIGCONT)
        for client in clients:
            client.send(f"GET /simple/alpha/ HTTP/1.1\r\n{HOST}\r\n")
        assert {client.read_answer().status for client in clients} == {200}


@pytest.mark.parametrize(
    ("asked", "open_files", "allowed", "said"),
    [
        (None, 100_000, 10_000, False),
        (None, 5000, 2177, False),  # enough for most, so not worth a word at every start
        (None, 1024, 410, True),
        (5000, 5000, 2177, True),
        (20, 1024, 20, False),
    ],
)
def test_the_server_takes_as_many_connections_as_the_system_allows(
    server: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: int | None,
    open_files: int,
    allowed: int,
    said: bool,
) -> None:
    monkeypatch.setattr(server, "raise_open_files", lambda needed: min(needed, open_files))
    assert server.allowed_connections(asked) == allowed
    assert ("see ulimit -n" in capsys.readouterr().err) == said


def test_a_file_that_is_cut_short_while_it_is_sent_never_looks_whole(server: ModuleType, tmp_path: Path) -> None:
    root = make_mirror(tmp_path, large=LARGE_SIZE)
    with running_with(server, root) as (port, _), Client(port) as client:
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
        client.stream.readline()
        with (root / LARGE[1:]).open("r+b") as file:
            file.truncate(LARGE_SIZE // 2)
        with contextlib.suppress(ConnectionError):
            assert len(client.stream.read()) < LARGE_SIZE


def test_a_stop_lets_a_download_finish(root: Path) -> None:
    with running(root) as served, contextlib.ExitStack() as stack:
        client, idle = (stack.enter_context(Client(served.port)) for _ in range(2))
        assert idle.ask("/health").status == 200
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
        assert client.socket.recv(9, socket.MSG_PEEK) == b"HTTP/1.1 "
        served.process.send_signal(signal.SIGTERM)
        assert idle.is_closed()
        assert len(client.read_answer().body) == LARGE_SIZE
        assert client.is_closed()
    assert served.process.returncode == 0


def test_a_second_signal_ends_at_once(root: Path) -> None:
    with running(root) as served, Client(served.port) as client, Client(served.port) as idle:
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
        assert client.socket.recv(9, socket.MSG_PEEK) == b"HTTP/1.1 "
        served.process.send_signal(signal.SIGINT)
        assert idle.is_closed()
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE) == 0


def test_the_grace_is_what_the_user_says(root: Path) -> None:
    with running(root, "--grace", "0.1") as served, Client(served.port) as client:
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}\r\n")
        assert client.socket.recv(9, socket.MSG_PEEK) == b"HTTP/1.1 "
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(PATIENCE) == 0
