"""`transfer: {keep: …}`: what left the plan stays a while, so that last month's locks install, and nothing else takes it."""

from __future__ import annotations

import datetime
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uv
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from mirror_tasks.config.transfer import Keep
from mirror_tasks.describe_environment import environment_block
from mirror_tasks.index.own_page import OWN
from mirror_tasks.index.project import File, Project, Row
from mirror_tasks.resolve.kept import Withdrawn, as_offered, kept_files
from mirror_tasks.resolve.outcome import Failed
from mirror_tasks.resolve.plan import KeptFile, Plan, PlannedFile
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import (
    DODO,
    IMPATIENT,
    MirrorFolder,
    asked,
    assert_valid,
    assert_whole,
    clean_environment,
    mirror_folder,
    packages,
    times,
    tree,
)
from tests.pip import run_pip
from tests.server_fixtures import run_server

HELD_CLOCK = (
    "import datetime, os\n\nfrom mirror_tasks.config import clock\n\n"
    "clock.today = lambda: datetime.date.fromisoformat(os.environ['TODAY'])\n"
)
FIRST, SECOND, END, AFTER = "2026-10-26", "2026-11-26", "2027-02-24", "2027-02-25"
# Of "both" the sdist leaves alone, since sdists are wanted no more.
OLD = [wheel("app", "1.0", requires=["lib==1.0"]), wheel("lib", "1.0"), sdist("gone", "1.0"), sdist("both", "1.0")]
OLD_NAMES = [name for name, _ in OLD]
REASON = f"left the plan on {SECOND}; kept for locks until {END}"
KEEP = {"keep": "90d"}


def old_world() -> dict[str, list[tuple[str, bytes]]]:
    return {"app": [OLD[0]], "lib": [OLD[1]], "gone": [OLD[2]], "both": [OLD[3], wheel("both", "1.0")]}


def folder_of(
    path: Path, index: FakeIndex, transfer: Any = KEEP, roots: Sequence[str] = ("app", "gone", "both"), **settings: Any
) -> MirrorFolder:
    if transfer is not None:
        settings["transfer"] = transfer
    here = {"here": environment_block()}
    dodo = IMPATIENT + HELD_CLOCK + DODO
    return mirror_folder(path, index, dodo, environments=here, requirements=list(roots), **settings)


def run(project: MirrorFolder, today: str, *arguments: str) -> str:
    done = project.doit(*(arguments or ("mirror",)), TODAY=today)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def a_month_later(project: MirrorFolder, index: FakeIndex, transfer: Any = KEEP) -> None:
    """Let upstream have newer releases, and the user want one requirement less, and no sdists."""
    index.add("app", *wheel("app", "2.0", requires=["lib>=2"]))
    index.add("lib", *wheel("lib", "2.0"))
    folder_of(project.folder, index, transfer, ["app", "both"], sdists="never")


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> MirrorFolder:
    """A mirror of which two releases were replaced and a project left; its upstream is no more."""
    with FakeIndex(old_world()) as index:
        project = folder_of(tmp_path_factory.mktemp("kept"), index)
        run(project, FIRST)
        a_month_later(project, index)
        run(project, SECOND)
    return project


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(old_world()) as index:
        yield index


def listed(output: Path, project: str) -> dict[str, Any]:
    """Return by file name what a project's page says of yanking, in both forms alike."""
    page = output / "simple" / project
    entries = json.loads((page / "index.v1_json").read_bytes())["files"]
    html = (page / "index.html").read_text()
    assert all(f'data-yanked="{entry["yanked"]}"' in html for entry in entries if "yanked" in entry)
    return {entry["filename"]: entry.get("yanked") for entry in entries}


def sums(mirror: MirrorFolder) -> list[str]:
    return [line[66:] for line in (mirror.output / "SHA256SUMS").read_text().splitlines()]


# Clients

UNREACHABLE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def environment() -> dict[str, str]:
    return clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **UNREACHABLE)


def client(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


def installed(target: Path) -> set[str]:
    return {"==".join(path.name.removesuffix(".dist-info").split("-")) for path in target.glob("*.dist-info")}


def by(tool: str, mirror: MirrorFolder, tmp_path: Path, *what: str) -> set[str] | None:
    """Return what an installer puts into an empty folder; None where it finds nothing to satisfy it."""
    url = (mirror.output / "simple").as_uri()
    target = ["--target", "site", "--index-url", url, *what]
    if tool == "pip":
        pip = ["--isolated", "install", "--no-cache-dir", "--no-build-isolation"]
        done = run_pip([*pip, *target], tmp_path, environment())
    else:
        uv_pip = [uv.find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable]
        done = client([*uv_pip, *target], tmp_path)
    if done.returncode:
        assert "No matching" in done.stderr or "no versions" in done.stderr or "yanked" in done.stderr, done.stderr
        return None
    return installed(tmp_path / "site")


TOOLS = pytest.mark.parametrize("tool", ["pip", "uv"])


def pinned(files: Sequence[tuple[str, bytes]]) -> str:
    pins = (("==".join(name.removesuffix(".tar.gz").split("-")[:2]), content) for name, content in files)
    return "".join(f"{pin} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n" for pin, content in pins)


@TOOLS
def test_last_months_hashed_requirements_install(tool: str, mirror: MirrorFolder, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(pinned(OLD))
    found = by(tool, mirror, tmp_path, "--require-hashes", "-r", "requirements.txt")
    assert found == {"app==1.0", "lib==1.0", "gone==1.0", "both==1.0"}


@TOOLS
def test_last_months_pylock_toml_installs(tool: str, mirror: MirrorFolder, tmp_path: Path) -> None:
    if tool == "pip" and "lock" not in run_pip(["help"], tmp_path).stdout:
        pytest.skip("this pip reads no pylock.toml")
    entries = ""
    for filename, content in OLD[:2]:
        name, sha256 = filename.split("-")[0], hashlib.sha256(content).hexdigest()
        url = (mirror.output / "packages" / name / filename).as_uri()
        entries += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n[[packages.wheels]]\n'
        entries += f'name = "{filename}"\nurl = "{url}"\nhashes = {{sha256 = "{sha256}"}}\n'
    (tmp_path / "pylock.toml").write_text(f'lock-version = "1.0"\ncreated-by = "tests"\n{entries}')
    assert by(tool, mirror, tmp_path, "-r", "pylock.toml") == {"app==1.0", "lib==1.0"}


@TOOLS
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("app", "app==2.0 lib==2.0"),
        ("lib>=1", "lib==2.0"),
        ("lib<2", "lib==1.0"),
        ("gone", "gone==1.0"),
        ("app==1.0", "app==1.0 lib==1.0"),
        ("lib==1.0", "lib==1.0"),
        ("gone===1.0", "gone==1.0"),
        ("both==1.0 --no-binary=both", "both==1.0"),
        ("both --no-binary=both", "both==1.0"),
    ],
)
def test_a_new_resolution_takes_the_plan_and_what_began_before_it_changed_ends_well(
    tool: str, mirror: MirrorFolder, tmp_path: Path, wanted: str, expected: str
) -> None:
    assert by(tool, mirror, tmp_path, *wanted.split()) == set(expected.split())


@TOOLS
def test_what_is_newer_than_the_plan_is_taken_by_a_pin_alone(tool: str, tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path / "project", index, KEEP, ["lib"])
    index.add("lib", *wheel("lib", "2.0"))
    run(project, FIRST)
    folder_of(project.folder, index, KEEP, ["lib<2"])
    run(project, SECOND)
    for number, (wanted, expected) in enumerate([("lib", "1.0"), ("lib==2.0", "2.0")]):
        (tmp_path / str(number)).mkdir()
        assert by(tool, project, tmp_path / str(number), wanted) == {f"lib=={expected}"}


def test_a_lock_of_uv_syncs_that_was_made_before_the_releases_left(tmp_path: Path, index: FakeIndex) -> None:
    """`uv sync --frozen` takes the URLs of its lock, `uv sync --locked` asks the index: both find all."""
    project = folder_of(tmp_path / "project", index)
    run(project, FIRST)
    url = (project.output / "simple").as_uri()
    app = tmp_path / "user"
    app.mkdir()
    (app / "pyproject.toml").write_text(
        '[project]\nname = "user"\nversion = "0"\nrequires-python = ">=3.8"\ndependencies = ["app", "gone"]\n'
        f'[[tool.uv.index]]\nurl = "{url}"\ndefault = true\n'
    )
    command = [uv.find_uv_bin(), "--no-cache", "--no-python-downloads"]
    assert client([*command, "lock", "--python", sys.executable], app).returncode == 0
    a_month_later(project, index)
    run(project, SECOND)
    for flag in ("--frozen", "--locked"):
        done = client([*command, "sync", flag, "--reinstall", "--python", sys.executable], app)
        assert done.returncode == 0, done.stderr
        assert installed(next((app / ".venv").glob("lib/*/site-packages"))) == {"app==1.0", "lib==1.0", "gone==1.0"}


# What is published, told and deleted


def test_pages_go_on_listing_what_is_kept(mirror: MirrorFolder) -> None:
    assert listed(mirror.output, "app") == {OLD_NAMES[0]: None, "app-2.0-py3-none-any.whl": None}
    assert listed(mirror.output, "gone") == {OLD_NAMES[2]: None}
    assert listed(mirror.output, "both") == {OLD_NAMES[3]: None, "both-1.0-py3-none-any.whl": None}
    assert ">gone<" in (mirror.output / "simple" / "index.html").read_text()
    assert_valid(mirror.output)
    assert_whole(mirror.output)
    about = json.loads((mirror.output / "mirror.json").read_bytes())
    counts = {key: about[key] for key in ("projects", "files", "kept_files", "kept_bytes")}
    assert counts == {"projects": 3, "files": 3, "kept_files": 4, "kept_bytes": sum(len(content) for _, content in OLD)}


def page_of(mirror: MirrorFolder, name: str) -> str:
    return (mirror.output / "project" / name / "index.html").read_text()


def heading_of(mirror: MirrorFolder, name: str) -> str:
    return page_of(mirror, name).partition("<h1>")[2].partition("<nav")[0]


def test_people_read_until_when_it_is_kept(mirror: MirrorFolder) -> None:
    assert REASON in page_of(mirror, "app")
    assert REASON in page_of(mirror, "gone")
    front = (mirror.output / "index.html").read_text()
    assert "project/gone/index.html" in front
    assert "<dt>Kept for locks</dt><dd>4 files</dd>" in front
    heading = heading_of(mirror, "lib")
    assert ("kept" in heading, "2.0" in heading, "1.0" in heading) == (False, True, False)
    assert "kept for locks" in heading_of(mirror, "gone")


def test_the_server_finds_nothing_extra_and_nothing_missing(mirror: MirrorFolder) -> None:
    done = run_server("--root", str(mirror.output), "--check")
    assert done.returncode == 0
    assert done.stdout.endswith(" 0 altered, 0 missing, 0 extra\n")


def test_explain_says_when_it_left_and_until_when_it_is_kept(mirror: MirrorFolder) -> None:
    for names in (["gone", "app", OLD_NAMES[2]], ["gone-1.0", "lib==1.0"]):
        said = run(mirror, SECOND, "explain", *names)
        assert said.count(REASON) == len(names), said


# How long


def test_a_run_once_more_changes_no_byte_and_the_day_after_the_end_lets_it_go(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    before, when = tree(project.output), times(project.output)
    index.requests.clear()
    said = run(project, END)
    assert "kept for locks: 4 files that left the plan" in said
    assert (tree(project.output), times(project.output)) == (before, when)
    assert not asked(index)
    said = run(project, AFTER)
    assert "kept" not in said
    assert listed(project.output, "app") == {"app-2.0-py3-none-any.whl": None}
    assert "gone" not in (project.output / "simple" / "index.html").read_text()
    assert_valid(project.output)
    assert packages(project.output)["app"] == ["app-1.0-py3-none-any.whl", "app-2.0-py3-none-any.whl"]
    assert not asked(index)
    run(project, AFTER, "prune")
    assert packages(project.output) == {
        "app": ["app-2.0-py3-none-any.whl"],
        "both": ["both-1.0-py3-none-any.whl"],
        "lib": ["lib-2.0-py3-none-any.whl"],
    }
    assert not (project.output / "simple" / "gone").exists()
    assert_whole(project.output)


def test_prune_takes_nothing_that_is_kept(mirror: MirrorFolder) -> None:
    before = tree(mirror.output)
    run(mirror, SECOND, "prune")
    assert tree(mirror.output) == before


def test_a_number_counts_the_changes_of_the_mirror_and_not_its_runs(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index, {"keep": 2}, ["lib"])
    run(project, FIRST)
    kept: list[list[str]] = []
    for version in ("2.0", "3.0", "4.0"):
        index.add("lib", *wheel("lib", version))
        run(project, SECOND)
        before = tree(project.output)
        run(project, AFTER)
        assert tree(project.output) == before
        kept.append([name.split("-")[1] for name in listed(project.output, "lib") if f"-{version}-" not in name])
    assert kept == [["1.0"], ["1.0", "2.0"], ["2.0", "3.0"]]
    until = "kept for locks until the mirror has changed twice since"
    assert f"left the plan on {SECOND}; {until}" in page_of(project, "lib")


def test_without_transfers_nothing_is_kept(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index, None)
    run(project, FIRST)
    a_month_later(project, index, None)
    run(project, SECOND)
    assert json.loads((project.output / "mirror.json").read_bytes())["kept_files"] == 0
    assert listed(project.output, "lib") == {"lib-2.0-py3-none-any.whl": None}


def test_a_plan_that_was_not_published_takes_nothing_and_keeps_nothing(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    before = tree(project.output)
    a_month_later(project, index)
    run(project, FIRST, "plan")
    assert tree(project.output) == before
    said = run(project, SECOND, "plan")
    assert "kept for locks: 4 files that left the plan" in said
    run(project, SECOND)
    assert listed(project.output, "gone") == {OLD_NAMES[2]: None}


def test_what_comes_back_into_the_plan_is_yanked_no_more(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    folder_of(project.folder, index, KEEP, ["app<2", "gone"])
    run(project, AFTER)
    reason = f"left the plan on {AFTER}; kept for locks until 2027-05-26"
    assert listed(project.output, "app") == {OLD_NAMES[0]: None, "app-2.0-py3-none-any.whl": reason}
    assert listed(project.output, "gone") == {OLD_NAMES[2]: None}


# What is not kept


@pytest.fixture
def to_withdraw(tmp_path: Path, index: FakeIndex) -> MirrorFolder:
    """A mirror that was made, and upstream a newer release of its project, which takes its place."""
    project = folder_of(tmp_path, index, KEEP, ["lib"])
    run(project, FIRST)
    index.add("lib", *wheel("lib", "2.0"))
    return project


def test_a_file_that_upstream_yanked_keeps_upstreams_reason(to_withdraw: MirrorFolder, index: FakeIndex) -> None:
    index.add("lib", *OLD[1], yanked="breaks on Mondays")
    run(to_withdraw, SECOND)
    assert listed(to_withdraw.output, "lib") == {OLD_NAMES[1]: "breaks on Mondays", "lib-2.0-py3-none-any.whl": None}
    assert REASON in page_of(to_withdraw, "lib")
    index.add("lib", *OLD[1], yanked=None)
    run(to_withdraw, SECOND)
    assert listed(to_withdraw.output, "lib")[OLD_NAMES[1]] is None


@pytest.mark.parametrize("when", ["as it leaves", "later"])
def test_a_file_that_the_index_lists_no_more_is_not_kept_and_that_is_told(
    to_withdraw: MirrorFolder, index: FakeIndex, when: str
) -> None:
    if when == "later":
        run(to_withdraw, SECOND)
    index.remove("lib", OLD_NAMES[1])
    said = run(to_withdraw, SECOND)
    assert f"not kept for locks: {OLD_NAMES[1]}: {index.url}lib/ lists it no more" in said
    assert listed(to_withdraw.output, "lib") == {"lib-2.0-py3-none-any.whl": None}
    assert "not kept" not in run(to_withdraw, SECOND)


def test_a_file_with_other_bytes_upstream_is_not_kept(to_withdraw: MirrorFolder, index: FakeIndex) -> None:
    index.add("lib", *wheel("lib", "1.0", files={"more.py": "x = 1\n"}))
    assert f"not kept for locks: {OLD_NAMES[1]}: {index.url}lib/ lists other bytes" in run(to_withdraw, SECOND)
    assert listed(to_withdraw.output, "lib") == {"lib-2.0-py3-none-any.whl": None}


def test_a_quarantined_project_is_not_kept(to_withdraw: MirrorFolder, index: FakeIndex) -> None:
    index.add("other", *wheel("other", "1.0"))
    index.statuses["lib"] = {"status": "quarantined", "reason": "malware"}
    index.changed()
    folder_of(to_withdraw.folder, index, KEEP, ["lib", "other"])
    done = to_withdraw.doit("mirror", TODAY=SECOND)
    assert f"not kept for locks: {OLD_NAMES[1]}: the project is quarantined: malware" in done.stdout + done.stderr
    assert not any(path.startswith("packages/lib/") for path in sums(to_withdraw))


def test_a_project_that_was_not_asked_for_is_kept_as_it_was(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    index.remove("gone", OLD_NAMES[2])
    a_month_later(project, index)
    run(project, SECOND)
    assert listed(project.output, "gone") == {OLD_NAMES[2]: None}


def test_own_files_are_kept_when_a_build_takes_their_place(tmp_path: Path, index: FakeIndex) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    project = folder_of(tmp_path, index, KEEP, [])
    (old, content), (new, newer) = wheel("ours", "1.0"), wheel("ours", "1.1")
    (dist / old).write_bytes(content)
    project.configure(
        index.url, environments={"here": environment_block()}, requirements=[{"wheels": "dist"}], transfer=KEEP
    )
    run(project, FIRST)
    (dist / old).unlink()
    (dist / new).write_bytes(newer)
    run(project, SECOND)
    assert listed(project.output, "ours") == {old: None, new: None}


def test_a_kept_file_that_is_gone_is_told_and_dropped_and_the_mirror_is_whole(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    (project.output / "packages" / "app" / OLD_NAMES[0]).unlink()
    (project.output / "packages" / "lib" / OLD_NAMES[1]).write_bytes(b"somebody else's")
    said = run(project, SECOND)
    for name in OLD_NAMES[:2]:
        assert f"not kept for locks: {name}: it does not stand in the mirror as it was made" in said
    assert listed(project.output, "lib") == {"lib-2.0-py3-none-any.whl": None}
    assert OLD_NAMES[2] in listed(project.output, "gone")
    assert_valid(project.output)


@pytest.mark.parametrize("damage", ["one bit", "gone"])
def test_what_is_kept_stays_though_the_plan_by_which_it_was_published_is_damaged(
    tmp_path: Path, index: FakeIndex, damage: str
) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    before, published = tree(project.output), project.state / "published.json"
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    published.write_bytes(content) if damage == "one bit" else published.unlink()
    assert "not kept" not in run(project, SECOND)
    assert tree(project.output) == before


def test_pages_of_what_is_kept_say_what_it_requires_though_the_record_of_that_is_damaged(
    tmp_path: Path, index: FakeIndex
) -> None:
    """No run asks again for the metadata of what is only kept."""
    name, content = wheel("left", "1.0", requires=["lib"])
    index.add("left", name, content)
    run(folder_of(tmp_path, index, roots=["app", "left"]), FIRST)
    project = folder_of(tmp_path, index, roots=["app"])
    run(project, SECOND)
    before = tree(project.output)
    (project.state / "metadata" / f"{name}.json").write_bytes(b"garbage")
    run(project, SECOND, "-a", "mirror")
    assert tree(project.output) == before


def test_where_nothing_says_any_more_what_is_kept_that_is_told(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    (project.state / "published.json").write_bytes(b"garbage")
    (project.state / "plan.json").unlink()
    said = run(project, SECOND)
    assert (
        f"not kept for locks: {OLD_NAMES[0]} and {len(OLD_NAMES) - 1} more: by which plan it was published is not known any more"
        in said
    )
    assert "not kept" not in run(project, SECOND)


def test_core_metadata_beside_a_kept_wheel_is_repaired(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    before = tree(project.output)
    (project.output / "packages" / "lib" / f"{OLD_NAMES[1]}.metadata").write_bytes(b"somebody else's")
    assert "repaired" in run(project, SECOND)
    assert tree(project.output) == before
    assert not asked(index)["/files/lib/" + OLD_NAMES[1]] > 1


def test_what_could_not_be_asked_for_leaves_nothing_and_what_is_kept_stays(tmp_path: Path, index: FakeIndex) -> None:
    project = folder_of(tmp_path, index)
    run(project, FIRST)
    a_month_later(project, index)
    run(project, SECOND)
    before = sums(project)
    index.add("app", *wheel("app", "3.0"))
    index.fault("/simple/app/", "status", status=500)
    done = project.doit("mirror", TODAY=SECOND)
    assert done.returncode != 0
    assert listed(project.output, "app") == {OLD_NAMES[0]: None, "app-2.0-py3-none-any.whl": None}
    assert OLD_NAMES[2] in listed(project.output, "gone")
    assert sums(project) == before


def page_with(*files: tuple[str, str], skipped: Sequence[tuple[str, str]] = (), index: str = "") -> Project:
    rows: list[Row] = [(name, f"../{name}", sha256, 1, None, None, False, None, None) for name, sha256 in files]
    return Project("a", "https://index.example.com/a/", {Version("1"): rows} if rows else {}, skipped, index=index)


OLD_ONE, OTHER_ONE = ("a-1.tar.gz", "1" * 64), ("a-1.tar.gz", "2" * 64)
WITHOUT, WITH_FURTHER = page_with(), page_with().with_further({}, (), ["https://more.example.com/a/"])


@pytest.mark.parametrize(
    ("pages", "reason"),
    [
        ({}, None),
        ({"a": Failed("a fault of the network")}, None),
        ({"a": page_with(OLD_ONE)}, None),
        ({"a": WITH_FURTHER}, None),
        ({"a": page_with(index=OWN)}, None),
        ({"a": None}, "the index has no such project any more"),
        ({"a": WITHOUT}, "https://index.example.com/a/ lists it no more"),
        ({"a": page_with(OTHER_ONE)}, "https://index.example.com/a/ lists other bytes under its name"),
        ({"a": page_with(skipped=[("a-1.tar.gz", "no hash")])}, "no hash"),
    ],
    ids=[
        "not asked",
        "no answer",
        "listed",
        "of a further index",
        "own",
        "no project",
        "not listed",
        "changed",
        "skipped",
    ],
)
def test_only_what_a_page_of_this_run_says_takes_a_kept_file_away(
    pages: Mapping[str, object], reason: str | None
) -> None:
    one = KeptFile(plan_of(dict([OLD_ONE])).files[0], SECOND)
    assert list(as_offered([one], pages)) == [Withdrawn("a-1.tar.gz", reason) if reason else one]


# The rule

NAMES = [f"{name}-{version}.tar.gz" for name in ("a", "b") for version in ("1", "2", "3")]
Contents = dict[str, str]


def plan_of(contents: Mapping[str, str], kept: Sequence[KeptFile] = ()) -> Plan:
    files = tuple(
        PlannedFile(
            File(name, f"https://index.example.com/{name}", {"sha256": sha256}, 1, None, None, None, None),
            name[0],
            name.split("-")[1][0],
            ("here",),
        )
        for name, sha256 in sorted(contents.items())
    )
    return Plan((), (), files, (), statuses={}, kept=tuple(kept))


@pytest.mark.parametrize(
    ("kept", "planned", "is_yanked"),
    [
        ("2", [("1", "here")], True),
        ("2", [("3", "here")], False),
        ("2", [], False),
        ("2", [("3", "here"), ("1", "there")], False),
        ("2", [("3", "there"), ("1", "here")], True),
        ("2", [("3", "here"), ("1", "here")], False),
        ("2", [("2", "here")], False),
        ("2", [("3rc1", "here")], True),
        ("2rc1", [("3rc1", "here")], False),
        ("3rc1", [("2", "here")], True),
    ],
    ids=str,
)
def test_what_installers_would_prefer_to_the_plan_where_it_was_for_is_yanked(
    kept: str, planned: list[tuple[str, str]], is_yanked: bool
) -> None:
    def file_of(version: str, environment: str) -> PlannedFile:
        (one,) = plan_of({f"a-{version}.tar.gz": "1" * 64}).files
        return replace(one, version=version, environments=(environment,))

    files = tuple(file_of(version, environment) for version, environment in planned)
    one = replace(file_of(kept, "here"), file=replace(file_of(kept, "here").file, filename="a-kept.zip"))
    plan = replace(plan_of({}), files=files, kept=(KeptFile(one, SECOND, until=END),))
    (listed_one,) = (file for file in plan.published if file.filename == "a-kept.zip")
    assert listed_one.file.yanked == (REASON if is_yanked else None)


def expected(history: Sequence[tuple[datetime.date, Contents]], keep: Keep) -> dict[str, tuple[str, str]]:
    """Return what the rule says in words: of each file that ever was, the last plan that had it, and what came after."""
    found: dict[str, tuple[str, str]] = {}
    for name in NAMES:
        had = [position for position, (_, contents) in enumerate(history) if name in contents]
        if not had or had[-1] == len(history) - 1:
            continue
        left = had[-1] + 1
        after = history[left:]
        changes = sum(one[1] != other[1] for one, other in pairwise(after))
        if keep.days is not None:
            is_kept = history[-1][0] <= history[left][0] + datetime.timedelta(keep.days)
        else:
            is_kept = changes < (keep.plans or 0)
        if is_kept:
            found[name] = (history[had[-1]][1][name], history[left][0].isoformat())
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1" * 64, "2" * 64]))),
        min_size=1,
        max_size=12,
    ),
    st.one_of(st.builds(Keep, days=st.integers(1, 60)), st.builds(Keep, plans=st.integers(0, 4))),
)
def test_what_is_kept_is_what_the_rule_says_and_the_same_plan_gives_the_same_bytes(
    steps: list[tuple[int, Contents]], keep: Keep
) -> None:
    day = datetime.date(2026, 1, 1)
    history: list[tuple[datetime.date, Contents]] = []
    published = plan_of({})
    for days, contents in steps:
        day += datetime.timedelta(days)
        history.append((day, contents))
        plan = plan_of(contents)
        made = replace(plan, kept=kept_files(plan, published, keep, day))
        assert {one.planned.filename: (one.planned.sha256, one.left) for one in made.kept} == expected(history, keep)
        assert not {one.planned.filename for one in made.kept} & set(contents)
        assert Plan.from_bytes(made.to_bytes()) == made
        again = replace(plan, kept=kept_files(plan, made, keep, day))
        assert again.to_bytes() == made.to_bytes()
        published = made
