"""The served mirror is a simple repository (api-version 1.4) for every client; the rules are quoted in each test."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pypi_simple
import pytest
import requests

from tests.server_fixtures import (
    HOST,
    HTML,
    JSON,
    Client,
    Running,
    ask,
    load_server,
    make_mirror,
    running,
    seal_mirror,
    sha256,
    write,
)
from tests.stepping import every_interruption

PLAIN = "text/html; charset=utf-8"
PIP = f"Accept: {JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"Accept: {JSON}, {HTML};q=0.2, text/html;q=0.01"
OLD_PIP = "Accept: text/html"
BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
LATEST = "application/vnd.pypi.simple.latest"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Running]:
    with running(root) as started:
        yield started


@pytest.mark.parametrize("target", ["/simple/", "/simple/alpha/", "/alpha/"])
@pytest.mark.parametrize(
    ("fields", "media_type"),
    [
        ((), PLAIN),  # "no Accept" is "*/*", and a client that says nothing may know HTML only
        (("Accept: */*",), PLAIN),
        ((OLD_PIP,), PLAIN),
        ((BROWSER,), PLAIN),
        ((PIP,), JSON),
        ((UV,), JSON),
        ((f"Accept: {JSON}",), JSON),
        ((f"Accept: {HTML}",), HTML),
        ((f"Accept: {JSON};q=0.1, {HTML};q=0.2",), HTML),
        ((f"Accept: {JSON};q=0.1", f"Accept: {HTML}"), HTML),  # RFC 9110, 5.3: fields are joined by commas
        ((f"Accept: {JSON}, */*",), JSON),  # 12.5.1: "the most specific reference has precedence"
        (("Accept: application/*",), JSON),
        (("Accept: application/*, text/html;q=0.5",), JSON),
        (("Accept: text/html;q=0, */*",), JSON),
        ((f"Accept: {LATEST}+json",), JSON),  # "latest" answers with the type of the version that it is
        ((f"Accept: {LATEST}+html",), HTML),
        ((f"Accept: {JSON.upper()}",), JSON),  # RFC 9110, 8.3.1: types are case-insensitive
        ((f"Accept:{JSON} ; charset=utf-8 ;Q=0.5,text/html;q=.4",), JSON),
        (("Accept: text/html;q=nonsense",), PLAIN),
        ((f"Accept: ,, {JSON},",), JSON),
    ],
)
def test_the_type_that_the_client_wants_is_sent(
    served: Running, target: str, fields: tuple[str, ...], media_type: str
) -> None:
    answer = ask(served.port, target, *fields)
    assert (answer.status, answer["Content-Type"]) == (200, media_type)
    assert answer["Vary"] == "Accept, Accept-Encoding"
    assert answer["Cache-Control"] == "no-cache"
    assert answer.get("Last-Modified") is None  # alone it would make clients take the page as fresh


@pytest.mark.parametrize(
    "accept", ["application/json", "image/*", f"{JSON};q=0", "*/*;q=0", "application/vnd.pypi.simple.v2+json", ""]
)
def test_a_client_that_accepts_no_type_we_have_is_told_so(served: Running, accept: str) -> None:
    """The API: 406 where "the server does not support any of the requested content types"."""
    answer = ask(served.port, "/simple/alpha/", f"Accept: {accept}")
    assert (answer.status, answer["Vary"]) == (406, "Accept")
    assert ask(served.port, "/simple/none/", f"Accept: {accept}").status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/simple", "simple/"),
        ("/simple/alpha", "alpha/"),
        ("/simple/Beta.Two", "beta-two/"),
        ("/simple/Beta_.-Two/", "../beta-two/"),
        ("/simple/BETA%2Dtwo/", "../beta-two/"),
        ("/simple/not_here/", "../not-here/"),
        ("/alpha", "alpha/"),
        ("/Beta.Two/", "../beta-two/"),
        ("/project/alpha", "alpha/"),
    ],
)
def test_other_spellings_lead_to_the_right_url(served: Running, target: str, location: str) -> None:
    """The API: redirect "URLs without a / to add a / to the end", and names that are not normalised."""
    answer = ask(served.port, target)
    assert (answer.status, answer["Location"]) == (301, location)


@pytest.mark.parametrize("target", ["/simple/none/", "/none/", "/none", "/simple/-/", "/simple//", "/simple/alpha//"])
def test_what_is_not_there_is_404(served: Running, target: str) -> None:
    assert ask(served.port, target).status == 404


@pytest.mark.parametrize("name", ["index.html", "index.v1_html", "index.v1_json"])
def test_pages_can_be_named_by_file(served: Running, root: Path, name: str) -> None:
    types = {"index.html": PLAIN, "index.v1_html": HTML, "index.v1_json": JSON}
    for folder in ("simple", "simple/alpha"):
        answer = ask(served.port, f"/{folder}/{name}")
        assert (answer["Content-Type"], answer.body) == (types[name], (root / folder / name).read_bytes())


def test_files_are_for_ever_and_metadata_stands_beside_them(served: Running, root: Path) -> None:
    """The API: the metadata file is "at the same URL as the distribution with .metadata appended"."""
    wheel = ask(served.port, "/packages/alpha/alpha-1.0-py3-none-any.whl")
    metadata = ask(served.port, "/packages/alpha/alpha-1.0-py3-none-any.whl.metadata")
    for answer in (wheel, metadata):
        assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer["Accept-Ranges"] == "bytes"
    assert wheel["Content-Type"] == "application/octet-stream"
    assert sha256(wheel.body) == sha256((root / "packages/alpha/alpha-1.0-py3-none-any.whl").read_bytes())
    assert b"Name: alpha" in metadata.body


def test_a_browser_gets_the_page_for_people_and_an_installer_the_list(served: Running) -> None:
    assert b"for people" in ask(served.port, "/", BROWSER).body
    assert b"alpha for people" in ask(served.port, "/project/alpha/", BROWSER).body
    assert ask(served.port, "/", PIP)["Content-Type"] == JSON
    assert ask(served.port, "/site/style.css")["Content-Type"] == "text/css; charset=utf-8"


def test_without_a_page_for_people_the_root_is_the_list(tmp_path: Path) -> None:
    root = make_mirror(tmp_path)
    (root / "index.html").unlink()
    with running(root) as served:
        assert b'href="alpha/"' in ask(served.port, "/", BROWSER).body


def test_a_foreign_parser_reads_the_pages_in_both_types_at_both_urls(served: Running) -> None:
    for base in (f"{served.url}simple/", served.url):
        for accept in (pypi_simple.ACCEPT_JSON_ONLY, pypi_simple.ACCEPT_HTML_ONLY):
            with pypi_simple.PyPISimple(base, accept=accept) as client:
                page = client.get_project_page("Beta.Two")
                assert len(page.packages) == 2
                for package in page.packages:
                    content = requests.get(package.url, timeout=60).content
                    assert sha256(content) == package.digests["sha256"]
                    assert client.get_package_metadata(package).startswith("Metadata-Version")


# Gzip.


@pytest.mark.parametrize("target", ["/simple/", "/simple/alpha/", "/alpha/"])
@pytest.mark.parametrize("accept", [OLD_PIP, PIP, f"Accept: {HTML}"])
def test_a_page_is_sent_gzipped_where_asked(served: Running, target: str, accept: str) -> None:
    plain = ask(served.port, target, accept)
    packed = ask(served.port, target, accept, "Accept-Encoding: gzip, deflate")
    assert (plain.get("Content-Encoding"), packed["Content-Encoding"]) == (None, "gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert packed["Content-Type"] == plain["Content-Type"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("*", True),
        ("br, gzip;q=0.1", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("br", False),
        ("", False),
        ("GZIP", True),
    ],
)
def test_accept_encoding_is_understood(served: Running, accepted: str, packed: bool) -> None:
    """RFC 9110, 12.5.3: weights count, and an asterisk stands for what is not listed."""
    answer = ask(served.port, "/simple/alpha/", f"Accept-Encoding: {accepted}")
    assert (answer.get("Content-Encoding") == "gzip") == packed


def test_packages_are_never_sent_encoded(served: Running, root: Path) -> None:
    write(root / "packages" / "sourced" / "sourced-0.5.tar.gz.gz", b"")
    answer = ask(served.port, "/packages/sourced/sourced-0.5.tar.gz", "Accept-Encoding: gzip")
    assert answer.get("Content-Encoding") is None
    assert answer.body == (root / "packages/sourced/sourced-0.5.tar.gz").read_bytes()


@pytest.mark.parametrize(
    "copy", [gzip.compress(b"of another page", mtime=0), b"", b"no gzip"], ids=["other", "empty", "none"]
)
def test_a_gzipped_copy_of_another_page_is_not_sent(tmp_path: Path, copy: bytes) -> None:
    root = make_mirror(tmp_path)
    (root / "simple" / "alpha" / "index.html.gz").write_bytes(copy)
    with running(root) as served:
        answer = ask(served.port, "/simple/alpha/", "Accept-Encoding: gzip")
    assert answer.get("Content-Encoding") is None
    assert answer.body == (root / "simple" / "alpha" / "index.html").read_bytes()


# A tree that changes underneath.


def test_a_tree_that_is_changed_is_served_at_once(tmp_path: Path) -> None:
    root = make_mirror(tmp_path / "mirror")
    with running(root) as served, Client(served.port) as client:
        before = client.ask("/simple/alpha/")
        assert client.ask("/simple/new/").status == 404
        shutil.copytree(root / "simple" / "alpha", root / "simple" / "new")
        replacement = root / "simple" / "alpha" / "replacement"
        replacement.write_bytes(before.body.replace(b"alpha", b"ALPHA"))  # of the same size
        os.replace(replacement, root / "simple" / "alpha" / "index.html")
        after = client.ask("/simple/alpha/", f"If-None-Match: {before['ETag']}")
        assert (after.status, after.body) == (200, before.body.replace(b"alpha", b"ALPHA"))
        assert after["ETag"] != before["ETag"]
        assert client.ask("/simple/new/").status == 200
        shutil.rmtree(root / "simple" / "new")
        assert client.ask("/simple/new/").status == 404


def test_a_file_that_was_changed_after_the_manifest_has_another_tag(tmp_path: Path) -> None:
    root = make_mirror(tmp_path)
    large = root / "packages" / "large" / "large-1.0.tar.gz"
    target = "/packages/large/large-1.0.tar.gz"
    with running(root) as served, Client(served.port) as client:
        sealed = client.ask(target, method="HEAD")["ETag"]
        other = large.read_bytes()[::-1]
        write(large.with_name("other"), other)
        os.utime(large.with_name("other"), (4e9, 4e9))
        os.replace(large.with_name("other"), large)
        resumed = client.ask(target, "Range: bytes=9-", f"If-Range: {sealed}")
        assert (resumed.status, resumed.body) == (200, other)  # and no mix of the two
        assert resumed["ETag"] != sealed
        os.utime(large, (1e9, 1e9))
        seal_mirror(root)
        assert client.ask(target, method="HEAD")["ETag"] == f'"{sha256(other)}"'


def test_a_new_file_with_the_number_size_and_time_of_a_deleted_one_is_another() -> None:
    server = load_server()
    old = SimpleNamespace(st_dev=1, st_ino=2, st_size=3, st_mtime_ns=4, st_ctime_ns=5)
    assert server.signature_of(old) == server.signature_of(SimpleNamespace(**vars(old)))
    for name in vars(old):
        assert server.signature_of(old) != server.signature_of(SimpleNamespace(**{**vars(old), name: 6})), name


def test_a_small_file_is_opened_once_while_it_is_as_it_was_and_what_was_asked_for_last_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, opened = load_server(), list[str]()

    def counting(path: Path, *arguments: Any, **settings: Any) -> Any:
        opened.append(path.name)
        return open(path, *arguments, **settings)

    monkeypatch.setattr(server, "open", counting, raising=False)
    monkeypatch.setattr(server, "CACHE_BYTES", 25)  # two of the three
    for name in "abc":
        write(tmp_path / "site" / name, name.encode() * 10)
    tree = server.Tree(tmp_path)
    for name in "aabacab":
        assert tree.get(("site", name)).data == name.encode() * 10
    assert "".join(opened) == "abcb"


@pytest.mark.parametrize("size", [100, 30_000], ids=["from memory", "from its file"])
def test_a_file_that_is_deployed_anew_while_it_is_read_is_the_old_or_the_new_with_its_own_tag(
    tmp_path: Path, size: int
) -> None:
    server = load_server()
    root = tmp_path  # with this one file alone: it is deployed some hundred times
    path = root / "packages" / "large" / "large-2.0.tar.gz"
    contents = {f'"{sha256(content)}"': content for content in (b"old" * size, b"new" * size)}
    old, new = contents
    trees: list[Any] = []

    times = itertools.count(10**9)

    def deploy(content: bytes) -> None:
        write(path.with_name("coming"), content)
        os.utime(path.with_name("coming"), (1e9, next(times)))
        os.replace(path.with_name("coming"), path)
        seal_mirror(root)

    def read() -> tuple[str, bytes]:
        found = trees[-1].get(("packages", "large", path.name))
        if found.file is None:
            return found.etag, found.data
        with found.file as file:
            return found.etag, file.read()

    def scene() -> tuple[Callable[[], tuple[str, bytes]], Callable[[], None]]:
        deploy(contents[old])
        trees.append(server.Tree(root))
        read()
        deploy(contents[old])  # again, so that what is remembered of it has to be read anew
        return read, lambda: deploy(contents[new])

    seen = set()
    for run in every_interruption(scene, server):
        etag, content = run.first
        seen.add(content)
        assert etag not in contents or contents[etag] == content, run.line
        assert read() == (new, contents[new]), run.line
    assert seen == set(contents.values())


@pytest.mark.parametrize(
    "path",
    [
        "/packages/10/cb/f2ad4230dc2eb1a74edf38f1a38b9b52277f75bef262d8908e60d957e13c/alpha-1.0-py3-none-any.whl",
        "/packages/alpha/1.0/alpha-1.0-py3-none-any.whl",
        "/root/pypi/+f/e90/b95a27/alpha-1.0-py3-none-any.whl",
        "/artifactory/api/pypi/all/packages/packages/10/cb/alpha-1.0.tar.gz",
        "/alpha-1.0.tar.gz",
        "/simple/alpha/alpha-1.0.tar.gz",
        "/packages/10/cb/f2/alpha-1.0-py3-none-any.whl.metadata",
    ],
)
def test_a_file_is_found_by_its_name_under_another_hosts_path(root: Path, served: Running, path: str) -> None:
    here = f"/packages/alpha/{path.rpartition('/')[2]}"
    there = ask(served.port, path)
    assert (there.status, there.body) == (200, (root / here[1:]).read_bytes())
    assert there["ETag"] == ask(served.port, here)["ETag"]
    assert ask(served.port, path, "Range: bytes=3-5").status == 206
    assert ask(served.port, path, method="HEAD").status == 200


def test_a_file_name_that_two_projects_have_is_found_under_neither(tmp_path: Path) -> None:
    root = make_mirror(tmp_path / "mirror")
    for name in ("odd", "odd-1"):
        write(root / "packages" / name / "odd-1-2.tar.gz", name.encode())
    with running(root) as served:
        assert ask(served.port, "/packages/10/cb/odd-1-2.tar.gz").status == 404
        assert ask(served.port, "/packages/odd/odd-1-2.tar.gz").body == b"odd"
        (root / "packages" / "odd" / "odd-1-2.tar.gz").unlink()
        assert ask(served.port, "/packages/10/cb/odd-1-2.tar.gz").body == b"odd-1"


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/packages/10/cb/f2/blinker-1.9.0-py3-none-any.whl", "blinker==1.9.0"),
        ("/root/pypi/+f/e90/b95a/Blinker_X-1!2.0_local-1-py3-none-any.whl.metadata", "blinker-x==1!2.0+local"),
        ("/packages/10/cb/f2/blinker-1.9.0.tgz", "blinker==1.9.0"),
        ("/packages/10/cb/f2/old-name-1.9.0.tar.bz2", "old-name==1.9.0"),
        ("/backup-2020.zip", None),
        ("/packages/blinker/blinker-1.9.0.exe", None),
        ("/packages/blinker/" + "b" * 300 + "-1.9.0.tar.gz", None),
        ("/packages/blinker/blinker-1.9.0;%20by%3A-py3-none-any.whl", None),
        ("/packages/blinker/blinker-1.9.0-py3-none-%E2%80%AEany.whl", None),
        ("/simple/" + "b" * 300 + "/", None),
    ],
)
def test_what_a_lock_names_and_is_not_here_is_missed_by_project_and_version(
    root: Path, path: str, missing: str | None
) -> None:
    server = load_server()
    request = server.parse_head(f"GET {path} HTTP/1.1\r\n{HOST}".rstrip().encode())
    response = server.Site(server.Tree(root)).respond(request)
    assert response.status == 404
    assert (response.missing and response.missing.requirement) == missing
