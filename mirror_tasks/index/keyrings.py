"""The keyring of this machine, where there is one: what pip asks after an index answered 401.

It is asked in a process of its own without a terminal, whichever way pip would take, so that nothing is ever prompted for,
and a keyring that does not answer holds up nothing else.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

_log = logging.getLogger("mirror_tasks")

PROVIDERS = ("auto", "disabled", "import", "subprocess")
"""The ways that pip knows (its ``keyring-provider``); the first is its default."""

PATIENCE = 30.0  # seconds; a keyring that is locked may want to be unlocked in a window

# What pip does where it imports the module: keyring's own `keyring.get_credential`, which is there since its version 15.2.
_MODULE = """
import sys
sys.path[:] = filter(None, sys.path)  # without the folder that the run is in
import json, keyring
service, user = json.load(sys.stdin)
found = keyring.get_credential(service, user or None)
print(json.dumps({"username": found.username, "password": found.password} if found else None))
"""


def credentials(provider: str, services: Sequence[str], user: str) -> tuple[str, str] | None:
    """Return the user and password that the keyring has for the first of some services of which it has any; else None.

    :param provider: one of :data:`PROVIDERS`. As pip does without a terminal, ``auto`` asks for nobody who is not named.
    :param services: what they may be kept under: for pip the URL of the index without credentials, then its host.
    :param user: may be empty.
    """
    if provider == "disabled" or (provider == "auto" and not user):
        return None
    ask = _way(provider)
    if ask is None:
        return None
    for service in services:
        try:
            if found := ask(service, user):
                return found
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            _log.warning("the keyring is not used: asked for %s, %s", service, _problem(error))
            return None
    return None


def _way(provider: str) -> Callable[[str, str], tuple[str, str] | None] | None:
    """Return what asks a keyring for a service and a user; None where there is none."""
    if provider in ("auto", "import") and importlib.util.find_spec("keyring") is not None:
        return _ask_module
    program = _program() if provider in ("auto", "subprocess") else None
    return None if program is None else partial(_ask_command, program)


def _ask_module(service: str, user: str) -> tuple[str, str] | None:
    return _ask([sys.executable, "-c", _MODULE], user, json.dumps([service, user]))  # every user can read command lines


def _ask_command(program: str, service: str, user: str) -> tuple[str, str] | None:
    """Ask as pip does; the command takes the user, whom the index refused without a password, on its command line only."""
    return _ask([program, "--mode=creds", "--output=json", "get", service, *([user] if user else [])], user, "")


def _program() -> str | None:
    """As pip does: not the one beside this Python, which is the module's own, and for which there is ``import``."""
    scripts = Path(sysconfig.get_path("scripts")).resolve()
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(
        "keyring", path=os.pathsep.join(one for one in folders if one and Path(one).resolve() != scripts)
    )


def _ask(command: Sequence[str], user: str, told: str) -> tuple[str, str] | None:
    """Return what a keyring says; None where it has nothing.

    :param told: its standard input.
    :raises ValueError: it says something else.
    """
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        input=told,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PATIENCE,
        check=False,
        start_new_session=True,  # without a terminal that could be read from
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    complaint = done.stderr.strip().rpartition("\n")[2]
    if done.returncode != 0:
        if done.returncode == 1 and not complaint:  # the command's way to say that it has nothing
            return None
        raise ValueError(f"it ended with {done.returncode}: {complaint[:200] or 'it said nothing'}")
    return _found(json.loads(done.stdout), user)


def _found(said: object, user: str) -> tuple[str, str] | None:
    match said:
        case None:
            return None
        case {"username": str(name), "password": str(password)}:
            return name or user, password
        case {"password": str(password)} if user:
            return user, password
    raise ValueError("expected a user and a password, found something else")


def _problem(error: Exception) -> str:
    """Return what went wrong; what the keyring said otherwise, which may be a password, is not shown."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it did not answer within {PATIENCE:g} seconds"
    if isinstance(error, json.JSONDecodeError):
        return "expected JSON, found something else; the command has to be version 25.2.1 or newer"
    return str(error)
