"""A pdm.lock is read as pdm reads it, whichever version and strategy of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pytest
import tomli

from mirror_tasks.config.environment_blocks import environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files import pdm_lock
from mirror_tasks.config.lock_files.model import LockedPackage, LockFile
from tests.lock_environments import LOCKS
from tests.lock_exports import ENVIRONMENTS, exported, mutations, pinned_by, pinned_in, shared

SMALL = {name: LOCKS / f"pdm-{name}" for name in ("4.5", "targets", "workspace", "plain", "4.1", "4.3")}
EXPORTED = ("4.5", "targets")
WALKED = ("plain", "4.1", "4.3")
LINUX, WINDOWS, MACOS = ENVIRONMENTS.values()
HASH = "ab" * 32

METADATA = '[metadata]\ngroups = ["default"]\nstrategy = ["inherit_metadata"]\nlock_version = "4.5.1"\n'


def package(name: str, *lines: str, version: str = "1") -> str:
    return "\n".join(["[[package]]", f'name = "{name}"', f'version = "{version}"', *lines, ""])


def parse(text: str, path: Path) -> LockFile:
    return pdm_lock.read(tomli.loads(text), path)


def read(path: Path) -> LockFile:
    return parse(path.read_text(encoding="utf-8"), path)


def names(packages: Iterable[LockedPackage]) -> list[str]:
    return [one.name for one in packages]


def one(text: str, folder: Path) -> LockedPackage:
    """Return the only package of a lock."""
    lock = parse(METADATA + text, folder / "pdm.lock")
    (found,) = lock.select(LINUX, lock.groups, lock.extras)
    return found


# ------------------------------------------------------------------------------- compared with what pdm says


@pytest.mark.clients
@pytest.mark.parametrize("name", [*EXPORTED, "shared"])
def test_what_is_selected_is_what_pdm_exports(tmp_path: Path, name: str) -> None:
    files = SMALL[name] if name in SMALL else shared("pdm")
    export = exported("pdm", tmp_path, files, "export")
    lock = read(files / "pdm.lock")
    for where in ENVIRONMENTS.values():
        selected = lock.select(where, lock.groups, lock.extras)
        assert pinned_by(selected) == pinned_in(export, where)
        assert len(selected) > 5


@pytest.mark.clients
@pytest.mark.parametrize(
    ("arguments", "groups", "extras"),
    [
        (["--no-default", "-G", "test"], ["test"], []),
        (["--prod", "-G", "wide"], ["default"], ["wide"]),
    ],
)
def test_groups_and_extras_that_are_asked_for_are_those_of_pdm(
    tmp_path: Path, arguments: list[str], groups: list[str], extras: list[str]
) -> None:
    export = exported("pdm", tmp_path, SMALL["4.5"], "export", *arguments)
    lock = read(SMALL["4.5"] / "pdm.lock")
    for where in ENVIRONMENTS.values():
        assert pinned_by(lock.select(where, groups, extras)) == pinned_in(export, where)


@pytest.mark.clients
def test_members_of_a_workspace_are_passed_over_and_what_they_require_is_not(tmp_path: Path) -> None:
    export = exported("pdm", tmp_path, SMALL["workspace"], "export", "--no-hashes")
    lock = read(SMALL["workspace"] / "pdm.lock")
    pinned = pinned_by(lock.select(LINUX, lock.groups, lock.extras)).keys()
    assert pinned == pinned_in(export, LINUX).keys() - {"member @ ./packages/member"}
    assert pinned >= {"own @ ./own", "tabulate==0.10.0"}


# ------------------------------------------------------------------------------------- with inherit_metadata


def test_groups_can_be_asked_for_and_those_that_are_extras_as_extras_too() -> None:
    lock = read(SMALL["4.5"] / "pdm.lock")
    assert lock.groups == ("default", "both", "dev", "docs", "test", "wide")
    assert lock.extras == ("wide", "both")
    assert lock.requires_python == ">=3.10"
    assert "" not in lock.markers
    assert 'python_version < "3.12"' in lock.markers
    expected = ["tabulate", "wcwidth"]
    assert names(lock.select(LINUX, ["wide"], ())) == expected
    assert names(lock.select(LINUX, (), ["wide"])) == expected


@pytest.mark.parametrize("name", ["4.5", "plain"])
def test_extras_decide_where_nothing_was_said_of_groups(name: str) -> None:
    lock = read(SMALL[name] / "pdm.lock")
    assert "tabulate" not in names(lock.select(LINUX, lock.groups, ()))
    assert "wcwidth" not in names(lock.select(LINUX, lock.groups, ["both"]))
    assert "wcwidth" in names(lock.select(LINUX, lock.groups, lock.extras))


def test_a_package_with_extras_is_one_package(tmp_path: Path) -> None:
    files = f'files = [{{file = "a-1.zip", hash = "sha256:{HASH}"}}]'
    entries = package("a", 'groups = ["x"]', files) + package("a", 'extras = ["b"]', 'groups = ["default"]')
    lock = parse(METADATA + entries, tmp_path / "pdm.lock")
    assert lock.groups == ("default", "x")
    for groups in (["default"], ["x"], ["default", "x"]):
        (found,) = lock.select(LINUX, groups, ())
        assert [file.filename for file in found.files] == ["a-1.zip"]


def test_without_its_pyproject_a_lock_has_groups_alone(tmp_path: Path) -> None:
    shutil.copy(SMALL["4.5"] / "pdm.lock", tmp_path)
    lock = read(tmp_path / "pdm.lock")
    assert lock.extras == ()
    assert "wcwidth" in names(lock.select(LINUX, lock.groups, ()))


def test_a_package_without_groups_is_in_all(tmp_path: Path) -> None:
    assert one(package("a"), tmp_path).name == "a"


def test_static_urls_name_their_files_and_are_a_hint() -> None:
    lock = read(SMALL["targets"] / "pdm.lock")
    found = next(package for package in lock.select(LINUX, ["default"], ()) if package.name == "click")
    assert [file.filename for file in found.files] == ["click-8.5.1-py3-none-any.whl", "click-8.5.1.tar.gz"]
    assert all(file.url is not None and file.url.endswith(file.filename) for file in found.files)


def test_each_target_has_its_own_versions() -> None:
    lock = read(SMALL["targets"] / "pdm.lock")
    versions = {
        where.name: {str(one) for one in lock.select(where, ["default"], ()) if one.name == "zipp"}
        for where in ENVIRONMENTS.values()
    }
    assert versions == {"linux": {"zipp 4.1.2"}, "windows": {"zipp 3.23.1"}, "macos": {"zipp 4.1.2"}}


# --------------------------------------------------------------------------------------------------- targets


def made(**block: object) -> Environment:
    return environment("one", block, "environments.one").at(0)


@pytest.mark.parametrize(
    ("target", "block", "covered"),
    [
        ('requires_python = ">=3.10"', {"python": "3.12", "platform": "linux-x86_64"}, True),
        ('requires_python = "~=3.10.0"', {"python": "3.12", "platform": "linux-x86_64"}, False),
        ('requires_python = "<3.11 || >=3.12"', {"python": "3.12", "platform": "linux-x86_64"}, True),
        ('platform = "linux"', {"python": "3.12", "platform": "linux-x86_64"}, True),
        ('platform = "manylinux_2_40_x86_64"', {"python": "3.12", "platform": "linux-x86_64", "glibc": "2.28"}, True),
        ('platform = "manylinux_2_17_aarch64"', {"python": "3.12", "platform": "linux-x86_64"}, False),
        ('platform = "alpine"', {"python": "3.12", "platform": "linux-x86_64"}, False),
        ('platform = "musllinux_1_2_aarch64"', {"python": "3.12", "platform": "linux-aarch64", "musl": "1.2"}, True),
        ('platform = "linux"', {"python": "3.12", "platform": "linux-x86_64", "musl": "1.2"}, False),
        ('platform = "windows_amd64"', {"python": "3.12", "platform": "windows-amd64"}, True),
        ('platform = "windows_arm64"', {"python": "3.12", "platform": "windows-arm64"}, True),
        ('platform = "windows"', {"python": "3.12", "platform": "windows-x86"}, False),
        ('platform = "macos_14_0_arm64"', {"python": "3.12", "platform": "macos-arm64"}, True),
        ('platform = "macos_x86_64"', {"python": "3.12", "platform": "macos-arm64"}, False),
        ('implementation = "cpython"', {"python": "3.13", "platform": "linux-x86_64"}, True),
        ('implementation = "cpython"\ngil_disabled = true', {"python": "3.13", "platform": "linux-x86_64"}, False),
        ('implementation = "cpython"\ngil_disabled = true', {"python": "3.13t", "platform": "linux-x86_64"}, True),
        ('implementation = "cpython"', {"python": "3.11", "platform": "linux-x86_64", "implementation": "pypy"}, False),
    ],
)  # fmt: skip
def test_an_environment_that_no_target_covers_is_refused(
    tmp_path: Path, target: str, block: Mapping[str, object], covered: bool
) -> None:
    text = f"{METADATA}[[metadata.targets]]\n{target}\n{package('a')}"
    lock = parse(text, tmp_path / "pdm.lock")
    if covered:
        assert names(lock.select(made(**block), lock.groups, ())) == ["a"]
        return
    with pytest.raises(
        ValueError, match=r"^metadata\.targets: expected one that covers Python 3.*\(`pdm lock --append"
    ):
        lock.select(made(**block), lock.groups, ())


def test_targets_of_one_python_bound_the_lock_together(tmp_path: Path) -> None:
    targets = "".join(
        f'[[metadata.targets]]\nrequires_python = ">=3.12.4"\nplatform = "{one}"\n' for one in ("linux", "windows")
    )
    assert parse(METADATA + targets, tmp_path / "pdm.lock").requires_python == ">=3.12.4"
    assert read(SMALL["targets"] / "pdm.lock").requires_python == ""


# ------------------------------------------------------------------------------------------- sources and files


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['git = "https://git.example.com/t.git"', 'ref = "main"', 'revision = "4f1c"', 'subdirectory = "x"'],
         "git+https://git.example.com/t.git@4f1c#subdirectory=x"),
        (['git = "ssh://git@git.example.com/t.git"', 'ref = "main"', "editable = true"],
         "git+ssh://git@git.example.com/t.git@main"),
        (['hg = "https://me:secret@hg.example.com/t"', 'revision = "4f1c"'], "hg+https://hg.example.com/t@4f1c"),
        (['path = "./lib"', "editable = true"], "./lib"),
        (['url = "file:///${PROJECT_ROOT}/dist/a-1.zip"'], "./dist/a-1.zip"),
        (['url = "https://me:secret@files.example.com/a-1.zip"',
          f'files = [{{url = "https://files.example.com/a-1.zip", hash = "sha256:{HASH}"}}]'],
         f"https://files.example.com/a-1.zip#sha256={HASH}"),
    ],
)  # fmt: skip
def test_what_no_index_has_says_where_it_is_from_without_secrets(
    tmp_path: Path, lines: list[str], expected: str
) -> None:
    found = one(package("a", *lines), tmp_path)
    assert (found.source, found.files, found.index) == (expected, (), None)


def test_the_project_itself_is_passed_over(tmp_path: Path) -> None:
    lock = parse(METADATA + package("ours", 'path = "."', "editable = true"), tmp_path / "pdm.lock")
    assert lock.select(LINUX, lock.groups, ()) == ()


@pytest.mark.parametrize(
    ("pattern", "path", "part"),
    [
        ("packages/*", "./packages/a", True),
        ("packages/*", "./packages/a/b", False),
        ("packages/*", "./other/packages/a", False),
        ("packages/*", "./other/a", False),
        ("packages/**", "./packages/a/b", True),
        ("packages/**", "./other/a/b", False),
        ("packages/**/a", "./packages", False),
        ("**/a", "./x/y/a", True),
        ("./lib", "lib", True),
        ("lib", "../lib", False),
    ],
)
def test_what_a_pattern_of_the_workspace_names_is_a_member(tmp_path: Path, pattern: str, path: str, part: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.pdm.workspace]\nmembers = ["{pattern}"]\n', encoding="utf-8")
    lock = parse(METADATA + package("a", f'path = "{path}"'), tmp_path / "pdm.lock")
    assert (names(lock.select(LINUX, lock.groups, ())) == []) is part


# --------------------------------------------------------------------------------- without inherit_metadata


@pytest.mark.parametrize("name", WALKED)
def test_a_lock_without_groups_and_markers_says_that_it_needs_its_pyproject(tmp_path: Path, name: str) -> None:
    shutil.copy(SMALL[name] / "pdm.lock", tmp_path)
    with pytest.raises(ValueError, match=r"^metadata\.strategy: 4\.\d\S* does not say where") as error:
        read(tmp_path / "pdm.lock")
    assert str(tmp_path / "pyproject.toml") in str(error.value)


@pytest.mark.parametrize(
    ("groups", "extras"),
    [(["default"], []), (["dev"], []), (["dev", "docs"], ["both"]), (["default", "wide"], []), ([], ["wide"])],
)
def test_a_project_locked_with_and_without_groups_and_markers_is_the_same(
    groups: Collection[str], extras: Collection[str]
) -> None:
    with_them, without = read(SMALL["4.5"] / "pdm.lock"), read(SMALL["plain"] / "pdm.lock")
    for where in ENVIRONMENTS.values():
        assert with_them.select(where, groups, extras) == without.select(where, groups, extras)


def test_the_oldest_locks_have_their_files_apart() -> None:
    lock = read(SMALL["4.1"] / "pdm.lock")
    assert lock.groups == ("default", "wide", "both", "docs", "test")
    found = next(package for package in lock.select(LINUX, ["default"], ()) if package.name == "click")
    assert [file.filename for file in found.files] == ["click-8.5.1-py3-none-any.whl", "click-8.5.1.tar.gz"]
    assert all(file.sha256 for file in found.files)


def test_groups_that_were_not_locked_can_not_be_asked_for() -> None:
    lock = read(SMALL["4.3"] / "pdm.lock")
    assert (lock.groups, lock.extras) == (("default", "docs", "test"), ())


WALK = '[metadata]\nstrategy = []\nlock_version = "4.5.1"\n'


def walked(folder: Path, pyproject: str, *packages: str) -> LockFile:
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    return parse(WALK + "".join(packages), folder / "pdm.lock")


def test_groups_that_include_others_are_followed_in_all_their_forms(tmp_path: Path) -> None:
    pyproject = """
    [project]
    name = "Ours"
    [project.optional-dependencies]
    x = ["a"]
    all = ["ours[x]"]
    [dependency-groups]
    test = ["b"]
    dev = [{include-group = "test"}, "ours[all]"]
    [tool.pdm.dev-dependencies]
    dev = ["-e file:///${PROJECT_ROOT}/c#x=y&egg=c[z] ; sys_platform == 'linux'", "d @ git+https://git.example.com/d"]
    """
    own = (
        package("c", 'path = "./c"'),
        package("c", 'path = "./c"', 'extras = ["z"]', 'dependencies = ["e"]'),
        package("d", 'git = "https://git.example.com/d"', 'revision = "4f1c"'),
    )
    lock = walked(tmp_path, pyproject, package("a"), package("b"), package("e"), *own)
    assert names(lock.select(LINUX, ["dev"], ())) == ["a", "b", "c", "d", "e"]
    assert names(lock.select(WINDOWS, ["dev"], ())) == ["a", "b", "d"]
    assert names(lock.select(LINUX, (), ["all"])) == ["a"]


def test_members_of_a_workspace_are_roots_of_a_walk(tmp_path: Path) -> None:
    lock = walked(
        tmp_path,
        '[project]\nname = "ours"\n[tool.pdm.workspace]\nmembers = ["p/*"]\n',
        package("member", 'path = "./p/member"', 'dependencies = ["a"]'),
        package("a"),
    )
    assert names(lock.select(LINUX, ["default"], ())) == ["a"]


def test_a_walk_takes_the_version_that_fits_the_python_and_all_demands(tmp_path: Path) -> None:
    lock = walked(
        tmp_path,
        '[project]\ndependencies = ["a", "b"]\n',
        package("a", version="1"),
        package("a", version="2"),
        package("a", 'requires_python = ">=3.12"', version="3"),
        package("b", "dependencies = [\"a<3; sys_platform == 'linux'\"]"),
    )
    assert [str(one) for one in lock.select(LINUX, ["default"], ())] == ["a 2", "b 1"]
    assert [str(one) for one in lock.select(MACOS, ["default"], ())] == ["a 3", "b 1"]
    assert [str(one) for one in lock.select(WINDOWS, ["default"], ())] == ["a 2", "b 1"]


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        ('[project]\ndependencies = ["a b"]\n', r"pyproject\.toml: project\.dependencies\[0\]: expected a requirement"),
        ("project = 1\n", r"pyproject\.toml: project: expected a table, found 1"),
        (
            '[dependency-groups]\nx = [{include-group = "y"}]\n',
            r"pyproject\.toml: group x: expected that what it includes",
        ),
        ("[project\n", r"metadata\.strategy: 4\.5\.1 does not say .* is not valid TOML"),
    ],
)
def test_a_project_that_pdm_does_not_read_is_refused_with_its_place(
    tmp_path: Path, pyproject: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        walked(tmp_path, pyproject, package("a"))


def test_a_requires_python_that_breaks_its_standard_refuses_no_python(tmp_path: Path) -> None:
    lock = walked(tmp_path, '[project]\ndependencies = ["a"]\n', package("a", 'requires_python = ">=3.6, nearly"'))
    assert names(lock.select(LINUX, ["default"], ())) == ["a"]


def test_what_comes_from_a_source_of_its_own_is_found_by_it_without_groups_too(tmp_path: Path) -> None:
    own = package("a", 'url = "https://files.example.com/a-1.zip"'), package("b", 'path = "./b"')
    lines = '["a @ https://files.example.com/a-1.zip", "b @ file:///${PROJECT_ROOT}/b"]'
    others = package("a", version="2"), package("b", version="2")
    lock = walked(tmp_path, f"[project]\ndependencies = {lines}\n", *own, *others)
    assert [one.source for one in lock.select(LINUX, ["default"], ())] == ["https://files.example.com/a-1.zip", "./b"]


def test_extras_that_the_lock_lacks_are_refused(tmp_path: Path) -> None:
    lock = walked(tmp_path, '[project]\ndependencies = ["a[x]"]\n', package("a"))
    with pytest.raises(ValueError, match=r"^package\[0\]: expected an entry with extras \[x\], found none; "):
        lock.select(LINUX, ["default"], ())


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METADATA.replace("4.5.1", "5.0"), r"^metadata\.lock_version: expected a pdm.lock of version .* found 5\.0; lock"),
        (METADATA.replace("4.5.1", "4.6"), r"^metadata\.lock_version: expected a pdm.lock of version .* found 4\.6; lock"),
        (METADATA.replace("4.5.1", "3.1"), r"^metadata\.lock_version: .* found 3\.1; make the lock anew"),
        ("[metadata]\n", r"^metadata\.lock_version: expected the version of the lock's format"),
        (METADATA + '[metadata.files]\n"a one" = []\n' + package("a"), r"^metadata\.files\.a one: expected a name and a vers"),
        (METADATA + package("../a"), r"^package\[0\]\.name: expected a name"),
        (METADATA + package("a", 'marker = "python_version <"'), r"^package\[0\]\.marker: expected a marker"),
        (METADATA + package("a", f'files = [{{url = "https://x/..%2f..%2fa", hash = "sha256:{HASH}"}}]'),
         r"^package\[0\]\.files\[0\]\.url: expected the plain name of a file"),
        (METADATA + package("a", 'files = [{file = "a.whl"}]'), r"^package\[0\]\.files\[0\]\.hash: expected"),
        (METADATA + package("a", 'path = "./\\u001b[2J"'), r"^package\[0\]\.path: expected a URL or path of characters"),
        (METADATA + '[[metadata.targets]]\nplatform = "Windows 3.11"\n',
         r"^metadata\.targets\[0\]\.platform: expected a platform such as"),
        (METADATA + '[[metadata.targets]]\nrequires_python = "new"\n',
         r"^metadata\.targets\[0\]\.requires_python: expected a specifier"),
    ],
)  # fmt: skip
def test_a_broken_lock_is_refused_with_the_place_and_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parse(text, tmp_path / "pdm.lock")
    assert "; " in str(error.value)


@pytest.mark.parametrize("name", SMALL)
def test_whatever_stands_in_a_lock_it_is_read_or_refused_with_a_sentence(name: str) -> None:
    path = SMALL[name] / "pdm.lock"
    refused = []
    for changed in mutations(tomli.loads(path.read_text(encoding="utf-8"))):
        try:
            lock = pdm_lock.read(changed, path)
            lock.select(LINUX, lock.groups, lock.extras)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert [message for message in refused if ": expected" not in message] == []


# ------------------------------------------------------------------------- older than its pyproject.toml


@pytest.mark.parametrize("name", [name for name in SMALL if name != "workspace"])
def test_a_lock_that_is_older_than_its_project_is_told(tmp_path: Path, name: str) -> None:
    for file in SMALL[name].iterdir():
        shutil.copy(file, tmp_path)
    lock, project = tmp_path / "pdm.lock", tmp_path / "pyproject.toml"
    assert pdm_lock.stale(lock) == ""
    text = project.read_text(encoding="utf-8")
    project.write_text(f"# only a comment\n{text}[tool.other]\nkey = 1\n", encoding="utf-8")
    assert pdm_lock.stale(lock) == ""
    project.write_text(text.replace("pytest>=8", "pytest>=9"), encoding="utf-8")
    assert "pyproject.toml has changed since the lock was made" in pdm_lock.stale(lock)


def test_the_age_of_a_lock_is_not_judged_where_pdm_goes_by_more(tmp_path: Path) -> None:
    for file in SMALL["workspace"].iterdir():
        shutil.copy(file, tmp_path)
    lock, project = tmp_path / "pdm.lock", tmp_path / "pyproject.toml"
    assert pdm_lock.stale(lock) == ""
    project.write_text("[tool.poetry]\n", encoding="utf-8")
    assert pdm_lock.stale(lock) == ""
    project.unlink()
    assert pdm_lock.stale(lock) == ""
