"""``[[metadata.targets]]`` of a ``pdm.lock``: the environments that it was made for.

As pdm compares them: the Python has to be one that ``requires_python`` allows; the implementation, and the platform's system
and architecture, have to be the same where a target names them. Of the version of the system (``manylinux_2_28``) pdm only
warns, so that it decides nothing here: whether a wheel fits is seen on its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.poetry_constraints import Constraint, parse_constraint

_ALIASES = {
    "linux": ("manylinux", "x86_64"),
    "windows": ("windows", "x86_64"),
    "macos": ("macos", "aarch64"),
    "alpine": ("musllinux", "x86_64"),
}
_PLATFORM = re.compile(r"(manylinux|musllinux|macos)_\d+_\d+_(\w+)|([a-z]+)_(\w+)")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "x86", "i686": "x86"}
_SYSTEMS = {"win32": "windows", "darwin": "macos"}


@dataclass(frozen=True, slots=True)
class Target:
    """An environment that a lock was made for.

    :param text: it as messages show it.
    :param platform: system and architecture; None for any.
    :param implementation: its name, and if it has no global lock (``t`` in its tag); None for any.
    """

    text: str
    python: Constraint
    platform: tuple[str, str] | None
    implementation: tuple[str, bool] | None

    def covers(self, environment: Environment) -> bool:
        """Say if pdm installs in an environment, one patch release, what it locked for this target."""
        if not self.python.allows(environment.python):
            return False
        if self.implementation not in (None, _implementation(environment)):
            return False
        return self.platform is None or self.platform in _platforms(environment)


def targets_of(metadata: Table) -> tuple[Target, ...]:
    """Return the targets of a lock; none where it is older than they are.

    :raises ValueError: one is not as pdm writes it.
    """
    return tuple(map(_target, metadata.tables("targets")))


def _target(entry: Table) -> Target:
    python = entry.text("requires_python") or "*"
    try:
        constraint = parse_constraint(python)
    except ValueError:
        raise entry.fault("requires_python", "a specifier such as >=3.10", python) from None
    implementation = entry.text("implementation")
    named = [python, *(text for text in (entry.text("platform"), implementation) if text)]
    return Target(
        text=" ".join(named),
        python=constraint,
        platform=_platform(entry) if entry.text("platform") else None,
        implementation=(implementation, entry.flag("gil_disabled")) if implementation else None,
    )


def _platform(entry: Table) -> tuple[str, str]:
    text = entry.needed_text("platform")
    if text in _ALIASES:
        return _ALIASES[text]
    found = _PLATFORM.fullmatch(text)
    if found is None:
        raise entry.fault("platform", "a platform such as manylinux_2_28_x86_64", text)
    machine = found[2] or found[4]
    return found[1] or found[3], _MACHINES.get(machine, machine)


def _platforms(environment: Environment) -> set[tuple[str, str]]:
    """Return what an environment may be called; which C library a Linux has is seen in the tags of its wheels."""
    markers = environment.markers[0]
    machine = markers["platform_machine"].lower()
    system = _SYSTEMS.get(markers["sys_platform"])
    kinds = {re.split(r"\d|_", tag.platform)[0] for tag in environment.tags}
    systems = {system} if system else {kind for kind in ("manylinux", "musllinux") if kind in kinds}
    return {(one, _MACHINES.get(machine, machine)) for one in systems}


def _implementation(environment: Environment) -> tuple[str, bool]:
    free_threaded = any(re.fullmatch(r"cp\d+t", tag.abi) for tag in environment.tags)
    return environment.markers[0]["implementation_name"], free_threaded


def check_covered(targets: Iterable[Target], environment: Environment) -> None:
    """Check that a lock was made for an environment.

    :raises ValueError: none of its targets covers it.
    """
    known = tuple(targets)
    if not known or any(target.covers(environment) for target in known):
        return
    markers = environment.markers[0]
    wanted = f"Python {environment.python} on {markers['sys_platform']} {markers['platform_machine']}"
    found = ", ".join(target.text for target in known)
    raise ValueError(
        f"metadata.targets: expected one that covers {wanted}, found {found}; "
        "lock for it too (`pdm lock --append --platform … --python …`), or give `environments:` to the lock"
    )
