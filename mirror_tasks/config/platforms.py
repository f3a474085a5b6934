"""The platforms that tags can be derived for: their markers, and the tags of the wheels that fit them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from packaging.tags import mac_platforms

from mirror_tasks.config.blocks import show, unknown

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

# What people call a platform besides its name here.
_OTHER_NAMES = {
    "darwin": "macos", "macosx": "macos", "osx": "macos", "mac": "macos", "win": "windows", "win32": "windows",
    "manylinux": "linux", "musllinux": "linux",
}  # fmt: skip
_SAME_ARCH = ({"x86_64", "amd64", "x64"}, {"aarch64", "arm64"}, {"i686", "x86", "i386"})


class Libc(NamedTuple):
    """The C library of a Linux: its name, glibc or musl, and its version."""

    name: str
    version: tuple[int, int]


class Platform(NamedTuple):
    """A platform: its markers, and the architecture as tags spell it."""

    system: str
    arch: str
    machine: str

    @property
    def markers(self) -> dict[str, str]:
        """The values of its markers; on macOS those of the kernel are missing, which hang on the version."""
        return {**_SYSTEMS[self.system], "platform_machine": self.machine}


PLATFORMS: Mapping[str, Platform] = {
    **{
        f"linux-{arch}": Platform("linux", arch, arch)
        for arch in ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64")
    },
    # platform.machine() is upper case on 64-bit Windows; tags are not
    "windows-amd64": Platform("windows", "amd64", "AMD64"),
    "windows-x86": Platform("windows", "x86", "x86"),
    "windows-arm64": Platform("windows", "arm64", "ARM64"),
    "macos-x86_64": Platform("macos", "x86_64", "x86_64"),
    "macos-arm64": Platform("macos", "arm64", "arm64"),
}
"""The platforms that tags can be derived for."""


def platform_of(markers: Mapping[str, str]) -> Platform | None:
    """Return the platform that these markers are of, or None where tags can't be derived for it."""
    for platform in PLATFORMS.values():
        derived = platform.markers
        if all(derived[key] == markers.get(key) for key in ("sys_platform", "platform_machine")):
            return platform
    return None


def unknown_platform(written: str) -> str:
    """Return the problem of an unknown platform; people write what their own system calls itself."""
    text = {"win32": "win-x86", "win64": "win-amd64"}.get(written.lower(), written.lower())
    system, _, arch = text.replace("-", "_").partition("_")
    system = _OTHER_NAMES.get(system, system)
    for known in PLATFORMS:
        known_system, _, known_arch = known.partition("-")
        if system == known_system and any({arch, known_arch} <= same for same in _SAME_ARCH):
            return f"unknown platform {show(written)}; did you mean {known!r}?"
    return unknown("platform", written, PLATFORMS)


def lowest_glibc(arch: str) -> tuple[int, int]:
    """Return the oldest glibc that PEP 600 wheels are made for: 2.5 on the x86 family, 2.17 on all others."""
    return (2, 5) if arch in {"x86_64", "i686"} else (2, 17)


def kernel_markers(macos: tuple[int, int]) -> dict[str, str]:
    """Return the kernel's markers: macOS 10.x runs Darwin x+4, 11 to 15 Darwin 20 to 24, and 26 Darwin 25."""
    major, minor = macos
    darwin = major + 9 if major <= 15 else major - 1
    # each Darwin ended with its sixth minor release, while macOS goes on counting security updates: 14.7 runs 23.6
    release = f"{minor + 4}.0.0" if major == 10 else f"{darwin}.{min(minor, 6)}.0"
    return {"platform_release": release, "platform_version": f"Darwin Kernel Version {release}"}


def platform_tags(platform: Platform, libc: Libc | None, macos: tuple[int, int] | None) -> list[str]:
    """Return the tags of the wheels that fit a platform, best first.

    :param libc: of a Linux.
    :param macos: the version of a macOS.
    """
    if platform.system == "windows":
        return ["win32" if platform.arch == "x86" else f"win_{platform.arch}"]
    if platform.system == "macos":
        return list(mac_platforms(macos, platform.arch))
    return list(_linux_platforms(platform.arch, libc))


def _linux_platforms(arch: str, libc: Libc | None) -> Iterator[str]:
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
    for minor in range(glibc[1], lowest_glibc(arch)[1] - 1, -1):
        yield f"manylinux_2_{minor}_{arch}"
        if minor in aliases:
            yield f"{aliases[minor]}_{arch}"
