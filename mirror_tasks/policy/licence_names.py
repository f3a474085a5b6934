"""What licences are called where nobody writes SPDX: the classifiers, and the names that stand in License.

A name has a reading: the SPDX licences that it may mean, as patterns. ``MIT License`` means ``MIT``; ``BSD License`` means
a family, ``BSD-*``, and which member is not said. Names are compared by their words, never by how alike they look: what is
not in these tables, and is no identifier that is spelled with spaces, is not known.

Sources:

- the classifiers of trove. Which of them mean one licence, and which leave open what version or variant is meant, is what
  PEP 639 says ("Appendix: Mapping License Classifiers to SPDX Identifiers"); so is that GPLv2 does not say if later versions
  are meant too. Of those for which SPDX has several versions none is taken to be meant either;
- the full names of the SPDX licence list (version 3.29), the titles that the Open Source Initiative gives licences, and the
  GNU project's own short names, with "or later", "+" and "only".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from mirror_tasks.config.spdx import spdx_licence

Reading = tuple[str, ...]
"""SPDX licences that may be meant; ``*`` stands for any characters. Empty: nobody knows."""

_BSD = ("0BSD", "BSD-*")
_APACHE = ("Apache-*",)
_APPROVED = ("License :: OSI Approved", "License :: DFSG approved")

_CLASSIFIERS: dict[str, Reading] = {
    "Aladdin Free Public License (AFPL)": ("Aladdin",),
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": ("CC0-1.0",),
    "CeCILL-B Free Software License Agreement (CECILL-B)": ("CECILL-B",),
    "CeCILL-C Free Software License Agreement (CECILL-C)": ("CECILL-C",),
    "Eiffel Forum License (EFL)": ("EFL-*",),
    "Netscape Public License (NPL)": ("NPL-*",),
    "Nokia Open Source License (NOKOS)": ("Nokia",),
    "Public Domain": ("LicenseRef-Public-Domain",),
    "Academic Free License (AFL)": ("AFL-*",),
    "Apache Software License": _APACHE,
    "Apple Public Source License": ("APSL-*",),
    "Artistic License": ("Artistic-*",),
    "Attribution Assurance License": ("AAL",),
    "BSD License": _BSD,
    "Blue Oak Model License (BlueOak-1.0.0)": ("BlueOak-1.0.0",),
    "Boost Software License 1.0 (BSL-1.0)": ("BSL-1.0",),
    "CEA CNRS Inria Logiciel Libre License, version 2.1 (CeCILL-2.1)": ("CECILL-2.1",),
    "CMU License (MIT-CMU)": ("MIT-CMU",),
    "Common Development and Distribution License 1.0 (CDDL-1.0)": ("CDDL-1.0",),
    "Common Public License": ("CPL-1.0",),
    "Eclipse Public License 1.0 (EPL-1.0)": ("EPL-1.0",),
    "Eclipse Public License 2.0 (EPL-2.0)": ("EPL-2.0",),
    "Educational Community License, Version 2.0 (ECL-2.0)": ("ECL-2.0",),
    "Eiffel Forum License": ("EFL-*",),
    "European Union Public Licence 1.0 (EUPL 1.0)": ("EUPL-1.0",),
    "European Union Public Licence 1.1 (EUPL 1.1)": ("EUPL-1.1",),
    "European Union Public Licence 1.2 (EUPL 1.2)": ("EUPL-1.2",),
    "GNU Affero General Public License v3": ("AGPL-3.0-*",),
    "GNU Affero General Public License v3 or later (AGPLv3+)": ("AGPL-3.0-or-later",),
    "GNU Free Documentation License (FDL)": ("GFDL-*",),
    "GNU General Public License (GPL)": ("GPL-*",),
    "GNU General Public License v2 (GPLv2)": ("GPL-2.0-*",),
    "GNU General Public License v2 or later (GPLv2+)": ("GPL-2.0-or-later",),
    "GNU General Public License v3 (GPLv3)": ("GPL-3.0-*",),
    "GNU General Public License v3 or later (GPLv3+)": ("GPL-3.0-or-later",),
    "GNU Lesser General Public License v2 (LGPLv2)": ("LGPL-2.*",),
    "GNU Lesser General Public License v2 or later (LGPLv2+)": ("LGPL-2.*-or-later",),
    "GNU Lesser General Public License v3 (LGPLv3)": ("LGPL-3.0-*",),
    "GNU Lesser General Public License v3 or later (LGPLv3+)": ("LGPL-3.0-or-later",),
    "GNU Library or Lesser General Public License (LGPL)": ("LGPL-*",),
    "Historical Permission Notice and Disclaimer (HPND)": ("HPND",),
    "IBM Public License": ("IPL-1.0",),
    "ISC License (ISCL)": ("ISC",),
    "MIT License": ("MIT",),
    "MIT No Attribution License (MIT-0)": ("MIT-0",),
    "MirOS License (MirOS)": ("MirOS",),
    "Motosoto License": ("Motosoto",),
    "Mozilla Public License 1.0 (MPL)": ("MPL-1.0",),
    "Mozilla Public License 1.1 (MPL 1.1)": ("MPL-1.1",),
    "Mozilla Public License 2.0 (MPL 2.0)": ("MPL-2.0",),
    "Mulan Permissive Software License v2 (MulanPSL-2.0)": ("MulanPSL-2.0",),
    "NASA Open Source Agreement v1.3 (NASA-1.3)": ("NASA-1.3",),
    "Nethack General Public License": ("NGPL",),
    "Nokia Open Source License": ("Nokia",),
    "Open Group Test Suite License": ("OGTSL",),
    "Open Software License 3.0 (OSL-3.0)": ("OSL-3.0",),
    "PostgreSQL License": ("PostgreSQL",),
    "Python License (CNRI Python License)": ("CNRI-Python",),
    "Python Software Foundation License": ("PSF-2.0",),
    "Qt Public License (QPL)": ("QPL-1.0",),
    "Ricoh Source Code Public License": ("RSCPL",),
    "SIL Open Font License 1.1 (OFL-1.1)": ("OFL-1.1",),
    "Sleepycat License": ("Sleepycat",),
    "Sun Public License": ("SPL-1.0",),
    "The Unlicense (Unlicense)": ("Unlicense",),
    "Universal Permissive License (UPL)": ("UPL-1.0",),
    "University of Illinois/NCSA Open Source License": ("NCSA",),
    "Vovida Software License 1.0": ("VSL-1.0",),
    "W3C License": ("W3C", "W3C-*"),
    "Zero-Clause BSD (0BSD)": ("0BSD",),
    "Zope Public License": ("ZPL-*",),
    "zlib/libpng License": ("Zlib",),
}
"""By the last part of the classifier."""

_NAMES: dict[str, Reading] = {
    # The SPDX licence list.
    "BSD Zero Clause License": ("0BSD",),
    'BSD 2-Clause "Simplified" License': ("BSD-2-Clause",),
    'BSD 3-Clause "New" or "Revised" License': ("BSD-3-Clause",),
    'BSD 4-Clause "Original" or "Old" License': ("BSD-4-Clause",),
    "Blue Oak Model License 1.0.0": ("BlueOak-1.0.0",),
    "Creative Commons Zero v1.0 Universal": ("CC0-1.0",),
    "Do What The F*ck You Want To Public License": ("WTFPL",),
    "GNU Library General Public License v2 only": ("LGPL-2.0-only",),
    "GNU Library General Public License v2 or later": ("LGPL-2.0-or-later",),
    "MIT No Attribution": ("MIT-0",),
    "Python License 2.0": ("Python-2.0",),
    "Python Software Foundation License 2.0": ("PSF-2.0",),
    "The Unlicense": ("Unlicense",),
    "Universal Permissive License v1.0": ("UPL-1.0",),
    "zlib License": ("Zlib",),
    **{f"Apache License {version}": (f"Apache-{version}",) for version in ("1.0", "1.1", "2.0")},
    **{f"Artistic License {version}": (f"Artistic-{version}",) for version in ("1.0", "2.0")},
    **{f"Zope Public License {version}": (f"ZPL-{version}",) for version in ("1.1", "2.0", "2.1")},
    # The Open Source Initiative.
    "1-Clause BSD License": ("BSD-1-Clause",),
    "2-Clause BSD License": ("BSD-2-Clause",),
    "3-Clause BSD License": ("BSD-3-Clause",),
    "Simplified BSD License": ("BSD-2-Clause",),
    "New BSD License": ("BSD-3-Clause",),
    "Modified BSD License": ("BSD-3-Clause",),
    "Revised BSD License": ("BSD-3-Clause",),
    # The name in trove, with the version.
    "Apache Software License 1.1": ("Apache-1.1",),
    "Apache Software License 2.0": ("Apache-2.0",),
    # Families by what they are called for short.
    "Apache": _APACHE,
    "BSD": _BSD,
    "MPL": ("MPL-*",),
    "Mozilla Public License": ("MPL-*",),
    "Python": ("CNRI-Python*", "PSF-2.0", "Python-*"),
    "PSF": ("PSF-2.0",),
    "PSFL": ("PSF-2.0",),
}

_GNU = {
    "AGPL": ("GNU Affero General Public License", "Affero General Public License", "GNU AGPL", "AGPL"),
    "GPL": ("GNU General Public License", "General Public License", "GNU GPL", "GPL"),
    "LGPL": ("GNU Lesser General Public License", "Lesser General Public License", "GNU LGPL", "LGPL"),
}
_GNU_VERSIONS = {"AGPL": ("1.0", "3.0"), "GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.1", "3.0")}


def reading_of_classifier(classifier: str) -> Reading | None:
    """Return what a ``License ::`` classifier may mean; None for one that approves of a licence and names none."""
    return None if classifier in _APPROVED else _CLASSIFIERS.get(classifier.rpartition(" :: ")[2], ())


_PLAIN = re.compile(r"""[A-Za-z0-9\s.,:+/*"'()-]*""").fullmatch


@lru_cache(maxsize=4096)
def reading_of_name(name: str) -> Reading:
    """Return what a name may mean that is no SPDX expression."""
    if not _PLAIN(name):  # what is passed over when words are compared could say something
        return ()
    name, _, short = name.strip().removesuffix(")").partition("(")
    reading = _reading(name)
    # What stands in brackets is its short name, or says more, and is not understood then.
    return reading if not short or _reading(short) == reading else ()


def _reading(name: str) -> Reading:
    words = _words(name)
    if found := _table().get(words):
        return found
    # An identifier that is spelled with spaces: "BSD 3-Clause", "MPL v2".
    spelled = spdx_licence("-".join(words)) or spdx_licence("-".join(_long(word) for word in words))
    return (spelled,) if spelled else ()


_VERSION = re.compile(r"\b(?:version|ver\.?)|v(?=\.?\s?\d)\.?")
_FILLING = frozenset({"the", "license", "licence", "licensed", "under"})


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name that tell it from others; versions in one spelling, ``2`` for ``v2.0``."""
    words = re.findall(r"[a-z0-9*]+(?:\.[0-9]+)*\+?", _VERSION.sub(" ", name.casefold()))
    return tuple(re.sub(r"^(\d+)\.0(\+?)$", r"\1\2", word) for word in words if word not in _FILLING)


def _long(word: str) -> str:
    return re.sub(r"^(\d+)(\+?)$", r"\1.0\2", word)


@cache
def _table() -> dict[tuple[str, ...], Reading]:
    """Return the readings by the words of the names; those of classifiers have a long and a short name."""
    table = {_words(name): reading for name, reading in {**dict(_gnu()), **_NAMES}.items()}
    for name, reading in _CLASSIFIERS.items():
        long, _, short = name.partition(" (")
        for one in (long, short.rstrip(")")) if short.endswith(")") else (long,):
            table.setdefault(_words(one), reading)
    return table


def _gnu() -> Iterator[tuple[str, Reading]]:
    for family, names in _GNU.items():
        for name in names:
            yield name, (f"{family}-*",)
            for version in _GNU_VERSIONS[family]:
                yield f"{name} {version}", (f"{family}-{version}-*",)
                yield f"{name} {version} only", (f"{family}-{version}-only",)
                yield f"{name} {version} or later", (f"{family}-{version}-or-later",)
                yield f"{name} {version}+", (f"{family}-{version}-or-later",)
