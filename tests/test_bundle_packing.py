"""How contents are packed: never over the volume, all there exactly once, and the same for the same files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_tasks.errors import IntegrityError
from mirror_tasks.transfer import packing, volumes
from mirror_tasks.transfer.assembly import Assembly
from mirror_tasks.transfer.manifest import (
    MOST_VOLUMES,
    Base,
    Made,
    Manifest,
    StateFile,
    check_files,
    from_bytes,
    to_bytes,
)
from mirror_tasks.transfer.packing import Volumes, lay_out
from mirror_tasks.transfer.volumes import BLOCK, TooSmallError

MADE = Made("2026-11-26T12:00:00Z", "mirror-tasks 0.2.0", "a" * 64)
names = st.text("abcdefgh", min_size=1, max_size=3)
paths = st.lists(names, min_size=2, max_size=3).map(lambda parts: "/".join(["packages", *parts, "x.whl"]))
sizes = st.one_of(st.integers(0, 5 * BLOCK), st.sampled_from([0, 1, BLOCK, BLOCK + 1, 40 * BLOCK, 200 * BLOCK + 7]))
files_of_a_state = st.dictionaries(paths, sizes, max_size=30)


def state(files: dict[str, int]) -> list[StateFile]:
    return [StateFile(path, hashlib.sha256(path.encode()).hexdigest(), size) for path, size in sorted(files.items())]


def proposal(files: Sequence[StateFile]) -> Manifest:
    return Manifest(
        stream="main", sequence=1, base=None, made=MADE, keep={"plans": 1}, volumes=1, files=files, contents=()
    )


def digests(file: StateFile, parts: Sequence[int]) -> list[str]:
    return [hashlib.sha256(f"{file.path}{number}".encode()).hexdigest() for number in range(len(parts))]


def takes(paths: dict[str, int]) -> int:
    """Return what a folder takes, reckoned otherwise than the packer does: folder by folder."""
    folders = {path.rsplit("/", depth)[0] for path in paths for depth in range(1, path.count("/") + 1)}
    return sum(max(1, -(-size // BLOCK)) * BLOCK for size in paths.values()) + BLOCK * len(folders)


def lay(files: list[StateFile], most: int | None, program: int = 5000) -> Manifest:
    layout = lay_out(proposal(files), files, Volumes(most=most, signatures=1, program=program), digests)
    manifest = from_bytes(layout.content)
    for number in range(1, manifest.volumes + 1):
        there = {
            f"main-1/volume/files/{part.place}": part.size
            for content in manifest.contents
            for part in content.parts
            if part.volume == number
        }
        own = {
            "manifest.json": len(layout.content),
            "manifest.json.ssh": 8000,
            "volume.json": 100,
            "receive.py": program,
        }
        there |= {f"main-1/volume/{name}": size for name, size in own.items()}
        there["main-1/volume/files/"] = 0  # the folder is there, even where nothing is in it
        assert most is None or takes(there) - BLOCK <= most
        assert len({place.lower() for place in there}) == len(there)
    return manifest


@given(files_of_a_state, st.integers(20 * BLOCK, 60 * BLOCK))
def test_no_volume_takes_more_than_was_said(files: dict[str, int], most: int) -> None:
    lay(state(files), most)


@given(files_of_a_state, st.one_of(st.none(), st.integers(20 * BLOCK, 60 * BLOCK)))
def test_each_content_is_carried_once_and_whole(files: dict[str, int], most: int | None) -> None:
    there = state(files)
    manifest = lay(there, most)
    assert [(one.sha256, one.size) for one in manifest.contents] == sorted((one.sha256, one.size) for one in there)
    for content in manifest.contents:
        assert sum(part.size for part in content.parts) == content.size
        assert {part.volume for part in content.parts} <= set(range(1, manifest.volumes + 1))
    assert {part.volume for one in manifest.contents for part in one.parts} == set(range(1, manifest.volumes + 1)) or (
        not there
    )


@given(files_of_a_state, st.integers(20 * BLOCK, 60 * BLOCK), st.randoms())
def test_the_same_files_are_packed_the_same_in_whatever_order_they_come(
    files: dict[str, int], most: int, order: object
) -> None:
    there = state(files)
    shuffled = list(there)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    given_so = Volumes(most=most, signatures=0, program=0)
    one, other = (lay_out(proposal(there), carried, given_so, digests) for carried in (there, shuffled))
    assert one.content == other.content


def test_a_file_stays_whole_where_it_fits_and_is_cut_where_it_does_not() -> None:
    small, large = (
        StateFile("packages/a/a.whl", "a" * 64, 30 * BLOCK),
        StateFile("packages/b/b.whl", "b" * 64, 90 * BLOCK),
    )
    manifest = lay([small, large], 50 * BLOCK)
    parts = {one.sha256: [part.place for part in one.parts] for one in manifest.contents}
    assert parts["a" * 64] == ["packages/a/a.whl"]
    assert parts["b" * 64] == [f"packages/b/b.whl.part-{number}-of-3" for number in (1, 2, 3)]


def test_what_no_fat_can_have_is_cut_where_no_volume_is_said_too() -> None:
    manifest = lay([StateFile("packages/b/b.whl", "b" * 64, 1 << 32)], None)
    assert manifest.volumes == 1
    assert [part.size for part in manifest.contents[0].parts] == [(1 << 32) - BLOCK, BLOCK]


def test_volumes_that_are_too_small_are_refused_with_the_size_that_is_needed() -> None:
    there = state({"packages/a/a.whl": 10})
    with pytest.raises(TooSmallError) as caught:
        lay_out(proposal(there), there, Volumes(most=5 * BLOCK, signatures=1, program=100), digests)
    lay(there, caught.value.needed, program=100)


def test_many_volumes_that_have_a_little_room_each_do_not_begin_a_new_one_for_each_file() -> None:
    large = [(f"packages/a/{number:03}.whl", 6 * BLOCK) for number in range(200)]
    small = [(f"packages/b/{number:03}.whl", 3 * BLOCK) for number in range(200)]
    packed = volumes.pack([*large, *small], 10 * BLOCK)
    assert max(part.volume for parts in packed for part in parts) <= 320


def test_the_volumes_of_a_bundle_have_numbers_that_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_VOLUMES == 9_999
    monkeypatch.setattr(packing, "MOST_VOLUMES", 99)
    there = state({f"packages/{number}/a.whl": 4000 * BLOCK for number in range(100)})
    with pytest.raises(ValueError, match="at most 99 volumes, found 100"):
        lay_out(proposal(there), there, Volumes(most=6000 * BLOCK, signatures=0, program=0), digests)


@given(files_of_a_state, st.one_of(st.none(), st.just(Base(3, "c" * 64))))
def test_a_manifest_is_canonical_json_and_reads_back_as_it_was(files: dict[str, int], base: Base | None) -> None:
    there = state(files)
    one = lay_out(
        Manifest(**{**{n: getattr(proposal(there), n) for n in Manifest.__dataclass_fields__}, "base": base}), there,
        Volumes(most=None, signatures=0, program=0), digests,
    )  # fmt: skip
    document = json.loads(one.content)
    again = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
    assert again == one.content
    assert to_bytes(from_bytes(one.content)) == one.content
    assert from_bytes(one.content).base == base


def test_what_moved_in_the_mirror_since_is_taken_from_where_it_is_now() -> None:
    manifest = lay(state({"packages/a/a.whl": 10, "packages/b/b.whl": 20}), None)
    gone, moved = (hashlib.sha256(path.encode()).hexdigest() for path in ("packages/a/a.whl", "packages/b/b.whl"))
    assembly = Assembly(
        manifest=manifest,
        content=b"",
        digest="",
        folder=Path("main-1"),
        beside={},
        output=Path("mirror"),
        sums={"packages/c/b.whl": moved},
    )
    (volume,) = assembly.volumes()
    assert {piece.sha256: piece.source for piece in volume.pieces} == {
        gone: Path("mirror/packages/a/a.whl"),
        moved: Path("mirror/packages/c/b.whl"),
    }


@pytest.mark.parametrize(
    "path",
    [
        "packages/con/con-1.0.whl",
        "packages/a/LPT1.whl",
        "packages/a/.hidden",
        "packages/a/a.",
        "packages/../a",
        "packages//a",
        "/packages/a",
        "packages/a:b",
        "packages/a\nb",
        "packages/" + "a" * 256,
        "packages/" + "é" * 128,
        "packages/" + "/".join(["abcdefgh"] * 50),
        "notes.txt",
        "other/a",
        "simple",
    ],
)
def test_a_path_that_inside_would_refuse_is_refused_before_it_is_carried(path: str) -> None:
    with pytest.raises(IntegrityError, match="Inside it could not be put in place"):
        check_files([StateFile(path, "a" * 64, 1)])


def test_a_manifest_that_is_longer_than_inside_reads_is_refused_before_it_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = state({"packages/a/a.whl": 1})
    length = len(to_bytes(proposal(there)))
    monkeypatch.setattr("mirror_tasks.transfer.manifest.LARGEST", length)
    to_bytes(proposal(there))
    monkeypatch.setattr("mirror_tasks.transfer.manifest.LARGEST", length - 1)
    with pytest.raises(IntegrityError, match=f"at most {length - 1} bytes, found {length}"):
        to_bytes(proposal(there))


def test_two_paths_that_are_one_on_windows_are_refused_with_both_names() -> None:
    with pytest.raises(IntegrityError, match=r"'packages/a/A-1.whl'.*'packages/a/a-1.whl'"):
        check_files([StateFile("packages/a/a-1.whl", "a" * 64, 1), StateFile("packages/a/A-1.whl", "b" * 64, 1)])


@pytest.mark.parametrize("path", ["SHA256SUMS", "simple/index.v1_json.gz", "packages/console/console-1.0+cu1.whl"])
def test_the_paths_of_a_mirror_are_taken(path: str) -> None:
    check_files([StateFile(path, "a" * 64, 1)])
