"""A wheel or sdist that can't be taken is left out with its reason, and keeps nothing else out of the mirror."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.errors import MetadataError
from mirror_tasks.index.file_names import SDIST_ENDINGS, version_of
from tests.fake_index import FakeIndex
from tests.launching import PATIENCE
from tests.making import EPOCH, core_metadata, sdist, tar_gz_of, tar_of, wheel, zip_of
from tests.mirroring import ENVIRONMENTS, LINUX, asked, clean_environment, mirror_folder, packages


def wheel_with_folder(name: str, version: str, folder: str) -> tuple[str, bytes]:
    """Return a wheel that installs, whose .dist-info folder is named otherwise than its file."""
    members: dict[str, str | bytes] = {
        f"{name}.py": "",
        f"{folder}/METADATA": core_metadata(name, version, requires=["dep"]),
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*members, f"{folder}/RECORD"])
    return f"{name}-{version}-py3-none-any.whl", zip_of({**members, f"{folder}/RECORD": record})


@pytest.mark.parametrize("sidecars", ["announced", "none"])
def test_a_wheel_whose_folder_spells_its_version_otherwise_is_taken_and_proven(tmp_path: Path, sidecars: str) -> None:
    world = {"loc": [wheel_with_folder("loc", "1.0.post1", "loc-1.0.dist-info")], "dep": [wheel("dep", "1.0")]}
    with FakeIndex(world, sidecars=sidecars) as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=["loc"])
        folder.mirrored()
    assert packages(folder.output) == {"dep": ["dep-1.0-py3-none-any.whl"], "loc": ["loc-1.0.post1-py3-none-any.whl"]}
    assert (folder.output / "packages" / "loc" / "loc-1.0.post1-py3-none-any.whl.metadata").exists()
    proven = folder.doit("prove", "--own")
    assert proven.returncode == 0, proven.stdout


@pytest.mark.parametrize("sidecars", ["announced", "none"])
def test_a_wheel_that_readers_see_otherwise_is_not_published_where_the_plan_read_another_of_its_release(
    tmp_path: Path, sidecars: str
) -> None:
    read = wheel("app", "1.0", LINUX)
    _, content = wheel("app", "1.0")
    refused = ("app-1.0-py3-none-any.whl", with_second_name(content))
    with FakeIndex({"app": [read, refused], "good": [wheel("good", "1.0")]}, sidecars=sidecars) as index:
        server = {"server": ENVIRONMENTS["server"]}
        folder = mirror_folder(tmp_path / "project", index, requirements=["app", "good"], environments=server)
        done = folder.doit("mirror")
        assert done.returncode != 0
        assert "has a second name" in done.stdout
        assert packages(folder.output)["app"] == [read[0]]
        assert not (folder.output / "mirror.json").exists()
        folder.mirrored()
        index.requests.clear()
        assert folder.doit("prune").returncode == 0
        folder.mirrored()  # what was found out once stays known
        assert not asked(index)
    assert packages(folder.output) == {"app": [read[0]], "good": ["good-1.0-py3-none-any.whl"]}
    assert "has a second name" in folder.doit("explain", refused[0]).stdout


def with_second_name(content: bytes) -> bytes:
    """Return a wheel as it was, but that its METADATA has another name in an extra field, for newer readers."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as wheel, zipfile.ZipFile(stream, "w") as changed:
        for member in wheel.infolist():
            renamed = zipfile.ZipInfo(member.filename, EPOCH)
            if member.filename.endswith("/METADATA"):
                renamed.extra = struct.pack("<HHBL", 0x7075, 14, 1, zlib.crc32(member.filename.encode())) + b"x/METADAT"
            changed.writestr(renamed, wheel.read(member))
    return stream.getvalue()


LONG = "1" * 5000


def odd_files() -> dict[str, tuple[str, bytes]]:
    """Return a file for each way in which one can't be taken, by the reason that is told for it."""
    pkg_info = core_metadata("tar", "1.0", metadata_version="2.2")
    cut = tar_gz_of({"tar-1.0/PKG-INFO": pkg_info, "tar-1.0/x": b"y" * 100_000})
    wrong_sum = bytearray(tar_of({"sums-1.0/PKG-INFO": core_metadata("sums", "1.0", metadata_version="2.2")}))
    wrong_sum[148:156] = b"000000\0 "
    renamed = zipfile.ZipInfo("alias-1.0.dist-info/METADATA", EPOCH)
    renamed.extra = struct.pack("<HH", 0x7075, 9) + bytes(5) + b"name"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(renamed, core_metadata("alias", "1.0"))
    folded = core_metadata("folds", "1.0", metadata_version="2.2") + b"Summary: a\n" + b" b\n" * 3_000_000
    return {
        "damaged": ("tar-1.0.tar.gz", cut[: len(cut) // 2]),
        "a header whose sum is wrong": ("sums-1.0.tar.gz", gzip.compress(bytes(wrong_sum), 1, mtime=0)),
        "a second name": ("alias-1.0-py3-none-any.whl", stream.getvalue()),
        "Requires-Dist has a number": wheel("dists", "1.0", requires=[f"a>={LONG}"]),
        "Requires-Python has a number": wheel("pythons", "1.0", requires_python=f">={LONG}"),
        "not valid TOML": sdist("tomls", "1.0", pyproject=f"[tool.x]\na = {LONG}\n", metadata_version="2.2"),
        "found a number of 19997 bits": sdist("hexes", "1.0", pyproject=f"[build-system]\nrequires = 0x{LONG}\n"),
        "expected one compressed stream": ("empty-1.0.tar.gz", gzip.compress(b"", mtime=0) * 20_000),
        "characters of headers": sdist("folds", "1.0", pkg_info=folded),
    }


def test_an_odd_file_is_left_out_with_its_reason_and_nothing_else_is(tmp_path: Path) -> None:
    odd = odd_files()
    world = {name.partition("-")[0]: [(name, content)] for name, content in odd.values()}
    with FakeIndex({**world, "good": [wheel("good", "1.0")]}, sidecars="none") as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=["good", *world])
        done = folder.doit("mirror")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert packages(folder.output) == {"good": ["good-1.0-py3-none-any.whl"]}
    plan = (folder.state / "plan.json").read_text("utf-8")
    for reason, (filename, _) in odd.items():
        assert filename in done.stdout + plan, filename
        assert reason in done.stdout + plan, done.stdout


@pytest.mark.parametrize("format", [ending[1:] for ending in SDIST_ENDINGS])
def test_an_sdist_is_read_and_named_however_it_is_packed(format: str) -> None:  # noqa: A002
    filename, content = sdist("foo.bar", "1.0", format, requires=["dep"])
    assert str(version_of(filename, "foo-bar")) == "1.0"
    assert sdist_metadata(io.BytesIO(content), filename).requires_dist == ("dep",)
    for damaged in (content[: min(len(content) // 2, 1700)], content[:150], b"x" * 600, b""):
        with pytest.raises(MetadataError):
            sdist_metadata(io.BytesIO(damaged), filename)


@pytest.mark.parametrize("format", ["tar.gz", "tar.bz2", "tar.xz"])
def test_an_sdist_in_several_streams_is_refused_for_readers_differ(format: str) -> None:  # noqa: A002
    filename, content = sdist("foo", "1.0", format)
    nothing = {"tar.gz": gzip.compress(b""), "tar.bz2": bz2.compress(b""), "tar.xz": lzma.compress(b"")}[format]
    assert sdist_metadata(io.BytesIO(content), filename)
    with pytest.raises(MetadataError, match="expected one compressed stream"):
        sdist_metadata(io.BytesIO(nothing + content), filename)


def test_what_pip_takes_is_mirrored_and_pip_builds_it_from_the_mirror(tmp_path: Path) -> None:
    formats = {"bz": "tar.bz2", "xz": "tar.xz", "tg": "tgz", "both": "tar.xz"}
    world = {name: [sdist(name, "1.0", ending)] for name, ending in formats.items()}
    world["both"].append(sdist("both", "1.0", "tar.gz"))
    with FakeIndex(world) as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=list(world), build_requirements=False)
        folder.mirrored()
    assert packages(folder.output) == {
        "both": ["both-1.0.tar.gz"], "bz": ["bz-1.0.tar.bz2"], "tg": ["tg-1.0.tgz"], "xz": ["xz-1.0.tar.xz"],
    }  # fmt: skip
    simple = (folder.output / "simple").as_uri()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--isolated",
        "--no-build-isolation",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [*command, "--index-url", simple, "--target", str(tmp_path / "target"), *world],
        capture_output=True, text=True, check=False, env=clean_environment(), timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (tmp_path / "target").glob("*.py")} == {f"{name}.py" for name in world}


@pytest.mark.parametrize("text", [f">={LONG}", f">=3{' ' * 5000}", f"({LONG}"])
@pytest.mark.parametrize("sidecars", ["announced", "none"])
def test_a_requires_python_of_a_page_that_parsers_fail_on_leaves_its_file_out(
    tmp_path: Path, text: str, sidecars: str
) -> None:
    bad, kept = wheel("bad", "1.0"), wheel("bad", "0.9")
    world: dict[str, list[tuple[Any, ...]]] = {
        "good": [wheel("good", "1.0")],
        "bad": [(*bad, {"requires_python": text}), kept],
    }
    with FakeIndex(world, sidecars=sidecars) as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=["good", "bad"])
        folder.mirrored()
        told = folder.doit("explain", "bad").stdout
    assert packages(folder.output) == {"good": ["good-1.0-py3-none-any.whl"], "bad": ["bad-0.9-py3-none-any.whl"]}
    assert "its requires-python has" in told, told


def test_a_wheel_that_readers_see_otherwise_is_not_published_whatever_its_index_says_beside_it(tmp_path: Path) -> None:
    world = {"good": [wheel("good", "1.0")], "alias": [wheel("alias", "0.9"), odd_files()["a second name"]]}
    with FakeIndex(world, sidecars="announced") as index:
        folder = mirror_folder(tmp_path / "project", index, requirements=["good", "alias"])
        done = folder.doit("mirror")
        assert done.returncode != 0
        assert "a second name" in done.stdout
        assert "alias-1.0-py3-none-any.whl" not in packages(folder.output).get("alias", ())
        folder.mirrored()
    assert packages(folder.output) == {"alias": ["alias-0.9-py3-none-any.whl"], "good": ["good-1.0-py3-none-any.whl"]}
