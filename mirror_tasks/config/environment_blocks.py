"""A block under ``environments:`` in ``mirror.yaml`` becomes an :class:`Environment`, or all its faults at once.

The block names a Python, a platform and what its C library or system is; everything that an installer on that machine
would find out about itself is derived here, without being there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from packaging.tags import Tag, parse_tag
from packaging.version import Version

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.environments import MARKER_KEYS, Environment
from mirror_tasks.config.platforms import (
    PLATFORMS,
    Libc,
    Platform,
    kernel_markers,
    lowest_glibc,
    platform_of,
    platform_tags,
    unknown_platform,
)
from mirror_tasks.config.pythons import (
    IMPLEMENTATION_VERSIONS,
    IMPLEMENTATIONS,
    Python,
    interpreter_tags,
    parse_python,
)
from mirror_tasks.errors import Fault, MirrorError

KEYS = (
    "python",
    "platform",
    "glibc",
    "musl",
    "macos",
    "implementation",
    "implementation-version",
    "markers",
    "tags",
)
"""The keys of an environment's block in ``mirror.yaml``."""

DEFAULT_GLIBC = "2.28"
DEFAULT_MACOS = "14.0"


class BlockError(MirrorError):
    """A block of ``mirror.yaml`` does not describe an environment; carries all its faults."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        problem = "; ".join(map(str, self.faults))
        super().__init__("reading the environment", name, problem, "Correct the block and run again.")


def environment(name: str, block: Mapping[str, object], key_path: str) -> Environment:
    """Return the environment that a block of ``mirror.yaml`` describes.

    :param key_path: the block's place, such as ``environments.laptop``.
    :raises BlockError: the block does not describe one; carries all its faults.
    """
    faults: list[Fault] = []
    reading = Block(block, key_path, faults)
    result = None if faults else _Reader(name, reading).environment()
    if result is None or faults:
        raise BlockError(name, faults)
    return result


# What a key decides can't be said a second time, and differently, among the markers.
_DECIDES = {
    "python": ("python_full_version", "python_version"),
    "platform": ("os_name", "platform_system", "sys_platform"),
    "implementation": ("implementation_name", "platform_python_implementation"),
    "implementation-version": ("implementation_version",),
}


class _Reader:
    """Reads one block: first what it says, then what follows from that."""

    def __init__(self, name: str, block: Block) -> None:
        self.name = name
        self.block = block
        block.only(KEYS)
        self.given = _given_markers(block)
        self._check_said_once()
        self.implementation = self._implementation()
        self.python = self._python()
        self.platform = self._platform()
        self.libc = _libc(block, self.platform)
        self.macos = _macos(block, self.platform)
        self.version = self._implementation_version()

    def environment(self) -> Environment | None:
        """Return the environment, or None where there are faults."""
        if self.python is None or self.block.faulty:
            return None
        markers = self._markers(self.python)
        tags = self._tags(self.python)
        if markers is None or tags is None:
            return None
        return Environment(self.name, Version(Version(self.python.low).base_version), markers, tags)

    def _check_said_once(self) -> None:
        for key, decided in _DECIDES.items():
            for marker in decided:
                if self.block.has(key) and marker in self.given:
                    self.block.fault(f"markers.{marker}", f"`{key}` decides it; expected only one of the two")
        for key in ("glibc", "musl", "macos"):
            if self.block.has(key) and self.block.has("tags"):
                self.block.fault(key, "`tags` are spelled out, so that it changes nothing; leave it out")

    def _implementation(self) -> str:
        derived = self.given.get("implementation_name", "cpython")
        return self.block.choice("implementation", derived, IMPLEMENTATIONS, "implementation")

    def _python(self) -> Python | None:
        if self.block.has("python"):
            text = self.block.version("python", "3.12")
            return self._parsed_python("python", text) if text is not None else None
        for marker in ("python_full_version", "python_version"):
            if marker in self.given:
                return self._parsed_python(f"markers.{marker}", self.given[marker])
        self.block.fault("python", 'missing; expected a version in quotes such as "3.12" or "3.11.7"')
        return None

    def _parsed_python(self, key: str, text: str) -> Python | None:
        python = parse_python(text)
        if python is None:
            expected = '"3.12" for every 3.12, "3.11.7" for exactly that one, or "3.13t" for a free-threaded build'
            self.block.fault(key, f"expected a Python 3 version such as {expected}, found {show(text)}")
        elif python.threaded and (python.minor < (3, 13) or self.implementation != "cpython"):
            self.block.fault(key, f"only CPython 3.13 and newer have free-threaded builds, found {show(text)}")
        elif self.given.get("python_version", python.minor_text) != python.minor_text:
            self.block.fault("markers.python_version", f'expected "{python.minor_text}", as in {key}')
        return python

    def _platform(self) -> Platform | None:
        text = self.block.string("platform", None)
        if text is None:
            if not self.given and not self.block.has("platform"):
                self.block.fault("platform", f"missing; expected one of {', '.join(PLATFORMS)}")
            return platform_of(self.given)
        if text not in PLATFORMS:
            self.block.fault("platform", unknown_platform(text))
        return PLATFORMS.get(text)

    def _implementation_version(self) -> str | None:
        """Return the version of an implementation that counts its own; CPython's is Python's."""
        key = "implementation-version"
        if self.implementation not in IMPLEMENTATION_VERSIONS:
            if self.block.has(key):
                self.block.fault(key, "only PyPy and GraalPy have one apart from `python`; leave it out")
            return self.given.get("implementation_version")
        known = IMPLEMENTATION_VERSIONS[self.implementation]
        default = known.get(self.python.minor_text) if self.python else None
        text = self.block.version(key, "7.3.19") or self.given.get("implementation_version") or default
        if text is None:
            self.block.fault(key, f"missing, and known only for Python {', '.join(known)}")
        elif not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}", text):
            self.block.fault(key, f'expected a version such as "7.3.19", found {show(text)}')
        return text

    def _markers(self, python: Python) -> tuple[Mapping[str, str], ...] | None:
        shared = self.platform.markers if self.platform else {}
        if self.macos:
            shared |= kernel_markers(self.macos)
        ends = dict.fromkeys((python.low, python.high))
        markers = [{**shared, **self._python_markers(python, full), **self.given} for full in ends]
        missing = [key for key in MARKER_KEYS if key not in markers[0]]
        if missing:
            self.block.fault("markers", f"missing {', '.join(missing)}, which can't be derived from what is given")
            return None
        return tuple(MappingProxyType(dict(sorted(end.items()))) for end in markers)

    def _python_markers(self, python: Python, full: str) -> dict[str, str]:
        markers = {
            "python_version": python.minor_text,
            "python_full_version": full,
            "implementation_name": self.implementation,
        }
        if self.implementation in IMPLEMENTATIONS:
            markers["platform_python_implementation"] = IMPLEMENTATIONS[self.implementation]
        version = full if self.implementation == "cpython" else self.version
        return markers | ({"implementation_version": version} if version else {})

    def _tags(self, python: Python) -> tuple[Tag, ...] | None:
        if self.block.has("tags"):
            return _given_tags(self.block)
        platforms = platform_tags(self.platform, self.libc, self.macos) if self.platform else []
        if not platforms or self.implementation not in IMPLEMENTATIONS:
            self.block.fault("tags", "missing; they can't be derived for this platform or implementation")
            return None
        return tuple(dict.fromkeys(interpreter_tags(python, self.implementation, self.version, platforms)))


def _given_markers(block: Block) -> dict[str, str]:
    if not block.has("markers"):
        return {}
    faults: list[Fault] = []
    markers = Block(block.get("markers"), block.path("markers"), faults)
    markers.only(MARKER_KEYS)
    given = {key: markers.get(key) for key in MARKER_KEYS if markers.get(key) is not None}
    for key, value in given.items():
        if not isinstance(value, str):
            markers.fault(key, f'expected text in quotes such as "{value}", found {show(value)}')
    for fault in faults:
        block.add(fault)
    return {key: value for key, value in given.items() if isinstance(value, str)}


def _libc(block: Block, platform: Platform | None) -> Libc | None:
    versions = {name: _pair(block, name, example) for name, example in (("glibc", DEFAULT_GLIBC), ("musl", "1.2"))}
    given = {name: version for name, version in versions.items() if version}
    if platform is None:
        return None
    if platform.system != "linux":
        for name in given:
            block.fault(name, "only Linux platforms have one; leave it out")
        return None
    if len(given) == 2:
        block.fault("musl", "the block has `glibc` too; expected only one of the two")
    name, version = next(iter(given.items()), ("glibc", _numbers(DEFAULT_GLIBC)))
    _check_libc(block, name, version, platform)
    return Libc(name, version)


def _check_libc(block: Block, name: str, version: tuple[int, int], platform: Platform) -> None:
    lowest = lowest_glibc(platform.arch) if name == "glibc" else (1, 0)
    if version[0] != lowest[0] or not lowest[1] <= version[1] <= 99:
        block.fault(name, f'expected "{lowest[0]}.{lowest[1]}" or newer, found "{version[0]}.{version[1]}"')


def _macos(block: Block, platform: Platform | None) -> tuple[int, int] | None:
    version = _pair(block, "macos", DEFAULT_MACOS)
    if platform is None:
        return None
    if platform.system != "macos":
        if version:
            block.fault("macos", "only macOS platforms have one; leave it out")
        return None
    version = version or _numbers(DEFAULT_MACOS)
    # arm64 began with macOS 11; universal2 and x86_64 wheels are not made for anything before 10.4
    lowest = (11, 0) if platform.arch == "arm64" else (10, 4)
    if not lowest <= version < (100, 0):
        block.fault("macos", f'expected "{lowest[0]}.{lowest[1]}" or newer, found "{version[0]}.{version[1]}"')
    return version


def _pair(block: Block, key: str, example: str) -> tuple[int, int] | None:
    text = block.version(key, example)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}", text):
        block.fault(key, f'expected a version such as "{example}", found {show(text)}')
        return None
    return _numbers(text)


def _numbers(text: str) -> tuple[int, int]:
    major, minor, *_ = [*map(int, text.split(".")), 0]
    return major, minor


def _given_tags(block: Block) -> tuple[Tag, ...] | None:
    values = block.get("tags")
    if not isinstance(values, list) or not values:
        block.fault(
            "tags", f"expected a list of tags such as cp312-cp312-linux_x86_64, best first; found {show(values)}"
        )
        return None
    tags: dict[Tag, None] = {}
    for index, value in enumerate(values):
        try:
            tags.update(dict.fromkeys(sorted(parse_tag(value), key=str)))
        except (ValueError, AttributeError):
            block.fault(f"tags[{index}]", f"expected a tag such as cp312-cp312-linux_x86_64, found {show(value)}")
    return tuple(tags)
