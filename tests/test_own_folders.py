"""What the folder of `wheels:` may hold: each file becomes a release of its project, and everything else is a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from mirror_tasks.config.model import Config
from mirror_tasks.config.own_folders import distribution_of
from mirror_tasks.config.own_sources import OwnFile, OwnSources
from mirror_tasks.errors import UpstreamError
from mirror_tasks.files import sha256_of
from mirror_tasks.index.own_page import OWN
from mirror_tasks.state.records import Records
from mirror_tasks.work import own_pages
from mirror_tasks.work.own_pages import OwnPages
from tests.test_config import config, faults

ENVIRONMENTS = """
environments:
  server: {python: "3.12", platform: linux-x86_64}
  laptop: {python: "3.11", platform: windows-amd64}
requirements:
"""


def with_folder(folder: Path, *names: str, entry: str = "{wheels: dist/}") -> Config:
    fill(folder, *names)
    return config(folder, f"{ENVIRONMENTS}  - {entry}\n")


def fill(folder: Path, *names: str) -> Path:
    dist = folder / "dist"
    dist.mkdir(exist_ok=True)
    for name in names:
        (dist / name).write_bytes(name.encode())
    return dist


def wrong(folder: Path, *names: str) -> list[str]:
    fill(folder, *names)
    return faults(folder, f"{ENVIRONMENTS}  - {{wheels: dist/}}\n")


def test_a_project_of_a_folder_is_one_requirement_with_all_its_releases(tmp_path: Path) -> None:
    names = ("Foo_Bar-1.0-py3-none-any.whl", "foo.bar-1.0.tar.gz", "foo_bar-1.1.zip", "lib-2.0-py3-none-any.whl")
    one = with_folder(tmp_path, *names, ".gitignore")
    assert [(root.name, str(root.requirements[0].requirement), root.versions) for root in one.roots] == [
        ("foo-bar from dist", "foo-bar", "all"),
        ("lib from dist", "lib", "all"),
    ]
    assert {own.name: [file.filename for file in own.files] for own in one.own} == {
        "foo-bar": sorted(names[:3]),
        "lib": [names[3]],
    }


def test_where_one_is_a_pre_release_that_is_asked_for_too(tmp_path: Path) -> None:
    (root,) = with_folder(tmp_path, "foo-1.0-py3-none-any.whl", "foo-2.0rc1-py3-none-any.whl").roots
    assert str(root.requirements[0].requirement) == "foo>=0.dev0"


def test_a_project_is_for_the_environments_that_one_of_its_files_fits(tmp_path: Path) -> None:
    linux, windows = "cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-win_amd64"
    names = (f"lin-1.0-{linux}.whl", f"both-1.0-{linux}.whl", f"both-1.0-{windows}.whl", "none-1.0-cp39-cp39-win32.whl")
    one = with_folder(tmp_path, *names, "src-1.0.tar.gz")
    assert {root.name.split()[0]: root.environments for root in one.roots} == {
        "both": None,
        "lin": ("server",),
        "none": None,  # it is for the plan to say why nothing takes it
        "src": None,
    }
    one = with_folder(tmp_path, entry="{wheels: dist/, environments: [laptop]}")
    assert {root.environments for root in one.roots} == {("laptop",)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SHA256SUMS", "is neither a wheel nor an sdist; only wheels"),
        ("foo-1.0-py3.8.egg", "is neither a wheel nor an sdist"),
        ("foo-1.0.tar.bz2", "is neither a wheel nor an sdist"),
        ("foo.whl", "is not a wheel's name: NAME-VERSION"),
        ("foo-one-py3-none-any.whl", "is not a wheel's name"),
        ("foo.tar.gz", "is not an sdist's name: NAME-VERSION.tar.gz"),
        ("foo-1.0 .tar.gz\n", "expected a plain name"),
    ],
)
def test_what_is_no_wheel_and_no_sdist_is_a_fault_by_its_name(tmp_path: Path, name: str, said: str) -> None:
    (fault,) = wrong(tmp_path, "ok-1.0-py3-none-any.whl", name)
    assert fault.startswith(f"requirements[0].wheels: {name!r} ")
    assert said in fault


def test_two_files_that_no_installer_tells_apart_are_a_fault(tmp_path: Path) -> None:
    said = wrong(tmp_path, "a_b-1.0.tar.gz", "a.b-1.0.zip", "X-1-py3-none-any.whl", "x-1.0-py3-none-any.whl")
    assert said == [
        "requirements[0].wheels: a.b-1.0.zip and a_b-1.0.tar.gz are the same: sdists of a-b 1.0; keep one of them",
        "requirements[0].wheels: X-1-py3-none-any.whl and x-1.0-py3-none-any.whl are the same: wheels of x 1.0; "
        "keep one of them",
    ]


def test_build_tags_and_platforms_tell_wheels_apart(tmp_path: Path) -> None:
    one = with_folder(tmp_path, "x-1-py3-none-any.whl", "x-1-2-py3-none-any.whl", "x-1-py2.py3-none-any.whl")
    assert len(one.own[0].files) == 3


def test_no_folder_an_empty_one_and_a_file_are_told(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}  - {{wheels: dist}}\n"
    assert faults(tmp_path, text) == [f"requirements[0].wheels: no such folder: {tmp_path / 'dist'}"]
    dist = fill(tmp_path, ".gitignore")
    assert faults(tmp_path, text) == [f"requirements[0].wheels: expected wheels and sdists in {dist}, found none"]
    (dist / ".gitignore").unlink()
    dist.rmdir()
    dist.write_bytes(b"")
    (said,) = faults(tmp_path, text)
    assert "expected a folder, found the file" in said


def test_links_out_of_the_folder_and_folders_in_it_are_told(tmp_path: Path) -> None:
    dist = fill(tmp_path, "ok-1.0-py3-none-any.whl")
    (tmp_path / "elsewhere").write_bytes(b"")
    (dist / "out-1.0-py3-none-any.whl").symlink_to(tmp_path / "elsewhere")
    (dist / "gone-1.0-py3-none-any.whl").symlink_to(dist / "missing")
    (dist / "loop-1.0-py3-none-any.whl").symlink_to(dist / "loop-1.0-py3-none-any.whl")
    (dist / "sub").mkdir()
    said = wrong(tmp_path)
    assert [fault.split(": ", 1)[1].split(":")[0] for fault in said] == [
        "'gone-1.0-py3-none-any.whl' is no file that can be read",
        "'loop-1.0-py3-none-any.whl' is no file that can be read",
        f"'out-1.0-py3-none-any.whl' is a link to {tmp_path / 'elsewhere'}, out of the folder",
        "'sub' is a folder",
    ]


def test_a_link_within_the_folder_is_taken(tmp_path: Path) -> None:
    dist = fill(tmp_path, ".real")
    (dist / "ok-1.0-py3-none-any.whl").symlink_to(dist / ".real")
    assert [own.name for own in with_folder(tmp_path).own] == ["ok"]


def test_one_name_in_two_folders_is_a_fault_and_two_releases_in_two_folders_are_served_together(tmp_path: Path) -> None:
    fill(tmp_path, "foo-1.0-py3-none-any.whl")
    other = tmp_path / "other"
    other.mkdir()
    (other / "foo-1.1-py3-none-any.whl").write_bytes(b"")
    text = f"{ENVIRONMENTS}  - {{wheels: dist}}\n  - {{wheels: other}}\n"
    one = config(tmp_path, text)
    assert [file.filename for file in one.own[0].files] == ["foo-1.0-py3-none-any.whl", "foo-1.1-py3-none-any.whl"]
    (other / "foo-1.0-py3-none-any.whl").write_bytes(b"")
    (said,) = faults(tmp_path, text)
    assert "foo-1.0-py3-none-any.whl is there already, from another place" in said


def test_a_folder_listed_twice_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "foo-1.0-py3-none-any.whl")
    (said,) = faults(tmp_path, f"{ENVIRONMENTS}  - {{wheels: dist}}\n  - {{wheels: ./dist/}}\n")
    assert "is listed already, in requirements[0]" in said


def test_a_name_says_what_it_is_of() -> None:
    one = distribution_of("Foo_Bar-1.0-1b-py3-none-any.whl")
    assert (one.project, str(one.version), one.build) == ("foo-bar", "1.0", "1b")


# --- The page


def pages(folder: Path, *names: str) -> tuple[OwnPages, Records]:
    dist, sources = fill(folder, *names), OwnSources()
    for name in names:
        sources.add(distribution_of(name).project, OwnFile(name, (dist / name).as_uri()))
    records = Records(folder / "state")
    return OwnPages(sources.projects, records), records


def test_its_page_has_each_file_with_hash_and_size_and_is_nobodys(tmp_path: Path) -> None:
    own, records = pages(tmp_path, "foo-1.0+local-py3-none-any.whl")
    own.update("foo")
    project = records.project("foo")
    assert project is not None
    assert (project.index, project.url) == (OWN, (tmp_path / "dist").as_uri() + "/")
    (file,) = project.all_files()
    assert file.url == (tmp_path / "dist" / "foo-1.0+local-py3-none-any.whl").as_uri()
    assert file.size == len("foo-1.0+local-py3-none-any.whl")
    assert list(file.hashes) == ["sha256"]


def test_as_long_as_nothing_changed_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, records = pages(tmp_path, "foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz", "bar-1.0.tar.gz")
    read: list[str] = []

    def hashed(stream: BinaryIO) -> str:
        read.append(Path(stream.name).name)
        return sha256_of(stream)

    monkeypatch.setattr(own_pages, "sha256_of", hashed)
    own.update("foo")
    assert read == ["foo-1.0-py3-none-any.whl", "foo-1.0.tar.gz"]
    before = records.page_record_path("foo").read_bytes()
    own.update("foo")
    assert len(read) == 2
    assert records.page_record_path("foo").read_bytes() == before


def test_other_bytes_of_the_same_size_and_time_are_seen(tmp_path: Path) -> None:
    name = "foo-1.0-py3-none-any.whl"
    own, records = pages(tmp_path, name)
    own.update("foo")
    before = records.project("foo")
    path = tmp_path / "dist" / name
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    own.update("foo")
    after = records.project("foo")
    assert before is not None
    assert after is not None
    assert [file.hashes for file in before.all_files()] != [file.hashes for file in after.all_files()]


def test_a_file_that_is_gone_when_it_is_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    own, _ = pages(tmp_path, "foo-1.0-py3-none-any.whl")
    (tmp_path / "dist" / "foo-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UpstreamError, match=r"foo-1\.0-py3-none-any\.whl.*No such file"):
        own.update("foo")
