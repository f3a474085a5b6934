"""uv as a judge: an independent client that resolves for other platforms than this machine's, where it knows them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.installers import UV
from mirror_tasks.config.model import Config, Root
from mirror_tasks.prove.clients import constraint_arguments, index_of, requirement_lines, run_client
from mirror_tasks.prove.verdicts import Verdict, by_python


@dataclass(frozen=True)
class Uv:
    """Judges the roots of a configuration.

    :param client: the path of uv.
    :param pythons: the full versions to judge on, by environment.
    """

    config: Config
    client: str
    pythons: Mapping[str, tuple[str, ...]]

    def verdicts(self) -> Iterator[Verdict]:
        """Judge each pair of root and environment; pairs on platforms that uv does not know are left out.

        They share a cache, which begins empty: asking an interpreter what it is takes two thirds of a small answer.
        """
        pairs = [
            (root, environment)
            for environment in self.config.environments
            for root in self.config.resolved_on(environment)
            if uv_platform(environment) and requirement_lines(root, environment)
        ]
        with (
            tempfile.TemporaryDirectory(prefix="prove-") as cache,
            ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool,
        ):
            yield from pool.map(lambda pair: self._verdict(cache, *pair), pairs)

    def _verdict(self, cache: str, root: Root, environment: Environment) -> Verdict:
        pythons = self.pythons[environment.name]
        reasons = {python: self._ask(cache, python, root, environment) for python in pythons}
        return Verdict(root.name, environment.name, "uv", by_python(reasons), pythons, UV.name)

    def _ask(self, cache: str, python: str, root: Root, environment: Environment) -> str:
        with tempfile.TemporaryDirectory(prefix="prove-") as folder:
            command = [
                self.client, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-config", "--cache-dir",
                cache, "--no-python-downloads", "--python", sys.executable, "--python-version", python,
                "--python-platform", str(uv_platform(environment)), "--default-index", index_of(self.config.output),
                *constraint_arguments(root, Path(folder)), "-",
            ]  # fmt: skip
            if self.config.prereleases:
                command.insert(3, "--prerelease=allow")
            lines = requirement_lines(root, environment)
            return run_client(command, "\n".join(lines), macos_target(environment))


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
