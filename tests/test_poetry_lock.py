"""A poetry.lock is read as Poetry reads it, whichever version of it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest
import tomli

from mirror_tasks.config.lock_files import poetry_lock
from mirror_tasks.config.lock_files.model import LockedPackage, LockFile
from tests.lock_environments import LOCKS
from tests.lock_exports import ENVIRONMENTS, exported, mutations, pinned_by, pinned_in, shared

SMALL = {version: LOCKS / f"poetry-{version}" for version in ("2.1", "2.0", "1.1")}
LINUX, WINDOWS, MACOS = ENVIRONMENTS.values()
HASH = "ab" * 32

METADATA = '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.9"\ncontent-hash = ""\n'


def package(name: str, version: str = "1", *lines: str) -> str:
    return "\n".join(["[[package]]", f'name = "{name}"', f'version = "{version}"', 'python-versions = "*"', *lines, ""])


def wanted(name: str, *lines: str) -> str:
    """Return a package of a lock of version 2.1, in group main but where a line says otherwise."""
    defaults = {"optional": "optional = false", "groups": 'groups = ["main"]', "files": "files = []"}
    given = {line.partition(" ")[0] for line in lines}
    return package(name, "1", *(line for key, line in defaults.items() if key not in given), *lines)


def parse(text: str, path: Path = Path("poetry.lock")) -> LockFile:
    return poetry_lock.read(tomli.loads(text), path)


def read(path: Path) -> LockFile:
    return parse(path.read_text(encoding="utf-8"), path)


def names(packages: Iterable[LockedPackage]) -> list[str]:
    return [one.name for one in packages]


def one(text: str) -> LockedPackage:
    """Return the only package of a lock."""
    lock = parse(text + METADATA)
    (found,) = lock.select(LINUX, lock.groups, lock.extras)
    return found


# ------------------------------------------------------------------------------- compared with what Poetry says


@pytest.mark.clients
@pytest.mark.parametrize("name", [*SMALL, "shared"])
def test_what_is_selected_is_what_poetry_exports(tmp_path: Path, name: str) -> None:
    files = SMALL[name] if name in SMALL else shared("poetry")
    export = exported("poetry", tmp_path, files, "export", "--all-groups", "--all-extras", "--no-interaction")
    lock = read(files / "poetry.lock")
    for where in ENVIRONMENTS.values():
        ours, theirs = pinned_by(lock.select(where, lock.groups, lock.extras)), pinned_in(export, where)
        assert ours.keys() == theirs.keys()
        assert all(ours[key] <= theirs[key] for key in ours)
        assert len(ours) > 5
        if name != "1.1":  # where Poetry takes the files of all versions of a project for those of each
            assert ours == theirs


@pytest.mark.clients
@pytest.mark.parametrize(
    ("version", "groups", "extras"),
    [
        ("2.1", ["main"], []),
        ("2.1", ["main", "dev"], ["wide"]),
        ("2.0", ["dev"], []),
        ("1.1", ["main", "dev"], ["both"]),
    ],
)
def test_groups_and_extras_that_are_asked_for_are_those_of_poetry(
    tmp_path: Path, version: str, groups: list[str], extras: list[str]
) -> None:
    arguments = ["--only", ",".join(groups), *(f"--extras={extra}" for extra in extras)]
    export = exported("poetry", tmp_path, SMALL[version], "export", "--no-interaction", *arguments)
    lock = read(SMALL[version] / "poetry.lock")
    for where in ENVIRONMENTS.values():
        assert pinned_by(lock.select(where, groups, extras)).keys() == pinned_in(export, where).keys()


# ------------------------------------------------------------------------------------------- lock-version 2.1


def test_groups_and_extras_can_be_asked_for_by_their_names() -> None:
    lock = read(SMALL["2.1"] / "poetry.lock")
    assert (lock.groups, lock.extras) == (("main", "dev", "docs"), ("both", "wide"))
    assert lock.requires_python == "<4.0,>=3.10"
    assert 'python_version < "3.12"' in lock.markers
    assert "" not in lock.markers


def test_a_package_is_wanted_where_the_marker_of_a_group_that_is_asked_for_holds() -> None:
    lock = read(SMALL["2.1"] / "poetry.lock")
    assert "colorama" in names(lock.select(WINDOWS, ["dev"], ()))
    assert "colorama" not in names(lock.select(LINUX, ["dev"], ()))
    assert names(lock.select(LINUX, ["docs"], ())) == ["colorama", "markdown"]
    assert names(lock.select(MACOS, ["docs"], ())) == ["markdown"]


def test_a_group_without_a_marker_wants_its_package_everywhere() -> None:
    lock = parse(wanted("a", 'groups = ["main", "dev"]', "markers = {dev = 'sys_platform == \"win32\"'}") + METADATA)
    assert names(lock.select(LINUX, ["main"], ())) == ["a"]
    assert names(lock.select(LINUX, ["dev"], ())) == []


def test_a_marker_that_holds_nowhere_and_one_that_does_everywhere_are_read_as_poetry_writes_them() -> None:
    lock = parse(wanted("never", 'markers = "<empty>"') + wanted("always", 'markers = "*"') + METADATA)
    assert names(lock.select(LINUX, ["main"], ())) == ["always"]


@pytest.mark.parametrize(
    ("extras", "expected"),
    [
        ((), ["plain"]),
        (("cpu",), ["cpu", "plain", "turned"]),
        (("cuda",), ["cuda", "plain"]),
        (("cpu", "cuda"), ["cpu", "cuda", "plain", "turned"]),
    ],
)
def test_extras_that_exclude_each_other_are_all_followed(extras: Collection[str], expected: list[str]) -> None:
    exclusive = [
        wanted("cpu", 'markers = \'extra == "cpu" and extra != "cuda"\''),
        wanted("cuda", 'markers = \'extra == "cuda" and extra != "cpu"\''),
        wanted("turned", 'markers = \'"CPU" == extra and "cuda" != extra\''),
        wanted("plain", 'markers = \'extra != "cpu" and extra != "cuda"\''),
    ]
    lock = parse("".join(exclusive) + '[extras]\ncpu = ["cpu"]\ncuda = ["cuda"]\n' + METADATA)
    assert names(lock.select(LINUX, ["main"], extras)) == expected


def test_a_python_out_of_two_ranges_is_refused_where_the_lock_is_for_neither() -> None:
    lock = parse(wanted("a") + METADATA.replace(">=3.9", "~3.9 || >=3.12"))
    assert names(lock.select(LINUX, ["main"], ())) == ["a"]
    assert lock.requires_python == ""
    with pytest.raises(ValueError, match=r"^metadata\.python-versions: expected a Python that is .* found 3\.11\.0"):
        lock.select(WINDOWS, ["main"], ())


# ----------------------------------------------------------------------------------------- sources and files


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('type = "git"\nurl = "https://git.example.com/t.git"\nresolved_reference = "4f1c"',
         "git+https://git.example.com/t.git@4f1c"),
        ('type = "git"\nurl = "https://bot:secret@git.example.com/t"\nresolved_reference = "4f1c"\nsubdirectory = "a b"',
         "git+https://git.example.com/t@4f1c#subdirectory=a%20b"),
        ('type = "git"\nurl = "git@git.example.com:team/t.git"\nresolved_reference = "4f1c"',
         "git+ssh://git@git.example.com/team/t.git@4f1c"),
        ('type = "git"\nurl = "ssh://git:secret@git.example.com/t.git"\nresolved_reference = "4f1c"',
         "git+ssh://git@git.example.com/t.git@4f1c"),
        ('type = "url"\nurl = "https://u:secret@files.example.com/a-1.zip"',
         f"https://files.example.com/a-1.zip#sha256={HASH}"),
        ('type = "file"\nurl = "dist/a-1.zip"', "dist/a-1.zip"),
        ('type = "directory"\nurl = "../lib"', "../lib"),
    ],
)  # fmt: skip
def test_what_no_index_has_says_where_it_is_from_without_secrets(source: str, expected: str) -> None:
    found = one(
        wanted("a", f'files = [{{file = "a-1.zip", hash = "sha256:{HASH}"}}]') + f"[package.source]\n{source}\n"
    )
    assert (found.source, found.files, found.index) == (expected, (), None)


def test_an_index_is_named_without_credentials_and_the_default_one_is_not() -> None:
    source = '[package.source]\ntype = "legacy"\nurl = "https://me:secret@index.example.com/simple"\nreference = "x"\n'
    assert one(wanted("a") + source).index == "https://index.example.com/simple"
    assert one(wanted("a")).index is None


def test_a_file_is_named_as_it_is_and_its_sha256_counts() -> None:
    files = (
        f'{{file = "a-1%2Bcu1.zip", hash = "sha256:{HASH.upper()}"}}',
        '{file = "a-1.tar.gz", hash = "md5:d41d8cd98f00b204e9800998ecf8427e"}',
        '{file = "a-1.whl", hash = "sha512:00"}',
        f'{{file = "a-1.whl", hash = "{HASH}"}}',
    )
    found = one(wanted("a", f"files = [{', '.join(files)}]"))
    assert [(file.filename, file.sha256) for file in found.files] == [
        ("a-1+cu1.zip", HASH),
        ("a-1.tar.gz", None),
        ("a-1.whl", HASH),
    ]


# --------------------------------------------------------------------------------------- before lock-version 2.1

OLD = '[metadata]\nlock-version = "1.1"\npython-versions = "*"\ncontent-hash = ""\n[metadata.files]\n'


def old(tmp_path: Path, pyproject: str, *packages: str, extras: str = "") -> LockFile:
    (tmp_path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    named = {part.split('"')[1] for part in packages}
    return parse(
        "".join(packages) + extras + OLD + "".join(f"{name} = []\n" for name in named), tmp_path / "poetry.lock"
    )


def test_an_old_lock_without_its_pyproject_says_that_it_needs_it(tmp_path: Path) -> None:
    shutil.copy(SMALL["1.1"] / "poetry.lock", tmp_path)
    with pytest.raises(ValueError, match=r"^metadata\.lock-version: 1\.1 does not say where") as error:
        read(tmp_path / "poetry.lock")
    assert str(tmp_path / "pyproject.toml") in str(error.value)


@pytest.mark.parametrize("version", ["2.0", "1.1"])
def test_an_old_lock_has_the_groups_and_extras_of_its_project(version: str) -> None:
    lock = read(SMALL[version] / "poetry.lock")
    assert lock.groups == (("main", "docs", "dev") if version == "2.0" else ("main", "dev"))
    assert lock.extras == ("both", "wide")
    assert "typing-extensions" in names(lock.select(MACOS, ["main"], ()))
    assert "typing-extensions" not in names(lock.select(LINUX, ["main"], ()))
    assert "tabulate" not in names(lock.select(LINUX, ["main"], ()))
    assert {"tabulate", "wcwidth"} <= set(names(lock.select(LINUX, ["main"], ["wide"])))


@pytest.mark.parametrize(
    ("groups", "extras", "expected"),
    [
        (["main"], [], set()),
        (["main"], ["both"], {"iniconfig", "tabulate", "wcwidth"}),
        (["main", "dev"], [], {"iniconfig"}),
    ],
)
def test_what_only_extras_lead_to_in_the_groups_that_are_asked_for_needs_them(
    groups: list[str], extras: list[str], expected: set[str]
) -> None:
    found = names(read(SMALL["2.0"] / "poetry.lock").select(LINUX, groups, extras))
    assert set(found) & {"iniconfig", "tabulate", "wcwidth"} == expected  # so `poetry install` does [ran]


def test_each_version_in_an_old_lock_has_its_own_files() -> None:
    lock = read(SMALL["1.1"] / "poetry.lock")
    (found,) = (one for one in lock.select(LINUX, ["main"], ()) if one.name == "importlib-metadata")
    assert [file.filename for file in found.files] == [
        "importlib_metadata-8.9.0-py3-none-any.whl",
        "importlib_metadata-8.9.0.tar.gz",
    ]


def test_the_oldest_locks_have_hashes_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.poetry.dependencies]\na = "*"\n', encoding="utf-8")
    metadata = f'[metadata]\nlock-version = "1.0"\npython-versions = "*"\n[metadata.hashes]\na = ["{HASH}"]\n'
    (found,) = parse(package("a") + metadata, tmp_path / "poetry.lock").select(LINUX, ["main"], ())
    assert [(file.filename, file.sha256) for file in found.files] == [("", HASH)]


def test_a_demand_that_comes_late_decides_between_two_versions(tmp_path: Path) -> None:
    lock = old(
        tmp_path,
        '[tool.poetry.dependencies]\na = "*"\nb = "*"\n',
        package("a", "1"),
        package("a", "2"),
        package("b", "1", '[package.dependencies]\na = "<2"\n'),
    )
    assert [str(one) for one in lock.select(LINUX, ["main"], ())] == ["a 1", "b 1"]


def test_a_version_is_taken_for_the_python_that_it_is_for(tmp_path: Path) -> None:
    newer = package("a", "2").replace('python-versions = "*"', 'python-versions = ">=3.12"')
    lock = old(tmp_path, '[tool.poetry.dependencies]\na = "*"\n', package("a", "1"), newer)
    assert [str(one) for one in lock.select(WINDOWS, ["main"], ())] == ["a 1"]
    assert [str(one) for one in lock.select(LINUX, ["main"], ())] == ["a 2"]
    assert any("3.12" in marker for marker in lock.markers)  # so that it is asked again where its answer changes


def test_an_old_lock_that_lacks_what_the_project_requires_is_refused(tmp_path: Path) -> None:
    lock = old(tmp_path, '[tool.poetry.dependencies]\na = "^2"\n', package("a", "1"))
    with pytest.raises(ValueError, match=r"^tool\.poetry\.dependencies\.a: expected a a in the lock .* found 1; "):
        lock.select(LINUX, ["main"], ())


def test_an_old_lock_that_lacks_a_project_altogether_is_refused(tmp_path: Path) -> None:
    lock = old(
        tmp_path, '[tool.poetry.dependencies]\na = "*"\n', package("a", "1", '[package.dependencies]\nb = "*"\n')
    )
    with pytest.raises(ValueError, match=r"^package\[0\]\.dependencies\.b: expected a b in the lock .* found none; "):
        lock.select(LINUX, ["main"], ())


def test_demands_that_no_version_meets_together_are_refused(tmp_path: Path) -> None:
    lock = old(
        tmp_path,
        '[tool.poetry.dependencies]\na = ">1"\nb = "*"\n',
        package("a", "1"),
        package("a", "2"),
        package("b", "1", '[package.dependencies]\na = "<2"\n'),
    )
    with pytest.raises(
        ValueError, match=r"expected a a in the lock that this allows, found 2, 1; the lock may be older"
    ):
        lock.select(LINUX, ["main"], ())


def test_packages_that_require_each_other_are_both_selected(tmp_path: Path) -> None:
    lock = old(
        tmp_path,
        '[tool.poetry.dependencies]\na = "*"\n',
        package("a", "1", '[package.dependencies]\nb = "*"\n'),
        package("b", "1", '[package.dependencies]\na = "*"\n'),
    )
    assert names(lock.select(LINUX, ["main"], ())) == ["a", "b"]


@pytest.mark.parametrize(
    ("pyproject", "message"),
    [
        (
            '[project]\ndependencies = ["a b"]\n',
            r"project\.dependencies\[0\]: expected a requirement such as foo>=1\.2",
        ),
        (
            '[tool.poetry.dependencies]\na = "^x"\n',
            r"tool\.poetry\.dependencies\.a\.version: expected a constraint such",
        ),
        ("[tool.poetry.dependencies]\na = 1\n", r"tool\.poetry\.dependencies\.a: expected a table, found 1"),
        (
            '[tool.poetry.dependencies]\na = {platform = "?"}\n',
            r"tool\.poetry\.dependencies\.a\.platform: expected a plat",
        ),
        (
            '[dependency-groups]\ndev = [{include-group = "x"}]\n',
            r"group dev: expected that what it includes are groups",
        ),
        ("[project\n", r"metadata\.lock-version: 1\.1 does not say .* is not valid TOML"),
    ],
)
def test_a_project_that_poetry_does_not_read_is_refused_with_its_place(
    tmp_path: Path, pyproject: str, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^(pyproject\.toml: )?{message}"):
        old(tmp_path, pyproject, package("a"))


def test_tools_that_old_poetrys_never_locked_are_not_missed(tmp_path: Path) -> None:
    lock = old(
        tmp_path,
        '[tool.poetry.dependencies]\na = "*"\n',
        package("a", "1", '[package.dependencies]\nsetuptools = "*"\n'),
    )
    assert names(lock.select(LINUX, ["main"], ())) == ["a"]


def test_extras_of_a_package_are_followed_also_where_they_stand_for_others(tmp_path: Path) -> None:
    body = (
        '[package.dependencies]\nb = {version = "*", optional = true}\nc = {version = "*", optional = true}\n'
        '[package.extras]\nall = ["a[x]"]\nx = ["b (>=1)"]\ny = ["c"]\n'
    )
    packages = (package("a", "1", body), package("b"), package("c"))
    assert names(old(tmp_path, '[tool.poetry.dependencies]\na = "*"\n', *packages).select(LINUX, ["main"], ())) == ["a"]
    lock = old(tmp_path, '[tool.poetry.dependencies]\na = {version = "*", extras = ["all"]}\n', *packages)
    assert names(lock.select(LINUX, ["main"], ())) == ["a", "b"]


def test_the_standard_tables_of_a_project_are_read_with_an_old_lock(tmp_path: Path) -> None:
    lock = old(
        tmp_path,
        """
        [project]
        name = "Ours"
        dependencies = ["a>=1; sys_platform == 'linux'"]
        [project.optional-dependencies]
        x = ["b", "ours[x]"]
        [dependency-groups]
        base = ["c"]
        dev = [{include-group = "base"}]
        [tool.poetry.dependencies]
        a = {source = "private"}
        [tool.poetry.group.more]
        include-groups = ["dev"]
        """,
        package("a"),
        package("b"),
        package("c"),
        extras='[extras]\nx = ["b"]\n',
    )
    assert lock.groups == ("main", "base", "dev", "more")
    assert names(lock.select(LINUX, ["main"], ())) == ["a"]
    assert names(lock.select(LINUX, ["main"], ["x"])) == ["a", "b"]
    assert names(lock.select(WINDOWS, ["main"], ["x"])) == ["b"]
    assert names(lock.select(LINUX, ["more"], ())) == ["c"]


@pytest.mark.parametrize(
    ("dynamic", "extra", "expected"),
    [
        ("", "x", ["a", "b"]),
        ('dynamic = ["optional-dependencies"]', "x", ["a", "b"]),
        ('dynamic = ["optional-dependencies"]', "y", ["a", "c"]),
        ('dynamic = ["dependencies"]', "x", ["a", "b"]),
    ],
)
def test_what_is_dynamic_in_a_project_is_left_to_the_tables_of_poetry(
    tmp_path: Path, dynamic: str, extra: str, expected: list[str]
) -> None:
    standard = '[project.optional-dependencies]\nx = ["b"]\n' if "optional" not in dynamic else ""
    project = f"""
    [project]
    {'dependencies = ["a"]' if '["dependencies"]' not in dynamic else ""}
    {dynamic}
    {standard}
    [tool.poetry.dependencies]
    a = "*"
    b = {{version = "*", optional = true}}
    c = {{version = "*", optional = true}}
    """
    lock = old(tmp_path, project, *map(package, "abc"), extras='[extras]\nx = ["b"]\ny = ["c"]\n')
    assert names(lock.select(LINUX, ["main"], [extra])) == expected


def test_packages_of_one_name_are_told_apart_by_their_source(tmp_path: Path) -> None:
    private = '[package.source]\ntype = "legacy"\nurl = "https://i.example.com"\nreference = "Private"\n'
    both = package("a", "2", private), package("a", "1")
    for source, version in (("private", "2"), ("pypi", "1")):
        lock = old(tmp_path, f'[tool.poetry.dependencies]\na = {{version = "*", source = "{source}"}}\n', *both)
        assert [str(one) for one in lock.select(LINUX, ["main"], ())] == [f"a {version}"]


SOURCES = {
    'git = "https://x/a.git", branch = "main"': ('type = "git"\nurl = "https://x/a.git"\nreference = "main"', "git+https://x/a.git"),
    'git = "https://x/a.git", tag = "v1"': ('type = "git"\nurl = "https://x/a.git"\nreference = "v1"\nresolved_reference = "4f"',
                                          "git+https://x/a.git@4f"),
    'url = "https://x/a-1.zip"': ('type = "url"\nurl = "https://x/a-1.zip"', "https://x/a-1.zip"),
    'path = "../a"': ('type = "directory"\nurl = "../a"', "../a"),
}  # fmt: skip


@pytest.mark.parametrize("written", SOURCES)
def test_what_comes_from_a_source_of_its_own_is_found_by_it(tmp_path: Path, written: str) -> None:
    packages = [package("a", "1", f"[package.source]\n{source}\n") for source, _ in SOURCES.values()]
    lock = old(tmp_path, f"[tool.poetry.dependencies]\na = {{{written}}}\n", *packages, package("a", "2"))
    assert [one.source for one in lock.select(LINUX, ["main"], ())] == [SOURCES[written][1]]


def test_a_dependency_is_for_its_platform_alone(tmp_path: Path) -> None:
    platforms = {
        "a": "linux",
        "b": "!=win32",
        "c": "win32 || darwin",
        "d": "*",
        "e": "==linux",
        "f": "!=linux,!=darwin",
    }
    lines = "".join(f'{name} = {{platform = "{platform}"}}\n' for name, platform in platforms.items())
    lock = old(tmp_path, "[tool.poetry.dependencies]\n" + lines, *map(package, platforms))
    found = {where.name: "".join(names(lock.select(where, ["main"], ()))) for where in ENVIRONMENTS.values()}
    assert found == {"linux": "abde", "windows": "cdf", "macos": "bcd"}


@pytest.mark.parametrize(("extra", "expected"), [("x", ["a", "b"]), ("y", ["a", "c"]), ("unknown", ["a"])])
def test_an_extra_brings_what_names_it_in_its_marker(tmp_path: Path, extra: str, expected: list[str]) -> None:
    body = (
        "[package.dependencies]\n"
        "b = {version = '*', optional = true, markers = 'extra == \"x\"'}\n"
        "c = {version = '*', optional = true, markers = 'extra == \"y\"'}\n"
        '[package.extras]\nx = ["b", "c"]\ny = ["b", "c"]\n'
    )
    project = f'[tool.poetry.dependencies]\na = {{version = "*", extras = ["{extra}"]}}\n'
    lock = old(tmp_path, project, package("a", "1", body), package("b"), package("c"))
    assert names(lock.select(LINUX, ["main"], ())) == expected


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METADATA.replace("2.1", "3.0"),
         r"^metadata\.lock-version: expected .* below 3, found 3\.0; lock with a Poetry that writes 2\.1$"),
        (METADATA.replace("2.1", "0.9"), r"^metadata\.lock-version: expected .*, found 0\.9; make the lock anew"),
        ("[metadata]\n", r"^metadata\.lock-version: expected the version of the lock's format"),
        ("package = 1\n" + METADATA, r"^package: expected a list, found 1; make the lock anew"),
        (wanted("../a") + METADATA, r"^package\[0\]\.name: expected a name"),
        (package("a", "1", "files = []") + METADATA, r"^package\[0\]\.groups: expected a list of groups, found None"),
        (wanted("a", 'groups = "main"') + METADATA, r"^package\[0\]\.groups: expected a list, found 'main'"),
        (wanted("a", 'markers = "python_version <"') + METADATA, r"^package\[0\]\.markers: expected a marker"),
        (wanted("a", f'files = [{{file = "../a.whl", hash = "sha256:{HASH}"}}]') + METADATA,
         r"^package\[0\]\.files\[0\]\.file: expected the plain name of a file, found '\.\./a\.whl'"),
        (wanted("a", 'files = [{file = "a.whl", hash = "sha256:00"}]') + METADATA, r"^package\[0\]\.files\[0\]\.hash: "),
        (wanted("a") + '[package.source]\ntype = "carrier pigeon"\nurl = "x"\n' + METADATA,
         r"^package\[0\]\.source\.type: expected one of legacy"),
        (wanted("a") + '[package.source]\ntype = "git"\nurl = "https://x/\\u001b[2J"\n' + METADATA,
         r"^package\[0\]\.source\.url: expected a URL or path of characters that can be printed"),
        (package("a", "1", 'groups = ["main"]') + METADATA, r"^package\[0\]\.files: expected the files of a"),
        (wanted("a") + METADATA.replace(">=3.9", "since 3.9"), r"^metadata\.python-versions: expected a constraint"),
    ],
)  # fmt: skip
def test_a_broken_lock_is_refused_with_the_place_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parse(text)
    assert "; " in str(error.value)


@pytest.mark.parametrize("version", SMALL)
def test_whatever_stands_in_a_lock_it_is_read_or_refused_with_a_sentence(version: str) -> None:
    path = SMALL[version] / "poetry.lock"
    refused = []
    for changed in mutations(tomli.loads(path.read_text(encoding="utf-8"))):
        try:
            lock = poetry_lock.read(changed, path)
            lock.select(LINUX, lock.groups, lock.extras)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert [message for message in refused if ": expected" not in message] == []


# ------------------------------------------------------------------------- older than its pyproject.toml


@pytest.mark.parametrize("version", SMALL)
def test_a_lock_that_is_older_than_its_project_is_told(tmp_path: Path, version: str) -> None:
    for file in SMALL[version].iterdir():
        shutil.copy(file, tmp_path)
    assert poetry_lock.stale(tmp_path / "poetry.lock") == ""
    project = tmp_path / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text("# only a comment\n" + text, encoding="utf-8")
    assert poetry_lock.stale(tmp_path / "poetry.lock") == ""
    project.write_text(text.replace("click", "flask"), encoding="utf-8")
    assert "pyproject.toml has changed since the lock was made" in poetry_lock.stale(tmp_path / "poetry.lock")


def test_groups_count_for_the_age_of_a_lock_only_where_its_poetry_counted_them(tmp_path: Path) -> None:
    for file in SMALL["2.1"].iterdir():
        shutil.copy(file, tmp_path)
    project, lock = tmp_path / "pyproject.toml", tmp_path / "poetry.lock"
    project.write_text(project.read_text(encoding="utf-8") + '\n[dependency-groups]\nx = ["y"]\n', encoding="utf-8")
    assert poetry_lock.stale(lock)
    lock.write_text("# by Poetry 2.2.1 and\n" + lock.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    assert not poetry_lock.stale(lock)


def test_the_age_of_a_lock_without_a_project_beside_it_is_not_judged(tmp_path: Path) -> None:
    shutil.copy(SMALL["2.1"] / "poetry.lock", tmp_path)
    assert poetry_lock.stale(tmp_path / "poetry.lock") == ""
