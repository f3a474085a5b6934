"""A private index of a well-known kind, which wants to know who asks, and a public one: each serves its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.fake_index import FakeIndex
from tests.making import sdist, wheel
from tests.mirroring import assert_valid, assert_whole, mirror_folder, packages
from tests.ports import reserved_port
from tests.server_fixtures import PATIENCE, wait_until

pytestmark = pytest.mark.clients

USER, PASSWORD = "me", "hunter+2"
OURS = {
    "ours-core": [wheel("ours_core", "1.0", requires=["other>=1"]), sdist("ours_core", "1.0", requires=["other>=1"])],
    "ours-local": [wheel("ours_local", "2.0+team.1")],
}


def tool(name: str) -> str:
    """Return the command of a tool, or skip the test by its name."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uploads")
    for files in OURS.values():
        for filename, content in files:
            (folder / filename).write_bytes(content)
    return folder


@contextlib.contextmanager
def running(folder: Path, command: list[str], url: str, settings: Mapping[str, str]) -> Iterator[None]:
    """Run a server until what it serves at ``url`` is there, or it asks who wants to know."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **settings}
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment)
        try:
            assert wait_until(lambda: answers(url) or process.poll() is not None, 60)
            assert process.poll() is None, (folder / "output").read_text()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False
    return True


@contextlib.contextmanager
def pypiserver(folder: Path, uploads: Path, *options: str) -> Iterator[str]:
    """Run pypiserver, which lets nobody in without the password; yield its index."""
    program = tool("pypi-server")
    password = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "htpasswd").write_text(f"{USER}:{{SHA}}{password}\n")
    access = ["-P", str(folder / "htpasswd"), "-a", "list,download,update"]
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}/simple/"
        command = [program, "run", "-i", "127.0.0.1", "-p", str(port), *access, *options, str(uploads)]
        with running(folder, command, url, {}):
            yield url


# devpi shows its pages to everybody, and its files to whom a plugin names.
PLUGIN = f"""
from pluggy import HookimplMarker

@HookimplMarker("devpiserver")
def devpiserver_stage_get_principals_for_pkg_read(ixconfig):
    return [{USER!r}]
"""


@contextlib.contextmanager
def devpi(folder: Path, uploads: Path) -> Iterator[str]:
    """Run devpi, filled by its own client, which gives files to one user alone; yield its index."""
    if "TRY_DEVPI" not in os.environ:
        pytest.skip("devpi takes half a minute to begin; set TRY_DEVPI=1 to try it")
    programs = {name: tool(name) for name in ("devpi-init", "devpi-server", "devpi")}
    (folder / "plugin" / "private_files-1.dist-info").mkdir(parents=True)
    (folder / "plugin" / "private_files.py").write_text(PLUGIN)
    about = folder / "plugin" / "private_files-1.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: private-files\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[devpi_server]\nprivate = private_files\n")
    settings = {"PYTHONPATH": str(folder / "plugin"), "PYTHONWARNINGS": "ignore"}

    def run(name: str, *arguments: str) -> None:
        environment = {**os.environ, **settings, "HOME": str(folder), "DEVPI_CLIENTDIR": str(folder / "client")}
        done = subprocess.run(
            [programs[name], *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)

    run("devpi-init", "--serverdir", str(folder / "server"), "--no-root-pypi", "--root-passwd", "root")
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}"
        serve = ["--serverdir", str(folder / "server"), "--host", "127.0.0.1", "--port", str(port)]
        with running(folder, [programs["devpi-server"], *serve], f"{url}/+api", settings):
            run("devpi", "use", url)
            run("devpi", "login", "root", "--password=root")
            run("devpi", "user", "-c", USER, f"password={PASSWORD}")
            run("devpi", "login", USER, f"--password={PASSWORD}")
            run("devpi", "index", "-c", "prod", "bases=", "volatile=False")
            run("devpi", "use", f"{USER}/prod")
            run("devpi", "upload", *map(str, sorted(uploads.iterdir())))
            yield f"{url}/{USER}/prod/+simple/"


@pytest.fixture
def public() -> Iterator[FakeIndex]:
    """An index on which somebody took our names, with higher versions."""
    world = {name: [wheel(name, "99.0")] for name in (*OURS, "ours-typo")}
    with FakeIndex({**world, "other": [wheel("other", "1.0")]}) as index:
        yield index


@pytest.mark.parametrize("kind", [pypiserver, devpi], ids=["pypiserver", "devpi"])
def test_a_private_index_serves_its_own_to_who_has_the_password_and_the_public_one_the_rest(
    tmp_path: Path, uploads: Path, public: FakeIndex, kind: object
) -> None:
    serve = pypiserver if kind is pypiserver else devpi
    (tmp_path / "private").mkdir()
    project = mirror_folder(tmp_path / "mirror", None)
    options = ("--disable-fallback",) if serve is pypiserver else ()
    with serve(tmp_path / "private", uploads, *options) as url:
        private = {"url": url.replace("//", "//me:${OURS_PASSWORD}@"), "projects": ["ours-*"], "name": "private"}
        project.configure([public.url, private], requirements=[*OURS, "other"])
        done = project.doit("mirror", OURS_PASSWORD="hunter%2B2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert packages(project.output) == {
            "other": ["other-1.0-py3-none-any.whl"],
            "ours-core": ["ours_core-1.0-py3-none-any.whl", "ours_core-1.0.tar.gz"],
            "ours-local": ["ours_local-2.0+team.1-py3-none-any.whl"],
        }
        assert_valid(project.output)
        assert_whole(project.output)
        assert {path for path in public.requests if path.startswith("/simple/")} == {"/simple/other/"}

        project.configure([public.url, private], requirements=["ours-typo"])
        typo = project.doit("mirror", OURS_PASSWORD="hunter%2B2")
        assert typo.returncode != 0
        assert "ours-typo: private has no such project, and ours-* under its projects binds it" in typo.stdout

        shutil.rmtree(project.state)
        shutil.rmtree(project.output)
        project.configure([public.url, private], requirements=["ours-core"])
        refused = project.doit("mirror", OURS_PASSWORD="wrong%2B2")
        assert refused.returncode != 0
        said = refused.stdout + refused.stderr
        assert "found status 40" in said  # 401, or for files of devpi 403
        assert "Traceback" not in said
        assert "wrong" not in said
        assert "hunter" not in said


def test_what_a_private_index_hands_on_is_not_taken(tmp_path: Path, uploads: Path, public: FakeIndex) -> None:
    (tmp_path / "private").mkdir()
    project = mirror_folder(tmp_path / "mirror", None)
    with pypiserver(tmp_path / "private", uploads, "--fallback-url", public.url) as url:
        private = {"url": url.replace("//", "//me:hunter%2B2@"), "projects": ["ours-*"], "name": "private"}
        project.configure([private, public.url], requirements=["ours-typo"])
        done = project.doit("mirror")
    assert done.returncode != 0
    assert "--disable-fallback" in done.stdout + done.stderr
    assert public.log == []
