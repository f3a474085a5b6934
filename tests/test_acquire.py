"""The way of one file from upstream to its place, step by step, as `acquire` tells it; without doit and its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import IntegrityError
from mirror_tasks.index.client import Upstream
from mirror_tasks.layout import manifest_paths, metadata_path
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.work import downloads
from mirror_tasks.work.acquire import Acquirer
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import asked, mirror_folder

WHEEL = "lib-1.0-py3-none-any.whl"


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex({"lib": [wheel("lib", "1.0", requires=["dep"])]}) as served:
        yield served


def acquirer(folder: Path, index: FakeIndex) -> tuple[Mirror, Acquirer, list[str]]:
    mirror_folder(folder, index, requirements=["lib"])
    config, notes = load(folder / "mirror.yaml"), list[str]()
    mirror = Mirror(config, notes.append)
    return mirror, Acquirer(mirror, Upstream(config.indexes), lambda count: None), notes


def planned(acquire: Acquirer) -> PlannedFile:
    """Return the only file of the only project, as a plan has it that was made from the metadata upstream."""
    project = acquire.pages.fetch("lib")
    assert project is not None
    (file,) = project.all_files()
    metadata = acquire.metadata.read("lib", file)
    assert isinstance(metadata, CoreMetadata)
    assert [str(one) for one in metadata.requires_dist] == ["dep"]
    return PlannedFile(file, "lib", "1.0", ("server",))


def test_a_file_comes_from_its_page_by_its_metadata_to_its_place_and_is_fetched_once(
    tmp_path: Path, index: FakeIndex
) -> None:
    mirror, acquire, notes = acquirer(tmp_path, index)
    file = planned(acquire)
    assert not acquire.downloads.is_done(file)
    for _ in range(2):
        acquire.downloads.download(file)
        assert acquire.downloads.is_done(file)
    path = mirror.package_path("lib", WHEEL)
    assert path.read_bytes() == index.projects["lib"][WHEEL].content
    assert [mirror.ledger.known(one) is not None for one in mirror.package_paths(file)] == [True, True]
    assert asked(index) == {f"/files/lib/{WHEEL}": 1, f"/files/lib/{WHEEL}.metadata": 1}
    assert notes == []


def test_a_file_that_is_held_takes_its_place_and_leaves_nothing_behind(tmp_path: Path, index: FakeIndex) -> None:
    mirror, acquire, _ = acquirer(tmp_path, index)
    file = planned(acquire)
    held = acquire.files.hold("lib", file.file)
    assert acquire.downloads.is_held(file)
    assert not mirror.package_path("lib", WHEEL).exists()
    acquire.downloads.download(file)
    assert not held.exists()
    assert not metadata_path(held).exists()
    assert asked(index)[f"/files/lib/{WHEEL}"] == 1


def test_the_manifest_is_gone_before_a_published_file_is_replaced(
    tmp_path: Path, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, acquire, notes = acquirer(tmp_path, index)
    file = planned(acquire)
    acquire.downloads.download(file)
    mirror.package_path("lib", WHEEL).write_bytes(b"altered")
    metadata_path(mirror.package_path("lib", WHEEL)).unlink()
    for path in manifest_paths(mirror.output):
        path.write_text("whole")
    moved, move = [], downloads.move

    def moving(source: Path, target: Path) -> None:
        assert not any(path.exists() for path in manifest_paths(mirror.output)), f"{target} is changed too early"
        moved.append(target)
        move(source, target)

    monkeypatch.setattr(downloads, "move", moving)
    acquire.downloads.download(file)
    path = mirror.package_path("lib", WHEEL)
    assert moved == [metadata_path(path), path]
    assert path.read_bytes() == index.projects["lib"][WHEEL].content
    assert notes == [f"repaired, since it was altered after it was made: packages/lib/{WHEEL}"]


def test_a_plan_made_from_other_metadata_than_the_wheels_own_brings_no_file(tmp_path: Path, index: FakeIndex) -> None:
    served = index.projects["lib"][WHEEL]
    assert served.sidecar is not None
    served.sidecar += b"\n"
    mirror, acquire, _ = acquirer(tmp_path, index)
    file = planned(acquire)
    with pytest.raises(IntegrityError, match="other metadata in the wheel"):
        acquire.downloads.download(file)
    record = mirror.records.metadata(WHEEL, file.sha256)
    assert record is not None
    assert record.metadata_sha256 == mirror.ledger.known(metadata_path(mirror.package_path("lib", WHEEL)))
