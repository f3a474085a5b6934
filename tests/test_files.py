"""What was hashed is remembered: past a torn line, past many runs, and whoever else looks meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror_tasks.files import Ledger


def made(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(name.encode())
    return path


def test_what_was_hashed_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    file, journal = made(tmp_path, "a"), tmp_path / "state" / "hashes.jsonl"
    sha256 = Ledger(journal, tmp_path).sha256(file)
    assert Ledger(journal, tmp_path).known(file) == sha256
    file.write_bytes(b"changed")
    assert Ledger(journal, tmp_path).known(file) is None


def test_a_torn_last_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    first, second, journal = made(tmp_path, "a"), made(tmp_path, "b"), tmp_path / "hashes.jsonl"
    Ledger(journal, tmp_path).sha256(first)
    journal.write_bytes(journal.read_bytes() + b'["b", 1, 2')
    Ledger(journal, tmp_path).sha256(second)
    again = Ledger(journal, tmp_path)
    assert again.known(first)
    assert again.known(second)


@pytest.mark.parametrize("lines", [b'["x", 1, 2', b'["x", 1, 2, "y"]\n' * 300])
def test_who_only_looks_changes_nothing_under_a_run_that_writes(tmp_path: Path, lines: bytes) -> None:
    first, second, journal = made(tmp_path, "a"), made(tmp_path, "b"), tmp_path / "hashes.jsonl"
    run = Ledger(journal, tmp_path)
    run.sha256(first)
    with journal.open("ab") as stream:
        stream.write(lines)
    before = journal.read_bytes()
    Ledger(journal, tmp_path)
    assert journal.read_bytes() == before
    if lines.endswith(b"\n"):
        run.sha256(second)
        assert Ledger(journal, tmp_path).known(second)


def test_a_journal_of_many_runs_is_shortened(tmp_path: Path) -> None:
    file, journal = made(tmp_path, "a"), tmp_path / "hashes.jsonl"
    Ledger(journal, tmp_path).sha256(file)
    journal.write_bytes(journal.read_bytes() * 300)
    Ledger(journal, tmp_path).sha256(made(tmp_path, "b"))
    assert journal.read_bytes().count(b"\n") == 2
