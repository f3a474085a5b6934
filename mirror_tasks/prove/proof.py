"""The proof: every root, on every environment, from the finished mirror directory alone.

Nothing is read but what clients will read: the published pages, the published core metadata, the sdists. Each pair is
judged by the solver of this project, as each installer decides; and by judges of their own: uv, where it knows the
platform, and pip, where this interpreter is of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import INSTALLERS, PIP, UV, Installer
from mirror_tasks.config.model import Config, Root
from mirror_tasks.prove.installation import Installation
from mirror_tasks.prove.lock_installation import LockInstallation
from mirror_tasks.prove.locks import LockProof
from mirror_tasks.prove.published import Published
from mirror_tasks.prove.uv import Uv
from mirror_tasks.prove.verdicts import Verdict, by_python
from mirror_tasks.resolve.points import Met
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Conflict, Solution, Solver

Answers = Mapping[Installer, "Solution | Conflict"]
"""What the solver finds for one root on one patch release, by the installers for which it was asked."""


@dataclass(frozen=True)
class Proof:
    """What is to be proven.

    :param client: the path of uv; without it, uv does not judge.
    """

    config: Config
    client: str | None

    def by_solver(self) -> Iterator[Verdict]:
        """Judge each pair with the solver of this project: for all installers at once where they decide alike."""
        for environment in self.config.environments:
            for root in self.config.resolved_on(environment):
                answers = {patch: found[root.name] for patch, found in self._answers[environment.name].items()}
                for judge, installer in _judges(answers):
                    yield self._verdict(root, environment, judge, installer, answers)

    def _verdict(
        self,
        root: Root,
        environment: Environment,
        judge: str,
        installer: Installer | None,
        answers: Mapping[int, Answers],
    ) -> Verdict:
        reasons = {
            str(environment.at(patch).python): _reason(found.get(installer or PIP, found[PIP]))
            for patch, found in answers.items()
        }
        name = installer.name if installer else ""
        return Verdict(root.name, environment.name, judge, by_python(reasons), tuple(reasons), name)

    @cached_property
    def _answers(self) -> Mapping[str, Mapping[int, Mapping[str, Answers]]]:
        """What the solver finds by environment, patch release and root. What is met on the way tells of further patches."""
        met = Met(self.config.roots)
        universe = Published(self.config.output, met)
        answers: dict[str, dict[int, Mapping[str, Answers]]] = {}
        for environment in self.config.environments:
            found = answers[environment.name] = {}
            while new := [patch for patch in met.patches(environment) if patch not in found]:
                found[new[0]] = self._answers_on(environment, new[0], universe)
            answers[environment.name] = dict(sorted(found.items()))
        return answers

    def _answers_on(self, environment: Environment, patch: int, universe: Published) -> Mapping[str, Answers]:
        rules = Rules(prereleases=self.config.prereleases)
        solvers = {one: Solver(environment.at(patch, one), universe, rules) for one in INSTALLERS}
        answers: dict[str, Answers] = {}
        for root in self.config.resolved_on(environment):
            found = solvers[PIP].solve(root)
            asked = INSTALLERS if solvers[PIP].others_may_differ(root, found) else ()
            others = {one: solvers[one].solve(root) for one in asked if one is not PIP}
            answers[root.name] = {PIP: found, **others}
        return answers

    def by_lock(self) -> Iterator[Verdict]:
        """Judge each lock on the environments that it is for."""
        yield from LockProof(self.config, Published(self.config.output)).verdicts()

    def by_client(self) -> Iterator[Verdict]:
        """Judge each pair with uv, on each Python that the solver was asked on."""
        if self.client:
            pythons = {
                one.name: tuple(str(one.at(patch).python) for patch in self._answers[one.name])
                for one in self.config.environments
            }
            yield from Uv(self.config, self.client, pythons).verdicts()

    def by_installation(self) -> Iterator[Verdict]:
        """Install each root into a fresh virtual environment, on the environments that this interpreter is one of."""
        yield from Installation(self.config).by_installation()
        yield from LockInstallation(self.config).verdicts()

    def by_building(self, *, all_of_them: bool) -> Iterator[Verdict]:
        """Build the sdists of the roots' own releases; see :meth:`Installation.by_building`."""
        yield from Installation(self.config).by_building(all_of_them=all_of_them)


def _judges(answers: Mapping[int, Answers]) -> tuple[tuple[str, Installer | None], ...]:
    """Return the names of the verdicts on a root: one, or one for each installer where they decide differently."""
    if any(UV in found and any(isinstance(one, Solution) for one in found.values()) for found in answers.values()):
        return tuple((f"solver-as-{one}", one) for one in INSTALLERS)
    return (("solver", None),)


def _reason(found: Solution | Conflict) -> str:
    return "" if isinstance(found, Solution) else "\n".join(found.lines)
