"""A bundle is taken from those who are trusted, as the verifiers of this machine judge, and from nobody else."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.crossing import everything, load_receiver, mirror_state, receive, served, write_bundle
from tests.making import wheel
from tests.signing_keys import a_gpg_home, made, needs, new_gpg_key, new_minisign_key, new_openssl_key, new_ssh_key

receiver = load_receiver()
MANIFEST = b'{"format":1,"sequence":7}\n'
OTHER = b'{"format":1,"sequence":8}\n'

Sign = Callable[[bytes], bytes]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "stick" / "volume 1"
    folder.mkdir(parents=True)
    return folder


def verify(volume: Path, *trusts: Path) -> str:
    by: str = receiver.verify_signatures(volume, MANIFEST, list(trusts))
    return by


def refusal(volume: Path, *trusts: Path) -> str:
    with pytest.raises(receiver.Refused) as caught:
        verify(volume, *trusts)
    return str(caught.value)


def signed_by_ssh(key: Path, manifest: bytes = MANIFEST, namespace: str = "mirror-tasks-bundle") -> bytes:
    return made("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), stdin=manifest).encode()


def allowed_signers(path: Path, *keys: Path, options: str = "", name: str = "alice@example.com") -> Path:
    lines = [f"{name} {options} {' '.join(Path(f'{key}.pub').read_text().split()[:2])}\n" for key in keys]
    path.write_text("".join(lines).replace("  ", " "))
    return path


def signed_to_a_file(command: list[str], manifest: bytes, tmp_path: Path) -> bytes:
    """Run a tool that signs the file "m" into the file "s"."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "m").write_bytes(manifest)
    done = subprocess.run(command, cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    return (folder / "s").read_bytes()


def signed_by_openssl(key: Path, tmp_path: Path, manifest: bytes = MANIFEST) -> bytes:
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(key), "-in", "m", "-out", "s"]
    return signed_to_a_file(command, manifest, tmp_path)


def signed_by_minisign(key: Path, tmp_path: Path, manifest: bytes = MANIFEST, *options: str) -> bytes:
    return signed_to_a_file(["minisign", "-S", *options, "-s", str(key), "-m", "m", "-x", "s"], manifest, tmp_path)


def signed_by_gpg(who: str, tmp_path: Path, manifest: bytes = MANIFEST, *options: str) -> bytes:
    command = ["gpg", "-q", "--batch", *options, "--local-user", who, "--output", "s", "--detach-sign", "m"]
    return signed_to_a_file(command, manifest, tmp_path)


@pytest.fixture
def gpg_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with a_gpg_home() as folder:
        monkeypatch.setenv("GNUPGHOME", str(folder))
        yield folder


# What holds for every kind.


class Kind:
    """A key of one kind, a signature by it, and the file that trusts it."""

    def __init__(self, suffix: str, sign: Sign, trusts: list[Path], by: str) -> None:
        self.suffix, self.sign, self.by = suffix, sign, by
        self.trust, self.other_trust = trusts

    def sign_into(self, volume: Path, manifest: bytes = MANIFEST) -> Path:
        path = volume / f"manifest.json.{self.suffix}"
        path.write_bytes(self.sign(manifest))
        return path


def _ssh(tmp_path: Path) -> Kind:
    keys = [new_ssh_key(tmp_path / name) for name in ("key", "other")]
    trusts = [allowed_signers(tmp_path / f"allowed_{key.name}", key) for key in keys]
    return Kind("ssh", lambda manifest: signed_by_ssh(keys[0], manifest), trusts, r"alice@example\.com \(ssh\)")


def _openssl(tmp_path: Path, algorithm: str) -> Kind:
    keys = [new_openssl_key(tmp_path / name, algorithm) for name in ("key", "other")]
    by = r"key\.pub, key [0-9a-f]{16} \(openssl\)"
    trusts = [Path(f"{key}.pub") for key in keys]
    return Kind("openssl", lambda manifest: signed_by_openssl(keys[0], tmp_path, manifest), trusts, by)


def _minisign(tmp_path: Path) -> Kind:
    keys = [new_minisign_key(tmp_path / name) for name in ("key", "other")]
    number = Path(f"{keys[0]}.pub").read_text().split("\n")[0].split()[-1]
    by = rf"key\.pub, key {number} \(minisign\)"
    trusts = [Path(f"{key}.pub") for key in keys]
    return Kind("minisig", lambda manifest: signed_by_minisign(keys[0], tmp_path, manifest), trusts, by)


def _gpg(tmp_path: Path, armoured: bool) -> Kind:
    trusts = [new_gpg_key(tmp_path / f"{name}.gpg", f"{name}@example.com") for name in ("alice", "bob")]
    if armoured:
        trusts[0].write_text(made("gpg", "--armor", "--export", "alice@example.com"))
    by = r"alice@example\.com, key [0-9A-F]{40} \(gpg\)"
    return Kind("gpg", lambda manifest: signed_by_gpg("alice@example.com", tmp_path, manifest), trusts, by)


KINDS = [
    pytest.param("ssh", marks=needs("ssh-keygen")),
    *(pytest.param(f"openssl {algorithm}", marks=needs("openssl")) for algorithm in ("RSA", "EC", "ED25519")),
    pytest.param("minisign", marks=needs("minisign")),
    *(pytest.param(f"gpg {form}", marks=needs("gpg", "gpgv", "gpgconf")) for form in ("binary", "armoured")),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    name, _, more = request.param.partition(" ")
    if name == "gpg":
        request.getfixturevalue("gpg_home")
        return _gpg(tmp_path, more == "armoured")
    return {"ssh": _ssh, "minisign": _minisign}[name](tmp_path) if not more else _openssl(tmp_path, more)


def test_a_signature_by_a_trusted_key_is_taken_and_no_other_one_is(kind: Kind, volume: Path) -> None:
    path = kind.sign_into(volume)
    assert receiver.re.fullmatch(kind.by, verify(volume, kind.trust))
    told = refusal(volume, kind.other_trust)
    assert path.name in told
    assert f"the keys of {kind.other_trust.name}" in told
    assert receiver.re.fullmatch(kind.by, verify(volume, kind.other_trust, kind.trust))

    right = path.read_bytes()
    for wrong in (b"", right[:-20], right[: len(right) // 2], right[1:], os.urandom(300)):
        path.write_bytes(wrong)
        assert path.name in refusal(volume, kind.trust)
    kind.sign_into(volume, OTHER)
    assert path.name in refusal(volume, kind.trust)


def test_one_signature_of_several_is_enough(kind: Kind, volume: Path) -> None:
    right = kind.sign_into(volume).read_bytes()
    (volume / f"manifest.json.{kind.suffix}-2").write_bytes(right)
    (volume / f"manifest.json.{kind.suffix}").write_bytes(b"by a key that is not trusted")
    assert receiver.re.fullmatch(kind.by, verify(volume, kind.trust))


def test_nothing_is_left_of_what_the_verifiers_were_given(
    kind: Kind, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    kind.sign_into(volume)
    verify(volume, kind.trust)
    refusal(volume, kind.other_trust)
    assert not os.listdir(temporary)


def test_settings_and_keys_of_the_user_count_for_nothing(
    kind: Kind, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind.sign_into(volume)
    for name in ("HOME", "GNUPGHOME", "OPENSSL_CONF", "LD_PRELOAD", "LANG"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    assert receiver.re.fullmatch(kind.by, verify(volume, kind.trust))


# What stands on the stick.


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_ssh_key(tmp_path / "key")


def test_a_bundle_without_a_signature_is_refused_with_what_can_be_done(volume: Path, tmp_path: Path) -> None:
    (volume / "manifest.json.sig").write_bytes(b"not a name of ours")
    (tmp_path / "allowed").write_text("alice@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n")
    told = refusal(volume, tmp_path / "allowed")
    assert "has no signature (manifest.json.ssh, .openssl, .minisig or .gpg)" in told
    assert "transfer.sign" in told
    assert "--unsigned" in told


@needs("ssh-keygen")
def test_a_signature_of_100_mb_is_not_read(volume: Path, key: Path, tmp_path: Path) -> None:
    with (volume / "manifest.json.ssh").open("wb") as stream:
        stream.write(signed_by_ssh(key))
        stream.truncate(100_000_000)
    trust = allowed_signers(tmp_path / "allowed", key)
    assert "manifest.json.ssh is longer than 65.5 kB" in refusal(volume, trust)
    (volume / "manifest.json.ssh-2").write_bytes(signed_by_ssh(key))
    assert verify(volume, trust) == "alice@example.com (ssh)"


@needs("ssh-keygen")
@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_a_signature_that_is_no_file_is_not_opened(volume: Path, key: Path, tmp_path: Path, what: str) -> None:
    path = volume / "manifest.json.ssh"
    if what == "link":
        (tmp_path / "signature").write_bytes(signed_by_ssh(key))
        path.symlink_to(tmp_path / "signature")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert "manifest.json.ssh, by the keys of allowed" in refusal(volume, allowed_signers(tmp_path / "allowed", key))


# What the trust files say.


@needs("ssh-keygen")
def test_a_right_signature_for_another_purpose_is_refused(volume: Path, key: Path, tmp_path: Path) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key, namespace="git"))
    told = refusal(volume, allowed_signers(tmp_path / "allowed", key))
    assert "it is not a signature of this manifest for mirror-tasks-bundle (" in told
    assert "namespace does not match" in told


@needs("ssh-keygen")
def test_a_key_that_is_not_trusted_is_told_by_its_fingerprint(volume: Path, key: Path, tmp_path: Path) -> None:
    other = new_ssh_key(tmp_path / "other")
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(other))
    told = refusal(volume, allowed_signers(tmp_path / "allowed", key))
    assert (
        f"it was made with ED25519 key {made('ssh-keygen', '-lf', str(other)).split()[1]}, which is not trusted" in told
    )


@needs("ssh-keygen")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('namespaces="mirror-tasks-bundle"', ""),
        ('namespaces="git,mirror-*"', ""),
        ('namespaces="git"', "not permitted for use in signature namespace"),
        ('valid-before="20200101"', "key has expired"),
        ('valid-after="20990101"', "key is not yet valid"),
        ('valid-after="20200101",valid-before="20990101"', ""),
    ],
)
def test_what_allowed_signers_says_of_a_key_is_obeyed(
    volume: Path, key: Path, tmp_path: Path, options: str, said: str
) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key))
    trust = allowed_signers(tmp_path / "allowed", key, options=options)
    if said:
        assert said in refusal(volume, trust)
    else:
        assert verify(volume, trust) == "alice@example.com (ssh)"


@needs("ssh-keygen")
def test_a_certificate_counts_where_its_authority_is_trusted_for_its_name(volume: Path, tmp_path: Path) -> None:
    authority, worker = (new_ssh_key(tmp_path / name) for name in ("authority", "worker"))
    made("ssh-keygen", "-q", "-s", str(authority), "-I", "id", "-n", "worker@example.com", f"{worker}.pub")
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(Path(f"{worker}-cert.pub")))
    everyone = allowed_signers(tmp_path / "everyone", authority, options="cert-authority", name="*@example.com")
    assert verify(volume, everyone) == "worker@example.com (ssh)"
    others = allowed_signers(tmp_path / "others", authority, options="cert-authority", name="*@example.org")
    assert "which is not trusted there" in refusal(volume, others)
    no_authority = allowed_signers(tmp_path / "none", authority, name="*@example.com")
    assert "which is not trusted there" in refusal(volume, no_authority)


@needs("ssh-keygen")
def test_a_changed_key_is_trusted_by_the_old_and_by_the_new_while_both_sign(volume: Path, tmp_path: Path) -> None:
    old, new = (new_ssh_key(tmp_path / name) for name in ("old", "new"))
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(old))
    (volume / "manifest.json.ssh-2").write_bytes(signed_by_ssh(new))
    assert verify(volume, allowed_signers(tmp_path / "then", old, name="old@example.com")) == "old@example.com (ssh)"
    assert verify(volume, allowed_signers(tmp_path / "now", new, name="new@example.com")) == "new@example.com (ssh)"
    both = allowed_signers(tmp_path / "both", old, new, name="both@example.com")
    assert verify(volume, both) == "both@example.com (ssh)"


@needs("ssh-keygen")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_allowed_signers_is_read_as_an_editor_of_windows_writes_it(
    volume: Path, key: Path, tmp_path: Path, encoding: str
) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key))
    trust = allowed_signers(tmp_path / "allowed", key)
    trust.write_text(trust.read_text(), encoding=encoding, newline="\r\n")
    assert verify(volume, trust) == "alice@example.com (ssh)"


@needs("ssh-keygen")
def test_a_name_that_steers_a_terminal_is_escaped(volume: Path, key: Path, tmp_path: Path) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key))
    by = verify(volume, allowed_signers(tmp_path / "allowed", key, name="alice\x1b[2J@example.com"))
    assert "\x1b" not in by


@needs("ssh-keygen", "openssl")
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found an empty file"),
        (b"# alice@example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n", "found something else"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI alice\n", "put a name and the namespace before it"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "openssl x509 -noout -pubkey"),
        (b"-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n", "found RSA PUBLIC KEY"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "is a secret key. Only the public one belongs here"),
        (b"untrusted comment: minisign encrypted secret key\nAAAA\n", "is a secret key"),
        (b"\x95\x01", "is a secret key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAAA\n-----END PUBLIC KEY-----\n", "was cut or altered: it is not base64"),
    ],
)
def test_a_trust_file_without_trusted_keys_is_told_for_what_it_is(
    volume: Path, tmp_path: Path, content: bytes, found: str
) -> None:
    (volume / "manifest.json.ssh").write_bytes(b"any")
    (tmp_path / "trust").write_bytes(content)
    assert found in refusal(volume, tmp_path / "trust")


@given(
    st.binary(max_size=200)
    | st.text("AB/+= \n-BEGINPULCKYD", max_size=80).map(
        lambda text: f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n".encode()
    )
)
def test_whatever_is_in_a_trust_file_is_a_key_or_is_told_to_be_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trust").write_bytes(content)
        with contextlib.suppress(receiver.Refused):
            assert receiver.read_trust(Path(folder) / "trust")


def test_a_trust_file_that_is_missing_is_told(volume: Path, tmp_path: Path) -> None:
    assert "Check the path of --trust" in refusal(volume, tmp_path / "nowhere")


@needs("openssl")
def test_a_file_may_have_several_keys_in_pem(volume: Path, tmp_path: Path) -> None:
    old, new = (new_openssl_key(tmp_path / name, "EC") for name in ("old", "new"))
    trust = tmp_path / "both.pem"
    trust.write_bytes(Path(f"{old}.pub").read_bytes() + b"the new one:\n" + Path(f"{new}.pub").read_bytes())
    for key in (old, new):
        (volume / "manifest.json.openssl").write_bytes(signed_by_openssl(key, tmp_path))
        assert verify(volume, trust).startswith("both.pem, key ")


@needs("openssl")
def test_a_signature_of_rsa_with_sha1_is_refused(volume: Path, tmp_path: Path) -> None:
    key = new_openssl_key(tmp_path / "key", "RSA")
    weak = signed_to_a_file(["openssl", "dgst", "-sha1", "-sign", str(key), "-out", "s", "m"], MANIFEST, tmp_path)
    (volume / "manifest.json.openssl").write_bytes(weak)
    assert "it is not a signature of this manifest by this key" in refusal(volume, Path(f"{key}.pub"))


@needs("openssl")
def test_an_openssl_that_is_too_old_for_a_key_is_told(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_openssl_key(tmp_path / "key", "ED25519")
    (volume / "manifest.json.openssl").write_bytes(signed_by_openssl(key, tmp_path))
    old_program(
        tmp_path / "bin" / "openssl", 'case "$1" in version) echo "OpenSSL 1.1.1n  15 Mar 2022";; *) exit 1;; esac'
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "needs OpenSSL 3 or newer; here is OpenSSL 1.1.1n" in refusal(volume, Path(f"{key}.pub"))


def old_program(path: Path, lines: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


@needs("minisign")
def test_both_forms_of_minisign_are_taken(volume: Path, tmp_path: Path) -> None:
    key = new_minisign_key(tmp_path / "key")
    older = signed_by_minisign(key, tmp_path, MANIFEST, "-l")
    assert older != signed_by_minisign(key, tmp_path, MANIFEST)
    (volume / "manifest.json.minisig").write_bytes(older)
    assert "(minisign)" in verify(volume, Path(f"{key}.pub"))


@needs("minisign")
def test_the_comments_that_minisign_signs_are_bound_too(volume: Path, tmp_path: Path) -> None:
    key = new_minisign_key(tmp_path / "key")
    content = signed_by_minisign(key, tmp_path)
    (volume / "manifest.json.minisig").write_bytes(content.replace(b"trusted comment: t", b"trusted comment: T"))
    assert "manifest.json.minisig" in refusal(volume, Path(f"{key}.pub"))


@needs("gpg", "gpgv", "gpgconf")
def test_a_subkey_of_gpg_signs_for_its_key(volume: Path, tmp_path: Path, gpg_home: Path) -> None:
    new_gpg_key(tmp_path / "ring", "alice@example.com")
    primary = made("gpg", "--list-keys", "--with-colons", "alice@example.com").split("\nfpr:::::::::")[1].split(":")[0]
    made("gpg", "-q", "--batch", "--passphrase", "", "--quick-add-key", primary, "ed25519", "sign", "never")
    (tmp_path / "ring").unlink()
    made("gpg", "--output", str(tmp_path / "ring"), "--export", "alice@example.com")
    (volume / "manifest.json.gpg").write_bytes(signed_by_gpg("alice@example.com", tmp_path))
    assert verify(volume, tmp_path / "ring") == f"alice@example.com, key {primary} (gpg)"


@needs("gpg", "gpgv", "gpgconf")
def test_a_key_of_gpg_that_has_expired_is_refused(volume: Path, tmp_path: Path, gpg_home: Path) -> None:
    ring = new_gpg_key(tmp_path / "ring", "alice@example.com", expires="20200201T000000", at="20200101T000000")
    at = ["--faked-system-time", "20200102T000000"]
    (volume / "manifest.json.gpg").write_bytes(signed_by_gpg("alice@example.com", tmp_path, MANIFEST, *at))
    assert "its key has expired" in refusal(volume, ring)


@needs("gpg", "gpgv", "gpgconf")
def test_a_key_of_gpg_that_was_revoked_is_refused(volume: Path, tmp_path: Path, gpg_home: Path) -> None:
    new_gpg_key(tmp_path / "ring", "alice@example.com")
    (volume / "manifest.json.gpg").write_bytes(signed_by_gpg("alice@example.com", tmp_path))
    (revocation,) = (gpg_home / "openpgp-revocs.d").iterdir()
    made("gpg", "-q", "--batch", "--import", stdin=revocation.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
    (tmp_path / "ring").unlink()
    made("gpg", "--output", str(tmp_path / "ring"), "--export", "alice@example.com")
    assert "its key was revoked" in refusal(volume, tmp_path / "ring")


@needs("gpg", "gpgv", "gpgconf")
@pytest.mark.parametrize("options", [("--digest-algo", "SHA1"), ("--textmode",)], ids=["SHA-1", "text"])
def test_a_signature_of_gpg_that_another_manifest_may_have_too_is_refused(
    volume: Path, tmp_path: Path, gpg_home: Path, options: tuple[str, ...]
) -> None:
    ring = new_gpg_key(tmp_path / "ring", "alice@example.com")
    (volume / "manifest.json.gpg").write_bytes(signed_by_gpg("alice@example.com", tmp_path, MANIFEST, *options))
    assert "a hash that is forged today" in refusal(volume, ring)


@needs("gpg", "gpgv", "gpgconf")
def test_a_signed_message_is_no_signature_of_the_manifest(volume: Path, tmp_path: Path, gpg_home: Path) -> None:
    ring = new_gpg_key(tmp_path / "ring", "alice@example.com")
    command = ["gpg", "-q", "--batch", "--output", "s", "--sign", "m"]
    (volume / "manifest.json.gpg").write_bytes(signed_to_a_file(command, OTHER, tmp_path))
    assert "not a detached signature" in refusal(volume, ring)


# The verifiers.


@needs("ssh-keygen")
def test_without_a_verifier_it_is_told_which_was_looked_for_and_nothing_is_taken(
    volume: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key))
    trust = allowed_signers(tmp_path / "allowed", key)
    monkeypatch.setenv("PATH", str(tmp_path))
    told = refusal(volume, trust)
    assert "this machine has no ssh-keygen to judge it with" in told
    assert "Trusted are keys for ssh-keygen; of ssh-keygen, openssl, minisign, gpgv this machine has none" in told


@needs("ssh-keygen", "openssl")
def test_a_signature_of_another_kind_than_the_keys_is_told(volume: Path, key: Path, tmp_path: Path) -> None:
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(key))
    told = refusal(volume, Path(f"{new_openssl_key(tmp_path / 'pem', 'EC')}.pub"))
    assert "manifest.json.ssh: no file of --trust has keys for ssh-keygen" in told


def test_a_verifier_that_says_yes_and_ends_badly_is_not_believed(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_program(tmp_path / "bin" / "minisign", 'echo "Signature and comment signature verified"; exit 1')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (volume / "manifest.json.minisig").write_bytes(b"any")
    (tmp_path / "trust").write_text("untrusted comment: minisign public key\nRWQ=\n")
    assert "it is not a signature of this manifest" in refusal(volume, tmp_path / "trust")


def test_a_gpgv_that_says_yes_and_ends_badly_is_not_believed(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ("GOODSIG 0 alice@example.com", "VALIDSIG F 2026-11-26 1 0 4 0 22 8 00 F")
    said = "".join(f"echo '[GNUPG:] {line}'\n" for line in lines)
    (volume / "manifest.json.gpg").write_bytes(b"any")
    (tmp_path / "trust").write_bytes(b"\x99any")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    old_program(tmp_path / "bin" / "gpgv", f"{said}exit 0")
    assert verify(volume, tmp_path / "trust") == "alice@example.com, key F (gpg)"
    old_program(tmp_path / "bin" / "gpgv", f"{said}exit 2")
    assert "it is not a signature of this manifest by one of these keys" in refusal(volume, tmp_path / "trust")


def test_a_verifier_gets_next_to_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LD_PRELOAD", "OPENSSL_CONF", "GNUPGHOME", "HOME", "LC_ALL"):
        monkeypatch.setenv(name, "/nowhere")
    told = receiver.clean_environment(str(tmp_path))
    assert told.keys() <= {"PATH", "LC_ALL", "HOME", "USERPROFILE", "GNUPGHOME", "TMPDIR", "TEMP"}
    assert "/nowhere" not in told.values()


def test_a_verifier_that_does_not_end_is_not_waited_for(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_program(tmp_path / "bin" / "minisign", "exec sleep 1000")
    (tmp_path / "bin" / "sleep").symlink_to(shutil.which("sleep") or "/bin/sleep")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(receiver, "VERIFIER_SECONDS", 0.05)
    (volume / "manifest.json.minisig").write_bytes(b"any")
    (tmp_path / "trust").write_text("untrusted comment: minisign public key\nRWQ=\n")
    assert "did not end within" in refusal(volume, tmp_path / "trust")


def test_on_windows_the_verifier_is_an_exe_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_program(tmp_path / "bin" / "minisign.exe", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert receiver.find_program("minisign") is None
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        found = receiver.find_program("minisign")
    assert found == str(tmp_path / "bin" / "minisign.exe")


def test_a_program_in_the_current_folder_is_not_run(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_program(volume / "minisign", "exit 0")
    monkeypatch.chdir(volume)
    monkeypatch.setenv("PATH", f"{os.pathsep}.{os.pathsep}{tmp_path}")
    (volume / "manifest.json.minisig").write_bytes(b"any")
    (tmp_path / "trust").write_text("untrusted comment: minisign public key\nRWQ=\n")
    assert "this machine has no minisign" in refusal(volume, tmp_path / "trust")


# The program.


@needs("ssh-keygen")
def test_a_bundle_is_applied_for_a_trusted_signature_and_refused_before_anything_is_written(tmp_path: Path) -> None:
    key, other = (new_ssh_key(tmp_path / name) for name in ("key", "other"))
    sent = write_bundle(tmp_path / "stick", mirror_state({"foo": dict([wheel("foo", "1.0")])}))
    (root := tmp_path / "mirror").mkdir()
    allowed = allowed_signers(tmp_path / "allowed", key)
    (sent.volumes[0] / "manifest.json.ssh").write_bytes(signed_by_ssh(other, sent.manifest))
    done = receive(sent.folder, "--to", root, "--trust", allowed)
    assert done.returncode == 1
    assert "nobody who is trusted here has signed the bundle" in done.stderr
    assert not everything(root)

    (sent.volumes[0] / "manifest.json.ssh").write_bytes(signed_by_ssh(key, sent.manifest))
    done = receive(sent.folder, "--to", root, "--trust", allowed)
    assert (done.returncode, done.stderr) == (0, "")
    assert "signed by alice@example.com (ssh)" in done.stdout
    assert served(root) == sent.state


def test_without_trust_nothing_is_taken(tmp_path: Path) -> None:
    sent = write_bundle(tmp_path / "stick", mirror_state({"foo": dict([wheel("foo", "1.0")])}))
    (root := tmp_path / "mirror").mkdir()
    done = receive(sent.folder, "--to", root)
    assert done.returncode == 1
    assert "say with --trust FILE whose signature is trusted" in done.stderr
    assert not everything(root)


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_nothing_is_left_when_it_is_stopped_while_a_verifier_works(tmp_path: Path, number: str) -> None:
    sent = write_bundle(tmp_path / "stick", mirror_state({"foo": dict([wheel("foo", "1.0")])}))
    (sent.volumes[0] / "manifest.json.minisig").write_bytes(b"any")
    (tmp_path / "trust").write_text("untrusted comment: minisign public key\nRWQ=\n")
    (root := tmp_path / "mirror").mkdir()
    (temporary := tmp_path / "temporary").mkdir()
    old_program(tmp_path / "bin" / "minisign", f"kill -{number} $PPID; exec {shutil.which('sleep')} 1000")
    setting = f"import os; os.environ.update(PATH={str(tmp_path / 'bin')!r}, TMPDIR={str(temporary)!r})"
    done = receive(sent.folder, "--to", root, "--trust", tmp_path / "trust", prelude=setting)
    assert (done.returncode, done.stdout) == (130, "")
    assert "stopped" in done.stderr
    assert not os.listdir(temporary)
    assert not everything(root)


def test_what_no_trusted_key_has_signed_is_not_even_read(
    volume: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = new_ssh_key(tmp_path / "stranger")
    (volume / "manifest.json").write_bytes(MANIFEST)
    (volume / "volume.json").write_text("{}")
    (volume / "manifest.json.ssh").write_bytes(signed_by_ssh(stranger))
    read: list[bytes] = []
    monkeypatch.setattr(receiver, "parse_manifest", read.append)
    options = receiver.parse_arguments(
        [str(volume), "--to", str(tmp_path / "srv"), "--trust", str(allowed_signers(tmp_path / "trusted", key))]
    )
    assert options.folders == [volume]
    bundles, wrong = receiver.gather([volume], receiver.signer_among(options))
    assert (bundles, read) == ([], [])
    assert "nobody who is trusted here has signed" in wrong[0]
