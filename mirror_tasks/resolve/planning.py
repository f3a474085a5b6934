"""How a plan is made of a whole closure, and of what completed it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter

from packaging.utils import NormalizedName
from packaging.version import Version

from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.completion import Completion
from mirror_tasks.resolve.demands import Chosen, specifier_of
from mirror_tasks.resolve.outcome import Asker, Unsolved
from mirror_tasks.resolve.plan import Gap, PassedOver, Plan, PlannedFile, PlannedRelease, Required
from mirror_tasks.resolve.reasons import skipped_of
from mirror_tasks.resolve.selection import python_warning
from mirror_tasks.resolve.waived import waived_in


def make_plan(
    closure: Closure, completion: Completion | None = None, excused: Collection[tuple[str, str]] = ()
) -> Plan:
    """Turn a whole closure, and what completed it, into the plan.

    :param excused: roots, each with an environment on which it may have no solution: that leaves the plan complete.
    """
    unsolved = [*(completion.unsolved if completion else ()), *_faulty_locks(closure)]
    unsolved.sort(key=attrgetter("root", "environment", "lines"))
    required = _required(closure)
    by_release: dict[tuple[NormalizedName, Version], dict[str, Chosen]] = defaultdict(dict)
    for (name, version, environment), chosen in closure.chosen.items():
        by_release[(name, version)][environment] = chosen
    files: list[PlannedFile] = []
    releases: list[PlannedRelease] = []
    for (name, version), chosen_by in sorted(by_release.items()):
        files_by = {environment: closure.files_of(chosen) for environment, chosen in chosen_by.items()}
        files += _planned_files(name, version, files_by)
        included = {filename: file for some in files_by.values() for filename, file in some.items()}
        releases.append(_planned_release(closure, name, version, chosen_by, included, required[(name, version)]))
    return Plan(
        environments=tuple(one.to_json() for one in closure.environments.values()),
        releases=tuple(releases),
        files=tuple(sorted(files, key=attrgetter("project", "filename"))),
        gaps=_gaps(closure),
        unknown_extras=tuple(sorted(f"{name}[{extra}]" for name, extra in closure.unknown_extras)),
        completed=tuple(sorted(completion.completed, key=attrgetter("root", "environment", "reason")))
        if completion
        else (),
        unsolved=tuple(one for one in unsolved if (one.root, one.environment) not in excused),
        unmet_wishes=tuple(one for one in unsolved if (one.root, one.environment) in excused),
        one_sided=tuple(sorted(completion.one_sided, key=attrgetter("root", "environment", "installer", "lines")))
        if completion
        else (),
        statuses=_statuses(closure, {name for name, _ in by_release}),
        passed_over=_passed_over(closure),
        waived=waived_in(
            files, closure.rules.permission, closure.metadata, closure.environments, partial(_index_of, closure)
        ),
    )


def _index_of(closure: Closure, file: PlannedFile) -> str:
    project = closure.projects.get(file.project)
    return project.index_of(file.filename) if isinstance(project, Project) else ""


def _faulty_locks(closure: Closure) -> Iterable[Unsolved]:
    """Return the locks that are not there to the letter, and what is not, by environment."""
    return (
        Unsolved(environment, lock, tuple(sorted(faults)))
        for (lock, environment), faults in closure.lock_faults.items()
    )


def _required(closure: Closure) -> Mapping[tuple[str, Version], Sequence[Required]]:
    found: dict[tuple[str, Version], set[Required]] = defaultdict(set)
    for demand, versions in closure.releases.items():
        reasons = {
            Required(demand.environment, demand.with_specifier(asked.specifier), asker, asked.bound)
            for asker, asked in closure.asked[demand].items()
        }
        for version in versions:
            found[(demand.project, version)] |= reasons
    return defaultdict(list, {key: sorted(values, key=_in_order) for key, values in found.items()})


def _in_order(one: Required) -> tuple[str, ...]:
    return (one.environment, one.requirement, str(one.by), one.by.kind, one.bound)


def _planned_files(name: str, version: Version, files_by: Mapping[str, Mapping[str, File]]) -> Iterable[PlannedFile]:
    environments: dict[str, set[str]] = defaultdict(set)
    files: dict[str, File] = {}
    for environment, some in files_by.items():
        for filename, file in some.items():
            environments[filename].add(environment)
            files[filename] = file
    for filename, file in files.items():
        yield PlannedFile(file, name, str(version), tuple(sorted(environments[filename])))


def _planned_release(
    closure: Closure,
    name: str,
    version: Version,
    chosen_by: Mapping[str, Chosen],
    included: Mapping[str, File],
    required: Sequence[Required],
) -> PlannedRelease:
    project = closure.projects[name]
    assert isinstance(project, Project), "a release was chosen from its project's page"
    left_out = {
        file.filename: _why_left_out(closure, project, version, file, chosen_by)
        for file in project.files(version)
        if file.filename not in included
    }
    left_out.update(skipped_of(project).get(version, {}))
    installs = {environment: chosen.installs.filename for environment, chosen in sorted(chosen_by.items())}
    warnings = {filename: text for filename, file in sorted(included.items()) if (text := _warning(closure, file))}
    return PlannedRelease(name, str(version), installs, tuple(required), dict(sorted(left_out.items())), warnings)


def _warning(closure: Closure, file: File) -> str | None:
    metadata = closure.weighed_metadata(file.filename)
    return python_warning(file.requires_python, metadata.requires_python if metadata else None)


def _why_left_out(
    closure: Closure, project: Project, version: Version, file: File, chosen_by: Mapping[str, Chosen]
) -> str:
    reasons: dict[str, list[str]] = defaultdict(list)
    for environment, chosen in sorted(chosen_by.items()):
        refused = closure.refusals.of_file(project, version, file, closure.environments[environment])
        reasons[refused or _why_not_chosen(closure, file, chosen)].append(environment)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def _why_not_chosen(closure: Closure, file: File, chosen: Chosen) -> str:
    if chosen.by_locks_alone:
        return "the lock does not name it"
    if is_wheel(file.filename):
        return f"wheels: best takes {chosen.installs.filename}"
    if closure.rules.sdists == "fallback" and is_wheel(chosen.installs.filename):
        return "sdists: fallback, and a wheel fits"
    return "another sdist of this release is taken"


def _gaps(closure: Closure) -> tuple[Gap, ...]:
    gaps = [
        Gap(
            one.environment,
            one.requirement,
            tuple(sorted(set().union(*asking), key=_by_name)),
            one.reason,
            one.undecided,
        )
        for one, asking in closure.unsatisfied.items()
    ]
    return tuple(sorted(gaps, key=attrgetter("requirement", "environment", "reason")))


def _by_name(asker: Asker) -> tuple[str, str]:
    return (str(asker), asker.kind)


def _passed_over(closure: Closure) -> tuple[PassedOver, ...]:
    found: dict[tuple[str, Version, str, str], set[str]] = defaultdict(set)
    for demand, taken in closure.releases.items():
        project = closure.projects[demand.project]
        environment = closure.environments[demand.environment]
        if not taken or not isinstance(project, Project):
            continue
        specifier = specifier_of(demand)
        refused = closure.refusals.passed_over(project, specifier, taken, environment, demand.hashes)
        contradicting = (
            (one, why, "") for one, why in closure.contradicting.get(demand, {}).items() if one > min(taken)
        )
        for version, reason, rule in (*refused, *contradicting):
            if (demand.project, version, environment.name) not in closure.chosen:
                found[(demand.project, version, reason, rule)].add(environment.name)
    return tuple(
        PassedOver(name, str(version), tuple(sorted(names)), reason, rule)
        for (name, version, reason, rule), names in sorted(found.items())
    )


def _statuses(closure: Closure, names: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name in sorted(names):
        project = closure.projects[name]
        if isinstance(project, Project) and project.status not in (None, "active"):
            found[name] = (str(project.status), project.status_reason or "")
    return found
