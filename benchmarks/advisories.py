"""Compare how advisories are judged here with how others judge them, over real records and every version of real projects.

    python benchmarks/advisories.py --foreign /path/to/venv/bin/python --projects 200

The environment has ``pip-audit``, ``osv`` and ``packaging-legacy``; see :mod:`foreign_judges` for what of them is run, offline.
Every version of the most downloaded projects of which the records say something is asked of the index that pip uses here, once,
into ``--cache``; of all other projects those versions are judged that the records themselves name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from mirror_tasks.errors import UpstreamError
from mirror_tasks.index.client import Upstream
from mirror_tasks.index.pages import parse_page
from mirror_tasks.policy.compiling import read_advisories

SHARED = Path(__file__).resolve().parents[2] / "shared"
_MOST_SHOWN = 5

Records = Mapping[NormalizedName, list[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--foreign", type=Path, required=True, help="the Python of an environment with pip-audit and osv"
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="where advisories/ and popular.txt are")
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mirror-advisories-versions.json")
    given = parser.parse_args()
    dump = next((given.shared / "advisories").glob("*.zip"))
    records = _records(dump)
    listed = _listed(_popular(given.shared / "popular.txt", records, given.projects), given.cache)
    asked = {
        name: {"versions": listed.get(name) or sorted(_named(records[name], name)), "records": records[name]}
        for name in sorted(records)
    }
    found = subprocess.run(
        [given.foreign, Path(__file__).with_name("foreign_judges.py")],
        input=json.dumps(asked), capture_output=True, text=True, check=True,
    )  # fmt: skip
    ours = _ours(dump, asked)
    versions = sum(len(one["versions"]) for one in asked.values())
    print(
        f"{sum(map(len, records.values()))} records of {len(asked)} projects, {versions} versions; of {len(listed)} all there are"
    )
    for judge, theirs in json.loads(found.stdout).items():
        _compare(judge, ours, theirs, records)


def _records(dump: Path) -> Records:
    found: dict[NormalizedName, list[Any]] = defaultdict(list)
    with zipfile.ZipFile(dump) as archive:
        for name in sorted(archive.namelist()):
            record = json.loads(archive.read(name))
            for project in {canonicalize_name(one["package"]["name"]) for one in record["affected"]}:
                found[project].append(record)
    return found


def _popular(path: Path, records: Records, count: int) -> list[NormalizedName]:
    names = [canonicalize_name(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]
    ranked = [name for name in names if name in records]
    return (ranked + [name for name in sorted(records, key=lambda one: -len(records[one])) if name not in ranked])[
        :count
    ]


def _listed(names: Iterable[NormalizedName], cache: Path) -> Mapping[str, list[str]]:
    """Return every version that the index lists."""
    known: dict[str, list[str]] = json.loads(cache.read_text()) if cache.exists() else {}
    with Upstream(None) as upstream:
        for name in names:
            if name not in known:
                known[name] = _versions(upstream, name)
    cache.write_text(json.dumps(known))
    return {name: known[name] for name in names if known[name]}


def _versions(upstream: Upstream, name: str) -> list[str]:
    try:
        page = upstream.page(name, None)
    except UpstreamError:
        return []  # gone since
    assert page is not None
    project = parse_page(page.body, page.content_type, page.url, name, page.index)
    return [str(version) for version in reversed(project.versions)]


def _named(records: Iterable[Any], name: str) -> set[str]:
    """Return the versions that records name: one by one, and as bounds."""
    affected = [
        one for record in records for one in record["affected"] if canonicalize_name(one["package"]["name"]) == name
    ]
    texts = {text for one in affected for text in one.get("versions", ())}
    ranges = [one for entry in affected for one in entry.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    texts |= {text for one in ranges for event in one["events"] for text in event.values()}
    return set(_valid(texts))


def _valid(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        try:
            yield str(Version(text))
        except InvalidVersion:
            continue


def _ours(dump: Path, asked: Mapping[NormalizedName, Any]) -> Mapping[tuple[NormalizedName, str], set[str]]:
    """Return by release the identifiers of all that meets it."""
    advisories = read_advisories(dump, dump.name)
    return {
        (name, version): {
            identifier
            for match in advisories.of_release(name, Version(version))
            for identifier in (match.id, *match.aliases)
        }
        for name, one in asked.items()
        for version in one["versions"]
    }


def _compare(
    judge: str,
    ours: Mapping[tuple[NormalizedName, str], set[str]],
    theirs: Mapping[str, Mapping[str, list[str]]],
    records: Records,
) -> None:
    """Print where two judge otherwise, grouped by what explains it; what nothing explains stands first."""
    agreed = 0
    reasons: dict[str, list[str]] = defaultdict(list)
    for (name, version), mine in ours.items():
        others = set(theirs[name].get(version, ()))
        for record in records[name]:
            identifier = record["id"]
            is_broken = any(one.startswith(f"!{identifier} ") for one in others)
            if (identifier in mine) == (identifier in others) and not is_broken:
                agreed += 1
                continue
            said = _why(record, records[name], version, mine, others) if not is_broken else _BROKEN
            reasons[said].append(f"{identifier} {name} {version}: {'' if identifier in mine else 'not '}affected here")
    print(f"\n{judge}: {agreed} judgements agree, {sum(map(len, reasons.values()))} do not")
    for reason, cases in sorted(reasons.items(), key=lambda item: item[0] != _UNEXPLAINED):
        _print_cases(reason, cases)


def _print_cases(reason: str, cases: list[str]) -> None:
    by_record = Counter(" ".join(case.split()[:2]) for case in cases)
    shown = ", ".join(f"{name} ({count})" for name, count in by_record.most_common(_MOST_SHOWN))
    print(f"  {len(cases)} {reason}\n    of {len(by_record)} records: {shown}")
    print(*(f"    {case}" for case in cases[: _MOST_SHOWN if reason != _UNEXPLAINED else 100]), sep="\n")


_UNEXPLAINED = "UNEXPLAINED"
_BROKEN = "a bound or an enumerated version is none by PEP 440, at which the other fails"


def _why(record: Mapping[str, Any], beside: list[Any], version: str, mine: set[str], others: set[str]) -> str:
    """Return what explains that a record meets a release here and not there, or the other way round."""
    names = {record["id"], *record.get("aliases", ())}
    twins = [one["id"] for one in beside if one is not record and names & {one["id"], *one.get("aliases", ())}]
    if record["id"] in mine and record.get("withdrawn"):
        return "withdrawn, but its identifier is an alias of a record that stands"
    if record["id"] in mine and others.intersection(twins):
        return "another record of the same hole says so: one row a hole"
    if record["id"] in mine and Version(version).is_prerelease:
        return "a pre-release"
    if Version(version).local is not None:
        return "a version with a local label"
    return _UNEXPLAINED


if __name__ == "__main__":
    main()
