"""Markers are judged as each of the two installers judges them; the installed ones are asked."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import InvalidMarker, Marker

from mirror_tasks import describe_environment
from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP, UV
from mirror_tasks.config.markers import extras_of, holds, judged_alike
from mirror_tasks.prove.uv import find_client
from tests import mirroring
from tests.making import wheel

PYTHON = "{}.{}.{}".format(*sys.version_info[:3])
MINOR = "{}.{}".format(*sys.version_info[:2])
KERNELS = ("6.1.0-13-amd64", "6.1.0", "10", "")
SIGNS = ("<", "<=", "==", "!=", ">=", ">", "~=", "in", "not in")
TEXTS = {
    "python_version": [MINOR, "3.8", "3.8.*", f"{MINOR}.*", "3.9.", "3.x", "3.6+", f"{MINOR}rc1", f"{MINOR}, 3.8", "3"],
    "python_full_version": [
        PYTHON,
        "3.9.0",
        "3.9.0.*",
        f"{PYTHON}.*",
        f"{PYTHON}rc1",
        f"{PYTHON}+local",
        "3.x",
        f"{MINOR}.*",
    ],
    "implementation_version": [PYTHON, "7.3", f"{MINOR}.*", "x"],
    "platform_release": ["6.0", "6.1", "20.0.0", "6.1.0-13-amd64", "6.*", "generic", ""],
    "platform_version": ["#1", "10"],
    "sys_platform": [sys.platform, "a", "z"],
}
ODD, TRUE, FALSE = 'python_version >= "3.8.*"', 'os_name != ""', 'os_name == ""'


def all_markers() -> Iterator[str]:
    """Yield markers of every variable, operator and kind of text, both ways around, and combinations."""
    for variable, texts in TEXTS.items():
        for sign, text in itertools.product(SIGNS, texts):
            yield f'{variable} {sign} "{text}"'
            yield f'"{text}" {sign} {variable}'
    for first, second, third in itertools.product((ODD, TRUE, FALSE), repeat=3):
        yield f"{first} and {second} or {third}"
        yield f"({first} or {second}) and {third}"


def valid_markers() -> list[str]:
    found: dict[str, None] = {}
    for text in all_markers():
        try:
            found[str(Marker(text))] = None
        except InvalidMarker:  # a variable of versions needs an operator of versions, since packaging 26
            continue
    return list(found)


@pytest.mark.parametrize("kernel", KERNELS)
def test_uv_judges_every_marker_as_is_said_of_it(kernel: str, tmp_path: Path) -> None:
    markers = [one for one in valid_markers() if kernel == KERNELS[0] or "platform_release" in one]
    assert len(markers) > 100
    lines = [f"d{number}; {marker}" for number, marker in enumerate(markers)]
    python = _python_with_kernel(tmp_path / "venv", kernel)
    for name, content in (
        wheel("app", "1.0", requires=lines),
        *(wheel(f"d{one}", "1.0") for one in range(len(markers))),
    ):
        (tmp_path / name).write_bytes(content)
    taken = _compiled_by_uv(tmp_path, python)
    here = {**describe_environment.all_markers(), "platform_release": kernel, "extra": ""}
    wrong = [one for number, one in enumerate(markers) if holds(one, here, UV) != (f"d{number}" in taken)]
    assert wrong == []


@pytest.mark.parametrize("kernel", KERNELS)
def test_where_the_installers_are_said_to_agree_they_do(kernel: str) -> None:
    here = {**describe_environment.all_markers(), "platform_release": kernel, "extra": ""}
    agreed = [one for one in valid_markers() if judged_alike(one)]
    assert len(agreed) > 100
    assert [one for one in agreed if holds(one, here, UV) != holds(one, here, PIP)] == []


def made(**block: object) -> Environment:
    return environment("one", {"platform": "linux-x86_64", **block}, "environments.one")


def test_an_environment_tells_where_its_installers_part() -> None:
    one = made(python="3.11.2", markers={"platform_release": "6.1.0-13-amd64"})
    assert one.divides('python_version >= "3.8.*"')
    assert one.divides('platform_release >= "6.0"')
    assert not one.divides('python_version >= "3.8"')
    assert not one.divides('platform_release >= "7.0" and sys_platform == "win32"')
    pip, uv = one.at(0, PIP), one.at(0, UV)
    marker = Marker('platform_release >= "6.0"')
    assert (pip.marker_applies(marker), uv.marker_applies(marker), one.marker_applies(marker)) == (False, True, True)


def test_a_range_changes_where_a_marker_or_specifier_does() -> None:
    minor = made(python="3.11")
    assert minor.turns("!=3.11.7,>=3.8") == {7, 8}
    assert minor.turns(">=3.8,<3.11.5") == {5}
    assert minor.turns("<=3.11") == {1}
    assert minor.turns("~=3.11.4") == {4}
    assert minor.turns("==3.11.*") == minor.turns(">=3.11") == minor.turns("<4") == minor.turns("==3.1.5") == set()
    assert minor.turns("<3.11.999") == {999}
    assert minor.turns(None, 'python_full_version in "3.11.2 3.11.9"') == {2, 3, 9, 10}
    assert minor.turns(None, 'extra == "x" and python_full_version < "3.11.3"') == {3}
    assert minor.turns(None, 'sys_platform == "win32" and python_full_version < "3.11.3"') == set()
    assert made(python="3.11.2").turns("!=3.11.7", 'python_full_version < "3.11.3"') == set()


def test_the_extras_of_a_marker_are_normalised() -> None:
    assert extras_of(str(Marker('extra == "A_b" or "c" == extra and os_name == "nt"'))) == ("a-b", "c")


def _python_with_kernel(folder: Path, kernel: str) -> str:
    """Return the command of this Python as it would be on another kernel: a file that it reads when it starts says so."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib*/python*/site-packages"))
    (site / "kernel.pth").write_text(f"import platform; platform.release = lambda: {kernel!r}\n", "utf-8")
    return str(folder / "bin" / "python")


def _compiled_by_uv(wheels: Path, python: str) -> set[str]:
    done = subprocess.run(
        [
            *(
                str(find_client()),
                "pip",
                "compile",
                "--quiet",
                "--no-header",
                "--no-annotate",
                "--no-config",
                "--no-cache",
            ),
            *("--no-python-downloads", "--python", python, "--no-index", "--find-links", str(wheels), "-"),
        ],
        input="app",
        capture_output=True,
        text=True,
        check=True,
        env=mirroring.clean_environment(),
    )
    return {line.partition("==")[0] for line in done.stdout.splitlines()}
