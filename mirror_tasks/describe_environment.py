"""Print the block of mirror.yaml for the Python that runs this file, or what is installed there as requirements.

Standard library only, Python 3.7 and newer: copy this one file to the machine that packages are mirrored for.

    python describe_environment.py                        the block to paste under `environments:`
    python describe_environment.py --requirements ==      what is installed there: name==version lines
"""

from __future__ import annotations

import argparse
import email.parser
import errno
import functools
import importlib
import json
import os
import platform
import re
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LINUX = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64")
IMPLEMENTATIONS = ("cpython", "pypy", "graalpy")

# platform.machine() of a system of that kind; it names the kernel's, so that a 32-bit Python may see another one
MACHINES = {
    "windows-amd64": "AMD64",
    "windows-x86": "x86",
    "windows-arm64": "ARM64",
    "macos-x86_64": "x86_64",
    "macos-arm64": "arm64",
}
# platform.release() where mirror.yaml says nothing else; a marker can see the one of this machine
RELEASES = {"linux": "5.15.0", "windows": "10"}
MACHINES.update(("linux-" + arch, arch) for arch in LINUX)


# --- the environment -----------------------------------------------------------------------------------------


def version_text(info: Any) -> str:
    """Return a version of the shape of ``sys.version_info`` as PEP 508 spells it: 3.12.1, 3.15.0rc1."""
    short = {"alpha": "a", "beta": "b", "candidate": "rc"}
    pre = short[info.releaselevel] + str(info.serial) if info.releaselevel in short else ""
    return f"{info.major}.{info.minor}.{info.micro}{pre}"


def python_version() -> str:
    """Return the version of this Python, with a t if it was built without the global interpreter lock."""
    return version_text(sys.version_info) + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")


def platform_name() -> str | None:
    """Return this platform as mirror.yaml names it, or None if it has no name there."""
    built_for = sysconfig.get_platform()
    names = {"win-amd64": "windows-amd64", "win32": "windows-x86", "win-arm64": "windows-arm64"}
    if built_for in names:
        return names[built_for]
    if sys.platform == "darwin":
        name = "macos-" + platform.machine()
    else:
        # a 32-bit Python on a 64-bit kernel is built for the kernel's name but loads 32-bit wheels
        narrow = {"linux-x86_64": "linux-i686", "linux-aarch64": "linux-armv7l", "linux-armv8l": "linux-armv7l"}
        name = narrow.get(built_for, built_for) if struct.calcsize("P") == 4 else built_for
    return name if name in MACHINES else None


def glibc_version() -> str | None:
    """Return the version of the C library where it is glibc, such as 2.36."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        text = ""
    match = re.match(r"glibc (\d+\.\d+)", text)
    return match.group(1) if match else None


def musl_version() -> str | None:
    """Return the version of the C library where it is musl, such as 1.2: its loader says so on standard error."""
    for loader in sorted(Path("/lib").glob("ld-musl-*.so.1")):
        said = subprocess.run([str(loader)], stderr=subprocess.PIPE, text=True, check=False).stderr
        match = re.search(r"Version (\d+\.\d+)", said)
        if match:
            return match.group(1)
    return None


def macos_version() -> str:
    """Return the version of macOS, such as 14.5."""
    version = platform.mac_ver()[0]
    if version.startswith("10.16"):
        # what macOS tells programs made for older ones; with this variable it tells the truth
        command = [sys.executable, "-sSc", "import platform; print(platform.mac_ver()[0])"]
        environment = dict(os.environ, SYSTEM_VERSION_COMPAT="0")
        version = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return ".".join(version.split(".")[:2])


def all_markers() -> dict[str, str]:
    """Return the environment markers of PEP 508, as an installer that runs here sees them."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": version_text(sys.implementation.version),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": version_text(sys.version_info),
        "python_version": "{}.{}".format(*sys.version_info[:2]),
        "sys_platform": sys.platform,
    }


def all_tags() -> list[str]:
    """Return the tags of the wheels that fit here, best first; none if this Python has no installer that knows them."""
    for module in ("packaging.tags", "pip._vendor.packaging.tags"):
        try:
            return [str(tag) for tag in importlib.import_module(module).sys_tags()]
        except ImportError:
            continue
    return []


def environment_block() -> dict[str, object]:
    """Return the block of mirror.yaml for this Python."""
    name = platform_name()
    libc = library_versions() if name else {}
    if name is None or libc is None or sys.implementation.name not in IMPLEMENTATIONS:
        return {"markers": all_markers(), "tags": all_tags()}
    block: dict[str, object] = {"python": python_version(), "platform": name}
    block.update(libc)
    if sys.implementation.name != "cpython":
        block["implementation"] = sys.implementation.name
        block["implementation-version"] = version_text(sys.implementation.version)
    markers = {}
    if platform.machine() != MACHINES[name]:
        markers["platform_machine"] = platform.machine()
    if platform.release() != RELEASES.get(name.partition("-")[0]):
        markers["platform_release"] = platform.release()
    if markers:
        block["markers"] = markers
    return block


def library_versions() -> dict[str, str] | None:
    """Return the key for the C library or the system's version; None on a Linux with another C library."""
    if sys.platform == "darwin":
        return {"macos": macos_version()}
    if not sys.platform.startswith("linux"):
        return {}
    for key, version in (("glibc", glibc_version()), ("musl", musl_version())):
        if version:
            return {key: version}
    return None


def as_yaml(value: object) -> str:
    """Return ``value`` on one line of YAML; versions are quoted, or YAML would read 3.10 as 3.1."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {as_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_yaml(one) for one in value) + "]"
    plain = re.match(r"[a-z][A-Za-z0-9_-]*\Z", str(value))
    return str(value) if plain else json.dumps(str(value))


def default_name(block: dict[str, object]) -> str:
    """Return a name for the environment that says what it is, such as cpython-3.11-linux-x86_64."""
    where = block.get("platform") or f"{sys.platform}-{platform.machine()}"
    minor = re.sub(r"\.\d+(?:(?:a|b|rc)\d+)?(t?)$", r"\1", python_version())
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{sys.implementation.name}-{minor}-{where}")


def print_environment(name: str | None) -> int:
    """Print the block; return the exit status, 1 where it has to be completed by hand."""
    block = environment_block()
    print("# to paste under `environments:` in mirror.yaml")
    print(f"  {name or default_name(block)}: {as_yaml(block)}")
    if block.get("tags") == []:
        advice = "install pip or packaging in this Python and run this again, or add the tags by hand"
        print("the tags of this platform are not known here: " + advice, file=sys.stderr)
        return 1
    return 0


# --- what is installed ---------------------------------------------------------------------------------------


def installed() -> list[tuple[str, str, bool]]:
    """Return name, version and whether it came from elsewhere than an index, for each distribution on the path."""
    found = []
    for read in readers():
        text = read("METADATA") or read("PKG-INFO") or read("")
        fields = email.parser.Parser().parsestr(text or "", headersonly=True)
        # PEP 610: what was installed from a URL, a file or a working copy has a direct_url.json
        found.append((fields["Name"] or "", fields["Version"] or "", read("direct_url.json") is not None))
    return found


def readers() -> list[Callable[[str], str | None]]:
    """Return for each distribution on the path the function that reads one of its files."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        return [functools.partial(read_beside, folder) for path in sys.path for folder in metadata_folders(path)]
    return [distribution.read_text for distribution in metadata.distributions()]


def metadata_folders(path: str) -> list[Path]:
    """Return the folders, or single files, in which distributions installed in ``path`` keep their metadata."""
    entries = sorted(Path(path).iterdir()) if Path(path).is_dir() else []
    return [one for one in entries if one.suffix in (".dist-info", ".egg-info")]


def read_beside(folder: Path, name: str) -> str | None:
    """Return the text of a file in the folder, or None if there is none."""
    try:
        return (folder / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


PEP_440 = r"v?(\d+!)?\d+(\.\d+)*([-_.]?(a|b|c|rc|alpha|beta|pre|preview|post|rev|r|dev)[-_.]?\d*)*(-\d+)?(\+|\Z)"


def requirement_line(name: str, version: str, pin: str) -> str:
    """Return one requirement line.

    ``>=`` takes no local version (PEP 440), and what is no version at all can only be compared with ``===``.
    """
    if pin == "names" or not version:
        return name
    if not re.match(PEP_440, version):
        return f"{name}==={version}" if pin == "==" else name
    return name + pin + (version if pin == "==" else version.split("+")[0])


def print_requirements(pin: str) -> int:
    """Print what is installed, one requirement a line, sorted; what did not come from an index is commented out."""
    lines: dict[str, str] = {}
    for name, version, from_elsewhere in installed():
        if not name:
            print("a distribution without a name in its metadata is left out", file=sys.stderr)
            continue
        line = requirement_line(name, version, pin)
        if from_elsewhere:
            line = f"# {line} was not installed from an index"
        lines.setdefault(re.sub(r"[-_.]+", "-", name).lower(), line)  # the first on the path is what is imported
    for key in sorted(lines):
        print(lines[key])
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Print the block of mirror.yaml for the Python that runs this, or what is installed there."
    )
    parser.add_argument("--name", help="the environment's name (default: what it is, as cpython-3.11-linux-x86_64)")
    parser.add_argument(
        "--requirements",
        nargs="?",
        const="==",
        choices=("==", ">=", "names"),
        help="print what is installed instead: exact versions (default), versions at least these, or names only",
    )
    arguments = parser.parse_args()
    if arguments.requirements:
        return print_requirements(arguments.requirements)
    return print_environment(arguments.name)


def main_of_a_program() -> int:
    """Run the command line; say in a line where its output could not be written."""
    try:
        status = main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:  # of a file, and not of the output
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes once more at its end, and would show a traceback
        if error.errno != errno.EPIPE:  # else who reads has enough
            print(f"writing the output: {error.strerror or error}. Make room, or name another place.", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main_of_a_program())
