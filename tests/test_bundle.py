"""`doit bundle`: what is not inside yet, in volumes that are never larger than was said, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, mirror_folder, small_world, tree

NOON = "1764158400"  # a clock that stands


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path, index: FakeIndex) -> MirrorFolder:
    made = mirror_folder(tmp_path / "project", index, transfer={"sign": "none"})
    made.mirrored()
    return made


def said(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def bundle(project: MirrorFolder, *arguments: str, code: int = 0, **settings: str) -> str:
    return said(project.doit("bundle", "--unproven", *arguments, SOURCE_DATE_EPOCH=NOON, **settings), code)


def manifest_of(folder: Path) -> Any:
    """Return the manifest of a bundle, which is the same in each of its volumes."""
    (content,) = {path.read_bytes() for path in folder.glob("volume-*/manifest.json")}
    return json.loads(content)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the contents that a bundle carries by their SHA-256, as its manifest says where they are; nothing else is there."""
    manifest, there = manifest_of(folder), tree(folder)
    found: dict[str, bytes] = {}
    for sha256, size, parts in manifest["contents"]:
        pieces = []
        for volume, place, length, digest in parts:
            piece = there.pop(f"volume-{volume}-of-{manifest['volumes']}/files/{place}")
            assert (len(piece), hashlib.sha256(piece).hexdigest()) == (length, digest)
            pieces.append(piece)
        found[sha256] = b"".join(pieces)
        assert (len(found[sha256]), hashlib.sha256(found[sha256]).hexdigest()) == (size, sha256)
    own = {"manifest.json", "volume.json", "receive.py"}
    assert {path.rpartition("/")[2] for path in there} <= own
    return found


def test_the_first_bundle_carries_everything_once(project: MirrorFolder) -> None:
    output = bundle(project)
    assert "carries everything" in output
    assert "doit bundle --sent 1" in output
    folder = project.folder / "bundles" / "main-1"
    manifest, mirror = manifest_of(folder), tree(project.output)
    assert [path for path, _, _ in manifest["files"]] == sorted(mirror)
    assert {path: sha256 for path, sha256, _ in manifest["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in mirror.items()
    }
    assert manifest["base"] is None
    assert set(contents_of(folder).values()) == set(mirror.values())


def test_a_later_bundle_carries_what_the_one_that_was_sent_did_not_have(
    project: MirrorFolder, index: FakeIndex
) -> None:
    bundle(project)
    before = contents_of(project.folder / "bundles" / "main-1")
    bundle(project, "--sent", "1")
    index.add("alone", *wheel("alone", "3.1"))
    project.mirrored()
    assert "it builds on bundle 1, which was marked as sent" in bundle(project)
    folder = project.folder / "bundles" / "main-2"
    manifest, carried = manifest_of(folder), contents_of(folder)
    assert manifest["base"]["sequence"] == 1
    assert not carried.keys() & before.keys()
    assert {sha256 for _, sha256, _ in manifest["files"]} <= carried.keys() | before.keys()


def test_where_nothing_is_new_nothing_is_written(project: MirrorFolder) -> None:
    bundle(project)
    bundle(project, "--sent", "1")
    assert "Nothing is new since bundle 1" in bundle(project)
    assert [path.name for path in (project.folder / "bundles").iterdir()] == ["main-1"]


def test_a_mirror_that_is_not_proven_is_not_sent_unless_it_is_said(project: MirrorFolder, index: FakeIndex) -> None:
    assert "expected a mirror that is proven, found no proof" in said(project.doit("bundle"), 1)
    said(project.doit("prove", "--own"))
    said(project.doit("bundle"))
    proof = hashlib.sha256((project.state / "prove.json").read_bytes()).hexdigest()
    assert manifest_of(project.folder / "bundles" / "main-1")["made"]["proof"] == proof
    index.add("alone", *wheel("alone", "3.1"))
    project.mirrored()
    assert "found no proof of this state of it" in said(project.doit("bundle"), 1)
    bundle(project)
    assert manifest_of(project.folder / "bundles" / "main-2")["made"]["proof"] is None


def test_the_same_state_gives_the_same_bytes(tmp_path: Path, index: FakeIndex) -> None:
    trees = []
    for name in ("one", "two"):
        project = mirror_folder(tmp_path / name, index, transfer={"sign": "none", "volume": "200k"})
        project.mirrored()
        bundle(project)
        trees.append(tree(project.folder / "bundles"))
    assert trees[0] == trees[1]
