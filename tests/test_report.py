"""`doit report`: one page to read, print and sign, files for programs, whole or not at all, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import html5lib
import pytest

from mirror_tasks.errors import StorageError
from mirror_tasks.report.alarms import alarms
from mirror_tasks.report.documents import documents
from mirror_tasks.report.dossier import Dossier
from mirror_tasks.report.explain import Explainer
from mirror_tasks.report.folder import digest_in, write_report
from mirror_tasks.report.page import page
from mirror_tasks.report.summary import summary
from mirror_tasks.resolve.reasons import Refusals
from mirror_tasks.resolve.selection import Rules
from tests.dossiers import dossier
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import (
    Example,
    MirrorFolder,
    assert_whole,
    example_mirror,
    mirror_folder,
    small_world,
    times,
    tree,
)
from tests.server_fixtures import ask, running


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Dossier:
    return dossier(tmp_path_factory.mktemp("dossier"))


@pytest.fixture(scope="module")
def html(full: Dossier) -> str:
    return page(full, [("packages.csv", "a line a file")], style_beside=False).decode()


def text_of(html: str) -> str:
    document = html5lib.parse(html, namespaceHTMLElements=False)
    return " ".join(" ".join(document.itertext()).split())


def section_of(html: str, key: str) -> str:
    found = re.search(rf'<section aria-labelledby="{key}">.*?</section>', html, re.DOTALL)
    assert found, key
    return text_of(found[0])


# --- The page


def test_the_page_is_html_that_needs_no_repair(html: str) -> None:
    html5lib.HTMLParser(strict=True).parse(html)


def test_the_page_has_no_script_and_loads_nothing(html: str) -> None:
    document = html5lib.parse(html, namespaceHTMLElements=False)
    tags = {element.tag for element in document.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "img", "iframe", "object", "link", "embed", "base", "form"}
    for element in document.iter():
        assert not [name for name in element.keys() if name in ("src", "style") or name.startswith("on")]  # noqa: SIM118
        assert not element.get("href", "").startswith(("http:", "https:", "//", "javascript:"))
    assert "url(" not in html
    assert "@import" not in html


def test_what_others_wrote_is_text(html: str) -> None:
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_what_is_to_be_looked_at_first_stands_first(html: str, full: Dossier) -> None:
    lines = [one.text for one in alarms(full)]
    assert lines[0] == "app: the publisher changed"
    assert any(line.startswith("malware MAL-2026-1 on lib-3: known since the plan was made") for line in lines)
    assert "the exception of licences for client ends on 2026-11-30" in lines
    assert "the exception of cooldown for gone is needed by nothing any more" in lines
    assert html.index("the publisher changed") < html.index("Projects</dt>")


def test_what_changed_is_told_against_what_is_inside(html: str) -> None:
    told = section_of(html, "changes")
    assert "Compared with bundle main-3, which was marked as sent: 1 project new" in told
    assert "lib MIT unknown" in told
    assert "GHSA-gone went low app 2" in told
    assert "GHSA-high came high app 2" in told


def test_each_requirement_has_its_sizes_as_a_picture_and_in_words(html: str) -> None:
    section = re.search(r'<section aria-labelledby="requirements">.*?</section>', html, re.DOTALL)
    assert section
    assert section[0].count("<svg") == 3
    assert section[0].count('aria-hidden="true"') == 3
    assert "lab.txt requirements[2] 2" in section_of(html, "requirements")


def test_odd_licences_stand_before_all_others_with_what_lets_them_in(html: str) -> None:
    told = section_of(html, "licences")
    assert told.index("client-1") < told.index("lib-3") < told.index("MIT 3 app, server, tool")
    assert "until 2026-11-30, mirror.yaml: policy.except[1]" in told


def test_advisories_say_what_fixes_them_and_what_lets_them_in(html: str) -> None:
    told = section_of(html, "advisories")
    assert (
        "GHSA-high CVE-2026-1, PYSEC-2026-1 reads too much high CVSS 3.1: 7.5 app-2 3.1 let in until 2027-03-31" in told
    )
    assert told.index("MAL-2026-1") < told.index("GHSA-new") < told.index("GHSA-high") < told.index("GHSA-low")
    assert "no release that is known reported: less than what the policy refuses" in told


def test_exceptions_have_their_ends_and_those_not_needed_are_named(html: str) -> None:
    told = section_of(html, "exceptions")
    assert "2026-11-30 soon client-1" in told
    assert "2027-03-31 nothing any more: take it out" in told


def test_what_the_policy_kept_out_is_named_and_nothing_else(html: str) -> None:
    told = section_of(html, "refused")
    assert "lib 4, 10 linux, windows lib-10-py3-none-any.whl: cooldown: 14d" in told
    assert "lib 11 linux lib-11-py3-none-any.whl: licence GPL-3.0-only is not allowed" in told
    assert "app 3 linux app-3-py3-none-any.whl and 1 more: advisory GHSA-x (high): fixed in 4" in told
    assert "server" not in told  # its reason reads like a rule, and is none


def test_what_was_not_checked_is_said(html: str) -> None:
    assert "advisories: nobody knows of server-1" in section_of(html, "unchecked")


@pytest.mark.parametrize(
    ("newest", "is_told"),
    [("2026-10-27T00:00:00Z", False), ("2026-10-26T23:59:59Z", True), ("", False), ("unknown", False)],
)
def test_a_dump_of_more_than_a_month_ago_is_to_be_looked_at_first(full: Dossier, newest: str, is_told: bool) -> None:
    told = [one.text for one in alarms(replace(full, advisories_newest=newest)) if one.is_bad]
    assert ("the dump of advisories ends 31 days before the day of judging: bring a newer one" in told) == is_told


def test_there_is_a_field_for_signatures_and_what_is_signed_for(html: str, full: Dossier) -> None:
    assert "Prepared by Checked by Approved by" in section_of(html, "signatures")
    assert full.plan_digest in section_of(html, "documents")


def test_what_requirements_cost_is_what_explain_says(tmp_path: Path, full: Dossier) -> None:
    refusals = Refusals(Rules.of(full.config), lambda file, environment: None)
    told = Explainer(full.config, refusals, full.plan, lambda name: None).sizes()
    assert [(one.root.name, one.size, one.alone) for one in full.roots] == told


# --- For programs


def test_programs_are_told_the_same(full: Dossier) -> None:
    files = documents(full, {}, style_beside=False)
    told = summary(full, files, "report")
    assert json.loads(json.dumps(told)) == told
    judged = {one["id"]: one["judgement"] for one in told["advisories"]["found"]}
    assert judged == {"MAL-2026-1": "refused", "GHSA-new": "refused", "GHSA-high": "waived", "GHSA-low": "reported"}
    assert [one["state"] for one in told["exceptions"]] == ["in-use", "ends-soon", "not-needed"]
    assert told["changes"]["since"]["kind"] == "inside"
    assert set(told["digests"]["files"]) == set(files)


def test_the_documents_are_the_same_each_time(tmp_path: Path, full: Dossier) -> None:
    again = dossier(tmp_path)
    assert documents(again, {}, style_beside=False) == documents(full, {}, style_beside=False)


def test_a_page_that_servers_show_has_its_style_in_a_file(full: Dossier) -> None:
    files = documents(full, {}, style_beside=True)
    assert b"<style" not in files["index.html"]
    assert b'<link rel="stylesheet" href="style.css">' in files["index.html"]
    assert "style.css" in files


# --- The folder


def some(**more: bytes) -> dict[str, bytes]:
    files = {"index.html": b"page", "sboms/a.json": b"{}", **more}
    lines = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return {**files, "SHA256SUMS": lines.encode()}


def test_a_report_is_written_whole_and_only_where_it_differs(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    assert write_report(folder, some())
    assert tree(folder) == some()
    assert not write_report(folder, some())
    assert write_report(folder, some(more=b"x"))
    assert tree(folder) == some(more=b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_is_no_report_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "signed.pdf").write_bytes(b"scan")
    with pytest.raises(StorageError, match=r"expected a report or nothing, found signed\.pdf"):
        write_report(folder, some())
    assert tree(folder) == {"signed.pdf": b"scan"}


def test_a_link_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="something else than a folder"):
        write_report(tmp_path / "report", some())


def test_after_a_kill_in_between_the_report_before_stands_again(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_report(folder, some())
    folder.rename(tmp_path / ".report.old")
    (tmp_path / ".report.part").mkdir()
    assert not write_report(folder, some()), "it is the one before"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_report_that_was_altered_has_no_digest(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_report(folder, some())
    assert digest_in(folder) == hashlib.sha256(some()["SHA256SUMS"]).hexdigest()
    (folder / "index.html").write_bytes(b"another")
    assert digest_in(folder) is None
    assert digest_in(tmp_path / "none") is None


# --- The verb


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    with example_mirror(tmp_path_factory.mktemp("example")) as made:
        return made


def test_the_verb_writes_the_same_report_twice_and_says_where(example: Example, tmp_path: Path) -> None:
    project = example.copy(tmp_path / "project")
    first = project.doit("report")
    assert first.returncode == 0, first.stdout
    assert "written:" in first.stdout
    report = tree(project.folder / "report")
    assert {"index.html", "changes.json", "changes.md", "packages.csv", "sbom.cdx.json", "SHA256SUMS"} <= set(report)
    second = project.doit("report")
    assert "as before:" in second.stdout
    assert tree(project.folder / "report") == report
    told = json.loads(project.doit("report", "--format", "json").stdout)
    assert told["totals"]["projects"] == 5
    assert told["folder"] == "report"


def test_a_mirror_of_another_name_has_its_report_beside_others(example: Example, tmp_path: Path) -> None:
    project = example.copy(tmp_path / "project")
    text = (project.folder / "mirror.yaml").read_text(encoding="utf-8")
    (project.folder / "mirror.yaml").write_text(f"{text}output: lab\n", encoding="utf-8")
    (project.folder / "mirror").rename(project.folder / "lab")
    assert project.doit("report").returncode == 0
    assert (project.folder / "report-lab" / "index.html").exists()


def test_without_a_mirror_there_is_no_report(tmp_path: Path) -> None:
    project = MirrorFolder(tmp_path)
    (tmp_path / "dodo.py").write_text("from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n")
    project.configure("https://index.example.com/simple/")
    done = project.doit("report")
    assert done.returncode != 0
    assert "Run `doit mirror` first" in done.stdout


def test_a_report_in_the_mirror_is_published_with_it_served_and_the_same_as_that_beside(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path / "project", index, report="mirror")
        project.mirrored()
        assert_whole(project.output)
        inside = {path: content for path, content in tree(project.output).items() if path.startswith("report/")}
        assert {"report/index.html", "report/style.css", "report/changes.json"} <= set(inside)
        before = times(project.output)
        project.mirrored()
        assert times(project.output) == before, "where nothing changed, nothing is written"
        assert project.doit("report").returncode == 0
        assert {f"report/{path}": content for path, content in tree(project.folder / "report").items()} == inside
        assert "report/" not in project.doit("prune", "--dry-run").stdout
        with running(project.output) as served:
            page = ask(served.port, "/report/")
            assert page.status == 200
            assert "style-src 'self'" in str(page.get("Content-Security-Policy"))
            assert ask(served.port, "/report/style.css").get("Content-Type") == "text/css; charset=utf-8"
        index.add("alone", *wheel("alone", "3.1"))
        project.mirrored()
        changes = (project.output / "report" / "changes.json").read_bytes()
        assert changes != inside["report/changes.json"]
        assert '<a href="report/index.html">' in (project.output / "index.html").read_text(encoding="utf-8")
        sums = (project.output / "SHA256SUMS").read_text(encoding="utf-8")
        assert f"{hashlib.sha256(changes).hexdigest()}  report/changes.json\n" in sums
        assert project.doit("clean", "_report").returncode == 0
        assert not (project.output / "report").exists()
        project.configure(index.url, report="beside")
        project.mirrored()
        assert 'href="report/' not in (project.output / "index.html").read_text(encoding="utf-8")
