"""A traceback is a bug: whatever stands on the command line, or does not stand where it should, is told in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mirror_tasks import commands, describe_environment
from mirror_tasks.tasks.verbs.making import verb
from tests.fake_index import FakeIndex
from tests.launching import PATIENCE
from tests.mirroring import MirrorFolder, command, mirror_folder, run_environment, small_world

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorFolder]:
    """A mirror that was made, for tests to copy; its index goes on."""
    with FakeIndex(small_world()) as index:
        folder = mirror_folder(tmp_path_factory.mktemp("made") / "folder", index)
        folder.mirrored()
        yield folder


@pytest.fixture
def folder(made: MirrorFolder, tmp_path: Path) -> MirrorFolder:
    shutil.copytree(made.folder, tmp_path / "folder", symlinks=True)
    return MirrorFolder(tmp_path / "folder")


def told(folder: MirrorFolder, *arguments: str, status: int) -> str:
    """Run doit; return what it said, which has no traceback."""
    done = folder.doit(*arguments)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert done.returncode == status, said
    return said


def into(folder: MirrorFolder, output: int | Path, *arguments: str) -> tuple[int, str]:
    """Run doit with its output elsewhere; return its status, and what stands in its standard error."""
    with open(output, "wb", closefd=isinstance(output, Path)) as stream:
        done = subprocess.run(
            command(*arguments),
            cwd=folder.folder,
            env=run_environment({}),
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["project", "metadata", "release", "download", "index", "provenance"])
def test_a_name_of_no_task_is_told_and_not_taken_for_done(folder: MirrorFolder, kind: str) -> None:
    said = told(folder, f"{kind}:nosuch", status=2)
    assert f"doing {kind}:nosuch: expected a task that `doit list --all {kind}` shows, found none of this name" in said


def test_names_of_what_stands_are_those_of_tasks_though_the_run_could_do_without_them(folder: MirrorFolder) -> None:
    names = [
        "release:app-1.0",
        "download:app-1.0.tar.gz",
        "index:app",
        "project:app",
        "metadata:app-1.0-py3-none-any.whl",
    ]
    told(folder, *names, status=0)


def test_what_doit_was_told_to_ignore_is_told_with_what_is_not_done_because_of_it(folder: MirrorFolder) -> None:
    told(folder, "ignore", "project:app", status=0)
    shutil.rmtree(folder.output)
    said = told(folder, "mirror", status=1)
    assert "IGNORED project:app; not done because of it: index, mirror" in said
    assert "doit forget project:app" in said
    assert "_grow" not in said
    assert not (folder.output / "mirror.json").exists()

    told(folder, "forget", "project:app", status=0)
    assert "whole and checked" in told(folder, "mirror", status=0)


def test_a_tasks_part_that_all_share_is_not_added_to_by_strace(folder: MirrorFolder) -> None:
    told(folder, "strace", "mirror", status=0)


def test_clean_ends_with_what_it_could_not_delete(folder: MirrorFolder) -> None:
    summary = folder.output / "mirror.json"
    summary.unlink()
    (summary / "what-somebody-left").mkdir(parents=True)
    said = told(folder, "clean", status=3)
    assert f"deleting {summary}: " in said
    assert (folder.output / "server.py").exists(), "nothing goes while the mirror says that it is whole"


def test_an_error_in_a_verb_that_nobody_foresaw_is_reported_as_in_every_task(tmp_path: Path) -> None:
    def answer() -> None:
        raise ZeroDivisionError("a slip")

    task = verb("explain", answer, "explains", bugs=tmp_path)
    task.init_options()
    failure = task.actions[0].execute()
    assert failure.get_msg().startswith("a bug of mirror-tasks, ZeroDivisionError: a slip. Please report it with ")
    (report,) = tmp_path.iterdir()
    assert "a slip" in report.read_text()


def test_a_note_that_is_no_text_is_told(folder: MirrorFolder) -> None:
    told(folder, "report", status=0)
    assert "approving --note: expected text" in told(folder, "approve", "--by", "A", "--note", "\udcff", status=1)


def test_a_way_to_pin_that_there_is_not_is_told_with_those_that_there_are(folder: MirrorFolder) -> None:
    assert "'==', '>=', 'none'" in told(folder, "requirements", "--pin", "~", status=3)


def test_where_there_is_no_mirror_yaml_a_plain_doit_says_so_and_nothing_else(folder: MirrorFolder) -> None:
    (folder.folder / "mirror.yaml").unlink()
    assert told(folder, status=1).startswith("FAILED mirror\n")
    told(folder, "forget", status=0)
    told(folder, "environment", status=0)


@pytest.mark.parametrize("name", ["mirror.yaml", ".mirror"])
def test_a_link_that_leads_to_itself_is_told(folder: MirrorFolder, name: str) -> None:
    path = folder.folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(name)
    assert "link" in told(folder, "mirror", status=1 if name == "mirror.yaml" else 3)


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
@pytest.mark.parametrize("verb", ["mirror", "plan", "environment"])
def test_output_that_takes_no_more_costs_nothing_but_itself_and_is_told(folder: MirrorFolder, verb: str) -> None:
    shutil.rmtree(folder.output) if verb == "mirror" else None
    status, said = into(folder, FULL, verb)
    assert status == 2, said
    assert "ERROR writing the output: No space left on device" in said
    assert (folder.output / "mirror.json").exists()


@pytest.mark.parametrize("verb", ["mirror", "environment"])
def test_who_reads_no_more_of_the_output_is_told_nothing(folder: MirrorFolder, verb: str) -> None:
    shutil.rmtree(folder.output) if verb == "mirror" else None
    reading, writing = os.pipe()
    os.close(reading)
    try:
        status, said = into(folder, writing, verb)
    finally:
        os.close(writing)
    assert (status, said) == (0 if verb == "mirror" else 1, "")
    assert (folder.output / "mirror.json").exists()


@pytest.mark.parametrize("verb", ["mirror", "environment"])
def test_without_an_output_all_is_done(folder: MirrorFolder, verb: str) -> None:
    line = 'exec "$@" >&-'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *command(verb)],
        cwd=folder.folder,
        env=run_environment({}),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_what_describes_an_environment_says_in_a_line_that_its_output_is_full() -> None:
    if not FULL.exists():
        pytest.skip("needs a device that is full")
    with FULL.open("wb") as full:
        script = [sys.executable, describe_environment.__file__]
        done = subprocess.run(script, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.startswith("writing the output: No space left on device.")
    assert len(done.stderr.splitlines()) == 1


# --- Commands of doit


def test_this_project_brings_the_commands_of_doit_that_it_mends() -> None:
    """Where it was installed before it brought them, the tests below fail: install it again."""
    found = {point.name: point.value for point in entry_points(group="doit.COMMAND")}
    for name in ("clean", "dumpdb", "forget", "help", "ignore", "info", "list", "reset-dep", "run"):
        assert found[name].startswith("mirror_tasks.commands:")
        assert getattr(commands, found[name].rpartition(":")[2]).get_name() == name


@pytest.mark.parametrize("command", ["info", "list", "forget", "ignore", "clean", "reset-dep"])
def test_a_command_that_is_given_the_name_of_no_task_says_so_and_where_the_names_are(
    folder: MirrorFolder, command: str
) -> None:
    assert "'nosuch' is not a task. `" in told(folder, command, "nosuch", status=3)


def test_an_option_that_there_is_not_is_told_with_where_those_are_that_there_are(folder: MirrorFolder) -> None:
    said = told(folder, "explain", "--sizes", status=3)
    assert "option --sizes not recognized. `" in said
    assert "CmdOption" not in said
    assert "help info` shows" in told(folder, "info", "--nosuch", "mirror", status=3)


@pytest.mark.parametrize("template", ["{nosuch}", "{", "{name.x}", "{name:>x}", "{0}", "{status}"])
def test_a_template_that_is_none_is_told(folder: MirrorFolder, template: str) -> None:
    said = told(folder, "list", "--template", template, status=3)
    assert f"listing with --template {template}: expected a text with {{name}}, {{doc}}, found" in said


def test_a_template_that_is_one_is_taken(folder: MirrorFolder) -> None:
    assert told(folder, "list", "-s", "--template", "{status} {{}} {name}", "server", status=0) == "U {} server\n"


def test_workers_that_there_can_not_be_are_refused_and_not_taken_for_nothing_to_do(folder: MirrorFolder) -> None:
    assert "running with -n -3: " in told(folder, "-n", "-3", "mirror", status=3)
    assert "running with -P process: " in told(folder, "-n", "2", "-P", "process", "mirror", status=3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--db-file", "/nowhere/x.db", "mirror"],
        ["list", "--db-file", "/nowhere/x.db"],
        ["list", "--backend", "json"],
        ["run", "--backend", "json", "mirror"],
    ],
)
def test_a_database_that_can_not_be_opened_is_told(folder: MirrorFolder, arguments: list[str]) -> None:
    assert "opening the database " in told(folder, *arguments, status=3)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs a way not to be the superuser")
def test_a_dodo_that_may_not_be_read_is_told(folder: MirrorFolder) -> None:
    (folder.folder / "dodo.py").chmod(0)
    mortal = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*mortal, *command("list")], cwd=folder.folder, env=run_environment({}), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.partition(". ")[0]) == (
        3,
        f"ERROR: reading {folder.folder / 'dodo.py'}: Permission denied",
    )


def test_a_file_for_the_output_that_can_not_be_written_is_told(folder: MirrorFolder) -> None:
    assert "writing the output into /nowhere/out.txt: " in told(folder, "-o", "/nowhere/out.txt", "mirror", status=3)


def test_a_database_of_another_kind_is_no_traceback_of_dumpdb(folder: MirrorFolder) -> None:
    assert "SQLite" in told(folder, "dumpdb", "--db-file", ".mirror/doit.db", status=3)


def test_to_ignore_nothing_is_an_error_and_to_ignore_a_task_says_how_to_take_it_back(folder: MirrorFolder) -> None:
    assert "expected a task, found none" in told(folder, "ignore", status=3)
    assert "forget server\n" in told(folder, "ignore", "server", status=0)


LOOKING = ["list", "info", "help", "clean", "forget"]


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
@pytest.mark.parametrize("command", LOOKING)
def test_a_command_says_that_its_output_is_full(folder: MirrorFolder, command: str) -> None:
    status, said = into(folder, FULL, command, *(["mirror"] if command == "info" else []))
    assert status == 3
    assert said.startswith("ERROR: writing the output: No space left on device")


@pytest.mark.parametrize("command", LOOKING)
def test_a_command_whose_output_nobody_reads_any_more_ends_without_a_word(folder: MirrorFolder, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert into(folder, writing, command, *(["mirror"] if command == "info" else [])) == (1, "")
    finally:
        os.close(writing)


OWN = """
import sys

def task_mine():
    print("tasks" if "mirror_tasks.tasks" in sys.modules else "none")
    return {"actions": ["true"]}
"""


def test_in_a_dodo_without_a_mirror_the_commands_are_those_of_doit_and_import_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(OWN)
    for arguments, status in (
        (["list"], 0),
        (["info", "mine"], 1),
        (["info", "nosuch"], 3),
        (["-n", "2", "-P", "process"], 0),
    ):
        done = subprocess.run(
            command(*arguments), cwd=tmp_path, env=run_environment({}), capture_output=True, text=True, timeout=PATIENCE
        )
        assert (done.returncode, done.stdout.splitlines()[0]) == (status, "none"), done.stderr
        assert "Traceback" not in done.stderr
    broken = "raise ValueError('a slip of its own')\n"
    (tmp_path / "dodo.py").write_text(broken)
    done = subprocess.run(
        command("list"), cwd=tmp_path, env=run_environment({}), capture_output=True, text=True, timeout=PATIENCE
    )
    assert "Traceback" in done.stderr, "who wrote it has to see where"


# --- In a dodo.py


@pytest.mark.parametrize("prefix", ["a=b", "a:b", "a b", "-x", "_x", "\n"])
def test_a_prefix_that_would_hide_tasks_or_that_no_command_line_can_name_is_refused(
    folder: MirrorFolder, prefix: str
) -> None:
    (folder.folder / "dodo.py").write_text(
        f"from mirror_tasks import pipeline\nglobals().update(pipeline(prefix={prefix!r}))\n"
    )
    said = told(folder, "list", status=3)
    assert f"expected a prefix of letters, digits, -, _ and ., with a letter or digit first, found {prefix!r}" in said


def test_a_mirror_without_a_configuration_keeps_no_other_from_being_made(folder: MirrorFolder) -> None:
    """It took the settings of all with it: a plain doit did its task alone, and remembered nothing of the others."""
    with (folder.folder / "dodo.py").open("a") as dodo:
        dodo.write('globals().update(pipeline("nosuch.yaml", prefix="lab"))\n')
    said = told(folder, status=1)
    assert "whole" not in said
    assert "mirror: 5 projects, 8 files, checked, though something failed" in said
    assert f"FAILED lab-mirror\n  reading {folder.folder / 'nosuch.yaml'}: there is no such file" in said
    assert "U server\n" in told(folder, "list", "-s", "--template", "{status} {name}", status=0)


def test_a_configuration_that_can_not_be_looked_for_is_told(folder: MirrorFolder) -> None:
    done = folder.doit("list", MIRROR_CONFIG="x" * 300)
    assert done.returncode == 3
    assert f"reading {folder.folder / ('x' * 300)}: File name too long. " in done.stderr


def test_a_list_shows_what_it_can_where_the_state_is_broken(folder: MirrorFolder) -> None:
    with (folder.folder / "mirror.yaml").open("a") as config:
        config.write("transfer: {to: stick, sign: none}\n")
    (folder.state / "transfer").write_text("no folder")
    assert "writes what is not inside yet onto a stick" in told(folder, "list", status=0)
