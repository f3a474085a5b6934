"""The lock of the workspace in ``tests/locks/uv``: made with ``python -m tests.uv_workspace``, kept, and read by tests.

Its files come from indexes on loopback; in the lock that is kept, these have the names of hosts that nobody has.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uv

from tests.fake_index import FakeIndex
from tests.making import sdist, wheel

FOLDER = Path(__file__).parent / "locks" / "uv"
World = dict[str, list[tuple[str, bytes]]]

MAIN: World = {
    "requests": [wheel("requests", "2.0", requires=["urllib3", "idna"])],
    "urllib3": [wheel("urllib3", "2.5")],
    "idna": [wheel("idna", "3.1")],
    "sphinx": [
        wheel("sphinx", "7.0", requires=["docutils"], extras={"fast": ["speedup; implementation_name == 'cpython'"]})
    ],
    "docutils": [wheel("docutils", "0.2")],
    "speedup": [wheel("speedup", "1.0", f"cp{minor}-cp{minor}-win_amd64") for minor in (311, 312)],
    "pytest": [
        wheel(
            "pytest",
            "8.0",
            requires=["iniconfig", "colorama; sys_platform == 'win32'", "tomli; python_version < '3.11'"],
        )
    ],
    "iniconfig": [wheel("iniconfig", "2.0")],
    "colorama": [wheel("colorama", "0.4")],
    "tomli": [wheel("tomli", "2.0")],
    "ruff": [wheel("ruff", "0.9", f"py3-none-{tag}") for tag in ("manylinux_2_17_x86_64", "macosx_11_0_arm64")],
    "torch": [wheel("torch", "3.0", requires=["newlib>=2", "nvidia; sys_platform == 'linux'"])],
    "newlib": [wheel("newlib", "1.0"), wheel("newlib", "2.0")],
    "nvidia": [wheel("nvidia", "13")],
    "driver": [wheel("driver", "5")],
    "blas": [wheel("blas", "1.0")],
    "cudart": [wheel("cudart", "11")],
    "forked": [wheel("forked", "1.9", requires=["legacy"]), wheel("forked", "2.1")],
    "legacy": [sdist("legacy", "1.0"), wheel("legacy", "1.0")],
    "pillow": [wheel("pillow", "10")],
    "mypy": [wheel("mypy", "1.0", requires=["typing-extensions"])],
    "typing-extensions": [wheel("typing-extensions", "4.0")],
    "jsonish": [wheel("jsonish", "1.0", extras={"fmt": ["rfc3339"]})],
    "rfc3339": [wheel("rfc3339", "1.0")],
    "format": [
        wheel("format", "1", requires=["blas"]),
        wheel("format", "2"),
        wheel("format", "3", requires=["newlib"]),
    ],
}
CPU: World = {"torch": [wheel("torch", "3.0+cpu", requires=["blas"])]}
CUDA: World = {"torch": [wheel("torch", "2.9+cu12", requires=["cudart; sys_platform == 'linux'", "newlib<2"])]}


def main() -> None:
    """Lock the workspace anew."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = {
            "https://index.example.com": stack.enter_context(FakeIndex(MAIN)).url,
            "https://wheels.example.com/cpu": stack.enter_context(FakeIndex(CPU)).url,
            "https://wheels.example.com/cuda": stack.enter_context(FakeIndex(CUDA)).url,
        }
        hosts = {name: url.removesuffix("/simple/") for name, url in hosts.items()}
        shutil.copytree(FOLDER, folder / "space", ignore=shutil.ignore_patterns("uv.lock"))
        for path in folder.rglob("pyproject.toml"):
            _replace(path, hosts)
        command = [uv.find_uv_bin(), "lock", "--no-python-downloads", "--no-cache", "--python", sys.executable]
        command += ["--default-index", f"{hosts['https://index.example.com']}/simple/"]
        subprocess.run(command, cwd=folder / "space", check=True)
        _replace(folder / "space" / "uv.lock", {url: name for name, url in hosts.items()})
        shutil.copyfile(folder / "space" / "uv.lock", FOLDER / "uv.lock")


def _replace(path: Path, names: dict[str, str]) -> None:
    text = path.read_text("utf-8")
    for old, new in names.items():
        text = text.replace(old, new)
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
