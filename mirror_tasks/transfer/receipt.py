"""The receipt from inside, as a file or typed from a print: which bundles are there, and what is wanted; no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mirror_tasks.files import sha256_of_bytes
from mirror_tasks.transfer.manifest import Base

MOST_BYTES = 1 << 20
_WORDS = ("mirror-receipt", "stream", "sequence", "manifest", "own", "wanted", "made", "check")
_STREAM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is inside.

    :param streams: the newest bundle of each stream, by its name.
    :param own: the projects that the inside has of its own.
    :param wanted: what clients asked for in vain, as requirements; not checked.
    :param made: as it says.
    """

    streams: Mapping[str, Base]
    own: tuple[str, ...]
    wanted: tuple[str, ...]
    made: str


def read_receipt(content: bytes) -> Receipt:
    """Return what a receipt says, of either form.

    :raises ValueError: it is none; the message says what was expected.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES} bytes, found {len(content)}")
    # What a shell of Windows redirects into a file is UTF-16.
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_wide else "utf-8-sig", "replace").strip()
    return _from_json(text) if text.startswith("{") else _from_lines(text)


def _from_json(text: str) -> Receipt:
    try:
        found = json.loads(text)
        if found["format"] != 1:
            raise ValueError(f"expected a receipt of format 1, found {found['format']!r}")
        streams = {_stream(name): _base(one["sequence"], one["manifest"]) for name, one in found["streams"].items()}
        own, wanted = (tuple(map(str, found[key])) for key in ("own", "wanted"))
        return Receipt(streams, own, wanted, str(found["made"]))
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"expected the receipt that receive.py wrote ({type(error).__name__}: {error})") from None


def _from_lines(text: str) -> Receipt:
    """Read what was typed: capitals and further spaces do not count, and its last line tells of a wrong key."""
    lines = [" ".join(line.lower().split()) for line in text.splitlines() if line.strip()]
    words = [line.partition(" ")[0] for line in lines]
    if words != list(_WORDS):
        raise ValueError(
            f"expected eight lines that begin with {', '.join(_WORDS)}, found {', '.join(words[:9])[:200]}"
        )
    rest = {word: line.partition(" ")[2] for word, line in zip(words, lines, strict=True)}
    check = sha256_of_bytes("".join(f"{line}\n" for line in lines[:7]).encode())[:8]
    if rest["check"].replace("-", "").replace(" ", "") != check:
        raise ValueError(f"a line was typed wrong: their check is not {rest['check'][:40]!r}")
    if rest["mirror-receipt"] != "1":
        raise ValueError(f"expected a receipt of format 1, found {rest['mirror-receipt'][:40]!r}")
    if not re.fullmatch("[0-9]{1,10}", rest["sequence"]):
        raise ValueError(f"expected a number after sequence, found {rest['sequence'][:40]!r}")
    base = _base(int(rest["sequence"]), re.sub("[- ]", "", rest["manifest"]))
    own, wanted = (() if rest[key] == "-" else tuple(rest[key].split()) for key in ("own", "wanted"))
    return Receipt({_stream(rest["stream"]): base}, own, wanted, rest["made"].upper())


def _stream(name: object) -> str:
    if not isinstance(name, str) or not _STREAM.fullmatch(name):
        raise ValueError(f"expected the name of a stream, found {str(name)[:80]!r}")
    return name


def _base(sequence: object, manifest: object) -> Base:
    if type(sequence) is not int or not 1 <= sequence <= 10**9:
        raise ValueError(f"expected the number of a bundle, found {str(sequence)[:40]!r}")
    if not isinstance(manifest, str) or not re.fullmatch("[0-9a-f]{64}", manifest):
        raise ValueError(f"expected the SHA-256 of a manifest, found {str(manifest)[:80]!r}")
    return Base(sequence, manifest)
