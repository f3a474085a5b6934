"""What `doit mirror` and the everyday verbs promise, shown by real runs against an index of this machine."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pypi_simple import ProjectPage

from mirror_tasks import tasks
from mirror_tasks.publish.server import PROGRAMS
from tests.fake_index import HTML, HTML_V1, FakeIndex, Request
from tests.making import wheel
from tests.mirroring import (
    FORMS,
    MIRRORED,
    REPOSITORY,
    Example,
    MirrorFolder,
    asked,
    assert_valid,
    assert_whole,
    command,
    doit,
    example_mirror,
    mirror_folder,
    packages,
    run_environment,
    small_world,
    times,
    tree,
)

APP, ALONE, LIB = "app-1.0-py3-none-any.whl", "alone-3.0-py3-none-any.whl", "lib_core-1.1-py3-none-any.whl"


@dataclass(frozen=True)
class Mirrored:
    """A mirror made once, for the tests that only look at it."""

    project: MirrorFolder
    done: subprocess.CompletedProcess[str]
    requests: dict[str, int]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirrored]:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path_factory.mktemp("first"), index)
        done = doit(project.folder, "mirror")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Mirrored(project, done, dict(index.requests))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    with example_mirror(tmp_path_factory.mktemp("example")) as example:
        yield example


@pytest.fixture
def index(example: Example) -> Iterator[FakeIndex]:
    with FakeIndex(small_world(), port=example.port) as index:
        yield index


@pytest.fixture
def project(tmp_path: Path, index: FakeIndex, example: Example) -> MirrorFolder:
    """A mirror that has been made, and an index that has not been asked for anything yet."""
    return example.copy(tmp_path / "project")


def assert_no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr


def last_lines(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout[done.stdout.index("FAILED ") :]


# --- A first mirror


def test_a_first_mirror_has_the_files_of_every_environment(first: Mirrored) -> None:
    assert packages(first.project.output) == MIRRORED


def test_a_mirror_has_the_promised_layout_and_nothing_else(first: Mirrored) -> None:
    pages = {f"{name}{ending}" for name in FORMS for ending in ("", ".gz")}
    expected = {"server.py", "receive.py", "mirror.json", "SHA256SUMS"} | {f"simple/{page}" for page in pages}
    for name, filenames in MIRRORED.items():
        expected |= {f"simple/{name}/{page}" for page in pages}
        expected |= {f"packages/{name}/{filename}" for filename in filenames}
        expected |= {f"packages/{name}/{filename}.metadata" for filename in filenames if filename.endswith(".whl")}
    # Beside what installers read there are pages for people, which have tests of their own.
    for_people = {path for path in tree(first.project.output) if re.match(r"index\.html|project/|site/", path)}
    assert set(tree(first.project.output)) - for_people == expected


def test_sha256sums_names_every_file_rightly(first: Mirrored) -> None:
    assert_whole(first.project.output)


def test_the_bytes_are_those_of_the_index(first: Mirrored) -> None:
    upstream = {filename: content for files in small_world().values() for filename, content in files}
    for name, filenames in MIRRORED.items():
        for filename in filenames:
            assert (first.project.output / "packages" / name / filename).read_bytes() == upstream[filename]


@pytest.mark.parametrize("name", MIRRORED)
def test_both_formats_are_read_by_somebody_elses_parser_alike(first: Mirrored, name: str) -> None:
    folder = first.project.output / "simple" / name
    base = f"http://mirror.example.com/simple/{name}/"
    pages = [
        ProjectPage.from_json_data(json.loads((folder / "index.v1_json").read_bytes()), base_url=base),
        ProjectPage.from_html(name, (folder / "index.html").read_text(encoding="utf-8"), base_url=base),
        ProjectPage.from_html(name, (folder / "index.v1_html").read_text(encoding="utf-8"), base_url=base),
    ]
    read = [
        [
            (one.filename, one.url.partition("#")[0], one.digests, one.requires_python, one.is_yanked)
            for one in page.packages
        ]
        for page in pages
    ]
    assert read[0] == read[1] == read[2]
    assert [filename for filename, *_ in read[0]] == MIRRORED[name]
    metadata = [[one.metadata_digests for one in page.packages] for page in pages]
    assert metadata[0] == metadata[1] == metadata[2]


class Anchors(HTMLParser):
    """The links of a page as the plainest client sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts and data.strip():
            self.texts[-1] += data.strip()


def test_the_root_page_leads_to_every_file_by_relative_links(first: Mirrored) -> None:
    def read(page: Path) -> Anchors:
        anchors = Anchors()
        anchors.feed(page.read_text(encoding="utf-8"))
        return anchors

    simple = first.project.output / "simple"
    root = read(simple / "index.html")
    assert root.texts == list(MIRRORED)
    for link in root.links:
        page = read(simple / link / "index.html")
        assert page.texts == MIRRORED[link.strip("/")]
        for text, target in zip(page.texts, page.links, strict=True):
            path = (simple / link / target.partition("#")[0]).resolve()
            assert path == first.project.output / "packages" / link.strip("/") / text
            assert path.is_file()


def test_the_metadata_beside_a_wheel_is_the_one_in_it(first: Mirrored) -> None:
    assert_valid(first.project.output)
    upstream = FakeIndex(small_world()).projects
    for path in first.project.output.glob("packages/*/*.whl"):
        beside = path.with_name(f"{path.name}.metadata")
        assert beside.read_bytes() == upstream[path.parent.name][path.name].sidecar


def test_no_file_is_asked_for_twice_in_a_first_run(first: Mirrored) -> None:
    assert set(first.requests.values()) == {1}, first.requests


def test_the_output_says_nothing_of_this_machine_or_of_the_index(first: Mirrored) -> None:
    text = {path: content for path, content in tree(first.project.output).items() if not path.startswith("packages")}
    for path, content in text.items():
        if path not in PROGRAMS and not path.endswith(".gz"):
            assert b"127.0.0.1" not in content, path
            assert str(first.project.folder).encode() not in content, path


def test_mirror_json_says_what_is_there(first: Mirrored) -> None:
    summary = json.loads((first.project.output / "mirror.json").read_bytes())
    size = sum(path.stat().st_size for path in first.project.output.glob("packages/*/*") if path.suffix != ".metadata")
    files = sum(map(len, MIRRORED.values()))
    assert summary["projects"] == len(MIRRORED)
    assert summary["files"] == files
    assert summary["bytes"] == size
    assert summary["environments"] == ["server", "laptop"]


def test_the_bill_is_told_before_the_files(first: Mirrored) -> None:
    assert re.search(r"^to download: 8 files, [0-9.]+ kB$", first.done.stdout, re.MULTILINE)


def test_on_a_pipe_there_are_plain_lines(first: Mirrored) -> None:
    assert "\x1b" not in first.done.stdout
    assert "\r" not in first.done.stdout
    assert "8 files, whole and checked" in first.done.stdout.splitlines()[-1]
    assert first.done.stderr == ""


# --- A second run


def test_a_second_run_fetches_pages_only_and_rewrites_nothing(project: MirrorFolder, index: FakeIndex) -> None:
    before, stamps = tree(project.output), times(project.output)
    kept = {
        path: stamp for path, stamp in times(project.state).items() if path.startswith(("metadata", "releases", "plan"))
    }
    project.mirrored()
    assert asked(index) == {}
    assert set(asked(index, "/simple/").values()) == {1}
    assert tree(project.output) == before
    assert times(project.output) == stamps
    assert {path: stamp for path, stamp in times(project.state).items() if path in kept} == kept


def test_a_new_release_upstream_is_all_that_is_fetched(project: MirrorFolder, index: FakeIndex) -> None:
    filename, content = wheel("alone", "3.1")
    index.add("alone", filename, content)
    stamps = times(project.output)
    project.mirrored()
    assert asked(index) == {f"/files/alone/{filename}": 1, f"/files/alone/{filename}.metadata": 1}
    changed = {path for path, stamp in times(project.output).items() if stamps.get(path) != stamp}
    assert {path for path in changed if path.startswith("packages")} == {
        f"packages/alone/{filename}",
        f"packages/alone/{filename}.metadata",
    }
    assert {path.split("/")[1] for path in changed if path.startswith("simple/") and path.count("/") == 2} == {"alone"}
    pruned = project.doit("prune")
    assert pruned.returncode == 0
    assert ALONE in pruned.stdout, "what is deleted is said"
    assert packages(project.output)["alone"] == [filename]
    assert_whole(project.output)
    assert_valid(project.output)


def test_refresh_trusts_the_pages_without_asking(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index, refresh="1h")
    project.mirrored()
    index.requests.clear()
    project.mirrored()
    assert dict(index.requests) == {}


# --- The same bytes, whatever the index and the number of workers


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_number_of_workers_changes_no_byte(first: Mirrored, tmp_path: Path, index: FakeIndex, workers: str) -> None:
    project = mirror_folder(tmp_path / "elsewhere", index)
    done = project.doit("-n", workers, "mirror")
    assert done.returncode == 0, done.stdout
    assert tree(project.output) == tree(first.project.output)


INDEXES: dict[str, tuple[dict[str, Any], list[tuple[str, str, dict[str, Any]]]]] = {
    "that serves sidecars but announces none": ({"sidecars": "unannounced"}, []),
    "without sidecars": ({"sidecars": "none"}, []),
    "without sidecars or ranges or ETags": ({"sidecars": "none", "ranges": False, "etags": False}, []),
    "of the first days": ({"formats": (HTML,), "sidecars": "none", "etags": False}, []),
    "in HTML only": ({"formats": (HTML_V1, HTML)}, []),
    "that compresses what it shouldn't": ({"etags": False}, [("/files/*", "gzip", {})]),
    "that breaks down once for each": (
        {},
        [("/files/*", "status", {"status": 503, "retry_after": 0, "times": 5}), ("/simple/*", "reset", {"times": 3})],
    ),
    "that hangs up in the middle": ({}, [("/files/*", "truncate", {"times": 5})]),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_the_mirror_is_the_same_from_an_index(first: Mirrored, tmp_path: Path, kind: str) -> None:
    settings, faults = INDEXES[kind]
    with FakeIndex(small_world(), **settings) as index:
        for pattern, fault, options in faults:
            index.fault(pattern, fault, **options)
        project = mirror_folder(tmp_path, index)
        project.mirrored()
    published, expected = tree(project.output), tree(first.project.output)
    if HTML_V1 in settings.get("formats", ()) or settings.get("formats") == (HTML,):
        # HTML pages have no upload times, and so neither have the pages in JSON that are made from them.
        # So the compressed pages and those for people differ too; installers of the HTML pages see the same.
        assert set(published) == set(expected)
        published = {
            path: content
            for path, content in published.items()
            if path.startswith("packages") or (path.startswith("simple") and path.endswith("html"))
        }
    assert {path: expected[path] for path in published} == published


# --- What fails

FAULTS: dict[str, tuple[str, str, dict[str, Any], str, str]] = {
    "wrong hash": (f"/files/app/{APP}", "corrupt", {}, f"download:{APP}", "sha256"),
    "truncated": (f"/files/app/{APP}", "truncate", {}, f"download:{APP}", "attempts"),
    "busy": (f"/files/app/{APP}", "status", {"status": 503, "retry_after": 0}, f"download:{APP}", "503"),
    "gone": (f"/files/app/{APP}", "status", {"status": 404}, f"download:{APP}", "404"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_fails_leaves_the_rest_there_and_is_named(tmp_path: Path, index: FakeIndex, fault: str) -> None:
    pattern, kind, options, task, reason = FAULTS[fault]
    index.fault(pattern, kind, **options)
    project = mirror_folder(tmp_path, index)
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    assert f"FAILED {task}" in last_lines(done)
    assert reason in last_lines(done)
    assert "index:app" in last_lines(done)
    assert "mirror" in last_lines(done).splitlines()[-1]
    there = {name: files for name, files in packages(project.output).items() if name != "app"}
    assert there == {name: files for name, files in MIRRORED.items() if name != "app"}
    assert not (project.output / "packages" / "app" / APP).exists()
    assert not (project.output / "SHA256SUMS").exists(), "a mirror that is not whole does not say that it is"
    assert_valid(project.output)
    index.mend()
    index.requests.clear()
    project.mirrored()
    assert set(asked(index)) <= {f"/files/app/{APP}"}, "what was there is not fetched again"
    assert_whole(project.output)
    assert packages(project.output) == MIRRORED


def test_many_faults_at_once_are_all_told_and_repaired_by_the_next_run(tmp_path: Path, index: FakeIndex) -> None:
    index.fault("/simple/lib-core/", "status", status=500)
    index.fault(f"/files/alone/{ALONE}", "corrupt")
    index.fault("/files/sourced/*", "status", status=410)
    project = mirror_folder(tmp_path, index)
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    for failed in ("project:lib-core", f"download:{ALONE}", "metadata:sourced-0.5.zip"):
        assert f"FAILED {failed}\n" in last_lines(done)
    assert (project.output / "packages" / "app" / APP).exists()
    assert_valid(project.output)
    index.mend()
    project.mirrored()
    assert packages(project.output) == MIRRORED
    assert_whole(project.output)


def test_the_last_lines_say_which_requirement_a_dead_page_leaves_incomplete(tmp_path: Path, index: FakeIndex) -> None:
    index.fault("/simple/lib-core/", "status", status=500)
    done = mirror_folder(tmp_path, index).doit("mirror")
    assert "lib-core>=1" in last_lines(done)
    assert "required by app" in last_lines(done)


def test_a_failure_leaves_published_pages_as_they_were(project: MirrorFolder, index: FakeIndex) -> None:
    filename, content = wheel("app", "2.0", requires=["lib-core>=1"], extras={"fast": ["speed"]})
    index.add("app", filename, content)
    index.fault(f"/files/app/{filename}", "corrupt")
    before = tree(project.output / "simple")
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert f"FAILED download:{filename}" in done.stdout
    assert tree(project.output / "simple") == before
    assert_valid(project.output)
    index.mend()
    project.mirrored()
    assert filename in (project.output / "simple" / "app" / "index.html").read_text()
    assert_valid(project.output)


@pytest.mark.parametrize("kind", ["empty", "status"])
def test_an_index_that_forgets_drops_nothing(project: MirrorFolder, index: FakeIndex, kind: str) -> None:
    before, plan = tree(project.output), (project.state / "plan.json").read_bytes()
    for name in index.projects:
        index.fault(f"/simple/{name}/", kind, status=404)
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    assert "FAILED 3 tasks, for one reason: project:alone, project:app, project:sourced" in done.stdout
    kept = tree(project.output)
    assert {path: kept.get(path) for path in before} == before
    assert {one["file"]["filename"] for one in json.loads((project.state / "plan.json").read_bytes())["files"]} == {
        one["file"]["filename"] for one in json.loads(plan)["files"]
    }
    pruned = project.doit("prune")
    assert pruned.returncode not in (0, 130), "prune refuses after an incomplete plan"
    assert tree(project.output) == before, "not even prune takes away what an index forgot"
    index.mend()
    project.mirrored()
    assert tree(project.output) == before


def test_a_requirement_that_nothing_satisfies_is_named_and_the_rest_is_mirrored(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index, requirements=["alone", "lib-core>=9", "no-such-thing"])
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    assert "lib-core>=9 on server" in last_lines(done)
    assert "no-such-thing on laptop" in last_lines(done)
    assert packages(project.output) == {"alone": [ALONE]}
    assert_whole(project.output)


def test_an_index_that_is_not_there_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, None)
    project.configure("http://127.0.0.1:9/simple/")
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    assert "FAILED 3 tasks, for one reason: project:alone, project:app, project:sourced" in last_lines(done)
    assert "127.0.0.1:9" in last_lines(done)


def test_a_file_that_was_broken_on_disk_is_mended(project: MirrorFolder, index: FakeIndex) -> None:
    before = tree(project.output)
    path = project.output / "packages" / "alone" / ALONE
    path.write_bytes(path.read_bytes()[:-1])
    (project.output / "packages" / "app" / f"{APP}.metadata").unlink()
    touched = next(path for path in (project.output / "packages").glob("*/*.metadata") if "app" not in path.name)
    touched.write_bytes(touched.read_bytes() + b"Altered\n")
    (project.output / "simple" / "app" / "index.html").unlink()
    (project.output / "server.py").write_text("")
    project.mirrored()
    assert tree(project.output) == before
    assert asked(index) == {f"/files/alone/{ALONE}": 1}


def test_a_file_that_was_only_touched_is_checked_and_not_told_as_a_download(
    project: MirrorFolder, index: FakeIndex
) -> None:
    os.utime(project.output / "packages" / "alone" / ALONE, (1, 1))
    (project.output / "packages" / "app" / APP).write_bytes(b"another size")
    done = project.mirrored()
    bill = [line.partition(" file")[0] for line in done.stdout.splitlines() if line.startswith("to ")]
    assert bill == ["to check again: 1", "to download: 1"]
    assert asked(index) == {f"/files/app/{APP}": 1}


# --- The everyday verbs


def test_list_says_what_is_pending_and_creates_only_the_database(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    before = set(tree(tmp_path))
    for arguments in (["list"], ["list", "--all", "-s"], ["list", "--all", "-s", "download"], ["info", "mirror"]):
        done = project.doit(*arguments)
        assert done.returncode in (0, 1), done.stderr  # info ends with 1 for what is due
        assert_no_traceback(done)
    assert set(tree(tmp_path)) - before <= {".mirror/doit.db"}
    assert not project.output.exists()
    assert dict(index.requests) == {}


def test_list_shows_each_file_with_its_status_size_release_and_environments(project: MirrorFolder) -> None:
    size = len(dict(small_world()["speed"])["speed-2.0-cp311-cp311-win_amd64.whl"])
    lines = project.doit("list", "--all", "-s", "download").stdout.splitlines()
    assert re.search(r"0 of 8 pending", lines[0])
    line = next(line for line in lines if "win_amd64" in line)
    assert re.fullmatch(
        rf"U download:speed-2\.0-cp311-cp311-win_amd64\.whl\s+{size} bytes\s+speed 2\.0\s+laptop\s*", line
    )
    assert project.doit("clean", f"download:{ALONE}").returncode == 0
    lines = project.doit("list", "--all", "-s", "download").stdout.splitlines()
    assert re.search(r"1 of 8 pending, 103 kB of", lines[0])
    assert [line.split()[:2] for line in lines if ALONE in line] == [["R", f"download:{ALONE}"]]
    assert sum(line.startswith("U ") for line in lines) == 7
    plain = project.doit("list").stdout
    assert re.search(r"^download .*1 of 8 pending, 103 kB of", plain, re.MULTILINE)


def test_info_tells_of_one_download(project: MirrorFolder) -> None:
    done = project.doit("info", f"download:{ALONE}")
    assert done.returncode == 0
    assert "up-to-date" in done.stdout
    assert f"packages/alone/{ALONE}" in done.stdout
    assert "laptop, server" in done.stdout


def test_forget_makes_a_task_due_but_fetches_nothing_that_is_there(project: MirrorFolder, index: FakeIndex) -> None:
    before, stamps = tree(project.output), times(project.output)
    assert project.doit("forget", f"download:{ALONE}").returncode == 0
    assert f"R download:{ALONE}" in project.doit("list", "--all", "-s", "download").stdout
    assert project.doit("forget", "-a").returncode == 0
    project.mirrored()
    assert asked(index) == {}
    assert tree(project.output) == before
    assert times(project.output) == stamps


def test_clean_deletes_what_a_task_made_and_a_run_brings_it_back(project: MirrorFolder, index: FakeIndex) -> None:
    before = tree(project.output)
    done = project.doit("clean", f"download:{ALONE}")
    assert done.returncode == 0
    gone = {f"packages/alone/{ALONE}", f"packages/alone/{ALONE}.metadata", "mirror.json", "SHA256SUMS"}
    assert set(before) - set(tree(project.output)) == gone, "what is not whole does not say that it is"
    project.mirrored()
    assert asked(index) == {f"/files/alone/{ALONE}": 1}
    assert tree(project.output) == before
    assert project.doit("clean").returncode == 0
    assert tree(project.output) == {}
    project.mirrored()
    assert tree(project.output) == before


def test_plan_prints_the_bill_and_downloads_nothing_into_the_output(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    done = project.doit("plan")
    assert done.returncode == 0, done.stdout
    assert not project.output.exists()
    rows = {
        cells[0]: cells[1:]
        for line in done.stdout.splitlines()
        if len(cells := re.split(r"\s*│\s*", line.strip("│ "))) > 4
    }
    assert rows["server"][:3] == ["5", "5", "7"]
    assert rows["laptop"][:3] == ["5", "5", "7"]
    assert rows["all"] == ["5", "5", "8", "111 kB", "111 kB"]
    assert not [path for path in asked(index) if path.endswith(".whl")]
    project.mirrored()
    assert all(count == 1 for count in asked(index).values()), "what the plan had to read is not fetched again"


def test_the_plan_says_why_each_file_is_there_and_why_one_is_not(first: Mirrored) -> None:
    plan = json.loads((first.project.state / "plan.json").read_bytes())
    releases = {one["project"]: one for one in plan["releases"]}
    files = {one["file"]["filename"]: one for one in plan["files"]}
    assert files["speed-2.0-cp311-cp311-win_amd64.whl"]["environments"] == ["laptop"]
    assert {tuple(sorted(one["by"].items())) for one in releases["speed"]["required"]} == {
        (("kind", "release"), ("name", "app"), ("version", "1.0"))
    }
    assert {(one["by"]["kind"], one["by"]["name"]) for one in releases["app"]["required"]} == {("root", "app[fast]")}


def test_verbosity_0_prints_nothing_but_errors(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    done = project.doit("-v", "0", "mirror")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    index.add("alone", *wheel("alone", "9.0"))
    index.fault("/files/alone/alone-9.0*.whl", "corrupt")
    done = project.doit("-v", "0", "mirror")
    assert done.returncode not in (0, 130)
    assert done.stdout.startswith("FAILED download:alone-9.0")


def test_a_terminal_gets_the_live_display(tmp_path: Path, index: FakeIndex) -> None:
    project = mirror_folder(tmp_path, index)
    ours, theirs = pty.openpty()
    environment = {**run_environment({}), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command("mirror"), cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = bytearray()
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says that the other side is closed by EIO
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait(60) == 0, shown
    assert b"\x1b[?25l" in shown, "the cursor is hidden while the display lives"
    assert b"\x1b[?25h" in shown, "and shown again after it"
    assert b"resolving" in shown
    assert b"whole and checked" in shown
    assert_whole(project.output)


def test_another_config_has_its_own_state_and_output(project: MirrorFolder, index: FakeIndex) -> None:
    before, state = tree(project.output), set(tree(project.state))
    project.configure(index.url, "second.yaml", requirements=["alone"])
    done = project.doit("mirror", MIRROR_CONFIG="second.yaml")
    assert done.returncode == 0, done.stdout
    assert packages(project.folder / "mirror-second") == {"alone": [ALONE]}
    assert (project.folder / ".mirror-second" / "plan.json").exists()
    assert tree(project.output) == before
    assert set(tree(project.state)) == state


def test_serve_without_a_mirror_says_what_to_do(tmp_path: Path, index: FakeIndex) -> None:
    done = mirror_folder(tmp_path, index).doit("serve")
    assert done.returncode != 0
    assert_no_traceback(done)
    assert "expected a mirror, found no server.py there. Run `doit mirror` first." in done.stdout
    assert "lambda" not in done.stdout


@pytest.mark.parametrize("verb", ["environment", "requirements"])
def test_an_interpreter_that_can_not_be_run_is_told_in_a_sentence(tmp_path: Path, verb: str) -> None:
    done = mirror_folder(tmp_path, None).doit(verb, "--python", str(tmp_path / "python9"))
    assert done.returncode != 0
    assert_no_traceback(done)
    assert f"describing {tmp_path / 'python9'}: it can't be run: No such file or directory." in done.stdout


@pytest.mark.parametrize("what", ["a link to nowhere", "something else"])
def test_a_state_folder_that_is_none_is_told_by_name(tmp_path: Path, index: FakeIndex, what: str) -> None:
    project = mirror_folder(tmp_path, index)
    if what == "a link to nowhere":
        project.state.symlink_to("nowhere")
    else:
        project.state.write_text("")
    done = project.doit("mirror")
    assert done.returncode != 0
    assert f"having the state folder {project.state}: expected a folder, found {what}." in done.stdout + done.stderr


def test_environment_and_requirements_need_no_mirror_yaml(tmp_path: Path) -> None:
    project = mirror_folder(tmp_path, None)
    block = project.doit("environment")
    assert block.returncode == 0, block.stdout + block.stderr
    assert "python:" in block.stdout
    lines = project.doit("requirements", "--pin=>=")
    assert lines.returncode == 0, lines.stdout + lines.stderr
    assert re.search(r"^doit>=", lines.stdout, re.MULTILINE)


# --- A configuration that can't be used


def test_all_faults_of_the_configuration_are_told_at_once_and_nothing_is_fetched(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index)
    project.configure(
        index.url,
        environments={"laptop": {"python": "3.11", "platform": "win-amd64"}},
        requirements=["foo bar"],
        workers="many",
        sdist="never",
    )
    for verb in (["mirror"], ["list"], ["plan"]):
        done = project.doit(*verb)
        assert done.returncode not in (0, 130)
        assert_no_traceback(done)
        for key in ("environments.laptop.platform", "requirements[0]", "workers", "sdist"):
            assert re.search(rf"^\s+{re.escape(key)}: ", done.stdout + done.stderr, re.MULTILINE), key
    assert "did you mean 'windows-amd64'?" in done.stdout + done.stderr
    assert dict(index.requests) == {}
    assert not project.output.exists()


def test_without_a_mirror_yaml_a_run_says_what_to_do(tmp_path: Path) -> None:
    done = mirror_folder(tmp_path, None).doit("mirror")
    assert done.returncode not in (0, 130)
    assert_no_traceback(done)
    assert "doit environment" in done.stdout + done.stderr


def test_without_a_mirror_yaml_each_task_says_what_to_do(tmp_path: Path) -> None:
    """doit said that it knew no task ``plan``, as where ``MIRROR_CONFIG`` was misspelt."""
    project = mirror_folder(tmp_path, None)
    for arguments in (
        ["plan"],
        ["bundle", "--sent", "1"],
        ["mirror", "prove"],
        ["download:a-1.tar.gz"],
        ["info", "index"],
    ):
        done = project.doit(*arguments, MIRROR_CONFIG="lba.yaml")
        assert done.returncode == 3, arguments
        assert f"reading {project.folder / 'lba.yaml'}: there is no such file." in done.stdout + done.stderr
        assert "Invalid parameter" not in done.stdout + done.stderr
    assert set(tasks._NEEDS_CONFIG) == documented_tasks() - {"mirror", "environment", "requirements"}


# --- Begun before the plan is made


class WaitingIndex(FakeIndex):
    """Answers for one path only when the whole of another was asked for, or after a while.

    :ivar in_time: it was asked for within that while.
    """

    def __init__(self, projects: Any, *, held: str, until: str, **settings: Any) -> None:
        self.held, self.until = held, until
        self.came = threading.Event()
        self.in_time = False
        super().__init__(projects, **settings)

    def record(self, request: Request) -> None:
        super().record(request)
        if request.path == self.until and "range" not in request.headers:
            self.came.set()
        if request.path == self.held:
            self.in_time = self.came.wait(50)


@pytest.mark.parametrize("settings", [{}, {"sidecars": "none"}, {"sidecars": "none", "ranges": False}])
def test_a_file_sure_to_be_mirrored_comes_while_the_plan_is_made_and_no_file_comes_twice(
    first: Mirrored, tmp_path: Path, settings: dict[str, Any]
) -> None:
    index = WaitingIndex(small_world(), held="/simple/lib-core/", until=f"/files/alone/{ALONE}", **settings)
    with index:
        project = mirror_folder(tmp_path, index)
        project.mirrored()
        assert index.in_time
        wholes = Counter(request.path for request in index.log if "range" not in request.headers)
    assert {path: count for path, count in wholes.items() if count > 1} == {}
    assert tree(project.output) == tree(first.project.output)
    assert list((project.state / "held").iterdir()) == []


@pytest.mark.parametrize("place", ["packages", "held"])
def test_a_transfer_that_was_interrupted_goes_on_wherever_it_was_begun(tmp_path: Path, place: str) -> None:
    large = wheel("alone", "3.0", files={"alone_data.bin": bytes(range(256)) * 8000})
    with FakeIndex({"alone": [large]}) as index:
        index.fault(f"/files/alone/{ALONE}", "slow")
        project = mirror_folder(tmp_path, index, requirements=["alone"])
        process = project.start("mirror")
        index.stall.wait_for_arrival()
        ends = time.monotonic() + 60
        while not any(path.stat().st_size for path in project.folder.rglob(f".{ALONE}.*.part")):
            assert time.monotonic() < ends, "what was sent arrives"
        process.terminate()
        process.communicate(timeout=120)
        begun = [path for path in project.folder.rglob(f".{ALONE}.*.part*") if path.is_file()]
        assert len(begun) == 2, "what came, and its ETag"
        folder = project.output / "packages" / "alone" if place == "packages" else project.state / "held"
        folder.mkdir(parents=True, exist_ok=True)
        for path in begun:
            path.replace(folder / path.name)
        index.stall.open()
        index.mend()
        index.log.clear()
        project.mirrored()
        ranges = [one.headers.get("range", "") for one in index.log if one.path == f"/files/alone/{ALONE}"]
    assert len(ranges) == 1
    assert re.fullmatch(r"bytes=[1-9][0-9]*-", ranges[0])
    assert (project.output / "packages" / "alone" / ALONE).read_bytes() == large[1]


def test_a_wheel_and_its_sidecar_do_not_wait_for_each_other(tmp_path: Path) -> None:
    tags = ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_27_x86_64")
    environments = {
        name: {"python": "3.12", "platform": "linux-x86_64", "glibc": glibc}
        for name, glibc in (("older", "2.17"), ("newer", "2.28"))
    }
    older = f"/files/speed/speed-2.0-{tags[0]}.whl"
    world = {"speed": [wheel("speed", "2.0", tag) for tag in tags]}
    index = WaitingIndex(world, held=f"{older}.metadata", until=older)
    with index:
        mirror_folder(tmp_path, index, environments=environments, requirements=["speed"]).mirrored()
    assert index.in_time


def test_what_fails_ahead_of_its_turn_is_tried_again_in_its_turn(
    first: Mirrored, tmp_path: Path, index: FakeIndex
) -> None:
    index.fault(f"/files/alone/{ALONE}", "corrupt", times=1)
    project = mirror_folder(tmp_path, index)
    project.mirrored()
    assert tree(project.output) == tree(first.project.output)


# --- Interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("workers", "path"), [("1", f"/files/alone/{ALONE}"), ("8", f"/files/alone/{ALONE}"), ("8", "/simple/lib-core/")]
)
def test_an_interrupted_run_ends_while_the_index_still_holds_back_an_answer_and_keeps_what_it_has(
    first: Mirrored, tmp_path: Path, index: FakeIndex, number: signal.Signals, workers: str, path: str
) -> None:
    index.fault(path, "slow")
    project = mirror_folder(tmp_path, index)
    process = project.start("-n", workers, "mirror")
    index.stall.wait_for_arrival()
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)  # half of the silence that is borne of an index
    assert not index.stall.is_open
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "run the same command again" in output
    done = {f"/files/{file.parent.name}/{file.name}" for file in project.output.glob("packages/*/[!.]*")}
    index.stall.open()
    index.mend()
    index.requests.clear()
    project.mirrored()
    assert not done & set(asked(index)), "what was finished is not fetched again"
    assert tree(project.output) == tree(first.project.output)


# --- Documented


def task_names(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {line.split()[0] for line in done.stdout.splitlines() if line.strip()}


def documented_tasks() -> set[str]:
    text = (REPOSITORY / "docs" / "tasks.md").read_text(encoding="utf-8")
    return set(re.findall(r"^## `([a-z]+)", text, re.MULTILINE))


def test_every_task_is_documented(first: Mirrored) -> None:
    names = task_names(first.project.doit("list"))
    assert {"mirror", "plan", "download", "prune"} <= names
    sometimes = {
        "advisories": "tests/test_known_advisories.py",
        "ask": "tests/test_dynamic_projects.py",
        "lock": "tests/test_inside_locks.py",
    }
    assert documented_tasks() == names | sometimes.keys(), (
        f"what there is only with some mirror.yaml is tried in {sometimes}"
    )


def test_every_verb_of_the_readme_exists(first: Mirrored) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`doit ([a-z]+)", readme))
    commands = {"list", "info", "forget", "clean", "run", "help"}
    assert told - commands <= task_names(first.project.doit("list"))
    assert {
        "mirror",
        "plan",
        "list",
        "info",
        "forget",
        "clean",
        "serve",
        "prune",
        "environment",
        "requirements",
    } <= told
