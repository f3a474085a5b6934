"""Sdists and wheels that were just built, packed anew: the same content gives the same bytes, whenever and by whom.

A backend writes times, owners and the order of a file system into what it makes. Nothing of that says anything of the
release, so all of it is replaced (https://reproducible-builds.org/docs/archives/); contents stay as they are, so that the
hashes of a wheel's RECORD hold. Only where a wheel gets other tags, it says them itself too, and its RECORD is right for that.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import shutil
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mirror_tasks.archives.platform_tags import tags_with_needs
from mirror_tasks.errors import MetadataError
from mirror_tasks.files import replacing

_OLDEST = 315532800  # seconds; zip knows no time before 1980
_COMPRESSION = 9


def repack_sdist(built: Path, target: Path, seconds: int) -> None:
    """Write a ``.tar.gz`` anew.

    :param seconds: since 1970: the time that all its members bear.
    :raises MetadataError: it has a member that is no file, folder or link.
    """
    with (
        tarfile.open(built) as source,
        replacing(target) as stream,
        gzip.GzipFile("", "wb", _COMPRESSION, stream, mtime=seconds) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as packed,
    ):
        for member in sorted(source.getmembers(), key=lambda one: one.name):
            content = source.extractfile(member) if member.isreg() else None
            packed.addfile(_plain(member, built, seconds), content)


def _plain(member: tarfile.TarInfo, built: Path, seconds: int) -> tarfile.TarInfo:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        problem = f"expected files and folders, found {member.name!a:.200} of another kind"
        raise MetadataError("packing", built.name, problem, "The build of this project makes an sdist that is none.")
    plain = tarfile.TarInfo(member.name)
    plain.type = tarfile.REGTYPE if member.isreg() else member.type
    plain.size = member.size if member.isreg() else 0
    plain.linkname = member.linkname
    plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    plain.mtime = seconds
    return plain


def repack_wheel(built: Path, target: Path, seconds: int) -> None:
    """Write a wheel anew; what it says of itself comes last, RECORD at the very end, as the specification advises.

    :param target: its name has the tags of the wheel, as :mod:`~mirror_tasks.archives.platform_tags` makes them.
    :param seconds: since 1970: the time that all its members bear, or 1980 if it is before that.
    :raises zipfile.BadZipFile: it is no zip.
    :raises ValueError: it is no wheel.
    """
    when = time.gmtime(max(seconds, _OLDEST))[:6]
    with (
        zipfile.ZipFile(built) as source,
        replacing(target) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as packed,
    ):
        changed = _with_other_tags(source) if built.name != target.name else {}
        for member in sorted((one for one in source.infolist() if not one.is_dir()), key=_place):
            plain = zipfile.ZipInfo(member.filename, when)
            plain.create_system = 3  # Unix: the modes below are its
            plain.external_attr = (0o100755 if member.external_attr >> 16 & 0o100 else 0o100644) << 16
            plain.compress_type = zipfile.ZIP_DEFLATED
            new = changed.get(member.filename)
            plain.file_size = member.file_size if new is None else len(new)
            with source.open(member) if new is None else io.BytesIO(new) as content, packed.open(plain, "w") as written:
                shutil.copyfileobj(content, written)


def _with_other_tags(source: zipfile.ZipFile) -> Mapping[str, bytes]:
    """Return the files of a wheel that change with its tags, by path: WHEEL, and RECORD, which has the hash of WHEEL."""
    (wheel,) = (name for name in source.namelist() if re.fullmatch(r"[^/]+\.dist-info/WHEEL", name))
    record = wheel.removesuffix("WHEEL") + "RECORD"
    content = tags_with_needs(source.read(wheel))
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    line = b"%b,sha256=%b,%d" % (wheel.encode(), digest, len(content))
    old = rb"(?m)^%b,[^\r\n]*" % re.escape(wheel.encode())
    return {wheel: content, record: re.sub(old, lambda _: line, source.read(record))}


def _place(member: zipfile.ZipInfo) -> tuple[bool, bool, str]:
    return ".dist-info/" in member.filename, member.filename.endswith("/RECORD"), member.filename
