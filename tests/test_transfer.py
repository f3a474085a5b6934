"""The crossing as a whole: what is made outside stands inside after each bundle, and installs there, old locks too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uv

from mirror_tasks.describe_environment import environment_block
from tests.crossing import RECEIVER
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import DODO, IMPATIENT, MirrorFolder, clean_environment, mirror_folder, tree
from tests.pip import run_pip
from tests.server_fixtures import run_here

KEEP = 2  # plans
VOLUME = 600_000  # bytes; the largest file is larger
HELD_CLOCK = (
    "import datetime, os\n\nfrom mirror_tasks.publish import kept\n\n"
    "kept.today = lambda: datetime.date.fromisoformat(os.environ['TODAY'])\n"
)
UNREACHABLE = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


@dataclass
class Crossing:
    """A project outside, a mirror inside, and the folder between them; what each month brought."""

    index: FakeIndex
    project: MirrorFolder
    folder: Path
    month: int = 0
    outside: dict[int, Mapping[str, bytes]] = field(default_factory=dict)
    carried: dict[int, int] = field(default_factory=dict)

    @property
    def inside(self) -> Path:
        return self.folder / "srv"

    @property
    def tree(self) -> Path:
        return self.inside / "current"

    @property
    def packages(self) -> str:
        return (self.tree / "simple").as_uri()

    def doit(self, *arguments: str) -> str:
        (self.folder / "stick").mkdir(exist_ok=True)
        day = f"2026-{self.month:02}-26"
        done = self.project.doit(*arguments, TODAY=day, SOURCE_DATE_EPOCH=str(1764158400 + self.month))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def configure(self, *roots: str) -> None:
        """Write ``mirror.yaml``."""
        transfer = {"to": str(self.folder / "stick"), "volume": f"{VOLUME // 1000}k", "sign": "none", "keep": KEEP}
        here = {"here": environment_block()}
        self.project.configure(self.index.url, environments=here, requirements=list(roots), transfer=transfer)

    def carry(self) -> None:
        """Mirror, prove, bundle, apply and tell: a month."""
        self.month += 1
        for arguments in (("mirror",), ("prove", "--own"), ("bundle",)):
            self.doit(*arguments)
        self.outside[self.month] = published(self.project.output)
        stick = self.folder / "stick"
        self.carried[self.month] = sum(path.stat().st_size for path in stick.rglob("*") if path.is_file())
        receive(stick, self.inside)
        self.doit("bundle", "--sent", str(self.month))
        shutil.rmtree(stick)


def receive(stick: Path, inside: Path, *arguments: str, code: int = 0) -> str:
    """Run receive.py, as it stands on the stick the first time and inside later on."""
    program = inside / "receive.py"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            str(program if program.exists() else RECEIVER),
            str(stick),
            "--to",
            str(inside),
            "--unsigned",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def installed_by(tool: str, crossing: Crossing, tmp_path: Path, *what: str) -> set[str]:
    """Return what an installer puts into an empty folder from what stands inside, and nothing else."""
    environment = clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1", **UNREACHABLE)
    target = ["--target", "site", "--index-url", crossing.packages, *what]
    if tool == "pip":
        pip = ["--isolated", "install", "--no-cache-dir", "--no-build-isolation"]
        done = run_pip([*pip, *target], tmp_path, environment)
    else:
        uv_pip = [uv.find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable]
        done = subprocess.run(
            [*uv_pip, *target],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        "==".join(path.name.removesuffix(".dist-info").split("-")) for path in (tmp_path / "site").glob("*.dist-info")
    }


def published(output: Path) -> dict[str, bytes]:
    """Return what a mirror's SHA256SUMS names, and itself."""
    paths = [line[66:] for line in (output / "SHA256SUMS").read_text().splitlines()]
    return {path: (output / path).read_bytes() for path in (*paths, "SHA256SUMS")}


def app(version: str, lib: str) -> tuple[str, bytes]:
    return wheel("app", version, requires=[f"lib>={lib}"])


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crossing]:
    """Four months: releases come, go and change, and so do the requirements."""
    folder = tmp_path_factory.mktemp("crossing")
    big = {"big.bin": os.urandom(3 * VOLUME)}
    world = {
        "app": [app("1.0", "1")],
        "lib": [wheel("lib", "1.0"), sdist("lib", "1.0")],
        "large": [wheel("large", "1.0", files=big)],
        "gone": [wheel("gone", "1.0")],
    }
    with FakeIndex(world) as index:
        project = mirror_folder(folder / "outside", None, IMPATIENT + HELD_CLOCK + DODO)
        made = Crossing(index, project, folder)
        made.configure("app", "large", "gone")
        made.carry()
        index.add("app", *app("1.1", "2"))
        index.add("lib", *wheel("lib", "2.0"))
        made.carry()
        made.configure("app", "large")
        made.carry()
        index.add("new", *wheel("new", "1.0"))
        index.add("app", *app("1.2", "2"))
        made.configure("app", "large", "new", "gone")
        made.carry()
        yield made


def kept_of(root: Path) -> set[str]:
    """Return what stands in a tree for clients that began before the switch."""
    listed = root / "SHA256SUMS.kept"
    lines = listed.read_text().splitlines() if listed.exists() else []
    return {"SHA256SUMS.kept", *(line[66:] for line in lines)} if lines else set()


def test_what_stands_inside_after_each_bundle_is_what_stood_outside_byte_for_byte(crossing: Crossing) -> None:
    for number in (3, 4):  # the two generations that stand
        root = crossing.inside / "generations" / str(number)
        kept = kept_of(root)
        assert {path: content for path, content in tree(root).items() if path not in kept} == crossing.outside[number]
    checked = run_here("--root", str(crossing.inside), "--check")
    assert checked.returncode == 0, checked.stdout


def test_full_and_deltas_give_the_same_bytes_as_one_full_bundle(crossing: Crossing) -> None:
    crossing.doit("bundle", "--full")
    stick = crossing.folder / "stick"
    receive(stick, crossing.folder / "another")
    shutil.rmtree(stick)
    assert tree(crossing.folder / "another" / "current") == crossing.outside[4]
    assert kept_of(crossing.folder / "another" / "current") == set()


def test_a_delta_carries_nothing_that_is_inside_already(crossing: Crossing) -> None:
    assert crossing.carried[1] > 3 * VOLUME
    assert all(crossing.carried[month] < VOLUME for month in (2, 3, 4)), crossing.carried


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_every_requirement_installs_inside_as_it_was_proven_outside(
    crossing: Crossing, tool: str, tmp_path: Path
) -> None:
    found = installed_by(tool, crossing, tmp_path, "app", "large", "new", "gone")
    assert found == {"app==1.2", "lib==2.0", "large==1.0", "new==1.0", "gone==1.0"}


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_lock_of_a_plan_that_keep_still_covers_installs_inside(
    crossing: Crossing, tool: str, tmp_path: Path
) -> None:
    page = json.loads((crossing.tree / "simple" / "app" / "index.v1_json").read_bytes())
    hashes = {entry["filename"]: entry["hashes"]["sha256"] for entry in page["files"]}
    assert "app-1.1-py3-none-any.whl" in hashes  # it left with the last plan
    assert "app-1.0-py3-none-any.whl" not in hashes  # it left more than two plans ago
    libs: dict[str, Any] = json.loads((crossing.tree / "simple" / "lib" / "index.v1_json").read_bytes())
    lib = next(entry for entry in libs["files"] if entry["filename"] == "lib-2.0-py3-none-any.whl")["hashes"]["sha256"]
    lock = f"app==1.1 --hash=sha256:{hashes['app-1.1-py3-none-any.whl']}\nlib==2.0 --hash=sha256:{lib}\n"
    (tmp_path / "lock.txt").write_text(lock)
    found = installed_by(tool, crossing, tmp_path, "--require-hashes", "-r", "lock.txt")
    assert found == {"app==1.1", "lib==2.0"}


def test_the_mirror_before_is_served_again_at_once_when_asked_for(crossing: Crossing) -> None:
    back = subprocess.run(
        [sys.executable, "-I", str(crossing.inside / "receive.py"), "--back", str(crossing.inside)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert back.returncode == 0, back.stderr
    try:
        assert not (crossing.tree / "simple" / "new").exists()
        assert run_here("--root", str(crossing.inside), "--check").returncode == 0
    finally:
        subprocess.run(
            [sys.executable, "-I", str(crossing.inside / "receive.py"), "--forward", str(crossing.inside)], check=True
        )
    assert (crossing.tree / "simple" / "new").exists()
