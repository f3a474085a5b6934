"""The METADATA of a wheel, which may be somewhere else and is then read in parts; and the SBOMs that it carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from packaging.utils import canonicalize_name

from mirror_tasks.archives.members import LARGEST_MEMBER, folded
from mirror_tasks.archives.untrusted import BrokenError, untrusted
from mirror_tasks.archives.zip import directory_mentions, zip_members

_DIST_INFO = b".dist-info"
_SBOMS = ".dist-info/sboms/"
_MOST_SBOMS = 100  # of a wheel; known ones have up to three


@untrusted
def wheel_metadata(archive: BinaryIO, filename: str, *, whole: bool = True) -> bytes:
    """Return the bytes of a wheel's METADATA.

    :param archive: the wheel, or a reader that fetches what is asked of it by ``seek`` and ``read``.
    :param whole: as of :func:`~mirror_tasks.archives.zip.zip_members`.
    :raises MetadataError: the wheel has not exactly one ``.dist-info`` folder of its own project with one METADATA
        in it, or is an archive that could be read in more than one way.
    """
    members = zip_members(archive, whole=whole, part=_DIST_INFO)
    # Some systems take other spellings for the same path.
    said = [(folded(member.path), member) for member in members if ".dist-info" in member.path.casefold()]
    folder = _dist_info([member.path for spelled, member in said if ".dist-info/" in f"{spelled}/"], filename)
    found = [member for spelled, member in said if spelled == folded(f"{folder}/METADATA")]
    if len(found) != 1 or found[0].path != f"{folder}/METADATA":
        raise BrokenError(f"expected one {folder}/METADATA, found {len(found)}")
    if not found[0].is_file:
        raise BrokenError(f"{folder}/METADATA is not a regular file")
    return found[0].read()


@untrusted
def wheel_sboms(archive: BinaryIO, filename: str) -> tuple[tuple[str, bytes], ...]:
    """Return the SBOMs that a wheel carries (PEP 770): the path of each below ``sboms/``, and its bytes; sorted.

    :param archive: the wheel, which was read as a whole before.
    :raises MetadataError: it has more of them, or larger ones, than are read, or is damaged.
    """
    if not directory_mentions(archive, _SBOMS.encode()):
        return ()
    members = zip_members(archive, whole=False, part=_DIST_INFO)
    folder = _dist_info([member.path for member in members if ".dist-info/" in member.path], filename)
    found = sorted(
        ((member.path.removeprefix(f"{folder}/sboms/"), member) for member in members if member.is_file),
        key=lambda pair: pair[0],
    )
    found = [(path, member) for path, member in found if path != member.path]
    if len(found) > _MOST_SBOMS:
        raise BrokenError(f"it has {len(found):,} SBOMs, more than the {_MOST_SBOMS} that are read")
    contents, total = [], 0
    for path, member in found:
        contents.append((path, member.read()))
        total += len(contents[-1][1])
        if total > LARGEST_MEMBER:
            raise BrokenError(f"its SBOMs have more than {LARGEST_MEMBER:,} bytes")
    return tuple(contents)


def _dist_info(paths: Sequence[str], filename: str) -> str:
    tops = dict.fromkeys(path.partition("/")[0] for path in paths)
    folders = [top for top in tops if folded(top).partition("/")[0].endswith(".dist-info")]
    if len(folders) != 1 or not folders[0].endswith(".dist-info"):  # installers find it in lower case only
        raise BrokenError(f"expected one .dist-info folder, found {', '.join(folders[:3]) or 'none'}")
    # The rule of pip and uv. Which release it is, METADATA says: the folder may spell the version otherwise.
    if not canonicalize_name(folders[0]).startswith(canonicalize_name(filename.partition("-")[0])):
        raise BrokenError(f"its .dist-info folder is of another project: {folders[0]}")
    return folders[0]
