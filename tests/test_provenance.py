"""For each file the dossier says if the index offers a provenance object (PEP 740), whom it names, and what changed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import StorageError
from mirror_tasks.files import fields_of
from mirror_tasks.index.attestations import MOST_BYTES, Attestation, Bundle, Publisher, bundles_of, read_object
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pages import parse_page
from mirror_tasks.index.project import File, Project
from mirror_tasks.publish.prune import leftovers
from mirror_tasks.publish.simple_index import PublishedFile, project_pages
from mirror_tasks.report.provenance import provenance_json, provenances
from mirror_tasks.report.publishers import FileProvenance, after_approval, after_first_use, alarms
from mirror_tasks.report.verification import Nobody, Verdict, verifier
from mirror_tasks.resolve.plan import Plan, PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.state.publishers import Publishers, Trust
from mirror_tasks.state.records import Records
from mirror_tasks.work.provenance import Provenance
from tests.fake_index import HTML, JSON, FakeIndex
from tests.making import GITHUB, provenance, wheel
from tests.mirroring import MIRRORED, MirrorFolder, asked, mirror_folder, small_world

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


# --- What a provenance object says


def bundles(content: bytes) -> tuple[Bundle, ...]:
    return bundles_of(read_object(content))


def test_the_publishers_and_what_they_attest_are_read() -> None:
    google = {"kind": "Google", "email": "builder@example.com"}
    first, second = bundles(provenance(FILE.filename, b"x", GITHUB, google))
    assert first.publisher.shown == "GitHub (repository foo/foo, workflow release.yml)"
    assert second.publisher == Publisher("Google", (("email", "builder@example.com"),))
    assert first.attestations[0].sha256 == hashlib.sha256(b"x").hexdigest()
    assert first.attestations[0].predicate.endswith("/publish/v1")


def test_what_a_publisher_says_of_one_run_does_not_make_it_another() -> None:
    once = {"kind": "CircleCI", "project_id": "7", "vcs_ref": "refs/tags/v1", "claims": {"sub": "a"}}
    again = {**once, "vcs_ref": "refs/tags/v2", "claims": None}
    assert Publisher.from_json(once) == Publisher.from_json(again)


def broken(**changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(provenance(FILE.filename, b"x"))
    return {**value, **changes}


def with_statement(statement: object) -> dict[str, Any]:
    value = broken()
    (attestation,) = value["attestation_bundles"][0]["attestations"]
    encoded = statement if isinstance(statement, str) else base64.b64encode(json.dumps(statement).encode()).decode()
    attestation["envelope"]["statement"] = encoded
    return value


SUBJECT = {"name": FILE.filename, "digest": {"sha256": SHA}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "expected a provenance object, found list"),
        ({}, "of version 1, found None"),
        (broken(version=2), "of version 1, found 2"),
        (broken(attestation_bundles=None), "expected 1 to 20 bundles of attestations, found NoneType"),
        (broken(attestation_bundles=[]), "found 0"),
        (broken(attestation_bundles=[{}] * 21), "found 21"),
        (broken(attestation_bundles=[7]), "expected a bundle of attestations, found int"),
        (broken(attestation_bundles=[{"publisher": GITHUB, "attestations": []}]), "expected 1 to 20 attestations"),
        (broken(attestation_bundles=[{"publisher": {}, "attestations": [{}]}]), "the kind of a publisher"),
        (broken(attestation_bundles=[{"publisher": {"kind": "x" * 501}, "attestations": [{}]}]), "found 501"),
        (broken(attestation_bundles=[{"publisher": GITHUB, "attestations": [{}]}]), "expected the envelope"),
        (with_statement("%%%"), "base64"),
        (with_statement("e30"), "padding"),
        (with_statement(""), "expected JSON"),
        (with_statement([]), "expected a statement, found list"),
        (with_statement({"subject": []}), "expected 1 subjects of an attestation, found 0"),
        (with_statement({"subject": [SUBJECT, SUBJECT]}), "expected 1 subjects of an attestation, found 2"),
        (with_statement({"subject": [SUBJECT]}), "the type of an attestation"),
        (with_statement({"subject": [{"digest": 7}]}), "expected the digests of a subject"),
    ],
)
def test_what_is_no_provenance_object_is_refused_in_words(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_object(json.dumps(value).encode())


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"{}" * 30_000, b"x" * (MOST_BYTES + 1), b'{"version": 1' + b"0" * 500_000 + b"}", b"\xff"],
)
def test_a_provenance_object_that_is_made_to_cost_is_refused_at_once(content: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_object(content)


# --- Trust on first use

FOO, OTHER = Publisher.from_json(GITHUB), Publisher.from_json({**GITHUB, "repository": "evil/foo"})
GOOD = Verdict("verified")


def seen(
    filename: str, *publishers: Publisher, verdict: Verdict = GOOD, sha256: str = SHA, problem: str = ""
) -> FileProvenance:
    """A file of foo; without publishers and problem it offers nothing."""
    name, version = filename.removesuffix(".tar.gz").rsplit("-", 1)
    file = replace(FILE, filename=filename, provenance=URL if publishers or problem else None)
    attested = tuple(Bundle(one, (Attestation("publish", sha256, {}),), {}) for one in publishers)
    return FileProvenance(PlannedFile(file, name, version, ("one",)), attested, problem, verdict)


class Reports:
    """Reports of one mirror, one after another."""

    def __init__(self, folder: Path) -> None:
        self.publishers = Publishers(folder)

    def report(self, *files: FileProvenance) -> list[str]:
        """Return the kinds of what is marked, with the files."""
        digest = ",".join(one.planned.filename for one in files)
        trusted = self.publishers.trusted(digest)
        self.publishers.keep(digest, after_first_use(files, trusted), after_approval(files, trusted))
        return [f"{alarm.kind}: {' '.join(alarm.files)}" for alarm in alarms(files, trusted)]


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path)


def test_who_is_seen_first_is_trusted_and_a_new_release_of_theirs_as_well(reports: Reports) -> None:
    assert reports.report(seen("foo-1.tar.gz", FOO)) == []
    assert reports.report(seen("foo-1.tar.gz", FOO), seen("foo-2.tar.gz", FOO)) == []


def test_another_publisher_is_marked_until_the_report_is_approved(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    marked = ["publisher: foo-2.tar.gz"]
    changed = seen("foo-1.tar.gz", FOO), seen("foo-2.tar.gz", OTHER)
    assert reports.report(*changed) == marked
    assert reports.report(*changed) == marked
    reports.publishers.approve()
    assert reports.report(*changed) == marked, "the paper that was signed stays the same"
    assert reports.report(*changed, seen("bar-1.tar.gz")) == []
    assert reports.report(*changed, seen("foo-3.tar.gz", OTHER)) == []


def test_an_approval_is_of_what_the_last_report_showed_and_of_nothing_after_it(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    reports.publishers.approve()
    assert reports.report(seen("foo-2.tar.gz", OTHER)) == ["publisher: foo-2.tar.gz"]
    assert reports.report(seen("foo-2.tar.gz", OTHER), seen("foo-3.tar.gz", OTHER)) == [
        "publisher: foo-2.tar.gz foo-3.tar.gz"
    ]


def test_a_project_that_had_a_provenance_and_has_none_now_is_marked(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    assert reports.report(seen("foo-2.tar.gz")) == ["none: foo-2.tar.gz"]
    reports.publishers.approve()
    assert reports.report(seen("foo-3.tar.gz")) == []


def test_an_older_release_that_came_without_from_the_first_is_not_marked_and_a_newer_one_is(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz"), seen("foo-2.tar.gz", FOO))
    assert reports.report(seen("foo-1.tar.gz"), seen("foo-2.tar.gz", FOO), seen("foo-3.tar.gz")) == [
        "none: foo-3.tar.gz"
    ]


def test_a_project_that_begins_to_have_a_provenance_is_not_marked(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz"))
    assert reports.report(seen("foo-1.tar.gz"), seen("foo-2.tar.gz", FOO)) == []


def test_who_could_not_be_asked_is_neither_marked_nor_forgotten(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    assert reports.report(seen("foo-2.tar.gz", problem="no answer")) == []
    reports.publishers.approve()
    assert reports.report(seen("foo-3.tar.gz", OTHER)) == ["publisher: foo-3.tar.gz"]


def test_a_project_that_was_not_mirrored_for_a_while_is_remembered(reports: Reports) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    reports.report(seen("bar-1.tar.gz"))
    reports.publishers.approve()
    assert reports.report(seen("foo-2.tar.gz", OTHER)) == ["publisher: foo-2.tar.gz"]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"sha256": "b" * 64}, "subject"), ({"verdict": Verdict("failed", "a wrong signature")}, "failed")],
)
def test_what_is_wrong_is_marked_as_long_as_it_is_there_and_is_never_trusted(
    reports: Reports, wrong: dict[str, Any], kind: str
) -> None:
    assert reports.report(seen("foo-1.tar.gz", OTHER, **wrong)) == [f"{kind}: foo-1.tar.gz"]
    reports.publishers.approve()
    assert reports.report(seen("foo-1.tar.gz", OTHER, **wrong), seen("bar-1.tar.gz")) == [f"{kind}: foo-1.tar.gz"]
    assert reports.report(seen("foo-2.tar.gz", FOO)) == [], "whoever comes first by something sound is trusted"


def test_what_is_marked_says_who_published_before_and_who_does_now() -> None:
    (alarm,) = alarms([seen("foo-2.tar.gz", OTHER)], {"foo": Trust((FOO,), ())})
    assert alarm.says == (
        "foo 2 (1 file) is published by GitHub (repository evil/foo, workflow release.yml); "
        "earlier reports had it by GitHub (repository foo/foo, workflow release.yml)"
    )


def test_what_moves_the_cursor_in_the_name_of_a_publisher_is_not_told() -> None:
    assert "\x1b" not in Publisher.from_json({"kind": "\x1b[2J", "email": "\u202egnp.exe"}).shown


def test_a_memory_of_publishers_that_cannot_be_read_is_an_error_and_no_first_use(
    reports: Reports, tmp_path: Path
) -> None:
    reports.report(seen("foo-1.tar.gz", FOO))
    path = tmp_path / "publishers.json"
    path.write_bytes(path.read_bytes().replace(b"foo/foo", b"bar/bar"))
    with pytest.raises(StorageError, match=r"publishers\.json: expected who published what"):
        reports.report(seen("foo-2.tar.gz", OTHER))


# --- The whole way


def world() -> FakeIndex:
    index = FakeIndex(small_world())
    for project, filename in (("app", MIRRORED["app"][0]), ("alone", MIRRORED["alone"][0])):
        file = index.projects[project][filename]
        file.provenance = provenance(filename, file.content)
    index.changed()
    return index


def told(project: MirrorFolder, problems: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return provenance.json as a report of the last plan has it, with nobody who verifies."""
    mirror = Mirror(load(project.folder / "mirror.yaml"), lambda _: None)
    plan = mirror.plans.last()
    assert plan is not None
    return json.loads(provenance_json(provenances(mirror, plan, problems or {}, Nobody("nobody is here", {}))))  # type: ignore[no-any-return]


def test_the_report_says_of_each_file_who_published_it_and_the_mirror_alone_pays_nothing(tmp_path: Path) -> None:
    with world() as index:
        project = mirror_folder(tmp_path / "project", index)
        project.mirrored()
        assert asked(index, "/provenance/") == {}
        done = project.doit("provenance")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sum(asked(index, "/provenance/").values()) == 2
        project.doit("provenance")
        assert sum(asked(index, "/provenance/").values()) == 2, "it never changes"
    found = told(project)
    assert found["totals"] == {
        "files": 8, "offered": 2, "unchecked": 0, "verified": 0, "failed": 0, "not_verified": 2,
    }  # fmt: skip
    files = {one["filename"]: one for one in found["files"]}
    assert files["app-1.0-py3-none-any.whl"]["publishers"] == [{key: value for key, value in GITHUB.items() if value}]
    assert files["app-1.0-py3-none-any.whl"]["of_this_file"] is True
    assert files["app-1.0-py3-none-any.whl"]["reason"] == "nobody is here"
    assert not files["app-1.0.tar.gz"]["offered"]
    assert found["alarms"] == []


def test_the_report_marks_a_release_by_another_publisher_each_time_it_is_made(tmp_path: Path) -> None:
    with world() as index:
        project = mirror_folder(tmp_path / "project", index)
        project.mirrored("report")
        first = (project.folder / "report" / "provenance.json").read_bytes()
        assert json.loads(first)["totals"]["offered"] == 2
        assert project.doit("report").returncode == 0
        assert (project.folder / "report" / "provenance.json").read_bytes() == first
        filename, content = wheel("app", "1.1", requires=["lib-core>=1"], extras={"fast": ["speed"]})
        stolen = {"kind": "GitHub", "repository": "evil/app", "workflow": "release.yml"}
        index.add("app", filename, content, provenance=provenance(filename, content, stolen))
        for words in (["mirror", "report"], ["report"]):
            done = project.doit(*words)
            assert done.returncode == 0, done.stdout + done.stderr
            assert (
                "! app 1.1 (1 file) is published by GitHub (repository evil/app, workflow release.yml)" in done.stdout
            )
        page = (project.folder / "report" / "index.html").read_text(encoding="utf-8")
        assert "evil/app" in page
        assert "was not verified: " in page
        assert "the index does not say who published 5 of 7 files" in page


def test_where_it_cannot_be_asked_who_published_everything_else_is_done_and_it_is_told(tmp_path: Path) -> None:
    with world() as index:
        project = mirror_folder(tmp_path / "project", index)
        project.mirrored()
        index.fault("/provenance/app/*", "status", status=403)
        index.fault("/provenance/alone/*", "body", body=b'{"version": 7}', content_type="application/json")
        done = project.doit("provenance")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("who published could not be asked of") == 1
        index.mend()
        assert project.doit("provenance").returncode == 0
        assert told(project)["totals"]["unchecked"] == 0


def test_the_provenance_of_files_that_are_planned_no_more_is_pruned(tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, None)
    project.configure("https://index.example.com/simple/")
    mirror = Mirror(load(project.folder / "mirror.yaml"), lambda _: None)
    for sha256 in (SHA, "b" * 64):
        mirror.records.keep_provenance(sha256, broken())
    plan = Plan(({"name": "one"},), (), (PLANNED,), ())
    assert leftovers(mirror, [], [plan]) == [mirror.records.provenance_path("b" * 64)]


def test_the_provenance_of_one_file_in_the_place_of_anothers_is_none_of_it(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.keep_provenance(SHA, broken())
    shutil.copy(records.provenance_path(SHA), records.provenance_path("b" * 64))
    assert records.provenance(SHA) == broken()
    assert records.provenance("b" * 64) is None


def test_a_file_that_came_securely_has_no_provenance_that_did_not(tmp_path: Path) -> None:
    fetched = fetch_of(tmp_path, replace(FILE, provenance="http://index.example.com/p"))
    assert "PEP 740 wants a secure origin" in fetched.problems[SHA]


def test_a_page_of_the_network_names_no_file_of_this_machine_as_a_provenance(tmp_path: Path) -> None:
    fetched = fetch_of(tmp_path, replace(FILE, provenance="file:///etc/passwd"))
    assert "found a file of this machine" in fetched.problems[SHA]


def fetch_of(folder: Path, file: File) -> Provenance:
    project = mirror_folder(folder, None)
    project.configure("https://index.example.com/simple/")
    mirror = Mirror(load(project.folder / "mirror.yaml"), lambda _: None)
    with Upstream(mirror.config.indexes) as upstream:
        provenance = Provenance(mirror, upstream)
        provenance.fetch(replace(PLANNED, file=file))
    return provenance


# --- Verified by pypi-attestations


def test_without_pypi_attestations_nothing_is_verified_and_the_report_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypi_attestations", None)
    verdict = verifier().verdict(FILE.filename, SHA, bundles(provenance(FILE.filename, b"x"))[0])
    assert verdict.word == "not verified"
    assert "pypi-attestations" in verdict.reason


@pytest.fixture(scope="module")
def really_attested(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, dict[str, Any]]:
    """A file that was really published, and its provenance object: pypi-attestations brings them for its own tests."""
    pytest.importorskip("pypi_attestations")
    path = tmp_path_factory.mktemp("real") / "sdist.tar.gz"
    with Upstream(None) as upstream:
        page = upstream.page("pypi-attestations", None)
        assert page is not None
        project = parse_page(page.body, page.content_type, page.url, "pypi-attestations", page.index)
        (sdist,) = (one for one in project.files(Version("0.0.30")) if one.filename.endswith(".tar.gz"))
        upstream.download(sdist, path, lambda _: None)
    name = "pypi_attestations-0.0.19.tar.gz"
    with tarfile.open(path) as archive:
        file, found = (
            archive.extractfile(f"pypi_attestations-0.0.30/test/assets/{one}") for one in (name, f"{name}.provenance")
        )
        assert file is not None
        assert found is not None
        return name, hashlib.sha256(file.read()).hexdigest(), json.loads(found.read())


@pytest.mark.real_index
def test_what_was_really_attested_is_verified_offline(really_attested: tuple[str, str, dict[str, Any]]) -> None:
    name, sha256, value = really_attested
    (bundle,) = bundles(json.dumps(value).encode())
    assert bundle.publisher.shown == "GitHub (repository trailofbits/pypi-attestations, workflow release.yml)"
    judge = verifier()
    assert judge.verdict(name, sha256, bundle) == Verdict("verified")
    assert set(judge.tools) == {"pypi-attestations", "sigstore"}


@pytest.mark.real_index
@pytest.mark.parametrize(
    ("change", "word", "reason"),
    [
        (lambda value: value["publisher"].update(repository="evil/foo"), "failed", "OIDCSourceRepositoryURI"),
        (lambda value: value["attestations"][0]["envelope"].update(signature="AAAA"), "failed", "signature"),
        (lambda value: value["attestations"][0]["envelope"].update(signature=7), "failed", "it is no attestation"),
        (
            lambda value: value["attestations"][0]["verification_material"].update(certificate="AAAA"),
            "failed",
            "certificate",
        ),
        (lambda value: value["publisher"].update(kind="Unheard"), "not verified", "does not know a publisher of kind"),
    ],
)
def test_what_was_tampered_with_is_not_verified(
    really_attested: tuple[str, str, dict[str, Any]], change: Callable[[Any], None], word: str, reason: str
) -> None:
    name, sha256, value = really_attested
    value = json.loads(json.dumps(value))
    change(value["attestation_bundles"][0])
    verdict = verifier().verdict(name, sha256, bundles(json.dumps(value).encode())[0])
    assert verdict.word == word
    assert reason in verdict.reason


@pytest.mark.real_index
def test_the_attestation_of_another_file_is_not_verified(really_attested: tuple[str, str, dict[str, Any]]) -> None:
    name, _, value = really_attested
    assert verifier().verdict(name, SHA, bundles(json.dumps(value).encode())[0]).word == "failed"
