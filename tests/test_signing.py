"""A manifest is signed by the tools that people have their keys in, once; and what keeps it from being signed is told."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mirror_tasks.config.transfer import Signer
from mirror_tasks.transfer import signing
from tests.signing_keys import a_gpg_home, needs, new_gpg_key, new_minisign_key, new_openssl_key, new_ssh_key, run

MANIFEST = b'{"format":1}\n'


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "bundles" / "a bundle" / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(MANIFEST)
    return path


def sign_on_a_terminal(signer: Signer, manifest: Path, answers: Mapping[str, str]) -> tuple[int, str]:
    """Sign on a terminal of its own, where each question gets its answer; return the exit status and what was shown."""
    code = """\
    import fcntl, sys, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    from pathlib import Path
    from mirror_tasks.config.transfer import Signer
    from mirror_tasks.errors import MirrorError
    from mirror_tasks.transfer.signing import sign_all
    try:
        print(*sign_all([Signer(sys.argv[1], sys.argv[2])], Path(sys.argv[3])))
    except MirrorError as error:
        raise SystemExit(f"error: {error}")
    """
    arguments = [sys.executable, "-c", textwrap.dedent(code), signer.kind, signer.key, str(manifest)]
    ours, theirs = pty.openpty()
    shown, unanswered = "", dict(answers)
    with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # what Linux says at the end of a terminal
            while piece := os.read(ours, 4096):
                shown += piece.decode()
                for question in [question for question in unanswered if re.search(question, shown)]:
                    os.write(ours, unanswered.pop(question).encode() + b"\n")
        os.close(ours)
    return process.returncode, shown


@needs("ssh-keygen")
def test_a_passphrase_is_asked_on_the_terminal(manifest: Path, tmp_path: Path) -> None:
    key = new_ssh_key(tmp_path / "key", passphrase="long secret")
    status, shown = sign_on_a_terminal(Signer("ssh", str(key)), manifest, {"passphrase": "long secret"})
    assert (status, shown.splitlines()[-1]) == (0, str(manifest.with_name("manifest.json.ssh")))
    assert "long secret" not in shown


@needs("ssh-keygen")
def test_a_wrong_passphrase_leaves_nothing_and_says_what_to_look_at(manifest: Path, tmp_path: Path) -> None:
    key = new_ssh_key(tmp_path / "key", passphrase="long secret")
    status, shown = sign_on_a_terminal(Signer("ssh", str(key)), manifest, {"passphrase": "wrong"})
    assert status == 1
    assert "incorrect passphrase" in shown  # by ssh-keygen itself
    assert "what it said stands above" in shown
    assert os.listdir(manifest.parent) == ["manifest.json"]


@needs("ssh-keygen", "ssh-agent", "ssh-add")
def test_a_key_in_an_agent_signs_by_its_public_half(manifest: Path, tmp_path: Path) -> None:
    key = new_ssh_key(tmp_path / "key")
    program = "import sys, pathlib; from mirror_tasks.transfer import signing;"
    program += "signing.sign_all([signing.Signer('ssh', sys.argv[1])], pathlib.Path(sys.argv[2]))"
    script = 'ssh-add -q "$1" && rm "$1" && "$2" -c "$3" "$1.pub" "$4"'
    done = run("ssh-agent", "sh", "-c", script, "sh", str(key), sys.executable, program, str(manifest))
    assert done.returncode == 0, done.stderr
    check = ["ssh-keygen", "-Y", "check-novalidate", "-n", signing.NAMESPACE, "-s", f"{manifest}.ssh"]
    assert run(*check, stdin=MANIFEST).returncode == 0


@needs("ssh-keygen")
def test_a_public_key_without_an_agent_is_told(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = new_ssh_key(tmp_path / "key")
    key.unlink()
    with pytest.raises(signing.SigningError, match=r"ssh-keygen \(OpenSSH.*ssh-add -l"):
        signing.sign_all([Signer("ssh", f"{key}.pub")], manifest)
    assert os.listdir(manifest.parent) == ["manifest.json"]


@needs("openssl")
@pytest.mark.parametrize("algorithm", ["RSA", "EC", "ED25519"])
def test_openssl_signs_with_every_kind_of_key(manifest: Path, tmp_path: Path, algorithm: str) -> None:
    key = new_openssl_key(tmp_path / "key.pem", algorithm)
    (signature,) = signing.sign_all([Signer("openssl", str(key))], manifest)
    assert signature.name == "manifest.json.openssl"
    how = ["dgst", "-sha256", "-verify", f"{key}.pub", "-signature", str(signature)]
    if algorithm == "ED25519":
        how = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", f"{key}.pub", "-sigfile", str(signature), "-in"]
    assert run("openssl", *how, str(manifest)).returncode == 0


@needs("openssl")
def test_openssl_asks_for_the_passphrase_of_a_key(manifest: Path, tmp_path: Path) -> None:
    key = new_openssl_key(tmp_path / "key.pem", "EC", passphrase="secret")
    status, shown = sign_on_a_terminal(Signer("openssl", str(key)), manifest, {"pass phrase": "secret"})
    assert status == 0, shown
    how = ["-verify", f"{key}.pub", "-signature", f"{manifest}.openssl"]
    assert run("openssl", "dgst", "-sha256", *how, str(manifest)).returncode == 0


@needs("openssl")
def test_an_older_openssl_signs_with_what_it_has(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_openssl_key(tmp_path / "key.pem", "RSA")
    older = tmp_path / "bin" / "openssl"
    older.parent.mkdir()
    older.write_text(
        "#!/bin/sh\n"
        'case "$1" in version) echo "OpenSSL 1.1.1n  15 Mar 2022";; pkeyutl) echo "unknown option -rawin" >&2; exit 1;;\n'
        f'*) exec {shutil.which("openssl")} "$@";; esac\n'
    )
    older.chmod(0o755)
    monkeypatch.setenv("PATH", str(older.parent), prepend=os.pathsep)
    (signature,) = signing.sign_all([Signer("openssl", str(key))], manifest)
    how = ["dgst", "-sha256", "-verify", f"{key}.pub", "-signature", str(signature)]
    assert run("openssl", *how, str(manifest)).returncode == 0


@needs("minisign")
def test_minisign_signs(manifest: Path, tmp_path: Path) -> None:
    key = new_minisign_key(tmp_path / "key")
    (signature,) = signing.sign_all([Signer("minisign", str(key))], manifest)
    assert signature.name == "manifest.json.minisig"
    assert run("minisign", "-V", "-p", f"{key}.pub", "-x", str(signature), "-m", str(manifest)).returncode == 0


@pytest.fixture
def gpg_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with a_gpg_home() as folder:
        monkeypatch.setenv("GNUPGHOME", str(folder))
        yield folder


@needs("gpg", "gpgv", "gpgconf")
def test_gpg_signs(manifest: Path, tmp_path: Path, gpg_home: Path) -> None:
    keyring = new_gpg_key(tmp_path / "keyring", "alice@example.com")
    (signature,) = signing.sign_all([Signer("gpg", "alice@example.com")], manifest)
    assert signature.name == "manifest.json.gpg"
    assert run("gpgv", "--keyring", str(keyring), str(signature), str(manifest)).returncode == 0


@needs("gpg", "gpgconf")
def test_a_key_that_gpg_does_not_have_is_told(manifest: Path, gpg_home: Path) -> None:
    with pytest.raises(signing.SigningError, match=r"\(gpg \(GnuPG\) .*bob@example.com, found exit status 2"):
        signing.sign_all([Signer("gpg", "bob@example.com")], manifest)


@needs("ssh-keygen")
def test_what_is_signed_is_not_signed_again(manifest: Path, tmp_path: Path) -> None:
    key = new_ssh_key(tmp_path / "key")
    (signature,) = signing.sign_all([Signer("ssh", str(key))], manifest)
    before = signature.stat()
    key.write_text("a key that would fail")
    assert signing.sign_all([Signer("ssh", str(key))], manifest) == (signature,)
    after = signature.stat()  # not all of it: the time of the last reading is another by now
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@needs("ssh-keygen")
@pytest.mark.parametrize("change", ["another manifest", "another key", "another signature", "no note"])
def test_what_was_signed_otherwise_is_signed_again(manifest: Path, tmp_path: Path, change: str) -> None:
    key = new_ssh_key(tmp_path / "key")
    (signature,) = signing.sign_all([Signer("ssh", str(key))], manifest)
    if change == "another manifest":
        manifest.write_bytes(MANIFEST + b"\n")
    if change == "another key":
        key = new_ssh_key(tmp_path / "other")
    if change == "another signature":
        signature.write_bytes(signature.read_bytes()[:-40])
    if change == "no note":
        manifest.with_name("signatures.json").write_text("{")
    signing.sign_all([Signer("ssh", str(key))], manifest)
    check = ["ssh-keygen", "-Y", "check-novalidate", "-n", signing.NAMESPACE, "-s", str(signature)]
    done = run(*check, stdin=manifest.read_bytes())
    fingerprint = run("ssh-keygen", "-lf", f"{key}.pub").stdout.split()[1]
    assert done.returncode == 0
    assert fingerprint in done.stdout


@needs("ssh-keygen")
def test_an_old_and_a_new_key_sign_side_by_side(manifest: Path, tmp_path: Path) -> None:
    keys = [new_ssh_key(tmp_path / name) for name in ("old", "new")]
    made = signing.sign_all([Signer("ssh", str(key)) for key in keys], manifest)
    assert [path.name for path in made] == ["manifest.json.ssh", "manifest.json.ssh-2"]
    assert len({path.read_bytes() for path in made}) == 2


def test_a_tool_that_is_missing_is_told_before_anything_is_signed(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "key").write_text("")
    with pytest.raises(signing.SigningError, match=r"program minisign on the PATH, found none\. Install minisign"):
        signing.check_signers([Signer("minisign", str(tmp_path / "key"))])


@needs("ssh-keygen")
def test_a_key_that_is_missing_is_told_before_anything_is_signed(tmp_path: Path) -> None:
    with pytest.raises(signing.SigningError, match=r"found none\. Check the path under transfer\.sign\.ssh"):
        signing.check_signers([Signer("ssh", str(tmp_path / "key"))])


def test_an_ssh_keygen_that_is_too_old_is_told_with_its_words(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, lines in (("ssh-keygen", "echo 'unknown option -- Y' >&2; exit 1"), ("ssh", "echo OpenSSH_7.9p1 >&2")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "key").write_text("")
    with pytest.raises(signing.SigningError, match=r"OpenSSH_7.9p1.*unknown option -- Y.*needs OpenSSH 8.2"):
        signing.sign_all([Signer("ssh", str(tmp_path / "key"))], manifest)
