"""What is promised of a pylock.toml: what an installer would take from it is selected, with every file that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedPackage
from tests.lock_environments import LINUX, LOCKS, MACOS, NAMES, THREE, WINDOWS, door, made, pins, selected

OF_UV = LOCKS / "pylock" / "pylock.uv.toml"
OF_PDM = LOCKS / "pylock" / "pylock.pdm.toml"
OF_PIP = LOCKS / "pylock" / "pylock.pip.toml"
A, B = "a" * 64, "b" * 64
HEAD = 'lock-version = "1.0"\ncreated-by = "hand"\n'
WHEEL = f'{{name = "a-1.0-py3-none-any.whl", url = "https://files.example.com/x", hashes = {{sha256 = "{A}"}}}}'
SDIST = f'{{name = "a-1.0.tar.gz", url = "https://files.example.com/y", hashes = {{sha256 = "{B}"}}}}'


def written(folder: Path, *packages: str, head: str = HEAD) -> Path:
    """Write a pylock.toml of packages, each the lines behind ``[[packages]]``."""
    path = folder / "pylock.toml"
    path.write_text(head + "".join(f"\n[[packages]]\n{one}\n" for one in packages))
    return path


def package(name: str = "a", **more: str) -> str:
    """Return the lines of a package with a wheel; keys are written with _ for -."""
    lines = {"name": f'"{name}"', "version": '"1.0"', "wheels": f"[{WHEEL.replace('a-1.0', name + '-1.0')}]"} | more
    return "\n".join(f"{key.replace('_', '-')} = {value}" for key, value in lines.items() if value)


def one(path: Path) -> LockedPackage:
    (found,) = selected(door(path, [LINUX]), LINUX)
    return found


def uv_says(path: Path, where: Environment, *asked: str) -> set[str]:
    """Return what uv would install from the lock: it asks no index for that."""
    command = [uv.find_uv_bin(), "pip", "sync", "--dry-run", "--offline", "--no-config", "--no-cache"]
    command += ["--no-python-downloads", "--python", sys.executable, "--target", "target", *asked]
    command += ["--python-version", str(where.python), "--python-platform", where.name, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line[3:] for line in answer.stderr.splitlines() if line.startswith(" + ") and "==" in line}


@pytest.mark.parametrize("where", THREE, ids=NAMES)
def test_what_is_selected_from_a_lock_of_uv_is_what_uv_says(where: Environment) -> None:
    assert pins(door(OF_UV, [where]), where) == uv_says(OF_UV, where)


def test_what_is_selected_from_a_lock_of_pip_is_what_uv_says() -> None:
    assert pins(door(OF_PIP, [LINUX]), LINUX) == uv_says(OF_PIP, LINUX)


@pytest.mark.parametrize(("groups", "extras"), [(["default"], []), (["dev"], ["fast"]), (None, None)])
@pytest.mark.parametrize("where", THREE, ids=NAMES)
def test_what_groups_and_extras_of_a_lock_of_pdm_select_is_what_uv_says(
    where: Environment, groups: list[str] | None, extras: list[str] | None
) -> None:
    lock = door(OF_PDM, [where], groups, extras)
    asked = [f"--group={group}" for group in lock.groups] + [f"--extra={extra}" for extra in lock.extras]
    assert pins(lock, where) == uv_says(OF_PDM, where, *asked)
    assert (lock.groups, lock.extras) == (
        tuple(groups or ("default", "dev", "docs")),
        ("fast",) if extras != [] else (),
    )


def test_a_lock_that_pip_made_for_one_platform_is_refused_for_others_by_all_packages_that_have_no_file(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ValueError, match=r"^pylock\.pip\.toml: on windows \(Python 3\.11\), macos \(Python 3\.13\): "
    ) as caught:
        door(OF_PIP)
    said = r"expected a wheel that fits or an sdist, found none of psutil \(of 1, as psutil-7\.0\.0-cp36-abi3-manylinux"
    assert re.search(said, str(caught.value))
    assert "name those that it is for in `environments`" in str(caught.value)
    linux = [package(f"a{number:02}").replace("py3-none-any", "cp312-cp312-linux_x86_64") for number in range(12)]
    with pytest.raises(ValueError, match=r"a00 \(of 1, .* a09 .* and 2 more; lock again"):
        door(written(tmp_path, *linux), [WINDOWS])


def test_it_is_asked_again_from_the_patch_release_on_where_a_marker_turns() -> None:
    first, second = door(OF_UV, [LINUX]).selected["linux"]
    assert (first.patch, second.patch) == (0, 4)
    gone = {one.name for one in first.packages} - {one.name for one in second.packages}
    assert gone == {"exceptiongroup", "typing-extensions"}


def test_all_files_are_handed_on_not_the_best_one_alone() -> None:
    (psutil,) = (one for one in selected(door(OF_UV, [MACOS]), MACOS) if one.name == "psutil")
    names = [file.filename for file in psutil.files]
    assert (len(names), names[-1]) == (8, "psutil-7.0.0.tar.gz")
    assert all(file.sha256 and file.url and file.url.startswith("https://files.example.com/") for file in psutil.files)
    assert psutil.index == "https://index.example.com/simple"


def test_the_project_itself_is_passed_over() -> None:
    assert 'directory = { path = "."' in OF_UV.read_text()
    assert "app" not in {one.name for one in selected(door(OF_UV, [LINUX]), LINUX)}


def test_groups_and_extras_select_what_their_markers_say(tmp_path: Path) -> None:
    head = HEAD + 'extras = ["fast"]\ndependency-groups = ["Test_it"]\ndefault-groups = ["main"]\n'
    path = written(
        tmp_path,
        package("a"),
        package("b", marker="\"'fast' in extras\""),
        package("c", marker="\"'main' in dependency_groups or 'test-it' in dependency_groups\""),
        package("d", marker="\"'Test_it' in dependency_groups and sys_platform == 'win32'\""),
        head=head,
    )

    def names(groups: list[str] | None, extras: list[str] | None) -> str:
        return "".join(one.name for one in selected(door(path, [WINDOWS], groups, extras), WINDOWS))

    assert names(None, None) == "abcd"
    assert names(["main"], ["Fast"]) == "abc"
    assert names(["test.it"], []) == "acd"
    assert names([], []) == "a"
    assert door(path).groups == ("main", "test-it")


def test_a_turn_that_hangs_on_a_group_is_found(tmp_path: Path) -> None:
    marker = "\"(python_full_version >= '3.12.5' and 'main' in dependency_groups) or python_full_version < '3.12.3'\""
    path = written(tmp_path, package("a", marker=marker), package("b"), head=HEAD + 'default-groups = ["main", "o"]\n')

    def turns(groups: list[str]) -> list[tuple[int, int]]:
        return [(one.patch, len(one.packages)) for one in door(path, [LINUX], groups).selected["linux"]]

    assert turns(["main"]) == [(0, 2), (3, 1), (5, 2)]
    assert turns(["o"]) == [(0, 2), (3, 1)]


def test_file_names_come_from_path_or_url_where_there_is_no_name(tmp_path: Path) -> None:
    wheels = f'[{{path = "wheels/a-1.0+cpu-py3-none-any.whl", hashes = {{sha256 = "{A}"}}}}]'
    sdist = f'{{url = "https://me:secret@files.example.com/d/a-1.0.tar.gz?x=1#y", hashes = {{sha256 = "{B.upper()}"}}}}'
    found = one(written(tmp_path, package(version='"1.0+cpu"', wheels=wheels)))
    assert [(file.filename, file.sha256, file.url) for file in found.files] == [("a-1.0+cpu-py3-none-any.whl", A, None)]
    found = one(written(tmp_path, package(wheels="", sdist=sdist)))
    assert [(file.filename, file.sha256, file.url) for file in found.files] == [
        ("a-1.0.tar.gz", B, "https://files.example.com/d/a-1.0.tar.gz?x=1#y")
    ]


def test_a_name_that_only_a_url_says_is_decoded(tmp_path: Path) -> None:
    wheel = f'{{url = "https://files.example.com/a-1.0%2Bcu128-py3-none-any.whl", hashes = {{sha256 = "{A}"}}}}'
    (file,) = one(written(tmp_path, package(version='"1.0+cu128"', wheels=f"[{wheel}]"))).files
    assert file.filename == "a-1.0+cu128-py3-none-any.whl"


def test_a_version_that_is_not_said_is_that_of_the_files(tmp_path: Path) -> None:
    assert str(one(written(tmp_path, package(version=""))).version) == "1.0"
    other = SDIST.replace("1.0", "2.0")
    with pytest.raises(
        ValueError, match=r"packages\[0\]: expected `version`, or files of one; found files of 1\.0, 2\.0"
    ):
        door(written(tmp_path, package(version="", sdist=other)))


@pytest.mark.parametrize(
    ("key", "value", "source"),
    [
        (
            "vcs",
            '{type = "git", url = "https://me:secret@git.example.com/a.git", commit-id = "4f1c", subdirectory = "p"}',
            "git+https://git.example.com/a.git@4f1c#subdirectory=p",
        ),
        ("vcs", '{type = "git", path = "../a", commit-id = "4f1c"}', "git+../a@4f1c"),
        ("directory", '{path = "../a", editable = true}', "../a"),
        (
            "archive",
            f'{{url = "https://files.example.com/a-1.5.zip", hashes = {{sha256 = "{A}"}}, subdirectory = "p"}}',
            f"https://files.example.com/a-1.5.zip#sha256={A}&subdirectory=p",
        ),
        (
            "archive",
            f'{{path = "a-1.5-py3-none-any.whl", hashes = {{sha256 = "{A}"}}}}',
            f"a-1.5-py3-none-any.whl#sha256={A}",
        ),
    ],
)
def test_what_no_index_has_is_a_source_as_a_requirement_has_it(
    key: str, value: str, source: str, tmp_path: Path
) -> None:
    found = one(written(tmp_path, package(version="", wheels="", **{key: value})))
    assert (found.source, found.files) == (source, ())
    assert str(found.version) == ("1.5" if "1.5" in source else "0")


def test_the_tables_of_tools_and_a_newer_minor_version_change_nothing(tmp_path: Path) -> None:
    head = HEAD.replace("1.0", "1.9") + "[tool.someone]\npackages = 3\n"
    assert str(one(written(tmp_path, package(tool='{other = "x"}'), head=head))) == "a 1.0"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (
            'lock-version = "2.0"\ncreated-by = 3\n',
            r"lock-version: 2\.0 is newer than 1\.x, which is what is read here",
        ),
        ('lock-version = "zwei"\n', "lock-version: expected \"1.0\", found 'zwei'; lock again"),
        ("lock-version = 1\n", 'lock-version: expected "1.0", found 1; lock again'),
        ("", 'lock-version: expected "1.0", found None'),
        ('lock-version = "1.0"\n', "created-by: Missing required value"),
        (HEAD + 'requires-python = "three"\n', "requires-python: .*three"),
        (HEAD + 'environments = ["nowhere"]\n', r"environments\[0\]: "),
    ],
)
def test_a_head_that_is_none_is_told_by_its_key(head: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^pylock.toml: {said}"):
        door(written(tmp_path, package(), head=head))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (package(name="A_b"), r"packages\[0\]\.name: Name 'A_b' is not normalized"),
        (package(version="1"), r"packages\[0\]\.version: Unexpected type int"),
        (package(wheels=f"[{WHEEL.replace(A, 'zz')}]"), r"packages\[0\]\.wheels\[0\]\.hashes\.sha256: expected a SHA-256 hash"),
        (package(wheels=f"[{WHEEL.replace('sha256', 'md5')}]"), r"packages\[0\]\.wheels\[0\]\.hashes: expected sha256, found"),
        (package(wheels=f"[{WHEEL.replace('a-1', 'b-1')}]"), r"packages\[0\]\.wheels\[0\]: Name in 'b-1.*' is not consistent"),
        (package(marker='"python is 3"'), r"packages\[0\]\.marker: "),
        (package(wheels=f'[{{url = "https://[x/a.whl", hashes = {{sha256 = "{A}"}}}}]'), r"packages\[0\]"),
        (package(index='"https://[x/"'), r"packages\[0\]\.index: expected a URL or path, found"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_its_key(lines: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^pylock.toml: {said}"):
        door(written(tmp_path, lines))


@pytest.mark.parametrize(
    "name", ["../../a-1.0.tar.gz", r"..\\a-1.0.tar.gz", r"a-1.0\n.tar.gz", "sub/a-1.0.tar.gz", "a.exe"]
)
def test_a_file_whose_name_leads_elsewhere_or_is_no_release_s_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^pylock\.toml: packages\[0\]\.sdist"):
        door(written(tmp_path, package(wheels="", sdist=SDIST.replace("a-1.0.tar.gz", name))))
    by_url = SDIST.replace('name = "a-1.0.tar.gz", ', "").replace("com/y", "com/..%2Fa-1.0.tar.gz")
    with pytest.raises(ValueError, match=r"^pylock\.toml: packages\[0\]\.sdist"):
        door(written(tmp_path, package(wheels="", sdist=by_url)))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            (package(), package()),
            r"Multiple packages with the name 'a' are selected at packages\[1\] and packages\[0\]",
        ),
        ((package(requires_python='">=3.12.2"'),), r"does not satisfy .*'>=3\.12\.2' for package 'a' at packages\[0\]"),
        ((package(marker="\"sys_platform ~= 'linux'\""),), "a marker can't be judged"),
        ((package(wheels=f"[{WHEEL.replace('py3-none-any', 'cp312-cp312-win32')}]"),), "found none of a "),
    ],
)
def test_what_does_not_hold_together_in_an_environment_is_told_with_its_name(
    lines: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^pylock.toml: on linux .*{said}"):
        door(written(tmp_path, *lines), [LINUX])


def test_a_lock_for_other_environments_says_so(tmp_path: Path) -> None:
    head = HEAD + "environments = [\"sys_platform == 'linux'\"]\n"
    path = written(tmp_path, package(), head=head)
    assert pins(door(path, [LINUX]), LINUX) == {"a==1.0"}
    with pytest.raises(
        ValueError, match=r"^pylock\.toml: on windows .*any of the environments specified in the lock file"
    ):
        door(path, [LINUX, WINDOWS])


def test_a_package_for_some_pythons_is_judged_on_the_patch_release(tmp_path: Path) -> None:
    path = written(tmp_path, package(requires_python='">=3.12.2"'))
    exact = made("exact", python="3.12.2", platform="linux-x86_64")
    assert pins(door(path, [exact]), exact) == {"a==1.0"}
