"""What the end-to-end tests share: a folder with ``mirror.yaml`` and ``dodo.py``, an index to mirror, real doit runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

import mirror_tasks
from tests.fake_index import FakeIndex
from tests.launching import PATIENCE, Launcher
from tests.making import sdist, wheel
from tests.ports import reserved_port

REPOSITORY = Path(mirror_tasks.__file__).resolve().parent.parent
DODO = "from mirror_tasks import pipeline\n\nglobals().update(pipeline())\n"
# What is tried again at once needs no test that sleeps.
IMPATIENT = "from mirror_tasks.index import failures\n\nfailures.LONGEST_WAIT = 0.01\n"
# A dodo.py that writes down which tasks a run has made.
NAMING = """
from mirror_tasks.tasks.reporter import Reporter

class Naming(Reporter):
    def get_status(self, task):
        with open("tasks.txt", "a") as names:
            print(task.name, file=names)

DOIT_CONFIG["reporter"] = Naming
"""
FORMS = ("index.html", "index.v1_html", "index.v1_json")

Files = Mapping[str, Sequence[tuple[str, bytes]]]

ENVIRONMENTS = {
    "server": {"python": "3.12", "platform": "linux-x86_64", "glibc": "2.28"},
    "laptop": {"python": "3.11.7", "platform": "windows-amd64"},
}
LINUX, WINDOWS = "cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-win_amd64"


def small_world() -> dict[str, list[tuple[str, bytes]]]:
    """Projects that have all the ways to be chosen: a chain, an extra, wheels by environment, an sdist alone."""
    return {
        "app": [
            wheel("app", "1.0", requires=["lib-core>=1"], extras={"fast": ["speed"]}),
            sdist("app", "1.0", requires=["lib-core>=1"], extras={"fast": ["speed"]}),
        ],
        "lib-core": [
            wheel("lib.core", "1.0"),
            wheel("lib.core", "1.1", requires_python=">=3.8"),
            sdist("lib.core", "1.1"),
        ],
        "speed": [wheel("speed", "2.0", LINUX), wheel("speed", "2.0", WINDOWS)],
        "sourced": [sdist("sourced", "0.5", "zip")],
        "alone": [wheel("alone", "3.0", files={"alone_data.bin": bytes(range(256)) * 400})],
    }


ROOTS = ("app[fast]", "sourced", "alone")
# What the mirror of the small world has.
MIRRORED = {
    "alone": ["alone-3.0-py3-none-any.whl"],
    "app": ["app-1.0-py3-none-any.whl", "app-1.0.tar.gz"],
    "lib-core": ["lib_core-1.1-py3-none-any.whl", "lib_core-1.1.tar.gz"],
    "sourced": ["sourced-0.5.zip"],
    "speed": [f"speed-2.0-{WINDOWS}.whl", f"speed-2.0-{LINUX}.whl"],
}


def clean_environment(**settings: str) -> dict[str, str]:
    """Return this process's environment variables without what could lead a run elsewhere."""
    foreign = ("PIP_", "UV_", "MIRROR_", "DOIT_", "PYTHON")
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and name.lower() not in proxies
    }
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "COLUMNS": "200", **settings}


@dataclass
class MirrorFolder:
    """A folder in which doit runs."""

    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "mirror"

    @property
    def state(self) -> Path:
        return self.folder / ".mirror"

    def configure(self, index: object, name: str = "mirror.yaml", **settings: Any) -> None:
        """Write ``mirror.yaml``; what is not given is as for the small world. Keys have ``_`` for ``-``."""
        settings = {key.replace("_", "-"): value for key, value in settings.items()}
        config = {"index": index, "environments": ENVIRONMENTS, "requirements": list(ROOTS), **settings}
        (self.folder / name).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def doit(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run doit to its end, in a process of its own; ``settings`` are environment variables."""
        launcher().start(self.folder, *arguments, **settings)
        return launcher().wait()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start doit; the caller waits for it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        return subprocess.Popen(command(*arguments), cwd=self.folder, env=run_environment({}), **pipes)

    def mirrored(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``doit mirror``, which has to end well."""
        done = self.doit("mirror", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "doit", *arguments]


def run_environment(settings: Mapping[str, str]) -> dict[str, str]:
    return clean_environment(PYTHONPATH=str(REPOSITORY), PYTHONDONTWRITEBYTECODE="1", **settings)


def doit(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run doit in ``folder`` as a user would, without the settings of this machine's installers."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=run_environment(env or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def mirror_folder(folder: Path, index: FakeIndex | None, dodo: str = IMPATIENT + DODO, **settings: Any) -> MirrorFolder:
    """Make a folder with the two-line dodo.py, and a mirror.yaml that points at ``index``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dodo.py").write_text(dodo, encoding="utf-8")
    made = MirrorFolder(folder)
    if index is not None:
        made.configure(index.url, **settings)
    return made


@dataclass(frozen=True)
class Example:
    """A mirror of the small world that was made once, for tests that each begin with a copy of it.

    :ivar port: where an index of :func:`small_world` has to be for a copy to come from there.
    """

    project: MirrorFolder
    port: int

    def copy(self, folder: Path) -> MirrorFolder:
        """Return a copy; to a run it is the mirror that it made last."""
        shutil.copytree(self.project.folder, folder, copy_function=shutil.copy2)
        return MirrorFolder(folder)


@contextlib.contextmanager
def example_mirror(folder: Path) -> Iterator[Example]:
    """Make a mirror of the small world below ``folder``; its index is gone then, and its port is kept for others."""
    with reserved_port() as port:
        with FakeIndex(small_world(), port=port) as index:
            project = mirror_folder(folder / "project", index)
            project.mirrored()
        yield Example(project, port)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below ``folder`` with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    """Return the time of last change of every file below ``folder``, in nanoseconds."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def asked(index: FakeIndex, kind: str = "/files/") -> dict[str, int]:
    """Return how often each file (or with ``/simple/`` each page) was asked for."""
    return {path: count for path, count in sorted(index.requests.items()) if path.startswith(kind)}


def packages(output: Path) -> dict[str, list[str]]:
    """Return the files of each project, without the core metadata beside them."""
    found: dict[str, list[str]] = {}
    for path in sorted((output / "packages").glob("*/*")):
        if not path.name.endswith(".metadata"):
            found.setdefault(path.parent.name, []).append(path.name)
    return found


def assert_valid(output: Path) -> None:
    """Assert that every page names only files that are there, whole, in both formats alike."""
    for page in (output / "simple").glob("*/index.v1_json"):
        for entry in json.loads(page.read_bytes())["files"]:
            content = (page.parent / unquote(entry["url"])).resolve().read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["hashes"]["sha256"], entry["filename"]
            assert entry["filename"] in (page.parent / "index.html").read_text(encoding="utf-8")
            metadata = entry.get("core-metadata")
            if metadata:
                beside = (page.parent / f"{unquote(entry['url'])}.metadata").resolve().read_bytes()
                assert hashlib.sha256(beside).hexdigest() == metadata["sha256"], entry["filename"]


def assert_whole(output: Path) -> None:
    """Assert that SHA256SUMS names every file of the mirror but itself, and that it is right."""
    lines = (output / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {line[66:]: line[:64] for line in lines}
    there = tree(output)
    del there["SHA256SUMS"]
    assert sums == {path: hashlib.sha256(content).hexdigest() for path, content in there.items()}


# It has imported all of this project, and found out what is the same for all runs: what is installed, what pages are made by,
# and what reading a mirror.yaml compiles. A run ends without what Python does at its end, which takes long after such imports.
PREPARATION = """
import contextlib, functools, importlib, multiprocessing.popen_fork, os, pathlib, pkgutil, sys, traceback
import doit.doit_cmd, doit.plugin, requests.utils, rich.console, rich.live, rich.markup, rich.progress, rich.table
import rich._emoji_codes
import mirror_tasks

for module in pkgutil.walk_packages(mirror_tasks.__path__, "mirror_tasks."):
    with contextlib.suppress(ImportError):  # of an extra that is not installed
        importlib.import_module(module.name)

from mirror_tasks.config import mirror_yaml
from mirror_tasks.publish import pages

doit.plugin.entry_points = functools.cache(doit.plugin.entry_points)
for category in ("BACKEND", "COMMAND", "LOADER", "REPORTER"):
    doit.plugin.entry_points(group=f"doit.{category}")
pages.made_by = functools.cache(pages.made_by)
pages.made_by()
mirror_yaml.load(pathlib.Path(sys.argv[1]))

def run(arguments):
    code, *arguments = arguments
    sys.argv = ["doit", *arguments]
    status = 1
    try:
        if code:
            exec(code, {"__name__": "__main__"})
            status = 0
        else:
            status = doit.doit_cmd.DoitMain().run(arguments) or 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
"""


class DoitLauncher(Launcher):
    """Starts doit runs, or other code of this project, one at a time, each in a process of its own."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            example = MirrorFolder(Path(folder))
            example.configure("https://index.example.com/simple/")
            super().__init__(PREPARATION, str(example.folder / "mirror.yaml"), environment=run_environment({}))

    def start(self, folder: Path, *arguments: str, **settings: str) -> int:
        """Start a run; return its process id. ``settings`` are environment variables."""
        return self.begin(folder, ["", *arguments], settings=settings)

    def start_code(self, code: str, *arguments: str) -> int:
        """Start a process that has imported this project, and executes ``code`` as ``python -c`` would; return its id."""
        return self.begin(REPOSITORY, [code, *arguments])


@functools.cache
def launcher() -> DoitLauncher:
    """Return the launcher of this test process, started when it is first needed."""
    return DoitLauncher()
