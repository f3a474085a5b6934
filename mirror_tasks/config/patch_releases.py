"""Sets of the patch releases of one minor version of Python, those to come too; each set is a number.

Bit N stands for patch release N, and the last bit for all that are later than any ever named. Sets are joined by ``|``
and ``&``, and what holds for all of them alike is compared with :data:`ALL_PATCHES`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from packaging.version import Version

from mirror_tasks.config.installers import Installer, python_check
from mirror_tasks.config.markers import holds

MOST_PATCHES = 1001
"""How many patch releases are told apart: one more than any text names, and all later ones are as the last."""

ALL_PATCHES = (1 << MOST_PATCHES) - 1


def patches_where_it_holds(ends: tuple[Mapping[str, str], ...], marker: str, extra: str, installer: Installer) -> int:
    """Return the set of patch releases on which a marker holds, as an installer judges it.

    :param ends: the values of the markers on the first and on the last of them; once for an exact Python, a set of one.
    """
    if len(ends) == 1 or not sees_the_patch(marker):
        alike = 1 if len(ends) == 1 else ALL_PATCHES
        return alike if holds(marker, {**ends[0], "extra": extra}, installer) else 0
    return _set_of(
        lambda patch: holds(marker, {**markers_at(ends, patch), "extra": extra}, installer),
        _named_patches(marker, Version(ends[0]["python_full_version"])),
    )


@functools.lru_cache(maxsize=1 << 14)
def patches_allowed(python: Version, is_range: bool, installer: Installer, requires_python: str) -> int:
    """Return the set of patch releases that a Requires-Python allows, as an installer takes it.

    :param is_range: all of the minor version are asked about; else this one alone, a set of one.
    """
    is_allowed = python_check(requires_python, installer)
    if is_allowed is None:
        return 0
    if not is_range:
        return int(is_allowed(python))
    return _set_of(
        lambda patch: is_allowed(Version(f"{python.major}.{python.minor}.{patch}")),
        _named_patches(requires_python, python),
    )


def sees_the_patch(marker: str) -> bool:
    """Say if a marker may differ between the patch releases of a Python."""
    return "python_full_version" in marker or "implementation_version" in marker


def markers_at(ends: tuple[Mapping[str, str], ...], patch: int) -> Mapping[str, str]:
    """Return the values of the markers on one patch release: those that differ between the ends are Python's version."""
    low, high = ends
    python = f"{low['python_version']}.{patch}"
    return MappingProxyType({key: value if value == high[key] else python for key, value in low.items()})


def _named_patches(text: str, python: Version) -> set[int]:
    """Return the patch releases of a Python that a text names: with three digits, which none has come near."""
    named = re.findall(rf"(?<![\d.])0*{python.major}\.0*{python.minor}\.0*(\d{{1,3}})(?!\d)", text)
    return {int(patch) for patch in named}


def _set_of(holds_at: Callable[[int], bool], named: set[int]) -> int:
    """Return the set of patch releases for which something holds.

    It is asked only where the answer can change: at each patch release that is named, and at the one behind it. ``3.11``
    alone names 3.11.0.
    """
    starts = sorted(one for one in {0, 1, *named, *(patch + 1 for patch in named)} if one < MOST_PATCHES)
    found = 0
    for start, end in zip(starts, (*starts[1:], MOST_PATCHES), strict=True):
        if holds_at(start):
            found |= (1 << end) - (1 << start)
    return found


def turns(patches: int) -> set[int]:
    """Return the patch releases that are in a set while the one before is not, or the other way round."""
    changed = (patches ^ (patches << 1)) & ALL_PATCHES & ~1
    found = set()
    while changed:
        found.add(changed.bit_length() - 1)
        changed ^= 1 << (changed.bit_length() - 1)
    return found
