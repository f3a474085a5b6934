"""The proof: every root, on every environment, from the finished mirror directory alone.

Nothing is read but what clients will read: the published pages, the published core metadata, the sdists. Each pair is
judged by the solver of this project, and by uv, an independent client, where it knows the platform.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from urllib.request import url2pathname

from packaging.tags import sys_tags
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.archives.core_metadata import CoreMetadata, parse_metadata, sdist_metadata, wheel_metadata
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import UV
from mirror_tasks.config.mirror_yaml import Config, Root
from mirror_tasks.errors import IntegrityError, MetadataError, ResolutionError
from mirror_tasks.files import fields_of, read_or_none, sha256_of_bytes
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import File, Project
from mirror_tasks.resolve.needs import Universe
from mirror_tasks.resolve.points import Met, Point
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.resolve.solver import Conflict, Solution, Solver

_Judged = Mapping[Point, Mapping[str, Solution | Conflict]]

_CLIENT_TIMEOUT = 600  # seconds; one resolution, or one installation


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says of one root on one environment; ``reason`` is empty where it can be installed.

    :param pythons: the full versions that it was judged on.
    """

    root: str
    environment: str
    judge: str
    reason: str
    pythons: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        """It can be installed."""
        return not self.reason


class Published:
    """The universe of a finished mirror directory."""

    def __init__(self, output: Path, met: Met | None = None) -> None:
        self.output = output
        self._met = met or Met(())
        self._projects: dict[NormalizedName, Project | None] = {}
        self._metadata: dict[str, CoreMetadata | None] = {}

    def project(self, name: NormalizedName) -> Project | None:
        """Return a project as its published page shows it."""
        if name not in self._projects:
            path = self.output / "simple" / name / "index.v1_json"
            body = read_or_none(path)
            project = None if body is None else parse_page(body, JSON_TYPE, path.as_uri(), name)
            self._projects[name] = project
            for file in project.all_files() if project else ():
                self._met.meet(file, None)
        return self._projects[name]

    def metadata(self, name: NormalizedName, file: File) -> CoreMetadata | None:
        """Return the published core metadata of a file; None where it can't be used.

        :raises IntegrityError: it is not what the page announces, which is fatal in every client.
        """
        if file.filename not in self._metadata:
            try:
                self._metadata[file.filename] = self._read(file)
            except MetadataError:
                self._metadata[file.filename] = None
            self._met.meet(file, self._metadata[file.filename])
        return self._metadata[file.filename]

    def _read(self, file: File) -> CoreMetadata:
        path = Path(url2pathname(file.url.removeprefix("file://")))
        if is_wheel(file.filename) and file.core_metadata is not None:
            content = read_or_none(path.with_name(f"{path.name}.metadata"))
            found = "nothing" if content is None else sha256_of_bytes(content)
            if content is None or found != file.core_metadata.get("sha256"):
                expected = f"expected {file.core_metadata.get('sha256')}, found {found}"
                raise IntegrityError("reading the core metadata of", str(path), expected, "Run `doit mirror` again.")
            return parse_metadata(content, file.filename)
        with path.open("rb") as archive:
            if is_wheel(file.filename):
                return parse_metadata(wheel_metadata(archive, file.filename), file.filename)
            return sdist_metadata(archive, file.filename)


@dataclass(frozen=True)
class Proof:
    """What is to be proven."""

    config: Config
    client: str | None

    def by_solver(self) -> Iterator[Verdict]:
        """Judge each pair with the solver of this project."""
        for environment in self.config.environments:
            found = self._judged[environment.name]
            pythons = _pythons(environment, found)
            for root in self.config.roots:
                of_root = {point: judged[root.name] for point, judged in found.items()}
                yield Verdict(root.name, environment.name, "solver", _why_not(environment, of_root), pythons)
                as_uv = {
                    point: one[root.name] for point, one in self._as_uv[environment.name].items() if root.name in one
                }
                if as_uv:  # pip takes what uv does not: the solver judges for uv as well
                    yield Verdict(root.name, environment.name, "solver-as-uv", _why_not(environment, as_uv), pythons)

    @property
    def _judged(self) -> Mapping[str, _Judged]:
        """What the solver found by environment."""
        return self._both_judged[0]

    @property
    def _as_uv(self) -> Mapping[str, _Judged]:
        """What it found as uv decides, where it takes what uv would not."""
        return self._both_judged[1]

    @cached_property
    def _both_judged(self) -> tuple[Mapping[str, _Judged], Mapping[str, _Judged]]:
        """Judge every root at every point. What is met on the way tells of further points."""
        met = Met(self.config.roots)
        universe = Published(self.config.output, met)
        rules = Rules(prereleases=self.config.prereleases)
        judged: dict[str, dict[Point, dict[str, Solution | Conflict]]] = {}
        as_uv: dict[str, dict[Point, dict[str, Solution | Conflict]]] = {}
        for environment in self.config.environments:
            found = judged[environment.name] = {}
            differing = as_uv[environment.name] = {}
            while new := [point for point in met.points(environment) if point not in found]:
                at = new[0].of(environment)
                found[new[0]], differing[new[0]] = _judge(at, universe, rules, self.config.roots)
        return judged, as_uv

    def by_client(self) -> Iterator[Verdict]:
        """Judge each pair with uv; pairs on platforms that it does not know are left out."""
        pairs = [
            (root, environment)
            for environment in self.config.environments
            for root in self.config.roots
            if self.client and uv_platform(environment) and _requirement_lines(root, environment)
        ]
        pythons = {one.name: _pythons(one, self._judged[one.name]) for _, one in pairs}
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            yield from pool.map(lambda pair: self._ask_client(pair[0], pair[1], pythons[pair[1].name]), pairs)

    def _ask_client(self, root: Root, environment: Environment, pythons: tuple[str, ...]) -> Verdict:
        """Ask uv on each Python that the solver was asked on."""
        reasons = {python: self._ask_client_on(python, root, environment) for python in pythons}
        return Verdict(root.name, environment.name, "uv", _by_python(reasons), pythons)

    def _ask_client_on(self, python: str, root: Root, environment: Environment) -> str:
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            command = [
                str(self.client), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config", "--no-cache",
                "--no-python-downloads", "--python", sys.executable, "--python-version", python,
                "--python-platform", str(uv_platform(environment)), "--default-index", self._index,
                *_constraint_arguments(root, Path(folder)), "-",
            ]  # fmt: skip
            if self.config.prereleases:
                command.insert(3, "--prerelease=allow")
            lines = _requirement_lines(root, environment)
            return run_client(command, "\n".join(lines), macos_target(environment))

    @property
    def _index(self) -> str:
        return (self.config.output / "simple").resolve().as_uri() + "/"

    def by_installation(self) -> Iterator[Verdict]:
        """Install each root into a fresh virtual environment, on the environments that this interpreter is one of."""
        for environment in filter(is_here, self.config.environments):
            for root in self.config.roots:
                if _requirement_lines(root, environment):
                    yield Verdict(
                        root.name,
                        environment.name,
                        "installation",
                        self._in_fresh_venv(self._install, root, environment),
                    )

    def by_building(self, *, all_of_them: bool) -> Iterator[Verdict]:
        """Build the sdists of the roots' own releases, with nothing but the mirror, on the environment this is.

        :param all_of_them: also where a wheel fits, and an installer would build only if told to.
        """
        universe = Published(self.config.output)
        for environment in filter(is_here, self.config.environments):
            here = environment.at(sys.version_info.micro)
            solver = Solver(here, universe, Rules(prereleases=self.config.prereleases))
            for root in self.config.roots:
                found = solver.solve(root)
                if isinstance(found, Solution) and (pins := _own_sdists(root, found, universe, all_of_them)):
                    yield Verdict(root.name, environment.name, "build", self._in_fresh_venv(self._build, pins))

    def _in_fresh_venv(self, work: Callable[..., str], *arguments: object) -> str:
        """Work in a virtual environment of its own; this environment's pip, where there is one, spares installing another."""
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            shared = find_spec("pip") is not None
            made = run_client([sys.executable, "-m", "venv", *(["--without-pip"] if shared else []), folder])
            python = str(Path(folder) / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
            pip = [sys.executable, "-m", "pip", "--python", python] if shared else [python, "-m", "pip"]
            return made or work([*pip, "--isolated", "--disable-pip-version-check"], Path(folder), *arguments)

    def _install(self, pip: Sequence[str], folder: Path, root: Root, environment: Environment) -> str:
        listed = folder / "requirements.txt"
        listed.write_text("\n".join(_requirement_lines(root, environment)), encoding="utf-8")
        constraints = _constraint_arguments(root, folder)
        install = [*pip, "install", "--quiet", "--no-cache-dir", "--index-url", self._index, *constraints]
        return run_client([*install, "-r", str(listed)]) or run_client([*pip, "check"])

    def _build(self, pip: Sequence[str], folder: Path, pins: Sequence[str]) -> str:
        wheel = [*pip, "wheel", "--quiet", "--no-cache-dir", "--no-deps", "--index-url", self._index]
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


def _judge(
    environment: Environment, universe: Universe, rules: Rules, roots: Iterable[Root]
) -> tuple[dict[str, Solution | Conflict], dict[str, Solution | Conflict]]:
    """Solve roots as pip does; and as uv does where that takes a yanked release which uv does not."""
    solver, uv = Solver(environment, universe, rules), Solver(environment, universe, rules, installer=UV)
    found = {root.name: (root, solver.solve(root)) for root in roots}
    as_uv = {
        name: uv.solve(root)
        for name, (root, one) in found.items()
        if isinstance(one, Solution) and solver.is_yanked_below(root, one)
    }
    return {name: one for name, (_, one) in found.items()}, as_uv


def _why_not(environment: Environment, found: Mapping[Point, Solution | Conflict]) -> str:
    """Return the conflicts on those Pythons on which no installer finds a solution."""
    by_python: dict[str, list[Solution | Conflict]] = {}
    for point, one in sorted(found.items(), key=itemgetter(0)):
        by_python.setdefault(str(point.of(environment).python), []).append(one)
    return _by_python(
        {
            python: "" if any(isinstance(one, Solution) for one in ones) else "\n".join(_lines(ones[0]))
            for python, ones in by_python.items()
        }
    )


def _pythons(environment: Environment, points: Iterable[Point]) -> tuple[str, ...]:
    """Return the full versions of the Pythons at points, each once, the lowest first."""
    return tuple(str(environment.at(patch).python) for patch in sorted({point.patch for point in points}))


def _lines(found: Solution | Conflict) -> tuple[str, ...]:
    return found.lines if isinstance(found, Conflict) else ()


def _by_python(reasons: Mapping[str, str]) -> str:
    """Return each reason once, with the Pythons that it was found on unless it was on all."""
    pythons: dict[str, list[str]] = {}
    for python, reason in reasons.items():
        if reason:
            pythons.setdefault(reason, []).append(python)
    return "\n".join(
        reason if len(where) == len(reasons) else f"on Python {', '.join(where)}:\n{reason}"
        for reason, where in pythons.items()
    )


def _requirement_lines(root: Root, environment: Environment) -> list[str]:
    return [str(one.requirement) for one in root.requirements if environment.wants(one.requirement.marker, ())]


def _constraint_arguments(root: Root, folder: Path) -> list[str]:
    if not root.constraints:
        return []
    path = folder / "constraints.txt"
    path.write_text("\n".join(map(str, root.constraints)), encoding="utf-8")
    return ["--constraint", str(path)]


def is_here(environment: Environment) -> bool:
    """Say if an environment is one that this interpreter is of: its Python and its kind of platform."""
    if environment.python.release[:2] != sys.version_info[:2]:
        return False
    here = next(sys_tags())
    return environment.tag_rank(str(here)) is not None or environment.tags[0] in set(sys_tags())


def find_client() -> str | None:
    """Return the path of uv: of this environment (the extra ``prove``), else on PATH; None where there is none."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def uv_platform(environment: Environment) -> str | None:
    """Return uv's name of the platform, from the environment's markers and tags; None for one it does not know."""
    markers = environment.markers[0]
    system, machine = markers["sys_platform"], markers["platform_machine"].lower()
    if markers["implementation_name"] != "cpython" or any("t" in tag.abi[-1:] for tag in environment.tags[:1]):
        return None  # uv judges for the plain CPython of that version
    if system == "linux":
        return _uv_linux(environment, machine)
    names = {
        ("win32", "amd64"): "x86_64-pc-windows-msvc",
        ("win32", "x86"): "i686-pc-windows-msvc",
        ("win32", "arm64"): "aarch64-pc-windows-msvc",
        ("darwin", "arm64"): "aarch64-apple-darwin",
        ("darwin", "x86_64"): "x86_64-apple-darwin",
    }
    return names.get((system, machine))


def _uv_linux(environment: Environment, machine: str) -> str | None:
    if machine not in {"x86_64", "aarch64"}:
        return None
    platforms = [tag.platform for tag in environment.tags]
    if any(platform.startswith("musllinux") for platform in platforms):
        return f"{machine}-unknown-linux-musl"
    newest = max((int(one.split("_")[2]) for one in platforms if one.startswith("manylinux_2_")), default=0)
    known = max((minor for minor in (17, 28, *range(31, 41)) if minor <= newest), default=None)
    return None if known is None else f"{machine}-manylinux_2_{known}"


def macos_target(environment: Environment) -> Mapping[str, str]:
    """Return the variable by which uv judges for a macOS other than its oldest."""
    kind, _, rest = environment.tags[0].platform.partition("_")
    return {"MACOSX_DEPLOYMENT_TARGET": ".".join(rest.split("_")[:2])} if kind == "macosx" else {}


def run_client(command: Sequence[str], text: str = "", settings: Mapping[str, str] | None = None) -> str:
    """Run a client with no settings of the user's; return what it says if it fails, else nothing."""
    plain = {
        key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "PYTHON", "VIRTUAL_ENV"))
    }
    plain |= {"PIP_CONFIG_FILE": os.devnull, **(settings or {})}
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, env=plain, timeout=_CLIENT_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_CLIENT_TIMEOUT} seconds"
    return (
        "" if done.returncode == 0 else (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")
    )


def as_json(verdicts: Sequence[Verdict]) -> list[Mapping[str, object]]:
    """Return the verdicts as ``prove.json`` has them, sorted."""
    ordered = sorted(verdicts, key=lambda one: (one.root, one.environment, one.judge))
    return [{**fields_of(one), "proven": one.proven} for one in ordered]


def check(verdicts: Sequence[Verdict], output: Path) -> None:
    """Refuse a mirror in which something was not proven.

    :raises ResolutionError: some root can't be installed on some environment; says which, and why.
    """
    failed = [one for one in verdicts if not one.proven]
    if failed:
        lines = "".join(
            f"\n  {one.root} on {one.environment} ({one.judge}):\n    " + one.reason.replace("\n", "\n    ")
            for one in failed
        )
        raise ResolutionError(
            "proving", str(output), f"expected every requirement to install, found {len(failed)} that do not:{lines}",
            "Run `doit mirror` if the mirror is not of today's mirror.yaml; `doit explain NAME` tells what is there and why.",
        )  # fmt: skip
