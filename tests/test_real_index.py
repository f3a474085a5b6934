"""A small real set, mirrored from the index that pip uses here: every root is resolvable from the mirror alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from tests.mirroring import REPOSITORY, assert_valid, assert_whole, clean_environment, mirror_folder

pytestmark = pytest.mark.real_index

REQUIREMENTS = ["requests>=2.24.0", "flask", "httpx[http2]"]
# By name: the block of mirror.yaml, and how uv calls the same.
ENVIRONMENTS = {
    "server": ({"python": "3.12.7", "platform": "linux-x86_64", "glibc": "2.28"}, "3.12.7", "x86_64-manylinux_2_28"),
    "laptop": ({"python": "3.11.7", "platform": "windows-amd64"}, "3.11.7", "x86_64-pc-windows-msvc"),
    "mac": ({"python": "3.13.0", "platform": "macos-arm64", "macos": "14.0"}, "3.13.0", "aarch64-apple-darwin"),
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = mirror_folder(tmp_path_factory.mktemp("real"), None)
    project.configure(
        "",
        environments={name: block for name, (block, *_) in ENVIRONMENTS.items()},
        requirements=REQUIREMENTS,
        sdists="fallback",
        build_requirements=False,
    )
    path = project.folder / "mirror.yaml"
    path.write_text(path.read_text().replace("index: ''\n", ""))
    # The index is the one that pip uses here, so pip's settings stay.
    done = subprocess.run(
        [sys.executable, "-m", "doit", "mirror"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return project.output


def test_the_mirror_is_whole_and_valid(output: Path) -> None:
    assert_whole(output)
    assert_valid(output)


@pytest.mark.parametrize("requirement", REQUIREMENTS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_root_is_resolved_from_the_mirror_alone(
    output: Path, tmp_path: Path, environment: str, requirement: str
) -> None:
    _, version, platform = ENVIRONMENTS[environment]
    own = ("--no-config", "--no-python-downloads", "--no-cache", "-q", "--no-header")
    target = ("--python", sys.executable, "--python-version", version, "--python-platform", platform)
    index = ("--index-url", (output / "simple").as_uri() + "/", "--only-binary", ":all:")
    (tmp_path / "requirements.in").write_text(requirement + "\n")
    done = subprocess.run(
        [uv.find_uv_bin(), "pip", "compile", *own, *target, *index, "requirements.in"],
        cwd=tmp_path,
        env=clean_environment(http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name = requirement.partition("[")[0].partition(">")[0]
    assert f"\n{name}" in f"\n{done.stdout}"
