"""What is promised of licences: how they are named, which of what a project says counts, and which are allowed."""

from __future__ import annotations

import pytest
from license_expression import get_license_index

from mirror_tasks.config.spdx import NEWER, spdx_expression, spdx_fault, spdx_licence


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
