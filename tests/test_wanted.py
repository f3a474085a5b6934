"""What clients asked for in vain is reviewed before any of it is asked of an index, and never fails a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.config.wishes import Review, Wish, read_review, read_wishes, review_path
from mirror_tasks.errors import ResolutionError
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, asked, mirror_folder, packages, tree
from tests.server_fixtures import load_server

WANTED = """\
# What clients asked for and this mirror did not have.
alone==2.0  # asked for 4 times; files: alone-2.0-py3-none-any.whl; by: Python 3.11 on windows-amd64, PyPy 3.10 on linux-x86_64
extra  # asked for 1 time; by: Python 3.12 on linux-x86_64 (glibc 2.36)
no-such-thing  # asked for 2 times
our-own-secret  # asked for 9 times
pip  # asked for 80 times
"""


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    projects = {
        "alone": [wheel("alone", "2.0"), wheel("alone", "3.0")],
        "extra": [wheel("extra", "1.0", requires=["lib"]), wheel("extra", "1.1", requires=["lib"])],
        "lib": [wheel("lib", "1.0")],
        "pip": [wheel("pip", "26.3")],
    }
    with FakeIndex(projects) as served:
        yield served


@pytest.fixture
def project(tmp_path: Path, index: FakeIndex) -> MirrorFolder:
    made = mirror_folder(tmp_path / "lab", index, requirements=["alone", {"wanted": "wanted.txt"}])
    (made.folder / "wanted.txt").write_text(WANTED, encoding="utf-8")
    return made


def test_nothing_is_asked_of_the_index_before_it_is_accepted(project: MirrorFolder, index: FakeIndex) -> None:
    shown = project.doit("wanted")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    project.mirrored()
    assert asked(index, "/simple/") == {"/simple/alone/": 1}
    lines = shown.stdout.splitlines()
    assert lines[:4] == [
        "wanted.txt: 5 new, 0 accepted, 0 dropped",
        "new; no index is asked for these before they are accepted:",
        "  pip, asked for 80 times",
        "  our-own-secret, asked for 9 times",
    ]
    assert "    by Python 3.11 on windows-amd64: laptop" in lines
    assert "    by PyPy 3.10 on linux-x86_64: no environment of mirror.yaml" in lines
    assert "    by Python 3.12 on linux-x86_64 (glibc 2.36): server" in lines
    assert "    files: alone-2.0-py3-none-any.whl" in lines


def test_what_is_accepted_is_shown_as_the_index_has_it_and_mirrored(project: MirrorFolder, index: FakeIndex) -> None:
    shown = project.doit("wanted", "--accept", "extra", "alone==2.0")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "wanted.txt: 3 new, 2 accepted, 0 dropped" in shown.stdout
    assert "    server, laptop: extra 1.1, 1 file, " in shown.stdout
    assert "    server, laptop: alone 2.0, 1 file, " in shown.stdout
    assert set(asked(index, "/simple/")) == {"/simple/alone/", "/simple/extra/"}
    assert read_review((project.folder / "wanted.reviewed.txt").read_text("utf-8")).accepted == {"extra", "alone==2.0"}
    project.mirrored()
    assert packages(project.output) == {
        "alone": ["alone-2.0-py3-none-any.whl", "alone-3.0-py3-none-any.whl"],
        "extra": ["extra-1.1-py3-none-any.whl"],
        "lib": ["lib-1.0-py3-none-any.whl"],
    }
    assert "(is in the plan)" not in project.doit("wanted").stdout


def test_what_is_dropped_is_not_shown_as_new_again_in_any_version(project: MirrorFolder, index: FakeIndex) -> None:
    assert project.doit("wanted", "--drop", "pip", "our-own-secret").returncode == 0
    text = WANTED.replace("pip  #", "pip==26.3  #").replace("our-own-secret  #", "our-own-secret==1.0  #")
    (project.folder / "wanted.txt").write_text(text, encoding="utf-8")
    shown = project.doit("wanted")
    assert "wanted.txt: 3 new, 0 accepted, 2 dropped" in shown.stdout
    assert "dropped: our-own-secret==1.0, pip==26.3" in shown.stdout
    assert asked(index, "/simple/") == {}
    project.doit("wanted", "--accept", "pip==26.3")
    assert "wanted.txt: 3 new, 1 accepted, 1 dropped" in project.doit("wanted").stdout


def test_a_wish_that_no_index_has_fails_nothing(project: MirrorFolder, index: FakeIndex) -> None:
    shown = project.doit("wanted", "--accept", "no-such-thing", "extra")
    assert "is not on the index, and is passed over; doit wanted --drop no-such-thing" in shown.stdout
    project.mirrored()
    done = project.doit("mirror")
    assert done.returncode == 0
    assert "wish not met: no-such-thing on laptop, server; `doit wanted` says why" in done.stdout
    assert "whole and checked" in done.stdout
    assert "extra" in packages(project.output)
    assert project.doit("prove", "--own").returncode == 0
    plan = json.loads((project.state / "plan.json").read_bytes())
    assert {one["root"] for one in plan["unmet_wishes"]} == {"no-such-thing"}
    assert plan["unsolved"] == []


def test_a_requirement_of_the_users_own_that_is_wished_too_still_has_to_be_met(
    project: MirrorFolder, index: FakeIndex
) -> None:
    project.configure(index.url, requirements=["alone", "No.Such_Thing", {"wanted": "wanted.txt"}])
    project.doit("wanted", "--accept", "no-such-thing")
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "wish not met" not in done.stdout


def test_an_index_that_can_not_be_asked_is_told_for_that_wish_alone(project: MirrorFolder, index: FakeIndex) -> None:
    index.fault("/simple/extra/", "status", status=418)
    shown = project.doit("wanted", "--accept", "extra", "alone==2.0")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "    could not be asked for: " in shown.stdout
    assert "418" in shown.stdout
    assert "    server, laptop: alone 2.0, 1 file, " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--accept", "flask"], "found none of that name"),
        (["--accept", "no-such-thing", "flask==1"], "found none of that name"),
        (["--drop", "alone==9"], "found none of that name"),
        (["--accept"], "either --accept or --drop"),
        (["extra"], "either --accept or --drop"),
        (["--accept", "--drop", "extra"], "either --accept or --drop"),
        (["--accept", "extra; python_version"], "expected a project or a requirement"),
    ],
)
def test_what_can_not_be_decided_is_said_and_nothing_is_written(
    project: MirrorFolder, index: FakeIndex, arguments: list[str], said: str
) -> None:
    before = tree(project.folder)
    done = project.doit("wanted", *arguments)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    after = tree(project.folder)
    assert {name for name in after if "wanted" in name} == {name for name in before if "wanted" in name}
    assert asked(index, "/simple/") == {}


def test_without_a_list_it_says_how_to_have_one(tmp_path: Path, index: FakeIndex) -> None:
    done = mirror_folder(tmp_path / "lab", index, requirements=["alone"]).doit("wanted")
    assert done.returncode != 0
    assert "- {wanted: wanted.txt}" in done.stdout + done.stderr


def test_the_list_is_read_as_the_server_writes_it() -> None:
    server = load_server()
    wishes = {
        "numpy": server.Wish(3, (), ()),
        "numpy==1.24.0": server.Wish(1, ("numpy-1.24.0-cp311-cp311-win_amd64.whl",), ()),
        "x-y==1!2.0+local": server.Wish(
            9, ("x_y-1!2.0+local-1-py3-none-any.whl", "others"), ("Python 3.7 on linux-x86_64",)
        ),
        "z": server.Wish(9, (), ("Python 3.12 on linux-x86_64 (glibc 2.36)", "PyPy 3.10 on macos-arm64", "others")),
    }
    found, strange = read_wishes("# head\n" + "".join(wish.write(name) for name, wish in wishes.items()))
    assert found == tuple(Wish(name, *wish) for name, wish in wishes.items())
    assert strange == ()
    for name, wish in wishes.items():
        assert server.read_wish(wish.write(name).rstrip("\n")) == (name, wish)


def test_what_the_server_does_not_write_is_no_wish() -> None:
    lines = [
        "-r /etc/passwd",
        "name @ https://index.example.com/x.whl",
        "name>=1",
        "a\x1b[2J",
        "name  # asked for 1 time; by: \u202eme",
        "name==not.a.version!",
        "x" * 300,
        "name[extra]",
        "name; os_name == 'nt'",
    ]
    assert read_wishes("\n".join(lines)) == ((), tuple(range(1, len(lines) + 1)))


def test_a_review_reads_back_as_it_was_written() -> None:
    review = Review(frozenset({"numpy==1.24.0", "rich"}), frozenset({"pip", "a==1"}))
    assert read_review(review.write("wanted.txt")) == review
    assert review.decision(Wish("pip==3")) == "dropped"
    assert review.decision(Wish("a==2")) == "new"
    assert review.dropping("numpy") == Review(frozenset({"rich"}), frozenset({"pip", "a==1", "numpy"}))
    assert review_path(Path("/x/wanted.txt")) == Path("/x/wanted.reviewed.txt")


def test_a_review_that_can_not_be_read_names_its_line(tmp_path: Path) -> None:
    from mirror_tasks.tasks.verbs.wanted import read_list

    (tmp_path / "wanted.reviewed.txt").write_text("ok\n-r x\n", encoding="utf-8")
    with pytest.raises(ResolutionError, match="2: expected a requirement"):
        read_list(tmp_path / "wanted.txt")
