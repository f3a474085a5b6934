"""The advisories that a run judges by: a dump is read when it changed, an index is asked once for what a run wants."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.policy import AdvisoryRule, Policy
from mirror_tasks.errors import AdvisoryError, ResolutionError, UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.policy import compiling
from mirror_tasks.policy.dumps import Dump, read_dump
from mirror_tasks.policy.index_records import address, matches_in
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work.index_advisories import IndexAsker
from tests.advisory_dumps import fixed_in, folder_of, record, zip_of
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder

APP, VERSION = canonicalize_name("app"), Version("1.0")
HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "details": "A hole.", "fixed_in": ["1.2", "0.9"], "withdrawn": None}


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"app": [wheel("app", "1.0")]}) as made:
        made.vulnerabilities = {"app": {"1.0": [HOLE]}}
        yield made


def mirror(folder: Path, index: FakeIndex | None = None, dump: Path | None = None, **settings: Any) -> Mirror:
    """Return a mirror as a new run has it."""
    url = index.url if index else "https://index.example.com/simple/"
    mirror_folder(folder, None).configure(url, requirements=["app"], **settings)
    rule = AdvisoryRule(dump, dump.name if dump else "index", "high", "refuse", "report")
    config = replace(load(folder / "mirror.yaml"), policy=Policy(advisories=rule))
    return Mirror(config, lambda _: None)


def fetched(mirror: Mirror, index: FakeIndex, times: int = 1) -> Any:
    """Return what is known against the release once its index was asked."""
    asker = IndexAsker(mirror, Upstream(mirror.config.indexes, sleep=lambda _: None))
    for _ in range(times):
        asker.fetch(index.url, APP, VERSION)
    return of_release(mirror)


def of_release(mirror: Mirror, name: NormalizedName = APP) -> Any:
    assert mirror.advisories.known is not None
    return mirror.advisories.known.of_release(name, VERSION)


# --- A dump


def test_a_dump_is_read_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = zip_of(tmp_path / "all.zip", [record("PYSEC-1", "app", fixed_in("1.1"))])
    read: list[Path] = []

    def reading(path: Path) -> Dump:
        read.append(path)
        return read_dump(path)

    monkeypatch.setattr(compiling, "read_dump", reading)
    for _ in range(2):
        one = mirror(tmp_path / "run", dump=dump)
        one.advisories.update()
        assert [match.id for match in of_release(one)] == ["PYSEC-1"]
    assert len(read) == 1
    zip_of(dump, [record("PYSEC-1", "app", fixed_in("0.9")), record("PYSEC-2", "app")])
    one = mirror(tmp_path / "run", dump=dump)
    assert not one.advisories.is_current()
    one.advisories.update()
    assert one.advisories.is_current()
    assert [match.id for match in of_release(one)] == ["PYSEC-2"]
    assert len(read) == 2


def test_a_dump_that_was_only_touched_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dump = zip_of(tmp_path / "all.zip", [record("PYSEC-1", "app")])
    mirror(tmp_path / "run", dump=dump).advisories.update()
    os.utime(dump, (1, 1))
    monkeypatch.setattr(compiling, "read_dump", None)
    one = mirror(tmp_path / "run", dump=dump).advisories
    assert not one.is_current()
    one.update()
    assert one.is_current()


def test_what_is_kept_of_a_dump_and_damaged_is_read_again(tmp_path: Path) -> None:
    dump = folder_of(tmp_path / "database", [record("PYSEC-1", "app")])
    first = mirror(tmp_path / "run", dump=dump).advisories
    first.update()
    whole = first.compiled.read_bytes()
    first.compiled.write_bytes(whole[:-1])
    again = mirror(tmp_path / "run", dump=dump).advisories
    assert again.known is None
    again.update()
    assert first.compiled.read_bytes() == whole


# --- An index


def test_an_index_is_asked_once_a_run_and_says_what_it_knows(tmp_path: Path, index: FakeIndex) -> None:
    one = mirror(tmp_path, index)
    assert of_release(one) is None  # not asked yet
    (match,) = fetched(one, index, times=2)
    assert (str(match), match.fixed) == ("advisory PYSEC-1 (high, CVE-1)", ("1.2",))
    assert match.severity_from == "no severity is given: counts as high"
    assert index.requests["/pypi/app/1.0/json"] == 1


def test_the_next_run_asks_only_if_it_changed_and_not_while_it_is_trusted(tmp_path: Path, index: FakeIndex) -> None:
    fetched(mirror(tmp_path, index), index)
    assert [match.id for match in fetched(mirror(tmp_path, index), index)] == ["PYSEC-1"]
    assert "if-none-match" in index.log[-1].headers
    fetched(mirror(tmp_path, index, refresh="1h"), index)
    assert index.requests["/pypi/app/1.0/json"] == 2
    assert index.vulnerabilities is not None
    index.vulnerabilities["app"]["1.0"] = []
    assert fetched(mirror(tmp_path, index), index) == ()


def test_what_an_index_said_in_a_time_to_come_is_asked_again(tmp_path: Path, index: FakeIndex) -> None:
    """The clock was ahead when it said so: for a year it would have been taken for new."""
    one = mirror(tmp_path, index)
    fetched(one, index)
    path = one.records.release_advisories_path(APP, VERSION)
    os.utime(path, (path.stat().st_mtime + 31_536_000,) * 2)
    assert index.vulnerabilities is not None
    index.vulnerabilities["app"]["1.0"] = []
    assert fetched(mirror(tmp_path, index, refresh="1h"), index) == ()


def test_what_was_said_of_another_release_is_not_taken_for_what_is_said_of_this_one(
    tmp_path: Path, index: FakeIndex
) -> None:
    one = mirror(tmp_path, index)
    fetched(one, index)
    path = one.records.release_advisories_path(APP, VERSION)
    shutil.copy(path, one.records.release_advisories_path("other", VERSION))
    assert of_release(mirror(tmp_path, index), canonicalize_name("other")) is None


def test_what_another_index_said_is_no_word_of_this_one(tmp_path: Path, index: FakeIndex) -> None:
    fetched(mirror(tmp_path, index, refresh="1h"), index)
    with FakeIndex({"app": [wheel("app", "1.0")]}) as other:
        other.vulnerabilities = {"app": {"1.0": []}}
        assert fetched(mirror(tmp_path, other, refresh="1h"), other) == ()


def test_a_release_that_the_index_does_not_know_is_not_checked_and_never_clean(
    tmp_path: Path, index: FakeIndex
) -> None:
    fetched(mirror(tmp_path, index), index)
    index.vulnerabilities = {"app": {}}
    assert fetched(mirror(tmp_path, index), index) is None
    index.vulnerabilities = {"app": {"1.0": []}}
    assert fetched(mirror(tmp_path, index), index) == ()


def test_an_index_without_such_an_api_is_told(tmp_path: Path, index: FakeIndex) -> None:
    index.vulnerabilities = None
    with pytest.raises(AdvisoryError) as raised:
        fetched(mirror(tmp_path, index), index)
    assert f"asking for advisories at {index.url}" in str(raised.value)
    assert "/pypi/app/json, found status 404" in str(raised.value)
    assert "policy.advisories.from" in str(raised.value)


@pytest.mark.parametrize(
    "base", ["https://index.example.com/root/+simple/", "https://index.example.com/", "file:///index/simple/"]
)
def test_an_index_that_can_have_no_such_api_is_told(base: str) -> None:
    with pytest.raises(AdvisoryError, match="whose URL ends in /simple/, found another"):
        address(base, "app", VERSION)


def test_the_address_is_beside_the_simple_pages() -> None:
    base = "https://index.example.com/team/simple/"
    assert address(base, "app", Version("1!2.0+x")) == "https://index.example.com/team/pypi/app/1!2.0+x/json"


def test_an_index_that_is_down_fails_and_what_was_said_is_not_taken_for_new(tmp_path: Path, index: FakeIndex) -> None:
    index.fault("/pypi/app/1.0/json", "status", status=403)
    with pytest.raises(UpstreamError, match="403"):
        fetched(mirror(tmp_path, index), index)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "Expecting value"),
        (b"[]", "expected what the JSON API says of a release"),
        (b"{}", "expected what the JSON API says of a release"),
        (b'{"info": {}, "vulnerabilities": {"a": 1}}', "vulnerabilities: expected a list"),
        (b'{"info": {}, "vulnerabilities": [1]}', r"vulnerabilities\[\]: expected fields"),
        (b'{"info": {}, "vulnerabilities": [{"id": "X", "fixed_in": "1"}]}', "fixed_in: expected a list"),
        (b'{"info": {}, "vulnerabilities": [{"id": null}]}', "id: expected the identifier"),
        (b'{"info":' + b"[" * 100_000, "."),
    ],
)
def test_an_answer_that_is_none_is_told(body: bytes, said: str) -> None:
    with pytest.raises(AdvisoryError, match=said):
        matches_in(body, "https://index.example.com/pypi/app/1.0/json", APP, VERSION)


def test_an_answer_without_the_field_has_not_checked_and_what_is_withdrawn_or_one_hole_counts_once() -> None:
    url = "https://index.example.com/pypi/app/1.0/json"
    assert matches_in(b'{"info": {}}', url, APP, VERSION) is None
    assert matches_in(b'{"info": {}, "vulnerabilities": null}', url, APP, VERSION) is None
    assert matches_in(b'{"info": {}, "vulnerabilities": []}', url, APP, VERSION) == ()
    listed = [HOLE, {"id": "GHSA-1", "aliases": ["CVE-1"]}, {"id": "PYSEC-3", "withdrawn": "2026-01-01T00:00:00Z"}]
    listed.append({"id": "MAL-1", "aliases": [], "fixed_in": []})
    found = matches_in(json.dumps({"info": {}, "vulnerabilities": listed}).encode(), url, APP, VERSION)
    assert [(match.id, match.is_malware) for match in found or ()] == [("GHSA-1", False), ("MAL-1", True)]


def test_what_is_read_in_a_run_is_judged_by_in_that_run(tmp_path: Path) -> None:
    one = mirror(tmp_path / "run", dump=zip_of(tmp_path / "all.zip", [record("PYSEC-1", "app")]))
    with pytest.raises(ResolutionError, match="Run `doit advisories`"):
        _ = one.judging.permission
    one.advisories.update()
    assert one.judging.permission is not None
    assert one.judging.permission.advisories is one.advisories.known is not None
    assert one.judging.permission is one.judging.permission


def test_a_run_takes_what_the_index_knows_nothing_against_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    world = {"app": [wheel("app", "1.0", requires=["lib"]), wheel("app", "1.1")], "lib": [wheel("lib", "2.0")]}
    with FakeIndex(world) as index:
        index.vulnerabilities = {"app": {"1.0": [], "1.1": [HOLE]}, "lib": {}}
        policy = {"advisories": {"from": "index", "refuse": "high"}}
        folder = mirror_folder(tmp_path, index, requirements=["app"], policy=policy)
        done = folder.doit("plan")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 releases, 2 files" in done.stdout
        assert "advisories: not checked, since the index does not know of it: lib-2.0" in done.stdout
        assert "advisory PYSEC-1 (high, CVE-1): fixed in 1.2" in folder.doit("explain", "app").stdout
        index.vulnerabilities = {"app": {}, "lib": {}}
        assert "NONE WAS CHECKED" in folder.doit("plan").stdout
