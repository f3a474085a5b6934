"""Which licences popular projects say that they have: ``python benchmarks/licences.py``.

Of each the newest release is asked, at the index that pip uses: its wheel where it has one, else its sdist. Nothing is judged
by hand: what is printed is what `policy: {licences: …}` would go by.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measuring import table  # noqa: E402

from mirror_tasks.archives.core_metadata import CoreMetadata  # noqa: E402
from mirror_tasks.config.policy import LicenceRule  # noqa: E402
from mirror_tasks.errors import MirrorError  # noqa: E402
from mirror_tasks.index.client import Upstream  # noqa: E402
from mirror_tasks.index.file_names import is_wheel  # noqa: E402
from mirror_tasks.index.pages import parse_page  # noqa: E402
from mirror_tasks.index.project import File, Project  # noqa: E402
from mirror_tasks.policy.licences import (  # noqa: E402
    CLASSIFIERS,
    CONTRADICTION,
    EXPRESSION,
    NAME,
    Licence,
    check_licence,
    licence_of,
)
from mirror_tasks.work.jobs import read_remote_wheel, read_sdist, read_sidecar  # noqa: E402

# What issue 13 and docs/policy.md have as their example.
EXAMPLE = LicenceRule(frozenset({"MIT", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "MPL-2.0"}), "refuse")


def newest(project: Project) -> File | None:
    """Return a file of the newest release, a wheel if there is one; of a pre-release only where there are no others."""
    for version in sorted(
        project.versions, key=lambda version: (version.is_prerelease, project.versions.index(version))
    ):
        if files := [file for file in project.files(version) if file.yanked is None]:
            return min(files, key=lambda file: (not is_wheel(file.filename), file.filename))
    return None


def metadata_of(upstream: Upstream, name: str, folder: Path) -> CoreMetadata | None:
    """Return what the newest release of a project says."""
    try:
        page = upstream.page(name, None)
        file = newest(parse_page(page.body, page.content_type, page.url, name, page.index)) if page else None
        if file is None:
            return None
        if not is_wheel(file.filename):
            upstream.download(file, folder / file.filename, lambda _: None)
            found = read_sdist(folder / file.filename)
        elif file.core_metadata:
            found = read_sidecar(upstream.route, file).metadata
        else:
            found = read_remote_wheel(upstream.route, file, folder / file.filename).metadata
    except MirrorError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return None
    return found if isinstance(found, CoreMetadata) else None


def kind(licence: Licence) -> str:
    """Say what a licence is known from, or why it is unknown."""
    if licence.expression:
        return f"known, by {licence.source}"
    said = {field for field, _ in licence.said} - {"License-File"}
    if not said:
        return "unknown: nothing is said"
    if licence.problem.startswith(CONTRADICTION):
        return "unknown: sources contradict each other"
    return "unknown: what is said names none, or not which"


def shares(licences: Iterable[Licence]) -> str:
    """Return how many are known, from what, and how many are not, and why."""
    counted = Counter(map(kind, licences))
    total = sum(counted.values())
    order = [f"known, by {source}" for source in (EXPRESSION, NAME, CLASSIFIERS)]
    rows = [(one, counted[one], f"{counted[one] / total:.0%}") for one in [*order, *sorted({*counted} - {*order})]]
    known = sum(counted[one] for one in order)
    return table([("licence", "projects", "of all"), ("**known**", known, f"**{known / total:.0%}**"), *rows])


def most_common(texts: Iterable[str], head: str, most: int = 15) -> str:
    """Return the most common texts as a table."""
    return table([(head, "projects"), *Counter(texts).most_common(most)])


def main() -> None:
    """Ask, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=300, help="how many of the names (default: 300)")
    parser.add_argument("--names", type=Path, default=HERE / "popular.txt", help="a file with a name a line")
    given = parser.parse_args()
    lines = given.names.read_text("utf-8").splitlines()
    names = [line for line in lines if line and not line.startswith("#")][: given.projects]
    with tempfile.TemporaryDirectory() as folder, Upstream(None) as upstream, ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda name: metadata_of(upstream, name, Path(folder)), names))
    found = {name: licence_of(one) for name, one in zip(names, asked, strict=True) if one}
    unknown = {name: licence for name, licence in found.items() if not licence.expression}
    print(f"{len(found)} of {len(names)} projects could be read.\n")
    print(shares(found.values()), end="\n\n")
    print(most_common((one.expression for one in found.values() if one.expression), "known licence"), end="\n\n")
    print(most_common((one.problem for one in unknown.values()), "why unknown"), end="\n\n")
    refused = sum(check_licence(one, EXAMPLE) is not None for one in found.values())
    print(
        f"The example (allow {', '.join(sorted(EXAMPLE.allow or ()))}; unknown: refuse) refuses {refused} of {len(found)}.\n"
    )
    print(table([("unknown", "why"), *((name, licence.problem) for name, licence in unknown.items())]))


if __name__ == "__main__":
    main()
