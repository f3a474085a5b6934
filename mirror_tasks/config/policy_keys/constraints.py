"""The key ``constraints``: files of constraints, in pip's format, that hold for the whole mirror."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mirror_tasks.config.blocks import show
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Root
from mirror_tasks.config.policy import Constraint, Policy
from mirror_tasks.config.policy_keys.source import Source
from mirror_tasks.config.requirement_files import read_constraints
from mirror_tasks.errors import Fault

_HASHED = "hashes of a policy's constraints are not looked at; leave them out, and have them in a file of requirements"


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
    lines = read_constraints(path, name, source.folder)
    hashed = (Fault(one.where, _HASHED) for one in lines.hashed)
    source.line_faults.extend(Fault(_placed(source, one.key_path), one.problem) for one in (*lines.faults, *hashed))
    if not lines.constraints and not lines.faults:
        source.block.fault("constraints", f"expected constraints in {name}, found none")
    places = (_placed(source, where) for where in lines.places)
    return map(Constraint, lines.constraints, places)


def _placed(source: Source, where: str) -> str:
    """Return the place of a line as seen from ``mirror.yaml``: what a shared file names lies beside that."""
    return posixpath.join(posixpath.dirname(source.file), where)


def bind(roots: Sequence[Root], policy: Policy | None, environments: Sequence[Environment]) -> tuple[Root, ...]:
    """Return the roots with those constraints of the policy that can't be judged file by file.

    They bind as a constraint file does that an installer is given. They are those that let in what is passed over otherwise
    (a yanked release that ``==`` names, or a pre-release), and those with a marker that holds in a part of an environment
    only. All others refuse files. A lock is not bound: a file in it that is refused is a fault.
    """
    binding = tuple(_binding(policy, environments)) if policy else ()
    if not binding:
        return tuple(roots)
    # One tuple for all that have no constraints of their own: what it binds is then found out once.
    return tuple(
        root if root.lock else replace(root, constraints=(*root.constraints, *binding) if root.constraints else binding)
        for root in roots
    )


def _binding(policy: Policy, environments: Sequence[Environment]) -> Iterator[Requirement]:
    waivers = [one.projects for one in policy.exceptions if one.rule == "constraints" and one.projects]
    for requirement in (one.requirement for one in policy.constraints):
        name = canonicalize_name(requirement.name)
        if any(projects.meets_name(name) for projects in waivers):
            continue
        if _lets_in(requirement.specifier) or any(_applies_in_part(requirement, one) for one in environments):
            yield requirement


def _applies_in_part(requirement: Requirement, environment: Environment) -> bool:
    marker = requirement.marker
    return environment.marker_applies(marker) and not environment.marker_always_applies(marker)


def _lets_in(specifier: SpecifierSet) -> bool:
    """Say if a specifier lets in what is passed over otherwise."""
    pins = (one.operator in ("==", "===") and not one.version.endswith(".*") for one in specifier)
    return any(pins) or bool(specifier.prereleases)
