"""What reading mirror.yaml promises: nothing guessed, every fault at once, no secret shown."""

from __future__ import annotations

import codecs
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mirror_tasks.config.environment_blocks import KEYS as ENVIRONMENT_KEYS
from mirror_tasks.config.indexes import INDEX_KEYS
from mirror_tasks.config.mirror_yaml import KEYS, load
from mirror_tasks.config.model import Config, Index
from mirror_tasks.config.platforms import PLATFORMS
from mirror_tasks.config.policy_keys.reader import POLICY_KEYS
from mirror_tasks.config.roots import REQUIREMENT_KEYS
from mirror_tasks.config.transfer import TRANSFER_KEYS
from mirror_tasks.errors import ConfigError
from mirror_tasks.text import redact

ENVIRONMENTS = """
environments:
  server: {python: "3.12", platform: linux-x86_64}
"""
WHOLE = f"{ENVIRONMENTS}\nrequirements: [requests]\n"
DOCUMENTATION = Path(__file__).parent.parent / "docs" / "configuration.md"
HASH = "a" * 64


TODAY = datetime.date(2026, 11, 26)


def config(folder: Path, text: str = WHOLE, name: str = "mirror.yaml", **files: str) -> Config:
    """Read a mirror.yaml beside some other files; in their names _ stands for a dot."""
    for other, content in files.items():
        path = folder / other.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / name).write_text(text, encoding="utf-8")
    return load(folder / name, today=TODAY)


def faults(folder: Path, text: str, **files: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(folder, text, **files)
    assert len(caught.value.faults) >= 1
    return [str(fault) for fault in caught.value.faults]


def lines_of(folder: Path, text: str, **files: str) -> list[str]:
    """Return the requirements that a requirements.txt gives, with their hashes and places."""
    root = config(folder, f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]", requirements_txt=text, **files)
    return [
        " ".join([str(one.requirement), *sorted(one.hashes), f"({one.where})"]) for one in root.roots[0].requirements
    ]


def line_faults(folder: Path, text: str, **files: str) -> list[str]:
    return faults(folder, f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]", requirements_txt=text, **files)


def test_a_small_file_has_the_documented_defaults(tmp_path: Path) -> None:
    one = config(tmp_path)
    assert one.path == tmp_path / "mirror.yaml"
    assert one.output == tmp_path / "mirror"
    assert one.state == tmp_path / ".mirror"
    assert one.indexes is None
    assert (one.versions, one.wheels, one.sdists) == ("latest", "compatible", "always")
    assert (one.build_requirements, one.prereleases, one.prefer_binary) == (True, False, False)
    assert (one.workers, one.refresh) == (16, 0)
    root = one.roots[0]
    assert (root.name, root.key_path, root.versions, root.constraints) == ("requests", "requirements[0]", "latest", ())
    assert root.requirements[0].requirement == Requirement("requests")
    assert root.requirements[0].hashes == frozenset()
    assert root.requirements[0].where == "mirror.yaml: requirements[0]"


def test_every_key_is_read(tmp_path: Path) -> None:
    text = """
output: out/here
index: [https://index.example.com/simple/, "file:///srv/simple/"]
environments:
  server: {python: "3.12", platform: linux-x86_64, glibc: "2.28"}
  laptop: {python: "3.11.7", platform: windows-amd64}
requirements:
  - requests>=2.24.0
  - xonsh[full]~=0.11.0
  - pywin32; sys_platform == "win32"
  - {require: "numpy>=1.24", versions: all}
  - {file: requirements.txt, versions: 2}
  - {wanted: wanted.txt}
versions: 3
wheels: best
sdists: fallback
build-requirements: false
prereleases: true
prefer-binary: true
workers: 4
refresh: 12h
"""
    one = config(
        tmp_path, text, requirements_txt="flask\n-c c.txt", c_txt="flask<3", wanted_reviewed_txt="rich\nblack\n"
    )
    assert one.output == tmp_path / "out" / "here"
    assert one.indexes == (Index("https://index.example.com/simple/"), Index("file:///srv/simple/"))
    assert [environment.name for environment in one.environments] == ["server", "laptop"]
    assert [root.name for root in one.roots] == [
        "requests>=2.24.0",
        "xonsh[full]~=0.11.0",
        'pywin32; sys_platform == "win32"',
        "numpy>=1.24",
        "requirements.txt",
        "black",
        "rich",
    ]
    assert [root.versions for root in one.roots] == [3, 3, 3, "all", 2, 3, 3]
    assert [str(constraint) for constraint in one.roots[4].constraints] == ["flask<3"]
    assert (one.versions, one.wheels, one.sdists, one.workers, one.refresh) == (3, "best", "fallback", 4, 43200)
    assert (one.build_requirements, one.prereleases, one.prefer_binary) == (False, True, True)
    assert one.wanted == (tmp_path / "wanted.txt",)


def test_another_file_has_its_own_state_and_output_beside_it(tmp_path: Path) -> None:
    one = config(tmp_path, name="lab.yaml")
    assert (one.output, one.state) == (tmp_path / "mirror-lab", tmp_path / ".mirror-lab")
    assert config(tmp_path, f"output: out\n{WHOLE}", name="lab.yaml").output == tmp_path / "out"


def test_paths_are_relative_to_the_file_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    folder.joinpath("mirror.yaml").write_text(WHOLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(Path("project/mirror.yaml")) == load(folder / "mirror.yaml")
    assert load(Path("project/../project/mirror.yaml")).output == folder / "mirror"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ('"0"', 0), ("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("1.5h", 5400), ("", 0)],
)
def test_refresh_is_a_time(tmp_path: Path, text: str, seconds: float) -> None:
    assert config(tmp_path, f"refresh: {text}\n{WHOLE}").refresh == seconds


def test_all_faults_come_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = """
outptu: mirror
environments:
  laptop: {python: 3.10, platform: win-amd64}
requirements:
  - requests>=2.24.0
  - "numpy>>1"
  - {file: missing.txt}
wheels: compatable
workers: 100
refresh: soon
"""
    said = faults(tmp_path, text)
    for expected in [
        "outptu: unknown key 'outptu'; did you mean 'output'?",
        'environments.laptop.python: expected a version in quotes such as "3.12", found the number 3.1',
        "environments.laptop.platform: unknown platform 'win-amd64'; did you mean 'windows-amd64'?",
        "requirements[1]: expected a requirement such as requests>=2.24, found 'numpy>>1'",
        "missing.txt: no such file",
        "wheels: unknown value 'compatable'; did you mean 'compatible'?",
        "workers: expected a whole number from 1 to 64, found 100",
        "refresh: expected 0 or a time such as 30m, 12h or 7d, found 'soon'",
    ]:
        assert any(line.startswith(expected) for line in said), (expected, said)
    assert len(said) == 8


def test_the_message_has_the_file_the_number_of_faults_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, f"{WHOLE}\nworkers: many\nsdists: sometimes\n")
    said = str(caught.value)
    assert said.startswith(f"reading {tmp_path / 'mirror.yaml'}: 2 faults found:\n  ")
    assert said.endswith("correct the file and run again.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "environments: expected at least one environment"),
        (ENVIRONMENTS, "requirements: expected a list of requirements such as requests>=2.24"),
        (f"{ENVIRONMENTS}\nrequirements: []", "requirements: expected a list"),
        (
            f"{ENVIRONMENTS}\nrequirements: requests",
            "requirements: expected a list of requirements such as requests>=2.24, found 'requests'",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [3]",
            "requirements[0]: expected a requirement such as requests>=2.24, found 3",
        ),
        (f"{ENVIRONMENTS}\nrequirements: [[a]]", "requirements[0]: expected a requirement"),
        (f"{ENVIRONMENTS}\nrequirements: ['']", "requirements[0]: expected a requirement"),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{requir: a}}]",
            "requirements[0].requir: unknown key 'requir'; did you mean 'require'?",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{versions: all}}]",
            "requirements[0]: expected one of require, file",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a, file: b}}]",
            "requirements[0]: expected one of require, file",
        ),
        (f"{ENVIRONMENTS}\nrequirements: [{{require: }}]", "requirements[0].require: expected text, found nothing"),
        (f"{ENVIRONMENTS}\nrequirements: [{{file: [a]}}]", "requirements[0].file: expected one line of text"),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a, environments: []}}]",
            "requirements[0].environments: expected a list of environments such as [server], found []",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a, environments: [sever, 3]}}]",
            "requirements[0].environments: unknown environment 'sever'; did you mean 'server'?",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [a, {{require: A, environments: [server]}}]",
            "requirements[1]: 'A' is listed already, in requirements[0]",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a, versions: 0}}]",
            "requirements[0].versions: expected latest, all or a number",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [requests, Requests]",
            "requirements[1]: 'Requests' is listed already, in requirements[0]",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a}}, a]",
            "requirements[1]: 'a' is listed already, in requirements[0]",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: ['a @ https://files.example.com/a.whl']",
            "requirements[0]: 'a @ https://files.example.com/a.whl': the last part of its URL, 'a.whl', is not",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [./a.whl]",
            "requirements[0]: expected a project's name, found a file or URL './a.whl'",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [app/uv.lock, dev/requirements.txt]",
            "requirements[0]: expected a project's name, found 'app/uv.lock', a lock of uv; list it as {lock: PATH}",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [requirements.txt]",
            "requirements[0]: expected a project's name, found 'requirements.txt', a file of requirements; list it as {file:",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [uv.lock]",
            "requirements[0]: expected a project's name, found 'uv.lock', a lock of uv; list it as {lock: PATH}, an entry of "
            "its own under requirements; the project, if you mean it, is uv-lock",
        ),
        ("- requests", "the file: expected keys and values, found ['requests']"),
        ("just text", "the file: expected keys and values, found 'just text'"),
        (
            f"environments: [server]\n{WHOLE[len(ENVIRONMENTS) :]}",
            "environments: expected keys and values, found ['server']",
        ),
        ("environments: {server: }\nrequirements: [a]", "environments.server: expected keys and values, found None"),
        ("environments: {3.12: {}}\nrequirements: [a]", "environments.3.12: expected a name of letters"),
        ("environments: {a/b: {}}\nrequirements: [a]", "environments.a/b: expected a name of letters"),
        ("environments: {../b: {}}\nrequirements: [a]", "environments.../b: expected a name of letters"),
        ("environments: {.b: {}}\nrequirements: [a]", "environments..b: expected a name of letters"),
        ("environments: {a=b: {}}\nrequirements: [a]", "environments.a=b: expected a name of letters"),
        (f"{WHOLE}\nversions: newest", "versions: expected latest, all or a number of newest releases, found 'newest'"),
        (f"{WHOLE}\nversions: true", "versions: expected latest, all or a number"),
        (f"{WHOLE}\nversions: -1", "versions: expected latest, all or a number"),
        (f"{WHOLE}\nwheels: none\nsdists: never", "sdists: neither wheels nor sdists would be mirrored"),
        (f"{WHOLE}\nprereleases: 'yes please'", "prereleases: expected true or false, found 'yes please'"),
        (f"{WHOLE}\nprefer-binary: 1", "prefer-binary: expected true or false, found 1"),
        (f"{WHOLE}\nworkers: true", "workers: expected a whole number from 1 to 64, found True"),
        (f"{WHOLE}\nworkers: 0", "workers: expected a whole number from 1 to 64, found 0"),
        (f"{WHOLE}\nrefresh: 30", "refresh: expected 0 or a time such as 30m, 12h or 7d, found 30"),
        (f"{WHOLE}\nrefresh: false", "refresh: expected 0 or a time"),
        (f"{WHOLE}\nrefresh: -1h", "refresh: expected 0 or a time"),
        (f"{WHOLE}\noutput: .", "output: it holds this file; expected a folder of its own"),
        (f"{WHOLE}\noutput: ..", "output: it holds this file"),
        (f"{WHOLE}\noutput: /", "output: it holds this file"),
        (f"{WHOLE}\noutput: .mirror", "output: it lies in .mirror"),
        (f"{WHOLE}\noutput: .mirror/out", "output: it lies in .mirror"),
        (f"{WHOLE}\noutput: mirror.yaml", "output: expected a folder, found the file"),
        (f"{WHOLE}\noutput: [a]", "output: expected one line of text"),
        (f'{WHOLE}\noutput: "a\\0b"', "output: expected one line of text"),
        (f"{WHOLE}\nindex: []", "index: expected a URL, or a list of URLs"),
        (f"{WHOLE}\nindex: index.example.com", "index: expected a URL such as"),
        (f"{WHOLE}\nindex: ftp://index.example.com", "index: expected a URL such as"),
        (f"{WHOLE}\nindex: https://", "index: expected a URL such as"),
        (f"{WHOLE}\nindex: 'https://[bad'", "index: expected a URL such as"),
        (f"{WHOLE}\nindex: ['https://index.example.com/', 3]", "index[1]: expected a URL such as"),
        (f"{WHOLE}\nindex: {{hashes: required}}", "index.url: expected a URL such as"),
        (f"{WHOLE}\nindex: [{{url: 'https://index.example.com/', hashes: no}}]", "index[0].hashes: unknown value"),
        (f"{WHOLE}\nindex: [{{url: 'https://index.example.com/', mising: [403]}}]", "index[0].mising: unknown key"),
        *(
            (f"{WHOLE}\nindex: [{{url: 'https://index.example.com/', missing: {wrong}}}]", "index[0].missing: expected")
            for wrong in ("403", "['403']", "[200]", "[500]", "[429]", "[true]", "[[403]]", "{a: 403}")
        ),
        (
            f"{WHOLE}\nindex: ['https://index.example.com/', {{url: 'https://index.example.com/', missing: [403]}}]",
            "index[1]: this URL is listed already",
        ),
        (f"{WHOLE}\n1: a", "1: unknown key 1"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key_path_and_what_was_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    said = faults(tmp_path, text)
    assert any(line.startswith(expected) for line in said), said


def test_what_is_said_of_an_index_stands_beside_its_url(tmp_path: Path) -> None:
    entries = "[{url: 'https://a.example.com/', hashes: required, missing: [403, 401]}, 'https://b.example.com/']"
    one = config(tmp_path, f"{WHOLE}\nindex: {entries}")
    assert one.indexes == (
        Index("https://a.example.com/", hashes_required=True, missing=frozenset({401, 403})),
        Index("https://b.example.com/"),
    )


def test_without_environments_an_example_is_shown_that_can_be_pasted(tmp_path: Path) -> None:
    said = faults(tmp_path, "requirements: [requests]")
    assert len(said) == 1
    example = said[0].partition("such as")[2]
    assert config(
        tmp_path, f"{re.sub('^    ', '', example, flags=re.MULTILINE)}\nrequirements: [requests]"
    ).environments


def test_names_that_differ_only_in_case_are_refused_because_files_are_named_after_them(tmp_path: Path) -> None:
    block = '{python: "3.12", platform: linux-x86_64}'
    said = faults(tmp_path, f"environments: {{Server: {block}, server: {block}}}\nrequirements: [a]")
    assert said == ["environments.server: the name differs from 'Server' only in upper and lower case"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{WHOLE}\nwheels: best\nwheels: none", "wheels: said twice, on line 7 and line 8; keep one"),
        (
            f"environments: {{a: {{python: '3.12', glibc: '2.28', python: '3.13'}}}}\n{WHOLE[len(ENVIRONMENTS) :]}",
            "environments.a.python: said twice, on line 1 and line 1; keep one",
        ),
        (
            f"{ENVIRONMENTS}\nrequirements: [{{require: a, require: b}}]",
            "requirements[0].require: said twice, on line 5 and line 5; keep one",
        ),
    ],
)
def test_a_key_that_is_said_twice_is_refused_rather_than_the_last_one_taken(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert faults(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("environments: [", "mirror.yaml: line 1, column 16: not YAML"),
        (f"{WHOLE}\n\tworkers: 3", "mirror.yaml: line 7, column 1: not YAML"),
        ("a: *b", "mirror.yaml: line 1, column 4: not YAML: found undefined alias 'b'"),
        ("a: !!python/object/apply:os.system [id]", "mirror.yaml: line 1, column 4: not YAML: could not determine"),
        (f"{WHOLE}\n---\n{WHOLE}", "mirror.yaml: line 7, column 1: not YAML"),
        ("a: 2026-99-99", "mirror.yaml: month must be"),
        ("a: \x07", "mirror.yaml: unacceptable character"),
        ("? [a]\n: b", "mirror.yaml: line 1, column 3: not YAML: found unhashable key"),
        ("[" * 20_000, "mirror.yaml: nested deeper than a configuration can be"),
        ("&a [*a]", "mirror.yaml: its aliases grow to more than a configuration can be"),
        ("# " + "x" * (1 << 20), "mirror.yaml: "),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    said = faults(tmp_path, text)
    assert len(said) == 1
    assert said[0].startswith(expected)


@pytest.mark.parametrize("kind", ["list", "merge"])
def test_aliases_that_grow_without_end_are_refused_before_they_do(tmp_path: Path, kind: str) -> None:
    first, more = ("[x]", "[{}]") if kind == "list" else ("{x: y}", "{{<<: [{}]}}")
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} " + more.format(", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 12)]
    assert faults(tmp_path, "\n".join(lines)) == [
        "mirror.yaml: its aliases grow to more than a configuration can be; write it out"
    ]


def test_blocks_can_be_shared_with_anchors(tmp_path: Path) -> None:
    text = """
environments:
  one: &base {python: "3.12", platform: linux-x86_64}
  two: {<<: *base, python: "3.13"}
requirements: [requests]
"""
    assert [str(one.python) for one in config(tmp_path, text).environments] == ["3.12.0", "3.13.0"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load(tmp_path / "mirror.yaml")
    assert str(tmp_path / "mirror.yaml") in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mirror.yaml").write_bytes(b"index: \xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text: byte 7 is 0xff"):
        load(tmp_path / "mirror.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="can't read"):
        load(tmp_path / "folder.yaml")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "mirror.yaml").write_text(WHOLE.lstrip(), encoding="utf-8-sig")
    assert load(tmp_path / "mirror.yaml").roots


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"{WHOLE}\nindex: htps://user:{SECRET}@index.example.com/",
        f"{WHOLE}\nindex: {{url: 'htps://user:{SECRET}@index.example.com/'}}",
        f"{WHOLE}\nindex: {{url: 'https://user:{SECRET}@index.example.com/', hashes: no}}",
        f"{WHOLE}\nindex: https://user:{SECRET}@index.example.com/\nworkers: https://user:{SECRET}@index.example.com/",
        f"{WHOLE}\nworkers: [{{a: 'https://user:{SECRET}@index.example.com/'}}]",
        f"{WHOLE}\nrefresh: https://{'u' * 60}:{SECRET}@index.example.com/",
        f"{WHOLE}\nhttps://user:{SECRET}@index.example.com/: 3",
        f"{ENVIRONMENTS}\nrequirements: ['a @ https://user:{SECRET}@files.example.com/a.whl']",
        f"{ENVIRONMENTS}\nrequirements: ['git+https://user:{SECRET}@code.example.com/a']",
        f"{ENVIRONMENTS}\nrequirements: ['a b https://user:{SECRET}@code.example.com/a']",
        f"environments: https://user:{SECRET}@index.example.com/\nrequirements: [a]",
        f"environments: {{'https://user:{SECRET}@index.example.com/': {{}}}}\nrequirements: [a]",
        f"index: https://user:{SECRET}@index.example.com/\n- a",
        f"? https://user:{SECRET}@index.example.com/\n: 1\n? https://user:{SECRET}@index.example.com/\n: 1",
    ],
)
def test_no_fault_shows_a_password(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_a_configuration_does_not_show_the_password_of_its_index(tmp_path: Path) -> None:
    one = config(tmp_path, f"{WHOLE}\nindex: https://user:{SECRET}@index.example.com/simple/")
    assert one.indexes == (Index(f"https://user:{SECRET}@index.example.com/simple/"),)
    assert SECRET not in repr(one)
    assert SECRET not in str(one)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@index.example.com/simple/", "https://me:***@index.example.com/simple/"),
        (
            "see https://me@work.example.com:hunter2@index.example.com/",
            "see https://me@work.example.com:***@index.example.com/",
        ),
        ("https://me:hun@ter2@index.example.com/a@b", "https://me:***@index.example.com/a@b"),
        ("https://hunter2@index.example.com/simple/", "https://***@index.example.com/simple/"),
        ("https://:hunter2@index.example.com/", "https://***@index.example.com/"),
        (
            "git+https://me:hunter2@code.example.com/a.git@v1.0#egg=a",
            "git+https://me:***@code.example.com/a.git@v1.0#egg=a",
        ),
        ("git+file:///srv/a@v1.0", "git+file:///srv/a@v1.0"),
        ("git+https://code.example.com:8443/a@v1.0", "git+https://code.example.com:8443/a@v1.0"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
        ("https://index.example.com/?mail=me@example.com", "https://index.example.com/?mail=me@example.com"),
        ("https://index.example.com, ask me@example.com", "https://index.example.com, ask me@example.com"),
        ("https://me:hun/ter2@index.example.com/", "https://me:***@index.example.com/"),
        ("https://me:hun#ter2@index.example.com/", "https://me:***@index.example.com/"),
        ("http://a.example.com,http://me:hunter2@b.example.com", "http://a.example.com,http://me:***@b.example.com"),
    ],
)
def test_only_the_password_of_a_url_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


def test_a_requirement_that_names_a_tag_of_a_repository_is_shown_whole(tmp_path: Path) -> None:
    (said,) = line_faults(tmp_path, "git+file:///srv/tool@v1.0\n")
    assert "git+file:///srv/tool@v1.0" in said


def test_variables_in_the_index_are_expanded_as_in_requirements_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "p%40ss")
    monkeypatch.setenv("TEAM", "a/b")
    text = f"{WHOLE}\nindex: ['https://me:${{INDEX_TOKEN}}@index.example.com/${{TEAM}}/', {{url: 'https://${{INDEX_TOKEN}}@b.example.com'}}]"
    assert [index.url for index in config(tmp_path, text).indexes or ()] == [
        "https://me:p%40ss@index.example.com/a/b/",
        "https://p%40ss@b.example.com",
    ]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://me:${UNSET}@index.example.com/", "the environment variable UNSET is not set"),
        ("https://me:${EMPTY}@index.example.com/", "the environment variable EMPTY is not set"),
        ("https://me:${token}@index.example.com/", "${token} names no variable"),
        ("https://me:${TOKEN@index.example.com/", "names no variable"),
        ("https://me:${SLASH}@index.example.com/", "the value of SLASH has"),
    ],
)
def test_a_variable_in_the_index_that_can_not_be_used_is_refused_and_never_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
) -> None:
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("SLASH", f"12/{SECRET}")
    monkeypatch.delenv("UNSET", raising=False)
    (said,) = faults(tmp_path, f"{WHOLE}\nindex: '{url}'")
    assert said.startswith("index: ")
    assert reason in said
    assert SECRET not in said
    (said,) = faults(tmp_path, f"{WHOLE}\nindex: ['https://index.example.com/', {{url: '{url}'}}]")
    assert said.startswith("index[1].url: ")


def test_values_of_variables_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    text = "a @ https://files.example.com/?key=${TOKEN}\nhttps://${TOKEN}.example.com\n--bad ${TOKEN}\n"
    said = line_faults(tmp_path, text)
    assert len(said) == 3
    assert SECRET not in "\n".join(said)


def test_a_requirements_file_is_read_as_pip_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMPY", "1.26")
    text = f"""\
# a comment
requests >= 2.24  # why
flask[async]; python_version >= "3.8"

black \\
    == 24.1.0 \\
    --hash=sha256:{HASH} \\
    --hash=sha256:{HASH.upper()[:-1]}B
numpy==${{NUMPY}}
"""
    assert lines_of(tmp_path, text) == [
        "requests>=2.24 (requirements.txt:2)",
        'flask[async]; python_version >= "3.8" (requirements.txt:3)',
        f"black==24.1.0 {HASH} {HASH[:-1]}b (requirements.txt:5)",
        "numpy==1.26 (requirements.txt:9)",
    ]


@pytest.mark.parametrize(
    "option", ["-r more/other.txt", "-rmore/other.txt", "--requirement more/other.txt", "--requirement=more/other.txt"]
)
def test_files_that_a_file_names_are_read_relative_to_it(tmp_path: Path, option: str) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "other.txt").write_text("rich\n-r last.txt\n", encoding="utf-8")
    (tmp_path / "more" / "last.txt").write_text("black\n", encoding="utf-8")
    assert lines_of(tmp_path, f"flask\n{option}\n") == [
        "flask (requirements.txt:1)",
        "rich (more/other.txt:1)",
        "black (more/last.txt:1)",
    ]


def test_constraints_are_kept_apart_from_requirements(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]"
    one = config(
        tmp_path,
        text,
        requirements_txt="flask\n-c c.txt\n",
        c_txt=f"rich<14\n-r d.txt\nblack==24.1 --hash=sha256:{HASH}\n",
        d_txt="pip<30",
    )
    assert [str(line.requirement) for line in one.roots[0].requirements] == ["flask"]
    assert [str(line) for line in one.roots[0].constraints] == ["rich<14", "pip<30", "black==24.1"]


def test_a_constraint_that_allows_no_file_of_a_line_is_a_fault(tmp_path: Path) -> None:
    limits = (
        f"rich<14 --hash=sha256:{HASH}\nflask --hash=sha256:{HASH}\nblack; python_version<'3.9' --hash=sha256:{HASH}"
    )
    one = f"-c c.txt\nFlask==3.1 --hash=sha256:{'0' * 64}\nblack==24.1 --hash=sha256:{'0' * 64}\n"
    assert line_faults(tmp_path, one, c_txt=limits) == [
        "c.txt:2: no hash of flask here is among those at requirements.txt:2, so that no file may be taken; give the same"
    ]
    both = f"-c c.txt\nFlask==3.1 --hash=sha256:{'0' * 64} --hash=sha256:{HASH}\n"
    assert lines_of(tmp_path, both, c_txt=limits) == [f"Flask==3.1 {'0' * 64} {HASH} (requirements.txt:2)"]


def test_files_that_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "a\n-r x.txt\n", x_txt="b\n-r requirements.txt\n-r x.txt\n") == [
        "a (requirements.txt:1)",
        "b (x.txt:1)",
    ]


def test_a_file_can_be_requirements_and_constraints_at_once(tmp_path: Path) -> None:
    one = config(
        tmp_path,
        f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]",
        requirements_txt="-c x.txt\n-r x.txt",
        x_txt="a==1",
    )
    assert [str(line.requirement) for line in one.roots[0].requirements] == ["a==1"]
    assert [str(line) for line in one.roots[0].constraints] == ["a==1"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-e .", "requirements.txt:1: -e can't be used here; editable projects are not on an index"),
        ("--editable=./a", "requirements.txt:1: --editable can't be used here; editable projects"),
        (
            "-i https://index.example.com/simple/",
            "requirements.txt:1: -i can't be used here; say it in mirror.yaml (`index:`)",
        ),
        (
            "--index-url https://index.example.com/",
            "requirements.txt:1: --index-url can't be used here; say it in mirror.yaml",
        ),
        (
            "--extra-index-url=https://index.example.com/",
            "requirements.txt:1: --extra-index-url can't be used here; say it",
        ),
        ("--find-links ./wheels", "requirements.txt:1: --find-links can't be used here"),
        ("--no-index", "requirements.txt:1: --no-index can't be used here"),
        ("--pre", "requirements.txt:1: --pre can't be used here; say `prereleases: true` in mirror.yaml"),
        ("--no-binary :all:", "requirements.txt:1: --no-binary can't be used here; say `wheels: none`"),
        ("--only-binary=:all:", "requirements.txt:1: --only-binary can't be used here; say `sdists: never`"),
        (
            "--require-hashes",
            "requirements.txt:1: --require-hashes can't be used here; hashes that are given are always",
        ),
        ("--unheard-of", "requirements.txt:1: --unheard-of can't be used here; leave it out"),
        ("-r", "requirements.txt:1: expected a file's name after it, found none"),
        ("-r https://files.example.com/r.txt", "requirements.txt:1: expected a file, found a URL"),
        ("-r missing.txt", "requirements.txt:1: no such file"),
        ("./a-1.0.tar.gz", "requirements.txt:1: expected a project's name, found a file or URL './a-1.0.tar.gz'"),
        ("a-1.0-py3-none-any.whl", "requirements.txt:1: 'a-1.0-py3-none-any.whl' asks for a file or URL"),
        ("https://files.example.com/a.zip", "requirements.txt:1: expected a project's name, found a file or URL"),
        (
            "a @ file:///a.whl",
            "requirements.txt:1: 'a @ file:///a.whl': the last part of its URL, 'a.whl', is not a wheel's name",
        ),
        ("a ==", "requirements.txt:1: expected a requirement such as requests>=2.24, found 'a =='"),
        ("a=1", "requirements.txt:1: expected a requirement such as requests>=2.24, found 'a=1'"),
        ("a --hash=md5:abc", "requirements.txt:1: expected --hash=sha256: and 64 digits, found '--hash=md5:abc'"),
        ("a --hash=sha256:abc", "requirements.txt:1: expected --hash=sha256: and 64 digits"),
        ("a --hash=sha256", "requirements.txt:1: --hash can't be used here; only --hash=sha256:"),
        ('a --config-settings="x=y"', "requirements.txt:1: --config-settings can't be used here; only --hash"),
        ('a --hash="sha256:', "requirements.txt:1: --hash can't be used here; only --hash"),
        ("-c c.txt", "c.txt:1: a constraint has no extras, found 'a[b]'"),
        ("# nothing", "requirements[0].file: expected requirements in requirements.txt, found none"),
    ],
)
def test_a_line_that_a_mirror_can_not_serve_is_refused_with_its_number(
    tmp_path: Path, line: str, expected: str
) -> None:
    said = line_faults(tmp_path, line, c_txt="a[b]\n")
    assert len(said) == 1
    assert said[0].startswith(expected)


def test_every_wrong_line_of_every_file_is_reported(tmp_path: Path) -> None:
    said = line_faults(tmp_path, "a==\nok\n-e .\n-r b.txt\n", b_txt="ok\n\nc @ https://files.example.com/c.whl\n")
    assert [line.split(": ")[0] for line in said] == ["requirements.txt:1", "requirements.txt:3", "b.txt:3"]


def file_faults(folder: Path, name: str, content: bytes) -> list[str]:
    """Return what is said of a file under requirements."""
    (folder / name).write_bytes(content)
    return faults(folder, f"{ENVIRONMENTS}\nrequirements: [{{file: '{name}'}}]")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"caf\xe9\n", "is not UTF-8 text: byte 3 is 0xe9; save it as UTF-8"),
        ("requests\n".encode("utf-16-le"), "is no text, or UTF-16 without its mark"),
        (codecs.BOM_UTF16_LE + b"a", "is not UTF-16-LE text"),
        (b"# -*- coding: no-such -*-\nrequests\n", "says that it is coded in 'no-such', which is no text encoding"),
        (b"# coding: hex\nrequests\n", "says that it is coded in 'hex', which is no text encoding"),
        (b"\x7fELF\0\0", "is no text"),
    ],
)
def test_a_requirements_file_that_is_not_text_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (said,) = file_faults(tmp_path, "requirements.txt", content)
    assert reason in said


TEXT = "# caf\u00e9\nrequests>=2\nflask\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_requirements_file_with_a_mark_is_read_as_pip_reads_it(tmp_path: Path, encoding: str, newline: str) -> None:
    marked = encoding.endswith(("-le", "-be"))
    text = ("\ufeff" if marked else "") + TEXT.replace("\n", newline)
    (tmp_path / "requirements.txt").write_bytes(text.encode(encoding))
    (root,) = config(tmp_path, f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]").roots
    assert [str(one.requirement) for one in root.requirements] == ["requests>=2", "flask"]
    assert [one.where for one in root.requirements] == ["requirements.txt:2", "requirements.txt:3"]


@pytest.mark.parametrize("line", [1, 2])
def test_a_coding_line_counts_as_for_pip(tmp_path: Path, line: int) -> None:
    text = "#\n" * (line - 1) + "# -*- coding: latin-1 -*-\n" + TEXT
    (tmp_path / "requirements.txt").write_bytes(text.encode("latin-1"))
    (root,) = config(tmp_path, f"{ENVIRONMENTS}\nrequirements: [{{file: requirements.txt}}]").roots
    assert [str(one.requirement) for one in root.requirements] == ["requests>=2", "flask"]
    (said,) = file_faults(tmp_path, "later.txt", b"#\n#\n" + text.encode("latin-1"))
    assert "is not UTF-8 text" in said


def test_mirror_yaml_as_powershell_writes_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "mirror.yaml").write_bytes(WHOLE.replace("\n", "\r\n").encode("utf-16"))
    assert [root.name for root in load(tmp_path / "mirror.yaml").roots] == ["requests"]


POETRY = "# This file is automatically @generated by Poetry 2.4.1 and should not be changed by hand.\n"
PACKAGES = '\n[[package]]\nname = "anyio"\nversion = "4.13.0"\n' * 300
PDM = '# This file is @generated by PDM.\n\n[metadata]\nlock_version = "4.5.1"\n'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "uv"\n\n[[packages]]\nname = "anyio"\n'
PIPFILE_LOCK = '{\n    "_meta": {\n        "pipfile-spec": 6\n    }\n}\n'


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("uv.lock", 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n' + PACKAGES, "a lock of uv"),
        ("renamed.txt", 'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n' + PACKAGES, "a lock of uv"),
        ("poetry.lock", POETRY + PACKAGES, "a lock of poetry"),
        ("renamed.txt", POETRY + PACKAGES, "a lock of poetry"),
        ("pdm.lock", PDM + PACKAGES, "a lock of PDM"),
        ("renamed.txt", PDM + PACKAGES, "a lock of PDM"),
        ("pylock.toml", PYLOCK, "a lock file (PEP 751)"),
        ("pylock.lab.toml", PYLOCK, "a lock file (PEP 751)"),
        ("renamed.txt", PYLOCK, "a lock file (PEP 751)"),
        ("Pipfile.lock", PIPFILE_LOCK, "a lock of Pipenv"),
        ("renamed.txt", PIPFILE_LOCK, "a lock of Pipenv"),
        ("Pipfile", '[packages]\nrequests = "*"\n', "what Pipenv locks from"),
        ("pyproject.toml", '[project]\nname = "a"\n' + "x = 1\n" * 900, "the file of a project"),
        ("other.toml", '[project]\nname = "a"\n' + "x = 1\n" * 900, "TOML or INI"),
        ("setup.py", "from setuptools import setup\nsetup()\n", "a program"),
        ("tool.py", "import setuptools\nsetuptools.setup()\n", "a program in Python"),
        ("environment.yml", "name: lab\ndependencies:\n  - numpy\n", "YAML, as conda's environments are"),
        ("data.json", '{"requests": 1}\n', "JSON"),
        ("page.txt", "<!DOCTYPE html>\n<html></html>\n", "a page of HTML or XML"),
        ("a-1.0-py3-none-any.whl", b"", "an archive"),
        ("a-1.0.tar.gz", b"\x1f\x8b\x08" + bytes(100), "an archive"),
        ("renamed.txt", b"PK\x03\x04" + bytes(100), "a zip archive, as wheels are"),
        ("renamed.txt", b"\x1f\x8b\x08" + bytes(100), "a gzip archive, as sdists are"),
        ("words.txt", "these are words, and no requirements at all\n" * 903, "in none of 903 lines"),
    ],
)
def test_a_file_that_is_something_else_is_one_fault_that_says_what_it_is(
    tmp_path: Path, name: str, content: str | bytes, kind: str
) -> None:
    (said,) = file_faults(tmp_path, name, content.encode() if isinstance(content, str) else content)
    assert said.startswith(f"{name}: expected a requirements file")
    assert kind in said
    assert "\n" not in said
    if "lock" in name:
        assert "list it as {lock: PATH}" in said


def test_a_lock_that_a_requirements_file_names_is_told_at_its_line(tmp_path: Path) -> None:
    (said,) = line_faults(tmp_path, "requests\n-r uv.lock\n", uv_lock="version = 1\n")
    assert said.startswith("requirements.txt:2: ")
    assert "a lock of uv" in said


def test_a_folder_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (said,) = faults(tmp_path, f"{ENVIRONMENTS}\nrequirements: [{{file: folder}}]")
    assert "is a folder; name a file in it" in said


def test_a_requirements_file_with_wrong_lines_among_right_ones_keeps_all_its_faults(tmp_path: Path) -> None:
    assert len(line_faults(tmp_path, "ok\n" + "a==\n" * 40)) == 40


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}\nrequirements: [{{file: r.txt}}, {{file: ./r.txt}}]"
    assert faults(tmp_path, text, r_txt="a") == ["requirements[1]: './r.txt' is listed already, in requirements[0]"]


REVIEWED = "# by doit wanted\nrequests\nnumpy==1.26.4  # for the lab\n\nflask\n# dropped: pip\n"


def test_what_clients_wanted_and_was_accepted_becomes_one_root_a_line(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}\nrequirements: [Flask, {{wanted: wanted.txt}}]"
    one = config(tmp_path, text, wanted_txt="rich  # asked for 3 times\n", wanted_reviewed_txt=REVIEWED)
    assert [(root.name, root.key_path, root.wished) for root in one.roots] == [
        ("Flask", "requirements[0]", False),
        ("numpy==1.26.4", "requirements[1]", True),
        ("requests", "requirements[1]", True),
    ]
    assert one.roots[1].requirements[0].where == "wanted.reviewed.txt"


def test_what_clients_wanted_is_no_requirement_before_it_is_accepted(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}\nrequirements: [flask, {{wanted: wanted.txt}}]"
    for wanted in ("", "rich  # asked for 3 times\n", "../../etc/passwd\n\x9b\n-r other.txt\n"):
        one = config(tmp_path, text, wanted_txt=wanted)
        assert [root.name for root in one.roots] == ["flask"]


def test_a_line_of_the_review_that_is_no_requirement_is_refused_with_its_number(tmp_path: Path) -> None:
    text = f"{ENVIRONMENTS}\nrequirements: [{{wanted: wanted.txt}}, {{wanted: missing.txt}}]"
    said = faults(tmp_path, text, wanted_reviewed_txt="ok\n../../etc/passwd\n")
    assert said[0].startswith("requirements[0].wanted: wanted.reviewed.txt: 2: expected a requirement")
    assert said[1].startswith("requirements[1].wanted: no such file")


def test_the_same_file_gives_the_same_configuration_in_every_process(tmp_path: Path) -> None:
    config(tmp_path, f"{ENVIRONMENTS}\nrequirements: [{{file: r.txt}}]", r_txt=f"a --hash=sha256:{HASH}\nb\n")
    code = (
        "import sys; from pathlib import Path; from mirror_tasks.config.mirror_yaml import load\n"
        "one = load(Path(sys.argv[1])); print([e.digest for e in one.environments], one.roots)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "mirror.yaml")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def documented(level: str) -> list[str]:
    return re.findall(rf"^{level} `([^`]+)`$", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_key_is_documented_and_nothing_else() -> None:
    assert documented("##") == list(KEYS)
    assert documented("###") == [*INDEX_KEYS, *ENVIRONMENT_KEYS, *REQUIREMENT_KEYS, *TRANSFER_KEYS, *POLICY_KEYS]


def test_every_key_is_documented_with_its_type_default_and_an_example() -> None:
    sections = re.split(r"^##+ `", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for section in sections:
        for part in ("Type:", "Default:", "```yaml"):
            assert part in section, (section[:30], part)


def test_every_platform_is_documented() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    assert [name for name in PLATFORMS if f"`{name}`" not in text] == []


LOCK = f"""\
lock-version = "1.0"
created-by = "tests"
extras = ["postgres"]
dependency-groups = ["main", "dev"]
[[packages]]
name = "rich"
version = "14.0"
wheels = [{{name = "rich-14.0-py3-none-any.whl", url = "https://files.example.com/rich", hashes = {{sha256 = "{HASH}"}}}}]
"""


def test_every_documented_example_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("flask\n", encoding="utf-8")
    (tmp_path / "server.txt").write_text("flask\n", encoding="utf-8")
    (tmp_path / "me.pem").write_bytes(b"")
    (tmp_path / "wanted.txt").write_text("rich  # asked 3 times\n", encoding="utf-8")
    (tmp_path / "company.txt").write_text("urllib3<3\n", encoding="utf-8")
    (tmp_path / "company-policy.yaml").write_text("cooldown: 7d\n", encoding="utf-8")
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "all.zip").write_bytes(b"")
    (tmp_path / "app").mkdir()
    extras = (
        '[project.optional-dependencies]\nfast = ["flask"]\n[dependency-groups]\ntest = ["rich"]\ndocs = ["black"]\n'
    )
    (tmp_path / "app" / "pyproject.toml").write_text(f'[project]\nname = "app"\n{extras}', encoding="utf-8")
    for name in ("dist", "linux-only"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}-1.0.tar.gz").write_bytes(b"")
    (tmp_path / "app/pylock.toml").write_text(LOCK, encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```", DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(examples) > len(KEYS)
    for example in examples:
        text = example.replace("../company-policy.yaml", "company-policy.yaml")
        text += "" if re.search("^environments:", text, re.MULTILINE) else ENVIRONMENTS
        text += "" if re.search("^requirements:", text, re.MULTILINE) else "\nrequirements: [requests]\n"
        assert config(tmp_path, text).roots
