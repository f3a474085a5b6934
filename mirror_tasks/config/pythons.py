"""A Python as ``mirror.yaml`` writes it, its implementation, and the tags of the wheels that it can install."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags
from packaging.version import Version

from mirror_tasks.config.patch_releases import MOST_PATCHES

IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}
"""``sys.implementation.name`` and what ``platform.python_implementation()`` says there."""

IMPLEMENTATION_VERSIONS: Mapping[str, Mapping[str, str]] = {
    "pypy": {
        "3.6": "7.3.3", "3.7": "7.3.9", "3.8": "7.3.11", "3.9": "7.3.16", "3.10": "7.3.19", "3.11": "7.3.20",
    },
    "graalpy": {"3.10": "24.0.0", "3.11": "24.2.0", "3.12": "25.0.0", "3.13": "25.3.0"},
}  # fmt: skip
"""The newest release for each Python; wheels depend on it by the ABI, markers hardly ever."""

# Since 25.0 GraalPy keeps its ABI for a Python version: 25.1 and 25.2 load wheels of 25.0.
_GRAALPY_ABI = {"3.12": "250", "3.13": "253"}


class Python(NamedTuple):
    """A Python version as written: ``low`` and ``high`` are full versions, equal where it is exact."""

    minor: tuple[int, int]
    low: str
    high: str
    threaded: bool

    @property
    def minor_text(self) -> str:
        """The minor version, such as 3.12."""
        return f"{self.minor[0]}.{self.minor[1]}"


def parse_python(text: str) -> Python | None:
    """Return the Python that is written so; None where it is no Python 3."""
    match = re.fullmatch(r"(3)\.(0|[1-9][0-9]?)(?:\.([0-9]{1,3})((?:a|b|rc)[0-9]{1,3})?)?(t?)", text)
    if match is None:
        return None
    major, minor, micro, pre, flag = match.groups()
    short = f"{major}.{minor}"
    if micro is not None:
        low = high = f"{short}.{micro}{pre or ''}"
    else:
        low, high = f"{short}.0", f"{short}.{MOST_PATCHES - 1}"
    return Python((int(major), int(minor)), low, high, bool(flag))


def interpreter_tags(python: Python, implementation: str, version: str | None, platforms: list[str]) -> Iterator[Tag]:
    """Yield the tags of the wheels that an interpreter can install, best first.

    :param implementation: one of :data:`IMPLEMENTATIONS`.
    :param version: of the implementation, where it counts its own.
    :param platforms: the tags of the platform, best first.
    """
    # packaging would take what is left out from the machine it runs on: abis and platforms are always given
    nodot = f"{python.minor[0]}{python.minor[1]}"
    if implementation == "cpython":
        # the ABI flag m (pymalloc) is part of the name up to 3.7
        flag = "t" if python.threaded else "m" if python.minor < (3, 8) else ""
        yield from cpython_tags(python.minor, [f"cp{nodot}{flag}"], platforms)
        yield from compatible_tags(python.minor, f"cp{nodot}", platforms)
        return
    own = Version(version or "0")
    if implementation == "pypy":
        abi = f"pypy{nodot}_pp{own.major}{own.minor}"
        yield from generic_tags(f"pp{nodot}", [abi], platforms)
        yield from compatible_tags(python.minor, "pp3", platforms)
        return
    release = _GRAALPY_ABI.get(python.minor_text, f"{own.major}{own.minor}")
    yield from generic_tags(f"graalpy{nodot}", [f"graalpy{release}_{nodot}_native"], platforms)
    yield from compatible_tags(python.minor, None, platforms)
