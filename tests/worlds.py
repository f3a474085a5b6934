"""Worlds: small indexes written as data files, with what is to be chosen from them; no I/O but reading those files."""

from __future__ import annotations

import datetime
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.archives.licence_fields import LicenceFields
from mirror_tasks.config.mirror_yaml import load
from mirror_tasks.config.model import Config
from mirror_tasks.index.file_names import is_wheel
from mirror_tasks.index.pages import JSON_TYPE, parse_page
from mirror_tasks.index.project import Project
from mirror_tasks.policy.advisories import Match
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.outcome import Failed, Wants
from mirror_tasks.resolve.selection import Rules
from mirror_tasks.state.permission import permission_of

FOLDER = Path(__file__).parent / "worlds"
URL = "https://index.example.com/simple/"
DAY = datetime.date(2026, 11, 26)
"""The day on which all worlds are judged."""


@dataclass(frozen=True)
class Holes:
    """The advisories of a world: ``{project: {version: [{id, severity, malware, aliases, fixed}]}}``; null: not checked."""

    described: Mapping[str, Any]
    shown: str = "a world"
    digest: str = ""
    newest: str = ""
    records: int = 0

    def of_release(self, name: str, version: Version) -> tuple[Match, ...] | None:
        """Return those that meet a release."""
        found = self.described.get(name, {}).get(str(version), [])
        return None if found is None else tuple(map(_match, found))


def _match(one: Mapping[str, Any]) -> Match:
    return Match(
        id=one["id"],
        aliases=tuple(one.get("aliases", ())),
        severity=one.get("severity", "high"),
        severity_from="a test",
        is_malware=one.get("malware", False),
        summary="",
        fixed=tuple(one.get("fixed", ())),
    )


def _uploaded(release: Mapping[str, Any]) -> str | None:
    day = release.get("uploaded", "2020-01-01")
    return day and f"{day}T12:00:00.5Z"


__all__ = ["Closure", "Project", "World", "chosen", "close", "filename_of", "follow", "names", "read", "world"]


def names(kind: str) -> list[str]:
    """Return the names of the worlds of a kind (a folder below ``worlds``)."""
    return sorted(path.stem for path in (FOLDER / kind).glob("*.yaml"))


def read(kind: str, name: str) -> dict[str, Any]:
    """Return a world as it is written."""
    loaded = yaml.safe_load((FOLDER / kind / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@dataclass(frozen=True)
class World:
    """An index in memory: ``{project: {version: {files: [tag or sdist], requires: [...], …}}}``."""

    config: Config
    index: Mapping[str, Any]
    holes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rules(self) -> Rules:
        """The rules of the world, with its policy as of the day on which all worlds are judged."""
        if self.config.policy is None:
            return Rules.of(self.config)
        return Rules.of(self.config, permission_of(self.config, DAY, Holes(self.holes)))

    def project(self, name: str) -> Project | Failed | None:
        """Return a project as its page would show it."""
        releases = self.index.get(name)
        if releases is None:
            return None
        if releases == "fails":
            return Failed("the index did not answer")
        files = [
            entry for version, release in releases.items() for entry in self._entries(name, str(version), release or {})
        ]
        body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
        return parse_page(body, JSON_TYPE, f"{URL}{name}/", name)

    def _entries(self, name: str, version: str, release: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for kind in release.get("files", ["py3-none-any", "sdist"]):
            filename = filename_of(name, version, kind)
            yield {
                "filename": filename,
                "url": f"../../packages/{filename}",
                "hashes": {"sha256": hashlib.sha256(filename.encode()).hexdigest()},
                "size": 1000,
                "requires-python": release.get("requires_python"),
                "yanked": release.get("yanked", False),
                "core-metadata": release.get("sidecars", {}).get(kind, False),
                "upload-time": _uploaded({**release, **release.get(kind, {})}),
            }

    def metadata(self, filename: str, project: str) -> CoreMetadata | Unusable | Failed:
        """Return the core metadata of a file."""
        for version, release in self.index[project].items():
            for kind in (release or {}).get("files", ["py3-none-any", "sdist"]):
                if filename_of(project, str(version), kind) == filename:
                    return self._metadata(
                        project, str(version), {**(release or {}), **(release or {}).get(kind, {})}, filename
                    )
        raise AssertionError(f"{filename} is not in this world")

    def _metadata(
        self, name: str, version: str, release: Mapping[str, Any], filename: str
    ) -> CoreMetadata | Unusable | Failed:
        if "unusable" in release:
            return Unusable(release["unusable"])
        if "fails" in release:
            return Failed(release["fails"])
        return CoreMetadata(
            name=name,
            version=version,
            requires_python=release.get("metadata_requires_python", release.get("requires_python")),
            requires_dist=tuple(release.get("requires", ())),
            provides_extra=tuple(release.get("extras", ())),
            build_requires=() if is_wheel(filename) else tuple(release.get("build_requires", ())),
            build_backend=None,
            source="METADATA",
            problems=(),
            summary=None,
            licensing=LicenceFields(expression=release.get("licence")),
        )


def filename_of(name: str, version: str, kind: str) -> str:
    """Return the name of a wheel with a tag, or of an sdist."""
    plain = name.replace("-", "_")
    return (
        f"{plain}-{version}.tar.gz"
        if kind == "sdist"
        else f"{plain}-{version}.zip"
        if kind == "zip"
        else f"{plain}-{version}-{kind}.whl"
    )


def world(described: Mapping[str, Any], folder: Path) -> World:
    """Make a world; ``folder`` is where its ``mirror.yaml`` is written."""
    for name, content in described.get("texts", {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    settings = {key: described[key] for key in ("environments", "requirements")} | described.get("settings", {})
    path = folder / "mirror.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return World(load(path), described["index"], described.get("holes", {}))


def close(one: World, seed: int | None = None) -> Closure:
    """Walk the closure of a world; a seed makes things arrive in another order."""
    closure = Closure(one.config.environments, one.config.roots, one.rules)
    follow(one, closure, closure.start(), seed)
    return closure


def follow(one: World, closure: Closure, wants: Wants, seed: int | None = None) -> None:
    """Bring a closure what it wants until it wants nothing more."""
    order = random.Random(seed)
    todo: list[Any] = [*wants.projects, *wants.files]
    while todo:
        want = todo.pop(order.randrange(len(todo)) if seed is not None else 0)
        if isinstance(want, str):
            more = closure.project_arrived(want, one.project(want))  # type: ignore[arg-type]
        else:
            more = closure.metadata_arrived(want[0], want[1].filename, one.metadata(want[1].filename, want[0]))
        todo += [*more.projects, *more.files]


def chosen(closure: Closure) -> dict[str, list[str]]:
    """Return what was chosen, by environment: ``numpy 2.3``, sorted."""
    found: dict[str, list[str]] = {name: [] for name in closure.environments}
    for name, version, environment in closure.chosen:
        found[environment].append(f"{name} {version}")
    return {name: sorted(values) for name, values in found.items()}
