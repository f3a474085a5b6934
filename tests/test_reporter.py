"""What a run says: warnings above the live display, equal failures once, the outcome last; and nothing raw at Ctrl-C."""

from __future__ import annotations

import io
import logging
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mirror_tasks.errors import UpstreamError
from mirror_tasks.tasks.parts import Failure
from mirror_tasks.tasks.reporter import Reporter
from mirror_tasks.tasks.run import Run
from mirror_tasks.tasks.tally import Tally, in_all
from mirror_tasks.text import total
from tests.fake_index import FakeIndex
from tests.launching import PATIENCE
from tests.mirroring import (
    DODO,
    IMPATIENT,
    MirrorFolder,
    command,
    launcher,
    mirror_folder,
    run_environment,
    small_world,
)


@pytest.fixture
def reporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reporter]:
    run = Run()
    run.mirrors = [SomeMirror()]
    monkeypatch.setattr("mirror_tasks.tasks.reporter.RUN", run)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Reporter(io.StringIO(), {})
    for number, handler in before.items():  # a run that has ended leaves them to the system, as its process ends too
        signal.signal(number, handler)


class SomeMirror:
    """What a run knows of a mirror."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.changing = self.fetching = frozenset({"project", "download"})
        self.reads_sdists = True
        self.did: list[str] = []

    def has(self, name: str) -> bool:
        return False

    def take_folders(self) -> None:
        pass

    def open_workshop(self) -> None:
        self.did.append("imported")


def tally_of(reporter: Reporter) -> Tally:
    return reporter._run.mirrors[0].tally


def said(reporter: Reporter) -> list[str]:
    reporter.complete_run()
    return str(reporter._display.outlet.getvalue()).splitlines()


def failed(reporter: Reporter, name: str, problem: str) -> None:
    error = UpstreamError("fetching the project page", f"http://x/{name}/", problem, "Run again.")
    task: Any = SimpleNamespace(name=f"project:{name}")
    reporter.add_failure(task, Failure(error))


@pytest.mark.parametrize(("task", "expected"), [("download", ["imported", "forked"]), ("serve", [])])
def test_what_works_is_imported_before_processes_are_forked_and_where_nothing_is_fetched_not_at_all(
    reporter: Reporter, monkeypatch: pytest.MonkeyPatch, task: str, expected: list[str]
) -> None:
    mirror = reporter._run.mirrors[0]
    assert isinstance(mirror, SomeMirror)
    monkeypatch.setattr("mirror_tasks.tasks.run.start_processes", lambda **_: mirror.did.append("forked"))
    reporter.initialize({}, [task])
    reporter.complete_run()
    assert mirror.did == expected


def test_equal_failures_are_told_once_with_their_number_and_some_names(reporter: Reporter) -> None:
    for number in range(53):
        failed(reporter, f"p{number:02}", "connection refused" + (" (5 attempts)" if number < 9 else ""))
    failed(reporter, "other", "expected files, found none")
    lines = said(reporter)
    assert len(lines) == 5
    assert lines[0] == "FAILED project:other"
    assert lines[2].startswith("FAILED 53 tasks, for one reason: project:p00, project:p01, ")
    assert lines[2].endswith(" …")
    assert "http://x/p00/: connection refused" in lines[3]
    assert lines[4].startswith("54 tasks failed")


def test_the_outcome_is_told_last_and_nothing_is_whole_that_failed(reporter: Reporter) -> None:
    tally_of(reporter).outcomes.append("mirror: 3 projects, 5 files, whole and checked")
    failed(reporter, "p", "found none")
    lines = said(reporter)
    assert "whole and checked" not in "\n".join(lines)
    assert lines[-2] == "mirror: 3 projects, 5 files, checked, though something failed"
    assert lines[-1].startswith("1 task failed")


def test_without_a_failure_the_last_line_says_that_it_is_whole(reporter: Reporter) -> None:
    tally_of(reporter).note("left out: 3 releases")
    tally_of(reporter).outcomes.append("mirror: 3 projects, 5 files, whole and checked")
    assert said(reporter) == ["left out: 3 releases", "mirror: 3 projects, 5 files, whole and checked"]


def test_what_is_logged_as_a_warning_is_a_line_of_its_own_told_once(reporter: Reporter) -> None:
    reporter.initialize({}, [])
    for _ in range(3):
        logging.getLogger("mirror_tasks").warning("pip's %s is not used", "extra-index-url")
    assert said(reporter) == ["warning: pip's extra-index-url is not used"]
    logging.getLogger("mirror_tasks").warning("after the end")
    assert not any(tally.notes for tally in reporter._tallies)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ([], "0 bytes"),
        ([0, 5], "5 bytes"),
        ([None], "size unknown"),
        ([None, None], "size unknown"),
        ([2000, None], "2.0 kB and 1 file of unknown size"),
        ([2000, None, None], "2.0 kB and 2 files of unknown size"),
    ],
)
def test_a_size_that_is_not_given_is_unknown_and_not_nothing(sizes: list[int | None], text: str) -> None:
    assert total(sizes) == text


def test_of_an_index_without_sizes_no_size_is_made_up(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        for served in index.projects.values():
            for one in served.values():
                one.size = None
        mirror_folder(tmp_path, index, requirements=["alone"])
        for verb in (("mirror",), ("plan",), ("list",), ("explain", "alone")):
            launcher().start(tmp_path, *verb)
            output = launcher().wait().stdout
            assert "0 bytes" not in output, (verb, output)
            if verb != ("list",):
                assert "size unknown" in output, (verb, output)


WARNING = """
from mirror_tasks.work import jobs
import logging
_update_page = jobs.update_page
def update_page(*arguments):
    logging.getLogger("mirror_tasks").warning("something odd of every page")
    return _update_page(*arguments)
update_page.__module__, update_page.__qualname__ = "mirror_tasks.work.jobs", "update_page"
jobs.update_page = update_page
"""


def on_a_terminal(folder: Path, *arguments: str) -> str:
    """Run doit on a pseudo-terminal of its own and return what it showed, with all its control sequences."""
    first, second = pty.openpty()
    environment = {**run_environment({}), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment, stdin=second, stdout=second, stderr=second
    ) as process:
        os.close(second)
        shown = b""
        while True:
            try:
                piece = os.read(first, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        process.wait(PATIENCE)
    os.close(first)
    return shown.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_warning_from_any_process_stands_on_a_line_of_its_own_above_the_live_display(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        mirror_folder(tmp_path, index, dodo=IMPATIENT + WARNING + DODO)
        shown = on_a_terminal(tmp_path, "mirror")
    assert shown.count("something odd of every page") == 1
    before, _, after = shown.partition("warning: something odd of every page")
    assert before == "" or before.endswith(("\n", "\x1b[2K", "\r")), before[-40:]
    assert after.lstrip(" ").startswith(("\r\n", "\x1b"))
    assert "whole and checked" in shown


def assert_ends_at_ctrl_c(project: MirrorFolder) -> None:
    """Assert that a run which says "reading", and then takes long, ends at Ctrl-C without a traceback."""
    process = project.start("mirror")
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (130, "Interrupted.\n")


# Told when doit has begun to read it, before and after what takes time to be imported.
TOLD = """
import os, sys, time
{before}
print("reading", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("before", ["from mirror_tasks import pipeline", DODO])
def test_ctrl_c_before_the_first_task_is_no_traceback(tmp_path: Path, before: str) -> None:
    with FakeIndex(small_world()) as index:
        assert_ends_at_ctrl_c(mirror_folder(tmp_path, index, dodo=TOLD.format(before=before)))


# What takes long before the first task: the locks, and what is imported before processes are forked.
BEGINNING = """
import time
from mirror_tasks.tasks.graph import MirrorTasks

def slowly(self):
    print("reading", flush=True)
    time.sleep(60)

MirrorTasks.{method} = slowly
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
@pytest.mark.parametrize("method", ["take_folders", "open_workshop"])
def test_ctrl_c_while_a_run_begins_is_no_traceback(tmp_path: Path, method: str) -> None:
    with FakeIndex(small_world()) as index:
        assert_ends_at_ctrl_c(mirror_folder(tmp_path, index, dodo=DODO + BEGINNING.format(method=method)))


def test_who_imports_this_project_for_something_else_keeps_his_own_ctrl_c() -> None:
    code = "import signal, mirror_tasks; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=run_environment({}), timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_each_mirror_counts_its_own_tasks_and_the_display_shows_them_together(reporter: Reporter) -> None:
    lab, office = SomeMirror(), SomeMirror()
    office.fetching = frozenset({"office-project"})
    reporter._run.mirrors = [lab, office]
    for name in ("project:one", "project:two", "office-project:three"):
        task: Any = SimpleNamespace(name=name, meta={"mirror": "project"})
        reporter.add_success(task)
    assert (lab.tally.pages, office.tally.pages) == (2, 1)
    sentence = "resolving: 3 project pages; three"  # not "0 core metadata", where all of it was read in an earlier run
    assert in_all([lab.tally, office.tally]).sentence() == sentence
    lab.tally.count("metadata", "three-1.0.whl")
    assert in_all([lab.tally, office.tally]).sentence().startswith("resolving: 3 project pages, 1 core metadata; three")


def test_progress_before_anything_has_come_ends_with_what_is_done() -> None:
    """Of an index that did not answer it said "resolving: 0 project pages; "."""
    assert Tally().sentence() == "resolving: 0 project pages"
