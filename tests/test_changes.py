"""What changed is told by project, requirement, licence and advisory, against whatever is known of before."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from pathlib import Path

import pytest

from mirror_tasks.report.changes import NOTHING, Base, Changes, changes_json, changes_md, compare
from mirror_tasks.report.comparing import Comparing
from mirror_tasks.report.snapshot import Finding, Snapshot, snapshot, snapshot_of_files
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.tasks.verbs.making import patience
from mirror_tasks.transfer.bases import newest_inside
from mirror_tasks.transfer.sendings import Sendings, Sent, Written
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import mirror_folder, small_world
from tests.plans import plan_of, planned

OLD = plan_of(
    planned("requests", "2.31"),
    planned("idna", "3.4", size=60_000),
    planned("left", "1.0"),
    planned("numpy", "2.0"),
    roots=["requests>=2.24", "left"],
    lines=[("lab.txt", "numpy<3", "numpy")],
)
NEW = plan_of(
    planned("requests", "2.32"),
    planned("idna", "3.4", size=60_000),
    planned("numpy", "2.0", content="altered"),
    planned("rich", "14.0"),
    roots=["requests>=2.24", "rich"],
    lines=[("lab.txt", "numpy<4", "numpy")],
)


def since(before: Snapshot, after: Snapshot) -> Changes:
    return compare(Base("plan", "plan.json", before), after)


def test_projects_are_new_gone_or_changed_with_their_files() -> None:
    found = since(snapshot(OLD), snapshot(NEW))
    assert [(one.project, one.kind, one.before, one.after) for one in found.projects] == [
        ("left", "gone", ("1.0",), ()),
        ("numpy", "changed", ("2.0",), ("2.0",)),
        ("requests", "changed", ("2.31",), ("2.32",)),
        ("rich", "new", (), ("14.0",)),
    ]
    assert [file.filename for file in found.new_files] == [
        "requests-2.32-py3-none-any.whl",
        "rich-14.0-py3-none-any.whl",
    ]
    assert [file.filename for file in found.gone_files] == [
        "left-1.0-py3-none-any.whl",
        "requests-2.31-py3-none-any.whl",
    ]


def test_other_content_under_the_same_name_is_told_by_itself() -> None:
    found = since(snapshot(OLD), snapshot(NEW))
    assert [file.filename for file in found.altered_files] == ["numpy-2.0-py3-none-any.whl"]
    assert "1 file of other content" in found.sentence


def test_requirements_that_changed_are_told_by_root() -> None:
    found = since(snapshot(OLD), snapshot(NEW))
    assert [(one.root, one.kind, one.gone, one.new) for one in found.roots] == [
        ("lab.txt", "changed", ("numpy<3",), ("numpy<4",)),
        ("left", "gone", ("left",), ()),
        ("rich", "new", (), ("rich",)),
    ]


def test_licences_and_advisories_are_compared_where_both_are_known() -> None:
    hole, mended = Finding("GHSA-1", "high"), Finding("GHSA-2", "low")
    before = snapshot(OLD, {("idna", "3.4"): "BSD-3-Clause", ("left", "1.0"): "MIT"}, {("requests", "2.31"): (mended,)})
    after = snapshot(NEW, {("idna", "3.4"): "MIT", ("rich", "14.0"): "MIT"}, {("idna", "3.4"): (hole,)})
    found = since(before, after)
    assert [(one.project, one.before, one.after) for one in found.licences] == [("idna", ("BSD-3-Clause",), ("MIT",))]
    assert [(one.id, one.kind, one.project, one.versions) for one in found.advisories] == [
        ("GHSA-1", "came", "idna", ("3.4",)),
        ("GHSA-2", "went", "requests", ("2.31",)),
    ]
    unknown = since(snapshot(OLD), after)
    assert unknown.not_compared == ("licences", "advisories")
    assert (unknown.licences, unknown.advisories) == ((), ())


def test_an_advisory_that_stays_through_an_update_neither_came_nor_went() -> None:
    hole = Finding("GHSA-1", "high")
    found = since(
        snapshot(OLD, None, {("requests", "2.31"): (hole,)}), snapshot(NEW, None, {("requests", "2.32"): (hole,)})
    )
    assert found.advisories == ()


def test_a_first_report_says_that_everything_is_new() -> None:
    found = compare(NOTHING, snapshot(NEW))
    assert found.is_first
    assert found.sentence == "everything is new: 4 projects, 4 releases, 4 files, 63.0 kB"
    assert found.not_compared == ()


def test_nothing_changed_is_said_in_so_many_words() -> None:
    found = since(snapshot(NEW), snapshot(NEW))
    assert not found
    assert found.sentence == "nothing changed"


def test_files_of_a_bundle_compare_by_their_paths_alone() -> None:
    inside = snapshot_of_files(
        [
            ("packages/requests/requests-2.31-py3-none-any.whl", "0" * 64, 1000),
            ("packages/requests/requests-2.31-py3-none-any.whl.metadata", "1" * 64, 10),
            ("packages/old/old-1.0.tar.gz", "2" * 64, 10),
            ("simple/requests/index.html", "3" * 64, 10),
        ],
        without=frozenset(["old-1.0.tar.gz"]),
    )
    found = since(inside, snapshot(plan_of(planned("requests", "2.32"), roots=["requests"]), {}, {}))
    assert [(one.project, one.before, one.after) for one in found.projects] == [("requests", ("2.31",), ("2.32",))]
    assert found.not_compared == ("requirements", "licences", "advisories")


def test_a_snapshot_is_read_back_as_it_was() -> None:
    one = snapshot(NEW, {("idna", "3.4"): "MIT"}, {("idna", "3.4"): (Finding("GHSA-1", "high"),), ("rich", "14.0"): ()})
    assert Snapshot.from_bytes(one.to_bytes()) == one


def test_what_is_written_for_programs_and_for_people_is_the_same_each_time() -> None:
    first, second = (since(snapshot(OLD), snapshot(NEW)) for _ in range(2))
    assert changes_json(first) == changes_json(second)
    assert changes_md(first) == changes_md(second)
    document = json.loads(changes_json(first))
    assert document["since"]["name"] == "plan.json"
    assert [one["project"] for one in document["projects"]] == ["left", "numpy", "requests", "rich"]


def test_text_from_outside_is_no_markup_in_markdown() -> None:
    evil = "MIT | x\n# <b>[a](b)"
    found = since(snapshot(OLD, {("idna", "3.4"): "MIT"}, {}), snapshot(NEW, {("idna", "3.4"): evil}, {}))
    text = changes_md(found).decode()
    assert r"MIT \| x \# \<b\>\[a\]\(b\)" in text
    assert "\n# <b>" not in text


# --- With what a report is compared


def test_a_report_is_compared_with_the_one_before(tmp_path: Path) -> None:
    comparing = Comparing(tmp_path)
    old, new = snapshot(OLD), snapshot(NEW)
    assert comparing.base(old, lambda: None) == NOTHING
    comparing.keep(old, NOTHING)
    base = comparing.base(new, lambda: None)
    assert (base.kind, base.snapshot) == ("report", old)


def test_a_report_of_the_same_is_compared_with_the_same_whatever_was_sent_since(tmp_path: Path) -> None:
    comparing = Comparing(tmp_path)
    old, new = snapshot(OLD), snapshot(NEW)
    comparing.keep(old, NOTHING)
    comparing.keep(new, comparing.base(new, lambda: None))
    again = comparing.base(new, lambda: Base("inside", "bundle main-1", new))
    assert (again.kind, again.snapshot) == ("report", old)


def test_what_is_inside_goes_before_the_last_report(tmp_path: Path) -> None:
    comparing = Comparing(tmp_path)
    old, new = snapshot(OLD), snapshot(NEW)
    comparing.keep(old, NOTHING)
    inside = Base("inside", "bundle main-1", old)
    assert comparing.base(new, lambda: inside) == inside


@pytest.mark.parametrize("name", ["last.json", "base.json", "compared.json"])
def test_what_is_kept_and_was_altered_is_as_good_as_gone(tmp_path: Path, name: str) -> None:
    comparing = Comparing(tmp_path)
    old, new = snapshot(OLD), snapshot(NEW)
    comparing.keep(new, Base("report", "the report before", old))
    (tmp_path / "report" / name).write_bytes(b"{}")
    inside = Base("inside", "bundle main-1", old)
    assert comparing.base(new, lambda: inside) == inside


# --- What is inside


def test_a_receipt_says_what_is_inside_before_it_was_taken_in(tmp_path: Path) -> None:
    sendings, receipt = Sendings(tmp_path, "main"), tmp_path / "receipt.json"
    for number in (1, 2):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        written = Written(sequence=number, manifest=digest, volume=None, volumes=1, finished=(1,))
        sendings.begin(written, str(number).encode())
    sent = Sent(sequence=1, manifest=hashlib.sha256(b"1").hexdigest(), how="sent")
    sendings.keep_sent(sent)
    assert newest_inside(sendings, receipt, "main") == sent
    streams = {"main": {"sequence": 2, "manifest": hashlib.sha256(b"2").hexdigest()}}
    told = {"format": 1, "made": "2026-11-26T12:00:00Z", "own": [], "wanted": [], "streams": streams}
    receipt.write_text(json.dumps(told))
    found = newest_inside(sendings, receipt, "main")
    assert found is not None
    assert (found.sequence, found.how) == (2, "receipt")
    assert sendings.sent() == sent, "looking takes nothing in"
    streams["main"]["manifest"] = "0" * 64
    receipt.write_text(json.dumps(told))
    assert newest_inside(sendings, receipt, "main") == sent, "a bundle that was not made here says nothing"
    receipt.write_text("no receipt")
    assert newest_inside(sendings, receipt, "main") == sent


# --- The verb


class AtOnce(threading.Timer):
    """A timer for which no time passes."""

    def start(self) -> None:
        self.function()

    def join(self, timeout: float | None = None) -> None:
        pass


def test_what_takes_long_is_said_where_programs_do_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "Timer", AtOnce)
    with patience("looking at 3 releases"):
        pass
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.strip() == "looking at 3 releases …"


def test_what_takes_very_long_is_told_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 101.0, 109.9, 110.0, 110.0, 119.0])
    monkeypatch.setattr(threading, "Timer", AtOnce)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with patience("proving") as now:
        for count in range(1, 5):
            now(f"proving by uv: {count} done")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["proving …", "proving by uv: 3 done …"]


def test_the_verb_compares_with_what_was_sent_also_after_a_report_of_the_same(tmp_path: Path) -> None:
    """After a first report it said that everything is new, though all of it had been carried inside."""
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path / "project", index, transfer={"sign": "none"})
        for arguments in (["mirror"], ["report"], ["bundle", "--unproven"], ["bundle", "--sent", "1"]):
            done = project.doit(*arguments)
            assert done.returncode == 0, done.stdout
        told = project.doit("changes").stdout
    assert told.startswith("Compared with bundle main-1, which was marked as sent: nothing changed."), told


def test_the_verb_tells_what_the_newest_plan_changes_and_since_which(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path / "project", index)
        assert "Run `doit plan` first" in project.doit("changes").stdout
        assert project.doit("plan").returncode == 0
        first = project.doit("changes")
        assert "everything is new: 5 projects" in first.stdout
        shutil.copy(project.state / "plan.json", project.folder / "earlier.json")
        index.add("alone", *wheel("alone", "3.1"))
        assert project.doit("plan").returncode == 0
        told = project.doit("changes", "--since", "earlier.json", COLUMNS="80")
        assert "Compared with earlier.json: 1 project changed; 1 file new" in told.stdout
        assert max(map(len, told.stdout.splitlines())) <= 90
        document = json.loads(project.doit("changes", "--since", "earlier.json", "--format", "json").stdout)
        assert document["projects"][0]["after"] == ["3.1"]
        earlier = Plan.from_bytes((project.folder / "earlier.json").read_bytes())
        assert document["since"]["plan"] == snapshot(earlier).plan
    wrong = project.doit("changes", "--since", "mirror.yaml")
    assert wrong.returncode != 0
    assert "expected a plan" in wrong.stdout
    assert "Traceback" not in wrong.stdout
