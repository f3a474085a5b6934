"""The last plan is that of this run as well where nothing that it was made from has changed; else it is made anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirror_tasks.tasks.last_plan import LastPlan
from mirror_tasks.tasks.tally import Tally
from tests.fake_index import JSON, FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import (
    DODO,
    IMPATIENT,
    NAMING,
    MirrorFolder,
    asked,
    assert_whole,
    mirror_folder,
    packages,
    small_world,
    tree,
)

# What a test may set: the day, and of which versions this program and a library that decides say that they are.
SETTABLE = """
import datetime, os
from importlib import metadata
from mirror_tasks.config import clock
from mirror_tasks.publish import pages

clock.today = lambda: datetime.date.fromisoformat(os.environ.get("TODAY", "2026-11-26"))
_made_by, _version = pages.made_by, metadata.version
pages.made_by = lambda: _made_by() + os.environ.get("PROGRAM", "")
metadata.version = lambda name: _version(name) + (os.environ.get("LIBRARY", "") if name == "nab-resolver" else "")
"""


TAKING_AWAY = """
from pathlib import Path
from mirror_tasks.work.project_pages import ProjectPages

_ask = ProjectPages.ask

def ask(self, names):
    Path(".mirror/plan.json").unlink(missing_ok=True)
    _ask(self, names)

ProjectPages.ask = ask
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path, index: FakeIndex) -> MirrorFolder:
    """A mirror that has been made, and an index that has not been asked for anything yet."""
    return made(tmp_path / "project", index)


def made(folder: Path, index: FakeIndex, **settings: Any) -> MirrorFolder:
    project = mirror_folder(folder, index, IMPATIENT + SETTABLE + DODO + NAMING, **settings)
    project.mirrored()
    index.requests.clear()
    return project


def grew(project: MirrorFolder, *arguments: str, fails: bool = False, **settings: str) -> bool:
    """Run `doit mirror`, or what is given; say if the plan was made anew: then the closure has grown from page to page."""
    (project.folder / "tasks.txt").unlink(missing_ok=True)
    done = project.doit(*(arguments or ("mirror",)), **settings)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    names = (project.folder / "tasks.txt").read_text().split()
    return any(name.startswith("project:") for name in names)


# --- Nothing has changed


def test_with_nothing_changed_no_plan_is_made_and_each_page_is_asked_for_once(
    project: MirrorFolder, index: FakeIndex
) -> None:
    passing = (".mirror/doit.db", ".mirror/run.lock", ".mirror.lock", "tasks.txt")
    before = {path: content for path, content in tree(project.folder).items() if path not in passing}
    assert not grew(project)
    assert asked(index, "/") == {f"/simple/{name}/": 1 for name in small_world()}
    assert {path: content for path, content in tree(project.folder).items() if path not in passing} == before


def test_a_run_that_makes_no_plan_says_what_one_says_that_does(tmp_path: Path, index: FakeIndex) -> None:
    project = made(tmp_path, index, requirements=["app[fast]", "absent; python_version > '4'", "alone"])
    again, anew = project.mirrored(), project.doit("-a", "mirror")
    assert again.stdout == anew.stdout
    assert "resolved: 4 projects" in again.stdout


def test_what_has_no_solution_fails_each_run_with_the_same_words(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING, requirements=["app>9", "alone"])
    first, second = project.doit("mirror"), project.doit("mirror")
    assert first.returncode == second.returncode != 0
    assert "app>9" in second.stdout
    assert [line for line in first.stdout.splitlines() if "download" not in line] == second.stdout.splitlines()


def test_the_bill_of_a_plan_that_stands_is_the_same(project: MirrorFolder) -> None:
    anew = project.doit("-a", "plan")
    assert not grew(project, "plan")
    assert project.doit("plan").stdout == anew.stdout


def test_the_bill_is_told_of_files_that_doit_remembers_nothing_of(project: MirrorFolder) -> None:
    """As after a run that was killed when it had fetched them."""
    before = project.doit("plan").stdout
    (project.state / "doit.db").unlink()
    assert grew(project, "plan")
    assert project.doit("plan").stdout == before


def test_a_project_that_no_index_has_keeps_no_plan_from_standing(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING, requirements=["needy", "alone"])
    index.add("needy", *wheel("needy", "1.0", requires=["absent; extra == 'more'"], extras={"more": ["absent"]}))
    project.configure(index.url, requirements=["needy[more]", "alone"])
    assert grew(project, fails=True)
    assert not grew(project, fails=True)
    index.add("absent", *wheel("absent", "1.0"))
    assert grew(project)
    assert "absent" in packages(project.output)


# --- What a plan is made from has changed


def a_page(project: MirrorFolder, index: FakeIndex) -> None:
    index.add("speed", *wheel("speed", "1.0"))


def a_page_of_a_project_whose_release_stays(project: MirrorFolder, index: FakeIndex) -> None:
    next(iter(index.projects["alone"].values())).requires_python = ">=3.1"
    index.changed()


def the_configuration(project: MirrorFolder, index: FakeIndex) -> None:
    project.configure(index.url, wheels="best")


def the_url_of_the_index(project: MirrorFolder, index: FakeIndex) -> None:
    project.configure(index.url.replace("127.0.0.1", "localhost"))


def metadata_removed(project: MirrorFolder, index: FakeIndex) -> None:
    next((project.state / "metadata").iterdir()).unlink()


def metadata_that_is_garbage(project: MirrorFolder, index: FakeIndex) -> None:
    next((project.state / "metadata").iterdir()).write_text("garbage")


def metadata_added(project: MirrorFolder, index: FakeIndex) -> None:
    one = next((project.state / "metadata").iterdir())
    shutil.copy(one, one.with_name("speed-9.0-py3-none-any.whl.json"))


def the_solutions(project: MirrorFolder, index: FakeIndex) -> None:
    (project.state / "solutions.json").write_text("garbage")


def the_fingerprints(project: MirrorFolder, index: FakeIndex) -> None:
    (project.state / "fingerprints.jsonl").write_text("garbage")


def the_plan_itself(project: MirrorFolder, index: FakeIndex) -> None:
    plan = project.state / "plan.json"
    plan.write_bytes(plan.read_bytes().replace(b"alone-3.0", b"alone-3.1"))


def no_plan(project: MirrorFolder, index: FakeIndex) -> None:
    assert project.doit("clean", "plan").returncode == 0
    assert not (project.state / "plan.json").exists()


def what_doit_remembers(project: MirrorFolder, index: FakeIndex) -> None:
    (project.state / "doit.db").unlink()


def metadata_cleaned(project: MirrorFolder, index: FakeIndex) -> None:
    assert project.doit("clean", "metadata:alone-3.0-py3-none-any.whl").returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        a_page,
        a_page_of_a_project_whose_release_stays,
        the_configuration,
        the_url_of_the_index,
        metadata_removed,
        metadata_that_is_garbage,
        metadata_added,
        metadata_cleaned,
        the_solutions,
        the_fingerprints,
        the_plan_itself,
        no_plan,
        what_doit_remembers,
    ],
    ids=lambda change: str(change.__name__),
)
def test_a_change_of_what_a_plan_is_made_from_makes_it_anew_and_once(
    project: MirrorFolder, index: FakeIndex, change: Callable[[MirrorFolder, FakeIndex], None]
) -> None:
    change(project, index)
    index.requests.clear()
    assert grew(project)
    assert set(asked(index, "/simple/").values()) == {1}, "no page is asked for twice in a run"
    assert_whole(project.output)
    plan = (project.state / "plan.json").read_bytes()
    assert not grew(project)
    assert grew(project, "-a", "mirror")
    assert (project.state / "plan.json").read_bytes() == plan


@pytest.mark.parametrize("kind", ["metadata", "solutions.json", "fingerprints.jsonl"])
def test_a_record_that_is_another_makes_the_plan_anew_though_its_size_and_time_were_set_back(
    tmp_path: Path, index: FakeIndex, kind: str
) -> None:
    index.add("alone", *wheel("alone", "4.0"), sha256=None)
    project = made(tmp_path, index)
    path = project.state / kind
    path = next(path.glob("app-1.0-*")) if path.is_dir() else path
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"a", b"b", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert grew(project)


@pytest.mark.parametrize("damage", ["altered", "altered and its time set back", "cut", "gone", "a folder"])
def test_a_record_of_a_release_that_somebody_touched_is_right_again_after_the_next_run(
    project: MirrorFolder, damage: str
) -> None:
    record = project.state / "releases" / "alone-3.0.json"
    before, status = record.read_bytes(), record.stat()
    record.unlink()
    if damage.startswith("altered"):
        record.write_bytes(before.replace(b"alone", b"alien"))
    if damage == "altered and its time set back":
        os.utime(record, ns=(status.st_atime_ns, status.st_mtime_ns))
    if damage == "cut":
        record.write_bytes(before[:100])
    if damage == "a folder":
        record.mkdir()
    names = tasks_of(project)
    assert record.read_bytes() == before
    assert "release:alone-3.0" in names
    assert "release:app-1.0" not in names
    assert "release:alone-3.0" not in tasks_of(project)


def tasks_of(project: MirrorFolder) -> list[str]:
    """Run `doit mirror`, and return which tasks it had."""
    assert not grew(project)
    return (project.folder / "tasks.txt").read_text().split()


def test_another_program_or_library_makes_the_plan_anew(project: MirrorFolder) -> None:
    assert grew(project, PROGRAM="2")
    assert not grew(project, PROGRAM="2")
    assert grew(project, PROGRAM="2", LIBRARY="2")
    assert not grew(project, PROGRAM="2", LIBRARY="2")


@pytest.mark.parametrize("settings", [{}, {"refresh": "1d"}])
def test_a_record_of_a_page_in_the_place_of_another_is_no_page_of_it(
    tmp_path: Path, index: FakeIndex, settings: dict[str, str]
) -> None:
    """It is whole, and young enough to be trusted: files of one project were published as those of another."""
    project = made(tmp_path, index, **settings)
    before, pages = tree(project.output), project.state / "projects"
    right = (pages / "lib-core.page").read_bytes()
    shutil.copy(pages / "alone.page", pages / "lib-core.page")
    project.mirrored()
    assert tree(project.output) == before
    assert (pages / "lib-core.page").read_bytes() == right


@pytest.mark.parametrize("what", ["--all", "plan"])
def test_who_has_doit_forget_the_plan_has_it_made_anew(project: MirrorFolder, what: str) -> None:
    for _ in range(2):
        assert project.doit("forget", what).returncode == 0
        assert grew(project)
        assert not grew(project)


def test_a_page_that_was_cleaned_comes_again_and_the_plan_stands_if_it_is_the_same(
    project: MirrorFolder, index: FakeIndex
) -> None:
    page = project.state / "projects" / "alone.page"
    before = page.read_bytes()
    assert project.doit("clean", "project:alone").returncode == 0
    assert not page.exists()
    assert not grew(project)
    assert page.read_bytes() == before


def test_a_record_of_a_page_that_is_damaged_is_mended_though_the_plan_stands(project: MirrorFolder) -> None:
    page = project.state / "projects" / "alone.page"
    before = page.read_bytes()
    page.write_bytes(before[:-20] + b"garbage" + before[-13:])
    project.mirrored()
    assert page.read_bytes() == before


def test_another_index_in_the_settings_of_pip_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING)
    config = project.folder / "mirror.yaml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("index")))
    assert grew(project, PIP_INDEX_URL=index.url)
    assert not grew(project, PIP_INDEX_URL=index.url)
    with FakeIndex(small_world()) as other:
        assert grew(project, PIP_INDEX_URL=other.url)
        assert other.url.removesuffix("simple/") in (project.state / "plan.json").read_text()


def test_pages_that_are_trusted_for_a_while_are_those_of_the_index_that_pip_uses_now(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING, refresh="1d")
    config = project.folder / "mirror.yaml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("index")))
    assert grew(project, PIP_INDEX_URL=index.url)
    index.requests.clear()
    assert not grew(project, PIP_INDEX_URL=index.url)
    assert not asked(index, "/")
    with FakeIndex(small_world()) as other:
        assert grew(project, PIP_INDEX_URL=other.url)
        assert index.origin not in (project.state / "plan.json").read_text()


def test_a_variable_in_the_configuration_that_changes_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING)
    project.configure("${WHERE}/simple/")
    assert grew(project, WHERE=index.origin)
    assert not grew(project, WHERE=index.origin)
    with FakeIndex(small_world()) as other:
        assert grew(project, WHERE=other.origin)


def test_a_plan_that_is_taken_away_while_pages_are_asked_for_is_made_anew(project: MirrorFolder) -> None:
    """Nothing may be published then as if nothing was planned."""
    before = tree(project.output)
    dodo = project.folder / "dodo.py"
    dodo.write_text(TAKING_AWAY + dodo.read_text())
    assert grew(project)
    assert tree(project.output) == before


# --- Files that the configuration names


def test_a_changed_requirements_file_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    (tmp_path / "requirements.txt").write_text("alone\n")
    project = made(tmp_path, index, requirements=[{"file": "requirements.txt"}])
    assert not grew(project)
    (tmp_path / "requirements.txt").write_text("alone\nspeed\n")
    assert grew(project)
    assert "speed" in packages(project.output)


def test_a_changed_project_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    text = '[project]\nname = "ours"\nversion = "1"\ndependencies = ["alone"%s]\n[build-system]\nrequires = []\n'
    (tmp_path / "pyproject.toml").write_text(text % "")
    project = made(tmp_path, index, requirements=[{"project": "pyproject.toml"}])
    assert not grew(project)
    (tmp_path / "pyproject.toml").write_text(text % ', "speed"')
    assert grew(project)
    assert "speed" in packages(project.output)


def test_a_changed_lock_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    def lock(version: str) -> None:
        name, _ = next(one for one in small_world()["lib-core"] if f"-{version}-" in one[0])
        sha256 = index.projects["lib-core"][name].sha256
        (tmp_path / "pylock.toml").write_text(
            'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "lib-core"\n'
            f'version = "{version}"\n[[packages.wheels]]\nname = "{name}"\nurl = "https://index.example.com/{name}"\n'
            f'hashes = {{sha256 = "{sha256}"}}\n'
        )

    lock("1.0")
    project = made(tmp_path, index, requirements=[{"lock": "pylock.toml"}])
    assert not grew(project)
    lock("1.1")
    assert grew(project)
    assert packages(project.output)["lib-core"] == ["lib_core-1.0-py3-none-any.whl", "lib_core-1.1-py3-none-any.whl"]


def test_a_changed_wheel_of_ones_own_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    (tmp_path / "dist").mkdir()
    name, content = wheel("ours", "1.0", requires=["alone"])
    (tmp_path / "dist" / name).write_bytes(content)
    project = made(tmp_path, index, requirements=[{"wheels": "dist/"}], accept_changed=["ours"])
    assert not grew(project)
    (tmp_path / "dist" / name).write_bytes(wheel("ours", "1.0", requires=["speed"])[1])
    assert grew(project)
    assert "speed" in packages(project.output)
    newer, content = wheel("ours", "1.1")
    (tmp_path / "dist" / newer).write_bytes(content)
    assert grew(project)
    assert not grew(project)


def test_a_file_without_a_hash_that_may_change_is_looked_at_in_each_run(tmp_path: Path, index: FakeIndex) -> None:
    index.add("odd", *wheel("odd", "1.0"), sha256=None, sidecar=None, size=None)
    project = made(tmp_path, index, requirements=["odd"], accept_changed=["odd"])
    page = index.page("odd", JSON)
    index.add("odd", *wheel("odd", "1.0", requires=["alone"]), sha256=None, sidecar=None, size=None)
    assert index.page("odd", JSON) == page
    assert grew(project)
    assert "alone" in packages(project.output)


# --- Time, and what is judged by it


def test_without_a_rule_that_knows_days_a_plan_stands_on_another_day(project: MirrorFolder) -> None:
    assert not grew(project, TODAY="2027-03-01")


def test_with_a_policy_the_plan_is_made_anew_on_another_day(tmp_path: Path, index: FakeIndex) -> None:
    name, content = wheel("alone", "4.0")
    index.add("alone", name, content, upload_time="2026-11-20T00:00:00Z")
    project = made(tmp_path, index, requirements=["alone"], policy={"cooldown": "14d"})
    assert not grew(project)
    assert grew(project, TODAY="2026-11-27")
    assert grew(project, TODAY="2026-12-05")
    assert name in packages(project.output)["alone"]


def test_a_day_to_judge_as_of_makes_the_plan_anew_and_is_another_than_today(tmp_path: Path, index: FakeIndex) -> None:
    project = made(tmp_path, index, requirements=["alone"])
    assert grew(project, "mirror", "--as-of", "2026-11-26")
    assert not grew(project, "mirror", "--as-of", "2026-11-26")
    assert grew(project, "mirror", "--as-of", "2026-11-25")
    assert grew(project)
    project.configure(index.url, requirements=["alone"], policy={"exclude": ["none-of-these"]})
    assert grew(project)
    assert grew(project, "mirror", "--as-of", "2026-11-26"), "what is refused is then told in other words"


def test_a_newer_dump_of_advisories_makes_the_plan_anew(tmp_path: Path, index: FakeIndex) -> None:
    def dump(*affected: str) -> None:
        (tmp_path / "osv").mkdir(exist_ok=True)
        for number, name in enumerate(affected):
            package = {"ecosystem": "PyPI", "name": name}
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
            record = {
                "id": f"GHSA-aaaa-bbbb-ccc{number}",
                "modified": "2026-11-01T00:00:00Z",
                "affected": [{"package": package, "ranges": ranges}],
                "database_specific": {"severity": "HIGH"},
            }
            (tmp_path / "osv" / f"{record['id']}.json").write_text(json.dumps(record))

    dump("sourced")
    policy = {"advisories": {"from": "osv", "refuse": "high"}}
    project = made(tmp_path, index, requirements=["speed"], policy=policy)
    assert not grew(project)
    dump("sourced", "unknown")
    assert grew(project)


def test_what_indexes_say_of_releases_is_asked_in_each_run_so_that_the_plan_is_made_anew(
    tmp_path: Path, index: FakeIndex
) -> None:
    index.vulnerabilities = {"alone": {"3.0": []}}
    project = made(tmp_path, index, requirements=["alone"], policy={"advisories": {"from": "index", "refuse": "high"}})
    assert grew(project)
    assert grew(project)


# --- What is kept beside the plan


def test_a_kept_file_that_is_gone_makes_the_plan_anew_and_is_told(tmp_path: Path, index: FakeIndex) -> None:
    project = made(tmp_path, index, requirements=["alone"], transfer={"keep": "90d"})
    index.add("alone", *wheel("alone", "4.0"))
    assert grew(project)
    assert not grew(project)
    kept = project.output / "packages" / "alone" / "alone-3.0-py3-none-any.whl"
    assert kept.exists()
    kept.unlink()
    assert grew(project)
    assert "alone-3.0" not in (project.state / "plan.json").read_text().partition('"files"')[2]


def test_what_is_kept_for_some_days_is_due_in_spite_of_a_plan_that_stood(tmp_path: Path, index: FakeIndex) -> None:
    project = made(tmp_path, index, requirements=["alone"], transfer={"keep": "90d"})
    index.add("alone", *wheel("alone", "4.0"))
    assert grew(project)
    assert '"alone-3.0-' in (project.state / "plan.json").read_text()
    assert grew(project, TODAY="2027-04-01")
    assert json.loads((project.state / "plan.json").read_text())["kept"] == []


def test_what_left_the_plan_is_kept_though_it_left_in_a_plan_that_was_not_published(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = made(tmp_path, index, requirements=["alone"], transfer={"keep": "90d"})
    index.add("alone", *wheel("alone", "4.0"))
    assert grew(project, "plan")
    assert grew(project, "plan"), "it is not published yet"
    assert grew(project)
    assert len(json.loads((project.state / "plan.json").read_text())["kept"]) == 1


# --- Failures


def test_an_index_that_is_not_there_is_not_waited_for_with_each_page_of_the_last_plan(
    tmp_path: Path, index: FakeIndex
) -> None:
    names = [f"n{number:02}" for number in range(30)]
    index.add("needy", *wheel("needy", "1.0", requires=names))
    for name in names:
        index.add(name, *wheel(name, "1.0"))
    project = made(tmp_path, index, requirements=["needy"], workers=1)
    index.fault("/simple/*", "status", status=403)
    assert grew(project, fails=True)
    assert asked(index, "/simple/") == {"/simple/n00/": 1, "/simple/needy/": 1}


def test_no_share_that_was_under_way_makes_forget_that_a_page_could_not_be_had() -> None:
    asked: list[str] = []
    workshop: Any = SimpleNamespace(tools=SimpleNamespace(acquire=SimpleNamespace(pages=SimpleNamespace())))
    nothing: Any = None
    last = LastPlan(nothing, workshop, nothing, nothing, Tally(), lambda: "", does_all_again=False)

    def ask(names: Sequence[str]) -> None:
        asked.extend(names)
        if names == ["slow"]:
            last._ask(["refused"])  # begins later, and has ended before

    pages = workshop.tools.acquire.pages
    pages.ask, pages.have_answered = ask, lambda names: names != ["refused"]
    for name in ("slow", "further"):
        last._ask([name])
    assert asked == ["slow", "refused"]


def test_a_page_that_can_not_be_had_is_told_though_nothing_was_changed(project: MirrorFolder, index: FakeIndex) -> None:
    index.fault("/simple/speed/", "status", status=403)
    assert grew(project, fails=True)
    assert asked(index, "/simple/")["/simple/speed/"] == 1
    index.mend()
    assert grew(project), "the last plan lacks something"
    assert not grew(project)


def test_a_project_that_vanished_is_told_though_nothing_else_was_changed(
    project: MirrorFolder, index: FakeIndex
) -> None:
    del index.projects["speed"]
    assert grew(project, fails=True)
    assert grew(project, fails=True)


def test_a_search_that_took_too_long_is_made_anew_in_the_next_run(tmp_path: Path, index: FakeIndex) -> None:
    """The machine was busy, or asleep."""
    busy = """
import os
from mirror_tasks.resolve import search, solver

if "BUSY" in os.environ:
    solver.LIMITS = search.Limits(seconds=-1)
    solver.Solver._agreeing = lambda *given: None  # what needs no search is searched for, too
"""
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + busy + DODO + NAMING, requirements=["app"])
    assert grew(project, fails=True, BUSY="1")
    assert grew(project)
    assert not grew(project)


def test_an_error_that_nobody_foresaw_is_told_in_each_run(tmp_path: Path, index: FakeIndex) -> None:
    broken = "from mirror_tasks.resolve import completion\ncompletion.Solver.solve = lambda *given: 1 / 0\n"
    project = mirror_folder(tmp_path, index, IMPATIENT + broken + DODO + NAMING, requirements=["alone"])
    for _ in range(2):
        done = project.doit("mirror")
        assert done.returncode != 0
        assert "ZeroDivisionError" in done.stdout


def test_a_sdist_that_could_not_be_read_is_tried_in_each_run(tmp_path: Path, index: FakeIndex) -> None:
    index.add("broken", *sdist("broken", "1.0"))
    index.fault("/files/broken/*", "status", status=403)
    project = mirror_folder(tmp_path, index, IMPATIENT + SETTABLE + DODO + NAMING, requirements=["broken"])
    assert grew(project, fails=True)
    index.mend()
    assert grew(project)
    assert not grew(project)


def test_list_shows_what_it_showed_after_a_run_that_made_no_plan(project: MirrorFolder) -> None:
    before = project.doit("list", "--all", "-s").stdout
    assert not grew(project)
    assert project.doit("list", "--all", "-s").stdout == before
    assert os.path.exists(project.state / "plan.json")
