"""Makes records of advisories in the OSV layout, and dumps of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml


def record(
    identifier: str,
    project: str = "somelib",
    events: Sequence[Mapping[str, str]] | None = None,
    *,
    versions: Sequence[str] = (),
    ecosystem: str = "PyPI",
    kind: str = "ECOSYSTEM",
    **fields: Any,
) -> dict[str, Any]:
    """Return a record about one project; by default about each of its versions."""
    ranges = [{"type": kind, "events": list(events)}] if events else []
    affected: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": project}, "ranges": ranges}
    if versions:
        affected["versions"] = list(versions)
    if events is None and not versions:
        affected["ranges"] = [{"type": kind, "events": [{"introduced": "0"}]}]
    return {
        "id": identifier,
        "modified": "2026-01-02T03:04:05Z",
        "details": "A hole.",
        "affected": [affected],
        **fields,
    }


def fixed_in(version: str) -> list[dict[str, str]]:
    """Return the events of what was always there until it was fixed."""
    return [{"introduced": "0"}, {"fixed": version}]


def zip_of(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """Write a dump as a zip of JSON."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in records:
            archive.writestr(f"{one['id']}.json", json.dumps(one))
    return path


def folder_of(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """Write a dump as a folder of YAML, by project, as its repository has it."""
    for one in records:
        folder = path / "vulns" / one["affected"][0]["package"]["name"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{one['id']}.yaml").write_text(yaml.safe_dump(one), encoding="utf-8")
    return path
