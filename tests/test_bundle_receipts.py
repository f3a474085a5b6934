"""The receipt that comes back: the file as it was written, and the lines as people type them."""

from __future__ import annotations

import hashlib
import json

import pytest

from mirror_tasks.transfer.manifest import Base
from mirror_tasks.transfer.receipt import read_receipt

MANIFEST = hashlib.sha256(b"a manifest").hexdigest()
GROUPS = "-".join(MANIFEST[at : at + 4] for at in range(0, 64, 4))


def typed(**changed: str) -> str:
    """Return a receipt as receive.py prints it."""
    found = {
        "mirror-receipt": "1",
        "stream": "main",
        "sequence": "7",
        "manifest": GROUPS,
        "own": "ours-a ours-b",
        "wanted": "numpy==1.24.0 rich>=2",
        "made": "2026-11-26T12:00:00Z",
        **changed,
    }
    lines = [f"{word} {rest}" for word, rest in found.items()]
    plain = "".join(" ".join(line.lower().split()) + "\n" for line in lines)
    return "\n".join([*lines, f"check {hashlib.sha256(plain.encode()).hexdigest()[:8]}"])


def test_both_forms_say_the_same() -> None:
    document = {
        "format": 1,
        "made": "2026-11-26T12:00:00Z",
        "own": ["ours-a", "ours-b"],
        "wanted": ["numpy==1.24.0", "rich>=2"],
        "streams": {"main": {"sequence": 7, "manifest": MANIFEST}},
    }
    found = read_receipt(json.dumps(document).encode())
    assert found == read_receipt(typed().encode())
    assert found.streams == {"main": Base(7, MANIFEST)}
    assert found.own == ("ours-a", "ours-b")


@pytest.mark.parametrize(
    "retyped",
    [
        str.upper,
        lambda text: text.replace("\n", "\r\n\r\n"),
        lambda text: text.replace(" ", "   "),
        lambda text: f"\ufeff\n  {text}\n\n",
    ],
)
def test_how_it_is_typed_does_not_matter(retyped: object) -> None:
    assert read_receipt(retyped(typed()).encode()).streams == {"main": Base(7, MANIFEST)}  # type: ignore[operator]


def test_what_a_shell_of_windows_writes_into_a_file_is_read() -> None:
    assert read_receipt(typed().replace("\n", "\r\n").encode("utf-16")).streams == {"main": Base(7, MANIFEST)}


def test_nothing_of_ones_own_is_a_dash() -> None:
    found = read_receipt(typed(own="-", wanted="-").encode())
    assert (found.own, found.wanted) == ((), ())


def test_each_wrong_key_is_found() -> None:
    text = typed()
    end = text.index("check")
    for at in range(text.index("sequence "), end):
        if text[at].isalnum():
            wrong = "0" if text[at] != "0" else "1"
            with pytest.raises(ValueError, match=r"typed wrong|expected"):
                read_receipt((text[:at] + wrong + text[at + 1 :]).encode())


def test_the_check_that_would_be_right_is_not_told() -> None:
    """Else who mistyped a digit would copy it, and the wrong digit would count."""
    wrong = typed().replace("sequence 7", "sequence 8")
    with pytest.raises(ValueError, match="typed wrong") as caught:
        read_receipt(wrong.encode())
    plain = "".join(" ".join(line.lower().split()) + "\n" for line in wrong.splitlines()[:7])
    assert hashlib.sha256(plain.encode()).hexdigest()[:8] not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"mirror-receipt 1",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 1, "streams": [], "own": [], "wanted": [], "made": ""}',
        b'{"format": 1, "streams": {"main": {"sequence": true, "manifest": "a"}}, "own": [], "wanted": [], "made": ""}',
        b'{"format": 1, "streams": {"../x": {"sequence": 1, "manifest": "a"}}, "own": [], "wanted": [], "made": ""}',
        b'{"format": 2}',
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b" " * (2 << 20),
        typed(sequence="0").encode(),
        typed(sequence="x").encode(),
        typed(manifest="ab").encode(),
        typed(stream="..").encode(),
        typed(**{"mirror-receipt": "2"}).encode(),
    ],
)
def test_what_is_no_receipt_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_receipt(content)
