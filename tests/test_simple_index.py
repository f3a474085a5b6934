"""The published pages are what the simple repository API says, read back by parsers of others."""

from __future__ import annotations

import json
from collections.abc import Mapping

import html5lib
import pytest
from mousebender import simple
from pypi_simple import ProjectPage

from mirror_tasks.index.project import File
from mirror_tasks.publish.simple_index import PublishedFile, project_pages, root_pages
from mirror_tasks.resolve.plan import PlannedFile

WHEEL = PlannedFile(
    File(
        "foo_bar-1.0-py3-none-any.whl", "https://files.example.com/w", {"sha256": "a" * 64}, 10, ">=3.8,<4", None, None,
        "2024-01-01T00:00:00Z",
    ), "foo-bar", "1.0", ("one",),
)  # fmt: skip
SDIST = PlannedFile(
    File(
        "foo_bar-1.0+a b.tar.gz", "https://files.example.com/s", {"sha256": "b" * 64}, None, None,
        'broken <script> & "more"', None, None,
    ), "foo-bar", "1.0+a", ("one",),
)  # fmt: skip
FILES = [PublishedFile(SDIST, 20, None), PublishedFile(WHEEL, 10, "c" * 64)]


@pytest.fixture
def pages() -> Mapping[str, bytes]:
    return project_pages("foo-bar", FILES, ("archived", "no more <releases>"))


def test_a_page_is_valid_html5(pages: Mapping[str, bytes]) -> None:
    for content in (pages["index.html"], root_pages(["foo-bar", "a"])["index.html"]):
        html5lib.HTMLParser(strict=True).parse(content)


def test_pypi_simple_reads_the_html(pages: Mapping[str, bytes]) -> None:
    page = ProjectPage.from_html(
        "foo-bar", pages["index.html"].decode(), base_url="https://mirror.example.com/simple/foo-bar/"
    )
    sdist, wheel = page.packages
    assert (wheel.filename, wheel.digests, wheel.requires_python) == (WHEEL.filename, {"sha256": "a" * 64}, ">=3.8,<4")
    assert wheel.url == "https://mirror.example.com/packages/foo-bar/foo_bar-1.0-py3-none-any.whl"
    assert wheel.metadata_digests == {"sha256": "c" * 64}
    assert sdist.is_yanked
    assert sdist.yanked_reason == SDIST.file.yanked
    assert not sdist.has_metadata
    assert page.repository_version == "1.4"


def test_mousebender_reads_both_forms_alike(pages: Mapping[str, bytes]) -> None:
    html = simple.from_project_details_html(pages["index.html"].decode(), "foo-bar")
    parsed = json.loads(pages["index.v1_json"])
    assert [file["filename"] for file in html["files"]] == [file["filename"] for file in parsed["files"]]
    assert [file["url"] for file in html["files"]] == [file["url"] for file in parsed["files"]]
    assert [file["hashes"] for file in html["files"]] == [file["hashes"] for file in parsed["files"]]
    assert [file.get("yanked") for file in html["files"]] == [file.get("yanked") for file in parsed["files"]]


def test_the_json_leaves_out_what_is_not_known_rather_than_saying_null(pages: Mapping[str, bytes]) -> None:
    parsed = json.loads(pages["index.v1_json"])
    assert b"null" not in pages["index.v1_json"]
    assert parsed["meta"] == {"api-version": "1.4"}
    assert parsed["project-status"] == {"status": "archived", "reason": "no more <releases>"}
    assert parsed["versions"] == ["1.0", "1.0+a"]
    assert parsed["files"][1]["core-metadata"] == {"sha256": "c" * 64}
    assert "dist-info-metadata" not in str(parsed)
    assert all(type(file["size"]) is int for file in parsed["files"])


def test_a_project_that_is_active_says_nothing_of_its_status() -> None:
    pages = project_pages("foo-bar", FILES)
    assert b"status" not in pages["index.v1_json"] + pages["index.html"]


def test_the_order_in_which_files_came_changes_no_byte(pages: Mapping[str, bytes]) -> None:
    assert project_pages("foo-bar", FILES[::-1], ("archived", "no more <releases>")) == pages


def test_the_root_lists_every_project_once_in_both_forms() -> None:
    pages = root_pages(["b", "a"])
    assert json.loads(pages["index.v1_json"])["projects"] == [{"name": "a"}, {"name": "b"}]
    assert pages["index.html"].count(b"<a ") == 2
    assert set(pages) == {
        f"{name}{gz}" for name in ("index.html", "index.v1_html", "index.v1_json") for gz in ("", ".gz")
    }
