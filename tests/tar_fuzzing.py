"""Tars that were tampered with, and the question if the reader of this project sees in them what tarfile sees.

``python -m tests.tar_fuzzing --minutes 5 --seed 1`` looks for one in which it does not; run it on the oldest and the
newest Python, for tarfile changes. ``tests/test_tar_fuzzing.py`` does the same for a few seconds, and keeps what was found.
"""

from __future__ import annotations

import argparse
import gzip
import io
import random
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator

from mirror_tasks.archives.tar import tar_members
from mirror_tasks.archives.untrusted import BrokenError

FILENAME = "foo-1.0.tar.gz"
BLOCK = 512
ENDINGS = ("pkg-info", "pyproject.toml")
# What the fields of a header are, by their first byte and the one behind the last.
NUMBERS = {"mode": (100, 108), "uid": (108, 116), "gid": (116, 124), "size": (124, 136), "mtime": (136, 148),
           "sum": (148, 156), "devmajor": (329, 337), "devminor": (337, 345)}  # fmt: skip
FIELDS = {"name": (0, 100), **NUMBERS, "kind": (156, 157), "linkname": (157, 257), "magic": (257, 265),
          "uname": (265, 297), "gname": (297, 329), "prefix": (345, 500), "end": (500, 512)}  # fmt: skip
NAMES = [b"foo-1.0/PKG-INFO", b"foo-1.0/pyproject.toml", b"foo-1.0/a", b"foo-1.0/b/c", b"foo-1.0/", b"/etc/passwd", b"",
         b"foo-1.0/../x", b"./foo-1.0/x", b"foo-1.0//x", b"foo-1.0/x/", b"foo-1.0/\xc3\xa9", b"foo-1.0/\xff", b"bar/x",
         b"foo-1.0/" + b"x" * 92, b"foo-1.0/" + b"y" * 150, b"foo-1.0/a\0b", b"foo-1.0/.", b"."]  # fmt: skip
DIGITS = [b"", b" ", b"\0", b"0", b"7", b"10", b"1000", b"0000644", b"00000000000", b"-1", b"+7", b"0o7", b"1_0", b"8",
          b"7x", b"7\0x", b" 7", b"\t7", b"\x80\0\0\0\0\0\0\0", b"\xff" * 12, b"\x81\0\0\0\0\0\0\1",
          b"\x80" + bytes(10) + b"\x05", b"777777777777", b"\xd9\xa3", b"0 7", b"\x0b7"]  # fmt: skip
KINDS = [b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"X", b"L", b"K", b"S", b"V", b"A", b" "]
MAGICS = [b"", b"ustar", b"ustar\0\0\0", b"ustar  \0", b"USTAR\x0000"]
KEYS = [b"path", b"linkpath", b"size", b"mtime", b"uid", b"comment", b"hdrcharset", b"GNU.sparse.major", b"GNU.sparse.minor",
        b"GNU.sparse.name", b"GNU.sparse.map", b"GNU.sparse.size", b"GNU.sparse.realsize", b"SCHILY.xattr.user.x", b"", b"p ath",
        b"PATH", b"p\0ath", b"ctime"]  # fmt: skip
VALUES = [
    *NAMES,
    b"1",
    b"0",
    b"700",
    b"BINARY",
    b"1\n2",
    b"x=y",
    b"\n12 path=evil\n",
    b"1,2",
    b"12 hdrcharset=BINARY",
    b"1.5",
]

Seen = list[tuple[str, bool, bytes]]


def summed(header: bytes | bytearray) -> bytes:
    """Return a header with the sum that it has to have."""
    total = sum(header[:148]) + 8 * 32 + sum(header[156:BLOCK])
    return bytes(header[:148]) + b"%06o\0 " % total + bytes(header[156:])


def header(name: bytes, size: int = 0, kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """Return a header as tarfile writes it."""
    block = bytearray(BLOCK)
    for field, value in [("name", name[:100]), ("mode", b"0000644"), ("uid", b"0001750"), ("gid", b"0001750"),
                         ("size", b"%011o" % size), ("mtime", b"14000000000"), ("kind", kind), ("magic", magic),
                         ("uname", b"me"), ("devmajor", b"0000000"), ("devminor", b"0000000")]:  # fmt: skip
        start = FIELDS[field][0]
        block[start : start + len(value)] = value
    return summed(block)


def filled(content: bytes) -> bytes:
    """Return the content with what fills up its last block."""
    return content + bytes(-len(content) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """Return a record of a pax header."""
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    """Return a pax header and its content."""
    content = b"".join(records)
    return header(b"././@PaxHeader", len(content), kind) + filled(content)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """Return GNU's header for a long name, and its content."""
    return header(b"././@LongLink", len(name), kind, b"ustar  \0") + filled(name)


def file(name: bytes, content: bytes = b"", kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """Return a member: a header and its content."""
    return header(name, len(content), kind, magic) + filled(content)


END = bytes(2 * BLOCK)


# What is tampered with


def tampered(seed: int) -> bytes:
    """Return a gzipped tar that is nearly right; the same for the same seed."""
    rng = random.Random(seed)
    members = [_member(rng) for _ in range(rng.randint(1, 6))]
    content = b"".join(members) + END
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        content = rng.choice(_TAMPERING)(rng, content)
    return _zipped(rng, content)


def _member(rng: random.Random) -> bytes:
    name = rng.choice(NAMES[:4]) if rng.random() < 0.8 else rng.choice(NAMES)
    content = rng.choice([b"", b"x", b"Name: foo\n", bytes(BLOCK), b"y" * 700, file(b"foo-1.0/PKG-INFO", b"hidden")])
    before = rng.choice(
        [b"", b"", b"", _pax(rng), _pax(rng), long_name(rng.choice(NAMES) + b"\0", rng.choice([b"L", b"K"]))]
    )
    magic = rng.choice([b"ustar\x0000", b"ustar  \0"])
    kind = b"0" if rng.random() < 0.8 else rng.choice(KINDS)
    return before + file(name, content if kind == b"0" or rng.random() < 0.3 else b"", kind, magic)


def _pax(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return pax(record(b"mtime", b"1400000000.5"))
    records = [record(rng.choice(KEYS), rng.choice(VALUES)) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.2:
        records.append(rng.choice([b"0 path=x\n", b"5 x=\n", b"99 path=x\n", b"12 path=ab", b"\0", b"12 path", b" 11 path=ab\n",
                                   b"011 path=ab\n", b"+11 path=ab\n", b"\xd9\xa31 path=a\n", b"9 path=abc\n"]))  # fmt: skip
    return pax(*records, kind=b"g" if rng.random() < 0.15 else b"x")


def _block_at(rng: random.Random, content: bytes) -> int:
    """Return where a block begins, that of a header more often than another."""
    starts = range(0, max(len(content) - BLOCK, 1), BLOCK)
    headers = [at for at in starts if content[at + 257 : at + 262] == b"ustar"]
    return rng.choice(headers) if headers and rng.random() < 0.9 else rng.choice(starts)


def _field(rng: random.Random, content: bytes) -> bytes:
    at, field = _block_at(rng, content), rng.choice(list(FIELDS))
    start, end = FIELDS[field]
    if field in NUMBERS:
        value = rng.choice(DIGITS)
    else:
        value = rng.choice({"kind": KINDS, "magic": MAGICS}.get(field, [*NAMES, b"x", b"\0x", bytes(4) + b"x" * 4]))
    changed = value[: end - start].ljust(end - start, rng.choice([b"\0", b"\0", b" ", b"0"]))
    return _changed(rng, content, at + start, changed, at)


def _byte(rng: random.Random, content: bytes) -> bytes:
    at = _block_at(rng, content)
    return _changed(
        rng,
        content,
        at + rng.randrange(BLOCK),
        bytes([rng.choice([0, 32, 47, 48, 55, 56, 128, 255, rng.randrange(256)])]),
        at,
    )


def _changed(rng: random.Random, content: bytes, start: int, value: bytes, block: int) -> bytes:
    changed = content[:start] + value + content[start + len(value) :]
    if block + 148 <= start < block + 156 or rng.random() < 0.2:
        return changed  # the sum itself was changed, or shall be wrong
    return changed[:block] + summed(changed[block : block + BLOCK].ljust(BLOCK, b"\0")) + changed[block + BLOCK :]


def _behind(rng: random.Random, content: bytes) -> bytes:
    """Put something into what fills up a block behind a header's content."""
    ends = [at for at in range(BLOCK, len(content)) if at % BLOCK and content[at - 1] and not content[at]]
    at = rng.choice(ends) if ends else 0
    added = rng.choice(
        [record(b"path", b"foo-1.0/evil"), record(b"size", b"0"), b"evil", b"\0" + record(b"path", b"x"), b"/PKG-INFO"]
    )
    return content[:at] + added + content[at + len(added) :] if len(content) > at + len(added) else content


def _moved(rng: random.Random, content: bytes) -> bytes:
    """Take a few blocks out, or put them in twice."""
    at, count = _block_at(rng, content), rng.choice([BLOCK, 2 * BLOCK, 3 * BLOCK])
    put = rng.choice(
        [
            b"",
            content[at : at + count] * 2,
            bytes(BLOCK),
            file(b"foo-1.0/PKG-INFO", b"evil"),
            bytes(BLOCK) + b"x" * BLOCK,
        ]
    )
    return content[:at] + put + content[at + (count if rng.random() < 0.5 else 0) :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice([rng.randrange(len(content) + 1), _block_at(rng, content), len(content) - len(END)])]


_TAMPERING: list[Callable[[random.Random, bytes], bytes]] = [
    _field,
    _field,
    _field,
    _field,
    _byte,
    _behind,
    _moved,
    _cut,
]


def _zipped(rng: random.Random, content: bytes) -> bytes:
    if rng.random() > 0.05 or not content:
        return gzip.compress(content, 1, mtime=0)
    at = rng.choice([0, rng.randrange(len(content)), _block_at(rng, content)])
    between = rng.choice([b"", bytes(3), b"junk", gzip.compress(b"", mtime=0)])
    return gzip.compress(content[:at], 1, mtime=0) + between + gzip.compress(content[at:], 1, mtime=0)


# What is seen in it


def as_seen_here(content: bytes, endings: tuple[str, ...] = ("",)) -> Seen:
    """Return path, kind and content of each member, as this project reads them."""
    members = tar_members(io.BytesIO(content), FILENAME, endings)
    return [(one.path, one.is_file, one.read() if one.is_file else b"") for one in members]


def as_tarfile_sees(content: bytes) -> Seen:
    """Return the same as pip sees it, which unpacks with tarfile."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz", encoding="utf-8") as archive:
        return [(_plain(one.name), one.isreg(), _content(archive, one)) for one in archive.getmembers()]


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None
    content = stream.read() if stream else b""
    assert not stream or len(content) == member.size, "it ends in the middle"
    return content


def difference(content: bytes) -> str | None:
    """Return how what is read here differs from what tarfile reads; None if it is the same.

    :raises BrokenError: it is refused here, which is always right.
    """
    here = as_seen_here(content)
    some = as_seen_here(content, ENDINGS)
    try:
        there = as_tarfile_sees(content)
    except Exception as error:  # whatever it is that tarfile raises
        return f"read here, and by tarfile: {type(error).__name__}: {error}"
    if here != there:
        return f"read here: {here}\nby tarfile: {there}"
    asked = [[one for one in found if one[0].lower().endswith(ENDINGS)] for found in (some, there)]
    return None if asked[0] == asked[1] else f"read here, some asked for: {asked[0]}\nby tarfile: {asked[1]}"


def outcomes(seeds: Iterator[int]) -> Iterator[tuple[int, str]]:
    """Yield each seed with ``same``, or the reason why it is refused here.

    :raises AssertionError: this project and tarfile disagree.
    """
    for seed in seeds:
        try:
            found = difference(tampered(seed))
        except BrokenError as error:
            yield seed, str(error)
            continue
        assert found is None, f"seed {seed}, Python {sys.version.split()[0]}: {found}"
        yield seed, "same"


def main() -> None:
    """Look for a difference until the time is over."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=0, help="the first one; each tar takes the next")
    options = arguments.parse_args()
    ends = time.monotonic() + 60 * options.minutes
    found: Counter[str] = Counter()
    seeds = iter(range(options.seed, sys.maxsize))
    for _, outcome in outcomes(seeds):
        found[outcome.partition(" b'")[0][:60]] += 1
        if time.monotonic() > ends:
            break
    print(f"Python {sys.version.split()[0]}: {sum(found.values()):,} tars, no difference; read, or refused because of:")
    for reason, count in found.most_common():
        print(f"{count:>9,}  {reason}")


if __name__ == "__main__":
    main()
