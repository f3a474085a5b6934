"""Core metadata that an index announces beside its wheels and does not have so: the wheel itself says what it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.archives.core_metadata import Unusable
from mirror_tasks.state.records import MetadataRecord, Records
from tests.fake_index import FakeIndex
from tests.making import core_metadata, wheel
from tests.mirroring import LINUX, WINDOWS, MirrorFolder, assert_valid, mirror_folder, packages

FOO, BAR, GOOD = wheel("foo", "1.0", requires=["bar"]), wheel("bar", "1.0"), wheel("good", "1.0")
SIDECAR = f"/files/foo/{FOO[0]}.metadata"
TRUE = core_metadata("foo", "1.0", requires=["bar"])
FALSE = core_metadata("foo", "1.0", requires=["good"])


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"foo": [FOO], "bar": [BAR], "good": [GOOD]}) as index:
        yield index


def published_hash(project: MirrorFolder) -> str:
    page = json.loads((project.output / "simple" / "foo" / "index.v1_json").read_bytes())
    found = page["files"][0]["core-metadata"]["sha256"]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize(
    ("fault", "options", "said"),
    [
        ("status", {"status": 404}, "status 404"),
        ("status", {"status": 403}, "status 403"),
        ("status", {"status": 410}, "status 410"),
        ("status", {"status": 500}, "status 500"),
        ("corrupt", {}, "expected sha256"),
        ("body", {"body": b"<html>Sign in</html>"}, "expected sha256"),
    ],
)
def test_the_wheel_says_what_an_announced_sidecar_does_not(
    fault: str, options: dict[str, Any], said: str, ranges: bool, index: FakeIndex, tmp_path: Path
) -> None:
    index.ranges = ranges
    index.fault(SIDECAR, fault, **options)
    project = mirror_folder(tmp_path, index, requirements=["foo", "good"])
    done = project.mirrored()
    assert packages(project.output) == {"bar": [BAR[0]], "foo": [FOO[0]], "good": [GOOD[0]]}
    (note,) = (line for line in done.stdout.splitlines() if "not there as announced" in line)
    assert f"{FOO[0]}.metadata" in note
    assert said in note
    assert published_hash(project) == hashlib.sha256(TRUE).hexdigest()
    assert_valid(project.output)
    assert "not there as announced" not in project.mirrored().stdout


def test_a_sidecar_without_a_hash_that_is_a_login_page_is_none(index: FakeIndex, tmp_path: Path) -> None:
    entry = {
        "filename": "foo-2.0-py3-none-any.whl",
        "url": index.file_url("foo", "foo-2.0-py3-none-any.whl"),
        "hashes": {"sha256": hashlib.sha256(wheel("foo", "2.0")[1]).hexdigest()},
        "core-metadata": True,
    }
    index.add("foo", *wheel("foo", "2.0"))
    del index.projects["foo"]["foo-2.0-py3-none-any.whl"]
    index.extra_entries["foo"] = [entry]
    index.fault("/files/foo/foo-2.0-py3-none-any.whl.metadata", "body", body=b"<html>Sign in</html>")
    index.fault("/files/foo/foo-2.0-py3-none-any.whl", "body", body=wheel("foo", "2.0")[1])
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    assert "not there as announced" in project.mirrored().stdout
    assert packages(project.output) == {"foo": ["foo-2.0-py3-none-any.whl"]}


def test_many_that_are_missing_are_one_line(index: FakeIndex, tmp_path: Path) -> None:
    index.fault("*.metadata", "status", status=404)
    done = mirror_folder(tmp_path, index, requirements=["foo", "good"]).mirrored()
    assert done.stdout.count("not there as announced") == 1


def test_a_sidecar_as_announced_that_is_not_the_wheels_fails_one_run_and_then_the_wheel_counts(
    index: FakeIndex, tmp_path: Path
) -> None:
    index.add("foo", *FOO, sidecar=FALSE)
    project = mirror_folder(tmp_path, index, requirements=["foo"])
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "found other metadata in the wheel" in " ".join((done.stdout + done.stderr).split())
    assert "foo" not in packages(project.output)
    project.mirrored()
    assert packages(project.output)["bar"] == [BAR[0]]
    assert published_hash(project) == hashlib.sha256(TRUE).hexdigest()


def test_a_second_plan_is_the_first_one_whatever_the_first_run_read_by_chance(tmp_path: Path) -> None:
    """A solver reads more or less of the wheels that nobody prefers, as it happens to wait for others."""
    preferred, other = wheel("foo", "1.0", LINUX), wheel("foo", "1.0")
    with FakeIndex({"foo": [preferred, other]}) as index:
        server = {"server": {"python": "3.12", "platform": "linux-x86_64", "glibc": "2.28"}}
        project = mirror_folder(tmp_path, index, environments=server, requirements=["foo"])
        assert project.doit("plan").returncode == 0
        plan = project.state / "plan.json"
        first = plan.read_bytes()
        record = MetadataRecord(hashlib.sha256(other[1]).hexdigest(), Unusable("its METADATA is odd"), None)
        Records(project.state).keep_metadata(other[0], record)
        assert project.doit("-a", "plan").returncode == 0
        assert plan.read_bytes() == first


def test_what_a_wheel_of_another_environment_requires_stays_when_a_later_run_knows_its_odd_sidecar(
    tmp_path: Path,
) -> None:
    """What was known of it came with the first wheel of its release, and what it requires was never asked for."""
    linux, windows = wheel("foo", "1.0", LINUX), wheel("foo", "1.0", WINDOWS, requires=["bar"])
    with FakeIndex({"foo": [linux], "bar": [BAR], "good": [GOOD]}) as index:
        index.add("foo", *windows, sidecar=FALSE)
        index.fault(f"/files/foo/{windows[0]}.metadata", "status", status=404)
        project = mirror_folder(tmp_path, index, requirements=["foo"])
        project.mirrored()
        first = packages(project.output)
        project.configure(index.url, requirements=["foo", "good"])
        project.mirrored()
    assert packages(project.output) == first | {"good": [GOOD[0]]}
    plan = json.loads((project.folder / ".mirror" / "plan.json").read_bytes())
    assert [release["project"] for release in plan["releases"]] == ["bar", "foo", "good"]
