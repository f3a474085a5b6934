"""Where the installers differ: what one of them takes and another does not, as a policy for each.

What either can install from the index has to install from the mirror. A root is solved as pip does first; as uv does only
where that met something that the two judge differently.
"""

from __future__ import annotations

from dataclasses import dataclass


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
