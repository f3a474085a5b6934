"""The key ``transfer:`` of ``mirror.yaml``: what is sent to where there is no Internet, in what sizes, signed by whom."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.errors import Fault

TRANSFER_KEYS = ("stream", "to", "volume", "sign", "keep", "receipt")
"""The keys under ``transfer:``."""

SignerKind = Literal["ssh", "openssl", "minisign", "gpg"]
_KINDS = ("ssh", "openssl", "minisign", "gpg")
_STREAM = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([kMGT])(i?)B?")
_POWERS = {"k": 1, "M": 2, "G": 3, "T": 4}
_DAYS = re.compile(r"([0-9]{1,5})\s*d")
_SIGN_EXAMPLE = "{ssh: ~/.ssh/id_ed25519}"


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what left the plan stays on the pages: so many days, or for so many plans; one of the two is None."""

    days: int | None = None
    plans: int | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """One who signs bundles.

    :param key: the absolute path of a key, of ``gpg`` what names one.
    """

    kind: SignerKind
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What ``mirror.yaml`` says of transfers; paths are absolute.

    :param stream: the name of what this configuration sends.
    :param to: the folder that bundles are written to.
    :param volume: the most that a volume may take, in bytes; None: a bundle is one volume.
    :param signers: those who sign, each of them; none where ``unsigned``, or where it was not said.
    :param unsigned: it was said that nobody signs.
    :param receipt: where a receipt from inside is read, once it is there.
    """

    stream: str = "main"
    to: Path
    volume: int | None = None
    signers: tuple[Signer, ...] = ()
    unsigned: bool = False
    keep: Keep = Keep(plans=1)
    receipt: Path | None = None


class TransferReader:
    """Reads what stands under ``transfer:``.

    :param block: the whole file.
    :param faults: what is wrong is added to them.
    :param folder: what paths are relative to.
    :param apart: folders that bundles may not be written into: the output and the state.
    """

    def __init__(self, block: Block, faults: list[Fault], folder: Path, apart: Mapping[str, Path]) -> None:
        self._value = block.get("transfer")
        self._faults = faults
        self._folder = folder
        self._apart = apart

    def transfer(self, default: str) -> Transfer | None:
        """Return what is said; None where there is no such key.

        :param default: the name of the folder that bundles are written to where none is said.
        """
        if self._value is None:
            return None
        block = Block(self._value, "transfer", self._faults)
        block.only(TRANSFER_KEYS)
        return Transfer(
            stream=_stream(block),
            to=self._to(block, default),
            volume=_volume(block),
            signers=tuple(self._signers(block)),
            unsigned=block.get("sign") == "none",
            keep=_keep(block),
            receipt=self._path(text) if (text := block.string("receipt", None)) else None,
        )

    def _path(self, text: str) -> Path:
        return Path(os.path.normpath(self._folder / os.path.expanduser(text)))  # noqa: PTH111 (Path raises without a home)

    def _to(self, block: Block, default: str) -> Path:
        to = self._path(block.string("to", default))
        for what, folder in self._apart.items():
            if os.path.realpath(to).startswith(os.path.join(os.path.realpath(folder), "")) or _same(to, folder):  # noqa: PTH118
                block.fault("to", f"it lies in {what}, {folder}; expected a folder of its own, such as {default}")
        return to

    def _signers(self, block: Block) -> Iterator[Signer]:
        value = block.get("sign")
        if value is None or value == "none":
            return
        found: list[Signer] = []
        entries = value if isinstance(value, list) else [value]
        if not entries:
            block.fault("sign", f"expected who signs, such as {_SIGN_EXAMPLE}, or none; found an empty list")
        for position, entry in enumerate(entries):
            key_path = f"sign[{position}]" if isinstance(value, list) else "sign"
            for signer in self._signers_of(block, entry, key_path):
                if signer in found:
                    block.fault(key_path, f"the same {signer.kind} key is listed twice")
                found.append(signer)
        yield from found

    def _signers_of(self, block: Block, entry: object, key_path: str) -> Iterator[Signer]:
        """Give the signers of one entry, which has one key as a rule."""
        if not isinstance(entry, dict) or not entry:
            block.fault(key_path, f"expected a tool and its key such as {_SIGN_EXAMPLE}, or none; found {show(entry)}")
            return
        for kind, key in entry.items():
            if kind not in _KINDS:
                block.fault(f"{key_path}.{str(kind)[:80]}", unknown("tool", kind, _KINDS))
            elif text := _key(block, kind, key, key_path):
                yield Signer(cast("SignerKind", kind), text if kind == "gpg" else str(self._path(text)))


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _stream(block: Block) -> str:
    name = block.string("stream", "main")
    if not _STREAM.fullmatch(name):
        expected = "a name of small letters, digits and - that begins with a letter or digit"
        block.fault("stream", f"expected {expected}, found {show(name)}")
        return "main"
    return name


def _key(block: Block, kind: str, value: object, key_path: str) -> str | None:
    """Return what names a key, or None for what does not; a number is how YAML reads some key ids."""
    if isinstance(value, str) and value.strip() and value.strip().isprintable() and not value.strip().startswith("-"):
        return value.strip()
    expected = "a key's fingerprint or address, in quotes" if kind == "gpg" else "the path of a key"
    block.fault(f"{key_path}.{kind}", f"expected {expected}, found {show(value)}")
    return None


def _volume(block: Block) -> int | None:
    value = block.get("volume")
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]]) if match else 0
    if size <= 0:
        block.fault("volume", f"expected a size such as 650M, 3900M or 4G, found {show(value)}")
        return None
    return size


def _keep(block: Block) -> Keep:
    value = block.get("keep")
    if value is None:
        return Keep(plans=1)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000:
        return Keep(plans=value)
    match = _DAYS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 1 <= int(match[1]) <= 36500:
        expected = "a number of plans from 0 to 1000, or of days from 1d to 36500d"
        block.fault("keep", f"expected {expected}, such as 3 or 90d, found {show(value)}")
        return Keep(plans=1)
    return Keep(days=int(match[1]))
