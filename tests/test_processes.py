"""What another process does for this one: its results, its errors and its end arrive here; and it never outlives this one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mirror_tasks.work.memory import give_back_what_is_large
from mirror_tasks.work.processes import Processes
from tests.called import add
from tests.launching import PATIENCE
from tests.mirroring import REPOSITORY, launcher, run_environment

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


def run(body: str) -> str:
    """Run code in a process without threads, as a run of doit is when it starts its processes."""
    head = "from tests.called import *\nprocesses = Processes(2, 8)\nprocesses.start()\n"
    launcher().start_code(head + body)
    done = launcher().wait()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_results_and_progress_come_back_from_another_process() -> None:
    body = """
came = []
found, where = processes.call(add, 2, 3, progress=came.append)
print(found, where != os.getpid(), sum(came), len(came) < 5)
"""
    assert run(body) == "5 True 3000000 True"


def test_calls_that_are_made_at_once_are_shared_among_the_processes() -> None:
    """None of them has reached its process yet when the next is made."""
    body = """
import contextlib
with contextlib.ExitStack() as calls:
    chosen = [calls.enter_context(processes._least_busy()) for _ in range(8)]
    print([chosen.count(worker) for worker in processes._workers])
print([worker.calls for worker in processes._workers])
"""
    assert run(body).splitlines() == ["[4, 4]", "[0, 0]"]


def test_before_the_start_this_process_does_it_itself() -> None:
    assert Processes(2, 8).call(add, 2, 3, progress=lambda count: None) == (5, os.getpid())


def test_processes_that_may_not_be_needed_are_begun_with_the_first_call() -> None:
    body = """
processes = Processes(1, 1)
processes.start(at_once=False)
before = len(processes._workers)
found, where = processes.call(add, 2, 3, progress=lambda count: None)
print(before, found, where != os.getpid())
"""
    assert run(body) == "0 5 True"


def test_an_error_arrives_with_all_that_it_says() -> None:
    shown = run("print(outcome(processes, fail, 'mirror')); print(outcome(processes, fail, 'disk'))").splitlines()
    assert shown == ["UpstreamError fetching a page: expected it, found none. Run again. 503", "OSError 28 /disk"]


def test_an_error_with_an_init_of_its_own_arrives_and_its_process_goes_on() -> None:
    body = """
before = [worker._process.pid for worker in processes._workers]
print(outcome(processes, fail, 'yaml').replace(chr(10), ' '))
print(processes.call(add, 2, 3, progress=lambda count: None)[1] in before)
"""
    shown = run(body).splitlines()
    assert "index: expected a URL" in shown[0]
    assert "sdists: expected a word" in shown[0]
    assert shown[1] == "True"


def test_what_can_not_be_received_fails_its_call_and_no_other() -> None:
    body = """
print(outcome(processes, unreadable))
print(processes.call(add, 2, 3, progress=lambda count: None)[0])
"""
    shown = run(body).splitlines()
    assert "can't be read" in shown[0]
    assert shown[1] == "5"


def test_a_file_that_kills_each_process_that_reads_it_is_given_up_and_no_other() -> None:
    body = """
processes = Processes(1, 1)
processes.start()
from concurrent.futures import ThreadPoolExecutor
names = ["a", "killer", "b", "c", "killer", "d"]
with ThreadPoolExecutor(6) as pool:
    for name, found in zip(names, pool.map(lambda name: outcome(processes, end_at, name), names)):
        print(name, found == repr(name), "a second one" in found)
print(processes.call(add, 2, 3, progress=lambda count: None)[0])
"""
    assert run(body).splitlines() == [
        "a True False",
        "killer False True",
        "b True False",
        "c True False",
        "killer False True",
        "d True False",
        "5",
    ]


def test_a_bug_arrives_with_the_place_it_is_at() -> None:
    shown = run("print(outcome(processes, fail, 'odd'))")
    assert "a bug: odd" in shown
    assert "in fail" in shown


def test_a_result_that_can_not_be_sent_is_a_bug_and_not_a_wait_for_ever() -> None:
    assert "pickle" in run("print(outcome(processes, unsendable))")


def test_many_calls_at_a_time_each_get_their_own_result() -> None:
    body = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(16) as pool:
    found = list(pool.map(lambda n: processes.call(add, n, n, progress=lambda count: None)[0], range(200)))
print(found == [2 * n for n in range(200)])
"""
    assert run(body) == "True"


def test_a_process_has_no_more_threads_than_the_calls_at_a_time_can_use() -> None:
    body = """
import threading
from concurrent.futures import ThreadPoolExecutor
processes = Processes(1, 256)
processes.start()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda n: processes.call(abs, n), range(2000)))
# A thread has sent its result a moment before it is free: each caller may find one more. The main thread makes none.
print(processes.call(threading.active_count) <= 2 * 8 + 1)
"""
    assert run(body) == "True"


def test_a_process_that_ends_fails_its_calls_and_says_what_it_did_and_what_to_do() -> None:
    shown = run("for _ in range(3): print(outcome(processes, end, 'foo.whl'))").splitlines()
    assert len(shown) == 3
    assert all("foo.whl" in line and "found that it has ended" in line and "memory" in line for line in shown)


def test_where_no_processes_are_allowed_the_first_does_it_all() -> None:
    body = """
def refused():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refused
processes = Processes(2, 8)
processes.start()
print(processes.call(add, 2, 3, progress=lambda count: None) == (5, os.getpid()))
"""
    assert run(body) == "True"


def test_a_process_that_is_begun_anew_does_the_same_as_a_forked_one(tmp_path: Path) -> None:
    script = tmp_path / "spawning.py"
    script.write_text(
        "import os\nfrom tests.called import Processes, add, fail, outcome\n"
        "processes = Processes(1, 8, 'spawn')\nprocesses.start()\n"  # a script needs no guard for it
        "found, where = processes.call(add, 2, 3, progress=lambda count: None)\n"
        "print(found, where != os.getpid(), outcome(processes, fail, 'disk'))\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=run_environment({}),
    )
    assert done.stdout.strip() == "5 True OSError 28 /disk", done.stderr


def test_what_one_process_can_no_longer_do_another_does(tmp_path: Path) -> None:
    body = f"""
print(outcome(processes, end_once, {str(tmp_path / "marker")!r}))
print(*[processes.call(add, n, n, progress=lambda count: None)[0] for n in range(9)])
"""
    assert run(body).splitlines() == ["'done'", "0 2 4 6 8 10 12 14 16"]


ENDING = """
print(*[worker._process.pid for worker in processes._workers], flush=True)
import time
from threading import Thread
Thread(target=lambda: processes.call(hang, progress=lambda count: None), daemon=True).start()
import signal
signal.pause()
"""


@needs_fork
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_first_even_in_the_middle_of_a_call(number: signal.Signals, tmp_path: Path) -> None:
    head = "from tests.called import *\nprocesses = Processes(2, 8)\nprocesses.start()\n"
    with subprocess.Popen(
        [sys.executable, "-c", head + ENDING], stdout=subprocess.PIPE, env=run_environment({}), cwd=REPOSITORY
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline()
        assert first.stdout.readline() == b"called\n"
        first.send_signal(number)
        # All of them hold the other end of this pipe: it ends when the last of them has.
        assert select.select([first.stdout], [], [], PATIENCE)[0]
        assert first.stdout.read() == b""


INTERRUPTED_AT_A_FORK = """
import os, signal
from mirror_tasks.work.processes import Processes

os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    Processes(1, 1).start()
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""


@needs_fork
def test_an_interruption_while_processes_are_forked_is_not_swallowed() -> None:
    launcher().start_code(INTERRUPTED_AT_A_FORK)
    done = launcher().wait()
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_memory_is_left_to_an_allocator_that_can_not_be_told(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def library(_name: None) -> None:
        raise error

    monkeypatch.setattr("mirror_tasks.work.memory.ctypes.CDLL", library)
    give_back_what_is_large()
