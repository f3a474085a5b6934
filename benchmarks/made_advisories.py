"""Makes a dump of as many advisories as wanted from the real ones in ``../shared/advisories/``, the same at every run.

It is made like a dump of the whole ecosystem: every real record; of those that have an alias in another database a twin as
that writes of the same hole, with its ranges, without the versions one by one, and with a severity; and for the rest
records of malware, each about a project of its own.

    python -m benchmarks.made_advisories 20000 /tmp/all.zip
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from itertools import count, islice
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[2] / "shared" / "advisories" / "osv-pypi-2024-10-10.zip"
_VECTORS = (
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
    "CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
)

Record = Mapping[str, Any]


def made_advisories(number: int, path: Path, real: Path = REAL) -> Path:
    """Write a dump of so many records to a zip, and return its path."""
    with zipfile.ZipFile(path, "w") as made:
        for name, record in islice(_records(real), number):
            entry = zipfile.ZipInfo(f"{name}.json")
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, json.dumps(record, sort_keys=True))
    return path


def _records(real: Path) -> Iterator[tuple[str, Record]]:
    with zipfile.ZipFile(real) as archive:
        known = [json.loads(archive.read(name)) for name in sorted(archive.namelist())]
    yield from ((record["id"], record) for record in known)
    twins = {twin["id"]: twin for number, record in enumerate(known) if (twin := _twin(number, record))}
    yield from twins.items()
    yield from ((record["id"], record) for record in map(_malware, count()))


def _twin(number: int, record: Record) -> Record | None:
    """Return what another database says of the same hole; None where it says nothing."""
    names = [alias for alias in record.get("aliases", ()) if alias.startswith("GHSA-")]
    if not names:
        return None
    others = [record["id"], *(alias for alias in record["aliases"] if alias not in names)]
    affected = [{key: one[key] for key in ("package", "ranges") if key in one} for one in record["affected"]]
    return {
        **record,
        "id": names[0],
        "aliases": others,
        "affected": affected,
        "severity": [{"type": "CVSS_V3", "score": _VECTORS[number % len(_VECTORS)]}],
        "database_specific": {"severity": ("CRITICAL", "HIGH", "MODERATE", "LOW")[number % 4]},
    }


def _malware(number: int) -> Record:
    versions = [f"{major}.{minor}.0" for major in range(1 + number % 3) for minor in range(1 + number % 7)]
    return {
        "id": f"MAL-2024-{number}",
        "modified": "2024-10-10T00:00:00Z",
        "published": "2024-10-10T00:00:00Z",
        "summary": f"Malicious code in made-up-{number} (PyPI)",
        "details": "Its setup.py sends what stands in the environment to another machine. " * 4,
        "affected": [{"package": {"ecosystem": "PyPI", "name": f"made-up-{number}"}, "versions": versions}],
        "database_specific": {"malicious-packages-origins": [{"source": "made-up", "sha256": f"{number:064x}"}]},
    }


if __name__ == "__main__":
    print(made_advisories(int(sys.argv[1]), Path(sys.argv[2])))
