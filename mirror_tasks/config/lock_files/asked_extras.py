"""Markers of locks that name extras of the project: what holds for any choice among those that were asked for.

Who locks ``extra == "cpu" and extra != "cuda"`` has extras that exclude each other; a mirror serves whichever is chosen
inside. So a comparison with ``!=`` excludes nothing: someone may choose without that extra.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from packaging.utils import canonicalize_name

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import Installer
from mirror_tasks.config.markers import holds

_EXTRA = re.compile(r'\bextra (==|!=) "([^"]*)"|"([^"]*)" (==|!=) extra\b')


def holds_for_any(marker: str, environment: Environment, extras: Collection[str], installer: Installer) -> bool:
    """Say if a marker holds for any choice among the extras.

    :param marker: as ``str(Marker(…))`` gives it, or empty, which holds.
    :param environment: one patch release of one Python.
    :param extras: those that were asked for, normalised.
    """
    if not marker:
        return True
    text = _judged(marker, frozenset(extras)) if "extra" in marker else marker
    return holds(text, {**environment.markers[0], "extra": "chosen"}, installer)


@lru_cache(maxsize=4096)
def _judged(marker: str, extras: frozenset[str]) -> str:
    """Put in for each comparison with an extra one that holds, or does not, where ``extra`` is "chosen"."""

    def judge(found: re.Match[str]) -> str:
        sign, name = found[1] or found[4], found[2] or found[3] or ""
        return f'extra == "{"chosen" if sign == "!=" or canonicalize_name(name) in extras else "left-out"}"'

    return _EXTRA.sub(judge, marker)
