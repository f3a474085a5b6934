"""Requirements in core metadata that name a URL: ``Requires-Dist: lib @ https://files.example.com/lib-1.2-py3-none-any.whl``.

No index can carry that. What installers do with it, from whichever index the release comes (tried with pip 26.3 and uv
0.13.9): pip asks the URL itself, also where a requirement or a constraint beside it says ``lib==1.2``, and looks at no older
release where it can't. uv refuses the release, whatever else there is, unless ``--override`` says ``lib==1.2``. So the
release that the name of the file says is mirrored, for those who install it by ``--override`` or ``--no-deps``; and no
solution may contain a release that requires a URL.
"""

from __future__ import annotations

from copy import copy

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mirror_tasks.config.own_folders import distribution_of
from mirror_tasks.config.own_urls import name_in_url
from mirror_tasks.text import redact

BY_URL = SpecifierSet("===url")
"""Stands for a URL where a specifier is asked for; no version satisfies it."""

WHY = (
    "it is required by a URL, which no index can carry: pip asks that URL itself, and uv refuses it; "
    "`uv pip install --override`, with a version, and `pip install --no-deps` do without"
)


def as_release(requirement: Requirement) -> Requirement | None:
    """Return a requirement of just the release that the file name in a URL tells; None where it tells none."""
    try:
        found = distribution_of(name_in_url(str(requirement.url)))
    except ValueError:
        return None
    if found.project != canonicalize_name(requirement.name):
        return None
    exact = copy(requirement)
    exact.url, exact.specifier = None, SpecifierSet(f"=={found.version}")
    return exact


def shown_with_reason(requirement: Requirement) -> tuple[str, str]:
    """Return a requirement by URL as it is shown, and why it is not met by what is mirrored for it."""
    exact = as_release(requirement)
    instead = f"; {exact.name}{exact.specifier} is mirrored for them, if there is one" if exact else ""
    return redact(str(requirement)), f"{WHY}{instead}"
