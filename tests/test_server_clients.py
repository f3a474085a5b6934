"""Real installers install from the served mirror, whichever Python runs the server."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import uv

from tests.interpreters import EACH, interpreter, python_of
from tests.pip import run_pip
from tests.server_fixtures import (
    PATIENCE,
    SERVER,
    Client,
    basic,
    make_mirror,
    run_server,
    running,
    write_certificate,
)

LARGE = "/packages/large/large-1.0.tar.gz"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mirror(tmp_path_factory.mktemp("mirror"))


def clean_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which no configuration of this machine leads an installer elsewhere."""
    foreign = ("PIP_", "UV_", "PYTHON", "SSL_CERT", "REQUESTS_CA", "CURL_CA")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    away = {name: str(folder / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "USERPROFILE")}
    unreachable = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    return {**kept, **away, **unreachable, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=clean_environment(folder), cwd=folder
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done


def make_environment(folder: Path) -> str:
    """Make an empty virtual environment; return its interpreter."""
    run(
        folder,
        uv.find_uv_bin(),
        "venv",
        "--no-config",
        "--no-python-downloads",
        "-q",
        "--python",
        sys.executable,
        "env",
    )
    return python_of(folder / "env")


def installed(folder: Path, python: str) -> dict[str, str]:
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    return dict(line.split("==") for line in run(folder, python, "-I", "-c", code).stdout.split())


def test_pip_installs_wheels_and_builds_sdists_from_the_mirror(root: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path)
    with running(root) as served:
        pip = (sys.executable, "-m", "pip", "--isolated", "--python", python)
        run(tmp_path, *pip, "install", "--no-cache-dir", "--index-url", f"{served.url}simple/", "alpha", "sourced")
    assert installed(tmp_path, python) == {"alpha": "1.0", "beta.two": "2.1", "sourced": "0.5"}
    asked_sidecar = any("GET /packages/alpha/alpha-1.0-py3-none-any.whl.metadata" in line for line in served.output)
    old = metadata.version("pip").startswith("23.0")
    assert asked_sidecar or old, "Debian's pip 23.0 asks for no sidecar, later ones do"


@pytest.mark.parametrize("index", ["simple/", ""])
def test_uv_installs_from_the_mirror(root: Path, tmp_path: Path, index: str) -> None:
    python = make_environment(tmp_path)
    with running(root) as served:
        uv_pip = (uv.find_uv_bin(), "pip", "install", "--no-config", "--no-python-downloads", "--no-cache")
        run(tmp_path, *uv_pip, "--python", python, "--default-index", served.url + index, "alpha")
    assert installed(tmp_path, python) == {"alpha": "1.0", "beta.two": "2.1"}


def test_uv_locks_and_syncs_and_can_leave_out_what_is_newer(root: Path, tmp_path: Path) -> None:
    project = '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["alpha"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    own = ("--no-config", "--no-python-downloads", "--no-cache", "--python", sys.executable)
    versions = []
    with running(root) as served:
        for older_than in ("2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z"):
            index = ("--default-index", f"{served.url}simple/", "--exclude-newer", older_than)
            run(tmp_path, uv.find_uv_bin(), "lock", *own, *index)
            run(tmp_path, uv.find_uv_bin(), "sync", "--locked", *own, *index)
            versions.append(installed(tmp_path, python_of(tmp_path / ".venv"))["beta.two"])
    assert versions == ["2.1", "2.0"]


def test_pip_downloads_lists_versions_and_reads_wheels_by_ranges(root: Path, tmp_path: Path) -> None:
    with running(root) as served:
        index = ("--no-cache-dir", "--index-url", f"{served.url}simple/")
        environment = clean_environment(tmp_path)
        listed = run_pip(["--isolated", "index", "versions", *index, "beta-two"], tmp_path, environment)
        assert "2.1, 2.0" in listed.stdout
        download = ["--isolated", "download", *index, "--use-feature=fast-deps", "-d", "here", "alpha"]
        assert run_pip(download, tmp_path, environment).returncode == 0
    assert len(list((tmp_path / "here").iterdir())) == 2


def test_pip_installs_over_tls_with_a_password(root: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path)
    certificate, key = write_certificate(tmp_path)
    assert run_server("add-user", str(tmp_path / "users"), "alice", stdin="wonder\n").returncode == 0
    options = ("--certfile", str(certificate), "--keyfile", str(key), "--passwords", str(tmp_path / "users"))
    with running(root, *options) as served:
        url = f"https://alice:wonder@127.0.0.1:{served.port}/simple/"
        pip = (sys.executable, "-m", "pip", "--isolated", "--python", python)
        run(tmp_path, *pip, "install", "--no-cache-dir", "--cert", str(certificate), "--index-url", url, "alpha")
    assert installed(tmp_path, python)["alpha"] == "1.0"


@pytest.mark.parametrize("version", EACH)
def test_every_python_runs_the_server(root: Path, tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    content = (root / LARGE[1:]).read_bytes()
    wanted = tmp_path / "wanted.txt"
    with running(root, "--wanted", str(wanted), python=python) as served, Client(served.port) as client:
        assert client.ask("/health").status == 200
        assert client.ask("/packages/10/cb/f2/large-1.0.tar.gz").body == content
        assert client.ask("/packages/10/cb/f2/large-2.0.tar.gz").status == 404
        assert client.ask("/simple/alpha/").status == 200
        assert client.ask(LARGE).body == content
        assert client.ask(LARGE, "Range: bytes=9-99,200-300").status == 206
        assert client.ask("/metrics").status == 200
    assert wanted.read_text().splitlines()[1:] == ["large==2.0  # asked for 1 time; files: large-2.0.tar.gz"]
    assert run_server("--root", str(root), "--check", python=python).returncode == 0
    assert run_server("--version", python=python).stdout.startswith("server.py of mirror-tasks ")


@pytest.mark.parametrize("version", EACH)
def test_every_python_serves_over_tls_with_passwords(root: Path, tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    certificate, key = write_certificate(tmp_path)
    assert run_server("add-user", str(tmp_path / "users"), "alice", stdin="x\n", python=python).returncode == 0
    options = ("--certfile", str(certificate), "--keyfile", str(key), "--passwords", str(tmp_path / "users"))
    trust = ssl.create_default_context(cafile=certificate)
    with running(root, *options, python=python) as served, Client(served.port, trust) as client:
        assert client.ask("/simple/alpha/").status == 401
        assert client.ask(LARGE, basic("alice", "x")).body == (root / LARGE[1:]).read_bytes()


def test_the_server_needs_nothing_newer_than_python_3_7() -> None:
    vermin = shutil.which("vermin", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if vermin is None:
        pytest.skip("vermin is not installed")
    done = subprocess.run(
        [vermin, "-t=3.7-", "--no-tips", "--violations", "--eval-annotations", str(SERVER)],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert done.returncode == 0, done.stdout
