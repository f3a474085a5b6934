"""One file and one environment: what is preferred and what is refused, with the reason that the user is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import UV
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.selection import (
    Candidate,
    Rules,
    build_tag_of,
    check_python,
    check_status,
    fitting,
    is_pin,
    tags_of,
)

LINUX = {"python": "3.12.1", "platform": "linux-x86_64"}


def linux(**block: Any) -> Environment:
    return environment("linux", {**LINUX, **block}, "environments.linux")


def project(*filenames: str, status: dict[str, str] | None = None, **attributes: object) -> Project:
    files = [{"filename": name, "url": name, "hashes": {"sha256": "0" * 64}, **attributes} for name in filenames]
    page = {"meta": {"api-version": "1.4"}, "name": "foo", "files": files, "project-status": status or {}}
    return parse_page(json.dumps(page).encode(), JSON_TYPE, "https://index.example.com/simple/foo/", "foo")


def candidates(page: Project, specifier: str = "", **rules: Any) -> list[Candidate]:
    return list(fitting(page, SpecifierSet(specifier), linux(), Rules(**rules)))


@pytest.mark.parametrize(
    ("filename", "tag"),
    [
        ("foo-1.0-py3-none-any.whl", ()),
        ("foo-1.0-7-py3-none-any.whl", (7, "")),
        ("foo-1.0-12ab3-py3-none-any.whl", (12, "ab3")),
        ("foo-1.0-0-py3-none-any.whl", (0, "")),
        ("foo-1.0-x-py3-none-any.whl", (0, "x")),
    ],
)
def test_a_build_tag_is_its_number_and_what_follows(filename: str, tag: tuple[int, str] | tuple[()]) -> None:
    assert build_tag_of(filename) == tag
    assert tags_of(filename).startswith("py3-none-any")


def test_of_wheels_with_one_tag_the_highest_build_is_preferred_then_the_name() -> None:
    kinds = ["py3-none-any", "0-py3-none-any", "9-py3-none-any", "10-py3-none-any", "10a-py3-none-any"]
    (release,) = candidates(project(*(f"foo-1.0-{kind}.whl" for kind in [*kinds, "2-cp312-cp312-linux_x86_64"])))
    assert [file.filename.removeprefix("foo-1.0-").split("-")[0] for file in release.wheels] == [
        *("2", "10", "10a", "9", "0", "py3")
    ]
    (release,) = candidates(project("foo-1.0-1b-py3-none-any.whl", "foo-1.0-1a-py3-none-any.whl"))
    assert release.wheels[0].filename == "foo-1.0-1b-py3-none-any.whl"


def test_of_several_sdists_of_a_release_the_gzipped_tar_is_taken() -> None:
    for names in (["foo-1.0.zip", "foo-1.0.tar.gz"], ["foo-1.0.tar.gz", "foo-1.0.zip"], ["foo-1.0.tar", "foo-1.0.zip"]):
        (release,) = candidates(project(*names))
        assert release.sdist is not None
        assert release.sdist.filename == ("foo-1.0.tar.gz" if "foo-1.0.tar.gz" in names else "foo-1.0.zip")


def test_only_a_quarantined_project_is_refused_and_the_reason_is_told() -> None:
    files = ("foo-1.0-py3-none-any.whl",)
    for status in ("active", "archived", "deprecated"):
        assert candidates(project(*files, status={"status": status}))
    quarantined = project(*files, status={"status": "quarantined", "reason": "malware"})
    assert candidates(quarantined) == []
    assert check_status(quarantined) == "the project is quarantined: malware"
    assert check_status(project(*files, status={"status": "quarantined"})) == (
        "the project is quarantined: no reason given"
    )


def test_prefer_binary_puts_releases_with_a_wheel_first_and_keeps_the_others_once() -> None:
    page = project("foo-1.0-py3-none-any.whl", "foo-2.0.tar.gz", "foo-3.0-py3-none-any.whl", "foo-4.0.tar.gz")
    assert [str(one.version) for one in candidates(page)] == ["4.0", "3.0", "2.0", "1.0"]
    assert [str(one.version) for one in candidates(page, prefer_binary=True)] == ["3.0", "1.0", "4.0", "2.0"]


@pytest.mark.parametrize(
    ("python", "requires", "reason"),
    [
        ("3.12.1", ">=3.13", "Requires-Python >=3.13 leaves out 3.12.1"),
        ("3.12", "<3.12", "Requires-Python <3.12 leaves out every 3.12"),
        ("3.12", "!=3.12.1", None),
        ("3.12.1", None, None),
    ],
)
def test_a_refusal_by_requires_python_says_which_python_it_leaves_out(
    python: str, requires: str | None, reason: str | None
) -> None:
    assert check_python(requires, linux(python=python)) == reason


def test_a_specifier_that_cant_be_read_is_named_where_only_uv_is_asked() -> None:
    as_uv = replace(linux(), installers=(UV,))
    assert check_python("what is this", linux()) is None
    assert check_python("what is this", as_uv) == (
        "uv passes over Requires-Python 'what is this', which is no valid specifier"
    )


def test_a_fallback_sdist_is_left_out_only_where_wheels_serve_every_patch_release() -> None:
    wheel, sdist = "foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz"
    page = project(wheel, sdist)
    (release,) = candidates(page, sdists="fallback")
    assert [file.filename for file in release.files] == [wheel]
    (release,) = candidates(project(sdist), sdists="fallback")
    assert [file.filename for file in release.files] == [sdist]


@pytest.mark.parametrize(
    ("specifier", "pins"),
    [("===1.0", True), ("==1.0", True), ("==1.*", False), (">=1,==1.0", True), (">=1.0", False), ("", False)],
)
def test_a_pin_names_one_version(specifier: str, pins: bool) -> None:
    assert is_pin(SpecifierSet(specifier)) is pins
    page = project("foo-1.0-py3-none-any.whl", yanked="broken")
    assert bool(candidates(page, specifier)) is pins


def test_a_better_tag_is_preferred_to_a_higher_build_from_the_very_best_on() -> None:
    best, second = (str(tag) for tag in linux().tags[:2])
    (release,) = candidates(project(f"foo-1.0-9-{second}.whl", f"foo-1.0-{best}.whl"))
    assert [file.filename for file in release.wheels] == [f"foo-1.0-{best}.whl", f"foo-1.0-9-{second}.whl"]


def test_prereleases_are_taken_where_the_specifier_names_one_or_the_user_says_so() -> None:
    page = project("foo-1.0-py3-none-any.whl", "foo-2.0rc1-py3-none-any.whl")
    assert [str(one.version) for one in candidates(page)] == ["1.0"]
    assert [str(one.version) for one in candidates(page, ">=1.0rc1")] == ["2.0rc1", "1.0"]
    assert [str(one.version) for one in candidates(page, prereleases=True)] == ["2.0rc1", "1.0"]
