"""Keys for the tests of signatures, made by the tools themselves: each function returns the secret key's file, or the keyring."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_CURVES = {"RSA": ["rsa_keygen_bits:1024"], "EC": ["ec_paramgen_curve:P-256"]}


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test by the name of what is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} here")


def run(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin, capture_output=True)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def made(*command: str, stdin: bytes = b"") -> str:
    """Run what has to end well."""
    done = run(*command, stdin=stdin)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def new_ssh_key(path: Path, passphrase: str = "") -> Path:
    """Make a key of Ed25519; its public half stands in ``.pub``."""
    made("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path))
    return path


def new_openssl_key(path: Path, algorithm: str, passphrase: str = "") -> Path:
    """Make a key; its public half stands in ``.pub``."""
    options = [word for option in _CURVES.get(algorithm, []) for word in ("-pkeyopt", option)]
    secret = ["-aes-128-cbc", "-pass", f"pass:{passphrase}"] if passphrase else []
    made("openssl", "genpkey", "-quiet", "-algorithm", algorithm, *options, *secret, "-out", str(path))
    given = ["-passin", f"pass:{passphrase}"] if passphrase else []
    made("openssl", "pkey", "-in", str(path), *given, "-pubout", "-out", f"{path}.pub")
    return path


def new_minisign_key(path: Path, password: str = "") -> Path:
    """Make a key; its public half stands in ``.pub``."""
    answers = f"{password}\n{password}\n".encode() if password else b""
    made("minisign", "-G", *([] if password else ["-W"]), "-s", str(path), "-p", f"{path}.pub", stdin=answers)
    return path


@contextlib.contextmanager
def a_gpg_home() -> Iterator[Path]:
    """Give gpg a home with a short path, for its agent's socket stands there; the agent ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="gpg-"))
    try:
        yield folder
    finally:
        run("gpgconf", "--homedir", str(folder), "--kill", "all")
        shutil.rmtree(folder, ignore_errors=True)


def new_gpg_key(keyring: Path, address: str, *, expires: str = "never", at: str = "") -> Path:
    """Make a key, in the home that the environment names; write its public half to a keyring.

    :param at: the time that gpg is to take it for.
    """
    time = ["--faked-system-time", at] if at else []
    made("gpg", "-q", "--batch", *time, "--passphrase", "", "--quick-gen-key", address, "ed25519", "cert,sign", expires)
    keyring.write_bytes(subprocess.run(["gpg", "--export", address], check=True, capture_output=True).stdout)
    return keyring
