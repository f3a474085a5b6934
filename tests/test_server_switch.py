"""server.py serves what is current at each request, without a restart, when receive.py or an operator switches it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server_fixtures import Client, load_server, make_mirror, run_here, running, seal_mirror, write

LARGE = 30_000_000  # more than is sent before a client reads


def with_link(home: Path, number: int) -> None:
    """Point to a generation as receive.py does."""
    new = home / "current.new"
    new.symlink_to(Path("generations", str(number)))
    new.replace(home / "current")


def with_file(home: Path, number: int) -> None:
    """Point to a generation as receive.py does where there can be no links."""
    write(home / "current.new", f"{number}\n".encode())
    (home / "current.new").replace(home / "current.txt")


def with_root(home: Path, number: int) -> None:
    """Point to a generation as somebody does who copies mirrors by hand and has the server's root be a link."""
    new = home.with_name("new")
    new.symlink_to(home.with_name("generations") / str(number))
    new.replace(home)


def generations(tmp_path: Path, point: Callable[[Path, int], None], *, without_large: bool = False) -> Path:
    """Make two generations, the second with another front page, or without a file as well; return the server's root."""
    home = tmp_path / "mirror"
    place = tmp_path if point is with_root else home
    for number in (1, 2):
        root = make_mirror(place / "generations" / str(number), large=LARGE)
        write(root / "index.html", f"<title>generation {number}</title>".encode())
        if number == 2 and without_large:
            shutil.rmtree(root / "packages" / "large")
        seal_mirror(root)
    shutil.copy(place / "generations" / "1" / "server.py", tmp_path / "server.py")
    point(home, 1)
    return home


POINTERS = pytest.mark.parametrize("point", [with_link, with_file, with_root], ids=["link", "file", "root"])


@POINTERS
def test_a_switch_is_seen_at_the_next_request_and_downloads_under_way_end_on_what_was(
    tmp_path: Path, point: Callable[[Path, int], None]
) -> None:
    home = generations(tmp_path, point, without_large=True)
    with (
        running(home, server=tmp_path / "server.py") as served,
        Client(served.port) as slow,
        Client(served.port) as client,
    ):
        assert b"generation 1" in client.ask("/index.html").body
        slow.send("GET /packages/large/large-1.0.tar.gz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert slow.socket.recv(1, socket.MSG_PEEK)  # it has begun to arrive
        point(home, 2)
        assert b"generation 2" in client.ask("/index.html").body
        assert client.ask("/packages/large/large-1.0.tar.gz").status == 404
        assert len(slow.read_answer().body) == LARGE
        point(home, 1)  # receive.py --back
        assert b"generation 1" in client.ask("/index.html").body
        assert served.errors == []


def test_a_switch_in_the_middle_of_a_request_hides_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered side by side; one that sees the switch must not let another one find nothing."""
    home = generations(tmp_path, with_link)
    server = load_server()
    tree = server.Tree(home)
    resolve = server.Path.resolve

    def switching(path: Path, strict: bool = False) -> Path:
        found: Path = resolve(path, strict=strict)
        if path.name == "index.html" and "1" in path.parts:
            with_link(home, 2)
            tree.follow()
        return found

    monkeypatch.setattr(server.Path, "resolve", switching)
    assert b"generation 1" in tree.get(["index.html"]).data
    assert b"generation 2" in tree.get(["index.html"]).data


def test_what_was_served_is_served_on_where_the_switch_names_nothing(tmp_path: Path) -> None:
    home = generations(tmp_path, with_file)
    with running(home, server=tmp_path / "server.py") as served, Client(served.port) as client:
        for text in (b"../../etc\n", b"3\n", b"\xff", b""):
            write(home / "current.txt", text)
            assert b"generation 1" in client.ask("/index.html").body
        with_file(home, 2)
        assert b"generation 2" in client.ask("/index.html").body
    assert any("can't tell what to serve" in line for line in served.errors)


@POINTERS
def test_the_server_finds_the_mirror_beside_it_wherever_it_is_started(
    tmp_path: Path, point: Callable[[Path, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = generations(tmp_path, point)
    server = load_server()
    place = home if point is with_root else home / "server.py"
    beside = place if place.name == "server.py" else place / "server.py"
    if not beside.exists():
        shutil.copy(tmp_path / "server.py", beside)
    link = tmp_path / "bin" / "serve-mirror"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(beside, link.parent))
    for path in (beside, link):
        monkeypatch.setattr(server, "__file__", str(path))
        assert server.own_folder() == home
        point(home, 2)
        assert server.find_served(server.own_folder(), check_only=False).name == "2"
        point(home, 1)


def test_a_generation_whose_inode_was_that_of_an_older_one_is_seen(tmp_path: Path) -> None:
    server = load_server()
    home = generations(tmp_path, with_link)
    tree = server.Tree(home)
    older = server.signature_of(os.stat(home / "current"))
    with_link(home, 2)
    tree._seen = (*older[:4], older[4] - 1)  # as of a folder that is gone, with the number that this one has now
    tree.follow()
    assert tree.root.name == "2"


def test_health_forgets_what_was_missing_in_the_generation_before(tmp_path: Path) -> None:
    server = load_server()
    home = generations(tmp_path, with_link)
    (home / "generations" / "1" / "packages" / "alpha" / "alpha-1.0.tar.gz").unlink()
    tree = server.Tree(home)
    inspection = server.Inspection(tree)
    inspection.begin(0.0)
    inspection._job.result()
    assert inspection.fault.startswith("1 file is missing")
    with_link(home, 2)
    tree.follow()
    inspection.begin(0.0)  # long before a further look at the same directory would be due
    inspection._job.result()
    inspection.close()
    assert inspection.fault == ""


@POINTERS
def test_check_judges_what_is_current_and_the_kept_files_by_their_own_sums(
    tmp_path: Path, point: Callable[[Path, int], None]
) -> None:
    home = generations(tmp_path, point, without_large=True)
    kept = home.parent / "generations" if point is with_root else home / "generations"
    before, after = kept / "1", kept / "2"
    path = "packages/large/large-1.0.tar.gz"
    write(after / path, (before / path).read_bytes())
    point(home, 2)
    assert f"extra: {path}" in run_here("--root", str(home), "--check").stdout
    line = next(line for line in (before / "SHA256SUMS").read_text().splitlines() if line.endswith(path))
    write(after / "SHA256SUMS.kept", f"{line}\n".encode())
    checked = run_here("--root", str(home), "--check")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.endswith("0 extra; 1 is kept from before the last switch\n")
    write(after / path, b"altered")
    assert f"altered: {path}" in run_here("--root", str(home), "--check").stdout


def test_it_is_said_that_nothing_can_be_served_where_what_is_current_is_gone(tmp_path: Path) -> None:
    home = generations(tmp_path, with_link)
    shutil.rmtree(home / "generations" / "1")
    refused = run_here("--root", str(home), "--check")
    assert refused.returncode == 1
    assert "can't tell what is served of" in refused.stderr
    assert "receive.py --status" in refused.stderr
