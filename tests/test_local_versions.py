"""Local versions, as builds for one kind of device have them, are followed from their own index to what is installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import assert_valid, assert_whole, mirror_folder, packages
from tests.test_clients import UV, call, fresh, install_by_pip, installed, way

__all__ = ["fresh"]  # a fixture

FILE = "torch-2.8.0+cu128-py3-none-any.whl"
ROOTS = ["torch==2.8.0+cu128", "torch>=2", "torchvision"]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of two indexes, of which one has builds of its own of what the other has in a higher version."""
    cuda = {
        "torch": [
            wheel("torch", version, requires=["typing-extensions"]) for version in ("2.7.1+cu128", "2.8.0+cu128")
        ],
        "torchvision": [wheel("torchvision", "0.23.0+cu128", requires=["torch==2.8.0"])],
        "typing-extensions": [wheel("typing-extensions", "1.0+cu128")],
    }
    public = {
        "torch": [wheel("torch", version) for version in ("2.8.0", "2.9.0")],
        "typing-extensions": [wheel("typing-extensions", "4.0")],
    }
    with FakeIndex(cuda) as special, FakeIndex(public) as general:
        project = mirror_folder(tmp_path_factory.mktemp("local"), None)
        project.configure(
            [general.url, {"url": special.url, "projects": ["torch", "torch*n"], "name": "cuda"}],
            environments={"here": environment_block()},
            requirements=ROOTS,
        )
        project.mirrored()
        proven = project.doit("prove")
        assert proven.returncode == 0, proven.stdout + proven.stderr
        assert f"{len(ROOTS)} of {len(ROOTS)} pairs proven" in proven.stdout
        assert any("%2B" in path for path in special.requests)
        assert general.requests["/simple/torch/"] == 0
    return project.output


def test_the_builds_of_the_bound_index_are_mirrored_and_nobody_elses(output: Path) -> None:
    assert packages(output) == {
        "torch": [FILE],
        "torchvision": ["torchvision-0.23.0+cu128-py3-none-any.whl"],
        "typing-extensions": ["typing_extensions-4.0-py3-none-any.whl"],
    }
    assert_valid(output)
    assert_whole(output)


def test_a_link_to_a_file_with_a_plus_in_its_name_is_read_alike_by_every_server(output: Path) -> None:
    """A server that takes ``+`` for a space, as in a query, finds nothing under it; ``%2B`` is a plus everywhere."""
    (entry,) = json.loads((output / "simple/torch/index.v1_json").read_bytes())["files"]
    assert entry["filename"] == FILE
    assert entry["url"].endswith(FILE.replace("+", "%2B"))
    assert FILE.replace("+", "%2B") in (output / "simple/torch/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_installers_get_the_local_version_from_the_mirror(output: Path, fresh: str, client: str) -> None:
    with way("server.py", output) as url:
        if client == "pip":
            install_by_pip(fresh, url, *ROOTS)
        else:
            call([*UV, "--python", fresh, "--index-url", url, *ROOTS])
    assert installed(fresh) == {
        "torch": "2.8.0+cu128",
        "torchvision": "0.23.0+cu128",
        "typing-extensions": "4.0",
    }
