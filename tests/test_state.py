"""What can't be read of the state folder is as good as gone: the next run ends well, and fetches no file of the mirror again."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.files import sealed, unsealed
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.state.ledger import Ledger
from mirror_tasks.state.records import Records
from mirror_tasks.tasks.database import Codec, have_database
from tests.fake_index import FakeIndex
from tests.interpreters import share
from tests.mirroring import MirrorFolder, asked, assert_whole, launcher, mirror_folder, small_world, tree

DEEP = b"[" * 200_000


def _with(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path: Path) -> None:
    """One bit in the middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _wrong_types(path: Path) -> None:
    """Wherever a text stood there is a number, and the other way round: it can be read, and is of no use."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [turned(one) for one in value]
        return 5 if isinstance(value, str) else "x"

    lines = []
    for line in path.read_bytes().splitlines():
        try:
            lines.append(json.dumps(turned(json.loads(line))).encode())
        except ValueError:
            lines.append(line)
    try:
        path.write_bytes(json.dumps(turned(json.loads(path.read_bytes()))).encode())
    except ValueError:
        path.write_bytes(b"\n".join(lines) + b"\n")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _full_folder(path: Path) -> None:
    _folder(path)
    (path / "file").write_text("what somebody left there")


def _unreadable(path: Path) -> None:
    """Not even the superuser can follow a link that leads to itself."""
    path.unlink()
    path.symlink_to(path.name)


def _forbidden(path: Path) -> None:
    path.chmod(0)


GARBAGE: dict[str, Callable[[Path], None]] = {
    "null": _with(b"null\n"),
    "list": _with(b"[]\n"),
    "number": _with(b"5\n"),
    "mapping": _with(b"{}\n"),
    "infinity": _with(b'["x", Infinity, 1, "x"]\n'),
    "huge": _with(b'["x", %s, 1e999, "x"]\n{"format": %s}\n' % (b"9" * 300, b"9" * 5000)),
    "deep": _with(DEEP),
    "wrong types": _wrong_types,
    "halved": _halved,
    "one bit": _flipped,
    "empty": _with(b""),
    "binary": _with(bytes(range(256)) * 40),
    "zeros": _with(bytes(10_000)),
    "folder": _folder,
    "full folder": _full_folder,
    "unreadable": _unreadable,
    "forbidden": _forbidden,
}
KINDS = (
    "doit.db",
    "run.lock",
    "hashes.jsonl",
    "plan.json",
    "published.json",
    "manifests.txt",
    "solutions.json",
    "projects",
    "metadata",
    "releases",
)


@pytest.fixture(scope="module")
def index() -> Iterator[FakeIndex]:
    with FakeIndex(small_world()) as index:
        yield index


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory, index: FakeIndex) -> MirrorFolder:
    project = mirror_folder(tmp_path_factory.mktemp("mirrored"), index)
    project.mirrored()
    return project


def files_of(state: Path, kind: str) -> list[Path]:
    path = state / kind
    return sorted(path.iterdir()) if path.is_dir() else [path]


def mended(mirrored: MirrorFolder, folder: Path, index: FakeIndex, kinds: dict[str, str]) -> None:
    """Assert that a run ends well, and fetches no file again, though files of these kinds were made garbage."""
    shutil.copytree(mirrored.folder, folder, copy_function=shutil.copy2)
    project = MirrorFolder(folder)
    before = tree(project.output)
    for kind, garbage in kinds.items():
        for path in files_of(project.state, kind):
            GARBAGE[garbage](path)
    index.requests.clear()
    for verb in (("list",), ("mirror",)):
        launcher().start(folder, *verb)
        done = launcher().wait()
        text = done.stdout + done.stderr
        assert "Traceback" not in text, (kinds, verb, text)
        assert done.returncode == 0, (kinds, verb, text)
    assert tree(project.output) == before
    assert_whole(project.output)
    assert not [path for path in asked(index) if not path.endswith(".metadata")]


def test_every_file_of_the_state_is_tried(mirrored: MirrorFolder) -> None:
    assert {path.name for path in mirrored.state.iterdir()} - {"held"} == set(KINDS)
    assert all(files_of(mirrored.state, kind) for kind in KINDS)


@pytest.mark.parametrize("garbage", share(list(GARBAGE)))
def test_a_state_of_nothing_but_garbage_is_as_good_as_none(
    tmp_path: Path, index: FakeIndex, mirrored: MirrorFolder, garbage: str
) -> None:
    mended(mirrored, tmp_path / "copy", index, dict.fromkeys(KINDS, garbage))


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_any_file_of_the_state_may_be_garbage_in_its_own_way(
    tmp_path: Path, index: FakeIndex, mirrored: MirrorFolder, number: int
) -> None:
    names = list(GARBAGE)
    mended(mirrored, tmp_path / "copy", index, {KINDS[number]: names[(5 * number + 3) % len(names)]})


@pytest.mark.parametrize("garbage", GARBAGE)
def test_each_reader_takes_garbage_for_nothing(tmp_path: Path, mirrored: MirrorFolder, garbage: str) -> None:
    """Each file alone, as it is read, where a whole run could hide that another one was read in its place."""
    state = tmp_path / "state"
    shutil.copytree(mirrored.state, state)
    for kind in KINDS:
        for path in files_of(state, kind):
            GARBAGE[garbage](path)
    if garbage == "forbidden" and os.geteuid() == 0:
        return  # nothing is forbidden to the superuser: it was read, and there was nothing wrong with it
    records = Records(state)
    for path in (state / "projects").iterdir():
        assert records.project(path.stem) is None
        seen = records.seen(path.stem)
        assert seen is None or seen.etag is None
    for path in (mirrored.state / "metadata").iterdir():
        sha256 = unsealed(path.read_bytes())["file_sha256"]
        assert records.metadata(path.name.removesuffix(".json"), sha256) is None
    assert records.known_solutions() == {}
    with pytest.raises((ValueError, OSError)):
        Plan.from_bytes(records.plan.read_bytes())
    ledger = Ledger(state / "hashes.jsonl", tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    ledger.seal(tmp_path / "file", "ab" * 32)
    assert Ledger(state / "hashes.jsonl", tmp_path).known(tmp_path / "file") == "ab" * 32


@pytest.mark.parametrize("content", [{}, {"a": [1, {"b": None}], "é": "\u2028"}, {"x": {"y": 1}}])
def test_what_was_sealed_is_read_back_and_nothing_else(content: dict[str, Any]) -> None:
    written = sealed(content)
    assert unsealed(written) == content
    assert json.loads(written).keys() == {".sha256", *content}, "it is JSON for everybody else"
    for position in range(len(written)):
        damaged = bytearray(written)
        damaged[position] ^= 4  # also the comma, which is not part of what is hashed, but of what is looked for
        with pytest.raises(ValueError, match="found something else"):
            unsealed(bytes(damaged))


@pytest.mark.parametrize(
    "line",
    [
        b'["x", 1, 1, "x"]',
        b'["x", true, 1, "%s"]' % (b"ab" * 32),
        b'["x", Infinity, 1, "%s"]' % (b"ab" * 32),
        b'[["x"], 1, 1, "%s"]' % (b"ab" * 32),
        b'{"a": 1, "b": 2, "c": 3, "d": 4}',
        b'"abcd"',
        DEEP,
    ],
)
def test_a_line_of_the_ledger_that_is_none_costs_only_itself(tmp_path: Path, line: bytes) -> None:
    good, path = tmp_path / "good", tmp_path / "hashes.jsonl"
    good.write_bytes(b"x")
    Ledger(path, tmp_path).seal(good, "ab" * 32)
    path.write_bytes(line + b"\n" + path.read_bytes())
    assert Ledger(path, tmp_path).known(good) == "ab" * 32


@pytest.mark.parametrize(
    "kept",
    [
        "null",
        "[]",
        "5",
        '{"_values_:": 5}',
        '{"_values_:": {}, "deps:": 5}',
        '{"checker:": []}',
        '{"/a/file": [1]}',
        '{"result:": 7}',
        "{",
        "[" * 100_000,
    ],
)
def test_what_doit_kept_of_a_task_has_its_shape_or_is_left_out(kept: str) -> None:
    assert Codec().decode(kept) == {}


def test_what_doit_kept_is_read_back() -> None:
    kept = {
        "_values_:": {"made_from": "x"},
        "result:": "ab",
        "checker:": "MD5Checker",
        "deps:": ["a"],
        "a": [1.5, 3, "m"],
    }
    assert Codec().decode(json.dumps(kept)) == kept
    assert Codec().decode(json.dumps({"task": kept, "other": {"deps:": 3}})) == {"task": kept}, "the backend `json`"


def test_a_database_with_other_tables_is_no_database_of_doit(tmp_path: Path) -> None:
    path = tmp_path / "doit.db"
    with sqlite3.connect(path) as database:
        database.execute("create table doit (something int)")
    database.close()
    have_database(path)
    with sqlite3.connect(path) as database:
        assert [row[1] for row in database.execute("pragma table_info(doit)")] == ["task_id", "task_data"]
    database.close()


def test_a_database_that_another_process_writes_to_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "doit.db"
    with sqlite3.connect(path) as database:
        database.execute("create table doit (task_id text not null primary key, task_data json)")
    have_database(path)
    assert path.exists()
    database.close()


@pytest.mark.parametrize("backend", ["json", "dbm", "sqlite3"])
def test_what_doit_can_not_read_in_any_form_of_its_database_is_as_good_as_gone(
    tmp_path: Path, index: FakeIndex, mirrored: MirrorFolder, backend: str
) -> None:
    shutil.copytree(mirrored.folder, tmp_path / "copy", copy_function=shutil.copy2)
    own = ("--backend", backend, "--db-file", "own.db")
    project = MirrorFolder(tmp_path / "copy")
    project.doit("run", *own, "mirror")
    (path,) = [path for path in project.folder.glob("own.db*") if b'"made_from"' in path.read_bytes()]
    wrong = b'"made_fro":' if backend == "json" else b'"made\xff\xfexx}"'
    path.write_bytes(path.read_bytes().replace(b'"made_from"', wrong))
    done = project.doit("run", *own, "mirror")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "whole and checked" in done.stdout


def test_a_page_that_was_kept_by_a_clock_that_was_ahead_is_asked_for(tmp_path: Path) -> None:
    with FakeIndex(small_world()) as index:
        project = mirror_folder(tmp_path, index, refresh="12h")
        project.mirrored()
        index.requests.clear()
        project.mirrored()
        assert not asked(index, "/simple/"), "a page is fresh for twelve hours"
        for path in (project.state / "projects").iterdir():
            os.utime(path, (time.time() + 365 * 86400,) * 2)
        project.mirrored()
        assert set(asked(index, "/simple/").values()) == {1}
        index.requests.clear()
        project.mirrored()
        assert not asked(index, "/simple/"), "and fresh again, once it was asked for"


def test_a_plan_is_pickled_and_read_back(mirrored: MirrorFolder) -> None:
    plan = Plan.from_bytes((mirrored.state / "plan.json").read_bytes())
    assert Plan.from_bytes(plan.to_bytes()).to_bytes() == plan.to_bytes()
    assert pickle.loads(pickle.dumps(plan)).files == plan.files
