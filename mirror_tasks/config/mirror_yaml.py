"""``mirror.yaml`` as a frozen :class:`Config`; a wrong one is refused with all its faults at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, is_normalized_name

from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.environments import BlockError, Environment, environment
from mirror_tasks.config.requirement_files import (
    RequestedRequirement,
    expand,
    parse_requirement,
    read_requirements,
    read_text,
    relative,
)
from mirror_tasks.config.wishes import MOST_BYTES, read_review, review_path
from mirror_tasks.errors import ConfigError, Fault
from mirror_tasks.text import redact

__all__ = ["INDEX_KEYS", "KEYS", "REQUIREMENT_KEYS", "Config", "Index", "RequestedRequirement", "Root", "load"]

KEYS = (
    "output",
    "index",
    "environments",
    "requirements",
    "versions",
    "wheels",
    "sdists",
    "build-requirements",
    "prereleases",
    "prefer-binary",
    "accept-changed",
    "workers",
    "refresh",
)
"""The keys of ``mirror.yaml``."""

REQUIREMENT_KEYS = ("require", "file", "wanted", "versions")
"""The keys of an entry under ``requirements:`` that is not just text."""

INDEX_KEYS = ("url", "hashes", "missing")
"""The keys of an entry under ``index:`` that is not just a URL."""

# Statuses that say what has to change before the same request is answered: none of them can mean "not here".
_NEVER_MISSING = frozenset({407, 408, 421, 425, 426, 429, 431})

_LARGEST = 1 << 20  # bytes
_MOST_NODES = 1 << 20  # scalars, lists and mappings, with every alias written out

_EXAMPLE = """
    environments:
      server: {python: "3.12", platform: linux-x86_64, glibc: "2.28"}"""


@dataclass(frozen=True, slots=True)
class Index:
    """One entry under ``index:``.

    :param url: as the user wrote it. Never shown: it may carry credentials.
    :param hashes_required: files for which its pages give no sha256 are left out.
    :param missing: statuses, besides 404 and 410, with which it says that it does not have a project.
    """

    url: str = field(repr=False)
    hashes_required: bool = False
    missing: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One entry under ``requirements:``, to be installable by itself; a file is one root of all its lines.

    :param name: as the user wrote it: ``requests>=2.24.0``, or ``requirements.txt``.
    :param key_path: its place in ``mirror.yaml``, such as ``requirements[0]``.
    :param versions: how many releases of each of its projects: ``latest``, ``all`` or a number of newest ones.
    :param wished: it is what clients asked for; that no index has it is told, and no fault of the mirror.
    :param is_file: it is a requirements file.
    """

    name: str
    key_path: str
    requirements: tuple[RequestedRequirement, ...]
    constraints: tuple[Requirement, ...] = ()
    versions: str | int = "latest"
    wished: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``mirror.yaml`` says; paths are absolute.

    :param state: the folder of pages, records and doit's database.
    :param indexes: the first that has a project serves it; None: what pip uses here.
    :param environments: in the order of the file.
    :param environment_blocks: the same as the file has them.
    :param prefer_binary: a release with a usable wheel is preferred to a newer one with only an sdist.
    :param accept_changed: projects (normalised) of which the index may serve other content under a name it had before.
    :param workers: tasks at once, 1 to 64.
    :param refresh: seconds that a project page is trusted without asking again.
    :param inputs: every file that was read.
    :param wanted: the lists of what clients asked for in vain, as the server wrote them.
    """

    path: Path
    output: Path
    state: Path
    indexes: tuple[Index, ...] | None
    environments: tuple[Environment, ...]
    environment_blocks: Mapping[str, object]
    roots: tuple[Root, ...]
    versions: str | int
    wheels: Literal["compatible", "best", "none"]
    sdists: Literal["always", "fallback", "never"]
    build_requirements: bool
    ask_backends: bool
    prereleases: bool
    prefer_binary: bool
    accept_changed: frozenset[str]
    workers: int
    refresh: float
    inputs: tuple[Path, ...]
    wanted: tuple[Path, ...]


def load(path: Path) -> Config:
    """Read ``mirror.yaml`` and the requirements files it names.

    :raises ConfigError: it can't be used; carries all faults at once.
    """
    path = Path(os.path.normpath(path.absolute()))
    faults: list[Fault] = []
    block = Block(_parse(path), "", faults)
    config = None if faults else _Reader(path, block, faults).config()
    if config is None or faults:
        raise _refusal(path, faults)
    return config


def _refusal(path: Path, faults: Iterable[Fault]) -> ConfigError:
    """Return the error of these faults, with no credentials in it wherever they came from."""
    return ConfigError(
        path, [Fault(redact(" ".join(fault.key_path.split())), redact(fault.problem)) for fault in faults]
    )


def _parse(path: Path) -> object:
    """Return what the file holds.

    :raises ConfigError: it is not YAML, says a key twice, or its aliases grow without end.
    """
    if not path.exists():
        hint = "write one beside dodo.py, or name another with MIRROR_CONFIG; docs/configuration.md has every key"
        raise _refusal(path, [Fault(path.name, f"no such file; {hint}")])
    try:
        loader = yaml.SafeLoader(read_text(path, _LARGEST))
        node = loader.get_single_node()
        if node is None:
            return {}
        faults = list(_twice_said(node, "", set()))
        if _grown_size(node, {}) > _MOST_NODES:
            faults.append(Fault(path.name, "its aliases grow to more than a configuration can be; write it out"))
        if faults:
            raise _refusal(path, faults)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _refusal(path, [Fault(path.name, f"{place}not YAML: {error.problem or error.context}")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _refusal(path, [Fault(path.name, str(error).splitlines()[0])]) from None
    except RecursionError:
        raise _refusal(path, [Fault(path.name, "nested deeper than a configuration can be")]) from None


def _twice_said(node: yaml.Node, key_path: str, seen: set[int]) -> Iterator[Fault]:
    """Yield a fault for each key that a mapping has twice: YAML forbids it, PyYAML silently takes the last."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _twice_said(item, f"{key_path}[{index}]", seen)
    elif isinstance(node, yaml.MappingNode):
        keys: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            below = f"{key_path}.{name}" if key_path else name
            line = key.start_mark.line + 1
            if name in keys and name != "?":
                yield Fault(below, f"said twice, on line {keys[name]} and line {line}; keep one")
            keys.setdefault(name, line)
            yield from _twice_said(value, below, seen)


def _grown_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many nodes there are with every alias written out; one that contains itself counts as endless."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = _MOST_NODES + 1  # until it is known: met again below itself, it never ends
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_grown_size(item, sizes) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_grown_size(item, sizes) for pair in node.value for item in pair)
    sizes[id(node)] = size
    return size


class _Reader:
    """Reads the whole file, key by key."""

    def __init__(self, path: Path, block: Block, faults: list[Fault]) -> None:
        self.path = path
        self.folder = path.parent
        self.block = block
        self.faults = faults
        self.inputs = [path]
        self.wanted: list[Path] = []
        self.roots: dict[object, Root] = {}
        block.only(KEYS)

    def _fault(self, key_path: str, problem: str) -> None:
        self.faults.append(Fault(key_path, problem))

    def _path(self, text: str) -> Path:
        """Return a path of the file, absolute: it is relative to the file's folder."""
        return Path(os.path.normpath(self.folder / os.path.expanduser(text)))  # noqa: PTH111 (Path raises without a home)

    def config(self) -> Config:
        suffix = "" if self.path.stem == "mirror" else f"-{self.path.stem}"
        state = self.folder / f".mirror{suffix}"
        versions = self._versions(self.block, "latest")
        asked = self.block.get("build-requirements") == "ask"
        config = Config(
            path=self.path,
            output=self._output(f"mirror{suffix}", state),
            state=state,
            indexes=self._indexes(),
            environments=tuple(self._environments()),
            environment_blocks=cast("Mapping[str, object]", self.block.get("environments")),
            roots=self._read_roots(versions),
            versions=versions,
            wheels=cast(
                Literal["compatible", "best", "none"],
                self.block.choice("wheels", "compatible", ("compatible", "best", "none")),
            ),
            sdists=cast(
                Literal["always", "fallback", "never"],
                self.block.choice("sdists", "always", ("always", "fallback", "never")),
            ),
            build_requirements=asked or self.block.boolean("build-requirements", True),
            ask_backends=asked,
            prereleases=self.block.boolean("prereleases", False),
            prefer_binary=self.block.boolean("prefer-binary", False),
            accept_changed=self._accept_changed(),
            workers=self.block.integer("workers", 16, 1, 64),
            refresh=self._refresh(),
            inputs=tuple(dict.fromkeys(self.inputs)),
            wanted=tuple(dict.fromkeys(self.wanted)),
        )
        if config.wheels == "none" and config.sdists == "never":
            self.block.fault("sdists", "neither wheels nor sdists would be mirrored; expected one of the two")
        return config

    def _output(self, default: str, state: Path) -> Path:
        output = self._path(self.block.string("output", default))
        if fault := _output_fault(output, self.folder, state):
            self.block.fault("output", fault)
        return output

    def _indexes(self) -> tuple[Index, ...] | None:
        value = self.block.get("index")
        if value is None:
            return None
        entries = value if isinstance(value, list) else [value]
        if not entries:
            self.block.fault("index", "expected a URL, or a list of URLs, found an empty list")
        found: dict[str, Index] = {}
        for position, entry in enumerate(entries):
            key_path = f"index[{position}]" if isinstance(value, list) else "index"
            index = self._index(entry, key_path)
            if index and found.setdefault(index.url, index) != index:
                self._fault(key_path, "this URL is listed already, with other keys; keep one of them")
        return tuple(found.values())

    def _index(self, entry: object, key_path: str) -> Index | None:
        """Return one entry; None for one without a URL."""
        if not isinstance(entry, dict):
            return self._index_at(entry, key_path, Index(""))
        block = Block(entry, key_path, self.faults)
        block.only(INDEX_KEYS)
        required = block.choice("hashes", None, ("required",)) == "required"
        return self._index_at(entry.get("url"), block.path("url"), Index("", required, self._missing(block)))

    def _index_at(self, url: object, key_path: str, index: Index) -> Index | None:
        try:
            url = expand(url) if isinstance(url, str) else url
        except ValueError as error:
            self._fault(key_path, str(error))
            return None
        if _is_index_url(url):
            return replace(index, url=str(url).strip())
        # What it is is not shown: a misspelt URL may carry a password all the same.
        self._fault(key_path, "expected a URL such as https://index.example.com/simple/")
        return None

    def _missing(self, block: Block) -> frozenset[int]:
        value = block.get("missing")
        statuses = [] if value is None else value
        if not isinstance(statuses, list) or not all(map(_may_mean_missing, statuses)):
            problem = "expected a list of statuses from 400 to 499 that mean that a project is not there, such as [403]"
            block.fault("missing", f"{problem}, found {show(value)}")
            return frozenset()
        return frozenset(statuses)

    def _environments(self) -> Iterator[Environment]:
        if not self.block.get("environments"):
            self.block.fault("environments", f"expected at least one environment, such as{_EXAMPLE}")
            return
        names: dict[str, str] = {}
        for name, value in Block(self.block.get("environments"), "environments", self.faults).items():
            key_path = f"environments.{name}"
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
                expected = "a name of letters, digits and . _ - that begins with a letter or digit"
                self._fault(key_path, f"expected {expected}, in quotes where it could be a number")
            elif name.lower() in names:
                other = names[name.lower()]
                self._fault(key_path, f"the name differs from {other!r} only in upper and lower case")
            names.setdefault(str(name).lower(), str(name))
            try:
                yield environment(str(name), cast("dict[str, object]", value), key_path)
            except BlockError as error:
                self.faults.extend(error.faults)

    def _read_roots(self, versions: str | int) -> tuple[Root, ...]:
        entries = self.block.get("requirements")
        if not isinstance(entries, list) or not entries:
            found = "" if entries is None or entries == [] else f", found {show(entries)}"
            self.block.fault("requirements", f"expected a list of requirements such as requests>=2.24{found}")
            return ()
        for position, entry in enumerate(entries):
            self._entry(entry, f"requirements[{position}]", versions)
        return tuple(self.roots.values())

    def _entry(self, entry: object, key_path: str, versions: str | int) -> None:
        if isinstance(entry, str):
            self._required(entry, key_path, versions)
            return
        if not isinstance(entry, dict):
            self._fault(key_path, f"expected a requirement such as requests>=2.24, found {show(entry)}")
            return
        block = Block(entry, key_path, self.faults)
        block.only(REQUIREMENT_KEYS)
        kinds = [kind for kind in ("require", "file", "wanted") if kind in entry]
        if len(kinds) != 1:
            block.fault("", f"expected one of require, file and wanted, found {' and '.join(kinds) or 'none'}")
            return
        if not block.has(kinds[0]):
            block.fault(kinds[0], "expected text, found nothing")
        text = block.string(kinds[0], None)
        versions = self._versions(block, versions)
        if text is not None:
            read = {"require": self._required, "file": self._file, "wanted": self._wanted}[kinds[0]]
            read(text, key_path, versions)

    def _keep(self, identity: object, root: Root) -> None:
        """Keep a root unless it is there already, whatever its spelling: it would be the same work twice."""
        if identity in self.roots:
            self._fault(root.key_path, f"{show(root.name)} is listed already, in {self.roots[identity].key_path}")
        else:
            self.roots[identity] = root

    def _required(self, text: str, key_path: str, versions: str | int) -> None:
        try:
            requirement = parse_requirement(text)
        except ValueError as error:
            self._fault(key_path, str(error))
            return
        requested = RequestedRequirement(requirement=requirement, where=f"{self.path.name}: {key_path}")
        self._keep(requirement, Root(name=text, key_path=key_path, requirements=(requested,), versions=versions))

    def _file(self, text: str, key_path: str, versions: str | int) -> None:
        path = self._path(text)
        lines = read_requirements(path, text, self.folder)
        self.inputs.extend(lines.inputs)
        self.faults.extend(lines.faults)
        if not lines.requirements and not lines.faults:
            self._fault(f"{key_path}.file", f"expected requirements in {text}, found none")
        root = Root(
            name=text,
            key_path=key_path,
            requirements=tuple(lines.requirements),
            constraints=tuple(lines.constraints),
            versions=versions,
            is_file=True,
        )
        self._keep(path, root)

    def _wanted(self, text: str, key_path: str, versions: str | int) -> None:
        """Take what was accepted of a list; the list itself is read by ``doit wanted`` alone."""
        path = self._path(text)
        self.wanted.append(path)
        reviewed = review_path(path)
        if not reviewed.exists():
            if not path.exists():
                self._fault(f"{key_path}.wanted", f"no such file: {path}")
            return
        where = relative(reviewed, self.folder)
        self.inputs.append(reviewed)
        try:
            accepted = sorted(read_review(read_text(reviewed, MOST_BYTES)).accepted)
        except ValueError as error:
            self._fault(f"{key_path}.wanted", f"{where}: {error}")
            return
        for name in accepted:
            requested = RequestedRequirement(requirement=parse_requirement(name), where=where)
            root = Root(name=name, key_path=key_path, requirements=(requested,), versions=versions, wished=True)
            self.roots.setdefault(requested.requirement, root)  # clients ask for what is listed, too: no fault

    def _versions(self, block: Block, default: str | int) -> str | int:
        value = block.get("versions")
        if value is None:
            return default
        if value in ("latest", "all") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        block.fault("versions", f"expected latest, all or a number of newest releases, found {show(value)}")
        return default

    def _accept_changed(self) -> frozenset[str]:
        value = self.block.get("accept-changed")
        names = [] if value is None else value
        if not isinstance(names, list) or not all(
            isinstance(name, str) and is_normalized_name(canonicalize_name(name)) for name in names
        ):
            self.block.fault("accept-changed", f"expected a list of projects such as [foo], found {show(value)}")
            return frozenset()
        return frozenset(map(canonicalize_name, names))

    def _refresh(self) -> float:
        value = self.block.get("refresh")
        if value in (None, 0, "0") and value is not False:
            return 0.0
        match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([smhd])", value) if isinstance(value, str) else None
        if match is None:
            self.block.fault("refresh", f"expected 0 or a time such as 30m, 12h or 7d, found {show(value)}")
            return 0.0
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _may_mean_missing(status: object) -> bool:
    return type(status) is int and 400 <= status < 500 and status not in _NEVER_MISSING


def _output_fault(output: Path, folder: Path, state: Path) -> str | None:
    """Return why a mirror can't be made at ``output``, or None.

    :param folder: of ``mirror.yaml``.
    :param state: the folder of this project's state.
    """
    try:
        real = output.resolve()
        ancestor = next(path for path in (output, *output.parents) if os.path.lexists(path))
        ancestor.stat()
    except (OSError, RuntimeError):  # before Python 3.13 a link that leads back to itself is a RuntimeError
        link = next((path for path in (output, *output.parents) if path.is_symlink()), output)
        return f"{link} is a link to {link.readlink()}, which is not there; make that folder, or remove the link"
    if not ancestor.is_dir():
        return f"expected a folder, found the file {ancestor}"
    if folder.resolve().is_relative_to(real):
        return "it holds this file; expected a folder of its own, such as mirror"
    if real.is_relative_to(state.resolve()):
        return f"it lies in {state.name}, the folder of this project's state"
    if state.resolve().is_relative_to(real):
        return f"{state.name}, the folder of this project's state, lies in it; expected a folder of its own"
    return None


def _is_index_url(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value.strip())
        port = parts.port  # raises for one that is no number, as where a password has a slash that is not encoded
        return (parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0) or parts.scheme == "file"
    except ValueError:
        return False
