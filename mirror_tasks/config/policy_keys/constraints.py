"""The key ``constraints``: files of constraints, in pip's format, that hold for the whole mirror."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mirror_tasks.config.blocks import show
from mirror_tasks.config.model import Root
from mirror_tasks.config.policy import Constraint, Policy
from mirror_tasks.config.policy_keys.source import Source
from mirror_tasks.config.requirement_files import read_constraints, relative


def read_constraint_files(source: Source) -> tuple[Constraint, ...]:
    """Return the constraints of one file's policy."""
    value = source.block.get("constraints")
    if value is None:
        return ()
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(one, str) and one.strip() for one in names):
        problem = f"expected a file of constraints such as company.txt, or a list of them, found {show(value)}"
        source.block.fault("constraints", problem)
        return ()
    found = [one for name in dict.fromkeys(names) for one in _lines_of(source, str(name).strip())]
    return tuple({(str(one.requirement), one.where): one for one in found}.values())


def _lines_of(source: Source, name: str) -> Iterator[Constraint]:
    path = Path(os.path.normpath(source.folder / os.path.expanduser(name)))  # noqa: PTH111 (Path raises without a home)
    shown = name if source.folder == source.base else relative(path, source.base)
    lines = read_constraints(path, shown, source.base)
    source.line_faults.extend(lines.faults)
    if not lines.constraints and not lines.faults:
        source.block.fault("constraints", f"expected constraints in {shown}, found none")
    return map(Constraint, lines.constraints, lines.places)


def bind(roots: Sequence[Root], policy: Policy | None) -> tuple[Root, ...]:
    """Return roots that are bound as by a constraint file that an installer is given, by what no single file can be judged by.

    That is: constraints with a marker, and those that let in what is passed over otherwise: a release that is yanked, where
    ``==`` names it, or a pre-release. A lock is bound by nothing: what is in it and refused is a fault.
    """
    binding = tuple(_binding(policy)) if policy else ()
    if not binding:
        return tuple(roots)
    return tuple(root if root.lock else replace(root, constraints=(*root.constraints, *binding)) for root in roots)


def _binding(policy: Policy) -> Iterator[Requirement]:
    waivers = [one.projects for one in policy.exceptions if one.rule == "constraints" and one.projects]
    for one in policy.constraints:
        name = canonicalize_name(one.requirement.name)
        if _lets_in(one.requirement.specifier) and not any(projects.meets_name(name) for projects in waivers):
            yield one.requirement
    yield from (one.requirement for one in policy.marked)


def _lets_in(specifier: SpecifierSet) -> bool:
    """Say if a specifier lets in what is passed over otherwise."""
    pins = (one.operator in ("==", "===") and not one.version.endswith(".*") for one in specifier)
    return any(pins) or bool(specifier.prereleases)
