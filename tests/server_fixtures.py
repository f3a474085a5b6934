"""What the tests of server.py share: a small mirror, a running server, and a client that speaks raw bytes."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import hashlib
import html
import importlib.util
import io
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from tests.launching import Forked, ScriptForker, ScriptLauncher, without_python
from tests.making import sdist, wheel

SERVER = Path(__file__).resolve().parent.parent / "server_template" / "server.py"
PATIENCE = 60.0  # seconds after which a test that waits for the server fails
HOST = "Host: mirror.example.com\r\n"
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


def load_server() -> ModuleType:
    """Import server.py, which stands in no package, for tests of its functions."""
    spec = importlib.util.spec_from_file_location("served_by_tests", SERVER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def unchanged_server() -> ModuleType:
    """Return server.py, imported once for all tests that change nothing of it: that takes as long as most of them."""
    return load_server()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def project_page(name: str, files: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Return a project's page in HTML and in JSON, as the pipeline would write them."""
    anchors, entries = [], []
    for filename, content in sorted(files.items()):
        url = f"../../packages/{name}/{filename}"
        metadata = files_metadata(filename, content)
        mark = f' data-core-metadata="sha256={sha256(metadata)}"' if metadata else ""
        anchors.append(f'<a href="{url}#sha256={sha256(content)}"{mark}>{html.escape(filename)}</a><br>')
        entry = {"filename": filename, "url": url, "hashes": {"sha256": sha256(content)}, "size": len(content)}
        entry["upload-time"] = "2025-06-01T00:00:00Z" if "-2.1" in filename else "2024-06-01T00:00:00Z"
        entries.append({**entry, "core-metadata": {"sha256": sha256(metadata)}} if metadata else entry)
    versions = sorted({re.split(r"-|\.tar", filename)[1] for filename in files})
    page = {"meta": {"api-version": "1.4"}, "name": name, "versions": versions, "files": entries}
    title = (
        f'<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.4"><title>{name}</title></head>'
    )
    return f"{title}\n<body>{''.join(anchors)}</body></html>\n".encode(), json.dumps(page).encode()


def files_metadata(filename: str, content: bytes) -> bytes:
    """Return the METADATA of a wheel, nothing for another file."""
    if not filename.endswith(".whl"):
        return b""
    archive = zipfile.ZipFile(io.BytesIO(content))
    return archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))


def write_pages(folder: Path, page: bytes, json_page: bytes) -> None:
    for name, content in (("index.html", page), ("index.v1_html", page), ("index.v1_json", json_page)):
        write(folder / name, content)
        write(folder / f"{name}.gz", gzip.compress(content, mtime=0))


def make_mirror(root: Path, *, large: int = 300_000) -> Path:
    """Write a mirror of four small projects and one with a file of ``large`` bytes; return its directory."""
    projects: dict[str, dict[str, bytes]] = {
        "alpha": dict([wheel("alpha", "1.0", requires=["beta-two>=2"]), sdist("alpha", "1.0")]),
        "beta-two": dict([wheel("beta.two", "2.0"), wheel("beta.two", "2.1")]),
        "sourced": dict([sdist("sourced", "0.5")]),
        "large": {"large-1.0.tar.gz": bytes(index * 31 % 251 for index in range(1000)) * (large // 1000)},
    }
    for name, files in projects.items():
        write_pages(root / "simple" / name, *project_page(name, files))
        for filename, content in files.items():
            write(root / "packages" / name / filename, content)
            if metadata := files_metadata(filename, content):
                write(root / "packages" / name / f"{filename}.metadata", metadata)
    links = "".join(f'<a href="{name}/">{name}</a>' for name in sorted(projects))
    listing = {"meta": {"api-version": "1.4"}, "projects": [{"name": name} for name in sorted(projects)]}
    write_pages(
        root / "simple", f"<!DOCTYPE html>\n<title>list</title>{links}\n".encode(), json.dumps(listing).encode()
    )
    write(root / "index.html", b"<!DOCTYPE html>\n<title>for people</title>\n")
    write(root / "project" / "alpha" / "index.html", b"<!DOCTYPE html>\n<title>alpha for people</title>\n")
    write(root / "site" / "style.css", b"body { color: black }\n")
    write(root / "server.py", SERVER.read_bytes())
    about = {"format": 1, "environments": ["here"], "projects": len(projects), "files": 7, "bytes": large}
    write(root / "mirror.json", json.dumps(about).encode())
    seal_mirror(root)
    return root


def seal_mirror(root: Path) -> None:
    """Write SHA256SUMS."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    lines = [f"{sha256((root / path).read_bytes())}  {path}\n" for path in paths if path != "SHA256SUMS"]
    write(root / "SHA256SUMS", "".join(lines).encode())


@dataclass
class Running:
    """A server that runs: its process, its port, and the lines it has printed so far."""

    process: subprocess.Popen[str] | Forked
    welcome: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)/", self.welcome[0])
        assert found
        return int(found.group(1))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def follow(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            with self.news:
                lines.append(line)
                self.news.notify_all()

    def wait_for_line(self, pattern: str) -> str:
        """Return the first line of output or errors that matches, waiting for it."""

        def matching() -> list[str]:
            return [line for line in (*self.output, *self.errors) if re.search(pattern, line)]

        with self.news:
            assert self.news.wait_for(lambda: bool(matching()), PATIENCE), (pattern, self.output, self.errors)
            return matching()[0]


@functools.cache
def _forker() -> ScriptForker:
    return ScriptForker(SERVER)


def _started(script: Path, *arguments: str, python: str | None) -> subprocess.Popen[str] | Forked:
    if python is None and script.read_bytes() == SERVER.read_bytes():
        return _forker().start(str(script), *arguments)
    command = [python or sys.executable, "-I", str(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def running(root: Path, *options: str, python: str | None = None, server: Path | None = None) -> Iterator[Running]:
    """Run the mirror's server.py in a process of its own until the block ends; it must then end well.

    :param python: the command of an interpreter, if it is to be one that has imported nothing.
    """
    process = _started(server or root / "server.py", "--root", str(root), "--port", "0", *options, python=python)
    assert process.stdout
    assert process.stderr
    started = Running(process)
    followers = [
        threading.Thread(target=started.follow, args=(process.stderr, started.errors), daemon=True),
    ]
    followers[0].start()
    try:
        for line in process.stdout:
            started.welcome.append(line)
            if line.startswith("Ctrl-C"):
                break
        assert started.welcome, started.errors
        followers.append(threading.Thread(target=started.follow, args=(process.stdout, started.output), daemon=True))
        followers[1].start()
        yield started
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            for follower in followers:
                follower.join(PATIENCE)
            process.stdout.close()
            process.stderr.close()
    assert process.returncode == 0, started.errors
    assert "Traceback" not in "".join(started.errors)


@dataclass(frozen=True)
class Answer:
    """A response as it came over the wire."""

    status: int
    fields: dict[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.fields[name.lower()]

    def get(self, name: str) -> str | None:
        return self.fields.get(name.lower())


class Client:
    """One connection, over which bytes are sent as they are."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def read_answer(self, *, head_only: bool = False) -> Answer:
        """Read one response, by its Content-Length; it has to have one (but 304, which has no content)."""
        line = self.stream.readline()
        assert re.fullmatch(rb"HTTP/1\.1 [0-9]{3} [A-Za-z -]+\r\n", line), line
        status = int(line.split()[1])
        fields: dict[str, str] = {}
        while (line := self.stream.readline()) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(": ")
            assert name.lower() not in fields, f"{name} comes twice"
            fields[name.lower()] = value.rstrip("\r\n")
        length = 0 if head_only or status == 304 else int(fields["content-length"])
        body = self.stream.read(length)
        assert len(body) == length
        return Answer(status, fields, body)

    def ask(self, target: str, *fields: str, method: str = "GET") -> Answer:
        """Send a well-formed request and read its answer."""
        lines = "".join(f"{line}\r\n" for line in fields)
        self.send(f"{method} {target} HTTP/1.1\r\n{HOST}{lines}\r\n")
        return self.read_answer(head_only=method == "HEAD")

    def is_closed(self) -> bool:
        """Wait for the server to close; say whether it did so without sending anything more."""
        try:
            return self.stream.read(1) == b""
        except ConnectionError:
            return True


def ask(port: int, target: str, *fields: str, method: str = "GET") -> Answer:
    """Ask over a connection of its own."""
    with Client(port) as client:
        return client.ask(target, *fields, method=method)


def ask_raw(port: int, data: bytes) -> Answer:
    """Send bytes over a connection of its own, and read the answer."""
    with Client(port) as client:
        client.send(data)
        return client.read_answer()


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def wait_until(condition: object, seconds: float = PATIENCE) -> bool:
    """Wait until a condition on the outside world holds; say whether it came to hold."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def run_here(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run server.py to its end in this process, for what does not serve; return what a process would leave."""
    out, errors, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(stdin)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = unchanged_server().main(arguments)
    except SystemExit as error:  # as argparse ends
        status = error.code
    finally:
        sys.stdin = before
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


@functools.cache
def _launcher() -> ScriptLauncher:
    return ScriptLauncher(SERVER)


def run_server(*arguments: str, python: str | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run server.py to its end in a process of its own.

    :param python: the command of an interpreter, if it is to be one that has imported nothing.
    """
    if python is None:
        return _launcher().run(*arguments, stdin=stdin)
    command: Sequence[str] = [python, "-I", str(SERVER), *arguments]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=without_python(os.environ),
    )


# For localhost and 127.0.0.1, signed by itself, valid for a hundred years, trusted by nobody but these tests.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUSgL2gEHo6MVvbvWacjjOLN+/gpowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzEyNDMzOVoYDzIxMjUwNjE3
MTI0MzM5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQjxnoPq5eEe6rEHCyNiCiX9UrK7+lG9c4pi5O48da0dJvCfze5cndk
/gP+2c7VhkIhn7Vpdb3xoN8n7sosjwRco28wbTAdBgNVHQ4EFgQUlqhxuqFNcouj
0zmjHB457xtmvrkwHwYDVR0jBBgwFoAUlqhxuqFNcouj0zmjHB457xtmvrkwGgYD
VR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI
zj0EAwIDSQAwRgIhAJVesp6tsADGUSGFM3xP05TXbXH73tJnuAShlp5G3ss8AiEA
ofHfa1LwQvww9RaVmoL5jcNj5JVn8j1wnmkcNzfsZ2M=
-----END CERTIFICATE-----
"""
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpYGuqXy02Vi9ux4A
BqNzWmOV9JEvTNmOm4CSOiPPMTuhRANCAAQjxnoPq5eEe6rEHCyNiCiX9UrK7+lG
9c4pi5O48da0dJvCfze5cndk/gP+2c7VhkIhn7Vpdb3xoN8n7sosjwRc
-----END PRIVATE KEY-----
"""


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write the certificate and its key; return their paths."""
    write(folder / "cert.pem", CERTIFICATE.encode())
    write(folder / "key.pem", PRIVATE_KEY.encode())
    return folder / "cert.pem", folder / "key.pem"
