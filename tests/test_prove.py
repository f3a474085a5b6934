"""The proof reads nothing but the finished mirror, and finds what is not right with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mirror_tasks import describe_environment
from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from mirror_tasks.errors import IntegrityError, ResolutionError
from mirror_tasks.prove.installation import is_here
from mirror_tasks.prove.proof import Proof
from mirror_tasks.prove.uv import find_client, macos_target, uv_platform
from mirror_tasks.prove.verdicts import Verdict, as_json, check
from mirror_tasks.tasks.console import new_table, print_table
from tests import mirroring
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel

YAML = """\
environments:
  linux: {{python: "3.9", platform: linux-x86_64}}  # older than what runs the tests, so never the same as here
  here: {here}
requirements:
  - app[fast]
  - built
index: {index}
"""


OLDER = {"python": "3.9", "platform": "linux-x86_64"}


def this_environment() -> str:
    """Return the block of the interpreter that runs the tests, in YAML's flow style."""
    described = subprocess.run(
        [sys.executable, describe_environment.__file__], capture_output=True, text=True, check=True
    ).stdout
    return described.splitlines()[-1].partition(": ")[2]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished mirror; its index is gone."""
    folder = tmp_path_factory.mktemp("proof")
    world = {
        "app": [wheel("app", "1.0", requires=["lib>=1"], extras={"fast": ["speed"]})],
        "lib": [wheel("lib", "1.5")],
        "speed": [wheel("speed", "2")],
        "built": [sdist("built", "1.0")],
        "setuptools": [wheel("setuptools", "80")],
        "wheel": [wheel("wheel", "1")],
    }
    with FakeIndex(world) as index:
        (folder / "mirror.yaml").write_text(YAML.format(index=index.url, here=this_environment()), "utf-8")
        (folder / "dodo.py").write_text(mirroring.DODO, "utf-8")
        made = mirroring.MirrorFolder(folder).doit("mirror")
        assert made.returncode == 0, made.stdout + made.stderr
    return folder


def test_every_pair_is_proven_by_two_judges_without_the_index(mirrored: Path) -> None:
    proof = Proof(load(mirrored / "mirror.yaml"), find_client())
    verdicts = [*proof.by_solver(), *proof.by_client()]
    assert {(one.root, one.environment, one.judge): one.reason for one in verdicts} == {
        (root, environment, judge): ""
        for root in ("app[fast]", "built")
        for environment in ("linux", "here")
        for judge in ("solver", "uv")
    }


def test_roots_are_installed_and_sdists_built_from_the_mirror_alone(mirrored: Path) -> None:
    proof = Proof(load(mirrored / "mirror.yaml"), None)
    verdicts = [*proof.by_installation(), *proof.by_building(all_of_them=False)]
    assert [(one.root, one.judge, one.reason) for one in verdicts] == [
        ("app[fast]", "installation", ""),
        ("built", "installation", ""),
        ("built", "build", ""),
    ]


def test_a_release_that_is_missing_is_found_by_both_judges(mirrored: Path, tmp_path: Path) -> None:
    config = _copy(mirrored, tmp_path)
    for page in (config.output / "simple" / "lib").iterdir():
        page.unlink()
    proof = Proof(config, find_client())
    failed = {(one.root, one.judge) for one in (*proof.by_solver(), *proof.by_client()) if not one.proven}
    assert failed == {("app[fast]", "solver"), ("app[fast]", "uv")}
    with pytest.raises(ResolutionError, match=r"lib>=1 required by app-1\.0, asked for in mirror.yaml"):
        check(list(proof.by_solver()), config.output)


def test_metadata_that_is_not_what_the_page_announces_is_found(mirrored: Path, tmp_path: Path) -> None:
    config = _copy(mirrored, tmp_path)
    beside = next((config.output / "packages" / "lib").glob("*.metadata"))
    beside.write_bytes(beside.read_bytes() + b"\n")
    with pytest.raises(IntegrityError, match=r"expected [0-9a-f]{64}, found [0-9a-f]{64}"):
        list(Proof(config, None).by_solver())


def test_published_metadata_that_breaks_a_rule_is_the_reason_that_is_given(mirrored: Path, tmp_path: Path) -> None:
    config = _copy(mirrored, tmp_path)
    beside = next((config.output / "packages" / "lib").glob("*.metadata"))
    page = config.output / "simple" / "lib" / "index.v1_json"
    before = hashlib.sha256(beside.read_bytes()).hexdigest()
    beside.write_bytes(b"Metadata-Version: 2.1\nName: lib\nVersion: 1.5\nRequires-Dist: no requirement\n\n")
    after = hashlib.sha256(beside.read_bytes()).hexdigest()
    page.write_text(page.read_text("utf-8").replace(before, after), "utf-8")
    reasons = {one.root: one.reason for one in Proof(config, None).by_solver()}
    assert "Requires-Dist: not a valid requirement (PEP 508): 'no requirement'" in reasons["app[fast]"]
    assert "lib-1.5-py3-none-any.whl" in reasons["app[fast]"]


def test_the_verb_prints_the_table_and_writes_what_it_found(mirrored: Path) -> None:
    done = mirroring.MirrorFolder(mirrored).doit("prove", "--own")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 pairs proven" in done.stdout
    # A root that has only an sdist here is built here without being asked for.
    found = json.loads((mirrored / ".mirror" / "prove.json").read_text("utf-8"))
    assert {(one["root"], one["environment"], one["judge"], one["proven"]) for one in found} == {
        *((root, environment, "solver", True) for root in ("app[fast]", "built") for environment in ("linux", "here")),
        ("built", "here", "build", True),
    }


def test_where_nothing_is_installed_for_real_though_it_was_asked_for_is_told(tmp_path: Path) -> None:
    """It said as much of an environment that it installed nothing on as of one where all had been installed."""
    environments = {"linux": OLDER, "here": yaml.safe_load(this_environment())}
    with FakeIndex({"a": [wheel("a", "1.0")]}) as index:
        # What is asked for on the other environment alone takes no time to install here.
        only = {"require": "a", "environments": ["linux"]}
        project = mirroring.mirror_folder(tmp_path, index, environments=environments, requirements=[only])
        project.mirrored()
    done = project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    here = ".".join(map(str, sys.version_info[:3]))
    text = f"not installed or built for real on linux: that takes a Python of the environment, and this is {here}\n"
    assert text in done.stdout
    assert "built for real" not in project.doit("prove", "--own").stdout


def test_a_title_is_one_line_above_a_table_that_is_narrower(tmp_path: Path) -> None:
    with FakeIndex({"a": [wheel("a", "1.0")]}) as index:
        project = mirroring.mirror_folder(tmp_path, index, environments={"e": OLDER}, requirements=["a"])
        project.mirrored()
    done = project.doit("prove", "--own")
    assert done.stdout.startswith("Proof, from the mirror alone\n┏━"), done.stdout


def test_a_table_names_everything_whole_on_eighty_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of five environments the proof told `python-dat…` and `linux-produ…`, into a file too."""
    monkeypatch.setenv("COLUMNS", "80")
    table = new_table("requirement", "linux-production-server", "windows-laptop", "mac", "old-linux", "alpine")
    table.add_row("python-dateutil", *["solver uv"] * 5)
    print_table(table, "Proof, from the mirror alone")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    columns = zip(*(line.split("│") for line in lines if line.startswith("│")), strict=True)
    assert "python-dateutil" in ["".join(cells).replace(" ", "") for cells in columns]


def test_an_unfinished_mirror_is_not_proven(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(mirroring.DODO, "utf-8")
    (tmp_path / "mirror.yaml").write_text(
        YAML.format(index="https://index.example.com/simple/", here="{python: '3.9', platform: windows-x86}")
    )
    done = mirroring.MirrorFolder(tmp_path).doit("prove")
    assert done.returncode != 0
    assert "Run `doit mirror` first." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("block", "platform"),
    [
        ({"python": "3.12", "platform": "linux-x86_64"}, "x86_64-manylinux_2_28"),
        ({"python": "3.12", "platform": "linux-x86_64", "glibc": "2.17"}, "x86_64-manylinux_2_17"),
        ({"python": "3.12", "platform": "linux-aarch64", "musl": "1.2"}, "aarch64-unknown-linux-musl"),
        ({"python": "3.12", "platform": "linux-s390x"}, None),
        ({"python": "3.12", "platform": "windows-amd64"}, "x86_64-pc-windows-msvc"),
        ({"python": "3.12", "platform": "macos-arm64"}, "aarch64-apple-darwin"),
        ({"python": "3.13t", "platform": "linux-x86_64"}, None),
        (
            {
                "python": "3.11",
                "platform": "linux-x86_64",
                "implementation": "pypy",
                "implementation-version": "7.3.17",
            },
            None,
        ),
    ],
)
def test_the_client_judges_the_platforms_that_it_knows(block: dict[str, object], platform: str | None) -> None:
    assert uv_platform(environment("one", block, "environments.one")) == platform


def test_the_client_judges_for_the_macos_of_the_environment() -> None:
    block = {"python": "3.12", "platform": "macos-arm64", "macos": "15.0"}
    assert macos_target(environment("one", block, "environments.one")) == {"MACOSX_DEPLOYMENT_TARGET": "15.0"}


def test_verdicts_are_written_in_an_order_that_does_not_depend_on_who_was_first() -> None:
    verdicts = [Verdict("b", "x", "uv", ""), Verdict("a", "y", "uv", "no"), Verdict("a", "x", "solver", "")]
    assert as_json(verdicts) == as_json(verdicts[::-1])


def test_an_environment_of_this_interpreter_is_known_as_such(mirrored: Path) -> None:
    config = load(mirrored / "mirror.yaml")
    assert is_here(next(one for one in config.environments if one.name == "here"))


def _copy(mirrored: Path, folder: Path) -> Config:
    shutil.copytree(mirrored, folder / "copy")
    return load(folder / "copy" / "mirror.yaml")
