"""The digest of a configuration: equal in each process, another where anything is, and without credentials."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mirror_tasks.config.digest import digest_of
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from tests.making import wheel
from tests.mirroring import run_environment

ALL = """
index:
  - url: https://user:secret@index.example.com/simple/
    missing: [403, 451]
environments:
  server: {python: "3.12", platform: linux-x86_64, glibc: "2.28"}
requirements:
  - requests>=2.24.0
  - {file: requirements.txt, versions: 2}
  - {lock: pylock.toml}
  - {project: pyproject.toml}
  - {wheels: dist/}
  - {require: "tool @ git+https://user:secret@git.example.com/tool@v1", build: true}
  - "other @ https://user:secret@files.example.com/other-1.0-py3-none-any.whl"
accept-changed: [one, two, three, four, five]
transfer: {keep: 90d, sign: [{ssh: id}]}
policy:
  cooldown: {"quick*": 1d, default: 14d}
  exclude: ["bad", "worse>=2"]
  constraints: constraints.txt
  licences: {allow: [MIT, BSD-3-Clause], unknown: report}
  except:
    - {project: known, rule: licences, reason: "asked", until: 2999-01-01}
"""
PYLOCK = """
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "locked"
version = "1.0"
[[packages.wheels]]
name = "locked-1.0-py3-none-any.whl"
url = "https://index.example.com/locked-1.0-py3-none-any.whl"
hashes = {sha256 = "%s"}
""" % ("0" * 64)


def config_of(folder: Path, text: str = ALL) -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "dist").mkdir(exist_ok=True)
    name, content = wheel("ours", "1.0")
    (folder / "dist" / name).write_bytes(content)
    (folder / "requirements.txt").write_text("flask[async]<4; python_version > '3.8'\n-c constraints.txt\n")
    (folder / "constraints.txt").write_text("click<9\n")
    (folder / "pylock.toml").write_text(PYLOCK)
    (folder / "pyproject.toml").write_text('[project]\nname = "us"\nversion = "1"\ndependencies = ["django"]\n')
    (folder / "mirror.yaml").write_text(text)
    return load(folder / "mirror.yaml")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


def test_the_digest_is_the_same_in_each_process(config: Config) -> None:
    """Sets of text are in another order in each."""
    code = (
        "import sys; from pathlib import Path; from mirror_tasks.config.digest import digest_of; "
        "from mirror_tasks.config.mirror_yaml import load; print(digest_of(load(Path(sys.argv[1]))))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(config.path)],
            env=run_environment({}) | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert found == {digest_of(config)}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Config)])
def test_the_digest_is_another_where_a_field_is(config: Config, field: str) -> None:
    other: dict[str, Any] = {field: "another"}
    assert digest_of(dataclasses.replace(config, **other)) != digest_of(config)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[403, 451]", "[403]"),
        ("3.12", "3.13"),
        ("requests>=2.24.0", "requests>=2.24.1"),
        ("versions: 2", "versions: 3"),
        ("tool@v1", "tool@v2"),
        ("other-1.0", "other-1.1"),
        ("1d", "2d"),
        ("worse>=2", "worse>=3"),
        ("[MIT, BSD-3-Clause]", "[MIT]"),
        ("2999-01-01", "2999-01-02"),
        ("index.example.com", "index.example.org"),
    ],
)
def test_the_digest_is_another_where_what_is_inside_a_field_is(config: Config, before: str, after: str) -> None:
    assert before in ALL
    assert digest_of(config_of(config.path.parent, ALL.replace(before, after, 1))) != digest_of(config)


def test_credentials_have_no_part_in_the_digest(config: Config) -> None:
    digest = digest_of(config)
    assert digest_of(config_of(config.path.parent, ALL.replace(":secret@", ":other@"))) == digest


def test_what_has_no_form_in_it_is_refused(config: Config) -> None:
    with pytest.raises(TypeError, match="found object"):
        digest_of(dataclasses.replace(config, url=object()))  # type: ignore[arg-type]
