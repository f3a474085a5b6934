"""What is promised of licences: how they are named, which of what a project says counts, and which are allowed."""

from __future__ import annotations

import io
import json

import pytest
from license_expression import get_license_index

from mirror_tasks.archives.core_metadata import CoreMetadata, parse_metadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.config.spdx import NEWER, spdx_expression, spdx_fault, spdx_licence
from tests.making import core_metadata, sdist


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("mit", "MIT"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("gpl-2.0+", "GPL-2.0-or-later"),
        ("GPL-2.0 WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-2.0-with-classpath-exception", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("LicenseRef-Acme-1.0", "LicenseRef-Acme-1.0"),
    ],
)
def test_a_licence_has_one_spelling_the_newer_one(written: str, expected: str) -> None:
    assert (spdx_licence(written), spdx_fault(written)) == (expected, None)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("BSD", "did you mean 'BSD-2-Clause' or 'BSD-3-Clause'?"),
        ("MTI", "did you mean 'MIT'?"),
        ("Apache 2.0", "did you mean 'Apache-2.0'?"),
        ("", "expected an SPDX licence identifier, found ''"),
        ("Proprietary", "LicenseRef-"),
        ("MIT OR (Apache-2.0)", "name each by itself: Apache-2.0, MIT"),
        ("x" * 3000, "expected an SPDX licence identifier"),
    ],
)
def test_an_entry_of_allow_that_is_no_licence_says_what_was_meant(written: str, hint: str) -> None:
    assert spdx_licence(written) is None
    assert hint in (spdx_fault(written) or "")


def test_deprecated_identifiers_are_those_that_the_library_knows_and_lead_to_what_it_says() -> None:
    """It says nothing of the nine that are a licence with its exception now."""
    known = {
        other: entry["spdx_license_key"]
        for entry in get_license_index()
        for other in entry.get("other_spdx_license_keys", ())
        if other in NEWER
    }
    assert {old: new for old, new in NEWER.items() if "WITH" not in new} == {
        **known,
        **{old: f"{old[:-1]}-or-later" for old in NEWER if old.endswith("+")},
    }
    assert all(spdx_expression(new) == new and spdx_expression(old) == new for old, new in NEWER.items())


# What is kept of core metadata


def said_by_wheel(*lines: str) -> LicenceFields:
    content = core_metadata("foo", "1.0", lines=lines)
    read = parse_metadata(content, "foo-1.0-py3-none-any.whl")
    assert CoreMetadata.from_json(json.loads(json.dumps(read.to_json()))) == read
    return read.licensing


def said_by_sdist(pyproject: str, *lines: str) -> LicenceFields:
    metadata = core_metadata("foo", "1.0", lines=lines).decode()
    filename, content = sdist("foo", "1.0", pkg_info=metadata, pyproject=pyproject)
    return sdist_metadata(io.BytesIO(content), filename).licensing


def test_what_core_metadata_says_of_licences_is_kept_as_it_is_written() -> None:
    assert said_by_wheel(
        "License-Expression: MIT AND\n   Zlib",
        "License: MIT License",
        "Classifier: License :: OSI Approved :: MIT License",
        "Classifier: Topic :: Utilities",
        "License-File: LICENSE",
        "License-File: vendored/LICENSE.zlib",
    ) == LicenceFields(
        expression="MIT AND Zlib",
        name="MIT License",
        classifiers=("License :: OSI Approved :: MIT License",),
        files=("LICENSE", "vendored/LICENSE.zlib"),
    )


def test_of_a_licence_text_its_first_line_is_kept() -> None:
    assert said_by_wheel("License: MIT License\n        \n        Copyright (c) someone") == LicenceFields(
        name="MIT License", is_text=True
    )
    assert said_by_wheel(f"License: {'Permission is granted ' * 100}").is_text


@pytest.mark.parametrize("line", ["License: UNKNOWN", "License:", "Classifier: Topic :: Utilities"])
def test_where_nothing_is_said_of_a_licence_nothing_is_kept(line: str) -> None:
    assert said_by_wheel(line) == LicenceFields()


def test_what_is_kept_of_licences_has_a_bound() -> None:
    lines = [f"Classifier: License :: {number} {'x' * 1_000}" for number in range(1000)]
    lines += [f"License-File: {number}/{'x' * 1_000}" for number in range(1000)]
    found = said_by_wheel("License-Expression: " + " OR ".join(["MIT"] * 10_000), *lines)
    assert len(json.dumps(found.to_json())) < 100_000


def test_equal_fields_are_one_object_however_many_files_have_them() -> None:
    assert said_by_wheel("License: MIT") is said_by_wheel("License: MIT")


def test_an_sdist_says_it_in_pkg_info_or_in_pyproject() -> None:
    project = '[project]\nname = "foo"\nversion = "1.0"\nclassifiers = ["License :: OSI Approved", "Topic :: X"]\n'
    assert said_by_sdist(f'{project}license = "MIT"', "License: BSD") == LicenceFields(name="BSD")
    assert said_by_sdist(f'{project}license = "MIT"') == LicenceFields(
        expression="MIT", classifiers=("License :: OSI Approved",)
    )
    assert said_by_sdist(f'{project}license = {{text = "BSD"}}', "License-File: COPYING") == LicenceFields(
        name="BSD", classifiers=("License :: OSI Approved",), files=("COPYING",)
    )
    assert said_by_sdist('[project]\nname = "foo"\nlicense = 3\nclassifiers = "MIT"') == LicenceFields()
