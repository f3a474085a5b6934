"""What arrives inside is verified first, and put in place at once: old or new, never between."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crossing import RECEIVER, everything, mirror_state, receive, served, write_bundle
from tests.interpreters import EACH, interpreter
from tests.server_fixtures import PATIENCE

FIRST = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0"}, "beta": {"beta-1.0.tar.gz": b"beta 1.0" * 100}})
SECOND = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0", "alpha-2.0.tar.gz": b"alpha 2.0"}})
KEPT = {"packages/beta/beta-1.0.tar.gz", "simple/beta/index.html", "simple/beta/index.v1_json"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "srv"


def test_a_full_bundle_makes_the_state_byte_for_byte(tmp_path: Path, root: Path) -> None:
    write_bundle(tmp_path / "stick", FIRST)
    done = receive(tmp_path / "stick", "--to", root, "--unsigned")
    assert (done.returncode, done.stderr) == (0, "")
    assert served(root) == FIRST
    assert (root / "server.py").read_bytes() == FIRST["server.py"]


def test_a_delta_makes_the_state_and_keeps_what_it_leaves_out_for_one_generation(tmp_path: Path, root: Path) -> None:
    first = write_bundle(tmp_path / "one", FIRST)
    second = write_bundle(tmp_path / "two", SECOND, 2, base=first)
    third = write_bundle(tmp_path / "three", SECOND, 3, base=second)
    for sent in (first, second):
        assert receive(sent.folder, "--to", root, "--unsigned").returncode == 0
    tree = served(root)
    listed = {line[66:] for line in tree.pop("SHA256SUMS.kept").decode().splitlines()}
    assert listed == KEPT
    assert tree == {**SECOND, **{path: FIRST[path] for path in KEPT}}
    assert receive(third.folder, "--to", root, "--unsigned").returncode == 0
    assert served(root) == SECOND


def test_several_bundles_on_a_stick_are_applied_in_order(tmp_path: Path, root: Path) -> None:
    first = write_bundle(tmp_path / "stick", FIRST)
    write_bundle(tmp_path / "stick", SECOND, 10, base=first)
    assert receive(tmp_path / "stick", "--to", root, "--unsigned").returncode == 0
    assert {path: served(root)[path] for path in SECOND} == SECOND


def test_volumes_may_come_one_by_one_and_cut_files_are_put_together(tmp_path: Path, root: Path) -> None:
    sent = write_bundle(tmp_path / "stick", FIRST, volume=500)
    *early, last = sent.volumes
    assert len(early) > 1
    for folder in early:
        done = receive(folder, "--to", root, "--unsigned")
        assert done.returncode == 3, done.stderr
        assert "waits for volume" in done.stdout
        shutil.rmtree(folder)
    assert not (root / "current").exists()
    assert receive(last, "--to", root, "--unsigned").returncode == 0
    assert served(root) == FIRST


def test_an_older_bundle_is_not_let_in_again(tmp_path: Path, root: Path) -> None:
    first = write_bundle(tmp_path / "one", FIRST)
    second = write_bundle(tmp_path / "two", SECOND, 2)
    assert receive(second.folder, "--to", root, "--unsigned").returncode == 0
    before = everything(root)
    done = receive(first.folder, "--to", root, "--unsigned")
    assert done.returncode == 1
    assert "bundle 2 was received already, and 1 is older" in done.stderr
    assert everything(root) == before


def test_without_a_signature_nothing_is_written_unless_it_is_said(tmp_path: Path, root: Path) -> None:
    write_bundle(tmp_path / "stick", FIRST)
    done = receive(tmp_path / "stick", "--to", root)
    assert done.returncode == 1
    assert "--trust" in done.stderr
    assert not root.exists()


def test_what_is_not_as_it_was_sent_is_told_and_the_old_mirror_stays(tmp_path: Path, root: Path) -> None:
    first = write_bundle(tmp_path / "one", FIRST)
    second = write_bundle(tmp_path / "two", SECOND, 2, base=first)
    assert receive(first.folder, "--to", root, "--unsigned").returncode == 0
    (second.volumes[0] / "files/packages/alpha/alpha-2.0.tar.gz").write_bytes(b"alpha 2.1")
    done = receive(second.folder, "--to", root, "--unsigned")
    assert done.returncode == 1
    assert "files/packages/alpha/alpha-2.0.tar.gz" in done.stderr
    assert served(root) == FIRST


def test_the_way_back_can_be_typed_where_a_folder_has_a_space_in_its_name(tmp_path: Path) -> None:
    root = tmp_path / "the mirror"
    first = write_bundle(tmp_path / "stick", FIRST)
    write_bundle(tmp_path / "stick", SECOND, 2, base=first)
    assert receive(tmp_path / "stick", "--to", root, "--unsigned").returncode == 0
    told = receive("--back", root).stdout
    assert told.endswith(f' "{root / "receive.py"}" --forward "{root}"\n'), told


def test_the_generation_before_is_served_again_at_once(tmp_path: Path, root: Path) -> None:
    first = write_bundle(tmp_path / "stick", FIRST)
    write_bundle(tmp_path / "stick", SECOND, 2, base=first)
    assert receive(tmp_path / "stick", "--to", root, "--unsigned").returncode == 0
    back = receive("--back", root)
    assert back.returncode == 0
    again = f"To serve that one again: {Path(sys.executable).name} {root / 'receive.py'} --forward {root}\n"
    assert back.stdout.endswith(again), "as it can be typed here, where there may be no `python`"
    assert served(root) == FIRST
    assert "--back took out of use" in receive(tmp_path / "stick", "--to", root, "--unsigned").stdout
    assert served(root) == FIRST
    assert receive("--forward", root).returncode == 0
    assert served(root)["mirror.json"] == SECOND["mirror.json"]


@pytest.mark.parametrize("version", EACH)
def test_every_python_applies_bundles(tmp_path: Path, root: Path, version: str) -> None:
    python = interpreter(version)
    first = write_bundle(tmp_path / "stick", FIRST, volume=500)
    write_bundle(tmp_path / "stick", SECOND, 2, base=first)
    done = receive(tmp_path / "stick", "--to", root, "--unsigned", python=python)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: served(root)[path] for path in SECOND} == SECOND
    assert "bundle 2" in receive("--status", root, python=python).stdout
    assert receive("--check", first.volumes[0], python=python).returncode == 0


def test_what_applies_bundles_needs_nothing_newer_than_python_3_7() -> None:
    vermin = shutil.which("vermin", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if vermin is None:
        pytest.skip("vermin is not installed")
    done = subprocess.run(
        [vermin, "-t=3.7-", "--no-tips", "--violations", "--eval-annotations", str(RECEIVER)],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert done.returncode == 0, done.stdout
