"""Wheels and sdists for the tests: made in memory, the same bytes every time, installable by real installers.

>>> filename, content = wheel("Foo.Bar", "1.0", requires=["baz>=2"], extras={"fast": ["cython"]})
>>> filename
'foo_bar-1.0-py3-none-any.whl'
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import canonicalize_name

Contents = Mapping[str, "str | bytes"]

# What zip can't go below; every member of every archive bears it, so that bytes don't depend on the clock.
EPOCH = (1980, 1, 1, 0, 0, 0)

# The type of an attestation of who published, as the one index that takes attestations has it.
PUBLISHED = "https://docs.example.com/attestations/publish/v1"

# A PEP 517 backend that needs nothing but the standard library: its sdists are built by real installers, offline.
BACKEND = """\
import base64, hashlib, os, zipfile

NAME, VERSION, MODULE = {name!r}, {version!r}, {module!r}
WHEEL = "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"


def get_requires_for_build_wheel(config_settings=None):
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "PKG-INFO"), "rb") as stream:
        metadata = stream.read()
    info = MODULE + "-" + VERSION + ".dist-info/"
    members = {{MODULE + ".py": b"VERSION = " + repr(VERSION).encode() + b"\\n"}}
    members[info + "METADATA"] = metadata
    members[info + "WHEEL"] = WHEEL.encode()
    lines = []
    for path, content in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(path + ",sha256=" + digest + "," + str(len(content)) + "\\n")
    members[info + "RECORD"] = ("".join(lines) + info + "RECORD,,\\n").encode()
    filename = MODULE + "-" + VERSION + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    return filename
"""

BACKEND_PYPROJECT = """\
[build-system]
requires = {requires}
build-backend = "backend"
backend-path = ["."]
"""


def module_name(name: str) -> str:
    """Return the name as file names and imports spell it: normalised, with underscores."""
    return canonicalize_name(name).replace("-", "_")


def core_metadata(
    name: str,
    version: str,
    *,
    requires: Iterable[str] = (),
    extras: Mapping[str, Iterable[str]] | None = None,
    requires_python: str | None = None,
    metadata_version: str = "2.1",
    lines: Iterable[str] = (),
    description: str = "",
) -> bytes:
    """Return core metadata, as in METADATA and PKG-INFO.

    :param extras: the requirements of each extra; their markers are added here.
    :param lines: further header lines, as ``"Dynamic: Requires-Dist"``.
    """
    header = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}", *lines]
    if requires_python is not None:
        header.append(f"Requires-Python: {requires_python}")
    header += [f"Requires-Dist: {requirement}" for requirement in requires]
    for extra, requirements in (extras or {}).items():
        header.append(f"Provides-Extra: {extra}")
        header += [f"Requires-Dist: {_for_extra(requirement, extra)}" for requirement in requirements]
    return ("\n".join(header) + "\n" + (f"\n{description}" if description else "")).encode()


def _for_extra(requirement: str, extra: str) -> str:
    text, separator, marker = requirement.partition(";")
    condition = f'extra == "{extra}"'
    return f"{text.strip()} ; ({marker.strip()}) and {condition}" if separator else f"{text.strip()} ; {condition}"


def wheel(
    name: str,
    version: str,
    tag: str = "py3-none-any",
    *,
    requires: Iterable[str] = (),
    extras: Mapping[str, Iterable[str]] | None = None,
    requires_python: str | None = None,
    metadata: str | bytes | None = None,
    files: Contents | None = None,
    build: str = "",
) -> tuple[str, bytes]:
    """Return the file name and the bytes of a wheel that installs: one module, METADATA, WHEEL, RECORD.

    :param metadata: the whole METADATA, instead of what the other arguments say.
    :param files: further members, by path inside the wheel.
    :param build: the build tag, as ``"1"``.
    """
    info = f"{module_name(name)}-{version}.dist-info"
    if metadata is None:
        metadata = core_metadata(name, version, requires=requires, extras=extras, requires_python=requires_python)
    members: dict[str, str | bytes] = {f"{module_name(name)}.py": f"VERSION = {version!r}\n", **(files or {})}
    members[f"{info}/METADATA"] = metadata
    members[f"{info}/WHEEL"] = _wheel_file(tag, build)
    members[f"{info}/RECORD"] = _record(members, f"{info}/RECORD")
    filename = "-".join([module_name(name), version, *([build] if build else []), tag]) + ".whl"
    return filename, zip_of(members)


def _wheel_file(tag: str, build: str) -> str:
    pythons, abis, platforms = (field.split(".") for field in tag.split("-"))
    tags = [f"Tag: {python}-{abi}-{platform}" for python in pythons for abi in abis for platform in platforms]
    purelib = "true" if tag.endswith("-none-any") else "false"
    lines = ["Wheel-Version: 1.0", "Generator: tests", f"Root-Is-Purelib: {purelib}", *tags]
    return "\n".join([*lines, *([f"Build: {build}"] if build else [])]) + "\n"


def _record(members: Contents, path: str) -> str:
    lines = []
    for member, content in members.items():
        data = _bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{member},sha256={digest},{len(data)}\n")
    return "".join(lines) + f"{path},,\n"


def sdist(
    name: str,
    version: str,
    format: str = "tar.gz",  # noqa: A002
    *,
    requires: Iterable[str] = (),
    extras: Mapping[str, Iterable[str]] | None = None,
    requires_python: str | None = None,
    metadata_version: str = "2.2",
    build_requires: Iterable[str] = (),
    pkg_info: str | bytes | None = None,
    pyproject: str | None = None,
    setup_py: str | None = None,
    egg_info: Contents | None = None,
    files: Contents | None = None,
) -> tuple[str, bytes]:
    """Return the file name and the bytes of an sdist.

    As long as ``pyproject`` and ``setup_py`` are not given, real installers can build it offline: its backend is in
    it and wants the standard library only (and ``build_requires``, if any, to be installable).

    :param format: ``"tar.gz"``, ``"zip"``, or another that pip takes, as ``"tar.xz"``.
    :param pkg_info: the whole PKG-INFO, instead of what the other arguments say; ``""`` leaves the file out.
    :param pyproject: the whole pyproject.toml; ``""`` leaves the file out, and the backend too.
    :param setup_py: the whole setup.py; there is then no pyproject.toml unless one is given.
    :param egg_info: files of ``<name>.egg-info/``, as ``{"requires.txt": "…"}``.
    :param files: further members, by path below ``<name>-<version>/``.
    """
    if pkg_info is None:
        pkg_info = core_metadata(
            name,
            version,
            requires=requires,
            extras=extras,
            requires_python=requires_python,
            metadata_version=metadata_version,
        )
    members: dict[str, str | bytes] = {"PKG-INFO": pkg_info}
    if pyproject is None and setup_py is None:
        quoted = ", ".join(f'"{requirement}"' for requirement in build_requires)
        pyproject = BACKEND_PYPROJECT.format(requires=f"[{quoted}]")
        members["backend.py"] = BACKEND.format(name=name, version=version, module=module_name(name))
    members["pyproject.toml"] = pyproject or ""
    members["setup.py"] = setup_py or ""
    members |= {f"{module_name(name)}.egg-info/{path}": content for path, content in (egg_info or {}).items()}
    root = f"{module_name(name)}-{version}"
    paths = {f"{root}/{path}": content for path, content in (members | dict(files or {})).items() if content}
    return f"{root}.{format}", _packed(paths, format)


def _packed(paths: Contents, format: str) -> bytes:  # noqa: A002
    if format == "zip":
        return zip_of(paths)
    if format.endswith(("bz2", "tbz")):
        return bz2.compress(tar_of(paths))
    if format.endswith(("xz", "lz", "lzma")):
        old = format.endswith(("tlz", "lzma", ".lz"))
        return lzma.compress(tar_of(paths), lzma.FORMAT_ALONE if old else lzma.FORMAT_XZ)
    return tar_of(paths) if format == "tar" else tar_gz_of(paths)


def zip_of(members: Contents, *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of the members, in their order."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for path, content in members.items():
            member = zipfile.ZipInfo(path, EPOCH)
            member.external_attr = 0o644 << 16
            member.compress_type = compression
            archive.writestr(member, content)
    return stream.getvalue()


def tar_of(members: Contents | Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a plain tar of the members, in their order; ready-made TarInfos are taken as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        if isinstance(members, Mapping):
            members = [_tar_member(path, _bytes(content)) for path, content in members.items()]
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def tar_gz_of(members: Contents | Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Return a gzipped tar of the members, in their order."""
    stream = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=1, mtime=0) as zipped:
        zipped.write(tar_of(members))
    return stream.getvalue()


def _tar_member(path: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), 0o644
    return member, content


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


GITHUB = {"kind": "GitHub", "repository": "foo/foo", "workflow": "release.yml", "environment": None}


def provenance(
    filename: str, content: bytes, *publishers: Mapping[str, Any], sha256: str = "", predicate: str = PUBLISHED
) -> bytes:
    """Return a provenance object (PEP 740) of a file, which nobody signed.

    :param publishers: who attested it each with one attestation; by default one.
    :param sha256: what is attested, where that is not of ``content``.
    """
    digest = {"sha256": sha256 or hashlib.sha256(content).hexdigest()}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": filename, "digest": digest}],
        "predicateType": predicate,
        "predicate": None,
    }
    attestation = {
        "version": 1,
        "verification_material": {"certificate": "", "transparency_entries": [{}]},
        "envelope": {"statement": base64.b64encode(json.dumps(statement).encode()).decode(), "signature": ""},
    }
    bundles = [{"publisher": publisher, "attestations": [attestation]} for publisher in publishers or (GITHUB,)]
    return json.dumps({"version": 1, "attestation_bundles": bundles}).encode()
