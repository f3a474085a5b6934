"""The volumes of a bundle put together from its manifest: what each is to have, and from where in the mirror."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from mirror_tasks.errors import ResolutionError
from mirror_tasks.text import readable
from mirror_tasks.transfer.manifest import Content, Manifest, Part
from mirror_tasks.transfer.volumes import TooSmallError, pack
from mirror_tasks.transfer.writing import Piece, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A bundle of which volumes can be written.

    :param content: the bytes of its manifest, and ``digest`` their SHA-256.
    :param folder: of the bundle, on the target.
    :param beside: what stands in every volume beside the manifest, by file name.
    :param output: the mirror.
    :param sums: what it has now, SHA-256 by path, where it is not what it had: a content may have moved there since.
    """

    manifest: Manifest
    content: bytes
    digest: str
    folder: Path
    beside: Mapping[str, bytes]
    output: Path
    sums: Mapping[str, str]

    def volumes(self) -> list[Volume]:
        """Return all volumes of the bundle."""
        pieces: dict[int, list[Piece]] = {}
        where = self._where({one.sha256 for one in self.manifest.contents})
        for one in self.manifest.contents:
            for part, piece in _pieces(one, where[one.sha256]):
                pieces.setdefault(part.volume, []).append(piece)
        count = self.manifest.volumes
        return [
            self._volume(f"volume-{number}-of-{count}", number, pieces.get(number, ()))
            for number in range(1, count + 1)
        ]

    def again(self, contents: Sequence[str], room: int | None) -> list[Volume]:
        """Return volumes that have just some contents, each where the manifest has it.

        What the bundle took for inside, and did not carry, stands under the first path that it has in the state.

        :param room: bytes of a volume for them; None: there is one volume, of any size.
        :raises ResolutionError: one of them is not of this bundle, or does not fit into a volume.
        """
        where = self._where(set(contents))
        carried = {one.sha256: one for one in self.manifest.contents}
        pieces = {piece.place: piece for sha256 in contents for piece in self._asked(sha256, carried, where)}
        try:
            packed = pack([(place, piece.size) for place, piece in pieces.items()], room)
        except TooSmallError as error:
            raise _too_small(error.needed) from None
        found: dict[int, list[Piece]] = {}
        for piece, (first, *others) in zip(pieces.values(), packed, strict=True):
            if others:
                raise _too_small(piece.size)
            found.setdefault(first.volume, []).append(piece)
        return [self._volume(f"again-{number}-of-{len(found)}", 0, some) for number, some in sorted(found.items())]

    def _volume(self, name: str, number: int, pieces: Sequence[Piece]) -> Volume:
        return Volume(
            folder=self.folder / name,
            number=number,
            manifest=self.content,
            digest=self.digest,
            beside=self.beside,
            pieces=sorted(pieces, key=lambda piece: piece.place),
        )

    def _asked(self, sha256: str, carried: Mapping[str, Content], where: Mapping[str, Path]) -> Iterator[Piece]:
        if sha256 in carried:
            yield from (piece for _, piece in _pieces(carried[sha256], where[sha256]))
            return
        file = next((file for file in self.manifest.files if file.sha256 == sha256), None)
        if file is None:
            problem = f"it names the content {sha256}, which bundle {self.manifest.sequence} does not have"
            raise ResolutionError("carrying again", "what is missing", problem, "Carry the file out again.")
        yield Piece(file.path, where[sha256], 0, file.size, sha256)

    def _where(self, contents: Set[str]) -> Mapping[str, Path]:
        """Return where contents stand in the mirror; those that are gone, where they stood when the bundle was begun."""
        begun = {file.sha256: file.path for file in self.manifest.files if file.sha256 in contents}
        now = {sha256: path for path, sha256 in self.sums.items() if sha256 in contents}
        return {sha256: self.output / path for sha256, path in {**begun, **now}.items()}


def _pieces(content: Content, source: Path) -> Iterator[tuple[Part, Piece]]:
    offset = 0
    for part in content.parts:
        yield part, Piece(part.place, source, offset, part.size, part.sha256)
        offset += part.size


def _too_small(needed: int) -> ResolutionError:
    problem = f"expected volumes that have room for {readable(needed)} of one file, as the bundle was made"
    return ResolutionError("carrying again", "transfer.volume of mirror.yaml", problem, "Set a larger one.")
