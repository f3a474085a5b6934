"""Dumps of advisories: what they say is found again, and what is broken is told."""

from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.errors import AdvisoryError
from mirror_tasks.policy import dumps
from mirror_tasks.policy.compiled import DumpAdvisories
from mirror_tasks.policy.compiling import compiled, read_advisories
from mirror_tasks.policy.dumps import evidence_of, read_dump
from mirror_tasks.policy.folding import fold
from tests.advisory_dumps import fixed_in, folder_of, record, zip_of

SHARED = Path(__file__).parents[2] / "shared" / "advisories"
SOMELIB = canonicalize_name("somelib")


def ids(advisories: DumpAdvisories, project: str, version: str) -> list[str]:
    return [one.id for one in advisories.of_release(canonicalize_name(project), Version(version))]


def test_a_zip_of_json_and_a_folder_of_yaml_say_the_same(tmp_path: Path) -> None:
    records = [
        record("PYSEC-2024-1", "Some.Lib", fixed_in("1.10"), versions=["1.0", "1.9"], aliases=["CVE-2024-1"]),
        record("GHSA-1", "some-lib", fixed_in("1.10"), aliases=["CVE-2024-1"], summary="a hole: in 1.10 fixed"),
    ]
    zipped = compiled(zip_of(tmp_path / "all.zip", records)).partition(b"\n")[2]
    folder = compiled(folder_of(tmp_path / "database", records)).partition(b"\n")[2]
    assert zipped == folder
    assert ids(read_advisories(tmp_path / "database", "database"), "some-lib", "1.2") == ["GHSA-1"]
    assert ids(read_advisories(tmp_path / "database", "database"), "some-lib", "1.10") == []


def test_yaml_is_read_as_the_text_that_it_is(tmp_path: Path) -> None:
    text = """
id: PYSEC-2024-2
modified: 2024-01-02T03:04:05.6Z
withdrawn: null
affected:
- package: {ecosystem: PyPI, name: somelib}
  ranges:
  - type: ECOSYSTEM
    events: [{introduced: 1.10}, {fixed: 2.0}]
"""
    (tmp_path / "one.yaml").write_text(text, encoding="utf-8")
    advisories = read_advisories(tmp_path, "folder")
    assert [bool(ids(advisories, "somelib", version)) for version in ("1.1", "1.9", "1.10", "1.20", "2")] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert advisories.newest == "2024-01-02T03:04:05.6Z"


def test_other_ecosystems_and_files_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for name, content in {
        "GHSA-npm.json": json.dumps(record("GHSA-npm", ecosystem="npm")),
        "broken-npm.json": "{",
        "schema.json": json.dumps({"title": "what a record of PyPI looks like"}),
        "README.md": "PyPI",
        ".config.yaml": "pypi: [",
    }.items():
        (tmp_path / "all" / name).write_text(content, encoding="utf-8")
    with pytest.raises(AdvisoryError, match="expected records of the ecosystem PyPI in the OSV layout, found none"):
        read_dump(tmp_path / "all")
    zip_of(
        tmp_path / "all.zip",
        [record("GHSA-npm", ecosystem="npm"), record("PYSEC-1"), record("X-1", ecosystem="pypi:x")],
    )
    assert [one.id for one in read_dump(tmp_path / "all.zip").advisories] == ["PYSEC-1", "X-1"]


def test_a_zip_of_a_repository_with_a_comment_is_read(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "main.zip", [record("PYSEC-1")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"0123456789abcdef"
    assert len(read_dump(path).advisories) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{PyPI", "expected JSON, found something else"),
        ('{"id": "X", "modified": "PyPI", "affected": {}}', "affected: expected a list, found fields"),
        (record("X", versions=["1"]) | {"id": 7}, "id: expected text, found a number"),
        (record("X", versions=["1"]) | {"id": ""}, "id: expected the identifier of the advisory, found none"),
        (record("X", project="../etc"), "expected the name of a project, found"),
        (record("X", events=[{"introduced": "1\n"}]), "expected at most 300 characters of a line"),
        (record("X", versions=["9" * 301]), "expected at most 300 characters of a line"),
        (record("X", aliases="CVE-1"), "aliases: expected a list, found text"),
        ('{"PyPI":' + "[" * 100_000, "expected JSON, found something else"),
    ],
)
def test_a_broken_record_is_told_with_its_file_and_what_to_do(tmp_path: Path, content: Any, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-1.json", json.dumps(record("PYSEC-1")))
        archive.writestr("deep/X\x1b[31m.json", content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(AdvisoryError) as raised:
        read_dump(tmp_path / "all.zip")
    assert said in str(raised.value)
    assert "all.zip, file deep/X\N{REPLACEMENT CHARACTER}[31m.json: " in str(raised.value)
    assert "Fetch the dump anew" in str(raised.value)


def test_yaml_that_grows_without_end_is_told(tmp_path: Path) -> None:
    lines = ["a0: &a0 [PyPI, PyPI]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(AdvisoryError, match=r"bomb\.yaml: .*its aliases grow"):
        read_dump(tmp_path)
    (tmp_path / "bomb.yaml").write_text("&a [PyPI, *a]", encoding="utf-8")
    with pytest.raises(AdvisoryError, match=r"bomb\.yaml: .*its aliases grow"):
        read_dump(tmp_path)


def test_a_zip_that_unpacks_to_more_than_any_record_has_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", b" " * (dumps.LARGEST_RECORD + 1))
    with pytest.raises(AdvisoryError, match=r"file bomb\.json: .*expected at most 16,777,216 bytes"):
        read_dump(tmp_path / "all.zip")


def test_more_than_is_read_altogether_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zip_of(tmp_path / "all.zip", [record(f"PYSEC-{number}") for number in range(9)])
    monkeypatch.setattr(dumps, "_MOST_BYTES", 1000)
    with pytest.raises(AdvisoryError, match="expected at most 1,000 bytes in all, found more"):
        read_dump(path)
    monkeypatch.setattr(dumps, "_MOST_MEMBERS", 5)
    with pytest.raises(
        AdvisoryError, match="it has 9 files, more than the 5 that are read; take the dump of PyPI alone"
    ):
        read_dump(path)


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"no zip", b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_zip_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(AdvisoryError, match="expected a zip of records, found something else"):
        read_dump(tmp_path / "all.zip")


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "all.zip", [record("PYSEC-1", details="PyPI " * 100)])
    content = bytearray(path.read_bytes())
    content[60:64] = b"\0\0\0\0"
    path.write_bytes(content)
    with pytest.raises(AdvisoryError, match=r"file PYSEC-1\.json: expected a file that can be unpacked"):
        read_dump(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_member_that_is_packed_in_a_way_that_can_fail_otherwise_is_told(tmp_path: Path, packing: int) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("PYSEC-1.json", json.dumps(record("PYSEC-1")))
    with pytest.raises(AdvisoryError, match=r"file PYSEC-1\.json: .*expected it stored or deflated"):
        read_dump(path)


def test_a_dump_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdvisoryError, match="Bring a dump in the OSV layout"):
        read_dump(tmp_path / "all.zip")
    assert evidence_of(tmp_path / "all.zip") == ""


def test_a_link_in_a_folder_leads_nowhere(tmp_path: Path) -> None:
    folder_of(tmp_path / "database", [record("PYSEC-1")])
    (tmp_path / "other.json").write_text(json.dumps(record("PYSEC-2")), encoding="utf-8")
    (tmp_path / "database" / "link.json").symlink_to(tmp_path / "other.json")
    (tmp_path / "database" / "all").symlink_to(tmp_path)
    assert [one.id for one in read_dump(tmp_path / "database").advisories] == ["PYSEC-1"]


def test_each_project_is_found_in_what_was_compiled_and_no_other_is(tmp_path: Path) -> None:
    chosen = random.Random(4)
    names = sorted({"".join(chosen.choices("abz-", k=chosen.randint(1, 4))).strip("-") or "q" for _ in range(80)})
    names = sorted(set(map(canonicalize_name, names)))
    path = zip_of(tmp_path / "all.zip", [record(f"PYSEC-{name}", name, versions=["1.0"]) for name in names])
    (tmp_path / "compiled").write_bytes(compiled(path))
    opened = DumpAdvisories.opened(tmp_path / "compiled", "all.zip")
    assert opened is not None
    assert opened.records == len(names)
    for name in names:
        assert ids(opened, name, "1") == [f"PYSEC-{name}"]
        assert ids(opened, name, "2") == []
    for name in ("0", "zzzzz", "ab-0", *(f"{name}0" for name in names)):
        assert name in names or ids(opened, name, "1") == []


def test_what_was_compiled_and_then_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    content = compiled(zip_of(tmp_path / "all.zip", [record("PYSEC-1")]))
    damaged = [b"", b"\n", b"[1]\n", content[:-2], content.replace(b"somelib", b"somelic"), b"[9" + content[2:]]
    for number, one in enumerate(damaged):
        (tmp_path / f"{number}").write_bytes(one)
        assert DumpAdvisories.opened(tmp_path / f"{number}", "all.zip") is None, number
    assert DumpAdvisories.opened(tmp_path / "none", "all.zip") is None


def test_the_evidence_changes_with_the_dump(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "database", [record("PYSEC-1")])
    before = evidence_of(folder)
    assert before == evidence_of(folder)
    folder_of(tmp_path / "database", [record("PYSEC-2")])
    assert before != evidence_of(folder)
    assert evidence_of(zip_of(tmp_path / "all.zip", [record("PYSEC-1")])) != evidence_of(
        zip_of(tmp_path / "all.zip", [record("PYSEC-1"), record("PYSEC-2")])
    )


def test_a_dump_of_the_same_size_and_time_is_another_one(tmp_path: Path) -> None:
    """As where two archives are unpacked that give each file the same time."""
    folder = folder_of(tmp_path / "database", [record("PYSEC-1")])
    archive = zip_of(tmp_path / "all.zip", [record("PYSEC-1")])
    for dump, file in ((folder, next(filter(Path.is_file, folder.rglob("*")))), (archive, archive)):
        before, status, content = evidence_of(dump), file.stat(), file.read_bytes()
        file.write_bytes(content[:-1] + b"!")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (file.stat().st_size, file.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
        assert evidence_of(dump) != before


def test_the_real_records_are_all_read() -> None:
    path = SHARED / "osv-pypi-2024-10-10.zip"
    if not path.exists():
        pytest.skip("../shared/advisories/ is not there")
    dump = read_dump(path)
    assert len(dump.advisories) == 2661
    holes = fold(dump.advisories)
    standing = sum(not one.withdrawn for one in dump.advisories)
    assert 0.9 * standing < sum(map(len, holes.values())) <= standing
    advisories = read_advisories(path, "all.zip")
    assert "PYSEC-2023-74" in ids(advisories, "requests", "2.30.0")
    assert "PYSEC-2023-74" not in ids(advisories, "requests", "2.31.0")
