"""A package index on 127.0.0.1 over files in memory, with faults to switch on.

>>> with FakeIndex({"foo": [wheel("foo", "1.0")]}) as index:  # doctest: +SKIP
...     index.fault("/files/foo/*.whl", "truncate", times=1)
...     use(index.url)
...     index.requests["/simple/foo/"]
1

``python -m tests.fake_index FOLDER --port 8000`` serves ``FOLDER/<project>/<file>``.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import html
import io
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from packaging.utils import canonicalize_name

from tests.stepping import Gate

JSON = "application/vnd.pypi.simple.v1+json"
HTML_V1 = "application/vnd.pypi.simple.v1+html"
HTML = "text/html"

# What can be wrong with an answer; options in brackets.
FAULTS = {
    "truncate": "the connection ends in the middle of the body [at: bytes, by default half]",
    "corrupt": "a byte of the body is another: a wrong hash",
    "longer": "the body has bytes more than announced on the page",
    "status": "another status without content [status, retry_after]",
    "html": "HTML whatever was asked for",
    "body": "another body [body, content_type]",
    "slow": "half of the body, then nothing until the index's `stall` is opened",
    "gzip": "Content-Encoding: gzip whatever was asked for",
    "mislabelled": "Content-Encoding: gzip on a body that is as it is, as servers do to .tar.gz",
    "empty": "a project page without files",
    "whole": "ranges are ignored",
    "shifted": "a range other than the one asked for",
    "no-validators": "no ETag",
    "weak": "a weak ETag",
    "reset": "the connection is reset before any answer",
    "redirect": "302 to another address [to]",
}


@dataclass
class Served:
    """A file of the world; attributes are as the page announces them."""

    filename: str
    content: bytes
    requires_python: str | None = None
    yanked: bool | str = False
    upload_time: str | None = "2024-01-01T00:00:00.000000Z"
    size: int | None = -1  # -1: the content's own
    sha256: str | None = ""  # "": the content's own; None: not announced
    sidecar: bytes | None = b""  # b"": the METADATA of the wheel, if it is one
    url: str | None = None
    md5: str | None = None  # announced where sha256 is not; "": the content's own
    provenance: bytes | None = None  # the provenance object (PEP 740), which the page announces
    provenance_url: str | None = None  # announced instead of its own

    def __post_init__(self) -> None:
        if self.size == -1:
            self.size = len(self.content)
        if self.sha256 == "":
            self.sha256 = hashlib.sha256(self.content).hexdigest()
        if self.md5 == "":
            self.md5 = hashlib.md5(self.content).hexdigest()
        if self.sidecar == b"":
            self.sidecar = _wheel_metadata(self.filename, self.content)


@dataclass
class Fault:
    """One thing that goes wrong: on the paths that match, the next so many times or (None) always."""

    pattern: str
    kind: str
    times: int | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class _Reply:
    """An answer in the making."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # announced, where that is not the body's own
    cut: int | None = None
    stall: bool = False


class FakeIndex:
    """An index; a context manager that serves while it is open.

    :param projects: files by project: ``(filename, content)`` or ``(filename, content, attributes of Served)``.
    :param formats: of project pages, in the order in which ``*/*`` gets them.
    :param sidecars: ``announced``, ``unannounced`` (served, but no page says so) or ``none``.
    :param etags: pages and files have strong ETags, and conditional requests are answered with 304.
    :param ranges: ranges of files are served.
    :param latency: seconds before each answer; for benchmarks, tests have no need to wait.
    :param auth: user and password without which everything is 401.
    :param tls: what it speaks TLS with; plain HTTP without.
    :ivar vulnerabilities: what the JSON API says against releases, by project and version; None: there is no such API.
    :ivar requests: how often each path was asked for.
    :ivar log: every request, in order of arrival.
    :ivar stall: where "slow" answers wait until a test opens it.
    :ivar sent: bytes of bodies sent so far.
    """

    def __init__(
        self,
        projects: Mapping[str, Iterable[Sequence[Any]]] | None = None,
        *,
        formats: Sequence[str] = (JSON, HTML_V1, HTML),
        sidecars: str = "announced",
        etags: bool = True,
        ranges: bool = True,
        latency: float = 0.0,
        auth: tuple[str, str] | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.formats = tuple(formats)
        self.sidecars = sidecars
        self.etags = etags
        self.ranges = ranges
        self.latency = latency
        self.auth = auth
        self.projects: dict[str, dict[str, Served]] = {}
        self.statuses: dict[str, Mapping[str, str]] = {}
        self.extra_entries: dict[str, list[Any]] = {}
        self.vulnerabilities: dict[str, dict[str, Any]] | None = None
        self.requests: Counter[str] = Counter()
        self.log: list[Request] = []
        self.sent = 0
        self.stall = Gate()
        self._faults: list[Fault] = []
        self._pages: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()
        for project, files in (projects or {}).items():
            self.projects.setdefault(canonicalize_name(project), {})
            for file in files:
                filename, content, attributes = (*file, {})[:3]
                self.add(project, filename, content, **attributes)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.index = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    # --- The world

    def add(self, project: str, filename: str, content: bytes, **attributes: Any) -> Served:
        """Put a file on the index, in the place of one with its name."""
        served = Served(filename, content, **attributes)
        self.projects.setdefault(canonicalize_name(project), {})[filename] = served
        self.changed()
        return served

    def remove(self, project: str, filename: str) -> None:
        """Take a file off the index."""
        del self.projects[canonicalize_name(project)][filename]
        self.changed()

    def changed(self) -> None:
        """Forget the pages made so far; to be called after a change that was not made by :meth:`add`."""
        self._pages.clear()

    def fault(self, pattern: str, kind: str, *, times: int | None = None, **options: Any) -> None:
        """Let ``kind`` (a key of ``FAULTS``) happen on the paths that ``pattern`` matches, as fnmatch does."""
        if kind not in FAULTS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(FAULTS)}")
        with self._lock:
            self._faults.append(Fault(pattern, kind, times, options))

    def mend(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, path: str, *kinds: str) -> Fault | None:
        """Return a fault that is due on ``path``, counting it as used."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fault.times != 0 and fnmatchcase(path, fault.pattern):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    # --- The server

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``, or with TLS ``https://127.0.0.1:PORT``."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The index's URL, as ``mirror.yaml`` has it."""
        return f"{self.origin}/simple/"

    def url_with(self, user: str, password: str) -> str:
        """The index's URL with credentials in it."""
        return self.url.replace("//", f"//{quote(user, safe='')}:{quote(password, safe='')}@", 1)

    def file_url(self, project: str, filename: str) -> str:
        """Where a file is served."""
        return f"{self.origin}/files/{canonicalize_name(project)}/{quote(filename)}"

    def provenance_url(self, project: str, filename: str) -> str:
        """Where the provenance object of a file is served."""
        return f"{self.origin}/provenance/{canonicalize_name(project)}/{quote(filename)}"

    def __enter__(self) -> FakeIndex:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stall.open()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def wait(self) -> None:
        """Serve until interrupted."""
        self._thread.join()

    def record(self, request: Request) -> None:
        """Count a request."""
        with self._lock:
            self.requests[request.path] += 1
            self.log.append(request)

    def count(self, sent: int) -> None:
        """Count bytes of bodies."""
        with self._lock:
            self.sent += sent

    # --- Pages

    def page(self, project: str, form: str) -> bytes:
        """Return a project's page in the form with this content type."""
        key = (project, form)
        page = self._pages.get(key)
        if page is None:
            files = list(self.projects[project].values())
            page = self._json(project, files) if form == JSON else self._html(project, files)
            self._pages[key] = page
        return page

    @staticmethod
    def hashes(file: Served) -> dict[str, str]:
        """Return what the page announces of a file's content."""
        announced = {"sha256": file.sha256} if file.sha256 else {"md5": file.md5}
        return {algorithm: digest for algorithm, digest in announced.items() if digest}

    def empty_page(self, project: str, form: str) -> bytes:
        """Return a page that has forgotten its files."""
        return self._json(project, []) if form == JSON else self._html(project, [])

    def _json(self, project: str, files: Sequence[Served]) -> bytes:
        page: dict[str, Any] = {
            "meta": {"api-version": "1.4"},
            "name": project,
            "files": [self._entry(project, file) for file in files]
            + (self.extra_entries.get(project, []) if files else []),
        }
        if project in self.statuses:
            page["project-status"] = dict(self.statuses[project])
        return json.dumps(page).encode()

    def _entry(self, project: str, file: Served) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "filename": file.filename,
            "url": file.url or self.file_url(project, file.filename),
            "hashes": self.hashes(file),
            "requires-python": file.requires_python,
            "yanked": file.yanked,
        }
        if file.size is not None:
            entry["size"] = file.size
        if file.upload_time is not None:
            entry["upload-time"] = file.upload_time
        if (provenance := self._provenance_of(project, file)) is not None:
            entry["provenance"] = provenance
        if self.sidecars == "announced" and file.sidecar is not None:
            entry["core-metadata"] = {"sha256": hashlib.sha256(file.sidecar).hexdigest()}
        return entry

    def _provenance_of(self, project: str, file: Served) -> str | None:
        own = self.provenance_url(project, file.filename) if file.provenance is not None else None
        return file.provenance_url or own

    def _html(self, project: str, files: Sequence[Served]) -> bytes:
        anchors = "".join(self._anchor(project, file) for file in files)
        status = self.statuses.get(project, {}).get("status")
        meta = f'<meta name="pypi:project-status" content="{html.escape(status)}">' if status else ""
        return (
            f'<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4">{meta}'
            f"<title>Links for {project}</title></head><body>\n{anchors}</body></html>"
        ).encode()

    def _anchor(self, project: str, file: Served) -> str:
        """Links of the HTML form are relative, so that both ways of linking are used."""
        link = file.url or f"../../files/{project}/{quote(file.filename)}"
        fragment = "".join(f"#{algorithm}={digest}" for algorithm, digest in self.hashes(file).items())
        attributes = {"href": link + fragment}
        if file.requires_python:
            attributes["data-requires-python"] = file.requires_python
        if file.yanked is not False:
            attributes["data-yanked"] = "" if file.yanked is True else file.yanked
        if (provenance := self._provenance_of(project, file)) is not None:
            attributes["data-provenance"] = provenance
        if self.sidecars == "announced" and file.sidecar is not None:
            attributes["data-core-metadata"] = "sha256=" + hashlib.sha256(file.sidecar).hexdigest()
        shown = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
        return f"<a {shown}>{html.escape(file.filename)}</a><br>\n"

    # --- Answers

    def answer(self, path: str, headers: Mapping[str, str]) -> _Reply:
        """Return what there is at ``path``, before any fault."""
        if self.auth is not None and headers.get("authorization") != _basic(*self.auth):
            return _Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="index"'})
        parts = unquote(path).split("/")[1:]
        if len(parts) == 3 and parts[0] == "simple" and parts[2] == "":
            return self._page_reply(path, parts[1], headers)
        if len(parts) == 3 and parts[0] == "files":
            return self._file_reply(path, parts[1], parts[2], headers)
        if len(parts) == 3 and parts[0] == "provenance":
            return self._provenance_reply(parts[1], parts[2])
        if parts[0] == "pypi" and parts[-1] == "json" and self.vulnerabilities is not None:
            return self._json_api_reply(path, parts[1], parts[2:-1], headers)
        return _Reply(status=404)

    def _provenance_reply(self, project: str, filename: str) -> _Reply:
        file = self.projects.get(project, {}).get(filename)
        if file is None or file.provenance is None:
            return _Reply(status=404)
        return _Reply(file.provenance, headers={"Content-Type": "application/vnd.pypi.integrity.v1+json"})

    def _json_api_reply(self, path: str, project: str, version: Sequence[str], headers: Mapping[str, str]) -> _Reply:
        known = (self.vulnerabilities or {}).get(project)
        if known is None or (version and version[0] not in known):
            return _Reply(status=404)
        content = {"info": {"name": project}, "vulnerabilities": known[version[0]] if version else []}
        reply = _Reply(json.dumps(content).encode(), headers={"Content-Type": "application/json"})
        return self._validated(path, reply, headers)

    def _page_reply(self, path: str, project: str, headers: Mapping[str, str]) -> _Reply:
        if project not in self.projects:
            return _Reply(status=404)
        form = self._negotiated(headers.get("accept", "*/*"))
        if self.take_fault(path, "html"):
            form = HTML
        if form is None:
            return _Reply(status=406)
        empty = self.take_fault(path, "empty")
        body = self.empty_page(project, form) if empty else self.page(project, form)
        content_type = form if form == JSON else f"{form}; charset=utf-8"
        reply = self._validated(path, _Reply(body, headers={"Content-Type": content_type, "Vary": "Accept"}), headers)
        if reply.status == 200 and "gzip" in headers.get("accept-encoding", "") and len(body) > 1000:
            reply.body = gzip.compress(body, 1, mtime=0)
            reply.headers["Content-Encoding"] = "gzip"
        return reply

    def _negotiated(self, accept: str) -> str | None:
        """Return the acceptable form of highest q, and of those of equal q the one that this index prefers."""
        best: tuple[float, str | None] = (0.0, None)
        for form in self.formats:
            quality = max(
                (q for kind, q in _accepted(accept) if kind in (form, "*/*", form.split("/")[0] + "/*")), default=0.0
            )
            if quality > best[0]:
                best = (quality, form)
        return best[1]

    def _file_reply(self, path: str, project: str, filename: str, headers: Mapping[str, str]) -> _Reply:
        files = self.projects.get(project, {})
        body = files[filename].content if filename in files else None
        if body is None and filename.endswith(".metadata") and self.sidecars != "none":
            served = files.get(filename[: -len(".metadata")])
            body = served.sidecar if served else None
        if body is None:
            return _Reply(status=404)
        reply = self._validated(path, _Reply(body, headers={"Content-Type": "application/octet-stream"}), headers)
        if reply.status != 200 or not self.ranges or self.take_fault(path, "whole"):
            return reply
        reply.headers["Accept-Ranges"] = "bytes"
        if headers.get("if-range", reply.headers.get("ETag")) != reply.headers.get("ETag"):
            return reply
        return self._ranged(path, reply, headers.get("range", ""))

    def _ranged(self, path: str, reply: _Reply, wanted: str) -> _Reply:
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
        size = len(reply.body)
        if not found or not any(found.groups()):
            return reply
        first, last = (size - int(found[2]), size - 1) if not found[1] else (int(found[1]), int(found[2] or size - 1))
        first, last = max(first, 0), min(last, size - 1)
        if first > last:
            return _Reply(status=416, headers={"Content-Range": f"bytes */{size}"})
        if self.take_fault(path, "shifted"):
            first = max(first - 1, 0)
        reply.status, reply.body = 206, reply.body[first : last + 1]
        reply.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return reply

    def _validated(self, path: str, reply: _Reply, headers: Mapping[str, str]) -> _Reply:
        if not self.etags or self.take_fault(path, "no-validators"):
            return reply
        etag = '"' + hashlib.sha256(reply.body).hexdigest()[:20] + '"'
        reply.headers["ETag"] = f"W/{etag}" if self.take_fault(path, "weak") else etag
        if headers.get("if-none-match") == reply.headers["ETag"]:
            return _Reply(status=304, headers=reply.headers)
        return reply

    def spoiled(self, path: str, reply: _Reply) -> _Reply:
        """Return the answer with the faults that are due on ``path``."""
        for kind, spoil in _SPOILERS.items():
            if fault := self.take_fault(path, kind):
                spoil(reply, fault.options)
        return reply


def _truncate(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.cut = options.get("at", len(reply.body) // 2)


def _corrupt(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.body = bytes([reply.body[0] ^ 255]) + reply.body[1:] if reply.body else b"x"


def _longer(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.body += b"x" * options.get("by", 1000)


def _gzip(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.body = gzip.compress(reply.body, mtime=0)
    reply.headers["Content-Encoding"] = "gzip"


def _mislabel(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.headers["Content-Encoding"] = "gzip"


def _stall(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.stall = True


def _replace(reply: _Reply, options: Mapping[str, Any]) -> None:
    reply.body = options["body"]
    reply.status = options.get("status", 200)
    reply.headers = {"Content-Type": options.get("content_type", "text/html")}


_SPOILERS = {
    "body": _replace,
    "corrupt": _corrupt,
    "longer": _longer,
    "gzip": _gzip,
    "mislabelled": _mislabel,
    "truncate": _truncate,
    "slow": _stall,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    index: FakeIndex

    def server_bind(self) -> None:
        """As the base class, without asking any name server for this machine's name."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up when it likes; anything else is a fault of the fake and has to be seen."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        index, path = self.server.index, urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        index.record(Request(self.command, path, headers))
        if index.latency:
            time.sleep(index.latency)
        if index.take_fault(path, "reset"):
            self._reset()
        elif fault := index.take_fault(path, "status"):
            self._send(_Reply(status=fault.options["status"], headers=_retry_after(fault)))
        elif fault := index.take_fault(path, "redirect"):
            self._send(_Reply(status=302, headers={"Location": fault.options["to"]}))
        else:
            self._send(index.spoiled(path, index.answer(path, headers)))

    do_HEAD = do_GET

    def _send(self, reply: _Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        if reply.stall:
            half = len(body) // 2
            self._write(body[:half])
            self.server.index.stall.pass_through()
            body = body[half:]
        self._write(body)
        self.close_connection |= reply.cut is not None

    def _write(self, body: bytes) -> None:
        self.server.index.count(len(body))  # before the client can know of it
        self.wfile.write(body)
        self.wfile.flush()

    def _reset(self) -> None:
        """With no linger, closing sends RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        if self.connection.fileno() != -1:
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """The index's own log is what tests look at."""


def _retry_after(fault: Fault) -> dict[str, str]:
    wait = fault.options.get("retry_after")
    return {} if wait is None else {"Retry-After": str(wait)}


def _accepted(accept: str) -> list[tuple[str, float]]:
    kinds = []
    for item in accept.split(","):
        kind, _, parameters = item.strip().partition(";")
        quality = re.search(r"q=([0-9.]+)", parameters)
        kinds.append((kind.strip(), float(quality[1]) if quality else 1.0))
    return kinds


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _wheel_metadata(filename: str, content: bytes) -> bytes | None:
    if not filename.endswith(".whl"):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            return archive.read(names[0]) if names else None
    except zipfile.BadZipFile:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve FOLDER/<project>/<file> as a package index on 127.0.0.1.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    arguments = parser.parse_args()
    projects = {
        folder.name: [(file.name, file.read_bytes()) for file in sorted(folder.iterdir()) if file.is_file()]
        for folder in sorted(arguments.folder.iterdir())
        if folder.is_dir()
    }
    with FakeIndex(projects, port=arguments.port, latency=arguments.latency) as index:
        print(index.url, flush=True)
        index.wait()


if __name__ == "__main__":
    main()
