"""What an installer takes from the index it takes from the mirror, also where what the index says breaks a rule."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.prove.uv import find_client
from tests import mirroring
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.pip import run_pip

UNREADABLE = [">=3.6.*", ">=3.6,<4.*", "3", ">=3.7'", "~=3.6.*", ">=3.6 <4", ">=3.6.x"]


def pip_takes(simple: str, requirements: Iterable[str], folder: Path) -> str:
    """Return what pip says where it can't install requirements from an index, else nothing; its warnings are no failure."""
    install = ("install", "--isolated", "--no-cache-dir", "--target", str(folder))
    done = run_pip([*install, "--index-url", simple, *requirements], folder.parent)
    return done.stderr if done.returncode else ""


def uv_takes(simple: str, requirement: str, *arguments: str) -> str:
    """Return what uv says where it can't resolve a requirement from an index, else nothing."""
    done = subprocess.run(
        [
            *(str(find_client()), "pip", "compile", "--quiet", "--no-config", "--no-cache", "--no-python-downloads"),
            *("--python", sys.executable, "--default-index", simple, *arguments, "-"),
        ],
        input=requirement,
        capture_output=True,
        text=True,
        check=False,
        env=mirroring.clean_environment(),
    )
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("by", ["page", "metadata"])
def test_a_requires_python_that_cant_be_read_keeps_no_installer_out(tmp_path: Path, by: str) -> None:
    """pip takes all of these; uv what it can repair, from the mirror as from the index."""
    world = {
        f"app{number}": [
            (
                *wheel(f"app{number}", "1.0", requires_python=text if by == "metadata" else None),
                {"requires_python": text if by == "page" else None},
            )
        ]
        for number, text in enumerate(UNREADABLE)
    }
    with FakeIndex(world) as index:
        folder = mirroring.mirror_folder(tmp_path / "made", index, requirements=sorted(world))
        folder.mirrored()
        upstream = {name: uv_takes(index.url, name) == "" for name in world}
    plan = json.loads((folder.state / "plan.json").read_text("utf-8"))
    assert {one["project"]: list(one["warnings"].values()) for one in plan["releases"]} == {
        f"app{number}": [
            f"Requires-Python {text!r} is no valid specifier: taken as pip takes it, with a warning; uv may refuse it"
        ]
        for number, text in enumerate(UNREADABLE)
    }
    simple = (folder.output / "simple").as_uri() + "/"
    assert pip_takes(simple, sorted(world), tmp_path / "installed") == ""
    for name in world:
        assert (uv_takes(simple, name) == "") == upstream[name]
    assert upstream["app0"]
    assert not upstream["app2"]
    explained = folder.doit("explain", "app0").stdout
    assert "warning: app0-1.0-py3-none-any.whl: Requires-Python '>=3.6.*' is no valid specifier" in explained


def test_where_uv_passes_over_what_pip_takes_it_finds_what_it_steps_back_to(tmp_path: Path) -> None:
    world = {"app": [wheel("app", "2.0", requires_python="3"), wheel("app", "1.0")]}
    python = "{}.{}.{}".format(*sys.version_info[:3])
    environments = {"one": {"python": python, "platform": "linux-x86_64"}}
    with FakeIndex(world) as index:
        folder = mirroring.mirror_folder(tmp_path / "made", index, requirements=["app"], environments=environments)
        folder.mirrored()
    simple = (folder.output / "simple").as_uri() + "/"
    assert mirroring.packages(folder.output)["app"] == ["app-1.0-py3-none-any.whl", "app-2.0-py3-none-any.whl"]
    assert pip_takes(simple, ["app==2.0"], tmp_path / "installed") == ""
    assert uv_takes(simple, "app") == ""
    assert folder.doit("prove").returncode == 0


def test_whatever_any_patch_release_takes_is_there_and_proven_where_it_changes(tmp_path: Path) -> None:
    world: dict[str, list[Any]] = {
        "hole": [
            (*wheel("hole", "2.0"), {"requires_python": "!=3.11.7,>=3.8"}),
            (*wheel("hole", "1.0"), {"requires_python": ">=3.8"}),
        ],
        "upper": [wheel("upper", "2.0", requires_python=">=3.8,<3.11.5"), wheel("upper", "1.0")],
        "lower": [(*wheel("lower", "2.0"), {"requires_python": ">=3.11.4"}), wheel("lower", "1.0")],
    }
    with FakeIndex(world) as index:
        environments = {"any": {"python": "3.11", "platform": "linux-x86_64"}}
        folder = mirroring.mirror_folder(
            tmp_path / "made", index, requirements=sorted(world), environments=environments
        )
        folder.mirrored()
    simple = (folder.output / "simple").as_uri() + "/"
    for python in ("3.11.0", "3.11.4", "3.11.5", "3.11.7", "3.11.8", "3.11.400"):
        assert _downloaded_by_pip(simple, sorted(world), tmp_path / python, python) == {
            f"hole-{'1.0' if python == '3.11.7' else '2.0'}-py3-none-any.whl",
            f"upper-{'2.0' if python in ('3.11.0', '3.11.4') else '1.0'}-py3-none-any.whl",
            f"lower-{'1.0' if python == '3.11.0' else '2.0'}-py3-none-any.whl",
        }
    proven = folder.doit("prove")
    assert proven.returncode == 0, proven.stdout
    assert "any stands for every 3.11: judged on 3.11.0, 3.11.4, 3.11.5, 3.11.7, 3.11.8" in proven.stdout
    verdicts = json.loads((folder.state / "prove.json").read_text("utf-8"))
    assert {(one["judge"], tuple(one["pythons"])) for one in verdicts} == {
        (judge, ("3.11.0", "3.11.4", "3.11.5", "3.11.7", "3.11.8")) for judge in ("solver", "uv")
    }


def test_the_proof_finds_a_patch_release_on_which_something_is_missing(tmp_path: Path) -> None:
    world = {"hole": [(*wheel("hole", "2.0"), {"requires_python": ">=3.11.8"})]}
    with FakeIndex(world) as index:
        environments = {"any": {"python": "3.11", "platform": "linux-x86_64"}}
        folder = mirroring.mirror_folder(tmp_path / "made", index, requirements=["hole"], environments=environments)
        made = folder.doit("mirror")
    assert made.returncode != 0
    assert "hole on any:\n    on Python 3.11.0:" in made.stdout + made.stderr
    proven = folder.doit("prove", "--own")
    assert proven.returncode != 0
    assert "on Python 3.11.0:" in proven.stdout


def test_a_patch_release_on_which_pip_alone_finds_nothing_is_told(tmp_path: Path) -> None:
    """uv does not look at ``!=``, so that it installs on 3.11.7 what pip does not."""
    world = {"hole": [(*wheel("hole", "2.0"), {"requires_python": "!=3.11.7"})]}
    with FakeIndex(world) as index:
        environments = {"any": {"python": "3.11", "platform": "linux-x86_64"}}
        folder = mirroring.mirror_folder(tmp_path / "made", index, requirements=["hole"], environments=environments)
        told = folder.mirrored().stdout
    assert "pip can't install hole on any, from the index neither; `doit plan` says why" in told
    proven = folder.doit("prove", "--own")
    assert proven.returncode == 0
    assert "NOT solver-as-pip solver-as-uv" in proven.stdout
    assert "on Python 3.11.7:" in proven.stdout


def test_what_either_installer_asks_for_is_there(tmp_path: Path) -> None:
    """pip does not follow these markers, uv does; what only uv asks for and no index has keeps pip from nothing."""
    lines = [
        'star; python_version >= "3.8.*"',
        'letter; python_version > "3.x"',
        'full; python_full_version >= "3.9.0.*"',
    ]
    world = {name: [wheel(name, "1.0")] for name in ("star", "letter", "full")}
    world["app"] = [wheel("app", "1.0", requires=lines)]
    world["half"] = [wheel("half", "1.0", requires=['nowhere; python_version >= "3.8.*"'])]
    python = "{}.{}.{}".format(*sys.version_info[:3])
    environments = {"one": {"python": python, "platform": "linux-x86_64"}}
    with FakeIndex(world) as index:
        folder = mirroring.mirror_folder(
            tmp_path / "made", index, requirements=["app", "half"], environments=environments
        )
        folder.mirrored()
    simple = (folder.output / "simple").as_uri() + "/"
    assert set(mirroring.packages(folder.output)) == {"app", "full", "half", "letter", "star"}
    assert pip_takes(simple, ["app", "half"], tmp_path / "installed") == ""
    assert uv_takes(simple, "app") == ""
    assert "nowhere" in uv_takes(simple, "half")


def _downloaded_by_pip(simple: str, requirements: Iterable[str], folder: Path, python: str) -> set[str]:
    download = ("download", "--isolated", "--no-cache-dir", "--quiet")
    target = ("--python-version", python, "--only-binary=:all:", "--no-deps", "--dest", str(folder))
    done = run_pip([*download, *target, "--index-url", simple, *requirements], folder.parent)
    assert done.returncode == 0, done.stderr
    return {path.name for path in folder.iterdir()}
