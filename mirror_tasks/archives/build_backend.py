"""What a build backend asks for only when it is run (PEP 517, ``get_requires_for_build_wheel``).

This runs code of the sdist, so it is done only where ``mirror.yaml`` says ``build-requirements: ask``, and only for
backends of which :mod:`~mirror_tasks.archives.core_metadata` can't know without: setuptools with a ``setup.py``, backends
in the sdist.
"""

from __future__ import annotations

import netrc
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli
from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller

from mirror_tasks.archives.core_metadata import CoreMetadata
from mirror_tasks.archives.virtual_environment import python_of
from mirror_tasks.errors import MetadataError
from mirror_tasks.text import redact, without_credentials

# Backends that ask for nothing but what is declared, or for what sdist.py knows.
_KNOWN = frozenset({"flit_core", "hatchling", "maturin", "mesonpy", "pdm", "poetry", "scikit_build_core", "uv_build"})
_PATIENCE = 600  # seconds for installing what the backend itself needs, and for its answer


def is_known(metadata: CoreMetadata) -> bool:
    """Say if what the backend of an sdist asks for is known without running it."""
    return (metadata.build_backend or "").partition(".")[0].partition(":")[0] in _KNOWN


def ask_backend(sdist: Path, metadata: CoreMetadata, index: str | None, client_cert: str = "") -> tuple[str, ...]:
    """Run the backend of an sdist and return what it asks for.

    :param index: where what the backend needs is installed from; None for what pip uses.
    :param client_cert: the path of the certificate that the index is shown; empty for what pip has.
    :raises MetadataError: it can't be run on this machine; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="mirror-build-") as folder:
        try:
            source = unpack(sdist, Path(folder) / "source")
            python = make_environment(Path(folder) / "venv", metadata.build_requires, index, client_cert)
            caller = BuildBackendHookCaller(
                str(source),
                str(metadata.build_backend),
                backend_path(source),
                runner=run_hook,
                python_executable=str(python),
            )
            return tuple(str(one) for one in caller.get_requires_for_build_wheel())
        except (OSError, subprocess.SubprocessError, tarfile.TarError, BackendUnavailable, ValueError) as error:
            raise MetadataError(
                "asking the build backend of",
                sdist.name,
                f"expected a list of requirements, found: {last_words(error)}",
                "What it declares is mirrored; what else it needs has to be listed under requirements.",
            ) from error


def last_words(error: Exception) -> str:
    """Return the end of what a failed command wrote, without credentials; what the error says where it wrote nothing."""
    said = getattr(error, "output", None) or getattr(error, "stderr", None) or str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return redact(text).strip()[-500:] or type(error).__name__


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist and return the one folder in it; its members were checked when its metadata was read."""
    folder.mkdir()
    if sdist.name.endswith(".zip"):
        with zipfile.ZipFile(sdist) as archive:
            archive.extractall(folder)  # noqa: S202 - zipfile keeps every path below the folder
    else:
        with tarfile.open(sdist) as archive:
            _extract(archive, folder)
    tops = [path for path in folder.iterdir() if path.is_dir()]
    return tops[0] if len(tops) == 1 else folder


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack a tar; filters are there from Python 3.10.12, 3.11.4 and 3.12 on."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    members = archive.getmembers()
    for member in members:
        member.mode |= 0o700 if member.isdir() else 0o600
    archive.extractall(folder, members)  # noqa: S202 - as said above, they were checked


def backend_path(source: Path) -> list[str] | None:
    """Return the folders of the sources that the backend itself is in, as ``backend-path`` says them."""
    try:
        system: Any = tomli.loads((source / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    except FileNotFoundError:
        return None
    paths = system.get("backend-path")
    return [str(path) for path in paths] if isinstance(paths, list) else None


def run_hook(cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None) -> None:
    """Run a command as :mod:`pyproject_hooks` wants it run."""
    run(cmd, cwd=cwd, environ=extra_environ or {})


def run(command: Sequence[str], *, cwd: str | None = None, environ: Mapping[str, str]) -> None:
    """Run a command that asks nothing of the terminal, and keep what it says.

    :raises subprocess.SubprocessError: it failed, or took too long.
    """
    subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environ},
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PATIENCE,
    )


def make_environment(folder: Path, requirements: tuple[str, ...], index: str | None, client_cert: str) -> Path:
    """Make a virtual environment with what the backend declares that it needs; return its interpreter."""
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], environ={})
    python = python_of(folder)
    install(python, requirements, index, client_cert)
    return python


def install(python: Path, requirements: Sequence[str], index: str | None, client_cert: str) -> None:
    """Install requirements into an environment.

    :raises subprocess.SubprocessError: they can't be installed, or it took too long.
    """
    if requirements:
        pip = [
            *(sys.executable, "-m", "pip", "--python", str(python)),
            *("--disable-pip-version-check", "--no-input", "install", "--quiet"),
        ]
        chosen = ["--index-url", without_credentials(index)] if index else []
        chosen += ["--client-cert", client_cert] if client_cert else []
        with tempfile.TemporaryDirectory(prefix="mirror-build-") as private:
            run([*pip, *chosen, *requirements], environ=_login(index, Path(private)) if index else {})


def _login(index: str, folder: Path) -> dict[str, str]:
    """Return the variable that lets pip log in to ``index``: a netrc file that only this user can read.

    What is on a command line can be read by every user of the machine, and pip itself hands the index's URL on to the
    commands that it starts; so it gets the URL without the credentials.

    :raises ValueError: no such file can hold them.
    """
    parts = urlsplit(index)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and not password:
        return {}
    path = folder / "netrc"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    for others in dict.fromkeys((_users_netrc(), "")):  # a file that can't be read counts for nobody: then ours alone
        for shown in (str, _quoted):
            line = f"machine {parts.hostname} login {shown(user)} password {shown(password)}"
            path.write_text(f"{others}\n\n{line}\n", "utf-8")
            if _reads(path, str(parts.hostname)) == (user, password):
                return {"NETRC": str(path)}
    raise ValueError("the index's user name or password has characters that a netrc file can't hold")


def _reads(path: Path, host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc(path).authenticators(host)
    except (OSError, ValueError, netrc.NetrcParseError):
        return None
    return (found[0] or "", found[2] or "") if found else None


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _users_netrc() -> str:
    """Return what the user's own netrc says, which counts for other hosts still."""
    named = os.environ.get("NETRC")
    for path in [named] if named is not None else ["~/.netrc", "~/_netrc"]:
        try:
            return Path(os.path.expanduser(path)).read_text("utf-8")  # noqa: PTH111 (Path raises without a home)
        except (OSError, ValueError):
            continue
    return ""
