"""Signing a manifest, with a tool that people have their keys in: ssh-keygen, openssl, minisign or gpg.

No key is read here. The tool is run on the terminal, so it asks there for a passphrase, a PIN or a touch of the token, or asks
the agent that it knows. It is run once for each signature; what was signed is noted beside the manifest, so that a run that
goes on where another was killed asks nobody twice.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_tasks.config.transfer import Signer, SignerKind
from mirror_tasks.errors import MirrorError
from mirror_tasks.files import read_or_none, sealed, sha256_of, sha256_of_bytes, unsealed, write_whole
from mirror_tasks.text import printable

NAMESPACE = "mirror-tasks-bundle"
"""What an SSH signature is made for: one made for another purpose with the same key is refused inside, and the reverse."""

MOST_PER_KIND = 9
"""So many signatures of one kind a bundle may have."""

LARGEST_SIGNATURE = 64 * 1024
"""In bytes; ``receive.py`` reads no larger one."""

_NOTE = "signatures.json"
_DOING = "signing"


class SigningError(MirrorError):
    """A manifest could not be signed."""


@dataclass(frozen=True, slots=True)
class _Tool:
    """A program that signs.

    :param suffix: what the name of its signature ends in.
    :param command: what is to be run: the program, the key, the manifest, the signature to be written.
    :param version: the arguments that have it tell its version; for ssh-keygen, which tells none, ssh is asked.
    :param package: where it is had.
    :param advice: what to look at when it fails.
    """

    program: str
    suffix: str
    command: Callable[[str, str, str, str], Sequence[str]]
    version: Sequence[str]
    package: str
    advice: str


def _ssh(program: str, key: str, manifest: str, signature: str) -> Sequence[str]:
    assert signature == f"{manifest}.sig"  # it can't be told another name; -q: nor does it tell this one
    return [program, "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key, manifest]


def _openssl(program: str, key: str, manifest: str, signature: str) -> Sequence[str]:
    # Since OpenSSL 3 one command signs with every kind of key, so that nobody has to read an encrypted key to choose one.
    if _major_openssl(program) >= 3:
        return [program, "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", manifest, "-out", signature]
    return [program, "dgst", "-sha256", "-sign", key, "-out", signature, manifest]


def _minisign(program: str, key: str, manifest: str, signature: str) -> Sequence[str]:
    return [program, "-S", "-s", key, "-m", manifest, "-x", signature]


def _gpg(program: str, key: str, manifest: str, signature: str) -> Sequence[str]:
    options = ["--yes", "--no-armor", "--no-textmode", "--digest-algo", "SHA256"]
    return [program, *options, "--local-user", key, "--output", signature, "--detach-sign", manifest]


_TOOLS: Mapping[SignerKind, _Tool] = {
    "ssh": _Tool(
        "ssh-keygen",
        "ssh",
        _ssh,
        ("ssh", "-V"),
        "OpenSSH 8.2 or newer",
        "Check the key. Of a key in an agent, name the .pub file, and check that `ssh-add -l` lists it. "
        "A key that asks for a passphrase, a PIN or a touch needs a terminal; ssh-keygen needs OpenSSH 8.2 or newer.",
    ),
    "openssl": _Tool(
        "openssl",
        "openssl",
        _openssl,
        ("openssl", "version"),
        "OpenSSL",
        "Check the key and its passphrase, which is asked on the terminal. An Ed25519 key needs OpenSSL 3.",
    ),
    "minisign": _Tool(
        "minisign",
        "minisig",
        _minisign,
        ("minisign", "-v"),
        "minisign",
        "Check the secret key and its password, which is asked on the terminal.",
    ),
    "gpg": _Tool(
        "gpg",
        "gpg",
        _gpg,
        ("gpg", "--version"),
        "GnuPG",
        "Check that `gpg --list-secret-keys` lists the key, that it may sign and has not expired, and that its agent "
        "can ask for the passphrase.",
    ),
}


def check_signers(signers: Sequence[Signer]) -> None:
    """Find out early what can be known before anything is signed: is there the tool, and the key's file?

    :raises SigningError: something is missing.
    """
    for signer in signers:
        _program(signer)
        if signer.kind != "gpg" and not Path(signer.key).is_file():
            problem = f"expected the key for {_TOOLS[signer.kind].program} in this file, found none"
            advice = f"Check the path under transfer.sign.{signer.kind} of mirror.yaml."
            raise SigningError("looking for the key", signer.key, problem, advice)
    for kind in _TOOLS:
        if sum(signer.kind == kind for signer in signers) > MOST_PER_KIND:
            problem = f"expected at most {MOST_PER_KIND} {kind} keys, found more"
            raise SigningError("reading", "transfer.sign of mirror.yaml", problem, "Take out keys that are not used.")


def sign_all(signers: Sequence[Signer], manifest: Path) -> tuple[Path, ...]:
    """Have a manifest signed by each signer, and return the signatures, which stand beside it.

    A signature that this signer made of these bytes before is taken as it is.

    :raises SigningError: a tool is missing, or did not sign; signatures that were made are kept.
    """
    check_signers(signers)
    names = signature_names(signers)
    return tuple(sign(signer, manifest, name) for signer, name in zip(signers, names, strict=True))


def signature_names(signers: Sequence[Signer]) -> tuple[str, ...]:
    """Return the file names of the signatures: ``manifest.json.ssh``, the second of a kind ``manifest.json.ssh-2``."""
    counts = dict.fromkeys(_TOOLS, 0)
    names = []
    for signer in signers:
        counts[signer.kind] += 1
        suffix = _TOOLS[signer.kind].suffix
        names.append(f"manifest.json.{suffix}" + (f"-{counts[signer.kind]}" if counts[signer.kind] > 1 else ""))
    return tuple(names)


def sign(signer: Signer, manifest: Path, name: str | None = None) -> Path:
    """Have a manifest signed, and return the signature, which stands beside it.

    :param name: of the signature's file; that of the first of its kind if None.
    :raises SigningError: the tool is missing, or did not sign.
    """
    signature = manifest.with_name(name or signature_names([signer])[0])
    with manifest.open("rb") as stream:
        digest = sha256_of(stream)
    note = manifest.with_name(_NOTE)
    made = _read_note(note)
    entry = {"key": signer.key, "kind": signer.kind, "manifest": digest}
    content = _content(signature)
    if content is None or made.get(signature.name) != {**entry, "sha256": sha256_of_bytes(content)}:
        signature.unlink(missing_ok=True)
        content = _signed(signer, manifest)
        write_whole(signature, content)
        write_whole(note, sealed({**made, signature.name: {**entry, "sha256": sha256_of_bytes(content)}}))
    return signature


def _read_note(note: Path) -> dict[str, Any]:
    """Return which signature was made by whom and of what; what can't be read tells of none, so each is made anew."""
    try:
        return unsealed(read_or_none(note) or b"")
    except (ValueError, json.JSONDecodeError):
        return {}


def _content(signature: Path) -> bytes | None:
    """Return a signature's bytes, None where there is none that may be carried."""
    content = read_or_none(signature)
    return content if content and len(content) <= LARGEST_SIGNATURE else None


def _signed(signer: Signer, manifest: Path) -> bytes:
    """Run the tool, and return the signature that it made.

    :raises SigningError: it did not make one.
    """
    tool, program = _TOOLS[signer.kind], _program(signer)
    made = manifest.with_name(f"{manifest.name}.sig")  # ssh-keygen's choice, which asks before it overwrites one
    made.unlink(missing_ok=True)
    try:
        status, words = _run(tool.command(program, signer.key, str(manifest), str(made)))
        content = _content(made)
    finally:
        made.unlink(missing_ok=True)
    if status or content is None:
        raise _failed(signer, manifest, status, words)
    return content


def _run(command: Sequence[str]) -> tuple[int, str | None]:
    """Run a tool on the terminal; return its exit status, and its words where there is no terminal to show them.

    Its standard error is the terminal's, since ssh-keygen asks there for a touch of the token. Its standard output is sent
    there too: that of this program is for what was asked of this program.
    """
    shown = os.isatty(0) or os.isatty(2)
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            check=False,
            stdout=2 if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
        )
    except OSError as error:
        return -1, f"{command[0]} can't be run: {error.strerror}"
    return done.returncode, None if shown else done.stdout.decode("utf-8", "replace")


def _environment() -> Mapping[str, str]:
    """Return this program's environment; the agent of gpg has to be told which terminal it can ask on."""
    if "GPG_TTY" in os.environ or not os.isatty(0) or not hasattr(os, "ttyname"):
        return os.environ
    return {**os.environ, "GPG_TTY": os.ttyname(0)}


def _program(signer: Signer) -> str:
    tool = _TOOLS[signer.kind]
    program = shutil.which(tool.program)
    if program is None:
        problem = f"expected the program {tool.program} on the PATH, found none"
        advice = f"Install {tool.package}, or sign with another tool (transfer.sign of mirror.yaml)."
        raise SigningError("looking for the tool that signs with", signer.key, problem, advice)
    return os.path.abspath(program)  # noqa: PTH100 - Path.resolve would follow a link to a program that looks at its name


def _failed(signer: Signer, manifest: Path, status: int, words: str | None) -> SigningError:
    tool = _TOOLS[signer.kind]
    how = f"exit status {status}" if status else "no signature"
    said = "what it said stands above" if words is None else _last_lines(words)
    problem = f"expected a signature by {tool.program} ({_version(tool)}) with {signer.key}, found {how}; {said}"
    return SigningError(_DOING, str(manifest), problem, f"{tool.advice} Then run again: it goes on here.")


def _last_lines(words: str) -> str:
    lines = [printable(line.strip()) for line in words.splitlines() if line.strip()]
    return f"it said: {' / '.join(lines[-3:])[-600:]}" if lines else "it said nothing"


def _version(tool: _Tool) -> str:
    try:
        done = subprocess.run(tool.version, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "of unknown version"
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return printable(lines[0].strip()[:100]) if lines else "of unknown version"


def _major_openssl(program: str) -> int:
    """Return the first number of OpenSSL's version, 0 for what is none, such as LibreSSL."""
    done = subprocess.run([program, "version"], check=False, stdin=subprocess.DEVNULL, capture_output=True)
    match = re.match(rb"OpenSSL (\d+)\.", done.stdout)
    return int(match[1]) if match else 0
