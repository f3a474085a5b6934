"""What ``doit wanted`` prints and does: the wishes of clients, reviewed before any of them is asked of an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.requirement_files import read_text
from mirror_tasks.config.wishes import (
    MOST_BYTES,
    Review,
    Wish,
    canonical,
    meant_by,
    read_review,
    read_wishes,
    review_path,
)
from mirror_tasks.errors import MirrorError, ResolutionError
from mirror_tasks.files import write_if_changed
from mirror_tasks.index.project import Project
from mirror_tasks.resolve.plan import Plan
from mirror_tasks.resolve.reasons import Refusals
from mirror_tasks.resolve.selection import Rules, files_to_mirror, fitting
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.tasks.console import new_console
from mirror_tasks.text import counted, readable
from mirror_tasks.work.project_pages import ProjectPages

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class WishList:
    """A list that the server wrote, and what was decided on it; ``strange`` are the lines that are no wishes."""

    path: Path
    wishes: tuple[Wish, ...]
    strange: tuple[int, ...]
    review: Review


def review(mirror: Mirror, pages: ProjectPages, accept: bool, drop: bool, names: Sequence[str]) -> None:
    """Decide on what is named, and show all wishes.

    :raises ResolutionError: there is no list, or a name means nothing in it.
    """
    lists = [read_list(path) for path in mirror.config.wanted]
    if not lists:
        raise _refusal(
            str(mirror.config.path),
            "expected a list of what clients asked for in vain under requirements, found none",
            "Add the file that `server.py --wanted` wrote:  - {wanted: wanted.txt}",
        )
    if (accept == drop and (accept or names)) or ((accept or drop) and not names):
        raise _refusal(
            " ".join(names) or "nothing",
            "expected either --accept or --drop, and what",
            "Try `doit wanted --accept numpy==1.24.0`, or `doit wanted` alone to see the wishes.",
        )
    asked = [_canonical(name) for name in names]
    if names:
        lists = [_decide(one, accept, asked) for one in _checked(lists, accept, asked)]
    Shown(mirror, pages, mirror.rules, new_console()).all_of(lists)


def read_list(path: Path) -> WishList:
    """Read a list and what was decided on it; either may not be there yet.

    :raises ResolutionError: one of them can't be read.
    """
    try:
        wishes, strange = read_wishes(read_text(path, MOST_BYTES)) if path.exists() else ((), ())
        decided = review_path(path)
        found = read_review(read_text(decided, MOST_BYTES)) if decided.exists() else Review()
    except ValueError as error:
        raise _refusal(str(path), str(error), "Carry it over again, or correct the line.") from None
    return WishList(path, wishes, strange, found)


def _refusal(subject: str, problem: str, advice: str) -> ResolutionError:
    return ResolutionError("reviewing", subject, problem, advice)


def _canonical(name: str) -> str:
    found = canonical(name)
    if found is None:
        raise _refusal(name, "expected a project or a requirement as the list has it", "Try `doit wanted` alone.")
    return found


def _checked(lists: Sequence[WishList], accept: bool, names: Sequence[str]) -> Sequence[WishList]:
    """Refuse before anything is written what no list has; only a project may be dropped before it is wished."""
    wishes = [wish for one in lists for wish in one.wishes]
    known = {requirement for one in lists for requirement in one.review.accepted}
    for name in names:
        may_be_new = not accept and (name in known or Requirement(name).name == name)
        if not may_be_new and not meant_by(name, wishes):
            raise _refusal(name, "expected a wish, found none of that name", "`doit wanted` alone shows them.")
    return lists


def _decide(one: WishList, accept: bool, names: Sequence[str]) -> WishList:
    decided = one.review
    for name in names:
        decided = decided.accepting(one.wishes, name) if accept else decided.dropping(name)
    write_if_changed(review_path(one.path), decided.write(one.path.name).encode())
    return WishList(one.path, one.wishes, one.strange, decided)


@dataclass(frozen=True, slots=True)
class Shown:
    """Shows wishes by what was decided on them."""

    mirror: Mirror
    pages: ProjectPages
    rules: Rules
    console: Console

    def all_of(self, lists: Sequence[WishList]) -> None:
        """Print all lists; the index is asked for what was accepted, and for nothing else."""
        plan = self.mirror.plans.last()
        for one in lists:
            by_decision: dict[str, list[Wish]] = {"new": [], "accepted": [], "dropped": []}
            for wish in one.wishes:
                by_decision[one.review.decision(wish)].append(wish)
            listed = {wish.requirement for wish in one.wishes}
            by_decision["accepted"] += [Wish(name) for name in sorted(one.review.accepted - listed)]
            self._print(f"{one.path.name}: {', '.join(f'{len(found)} {kind}' for kind, found in by_decision.items())}")
            for number in one.strange:
                self._print(f"! line {number} is no wish that server.py writes, and is passed over")
            self._new(by_decision["new"], plan)
            self._accepted(by_decision["accepted"])
            if by_decision["dropped"]:
                self._print(f"dropped: {', '.join(wish.requirement for wish in by_decision['dropped'])}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _new(self, wishes: Sequence[Wish], plan: Plan | None) -> None:
        if wishes:
            self._print("new; no index is asked for these before they are accepted:")
        for wish in sorted(wishes, key=lambda wish: (-wish.times, wish.requirement)):
            self._print(f"  {wish.requirement}{_asked(wish)}{_planned(wish, plan)}")
            self._told(wish)
        if wishes:
            self._print("decide with: doit wanted --accept NAME…   or: doit wanted --drop NAME…")

    def _accepted(self, wishes: Sequence[Wish]) -> None:
        if wishes:
            self._print("accepted; `doit plan` tells what comes with them, `doit mirror` brings it:")
        for wish in sorted(wishes, key=lambda wish: wish.requirement):
            self._print(f"  {wish.requirement}{_asked(wish)}")
            self._told(wish)
            for line in self._on_the_index(wish):
                self._print(f"    {line}")

    def _told(self, wish: Wish) -> None:
        for client in wish.clients:
            self._print(f"    by {client}{_environment_of(client, self.mirror.config.environments)}")
        if wish.files:
            self._print(f"    files: {', '.join(wish.files)}")

    def _on_the_index(self, wish: Wish) -> Iterator[str]:
        try:
            project = self.pages.fetch(wish.project)
        except MirrorError as error:
            yield f"could not be asked for: {error}"
            return
        if project is None:
            yield f"is not on the index, and is passed over; doit wanted --drop {wish.requirement}"
            return
        told: dict[str, list[str]] = {}
        for environment in self.mirror.config.environments:
            told.setdefault(self._would_come(project, wish, environment), []).append(environment.name)
        for what, names in told.items():
            yield f"{', '.join(names)}: {what}"

    def _would_come(self, project: Project, wish: Wish, environment: Environment) -> str:
        specifier = Requirement(wish.requirement).specifier
        found = next(fitting(project, specifier, environment, self.rules), None)
        if found is None:
            return f"nothing, {Refusals(self.rules).why_unsatisfied(project, specifier, environment)}"
        sizes = [file.size for file in files_to_mirror(found, self.rules)]
        size = "size unknown" if None in sizes else readable(sum(size or 0 for size in sizes))
        count = counted(len(sizes), "file")
        return f"{project.name} {found.version}, {count}, {size}"


def _asked(wish: Wish) -> str:
    times = "once" if wish.times == 1 else f"{wish.times} times"
    return f", asked for {times}" if wish.times else ""


def _planned(wish: Wish, plan: Plan | None) -> str:
    """Say where the plan has it by now: the list is older than the mirror that is made."""
    versions = {file.version for file in plan.by_project.get(wish.project, ())} if plan else set()
    version = wish.requirement.partition("==")[2]
    return " (is in the plan)" if (version in versions if version else versions) else ""


def _environment_of(client: str, environments: Sequence[Environment]) -> str:
    """Say which environment of ``mirror.yaml`` a client is of."""
    python, _, rest = client.partition(" on ")
    platform = rest.partition(" ")[0]
    if not platform:
        return ""
    names = [one.name for one in environments if (python, platform) in map(_client_of, one.markers)]
    return f": {', '.join(names)}" if names else ": no environment of mirror.yaml"


def _client_of(markers: Mapping[str, str]) -> tuple[str, str]:
    """Return the Python and the platform of an environment in the words of ``server.py``."""
    implementation = markers["platform_python_implementation"].replace("CPython", "Python")
    system = markers["platform_system"].lower().replace("darwin", "macos")
    return f"{implementation} {markers['python_version']}", f"{system}-{markers['platform_machine'].lower()}"
