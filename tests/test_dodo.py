"""The pipeline in somebody else's ``dodo.py``, and installed from its wheel into an empty environment."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from mirror_tasks import pipeline
from mirror_tasks.publish.server import PROGRAMS
from mirror_tasks.tasks.parts import LeanTask
from tests.fake_index import FakeIndex
from tests.interpreters import python_of
from tests.launching import PATIENCE
from tests.making import wheel
from tests.mirroring import (
    DODO,
    REPOSITORY,
    assert_whole,
    clean_environment,
    doit,
    launcher,
    mirror_folder,
    packages,
    small_world,
    tree,
)

# Two mirrors, and three tasks of one's own: after a mirror, on a file of a mirror alone, and on both.
OTHERS = """
from mirror_tasks import pipeline

globals().update(pipeline("lab/mirror.yaml", prefix="lab"))
globals().update(pipeline("office/mirror.yaml", prefix="office"))


def note(name):
    with open("ran.txt", "a") as stream:
        print(name, file=stream)


def task_after():
    return {"actions": [(note, ["after"])], "task_dep": ["lab-mirror"]}


def task_ship():
    return {"actions": [(note, ["ship"])], "file_dep": ["lab/mirror/mirror.json"]}


def task_both():
    return {
        "actions": [(note, ["both"])],
        "file_dep": ["office/mirror/mirror.json"],
        "task_dep": ["office-mirror", "lab-mirror"],
    }


DOIT_CONFIG["default_tasks"] = ["after", "ship", "both"]
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


def ran(folder: Path) -> list[str]:
    """Return which of one's own tasks ran, and forget it."""
    path = folder / "ran.txt"
    names = sorted(path.read_text().split()) if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def run(folder: Path, *arguments: str) -> str:
    launcher().start(folder, *arguments)
    done = launcher().wait()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_mirrors_and_own_tasks_live_in_one_file(tmp_path: Path, index: FakeIndex) -> None:
    mirror_folder(tmp_path / "lab", index)
    mirror_folder(tmp_path / "office", index, requirements=["alone"])
    (tmp_path / "dodo.py").write_text(OTHERS)
    first = doit(tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert ran(tmp_path) == ["after", "both", "ship"]
    assert_whole(tmp_path / "lab" / "mirror")
    assert packages(tmp_path / "office" / "mirror") == {"alone": ["alone-3.0-py3-none-any.whl"]}

    index.requests.clear()
    run(tmp_path)
    assert ran(tmp_path) == ["after"], "what depends on a file runs only when that changed"
    assert not [path for path in index.requests if path.startswith("/files/")]

    index.add("alone", *wheel("alone", "4.0"))
    run(tmp_path)
    assert ran(tmp_path) == ["after", "both", "ship"]

    index.add("sourced", *wheel("sourced", "0.6"))  # in the lab's mirror only
    run(tmp_path)
    assert ran(tmp_path) == ["after", "ship"]


def test_a_file_of_the_mirror_alone_brings_the_mirror_about(tmp_path: Path, index: FakeIndex) -> None:
    mirror_folder(tmp_path / "lab", index)
    mirror_folder(tmp_path / "office", index)
    (tmp_path / "dodo.py").write_text(OTHERS)
    run(tmp_path, "ship")
    assert ran(tmp_path) == ["ship"]
    assert_whole(tmp_path / "lab" / "mirror")
    assert not (tmp_path / "office" / "mirror").exists()


def test_names_of_two_mirrors_do_not_collide(tmp_path: Path, index: FakeIndex) -> None:
    mirror_folder(tmp_path / "lab", index)
    mirror_folder(tmp_path / "office", index, requirements=["alone"])
    (tmp_path / "dodo.py").write_text(OTHERS)
    names = [line.split()[0] for line in run(tmp_path, "list").splitlines() if line.strip()]
    assert len(names) == len(set(names))
    own = {"after", "ship", "both"}
    assert own < set(names)
    assert {re.sub("^(lab|office)-", "", name) for name in names} - own >= {"mirror", "plan", "download", "environment"}
    assert all(name.startswith(("lab-", "office-")) for name in names if name not in own)
    run(tmp_path, "lab-mirror")
    run(tmp_path, "office-mirror")
    assert "office-download:alone-3.0-py3-none-any.whl" in run(tmp_path, "list", "--all", "-s", "office-download")
    run(tmp_path, "clean", "office-download:alone-3.0-py3-none-any.whl")
    assert packages(tmp_path / "office" / "mirror") == {}
    assert_whole(tmp_path / "lab" / "mirror")


def test_installed_from_its_wheel_it_works_in_any_folder(tmp_path: Path, index: FakeIndex) -> None:
    def call(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    own = ("--no-config", "--no-python-downloads", "--offline", "-q")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(REPOSITORY))
    call(sys.executable, *build)
    (built,) = (tmp_path / "dist").glob("*.whl")
    call(uv.find_uv_bin(), "venv", *own, "--python", sys.executable, "env")
    python = python_of(tmp_path / "env")
    call(uv.find_uv_bin(), "pip", "install", *own, "--no-deps", "--no-index", "--python", python, str(built))
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = call(python, "-c", "import mirror_tasks; print(mirror_tasks.__file__)").strip()
    assert Path(where).parent.parent == site

    project = mirror_folder(tmp_path / "elsewhere", index, dodo=DODO)
    done = subprocess.run(
        [python, "-m", "doit", "mirror"],
        cwd=project.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_whole(project.output)
    for name in PROGRAMS:
        assert tree(project.output)[name] == (REPOSITORY / "server_template" / name).read_bytes()


FOREIGN = (
    DODO
    + """
import multiprocessing
from doit.tools import run_once
import time

DOIT_CONFIG["reporter"] = "{reporter}"


def task_mine():
    def act():
        print(f"children: {{len(multiprocessing.active_children())}}", flush=True)

    return {{"actions": [act], "verbosity": 2, "uptodate": [run_once]}}


def task_slow():
    def act():
        print("running", flush=True)
        time.sleep(60)

    return {{"actions": [act], "verbosity": 2, "task_dep": ["mine"]}}
"""
)


@pytest.mark.parametrize("reporter", ["console", "json", "zero"])
def test_a_reporter_of_somebody_elses_makes_the_mirror(tmp_path: Path, index: FakeIndex, reporter: str) -> None:
    project = mirror_folder(tmp_path, index, dodo=FOREIGN.format(reporter=reporter))
    said = run(tmp_path, "mirror")
    assert_whole(project.output)
    if reporter == "console":
        assert ".  mirror" in said


def test_a_task_of_somebody_elses_alone_starts_no_process(tmp_path: Path, index: FakeIndex) -> None:
    mirror_folder(tmp_path, index, dodo=FOREIGN.replace("DOIT_CONFIG[", "# ").format(reporter=""))
    assert "children: 0" in run(tmp_path, "mine")
    assert not index.requests


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_ctrl_c_below_a_reporter_of_somebody_elses_keeps_what_doit_knows_of_the_run(
    tmp_path: Path, index: FakeIndex
) -> None:
    project = mirror_folder(tmp_path, index, dodo=FOREIGN.format(reporter="console"))
    process = project.start("slow")
    assert process.stdout is not None
    for line in process.stdout:
        if line == "running\n":
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    with contextlib.closing(sqlite3.connect(project.state / "doit.db")) as database:
        assert ("mine",) in database.execute("select task_id from doit").fetchall()


def test_what_an_index_says_in_any_script_can_be_told_where_output_is_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    pipeline(tmp_path / "mirror.yaml")
    print("yanked: \u6f22", flush=True)
    assert written.getvalue() == b"yanked: \\u6f22\n"


def test_a_task_has_no_more_attributes_than_share_their_names_for_a_large_mirror_has_ten_thousand() -> None:
    most = 30  # in CPython; a task with one more has a dictionary of its own names, and takes twice as much memory
    assert len(vars(LeanTask("some", None))) <= most


def test_a_command_that_lists_imports_neither_what_works_nor_what_reads_keys_that_are_not_there(tmp_path: Path) -> None:
    """It takes as long as what it imports: half of what a run imports is for what only a run does."""
    mirror_folder(tmp_path, None, DODO).configure("https://index.example.com/simple/")
    code = "import sys; from doit.doit_cmd import DoitMain; DoitMain().run(['list']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "list"],
        cwd=tmp_path,
        env={**clean_environment(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "makes the mirror" in done.stdout
    imported = set(done.stdout.splitlines()[-1].split())
    assert "mirror_tasks.tasks.graph" in imported
    needs_network = ("index.client", "index.connections")
    what_works = ("work", "archives", "policy", "resolve", "report", "transfer", "publish.pages", *needs_network)
    not_there = ("config.policy", "config.transfer", "config.project_files")
    idle = tuple(f"mirror_tasks.{name}" for name in (*what_works, *not_there))
    assert not sorted(name for name in imported if name.startswith((*idle, "urllib3", "ssl", "rich")))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are begun when needed elsewhere")
def test_processes_that_read_sdists_are_there_only_where_there_may_be_some(tmp_path: Path, index: FakeIndex) -> None:
    """Two that do nothing hold 12 MB."""
    counting = """
import atexit

from mirror_tasks.work import processes

atexit.register(lambda: print("reading:", len(processes.READING._workers)))
"""
    said = []
    for sdists in ("never", "always"):
        project = mirror_folder(tmp_path / sdists, index, DODO + counting, sdists=sdists)
        said += re.findall("reading: ([0-9]+)", doit(project.folder, "plan").stdout)
    assert said[0] == "0"
    assert int(said[1]) > 0


def test_a_task_has_nothing_empty_of_its_own_but_what_doit_fills() -> None:
    one, other = (vars(LeanTask(name, None)) for name in ("one", "other"))
    of_its_own = {name for name, value in one.items() if not value and value is not other[name]}
    assert of_its_own == {"setup_tasks", "task_dep", "value_savers", "values"}
    copied = LeanTask("some", None).calc_dep.copy()
    copied.update(["another"])  # as doit does
    assert not LeanTask("some", None).calc_dep
