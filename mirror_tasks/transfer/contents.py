"""What is to stand inside, and which contents have to be carried for it."""

from __future__ import annotations

from collections.abc import Iterable, Set

from mirror_tasks.layout import manifest_paths
from mirror_tasks.publish.prune import read_manifest
from mirror_tasks.state.mirror import Mirror
from mirror_tasks.transfer.manifest import StateFile


def state_of(mirror: Mirror) -> list[StateFile]:
    """Return the files of a whole mirror, sorted by path; nothing is hashed, and hardly anything looked at.

    :raises ResolutionError: the mirror is not whole, or not what this configuration wrote.
    """
    sums = read_manifest(mirror, "bundling")
    _, own = manifest_paths(mirror.output)
    digest = mirror.ledger.known(own)
    assert digest is not None, "looked at above"
    seal_of = mirror.ledger.seal_of
    return sorted(
        # Its size is what it was when it was found to have this hash.
        StateFile(path, sha256, seal.size if seal and seal.sha256 == sha256 else (mirror.output / path).lstat().st_size)
        for path, sha256, seal in (
            (path, sha256, seal_of(path)) for path, sha256 in [*sums.items(), (own.name, digest)]
        )
    )


def lacking(state: Iterable[StateFile], inside: Set[str]) -> list[StateFile]:
    """Return a file for each content that is not inside: the first that has it.

    :param inside: the SHA-256 of each content that is.
    """
    found: dict[str, StateFile] = {}
    for file in state:
        if file.sha256 not in inside:
            found.setdefault(file.sha256, file)
    return list(found.values())
