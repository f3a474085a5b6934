"""What was learned from upstream can be read back as it was, or is asked for again; nothing in between."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from mirror_tasks.errors import PageError
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import Fingerprint, Project
from mirror_tasks.index.served_page import Page
from mirror_tasks.state.records import Records

URL = "https://index.example.com/simple/foo/"
SHA = "ab" * 32


def page(**settings: object) -> Page:
    files = [
        {"filename": "foo-1.0.tar.gz", "url": "../foo-1.0.tar.gz", "hashes": {"sha256": SHA}, "size": 5},
        {"filename": "foo-1.0.0-py3-none-any.whl", "url": "foo.whl", "hashes": {"sha256": SHA}, "core-metadata": True},
        {"filename": "foo-2.0a1.tar.gz", "url": "foo-2.0a1.tar.gz", "hashes": {"sha256": SHA}, "yanked": "wörse\n"},
        {"filename": "foo-nonsense.egg", "url": "foo.egg", "hashes": {"sha256": SHA}},
    ]
    content = {"meta": {"api-version": "1.1"}, "name": "foo", "files": files, **settings}
    return Page(URL, JSON_TYPE, 'W/"\u00e4\n"', None, json.dumps(content).encode())


def kept(folder: Path, served: Page) -> tuple[Records, Project]:
    records = Records(folder)
    project = parse_page(served.body, served.content_type, served.url, "foo")
    records.keep_project(project, served.seen)
    return records, project


def shown(project: Project | None) -> object:
    assert project is not None
    files = [(version, project.files(version)) for version in project.versions]
    return (
        project.name,
        project.index,
        project.unhashed,
        project.status,
        project.status_reason,
        project.skipped,
        files,
    )


def test_a_project_is_read_back_as_it_was_read_from_its_page(tmp_path: Path) -> None:
    served = page(**{"project-status": {"status": "archived", "reason": "it is done"}})
    records, project = kept(tmp_path, served)
    assert shown(records.project("foo")) == shown(project)
    assert records.seen("foo") == served.seen


def test_half_a_character_in_a_page_is_no_reason_to_refuse_it(tmp_path: Path) -> None:
    served = replace(page(), body=page().body.replace(b"w\\u00f6rse", b"\xed\xa0\x80"))
    assert b"\xed\xa0\x80" in served.body
    records, project = kept(tmp_path, served)
    found = records.project("foo")
    assert found is not None
    assert found.versions == project.versions


def test_a_project_without_files_is_read_back(tmp_path: Path) -> None:
    records, project = kept(tmp_path, page(files=[]))
    assert shown(records.project("foo")) == shown(project)


def test_a_record_that_is_replaced_under_its_reader_is_told_and_no_two_are_mixed(tmp_path: Path) -> None:
    """Of a large page the lines of versions are read when they are asked for."""
    many = [{"filename": f"foo-{number}.tar.gz", "url": "foo", "hashes": {"sha256": SHA}} for number in range(500)]
    records, _ = kept(tmp_path, page(files=many))
    reader = records.project("foo")
    assert reader is not None
    assert [file.filename for file in reader.files(Version("499"))] == ["foo-499.tar.gz"]
    kept(tmp_path, page(files=many[1:]))
    with pytest.raises(PageError, match="Let one run at a time use it, then run again"):
        reader.files(Version("7"))
    again = records.project("foo")
    assert again is not None
    assert [file.filename for file in again.files(Version("7"))] == ["foo-7.tar.gz"]


def test_of_a_large_page_each_version_is_found_and_no_other(tmp_path: Path) -> None:
    many = [{"filename": f"foo-{number}.0.tar.gz", "url": "foo", "hashes": {"sha256": SHA}} for number in range(1, 500)]
    records, project = kept(tmp_path, page(files=many))
    reader = records.project("foo")
    assert reader is not None
    for number in (499, 1, 250, 2, 498):
        assert [file.filename for file in reader.files(Version(str(number)))] == [f"foo-{number}.0.tar.gz"]
    assert [reader.files(Version(text)) for text in ("0", "1.5", "250.1", "500")] == [(), (), (), ()]
    assert shown(reader) == shown(project)


def test_of_a_version_of_a_large_page_that_is_not_asked_for_no_more_is_held_than_where_it_stands(
    tmp_path: Path,
) -> None:
    """A thousand projects have a hundred thousand versions, of which a run looks at four thousand."""
    count = 5000
    many = [{"filename": f"foo-{number}.tar.gz", "url": "foo", "hashes": {"sha256": SHA}} for number in range(count)]
    records, _ = kept(tmp_path, page(files=many))
    versions = records.project("foo")  # each is one object for all projects
    assert versions is not None
    tracemalloc.start()
    try:
        reader = records.project("foo")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader is not None
    assert held < 40 * count


def test_files_of_a_project_have_one_requires_python(tmp_path: Path) -> None:
    files = [
        {"filename": f"foo-{number}.tar.gz", "url": "foo", "hashes": {"sha256": SHA}, "requires-python": ">=3.9"}
        for number in range(2)
    ]
    records, _ = kept(tmp_path, page(files=files))
    reader = records.project("foo")
    assert reader is not None
    one, other = reader.all_files()
    assert one.requires_python == ">=3.9"
    assert one.requires_python is other.requires_python


@pytest.mark.parametrize("length", [0, 1, 100, -300, -1])
def test_a_page_that_a_loss_of_power_cut_short_is_asked_for_again(tmp_path: Path, length: int) -> None:
    records, _ = kept(tmp_path, page())
    path = records.page_record_path("foo")
    path.write_bytes(path.read_bytes()[:length])
    assert records.project("foo") is None
    seen = records.seen("foo")
    assert seen is not None, "that there was a project is not forgotten"
    assert (seen.etag, seen.last_modified) == (None, None)
    assert seen.names_files


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]\n", b"[3]\n", b"\xff\n", b"null\n", b'[2, "x", "u", null, null, "s", true]\n']
)
def test_what_is_not_a_kept_page_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    records, _ = kept(tmp_path, page())
    records.page_record_path("foo").write_bytes(content)
    assert records.project("foo") is None
    seen = records.seen("foo")
    assert seen is not None
    assert seen.etag is None


def test_of_a_page_that_an_earlier_version_kept_it_is_known_where_it_was(tmp_path: Path) -> None:
    records, _ = kept(tmp_path, page())
    records.page_record_path("foo").write_bytes(json.dumps([URL, JSON_TYPE, '"x"', None]).encode() + b"\n{}")
    seen = records.seen("foo")
    assert records.project("foo") is None
    assert seen is not None
    assert (seen.url, seen.etag) == (URL, None)


def test_a_fingerprint_is_kept_and_one_that_a_kill_cut_short_costs_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path / "state")
    first, second = Fingerprint("a" * 64, 7, {"md5": "b" * 32}), Fingerprint("c" * 64, 8, {})
    records.keep_fingerprint("foo-1.0.zip", second)
    records.keep_fingerprint("foo-1.0.zip", first)
    assert Records(tmp_path / "state").known_fingerprints() == {"foo-1.0.zip": first}
    with records.fingerprints.open("ab") as journal:
        journal.write(b'null\n5\n[]\n["x",Infinity,1,"x"]\n\xff\n["bar-1.0.zip", "aa')
    records.keep_fingerprint("bar-2.0.zip", second)
    assert Records(tmp_path / "state").known_fingerprints() == {"foo-1.0.zip": first, "bar-2.0.zip": second}
