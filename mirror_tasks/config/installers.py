"""The installers whose decisions are foreseen, and where they differ: pip and uv.

What either can install from the index has to install from the mirror. What is said of uv here was asked of uv 0.13.9;
tests ask the uv that is installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mirror_tasks.config.long_numbers import has_long_number


@dataclass(frozen=True, slots=True)
class Installer:
    """How an installer decides.

    :param any_pin_admits_yanked: a yanked release is taken where any requirement pins it, a dependency's too; else only
        where the user does, by a requirement or a constraint.
    :param repairs_specifiers: what breaks PEP 440 in a Requires-Python or a requirement is repaired where that can be,
        else the file is passed over. An installer that does not repair takes a file with such a Requires-Python, and
        passes one over with such a requirement.
    :param obeys_upper_bounds: of Requires-Python; else only its lowest version counts.
    :param compares_text: a marker that compares a version with what is no version compares text; else the comparison
        is left out of the marker.
    """

    name: str
    any_pin_admits_yanked: bool
    repairs_specifiers: bool
    obeys_upper_bounds: bool
    compares_text: bool

    def __str__(self) -> str:
        return self.name


PIP = Installer(
    "pip", any_pin_admits_yanked=True, repairs_specifiers=False, obeys_upper_bounds=True, compares_text=True
)
UV = Installer(
    "uv", any_pin_admits_yanked=False, repairs_specifiers=True, obeys_upper_bounds=False, compares_text=False
)
INSTALLERS = (PIP, UV)

Allows = Callable[[Version], bool]

# Of uv 0.13.9, in the order in which it tries them.
_REPAIRS = (
    (r"(\d)([<>=~^!])", r"\1,\2"),  # a comma is missing
    (r"!=~((?:\d\.)*\d)", r"!=\1.*"),
    (r"(<=|>=|<|>)(\s*\d+(?:\.\d+)*)\.\*", r"\1\2"),
    (r"(\d\.\d)+\*", r"\1.*"),  # a dot is missing
    (r">dev", ">0.0.0.dev0"),
    (r"['\"]([*\d<>=~!])|([*\d])['\"]", r"\1\2"),
)


@lru_cache(maxsize=16384)
def parse_specifier(text: str) -> SpecifierSet | None:
    """Return the parsed specifier, or None where PEP 440 does not allow it (``>=1.8.*``, ``>dev``), or Python can't read it."""
    if has_long_number(text):
        return None
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def python_check(requires_python: str, installer: Installer) -> Allows | None:
    """Return what says if a Python is allowed, as an installer takes a Requires-Python; None where it passes the file over."""
    specifier = parse_specifier(requires_python)
    if specifier is None and not installer.repairs_specifiers:
        return lambda _python: True
    if specifier is None:
        specifier = _repaired_specifier(requires_python)
    if specifier is None:
        return None
    if installer.obeys_upper_bounds:
        return lambda python: specifier.contains(python, prereleases=True)
    allowed = lowest_allowed(specifier)
    return lambda python: not allowed or any(lowest <= python for lowest in allowed)


def lowest_allowed(specifier: SpecifierSet) -> tuple[Version, ...]:
    """Return versions that a specifier allows, the lowest of them among these; none where it allows none.

    A set of versions begins at a version that it names, just behind one, or where a prefix ends (``!=3.12.*``).
    """
    starts = {Version("0")}
    for one in specifier:
        try:
            release = Version(one.version.removesuffix(".*")).release
        except InvalidVersion:  # of ===
            continue
        for numbers in (
            release,
            (*release, *(0 for _ in range(4 - len(release))), 1),
            (*release[:-1], release[-1] + 1),
        ):
            starts.add(Version(".".join(map(str, numbers))))
    return tuple(start for start in sorted(starts) if specifier.contains(start, prereleases=True))


def _repaired_specifier(text: str) -> SpecifierSet | None:
    return next((one for one in map(parse_specifier, _attempts(text)) if one is not None), None)


@lru_cache(maxsize=4096)
def repaired_requirement(text: str) -> str | None:
    """Return what uv makes of a requirement that breaks PEP 508; None where it can't read it. A marker is not repaired."""
    head, semicolon, marker = text.partition(";")
    for attempt in _attempts(head):
        try:
            return str(Requirement(f"{attempt}{semicolon}{marker}"))
        except InvalidRequirement:
            continue
    return None


def _attempts(text: str) -> Iterator[str]:
    for pattern, replacement in _REPAIRS:
        text = re.sub(pattern, replacement, text)
        yield text
