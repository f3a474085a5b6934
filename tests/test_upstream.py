"""What comes from an index is whole, checked and asked for once; what it says is never believed further than that."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import logging
import os
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.config.model import Index
from mirror_tasks.errors import IntegrityError, UpstreamError
from mirror_tasks.index import pip_settings
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.pip_settings import default_index
from mirror_tasks.index.project import File
from mirror_tasks.index.served_page import Page, Seen
from tests.fake_index import HTML, JSON, FakeIndex
from tests.making import wheel
from tests.pip import forget_settings

# Not compressible and not repeating: any mix-up of its parts shows.
BYTES = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(40_000))  # 1.28 MB
SDIST = "foo-1.0.tar.gz"
SDIST_PATH = f"/files/foo/{SDIST}"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_settings()
    for name in list(os.environ):
        if name.upper().startswith("PIP_") or name.lower().endswith("_proxy") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"foo": [(SDIST, BYTES), wheel("foo", "1.0", requires=["bar"])], "bar": []}) as running:
        yield running


class Waits(list[float]):
    """Stands for sleeping: keeps the seconds."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def upstream(index: FakeIndex, waits: Waits) -> Iterator[Upstream]:
    with Upstream([index.url], sleep=waits) as opened:
        yield opened


class Received:
    """Stands for a display of progress."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, count: int) -> None:
        self.bytes += count


def page_of(upstream: Upstream, name: str = "foo", known: Seen | None = None) -> Page:
    page = upstream.page(name, known)
    assert page is not None
    return page


def files_of(upstream: Upstream, name: str = "foo") -> dict[str, File]:
    page = page_of(upstream, name)
    project = parse_page(page.body, page.content_type, page.url, name)
    return {file.filename: file for version in project.versions for file in project.files(version)}


def a_file(index: FakeIndex, filename: str = SDIST, /, **fields: Any) -> File:
    served = index.projects["foo"][filename]
    announced: dict[str, Any] = {
        "filename": filename,
        "url": index.file_url("foo", filename),
        "hashes": {"sha256": hashlib.sha256(served.content).hexdigest()},
        "size": len(served.content),
        "requires_python": None,
        "yanked": None,
        "core_metadata": None,
        "upload_time": None,
    }
    return File(**{**announced, **fields})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- Pages


@pytest.mark.parametrize("formats", [(JSON,), (HTML,)])
def test_a_page_comes_in_the_form_that_the_index_has(formats: tuple[str, ...]) -> None:
    with FakeIndex({"foo": [(SDIST, BYTES)]}, formats=formats) as index, Upstream([index.url]) as upstream:
        assert files_of(upstream)[SDIST].url == index.file_url("foo", SDIST)


def test_an_index_that_can_do_both_is_asked_for_json(index: FakeIndex, upstream: Upstream) -> None:
    index.formats = (HTML, JSON)
    assert page_of(upstream).content_type == JSON


def test_html_where_json_was_asked_for_is_read(index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "html")
    assert set(files_of(upstream)) == set(index.projects["foo"])


def test_a_page_that_did_not_change_is_known_as_such_and_is_not_sent_again(
    index: FakeIndex, upstream: Upstream
) -> None:
    page = page_of(upstream)
    sent = index.sent
    assert upstream.page("foo", page.seen) is None
    assert index.sent == sent
    assert index.log[-1].headers["if-none-match"] == page.etag


def test_a_page_that_did_not_change_is_known_as_such_without_validators_too(
    index: FakeIndex, upstream: Upstream
) -> None:
    index.etags = False
    page = page_of(upstream)
    assert page.etag is None
    assert upstream.page("foo", page.seen) is None


def test_a_page_that_changed_is_another(index: FakeIndex, upstream: Upstream) -> None:
    page = page_of(upstream)
    index.add("foo", "foo-2.0.tar.gz", b"new")
    changed = page_of(upstream, known=page.seen)
    assert b"foo-2.0.tar.gz" in changed.body
    assert changed.etag != page.etag


def test_a_page_that_lost_its_files_is_an_error_and_not_a_page(index: FakeIndex, upstream: Upstream) -> None:
    page = page_of(upstream)
    index.fault("/simple/foo/", "empty")
    with pytest.raises(UpstreamError, match="expected files, as when it was last seen, found none"):
        upstream.page("foo", page.seen)


def test_a_project_that_never_had_files_is_a_page(index: FakeIndex, upstream: Upstream) -> None:
    page = page_of(upstream, "bar")
    index.changed()
    assert upstream.page("bar", page.seen) is None


def test_a_project_that_no_index_has_is_said_with_status_404(
    index: FakeIndex, upstream: Upstream, waits: Waits
) -> None:
    with pytest.raises(UpstreamError, match="no such project") as missing:
        upstream.page("nothing", None)
    assert missing.value.status == 404
    assert waits == []


def test_a_login_page_is_not_kept_as_a_project_page(index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "body", body=b"{}", content_type="application/json")
    with pytest.raises(UpstreamError, match="expected a page in JSON or HTML"):
        upstream.page("foo", None)


def test_a_truncated_page_is_asked_for_again(index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "truncate", times=1)
    assert set(files_of(upstream)) == set(index.projects["foo"])
    assert index.requests["/simple/foo/"] == 2


def test_a_page_that_inflates_without_end_is_refused(
    index: FakeIndex, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror_tasks.index.client.MOST_PAGE", 1 << 20)
    index.fault("/simple/foo/", "body", body=b"<a>" * (1 << 20), content_type=HTML)
    index.fault("/simple/foo/", "gzip")
    with pytest.raises(UpstreamError, match="found more"):
        upstream.page("foo", None)


# --- Several indexes


def test_the_first_index_that_has_a_project_serves_it_alone() -> None:
    ours = FakeIndex({"foo": [("foo-1.0.tar.gz", b"ours")]})
    theirs = FakeIndex({"foo": [("foo-99.0.tar.gz", b"theirs")], "bar": [("bar-1.0.tar.gz", b"theirs")]})
    with ours, theirs, Upstream([ours.url, theirs.url]) as upstream:
        assert set(files_of(upstream)) == {"foo-1.0.tar.gz"}
        assert set(files_of(upstream, "bar")) == {"bar-1.0.tar.gz"}
        assert theirs.requests["/simple/foo/"] == 0


def test_a_project_that_vanished_is_not_taken_from_the_next_index() -> None:
    ours, theirs = (
        FakeIndex({"foo": [("foo-1.0.tar.gz", b"ours")]}),
        FakeIndex({"foo": [("foo-99.0.tar.gz", b"theirs")]}),
    )
    with ours, theirs, Upstream([ours.url, theirs.url]) as upstream:
        page = page_of(upstream)
        del ours.projects["foo"]
        with pytest.raises(UpstreamError, match="as when it was last seen") as vanished:
            upstream.page("foo", page.seen)
        assert vanished.value.status == 404
        assert theirs.log == []


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_index_in_trouble_does_not_hand_its_projects_to_the_next(status: int, waits: Waits) -> None:
    ours, theirs = FakeIndex({"foo": []}), FakeIndex({"foo": [("foo-99.0.tar.gz", b"theirs")]})
    with ours, theirs, Upstream([ours.url, theirs.url], sleep=waits) as upstream:
        ours.fault("/simple/foo/", "status", status=status)
        with pytest.raises(UpstreamError) as failed:
            upstream.page("foo", None)
        assert failed.value.status == status
        assert theirs.log == []


@pytest.mark.parametrize("status", [404, 410])
def test_an_index_that_has_no_such_project_lets_the_next_be_asked(status: int) -> None:
    ours, theirs = FakeIndex({"foo": []}), FakeIndex({"foo": [("foo-1.0.tar.gz", b"theirs")]})
    with ours, theirs, Upstream([ours.url, theirs.url]) as upstream:
        ours.fault("/simple/foo/", "status", status=status)
        assert set(files_of(upstream)) == {"foo-1.0.tar.gz"}


def test_a_status_that_means_not_here_on_one_index_means_so_there_alone(waits: Waits) -> None:
    ours, theirs = FakeIndex({"foo": []}), FakeIndex({"foo": [("foo-1.0.tar.gz", b"theirs")]})
    with ours, theirs, Upstream([Index(ours.url, missing=frozenset({403})), theirs.url]) as upstream:
        ours.fault("/simple/foo/", "status", status=403)
        assert set(files_of(upstream)) == {"foo-1.0.tar.gz"}
        theirs.fault("/simple/foo/", "status", status=403)
        with pytest.raises(UpstreamError) as failed:
            upstream.page("foo", None)
    assert failed.value.status == 403
    assert waits == []


def test_an_index_that_answers_so_for_what_it_had_is_not_taken_to_lack_it() -> None:
    ours, theirs = FakeIndex({"foo": [("foo-1.0.tar.gz", b"ours")]}), FakeIndex({"foo": []})
    with ours, theirs, Upstream([Index(ours.url, missing=frozenset({403})), theirs.url]) as upstream:
        page = page_of(upstream)
        ours.fault("/simple/foo/", "status", status=403)
        with pytest.raises(UpstreamError, match="as when it was last seen"):
            upstream.page("foo", page.seen)
        assert theirs.log == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, r"missing: \[401\]"),
        (403, r"missing: \[403\]"),
        (400, "refused again"),
        (451, "legal reasons"),
        (500, "run again"),
    ],
)
def test_the_advice_fits_the_status_of_a_page(
    status: int, advice: str, index: FakeIndex, upstream: Upstream, waits: Waits
) -> None:
    index.fault("/simple/foo/", "status", status=status)
    with pytest.raises(UpstreamError, match=advice):
        upstream.page("foo", None)


def test_a_page_of_another_index_is_not_asked_for_as_if_it_were_known(index: FakeIndex, upstream: Upstream) -> None:
    elsewhere = Page("https://index.example.com/simple/foo/", JSON, '"x"', None, b"{}")
    upstream.page("foo", elsewhere.seen)
    assert "if-none-match" not in index.log[-1].headers


# --- Indexes of this machine


def local_index(folder: Path, link: str = SDIST) -> str:
    project = folder / "simple" / "foo"
    project.mkdir(parents=True)
    (project / SDIST).write_bytes(BYTES)
    sha256 = hashlib.sha256(BYTES).hexdigest()
    (project / "index.html").write_text(f'<!DOCTYPE html><a href="{link}#sha256={sha256}">{SDIST}</a>')
    return (folder / "simple").as_uri()


def test_an_index_of_this_machine_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    received = Received()
    with Upstream([local_index(tmp_path)]) as upstream:
        file = files_of(upstream)[SDIST]
        assert upstream.download(file, tmp_path / "out" / SDIST, received) == file.hashes["sha256"]
        page = page_of(upstream)
        assert upstream.page("foo", page.seen) is None
        with upstream.wheel(file) as stream:
            assert stream.read() == BYTES
        assert upstream.read(file.url, limit=10**7) == BYTES
        with pytest.raises(UpstreamError) as missing:
            upstream.page("bar", None)
    assert missing.value.status == 404
    assert (tmp_path / "out" / SDIST).read_bytes() == BYTES
    assert received.bytes == len(BYTES)


@pytest.mark.parametrize("size", [11, 12])
def test_a_file_of_this_machine_that_is_too_large_is_refused_and_never_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    url = local_index(tmp_path)
    (tmp_path / "there").write_bytes(b"x" * size)
    with Upstream([url]) as upstream:
        there = (tmp_path / "there").as_uri()
        if size == 11:
            assert len(upstream.read(there, limit=11)) == 11
        else:
            with pytest.raises(UpstreamError, match="at most 11 bytes"):
                upstream.read(there, limit=11)
        monkeypatch.setattr("mirror_tasks.index.client.MOST_PAGE", 11)
        with pytest.raises(UpstreamError, match="at most 11 bytes"):
            upstream.page("foo", None)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (
            ["ours/ours-1.0-py3-none-any.whl"],
            r"expected index.html in the folder ours, found 'ours-1.0-py3-none-any.whl'",
        ),
        (["ours/"], "expected index.html in the folder ours, found nothing"),
        (["ours"], "expected index.html in the folder ours, found a file of that name"),
        ([f"ours/{number}.whl" for number in range(5)], "'0.whl', '1.whl', '2.whl' and 2 more"),
        (["Ours/index.html"], "expected a folder with the normalised name ours, found 'Ours'"),
        (
            ["ours-1.0-py3-none-any.whl", "bar-1.0.tar.gz"],
            "found files of it beside the folders: 'ours-1.0-py3-none-any.whl'",
        ),
        (["Ours-1.0.tar.gz", "bar/index.html"], "found files of it beside the folders: 'Ours-1.0.tar.gz'"),
    ],
)
def test_what_a_folder_has_of_a_project_without_a_page_keeps_the_next_index_from_serving_it(
    paths: list[str], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    for name in paths:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.touch()
    theirs = FakeIndex({"ours": [("ours-99.0.tar.gz", b"theirs")], "other": [("other-1.0.tar.gz", b"theirs")]})
    with theirs, Upstream([folder.as_uri(), theirs.url]) as upstream:
        with pytest.raises(UpstreamError, match=said) as failed:
            upstream.page("ours", None)
        assert failed.value.status is None  # or it would pass for a project that does not exist
        assert "No other index is asked" in failed.value.advice
        assert theirs.log == []
        assert set(files_of(upstream, "other")) == {"other-1.0.tar.gz"}


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_an_index_of_this_machine_that_is_no_folder_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    theirs = FakeIndex({"ours": [("ours-99.0.tar.gz", b"theirs")]})
    with theirs, Upstream([(tmp_path / name).as_uri(), theirs.url]) as upstream:
        with pytest.raises(UpstreamError, match="expected the folder of an index"):
            upstream.page("ours", None)
        assert theirs.log == []


def test_a_local_file_that_is_another_is_never_published(tmp_path: Path) -> None:
    with Upstream([local_index(tmp_path)]) as upstream:
        file = files_of(upstream)[SDIST]
        (tmp_path / "simple" / "foo" / SDIST).write_bytes(b"other")
        with pytest.raises(IntegrityError, match="sha256"):
            upstream.download(file, tmp_path / "out" / SDIST, Received())
        (tmp_path / "simple" / "foo" / SDIST).unlink()
        with pytest.raises(UpstreamError):
            upstream.download(file, tmp_path / "out" / SDIST, Received())
    assert names_in(tmp_path / "out") == []


def test_what_a_page_gives_instead_of_a_sha256_is_checked(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    target = tmp_path / "out" / SDIST
    expected = hashlib.sha256(BYTES).hexdigest()
    for hashes in ({}, {"md5": hashlib.md5(BYTES).hexdigest(), "sha512": hashlib.sha512(BYTES).hexdigest()}):
        assert upstream.download(a_file(index, hashes=hashes, size=None), target, Received()) == expected
        target.unlink()
    for hashes in ({"md5": "0" * 32}, {"md5": hashlib.md5(BYTES).hexdigest(), "sha1": "0" * 40}):
        with pytest.raises(IntegrityError, match=r"expected (md5|sha1) 0+, found"):
            upstream.download(a_file(index, hashes=hashes), target, Received())
    assert names_in(tmp_path / "out") == []


def test_a_file_of_which_nothing_is_announced_is_whole_or_not_there(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    target = tmp_path / "out" / SDIST
    file = a_file(index, hashes={}, size=None)
    index.fault(SDIST_PATH, "truncate", times=1)
    received = Received()
    assert upstream.download(file, target, received) == hashlib.sha256(BYTES).hexdigest()
    assert received.bytes == len(BYTES)
    assert any("range" in request.headers for request in index.log)


def test_a_file_that_nothing_tells_the_end_of_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SDIST}"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")

        threading.Thread(target=answer, daemon=True).start()
        with (
            Upstream([url.removesuffix(SDIST)]) as upstream,
            pytest.raises(UpstreamError, match="expected a length"),
        ):
            upstream.download(File(SDIST, url, {}, None, None, None, None, None), tmp_path / SDIST, Received())
    assert names_in(tmp_path) == []


def test_a_remote_index_can_not_name_files_of_this_machine(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(BYTES)
    file = a_file(index, url=secret.as_uri())
    for use in (
        lambda: upstream.download(file, tmp_path / "out", Received()),
        lambda: upstream.wheel(file),
        lambda: upstream.read(file.url, limit=10**7),
    ):
        with pytest.raises(UpstreamError, match="a file of this machine"):
            use()


# --- Failures that may pass


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 520, 527])
def test_what_may_pass_is_tried_again(status: int, index: FakeIndex, upstream: Upstream, waits: Waits) -> None:
    index.fault("/simple/foo/", "status", status=status, times=2)
    upstream.page("foo", None)
    assert index.requests["/simple/foo/"] == 3
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 451, 501])
def test_what_will_not_pass_is_not_tried_again(status: int, index: FakeIndex, upstream: Upstream, waits: Waits) -> None:
    index.fault("/simple/foo/", "status", status=status)
    with pytest.raises(UpstreamError) as failed:
        upstream.page("foo", None)
    assert failed.value.status == status
    assert index.requests["/simple/foo/"] == 1
    assert waits == []


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 60.0),
        ("9" * 400, 60.0),
        ("-5", 0.5),
        ("nan", 0.5),
        ("soon", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 9999 07:28:00 GMT", 60.0),
    ],
)
def test_retry_after_is_honoured_up_to_a_minute(
    asked: str, seconds: float, index: FakeIndex, upstream: Upstream, waits: Waits
) -> None:
    index.fault("/simple/foo/", "status", status=503, retry_after=asked, times=1)
    upstream.page("foo", None)
    assert waits == [seconds]


def test_retry_after_may_be_a_date(index: FakeIndex, upstream: Upstream, waits: Waits) -> None:
    then = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=40)
    index.fault("/simple/foo/", "status", status=429, retry_after=format_datetime(then, usegmt=True), times=1)
    upstream.page("foo", None)
    assert max(0, (then - datetime.now(timezone.utc)).total_seconds()) <= waits[0] <= 40


def test_retries_end_and_the_last_answer_is_the_error(index: FakeIndex, waits: Waits) -> None:
    index.fault("/simple/foo/", "status", status=503)
    with Upstream([index.url], retries=3, sleep=waits) as upstream, pytest.raises(UpstreamError, match="503") as failed:
        upstream.page("foo", None)
    assert failed.value.status == 503
    assert waits == [0.5, 1.0, 2.0]


def test_a_reset_connection_is_tried_again(index: FakeIndex, upstream: Upstream, waits: Waits) -> None:
    index.fault("/simple/foo/", "reset", times=2)
    upstream.page("foo", None)
    assert len(waits) == 2


def test_an_index_that_can_not_be_reached_is_given_up_once_not_for_every_project(waits: Waits) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/simple/"
        with Upstream([url], retries=4, sleep=waits) as upstream:
            for name in ("foo", "bar", "baz"):
                with pytest.raises(UpstreamError) as failed:
                    upstream.page(name, None)
    assert failed.value.status is None
    assert "refused" in failed.value.problem
    assert len(waits) == 4


def test_after_close_nothing_is_asked_any_more(index: FakeIndex, upstream: Upstream) -> None:
    upstream.page("foo", None)
    upstream.close()
    with pytest.raises(UpstreamError, match="ended"):
        upstream.page("foo", None)
    assert index.requests["/simple/foo/"] == 1


def test_close_ends_a_wait(index: FakeIndex) -> None:
    index.fault("/simple/foo/", "status", status=503, retry_after=60)
    with Upstream([index.url]) as upstream, ThreadPoolExecutor(1) as pool:
        page = pool.submit(upstream.page, "foo", None)
        while not index.log:
            assert not page.done()
        upstream.close()
        with pytest.raises(UpstreamError):
            page.result(timeout=60)


# --- Redirects


def test_a_redirected_page_is_based_where_it_came_from(index: FakeIndex, upstream: Upstream) -> None:
    with FakeIndex({"foo": [(SDIST, b"elsewhere")]}, formats=(HTML,)) as other:
        index.fault("/simple/foo/", "redirect", to=f"{other.url}foo/")
        page = page_of(upstream)
        assert page.url == f"{other.url}foo/"
        assert files_of(upstream)[SDIST].url == other.file_url("foo", SDIST)
        assert upstream.page("foo", page.seen) is None
        assert other.log[-1].headers["if-none-match"] == page.etag


def test_redirects_in_a_circle_end(index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "redirect", to="/simple/foo/")
    with pytest.raises(UpstreamError, match="redirects"):
        upstream.page("foo", None)
    assert index.requests["/simple/foo/"] == 11


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/foo", "data:text/html,x", "http://[", "http://127.0.0.1:99999/"]
)
def test_a_redirect_off_the_web_is_refused(target: str, index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "redirect", to=target)
    with pytest.raises(UpstreamError):
        upstream.page("foo", None)
    assert len(index.log) == 1


# --- Credentials


AUTH = ("user@example.com", "p/ss:w%rd\u00e9")


def with_auth(*projects: str) -> FakeIndex:
    return FakeIndex({name: [(SDIST, BYTES)] for name in projects}, auth=AUTH)


def test_credentials_in_the_indexs_url_are_sent_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with with_auth("foo") as index, Upstream([index.url_with(*AUTH)]) as upstream, caplog.at_level(logging.DEBUG):
        page = page_of(upstream)
        file = files_of(upstream)[SDIST]
        upstream.download(file, tmp_path / SDIST, Received())
        with pytest.raises(UpstreamError) as missing:
            upstream.page("bar", None)
        index.fault("/simple/foo/", "status", status=403)
        with pytest.raises(UpstreamError) as forbidden:
            upstream.page("foo", None)
    shown = [
        str(missing.value),
        str(forbidden.value),
        repr(page),
        repr(file),
        caplog.text,
        *upstream.indexes,
    ]
    for text in shown:
        assert "user" not in text
        assert "p/ss" not in text
        assert "p%2Fss" not in text


def test_credentials_are_taken_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with FakeIndex({"foo": []}, auth=("me", "secret")) as index, Upstream([index.url]) as upstream:
        assert page_of(upstream).url == f"{index.url}foo/"


def test_credentials_do_not_follow_a_redirect_to_another_origin() -> None:
    with with_auth("foo") as index, FakeIndex({"foo": [(SDIST, b"x")]}) as other:
        index.fault("/simple/foo/", "redirect", to=f"{other.url}foo/")
        with Upstream([index.url_with(*AUTH)]) as upstream:
            upstream.page("foo", None)
        assert "authorization" in index.log[-1].headers
        assert "authorization" not in other.log[-1].headers


def test_credentials_do_not_go_to_a_file_host_of_another_origin(tmp_path: Path) -> None:
    with with_auth("foo") as index, FakeIndex({"foo": [(SDIST, BYTES)]}) as other:
        index.projects["foo"][SDIST].url = other.file_url("foo", SDIST)
        with Upstream([index.url_with(*AUTH)]) as upstream:
            upstream.download(files_of(upstream)[SDIST], tmp_path / SDIST, Received())
        assert all("authorization" not in request.headers for request in other.log)


def test_of_two_indexes_each_gets_its_own_credentials() -> None:
    one, two = FakeIndex({}, auth=("one", "1")), FakeIndex({"foo": []}, auth=("two", "2"))
    with one, two, Upstream([one.url_with("one", "1"), two.url_with("two", "2")]) as upstream:
        upstream.page("foo", None)
        assert one.log[-1].headers["authorization"] != two.log[-1].headers["authorization"]


def sent_to(index: FakeIndex, indexes: list[str], *paths: str) -> list[str | None]:
    """Return who is logged in, and how, at each of the paths of an index's host that has several indexes."""
    with Upstream(indexes, retries=0) as upstream:
        for path in paths:
            with pytest.raises(UpstreamError):
                upstream.read(f"{index.origin}{path}", limit=1)
    sent = [request.headers.get("authorization") for request in index.log]
    return [None if one is None else base64.b64decode(one.removeprefix("Basic ")).decode() for one in sent]


def at(index: FakeIndex, login: str, path: str) -> str:
    return index.origin.replace("//", f"//{login}@" if login else "//") + path


def test_each_index_of_one_host_gets_its_own_credentials_and_never_anothers(index: FakeIndex) -> None:
    indexes = [at(index, "", "/team-a"), at(index, "b:2", "/team-b"), at(index, "c:3", "/team-b/inner/")]
    with Upstream(indexes, retries=0) as upstream, pytest.raises(UpstreamError, match="no such project"):
        upstream.page("zzz", None)
    sent = [(request.path, request.headers.get("authorization")) for request in index.log]
    assert [path for path, _ in sent] == ["/team-a/zzz/", "/team-b/zzz/", "/team-b/inner/zzz/"]
    assert [None if one is None else base64.b64decode(one[6:]).decode() for _, one in sent] == [None, "b:2", "c:3"]


@pytest.mark.parametrize(
    ("path", "login"),
    [
        ("/team-a/simple/foo/", "a:1"),
        ("/team-b/simple/foo/", "b:2"),
        ("/team-b/packages/foo-1.0.whl", "b:2"),  # below no index: nearest to team-b's
        ("/packages/foo-1.0.whl", None),  # may be either's
        ("/team-bb/simple/foo/", None),  # begins alike, and is another folder
        ("/team-b/../team-a/simple/foo/", "a:1"),  # as it will be sent, and as a server reads it
        ("/team-b/simple/%2e%2e/%2E%2E/team-a/simple/", "a:1"),
    ],
)
def test_a_url_gets_the_credentials_of_the_index_that_it_belongs_to(
    index: FakeIndex, path: str, login: str | None
) -> None:
    indexes = [at(index, "a:1", "/team-a/simple/"), at(index, "b:2", "/team-b/simple/")]
    assert sent_to(index, indexes, path) == [login]


def test_files_beside_the_only_index_of_a_host_get_its_credentials(index: FakeIndex) -> None:
    assert sent_to(index, [at(index, "a:1", "/team-a/simple/")], "/packages/foo-1.0.whl") == ["a:1"]
    index.log.clear()
    alike = [at(index, "a:1", "/one/"), at(index, "a:1", "/two/")]
    assert sent_to(index, alike, "/packages/foo-1.0.whl") == ["a:1"]


def test_credentials_that_a_page_or_redirect_brings_are_not_used(index: FakeIndex, upstream: Upstream) -> None:
    index.fault("/simple/foo/", "redirect", to=index.url_with("evil", "x") + "bar/")
    page = page_of(upstream)
    assert "evil" not in page.url
    assert "authorization" not in index.log[-1].headers


def test_missing_credentials_are_told_with_what_to_do(index: FakeIndex, upstream: Upstream) -> None:
    index.auth = AUTH
    with pytest.raises(UpstreamError, match="netrc") as failed:
        upstream.page("foo", None)
    assert failed.value.status == 401


# --- Sidecars


def test_a_sidecar_is_checked_and_bounded(index: FakeIndex, upstream: Upstream) -> None:
    file = files_of(upstream)[wheel("foo", "1.0")[0]]
    assert file.core_metadata is not None
    url = f"{file.url}.metadata"
    body = upstream.read(url, limit=10_000, sha256=file.core_metadata["sha256"])
    assert b"Requires-Dist: bar" in body
    assert upstream.read(url, limit=10_000) == body
    with pytest.raises(IntegrityError, match="expected sha256"):
        upstream.read(url, limit=10_000, sha256="0" * 64)
    with pytest.raises(UpstreamError, match="found more"):
        upstream.read(url, limit=10)


def test_a_sidecar_that_is_compressed_against_the_request_is_read(index: FakeIndex, upstream: Upstream) -> None:
    index.fault(SDIST_PATH, "gzip")
    sha256 = hashlib.sha256(BYTES).hexdigest()
    assert upstream.read(index.file_url("foo", SDIST), limit=len(BYTES) + 10_000, sha256=sha256) == BYTES
    assert upstream.read(index.file_url("foo", SDIST), limit=len(BYTES) + 10_000) == BYTES


def test_an_announced_sidecar_that_is_not_there_has_status_404(index: FakeIndex, upstream: Upstream) -> None:
    with pytest.raises(UpstreamError) as missing:
        upstream.read(index.file_url("foo", "none.metadata"), limit=10)
    assert missing.value.status == 404


# --- Wheels read from their end


def big_wheel(padding: int = 3_000_000, members: int = 1) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("foo-2.0.dist-info/EARLY", "early")
        for number in range(members):
            archive.writestr(f"foo/member-{number:06}.py", BYTES[: padding // members])
        archive.writestr("foo-2.0.dist-info/METADATA", "Name: foo\nVersion: 2.0\n")
    return stream.getvalue()


BIG = "foo-2.0-py3-none-any.whl"
BIG_PATH = f"/files/foo/{BIG}"


def read_metadata(upstream: Upstream, file: File) -> bytes:
    with upstream.wheel(file) as stream, zipfile.ZipFile(stream) as archive:
        return archive.read("foo-2.0.dist-info/METADATA")


@pytest.mark.parametrize("size_is_announced", [True, False])
@pytest.mark.parametrize("etags", [True, False])
def test_the_metadata_of_a_big_wheel_costs_one_small_request(
    size_is_announced: bool, etags: bool, index: FakeIndex, upstream: Upstream
) -> None:
    index.etags = etags
    content = big_wheel()
    index.add("foo", BIG, content)
    file = a_file(index, BIG) if size_is_announced else a_file(index, BIG, size=None)
    assert b"Version: 2.0" in read_metadata(upstream, file)
    assert index.requests[BIG_PATH] == 1
    assert index.sent <= 64 << 10


def test_a_wheel_with_a_long_directory_costs_few_requests(index: FakeIndex, upstream: Upstream) -> None:
    index.add("foo", BIG, big_wheel(members=5_000))
    assert b"Version: 2.0" in read_metadata(upstream, a_file(index, BIG))
    assert index.requests[BIG_PATH] <= 3
    assert index.sent < len(index.projects["foo"][BIG].content) / 2


@pytest.mark.parametrize("step", [1_000, 70_000, 3_000_000])
def test_a_remote_wheel_reads_like_a_file(step: int, index: FakeIndex, upstream: Upstream) -> None:
    content = big_wheel(1_000_000)
    index.add("foo", BIG, content)
    with upstream.wheel(a_file(index, BIG)) as stream:
        assert stream.seek(-10, os.SEEK_END) == len(content) - 10
        assert stream.read() == content[-10:]
        assert stream.read(5) == b""
        assert stream.seek(len(content) + 5) == len(content) + 5
        assert stream.read(1) == b""
        stream.seek(step)
        assert stream.read(step) == content[step : 2 * step]
        assert stream.seek(-5, os.SEEK_CUR) == stream.tell()
        stream.seek(0)
        assert b"".join(iter(lambda: stream.read(step), b"")) == content
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)
        requests = index.requests[BIG_PATH]
        stream.seek(0)
        assert stream.read() == content
    assert index.requests[BIG_PATH] == requests


def test_a_server_without_ranges_is_asked_for_the_whole_and_remembered(index: FakeIndex, upstream: Upstream) -> None:
    index.ranges = False
    index.add("foo", BIG, big_wheel())
    file = a_file(index, BIG)
    assert b"Version: 2.0" in read_metadata(upstream, file)
    assert index.requests[BIG_PATH] == 2
    assert b"Version: 2.0" in read_metadata(upstream, file)
    assert index.requests[BIG_PATH] == 3


@pytest.mark.parametrize("fault", ["shifted", "gzip"])
def test_a_range_that_was_not_asked_for_is_not_taken(fault: str, index: FakeIndex, upstream: Upstream) -> None:
    index.add("foo", BIG, big_wheel())
    index.fault(BIG_PATH, fault, times=1)
    assert b"Version: 2.0" in read_metadata(upstream, a_file(index, BIG))


@pytest.mark.parametrize("fault", ["truncate", "reset"])
def test_a_range_that_breaks_is_asked_for_again(fault: str, index: FakeIndex, upstream: Upstream) -> None:
    index.add("foo", BIG, big_wheel())
    index.fault(BIG_PATH, fault, times=2)
    assert b"Version: 2.0" in read_metadata(upstream, a_file(index, BIG))
    assert index.requests[BIG_PATH] == 3


def test_a_wheel_that_changes_while_it_is_read_is_an_error(index: FakeIndex, upstream: Upstream) -> None:
    content = big_wheel()
    index.add("foo", BIG, content)
    with upstream.wheel(a_file(index, BIG)) as stream:
        stream.seek(-1, os.SEEK_END)
        stream.read()
        index.add("foo", BIG, bytes(len(content)))
        stream.seek(0)
        with pytest.raises(UpstreamError, match="changed"):
            stream.read(10)


def test_a_wheel_of_another_size_than_announced_is_an_error(index: FakeIndex, upstream: Upstream) -> None:
    content = big_wheel()
    index.add("foo", BIG, content)
    for size in (len(content) + 1, len(content) - 1):
        with pytest.raises(IntegrityError, match="size"):
            read_metadata(upstream, a_file(index, BIG, size=size))


def test_a_wheel_read_whole_is_checked(index: FakeIndex, upstream: Upstream) -> None:
    index.ranges = False
    index.add("foo", BIG, big_wheel())
    index.fault(BIG_PATH, "corrupt")
    with pytest.raises(IntegrityError, match="sha256"):
        read_metadata(upstream, a_file(index, BIG))


def test_a_wheel_that_is_gone_has_status_404(index: FakeIndex, upstream: Upstream) -> None:
    file = a_file(index, url=index.file_url("foo", "gone.whl"))
    with pytest.raises(UpstreamError) as missing, upstream.wheel(file) as stream:
        stream.read()
    assert missing.value.status == 404


# --- Downloads


def test_a_download_is_the_file_and_nothing_else_is_left(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    received = Received()
    target = tmp_path / "packages" / "foo" / SDIST
    assert upstream.download(a_file(index), target, received) == hashlib.sha256(BYTES).hexdigest()
    assert target.read_bytes() == BYTES
    assert received.bytes == len(BYTES)
    assert names_in(target.parent) == [SDIST]
    assert index.requests[SDIST_PATH] == 1


def test_a_file_of_unknown_size_is_downloaded(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    upstream.download(a_file(index, size=None), tmp_path / SDIST, Received())
    assert (tmp_path / SDIST).read_bytes() == BYTES


def test_an_empty_file_is_downloaded(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    index.add("foo", "foo-0.tar.gz", b"")
    upstream.download(a_file(index, "foo-0.tar.gz"), tmp_path / "foo-0.tar.gz", Received())
    assert (tmp_path / "foo-0.tar.gz").read_bytes() == b""


def test_a_broken_transfer_is_resumed_and_no_byte_is_fetched_twice(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    received = Received()
    index.fault(SDIST_PATH, "truncate", times=3)
    upstream.download(a_file(index), tmp_path / SDIST, received)
    assert (tmp_path / SDIST).read_bytes() == BYTES
    assert received.bytes == len(BYTES)
    assert index.sent == len(BYTES)
    assert index.requests[SDIST_PATH] == 4


@pytest.mark.parametrize("fault", ["whole", "weak", "no-validators", "shifted"])
def test_a_transfer_that_can_not_be_resumed_begins_again(
    fault: str, index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    received = Received()
    index.fault(SDIST_PATH, fault)
    index.fault(SDIST_PATH, "truncate", times=2)
    upstream.download(a_file(index), tmp_path / SDIST, received)
    assert (tmp_path / SDIST).read_bytes() == BYTES
    assert received.bytes == len(BYTES)


def test_a_file_that_changed_since_the_transfer_broke_is_not_patched_together(
    index: FakeIndex, upstream: Upstream, tmp_path: Path, waits: Waits
) -> None:
    new = BYTES[::-1]
    file = a_file(index, hashes={"sha256": hashlib.sha256(new).hexdigest()})
    index.fault(SDIST_PATH, "truncate", times=1)

    class Changing(Waits):
        def __call__(self, seconds: float) -> None:
            index.add("foo", SDIST, new)

    with Upstream([index.url], sleep=Changing()) as changing:
        changing.download(file, tmp_path / SDIST, Received())
    assert (tmp_path / SDIST).read_bytes() == new


def left_by_a_killed_run(index: FakeIndex, folder: Path) -> None:
    """Leave what a run leaves that is killed in the middle of a transfer."""
    index.fault(SDIST_PATH, "truncate", times=1)
    with Upstream([index.url], retries=0) as upstream, pytest.raises(UpstreamError):
        upstream.download(a_file(index), folder / SDIST, Received())


def test_a_killed_runs_transfer_is_resumed(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    left_by_a_killed_run(index, tmp_path)
    assert SDIST not in names_in(tmp_path)
    received = Received()
    upstream.download(a_file(index), tmp_path / SDIST, received)
    assert (tmp_path / SDIST).read_bytes() == BYTES
    assert names_in(tmp_path) == [SDIST]
    assert index.sent == len(BYTES)
    assert received.bytes == len(BYTES)
    assert index.log[-1].headers["range"] == f"bytes={len(BYTES) // 2}-"
    assert index.log[-1].headers["if-range"].startswith('"')


@pytest.mark.parametrize("damage", ["zeros", "longer", "no etag", "bad etag"])
def test_what_a_killed_run_left_damaged_is_begun_again(
    damage: str, index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    left_by_a_killed_run(index, tmp_path)
    (part,) = tmp_path.glob(".*.part")
    (etag,) = tmp_path.glob(".*.part.etag")
    if damage == "zeros":  # as after a power failure
        part.write_bytes(bytes(len(BYTES) // 2))
    elif damage == "longer":
        part.write_bytes(BYTES + b"more")
    elif damage == "no etag":
        etag.unlink()
    else:
        etag.write_bytes(b'"x"\r\nX-Injected: 1')
    received = Received()
    upstream.download(a_file(index), tmp_path / SDIST, received)
    assert (tmp_path / SDIST).read_bytes() == BYTES
    assert names_in(tmp_path) == [SDIST]
    assert received.bytes == len(BYTES)


def test_a_transfer_that_was_killed_after_its_last_byte_asks_for_nothing(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    left_by_a_killed_run(index, tmp_path)
    (part,) = tmp_path.glob(".*.part")
    part.write_bytes(BYTES)
    requests = len(index.log)
    upstream.download(a_file(index), tmp_path / SDIST, Received())
    assert (tmp_path / SDIST).read_bytes() == BYTES
    assert len(index.log) == requests


@pytest.mark.parametrize(
    ("fault", "options"),
    [("corrupt", {}), ("longer", {}), ("body", {"body": b"<html>error</html>"}), ("truncate", {"at": 1000})],
)
@pytest.mark.parametrize("size_is_announced", [True, False])
def test_wrong_or_truncated_bytes_are_never_published(
    fault: str, options: dict[str, Any], size_is_announced: bool, index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    index.etags = False
    index.fault(SDIST_PATH, fault, **options)
    with pytest.raises((IntegrityError, UpstreamError)):
        upstream.download(
            a_file(index) if size_is_announced else a_file(index, size=None), tmp_path / SDIST, Received()
        )
    assert names_in(tmp_path) == []


def test_a_file_that_was_right_stays_when_its_replacement_is_wrong(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / SDIST).write_bytes(b"as it was")
    index.fault(SDIST_PATH, "corrupt")
    with pytest.raises(IntegrityError):
        upstream.download(a_file(index), tmp_path / SDIST, Received())
    assert (tmp_path / SDIST).read_bytes() == b"as it was"
    assert names_in(tmp_path) == [SDIST]


def test_a_body_longer_than_announced_is_not_read_to_its_end(
    index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    index.fault(SDIST_PATH, "longer", by=50_000_000)
    received = Received()
    with pytest.raises(IntegrityError, match="size"):
        upstream.download(a_file(index), tmp_path / SDIST, received)
    assert received.bytes <= len(BYTES)


@pytest.mark.parametrize("fault", ["gzip", "mislabelled"])
def test_a_file_that_a_server_compresses_or_says_so_is_the_file_that_was_announced(
    fault: str, index: FakeIndex, upstream: Upstream, tmp_path: Path
) -> None:
    content = gzip.compress(BYTES, mtime=0)
    index.add("foo", SDIST, content)
    index.fault(SDIST_PATH, fault)
    received = Received()
    upstream.download(a_file(index), tmp_path / SDIST, received)
    assert (tmp_path / SDIST).read_bytes() == content
    assert received.bytes == len(content)
    assert index.log[0].headers["accept-encoding"] == "identity"


def test_a_full_disk_is_told_as_it_is_and_not_tried_again(
    index: FakeIndex, upstream: Upstream, tmp_path: Path, waits: Waits
) -> None:
    def full(count: int) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    with pytest.raises(OSError, match="No space left"):
        upstream.download(a_file(index), tmp_path / SDIST, full)
    assert waits == []
    assert SDIST not in names_in(tmp_path)


def test_many_threads_share_one_upstream(index: FakeIndex, tmp_path: Path) -> None:
    shared = Upstream([index.url], connections=8)

    def fetch(number: int) -> str:
        shared.page("foo", None)
        return shared.download(a_file(index), tmp_path / f"{number}.tar.gz", Received())

    with shared, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(24))) == {hashlib.sha256(BYTES).hexdigest()}
    assert len(names_in(tmp_path)) == 24


def test_a_slow_body_holds_up_nothing_else(index: FakeIndex, upstream: Upstream, tmp_path: Path) -> None:
    index.fault(SDIST_PATH, "slow", times=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(upstream.download, a_file(index), tmp_path / SDIST, Received())
        index.stall.wait_for_arrival()
        assert set(files_of(upstream)) == set(index.projects["foo"])
        assert SDIST not in names_in(tmp_path)
        index.stall.open()
        assert slow.result(timeout=60) == hashlib.sha256(BYTES).hexdigest()


def test_a_server_that_goes_silent_is_left_after_the_timeout(index: FakeIndex, waits: Waits) -> None:
    index.fault("/simple/foo/", "slow")
    with (
        Upstream([index.url], timeout=(5, 0.05), retries=1, sleep=waits) as upstream,
        pytest.raises(UpstreamError) as left,
    ):
        upstream.page("foo", None)
    assert left.value.status is None
    assert len(waits) == 1
    index.stall.open()


# --- Where the index comes from


Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Configure]:
    """Write pip's configuration; pip itself reads it, in a process of its own."""
    path = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))

    def write(**settings: str) -> None:
        lines = [f"{key.replace('_', '-')} = {value}" for key, value in settings.items()]
        path.write_text("\n".join(["[global]", *lines, ""]))
        forget_settings()

    write()
    yield write
    forget_settings()


needs_pip = pytest.mark.skipif(find_spec("pip") is None, reason="no pip beside this Python")


def test_the_environment_names_the_index(monkeypatch: pytest.MonkeyPatch, configure: Configure) -> None:
    configure(index_url="https://configured.example.com/simple/")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example.com/simple")
    assert default_index() == "https://index.example.com/simple"


@needs_pip
def test_pips_configuration_names_the_index_and_no_extra_one_is_used(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(
        index_url="https://index.example.com/simple",
        extra_index_url="https://me:secret@extra.example.com/simple https://more.example.com/simple",
    )
    upstream = Upstream(None)
    assert upstream.indexes == ("https://index.example.com/simple/",)
    (warning,) = caplog.messages
    assert "https://me:***@extra.example.com/simple" in warning
    assert "secret" not in warning


@needs_pip
def test_pips_ways_to_an_index_are_used(configure: Configure) -> None:
    configure(
        cert="/ca.pem",
        client_cert="/me.pem",
        proxy="http://proxy.example.com:3128",
        timeout="7",
        trusted_host="a.example.com b:81",
    )
    assert pip_settings.pip_settings() == pip_settings.PipSettings(
        "/ca.pem", "/me.pem", "http://proxy.example.com:3128", 7.0, frozenset({"a.example.com", "b:81"})
    )


def test_where_nothing_is_configured_there_is_a_default(configure: Configure) -> None:
    assert default_index().startswith("https://")


def test_nothing_is_asked_before_the_first_request(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    monkeypatch.setattr(subprocess, "Popen", None)
    Upstream(None).close()


def test_a_proxy_is_used_and_gets_no_credentials_of_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeIndex({"foo": []}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        monkeypatch.setattr("mirror_tasks.index.connections.pip_settings", pip_settings.PipSettings)
        with Upstream(["http://index.example.com/simple/"]) as upstream:
            assert page_of(upstream).url == "http://index.example.com/simple/foo/"
        assert proxy.log[-1].headers["host"] == "index.example.com"


def test_certificates_that_can_not_be_read_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with Upstream(["https://127.0.0.1:9/simple/"]) as upstream, pytest.raises(UpstreamError, match="PIP_CERT"):
        upstream.page("foo", None)


@pytest.mark.parametrize(
    "url", ["http://[", "http://index.example.com:99999/", "ftp://index.example.com/", "simple", ""]
)
def test_an_index_that_is_no_url_is_told(url: str, waits: Waits) -> None:
    with Upstream([url], sleep=waits) as upstream, pytest.raises(UpstreamError, match="expected a URL"):
        upstream.page("foo", None)
    assert waits == []


def test_a_proxy_that_can_not_be_reached_is_told_and_given_up_once(
    monkeypatch: pytest.MonkeyPatch, waits: Waits
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr("mirror_tasks.index.connections.pip_settings", pip_settings.PipSettings)
        with Upstream(["https://index.example.com/simple/"], retries=2, sleep=waits) as upstream:
            for _ in range(3):
                with pytest.raises(UpstreamError, match="the proxy") as failed:
                    upstream.page("foo", None)
    assert "secret" not in str(failed.value)
    assert len(waits) == 2


def test_threads_that_start_together_find_the_index_once(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def default() -> str:
        asked.append(index.url)
        return index.url

    monkeypatch.setattr("mirror_tasks.index.client.default_index", default)
    barrier = threading.Barrier(8)
    shared = Upstream(None)

    def fetch(_: int) -> Page:
        barrier.wait(60)
        return page_of(shared)

    with shared, ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(fetch, range(8)))
    assert len(set(map(repr, pages))) == 1
    assert len(asked) == 1
