"""For each file the dossier says if the index offers a provenance object (PEP 740), whom it names, and what changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from packaging.version import Version

from mirror_tasks.files import fields_of
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.project import File, Project
from mirror_tasks.publish.simple_index import PublishedFile, project_pages
from mirror_tasks.resolve.plan import Plan, PlannedFile
from tests.fake_index import HTML, JSON

PAGE = "https://index.example.com/simple/foo/"
URL = "https://index.example.com/integrity/foo"
SHA = "a" * 64
FILE = File(
    "foo-1.0.tar.gz", "https://files.example.com/foo-1.0.tar.gz", {"sha256": SHA}, 10, None, None, None, None, URL
)
PLANNED = PlannedFile(FILE, "foo", "1.0", ("one",))


def page_in_json(**fields: Any) -> Project:
    entry = {"filename": FILE.filename, "url": FILE.url, "hashes": {"sha256": SHA}, **fields}
    body = {"meta": {"api-version": "1.3"}, "name": "foo", "files": [entry]}
    return parse_page(json.dumps(body).encode(), JSON, PAGE, "foo")


def page_in_html(attributes: str = "") -> Project:
    return parse_page(f'<a href="{FILE.url}#sha256={SHA}" {attributes}>x</a>'.encode(), HTML, PAGE, "foo")


def offered(project: Project) -> str | None:
    (file,) = project.files(Version("1.0"))
    return file.provenance


# --- What a page says


def test_both_forms_of_a_page_say_where_the_provenance_of_a_file_is() -> None:
    assert offered(page_in_json(provenance=URL)) == URL
    assert offered(page_in_html(f'data-provenance="{URL}"')) == URL
    assert offered(page_in_json(provenance=None)) is None
    assert offered(page_in_json()) is None
    assert offered(page_in_html()) is None


def test_where_a_provenance_is_is_kept_with_the_page() -> None:
    kept = Project.from_bytes(page_in_json(provenance=URL).to_bytes())
    assert offered(kept) == URL


@pytest.mark.parametrize("announced", [True, 7, [], {"url": URL}, "", "x" * 5000, "file:///etc/passwd", "ftp://a/b"])
def test_what_is_no_url_of_a_provenance_costs_nothing_but_the_provenance(announced: object) -> None:
    found = page_in_json(provenance=announced)
    assert offered(found) is None
    assert found.skipped == ()


def test_credentials_in_the_url_of_a_provenance_are_not_kept() -> None:
    assert offered(page_in_json(provenance="https://user:secret@index.example.com/p")) == "https://index.example.com/p"


def test_the_mirror_announces_no_provenance_that_it_does_not_have() -> None:
    for content in project_pages("foo", [PublishedFile(PLANNED, 10, None)]).values():
        assert b"provenance" not in content


def test_a_plan_of_a_version_that_knew_no_provenance_is_read() -> None:
    plan = Plan(({"name": "one"},), (), (PLANNED,), ())
    assert Plan.from_bytes(plan.to_bytes()).files == (PLANNED,)
    fields = fields_of(FILE)
    del fields["provenance"]
    assert File(**fields) == replace(FILE, provenance=None)
