"""What is promised of a Pipfile.lock: what Pipenv would install is selected, with the hashes and the index that it names."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedPackage
from tests.lock_environments import LINUX, LOCKS, NAMES, THREE, WINDOWS, door, made, pins, selected

REAL = LOCKS / "pipenv" / "Pipfile.lock"
A = "a" * 64
GROUPS = {
    "--dev": ["default", "develop"],
    "--dev-only": ["develop"],
    "--categories=packages docs-and-more": ["default", "docs-and-more"],
}


def written(folder: Path, *, meta: object = (), **groups: object) -> Path:
    """Write a Pipfile.lock of the groups."""
    sources = [
        {"name": "main", "url": "https://index.example.com/simple/", "verify_ssl": True},
        {"name": "ours", "url": "https://token:secret@ours.example.com/simple/", "verify_ssl": True},
    ]
    content = {"_meta": {"hash": {"sha256": A}, "pipfile-spec": 6, "requires": {}, "sources": sources}, **groups}
    content["_meta"] |= dict(meta)  # type: ignore[call-overload]
    path = folder / "Pipfile.lock"
    path.write_text(json.dumps(content))
    return path


def entry(version: str = "==1.0", **more: object) -> dict[str, object]:
    return {"version": version, "hashes": [f"sha256:{A}"], **more}


def one(path: Path) -> LockedPackage:
    (package,) = selected(door(path, [LINUX]), LINUX)
    return package


@pytest.mark.clients
@pytest.mark.parametrize("option", GROUPS)
@pytest.mark.parametrize("where", THREE, ids=NAMES)
def test_what_is_selected_is_what_pipenv_says_of_the_lock(option: str, where: Environment) -> None:
    said = pipenv_requirements(option)
    lock = door(REAL, [where], GROUPS[option])
    applying = [one for one in said if where.marker_applies(one.marker)]
    assert pins(lock, where) == {f"{one.name}{one.specifier}" for one in applying}


@pytest.mark.clients
@pytest.mark.parametrize(
    ("change", "is_older"),
    [
        (("", ""), False),
        (("iniconfig", "Iniconfig"), False),  # the same project
        (('iniconfig = "*"', 'iniconfig = ">1"'), True),
        (("docs-and-more", "more-and-docs"), True),
        (("index.example.com", "other.example.com"), True),
        (("[dev-packages]", '[requires]\npython_version = "3.12"\n\n[dev-packages]'), True),
        (("[dev-packages]", '[scripts]\nrun = "python"\n\n[dev-packages]'), False),
    ],
)
def test_a_lock_is_older_than_its_pipfile_where_pipenv_says_so(
    change: tuple[str, str], is_older: bool, tmp_path: Path
) -> None:
    lock = with_pipfile(tmp_path, *change)
    answer = pipenv("verify", pipfile=lock.with_name("Pipfile"))
    assert answer.returncode == int(is_older), answer.stdout + answer.stderr
    assert bool(door(lock).warning) == is_older


def with_pipfile(folder: Path, old: str, new: str) -> Path:
    """Write the real lock beside a Pipfile that was changed."""
    shutil.copy(REAL, folder)
    text = REAL.with_name("Pipfile").read_text()
    assert old in text
    (folder / "Pipfile").write_text(text.replace(old, new) if old else text)
    return folder / "Pipfile.lock"


def test_a_lock_that_is_older_than_its_pipfile_says_so_and_is_read(tmp_path: Path) -> None:
    lock = door(with_pipfile(tmp_path, 'pluggy = "*"', 'pluggy = ">=1.6"'))
    assert lock.warning.startswith("the Pipfile has changed since the lock was made; ")
    assert lock.selected == door(REAL).selected
    assert door(REAL).warning == ""


@pytest.mark.parametrize("pipfile", ["[packages", "packages = 3", "[packages]\na = 2020-01-01", "[packages]\n", None])
def test_a_lock_whose_pipfile_can_t_be_compared_is_read_as_it_is(pipfile: str | None, tmp_path: Path) -> None:
    lock = written(tmp_path, default={"a": entry()})
    if pipfile is not None:
        (tmp_path / "Pipfile").write_text(pipfile)
    assert door(lock).warning == ""


@functools.cache
def pipenv_requirements(option: str) -> list[Requirement]:
    answer = pipenv("requirements", option, pipfile=REAL.with_name("Pipfile"))
    assert answer.returncode == 0, answer.stderr
    return [Requirement(line) for line in answer.stdout.splitlines() if line.strip() and not line.startswith("-")]


def pipenv(*arguments: str, pipfile: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("pipenv")
    if program is None:
        pytest.skip("pipenv is not on PATH")
    environment = os.environ | {"PIPENV_PIPFILE": str(pipfile), "PIPENV_IGNORE_VIRTUALENVS": "1", "NO_COLOR": "1"}
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)


def test_every_hash_of_a_release_is_there_and_no_name() -> None:
    lock = door(REAL, groups=["default"])
    (psutil,) = (one for one in selected(lock, WINDOWS) if one.name == "psutil")
    data = json.loads(REAL.read_text())["default"]["psutil"]["hashes"]
    assert [f"sha256:{file.sha256}" for file in psutil.files] == data
    assert {file.filename for file in psutil.files} == {""}


def test_groups_are_the_sections_and_all_are_asked_for_unless_told_otherwise() -> None:
    assert door(REAL).groups == ("default", "develop", "docs-and-more")
    assert door(REAL, groups=["Docs_and.more"]).groups == ("docs-and-more",)


def test_an_index_is_the_url_that_its_name_stands_for_without_credentials(tmp_path: Path) -> None:
    path = written(tmp_path, default={"a": entry(index="ours"), "b": entry()})
    ours, first = selected(door(path, [LINUX]), LINUX)
    assert (ours.index, first.index) == ("https://ours.example.com/simple/", "https://index.example.com/simple/")


def test_two_groups_with_the_same_release_have_it_once_and_with_two_releases_both(tmp_path: Path) -> None:
    path = written(tmp_path, default={"a": entry(), "b": entry()}, tests={"a": entry(), "b": entry("==2.0")})
    assert [str(one) for one in selected(door(path, [LINUX]), LINUX)] == ["a 1.0", "b 1.0", "b 2.0"]


def test_what_is_a_marker_in_another_key_is_one(tmp_path: Path) -> None:
    windows = entry(sys_platform="== 'win32'", markers="python_version >= '3.11' or python_version < '3'")
    path = written(tmp_path, default={"a": entry(), "b": windows})
    lock = door(path)
    assert pins(lock, LINUX) == {"a==1.0"}
    assert pins(lock, WINDOWS) == {"a==1.0", "b==1.0"}


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (
            {"git": "https://me:secret@git.example.com/tool.git", "ref": "4f1c", "subdirectory": "python"},
            "git+https://git.example.com/tool.git@4f1c#subdirectory=python",
        ),
        (
            {"git": "git+ssh://git@git.example.com/tool.git", "ref": "4f1c"},
            "git+ssh://git@git.example.com/tool.git@4f1c",
        ),
        ({"path": "../tool", "editable": True}, "../tool"),
        (
            {"file": "https://files.example.com/tool-1.5.tar.gz", "hashes": [f"sha256:{A}"]},
            f"https://files.example.com/tool-1.5.tar.gz#sha256={A}",
        ),
    ],
)
def test_what_no_index_has_is_a_source_as_a_requirement_has_it(
    value: dict[str, object], source: str, tmp_path: Path
) -> None:
    package = one(written(tmp_path, default={"tool": value}))
    assert (package.name, package.source, package.files) == ("tool", source, ())
    assert str(package.version) == ("1.5" if "1.5" in source else "0")


def test_the_project_itself_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, default={"a": entry(), "app": {"path": ".", "editable": True}, "too": {"file": "./"}})
    assert one(path).name == "a"


@pytest.mark.parametrize(
    ("requires", "allowed"),
    [
        ({"python_version": "3.12"}, [LINUX]),
        ({"python_version": "3"}, THREE),
        ({"python_version": ">=3.12"}, [LINUX, THREE[2]]),
        (
            {"python_version": "3.11", "python_full_version": "3.12.4"},
            [LINUX, made("exact", python="3.12.4", platform="linux-x86_64")],
        ),
        ({"python_version": "*"}, THREE),
    ],
)
def test_the_python_that_it_requires_is_compared_as_far_as_it_is_said(
    requires: dict[str, str], allowed: list[Environment], tmp_path: Path
) -> None:
    path = written(tmp_path, meta={"requires": requires}, default={"a": entry()})
    assert set(door(path, allowed).selected) == {where.name for where in allowed}
    for where in set(THREE) - set(allowed):
        with pytest.raises(ValueError, match=r"on \w+ [(]Python 3\.1[123][)]: it is for Python [=>]=3\..*; lock"):
            door(path, [where])


@pytest.mark.parametrize(
    ("value", "lacks"),
    [
        ({"version": "*", "markers": "sys_platform == 'win32'"}, "version"),
        ({"markers": "sys_platform == 'win32'"}, "version"),
        ({"version": "==1.0", "markers": "sys_platform == 'win32'"}, "hashes"),
    ],
)
def test_what_pipenv_left_open_is_a_fault_where_it_is_selected_and_nowhere_else(
    value: dict[str, object], lacks: str, tmp_path: Path
) -> None:
    path = written(tmp_path, default={"a": value, "b": entry()})
    assert pins(door(path, [LINUX]), LINUX) == {"b==1.0"}
    said = rf"default\.a \(no {lacks}\): expected an exact version .* in the Pipfile and lock again$"
    with pytest.raises(ValueError, match=rf"^Pipfile\.lock: on windows \(Python 3\.11\): {said}"):
        door(path, [LINUX, WINDOWS])


def test_many_packages_that_pipenv_left_open_are_one_sentence(tmp_path: Path) -> None:
    path = written(tmp_path, default={f"a{number}": {"version": "*"} for number in range(300)})
    with pytest.raises(ValueError, match=r"default\.a0 \(no version\), .* and 290 more: expected") as caught:
        door(path)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (entry(hashes=["sha256:12"]), r"default\.a\.hashes\[0\]: expected a SHA-256 hash of 64 .*, found '12'"),
        (entry(hashes=[f"md5:{A}"]), r"default\.a\.hashes\[0\]: expected sha256:…, found 'md5:a"),
        (entry(hashes=f"sha256:{A}"), r"default\.a\.hashes: expected a list, found 'sha256:a"),
        (entry(">=1.0"), r"default\.a\.version: expected one such as ==1\.0, found '>=1\.0'"),
        (entry("==1.*"), r"default\.a\.version: expected one such as ==1\.0"),
        (entry(markers="python is 3"), r"default\.a\.markers: expected a marker \(PEP 508\), found 'python is 3'"),
        (entry(markers=3), r"default\.a\.markers: expected a string, found 3"),
        (entry(sys_platform="'win32'"), r"default\.a: expected markers such as .*, found \"sys_platform 'win32'\""),
        (entry(index="theirs"), r"default\.a\.index: expected a name in _meta\.sources \(main, ours\), found 'theirs'"),
        ("==1.0", r"default\.a: expected a table, found '==1\.0'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_its_key(value: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^Pipfile.lock: {said}"):
        door(written(tmp_path, default={"a": value}))


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"pipfile-spec": 7}, "_meta.pipfile-spec: 7 is newer than 6, which is what is read here: update this project"),
        ({"pipfile-spec": "6"}, "_meta.pipfile-spec: expected a whole number, found '6'; lock again with Pipenv"),
        ({"sources": {}}, "_meta.sources: expected a list, found {}"),
        (
            {"requires": {"python_version": "three"}},
            "_meta.requires.python_version: expected a version of Python such as",
        ),
    ],
)
def test_another_specification_is_refused_by_its_number(meta: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^Pipfile.lock: {said}"):
        door(written(tmp_path, meta=meta, default={"a": entry()}))
