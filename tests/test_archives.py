"""An archive that lies is refused, with a line that says why; nothing is extracted, and no read is unbounded."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_tasks.archives import tar as tar_reader
from mirror_tasks.archives import zip as zip_reader
from mirror_tasks.archives.core_metadata import parse_metadata
from mirror_tasks.archives.members import safe_path
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.archives.tar import tar_members
from mirror_tasks.archives.untrusted import BrokenError
from mirror_tasks.archives.wheel import wheel_metadata
from mirror_tasks.archives.zip import zip_members
from mirror_tasks.errors import MetadataError
from tests.making import EPOCH, sdist, tar_gz_of, tar_of, wheel, zip_of

NAME, WHEEL = wheel("Foo.Bar", "1.0", requires=["baz>=2"])
INFO = "foo_bar-1.0.dist-info"
METADATA = b"Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\nRequires-Dist: baz>=2\n"
TAR_NAME, TAR = sdist("Foo.Bar", "1.0", requires=["baz>=2"])
ROOT = "foo_bar-1.0"
PKG_INFO = METADATA.replace(b"2.1", b"2.2")


def why_refused(read: Callable[[io.BytesIO, str], object], content: bytes, filename: str) -> str:
    """Return what is wrong, having checked that it is one readable line that names the file."""
    with pytest.raises(MetadataError) as caught:
        read(io.BytesIO(content), filename)
    problem = caught.value.problem
    assert caught.value.subject == filename
    assert "\n" not in str(caught.value)
    assert 10 < len(problem) < 400
    return problem


def why_wheel(content: bytes, filename: str = NAME) -> str:
    return why_refused(wheel_metadata, content, filename)


def why_sdist(content: bytes, filename: str = TAR_NAME) -> str:
    return why_refused(sdist_metadata, content, filename)


def metadata_of(content: bytes) -> bytes:
    return wheel_metadata(io.BytesIO(content), NAME)


def wheel_of(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for path, content in members:
            archive.writestr(zipfile.ZipInfo(path, EPOCH) if isinstance(path, str) else path, content, compression)
    return stream.getvalue()


def tar_entry(path: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def summed(header: bytes | bytearray) -> bytes:
    """Return a tar's header with the sum that it has to have."""
    total = sum(header[:148]) + 8 * 32 + sum(header[156:512])
    return bytes(header[:148]) + b"%06o\0 " % total + bytes(header[156:])


def requires_of(*members: tuple[tarfile.TarInfo, bytes]) -> tuple[str, ...]:
    return sdist_metadata(io.BytesIO(tar_gz_of(members)), TAR_NAME).requires_dist


def gz(content: bytes, level: int = 1) -> bytes:
    return gzip.compress(content, level, mtime=0)


class Ranges(io.RawIOBase):
    """A wheel that is fetched as it is read, and counts what was."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at, self.fetched = content, 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, len(self._content))[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size < 0 else self._at + size
        content = self._content[self._at : end]
        self._at += len(content)
        self.fetched += len(content)
        return content


# What is right is read


def test_metadata_is_what_the_wheel_holds_to_the_byte() -> None:
    assert metadata_of(wheel_of((f"{INFO}/METADATA", METADATA))) == METADATA
    assert metadata_of(wheel_of((f"{INFO}/METADATA", METADATA), compression=zipfile.ZIP_DEFLATED)) == METADATA


def test_only_the_end_of_a_wheel_is_fetched() -> None:
    _, big = wheel("Foo.Bar", "1.0", files={"foo_bar/data.bin": bytes(5_000_000)})
    ranges = Ranges(big)
    wheel_metadata(ranges, NAME)  # type: ignore[arg-type]
    assert ranges.fetched < 10_000


@functools.cache
def wheel_of_many_members() -> bytes:
    """Return a wheel of more members than the end record of a plain zip can count."""
    members = [(f"foo_bar/{number}", b"") for number in range(66_000)]
    return wheel_of((f"{INFO}/METADATA", METADATA), *members)


def test_a_wheel_with_more_members_than_a_plain_zip_can_count_is_read() -> None:
    assert metadata_of(wheel_of_many_members()) == METADATA


def test_a_folder_of_the_wheel_may_be_spelled_in_any_way_that_normalises_to_its_release() -> None:
    assert metadata_of(wheel_of(("Foo.Bar-1.0.0.dist-info/METADATA", METADATA))) == METADATA


# Zips that lie


def test_a_file_that_is_no_zip_is_refused() -> None:
    assert "expected a zip" in why_wheel(b"")
    assert "expected a zip" in why_wheel(b"<!DOCTYPE html><html><body>404</body></html>")
    assert "expected a zip" in why_wheel(TAR)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_wheel_cut_short_is_refused(kept: float) -> None:
    assert "cut short" in why_wheel(WHEEL[: int(len(WHEEL) * kept)])


def test_what_was_appended_to_a_wheel_is_refused() -> None:
    assert "appended" in why_wheel(WHEEL + b"junk")
    assert "appended" in why_wheel(WHEEL[:-2] + struct.pack("<H", 4) + b"junk")
    assert "appended" in why_wheel(WHEEL[:-2] + struct.pack("<H", 4))


def test_what_was_put_before_a_wheel_is_refused() -> None:
    assert "put in before or between" in why_wheel(b"#!/bin/sh\n" + WHEEL)
    assert "put in before or between" in why_wheel(WHEEL[:-22] + b"junk" + WHEEL[-22:])


def test_a_prefix_that_the_offsets_were_adjusted_to_is_refused() -> None:
    stream = io.BytesIO()
    stream.write(b"#!/usr/bin/env python\n")
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(f"{INFO}/METADATA", METADATA)
    assert "something before it" in why_wheel(stream.getvalue())


def test_a_zip_behind_another_zip_is_refused() -> None:
    other = wheel_of((f"{INFO}/METADATA", METADATA.replace(b"baz>=2", b"evil")))
    assert "put in before or between" in why_wheel(other + WHEEL)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_wheel_with_two_metadata_is_refused_whichever_would_win() -> None:
    twice = wheel_of((f"{INFO}/METADATA", METADATA), (f"{INFO}/METADATA", METADATA.replace(b"baz", b"evil")))
    assert f"expected one {INFO}/METADATA, found 2" in why_wheel(twice)


def test_a_wheel_with_two_dist_infos_is_refused() -> None:
    two = wheel_of((f"{INFO}/METADATA", METADATA), ("evil-1.0.dist-info/METADATA", METADATA))
    assert f"expected one .dist-info folder, found {INFO}, evil-1.0.dist-info" in why_wheel(two)


def test_a_wheel_without_metadata_is_refused() -> None:
    assert "expected one .dist-info folder, found none" in why_wheel(wheel_of(("foo_bar.py", b"")))
    assert f"expected one {INFO}/METADATA, found 0" in why_wheel(wheel_of((f"{INFO}/WHEEL", b"")))
    assert "expected one .dist-info folder, found none" in why_wheel(wheel_of((f"deeper/{INFO}/METADATA", METADATA)))


@pytest.mark.parametrize("folder", ["evil-1.0.dist-info", "foo-1.0.dist-info", ".dist-info"])
def test_a_wheel_whose_folder_is_of_another_project_is_refused(folder: str) -> None:
    assert f"another project: {folder}" in why_wheel(wheel_of((f"{folder}/METADATA", METADATA)))


def test_a_folder_in_capitals_is_refused_as_installers_refuse_it() -> None:
    assert "expected one .dist-info folder" in why_wheel(wheel_of((f"{INFO.upper()}/METADATA", METADATA)))


# What pip and uv install; which release it is, METADATA says.
@pytest.mark.parametrize("folder", ["foo_bar-0.9.dist-info", "foo_bar-one.dist-info", "foo_bar.dist-info"])
def test_a_folder_of_the_wheel_may_spell_its_version_otherwise(folder: str) -> None:
    assert metadata_of(wheel_of((f"{folder}/METADATA", METADATA))) == METADATA


@pytest.mark.parametrize("path", ["/etc/passwd", "../evil.py", "foo_bar/../../evil.py", "foo_bar/.."])
def test_a_path_that_leads_out_of_the_archive_is_refused(path: str) -> None:
    assert repr(path) in why_wheel(wheel_of((f"{INFO}/METADATA", METADATA), (path, b"")))
    assert repr(path) in why_sdist(tar_gz_of([tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO), tar_entry(path)]))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("a/b", "a/b"), ("./a", "a"), ("a/./b", "a/b"), ("a//b", "a/b"), ("a/", "a"), ("a/.", "a"), ("./", "")),
        *(("a.", "a."), ("a./b", "a./b"), ("..a", "..a"), ("a..", "a.."), ("x" * 4096, "x" * 4096)),
    ],
)
def test_a_path_is_compared_without_what_leads_nowhere(name: str, path: str) -> None:
    assert safe_path(name) == path


@pytest.mark.parametrize("name", ["/a", "..", "a/..", "../a", "a/../b", "a\0b", "x" * 4097, "../" + "x" * 10_000])
def test_a_path_that_leads_out_or_that_no_system_takes_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(BrokenError) as refused:
        safe_path(name)
    assert len(str(refused.value)) < 300


def test_a_name_with_a_nul_in_it_is_refused() -> None:
    hidden = wheel_of((f"{INFO}/METADATA", METADATA), ("foo_bar.py_evil", b"")).replace(b"py_evil", b"py\0evil")
    assert "paths inside the archive" in why_wheel(hidden)


def test_metadata_that_is_a_link_is_refused() -> None:
    link = zipfile.ZipInfo(f"{INFO}/METADATA", EPOCH)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert "not a regular file" in why_wheel(wheel_of((link, b"/etc/passwd")))


def test_encrypted_metadata_is_refused() -> None:
    content = bytearray(wheel_of((f"{INFO}/METADATA", METADATA)))
    central = content.index(b"PK\1\2")
    content[central + 8] |= 1
    assert why_wheel(bytes(content)) == f"{INFO}/METADATA is encrypted"


def test_metadata_compressed_as_no_wheel_is_is_refused() -> None:
    lzma = wheel_of((f"{INFO}/METADATA", METADATA), compression=zipfile.ZIP_LZMA)
    assert "found compression 14" in why_wheel(lzma)


def test_a_zip_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = METADATA + b"\n" + bytes(5_000_000)
    packed = wheel_of((f"{INFO}/METADATA", bomb), compression=zipfile.ZIP_DEFLATED)
    assert len(packed) < 20_000
    assert "a zip bomb" in why_wheel(packed)


def test_a_size_beyond_reason_is_refused_by_what_the_directory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in (zip_reader, tar_reader):
        monkeypatch.setattr(reader, "LARGEST_MEMBER", 1000)
    assert "has 1,080 bytes" in why_wheel(wheel_of((f"{INFO}/METADATA", METADATA.ljust(1080))))
    assert "has 1,080 bytes" in why_sdist(tar_gz_of([tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO.ljust(1080))]))


def test_a_member_bigger_than_its_directory_says_is_refused() -> None:
    content = bytearray(wheel_of((f"{INFO}/METADATA", METADATA + bytes(100)), compression=zipfile.ZIP_DEFLATED))
    central = content.index(b"PK\1\2")
    content[central + 24 : central + 28] = struct.pack("<L", 10)
    assert "another size" in why_wheel(bytes(content))
    content[22:26] = struct.pack("<L", 10)
    assert "damaged" in why_wheel(bytes(content))


def test_a_changed_byte_in_metadata_is_noticed() -> None:
    assert "Bad CRC-32" in why_wheel(wheel_of((f"{INFO}/METADATA", METADATA)).replace(b"baz>=2", b"bax>=2", 1))


def test_a_directory_that_names_a_member_otherwise_than_the_member_does_is_refused() -> None:
    first, sep, rest = wheel_of((f"{INFO}/METADATA", METADATA)).partition(b"PK\1\2")
    assert "another name in its header" in why_wheel(first.replace(b"METADATA", b"METADATE") + sep + rest)


def with_extra(path: str, extra: bytes) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(path, EPOCH)
    member.extra = extra
    return member


def unicode_path(old: str, new: str) -> bytes:
    """Return Info-ZIP's extra field that gives a member another name."""
    content = struct.pack("<BL", 1, zlib.crc32(old.encode())) + new.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


def test_a_member_with_a_second_name_is_refused_for_newer_pips_read_the_other() -> None:
    metadata, other = f"{INFO}/METADATA", f"{INFO}/OTHER"
    renamed, alias = unicode_path(metadata, other), unicode_path(other, metadata)
    content = wheel_of((with_extra(metadata, renamed), METADATA), (with_extra(other, alias), METADATA))
    assert "a second name" in why_wheel(content)
    assert "a second name" in why_wheel(wheel_of((metadata, METADATA), (with_extra(other, b"\1\0\0\0" + alias), b"")))
    assert "a second name" in why_sdist(wheel_of((with_extra(f"{ROOT}/x", alias), b"")), "foo_bar-1.0.zip")
    # Between others, and in the header before the member alone.
    local = content.replace(renamed, b"\7\7" + renamed[2:]).replace(alias, b"\7\7" + alias[2:])
    assert metadata_of(local) == METADATA
    assert "another name in its header" in why_wheel(local.replace(b"\7\7" + alias[2:], alias, 1))


@pytest.mark.parametrize("changed", ["foo_bar.py", f"{INFO}/WHEEL"])
def test_a_header_that_names_any_member_otherwise_is_refused_for_uv_goes_by_it(changed: str) -> None:
    content = wheel_of((f"{INFO}/METADATA", METADATA), (changed, b"pass"), ("last", b""))
    other = content.replace(changed.encode(), changed.encode()[:-1] + b"_", 1)
    assert "another name in its header" in why_wheel(other)
    # All headers are read where the whole wheel is here; elsewhere each would be a request.
    assert wheel_metadata(io.BytesIO(other), NAME, whole=False) == METADATA
    first = content.replace(b"METADATA", b"METADATE", 1)
    with pytest.raises(MetadataError, match="another name in its header"):  # that of what is read is, everywhere
        wheel_metadata(io.BytesIO(first), NAME, whole=False)


def test_a_header_that_says_of_its_name_alone_that_it_is_utf_8_is_refused() -> None:
    """Some readers take the other name: a name in bytes above 127 is one text in UTF-8 and another one in code page 437."""
    content = bytearray(wheel_of((f"{INFO}/METADATA", METADATA)))
    assert content[7] & 8 == 0
    content[7] |= 8
    assert "another name in its header" in why_wheel(bytes(content))


def test_names_beyond_ascii_are_read_in_utf_8_and_in_code_page_437() -> None:
    assert metadata_of(wheel_of((f"{INFO}/METADATA", METADATA), ("foo_bar/\u00e4.py", b""))) == METADATA
    plain = wheel_of((f"{INFO}/METADATA", METADATA), ("foo_bar/a.py", b""))
    assert metadata_of(plain.replace(b"foo_bar/a", b"foo_bar/\x84")) == METADATA


def test_a_member_that_the_directory_does_not_list_is_refused() -> None:
    """Hidden between two members, and in the end record's count."""
    hidden = wheel_of((f"{INFO}/METADATA", METADATA.replace(b"baz", b"evil"))).partition(b"PK\1\2")[0]
    content = wheel_of(("a", b""), (f"{INFO}/METADATA", METADATA))
    first, rest = content[:31], content[31:]
    moved = bytearray(first + hidden + rest)
    second = moved.rindex(b"PK\1\2")
    moved[second + 42 : second + 46] = struct.pack("<L", 31 + len(hidden))
    moved[-6:-2] = struct.pack("<L", struct.unpack("<L", moved[-6:-2])[0] + len(hidden))
    assert "something between it and the next member" in why_wheel(bytes(moved))
    fewer = content[:-14] + struct.pack("<HH", 1, 1) + content[-10:]
    assert "expected 1 members" in why_wheel(fewer)


def test_two_end_records_that_say_different_things_are_refused() -> None:
    content = wheel_of_many_members()
    assert "two end records" in why_wheel(content[:-14] + struct.pack("<HH", 5, 5) + content[-10:])
    assert "one part" in why_wheel(WHEEL[:-18] + b"\1\0" + WHEEL[-16:])


@pytest.mark.parametrize(
    "alias",
    [
        *(f"{INFO}\\METADATA", f"{INFO}/Metadata", f"{INFO.upper()}/METADATA", f"{INFO}/METADATA."),
        f"{INFO.replace('s', chr(0x17F))}/METADATA",  # a letter that is an s where case is ignored
    ],
)
def test_a_name_that_is_metadata_s_on_some_systems_is_refused(alias: str) -> None:
    content = wheel_of((f"{INFO}/METADATA", METADATA), (alias, METADATA.replace(b"baz", b"evil")))
    assert "found" in why_wheel(content)
    assert "found" in why_wheel(wheel_of((alias, METADATA)))


def test_a_zip_that_was_written_as_a_stream_is_read() -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("foo_bar/\xe9.py", EPOCH), "pass")
        with archive.open(zipfile.ZipInfo(f"{INFO}/METADATA", EPOCH), "w", force_zip64=True) as member:
            member.write(METADATA)
    assert metadata_of(stream.getvalue()) == METADATA


def test_members_that_overlap_are_refused() -> None:
    content = bytearray(wheel_of((f"{INFO}/METADATA", METADATA), ("foo_bar.py", b"pass")))
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = struct.pack("<L", 40)
    assert "overlaps another" in why_wheel(bytes(content))


def test_a_directory_beyond_reason_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_reader, "LARGEST_DIRECTORY", 500)
    assert "more than the 500 that are read" in why_wheel(zip_of({f"foo_bar/{number}": b"" for number in range(20)}))


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for reader in (zip_reader, tar_reader):
        monkeypatch.setattr(reader, "MOST_MEMBERS", 100)
    many = {f"{ROOT}/{number}": b"" for number in range(500)}
    assert "more than 100 members" in why_wheel(zip_of(many))
    assert "more than 100 members" in why_sdist(tar_gz_of(many))


def test_an_empty_zip_is_refused() -> None:
    assert "no members" in why_wheel(zip_of({}))


def in_directory(content: bytes, at: int, replacement: bytes) -> bytes:
    """Return a zip with something else in the last entry of its directory."""
    begin = content.rindex(b"PK\1\2") + at
    return content[:begin] + replacement + content[begin + len(replacement) :]


def test_a_damaged_directory_is_refused() -> None:
    content = wheel_of((f"{INFO}/METADATA", METADATA), (with_extra("last", b"\7\7\1\0x"), b""))
    assert metadata_of(content) == METADATA
    assert "none that is known" in why_wheel(in_directory(content, 0, b"PK\3\4"))
    assert "none that is known" in why_wheel(in_directory(content, 6, b"\x40"))  # by version 6.4 of the format
    assert "extra field is cut short" in why_wheel(in_directory(content, 46 + len("last") + 2, b"\2"))
    assert "entry of the zip's directory is cut short" in why_wheel(in_directory(content, 32, b"\1"))


def test_a_wheel_of_a_writer_that_says_its_system_beside_the_version_that_is_needed_is_read_as_zipfile_reads_it() -> (
    None
):
    content = wheel_of((f"{INFO}/METADATA", METADATA))
    assert metadata_of(in_directory(content, 7, b"\3")) == METADATA


def test_numbers_that_have_no_room_in_the_directory_are_read_from_its_extra_field() -> None:
    sizes = struct.pack("<HHQQ", 1, 16, len(METADATA), len(METADATA))
    content = wheel_of((with_extra(f"{INFO}/METADATA", sizes), METADATA))
    assert metadata_of(in_directory(content, 20, b"\xff" * 8)) == METADATA
    assert "overlaps" in why_wheel(in_directory(content.replace(sizes, b"\7" + sizes[1:]), 20, b"\xff" * 8))
    fewer = struct.pack("<HHQL", 1, 12, len(METADATA), 0)
    short = wheel_of((with_extra(f"{INFO}/METADATA", fewer), METADATA))
    assert "damaged" in why_wheel(in_directory(short, 20, b"\xff" * 8))


# Tars that lie


def test_a_file_that_is_no_gzipped_tar_is_refused() -> None:
    for content in (b"", b"<html>404</html>", WHEEL, tar_of({f"{ROOT}/PKG-INFO": PKG_INFO}), gz(b"not a tar" * 100)):
        assert why_sdist(content)


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9])
def test_an_sdist_cut_short_is_refused(kept: float) -> None:
    noise = b"".join(struct.pack("<Q", number * 0x9E3779B97F4A7C15 % 2**64) for number in range(5000))
    content = tar_gz_of({f"{ROOT}/PKG-INFO": PKG_INFO, f"{ROOT}/noise": noise})
    assert "damaged" in why_sdist(content[: int(len(content) * kept)])


def test_a_tar_cut_short_inside_sound_gzip_is_refused() -> None:
    assert "ends in the middle" in why_sdist(
        gz(tar_of({f"{ROOT}/PKG-INFO": PKG_INFO, f"{ROOT}/x": bytes(9000)})[:3000])
    )


@pytest.mark.parametrize("between", [b"", bytes(100), b"junk"])
def test_an_sdist_gzipped_in_several_pieces_is_refused_for_uv_sees_the_first_only(between: bytes) -> None:
    content = tar_of({f"{ROOT}/a": bytes(3000), f"{ROOT}/PKG-INFO": PKG_INFO})
    assert "something behind it" in why_sdist(gz(content[:1024]) + between + gz(content[1024:]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_no_link_is_followed(kind: bytes) -> None:
    link = tar_entry(f"{ROOT}/PKG-INFO", type=kind, linkname="/etc/passwd")
    assert f"{ROOT}/PKG-INFO is not a regular file" in why_sdist(tar_gz_of([tar_entry(f"{ROOT}/setup.py"), link]))


@pytest.mark.parametrize("kind", [b"3", b"4", b"6", b"7", b"S", b"X", b"V", b"A", b"\xff"])
def test_no_device_is_read_nor_any_other_kind_that_sdists_do_not_have(kind: bytes) -> None:
    device = tar_entry(f"{ROOT}/x", type=kind)
    assert "a member of the kind" in why_sdist(tar_gz_of([tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO), device]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("path", ["link", "link/pyproject.toml", "LINK/x", "link\\x"])
def test_a_member_that_would_be_written_through_a_link_is_refused(path: str, kind: bytes) -> None:
    link = tar_entry(f"{ROOT}/link", type=kind, linkname=".")
    members = [tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO), link, tar_entry(f"{ROOT}/{path}", b"x")]
    assert "would be written through a link" in why_sdist(tar_gz_of(members))


@pytest.mark.parametrize(
    "path", ["pyproject.TOML", "PyProject.toml", "pyproject.toml.", "pyproject.toml::$DATA", "pkg-info"]
)
def test_a_file_that_is_another_one_on_some_systems_is_refused(path: str) -> None:
    members = {f"{ROOT}/PKG-INFO": PKG_INFO, f"{ROOT}/pyproject.toml": b"", f"{ROOT}/{path}": b"evil"}
    assert "by some systems" in why_sdist(tar_gz_of(members))
    assert "by some systems" in why_sdist(zip_of(members), "foo_bar-1.0.zip")


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("path", ["P\u212aG-INFO", "foo_bar.egg-info/require\u017f.txt"])  # Kelvin's sign, the long s
def test_letters_that_some_systems_take_for_others_are_seen_in_each_kind_of_tar(path: str, kind: int) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=kind) as tar:
        for name in ("PKG-INFO", "one.py", "two.py", path, "three.py"):
            content = PKG_INFO if name == "PKG-INFO" else b""
            member, _ = tar_entry(f"{ROOT}/{name}", content)
            tar.addfile(member, io.BytesIO(content))
    assert "by some systems" in why_sdist(stream.getvalue())


@pytest.mark.parametrize("path", ["pyproject.toml", "other/pyproject.toml", f"{ROOT}\\pyproject.toml", "._x/PKG-INFO"])
def test_what_stands_beside_the_folder_is_refused_for_pip_would_build_from_it(path: str) -> None:
    members = {f"{ROOT}/PKG-INFO": PKG_INFO, path: b"evil"}
    assert "expected one folder" in why_sdist(tar_gz_of(members))
    assert "expected one folder" in why_sdist(zip_of(members), "foo_bar-1.0.zip")


def test_links_that_nobody_reads_do_no_harm() -> None:
    link = tar_entry(f"{ROOT}/docs", type=tarfile.SYMTYPE, linkname="../../etc")
    assert requires_of(link, tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO)) == ("baz>=2",)


def test_a_file_that_is_there_twice_and_differs_is_refused_whichever_would_win() -> None:
    other = PKG_INFO.replace(b"baz", b"evil")
    twice = [tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO), tar_entry(f"./{ROOT}//PKG-INFO", other)]
    assert "is there twice, and differs" in why_sdist(tar_gz_of(twice))
    assert "is there twice, and differs" in why_sdist(tar_gz_of(twice[::-1]))


def test_a_file_that_is_there_twice_but_the_same_is_read() -> None:
    assert requires_of(*[tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO)] * 2) == ("baz>=2",)


def test_a_gzip_bomb_is_refused_when_it_passes_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_reader, "_HARMLESS_TAR", 1_000_000)
    bomb = gz(tar_of({f"{ROOT}/zeros": bytes(8_000_000), f"{ROOT}/PKG-INFO": PKG_INFO}), level=9)
    assert len(bomb) < 20_000
    assert "a bomb" in why_sdist(bomb)


def test_zeros_behind_the_end_of_a_tar_are_not_read() -> None:
    content = tar_of({f"{ROOT}/PKG-INFO": PKG_INFO}) + bytes(80_000_000)
    assert sdist_metadata(io.BytesIO(gz(content)), TAR_NAME).requires_dist == ("baz>=2",)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_claims_gigabytes_is_refused_unread(kind: bytes) -> None:
    claim = tarfile.TarInfo("x")
    claim.type, claim.size = kind, 3 << 30
    content = claim.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    assert "a header of 3,221,225,472 bytes" in why_sdist(gz(content))


@pytest.mark.parametrize(
    "record", [b"0 path=x\n", b"-9 path=x\n", b"2 path=x\n", b"3 path=x\n", b"x path=y\n", b"path=\n"]
)
def test_a_pax_header_that_is_none_ends_reading(record: bytes) -> None:
    described = tar_entry("pax", record, type=tarfile.XHDTYPE)
    # A record of length 0 can keep a careless reader for ever: this test then does not end.
    assert "a pax header with a record that is none" in why_sdist(
        tar_gz_of([described, tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO)])
    )


def test_two_headers_that_give_a_member_two_paths_are_refused() -> None:
    name = tar_entry("././@LongLink", f"{ROOT}/PKG-INFO\0".encode(), type=tarfile.GNUTYPE_LONGNAME)
    pax = tar_entry("pax", b"20 path=foo/PKG-INF\n", type=tarfile.XHDTYPE)
    member = tar_entry("x", PKG_INFO)
    assert "two headers that describe one member" in why_sdist(tar_gz_of([name, pax, member]))


def test_an_sdist_as_uv_builds_it_is_read_which_says_each_path_and_size_once_more() -> None:
    def member(name: str, content: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
        records = (b" path=%b/%b\n" % (ROOT.encode(), name.encode()), b" size=%d\n" % len(content))
        said = b"".join(b"%d%b" % (len(one) + 2, one) for one in records)
        return [tar_entry("PaxHeaders/0", said, type=tarfile.XHDTYPE), tar_entry(f"{ROOT}/{name}", content)]

    pyproject = b'[build-system]\nrequires = ["uv_build>=0.11"]\nbuild-backend = "uv_build"\n'
    content = tar_gz_of([*member("PKG-INFO", PKG_INFO), *member("pyproject.toml", pyproject), *member("x/y.py", b"")])
    assert sdist_metadata(io.BytesIO(content), TAR_NAME).build_requires == ("uv_build>=0.11",)


def test_a_path_or_a_size_for_all_members_is_refused() -> None:
    every = tar_entry("pax", b"11 size=99\n", type=tarfile.XGLTYPE)
    assert "for all members" in why_sdist(tar_gz_of([every, tar_entry(f"{ROOT}/PKG-INFO", PKG_INFO)]))


def test_a_negative_size_is_refused() -> None:
    header = bytearray(tar_entry(f"{ROOT}/x")[0].tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\0"
    assert "a header whose sum is wrong" in why_sdist(gz(bytes(header) + bytes(1024)))
    assert "not in octal digits" in why_sdist(gz(summed(header) + bytes(1024)))


def test_a_hundred_thousand_members_are_passed_by() -> None:
    empty = tarfile.TarInfo(f"{ROOT}/x").tobuf(tarfile.USTAR_FORMAT)
    content = gz(empty * 100_000 + tar_of({f"{ROOT}/PKG-INFO": PKG_INFO}))
    assert sdist_metadata(io.BytesIO(content), TAR_NAME).requires_dist == ("baz>=2",)


# The tar reader is this project's own: it has to see what tarfile sees, which is what installers unpack with


def as_tarfile_sees(content: bytes) -> list[tuple[str, bool, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return [(one.name, one.isreg(), read_by_tarfile(archive, one)) for one in archive]


def read_by_tarfile(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None
    return stream.read() if stream else b""


def as_seen_here(content: bytes, endings: tuple[str, ...] = ("",)) -> list[tuple[str, bool, bytes]]:
    members = tar_members(io.BytesIO(content), TAR_NAME, endings)
    return [(one.path, one.is_file, one.read() if one.is_file else b"") for one in members]


PATHS = st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    stream = io.BytesIO()
    kind = draw(st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for number, parts in enumerate(draw(st.lists(PATHS, min_size=1, max_size=6))):
            top, name = draw(st.sampled_from(["m", "n"])), draw(st.sampled_from(["PKG-INFO", "x"]))
            path = "/".join([top, str(number), *(part for part in parts if part not in {".", ".."}), name])
            if kind == tarfile.USTAR_FORMAT:
                path = path.encode("ascii", "replace").decode()[:90].rstrip("/")
            entry, content = tar_entry(path, draw(st.binary(max_size=1500)), type=draw(KINDS), linkname="a" * 150)
            if kind == tarfile.USTAR_FORMAT:
                entry.linkname = "a"
            entry.mtime = draw(st.sampled_from([0, 1.5]))
            if not entry.isreg():
                entry.size, content = 0, b""
            archive.addfile(entry, io.BytesIO(content))
    return gz(stream.getvalue())


@given(tars())
def test_a_tar_is_seen_as_tarfile_sees_it(content: bytes) -> None:
    assert as_seen_here(content) == as_tarfile_sees(content)


@given(tars(), st.sampled_from([600, 2000, 1 << 18]))
def test_nothing_that_is_asked_for_is_passed_over_wherever_the_pieces_end(content: bytes, piece: int) -> None:
    everything = as_seen_here(content)
    with mock.patch.object(tar_reader, "_MOST_AT_ONCE", piece):
        found = as_seen_here(content, ("pkg-info",))
    assert [one for one in found if one[0].endswith("PKG-INFO")] == [
        one for one in everything if one[0].endswith("PKG-INFO")
    ]
    assert {path.partition("/")[0] for path, _, _ in found} == {path.partition("/")[0] for path, _, _ in everything}


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_files_that_nobody_asks_for_are_passed_over(kind: int) -> None:
    paths = ["foo-1.0/a", "foo-1.0/b", "foo-1.0/PKG-INFO", "foo-1.0/c/pkg-info", "foo-1.0/d", "bar/e", "bar/f"]
    entries = [tar_entry(path, b"x" * 700, mtime=1.5) for path in paths]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    found = [path for path, _, _ in as_seen_here(gz(stream.getvalue()), ("pkg-info",))]
    # The first file of each folder is looked at, so that the folder is known.
    assert found == ["foo-1.0/a", "foo-1.0/PKG-INFO", "foo-1.0/c/pkg-info", "bar/e"]


@pytest.mark.parametrize("path", ["foo-1.0/../evil", "foo-1.0/a/..", "/foo-1.0/evil"])
def test_a_path_that_leads_out_is_refused_also_where_nobody_asks_for_it(path: str) -> None:
    members = {"foo-1.0/a": b"", path: b"", "foo-1.0/PKG-INFO": PKG_INFO}
    assert "expected paths inside the archive" in why_sdist(tar_gz_of(members))


def test_a_member_without_a_name_is_refused() -> None:
    nameless = tar_entry("")[0].tobuf(tarfile.USTAR_FORMAT)
    assert "a member without a name" in why_sdist(gz(nameless + tar_of({f"{ROOT}/PKG-INFO": PKG_INFO})))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [99, 100, 101, 150, 190])
def test_a_long_path_is_seen_whole(length: int, kind: int) -> None:
    path = f"{ROOT}/".ljust(length // 2, "x") + "/" + "y" * (length - length // 2 - 1)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        archive.addfile(*tar_entry(path)[:1])
    assert [path for path, _, _ in as_seen_here(gz(stream.getvalue()))] == [path]


def test_a_file_named_like_a_folder_is_refused_for_readers_differ_on_it() -> None:
    for kind in (tarfile.AREGTYPE, tarfile.REGTYPE):
        header = tar_entry(f"{ROOT}/PKG-INFO/", type=kind)[0].tobuf(tarfile.USTAR_FORMAT)
        assert "named like a folder" in why_sdist(gz(header + bytes(1024)))


def test_a_damaged_deflate_stream_is_refused_in_a_wheel_and_in_an_sdist() -> None:
    content = bytearray(wheel_of((f"{INFO}/METADATA", METADATA * 20), compression=zipfile.ZIP_DEFLATED))
    start = 30 + len(f"{INFO}/METADATA")
    content[start : start + 8] = b"\xff" * 8
    assert "damaged" in why_wheel(bytes(content))
    damaged = bytearray(TAR)
    damaged[12:20] = b"\xff" * 8
    assert "damaged" in why_sdist(bytes(damaged))


# Whatever the bytes


def changed(content: bytes) -> st.SearchStrategy[bytes]:
    """Strategy: the content with a few bytes replaced, put in or taken out."""
    edits = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 20), st.binary(max_size=20))

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        result = content
        for at, removed, put in changes:
            result = result[:at] + put + result[at + removed :]
        return result

    return st.lists(edits, min_size=1, max_size=4).map(apply)


def outcomes(read: Callable[[], object]) -> Iterator[str]:
    try:
        read()
        yield "read"
    except MetadataError as error:
        yield str(error)


@given(changed(WHEEL))
def test_no_wheel_makes_reading_fail_otherwise_than_with_a_reason(content: bytes) -> None:
    assert all(outcomes(lambda: parse_metadata(metadata_of(content), NAME)))


SEVERAL = wheel_of(
    *((f"{INFO}/METADATA", METADATA), ("foo_bar/\u00e4.py", b"pass"), ("foo_bar/", b"")),
    *((with_extra("x", b"\1\0\0\0"), b"x" * 40), ("y", b"y" * 40)),
    compression=zipfile.ZIP_DEFLATED,
)


@given(changed(SEVERAL))
def test_a_zip_that_is_taken_is_seen_as_zipfile_sees_it_with_which_pip_unpacks(content: bytes) -> None:
    try:
        ours = {member.path: member.read() for member in zip_members(io.BytesIO(content))}
    except BrokenError:
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        theirs = {safe_path(entry.orig_filename): archive.read(entry) for entry in archive.infolist()}
    assert ours == theirs


@given(changed(gzip.decompress(TAR)))
def test_no_sdist_makes_reading_fail_otherwise_than_with_a_reason(content: bytes) -> None:
    assert all(outcomes(lambda: sdist_metadata(io.BytesIO(gz(content)), TAR_NAME)))


@given(changed(sdist("Foo.Bar", "1.0", "zip", requires=["baz"])[1]))
def test_no_zipped_sdist_makes_reading_fail_otherwise_than_with_a_reason(content: bytes) -> None:
    assert all(outcomes(lambda: sdist_metadata(io.BytesIO(content), "foo_bar-1.0.zip")))


def test_members_of_a_zip_are_listed_with_their_kind() -> None:
    members = {member.path: member.is_file for member in zip_members(io.BytesIO(zip_of({"a/b": b"", "a/": b""})))}
    assert members == {"a/b": True, "a": False}
