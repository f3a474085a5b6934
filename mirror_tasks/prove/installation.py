"""pip as a judge: what is installed and built for real, on the environments that this interpreter is of."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

from mirror_tasks.archives.virtual_environment import python_of
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import PIP
from mirror_tasks.config.model import Config, Root
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.prove.clients import constraint_arguments, index_of, requirement_lines, run_client
from mirror_tasks.prove.published import Published
from mirror_tasks.prove.verdicts import Verdict
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Solution, Solver


@dataclass(frozen=True)
class Installation:
    """Installs the roots of a configuration into virtual environments, and builds their sdists."""

    config: Config

    def by_installation(self) -> Iterator[Verdict]:
        """Install each root into a fresh virtual environment, on the environments that this interpreter is one of."""
        for environment in filter(is_here, self.config.environments):
            for root in self.config.resolved_on(environment):
                if requirement_lines(root, environment):
                    yield Verdict(
                        root.name,
                        environment.name,
                        "installation",
                        self._in_fresh_venv(self._install, root, environment),
                        installer=PIP.name,
                    )

    def by_building(self, *, all_of_them: bool) -> Iterator[Verdict]:
        """Build the sdists of the roots' own releases, with nothing but the mirror, on the environment this is.

        :param all_of_them: also where a wheel fits, and an installer would build only if told to.
        """
        universe = Published(self.config.output)
        for environment in filter(is_here, self.config.environments):
            here = environment.at(sys.version_info.micro, PIP)
            solver = Solver(here, universe, Rules(prereleases=self.config.prereleases))
            for root in self.config.resolved_on(environment):
                found = solver.solve(root)
                if isinstance(found, Solution) and (pins := _own_sdists(root, found, universe, all_of_them)):
                    reason = self._in_fresh_venv(self._build, pins)
                    yield Verdict(root.name, environment.name, "build", reason, installer=PIP.name)

    def _in_fresh_venv(self, work: Callable[..., str], *arguments: object) -> str:
        """Work in a virtual environment of its own; this environment's pip, where there is one, spares installing another."""
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            shared = find_spec("pip") is not None
            made = run_client([sys.executable, "-m", "venv", *(["--without-pip"] if shared else []), folder])
            python = str(python_of(Path(folder)))
            pip = [sys.executable, "-m", "pip", "--python", python] if shared else [python, "-m", "pip"]
            return made or work([*pip, "--isolated", "--disable-pip-version-check"], Path(folder), *arguments)

    def _install(self, pip: Sequence[str], folder: Path, root: Root, environment: Environment) -> str:
        listed = folder / "requirements.txt"
        listed.write_text("\n".join(requirement_lines(root, environment)), encoding="utf-8")
        constraints = constraint_arguments(root, folder)
        install = [
            *pip,
            "install",
            "--quiet",
            "--no-cache-dir",
            "--index-url",
            index_of(self.config.output),
            *constraints,
        ]
        return run_client([*install, "-r", str(listed)]) or run_client([*pip, "check"])

    def _build(self, pip: Sequence[str], folder: Path, pins: Sequence[str]) -> str:
        wheel = [*pip, "wheel", "--quiet", "--no-cache-dir", "--no-deps", "--index-url", index_of(self.config.output)]
        # The sdists of these projects; what building them requires may come as wheels.
        built = ",".join(pin.partition("==")[0] for pin in pins)
        return run_client([*wheel, "--no-binary", built, "-w", str(folder / "built"), *pins])


def _own_sdists(root: Root, found: Solution, universe: Published, all_of_them: bool) -> list[str]:
    names = dict.fromkeys(canonicalize_name(one.requirement.name) for one in root.requirements)
    pins = []
    for name in names:
        project = universe.project(name)
        version, taken = found.pins.get(name, ("", ""))
        if is_wheel(taken) and not all_of_them:
            continue
        files = (
            [file for one in project.versions if str(one) == version for file in project.files(one)] if project else []
        )
        if any(not is_wheel(file.filename) for file in files):
            pins.append(f"{name}=={version}")
    return pins


def is_here(environment: Environment) -> bool:
    """Say if an environment is one that this interpreter is of: its Python and its kind of platform."""
    if environment.python.release[:2] != sys.version_info[:2]:
        return False
    here = next(sys_tags())
    return environment.tag_rank(str(here)) is not None or environment.tags[0] in set(sys_tags())
