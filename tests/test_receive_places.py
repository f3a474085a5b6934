"""What stands on a stick and in the mirror is looked at before it is believed: links, pipes, lies, and what is told of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.crossing import (
    Sent,
    canonical,
    everything,
    load_receiver,
    mirror_state,
    served,
    sha256,
    with_sums,
    write,
    write_bundle,
)

ONE = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0"}, "gone": {"gone-1.0.tar.gz": b"gone"}})
TWO = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"alpha 1.0", "alpha-2.0.tar.gz": b"alpha 2.0" * 200}})
FILE = "packages/alpha/alpha-1.0.tar.gz"

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows makes links for administrators only, and no pipes")


@pytest.fixture
def receiver() -> ModuleType:
    return load_receiver()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "srv"


@pytest.fixture
def one(tmp_path: Path) -> Sent:
    return write_bundle(tmp_path / "one", ONE)


def apply(receiver: ModuleType, folder: Path, root: Path, *options: object) -> int:
    status: int = receiver.main([str(folder), "--to", str(root), "--unsigned", *map(str, options)])
    return status


Said = pytest.CaptureFixture[str]


@posix
@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "link above", "link at the top"])
def test_what_is_no_plain_file_on_a_stick_is_not_opened(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, kind: str, capsys: Said
) -> None:
    """A pipe would be waited for for ever; a device does something when it is opened; a link reads what it should not."""
    place = one.volumes[0] / "files" / FILE
    aside = tmp_path / "aside"
    shutil.copytree(place.parent, aside)
    if kind == "link at the top":
        files = one.volumes[0] / "files"
        files.rename(tmp_path / "files")
        files.symlink_to(tmp_path / "files")
    elif kind == "link above":
        shutil.rmtree(place.parent)
        place.parent.symlink_to(aside)
    else:
        place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to(aside / place.name)
    elif kind == "folder":
        place.mkdir()
    assert apply(receiver, one.folder, root) == 1
    said = capsys.readouterr().err
    assert "there is no such file" in said
    assert not (root / "current").exists()


@posix
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_manifest_that_is_no_plain_file_is_not_read(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, kind: str, capsys: Said
) -> None:
    path = one.volumes[0] / "manifest.json"
    path.rename(tmp_path / "aside.json")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "aside.json")
    assert apply(receiver, one.folder, root) == 1
    assert str(one.volumes[0]) in capsys.readouterr().err
    assert not root.exists()


@posix
@pytest.mark.parametrize(
    "place", ["received", "generations", "received/incoming", "received/manifests", "received/generations", "own"]
)
def test_a_link_where_a_folder_should_be_leads_nothing_out_of_the_mirror(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, place: str, capsys: Said
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(elsewhere)
    assert apply(receiver, one.folder, root) == 1
    assert f"{root / place} should be a folder, and is a link" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []


@posix
def test_a_link_where_a_file_is_to_be_written_is_not_followed(receiver: ModuleType, root: Path, one: Sent) -> None:
    assert apply(receiver, one.folder, root) == 0
    two = write_bundle(one.folder.parent / "two", TWO, 2, base=one)
    victim = root.parent / "victim"
    victim.write_text("mine")
    (root / "received/state.json.new").symlink_to(victim)
    (root / "current.new").symlink_to(victim)
    waiting = root / "received/incoming" / two.sha256
    waiting.mkdir()
    (waiting / sha256(TWO["mirror.json"])).symlink_to(victim)
    (root / "server.py").unlink()
    (root / "server.py").symlink_to(victim)
    assert apply(receiver, two.folder, root) == 0
    assert victim.read_text() == "mine"
    assert (root / "server.py").read_bytes() == TWO["server.py"]


@posix
def test_a_journal_that_is_a_link_is_not_written_to(receiver: ModuleType, root: Path, one: Sent) -> None:
    victim = root.parent / "victim"
    victim.write_text("mine")
    waiting = root / "received/incoming" / one.sha256
    waiting.mkdir(parents=True)
    write(waiting / "manifest.json", one.manifest)
    (waiting / "journal.jsonl").symlink_to(victim)
    assert apply(receiver, one.folder, root) == 1
    assert victim.read_text() == "mine"


def test_a_mirror_that_was_copied_there_as_it_is_stays_so(
    receiver: ModuleType, root: Path, one: Sent, capsys: Said
) -> None:
    for path, content in ONE.items():
        write(root / path, content)
    before = everything(root)
    assert apply(receiver, one.folder, root) == 1
    assert "Give with --to another directory" in capsys.readouterr().err
    assert everything(root) == before


def test_where_no_bundle_is_it_is_said_what_was_expected(
    receiver: ModuleType, root: Path, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "stick").mkdir()
    assert apply(receiver, tmp_path / "stick", root) == 1
    assert "there is no bundle in" in capsys.readouterr().err
    assert apply(receiver, tmp_path / "nowhere", root) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert not root.exists()


def test_other_programs_files_on_a_stick_are_passed_over(receiver: ModuleType, root: Path, one: Sent) -> None:
    write(one.folder.parent / "browser" / "manifest.json", b'{"manifest_version": 3}')
    assert apply(receiver, one.folder.parent, root) == 0
    assert served(root) == ONE


def test_a_stick_full_of_manifests_fills_no_memory(
    receiver: ModuleType, root: Path, one: Sent, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest is looked at before it is known whose it is; what can be brought by anybody has a bound altogether."""
    monkeypatch.setattr(receiver, "TOGETHER_LIMIT", len(one.manifest) + 100)
    for number in range(3):
        write(one.folder.parent / f"zeros-{number}" / "manifest.json", bytes(60 + number))
        write(one.folder.parent / f"zeros-{number}" / "volume.json", b"")
    assert apply(receiver, one.folder.parent, root) == 1
    said = capsys.readouterr().err
    assert said.count("give the folder of this bundle alone") == 2
    assert served(root) == ONE


def test_a_broken_manifest_beside_a_right_one_is_told_and_holds_up_nothing(
    receiver: ModuleType, root: Path, one: Sent, capsys: Said
) -> None:
    shutil.copytree(one.folder, one.folder.parent / "broken")
    (broken,) = (one.folder.parent / "broken").iterdir()
    (broken / "manifest.json").write_bytes(one.manifest[:-1])
    assert apply(receiver, one.folder.parent, root) == 1
    assert f"{broken / 'manifest.json'} is no manifest of a bundle" in capsys.readouterr().err
    assert served(root) == ONE


def test_without_links_a_file_points_to_the_generation_and_files_are_copied(
    receiver: ModuleType, root: Path, one: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(receiver.os, "link", none)
    monkeypatch.setattr(receiver.os, "symlink", none)
    assert apply(receiver, one.folder, root) == 0
    two = write_bundle(one.folder.parent / "two", TWO, 2, base=one)
    assert apply(receiver, two.folder, root) == 0
    assert (root / "current.txt").read_text() == "2\n"
    assert not (root / "current").exists()
    assert {path: served(root)[path] for path in TWO} == TWO
    first, second = (root / "generations" / number / FILE for number in "12")
    assert not first.samefile(second)


def test_windows_points_by_a_file(receiver: ModuleType, root: Path, one: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "make_link", lambda *_: False)
    assert apply(receiver, one.folder, root) == 0
    assert receiver.pointed(root) == 1
    assert (root / "current.txt").read_text() == "1\n"


@posix
def test_a_link_and_a_file_never_contradict_each_other(
    receiver: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where links have come to be, or have ceased to be, possible: before each call, what is pointed to is old or new."""
    root.mkdir()
    receiver.point(root, 1)
    seen = []
    for name in ("replace", "unlink"):
        call = getattr(os, name)

        def watched(*arguments: Any, _call: Any = call) -> None:
            seen.append(receiver.pointed(root))
            _call(*arguments)
            seen.append(receiver.pointed(root))

        monkeypatch.setattr(receiver.os, name, watched)
    with monkeypatch.context() as patched:
        patched.setattr(receiver, "make_link", lambda *_: False)
        receiver.point(root, 2)
    assert (receiver.pointed(root), os.path.lexists(root / "current")) == (2, False)
    receiver.point(root, 3)
    assert (receiver.pointed(root), (root / "current.txt").exists()) == (3, False)
    assert seen == sorted(seen)


def test_a_file_that_has_all_the_links_it_can_have_is_copied_and_others_are_shared(
    receiver: ModuleType, root: Path, one: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def full(source: str, target: str) -> None:
        if str(target).endswith(FILE):
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target)

    assert apply(receiver, one.folder, root) == 0
    monkeypatch.setattr(receiver.os, "link", full)
    assert apply(receiver, write_bundle(one.folder.parent / "two", TWO, 2, base=one).folder, root) == 0
    shared = {
        path: (root / "generations/1" / path).samefile(root / "generations/2" / path) for path in (FILE, "server.py")
    }
    assert shared == {FILE: False, "server.py": True}
    assert {path: served(root)[path] for path in TWO} == TWO


def test_files_are_shared_between_generations(receiver: ModuleType, root: Path, one: Sent) -> None:
    assert apply(receiver, one.folder, root) == 0
    two = write_bundle(one.folder.parent / "two", TWO, 2, base=one)
    assert apply(receiver, two.folder, root) == 0
    first, second = (root / "generations" / number / FILE for number in "12")
    assert first.samefile(second)


def test_older_generations_go_and_more_stay_when_asked(receiver: ModuleType, root: Path, tmp_path: Path) -> None:
    sent = None
    for number in range(1, 5):
        state = with_sums({**ONE, "packages/alpha/count": b"%d" % number})
        sent = write_bundle(tmp_path / "stick", state, number, base=sent)
        assert apply(receiver, sent.folder, root, *(["--generations", 3] if number == 3 else [])) == 0
        standing = sorted(path.name for path in (root / "generations").iterdir())
        assert standing == {1: ["1"], 2: ["1", "2"], 3: ["1", "2", "3"], 4: ["3", "4"]}[number]
        assert len(list((root / "received/manifests").iterdir())) == len(standing)


def test_a_bundle_that_was_taken_back_does_not_come_again_by_itself_but_a_later_one_does(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path
) -> None:
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    three = write_bundle(tmp_path / "three", with_sums({**TWO, "locks/a.lock": b"a"}), 3, base=two)
    assert apply(receiver, one.folder, root) == apply(receiver, two.folder, root) == 0
    assert receiver.main(["--back", str(root)]) == 0
    assert apply(receiver, two.folder, root) == 0
    assert served(root) == ONE
    assert apply(receiver, three.folder, root) == 0
    assert served(root)["locks/a.lock"] == b"a"
    assert receiver.main(["--back", str(root)]) == 0
    assert served(root) == ONE


def test_names_are_bound_also_with_a_bundle_that_is_inside_already(receiver: ModuleType, root: Path, one: Sent) -> None:
    assert apply(receiver, one.folder, root) == 0
    assert apply(receiver, one.folder, root, "--own", "gone") == 0
    assert "simple/gone/index.html" not in served(root)
    assert served(root)[FILE] == ONE[FILE]


def test_a_base_that_is_not_inside_is_named(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said
) -> None:
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    three = write_bundle(tmp_path / "three", TWO, 3, base=two)
    four = write_bundle(tmp_path / "four", TWO, 4, base=three)
    assert apply(receiver, one.folder, root) == 0
    before = everything(root)
    assert apply(receiver, four.folder, root) == 1
    assert (
        "builds on bundle 3, which is not inside; the highest inside is bundle 1. Missing: 2-3"
        in capsys.readouterr().err
    )
    assert everything(root) == before


def test_another_bundle_of_the_same_number_is_refused(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said
) -> None:
    assert apply(receiver, one.folder, root) == 0
    other = write_bundle(tmp_path / "other", TWO)
    assert apply(receiver, other.folder, root) == 1
    assert "another bundle 1 was received already" in capsys.readouterr().err
    assert served(root) == ONE


def test_what_should_be_inside_and_is_lost_is_named_and_may_be_sent_again(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said
) -> None:
    assert apply(receiver, one.folder, root) == 0
    (root / "generations/1" / FILE).unlink()
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    assert apply(receiver, two.folder, root, "--missing", tmp_path / "missing.json") == 1
    assert FILE in capsys.readouterr().err
    document = json.loads((tmp_path / "missing.json").read_text())
    assert document == {
        "contents": [sha256(ONE[FILE])], "format": 1, "manifest": two.sha256, "sequence": 2, "stream": "main",
    }  # fmt: skip
    again = two.folder / "again-1-of-1"
    shutil.copytree(two.volumes[0], again)
    shutil.rmtree(again / "files")
    write(again / "files" / FILE, ONE[FILE])
    assert apply(receiver, two.folder, root) == 0
    assert {path: served(root)[path] for path in TWO} == TWO


def test_what_was_altered_inside_is_not_passed_on(receiver: ModuleType, root: Path, one: Sent, tmp_path: Path) -> None:
    """A full bundle mends it, though something of the same size stands there."""
    assert apply(receiver, one.folder, root) == 0
    altered = root / "generations/1" / FILE
    altered.write_bytes(b"ALPHA 1.0")
    os.utime(altered, (2**32, 2**32))
    assert apply(receiver, write_bundle(tmp_path / "two", TWO, 2, base=one).folder, root) == 1
    assert apply(receiver, write_bundle(tmp_path / "three", ONE, 3).folder, root) == 0
    assert served(root) == ONE


def test_what_was_brought_back_from_a_backup_is_hashed_and_used(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path
) -> None:
    assert apply(receiver, one.folder, root) == 0
    os.utime(root / "generations/1" / FILE, (2**32, 2**32))
    assert apply(receiver, write_bundle(tmp_path / "two", TWO, 2, base=one).folder, root) == 0
    assert {path: served(root)[path] for path in TWO} == TWO


def test_what_arrived_broken_is_written_down_and_only_that_is_sent_again(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path
) -> None:
    place = one.volumes[0] / "files" / FILE
    place.write_bytes(b"alpha 1.1")
    assert apply(receiver, one.folder, root, "--missing", tmp_path / "missing.json") == 1
    assert json.loads((tmp_path / "missing.json").read_text())["contents"] == [sha256(ONE[FILE])]
    shutil.rmtree(one.volumes[0] / "files")
    again = one.folder / "again-1-of-1"
    one.volumes[0].rename(again)
    write(again / "files" / FILE, ONE[FILE])
    assert apply(receiver, again, root) == 0
    assert served(root) == ONE


@pytest.mark.parametrize("lie", [b"", b"{}", b'{"volume":2}', b"[" * 10_000, None])
def test_what_a_volume_says_of_its_number_costs_nothing(
    receiver: ModuleType, root: Path, one: Sent, lie: bytes | None
) -> None:
    path = one.volumes[0] / "volume.json"
    write(path, canonical({"manifest": one.sha256, "volume": 7}) if lie is None else lie)
    assert apply(receiver, one.folder, root) == 0
    assert served(root) == ONE


def test_a_medium_that_writes_names_in_capitals_is_read(receiver: ModuleType, root: Path, one: Sent) -> None:
    files = one.volumes[0] / "files"
    for path in sorted(files.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.upper()))
    assert apply(receiver, one.folder, root) == 0
    assert served(root) == ONE


def test_a_state_whose_sums_say_otherwise_than_its_manifest_is_refused(
    receiver: ModuleType, root: Path, tmp_path: Path, capsys: Said
) -> None:
    state = {**ONE, "SHA256SUMS": ONE["SHA256SUMS"].replace(sha256(ONE[FILE]).encode(), b"0" * 64)}
    assert apply(receiver, write_bundle(tmp_path / "stick", state).folder, root) == 1
    assert f"its SHA256SUMS and its manifest differ on {FILE}" in capsys.readouterr().err
    assert not (root / "current").exists()


def test_a_volume_is_looked_at_by_itself(receiver: ModuleType, tmp_path: Path, capsys: Said) -> None:
    sent = write_bundle(tmp_path / "stick", TWO, volume=1500)
    first, second = sent.volumes[:2]
    assert receiver.main(["--check", str(first)]) == 0
    assert "0 altered or missing" in (said := capsys.readouterr().out)
    assert "signature not looked at: no --trust" in said
    places = [part[1] for _, _, parts in sent.document["contents"] for part in parts if part[0] == 2]
    (second / "files" / places[0]).write_bytes(b"x" * (second / "files" / places[0]).stat().st_size)
    write(second / "files/packages/strange", b"")
    lost = len(places) > 1
    if lost:
        (second / "files" / places[1]).unlink()
    assert receiver.main(["--check", str(second), "--missing", str(tmp_path / "missing.json")]) == 1
    out = capsys.readouterr().out
    assert f"altered: {second}/files/{places[0]}" in out
    assert f"extra: {second}/files/packages/strange" in out
    assert not lost or f"missing: {second}/files/{places[1]}" in out
    assert json.loads((tmp_path / "missing.json").read_text())["contents"]


def test_the_status_tells_what_is_inside_and_what_waits(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said
) -> None:
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    three = write_bundle(tmp_path / "three", with_sums({**TWO, "locks/a.lock": b"a" * 3000}), 3, base=two, volume=1500)
    assert apply(receiver, one.folder, root) == apply(receiver, two.folder, root) == 0
    assert apply(receiver, three.volumes[0], root) == 3
    capsys.readouterr()
    before = everything(root)
    assert receiver.main(["--status", str(root)]) == 0
    said = capsys.readouterr().out
    assert f"stream main: bundle 2 ({two.sha256})" in said
    assert "signed by nobody (--unsigned)" in said
    assert "made 2026-11-26T12:00:00Z by mirror-tasks 0.2.0" in said
    assert "generation 2 is served" in said
    assert "others that stand: 1" in said
    assert "kept of the generation before: 3 files" in said
    assert "waits for more: bundle 3 of main" in said
    assert "own packages: none" in said
    assert "free: " in said
    assert everything(root) == before
    assert receiver.main(["--discard", str(root)]) == 0
    assert list((root / "received/incoming").iterdir()) == []


def test_the_status_counts_the_parts_of_what_was_cut_and_names_the_volumes_that_lack(
    receiver: ModuleType, root: Path, tmp_path: Path, capsys: Said
) -> None:
    """It said that 385 of 383 files had come: the parts that stood there were counted beside the contents."""
    large = mirror_state({"alpha": {"alpha-1.0.tar.gz": b"".join(b"%d" % number for number in range(2000))}})
    sent = write_bundle(tmp_path / "sent", large, 1, volume=1500)
    files = sum(len(parts) for _, _, parts in sent.document["contents"])
    last = [part for _, _, parts in sent.document["contents"] for part in parts if part[0] == len(sent.volumes)]
    for volume in sent.volumes[:-1]:
        assert apply(receiver, volume, root) == 3
    capsys.readouterr()
    assert receiver.main(["--status", str(root)]) == 0
    waits = f"waits for more: bundle 1 of main, of which {files - len(last)} of {files} files have come; "
    assert f"{waits}the others are in volume {len(sent.volumes)} of {len(sent.volumes)}\n" in capsys.readouterr().out


def test_what_the_account_may_not_do_is_told_with_what_to_do(
    receiver: ModuleType, root: Path, one: Sent, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said to run again, which ends in the same."""

    def refuses(path: object, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(receiver.os, "mkdir", refuses)
    assert apply(receiver, one.folder, root) == 1
    said = capsys.readouterr().err
    assert f"{root}: {os.strerror(errno.EACCES)}. This account may not do that: run again as one that may" in said
    assert "Errno" not in said


def test_the_receipt_says_what_is_inside_as_a_file_and_as_lines_to_type(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said
) -> None:
    assert apply(receiver, one.folder, root) == 0
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("# what clients asked for\nlarge==2.0  # asked for 1 time\nother >= 1\n")
    receipt = tmp_path / "receipt.json"
    assert receiver.main(["--status", str(root), "--receipt", str(receipt), "--wanted", str(wanted)]) == 0
    document = json.loads(receipt.read_text())
    assert document.pop("made").endswith("Z")
    assert document == {
        "format": 1,
        "own": [],
        "streams": {"main": {"manifest": one.sha256, "sequence": 1}},
        "wanted": ["large==2.0", "other>=1"],
    }
    capsys.readouterr()
    assert receiver.main(["--status", str(root), "--receipt", "-", "--wanted", str(wanted)]) == 0
    *lines, check = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "mirror-receipt", "stream", "sequence", "manifest", "own", "wanted", "made",
    ]  # fmt: skip
    assert lines[3].replace("-", "") == f"manifest {one.sha256}"
    assert lines[5] == "wanted large==2.0 other>=1"
    digest = hashlib.sha256("".join(line.lower() + "\n" for line in lines).encode()).hexdigest()
    assert check == f"check {digest[:8]}"


def test_what_a_stick_says_cannot_steer_a_terminal(
    receiver: ModuleType, root: Path, tmp_path: Path, capsys: Said
) -> None:
    folder = tmp_path / "stick" / "a\x1b[2Jb"
    write(folder / "manifest.json", b"{}")
    write(folder / "volume.json", b"{}")
    assert apply(receiver, folder.parent, root) == 1
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["stick"], ["--to", "srv"], ["--status", "a", "--back", "a"], ["x", "--to", "y", "--generations", "0"],
     ["x", "--to", "y", "--trust", "z", "--unsigned"],
     ["--receipt", "-", "--back", "x"]],
)  # fmt: skip
def test_options_that_do_not_go_together_are_a_word_on_usage(receiver: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        receiver.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("option", ["--status", "--back", "--forward", "--discard"])
def test_where_nothing_was_received_that_is_said(
    receiver: ModuleType, tmp_path: Path, option: str, capsys: Said
) -> None:
    assert receiver.main([option, str(tmp_path)]) == 1
    assert "no bundle was received" in capsys.readouterr().err


@pytest.mark.parametrize("record", ["state.json", "generations/1.json"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"format":1}', b"\xff", b'{"format":1,"streams":{"a":1},"next":1}']
)
def test_a_record_that_was_damaged_is_named_and_nothing_changes(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path, capsys: Said, record: str, content: bytes
) -> None:
    assert apply(receiver, one.folder, root) == 0
    (root / "received" / record).write_bytes(content)
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    assert apply(receiver, two.folder, root) == 1
    said = capsys.readouterr().err
    assert record in said
    assert "a fault of this program" not in said
    assert served(root) == ONE


def test_without_its_state_file_what_stands_says_what_was_received(
    receiver: ModuleType, root: Path, one: Sent, tmp_path: Path
) -> None:
    two = write_bundle(tmp_path / "two", TWO, 2, base=one)
    assert apply(receiver, one.folder, root) == apply(receiver, two.folder, root) == 0
    (root / "received/state.json").unlink()
    assert apply(receiver, one.folder, root) == 1
    assert served(root)["mirror.json"] == TWO["mirror.json"]


def test_a_file_that_a_scanner_has_open_for_a_moment_is_replaced_when_it_lets_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = load_receiver()
    target = tmp_path / "state.json"
    target.write_bytes(b"old")
    waited: list[float] = []

    def held(source: object, to: object, *, replace: Any = os.replace) -> None:
        if len(waited) < 3:
            raise PermissionError(13, "The process cannot access the file")
        replace(source, to)

    monkeypatch.setattr(receiver, "HELD_SECONDS", 5.0)
    monkeypatch.setattr(receiver.time, "sleep", waited.append)
    with monkeypatch.context() as patch:
        patch.setattr(receiver.os, "replace", held)
        receiver.write_whole(target, b"new")
    assert (target.read_bytes(), len(waited)) == (b"new", 3)
    monkeypatch.setattr(receiver, "HELD_SECONDS", 0.0)
    waited.clear()
    with monkeypatch.context() as patch:
        patch.setattr(receiver.os, "replace", held)
        with pytest.raises(PermissionError):
            receiver.write_whole(target, b"newer")
    assert (target.read_bytes(), waited) == (b"new", [])
