"""Licences as SPDX names them: identifiers and expressions, each in one spelling, and what is wrong with a word that is neither.

``packaging.licenses`` says what an expression is (PEP 639) and which identifiers there are. It takes a fiftieth of a second to
import, and few configurations name licences, so it is imported where it is used.
"""

from __future__ import annotations

import re
from functools import lru_cache

from mirror_tasks.config.blocks import show

LONGEST = 2000  # characters of an expression: the longest in use name some thirty licences

_OLD = {f"{name}{version}" for name, versions in {
    "AGPL-": ("1.0", "3.0"), "GFDL-": ("1.1", "1.2", "1.3"), "GPL-": ("1.0", "2.0", "3.0"), "LGPL-": ("2.0", "2.1", "3.0"),
}.items() for version in versions}  # fmt: skip

NEWER = {
    **{name: f"{name}-only" for name in _OLD},
    **{f"{name}+": f"{name}-or-later" for name in _OLD},
    "GPL-2.0-with-autoconf-exception": "GPL-2.0-only WITH Autoconf-exception-2.0",
    "GPL-2.0-with-bison-exception": "GPL-2.0-only WITH Bison-exception-2.2",
    "GPL-2.0-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "GPL-2.0-with-font-exception": "GPL-2.0-only WITH Font-exception-2.0",
    "GPL-2.0-with-GCC-exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GPL-3.0-with-autoconf-exception": "GPL-3.0-only WITH Autoconf-exception-3.0",
    "GPL-3.0-with-GCC-exception": "GPL-3.0-only WITH GCC-exception-3.1",
    "BSD-2-Clause-FreeBSD": "BSD-2-Clause-Views",
    "BSD-2-Clause-NetBSD": "BSD-2-Clause",
    "bzip2-1.0.5": "bzip2-1.0.6",
    "eCos-2.0": "GPL-2.0-or-later WITH eCos-exception-2.0",
    "Nunit": "zlib-acknowledgement",
    "StandardML-NJ": "SMLNJ",
    "wxWindows": "LGPL-2.0-or-later WITH WxWindows-exception-3.1",
}
"""Identifiers that the SPDX licence list calls deprecated, and what is written instead. Net-SNMP has nothing in its place."""

_TOKEN = re.compile(r"[^\s()]+")


@lru_cache(maxsize=4096)
def spdx_expression(text: str) -> str | None:
    """Return an SPDX expression as SPDX spells it, deprecated identifiers by their newer names; None for what is none.

    >>> spdx_expression("apache-2.0 or gpl-2.0+")
    'Apache-2.0 OR GPL-2.0-or-later'
    """
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    if len(text) > LONGEST:
        return None
    try:
        spelled = canonicalize_license_expression(text)
        newer = _TOKEN.sub(lambda match: NEWER.get(match[0], match[0]), spelled)
        # What replaces an identifier may have a WITH of its own, to which no further one can be added.
        return canonicalize_license_expression(newer)
    except InvalidLicenseExpression:
        return None


def spdx_licence(text: str) -> str | None:
    """Return a single licence, with its exception if it has one, as :func:`spdx_expression` does; None for what is none.

    >>> spdx_licence("gpl-2.0-with-classpath-exception")
    'GPL-2.0-only WITH Classpath-exception-2.0'
    """
    found = spdx_expression(text)
    return None if found is None or _parts(found) else found


def spdx_fault(text: str) -> str | None:
    """Return what is wrong with an entry of ``allow``, which is one licence; None where :func:`spdx_licence` takes it."""
    found = spdx_expression(text)
    if found is None:
        return f"expected an SPDX licence identifier, found {show(text)}{_hint(text)}"
    if parts := _parts(found):
        return f"expected one licence, found {show(found)}; name each by itself: {', '.join(parts)}"
    return None


def _parts(expression: str) -> list[str]:
    """Return the licences of an expression that has several, or parentheses; nothing for a single one."""
    parts = re.split(r" (?:AND|OR) |[()]+", expression)
    return [] if len(parts) == 1 else sorted({part.strip() for part in parts if part.strip()})


_FAMILIES = {
    "agpl": ("AGPL-3.0-only", "AGPL-3.0-or-later"),
    "apache": ("Apache-2.0",),
    "bsd": ("BSD-2-Clause", "BSD-3-Clause"),
    "gpl": ("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"),
    "lgpl": ("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"),
    "mpl": ("MPL-1.1", "MPL-2.0"),
    "psf": ("PSF-2.0", "Python-2.0"),
}


def _hint(text: str) -> str:
    """Return "; did you mean …?": the members of a family, where one is named, else what is spelled most alike."""
    family = re.match(r"(?:gnu\s+)?([a-z]+?)(?:[\s_-]*(?:v|licen[cs]e|clause|[\d.])|$)", text.strip().lower())
    known = _FAMILIES.get(family[1] if family else "") or _alike(text)
    if not known:
        return "; one that SPDX has no name for is written LicenseRef- and a name of letters, digits, dots and dashes"
    return f"; did you mean {_one_of(known)}?"


def _one_of(names: tuple[str, ...]) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def _alike(text: str) -> tuple[str, ...]:
    """Return the identifier that is spelled most like a word, if one is."""
    import difflib

    from license_expression import get_license_index

    # The library that evaluates expressions has the list as data; packaging has it too, but does not hand it out.
    names = [str(entry.get("spdx_license_key") or "") for entry in get_license_index() if not entry["is_exception"]]
    known = {name.lower(): name for name in names if name and not name.startswith("LicenseRef-")}
    close = difflib.get_close_matches(text[:100].strip().lower(), known, n=1, cutoff=0.6)
    return tuple(known[name] for name in close)
