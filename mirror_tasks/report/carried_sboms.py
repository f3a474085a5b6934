"""The SBOMs that wheels carry themselves (PEP 770), to be laid beside those that are made here.

They are the word of whoever built the wheel, on what else is in it. Nothing of them is read here: they are handed on as
they are, under names that lead nowhere and that no browser runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mirror_tasks.archives.members import LARGEST_MEMBER
from mirror_tasks.archives.wheel import wheel_sboms
from mirror_tasks.errors import MetadataError
from mirror_tasks.files import is_device, sha256_of_bytes
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.report.sbom_subject import CARRIED
from mirror_tasks.resolve.plan import PlannedFile
from mirror_tasks.state.mirror import Mirror

_MOST_BYTES = 8 * LARGEST_MEMBER  # of all wheels together
_SAFE_ENDINGS = (".json", ".spdx")  # a browser runs what is in an HTML or XML file

# A bundle carries no path of more than 400 characters, and a wheel's name may have 250.
_is_plain = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}").fullmatch


@dataclass(frozen=True, slots=True)
class CarriedSbom:
    """One SBOM that a wheel carries.

    :param path: where it stands in the wheel, below ``.dist-info/sboms/``; foreign text.
    :param name: where it is laid, below the folder of the SBOMs: the name of the wheel, and one that is safe.
    :param sha256: of its bytes, in hexadecimal.
    """

    path: str
    name: str
    sha256: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CarriedSboms:
    """What wheels carry.

    :param by_wheel: the SBOMs of each wheel that has some, by its name.
    :param problems: why those of a wheel could not be read, as a phrase, by its name.
    """

    by_wheel: Mapping[str, tuple[CarriedSbom, ...]]
    problems: Mapping[str, str]

    @property
    def files(self) -> Mapping[str, bytes]:
        """Where each is laid beside the SBOM of the mirror, and its bytes."""
        return {f"{CARRIED}/{one.name}": one.content for found in self.by_wheel.values() for one in found}


def carried_sboms(mirror: Mirror, files: Iterable[PlannedFile]) -> CarriedSboms:
    """Return the SBOMs of the wheels that stand in a mirror; those of one that does not, or is altered, are not looked for."""
    by_wheel: dict[str, tuple[CarriedSbom, ...]] = {}
    problems: dict[str, str] = {}
    left = _MOST_BYTES
    for file in files:
        if not is_wheel(file.filename):
            continue
        try:
            found = _of_wheel(mirror, file)
        except MetadataError as error:
            problems[file.filename] = error.problem
            continue
        left -= sum(len(one.content) for one in found)
        if left < 0:
            problems[file.filename] = f"left out, as those after it: together they have more than {_MOST_BYTES:,} bytes"
            break
        if found:
            by_wheel[file.filename] = found
    return CarriedSboms(by_wheel, problems)


def _of_wheel(mirror: Mirror, file: PlannedFile) -> tuple[CarriedSbom, ...]:
    path = mirror.package_path(file.project, file.filename)
    if not mirror.ledger.is_right(path, file.sha256):
        return ()
    with path.open("rb") as archive:
        return _named(file.filename, wheel_sboms(archive, file.filename))


def _named(wheel: str, found: Sequence[tuple[str, bytes]]) -> tuple[CarriedSbom, ...]:
    """Give each a name: its own where that is safe, and told from the others on every disk; else one made of its hash."""
    taken: set[str] = set()
    named = []
    for path, content in found:
        name = _safe_name(path)
        if not name or name.casefold() in taken:
            name = f"{sha256_of_bytes(path.encode() + content)[:16]}.txt"
        taken.add(name.casefold())
        named.append(CarriedSbom(path, f"{wheel}/{name}", sha256_of_bytes(content), content))
    return tuple(named)


def _safe_name(path: str) -> str:
    """Return the name of a file for a path, or nothing; what is below a folder has that in its name."""
    name = path.replace("/", "_")
    name = name if name.endswith(_SAFE_ENDINGS) else f"{name}.txt"
    return name if _is_plain(name) and not is_device(name) else ""
