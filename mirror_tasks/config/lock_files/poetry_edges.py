"""What packages and projects require, as Poetry writes it: in ``poetry.lock`` and in ``[tool.poetry]``.

``name = "^1.2"``, or a table of ``version``, ``markers``, ``python``, ``platform``, ``extras``, ``optional``, ``source``,
``git`` with ``rev``, ``tag`` or ``branch``, ``url``, ``path`` or ``file``; or a list of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from packaging.markers import Marker
from packaging.utils import NormalizedName, canonicalize_name

from mirror_tasks.config.environments import Environment
from mirror_tasks.config.lock_files.model import LockedPackage
from mirror_tasks.config.lock_files.tables import Table
from mirror_tasks.config.lock_files.walking import Edge, Origin
from mirror_tasks.config.markers import extras_of
from mirror_tasks.config.poetry_constraints import Constraint, parse_constraint


class Dependency(NamedTuple):
    """An edge, and whether it is one of those that only extras bring."""

    edge: Edge
    optional: bool


def dependencies_of(table: Table) -> Iterator[Dependency]:
    """Return what a table of dependencies holds; the project's Python in it is none.

    :raises ValueError: Poetry does not know an entry as a dependency.
    """
    for key in table.keys:
        if key.lower() == "python":
            continue
        value = table.get(key)
        many = value if isinstance(value, list) else [value]
        for index, one in enumerate(many):
            yield _dependency(table, key, f"{key}[{index}]" if isinstance(value, list) else key, one)


def _dependency(table: Table, name: str, place: str, value: object) -> Dependency:
    written = table.inner(place, {"version": value} if isinstance(value, str) else value)
    edge = Edge(
        name=table.as_name(name, name),
        where=table.path(place),
        constraint=constraint_of(written, "version"),
        markers=tuple(filter(None, _markers(written))),
        extras=frozenset(written.names("extras")),
        origin=_origin(written),
    )
    return Dependency(edge, written.flag("optional"))


def constraint_of(table: Table, key: str) -> Constraint:
    """Return the constraint at a key; any version is allowed where it is missing.

    :raises ValueError: it is none.
    """
    text = table.text(key) or "*"
    try:
        return parse_constraint(text)
    except ValueError:
        raise table.fault(key, "a constraint such as ^1.2 or >=1.2,<2.0", table.get(key)) from None


def check_python(python: Constraint, environment: Environment) -> None:
    """Check an environment's Python against a constraint with alternatives, which no ``requires_python`` can say.

    :raises ValueError: the constraint does not allow it.
    """
    if len(python.alternatives) > 1 and not python.allows(environment.python):
        allowed = " || ".join(map(str, python.alternatives))
        problem = f"expected a Python that is {allowed}, found {environment.python}"
        raise ValueError(f"metadata.python-versions: {problem}; give `environments:` to the lock")


def marker_of(table: Table, key: str) -> str | None:
    """Return a marker as Poetry writes it: empty where it holds everywhere (``*``), None where it does nowhere.

    :raises ValueError: it is no marker.
    """
    text = (table.text(key) or "").strip()
    if text == "<empty>":
        return None
    return "" if text == "*" else table.marker(key)


_NOWHERE = 'python_version < "0"'


def _markers(table: Table) -> Iterator[str]:
    marker = marker_of(table, "markers")
    yield _NOWHERE if marker is None else marker
    if table.has("python"):
        yield _as_marker(constraint_of(table, "python").as_marker())
    if table.has("platform"):
        yield _platform_marker(table)


def _as_marker(text: str) -> str:
    return str(Marker(text)) if text else ""


def _platform_marker(table: Table) -> str:
    """``platform`` is what ``sys_platform`` has to be: ``linux``, ``!=win32``, ``linux || darwin``."""
    text = table.needed_text("platform")
    alternatives = []
    for alternative in re.split(r"\s*\|\|?\s*", text.strip()):
        found = [re.fullmatch(r"(==|!=|=)?\s*([\w.-]+)", one) for one in re.split(r"\s*,\s*", alternative)]
        if alternative == "*":
            return ""
        if not all(found):
            raise table.fault("platform", "a platform such as linux or !=win32", table.get("platform"))
        tests = [f'sys_platform {"!=" if one[1] == "!=" else "=="} "{one[2]}"' for one in found if one]
        alternatives.append(" and ".join(tests))
    return _as_marker(" or ".join(alternatives))


def _origin(table: Table) -> Origin:
    if table.has("git"):
        return "git", next((table.needed_text(key) for key in ("rev", "tag", "branch") if table.has(key)), "")
    if table.has("url"):
        return "url", table.needed_text("url")
    if table.has("path") or table.has("file"):
        return "path", ""
    return ("index", table.needed_text("source").lower()) if table.has("source") else ("", "")


_IN_EXTRA = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")


@dataclass(frozen=True, slots=True)
class PoetryNode:
    """One package of a lock, and what it requires.

    :param in_extras: by extra the names that it brings, and the other extras that it stands for.
    """

    package: LockedPackage
    origin: Origin
    python: Constraint
    dependencies: tuple[Dependency, ...]
    in_extras: Mapping[NormalizedName, tuple[frozenset[NormalizedName], frozenset[NormalizedName]]]

    def edges(self, extras: frozenset[NormalizedName]) -> Iterator[Edge]:
        """Return what it requires itself, and with these of its extras; one that it does not have brings nothing."""
        found = self._followed(extras)
        brought = frozenset(name for extra in found for name in self.in_extras[extra][0])
        for edge, optional in self.dependencies:
            named = {extra for marker in edge.markers for extra in extras_of(marker)}
            if (optional and edge.name not in brought) or (named and not named & found):
                continue
            yield edge

    def _followed(self, extras: frozenset[NormalizedName]) -> frozenset[NormalizedName]:
        """Return the extras and those that they stand for (``all = ["itself[a,b]"]``)."""
        found: set[NormalizedName] = set()
        waiting = list(extras)
        while waiting:
            extra = waiting.pop()
            if extra in self.in_extras and extra not in found:
                found.add(extra)
                waiting += self.in_extras[extra][1]
        return frozenset(found)


def node_of(entry: Table, package: LockedPackage) -> PoetryNode:
    """Return a package with what its entry says that it requires.

    :raises ValueError: a dependency, or an extra, is not as Poetry writes it.
    """
    extras = entry.table("extras")
    return PoetryNode(
        package=package,
        origin=_origin_of_package(entry),
        python=constraint_of(entry, "python-versions"),
        dependencies=tuple(dependencies_of(entry.table("dependencies"))),
        in_extras={extras.as_name(key, key): _brought(extras, key, package.name) for key in extras.keys},
    )


def _origin_of_package(entry: Table) -> Origin:
    if not entry.has("source"):
        return "", ""
    source = entry.table("source")
    kind = source.needed_text("type")
    if kind == "url":
        return "url", source.needed_text("url")
    if kind == "legacy":
        return "index", (source.text("reference") or "").lower()
    return ("git", (source.text("reference") or "")) if kind == "git" else ("path", "")


def _brought(
    extras: Table, key: str, own_name: NormalizedName
) -> tuple[frozenset[NormalizedName], frozenset[NormalizedName]]:
    names, others = set(), set()
    for text in extras.texts(key):  # some are no valid requirements: only what stands in front is read
        found = _IN_EXTRA.match(text)
        if found is None:
            raise extras.fault(key, "a list of requirements", extras.get(key))
        name = canonicalize_name(found[1])
        if name == own_name:
            others |= {canonicalize_name(one.strip()) for one in (found[2] or "").split(",")}
        else:
            names.add(name)
    return frozenset(names), frozenset(others)
