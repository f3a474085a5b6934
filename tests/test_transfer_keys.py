"""What ``transfer:`` says in ``mirror.yaml``: read as it is documented, and wrong ones refused with their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror_tasks.config.transfer import Keep, Signer, Transfer
from tests.test_config import WHOLE, config, faults


def transfer(folder: Path, text: str, name: str = "mirror.yaml") -> Transfer:
    found = config(folder, f"{WHOLE}\ntransfer: {text}", name).transfer
    assert found is not None
    return found


def test_nothing_is_sent_where_nothing_is_said(tmp_path: Path) -> None:
    assert config(tmp_path).transfer is None


def test_an_empty_block_has_the_documented_defaults(tmp_path: Path) -> None:
    assert transfer(tmp_path, "{}") == Transfer(to=tmp_path / "bundles", keep=Keep(plans=1))
    assert transfer(tmp_path, "{}", "lab.yaml").to == tmp_path / "bundles-lab"


def test_paths_are_relative_to_the_file_and_know_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = transfer(tmp_path, "{to: ~/stick, receipt: ../receipt.json, sign: [{ssh: ~/.ssh/id}, {gpg: 'AB12'}]}")
    assert found.to == Path("/home/me/stick")
    assert found.receipt == tmp_path.parent / "receipt.json"
    assert found.signers == (Signer("ssh", "/home/me/.ssh/id"), Signer("gpg", "AB12"))


@pytest.mark.parametrize(
    ("text", "size"),
    [("650M", 650_000_000), ("650MB", 650_000_000), ("3.7G", 3_700_000_000), ("4 GiB", 1 << 32), ("200k", 200_000)],
)
def test_sizes_are_read_as_sticks_are_sold(tmp_path: Path, text: str, size: int) -> None:
    assert transfer(tmp_path, f"{{volume: {text}}}").volume == size


@pytest.mark.parametrize(
    ("text", "keep"), [("90d", Keep(days=90)), ("3", Keep(plans=3)), ("0", Keep(plans=0)), ("'7 d'", Keep(days=7))]
)
def test_what_left_the_plan_stays_for_days_or_for_plans(tmp_path: Path, text: str, keep: Keep) -> None:
    assert transfer(tmp_path, f"{{keep: {text}}}").keep == keep


def test_that_nobody_signs_has_to_be_said(tmp_path: Path) -> None:
    assert transfer(tmp_path, "{sign: none}").unsigned
    assert not transfer(tmp_path, "{}").unsigned


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stick", "transfer: expected keys and values, found 'stick'"),
        ("{volumes: 4G}", "transfer.volumes: unknown key 'volumes'; did you mean 'volume'?"),
        ("{stream: Main}", "transfer.stream: expected a name of small letters, digits and - that begins with a letter"),
        ("{stream: '../x'}", "transfer.stream: expected a name of small letters"),
        ("{to: mirror/bundles}", "transfer.to: it lies in the output, "),
        ("{to: mirror}", "transfer.to: it lies in the output, "),
        ("{to: .mirror}", "transfer.to: it lies in this project's state, "),
        ("{volume: 3900}", "transfer.volume: expected a size such as 650M, 3900M or 4G, found 3900"),
        ("{volume: 0M}", "transfer.volume: expected a size"),
        ("{volume: -1G}", "transfer.volume: expected a size"),
        ("{keep: true}", "transfer.keep: expected a number of plans from 0 to 1000, or of days from 1d to 36500d"),
        ("{keep: -1}", "transfer.keep: expected"),
        ("{keep: 0d}", "transfer.keep: expected"),
        ("{keep: 3 months}", "transfer.keep: expected"),
        ("{sign: ssh}", "transfer.sign: expected a tool and its key such as {ssh: ~/.ssh/id_ed25519}, or none; found"),
        ("{sign: []}", "transfer.sign: expected who signs"),
        ("{sign: {pgp: ab}}", "transfer.sign.pgp: unknown tool 'pgp'"),
        ("{sign: [{ssh: id}, {gpg: 123}]}", "transfer.sign[1].gpg: expected a key's fingerprint or address, in quotes"),
        ("{sign: {gpg: '--output'}}", "transfer.sign.gpg: expected a key's fingerprint"),
        ("{sign: [{ssh: id}, {ssh: ./id}]}", "transfer.sign[1]: the same ssh key is listed twice"),
        ("{receipt: [a]}", "transfer.receipt: expected one line of text"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (said,) = faults(tmp_path, f"{WHOLE}\ntransfer: {text}")
    assert said.startswith(fault)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    said = faults(tmp_path, f"{WHOLE}\ntransfer: {{stream: A, volume: big, keep: long, sign: 7}}")
    assert [line.partition(":")[0] for line in said] == [
        "transfer.stream",
        "transfer.volume",
        "transfer.sign",
        "transfer.keep",
    ]
