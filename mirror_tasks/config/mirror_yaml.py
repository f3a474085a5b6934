"""``mirror.yaml`` as a frozen :class:`Config`; a wrong one is refused with all its faults at once."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from packaging.utils import canonicalize_name, is_normalized_name

from mirror_tasks.config import clock
from mirror_tasks.config.blocks import Block, show
from mirror_tasks.config.environment_blocks import BlockError, environment
from mirror_tasks.config.environments import Environment
from mirror_tasks.config.indexes import IndexReader
from mirror_tasks.config.locked_indexes import bind_locked, check_named
from mirror_tasks.config.model import Config, Index, Root
from mirror_tasks.config.own_sources import OwnProject, names_of
from mirror_tasks.config.roots import RootReader, versions_of
from mirror_tasks.config.yaml_file import read_yaml, refusal
from mirror_tasks.errors import Fault

if TYPE_CHECKING:
    from mirror_tasks.config.policy import Policy
    from mirror_tasks.config.project_files.answers import Answers
    from mirror_tasks.config.transfer import Transfer

KEYS = (
    "output",
    "url",
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
    "transfer",
    "policy",
    "report",
)
"""The keys of ``mirror.yaml``."""

# As `server.py rewrite-lock` takes it: no character of it has to be escaped in a lock.
_URL = re.compile(r"(?:https?://[A-Za-z0-9._~:\[\]-]+|file://)(?:/[A-Za-z0-9._~:/@!$&()*+,;=%-]*)?")

_EXAMPLE = """
    environments:
      server: {python: "3.12", platform: linux-x86_64, glibc: "2.28"}"""


def load(path: Path, *, were_asked: bool = False, today: datetime.date | None = None) -> Config:
    """Read ``mirror.yaml`` and the files that its requirements are in.

    :param were_asked: the build backends of projects were asked just now. Else what is wrong only with what they said once
        is no fault, for they may say something else: they are as good as not asked yet.
    :param today: the day (UTC) by which the exceptions of a policy end; None: the real one.
    :raises ConfigError: it can't be used; carries all faults at once.
    """
    path = Path(os.path.normpath(path.absolute()))
    today = today or clock.today()
    config, faults = _read(path, today)
    if faults and config and not were_asked and len(config.unknown) < len(config.dynamic):
        config, others = _read(path, today, are_forgotten=True)
        faults = faults if others else []
    if config is None or faults:
        raise refusal(path, faults)
    return config


def _read(path: Path, today: datetime.date, *, are_forgotten: bool = False) -> tuple[Config | None, list[Fault]]:
    """Return what the file says, and what is wrong with it.

    :param are_forgotten: what build backends said of projects is not taken into account.
    """
    faults: list[Fault] = []
    block = Block(read_yaml(path), "", faults)
    return None if faults else _Reader(path, block, faults, today, are_forgotten=are_forgotten).config(), faults


class _Reader:
    """Reads the whole file, key by key."""

    def __init__(
        self, path: Path, block: Block, faults: list[Fault], today: datetime.date, *, are_forgotten: bool
    ) -> None:
        self.path = path
        self.today = today
        self.folder = path.parent
        self.block = block
        self.faults = faults
        self.are_forgotten = are_forgotten
        block.only(KEYS)

    def _fault(self, key_path: str, problem: str) -> None:
        self.faults.append(Fault(key_path, problem))

    def _path(self, text: str) -> Path:
        """Return a path of the file, absolute: it is relative to the file's folder."""
        return Path(os.path.normpath(self.folder / os.path.expanduser(text)))  # noqa: PTH111 (Path raises without a home)

    def config(self) -> Config:
        suffix = "" if self.path.stem == "mirror" else f"-{self.path.stem}"
        state = self.folder / f".mirror{suffix}"
        versions = versions_of(self.block, "latest")
        environments = tuple(self._environments())
        asked = self.block.get("build-requirements") == "ask"
        answers = self._answers(state) if asked else None
        reader = RootReader(self.path, self.block, environments, self.faults, answers)
        policy = self._policy()
        roots = _bound(reader.roots(versions), policy, environments)
        output = self._output(f"mirror{suffix}", state)
        apart = {"the output": output, "this project's state": state}
        config = Config(
            path=self.path,
            output=output,
            state=state,
            indexes=self._indexes(roots, reader.own.projects),
            environments=environments,
            environment_blocks=cast("Mapping[str, object]", self.block.get("environments")),
            roots=roots,
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
            wanted=tuple(dict.fromkeys(reader.wanted)),
            own=reader.own.projects,
            dynamic=tuple(reader.dynamic.values()),
            url=self._url(),
            transfer=self._transfer(apart, f"bundles{suffix}"),
            policy=policy,
            report=cast(Literal["beside", "mirror"], self.block.choice("report", "beside", ("beside", "mirror"))),
        )
        if config.wheels == "none" and config.sdists == "never":
            self.block.fault("sdists", "neither wheels nor sdists would be mirrored; expected one of the two")
        return config

    # What most files do not say is read by what is imported for it: its classes take a tenth of what `doit list` takes.

    def _answers(self, state: Path) -> Answers:
        from mirror_tasks.config.project_files.answers import Answers

        return Answers(state / "answers", self.folder, self.are_forgotten)

    def _policy(self) -> Policy | None:
        if self.block.get("policy") is None:
            return None
        from mirror_tasks.config.policy_keys.reader import PolicyReader

        return PolicyReader(self.path, self.block, self.faults, self.today).policy()

    def _transfer(self, apart: Mapping[str, Path], default: str) -> Transfer | None:
        if self.block.get("transfer") is None:
            return None
        from mirror_tasks.config.transfer import TransferReader

        return TransferReader(self.block, self.faults, self.folder, apart).transfer(default)

    def _indexes(self, roots: Sequence[Root], own: Sequence[OwnProject]) -> tuple[Index, ...] | None:
        indexes = IndexReader(self.block, self.faults, self.folder).indexes()
        self.faults.extend(check_named(indexes, roots, names_of(own)))
        return None if indexes is None else bind_locked(indexes, roots, self.faults, names_of(own))

    def _output(self, default: str, state: Path) -> Path:
        output = self._path(self.block.string("output", default))
        if fault := _output_fault(output, self.folder, state):
            self.block.fault("output", fault)
        return output

    def _url(self) -> str | None:
        value = self.block.get("url")
        if value is None:
            return None
        if not isinstance(value, str) or not _URL.fullmatch(value) or value.rstrip("/").endswith("/simple"):
            # What it is is not shown: it may carry a password, which everybody inside would read.
            example = "https://packages.inside.example/, without credentials, and without the simple/ of the index"
            self.block.fault("url", f"expected how the mirror is reached where it is used, such as {example}")
            return None
        return value.rstrip("/")

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


def _bound(roots: tuple[Root, ...], policy: Policy | None, environments: Sequence[Environment]) -> tuple[Root, ...]:
    """Return roots that are bound by the constraints of a policy."""
    if policy is None:
        return roots
    from mirror_tasks.config.policy_keys.constraints import bind

    return bind(roots, policy, environments)


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
    real_state = Path(os.path.realpath(state))  # a link that leads to itself is told where the state is made
    if real.is_relative_to(real_state):
        return f"it lies in {state.name}, the folder of this project's state"
    if real_state.is_relative_to(real):
        return f"{state.name}, the folder of this project's state, lies in it; expected a folder of its own"
    return None
