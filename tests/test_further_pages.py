"""Of a further index a project gets the files of which a lock has the sha256, and for each other that it names the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from packaging.version import Version

from mirror_tasks.config.lock_files.model import LockedFile
from mirror_tasks.index.further_pages import FurtherPage, with_locked_files
from mirror_tasks.index.project import Project, Row

A, B, C = "a" * 64, "b" * 64, "c" * 64
ONE = Version("1")
HERE, THERE = "https://a.example.com/simple/torch/", "https://b.example.com/simple/torch/"
WHEEL, OTHER = "torch-1-py3-none-any.whl", "torch-1-py2-none-any.whl"


def row(filename: str, hashes: Any) -> Row:
    return filename, filename, hashes, 7, None, None, False, None, None


def project(url: str, *rows: Row, **settings: Any) -> Project:
    skipped = settings.pop("skipped", ())
    return Project("torch", url, {ONE: list(rows)} if rows else {}, skipped, **settings)


def joined(here: Project, there: Project | None, *locked: LockedFile) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """Return the files of the project by name, each with where it is and its hashes, and the reasons of the others."""
    found = with_locked_files(here, [FurtherPage(THERE, there, {ONE: locked})])
    assert found.pages == f"{HERE} and {THERE}"
    assert bool(found.files(ONE)) == (ONE in found.versions)
    return [(file.url, dict(file.hashes)) for file in found.files(ONE)], dict(found.skipped)


@pytest.mark.parametrize(
    ("hashes", "locked", "expected"),
    [
        (A, [LockedFile(WHEEL, A)], {"sha256": A}),
        (A, [LockedFile(WHEEL, B), LockedFile(WHEEL, A)], {"sha256": A}),
        (A, [LockedFile("", A)], {"sha256": A}),
        ({"md5": "d" * 32}, [LockedFile(WHEEL, A)], {"md5": "d" * 32, "sha256": A}),
    ],
)
def test_a_file_with_the_hash_that_a_lock_gives_is_taken(
    hashes: Any, locked: Sequence[LockedFile], expected: object
) -> None:
    there = project(THERE, row(OTHER, C), row(WHEEL, hashes))
    assert joined(project(HERE), there, *locked) == ([(THERE + WHEEL, expected)], {})


@pytest.mark.parametrize(
    ("rows", "locked"),
    [
        ([row(OTHER, A)], LockedFile(WHEEL, A)),  # of another name
        ([row(OTHER, A)], LockedFile("", B)),
        ([row(OTHER, {})], LockedFile("", B)),
        ([], LockedFile(WHEEL, A)),
    ],
)
def test_what_no_lock_names_is_not_there(rows: Sequence[Row], locked: LockedFile) -> None:
    assert joined(project(HERE), project(THERE, *rows), locked) == ([], {})
    assert joined(project(HERE), None, locked) == ([], {})


@pytest.mark.parametrize(
    ("there", "locked", "reason"),
    [
        (project(THERE, row(WHEEL, A)), [LockedFile(WHEEL, B)], f"it has sha256 {A} on {THERE}"),
        (
            project(THERE, row(WHEEL, {"md5": "d" * 32})),
            [LockedFile(WHEEL, A), LockedFile(WHEEL, B)],
            f"it has sha256 (none) on {THERE}",
        ),
        (project(THERE, row(WHEEL, A)), [LockedFile(WHEEL)], f"it has sha256 {A} on {THERE}"),
        (
            project(THERE, row(WHEEL, A), status=("quarantined", "bad")),
            [LockedFile(WHEEL, A)],
            f"the project is quarantined on {THERE}: bad",
        ),
        (project(THERE, skipped=[(WHEEL, "no"), (OTHER, "no")]), [LockedFile(WHEEL, A)], "no"),
    ],
)
def test_why_a_file_that_a_lock_names_is_not_taken_is_told(
    there: Project, locked: Sequence[LockedFile], reason: str
) -> None:
    assert joined(project(HERE), there, *locked) == ([], {WHEEL: reason})


@pytest.mark.parametrize(
    ("here", "there", "reason"),
    [
        (A, A, None),
        (A, B, None),  # changed there, and it is here as it was locked
        ({}, A, None),  # it is checked when it is fetched
        (B, A, f"{THERE} has it with sha256 {A}, and a mirror has one file of a name"),
        (B, C, f"it has sha256 {C} on {THERE}"),
    ],
)
def test_no_file_takes_the_place_of_one_that_the_project_has(here: Any, there: str, reason: str | None) -> None:
    ours = project(HERE, row(WHEEL, here), row(OTHER, C))
    files, reasons = joined(ours, project(THERE, row(WHEEL, there)), LockedFile(WHEEL, A))
    assert [url for url, _ in files] == [HERE + OTHER, HERE + WHEEL]
    assert reasons == ({WHEEL: reason} if reason else {})


def test_a_name_that_differs_in_upper_and_lower_case_only_is_another_file_on_no_disk() -> None:
    there = project(THERE, row(WHEEL.capitalize(), A))
    files, reasons = joined(project(HERE, row(WHEEL, A)), there, LockedFile(WHEEL.capitalize(), A))
    assert [url for url, _ in files] == [HERE + WHEEL]
    reason = f"on {THERE} its name differs from {WHEEL} in upper and lower case only"
    assert reasons == {WHEEL.capitalize(): reason}
