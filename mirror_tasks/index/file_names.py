"""The names of wheels and sdists: which kind of file they are, and of which version of which project."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.errors import PageError
from mirror_tasks.files import check_filename

# Kinds of files that an index may offer and no installer takes from it any more.
_OTHER_KINDS = {
    ".egg": "an egg; installers take wheels and sdists",
    ".exe": "a Windows installer; installers take wheels and sdists",
    ".msi": "a Windows installer; installers take wheels and sdists",
    ".rpm": "an rpm; installers take wheels and sdists",
    ".deb": "a deb; installers take wheels and sdists",
    ".dmg": "a disk image; installers take wheels and sdists",
    ".tar.Z": "an sdist compressed as no installer reads it",
    ".tar.zst": "an sdist compressed as no installer reads it",
    ".7z": "neither a wheel nor an sdist",
}
# What an sdist's name may end in, what is preferred first: PEP 625 has .tar.gz, .zip is what it was on Windows before.
# The others are on indexes since long ago: pip takes them, uv does not.
SDIST_ENDINGS = (
    ".tar.gz",
    ".zip",
    ".tgz",
    ".tar.bz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.lzma",
    ".tlz",
    ".tar.lz",
    ".tar",
)
_MOST_TAGS = 2000


def is_wheel(filename: str) -> bool:
    """Say if ``filename`` is a wheel's."""
    return filename.endswith(".whl")


def is_sdist(filename: str) -> bool:
    """Say if ``filename`` is a source distribution's."""
    return filename.endswith(SDIST_ENDINGS)


def sdist_ending(filename: str) -> str:
    """Return what the name of an sdist ends in; empty for other names."""
    return next((ending for ending in SDIST_ENDINGS if filename.endswith(ending)), "")


def version_of(filename: str, project: str) -> Version:
    """Return the version of ``project`` that the wheel or sdist ``filename`` is of.

    :raises PageError: no standard allows the name, or it is another project's.
    :raises IntegrityError: the name is not safe.
    """
    text, reason = parse_filename(check_filename(filename), canonicalize_name(project))
    version = None if reason else version_or_none(text)
    if version is None:
        reason = reason or f"its version {text!r} breaks PEP 440"
        raise PageError(
            "reading the file name",
            repr(filename),
            reason,
            "The file is left out; report it to whoever runs the index.",
        )
    return version


def parse_filename(filename: str, project: str) -> tuple[str, str | None]:
    """Return the text of the version, or the reason why ``filename`` can't be used; ``project`` is normalised."""
    if filename.endswith(".whl"):
        fields = filename.split("-", 2)
        if len(fields) != 3:
            return "", _NOT_A_WHEEL
        if _normal(fields[0]) != project:
            return "", f"named for another project than {project}"
        return fields[1], _tags_fault(fields[2])
    if ending := sdist_ending(filename):
        text = _version_in(filename.removesuffix(ending), project)
        return (text, None) if text else ("", f"not named {project}-VERSION")
    kinds = (reason for ending, reason in _OTHER_KINDS.items() if filename.endswith(ending))
    return "", next(kinds, "neither a wheel nor an sdist")


_NOT_A_WHEEL = "not a wheel's name: NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl"


@lru_cache(maxsize=1 << 14)
def _tags_fault(rest: str) -> str | None:
    """Return why ``rest``, what follows the version in a wheel's name, is not ``[BUILD-]PYTHON-ABI-PLATFORM.whl``.

    The same few hundred endings occur in every release. A compressed tag set can be a bomb, so it is only counted.
    """
    build, *fields = ["", *rest[:-4].split("-")] if rest.count("-") == 2 else rest[:-4].split("-")
    sets = [field.split(".") for field in fields[:3]]
    if len(fields) == 3 and (not build or build[0].isdigit()):
        if not all(map(all, sets)) or not all(python.isidentifier() for python in sets[0]):
            return f"its tag {'-'.join(fields)!r} is not one that a wheel may have"
        return f"its tag stands for more than {_MOST_TAGS} tags" if prod(map(len, sets)) > _MOST_TAGS else None
    return "a wheel variant, which is a draft that installers do not know" if len(fields) in (3, 4) else _NOT_A_WHEEL


@lru_cache(maxsize=1 << 12)
def version_or_none(text: str) -> Version | None:
    """Return the version, or None where PEP 440 does not allow it."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=1 << 14)
def _normal(name: str) -> str:
    return canonicalize_name(name)


def _version_in(stem: str, project: str) -> str:
    """Return what follows the name of the project in the name of an sdist without its ending; empty where it is another's.

    The name is known, so what follows it is the version: old names and old versions have dashes (foo-1.0-1).
    """
    dash = stem.find("-", len(project))
    while dash > 0 and _normal(stem[:dash]) != project:
        dash = stem.find("-", dash + 1)
    is_its = dash > 0 and stem[:dash].isascii() and not {"/", "\\"} & set(stem)
    return stem[dash + 1 :] if is_its else ""
