"""A wheel or sdist that can't be taken is left out with its reason, and keeps nothing else out of the mirror."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_index import FakeIndex
from tests.making import core_metadata, wheel, zip_of
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
