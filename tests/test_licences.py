"""What is promised of licences: how they are named, which of what a project says counts, and which are allowed."""

from __future__ import annotations

import dataclasses
import fnmatch
import io
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Collection
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_license_index
from trove_classifiers import classifiers as trove

from mirror_tasks.archives.core_metadata import CoreMetadata, parse_metadata
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.archives.sdist import sdist_metadata
from mirror_tasks.config.policy import LicenceRule
from mirror_tasks.config.spdx import NEWER, spdx_expression, spdx_fault, spdx_licence
from mirror_tasks.policy.licence_expressions import are_equal, licences_in, not_allowed
from mirror_tasks.policy.licence_names import reading_of_classifier, reading_of_name
from mirror_tasks.policy.licences import Licence, check_licence, licence_of
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


# Which licence it is

OSI = "License :: OSI Approved :: "
MIT, BSD, APACHE = f"{OSI}MIT License", f"{OSI}BSD License", f"{OSI}Apache Software License"
GPL, GPL2_PLUS = f"{OSI}GNU General Public License (GPL)", f"{OSI}GNU General Public License v2 or later (GPLv2+)"
PROPRIETARY = "License :: Other/Proprietary License"


def licence(
    *classifiers: str,
    expression: str | None = None,
    name: str | None = None,
    is_text: bool = False,
    files: tuple[str, ...] = (),
) -> Licence:
    said = LicenceFields(expression=expression, name=name, is_text=is_text, classifiers=classifiers, files=files)
    plain = parse_metadata(core_metadata("foo", "1.0"), "foo-1.0-py3-none-any.whl")
    return licence_of(dataclasses.replace(plain, licensing=said))


@pytest.mark.parametrize(
    ("found", "expression", "source"),
    [
        (licence(expression="mit or gpl-2.0+"), "MIT OR GPL-2.0-or-later", "License-Expression"),
        (licence(MIT, expression="MIT AND Zlib"), "MIT AND Zlib", "License-Expression"),
        (licence(expression="MIT AND Zlib", name="zlib and mit"), "MIT AND Zlib", "License-Expression"),
        (licence(BSD, expression="BSD-3-Clause", name="BSD"), "BSD-3-Clause", "License-Expression"),
        (licence(GPL, expression="GPL-2.0-only WITH Classpath-exception-2.0"), None, "License-Expression"),
        (licence(MIT, APACHE, name="MIT OR Apache-2.0"), "MIT OR Apache-2.0", "License"),
        (licence(MIT, name="MIT"), "MIT", "License"),
        (licence(APACHE, name="Apache License, Version 2.0"), "Apache-2.0", "License"),
        (licence(BSD, name="3-Clause BSD License"), "BSD-3-Clause", "License"),
        (licence(MIT, name="see the file LICENSE"), "MIT", "classifiers"),
        (licence(MIT, name="MIT License", is_text=True), "MIT", "classifiers"),
        (licence("License :: OSI Approved", MIT), "MIT", "classifiers"),
        (licence(GPL2_PLUS, name="GPL"), "GPL-2.0-or-later", "classifiers"),
        (licence("License :: Public Domain"), "LicenseRef-Public-Domain", "classifiers"),
    ],
)
def test_the_first_source_that_names_a_licence_counts(found: Licence, expression: str | None, source: str) -> None:
    assert (found.source, found.problem) == (source, "")
    assert found.expression == (expression or "GPL-2.0-only WITH Classpath-exception-2.0")


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (licence(MIT, expression="MIT AND"), "License-Expression is no SPDX expression: 'MIT AND'"),
        (licence(BSD, name="BSD"), "License says 'BSD', which may be any of 0BSD, BSD-*"),
        (licence(APACHE), "a classifier says 'Apache Software License', which may be any of Apache-*"),
        (
            licence(MIT, BSD, name="Dual License"),
            "License says 'Dual License', which is neither SPDX nor a known name; "
            "classifiers say 'MIT License', 'BSD License', and not whether one of them is enough",
        ),
        (
            licence(*(f"License :: {number}" for number in range(3))),
            "classifiers say '0', '1', '2', and not whether one of them is enough",
        ),
        (
            licence(*(f"License :: {number}" for number in range(4))),
            "classifiers say '0', '1', '2', …, and not whether one of them is enough",
        ),
        (licence(PROPRIETARY), "a classifier says 'Other/Proprietary License', which names none"),
        (licence(name="MIT License", is_text=True), "License is a text that begins with 'MIT License'"),
        (licence("License :: OSI Approved"), "nothing says which it is"),
        (licence(files=("LICENSE.MIT",)), "nothing says which it is"),
    ],
)
def test_what_names_no_licence_or_several_is_unknown_and_says_why(found: Licence, problem: str) -> None:
    assert found == Licence(None, "", found.said, problem)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (
            licence(GPL, expression="MIT"),
            "License-Expression says 'MIT', a classifier 'GNU General Public License (GPL)'",
        ),
        (licence(expression="MIT AND Zlib", name="MIT"), "License-Expression says 'MIT AND Zlib', License 'MIT'"),
        (
            licence(expression="MIT AND Zlib", name="MIT OR Zlib"),
            "License-Expression says 'MIT AND Zlib', License 'MIT OR Zlib'",
        ),
        (licence(MIT, APACHE, name="MIT"), "License says 'MIT', a classifier 'Apache Software License'"),
        (licence(PROPRIETARY, name="MIT"), "License says 'MIT', a classifier 'Other/Proprietary License'"),
        (licence(MIT, name="GPL"), "a classifier says 'MIT', License 'GPL'"),
        (
            licence(GPL2_PLUS, name="GPL-2.0"),
            "License says 'GPL-2.0-only', a classifier 'GNU General Public License v2 or later",
        ),
    ],
)
def test_sources_that_contradict_each_other_are_shown_and_count_as_unknown(found: Licence, problem: str) -> None:
    assert (found.expression, found.source) == (None, "")
    assert found.problem.startswith(f"sources contradict each other: {problem}")


def test_all_that_is_said_is_listed_licence_files_too() -> None:
    found = licence(MIT, expression="MIT", name="Permission is", is_text=True, files=("LICENSE", "AUTHORS"))
    assert found.said == (
        ("License-Expression", "MIT"),
        ("License", "Permission is …"),
        ("Classifier", MIT),
        ("License-File", "LICENSE"),
        ("License-File", "AUTHORS"),
    )


@given(st.text(), st.text(), st.lists(st.sampled_from(sorted(trove)) | st.text()))
def test_whatever_is_said_of_a_licence_has_an_answer(expression: str, name: str, classifiers: list[str]) -> None:
    found = licence(*classifiers, expression=expression or None, name=name or None)
    assert bool(found.expression) == bool(found.source) != bool(found.problem)
    assert found.problem.isprintable()


# Names


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("The MIT License (MIT)", ["MIT"]),
        ("Apache 2", ["Apache-2.0"]),
        ("Apache License v2.0", ["Apache-2.0"]),
        ("BSD 3-Clause License", ["BSD-3-Clause"]),
        ('BSD 3-Clause "New" or "Revised" License', ["BSD-3-Clause"]),
        ("New BSD", ["BSD-3-Clause"]),
        ("MPLv2", ["MPL-2.0"]),
        ("Mozilla Public License 2.0 (MPL 2.0)", ["MPL-2.0"]),
        ("PSF", ["PSF-2.0"]),
        ("zlib/libpng", ["Zlib"]),
        ("LGPLv2.1+", ["LGPL-2.1-or-later"]),
        ("GNU GPL version 3 or later", ["GPL-3.0-or-later"]),
        ("GPLv3", ["GPL-3.0-*"]),
        ("GNU LGPL", ["LGPL-*"]),
        ("AGPL 1", ["AGPL-1.0-*"]),
        ("GNU GPL v2 only", ["GPL-2.0-only"]),
        ("Lesser General Public License 2.1+", ["LGPL-2.1-or-later"]),
        ("LGPLv2+", ["LGPL-2.*-or-later"]),
        ("MPL", ["MPL-*"]),
        ("Apache", ["Apache-*"]),
    ],
)
def test_a_name_is_known_by_its_words(name: str, meant: list[str]) -> None:
    assert [*reading_of_name(name)] == meant


@pytest.mark.parametrize(
    "name",
    [
        "MIT-like",
        "MIT (see LICENSE)",
        "MIT (GPL)",
        "not MIT",
        "MIT/Apache",
        "BSDish",
        "MIT лицензия",
        "~MIT",
        "License",
        "()",
        "",
    ],
)
def test_a_name_that_only_looks_alike_is_not_known(name: str) -> None:
    assert reading_of_name(name) == ()


# PEP 639, "Mapping License Classifiers to SPDX Identifiers": the first list by the last words, the others whole.
OPEN = """Academic Free License (AFL)/Apache Software License/Apple Public Source License/Artistic License/BSD License/
GNU Affero General Public License v3/GNU Free Documentation License (FDL)/GNU General Public License (GPL)/
GNU General Public License v2 (GPLv2)/GNU General Public License v3 (GPLv3)/GNU Lesser General Public License v2 (LGPLv2)/
GNU Lesser General Public License v2 or later (LGPLv2+)/GNU Lesser General Public License v3 (LGPLv3)/
GNU Library or Lesser General Public License (LGPL)""".replace("\n", "").split("/")
UNNAMED = {
    *("Free For Educational Use", "Free For Home Use", "Free for non-commercial use", "Freely Distributable"),
    *("Free To Use But Restricted", "Freeware", "Other/Proprietary License"),
    *("GUST Font License 1.0", "GUST Font License 2006-09-30", "Repoze Public License"),
}


def test_every_classifier_means_what_pep_639_lets_it_mean() -> None:
    read = {one.rpartition(" :: ")[2]: reading_of_classifier(one) for one in trove if one.startswith("License ::")}
    assert {name for name, reading in read.items() if reading is None} == {"OSI Approved", "DFSG approved"}
    assert {name for name, reading in read.items() if reading == ()} == UNNAMED
    several = {name for name, reading in read.items() if reading and (len(reading) > 1 or "*" in reading[0])}
    assert several >= {*OPEN}
    assert several - {*OPEN} == {  # for which SPDX has several versions
        *("Eiffel Forum License (EFL)", "Eiffel Forum License", "Netscape Public License (NPL)"),
        *("W3C License", "Zope Public License"),
    }


def test_every_licence_that_a_classifier_may_mean_is_one_of_spdx() -> None:
    known = {str(entry.get("spdx_license_key")) for entry in get_license_index()}
    for one in trove:
        for pattern in reading_of_classifier(one) or ():
            assert pattern == "LicenseRef-Public-Domain" or fnmatch.filter(known, pattern), one


# What is allowed


def allowed(expression: str | None, *allow: str, unknown: Literal["refuse", "report"] = "refuse") -> str | None:
    found = Licence(expression, "License" if expression else "", (), "" if expression else "nothing says which it is")
    return check_licence(found, LicenceRule(frozenset(allow), unknown))


@pytest.mark.parametrize(
    ("expression", "allow", "reason"),
    [
        ("MIT", ["MIT"], None),
        ("MIT", ["ISC"], "licence MIT is not allowed"),
        ("MIT OR GPL-3.0-only", ["MIT"], None),
        ("MIT AND GPL-3.0-only", ["MIT"], "licence MIT AND GPL-3.0-only is not allowed, for want of GPL-3.0-only"),
        ("(MIT AND Zlib) OR (ISC AND GPL-3.0-only AND 0BSD)", ["ISC", "Zlib", "0BSD"], "for want of GPL-3.0-only"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only"], "Classpath-exception-2.0 is not allowed"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only WITH Classpath-exception-2.0"], None),
        ("GPL-2.0-only", ["GPL-2.0-only WITH Classpath-exception-2.0"], "licence GPL-2.0-only is not allowed"),
        ("LicenseRef-Acme AND MIT", ["LicenseRef-Acme", "MIT"], None),
        (None, ["MIT"], "licence unknown: nothing says which it is"),
    ],
)
def test_of_or_one_side_has_to_be_allowed_of_and_both(expression: str, allow: list[str], reason: str | None) -> None:
    found = allowed(expression, *allow)
    assert found is None if reason is None else found is not None and found.endswith(reason)


def test_an_unknown_licence_comes_in_where_it_is_only_to_be_reported() -> None:
    assert allowed(None, "MIT", unknown="report") is None
    assert check_licence(licence(PROPRIETARY), LicenceRule(None, "refuse")) is not None
    assert check_licence(licence(MIT), LicenceRule(None, "refuse")) is None


def test_a_reason_has_a_bound_however_long_an_expression_is() -> None:
    expression = spdx_expression(" AND ".join(f"LicenseRef-{number}" for number in range(110)))
    assert len(allowed(expression, "MIT") or "") < 500


NAMES = (
    "MIT",
    "ISC",
    "Apache-2.0",
    "GPL-2.0-or-later",
    "LicenseRef-or-and",
    "GPL-2.0-only WITH Classpath-exception-2.0",
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """An expression as somebody may write it: with parentheses that say nothing, in any case."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(NAMES))
    joined = f" {draw(st.sampled_from(['AND', 'OR', 'and', 'Or']))} ".join(
        draw(st.lists(expressions(depth - 1), min_size=1, max_size=3))
    )
    return f"({joined})" if draw(st.booleans()) else joined


def naive(expression: str, allow: Collection[str]) -> bool:
    """Python's own ``and`` and ``or`` bind as those of SPDX do."""
    for name in sorted(NAMES, key=len, reverse=True):
        expression = expression.replace(name, f" {name in allow!s:.1} ")
    return bool(eval(expression.lower(), {"t": True, "f": False}))


@given(expressions(), st.sets(st.sampled_from(NAMES)))
def test_an_expression_is_allowed_where_logic_says_so(written: str, allow: set[str]) -> None:
    expression = spdx_expression(written)
    assert expression is not None
    lacking = not_allowed(expression, allow)
    assert (not lacking) == naive(written, allow)
    assert (allowed(expression, *allow) is None) == naive(written, allow)
    assert naive(written, {*allow, *lacking})
    parts = re.split(r" (?:AND|OR) ", re.sub("[()]", "", written), flags=re.IGNORECASE)
    assert {*lacking} <= {*licences_in(expression)} == {*parts}


@given(expressions(), expressions())
def test_expressions_that_are_equal_are_allowed_by_the_same_policies(one: str, other: str) -> None:
    first, second = spdx_expression(one), spdx_expression(other)
    assert first is not None
    assert second is not None
    assert are_equal(first, first)
    if are_equal(first, second):
        for size in range(len(NAMES)):
            assert all(naive(one, allow) == naive(other, allow) for allow in itertools.combinations(NAMES, size))


def test_the_order_in_an_expression_says_nothing() -> None:
    assert are_equal("MIT OR (ISC AND Zlib)", "(Zlib AND ISC) OR MIT")
    assert not are_equal("MIT OR ISC", "MIT AND ISC")


def test_a_run_without_a_rule_for_licences_loads_no_library_for_them() -> None:
    """Nor does one that has only licences that stand alone load the one that takes expressions apart."""
    code = (
        "import sys; from mirror_tasks.policy.licences import *; from mirror_tasks.config.spdx import spdx_licence;"
        "a = 'packaging.licenses' in sys.modules; spdx_licence('mit'); not_allowed('MIT', ['ISC']);"
        "print(a, 'packaging.licenses' in sys.modules, 'license_expression' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
