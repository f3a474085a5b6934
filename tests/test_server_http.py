"""The server keeps to HTTP/1.1: RFC 9110 (semantics) and RFC 9112 (messages), whose rules are quoted in each test."""

from __future__ import annotations

import email.utils
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_fixtures import HOST, JSON, Answer, Client, Running, ask, ask_raw, make_mirror, running, sha256

LARGE = "/packages/large/large-1.0.tar.gz"
PAGE = "/simple/alpha/"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Running]:
    with running(root) as started:
        yield started


@pytest.fixture(scope="module")
def large(root: Path) -> bytes:
    return (root / LARGE[1:]).read_bytes()


def test_a_connection_is_kept_for_many_requests(served: Running) -> None:
    """RFC 9112, 9.3: "HTTP/1.1 defaults to the use of persistent connections"."""
    with Client(served.port) as client:
        answers = [client.ask(target) for target in (PAGE, LARGE, "/simple/none/", PAGE, "/simple/alpha", PAGE)]
    assert [answer.status for answer in answers] == [200, 200, 404, 200, 301, 200]
    assert all(answer.get("Connection") is None for answer in answers)


def test_connection_close_is_obeyed(served: Running) -> None:
    """RFC 9112, 9.6: "The server SHOULD send a "close" connection option in its final response"."""
    with Client(served.port) as client:
        assert client.ask(PAGE, "Connection: close")["Connection"] == "close"
        assert client.is_closed()


def test_http_1_0_closes_unless_asked_to_keep_the_connection(served: Running) -> None:
    """RFC 9112, 9.3: HTTP/1.0 persists only where "the "keep-alive" connection option is present"."""
    with Client(served.port) as client:
        client.send(f"GET {PAGE} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.read_answer()["Connection"] == "keep-alive"
        client.send(f"GET {PAGE} HTTP/1.0\r\n\r\n")
        assert client.read_answer()["Connection"] == "close"
        assert client.is_closed()


def test_pipelined_requests_are_answered_in_their_order(served: Running) -> None:
    """RFC 9112, 9.3.2: a server "MUST send the corresponding responses in the same order"."""
    targets = [PAGE, LARGE, "/simple/none/", "/health"] * 20
    with Client(served.port) as client:
        client.send("".join(f"GET {target} HTTP/1.1\r\n{HOST}\r\n" for target in targets))
        assert [client.read_answer().status for _ in targets] == [200, 200, 404, 200] * 20


def test_a_request_may_arrive_byte_by_byte(served: Running) -> None:
    with Client(served.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"\r\nGET {PAGE} HTTP/1.1\r\n{HOST}\r\n".encode():
            client.send(bytes([byte]))
        assert client.read_answer().status == 200


def test_a_client_that_has_finished_sending_still_gets_its_answer(served: Running, large: bytes) -> None:
    with Client(served.port) as client:
        client.send(f"GET {LARGE} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_answer().body == large


@pytest.mark.parametrize("target", [PAGE, LARGE, "/", "/simple/none/", "/simple/alpha", "/health", "/simple/"])
def test_head_answers_as_get_does_without_the_content(served: Running, target: str) -> None:
    """RFC 9110, 9.3.2: "The server SHOULD send the same header fields in response to a HEAD request"."""
    with Client(served.port) as client:
        head, get = client.ask(target, method="HEAD"), client.ask(target)
    assert head.status == get.status
    assert without_date(head) == without_date(get)
    assert head.body == b""


def without_date(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.fields.items() if name != "date"}


def test_every_answer_has_a_date(served: Running) -> None:
    """RFC 9110, 6.6.1: an origin server with a clock "MUST generate a Date header field in all 2xx, 3xx and 4xx"."""
    for target in (PAGE, LARGE, "/simple/none/", "/simple/alpha"):
        assert email.utils.parsedate_to_datetime(ask(served.port, target)["Date"])


def test_absolute_targets_are_understood_and_their_host_is_not_used(served: Running) -> None:
    """RFC 9112, 3.2.2: "a server MUST accept the absolute-form in requests"."""
    assert ask(served.port, "http://other.example.com/simple/alpha/").status == 200
    assert ask(served.port, "http://other.example.com/simple/Alpha/")["Location"] == "../alpha/"
    assert ask(served.port, "http://other.example.com").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get", "PROPFIND"])
def test_no_method_but_get_and_head(served: Running, method: str) -> None:
    """RFC 9110, 15.5.6: "The origin server MUST generate an Allow header field in a 405 response"."""
    answer = ask(served.port, PAGE, "Content-Length: 3", method=method)
    assert (answer.status, answer["Allow"], answer["Connection"]) == (405, "GET, HEAD", "close")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /simple/ HTTP/1.1\r\n\r\n", 400),  # 3.2: 400 "to any HTTP/1.1 request message that lacks a Host"
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),  # 3.2: "or contains more than one"
        (b"GET /simple/ HTTP/1.1\r\nHost : a\r\n\r\n", 400),  # 5.1: "whitespace between a field name and colon": 400
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),  # 5.2: obs-fold: "MUST either reject ..."
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),  # 2.2: a bare CR is invalid
        (b"GET /simple/ HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /simple/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),  # 9110, 5.5: NUL "MUST be rejected"
        (b"GET  /simple/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /simple/\r\n\r\n", 400),
        (b"GET /sim\xffple/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET simple/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),  # TLS spoken to a plain port
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        # 6.1, 11.2: two lengths, or content that two parties would end at different places, smuggle requests
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 413),
        (b"GET /simple/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    ],
)
def test_a_malformed_request_is_refused_and_ends_the_connection(
    served: Running, request_bytes: bytes, status: int
) -> None:
    with Client(served.port) as client:
        client.send(request_bytes)
        answer = client.read_answer()
        assert (answer.status, answer["Connection"]) == (status, "close")
        assert client.is_closed()


@pytest.mark.parametrize("target", ["/simple/%", "/simple/%4", "/simple/%zz/", "/simple/%ff/", "/%"])
def test_a_broken_percent_encoding_is_refused(served: Running, target: str) -> None:
    assert ask(served.port, target).status == 400


def test_a_long_request_line_and_a_long_header_are_refused(served: Running) -> None:
    """RFC 9112, 3: a target too long "MUST" get 414; RFC 6585, 5: a header too large 431."""
    assert ask_raw(served.port, b"GET /" + b"a" * 9000).status == 414
    assert ask_raw(served.port, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n").status == 414
    assert ask_raw(served.port, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000).status == 431
    many = "".join(f"X{number}: y\r\n" for number in range(200))
    assert ask_raw(served.port, f"GET / HTTP/1.1\r\n{HOST}{many}\r\n".encode()).status == 431


# Conditions.


@pytest.mark.parametrize("target", [PAGE, LARGE, "/", "/site/style.css", "/packages/alpha/alpha-1.0.tar.gz"])
def test_an_unchanged_file_is_not_sent_again(served: Running, target: str) -> None:
    """RFC 9110, 15.4.5: a 304 "MUST generate" ETag, Cache-Control and Vary as the 200 would have."""
    with Client(served.port) as client:
        first = client.ask(target)
        assert re.fullmatch(r'"[0-9a-f]{32,64}"', first["ETag"])
        again = client.ask(target, f'If-None-Match: "x", W/{first["ETag"]}')
        assert (again.status, again.body) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):
            assert again.get(name) == first.get(name)
        assert client.ask(target, "If-None-Match: *").status == 304
        assert client.ask(target, 'If-None-Match: "x"').status == 200


def test_if_match_compares_strongly(served: Running) -> None:
    """RFC 9110, 13.1.1: "An origin server MUST use the strong comparison function"; 412 where it fails."""
    etag = ask(served.port, PAGE)["ETag"]
    assert ask(served.port, PAGE, f"If-Match: {etag}").status == 200
    assert ask(served.port, PAGE, f"If-Match: W/{etag}").status == 412


def test_the_tag_of_a_package_file_is_its_hash_wherever_the_mirror_is_copied(served: Running, large: bytes) -> None:
    assert ask(served.port, LARGE)["ETag"] == f'"{sha256(large)}"'


def test_types_of_a_page_have_tags_of_their_own(served: Running) -> None:
    """RFC 9110, 8.8.3: representations that differ must not share a strong tag."""
    variants = [(), (f"Accept: {JSON}",), ("Accept-Encoding: gzip",), (f"Accept: {JSON}", "Accept-Encoding: gzip")]
    tags = {ask(served.port, PAGE, *fields)["ETag"] for fields in variants}
    assert len(tags) == 4


# Ranges.


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("0-99", 0, 100),
        ("100-", 100, 300_000),
        ("-100", 299_900, 300_000),
        ("-999999999", 0, 300_000),
        ("299999-", 299_999, 300_000),
        ("10-99999999999", 10, 300_000),
        ("0-50,40-99", 0, 100),  # 15.3.7.2: overlapping ranges may be coalesced
        (" 0-9 , , ", 0, 10),  # 5.6.1.2: empty list elements are ignored
    ],
)
def test_a_range_is_sent_as_asked(served: Running, large: bytes, asked: str, start: int, stop: int) -> None:
    """RFC 9110, 15.3.7.1: a 206 with one part "MUST" have Content-Range."""
    answer = ask(served.port, LARGE, f"Range: bytes={asked}")
    assert (answer.status, answer["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/300000")
    assert answer.body == large[start:stop]


@pytest.mark.parametrize("target", [LARGE, PAGE])
def test_several_ranges_are_sent_as_parts(served: Running, target: str) -> None:
    """RFC 9110, 15.3.7.2: multipart/byteranges, each part with Content-Type and Content-Range, and none in the head."""
    whole = ask(served.port, target)
    answer = ask(served.port, target, "Range: bytes=50-59, 0-9, -5")
    assert (answer.status, answer.get("Content-Range")) == (206, None)
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer["Content-Type"])
    assert boundary
    parts = answer.body.split(f"--{boundary.group(1)}".encode())
    assert (parts[0], parts[-1]) == (b"\r\n", b"--\r\n")
    contents = [part.partition(b"\r\n\r\n") for part in parts[1:-1]]
    assert [content[:-2] for _, _, content in contents] == [whole.body[50:60], whole.body[0:10], whole.body[-5:]]
    assert f"Content-Range: bytes 50-59/{len(whole.body)}".encode() in contents[0][0]


@pytest.mark.parametrize("asked", ["bytes=300000-", "bytes=400000-500000", "bytes=-0", "bytes=300000-,999999-"])
def test_a_range_beyond_the_end_is_refused_with_the_length(served: Running, asked: str) -> None:
    """RFC 9110, 15.5.17: 416 "SHOULD generate a Content-Range header field specifying the current length"."""
    answer = ask(served.port, LARGE, f"Range: {asked}")
    assert (answer.status, answer["Content-Range"]) == (416, "bytes */300000")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-5",
        "bytes=a-b",
        "bytes=-",
        "bytes=",
        "bytes",
        "lines=0-5",
        "bytes=0-5,x",
        "bytes=²-",
        "bytes=1-2-3",
        "bytes=" + ",".join(f"{number * 3}-{number * 3}" for number in range(100)),
    ],
)
def test_a_range_that_is_none_or_is_abuse_is_ignored(served: Running, asked: str) -> None:
    """RFC 9110, 14.2: many small ranges MAY, a unit that is not understood MUST be ignored."""
    answer = ask(served.port, LARGE, f"Range: {asked}")
    assert (answer.status, answer["Content-Length"]) == (200, "300000")


def test_ranges_are_for_get_only(served: Running) -> None:
    """RFC 9110, 14.2: "GET is the only method for which range handling is defined"."""
    answer = ask(served.port, LARGE, "Range: bytes=0-9", method="HEAD")
    assert (answer.status, answer["Content-Length"], answer["Accept-Ranges"]) == (200, "300000", "bytes")


def test_if_range_resumes_the_same_file_only(served: Running) -> None:
    """RFC 9110, 13.1.5: if the validator does not match by strong comparison, the Range field is ignored."""
    etag = ask(served.port, LARGE)["ETag"]
    resumed = {
        validator: ask(served.port, LARGE, "Range: bytes=5-", f"If-Range: {validator}").status
        for validator in (etag, f"W/{etag}", '"other"', "Mon, 23 Nov 2026 12:00:00 GMT")
    }
    assert list(resumed.values()) == [206, 200, 200, 200]


def test_a_condition_goes_before_a_range(served: Running) -> None:
    """RFC 9110, 13.2.2: Range is looked at last."""
    etag = ask(served.port, LARGE)["ETag"]
    assert ask(served.port, LARGE, f"If-None-Match: {etag}", "Range: bytes=999999-").status == 304
