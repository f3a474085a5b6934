"""Has others judge releases by advisories, offline: run by the Python of an environment that has ``pip-audit`` and ``osv``.

Reads ``{project: {"versions": […], "records": […]}}`` from standard input, and writes ``{judge: {project: {version: [ids]}}}``.
It imports nothing of this project.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

Found = dict[str, dict[str, list[str]]]
Asked = Mapping[str, Mapping[str, Any]]


def spans(record: Mapping[str, Any], project: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is affected from where, by which kind of end, up to where; without an end to nowhere."""
    for affected in record["affected"]:
        if affected["package"]["name"].lower().replace("_", "-").replace(".", "-") != project:
            continue
        for one in affected.get("ranges", ()):
            if one["type"] != "ECOSYSTEM":
                continue
            events = [item for event in one["events"] for item in event.items()]
            starts = [text for kind, text in events if kind == "introduced"]
            ends = [(kind, text) for kind, text in events if kind != "introduced"]
            yield from zip_spans(starts, ends)


def zip_spans(starts: list[str], ends: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for position, start in enumerate(starts):
        kind, end = ends[position] if position < len(ends) else ("", "")
        yield start, kind, end


def enumerated(record: Mapping[str, Any], project: str) -> list[str]:
    return [
        version
        for affected in record["affected"]
        if affected["package"]["name"].lower().replace("_", "-").replace(".", "-") == project
        for version in affected.get("versions", ())
    ]


# --- pip-audit: its service for a database that gives ranges as specifiers, which judges by itself


class _Answer:
    def __init__(self, content: Any) -> None:
        self._content = content

    def raise_for_status(self) -> None:
        pass

    def json(self) -> Any:
        return self._content


class _Session:
    """Answers with the records of a project, and asks nobody."""

    def __init__(self, records: list[Any]) -> None:
        self._records = records

    def get(self, url: str, timeout: object = None) -> _Answer:
        return _Answer(self._records)


def pip_audit(asked: Asked) -> Found:
    service_of = importlib.import_module("pip_audit._service.esms")
    interface = importlib.import_module("pip_audit._service.interface")
    parse = importlib.import_module("packaging.version").Version
    found: Found = {}
    for project, one in asked.items():
        service = object.__new__(service_of.EcosystemsService)  # without its session, which asks
        service.timeout = None
        told = [(record, _Session([_as_specifiers(record, project)])) for record in one["records"]]
        for version in one["versions"]:
            ids = found.setdefault(project, {}).setdefault(version, [])
            for record, session in told:
                service.session = session
                try:
                    _, results = service.query(interface.ResolvedDependency(project, parse(version)))
                except ValueError as error:
                    ids.append(f"!{record['id']} {type(error).__name__}")
                    continue
                ids += [record["id"]] * bool(results)
    return found


def _is_version(text: str) -> bool:
    versions = importlib.import_module("packaging.version")
    try:
        return bool(versions.Version(text))
    except ValueError:
        return False


def _as_specifiers(record: Mapping[str, Any], project: str) -> Mapping[str, Any]:
    signs = {"fixed": "<", "last_affected": "<="}
    ranges = []
    for start, kind, end in spans(record, project):
        parts = [f">= {start}"] if start != "0" or not end else []
        parts += [f"{signs[kind]} {end}"] if end else []
        ranges.append({"vulnerable_version_range": ", ".join(parts), "first_patched_version": None})
    # One that is no version can't be met; but the service fails at it.
    listed = filter(_is_version, enumerated(record, project))
    ranges += [{"vulnerable_version_range": f"= {version}"} for version in listed]
    return {
        "identifiers": [record["id"]],
        "withdrawn_at": record.get("withdrawn"),
        "title": "",
        "description": "",
        "published_at": None,
        "packages": [{"package_name": project, "ecosystem": "pypi", "versions": ranges}],
    }


# --- osv: how the project of that name enumerates the versions in a range


def osv(asked: Asked) -> Found:
    spec = importlib.util.find_spec("osv")
    assert spec is not None
    package = types.ModuleType("osv")  # without what its own __init__ brings: a client of a database
    package.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["osv"] = package
    ecosystem = importlib.import_module("osv.ecosystems.pypi").PyPI()
    found: Found = {}
    for project, one in asked.items():
        versions = list(one["versions"])
        ecosystem.sort_versions(versions)
        by_version = found.setdefault(project, {version: [] for version in versions})
        for record in one["records"]:
            if not record.get("withdrawn"):
                for version in _affected(ecosystem, record, project, versions):
                    by_version[version.partition(" ")[0]].append(
                        f"!{record['id']} InvalidVersion" if " " in version else record["id"]
                    )
    return found


def _affected(ecosystem: Any, record: Mapping[str, Any], project: str, versions: list[str]) -> Iterator[str]:
    listed = set(enumerated(record, project))
    met = {version for version in versions if version in listed}
    try:
        for start, kind, end in spans(record, project):
            fixed, last = (end if kind == name else None for name in ("fixed", "last_affected"))
            met.update(ecosystem._get_affected_versions(versions, start, fixed, last, None))  # noqa: SLF001
    except ValueError:
        yield from (f"{version} !" for version in versions if version not in met)
    yield from sorted(met)


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump({"pip-audit": pip_audit(asked), "osv": osv(asked)}, sys.stdout)
