"""A wheel or sdist that can't be taken is left out with its reason, and keeps nothing else out of the mirror."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import pytest

from tests.fake_index import FakeIndex
from tests.making import EPOCH, core_metadata, sdist, tar_gz_of, tar_of, wheel, zip_of
from tests.mirroring import mirror_folder, packages


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
        "expected one gzipped stream": ("empty-1.0.tar.gz", gzip.compress(b"", mtime=0) * 20_000),
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
