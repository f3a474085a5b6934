"""Where the installers differ: what one of them takes and another does not, as a policy for each.

What either can install from the index has to install from the mirror. A root is solved as pip does first; as uv does only
where that met something that the two judge differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet


@dataclass(frozen=True, slots=True)
class Installer:
    """How an installer decides.

    :param any_pin_admits_yanked: a yanked release is taken where any requirement pins it, a dependency's too; else only
        where the user does, by a requirement or a constraint.
    """

    name: str
    any_pin_admits_yanked: bool


PIP = Installer("pip", any_pin_admits_yanked=True)
UV = Installer("uv", any_pin_admits_yanked=False)

# Of uv 0.13.9, in the order in which it tries them; a test asks the uv that is installed.
_REPAIRS = (
    (r"(\d)([<>=~^!])", r"\1,\2"),  # a comma is missing
    (r"!=~((?:\d\.)*\d)", r"!=\1.*"),
    (r"(<=|>=|<|>)(\s*\d+(?:\.\d+)*)\.\*", r"\1\2"),
    (r"(\d\.\d)+\*", r"\1.*"),  # a dot is missing
    (r">dev", ">0.0.0.dev0"),
    (r"['\"]([*\d<>=~!])|([*\d])['\"]", r"\1\2"),
)


@lru_cache(maxsize=4096)
def repaired(requires_python: str) -> tuple[Specifier, ...] | None:
    """Return what uv makes of a Requires-Python that breaks PEP 440, without the upper bounds, which it does not look at.

    None where it can't read it: it then passes the file over.
    """
    for text in _attempts(requires_python):
        try:
            return tuple(one for one in SpecifierSet(text) if one.operator in (">=", ">", "==", "~=", "==="))
        except InvalidSpecifier:
            continue
    return None


def _attempts(text: str) -> Iterator[str]:
    for pattern, replacement in _REPAIRS:
        text = re.sub(pattern, replacement, text)
        yield text
