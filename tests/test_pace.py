"""Who answers too slowly is left within a time that can be told before, and everything else goes on meanwhile."""

from __future__ import annotations

import hashlib
import io
import itertools
import socket
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.errors import IntegrityError, UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pace import Pace, PacedReader, SlowError
from mirror_tasks.index.project import File
from tests.fake_index import HTML, JSON, FakeIndex
from tests.making import wheel
from tests.mirroring import DODO, mirror_folder, packages


class Trickle(io.RawIOBase):
    """Gives ``count`` bytes at a time, each after ``seconds`` on a clock of its own; also the socket below itself."""

    def __init__(self, count: int, seconds: float, timeout: float = 60.0) -> None:
        super().__init__()
        self.now = 0.0
        self.timeout: float | None = timeout
        self._count, self._seconds = count, seconds

    def clock(self) -> float:
        return self.now

    def gettimeout(self) -> float | None:
        return self.timeout

    def settimeout(self, timeout: float | None) -> None:
        self.timeout = timeout

    def readinto(self, buffer: Any) -> int:
        if self.timeout is not None and self._seconds > self.timeout:
            self.now += self.timeout
            raise TimeoutError("timed out")
        self.now += self._seconds
        count = min(self._count, len(buffer))
        buffer[:count] = bytes(count)
        return count


def read(trickle: Trickle, size: int, *, head: bool = False) -> None:
    reader = PacedReader(trickle, trickle, Pace(clock=trickle.clock))
    if not head:
        reader.begin_body()
    for _ in range(size):
        assert reader.read(1 << 16)


def test_a_body_at_a_byte_in_half_a_second_is_left_after_a_minute() -> None:
    trickle = Trickle(1, 0.5)
    with pytest.raises(SlowError, match=r"at least 2,048 bytes a second after the first 60, found 12\d bytes"):
        read(trickle, 10_000)
    assert 60 <= trickle.now < 61


def test_a_head_at_a_byte_in_half_a_second_is_left_after_two_minutes() -> None:
    trickle = Trickle(1, 0.5)
    with pytest.raises(SlowError, match="the head of an answer within 120 seconds"):
        read(trickle, 10_000, head=True)
    assert 120 <= trickle.now < 121


def test_a_head_without_an_end_is_left_by_its_size_however_fast_it_comes() -> None:
    trickle = Trickle(1 << 14, 0.0)
    with pytest.raises(SlowError, match="within 1,048,576 bytes"):
        read(trickle, 1000, head=True)


def test_a_slow_line_is_no_fault() -> None:
    trickle = Trickle(4096, 1.0)
    read(trickle, 10_000)
    assert trickle.now == 10_000


def test_silence_is_the_timeouts_affair_as_long_as_there_is_time() -> None:
    trickle = Trickle(1, 20.0, timeout=10.0)
    with pytest.raises(TimeoutError):
        read(trickle, 1)


def test_the_last_wait_is_no_longer_than_what_is_left() -> None:
    trickle = Trickle(1, 25.0, timeout=30.0)
    with pytest.raises(SlowError):
        read(trickle, 10)
    assert trickle.now == pytest.approx(60, abs=0.01)


def test_time_between_two_reads_is_not_the_servers() -> None:
    trickle = Trickle(100, 0.1)
    reader = PacedReader(trickle, trickle, Pace(clock=trickle.clock))
    reader.begin_body()
    for _ in range(100):
        assert reader.read(100)
        trickle.now += 3600


@pytest.mark.parametrize(("timeout", "attempts"), [(15, 6), (60, 2), (300, 1)])
def test_a_silent_index_is_asked_again_until_two_minutes_are_over(
    timeout: float, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = [0.0], []

    def silent(*arguments: object, **settings: object) -> None:
        asked.append(now[0])
        now[0] += timeout
        raise TimeoutError("timed out")

    monkeypatch.setattr(Upstream, "ask", silent)
    assert "timed out" in str(refused("http://127.0.0.1/simple/", Pace(clock=lambda: now[0]), waits=attempts - 1))
    assert len(asked) == attempts


# --- Through sockets


@contextmanager
def scripted(pieces: Iterable[bytes], gate: threading.Event | None = None) -> Iterator[str]:
    """A server that sends the same to whoever asks, and then keeps the connection open until ``gate`` is opened."""
    gate = gate or threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client:
            client.recv(1 << 16)
            try:
                for piece in pieces:
                    client.sendall(piece)
                gate.wait(30)
            except OSError:
                pass  # left

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"
    finally:
        gate.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def refused(url: str, pace: Pace, waits: int = 0) -> UpstreamError:
    waited: list[float] = []
    with Upstream([url], sleep=waited.append, pace=pace) as upstream, pytest.raises(UpstreamError) as failed:
        upstream.page("foo", None)
    assert len(waited) == waits  # what is slow is not asked again: that would take as long
    return failed.value


SHORT = Pace(head=0.2, patience=0.05, slowest=1e6)


def test_a_page_that_stops_in_its_middle_is_left_while_others_come() -> None:
    with FakeIndex({"foo": [wheel("foo", "1.0")], "good": [wheel("good", "1.0")]}) as index:
        index.fault("/simple/foo/", "slow")
        with Upstream([index.url], pace=Pace(patience=1.0)) as upstream, ThreadPoolExecutor(1) as pool:
            slow = pool.submit(upstream.page, "foo", None)
            index.stall.wait_for_arrival()
            assert upstream.page("good", None) is not None
            with pytest.raises(UpstreamError, match="bytes a second") as failed:
                slow.result(60)
    assert "run again" in failed.value.advice


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Ty", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_head_that_does_not_end_is_left(begun: bytes) -> None:
    with scripted([begun]) as url:
        assert "head of an answer within 0.2 seconds" in refused(url, SHORT).problem


def test_100_continue_without_an_end_is_left() -> None:
    with scripted(itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 1000)) as url:
        assert "head of an answer within 1,048,576 bytes" in refused(url, Pace()).problem


def test_100_continue_before_an_answer_is_passed_over() -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {HTML}\r\nContent-Length: 2\r\n\r\nhi".encode()
    with scripted([b"HTTP/1.1 100 Continue\r\n\r\n" * 3, head]) as url, Upstream([url]) as upstream:
        page = upstream.page("foo", None)
    assert page is not None
    assert page.body == b"hi"


def test_a_page_may_take_only_so_long_whatever_its_size() -> None:
    ticks = iter(range(1_000_000))
    pace = Pace(patience=1e9, head=1e9, whole=5, clock=lambda: float(next(ticks)))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\n\r\n".encode()
    with scripted([head, *itertools.repeat(b" " * (1 << 18), 100)]) as url:
        assert "all of it within 5 seconds" in refused(url, pace).problem


CONTENT = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256)) * 200  # 1.6 MB
ANNOUNCED: dict[str, Any] = {
    "filename": "foo-1.0.tar.gz",
    "hashes": {"sha256": hashlib.sha256(CONTENT).hexdigest()},
    "requires_python": None,
    "yanked": None,
    "core_metadata": None,
    "upload_time": None,
}


def test_what_came_of_a_slow_file_is_kept_and_the_rest_comes_the_next_time(tmp_path: Path) -> None:
    came, minutes = list[int](), itertools.count(step=60)
    pace = Pace(slowest=1e9, clock=lambda: float(next(minutes)) if came else 0.0)  # slow after the first piece
    with FakeIndex({"foo": [("foo-1.0.tar.gz", CONTENT)]}) as index:
        file = File(**ANNOUNCED, url=index.file_url("foo", "foo-1.0.tar.gz"), size=len(CONTENT))
        target = tmp_path / file.filename
        with Upstream([index.url], pace=pace) as slow, pytest.raises(UpstreamError, match="bytes a second"):
            slow.download(file, target, came.append)
        assert not target.exists()
        with Upstream([index.url]) as upstream:
            upstream.download(file, target, lambda _: None)
        assert target.read_bytes() == CONTENT
        assert "range" in index.log[-1].headers


@pytest.mark.parametrize("size", [None, 1 << 62])
def test_a_file_that_announces_more_than_there_can_be_is_refused_at_once(tmp_path: Path, size: int | None) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 62)
    with scripted([head]) as url, Upstream([url]) as upstream:
        file = File(**ANNOUNCED, url=f"{url}foo-1.0.tar.gz", size=size)
        with pytest.raises(UpstreamError, match="4,611,686,018,427,387,904 announced"):
            upstream.download(file, tmp_path / file.filename, lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_which_more_is_sent_than_its_page_said_is_refused_at_once(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 62)
    with scripted([head]) as url, Upstream([url]) as upstream:
        file = File(**ANNOUNCED, url=f"{url}foo-1.0.tar.gz", size=10)
        with pytest.raises((IntegrityError, UpstreamError), match="4,611,686,018,427,387,904"):
            upstream.download(file, tmp_path / file.filename, lambda _: None)


def test_a_project_whose_page_stops_keeps_no_other_out_of_the_mirror(tmp_path: Path) -> None:
    world = {"good": [wheel("good", "1.0")], "slow": [wheel("slow", "1.0")], "file": [wheel("file", "1.0")]}
    patch = (
        "from mirror_tasks.index import pace\n"
        "from mirror_tasks.index import client as upstream\n"
        "upstream.PACE = pace.Pace(patience=1.5, slowest=1e6)\n"
    )
    with FakeIndex(world) as index:
        index.fault("/simple/slow/", "slow")
        index.fault("/files/file/*.whl", "slow")
        folder = mirror_folder(tmp_path / "run", index, dodo=patch + DODO, requirements=["good", "slow", "file"])
        done = folder.doit("mirror")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said
    assert "FAILED 2 tasks, for one reason: download:file-1.0-py3-none-any.whl, project:slow" in said
    assert said.count("bytes a second after the first 1.5") == 1
    assert packages(folder.output)["good"] == ["good-1.0-py3-none-any.whl"]
