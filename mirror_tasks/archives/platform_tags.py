"""What a wheel that was built on this machine needs, said by its tags.

On Linux most backends name a wheel after the kind of machine alone (``linux_x86_64``), and every installer on such a machine
takes it, whatever its C library is. What was linked here needs one of the same kind that is no older, and there are tags
that say that: ``manylinux_2_36_x86_64`` (PEP 600), ``musllinux_1_2_x86_64`` (PEP 656). The tags of macOS and Windows say
what a wheel needs already, and so do those of a backend that looked into it.
"""

from __future__ import annotations

import re

from packaging.tags import platform_tags


def name_with_needs(filename: str) -> str | None:
    """Return the name of a wheel that was built here, with tags that say what it needs; None where that is not known."""
    start, _, platforms = filename.removesuffix(".whl").rpartition("-")
    told = [_with_needs(platform) for platform in platforms.split(".")]
    known = [platform for platform in told if platform]
    return f"{start}-{'.'.join(dict.fromkeys(known))}.whl" if len(known) == len(told) else None


def tags_with_needs(wheel: bytes) -> bytes:
    """Return the text of a wheel's WHEEL, with tags as :func:`name_with_needs` makes them."""
    return re.sub(rb"(?mi)^(Tag:[^\r\n]*-)(linux_\w+)", lambda found: found[1] + _replaced(found[2]), wheel)


def _replaced(platform: bytes) -> bytes:
    told = _with_needs(platform.decode("ascii", "replace"))
    return told.encode() if told else platform


def _with_needs(platform: str) -> str | None:
    if not platform.startswith("linux_"):
        return platform
    machine = re.escape(platform.removeprefix("linux_"))
    says_it = re.compile(rf"(?:many|musl)linux_\d+_\d+_{machine}").fullmatch
    return next(filter(says_it, platform_tags()), None)
