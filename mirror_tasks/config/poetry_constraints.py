"""Constraints as Poetry writes them, in ``poetry.lock`` and in the tables of ``[tool.poetry]``.

Beside what PEP 440 knows there are ``^1.2`` (up to the next version that may break), ``~1.2`` (up to the next minor
version), ``1.2`` alone for ``==1.2``, ``*`` for any, a space for the comma, and ``||`` between alternatives
(https://python-poetry.org/docs/dependency-specification/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from mirror_tasks.config.blocks import show

_ONE = re.compile(r"\s*(\^|~=|~|===|==|!=|>=|<=|>|<|=)?\s*((?:\d+!)?[^\s,|^~=!<>]+)\s*,?")
_ANY = re.compile(r"v?[xX*](\.[xX*])*").fullmatch


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which versions are allowed: those that any of the alternatives contains."""

    alternatives: tuple[SpecifierSet, ...]

    @classmethod
    def any(cls) -> Constraint:
        """Return the one that allows every version."""
        return cls((SpecifierSet(),))

    def allows(self, version: Version) -> bool:
        """Say if a version is allowed; a pre-release is as any other."""
        return any(one.contains(version, prereleases=True) for one in self.alternatives)

    @property
    def specifier(self) -> str:
        """It as one PEP 440 specifier; empty where any version is allowed, or where it takes several alternatives."""
        return str(self.alternatives[0]) if len(self.alternatives) == 1 else ""

    def as_marker(self) -> str:
        """Return it, a constraint on the Python, as a marker; empty where any is allowed.

        As Poetry does it, two numbers are compared with ``python_version``, three with ``python_full_version``.
        """
        parts = [" and ".join(_python_markers(one)) for one in self.alternatives]
        return "" if "" in parts else " or ".join(parts)


def _python_markers(specifiers: SpecifierSet) -> list[str]:
    texts = []
    for one in sorted(specifiers, key=str):
        exact = len(one.version.removesuffix(".*").split(".")) > 2
        texts.append(f'{"python_full_version" if exact else "python_version"} {one.operator} "{one.version}"')
    return texts


def parse_constraint(text: str) -> Constraint:
    """Return the constraint that ``text`` is.

    :raises ValueError: Poetry does not know it as one.
    """
    try:
        return Constraint(tuple(_alternative(part) for part in re.split(r"\|\|?", text)))
    except ValueError:  # InvalidSpecifier and InvalidVersion among them
        problem = f"expected a constraint such as ^1.2 or >=1.2,<2.0, found {show(text)}"
        raise ValueError(problem) from None


def _alternative(text: str) -> SpecifierSet:
    text, end, specifiers = text.strip(), 0, []
    while end < len(text):
        found = _ONE.match(text, end)
        if found is None:
            raise InvalidSpecifier(text)
        specifiers += _specifiers(found[1] or "", found[2])
        end = found.end()
    if not text:
        raise InvalidSpecifier(text)
    return SpecifierSet(",".join(specifiers))


def _specifiers(sign: str, text: str) -> list[str]:
    """Return what PEP 440 has for one comparison of Poetry's."""
    if not sign and _ANY(text):
        return []
    if sign == "^":
        return [f">={text}", f"<{_next_breaking(Version(text))}"]
    if sign == "~":
        return [f">={text}", f"<{_next(Version(text), 1 if len(Version(text).release) > 1 else 0)}"]
    text = text.removeprefix("v")
    if text.endswith(".*") and sign in (">=", "<=", ">", "<"):
        text = text.removesuffix(".*")  # PEP 440 does not allow it; so Poetry takes it
    return [f"{'==' if sign in ('', '=') else sign}{text}"]


def _next_breaking(version: Version) -> str:
    """Return the end of ``^``: the first number that is not zero is raised, or the last if all are."""
    release = version.release[:3]
    return _next(version, next((index for index, number in enumerate(release) if number), len(release) - 1))


def _next(version: Version, index: int) -> str:
    numbers = [*version.release[:index], version.release[index] + 1]
    return f"{version.epoch}!{'.'.join(map(str, numbers))}" if version.epoch else ".".join(map(str, numbers))
