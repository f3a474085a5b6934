"""A number of thousands of digits, which Python does not read, is told where it stands, whoever wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packaging.markers import Marker

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.long_numbers import EXPECTED, TOO_LONG, places_of_long_numbers
from mirror_tasks.config.wishes import read_review
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder
from tests.test_config import ENVIRONMENTS, faults, line_faults
from tests.test_own_sources import said

LONG = "9" * 5000
HEX = "0x" + "f" * 6000  # PyYAML and tomli read this, but Python writes it in no message
ENTRY = f"{ENVIRONMENTS}\nrequirements: "


@pytest.mark.parametrize(
    "requirement",
    [
        f"foo=={LONG}",
        f"foo==1.{LONG}",
        f"foo~=1.{LONG}",
        f"foo=={LONG}.*",
        f"foo=={LONG}!1",
        f"foo==1+{LONG}",
        f"foo==1.post{LONG}",
        f"foo; python_full_version < '3.{LONG}'",
        f"foo @ https://files.example.com/foo-{LONG}.tar.gz",
    ],
)
def test_of_a_requirement_it_is_a_fault(tmp_path: Path, requirement: str) -> None:
    assert faults(tmp_path, f"{ENTRY}[{json.dumps(requirement)}]") == [f"requirements[0]: {EXPECTED}"]
    (found,) = line_faults(tmp_path, f"# one\n{requirement}\n")
    assert found.startswith("requirements.txt:2: ")
    assert found.endswith(TOO_LONG)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        (f"workers: {HEX}\nrequirements: [foo]", "workers"),
        (f"? {HEX}\n: 1\nrequirements: [foo]", "mirror.yaml"),
        (f"workers: {LONG}\nrequirements: [foo]", "mirror.yaml"),
        (f"requirements: [{{require: foo, versions: {HEX}}}]", "requirements[0].versions"),
        (f"requirements: [{{wanted: {HEX}}}]", "requirements[0].wanted"),
    ],
)
def test_of_a_setting_it_is_a_fault(tmp_path: Path, settings: str, place: str) -> None:
    assert faults(tmp_path, f"{ENVIRONMENTS}\n{settings}\n") == [f"{place}: {EXPECTED}"]


def test_every_place_is_told_at_once(tmp_path: Path) -> None:
    text = (
        f'environments:\n  here: {{python: "3.12", platform: linux-x86_64, markers: {{platform_release: "{LONG}"}}}}\n'
    )
    assert faults(tmp_path, f"{text}requirements: [foo, 'bar=={LONG}']") == [
        f"environments.here.markers.platform_release: {EXPECTED}",
        f"requirements[1]: {EXPECTED}",
    ]


LOCK = """\
lock-version = "1.0"
created-by = "hand"
[[packages]]
name = "lib"
version = "{version}"
{more}
wheels = [{{name = "lib-1.0-py3-none-any.whl", hashes = {{sha256 = "{digest}"}}}}]
"""


@pytest.mark.parametrize(
    ("version", "more", "place"),
    [
        (LONG, "", "packages[0].version"),
        ("1.0", f"marker = \"python_full_version < '3.{LONG}'\"", "packages[0].marker"),
        ("1.0", f"tool.x = {HEX}", "packages[0].tool.x"),
    ],
)
def test_of_a_lock_it_is_a_fault(tmp_path: Path, version: str, more: str, place: str) -> None:
    lock = LOCK.format(version=version, more=more, digest="0" * 64)
    found = faults(tmp_path, f"{ENTRY}[{{lock: pylock.toml}}]", pylock_toml=lock)
    assert found == [f"requirements[0].lock: pylock.toml: {place}: {EXPECTED}"]


@pytest.mark.parametrize(
    "line", [f"dependencies = ['lib; python_version < \"{LONG}\"']", f"requires-python = '>={LONG}'"]
)
def test_of_a_project_it_is_a_fault(tmp_path: Path, line: str) -> None:
    project = f'[project]\nname = "app"\nversion = "1"\n{line}\n'
    (found,) = faults(tmp_path, f"{ENTRY}[{{project: pyproject.toml}}]", pyproject_toml=project)
    assert found.startswith("pyproject.toml: project.")


def test_of_a_review_it_is_no_requirement(tmp_path: Path) -> None:
    found = faults(tmp_path, f"{ENTRY}[{{wanted: w.txt}}]", w_txt="", w_reviewed_txt=f"ok\nfoo=={LONG}\n")
    assert found[0].startswith("requirements[0].wanted: w.reviewed.txt: 2: expected a requirement")
    with pytest.raises(ValueError, match="expected a requirement"):
        read_review(f"foo=={LONG}\n")


@pytest.mark.parametrize("python", ["3.12", "3.12.4"])
def test_no_marker_and_no_requires_python_with_one_breaks_a_judgement(python: str) -> None:
    one = environment("here", {"python": python, "platform": "linux-x86_64"}, "environments.here")
    for sign in ("<", ">=", "==", "~=", "==="):
        marker = Marker(f"python_full_version {sign} '3.{LONG}'")
        one.marker_applies(marker)
        one.marker_always_applies(marker)
        one.marker_always_applies(Marker(f"python_version == '{LONG}.*'"))
        one.allows(f"{sign}3.{LONG}")
        one.turns(f"{sign}3.{LONG}", str(marker))


def test_asked_for_by_name_it_is_no_release(tmp_path: Path) -> None:
    with FakeIndex({"alone": [wheel("alone", "1.0")]}) as index:
        project = mirror_folder(tmp_path, index, requirements=["alone"])
        project.mirrored()
        told = said(project.doit("explain", f"alone=={LONG}", f"alone-{LONG}", f"alone-{LONG}.tar.gz"))
        assert told.count("is not in the mirror") >= 3


def test_numbers_that_are_large_and_can_be_read_are_left_alone() -> None:
    fine = {"a": ["1" * 100, 10**99, -(10**99), True, 1.5, None], "f" * 128: {"sha512": "0123456789abcdef" * 8}}
    assert list(places_of_long_numbers(fine)) == []
    assert list(places_of_long_numbers(["1" * 101])) == ["[0]"]
    assert list(places_of_long_numbers({"a": {"b": [0, 10**100]}})) == ["a.b[1]"]
