"""What stands as whole is whole: the output is compared with what was made, whatever happened to it since."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirror_tasks.publish import pages as publishing
from mirror_tasks.publish.server import PROGRAMS
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import (
    NAMING,
    REPOSITORY,
    Example,
    MirrorFolder,
    asked,
    assert_valid,
    assert_whole,
    command,
    example_mirror,
    mirror_folder,
    packages,
    run_environment,
    small_world,
    times,
    tree,
)
from tests.server_fixtures import run_here

ALONE, APP = "alone-3.0-py3-none-any.whl", "app-1.0-py3-none-any.whl"


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


def checked(output: Path) -> subprocess.CompletedProcess[str]:
    """Run the mirror's own check."""
    return subprocess.run(
        [sys.executable, str(output / "server.py"), "--check"], capture_output=True, text=True, timeout=60, check=False
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- What was published is altered


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def a_link_to_the_same(path: Path) -> None:
    folder = next(folder for folder in path.parents if (folder / "dodo.py").exists())
    copy = folder / "elsewhere" / str(path).replace("/", "_")
    copy.parent.mkdir(exist_ok=True)
    path.rename(copy)
    path.symlink_to(copy)


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def removed(path: Path) -> None:
    path.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (
    emptied,
    altered,
    a_link_to_the_same,
    a_dangling_link,
    removed,
)
# One of each kind of file that is published.
KINDS = (
    f"packages/alone/{ALONE}",
    f"packages/alone/{ALONE}.metadata",
    "packages/app/app-1.0.tar.gz",
    "simple/app/index.html",
    "simple/app/index.v1_html",
    "simple/app/index.v1_json",
    "simple/app/index.v1_json.gz",
    "simple/index.html",
    "simple/index.v1_json",
    "project/app/index.html",
    "project/app/index.html.gz",
    "index.html",
    "site/style.css",
    "site/search.js.gz",
    "server.py",
    "receive.py",
    "mirror.json",
    "SHA256SUMS",
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_whatever_happened_to_a_published_file_the_next_run_repairs_it(
    project: MirrorFolder, index: FakeIndex, damage: Callable[[Path], None]
) -> None:
    before, stamps = tree(project.output), times(project.output)
    for path in KINDS:
        damage(project.output / path)
    project.mirrored()
    assert tree(project.output) == before
    assert not [path for path in project.output.rglob("*") if path.is_symlink()]
    assert_whole(project.output)
    assert checked(project.output).returncode == 0
    assert set(asked(index)) <= {f"/files/alone/{ALONE}", "/files/app/app-1.0.tar.gz"}
    untouched = {path for path, stamp in times(project.output).items() if stamps[path] == stamp}
    assert set(before) - untouched <= set(KINDS), "what was right is not written again"


@pytest.mark.parametrize("path", KINDS)
def test_one_damaged_file_is_repaired_though_no_task_knows_of_it(project: MirrorFolder, path: str) -> None:
    before = tree(project.output)
    altered(project.output / path)
    assert run_here("--root", str(project.output), "--check").returncode != 0
    project.mirrored()
    assert tree(project.output) == before
    assert run_here("--root", str(project.output), "--check").returncode == 0


def test_the_sums_are_never_taken_from_what_is_found(project: MirrorFolder) -> None:
    before = tree(project.output)
    shutil.rmtree(project.state)
    for path in KINDS:
        altered(project.output / path)
    project.mirrored()
    assert tree(project.output) == before


def test_a_state_that_was_deleted_changes_nothing_and_fetches_nothing(project: MirrorFolder, index: FakeIndex) -> None:
    before, stamps = tree(project.output), times(project.output)
    shutil.rmtree(project.state)
    project.mirrored()
    assert tree(project.output) == before
    assert times(project.output) == stamps
    wholes = {path for path in asked(index) if path.endswith((".whl", ".zip", ".gz"))}
    assert not wholes


def test_a_repair_is_told(project: MirrorFolder) -> None:
    altered(project.output / f"packages/alone/{ALONE}")
    emptied(project.output / "simple/app/index.v1_json")
    lines = said(project.mirrored())
    assert f"packages/alone/{ALONE}" in lines
    assert "simple/app/index.v1_json" in lines
    assert "whole and checked" in lines


def test_a_folder_that_was_replaced_by_a_link_is_told(project: MirrorFolder) -> None:
    (project.output / "packages").rename(project.folder / "elsewhere")
    (project.output / "packages").symlink_to(project.folder / "elsewhere")
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert "packages: expected a folder, found a link" in said(done)
    assert "whole and checked" not in said(done)


# --- What stands in the output decides


def test_a_copy_that_was_put_back_is_brought_up_to_date(tmp_path: Path) -> None:
    """Pages are compared with the plan, not with what a task remembers."""
    with FakeIndex({"idna": [wheel("idna", "3.4"), wheel("idna", "3.20")]}) as index:
        project = mirror_folder(tmp_path, index, requirements=["idna<3.5"])
        project.mirrored()
        shutil.copytree(project.output, tmp_path / "copy")
        project.configure(index.url, requirements=["idna"])
        project.mirrored()
        newer = {path: content for path, content in tree(project.output).items() if "3.4" not in path}
        shutil.rmtree(project.output)
        shutil.copytree(tmp_path / "copy", project.output)
        project.mirrored()
    assert {path: content for path, content in tree(project.output).items() if "3.4" not in path} == newer
    assert b"idna-3.20" in (project.output / "simple" / "idna" / "index.html").read_bytes()
    assert project.doit("prune").returncode == 0
    assert_valid(project.output)
    assert_whole(project.output)


def test_a_run_that_was_killed_before_doit_wrote_its_state_leaves_no_page_of_another_plan(tmp_path: Path) -> None:
    with FakeIndex({"idna": [wheel("idna", "3.4"), wheel("idna", "3.20")]}) as index:
        project = mirror_folder(tmp_path, index, requirements=["idna<3.5"])
        project.mirrored()
        older = (project.output / "simple" / "idna" / "index.html").read_bytes()
        database = (project.state / "doit.db").read_bytes()
        project.configure(index.url, requirements=["idna"])
        project.mirrored()
        (project.state / "doit.db").write_bytes(database)  # as a kill leaves it
        project.configure(index.url, requirements=["idna<3.5"])
        project.mirrored()
    assert (project.output / "simple" / "idna" / "index.html").read_bytes() == older
    assert_valid(project.output)


# --- The index serves other bytes under a name that is mirrored


def redeployed(index: FakeIndex) -> bytes:
    content = wheel("alone", "3.0", files={"alone_data.bin": b"other"})[1]
    index.add("alone", ALONE, content)
    return content


def test_a_hash_that_is_remembered_wrongly_is_no_fault_of_a_file_that_is_as_it_was_published(
    project: MirrorFolder, index: FakeIndex
) -> None:
    """A bit of the ledger fell over: neither does the index offer other bytes, nor has anything to be fetched."""
    project.mirrored()
    index.requests.clear()
    before, ledger = tree(project.output), project.state / "hashes.jsonl"
    sha256 = hashlib.sha256(before[f"packages/alone/{ALONE}"]).hexdigest()
    wrong = ("0" if sha256[0] != "0" else "1") + sha256[1:]
    ledger.write_text(ledger.read_text().replace(sha256, wrong))
    project.mirrored()
    assert tree(project.output) == before
    assert not asked(index)
    assert project.mirrored().stdout.count("\n") < 4
    assert json.loads(ledger.read_text().splitlines()[-1])[3] != wrong


@pytest.mark.parametrize("state", ["kept", "deleted"])
def test_other_bytes_under_a_mirrored_name_are_a_fault_until_they_are_accepted(
    project: MirrorFolder, index: FakeIndex, state: str
) -> None:
    path = project.output / "packages" / "alone" / ALONE
    before, first = tree(project.output), path.read_bytes()
    content = redeployed(index)
    if state == "deleted":
        shutil.rmtree(project.state)
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert f"FAILED download:{ALONE}" in said(done)
    for one in (first, content):
        assert hashlib.sha256(one).hexdigest() in said(done)
    assert "accept-changed: [alone]" in said(done)
    assert path.read_bytes() == first
    kept = tree(project.output)
    assert {name: kept[name] for name in before if name.startswith(("packages", "simple/alone"))} == {
        name: content for name, content in before.items() if name.startswith(("packages", "simple/alone"))
    }
    project.configure(index.url, accept_changed=["Alone"])
    assert "changed, as accept-changed permits" in said(project.mirrored())
    assert path.read_bytes() == content
    assert_whole(project.output)
    assert_valid(project.output)
    project.configure(index.url)
    project.mirrored()


def test_the_manifest_is_withdrawn_before_a_changed_file_takes_its_place_and_not_while_it_comes(
    project: MirrorFolder, index: FakeIndex
) -> None:
    redeployed(index)
    index.fault(f"/files/alone/{ALONE}", "status", status=500)
    project.configure(index.url, accept_changed=["alone"])
    assert project.doit("mirror").returncode not in (0, 130)
    assert checked(project.output).returncode == 0, "what could not be fetched has taken nothing away"


def test_cleaning_a_published_file_withdraws_the_manifest(project: MirrorFolder) -> None:
    before = tree(project.output)
    dry = project.doit("clean", "-n", f"download:{ALONE}")
    assert dry.returncode == 0
    assert tree(project.output) == before
    assert project.doit("clean", f"download:{ALONE}").returncode == 0
    gone = {f"packages/alone/{ALONE}", f"packages/alone/{ALONE}.metadata", "mirror.json", "SHA256SUMS"}
    assert set(before) - set(tree(project.output)) == gone
    project.mirrored()
    assert tree(project.output) == before


# --- What pages are made by


def copied(folder: Path, *without: str) -> Path:
    """Copy the code of this project, and what Python compiled of it; return the folder that is to be on Python's path."""
    for part in ("mirror_tasks", "server_template"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns(*without))
    return folder


def test_each_file_of_this_project_is_among_what_pages_are_made_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder by folder, each as if it were all: the whole is read once for each of its files otherwise."""
    package = copied(tmp_path / "all", "__pycache__") / "mirror_tasks"
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    for number, folder in enumerate(sorted({path.parent for path in files})):
        alone = tmp_path / str(number) / "mirror_tasks"
        here = [path for path in files if path.parent == folder]
        for path in here:
            (alone / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(package / path, alone / path)
        monkeypatch.setattr(publishing, "__file__", str(alone / "publish" / "pages.py"))
        seen = {publishing.made_by()}
        for path in here:
            (alone / path).write_bytes((alone / path).read_bytes() + b"\n")
            seen.add(publishing.made_by())
        assert len(seen) == 1 + len(here), folder
    names = {path.as_posix() for path in files}
    assert {"publish/people/style.css", "publish/people/search.js", "publish/people/icon.svg", "text.py"} <= names


def test_what_is_no_file_among_those_of_this_project_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emacs has a link to nowhere beside each file that is changed in it."""
    module = tmp_path / "mirror_tasks" / "publish" / "pages.py"
    module.parent.mkdir(parents=True)
    module.write_text("pass")
    monkeypatch.setattr(publishing, "__file__", str(module))
    before = publishing.made_by()
    module.with_name(".#pages.py").symlink_to("somebody@example.com.1234")
    assert publishing.made_by() == before


def test_another_version_of_whatever_renders_publishes_the_pages_anew(tmp_path: Path, index: FakeIndex) -> None:
    code = copied(tmp_path / "code")
    project = mirror_folder(tmp_path / "project", index, requirements=["alone"])
    # Compiled once at most: each of these runs is a process that imports all of it.
    environment = run_environment({}) | {"PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": ""}

    def output_of(*arguments: str) -> str:
        done = subprocess.run(
            command(*arguments), cwd=project.folder, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout

    output_of("mirror")
    listing = ("list", "--all", "-s", "index")
    assert "U index:alone" in output_of(*listing)
    for part, change in (("publish/people/style.css", "/* changed */\n"), ("text.py", "# changed\n")):
        changed = code / "mirror_tasks" / part
        changed.write_text(changed.read_text() + change)
        assert "R index:alone" in output_of(*listing), part
        output_of("mirror")
        assert "U index:alone" in output_of(*listing), part
        assert_whole(project.output)
    style = code / "mirror_tasks" / "publish" / "people" / "style.css"
    assert (project.output / "site" / "style.css").read_bytes() == style.read_bytes()


# --- Names that not every disk can hold


def test_no_two_files_of_a_mirror_differ_in_upper_and_lower_case_only(tmp_path: Path) -> None:
    small = wheel("foo", "1.0")
    capital = ("Foo-1.0-py3-none-any.whl", wheel("foo", "1.0", files={"other.py": b"other"})[1])
    with FakeIndex({"foo": [capital, small]}) as index:
        project = mirror_folder(tmp_path, index, requirements=["foo"])
        project.mirrored()
        paths = list(tree(project.output))
        assert len({path.lower() for path in paths}) == len(paths)
        assert (project.output / "packages" / "foo" / small[0]).read_bytes() == small[1]
        answer = said(project.doit("explain", capital[0]))
    assert "in upper and lower case only" in answer
    assert_valid(project.output)


@pytest.mark.parametrize("name", ["aux", "con", "nul", "com1", "LPT9"])
def test_a_project_that_some_system_has_no_folder_for_is_told_and_keeps_nothing_else_out(
    tmp_path: Path, name: str
) -> None:
    with FakeIndex({name.lower(): [wheel(name, "1.0")], "good": [wheel("good", "1.0")]}) as index:
        project = mirror_folder(tmp_path, index, requirements=[name, "good"])
        done = project.doit("mirror")
        assert done.returncode not in (0, 130)
        assert "Windows can have no folder of this name" in said(done)
        assert list(packages(project.output)) == ["good"]
        assert not asked(index, f"/simple/{name.lower()}/")


# --- Nothing to do costs next to nothing

AUDITING = """
import os, sys
_opened = os.open("opened.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def _tell(event, arguments):
    if event == "open" and "/mirror/" in str(arguments[0]):
        os.write(_opened, str(arguments[0]).encode() + b"\\n")
sys.addaudithook(_tell)
"""


def test_a_run_with_nothing_to_do_reads_no_page_and_no_package(project: MirrorFolder) -> None:
    """Sizes and times are what is looked at."""
    dodo = project.folder / "dodo.py"
    dodo.write_text(AUDITING + dodo.read_text())
    project.mirrored()
    opened = set((project.folder / "opened.txt").read_text().split())
    assert {Path(path).name for path in opened} <= {"mirror.json", "SHA256SUMS", *PROGRAMS, "mirror"}
    assert opened, "what is opened is seen"


def made_tasks(project: MirrorFolder) -> set[str]:
    """Run `doit mirror`; return the names of the tasks of single things that the run had."""
    dodo = project.folder / "dodo.py"
    if NAMING not in dodo.read_text():
        dodo.write_text(dodo.read_text() + NAMING)
    (project.folder / "tasks.txt").unlink(missing_ok=True)
    project.mirrored()
    names = (project.folder / "tasks.txt").read_text().split()
    return {name for name in names if ":" in name and not name.startswith("_")}


def test_a_run_makes_no_task_of_what_stands_and_is_remembered(project: MirrorFolder) -> None:
    """But for pages, which have to be asked for. `doit list` shows all the same."""
    project.mirrored()  # to a run that comes first after it was copied, its records are new files
    (project.state / "plan.json").unlink()
    assert made_tasks(project) == {f"project:{name}" for name in ("alone", "app", "lib-core", "sourced", "speed")}
    listed = project.doit("list", "--all").stdout
    assert f"download:{ALONE}" in listed
    assert f"metadata:{ALONE}" in listed
    assert "index:alone" in listed
    assert "release:alone-3.0" in listed


@pytest.mark.parametrize(
    ("path", "task"),
    [
        (f"mirror/packages/alone/{ALONE}", f"download:{ALONE}"),
        (f"mirror/packages/alone/{ALONE}.metadata", f"download:{ALONE}"),
        ("mirror/simple/alone/index.html", "index:alone"),
        ("mirror/project/alone/index.html", "index:alone"),
        (".mirror/releases/alone-3.0.json", "release:alone-3.0"),
        (f".mirror/metadata/{ALONE}.json", f"metadata:{ALONE}"),
    ],
)
def test_what_was_removed_has_a_task_again_that_makes_it(project: MirrorFolder, path: str, task: str) -> None:
    before = (project.folder / path).read_bytes()
    (project.folder / path).unlink()
    assert task in made_tasks(project)
    assert (project.folder / path).read_bytes() == before
    assert_whole(project.output)
    assert not [name for name in made_tasks(project) if not name.startswith("project:")]


@pytest.mark.parametrize("words", [("-n", "2", "-a", "mirror"), ("run", "-ca", "mirror"), ("--always", "mirror")])
def test_who_has_doit_do_all_again_has_pages_written_anew_that_nothing_else_tells_from_those_that_were_made(
    project: MirrorFolder, words: tuple[str, ...]
) -> None:
    page, record = project.output / "simple" / "alone" / "index.html", project.state / "releases" / "alone-3.0.json"
    before = page.read_bytes(), record.read_bytes()
    for path in (page, record):
        time = path.stat().st_mtime_ns
        altered(path)
        os.utime(path, ns=(time, time))
    assert project.doit(*words).returncode == 0
    assert (page.read_bytes(), record.read_bytes()) == before
    assert_whole(project.output)


def test_what_doit_forgot_has_a_task_again_and_is_remembered(project: MirrorFolder, index: FakeIndex) -> None:
    assert project.doit("forget", f"download:{ALONE}", "index:alone").returncode == 0
    assert {f"download:{ALONE}", "index:alone"} <= made_tasks(project)
    assert not asked(index), "it is there still"
    assert not [name for name in made_tasks(project) if not name.startswith("project:")]
