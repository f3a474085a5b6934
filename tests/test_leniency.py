"""What an installer takes from the index it takes from the mirror, also where what the index says breaks a rule."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from mirror_tasks.prove import find_client
from tests import mirroring
from tests.fake_index import FakeIndex
from tests.making import wheel

UNREADABLE = [">=3.6.*", ">=3.6,<4.*", "3", ">=3.7'", "~=3.6.*", ">=3.6 <4", ">=3.6.x"]


def pip_takes(simple: str, requirements: Iterable[str], folder: Path, python: str = sys.executable) -> str:
    """Return what pip says where it can't install requirements from an index, else nothing; its warnings are no failure."""
    done = subprocess.run(
        [
            *(python, "-m", "pip", "install", "--isolated", "--disable-pip-version-check", "--no-cache-dir"),
            *("--target", str(folder), "--index-url", simple, *requirements),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=mirroring.clean_environment(),
    )
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
