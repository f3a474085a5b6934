"""What describe_environment.py promises: the machine it runs on, in the words of mirror.yaml."""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

from mirror_tasks import describe_environment
from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.platforms import PLATFORMS
from tests.interpreters import EACH, interpreter

SCRIPT = Path(describe_environment.__file__)

ASK_MARKERS = """
import json
from {0}.markers import default_environment
from {0}.tags import sys_tags
print(json.dumps([default_environment(), [str(tag) for tag in sys_tags()]]))
"""


def run(command: str, *arguments: str, script: Path = SCRIPT) -> str:
    done = subprocess.run([command, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def described(output: str) -> Environment:
    ((name, block),) = yaml.safe_load(output).items()
    return environment(name, block, f"environments.{name}")


@pytest.mark.parametrize("version", EACH)
def test_the_block_of_an_interpreter_has_the_tags_and_markers_that_its_installer_sees(
    version: str, tmp_path: Path
) -> None:
    command = interpreter(version)
    alone = tmp_path / "copied.py"  # one file, copied to the target machine
    shutil.copy(SCRIPT, alone)
    one = described(run(command, script=alone))
    asked = subprocess.run(
        [command, "-c", ASK_MARKERS.format("pip._vendor.packaging")], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        pytest.skip(f"Python {version} has no pip to compare with")
    markers, tags = json.loads(asked.stdout)
    free = {"platform_version"}  # that of this kernel, which no requirement should hang on
    assert [{key: end[key] for key in end if key not in free} for end in one.markers] == [
        {key: markers[key] for key in markers if key not in free}
    ]
    # older pips do not know cp312-none-any
    assert {str(tag) for tag in one.tags} - set(tags) <= {f"cp{version.replace('.', '')}-none-any"}
    assert set(tags) <= {str(tag) for tag in one.tags}


@pytest.mark.parametrize("version", EACH)
def test_it_needs_nothing_but_the_standard_library(version: str, tmp_path: Path) -> None:
    alone = tmp_path / "copied.py"
    shutil.copy(SCRIPT, alone)
    for arguments in ([], ["--requirements"], ["--help"]):
        done = subprocess.run(
            [interpreter(version), "-I", "-S", str(alone), *arguments], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_name_can_be_given_and_else_says_what_it_is() -> None:
    assert "\n  server: {python: " in run(sys.executable, "--name", "server")
    name = next(iter(yaml.safe_load(run(sys.executable))))
    assert name.startswith(f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}")


def block(monkeypatch: pytest.MonkeyPatch, **changes: object) -> dict[str, object]:
    """Return the block on a machine that differs from this one."""
    places: dict[str, object] = {
        "get_platform": sysconfig,
        "machine": platform,
        "release": platform,
        "mac_ver": platform,
        "calcsize": struct,
        "confstr": os,
    }
    for name, value in changes.items():
        if name in places:
            monkeypatch.setattr(places[name], name, lambda *_, value=value: value)
        elif name == "sys_platform":
            monkeypatch.setattr(sys, "platform", value)
        else:
            monkeypatch.setattr(describe_environment, name, lambda value=value: value)
    return describe_environment.environment_block()


def test_a_32_bit_python_on_a_64_bit_kernel_takes_32_bit_wheels_and_sees_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    linux = block(
        monkeypatch, get_platform="linux-x86_64", machine="x86_64", release="5.15.0", calcsize=4, confstr="glibc 2.31"
    )
    assert linux["platform"] == "linux-i686"
    assert linux["glibc"] == "2.31"
    assert linux["markers"] == {"platform_machine": "x86_64"}
    assert environment("a", linux, "").tags[0].platform == "manylinux_2_31_i686"


@pytest.mark.parametrize(
    ("built_for", "machine", "name", "markers"),
    [
        ("win-amd64", "AMD64", "windows-amd64", None),
        ("win32", "AMD64", "windows-x86", {"platform_machine": "AMD64"}),
        ("win-arm64", "ARM64", "windows-arm64", None),
    ],
)
def test_windows_is_described(
    monkeypatch: pytest.MonkeyPatch, built_for: str, machine: str, name: str, markers: dict[str, str] | None
) -> None:
    windows = block(monkeypatch, sys_platform="win32", get_platform=built_for, machine=machine, release="10")
    assert (windows["platform"], windows.get("markers")) == (name, markers)
    assert not {"glibc", "musl", "macos"} & set(windows)
    assert environment("a", windows, "").markers[0]["platform_machine"] == machine


def test_a_kernel_is_described_where_it_is_another_than_is_taken_for_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    debian = block(
        monkeypatch, get_platform="linux-x86_64", machine="x86_64", release="6.1.0-13-amd64", confstr="glibc 2.36"
    )
    assert debian["markers"] == {"platform_release": "6.1.0-13-amd64"}
    monkeypatch.undo()  # packaging remembers what it once asked of the machine
    one = environment("a", debian, "")
    assert one.divides('platform_release >= "6.0"')
    granted = {
        key: {one.system: environment("a", {"python": "3.12", "platform": key}, "")} for key, one in PLATFORMS.items()
    }
    for system, release in describe_environment.RELEASES.items():
        assert {made[system].markers[0]["platform_release"] for made in granted.values() if system in made} == {release}


def test_macos_is_described_with_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = block(
        monkeypatch,
        sys_platform="darwin",
        get_platform="macosx-11.0-universal2",
        machine="arm64",
        release="23.6.0",
        mac_ver=("14.7.1", ("", "", ""), "arm64"),
    )
    assert (mac["platform"], mac["macos"], mac["markers"]) == ("macos-arm64", "14.7", {"platform_release": "23.6.0"})
    assert environment("a", mac, "").tags[0].platform == "macosx_14_0_arm64"


def test_musl_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    alpine = block(
        monkeypatch,
        sys_platform="linux",
        get_platform="linux-aarch64",
        machine="aarch64",
        glibc_version=None,
        musl_version="1.2",
    )
    assert (alpine["platform"], alpine["musl"]) == ("linux-aarch64", "1.2")
    assert environment("a", alpine, "").tags[0].platform == "musllinux_1_2_aarch64"


def test_the_version_of_musl_is_asked_from_its_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loader = tmp_path / "ld-musl-x86_64.so.1"
    loader.write_text(
        "#!/bin/sh\nprintf 'musl libc (x86_64)\\nVersion 1.2.4\\nDynamic Program Loader\\n' >&2\nexit 1\n"
    )
    loader.chmod(0o755)
    monkeypatch.setattr(describe_environment, "Path", lambda _: tmp_path)
    assert describe_environment.musl_version() == "1.2"


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="pretends to be another implementation")
def test_pypy_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(major=7, minor=3, micro=20, releaselevel="final", serial=0)
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="pypy", version=own))
    pypy = block(monkeypatch, sys_platform="linux", get_platform="linux-x86_64", machine="x86_64", confstr="glibc 2.36")
    assert (pypy["implementation"], pypy["implementation-version"]) == ("pypy", "7.3.20")
    assert environment("a", pypy, "").tags[0].interpreter.startswith("pp3")


def test_a_platform_without_a_name_is_spelled_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "linux-loongarch64")
    assert describe_environment.print_environment("odd") == 0
    one = described(capsys.readouterr().out)
    assert dict(one.markers[0]) == default_environment()
    assert len(one.tags) > 10


def test_where_no_tags_are_known_the_user_is_told_to_complete_the_block(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "plan9-sparc")
    monkeypatch.setattr(describe_environment, "all_tags", list)
    assert describe_environment.print_environment(None) == 1
    printed = capsys.readouterr()
    assert "install pip or packaging" in printed.err
    assert "markers: {implementation_name: " in printed.out


@pytest.mark.parametrize(
    ("level", "expected"),
    [("final", "3.15.0"), ("alpha", "3.15.0a2"), ("beta", "3.15.0b2"), ("candidate", "3.15.0rc2")],
)
def test_versions_are_spelt_as_markers_spell_them(level: str, expected: str) -> None:
    info = SimpleNamespace(major=3, minor=15, micro=0, releaselevel=level, serial=2)
    assert describe_environment.version_text(info) == expected


def test_a_free_threaded_build_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: 1)
    assert describe_environment.python_version().endswith("t")


def install(site: Path, name: str, version: str, *, url: bool = False, egg: bool = False) -> None:
    folder = site / f"{name}-{version}.{'egg' if egg else 'dist'}-info"
    folder.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\n{f'Name: {name}' if name else ''}\nVersion: {version}\n\nText\nName: wrong\n"
    (folder / ("PKG-INFO" if egg else "METADATA")).write_text(text, encoding="utf-8")
    if url:
        (folder / "direct_url.json").write_text('{"url": "https://user:hunter2@files.example.com/a.whl"}')


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    install(folder, "Beta_B", "2.0+cu118")
    install(folder, "alpha", "1.0.post1")
    install(folder, "gamma", "3.0rc1", egg=True)
    install(folder, "old", "2004d-custom")
    install(folder, "local", "1.0", url=True)
    (folder / "single.egg-info").write_text("Name: single\nVersion: 0.1\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("version", EACH)
@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (
            "==",
            "alpha==1.0.post1 | Beta_B==2.0+cu118 | gamma==3.0rc1 | # local==1.0 was not installed from an index | "
            "old===2004d-custom | single==0.1",
        ),
        (
            ">=",
            "alpha>=1.0.post1 | Beta_B>=2.0 | gamma>=3.0rc1 | # local>=1.0 was not installed from an index | old | "
            "single>=0.1",
        ),
        ("names", "alpha | Beta_B | gamma | # local was not installed from an index | old | single"),
    ],
)
def test_what_is_installed_is_printed_as_requirement_lines(site: Path, version: str, pin: str, expected: str) -> None:
    code = (
        "import runpy, sys; site, script, pin = sys.argv[1:]; sys.path[:] = [p for p in sys.path if 'site-' not in p]\n"
        "sys.path.append(site); sys.argv = [script, '--requirements', pin]; runpy.run_path(script, run_name='__main__')"
    )
    done = subprocess.run(
        [interpreter(version), "-I", "-S", "-c", code, str(site), str(SCRIPT), pin],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected.split(" | ")
    for line in done.stdout.splitlines():
        assert line.startswith("#") or Requirement(line)


def test_a_distribution_without_a_name_is_said_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install(tmp_path, "", "1.0")
    install(tmp_path, "alpha", "1.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert describe_environment.print_requirements("==") == 0
    printed = capsys.readouterr()
    assert printed.out == "alpha==1.0\n"
    assert "without a name" in printed.err


def test_what_is_first_on_the_path_is_what_is_imported_and_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install(tmp_path / "first", "foo.bar", "2.0")
    install(tmp_path / "second", "Foo_Bar", "1.0")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second"), str(tmp_path / "missing")])
    describe_environment.print_requirements("==")
    assert capsys.readouterr().out == "foo.bar==2.0\n"


def test_a_wrong_option_is_refused_with_those_that_are_right() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--requirements", "~="], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "names" in done.stderr
    assert "Traceback" not in done.stderr
