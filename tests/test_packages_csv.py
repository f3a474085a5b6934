"""packages.csv has each file in a row, and no spreadsheet runs anything that stands in it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_tasks.index.own_page import OWN
from mirror_tasks.policy.licences import Licence
from mirror_tasks.report.components import Component, components
from mirror_tasks.report.packages_csv import HEAD, harmless, packages_csv
from tests.components_world import BOTH, INDEX, planned

WORLD = {
    "environments": BOTH,
    "requirements": ["app>=1", "lib"],
    "index": {"app": {"1": {"requires": ["lib"]}}, "lib": {"2": {"files": ["cp312-cp312-win_amd64", "sdist"]}}},
}


@pytest.fixture
def found(tmp_path: Path) -> tuple[Component, ...]:
    mirror, plan = planned(WORLD, tmp_path)
    return components(mirror, plan, None)


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


def test_each_file_has_a_row_with_all_that_is_asked_of_it(found: tuple[Component, ...]) -> None:
    one, *_ = table = rows(packages_csv(found))
    assert [row["file"] for row in table] == [
        "app-1-py3-none-any.whl", "app-1.tar.gz", "lib-2-cp312-cp312-win_amd64.whl", "lib-2.tar.gz",
    ]  # fmt: skip
    assert tuple(one) == HEAD
    assert one == {
        "name": "app",
        "version": "1",
        "file": "app-1-py3-none-any.whl",
        "size": "1000",
        "sha256": found[0].files[0].sha256,
        "licence": "unknown: nothing says which it is",
        "licence_source": "",
        "index": INDEX,
        "uploaded": "2020-01-01T12:00:00.5Z",
        "environments": "linux; windows",
        "asked_by": "app>=1",
    }
    assert table[2]["environments"] == "windows"
    assert table[3]["asked_by"] == "app>=1; lib"


def test_what_is_not_known_is_said_not_to_be(found: tuple[Component, ...]) -> None:
    app = found[0]
    wheel, tar = app.files
    unsized = replace(wheel, file=replace(wheel.file, size=None, upload_time="2026-11-01T10:00:00Z"))
    told = replace(
        app,
        files=(unsized, tar),
        indexes={tar.filename: OWN},
        kept={tar.filename: "left the plan on 2026-11-01; kept for locks until 2027-01-01"},
        licence=Licence("MIT", "License", (), ""),
    )
    first, second = rows(packages_csv([told]))
    assert (first["size"], first["uploaded"], first["index"]) == ("", "2026-11-01T10:00:00Z", "not recorded")
    assert (first["licence"], first["licence_source"]) == ("MIT", "License")
    assert second["index"] == "own file"
    assert second["asked_by"] == "left the plan on 2026-11-01; kept for locks until 2027-01-01"


def test_it_is_written_as_rfc_4180_has_it_and_the_same_twice(found: tuple[Component, ...]) -> None:
    content = packages_csv([replace(found[0], asked_by=('a "b", c',))])
    assert content.count(b"\r\n") == content.count(b"\n") == 3
    assert b',"a ""b"", c"\r\n' in content
    assert packages_csv(found) == packages_csv(found)


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "%0", "|calc", " =1", '"=1', "a;=1", "a, =1", "\uff1d1"],
)
def test_what_a_spreadsheet_would_run_has_an_apostrophe_before_it(cell: str) -> None:
    assert "'" in harmless(cell)


@pytest.mark.parametrize("cell", ["requests>=2.24.0", "MIT OR Apache-2.0", "2026-11-01T10:00:00Z", "a; b", "1.0+local"])
def test_what_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert harmless(cell) == cell


@given(st.text())
def test_no_cell_begins_as_a_formula_whatever_parts_cells(text: str) -> None:
    cell = harmless(text)
    assert "\n" not in cell
    for part in [cell, *cell.split(";"), *cell.split(",")]:
        assert part.strip("\"' ")[:1] not in tuple("=+-@") or "'" in part


def test_foreign_text_is_brief(found: tuple[Component, ...]) -> None:
    long = replace(found[0], licence=Licence(None, "", (), "x" * 100_000))
    assert max(map(len, rows(packages_csv([long]))[0].values())) < 1100
