"""What docs/coming-from.md says of other tools' files is read as it stands there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import tomli

from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from tests.making import wheel

PAGE = Path(__file__).parent.parent / "docs" / "coming-from.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
HASH = "a" * 64
PYLOCK = f"""
lock-version = "1.0"
created-by = "nab"

[[packages]]
name = "requests"
version = "2.34.2"
wheels = [{{name = "requests-2.34.2-py3-none-any.whl", url = "https://files.example.com/r.whl", hashes = {{sha256 = "{HASH}"}}}}]
"""
UV_LOCK = f"""
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "app"
version = "1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "requests" }}]

[[package]]
name = "requests"
version = "2.34.2"
source = {{ registry = "https://index.example.com/simple" }}
wheels = [{{ url = "https://files.example.com/requests-2.34.2-py3-none-any.whl", hash = "sha256:{HASH}", size = 1 }}]
"""
FILES = {
    "requirements.txt": "flask<3\n",
    "vetted.txt": "-c constraints.txt\nclick\nitsdangerous\n",
    "constraints.txt": "click>=8.1,<8.3\nitsdangerous\n",
    "pylock.toml": PYLOCK,
    "app/uv.lock": UV_LOCK,
    "app/pyproject.toml": '[project]\nname = "app"\nversion = "1.0"\ndependencies = ["requests"]\n',
}


def section(name: str) -> str:
    return next(text for text in SECTIONS if name in text.partition("\n")[0])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(example, id=f"{text.partition(chr(10))[0]}, {number}")
    for text in SECTIONS
    for number, example in enumerate(blocks(text, "yaml"), 1)
]


def read(folder: Path, example: str) -> Config:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    filename, content = wheel("flask", "2.3.3")
    (folder / "wheels").mkdir()
    (folder / "wheels" / filename).write_bytes(content)
    (folder / "mirror.yaml").write_text(example, encoding="utf-8")
    return load(folder / "mirror.yaml")


def test_each_tool_has_an_example() -> None:
    assert all(blocks(text, "yaml") for text in SECTIONS)
    assert len(SECTIONS) >= 6


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_is_a_mirror_yaml(tmp_path: Path, example: str) -> None:
    assert read(tmp_path, example).roots


def test_the_example_of_morgan_says_what_its_morgan_ini_says(tmp_path: Path) -> None:
    text = section("Morgan")
    theirs = configparser.ConfigParser()
    theirs.read_string(blocks(text, "ini")[0])
    ours = read(tmp_path, blocks(text, "yaml")[0])
    for environment in ours.environments:
        said = dict(theirs[f"env.{environment.name}"])
        tag = said.pop("platform_tag")
        assert {key: environment.markers[0][key] for key in said} == said
        assert tag.partition("-")[0].partition("_")[0] in str(environment.tags[0])
    lines = [f"{name}{one}" for name, specifiers in theirs["requirements"].items() for one in specifiers.split()]
    assert [root.name for root in ours.roots] == lines


def test_the_example_of_bandersnatch_says_what_its_allowlist_says(tmp_path: Path) -> None:
    text = section("bandersnatch")
    theirs = configparser.ConfigParser()
    theirs.read_string(blocks(text, "ini")[0])
    ours = read(tmp_path, blocks(text, "yaml")[0])
    assert [root.name for root in ours.roots] == theirs["allowlist"]["packages"].split()
    assert ours.versions == int(theirs["latest_release"]["keep"])


def test_the_files_that_the_page_shows_for_devpi_are_those_it_names(tmp_path: Path) -> None:
    text = section("devpi")
    theirs = configparser.ConfigParser()
    theirs.read_string("[index]\n" + blocks(text, "ini")[0])
    [root] = read(tmp_path, blocks(text, "yaml")[0]).roots
    assert FILES["vetted.txt"] in text
    assert [*map(str, root.constraints), "*"] == [str(one) for one in ["click<8.3,>=8.1", "itsdangerous", "*"]]
    assert theirs["index"]["constraints"].split() == [*FILES["constraints.txt"].split(), "*"]


def test_the_environments_of_the_example_of_nab_are_of_its_matrix(tmp_path: Path) -> None:
    text = section("nab")
    matrix = tomli.loads(blocks(text, "toml")[0])["tool"]["nab"]["matrix"]
    ours = read(tmp_path, blocks(text, "yaml")[0])
    platforms = {f"{one.name}_{one.markers[0]['platform_machine'].lower()}" for one in ours.environments}
    assert platforms == set(matrix["platforms"])
