"""`url:` in mirror.yaml: the locks that are mirrored stand in the mirror once more, led to it, as `server.py` leads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import ConfigError, MirrorError
from mirror_tasks.publish.locks import inside_locks, led_lock
from mirror_tasks.resolve.plan import Plan
from tests.fake_index import FakeIndex
from tests.mirroring import LINUX, WINDOWS, MirrorFolder, asked, mirror_folder
from tests.server_fixtures import ask, run_server, running, unchanged_server, write
from tests.test_locks import LOCK, WORLD, locked, package, said, whole_lock

URL = "https://packages.inside.example/"
INSIDE = "locks/app/pylock.toml"


@pytest.fixture(scope="module")
def index() -> Iterator[FakeIndex]:
    with FakeIndex(WORLD) as served:
        yield served


def locking(folder: Path, index: FakeIndex, text: str, **settings: Any) -> MirrorFolder:
    made = mirror_folder(folder, index, **{"requirements": [{"lock": LOCK}], "url": URL, **settings})
    (folder / "app").mkdir(exist_ok=True)
    (folder / LOCK).write_text(text, encoding="utf-8")
    return made


def sums(project: MirrorFolder) -> list[str]:
    return [line[66:] for line in (project.output / "SHA256SUMS").read_text().splitlines()]


def test_a_mirrored_lock_is_led_to_the_mirror_as_its_own_server_leads_it(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock())
    project.mirrored()
    inside = (project.output / INSIDE).read_bytes()
    assert inside == whole_lock().replace("https://files.example.com", f"{URL}packages/app", 1).encode().replace(
        b"https://files.example.com/lib", f"{URL}packages/lib/lib".encode()
    ).replace(b"https://files.example.com", f"{URL}packages/checker".encode())
    assert INSIDE in sums(project)
    server = ("--root", str(project.output))
    assert run_server(*server, "--check").stdout.endswith(" 0 altered, 0 missing, 0 extra\n")
    done = run_server(*server, "rewrite-lock", str(tmp_path / LOCK), "--url", URL, "--output", "-")
    assert (done.returncode, done.stdout.encode()) == (0, inside)
    with running(project.output) as served:
        answer = ask(served.port, f"/{INSIDE}")
    assert (answer.status, answer["content-type"], answer.body) == (200, "text/plain; charset=utf-8", inside)


def test_it_is_made_again_when_the_url_is_another_one_and_goes_with_its_root(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock())
    project.mirrored()
    (project.output / INSIDE).write_text("somebody else's")
    assert "repaired" in said(project.mirrored())
    first = (project.output / INSIDE).read_bytes()
    index.requests.clear()
    project.mirrored()
    assert not asked(index)
    assert "lock leads locks to the mirror: 1" in said(project.doit("list"))
    project.configure(index.url, requirements=[{"lock": LOCK}], url="file:///srv/mirror")
    project.mirrored()
    assert (project.output / INSIDE).read_bytes() == first.replace(URL.encode(), b"file:///srv/mirror/")
    project.configure(index.url, requirements=["checker"], url=URL)
    project.mirrored()
    assert INSIDE not in sums(project)
    assert project.doit("prune").returncode == 0
    assert not (project.output / "locks").exists()


def test_without_a_url_no_lock_is_published(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock(), url=None)
    project.mirrored()
    assert not (project.output / "locks").exists()
    assert "locks to the mirror" not in said(project.doit("list"))


def test_a_lock_of_which_the_mirror_lacks_a_file_fails_by_name(tmp_path: Path, index: FakeIndex) -> None:
    config = load(locking(tmp_path, index, whole_lock()).folder / "mirror.yaml")
    plan = cast(Plan, SimpleNamespace(files=(), unsolved=()))
    (lock,) = inside_locks(config, plan)
    with pytest.raises(MirrorError, match="found that it lacks") as refused:
        led_lock(config, plan, lock)
    lines = [line.strip() for line in str(refused.value).splitlines()[1:-1]]
    wheels = [
        "app-1.0-py3-none-any.whl",
        f"lib-1.0-{LINUX}.whl",
        "checker-3.0-py3-none-any.whl",
        f"lib-1.0-{WINDOWS}.whl",
    ]
    assert [line.split(": ")[1] for line in lines] == wheels
    assert all(line.endswith(", found no such file") for line in lines)


def test_a_file_with_another_hash_in_the_mirror_fails_by_name(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, locked(package("checker", "3.0", WORLD["checker"])))
    config = load(project.folder / "mirror.yaml")
    name = "checker-3.0-py3-none-any.whl"
    write(project.output / "packages" / "checker" / name, b"other bytes")
    file = SimpleNamespace(project="checker", filename=name, sha256="0" * 64)
    plan = cast(Plan, SimpleNamespace(files=(file,), unsolved=()))
    (lock,) = inside_locks(config, plan)
    with pytest.raises(MirrorError, match=f"{name}: expected sha256:[0-9a-f]+, found sha256:{'0' * 64}"):
        led_lock(config, plan, lock)


def test_what_a_lock_selects_on_no_environment_is_not_missed(tmp_path: Path, index: FakeIndex) -> None:
    elsewhere = package("gone", "1.0", [("gone-1.0-py3-none-any.whl", b"")], 'sys_platform == "emscripten"')
    project = locking(tmp_path, index, locked(package("checker", "3.0", WORLD["checker"]), elsewhere))
    project.mirrored()
    assert f"{URL}packages/gone/gone-1.0-py3-none-any.whl" in (project.output / INSIDE).read_text()


def test_a_lock_that_upstream_does_not_hold_is_not_published_and_the_rest_is(tmp_path: Path, index: FakeIndex) -> None:
    gone = package("app", "1.0", [("app-1.0-py3-none-any.whl", b"that was changed")])
    project = locking(tmp_path, index, locked(gone), requirements=[{"lock": LOCK}, "checker"])
    assert project.doit("mirror").returncode != 0
    assert "packages/checker/checker-3.0-py3-none-any.whl" in sums(project)
    assert INSIDE not in sums(project)


def test_a_password_in_a_lock_is_not_published(tmp_path: Path, index: FakeIndex) -> None:
    text = whole_lock().replace('created-by = "tests"', 'created-by = "https://me:secret@git.example.com/"')
    project = locking(tmp_path, index, text)
    done = project.doit("mirror")
    assert done.returncode != 0
    assert "a URL with a password in line 2" in said(done)
    assert "secret" not in said(done)
    assert not (project.output / INSIDE).exists()


def test_each_lock_has_a_place_of_its_own_by_its_path(tmp_path: Path) -> None:
    paths = ["app/pylock.toml", "app/pylock.dev.toml", "pylock.toml", "teams/a b/app/pylock.toml", "../app/pylock.toml"]
    paths += ["teams-a_b/app/pylock.toml", "nul/pylock.toml", ".hidden/pylock.toml", "Mirror/pylock.toml"]
    folder = tmp_path / "lab"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(whole_lock(), encoding="utf-8")
    roots = [{"lock": path, "environments": [name]} for path in paths for name in ("server", "laptop")]
    mirror_folder(folder, None).configure("https://index.example.com/", requirements=roots, url=URL)
    config = load(folder / "mirror.yaml")
    published = inside_locks(config, cast(Plan, SimpleNamespace(unsolved=())))
    assert [(one.path, len(one.roots)) for one in published] == [
        ("locks/app/pylock.toml", 2),
        ("locks/app/pylock.dev.toml", 2),
        ("locks/mirror/pylock.toml", 2),
        ("locks/teams-a_b-app/pylock.toml", 2),
        ("locks/app-2/pylock.toml", 2),
        ("locks/teams-a_b-app-2/pylock.toml", 2),
        ("locks/lock-nul/pylock.toml", 2),
        ("locks/hidden/pylock.toml", 2),
        ("locks/Mirror-2/pylock.toml", 2),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "packages.inside.example",
        "https://user:secret@packages.inside.example/",
        "https://packages.inside.example/simple/",
        "https://packages.inside.example/?a",
        "https://packages.inside.example/it's",
        "ftp://packages.inside.example/",
        "file:srv",
        "https://",
        8080,
    ],
)
def test_a_url_that_no_lock_could_hold_is_refused_there_and_by_the_server(tmp_path: Path, url: object) -> None:
    mirror_folder(tmp_path, None).configure("https://index.example.com/", requirements=["checker"], url=url)
    with pytest.raises(ConfigError, match=r"url: expected how the mirror is reached") as refused:
        load(tmp_path / "mirror.yaml")
    assert "secret" not in str(refused.value)
    with pytest.raises(Exception, match="a URL of the mirror such as"):
        unchanged_server().mirror_url(str(url))


@pytest.mark.parametrize("url", [URL, "http://[::1]:8080/a%20b", "file:///C:/mirror/", "http://10.0.0.1"])
def test_a_url_is_taken_without_the_slash_at_its_end(tmp_path: Path, url: str) -> None:
    mirror_folder(tmp_path, None).configure("https://index.example.com/", requirements=["checker"], url=url)
    assert load(tmp_path / "mirror.yaml").url == unchanged_server().mirror_url(url) == url.rstrip("/")
