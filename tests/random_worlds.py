"""Random worlds in which what can be odd of a release is, and answers that arrive in random orders."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from mirror_tasks.archives.core_metadata import CoreMetadata, Unusable
from mirror_tasks.resolve.closure import Closure
from mirror_tasks.resolve.outcome import Failed, Wants
from tests import worlds

NAMES = "abcdef"
SPECIFIERS = ("", "", "", "==1", "==2", ">=2", "<2", "!=1", ">=3", "<3", "<4", ">=4rc1", "<=2", "!=3", ">=5", "<6,>2")
MARKERS = ("sys_platform == 'win32'", "extra == 'x'", "extra == 'y'", "python_full_version >= '3.12.3'")
KINDS = (
    ("py3-none-any",),
    ("sdist",),
    ("cp312-cp312-win_amd64",),
    ("py3-none-any", "sdist"),
    ("cp311-cp311-manylinux_2_17_x86_64", "py3-none-any"),
    ("cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-win_amd64", "py3-none-any", "sdist"),
)


class World(worlds.World):
    """A world in which some metadata can be used where it is repaired."""

    def _metadata(self, name: str, version: str, release: Any, filename: str) -> CoreMetadata | Unusable | Failed:
        found = super()._metadata(name, version, release, filename)
        if "repaired" in release and isinstance(found, CoreMetadata):
            return Unusable(release["repaired"], found)
        return found


def described(seed: int) -> dict[str, Any]:
    """Return a world as :func:`worlds.world` takes it."""
    chance = random.Random(seed)
    licensed = chance.random() < 0.5
    index = {}
    for name in NAMES:
        versions = chance.sample(["1", "2", "3", "4rc1", "4", "5", "6"], chance.randint(1, 7))
        index[name] = {version: _release(chance, name, licensed) for version in sorted(versions)}
    requirements: list[Any] = []
    texts: dict[str, str] = {}
    for number in range(chance.randint(1, 4)):
        if chance.random() < 0.6:
            requirements.append({"require": f"{_requirement(chance, NAMES)}", "versions": chance.choice(["latest", 2])})
            continue
        lines = [f"{name}{chance.choice(SPECIFIERS)}\n" for name in chance.sample(NAMES, 2)]
        constraint = f"{chance.choice(NAMES)}{chance.choice(['<3', '!=3', '==2', '>=2'])}\n"
        texts |= {f"{number}.txt": "".join([*lines, f"-c under{number}.txt\n"]), f"under{number}.txt": constraint}
        requirements.append({"file": f"{number}.txt"})
    named = {str(one): one for one in requirements}  # none twice
    environments = {
        "linux": {"python": chance.choice(["3.11.1", "3.12", "3.11"]), "platform": "linux-x86_64"},
        "windows": {"python": chance.choice(["3.12.1", "3.12"]), "platform": "windows-amd64"},
    }
    settings = _settings(chance, licensed)
    return {
        "environments": environments,
        "requirements": list(named.values()),
        "index": index,
        "texts": texts,
        "settings": settings,
    }


def _requirement(chance: random.Random, among: str) -> str:
    extras = chance.choice(["", "", "", "[x]", "[y]"])
    return f"{chance.choice(among)}{extras}{chance.choice(SPECIFIERS)}"


def _release(chance: random.Random, name: str, licensed: bool) -> dict[str, Any]:
    others = NAMES.replace(name, "")

    def required() -> str:
        marker = chance.choice(["", "", "", "", *MARKERS])
        return _requirement(chance, others) + (f"; {marker}" if marker else "")

    kinds = chance.choice(KINDS)
    release: dict[str, Any] = {
        "files": list(kinds),
        "requires": [required() for _ in range(chance.choice([0, 0, 1, 1, 2, 3]))],
        "extras": ["x", "y"],
        "build_requires": [_requirement(chance, others)] if chance.random() < 0.3 else [],
        "yanked": chance.random() < 0.15,
        "licence": chance.choice(["MIT", "MIT", "GPL-3.0-only", None]) if licensed else None,
        "uploaded": chance.choice(["2020-01-01", "2020-01-01", "2026-11-20"]),
    }
    odd: list[tuple[str, float, list[str]]] = [
        ("requires_python", 0.25, [">=3.12", ">=3.12.3", "<3.12.3", ">=3.11.*", "<3.12"]),
        ("metadata_requires_python", 0.1, [">=3.12", ">=3.12.3", "<3.12"]),
        ("unusable", 0.12, [f"{name} is odd"]),
        ("repaired", 0.06, [f"{name} needs a repair"]),
        ("fails", 0.01, [f"{name} was not answered"]),
    ]
    release |= {key: chance.choice(values) for key, share, values in odd if chance.random() < share}
    for kind in kinds:  # whose metadata is not that of the others
        if chance.random() < 0.12:
            release[kind] = chance.choice(
                [{"unusable": f"{kind} of {name} is odd"}, {"licence": "GPL-3.0-only"}, {"requires": [required()]}]
            )
    return release


def _settings(chance: random.Random, licensed: bool) -> dict[str, Any]:
    policy: dict[str, Any] = {}
    if licensed:
        policy["licences"] = {"allow": ["MIT"], "unknown": chance.choice(["refuse", "report"])}
    if chance.random() < 0.3:
        policy["exclude"] = [f"{chance.choice(NAMES)}{chance.choice(['==2', '<2', '>=3'])}"]
    if chance.random() < 0.3:
        policy["cooldown"] = "14d"
    settings: dict[str, Any] = {"policy": policy} if policy else {}
    choices: list[tuple[str, float, list[Any]]] = [
        ("sdists", 0.3, ["fallback", "never"]),
        ("wheels", 0.2, ["best"]),
        ("prereleases", 0.15, [True]),
        ("prefer-binary", 0.15, [True]),
        ("build-requirements", 0.15, [False]),
    ]
    return settings | {key: chance.choice(values) for key, share, values in choices if chance.random() < share}


Delay = Callable[[str], float]
"""Says how long a page, by its project, or the metadata of a file, by its name, takes to arrive."""


def delays(seed: int) -> Delay:
    """Return the delays of one order of arrival: of all alike, of some projects far behind, or of pages before files."""
    chance = random.Random(seed)
    slow: dict[str, float] = {}

    def delay(what: str) -> float:
        if seed % 3 == 0:
            return chance.random()
        by = what.partition("-")[0] if seed % 3 == 1 else str(len(what) > 1)
        return slow.setdefault(by, chance.choice([0.01, 1, 100])) * chance.random()

    return delay


def follow(one: worlds.World, closure: Closure, wants: Wants, delay: Delay) -> None:
    """Bring a closure what it wants, each when it arrives, until it wants nothing more."""
    now = 0.0
    coming: list[tuple[float, int, Any]] = []
    number = 0
    while wants or coming:
        wanted: list[Any] = [*wants.projects, *wants.files]
        for want in wanted:
            number += 1
            coming.append((now + delay(want if isinstance(want, str) else want[1].filename), number, want))
        if not coming:
            return
        coming.sort(key=lambda one: one[:2])
        now, _, want = coming.pop(0)
        if isinstance(want, str):
            wants = closure.project_arrived(want, one.project(want))  # type: ignore[arg-type]
        else:
            wants = closure.metadata_arrived(want[0], want[1].filename, one.metadata(want[1].filename, want[0]))
