"""pip, run by a process that has imported it, and what the tests of its settings share."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mirror_tasks.index import pip_settings
from tests.launching import Launcher
from tests.mirroring import clean_environment

PREPARATION = """
import contextlib, importlib, pkgutil, sys
import pip._internal.cli.main, pip._internal.network.session

names = [module.name for module in pkgutil.walk_packages(pip._internal.__path__, "pip._internal.")]
for name in [*names, "pip._vendor.distro", "pip._vendor.truststore"]:
    with contextlib.suppress(ImportError):  # of another system, or an older pip
        importlib.import_module(name)
pip._internal.network.session.user_agent()  # it asks programs, and keeps what they said

def run(arguments):
    sys.argv = ["pip", *arguments]
    sys.exit(pip._internal.cli.main.main(arguments))
"""


def run_pip(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``pip`` to its end, in a process of its own, as if this Python had been started for it.

    It does not look for conflicts in what is installed for these tests, which takes it as long as all the rest.

    :param folder: its working directory.
    :param environment: all environment variables; None for those of this machine without what could lead pip elsewhere.
    """
    quiet = ["--no-warn-conflicts"] if "install" in arguments else []
    _launcher().begin(folder, [*arguments, *quiet], environment or clean_environment(PIP_DISABLE_PIP_VERSION_CHECK="1"))
    return _launcher().wait()


@functools.cache
def _launcher() -> Launcher:
    return Launcher(PREPARATION, environment=clean_environment())


def forget_settings() -> None:
    """Let pip be asked anew. A run asks once, so only tests, which change the settings, have a use for that."""
    pip_settings._pip.cache_clear()
    pip_settings._answer.cache_clear()
