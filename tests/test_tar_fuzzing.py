"""The metadata that a plan is made from is the metadata that pip builds from, whichever Python unpacks the sdist."""

from __future__ import annotations

import gzip
import io
from collections import Counter

import pytest

from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.errors import MetadataError
from tests.tar_fuzzing import (
    BLOCK,
    END,
    FIELDS,
    FILENAME,
    difference,
    file,
    filled,
    header,
    long_name,
    outcomes,
    pax,
    record,
    summed,
    tampered,
)

PKG_INFO = b"Metadata-Version: 2.2\nName: foo\nVersion: 1.0\n"
GOOD = file(b"foo-1.0/PKG-INFO", PKG_INFO)
EVIL = file(b"foo-1.0/pyproject.toml", b'[build-system]\nrequires = ["evil"]\n')
REST = GOOD + END


def changed(member: bytes, field: str, value: bytes, *, sum_it: bool = True) -> bytes:
    """Return a member with a field of its header changed."""
    start, end = FIELDS[field]
    block = member[:start] + value.ljust(end - start, b"\0") + member[end:BLOCK]
    return (summed(block) if sum_it else block) + member[BLOCK:]


# What was found in which readers differ, each named by what it shows: this project's own until it had a strict grammar,
# tarfile of 3.10 to 3.13, and uv's.
CORPUS = {
    "a wrong sum ends the tar for tarfile": GOOD + changed(EVIL, "sum", b"000000\0 ", sum_it=False) + END,
    "a wrong sum in front": changed(EVIL, "sum", b"000000\0 ", sum_it=False) + REST,
    "a sum of signed bytes": changed(file(b"foo-1.0/\xe9"), "sum", b"011252\0 ", sum_it=False) + REST,
    "a size that is no number ends the tar for tarfile": GOOD + changed(EVIL, "size", b"0000000000x") + END,
    "a time that is no number ends the tar for tarfile": GOOD + changed(EVIL, "mtime", b"99999999999") + END,
    "a mode that is no number ends the tar for tarfile": GOOD + changed(EVIL, "mode", b"rw-r--r") + END,
    "a device that is no number ends the tar for tarfile": GOOD + changed(EVIL, "devmajor", b"x") + END,
    "a size as Python writes numbers": changed(GOOD, "size", b"0o52") + END,
    "a size in other digits": changed(GOOD, "size", "\u0661\u0662".encode()) + END,
    "a size behind a zero byte": changed(GOOD, "size", b"\00000000052") + END,
    "a binary size": changed(GOOD, "size", b"\x80" + bytes(10) + bytes([len(PKG_INFO)])) + END,
    "a pax size that hides members": pax(record(b"size", b"000000000000")) + GOOD + EVIL + END,
    "a pax size other than the header's": pax(record(b"size", b"0")) + GOOD + EVIL + END,
    "two pax sizes": pax(record(b"size", b"42"), record(b"size", b"42")) + GOOD + EVIL + END,
    "a pax size of twelve digits": pax(b"25 size=000000001024000000000\n") + GOOD + EVIL + END,
    "a pax size for all members": pax(record(b"size", b"0"), kind=b"g") + REST,
    "a pax path for all members": pax(record(b"path", b"foo-1.0/pyproject.toml"), kind=b"g") + REST,
    "a pax path in what fills up the block": header(b"pax", 22, b"x")
    + filled(record(b"mtime", b"1400000000.5") + record(b"path", b"foo-1.0/pyproject.toml"))
    + REST,
    "pax behind a zero byte": pax(b"\0", record(b"path", b"foo-1.0/pyproject.toml")) + REST,
    "a pax record of no length": pax(b"0 path=x\n") + REST,
    "a pax record longer than its header": pax(b"99 path=foo-1.0/x\n") + REST,
    "a pax record that ends early, which is an error from 3.12 on": pax(b"9 path=foo-1.0/x\n") + REST,
    "a pax record without a line end": pax(b"12 path=abcd") + REST,
    "a pax record without a key": pax(b"6 =ab\n") + REST,
    "a pax length in other digits": pax("1\u0661 path=a\n".encode()) + REST,
    "a pax length with a sign": pax(b"+10 path=ab\n") + REST,
    "a charset in another record, which 3.12 sees and 3.13 does not": pax(record(b"comment", b"\n9 hdrcharset=BINARY"))
    + changed(GOOD, "kind", b"7")
    + END,
    "a charset": pax(record(b"hdrcharset", b"BINARY"), record(b"path", b"foo-1.0/\xe9")) + REST,
    "two pax paths": pax(record(b"path", b"foo-1.0/x"), record(b"path", b"foo-1.0/pyproject.toml")) + REST,
    "an empty pax path": pax(record(b"path", b"")) + REST,
    "a pax path with a zero byte": pax(record(b"path", b"foo-1.0/pyproject.toml\0x")) + REST,
    "sparse 0.0": pax(record(b"GNU.sparse.size", b"9"), record(b"GNU.sparse.offset", b"0")) + REST,
    "sparse 0.1": pax(record(b"GNU.sparse.map", b"0,1"), record(b"GNU.sparse.name", b"foo-1.0/pyproject.toml")) + REST,
    "sparse 1.0 without a name": pax(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0")) + REST,
    "sparse of GNU": changed(GOOD, "kind", b"S") + END,
    "two pax headers": pax(record(b"path", b"foo-1.0/x")) + pax(record(b"path", b"foo-1.0/pyproject.toml")) + REST,
    "a pax header and a long name": pax(record(b"path", b"foo-1.0/x")) + long_name(b"foo-1.0/y\0") + REST,
    "two long names": long_name(b"foo-1.0/x\0") + long_name(b"foo-1.0/y\0") + REST,
    "a pax header of Solaris": pax(record(b"path", b"foo-1.0/pyproject.toml"), kind=b"X") + REST,
    "a pax header and no member": GOOD + pax(record(b"mtime", b"1")) + END,
    "a header for all and no member": GOOD + pax(record(b"comment", b"x"), kind=b"g") + END,
    "a long name and no member": GOOD + long_name(b"foo-1.0/x\0"),
    "a long name longer than its size": header(b"././@LongLink", 10, b"L", b"ustar  \0")
    + filled(b"foo-1.0/pyproject.toml\0")
    + REST,
    "a long name with a zero byte in it": long_name(b"foo-1.0/pyproject.toml\0x\0") + REST,
    "a long name of no length": long_name(b"") + REST,
    "a member without a name": file(b"") + REST,
    "a file named like a folder": file(b"foo-1.0/pyproject.toml/") + REST,
    "a file named like the folder it is in": file(b"foo-1.0/.", b"x") + REST,
    "a file that is a folder by its own name only": pax(record(b"path", b"foo-1.0/pyproject.toml"))
    + file(b"x/", b"", b"\0")
    + REST,
    "a device": file(b"foo-1.0/pyproject.toml", kind=b"3") + REST,
    "a kind that nobody knows, which tarfile unpacks as a file": changed(EVIL, "kind", b"Z") + REST,
    "a contiguous file": changed(EVIL, "kind", b"7") + REST,
    "a folder with content": changed(file(b"foo-1.0/x", GOOD), "kind", b"5") + REST,
    "a hard link with content": changed(file(b"foo-1.0/x", GOOD), "kind", b"1") + REST,
    "GNU's own fields taken for a prefix": changed(
        file(b"pyproject.toml", b"", magic=b"ustar  \0"), "prefix", b"foo-1.0"
    )
    + REST,
    "another magic": changed(GOOD, "magic", b"USTAR\x0000") + END,
    "a tar from before POSIX": changed(GOOD, "magic", b"") + END,
    "a prefix with something behind it": changed(GOOD, "prefix", b"foo-1.0\0x") + END,
    "a last member cut off between blocks": (GOOD + header(b"foo-1.0/pyproject.toml", 600)),
    "a header cut off": GOOD + EVIL[:100],
    "no member": END,
}


@pytest.mark.parametrize("shown", CORPUS)
def test_what_readers_see_otherwise_is_refused(shown: str) -> None:
    with pytest.raises(MetadataError):
        sdist_metadata(io.BytesIO(gzip.compress(CORPUS[shown], 1, mtime=0)), FILENAME)


ZIPPED = {
    "zeros between two parts": gzip.compress(GOOD) + bytes(100) + gzip.compress(EVIL + END),
    "two parts, of which uv sees one": gzip.compress(GOOD) + gzip.compress(EVIL + END),
    "an empty part in front": gzip.compress(b"") + gzip.compress(REST),
    "junk between two parts": gzip.compress(GOOD) + b"junk" + gzip.compress(EVIL + END),
}


@pytest.mark.parametrize("shown", ZIPPED)
def test_what_is_gzipped_in_parts_is_refused(shown: str) -> None:
    with pytest.raises(MetadataError, match="expected one compressed stream"):
        sdist_metadata(io.BytesIO(ZIPPED[shown]), FILENAME)


# The same with nothing odd about it, so that each refusal above is of what it is named after.
SOUND = {
    "plain": REST,
    "GNU": file(b"foo-1.0/PKG-INFO", PKG_INFO, magic=b"ustar  \0") + END,
    "no end": GOOD,
    "a time before each": pax(record(b"mtime", b"1400000000.5")) + REST,
    "owners that are large": changed(changed(GOOD, "uid", b"\x80\0\0\0\x7f\xff\xff\xff"), "gid", b"\xff" * 8) + END,
    "numbers as others write them": changed(changed(GOOD, "mode", b"000644 "), "uid", b"   765 ") + END,
    "a comment for all members, as git writes it": pax(record(b"comment", b"0" * 40), kind=b"g") + REST,
    "a comment, then a path": pax(record(b"comment", b"x"), kind=b"g")
    + pax(record(b"path", b"foo-1.0/PKG-INFO"))
    + file(b"x", PKG_INFO)
    + END,
    "what macOS says": pax(
        record(b"LIBARCHIVE.creationtime", b"1"), record(b"SCHILY.dev", b"2"), record(b"atime", b"3")
    )
    + REST,
    "a long name": long_name(b"foo-1.0/PKG-INFO\0") + file(b"x", PKG_INFO, magic=b"ustar  \0") + END,
    "a long name and a long target": long_name(b"foo-1.0/x\0")
    + long_name(b"y\0", b"K")
    + file(b"x", b"", b"2", b"ustar  \0")
    + REST,
    "a prefix": changed(file(b"PKG-INFO", PKG_INFO), "prefix", b"foo-1.0") + END,
    "a folder, a link": file(b"foo-1.0/", kind=b"5") + file(b"foo-1.0/l", kind=b"2") + REST,
}


@pytest.mark.parametrize("shown", SOUND)
def test_what_is_sound_is_read_as_tarfile_reads_it(shown: str) -> None:
    content = gzip.compress(SOUND[shown], 1, mtime=0)
    assert sdist_metadata(io.BytesIO(content), FILENAME).source == "PKG-INFO"
    assert difference(content) is None


def test_tars_that_were_tampered_with_are_seen_as_tarfile_sees_them_or_refused() -> None:
    found = Counter(outcome for _, outcome in outcomes(iter(range(4000))))
    # It would find nothing if nothing were read, or nothing were refused.
    assert found["same"] > 300
    assert len(found) > 40


def test_the_same_seed_gives_the_same_tar() -> None:
    assert tampered(5) == tampered(5) != tampered(6)
