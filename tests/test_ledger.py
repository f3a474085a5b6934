"""What was hashed is remembered: past a torn line, past many runs, and whoever else looks meanwhile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mirror_tasks.state.ledger import Ledger


def made(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(name.encode())
    return path


def found_right(ledger: Ledger, path: Path) -> str:
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert ledger.is_right(path, sha256)
    return sha256


def test_what_was_hashed_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    file, journal = made(tmp_path, "a"), tmp_path / "state" / "hashes.jsonl"
    sha256 = found_right(Ledger(journal, tmp_path), file)
    assert Ledger(journal, tmp_path).known(file) == sha256
    file.write_bytes(b"changed")
    assert Ledger(journal, tmp_path).known(file) is None


@pytest.mark.parametrize("seconds", [-1, (1 << 63) // 1_000_000_000 + 1, 253_402_300_799])
def test_a_file_of_any_time_is_remembered(seconds: int, tmp_path: Path) -> None:
    """A clock that was wrong, or who unpacks an archive, may set one that is beyond 64 bits of nanoseconds, in 2262."""
    file, journal = made(tmp_path, "a"), tmp_path / "hashes.jsonl"
    os.utime(file, (seconds, seconds))
    sha256 = found_right(Ledger(journal, tmp_path), file)
    assert Ledger(journal, tmp_path).known(file) == sha256


def test_a_torn_last_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    first, second, journal = made(tmp_path, "a"), made(tmp_path, "b"), tmp_path / "hashes.jsonl"
    found_right(Ledger(journal, tmp_path), first)
    journal.write_bytes(journal.read_bytes() + b'["b", 1, 2')
    found_right(Ledger(journal, tmp_path), second)
    again = Ledger(journal, tmp_path)
    assert again.known(first)
    assert again.known(second)


@pytest.mark.parametrize("lines", [b'["x", 1, 2', b'["x", 1, 2, "y"]\n' * 300])
def test_who_only_looks_changes_nothing_under_a_run_that_writes(tmp_path: Path, lines: bytes) -> None:
    first, second, journal = made(tmp_path, "a"), made(tmp_path, "b"), tmp_path / "hashes.jsonl"
    run = Ledger(journal, tmp_path)
    found_right(run, first)
    with journal.open("ab") as stream:
        stream.write(lines)
    before = journal.read_bytes()
    assert Ledger(journal, tmp_path).known(first)
    assert journal.read_bytes() == before
    if lines.endswith(b"\n"):
        found_right(run, second)
        assert Ledger(journal, tmp_path).known(second)


@pytest.mark.parametrize(
    "line", ['["b", 9223372036854775808, 2, "%s"]', '["b", 1, -9999999999999999999999999999999, "%s"]']
)
def test_numbers_that_no_file_has_cost_their_line_alone(tmp_path: Path, line: str) -> None:
    file, journal = made(tmp_path, "a"), tmp_path / "hashes.jsonl"
    found_right(Ledger(journal, tmp_path), file)
    journal.write_bytes(journal.read_bytes() + (line % ("ab" * 32)).encode() + b"\n")
    assert Ledger(journal, tmp_path).known(file)
    assert Ledger(journal, tmp_path).made(tmp_path / "b") is None


def test_a_journal_of_many_runs_is_shortened(tmp_path: Path) -> None:
    file, journal = made(tmp_path, "a"), tmp_path / "hashes.jsonl"
    found_right(Ledger(journal, tmp_path), file)
    journal.write_bytes(journal.read_bytes() * 300)
    found_right(Ledger(journal, tmp_path), made(tmp_path, "b"))
    assert journal.read_bytes().count(b"\n") == 2


def test_what_is_found_wrong_is_not_remembered_as_made(tmp_path: Path) -> None:
    file, ledger = made(tmp_path, "a"), Ledger(tmp_path / "hashes.jsonl", tmp_path)
    sha256 = found_right(ledger, file)
    file.write_bytes(b"altered")
    assert not ledger.is_right(file, sha256)
    assert ledger.made(file) == sha256
    assert ledger.known(file) is None


def test_a_link_is_not_what_was_made_even_if_it_leads_to_the_same_bytes(tmp_path: Path) -> None:
    file, ledger = made(tmp_path, "a"), Ledger(tmp_path / "hashes.jsonl", tmp_path)
    sha256 = found_right(ledger, file)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to("elsewhere")
    assert ledger.known(file) is None
    assert not ledger.is_right(file, sha256)
