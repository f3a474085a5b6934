"""What environments promise: tags and markers as the target itself would see them, without being there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import packaging
import packaging.tags
import pytest
from packaging import _manylinux, _musllinux
from packaging.markers import Marker
from packaging.tags import Tag, sys_tags
from packaging.version import Version

from mirror_tasks.config import patch_releases
from mirror_tasks.config.environment_blocks import BlockError, environment
from mirror_tasks.config.environments import MARKER_KEYS, Environment
from mirror_tasks.config.installers import PIP, UV
from mirror_tasks.config.markers import holds
from mirror_tasks.config.platforms import PLATFORMS
from tests.interpreters import EACH, interpreter

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"

ASK_TAGS = """
import importlib, json, os, sys
for module in sys.argv[1:]:
    try:
        tags = importlib.import_module(module)
    except Exception:
        continue
    print(json.dumps([module, os.confstr("CS_GNU_LIBC_VERSION").split()[1], [str(tag) for tag in tags.sys_tags()]]))
    break
"""


def made(**block: object) -> Environment:
    """Return the environment of a block; keys are written with _ for -."""
    return environment("here", {key.replace("_", "-"): value for key, value in block.items()}, "environments.here")


def faults(**block: object) -> str:
    with pytest.raises(BlockError) as caught:
        made(**block)
    return "\n".join(map(str, caught.value.faults))


def without_native(tags: list[str]) -> list[str]:
    """Leave out linux_*: packaging moved it from the last place to the first in 26.3, older installers have it last."""
    return [tag for tag in tags if "-linux_" not in tag]


@pytest.mark.parametrize("source", ["packaging.tags", "pip._vendor.packaging.tags"])
@pytest.mark.parametrize("version", EACH)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the version of glibc")
def test_tags_are_those_that_each_interpreter_of_this_machine_lists_in_its_order(
    version: str, source: str, tmp_path: Path
) -> None:
    command = interpreter(version)
    tmp_path.joinpath("packaging").symlink_to(Path(packaging.__file__).parent)
    answer = subprocess.run(
        [command, "-c", ASK_TAGS, source],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if not answer:
        pytest.skip(f"Python {version} can't import {source}")
    _, glibc, theirs = json.loads(answer)
    ours = [str(tag) for tag in made(python=version, platform=f"linux-{platform.machine()}", glibc=glibc).tags]
    # packaging before 22, which older pips carry, does not know cp312-none-any; every newer installer does
    later = {f"cp{version.replace('.', '')}-none-any"} - set(theirs)
    assert without_native([tag for tag in ours if tag not in later]) == without_native(theirs)
    assert set(ours) - later == set(theirs)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make packaging, which asks the machine, believe that it runs elsewhere."""
    monkeypatch.setattr(packaging.tags, "_32_BIT_INTERPRETER", False)
    monkeypatch.setattr(packaging.tags, "interpreter_name", lambda: "cp")
    monkeypatch.setattr(packaging.tags, "_cpython_abis", lambda version, _=False: [f"cp{version[0]}{version[1]}"])
    return monkeypatch


def pretend_linux(
    monkeypatch: pytest.MonkeyPatch, arch: str, glibc: tuple[int, int] = (-1, -1), musl: tuple[int, int] | None = None
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(sysconfig, "get_platform", lambda: f"linux-{arch}")
    monkeypatch.setattr(_manylinux, "_get_glibc_version", lambda: glibc)
    monkeypatch.setattr(_manylinux, "_have_compatible_abi", lambda *_: True)
    version = _musllinux._MuslVersion(*musl) if musl else None
    monkeypatch.setattr(_musllinux, "_get_musl_version", lambda _: version)


@pytest.mark.parametrize("arch", [name[6:] for name in PLATFORMS if name.startswith("linux-")])
@pytest.mark.parametrize(("libc", "version"), [("glibc", "2.17"), ("glibc", "2.40"), ("musl", "1.2")])
def test_tags_of_a_linux_platform_are_those_its_own_installer_would_list(
    elsewhere: pytest.MonkeyPatch, arch: str, libc: str, version: str
) -> None:
    major, minor = map(int, version.split("."))
    if libc == "glibc":
        pretend_linux(elsewhere, arch, glibc=(major, minor))
    else:
        pretend_linux(elsewhere, arch, glibc=(-1, -1), musl=(major, minor))
    ours = [str(tag) for tag in made(python=HERE, platform=f"linux-{arch}", **{libc: version}).tags]
    theirs = [str(tag) for tag in sys_tags()]
    assert without_native(ours) == without_native(theirs)
    assert set(ours) == set(theirs)


@pytest.mark.parametrize("version", ["10.15", "11.0", "14.0", "15.3", "26.1"])
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_tags_of_macos_are_those_its_own_installer_would_list(
    elsewhere: pytest.MonkeyPatch, arch: str, version: str
) -> None:
    if (arch, version) == ("arm64", "10.15"):
        assert "11.0" in faults(python=HERE, platform="macos-arm64", macos=version)
        return
    elsewhere.setattr(platform, "system", lambda: "Darwin")
    elsewhere.setattr(platform, "mac_ver", lambda: (version, ("", "", ""), arch))
    assert list(made(python=HERE, platform=f"macos-{arch}", macos=version).tags) == list(sys_tags())


@pytest.mark.parametrize(("name", "built_for"), [("amd64", "win-amd64"), ("x86", "win32"), ("arm64", "win-arm64")])
def test_tags_of_windows_are_those_its_own_installer_would_list(
    elsewhere: pytest.MonkeyPatch, name: str, built_for: str
) -> None:
    elsewhere.setattr(platform, "system", lambda: "Windows")
    elsewhere.setattr(sysconfig, "get_platform", lambda: built_for)
    assert list(made(python=HERE, platform=f"windows-{name}").tags) == list(sys_tags())


@pytest.mark.parametrize(
    ("implementation", "short", "suffix", "version", "tag"),
    [
        ("pypy", "pp", ".pypy{0}-pp73-x86_64-linux-gnu.so", "7.3.20", "pp{0}-pypy{0}_pp73-manylinux_2_28_x86_64"),
        (
            "graalpy",
            "graalpy",
            ".graalpy242-{0}-native-x86_64-linux.so",
            "24.2.0",
            "graalpy{0}-graalpy242_{0}_native-manylinux_2_28_x86_64",
        ),
    ],
)
def test_tags_of_other_implementations_are_those_their_own_installer_would_list(
    elsewhere: pytest.MonkeyPatch, implementation: str, short: str, suffix: str, version: str, tag: str
) -> None:
    nodot = HERE.replace(".", "")
    if implementation == "graalpy" and HERE not in ("3.10", "3.11"):
        pytest.skip("GraalPy keeps its ABI for newer Pythons: see the next test")
    pretend_linux(elsewhere, "x86_64", glibc=(2, 28))
    elsewhere.setattr(packaging.tags, "interpreter_name", lambda: short)
    elsewhere.setattr(sysconfig, "get_config_var", {"EXT_SUFFIX": suffix.format(nodot), "py_version_nodot": nodot}.get)
    block = made(python=HERE, platform="linux-x86_64", implementation=implementation, implementation_version=version)
    ours, theirs = [str(one) for one in block.tags], [str(one) for one in sys_tags()]
    assert ours[0] == tag.format(nodot)
    assert without_native(ours) == without_native(theirs)
    assert set(ours) == set(theirs)


@pytest.mark.parametrize(
    ("python", "version", "abi"),
    [
        ("3.11", "24.1.2", "graalpy241_311_native"),
        ("3.12", "25.0.1", "graalpy250_312_native"),
        ("3.12", "25.2.4", "graalpy250_312_native"),
        ("3.13", None, "graalpy253_313_native"),
    ],
)
def test_graalpy_keeps_the_abi_of_the_first_release_for_a_python_version(
    python: str, version: str | None, abi: str
) -> None:
    one = made(python=python, platform="linux-x86_64", implementation="graalpy", implementation_version=version)
    assert one.tags[0].abi == abi


def test_a_free_threaded_build_takes_no_abi3_but_its_own_wheels_first() -> None:
    one = made(python="3.14t", platform="linux-x86_64")
    assert one.tags[0] == Tag("cp314", "cp314t", "manylinux_2_28_x86_64")
    assert one.tag_rank("cp314-cp314-manylinux_2_28_x86_64") is None
    assert one.tag_rank("cp38-abi3-manylinux_2_28_x86_64") is None
    assert one.tag_rank("cp314-none-any") is not None


def test_a_wheel_for_a_newer_glibc_macos_or_another_libc_does_not_fit() -> None:
    server = made(python="3.12", platform="linux-x86_64")
    alpine = made(python="3.12", platform="linux-x86_64", musl="1.2")
    mac = made(python="3.12", platform="macos-arm64", macos="13.0")
    assert server.tag_rank("cp312-cp312-manylinux_2_28_x86_64") == 0
    assert server.tag_rank("cp312-cp312-manylinux_2_29_x86_64") is None
    assert server.tag_rank("cp312-cp312-musllinux_1_2_x86_64") is None
    assert alpine.tag_rank("cp312-cp312-musllinux_1_2_x86_64") == 0
    assert alpine.tag_rank("cp312-cp312-musllinux_1_3_x86_64") is None
    assert alpine.tag_rank("cp312-cp312-manylinux_2_17_x86_64") is None
    assert mac.tag_rank("cp312-cp312-macosx_13_0_arm64") == 0
    assert mac.tag_rank("cp312-cp312-macosx_14_0_arm64") is None


def test_the_rank_of_a_wheel_is_that_of_its_best_tag() -> None:
    one = made(python="3.12", platform="linux-x86_64")
    ranks = {str(tag): index for index, tag in enumerate(one.tags)}
    assert len(ranks) == len(one.tags)
    both = "cp312-cp312-manylinux1_x86_64.manylinux_2_28_x86_64"
    assert one.tag_rank(both) == 0 == ranks["cp312-cp312-manylinux_2_28_x86_64"]
    assert one.tag_rank("py2.py3-none-any") == ranks["py3-none-any"]
    order = ["cp312-cp312-manylinux_2_17_x86_64", "cp312-abi3-manylinux_2_17_x86_64", "cp38-abi3-manylinux_2_17_x86_64"]
    order += ["py3-none-manylinux_2_17_x86_64", "cp312-none-any", "py312-none-any", "py3-none-any", "py30-none-any"]
    found = [one.tag_rank(tag) for tag in order]
    assert None not in found
    assert found == sorted(rank for rank in found if rank is not None)


@pytest.mark.parametrize("tags", ["", "-", "any", "py3-none", "py3-none-any-more", "py3--any", "..-..-..", "é-ü-ß"])
def test_tags_that_are_none_have_no_rank(tags: str) -> None:
    assert made(python="3.12", platform="linux-x86_64").tag_rank(tags) is None


def test_a_hostile_name_with_millions_of_tags_is_not_unfolded() -> None:
    many = ".".join(f"a{number}" for number in range(10_000))
    assert made(python="3.12", platform="linux-x86_64").tag_rank(f"{many}-{many}-{many}") is None


def test_answers_are_the_same_from_many_threads() -> None:
    one = made(python="3.12", platform="linux-x86_64")
    wheels = [f"cp3{minor}-abi3-manylinux_2_{glibc}_x86_64" for minor in range(14) for glibc in range(40)]
    markers = [Marker(f'python_version >= "3.{minor}"') for minor in range(20)]
    again = made(python="3.12", platform="linux-x86_64")
    expected = [again.tag_rank(wheel) for wheel in wheels], [again.marker_applies(marker, ()) for marker in markers]

    def ask(_: int) -> tuple[list[int | None], list[bool]]:
        return [one.tag_rank(wheel) for wheel in wheels], [one.marker_applies(marker, ()) for marker in markers]

    with ThreadPoolExecutor(16) as pool:
        assert all(answer == expected for answer in pool.map(ask, range(16)))


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_marker_is_set_so_that_none_is_taken_from_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(python="3.12", platform=name)
    assert [set(markers) for markers in one.markers] == [set(MARKER_KEYS)] * 2
    here = dict.fromkeys(MARKER_KEYS, "from-here")
    monkeypatch.setattr("packaging.markers.default_environment", lambda: dict(here))
    for point in (one.at(0, PIP), one.at(1000, PIP)):
        assert not any(point.marker_applies(Marker(f'{key} == "from-here"'), ()) for key in MARKER_KEYS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linux-aarch64", "posix linux Linux aarch64"),
        ("windows-amd64", "nt win32 Windows AMD64"),
        ("windows-arm64", "nt win32 Windows ARM64"),
        ("windows-x86", "nt win32 Windows x86"),
        ("macos-arm64", "posix darwin Darwin arm64"),
    ],
)
def test_markers_of_a_platform_are_spelt_as_python_spells_them_there(name: str, expected: str) -> None:
    markers = made(python="3.12", platform=name).markers[0]
    keys = ("os_name", "sys_platform", "platform_system", "platform_machine")
    assert " ".join(markers[key] for key in keys) == expected


@pytest.mark.parametrize(
    ("macos", "darwin"),
    [("10.15", "19.0.0"), ("11.0", "20.0.0"), ("13.0", "22.0.0"),
     ("14.5", "23.5.0"), ("14.7", "23.6.0"), ("15.0", "24.0.0"), ("26.0", "25.0.0")],
)  # fmt: skip
def test_the_kernel_of_a_macos_is_its_own_darwin(macos: str, darwin: str) -> None:
    assert made(python="3.12", platform="macos-x86_64", macos=macos).markers[0]["platform_release"] == darwin


@pytest.mark.parametrize(
    ("implementation", "python", "expected"),
    [
        ("cpython", "3.12.4", "cpython CPython 3.12.4"),
        ("pypy", "3.11.11", "pypy PyPy 7.3.20"),
        ("graalpy", "3.12.8", "graalpy GraalVM 25.0.0"),
    ],
)
def test_markers_of_an_implementation_are_spelt_as_it_spells_them(
    implementation: str, python: str, expected: str
) -> None:
    markers = made(python=python, platform="linux-x86_64", implementation=implementation).markers[0]
    keys = ("implementation_name", "platform_python_implementation", "implementation_version")
    assert " ".join(markers[key] for key in keys) == expected
    assert markers["python_full_version"] == python


def test_a_minor_version_wants_what_any_of_its_releases_would() -> None:
    old, new = Marker('python_full_version < "3.11.3"'), Marker('python_full_version >= "3.11.9"')
    minor = made(python="3.11", platform="linux-x86_64")
    exact = made(python="3.11.2", platform="linux-x86_64")
    assert (minor.marker_applies(old, ()), minor.marker_applies(new, ())) == (True, True)
    assert (exact.marker_applies(old, ()), exact.marker_applies(new, ())) == (True, False)
    assert not minor.marker_applies(Marker('python_version >= "3.12"'), ())
    assert not minor.marker_applies(Marker('python_full_version < "3.11"'), ())


def test_requires_python_is_judged_on_the_lowest_release() -> None:
    assert made(python="3.12", platform="linux-x86_64").python == Version("3.12.0")
    assert made(python="3.12.4", platform="linux-x86_64").python == Version("3.12.4")
    # pip compares sys.version_info[:3], so that >=3.15 admits 3.15.0rc1
    candidate = made(python="3.15.0rc1", platform="linux-x86_64")
    assert candidate.python == Version("3.15.0")
    assert [dict(one)["python_full_version"] for one in candidate.markers] == ["3.15.0rc1"]
    assert candidate.marker_applies(Marker('python_version >= "3.15"'), ())


def test_a_requirement_without_marker_is_always_wanted() -> None:
    assert made(python="3.12", platform="linux-x86_64").marker_applies(None, ())


def test_extras_bring_their_requirements_and_only_theirs() -> None:
    one = made(python="3.12", platform="linux-x86_64")
    marker = Marker('extra == "Fast_Json" and sys_platform == "linux"')
    assert not one.marker_applies(marker, ())
    assert not one.marker_applies(marker, ["slow"])
    assert one.marker_applies(marker, ["slow", "fast-json"])
    assert one.marker_applies(marker, frozenset({"fast.json"}))
    assert one.marker_applies(Marker('sys_platform == "linux"'), ["slow"])
    assert not made(python="3.12", platform="windows-x86").marker_applies(marker, ["fast-json"])


@pytest.mark.parametrize("text", ['python_version ~= "abc"', '"x" in extras', '"x" in dependency_groups'])
def test_a_marker_without_an_answer_is_followed(text: str) -> None:
    one = made(python="3.12", platform="linux-x86_64")
    assert one.marker_applies(Marker(text), ())
    assert one.at(0, PIP).marker_applies(Marker(text), ())
    assert one.at(0, UV).marker_applies(Marker(text), ())


def test_spelled_out_markers_and_tags_make_an_environment_that_nothing_is_derived_for() -> None:
    one = made(
        markers={"python_full_version": "3.9.9", "sys_platform": "linux", "platform_machine": "i686"},
        tags=["cp39-cp39-manylinux_2_17_i686", "py2.py3-none-any"],
    )
    assert one.python == Version("3.9.9")
    assert len(one.markers) == 1
    assert set(one.markers[0]) == set(MARKER_KEYS)
    assert one.markers[0]["os_name"] == "posix"
    assert [str(tag) for tag in one.tags] == ["cp39-cp39-manylinux_2_17_i686", "py2-none-any", "py3-none-any"]


def test_markers_alone_are_enough_where_the_platform_can_be_seen_from_them() -> None:
    spelled = made(markers={"python_version": "3.12", "sys_platform": "win32", "platform_machine": "AMD64"})
    assert spelled == made(python="3.12", platform="windows-amd64")
    assert len(spelled.markers) == 2


def test_a_marker_can_be_set_apart_from_the_platform() -> None:
    one = made(python="3.12", platform="linux-i686", markers={"platform_machine": "x86_64", "platform_release": "4.18"})
    assert {end["platform_machine"] for end in one.markers} == {"x86_64"}
    assert {end["platform_release"] for end in one.markers} == {"4.18"}
    assert one.tags[0].platform == "manylinux_2_28_i686"


def test_markers_that_can_not_be_derived_are_named() -> None:
    said = faults(markers={"python_full_version": "3.11.4", "sys_platform": "freebsd14"}, tags=["py3-none-any"])
    expected = "os_name, platform_machine, platform_release, platform_system, platform_version"
    assert said == f"environments.here.markers: missing {expected}, which can't be derived from what is given"


LINUX = {"python": "3.12", "platform": "linux-x86_64"}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"platform": "linux-x86_64"}, 'here.python: missing; expected a version in quotes such as "3.12"'),
        ({"python": "3.12"}, "here.platform: missing; expected one of linux-x86_64"),
        ({**LINUX, "python": 3.1}, "here.python: expected a version in quotes such as \"3.12\", found the number 3.1"),
        ({**LINUX, "glibc": 2.28}, "here.glibc: expected a version in quotes such as \"2.28\", found the number 2.28"),
        ({**LINUX, "python": "2.7"}, "here.python: expected a Python 3 version"),
        ({**LINUX, "python": "3"}, "here.python: expected a Python 3 version"),
        ({**LINUX, "python": "3.12t"}, "here.python: only CPython 3.13 and newer have free-threaded builds"),
        ({**LINUX, "python": "3.13t", "implementation": "pypy"}, "here.python: only CPython 3.13"),
        ({**LINUX, "python": True}, "here.python: expected one line of text, found True"),
        ({**LINUX, "platform": "win-amd64"}, "unknown platform 'win-amd64'; did you mean 'windows-amd64'?"),
        ({**LINUX, "platform": "win_arm64"}, "did you mean 'windows-arm64'?"),
        ({**LINUX, "platform": "win32"}, "did you mean 'windows-x86'?"),
        ({**LINUX, "platform": "linux-amd64"}, "did you mean 'linux-x86_64'?"),
        ({**LINUX, "platform": "linux-arm64"}, "did you mean 'linux-aarch64'?"),
        ({**LINUX, "platform": "manylinux_x86_64"}, "did you mean 'linux-x86_64'?"),
        ({**LINUX, "platform": "macosx-aarch64"}, "did you mean 'macos-arm64'?"),
        ({**LINUX, "platform": "amiga"}, "unknown platform 'amiga'; expected one of linux-x86_64, linux-aarch64"),
        ({**LINUX, "glibc": "2.28", "musl": "1.2"}, "here.musl: the block has `glibc` too"),
        ({**LINUX, "glibc": "two"}, "here.glibc: expected a version such as \"2.28\", found 'two'"),
        ({**LINUX, "glibc": "2.4"}, 'here.glibc: expected "2.5" or newer, found "2.4"'),
        ({**LINUX, "glibc": "3.0"}, 'here.glibc: expected "2.5" or newer, found "3.0"'),
        ({**LINUX, "glibc": "2.999"}, "here.glibc: expected"),
        ({**LINUX, "musl": "0.9"}, 'here.musl: expected "1.0" or newer'),
        ({**LINUX, "macos": "14.0"}, "here.macos: only macOS platforms have one"),
        ({"python": "3.12", "platform": "windows-x86", "glibc": "2.28"}, "here.glibc: only Linux platforms have one"),
        ({"python": "3.12", "platform": "macos-arm64", "macos": "10.15"}, 'here.macos: expected "11.0" or newer'),
        ({**LINUX, "implementation": "pypi"}, "unknown implementation 'pypi'; did you mean 'pypy'?"),
        ({**LINUX, "implementation": "pypy"}, "here.implementation-version: missing, and known only for Python 3.6"),
        ({**LINUX, "implementation-version": "1.0"}, "here.implementation-version: only PyPy and GraalPy have one"),
        (
            {**LINUX, "implementation": "pypy", "implementation-version": "new"},
            "here.implementation-version: expected a version such as",
        ),
        ({**LINUX, "pyhton": "3.12"}, "here.pyhton: unknown key 'pyhton'; did you mean 'python'?"),
        ({**LINUX, "markers": {"os_nam": "nt"}}, "here.markers.os_nam: unknown key 'os_nam'; did you mean 'os_name'?"),
        ({**LINUX, "markers": {"platform_release": 10}}, 'here.markers.platform_release: expected text in quotes'),
        ({**LINUX, "markers": ["os_name"]}, "here.markers: expected keys and values"),
        ({**LINUX, "markers": {"python_version": "3.11"}}, "here.markers.python_version: `python` decides it"),
        ({**LINUX, "markers": {"sys_platform": "win32"}}, "here.markers.sys_platform: `platform` decides it"),
        (
            {"markers": {"python_version": "3.8", "python_full_version": "3.9.9"}},
            'here.markers.python_version: expected "3.9", as in markers.python_full_version',
        ),
        ({"markers": {"python_full_version": "2.7.18"}}, "python_full_version: expected a Python 3 version"),
        ({**LINUX, "tags": "py3-none-any"}, "here.tags: expected a list of tags"),
        ({**LINUX, "tags": []}, "here.tags: expected a list of tags"),
        ({**LINUX, "tags": ["py3-none-any", "py3-any"]}, "here.tags[1]: expected a tag such as"),
        ({**LINUX, "tags": [3]}, "here.tags[0]: expected a tag such as"),
        ({**LINUX, "tags": ["py3-none-any"], "glibc": "2.28"}, "here.glibc: `tags` are spelled out"),
        (
            {
                "markers": {**dict.fromkeys(MARKER_KEYS, "x"), "python_full_version": "3.9.9", "python_version": "3.9"},
            },
            "here.tags: missing; they can't be derived",
        ),
    ],
)  # fmt: skip
def test_a_wrong_block_is_refused_with_its_key_path_and_what_was_expected(
    block: dict[str, object], expected: str
) -> None:
    with pytest.raises(BlockError) as caught:
        environment("here", block, "environments.here")
    said = "\n".join(map(str, caught.value.faults))
    assert expected in said
    assert all(fault.key_path.startswith("environments.here") for fault in caught.value.faults)


def test_a_block_that_is_no_mapping_is_one_fault() -> None:
    with pytest.raises(BlockError) as caught:
        environment("here", "3.12", "environments.here")  # type: ignore[arg-type]
    assert [str(fault) for fault in caught.value.faults] == [
        "environments.here: expected keys and values, found '3.12'"
    ]


def test_all_faults_of_a_block_come_at_once() -> None:
    said = faults(python=3.12, platform="win-amd64", glibc="x", colour="blue")
    assert said.count("environments.here.") == 4


def test_an_environment_is_a_value() -> None:
    one, same = made(python="3.12", platform="linux-x86_64"), made(python="3.12", platform="linux-x86_64")
    other = made(python="3.12", platform="linux-x86_64", glibc="2.31")
    one.tag_rank("py3-none-any")  # what was asked before changes nothing
    assert one == same
    assert {one: "found"}[same] == "found"
    assert one != other
    with pytest.raises(AttributeError):
        one.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.markers[0]["os_name"] = "nt"  # type: ignore[index]


def test_the_digest_is_the_same_in_every_process_and_changes_with_what_can_be_chosen() -> None:
    code = (
        "from mirror_tasks.config.environment_blocks import environment;"
        "print(environment('here', {'python': '3.12', 'platform': 'linux-x86_64'}, '').digest)"
    )
    one = made(python="3.12", platform="linux-x86_64")
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == one.digest
    digests = {made(python="3.12", platform="linux-x86_64", glibc=glibc).digest for glibc in ("2.28", "2.31")}
    digests.add(made(python="3.12.1", platform="linux-x86_64").digest)
    assert len(digests) == 3
    assert json.loads(json.dumps(one.to_json())) == one.to_json()


def test_a_marker_is_judged_once_for_all_patch_releases_that_it_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root is solved on each patch release that something hangs on: each would judge 2,000 markers of a large plan."""
    judged: list[str] = []

    def counting(marker: str, *rest: Any) -> bool:
        judged.append(marker)
        return holds(marker, *rest)

    monkeypatch.setattr(patch_releases, "holds", counting)
    target = made(python="3.12", platform="linux-x86_64")
    points = [target, *(target.at(patch, PIP) for patch in (0, 3, 7)), target.for_installer(PIP)]
    assert [point.marker_applies(Marker("sys_platform == 'linux'")) for point in points] == [True] * 5
    assert len(judged) == 1
    named = Marker("python_full_version >= '3.12.3'")
    assert [point.marker_applies(named) for point in points] == [True, False, True, True, True]
    exact = made(python="3.12.1", platform="linux-x86_64")
    assert [exact.marker_applies(named), exact.at(0, UV).marker_applies(named)] == [False, False]
