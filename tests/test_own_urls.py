"""A requirement that names the URL of a file becomes one of its very release, served from there alone; no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror_tasks.config.model import Config
from mirror_tasks.config.own_sources import names_of
from tests.test_config import HASH, config, faults

ENVIRONMENTS = """
environments:
  server: {python: "3.12", platform: linux-x86_64}
requirements:
"""
PLACE = "https://files.example.com/x"
WHEEL = f"{PLACE}/ours-1.2-py3-none-any.whl"


def with_lines(folder: Path, *lines: str, **files: str) -> Config:
    return config(folder, ENVIRONMENTS + "".join(f"  - {line}\n" for line in lines), **files)


def fault(folder: Path, line: str) -> str:
    (said,) = faults(folder, f"{ENVIRONMENTS}  - '{line}'\n")
    return said


def test_it_requires_the_release_that_the_name_of_the_file_says(tmp_path: Path) -> None:
    line = f"'Ours[fast] @ {WHEEL}#sha256={HASH.upper()} ; python_version >= \"3\"'"
    one = with_lines(tmp_path, line)
    (root,) = one.roots
    assert str(root.requirements[0].requirement) == 'Ours[fast]==1.2; python_version >= "3"'
    assert root.name == "Ours[fast] from ours-1.2-py3-none-any.whl"
    assert root.requirements[0].hashes == frozenset()
    ((file,),) = [own.files for own in one.own]
    assert (file.filename, file.url, file.sha256) == ("ours-1.2-py3-none-any.whl", WHEEL, HASH)
    assert names_of(one.own) == {"ours"}


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ours-1.2%2Bcu128-py3-none-any.whl?download=1", "1.2+cu128"),
        ("OURS-1.2.tar.gz#egg=ours", "1.2"),
        ("ours-1.2.zip", "1.2"),
    ],
)
def test_the_name_is_read_as_installers_read_it(tmp_path: Path, name: str, version: str) -> None:
    (root,) = with_lines(tmp_path, f"'ours @ {PLACE}/{name}'").roots
    assert str(root.requirements[0].requirement) == f"ours=={version}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"other @ {WHEEL}", "expected a file of other, found one of ours: ours-1.2-py3-none-any.whl"),
        (f"ours @ {PLACE}/archive/main.zip", "the last part of its URL, 'main.zip', is not an sdist's name"),
        (f"ours @ {PLACE}/", "the last part of its URL, ''"),
        (f"ours @ {PLACE}/..%2Fours-1.2-py3-none-any.whl", "expected a plain name"),
        (f"ours @ {WHEEL}#sha256=12", "expected #sha256= and 64 digits behind its URL, found #sha256=12"),
        (f"ours @ {WHEEL}#md5={HASH[:32]}", "expected #sha256="),
        (f"ours @ {WHEEL}#sha256={HASH}&sha256={HASH[:-1]}b", "expected one #sha256="),
        ("ours @ ftp://files.example.com/ours-1.2.tar.gz", "found one with ftp:"),
        ("ours @ file:ours-1.2.tar.gz", "found one with file:"),
        ("ours @ https:///ours-1.2.tar.gz", "found one with https:"),
        ("ours @ https://files.example.com:x/ours-1.2.tar.gz", "found something that is none"),
        (WHEEL, "name the project, as in NAME @ URL, or the folder that the file lies in (wheels:)"),
        ("./dist/ours-1.2.tar.gz", "or the folder that the file lies in (wheels:)"),
        (f"ours @ {PLACE}/${{NAME}}/ours-1.2.tar.gz", "${…} may stand before the @ of its host only"),
        ("ours @ https://${NOBODY_SET_THIS}@files.example.com/ours-1.2.tar.gz", "NOBODY_SET_THIS is not set"),
    ],
)
def test_one_that_can_not_be_used_is_told_with_what_was_expected(tmp_path: Path, line: str, said: str) -> None:
    found = fault(tmp_path, line)
    assert found.startswith("requirements[0]: ")
    assert said in found


def test_credentials_are_taken_from_variables_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "s3cret")
    line = "'ours @ https://me:${OUR_TOKEN}@files.example.com/ours-1.2.tar.gz'"
    one = with_lines(tmp_path, line)
    assert one.own[0].files[0].url == "https://me:s3cret@files.example.com/ours-1.2.tar.gz"
    assert "s3cret" not in repr((one.roots, one.own))
    assert "s3cret" not in fault(tmp_path, "other @ https://me:s3cret@files.example.com/ours-1.2.tar.gz")
    assert "s3cret" not in fault(tmp_path, "ours @ https://me:s3cret@files.example.com/main.zip")


def test_lines_of_a_requirements_file_are_read_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_TOKEN", "s3cret")
    ours = "ours @ https://${OUR_TOKEN}@files.example.com/ours-1.2.tar.gz  # ours"
    lines = f"requests\n{ours}\nlib @ {PLACE}/lib-1.tar.gz --hash=sha256:{HASH}\n"
    one = with_lines(tmp_path, "{file: requirements.txt}", requirements_txt=lines)
    (root,) = one.roots
    assert [str(each.requirement) for each in root.requirements] == ["requests", "ours==1.2", "lib==1"]
    assert [each.hashes for each in root.requirements] == [frozenset(), frozenset(), {HASH}]
    assert {file.filename: file.sha256 for own in one.own for file in own.files} == {
        "lib-1.tar.gz": HASH,
        "ours-1.2.tar.gz": None,
    }
    assert "s3cret" not in repr(one.roots)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"other @ {WHEEL}", "expected a file of other"),
        (f"ours @ {WHEEL}#sha256={HASH} --hash=sha256:{'b' * 64}", "its URL and its --hash give different hashes"),
    ],
)
def test_a_wrong_line_is_told_by_its_number(tmp_path: Path, line: str, said: str) -> None:
    (found,) = faults(tmp_path, f"{ENVIRONMENTS}  - {{file: r.txt}}\n", r_txt=f"requests\n{line}\n")
    assert found.startswith("r.txt:2: ")
    assert said in found


def test_a_constraint_may_not_name_one(tmp_path: Path) -> None:
    (found,) = faults(
        tmp_path, f"{ENVIRONMENTS}  - {{file: r.txt}}\n", r_txt="a\n-c c.txt\n", c_txt=f"ours @ {WHEEL}\n"
    )
    assert found.startswith("c.txt:1: a constraint can't name a URL here")


def test_one_file_may_be_asked_for_twice_and_one_name_from_two_places_is_a_fault(tmp_path: Path) -> None:
    one = with_lines(tmp_path, f"ours @ {WHEEL}", f"'ours[fast] @ {WHEEL}'", f"ours @ {PLACE}/ours-1.3.tar.gz")
    assert [file.filename for file in one.own[0].files] == ["ours-1.2-py3-none-any.whl", "ours-1.3.tar.gz"]
    said = faults(tmp_path, f"{ENVIRONMENTS}  - ours @ {WHEEL}\n  - 'ours[fast] @ {WHEEL.replace('/x', '/y')}'\n")
    assert said == ["requirements[1]: ours-1.2-py3-none-any.whl is there already, from another place; keep one of them"]
    said = faults(tmp_path, f"{ENVIRONMENTS}  - ours @ {WHEEL}\n  - ours @ {WHEEL}\n")
    assert "is listed already" in said[0]
