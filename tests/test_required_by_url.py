"""What core metadata requires by a URL no index can carry: the mirror has what it can, and says what installers do with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv
from packaging.requirements import Requirement

from mirror_tasks.describe_environment import environment_block
from mirror_tasks.resolve.by_url import as_release, shown_with_reason
from tests.fake_index import FakeIndex
from tests.making import wheel
from tests.mirroring import MirrorFolder, clean_environment, mirror_folder, packages
from tests.pip import run_pip

NOWHERE = "http://127.0.0.1:9/lib-1.2-py3-none-any.whl"
WORLD = {
    "app": [wheel("app", "1.0", requires=[f"lib @ {NOWHERE}"]), wheel("app", "0.9")],
    "lib": [wheel("lib", "1.2"), wheel("lib", "1.3")],
}
URL = "https://files.example.com/lib-1.2-py3-none-any.whl"


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        (f"lib @ {URL}", "lib==1.2"),
        (f"Lib[a] @ {URL}#sha256=00 ; python_version >= '3'", 'Lib[a]==1.2; python_version >= "3"'),
        ("lib @ https://files.example.com/lib-1.2%2Bcpu-py3-none-any.whl?x=1", "lib==1.2+cpu"),
        ("lib @ https://files.example.com/lib-1.2.tar.gz", "lib==1.2"),
        ("lib @ https://files.example.com/other-1.2.tar.gz", None),
        ("lib @ https://git.example.com/lib/archive/v1.2.zip", None),
        ("lib @ git+https://git.example.com/lib@v1.2", None),
        ("lib @ https://[bad/lib-1.2.tar.gz", None),
    ],
)
def test_the_name_of_the_file_says_the_release(text: str, exact: str | None) -> None:
    found = as_release(Requirement(text))
    assert (None if found is None else str(found)) == exact


def test_somebody_elses_password_is_not_shown() -> None:
    shown, _ = shown_with_reason(Requirement("lib @ https://me:s3cret@files.example.com/lib-1.2.tar.gz"))
    assert shown == "lib @ https://me:***@files.example.com/lib-1.2.tar.gz"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorFolder]:
    with FakeIndex(WORLD) as index:
        environments = {"here": environment_block()}
        made = mirror_folder(tmp_path_factory.mktemp("url"), index, environments=environments, requirements=["app"])
        made.doit("mirror")
        yield made


def test_the_release_is_mirrored_and_the_plan_says_who_requires_it_and_what_comes_of_it(project: MirrorFolder) -> None:
    assert packages(project.output)["lib"] == ["lib-1.2-py3-none-any.whl"]
    assert "because mirror.yaml: app → app-1.0 requires lib==1.2" in project.doit("explain", "lib").stdout
    said = project.doit("plan").stdout
    assert f"lib @ {NOWHERE}, asked by app-1.0: it is required by a URL, which no index can carry" in said
    assert "lib==1.2 is mirrored for them" in said


def test_no_older_release_stands_for_it_in_the_plan_and_in_the_proof(project: MirrorFolder) -> None:
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "app-1.0 is tried before app-0.9, and requires lib===url" in done.stdout + done.stderr
    assert "app<1.0 would do without" in done.stdout + done.stderr
    done = project.doit("prove")
    assert done.returncode != 0
    assert "NOT solver NOT uv" in done.stdout


def test_where_the_user_asks_for_the_older_one_it_is_proven(tmp_path: Path) -> None:
    with FakeIndex(WORLD) as index:
        made = mirror_folder(tmp_path, index, environments={"here": environment_block()}, requirements=["app<1.0"])
        made.mirrored()
    assert packages(made.output) == {"app": ["app-0.9-py3-none-any.whl"]}
    assert made.doit("prove").returncode == 0


def install(command: list[str], *arguments: str, output: Path) -> subprocess.CompletedProcess[str]:
    index = (output / "simple").as_uri() + "/"
    if command[0] == "pip":
        return run_pip([*command[1:], "--index-url", index, *arguments], output)
    return subprocess.run(
        [*command, "--index-url", index, *arguments],
        env=clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_pip_asks_the_url_and_looks_at_no_older_release(project: MirrorFolder, tmp_path: Path) -> None:
    pip = ["pip", "--isolated", "install", "-q", "--retries", "0", "--no-cache-dir"]
    done = install([*pip, "--target", str(tmp_path)], "app", "lib==1.2", output=project.output)
    assert done.returncode != 0
    # older versions of pip name the host and the port in place of the URL
    assert any(said in done.stdout + done.stderr for said in (NOWHERE, "host='127.0.0.1', port=9"))
    done = install([*pip, "--target", str(tmp_path)], "--no-deps", "app", "lib==1.2", output=project.output)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lib.py").read_text().strip() == "VERSION = '1.2'"


def test_uv_refuses_it_and_takes_an_override(project: MirrorFolder, tmp_path: Path) -> None:
    command = [uv.find_uv_bin(), "pip", "install", "--no-config", "--no-python-downloads", "--no-cache", "-q"]
    command += ["--python", sys.executable, "--target", str(tmp_path / "site")]
    done = install(command, "app", output=project.output)
    assert done.returncode != 0
    assert "URL dependencies must be expressed as direct requirements" in done.stderr
    (tmp_path / "override.txt").write_text("lib==1.2\n")
    done = install(command, "--override", str(tmp_path / "override.txt"), "app", output=project.output)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "lib.py").exists()
