"""Files for which an index gives no sha256 are mirrored as installers take them: hashed once, and the same ever after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_index import HTML, HTML_V1, JSON, FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import MirrorFolder, asked, assert_valid, assert_whole, mirror_folder, packages

FOO, SOURCES = wheel("foo", "1.0", requires=["bar"]), sdist("foo", "1.0", requires=["bar"])
OTHER = wheel("foo", "1.0", requires=["bar"], files={"foo_data.txt": "other"})
BAR = wheel("bar", "1.0")
WHEEL = FOO[0]
UNKNOWN: dict[str, Any] = {"sha256": None, "size": None}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(params=[JSON, HTML_V1, HTML])
def index(request: pytest.FixtureRequest) -> Iterator[FakeIndex]:
    with FakeIndex(formats=[request.param]) as index:
        index.add("foo", *FOO, **UNKNOWN)
        index.add("foo", *SOURCES, **UNKNOWN)
        index.add("bar", *BAR)
        yield index


@pytest.fixture
def plain() -> Iterator[FakeIndex]:
    with FakeIndex() as index:
        index.add("foo", *FOO, **UNKNOWN)
        index.add("foo", *SOURCES)
        index.add("bar", *BAR)
        yield index


def forget_the_files(project: MirrorFolder) -> None:
    for folder in (project.output / "packages", project.state / "held"):
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()


def test_a_file_without_a_hash_is_mirrored_and_published_with_one(index: FakeIndex, tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    project.mirrored()
    assert packages(project.output)["foo"] == sorted([WHEEL, SOURCES[0]])
    assert_valid(project.output)
    assert_whole(project.output)
    page = json.loads((project.output / "simple" / "foo" / "index.v1_json").read_bytes())
    assert {entry["filename"]: entry["hashes"] for entry in page["files"]} == {
        name: {"sha256": sha256(content)} for name, content in (FOO, SOURCES)
    }
    assert all(count == 1 for count in asked(index).values())
    # It had to be fetched: its own metadata is read, not what the index serves beside it.
    assert index.requests[f"/files/foo/{WHEEL}.metadata"] == 0


def test_it_is_fetched_once(index: FakeIndex, tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    project.mirrored()
    index.requests.clear()
    project.mirrored()
    (project.state / "plan.json").unlink()
    project.mirrored()
    assert asked(index) == {}
    assert "size unknown" not in project.doit("plan").stdout


def test_a_wheel_without_a_hash_is_preferred_to_an_sdist_with_one(plain: FakeIndex, tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, plain, requirements=["foo"])
    project.mirrored()
    assert packages(project.output)["foo"] == sorted([WHEEL, SOURCES[0]])
    assert f"an installer takes {WHEEL}" in project.doit("explain", "foo").stdout


def test_other_content_under_its_name_is_a_fault_with_both_hashes(plain: FakeIndex, tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, plain, requirements=["foo", "bar"])
    project.mirrored()
    plain.add("foo", *OTHER, **UNKNOWN)
    project.mirrored()  # nothing says so, and nothing is fetched
    forget_the_files(project)
    done = project.doit("mirror")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert sha256(FOO[1]) in said
    assert sha256(OTHER[1]) in said
    assert "accept-changed: [foo]" in said
    assert packages(project.output) == {"bar": [BAR[0]], "foo": [SOURCES[0]]}

    project.configure(plain.url, requirements=["foo", "bar"], accept_changed=["Foo"])
    project.mirrored()
    assert (project.output / "packages" / "foo" / WHEEL).read_bytes() == OTHER[1]
    assert_valid(project.output)
    project.configure(plain.url, requirements=["foo", "bar"])
    project.mirrored()
    assert_valid(project.output)


def test_a_page_that_announces_other_content_is_a_fault_and_what_is_published_stays(
    plain: FakeIndex, tmp_path: Path
) -> None:
    plain.add("foo", *FOO, **UNKNOWN, md5="")
    project = mirror_folder(tmp_path, plain, requirements=["foo"])
    project.mirrored()
    plain.add("foo", *OTHER, **UNKNOWN, md5="")
    for _ in range(2):
        done = project.doit("mirror")
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode != 0
        assert sha256(FOO[1]) in said
        assert sha256(OTHER[1]) in said
        assert "accept-changed: [foo]" in said
        assert (project.output / "packages" / "foo" / WHEEL).read_bytes() == FOO[1]
        assert_valid(project.output)
    project.configure(plain.url, requirements=["foo"], accept_changed=["foo"])
    project.mirrored()
    assert (project.output / "packages" / "foo" / WHEEL).read_bytes() == OTHER[1]


def test_a_wrong_md5_is_a_fault_and_keeps_nothing_else_out(plain: FakeIndex, tmp_path: Path) -> None:
    plain.add("foo", *FOO, **UNKNOWN, md5="0" * 32)
    project = mirror_folder(tmp_path, plain, requirements=["foo", "bar"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "expected md5 0000" in " ".join((done.stdout + done.stderr).split())
    assert packages(project.output) == {"bar": [BAR[0]]}


def test_one_that_can_not_be_fetched_is_a_fault_and_keeps_no_other_file_out(plain: FakeIndex, tmp_path: Path) -> None:
    special = wheel("foo", "1.0", "cp312-cp312-manylinux_2_17_x86_64", requires=["bar"])
    plain.add("foo", *special)
    plain.fault(f"/files/foo/{WHEEL}", "status", status=404)
    project = mirror_folder(
        tmp_path, plain, requirements=["foo"], environments={"one": {"python": "3.12", "platform": "linux-x86_64"}}
    )
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "incomplete: foo" in done.stdout + done.stderr
    assert packages(project.output) == {"bar": [BAR[0]], "foo": [special[0], SOURCES[0]]}
    plain.mend()
    project.mirrored()
    assert WHEEL in packages(project.output)["foo"]


def test_where_hashes_are_required_it_is_refused_by_name(index: FakeIndex, tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    entry = {"url": index.url, "hashes": "required"}
    project.configure([entry], requirements=["foo", "bar"])
    done = project.doit("mirror")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert WHEEL in said
    assert "hashes: required" in said
    assert packages(project.output) == {"bar": [BAR[0]]}
    project.configure(index.url, requirements=["foo", "bar"])
    project.mirrored()
    assert WHEEL in packages(project.output)["foo"]
    project.configure(entry, requirements=["foo", "bar"])
    assert project.doit("mirror").returncode != 0


@pytest.mark.parametrize("file", [FOO, SOURCES, OTHER])
def test_hashes_of_a_requirement_are_compared_with_what_was_found(
    file: tuple[str, bytes], index: FakeIndex, tmp_path: Path
) -> None:
    project = mirror_folder(tmp_path, index, requirements=[{"file": "requirements.txt"}])
    (tmp_path / "requirements.txt").write_text(f"foo==1.0 --hash=sha256:{sha256(file[1])}\nbar\n")
    done = project.doit("mirror")
    assert (done.returncode == 0) == (file != OTHER), done.stdout + done.stderr
    assert packages(project.output).get("foo", []) == ([] if file == OTHER else [file[0]])


def test_stepping_back_works_without_hashes(index: FakeIndex, tmp_path: Path) -> None:
    for version, needs in (("2.0", "bar>=2"), ("1.9", "bar>=3"), ("1.8", "bar<1")):
        index.add("foo", *wheel("foo", version, requires=[needs]), **UNKNOWN)
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    project.mirrored()
    assert "foo-1.0-py3-none-any.whl" in packages(project.output)["foo"]
    assert project.doit("prove").returncode == 0


def test_an_index_of_this_machine_made_by_hand_is_mirrored(tmp_path: Path) -> None:
    for project, files in {"foo": [FOO, SOURCES], "bar": [BAR]}.items():
        folder = tmp_path / "index" / project
        folder.mkdir(parents=True)
        for name, content in files:
            (folder / name).write_bytes(content)
        links = "".join(f'<a href="{name}">{name}</a>' for name, _ in files)
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    made = mirror_folder(tmp_path / "project", None)
    made.configure((tmp_path / "index").as_uri(), requirements=["foo"])
    made.mirrored()
    assert packages(made.output) == {"bar": [BAR[0]], "foo": sorted([WHEEL, SOURCES[0]])}
    assert_valid(made.output)


def test_a_folder_of_wheels_without_a_page_is_told_and_the_next_index_is_not_asked_for_its_names(
    plain: FakeIndex, tmp_path: Path
) -> None:
    ours = tmp_path / "index" / "foo"
    ours.mkdir(parents=True)
    (ours / WHEEL).write_bytes(FOO[1])
    made = mirror_folder(tmp_path / "project", None)
    made.configure([(tmp_path / "index").as_uri(), plain.url], requirements=["foo", "bar"])
    done = made.doit("mirror")
    assert done.returncode != 0
    assert f"expected index.html in the folder foo, found '{WHEEL}'" in " ".join((done.stdout + done.stderr).split())
    assert packages(made.output) == {"bar": [BAR[0]]}
    assert plain.requests["/simple/foo/"] == 0


def test_a_page_without_files_is_told_and_the_next_index_is_not_asked(plain: FakeIndex, tmp_path: Path) -> None:
    with FakeIndex({"foo": []}) as empty:
        made = mirror_folder(tmp_path, None)
        made.configure([empty.url, plain.url], requirements=["foo", "bar"])
        done = made.doit("mirror")
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode != 0
        assert f"lists no file of it on {empty.url}foo/" in said
    assert packages(made.output) == {"bar": [BAR[0]]}
    assert plain.requests["/simple/foo/"] == 0
