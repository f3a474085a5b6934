"""A bundle laid out: which content goes into which volume, and the manifest that says so; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mirror_tasks.transfer.manifest import MOST_VOLUMES, Content, Manifest, Part, StateFile, canonical, to_bytes
from mirror_tasks.transfer.volumes import BLOCK, Placed, TooSmallError, blocks, pack

_FOLDERS = 3  # of the bundle, of the volume, files/
SIGNATURE = 2 * BLOCK
"""More bytes than a signature has."""

_VOLUME_JSON = BLOCK
_ROUNDS = 20

PartDigests = Callable[[StateFile, Sequence[int]], Sequence[str]]
"""Gives the SHA-256 of each part of a file that is cut into parts of these sizes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A manifest, and its bytes as they are signed."""

    manifest: Manifest
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """What the volumes of a bundle are to be.

    :param most: bytes that one takes, or None for one volume of any size.
    :param signatures: how many of them stand in each.
    :param program: the bytes of ``receive.py``.
    """

    most: int | None
    signatures: int
    program: int

    def beside(self, manifest: int) -> int:
        """Return what a volume takes beside the contents, with a manifest of so many bytes."""
        fixed = _FOLDERS * BLOCK + SIGNATURE * self.signatures + _VOLUME_JSON + blocks(self.program)
        return fixed + blocks(manifest)

    def room(self, manifest: int) -> int | None:
        """Return what is left for contents; None where there is no bound."""
        return None if self.most is None else self.most - self.beside(manifest)


def lay_out(proposal: Manifest, carried: Sequence[StateFile], volumes: Volumes, digests: PartDigests) -> Layout:
    """Return a bundle's manifest with its contents.

    The manifest stands in every volume, and its size depends on how they are packed: it is packed until it fits.

    :param proposal: the manifest, but for its contents and the number of volumes.
    :param carried: a file for each content.
    :raises TooSmallError: a volume is too small for any file; says how large one has to be.
    :raises ValueError: there would be more volumes than a bundle may have.
    """
    carried = sorted(carried, key=lambda file: file.sha256)
    files = canonical(proposal.files)
    alone = [(Placed(MOST_VOLUMES, file.path, file.size),) for file in carried]
    size = len(_bytes(proposal, carried, alone, files)[1])
    for _ in range(_ROUNDS):
        packed = _packed(carried, volumes, size)
        manifest, content = _bytes(proposal, carried, packed, files)
        if blocks(len(content)) <= blocks(size) or volumes.most is None:
            return _with_digests(manifest, content, carried, files, digests)
        size = len(content)
    raise ValueError("expected volumes that have room for more than the manifest itself")


def _packed(carried: Sequence[StateFile], volumes: Volumes, size: int) -> list[tuple[Placed, ...]]:
    try:
        packed = pack([(file.path, file.size) for file in carried], volumes.room(size))
    except TooSmallError as error:
        raise TooSmallError(volumes.beside(size) + error.needed) from None
    if (count := _count(packed)) > MOST_VOLUMES:
        raise ValueError(f"expected at most {MOST_VOLUMES} volumes, found {count}")
    return packed


def _count(packed: Sequence[Sequence[Placed]]) -> int:
    return max((part.volume for parts in packed for part in parts), default=1)


def _bytes(
    proposal: Manifest, carried: Sequence[StateFile], packed: Sequence[Sequence[Placed]], files: bytes
) -> tuple[Manifest, bytes]:
    """Return the manifest; parts of a cut file have the hash of the whole in it, which is as long as their own."""
    contents = [
        Content(file.sha256, file.size, tuple(Part(*part, file.sha256) for part in parts))
        for file, parts in zip(carried, packed, strict=True)
    ]
    manifest = replace(proposal, contents=contents, volumes=_count(packed))
    return manifest, to_bytes(manifest, files)


def _with_digests(
    manifest: Manifest, content: bytes, carried: Sequence[StateFile], files: bytes, digests: PartDigests
) -> Layout:
    if all(len(one.parts) == 1 for one in manifest.contents):
        return Layout(manifest, content)
    contents = list(_contents(manifest, carried, digests))
    manifest = replace(manifest, contents=contents)
    return Layout(manifest, to_bytes(manifest, files))


def _contents(manifest: Manifest, carried: Sequence[StateFile], digests: PartDigests) -> Iterator[Content]:
    for file, content in zip(carried, manifest.contents, strict=True):
        if len(content.parts) == 1:
            yield content
        else:
            found = digests(file, [part.size for part in content.parts])
            parts = (part._replace(sha256=sha256) for part, sha256 in zip(content.parts, found, strict=True))
            yield content._replace(parts=tuple(parts))
