"""nginx, Apache and Caddy, configured as docs/serving.md says, serve a mirror as well as its own server does."""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.mirroring import mirror_folder, small_world
from tests.server_fixtures import HTML, JSON, Answer, running, write
from tests.test_server_clients import installed, make_environment, run
from tests.web_servers import WEB_SERVERS, WebServer, ask, web_server

pytestmark = pytest.mark.clients

PIP = f"Accept: {JSON}, {HTML}; q=0.1, text/html; q=0.01"
WHEEL = "packages/alone/alone-3.0-py3-none-any.whl"
LOCKS, LOCK = ("uv.lock", "pylock.toml"), b"version = 1\n"
SDIST = "packages/app/app-1.0.tar.gz"
EXPECTED = {"alone": "3.0", "app": "1.0", "lib.core": "1.1", "sourced": "0.5"}


@dataclass(frozen=True)
class Place:
    """A mirror and the port at which a web server serves it."""

    root: Path
    port: int

    @property
    def index(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple/"

    def ask(self, path: str, *fields: str, method: str = "GET") -> Answer:
        return ask(self.port, path, *fields, method=method)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that a web server which runs as nobody can read, as it can't the folders of these tests."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def root(folder: Path) -> Path:
    """A mirror that the pipeline made, and beside its files some that are nobody's business."""
    with FakeIndex(small_world()) as index:
        project = mirror_folder(
            folder / "made",
            index,
            environments={"here": environment_block()},
            requirements=["app", "sourced", "alone"],
        )
        project.mirrored()
    for path in ("key.pem", ".htpasswd", "packages/.hidden", "packages/alone/.part", "other/file"):
        write(project.output / path, b"private")
    for name in LOCKS:
        write(project.output / "locks" / "app" / name, LOCK)
    return project.output


@pytest.fixture(scope="module", params=WEB_SERVERS, ids=lambda kind: str(kind.name))
def place(folder: Path, root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """The mirror, served by the web server alone."""
    kind: WebServer = request.param
    own = folder / kind.name
    own.mkdir()
    with web_server(kind, own, kind.recipe(0).replace("/srv/mirror", str(root))) as port:
        yield Place(root, port)


@pytest.mark.parametrize(
    ("accept", "name", "media_type"),
    [
        ("Accept: text/html", "index.html", "text/html"),
        ("Accept: */*", "index.html", "text/html"),
        ("X-Accept: nothing", "index.html", "text/html"),
        (f"Accept: {JSON}", "index.v1_json", JSON),
        (f"Accept: {HTML}", "index.v1_html", HTML),
        (f"Accept: {JSON.replace('v1', 'latest')}", "index.v1_json", JSON),
        (PIP, "index.v1_json", JSON),
    ],
)
@pytest.mark.parametrize("page", ["simple/", "simple/app/"])
def test_a_page_comes_in_the_type_that_was_asked_for_and_gzipped_if_asked(
    place: Place, page: str, accept: str, name: str, media_type: str
) -> None:
    plain, packed = place.ask(f"/{page}", accept), place.ask(f"/{page}", accept, "Accept-Encoding: gzip, deflate")
    for answer in (plain, packed):
        assert (answer.status, answer["Content-Type"].partition(";")[0]) == (200, media_type)
        assert (answer["X-Content-Type-Options"], answer["Cache-Control"]) == ("nosniff", "no-cache")
        assert {"accept", "accept-encoding"} <= {field.strip().lower() for field in answer["Vary"].split(",")}
    assert (plain.get("Content-Encoding"), plain.body) == (None, place.read(page + name))
    assert (packed["Content-Encoding"], packed.body) == ("gzip", place.read(f"{page}{name}.gz"))
    assert plain["ETag"] != packed["ETag"]
    again = place.ask(f"/{page}", accept, f"If-None-Match: {plain['ETag']}")
    assert again.status == 304


@pytest.mark.parametrize(("path", "name"), [("", "index.html"), ("project/app/", "project/app/index.html")])
def test_a_page_for_people_is_safe_and_gzipped_if_asked(place: Place, path: str, name: str) -> None:
    plain, packed = place.ask(f"/{path}"), place.ask(f"/{path}", "Accept-Encoding: gzip")
    assert (plain.status, plain["Content-Type"].partition(";")[0]) == (200, "text/html")
    assert plain["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert (plain["X-Content-Type-Options"], plain["Cache-Control"]) == ("nosniff", "no-cache")
    assert plain.body == place.read(name)
    assert (packed["Content-Encoding"], gzip.decompress(packed.body)) == ("gzip", plain.body)
    assert packed["Content-Type"] == plain["Content-Type"]


@pytest.mark.parametrize(
    ("name", "media_type"), [("style.css", "text/css"), ("search.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
)
def test_what_the_pages_load_has_its_type(place: Place, name: str, media_type: str) -> None:
    for fields in ((), ("Accept-Encoding: gzip",)):
        assert place.ask(f"/site/{name}", *fields)["Content-Type"].partition(";")[0] == media_type


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_leads_to_the_mirror_comes_as_plain_text(place: Place, name: str) -> None:
    answer = place.ask(f"/locks/app/{name}", "Accept-Encoding: gzip")
    assert (answer.status, answer["Content-Type"].lower(), answer.body) == (200, "text/plain; charset=utf-8", LOCK)
    assert (answer["X-Content-Type-Options"], answer["Cache-Control"]) == ("nosniff", "no-cache")


@pytest.mark.parametrize("path", [WHEEL, SDIST])
def test_a_file_comes_as_it_is_whole_or_in_ranges(place: Place, path: str) -> None:
    content = place.read(path)
    answer = place.ask(f"/{path}", "Accept-Encoding: gzip, deflate")
    assert (answer.status, answer["Content-Type"]) == (200, "application/octet-stream")
    assert (answer.get("Content-Encoding"), answer.body) == (None, content)
    assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer["X-Content-Type-Options"] == "nosniff"
    part = place.ask(f"/{path}", "Range: bytes=9-99")
    assert (part.status, part["Content-Range"], part.body) == (206, f"bytes 9-99/{len(content)}", content[9:100])
    assert place.ask(f"/{path}", method="HEAD")["Content-Length"] == str(len(content))
    assert place.ask(f"/{WHEEL}.metadata").body == place.read(f"{WHEEL}.metadata")


@pytest.mark.parametrize(
    "path",
    [
        *("server.py", "key.pem", ".htpasswd", "packages/.hidden", "packages/alone/.part", "other/file", "other/"),
        *("packages/", "packages/alone/", "simple/none/", "packages/../key.pem", "simple/%2e%2e/key.pem"),
        *("packages/..%2fkey.pem", "nothing"),
    ],
)
def test_nothing_else_is_served(place: Place, path: str) -> None:
    answer = place.ask(f"/{path}")
    assert answer.status in (400, 403, 404)
    assert b"private" not in answer.body


def test_the_manifest_is_served(place: Place) -> None:
    for path in ("mirror.json", "SHA256SUMS"):
        assert place.ask(f"/{path}").body == place.read(path)


def test_a_slash_that_is_missing_is_added(place: Place) -> None:
    answer = place.ask("/simple/app", PIP)
    assert answer.status in (301, 307, 308)
    assert answer["Location"].endswith("/simple/app/") or answer["Location"] == "app/"


def install_with_pip_and_uv(folder: Path, index: str) -> None:
    python = make_environment(folder)
    pip = (sys.executable, "-m", "pip", "--isolated", "--python", python, "install", "--no-cache-dir")
    run(folder, *pip, "--index-url", index, "app", "sourced", "alone")
    assert installed(folder, python) == EXPECTED
    uv_pip = (uv.find_uv_bin(), "pip", "install", "--no-config", "--no-python-downloads", "--no-cache", "--reinstall")
    run(folder, *uv_pip, "--python", python, "--default-index", index, "app", "sourced", "alone")
    assert installed(folder, python) == EXPECTED


def test_pip_and_uv_install(place: Place, tmp_path: Path) -> None:
    install_with_pip_and_uv(tmp_path, place.index)


@pytest.mark.parametrize("kind", WEB_SERVERS, ids=lambda kind: str(kind.name))
def test_pip_and_uv_install_through_a_web_server_in_front_of_server_py(
    folder: Path, root: Path, tmp_path: Path, kind: WebServer
) -> None:
    own = folder / f"before-{kind.name}"
    own.mkdir()
    with running(root) as served:
        recipe = kind.site.format(kind.recipe(1)).replace("127.0.0.1:8080", f"127.0.0.1:{served.port}")
        with web_server(kind, own, recipe) as port:
            place = Place(root, port)
            assert place.ask("/simple/App/")["Location"] == "../app/"
            assert place.ask("/simple/app/", "Accept: image/png").status == 406
            packed = place.ask("/simple/app/", PIP, "Accept-Encoding: gzip")
            assert packed.body == place.read("simple/app/index.v1_json.gz")
            assert place.ask(f"/{WHEEL}", "Range: bytes=9-99").body == place.read(WHEEL)[9:100]
            install_with_pip_and_uv(tmp_path, place.index)
    assert any(f"GET /{WHEEL}.metadata" in line for line in served.output)


@pytest.mark.parametrize("kind", WEB_SERVERS, ids=lambda kind: str(kind.name))
def test_a_generation_that_receive_py_switches_to_is_served_at_the_next_request(folder: Path, kind: WebServer) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        home.chmod(0o755)
        for number in (1, 2):
            for page in ("index.html", "simple/index.html", "simple/index.v1_json"):
                write(home / "generations" / str(number) / page, f"generation {number}".encode())
        (home / "current").symlink_to("generations/1")
        with web_server(kind, home, kind.recipe(0).replace("/srv/mirror", f"{home}/current")) as port:
            for number in (1, 2, 1):
                (home / "new").symlink_to(f"generations/{number}")
                (home / "new").replace(home / "current")
                for path in ("/", "/simple/"):
                    assert ask(port, path, PIP).body == f"generation {number}".encode()
