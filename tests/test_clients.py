"""Real installers install from a mirror that this project made, its upstream stopped, into fresh environments."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import uv

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.interpreters import python_of
from tests.making import sdist, wheel
from tests.mirroring import clean_environment, mirror_folder
from tests.pip import run_pip

UV = (uv.find_uv_bin(), "pip", "install", "--no-config", "--no-python-downloads", "--no-cache", "-q")
EXPECTED = {"app": "1.0", "lib-core": "1.1", "speed": "2.0", "built": "0.5", "backend-needs": "1.0"}


def world() -> dict[str, list[tuple[str, bytes]]]:
    """An app with an extra, and an sdist that has to be built, with a requirement for that."""
    return {
        "app": [
            wheel("app", "1.0", requires=["lib-core>=1"], extras={"fast": ["speed"]}),
            wheel("app", "2.0", requires_python=">=99"),
        ],
        "lib-core": [wheel("lib.core", "1.0"), wheel("lib.core", "1.1")],
        "speed": [wheel("speed", "2.0"), wheel("speed", "3.0", "cp27-cp27m-win32")],
        "built": [sdist("built", "0.5", build_requires=["helper"], requires=["backend-needs"])],
        "helper": [wheel("helper", "1.0")],
        "backend-needs": [sdist("backend-needs", "1.0", "zip")],
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror for this interpreter; when it is handed out, its upstream is no more."""
    with FakeIndex(world()) as index:
        project = mirror_folder(
            tmp_path_factory.mktemp("clients"),
            index,
            environments={"here": environment_block()},
            requirements=["app[fast]", "built"],
        )
        project.mirrored()
    return project.output


def environment() -> dict[str, str]:
    unreachable = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    return clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **unreachable)


def call(command: Sequence[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def install_by_pip(python: str, index: str, *requirements: str) -> None:
    """Install where an empty environment has its packages; by ``--python`` pip would start, and import, once more."""
    there = call([python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
    command = ["--isolated", "install", "-q", "--no-cache-dir", "--target", there, "--index-url", index, *requirements]
    done = run_pip(command, Path(there), environment())
    assert done.returncode == 0, (command, done.stdout, done.stderr)


@contextlib.contextmanager
def served(command: Sequence[str], folder: Path) -> Iterator[str]:
    """Run a web server in ``folder`` that prints its port; yield its address."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "127.0.0.1" in line)
        port = next(
            part for part in line.replace("/", " ").replace(":", " ").split() if part.isdigit() and len(part) > 3
        )
        yield f"http://127.0.0.1:{port}/simple/"
    finally:
        process.terminate()
        process.communicate(timeout=120)


@contextlib.contextmanager
def way(kind: str, output: Path) -> Iterator[str]:
    """Yield the index URL of the mirror as it is reached that way."""
    if kind == "file":
        yield (output / "simple").as_uri() + "/"
    elif kind == "server.py":
        with served([sys.executable, "-u", "server.py", "--port", "0"], output) as url:
            yield url
    else:
        plain = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
        with served(plain, output) as url:
            yield url


WAYS = ("server.py", "file", "a static web server")


@pytest.fixture
def fresh(tmp_path: Path) -> str:
    """The interpreter of a new, empty virtual environment."""
    quick = ("venv", "--no-config", "--no-python-downloads", "-q", "--python", sys.executable)
    call([uv.find_uv_bin(), *quick, str(tmp_path / "env")])
    return python_of(tmp_path / "env")


def installed(python: str) -> dict[str, str]:
    """Return the distributions of an environment, each imported as a user would."""
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    distributions = [one.split("==") for one in call([python, "-I", "-c", code]).split()]
    found = {name.replace(".", "-"): version for name, version in distributions}
    call([python, "-I", "-c", "; ".join(f"import {name.replace('-', '_')}" for name in found)])
    return found


@pytest.mark.parametrize("kind", WAYS)
def test_pip_installs_extras_and_sdists_from_the_mirror_alone(output: Path, fresh: str, kind: str) -> None:
    with way(kind, output) as url:
        install_by_pip(fresh, url, "app[fast]", "built")
    assert installed(fresh) == EXPECTED


@pytest.mark.parametrize("kind", WAYS)
def test_uv_installs_extras_and_sdists_from_the_mirror_alone(output: Path, fresh: str, kind: str) -> None:
    with way(kind, output) as url:
        call([*UV, "--python", fresh, "--index-url", url, "app[fast]", "built"])
    assert installed(fresh) == EXPECTED


def test_the_directory_can_be_copied_anywhere(output: Path, tmp_path: Path, fresh: str) -> None:
    copy = tmp_path / "a stick" / "ünï"
    shutil.copytree(output, copy)
    with way("server.py", copy) as url:
        call([*UV, "--python", fresh, "--index-url", url, "app[fast]", "built"])
    assert installed(fresh) == EXPECTED
