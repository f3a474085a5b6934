"""`lock:` in mirror.yaml, from the command line: a lock becomes a mirror that holds it, proven, and told by name."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.errors import ConfigError
from mirror_tasks.succession import description
from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import LINUX, WINDOWS, MirrorFolder, asked, mirror_folder, packages

WORLD = {
    "app": [wheel("app", "1.0", requires=["lib>=1"]), wheel("app", "2.0", requires=["lib>=2"])],
    "lib": [wheel("lib", "1.0", LINUX), wheel("lib", "1.0", WINDOWS), sdist("lib", "1.0"), wheel("lib", "2.0")],
    "checker": [wheel("checker", "3.0")],
}
LOCK = "app/pylock.toml"


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    with FakeIndex(WORLD) as served:
        yield served


def package(name: str, version: str, files: Sequence[tuple[str, bytes]], marker: str = "") -> str:
    """Return a package of a pylock.toml; the URLs lead to a proxy that is not reachable here."""
    entries = [
        f'{{name = "{filename}", url = "https://files.example.com/{filename}",'
        f' hashes = {{sha256 = "{hashlib.sha256(content).hexdigest()}"}}}}'
        for filename, content in files
    ]
    wheels = [entry for entry in entries if '.whl"' in entry]
    lines = [f'[[packages]]\nname = "{name}"\nversion = "{version}"', f"wheels = [{', '.join(wheels)}]"]
    lines += [f"marker = '{marker}'"] if marker else []
    return "\n".join([*lines, *(f"sdist = {entry}" for entry in entries if entry not in wheels)]) + "\n"


def locked(*packages: str, groups: str = '["dev"]') -> str:
    head = f'lock-version = "1.0"\ncreated-by = "tests"\ndependency-groups = {groups}\ndefault-groups = []\n'
    return head + "\n".join(packages)


def whole_lock() -> str:
    app, lib, checker = WORLD["app"], WORLD["lib"], WORLD["checker"]
    return locked(
        package("app", "1.0", app[:1]),
        package("lib", "1.0", lib[:3]),
        package("checker", "3.0", checker, '"dev" in dependency_groups'),
    )


def locking(
    folder: Path, index: FakeIndex, text: str, entry: Mapping[str, Any] | None = None, **settings: Any
) -> MirrorFolder:
    made = mirror_folder(folder, index, requirements=[{"lock": LOCK, **(entry or {})}], **settings)
    (folder / "app").mkdir(exist_ok=True)
    (folder / LOCK).write_text(text, encoding="utf-8")
    return made


def said(done: subprocess.CompletedProcess[str]) -> str:
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    return re.sub(r"\s+", " ", text)


def test_a_lock_is_mirrored_to_the_letter_proven_and_told_by_name(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock())
    project.mirrored()
    assert packages(project.output) == {
        "app": ["app-1.0-py3-none-any.whl"],
        "checker": ["checker-3.0-py3-none-any.whl"],
        "lib": [f"lib-1.0-{WINDOWS}.whl", f"lib-1.0-{LINUX}.whl", "lib-1.0.tar.gz"],
    }
    bill = said(project.doit("plan"))
    assert "= app/pylock.toml: packages as locked: 3 for laptop, 3 for server" in bill
    proof = project.doit("prove", "--own")
    assert proof.returncode == 0, said(proof)
    assert "2 of 2 pairs proven" in said(proof)
    assert {one["judge"] for one in json.loads((project.state / "prove.json").read_bytes())} == {"lock"}
    explained = said(project.doit("explain", "lib"))
    assert "because mirror.yaml: app/pylock.toml" in explained
    assert "app/pylock.toml" in said(project.doit("explain", "--size"))


def test_a_second_run_fetches_nothing_and_asks_for_pages_alone(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock())
    project.mirrored()
    index.requests.clear()
    project.mirrored()
    assert not asked(index)


def test_groups_that_are_not_asked_for_are_not_mirrored(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock(), {"groups": [], "environments": ["server"]})
    project.mirrored()
    assert packages(project.output) == {
        "app": ["app-1.0-py3-none-any.whl"],
        "lib": [f"lib-1.0-{LINUX}.whl", "lib-1.0.tar.gz"],
    }


def test_only_the_environments_that_a_lock_is_for_are_proven_and_told_of(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock(), {"environments": ["laptop"]})
    project.mirrored()
    text = said(project.doit("prove", "--own"))
    assert "1 of 1 pairs proven" in text
    assert "server stands for" not in text


def test_a_lock_that_upstream_does_not_hold_any_more_fails_by_name_and_the_rest_is_mirrored(
    tmp_path: Path, index: FakeIndex
) -> None:
    lib = ("lib-1.0-py3-none-any.whl", b"that vanished")
    changed = ("app-1.0-py3-none-any.whl", b"other bytes")
    project = locking(
        tmp_path, index, locked(package("app", "1.0", [changed]), package("lib", "1.0", [lib, WORLD["lib"][0]]))
    )
    done = project.doit("mirror")
    assert done.returncode not in (0, 130)
    text = said(done)
    was, found = (hashlib.sha256(content).hexdigest() for content in (changed[1], WORLD["app"][0][1]))
    assert f"app 1.0: {changed[0]}: expected sha256 {was}, found sha256 {found}" in text
    assert f"lib 1.0: {lib[0]}: expected sha256 {hashlib.sha256(lib[1]).hexdigest()}" in text
    assert "lock anew what is not upstream as it was locked" in text
    assert packages(project.output) == {"lib": [f"lib-1.0-{LINUX}.whl"]}
    assert "BUT NOT ALL" in text
    assert "0 of 2 pairs proven" in said(project.doit("prove", "--own"))


def test_what_a_lock_lacks_of_what_its_packages_require_is_told_and_no_fault(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(
        tmp_path, index, locked(package("app", "2.0", WORLD["app"][1:]), package("lib", "1.0", WORLD["lib"][:3]))
    )
    project.mirrored()
    proof = project.doit("prove", "--own")
    assert proof.returncode == 0
    assert "! app/pylock.toml: app 2.0 requires lib>=2, and the lock has lib 1.0" in said(proof)


@pytest.mark.parametrize(
    ("text", "entry", "problem"),
    [
        (None, {}, "requirements[0].lock: app/pylock.toml: no such file"),
        ("lock-version = ", {}, "requirements[0].lock: app/pylock.toml: expected TOML, found"),
        (
            "",
            {"groups": "dev"},
            "requirements[0].groups: expected a list of groups such as [dev], or [] for none, found 'dev'",
        ),
        ("", {"groups": ["dve"]}, "unknown group 'dve'; did you mean 'dev'?"),
        ("", {"versions": 2}, "requirements[0].versions: unknown key"),
    ],
)
def test_a_lock_that_cant_be_read_is_a_fault_of_the_configuration(
    tmp_path: Path, index: FakeIndex, text: str | None, entry: Mapping[str, Any], problem: str
) -> None:
    locking(tmp_path, index, text or whole_lock(), entry)
    if text is None:
        (tmp_path / LOCK).unlink()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "mirror.yaml")
    assert problem in str(caught.value)


def direct(name: str, table: str) -> str:
    return f'[[packages]]\nname = "{name}"\nversion = "1.2"\n{table}\n'


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (
            'vcs = {type = "git", url = "https://git.example.com/ours", commit-id = "4f1c"}',
            '- {require: "ours @ git+https://git.example.com/ours@4f1c", build: true}',
        ),
        (
            f'archive = {{url = "https://files.example.com/ours-1.2-py3-none-any.whl", hashes = {{sha256 = "{"0" * 64}"}}}}',
            f'- "ours @ https://files.example.com/ours-1.2-py3-none-any.whl#sha256={"0" * 64}"',
        ),
        (
            f'archive = {{path = "../dist/ours-1.2-py3-none-any.whl", hashes = {{sha256 = "{"0" * 64}"}}}}',
            "- {wheels: dist}",
        ),
        ('directory = {path = "../libs/ours"}', "(`python -m build libs/ours`), and add - {wheels: libs/ours/dist}"),
    ],
    ids=["git", "url", "archive", "directory"],
)
def test_what_no_index_has_is_a_fault_with_the_line_that_brings_it_in(
    tmp_path: Path, index: FakeIndex, table: str, line: str
) -> None:
    locking(tmp_path, index, locked(direct("ours", table)))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "mirror.yaml")
    text = re.sub(r"\s+", " ", str(caught.value))
    assert "requirements[0].lock: app/pylock.toml: ours 1.2 comes from" in text
    assert line in text


def test_what_no_index_has_is_mirrored_from_the_line_that_brings_it_in(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, locked(direct("ours", 'directory = {path = "../libs/ours"}')))
    (tmp_path / "dist").mkdir()
    name, content = wheel("ours", "1.2")
    (tmp_path / "dist" / name).write_bytes(content)
    project.configure(index.url, requirements=[{"lock": LOCK}, {"wheels": "dist"}])
    project.mirrored()
    assert packages(project.output) == {"ours": [name]}
    proof = project.doit("prove", "--own")
    assert proof.returncode == 0, said(proof)


def test_a_lock_is_listed_once_with_the_same_groups(tmp_path: Path, index: FakeIndex) -> None:
    project = locking(tmp_path, index, whole_lock())
    twice = [{"lock": LOCK}, {"lock": f"./{LOCK}", "groups": ["dev"]}]
    project.configure(index.url, requirements=twice)
    with pytest.raises(ConfigError, match=r"requirements\[1\]: .* is listed already, in requirements\[0\]"):
        load(tmp_path / "mirror.yaml")
    project.configure(index.url, requirements=[{"lock": LOCK}, {"lock": LOCK, "groups": []}])
    assert [root.name for root in load(tmp_path / "mirror.yaml").roots] == [LOCK, f"{LOCK} [no groups]"]


def test_a_successor_has_the_lock_from_mirror_json_without_the_hosts_in_it(tmp_path: Path, index: FakeIndex) -> None:
    locking(tmp_path, index, whole_lock(), {"groups": [], "environments": ["server"]})
    first = load(tmp_path / "mirror.yaml")
    about = description(first)["configuration"]
    assert "files.example.com" not in json.dumps(about)
    entry = {"lock": "lock-1/pylock.toml", "groups": [], "extras": [], "environments": ["server"]}
    assert yaml.safe_load(about["mirror.yaml"])["requirements"] == [entry]
    for name, content in about.items():
        path = tmp_path / "successor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert description(load(tmp_path / "successor/mirror.yaml"))["configuration"] == about


def test_no_folder_of_this_machine_that_a_lock_names_is_published(tmp_path: Path, index: FakeIndex) -> None:
    text = whole_lock().replace("https://files.example.com/", "file:///home/me/wheels/")
    assert "home/me" in text
    locking(tmp_path, index, text)
    kept = description(load(tmp_path / "mirror.yaml"))["configuration"]["lock-1/pylock.toml"]
    assert "home/me" not in kept
    assert "file:///replaced/app-1.0-py3-none-any.whl" in kept
