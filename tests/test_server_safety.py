"""Nothing outside the mirror is ever served, and no bytes that a client sends do harm."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror_tasks.files import is_device
from tests.server_fixtures import (
    HOST,
    Client,
    Running,
    ask,
    load_server,
    make_mirror,
    run_server,
    running,
    wait_until,
    write,
)

SECRET = b"never to be seen"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    write(base / "secret.txt", SECRET)
    write(base / "outside" / "index.html", SECRET)
    root = make_mirror(base / "mirror")
    for name in ("key.pem", ".hidden", "packages/.hidden", "simple/alpha/.hidden", "private/index.html", ".git/config"):
        write(root / name, SECRET)
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Running]:
    with running(root, "--log", "none") as started:
        yield started


@pytest.fixture(scope="module")
def server() -> ModuleType:
    return load_server()


ESCAPES = [
    "/../secret.txt",
    "/simple/../../secret.txt",
    "/simple/../simple/alpha/",
    "/packages/alpha/../../../secret.txt",
    "/packages/%2e%2e/%2e%2e/secret.txt",
    "/packages/..%2f..%2fsecret.txt",
    "/packages/..%5c..%5csecret.txt",
    "/packages/%252e%252e/%252e%252e/secret.txt",
    "/packages/..%252f..%252fsecret.txt",
    "/packages/%c0%ae%c0%ae/secret.txt",
    "/packages/alpha/%2Fetc%2Fpasswd",
    "//etc/passwd",
    "/packages//etc/passwd",
    "/packages/C:/Windows/win.ini",
    "/packages/C%3A%5CWindows%5Cwin.ini",
    "/packages/%5C%5Chost%5Cshare/x",
    "/packages/alpha/alpha-1.0.tar.gz%00.html",
    "/packages/alpha/alpha-1.0.tar.gz%0d%0aX-Injected:%20yes",
    "/packages/alpha/alpha-1.0.tar.gz::$DATA",
    "/packages/alpha/alpha-1.0.tar.gz.",
    "/packages/alpha/alpha-1.0.tar.gz%20",
    "/packages/alpha/./alpha-1.0.tar.gz",
    "/simple%2falpha/",
    "/key.pem",
    "/.hidden",
    "/packages/.hidden",
    "/simple/alpha/.hidden",
    "/private/index.html",
    "/.git/config",
    "/server.py",
]


@pytest.mark.parametrize("target", ESCAPES)
def test_no_spelling_of_a_path_leads_out_of_the_mirror(served: Running, target: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(served.port, target, method=method)
        assert answer.status in (400, 404)
        assert SECRET not in answer.body
        assert answer.get("X-Injected") is None


@pytest.mark.parametrize(
    "folder", ["/packages/", "/packages/alpha/", "/packages/alpha", "/packages", "/site/", "/site"]
)
def test_no_directory_is_listed(served: Running, folder: str) -> None:
    answer = ask(served.port, folder)
    assert answer.status in (301, 404)
    assert b"alpha-1.0" not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example.com",
        "//evil.example.com/",
        "//evil.example.com/..",
        "///evil.example.com//",
        "/%2fevil.example.com",
        "/\\evil.example.com/",
        "/%5cevil.example.com/",
        "//Evil_Host/",
        "/simple//evil.example.com",
        "/Evil.Example/",
        "http://evil.example.com//Foo_Bar",
        "/simple/https:%2f%2fevil.example.com",
        "/project//evil.example.com",
    ],
)
def test_no_redirect_leads_off_the_host(served: Running, target: str) -> None:
    location = ask(served.port, target).get("Location")
    assert location is None or (not location.startswith(("/", "\\")) and ":" not in location)


def test_links_that_lead_out_of_the_mirror_are_not_followed(root: Path, served: Running) -> None:
    links = {
        "packages/alpha/out-1.0.tar.gz": root.parent / "secret.txt",
        "packages/out": root.parent,
        "simple/outside": root.parent / "outside",
        "project/loop": root / "project" / "loop",
        "simple/alpha/key.html": root / ".." / "secret.txt",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    links["packages/out/secret.txt"] = links["simple/outside/"] = links["project/loop/"] = root
    for name in links:
        answer = ask(served.port, f"/{name}")
        assert (answer.status in (301, 404), SECRET in answer.body) == (True, False)


def test_links_within_the_mirror_are_followed(root: Path, served: Running) -> None:
    (root / "packages" / "alpha" / "same-1.0.tar.gz").symlink_to(root / "packages" / "alpha" / "alpha-1.0.tar.gz")
    assert ask(served.port, "/packages/alpha/same-1.0.tar.gz").status == 200


def test_a_file_that_becomes_a_link_out_of_the_mirror_is_not_served_any_more(root: Path, served: Running) -> None:
    path = root / "packages" / "alpha" / "turned-1.0.tar.gz"
    write(path, b"inside")
    with Client(served.port) as client:
        assert client.ask("/packages/alpha/turned-1.0.tar.gz").body == b"inside"
        path.unlink()
        path.symlink_to(root.parent / "secret.txt")
        assert client.ask("/packages/alpha/turned-1.0.tar.gz").status == 404


def test_pipes_and_devices_are_not_opened(root: Path, served: Running) -> None:
    os.mkfifo(root / "packages" / "alpha" / "pipe-1.0.tar.gz")
    assert ask(served.port, "/packages/alpha/pipe-1.0.tar.gz").status == 404


@pytest.mark.parametrize(
    "name", ["con", "NUL", "aux.tar.gz", "Com1", "lpt9.whl", "com\u00b2.zip", "nul .txt", "CONIN$", "prn.metadata"]
)
def test_names_of_windows_devices_are_no_files_there(server: ModuleType, name: str) -> None:
    assert server.is_device(name)
    assert server.is_plain(name)


@pytest.mark.parametrize(
    "name",
    ["aux", "CON", "nul.txt", "com1", "com\u00b9.x", "lpt0", "clock$", "prn .zip", "auxiliary", "con-1.0.zip", "com10"],
)
def test_a_mirror_has_no_name_that_the_server_refuses_on_windows(server: ModuleType, name: str) -> None:
    assert is_device(name) == server.is_device(name)


@pytest.mark.parametrize(
    "name", ["console-1.0.tar.gz", "nulls", "com10", "foo-1!2.0+local.1-py3-none-any.whl", "lpt", "auxiliary"]
)
def test_names_like_those_of_devices_are_files(server: ModuleType, name: str) -> None:
    assert not server.is_device(name)
    assert server.is_plain(name)


def test_pages_for_people_carry_security_headers_and_no_page_is_sniffed(served: Running) -> None:
    for target in ("/", "/project/alpha/", "/simple/", "/simple/alpha/"):
        answer = ask(served.port, target)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["X-Frame-Options"] == "DENY"
    for target in ("/", "/none", "/simple", "/packages/alpha/alpha-1.0.tar.gz", "/site/style.css"):
        assert ask(served.port, target)["X-Content-Type-Options"] == "nosniff"


def test_what_upstream_wrote_is_never_sent_as_a_page(root: Path, served: Running) -> None:
    write(root / "packages" / "alpha" / "evil.html", b"<script>alert(1)</script>")
    write(root / "packages" / "alpha" / "evil.svg", b"<svg/>")
    for name in ("evil.html", "evil.svg"):
        assert ask(served.port, f"/packages/alpha/{name}")["Content-Type"] == "application/octet-stream"


# What is printed.

HOSTILE = "a\x1b[2Jb\x7fc\x9b1md\u202ee\u2066f\u2028g\udc80h\nforged\u200bj"


def hidden(text: str) -> set[str]:
    """Return what of a text would steer a terminal, or can't be seen on it."""
    return {character for character in text if not character.isprintable() and character != "\n"}


def test_nothing_raw_reaches_the_terminal_of_the_operator(
    server: ModuleType, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    tree = server.Tree(root)
    with monkeypatch.context() as patch:
        patch.setattr(server.os, "stat", refuse)
        with pytest.raises(server.Refusal):
            tree.get(("packages", "alpha", HOSTILE.replace("\x1b", "").replace("\n", "").replace("\x7f", "")))
    server.report(HOSTILE)
    server.report_now_and_then("fault", HOSTILE)
    errors = capsys.readouterr().err
    assert hidden(errors) == set()
    assert len(errors.splitlines()) == 3
    assert r"c\x9b1md\u202ee\u2066f\u2028g\udc80h" in errors


def test_nothing_raw_reaches_the_log(server: ModuleType) -> None:
    exchange = server.Exchange("::1", HOSTILE, HOSTILE, "GET", 400, 0, 0.1, HOSTILE)
    for line in (server.common_line(exchange), server.json_line(exchange)):
        assert line.isascii()
        assert hidden(line) == set()
        assert line.count("\n") == 1


def test_nothing_raw_of_the_names_on_a_disk_is_printed(tmp_path: Path) -> None:
    root = make_mirror(tmp_path / "m\x9b\u202eirror")
    name = "x\x1b[2J\x9b\u202e\udc80\nforged: y"
    write(root / "packages" / "alpha" / name, b"")
    about = {"projects": "\x1b[2J", "files": "\u202e", "bytes": 1}
    write(root / "mirror.json", json.dumps(about).encode())
    done = run_server("--root", str(root), "--check")
    assert hidden(done.stdout + done.stderr) == set()
    assert r"extra: packages/alpha/x\x1b[2J\x9b\u202e\udc80\nforged: y" in done.stdout.splitlines()
    with running(root) as served:
        assert ask(served.port, "/simple/").status == 200
    assert hidden("".join(served.welcome)) == set()
    assert r"\x9b\u202eirror" in served.welcome[0]


def test_what_any_request_can_bring_about_is_not_told_at_each(
    server: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for second in range(25):
        server.report_now_and_then("made up", f"at {second}", lambda second=second: second)
    assert capsys.readouterr().err.splitlines() == [
        "server.py: at 0",
        "server.py: at 10 (and 9 more like this before)",
        "server.py: at 20 (and 9 more like this before)",
    ]


# At the limits.


def test_what_reaches_a_limit_is_taken_and_one_more_is_refused(server: ModuleType) -> None:
    line = "GET /" + "a" * (server.DEFAULTS.request_line - len("GET / HTTP/1.1")) + " HTTP/1.1"
    assert server.parse_head(f"{line}\r\n{HOST}".rstrip().encode()).method == "GET"
    with pytest.raises(server.Refusal) as refused:
        server.parse_head(f"{line.replace('/a', '/aa')}\r\n{HOST}".rstrip().encode())
    assert refused.value.status == 414
    fields = [f"X{number}: y" for number in range(server.DEFAULTS.fields - 1)]
    head = "\r\n".join(["GET / HTTP/1.1", HOST.rstrip(), *fields])
    assert len(server.parse_head(head.encode()).fields) == server.DEFAULTS.fields
    with pytest.raises(server.Refusal) as refused:
        server.parse_head(f"{head}\r\nY: y".encode())
    assert refused.value.status == 431
    spans = [f"{10 * number}-{10 * number + 5}" for number in range(server.RANGES)]
    assert len(server.parse_ranges("bytes=" + ",".join(spans), 10_000)) == server.RANGES
    assert server.parse_ranges("bytes=" + ",".join([*spans, "9000-9001"]), 10_000) is None


@pytest.mark.parametrize("segment", ["", ".", "..", ".a", "a.", "a ", "ab.", "ab ", " ", "a/b", "a\\b", "C:", "a\x00b"])
def test_a_segment_that_could_name_something_else_is_not_plain(server: ModuleType, segment: str) -> None:
    assert not server.is_plain(segment)


@pytest.mark.parametrize("segment", ["a", "a.b", " a", "a-1.0.tar.gz", "a b"])
def test_a_segment_that_names_one_file_is_plain(server: ModuleType, segment: str) -> None:
    assert server.is_plain(segment)


def test_ranges_that_touch_are_sent_as_one_and_others_in_the_order_asked_for(server: ModuleType) -> None:
    assert server.parse_ranges("bytes=5-9,0-4", 20) == [(0, 10)]
    assert server.parse_ranges("bytes=0-8,5-9", 20) == [(0, 10)]
    assert server.parse_ranges("bytes=6-9,0-4", 20) == [(6, 10), (0, 5)]
    assert server.parse_ranges("bytes=0-9,2-3", 20) == [(0, 10)]
    assert server.parse_ranges("bytes=7-7", 20) == [(7, 8)]
    assert server.parse_ranges("bytes=19-19,20-20", 20) == [(19, 20)]


# Fuzz: of the functions first, where a thousand cases take a second, then of the server over a socket.

fuzz = settings(suppress_health_check=list(HealthCheck))  # all of them share one server and one mirror
targets = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80),
    st.lists(
        st.sampled_from(["/", "..", ".", "%2e", "%2f", "%5c", "\\", "%00", "simple", "packages", "alpha", "C:", "%25"]),
        max_size=12,
    ).map(lambda parts: "/" + "".join(parts)),
)


@fuzz
@given(target=targets)
def test_any_target_is_answered_from_inside_the_mirror(server: ModuleType, root: Path, target: str) -> None:
    site = server.Site(server.Tree(root))
    try:
        request = server.parse_head(f"GET {target} HTTP/1.1\r\n{HOST}".rstrip().encode())
    except server.Refusal as refusal:
        answer = server.refused(refusal)
    else:
        answer = site.respond(request)
    if answer.file:
        answer.file.close()
    assert answer.status in (200, 301, 400, 404)
    assert SECRET not in answer.data


@fuzz
@given(head=st.binary(max_size=300))
def test_any_bytes_are_a_request_or_are_refused(server: ModuleType, head: bytes) -> None:
    status = 200
    try:
        server.parse_head(head)
    except server.Refusal as refusal:
        status = refusal.status
    assert status in (200, 400, 405, 413, 414, 431, 505)


@fuzz
@given(value=st.text(max_size=60), length=st.integers(0, 10**12))
def test_any_header_value_is_understood_or_ignored(server: ModuleType, value: str, length: int) -> None:
    assert set(server.preferred_types(value)) <= set(server.PAGE_FILES)
    assert server.accepts_gzip(value) in (True, False)
    assert isinstance(server.parse_basic(value), tuple)
    assert server.matches(value, '"x"', weak=True) in (True, False)
    for start, stop in server.parse_ranges(f"bytes={value}", length) or []:
        assert 0 <= start < stop <= length


numbers = st.one_of(st.just(""), st.integers(0, 120).map(str))


@fuzz
@given(asked=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), length=st.integers(0, 100))
def test_ranges_never_overlap_and_miss_nothing(server: ModuleType, asked: list[tuple[str, str]], length: int) -> None:
    spans = server.parse_ranges("bytes=" + ",".join("-".join(pair) for pair in asked), length)
    if spans is None:
        return
    wanted = set()
    for first, last in asked:
        start = int(first) if first else max(0, length - int(last))
        wanted |= set(range(start, min(length, int(last) + 1) if first and last else length))
    sent = [position for start, stop in spans for position in range(start, stop)]
    assert sorted(sent) == sorted(wanted)


@fuzz
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=80).map(lambda t: f"GET /{t} HTTP/1.1\r\n".encode())))
def test_any_bytes_over_a_socket_leave_the_server_well(served: Running, data: bytes) -> None:
    with Client(served.port) as client:
        client.send(data + b"\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.stream.read(12)[:9] in (b"HTTP/1.1 ", b"")
    assert not served.errors


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_bad_requests_leave_no_descriptor_open(served: Running) -> None:
    descriptors = Path(f"/proc/{served.process.pid}/fd")
    ask(served.port, "/health")
    before = len(list(descriptors.iterdir()))
    for _ in range(100):
        with Client(served.port) as client:
            client.send(f"GET /packages/large/large-1.0.tar.gz HTTP/1.1\r\n{HOST}\r\nGET \x00 HTTP/1.1\r\n\r\n")
    assert wait_until(lambda: len(list(descriptors.iterdir())) <= before + 1)
    assert not served.errors
