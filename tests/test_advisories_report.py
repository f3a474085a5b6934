"""The document of all advisories: each match with its judgement, and what was not checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.policy.compiling import read_advisories
from mirror_tasks.report.advisories import advisories_json
from tests.advisory_dumps import record, zip_of
from tests.dossiers import POLICY, dossier


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("world")
    source = read_advisories(zip_of(folder / "all.zip", [record("PYSEC-1")]), "osv/all.zip")
    content = advisories_json(dossier(folder).components, POLICY, source)
    assert content == advisories_json(dossier(folder).components, POLICY, source)
    return json.loads(content)


def test_every_match_stands_in_it_with_its_judgement_the_worst_first(document: Any) -> None:
    assert {
        one["project"]: [(said["advisory"], said["judgement"]) for said in one["advisories"]]
        for one in document["releases"]
    } == {
        "app": [("GHSA-high", "waived"), ("GHSA-low", "reported")],
        "lib": [("MAL-2026-1", "refused")],
        "tool": [("GHSA-new", "refused")],
    }
    assert document["counts"] == {"refused": 2, "waived": 1, "reported": 1}


def test_it_says_how_severe_by_what_what_fixes_it_and_what_lets_it_in(document: Any) -> None:
    waived = document["releases"][0]["advisories"][0]
    assert (waived["severity"], waived["severity_from"], waived["fixed_in"]) == ("high", "CVSS 3.1: 7.5", ["3.1"])
    assert waived["aliases"] == ["CVE-2026-1", "PYSEC-2026-1"]
    assert (waived["waiver"]["until"], waived["waiver"]["where"]) == ("2027-03-31", "mirror.yaml: policy.except[0]")


def test_it_says_by_what_was_judged_and_what_was_not_checked(document: Any) -> None:
    assert document["not_checked"] == ["server-1"]
    assert (document["from"]["shown"], document["from"]["records"]) == ("osv/all.zip", 1)
    assert len(document["from"]["sha256"]) == 64


def test_without_a_policy_nothing_is_refused_and_it_says_that_nobody_was_asked(tmp_path: Path) -> None:
    found = json.loads(advisories_json(dossier(tmp_path).components, None, None))
    assert found["from"] is None
    assert found["counts"] == {"refused": 0, "waived": 0, "reported": 4}
