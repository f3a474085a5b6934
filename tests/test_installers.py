"""Where pip and uv decide differently, each of them installs from the mirror."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mirror_tasks.config.environments import environment
from mirror_tasks.config.installers import UV
from mirror_tasks.prove.uv import find_client
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, clean_environment, mirror_folder, packages

HERE = {"one": {"python": "3.12.1", "platform": "linux-x86_64"}}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    """A mirror of what pins a yanked release, and of what requires that one level deeper."""
    world = {
        "deep": [wheel("deep", "1", requires=["app"])],
        "app": [wheel("app", "1.0", requires=["lib==1.0"]), wheel("app", "0.9", requires=["lib>=2"])],
        "lib": [wheel("lib", "2.0")],
    }
    with FakeIndex(world) as index:
        index.add("lib", *wheel("lib", "1.0"), yanked="broken")
        folder = tmp_path_factory.mktemp("installers")
        project = mirror_folder(folder, index, environments=HERE, requirements=["app", "deep"])
        project.mirrored()
    return project


def test_what_each_installer_takes_is_there(mirrored: MirrorFolder) -> None:
    there = packages(mirrored.output)
    assert there["app"] == ["app-0.9-py3-none-any.whl", "app-1.0-py3-none-any.whl"]
    assert there["lib"] == ["lib-1.0-py3-none-any.whl", "lib-2.0-py3-none-any.whl"]


@pytest.mark.parametrize("root", ["app", "deep"])
def test_uv_steps_back_to_what_requires_no_yanked_release(mirrored: MirrorFolder, root: str) -> None:
    client = find_client()
    assert client is not None
    index = (mirrored.output / "simple").as_uri() + "/"
    command = [client, "pip", "compile", "--no-config", "--no-cache", "--no-python-downloads", "--no-annotate", "-q"]
    found = _run([*command, "--no-header", "--default-index", index, "-"], root + "\n")
    assert {"app==0.9", "lib==2.0"} <= set(found.split())


@pytest.mark.skipif(find_spec("pip") is None, reason="pip is not installed here")
@pytest.mark.parametrize("root", ["app", "deep"])
def test_pip_takes_the_yanked_release_that_a_dependency_pins(mirrored: MirrorFolder, root: str, tmp_path: Path) -> None:
    index = (mirrored.output / "simple").as_uri() + "/"
    command = [sys.executable, "-m", "pip", "--isolated", "download", "-q", "--no-cache-dir", "-d", str(tmp_path)]
    _run([*command, "--index-url", index, root])
    assert {"app-1.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"} <= {path.name for path in tmp_path.iterdir()}


def test_the_proof_judges_for_both(mirrored: MirrorFolder) -> None:
    done = mirrored.doit("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "solver-as-pip solver-as-uv uv" in done.stdout


def test_the_proof_says_what_only_one_of_them_can_install(mirrored: MirrorFolder, tmp_path: Path) -> None:
    world = {
        "app": [wheel("app", "1.0", requires=["lib==1.0"])],
    }
    with FakeIndex(world) as index:
        index.add("lib", *wheel("lib", "1.0"), yanked="broken")
        project = mirror_folder(tmp_path, index, environments=HERE, requirements=["app"])
        project.mirrored()
    done = project.doit("prove")
    assert done.returncode != 0
    assert "solver NOT solver-as-uv NOT uv" in done.stdout
    assert "lib==1.0: 1.0 is yanked, and uv takes that only where you pin it" in done.stdout + done.stderr


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=100, check=False, env=clean_environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SPELLINGS = (
    *(">=3.6.*", ">=3.6,<4.*", "3", ">=3.7'", "~=3.6.*", ">=3.6 <4", ">=3.6<4", ">=3.6.x", "==3.6+", "!=3.0*", "~=3"),
    *(
        "=>3.6",
        ">3.6.*",
        "nonsense",
        ">=4.*",
        "<3.0.*",
        ">=3.8.*,<3",
        '">=3.6"',
        "'>=3.6'",
        ">=3.6,!=~3.7",
        ">=3.6.*.*",
    ),
    *(
        ">=3.6;<4",
        "^3.8",
        ">=3.6, <=3.*",
        ">=3.6.0.*",
        ">=2.7, !=3.0*, <4.*",
        ">=3.99.*",
        ">dev",
        ">= 3.6.*",
        "3.6.*",
        "!=3.10*",
    ),
)


def test_uv_repairs_a_requires_python_as_is_said_of_it(tmp_path: Path) -> None:
    python = "{}.{}.{}".format(*sys.version_info[:3])
    uv = environment("one", {"python": python, "platform": "linux-x86_64"}, "").at(0, UV)
    for number, text in enumerate(SPELLINGS):
        name, content = wheel(f"a{number}", "1", requires_python=text)
        (tmp_path / name).write_bytes(content)
    taken = {text: _resolved_by_uv(tmp_path, f"a{number}") for number, text in enumerate(SPELLINGS)}
    assert {text: bool(uv.allows(text)) for text in SPELLINGS} == taken
    assert any(taken.values())
    assert not all(taken.values())


def _resolved_by_uv(wheels: Path, requirement: str) -> bool:
    command = [str(find_client()), "pip", "compile", "--quiet", "--no-config", "--no-cache", "--no-python-downloads"]
    command += ["--python", sys.executable, "--no-index", "--find-links", str(wheels), "-"]
    env = clean_environment()
    return (
        subprocess.run(command, input=requirement, capture_output=True, text=True, check=False, env=env).returncode == 0
    )
