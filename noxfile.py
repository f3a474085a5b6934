"""The checks of this project, a session each: `nox` runs those that a change has to pass, `nox -l` lists all.

`.ci/run` calls those with the tag `ci`. Python interpreters are those of this machine; none is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox

OLDEST_LINE = (3, 10)
SYSTEM = Path("/usr/bin/python3")

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.sessions = ["lint", "types", "tests", "lowest"]

Version = tuple[int, int, int]


def candidates() -> Iterator[Path]:
    """Yield what may be an interpreter: Debian's own, those on the path, and pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/*/bin/python"))
    for folder in ["/usr/bin", *os.environ.get("PATH", "").split(os.pathsep)]:
        names = sorted(Path(folder).glob("python3*")) if folder else []
        yield from (path for path in names if re.fullmatch(r"python3(\.\d+)?", path.name))


def version_of(path: Path) -> Version | None:
    """Return an interpreter's version; None for what does not answer, as a shim that leads nowhere."""
    code = "import sys; print(*sys.version_info[:3], sys.version_info.releaselevel)"
    try:
        done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, timeout=20, check=False)
        major, minor, micro, level = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return (int(major), int(minor), int(micro)) if level == "final" else None


def interpreters() -> list[nox.param]:
    """Return the oldest and the newest patch release of every supported line that this machine has, oldest first.

    Both ends, since the standard library changes between them: `TarFile.extractall` has `filter` from 3.11.4 on only.
    Those with the tag `ci` are the system's own and the newest of all. The oldest has it in the session `lowest`, and the
    README's test command, which `.ci/run` runs last, takes one more: what differs between two Pythons differs between
    these, and a change waits for four runs, not for seven.
    """
    found: dict[Version, str] = {}
    for path in candidates():
        version = version_of(path)
        if version is not None and version[:2] >= OLDEST_LINE:
            found.setdefault(version, str(path))
    lines: dict[tuple[int, int], list[Version]] = {}
    for version in sorted(found):
        lines.setdefault(version[:2], []).append(version)
    ends = list(dict.fromkeys(end for versions in lines.values() for end in (versions[0], versions[-1])))
    in_ci = {*ends[-1:], version_of(SYSTEM)}
    return [
        nox.param(found[version], id=".".join(map(str, version)), tags=["ci"] if version in in_ci else [])
        for version in ends
    ]


PYTHONS = interpreters()


def with_tests(session: nox.Session, *arguments: str, extras: str = "test") -> None:
    """Install this project with all that its tests use; pip too, the newest, which is what they ask for its settings."""
    session.install("--quiet", "pip")
    session.install("--quiet", *arguments, "-e", f".[{extras}]")


@nox.session(tags=["ci"])
def lint(session: nox.Session) -> None:
    """Style, and the order of imports."""
    with_tests(session, extras="test,lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session(tags=["ci"])
def types(session: nox.Session) -> None:
    """Types, strictly."""
    with_tests(session, extras="test,lint")
    session.run("mypy")


@nox.session
@nox.parametrize("python", PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, on the oldest and the newest patch release of every supported line of Python."""
    with_tests(session)
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(venv_backend="uv", python=PYTHONS[0].args[0], tags=["ci"])
def lowest(session: nox.Session) -> None:
    """The tests, with the lowest versions of the dependencies that pyproject.toml allows."""
    with_tests(session, "--resolution", "lowest-direct")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(tags=["ci"])
def clients(session: nox.Session) -> None:
    """The tests with what the test extra does not install: browsers, web servers, other projects' clients, every Python."""
    with_tests(session)
    session.run("python", "-m", "pytest", "-q", "-m", "clients", *session.posargs)


@nox.session(tags=["ci"])
def real_index(session: nox.Session) -> None:
    """The tests on the real index: whatever pip uses on this machine."""
    with_tests(session)
    session.install("--quiet", "-e", ".[attestations]")
    session.run("python", "-m", "pytest", "-q", "-m", "real_index", *session.posargs)


@nox.session
def thorough(session: nox.Session) -> None:
    """The tests that make up their own examples, with thirty times as many, others each time; and more kills of a run."""
    with_tests(session)
    thorough = ["--hypothesis-profile", "thorough", "--dist", "worksteal", *session.posargs]
    session.run("python", "-m", "pytest", "-q", "-m", "hypothesis", *thorough)
    session.run(
        "python", "-m", "pytest", "-q", *thorough, "tests/test_killed.py", "tests/test_search.py", "tests/test_state.py"
    )


@nox.session
def picture(session: nox.Session) -> None:
    """Draw the picture of imports in CONTRIBUTING.md anew from the code."""
    with_tests(session)
    session.run("python", "-m", "tests.picture")


@nox.session
def coverage(session: nox.Session) -> None:
    """How much of the code the tests run, branch by branch, in all the processes that they start."""
    with_tests(session)
    session.install("--quiet", "coverage[toml]>=7.10")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", "-m", "not real_index", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", "--skip-covered")


@nox.session
def mutation(session: nox.Session) -> None:
    """Whether the tests notice faults that are put into the code: `-- TARGET ...` for some of it (docs/mutation.md)."""
    with_tests(session)
    session.run("python", "tests/mutation.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build wheel and sdist, check them, and try the wheel in an empty environment; upload nothing."""
    session.install("--quiet", "build>=1.2", "twine>=6")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    (wheel,) = (path.resolve() for path in Path("dist").glob("*.whl"))
    example = Path(session.create_tmp())
    for name in ("dodo.py", "mirror.yaml"):
        shutil.copy(name, example)
    session.install("--quiet", "--force-reinstall", str(wheel), "pip")
    session.chdir(example)
    session.run("doit", "mirror")
    session.run("python", "mirror/server.py", "--check")
