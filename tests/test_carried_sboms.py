"""SBOMs that wheels carry (PEP 770) are handed on as they are, under names that lead nowhere and that no browser runs."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from mirror_tasks.archives import wheel as wheels
from mirror_tasks.archives.wheel import wheel_sboms
from mirror_tasks.errors import MetadataError
from mirror_tasks.index.project import File
from mirror_tasks.report import carried_sboms as carried
from mirror_tasks.report.carried_sboms import CarriedSboms, carried_sboms
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror
from tests.components_world import planned
from tests.making import sdist, wheel

SBOMS = "app-1.dist-info/sboms"


def with_sboms(*paths: str, content: str = "{}") -> tuple[str, bytes]:
    return wheel("app", "1", files={f"{SBOMS}/{path}": f"{content}{path}" for path in paths})


def read(made: tuple[str, bytes]) -> list[str]:
    return [path for path, _ in wheel_sboms(io.BytesIO(made[1]), made[0])]


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return planned({"requirements": ["app"], "index": {"app": {"1": {}}}}, tmp_path)[0]


def put(mirror: Mirror, *made: tuple[str, bytes]) -> list[PlannedFile]:
    files = []
    for filename, content in made:
        path = mirror.package_path("app", filename)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        file = File(filename, "", {"sha256": hashlib.sha256(content).hexdigest()}, None, None, None, None, None)
        files.append(PlannedFile(file, "app", "1", ("linux",)))
    return files


def test_the_sboms_of_a_wheel_are_found_and_nothing_else_of_it() -> None:
    made = wheel(
        "app", "1", files={f"{SBOMS}/b.cdx.json": "b", f"{SBOMS}/a/c.json": "c", "sboms/no.json": "", "app/x": ""}
    )
    assert wheel_sboms(io.BytesIO(made[1]), made[0]) == (("a/c.json", b"c"), ("b.cdx.json", b"b"))
    assert read(wheel("app", "1")) == []


def test_they_are_bounded_in_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MetadataError, match="101 SBOMs, more than the 100"):
        read(with_sboms(*map(str, range(101))))
    monkeypatch.setattr(wheels, "LARGEST_MEMBER", 10)
    with pytest.raises(MetadataError, match="its SBOMs have more than 10 bytes"):
        read(with_sboms("a", "b", content="123456"))


def test_a_wheel_that_is_none_has_none(mirror: Mirror) -> None:
    found = carried_sboms(mirror, put(mirror, ("app-1-py3-none-any.whl", b"no zip"), sdist("app", "1")))
    assert not found.by_wheel
    assert "expected a zip" in found.problems["app-1-py3-none-any.whl"]


def test_each_is_laid_below_the_name_of_its_wheel_with_its_bytes(mirror: Mirror) -> None:
    made = with_sboms("auditwheel.cdx.json", "deep/one.spdx")
    found = carried_sboms(mirror, put(mirror, made))
    assert found.files == {
        f"sboms/{made[0]}/auditwheel.cdx.json": b"{}auditwheel.cdx.json",
        f"sboms/{made[0]}/deep_one.spdx": b"{}deep/one.spdx",
    }
    assert [one.path for one in found.by_wheel[made[0]]] == ["auditwheel.cdx.json", "deep/one.spdx"]
    assert [one.sha256 for one in found.by_wheel[made[0]]] == [
        hashlib.sha256(content).hexdigest() for content in found.files.values()
    ]


def test_names_lead_nowhere_differ_on_every_disk_and_are_run_by_no_browser(mirror: Mirror) -> None:
    odd = [
        "evil.html",
        "a.xml",
        "A.json",
        "a.json",
        "con.json",
        ".hidden.json",
        "a\\b.json",
        "c:d.json",
        "é.json",
        "a b.json",
        "a'b.json",
        "~a.json",
        "x" * 300,
    ]
    made = with_sboms(*odd)
    found = carried_sboms(mirror, put(mirror, made))
    names = [name.removeprefix(f"sboms/{made[0]}/") for name in found.files]
    assert len({name.casefold() for name in names}) == len(odd)
    assert {"evil.html.txt", "a.xml.txt"} < set(names)
    assert all(name.isascii() and name.endswith((".txt", ".json")) and name[0] != "." for name in names)
    assert not any(sign in name for name in names for sign in "/\\:")
    assert max(map(len, names)) < 256


def test_a_path_that_leads_out_is_refused(mirror: Mirror) -> None:
    made = with_sboms("../../../evil.json")
    found = carried_sboms(mirror, put(mirror, made))
    assert not found.by_wheel
    assert "expected paths inside the archive" in found.problems[made[0]]


def test_a_wheel_that_was_altered_or_is_not_there_yet_is_not_looked_into(mirror: Mirror) -> None:
    altered, missing = put(mirror, with_sboms("a.json"))[0], put(mirror, wheel("app", "2"))[0]
    mirror.package_path("app", altered.filename).write_bytes(with_sboms("b.json")[1])
    mirror.package_path("app", missing.filename).unlink()
    assert carried_sboms(mirror, [altered, missing]) == CarriedSboms({}, {})


def test_all_together_are_bounded(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "_MOST_BYTES", 10)
    files = put(mirror, with_sboms("a.json"), wheel("app", "2", files={"app-2.dist-info/sboms/b.json": "b" * 5}))
    found = carried_sboms(mirror, files)
    assert list(found.by_wheel) == [files[0].filename]
    assert found.problems[files[1].filename].startswith("left out")
