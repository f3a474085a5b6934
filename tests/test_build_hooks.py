"""What a backend asks for only when it is run is found where the user wants it run, and never runs otherwise."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.build_hooks import ask_backend, is_known
from mirror_tasks.errors import MetadataError
from mirror_tasks.metadata import CoreMetadata, sdist_metadata
from tests.fake_index import FakeIndex
from tests.making import tar_gz_of, wheel
from tests.mirroring import mirror_folder

PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "asking"\nbackend-path = ["."]\n'
ASKING = """\
import pathlib

def get_requires_for_build_wheel(config_settings=None):
    pathlib.Path({trace!r}).write_text("ran")
    return ["tool>=2"]

def build_wheel(*arguments):
    raise NotImplementedError
"""


def asking_sdist(backend: str) -> tuple[str, bytes]:
    """Return an sdist with a backend of its own."""
    members = {
        "native-1.0/PKG-INFO": b"Metadata-Version: 2.2\nName: native\nVersion: 1.0\n",
        "native-1.0/pyproject.toml": PYPROJECT.encode(),
        "native-1.0/asking.py": backend.encode(),
    }
    return "native-1.0.tar.gz", tar_gz_of(members)


def read(path: Path) -> CoreMetadata:
    with path.open("rb") as archive:
        return sdist_metadata(archive, path.name)


def test_a_backend_is_asked_in_an_environment_of_its_own(tmp_path: Path) -> None:
    filename, content = asking_sdist(ASKING.format(trace=str(tmp_path / "trace")))
    path = tmp_path / filename
    path.write_bytes(content)
    assert ask_backend(path, read(path), None) == ("tool>=2",)


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
def test_a_backend_is_asked_also_by_a_python_whose_tarfile_has_no_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    filename, content = asking_sdist(ASKING.format(trace=str(tmp_path / "trace")))
    path = tmp_path / filename
    path.write_bytes(content)
    assert ask_backend(path, read(path), None) == ("tool>=2",)


def test_a_backend_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    filename, content = asking_sdist("raise ValueError('no compiler here')\n")
    path = tmp_path / filename
    path.write_bytes(content)
    with pytest.raises(MetadataError, match="no compiler here"):
        ask_backend(path, read(path), None)


@pytest.mark.parametrize("backend", ["hatchling.build", "flit_core.buildapi", "mesonpy", "poetry.core.masonry.api"])
def test_backends_that_are_known_are_not_run(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "native-1.0.tar.gz"
    path.write_bytes(asking_sdist("")[1])
    metadata = read(path)
    assert not is_known(metadata)
    assert is_known(CoreMetadata.from_json({**metadata.to_json(), "build_backend": backend}))


@pytest.mark.parametrize(("setting", "mirrored"), [("ask", ["native", "tool"]), (True, ["native"])])
def test_a_mirror_has_what_a_backend_asks_for_only_if_the_user_wants_it_run(
    tmp_path: Path, setting: Any, mirrored: list[str]
) -> None:
    trace = tmp_path / "trace"
    world = {"native": [asking_sdist(ASKING.format(trace=str(trace)))], "tool": [wheel("tool", "2.1")]}
    with FakeIndex(world) as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=["native"], **{"build-requirements": setting})
        folder.mirrored()
        folder.mirrored()
    assert sorted(path.name for path in (folder.output / "packages").iterdir()) == mirrored
    assert trace.exists() is (setting == "ask")
    plan = json.loads((folder.state / "plan.json").read_text("utf-8"))
    asked_by = {required["by"] for one in plan["releases"] if one["project"] == "tool" for required in one["required"]}
    assert asked_by == ({"building native-1.0"} if setting == "ask" else set())
