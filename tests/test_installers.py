"""Where pip and uv decide differently, each of them installs from the mirror."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.installers import UV, repaired_requirement
from mirror_tasks.prove.uv import find_client
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, clean_environment, mirror_folder, packages
from tests.pip import run_pip

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
    command = ["--isolated", "download", "-q", "--no-cache-dir", "-d", str(tmp_path)]
    done = run_pip([*command, "--index-url", index, root], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"app-1.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"} <= {path.name for path in tmp_path.iterdir()}


def test_the_proof_judges_for_both(mirrored: MirrorFolder) -> None:
    done = mirrored.doit("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "solver-as-pip solver-as-uv uv" in done.stdout


def test_the_proof_says_what_only_one_of_them_can_install(tmp_path: Path) -> None:
    """Neither can uv from the index, so that the mirror is not at fault."""
    world = {
        "app": [wheel("app", "1.0", requires=["lib==1.0"])],
    }
    with FakeIndex(world) as index:
        index.add("lib", *wheel("lib", "1.0"), yanked="broken")
        project = mirror_folder(tmp_path, index, environments=HERE, requirements=["app"])
        project.mirrored()
    done = project.doit("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "solver-as-pip NOT solver-as-uv NOT uv" in done.stdout
    assert "! app on one: uv can't install it, from the index neither" in done.stdout
    assert "lib==1.0: 1.0 is yanked, and uv takes that only where you pin it" in done.stdout


@pytest.fixture(scope="module")
def for_uv_alone(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    """A mirror of what pip refuses: a Requires-Python with an upper bound, and a requirement that breaks PEP 440."""
    world = {
        "upper": [wheel("upper", "1.0", requires_python=">=3.6,<3.10", requires=["below"])],
        "below": [wheel("below", "1.0", requires_python="<3.10")],
        "bad": [wheel("bad", "1.0", requires=["lib>=1.8.*", "lib!=3.0*"])],
        "lib": [wheel("lib", "2.0"), wheel("lib", "1.0")],
    }
    with FakeIndex(world) as index:
        folder = tmp_path_factory.mktemp("uv")
        project = mirror_folder(folder, index, environments=HERE, requirements=["upper", "bad"])
        project.mirrored()
    return project


def test_what_only_uv_can_install_is_there(for_uv_alone: MirrorFolder) -> None:
    index = (for_uv_alone.output / "simple").as_uri() + "/"
    command = [str(find_client()), "pip", "compile", "--no-config", "--no-cache", "--no-python-downloads", "-q"]
    command += ["--no-annotate", "--no-header", "--python", sys.executable, "--default-index", index, "-"]
    found = _run(command, "upper\nbad\n")
    assert found.split() == ["bad==1.0", "below==1.0", "lib==2.0", "upper==1.0"]
    assert packages(for_uv_alone.output)["lib"] == ["lib-2.0-py3-none-any.whl"], "and nothing that nobody takes"


def test_the_proof_says_for_whom_it_can_be_installed_and_why_not_for_the_other(for_uv_alone: MirrorFolder) -> None:
    done = for_uv_alone.doit("prove")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("NOT solver-as-pip solver-as-uv uv") == 2
    assert "Requires-Python >=3.6,<3.10 leaves out 3.12.1" in done.stdout
    assert "not a valid requirement (PEP 508): 'lib>=1.8.*'" in done.stdout
    assert "! bad on one: pip can't install it, from the index neither" in done.stdout


def test_a_mirror_that_lacks_what_uv_alone_can_install_is_not_proven(
    for_uv_alone: MirrorFolder, tmp_path: Path
) -> None:
    shutil.copytree(for_uv_alone.folder, tmp_path / "copy")
    for page in (tmp_path / "copy" / "mirror" / "simple" / "below").iterdir():
        page.unlink()
    done = MirrorFolder(tmp_path / "copy").doit("prove")
    assert done.returncode != 0
    assert "upper on one (solver)" in done.stdout + done.stderr
    assert "NOT solver-as-pip solver-as-uv uv" in done.stdout, "of what it has, it still says for whom"


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

BOUNDS = (
    *("<3.10", "<=3.9", ">=3.6,<3.10", "==3.9.*", "==3.9", "~=3.8", "~=3.8.0", "===3.9", "!=3.12.*", "<3", "==2.7.*"),
    *(">=4,<3", ">=99", "==99.*", "~=99.1", "!=99.*", "!=3.*", "!=3.*,>=3", ">=3.6,!=3.6.*", ">99", "===99.1", "<99"),
)


def test_uv_repairs_a_requires_python_as_is_said_of_it(tmp_path: Path) -> None:
    python = "{}.{}.{}".format(*sys.version_info[:3])
    uv = environment("one", {"python": python, "platform": "linux-x86_64"}, "").at(0, UV)
    spellings = (*SPELLINGS, *BOUNDS)
    for number, text in enumerate(spellings):
        name, content = wheel(f"a{number}", "1", requires_python=text)
        (tmp_path / name).write_bytes(content)
    taken = {text: _resolved_by_uv(tmp_path, f"a{number}") for number, text in enumerate(spellings)}
    assert {text: bool(uv.allows(text)) for text in spellings} == taken
    assert any(taken.values())
    assert not all(taken.values())


REQUIREMENTS = (
    *("lib>=1.8.*", "lib>dev", "lib (>=1.8.*)", "lib>=1.0<3", "lib!=~1.0", "lib!=3.0*", "lib>='1.0'", "lib>=1.0.x"),
    *("lib>=1.8.*; python_version>='3.0'", "lib==1+", "lib~=1.0.*", "lib=>1.0", "lib>=1.0 <3", "lib>=1.*,<3.*"),
    *("lib ~= 1", "lib 1.0", "lib>=1.0;", "lib>=1.8.* ; extra == 'x'", "lib>= 1.0.* , <3", "lib>3.*"),
)


def test_uv_repairs_a_requirement_as_is_said_of_it(tmp_path: Path) -> None:
    for number, text in enumerate(REQUIREMENTS):
        name, content = wheel(f"a{number}", "1", requires=[text])
        (tmp_path / name).write_bytes(content)
    (tmp_path / wheel("lib", "2.0")[0]).write_bytes(wheel("lib", "2.0")[1])
    taken = {text: _resolved_by_uv(tmp_path, f"a{number}") for number, text in enumerate(REQUIREMENTS)}
    repaired = {text: repaired_requirement(text) for text in REQUIREMENTS}
    assert repaired["lib>3.*"] == "lib>3"
    assert {text: bool(one) and one != "lib>3" for text, one in repaired.items()} == taken
    assert any(taken.values())


def _resolved_by_uv(wheels: Path, requirement: str) -> bool:
    command = [str(find_client()), "pip", "compile", "--quiet", "--no-config", "--no-python-downloads"]
    command += [
        "--cache-dir",
        str(wheels / "cache"),
        "--python",
        sys.executable,
        "--no-index",
        "--find-links",
        str(wheels),
        "-",
    ]
    env = clean_environment()
    return (
        subprocess.run(command, input=requirement, capture_output=True, text=True, check=False, env=env).returncode == 0
    )
