"""Small states and bundles for tests of what runs inside, made by hand in the form of docs/bundle-format.md."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.launching import ScriptLauncher
from tests.server_fixtures import SERVER, project_page

RECEIVER = SERVER.with_name("receive.py")
PATIENCE = 60.0  # seconds after which a test that waits for receive.py fails

State = Mapping[str, bytes]  # what is to stand inside: bytes by path


def load_receiver() -> ModuleType:
    """Import receive.py, which stands in no package, for tests of its functions."""
    spec = importlib.util.spec_from_file_location("receive_by_tests", RECEIVER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical(document: object) -> bytes:
    """Write JSON in the one form that a manifest may have."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def mirror_state(packages: Mapping[str, Mapping[str, bytes]], further: State | None = None) -> dict[str, bytes]:
    """Return the state of a small mirror.

    :param packages: bytes by file name, by project.
    :param further: other files by path; they take the place of those that are made here.
    """
    links = "".join(f'<a href="{name}/">{name}</a>\n' for name in sorted(packages)).encode()
    files = {
        "mirror.json": canonical({"format": 1, "projects": len(packages), "files": sum(map(len, packages.values()))}),
        "server.py": b"# serves\n",
        "receive.py": b"# receives\n",
        "index.html": b"<p>for people</p>\n" + links,
        "simple/index.html": links,
        "simple/index.v1_json": canonical({"projects": [{"name": name} for name in sorted(packages)]}),
    }
    for name, contents in packages.items():
        page, document = project_page(name, dict(contents))
        files[f"simple/{name}/index.html"] = page
        files[f"simple/{name}/index.v1_json"] = document
        files.update({f"packages/{name}/{filename}": content for filename, content in contents.items()})
    return with_sums({**files, **(further or {})})


def with_sums(files: State) -> dict[str, bytes]:
    """Return a state with the SHA256SUMS of its other files."""
    rest = {path: content for path, content in files.items() if path != "SHA256SUMS"}
    lines = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(rest.items()))
    return {**rest, "SHA256SUMS": lines.encode()}


@dataclasses.dataclass(frozen=True)
class Sent:
    """A bundle as it was written: its folder, its manifest, and the state that is to stand inside."""

    folder: Path
    manifest: bytes
    state: State

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.manifest)
        return document

    @property
    def sha256(self) -> str:
        return sha256(self.manifest)

    @property
    def volumes(self) -> list[Path]:
        """The folders of its volumes, in order."""
        return sorted(self.folder.glob("volume-*"), key=lambda folder: int(folder.name.split("-")[1]))


def write_bundle(
    to: Path,
    state: State,
    sequence: int = 1,
    *,
    stream: str = "main",
    base: Sent | None = None,
    volume: int = 1 << 40,
    changes: Mapping[str, Any] | None = None,
) -> Sent:
    """Write a bundle below a folder, as ``doit bundle`` does.

    :param base: the bundle that it builds on; what that one's state has is not carried.
    :param volume: bytes that a volume has at most; what is larger is cut.
    :param changes: of the manifest's document, for bundles that are not as they should be.
    """
    there = {sha256(content) for content in base.state.values()} if base else set()
    carried = {sha256(content): (path, content) for path, content in sorted(state.items(), reverse=True)}
    parts = _cut({key: value for key, value in sorted(carried.items()) if key not in there}, volume)
    document = {
        "base": {"manifest": base.sha256, "sequence": base.document["sequence"]} if base else None,
        "contents": [
            [key, sum(len(piece) for *_, piece in pieces), [[k, place, len(p), sha256(p)] for k, place, p in pieces]]
            for key, pieces in parts.items()
        ],
        "files": [[path, sha256(content), len(content)] for path, content in sorted(state.items())],
        "format": 1,
        "keep": None,
        "made": {
            "at": "2026-11-26T12:00:00Z",
            "by": "mirror-tasks 0.2.0",
            "plan": "0" * 64,
            "proof": None,
            "report": None,
            "approval": None,
        },
        "sequence": sequence,
        "stream": stream,
        "volumes": max([1, *(k for pieces in parts.values() for k, *_ in pieces)]),
        **(changes or {}),
    }
    sent = Sent(to / f"{stream}-{sequence}", canonical(document), dict(state))
    write_volumes(sent, [piece for pieces in parts.values() for piece in pieces])
    return sent


Piece = tuple[int, str, bytes]  # the number of its volume, its place there, its bytes


def _cut(contents: Mapping[str, tuple[str, bytes]], limit: int) -> dict[str, list[Piece]]:
    """Put contents into volumes, one after the other; cut what is larger than a volume."""
    number, used = 1, 0
    cut: dict[str, list[Piece]] = {}
    for key, (path, content) in contents.items():
        pieces = [content[start : start + limit] for start in range(0, len(content), limit)] or [b""]
        cut[key] = []
        for index, piece in enumerate(pieces, 1):
            if used and used + len(piece) > limit:
                number, used = number + 1, 0
            used += len(piece)
            place = path if len(pieces) == 1 else f"{path}.part-{index}-of-{len(pieces)}"
            cut[key].append((number, place, piece))
    return cut


def write_volumes(sent: Sent, pieces: Sequence[Piece], name: str = "volume") -> None:
    """Write the volumes of a bundle."""
    count = max(sent.document["volumes"], 1)
    for number in range(1, count + 1):
        folder = sent.folder / f"{name}-{number}-of-{count}"
        write(folder / "manifest.json", sent.manifest)
        write(folder / "volume.json", canonical({"manifest": sent.sha256, "volume": number}))
        write(folder / "receive.py", b"# the first time, by hand\n")
        for of, place, piece in pieces:
            if of == number:
                write(folder / "files" / place, piece)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@functools.cache
def _launcher() -> ScriptLauncher:
    return ScriptLauncher(RECEIVER)


def receive(*arguments: str | Path, python: str | None = None, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run receive.py in a process of its own.

    :param python: the command of an interpreter, if it is to be one that has imported nothing.
    :param prelude: Python that runs in it before: what counts, fails or kills.
    """
    if python is None:
        return _launcher().run(*map(str, arguments), prelude=prelude)
    assert not prelude
    command = [python, str(RECEIVER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def served(root: Path) -> dict[str, bytes]:
    """Return what stands in the generation that is served: bytes by path."""
    text = root / "current.txt"
    tree = root / "current" if (root / "current").exists() else root / "generations" / text.read_text().strip()
    return {path.relative_to(tree).as_posix(): path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}


def everything(root: Path) -> dict[str, bytes | str]:
    """Return all that is below a folder, links by what they lead to, to see that nothing has changed."""
    return {
        path.relative_to(root).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
