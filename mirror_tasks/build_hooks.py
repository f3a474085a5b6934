"""What a build backend asks for only when it is run (PEP 517, ``get_requires_for_build_wheel``).

This runs code of the sdist, so it is done only where ``mirror.yaml`` says ``build-requirements: ask``, and only for
backends of which :mod:`mirror_tasks.metadata` can't know without: setuptools with a ``setup.py``, backends in the sdist.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import tomli
from pyproject_hooks import BackendUnavailable, BuildBackendHookCaller, quiet_subprocess_runner

from mirror_tasks.errors import MetadataError
from mirror_tasks.metadata import CoreMetadata

# Backends that ask for nothing but what is declared, or for what metadata.py knows.
_KNOWN = frozenset({"flit_core", "hatchling", "maturin", "mesonpy", "pdm", "poetry", "scikit_build_core", "uv_build"})
_PATIENCE = 600  # seconds for installing what the backend itself needs


def is_known(metadata: CoreMetadata) -> bool:
    """Say if what the backend of an sdist asks for is known without running it."""
    return (metadata.build_backend or "").partition(".")[0].partition(":")[0] in _KNOWN


def ask_backend(sdist: Path, metadata: CoreMetadata, index: str | None) -> tuple[str, ...]:
    """Run the backend of an sdist and return what it asks for.

    :param index: where what the backend needs is installed from; None for what pip uses.
    :raises MetadataError: it can't be run on this machine; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="mirror-build-") as folder:
        try:
            source = _unpack(sdist, Path(folder) / "source")
            python = _environment(Path(folder) / "venv", metadata.build_requires, index)
            caller = BuildBackendHookCaller(
                str(source),
                str(metadata.build_backend),
                _backend_path(source),
                runner=quiet_subprocess_runner,
                python_executable=str(python),
            )
            return tuple(str(one) for one in caller.get_requires_for_build_wheel())
        except (OSError, subprocess.SubprocessError, tarfile.TarError, BackendUnavailable, ValueError) as error:
            said = getattr(error, "output", None) or getattr(error, "stderr", None) or str(error)
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
            raise MetadataError(
                "asking the build backend of",
                sdist.name,
                f"expected a list of requirements, found: {text.strip()[-500:] or type(error).__name__}",
                "What it declares is mirrored; what else it needs has to be listed under requirements.",
            ) from error


def _unpack(sdist: Path, folder: Path) -> Path:
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


def _backend_path(source: Path) -> list[str] | None:
    try:
        system: Any = tomli.loads((source / "pyproject.toml").read_text("utf-8")).get("build-system", {})
    except FileNotFoundError:
        return None
    paths = system.get("backend-path")
    return [str(path) for path in paths] if isinstance(paths, list) else None


def _environment(folder: Path, requirements: tuple[str, ...], index: str | None) -> Path:
    """Make a virtual environment with what the backend declares that it needs; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if requirements:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]
        chosen = ["--index-url", index] if index else []
        subprocess.run([*pip, *chosen, *requirements], check=True, capture_output=True, timeout=_PATIENCE)
    return python
