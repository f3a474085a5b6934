"""What is promised at the door of locks: each format by its name, a sentence for each bad one, and what is selected where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli

from mirror_tasks.config.lock_files import formats, pylock_toml, reading
from mirror_tasks.config.lock_files.model import LockFile
from mirror_tasks.config.lock_files.reading import is_lock
from tests.lock_environments import LINUX, LOCKS, THREE, WINDOWS, door, made

REAL = {
    "pdm.lock": LOCKS / "pdm-4.5" / "pdm.lock",
    "poetry.lock": LOCKS / "poetry-2.1" / "poetry.lock",
    "uv.lock": LOCKS / "uv" / "uv.lock",
    "Pipfile.lock": LOCKS / "pipenv" / "Pipfile.lock",
    "pylock.toml": LOCKS / "pylock" / "pylock.uv.toml",
}
A = "a" * 64
HEAD = 'lock-version = "1.0"\ncreated-by = "hand"\n'


def wheel(name: str, marker: str = "") -> str:
    condition = f'marker = "{marker}"\n' if marker else ""
    return f"""
[[packages]]
name = "{name}"
version = "1.0"
{condition}wheels = [{{url = "https://files.example.com/{name}-1.0-py3-none-any.whl", hashes = {{sha256 = "{A}"}}}}]
"""


def pylock(folder: Path, content: str) -> Path:
    path = folder / "pylock.toml"
    path.write_text(content)
    return path


@pytest.mark.parametrize("kind", REAL)
def test_a_lock_is_known_by_its_name_and_keeps_its_path_and_kind(kind: str) -> None:
    lock = door(REAL[kind])
    assert (lock.kind, lock.path) == (kind, REAL[kind])
    assert set(lock.selected) == {one.name for one in THREE}


@pytest.mark.parametrize("name", ["pylock.dev.toml", *REAL])
def test_these_names_are_of_locks(name: str) -> None:
    assert is_lock(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Pipfile", r"found 'Pipfile'"),
        ("pipfile.lock", r"found 'pipfile\.lock'; did you mean 'Pipfile\.lock'[?]"),
        ("pylock.a.b.toml", r"found 'pylock\.a\.b\.toml'; did you mean 'pylock\.toml'[?]"),
        ("requirements.txt", r"found 'requirements\.txt'$"),
        ("pyproject.toml", r"found 'pyproject\.toml'; name the lock .*: `- {project: pyproject\.toml}`$"),
    ],
)
def test_any_other_name_gets_the_list_of_those_that_are(name: str, said: str, tmp_path: Path) -> None:
    assert not is_lock(name)
    (tmp_path / name).write_text("")
    with pytest.raises(
        ValueError,
        match=f"^{name}: expected a lock, known by its name [(].*Pipfile.lock, pylock.toml, pylock.NAME.toml[)], {said}",
    ):
        door(tmp_path / name)


def test_a_lock_that_is_not_there_or_is_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^pylock\.toml: no such file: "):
        door(tmp_path / "pylock.toml")
    (tmp_path / "Pipfile.lock").mkdir()
    with pytest.raises(ValueError, match=r"^Pipfile\.lock: can't read .*: Is a directory"):
        door(tmp_path / "Pipfile.lock")


@pytest.mark.parametrize("kind", REAL)
def test_a_file_that_was_cut_short_anywhere_gets_a_sentence_and_no_traceback(kind: str, tmp_path: Path) -> None:
    whole = REAL[kind].read_bytes()
    path = tmp_path / kind
    said = set()
    for size in range(0, len(whole) - 3, max(1, len(whole) // 50)):
        path.write_bytes(whole[:size])
        said.add(told(path))
    assert {one.partition(":")[0] for one in said if one} == {kind}
    assert any(f"expected {'JSON' if kind == 'Pipfile.lock' else 'TOML'}" in one for one in said)


def told(path: Path) -> str:
    """Return the sentence that a lock gets; empty for none."""
    try:
        door(path, [LINUX])
    except ValueError as error:
        return str(error)
    return ""


def test_broken_text_is_told_with_its_line(tmp_path: Path) -> None:
    path = pylock(tmp_path, HEAD + "packages = [\n  {name = \n]\n")
    with pytest.raises(
        ValueError, match=r"^pylock\.toml: expected TOML, found: .*line 4.*; if it was cut short or edited"
    ):
        door(path)
    other = tmp_path / "Pipfile.lock"
    other.write_text('{\n  "_meta": {\n    "pipfile-spec"\n')
    with pytest.raises(
        ValueError, match=r"^Pipfile\.lock: expected JSON, found: .*line 4.*; if it was cut short or edited"
    ):
        door(other)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "expected JSON|nested deeper"),
        (b"[]", r"expected keys and values, found \[\]; lock again"),
        (b"9" * 5000, "expected JSON"),
        (b"\xff\xfe\x00", "is not UTF-16"),
        (b"\xfa", "is not UTF-8 text: byte 0 is 0xfa; save it as UTF-8"),
    ],
)
def test_what_is_no_lock_at_all_gets_a_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "Pipfile.lock"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        door(path)


def test_a_lock_larger_than_any_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LARGEST", 100)
    with pytest.raises(ValueError, match="is larger than 100 bytes"):
        door(pylock(tmp_path, HEAD + wheel("a")))


def test_a_marker_that_is_nested_deeper_than_can_be_read_is_a_fault(tmp_path: Path) -> None:
    deep = "(" * 5000 + "python_version > '3'" + ")" * 5000
    with pytest.raises(ValueError, match=r"^pylock\.toml: "):
        door(pylock(tmp_path, HEAD + wheel("a", deep)))


WRONG: tuple[object, ...] = (None, True, -1, 1.5, "", "\n", "../..", [[]], {"a": {}}, "[" * 50)


@pytest.mark.parametrize("kind", REAL)
def test_whatever_is_wrong_at_a_key_is_told_in_a_sentence(kind: str, tmp_path: Path) -> None:
    text = REAL[kind].read_text()
    data = json.loads(text) if kind == "Pipfile.lock" else tomli.loads(text)
    read = formats.READERS[kind]
    said = []
    every = places(data)
    for place in every[:: len(every) // 50 + 1]:
        for wrong in WRONG:
            try:
                read(replaced(data, place, wrong), tmp_path / kind).select(LINUX.at(0), ("default",), ())
            except ValueError as error:
                said.append(str(error))
    assert len(said) > 40
    assert not [one for one in said if "\n" in one or len(one) > 600]


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of each value, of lists the first and last."""
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    return [path, *(one for key, below in inner for one in places(below, (*path, key)))][0 if path else 1 :]


def replaced(value: Any, path: tuple[str | int, ...], by: object) -> Any:
    """Return a copy with another value at a path."""
    if not path:
        return by
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


@pytest.mark.parametrize(
    ("groups", "extras", "said"),
    [
        (["develp"], None, "unknown group 'develp'; did you mean 'develop'?"),
        (["x"], None, "unknown group 'x'; expected one of default, develop, docs-and-more"),
        (None, ["fast"], "unknown extra 'fast'; the lock has no extras, leave `extras` out"),
        (
            ["x", "develp"],
            ["fast"],
            "unknown group 'x'; expected one of default, develop, docs-and-more. "
            "unknown group 'develp'; did you mean 'develop'? "
            "unknown extra 'fast'; the lock has no extras, leave `extras` out",
        ),
        ([], None, "it selects nothing on linux, of its groups default, develop, docs-and-more with none"),
    ],
)
def test_groups_and_extras_that_it_has_not_are_told(
    groups: list[str] | None, extras: list[str] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=rf"^Pipfile\.lock: {said.replace('?', '[?]')}"):
        door(REAL["Pipfile.lock"], [LINUX], groups, extras)


def test_a_lock_that_selects_nothing_anywhere_is_a_fault_and_on_one_environment_none(tmp_path: Path) -> None:
    path = pylock(tmp_path, HEAD + wheel("a", "sys_platform == 'win32'"))
    with pytest.raises(
        ValueError, match="it selects nothing on linux, but the project itself, if that; leave the entry out"
    ):
        door(path, [LINUX])
    assert door(path, [LINUX, WINDOWS]).selected["linux"][0].packages == ()


def test_a_lock_for_other_pythons_names_the_environments_that_it_is_not_for(tmp_path: Path) -> None:
    path = pylock(tmp_path, 'requires-python = ">=3.12,<3.13"\n' + HEAD + wheel("a"))
    assert set(door(path, [LINUX]).selected) == {"linux"}
    with pytest.raises(
        ValueError,
        match=r"on windows [(]Python 3\.11[)], macos [(]Python 3\.13[)]: it is for Python <3\.13,>=3\.12; lock",
    ):
        door(path)


def test_what_a_format_can_t_say_of_pythons_is_not_taken_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(data: Mapping[str, object], path: Path) -> LockFile:
        lock = pylock_toml.read(data, path)
        lock.requires_python = "three"
        return lock

    monkeypatch.setattr(formats, "READERS", {"pylock.toml": read})
    with pytest.raises(ValueError, match=r"expected a specifier of Python versions such as >=3\.10, found 'three'"):
        door(pylock(tmp_path, HEAD + wheel("a")))


def test_of_a_python_line_that_is_allowed_in_part_that_part_is_asked(tmp_path: Path) -> None:
    path = pylock(tmp_path, 'requires-python = ">=3.12.4"\n' + HEAD + wheel("a"))
    assert [one.patch for one in door(path, [LINUX]).selected["linux"]] == [4]
    exact = made("exact", python="3.12.3", platform="linux-x86_64")
    with pytest.raises(ValueError, match=r"on exact [(]Python 3\.12\.3[)]: it is for Python >=3\.12\.4;"):
        door(path, [exact])


def test_neighbouring_patch_releases_that_select_the_same_are_one(tmp_path: Path) -> None:
    markers = ("python_full_version < '3.12.2'", "python_full_version >= '3.12.2' or python_full_version < '3.12.1'")
    path = pylock(tmp_path, HEAD + wheel("a", " or ".join(markers)) + wheel("b", "python_full_version >= '3.12.7'"))
    chosen = [(one.patch, "".join(two.name for two in one.packages)) for one in door(path, [LINUX]).selected["linux"]]
    assert chosen == [(0, "a"), (7, "ab")]
    exact = made("exact", python="3.12.9", platform="linux-x86_64")
    assert [(one.patch, len(one.packages)) for one in door(path, [exact]).selected["exact"]] == [(0, 2)]


def test_what_a_message_quotes_can_t_fill_or_steer_the_terminal(tmp_path: Path) -> None:
    path = pylock(tmp_path, HEAD + wheel("a", "\\u001b[2J" + "x" * 100_000))
    with pytest.raises(ValueError, match="marker") as caught:
        door(path)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


def test_a_password_in_a_lock_is_in_no_message(tmp_path: Path) -> None:
    path = pylock(tmp_path, HEAD + wheel("a").replace("https://files", "https://me:secret@files").replace(A, "zz"))
    with pytest.raises(ValueError, match="expected a SHA-256") as caught:
        door(path)
    assert "secret" not in str(caught.value)
    path = pylock(tmp_path, HEAD + wheel("https://me:secret@files.example.com"))
    with pytest.raises(ValueError, match="not normalized") as caught:
        door(path)
    assert "secret" not in str(caught.value)
