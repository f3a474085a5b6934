"""Environments: one that packages are mirrored for, as PEP 508 markers and PEP 425 tags.

A block of ``mirror.yaml`` names a Python, a platform and what its C library or system is; everything that an
installer on that machine would find out about itself is derived here, without being there.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags, mac_platforms, parse_tag
from packaging.version import Version

from mirror_tasks.config.blocks import Block, show, unknown
from mirror_tasks.config.installers import INSTALLERS, Installer, python_check
from mirror_tasks.config.markers import extras_of, holds, judged_alike
from mirror_tasks.errors import Fault, MirrorError
from mirror_tasks.files import to_json

MARKER_KEYS = (
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
)
"""The environment markers of PEP 508, all but ``extra``."""

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

MOST_PATCHES = 1001
"""How many patch releases are told apart: one more than any text names, and all later ones are as the last."""

ALL_PATCHES = (1 << MOST_PATCHES) - 1

DEFAULT_GLIBC = "2.28"
DEFAULT_MACOS = "14.0"


class BlockError(MirrorError):
    """A block of ``mirror.yaml`` does not describe an environment; carries all its faults."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        problem = "; ".join(map(str, self.faults))
        super().__init__("reading the environment", name, problem, "Correct the block and run again.")


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that packages are mirrored for.

    A minor version alone stands for all its patch releases, those to come too. Where a set of these is asked for it is
    a number, whose bit N stands for patch release N, and the last bit for all that are later than any ever named.

    :param name: its key in ``mirror.yaml``.
    :param python: the lowest full version it stands for (3.12 stands from 3.12.0 on). Requires-Python is judged on
        it, and installers compare without the pre-release part (pip: ``sys.version_info[:3]``), so it has none.
    :param markers: all keys of :data:`MARKER_KEYS`: once for an exact Python version, else at both ends of the range.
    :param tags: the tags of the wheels it can install, best first, as its own installer orders them.
    :param installers: who judges. A marker holds if it does for one of them; Requires-Python counts as the first takes it.
    """

    name: str
    python: Version
    markers: tuple[Mapping[str, str], ...]
    tags: tuple[Tag, ...]
    installers: tuple[Installer, ...] = INSTALLERS
    _rank: Callable[[str], int | None] = field(init=False, repr=False, compare=False)
    _answers: Callable[[str, str, Installer], int] = field(init=False, repr=False, compare=False)
    _allowed: Callable[[str], int] = field(init=False, repr=False, compare=False)
    _points: dict[tuple[int | None, Installer | None], Environment] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ranks = {str(tag): rank for rank, tag in reversed(list(enumerate(self.tags)))}
        # lru_cache locks by itself and is bounded: a hostile page can't fill the memory with tags of its own making
        for name, function in (
            ("_rank", functools.partial(_best_rank, ranks)),
            ("_answers", functools.partial(_patches_where_it_holds, self.markers)),
            ("_allowed", functools.partial(_patches_allowed, self.python, self.is_range, self.installer)),
        ):
            object.__setattr__(self, name, functools.lru_cache(maxsize=1 << 16)(function))
        object.__setattr__(self, "_points", {})

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def installer(self) -> Installer:
        """Who takes files: the first of those who judge."""
        return self.installers[0]

    @property
    def is_range(self) -> bool:
        """It stands for every patch release of a minor version."""
        return len(self.markers) > 1

    @property
    def all_patches(self) -> int:
        """The set of all patch releases that it stands for; an exact version is a set of one."""
        return ALL_PATCHES if self.is_range else 1

    def at(self, patch: int, installer: Installer | None = None) -> Environment:
        """Return it as one patch release of its range, as one installer judges it; an exact version is its own."""
        key = (patch, installer)
        if key not in self._points:
            self._points[key] = self._at(patch, (installer,) if installer else self.installers)
        return self._points[key]

    def _at(self, patch: int, installers: tuple[Installer, ...]) -> Environment:
        if not self.is_range:
            return self._sharing(replace(self, installers=installers), self._answers)
        python = Version(f"{self.python.major}.{self.python.minor}.{patch}")
        point = replace(self, python=python, markers=(_markers_at(self.markers, patch),), installers=installers)
        return self._sharing(point, functools.partial(_answer_at, self._answers, patch))

    def for_installer(self, installer: Installer) -> Environment:
        """Return it, all of its range, as one installer judges it."""
        key = (None, installer)
        if key not in self._points:
            self._points[key] = self._sharing(replace(self, installers=(installer,)), self._answers)
        return self._points[key]

    def _sharing(self, other: Environment, answers: Callable[[str, str, Installer], int]) -> Environment:
        """Let another one of the same tags have what is remembered here: of most markers the points of a range say the same."""
        object.__setattr__(other, "_rank", self._rank)
        object.__setattr__(other, "_answers", answers)
        return other

    def tag_rank(self, compressed: str) -> int | None:
        """Return the index of the best tag in common with a wheel's, 0 being the best of all, or None without one.

        :param compressed: the tags as they stand in a wheel's name, such as
            ``cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64``.
        """
        return self._rank(compressed)

    def allows(self, requires_python: str | None) -> int:
        """Return the set of patch releases that a Requires-Python allows, as the installer takes it."""
        return self._allowed(requires_python) if requires_python else self.all_patches

    def marker_applies(self, marker: Marker | None, extras: Iterable[str] = ()) -> bool:
        """Say if a requirement with this marker applies anywhere in the range, with no extra or any of ``extras``."""
        if marker is None:
            return True
        text = str(marker)
        return any(self._answers(text, extra, one) for extra in ("", *extras) for one in self.installers)

    def marker_always_applies(self, marker: Marker | None) -> bool:
        """Say if a requirement with this marker applies everywhere in the range, without an extra, whoever judges it."""
        text = "" if marker is None else str(marker)
        return not text or all(self._answers(text, "", one) == self.all_patches for one in self.installers)

    def turns(self, requires_python: str | None, marker: str = "") -> set[int]:
        """Return the patch releases at which a Requires-Python, or a marker, changes its answer for some installer."""
        found: set[int] = set()
        if not self.is_range:
            return found
        for one in INSTALLERS:
            if requires_python:
                found |= _turns(_patches_allowed(self.python, self.is_range, one, requires_python))
            if sees_the_patch(marker):
                for extra in ("", *extras_of(marker)):
                    found |= _turns(self._answers(marker, extra, one))
        return found

    def divides(self, marker: str) -> bool:
        """Say if the installers judge a marker differently somewhere in the range."""
        if judged_alike(marker):
            return False
        extras = ("", *extras_of(marker))
        return any(len({self._answers(marker, extra, one) for one in INSTALLERS}) > 1 for extra in extras)

    def to_json(self) -> dict[str, object]:
        """Return what a plan keeps of it; the long list of tags as its number and hash."""
        tags = "\n".join(map(str, self.tags))
        return {
            "name": self.name,
            "python": str(self.python),
            "markers": [dict(markers) for markers in self.markers],
            "tags": len(self.tags),
            "tags-sha256": hashlib.sha256(tags.encode()).hexdigest(),
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of :meth:`to_json`, in hexadecimal: changes when what can be chosen for it can."""
        return hashlib.sha256(to_json(self.to_json())).hexdigest()


def _best_rank(ranks: Mapping[str, int], compressed: str) -> int | None:
    parts = compressed.lower().split("-")
    if len(parts) != 3:
        return None
    interpreters, abis, platforms = (part.split(".") for part in parts)
    if len(interpreters) * len(abis) * len(platforms) > 1000:  # no honest wheel has that many, a hostile one could
        return None
    found = (
        ranks.get(f"{interpreter}-{abi}-{platform}")
        for interpreter in interpreters
        for abi in abis
        for platform in platforms
    )
    return min((rank for rank in found if rank is not None), default=None)


def _patches_where_it_holds(ends: tuple[Mapping[str, str], ...], marker: str, extra: str, installer: Installer) -> int:
    if len(ends) == 1 or not sees_the_patch(marker):
        alike = 1 if len(ends) == 1 else ALL_PATCHES
        return alike if holds(marker, {**ends[0], "extra": extra}, installer) else 0
    return _set_of(
        lambda patch: holds(marker, {**_markers_at(ends, patch), "extra": extra}, installer),
        _named_patches(marker, Version(ends[0]["python_full_version"])),
    )


def _answer_at(answers: Callable[[str, str, Installer], int], patch: int, *asked: Any) -> int:
    return answers(*asked) >> patch & 1


@functools.lru_cache(maxsize=1 << 14)
def _patches_allowed(python: Version, is_range: bool, installer: Installer, requires_python: str) -> int:
    is_allowed = python_check(requires_python, installer)
    if is_allowed is None:
        return 0
    if not is_range:
        return int(is_allowed(python))
    return _set_of(
        lambda patch: is_allowed(Version(f"{python.major}.{python.minor}.{patch}")),
        _named_patches(requires_python, python),
    )


def sees_the_patch(marker: str) -> bool:
    """Say if a marker may differ between the patch releases of a Python."""
    return "python_full_version" in marker or "implementation_version" in marker


def _markers_at(ends: tuple[Mapping[str, str], ...], patch: int) -> Mapping[str, str]:
    """Return the markers of one patch release: the Python's version stands in those that differ between the ends."""
    low, high = ends
    python = f"{low['python_version']}.{patch}"
    return MappingProxyType({key: value if value == high[key] else python for key, value in low.items()})


def _named_patches(text: str, python: Version) -> set[int]:
    """Return the patch releases of a Python that a text names; no series of Python has come near the highest."""
    named = re.findall(rf"(?<![\d.])0*{python.major}\.0*{python.minor}\.0*(\d{{1,3}})(?!\d)", text)
    return {int(patch) for patch in named}


def _set_of(holds_at: Callable[[int], bool], named: set[int]) -> int:
    """Return the set of patch releases for which something holds, asked where it can change: at what is named, and behind.

    ``3.11`` alone names 3.11.0.
    """
    starts = sorted(one for one in {0, 1, *named, *(patch + 1 for patch in named)} if one < MOST_PATCHES)
    found = 0
    for start, end in zip(starts, (*starts[1:], MOST_PATCHES), strict=True):
        if holds_at(start):
            found |= (1 << end) - (1 << start)
    return found


def _turns(patches: int) -> set[int]:
    """Return the patch releases that begin a stretch of a set, or of what is not in it."""
    changed = (patches ^ (patches << 1)) & ALL_PATCHES & ~1
    found = set()
    while changed:
        found.add(changed.bit_length() - 1)
        changed ^= 1 << (changed.bit_length() - 1)
    return found


class _Python(NamedTuple):
    """A Python version as written: ``low`` and ``high`` are full versions, equal where it is exact."""

    minor: tuple[int, int]
    low: str
    high: str
    threaded: bool

    @property
    def minor_text(self) -> str:
        return f"{self.minor[0]}.{self.minor[1]}"


class _Platform(NamedTuple):
    """A platform: its markers, and the architecture as tags spell it."""

    system: str
    arch: str
    machine: str

    @property
    def markers(self) -> dict[str, str]:
        return {**_SYSTEMS[self.system], "platform_machine": self.machine}


# Values that no requirement should hang on are those of a common machine. Kernel and build numbers are kept
# comparable as versions (PEP 508 compares as versions where both sides are ones).
_SYSTEMS: dict[str, dict[str, str]] = {
    "linux": {
        "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux",
        "platform_release": "5.15.0", "platform_version": "#1 SMP",
    },
    "windows": {
        "os_name": "nt", "sys_platform": "win32", "platform_system": "Windows",
        "platform_release": "10", "platform_version": "10.0.19045",
    },
    "macos": {"os_name": "posix", "sys_platform": "darwin", "platform_system": "Darwin"},
}  # fmt: skip

PLATFORMS: Mapping[str, _Platform] = {
    **{
        f"linux-{arch}": _Platform("linux", arch, arch)
        for arch in ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64")
    },
    # platform.machine() is upper case on 64-bit Windows; tags are not
    "windows-amd64": _Platform("windows", "amd64", "AMD64"),
    "windows-x86": _Platform("windows", "x86", "x86"),
    "windows-arm64": _Platform("windows", "arm64", "ARM64"),
    "macos-x86_64": _Platform("macos", "x86_64", "x86_64"),
    "macos-arm64": _Platform("macos", "arm64", "arm64"),
}
"""The platforms that tags can be derived for."""

_IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalVM"}
"""``sys.implementation.name`` and what ``platform.python_implementation()`` says there."""

# The newest release for each Python; wheels depend on it by the ABI, markers hardly ever.
_IMPLEMENTATION_VERSIONS = {
    "pypy": {
        "3.6": "7.3.3", "3.7": "7.3.9", "3.8": "7.3.11", "3.9": "7.3.16", "3.10": "7.3.19", "3.11": "7.3.20",
    },
    "graalpy": {"3.10": "24.0.0", "3.11": "24.2.0", "3.12": "25.0.0", "3.13": "25.3.0"},
}  # fmt: skip

# Since 25.0 GraalPy keeps its ABI for a Python version: 25.1 and 25.2 load wheels of 25.0.
_GRAALPY_ABI = {"3.12": "250", "3.13": "253"}


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
        return self.block.choice("implementation", derived, _IMPLEMENTATIONS, "implementation")

    def _python(self) -> _Python | None:
        if self.block.has("python"):
            text = self.block.version("python", "3.12")
            return self._parse_python("python", text) if text is not None else None
        for marker in ("python_full_version", "python_version"):
            if marker in self.given:
                return self._parse_python(f"markers.{marker}", self.given[marker])
        self.block.fault("python", 'missing; expected a version in quotes such as "3.12" or "3.11.7"')
        return None

    def _parse_python(self, key: str, text: str) -> _Python | None:
        python = _parse_python(text)
        if python is None:
            expected = '"3.12" for every 3.12, "3.11.7" for exactly that one, or "3.13t" for a free-threaded build'
            self.block.fault(key, f"expected a Python 3 version such as {expected}, found {show(text)}")
        elif python.threaded and (python.minor < (3, 13) or self.implementation != "cpython"):
            self.block.fault(key, f"only CPython 3.13 and newer have free-threaded builds, found {show(text)}")
        elif self.given.get("python_version", python.minor_text) != python.minor_text:
            self.block.fault("markers.python_version", f'expected "{python.minor_text}", as in {key}')
        return python

    def _platform(self) -> _Platform | None:
        text = self.block.string("platform", None)
        if text is None:
            if not self.given and not self.block.has("platform"):
                self.block.fault("platform", f"missing; expected one of {', '.join(PLATFORMS)}")
            return _platform_of(self.given)
        if text not in PLATFORMS:
            self.block.fault("platform", _unknown_platform(text))
        return PLATFORMS.get(text)

    def _implementation_version(self) -> str | None:
        """Return the version of an implementation that counts its own; CPython's is Python's."""
        key = "implementation-version"
        if self.implementation not in _IMPLEMENTATION_VERSIONS:
            if self.block.has(key):
                self.block.fault(key, "only PyPy and GraalPy have one apart from `python`; leave it out")
            return self.given.get("implementation_version")
        known = _IMPLEMENTATION_VERSIONS[self.implementation]
        default = known.get(self.python.minor_text) if self.python else None
        text = self.block.version(key, "7.3.19") or self.given.get("implementation_version") or default
        if text is None:
            self.block.fault(key, f"missing, and known only for Python {', '.join(known)}")
        elif not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}", text):
            self.block.fault(key, f'expected a version such as "7.3.19", found {show(text)}')
        return text

    def _markers(self, python: _Python) -> tuple[Mapping[str, str], ...] | None:
        shared = self.platform.markers if self.platform else {}
        if self.macos:
            shared |= _darwin(self.macos)
        ends = dict.fromkeys((python.low, python.high))
        markers = [{**shared, **self._python_markers(python, full), **self.given} for full in ends]
        missing = [key for key in MARKER_KEYS if key not in markers[0]]
        if missing:
            self.block.fault("markers", f"missing {', '.join(missing)}, which can't be derived from what is given")
            return None
        return tuple(MappingProxyType(dict(sorted(end.items()))) for end in markers)

    def _python_markers(self, python: _Python, full: str) -> dict[str, str]:
        markers = {
            "python_version": python.minor_text,
            "python_full_version": full,
            "implementation_name": self.implementation,
        }
        if self.implementation in _IMPLEMENTATIONS:
            markers["platform_python_implementation"] = _IMPLEMENTATIONS[self.implementation]
        version = full if self.implementation == "cpython" else self.version
        return markers | ({"implementation_version": version} if version else {})

    def _tags(self, python: _Python) -> tuple[Tag, ...] | None:
        if self.block.has("tags"):
            return _given_tags(self.block)
        platforms = self._platform_tags()
        if not platforms or self.implementation not in _IMPLEMENTATIONS:
            self.block.fault("tags", "missing; they can't be derived for this platform or implementation")
            return None
        return tuple(dict.fromkeys(self._derived_tags(python, platforms)))

    def _derived_tags(self, python: _Python, platforms: list[str]) -> Iterator[Tag]:
        # packaging would take what is left out from the machine it runs on: abis and platforms are always given
        nodot = f"{python.minor[0]}{python.minor[1]}"
        if self.implementation == "cpython":
            # the ABI flag m (pymalloc) is part of the name up to 3.7
            flag = "t" if python.threaded else "m" if python.minor < (3, 8) else ""
            yield from cpython_tags(python.minor, [f"cp{nodot}{flag}"], platforms)
            yield from compatible_tags(python.minor, f"cp{nodot}", platforms)
            return
        version = Version(self.version or "0")
        if self.implementation == "pypy":
            abi = f"pypy{nodot}_pp{version.major}{version.minor}"
            yield from generic_tags(f"pp{nodot}", [abi], platforms)
            yield from compatible_tags(python.minor, "pp3", platforms)
            return
        release = _GRAALPY_ABI.get(python.minor_text, f"{version.major}{version.minor}")
        yield from generic_tags(f"graalpy{nodot}", [f"graalpy{release}_{nodot}_native"], platforms)
        yield from compatible_tags(python.minor, None, platforms)

    def _platform_tags(self) -> list[str]:
        if self.platform is None:
            return []
        if self.platform.system == "windows":
            return ["win32" if self.platform.arch == "x86" else f"win_{self.platform.arch}"]
        if self.platform.system == "macos":
            return list(mac_platforms(self.macos, self.platform.arch))
        return list(_linux_platforms(self.platform.arch, self.libc))


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


def _parse_python(text: str) -> _Python | None:
    match = re.fullmatch(r"(3)\.(0|[1-9][0-9]?)(?:\.([0-9]{1,3})((?:a|b|rc)[0-9]{1,3})?)?(t?)", text)
    if match is None:
        return None
    major, minor, micro, pre, flag = match.groups()
    short = f"{major}.{minor}"
    if micro is not None:
        low = high = f"{short}.{micro}{pre or ''}"
    else:
        low, high = f"{short}.0", f"{short}.{MOST_PATCHES - 1}"
    return _Python((int(major), int(minor)), low, high, bool(flag))


def _platform_of(markers: Mapping[str, str]) -> _Platform | None:
    for platform in PLATFORMS.values():
        derived = platform.markers
        if all(derived[key] == markers.get(key) for key in ("sys_platform", "platform_machine")):
            return platform
    return None


_OTHER_NAMES = {
    "darwin": "macos", "macosx": "macos", "osx": "macos", "mac": "macos", "win": "windows", "win32": "windows",
    "manylinux": "linux", "musllinux": "linux",
}  # fmt: skip
_SAME_ARCH = ({"x86_64", "amd64", "x64"}, {"aarch64", "arm64"}, {"i686", "x86", "i386"})


def _unknown_platform(written: str) -> str:
    """Return the problem of an unknown platform; people write what their own system calls itself."""
    text = {"win32": "win-x86", "win64": "win-amd64"}.get(written.lower(), written.lower())
    system, _, arch = text.replace("-", "_").partition("_")
    system = _OTHER_NAMES.get(system, system)
    for known in PLATFORMS:
        known_system, _, known_arch = known.partition("-")
        if system == known_system and any({arch, known_arch} <= same for same in _SAME_ARCH):
            return f"unknown platform {show(written)}; did you mean {known!r}?"
    return unknown("platform", written, PLATFORMS)


class _Libc(NamedTuple):
    name: str
    version: tuple[int, int]


def _libc(block: Block, platform: _Platform | None) -> _Libc | None:
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
    return _Libc(name, version)


def _check_libc(block: Block, name: str, version: tuple[int, int], platform: _Platform) -> None:
    lowest = _lowest_glibc(platform.arch) if name == "glibc" else (1, 0)
    if version[0] != lowest[0] or not lowest[1] <= version[1] <= 99:
        block.fault(name, f'expected "{lowest[0]}.{lowest[1]}" or newer, found "{version[0]}.{version[1]}"')


def _lowest_glibc(arch: str) -> tuple[int, int]:
    """Return the oldest glibc that PEP 600 wheels are made for: 2.5 on the x86 family, 2.17 on all others."""
    return (2, 5) if arch in {"x86_64", "i686"} else (2, 17)


def _macos(block: Block, platform: _Platform | None) -> tuple[int, int] | None:
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


def _darwin(macos: tuple[int, int]) -> dict[str, str]:
    """Return the kernel's markers: macOS 10.x runs Darwin x+4, 11 to 15 Darwin 20 to 24, and 26 Darwin 25."""
    major, minor = macos
    darwin = major + 9 if major <= 15 else major - 1
    # each Darwin ended with its sixth minor release, while macOS goes on counting security updates: 14.7 runs 23.6
    release = f"{minor + 4}.0.0" if major == 10 else f"{darwin}.{min(minor, 6)}.0"
    return {"platform_release": release, "platform_version": f"Darwin Kernel Version {release}"}


def _linux_platforms(arch: str, libc: _Libc | None) -> Iterator[str]:
    if libc is None:
        return
    if libc.name == "musl":
        yield from (f"musllinux_{libc.version[0]}_{minor}_{arch}" for minor in range(libc.version[1], -1, -1))
    else:
        yield from _manylinux(arch, libc.version)
    # pip put the bare platform last until packaging 26.3 put it first, and uv puts it last; no wheel of a public
    # index has it
    yield f"linux_{arch}"


def _manylinux(arch: str, glibc: tuple[int, int]) -> Iterator[str]:
    # PEP 600: a wheel for an older glibc runs on a newer one; the names of PEP 599, 571 and 513 are aliases
    aliases = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(glibc[1], _lowest_glibc(arch)[1] - 1, -1):
        yield f"manylinux_2_{minor}_{arch}"
        if minor in aliases:
            yield f"{aliases[minor]}_{arch}"


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
