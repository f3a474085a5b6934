"""A manifest is read with care: it is one, or it is refused before a byte is written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.crossing import Sent, canonical, load_receiver, mirror_state, sha256, write, write_bundle

RECEIVER = load_receiver()
STATE = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0"}})
ABSENT = sha256(b"nobody has it")
PATH = "packages/alpha/alpha-1.0.tar.gz"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return write_bundle(tmp_path_factory.mktemp("stick"), STATE)


def parsed(data: bytes) -> Any:
    """Return the manifest, or None where it was refused."""
    try:
        return RECEIVER.parse_manifest(data)
    except RECEIVER.Refused:
        return None


def test_a_manifest_is_read_as_it_was_written(sent: Sent) -> None:
    manifest = RECEIVER.parse_manifest(sent.manifest)
    assert manifest.files == {path: (sha256(content), len(content)) for path, content in STATE.items()}
    assert manifest.contents.keys() == {sha256(content) for content in STATE.values()}
    assert (manifest.stream, manifest.sequence, manifest.base, manifest.sha256) == ("main", 1, None, sent.sha256)


Document = dict[str, Any]


def with_path(path: str) -> Callable[[Document], None]:
    """Give a file another path, in order."""

    def change(document: Document) -> None:
        row = next(row for row in document["files"] if row[0] == PATH)
        row[0] = path
        document["files"].sort()

    return change


def with_further(*paths: str) -> Callable[[Document], None]:
    """Add files with a content that is there."""

    def change(document: Document) -> None:
        document["files"] = sorted([*document["files"], *([path, *document["files"][0][1:]] for path in paths)])

    return change


def at(*keys: Any, value: Any) -> Callable[[Document], None]:
    """Change one value."""

    def change(document: Document) -> None:
        inner: Any = document
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def doubled(*keys: Any) -> Callable[[Document], None]:
    """Have the first row of a list twice."""

    def change(document: Document) -> None:
        document[keys[0]].insert(0, document[keys[0]][0])

    return change


LEADING_OUT = [
    "../evil", "packages/../../evil", "/etc/passwd", "packages//a", "packages/./a", "packages/a/", "", "packages",
    "C:/evil", "packages/a:b", "packages\\..\\evil", "packages/a\\b", "packages/.hidden", ".mirror/state", "received/state.json",
    "generations/1/a", "current", "lock", "own/a.whl", "packages/a.", "packages/a ", "packages/NUL", "packages/con.txt/a",
    "packages/a\x00b", "packages/a\nb", "packages/a\u2028b", "packages/a\u202eb", "packages/\ud800", "packages/" + "a" * 256,
    "packages/" + "\u00e9" * 128, "packages/" + "a/" * 250 + "a", "Packages/a", "README.md", "SHA256SUMS.kept", "simple",
]  # fmt: skip

HOSTILE: Mapping[str, Callable[[Document], None]] = {
    **{f"the path {path[:40]!r}": with_path(path) for path in LEADING_OUT},
    "two names that differ in case": with_further("packages/alpha/ALPHA-1.0.tar.gz"),
    "two names that are one when normalised": with_further("packages/caf\u00e9", "packages/cafe\u0301"),
    "two names that are one when folded": with_further("packages/stra\u00dfe", "packages/STRASSE"),
    "a file that is a folder of another": with_further("packages/alpha"),
    "a file that is a folder of another in other case": with_further("packages/ALPHA"),
    "no SHA256SUMS": lambda document: document["files"].pop(0),
    "a path twice": doubled("files"),
    "a content twice": doubled("contents"),
    "files in another order": lambda document: document["files"].reverse(),
    "contents in another order": lambda document: document["contents"].reverse(),
    "a size below zero": at("files", 0, 2, value=-1),
    "a size that is no number": at("files", 0, 2, value="1"),
    "a size that is true": at("files", 0, 2, value=True),
    "a size beyond all": at("files", 0, 2, value=2**53 + 1),
    "a size that is not whole": at("files", 0, 2, value=1.0),
    "a size that lies": at("contents", 0, 1, value=10**9),
    "a part's size that lies": at("contents", 0, 2, 0, 2, value=10**9),
    "a hash in capitals": at("files", 0, 1, value="A" * 64),
    "a hash that is short": at("files", 0, 1, value="a" * 63),
    "a hash that is a path": at("contents", 0, 0, value="../" + "0" * 61),
    "a file that nobody carries": at("files", 0, 1, value=ABSENT),
    "no parts": at("contents", 0, 2, value=[]),
    "a volume that there is not": at("contents", 0, 2, 0, 0, value=2),
    "volume 0": at("contents", 0, 2, 0, 0, value=0),
    "a place out of the volume": at("contents", 0, 2, 0, 1, value="../../../etc/passwd"),
    "an absolute place": at("contents", 0, 2, 0, 1, value="/etc/passwd"),
    "one place for two": lambda document: at("contents", 0, 2, 0, 1, value=document["contents"][1][2][0][1])(document),
    "rows that are tables": at("files", 0, value={"path": "index.html"}),
    "rows that are short": at("files", 0, value=["index.html"]),
    "files that are no list": at("files", value={}),
    "a key too many": at("further", value=1),
    "a key too few": lambda document: document.pop("keep"),
    "another format": at("format", value=2),
    "sequence 0": at("sequence", value=0),
    "a sequence beyond all": at("sequence", value=10**9 + 1),
    "a stream that is a path": at("stream", value="../main"),
    "a stream in capitals": at("stream", value="Main"),
    "no volumes": at("volumes", value=0),
    "too many volumes": at("volumes", value=10_000),
    "a base that is not older": at("base", value={"manifest": ABSENT, "sequence": 1}),
    "a base without a hash": at("base", value={"manifest": "", "sequence": 1}),
    "a time that is none": at("made", "at", value="yesterday"),
    "a maker of many words": at("made", "by", value="x" * 101),
    "a keep that is none": at("keep", value={"years": 1}),
    "what does not end": at("keep", value=[[[[[[[]]]]]]]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_refused(sent: Sent, name: str) -> None:
    document = copy.deepcopy(sent.document)
    HOSTILE[name](document)
    assert parsed(canonical(document)) is None
    assert parsed(sent.manifest) is not None


def numbers(digits: str) -> Callable[[bytes], bytes]:
    """Write a number's digits in place of the sequence."""
    return lambda data: data.replace(b'"sequence":1', b'"sequence":' + digits.encode())


BYTES: Mapping[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "no JSON": lambda data: b"PK\x03\x04" + data,
    "half of it": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-1],
    "with a further end": lambda data: data + b"\n",
    "with a mark of byte order": lambda data: b"\xef\xbb\xbf" + data,
    "as UTF-16": lambda data: data.decode().encode("utf-16"),
    "with spaces": lambda data: json.dumps(json.loads(data), sort_keys=True).encode() + b"\n",
    "in another order": lambda data: b'{"volumes":1,' + data[1:].replace(b',"volumes":1}', b"}"),
    "with a key twice": lambda data: b'{"base":null,' + data[1:],
    "with escapes that need not be": lambda data: data.replace(b'"mirror.json"', b'"\\u006dirror.json"'),
    "with a number of 100,000 digits": numbers("1" * 100_000),
    "with a number like 01": numbers("01"),
    "with -0": numbers("-0"),
    "with 1e0": numbers("1e0"),
    "with 1.0": numbers("1.0"),
    "with NaN": numbers("NaN"),
    "with Infinity": numbers("-Infinity"),
    "nested deeply": lambda data: b"[" * 100_000 + b"]" * 100_000 + b"\n",
    "tables nested deeply": lambda data: b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n",
    "just a list": lambda data: b"[]\n",
    "just null": lambda data: b"null\n",
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_not_canonical_are_refused(sent: Sent, name: str) -> None:
    changed = BYTES[name](sent.manifest)
    assert changed != sent.manifest
    assert parsed(changed) is None


def test_ten_million_entries_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(RECEIVER.json, "loads", read)
    row = b'["a","",0],'
    assert parsed(b'{"files":[' + row * 10_000_000 + b"]}") is None
    monkeypatch.setattr(RECEIVER, "MANIFEST_LIMIT", 1000)
    assert parsed(b" " * 1001) is None


def test_what_is_refused_writes_nothing(sent: Sent, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stick, root = tmp_path / "stick", tmp_path / "srv"
    (stick / "volume-1-of-1/files").mkdir(parents=True)
    document = copy.deepcopy(sent.document)
    HOSTILE["the path '../evil'"](document)
    for data in (canonical(document), sent.manifest[:-1], b"[" * 100_000):
        write(stick / "volume-1-of-1/manifest.json", data)
        assert RECEIVER.main([str(stick), "--to", str(root), "--unsigned"]) == 1
        assert not root.exists()
        said = capsys.readouterr().err
        assert "is no manifest of a bundle" in said
        assert "Traceback" not in said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**60) | st.text(max_size=12) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300))
@example(b'{"format":1}\n')
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    parsed(data)


@given(VALUES)
def test_any_document_is_a_manifest_or_refused(document: object) -> None:
    parsed(canonical(document))


@given(st.data())
def test_a_manifest_changed_anywhere_is_one_or_refused(sent: Sent, data: st.DataObject) -> None:
    """Whatever stands in one place of a manifest, it is either refused, or says in the end what it says."""
    document = copy.deepcopy(sent.document)
    inner: Any = document
    while isinstance(inner, dict | list) and inner and data.draw(st.booleans(), label="deeper"):
        key = data.draw(st.sampled_from(sorted(inner)) if isinstance(inner, dict) else st.integers(0, len(inner) - 1))
        if not isinstance(inner[key], dict | list) or not inner[key]:
            inner[key] = data.draw(VALUES | st.sampled_from(LEADING_OUT))
            break
        inner = inner[key]
    manifest = parsed(canonical(document))
    if manifest is not None:
        assert [[path, *content] for path, content in manifest.files.items()] == document["files"]
        for path in manifest.files:
            assert not Path(path).is_absolute()
            assert ".." not in path.split("/")
