"""Roots that need no solution on an environment: wishes of clients, and files of the user's own that are not for it."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.utils import canonicalize_name

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.model import Root
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.selection import check_python, refusal


def excused(roots: Iterable[Root], closure: Closure) -> frozenset[tuple[str, str]]:
    """Return the pairs of root and environment that may be without a solution: that is told, and nothing fails for it."""
    found: set[tuple[str, str]] = set()
    for root in roots:
        on = [one for one in closure.environments.values() if root.is_resolved_on(one)]
        unfit = [one for one in on if root.wished or (root.own and _is_not_for(root, one, closure))]
        # what the user brings along was meant for one of its environments: if it fits none, that is no excuse
        if root.wished or len(unfit) < len(on):
            found.update((root.name, one.name) for one in unfit)
    return frozenset(found)


def _is_not_for(root: Root, environment: Environment, closure: Closure) -> bool:
    """Say if the Requires-Python of each file of a project that fits by its name leaves an environment out."""
    project = closure.projects.get(canonicalize_name(root.requirements[0].requirement.name))
    if not isinstance(project, Project):
        return False
    fitting = [one for one in project.all_files() if refusal(one, environment, closure.rules, pinned=True) is None]
    known = [closure.metadata.get(one.filename) for one in fitting]
    return all(isinstance(one, CoreMetadata) and check_python(one.requires_python, environment) for one in known)
