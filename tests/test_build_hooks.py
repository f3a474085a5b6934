"""What a backend asks for only when it is run is found where the user wants it run, and never runs otherwise."""

from __future__ import annotations

import json
import netrc
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mirror_tasks.archives.build_backend import _login, ask_backend, is_known
from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.errors import MetadataError
from tests.fake_index import FakeIndex
from tests.making import tar_gz_of, wheel
from tests.mirroring import mirror_folder, tree

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


# Before 3.11 Python's netrc knows no way to write white space.
PASSWORDS = ["s3cret-word/c:lon%"] + (['#with sp ace, qu"ote\\slash'] if sys.version_info >= (3, 11) else [])


def needing_sdist(name: str, requires: list[str]) -> tuple[str, bytes]:
    pyproject = PYPROJECT.replace("requires = []", f"requires = {json.dumps(requires)}")
    folder = f"{name}-1.0"
    members = {
        f"{folder}/PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n".encode(),
        f"{folder}/pyproject.toml": pyproject.encode(),
        f"{folder}/asking.py": b"def get_requires_for_build_wheel(settings=None):\n    return ['tool']\n",
    }
    return f"{name}-1.0.tar.gz", tar_gz_of(members)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every command line that is run, as ``ps`` shows it."""
    seen: list[str] = []
    run = subprocess.run

    def watched(command: Sequence[str], **options: Any) -> Any:
        seen.append(" ".join(command))
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    return seen


@pytest.mark.parametrize("password", PASSWORDS)
def test_what_a_backend_needs_is_installed_with_credentials_that_no_command_line_shows(
    tmp_path: Path, password: str, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    filename, content = needing_sdist("native", ["tool"])
    path = tmp_path / filename
    path.write_bytes(content)
    with FakeIndex({"tool": [wheel("tool", "2.1")]}, auth=("me", password)) as index:
        assert ask_backend(path, read(path), index.url_with("me", password)) == ("tool",)
        assert index.requests["/files/tool/tool-2.1-py3-none-any.whl"] == 1
    assert any("--index-url http://127.0.0.1:" in command for command in commands)
    for shown in (password, quote(password, safe="")):
        assert not any(shown in command for command in commands)


def test_the_file_with_credentials_is_the_users_alone_and_keeps_those_of_other_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.write_text("machine files.example.com login other password word\n")
    monkeypatch.setenv("NETRC", str(own))
    path = Path(_login("https://me:s3cret@index.example.com/simple/", tmp_path)["NETRC"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    logins = netrc.netrc(path)
    assert [logins.hosts[f"{host}.example.com"][::2] for host in ("index", "files")] == [
        ("me", "s3cret"),
        ("other", "word"),
    ]


def test_credentials_that_no_netrc_can_hold_are_told_and_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mirror_tasks.archives.build_backend._reads", lambda path, host: ("me", "s3cr"))
    with pytest.raises(ValueError, match="characters that a netrc file can't hold") as failed:
        _login("https://me:s3cret@index.example.com/simple/", tmp_path)
    assert "s3c" not in str(failed.value)


def test_no_credentials_are_in_what_is_said_or_kept_when_a_backend_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(command: Sequence[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(list(command), options["timeout"])

    filename, content = needing_sdist("native", ["tool"])
    path = tmp_path / filename
    path.write_bytes(content)
    metadata = read(path)
    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(MetadataError) as failed:
        ask_backend(path, metadata, "https://me:s3cret@index.example.com/simple/")
    assert "timed out" in str(failed.value)
    assert "s3cret" not in repr(failed.value)


def test_a_run_that_asks_backends_writes_no_credentials_anywhere(tmp_path: Path) -> None:
    world = {"native": [needing_sdist("native", ["tool>=9"])], "tool": [wheel("tool", "2.1")]}
    with FakeIndex(world, auth=("me", "s3cret")) as index:
        folder = mirror_folder(tmp_path / "run", index, requirements=["native"], **{"build-requirements": "ask"})
        folder.configure(index.url_with("me", "s3cret"), requirements=["native"], build_requirements="ask")
        done = folder.doit("mirror")
    assert "asking the build backend of native-1.0.tar.gz" in done.stdout + done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    for name, written in {**tree(folder.state), **tree(folder.output)}.items():
        assert b"s3cret" not in written, name


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
    asked_by = {
        tuple(required["by"].values())
        for one in plan["releases"]
        if one["project"] == "tool"
        for required in one["required"]
    }
    assert asked_by == ({("build", "native", "1.0")} if setting == "ask" else set())
