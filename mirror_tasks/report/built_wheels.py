"""The wheels that were built here from git, and the environments that they don't fit: what serves these, or what would."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mirror_tasks.archives.requirements import project_of
from mirror_tasks.config.model import Config
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.selection import check_tags

_ADVICE = (
    "build wheels on such machines, and list the folder of all of them ({wheels: FOLDER}) in place of the repository"
)


def misfits(config: Config, plan: Plan, page: Callable[[str], Project | None]) -> Iterator[str]:
    """Yield a line for each wheel built from git that some environment can't use which the project is wanted for.

    :param page: gives a project as its page was last seen.
    """
    if config.wheels == "none":
        return
    for name in (own.name for own in config.own if own.git):
        project = page(name)
        for file in project.all_files() if project else ():
            if is_wheel(file.filename):
                yield from _misfits_of(file, name, config, plan)


def _misfits_of(file: File, name: str, config: Config, plan: Plan) -> Iterator[str]:
    served = {environment for release in plan.releases_of(name) for environment in release.installs}
    lacking = {gap.environment for gap in plan.gaps if project_of(gap.requirement) == name}
    refusing = [one.name for one in config.environments if check_tags(file, one)]
    what = f"{name}: {file.filename}, built on this machine, does not fit"
    if found := [one for one in refusing if one in served]:
        yield f"{what} {', '.join(found)}: the sdist is mirrored for that, and built inside. Else {_ADVICE}"
    if config.sdists == "never" and (found := [one for one in refusing if one in lacking - served]):
        yield f"{what} {', '.join(found)}, and sdists: never keeps the sdist out. Set sdists: fallback, or {_ADVICE}"
