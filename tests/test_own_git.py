"""A requirement that names a commit of a repository: what is read of it, and the bytes that a build gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirror_tasks.archives.build_environment import From
from mirror_tasks.archives.repacking import repack_sdist, repack_wheel
from mirror_tasks.archives.source_build import build
from mirror_tasks.config.model import Config
from tests.making import core_metadata, sdist, wheel
from tests.mirroring import tree
from tests.pip import run_pip
from tests.test_config import config, faults

PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# What it makes has other times and another order each time; what does not, a backend may not make.
BACKEND = """\
import io, pathlib, random, tarfile, time, zipfile

HERE = pathlib.Path(__file__).parent
METADATA = (HERE / "PKG-INFO").read_text()
VERSION = METADATA.split("Version: ")[2].split()[0]
TAG = {tag!r}


def build_sdist(folder, config_settings=None):
    name = f"tool-{{VERSION}}"
    files = [one for one in HERE.rglob("*") if one.is_file() and ".git" not in one.parts and "__pycache__" not in one.parts]
    random.shuffle(files)
    with tarfile.open(pathlib.Path(folder, f"{{name}}.tar.gz"), "w:gz") as archive:
        for path in files:
            content = path.read_bytes()
            member = tarfile.TarInfo(f"{{name}}/{{path.relative_to(HERE).as_posix()}}")
            member.size, member.mtime, member.uname = len(content), time.time(), str(random.random())
            archive.addfile(member, io.BytesIO(content))
    return f"{{name}}.tar.gz"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    if TAG == "broken":
        raise RuntimeError("no compiler here")
    if TAG == "newer":
        return build_newer(folder)
    name, info = f"tool-{{VERSION}}-{{TAG}}.whl", f"tool-{{VERSION}}.dist-info"
    members = [
        ("tool.py", "X = 1"),
        (f"{{info}}/METADATA", METADATA),
        (f"{{info}}/WHEEL", f"Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: {{TAG}}\\n"),
        (f"{{info}}/RECORD", f"tool.py,,\\n{{info}}/METADATA,,\\n{{info}}/WHEEL,,\\n{{info}}/RECORD,,\\n"),
    ]
    random.shuffle(members)
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        for path, content in members:
            archive.writestr(zipfile.ZipInfo(path, (2000, 1, random.randint(1, 28), 0, 0, 0)), content)
    return name


def build_newer(folder):
    name = "tool-9.9-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        archive.writestr("tool.py", "")
    return name
"""
COMMIT = "4f1c" * 10
ENVIRONMENTS = """
environments:
  server: {python: "3.12", platform: linux-x86_64}
requirements:
"""


def write_project(folder: Path, version: str = "1.0", tag: str = "py3-none-any", name: str = "tool") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND.format(tag=tag))
    (folder / "PKG-INFO").write_bytes(core_metadata(name, version, requires=["lib"], metadata_version="2.2"))


def read(folder: Path, text: str, more: str = ", build: true") -> Config:
    return config(folder, f"{ENVIRONMENTS}  - {{require: '{text}'{more}}}\n")


# --- What is read


def test_a_repository_is_read_with_commit_folder_extras_and_marker(tmp_path: Path) -> None:
    text = f'Tool[x] @ git+https://git.example.com/a/tool.git@{COMMIT}#subdirectory=libs/tool ; python_version >= "3"'
    one = read(tmp_path, text)
    (root,), (own,) = one.roots, one.own
    assert str(root.requirements[0].requirement) == 'Tool[x]; python_version >= "3"'
    assert root.name == f"Tool[x] from git {COMMIT[:12]}"
    assert own.git is not None
    assert (own.git.url, own.git.ref, own.git.subdirectory) == (
        "https://git.example.com/a/tool.git",
        COMMIT,
        "libs/tool",
    )
    assert own.git.shown == f"https://git.example.com/a/tool.git@{COMMIT}#subdirectory=libs/tool"


@pytest.mark.parametrize(
    "url", ["git+ssh://git@git.example.com:22/a/b.git@v1.0", "git+file:///srv/a", "git+http://h/a"]
)
def test_other_ways_to_a_repository_are_taken(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, f"tool @ {url}").own[0].git is not None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git+ext::sh -c touch% /tmp/x", "expected a requirement"),
        ("git+ext://a/b", "found one with 'ext'"),
        ("git+git://git.example.com/a", "found one with 'git'"),
        ("git+git@git.example.com:a/b", "found one with"),
        ("git+ssh://-oProxyCommand=touch/a", "found a host that is none"),
        ("git+ssh://-oProxyCommand=x@git.example.com/a", "expected a user name alone"),
        ("git+ssh://me:s3cret@git.example.com/a", "expected a user name alone"),
        ("git+file://host/a", "it begins with file:///"),
        ("git+https:///a", "found a host that is none"),
        ("git+https://git.example.com/a/../../b", "found a path with other characters"),
        ("git+https://git.example.com/a$b", "found a path with other characters"),
        ("git+https://git.example.com/a@--upload-pack=touch", "behind the @, found '--upload-pack=touch'"),
        ("git+https://git.example.com/a@a..b", "behind the @, found"),
        ("git+https://git.example.com/a@", "behind the @, found nothing"),
        ("git+https://git.example.com/a@b#subdirectory=../x", "found #'subdirectory=../x'"),
        ("git+https://git.example.com/a@b#upload-pack=x", "found #'upload-pack=x'"),
    ],
)
def test_what_could_be_anything_else_to_git_is_refused(tmp_path: Path, url: str, expected: str) -> None:
    (found,) = faults(tmp_path, f"{ENVIRONMENTS}  - {{require: 'tool @ {url}', build: true}}\n")
    assert expected in found
    assert "s3cret" not in found


def test_it_is_built_only_where_the_user_says_so(tmp_path: Path) -> None:
    text = "tool @ git+https://git.example.com/tool@v1"
    for line in (f"'{text}'", f"{{require: '{text}'}}", f"{{require: '{text}', build: false}}"):
        (found,) = faults(tmp_path, f"{ENVIRONMENTS}  - {line}\n")
        assert f"runs its code on this machine, so say that you want that: {{require: '{text}', build: true}}" in found
    (found,) = faults(tmp_path, f"{ENVIRONMENTS}  - {{file: r.txt}}\n", r_txt=f"{text}\n")
    assert found.startswith("r.txt:1: building it runs its code on this machine")
    (found,) = faults(tmp_path, f"{ENVIRONMENTS}  - {{require: requests, build: true}}\n")
    assert found.startswith("requirements[0].build: only a requirement such as NAME @ git+https://… is built")


def test_a_project_has_one_repository_or_files(tmp_path: Path) -> None:
    text = "{require: 'tool @ git+https://git.example.com/tool@v1', build: true}"
    other = "{require: 'tool[x] @ git+https://git.example.com/tool@v2', build: true}"
    by_url = "'tool @ https://files.example.com/tool-1.0.tar.gz'"
    for lines in ((text, other), (text, by_url), (by_url, text)):
        (found,) = faults(tmp_path, ENVIRONMENTS + "".join(f"  - {line}\n" for line in lines))
        assert found.startswith("requirements[1]: ")
        assert "keep one of them" in found


# --- What is built


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    write_project(tmp_path / "source")
    made = []
    for name in ("one", "two"):
        build(tmp_path / "source", tmp_path / name, tmp_path / "place", 1700000000, From(None), "tool")
        made.append(tree(tmp_path / name))
    assert sorted(made[0]) == ["tool-1.0-py3-none-any.whl", "tool-1.0.tar.gz"]
    assert made[0] == made[1]


def test_what_is_packed_anew_installs_still(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name, content, repack in (
        (*wheel("app", "1.0", files={"app_data/x.txt": "x"}), repack_wheel),
        (*sdist("source", "1.0"), repack_sdist),
    ):
        (tmp_path / name).write_bytes(content)
        repack(tmp_path / name, tmp_path / "out" / name, 1700000000)
    command = ["--isolated", "install", "-q", "--no-index", "--no-build-isolation"]
    target = ["--target", str(tmp_path / "site"), *map(str, (tmp_path / "out").iterdir())]
    done = run_pip([*command, *target], tmp_path)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "site" / name).exists() for name in ("app.py", "app_data/x.txt", "source.py"))
