"""What a run says of the plan that it made: what was refused and why, what is not there, what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from packaging.utils import canonicalize_name
from packaging.version import Version

from mirror_tasks.config.model import Config
from mirror_tasks.config.own_sources import names_of
from mirror_tasks.config.policy import Policy
from mirror_tasks.errors import ResolutionError
from mirror_tasks.index.project import Project
from mirror_tasks.policy.advisories import Advisories
from mirror_tasks.report.built_wheels import misfits
from mirror_tasks.resolve.outcome import Asker
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.text import counted, total

_MOST_LINES = 10  # of what could not be decided


def before(config: Config, plan: Plan, page: Callable[[str], Project | None]) -> Iterator[str]:
    """Yield what is to be known whatever the plan has: exceptions, locks that are odd, own wheels that fit nowhere.

    :param page: gives a project as its page was last seen.
    """
    if config.policy is not None:
        yield from config.policy.warnings
        yield from _exceptions_that_nothing_needs(config.policy, plan)
    locks = ((root.name, root.lock) for root in config.roots if root.lock is not None)
    yield from (f"{name}: {lock.warning}" for name, lock in locks if lock.warning)
    yield from misfits(config, plan, page)


def _exceptions_that_nothing_needs(policy: Policy, plan: Plan) -> Iterator[str]:
    """Those of a shared file are not told here: another mirror may need them."""
    needed = {one.where for one in plan.waived}
    for one in policy.own_exceptions:
        if one.where not in needed and plan.is_complete:
            yield f"{one.where}: nothing needs this exception any more: {one.rule} for {one.shown}"


def unchecked(config: Config, plan: Plan, advisories: Advisories | None) -> Iterator[str]:
    """Yield how many releases no advisories are known of: that nobody knows of a release does not make it clean."""
    if advisories is None:
        return
    own = names_of(config.own)
    asked = [one for one in plan.releases if one.project not in own]
    names = [
        one.name for one in asked if advisories.of_release(canonicalize_name(one.project), Version(one.version)) is None
    ]
    if names and len(names) == len(asked):
        yield (
            "advisories: the index knows of none of the releases, so that NONE WAS CHECKED; "
            "name a dump under policy.advisories.from"
        )
    elif names:
        more = f" and {len(names) - 5} more" if names[5:] else ""
        yield f"advisories: not checked, since the index does not know of it: {', '.join(names[:5])}{more}"


def unmet(config: Config, plan: Plan) -> Iterator[str]:
    """Yield which roots have no solution, or for one installer only, and which wishes are not met."""
    for one in plan.unsolved:
        yield f"NO SOLUTION: {one.root} on {one.environment}; only the rest is mirrored"
    for root, name, installer in dict.fromkeys((one.root, one.environment, one.installer) for one in plan.one_sided):
        yield f"{installer} can't install {root} on {name}, from the index neither; `doit plan` says why"
    for name in dict.fromkeys(one.root for one in plan.unmet_wishes):
        where = ", ".join(dict.fromkeys(one.environment for one in plan.unmet_wishes if one.root == name))
        if any(root.own for root in config.roots if root.name == name):
            yield f"left out on {where}: {name}, by Requires-Python; `doit plan` says which"
        else:
            yield f"wish not met: {name} on {where}; `doit wanted` says why"


def summary(plan: Plan) -> str:
    """Return the line that says how much it is."""
    projects, releases = counted(len(plan.by_project), "project"), counted(len(plan.releases), "release")
    return f"resolved: {projects}, {releases}, {counted(len(plan.files), 'file')}, {total(file.size for file in plan.files)}"


def incomplete(plan: Plan) -> list[str]:
    """Return what the end of a run repeats: what could not be decided, and which roots have no solution."""
    return [*_undecided(plan), *(f"NO SOLUTION: {one.root} on {one.environment}" for one in plan.unsolved)]


def _undecided(plan: Plan) -> list[str]:
    """Say what could not be decided, a requirement a line, the first of them; `doit plan` has all."""
    found: dict[tuple[str, tuple[Asker, ...]], list[str]] = {}
    for gap in plan.gaps:
        if gap.undecided:
            found.setdefault((gap.requirement, gap.by), []).append(gap.environment)
    lines = [
        f"incomplete: {requirement}, required by {', '.join(map(str, by[:5]))}, on {', '.join(dict.fromkeys(environments))}"
        for (requirement, by), environments in found.items()
    ]
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], f"incomplete: {more} more, which `doit plan` lists"] if more > 0 else lines


def check_roots(config: Config, plan: Plan) -> None:
    """Fail where a requirement of mirror.yaml can't be installed; everything else is mirrored all the same.

    :raises ResolutionError: as said.
    """
    if not plan.unsolved:
        return
    lines = "".join(
        f"\n  {one.root} on {one.environment}:" + "".join(f"\n    {line}" for line in one.lines)
        for one in plan.unsolved
    )
    raise ResolutionError(
        "resolving",
        str(config.path),
        f"expected releases that can be installed together for each requirement, found none for:{lines}",
        f"{_advice(config, plan)}; all the rest is there.",
    )


def _advice(config: Config, plan: Plan) -> str:
    advice = "Change the requirement, or add a marker for the environments that need it"
    locks = {root.name for root in config.roots if root.lock is not None}
    if locks.intersection(one.root for one in plan.unsolved):
        advice = f"{advice}; lock anew what is not upstream as it was locked"
    if config.policy is not None:
        advice = f"{advice}; where the policy stands in the way, who answers for it may make an exception"
    return advice
