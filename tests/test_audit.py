"""The audit: what is in a mirror already, judged by advisories that came later, without an index."""

from __future__ import annotations

import datetime
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror_tasks import audit as program
from mirror_tasks.config.policy import Waiver
from mirror_tasks.errors import AdvisoryError
from mirror_tasks.policy.compiling import read_advisories
from mirror_tasks.report.audit import DEFAULT_RULE, Audit, audit, audit_json, audit_lines, check_audit, served
from tests.advisory_dumps import fixed_in, record, zip_of
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder

UNTIL = datetime.date(2099, 1, 1)
RECORDS = [
    record("PYSEC-1", "app", fixed_in("1.1"), aliases=["CVE-1"], summary="a hole\x1b in app"),
    record("GHSA-2", "lib", fixed_in("3"), database_specific={"severity": "LOW"}),
    record("MAL-3", "evil"),
    record("PYSEC-4", "other", fixed_in("1")),
]
FILES = {
    "app": ["app-1.0-py3-none-any.whl", "app-1.0-py3-none-any.whl.metadata", "app-1.0.tar.gz", "app-1.1.tar.gz"],
    "lib": ["lib-2.0-py3-none-any.whl"],
    "evil": ["evil-0.1.tar.gz"],
    "other": ["other-1.0.tar.gz", ".part", "notes.txt"],
}


def inside(folder: Path) -> Path:
    """Make a directory as it stands inside."""
    for project, names in FILES.items():
        (folder / "packages" / project).mkdir(parents=True)
        for name in names:
            (folder / "packages" / project / name).write_bytes(b"content")
    return folder


def judged(folder: Path, records: Sequence[dict[str, Any]] = RECORDS, *waivers: Waiver, **changed: Any) -> Audit:
    advisories = read_advisories(zip_of(folder / "all.zip", records), "all.zip")
    return audit(inside(folder / "mirror"), advisories, replace(DEFAULT_RULE, **changed), waivers)


def test_it_says_what_would_have_to_go_by_file_with_advisory_severity_and_fix(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert list(audit_lines(found)) == [
        "refused: app 1.0: advisory PYSEC-1 (high, CVE-1): fixed in 1.1; no severity is given: counts as high",
        "    a hole\N{REPLACEMENT CHARACTER} in app",
        "    packages/app/app-1.0-py3-none-any.whl (7 bytes)",
        "    packages/app/app-1.0.tar.gz (7 bytes)",
        "refused: evil 0.1: malware MAL-3: remove it; no severity is given: counts as high",
        "    A hole.",
        "    packages/evil/evil-0.1.tar.gz (7 bytes)",
        "reported: lib 2.0: advisory GHSA-2 (low): fixed in 3; the database's word: LOW",
        "    A hole.",
        "not checked: packages/other/notes.txt, whose name says no release",
        "6 files of 5 releases judged by all.zip (4 records, the newest of 2026-01-02): 2 releases would have to go, "
        "1 release with what is not refused",
    ]
    with pytest.raises(AdvisoryError, match=r"found 2 releases: app 1\.0, evil 0\.1\. Outside, mirror anew"):
        check_audit(tmp_path, found)


def test_it_says_which_exceptions_hold_and_none_for_all_lets_malware_in(tmp_path: Path) -> None:
    named = Waiver(None, "advisories", "cve-1", "not reachable", UNTIL, "mirror.yaml: policy.except[0]")
    for_all = Waiver(None, "advisories", "", "all", UNTIL, "mirror.yaml: policy.except[1]")
    found = judged(tmp_path, RECORDS, named, for_all)
    assert [one.project for one in found.of("refused")] == ["evil"]
    assert "    waived until 2099-01-01: not reachable (mirror.yaml: policy.except[0])" in list(audit_lines(found))
    assert "1 release waived" in list(audit_lines(found))[-1]
    by_name = replace(named, advisory="MAL-3")
    (tmp_path / "again").mkdir()
    check_audit(tmp_path, judged(tmp_path / "again", RECORDS, named, by_name))


def test_programs_get_the_same_as_json_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    found = audit_json(judged(tmp_path))
    assert found == audit_json(judged(tmp_path / "again"))
    content = json.loads(found)
    assert [(one["project"], one["judgement"], one["severity"]) for one in content["findings"]] == [
        ("app", "refused", "high"),
        ("evil", "refused", "high"),
        ("lib", "reported", "low"),
    ]
    assert (content["refused"], content["releases"], content["files"]) == (2, 5, 6)
    assert content["findings"][0]["fixed_in"] == ["1.1"]


def test_what_is_served_inside_is_found_by_link_and_by_number(tmp_path: Path) -> None:
    tree = inside(tmp_path / "place" / "generations" / "7")
    place = tree.parent.parent
    with pytest.raises(AdvisoryError, match="expected a mirror"):
        served(place)
    (place / "current.txt").write_text("7\n", encoding="ascii")
    assert served(place) == tree
    (place / "current.txt").write_text("../../etc\n", encoding="ascii")
    with pytest.raises(AdvisoryError, match=r"Name the directory that server\.py serves"):
        served(place)
    (place / "current").symlink_to("generations/7")
    assert served(place).resolve() == tree.resolve()
    assert served(tree) == tree


# --- Inside, without mirror.yaml


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = program.main([str(one) for one in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_inside_a_directory_and_a_dump_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, dump = inside(tmp_path / "mirror"), zip_of(tmp_path / "all.zip", RECORDS)
    status, out, err = run(capsys, place, "--from", dump)
    assert (status, out.count("refused: ")) == (1, 2)
    assert "found 2 releases" in err
    status, out, _ = run(capsys, place, "--from", dump, "--refuse", "any", "--format", "json")
    assert (status, json.loads(out)["refused"]) == (1, 3)
    status, out, err = run(capsys, place, "--from", zip_of(tmp_path / "none.zip", RECORDS[3:]))
    assert (status, err) == (0, "")
    status, out, err = run(capsys, place, "--from", tmp_path / "missing.zip")
    assert (status, out) == (2, "")
    assert "Bring a dump" in err


@pytest.mark.parametrize("is_shared", [False, True])
def test_inside_a_policy_may_be_brought_whose_dump_is_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_shared: bool
) -> None:
    place, dump = inside(tmp_path / "mirror"), zip_of(tmp_path / "all.zip", RECORDS)
    policy: dict[str, object] = {
        "constraints": "company.txt",
        "advisories": {"from": "osv/all.zip", "refuse": "low"},
        "except": [{"advisory": one, "reason": "known", "until": "2099-01-01"} for one in ("MAL-3", "PYSEC-1")],
    }
    brought = tmp_path / "brought.yaml"
    content = policy if is_shared else {"policy": policy, "requirements": [{"file": "not-here.txt"}]}
    brought.write_text(yaml.safe_dump(content), encoding="utf-8")
    status, out, _ = run(capsys, place, "--from", dump, "--policy", brought)
    assert status == 1
    assert [line.split(":")[:2] for line in out.splitlines() if line.startswith("refused")] == [["refused", " lib 2.0"]]
    assert out.count("waived until 2099-01-01: known") == 2
    brought.write_text("advisories: {refuse: terrible}", encoding="utf-8")
    status, _, err = run(capsys, place, "--from", dump, "--policy", brought)
    assert status == 2
    assert "unknown severity 'terrible'" in err


def test_it_is_a_program_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mirror_tasks.audit", "mirror", "--from", "all.zip"]
    inside(tmp_path / "mirror")
    zip_of(tmp_path / "all.zip", RECORDS)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "refused: evil 0.1: malware MAL-3" in done.stdout


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_told_in_any_script_is_written_where_few_characters_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    dump = zip_of(tmp_path / "all.zip", [record("PYSEC-4", "other", fixed_in("1.0.1"), summary="漢字")])
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    arguments = [inside(tmp_path / "mirror"), "--from", dump, "--refuse", "critical", "--format", form]
    assert program.main([str(one) for one in arguments]) == 0
    sys.stdout.flush()
    assert ("漢字" if form == "json" else r"\u6f22\u5b57") in written.getvalue().decode("utf-8")


# --- Outside


def test_doit_audit_judges_without_the_network_and_fails_where_something_is_refused(tmp_path: Path) -> None:
    dump = zip_of(tmp_path / "old.zip", [record("PYSEC-0", "app", versions=["1.1"])])
    newer = zip_of(tmp_path / "new.zip", [record("PYSEC-9", "app", fixed_in("1.1"))])
    with FakeIndex({"app": [wheel("app", "1.0"), wheel("app", "1.1")]}) as index:
        policy = {"advisories": {"from": str(dump), "refuse": "high"}}
        folder = mirror_folder(tmp_path / "run", index, requirements=["app"], policy=policy)
        folder.mirrored()
    assert [path.name for path in (folder.output / "packages" / "app").glob("*.whl")] == ["app-1.0-py3-none-any.whl"]
    well = folder.doit("audit")
    assert well.returncode == 0, well.stderr
    assert "nothing would have to go" in well.stdout
    badly = folder.doit("audit", "--from", str(newer), "--format", "json")
    assert badly.returncode != 0
    assert json.loads(badly.stdout)["refused"] == 1
    assert "expected nothing that is refused, found 1 release: app 1.0" in badly.stderr
    # A dump that is broken stops the next run, and what was published stays.
    dump.write_bytes(dump.read_bytes()[:-10])
    broken = folder.doit("mirror")
    assert broken.returncode != 0
    assert f"reading the advisories in {dump}: expected a zip of records" in broken.stdout + broken.stderr
    assert (folder.output / "mirror.json").exists()
    listed = folder.doit("list", "-s")
    assert listed.returncode == 0, listed.stderr
    assert "R advisories" in listed.stdout
