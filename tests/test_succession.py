"""An output belongs to one configuration, can be moved and copied, and tells a successor how it was made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mirror_tasks.config.mirror_yaml import KEYS, load
from mirror_tasks.config.model import Root
from mirror_tasks.errors import ConfigError
from mirror_tasks.succession import OutputError, check_output, description
from tests.fake_index import FakeIndex
from tests.mirroring import ENVIRONMENTS, MirrorFolder, asked, mirror_folder, packages, small_world, tree


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def wholes(index: FakeIndex) -> list[str]:
    """Return the files that were asked for, but for the core metadata beside them."""
    return [path for path in asked(index) if not path.endswith(".metadata")]


# --- Whose an output is


@pytest.mark.parametrize("beside", [True, False])
def test_a_second_configuration_with_the_same_output_is_refused_and_changes_nothing(
    tmp_path: Path, index: FakeIndex, beside: bool
) -> None:
    first = mirror_folder(tmp_path / "first", index)
    first.mirrored()
    before = tree(first.output)
    index.requests.clear()
    second = first if beside else mirror_folder(tmp_path / "second", index)
    second.configure(index.url, "lab.yaml", requirements=["alone"], output=str(first.output))
    for arguments in (["mirror"], ["index"], ["server"]):
        done = second.doit(*arguments, MIRROR_CONFIG="lab.yaml")
        assert done.returncode not in (0, 130)
        assert "found one that another configuration made (it requires: app[fast], sourced, alone)" in said(done)
        assert tree(first.output) == before
    assert dict(index.requests) == {}
    (first.output / "mirror.json").unlink()
    done = second.doit("mirror", MIRROR_CONFIG="lab.yaml")
    assert done.returncode == 0, said(done)
    assert not wholes(index), "what is there is taken over"
    done = first.doit("mirror")
    assert done.returncode not in (0, 130), "it is the other one's now"
    assert "(it requires: alone)" in said(done)


def test_a_mirror_can_be_changed_copied_moved_and_lose_its_state(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path / "first", index)
    project.mirrored()
    shutil.copytree(project.output, tmp_path / "old")
    project.configure(index.url, requirements=["alone"])
    project.mirrored()
    shutil.rmtree(project.output)
    shutil.copytree(tmp_path / "old", project.output)  # a copy of what was published here before
    project.mirrored()
    shutil.rmtree(project.state)
    project.mirrored()
    project.folder.rename(tmp_path / "moved")
    moved = MirrorFolder(tmp_path / "moved")
    moved.mirrored()
    elsewhere = mirror_folder(tmp_path / "elsewhere", index, requirements=["alone"])
    shutil.copytree(moved.output, elsewhere.output)
    index.requests.clear()
    elsewhere.mirrored()
    assert not wholes(index)
    assert (elsewhere.output / "SHA256SUMS").read_bytes() == (moved.output / "SHA256SUMS").read_bytes()


# --- What can be no output


def dangling(output: Path) -> None:
    output.symlink_to("nowhere")


def to_itself(output: Path) -> None:
    output.symlink_to(output.name)


def a_file(output: Path) -> None:
    output.write_text("x")


def below_a_file(output: Path) -> None:
    output.parent.rmdir()
    output.parent.write_text("x")


def over_the_state(output: Path) -> None:
    output.mkdir()
    (output / "state").mkdir()
    (output.parent.parent / ".mirror").symlink_to(output / "state")


OUTPUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a dangling link": (dangling, "is a link to nowhere, which is not there"),
    "a link to itself": (to_itself, "is a link to out, which is not there"),
    "a file": (a_file, "expected a folder, found the file"),
    "below a file": (below_a_file, "expected a folder, found the file"),
    "what the state lies in": (over_the_state, "the folder of this project's state, lies in it"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_can_be_no_output_is_told_as_what_it_is(tmp_path: Path, index: FakeIndex, kind: str) -> None:
    make, problem = OUTPUTS[kind]
    output = tmp_path / "below" / "out"
    output.parent.mkdir()
    make(output)
    project = mirror_folder(tmp_path, index, output=str(output))
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert problem in said(done)
    assert "output: " in said(done)
    assert dict(index.requests) == {}


def test_an_output_that_can_not_be_written_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(configured(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # whom these tests run as may write anywhere
    with pytest.raises(OutputError, match=r"found that .* does not permit it"):
        check_output(config, lambda sha256: False)


def test_an_output_that_is_a_link_to_a_folder_is_one(tmp_path: Path, index: FakeIndex) -> None:
    (tmp_path / "large disk").mkdir()
    project = mirror_folder(tmp_path / "project", index)
    project.output.symlink_to(tmp_path / "large disk")
    project.mirrored()
    project.mirrored()
    assert (tmp_path / "large disk" / "SHA256SUMS").exists()


# --- A successor


def configured(folder: Path) -> Path:
    """Write a ``mirror.yaml`` with everything in it, and the files it names."""
    for name, text in {
        "requirements.txt": "-c limits.txt\n-r more.txt\napp[fast]>=1 ; python_version >= '3.8'  # by hand\n",
        "more.txt": f"alone==3.0 --hash=sha256:{'a' * 64} --hash=sha256:{'b' * 64}\n",
        "limits.txt": f"lib-core<2\nlib-hashed==2 --hash=sha256:{'c' * 64}\n",
        "wanted.txt": "speed==2.0  # asked for 3 times\n",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "deep" / "requirements.txt").write_text("sourced\n", encoding="utf-8")
    content = {
        "index": "https://user:very-secret@index.example.com/simple/",
        "output": str(folder / "mirror"),
        "url": "https://packages.inside.example/",
        "environments": ENVIRONMENTS,
        "requirements": [
            {"file": "requirements.txt"},
            {"file": str(folder / "deep" / "requirements.txt"), "versions": 2},
            {"require": "numpy>=1.24", "versions": "all"},
            "requests>=2.24.0",
            {"wanted": "wanted.txt"},
        ],
        "versions": 3,
        "wheels": "best",
        "sdists": "fallback",
        "build-requirements": "ask",
        "prereleases": True,
        "prefer-binary": True,
    }
    path = folder / "mirror.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def without_places(roots: tuple[Root, ...]) -> list[Root]:
    """Return roots without where they stand."""
    return [
        replace(
            root,
            name="",
            key_path="",
            requirements=tuple(sorted((replace(one, where="") for one in root.requirements), key=str)),
            hashed_constraints=tuple(replace(one, where="") for one in root.hashed_constraints),
        )
        for root in roots
    ]


OF_THE_MACHINE = {"output", "index", "workers", "refresh", "accept-changed", "transfer", "policy", "report"}
"""The keys that say something of the machine, of the moment or of who answers for it, not of the mirror."""


def test_a_successor_has_the_same_configuration_from_mirror_json_alone(tmp_path: Path) -> None:
    first = load(configured(tmp_path))
    about = json.loads(json.dumps(description(first)))
    text = json.dumps(about)
    for secret in ("very-secret", "index.example.com", str(tmp_path), "by hand"):
        assert secret not in text
    successor = tmp_path / "successor"
    successor.mkdir()
    for name, content in about["configuration"].items():
        (successor / name).write_text(content, encoding="utf-8")
    second = load(successor / "mirror.yaml")
    assert without_places(second.roots) == without_places(first.roots)
    same = ("environments", "versions", "wheels", "sdists", "build_requirements", "ask_backends", "prereleases", "url")
    assert [getattr(second, key) for key in same] == [getattr(first, key) for key in same]
    assert set(yaml.safe_load(about["configuration"]["mirror.yaml"])) | OF_THE_MACHINE == set(KEYS)
    assert description(second)["configuration"] == about["configuration"], "and so the mirror is theirs to go on with"


def test_mirror_json_says_what_made_it_and_for_what_in_full(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, requirements=["alone", "flaskk-zzz"])
    assert project.doit("mirror").returncode not in (0, 130)
    assert packages(project.output).keys() == {"alone"}
    about = json.loads((project.output / "mirror.json").read_bytes())
    assert about["made_by"].startswith("mirror-tasks ")
    assert yaml.safe_load(about["configuration"]["mirror.yaml"])["environments"] == ENVIRONMENTS
    assert about["lacking"] == ["flaskk-zzz on laptop", "flaskk-zzz on server"]
    full = {one["name"]: one for one in about["environments_in_full"]}
    assert full["server"]["markers"][0]["sys_platform"] == "linux"
    assert full["laptop"]["tags"].split()[0] == "cp311-cp311-win_amd64"


def test_a_state_below_the_output_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    path = configured(tmp_path)
    path.write_text(path.read_text().replace(str(tmp_path / "mirror"), str(tmp_path.parent)))
    with pytest.raises(ConfigError, match="it holds this file"):
        load(path)
