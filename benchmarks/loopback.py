"""A package index on 127.0.0.1, quick enough not to be what is measured: one process, one thread, asyncio.

``python loopback.py --replay CACHE`` answers with what was recorded in ``CACHE``; with ``--record`` it asks the real
index (the one that pip uses here) for what is missing, and keeps it. ``python loopback.py --made FILES`` serves an
index of made-up projects with so many files. Prints its address when it is ready; ends on SIGTERM.

Pages name their files by absolute URLs, as those of the large indexes do: relative ones take another way through a
client. A record has its port in it therefore, and is served on that one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import hashlib
import json
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from mirror_tasks.errors import UpstreamError  # noqa: E402
from mirror_tasks.files import write_whole  # noqa: E402
from mirror_tasks.index.client import Upstream  # noqa: E402
from tests.making import sdist, wheel  # noqa: E402

JSON = "application/vnd.pypi.simple.v1+json"
REASONS = {200: "OK", 206: "Partial Content", 304: "Not Modified", 404: "Not Found", 416: "Range Not Satisfiable"}
KEPT = ("Content-Type", "Content-Range", "ETag", "Accept-Ranges")
LARGEST = 1 << 30  # bytes, of one answer that is recorded


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


MISSING = Reply(404, {}, b"")
Source = Callable[[str, str], "Reply"]


class Recorded:
    """Answers that were recorded, by path and range; files of the real hosts are below ``/files/<scheme>/<host>/``."""

    def __init__(self, folder: Path, origin: str, upstream: Upstream | None) -> None:
        self.folder = folder
        self.origin = origin
        self.upstream = upstream
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, path: str, span: str) -> Reply:
        """Return the recorded answer; where there is none, the real one if this records, else 404."""
        name = hashlib.sha256(f"{path} {span}".encode()).hexdigest()
        place = self.folder / name[:2] / name
        if place.exists():
            head, _, body = place.read_bytes().partition(b"\n")
            status, headers = json.loads(head)
            return Reply(status, headers, body)
        if self.upstream is None:
            print(f"not recorded: {path} {span}", file=sys.stderr)
            return MISSING
        reply = self._asked(path, span)
        write_whole(place, json.dumps([reply.status, dict(reply.headers)]).encode() + b"\n" + reply.body, durable=False)
        return reply

    def _asked(self, path: str, span: str) -> Reply:
        assert self.upstream is not None
        upstream = self.upstream
        is_page = path.startswith("/simple/")
        url = self.upstream.indexes[0] + path.removeprefix("/simple/") if is_page else _real(path)
        wanted = {"Accept": JSON, "Accept-Encoding": "gzip"} if is_page else {"Accept-Encoding": "identity"}
        wanted |= {"Range": span} if span else {}

        def attempt() -> Reply:
            with upstream.ask(url, wanted, "recording", (200, 206, 404, 416)) as answer:
                headers = {name: answer.headers[name] for name in KEPT if name in answer.headers}
                body = answer.read(LARGEST, decode=is_page)
                return Reply(answer.status, headers, _rewritten(body, answer.url, self.origin) if is_page else body)

        reply = upstream.retry(attempt, "recording", url)
        if is_page and reply.status == 200:
            return Reply(200, {**reply.headers, "Content-Encoding": "gzip"}, gzip.compress(reply.body, 5, mtime=0))
        return reply


class Past:
    """Recorded answers as they would have been at an earlier time: pages without the files that were uploaded since.

    :param until: a time as pages write it, such as ``2026-10-26``.
    """

    def __init__(self, recorded: Recorded, until: str) -> None:
        self._recorded = recorded
        self._until = until

    def __call__(self, path: str, span: str) -> Reply:
        """Return the answer."""
        reply = self._recorded(path, span)
        if not path.startswith("/simple/") or reply.status != 200:
            return reply
        page = json.loads(gzip.decompress(reply.body))
        page["files"] = [file for file in page.get("files", ()) if file.get("upload-time", "") < self._until]
        page.pop("versions", None)
        headers = {name: value for name, value in reply.headers.items() if name != "ETag"}
        return Reply(200, headers, gzip.compress(json.dumps(page).encode(), 5, mtime=0))


def _rewritten(body: bytes, url: str, origin: str) -> bytes:
    """Return a page whose files are served from here."""
    with contextlib.suppress(ValueError):
        page = json.loads(body)
        for file in page.get("files", ()):
            parts = urlsplit(urljoin(url, file["url"]))
            file["url"] = f"{origin}/files/{parts.scheme}/{parts.netloc}{parts.path}"
        return json.dumps(page).encode()
    return body


def _real(path: str) -> str:
    scheme, host, rest = path.removeprefix("/files/").split("/", 2)
    return f"{scheme}://{host}/{rest}"


class Made:
    """Made-up projects: each has 2 releases, each release 9 wheels and an sdist, all of them for one environment.

    One project in ten is asked for by name; its releases require the same release of the nine after it.
    """

    FILES_OF_RELEASE = 10
    RELEASES = ("1.0", "2.0")
    FAMILY = 10
    TAGS = ("py3-none-any", *(f"cp312-cp312-manylinux_2_{minor}_x86_64" for minor in range(20, 28)))

    def __init__(self, files: int, origin: str) -> None:
        self.origin = origin
        self.answers: dict[str, Reply] = {}
        for number in range(files // (self.FILES_OF_RELEASE * len(self.RELEASES))):
            self._make(number)

    @classmethod
    def roots(cls, files: int) -> list[str]:
        """Return the names of the projects that are asked for."""
        return [
            f"made-{number}" for number in range(0, files // (cls.FILES_OF_RELEASE * len(cls.RELEASES)), cls.FAMILY)
        ]

    def __call__(self, path: str, span: str) -> Reply:
        """Return the answer."""
        return self.answers.get(path, MISSING)

    def _make(self, number: int) -> None:
        name = f"made-{number}"
        entries = [self._entry(*made) for version in self.RELEASES for made in self._release(name, number, version)]
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": self.RELEASES, "files": entries}
        body = json.dumps(page).encode()
        headers = {
            "Content-Type": JSON,
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
            "Content-Encoding": "gzip",
        }
        self.answers[f"/simple/{name}/"] = Reply(200, headers, gzip.compress(body, 5, mtime=0))

    def _release(self, name: str, number: int, version: str) -> list[tuple[str, bytes]]:
        follow = range(number + 1, number + self.FAMILY) if number % self.FAMILY == 0 else ()
        requires = [f"made-{other}=={version}" for other in follow]
        wheels = [wheel(name, version, tag, requires=requires) for tag in self.TAGS]
        return [*wheels, sdist(name, version, requires=requires)]

    def _entry(self, filename: str, content: bytes) -> dict[str, object]:
        path = f"/files/{filename}"
        self.answers[path] = Reply(200, {"Content-Type": "application/octet-stream", "ETag": f'"{filename}"'}, content)
        entry: dict[str, object] = {
            "filename": filename,
            "url": f"{self.origin}{path}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
            "size": len(content),
            "upload-time": "2024-01-01T00:00:00.000000Z",
            "yanked": False,
        }
        if filename.endswith(".whl"):
            metadata = _metadata_of(content)
            self.answers[f"{path}.metadata"] = Reply(200, {"Content-Type": "application/octet-stream"}, metadata)
            entry["core-metadata"] = {"sha256": hashlib.sha256(metadata).hexdigest()}
        return entry


def _metadata_of(content: bytes) -> bytes:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return next(archive.read(name) for name in archive.namelist() if name.endswith("/METADATA"))


async def serve(taken: socket.socket, source: Source, latency: float, *, threaded: bool) -> None:
    """Serve until cancelled.

    :param latency: seconds before each answer; answers wait beside each other, as those of a distant server do.
    :param threaded: the source may block, so it is asked in threads.
    """

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                writer.write(await reply_to(head))
                await writer.drain()
        writer.close()

    async def reply_to(head: str) -> bytes:
        path, fields = _parsed(head)
        begin = asyncio.get_running_loop().time()
        try:
            span = fields.get("range", "")
            reply = await asyncio.to_thread(source, path, span) if threaded else source(path, span)
        except UpstreamError as error:
            print(error, file=sys.stderr)
            reply = Reply(error.status or 502, {}, b"")
        if reply.status == 200 and fields.get("if-none-match") == reply.headers.get("ETag", ""):
            reply = Reply(304, {"ETag": reply.headers["ETag"]}, b"")
        await asyncio.sleep(max(0.0, begin + latency - asyncio.get_running_loop().time()))
        return _written(reply)

    server = await asyncio.start_server(converse, sock=taken, limit=1 << 16)
    print(f"{origin_of(taken)}/simple/", flush=True)
    async with server:
        await server.serve_forever()


def origin_of(taken: socket.socket) -> str:
    """Return the origin that is served on a socket."""
    return f"http://127.0.0.1:{taken.getsockname()[1]}"


def bound(kept: Path | None) -> socket.socket:
    """Return a socket on loopback, on the port that the file ``kept`` says; a free one, which is written there, if none."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", int(kept.read_text()) if kept and kept.exists() else 0))
    if kept and not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(str(taken.getsockname()[1]))
    return taken


def _parsed(head: str) -> tuple[str, dict[str, str]]:
    first, *lines = head.split("\r\n")
    fields = (line.partition(":") for line in lines if line)
    return first.split(" ")[1], {name.strip().lower(): value.strip() for name, _, value in fields}


def _written(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.status != 304:
        lines.append(f"Content-Length: {len(reply.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + reply.body


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replay", type=Path, metavar="CACHE")
    parser.add_argument("--record", action="store_true", help="ask the real index for what is missing")
    parser.add_argument("--until", metavar="DATE", help="answer as if nothing had been uploaded since")
    parser.add_argument("--made", type=int, metavar="FILES")
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds")
    given = parser.parse_args()
    taken = bound(given.replay / "port" if given.replay else None)
    source: Source
    if given.made is not None:
        source = Made(given.made, origin_of(taken))
    else:
        source = Recorded(given.replay, origin_of(taken), Upstream(None, connections=32) if given.record else None)
        source = Past(source, given.until) if given.until else source
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(taken, source, given.latency / 1000, threaded=given.record))


if __name__ == "__main__":
    main()
