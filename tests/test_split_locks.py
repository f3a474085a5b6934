"""A lock that takes one project from several indexes is mirrored to the letter, and nothing else of these gets in.

As in machine learning: torch 3.0 is of the main index, 3.0+cpu and 2.9+cu12 are of an index each, by extras that conflict.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uv

from mirror_tasks.describe_environment import environment_block
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, asked, clean_environment, mirror_folder, packages, times

PYPROJECT = """\
[project]
name = "app"
version = "1"
requires-python = ">=3.10"
dependencies = ["torch<9"]
[project.optional-dependencies]
cpu = ["torch<9"]
cuda = ["torch<9"]
[tool.uv]
conflicts = [[{{extra = "cpu"}}, {{extra = "cuda"}}]]
[tool.uv.sources]
torch = [{{index = "cpu", extra = "cpu"}}, {{index = "cuda", extra = "cuda"}}]
[[tool.uv.index]]
name = "cpu"
url = "{cpu}"
explicit = true
[[tool.uv.index]]
name = "cuda"
url = "{cuda}"
explicit = true
[[tool.uv.index]]
name = "main"
url = "{main}"
default = true
"""
PLAIN, CPU, CUDA = wheel("torch", "3.0"), wheel("torch", "3.0+cpu", requires=["blas"]), wheel("torch", "2.9+cu12")
NEWER = wheel("torch", "9.0+cpu")
OTHER = wheel("torch", "2.9+cu12", requires=["blas"])  # under the name of CUDA
TORCH = [CUDA[0], CPU[0], PLAIN[0]]
WORLDS = {
    "main": {"torch": [PLAIN, wheel("torch", "2.8")], "blas": [wheel("blas", "1.0")]},
    "cpu": {"torch": [CPU, NEWER], "blas": [wheel("blas", "9.0")]},
    "cuda": {"torch": [CUDA, wheel("torch", "9.0")]},
}


def sha256_of(file: tuple[str, bytes]) -> str:
    return hashlib.sha256(file[1]).hexdigest()


@dataclass
class Team:
    """A folder with a project whose lock takes torch from three indexes, and these by name."""

    project: MirrorFolder
    indexes: dict[str, FakeIndex]

    @property
    def lock(self) -> Path:
        return self.project.folder / "app/uv.lock"

    def configure(self, *more: Any, projects: Mapping[str, list[str]] | None = None, **settings: Any) -> None:
        """Name all indexes, some with ``projects``, and require the lock and more."""
        keys = {name: {"projects": patterns} for name, patterns in (projects or {}).items()}
        index = [{"url": one.url, "name": name, **keys.get(name, {})} for name, one in self.indexes.items()]
        settings = {"requirements": [{"lock": "app/uv.lock"}, *more], **settings}
        self.project.configure(index, environments={"here": environment_block()}, **settings)

    def fetched(self) -> dict[str, dict[str, int]]:
        return {name: asked(one) for name, one in self.indexes.items()}

    def torch(self) -> list[str]:
        return packages(self.project.output)["torch"]

    def fails(self) -> str:
        """Run ``doit mirror``, which has to tell what is not as it was locked, and mirrors the rest; return what it says."""
        done = self.project.doit("mirror")
        assert done.returncode not in (0, 130)
        assert "app/uv.lock on here:\n" in done.stdout + done.stderr
        return done.stdout + done.stderr

    def page(self, name: str) -> str:
        return f"{self.indexes[name].url}torch/"

    @property
    def pages(self) -> str:
        return f"{self.page('main')}, {self.page('cpu')} and {self.page('cuda')}"


@contextmanager
def serving(**instead: Any) -> Iterator[dict[str, FakeIndex]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(FakeIndex(world)) for name, world in {**WORLDS, **instead}.items()}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project that uv has locked; in it, indexes are called as their names say."""
    folder = tmp_path_factory.mktemp("locked")
    with serving() as indexes:
        urls = {name: one.url for name, one in indexes.items()}
        (folder / "pyproject.toml").write_text(PYPROJECT.format(**urls), encoding="utf-8")
        command = [uv.find_uv_bin(), "lock", "--no-cache", "--no-python-downloads"]
        done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for path in folder.iterdir():
            lead(path, {url: f"https://{name}.example.com/simple/" for name, url in urls.items()})
    return folder


def lead(path: Path, urls: dict[str, str]) -> None:
    """Replace the URLs of indexes in a file, and those of their files."""
    text = path.read_text("utf-8")
    for old, new in urls.items():
        text = text.replace(old.removesuffix("/simple/"), new.removesuffix("/simple/"))
    path.write_text(text, "utf-8")


@contextmanager
def team_in(folder: Path, locked: Path, **instead: Any) -> Iterator[Team]:
    shutil.copytree(locked, folder / "app")
    with serving(**instead) as indexes:
        for path in (folder / "app").iterdir():
            lead(path, {f"https://{name}.example.com/simple/": one.url for name, one in indexes.items()})
        team = Team(mirror_folder(folder, None), indexes)
        team.configure()
        yield team


@pytest.fixture
def team(tmp_path: Path, locked: Path) -> Iterator[Team]:
    with team_in(tmp_path, locked) as made:
        yield made


def test_each_side_is_mirrored_and_installed_by_the_team_and_a_second_run_fetches_nothing(team: Team) -> None:
    team.project.mirrored()
    assert packages(team.project.output) == {"blas": ["blas-1.0-py3-none-any.whl"], "torch": TORCH}
    done = team.project.doit("prove", "--own", "--install")
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = json.loads((team.project.state / "prove.json").read_bytes())
    assert {one["judge"]: one["reason"] for one in verdicts} == {"lock": "", "installation-by-uv": ""}

    fetched, mirrored = team.fetched(), times(team.project.output)
    seen = {name: len(one.log) for name, one in team.indexes.items()}
    team.project.mirrored()
    assert (team.fetched(), times(team.project.output)) == (fetched, mirrored)
    for name, one in team.indexes.items():
        again = [(request.path, "if-none-match" in request.headers) for request in one.log[seen[name] :]]
        assert again == [("/simple/torch/", True)] or name == "main"
        assert all(is_conditional for _, is_conditional in again)


def test_of_a_further_index_only_what_a_lock_names_is_there_for_anyone(team: Team) -> None:
    """On cpu and cuda are a newer torch and a newer blas: nobody gets in by a name."""
    team.configure("torch", "blas")
    team.project.mirrored()
    assert packages(team.project.output) == {"blas": ["blas-1.0-py3-none-any.whl"], "torch": TORCH}
    assert asked(team.indexes["cpu"], "/simple/") == {"/simple/torch/": 1}


def test_a_changed_hash_on_a_further_index_names_lock_package_file_and_both_hashes(
    tmp_path: Path, locked: Path
) -> None:
    with team_in(tmp_path, locked, cuda={"torch": [OTHER]}) as team:
        expected = f"torch 2.9+cu12: {CUDA[0]}: expected sha256 {sha256_of(CUDA)} on {team.pages}"
        found = f"found a file that can't be used: it has sha256 {sha256_of(OTHER)} on {team.page('cuda')}"
        assert f"{expected}, {found}\n" in team.fails()
        assert team.torch() == [CPU[0], PLAIN[0]]


def test_a_name_that_two_pages_have_with_different_hashes_is_a_fault_that_names_both(
    tmp_path: Path, locked: Path
) -> None:
    main = {**WORLDS["main"], "torch": [PLAIN, OTHER]}
    with team_in(tmp_path, locked, main=main) as team:
        found = f"expected sha256 {sha256_of(CUDA)}, found sha256 {sha256_of(OTHER)} on {team.page('main')}"
        also = f"{team.page('cuda')} has it with sha256 {sha256_of(CUDA)}, and a mirror has one file of a name"
        assert f"torch 2.9+cu12: {CUDA[0]}: {found}; {also}\n" in team.fails()
        assert team.torch() == [CPU[0], PLAIN[0]]


@pytest.mark.parametrize("cuda", [{"torch": []}, {}], ids=["file", "project"])
def test_what_vanished_from_a_further_index_is_a_fault(tmp_path: Path, locked: Path, cuda: Any) -> None:
    with team_in(tmp_path, locked, cuda=cuda) as team:
        expected = f"torch 2.9+cu12: {CUDA[0]}: expected sha256 {sha256_of(CUDA)} on {team.pages}, found no such file\n"
        assert expected in team.fails()
        assert team.torch() == [CPU[0], PLAIN[0]]


def test_a_project_that_vanished_from_a_further_index_where_it_was_is_an_error(team: Team) -> None:
    team.project.mirrored()
    del team.indexes["cuda"].projects["torch"]
    done = team.project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert "expected it in cuda, as when it was last seen, found no such project" in done.stdout + done.stderr
    assert team.torch() == TORCH


def test_a_further_index_that_is_down_takes_nothing_out_of_the_mirror(team: Team) -> None:
    team.project.mirrored()
    before = times(team.project.output / "packages")
    team.indexes["cuda"].fault("/simple/torch/", "status", status=403)
    done = team.project.doit("mirror")
    assert done.returncode not in (0, 130)
    assert f"{team.page('cuda')}: expected an answer, found status 403" in done.stdout + done.stderr
    assert times(team.project.output / "packages") == before
    team.indexes["cuda"].mend()
    team.project.mirrored()


def write_pylock(path: Path, cpu: FakeIndex, of_cpu: tuple[str, bytes] = CPU) -> None:
    """Write a lock that names the index of a release for processors alone, and none for 3.0."""
    entries = (("3.0", PLAIN, "win32", ""), (of_cpu[0].split("-")[1], of_cpu, "linux", f'index = "{cpu.url}"\n'))
    packages_of_lock = "".join(
        f'[[packages]]\nname = "torch"\nversion = "{version}"\nmarker = "sys_platform == \'{platform}\'"\n'
        f'{index}[[packages.wheels]]\nname = "{file[0]}"\nurl = "https://files.example.com/x"\n'
        f'hashes = {{sha256 = "{sha256_of(file)}"}}\n'
        for version, file, platform, index in entries
    )
    path.write_text(f'lock-version = "1.0"\ncreated-by = "tests"\n{packages_of_lock}', encoding="utf-8")


def test_a_release_for_which_a_lock_names_no_index_comes_from_the_one_that_has_it(tmp_path: Path) -> None:
    """As Poetry's locks have it: none is named for what came from the default index."""
    project = mirror_folder(tmp_path, None)
    with serving() as indexes:
        write_pylock(tmp_path / "pylock.toml", indexes["cpu"])
        named = [indexes[name].url for name in ("cuda", "main", "cpu")]
        project.configure(named, requirements=[{"lock": "pylock.toml"}])
        project.mirrored()
        assert packages(project.output) == {"torch": [CPU[0], PLAIN[0]]}


@pytest.mark.parametrize("without", ["main", "cpu"])
def test_a_cooldown_asks_a_file_for_its_upload_time_where_the_index_that_it_is_from_gives_them(
    tmp_path: Path, without: str
) -> None:
    project = mirror_folder(tmp_path, None)
    with serving(cpu={"torch": [(*one, {"upload_time": None}) for one in (CPU, NEWER)]}) as indexes:
        write_pylock(tmp_path / "pylock.toml", indexes["cpu"])
        named = [
            {"url": indexes[name].url, **({"upload-times": "none"} if name == without else {})}
            for name in ("main", "cpu")
        ]
        settings: dict[str, Any] = {"policy": {"cooldown": "14d"}, "transfer": {"keep": "30d"}}
        project.configure(named, requirements=[{"lock": "pylock.toml"}], **settings)
        done = project.doit("mirror")
        assert ("does not say when it was uploaded" in done.stdout + done.stderr) is (without == "main")
        assert published(project) == {PLAIN[0]} | ({CPU[0]} if without == "cpu" else set())
        write_pylock(tmp_path / "pylock.toml", indexes["cpu"], NEWER)
        project.doit("mirror")
        assert published(project) == {PLAIN[0]} | ({CPU[0], NEWER[0]} if without == "cpu" else set())


def published(project: MirrorFolder) -> set[str]:
    lines = (project.output / "SHA256SUMS").read_text("utf-8").splitlines()
    return {line.rpartition("/")[2] for line in lines if line.endswith(".whl")}


def test_a_file_without_a_hash_on_a_further_page_is_taken_if_it_is_what_the_lock_says(
    tmp_path: Path, locked: Path
) -> None:
    with team_in(tmp_path, locked, cuda={"torch": [(*CUDA, {"sha256": None})]}) as team:
        team.project.mirrored()
        assert team.torch() == TORCH
    with team_in(tmp_path / "other", locked, cuda={"torch": [(*OTHER, {"sha256": None, "sidecar": None})]}) as team:
        done = team.project.doit("mirror")
        assert done.returncode not in (0, 130)
        assert f"expected sha256 {sha256_of(CUDA)}, found {sha256_of(OTHER)}" in done.stdout + done.stderr
        assert team.torch() == [CPU[0], PLAIN[0]]


def test_a_further_page_counts_as_fresh_and_pending_as_that_of_the_project_does(team: Team) -> None:
    team.configure(refresh="1h")
    team.project.mirrored()
    seen = {name: len(one.log) for name, one in team.indexes.items()}
    team.project.mirrored()
    assert {name: len(one.log) for name, one in team.indexes.items()} == seen
    assert "U project:torch" in team.project.doit("list", "--all", "-s", "project").stdout
    pages = {path.name.partition("@")[0]: path for path in (team.project.state / "projects").glob("torch*")}
    assert set(pages) == {"torch", "torch.page"}
    pages["torch"].unlink()
    assert "R project:torch" in team.project.doit("list", "--all", "-s", "project").stdout
    team.project.doit("clean", "project:torch")
    assert [*(team.project.state / "projects").glob("torch*")] == []


def test_projects_binds_stronger_than_a_lock(team: Team) -> None:
    """Whatever a lock says, what is bound is asked of no index that is not said to serve it."""
    team.configure(projects={"cpu": ["torch"]})
    said = team.fails()
    assert team.torch() == [CPU[0]]
    vanished = f"torch 3.0: {PLAIN[0]}: expected sha256 {sha256_of(PLAIN)} on {team.page('cpu')}, found no such file"
    unasked = f"the lock takes it from {team.indexes['main'].url}, which is not asked for it by what is under projects"
    assert f"{vanished}; {unasked}: torch there binds it to another\n" in said
    assert [asked(team.indexes[name], "/simple/torch/") for name in ("main", "cuda")] == [{}, {}]


def test_indexes_that_are_all_said_to_serve_a_project_serve_what_locks_take_from_them(team: Team) -> None:
    team.configure("torch", projects={"main": ["*"], "cpu": ["torch"], "cuda": ["torch"]})
    team.project.mirrored()
    assert packages(team.project.output) == {"blas": ["blas-1.0-py3-none-any.whl"], "torch": TORCH}
