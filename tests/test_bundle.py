"""`doit bundle`: what is not inside yet, in volumes that are never larger than was said, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import settings

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import IntegrityError, MirrorError, ResolutionError, StorageError
from mirror_tasks.publish.server import receiver_template
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.transfer import bases, writing
from mirror_tasks.transfer.bundle import Asked, Bundler, Finished
from mirror_tasks.transfer.missing import read_missing
from mirror_tasks.transfer.outlook import outlook
from mirror_tasks.transfer.sendings import Sendings
from tests.crossing import load_receiver
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import DODO, MirrorFolder, launcher, mirror_folder, small_world, tree
from tests.test_killed import KILLING_ITSELF

NOON = "1764158400"  # a clock that stands
RECEIVER = receiver_template().read_bytes()
SOME = len(RECEIVER) + 250_000  # bytes of a volume, of which the small mirror takes some
UNPROVEN = Asked(unproven=True)
KILLS = 6 if settings().derandomize else 30  # `nox -s thorough` tries more


class Months(NamedTuple):
    """A mirror, and the same a month later, when a release came."""

    first: Path
    second: Path


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Months:
    folder = tmp_path_factory.mktemp("months")
    with FakeIndex(small_world()) as index:
        project = mirror_folder(folder / "first", index)
        project.mirrored()
        shutil.copytree(project.folder, folder / "second")
        index.add("alone", *wheel("alone", "3.1"))
        MirrorFolder(folder / "second").mirrored()
    return Months(folder / "first", folder / "second")


class Told:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def copying(self, what: str, size: int) -> Iterator[Callable[[int], None]]:
        counts: list[int] = []
        yield counts.append
        assert sum(counts) == size


class Outside:
    """A mirror outside, from which bundles are made."""

    def __init__(self, folder: Path, months: Months, **transfer: Any) -> None:
        self.folder = folder
        self.months = months
        shutil.copytree(months.first, folder)
        self.configure(**transfer)

    @property
    def output(self) -> Path:
        return self.folder / "mirror"

    def configure(self, **transfer: Any) -> None:
        path = self.folder / "mirror.yaml"
        config = yaml.safe_load(path.read_text("utf-8"))
        config["transfer"] = {"sign": "none", "volume": f"{SOME / 1000:.3f}k", **transfer}
        path.write_text(yaml.safe_dump(config), "utf-8")

    def becomes(self, then: Path) -> None:
        """Have the mirror of another time, and what is known of it; what was bundled stays."""
        shutil.rmtree(self.output)
        shutil.copytree(then / "mirror", self.output)
        shutil.copytree(then / ".mirror", self.folder / ".mirror", dirs_exist_ok=True)

    def bundler(self) -> tuple[Bundler, Told]:
        config, told = load(self.folder / "mirror.yaml"), Told()
        assert config.transfer is not None
        return Bundler(Mirror(config, print), config.transfer, RECEIVER, told, checks_room=True), told

    @property
    def sendings(self) -> Sendings:
        return Sendings(self.folder / ".mirror", "main")

    def bundle(self, asked: Asked = UNPROVEN) -> str:
        """Bundle; return what was told."""
        bundler, told = self.bundler()
        bundler.bundle(asked)
        return "\n".join(told.lines)

    def finished(self, asked: Asked = UNPROVEN) -> Finished:
        done = self.bundler()[0].bundle(asked)
        assert done is not None
        return done

    def bundled(self, number: int) -> Path:
        return self.folder / "bundles" / f"main-{number}"


@pytest.fixture
def outside(tmp_path: Path, months: Months, monkeypatch: pytest.MonkeyPatch) -> Outside:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", NOON)
    monkeypatch.setattr(os, "sync", lambda: None, raising=False)  # it waits for all that others write
    return Outside(tmp_path / "outside", months)


def manifest_of(folder: Path) -> Any:
    """Return the manifest of a bundle, which is the same in each of its volumes."""
    (content,) = {path.read_bytes() for path in folder.glob("*/manifest.json")}
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
    assert {path.rpartition("/")[2] for path in there} <= {"manifest.json", "volume.json", "receive.py"}
    assert len(there) == 3 * manifest["volumes"]
    return found


def published(output: Path) -> dict[str, bytes]:
    """Return what SHA256SUMS names, and itself."""
    there = tree(output)
    names = [line[66:] for line in there["SHA256SUMS"].decode().splitlines()]
    return {name: there[name] for name in sorted([*names, "SHA256SUMS"])}


def sums_of(output: Path) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in published(output).items()}


def count_of(bundled: Path) -> int:
    """Return how many volumes a bundle has."""
    return int(manifest_of(bundled)["volumes"])


# What is carried


def test_the_first_bundle_carries_everything_once(outside: Outside) -> None:
    assert "nothing is known to be inside, so it carries everything" in outside.bundle()
    manifest = manifest_of(outside.bundled(1))
    assert manifest["files"] == [
        [path, sha256, (outside.output / path).stat().st_size]
        for path, sha256 in sorted(sums_of(outside.output).items())
    ]
    assert manifest["base"] is None
    assert manifest["made"]["at"] == "2025-11-26T12:00:00Z"
    assert set(contents_of(outside.bundled(1)).values()) == set(published(outside.output).values())


def test_a_later_bundle_carries_what_the_one_that_was_sent_did_not_have(outside: Outside, months: Months) -> None:
    outside.bundle()
    before = contents_of(outside.bundled(1))
    bases.mark_sent(outside.sendings, 1)
    outside.becomes(months.second)
    assert "builds on bundle 1, which was marked as sent" in outside.bundle()
    manifest, carried = manifest_of(outside.bundled(2)), contents_of(outside.bundled(2))
    assert manifest["base"] == {"sequence": 1, "manifest": digest_of(outside.bundled(1))}
    assert not carried.keys() & before.keys()
    assert set(sums_of(outside.output).values()) <= carried.keys() | before.keys()
    assert len(carried) < len(before) / 2


def test_what_is_written_is_what_receive_py_reads(outside: Outside) -> None:
    outside.bundle()
    receiver = load_receiver()
    for volume in outside.bundled(1).iterdir():
        content = (volume / "manifest.json").read_bytes()
        assert receiver.parse_manifest(content).sequence == 1
        assert receiver.number_of(volume, content) == int(volume.name.split("-")[1])


def test_receive_py_says_of_which_version_it_is() -> None:
    assert version("mirror-tasks") == load_receiver().VERSION


def test_where_nothing_is_new_nothing_is_written(outside: Outside) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    before = tree(outside.folder)
    assert outside.bundle() == "Nothing is new since bundle 1: there is nothing to bundle."
    assert tree(outside.folder) == before


def test_a_bundle_that_was_not_sent_yet_is_not_made_twice(outside: Outside) -> None:
    outside.bundle()
    before = tree(outside.folder)
    assert "Bundle main-1 has it all" in outside.bundle()
    assert tree(outside.folder) == before


def test_the_same_state_and_base_and_clock_give_the_same_bytes(
    tmp_path: Path, outside: Outside, months: Months
) -> None:
    other = Outside(tmp_path / "other", months)
    for one in (outside, other):
        one.bundle()
        bases.mark_sent(one.sendings, 1)
        one.becomes(months.second)
        one.bundle()
    assert tree(outside.folder / "bundles") == tree(other.folder / "bundles")


def test_full_and_since_say_what_to_build_on(outside: Outside, months: Months) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    outside.becomes(months.second)
    outside.bundle()
    bases.mark_sent(outside.sendings, 2)
    outside.bundle(Asked(since=1, unproven=True))
    assert contents_of(outside.bundled(3)) == contents_of(outside.bundled(2))
    outside.bundle(Asked(full=True, unproven=True))
    assert manifest_of(outside.bundled(4))["base"] is None
    assert set(contents_of(outside.bundled(4)).values()) == set(published(outside.output).values())
    with pytest.raises(ResolutionError, match=r"bundle 9: expected a bundle that was written.* there are 1, 2, 3, 4"):
        outside.bundle(Asked(since=9, unproven=True))


def test_a_number_that_was_sent_is_never_given_again(outside: Outside, months: Months) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    (outside.sendings.place(1) / "written.json").unlink()
    outside.becomes(months.second)
    outside.bundle()
    assert manifest_of(outside.bundled(2))["base"]["sequence"] == 1


def test_a_bundle_that_was_lost_on_the_way_is_taken_back(outside: Outside, months: Months) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    outside.becomes(months.second)
    outside.bundle()
    bases.mark_sent(outside.sendings, 2)
    bases.mark_sent(outside.sendings, 1)
    assert "has it all" in outside.bundle()
    shutil.rmtree(outside.bundled(2))
    bundler, _ = outside.bundler()
    bundler.rewrite(1)
    assert (
        set(sums_of(outside.output).values()) - set(contents_of(outside.bundled(2)))
        <= contents_of(outside.bundled(1)).keys()
    )


# Receipts


def receipt(folder: Path, sequence: int, manifest: str, own: Sequence[str] = ()) -> None:
    document = {
        "format": 1,
        "made": "2026-11-26T12:00:00Z",
        "own": list(own),
        "wanted": [],
        "streams": {"main": {"sequence": sequence, "manifest": manifest}},
    }
    (folder / "receipt.json").write_text(json.dumps(document), "utf-8")


def digest_of(bundled: Path) -> str:
    return hashlib.sha256(next(bundled.glob("*/manifest.json")).read_bytes()).hexdigest()


def test_a_receipt_says_what_is_inside(outside: Outside, months: Months) -> None:
    outside.configure(receipt="receipt.json")
    outside.bundle()
    receipt(outside.folder, 1, digest_of(outside.bundled(1)))
    outside.becomes(months.second)
    assert "builds on bundle 1, which a receipt says is inside" in outside.bundle()
    bases.mark_sent(outside.sendings, 2)
    assert "Nothing is new since bundle 2" in outside.bundle(), "what was said after the receipt counts"
    (outside.folder / "receipt.json").write_text((outside.folder / "receipt.json").read_text() + "\n")
    assert "receipt.json: bundle 1 is inside" in outside.bundle(), "a newer receipt counts again: bundle 2 was lost"


def test_a_receipt_of_a_bundle_that_is_not_known_is_refused_and_full_goes_on_from_its_number(outside: Outside) -> None:
    outside.configure(receipt="receipt.json")
    receipt(outside.folder, 41, "a" * 64)
    with pytest.raises(ResolutionError, match=r"bundle 41 of main is inside, which is not known here.*makes number 42"):
        outside.bundle()
    assert not outside.bundled(1).exists()
    outside.bundle(Asked(full=True, unproven=True))
    assert manifest_of(outside.bundled(42))["sequence"] == 42


@pytest.mark.skipif(os.name == "nt", reason="there are no pipes among the files of Windows")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo] if os.name != "nt" else [])
def test_what_stands_in_the_place_of_a_receipt_is_not_waited_for(
    outside: Outside, make: Callable[[Path], None]
) -> None:
    outside.configure(receipt="receipt.json")
    make(outside.folder / "receipt.json")
    with pytest.raises(ResolutionError, match=r"receipt\.json: expected a file, found something else"):
        outside.bundle()
    assert not (outside.folder / "bundles").exists()


def test_a_receipt_does_not_use_up_the_numbers_of_a_stream(outside: Outside) -> None:
    """Nobody signs it; and inside takes no number that is lower than one that it has seen."""
    outside.configure(receipt="receipt.json")
    receipt(outside.folder, 999_999_999, "a" * 64)
    with pytest.raises(ResolutionError, match="expected a number of a bundle up to 1000000, found 999999999"):
        outside.bundle(Asked(full=True, unproven=True))
    assert not (outside.folder / "bundles").exists()


def test_a_receipt_that_cant_be_read_stops_before_anything_is_written(outside: Outside) -> None:
    outside.configure(receipt="receipt.json")
    (outside.folder / "receipt.json").write_text("{}")
    with pytest.raises(ResolutionError, match=r"receipt\.json: expected the receipt that receive\.py wrote"):
        outside.bundle()
    assert not (outside.folder / "bundles").exists()


def test_what_the_inside_has_of_its_own_and_this_mirror_too_is_told(outside: Outside) -> None:
    outside.configure(receipt="receipt.json")
    outside.bundle()
    receipt(outside.folder, 1, digest_of(outside.bundled(1)), own=["alone", "ours"])
    assert "Inside has packages of its own of alone, which are here as well" in outside.bundle()


# What is refused


def test_a_mirror_that_is_not_whole_is_not_sent(outside: Outside) -> None:
    sums = outside.output / "SHA256SUMS"
    content = sums.read_bytes()
    sums.write_bytes(content + b"\n")
    with pytest.raises(ResolutionError, match=r"bundling .*SHA256SUMS: expected what the last run"):
        outside.bundle()
    sums.unlink()
    with pytest.raises(ResolutionError, match=r"expected a whole mirror, found no SHA256SUMS. Run `doit mirror` first"):
        outside.bundle()
    assert not (outside.folder / "bundles").exists()


def test_a_file_that_was_altered_is_found_while_it_is_copied_and_nothing_of_it_stays(outside: Outside) -> None:
    path = outside.output / "packages" / "alone" / "alone-3.0-py3-none-any.whl"
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + b"?")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(IntegrityError, match=r"alone-3\.0.*expected the file that SHA256SUMS names.*Run `doit mirror`"):
        outside.bundle()
    assert not list(outside.bundled(1).rglob("*alone-3.0-py3-none-any.whl*.part"))
    assert not list(outside.bundled(1).rglob("alone-3.0-py3-none-any.whl"))
    path.write_bytes(content)
    assert "Going on with bundle main-1" in outside.bundle()
    contents_of(outside.bundled(1))


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_is_gone_or_a_link_is_not_sent(outside: Outside, is_link: bool) -> None:
    path = outside.output / "packages" / "alone" / "alone-3.0-py3-none-any.whl"
    moved = path.rename(outside.folder / "elsewhere")
    if is_link:
        path.symlink_to(moved)
    with pytest.raises(IntegrityError, match=r"alone-3\.0.*expected the file that SHA256SUMS names, found none"):
        outside.bundle()


def prove(outside: Outside) -> None:
    launcher().start(outside.folder, "prove", "--own")
    assert launcher().wait().returncode == 0


def test_a_mirror_that_is_not_proven_is_not_sent_unless_it_is_said(outside: Outside, months: Months) -> None:
    with pytest.raises(ResolutionError, match="expected a mirror that is proven, found no proof in"):
        outside.bundle(Asked())
    prove(outside)
    outside.bundle(Asked())
    proof = hashlib.sha256((outside.folder / ".mirror" / "prove.json").read_bytes()).hexdigest()
    assert manifest_of(outside.bundled(1))["made"]["proof"] == proof
    with (outside.folder / ".mirror" / "prove.json").open("a") as stream:
        stream.write("\n")
    with pytest.raises(ResolutionError, match="found no proof"):
        outside.bundle(Asked())
    outside.becomes(months.second)
    with pytest.raises(ResolutionError, match="found no proof of this state of it"):
        outside.bundle(Asked())
    outside.bundle()
    assert manifest_of(outside.bundled(2))["made"]["proof"] is None


# Volumes, sticks, room


def test_no_volume_takes_more_than_was_said(outside: Outside) -> None:
    done = outside.finished()
    assert len(done.volumes) > 2
    for volume in done.volumes:
        sizes = [path.stat().st_size for path in volume.folder.rglob("*") if path.is_file()]
        folders = 2 + sum(path.is_dir() for path in volume.folder.rglob("*"))
        assert sum(-(-size // 4096) for size in sizes) * 4096 + folders * 4096 <= SOME


def test_a_file_larger_than_a_volume_is_cut_and_can_be_put_together(outside: Outside) -> None:
    outside.configure(volume=f"{(len(RECEIVER) + 80_000) / 1000:.3f}k")
    outside.bundle()
    content = (outside.output / "packages/alone/alone-3.0-py3-none-any.whl").read_bytes()
    assert content in contents_of(outside.bundled(1)).values()
    assert list(outside.bundled(1).rglob("alone-3.0-py3-none-any.whl.part-1-of-*"))


def test_a_volume_that_is_too_small_for_anything_is_refused_with_what_it_takes(outside: Outside) -> None:
    outside.configure(volume="50k")
    with pytest.raises(ResolutionError, match=r"transfer\.volume.*expected volumes of at least \d+ kB, found 50.0 kB"):
        outside.bundle()


class Sticks:
    """Sticks of a size in one place after the other; what is on them stays apart."""

    def __init__(self, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.size = size
        self.full: list[Path] = []
        self.folder.mkdir()
        monkeypatch.setattr(shutil, "disk_usage", self.usage)

    def usage(self, path: Path) -> Any:
        used = sum(max(1, -(-one.stat().st_size // 4096)) * 4096 for one in self.folder.rglob("*"))
        return type("Usage", (), {"free": self.size - used})

    def next(self) -> None:
        """Take the stick out, and put an empty one there."""
        self.full.append(self.folder.rename(self.folder.with_name(f"stick-{len(self.full)}")))
        self.folder.mkdir()

    def merged(self, into: Path) -> Path:
        for stick in [*self.full, self.folder]:
            shutil.copytree(stick, into, dirs_exist_ok=True)
        return into


def test_sticks_are_filled_one_after_the_other(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    sticks = Sticks(tmp_path / "stick", SOME, monkeypatch)
    outside.configure(to=str(sticks.folder))
    with pytest.raises(StorageError, match=r"volume 2 of \d.*Written so far: 1. Put the next stick there"):
        outside.bundle()
    count = count_of(sticks.folder / "main-1")
    assert count > 2
    for number in range(3, count + 1):
        sticks.next()
        with pytest.raises(StorageError, match=rf"volume {number} of {count} .*Put the next stick there") as caught:
            outside.bundle()
        assert f"Written so far: {', '.join(map(str, range(1, number)))}." in str(caught.value)
    sticks.next()
    assert f"{', '.join(map(str, range(1, count)))} written" in outside.bundle()
    merged = sticks.merged(tmp_path / "all")
    assert set(contents_of(merged / "main-1").values()) == set(published(outside.output).values())


def test_what_does_not_fit_is_refused_before_anything_is_written_with_the_number_of_volumes(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    sticks = Sticks(tmp_path / "stick", SOME, monkeypatch)
    outside.configure(to=str(sticks.folder), volume=None)
    with pytest.raises(
        StorageError,
        match=r"Nothing was begun.*set `volume: \d+k` under transfer, and it takes \d volumes of that size",
    ):
        outside.bundle()
    assert tree(sticks.folder) == {}
    assert not outside.sendings.folder.exists()


def test_a_full_disk_stops_it_in_words_and_the_next_run_goes_on(outside: Outside) -> None:
    dodo = outside.folder / "dodo.py"
    plain = dodo.read_text()
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    dodo.write_text(f"{limit}resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n{plain}")
    launcher().start(outside.folder, "bundle", "--unproven")
    done = launcher().wait()
    assert done.returncode == 1
    assert "Make room, then run again" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    dodo.write_text(plain)
    assert "Going on with bundle main-1" in outside.bundle()
    contents_of(outside.bundled(1))


def test_a_target_that_is_not_there_as_a_folder_is_said(tmp_path: Path, outside: Outside) -> None:
    (tmp_path / "stick").symlink_to(tmp_path / "nowhere")
    outside.configure(to=str(tmp_path / "stick"))
    with pytest.raises(ResolutionError, match=r"found a link to nowhere.*Put the stick there"):
        outside.bundle()


def test_nothing_is_written_to_where_a_stick_is_not(tmp_path: Path, outside: Outside) -> None:
    outside.configure(to=str(tmp_path / "media" / "stick"))
    with pytest.raises(ResolutionError, match=r"media/stick: expected a folder, found none. Put the stick there"):
        outside.bundle()
    assert not (tmp_path / "media").exists()
    assert not outside.sendings.folder.exists()


# Runs that end early, and mirrors that change


def test_what_another_bundle_left_in_a_folder_is_never_taken_for_a_part_of_this_one(outside: Outside) -> None:
    outside.bundle()
    count = count_of(outside.bundled(1))
    shutil.rmtree(outside.bundled(1))
    shutil.rmtree(outside.sendings.folder)
    for number in (1, 2):
        folder = outside.bundled(1) / f"volume-{number}-of-{count}"
        (folder / "files" / "packages").mkdir(parents=True)
        (folder / "files" / "packages" / "stale").write_bytes(b"stale")
        (folder / "volume.json").write_text('{"manifest": "%s", "volume": 1}\n' % ("a" * 64))
    outside.bundle()
    contents_of(outside.bundled(1))


def test_a_volume_of_which_something_was_altered_is_completed(outside: Outside) -> None:
    outside.bundle()
    whole = tree(outside.bundled(1))
    volume = max(outside.bundled(1).iterdir(), key=lambda one: len(tree(one)))
    first, second, *_ = sorted(path for path in (volume / "files").rglob("*") if path.is_file())
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    second.unlink()
    (volume / "files" / ".x.part").write_bytes(b"half")
    (volume / "files" / "empty").mkdir()
    (volume / "files" / "link").symlink_to(first)
    bundler, _ = outside.bundler()
    bundler.rewrite(int(volume.name.split("-")[1]))
    assert tree(outside.bundled(1)) == whole
    assert not (volume / "files" / "empty").exists()
    assert not (volume / "files" / "link").is_symlink()


def test_a_lost_volume_is_written_again_as_it_was(outside: Outside) -> None:
    outside.bundle()
    whole = tree(outside.bundled(1))
    shutil.rmtree(next(outside.bundled(1).glob("volume-2-of-*")))
    outside.bundler()[0].rewrite(2)
    assert tree(outside.bundled(1)) == whole
    count = count_of(outside.bundled(1))
    with pytest.raises(
        ResolutionError, match=f"volume {count + 1}: expected the number of a volume; bundle 1 has {count}"
    ):
        outside.bundler()[0].rewrite(count + 1)


def stop_after(volumes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a run end after so many volumes."""
    plain, count = writing.write_volume, iter(range(volumes))

    def stopping(*arguments: Any) -> None:
        if next(count, None) is None:
            raise KeyboardInterrupt
        plain(*arguments)

    monkeypatch.setattr("mirror_tasks.transfer.bundle.write_volume", stopping)


def interrupted(outside: Outside, monkeypatch: pytest.MonkeyPatch, asked: Asked = UNPROVEN) -> None:
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(KeyboardInterrupt):
            outside.bundle(asked)


def test_where_the_mirror_changed_meanwhile_the_next_number_is_made_on_the_same_base(
    outside: Outside, months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(outside, monkeypatch)
    outside.becomes(months.second)
    said = outside.bundle()
    assert "Bundle main-1 was not finished, and what is to be carried has changed: a new one is made." in said
    assert "What was written of it is deleted." in said
    assert not outside.bundled(1).exists()
    assert manifest_of(outside.bundled(2))["base"] is None
    assert set(contents_of(outside.bundled(2)).values()) == set(published(outside.output).values())
    with pytest.raises(ResolutionError, match="found one of which not all volumes were written; there are 2"):
        bases.mark_sent(outside.sendings, 1)


def test_volumes_that_were_deleted_for_another_bundle_are_written_again_where_that_came_to_nothing(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(outside, monkeypatch)
    outside.configure(volume="50k")
    with pytest.raises(ResolutionError, match="expected volumes of at least"):
        outside.bundle()
    outside.configure()
    assert "none written" in outside.bundle()
    assert set(contents_of(outside.bundled(1)).values()) == set(published(outside.output).values())


def test_where_a_bundle_was_not_marked_as_sent_the_next_one_has_what_it_has(outside: Outside, months: Months) -> None:
    outside.bundle()
    outside.becomes(months.second)
    assert "Bundle main-1 was not marked as sent: what it has is in the new one too" in outside.bundle()
    assert outside.bundled(1).exists()
    assert set(contents_of(outside.bundled(2)).values()) == set(published(outside.output).values())


def test_run_again_for_the_next_stick_it_goes_on_with_what_was_asked_for(
    outside: Outside, months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    outside.becomes(months.second)
    interrupted(outside, monkeypatch, Asked(full=True, unproven=True))
    assert "volumes, 1, 2 written." in outside.bundle()
    assert set(contents_of(outside.bundled(2)).values()) == set(published(outside.output).values())


def test_another_size_of_volumes_makes_another_bundle(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(outside, monkeypatch)
    outside.configure(volume=None)
    outside.bundle()
    assert manifest_of(outside.bundled(2))["volumes"] == 1


def test_each_stream_has_numbers_of_its_own(outside: Outside) -> None:
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    outside.configure(stream="other")
    outside.bundle()
    assert manifest_of(outside.folder / "bundles" / "other-1")["base"] is None


def test_old_manifests_are_forgotten_and_what_is_inside_is_not(outside: Outside) -> None:
    outside.configure(volume=None)
    outside.bundle()
    bases.mark_sent(outside.sendings, 1)
    for number in range(13):
        outside.configure(volume=f"{100 + number}M")
        outside.bundle(Asked(full=True, unproven=True))
    assert outside.sendings.sequences() == list(range(1, 15)), "on which may be built by --since"
    bases.mark_sent(outside.sendings, 14)
    outside.configure(volume="200M")
    outside.bundle(Asked(full=True, unproven=True))
    assert outside.sendings.sequences() == list(range(4, 16))
    assert "has it all" in outside.bundle(Asked(full=True, unproven=True))


def moments(total: int, count: int) -> list[int]:
    return sorted(random.Random(3).sample(range(1, total + 1), count))


def run_and_count(outside: Outside, counted: Path, **settings: str) -> tuple[int, int]:
    """Bundle in a process of its own; return its exit status, and how many files it put into place."""
    (outside.folder / "dodo.py").write_text(KILLING_ITSELF + DODO)
    counted.mkdir()
    launcher().start(outside.folder, "bundle", "--unproven", COUNTED=str(counted), **settings)
    status = launcher().wait().returncode
    (outside.folder / "dodo.py").write_text(DODO)
    return status, (counted / "first").stat().st_size


def test_killed_at_any_moment_it_goes_on_where_it_was(tmp_path: Path, outside: Outside, months: Months) -> None:
    whole = Outside(tmp_path / "whole", months)
    status, count = run_and_count(whole, tmp_path / "counted", SOURCE_DATE_EPOCH=NOON)
    assert status == 0
    assert count > 70
    for number, moment in enumerate(moments(count, KILLS)):
        one = Outside(tmp_path / str(number), months)
        told = {"KILLER": "first", "KILL_AT": str(moment), "SOURCE_DATE_EPOCH": NOON}
        status, _ = run_and_count(one, tmp_path / f"counted-{number}", **told)
        assert status == -signal.SIGKILL
        assert_nothing_half_done_is_a_volume(one.folder / "bundles")
        one.bundle()
        assert tree(one.folder / "bundles") == tree(whole.folder / "bundles")


def assert_nothing_half_done_is_a_volume(bundles: Path) -> None:
    """Assert that what has a manifest is a whole volume."""
    for path in bundles.glob("*/*/manifest.json"):
        about = json.loads((path.parent / "volume.json").read_text())
        for _, _, parts in json.loads(path.read_bytes())["contents"]:
            for volume, place, size, sha256 in parts:
                if volume == about["volume"]:
                    content = (path.parent / "files" / place).read_bytes()
                    assert (len(content), hashlib.sha256(content).hexdigest()) == (size, sha256)


def signing_key(folder: Path, name: str) -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen was not found")
    subprocess.run([program, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    return str(folder / name)


def test_each_volume_has_the_signatures_and_nobody_is_asked_twice(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [signing_key(outside.folder, name) for name in ("old", "new")]
    outside.configure(sign=[{"ssh": key} for key in keys])
    interrupted(outside, monkeypatch)
    monkeypatch.setenv("PATH", str(outside.folder / "no-programs"))
    monkeypatch.setattr("mirror_tasks.transfer.bundle.check_signers", lambda signers: None)
    monkeypatch.setattr("mirror_tasks.transfer.signing.check_signers", lambda signers: None)
    assert "Going on with bundle main-1" in outside.bundle()
    for name in ("manifest.json.ssh", "manifest.json.ssh-2"):
        found = [(volume / name).read_bytes() for volume in outside.bundled(1).iterdir()]
        assert len(found) == count_of(outside.bundled(1)) > 2
        assert len(set(found)) == 1
        assert found[0].startswith(b"-----BEGIN SSH SIGNATURE-----")


def test_where_nobody_can_sign_nothing_is_written(outside: Outside) -> None:
    outside.configure(sign={"ssh": "no-key"})
    with pytest.raises(MirrorError, match="no-key"):
        outside.bundle()
    assert not (outside.folder / "bundles").exists()
    assert not outside.sendings.folder.exists()


def test_where_the_system_has_no_sync_each_file_is_waited_for(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    monkeypatch.delattr(os, "sync")
    monkeypatch.setattr(os, "fsync", lambda number: waited.append(os.fstat(number).st_ino))
    outside.bundle()
    there = {path.stat().st_ino for path in outside.bundled(1).rglob("*") if path.is_file()}
    assert there <= set(waited)


# What arrived broken


def missing_of(bundled: Path, *contents: str) -> bytes:
    found = {"format": 1, "stream": "main", "sequence": 1, "manifest": digest_of(bundled), "contents": list(contents)}
    return json.dumps(found).encode()


def test_what_arrived_broken_is_carried_alone(outside: Outside) -> None:
    outside.bundle()
    sums = sums_of(outside.output)
    wheel, page = sums["packages/alone/alone-3.0-py3-none-any.whl"], sums["simple/index.html"]
    done = outside.bundler()[0].again(read_missing(missing_of(outside.bundled(1), wheel, page)))
    (volume,) = done.volumes
    assert volume.folder == outside.bundled(1) / "again-1-of-1"
    there = tree(volume.folder)
    assert {path for path in there if path.startswith("files/")} == {
        "files/packages/alone/alone-3.0-py3-none-any.whl",
        "files/simple/index.html",
    }
    assert json.loads(there["volume.json"]) == {"manifest": digest_of(outside.bundled(1)), "volume": 0}
    assert hashlib.sha256(there["manifest.json"]).hexdigest() == digest_of(outside.bundled(1))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected the file that receive.py --missing writes"),
        (b"[]", "expected the file that receive.py --missing writes"),
        (b'{"format": 2}', "expected format 1, found 2"),
        (b"\xff", "expected the file that receive.py --missing writes"),
        (b"[" * 100_000, "expected the file that receive.py --missing writes"),
    ],
)
def test_a_file_that_does_not_say_what_is_missing_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_missing(content)


def test_what_is_missing_of_a_bundle_of_somebody_else_is_refused(outside: Outside) -> None:
    outside.bundle()
    found = json.loads(missing_of(outside.bundled(1), "b" * 64))
    for changed in ({"stream": "other"}, {"manifest": "a" * 64}, {"sequence": 7}):
        with pytest.raises(ResolutionError, match="which was not made here"):
            outside.bundler()[0].again(read_missing(json.dumps({**found, **changed}).encode()))
    with pytest.raises(ResolutionError, match="which bundle 1 does not have"):
        outside.bundler()[0].again(read_missing(json.dumps(found).encode()))


# What is told


def test_list_says_what_a_bundle_would_carry(outside: Outside, months: Months) -> None:
    def line() -> str | None:
        config = load(outside.folder / "mirror.yaml")
        assert config.transfer is not None
        return outlook(Mirror(config, print), config.transfer)

    assert str(line()).startswith("carries everything: ")
    outside.bundle()
    assert str(line()).endswith("; bundle 1 was not sent yet")
    bases.mark_sent(outside.sendings, 1)
    assert line() == "nothing is new since bundle 1"
    outside.becomes(months.second)
    assert str(line()).startswith("carries what is new since bundle 1: ")
    (outside.output / "SHA256SUMS").unlink()
    assert line() is None


def test_the_verb_prints_a_table_and_what_to_do_next(outside: Outside) -> None:
    def doit(*arguments: str) -> subprocess.CompletedProcess[str]:
        launcher().start(outside.folder, *arguments)
        done = launcher().wait()
        assert "Traceback" not in done.stdout + done.stderr
        return done

    done = doit("bundle", "--unproven")
    assert done.returncode == 0
    assert "volume-2-of-" in done.stdout
    assert "python3 receive.py FOLDER --to DIRECTORY --unsigned" in done.stdout
    assert doit("bundle", "--sent", "1").stdout == "Bundle 1 is marked as sent; the next one builds on it.\n"
    assert "bundle         nothing is new since bundle 1\n" in doit("list").stdout
    both = doit("bundle", "--full", "--since", "1")
    assert both.returncode == 1
    assert "--since --full: expected one of these, found several" in both.stdout
    (outside.folder / "missing.json").write_bytes(b"{}")
    assert "expected the file that receive.py --missing writes" in doit("bundle", "--again", "missing.json").stdout
    outside.configure(sign=None)
    assert "expected who signs bundles under transfer.sign, found nobody" in doit("bundle").stdout
    (outside.folder / "mirror.yaml").write_text(
        (outside.folder / "mirror.yaml").read_text().partition("transfer:")[0], "utf-8"
    )
    assert "expected `transfer:`, found none. Add it, such as transfer:" in doit("bundle").stdout


def test_mirror_prove_bundle_is_one_after_the_other(outside: Outside, months: Months) -> None:
    with FakeIndex(small_world()) as index:
        index.add("alone", *wheel("alone", "3.1"))
        path = outside.folder / "mirror.yaml"
        config = yaml.safe_load(path.read_text("utf-8"))
        path.write_text(yaml.safe_dump({**config, "index": index.url, "accept-changed": ["alone"]}), "utf-8")
        launcher().start(outside.folder, "mirror", "prove", "--own", "bundle")
        done = launcher().wait()
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.index("pairs proven") < done.stdout.index("Bundle main-1")
        assert "packages/alone/alone-3.1-py3-none-any.whl" in sums_of(outside.output)
        assert set(contents_of(outside.bundled(1)).values()) == set(published(outside.output).values())
        assert manifest_of(outside.bundled(1))["made"]["proof"]
    launcher().start(outside.folder, "mirror", "bundle")
    done = launcher().wait()
    assert done.returncode != 0, "there is no index any more"
    assert "Bundle main" not in done.stdout
