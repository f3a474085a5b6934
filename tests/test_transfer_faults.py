"""What goes wrong on the way is told, with what to do; the old mirror serves on, and the right bundle then applies."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crossing import Sent, load_receiver, mirror_state, served, write, write_bundle
from tests.making import wheel
from tests.signing_keys import made, needs, new_ssh_key

pytestmark = needs("ssh-keygen")
receiver = load_receiver()
LARGE = "packages/large/large-1.0-py3-none-any.whl"
NEW = "packages/foo/foo-1.1-py3-none-any.whl"
PAGE = "simple/foo/index.html"


@dataclass(frozen=True)
class World:
    """A mirror inside that has bundle 1, and bundles that were sent, signed by a key that is trusted there.

    :ivar gap: builds on the second one.
    """

    folder: Path
    first: Sent
    second: Sent
    gap: Sent

    @property
    def root(self) -> Path:
        return self.folder / "srv"

    def receive(self, *folders: Path, trust: str = "allowed") -> tuple[int, str]:
        """Run receive.py; return its exit status and all that it says."""
        words = io.StringIO()
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            arguments = [*folders, "--to", self.root, "--trust", self.folder / trust]
            status = receiver.main([str(argument) for argument in arguments])
        return status, words.getvalue()


def sign(sent: Sent, key: Path, namespace: str = "mirror-tasks-bundle") -> Sent:
    """Sign a bundle, in each of its volumes."""
    signature = made("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), stdin=sent.manifest)
    for volume in sent.volumes:
        write(volume / "manifest.json.ssh", signature.encode())
    return sent


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    foo = [dict([wheel("foo", version)]) for version in ("1.0", "1.1", "1.2")]
    noise = {"noise.bin": random.Random(1).randbytes(9000)}
    large = dict([wheel("large", "1.0", files=noise)])
    states = [
        mirror_state({"foo": foo[0]}),
        mirror_state({"foo": {**foo[0], **foo[1]}, "large": large}, {"receive.py": b"# a newer one\n"}),
        mirror_state({"foo": {**foo[1], **foo[2]}, "large": large}),
    ]
    first = write_bundle(folder / "sent", states[0], 1)
    second = write_bundle(folder / "sent", states[1], 2, base=first, volume=4000)
    gap = write_bundle(folder / "sent", states[2], 3, base=second)
    world = World(folder, first, second, gap)
    for name in ("key", "stranger"):
        key = new_ssh_key(folder / name)
        public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
        (folder / ("allowed" if name == "key" else "others")).write_text(f"{name}@example.com {public}\n")
    for sent in (first, second, gap):
        sign(sent, folder / "key")
    assert world.receive(first.folder)[0] == 0
    return world


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    shutil.copytree(template.folder, tmp_path / "world", symlinks=True)

    def moved(sent: Sent) -> Sent:
        return Sent(tmp_path / "world" / "sent" / sent.folder.name, sent.manifest, sent.state)

    return World(tmp_path / "world", moved(template.first), moved(template.second), moved(template.gap))


def file_of(sent: Sent, place: str) -> Path:
    """Return where on the stick a content is."""
    return next(volume / "files" / place for volume in sent.volumes if (volume / "files" / place).exists())


def flip(path: Path, position: int | None = None) -> None:
    """Flip a bit, in the middle of a file unless another place is said."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1
    path.write_bytes(content)


# What is altered on the way: which file, and what is said of it.

Fault = Callable[[World], "list[Path] | None"]  # may return the folders to be received, else the second bundle's


def altered(place: str) -> Fault:
    return lambda world: flip(file_of(world.second, place))


def altered_beside(name: str) -> Fault:
    def fault(world: World) -> None:
        for volume in world.second.volumes:
            flip(volume / name)

    return fault


def cut_short(world: World) -> None:
    path = file_of(world.second, NEW)
    path.write_bytes(path.read_bytes()[:-1])


def made_longer(world: World) -> None:
    path = file_of(world.second, NEW)
    path.write_bytes(path.read_bytes() + b"\0")


def lost(world: World) -> None:
    file_of(world.second, NEW).unlink()


def led_elsewhere(world: World) -> None:
    path = file_of(world.second, NEW)
    path.rename(world.folder / "elsewhere")
    path.symlink_to(world.folder / "elsewhere")


def turned_into_a_pipe(world: World) -> None:
    path = file_of(world.second, NEW)
    path.unlink()
    os.mkfifo(path)


def renumbered(world: World) -> None:
    for volume in world.second.volumes:
        (volume / "manifest.json").write_bytes(world.second.manifest.replace(b'"sequence":2', b'"sequence":9'))


def signed_by_a_stranger(world: World) -> None:
    sign(world.second, world.folder / "stranger")


def signed_for_files(world: World) -> None:
    sign(world.second, world.folder / "key", "file")


def signed_as_another(world: World) -> None:
    for volume in world.second.volumes:
        shutil.copy(world.first.volumes[0] / "manifest.json.ssh", volume)


def unsigned(world: World) -> None:
    for volume in world.second.volumes:
        (volume / "manifest.json.ssh").unlink()


def skipped(world: World) -> list[Path]:
    return [world.gap.folder]


def another_of_the_same_number(world: World) -> list[Path]:
    other = write_bundle(world.folder / "other", mirror_state({"bar": dict([wheel("bar", "1.0")])}), 1)
    return [sign(other, world.folder / "key").folder]


def on_another_base(world: World) -> list[Path]:
    other = write_bundle(world.folder / "other", world.first.state, 1, changes={"made": {**MADE, "by": "another"}})
    return [sign(write_bundle(world.folder / "other", world.second.state, 2, base=other), world.folder / "key").folder]


def no_bundle(world: World) -> list[Path]:
    (world.folder / "empty").mkdir()
    return [world.folder / "empty"]


MADE = {"at": "2026-11-26T12:00:00Z", "by": "", "plan": "0" * 64, "proof": None, "report": None, "approval": None}
NOT_AS_SENT = "1 file of its volumes is not as sent: files/"
NOBODY = "nobody who is trusted here has signed the bundle in"
AGAIN = "doit bundle --again FILE"

REFUSED = {
    "a wheel": (altered(NEW), [NOT_AS_SENT + NEW, "its bytes are not those that the manifest names", AGAIN]),
    "a page": (altered(PAGE), [NOT_AS_SENT + PAGE, AGAIN]),
    "SHA256SUMS": (altered("SHA256SUMS"), [NOT_AS_SENT + "SHA256SUMS", AGAIN]),
    "receive.py, that of the mirror": (altered("receive.py"), [NOT_AS_SENT + "receive.py", AGAIN]),
    "a part of a cut file": (altered(LARGE + ".part-2-of-3"), [NOT_AS_SENT + LARGE + ".part-2-of-3", AGAIN]),
    "a file that is shorter": (cut_short, [NOT_AS_SENT + NEW, "bytes long", AGAIN]),
    "a file that is longer": (made_longer, [NOT_AS_SENT + NEW, "bytes long", AGAIN]),
    "a file that is lost": (lost, [NOT_AS_SENT + NEW, "there is no such file", AGAIN]),
    "a file that is a link": (led_elsewhere, [NOT_AS_SENT + NEW, "there is no such file", AGAIN]),
    "a file that is a pipe": (turned_into_a_pipe, [NOT_AS_SENT + NEW, "there is no such file", AGAIN]),
    "the manifest": (
        altered_beside("manifest.json"),
        [NOBODY, "it is not a signature of this manifest", "one that was altered on its way is to be carried again"],
    ),
    "the number": (renumbered, [NOBODY, "it is not a signature of this manifest"]),
    "the signature": (altered_beside("manifest.json.ssh"), [NOBODY, "it is not a signature of this manifest"]),
    "a stranger's signature": (signed_by_a_stranger, [NOBODY, "ED25519 key SHA256:", "which is not trusted there"]),
    "a signature for something else": (signed_for_files, [NOBODY, "namespace does not match"]),
    "the signature of another bundle": (signed_as_another, [NOBODY, "it is not a signature of this manifest"]),
    "no signature": (unsigned, ["has no signature", "transfer.sign", "--unsigned"]),
    "a bundle was skipped": (skipped, ["it builds on bundle 2, which is not inside", "Missing: 2", "--since 1"]),
    "another of the same number": (
        another_of_the_same_number,
        ["another bundle 1 was received already", "stream of its own"],
    ),
    "another base": (on_another_base, ["it builds on another bundle 1 than the one that was received", "--full"]),
    "nothing": (no_bundle, ["there is no bundle in", "Give the folder of a volume, that of a bundle, or the stick"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told_with_what_to_do_and_the_right_bundle_then_applies(world: World, name: str) -> None:
    kept = world.folder / "kept"
    shutil.copytree(world.second.folder, kept)
    fault, sentences = REFUSED[name]
    folders = fault(world) or [world.second.folder]
    status, said = world.receive(*folders)
    assert status == 1, said
    for sentence in sentences:
        assert sentence in said
    assert "Traceback" not in said
    assert "a fault of this program" not in said
    assert served(world.root) == world.first.state

    assert world.receive(kept)[0] == 0
    assert served(world.root) == world.second.state


# What is altered and costs nothing: it is not believed in the first place.


def one_signature(world: World) -> None:
    flip(world.second.volumes[0] / "manifest.json.ssh")


def files_between_volumes(world: World) -> None:
    one, other = (volume / "files" for volume in world.second.volumes[:2])
    one.rename(world.folder / "aside")
    other.rename(one)
    (world.folder / "aside").rename(other)


def names_of_volumes(world: World) -> None:
    one, other = world.second.volumes[:2]
    one.rename(world.folder / "aside")
    other.rename(one)
    (world.folder / "aside").rename(other)


def a_volume_twice(world: World) -> None:
    shutil.copytree(world.second.volumes[0], world.second.folder / "copy of the first")


def a_volume_of_an_older_bundle_besides(world: World) -> None:
    shutil.copytree(world.first.volumes[0], world.second.folder / "volume-9-of-9")


def strange_files_besides(world: World) -> None:
    for volume in world.second.volumes:
        write(volume / "files" / "packages" / "evil" / "evil-1.0.tar.gz", b"strange")
        write(volume / "System Volume Information" / "x", b"strange")


HARMLESS = {
    "one signature of several": one_signature,
    "volume.json": altered_beside("volume.json"),
    "receive.py on the stick": altered_beside("receive.py"),
    "files between volumes": files_between_volumes,
    "names of volumes": names_of_volumes,
    "a volume twice": a_volume_twice,
    "a volume of an older bundle besides": a_volume_of_an_older_bundle_besides,
    "strange files besides": strange_files_besides,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_nothing_depends_on_may_be_altered(world: World, name: str) -> None:
    HARMLESS[name](world)
    status, said = world.receive(world.second.folder)
    assert status == 0, said
    assert served(world.root) == world.second.state


# Volumes that are not there.


def test_volumes_come_in_any_order_and_what_is_missing_is_named_each_time(world: World) -> None:
    one, two, three, four = world.second.volumes
    for volume, missing, it in (
        (three, "volumes 1-2, 4", "them"),
        (one, "volumes 2, 4", "them"),
        (four, "volume 2", "it"),
    ):
        status, said = world.receive(volume)
        assert status == 3
        assert f"waits for {missing} of 4; what was verified is kept. Bring {it}, and run again." in said
        assert served(world.root) == world.first.state
    assert world.receive(two)[0] == 0
    assert served(world.root) == world.second.state


def test_a_volume_in_place_of_another_is_told_by_what_is_missing(world: World) -> None:
    shutil.rmtree(world.second.volumes[1])
    shutil.copytree(world.first.volumes[0], world.second.folder / "volume-2-of-4")
    status, said = world.receive(world.second.folder)
    assert status == 3
    assert "bundle 1 of main is inside already" in said
    assert "bundle 2 of main waits for volume 2 of 4" in said
    assert served(world.root) == world.first.state


def test_a_volume_whose_manifest_was_altered_holds_up_no_other_one(world: World) -> None:
    volume = world.second.volumes[0]
    right = world.folder / "right"
    shutil.copytree(volume, right)
    changed = world.second.manifest.replace(b"2026-11-26", b"2026-11-27")
    assert changed != world.second.manifest
    (volume / "manifest.json").write_bytes(changed)
    status, said = world.receive(world.second.folder)
    assert status == 1
    assert f"{NOBODY} {volume}" in said
    assert "waits for volume 1 of 4" in said
    assert served(world.root) == world.first.state
    assert world.receive(right)[0] == 0
    assert served(world.root) == world.second.state


def test_a_file_that_arrived_broken_is_all_that_has_to_come_again(world: World) -> None:
    path = file_of(world.second, NEW)
    right = path.read_bytes()
    flip(path)
    assert world.receive(world.second.folder)[0] == 1
    for volume in world.second.volumes:
        shutil.rmtree(volume / "files")
    write(path, right)
    assert world.receive(world.second.folder)[0] == 0
    assert served(world.root) == world.second.state


# Bundles in a wrong order.


def test_an_older_bundle_is_not_played_again(world: World) -> None:
    assert world.receive(world.second.folder)[0] == 0
    status, said = world.receive(world.first.folder)
    assert status == 1
    assert "bundle 2 was received already, and 1 is older: what is inside does not go back" in said
    assert served(world.root) == world.second.state
    assert world.receive(world.gap.folder)[0] == 0


def test_bundles_that_lie_in_a_wrong_order_are_applied_in_the_right_one(world: World) -> None:
    status, said = world.receive(world.gap.folder, world.second.folder, world.first.folder)
    assert status == 0
    assert said.index("bundle 2 of main is in place") < said.index("bundle 3 of main is in place")


def test_a_bundle_after_one_that_waits_is_not_looked_at_and_that_is_told(world: World) -> None:
    shutil.rmtree(world.second.volumes[0])
    status, said = world.receive(world.gap.folder, world.second.folder)
    assert status == 3
    assert f"bundle 3 of main, in {world.gap.volumes[0]}, was not looked at: one before it is not in place" in said
    assert served(world.root) == world.first.state


def test_a_bundle_that_is_inside_is_inside(world: World) -> None:
    status, said = world.receive(world.first.folder)
    assert (status, served(world.root)) == (0, world.first.state)
    assert "bundle 1 of main is inside already, in generation 1, which is served" in said


# Bits at random.


def test_no_bit_of_a_bundle_brings_anything_else_inside(world: World) -> None:
    """The state is the old one or the new one, whichever bit is flipped, and it is never the new one with that bit."""
    choose = random.Random(7)
    files = sorted(path for path in world.second.folder.rglob("*") if path.is_file())
    for path in choose.sample(files, 12):
        right = path.read_bytes()
        flip(path, choose.randrange(len(right)))
        status, said = world.receive(path.parent if path.name == "manifest.json" else world.second.folder)
        path.write_bytes(right)
        assert status in (0, 1, 3), said
        assert "a fault of this program" not in said
        if status == 0:
            assert served(world.root) == world.second.state
            shutil.rmtree(world.root)
            world.receive(world.first.folder)
        assert served(world.root) == world.first.state
